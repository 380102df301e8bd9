"""Claims about the population without their allowance for chance, or with half of it: controls of a coverage count.

A count of misses proves something about a radius only where a missing radius is seen: such a control has to be wrong more often
than δ. Where a bound is far above what it bounds, no count can show it, and the cell says so.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.special import log_softmax

from kd2m_theory.arrays import Float64, Int64
from kd2m_theory.bounds import BoundResult
from kd2m_theory.bounds.rows.t0_known_teacher import error_ends
from kd2m_theory.pair import Pair

# By name, how much of the radius is left; the first that is caught names the power of a cell.
CONTROLS: Mapping[str, float] = {"half the radius": 0.5, "no radius": 0.0}


@dataclass(frozen=True, eq=False)
class Sample:
    """The means of a sample that rows about the population are built on, from their definitions.

    Attributes:
        student: logits, n × K.
        teacher: likewise.
        labels: a class each.
        bound: the number B that losses are clipped at.
    """

    student: Float64
    teacher: Float64
    labels: Int64
    bound: float

    @classmethod
    def of(cls, pair: Pair, bound: float) -> "Sample":
        """The sample of a pair of labelled logits."""
        assert pair.logits_student is not None
        assert pair.logits_teacher is not None
        assert pair.labels is not None
        return cls(pair.logits_student, pair.logits_teacher, pair.labels, bound)

    @cached_property
    def losses(self) -> tuple[Float64, Float64]:
        """Clipped cross-entropy of every class for each input, n × K: of student and teacher."""
        student, teacher = (np.minimum(-log_softmax(each, axis=1), self.bound) for each in (self.student, self.teacher))
        return student, teacher

    @property
    def own(self) -> tuple[Float64, Float64]:
        """The same for the label alone."""
        at = np.arange(len(self.labels))
        return self.losses[0][at, self.labels], self.losses[1][at, self.labels]

    @property
    def errors(self) -> tuple[Float64, Float64]:
        """1 where a network is wrong."""
        wrong_s, wrong_t = ((each.argmax(axis=1) != self.labels).astype(float) for each in (self.student, self.teacher))
        return wrong_s, wrong_t

    @property
    def gains(self) -> Float64:
        """Gain of the logit of every class over the label's, from teacher to student: n × K."""
        change = self.student - self.teacher
        gains: Float64 = change - change[np.arange(len(change)), self.labels][:, None]
        return gains


Ends = tuple[float, float]


def _one(values: Float64) -> Ends:
    return float(values.mean()), float(values.mean())


def _both(values: Float64) -> Ends:
    return -float(values.mean()), float(values.mean())


def _label_free(sample: Sample) -> Ends:
    change = sample.losses[0] - sample.losses[1]
    return float(change.min(axis=1).mean()), float(change.max(axis=1).mean())


def _near(sample: Sample) -> Float64:
    """1 where the teacher's margin is at most what a logit gains on the label's."""
    at = np.arange(len(sample.labels))
    others, gains = sample.teacher.copy(), sample.gains
    others[at, sample.labels] = gains[at, sample.labels] = -math.inf
    margin = sample.teacher[at, sample.labels] - others.max(axis=1)
    near: Float64 = (margin <= gains.max(axis=1)).astype(float)
    return near


_OF_THE_SAMPLE: Mapping[str, Callable[[Sample], Ends]] = {
    "F1.gap": lambda sample: _one(sample.own[0] - sample.own[1]),
    "F1.risk": lambda sample: _one(sample.own[0]),
    "F1.error_gap": lambda sample: _one(sample.errors[0] - sample.errors[1]),
    "F1.error": lambda sample: _one(sample.errors[0]),
    "F3.T0": _label_free,
    "F3.T1": lambda sample: _both(np.minimum(np.abs(sample.gains).max(axis=1), sample.bound)),
    "F3.T0.error": lambda sample: _both((sample.student.argmax(axis=1) != sample.teacher.argmax(axis=1)).astype(float)),
    "F3.teacher_risk": lambda sample: (
        float((sample.losses[0] + sample.losses[1]).min(axis=1).mean()),
        float((sample.losses[0] - 2 * sample.losses[1]).max(axis=1).mean()),
    ),
    "F3.T8": lambda sample: (0.0, float(_near(sample).mean())),
}
# Rows that are a number of the sample plus a radius say both.
_WITHOUT: Mapping[str, Callable[[Mapping[str, float]], Ends]] = {
    **{f"F2.{name}": lambda said: (0.0, said["R̂_T"] + said["D̂"]) for name in ("T0", "T1", "T2", "T5")},
    **{f"F2.{name}": lambda said: (0.0, said["anchor"] + said["D̂"]) for name in ("T0.error", "T8")},
    "F4.brier": lambda said: (-said["‖f‖_H"] * said["MMD"], said["‖f‖_H"] * said["MMD"]),
    "F5.T2": lambda said: (-said["W"], said["W"]),
    "F5.brier": lambda said: (-2 * math.sqrt(2) * said["W₁"], 2 * math.sqrt(2) * said["W₁"]),
}


def without_radius(row: BoundResult, pair: Pair) -> Ends:
    """The ends of a row about the population with its radius taken away.

    Raises:
        KeyError: the row is new, and this module does not know what its radius is.
    """
    if row.name in _WITHOUT:
        return _WITHOUT[row.name](row.details)
    # A row without B counts errors, which are not clipped.
    sample = Sample.of(pair, row.details.get("B", math.inf))
    if row.name == "F3.teacher_risk":
        most = row.details["ρ"]
        return tuple(mean + λ * most for mean, λ in zip(_OF_THE_SAMPLE[row.name](sample), (-2, 1), strict=True))  # type: ignore[return-value]
    if row.name == "F3.teacher_error":
        share, wrong = _OF_THE_SAMPLE["F3.T0.error"](sample)[1], row.details["e"]
        return error_ends((share, share), (wrong, wrong), sample.student.shape[1])
    return _OF_THE_SAMPLE[row.name](sample)
