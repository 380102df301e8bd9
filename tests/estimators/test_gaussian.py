"""Gaussian distances against closed forms, 50-digit arithmetic and laws; their training losses against the same numbers."""

import math
import subprocess
import sys
import warnings

import mpmath
import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given
from hypothesis import strategies as st
from problems import WEIGHTINGS, clouds

from kd2m_theory import InputError
from kd2m_theory.estimators import conditional_wasserstein, wasserstein
from kd2m_theory.estimators.gaussian import (
    conditional_gaussian_kl,
    conditional_gaussian_wasserstein,
    gaussian_kl,
    gaussian_symmetric_kl,
    gaussian_wasserstein,
)
from kd2m_theory.estimators.gaussian_torch import gaussian_kl_loss, squared_gaussian_w2

KINDS = ("full", "diagonal")
kinds = pytest.mark.parametrize("kind", KINDS)
weightings = pytest.mark.parametrize("weighting", WEIGHTINGS)
# n, m, d: more points than dimensions on both sides, on one, on neither, and a single point.
SHAPES = [(9, 7, 3), (3, 8, 4), (3, 4, 5), (1, 6, 3), (6, 1, 2), (1, 1, 3), (12, 12, 1)]
shapes = pytest.mark.parametrize("shape", SHAPES, ids=str)


def draw(shape, seed=0):
    n, m, d = shape
    rng = np.random.default_rng(seed)
    mix = rng.normal(size=(d, d))
    return rng.normal(size=(n, d)) @ mix + rng.normal(size=d), rng.normal(size=(m, d)) * rng.uniform(0.3, 3, d)


def exact_moments(points, weights, kind):
    n, d = points.shape
    weights = [mpmath.mpf(1) / n] * n if weights is None else [mpmath.mpf(float(w)) for w in weights]
    total = sum(weights)
    rows = [[mpmath.mpf(float(v)) for v in row] for row in points]
    mean = [sum(w * row[j] for w, row in zip(weights, rows, strict=True)) / total for j in range(d)]
    covariance = mpmath.matrix(d, d)
    for i in range(d):
        for j in range(d):
            if kind == "full" or i == j:
                terms = (w * (row[i] - mean[i]) * (row[j] - mean[j]) for w, row in zip(weights, rows, strict=True))
                covariance[i, j] = sum(terms) / total
    return mpmath.matrix(mean), covariance


def exact_root(matrix):
    values, vectors = mpmath.eigsy(matrix)
    return vectors * mpmath.diag([mpmath.sqrt(max(v, 0)) for v in values]) * vectors.T


def exact_wasserstein(x, y, kind="full", weights_x=None, weights_y=None):
    """From the textbook formula with matrix roots, at 80 digits: 35 of them survive the root of a zero eigenvalue."""
    with mpmath.workdps(80):
        (mean_x, cov_x), (mean_y, cov_y) = exact_moments(x, weights_x, kind), exact_moments(y, weights_y, kind)
        root = exact_root(cov_x)
        cross = exact_root(root * cov_y * root)
        gap = mean_x - mean_y
        trace = sum(cov_x[i, i] + cov_y[i, i] - 2 * cross[i, i] for i in range(len(mean_x)))
        return float(mpmath.sqrt(max(sum(v * v for v in gap) + trace, 0)))


def exact_kl(x, y, kind="full", shrinkage=0.0, weights_x=None, weights_y=None):
    with mpmath.workdps(50):
        (mean_x, cov_x), (mean_y, cov_y) = exact_moments(x, weights_x, kind), exact_moments(y, weights_y, kind)
        d, s = len(mean_x), mpmath.mpf(shrinkage)
        cov_x, cov_y = ((1 - s) * c + s * sum(c[i, i] for i in range(d)) / d * mpmath.eye(d) for c in (cov_x, cov_y))
        inverse, gap = cov_y**-1, mean_x - mean_y
        product = inverse * cov_x
        trace = sum(product[i, i] for i in range(d))
        return float((trace - d + (gap.T * inverse * gap)[0] + mpmath.log(mpmath.det(cov_y) / mpmath.det(cov_x))) / 2)


def size(*points):
    return 1.0 + max(float(np.abs(p).max()) for p in points) * math.sqrt(points[0].shape[1])


# Oracles: W2


