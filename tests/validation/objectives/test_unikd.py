"""UniKD: the numbers of its author's code, its closed forms, and what each part does."""

import math

import numpy as np
import pytest
import torch
from objective_problems import make, outputs
from torch.distributions import Normal, kl_divergence
from torch.nn import functional

from kd2m_theory.errors import InputError
from kd2m_theory.validation.objectives.gaussian_head import GaussianHead, diagonal_divergence, sampled
from kd2m_theory.validation.objectives.objective import Sizes
from kd2m_theory.validation.objectives.registry import objective
from kd2m_theory.validation.objectives.stage_fusion import StageFusion
from kd2m_theory.validation.objectives.unikd import UniKD
from kd2m_theory.validation.training.networks import network
from kd2m_theory.validation.training.outputs import Outputs
from kd2m_theory.validation.training.teacher_outputs import TeacherOutputs


def normal(*shape, seed=0):
    return torch.tensor(np.random.default_rng(seed).normal(size=shape))


def wave(shape, k):
    """Numbers that anybody can make again."""
    i = torch.arange(math.prod(shape), dtype=torch.float64)
    return (torch.sin(1.7 * i + k) + 0.3 * torch.cos(0.41 * i * (k + 1))).reshape(shape)


# Made with github.com/FabienCode/mdistiller at commit 515d2c5: ABF and featPro of mdistiller/distillers/UniLogits.py, kd_loss of
# the same file and dkd_loss of mdistiller/engine/kd_loss.py, put together as UniLogitsKD.forward_train does, in float64 with
# torch 2.13.0, on the inputs, parameters and noise that `reference_problem` makes. (UniLogitsKD itself cannot be made at that
# commit: it calls featPro with an argument too many.) For each term its value, and for each input and parameter on which it
# depends the norm of the gradient g and Σ g_i cos i.
REFERENCE = {
    "dkd_target": (
        0.693333560589,
        {
            "logits": (0.352438737515, -0.262126956472),
        },
    ),
    "dkd_others": (
        1.67693806275,
        {
            "logits": (0.661113631897, -0.0409151598461),
        },
    ),
    "constraint": (
        0.230704842111,
        {
            "stage.0": (0.00892579297038, 0.000126786822838),
            "stage.1": (0.00298954895945, 0.00211242184351),
            "features": (0.00713046940781, -0.00335973315532),
            "lateral.2": (0.00534910321139, -0.00654954794287),
            "lateral.1": (0.00823605157814, -0.0162323760403),
            "gate.1.weight": (0.00054412910974, -5.67448876859e-05),
            "gate.1.bias": (0.000100110629683, 4.09337010885e-05),
            "lateral.0": (0.0121094725897, -0.0102879223042),
            "gate.0.weight": (0.00119560461534, 0.00104954050873),
            "gate.0.bias": (0.002085092463, -0.0020912863637),
            "last": (0.0257422947203, -0.00471081906384),
            "student.mean.weight": (0.0297636348439, 0.00472012744586),
            "student.mean.bias": (0.212843842438, -0.304833902392),
            "student.log_variance.weight": (0.0122729707855, 0.0109102910271),
            "student.log_variance.bias": (0.0963289585729, -0.00831017400002),
            "teacher.mean.weight": (0.0139187609861, -0.0176218404943),
            "teacher.mean.bias": (0.254545922643, 0.373647195719),
            "teacher.log_variance.weight": (0.00455179460363, -0.00105622709313),
            "teacher.log_variance.bias": (0.0701710195095, -0.0302507287017),
        },
    ),
    "supplement": (
        2.65238204924,
        {
            "stage.0": (0.0180807546077, 1.6103413651e-05),
            "stage.1": (0.00586042584663, 0.00587816606742),
            "features": (0.0133771343303, -0.0133441774323),
            "logits": (0.36669742549, 0.120649975582),
            "lateral.2": (0.0168795181717, -0.0106872350891),
            "lateral.1": (0.00498252846323, -0.00900477555098),
            "gate.1.weight": (0.00143506133532, 0.000294175335794),
            "gate.1.bias": (0.00170489773406, 0.00117761832),
            "lateral.0": (0.0345713212264, 0.000566459245729),
            "gate.0.weight": (0.00315036580016, 0.00147031673049),
            "gate.0.bias": (0.00755938369027, -0.0064629177245),
            "last": (0.0665205486906, 0.00289722000544),
            "student.mean.weight": (0.108752320622, 0.101559700094),
            "student.mean.bias": (0.691612815154, -0.842984720929),
            "student.log_variance.weight": (0.0413925290477, -0.000800215838892),
            "student.log_variance.bias": (0.271771286321, -0.0039062984102),
            "teacher.mean.weight": (0.0187910056468, 0.0124757674014),
            "teacher.mean.bias": (0.745046603813, -0.909701672271),
            "teacher.log_variance.weight": (0.0102917346779, 0.00664126305921),
            "teacher.log_variance.bias": (0.228233698087, 0.0688770419293),
        },
    ),
}


