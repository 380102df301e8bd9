"""What a campaign is expected to take: a few steps of every kind of training are measured here, audits are counted.

Nothing of it decides a number of a campaign. Seconds are of one worker with one thread, and right to a factor of about three:
a measured step is short, and the work of an audit is counted from its sizes.
"""

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import nn

from kd2m_theory.bounds import Ladder
from kd2m_theory.bounds.work import Work, measured_rates, transport
from kd2m_theory.extraction import choose_device
from kd2m_theory.pair import Pair
from kd2m_theory.validation.campaigns.campaign import Campaign, Coverage
from kd2m_theory.validation.objectives.cross_entropy import CrossEntropy
from kd2m_theory.validation.objectives.objective import Objective
from kd2m_theory.validation.populations.population import Population
from kd2m_theory.validation.populations.registry import population
from kd2m_theory.validation.populations.stream import SPLITS, Split
from kd2m_theory.validation.torch_random import kept_random
from kd2m_theory.validation.torch_threads import torch_threads
from kd2m_theory.validation.training.batches import seen_by, steps_an_epoch
from kd2m_theory.validation.training.configuration import Configuration, Recipe, digest
from kd2m_theory.validation.training.evaluation import BATCH, predict
from kd2m_theory.validation.training.networks import network
from kd2m_theory.validation.training.optimisers import optimiser
from kd2m_theory.validation.training.run_parts import run_parts

_TIMED = 3  # steps and passes
_CLOUDS = 3  # problems of transport between whole clouds of features, for the distances of a pair
_KERNELS = 6  # products of all pairs of points, for the other distances


@dataclass(frozen=True, kw_only=True)
class Item:
    """Work of one kind.

    Attributes:
        kind: "teachers", "students", "audits" or "coverage".
        words: what it is, for people.
        times: how often it is done.
        seconds: of each, by one worker.
        on_device: whether it runs on the campaign's device.
    """

    kind: str
    words: str
    times: int
    seconds: float
    on_device: bool

    @property
    def total(self) -> float:
        """Seconds of all of them, one after another."""
        return self.times * self.seconds


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What a campaign is expected to take.

    Attributes:
        items: kinds of work, in the order of the campaign.
        device: where networks run.
    """

    items: tuple[Item, ...]
    device: str

    @property
    def total(self) -> float:
        """Seconds of one worker that does everything."""
        return sum(item.total for item in self.items)

    def wall_clock(self, workers: int) -> float:
        """Seconds with so many workers, that share one GPU if the campaign's device is one."""
        shared = sum(item.total for item in self.items if item.on_device and self.device != "cpu")
        return max(self.total / workers, shared)


@dataclass(frozen=True, kw_only=True)
class Speed:
    """What was measured of a kind of run, in seconds.

    Attributes:
        teacher_step: a step of the teacher's training.
        student_step: a step of the student's training, objective and teacher included.
        teacher_image: an image through the teacher, without gradient.
        student_image: an image through the student.
    """

    teacher_step: float
    student_step: float
    teacher_image: float
    student_image: float


Measure = Callable[[Configuration, Population, str], Speed]


def expected(campaign: Campaign, measure: Measure | None = None) -> Expected:
    """See the module.

    Args:
        campaign: as `plan.check` accepts it.
        measure: of a kind of run on a population and a device; `measured` if None.

    Raises:
        InputError: no such device, or what a population or a network refuses.
    """
    measure = measure or measured
    place = str(choose_device(campaign.device))
    sources: dict[str, Population] = {}
    speeds: dict[str, Speed] = {}
    audits: dict[tuple[int, int, int], float] = {}
    teachers: set[str] = set()
    tallies: dict[tuple[str, str], list[float]] = {}

    def source_of(run: Configuration) -> Population:
        key = digest(dict(run.population))
        if key not in sources:
            sources[key] = population(**dict(run.population))
        return sources[key]

    def speed_of(run: Configuration) -> Speed:
        key = digest(_kind(run))
        if key not in speeds:
            speeds[key] = measure(run, source_of(run), place)
        return speeds[key]

    def training(run: Configuration) -> None:
        source, speed = source_of(run), speed_of(run)
        held = sum(_images(run, source, split) for split in SPLITS[1:])
        if run.teacher_digest not in teachers:
            teachers.add(run.teacher_digest)
            seconds = _fitting(run.teacher.training, source, speed.teacher_step, speed.teacher_image, run)
            tallies.setdefault(("teachers", f"{source.name}, {run.teacher.network}"), []).append(seconds)
        seconds = _fitting(run.student.training, source, speed.student_step, speed.student_image, run)
        seconds += held * (speed.teacher_image + speed.student_image)
        words = f"{source.name}, {run.student.network}, {run.objective['name']}"
        tallies.setdefault(("students", words), []).append(seconds)

    for study in campaign.coverages:
        training(study.run)
        source, speed = source_of(study.run), speed_of(study.run)
        both = speed.teacher_image + speed.student_image
        tallies.setdefault(("coverage", f"{source.name}, risks on fresh images"), []).append(study.draws * both)
        for n, repeats, seconds in _blocks(study, source.classes):
            tallies.setdefault(("coverage", f"{source.name}, audits of n = {n}"), []).extend([seconds + n * both] * repeats)
    for run in campaign.runs:
        training(run)
        source = source_of(run)
        # A student's features of another dimension are mapped to the teacher's before the audit.
        sizes = (
            _images(run, source, "test"),
            source.classes,
            _features(run.teacher.network, source.classes, source.image_shape),
        )
        if sizes not in audits:
            audits[sizes] = audit_seconds(*sizes, delta=campaign.delta)
        tallies.setdefault(("audits", f"{source.name}, n = {sizes[0]}"), []).extend([audits[sizes]] * len(run.pairs_at))
    items = [
        Item(
            kind=kind,
            words=words,
            times=len(found),
            seconds=sum(found) / len(found),
            on_device=kind in ("teachers", "students"),
        )
        for (kind, words), found in tallies.items()
    ]
    return Expected(items=tuple(items), device=campaign.device)