@shapes
@kinds
@pytest.mark.parametrize("seed", range(3))
def test_wasserstein_agrees_with_matrix_roots_at_fifty_digits(shape, kind, seed):
    x, y = draw(shape, seed)
    assert gaussian_wasserstein(x, y, kind).value == pytest.approx(exact_wasserstein(x, y, kind), rel=1e-13)


@kinds
def test_wasserstein_with_weights_agrees_with_fifty_digits(kind):
    x, y = draw((8, 5, 3))
    weights_x, weights_y = np.array([0.0, 0.4, 0.1, 0.1, 0.05, 0.05, 0.3, 0.0]), np.array([0.5, 0.125, 0.125, 0.125, 0.125])
    exact = exact_wasserstein(x, y, kind, weights_x, weights_y)
    assert gaussian_wasserstein(x, y, kind, weights_x, weights_y).value == pytest.approx(exact, rel=1e-13)


def test_one_dimension_is_the_difference_of_means_and_deviations():
    x, y = draw((50, 40, 1))
    distance = gaussian_wasserstein(x, y)
    assert distance.mean_part == pytest.approx(abs(x.mean() - y.mean()), rel=1e-13)
    assert distance.covariance_part == pytest.approx(abs(x.std() - y.std()), rel=1e-13)
    assert distance.value == pytest.approx(math.hypot(distance.mean_part, distance.covariance_part), rel=1e-15)
    assert distance.unit == "distance"


@kinds
def test_covariances_that_commute_subtract_their_roots(kind):
    # The rows ±a_i e_i have covariance diag(a²)/d exactly.
    a, b = np.array([1.0, 2.0, 5.0, 0.0]), np.array([3.0, 2.0, 1.0, 4.0])
    x, y = np.vstack((np.diag(a), -np.diag(a))), np.vstack((np.diag(b), -np.diag(b)))
    distance = gaussian_wasserstein(x, y + 1.0, kind)
    assert distance.value**2 == pytest.approx(4.0 + ((a - b) ** 2).sum() / 4, rel=1e-14)
    assert distance.moment_upper**2 == pytest.approx(4.0 + ((a**2).sum() + (b**2).sum()) / 4, rel=1e-14)


def test_scaled_identity():
    x = np.vstack((np.eye(6), -np.eye(6)))
    assert gaussian_wasserstein(x, 4 * x).value == pytest.approx(3.0, rel=1e-14)  # Σ = I/6: 3 √6 √(1/6)


def test_it_agrees_with_scipy_where_matrix_roots_work():
    x, y = draw((200, 150, 12))
    a, b = np.cov(x.T, bias=True), np.cov(y.T, bias=True)
    square = np.sum((x.mean(0) - y.mean(0)) ** 2) + np.trace(a + b - 2 * scipy.linalg.sqrtm(a @ b).real)
    assert gaussian_wasserstein(x, y).value == pytest.approx(math.sqrt(square), rel=1e-10)


def test_two_crossing_lines_where_the_matrix_root_is_not_finite():
    # Orthogonal ranges: Σ_x Σ_y is zero but for rounding (entries of 2.5e-17), and W₂² is the sum of the traces.
    x, y = np.outer([1.0, 2.0, 3.0], [1.0, 1.0]), np.outer([1.0, 2.0, 3.0], [1.0, -1.0])
    noise = 2.4671622769447922e-17
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", scipy.linalg.LinAlgWarning)
        root = scipy.linalg.sqrtm(np.array([[noise, -noise], [noise, -noise]]))
    assert not np.isfinite(root).all()
    assert gaussian_wasserstein(x, y).covariance_part ** 2 == pytest.approx(8 / 3, rel=1e-14)


def test_fewer_points_than_dimensions_costs_scipy_half_its_digits_and_us_none():
    x, y = draw((5, 6, 20))
    a, b = np.cov(x.T, bias=True), np.cov(y.T, bias=True)
    exact = exact_wasserstein(x, y)
    with np.errstate(all="ignore"):
        theirs = np.sum((x.mean(0) - y.mean(0)) ** 2) + np.trace(a + b - 2 * scipy.linalg.sqrtm(a @ b).real)
    assert not abs(math.sqrt(theirs) - exact) < 1e-11 * exact
    assert gaussian_wasserstein(x, y).value == pytest.approx(exact, rel=1e-13)


