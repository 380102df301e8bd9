"""The exact assignment problem: bids, then the dense solver, or a sparse set of pairs that grows until the whole is solved.

Nearly all of the n² pairs are never used by an optimal plan. Dual potentials of a small random subsample, extended to all
points, tell which pairs are cheap *after* both points' potentials are paid. Under them the rows bid for columns, which improves
them and leaves some rows without one. Where these are few, SciPy's dense solver ends soon. Else the few cheapest pairs of every
point are the candidates: on them SciPy's sparse Jonker–Volgenant solver finds the best plan, shortest paths in its residual
graph give potentials, and one pass over the dense costs finds every pair that these potentials overcharge (column generation).
When there is none, plan and potentials solve the dense problem. Correctness does not rest on any of this: the certificate in
`transport.py` recomputes both sides.
"""

from functools import partial

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.sparse import csr_array
from scipy.sparse.csgraph import min_weight_full_bipartite_matching

from kd2m_theory.arrays import Float64, Int64
from kd2m_theory.estimators.ground import EPS
from kd2m_theory.estimators.sparse_transport import merged
from kd2m_theory.side_by_side import over_rows

_CANDIDATES = 16
# Rounds, and how many times as many pairs as in the first are a sign that points far away compete, as clusters do: bids in
# small steps would hardly reach them.
_ROUNDS, _CROWD = 25, 2.0
_SWEEPS = 400
_SAMPLE = 800
# Ratio of the spreads of the 16 and of the 4 cheapest alternatives of a point. Near 3 in four dimensions and more; larger
# near a line or a plane and infinite among ties, where the sparse solver's price wars do not end in sensible time.
_SPREAD = (1.0, 3.5)
# Binary digits of the weights in one round of the matching, and of the step at which it ends.
_STEPS, _DIGITS = 20, 48
# Bids of a row on average: rows without a column by then compete in small steps. The dense solver is the faster one up to so
# many of these rows times columns; beyond so many points it is not called, as it has no cap and grows with n³.
_BIDS, _SHORT, DENSE = 4, 90_000, 3000
# Rows and columns by which the spread is judged.
_JUDGED = 256


def c_transform(costs: Float64, f: Float64) -> Float64:
    """g_j = min_i (C_ij − f_i)."""
    result: Float64 = np.minimum.reduce(over_rows(costs.shape, lambda rows: (costs[rows] - f[rows, None]).min(axis=0)))
    return result


def c_transform_rows(costs: Float64, g: Float64) -> Float64:
    """f_i = min_j (C_ij − g_j)."""
    return np.concatenate(over_rows(costs.shape, lambda rows: (costs[rows] - g).min(axis=1)))


def extended_potentials(costs: Float64, potential: Float64, sample: Int64) -> tuple[Float64, Float64]:
    """Feasible potentials f, g of all rows and columns from those of the columns in a sample."""
    f = np.concatenate(over_rows(costs.shape, lambda rows: (costs[rows][:, sample] - potential).min(axis=1)))
    g = c_transform(costs, f)
    return c_transform_rows(costs, g), g


def assignment(costs: Float64, f: Float64, g: Float64) -> tuple[Int64, Float64] | None:
    """An optimal permutation for n × n costs and a potential of the columns near a dual optimum; None where neither way here
    ends in sensible time.

    Args:
        costs: n × n, n ≥ 2.
        f: potentials of the rows, near optimal ones.
        g: potentials of the columns.
    """
    n = len(costs)
    spread = _well_spread(costs, f, g)
    g, permutation = _bid(costs, g)
    waiting = permutation < 0
    count = np.count_nonzero(waiting)
    if not count:
        return permutation, g
    found = sparse_assignment(costs, g) if spread and (n > DENSE or count * n > _SHORT) else None
    if found is not None or n > DENSE:
        return found
    # The solver starts from zero potentials and no pair: paid potentials, and the rows that wait last, leave short searches.
    order = np.argsort(waiting, kind="stable")
    reduced = costs[order]
    reduced -= g
    reduced -= reduced.min(axis=1, keepdims=True)
    permutation[order] = linear_sum_assignment(reduced)[1]
    return permutation, g


