"""KL of Gaussians against fifty digits, its laws, and where it is infinite."""

import math

import numpy as np
import pytest
from gaussian_problems import draw, exact_kl, kinds, sides, weightings
from hypothesis import given
from hypothesis import strategies as st
from problems import clouds

from kd2m_theory.estimators.gaussian import gaussian_kl, gaussian_symmetric_kl


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
