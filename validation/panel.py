"""The panel of numbers by which a change is noticed: what a store, a run or a table may hold, in small.

To have a number noticed, add it to the part that it belongs to. A new name is no reason to increase `NUMBERS`.
"""

import math
import tempfile
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from kd2m_theory.estimators import Enclosure, Number
from kd2m_theory.shared_state import one_thread, without_warnings
from kd2m_theory.validation.torch_random import kept_random

Panel = Mapping[str, Mapping[str, float]]
_Numbers = Iterator[tuple[str, str, float]]


@cache
def panel() -> Panel:
    """Several hundred numbers, by group and name, computed by one thread: the same at every call in one environment.

    "double" has rows of audits, distances, intervals and label plans; "width" their allowances for rounding; "log" binary
    logarithms of distances that underflow; "single" networks with their Lipschitz constants, batches, objectives, a whole run
    in small, and what a coverage study measures.
    """
    from kd2m_theory.validation.torch_threads import torch_threads

    groups: dict[str, dict[str, float]] = {"double": {}, "width": {}, "log": {}, "single": {}}
    with kept_random(), torch_threads(1), one_thread(), without_warnings:
        for part in (_rows, _distances, _intervals, _label_plans, _constants, _training, _populations, _run, _coverage):
            for group, name, value in part():
                assert name not in groups[group], name
                groups[group][name] = float(value)  # NumPy's numbers too
    return groups


def _log2(value: float) -> float:
    return math.log2(value) if value > 0 else -math.inf


def _number(name: str, found: Number) -> _Numbers:
    """A result of an estimator: its ends, or its value if it has no interval; the width of what is certified as well."""
    if found.status in ("estimate", "infinite"):
        yield "double", name, found.value
        return
    yield "double", f"{name}, lower", found.lower
    yield "double", f"{name}, upper", found.upper
    if isinstance(found, Enclosure):
        yield "width", f"{name}, width", found.gap


def _pairs() -> Iterator[tuple[str, Any, Any]]:
    from kd2m_theory.bounds.affine import aligned
    from kd2m_theory.bounds.settings import Settings
    from kd2m_theory.pair import Pair

    rng = np.random.default_rng(0)
    n, d, classes = 30, 3, 4
    labels = np.arange(n) % classes
    teacher = rng.normal(size=(n, d)) + rng.normal(size=(classes, d))[labels]
    student = 0.8 * teacher + 0.3 * rng.normal(size=(n, d)) + 5.0
    weight, bias = 2 * rng.normal(size=(classes, d)), rng.normal(size=classes)
    own = student @ weight.T + bias + 0.5 * rng.normal(size=(n, classes))
    vouched = frozenset({"gaussian classes", "teacher labels"})
    whole: dict[str, Any] = {"features_teacher": teacher, "features_student": student, "labels": labels, "logits_student": own}
    yield (
        "with features",
        Pair(**whole, head_weight=weight, head_bias=bias),
        Settings(temperature=2.0, vouched=vouched, whole_cloud=True),
    )
    logits: dict[str, Any] = {"logits_teacher": teacher @ weight.T, "logits_student": own}
    yield (
        "without labels",
        Pair(**logits),
        Settings(loss_bound=1.5, teacher_risk=(0.6, 1.5), teacher_error={0: 0.3, 2: (0.1, 0.4)}),
    )
    # Enough samples for limits that are narrower than what any two networks may differ by.
    many: dict[str, Any] = {
        "logits_teacher": np.tile(4 * logits["logits_teacher"], (20, 1)),
        "logits_student": np.tile(4 * own, (20, 1)),
    }
    evaluation = Pair(**many, labels=many["logits_teacher"].argmax(axis=1))
    yield "evaluated teacher", Pair(**many), Settings(teacher_risk=evaluation, teacher_error=evaluation)
    # Clouds of another dimension, and of lower rank than it: the map is not unique without its cut-off.
    narrow = {
        name: np.column_stack((x, 1e-9 * x[:, 0])) for name, x in (("fit", student[:, :2]), ("use", 0.9 * student[:, :2]))
    }
    fit, use = (Pair(features_teacher=teacher, features_student=x, labels=labels, head_weight=weight) for x in narrow.values())
    yield "through an affine map", aligned(use, fit), Settings(whole_cloud=False)
    yield "nonlinear head", Pair(**whole, logits_teacher=logits["logits_teacher"]), Settings(head_lipschitz=3.0)


