"""T0: bounds that need no labels where they are evaluated.

    E min_y [ℓ(f_S, y) − ℓ(f_T, y)] ≤ R_S − R_T ≤ E max_y [ℓ(f_S, y) − ℓ(f_T, y)],      |err_S − err_T| ≤ P(ŷ_S ≠ ŷ_T)

For cross-entropy ℓ_S(y) − ℓ_T(y) = lse(a_S) − lse(a_T) − Δ_y with Δ = a_S − a_T, so the extremes over y are those of Δ.
Sharp: labels may be the ones at which each maximum is attained.
"""

import math

import numpy as np

from kd2m_theory.bounds.losses import log_partition
from kd2m_theory.bounds.rows.row import SAME_INPUTS, VIEW, Row, Sides, both_sides
from kd2m_theory.bounds.view import View
from kd2m_theory.estimators.ground import EPS


def _risk(view: View) -> Sides:
    change = view.logits_student - view.logits_teacher
    student, teacher = log_partition(view.logits_student), log_partition(view.logits_teacher)
    n = len(change)
    extremes = np.maximum(np.abs(change.min(axis=1)), np.abs(change.max(axis=1)))
    size = np.abs(student) + np.abs(teacher) + extremes
    rounding = 4 * EPS * (math.fsum(size) / n + view.classes + 8)
    lower = math.fsum(student - teacher - change.max(axis=1)) / n
    upper = math.fsum(student - teacher - change.min(axis=1)) / n
    return Sides(lower - rounding, upper + rounding)


def _error(view: View) -> Sides:
    differ = view.logits_student.argmax(axis=1) != view.logits_teacher.argmax(axis=1)
    return both_sides(float(differ.mean()))


ROWS = (
    Row(
        name="T0",
        statement="E min_y [ℓ_S(y) − ℓ_T(y)] ≤ R_S − R_T ≤ E max_y [ℓ_S(y) − ℓ_T(y)]",
        source="T0, label-free",
        target="gap",
        space="logits",
        needs=(VIEW, SAME_INPUTS),
        compute=_risk,
    ),
    Row(
        name="T0.error",
        statement="|err_S − err_T| ≤ P(student and teacher predict different classes)",
        source="T0, label-free",
        target="error_gap",
        space="logits",
        needs=(VIEW, SAME_INPUTS),
        compute=_error,
    ),
)
