"""Plans along few pairs: feasible always, best among the pairs, and never worse than the plan from the start."""

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment, linprog

from kd2m_theory.estimators import sparse_transport
from kd2m_theory.estimators.sparse_transport import cheap_plan, cheapest_pairs, merged, monotone_plan


def marginals(plan, n, m):
    return np.bincount(plan.rows, plan.units, n), np.bincount(plan.columns, plan.units, m)


def value(plan, costs):
    return float(plan.units @ costs[plan.rows, plan.columns]) / plan.total


@pytest.mark.parametrize(("n", "m"), [(1, 1), (5, 5), (4, 6), (7, 3), (1, 9), (12, 8)])
def test_a_monotone_plan_has_uniform_marginals_and_few_pairs(n, m):
    rng = np.random.default_rng(n)
    plan = monotone_plan(rng.permutation(n), rng.permutation(m))
    rows, columns = marginals(plan, n, m)
    assert (rows * n == plan.total).all()
    assert (columns * m == plan.total).all()
    assert len(plan.units) == n + m - np.gcd(n, m)


def test_the_cheapest_pairs_of_rows_and_columns():
    rng = np.random.default_rng(0)
    left, right = rng.normal(size=(60, 3)), rng.normal(size=(50, 3))
    a, b = rng.normal(size=60), rng.normal(size=50)
    costs = a[:, None] + b - left @ right.T
    expected = np.zeros(costs.shape, dtype=bool)
    np.put_along_axis(expected, np.argsort(costs, axis=1)[:, :4], True, axis=1)
    np.put_along_axis(expected, np.argsort(costs, axis=0)[:4], True, axis=0)
    assert cheapest_pairs(left, right, a, b, 4).tolist() == np.flatnonzero(expected).tolist()


@pytest.mark.parametrize("dense", [0, 10**6])
@pytest.mark.parametrize("scale", [1.0, 1e-12])
def test_as_many_rows_as_columns_get_the_best_permutation_or_one_near_it(dense, scale, monkeypatch):
    monkeypatch.setattr(sparse_transport, "_DENSE", dense)
    rng = np.random.default_rng(1)
    x = rng.normal(size=(80, 3))
    costs = scale * ((x[:, None] - x[rng.permutation(80)] - 0.1 * rng.normal(size=3)) ** 2).sum(2)
    keys = np.arange(costs.size)
    start = monotone_plan(np.arange(80), np.arange(80))
    monkeypatch.setattr(sparse_transport, "_PART", 40)
    found = cheap_plan(keys, costs.ravel(), costs.shape, start, [np.argsort(x[:, c]) for c in range(3)] * 3)
    best = costs[linear_sum_assignment(costs)].mean()
    assert (
        best * (1 - 1e-12) <= value(found, costs) <= (best * (1 + 1e-12) if dense else value(start, costs) / 50)
    )  # in parts it is near, and not best
    assert all((each == 1).all() for each in marginals(found, 80, 80))


def test_other_numbers_of_columns_get_the_best_plan_of_whole_units():
    rng = np.random.default_rng(2)
    costs = rng.random((6, 9))
    start = monotone_plan(np.arange(6), np.arange(9))
    found = cheap_plan(np.arange(54), costs.ravel(), costs.shape, start)
    rows = np.vstack((np.kron(np.eye(6), np.ones(9)), np.kron(np.ones(6), np.eye(9))))
    exact = linprog(costs.ravel(), A_eq=rows, b_eq=np.concatenate((np.full(6, 1 / 6), np.full(9, 1 / 9)))).fun
    assert value(found, costs) == pytest.approx(exact, rel=1e-9)
    assert [each.tolist() for each in marginals(found, 6, 9)] == [[3] * 6, [2] * 9]


@pytest.mark.parametrize("dense", [0, 10**6])
def test_pairs_that_are_not_offered_are_not_used(dense, monkeypatch):
    monkeypatch.setattr(sparse_transport, "_DENSE", dense)
    rng = np.random.default_rng(3)
    start = monotone_plan(np.arange(30), np.arange(30))
    few = rng.choice(900, 200, replace=False)
    keys = merged(few, start.keys(30))
    costs = rng.random(len(keys))
    costs[~np.isin(keys, start.keys(30)) & (rng.random(len(keys)) < 0.2)] = np.inf
    found = cheap_plan(keys, costs, (30, 30), start, [np.arange(30)])
    used = costs[np.searchsorted(keys, found.keys(30))]
    assert np.isin(found.keys(30), keys).all()
    assert used.mean() < costs[np.searchsorted(keys, start.keys(30))].mean()


def test_what_cannot_be_beaten_is_kept():
    start = monotone_plan(np.arange(5), np.arange(5))
    for costs in (1 - np.eye(5), np.full((5, 5), np.inf)):
        assert cheap_plan(np.arange(25), costs.ravel(), (5, 5), start) is start
    assert start.mean(np.full(5, 0.1)) >= 0.1
    assert start.mean(np.full(5, 0.1)) == pytest.approx(0.1, rel=1e-14)
