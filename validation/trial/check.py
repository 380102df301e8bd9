"""The whole catalogue checked: witnesses, hypotheses, mutants, identities, and the shipped rows against the oracle."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from rich.console import RenderableType

from kd2m_theory.reporting import sections
from kd2m_theory.reporting.sections import Column, Paragraph, Section, Table, columns, paragraph
from kd2m_theory.reporting.terminal_view import plain, printed
from kd2m_theory.theory.catalogue import theorems
from kd2m_theory.theory.identities import IDENTITIES
from kd2m_theory.theory.identity import Identity, Proof
from kd2m_theory.theory.statement import Form, Hypothesis, Theorem
from kd2m_theory.validation.torch_threads import torch_threads
from kd2m_theory.validation.trial.agreement import compare
from kd2m_theory.validation.trial.falsifier import TOLERANCE, Finding, ratio_beyond_rounding
from kd2m_theory.validation.trial.power import Kill, Watch, attacked, kills, weakened_rows
from kd2m_theory.words import number

VIOLATION = 1.05  # a counterexample breaks the inequality by at least this factor
_STEPS = 2000


@dataclass(frozen=True)
class Line:
    """What was found on one theorem.

    Attributes:
        theorem: the theorem.
        witnesses: ratio of each form on its witness.
        violations: ratio of each hypothesis' counterexample.
        kills: its mutants and who killed them.
        findings: the worst instance of each form, of those that kill mutants, random ones, and what the falsifier found.
        faults: what is wrong, in words; empty if nothing is.
    """

    theorem: Theorem
    witnesses: tuple[float, ...]
    violations: tuple[float, ...]
    kills: tuple[Kill, ...]
    findings: tuple[Finding, ...]
    faults: tuple[str, ...]


@dataclass(frozen=True)
class CheckReport:
    """What a check of the catalogue found.

    Attributes:
        lines: theorems.
        identities: identities and their proofs.
        rows: weakened rows of the audit.
        loose: rows that are not guaranteed, or that no witness uses enough to notice it.
    """

    lines: tuple[Line, ...]
    identities: tuple[tuple[Identity, Proof], ...]
    rows: tuple[Kill, ...]
    loose: tuple[str, ...]

    @property
    def failures(self) -> tuple[str, ...]:
        """Everything that is wrong, in words."""
        return (
            *(f"{line.theorem.name}: {fault}" for line in self.lines for fault in line.faults),
            *(f"identity {identity.name}: {proof.detail}" for identity, proof in self.identities if not proof.passed),
            *(f"audit row {row.form}: sides tightened by 0.9 go unnoticed" for row in self.rows if not row.killer),
        )

    @property
    def passed(self) -> bool:
        """Whether nothing is wrong."""
        return not self.failures

    def sections(self) -> list[Section]:
        """The report for people: theorems, identities, and whether anything is wrong."""
        end = Section(title="", parts=tuple(self._outcome()))
        return [self._theorems(), *self._identities(), end]

    def __rich__(self) -> RenderableType:
        return printed(self.sections())

    def __str__(self) -> str:
        return plain(self.sections(), 120)

    def _theorems(self) -> Section:
        heads = ("witnesses", "dropped", "mutants", "worst")
        table = Table(
            name="theorems",
            columns=(
                *(Column("theorem"), Column("title", folds=True)),
                *(Column(heading, numeric=True) for heading in heads),
                Column("verdict"),
            ),
            lines=tuple(_line(line) for line in self.lines),
        )
        note = (
            "witnesses: gap / bound of each form on its own; dropped: the least violation once a hypothesis is; mutants: "
            "how many of the wrong versions were refuted; worst: the largest ratio of its forms on any instance tried"
        )
        return Section(title="theorems", parts=(table, paragraph(note, tone="muted")))

    def _identities(self) -> Iterator[Section]:
        if self.identities:
            lines = tuple(
                sections.Line(
                    cells=(identity.name, proof.how, "proved" if proof.passed else "NOT PROVED"),
                    tone="plain" if proof.passed else "alarm",
                )
                for identity, proof in self.identities
            )
            table = Table(name="identities", columns=columns("identity", "proof", "verdict"), lines=lines)
            yield Section(title="identities", parts=(table,))

    def _outcome(self) -> Iterator[Paragraph]:
        if self.rows:
            noticed = sum(bool(row.killer) for row in self.rows)
            yield paragraph(f"audit rows tightened by 0.9 and noticed on the witnesses: {noticed}/{len(self.rows)}")
        if self.loose:
            words = f"on an unmet assumption, or not used to 0.9 by any witness: {', '.join(self.loose)}"
            yield paragraph(words, tone="muted")
        for failure in self.failures:
            yield paragraph(failure, tone="alarm")
        if self.passed:
            yield paragraph("nothing is wrong", tone="strong")


def _line(line: Line) -> sections.Line:
    killed = sum(bool(kill.killer) for kill in line.kills)
    return sections.Line(
        cells=(
            line.theorem.name,
            line.theorem.title,
            _span(line.witnesses),
            f"≥ {number(min(line.violations))}" if line.violations else "none",
            f"{killed}/{len(line.kills)}",
            number(max((finding.ratio for finding in line.findings), default=None)),
            "FAILS" if line.faults else line.theorem.verdict,
        ),
        tone="alarm" if line.faults else "plain",
    )


def check(
    seconds_for_falsifier: float = 0.0,
    *,
    catalogue: Sequence[Theorem] | None = None,
    identities: Sequence[Identity] | None = None,
    steps: int = _STEPS,
    seed: int = 0,
    watch: Watch = iter,
) -> CheckReport:
    """Check theorems and identities.

    Args:
        seconds_for_falsifier: shared by all forms that it can search; 0 leaves the search to `hunt`.
        catalogue: the theorems; all if None.
        identities: the identities; all if None.
        steps: evaluations that may be spent on a mutant that neither a witness nor a random instance kills.
        seed: of every search.
        watch: wraps the iteration over theorems, for a progress display.
    """
    catalogue = theorems() if catalogue is None else catalogue
    searched = sum(form.start is not None for theorem in catalogue for form in theorem.forms)
    seconds = seconds_for_falsifier / max(searched, 1)
    lines = tuple(check_theorem(theorem, seconds, steps, seed) for theorem in watch(catalogue))
    proofs = tuple((identity, identity.prove()) for identity in (IDENTITIES if identities is None else identities))
    return CheckReport(lines, proofs, *weakened_rows(catalogue))


@torch_threads(1)
def check_theorem(theorem: Theorem, seconds: float | None = None, steps: int = _STEPS, seed: int = 0) -> Line:
    """Check one theorem: its witnesses are sharp, each hypothesis is needed, every mutant dies, and no form does.

    A form is tried on every instance that kills a mutant of the theorem, on random instances, and by the falsifier.

    Args:
        theorem: of the catalogue or of your own.
        seconds: for the falsifier on each form that it can search; 600 evaluations for each if None, no search if 0.
        steps: evaluations that may be spent on a mutant that neither a witness nor a random instance kills.
        seed: of every search.

    Returns:
        What was found; its `faults` are empty if nothing is wrong. A fault raises no exception.

    Raises:
        InputError: `seconds` is infinite, or `steps` is not positive and a mutant needs the search.
    """
    witnesses, faults = [], []
    for form in theorem.forms:
        ratio, found = _witness(theorem, form)
        witnesses.append(ratio)
        faults += found
    violations = []
    for hypothesis in theorem.hypotheses:
        ratio, found = _counterexample(theorem, hypothesis)
        violations.append(ratio)
        faults += found
    hunted = kills(theorem, steps, seed)
    faults += [f"the mutant {kill.mutant!r} of {kill.form} survives ({kill.ratio:.6g})" for kill in hunted if not kill.killer]
    findings = []
    for form in theorem.forms:
        finding, where = attacked(theorem, form, hunted, seconds, seed)
        findings.append(finding)
        if finding.violated:
            faults.append(f"{form.name} is violated, ratio {finding.ratio:.9g} ({where})")
    return Line(
        theorem=theorem,
        witnesses=tuple(witnesses),
        violations=tuple(violations),
        kills=hunted,
        findings=tuple(findings),
        faults=tuple(faults),
    )


def _witness(theorem: Theorem, form: Form) -> tuple[float, list[str]]:
    instance = form.witness.make()
    ratio = ratio_beyond_rounding(form.sides, instance, form.free)
    faults = []
    if ratio > 1 + TOLERANCE:
        faults.append(f"the witness of {form.name} violates it, ratio {ratio:.9g}")
    if not ratio >= form.witness.reaches:
        faults.append(f"the witness of {form.name} reaches {ratio:.6g}, not {form.witness.reaches:g}")
    needed = theorem.needed_by(form.name)
    faults += [f"the witness of {form.name} does not meet {h.name!r}" for h in needed if not _meets(h, instance)]
    return ratio, faults + list(compare(form, instance).faults)


def _counterexample(theorem: Theorem, hypothesis: Hypothesis) -> tuple[float, list[str]]:
    example = hypothesis.counterexample
    instance = example.make()
    form = theorem.form(example.form)
    ratio = ratio_beyond_rounding(form.sides, instance, form.free)
    faults = []
    if not ratio >= VIOLATION:
        faults.append(f"without {hypothesis.name!r} {example.form} is violated only to {ratio:.6g}")
    if hypothesis.check is not None and hypothesis.check(instance):
        faults.append(f"the counterexample to {hypothesis.name!r} passes its check")
    others = (h for h in theorem.needed_by(form.name) if h is not hypothesis)
    faults += [f"the counterexample to {hypothesis.name!r} drops {h.name!r} too" for h in others if not _meets(h, instance)]
    return ratio, faults


def _meets(hypothesis: Hypothesis, instance: object) -> bool:
    return hypothesis.check is None or hypothesis.check(instance)


def _span(values: Iterable[float]) -> str:
    low, high = min(values, default=0.0), max(values, default=0.0)
    return f"{low:.4f}" if f"{low:.4f}" == f"{high:.4f}" else f"{low:.4f} to {high:.4f}"
