"""F1: what labelled samples say about the population directly, without coupling or distance: the yardstick of F2 to F5.

Cross-entropy has no bound of its own. It is clipped at B, a number that comes from the user or is 2 ln K, never from the
sample; min(ℓ, B) changes no more than ℓ does. Intervals: betting (Waudby-Smith and Ramdas 2023) for means in [0, B], Clopper
and Pearson's for errors.
"""

import numpy as np

from kd2m_theory.arrays import Float64
from kd2m_theory.bounds.losses import clipped, errors
from kd2m_theory.bounds.rows.row import (
    CLIPPED,
    COUNTED,
    LABELS,
    LOGITS,
    RANDOM_ORDER,
    RANGE_FIXED,
    SAME_INPUTS,
    SAMPLED,
    Row,
    Sides,
)
from kd2m_theory.bounds.view import View
from kd2m_theory.estimators import Confidence, betting, clopper_pearson, paired_difference
from kd2m_theory.estimators.betting import betting_in_order


def clipped_losses(view: View) -> tuple[Float64, Float64]:
    """min(cross-entropy, B) of student and teacher for each sample."""
    student, teacher = view.losses()
    return clipped(student, view.loss_bound), clipped(teacher, view.loss_bound)


def mean_of(view: View, values: Float64, low: float, high: float) -> Confidence:
    """Interval for the population's mean of a variable in [low, high], at the row's share of δ."""
    # Betting in order is narrower, and for samples in an order that says nothing about them.
    interval = betting_in_order if view.like_chance else betting
    return interval(np.clip(values, low, high), low, high, view.delta, range_known=True)


def student_risk(view: View) -> Confidence:
    """Interval for the student's clipped risk: one event, however many rows read it."""
    return view.shared(f"student risk at {view.delta}", lambda: mean_of(view, clipped_losses(view)[0], 0.0, view.loss_bound))


def student_error(view: View) -> Confidence:
    """Interval for the student's error: one event."""
    labels, _ = view.both_labels()
    wrong = errors(view.logits_student, labels)
    return clopper_pearson(int(wrong.sum()), len(wrong), view.delta)


def _risk(view: View) -> Sides:
    interval = student_risk(view)
    return Sides(interval.lower, interval.upper, details={"B": view.loss_bound})


def _error(view: View) -> Sides:
    interval = student_error(view)
    return Sides(interval.lower, interval.upper)


def _gap(view: View) -> Sides:
    bound = view.loss_bound
    student, teacher = clipped_losses(view)
    interval = mean_of(view, student - teacher, -bound, bound)
    return Sides(interval.lower, interval.upper, details={"B": bound})


def _error_gap(view: View) -> Sides:
    wrong_s, wrong_t = errors(view.logits_student, view.labels), errors(view.logits_teacher, view.labels)
    interval = paired_difference(int((wrong_s & ~wrong_t).sum()), int((wrong_t & ~wrong_s).sum()), len(wrong_s), view.delta)
    return Sides(interval.lower, interval.upper)


_ONE = {
    "bounded loss": "an error is counted as 1, its absence as 0",
    "range fixed before the sample": "the range of a difference of errors is [−1, 1]",
}
ROWS = (
    Row(
        name="F1.gap",
        sentence="The yardstick: the interval that labelled samples give directly for the difference of the clipped losses.",
        statement="betting on ℓ_S − ℓ_T (yardstick)",
        latex=r"R_S-R_T \in I_\delta(\ell_S-\ell_T)",
        source="F1",
        target="population_gap",
        space="logits",
        inputs=(LOGITS, LABELS),
        needs=(SAME_INPUTS, RANGE_FIXED, RANDOM_ORDER, *SAMPLED),
        structural=CLIPPED,
        compute=_gap,
        event="F1.gap",
        forms=("F1.betting", "F1.mixture", "F3.difference"),
    ),
    Row(
        name="F1.risk",
        sentence="The yardstick: the interval that labelled samples give directly for the student's clipped loss.",
        statement="betting on ℓ_S (yardstick)",
        latex=r"R_S \in I_\delta(\ell_S)",
        source="F1",
        target="population_risk",
        space="logits",
        inputs=(LOGITS, LABELS),
        needs=(RANGE_FIXED, RANDOM_ORDER, *SAMPLED),
        structural=CLIPPED,
        compute=_risk,
        event="student risk",
        forms=("F1.betting", "F1.mixture"),
    ),
    Row(
        name="F1.error_gap",
        sentence="The yardstick: the interval that labelled samples give directly for the difference of the error rates.",
        statement="Clopper–Pearson on discordant samples (yardstick)",
        latex=r"L(k_S)-U(k_T) \le err_S-err_T \le U(k_S)-L(k_T),\quad k_S=\#\{\hat y_S\ne Y=\hat y_T\}",
        source="F1",
        target="population_error_gap",
        space="logits",
        inputs=(LOGITS, LABELS),
        needs=(SAME_INPUTS, *SAMPLED),
        structural={**COUNTED, **_ONE},
        compute=_error_gap,
        event="error_gap",
        forms=("F1.clopper_pearson", "F3.difference"),
    ),
    Row(
        name="F1.error",
        sentence="The yardstick: the interval that labelled samples give directly for the student's error rate.",
        statement="Clopper–Pearson (yardstick)",
        latex=r"L(k) \le err_S \le U(k),\quad k=\#\{\hat y_S\ne Y\}",
        source="F1",
        target="population_error",
        space="logits",
        inputs=(LOGITS, LABELS),
        needs=SAMPLED,
        structural=COUNTED,
        compute=_error,
        event="accuracy_student",
        forms=("F1.clopper_pearson",),
    ),
)
