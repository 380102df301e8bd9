"""Whether the checks can fail at all: every mutant of every theorem must be killed, every weakened row noticed.

A mutant is killed by an instance that meets all hypotheses and violates it. Only the mutant "hypothesis dropped" is killed by
an instance that does not meet that hypothesis.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from rich.console import RenderableType

from kd2m_theory.reporting.sections import Column, Line, Section, Table
from kd2m_theory.reporting.terminal_view import plain, printed
from kd2m_theory.theory.catalogue import theorems
from kd2m_theory.theory.statement import Mutant, Theorem
from kd2m_theory.validation.torch_threads import torch_threads
from kd2m_theory.validation.trial.agreement import shrunk_rows
from kd2m_theory.validation.trial.falsifier import TOLERANCE, escape, ratio_beyond_rounding
from kd2m_theory.words import number

FACTOR = 0.9
_RANDOM = 200
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
    """

    theorem: str
    form: str
    mutant: str
    killer: str
    ratio: float


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
    found = []
    for mutant in theorem.all_mutants():
        killer, ratio = _hunt(theorem, mutant, steps, seed)
        found.append(Kill(theorem=theorem.name, form=mutant.form, mutant=mutant.name, killer=killer, ratio=ratio))
    for mutant, hypothesis in zip(dropped(theorem), theorem.hypotheses, strict=True):
        form = theorem.form(mutant.form)
        ratio = ratio_beyond_rounding(mutant.sides, hypothesis.counterexample.make(), form.free)
        killer = "its counterexample" if ratio > 1 + TOLERANCE else ""
        found.append(Kill(theorem=theorem.name, form=mutant.form, mutant=mutant.name, killer=killer, ratio=ratio))
    return tuple(found)


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


def _hunt(theorem: Theorem, mutant: Mutant, steps: int, seed: int) -> tuple[str, float]:
    """The first killer and its ratio; no killer and the largest ratio, if none was found."""
    form = theorem.form(mutant.form)
    own, best = form.witness.make(), 0.0
    candidates = [("its witness", own)]
    if mutant.killer is not None:
        candidates.append(("its own instance", mutant.killer()))
    if form.start is not None:  # where chance takes part, the size of an instance decides what can be enumerated
        others = ((other.name, other.witness.make()) for other in theorem.forms if other.name != form.name)
        candidates += [(f"witness of {name}", instance) for name, instance in others if type(instance) is type(own)]
    checks = [h.check for h in theorem.needed_by(form.name) if h.check is not None]
    for words, instance in candidates:
        if not all(check(instance) for check in checks):
            continue
        best = max(best, ratio_beyond_rounding(mutant.sides, instance, form.free))
        if best > 1 + TOLERANCE:
            return words, best
    if form.start is None:
        return "", best
    generator = torch.Generator().manual_seed(seed)
    for _ in range(_RANDOM):
        instance = form.start(generator)
        if all(check(instance) for check in checks):
            best = max(best, ratio_beyond_rounding(mutant.sides, instance, form.free))
        if best > 1 + TOLERANCE:
            return "a random instance", best
    finding = escape(mutant, theorem, seed=seed, steps=steps)
    return ("the falsifier" if finding.violated else "", max(best, finding.ratio))
