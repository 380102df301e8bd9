"""T0: bounds that need no labels where they are evaluated.

    E min_y [ℓ(f_S, y) − ℓ(f_T, y)] ≤ R_S − R_T ≤ E max_y [ℓ(f_S, y) − ℓ(f_T, y)],      |err_S − err_T| ≤ P(ŷ_S ≠ ŷ_T)

For cross-entropy ℓ_S(y) − ℓ_T(y) = lse(a_S) − lse(a_T) − Δ_y with Δ = a_S − a_T, so the extremes over y are those of Δ.
Sharp: labels may be the ones at which each maximum is attained.
"""

import math

import numpy as np

from kd2m_theory.bounds.rows.row import LOGITS, SAME_INPUTS, Row, Sides, both_sides
from kd2m_theory.bounds.view import View
from kd2m_theory.bounds.work import passes
from kd2m_theory.bounds.worst_labels import worst_labels
from kd2m_theory.estimators.ground import EPS

# Names of details: R_S − R_T ≤ R_T + the first, R_S − R_T ≥ the second − 2R_T.
ABOVE, BELOW = "E max_y [ℓ_S(y) − 2ℓ_T(y)]", "E min_y [ℓ_S(y) + ℓ_T(y)]"


def _risk(view: View) -> Sides:
    least, largest = view.changes()
    student, teacher = view.log_partitions()
    n = len(least)
    size = np.abs(student) + np.abs(teacher) + np.maximum(np.abs(least), np.abs(largest))
    rounding = 4 * EPS * (math.fsum(size) / n + view.classes + 8) + view.replay_extreme
    lower = math.fsum(student - teacher - largest) / n
    upper = math.fsum(student - teacher - least) / n
    return Sides(lower - rounding, upper + rounding, details=_by_teacher(view))


def _by_teacher(view: View) -> dict[str, float]:
    """Two lines that bound the gap by the teacher's own risk, where no labels tell it: T0.known with λ = 1 and λ = 2."""
    if view.labels_teacher is not None or view.streamed is not None:
        return {}
    labels = worst_labels(view)
    return {ABOVE: labels.intercept(1, 1.0), BELOW: -labels.intercept(-1, 2.0)}


def _error(view: View) -> Sides:
    differ = view.differ()
    return both_sides(min(1.0, math.nextafter(int(differ.sum()) / len(differ), math.inf)))


ROWS = (
    Row(
        name="T0",
        sentence="Averaged over the inputs: the most and the least that the loss could grow from teacher to student whatever "
        "the true label is, so no labels are needed.",
        statement="E min_y [ℓ_S(y) − ℓ_T(y)] ≤ R_S − R_T ≤ E max_y [ℓ_S(y) − ℓ_T(y)]",
        latex=r"E\min_y[\ell_S(y)-\ell_T(y)] \le R_S-R_T \le E\max_y[\ell_S(y)-\ell_T(y)]",
        source="T0, label-free",
        target="gap",
        space="logits",
        inputs=(LOGITS,),
        needs=(SAME_INPUTS,),
        structural={},
        compute=_risk,
        streams=True,
        work=passes(3),
    ),
    Row(
        name="T0.error",
        sentence="The two error rates differ by at most the share of inputs on which the networks predict different classes.",
        statement="|err_S − err_T| ≤ P(student and teacher predict different classes)",
        latex=r"|\mathrm{err}_S-\mathrm{err}_T| \le P(\hat y_S\ne\hat y_T)",
        source="T0, label-free",
        target="error_gap",
        space="logits",
        inputs=(LOGITS,),
        needs=(SAME_INPUTS,),
        structural={},
        compute=_error,
        streams=True,
    ),
)
