"""MMD of a sample and of its population: intervals cover as often as they say, p-values are uniform."""

import itertools
import math
from typing import Any

import numpy as np
import pytest
from kernel_sums import EVERY, squared_by_loops
from sampled import sampled
from scipy import stats

from kd2m_theory.estimators import clopper_pearson
from kd2m_theory.estimators.kernel_distances import mmd, mmd_radius
from kd2m_theory.estimators.kernels import RBF


def gaussian_mmd(parts_x: Any, parts_y: Any, sigma: float) -> float:
    """Population MMD of two mixtures of (weight, mean, standard deviation) on the line, RBF kernel, closed form."""

    def mean(a, b):
        return sum(
            u * v * sigma / math.sqrt(sigma**2 + s**2 + t**2) * math.exp(-((p - q) ** 2) / (2 * (sigma**2 + s**2 + t**2)))
            for u, p, s in a
            for v, q, t in b
        )

    return math.sqrt(max(0.0, mean(parts_x, parts_x) + mean(parts_y, parts_y) - 2 * mean(parts_x, parts_y)))


LAWS = {
    "shifted Gaussians": ([(1.0, 0.0, 1.0)], [(1.0, 0.8, 1.0)]),
    "heavy against light": ([(0.9, 0.0, 0.5), (0.1, 0.0, 10.0)], [(1.0, 0.0, 0.5)]),
    "atoms, the same law": ([(0.5, -40.0, 0.0), (0.5, 40.0, 0.0)], [(0.5, -40.0, 0.0), (0.5, 40.0, 0.0)]),
}


def draw(parts, u, rng):
    edges = np.cumsum([w for w, _, _ in parts])
    part = np.minimum(np.searchsorted(edges, u), len(parts) - 1)
    _, mean, deviation = np.array(parts).T
    return (mean[part] + deviation[part] * rng.normal(size=len(u)))[:, None]


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("n", [50, pytest.param(500, marks=pytest.mark.long)])
@pytest.mark.parametrize("paired", [False, True])
def test_interval_covers_as_often_as_it_says(law, n, paired):
    rng = np.random.default_rng(13)
    delta, runs, covered = 0.2, 150 if n == 50 else 60, 0
    population = gaussian_mmd(*LAWS[law], 1.0)
    for _ in range(runs):
        u = rng.random(n)
        # Paired: one source of chance for both sides, turned round, the worst case for the pairs.
        x, y = draw(LAWS[law][0], u, rng), draw(LAWS[law][1], 1 - u if paired else rng.random(n), rng)
        interval = mmd(x, y, RBF(1.0), paired=paired, delta=delta).interval
        assert interval is not None
        covered += interval.lower <= population <= interval.upper
    # No evidence at 1 in 1000 that the coverage is below its level.
    assert clopper_pearson(covered, runs, 2e-3).upper >= 1 - delta


def test_independent_interval_is_not_valid_for_pairs():
    # Two atoms out of the kernel's sight of each other; y_i is the atom that x_i is not. Both laws agree, MMD = 0, and the
    # sample's MMD is 2√2|p̂ − ½| with n·p̂ binomial: its exact tail exceeds δ under the formula for independent samples.
    n, delta = 500, 1e-8
    x = np.where(np.arange(n) < 300, 0.0, 1e3)[:, None]
    assert mmd(x, 1e3 - x, RBF(1.0), paired=True).value == pytest.approx(2 * math.sqrt(2) * 0.1, rel=1e-9)

    def tail(radius):
        counts = np.arange(n + 1)
        far = 2 * math.sqrt(2) * np.abs(counts / n - 0.5) > radius
        return stats.binom.pmf(counts[far], n, 0.5).sum()

    assert tail(mmd_radius(n, n, delta)) > 5 * delta
    assert tail(mmd_radius(n, n, delta, paired=True)) <= delta


def test_radius_by_hand_and_against_the_textbook():
    log = math.log(20)
    assert mmd_radius(100, 50, 0.05, bound=4.0) == pytest.approx(math.sqrt(4 / 100 + 4 / 50) + math.sqrt(4 * 150 / 5000 * log))
    assert mmd_radius(100, 100, 0.05, bound=4.0, paired=True) == pytest.approx(math.sqrt(0.08) + math.sqrt(0.16 * log))
    gretton = math.sqrt(4 / 100) + math.sqrt(4 / 50) + math.sqrt(4 * 150 / 5000 * log)
    assert mmd_radius(100, 50, 0.05, bound=4.0) < gretton
    assert mmd_radius(100, 100, 0.05, paired=True) > mmd_radius(100, 100, 0.05)


def test_interval_says_when_it_says_nothing():
    x = [[0.0], [1.0]]
    result = mmd(x, [[1.0], [2.0]], RBF(1.0), delta=0.05)
    assert result.vacuous
    assert result.interval is not None
    assert (result.interval.lower, result.interval.upper, result.interval.unit) == (0.0, math.sqrt(2), "distance")
    assert not mmd(x, x, RBF(1.0)).vacuous
    many = np.zeros((2000, 1))
    assert not mmd(many, many + 9, RBF(1.0), delta=0.05).vacuous


