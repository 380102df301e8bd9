"""Transport of clouds without their cost matrix: levels give potentials, one pass over all pairs gives the pairs that matter,
and a certificate keeps account of the others.

The certificate. At potentials (f, g) one rigorous pass keeps every pair with C − f − g < W, so that all others are at least W
there. The network simplex on the kept pairs moves the potentials by (d, h); a pair that was not kept has a reduced cost of at
least W − d_i − h_j now, and only where that is below a new, smaller width are pairs looked at again. With w_i = the smallest
reduced cost of row i, or 0, the potentials (f + w, g) are feasible: their value is a lower bound, whatever was proposed.
"""

import math

import numpy as np
import torch

from kd2m_theory.arrays import Float64
from kd2m_theory.estimators.ground import EPS, TINY
from kd2m_theory.estimators.large.caps import StoppedError, memory_stops
from kd2m_theory.estimators.large.clouds import Clouds
from kd2m_theory.estimators.large.levels import PER_ROW, Pairs, few, lowered, start, width_of
from kd2m_theory.estimators.large.plans import Bounds, first_bounds, plan_cost
from kd2m_theory.estimators.large.sparse_network import Solved, first_plan, solve
from kd2m_theory.shared_state import products_of_float32

# Pairs of a row that are kept at most, of a whole pass and of those that look again at some pairs.
_KEPT, _AGAIN = 60, 60
# Rounds of the certificate, and whole passes.
_ROUNDS, _PASSES = 12, 4
# Share of all pairs that is looked at again at most for a greater width, down to which part of it; and the share from which on
# a whole pass at better potentials comes instead.
_LOOK, _LEAST, _WHOLE = 0.25, 0.5, 0.5
# Halvings of a width at which too many pairs are found, and the pairs of a row that are taken where they all tie.
_HALVINGS, _CHEAPEST = 6, 16
# Undercut pairs of a row from which on potentials are lowered, and the rows and columns that they are lowered by.
_UNDERCUT, _LOWERED_BY = 2.0, 2048


def transport(
    x: Float64,
    y: Float64,
    p: int,
    a: Float64,
    b: Float64,
    *,
    target: float,
    max_pivots: int,
    device: torch.device | str = "cpu",
) -> Bounds:
    """Bounds on the least mean cost ‖x − y‖^p. What a search may use is capped: where it stops early, they are further apart.

    Args:
        x: n × d points in the unit of `in_unit`.
        y: m × d points.
        p: 1 or 2.
        a: n positive weights that add up to 1.
        b: m positive weights that add up to 1.
        target: relative gap at which to stop.
        max_pivots: cap of each call of the network simplex.
        device: where tiles are computed.
    """
    # Coordinates are at most 1.
    search = _Search(first_bounds(x, y, p, a, b, (4.0 * x.shape[1]) ** (p / 2) * (1 + 1e-9)), target, max_pivots)
    try:
        with products_of_float32, memory_stops():
            search.run(Clouds(x, y, p, device), a, b)
    except StoppedError as stopped:
        search.reason = search.reason or str(stopped)
    return Bounds(
        lower=search.lower,
        upper=search.upper,
        reason="" if search.closed else search.reason,
        potentials=search.potentials,
    )


