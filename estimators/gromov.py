"""Gromov–Wasserstein: how far two clouds are as metric spaces, whatever space each of them lies in."""

import math
from typing import Any

import numpy as np
from scipy.spatial.distance import cdist

from kd2m_theory.arrays import Float64, cloud, probability_weights
from kd2m_theory.errors import InputError
from kd2m_theory.estimators.enclosure import Enclosure
from kd2m_theory.estimators.ground import EPS, CostMatrix, by_coordinates
from kd2m_theory.estimators.scale import exponent_of, without_constants
from kd2m_theory.estimators.sliced import line_plan
from kd2m_theory.estimators.transport import optimal_cost, optimal_plan
from kd2m_theory.shared_state import without_warnings

_LARGEST = 3000


def gromov_wasserstein(
    x: Any, y: Any, *, starts: int = 3, seed: int = 0, weights_x: Any = None, weights_y: Any = None
) -> Enclosure:
    """GW₂ = (min_γ Σ (‖x_i − x_k‖ − ‖y_j − y_l‖)² γ_ij γ_kl)^{1/2}, a distance between clouds of any two dimensions.

    Without the factor ½ that some authors put before the root. The problem is not convex: solvers find a local minimum, so
    the upper end is the value of a plan that exists, and nothing says that it is the least. The lower end is certified:
    the larger of Mémoli's second and third lower bounds (2011): the W₂ between all pairwise distances of each cloud, and
    the transport problem whose cost is the W₂² between the distances seen from each point (equal sizes and weights).

    Args:
        x: n × d points.
        y: m × d' points.
        starts: plans to start the local solver from: the product plan, the plan of the third bound, random ones.
        seed: of the random starts.
        weights_x: as `wasserstein`.
        weights_y: as `wasserstein`.

    Raises:
        InputError: as `wasserstein`; more than 3,000 points on a side.

    Example:
        >>> turned = gromov_wasserstein([[0.0, 0.0], [0.0, 1.0], [2.0, 0.0]], [[5.0, 5.0], [6.0, 5.0], [5.0, 3.0]])
        >>> turned.upper < 1e-6  # the same triangle elsewhere
        True
    """
    x, y = cloud(x, "x"), cloud(y, "y")
    for points, name in ((x, "x"), (y, "y")):
        if len(points) > _LARGEST:
            raise InputError(f"{name} has {len(points)} points; Gromov–Wasserstein is cubic: pass at most {_LARGEST}")
    a, b = probability_weights(weights_x, len(x), "weights_x"), probability_weights(weights_y, len(y), "weights_y")
    (x, a), (y, b) = by_coordinates(x, a), by_coordinates(y, b)  # where the local search ends depends on it
    # Each cloud may be moved by itself, but both share one unit.
    (x,), (y,) = without_constants(x), without_constants(y)
    exponent = exponent_of(x, y)
    distances_x, distances_y = (cdist(points, points) for points in (np.ldexp(x, -exponent), np.ldexp(y, -exponent)))
    scale = float(max(distances_x.max(), distances_y.max()))
    if scale == 0:
        return Enclosure(lower=0.0, upper=0.0, unit="distance", method="Gromov–Wasserstein")
    distances_x, distances_y = distances_x / scale, distances_y / scale
    rounding = 64 * (max(x.shape[1], y.shape[1]) + len(x) + len(y)) * EPS
    third, plan = _third_bound(distances_x, distances_y, a, b)
    lower = max(0.0, _second_bound(distances_x, distances_y, a, b) - rounding, third - rounding)
    upper = _local_minimum(distances_x, distances_y, a, b, plan, starts, seed) + rounding
    ends = [math.sqrt(end) * scale for end in (lower, max(upper, lower))]
    found = Enclosure(
        lower=ends[0] * (1 - 4 * EPS),
        upper=ends[1] * (1 + 4 * EPS),
        unit="distance",
        method="local minimum; Mémoli's lower bounds",
    )
    return found.shifted(exponent)


def _second_bound(distances_x: Float64, distances_y: Float64, a: Float64, b: Float64) -> float:
    """W₂² between the laws of the pairwise distances: γ ⊗ γ couples them."""
    flat_a, flat_b = np.outer(a, a).ravel(), np.outer(b, b).ravel()
    first, second = distances_x.ravel(), distances_y.ravel()
    i, j, mass = line_plan(first, second, flat_a, flat_b)
    return float((mass * (first[i] - second[j]) ** 2).sum())


def _third_bound(distances_x: Float64, distances_y: Float64, a: Float64, b: Float64) -> tuple[float, Float64]:
    """min_γ Σ γ_ij W₂²(distances from x_i, distances from y_j), for equal sizes and weights; else 0 and the product plan."""
    n = len(a)
    if n != len(b) or (a != a[0]).any() or (b != b[0]).any():
        return 0.0, np.outer(a, b)
    costs = cdist(np.sort(distances_x, axis=1), np.sort(distances_y, axis=1), "sqeuclidean") / n
    value = optimal_cost(CostMatrix(costs, (n + 8) * EPS, 0.0, "squared distance"), a, b)
    found = optimal_plan(costs, a, b)
    plan = np.zeros((n, n))
    plan[found.rows, found.columns] = found.mass
    return value.lower, plan


def _local_minimum(
    distances_x: Float64, distances_y: Float64, a: Float64, b: Float64, guess: Float64, starts: int, seed: int
) -> float:
    """The best objective over local solutions from several starts, recomputed from the plan."""
    from ot.gromov import gromov_wasserstein as solve  # deferred: POT loads every array library it finds

    rng = np.random.default_rng(seed)
    plans = [np.outer(a, b), guess]
    for _ in range(max(0, starts - 2)):
        plans.append(_scaled(rng.random((len(a), len(b))) ** 4, a, b))
    values = []
    for start in plans[: max(1, starts)]:
        with without_warnings:  # non-convergence leaves a worse upper bound, still a valid one
            plan = np.asarray(solve(distances_x, distances_y, a, b, "square_loss", G0=start, max_iter=500))
        values += [_objective(distances_x, distances_y, _scaled(plan, a, b)), _objective(distances_x, distances_y, start)]
    return min(values)


def _scaled(plan: Float64, a: Float64, b: Float64) -> Float64:
    """A feasible plan near a given one: scaled down to the marginals, the rest along their product."""
    rows = plan.sum(axis=1)
    plan = plan * np.minimum(1.0, np.divide(a, rows, out=np.ones_like(a), where=rows > 0))[:, None]
    columns = plan.sum(axis=0)
    plan = plan * np.minimum(1.0, np.divide(b, columns, out=np.ones_like(b), where=columns > 0))
    left_a, left_b = np.maximum(a - plan.sum(axis=1), 0), np.maximum(b - plan.sum(axis=0), 0)
    total = max(float(left_a.sum()), float(left_b.sum()))
    return plan + (np.outer(left_a, left_b) / total if total > 0 else 0.0)


def _objective(distances_x: Float64, distances_y: Float64, plan: Float64) -> float:
    """Σ (D_x − D_y)² γ γ from its expanded square, with the plan's own marginals."""
    a, b = plan.sum(axis=1), plan.sum(axis=0)
    value = a @ distances_x**2 @ a + b @ distances_y**2 @ b - 2 * float((distances_x @ plan @ distances_y * plan).sum())
    return max(0.0, float(value))
