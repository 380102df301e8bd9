"""The falsifier over the whole catalogue, and the worst instance of each row put through the shipped code."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import RenderableType

from kd2m_theory.errors import InputError
from kd2m_theory.reporting.sections import Code, Column, Line, Section, Table, paragraph
from kd2m_theory.reporting.terminal_view import plain, printed
from kd2m_theory.theory.catalogue import theorem, theorems
from kd2m_theory.theory.statement import Form, Theorem
from kd2m_theory.validation.trial.agreement import Comparison, compare
from kd2m_theory.validation.trial.falsifier import Budget, Finding, falsify, pasted
from kd2m_theory.validation.trial.power import Watch
from kd2m_theory.words import number


@dataclass(frozen=True)
class HuntReport:
    """What the falsifier found.

    Attributes:
        findings: theorem, worst instance of one of its forms, and the audit's row on that instance.
    """

    findings: tuple[tuple[str, Finding, Comparison], ...]

    @property
    def failures(self) -> tuple[str, ...]:
        """Refuted forms, and rows that do not hold."""
        return tuple(words for words, _ in self._refuted())

    def _refuted(self) -> Iterator[tuple[str, Any]]:
        for _, finding, row in self.findings:
            if finding.violated:
                yield f"{finding.form} is VIOLATED, ratio {finding.ratio:.12g}", finding.instance
            if row.row is not None:
                yield from ((fault, finding.instance) for fault in row.faults)

    @property
    def passed(self) -> bool:
        """Whether nothing was refuted."""
        return not self.failures

    def sections(self) -> list[Section]:
        """The report for people: the worst ratio of each form, and each instance that refutes one, as Python that makes it."""
        table = Table(
            name="forms",
            columns=(
                *(Column("theorem"), Column("form")),
                *(Column(heading, numeric=True) for heading in ("worst ratio", "starts", "steps")),
                Column("audit row", folds=True),
            ),
            lines=tuple(self._lines()),
        )
        if self.passed:
            return [Section(title="", parts=(table, paragraph("no form is violated", tone="strong")))]
        refuted = [
            part
            for words, instance in self._refuted()
            for part in (paragraph(f"{words}, on", tone="alarm"), Code(pasted(instance), "python"))
        ]
        return [Section(title="", parts=(table,)), Section(title="refuted", parts=tuple(refuted), tone="alarm")]

    def _lines(self) -> Iterator[Line]:
        for name in dict.fromkeys(name for name, _, _ in self.findings):
            mine = [(finding, row) for owner, finding, row in self.findings if owner == name]
            worst = max(finding.ratio for finding, _ in mine)
            yield Line((name, "worst of all", _ratio(worst), "", "", ""), tone="strong")
            for finding, row in mine:
                says = row.why if row.row is None else {True: "holds", False: "DOES NOT HOLD", None: "–"}[row.row.holds]
                cells = ("", finding.form, _ratio(finding.ratio), f"{finding.starts:,}", f"{finding.steps:,}", says)
                yield Line(cells, tone="alarm" if finding.violated else "plain")

    def __rich__(self) -> RenderableType:
        return printed(self.sections())

    def __str__(self) -> str:
        return plain(self.sections(), 120)


def hunt(
    seconds: float | None = None,
    seed: int = 0,
    only: str | None = None,
    *,
    steps: int | None = None,
    catalogue: Sequence[Theorem] | None = None,
    watch: Watch = iter,
) -> HuntReport:
    """Falsify every form without chance in it.

    Args:
        seconds: for all forms together; each gets an equal share.
        seed: of every search.
        only: a theorem or a form; all if None.
        steps: evaluations for each form, instead of seconds.
        catalogue: the theorems; all if None.
        watch: wraps the iteration over forms, for a progress display.

    Raises:
        InputError: no such theorem, nothing in it to search, or a budget that is not positive or too small to try every form.
    """
    Budget(seconds, steps)  # refuses before anything is loaded
    chosen = _chosen(theorems() if catalogue is None else catalogue, only)
    share = None if seconds is None else seconds / len(chosen)
    found = []
    for owner, form in watch(chosen):
        form.sides(form.witness.make())  # what is imported on first use is not taken out of the form's seconds
        finding = falsify(form, share, seed, steps=steps, hypotheses=owner.needed_by(form.name))
        row = (
            Comparison(form=form.name, row=None) if finding.instance is None else compare(form, finding.instance, numbers=False)
        )
        found.append((owner.name, finding, row))
    untried = [finding.form for _, finding, _ in found if finding.starts == 0]
    if untried and not any(finding.violated for _, finding, _ in found):
        raise InputError(
            f"{len(untried)} of {len(found)} forms were not tried in that time, {untried[0]} first, and what is not tried is "
            "not confirmed; give more seconds"
        )
    return HuntReport(tuple(found))


def _chosen(catalogue: Sequence[Theorem], only: str | None) -> list[tuple[Theorem, Form]]:
    forms = [(owner, form) for owner in catalogue for form in owner.forms]
    if only is not None:
        named = [(owner, form) for owner, form in forms if form.name.lower() == only.lower()]
        owners = [owner for owner in catalogue if owner.name.lower() == only.lower()]
        if owners:
            named = [(owners[0], form) for form in owners[0].forms]
        forms = named or [(theorem(only), form) for form in theorem(only).forms]
    searched = [(owner, form) for owner, form in forms if form.start is not None]
    if not searched:
        raise InputError(f"nothing in {only} can be searched: chance takes part; kd2m theory check computes it exactly")
    return searched


def _ratio(value: float) -> str:
    return f"{value:.9f}" if value < 10 else number(value)
