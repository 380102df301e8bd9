"""Decoupled distillation: its definition in exact arithmetic, its laws, and logits at which softmax is 0 or 1."""

import math

import mpmath
import numpy as np
import pytest
import torch
from objective_problems import Net, labels_of, make, outputs

from kd2m_theory.validation.objectives.dkd import decoupled_divergences
from kd2m_theory.validation.training.outputs import Outputs


def normal(*shape, seed=0):
    return torch.tensor(np.random.default_rng(seed).normal(size=shape))


def by_definition(student, teacher, label, temperature):
    """Both divergences of one image, from the definitions of p, b and p̃, in 60 digits."""
    with mpmath.workdps(60):
        weights = [[mpmath.exp(mpmath.mpf(float(a)) / temperature) for a in row] for row in (teacher, student)]
        p, q = ([each / mpmath.fsum(row) for each in row] for row in weights)
        others = [c for c in range(len(p)) if c != label]
        # Not 1 − p: that would lose a rest below 1e-60.
        rest_p, rest_q = (mpmath.fsum(row[c] for c in others) for row in (p, q))
        target = p[label] * mpmath.log(p[label] / q[label]) + rest_p * mpmath.log(rest_p / rest_q)
        among = mpmath.fsum(p[c] / rest_p * mpmath.log(p[c] / rest_p / (q[c] / rest_q)) for c in others)
        return float(target), float(among)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("scale", [0.01, 1.0, 30.0, 1e4])
@pytest.mark.parametrize("classes", [2, 3, 10])
def test_both_divergences_are_those_of_the_definition(classes, scale, dtype):
    student, teacher = ((scale * normal(6, classes, seed=seed)).to(dtype) for seed in (1, 2))
    teacher[0, 1] += 5 * scale  # sure of its class
    labels = torch.tensor([1, *(k % classes for k in range(5))])
    found = decoupled_divergences(student, teacher, labels, 4.0)
    expected = [by_definition(s, t, int(y), 4.0) for s, t, y in zip(student, teacher, labels, strict=True)]
    exact = {"rtol": 1e-10, "atol": 1e-14} if dtype == torch.float64 else {"rtol": 2e-4, "atol": 2e-7}
    for values, wanted in zip(found, zip(*expected, strict=True), strict=True):
        torch.testing.assert_close(values.double(), torch.tensor(wanted, dtype=torch.float64), **exact)


def test_a_sure_teacher_keeps_what_it_says_of_the_other_classes():
    """At p_y = 1 − 1e-40, which is 1 in every floating-point number, p̃ is that of logits 0 and ln 3."""
    teacher = torch.tensor([[95.0, math.log(3), 0.0]])
    student = torch.tensor([[90.0, 0.0, 0.0]])
    target, others = decoupled_divergences(student, teacher, torch.tensor([0]), 1.0)
    assert target.item() == pytest.approx(0, abs=1e-30)
    assert others.item() == pytest.approx(0.75 * math.log(1.5) + 0.25 * math.log(0.5), rel=1e-6)


def test_two_classes_have_no_others():
    target, others = decoupled_divergences(normal(5, 2), normal(5, 2, seed=1), torch.tensor([0, 1, 0, 1, 0]), 2.0)
    assert torch.equal(others, torch.zeros(5).double())
    p, q = (torch.softmax(normal(5, 2, seed=seed) / 2, dim=1) for seed in (1, 0))
    torch.testing.assert_close(target, (p * (p / q).log()).sum(dim=1))


def test_a_student_that_agrees_pays_nothing_and_shifts_do_not_count():
    student, teacher, labels = normal(8, 5), normal(8, 5, seed=1), torch.arange(8) % 5
    for same in decoupled_divergences(teacher, teacher.clone(), labels, 4.0):
        assert torch.equal(same, torch.zeros(8).double())
    shift = 10 * normal(8, 1, seed=2)
    for straight, shifted in zip(
        decoupled_divergences(student, teacher, labels, 4.0),
        decoupled_divergences(student + shift, teacher - 3 * shift, labels, 4.0),
        strict=True,
    ):
        assert (straight > 0).all()
        torch.testing.assert_close(straight, shifted, rtol=1e-11, atol=1e-13)


