"""MMD: against double loops, closed forms and other libraries; its laws; its interval and its test; what it refuses."""

import itertools
import math
import subprocess
import sys
import tracemalloc
from typing import Any

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from problems import WEIGHTINGS, clouds
from scipy import stats
from scipy.spatial.distance import cdist

from kd2m_theory.errors import InputError
from kd2m_theory.estimators import clopper_pearson, kernel_distances, kernels, wasserstein
from kd2m_theory.estimators.kernel_distances import conditional_mmd, energy_distance, mmd, mmd_radius
from kd2m_theory.estimators.kernels import RBF, Energy, Kernel, Laplace, Linear, Polynomial, RBFMixture, median_bandwidth

EVERY = {
    "linear": Linear(),
    "polynomial": Polynomial(3, 0.5, 0.7),
    "rbf": RBF(1.3),
    "rbf mixture": RBFMixture((0.4, 1.0, 5.0)),
    "laplace": Laplace(1.3),
    "energy": Energy(),
}
ORACLE: dict[str, Any] = {
    "linear": lambda x, y: float(sum(a * b for a, b in zip(x, y, strict=True))),
    "polynomial": lambda x, y: (0.7 * sum(a * b for a, b in zip(x, y, strict=True)) + 0.5) ** 3,
    "rbf": lambda x, y: math.exp(-(math.dist(x, y) ** 2) / (2 * 1.3**2)),
    "rbf mixture": lambda x, y: sum(math.exp(-(math.dist(x, y) ** 2) / (2 * s**2)) for s in (0.4, 1.0, 5.0)) / 3,
    "laplace": lambda x, y: math.exp(-math.dist(x, y) / 1.3),
    "energy": lambda x, y: 0.5 * (math.hypot(*x) + math.hypot(*y) - math.dist(x, y)),
}
every_kernel = pytest.mark.parametrize("name", EVERY)


def squared_by_loops(x: Any, y: Any, name: str, a: Any = None, b: Any = None) -> float:
    a = np.full(len(x), 1 / len(x)) if a is None else a
    b = np.full(len(y), 1 / len(y)) if b is None else b
    terms = [
        sign * s * t * ORACLE[name](p, q)
        for sign, left, right, u, v in ((1, x, x, a, a), (1, y, y, b, b), (-2, x, y, a, b))
        for p, s in zip(left, u, strict=True)
        for q, t in zip(right, v, strict=True)
    ]
    return math.fsum(terms)


def size_of(name: str, x: Any, y: Any) -> float:
    """What the terms of the sum amount to: rounding is relative to it."""
    return max(abs(ORACLE[name](p, p)) for p in (*x, *y)) + max(math.dist(p, q) for p in x for q in y) + 1e-300