def _bid(costs: Float64, g: Float64) -> tuple[Float64, Int64]:
    """Potentials of the columns under which many rows have a column of their own that is their cheapest, and those columns.

    Reduction of rows (Jonker and Volgenant 1987), of all at once: each row without a column bids for its cheapest what that is
    cheaper than the second; the highest bid gets the column, whose potential falls by as much. −1 is a row that still waits.
    """
    n = len(costs)
    g, owner, mine = g.copy(), np.full(n, -1), np.full(n, -1)
    waiting, left = np.arange(n), _BIDS * n
    while len(waiting) and left > 0:
        left -= len(waiting)
        wishes = over_rows((len(waiting), n), partial(_wishes, costs, g, waiting))
        wanted, bids = map(np.concatenate, zip(*wishes, strict=True))
        highest = np.full(n, -1)
        ascending = np.argsort(bids, kind="stable")
        highest[wanted[ascending]] = ascending  # of several, the last stays
        columns = np.flatnonzero(highest >= 0)
        winners = waiting[highest[columns]]
        g[columns] -= bids[highest[columns]]
        before = owner[columns]
        mine[before[before >= 0]] = -1
        owner[columns], mine[winners] = winners, columns
        waiting = np.flatnonzero(mine < 0)
    return g, mine


def _wishes(costs: Float64, g: Float64, rows: Int64, some: slice) -> tuple[Int64, Float64]:
    """The cheapest column of each of some rows, and what it is cheaper than the second."""
    reduced = costs[rows[some]]
    reduced -= g
    wanted = reduced.argmin(axis=1)
    every = np.arange(len(wanted))
    least = reduced[every, wanted]
    reduced[every, wanted] = np.inf
    return wanted, reduced.min(axis=1) - least


def _well_spread(costs: Float64, f: Float64, g: Float64) -> bool:
    """Whether the spread of the cheapest pairs of some rows and columns says that the sparse solver ends in sensible time."""
    few, some = _CANDIDATES // 4, np.unique(np.linspace(0, len(costs) - 1, _JUDGED).astype(np.int64))
    for reduced in (costs[some] - g, costs[:, some].T - f):
        nearest = np.sort(np.partition(reduced, _CANDIDATES, axis=1)[:, :_CANDIDATES], axis=1)
        nearest -= nearest[:, :1]
        tie = np.full(len(nearest), np.inf)
        spread = float(np.median(np.divide(nearest[:, -1], nearest[:, few - 1], out=tie, where=nearest[:, few - 1] > 0)))
        if not _SPREAD[0] < spread <= _SPREAD[1]:
            return False
    return True


def sparse_assignment(costs: Float64, g: Float64) -> tuple[Int64, Float64] | None:
    """An optimal permutation for n × n costs and a dual potential of the columns, or None where another solver is faster.

    Args:
        costs: n × n, well spread.
        g: potentials of the columns, to choose the candidates by.
    """
    n = len(costs)
    f = c_transform_rows(costs, g)
    keys = merged(_cheapest(costs, f, g), np.arange(n) * (n + 1))  # the diagonal: some full assignment must exist
    everyone, most = np.arange(n), _CROWD * len(keys)
    tolerance = 4 * EPS * float(max(abs(costs.max()), abs(costs.min())))
    for _ in range(_ROUNDS):
        i, j = np.divmod(keys, n)
        permutation = _matching(costs[i, j] - f[i] - g[j], i, j, n)
        g = _potential(costs, keys, permutation, g, tolerance)
        f = costs[everyone, permutation] - g[permutation]
        overcharged = _overcharged(costs, f, g, tolerance)
        if not len(overcharged):
            return permutation, g
        keys = merged(keys, overcharged)
        if len(keys) > most:
            break
    return None


