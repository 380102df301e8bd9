"""Metric laws, on every ground cost and every kind of weights. Distances are compared as the intervals they are."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from problems import BRANCHES, WEIGHTINGS, clouds, ground_of
from sampled import sampled

from kd2m_theory.estimators import Enclosure, wasserstein

branches = pytest.mark.parametrize("branch", BRANCHES)
weightings = pytest.mark.parametrize("weighting", sampled(WEIGHTINGS, always=["some weights zero"]))


def same(first: Enclosure, second: Enclosure, relative: float = 1e-9, absolute: float = 1e-12) -> bool:
    """Whether two tight enclosures can be of one number."""
    size = max(first.upper, second.upper)
    return abs(first.upper - second.upper) <= relative * size + absolute


def setup(branch, weighting, data):
    name, p = BRANCHES[branch]
    drawn = data.draw(clouds(weighting, least_dimension=2 if name == "logits" else 1))
    return drawn, p, ground_of(name, drawn.points[0].shape[1])


@branches
@weightings
@given(data=st.data())
def test_the_two_sides_meet(branch, weighting, data):
    drawn, p, ground = setup(branch, weighting, data)
    x, y, _ = drawn.points
    distance = wasserstein(x, y, p, ground, **drawn.keywords(0, 1))
    assert 0 <= distance.lower <= distance.upper
    assert distance.status == "optimal" or distance.upper <= (1e-12 if p == 1 else 1e-6)
    assert not distance.capped


@branches
@weightings
@given(data=st.data())
def test_symmetry(branch, weighting, data):
    drawn, p, ground = setup(branch, weighting, data)
    x, y, _ = drawn.points
    there = wasserstein(x, y, p, ground, **drawn.keywords(0, 1))
    back = wasserstein(y, x, p, ground, **drawn.keywords(1, 0))
    assert there.lower <= back.upper
    assert back.lower <= there.upper
    assert same(there, back, absolute=1e-6 if p == 2 else 1e-12)


@branches
@weightings
@given(data=st.data())
def test_zero_on_identical_clouds(branch, weighting, data):
    drawn, p, ground = setup(branch, weighting, data)
    x = drawn.points[0]
    order = np.random.default_rng(0).permutation(len(x))
    weight = drawn.weights[0]
    keywords = {"weights_x": weight, "weights_y": None if weight is None else weight[order]}
    distance = wasserstein(x, x[order], p, ground, **keywords)
    assert distance.lower == 0.0
    # A rounding of the mass or of W z times the largest cost may stay above; its root at p = 2.
    assert distance.upper <= 1e-10 * (1 + np.abs(x).max()) ** 2 if p == 1 else distance.upper <= 1e-4
    if weight is None and not branch.startswith("vertex"):
        assert distance.upper == 0.0


@pytest.mark.parametrize("branch", [name for name in BRANCHES if name != "squared euclidean"])
@weightings
@given(data=st.data())
def test_triangle_inequality(branch, weighting, data):
    drawn, p, ground = setup(branch, weighting, data)
    x, y, z = drawn.points
    direct = wasserstein(x, z, p, ground, **drawn.keywords(0, 2))
    detour = wasserstein(x, y, p, ground, **drawn.keywords(0, 1)) + wasserstein(y, z, p, ground, **drawn.keywords(1, 2))
    assert direct.lower <= detour.upper


def test_the_squared_cost_breaks_the_triangle_inequality():
    points = [np.array([[value]]) for value in (0.0, 1.0, 2.0)]
    direct = wasserstein(points[0], points[2], ground="sqeuclidean")
    first, second = (wasserstein(points[k], points[k + 1], ground="sqeuclidean") for k in (0, 1))
    assert direct.lower > (first + second).upper
    assert direct.unit == "squared distance"


@branches
@weightings
@given(data=st.data())
def test_translation_of_both_changes_nothing_and_scaling_scales(branch, weighting, data):
    drawn, p, ground = setup(branch, weighting, data)
    x, y, _ = drawn.points
    keywords = drawn.keywords(0, 1)
    distance = wasserstein(x, y, p, ground, **keywords)
    shift = np.arange(1, x.shape[1] + 1) / 3.0
    moved = wasserstein(x + shift, y + shift, p, ground, **keywords)
    assert same(distance, moved, absolute=1e-5 if p == 2 else 1e-10)
    factor = 3.7
    scaled = wasserstein(factor * x, factor * y, p, ground, **keywords)
    power = 2 if branch == "squared euclidean" else 1
    assert same(distance.scaled(factor**power), scaled, absolute=1e-5 if p == 2 else 1e-10)


@branches
@weightings
@given(data=st.data())
def test_order_of_points_does_not_matter(branch, weighting, data):
    drawn, p, ground = setup(branch, weighting, data)
    x, y, _ = drawn.points
    keywords = drawn.keywords(0, 1)
    order = np.random.default_rng(1).permutation(len(x))
    shuffled = dict(keywords)
    if keywords["weights_x"] is not None:
        shuffled["weights_x"] = keywords["weights_x"][order]
    first, second = wasserstein(x, y, p, ground, **keywords), wasserstein(x[order], y, p, ground, **shuffled)
    assert first.lower <= second.upper
    assert second.lower <= first.upper


@weightings
@given(data=st.data())
def test_first_order_is_at_most_second_order(weighting, data):
    drawn = data.draw(clouds(weighting))
    x, y, _ = drawn.points
    keywords = drawn.keywords(0, 1)
    assert wasserstein(x, y, 1, **keywords).lower <= wasserstein(x, y, 2, **keywords).upper


@given(data=st.data())
def test_a_duplicated_cloud_is_the_same_measure(data):
    drawn = data.draw(clouds("equal"))
    x, y, _ = drawn.points
    assert same(wasserstein(x, y), wasserstein(np.repeat(x, 2, axis=0), np.repeat(y, 3, axis=0)), absolute=1e-10)
