"""Plans of clouds: what one costs at most, and one that always exists, with the lower bound that belongs to it."""

import math
from dataclasses import dataclass

import numpy as np

from kd2m_theory.arrays import Float64, Int64
from kd2m_theory.estimators.ground import EPS, UNDERFLOW
from kd2m_theory.estimators.line import line_cost, monotone_coupling
from kd2m_theory.estimators.scale import of_length_one
from kd2m_theory.side_by_side import over_rows

# Pairs whose exact costs are computed at a time.
_EXACT = 1500
# Points and steps by which a long direction of the clouds is found.
_POINTS, _STEPS = 2000, 8
# Coordinates of some points of a cloud at most: 32 MiB.
_COORDINATES = 2**22


@dataclass(frozen=True, slots=True)
class Bounds:
    """What is known of a least cost.

    Attributes:
        lower: a lower bound on the least cost.
        upper: the cost of a plan.
        reason: why the bounds are further apart than was asked; empty if they are not.
        potentials: of the points x and y, f_i + g_j ≤ C_ij up to rounding, whose value is the lower bound; None where another
            argument gave it.
    """

    lower: float
    upper: float
    reason: str
    potentials: tuple[Float64, Float64] | None = None


def some_of(x: Float64, y: Float64, count: int) -> Float64:
    """Evenly chosen points of both clouds: about `count` of each, fewer where they have many coordinates."""
    count = max(1, min(count, _COORDINATES // x.shape[1]))
    return np.concatenate([points[:: max(1, len(points) // count)] for points in (x, y)])


def exact_costs(x: Float64, y: Float64, rows: Int64, columns: Int64, p: int) -> Float64:
    """‖x_i − y_j‖^p of single pairs in float64, right to `cost_errors`."""
    squares = np.empty(len(rows))

    def some(part: slice) -> None:
        difference = x[rows[part]]
        difference -= y[columns[part]]
        np.einsum("ij,ij->i", difference, difference, out=squares[part])

    over_rows((len(rows), x.shape[1]), some, _EXACT * x.shape[1])
    return squares if p == 2 else np.sqrt(squares, out=squares)


def cost_errors(dimension: int, p: int) -> tuple[float, float]:
    """Relative and absolute error of `exact_costs` for points in the unit of `in_unit`."""
    flushed = dimension * UNDERFLOW
    return (dimension + 4) * EPS, flushed if p == 2 else math.sqrt(flushed)


def plan_cost(
    plan: tuple[Int64, Int64, Float64],
    costs: Float64,
    a: Float64,
    b: Float64,
    *,
    errors: tuple[float, float],
    diameter: float,
    exactly_zero: bool = False,
) -> float:
    """The cost of a plan after its marginals were repaired, rounded up: what is missing moves as far as it can.

    Args:
        plan: rows, columns and the mass that moves between each two.
        costs: of these pairs.
        a: n positive weights that add up to 1.
        b: m positive weights that add up to 1.
        errors: relative and absolute error of the costs.
        diameter: a bound on every cost.
        exactly_zero: whether the points of every pair are one point, so that a cost of zero lost nothing.
    """
    (rows, columns, mass), (relative, absolute) = plan, errors
    if is_permutation(rows, columns, a, b):
        total = math.fsum(costs) / len(a)
        return float(total * (1 + relative + 30 * EPS) + (0.0 if not total and exactly_zero else absolute))
    for ends, weights in ((rows, a), (columns, b)):
        sums = np.bincount(ends, mass, len(weights))
        mass = mass * np.minimum(1.0, np.divide(weights, sums, out=np.ones(len(weights)), where=sums > 0))[ends]
    left = max(
        math.fsum(np.maximum(weights - np.bincount(ends, mass, len(weights)), 0.0))
        for ends, weights in ((rows, a), (columns, b))
    )
    total = math.fsum(mass * costs)
    # Sums of masses at a point are right to a rounding of each term.
    terms = float(max(np.bincount(ends, minlength=1).max() for ends in (rows, columns))) + 4
    misplaced = (left + 2 * terms * EPS) * diameter
    return float(total * (1 + relative + 30 * EPS) + misplaced + absolute)


def is_permutation(rows: Int64, columns: Int64, a: Float64, b: Float64) -> bool:
    """Whether a plan between equal weights moves every point as a whole."""
    n = len(a)
    if not (len(rows) == n == len(b) and (a == a[0]).all() and (b == b[0]).all()):
        return False
    return all(bool((np.bincount(ends, minlength=n) == 1).all()) for ends in (rows, columns))


def first_bounds(x: Float64, y: Float64, p: int, a: Float64, b: Float64, diameter: float) -> Bounds:
    """Bounds that need no search: the points move in their order along a long direction.

    The cost of that plan is an upper bound; the cost on the line, on which no two points are further apart, is a lower one.

    Args:
        x: n × d, in the unit of `in_unit`.
        y: m × d.
        p: 1 or 2.
        a: n positive weights that add up to 1.
        b: m positive weights that add up to 1.
        diameter: a bound on every cost.
    """
    direction, centre = _long_direction(x, y)
    # Subtracted after the product, so that no centred copy of the clouds is made.
    places = [points @ direction - float(centre @ direction) for points in (x, y)]
    rows, columns, mass = monotone_coupling(places[0], places[1], a, b)
    upper = plan_cost(
        (rows, columns, mass),
        exact_costs(x, y, rows, columns, p),
        a,
        b,
        errors=cost_errors(x.shape[1], p),
        diameter=diameter,
        exactly_zero=bool((x[rows] == y[columns]).all()),
    )
    # Coordinates are at most 1: a product with the direction is off by d + 2 roundings of √d, twice for the centre.
    low = line_cost(places[0], places[1], a, b, p)[0]
    off = 4 * (x.shape[1] + 4) * EPS * (math.sqrt(x.shape[1]) + 1)
    lower = max(0.0, (low if p == 1 else math.sqrt(low)) - 2 * off) ** p * (1 - 4 * (x.shape[1] + 8) * EPS)
    return Bounds(lower=max(0.0, lower), upper=upper, reason="")


def _long_direction(x: Float64, y: Float64) -> tuple[Float64, Float64]:
    """About the first principal direction of some points of both clouds, of length 1, and their mean."""
    some = some_of(x, y, _POINTS)
    centre = some.mean(axis=0)
    some = some - centre
    direction = some[int(np.einsum("ij,ij->i", some, some).argmax())]
    for _ in range(_STEPS):
        step = of_length_one(direction) @ some.T @ some
        if not step.any():  # squares that are too small for a number
            break
        direction = step
    return of_length_one(direction), centre
