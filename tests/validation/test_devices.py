"""Everything that trains or measures works on a device that is not the CPU, and says what the CPU says.

KD2M_DEVICE=simulated runs them on the device of `simulated_device.py`, and counts copies to and from it; `test_on_a_device.py`
does so, in a process of its own, because torch has to know a device before its first gradient. KD2M_DEVICE=cuda runs the same
tests on a real GPU.
"""

import contextlib
import copy
import dataclasses
import math
import os
import re
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import simulated_device
import torch
from objective_problems import CLASSES_PRESENT, CONDITIONAL, Net, batch_of_classes, labels_of, make, mapped, outputs
from torch import nn

from kd2m_theory import InputError, Pair, extraction
from kd2m_theory.estimators import gaussian_wasserstein, wasserstein
from kd2m_theory.estimators.kernels import RBF, Energy, Laplace, Linear, Polynomial, RBFMixture
from kd2m_theory.estimators.losses.gaussian import gaussian_kl_loss, squared_gaussian_w2
from kd2m_theory.estimators.losses.kernel import squared_conditional_mmd, squared_mmd
from kd2m_theory.estimators.losses.transport import (
    paired_l2,
    squared_cw2,
    squared_gw2,
    squared_jw2,
    squared_sliced_w2,
    squared_w2,
)
from kd2m_theory.estimators.metrics import GaussianW2Metric, PairedDistanceMetric, RandomFeatureMMDMetric
from kd2m_theory.validation.objectives.registry import NAMES, objective
from kd2m_theory.validation.populations.digits import DigitsPopulation
from kd2m_theory.validation.populations.gaussian_mixture import GaussianMixturePopulation
from kd2m_theory.validation.populations.glyphs import GlyphsPopulation
from kd2m_theory.validation.training.configuration import Recipe
from kd2m_theory.validation.training.evaluation import evaluate, held_out, predict
from kd2m_theory.validation.training.networks import network
from kd2m_theory.validation.training.outputs import Outputs
from kd2m_theory.validation.training.processes import Processes
from kd2m_theory.validation.training.teacher_outputs import TeacherOutputs
from kd2m_theory.validation.training.training_module import TrainingModule

CHOSEN = os.environ.get("KD2M_DEVICE")
REAL = None if CHOSEN == "simulated" else CHOSEN
# The simulated device computes as the CPU does; a GPU adds in another order. float64, float32.
FINE, COARSE = ({"rtol": 1e-7, "atol": 1e-9}, {"rtol": 2e-3, "atol": 2e-4}) if REAL else ({"rtol": 1e-12, "atol": 1e-13},) * 2
pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.skipif(CHOSEN is None, reason="KD2M_DEVICE names no device; test_on_a_device.py simulates one"),
]
simulated = pytest.mark.skipif(REAL is not None, reason="the simulated device counts and refuses, a real one does as it does")


@pytest.fixture(scope="module")
def device():
    if REAL is None:
        if not simulated_device.AVAILABLE:
            pytest.skip("this torch knows no devices written in Python; KD2M_DEVICE names a real one")
        yield simulated_device.device()
        return
    # Convolutions in TF32 would differ from the CPU's in the third digit.
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    yield torch.device(REAL)
    torch.backends.cudnn.allow_tf32 = before


def on(tensors, device):
    return mapped(tensors, lambda each: each.to(device))


def leaves(batch):
    return mapped(batch, lambda each: each.detach().clone().requires_grad_())


def taken(made, student, teacher, labels):
    """Loss, parts and gradients at the student's outputs and the objective's own weights, on the CPU."""
    loss = made(student, teacher, labels)
    loss.total.backward()
    ends = [student.logits, student.features, *student.stages, *made.parameters()]
    gradients = [None if end.grad is None else end.grad.cpu() for end in ends]
    return {"total": loss.total.detach().cpu(), **{name: part.cpu() for name, part in loss.parts.items()}}, gradients


