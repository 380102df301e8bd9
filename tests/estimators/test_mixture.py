"""The distance between Gaussian mixtures against a linear program at 50 digits of cost, closed forms and laws."""

import math

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from problems import linear_program

from kd2m_theory import InputError
from kd2m_theory.estimators import wasserstein
from kd2m_theory.estimators.gaussian import gaussian_wasserstein
from kd2m_theory.estimators.mixture import bures_squared, compact, mixture_wasserstein


def exact_root(matrix):
    values, vectors = mpmath.eigsy(matrix)
    return vectors * mpmath.diag([mpmath.sqrt(max(v, 0)) for v in values]) * vectors.T


def exact_squared(mean_a, cov_a, mean_b, cov_b):
    """Squared W₂ of two Gaussians by the textbook formula, with matrix roots at 80 digits."""
    with mpmath.workdps(80):
        cov_a, cov_b = mpmath.matrix(cov_a.tolist()), mpmath.matrix(cov_b.tolist())
        root = exact_root(cov_a)
        cross = exact_root(root * cov_b * root)
        gap = [mpmath.mpf(float(a)) - mpmath.mpf(float(b)) for a, b in zip(mean_a, mean_b, strict=True)]
        d = len(gap)
        return float(sum(v * v for v in gap) + sum(cov_a[i, i] + cov_b[i, i] - 2 * cross[i, i] for i in range(d)))


def mixture(rng, components, d, rank=None):
    # Entries with few bits: the product below is then exact, and so is the rank of a deficient covariance.
    roots = rng.integers(-8, 9, size=(components, d, rank or d)) / 4.0
    ridge = 0.0 if rank else np.eye(d)
    weights = rng.exponential(size=components)
    return weights / weights.sum(), rng.normal(size=(components, d)), roots @ roots.transpose(0, 2, 1) + ridge


def exact_distance(first, second):
    costs = np.array(
        [[exact_squared(m, c, n, e) for n, e in zip(*second[1:], strict=True)] for m, c in zip(*first[1:], strict=True)]
    )
    return math.sqrt(max(linear_program(costs, first[0], second[0]), 0.0))


@pytest.mark.parametrize(("k", "m", "d"), [(1, 1, 3), (2, 2, 1), (3, 4, 2), (4, 2, 3)])
@pytest.mark.parametrize("seed", range(3))
def test_it_agrees_with_a_linear_program_over_exact_costs(k, m, d, seed):
    rng = np.random.default_rng(seed)
    first, second = mixture(rng, k, d), mixture(rng, m, d)
    distance = mixture_wasserstein(*first, *second)
    expected = exact_distance(first, second)
    assert distance.value == pytest.approx(expected, rel=1e-9)
    assert distance.lower <= expected * (1 + 1e-14)
    assert expected * (1 - 1e-14) <= distance.upper
    assert distance.unit == "distance"


@pytest.mark.parametrize("seed", range(6))
def test_singular_covariances_stay_inside_the_enclosure(seed):
    rng = np.random.default_rng(seed)
    first, second = mixture(rng, 2, 4, rank=1 + seed % 3), mixture(rng, 3, 4, rank=2)
    distance = mixture_wasserstein(*first, *second)
    expected = exact_distance(first, second)
    assert distance.lower <= expected <= distance.upper
    assert distance.relative_gap < 1e-5


def test_one_component_a_side_is_the_distance_of_the_gaussians():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(20, 3)), 2 * rng.normal(size=(30, 3)) + 1
    sides = [([1.0], z.mean(axis=0)[None], np.cov(z.T, bias=True)[None]) for z in (x, y)]
    assert mixture_wasserstein(*sides[0], *sides[1]).value == pytest.approx(gaussian_wasserstein(x, y).value, rel=1e-12)