@pytest.mark.parametrize("spread", [1e-3, 1e-6, 1e-9, 1e-12])
def test_almost_equal_gaussians_keep_their_digits(spread):
    x = draw((30, 1, 4))[0]
    y = x * (1 + spread * np.array([1.0, -1.0, 2.0, 0.5]))
    distance = gaussian_wasserstein(x, y)
    assert distance.value == pytest.approx(exact_wasserstein(x, y), rel=1e-9, abs=1e-14 * size(x))


@pytest.mark.parametrize("exponent", [-600, -300, 0, 300, 500])
def test_ill_conditioned_and_rank_deficient_clouds_of_any_size(exponent):
    x, y = draw((40, 50, 4))
    x[:, 3], y[:, 2] = x[:, 0] + 1e-9 * x[:, 3], 7.0  # almost dependent, and dead
    expected = exact_wasserstein(x, y)
    distance = gaussian_wasserstein(np.ldexp(x, exponent), np.ldexp(y, exponent))
    assert np.ldexp(distance.value, -exponent) == pytest.approx(expected, rel=1e-13)
    with mpmath.workdps(30):
        exact = mpmath.ldexp(mpmath.mpf(expected), exponent)
        assert distance.enclosure().lower <= exact <= distance.enclosure().upper


# Laws: W2


def sides(drawn, i, j):
    weights = drawn.keywords(i, j)
    return (drawn.points[i], drawn.points[j]), weights


@kinds
@weightings
@given(data=st.data())
def test_gelbrich_and_the_moments_enclose_the_distance_of_the_clouds(kind, weighting, data):
    drawn = data.draw(clouds(weighting))
    (x, y), weights = sides(drawn, 0, 1)
    distance = gaussian_wasserstein(x, y, kind, **weights)
    truth = wasserstein(x, y, 2, **weights)
    enclosure = distance.enclosure()
    assert distance.lower_bound_on_w2 == enclosure.lower <= truth.upper
    assert truth.lower <= enclosure.upper
    assert enclosure.lower <= distance.value <= enclosure.upper
    assert (enclosure.unit, enclosure.method) == ("distance", "Gelbrich and moments")


@kinds
@weightings
@given(data=st.data())
def test_wasserstein_is_a_metric(kind, weighting, data):
    drawn = data.draw(clouds(weighting))
    (x, y), weights = sides(drawn, 0, 1)
    small = 1e-13 * size(*drawn.points)
    there = gaussian_wasserstein(x, y, kind, **weights).value
    (x_, z), weights_ = sides(drawn, 0, 2)
    (y_, z_), weights__ = sides(drawn, 1, 2)
    direct, detour = gaussian_wasserstein(x_, z, kind, **weights_), gaussian_wasserstein(y_, z_, kind, **weights__)
    assert direct.value <= (there + detour.value) * (1 + 1e-13) + small
    back = gaussian_wasserstein(y, x, kind, weights["weights_y"], weights["weights_x"]).value
    assert back == pytest.approx(there, rel=1e-12, abs=small)
    order = np.random.default_rng(0).permutation(len(x))
    own = weights["weights_x"]
    same = gaussian_wasserstein(x, x[order], kind, own, None if own is None else own[order])
    assert same.value <= 1e-7 * size(x)
    assert same.enclosure().lower == 0.0


@kinds
@shapes
def test_zero_on_identical_clouds(kind, shape):
    x = draw(shape)[0]
    assert gaussian_wasserstein(x, x, kind).value <= 1e-14 * size(x)
    assert gaussian_wasserstein(x, np.repeat(x, 3, axis=0), kind).value <= 1e-14 * size(x)


@kinds
@weightings
@given(data=st.data())
def test_translation_moves_the_mean_only(kind, weighting, data):
    drawn = data.draw(clouds(weighting))
    (x, y), weights = sides(drawn, 0, 1)
    distance = gaussian_wasserstein(x, y, kind, **weights)
    shift = np.full(x.shape[1], 1024.0)
    both = gaussian_wasserstein(x + shift, y + shift, kind, **weights)
    assert both.value == pytest.approx(distance.value, rel=1e-9, abs=1e-11 * size(x, y))
    one = gaussian_wasserstein(x, y + shift, kind, **weights)
    assert one.covariance_part == pytest.approx(distance.covariance_part, rel=1e-9, abs=1e-11 * size(x, y))