def _rows() -> _Numbers:
    from kd2m_theory.bounds import Ladder
    from kd2m_theory.validation.campaigns import measured_distances

    for words, pair, settings in _pairs():
        ladder = Ladder(pair, 0.05, settings=settings)
        for name, value in ladder.measure().items():
            yield from _number(f"{words}: {name}", value)
        for row in ladder.evaluate():
            if not row.applicable:
                continue
            yield "double", f"{words}: {row.name}, lower", row.lower
            yield "double", f"{words}: {row.name}, upper", row.upper
            yield "width", f"{words}: {row.name}, rounding", row.rounding
            for name, enclosure in row.distances.items():
                yield "width", f"{words}: {row.name}, width of {name}", enclosure.gap
        for name, distance in measured_distances.distances(pair).items():
            yield "double", f"{words}: {name}", float(distance)


def _distances() -> _Numbers:
    from kd2m_theory import estimators as e

    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(12, 2)), 1.3 * rng.normal(size=(9, 2)) + 0.5
    a, b = np.arange(12) % 3, np.arange(9) % 3
    p, q = (rng.dirichlet(np.ones(3), size=n) for n in (12, 9))
    spreads = np.stack([np.diag([1.0, k]) for k in (0.0, 0.5, 2.0)])
    ground = e.VertexNorm(rng.normal(size=(4, 2)), label=1)
    found: dict[str, Callable[[], Number]] = {
        "wasserstein, p = 1": lambda: e.wasserstein(x, y, p=1),
        "wasserstein, p = 2": lambda: e.wasserstein(x, y, p=2),
        "wasserstein, far from the origin": lambda: e.wasserstein(x + 1e6, y + 1e6, p=2),
        "wasserstein, vertex norm": lambda: e.wasserstein(x, y, p=1, ground=ground),
        "wasserstein on the line": lambda: e.wasserstein(x[:, :1], y[:, :1], p=1),
        "conditional_wasserstein": lambda: e.conditional_wasserstein(x, y, a, b, p=2, weighting="uniform"),
        "joint_wasserstein": lambda: e.joint_wasserstein(x, y, p, q),
        "joint_wasserstein, means": lambda: e.joint_wasserstein(x, y, p, q, feature_scale="mean", label_scale="mean"),
        "joint_wasserstein, largest": lambda: e.joint_wasserstein(x, y, p, q, feature_scale="max", label_scale=0.5),
        "sliced_wasserstein": lambda: e.sliced_wasserstein(x, y),
        "max_sliced_wasserstein": lambda: e.max_sliced_wasserstein(x, y),
        "gromov_wasserstein": lambda: e.gromov_wasserstein(x, y),
        "mixture_wasserstein": lambda: e.mixture_wasserstein(p[0], x[:3], spreads, q[0], y[:3], 2 * spreads),
        "gaussian_wasserstein": lambda: e.gaussian_wasserstein(x, y).enclosure(),
        "conditional_gaussian_wasserstein": lambda: e.conditional_gaussian_wasserstein(x, y, a, b, "uniform").enclosure(),
        "mmd": lambda: e.mmd(x, y, permutations=50),
        "mmd, interval": lambda: e.mmd(x, y, bandwidth=2.0, delta=0.05),
        "conditional_mmd": lambda: e.conditional_mmd(x, y, a, b),
        "energy_distance": lambda: e.energy_distance(x, y),
        "gaussian_kl": lambda: e.gaussian_kl(x, y),
        "gaussian_kl, shrinkage": lambda: e.gaussian_kl(x, y, shrinkage=0.1),
        "gaussian_symmetric_kl": lambda: e.gaussian_symmetric_kl(x, y),
    }
    for name, call in found.items():
        yield from _number(name, call())
    # Where squares and products underflow: logarithms, since a tolerance would hide the numbers themselves.
    for scale in (1e-150, 1e-160, 1e-320):
        for words, tiny in {
            "p = 2": e.wasserstein(scale * x, scale * y, p=2),
            "vertex norm": e.wasserstein(scale * x, scale * y, p=1, ground=ground),
        }.items():
            for end in ("lower", "upper", "gap"):
                yield "log", f"wasserstein at {scale:g}, {words}, {end}", _log2(getattr(tiny, end))


def _intervals() -> _Numbers:
    from kd2m_theory import estimators as e
    from kd2m_theory.bounds.settings import WHOLE_CLOUD
    from kd2m_theory.estimators.kernels import MEDIAN_POINTS

    # Sizes from which something else is computed, too large to be tried here.
    yield "double", "whole clouds up to", WHOLE_CLOUD
    yield "double", "points for a median", MEDIAN_POINTS

    values = np.random.default_rng(2).beta(2, 5, size=40)
    for name, value in {
        "hoeffding": e.hoeffding(values, 0.0, 1.0, 0.05),
        "empirical_bernstein": e.empirical_bernstein(values, 0.0, 1.0, 0.05),
        "betting": e.betting(values, 0.0, 1.0, 0.05),
        "clopper_pearson": e.clopper_pearson(7, 40, 0.05),
        "paired_difference": e.paired_difference(7, 3, 40, 0.05),
        "student_t": e.student_t(values, 0.05),
        "percentile_bootstrap": e.percentile_bootstrap(values, 0.05),
    }.items():
        yield from _number(name, value)


