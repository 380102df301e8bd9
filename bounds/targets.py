"""What rows are about: each target with its words, its unit, and its value on the sample."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from kd2m_theory.arrays import Float64
from kd2m_theory.assumptions import About
from kd2m_theory.bounds.constants.heads import sizes_of_terms
from kd2m_theory.bounds.losses import brier_score, clipped, squared_error
from kd2m_theory.bounds.view import Space, View
from kd2m_theory.estimators.distances import combine_classes
from kd2m_theory.estimators.ground import EPS

Target = Literal[
    "gap",
    "gap_shared_head",
    "error_gap",
    "error_student",
    "probability_gap",
    "tempered_gap",
    "squared_gap",
    "brier_gap",
    "class_w2",
    "expected_gap",
    "population_gap",
    "population_risk",
    "population_error_gap",
    "population_error",
    "population_brier_gap",
]


@dataclass(frozen=True, slots=True)
class Value:
    """A target on one sample, and what is known of it without any row.

    Attributes:
        measured: its value; None without labels, for what one sample does not show (`Subject.about`), and where float64 has no
            finite number for it.
        rounding: how far float64 may have moved it.
        vacuous_from: an upper bound of at least this says nothing new. For a difference of losses: the student may be uniform
            guessing. For a difference of shares (error rates, probabilities): its largest value, which is 1 less the
            teacher's share with labels, and 1 without.
        least: a lower bound of at most this says nothing new: the least value of a difference of shares, which is minus the
            teacher's share with labels, and −1 without. None for losses, of which no lower bound but one above 0 is news.
    """

    measured: float | None
    rounding: float
    vacuous_from: float
    least: float | None = None

    def __post_init__(self) -> None:
        if self.measured is not None and not (math.isfinite(self.measured) and math.isfinite(self.rounding)):
            object.__setattr__(self, "measured", None)
            object.__setattr__(self, "rounding", 0.0)


def _of_shares(difference: float | None, rounding: float, teacher: float) -> Value:
    """A difference of two shares of which the teacher's is known."""
    return Value(difference, rounding, 1.0 - teacher, 0.0 - teacher)


_UNKNOWN_SHARES = Value(None, 0.0, 1.0, -1.0)


@dataclass(frozen=True, slots=True)
class Subject:
    """What a target is.

    Attributes:
        words: for people.
        compared: what is compared, as in "the student's … is higher"; the student's own for a risk.
        unit: "nats", "probability", "squared" (squared loss), or "distance".
        space: the view it is measured in.
        worst: what a vacuous upper bound allows.
        value: its value on a sample; labels are there if `labelled`.
        about: "sample", "labels" (the mean over labels drawn given these inputs), or "population": only the first is measured.
    """

    words: str
    compared: str
    unit: Literal["nats", "probability", "squared", "distance"]
    space: Space
    worst: str
    value: Callable[[View, bool], Value]
    about: About = "sample"


def _mean(values: Float64) -> float:
    return math.fsum(values) / len(values)


def _gap(view: View, labelled: bool) -> Value:
    if not labelled:
        return Value(None, 0.0, math.log(view.classes))
    student, teacher = view.losses()
    risk = _mean(teacher)
    return Value(_mean(student) - risk, view.rounding, math.log(view.classes) - risk)


def _wrong(view: View) -> tuple[float, float]:
    student, teacher = view.wrong()
    return float(student.mean()), float(teacher.mean())


def _error_gap(view: View, labelled: bool) -> Value:
    if not labelled:
        return _UNKNOWN_SHARES
    student, teacher = _wrong(view)
    return _of_shares(student - teacher, 1e-15, teacher)


def _error_student(view: View, labelled: bool) -> Value:
    return Value(_wrong(view)[0] if labelled else None, 1e-15, 1.0)


def _probabilities(view: View, teacher_losses: Float64) -> Value:
    student, teacher = np.exp(-view.losses()[0]), np.exp(-teacher_losses)
    # An exponent is right to a few roundings of the logits that it is a difference of.
    rounding = 8 * EPS * (view.classes + 8 + sum(view.depth))
    return _of_shares(_mean(student) - _mean(teacher), rounding, _mean(teacher))


