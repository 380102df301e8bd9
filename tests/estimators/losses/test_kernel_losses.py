"""MMD as a training loss: the measured numbers again, with gradients that are right and finite."""

import math

import numpy as np
import pytest
import torch
from kernel_sums import EVERY, every_kernel

from kd2m_theory.errors import InputError
from kd2m_theory.estimators.kernel_distances import mmd
from kd2m_theory.estimators.kernels import RBF, Energy
from kd2m_theory.estimators.losses.kernel import squared_conditional_mmd, squared_mmd

both_estimators = pytest.mark.parametrize("estimator", ["v", "u"])


def batch(n=7, m=5, d=3, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(n, d, generator=generator, dtype=dtype), torch.randn(m, d, generator=generator, dtype=dtype) + 0.5


@every_kernel
@both_estimators
@pytest.mark.parametrize(("dtype", "accuracy"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_loss_is_what_mmd_measures(name, estimator, dtype, accuracy):
    x, y = batch(dtype=dtype)
    loss = squared_mmd(x, y, EVERY[name], estimator)
    assert (loss.dtype, loss.shape) == (dtype, ())
    expected = mmd(x, y, EVERY[name], estimator=estimator).squared
    scale = float(EVERY[name].block(x.double().numpy(), x.double().numpy()).__abs__().max())
    assert float(loss) == pytest.approx(expected, abs=accuracy * scale)


@every_kernel
@both_estimators
def test_gradient_by_finite_differences(name, estimator):
    x, y = (z.requires_grad_() for z in batch(5, 4, 2))
    assert torch.autograd.gradcheck(lambda a, b: squared_mmd(a, b, EVERY[name], estimator), (x, y))


@every_kernel
@both_estimators
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", ["identical", "duplicated", "constant", "all zero"])
def test_gradient_is_finite_on_coincident_points(name, estimator, dtype, kind):
    x, y = batch(6, 6, dtype=dtype)
    if kind == "identical":
        y = x.clone()
    elif kind == "duplicated":
        x, y = x[[0, 0, 0, 1, 1, 2]], torch.cat((x[:2], x[:2], y[:2]))
    else:
        x = torch.full_like(x, 0.1 if kind == "constant" else 0.0)
        y = x.clone()
    x, y = x.requires_grad_(), y.requires_grad_()
    loss = squared_mmd(x, y, EVERY[name], estimator)
    with torch.autograd.set_detect_anomaly(True):  # no NaN on the way either
        loss.backward()
    assert loss.isfinite()
    assert x.grad is not None
    assert y.grad is not None
    assert x.grad.isfinite().all()
    assert y.grad.isfinite().all()
    if kind == "identical" and estimator == "v":
        # The least value of a squared distance: nothing to descend.
        small = 1e-4 if dtype == torch.float32 else 1e-12
        assert float(loss.detach()) == pytest.approx(0, abs=small)
        np.testing.assert_allclose(x.grad.numpy(), 0, atol=small)


@every_kernel
def test_descent_brings_the_clouds_together(name):
    x, y = batch(6, 6, 2)
    moved = x.clone().requires_grad_()
    optimiser = torch.optim.SGD([moved], lr=0.05)
    for _ in range(20):
        optimiser.zero_grad()
        squared_mmd(moved, y, EVERY[name]).backward()
        optimiser.step()
    assert mmd(moved, y, EVERY[name]).squared < mmd(x, y, EVERY[name]).squared


@every_kernel
def test_conditional_loss_is_the_mean_over_present_classes(name):
    x, y = batch(8, 8)
    labels = torch.tensor([4, 4, 9, 9, 9, 4, 0, 9])
    expected = np.mean([mmd(x[labels == c], y[labels == c], EVERY[name]).squared for c in (0, 4, 9)])
    assert float(squared_conditional_mmd(x, y, labels, EVERY[name])) == pytest.approx(expected, rel=1e-10)
    x, y = x.requires_grad_(), y.requires_grad_()
    assert torch.autograd.gradcheck(lambda a, b: squared_conditional_mmd(a, b, labels, EVERY[name]), (x, y))


def test_gradient_of_close_points_is_exact_in_float32():
    # ‖x‖² + ‖y‖² − 2⟨x, y⟩ would see nothing but rounding here.
    x = torch.tensor([[100.0, 0.0]], requires_grad=True)
    y = torch.tensor([[100.0, 3e-5]])
    squared_mmd(x, y, Energy()).backward()  # ‖x − y‖
    assert x.grad is not None
    np.testing.assert_allclose(x.grad.numpy(), [[0.0, -1.0]], atol=1e-6)


@pytest.mark.parametrize("name", [name for name, kernel in EVERY.items() if kernel.shift_invariant])
def test_features_far_from_the_origin_keep_their_digits_in_float32(name):
    x, y = (z.float() + 1000.0 for z in batch(20, 20))
    expected = mmd(x, y, EVERY[name]).squared
    assert float(squared_mmd(x, y, EVERY[name])) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("x", "y", "kernel", "estimator", "message"),
    [
        (torch.zeros(0, 2), torch.zeros(3, 2), RBF(1.0), "v", r"x has shape \(0, 2\)"),
        (torch.zeros(3), torch.zeros(3, 2), RBF(1.0), "v", r"x has shape \(3,\)"),
        (torch.zeros(3, 2), torch.zeros(3, 4), RBF(1.0), "v", "2-dimensional.*4-dimensional"),
        (torch.zeros(3, 2), torch.zeros(3, 2, dtype=torch.float64), RBF(1.0), "v", "float32.*float64"),
        (torch.zeros(3, 2).half(), torch.zeros(3, 2).half(), RBF(1.0), "v", r"x is float16; .*x\.float\(\)"),
        (torch.zeros(3, 2), torch.zeros(3, 2).bfloat16(), RBF(1.0), "v", "y is bfloat16"),
        (torch.zeros(3, 2).long(), torch.zeros(3, 2), RBF(1.0), "v", "x is int64"),
        (torch.full((3, 2), math.nan), torch.zeros(3, 2), RBF(1.0), "v", "training has diverged"),
        (torch.zeros(3, 2), torch.full((3, 2), math.inf), RBF(1.0), "v", "training has diverged"),
        (torch.zeros(1, 2), torch.zeros(3, 2), RBF(1.0), "u", "two points in each cloud, got 1 and 3"),
        (torch.zeros(3, 2), torch.zeros(3, 2), RBF(1.0), "w", "estimator is 'w'"),
        (torch.zeros(3, 2), torch.zeros(3, 2), "rbf", "v", "pass a kernel object"),
    ],
)
def test_bad_input(x, y, kernel, estimator, message):
    with pytest.raises(InputError, match=message):
        squared_mmd(x, y, kernel, estimator)
    if estimator == "v" and x.ndim == 2:
        with pytest.raises(InputError, match=message):
            squared_conditional_mmd(x, y, torch.zeros(len(x), dtype=torch.int64), kernel)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (torch.zeros(4, dtype=torch.int64), r"labels have shape \(4,\)"),
        (torch.zeros(3, 2, dtype=torch.int64), "labels have shape"),
        (torch.zeros(3), "labels have dtype float32"),
    ],
)
def test_bad_labels(labels, message):
    with pytest.raises(InputError, match=message):
        squared_conditional_mmd(torch.zeros(3, 2), torch.zeros(3, 2), labels, RBF(1.0))