def _label_plans() -> _Numbers:
    from kd2m_theory.bounds.labelling.plan import drawn_plan
    from kd2m_theory.bounds.labelling.pool import End, Target

    wanted: tuple[tuple[Target, End], ...] = (("error", "both"), ("gap", "both"), ("gap", "upper"))
    pair = next(pair for words, pair, _ in _pairs() if words == "without labels")
    labels = np.arange(len(pair.logits_teacher)) % 4
    for target, end in wanted:
        plan = drawn_plan(pair, 8, target, 0.05, end, None, seed="7")
        words = f"label plan, {target}, {end}"
        yield "double", f"{words}: first input", plan.order[0]
        for count in sorted({min(5, len(plan.order)), len(plan.order)}):
            found = plan.estimate(labels[plan.order[:count]])
            yield from _number(f"{words}: file, {count} labels", found.file)
            yield from _number(f"{words}: population, {count} labels", found.population)
            if found.next is not None:
                yield "double", f"{words}: next width, {count} labels", found.next.file


def _constants() -> _Numbers:
    from kd2m_theory.bounds.constants.layers import network_lipschitz
    from kd2m_theory.bounds.constants.residual import Residual

    with kept_random(0):
        made = torch.nn.Sequential(
            torch.nn.Conv2d(2, 3, 3, padding=1),
            torch.nn.ReLU(),
            torch.nn.MaxPool2d(2),
            torch.nn.Flatten(),
            torch.nn.Linear(12, 4),
        )
    yield "single", "network_lipschitz", network_lipschitz(made, (2, 4, 4)).upper
    for activation in (torch.nn.GELU(), torch.nn.GELU("tanh"), torch.nn.SiLU(), torch.nn.Mish(), torch.nn.LeakyReLU(2.0)):
        yield "double", f"network_lipschitz of {activation}", network_lipschitz(torch.nn.Sequential(activation), (3,)).upper
    norm = torch.nn.LayerNorm(3, eps=0.25)
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([1.0, 2.0, 3.0]))
    for name, layer, shape in (
        ("layer norm", norm, (3,)),
        ("reflection", torch.nn.ReflectionPad2d(2), (1, 3, 4)),
        ("interpolation", torch.nn.Upsample(scale_factor=1.5, mode="bilinear"), (1, 3, 4)),
        ("residual block", Residual(torch.nn.Softmax(dim=1), after=torch.nn.Sigmoid()), (3,)),
    ):
        yield "double", f"network_lipschitz of {name}", network_lipschitz(layer, shape).upper


# A shape that every network takes, and stages for the objective that fuses them.
_TEACHER, _STUDENT, _CLASSES, _SHAPE = "cnn-4-6", "cnn-3-6", 3, (1, 8, 8)
_NETWORKS = ("mlp-7-5", "cnn-4-6", "resnet8", "resnet8x4", "wrn-10-1", "digits-teacher", "digits-student")


def _training() -> _Numbers:
    from kd2m_theory.validation.objectives.registry import SINGLE, objective
    from kd2m_theory.validation.training.configuration import Recipe
    from kd2m_theory.validation.training.networks import network
    from kd2m_theory.validation.training.optimisers import learning_rate, optimiser
    from kd2m_theory.validation.training.training_module import sow

    generator = torch.Generator().manual_seed(0)
    images, labels = torch.randn(12, *_SHAPE, generator=generator), torch.arange(12) % _CLASSES
    for name in _NETWORKS:
        yield "single", f"network {name}", _signature(network(name, _CLASSES, _SHAPE, 0).train()(images).logits)
    recipes = {
        "cosine": Recipe(epochs=3, batch=12, learning_rate=0.1, schedule="cosine"),
        "step": Recipe(epochs=3, batch=12, learning_rate=0.1, schedule="step", milestones=(1,), optimiser="sgd"),
        "constant": Recipe(epochs=3, batch=12, learning_rate=0.1, schedule="constant"),
    }
    for name, recipe in recipes.items():
        for step in (1, 7):
            yield "double", f"learning rate, {name}, step {step}", learning_rate(recipe, step, 4)
    sow(5, 3, 1)
    yield "single", "random numbers of a step", float(torch.rand(()))
    teacher = network(_TEACHER, _CLASSES, _SHAPE, 1).eval().requires_grad_(False)
    for k, name in enumerate(SINGLE):
        student = network(_STUDENT, _CLASSES, _SHAPE, 2)
        goal = objective(name, student, None if name == "none" else teacher, init_seed=3)
        trained = optimiser(recipes["step" if k % 2 else "cosine"], [*student.parameters(), *goal.parameters()])
        goal.start_epoch(1, 3)
        for step in range(2):
            torch.default_generator.manual_seed(step)
            trained.zero_grad()
            loss = goal(student(images), None if name == "none" else teacher(images), labels)
            yield "single", f"objective {name}, step {step}", loss.total.item()
            loss.total.backward()
            trained.step()


