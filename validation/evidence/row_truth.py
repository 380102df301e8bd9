"""What rows are about, on one sample, from its definition: no formula of the bounds, and no float64.

Everything is computed twice. First in the processor's extended precision (64 binary digits and a bound on the error), which
settles nearly every comparison; what it leaves open is settled with mpmath, with so many digits that nothing is lost.

Whether an answer is right is a jump: where logits are replayed from features and two of them are equal up to the rounding of
that product, either answer counts as the network's, and the truth is an interval.
"""

import math
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any

import mpmath
import numpy as np

from kd2m_theory.errors import InputError
from kd2m_theory.pair import Pair
from kd2m_theory.validation.evidence.exact_transport import powers

LONG = np.longdouble
_STEP = float(np.finfo(LONG).eps)
_SINGLE_STEP = 2.0**-52

# Targets that a sample has: what is measured on it, and the mean over labels drawn from its teacher.
TARGETS = frozenset(
    {
        "gap",
        "gap_shared_head",
        "error_gap",
        "error_student",
        "probability_gap",
        "tempered_gap",
        "squared_gap",
        "brier_gap",
        "class_w2",
        "expected_gap",
    }
)


@dataclass(frozen=True)
class Side:
    """One network: what makes its logits, and its classes.

    Attributes:
        points: n × d features under `weight` and `bias`; n × K logits if those are None.
        labels: n classes.
        weight: K × d.
        bias: K.
    """

    points: Any
    labels: Any
    weight: Any = None
    bias: Any = None

    @cached_property
    def logits(self) -> tuple[Any, Any]:
        """Logits in extended precision, n × K, and a bound on the error of each row."""
        if self.weight is None:
            return self.points.astype(LONG), np.zeros(len(self.points), dtype=LONG)
        points, weight, bias = (each.astype(LONG) for each in (self.points, self.weight, self.bias))
        terms = np.abs(points) @ np.abs(weight).T + np.abs(bias)
        return points @ weight.T + bias, (points.shape[1] + 2) * _STEP * terms.max(axis=1) + LONG(1e-4900)

    @cached_property
    def losses(self) -> tuple[Any, Any]:
        """Cross-entropy of each row, and bounds on their errors."""
        logits, error = self.logits
        largest = logits.max(axis=1)
        own = np.take_along_axis(logits, self.labels[:, None], axis=1)[:, 0]
        values = (largest - own) + np.log(np.exp(logits - largest[:, None]).sum(axis=1))
        return values, 2 * error + _STEP * (logits.shape[1] + 16) * (2 + values)

    @cached_property
    def every_loss(self) -> tuple[Any, Any]:
        """Cross-entropy of each row and class, n × K, and bounds on their errors."""
        logits, error = self.logits
        largest = logits.max(axis=1, keepdims=True)
        values = (largest - logits) + np.log(np.exp(logits - largest).sum(axis=1, keepdims=True))
        return values, 2 * error[:, None] + _STEP * (logits.shape[1] + 16) * (2 + values)

    def tempered(self, temperature: float) -> "Side":
        """The network with its logits divided by a power of two or by a number that rounds: see `Truth`."""
        logits, _ = self.logits
        return Side(logits / LONG(temperature), self.labels)

    @cached_property
    def wrong(self) -> tuple[int, int]:
        """The least and the largest number of wrong answers: they differ where rounding of a replay decides."""
        logits, error = self.logits
        if self.weight is None:
            wrong = int((logits.argmax(axis=1) != self.labels).sum())
            return wrong, wrong
        near = error * (_SINGLE_STEP / _STEP)
        own = np.take_along_axis(logits, self.labels[:, None], axis=1)[:, 0]
        others = logits.copy()
        np.put_along_axis(others, self.labels[:, None], -np.inf, axis=1)
        ahead = own - others.max(axis=1)
        return int((ahead < -2 * near).sum()), int((ahead <= 2 * near).sum())


