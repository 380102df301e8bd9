"""Gaussian W₂ against matrix roots at fifty digits and closed forms, and its laws."""

import math
import warnings

import mpmath
import numpy as np
import pytest
import scipy.linalg
from gaussian_problems import draw, exact_wasserstein, kinds, shapes, sides, size, weightings
from hypothesis import given
from hypothesis import strategies as st
from problems import clouds

from kd2m_theory.estimators import wasserstein
from kd2m_theory.estimators.gaussian import gaussian_wasserstein


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
