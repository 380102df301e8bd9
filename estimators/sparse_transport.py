"""Transport along few pairs: a good plan, not a certified optimum, for costs that are too dear to compute for every pair.

Masses are uniform on both sides and are counted in whole units, m for each of n rows and n for each of m columns (less their
common divisor), so a plan has exactly the right marginals or it is refused. Any plan gives a valid bound; how good it is
depends on the pairs that were offered.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.sparse import csr_array

from kd2m_theory.arrays import Float64, Int64
from kd2m_theory.estimators.ground import EPS

# Pairs that a dense solver takes; of a block of rows against all columns.
_DENSE, _UNEQUAL, _BLOCK = 250_000, 4_000_000, 2_000_000
# Rows of a part that is solved at a time.
_PART = 250


@dataclass(frozen=True, slots=True)
class UnitPlan:
    """A plan between uniform masses: `units[k]` move from `rows[k]` to `columns[k]`.

    Attributes:
        rows: indices of rows.
        columns: indices of columns.
        units: whole units of mass.
        total: units in all.
    """

    rows: Int64
    columns: Int64
    units: Int64
    total: int

    def keys(self, columns: int) -> Int64:
        """i·m + j of its pairs, for m columns."""
        return self.rows * columns + self.columns

    def mean(self, values: Float64) -> float:
        """Mean of the values of the plan's pairs, rounded up."""
        terms = self.units * values
        # Each product and the last division are right to a rounding.
        return (math.fsum(terms) + 4 * EPS * math.fsum(np.abs(terms))) / self.total


