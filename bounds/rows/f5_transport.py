"""F5: transport of the population. An upper limit on W₁ needs no dimension; only the distance of a sample to its own law does.

Let f be the potential that attains W(P_S, P_T) = E[f(S) − f(T)]. It is admissible for the sample too, so the mean of
f(S_i) − f(T_i) is at most the sample's W, and as f is fixed, Hoeffding's inequality applies to it. With costs at most D

    W(P_S, P_T) ≤ W(P̂_S, P̂_T) + D √((1/n + 1/m) ln(1/δ)/2),  and for pairs of the same inputs  + D √(2 ln(1/δ)/n).

The same holds class by class at once, for Σ_y π_y W^y with the class frequencies of the sample: a point is then a pair
(z, y), and mass does not move between classes. (The law of a sample is far from its population in high dimension: bounds
on W₁(P̂, P) exceed the diameter at d = 64. `kd2m_theory.theory.f5_transport` has that statement and its radius.)
"""

import math

import numpy as np
from scipy.spatial.distance import cdist
from scipy.special import softmax

from kd2m_theory.arrays import Float64
from kd2m_theory.bounds.rows.row import CLASS_SHARES, INDEPENDENT, LABELS, SAME_INPUTS, VIEW, Row, Sides, both_sides
from kd2m_theory.bounds.view import View
from kd2m_theory.estimators import CostMatrix, Enclosure
from kd2m_theory.estimators.distances import combine_classes
from kd2m_theory.estimators.ground import EPS

_DIAMETER = math.sqrt(2.0)  # of the simplex
_STEEPNESS = 2.0 * math.sqrt(2.0)  # of Brier's score on it


def _deviation(view: View, diameter: float) -> float:
    return diameter * math.sqrt(2 * math.log(1 / view.delta) / len(view.logits_student)) * (1 + 8 * EPS)


def _probabilities(student: Float64, teacher: Float64, _label: int) -> CostMatrix:
    depth = float(max(np.abs(student).max(), np.abs(teacher).max()))
    values = cdist(softmax(student, axis=1), softmax(teacher, axis=1))
    return CostMatrix(values, (student.shape[1] + 4) * EPS, 8 * EPS * (student.shape[1] + 8 + depth), "distance")


def _brier(view: View) -> Sides:
    distance: Enclosure = combine_classes(view.class_costs("f5_probabilities", _probabilities), view.shares, 1)
    radius = _deviation(view, _DIAMETER)
    details = {"W₁": distance.upper, "r(δ)": radius}
    return both_sides(_STEEPNESS * (distance.upper + radius) * (1 + 4 * EPS), {"distance": distance}, details)


def _head_aware(view: View) -> Sides:
    bound = view.loss_bound

    def clipped(student: Float64, teacher: Float64, label: int) -> CostMatrix:
        values = cdist(student - student[:, [label]], teacher - teacher[:, [label]], "chebyshev")
        size = float(max(np.abs(student).max(), np.abs(teacher).max()))
        return CostMatrix(np.minimum(values, bound, out=values), 2 * EPS, 8 * EPS * size, "nats")

    distance: Enclosure = combine_classes(view.class_costs("f5_head_aware", clipped), view.shares, 1)
    radius = _deviation(view, bound)
    return both_sides(
        (distance.upper + radius) * (1 + 4 * EPS),
        {"distance": distance},
        {"W": distance.upper, "r(δ)": radius, "B": bound},
    )


_NEEDS = (VIEW, SAME_INPUTS, LABELS, CLASS_SHARES, INDEPENDENT)
ROWS = (
    Row(
        name="F5.T2",
        statement="|R_S − R_T| ≤ Σ_y π̂_y W_min(B, ν_y) + B √(2 ln(1/δ)/n)",
        source="F5, upper limit of the population's transport",
        target="population_gap",
        space="logits",
        needs=_NEEDS,
        compute=_head_aware,
        event="F5.T2",
    ),
    Row(
        name="F5.brier",
        statement="|R_S − R_T| ≤ 2√2 (Σ_y π̂_y W₁^y + √(4 ln(1/δ)/n)), Brier's score",
        source="F5, upper limit of the population's transport",
        target="population_brier_gap",
        space="logits",
        needs=_NEEDS,
        compute=_brier,
        event="F5.brier",
    ),
)
