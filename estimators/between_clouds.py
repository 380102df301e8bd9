"""The cheapest way to a certified transport cost between two clouds: sorting, a stored matrix of costs, or tiles of it."""

import math
from dataclasses import replace

import numpy as np

from kd2m_theory.arrays import Float64, Int64
from kd2m_theory.estimators.enclosure import CLOSED, Enclosure, Unit
from kd2m_theory.estimators.ground import EPS, NORMS, TINY, Ground, unit_costs
from kd2m_theory.estimators.line import along_a_line, line_cost
from kd2m_theory.estimators.scale import (
    exponent_of,
    rescaled,
    round_down,
    round_up,
    shifted_down,
    shifted_up,
    without_constants,
)
from kd2m_theory.estimators.transport import optimal_cost

# Pairs up to which all costs are stored: below, the solvers on the matrix are faster; above, tiles are.
STORED = 3000 * 3000
# Points that show that a translation is of no use.
_SOME = 1000


def cloud_cost(
    x: Float64, y: Float64, ground: Ground, p: int, a: Float64, b: Float64, max_pivots: int, device: str = "cpu"
) -> tuple[Enclosure, int]:
    """Enclosure of the least mean cost c(x, y)^p in a unit of its own: it is 2^k times that, with k returned; even for p = 2.

    Args:
        x: n × d points.
        y: m × d points.
        ground: as of `wasserstein`.
        p: 1 or 2.
        a: n probability weights.
        b: m probability weights.
        max_pivots: cap of each call of the network simplex.
        device: where tiles are computed; what needs none is computed on the CPU.

    Raises:
        InputError: as `unit_costs`; torch has no such device here.
    """
    if device != "cpu":
        from kd2m_theory.extraction import choose_device  # deferred: it loads torch

        device = str(choose_device(device))
    if ground not in NORMS or p not in (1, 2) or (ground == "sqeuclidean" and p == 2):
        return _of_matrix(x, y, ground, p, a, b, max_pivots)
    line = x.shape[1] == 1
    if not line and len(x) * len(y) <= STORED:
        return _of_matrix(x, y, ground, p, a, b, max_pivots)
    power = 2 if ground == "sqeuclidean" else p
    unit: Unit = "squared distance" if power == 2 else "distance"
    (x, a), (y, b) = _weighted(x, a), _weighted(y, b)
    (x, y), exponent, flushed = _scaled(x, y)
    (x, a), (y, b) = _distinct(x, a), _distinct(y, b)
    if len(x) * len(y) <= STORED and not line:
        value, own = _of_matrix(x, y, ground, p, a, b, max_pivots)
        low, high = _apart(shifted_down(value.lower, own), shifted_up(value.upper, own), power, flushed)
        return replace(value, lower=low, upper=high), power * exponent
    on_line = (x[:, 0], y[:, 0], 0.0) if line else along_a_line(x, y, a, b)
    if on_line is not None:
        low, high = line_cost(*on_line[:2], a, b, power)
        low, high = _apart(low, high, power, on_line[2] + flushed)
        return Enclosure(low, high, unit, "sorting"), power * exponent
    from kd2m_theory.estimators.large.solver import transport  # deferred: it loads torch

    found = transport(x, y, power, a, b, target=CLOSED, max_pivots=max_pivots, device=device)
    method = "network simplex on tiles" + (f"; {found.reason}" if found.reason else "")
    low, high = _apart(min(max(0.0, found.lower), found.upper), found.upper, power, flushed)
    return Enclosure(low, high, unit, method, capped=bool(found.reason)), power * exponent


def _translated(x: Float64, y: Float64) -> tuple[Float64, Float64]:
    """The clouds with a point of theirs at zero, where that is exact and makes coordinates four times as small, or smaller."""
    origin, largest = x[0], exponent_of(x, y) - 2
    for some in (slice(_SOME), slice(None)):
        moved = x[some] - origin, y[some] - origin
        if exponent_of(*moved) > largest and any(each.any() for each in moved):
            return x, y
    for points, new in zip((x, y), moved, strict=True):
        back = new - points
        if ((points - (new - back)) - (origin + back)).any():  # what the subtraction rounded off (Knuth's two-sum)
            return x, y
    return moved


def _scaled(x: Float64, y: Float64) -> tuple[tuple[Float64, Float64], int, float]:
    """The clouds in the unit of `in_unit`, its exponent, and by how much the distances of the points may have changed."""
    x, y = _translated(*without_constants(x, y))
    exponent = exponent_of(x, y)
    (x, lost_x), (y, lost_y) = rescaled(x, -exponent), rescaled(y, -exponent)
    return (x, y), exponent, (x.shape[1] + 1) * TINY if lost_x or lost_y else 0.0


def _apart(low: float, high: float, power: int, off: float) -> tuple[float, float]:
    """Ends about the cost of clouds whose W_power is within `off` of that of the clouds that low and high enclose."""
    if off == 0:
        return low, high
    if power == 1:
        return max(0.0, round_down(low - off)), round_up(high + off)
    # The least number stands for a square that is too small for float64.
    return max(0.0, math.sqrt(low) - off) ** 2 * (1 - 8 * EPS), (math.sqrt(high) + off) ** 2 * (1 + 8 * EPS) + TINY


def _of_matrix(
    x: Float64, y: Float64, ground: Ground, p: int, a: Float64, b: Float64, max_pivots: int
) -> tuple[Enclosure, int]:
    cost, exponent = unit_costs(x, y, ground, p)
    return optimal_cost(cost, a, b, max_pivots=max_pivots), exponent


def _weighted(points: Float64, weights: Float64) -> tuple[Float64, Float64]:
    """The points that have a weight: those that were given, not copied, if all have."""
    some = weights > 0
    return (points, weights) if some.all() else (points[some], weights[some])


def _distinct(points: Float64, weights: Float64) -> tuple[Float64, Float64]:
    """The points once each, with the weights of all that are equal: many ties become none."""
    # Equal points have equal sums of multiples, and few others have.
    key = points @ np.sqrt(np.arange(2.0, points.shape[1] + 2))
    order = np.argsort(key, kind="stable")
    near = np.flatnonzero(np.diff(key[order]) == 0)
    same = np.zeros(len(points), dtype=bool)
    same[near + 1] = (points[order[near]] == points[order[near + 1]]).all(axis=1)
    if not same.any():
        return points, weights
    number = np.cumsum(~same) - 1
    return points[order[~same]], _sums_of_groups(weights[order], number)


def _sums_of_groups(values: Float64, group: Int64) -> Float64:
    """The sum of each group, right to a rounding or two however many its values are: in pairs, with what each sum lost.

    Args:
        values: n numbers ≥ 0.
        group: of each, from 0 on without a gap, increasing.
    """
    lost = np.zeros(len(values))
    while (follows := np.diff(group) == 0).any():
        starts = np.flatnonzero(np.concatenate(([True], ~follows)))
        place = np.arange(len(group)) - starts[group]
        left = np.flatnonzero(place % 2 == 0)
        paired = np.concatenate((follows, [False]))[left]
        right = left[paired] + 1
        added, lost_too = np.zeros(len(left)), np.zeros(len(left))
        added[paired], lost_too[paired] = values[right], lost[right]
        total = values[left] + added
        back = total - values[left]
        lost = lost[left] + lost_too + ((values[left] - (total - back)) + (added - back))  # Knuth's two-sum
        values, group = total, group[left]
    return values + lost
