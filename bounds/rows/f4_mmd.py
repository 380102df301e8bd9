"""F4: a kernel bound for the population, without anything vouched for: Brier's score of predicted probabilities.

Let q = p − 1/K. On (q, Y) take the kernel 1{y = y'} (⟨q, q'⟩ + c)², which lies between 0 and κ = (1 − 1/K + c)². Brier's score
‖q + 1/K − e_y‖² = ‖q‖² + 2⟨q, 1/K − e_y⟩ + 1 − 1/K lies in its RKHS up to the constant, with squared norm
F² = K (K − 1) + 2 (K − 1)/c. So |R_S − R_T| ≤ F · MMD. c is chosen from K alone: the minimum of F² κ.

The population's MMD is E[f(S) − f(T)] for one f of the unit ball, and the same mean over the sample is at most the sample's
MMD. So Hoeffding's inequality for this one f suffices for an upper bound, with |f(s) − f(s')| ≤ √(2κ):

    MMD(P) ≤ MMD(P̂) + √(κ (1/n + 1/m) ln(1/δ)),  and for pairs of the same inputs  + √(4κ ln(1/δ)/n).
"""

import math

import numpy as np
from scipy.special import softmax

from kd2m_theory.arrays import Float64, Int64
from kd2m_theory.bounds.rows.row import INDEPENDENT, LABELS, VIEW, Row, Sides, both_sides
from kd2m_theory.bounds.view import View
from kd2m_theory.estimators.ground import EPS


def offset(classes: int) -> float:
    """The c that minimises F² κ."""
    quadratic, linear, size = classes * (classes - 1), 2 * (classes - 1), 1 - 1 / classes
    return (math.sqrt(linear**2 + 8 * quadratic * linear * size) - linear) / (4 * quadratic)


def _moments(logits: Float64, labels: Int64, c: float) -> Float64:
    """Mean feature of (q, Y): per class the parts q qᵀ, √(2c) q and c, each summed over the class and divided by n."""
    points = softmax(logits, axis=1) - 1.0 / logits.shape[1]
    parts = []
    for label in range(logits.shape[1]):
        mine = points[labels == label]
        parts += [(mine.T @ mine).ravel(), math.sqrt(2 * c) * mine.sum(axis=0), np.array([c * len(mine)])]
    mean: Float64 = np.concatenate(parts) / len(points)
    return mean


def _brier(view: View) -> Sides:
    labels_s, labels_t = view.both_labels()
    size, n, m = view.classes, len(labels_s), len(labels_t)
    c = offset(size)
    norm = math.sqrt(size * (size - 1) + 2 * (size - 1) / c)
    moments = _moments(view.logits_student, labels_s, c), _moments(view.logits_teacher, labels_t, c)
    depth = max(float(np.abs(logits).max()) for logits in (view.logits_student, view.logits_teacher))
    rounding = 8 * EPS * (n + m + depth) * (1 + c)
    plug_in = float(np.linalg.norm(moments[0] - moments[1])) + rounding
    steps = 4.0 / n if view.paired else 1.0 / n + 1.0 / m
    radius = (1 - 1 / size + c) * math.sqrt(steps * math.log(1 / view.delta))
    details = {"MMD": plug_in, "r(δ)": radius, "‖f‖_H": norm, "c": c}
    return both_sides(norm * (plug_in + radius) * (1 + 4 * EPS), details=details)


ROWS = (
    Row(
        name="F4.brier",
        statement="|R_S − R_T| ≤ ‖f‖_H (MMD + r(δ)), Brier's score",
        source="F4, upper limit of the population's MMD",
        target="population_brier_gap",
        space="logits",
        needs=(VIEW, LABELS, INDEPENDENT),
        compute=_brier,
        event="F4.brier",
    ),
)
