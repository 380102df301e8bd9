"""Every public estimator is a function of its samples as a set: their order in the arrays changes no number."""

import math

import numpy as np
import pytest

from kd2m_theory import estimators as e

N, M, D, CLASSES = 24, 21, 3, 3
RECORDS = {"Confidence", "CostMatrix", "Enclosure", "Estimate", "Number", "Plan", "VertexNorm"}


def drawn(seed=0):
    """Two clouds, their classes, weights and laws; whole numbers among the values, so that some are equal."""
    rng = np.random.default_rng(seed)
    x, y = np.round(rng.normal(size=(N, D)), 1), np.round(1.3 * rng.normal(size=(M, D)) + 0.5, 1)
    x[3], y[5] = x[0], y[1]
    return {
        "x": x,
        "y": y,
        "a": np.arange(N) % CLASSES,
        "b": np.arange(M) % CLASSES,
        "u": rng.dirichlet(np.ones(N)),
        "v": rng.dirichlet(np.ones(M)),
        "p": rng.dirichlet(np.ones(CLASSES), size=N),
        "q": rng.dirichlet(np.ones(CLASSES), size=M),
        "z": x + np.round(rng.normal(size=(N, D)), 1),
        "cost": rng.random((N, M)),
        "values": np.round(rng.random(N), 2),
    }


def moved(given, seed):
    """The same samples in other orders, rows of one side together."""
    rng = np.random.default_rng(seed)
    first, second = rng.permutation(N), rng.permutation(M)
    return {name: each[second] if name in "ybvq" else each[first] for name, each in given.items() if name != "cost"} | {
        "cost": given["cost"][np.ix_(first, second)]
    }


def _cost(cost, plan):
    return float((cost[plan.rows, plan.columns] * plan.mass).sum())


CALLS = {
    "betting": lambda g: e.betting(g["values"], -0.5, 1.5, 0.05),
    "hoeffding": lambda g: e.hoeffding(g["values"], -0.5, 1.5, 0.05),
    "empirical_bernstein": lambda g: e.empirical_bernstein(g["values"], -0.5, 1.5, 0.05),
    "mean_interval": lambda g: e.mean_interval(g["values"], "betting", -0.5, 1.5),
    "student_t": lambda g: e.student_t(g["values"], 0.05),
    "percentile_bootstrap": lambda g: e.percentile_bootstrap(g["values"], 0.05),
    "class_wasserstein": lambda g: list(e.class_wasserstein(g["x"], g["y"], g["a"], g["b"], 2).values()),
    "conditional_gaussian_kl": lambda g: e.conditional_gaussian_kl(g["x"], g["y"], g["a"], g["b"], shrinkage=0.1),
    "conditional_gaussian_wasserstein": lambda g: e.conditional_gaussian_wasserstein(g["x"], g["y"], g["a"], g["b"]),
    "conditional_mmd": lambda g: e.conditional_mmd(g["x"], g["y"], g["a"], g["b"]),
    "conditional_wasserstein": lambda g: e.conditional_wasserstein(g["x"], g["y"], g["a"], g["b"], p=1),
    "energy_distance": lambda g: e.energy_distance(g["x"], g["y"]),
    "gaussian_kl": lambda g: e.gaussian_kl(g["x"], g["y"]),
    "gaussian_symmetric_kl": lambda g: e.gaussian_symmetric_kl(g["x"], g["y"]),
    "gaussian_wasserstein": lambda g: e.gaussian_wasserstein(g["x"], g["y"]),
    "joint_wasserstein": lambda g: e.joint_wasserstein(g["x"], g["y"], g["p"], g["q"]),
    "max_sliced_wasserstein": lambda g: e.max_sliced_wasserstein(g["x"], g["y"]),
    "mixture_wasserstein": lambda g: e.mixture_wasserstein(g["u"], g["x"], abs(g["x"]), g["v"], g["y"], abs(g["y"])),
    "mmd": lambda g: e.mmd(g["x"], g["y"], bandwidth=1.0, delta=0.05),
    "optimal_cost": lambda g: e.optimal_cost(e.CostMatrix(g["cost"], 0.0, 0.0, "nats"), g["u"], g["v"]),
    "optimal_plan": lambda g: _cost(g["cost"], e.optimal_plan(g["cost"], g["u"], g["v"])),
    "sliced_wasserstein": lambda g: e.sliced_wasserstein(g["x"], g["y"]),
    "wasserstein": lambda g: e.wasserstein(g["x"], g["y"], 2),
    "gromov_wasserstein": lambda g: e.gromov_wasserstein(g["x"], g["y"]),
    "mmd, permutations": lambda g: e.mmd(g["x"], g["y"], permutations=199).p_value,
    "mmd, pairs": lambda g: e.mmd(g["x"], g["z"], paired=True, permutations=199).p_value,
}
# Of counts, and of one row after another.
NOT_OF_SAMPLES = {"clopper_pearson", "paired_difference", "cost_matrix"}


def test_every_public_estimator_is_tried():
    assert {name.split(",")[0] for name in CALLS} == set(e.__all__) - RECORDS - NOT_OF_SAMPLES


def numbers(result):
    if isinstance(result, list):
        return [number for each in result for number in numbers(each)]
    if isinstance(result, float):
        return [result]
    return [float(getattr(result, name)) for name in ("value", "lower", "upper") if getattr(result, name, None) is not None]


@pytest.mark.parametrize("name", CALLS)
def test_no_number_depends_on_the_order_of_the_samples(name):
    given = drawn()
    expected = numbers(CALLS[name](given))
    assert expected
    scale = 1e-12 * max(abs(number) for number in expected if math.isfinite(number))
    for seed in range(1, 5):
        assert numbers(CALLS[name](moved(given, seed))) == pytest.approx(expected, rel=1e-12, abs=scale), seed
