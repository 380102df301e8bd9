"""What cannot be computed is refused in one line that names the value and the fix."""

import numpy as np
import pytest
import torch

from kd2m_theory import InputError
from kd2m_theory.estimators import VertexNorm, clopper_pearson, conditional_wasserstein, cost_matrix, optimal_plan, wasserstein
from kd2m_theory.estimators.metrics import GaussianW2Metric, PairedDistanceMetric, RandomFeatureMMDMetric

GOOD = np.arange(6.0).reshape(3, 2)


def with_bad(value, *rows):
    array = GOOD.copy()
    array[list(rows), 0] = value
    return array


@pytest.mark.parametrize(
    ("x", "keywords", "message"),
    [
        (with_bad(np.nan, 1), {}, "x holds 1 NaN or infinite value in row 1"),
        (with_bad(np.inf, 0, 2), {}, "x holds 2 NaN or infinite values in rows 0, 2"),
        (GOOD.astype(np.float16), {}, "x is float16"),
        (GOOD > 1, {}, "x has dtype bool"),
        (GOOD.astype(complex), {}, "x has dtype complex128"),
        (GOOD.astype(object), {}, "x has dtype object"),
        ([[1.0], [1.0, 2.0]], {}, "x cannot be read as an array"),
        (GOOD[:, 0], {}, r"x has shape \(3,\), expected 2 axes; write x\[:, None\]"),
        (GOOD[None], {}, r"x has shape \(1, 3, 2\)"),
        (GOOD[:0], {}, r"x is empty \(shape \(0, 2\)\)"),
        (GOOD[:, :0], {}, "x is empty"),
        (GOOD[:, :1], {}, "x has dimension 1 and y has dimension 2"),
        (GOOD, {"p": 3}, "p is 3"),
        (GOOD, {"p": 2, "ground": "sqeuclidean"}, "square twice"),
        (GOOD, {"ground": "manhattan"}, "ground is 'manhattan'"),
        (GOOD, {"ground": VertexNorm(np.eye(2))}, "the vertex norm needs the true class"),
        (GOOD, {"ground": VertexNorm(np.eye(3), 0)}, "3 columns and the points have dimension 2"),
        (GOOD, {"ground": VertexNorm(label=2)}, "label 2, outside the head's classes 0..1"),
        (GOOD, {"weights_x": [0.5, 0.5]}, "weights_x has 2 weights for 3 points"),
        (GOOD, {"weights_x": [0.5, 0.7, -0.2]}, "weights_x has a negative weight -0.2 at index 2"),
        (GOOD, {"weights_x": [1.0, 1.0, 1.0]}, "weights_x sums to 3, not to 1"),
        (GOOD, {"weights_x": [np.nan, 0.5, 0.5]}, "weights_x holds 1 NaN"),
        (GOOD * 1e200, {"ground": "sqeuclidean"}, "overflows float64; rescale"),
    ],
)
def test_wasserstein_refuses(x, keywords, message):
    with pytest.raises(InputError, match=message) as caught:
        wasserstein(x, GOOD, **keywords)
    assert "\n" not in str(caught.value)


HALF = np.full(2, 0.5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.eye(2)[0], HALF, HALF), r"the costs have shape \(2,\)"),
        ((np.zeros((0, 2)), HALF, HALF), r"the costs have shape \(0, 2\)"),
        (([[0.0, np.nan], [1.0, 0.0]], HALF, HALF), "the costs hold NaN or infinite values"),
        ((np.eye(2), np.full(3, 1 / 3), HALF), "a has 3 weights for 2 points"),
        ((np.eye(2), HALF, [1.0, 1.0]), "b sums to 2, not to 1"),
        ((np.eye(2), HALF, [0.0, 1.0]), "b has weight 0 at index 0; leave out"),
        ((np.eye(2), HALF, HALF, 0), "max_pivots is 0"),
    ],
)
def test_a_plan_of_no_problem_is_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        optimal_plan(*arguments)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GaussianW2Metric(0), "dimension is 0"),
        (lambda: GaussianW2Metric(2, "round"), "covariance is 'round'"),
        (lambda: GaussianW2Metric(3).update(torch.ones(4, 1), torch.ones(4, 1)), "dimension 1, the metric was made for 3"),
        (lambda: RandomFeatureMMDMetric(3, bandwidth=0.0), "bandwidth is 0.0"),
        (lambda: RandomFeatureMMDMetric(3, 1.0).update(torch.ones(4, 2), torch.ones(4, 2)), "made for 3"),
        (lambda: PairedDistanceMetric(3), "p is 3"),
        (lambda: PairedDistanceMetric().update(torch.ones(4, 2), torch.ones(3, 2)), "4 rows and y 3"),
    ],
)
def test_metrics_refuse_when_they_are_made_or_fed(make, message):
    with pytest.raises(InputError, match=message):
        make()