@pytest.mark.parametrize("name", NAMES)
def test_an_objective_and_its_gradient_are_those_of_the_cpu(name, device):
    student, teacher, labels = outputs(seed=1), outputs(seed=2), labels_of()
    parts, gradients = taken(make(name), leaves(student), teacher, labels)
    there, back = taken(make(name).to(device), leaves(on(student, device)), on(teacher, device), labels.to(device))
    assert there.keys() == parts.keys()
    for part, value in parts.items():
        torch.testing.assert_close(there[part], value, **FINE)
    for here, other in zip(gradients, back, strict=True):
        assert (here is None) == (other is None)
        if here is not None:
            torch.testing.assert_close(other, here, **FINE)


def nets(student="cnn-4-8", teacher="cnn-8"):
    return (network(name, 10, (1, 8, 8), seed) for seed, name in enumerate((student, teacher)))


SUM = {"kd": 0.5, "cw2": {"weight": 0.1}, "wide": {"name": "mmd", "bandwidth": 9.0}}
RECIPE = Recipe(epochs=1, batch=30, learning_rate=0.1, steps=60, optimiser="sgd", gradient_clip=1.0)


def module_of(name, place, seed=0):
    """Student, teacher and objective of a run, on the device as Lightning has them there, and the optimiser."""
    student, teacher = nets("cnn-4-8", "cnn-4-8")
    goal = objective(name, student, teacher, init_seed=0, **({"terms": SUM} if name == "sum" else {}))
    outputs = TeacherOutputs(teacher.to(place)) if goal.needs_teacher else None
    made = TrainingModule(student, goal, outputs, RECIPE, RECIPE.steps, seed, Processes()).to(place)
    return made.train(), made.configure_optimizers()["optimizer"]


def batch_of(place, index=0):
    """Thirty images of three classes, made by the CPU: a GPU draws other noise."""
    images, _ = GlyphsPopulation(10, side=8).batch("train", index, 30, 0)
    return images.to(place), (torch.arange(30) % 3).to(place)


def step(made, optimiser, batch, index):
    optimiser.zero_grad()
    loss = made.training_step(batch, index)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(made.parameters(), RECIPE.gradient_clip)
    optimiser.step()


@pytest.mark.parametrize("name", NAMES)
def test_steps_of_training_are_those_of_the_cpu(name, device):
    trained = []
    for place in (torch.device("cpu"), device):
        made, optimiser = module_of(name, place)
        for index in range(2):
            step(made, optimiser, batch_of(place, index), index)
        made.steps = 2
        weights = {key: value.detach().cpu() for key, value in made.state_dict().items() if isinstance(value, torch.Tensor)}
        trained.append((made.means(), weights))
    (means, weights), (means_there, weights_there) = trained
    assert means_there == pytest.approx(means, rel=COARSE["rtol"], abs=COARSE["atol"])
    for key, value in weights.items():
        torch.testing.assert_close(weights_there[key], value, **COARSE)


# Copies to the host, copies to the device, and other times at which the host waits, of a whole step on a batch of three classes.
# Objectives that compare a whole batch look for ignored images, which is one wait.
# Noise that is drawn on the host costs one copy up; plans of transport cost one copy down and two up; labels one down, and one up for the layout of the classes; a median one down,
# and one more for the labels of its rows; a singular value decomposition and a look at a number one wait.
COPIES = {
    "none": (0, 0, 0),
    "kd": (0, 0, 0),
    "dkd": (0, 0, 0),
    "ttm": (0, 0, 0),
    "wttm": (0, 0, 0),
    "w2": (1, 2, 1),
    "cw2": (2, 3, 0),
    "jw2": (1, 2, 1),
    "gaussian-w2": (0, 0, 3),
    "gaussian-cw2": (1, 1, 1),
    "gaussian-kl": (0, 0, 3),
    "conditional-gaussian-kl": (1, 1, 2),
    "symmetric-gaussian-kl": (0, 0, 4),
    "mmd": (1, 0, 2),
    "conditional-mmd": (3, 1, 0),
    "gromov-w2": (2, 1, 1),
    "sliced-w2": (1, 1, 1),
    "paired-l2": (0, 0, 0),
    "unikd": (0, 1, 0),
    "sum": (2, 3, 2),
}


