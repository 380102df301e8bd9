"""The fast paths of large problems: the same numbers as the slow ones, certified."""

import numpy as np
import pytest
from sampled import sampled
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from kd2m_theory.estimators import CostMatrix, assignment, optimal_cost, transport, wasserstein
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
def sparse(monkeypatch):
    """Column generation wherever a row waits, and not the dense solver."""
    monkeypatch.setattr(assignment, "_SHORT", 0)


@pytest.fixture
def dense(monkeypatch):
    """The dense solver wherever a row waits."""
    monkeypatch.setattr(assignment, "_SHORT", N * N)


@pytest.mark.parametrize(
    "route", ["as it comes", *(pytest.param(each, marks=pytest.mark.long) for each in ("sparse", "dense"))]
)
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
    if route != "as it comes":
        request.getfixturevalue(route)
    x, y = CLOUDS[case]
    costs = cdist(x, y, "sqeuclidean" if p == 2 else "euclidean")
    rows, columns = linear_sum_assignment(costs)
    expected = costs[rows, columns].mean() ** (1 / p)
    distance = wasserstein(x, y, p)
    assert distance.value == pytest.approx(expected, rel=1e-9, abs=1e-9)
    assert distance.lower <= expected * (1 + 1e-12)
    assert distance.relative_gap <= 1e-9 or distance.upper < 1e-12


def solved(costs):
    """What is proposed for them, and by which solver: "dense", "sparse", or "bids" where every row gets its cheapest column."""
    asked = []

    def spy(name, solver):
        def call(*given):
            found = solver(*given)
            if found is not None:
                asked.append(name)
            return found

        return call

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(assignment, "sparse_assignment", spy("sparse", sparse_assignment))
        f, g = transport._subsample_potentials(costs)
        patch.setattr(assignment, "linear_sum_assignment", spy("dense", linear_sum_assignment))
        permutation, _ = assignment.assignment(costs, f, g)
    rows, columns = linear_sum_assignment(costs)
    assert costs[rows, permutation].sum() == pytest.approx(costs[rows, columns].sum(), rel=1e-12, abs=1e-12 * costs.max())
    return asked[-1] if asked else "bids"


@pytest.mark.parametrize("case", ["many dimensions", "unbalanced clusters", "a noisy copy"])
def test_column_generation_solves_clouds_of_many_dimensions(case):
    costs = cdist(*CLOUDS[case])
    assert sparse_assignment(costs, transport._subsample_potentials(costs)[1]) is not None


@pytest.mark.parametrize(
    ("case", "solver"),
    [
        ("one dimension", "dense"),
        ("two dimensions", "dense"),
        ("duplicates", "dense"),
        ("a curve in many dimensions", "dense"),
        ("unbalanced clusters", "sparse"),
        ("an exact copy", "bids"),
    ],
)
def test_chains_and_ties_are_left_to_the_dense_solver(case, solver):
    assert solved(cdist(*CLOUDS[case])) == solver


@pytest.mark.parametrize("seed", range(3))
def test_clusters_far_apart_that_are_not_as_large_on_both_sides_are_left_to_the_dense_solver(seed):
    """Bids of the sparse solver would climb in small steps from one cluster to the next."""
    rng = np.random.default_rng(seed)
    x, y = (rng.normal(size=(N, 8)) + 1e5 * rng.integers(0, 10, N)[:, None] for _ in range(2))
    assert solved(cdist(x, y, "sqeuclidean")) == "dense"


@pytest.mark.parametrize("kind", ["powers", "log-normal", "rows of many sizes", "one far point"])
def test_costs_of_many_sizes_keep_their_digits(kind):
    """Potentials as large as the largest cost would round the small ones off, which are what the plan pays."""
    rng = np.random.default_rng(0)
    costs = {
        "powers": lambda: rng.random((N, N)) ** -6.0,
        "log-normal": lambda: np.exp(12 * rng.normal(size=(N, N))),
        "rows of many sizes": lambda: np.exp(15 * rng.normal(size=(N, 1))) * rng.random((N, N)),
        "one far point": lambda: cdist(*CLOUDS["one far point"], "sqeuclidean"),
    }[kind]()
    rows, columns = linear_sum_assignment(costs)
    expected = float(np.sort(costs[rows, columns]).mean())
    found = optimal_cost(CostMatrix(costs, 0.0, 0.0, "distance"))
    assert found.lower <= expected * (1 + 1e-12)
    assert found.upper == pytest.approx(expected, rel=1e-12)


def test_rows_that_want_other_columns_need_no_solver_and_rows_that_want_one_do(sparse):
    rng = np.random.default_rng(0)
    costs = rng.random((N, N))
    costs[np.arange(N), rng.permutation(N)] -= 1.0
    assert solved(costs) == "bids"
    assert solved(np.add.outer(rng.random(N), rng.random(N))) == "dense"  # every permutation costs the same


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
    permutation, potential = sparse_assignment(costs, extended_potentials(costs, np.zeros(len(sample)), sample)[1])
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