class Truth:
    """The targets of one sample, each as an interval that has it.

    Args:
        pair: the sample, with labels.
        temperature: of the transformed teacher.

    Raises:
        InputError: the pair has no labels, or this processor has no extended precision.
    """

    def __init__(self, pair: Pair, temperature: float) -> None:
        if _STEP > 1e-18:
            raise InputError("this processor has no extended precision; run the suite rows on an x86 machine")
        if pair.labels is None:
            raise InputError("the truth of a sample needs its labels")
        self.pair, self.temperature = pair, temperature
        self._labels = pair.labels if pair.inputs_paired else pair.labels_student, pair.labels
        self._known: dict[str, tuple[Any, Any]] = {}
        self._rows: dict[tuple[int, float], list[_Softmax]] = {}

    @cached_property
    def own(self) -> tuple[Side, Side]:
        """Student and teacher, each with its own head."""
        pair = self.pair
        sides = []
        for logits, points, labels in zip(
            (pair.logits_student, pair.logits_teacher),
            (pair.features_student, pair.features_teacher),
            self._labels,
            strict=True,
        ):
            sides.append(Side(points, labels, pair.head_weight, pair.head_bias) if logits is None else Side(logits, labels))
        return sides[0], sides[1]

    @cached_property
    def shared(self) -> tuple[Side, Side]:
        """Student and teacher through the teacher's head."""
        pair = self.pair
        head = pair.head_weight, pair.head_bias
        return Side(pair.features_student, self._labels[0], *head), Side(pair.features_teacher, self._labels[1], *head)

    def roughly(self, target: str) -> tuple[Any, Any] | None:
        """An interval in extended precision that has the target; None where only `exactly` answers."""
        if target == "class_w2":
            return None
        if target in ("error_gap", "error_student"):
            low, high = self.exactly(target)
            return LONG(float(low)) * (1 - LONG(1e-15)) - LONG(1e-15), LONG(float(high)) + LONG(1e-15)
        means, errors = zip(*(_mean(*self._values(target, side)) for side in (0, 1)), strict=True)
        value, error = means[0] - means[1], errors[0] + errors[1] + _STEP * (abs(means[0]) + abs(means[1]))
        return value - 2 * error, value + 2 * error

    def exactly(self, target: str) -> tuple[Any, Any]:
        """An interval of rational numbers, or of mpmath's with far more digits than any float64 has, that has the target."""
        if target not in self._known:  # many rows ask for one target
            self._known[target] = self._exactly(target)
        return self._known[target]

    def _exactly(self, target: str) -> tuple[Any, Any]:
        if target == "class_w2":
            return self._distance()
        if target in ("error_gap", "error_student"):
            (low, high), n = self.own[0].wrong, len(self.own[0].labels)
            if target == "error_student":
                return Fraction(low, n), Fraction(high, n)
            (less, more), m = self.own[1].wrong, len(self.own[1].labels)
            return Fraction(low, n) - Fraction(more, m), Fraction(high, n) - Fraction(less, m)
        digits = self._precision()
        with mpmath.workprec(digits):
            means = [self._exact_mean(target, side) for side in (0, 1)]
            value = means[0] - means[1]
            error = (abs(means[0]) + abs(means[1]) + 1) * mpmath.mpf(2) ** (100 - digits)
            return value - error, value + error

    def _sides(self, target: str) -> tuple[Side, Side]:
        return self.shared if target in ("gap_shared_head", "squared_gap") else self.own

    def _values(self, target: str, which: int) -> tuple[Any, Any]:
        side = self._sides(target)[which]
        if target in ("gap", "gap_shared_head"):
            return side.losses
        if target == "expected_gap":
            (losses, error), (surprise, doubt) = side.every_loss, self.own[1].every_loss
            chances = np.exp(-surprise)
            weights = np.expm1(np.minimum(doubt, 1)) + _STEP
            return (chances * losses).sum(axis=1), (chances * (error + weights * (losses + error))).sum(axis=1)
        if target in ("probability_gap", "tempered_gap"):
            if target == "tempered_gap" and which == 1:
                side = side.tempered(self.temperature)
                logits, error = side.logits
                error = error + _STEP * np.abs(logits).max(axis=1) + self.own[1].logits[1]
                losses, more = side.losses
                return np.exp(-losses), 2 * (more + 2 * error) + _STEP
            losses, error = side.losses
            return np.exp(-losses), 2 * error + _STEP
        logits, error = side.logits
        size = logits.shape[1]
        if target == "brier_gap":
            raised = np.exp(logits - logits.max(axis=1, keepdims=True))
            logits = raised / raised.sum(axis=1, keepdims=True)
            error = 4 * np.minimum(error, 1) + _STEP * (size + 16)
        away = logits - np.eye(size, dtype=LONG)[side.labels]
        values = (away**2).sum(axis=1)
        return values, 2 * error * np.abs(away).sum(axis=1) + size * error**2 + _STEP * (size + 4) * values

    def _exact_mean(self, target: str, which: int) -> Any:
        side = self._sides(target)[which]
        tempered = target == "tempered_gap" and which == 1
        rows, labels = self._softmaxes(side, self.temperature if tempered else 1.0), side.labels.tolist()
        if target == "expected_gap":
            drawn = (row.chances for row in self._softmaxes(self.own[1], 1.0))
            return mpmath.fsum(mpmath.fdot(p, row.losses) for p, row in zip(drawn, rows, strict=True)) / len(rows)
        if target in ("gap", "gap_shared_head"):
            values = [row.losses[label] for row, label in zip(rows, labels, strict=True)]
        elif target in ("probability_gap", "tempered_gap"):
            values = [row.chances[label] for row, label in zip(rows, labels, strict=True)]
        else:
            outputs = [row.logits if target == "squared_gap" else row.chances for row in rows]
            values = [
                mpmath.fsum((each - (c == label)) ** 2 for c, each in enumerate(output))
                for output, label in zip(outputs, labels, strict=True)
            ]
        return mpmath.fsum(values) / len(values)

    def _softmaxes(self, side: Side, temperature: float) -> "list[_Softmax]":
        """The softmax of each row; several targets read them."""
        key = id(side), temperature  # sides live as long as this object
        if key not in self._rows:
            divisor = mpmath.mpf(temperature)
            self._rows[key] = [_softmax([each / divisor for each in row]) for row in _exact_logits(side)]
        return self._rows[key]

    def _precision(self) -> int:
        """Binary digits with which no product or difference of the inputs loses anything that matters."""
        pair = self.pair
        arrays = (pair.features_teacher, pair.features_student, pair.head_weight, pair.head_bias)
        sizes = [np.abs(each) for each in (*arrays, pair.logits_teacher, pair.logits_student) if each is not None]
        ends = [(float(each.max()), float(each[each > 0].min())) for each in sizes if each.any()]
        spread = sum(math.frexp(high)[1] - math.frexp(low)[1] for high, low in ends)
        top = sum(max(0, math.frexp(high)[1]) for high, _ in ends)
        bottom = sum(max(0, -math.frexp(low)[1]) for _, low in ends)
        return 400 + spread + 2 * (top + min(bottom, 2200))

    def _distance(self) -> tuple[Any, Any]:
        """W₂ of the features, root mean square over classes."""
        pair, (labels_s, labels_t) = self.pair, self._labels
        assert labels_s is not None
        low = high = Fraction(0)
        for label in sorted(set(labels_t.tolist())):
            x, y = pair.features_student[labels_s == label], pair.features_teacher[labels_t == label]  # type: ignore[index]
            equal = [[Fraction(1, len(each))] * len(each) for each in (x, y)]
            part = powers(x, y, 2, *equal).times(Fraction(len(y), len(labels_t)))
            low, high = low + part.low, high + part.high
        with mpmath.workprec(400):
            ends = [mpmath.sqrt(mpmath.mpf(each.numerator) / each.denominator) for each in (low, high)]
            step = ends[1] * mpmath.mpf(2) ** -300
            return ends[0] - step, ends[1] + step


