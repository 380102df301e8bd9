"""The reconstruction of UniKD: its closed forms, and an ablation on a real pair in which each part acts."""

import copy
import math

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.distributions import Normal, kl_divergence
from torch.nn import functional

from kd2m_theory.errors import InputError
from kd2m_theory.validation.objectives.gaussian_head import GaussianHead, diagonal_divergence
from kd2m_theory.validation.objectives.registry import objective
from kd2m_theory.validation.objectives.stage_fusion import StageFusion
from kd2m_theory.validation.objectives.unikd import anchor_divergence
from kd2m_theory.validation.training.outputs import Outputs

NAME = "unikd-reconstruction"


def normal(*shape, seed=0):
    return torch.tensor(np.random.default_rng(seed).normal(size=shape))


def test_divergence_of_predicted_gaussians_is_torchs():
    mean_x, log_x, mean_y, log_y = (normal(6, 5, seed=seed) for seed in range(4))
    first, second = (Normal(mean, (log / 2).exp()) for mean, log in ((mean_x, log_x), (mean_y, log_y)))
    torch.testing.assert_close(diagonal_divergence(mean_x, log_x, mean_y, log_y), kl_divergence(first, second).sum(dim=1))
    assert torch.equal(diagonal_divergence(mean_x, log_x, mean_x, log_x), torch.zeros(6).double())


def test_variances_stay_where_every_divergence_is_finite():
    head = GaussianHead(3, 4)
    for size in (1e30, -1e30):
        mean, log_variance = head(torch.full((2, 3), size))
        assert log_variance.abs().max() <= 8
        assert mean.shape == log_variance.shape == (2, 4)
        assert diagonal_divergence(torch.zeros(2, 4), log_variance, torch.zeros(2, 4), -log_variance).isfinite().all()
    assert torch.equal(GaussianHead(3, 4, predict_variance=False)(torch.ones(2, 3))[1], torch.zeros(2, 4))


def test_anchor_bounds_the_expected_divergence_and_is_sharp_without_variance():
    mean, log_variance, logits = normal(4, 3, seed=0), normal(4, 3, seed=1), 2 * normal(4, 3, seed=2)
    p = logits.softmax(dim=1)
    # E KL over N(μ, σ²) by Gauss–Hermite quadrature in three dimensions.
    nodes, weights = (torch.from_numpy(array) for array in np.polynomial.hermite_e.hermegauss(20))
    grid, mass = torch.cartesian_prod(nodes, nodes, nodes), torch.cartesian_prod(weights, weights, weights).prod(dim=1)
    drawn = mean[:, None] + (log_variance / 2).exp()[:, None] * grid
    divergence = (p[:, None] * (p.log()[:, None] - drawn.log_softmax(dim=2))).sum(dim=2)
    expected = (divergence * mass).sum(dim=1) / mass.sum()
    bound = anchor_divergence(mean, log_variance, logits)
    assert (bound >= expected - 1e-9).all()
    assert (bound <= 2 * expected + 0.5).all()
    to_the_mean = (p * (p.log() - mean.log_softmax(dim=1))).sum(dim=1)
    torch.testing.assert_close(anchor_divergence(mean, torch.full((4, 3), -40.0).double(), logits), to_the_mean)
    # Blown-up variances, the second way to say nothing, cost.
    assert (anchor_divergence(mean, log_variance + 3, logits) > bound + 1).all()


def test_anchor_teaches_the_head_and_not_the_logits():
    mean, log_variance, logits = (normal(4, 3, seed=seed).requires_grad_() for seed in range(3))
    anchor_divergence(mean, log_variance, logits).sum().backward()
    assert logits.grad is None
    assert torch.autograd.gradcheck(lambda m, v: anchor_divergence(m, v, logits), (mean, log_variance))


def test_anchor_in_float32_at_logits_of_a_hundred():
    logits = 100 * normal(8, 10).sign()
    mean, log_variance = 100 * normal(8, 10, seed=1).sign(), normal(8, 10, seed=2)
    fine = anchor_divergence(mean, log_variance, logits)
    coarse = anchor_divergence(mean.float(), log_variance.float(), logits.float())
    torch.testing.assert_close(coarse.double(), fine, rtol=1e-5, atol=1e-4)


def test_fusion_averages_stage_and_deeper_map_pixel_by_pixel():
    torch.manual_seed(0)
    fusion = StageFusion((2, 3, 5), 4).double()
    stages = (normal(6, 2, 8, 8), normal(6, 3, 4, 4), normal(6, 5, 2, 2))
    fused, gates = fusion.fused_map(stages)
    assert fusion(stages).shape == (6, 4)
    assert [gate.shape for gate in gates] == [(6, 2, 4, 4), (6, 2, 8, 8)]
    assert all((gate > 0).all() for gate in gates)
    expected = functional.relu(fusion.lateral[2](stages[2]))
    for index, gate in zip((1, 0), gates, strict=True):
        torch.testing.assert_close(gate.sum(dim=1), torch.ones_like(gate[:, 0]))
        own = functional.relu(fusion.lateral[index](stages[index]))
        expected = expected.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
        expected = gate[:, :1] * own + gate[:, 1:] * expected
    torch.testing.assert_close(fused, expected)


