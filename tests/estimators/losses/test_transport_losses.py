"""Training losses: the value of the measuring form, and a gradient that finite differences confirm."""

import numpy as np
import pytest
import torch

from kd2m_theory import InputError
from kd2m_theory.estimators import conditional_wasserstein, wasserstein
from kd2m_theory.estimators.joint import joint_wasserstein
from kd2m_theory.estimators.losses.transport import (
    paired_l2,
    squared_cw2,
    squared_gw2,
    squared_jw2,
    squared_sliced_w2,
    squared_w2,
)
from kd2m_theory.estimators.sliced import sliced_wasserstein


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


def test_jw2_is_the_square_of_the_joint_distance_and_sees_the_teacher():
    """The author's code compared the student with itself: moving the teacher by +100 left the loss unchanged."""
    student, teacher = draw(7, 7, seed=3)
    rng = np.random.default_rng(4)
    first, second = (torch.tensor(rng.dirichlet(np.ones(3), size=7), requires_grad=True) for _ in range(2))
    loss = squared_jw2(student, teacher, first, second, beta=2.5)
    assert loss.item() == pytest.approx(joint_wasserstein(student, teacher, first, second, 2, 2.5).value ** 2, rel=1e-9)
    assert squared_jw2(student, teacher + 100, first, second) > 100 * loss
    assert torch.autograd.gradcheck(lambda z, q: squared_jw2(z, teacher, q, second, 2.5), (student, first))


def test_sliced_w2_is_the_mean_over_its_directions():
    student, teacher = draw(40, 40, seed=5)
    loss = squared_sliced_w2(student, teacher, 4000, torch.Generator().manual_seed(0))
    measured = sliced_wasserstein(student, teacher, 2, 4000)
    assert measured.interval.lower <= loss.item() ** 0.5 <= measured.interval.upper
    assert torch.autograd.gradcheck(lambda z: squared_sliced_w2(z, teacher, 5, torch.Generator().manual_seed(1)), student)


def test_gromov_w2_is_zero_on_rotated_copies_and_differentiable():
    student, _ = draw(8, 8, seed=6)
    rotation, _ = np.linalg.qr(np.random.default_rng(7).normal(size=(5, 3)))
    assert squared_gw2(student, student.detach() @ torch.tensor(rotation.T)).item() == pytest.approx(0, abs=1e-9)
    teacher = torch.tensor(np.random.default_rng(8).normal(size=(6, 2)))
    assert torch.autograd.gradcheck(lambda z: squared_gw2(z, teacher), student)


def test_paired_l2():
    student, teacher = draw(5, 5, seed=9)
    student = student.detach()
    assert paired_l2(student, teacher).item() == pytest.approx(float(((student - teacher) ** 2).sum(1).mean()))
    assert paired_l2(student, teacher).item() >= squared_w2(student, teacher).item()


LOSSES = {
    "W2": squared_w2,
    "CW2": lambda z, t: squared_cw2(z, t, torch.arange(len(z)) % 2),
    "JW2": lambda z, t: squared_jw2(z, t, z.softmax(1), t.softmax(1)),
    "sliced": squared_sliced_w2,
    "Gromov": squared_gw2,
    "paired": paired_l2,
}


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("features", ["identical", "duplicated", "constant"])
def test_gradients_are_finite_where_points_coincide(name, features):
    teacher = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
    student = {"identical": teacher, "duplicated": teacher[:1].expand(6, 3), "constant": torch.ones(6, 3)}[features].clone()
    student.requires_grad_()
    loss = LOSSES[name](student, teacher)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(student.grad).all()


@pytest.mark.parametrize(
    ("loss", "arguments", "message"),
    [
        (squared_w2, (torch.ones(0, 3), torch.ones(2, 3)), r"shape \(0, 3\)"),
        (squared_w2, (torch.ones(2, 3), torch.ones(2, 4)), "dimension 3, the teacher's 4"),
        (squared_w2, (torch.ones(2, 3), torch.ones(2, 3, device="meta")), "the teacher's on meta"),
        (squared_cw2, (torch.ones(2, 3), torch.ones(2, 3), torch.ones(3)), "3 and 3 labels for 2 and 2 rows"),
        (
            squared_cw2,
            (torch.ones(2, 3), torch.ones(2, 3), torch.tensor([0, 1]), torch.tensor([0, 0])),
            "missing from the other",
        ),
        (squared_jw2, (torch.ones(2, 3), torch.ones(2, 3), torch.ones(2, 2), torch.ones(2, 2), -1.0), "beta is -1.0"),
        (squared_sliced_w2, (torch.ones(2, 3), torch.ones(4, 3)), "batches of one size, got 2 and 4"),
        (squared_gw2, (torch.ones(0, 3), torch.ones(4, 3)), r"shape \(0, 3\)"),
        (paired_l2, (torch.ones(2, 3), torch.ones(4, 3)), "they must agree"),
    ],
)
def test_batches_that_do_not_fit_are_refused(loss, arguments, message):
    with pytest.raises(InputError, match=message):
        loss(*arguments)


@pytest.mark.parametrize("loss", [squared_w2, squared_sliced_w2, squared_gw2])
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_features_that_diverged_are_refused_by_every_loss(loss, bad):
    student, teacher = torch.randn(6, 3), torch.randn(6, 3)
    student[2, 1] = bad
    with pytest.raises(InputError, match="the training has diverged"):
        loss(student, teacher)
