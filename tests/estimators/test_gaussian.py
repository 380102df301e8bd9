"""Gaussian distances class by class, on bad input, and without the defects of the author's code."""

import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from gaussian_problems import GOOD, KINDS, draw, exact_kl, exact_wasserstein, kinds

from kd2m_theory import InputError
from kd2m_theory.estimators import conditional_wasserstein
from kd2m_theory.estimators.gaussian import (
    conditional_gaussian_kl,
    conditional_gaussian_wasserstein,
    gaussian_kl,
    gaussian_symmetric_kl,
    gaussian_wasserstein,
)
from kd2m_theory.estimators.losses.gaussian import gaussian_kl_loss, squared_gaussian_w2

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


@pytest.mark.long
def test_the_estimators_do_not_load_torch():
    code = "import sys, kd2m_theory.estimators.gaussian, kd2m_theory.estimators.mixture; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