def _populations() -> _Numbers:
    from kd2m_theory.validation.populations.hub import SOURCES, HubPopulation
    from kd2m_theory.validation.populations.registry import population
    from kd2m_theory.validation.populations.stream import Stream

    for source in (
        population("gaussian-mixture", covariance="by-class"),
        population("digits"),
        population("glyphs", classes=10),
    ):
        images, labels = source.batch("train", 1, 16, 5)
        yield "single", f"population {source.name}, images", _signature(images)
        yield "single", f"population {source.name}, labels", _signature(labels)
    images, labels = population("gaussian-mixture").sample("test", 1100, 5)
    yield "single", "sample, images", _signature(images)
    yield "single", "sample, labels", _signature(labels)
    for name, known in SOURCES.items():
        pixels = (torch.arange(4 * math.prod(known.image_shape)) % 251).to(torch.uint8).reshape(4, *known.image_shape)
        hub = object.__new__(HubPopulation)  # of data that need not be here
        hub.source, hub.crop, hub.flip = known, True, known.flip
        yield (
            "single",
            f"augmentation of {name}",
            _signature(hub.finished(hub.augmented(pixels, Stream(5, "train", "batch", 1)))),
        )


def _run() -> _Numbers:
    """A whole run in small: augmented batches, batch normalisation, a sum of objectives, a schedule, evaluation."""
    from kd2m_theory.validation.populations.registry import population
    from kd2m_theory.validation.training.configuration import configuration
    from kd2m_theory.validation.training.processes import Processes
    from kd2m_theory.validation.training.run import Run
    from kd2m_theory.validation.training.run_folder import RunFolder

    recipe = {"epochs": 2, "steps": 2, "batch": 24, "learning_rate": 0.05}
    terms = {"kd": 0.5, "cw2": 0.1, "near": {"name": "mmd", "bandwidth": 3.0, "weight": 2.0}}
    chosen = configuration(
        {
            "population": {"name": "digits"},
            "teacher": {"network": "digits-teacher", "training": recipe},
            "student": {"network": "digits-student", "training": recipe | {"optimiser": "sgd", "gradient_clip": 1.0}},
            "objective": {"name": "sum", "terms": terms},
            "pairs": {"audit": False},
        }
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        made = Run(chosen, RunFolder(path), path / "teacher", population("digits"), torch.device("cpu"), Processes())
        made.train_teacher(None)
        made.train_student("student")
        done = made.finish()
    for row in done.history:
        for name, value in row.items():
            if name != "seconds":
                yield "single", f"run, epoch {row['epoch']}, {name}", value
    for (whose, split), found in done.results.items():
        for name, value in vars(found).items():
            yield "single", f"run, {whose}, {split}, {name}", value
    yield (
        "single",
        "run, student",
        _signature(torch.cat([each.double().flatten() for each in done.student.state_dict().values()])),
    )


def _coverage() -> _Numbers:
    """What a coverage study measures of a pair, and claims about it."""
    from kd2m_theory.bounds import Ladder
    from kd2m_theory.pair import Pair
    from kd2m_theory.validation.campaigns.claims import claims
    from kd2m_theory.validation.campaigns.truth import Networks, truths
    from kd2m_theory.validation.populations.registry import population
    from kd2m_theory.validation.training.networks import network

    source = population("gaussian-mixture", classes=3)
    teacher, student = (network(name, 3, source.image_shape, 0).eval() for name in ("mlp-12-5", "mlp-5"))
    networks = Networks(teacher, student, source)
    for name, value in truths(networks, 3000, 7).items():
        yield "single", f"truth of {name}, lower", value.lower
        yield "single", f"truth of {name}, upper", value.upper
    pair = networks.audited(3, 60, 7)
    # A sample's place follows from its bits: on a coarse grid they are the same on every processor, and so are all claims.
    coarse = {name: np.rint(64 * getattr(pair, name)) / 64 for name in ("logits_student", "logits_teacher")}
    ladder = Ladder(Pair(**coarse, labels=pair.labels), 0.05)
    ladder.spend(0.05, each=True)
    for claim in claims(ladder):
        if not claim.control:
            yield "single", f"claim {claim.name}, lower", claim.lower
            yield "single", f"claim {claim.name}, upper", claim.upper


def _signature(values: torch.Tensor) -> float:
    """One number that notices where every other stands, and its sign."""
    flat = values.detach().double().flatten()
    weights = torch.sin(torch.arange(1, len(flat) + 1, dtype=torch.float64))
    return float(flat @ weights)
