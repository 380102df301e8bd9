"""Instances of the catalogue put through the shipped code: the oracle and the audit must agree."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from kd2m_theory.bounds import ROWS, BoundResult, Ladder, Settings
from kd2m_theory.bounds.known import SINGLE
from kd2m_theory.bounds.targets import SUBJECTS
from kd2m_theory.pair import Pair
from kd2m_theory.theory.instance import Instance, zero_one
from kd2m_theory.theory.statement import Form, Sides, Theorem

AGREEMENT = 1e-6
# A certified number lies outward by what rounding may have done to numbers of ordinary size.
_ROUNDING = 1e-12
_TEMPERED = "T9.ttm"
# The rows that are compared are about the sample: none of their numbers depends on it.
_DELTA = 0.05


@dataclass(frozen=True)
class Comparison:
    """A form on an instance, by the catalogue and by the audit.

    Attributes:
        form: its name.
        row: the audit's row; None if there is nothing to compare.
        why: why there is nothing to compare; empty if there is.
        faults: what is wrong, in words.
    """

    form: str
    row: BoundResult | None
    why: str = ""
    faults: tuple[str, ...] = ()


def pair_of(instance: Instance) -> Pair:
    """The instance as a pair; the empirical laws are the same (a single point is given twice, a pair needs two)."""
    parts = (instance.student, instance.teacher, instance.labels_student, instance.labels_teacher)
    copies = 2 if min(map(len, parts)) < 2 else 1
    student, teacher, labels_student, labels_teacher = (torch.cat([part.detach()] * copies).numpy() for part in parts)
    own = None if instance.own is None else torch.cat([instance.logits_student.detach()] * copies).numpy()
    paired = len(student) == len(teacher) and instance.same_labels
    return Pair(
        teacher,
        student,
        labels_teacher,
        logits_student=own,
        head_weight=instance.weight.detach().numpy(),
        head_bias=instance.bias.detach().numpy(),
        inputs_paired=paired,
        labels_student=None if paired else labels_student,
    )


def row_of(name: str, instance: Instance) -> BoundResult:
    """The audit's row of that name on the instance."""
    (row,) = _rows([name], name, instance)
    return row


def _rows(names: Sequence[str], form: str, instance: Instance) -> tuple[BoundResult, ...]:
    """Rows of the audit on an instance of a form, without what an audit measures and prints beside them."""
    return Ladder(pair_of(instance), _DELTA, names, Settings(**_settings(form, instance))).evaluate()


def _settings(name: str, instance: Instance) -> Mapping[str, Any]:
    """What an audit is told of an instance: the one parameter of a form, and for rows of the teacher's risk or error these."""
    if name == _TEMPERED:
        return {"temperature": 1.0 / instance.parameter} if instance.parameter <= 1 else {}
    risk = instance.parameter * float(instance.loss(instance.logits_teacher.detach(), instance.labels_teacher).mean())
    error = float(zero_one(instance.logits_teacher.detach(), instance.labels_teacher).mean())
    told: dict[str, Mapping[str, Any]] = {
        "T0.teacher_risk": {"teacher_risk": risk / (1 + SINGLE)},  # the row adds what single precision may have taken
        "T0.teacher_error": {"teacher_error": (error, error)},
    }
    return told.get(name, {})


def compare(form: Form, instance: Any, *, numbers: bool = True) -> Comparison:
    """Whether the row holds and, if numbers are compared, says the catalogue's or tighter ones."""
    if not form.row:
        return Comparison(form=form.name, row=None, why="no row computes this form")
    if form.name not in {row.name for row in ROWS}:
        return Comparison(
            form=form.name, row=None, why="the audit has no such row", faults=(f"{form.name}: the audit has no such row",)
        )
    if not isinstance(instance, Instance):
        return Comparison(form=form.name, row=None, why="the instance is not a pair of point clouds")
    if form.name == _TEMPERED and instance.parameter > 1:
        return Comparison(form=form.name, row=None, why="the audit softens a teacher, and this one is sharpened")
    row = row_of(form.name, instance)
    if not row.applicable:
        return Comparison(
            form=form.name, row=row, why=row.why, faults=(f"{form.name}: not applicable to its own instance ({row.why})",)
        )
    faults = []
    if row.holds is False:
        faults.append(f"{form.name}: the audit's row does not hold ({row.lower:.9g} ≤ {row.measured!r} ≤ {row.upper:.9g})")
    if not numbers:
        return Comparison(form=form.name, row=row, why="", faults=tuple(faults))
    sides = form.sides(instance)
    bounds: list[tuple[str, float, Tensor]] = [("upper", row.upper, sides.upper)]
    if sides.lower is not None:
        bounds.append(("lower", -row.lower, -sides.lower))
    for side, shipped, reference in bounds:
        allowed = float(reference) + AGREEMENT * max(abs(float(reference)), abs(float(sides.gap))) + _ROUNDING
        if shipped > allowed:
            faults.append(f"{form.name}: the audit's {side} side is looser, {abs(shipped):.9g} for {abs(float(reference)):.9g}")
    return Comparison(form=form.name, row=row, why="", faults=tuple(faults))


def shrunk_rows(factor: float, catalogue: Sequence[Theorem]) -> dict[str, tuple[float, bool]]:
    """For each guaranteed row about the sample: how much of it the witnesses of its theorem use at most, and whether the row
    with both sides tightened by a factor below 1 is seen to fail there.
    """
    result: dict[str, tuple[float, bool]] = {}
    for theorem in catalogue:
        own = {form.name for form in theorem.forms}
        mine = [row for row in ROWS if row.name.split(".")[0] == theorem.name or row.name in own]
        names = [row.name for row in mine if SUBJECTS[row.target].about == "sample"]
        result |= {name: (0.0, False) for name in names if name not in result}
        for form in theorem.forms:
            instance = form.witness.make()
            if not names or not isinstance(instance, Instance):
                continue
            for row in _rows(names, form.name, instance):
                if not row.guaranteed or row.measured is None:
                    continue
                share = _share(row)
                if share > result[row.name][0]:
                    lower, upper = _tightened(row, factor)
                    result[row.name] = share, not lower - row.rounding <= row.measured <= upper + row.rounding
    return result


def _tightened(row: BoundResult, factor: float) -> tuple[float, float]:
    lower = row.lower * factor if row.lower < 0 else row.lower / factor
    return lower, row.upper * factor if row.upper > 0 else row.upper / factor


def _share(row: BoundResult) -> float:
    """How much of the row the measured value uses, on the side where it is most."""
    assert row.measured is not None
    sides = (torch.tensor(value, dtype=torch.float64) for value in (row.measured, row.upper, row.lower))
    return float(Sides(*sides).ratio)
