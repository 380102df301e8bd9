"""F3: T0 with what is known of the teacher in the population.

    R_S − R_T ≤ ρ + E max_y [ℓ_S(y) − 2ℓ_T(y)],      R_S − R_T ≥ E min_y [ℓ_S(y) + ℓ_T(y)] − 2ρ,      R_T ≤ ρ
    max(−d, d − 2e) ≤ err_S − err_T ≤ min(d, 1 − e)

with losses clipped at B: T0.teacher_risk with λ = 1 above and λ = 2 below, and F1 for the mean. The best λ depends on the
sample, so λ is fixed. These two are the least whole numbers that use ρ at all: at λ = 0 each side is T0, and the lower one at
λ = 1 is R_S ≥ E min_y ℓ_S(y). A larger λ pays λρ for it. A grid of four λ divides the limit's share of δ by four and is wider
on the pairs of the demonstration (`tests/bounds/rows/test_known_teacher.py`).

What is averaged has a range of 2B: some class is no more probable for the student than for the teacher, and there ℓ_S ≥ ℓ_T;
some class is no less probable, and there ℓ_S ≤ ℓ_T; so

    −B ≤ max_y [ℓ_S(y) − 2ℓ_T(y)] ≤ B,      0 ≤ min_y [ℓ_S(y) + ℓ_T(y)] ≤ 2B
"""

import numpy as np
from scipy.special import log_softmax

from kd2m_theory.arrays import Float64
from kd2m_theory.bounds.known import SINGLE, Interval, Known, Quantity, evaluated
from kd2m_theory.bounds.losses import clipped, cross_entropy, errors
from kd2m_theory.bounds.rows.f1_means import mean_limits, share_limits
from kd2m_theory.bounds.rows.row import (
    CLIPPED,
    COUNTED,
    LOGITS,
    NO_GROUPS,
    POPULATION_TEACHER_ERROR,
    POPULATION_TEACHER_RISK,
    RANDOM_ORDER,
    RANGE_FIXED,
    SAME_INPUTS,
    SAMPLED,
    Row,
    Sides,
    two_limits,
)
from kd2m_theory.bounds.rows.t0_known_teacher import error_ends
from kd2m_theory.bounds.view import View
from kd2m_theory.estimators.betting import betting_limits
from kd2m_theory.estimators.intervals import clopper_pearson_limits
from kd2m_theory.side_by_side import by_rows

ABOVE, BELOW = 1.0, 2.0


def _evaluation(view: View, quantity: Quantity) -> Interval:
    """What an evaluation of the teacher says of the population: 0, and an upper limit at the share of δ that a limit has."""
    logits, labels = evaluated(getattr(view.settings, quantity), quantity, view.classes)
    if quantity == "teacher_error":
        wrong = errors(logits, labels)
        return 0.0, clopper_pearson_limits(int(wrong.sum()), len(wrong), view.tail)[1]
    losses = clipped(cross_entropy(logits, labels), view.loss_bound)
    return 0.0, betting_limits(losses, 0.0, view.loss_bound, view.tail, in_order=False)[1]


def _known(view: View, quantity: Quantity) -> Known:
    value = getattr(view.settings, quantity)
    return value if isinstance(value, Known) else Known(_evaluation(view, quantity), about="population")


def _stated(view: View, known: Known) -> tuple[Float64, float]:
    """ρ of every input (n), by the class that the teacher predicts, NaN where nothing is known; and the largest possible ρ.

    No clipped risk is above B.
    """
    _, predicted = view.predicted()
    result = np.full(len(predicted), np.nan)
    for rows, interval in known.cells(predicted, SINGLE):
        if interval is not None:
            result[rows] = min(interval[1], view.loss_bound)
    ends = [known.value] if known.classes is None else list(known.classes.values())
    return result, min(view.loss_bound, (1 + SINGLE) * max(high for _, high in ends))  # type: ignore[misc]


