"""Training losses: the value of the measuring form, and a gradient that finite differences confirm."""

import numpy as np
import pytest
import torch

from kd2m_theory import InputError
from kd2m_theory.estimators import conditional_wasserstein, wasserstein
from kd2m_theory.validation.objectives import squared_cw2, squared_w2


def draw(n, m, d=3, seed=0):
    rng = np.random.default_rng(seed)
    return torch.tensor(rng.normal(size=(n, d)), requires_grad=True), torch.tensor(rng.normal(size=(m, d)))


@pytest.mark.parametrize(("n", "m"), [(6, 6), (6, 4), (1, 5), (1, 1)])
def test_w2_is_the_square_of_the_distance_and_differentiable(n, m):
    student, teacher = draw(n, m)
    assert squared_w2(student, teacher).item() == pytest.approx(wasserstein(student, teacher, 2).value ** 2, rel=1e-10)
    assert torch.autograd.gradcheck(lambda z: squared_w2(z, teacher), student)


def test_cw2_is_the_mean_over_classes_present():
    student, teacher = draw(9, 9, seed=1)
    labels = torch.tensor([0, 0, 0, 0, 5, 5, 5, 2, 2])
    expected = conditional_wasserstein(student, teacher, labels, labels, 2, "uniform").value ** 2
    assert squared_cw2(student, teacher, labels).item() == pytest.approx(expected, rel=1e-10)
    assert torch.autograd.gradcheck(lambda z: squared_cw2(z, teacher, labels), student)


def test_moving_the_teacher_moves_the_loss():
    student, teacher = draw(8, 8, seed=2)
    labels = torch.arange(8) % 2
    assert squared_cw2(student, teacher + 100, labels) > 100 * squared_cw2(student, teacher, labels)


def test_gradient_is_finite_on_identical_and_constant_features():
    for features in (torch.ones(6, 3), torch.arange(18.0).reshape(6, 3)):
        student = features.clone().requires_grad_()
        loss = squared_cw2(student, features, torch.zeros(6, dtype=torch.long))
        loss.backward()
        assert loss.item() == 0.0
        assert torch.equal(student.grad, torch.zeros_like(features))


def test_dtype_is_kept_and_divergence_is_named():
    student, teacher = (torch.randn(4, 2) for _ in range(2))
    assert squared_w2(student, teacher).dtype == torch.float32
    with pytest.raises(InputError, match="training has diverged"):
        squared_w2(student * float("nan"), teacher)
