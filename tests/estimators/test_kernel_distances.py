"""MMD: against double loops, closed forms and other libraries; its laws; class by class; what users hit elsewhere."""

import itertools
import math
import subprocess
import sys
import tracemalloc

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kernel_sums import EVERY, ORACLE, every_kernel, size_of, squared_by_loops, unbiased_by_loops
from problems import WEIGHTINGS, clouds
from sampled import sampled
from scipy import stats
from scipy.spatial.distance import cdist

from kd2m_theory.errors import InputError
from kd2m_theory.estimators import kernel_distances, kernels, wasserstein
from kd2m_theory.estimators.kernel_distances import conditional_mmd, energy_distance, mmd, mmd_radius
from kd2m_theory.estimators.kernels import RBF, Energy, Laplace, Linear, Polynomial, RBFMixture, median_bandwidth


@every_kernel
@pytest.mark.parametrize("weighting", sampled(WEIGHTINGS, always=[WEIGHTINGS[-1]]))
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
    assert energy_distance(x[:, None], y[:, None], a, b).value == pytest.approx(stats.energy_distance(x, y, a, b), rel=1e-11)


def test_energy_distance_from_distances_and_as_mmd():
    rng = np.random.default_rng(7)
    x, y = rng.normal(size=(20, 4)), rng.normal(size=(30, 4)) + 1
    squared = 2 * cdist(x, y).mean() - cdist(x, x).mean() - cdist(y, y).mean()
    assert energy_distance(x, y).value == pytest.approx(math.sqrt(squared), rel=1e-12)
    assert energy_distance(x, y).value ** 2 == pytest.approx(2 * squared_by_loops(x, y, "energy"), rel=1e-12)


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


@pytest.mark.parametrize("name", sampled(EVERY, always=["rbf mixture", "energy", "polynomial"]))
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
@pytest.mark.parametrize("weighting", sampled(WEIGHTINGS, always=[WEIGHTINGS[-1]]))
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
@pytest.mark.parametrize("weighting", sampled(WEIGHTINGS, always=[WEIGHTINGS[-1]]))
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
