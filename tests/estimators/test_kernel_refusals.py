"""MMD on bad input: what is refused, and in which words."""

import math
from typing import Any

import numpy as np
import pytest

from kd2m_theory.errors import InputError
from kd2m_theory.estimators.kernel_distances import conditional_mmd, energy_distance, mmd, mmd_radius
from kd2m_theory.estimators.kernels import RBF, Kernel, Laplace, Polynomial, RBFMixture, median_bandwidth

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
        ({"bandwidth": 1e-200}, "squared distances overflow float64 .* or the bandwidth"),
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
    for scale, word in ((1e200, "overflow"), (1e-200, "underflow")):
        with pytest.raises(InputError, match=f"{word} float64.*rescale"):
            mmd(GOOD * scale, GOOD * 2 * scale, RBF(1.0))
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
