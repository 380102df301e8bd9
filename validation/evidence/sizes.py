"""Audits of the sizes that people have, each within the memory that it may take: does every row hold, and is none left out?

The sizes, their pairs and their goals are also those of `validation/benchmarks/audit_scale.py`, which measures time and memory.
"""

import math
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, replace
from multiprocessing import get_context

import numpy as np
from numpy.typing import NDArray

from kd2m_theory.bounds.ladder import at_fault
from kd2m_theory.bounds.result import BoundResult
from kd2m_theory.estimators import wasserstein
from kd2m_theory.pair import Pair
from kd2m_theory.reporting.report import AuditReport, audit
from kd2m_theory.validation.evidence import tiles
from kd2m_theory.validation.evidence.suite import Case, Suite
from kd2m_theory.validation.evidence.workers import within_memory

# The logits of a pair that has no features are a head's on so many.
_HIDDEN = 32
_SMALL = "up to 1,000 samples"
_SMALL_GIGABYTES = 1.0


@dataclass(frozen=True)
class Size:
    """An audit of some size, and what it may take.

    Attributes:
        n: samples.
        d: dimensions of the features; 0 if there are logits alone.
        classes: classes K.
        zipf: whether the class of rank r has a share proportional to 1 / r, as words have; else all are equally frequent.
        whole_cloud: whether rows that transport the whole cloud (T3, T4) are asked for.
        seconds: goal on two cores; None without one.
        gigabytes: goal for the memory of the process, the pair included; None without one.
    """

    n: int
    d: int
    classes: int
    zipf: bool = False
    whole_cloud: bool | None = None
    seconds: float | None = None
    gigabytes: float | None = None

    def audit(self, pair: Pair) -> AuditReport:
        """The audit of a pair, with the rows that this size asks for."""
        return audit(pair, whole_cloud=self.whole_cloud, temperature=4.0)


GOALS: Mapping[str, Size] = {
    "CIFAR-10": Size(n=10_000, d=512, classes=10, seconds=20, gigabytes=1.0),
    "CIFAR-10 with T3, T4": Size(n=10_000, d=512, classes=10, whole_cloud=True, seconds=40, gigabytes=4.0),
    "1,000 classes": Size(n=10_000, d=128, classes=1000, seconds=90, gigabytes=2.0),
    "a vocabulary of 32,000": Size(n=2000, d=256, classes=32_000, zipf=True, seconds=120, gigabytes=4.0),
    "a million rows": Size(n=1_000_000, d=0, classes=10, seconds=300, gigabytes=4.0),
    "ImageNet": Size(n=50_000, d=512, classes=1000, seconds=480, gigabytes=6.0),
}


def make_pair(size: Size, rng: np.random.Generator) -> Pair:
    """A labelled pair in float32 whose teacher errs on about 3 % of the samples and whose student on about 10 %.

    Classes are Gaussian clouds around random centres, seen through a ReLU. The student has the teacher's features, shrunk and
    with noise, and a head of its own; the head of both is that of the nearest centre.
    """
    n, d, classes = size.n, size.d or _HIDDEN, size.classes
    labels = rng.choice(classes, n, p=_shares(classes)) if size.zipf else np.arange(n) % classes
    # Nearest centres are harder to tell apart among many.
    centres = _normal(rng, (classes, d), (0.7 + math.sqrt(2 * math.log(classes))) / math.sqrt(d))
    teacher = _normal(rng, (n, d), 0.6)
    teacher += centres[labels]
    np.maximum(teacher, 0, out=teacher)
    student = _normal(rng, (n, d), 0.2)
    student += np.float32(0.95) * teacher
    np.maximum(student, 0, out=student)
    weight = centres - centres.mean(axis=0)
    bias = np.float32(-0.5) * np.square(np.maximum(centres, 0)).sum(axis=1)
    own = student @ (weight + _normal(rng, weight.shape, 0.02)).T
    own += bias
    if size.d:
        return Pair(teacher, student, labels, logits_student=own, head_weight=weight, head_bias=bias)
    return Pair(labels=labels, logits_teacher=teacher @ weight.T + bias, logits_student=own)


