"""Transport problems in whole numbers: no rounding at all, and no code of the estimators.

Points are float64, so multiplied by a power of two they are whole, and so are their squared distances. A distance is a root,
taken to `_DIGITS` further binary digits and rounded down. Least costs come from successive shortest paths in Python's integers.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

Point = Sequence[int]
Norm = Callable[[Point, Point], int]
# Binary digits of a root beyond the point.
_DIGITS = 160


@dataclass(frozen=True)
class Exact:
    """A number between two rational ones, which are equal unless roots were taken.

    Attributes:
        low: a number that it is not below.
        high: a number that it is not above.
    """

    low: Fraction
    high: Fraction

    def __add__(self, other: "Exact") -> "Exact":
        return Exact(self.low + other.low, self.high + other.high)

    def times(self, factor: Fraction) -> "Exact":
        """Multiplied by a number ≥ 0."""
        return Exact(self.low * factor, self.high * factor)


def whole(*arrays: Any) -> tuple[list[Any], int]:
    """Arrays of float64 as nested lists of whole numbers, all multiplied by 2^e, and e."""
    values = [_fractions(array.tolist()) for array in arrays]
    exponent = max((each.denominator.bit_length() - 1 for value in values for each in _flat(value)), default=0)
    return [_scaled(value, exponent) for value in values], exponent


def least_mean(costs: Sequence[Sequence[int]], supply: Sequence[Fraction], demand: Sequence[Fraction]) -> Fraction:
    """The least mean cost of a plan from masses that sum to one to masses that sum to one."""
    unit = math.lcm(*(mass.denominator for mass in (*supply, *demand)))
    masses = [int(mass * unit) for mass in supply], [int(mass * unit) for mass in demand]
    if sum(masses[0]) != unit or sum(masses[1]) != unit:
        raise ValueError("the masses do not sum to one")
    return Fraction(least_cost(costs, *masses), unit)


def least_cost(costs: Sequence[Sequence[int]], supply: Sequence[int], demand: Sequence[int]) -> int:
    """The least total cost of moving whole supplies to whole demands of the same sum, by successive shortest paths.

    Every path is shortest for reduced costs ≥ 0, so the plan is optimal among plans of its mass after every step.
    """
    rows, columns = len(supply), len(demand)
    left, right = list(supply), list(demand)
    flow = [[0] * columns for _ in range(rows)]
    least = min(min(row) for row in costs)
    row_level, column_level = [0] * rows, [least] * columns  # potentials: cost + row − column ≥ 0
    while any(left):
        far: list[int | None] = [0 if left[i] else None for i in range(rows)]
        wide: list[int | None] = [None] * columns
        from_row, from_column = [-1] * columns, [-1] * rows
        done_row, done_column = [False] * rows, [False] * columns
        while True:
            best, node, is_row = None, -1, True
            for i in range(rows):
                distance = far[i]
                if distance is not None and not done_row[i] and (best is None or distance < best):
                    best, node, is_row = distance, i, True
            for j in range(columns):
                distance = wide[j]
                if distance is not None and not done_column[j] and (best is None or distance < best):
                    best, node, is_row = distance, j, False
            assert best is not None  # a demand can be reached from any supply
            if is_row:
                done_row[node] = True
                base = best + row_level[node]
                for j in range(columns):
                    step, known = base + costs[node][j] - column_level[j], wide[j]
                    if not done_column[j] and (known is None or step < known):
                        wide[j], from_row[j] = step, node
                continue
            done_column[node] = True
            if right[node]:
                break
            for i in range(rows):
                if flow[i][node] and not done_row[i]:
                    step, known = best - (costs[i][node] + row_level[i] - column_level[node]), far[i]
                    if known is None or step < known:
                        far[i], from_column[i] = step, node
        # Along the path: how much it can carry, then the flow, then potentials.
        path, j = [], node
        while True:
            i = from_row[j]
            path.append((i, j, 1))
            if from_column[i] < 0:
                break
            j = from_column[i]
            path.append((i, j, -1))
        amount = min([left[i], right[node], *(flow[a][b] for a, b, sign in path if sign < 0)])
        for a, b, sign in path:
            flow[a][b] += sign * amount
        left[i] -= amount
        right[node] -= amount
        for i in range(rows):
            row_level[i] += _at_most(far[i], best)
        for j in range(columns):
            column_level[j] += _at_most(wide[j], best)
    return sum(flow[i][j] * costs[i][j] for i in range(rows) for j in range(columns) if flow[i][j])


def _at_most(distance: int | None, best: int) -> int:
    return best if distance is None else min(distance, best)


def squared_distance(a: Point, b: Point) -> int:
    """‖a − b‖² of whole points."""
    return sum((u - v) ** 2 for u, v in zip(a, b, strict=True))


def largest_difference(label: int) -> Norm:
    """max_c |(a_c − a_y) − (b_c − b_y)|: the vertex norm of whole logits."""

    def norm(a: Point, b: Point) -> int:
        change = [u - v for u, v in zip(a, b, strict=True)]
        return max(abs(each - change[label]) for each in change)

    return norm


def logits(weight: Sequence[Point], points: Sequence[Point]) -> list[list[int]]:
    """Wz of whole weights and points."""
    return [[sum(u * v for u, v in zip(row, point, strict=True)) for row in weight] for point in points]


def powers(x: Any, y: Any, p: int, supply: Sequence[Fraction], demand: Sequence[Fraction]) -> Exact:
    """W_p^p of two clouds of float64 points with the Euclidean distance."""
    (first, second), exponent = whole(x, y)
    squares = [[squared_distance(a, b) for b in second] for a in first]
    if p == 2:
        value = least_mean(squares, supply, demand) / Fraction(4) ** exponent
        return Exact(value, value)
    return roots(squares, exponent, supply, demand)


def roots(
    squares: Sequence[Sequence[int]],
    exponent: int,
    supply: Sequence[Fraction],
    demand: Sequence[Fraction],
    more: Sequence[Sequence[Fraction]] | None = None,
) -> Exact:
    """The least mean of √(squares/4^exponent) + more, where costs are rounded down to a unit each: so at most two units off."""
    unit = 2 ** (exponent + _DIGITS)
    costs = [[math.isqrt(each << 2 * _DIGITS) for each in row] for row in squares]
    if more is not None:
        costs = [[a + math.floor(b * unit) for a, b in zip(*row, strict=True)] for row in zip(costs, more, strict=True)]
    mean = least_mean(costs, supply, demand)
    exact = more is None and all(math.isqrt(each) ** 2 == each for row in squares for each in row)
    return Exact(mean / unit, (mean if exact else mean + 2) / unit)


def masses(weights: Any, n: int) -> list[Fraction]:
    """Weights divided by their exact sum; equal ones if None."""
    if weights is None:
        return [Fraction(1, n)] * n
    exact = [Fraction(float(each)) for each in weights]
    return [each / sum(exact) for each in exact]


def on_the_line(x: Any, y: Any, a: Sequence[Fraction], b: Sequence[Fraction], p: int) -> Fraction:
    """W_p^p on the line: quantile against quantile, in rational numbers."""
    first, second = (
        sorted((Fraction(float(at)), mass) for at, mass in zip(points, given, strict=True) if mass)
        for points, given in ((x, a), (y, b))
    )
    cost, i, j, left, right = Fraction(0), 0, 0, first[0][1], second[0][1]
    while True:
        moved = min(left, right)
        cost += moved * abs(first[i][0] - second[j][0]) ** p
        left, right = left - moved, right - moved
        if not left:
            i += 1
            if i == len(first):
                return cost
            left = first[i][1]
        if not right:
            j += 1
            if j == len(second):
                return cost
            right = second[j][1]


def _fractions(value: Any) -> Any:
    return [_fractions(each) for each in value] if isinstance(value, list) else Fraction(value)


def _flat(value: Any) -> list[Fraction]:
    return [each for part in value for each in _flat(part)] if isinstance(value, list) else [value]


def _scaled(value: Any, exponent: int) -> Any:
    return [_scaled(each, exponent) for each in value] if isinstance(value, list) else int(value * 2**exponent)
