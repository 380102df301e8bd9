"""Objectives: what the author's code gets wrong must stay away, and logarithms of small probabilities keep their digits."""

import math

import numpy as np
import pytest
import torch
from objective_formulas import oracle
from objective_problems import CLASSES, CONDITIONAL, MARGINAL, Net, labels_of, make, mapped, outputs

from kd2m_theory.errors import InputError
from kd2m_theory.validation.objectives.ttm import smoothness
from kd2m_theory.validation.training.outputs import Outputs


@pytest.mark.parametrize("name", [*MARGINAL, *CONDITIONAL, "paired-l2"])
def test_moving_the_teacher_moves_the_loss(name):
    """There, joint W₂ compared the student with itself, and a teacher moved by +100 left the loss unchanged."""
    student, teacher, labels = outputs(seed=1), outputs(seed=2), labels_of()
    moved = Outputs(teacher.logits, teacher.features + 100)
    if name == "gromov-w2":  # shapes do not move
        moved = Outputs(teacher.logits, teacher.features * 100)
    options = {"bandwidth": 50.0} if "mmd" in name else {"feature_scale": 2.0} if name == "jw2" else {}
    made, part = make(name, **options).eval(), name.replace("-", "_")
    assert made(student, moved, labels).parts[part] > 100 * made(student, teacher, labels).parts[part]


@pytest.mark.parametrize("name", CONDITIONAL)
def test_conditional_losses_average_over_the_classes_present(name):
    """There, they raised a TypeError, and summed."""
    student, teacher, labels = outputs(6, seed=1), outputs(6, seed=2), torch.tensor([0, 0, 0, 2, 2, 2])
    twice = torch.cat((labels, labels + 10))
    made, part = make(name), name.replace("-", "_")
    doubled = [mapped(batch, lambda t: torch.cat((t, t))) for batch in (student, teacher)]
    if name == "conditional-mmd":  # a fixed bandwidth: two copies have another median distance
        made = make(name, bandwidth=1.3)
    once = made(student, teacher, labels).parts[part]
    made.cross_entropy = 0.0
    torch.testing.assert_close(made.terms(*doubled, twice)[part], once)


@pytest.mark.parametrize("name", CONDITIONAL)
@pytest.mark.parametrize("labels", [[0, 0, 0, 2, 2, 2, 3], [1, 1, 1, 1, 1, 1, 1], [3, 0, 0, 1, 0, 1, 2]])
def test_classes_may_be_absent_or_have_one_image(name, labels):
    labels = torch.tensor(labels)
    student, teacher = outputs(7, seed=1), outputs(7, seed=2)
    for dtype in (torch.float64, torch.float32):
        z = student.features.to(dtype, copy=True).requires_grad_()
        made = make(name).to(dtype)
        loss = made(Outputs(student.logits.to(dtype), z), teacher, labels)
        loss.total.backward()
        expected = oracle(name, {}, student, teacher, labels)
        assert loss.parts[name.replace("-", "_")].item() == pytest.approx(
            expected, rel=1e-7 if dtype == torch.float64 else 1e-3
        )
        assert z.grad.isfinite().all()
        assert (z.grad[labels == labels[-1]] != 0).any()


def test_a_class_of_one_image_alone_costs_its_squared_distance():
    student, teacher, labels = outputs(3, seed=1), outputs(3, seed=2), torch.tensor([0, 1, 2])
    for name in ("cw2", "gaussian-cw2"):
        value = make(name)(student, teacher, labels).parts[name.replace("-", "_")]
        torch.testing.assert_close(value, (student.features - teacher.features).square().sum(dim=1).mean())


def test_kd_averages_over_the_teacher():
    """There, the arguments of the logit KL were swapped."""
    teacher = Outputs(torch.tensor([[math.log(0.999), math.log(0.001)]]), torch.zeros(1, 3))
    student = Outputs(torch.zeros(1, 2), torch.zeros(1, 3))
    value = make("kd", Net(3, 2), Net(3, 2), temperature=1.0)(student, teacher, torch.tensor([0])).parts["kd"].item()
    assert value == pytest.approx(0.999 * math.log(0.999 / 0.5) + 0.001 * math.log(0.001 / 0.5), rel=1e-5)


def test_gaussians_have_correlations_and_no_eps():
    """There, only diagonals were compared, and an eps stood in the divisions."""
    rng = np.random.default_rng(0)
    z = torch.tensor(rng.normal(size=(400, 2)))
    z = (z - z.mean(dim=0)) @ torch.linalg.inv(torch.linalg.cholesky(z.T.cov(correction=0))).T
    turn = torch.tensor([[1.0, 0.9], [0.9, 1.0]], dtype=torch.float64)
    student, teacher = (Outputs(torch.zeros(400, CLASSES).double(), x) for x in (z, z @ torch.linalg.cholesky(turn).T))
    labels = torch.zeros(400, dtype=torch.int64)
    for name in ("gaussian-w2", "gaussian-kl"):
        part = name.replace("-", "_")
        options = {} if name == "gaussian-w2" else {"shrinkage": 0.0}
        full, diagonal = (
            make(name, Net(2), Net(2), covariance=c, **options)(student, teacher, labels).parts[part].item()
            for c in ("full", "diagonal")
        )
        assert full > 0.1
        assert diagonal == pytest.approx(0, abs=1e-9)
    tiny = [Outputs(batch.logits, 1e-9 * batch.features) for batch in (student, teacher)]
    made = make("gaussian-kl", Net(2), Net(2), shrinkage=0.0)
    torch.testing.assert_close(made(*tiny, labels).parts, made(student, teacher, labels).parts, rtol=1e-6, atol=0)


