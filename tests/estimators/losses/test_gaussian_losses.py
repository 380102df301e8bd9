"""Gaussian distances as training losses: the measured numbers again, with gradients that are right and finite."""

import math

import numpy as np
import pytest
import torch
from gaussian_problems import GOOD, draw, kinds, shapes

from kd2m_theory import InputError
from kd2m_theory.estimators.gaussian import gaussian_kl, gaussian_wasserstein
from kd2m_theory.estimators.losses.gaussian import gaussian_kl_loss, squared_gaussian_w2


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
