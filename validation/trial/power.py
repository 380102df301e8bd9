"""Whether the checks can fail at all: every mutant of every theorem must be killed, every weakened row noticed.

A mutant is killed by an instance that meets all hypotheses and violates it. Only the mutant "hypothesis dropped" is killed by
an instance that does not meet that hypothesis.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from rich.console import RenderableType

from kd2m_theory.reporting.sections import Column, Line, Section, Table
from kd2m_theory.reporting.terminal_view import plain, printed
from kd2m_theory.theory.catalogue import theorems
from kd2m_theory.theory.statement import Form, Mutant, Theorem
from kd2m_theory.validation.torch_threads import torch_threads
from kd2m_theory.validation.trial.agreement import shrunk_rows
from kd2m_theory.validation.trial.falsifier import TOLERANCE, Finding, escape, falsify, ratio_beyond_rounding
from kd2m_theory.words import number

FACTOR = 0.9
# Evaluations that the falsifier spends on each form unless it is told otherwise.
SEARCH = 600
_RANDOM, _RANDOM_FOR_A_FORM = 200, 30
_STEPS = 4000
Watch = Callable[[Iterable[Any]], Iterable[Any]]


@dataclass(frozen=True)
class Kill:
    """What became of one mutant.

    Attributes:
        theorem: name of the theorem.
        form: name of the form, or of the audit's row.
        mutant: what was done to it.
        killer: what showed that it is wrong; empty for a survivor.
        ratio: by how much it was violated there; the best that was reached for a survivor.
        instance: the instance that killed it; None for a survivor and for a row of the audit.
    """

    theorem: str
    form: str
    mutant: str
    killer: str
    ratio: float
    instance: Any = None


@dataclass(frozen=True)
class PowerReport:
    """Every mutant and who killed it.

    Attributes:
        kills: mutants of the catalogue.
        rows: rows of the audit with both sides tightened by 0.9.
        loose: rows of the audit that are not guaranteed on any witness, or that none uses to 0.9.
    """

    kills: tuple[Kill, ...]
    rows: tuple[Kill, ...]
    loose: tuple[str, ...]

    @property
    def survivors(self) -> tuple[Kill, ...]:
        """Defects: a theorem, a witness or a search that is too weak."""
        return tuple(kill for kill in (*self.kills, *self.rows) if not kill.killer)

    @property
    def passed(self) -> bool:
        """Whether every mutant died."""
        return not self.survivors

    def sections(self) -> list[Section]:
        """The report for people: one line per mutant."""
        lines = tuple(
            Line(
                cells=(kill.form, kill.mutant, kill.killer or "SURVIVES", number(kill.ratio)),
                tone="plain" if kill.killer else "alarm",
            )
            for kill in (*self.kills, *self.rows)
        )
        heads = (
            Column("form"),
            Column("mutant", folds=True),
            Column("killed by", folds=True),
            Column("ratio", numeric=True),
        )
        return [Section(title="", parts=(Table(name="mutants", columns=heads, lines=lines),))]

    def __rich__(self) -> RenderableType:
        return printed(self.sections())

    def __str__(self) -> str:
        return plain(self.sections(), 140)


def dropped(theorem: Theorem) -> tuple[Mutant, ...]:
    """The theorem without one hypothesis, for each of them."""
    return tuple(
        Mutant(
            name=f"hypothesis dropped: {h.name}", form=h.counterexample.form, sides=theorem.form(h.counterexample.form).sides
        )
        for h in theorem.hypotheses
    )


@torch_threads(1)
def kills(theorem: Theorem, steps: int = _STEPS, seed: int = 0) -> tuple[Kill, ...]:
    """Hunt every mutant of a theorem: its own, each bound times 0.9, and the theorem without each of its hypotheses.

    Args:
        theorem: of the catalogue or of your own.
        steps: evaluations that the falsifier may spend on a mutant that no witness and no random instance kills.
        seed: of random instances and of the search.

    Returns:
        A `Kill` for each mutant; one without a `killer` survived.

    Raises:
        InputError: steps is not positive, and a mutant needs the search.

    Example:
        >>> from kd2m_theory.theory.catalogue import theorem
        >>> [kill.mutant for kill in kills(theorem("T0")) if not kill.killer]  # none survives
        []
    """
    found = [_hunt(theorem, mutant, steps, seed) for mutant in theorem.all_mutants()]
    for mutant, hypothesis in zip(dropped(theorem), theorem.hypotheses, strict=True):
        form = theorem.form(mutant.form)
        instance = hypothesis.counterexample.make()
        ratio = ratio_beyond_rounding(mutant.sides, instance, form.free)
        killer = "its counterexample" if ratio > 1 + TOLERANCE else ""
        found.append(_kill(theorem, mutant, killer, ratio, instance))
    return tuple(found)


@torch_threads(1)
def attacked(
    theorem: Theorem, form: Form, killed: Sequence[Kill], seconds: float | None = None, seed: int = 0
) -> tuple[Finding, str]:
    """Try to break a form itself with everything that breaks its mutants, with random instances, and with the falsifier.

    Args:
        theorem: the form's theorem.
        form: the form.
        killed: what became of the theorem's mutants; the instances that killed them are tried on the form.
        seconds: for the falsifier; `SEARCH` evaluations if None, none if 0.
        seed: of random instances and of the search.

    Returns:
        The worst instance, and where it came from in words. The search ends as soon as the form is refuted.

    Raises:
        InputError: `seconds` is negative or infinite.
    """
    # Where chance takes part, the size of an instance decides what can be enumerated: a form gets only instances of its own.
    names = {each.name for each in theorem.forms} if form.start is not None else {form.name}
    unmet = {mutant.name for mutant in dropped(theorem)}
    owned = [
        (f"the instance that kills {kill.mutant!r} of {kill.form}", kill.instance)
        for kill in killed
        if kill.instance is not None and kill.form in names and kill.mutant not in unmet
    ]
    owned += [
        (f"the instance given for {mutant.name!r} of {mutant.form}", mutant.killer())
        for mutant in theorem.mutants
        if mutant.killer is not None and mutant.form in names
    ]
    worst, where, tried = Finding(form=form.name, ratio=0.0, instance=None, starts=0, steps=0), "", 0
    for words, instance in _instances(theorem, form, owned, _RANDOM_FOR_A_FORM, seed):
        tried += 1
        ratio = ratio_beyond_rounding(form.sides, instance, form.free)
        if ratio > worst.ratio:
            worst, where = replace(worst, ratio=ratio, instance=instance), words
        if worst.violated:
            return replace(worst, steps=tried), where
    worst = replace(worst, steps=tried)
    if form.start is None or seconds == 0:
        return worst, where
    budget = {"steps": SEARCH} if seconds is None else {"seconds": seconds}
    found = falsify(form, seed=seed, hypotheses=theorem.needed_by(form.name), **budget)
    if found.ratio > worst.ratio:
        worst, where = found, "the falsifier"
    return replace(worst, starts=found.starts, steps=tried + found.steps), where


def power(catalogue: Sequence[Theorem] | None = None, steps: int = _STEPS, seed: int = 0, watch: Watch = iter) -> PowerReport:
    """Hunt every mutant of the catalogue and every weakened row of the audit."""
    catalogue = theorems() if catalogue is None else catalogue
    hunted = tuple(kill for theorem in watch(catalogue) for kill in kills(theorem, steps, seed))
    return PowerReport(hunted, *weakened_rows(catalogue))


def weakened_rows(catalogue: Sequence[Theorem]) -> tuple[tuple[Kill, ...], tuple[str, ...]]:
    """Rows of the audit tightened by 0.9, on the witnesses of their theorem; and rows on which no witness could show it."""
    rows, loose = [], []
    for name, (share, noticed) in shrunk_rows(FACTOR, catalogue).items():
        if share * (1 - 1e-6) <= FACTOR:
            loose.append(name)
            continue
        killer = "a witness" if noticed else ""
        rows.append(
            Kill(
                theorem=name.split(".")[0],
                form=name,
                mutant=f"row of the audit, sides × {FACTOR:g}",
                killer=killer,
                ratio=share / FACTOR,
            )
        )
    return tuple(rows), tuple(loose)


def _hunt(theorem: Theorem, mutant: Mutant, steps: int, seed: int) -> Kill:
    """The first killer and its ratio; no killer and the largest ratio, if none was found."""
    form, best = theorem.form(mutant.form), 0.0
    owned = [] if mutant.killer is None else [("its own instance", mutant.killer())]
    for words, instance in _instances(theorem, form, owned, _RANDOM, seed):
        ratio = ratio_beyond_rounding(mutant.sides, instance, form.free)
        best = max(best, ratio)
        if best > 1 + TOLERANCE:
            return _kill(theorem, mutant, words, best, instance)
    if form.start is None:
        return _kill(theorem, mutant, "", best, None)
    finding = escape(mutant, theorem, seed=seed, steps=steps)
    return _kill(theorem, mutant, "the falsifier" if finding.violated else "", max(best, finding.ratio), finding.instance)


def _instances(
    theorem: Theorem, form: Form, owned: Sequence[tuple[str, Any]], count: int, seed: int
) -> Iterator[tuple[str, Any]]:
    """Instances that meet all checked hypotheses of a form, and where each comes from: its witness, those that are given,
    witnesses of other forms, and random ones.
    """
    checks = [h.check for h in theorem.needed_by(form.name) if h.check is not None]
    witness = form.witness.make()
    candidates = [("its witness", witness)]
    candidates += [(words, each) for words, each in owned if type(each) is type(witness)]
    if form.start is not None:  # see `attacked`
        others = ((other.name, other.witness.make()) for other in theorem.forms if other.name != form.name)
        candidates += [(f"witness of {name}", each) for name, each in others if type(each) is type(witness)]
    yield from ((words, each) for words, each in candidates if all(check(each) for check in checks))
    if form.start is not None:
        generator = torch.Generator().manual_seed(seed)
        drawn = (form.start(generator) for _ in range(count))
        yield from (("a random instance", each) for each in drawn if all(check(each) for check in checks))


def _kill(theorem: Theorem, mutant: Mutant, killer: str, ratio: float, instance: Any) -> Kill:
    return Kill(
        theorem=theorem.name,
        form=mutant.form,
        mutant=mutant.name,
        killer=killer,
        ratio=ratio,
        instance=instance if killer else None,
    )
