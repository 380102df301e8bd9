"""Potentials from coarse to fine: of a small weighted sample, of an eighth of the points, of all."""

import numpy as np
import torch
from numpy.typing import NDArray

from kd2m_theory.arrays import Float64, Int64
from kd2m_theory.estimators.large.caps import MOST_PAIRS, StoppedError
from kd2m_theory.estimators.large.clouds import Clouds
from kd2m_theory.estimators.large.sparse_network import InfeasibleError, first_plan, solve, solve_dense
from kd2m_theory.estimators.large.strata import clusters, stratified

# Points of the smallest level (one of each cluster at least), clusters, how many times as many points the next level has, and
# how many times as large as the smallest a level between is at least.
_SMALLEST, _CLUSTERS, _SHARE, _GROWTH = 1500, 2000, 8, 1.5
# Pairs of a row that a choice leaves, rows by which it is made, and undercut pairs of a row at which a level is done.
PER_ROW, _ROWS, _UNDERCUT = 20, 256, 0.05
# Reduced costs of these rows at most: 256 MiB.
_STORED = 2**26
_ROUNDS = 8
_ROUNDED = 0.01
# Rank of the cheapest pair that sets a potential: pairs cheaper than that are chosen.
_RANK_SMALL, _RANK = 2, 3
# Columns are put in so many groups, whose best are ranked: a little off where two of the best share a group.
_GROUPS = 64


class Pairs:
    """Pairs whose exact costs are known, by increasing keys i·m + j.

    Args:
        clouds: the points.
    """

    def __init__(self, clouds: Clouds) -> None:
        self._clouds, self._most = clouds, MOST_PAIRS
        self.keys, self.costs = np.empty(0, dtype=np.int64), np.empty(0)

    def add(self, rows: Int64, columns: Int64) -> int:
        """Take these pairs in; returns how many are new.

        Raises:
            StoppedError: they would be more than the cap.
        """
        given = np.unique(rows * self._clouds.m + columns)
        new = given[~_among(given, self.keys)]
        if len(self.keys) + len(new) > self._most:
            raise StoppedError("pairs of the network simplex reached their cap")
        keys = np.concatenate((self.keys, new))
        costs = np.concatenate((self.costs, self._clouds.exact(*np.divmod(new, self._clouds.m))))
        order = np.argsort(keys, kind="stable")
        self.keys, self.costs = keys[order], costs[order]
        return len(new)

    def room(self, of_a_row: int) -> int:
        """How many pairs a pass may find: so many of a row on average, and no more than the cap leaves."""
        return min(of_a_row * max(self._clouds.n, self._clouds.m), self._most - len(self.keys))

    @property
    def ends(self) -> tuple[Int64, Int64]:
        """Rows and columns."""
        return np.divmod(self.keys, self._clouds.m)

    def costs_of(self, rows: Int64, columns: Int64) -> Float64:
        """Costs of pairs that are among them."""
        return self.costs[np.searchsorted(self.keys, rows * self._clouds.m + columns)]


def _among(keys: Int64, known: Int64) -> NDArray[np.bool_]:
    if not len(known):
        return np.zeros(len(keys), dtype=bool)
    place = np.minimum(np.searchsorted(known, keys), len(known) - 1)
    found: NDArray[np.bool_] = known[place] == keys
    return found