def audit_seconds(n: int, classes: int, dimension: int, *, delta: float) -> float:
    """Seconds of an audit of n images with features of a dimension, and of the distances that a campaign adds."""
    rng = np.random.default_rng(0)  # only the sizes matter
    student, teacher = (rng.standard_normal((n, dimension), dtype=np.float32) for _ in range(2))
    labels = np.arange(n) % classes
    pair = Pair(student, teacher, labels=labels, head_weight=np.eye(classes, dimension), head_bias=np.zeros(classes))
    rates = measured_rates()
    between = transport(n, n, dimension) * _CLOUDS + Work(products=_KERNELS * float(n) * n * dimension)
    return Ladder(pair, delta).estimate(rates).seconds + between.seconds(rates)


def measured(run: Configuration, source: Population, device: str) -> Speed:
    """A few steps and forward passes of a run with fresh weights, timed after one that is not."""
    place = torch.device(device)
    with kept_random(), torch_threads(1):
        parts = run_parts(run, source)
        teacher, student, goal = parts.teacher.to(place), parts.student.to(place), parts.objective.to(place)
        images, _ = source.batch("test", 0, min(BATCH, source.size("test") or BATCH), 0, place)
        recipe = run.teacher.training
        assert recipe is not None
        return Speed(
            teacher_step=_seconds(_step(teacher, CrossEntropy(), None, recipe, source, place), place),
            student_step=_seconds(_step(student, goal, teacher, run.student.training, source, place), place),
            teacher_image=_seconds(lambda: predict(teacher, images), place) / len(images),
            student_image=_seconds(lambda: predict(student, images), place) / len(images),
        )


def _step(
    network: nn.Module, goal: Objective, teacher: nn.Module | None, recipe: Recipe, source: Population, place: torch.device
) -> Callable[[], object]:
    """A step of training, its batch included."""
    trained = optimiser(recipe, [each for each in (*network.parameters(), *goal.parameters()) if each.requires_grad])
    seen, numbers = seen_by(recipe, source), itertools.count()
    network.train()
    if teacher is not None:
        teacher.eval()

    def step() -> None:
        images, labels = seen.batch("train", next(numbers), recipe.batch, 0, place)
        bf16 = torch.autocast("cuda", torch.bfloat16, enabled=recipe.precision == "bf16" and place.type == "cuda")
        with bf16:
            taught = None
            if goal.needs_teacher and teacher is not None:
                with torch.no_grad():
                    taught = teacher(images)
            loss = goal(network(images), taught, labels)
        trained.zero_grad()
        loss.total.backward()
        trained.step()

    return step


def _seconds(call: Callable[[], object], place: torch.device) -> float:
    """Mean of a few calls, after one that may have to set up something.

    On a CPU processor time is counted, as in a campaign's parts: what else the machine does is not the campaign's work.
    """
    call()
    if place.type != "cuda":
        began = time.process_time()
        for _ in range(_TIMED):
            call()
        return (time.process_time() - began) / _TIMED
    torch.cuda.synchronize(place)
    began = time.perf_counter()
    for _ in range(_TIMED):
        call()
    torch.cuda.synchronize(place)
    return (time.perf_counter() - began) / _TIMED


def _fitting(recipe: Recipe | None, source: Population, step: float, image: float, run: Configuration) -> float:
    """Seconds of a training by a recipe, with its look at validation images after every epoch."""
    assert recipe is not None
    return recipe.epochs * (steps_an_epoch(source, recipe) * step + _images(run, source, "validation") * image)


def _blocks(study: Coverage, classes: int) -> Iterator[tuple[int, int, float]]:
    """Sizes, repeats and seconds of the audits of a coverage study, without their samples."""
    for audits in study.audits:
        for n, repeats in zip(audits.sizes, audits.repeats, strict=True):
            logits = np.random.default_rng(0).standard_normal((2, n, classes))
            pair = Pair(logits_student=logits[0], logits_teacher=logits[1], labels=np.arange(n) % classes)
            yield n, repeats, Ladder(pair, study.deltas[0], audits.rows).estimate().seconds * len(study.deltas)


@cache
def _features(name: str, classes: int, image_shape: tuple[int, int, int]) -> int:
    size = network(name, classes, image_shape, 0).feature_size
    assert isinstance(size, int)
    return size


def _images(run: Configuration, source: Population, split: Split) -> int:
    held = source.size(split)
    return run.pairs.images if held is None else held


def _kind(run: Configuration) -> dict[str, Any]:
    """What decides the time of a step."""
    table = run.to_table()
    objective = {key: value for key, value in table["objective"].items() if key != "weight"}
    return {**{key: table[key] for key in ("population", "teacher", "student")}, "objective": objective}
