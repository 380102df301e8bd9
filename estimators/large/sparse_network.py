"""The network simplex on some of the pairs."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import coo_array, coo_matrix

from kd2m_theory.arrays import Float64, Int64
from kd2m_theory.estimators.large.caps import StoppedError
from kd2m_theory.shared_state import without_warnings

# No potential of a solved problem of points within the unit cube is as large, and its square is a number of single precision.
_LARGEST = 1e12


class InfeasibleError(StoppedError):
    """The network simplex found no plan along these pairs: there is none, or masses are too small for it."""


@dataclass(frozen=True, slots=True)
class Solved:
    """A plan along the offered pairs and potentials that no offered pair undercuts.

    Attributes:
        f: potential of every row.
        g: potential of every column.
        rows: of the pairs that are used.
        columns: of the pairs that are used.
        mass: that each of them moves.
        capped: whether the solver stopped at its cap.
    """

    f: Float64
    g: Float64
    rows: Int64
    columns: Int64
    mass: Float64
    capped: bool


def solve(
    rows: Int64, columns: Int64, costs: Float64, f: Float64, g: Float64, a: Float64, b: Float64, max_pivots: int
) -> Solved:
    """Transport along these pairs, begun at potentials near which the answer lies: their part of the costs is paid beforehand.

    Raises:
        InfeasibleError: no plan uses these pairs alone.
    """
    from ot.lp import emd  # deferred: POT loads every array library it finds, torch among them

    paid = costs - f[rows] - g[columns]
    with without_warnings:  # they come back in the log
        plan, log = emd(a, b, coo_matrix((paid, (rows, columns)), shape=(len(a), len(b))), numItermax=max_pivots, log=True)
    return _solved(plan, log, f, g)


def solve_dense(costs: Float64, a: Float64, b: Float64, max_pivots: int) -> tuple[Float64, Float64]:
    """Potentials of a small problem."""
    from ot.lp import emd

    with without_warnings:
        _, log = emd(a, b, costs, numItermax=max_pivots, log=True)
    return _even(np.asarray(log["u"], dtype=np.float64), np.asarray(log["v"], dtype=np.float64))


def _solved(plan: Any, log: dict[str, Any], f: Float64, g: Float64) -> Solved:
    warning = log["warning"]
    if warning is not None and "feasible" in str(warning).lower():
        raise InfeasibleError("the network simplex found no plan along the pairs")
    used = coo_array(plan)
    kept = used.data > 0
    f, g = _even(f + np.asarray(log["u"], dtype=np.float64), g + np.asarray(log["v"], dtype=np.float64))
    return Solved(
        f=f,
        g=g,
        rows=used.row[kept].astype(np.int64),
        columns=used.col[kept].astype(np.int64),
        mass=np.asarray(used.data[kept], dtype=np.float64),
        capped=warning is not None,
    )


def _even(f: Float64, g: Float64) -> tuple[Float64, Float64]:
    """The potentials less a constant, which leaves their sums as they are: both are then of the size of half a cost.

    A solver that stopped at its cap may leave some without a value.
    """
    f, g = (np.clip(np.nan_to_num(values), -_LARGEST, _LARGEST) for values in (f, g))
    shift = (float(np.median(f)) - float(np.median(g))) / 2
    return f - shift, g + shift


def first_plan(a: Float64, b: Float64) -> tuple[Int64, Int64]:
    """Pairs of a plan that exists whatever the costs: the points in their order, and neighbours of where one ends."""
    n, m = len(a), len(b)
    if n == m and (a == a[0]).all() and (b == b[0]).all():
        return np.arange(n), np.arange(n)
    ends_a, ends_b = np.cumsum(a) / a.sum(), np.cumsum(b) / b.sum()
    cuts = np.sort(np.concatenate(([0.0], ends_a, ends_b)))
    middle = (cuts[1:] + cuts[:-1]) / 2
    i = np.minimum(np.searchsorted(ends_a, middle, side="right"), n - 1)
    j = np.minimum(np.searchsorted(ends_b, middle, side="right"), m - 1)
    # Rounding may move an end by one point, and masses that it does not see have no cut of their own: every point gets a pair.
    every_i, every_j = np.arange(n), np.arange(m)
    beside_i = np.minimum(np.searchsorted(ends_b, ends_a), m - 1)
    beside_j = np.minimum(np.searchsorted(ends_a, ends_b), n - 1)
    return (
        np.concatenate((i, np.minimum(i + 1, n - 1), i, every_i, beside_j)),
        np.concatenate((j, j, np.minimum(j + 1, m - 1), beside_i, every_j)),
    )