def test_classical_distillation_is_the_sum_with_the_weight_of_the_rest():
    """KL(p‖q) = KL(b_T‖b_S) + (1 − p_y) KL(p̃_T‖p̃_S), equation 4 of the paper."""
    student, teacher, labels = normal(8, 5), 3 * normal(8, 5, seed=1), torch.arange(8) % 5
    target, others = decoupled_divergences(student, teacher, labels, 2.0)
    p, q = (torch.softmax(each / 2, dim=1) for each in (teacher, student))
    rest = 1 - p[range(8), labels]
    torch.testing.assert_close((p * (p / q).log()).sum(dim=1), target + rest * others)


def test_gradients_by_finite_differences_and_at_ten_thousand():
    student, teacher, labels = normal(5, 4).requires_grad_(), normal(5, 4, seed=1), torch.tensor([0, 1, 2, 3, 0])
    assert torch.autograd.gradcheck(lambda s: decoupled_divergences(s, teacher, labels, 3.0), (student,))
    for dtype in (torch.float32, torch.float64):
        large = (1e4 * student.detach().sign()).to(dtype).requires_grad_()
        parts = decoupled_divergences(large, (-1e4 * teacher.sign()).to(dtype), labels, 1.0)
        assert all(part.isfinite().all() for part in parts)
        sum(part.sum() for part in parts).backward()
        assert large.grad.isfinite().all()


def test_masked_classes():
    """A class that both mask is no class; a teacher that masks all others says nothing of them."""
    student, teacher, labels = normal(4, 4), normal(4, 4, seed=1), torch.tensor([0, 1, 2, 0])
    masked = [each.clone().index_fill(1, torch.tensor([3]), -math.inf) for each in (student, teacher)]
    for with_it, without in zip(
        decoupled_divergences(*masked, labels, 2.0),
        decoupled_divergences(student[:, :3], teacher[:, :3], labels, 2.0),
        strict=True,
    ):
        torch.testing.assert_close(with_it, without)
    alone = torch.full((1, 4), -math.inf).double()
    alone[0, 2] = 1.0
    own = student[:1].clone().requires_grad_()
    target, others = decoupled_divergences(own, alone, torch.tensor([2]), 1.0)
    assert others.item() == 0
    assert target.item() == pytest.approx(-own.log_softmax(dim=1)[0, 2].item())
    (target + others).sum().backward()
    assert own.grad.isfinite().all()


def test_temperature_and_weights():
    student, teacher, labels = outputs(seed=1), outputs(seed=2), labels_of()
    made = make("dkd", weight=0.5, alpha=2.0, beta=3.0, temperature=2.0, warm_up=4)
    loss = made(student, teacher, labels)
    target, others = (each.mean().item() for each in decoupled_divergences(student.logits, teacher.logits, labels, 2.0))
    assert loss.parts["dkd_target"].item() == pytest.approx(4 * target)
    assert loss.parts["dkd_others"].item() == pytest.approx(4 * others)
    ramp = []
    for epoch in range(6):
        made.start_epoch(epoch, 6)
        ramp.append(made.weights())
    assert [each["dkd_target"] for each in ramp] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    assert [each["dkd_others"] for each in ramp] == [0.375, 0.75, 1.125, 1.5, 1.5, 1.5]
    made.start_epoch(1, 6)  # a resumed run hears of its epoch only
    assert made.weights()["dkd_target"] == 0.5
    sudden = make("dkd", warm_up=0)
    sudden.start_epoch(0, 6)
    assert sudden.weights() == {"dkd_target": 1.0, "dkd_others": 8.0}


def test_more_classes_than_two_are_not_needed_by_the_objective():
    two = make("dkd", Net(classes=2), Net(classes=2))
    loss = two(Outputs(normal(4, 2), normal(4, 3)), Outputs(normal(4, 2, seed=1), normal(4, 3)), torch.tensor([0, 1, -100, 1]))
    assert loss.parts["dkd_others"] == 0
    assert loss.parts["dkd_target"] > 0