def reference_problem():
    """The terms, and the inputs and parameters by their names in `REFERENCE`."""
    channels, sides, features, classes, shallow = (2, 3), (4, 2), 3, 4, 2
    sizes = Sizes(
        classes=classes,
        teacher_classes=classes,
        features=features,
        teacher_features=5,
        stage_channels=channels,
        teacher_preactivation=shallow,
    )
    made = UniKD(sizes).double()
    made._noise = lambda *_: wave((3, 2, classes), 9)
    fusion, names = made.fusion, {}
    for level in (2, 1, 0):  # deep to shallow, as the author's code holds them
        names[f"lateral.{level}"] = fusion.lateral[level].weight
        if level < 2:
            names |= {f"gate.{level}.weight": fusion.gates[level].weight, f"gate.{level}.bias": fusion.gates[level].bias}
    names["last"] = fusion.last.weight
    for who, head in (("student", made.student_head), ("teacher", made.teacher_head)):
        for what, layer in (("mean", head.mean), ("log_variance", head.log_variance)):
            names |= {f"{who}.{what}.weight": layer.weight, f"{who}.{what}.bias": layer.bias}
    assert {*map(id, names.values())} == {*map(id, made.parameters())}
    with torch.no_grad():
        for k, parameter in enumerate(names.values()):
            parameter.copy_(0.5 * wave(tuple(parameter.shape), 20 + k))
    stages = tuple(
        wave((3, c, side, side), 1 + j).relu().requires_grad_() for j, (c, side) in enumerate(zip(channels, sides, strict=True))
    )
    of_student = wave((3, features), 5).relu().requires_grad_()
    logits = (2 * wave((3, classes), 6)).requires_grad_()
    student = Outputs(logits, of_student, stages)
    teacher = Outputs(3 * wave((3, classes), 7), torch.zeros(3, 5), (), wave((3, shallow, 4, 4), 8))
    terms = made.terms(student, teacher, torch.tensor([0, 2, 3]))
    return terms, {"stage.0": stages[0], "stage.1": stages[1], "features": of_student, "logits": logits} | names


@pytest.mark.parametrize("term", REFERENCE)
def test_terms_and_gradients_are_those_of_the_authors_code(term):
    terms, ends = reference_problem()
    assert terms.keys() == REFERENCE.keys()
    value, gradients = REFERENCE[term]
    assert terms[term].item() == pytest.approx(value, rel=1e-11)
    found = torch.autograd.grad(terms[term], list(ends.values()), allow_unused=True)
    reached = {name: g.flatten() for name, g in zip(ends, found, strict=True) if g is not None and g.any()}
    assert reached.keys() == gradients.keys()
    for name, g in reached.items():
        told = (g.norm().item(), (g * torch.arange(len(g)).double().cos()).sum().item())
        assert told == pytest.approx(gradients[name], rel=1e-10, abs=1e-14), name