def unbiased_by_loops(x: Any, y: Any, name: str, paired: bool) -> float:
    k = ORACLE[name]
    n, m = len(x), len(y)
    within_x = math.fsum(k(x[i], x[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    within_y = math.fsum(k(y[i], y[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    between = [k(x[i], y[j]) for i in range(n) for j in range(m) if not (paired and i == j)]
    return within_x + within_y - 2 * math.fsum(between) / len(between)


# Against other definitions


@every_kernel
@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_v_statistic_is_the_double_sum(name, weighting):
    @given(clouds(weighting))
    def check(problem):
        x, y = problem.points[:2]
        squared = mmd(x, y, EVERY[name], **problem.keywords(0, 1)).squared
        expected = squared_by_loops(x, y, name, problem.weights[0], problem.weights[1])
        assert abs(squared - expected) <= 1e-12 * size_of(name, x, y)

    check()


@every_kernel
@pytest.mark.parametrize("paired", [False, True])
def test_u_statistic_leaves_the_diagonals_out(name, paired):
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(9, 3)) + 0.5, rng.normal(size=(9 if paired else 7, 3))
    result = mmd(x, y, EVERY[name], estimator="u", paired=paired)
    assert result.squared == pytest.approx(unbiased_by_loops(x, y, name, paired), rel=1e-11)


@every_kernel
@pytest.mark.parametrize("paired", [False, True])
def test_u_is_unbiased_exactly(name, paired):
    # Every sample of two from laws on three points, with its probability: no simulation.
    atoms = [(0.0, 1.0), (2.0, -1.0), (0.5, 0.5)]
    p, q = (0.2, 0.3, 0.5), (0.6, 0.3, 0.1)
    joint = {(i, j): (min(p[i], q[j]) if i == j else 0.0) for i in range(3) for j in range(3)}
    joint[2, 0] = 0.4  # what is left of p moves to what is left of q
    if not paired:
        joint = {(i, j): p[i] * q[j] for i in range(3) for j in range(3)}
    assert math.fsum(joint.values()) == pytest.approx(1)
    mean = 0.0
    for (first, u), (second, v) in itertools.product(joint.items(), repeat=2):
        if u * v:
            x, y = ([atoms[pair[side]] for pair in (first, second)] for side in (0, 1))
            mean += u * v * mmd(x, y, EVERY[name], estimator="u", paired=paired).squared
    population = squared_by_loops(atoms, atoms, name, [sum(joint[i, j] for j in range(3)) for i in range(3)], q)
    assert mean == pytest.approx(population, rel=1e-9, abs=1e-12)


def test_u_and_v_differ_by_the_diagonal():
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(2, 11, 3))
    v, u = (mmd(x, y, RBF(1.0), estimator=estimator).squared for estimator in "vu")
    off = (v + 2 * cross_mean(x, y) - 2 / 11) * 11 / 10  # the diagonal of RBF holds ones
    assert u == pytest.approx(off - 2 * cross_mean(x, y), rel=1e-12)


def cross_mean(x, y):
    return float(np.exp(-cdist(x, y, "sqeuclidean") / 2).mean())


def test_rbf_against_forty_digits():
    x, y, sigma = [(0.1, 0.2), (0.1000001, 0.2)], [(1.0, -1.0), (3.0, 0.7), (0.1, 0.2)], 0.9
    with mpmath.workdps(40):

        def mean(a, b):
            return mpmath.fsum(
                mpmath.exp(
                    -mpmath.fsum((mpmath.mpf(s) - mpmath.mpf(t)) ** 2 for s, t in zip(p, q, strict=True)) / (2 * sigma**2)
                )
                for p in a
                for q in b
            ) / (len(a) * len(b))

        exact = float(mean(x, x) + mean(y, y) - 2 * mean(x, y))
    assert mmd(x, y, "rbf", sigma).squared == pytest.approx(exact, rel=1e-14)


def test_linear_is_the_distance_of_the_means():
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=(40, 6)) + 1e6, rng.normal(size=(30, 6)) + 1e6
    expected = np.linalg.norm((x - 1e6).mean(0) - (y - 1e6).mean(0))
    assert mmd(x, y, "linear").value == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("weighted", [False, True])
def test_energy_distance_is_scipys_on_the_line(weighted):
    rng = np.random.default_rng(6)
    x, y = rng.normal(size=50), rng.normal(size=35) * 2
    a, b = (rng.dirichlet(np.ones(n)) if weighted else None for n in (50, 35))
    # SciPy's is √(2E|X − Y| − E|X − X′| − E|Y − Y′|) too: a root, with no further factor.
    assert energy_distance(x[:, None], y[:, None], a, b) == pytest.approx(stats.energy_distance(x, y, a, b), rel=1e-11)


def test_energy_distance_from_distances_and_as_mmd():
    rng = np.random.default_rng(7)
    x, y = rng.normal(size=(20, 4)), rng.normal(size=(30, 4)) + 1
    squared = 2 * cdist(x, y).mean() - cdist(x, x).mean() - cdist(y, y).mean()
    assert energy_distance(x, y) == pytest.approx(math.sqrt(squared), rel=1e-12)
    assert energy_distance(x, y) ** 2 == pytest.approx(2 * squared_by_loops(x, y, "energy"), rel=1e-12)


def test_median_bandwidth_is_the_median_of_the_pooled_distances():
    rng = np.random.default_rng(8)
    x, y = rng.normal(size=(31, 3)), rng.normal(size=(20, 3)) + 1
    z = np.concatenate((x, y))
    expected = np.median([math.dist(z[i], z[j]) for i in range(51) for j in range(i)])
    assert median_bandwidth(x, y) == pytest.approx(expected, rel=1e-12)
    assert mmd(x, y).bandwidth == median_bandwidth(x, y)


def test_median_bandwidth_of_many_points_is_near_and_knows_no_order():
    rng = np.random.default_rng(9)
    z = rng.normal(size=(5000, 3))
    bandwidth = median_bandwidth(z[:2500], z[2500:])
    assert bandwidth == pytest.approx(np.median(cdist(z[:1500], z[1500:3500])), rel=0.03)
    shuffled = z[rng.permutation(5000)]
    assert median_bandwidth(shuffled[:100], shuffled[100:]) == pytest.approx(bandwidth, rel=1e-12)


@every_kernel
def test_blocks_of_any_size_give_one_answer(name, monkeypatch):
    rng = np.random.default_rng(10)
    x, y = rng.normal(size=(53, 4)), rng.normal(size=(38, 4)) + 0.3
    whole = [mmd(x, y, EVERY[name], estimator=e, permutations=50, seed=1) for e in ("v", "u")]
    for rows, columns, strip in ((1, 1, 1), (7, 13, 3), (53, 38, 64), (16, 5, 5)):
        monkeypatch.setattr(kernel_distances, "ROWS", rows)
        monkeypatch.setattr(kernel_distances, "COLUMNS", columns)
        monkeypatch.setattr(kernels, "STRIP", strip)
        for before in whole:
            after = mmd(x, y, EVERY[name], estimator=before.estimator, permutations=50, seed=1)
            assert after.squared == pytest.approx(before.squared, rel=1e-12)
            assert after.p_value == before.p_value


@every_kernel
def test_close_pairs_keep_their_digits(name):
    # Two tight clusters far apart: the product formula alone would lose the spread inside a cluster.
    rng = np.random.default_rng(11)
    for tight in (3, 40):  # few close pairs, and so many that the whole strip is taken again
        x = np.concatenate((rng.normal(size=(tight, 3)) * 1e-6 + 1e3, rng.normal(size=(40, 3)) * 1e2))
        block = EVERY[name].block(x, x)
        for i, j in itertools.product(range(3), range(3)):
            expected = ORACLE[name](x[i], x[j])
            if name == "energy":
                expected = -0.5 * math.dist(x[i], x[j])
            assert block[i, j] == pytest.approx(expected, rel=1e-9, abs=0 if name != "linear" else 1e-9)
        np.testing.assert_allclose(EVERY[name].diagonal(x), np.diag(block), rtol=1e-12, atol=0)
        np.testing.assert_allclose(EVERY[name].pairs(x, x[::-1]), np.diag(block[:, ::-1]), rtol=1e-9, atol=1e-9)


# Laws


@every_kernel
@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_laws_of_a_pseudometric(name, weighting):
    @given(clouds(weighting))
    def check(problem):
        kernel = EVERY[name]
        x, y, z = problem.points

        def distance(i, j):
            return mmd(problem.points[i], problem.points[j], kernel, **problem.keywords(i, j)).value

        noise = 1e-7 * math.sqrt(max(size_of(name, *pair) for pair in ((x, y), (y, z), (x, z))))
        assert min(distance(0, 1), distance(1, 2), distance(0, 2)) >= 0
        assert distance(0, 0) <= noise
        assert distance(0, 1) == pytest.approx(distance(1, 0), abs=noise, rel=1e-9)
        assert distance(0, 2) <= distance(0, 1) + distance(1, 2) + noise
        order = np.random.default_rng(0).permutation(len(x))
        weights = problem.keywords(0, 1)
        if weights["weights_x"] is not None:
            weights["weights_x"] = weights["weights_x"][order]
        assert mmd(x[order], y, kernel, **weights).value == pytest.approx(distance(0, 1), abs=noise, rel=1e-9)

    check()


@every_kernel
@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_mmd_is_at_most_lipschitz_times_w1(name, weighting):
    kernel = EVERY[name]
    if kernel.lipschitz is None:
        assert name in ("polynomial", "laplace", "energy")
        return

    @given(clouds(weighting))
    def check(problem):
        x, y = problem.points[:2]
        weights = problem.keywords(0, 1)
        noise = 1e-7 * math.sqrt(size_of(name, x, y))
        assert mmd(x, y, kernel, **weights).value <= kernel.lipschitz * wasserstein(x, y, **weights).upper + noise

    check()


@pytest.mark.parametrize("name", [name for name, kernel in EVERY.items() if kernel.shift_invariant])
def test_translation_changes_nothing(name):
    @given(clouds("unequal sizes"), st.floats(-100, 100))
    def check(problem, shift):
        x, y = problem.points[:2]
        for estimator in ("v", "u") if min(len(x), len(y)) > 1 else ("v",):
            before, after = (mmd(x + s, y + s, EVERY[name], estimator=estimator).squared for s in (0.0, shift))
            assert after == pytest.approx(before, abs=1e-11 * size_of(name, x, y) * (1 + abs(shift)))

    check()


def test_lipschitz_constants_are_reached_at_close_points():
    for kernel in (RBF(0.7), RBFMixture((0.4, 1.0, 5.0)), Linear(), Polynomial(1, 0.5, 0.7)):
        assert kernel.lipschitz is not None
        step = 1e-3
        ratio = mmd([[0.0, 0.0]], [[step, 0.0]], kernel).value / step
        assert 0.999 * kernel.lipschitz <= ratio <= kernel.lipschitz * (1 + 1e-6)
    for kernel in (Laplace(1.0), Energy()):  # no constant: the ratio grows without end
        assert mmd([[0.0]], [[1e-8]], kernel).value > 1e3 * 1e-8


def test_bounds_of_the_kernels_hold():
    x = np.random.default_rng(12).normal(size=(50, 2)) * 3
    for kernel in EVERY.values():
        if kernel.bound is not None:
            values = kernel.block(x, x)
            assert values.min() >= 0
            assert values.max() == kernel.bound


# Interval F4


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
@pytest.mark.parametrize("n", [50, 500])
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


@pytest.mark.parametrize("name", ["linear", "rbf", "energy"])
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


# Class by class


@pytest.mark.parametrize("weighting", ["frequency", "uniform"])
@pytest.mark.parametrize("paired", [False, True])
def test_conditional_is_the_weighted_mean_of_the_classes(weighting, paired):
    rng = np.random.default_rng(18)
    labels = np.array([0] * 90 + [3] * 30 + [7] * 60)  # enough of each that no class's interval reaches √2
    x, y = rng.normal(size=(2, 180, 3))
    shares = {0: 6 / 12, 3: 2 / 12, 7: 4 / 12} if weighting == "frequency" else dict.fromkeys((0, 3, 7), 1 / 3)
    expected = sum(s * math.sqrt(squared_by_loops(x[labels == c], y[labels == c], "rbf")) for c, s in shares.items())
    result = conditional_mmd(x, y, labels, labels, weighting, "rbf", 1.3, paired=paired, delta=0.1)
    assert result.value == pytest.approx(expected, rel=1e-12)
    assert result.shares == pytest.approx(shares)
    assert set(result.parts) == {0, 3, 7}
    radii = {c: mmd_radius(int((labels == c).sum()), int((labels == c).sum()), 0.1 / 3, paired=paired) for c in shares}
    assert result.interval is not None
    assert result.interval.level == 0.9
    upper = sum(s * min(math.sqrt(2), result.parts[c].value + radii[c]) for c, s in shares.items())
    assert result.interval.upper == pytest.approx(upper, rel=1e-12)
    assert result.vacuous == (upper >= math.sqrt(2) - 1e-9)


def test_conditional_takes_one_bandwidth_from_the_whole_sample():
    rng = np.random.default_rng(19)
    x, y = rng.normal(size=(2, 10, 3))
    labels = np.arange(10) % 2
    result = conditional_mmd(x, y, labels, labels)
    assert result.kernel == RBF(median_bandwidth(x, y))
    assert {part.kernel for part in result.parts.values()} == {result.kernel}


# What users hit elsewhere


def test_negative_debiased_divergences():
    """geomloss#24, #36: a debiased value is a square that may be negative, and the distance made of it never is NaN."""
    rng = np.random.default_rng(20)
    results = [mmd(*rng.normal(size=(2, 8, 2)), RBF(1.0), estimator="u") for _ in range(50)]
    assert any(result.squared < 0 for result in results)
    assert all(result.value == math.sqrt(max(0.0, result.squared)) for result in results)


@every_kernel
def test_identical_points_crash(name):
    """geomloss#34: coincident points are ordinary points."""
    x = np.full((5, 2), 0.1)
    for y in (x, x[:1], x + 2):
        expected = squared_by_loops(x, y, name)
        assert mmd(x, y, EVERY[name]).squared == pytest.approx(expected, rel=1e-12, abs=1e-15)


@pytest.mark.parametrize("x", [np.zeros((4, 2)), np.full((4, 2), 1 / 3)])
def test_identical_points_have_no_median_bandwidth(x):
    with pytest.raises(InputError, match=r"all points coincide.*pass bandwidth="):
        mmd(x, x)
    with pytest.raises(InputError, match="median distance is 0"):
        median_bandwidth(np.concatenate((x, x, x, [[5.0, 5.0]])), x)


def test_p_values_of_zero():
    """TorchDrift, alibi-detect: the observed statistic belongs to the reference set, so p ≥ 1/(1 + B)."""
    x = np.arange(20.0)[:, None]
    assert mmd(x, x + 1e3, RBF(5.0), permutations=9).p_value == 1 / 10


def test_n_squared_memory_aborts():
    """alibi-detect#597: 6,000 + 6,000 points have a Gram matrix of 1,100 MiB; a tenth of it must do."""
    rng = np.random.default_rng(21)
    x, y = rng.normal(size=(2, 6000, 2))
    tracemalloc.start()
    try:
        mmd(x, y, RBF(1.0), permutations=3)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 110 * 2**20


def test_torch_stays_out():
    code = (
        "import sys, kd2m_theory.estimators.kernel_distances, kd2m_theory.estimators.kernels; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# Refusals

GOOD = np.arange(6.0).reshape(3, 2)
BAD_CLOUDS = {
    "empty": (np.empty((0, 2)), "is empty"),
    "no coordinates": (np.empty((3, 0)), "is empty"),
    "NaN": (np.array([[0.0, np.nan]]), "1 NaN or infinite value in row 0"),
    "infinite": (np.array([[np.inf, 0.0]]), "NaN or infinite"),
    "one axis": (np.zeros(3), r"write x\[:, None\]"),
    "three axes": (np.zeros((2, 2, 2)), "expected 2 axes"),
    "half": (np.zeros((3, 2), dtype=np.float16), "float16, too coarse"),
    "words": ([["a", "b"]], "real numbers"),
    "another dimension": (np.zeros((3, 5)), "both clouds must lie in one space"),
    "too large": (np.full((3, 2), 1e200) * [[1], [2], [3]], "overflow float64.*rescale"),
}


@pytest.mark.parametrize("bad", BAD_CLOUDS)
@pytest.mark.parametrize("side", [0, 1])
def test_bad_clouds(bad, side):
    value, message = BAD_CLOUDS[bad]
    pair = (value, GOOD) if side == 0 else (GOOD, value)
    labels = [np.zeros(len(cloud), dtype=int) for cloud in pair]
    for call in (
        lambda: mmd(*pair, "rbf", 1.0),
        lambda: mmd(*pair, "linear"),
        lambda: energy_distance(*pair),
        lambda: median_bandwidth(*pair),
        lambda: conditional_mmd(*pair, *labels, kernel="rbf", bandwidth=1.0),
    ):
        with pytest.raises(InputError, match=message):
            call()


def test_integers_are_points_like_any_other():
    x, y = np.array([[0, 1], [2, 3]]), np.array([[5, 1]], dtype=np.int8)
    assert mmd(x, y, RBF(2.0)) == mmd(x.astype(float), y.astype(float), RBF(2.0))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kernel": "gauss"}, "kernel is 'gauss'; choose one of"),
        ({"kernel": 3}, "kernel is 3; pass a name"),
        ({"estimator": "w"}, "estimator is 'w'"),
        ({"bandwidth": 0.0}, "bandwidth is 0.0; give a positive number"),
        ({"bandwidth": -1}, "bandwidth is -1"),
        ({"bandwidth": math.nan}, "bandwidth is nan"),
        ({"bandwidth": math.inf, "kernel": "laplace"}, "bandwidth is inf"),
        ({"bandwidth": "wide"}, "bandwidth is 'wide'"),
        ({"bandwidth": 1e-200}, "too extreme"),
        ({"bandwidth": 1.0, "kernel": "linear"}, "does not take one"),
        ({"bandwidth": 1.0, "kernel": RBF(2.0)}, "does not take one"),
        ({"weights_x": [0.5, 0.5]}, "weights_x has 2 weights for 3 points"),
        ({"weights_y": [0.5, 0.5, 0.5]}, "weights_y sums to 1.5"),
        ({"weights_y": [1.5, -0.5, 0.0]}, "negative weight -0.5 at index 1"),
        ({"weights_y": [0.5, math.nan, 0.5]}, "NaN"),
        ({"weights_x": [0.5, 0.25, 0.25], "paired": True}, "a pair has one weight"),
        ({"weights_x": [0.5, 0.25, 0.25], "estimator": "u"}, "unbiased for equal weights only"),
        ({"weights_x": [0.5, 0.25, 0.25], "permutations": 9}, "exchangeable"),
        ({"weights_x": [0.5, 0.25, 0.25], "delta": 0.1, "bandwidth": 1.0}, "equal weights"),
        ({"permutations": -1}, "permutations is -1"),
        ({"permutations": 9.5}, "permutations is 9.5"),
        ({"seed": -1}, "seed is -1"),
        ({"delta": 0.0, "bandwidth": 1.0}, "delta is 0.0"),
        ({"delta": 0.1}, "fixed before the sample was seen; pass bandwidth="),
        ({"delta": 0.1, "bandwidth": 1.0, "estimator": "u"}, "proved for the V-statistic"),
        ({"delta": 0.1, "kernel": "linear"}, "'linear' is unbounded.*0 ≤ k ≤ K"),
        ({"delta": 0.1, "kernel": Polynomial()}, "unbounded"),
        ({"delta": 0.1, "kernel": "energy"}, "unbounded"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(InputError, match=message):
        mmd(GOOD, GOOD + 1, **arguments)


def test_bad_pairs_and_single_points():
    with pytest.raises(InputError, match="x has 3 points and y has 2"):
        mmd(GOOD, GOOD[:2], RBF(1.0), paired=True)
    with pytest.raises(InputError, match="two points in each cloud, got 3 and 1"):
        mmd(GOOD, GOOD[:1], RBF(1.0), estimator="u")
    assert mmd(GOOD, GOOD[:1], RBF(1.0)).value > 0
    with pytest.raises(InputError, match="underflow float64"):
        mmd(GOOD * 1e-170, GOOD * 2e-170, "energy")
    with pytest.raises(InputError, match="overflow float64"):
        mmd(GOOD * 1e100, -GOOD * 1e100, Polynomial(4))


@pytest.mark.parametrize(
    ("kind", "arguments", "message"),
    [
        (Polynomial, {"degree": 0}, "degree is 0"),
        (Polynomial, {"degree": 1.5}, "degree is 1.5"),
        (Polynomial, {"offset": -1.0}, "offset is -1.0"),
        (Polynomial, {"scale": 0.0}, "scale is 0.0"),
        (RBF, {"bandwidth": 0}, "bandwidth is 0"),
        (Laplace, {"bandwidth": True}, "bandwidth is True"),
        (RBFMixture, {"bandwidths": ()}, "bandwidths is empty"),
        (RBFMixture, {"bandwidths": (1.0, -1.0)}, "bandwidth is -1.0"),
        (RBFMixture, {"bandwidths": 1.0}, "bandwidths is 1.0"),
    ],
)
def test_bad_kernels(kind: type[Kernel], arguments: dict[str, Any], message: str):
    with pytest.raises(InputError, match=message):
        kind(**arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"labels_y": [0, 0, 1]}, "share 1/3 on one side"),
        ({"labels_y": [0, 0, 0]}, "class 1 is missing from labels_y"),
        ({"labels_y": [0, 1]}, "2 entries for 3 samples"),
        ({"labels_y": [0.5, 1, 1]}, "pass integers"),
        ({"labels_y": [1, 0, 1], "paired": True}, "pair 0 has the labels 0 and 1"),
        ({"weighting": "inverse"}, "weighting is 'inverse'"),
        ({"kernel": "energy", "delta": 0.1}, "unbounded"),
        ({"delta": 0.1}, "fixed before the sample was seen"),
        ({"delta": 1.0, "bandwidth": 1.0}, "delta is 1.0"),
    ],
)
def test_bad_conditional_arguments(arguments, message):
    given_ = {"labels_x": [0, 1, 1], "labels_y": [0, 1, 1], **arguments}
    with pytest.raises(InputError, match=message):
        conditional_mmd(GOOD, GOOD + 1, **given_)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"delta": 0.0}, "delta is 0.0"),
        ({"n": 0}, "n and m are 0 and 50"),
        ({"bound": 0.0}, "bound is 0.0"),
        ({"bound": math.inf}, "bound is inf"),
        ({"paired": True}, "pairs have one point on each side"),
    ],
)
def test_bad_radius_arguments(arguments, message):
    with pytest.raises(InputError, match=message):
        mmd_radius(**{"n": 100, "m": 50, "delta": 0.05, **arguments})
