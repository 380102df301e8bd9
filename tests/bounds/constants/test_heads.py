"""C1–C3: every constant bounds what it must, and is attained."""

import math
import tracemalloc
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kd2m_theory import InputError
from kd2m_theory.bounds import (
    class_lipschitz,
    cross_entropy,
    lipschitz,
    margin,
    ramp,
    ramp_change,
    spectral_lipschitz,
    vertex_norm,
)
from kd2m_theory.bounds.constants import heads

seeds = st.integers(0, 2**32 - 1)


def draw(seed, classes=4, n=30):
    rng = np.random.default_rng(seed)
    scale = 10.0 ** rng.uniform(-2, 2)
    logits, change = scale * rng.normal(size=(n, classes)), 10.0 ** rng.uniform(-2, 2) * rng.normal(size=(n, classes))
    return logits, change, rng.integers(0, classes, n)


def test_cross_entropy_by_hand():
    logits = np.log(np.array([[0.2, 0.5, 0.3], [0.7, 0.2, 0.1]]))
    np.testing.assert_allclose(cross_entropy(logits, np.array([1, 2])), -np.log([0.5, 0.1]), rtol=1e-14)
    assert cross_entropy(np.array([[1e4, -1e4]]), np.array([1]))[0] == 2e4


@given(seeds, st.integers(2, 6))
def test_c1_cross_entropy_moves_by_at_most_the_vertex_norm(seed, classes):
    logits, change, labels = draw(seed, classes)
    moved = np.abs(cross_entropy(logits + change, labels) - cross_entropy(logits, labels))
    norm = vertex_norm(change, labels)
    slack = 1e-12 * (1 + np.abs(logits).max() + np.abs(change).max())
    assert (moved <= norm + slack).all()
    assert (norm <= np.sqrt(2) * np.linalg.norm(change, axis=1) * (1 + 1e-12)).all()


@pytest.mark.parametrize("rho", [0.0, -1.0, float("nan")])
def test_a_ramp_without_width_is_refused(rho):
    with pytest.raises(InputError, match="the ramp has width rho="):
        ramp(np.ones(3), rho)


def test_c1_is_attained():
    """From a confident wrong answer towards a more confident one, the loss moves by the whole vertex norm."""
    logits, change = np.array([[0.0, 60.0, 0.0]]), np.array([[-1.0, 1.0, 0.0]])
    labels = np.array([0])
    moved = cross_entropy(logits + change, labels) - cross_entropy(logits, labels)
    assert moved[0] == pytest.approx(vertex_norm(change, labels)[0], rel=1e-12)
    assert vertex_norm(change, labels)[0] == pytest.approx(np.sqrt(2) * np.linalg.norm(change), rel=1e-12)


@given(seeds, st.integers(2, 6), st.integers(1, 6))
def test_c2_ladder_of_lipschitz_constants(seed, classes, dimension):
    rng = np.random.default_rng(seed)
    weight = rng.normal(size=(classes, dimension))
    per_class = class_lipschitz(weight)
    assert lipschitz(weight) == per_class.max()
    assert lipschitz(weight) <= spectral_lipschitz(weight) * (1 + 1e-12)
    x, y = rng.normal(size=(2, 40, dimension)) * 3
    labels = rng.integers(0, classes, 40)
    moved = np.abs(cross_entropy(x @ weight.T, labels) - cross_entropy(y @ weight.T, labels))
    assert (moved <= per_class[labels] * np.linalg.norm(x - y, axis=1) + 1e-12).all()


@pytest.mark.parametrize("label", range(4))
def test_c2_is_the_smallest_constant(label):
    """Where another class has all the probability the gradient is w_c − w_y itself."""
    weight = np.random.default_rng(label).normal(size=(4, 5))
    worst = int(np.linalg.norm(weight - weight[label], axis=1).argmax())
    logits = np.full(4, -40.0)
    logits[worst] = 40.0
    point = np.linalg.lstsq(weight, logits, rcond=None)[0]
    step = 1e-3 * (weight[worst] - weight[label])
    points = np.stack((point, point + step))
    moved = np.diff(cross_entropy(points @ weight.T, np.array([label] * 2)))[0]
    assert moved / np.linalg.norm(step) == pytest.approx(class_lipschitz(weight)[label], rel=1e-6)


@given(seeds, st.floats(0.01, 100))
def test_c3_margin_and_ramp(seed, rho):
    logits, change, labels = draw(seed)
    before, after = margin(logits, labels), margin(logits + change, labels)
    slack = 1e-12 * (1 + np.abs(logits).max() + np.abs(change).max())
    assert (np.abs(after - before) <= vertex_norm(change, labels) + slack).all()
    assert (np.abs(ramp(after, rho) - ramp(before, rho)) <= ramp_change(change, labels, rho) + slack / rho).all()
    wrong = logits.argmax(axis=1) != labels
    assert (wrong <= ramp(before, rho) + 1e-12).all()


def test_ramp_refuses_a_width_that_is_none():
    with pytest.raises(InputError, match="rho=0"):
        ramp_change(np.eye(2), np.array([0, 1]), 0)


@pytest.mark.parametrize("scale", [5e-324, 1e-200, 1.0, 1e200, 1e307])
def test_constants_of_heads_hold_at_any_scale(scale):
    """The identity: two classes are √2 apart, and √2‖W‖ = √2."""
    truth = 2 * Fraction(scale) ** 2
    for found in (*class_lipschitz(scale * np.eye(3)).tolist(), spectral_lipschitz(scale * np.eye(3))):
        assert Fraction(found) ** 2 >= truth
        assert scale < 1e-300 or found <= math.sqrt(2) * scale * (1 + 1e-12)


@pytest.mark.parametrize("offset", [0.0, 1e3, 1e9])
@pytest.mark.parametrize("scale", [1e-300, 1.0, 1e290])
def test_constants_from_products_are_no_smaller_than_from_differences(monkeypatch, scale, offset):
    weight = (np.random.default_rng(0).integers(-(2**10), 2**10, (60, 7)) / 2**10 + offset) * scale
    weight[5] = weight[4]
    directly = class_lipschitz(weight)
    monkeypatch.setattr(heads, "_DIRECT", 0)
    monkeypatch.setattr(heads, "_ROWS", 7)
    found = class_lipschitz(weight)
    assert (found >= directly * (1 - 1e-14)).all()
    assert (found <= directly * (1 + 1e-12)).all()
    assert (class_lipschitz(np.full((4, 3), 0.1 + offset)) == 0).all()


def test_constants_of_many_classes_need_neither_k_cubed_time_nor_k_squared_memory():
    """K = 1,500 identical units: √2, from blocks of a few megabytes."""
    tracemalloc.start()
    weight = np.eye(1500)
    before = tracemalloc.get_traced_memory()[0]
    found = class_lipschitz(weight)
    peak = tracemalloc.get_traced_memory()[1] - before
    tracemalloc.stop()
    assert found == pytest.approx(math.sqrt(2), rel=1e-11)
    assert (found >= math.sqrt(2)).all()
    assert peak < 8 * weight.nbytes