def test_fusion_takes_odd_sizes_and_one_stage():
    torch.manual_seed(0)
    assert StageFusion((2, 3), 4)((torch.ones(1, 2, 7, 5), torch.ones(1, 3, 4, 3))).shape == (1, 4)
    assert StageFusion((2,), 4)((torch.ones(1, 2, 7, 5),)).shape == (1, 4)
    with pytest.raises(InputError, match="returns 1 feature maps, the fusion was made for 2"):
        StageFusion((2, 3), 4)((torch.ones(1, 2, 7, 5),))
    with pytest.raises(InputError, match="the student has none; set fusion = false"):
        StageFusion((), 4)


class Net(nn.Module):
    """Three convolutions; features are the last map's mean."""

    def __init__(self, widths, seed):
        super().__init__()
        torch.manual_seed(seed)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Conv2d(inputs, width, 3, 1 if inputs == 1 else 2, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
            for inputs, width in zip((1, *widths), widths, strict=False)
        )
        self.fc = nn.Linear(widths[-1], 10)
        self.feature_size, self.stage_channels = widths[-1], widths

    def forward(self, images):
        stages = []
        for block in self.blocks:
            images = block(images)
            stages.append(images)
        features = images.mean(dim=(2, 3))
        return Outputs(self.fc(features), features, tuple(stages))


@pytest.fixture(scope="module")
def digits():
    pixels, labels = load_digits(return_X_y=True)
    images = torch.tensor(pixels, dtype=torch.float32).reshape(-1, 1, 8, 8) / 16
    return images, torch.tensor(labels)


def fit(model, made, teacher, digits, epochs):
    images, labels = digits
    optimiser = torch.optim.Adam([*model.parameters(), *made.parameters()], lr=5e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, 7 * epochs)
    order = torch.Generator().manual_seed(0)
    for epoch in range(epochs):
        made.start_epoch(epoch, epochs)
        for batch in torch.randperm(900, generator=order).split(128)[:7]:
            optimiser.zero_grad()
            with torch.no_grad():
                target = None if teacher is None else teacher(images[batch])
            made(model(images[batch]), target, labels[batch]).total.backward()
            optimiser.step()
            schedule.step()
    return model.eval()


@pytest.fixture(scope="module")
def trained_teacher(digits):
    teacher = Net((16, 32, 64), 0)
    return fit(teacher, objective("none", teacher, None), None, digits, 15).requires_grad_(False)


@pytest.fixture(scope="module")
def pairs(digits, trained_teacher):
    """Student, objective and what both heads say of images not trained on, for the whole objective and without each part."""
    results = {}
    switches = {"whole": {}, "fusion": {"fusion": False}, "variance": {"predict_variance": False}, "anchor": {"anchor": False}}
    for name, options in switches.items():
        student = Net((4, 8, 16), 1)
        made = objective(NAME, student, trained_teacher, init_seed=1, width=16, **options)
        start = copy.deepcopy(made)
        fit(student, made, trained_teacher, digits, 15)
        with torch.no_grad():
            seen, target = student(digits[0][900:]), trained_teacher(digits[0][900:])
            vectors = seen.features if made.fusion is None else made.fusion(seen.stages)
            results[name] = (made, start, seen, made.student_head(vectors), made.teacher_head(target.features), target)
    return results


def accuracy(scores, digits):
    return (scores.argmax(dim=1) == digits[1][900:]).float().mean().item()


def spread(mean):
    return mean.std(dim=0).mean().item()


@pytest.mark.long
def test_the_pair_is_real(pairs, digits):
    _, _, student, _, _, teacher = pairs["whole"]
    assert accuracy(teacher.logits, digits) > 0.9
    assert accuracy(student.logits, digits) > 0.7


@pytest.mark.long
def test_the_teacher_head_does_not_collapse(pairs, digits):
    for name in ("whole", "fusion", "variance"):
        _, _, _, (mean_student, _), (mean_teacher, log_variance), _ = pairs[name]
        assert accuracy(mean_teacher, digits) > 0.7
        assert accuracy(mean_student, digits) > 0.5
        assert spread(mean_teacher) > 0.35
        assert -3 < log_variance.mean() < 1.5


@pytest.mark.long
def test_without_the_anchor_it_does(pairs, digits):
    _, _, _, (mean_student, _), (mean_teacher, _), _ = pairs["anchor"]
    assert accuracy(mean_teacher, digits) < 0.4
    assert accuracy(mean_student, digits) < 0.4
    assert spread(mean_teacher) < 0.2 * spread(pairs["whole"][4][0])


