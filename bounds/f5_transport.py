"""F5: plug-in W₁ for the population. True, with every constant written down, and more than the diameter in high dimension.

Brier's score is 2√2-Lipschitz in the predicted probabilities, so |R_S − R_T| ≤ 2√2 W₁ on pairs (p, Y), where two points of
different classes are √2 apart, the diameter of the simplex. W₁(P_S, P_T) ≤ W₁(P̂_S, P̂_T) + W₁(P̂_S, P_S) + W₁(P̂_T, P_T).

The last two. Let a tree cut the space into cells, D_k the largest diameter of level k (D_0 of the whole) and N_k the number
of its cells. Match P̂ and P in the finest cells first, what is left in their parents, and so on: the mass that shares a cell
of level k is Σ_Q min(P̂(Q), P(Q)) = 1 − TV_k, and it travels at most D_k. Summed by parts,

    W₁(P̂, P) ≤ D_m + Σ_{k ≤ m} (D_{k−1} − D_k) TV_k,      E TV_k ≤ min(1, ½ √((N_k − 1)/n)).

One sample moves W₁ by at most D_0/n, so it exceeds its mean by D_0 √(ln(1/δ)/(2n)) with probability at most δ (McDiarmid);
the sum of both terms moves by twice that. The first cut is into classes, the next ones halve the cubes of K − 1 probabilities.
"""

import math

from scipy.special import softmax

from kd2m_theory.bounds.theorem import CLASS_SHARES, INDEPENDENT, LABELS, VIEW, Row, Sides, both_sides
from kd2m_theory.bounds.view import View
from kd2m_theory.estimators import Enclosure, class_wasserstein
from kd2m_theory.estimators.distances import combine_classes

_DIAMETER = math.sqrt(2.0)
_STEEPNESS = 2.0 * math.sqrt(2.0)


def expected_distance(n: int, classes: int) -> float:
    """Bound on E W₁(P̂, P) for n samples of (p, Y): the best depth of the tree."""
    best = total = _DIAMETER
    last, level = _DIAMETER, 0
    while True:
        # Level 0 of the cubes is the cut into classes: cells of the full diameter.
        cells = classes * 2.0 ** (level * (classes - 1))
        diameter = min(_DIAMETER, math.sqrt((classes - 1) * classes) * 2.0**-level)
        total += (last - diameter) * (min(1.0, 0.5 * math.sqrt((cells - 1) / n)) - 1.0)
        best = min(best, total)
        last, level = diameter, level + 1
        if cells > 4 * n and diameter < _DIAMETER:
            return best


def _distance(view: View) -> Enclosure:
    points = softmax(view.logits_student, axis=1), softmax(view.logits_teacher, axis=1)
    parts = class_wasserstein(*points, *view.both_labels(), 1, max_pivots=view.settings.max_pivots)
    return combine_classes(parts, view.shares, 1)


def _brier(view: View) -> Sides:
    n, m = len(view.student), len(view.teacher)
    plug_in = view.shared("w1 of probabilities", lambda: _distance(view))
    mean = expected_distance(n, view.classes) + expected_distance(m, view.classes)
    # The same inputs feed both terms; independent samples move one term each.
    steps = 4.0 / n if view.paired else 1.0 / n + 1.0 / m
    radius = mean + _DIAMETER * math.sqrt(steps * math.log(1 / view.delta) / 2)
    value = _STEEPNESS * (plug_in.upper + radius) * (1 + 1e-12)
    return both_sides(value, {"distance": plug_in}, {"W₁": plug_in.upper, "r(δ)": radius})


ROWS = (
    Row(
        "F5.brier",
        "|R_S − R_T| ≤ 2√2 (W₁ + r(δ)), Brier's score",
        "F5, plug-in transport",
        "population_brier_gap",
        "logits",
        (VIEW, LABELS, CLASS_SHARES, INDEPENDENT),
        _brier,
        "F5.brier",
    ),
)