def _risk(view: View) -> Sides:
    bound, known = view.loss_bound, _known(view, "teacher_risk")
    risk, most = _stated(view, known)
    used = ~np.isnan(risk)
    above, below = (np.where(used, weight, 0.0) for weight in (ABOVE, BELOW))

    def ends(student: Float64, teacher: Float64, above: Float64, below: Float64) -> tuple[Float64, Float64]:
        losses_s, losses_t = (clipped(-log_softmax(each, axis=1), bound) for each in (student, teacher))
        upper = (losses_s - (1 + above)[:, None] * losses_t).max(axis=1)
        return (losses_s - (1 - below)[:, None] * losses_t).min(axis=1), upper

    least, largest = by_rows(ends, view.stored_logits_student, view.stored_logits_teacher, above, below)
    # λρ is a part of what is averaged where ρ depends on the class, and a number where it does not.
    part, whole = (np.zeros(len(risk)), most) if known.classes is None else (np.nan_to_num(risk), 0.0)
    reach = most - whole
    upper, lower = largest + above * part, least - below * part
    _, highest = mean_limits(view, upper, -bound, bound + ABOVE * reach)
    # Without ρ it is the least change of the loss, which may be −B.
    floor = 0.0 if known.classes is None else -max(bound, BELOW * reach)
    lowest, _ = mean_limits(view, lower, floor, 2 * bound)
    return Sides(
        max(-bound, lowest - BELOW * whole),
        min(bound, highest + ABOVE * whole),
        details={"B": bound, "ρ": most} if known.classes is None else {"B": bound},
    )


def _error(view: View) -> Sides:
    wrong = _known(view, "teacher_error").value
    lower, upper = error_ends(share_limits(view, view.differ()), wrong, view.classes)  # type: ignore[arg-type]
    return Sides(lower, upper, details={"e": wrong[1]})  # type: ignore[index,dict-item]


ROWS = (
    Row(
        name="F3.teacher_risk",
        sentence="If the teacher's risk in the population is at most what was stated, or what its evaluation shows: how much "
        "worse or better the student's clipped loss can be, from unlabelled samples.",
        statement="E min_y [ℓ_S(y) + ℓ_T(y)] − 2ρ ≤ R_S − R_T ≤ ρ + E max_y [ℓ_S(y) − 2ℓ_T(y)] if R_T ≤ ρ, betting; no labels",
        latex=r"E\min_y[\ell_S(y)+\ell_T(y)]-2\rho \le R_S-R_T \le \rho+E\max_y[\ell_S(y)-2\ell_T(y)],\quad R_T\le\rho",
        source="F3, T0 with what is known of the teacher",
        target="population_gap",
        space="logits",
        inputs=(LOGITS, NO_GROUPS),
        needs=(SAME_INPUTS, POPULATION_TEACHER_RISK, RANGE_FIXED, RANDOM_ORDER, *SAMPLED),
        structural={
            **CLIPPED,
            "monotone loss": "clipped cross-entropy falls as p_y rises",
            "weight fixed before the sample": "λ is 1 above and 2 below, whatever the sample is",
        },
        compute=_risk,
        limits=two_limits("F3.teacher_risk"),
        forms=("F3.teacher_risk", "F1.betting", "F1.mixture"),
        told="teacher_risk",
    ),
    Row(
        name="F3.teacher_error",
        sentence="If the teacher's error rate in the population is at most what was stated, or what its evaluation shows: how "
        "much more or less often the student errs, from unlabelled samples.",
        statement="max(−d, d − 2e) ≤ err_S − err_T ≤ min(d, 1 − e) with limits of d = P(ŷ_S ≠ ŷ_T) and e = err_T; no labels",
        latex=r"\max(-d,d-2e) \le \mathrm{err}_S-\mathrm{err}_T \le d-(d+e-1)_+,\quad "
        r"d=P(\hat y_S\ne\hat y_T),\ e=\mathrm{err}_T",
        source="F3, T0 with what is known of the teacher",
        target="population_error_gap",
        space="logits",
        inputs=(LOGITS, NO_GROUPS),
        needs=(SAME_INPUTS, POPULATION_TEACHER_ERROR, *SAMPLED),
        structural=COUNTED,
        compute=_error,
        limits=two_limits("disagreement"),
        forms=("F3.teacher_error", "F3.error", "F1.clopper_pearson"),
        told="teacher_error",
        streams=True,
    ),
)