def _exact_logits(side: Side) -> list[list[Any]]:
    points = [[mpmath.mpf(each) for each in row] for row in side.points.tolist()]
    if side.weight is None:
        return points
    weight = [[mpmath.mpf(each) for each in row] for row in side.weight.tolist()]
    bias = [mpmath.mpf(each) for each in side.bias.tolist()]
    return [[mpmath.fdot(row, point) + b for row, b in zip(weight, bias, strict=True)] for point in points]


@dataclass(frozen=True)
class _Softmax:
    """A row of logits with its probabilities and the loss of every class, numbers of mpmath."""

    logits: list[Any]
    chances: list[Any]
    losses: list[Any]


def _softmax(row: list[Any]) -> _Softmax:
    largest = max(row)
    # Less than any digit that is kept, even times a loss.
    least = -2 * mpmath.mp.prec
    raised = [mpmath.exp(each - largest) if each - largest > least else mpmath.mpf(0) for each in row]
    mass = mpmath.fsum(raised)
    normaliser = mpmath.log(mass)
    return _Softmax(logits=row, chances=[each / mass for each in raised], losses=[largest - each + normaliser for each in row])


def _mean(values: Any, errors: Any) -> tuple[Any, Any]:
    n = len(values)
    return values.sum() / n, errors.sum() / n + (n + 2) * _STEP * np.abs(values).sum() / n