@pytest.mark.long
def test_predicted_variance_acts(pairs):
    """It differs between images and is larger where the teacher is unsure."""
    _, _, _, _, (_, log_variance), teacher = pairs["whole"]
    p = teacher.logits.softmax(dim=1)
    entropy = -(p * p.clamp(min=1e-30).log()).sum(dim=1)
    assert log_variance.std(dim=0).mean() > 0.1
    assert torch.corrcoef(torch.stack((entropy, log_variance.mean(dim=1))))[0, 1] > 0.1
    assert torch.equal(pairs["variance"][4][1], torch.zeros_like(log_variance))
    assert not torch.allclose(pairs["variance"][2].logits, pairs["whole"][2].logits, atol=0.01)


@pytest.mark.long
def test_fusion_acts(pairs):
    """Its gates move, and the student comes out different."""
    made, start, student, _, _, _ = pairs["whole"]
    with torch.no_grad():
        before, after = (each.fusion.fused_map(student.stages)[1] for each in (start, made))
    for first, second in zip(before, after, strict=True):
        assert (first - second).abs().mean() > 0.1
    assert not torch.allclose(pairs["fusion"][2].logits, student.logits, atol=0.01)


@pytest.mark.long
def test_the_distribution_term_reaches_shallow_stages_through_the_fusion_only(trained_teacher, digits):
    images, labels = (part[:20] for part in digits)
    for fusion in (True, False):
        student = Net((4, 8, 16), 1)
        made = objective(
            NAME, student, trained_teacher, init_seed=1, fusion=fusion, logit_weight=0.0, anchor_weight=0.0, cross_entropy=0.0
        )
        seen = student(images)
        apart = tuple(stage.detach().requires_grad_() for stage in seen.stages)
        made(Outputs(seen.logits, seen.features, apart), trained_teacher(images), labels).total.backward()
        assert all((stage.grad is not None and bool(stage.grad.any())) is fusion for stage in apart)


def test_a_head_reads_a_shallow_stage_that_the_features_forgot():
    """The label is planted in the shallow map alone: only with fusion can the student's head find it."""
    labels = torch.arange(60) % 3
    shallow = functional.one_hot(labels, 3).float()[:, :, None, None].expand(60, 3, 4, 4)
    student = Outputs(8 * functional.one_hot(labels, 3).float(), torch.ones(60, 5), (shallow, torch.ones(60, 5, 2, 2)))
    teacher = Outputs(student.logits, shallow[:, :, 0, 0])
    nets = [nn.Module() for _ in range(2)]
    for net, size in zip(nets, (5, 3), strict=True):
        net.fc, net.feature_size, net.stage_channels = nn.Linear(size, 3), size, (3, 5)
    found = []
    for fusion in (True, False):
        made = objective(NAME, *nets, init_seed=0, fusion=fusion, width=8)
        optimiser = torch.optim.Adam(made.parameters(), lr=0.03)
        for _ in range(80):
            optimiser.zero_grad()
            made(student, teacher, labels).total.backward()
            optimiser.step()
        vectors = made.fusion(student.stages) if fusion else student.features
        found.append((made.student_head(vectors)[0].argmax(dim=1) == labels).float().mean().item())
    assert found[0] == 1.0
    assert found[1] == pytest.approx(1 / 3)


@pytest.mark.long
def test_only_the_teachers_head_learns_from_the_teachers_side(trained_teacher, digits):
    teacher = copy.deepcopy(trained_teacher).requires_grad_(True)
    student = Net((4, 8, 16), 1)
    made = objective(NAME, student, teacher, init_seed=1)
    made(student(digits[0][:20]), teacher(digits[0][:20]), digits[1][:20]).total.backward()
    assert all(parameter.grad is None for parameter in teacher.parameters())
    assert all(parameter.grad.any() for parameter in made.teacher_head.parameters())
    assert {name.split(".")[0] for name in made.state_dict()} == {"fusion", "student_head", "teacher_head"}


def test_the_distribution_term_warms_up_linearly():
    made = objective(NAME, Net((4, 8), 0), Net((4, 8), 0), weight=2.0, warm_up=4, anchor_weight=0.5)
    ramp = []
    for epoch in range(6):
        made.start_epoch(epoch, 6)
        ramp.append(made.weights()["distribution"])
        assert made.weights()["anchor"] == 0.5
    assert ramp == [0.5, 1.0, 1.5, 2.0, 2.0, 2.0]
    made.start_epoch(1, 6)  # a resumed run hears of its epoch only
    assert made.weights()["distribution"] == 1.0
    sudden = objective(NAME, Net((4, 8), 0), Net((4, 8), 0), warm_up=0)
    sudden.start_epoch(0, 6)
    assert sudden.weights()["distribution"] == 1.0
    assert math.isclose(sum(sudden.weights().values()), 3.0)


def test_a_student_without_stages_is_told_what_to_do():
    student = Net((4, 8), 0)
    student.stage_channels = ()
    with pytest.raises(InputError, match="set fusion = false"):
        objective(NAME, student, Net((4, 8), 0))
    assert not objective(NAME, student, Net((4, 8), 0), fusion=False).needs_stages
