"""Transport of one-dimensional projections: averaged over directions, and along the worst one."""

import math
import sys
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from kd2m_theory.arrays import Float64, cloud, probability_weights, same_dimension
from kd2m_theory.errors import InputError
from kd2m_theory.estimators.enclosure import Confidence, Enclosure, Estimated
from kd2m_theory.estimators.ground import EPS, by_coordinates
from kd2m_theory.estimators.interval_inputs import check_delta
from kd2m_theory.estimators.intervals import empirical_bernstein
from kd2m_theory.estimators.scale import (
    centred,
    in_unit,
    of_length_one,
    round_down,
    round_up,
    shifted,
    shifted_down,
    shifted_up,
)
from kd2m_theory.estimators.transport import optimal_plan


@dataclass(frozen=True, slots=True, repr=False)
class SlicedDistance(Estimated):
    """A sliced Wasserstein distance from finitely many random directions.

    Attributes:
        value: estimate of SW_p, a distance.
        interval: interval for the SW_p of these two *samples* over all directions, at level 1 − δ; its randomness is the
            directions'. Guaranteed: an empirical Bernstein interval with the clouds' own diameter as range. `lower`, `upper`
            and `status` are its own.
        p: order.
        projections: number of directions.
        unit: "distance".
    """

    value: float
    interval: Confidence
    p: int
    projections: int
    unit: Literal["distance"] = "distance"