@weightings
@given(data=st.data(), seed=st.integers(0, 100))
def test_rotating_both_changes_nothing_and_ignoring_correlations_only_lowers(weighting, data, seed):
    drawn = data.draw(clouds(weighting))
    (x, y), weights = sides(drawn, 0, 1)
    rotation = np.linalg.qr(np.random.default_rng(seed).normal(size=(x.shape[1],) * 2))[0]
    distance = gaussian_wasserstein(x, y, **weights).value
    small = 1e-13 * size(x, y)
    assert gaussian_wasserstein(x @ rotation, y @ rotation, **weights).value == pytest.approx(distance, rel=1e-11, abs=small)
    assert gaussian_wasserstein(x, y, "diagonal", **weights).value <= distance * (1 + 1e-13) + small


@kinds
def test_two_points_are_their_distance_and_the_enclosure_closes(kind):
    distance = gaussian_wasserstein([[1.0, 2.0]], [[4.0, 6.0]], kind)
    assert (distance.value, distance.mean_part, distance.covariance_part, distance.moment_upper) == (5.0, 5.0, 0.0, 5.0)
    assert distance.enclosure().lower <= 5.0 <= distance.enclosure().upper
    assert distance.enclosure().status == "optimal"
    assert gaussian_wasserstein([[3.0]] * 4, [[3.0]], kind).enclosure().upper == 0.0


@kinds
def test_constant_features_leave_the_other_spread(kind):
    y = draw((2, 30, 4))[1]
    distance = gaussian_wasserstein(np.tile([0.1, 0.2, 0.3, 0.7], (7, 1)), y, kind)
    assert distance.covariance_part == pytest.approx(math.sqrt(y.var(axis=0).sum()), rel=1e-14)
    assert distance.value == pytest.approx(distance.moment_upper, rel=1e-15)


# Oracles and laws: KL


@pytest.mark.parametrize("shape", [(9, 7, 3), (30, 20, 4), (12, 12, 1)], ids=str)
@kinds
@pytest.mark.parametrize("shrinkage", [0.0, 0.1, 1.0])
def test_kl_agrees_with_fifty_digits(shape, kind, shrinkage):
    x, y = draw(shape)
    divergence = gaussian_kl(x, y, kind, shrinkage)
    assert divergence.value == pytest.approx(exact_kl(x, y, kind, shrinkage), rel=1e-12)
    assert (divergence.unit, divergence.shrinkage, divergence.why) == ("nats", shrinkage, "")
    symmetric = (exact_kl(x, y, kind, shrinkage) + exact_kl(y, x, kind, shrinkage)) / 2
    assert gaussian_symmetric_kl(x, y, kind, shrinkage).value == pytest.approx(symmetric, rel=1e-12)


def test_kl_with_weights_agrees_with_fifty_digits():
    x, y = draw((8, 9, 2))
    weights_x, weights_y = np.array([0.0, 0.4, 0.1, 0.1, 0.05, 0.05, 0.3, 0.0]), np.full(9, 1 / 9)
    exact = exact_kl(x, y, weights_x=weights_x, weights_y=weights_y)
    assert gaussian_kl(x, y, weights_x=weights_x, weights_y=weights_y).value == pytest.approx(exact, rel=1e-12)


@pytest.mark.parametrize("shrinkage", [1e-6, 0.5])
@kinds
def test_shrinkage_makes_fewer_points_than_dimensions_finite_and_is_printed(kind, shrinkage):
    x, y = draw((3, 4, 6))
    assert math.isinf(gaussian_kl(x, y).value)
    divergence = gaussian_kl(x, y, kind, shrinkage)
    assert divergence.value == pytest.approx(exact_kl(x, y, kind, shrinkage), rel=1e-10)
    assert f"shrinkage {shrinkage:g}" in str(divergence)
    assert "no shrinkage" in str(gaussian_kl(x, y))


def test_kl_in_one_dimension_and_its_asymmetry():
    x, y = np.array([[-1.0], [1.0]]), np.array([[-3.0], [5.0]])  # N(0, 1) and N(1, 16)
    assert gaussian_kl(x, y).value == pytest.approx((1 / 16 + 1 / 16 - 1 + math.log(16)) / 2, rel=1e-15)
    assert gaussian_kl(y, x).value == pytest.approx((16 + 1 - 1 - math.log(16)) / 2, rel=1e-15)