def test_divergence_of_predicted_gaussians_is_torchs():
    mean_x, log_x, mean_y, log_y = (normal(6, 5, seed=seed) for seed in range(4))
    first, second = (Normal(mean, (log / 2).exp()) for mean, log in ((mean_x, log_x), (mean_y, log_y)))
    torch.testing.assert_close(diagonal_divergence(mean_x, log_x, mean_y, log_y), kl_divergence(first, second).sum(dim=1))
    assert torch.equal(diagonal_divergence(mean_x, log_x, mean_x, log_x), torch.zeros(6).double())


def test_a_sample_has_the_predicted_mean_and_variance():
    mean, log_variance = torch.tensor([1.0, -2.0]).double(), torch.tensor([0.0, math.log(9)]).double()
    drawn = sampled(normal(200_000, 2), mean, log_variance)
    torch.testing.assert_close(drawn.mean(dim=0), mean, rtol=0, atol=0.03)
    torch.testing.assert_close(drawn.std(dim=0), torch.tensor([1.0, 3.0]).double(), rtol=0.01, atol=0)
    head = GaussianHead(3, 2, predict_variance=False).double()
    said = head(normal(5, 3))
    assert said[1] is None
    assert torch.equal(sampled(normal(5, 2), *said), said[0])


def test_fusion_gates_each_level_pixel_by_pixel():
    torch.manual_seed(0)
    fusion = StageFusion((2, 3), 5, 4).double()
    stages, features = (normal(6, 2, 8, 8), normal(6, 3, 4, 4)), normal(6, 5)
    fused, gates = fusion.fused_map(stages, features)
    assert fusion.outputs == 2
    assert fusion(stages, features).shape == (6, 2)
    assert [gate.shape for gate in gates] == [(6, 2, 4, 4), (6, 2, 8, 8)]
    running = functional.relu(torch.einsum("oi,ni->no", fusion.lateral[2].weight[:, :, 0, 0], features))
    running = running[:, :, None, None].expand(-1, -1, 4, 4)
    for level, side, found in ((1, 4, gates[0]), (0, 8, gates[1])):
        if side == 8:
            running = running.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
        own = functional.relu(torch.einsum("oi,nihw->nohw", fusion.lateral[level].weight[:, :, 0, 0], stages[level]))
        weight, bias = fusion.gates[level].weight[:, :, 0, 0], fusion.gates[level].bias
        scores = torch.einsum("oi,nihw->nohw", weight, torch.cat((own, running), dim=1)) + bias[:, None, None]
        gate = 1 / (1 + (-scores).exp())
        torch.testing.assert_close(found, gate)
        running = gate[:, :1] * own + gate[:, 1:] * running
    torch.testing.assert_close(fused, functional.relu(functional.conv2d(running, fusion.last.weight, padding=1)))
    assert (gates[0].sum(dim=1) - 1).abs().max() > 0.01, "gates need not sum to one"


def test_the_common_width_and_the_initial_weights():
    torch.manual_seed(0)
    assert StageFusion((8,), 600).lateral[0].weight.shape == (512, 8, 1, 1)
    assert StageFusion((8,), 300).last.weight.shape == (8, 300, 3, 3)
    fusion = StageFusion((64,), 128)
    for convolution, inputs in ((fusion.lateral[0], 64), (fusion.lateral[1], 128), (fusion.last, 128 * 9)):
        assert convolution.bias is None
        bound = math.sqrt(3 / inputs)  # Kaiming, uniform: gain 1 for a = 1
        assert 0.95 * bound < convolution.weight.abs().max() <= bound


