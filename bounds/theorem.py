"""The form of a row before it meets a pair: what it says, what it needs, how it is computed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from kd2m_theory.bounds.result import Assumption, Target
from kd2m_theory.bounds.view import Space, View
from kd2m_theory.estimators import Enclosure
from kd2m_theory.pair import Pair


@dataclass(frozen=True, slots=True)
class Sides:
    """The numbers of a row: lower ≤ target ≤ upper, and what they were made of."""

    lower: float
    upper: float
    distances: Mapping[str, Enclosure] = field(default_factory=dict)
    details: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Requirement:
    """A hypothesis and its check.

    Attributes:
        check: the hypothesis' state for a pair under a view (None when the pair has no such view).
        blocking: whether there is no number without it.
    """

    check: Callable[[Pair, View | None], Assumption]
    blocking: bool = True


@dataclass(frozen=True, slots=True)
class Row:
    """One inequality lower ≤ target ≤ upper.

    Attributes:
        name: row name, theorem first.
        statement: the inequality.
        source: theorem and paper.
        target: the measured difference it is about.
        space: the view it is computed in.
        needs: its hypotheses.
        compute: the numbers, once every blocking hypothesis is met.
    """

    name: str
    statement: str
    source: str
    target: Target
    space: Space
    needs: tuple[Requirement, ...]
    compute: Callable[[View], Sides]


def both_sides(
    value: float, distances: Mapping[str, Enclosure] | None = None, details: Mapping[str, float] | None = None
) -> Sides:
    """|target| ≤ value."""
    return Sides(0.0 - value, value, distances or {}, details or {})


def _same_inputs(pair: Pair, _view: View | None) -> Assumption:
    if pair.inputs_paired:
        return Assumption("same inputs", "vouched", "row i of both networks is the same input, says inputs_paired=True")
    return Assumption("same inputs", "unmet", "the pair says inputs_paired=False; run both networks over the same inputs")


def _labels(pair: Pair, _view: View | None) -> Assumption:
    if pair.labels is not None:
        return Assumption("labels", "met", f"{pair.n} labels")
    return Assumption("labels", "unmet", "the pair is unlabelled; pass labels")


def _view(pair: Pair, view: View | None) -> Assumption:
    if view is not None and view.space == "features":
        return Assumption("shared linear head", "met", f"head of shape {view.classes}×{view.weight.shape[1]}")
    if view is not None:
        return Assumption("logits of both", "met", f"{view.classes} classes")
    if pair.features_teacher is None or pair.features_student is None:
        return Assumption("shared linear head", "unmet", "the pair has logits only; pass features and head_weight")
    if pair.head_weight is None:
        return Assumption("shared linear head", "unmet", "the pair has no head; pass head_weight and head_bias")
    return Assumption(
        "shared linear head",
        "unmet",
        f"student features have dimension {pair.features_student.shape[1]}, the head takes {pair.head_weight.shape[1]}",
    )


def _class_shares(pair: Pair, view: View | None) -> Assumption:
    if pair.inputs_paired:
        return Assumption("same class shares", "met", "the same labels on both sides")
    if view is None or view.labels_student is None or view.labels_teacher is None:
        return Assumption("same class shares", "unmet", "unknown without labels of both sides")
    size = view.classes
    counts = [np.bincount(labels, minlength=size) for labels in (view.labels_student, view.labels_teacher)]
    if np.array_equal(counts[0] * len(view.labels_teacher), counts[1] * len(view.labels_student)):
        return Assumption("same class shares", "met", "class frequencies agree exactly")
    return Assumption("same class shares", "unmet", "class frequencies differ between the sides; sample the classes alike")


SAME_INPUTS = Requirement(_same_inputs)
LABELS = Requirement(_labels)
VIEW = Requirement(_view)
CLASS_SHARES = Requirement(_class_shares)
