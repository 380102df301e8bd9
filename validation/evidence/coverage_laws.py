"""Populations whose risks are known exactly: finite laws of (logits of both networks, label), and their samples."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Any

import numpy as np

from kd2m_theory.arrays import Float64, Int64
from kd2m_theory.pair import Pair

_LONG = np.longdouble


@dataclass(frozen=True, eq=False)
class Law:
    """Atoms, each an input.

    Attributes:
        student: logits, atoms × K.
        teacher: likewise.
        labels: a class each.
        chances: probability of each atom.
    """

    student: Float64
    teacher: Float64
    labels: Int64
    chances: Float64

    @property
    def classes(self) -> int:
        """Number of classes K."""
        size: int = self.student.shape[1]
        return size

    def drawn(self, rng: np.random.Generator, n: int) -> Int64:
        """Atoms of n independent inputs."""
        return rng.choice(len(self.chances), n, p=self.chances)

    def pair(self, atoms: Int64) -> Pair:
        """The pair of a sample."""
        return Pair(logits_student=self.student[atoms], logits_teacher=self.teacher[atoms], labels=self.labels[atoms])

    @cached_property
    def values(self) -> dict[str, Any]:
        """Every quantity that a claim is about, for each atom, in extended precision and from its definition."""
        at, bound = np.arange(len(self.labels)), 2 * np.log(_LONG(self.classes))
        losses, briers, wrong, best = [], [], [], []
        for logits in (self.student.astype(_LONG), self.teacher.astype(_LONG)):
            raised = np.exp(logits - logits.max(axis=1, keepdims=True))
            chances = raised / raised.sum(axis=1, keepdims=True)
            losses.append(logits.max(axis=1) - logits[at, self.labels] + np.log(raised.sum(axis=1)))
            briers.append(((chances - np.eye(self.classes)[self.labels]) ** 2).sum(axis=1))
            best.append(logits.argmax(axis=1))
            wrong.append((best[-1] != self.labels).astype(_LONG))
        short = [np.minimum(each, bound) for each in losses]
        return {
            "population_gap": short[0] - short[1],
            "population_risk": short[0],
            "population_error_gap": wrong[0] - wrong[1],
            "population_error": wrong[0],
            "population_brier_gap": briers[0] - briers[1],
            "risk_teacher": losses[1],
            "risk_student": losses[0],
            "gap": losses[0] - losses[1],
            "accuracy_teacher": 1 - wrong[1],
            "accuracy_student": 1 - wrong[0],
            "error_gap": wrong[0] - wrong[1],
            "disagreement": (best[0] != best[1]).astype(_LONG),
        }

    def means(self, atoms: Int64 | None = None) -> dict[str, float]:
        """The means over the law, or over a sample of it."""
        chances = self.chances if atoms is None else np.bincount(atoms, minlength=len(self.chances)) / len(atoms)
        weights = chances.astype(_LONG) / chances.astype(_LONG).sum()
        return {name: float((weights * values).sum()) for name, values in self.values.items()}


def _logits(labels: Int64, classes: int, margin: Any) -> Float64:
    """Logits with a margin for the label: negative ones answer wrongly."""
    return np.eye(classes)[labels] * np.broadcast_to(margin, len(labels))[:, None].astype(np.float64)


def _two_atoms() -> Law:
    """The student is right or wrong by a toss; its clipped loss has two values."""
    labels = np.array([0, 1])
    student = np.array([[12.0, 0.0], [12.0, 0.0]])
    return Law(student, _logits(labels, 2, 12.0), labels, np.array([0.475, 0.525]))


def _nearly_certain() -> Law:
    """Both networks are nearly always right; the student is wrong on half a per cent."""
    labels = np.array([0, 1, 0, 1])
    student = _logits(labels, 2, np.array([9.0, 8.0, -6.0, 7.5]))
    return Law(student, _logits(labels, 2, np.array([10.0, 10.0, 3.0, 9.0])), labels, np.array([0.6, 0.295, 0.005, 0.1]))


def _rare_class() -> Law:
    """A class of one per cent that the student has not learned."""
    labels = np.array([0, 1, 2, 2])
    student = np.array([[4.0, 0.0, 0.0], [0.0, 4.0, 0.0], [3.0, 0.0, -1.0], [0.0, 2.0, 1.0]])
    return Law(student, _logits(labels, 3, 4.0), labels, np.array([0.55, 0.44, 0.007, 0.003]))


def _heavy_tail() -> Law:
    """Losses of a Pareto law of index 1.2, cut into 2,000 pieces: most of the mean is in few inputs."""
    quantiles = (np.arange(2000) + 0.5) / 2000
    losses = 0.05 * (1 - quantiles) ** (-1 / 1.2)
    labels = np.arange(2000) % 2
    # ln(1 + e^m) = loss has the margin −m.
    margin = -np.log(np.expm1(losses))
    return Law(_logits(labels, 2, margin), _logits(labels, 2, 3.0), labels, np.full(2000, 1 / 2000))


def _label_noise() -> Law:
    """Three labels of ten are wrong, and the student is surer of itself than the teacher."""
    classes = 3
    clean = np.repeat(np.arange(classes), classes)
    labels = np.tile(np.arange(classes), classes)
    chances = np.where(clean == labels, 0.7, 0.15) / classes
    teacher = _logits(clean, classes, 1.5)
    student = _logits(clean, classes, np.where(clean == 2, -1.0, 4.0))
    return Law(student, teacher, labels, chances)


def _student_better() -> Law:
    """The student is right where the teacher is wrong."""
    labels = np.array([0, 0, 1, 1, 1])
    teacher = _logits(labels, 2, np.array([3.0, -2.0, 3.0, -1.0, 0.5]))
    student = _logits(labels, 2, np.array([2.0, 1.0, 2.5, 1.0, -0.2]))
    return Law(student, teacher, labels, np.array([0.3, 0.2, 0.25, 0.15, 0.1]))


def _continuous() -> Law:
    """Four thousand atoms of Gaussian logits, all different: no ties."""
    rng = np.random.default_rng(11)
    labels = rng.integers(0, 4, 4000)
    teacher = _logits(labels, 4, 2.0) + rng.normal(size=(4000, 4))
    return Law(teacher + 0.7 * rng.normal(size=(4000, 4)), teacher, labels, np.full(4000, 1 / 4000))


_MADE: Mapping[str, Callable[[], Law]] = {
    "two atoms": _two_atoms,
    "nearly certain": _nearly_certain,
    "rare class": _rare_class,
    "heavy tail": _heavy_tail,
    "label noise": _label_noise,
    "student better": _student_better,
    "continuous": _continuous,
}
LAWS = tuple(_MADE)
# What stands against what on a population: the networks that the law has, the same two exchanged, and a student that says what
# the teacher says with three times its margin.
PAIRS: Mapping[str, Callable[[Law], Law]] = {
    "as made": lambda law: law,
    "exchanged": lambda law: replace(law, student=law.teacher, teacher=law.student),
    "overconfident": lambda law: replace(law, student=3 * law.teacher),
}


@cache
def law(name: str, pair: str = "as made") -> Law:
    """A law by name, with the pair of that name."""
    return PAIRS[pair](_MADE[name]())


@cache
def truth(name: str, pair: str = "as made") -> dict[str, tuple[float, float]]:
    """The means of a law, each between two float64 that are 1e-12 apart."""
    return {target: (value - 5e-13, value + 5e-13) for target, value in law(name, pair).means().items()}


ORDERS: Mapping[str, Callable[[Law, Int64], Int64]] = {
    "as drawn": lambda _law, atoms: atoms,
    "sorted by class": lambda law, atoms: atoms[np.argsort(law.labels[atoms], kind="stable")],
    "sorted by loss": lambda law, atoms: atoms[np.argsort(law.values["risk_student"][atoms].astype(float), kind="stable")],
}