@pytest.mark.parametrize("name", ["resnet8", "wrn-10-1", "mlp-7-5", "cnn-4-8", "digits-teacher", "digits-student"])
def test_gates_for_every_family_of_networks(name):
    """Perceptrons have no maps: their only level is the features, and there is nothing to gate."""
    student = network(name, 3, (1, 9, 13), seed=0)
    made = objective("unikd", student, network("resnet8", 3, (1, 9, 13), seed=1), init_seed=0)
    seen = student(torch.randn(4, 1, 9, 13, generator=torch.Generator().manual_seed(0)))
    fused, gates = made.fusion.fused_map(seen.stages, seen.features)
    assert [gate.shape[2:] for gate in gates] == [stage.shape[2:] for stage in reversed(seen.stages)]
    assert all(gate.shape[:2] == (4, 2) and (gate > 0).all() and (gate < 1).all() for gate in gates)
    shallow = seen.stages[0] if seen.stages else seen.features[:, :, None, None]
    assert fused.shape == shallow.shape


def test_every_family_of_networks_teaches_from_its_first_stage():
    student = network("mlp-7", 3, (1, 9, 13), seed=0)
    images, labels = torch.randn(4, 1, 9, 13, generator=torch.Generator().manual_seed(0)), torch.arange(4) % 3
    for name in ("resnet8", "wrn-10-1", "mlp-7-5", "cnn-4-8", "digits-teacher", "digits-student"):
        teacher = network(name, 3, (1, 9, 13), seed=1)
        made = objective("unikd", student, teacher, init_seed=0)
        assert made.teacher_head.mean.in_features == teacher.preactivation_channels
        assert made(student(images), teacher(images), labels).total.isfinite()


def test_fusion_refuses_what_it_was_not_made_for():
    with pytest.raises(InputError, match="returns 1 feature maps, the fusion was made for 2"):
        StageFusion((2, 3), 4)((torch.ones(1, 2, 7, 5),), torch.ones(1, 4))


def test_a_teacher_without_the_map_is_told_what_to_do():
    student, teacher = network("cnn-4", 3, (1, 4, 4), seed=0), network("cnn-4", 3, (1, 4, 4), seed=1)
    made = objective("unikd", student, teacher, init_seed=0)
    teacher.preactivation_channels = 0
    with pytest.raises(InputError, match='set teacher_map = "features"'):
        objective("unikd", student, teacher)
    of_features = objective("unikd", student, teacher, init_seed=0, teacher_map="features")
    seen = student(torch.zeros(2, 1, 4, 4))
    assert of_features(seen, Outputs(seen.logits, seen.features), torch.tensor([0, 1])).total.isfinite()
    with pytest.raises(InputError, match="does not return its first stage"):
        made(seen, Outputs(seen.logits, seen.features), torch.tensor([0, 1]))


@pytest.mark.parametrize("options", [{}, {"closed_form": True}, {"predict_variance": False}, {"fusion": False}])
def test_gradients_of_parameters_by_finite_differences(options):
    student, teacher, labels = outputs(4, seed=1), outputs(4, seed=2), torch.arange(4) % 3
    made = make("unikd", width=3, **options).eval()
    names, values = zip(*made.named_parameters(), strict=True)

    def total(*changed):
        parts = torch.func.functional_call(made, dict(zip(names, changed, strict=True)), (student, teacher, labels))
        return parts.total

    assert torch.autograd.gradcheck(total, values, fast_mode=True)