def start(clouds: Clouds, a: Float64, b: Float64, rng: np.random.Generator, max_pivots: int) -> tuple[Float64, Float64]:
    """Potentials near the optimal ones, of every row and column."""
    near = clusters(clouds, min(_CLUSTERS, max(2, (clouds.n + clouds.m) // 20)), rng)
    (rows, weight_rows), (columns, weight_columns) = _samples(near, (a, b), _SMALLEST, rng)
    u, v = solve_dense(_costs(clouds, rows, columns), weight_rows, weight_columns, max_pivots)
    for size in _between(min(len(rows), len(columns)), min(clouds.n, clouds.m)):
        (more_rows, weight_rows), (more_columns, weight_columns) = _samples(near, (a, b), size, rng)
        f = extended(clouds, more_rows, columns, v, _RANK_SMALL)[1]
        g = extended(clouds, more_columns, rows, u, _RANK_SMALL, transposed=True)[1]
        rows, columns = more_rows, more_columns
        u, v = settled(clouds.part(rows, columns), weight_rows, weight_columns, f, g, rng, max_pivots)
    f = extended(clouds, np.arange(clouds.n), columns, v, _RANK)[1]
    g = extended(clouds, np.arange(clouds.m), rows, u, _RANK, transposed=True)[1]
    return f, g


def _between(smallest: int, points: int) -> list[int]:
    """Sizes of the levels between the smallest and all points, each a share of the next."""
    sizes: list[int] = []
    while (size := points // _SHARE ** (len(sizes) + 1)) > _GROWTH * smallest:
        sizes.append(size)
    return sizes[::-1]


def _samples(
    near: tuple[Int64, Int64], weights: tuple[Float64, Float64], size: int, rng: np.random.Generator
) -> tuple[tuple[Int64, Float64], tuple[Int64, Float64]]:
    one, other = (stratified(cluster, mass, size, rng) for cluster, mass in zip(near, weights, strict=True))
    return one, other


def _costs(clouds: Clouds, rows: Int64, columns: Int64) -> Float64:
    costs = np.empty((len(rows), len(columns)))
    for part, tile in clouds.reduced(rows, columns, np.zeros(len(columns))):
        costs[part] = tile.cpu().numpy()
    return costs


def settled(
    clouds: Clouds, a: Float64, b: Float64, f: Float64, g: Float64, rng: np.random.Generator, max_pivots: int
) -> tuple[Float64, Float64]:
    """Potentials of a level that nearly no pair undercuts; those so far where the network simplex finds no plan."""
    known = Pairs(clouds)
    known.add(*first_plan(a, b))
    width = width_of(clouds, f, g, PER_ROW, rng)[0]
    _choose(clouds, known, f, g, width, 4 * PER_ROW)
    for round_ in range(_ROUNDS):
        try:
            solved = solve(*known.ends, known.costs, f, g, a, b, max_pivots)
        except InfeasibleError:
            break
        f, g = solved.f, solved.g
        _, undercut = width_of(clouds, f, g, PER_ROW, rng)
        if undercut < _UNDERCUT or round_ == _ROUNDS - 1:
            break
        lower_f, lower_g = lowered(clouds, f, g, min(clouds.n, clouds.m) // _SHARE, rng)
        _choose(clouds, known, lower_f, lower_g, width_of(clouds, lower_f, lower_g, 8, rng)[0], 4 * PER_ROW)
    return f, g


def _choose(clouds: Clouds, known: Pairs, f: Float64, g: Float64, width: float, of_a_row: int) -> None:
    """Take in the pairs with reduced costs below the width, and the cheapest of rows and columns that have few."""
    found = clouds.below(f, g, width, known.room(of_a_row))
    if found is None:
        return
    known.add(*found)
    known.add(*few(clouds, known, f, g))


def few(clouds: Clouds, known: Pairs, f: Float64, g: Float64, count: int = 10, least: int = 4) -> tuple[Int64, Int64]:
    """The cheapest pairs of rows and columns of which fewer than `least` are known."""
    i, j = known.ends
    rows = np.flatnonzero(np.bincount(i, minlength=clouds.n) < least)
    columns = np.flatnonzero(np.bincount(j, minlength=clouds.m) < least)
    of_rows, of_columns = cheapest(clouds, rows, g, count), cheapest(clouds, columns, f, count, transposed=True)
    return np.concatenate((of_rows[0], of_columns[1])), np.concatenate((of_rows[1], of_columns[0]))


def cheapest(clouds: Clouds, rows: Int64, paid: Float64, count: int, *, transposed: bool = False) -> tuple[Int64, Int64]:
    """Each of these rows with its `count` cheapest columns."""
    others = clouds.n if transposed else clouds.m
    count = min(count, others)
    found = np.empty((len(rows), count), dtype=np.int64)
    for part, tile in clouds.reduced(rows, None, paid, transposed=transposed):
        found[part] = torch.topk(tile, count, dim=1, largest=False).indices.cpu().numpy()
    return np.repeat(rows, count), found.ravel()


def extended(
    clouds: Clouds, rows: Int64, columns: Int64, paid: Float64, rank: int, *, transposed: bool = False
) -> tuple[Float64, Float64]:
    """The smallest C_ij − paid_j over these columns, of every row, and about the smallest but rank − 1."""
    result = np.empty((2, len(rows)))
    groups = min(_GROUPS, len(columns))
    for part, best in clouds.least_of_groups(rows, columns, paid, groups, transposed=transposed):
        ranked = torch.topk(best, min(rank, groups), dim=1, largest=False).values
        result[0, part], result[1, part] = ranked[:, 0].cpu().numpy(), ranked[:, -1].cpu().numpy()
    return result[0], result[1]


def width_of(clouds: Clouds, f: Float64, g: Float64, per_row: float, rng: np.random.Generator) -> tuple[float, float]:
    """The reduced cost below which `per_row` pairs of a row lie, by some rows; and how many of a row are below zero."""
    rows = rng.permutation(clouds.n)[: max(1, min(_ROWS, _STORED // clouds.m))]
    found = []
    for part, tile in clouds.reduced(rows, None, g):
        found.append(tile.sub_(torch.as_tensor(f[rows[part]], dtype=torch.float32, device=tile.device)[:, None]).flatten())
    every = torch.cat(found)
    count = min(len(every), max(1, round(len(rows) * per_row)))
    width = float(torch.kthvalue(every, count).values)
    # Pairs of the plan lie at zero up to rounding in single precision.
    return width, float((every < -_ROUNDED * abs(width)).sum()) / len(rows)


def lowered(clouds: Clouds, f: Float64, g: Float64, count: int, rng: np.random.Generator) -> tuple[Float64, Float64]:
    """Potentials that no pair of some rows, and then no pair of some columns, undercuts."""
    rows = rng.permutation(clouds.n)[:count]
    g = np.minimum(g, extended(clouds, np.arange(clouds.m), rows, f[rows], 1, transposed=True)[0])
    columns = rng.permutation(clouds.m)[:count]
    f = np.minimum(f, extended(clouds, np.arange(clouds.n), columns, g[columns], 1)[0])
    return f, g
