"""The exact assignment problem on a sparse set of candidate pairs that grows until the dense problem is solved.

Nearly all of the n² pairs are never used by an optimal plan. Dual potentials of a small random subsample, extended to all
points, tell which pairs are cheap *after* both points' potentials are paid; the few cheapest of every point are the
candidates. On them SciPy's sparse Jonker–Volgenant solver finds the best plan, shortest paths in its residual graph give
potentials, and one pass over the dense costs finds every pair that these potentials overcharge (column generation). When
there is none, plan and potentials solve the dense problem. Correctness does not rest on any of this: the certificate in
`transport.py` recomputes both sides.
"""

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import min_weight_full_bipartite_matching

from kd2m_theory.arrays import Float64, Int64
from kd2m_theory.estimators.ground import EPS
from kd2m_theory.estimators.sparse_transport import merged

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
_BLOCK = 4_000_000


def c_transform(costs: Float64, f: Float64) -> Float64:
    """g_j = min_i (C_ij − f_i), in blocks of rows so that no second n × m array is stored."""
    if costs.size <= _BLOCK:
        lowest: Float64 = (costs - f[:, None]).min(axis=0)
        return lowest
    result = np.full(costs.shape[1], np.inf)
    for rows in row_blocks(costs):
        np.minimum(result, (costs[rows] - f[rows, None]).min(axis=0), out=result)
    return result


def c_transform_rows(costs: Float64, g: Float64) -> Float64:
    """f_i = min_j (C_ij − g_j), in blocks of rows."""
    if costs.size <= _BLOCK:
        lowest: Float64 = (costs - g).min(axis=1)
        return lowest
    result = np.empty(len(costs))
    for rows in row_blocks(costs):
        result[rows] = (costs[rows] - g).min(axis=1)
    return result


def row_blocks(costs: Float64) -> list[slice]:
    """Slices of rows of about 32 MB of costs."""
    n, m = costs.shape
    step = max(1, _BLOCK // m)
    return [slice(start, min(n, start + step)) for start in range(0, n, step)]


def extended_potentials(costs: Float64, potential: Float64, sample: Int64) -> tuple[Float64, Float64]:
    """Feasible potentials f, g of all rows and columns from those of the columns in a sample."""
    f = np.empty(len(costs))
    for rows in row_blocks(costs):
        f[rows] = (costs[rows][:, sample] - potential).min(axis=1)
    g = c_transform(costs, f)
    return c_transform_rows(costs, g), g


def sparse_assignment(costs: Float64, f: Float64, g: Float64) -> tuple[Int64, Float64] | None:
    """An optimal permutation for n × n costs and a dual potential of the columns, or None where another solver is faster.

    Args:
        costs: n × n.
        f: potentials of the rows, to choose the candidates by.
        g: potentials of the columns.
    """
    n = len(costs)
    cheapest = _cheapest(costs, f, g)
    if cheapest is None:
        return None
    keys = merged(cheapest, np.arange(n) * (n + 1))  # the diagonal: some full assignment must exist
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


def _cheapest(costs: Float64, f: Float64, g: Float64) -> Int64 | None:
    """Keys i·n + j of the cheapest pairs of every row and every column; None where their spread says not to go on."""
    n = len(costs)
    keys: list[Int64] = []
    few = _CANDIDATES // 4
    for transposed, matrix, paid in ((False, costs, g), (True, costs.T, f)):
        spreads: list[Float64] = []
        for rows in row_blocks(matrix):
            reduced = matrix[rows] - paid
            nearest = np.argpartition(reduced, _CANDIDATES, axis=1)[:, :_CANDIDATES]
            mine = np.arange(rows.start, rows.stop)[:, None]
            keys.append((nearest * n + mine if transposed else mine * n + nearest).ravel())
            ordered = np.sort(np.take_along_axis(reduced, nearest, axis=1), axis=1) - reduced.min(axis=1)[:, None]
            tie = np.full(len(ordered), np.inf)
            spreads.append(np.divide(ordered[:, -1], ordered[:, few - 1], out=tie, where=ordered[:, few - 1] > 0))
        spread = float(np.median(np.concatenate(spreads)))
        if not _SPREAD[0] < spread <= _SPREAD[1]:
            return None
    return np.concatenate(keys)


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
    keys: list[Int64] = []
    for rows in row_blocks(costs):
        reduced = costs[rows] - f[rows, None]
        reduced -= g
        if reduced.min() >= -tolerance:
            continue
        i, j = np.nonzero(reduced < -tolerance)
        if len(i) > _CANDIDATES * len(reduced):
            j = np.argpartition(reduced, _CANDIDATES, axis=1)[:, :_CANDIDATES].ravel()
            i = np.repeat(np.arange(len(reduced)), _CANDIDATES)
        keys.append((i + rows.start) * n + j)
    return np.concatenate(keys) if keys else np.empty(0, dtype=np.int64)


def subsample(n: int) -> tuple[Int64, Int64]:
    """Rows and columns of the subsample: a sixth of the points, at most 800, always the same ones."""
    rng = np.random.default_rng(n)
    size = min(n // 6, _SAMPLE)
    return rng.permutation(n)[:size], rng.permutation(n)[:size]