def test_components_without_spread_are_a_transport_of_points():
    rng = np.random.default_rng(1)
    x, y, zero = rng.normal(size=(5, 2)), rng.normal(size=(7, 2)), np.zeros((7, 2))
    a, b = np.full(5, 1 / 5), np.full(7, 1 / 7)
    distance = mixture_wasserstein(a, x, zero[:5], b, y, zero)
    assert distance.value == pytest.approx(wasserstein(x, y, 2).value, rel=1e-12)


def test_variances_are_diagonal_covariances():
    rng = np.random.default_rng(2)
    variances = rng.uniform(0.1, 2, size=(3, 2)), rng.uniform(0.1, 2, size=(2, 2))
    weights, means = ([0.2, 0.3, 0.5], [0.5, 0.5]), (rng.normal(size=(3, 2)), rng.normal(size=(2, 2)))
    diagonal = mixture_wasserstein(weights[0], means[0], variances[0], weights[1], means[1], variances[1])
    full = [np.array([np.diag(row) for row in side]) for side in variances]
    same = mixture_wasserstein(weights[0], means[0], full[0], weights[1], means[1], full[1])
    assert diagonal.value == pytest.approx(same.value, rel=1e-12)
    roots = [np.hstack((mean, np.sqrt(variance))) for mean, variance in zip(means, variances, strict=True)]
    assert diagonal.value == pytest.approx(wasserstein(*roots, 2, weights_x=weights[0], weights_y=weights[1]).value, rel=1e-12)


def test_it_is_at_least_the_distance_of_the_mixtures():
    # On the line W₂ of the mixtures is an integral over quantiles, here by the midpoint rule.
    split = mixture_wasserstein([0.5, 0.5], [[-3.0], [3.0]], [[1.0], [1.0]], [1.0], [[0.0]], [[10.0]])
    assert split.value == pytest.approx(math.sqrt(9 + (math.sqrt(10) - 1) ** 2), rel=1e-12)
    levels = (np.arange(20000) + 0.5) / 20000
    grid = np.linspace(-30, 30, 400001)
    distribution = np.vectorize(math.erf)
    single = (1 + distribution(grid / math.sqrt(20))) / 2
    double = (2 + distribution((grid - 3) / math.sqrt(2)) + distribution((grid + 3) / math.sqrt(2))) / 4
    quantiles = np.interp(levels, single, grid), np.interp(levels, double, grid)
    assert split.lower > math.sqrt(np.mean((quantiles[0] - quantiles[1]) ** 2))


@given(seed=st.integers(0, 2**32 - 1), d=st.integers(1, 3), kind=st.sampled_from(["generic", "singular", "shared"]))
def test_laws(seed, d, kind):
    rng = np.random.default_rng(seed)
    sides = [mixture(rng, int(rng.integers(1, 4)), d, rank=1 if kind == "singular" else None) for _ in range(3)]
    if kind == "shared":
        sides[1] = (sides[1][0], *(np.repeat(part[:1], len(sides[1][0]), axis=0) for part in sides[0][1:]))
    first, second, third = sides
    there, back = mixture_wasserstein(*first, *second), mixture_wasserstein(*second, *first)
    assert there.lower <= back.upper
    assert back.lower <= there.upper
    direct, rest = mixture_wasserstein(*first, *third), mixture_wasserstein(*second, *third)
    assert direct.lower <= (there + rest).upper
    order = rng.permutation(len(first[0]))
    itself = mixture_wasserstein(*first, *(part[order] for part in first))
    assert itself.lower == 0.0
    # A singular covariance is known to an ulp of itself only: √(10 d^{3/2} ulp) = 1e-7 of its root, four times, at d = 3.
    assert itself.upper**2 <= (1e-6 if kind == "singular" else 1e-11) * (1 + np.abs(first[2]).sum() + np.square(first[1]).sum())
    rotation, shift = np.linalg.qr(rng.normal(size=(d, d)))[0], rng.normal(size=d)
    moved = [(w, m @ rotation + shift, rotation.T @ c @ rotation) for w, m, c in (first, second)]
    turned = mixture_wasserstein(*moved[0], *moved[1])
    assert turned.value == pytest.approx(there.value, rel=1e-6, abs=1e-5)