def _probability_gap(view: View, labelled: bool) -> Value:
    return _probabilities(view, view.losses()[1]) if labelled else _UNKNOWN_SHARES


def _tempered_gap(view: View, labelled: bool) -> Value:
    told = labelled and view.settings.temperature
    return _probabilities(view, view.per_sample("tempered_loss")) if told else _UNKNOWN_SHARES


def _squared(view: View, losses: tuple[Float64, Float64], depth: float) -> Value:
    """The gap of squared losses of outputs whose size is at most `depth`."""
    risks = [_mean(values) for values in losses]
    guessing = 1.0 - 1.0 / view.classes
    # Outputs that are off by e change the mean of ‖r‖² by at most 2 e √(mean of ‖r‖²) + e².
    off = 16 * EPS * math.sqrt(view.classes) * depth
    rounding = 16 * EPS * (view.classes + 8) * (sum(risks) + 2.0) + off * (sum(map(math.sqrt, risks)) + off)
    return Value(risks[0] - risks[1], rounding, guessing - risks[1])


def _squared_gap(view: View, labelled: bool) -> Value:
    if not labelled:
        return Value(None, 0.0, 1.0)
    # Relative to a residual, rounding of Wz + b weighs as much as the terms that were summed.
    labels_s, labels_t = view.both_labels()
    losses = squared_error(view.stored_logits_student, labels_s), squared_error(view.stored_logits_teacher, labels_t)
    no_bias = np.zeros(view.classes)
    terms = sum(
        max(float(sizes.max()) for _, sizes in sizes_of_terms(points, view.linear, no_bias))
        for points in (view.student, view.teacher)
    )
    return _squared(view, losses, view.linear.shape[1] * (1.0 + terms))


def _brier_gap(view: View, labelled: bool) -> Value:
    if not labelled:
        return Value(None, 0.0, 1.0)
    labels_s, labels_t = view.both_labels()
    losses = view.shared(
        "Brier's scores",
        lambda: (brier_score(view.stored_logits_student, labels_s), brier_score(view.stored_logits_teacher, labels_t)),
        of_logits=True,
    )
    return _squared(view, losses, sum(view.depth))


def _class_w2(view: View, _labelled: bool) -> Value:
    if view.labels_student is None or not view.same_shares:
        return Value(None, 0.0, math.inf)
    distance = combine_classes(view.w2(), view.shares, 2)
    return Value(distance.upper, distance.gap, math.inf)


def _expected_gap(view: View, _labelled: bool) -> Value:
    """Labels come from the teacher, so its expected risk is the mean entropy of its predictions."""
    entropy = -_mean(view.per_sample("negative_entropy_teacher"))
    return Value(None, 0.0, math.log(view.classes) - entropy)


def _population_gap(view: View, labelled: bool) -> Value:
    """The teacher's clipped risk of the sample stands for the population's: a yardstick, not a bound."""
    teacher = _mean(clipped(view.losses()[1], view.loss_bound)) if labelled else 0.0
    return Value(None, 0.0, _guessing(view) - teacher)


def _population_error_gap(view: View, labelled: bool) -> Value:
    return _of_shares(None, 0.0, _wrong(view)[1]) if labelled else _UNKNOWN_SHARES


def _population_brier_gap(view: View, labelled: bool) -> Value:
    return Value(None, 0.0, _brier_gap(view, True).vacuous_from if labelled else 1.0 - 1.0 / view.classes)


def _guessing(view: View) -> float:
    return min(view.loss_bound, math.log(view.classes))