class _Search:
    def __init__(self, begun: Bounds, target: float, max_pivots: int) -> None:
        self._target, self._pivots = target, max_pivots
        self.lower, self.upper, self.reason = begun.lower, begun.upper, begun.reason
        self.potentials = begun.potentials
        self._clouds: Clouds
        self._a: Float64
        self._b: Float64
        self.plan: Solved

    @property
    def closed(self) -> bool:
        """Whether the bounds are as close as was asked."""
        return self.upper - self.lower <= self._target * abs(self.upper)

    def run(self, clouds: Clouds, a: Float64, b: Float64) -> None:
        """Bring the bounds together.

        Raises:
            StoppedError: something reached its cap; the bounds so far hold.
        """
        rng = np.random.default_rng(clouds.n)
        self._clouds, self._a, self._b = clouds, a[clouds.order_x], b[clouds.order_y]
        f, g = start(clouds, self._a, self._b, rng, self._pivots)
        known = Pairs(clouds)
        known.add(*first_plan(self._a, self._b))
        width = width_of(clouds, f, g, PER_ROW, rng)[0]
        at_least, passes, after_pass = self._passed(known, f, g, width), 1, True
        for _ in range(_ROUNDS):
            self._value(known, f, g, at_least)
            if self.closed:
                return
            self._solve(known, f, g)
            shift = float(np.median(self.plan.g - g))
            new_f, new_g, eased = self.plan.f + shift, self.plan.g - shift, False
            if after_pass:
                width, undercut = width_of(clouds, new_f, new_g, PER_ROW, rng)
                eased = undercut > _UNDERCUT
            if eased:
                # Some points are far from settled: lowered, fewer of them have drifted up.
                new_f, new_g = lowered(clouds, new_f, new_g, _LOWERED_BY, rng)
                width = width_of(clouds, new_f, new_g, PER_ROW, rng)[0]
            drift_x, drift_y = new_f - f, new_g - g
            width, share = _width(drift_x - at_least, drift_y, max(0.0, width))
            after_pass = share > _WHOLE and passes < _PASSES
            if after_pass:
                f, g = (new_f, new_g) if eased else lowered(clouds, new_f, new_g, _LOWERED_BY, rng)
                at_least, passes = self._passed(known, f, g, width_of(clouds, f, g, PER_ROW, rng)[0]), passes + 1
                continue
            # What the drifts of a pair were rounded by.
            rounded = 8 * EPS * sum(float(np.abs(each).max()) for each in (f, g, new_f, new_g, at_least))
            f, g, before = new_f, new_g, len(known.keys)
            new = clouds.below_where(f, g, width, drift_x - at_least + width, drift_y, known.room(_AGAIN))
            if new is None:
                at_least = self._looked(known, f, g)
            else:
                at_least = np.full(clouds.n, width - rounded)
                known.add(*new)
            if len(known.keys) == before and not eased:  # eased potentials are not those of the plan
                break
        self._value(known, f, g, at_least)
        self.reason = self.reason or "the search for pairs ended at its cap"

    def _passed(self, known: Pairs, f: Float64, g: Float64, width: float) -> Float64:
        """Take in all pairs with reduced costs below a width, by a look at every pair; a lower bound on those of the others."""
        clouds = self._clouds
        for _ in range(_HALVINGS):
            found = clouds.below(f, g, width, known.room(_KEPT))
            if found is not None:
                known.add(*found)
                known.add(*few(clouds, known, f, g, 16, 6))
                return np.full(clouds.n, width)
            width /= 2
        # Reduced costs of many pairs are zero but for rounding.
        at_least = self._looked(known, f, g)
        known.add(*few(clouds, known, f, g, 16, 6))
        return at_least

    def _solve(self, known: Pairs, f: Float64, g: Float64) -> None:
        self.plan = solve(*known.ends, known.costs, f, g, self._a, self._b, self._pivots)
        if self.plan.capped:
            self.reason = "the network simplex stopped at its cap"
        self.upper = min(self.upper, self._cost(known))

    def _looked(self, known: Pairs, f: Float64, g: Float64) -> Float64:
        """A lower bound on each row's smallest reduced cost, from all pairs in float64; its cheapest pairs are known then."""
        least, columns = self._clouds.smallest(f, g, _CHEAPEST)
        rows = np.flatnonzero(least < 0)
        known.add(np.repeat(rows, columns.shape[1]), columns[rows].ravel())
        return least

    def _value(self, known: Pairs, f: Float64, g: Float64, at_least: Float64) -> None:
        """The value of feasible potentials near these, rounded down."""
        clouds, (i, j) = self._clouds, known.ends
        error = (
            (clouds.relative_error + 4 * EPS) * known.costs + 4 * EPS * (np.abs(f[i]) + np.abs(g[j])) + clouds.absolute_error
        )
        w = np.minimum(0.0, at_least)
        np.minimum.at(w, i, known.costs - f[i] - g[j] - error)
        f = f + w
        terms = np.concatenate((self._a * f, self._b * g))
        value = math.fsum(terms) - 26 * EPS * math.fsum(np.abs(terms)) - (clouds.n + clouds.m) * TINY
        if value >= self.lower:
            self.lower, self.potentials = value, (np.empty(clouds.n), np.empty(clouds.m))
            for potential, order, ordered in zip(self.potentials, (clouds.order_x, clouds.order_y), (f, g), strict=True):
                potential[order] = ordered

    def _cost(self, known: Pairs) -> float:
        clouds, plan = self._clouds, self.plan
        costs = known.costs_of(plan.rows, plan.columns)
        return plan_cost(
            (plan.rows, plan.columns, plan.mass),
            costs,
            self._a,
            self._b,
            errors=(clouds.relative_error, clouds.absolute_error),
            diameter=clouds.diameter,
            exactly_zero=not costs.any() and clouds.equal(plan.rows, plan.columns),
        )


def _width(drift_x: Float64, drift_y: Float64, most: float) -> tuple[float, float]:
    """The reduced cost up to which pairs are looked at again, and which share of all pairs that is.

    Those are the pairs with drift_i + drift_j + width ≥ 0. As wide as one look may be: then later drifts stay below it.
    """
    by_drift = np.sort(drift_y)
    width, share = most, 1.0
    while True:
        share = 1.0 - float(np.searchsorted(by_drift, -width - drift_x).mean()) / len(by_drift)
        if share <= _LOOK or width <= _LEAST * most:
            return width, share
        width *= 0.8