def test_a_fitted_mixture_of_scikit_learn_fits_in():
    sklearn = pytest.importorskip("sklearn.mixture")
    rng = np.random.default_rng(3)
    x = np.vstack((rng.normal(size=(40, 2)), rng.normal(size=(40, 2)) + 6))
    for form in ("full", "diag", "tied", "spherical"):
        g = sklearn.GaussianMixture(2, covariance_type=form, random_state=0).fit(x)
        covariances = {
            "tied": lambda g=g: np.broadcast_to(g.covariances_, (2, 2, 2)),
            "spherical": lambda g=g: g.covariances_[:, None] * np.ones(2),
        }.get(form, lambda g=g: g.covariances_)()
        parts = g.weights_, g.means_, covariances
        assert mixture_wasserstein(*parts, g.weights_, g.means_ + np.array([3.0, 4.0]), covariances).value == pytest.approx(
            5.0, rel=1e-6
        )


GOOD = ([0.5, 0.5], [[0.0, 0.0], [1.0, 1.0]], [np.eye(2), np.eye(2)])


@pytest.mark.parametrize(
    ("index", "value", "message"),
    [
        (0, [0.5, 0.6], "weights_x sums to 1.1"),
        (0, [1.5, -0.5], "weights_x has a negative weight -0.5"),
        (0, [1.0], "weights_x has 1 weights for 2 points"),
        (1, [[0.0], [1.0]], "means_x has dimension 1 and means_y has dimension 2"),
        (1, [[0.0, np.nan], [1.0, 1.0]], "means_x holds 1 NaN"),
        (1, np.zeros((0, 2)), "means_x is empty"),
        (2, [np.eye(2)], r"covariances_x has shape \(1, 2, 2\) for 2 means of dimension 2"),
        (2, [1.0, 1.0], r"covariances_x has shape \(2,\), expected 2 axes"),
        (2, [[1.0, 1.0], [1.0, -0.5]], "covariances_x holds a negative variance -0.5"),
        (2, [np.eye(2), [[1.0, 0.5], [0.0, 1.0]]], r"covariances_x\[1\] is not symmetric"),
        (2, [np.eye(2), [[1.0, 2.0], [2.0, 1.0]]], r"covariances_x\[1\] has the negative eigenvalue -1"),
        (2, [np.eye(2), np.full((2, 2), np.inf)], "covariances_x holds 4 NaN or infinite"),
    ],
)
def test_bad_input_is_refused(index, value, message):
    bad = list(GOOD)
    bad[index] = value
    with pytest.raises(InputError, match=message):
        mixture_wasserstein(*bad, *GOOD)


@pytest.mark.parametrize("condition", [1.0, 1e3, 1e6, 1e9, 1e13])
def test_the_compact_factor_has_the_same_gram_matrix(condition):
    rng = np.random.default_rng(0)
    factor = rng.normal(size=(60, 8)) * np.geomspace(1, 1 / condition, 8)
    factor[:, 4] = 0.0
    small = compact(factor)
    assert small.shape[0] <= 8
    # A column of R is as long as F's, whatever the others: the short ones must not be lost.
    scales = np.linalg.norm(factor, axis=0)
    scales[4] = 1.0
    error = (small.T @ small - factor.T @ factor) / np.outer(scales, scales)
    assert np.abs(error).max() < 1e-14
    assert compact(np.zeros((5, 3))).any() == np.False_


def test_the_bures_distance_of_rotated_factors_is_zero():
    rng = np.random.default_rng(0)
    factor = rng.normal(size=(6, 4))
    rotation = np.linalg.qr(rng.normal(size=(6, 6)))[0]
    assert math.sqrt(bures_squared(factor, rotation @ factor)) < 1e-14 * np.linalg.norm(factor)
    assert bures_squared(factor, np.zeros((1, 4))) == pytest.approx(np.square(factor).sum(), rel=1e-15)