# Permutation test


def test_p_value_is_one_plus_count_over_one_plus_b():
    # Few points: every relabelling by brute force, and the test's p-value close to the exact share.
    rng = np.random.default_rng(14)
    x, y = rng.normal(size=(4, 2)), rng.normal(size=(4, 2)) + 1
    z = np.concatenate((x, y))
    observed = squared_by_loops(x, y, "rbf")
    statistics = [
        squared_by_loops(z[list(group)], np.delete(z, group, axis=0), "rbf") for group in itertools.combinations(range(8), 4)
    ]
    exact = np.mean(np.array(statistics) >= observed - 1e-12)
    p = mmd(x, y, EVERY["rbf"], permutations=4000).p_value
    assert p is not None
    assert p == pytest.approx(exact, abs=0.03)
    assert (p * 4001) == pytest.approx(round(p * 4001), abs=1e-9)


def test_paired_p_value_swaps_within_pairs():
    rng = np.random.default_rng(15)
    x = rng.normal(size=(7, 2)) * 3
    y = x + 0.4 + 0.3 * rng.normal(size=(7, 2))
    observed = squared_by_loops(x, y, "laplace")
    statistics = []
    for swap in itertools.product([False, True], repeat=7):
        at = np.array(swap)[:, None]
        statistics.append(squared_by_loops(np.where(at, y, x), np.where(at, x, y), "laplace"))
    exact = np.mean(np.array(statistics) >= observed - 1e-12)
    p = mmd(x, y, EVERY["laplace"], paired=True, permutations=4000).p_value
    assert p == pytest.approx(exact, abs=0.03)


def test_a_shift_of_every_pair_is_plain_to_the_paired_test_only():
    rng = np.random.default_rng(22)
    x = rng.normal(size=(30, 2)) * 3
    y = x + 0.4 + 0.1 * rng.normal(size=(30, 2))
    paired, independent = (mmd(x, y, "energy", paired=p, permutations=999).p_value for p in (True, False))
    assert paired == 1 / 1000
    assert independent > 0.05


@pytest.mark.parametrize("name", sampled(["linear", "rbf", "energy"], always=["rbf"]))
@pytest.mark.parametrize("paired", [False, True])
def test_p_value_is_uniform_when_the_laws_agree(name, paired):
    rng = np.random.default_rng(16)
    runs, kernel = 300, EVERY[name]
    values = []
    for _ in range(runs):
        common = rng.normal(size=(12, 2)) if paired else 0.0
        x, y = rng.normal(size=(2, 12, 2)) + common
        values.append(mmd(x, y, kernel, paired=paired, permutations=19, seed=int(rng.integers(2**31))).p_value)
    assert min(values) > 0
    for level in (0.05, 0.2, 0.5):
        share = clopper_pearson(int((np.array(values) <= level + 1e-12).sum()), runs, 1e-3)
        assert share.lower <= level <= share.upper


def test_p_value_with_median_bandwidth_finds_a_difference_and_repeats_itself():
    rng = np.random.default_rng(17)
    x, y = rng.normal(size=(60, 3)), rng.normal(size=(40, 3)) + 1
    first, again, other = (mmd(x, y, permutations=199, seed=seed).p_value for seed in (1, 1, 2))
    assert first == again == other == 1 / 200


def test_ties_count():
    x = np.ones((6, 2))
    assert mmd(x, x, RBF(1.0), permutations=99).p_value == 1.0
    assert mmd(x, x, "linear", permutations=99).p_value == 1.0
    y = np.arange(12.0).reshape(6, 2)
    assert mmd(y, y, RBF(3.0), paired=True, permutations=99).p_value == 1.0


def test_the_permutation_test_says_what_it_is_exact_for():
    """x uniform on 0 … 20 and y = x + 1 modulo 21 have one law, and (x, y) and (y, x) have not: the paired test must reject."""
    x = np.arange(21.0)[:, None]
    y = (x + 1) % 21
    paired = mmd(np.tile(x, (6, 1)), np.tile(y, (6, 1)), RBF(0.3), paired=True, permutations=199)
    assert paired.value == pytest.approx(0, abs=1e-7)
    rng = np.random.default_rng(0)
    rejected = 0
    for _ in range(40):
        drawn = rng.integers(0, 21, 15)
        result = mmd(x[drawn], y[drawn], "linear", paired=True, permutations=99)
        rejected += result.p_value <= 0.05
    assert rejected > 8  # binomial(40, 0.05) is above 8 once in 50,000 times
    assert result.null == "(x, y) and (y, x) have one law"
    assert f"p = {result.p_value:.4g} if (x, y) and (y, x) have one law" in repr(result)
    independent = mmd(x, y, RBF(1.0), permutations=99)
    assert independent.null == "all points are exchangeable"
    assert "if all points are exchangeable" in str(independent)
    assert mmd(x, y, RBF(1.0)).null == ""