@pytest.mark.parametrize("spread", [1e-3, 1e-6, 1e-9])
def test_kl_of_almost_equal_gaussians_keeps_its_digits(spread):
    x = draw((30, 1, 3))[0]
    y = x * (1 + spread * np.array([1.0, -1.0, 2.0]))
    # A ratio of deviations is right to some ulps, so its square excess is right to ulps/spread.
    assert gaussian_kl(x, y).value == pytest.approx(exact_kl(x, y), rel=1e-13 / spread, abs=1e-28)


@pytest.mark.parametrize("power", [-200, -20, 20, 150])
@kinds
def test_kl_does_not_depend_on_the_units_of_the_coordinates(power, kind):
    x, y = draw((30, 20, 3))
    units = np.array([1.0, 10.0**power, 3.0])
    assert gaussian_kl(x * units, y * units, kind).value == pytest.approx(gaussian_kl(x, y, kind).value, rel=1e-11)
    narrow = x * np.array([1.0, 1e-12, 1.0])
    assert gaussian_kl(narrow, y, kind).value == pytest.approx(exact_kl(narrow, y, kind), rel=1e-12)


@kinds
@weightings
@given(data=st.data())
def test_kl_is_a_divergence_and_its_mean_is_symmetric(kind, weighting, data):
    drawn = data.draw(clouds(weighting))
    (x, y), weights = sides(drawn, 0, 1)
    divergence = gaussian_kl(x, y, kind, **weights)
    assert divergence.value >= 0.0
    assert bool(divergence.why) == math.isinf(divergence.value)
    there = gaussian_symmetric_kl(x, y, kind, 0.3, **weights)
    back = gaussian_symmetric_kl(y, x, kind, 0.3, weights["weights_y"], weights["weights_x"])
    assert there.value == pytest.approx(back.value, rel=1e-12)
    own = weights["weights_x"]
    itself = gaussian_kl(x, x, kind, 0.0, own, own)
    assert itself.value <= 1e-20


@pytest.mark.parametrize(
    ("x", "y", "kind", "why"),
    [
        ([[0, 0], [1, 1], [2, 0]], [[0, 0], [1, 0], [2, 0]], "diagonal", "x varies where y is constant, in 1 of 2"),
        ([[0, 0], [1, 0], [2, 0]], [[0, 0], [1, 1], [2, 0]], "diagonal", "x is constant where y varies, in 1 of 2"),
        ([[0, 1], [1, 1], [2, 1]], [[0, 0], [1, 0], [2, 0]], "diagonal", "the means differ where y is constant"),
        ([[0, 1], [1, 1], [2, 1]], [[0, 0], [1, 0], [2, 0]], "full", "the means differ where y is constant"),
        ([[0, 0], [1, 1], [2, 0]], [[0, 0], [1, 1], [2, 2]], "full", "Σ_y has rank 1 of 2 and x varies outside its range"),
        ([[0, 0], [1, 1], [2, 2]], [[0, 0], [1, 1], [2, 0]], "full", "Σ_x has rank 1 of 2, less than Σ_y, which has 2"),
        ([[0, 1], [1, 2], [2, 3]], [[0, 0], [1, 1], [2, 2]], "full", "Σ_y has rank 1 of 2 and the means differ outside"),
        ([[0, 0]], [[0, 1]], "full", "the means differ where y is constant"),
        ([[0, 0]], [[0, 1], [1, 0], [0, 0]], "full", "x is constant where y varies, in 2 of 2"),
    ],
)
def test_kl_is_infinite_and_says_why(x, y, kind, why):
    divergence = gaussian_kl(np.array(x, float), np.array(y, float), kind)
    assert divergence.value == math.inf
    assert why in divergence.why
    assert why in str(divergence)


@kinds
def test_kl_of_gaussians_on_one_subspace_is_that_within_the_subspace(kind):
    x, y = draw((9, 7, 2))
    basis = np.array([[1.0, 0.0, 2.0, 0.0], [0.0, 1.0, -3.0, 0.0]]) if kind == "full" else np.eye(2, 4)
    offset = np.array([0.1, 0.2, 0.3, 0.7])
    inside = gaussian_kl(x @ basis + offset, y @ basis + offset, kind)
    assert inside.value == pytest.approx(exact_kl(x, y, kind), rel=1e-11)
    assert gaussian_kl(x[:1], x[:1], kind).value == 0.0


# Conditional forms