@simulated
@pytest.mark.parametrize("name", NAMES)
def test_a_step_needs_no_float64_and_copies_and_waits_as_it_says(name, device):
    with simulated_device.without_double():
        made, optimiser = module_of(name, device)
        step(made, optimiser, batch_of(device), 0)
        batch = batch_of(device, 1)
        with simulated_device.counted() as events:
            step(made, optimiser, batch, 1)
        made.steps = 2
        assert all(map(math.isfinite, made.means().values()))
    assert (events["to host"], events["to device"], events["waits"]) == COPIES[name]


@simulated
@pytest.mark.parametrize("classes", CLASSES_PRESENT)
@pytest.mark.parametrize("name", CONDITIONAL)
def test_an_objective_by_class_never_waits_for_a_class(name, classes, device):
    labels, batches = batch_of_classes(classes)
    made = objective(name, Net(128, 62), Net(128, 62), init_seed=0)
    student, teacher = (on(batch, device) for batch in batches)
    student, labels = leaves(student), labels.to(device)
    with simulated_device.without_double(), simulated_device.counted() as events:
        made(student, teacher, labels).total.backward()
    assert events["to host"] + events["waits"] <= 3


@simulated
@pytest.mark.parametrize("scale", [2.0, "mean", "max"])
@pytest.mark.parametrize("cost", ["logits", "predictions", "labels"])
def test_no_scale_of_joint_costs_makes_the_host_wait(scale, cost, device):
    student, teacher = (on(outputs(seed=seed), device) for seed in (1, 2))
    made = make("jw2", feature_scale=scale, label_scale=scale, label_cost=cost).to(device)
    labels = labels_of().to(device)
    with simulated_device.counted() as events:
        made(leaves(student), teacher, labels).total.backward()
    assert (events["to host"], events["to device"], events["waits"]) == COPIES["jw2"]


@pytest.mark.skipif(not str(REAL).startswith("cuda"), reason="CUDA has a mode in which waiting is an error")
@pytest.mark.parametrize("name", [name for name, counts in COPIES.items() if not any(counts)])
def test_plain_objectives_never_make_the_host_wait(name, device):
    made, optimiser = module_of(name, device)
    step(made, optimiser, batch_of(device), 0)
    batch = batch_of(device, 1)
    torch.cuda.set_sync_debug_mode("error")
    try:
        step(made, optimiser, batch, 1)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_a_loss_that_is_not_finite_is_found_when_the_loop_looks(device):
    made, _ = module_of("paired-l2", device)
    images, labels = batch_of(device)
    made.training_step((images, labels), 0)
    with torch.no_grad():
        made.student.fc.weight.fill_(torch.nan)
    made.training_step((images, labels), 1)
    made.training_step((images, labels), 2)
    with pytest.raises(InputError, match="the loss is not finite at step 2: cross_entropy;"):
        made.means()


@pytest.mark.parametrize(
    "name", ["w2", "cw2", "jw2", "gaussian-w2", "gaussian-kl", "mmd", "conditional-mmd", "gromov-w2", "sliced-w2"]
)
def test_features_that_are_not_finite_are_refused_there_too(name, device):
    student, teacher = (on(outputs(seed=seed), device) for seed in (1, 2))
    broken = Outputs(student.logits, torch.full_like(student.features, torch.nan))
    with pytest.raises(InputError, match="training has diverged"):
        make(name).to(device)(broken, teacher, labels_of().to(device))