def _matching(weights: Float64, i: Int64, j: Int64, n: int) -> Int64:
    """Optimal permutation for weights of the pairs (i, j), in rounds of integer problems.

    On float64 weights the solver's bids can differ by one rounding and never end. So weights are rounded to 2²⁰ steps
    of the largest. Potentials of the rounded problem leave reduced weights w ≥ 0 whose sum over the permutation found is
    small, and a pair with w above that sum is in no optimal permutation: it is dropped, and the next round's step is finer.
    """
    smallest = float(weights.max() - weights.min()) * 2.0**-_DIGITS
    while True:
        weights = weights - weights.min()
        step = float(weights.max()) * 2.0**-_STEPS
        rounded = np.rint(weights / step) if step else np.zeros(len(weights))
        pairs = i.astype(np.int32), j.astype(np.int32)  # SciPy 1.14 matches no graph with longer indices
        graph = csr_array((rounded + 1.0, pairs), shape=(n, n))  # the solver takes a zero for a missing pair
        matched: Int64 = min_weight_full_bipartite_matching(graph)[1].astype(np.int64)
        if step <= smallest:
            return matched
        order = np.argsort(j, kind="stable")
        mine = np.flatnonzero(matched[i] == j)
        paid = np.empty(n)
        paid[i[mine]] = rounded[mine]
        g = _shortest_paths(rounded[order], i[order], np.searchsorted(j[order], np.arange(n)), paid, matched, np.zeros(n), 0.0)
        f = paid - g[matched]
        weights = weights - step * (f[i] + g[j])
        weights -= weights.min()
        kept = weights <= float(weights[mine].sum()) * (1 + 1e-9)
        weights, i, j = weights[kept], i[kept], j[kept]


def _cheapest(costs: Float64, f: Float64, g: Float64) -> Int64:
    """Keys i·n + j of the cheapest pairs of every row and every column."""
    n = len(costs)

    def of_rows(rows: slice) -> Int64:
        nearest = np.argpartition(costs[rows] - g, _CANDIDATES, axis=1)[:, :_CANDIDATES]
        return np.arange(rows.start, rows.stop)[:, None] * n + nearest

    def of_columns(columns: slice) -> Int64:
        nearest = np.argpartition(np.ascontiguousarray(costs[:, columns].T) - f, _CANDIDATES, axis=1)[:, :_CANDIDATES]
        return nearest * n + np.arange(columns.start, columns.stop)[:, None]

    return np.concatenate([part.ravel() for which in (of_rows, of_columns) for part in over_rows(costs.shape, which)])


def _potential(costs: Float64, keys: Int64, permutation: Int64, g: Float64, tolerance: float) -> Float64:
    """Shortest paths over the candidate pairs from the potential g: a dual optimum of the sparse problem."""
    n = len(costs)
    rows, columns = np.divmod(keys, n)
    order = np.argsort(columns, kind="stable")
    rows, columns = rows[order], columns[order]
    starts = np.searchsorted(columns, np.arange(n))
    return _shortest_paths(costs[rows, columns], rows, starts, costs[np.arange(n), permutation], permutation, g, tolerance)


def _shortest_paths(
    values: Float64, rows: Int64, starts: Int64, paid: Float64, permutation: Int64, g: Float64, tolerance: float
) -> Float64:
    """Lower g until no pair undercuts it: g_j ≤ value − f_i with f_i = paid_i − g of i's partner. Pairs sorted by column."""
    for _ in range(_SWEEPS):
        f = paid - g[permutation]
        lowered = np.minimum(g, np.minimum.reduceat(values - f[rows], starts))
        drop = float((g - lowered).max())
        g = lowered
        if drop <= tolerance:
            break
    return g


def _overcharged(costs: Float64, f: Float64, g: Float64, tolerance: float) -> Int64:
    """Keys of pairs with C_ij < f_i + g_j beyond rounding; of a crowd in one block only the worst few of each row."""
    n = len(costs)

    def of_rows(rows: slice) -> Int64:
        reduced = costs[rows] - f[rows, None]
        reduced -= g
        if reduced.min() >= -tolerance:
            return np.empty(0, dtype=np.int64)
        i, j = np.nonzero(reduced < -tolerance)
        if len(i) > _CANDIDATES * len(reduced):
            j = np.argpartition(reduced, _CANDIDATES, axis=1)[:, :_CANDIDATES].ravel()
            i = np.repeat(np.arange(len(reduced)), _CANDIDATES)
        keys: Int64 = (i + rows.start) * n + j
        return keys

    return np.concatenate(over_rows(costs.shape, of_rows))


def subsample(n: int) -> tuple[Int64, Int64]:
    """Rows and columns of the subsample: a sixth of the points, at most 800, always the same ones."""
    rng = np.random.default_rng(n)
    size = min(n // 6, _SAMPLE)
    return rng.permutation(n)[:size], rng.permutation(n)[:size]