LABELS_X, LABELS_Y = np.repeat([0, 1, 5], [6, 3, 3]), np.repeat([5, 0, 1], [3, 6, 3])


@kinds
@pytest.mark.parametrize(("weighting", "shares"), [("frequency", (1 / 2, 1 / 4, 1 / 4)), ("uniform", (1 / 3,) * 3)])
def test_conditional_forms_average_over_the_classes(kind, weighting, shares):
    x, y = draw((12, 12, 2))
    pairs = [(share, x[label == LABELS_X], y[label == LABELS_Y]) for share, label in zip(shares, (0, 1, 5), strict=True)]
    square = sum(share * exact_wasserstein(a, b, kind) ** 2 for share, a, b in pairs)
    distance = conditional_gaussian_wasserstein(x, y, LABELS_X, LABELS_Y, weighting, kind)
    assert distance.value == pytest.approx(math.sqrt(square), rel=1e-13)
    assert distance.value == pytest.approx(math.hypot(distance.mean_part, distance.covariance_part), rel=1e-14)
    truth = conditional_wasserstein(x, y, LABELS_X, LABELS_Y, 2, weighting)
    assert distance.enclosure().lower <= truth.upper
    assert truth.lower <= distance.enclosure().upper
    divergence = conditional_gaussian_kl(x, y, LABELS_X, LABELS_Y, weighting, kind)
    assert divergence.value == pytest.approx(sum(share * exact_kl(a, b, kind) for share, a, b in pairs), rel=1e-11)


def test_conditional_kl_names_the_class_that_is_infinite():
    x, y = draw((12, 12, 2))
    y[LABELS_Y == 1] = 4.0
    divergence = conditional_gaussian_kl(x, y, LABELS_X, LABELS_Y)
    assert divergence.value == math.inf
    assert divergence.why == "class 1: x varies where y is constant, in 2 of 2 coordinates"
    assert math.isinf(conditional_gaussian_kl(x, y, LABELS_X, LABELS_Y, shrinkage=0.5).value)  # nothing to shrink towards


# Bad input

GOOD = np.arange(6.0).reshape(3, 2)


@pytest.mark.parametrize("function", [gaussian_wasserstein, gaussian_kl, gaussian_symmetric_kl])
@pytest.mark.parametrize(
    ("x", "keywords", "message"),
    [
        (GOOD[:0], {}, "x is empty"),
        (np.where(GOOD == 2, np.nan, GOOD), {}, "x holds 1 NaN or infinite value in row 1"),
        (GOOD[:, 0], {}, "expected 2 axes"),
        (GOOD[:, :1], {}, "x has dimension 1 and y has dimension 2"),
        (GOOD.astype(np.float16), {}, "x is float16"),
        (GOOD, {"covariance": "spherical"}, "covariance is 'spherical'; choose one of 'full', 'diagonal'"),
        (GOOD, {"weights_x": [0.5, 0.7, -0.2]}, "weights_x has a negative weight -0.2"),
        (GOOD, {"weights_y": [1.0]}, "weights_y has 1 weights for 3 points"),
    ],
)
def test_bad_input_is_refused(function, x, keywords, message):
    with pytest.raises(InputError, match=message):
        function(x, GOOD, **keywords)


@pytest.mark.parametrize("shrinkage", [-0.1, 1.5, math.nan, "0.1", None])
def test_shrinkage_outside_its_range_is_refused(shrinkage):
    with pytest.raises(InputError, match=r"shrinkage is .*; choose a number from 0"):
        gaussian_kl(GOOD, GOOD, shrinkage=shrinkage)


def test_a_distance_beyond_float64_is_refused():
    with pytest.raises(InputError, match="overflows float64; rescale"):
        gaussian_wasserstein([[1.7e308] * 4], [[-1.7e308] * 4])
    assert gaussian_wasserstein([[1e300]], [[-1e300]]).value == 2e300
    assert gaussian_wasserstein([[0.0]], [[5e-324]]).enclosure().upper >= 5e-324


@pytest.mark.parametrize("function", [conditional_gaussian_wasserstein, conditional_gaussian_kl])
@pytest.mark.parametrize(
    ("labels_y", "keywords", "message"),
    [
        ([0, 0, 0], {}, "class 1 is missing from labels_y"),
        ([0, 1, 1], {}, "class 0 has share 2/3 on one side and 1/3"),
        ([0, 1], {}, "labels_y has 2 entries for 3 samples"),
        ([0, 0, 1], {"weighting": "none"}, "weighting is 'none'"),
    ],
)
def test_conditional_forms_refuse(function, labels_y, keywords, message):
    with pytest.raises(InputError, match=message):
        function(GOOD, GOOD, [0, 0, 1], labels_y, **keywords)