LOSSES = {
    "paired L2": lambda x, y, c: paired_l2(x, y),
    "W2": lambda x, y, c: squared_w2(x, y[:7]),
    "CW2": lambda x, y, c: squared_cw2(x, y, c),
    "CW2, other labels": lambda x, y, c: squared_cw2(x, y, c, c.flip(0)),
    "JW2": lambda x, y, c: squared_jw2(x, y, x.softmax(1), y.softmax(1), 0.5),
    "JW2, means": lambda x, y, c: squared_jw2(x, y[:7], x.softmax(1), y[:7], 0.5, feature_scale="mean", label_scale="mean"),
    "JW2, largest": lambda x, y, c: squared_jw2(x, y, x.softmax(1), y, 0.5, feature_scale="max", label_scale="max"),
    "GW2": lambda x, y, c: squared_gw2(x, y[:, :2]),
    "sliced": lambda x, y, c: squared_sliced_w2(x, y, 8, torch.Generator().manual_seed(1)),
    "Gaussian W2": lambda x, y, c: squared_gaussian_w2(x, y),
    "Gaussian W2, few points": lambda x, y, c: squared_gaussian_w2(x[:3], y[:2]),
    "Gaussian W2, diagonal": lambda x, y, c: squared_gaussian_w2(x, y, "diagonal"),
    "Gaussian KL": lambda x, y, c: gaussian_kl_loss(x, y),
    "Gaussian KL, diagonal": lambda x, y, c: gaussian_kl_loss(x, y, "diagonal", 0.1),
    "MMD, unbiased": lambda x, y, c: squared_mmd(x, y, RBF(2.0), "u"),
    "conditional MMD": lambda x, y, c: squared_conditional_mmd(x, y, c, RBFMixture((1.0, 2.0))),
    **{
        f"MMD, {kernel.name}": lambda x, y, c, kernel=kernel: squared_mmd(x, y, kernel)
        for kernel in (Linear(), Polynomial(), Laplace(1.5), Energy())
    },
}


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("name", list(LOSSES))
def test_a_training_loss_and_its_gradient_are_those_of_the_cpu(name, dtype, device):
    rng = np.random.default_rng(3)
    x, y = (torch.tensor(rng.normal(size=(12, 4)), dtype=dtype) for _ in range(2))
    labels = torch.tensor([0, 1, 2, 2, 1, 0] * 2)
    found = []
    for place in (torch.device("cpu"), device):
        ends = [each.clone().to(place).requires_grad_() for each in (x, y)]
        with simulated_device.without_double() if dtype == torch.float32 else contextlib.nullcontext():
            value = LOSSES[name](*ends, labels.to(place))
            value.backward()
        assert value.device.type == place.type
        found.append([value.detach().cpu(), *(torch.zeros(()) if end.grad is None else end.grad.cpu() for end in ends)])
    for here, there in zip(*found, strict=True):
        torch.testing.assert_close(there, here, **(FINE if dtype == torch.float64 else COARSE))


def test_distances_take_tensors_of_the_device(device):
    rng = np.random.default_rng(4)
    x, y = (torch.tensor(rng.normal(size=(9, 3)), dtype=torch.float32) for _ in range(2))
    for distance in (wasserstein, gaussian_wasserstein):
        assert distance(x.to(device), y.to(device)) == distance(x, y)
    metrics = [GaussianW2Metric(3), PairedDistanceMetric(), RandomFeatureMMDMetric(3, 1.5, 16)]
    for here, there in zip(metrics, [copy.deepcopy(each).to(device) for each in metrics], strict=True):
        here.update(x, y)
        there.update(x.to(device), y.to(device))
        torch.testing.assert_close(there.compute().cpu(), here.compute(), **FINE)


