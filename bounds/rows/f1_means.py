"""F1: what labelled samples say about the population directly, without coupling or distance: the yardstick of F2 to F5.

Cross-entropy has no bound of its own. It is clipped at B, a number that comes from the user or is 2 ln K, never from the
sample; min(ℓ, B) changes no more than ℓ does. Intervals: betting (Waudby-Smith and Ramdas 2023) for means in [0, B], Clopper
and Pearson's for errors, and an exact one for the difference of two errors.
"""

import numpy as np
from numpy.typing import NDArray

from kd2m_theory.arrays import Float64
from kd2m_theory.bounds.losses import clipped
from kd2m_theory.bounds.rows.row import (
    CLIPPED,
    COUNTED,
    LABELS,
    LOGITS,
    RANDOM_ORDER,
    RANGE_FIXED,
    SAME_INPUTS,
    SAMPLED,
    SHARES,
    Row,
    Sides,
    two_limits,
)
from kd2m_theory.bounds.view import View
from kd2m_theory.estimators import Confidence, betting, paired_difference
from kd2m_theory.estimators.betting import betting_limits
from kd2m_theory.estimators.intervals import clopper_pearson_limits

# Part of a limit's failure probability that betting in order has; without repeated samples it is the only way taken.
IN_ORDER = 0.9


def clipped_losses(view: View) -> tuple[Float64, Float64]:
    """min(cross-entropy, B) of student and teacher for each sample."""
    student, teacher = view.losses()
    return clipped(student, view.loss_bound), clipped(teacher, view.loss_bound)


def mean_limits(view: View, values: Float64, low: float, high: float) -> tuple[float, float]:
    """Limits of the population's mean of a variable in [low, high], each at the share of δ that a limit has.

    Betting in order is narrower, and for samples in an order that says nothing about them. Whether they are is seen on the
    samples themselves, so the two ways divide the share: together they are wrong with no more probability than it.
    """
    part = IN_ORDER if view.like_chance else 1 - IN_ORDER
    values = view.averaged(np.clip(values, low, high))
    return betting_limits(np.clip(values, low, high), low, high, part * view.tail, in_order=view.like_chance)


def share_limits(view: View, events: NDArray[np.bool_]) -> tuple[float, float]:
    """Limits of an event's probability, each at the share of δ that a limit has; of groups, of its share in a group."""
    if view.groups is not None:
        interval = of_groups(view, events, 0.0, 2 * view.tail)
        return interval.lower, interval.upper
    return clopper_pearson_limits(int(events.sum()), len(events), view.tail)


def of_groups(view: View, values: NDArray[np.bool_] | Float64, low: float, delta: float) -> Confidence:
    """Interval for the mean over groups of a value in [low, 1]; in any order, for groups with few values repeat."""
    means = np.clip(view.averaged(np.asarray(values, dtype=np.float64)), low, 1.0)
    return betting(means, low, 1.0, delta, unit="probability", range_known=True)


def student_risk(view: View) -> tuple[float, float]:
    """Limits of the student's clipped risk: two, however many rows read them."""
    return view.shared(f"student risk at {view.tail}", lambda: mean_limits(view, clipped_losses(view)[0], 0.0, view.loss_bound))


def student_wrong(view: View) -> NDArray[np.bool_]:
    """Whether the student errs on each sample."""
    return view.wrong()[0]


def error_difference(view: View, delta: float) -> Confidence:
    """Interval for the difference of the error rates on the same inputs, from the discordant samples alone.

    Two are valid, this one and betting on the differences −1, 0 and 1. Taking the narrower of both would cost the union of
    their failures, which is wider than this one at nearly all laws (`validation/benchmarks/widths.py`).
    """
    wrong_s, wrong_t = view.wrong()
    if view.groups is not None:
        change = wrong_s.astype(np.float64) - wrong_t
        return view.shared(f"error gap at {delta}", lambda: of_groups(view, change, -1.0, delta))
    counts = int((wrong_s & ~wrong_t).sum()), int((wrong_t & ~wrong_s).sum())
    return view.shared(f"error gap at {delta}", lambda: paired_difference(*counts, len(wrong_s), delta))


def _risk(view: View) -> Sides:
    return Sides(*student_risk(view), details={"B": view.loss_bound})


def _error(view: View) -> Sides:
    return Sides(*share_limits(view, student_wrong(view)))


def _gap(view: View) -> Sides:
    bound = view.loss_bound
    student, teacher = clipped_losses(view)
    return Sides(*mean_limits(view, student - teacher, -bound, bound), details={"B": bound})


def _error_gap(view: View) -> Sides:
    interval = error_difference(view, 2 * view.tail)
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
        limits=two_limits("F1.gap"),
        forms=("F1.betting", "F1.mixture", "F3.difference"),
        streams=True,
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
        limits=two_limits("student risk"),
        forms=("F1.betting", "F1.mixture"),
        streams=True,
    ),
    Row(
        name="F1.error_gap",
        sentence="The yardstick: the interval that labelled samples give directly for the difference of the error rates.",
        statement="exact interval from discordant samples (yardstick)",
        latex=r"L(k_S,k_T) \le \mathrm{err}_S-\mathrm{err}_T \le U(k_S,k_T),\quad k_S=\#\{\hat y_S\ne Y=\hat y_T\}",
        source="F1",
        target="population_error_gap",
        space="logits",
        inputs=(LOGITS, LABELS),
        needs=(SAME_INPUTS, *SAMPLED),
        structural={**COUNTED, **_ONE},
        compute=_error_gap,
        limits=two_limits("error gap"),
        forms=("F1.clopper_pearson", "F1.mixture", "F3.difference"),
        streams=True,
    ),
    Row(
        name="F1.error",
        sentence="The yardstick: the interval that labelled samples give directly for the student's error rate.",
        statement="Clopper–Pearson (yardstick)",
        latex=r"L(k) \le \mathrm{err}_S \le U(k),\quad k=\#\{\hat y_S\ne Y\}",
        source="F1",
        target="population_error",
        space="logits",
        inputs=(LOGITS, LABELS),
        needs=SAMPLED,
        structural={**COUNTED, **SHARES},
        compute=_error,
        limits=two_limits("student error"),
        forms=("F1.clopper_pearson", "F1.mixture"),
        streams=True,
    ),
)