def _normal(rng: np.random.Generator, shape: tuple[int, ...], deviation: float) -> NDArray[np.float32]:
    values = rng.standard_normal(shape, np.float32)
    values *= np.float32(deviation)
    return values


def _shares(classes: int) -> NDArray[np.float64]:
    shares = 1.0 / np.arange(1, classes + 1)
    return np.asarray(shares / shares.sum(), dtype=np.float64)


def small(rng: np.random.Generator) -> Size:
    """Some size that takes a second: fewer samples than classes or than dimensions are among them."""
    return Size(
        n=int(np.exp(rng.uniform(np.log(20), np.log(1000)))),
        d=int(rng.choice([0, 2, 16, 256])),
        classes=int(rng.choice([2, 3, 10, 100, 300])),
        zipf=bool(rng.random() < 0.5),
        whole_cloud=bool(rng.random() < 0.5),
        gigabytes=_SMALL_GIGABYTES,
    )


def examine(rng: np.random.Generator) -> Iterator[Case]:
    """One small audit."""
    return reach(_SMALL, small(rng), rng)


class BySize(Suite):
    """A suite whose blocks have one of `GOALS` each, in their order, as first item; the other items are small audits."""

    def item(self, block: int, item: int) -> list[Case]:
        """The cases of one item.

        Raises:
            InputError: there is no such item.
        """
        if item:
            return super().item(block, item)
        name = list(GOALS)[block % len(GOALS)]
        # A process of its own, as a user's is: libraries that other audits needed would count against its memory.
        with ProcessPoolExecutor(1, get_context("spawn")) as alone:
            return alone.submit(_reached, name, GOALS[name], self.numbers(block, item)).result()


def reach(name: str, size: Size, rng: np.random.Generator) -> Iterator[Case]:
    """What each row of an audit says that has no more memory than its goal: the exact targets are in the suite `rows`."""
    pair = make_pair(size, rng)
    strata = {"size": name}
    try:
        with nullcontext() if size.gigabytes is None else within_memory(int(size.gigabytes * 1e9)):
            report = size.audit(pair)
    except MemoryError:
        yield Case(strata, f"needs more memory than {size.gigabytes} GB")
        return
    yield from (Case({**strata, "part": part}, why) for part, why in report.left_out.items())
    yield from (Case({**strata, "row": row.name, "status": row.status}, wrong(row)) for row in report.rows)


def _reached(name: str, size: Size, rng: np.random.Generator) -> list[Case]:
    return list(reach(name, size, rng))


def wrong(row: BoundResult) -> str:
    """What is wrong with a row; empty if nothing is."""
    if row.violated:
        return str(row)
    if row.status == "not computed" or at_fault(row) or row.why.startswith(f"{row.name} is too large here"):
        return row.why
    return ""


def warm_up() -> None:
    """Load the solvers."""
    with tiles.on_tiles():
        wasserstein([[0.0, 1.0], [1.0, 3.0], [2.0, 0.0]], [[0.5, 0.0], [7.0, 1.0]])
    few = replace(GOALS["CIFAR-10 with T3, T4"], n=30, d=4)
    few.audit(make_pair(few, np.random.default_rng(0)))


SUITE = BySize(
    name="sizes",
    claim=(
        "An audit of any size within the memory of its goal computes every row that applies, none for lack of memory, and "
        "every row about the sample holds: CIFAR's size, 1,000 classes, ImageNet's, a vocabulary's, a million rows, and small "
        "ones with more classes than samples."
    ),
    oracle="The measured value of each row's target on the same sample, and a limit on the memory of the process.",
    case="one row of one audit",
    blocks=len(GOALS),
    items=30,
    seconds=3600.0,
    memory=8 * 2**30,
    modules=("kd2m_theory.validation.evidence.sizes", "kd2m_theory.validation.evidence.tiles"),
    examine=examine,
    warm_up=warm_up,
)