# Defects of the author's code


def test_author_defect_logit_kl_has_its_arguments_swapped():
    """KL(x‖y) averages over x: wide against narrow costs more than narrow against wide."""
    narrow, wide = np.array([[-1.0], [1.0]]), np.array([[-10.0], [10.0]])
    expected = (1 / 100 - 1 + math.log(100)) / 2
    assert gaussian_kl(narrow, wide).value == pytest.approx(expected, rel=1e-15)
    assert gaussian_kl_loss(torch.tensor(narrow), torch.tensor(wide)).item() == pytest.approx(expected, rel=1e-15)
    assert gaussian_kl(wide, narrow).value > 40 > 2 > gaussian_kl(narrow, wide).value


def test_author_defect_gaussians_are_diagonal_only():
    """Equal variances and opposite correlations: zero on the diagonal, apart in full."""
    x = np.array([[1.0, 1.0], [-1.0, -1.0], [0.5, -0.5], [-0.5, 0.5]])
    y = x * np.array([1.0, -1.0])
    for full, diagonal in (
        (gaussian_wasserstein(x, y).value, gaussian_wasserstein(x, y, "diagonal").value),
        (gaussian_kl(x, y).value, gaussian_kl(x, y, "diagonal").value),
        (
            squared_gaussian_w2(torch.tensor(x), torch.tensor(y)),
            squared_gaussian_w2(torch.tensor(x), torch.tensor(y), "diagonal"),
        ),
    ):
        assert diagonal < 1e-15
        assert full > 0.2


def test_author_defect_with_an_eps_inside_divisions():
    """An eps of 1e-8 beside variances of 1e-16 would turn a divergence of nats into one of 1e-9; a zero variance says so."""
    x, y = draw((9, 7, 2))
    for kind in KINDS:
        assert gaussian_kl(1e-8 * x, 1e-8 * y, kind).value == pytest.approx(gaussian_kl(x, y, kind).value, rel=1e-12)
        loss = gaussian_kl_loss(torch.tensor(1e-8 * x), torch.tensor(1e-8 * y), kind)
        assert loss.item() == pytest.approx(gaussian_kl(x, y, kind).value, rel=1e-12)
    assert math.isinf(gaussian_kl(x, np.zeros((3, 2))).value)


# Training losses


def tensors(*arrays, dtype=torch.float64):
    return [torch.tensor(array, dtype=dtype, requires_grad=True) for array in arrays]


@shapes
@kinds
def test_the_loss_is_the_square_of_the_distance(shape, kind):
    x, y = draw(shape)
    loss = squared_gaussian_w2(*tensors(x, y), kind)
    assert loss.item() == pytest.approx(gaussian_wasserstein(x, y, kind).value ** 2, rel=1e-12)
    single = squared_gaussian_w2(*tensors(x, y, dtype=torch.float32), kind)
    assert single.dtype == torch.float32
    assert single.item() == pytest.approx(loss.item(), rel=1e-5)


@shapes
@kinds
@pytest.mark.parametrize("shrinkage", [0.0, 0.2])
def test_the_kl_loss_is_the_divergence(shape, kind, shrinkage):
    x, y = draw(shape)
    expected = gaussian_kl(x, y, kind, shrinkage).value
    if math.isinf(expected):
        with pytest.raises(InputError, match="ask for shrinkage > 0"):
            gaussian_kl_loss(*tensors(x, y), kind, shrinkage)
    else:
        assert gaussian_kl_loss(*tensors(x, y), kind, shrinkage).item() == pytest.approx(expected, rel=1e-11)


@pytest.mark.parametrize("shape", [(9, 7, 3), (3, 8, 4), (3, 4, 5), (4, 4, 6), (12, 10, 1)], ids=str)
@kinds
def test_gradients_are_those_of_finite_differences(shape, kind):
    x, y = tensors(*draw(shape))
    assert torch.autograd.gradcheck(lambda a, b: squared_gaussian_w2(a, b, kind), (x, y))
    assert torch.autograd.gradcheck(lambda a, b: gaussian_kl_loss(a, b, kind, 0.1), (x, y))