@pytest.mark.parametrize("name", ["gaussian-kl", "symmetric-gaussian-kl", "conditional-gaussian-kl"])
@pytest.mark.parametrize("covariance", ["full", "diagonal"])
def test_dead_units_make_kl_infinite_which_is_said(name, covariance):
    student, teacher, labels = outputs(12, seed=1), outputs(12, seed=2), labels_of(12)
    dead = Outputs(student.logits, student.features * torch.tensor([1.0, 0.0, 1.0]))
    with pytest.raises(InputError, match=r"no finite value on this batch: .*ask for shrinkage > 0"):
        make(name, covariance=covariance, shrinkage=0.0)(dead, teacher, labels)
    z = dead.features.requires_grad_()
    loss = make(name, covariance=covariance)(Outputs(student.logits, z), teacher, labels)
    loss.total.backward()
    assert loss.total.isfinite()
    assert z.grad.isfinite().all()


def test_no_class_with_two_images_is_named():
    with pytest.raises(InputError, match="each of the 3 classes in this batch has one image"):
        make("conditional-gaussian-kl")(outputs(3), outputs(3, seed=1), torch.arange(3))


# Logarithms of small probabilities.


@pytest.mark.parametrize("name", ["kd", "ttm", "wttm"])
@pytest.mark.parametrize("gamma", [0.1, 1.0])
def test_float32_at_logits_of_a_hundred(name, gamma):
    """A power of a float32 softmax underflows here."""
    rng = np.random.default_rng(0)
    student, teacher = (torch.tensor(rng.choice([-100.0, -30.0, 0.0, 100.0], size=(16, 10))) for _ in range(2))
    options = {"temperature": 1 / gamma} if name == "kd" else {"gamma": gamma}
    made = make(name, Net(3, 10), Net(3, 10), **options)
    values, gradients = [], []
    for dtype in (torch.float64, torch.float32):
        logits = student.to(dtype, copy=True).requires_grad_()
        features = torch.zeros(16, 3, dtype=dtype)
        loss = made(Outputs(logits, features), Outputs(teacher.to(dtype), features), torch.arange(16) % 10)
        loss.total.backward()
        values.append(loss.total.detach().double())
        gradients.append(logits.grad.double())
    torch.testing.assert_close(values[1], values[0], rtol=1e-5, atol=0)
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-5, atol=1e-5 * gradients[0].abs().max().item())


@pytest.mark.parametrize("temperature", [1.5, 4.0, 10.0])
def test_ttm_is_kd_with_a_renyi_regulariser(temperature):
    """β = λT/(1 − λ): L_TTM − L_KD/(1 − λ) has the gradient of −λT(T − 1)/(1 − λ)·H_{1/T}(q)."""
    weight = 0.7
    student, teacher, labels = outputs(20, seed=3), outputs(20, seed=4), labels_of(20)
    logits = (3 * student.logits).requires_grad_()
    student = Outputs(logits, student.features)
    kd = make("kd", weight=weight, temperature=temperature)(student, teacher, labels).total
    ttm = make("ttm", weight=weight * temperature / (1 - weight), gamma=1 / temperature)(student, teacher, labels).total
    q = torch.exp(logits - logits.exp().sum(dim=1, keepdim=True).log())
    order = 1 / temperature
    renyi = ((q**order).sum(dim=1).log() / (1 - order)).mean()
    difference, regulariser = (
        torch.autograd.grad(value, logits, retain_graph=True)[0]
        for value in (ttm - kd / (1 - weight), -weight * temperature * (temperature - 1) / (1 - weight) * renyi)
    )
    torch.testing.assert_close(difference, regulariser, rtol=1e-10, atol=1e-12)
    assert difference.abs().max() > 1e-2


@pytest.mark.parametrize("gamma", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_weights_of_wttm_lie_between_one_and_their_bound(gamma, dtype):
    rng = np.random.default_rng(0)
    logits = torch.tensor(np.vstack([scale * rng.normal(size=(50, 7)) for scale in (0.0, 0.1, 1.0, 10.0, 100.0)]), dtype=dtype)
    weights = smoothness(logits, gamma)
    slack = 1 + 100 * torch.finfo(dtype).eps
    assert weights.min() >= 1 / slack
    assert weights.max() <= 7 ** (1 - gamma) * slack
    torch.testing.assert_close(weights[0].item(), 7 ** (1 - gamma), rtol=1e-5, atol=0)