@simulated
def test_metrics_work_on_a_device_without_float64(device):
    rng = np.random.default_rng(4)
    x, y = (torch.tensor(rng.normal(size=(9, 3)), dtype=torch.float32) for _ in range(2))
    for here in (GaussianW2Metric(3), PairedDistanceMetric(), RandomFeatureMMDMetric(3, 1.5, 16)):
        there = copy.deepcopy(here)
        here.update(x, y)
        with simulated_device.without_double():
            nn.ModuleList([there]).to(device)
            there.update(x.to(device), y.to(device))
            torch.testing.assert_close(there.compute().cpu(), here.compute(), **FINE)
            assert wasserstein(x.to(device), y.to(device)) == wasserstein(x, y)


@pytest.mark.parametrize("double", [True, pytest.param(False, marks=simulated)])
@pytest.mark.parametrize("p", [1, 2])
def test_large_clouds_are_enclosed_on_a_device(p, double, device, monkeypatch):
    """Every level and every pass of it, the one in float64 included; the same as on the CPU, and what all pairs give."""
    rng = np.random.default_rng(5)
    x, y = (rng.normal(size=(k, 5)) for k in (160, 150))
    true = wasserstein(x, y, p)
    if REAL is None:
        monkeypatch.setattr(extraction, "choose_device", torch.device)
        monkeypatch.setattr("kd2m_theory.estimators.large.clouds.WITHOUT_DOUBLE", ("mps",) if double else (device.type,))
    for name, value in {"large.levels._SMALLEST": 10, "large.clouds.COLUMNS": 96}.items():
        monkeypatch.setattr(f"kd2m_theory.estimators.{name}", value)
    monkeypatch.setattr("kd2m_theory.estimators.between_clouds.STORED", 0)
    for kept in (60, 0):  # 0: every row is looked at in float64
        monkeypatch.setattr("kd2m_theory.estimators.large.solver._KEPT", kept)
        here = wasserstein(x, y, p)
        with contextlib.nullcontext() if double else simulated_device.without_double():
            there = wasserstein(x, y, p, device=str(device))
        assert there.method == here.method == "network simplex on tiles"
        assert there.value == pytest.approx(here.value, rel=1e-9)
        for found in (here, there):
            assert found.lower <= true.upper
            assert true.lower <= found.upper
            assert found.status == "optimal"


@pytest.mark.parametrize("size", [8, 32])
def test_glyphs_are_those_of_the_cpu_but_for_their_noise(size, device):
    clean, noisy = (GlyphsPopulation(10, side=size, noise=noise) for noise in (0.0, 0.15))
    (images, labels), (images_there, labels_there) = (clean.batch("train", 3, 20, 1, place) for place in ("cpu", device))
    assert images_there.device == torch.zeros(0, device=device).device
    torch.testing.assert_close(labels_there.cpu(), labels)
    torch.testing.assert_close(images_there.cpu(), images, rtol=0, atol=1e-4)
    first, again, other = (noisy.batch("train", index, 20, 1, device)[0].cpu() for index in (3, 3, 4))
    assert torch.equal(first, again)
    assert (first - other).abs().max() > 0.1
    differences = (first - images).flatten()
    assert 0.01 < differences.std() < 0.15
    assert abs(differences.mean()) < 0.02


@pytest.mark.parametrize("covariance", ["common", "by-class"])
def test_a_mixture_is_drawn_on_the_device(covariance, device):
    source = GaussianMixturePopulation(3, (1, 1, 4), covariance=covariance)
    images, labels = held_out(source, "test", 4000, 0, device)
    assert torch.equal(labels.cpu(), held_out(source, "test", 4000, 0, torch.device("cpu"))[1])
    assert torch.equal(images.cpu(), held_out(source, "test", 4000, 0, device)[0].cpu())
    for label in range(3):
        members = images.cpu()[labels.cpu() == label].reshape(-1, 4)
        assert (members.mean(dim=0) - source.means[label]).abs().max() < 0.15
        assert (torch.cov(members.T) - source.factors[label] @ source.factors[label].T).abs().max() < 0.3