def with_dead_coordinate(x):
    x[:, 1] = 0.1
    return x


DEGENERATE = {
    "identical": lambda x: (x, x.copy()),
    "duplicated points": lambda x: (np.repeat(x[:3], 4, axis=0), np.repeat(x[3:6], 4, axis=0)),
    "duplicated coordinates": lambda x: (np.hstack((x, x)), np.hstack((x, -x))),
    "a dead coordinate": lambda x: (with_dead_coordinate(x.copy()), with_dead_coordinate(x[::-1] * 2)),
    "dead on one side": lambda x: (with_dead_coordinate(x.copy()), x[::-1] * 2),
    "equal spectra": lambda _: (np.vstack((np.eye(4), -np.eye(4))), np.vstack((np.eye(4), -np.eye(4))) * 2),
    "fewer points than dimensions": lambda x: (x[:2], x[2:5]),
}


@pytest.mark.parametrize("case", DEGENERATE)
@kinds
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_gradients_are_finite_on_degenerate_features(case, kind, dtype):
    x, y = tensors(*DEGENERATE[case](draw((12, 1, 4))[0]), dtype=dtype)
    for loss in (squared_gaussian_w2(x, y, kind), gaussian_kl_loss(x, y, kind, 0.1)):
        gradients = torch.autograd.grad(loss, (x, y))
        assert all(torch.isfinite(gradient).all() for gradient in gradients)
        if case == "identical":
            scale = 1e-5 if dtype == torch.float32 else 1e-13
            assert all(float(gradient.abs().max()) < scale for gradient in gradients)
            assert abs(loss.item()) < scale


@kinds
def test_constant_features_have_a_finite_gradient_in_w2_and_no_kl(kind):
    x, y = tensors(np.tile([0.1, 0.2], (7, 1)), draw((1, 5, 2))[1])
    loss = squared_gaussian_w2(x, y, kind)
    gradient_x, gradient_y = torch.autograd.grad(loss, (x, y))
    gap = x.detach().mean(0) - y.detach().mean(0)
    assert torch.allclose(gradient_x, (2 * gap / 7).expand(7, 2), rtol=1e-13, atol=0)
    assert torch.isfinite(gradient_y).all()
    with pytest.raises(InputError, match=r"x has no variance in 2 of 2|the covariance of x"):
        gaussian_kl_loss(x, y, kind, 0.5)


def test_gradient_descent_on_the_loss_matches_the_moments():
    x, y = draw((30, 40, 3))
    (student,) = tensors(x)
    optimiser = torch.optim.SGD([student], lr=5.0)
    for _ in range(300):
        optimiser.zero_grad()
        squared_gaussian_w2(student, torch.tensor(y)).backward()
        optimiser.step()
    assert gaussian_wasserstein(student, y).value < 1e-6


@pytest.mark.parametrize(
    ("x", "y", "keywords", "message"),
    [
        (torch.ones(3, 2, dtype=torch.bfloat16), torch.ones(3, 2), {}, "x is bfloat16; pass a float32 or float64 tensor"),
        (GOOD, torch.ones(3, 2), {}, "x is ndarray"),
        (torch.ones(3), torch.ones(3, 2), {}, r"x has shape \(3,\)"),
        (torch.ones(3, 2), torch.ones(0, 2), {}, r"y has shape \(0, 2\)"),
        (torch.ones(3, 2), torch.ones(3, 4), {}, "x has dimension 2 and y has dimension 4"),
        (torch.ones(3, 2), torch.ones(3, 2).double(), {}, "x is torch.float32 on cpu and y is torch.float64 on cpu"),
        (torch.ones(3, 2), torch.ones(3, 2), {"covariance": "none"}, "covariance is 'none'"),
    ],
)
def test_losses_refuse(x, y, keywords, message):
    for loss in (squared_gaussian_w2, gaussian_kl_loss):
        with pytest.raises(InputError, match=message):
            loss(x, y, **keywords)
    with pytest.raises(InputError, match="shrinkage is 2"):
        gaussian_kl_loss(torch.ones(3, 2), torch.ones(3, 2), shrinkage=2)


def test_the_estimators_do_not_load_torch():
    code = "import sys, kd2m_theory.estimators.gaussian, kd2m_theory.estimators.mixture; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