_OWN, _SHARED = "each network with its own head", "through the teacher's head"
_UNIFORM = "the risk of uniform guessing"
SUBJECTS: Mapping[Target, Subject] = {
    "gap_shared_head": Subject(
        words=f"R_S − R_T {_SHARED}, cross-entropy in nats",
        compared="cross-entropy, through the teacher's head,",
        unit="nats",
        space="features",
        worst=_UNIFORM,
        value=_gap,
    ),
    "gap": Subject(
        words=f"R_S − R_T, {_OWN}, cross-entropy in nats",
        compared="cross-entropy",
        unit="nats",
        space="logits",
        worst=_UNIFORM,
        value=_gap,
    ),
    "error_gap": Subject(
        words=f"err_S − err_T, {_OWN}, probability",
        compared="error rate",
        unit="probability",
        space="logits",
        worst="an error of 1",
        value=_error_gap,
    ),
    "error_student": Subject(
        words="err_S, own head, probability",
        compared="error rate",
        unit="probability",
        space="logits",
        worst="an error of 1",
        value=_error_student,
    ),
    "probability_gap": Subject(
        words="E p_S(Y) − E p_T(Y), probability of the true class",
        compared="probability of the true class",
        unit="probability",
        space="logits",
        worst="any change",
        value=_probability_gap,
    ),
    "tempered_gap": Subject(
        words="E p_S(Y) − E p̂_T(Y), teacher softened by the temperature",
        compared="probability of the true class",
        unit="probability",
        space="logits",
        worst="any change",
        value=_tempered_gap,
    ),
    "squared_gap": Subject(
        words=f"gap of the squared loss ‖Wz + b − e_y‖², {_SHARED}",
        compared="squared loss",
        unit="squared",
        space="features",
        worst=_UNIFORM,
        value=_squared_gap,
    ),
    "brier_gap": Subject(
        words=f"gap of Brier's score ‖p − e_y‖², {_OWN}",
        compared="Brier's score",
        unit="squared",
        space="logits",
        worst=_UNIFORM,
        value=_brier_gap,
    ),
    "class_w2": Subject(
        words="W₂ between the features, root mean square over classes",
        compared="features",
        unit="distance",
        space="features",
        worst="any",
        value=_class_w2,
    ),
    "expected_gap": Subject(
        words=f"expected over labels drawn from the teacher given these inputs: R_S − R_T, {_OWN}, cross-entropy in nats",
        compared="cross-entropy, on average over labels drawn for these inputs,",
        unit="nats",
        space="logits",
        worst=_UNIFORM,
        value=_expected_gap,
        about="labels",
    ),
    "population_gap": Subject(
        words=f"population: R_S − R_T, {_OWN}, clipped cross-entropy",
        compared="clipped cross-entropy on the population",
        unit="nats",
        space="logits",
        worst=_UNIFORM,
        value=_population_gap,
        about="population",
    ),
    "population_risk": Subject(
        words="population: R_S, own head, clipped cross-entropy",
        compared="clipped cross-entropy on the population",
        unit="nats",
        space="logits",
        worst=_UNIFORM,
        value=lambda view, _labelled: Value(None, 0.0, _guessing(view)),
        about="population",
    ),
    "population_error_gap": Subject(
        words=f"population: err_S − err_T, {_OWN}",
        compared="error rate on the population",
        unit="probability",
        space="logits",
        worst="an error of 1",
        value=_population_error_gap,
        about="population",
    ),
    "population_error": Subject(
        words="population: err_S, own head",
        compared="error rate on the population",
        unit="probability",
        space="logits",
        worst="an error of 1",
        value=lambda _view, _labelled: Value(None, 0.0, 1.0),
        about="population",
    ),
    "population_brier_gap": Subject(
        words=f"population: gap of Brier's score, {_OWN}",
        compared="Brier's score on the population",
        unit="squared",
        space="logits",
        worst=_UNIFORM,
        value=_population_brier_gap,
        about="population",
    ),
}

# What a measured value is called in tables.
MEASURED = {
    "risk_teacher": "teacher risk",
    "risk_student": "student risk, own head",
    "gap": "gap R_S − R_T, own heads",
    "risk_student_shared_head": "student risk, teacher's head",
    "gap_shared_head": "gap R_S − R_T, teacher's head",
    "head_mismatch": "head mismatch (own − teacher's)",
    "accuracy_teacher": "teacher accuracy",
    "accuracy_student": "student accuracy",
    "error_gap": "error gap err_S − err_T",
    "disagreement": "disagreement",
}