def test_digits_are_augmented_on_the_device(device):
    source = DigitsPopulation()
    for split in ("train", "test"):
        (images, labels), (images_there, labels_there) = (source.batch(split, 1, 20, 0, place) for place in ("cpu", device))
        torch.testing.assert_close(images_there.cpu(), images, rtol=0, atol=1e-4)
        assert torch.equal(labels_there.cpu(), labels)


@simulated
def test_what_a_device_without_float64_cannot_take_is_named(device, monkeypatch):
    monkeypatch.setattr(extraction, "choose_device", torch.device)
    (student, teacher), (images, labels) = nets(), batch_of("cpu")
    loaders = {False: [(images, labels)], True: [(images.double(), labels)]}
    with simulated_device.without_double():
        with pytest.raises(InputError, match=r"inputs of float64 cannot be moved to 'sim:0': .* have the loader give float32"):
            Pair.from_models(teacher, student, loaders[True], device=str(device), progress=False)
        with pytest.raises(InputError, match=r"the student \(.*\) cannot be moved to 'sim:0'"):
            Pair.from_models(teacher, student.double(), loaders[False], device=str(device), progress=False)
    assert {each.device.type for each in (*student.parameters(), *teacher.parameters())} == {"cpu"}


@pytest.fixture(params=["float64", pytest.param("no float64", marks=simulated)])
def precision(request):
    with simulated_device.without_double() if request.param == "no float64" else contextlib.nullcontext():
        yield


@pytest.mark.usefixtures("precision")
def test_networks_are_evaluated_on_the_device(device):
    student, teacher = nets()
    images, labels = batch_of("cpu")
    expected = evaluate(predict(student, images), labels, predict(teacher, images))
    there = [predict(each.to(device), images.to(device)) for each in (student, teacher)]
    found = evaluate(there[0], labels.to(device), there[1])
    assert dataclasses.asdict(found) == pytest.approx(dataclasses.asdict(expected), rel=COARSE["rtol"])


@pytest.mark.usefixtures("precision")
def test_a_pair_is_extracted_on_the_device(device, monkeypatch):
    if REAL is None:
        monkeypatch.setattr(extraction, "choose_device", torch.device)
    student, teacher = nets()
    images, labels = batch_of("cpu")
    loader = list(zip(images.split(8), labels.split(8), strict=True))
    here, there = (Pair.from_models(teacher, student, loader, device=str(place), progress=False) for place in ("cpu", device))
    for name in ("features_teacher", "features_student", "logits_teacher", "logits_student", "head_weight", "labels"):
        np.testing.assert_allclose(getattr(there, name), getattr(here, name), **COARSE)
    assert {each.device.type for each in (*student.parameters(), *teacher.parameters())} == {"cpu"}
    with pytest.raises(InputError, match="return the logits themselves"):
        Pair.from_models(teacher, nn.Sequential(OrderedDict(net=student, out=Doubled())), loader, "fc", "net.fc", str(device))


class Doubled(nn.Module):
    def forward(self, outputs):
        return 2 * outputs.logits


def test_outputs_of_a_teacher_are_kept_and_come_back_to_the_device(device, tmp_path):
    _, teacher = nets()
    images, _ = batch_of(device)
    said = []
    for kept in (False, True):
        outputs_of = TeacherOutputs(teacher.to(device), tmp_path)
        outputs_of.start_epoch(0)
        made = outputs_of.batch(0, images)
        assert (made.stages == ()) is kept
        said.append(made)
        outputs_of.end_epoch(0)
    for first, second in zip(*((each.logits, each.features) for each in said), strict=True):
        assert first.device == second.device
        assert torch.equal(first.cpu(), second.cpu())


@simulated
def test_the_page_says_what_a_step_copies():
    page = (Path(__file__).parents[2] / "docs" / "accelerator.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([\w-]+)` \| (\d+) \| (\d+) \| (\d+) \|$", page, re.MULTILINE)
    counts = {name: tuple(map(int, numbers)) for name, *numbers in rows}
    assert counts == {name: numbers for name, numbers in COPIES.items() if name != "sum"}
