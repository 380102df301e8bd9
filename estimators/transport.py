"""Exact optimal transport with a certificate that does not trust the solver.

    min_P ⟨C, P⟩  over  P ≥ 0, P1 = a, Pᵀ1 = b                                     (primal)
    max_f,g ⟨a, f⟩ + ⟨b, g⟩  over  f_i + g_j ≤ C_ij                                (dual)

A solver proposes a plan. Its marginals are repaired and its cost is added up again: an upper bound, whatever the solver
did. Potentials are made feasible by a c-transform: a lower bound, whatever their origin. Both sides move outward by
what rounding may have done. A capped solver therefore widens the interval and never returns a wrong number.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import linear_sum_assignment

from kd2m_theory.arrays import Float64, Int64, probability_weights
from kd2m_theory.errors import InputError
from kd2m_theory.estimators.assignment import (
    DENSE,
    assignment,
    c_transform,
    c_transform_rows,
    extended_potentials,
    subsample,
)
from kd2m_theory.estimators.enclosure import Enclosure
from kd2m_theory.estimators.ground import EPS, TINY, CostMatrix
from kd2m_theory.estimators.scale import exponent_of, rescaled, shifted_up
from kd2m_theory.shared_state import without_warnings
from kd2m_theory.side_by_side import over_rows

MAX_PIVOTS = 10_000_000
# Shortest-path sweeps, before potentials are asked of the network simplex instead; where there are more pairs than the second
# number, those that read all costs are fewer.
_SWEEPS, _PAIRS, _FIRST = 200, 2**15, 8
# There so many rounds follow for a matching, of sweeps over the pairs whose reduced costs are smallest: that many of a column,
# counted in so many columns.
_ROUNDS, _NEAREST, _SAMPLED = 24, 16, 64
# From this size on potentials of a subsample pay for themselves.
_MEDIUM = 600
# Rows and columns of a sample of costs, and a cost that is small beside the largest, which is about 1.
_SIDE, _SMALL = 64, 2.0**-26


@dataclass(frozen=True, slots=True)
class Plan:
    """A transport plan by its support: `mass[k]` moves from point `rows[k]` to point `columns[k]`.

    Attributes:
        rows: indices into the first cloud.
        columns: indices into the second cloud.
        mass: positive masses.
        potential: a dual potential on the second cloud to start the certificate from.
        capped: whether the solver stopped at its iteration cap.
        method: the solver's name.
    """

    rows: Int64
    columns: Int64
    mass: Float64
    potential: Float64
    capped: bool
    method: str


def optimal_plan(costs: Float64, a: Float64, b: Float64, max_pivots: int = MAX_PIVOTS) -> Plan:
    """An optimal plan for costs n × m and positive weights a (n), b (m), as the solver gives it: `optimal_cost` certifies one.

    Equal-size uniform problems are assignments: SciPy's dense solver for small ones, and from medium ones on what `assignment`
    chooses. Everything else goes to POT's network simplex.

    Args:
        costs: n × m, float64, in any unit.
        a: n positive weights that add up to 1.
        b: m positive weights that add up to 1.
        max_pivots: cap of the network simplex; the assignment solver has none.

    Raises:
        InputError: costs that are not a finite matrix, weights that are not positive, not as many as points or do not add up to
            1, or no pivot allowed.

    Example:
        >>> plan: Plan = optimal_plan(np.array([[1.0, 0.0], [0.0, 2.0]]), np.full(2, 0.5), np.full(2, 0.5))
        >>> plan.rows.tolist(), plan.columns.tolist(), plan.mass.tolist()
        ([0, 1], [1, 0], [0.5, 0.5])
    """
    costs = np.asarray(costs, dtype=np.float64)
    if costs.ndim != 2 or not costs.size:
        raise InputError(f"the costs have shape {costs.shape}; give one for each pair of points, n × m")
    _check(costs, max_pivots)
    exponent = exponent_of(costs)
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    for name, weights, points in (("a", a, len(costs)), ("b", b, costs.shape[1])):
        if not probability_weights(weights, points, name).all():
            raise InputError(f"{name} has weight 0 at index {int(weights.argmin())}; leave out points without mass")
    plan = _proposed(np.ldexp(costs, -exponent), a, b, max_pivots)
    return replace(plan, potential=_shifted(plan.potential, exponent))


def _shifted(potential: Float64, exponent: int) -> Float64:
    """Potentials in another unit; a start for the certificate has to be finite and no more."""
    if not exponent and np.isfinite(potential).all():
        return potential
    with np.errstate(over="ignore"):
        return np.nan_to_num(np.ldexp(potential, exponent), posinf=0.0, neginf=0.0)


def _check(costs: Float64, max_pivots: int) -> None:
    if not (math.isfinite(costs.max()) and math.isfinite(costs.min())):
        raise InputError("the costs hold NaN or infinite values; no transport cost is defined")
    if max_pivots < 1:
        raise InputError(f"max_pivots is {max_pivots}; allow at least one")


def _proposed(costs: Float64, a: Float64, b: Float64, max_pivots: int) -> Plan:
    """The plan of a problem that was checked and has its largest cost in [½, 1)."""
    n, m = costs.shape
    if n == 1 or m == 1:
        rows, columns = np.nonzero(np.ones((n, m), dtype=bool))
        return Plan(
            rows=rows, columns=columns, mass=np.outer(a, b).ravel(), potential=np.zeros(m), capped=False, method="product plan"
        )
    if n == m and (a == a[0]).all() and (b == b[0]).all():
        if n < _MEDIUM or (n <= DENSE and _of_many_sizes(costs)):
            _, columns = linear_sum_assignment(costs)
            return _assignment(columns.astype(np.int64), np.zeros(n))
        found = assignment(costs, *_subsample_potentials(costs))
        if found is not None:
            return _assignment(*found)
    return _network_simplex(costs, a, b, max_pivots)


def _of_many_sizes(costs: Float64) -> bool:
    """Whether most costs, by a sample, are so small beside the largest that potentials of its size would round them off."""
    step = max(1, len(costs) // _SIDE)
    return float(np.median(np.abs(costs[::step, ::step]))) < _SMALL


def _subsample_potentials(costs: Float64) -> tuple[Float64, Float64]:
    """Feasible potentials of all points from those of a subsample, which is solved."""
    rows, sample = subsample(len(costs))
    small = costs[np.ix_(rows, sample)]
    _, columns = linear_sum_assignment(small)
    plan = _assignment(columns.astype(np.int64), np.zeros(len(sample)))
    return extended_potentials(costs, _lowered(plan, small)[0], sample)


def _assignment(columns: Int64, potential: Float64) -> Plan:
    n = len(columns)
    return Plan(
        rows=np.arange(n), columns=columns, mass=np.full(n, 1.0 / n), potential=potential, capped=False, method="assignment"
    )


def _network_simplex(costs: Float64, a: Float64, b: Float64, max_pivots: int) -> Plan:
    from ot.lp import emd  # deferred: POT loads every array library it finds, torch among them

    with without_warnings:  # they come back in the log; the certificate judges
        matrix, log = emd(a, b, costs, numItermax=max_pivots, log=True)
    rows, columns = np.nonzero(matrix > 0)
    return Plan(
        rows=rows,
        columns=columns,
        mass=matrix[rows, columns],
        potential=_shifted(log["v"], 0),
        capped=log["warning"] is not None,
        method="network simplex",
    )


def optimal_cost(
    cost: CostMatrix, a: Float64 | None = None, b: Float64 | None = None, max_pivots: int = MAX_PIVOTS
) -> Enclosure:
    """Enclosure of the optimal transport cost min_P ⟨C, P⟩ between weights a (n) and b (m).

    Args:
        cost: n × m costs with their error bounds.
        a: probability weights of the first cloud; uniform if None.
        b: probability weights of the second cloud; uniform if None.
        max_pivots: cap of the network simplex; the assignment solver has none.

    Raises:
        InputError: costs that are not finite, weights that are not probabilities of the right length, or no pivot allowed.

    Example:
        >>> costs = CostMatrix(np.array([[1.0, 0.0], [0.0, 2.0]]), 0.0, 0.0, "distance")
        >>> optimal_cost(costs, np.full(2, 0.5), np.full(2, 0.5)).upper < 1e-15
        True
    """
    return certified_plan(cost, a, b, max_pivots)[0]


def certified_plan(
    cost: CostMatrix, a: Float64 | None = None, b: Float64 | None = None, max_pivots: int = MAX_PIVOTS
) -> tuple[Enclosure, Plan]:
    """Enclosure of the optimal transport cost, and the plan whose cost is its upper end. Arguments as `optimal_cost`.

    Raises:
        InputError: as `optimal_cost`.
    """
    values = cost.values
    _check(values, max_pivots)
    a, b = probability_weights(a, len(values), "a"), probability_weights(b, values.shape[1], "b")
    rows, columns = np.flatnonzero(a), np.flatnonzero(b)
    if len(rows) < len(a) or len(columns) < len(b):
        values, a, b = values[np.ix_(rows, columns)], a[rows], b[columns]
    exponent = exponent_of(values)
    if -1 <= exponent <= 0:  # as `unit_costs` has them: spare the copy
        exponent, lost = 0, False
    else:
        values, lost = rescaled(values, -exponent)
    plan = _proposed(values, a, b, max_pivots)
    upper = _primal_value(plan, values, a, b)
    lower, converged = _dual_value(plan, values, a, b)
    if plan.method == "assignment" and not converged:
        # Long augmenting paths (points on a line, say): the simplex keeps its potentials, start from those.
        simplex = _network_simplex(values, a, b, max_pivots)
        start = replace(plan, potential=simplex.potential, capped=simplex.capped)
        lower = max(lower, _dual_value(start, values, a, b)[0])
    # Costs, and their products with masses, may have lost a TINY each; a sum of exact zeros has not.
    flushed = (len(a) + len(b) + 1) * TINY if upper or lost else 0.0
    absolute = shifted_up(cost.absolute_error, -exponent)
    upper = (upper + flushed + absolute) / (1 - 2 * cost.relative_error)
    lower = (lower - flushed - absolute) / (1 + 2 * cost.relative_error)
    if cost.relative_error:  # only non-negative costs have one
        lower = max(lower, 0.0)
    enclosure = Enclosure(lower=lower, upper=max(upper, lower), unit=cost.unit, method=plan.method, capped=plan.capped)
    plan = replace(plan, rows=rows[plan.rows], columns=columns[plan.columns], potential=_shifted(plan.potential, exponent))
    return enclosure.shifted(exponent), plan


def plan_cost(plan: Plan, costs: Float64, a: Float64, b: Float64) -> float:
    """Cost of a plan between positive weights under other costs (n × m) than those it was made for, rounded up.

    The plan is first repaired to have exactly these weights as marginals, in a way that does not depend on the costs.
    """
    return _primal_value(plan, costs, a, b)


def assignment_cost(values: Float64) -> float:
    """Mean of the costs of the n pairs of an assignment, rounded up."""
    return (math.fsum(values) + 2 * EPS * math.fsum(np.abs(values))) / len(values)


def _primal_value(plan: Plan, costs: Float64, a: Float64, b: Float64) -> float:
    """Cost of the plan after its marginals were repaired, rounded up.

    Repair (Altschuler, Weed, Rigollet 2017, Alg. 2): scale rows and columns down to their weight, then send what is
    missing along the product of the residuals.
    """
    rows, columns = plan.rows, plan.columns
    support = costs[rows, columns]
    if plan.method == "assignment":
        return assignment_cost(support)
    n, m = costs.shape
    mass = plan.mass
    row_sum = np.bincount(rows, mass, n)
    mass = mass * np.minimum(1.0, np.divide(a, row_sum, out=np.ones(n), where=row_sum > 0))[rows]
    column_sum = np.bincount(columns, mass, m)
    mass = mass * np.minimum(1.0, np.divide(b, column_sum, out=np.ones(m), where=column_sum > 0))[columns]
    left_a = np.maximum(a - np.bincount(rows, mass, n), 0.0)
    left_b = np.maximum(b - np.bincount(columns, mass, m), 0.0)
    total_a, total_b = math.fsum(left_a), math.fsum(left_b)
    left = max(total_a, total_b)
    row_size = np.maximum(np.abs(costs.max(axis=1)), np.abs(costs.min(axis=1)))
    column_size = np.maximum(np.abs(costs.max(axis=0)), np.abs(costs.min(axis=0)))
    fill = float(left_a @ costs @ left_b) / left if left > 0 else 0.0
    fill_rounding = (n + m) * EPS * float(left_a @ row_size)
    # A sum of k terms is right to k roundings; the mass these misplace at a point costs at most that point's largest cost.
    terms_a, terms_b = np.bincount(rows, minlength=n) + 4, np.bincount(columns, minlength=m) + 4
    misplaced = EPS * math.fsum(np.concatenate((terms_a * a * row_size, terms_b * b * column_size)))
    misplaced += 2 * abs(total_a - total_b) * float(row_size.max())
    moved = mass * support
    # All weights share the twenty-odd roundings of their normalisation: that scales the cost and misplaces nothing.
    rounding = 24 * EPS * math.fsum(np.abs(moved))
    return float(math.fsum(moved) + rounding + fill + fill_rounding + misplaced)


def _dual_value(plan: Plan, costs: Float64, a: Float64, b: Float64) -> tuple[float, bool]:
    """Value of feasible potentials near the plan, rounded down, and whether the search for them converged.

    Shortest paths in the residual graph of the plan (Bellman–Ford): f must be at least C_ij − g_j on the support, g_j at
    most C_ij − f_i everywhere. A fixed point satisfies complementary slackness, so it is optimal if the plan is. If the
    plan is not, there is a negative cycle and the sweeps stop at their cap; the last c-transform is feasible regardless.
    """
    best = _feasible_value(costs, a, b, plan.potential)
    g, converged = _lowered(plan, costs)
    return max(best, _feasible_value(costs, a, b, g)), converged


def _lowered(plan: Plan, costs: Float64) -> tuple[Float64, bool]:
    """Potentials of the columns after sweeps from those of the plan, and whether they settled."""
    order = np.argsort(plan.rows, kind="stable")
    rows, columns = plan.rows[order], plan.columns[order]
    support = costs[rows, columns]
    covered, starts = np.unique(rows, return_index=True)
    every_row = len(covered) == len(costs)
    tolerance = EPS * max(abs(float(costs.max())), abs(float(costs.min())))

    def paid(g: Float64) -> Float64:
        f = np.full(len(costs), -np.inf) if every_row else c_transform_rows(costs, g)
        f[covered] = np.maximum.reduceat(support - g[columns], starts)
        return f

    g, many = plan.potential, costs.size > _PAIRS
    rounds = _ROUNDS if many and plan.method == "assignment" else 0
    for sweep in range(_FIRST + rounds if many else _SWEEPS):
        lowered = np.minimum(g, c_transform(costs, paid(g)))
        drop = float((g - lowered).max())
        g = lowered
        if drop <= tolerance:
            return g, True
        if rounds and sweep >= _FIRST:
            g = _lowered_by_few(costs, paid, g, tolerance)
    return g, False


def _lowered_by_few(costs: Float64, paid: Callable[[Float64], Float64], g: Float64, tolerance: float) -> Float64:
    """Potentials after sweeps over the pairs that these leave the smallest reduced costs."""
    f, step = paid(g), max(1, len(g) // _SAMPLED)
    some = costs[:, ::step] - f[:, None] - g[::step]
    place = min(some.size - 1, _NEAREST * some.shape[1])
    width = np.partition(some, place, axis=None)[place]

    def within(rows: slice) -> tuple[Int64, Int64]:
        i, j = np.nonzero(costs[rows] - f[rows, None] - g <= width)
        return i + rows.start, j

    i, j = map(np.concatenate, zip(*over_rows(costs.shape, within), strict=True))
    order = np.argsort(j, kind="stable")
    i, j = i[order], j[order]
    columns, starts = np.unique(j, return_index=True)
    near = costs[i, j]
    for _ in range(_SWEEPS):
        lowered = g.copy()
        lowered[columns] = np.minimum(g[columns], np.minimum.reduceat(near - paid(g)[i], starts))
        drop = float((g - lowered).max())
        g = lowered
        if drop <= tolerance:
            break
    return g


def _feasible_value(costs: Float64, a: Float64, b: Float64, g: Float64) -> float:
    """⟨a, f⟩ + ⟨b, g⟩ for the c-transform f of g, rounded down."""
    # Centre first: f is then computed at the size it is summed at. Rounding is monotone, so f_i is infeasible by no more
    # than an ulp of itself, and the weights are right to the twenty-odd roundings of their normalisation.
    middle = len(g) // 2
    g = g - np.partition(g, middle)[middle]
    f = c_transform_rows(costs, g)
    terms = np.concatenate((a * f, b * g))
    return math.fsum(terms) - 24 * EPS * math.fsum(np.abs(terms))
