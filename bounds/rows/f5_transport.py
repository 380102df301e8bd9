"""F5: transport of the population. An upper limit on W₁ needs no dimension; only the distance of a sample to its own law does.

Let f be the potential that attains W(P_S, P_T) = E[f(S) − f(T)]. It is admissible for the sample too, so the mean of
f(S_i) − f(T_i) is at most the sample's W, and as f is fixed, Hoeffding's inequality applies to it. With costs at most D

    W(P_S, P_T) ≤ W(P̂_S, P̂_T) + D √((1/n + 1/m) ln(1/δ)/2),  and for pairs of the same inputs  + D √(2 ln(1/δ)/n).

The same holds class by class at once, for Σ_y π_y W^y with the class frequencies of the sample: a point is then a pair
(z, y), and mass does not move between classes. (The law of a sample is far from its population in high dimension: bounds
on W₁(P̂, P) exceed the diameter at d = 64. `kd2m_theory.theory.f5_transport` has that statement and its radius.)
"""

import math
from dataclasses import replace

import numpy as np
from scipy.special import softmax

from kd2m_theory.bounds.class_pairs import ClassPairs, vertex_norms
from kd2m_theory.bounds.rows.row import (
    CLASS_SHARES,
    LABELS,
    LOGITS,
    NO_GROUPS,
    RANGE_FIXED,
    SAME_INPUTS,
    SAMPLED,
    Row,
    Sides,
    both_sides,
)
from kd2m_theory.bounds.view import View
from kd2m_theory.bounds.work import class_costs
from kd2m_theory.estimators import CostMatrix, Enclosure
from kd2m_theory.estimators.distances import combine_classes
from kd2m_theory.estimators.ground import EPS

_DIAMETER = math.sqrt(2.0)  # of the simplex
_STEEPNESS = 2.0 * math.sqrt(2.0)  # of Brier's score on it


def _deviation(view: View, diameter: float) -> float:
    return diameter * math.sqrt(2 * math.log(1 / view.tail) / view.samples[0]) * (1 + 8 * EPS)


def _probabilities(pairs: ClassPairs) -> CostMatrix:
    size = pairs.student.shape[1]
    values = pairs.distances(softmax(pairs.student, axis=1), softmax(pairs.teacher, axis=1))
    # A probability is right to as many roundings as its logit is deep, and p times its depth is at most 1.
    return CostMatrix(values, (size + 4) * EPS, 8 * EPS * (size + 8), "distance")


def _brier(view: View) -> Sides:
    distance: Enclosure = combine_classes(view.class_costs("f5_probabilities", _probabilities), view.shares, 1)
    radius = _deviation(view, _DIAMETER)
    details = {"W₁": distance.upper, "r(δ)": radius}
    return both_sides(_STEEPNESS * (distance.upper + radius) * (1 + 4 * EPS), {"distance": distance}, details)


def _head_aware(view: View) -> Sides:
    bound = view.loss_bound

    def clipped(pairs: ClassPairs) -> CostMatrix:
        norm = vertex_norms(pairs)
        return replace(norm, values=np.minimum(norm.values, bound))

    distance: Enclosure = combine_classes(view.class_costs("f5_head_aware", clipped), view.shares, 1)
    radius = _deviation(view, bound)
    return both_sides(
        (distance.upper + radius) * (1 + 4 * EPS),
        {"distance": distance},
        {"W": distance.upper, "r(δ)": radius, "B": bound},
    )


_POTENTIAL = {
    "shared head": "points are logits or probabilities, and the loss is one function of these",
    "bounded loss": "an optimal potential has the range of the ground cost",
}
ROWS = (
    Row(
        name="F5.T2",
        sentence="T2.logits.head_aware for the population, with clipped costs and an allowance for chance.",
        statement="|R_S − R_T| ≤ Σ_y π̂_y W_min(B, ν_y) + B √(2 ln(1/δ)/n)",
        latex=r"|R_S-R_T| \le \sum_y\hat\pi_y W_{\min(B,\nu_y)}(\hat P_S^y,\hat P_T^y)+B\sqrt{2\ln(1/\delta)/n}",
        source="F5, upper limit of the population's transport",
        target="population_gap",
        space="logits",
        inputs=(LOGITS, LABELS, NO_GROUPS),
        needs=(SAME_INPUTS, CLASS_SHARES, RANGE_FIXED, *SAMPLED),
        structural={
            **_POTENTIAL,
            "1-Lipschitz loss": "cross-entropy clipped at B changes by at most min(B, ν_y)",
            "bounded ground cost": "the cost is clipped at B",
            "ground cost fixed before the sample": "the cost is ν_y of the logits, clipped at B",
        },
        compute=_head_aware,
        work=class_costs("f5_head_aware"),
        limits=("F5.T2, upper",),
        forms=("T2.head_aware", "F5.classes", "F1.hoeffding"),
    ),
    Row(
        name="F5.brier",
        sentence="Brier's score on the population: transport of the predicted probabilities within each class, plus what "
        "chance may add.",
        statement="|R_S − R_T| ≤ 2√2 (Σ_y π̂_y W₁^y + √(4 ln(1/δ)/n)), Brier's score",
        latex=r"|R_S-R_T| \le 2\sqrt2\,\Bigl(\sum_y\hat\pi_y W_1(\hat P_S^y,\hat P_T^y)+\sqrt{4\ln(1/\delta)/n}\Bigr)",
        source="F5, upper limit of the population's transport",
        target="population_brier_gap",
        space="logits",
        inputs=(LOGITS, LABELS, NO_GROUPS),
        needs=(SAME_INPUTS, CLASS_SHARES, *SAMPLED),
        structural={
            **_POTENTIAL,
            "1-Lipschitz loss": "Brier's score is 2√2-Lipschitz on the simplex, and 2√2 is the factor",
            "bounded ground cost": "the simplex has diameter √2",
            "range fixed before the sample": "the simplex has diameter √2",
            "ground cost fixed before the sample": "the cost is the distance of two probability vectors",
        },
        compute=_brier,
        work=class_costs("f5_probabilities"),
        limits=("F5.brier, upper",),
        forms=("T2.lipschitz", "F5.classes", "F1.hoeffding"),
    ),
)