def test_switches():
    student, teacher, labels = outputs(seed=1), outputs(seed=2), torch.arange(9) % 3
    plain = make("unikd", fusion=False, predict_variance=False, supplement=False)
    parts = plain(student, teacher, labels).parts
    assert parts.keys() == {"cross_entropy", "dkd_target", "dkd_others", "constraint"}
    mean_s = plain.student_head.mean(student.features)
    mean_t = plain.teacher_head.mean(teacher.preactivation.mean(dim=(2, 3)))
    p, q = mean_t.softmax(dim=1), mean_s.softmax(dim=1)
    torch.testing.assert_close(parts["constraint"], (p * (p / q).log()).sum(dim=1).mean().detach())
    closed = make("unikd", fusion=False, predict_variance=False, closed_form=True)
    torch.testing.assert_close(
        closed(student, teacher, labels).parts["constraint"], (mean_t - mean_s).square().sum(dim=1).mean().detach() / 2
    )
    whole = make("unikd", fusion=False, closed_form=True)
    (mean_s, log_s), (mean_t, log_t) = (
        whole.student_head(student.features),
        whole.teacher_head(teacher.preactivation.mean(dim=(2, 3))),
    )
    expected = kl_divergence(Normal(mean_t, (log_t / 2).exp()), Normal(mean_s, (log_s / 2).exp())).sum(dim=1).mean()
    found = whole(student, teacher, labels)
    torch.testing.assert_close(found.parts["constraint"], expected.detach())
    assert not whole.needs_stages
    sampled_too = make("unikd", fusion=False)(student, teacher, labels)
    assert found.parts["supplement"] == sampled_too.parts["supplement"]
    assert found.parts["constraint"] != sampled_too.parts["constraint"]


def test_temperature_of_the_constraint():
    student, teacher, labels = outputs(seed=1), outputs(seed=2), torch.arange(9) % 3
    made = make("unikd", fusion=False, predict_variance=False, constraint_temperature=3.0)
    z_s, z_t = made.student_head.mean(student.features), made.teacher_head.mean(teacher.preactivation.mean(dim=(2, 3)))

    def divergence(p, q):
        p, q = (p / 3).softmax(dim=1), (q / 3).softmax(dim=1)
        return 9 * (p * (p / q).log()).sum(dim=1).mean()

    parts = made(student, teacher, labels).parts
    torch.testing.assert_close(parts["constraint"], divergence(z_t, z_s).detach())
    supplement = divergence(student.logits, z_s) + divergence(teacher.logits, z_t)
    torch.testing.assert_close(parts["supplement"], supplement.detach())


def test_weights_and_the_warm_up_of_the_logit_term_alone():
    made = make("unikd", weight=2.0, logit_weight=0.5, alpha=4.0, beta=6.0, warm_up=4, supplement_weight=3.0)
    weights = []
    for epoch in range(5):
        made.start_epoch(epoch, 5)
        weights.append(made.weights())
    assert [each["dkd_target"] for each in weights] == [0.5, 1.0, 1.5, 2.0, 2.0]
    assert [each["dkd_others"] for each in weights] == [0.75, 1.5, 2.25, 3.0, 3.0]
    assert {(each["constraint"], each["supplement"]) for each in weights} == {(2.0, 3.0)}
    made = make("unikd")
    assert made.cross_entropy == 1
    assert made.weights() == {"dkd_target": 1, "dkd_others": 8, "constraint": 1, "supplement": 1}
    made.start_epoch(0, 240)
    assert made.weights()["dkd_target"] == 1 / 20


def test_the_supplement_reaches_the_logits_of_the_student():
    student, teacher, labels = outputs(seed=1), outputs(seed=2), torch.arange(9) % 3
    made = make("unikd", weight=0.0, logit_weight=0.0, cross_entropy=0.0)
    logits, taught = student.logits.clone().requires_grad_(), teacher.logits.clone().requires_grad_()
    made(
        Outputs(logits, student.features, student.stages), Outputs(taught, teacher.features, (), teacher.preactivation), labels
    ).total.backward()
    assert logits.grad.any()
    assert taught.grad is None


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_logits_of_ten_thousand(dtype):
    student, teacher = (
        Outputs(1e4 * batch.logits.sign(), batch.features, batch.stages, batch.preactivation)
        for batch in (outputs(seed=1), outputs(seed=2))
    )
    made = make("unikd").to(dtype)
    cast = [
        Outputs(*(t.to(dtype) for t in (b.logits, b.features)), tuple(s.to(dtype) for s in b.stages), b.preactivation.to(dtype))
        for b in (student, teacher)
    ]
    cast[0].logits.requires_grad_()
    loss = made(*cast, torch.arange(9) % 3)
    assert all(part.isfinite() for part in loss.parts.values())
    loss.total.backward()
    assert cast[0].logits.grad.isfinite().all()
    assert all(parameter.grad.isfinite().all() for parameter in made.parameters())


