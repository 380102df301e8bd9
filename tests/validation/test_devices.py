"""Everything that trains or measures works on a device that is not the CPU, and says what the CPU says.

By default the device is simulated (`simulated_device.py`), and copies to and from it are counted. KD2M_DEVICE=cuda runs the same
tests on a real GPU.
"""

import os
import warnings

import numpy as np
import pytest
import simulated_device
import torch
from objective_problems import CONDITIONAL, labels_of, make, mapped, outputs, rebuilt
from torch import nn

from kd2m_theory import InputError, Pair, extraction
from kd2m_theory.estimators.gaussian_torch import gaussian_kl_loss, squared_gaussian_w2
from kd2m_theory.estimators.kernel_losses import squared_conditional_mmd, squared_mmd
from kd2m_theory.estimators.kernels import RBF, Energy, Laplace, Linear, Polynomial, RBFMixture
from kd2m_theory.estimators.transport_losses import (
    paired_l2,
    squared_cw2,
    squared_gw2,
    squared_jw2,
    squared_sliced_w2,
    squared_w2,
)
from kd2m_theory.validation.configuration import Recipe
from kd2m_theory.validation.evaluation import evaluate, held_out, predict
from kd2m_theory.validation.networks import network
from kd2m_theory.validation.objectives.registry import NAMES, objective
from kd2m_theory.validation.populations.gaussian_mixture import GaussianMixturePopulation
from kd2m_theory.validation.populations.glyphs import GlyphsPopulation
from kd2m_theory.validation.processes import Processes
from kd2m_theory.validation.teacher_outputs import TeacherOutputs
from kd2m_theory.validation.training_module import TrainingModule

REAL = os.environ.get("KD2M_DEVICE")
# The simulated device computes as the CPU does; a GPU adds in another order. float64, float32.
FINE, COARSE = ({"rtol": 1e-7, "atol": 1e-9}, {"rtol": 2e-3, "atol": 2e-4}) if REAL else ({"rtol": 1e-12, "atol": 1e-13},) * 2
pytestmark = pytest.mark.usefixtures("one_thread")
simulated = pytest.mark.skipif(REAL is not None, reason="the simulated device counts and refuses, a real one does as it does")


@pytest.fixture(scope="module")
def device():
    if REAL is None:
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


@simulated
@pytest.mark.parametrize("name", NAMES)
def test_what_a_step_copies_and_waits_for(name, device):
    made, optimiser = module_of(name, device)
    step(made, optimiser, batch_of(device), 0)
    batch = batch_of(device, 1)
    with simulated_device.counted() as events:
        step(made, optimiser, batch, 1)
    print(name, dict(events))