def sliced_wasserstein(
    x: Any,
    y: Any,
    p: int = 2,
    projections: int = 1000,
    *,
    delta: float = 0.05,
    seed: int = 0,
    weights_x: Any = None,
    weights_y: Any = None,
) -> SlicedDistance:
    """SW_p = (E_θ W_p(⟨θ, x⟩, ⟨θ, y⟩)^p)^{1/p} over uniform directions θ, by Monte Carlo. A distance; SW_p ≤ W_p.

    Args:
        x: n × d points.
        y: m × d points.
        p: order, 1 or 2.
        projections: number of random directions, at least 2.
        delta: failure probability of the Monte-Carlo interval.
        seed: of the directions.
        weights_x: as `wasserstein`.
        weights_y: as `wasserstein`.

    Raises:
        InputError: as `wasserstein`; fewer than two projections.

    Example:
        >>> moved = sliced_wasserstein([[0.0, 0.0]], [[3.0, 4.0]], p=2, projections=500)
        >>> moved.lower**2 <= 25 / 2 <= moved.upper**2  # E⟨θ, v⟩² = ‖v‖²/d
        True
    """
    x, y, a, b = _prepared(x, y, p, weights_x, weights_y)
    check_delta(delta)
    if projections < 2:
        raise InputError(f"projections is {projections}; an interval needs at least two directions")
    (x, y), exponent = in_unit(x, y)
    x, y = centred(x, y)
    directions = random_directions(x.shape[1], projections, seed)
    powers = np.empty(projections)
    block = max(1, 4_000_000 // max(len(x), len(y)))
    for start in range(0, projections, block):
        part = slice(start, start + block)
        powers[part] = line_costs(x @ directions[part].T, y @ directions[part].T, a, b, p)
    radius = np.linalg.norm(x, axis=1).max() + np.linalg.norm(y, axis=1).max()
    most = float(radius**p) * (1 + 1e-9)
    if most:
        mean = empirical_bernstein(powers, 0.0, most, delta, range_known=True)
        value, lower, upper = mean.value, mean.lower, mean.upper
    else:  # all points of both clouds agree
        value = lower = upper = 0.0
    # What rounding may have done to projections and weights; the root of each end moves outward once more.
    rounding = (64 + 4 * (len(x) + len(y) + x.shape[1])) * EPS * most
    ends = [max(0.0, end) ** (1 / p) for end in (value, lower - rounding, upper + rounding, most)]
    largest = shifted_up(ends[3], exponent) if most else None
    least, upper = max(0.0, round_down(ends[1])), min(round_up(ends[2]), ends[3])
    interval = Confidence(
        value=min(shifted(ends[0], exponent), sys.float_info.max),
        lower=shifted_down(least, exponent),
        upper=shifted_up(upper, exponent),
        level=1 - delta,
        unit="distance",
        method=f"empirical Bernstein over {projections} directions",
        guaranteed=True,
        assumptions="independent uniform directions; the clouds are fixed",
        least=0.0,
        most=largest,
    )
    return SlicedDistance(value=interval.value, interval=interval, p=p, projections=projections)


def max_sliced_wasserstein(
    x: Any,
    y: Any,
    p: int = 2,
    *,
    starts: int = 20,
    steps: int = 60,
    seed: int = 0,
    weights_x: Any = None,
    weights_y: Any = None,
) -> Enclosure:
    """max_θ W_p(⟨θ, x⟩, ⟨θ, y⟩): the distance along the direction in which the clouds differ most.

    The maximum over directions is not concave. The lower end is the best direction that ascent finds from several starts;
    the upper end is √λ_max(E_γ (x − y)(x − y)ᵀ) for the optimal W₂ plan γ, valid because every plan projects to a plan on
    every line (and W₁ ≤ W₂).

    Args:
        x: n × d points.
        y: m × d points.
        p: order, 1 or 2.
        starts: random directions to start from, beside the difference of means and the top direction of the upper bound.
        steps: steps of ascent from each.
        seed: of the random directions.
        weights_x: as `wasserstein`.
        weights_y: as `wasserstein`.

    Raises:
        InputError: as `wasserstein`.

    Example:
        >>> worst = max_sliced_wasserstein([[0.0, 0.0]], [[3.0, 4.0]])
        >>> round(worst.lower, 6), round(worst.upper, 6)
        (5.0, 5.0)
    """
    x, y, a, b = _prepared(x, y, p, weights_x, weights_y)
    (x, a), (y, b) = by_coordinates(x, a), by_coordinates(y, b)  # where the ascent ends depends on it
    (x, y), exponent = in_unit(x, y)
    x, y = centred(x, y)
    radius = float(np.linalg.norm(x, axis=1).max() + np.linalg.norm(y, axis=1).max())
    if radius == 0:
        return Enclosure(lower=0.0, upper=0.0, unit="distance", method="max-sliced")
    keep_x, keep_y = a > 0, b > 0
    costs = ((x[keep_x] ** 2).sum(1)[:, None] + (y[keep_y] ** 2).sum(1)) - 2 * x[keep_x] @ y[keep_y].T
    plan = optimal_plan(costs, a[keep_x], b[keep_y])
    moved = (x[keep_x][plan.rows] - y[keep_y][plan.columns]) * np.sqrt(plan.mass / plan.mass.sum())[:, None]
    _, singular, axes = np.linalg.svd(moved, full_matrices=False)
    mean_shift = a @ x - b @ y
    directions = np.vstack((random_directions(x.shape[1], max(1, starts), seed), axes[:1], mean_shift[None]))
    best = max(_ascend(x, y, a, b, p, of_length_one(direction), steps) for direction in directions)
    rounding = 32 * (sum(x.shape) + len(y)) * EPS * radius
    upper = float(singular[0]) + rounding
    if plan.mass.sum() < 1 - 1e-9:
        raise InputError("the network simplex stopped early; use fewer points")
    found = Enclosure(
        lower=min(max(0.0, best - rounding), upper),
        upper=upper,
        unit="distance",
        method="ascent; top direction of the W2 plan",
    )
    return found.shifted(exponent)


def _ascend(x: Float64, y: Float64, a: Float64, b: Float64, p: int, direction: Float64, steps: int) -> float:
    """W_p along the direction that repeated linearisation reaches: with the plan of a direction fixed, the best direction
    of E_γ⟨θ, x − y⟩² is a power iteration away, and it never decreases for p = 2; the best value seen counts."""
    best = 0.0
    for _ in range(steps):
        px, py = x @ direction, y @ direction
        i, j, mass = line_plan(px, py, a, b)
        shift = px[i] - py[j]
        value = float((mass * np.abs(shift) ** p).sum() ** (1 / p))
        improved = value > best * (1 + 1e-12)
        best = max(best, value)
        weight = mass * (shift if p == 2 else np.sign(shift))
        ahead = weight @ (x[i] - y[j])
        if not (improved and ahead.any()):
            break
        direction = of_length_one(ahead)
    return best


def random_directions(dimension: int, count: int, seed: int) -> Float64:
    """Uniform unit vectors, count × dimension."""
    directions = np.random.default_rng(seed).normal(size=(count, dimension))
    unit: Float64 = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    return unit


def line_plan(x: Float64, y: Float64, a: Float64, b: Float64) -> tuple[np.ndarray, np.ndarray, Float64]:
    """The monotone plan on the line, optimal for every convex cost: indices i, j and masses."""
    order_x, order_y = np.argsort(x, kind="stable"), np.argsort(y, kind="stable")
    steps_x, steps_y = np.cumsum(a[order_x]), np.cumsum(b[order_y])
    steps = np.sort(np.concatenate((steps_x[:-1], steps_y[:-1])))
    edges = np.concatenate(([0.0], steps.clip(0.0, 1.0), [1.0]))
    middle = (edges[1:] + edges[:-1]) / 2
    i = order_x[np.searchsorted(steps_x[:-1], middle)]
    j = order_y[np.searchsorted(steps_y[:-1], middle)]
    return i, j, np.diff(edges)


def line_costs(x: Float64, y: Float64, a: Float64, b: Float64, p: int) -> Float64:
    """W_p^p of each column of n × k and m × k projections."""
    if len(x) == len(y) and (a == a[0]).all() and (b == b[0]).all():
        means: Float64 = (np.abs(np.sort(x, axis=0) - np.sort(y, axis=0)) ** p).mean(axis=0)
        return means
    costs = np.empty(x.shape[1])
    for k in range(x.shape[1]):
        i, j, mass = line_plan(x[:, k], y[:, k], a, b)
        costs[k] = math.fsum(mass * np.abs(x[i, k] - y[j, k]) ** p)
    return costs


def _prepared(x: Any, y: Any, p: int, weights_x: Any, weights_y: Any) -> tuple[Float64, Float64, Float64, Float64]:
    x, y = cloud(x, "x"), cloud(y, "y")
    same_dimension(x, y)
    if p not in (1, 2):
        raise InputError(f"p is {p!r}; transport of order 1 and 2 is implemented")
    return x, y, probability_weights(weights_x, len(x), "weights_x"), probability_weights(weights_y, len(y), "weights_y")