def test_the_constraint_reaches_shallow_stages_through_the_fusion_only():
    student, teacher, labels = outputs(seed=1), outputs(seed=2), torch.arange(9) % 3
    for fusion in (True, False):
        made = make("unikd", fusion=fusion, logit_weight=0.0, supplement_weight=0.0, cross_entropy=0.0)
        apart = tuple(stage.clone().requires_grad_() for stage in student.stages)
        features = student.features.clone().requires_grad_()
        made(Outputs(student.logits, features, apart), teacher, labels).total.backward()
        assert features.grad.any()
        assert all((stage.grad is not None and bool(stage.grad.any())) is fusion for stage in apart)


def test_only_the_teachers_head_learns_from_the_teachers_side():
    teacher, student = network("cnn-4-8", 3, (1, 4, 4), seed=0), network("cnn-4", 3, (1, 4, 4), seed=1)
    made = objective("unikd", student, teacher, init_seed=1)
    images = torch.randn(6, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    made(student(images), teacher(images), torch.arange(6) % 3).total.backward()
    assert all(parameter.grad is None for parameter in teacher.parameters())
    assert all(parameter.grad.any() for parameter in made.teacher_head.parameters())
    assert {name.split(".")[0] for name in made.state_dict()} == {"fusion", "student_head", "teacher_head", "_extra_state"}


def test_a_head_reads_a_shallow_stage_that_the_features_forgot():
    """The label is planted in the shallow map alone: only with fusion can the student's head find it."""
    labels = torch.arange(60) % 3
    shallow = functional.one_hot(labels, 3).float()[:, :, None, None].expand(60, 3, 4, 4)
    student = Outputs(8 * functional.one_hot(labels, 3).float(), torch.ones(60, 5), (shallow, torch.ones(60, 5, 2, 2)))
    teacher = Outputs(student.logits, shallow[:, :, 0, 0], (), shallow)
    sizes = Sizes(classes=3, teacher_classes=3, features=5, teacher_features=3, stage_channels=(3, 5), teacher_preactivation=3)
    found = []
    for fusion in (True, False):
        torch.manual_seed(0)
        made = UniKD(sizes, fusion=fusion, width=8)
        optimiser = torch.optim.Adam(made.parameters(), lr=0.03)
        for _ in range(80):
            optimiser.zero_grad()
            made(student, teacher, labels).total.backward()
            optimiser.step()
        vectors = made.fusion(student.stages, student.features) if fusion else student.features
        found.append((made.student_head(vectors)[0].argmax(dim=1) == labels).float().mean().item())
    assert found[0] == 1.0
    assert found[1] == pytest.approx(1 / 3)


@pytest.mark.parametrize("half", [False, True])
def test_a_teacher_that_is_kept_teaches_the_same(half, tmp_path):
    student, teacher = network("cnn-4", 3, (1, 4, 4), seed=0), network("cnn-4-8", 3, (1, 4, 4), seed=1)
    images = torch.randn(6, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    if half:
        teacher, images = teacher.bfloat16(), images.bfloat16()
    losses = []
    for _ in range(2):
        taught = TeacherOutputs(teacher, tmp_path)
        taught.start_epoch(0)
        made = objective("unikd", student, teacher, init_seed=0)
        losses.append(made(student(images.float()), taught.batch(0, images), torch.arange(6) % 3).total.item())
        taught.end_epoch(0)
    assert (tmp_path / "epoch-0001.safetensors").exists()
    assert losses[0] == losses[1]