def monotone_plan(rows: Int64, columns: Int64) -> UnitPlan:
    """The plan that fills columns from rows in the given orders: it moves a k-th row to a k-th column if they are as many.

    Args:
        rows: a permutation of the n rows.
        columns: a permutation of the m columns.

    Example:
        >>> plan = monotone_plan(np.array([1, 0]), np.array([0, 1, 2]))
        >>> plan.rows.tolist(), plan.columns.tolist(), plan.units.tolist(), plan.total
        ([1, 1, 0, 0], [0, 1, 1, 2], [2, 1, 1, 2], 6)
    """
    n, m = len(rows), len(columns)
    common = math.gcd(n, m)
    of_row, of_column = m // common, n // common
    total = n * of_row
    cuts = np.union1d(np.arange(0, total, of_row), np.arange(0, total, of_column))
    return UnitPlan(
        rows=rows[cuts // of_row], columns=columns[cuts // of_column], units=np.diff(np.append(cuts, total)), total=total
    )


def cheapest_pairs(left: Float64, right: Float64, row_terms: Float64, column_terms: Float64, count: int) -> Int64:
    """Keys i·m + j, increasing, of every row's and column's `count` pairs of least r_i + c_j − ⟨left_i, right_j⟩.

    Args:
        left: n × k.
        right: m × k.
        row_terms: n.
        column_terms: m.
        count: how many, less than n and m.
    """
    m = len(right)
    keys = [
        _cheapest_of_rows(left, right, column_terms, count) @ np.array([m, 1]),
        _cheapest_of_rows(right, left, row_terms, count) @ np.array([1, m]),
    ]
    return merged(*keys)


def merged(*keys: Int64) -> Int64:
    """All keys once, increasing."""
    every = np.sort(np.concatenate(keys))
    result: Int64 = every[np.append(True, every[1:] > every[:-1])]
    return result


def _cheapest_of_rows(left: Float64, right: Float64, column_terms: Float64, count: int) -> Int64:
    """Row and column (n·count × 2) of each row's cheapest pairs; a term of the row itself does not matter."""
    found, step = [], max(1, _BLOCK // len(right))
    for start in range(0, len(left), step):
        costs = column_terms - left[start : start + step] @ right.T
        nearest = np.argpartition(costs, count, axis=1)[:, :count]
        found.append(np.column_stack((np.repeat(np.arange(start, start + len(costs)), count), nearest.ravel())))
    return np.concatenate(found)


def cheap_plan(
    keys: Int64,
    costs: Float64,
    shape: tuple[int, int],
    start: UnitPlan,
    orders: Sequence[Int64] = (),
    enough: float = 0.0,
) -> UnitPlan:
    """A plan of low cost along the pairs with these keys i·m + j, which hold all of those of the plan `start`.

    Small problems are solved. As many columns as rows, and many of them, are matched again part by part: rows that are near
    each other in one of the orders, with the columns that they have.

    Args:
        keys: of the pairs, increasing.
        costs: of the pairs, at least 0; infinite where a pair is not to be used.
        shape: n and m.
        start: the plan to beat.
        orders: permutations of the rows.
        enough: a mean cost that is not worth reducing.

    Returns:
        The better of the plan found and `start`.
    """
    n, m = shape
    known = costs[np.searchsorted(keys, start.keys(m))]
    goal = float(start.units @ known) / start.total
    if not enough < goal < math.inf:
        return start
    kept = costs <= goal * start.total  # a dearer pair is in no plan that beats the start
    keys, costs = keys[kept], costs[kept]
    rows, columns = np.divmod(keys, m)
    if n != m:
        found = _unequal(rows, columns, costs, shape) if n * m <= _UNEQUAL else None
    elif n * n <= _DENSE:
        found = _matched(linear_sum_assignment(_dense(rows, columns, costs, shape))[1], keys)
    else:
        found = _matched(_part_by_part(rows, columns, costs, start.columns[np.argsort(start.rows)], orders), keys)
    if found is None:
        return start
    return found if float(found.units @ costs[np.searchsorted(keys, found.keys(m))]) / found.total < goal else start


def _matched(columns: Int64, keys: Int64) -> UnitPlan | None:
    """The plan of a permutation, if all of its pairs are offered."""
    n = len(columns)
    plan = UnitPlan(np.arange(n), columns.astype(np.int64), np.ones(n, dtype=np.int64), n)
    wanted = plan.keys(n)
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return plan if (keys[place] == wanted).all() else None


def _part_by_part(rows: Int64, columns: Int64, costs: Float64, matched: Int64, orders: Sequence[Int64]) -> Int64:
    """A permutation that no part of the rows, in the orders, improves much; it begins with `matched`."""
    n, matched = len(matched), matched.copy()
    number = csr_array((np.arange(1, len(costs) + 1), (rows, columns)), shape=(n, n))
    padded = np.append(2 * float(costs.max()) * n, costs)  # a pair that is not offered costs more than a whole plan of others
    for order in orders:
        for part in np.split(order, np.arange(_PART, n, _PART)):
            mine = matched[part]
            _, best = linear_sum_assignment(padded[number[part][:, mine].toarray()])
            matched[part] = mine[best]
    return matched


def _dense(rows: Int64, columns: Int64, costs: Float64, shape: tuple[int, int]) -> Float64:
    """All costs, where a pair that is not offered costs more than a whole plan of others."""
    result = np.full(shape, 2 * float(costs.max()) * max(shape))
    result[rows, columns] = costs
    return result


def _unequal(rows: Int64, columns: Int64, costs: Float64, shape: tuple[int, int]) -> UnitPlan | None:
    """The network simplex on whole masses, whose flows are whole."""
    from ot.lp import emd  # deferred: POT loads every array library it finds, torch among them

    n, m = shape
    common = math.gcd(n, m)
    of_row, of_column = m // common, n // common
    flow = np.rint(emd(np.full(n, float(of_row)), np.full(m, float(of_column)), _dense(rows, columns, costs, shape)))
    offered = np.zeros(shape, dtype=bool)
    offered[rows, columns] = True
    whole = (flow.sum(axis=1) == of_row).all() and (flow.sum(axis=0) == of_column).all()
    if not whole or (flow[~offered] > 0).any():
        return None
    used = np.nonzero(flow)
    return UnitPlan(used[0], used[1], flow[used].astype(np.int64), n * of_row)
