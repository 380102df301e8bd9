"""The fast paths of large problems: the same numbers as the slow ones, certified."""

import numpy as np
import pytest
from sampled import sampled
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from kd2m_theory.estimators import CostMatrix, optimal_cost, transport, wasserstein
from kd2m_theory.estimators.assignment import extended_potentials, sparse_assignment, subsample
from kd2m_theory.estimators.ground import cost_matrix

N = 960
RNG = np.random.default_rng(0)


def gaussians(d):
    return RNG.normal(size=(N, d)), 0.3 + 1.2 * RNG.normal(size=(N, d))


def unbalanced(d):
    x, y = RNG.normal(size=(2, N, d))
    x[: N // 2] += 9.0
    y[: N // 4] += 9.0
    return x, y


CLOUDS = {
    "one dimension": gaussians(1),
    "two dimensions": gaussians(2),
    "five dimensions": gaussians(5),
    "many dimensions": gaussians(64),
    "unbalanced clusters": unbalanced(20),
    "a curve in many dimensions": tuple(np.outer(RNG.normal(size=N), RNG.normal(size=30)) for _ in range(2)),
    "a noisy copy": (lambda x: (x, x + 0.2 * RNG.normal(size=x.shape)))(RNG.normal(size=(N, 40))),
    "an exact copy": (lambda x: (x, x[RNG.permutation(N)]))(RNG.normal(size=(N, 40))),
    "duplicates": tuple(np.repeat(RNG.normal(size=(N // 30, 12)), 30, axis=0) for _ in range(2)),
    "a grid": tuple(RNG.integers(0, 4, size=(N, 6)).astype(float) for _ in range(2)),
    "one constant cloud": (np.ones((N, 8)), RNG.normal(size=(N, 8))),
    "one far point": (lambda x: (x, np.vstack((x[1:] + 0.1, 1e6 * np.ones((1, 8))))))(RNG.normal(size=(N, 8))),
}


@pytest.fixture
def large(monkeypatch):
    """Column generation already at this size."""
    monkeypatch.setattr(transport, "_LARGE", 900)


@pytest.mark.parametrize("route", ["medium", pytest.param("large", marks=pytest.mark.long)])
@pytest.mark.parametrize("p", [pytest.param(1, marks=pytest.mark.long), 2])
@pytest.mark.parametrize(
    "case",
    sampled(
        CLOUDS,
        later=[
            "a curve in many dimensions",
            "five dimensions",
            "a noisy copy",
            "one constant cloud",
            "one dimension",
            "two dimensions",
        ],
    ),
)
def test_large_assignments_equal_the_dense_solver(case, p, route, request):
    if route == "large":
        request.getfixturevalue("large")
    x, y = CLOUDS[case]
    costs = cdist(x, y, "sqeuclidean" if p == 2 else "euclidean")
    rows, columns = linear_sum_assignment(costs)
    expected = costs[rows, columns].mean() ** (1 / p)
    distance = wasserstein(x, y, p)
    assert distance.value == pytest.approx(expected, rel=1e-9, abs=1e-9)
    assert distance.lower <= expected * (1 + 1e-12)
    assert distance.relative_gap <= 1e-9 or distance.upper < 1e-12


@pytest.mark.parametrize("case", ["many dimensions", "unbalanced clusters", "a noisy copy"])
def test_column_generation_solves_clouds_of_many_dimensions(case):
    costs = cdist(*CLOUDS[case])
    assert sparse_assignment(costs, *transport._subsample_potentials(costs)) is not None


@pytest.mark.parametrize("case", ["one dimension", "two dimensions", "duplicates", "a curve in many dimensions"])
def test_chains_and_ties_are_left_to_the_dense_solver(case):
    costs = cdist(*CLOUDS[case])
    assert sparse_assignment(costs, *transport._subsample_potentials(costs)) is None


@pytest.mark.parametrize("seed", range(3))
def test_clusters_far_apart_that_are_not_as_large_on_both_sides_are_left_to_the_dense_solver(seed):
    """Bids of the sparse solver would climb in small steps from one cluster to the next."""
    rng = np.random.default_rng(seed)
    x, y = (rng.normal(size=(N, 8)) + 1e5 * rng.integers(0, 10, N)[:, None] for _ in range(2))
    costs = cdist(x, y, "sqeuclidean")
    assert sparse_assignment(costs, *transport._subsample_potentials(costs)) is None


@pytest.mark.parametrize("n", [200, 700])
@pytest.mark.parametrize("kind", ["distances", "squares", "distances and noise"])
def test_a_matching_on_the_line_settles_its_own_potentials(kind, n, monkeypatch):
    """Its augmenting paths are long; the network simplex, which would import every array library, is not asked."""
    monkeypatch.setattr(transport, "_network_simplex", None)
    rng = np.random.default_rng(n)
    costs = np.abs(rng.normal(size=(n, 1)) - rng.exponential(size=n)) ** (2 if kind == "squares" else 1)
    costs += 1e-4 * rng.random((n, n)) if "noise" in kind else 0.0
    found = optimal_cost(CostMatrix(costs, 0.0, 0.0, "distance"))
    rows, columns = linear_sum_assignment(costs)
    assert found.upper == pytest.approx(costs[rows, columns].mean(), rel=1e-12)
    assert found.relative_gap < 1e-12


def test_poor_potentials_cost_rounds_and_not_the_optimum():
    """The subsample only suggests candidates: with potentials of no use at all the plan is still optimal."""
    costs = cdist(*CLOUDS["many dimensions"])
    _, sample = subsample(N)
    permutation, potential = sparse_assignment(costs, *extended_potentials(costs, np.zeros(len(sample)), sample))
    rows, columns = linear_sum_assignment(costs)
    assert costs[rows, permutation].sum() == pytest.approx(costs[rows, columns].sum(), rel=1e-12)
    f = (costs - potential).min(axis=1)
    assert f.sum() + potential.sum() == pytest.approx(costs[rows, columns].sum(), rel=1e-9)


@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_distances_through_one_product_keep_their_relative_accuracy(offset):
    """Short distances are computed again directly; the claimed error is kept entry by entry, and zeros stay zeros."""
    rng = np.random.default_rng(1)
    x = offset + rng.normal(size=(700, 64))
    y = np.vstack((x[:300], x[300:350] + 1e-9, offset + rng.normal(size=(350, 64))))
    cost = cost_matrix(x, y, "sqeuclidean", 1)
    exact = ((x.astype(np.longdouble)[:, None, :40] - y[None, :, :40]) ** 2).sum(-1)
    exact += ((x.astype(np.longdouble)[:, None, 40:] - y[None, :, 40:]) ** 2).sum(-1)
    assert 0 < cost.relative_error < 1e-9
    assert (np.abs(cost.values - exact) <= cost.relative_error * exact).all()
    assert (cost.values[np.arange(300), np.arange(300)] == 0).all()