def test_n_squared_memory_is_refused_before_it_is_asked_for():
    """PythonOT/POT#117, alibi-detect#597: a process that aborts, or an out-of-memory kill, instead of a word."""
    huge = np.broadcast_to(np.zeros((1, 2)), (3_000_000, 2))
    with pytest.raises(InputError, match=r"3000000 × 3000000 costs need 72000 GB"):
        wasserstein(huge, huge, ground=VertexNorm(label=0))


def test_vertex_norm_refuses_a_head_that_is_none():
    with pytest.raises(InputError, match="two classes are needed"):
        VertexNorm(np.ones((1, 3)))
    with pytest.raises(InputError, match=r"label 5, outside the head's classes 0\.\.2"):
        VertexNorm(np.eye(3), 5)
    with pytest.raises(InputError, match="at least two classes"):
        wasserstein(GOOD[:, :1], GOOD[:, :1], ground=VertexNorm(label=0))


@pytest.mark.parametrize(
    ("labels_x", "labels_y", "keywords", "message"),
    [
        ([0, 0, 1], [0, 0, 0], {}, "class 1 is missing from labels_y"),
        ([0, 0, 0], [0, 2, 0], {}, "class 2 is missing from labels_x"),
        ([0, 0, 1], [0, 1, 1], {}, "class 0 has share 2/3 on one side and 1/3"),
        ([0, 1], [0, 1, 1], {}, "labels_x has 2 entries for 3 samples"),
        ([[1, 0]] * 3, [0, 1, 1], {}, "one integer class per sample, not one-hot"),
        ([0.5, 0, 0], [0, 1, 1], {}, "not class numbers"),
        ([0, 0, 1], [0, 0, 1], {"weighting": "none"}, "weighting is 'none'; choose one of 'frequency', 'uniform'"),
    ],
)
def test_conditional_wasserstein_refuses(labels_x, labels_y, keywords, message):
    with pytest.raises(InputError, match=message):
        conditional_wasserstein(GOOD, GOOD, labels_x, labels_y, **keywords)


def test_integers_tensors_and_lists_are_float64():
    expected = wasserstein(GOOD, GOOD + 1).value
    for form in (GOOD.astype(int), GOOD.astype(np.float32), torch.tensor(GOOD, requires_grad=True), GOOD.tolist()):
        assert wasserstein(form, GOOD + 1).value == expected
    with pytest.raises(InputError, match="x is bfloat16, too coarse"):
        wasserstein(torch.tensor(GOOD, dtype=torch.bfloat16), GOOD)


def test_intervals_refuse_a_failure_probability_that_is_none():
    for delta in (0.0, 1.0, -0.1, 5.0):
        with pytest.raises(InputError, match="between 0 and 1"):
            clopper_pearson(1, 10, delta)


def test_costs_beyond_float64_are_refused_and_tiny_ones_are_not_zero():
    tiny = np.array([[0.0], [1e-300]])
    assert cost_matrix(tiny, tiny, "euclidean", 1).values[0, 1] == pytest.approx(1e-300)
    assert wasserstein([[0.0]], [[5e-324]]).upper >= 5e-324
    mixed = wasserstein([[1.0, 0.0]], [[1.0, 1e-200]])
    assert mixed.lower <= 1e-200 <= mixed.upper
