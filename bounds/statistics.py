"""What rows without transport read of logits: a few numbers of each sample, computed in blocks of rows.

A statistic of one network is named after it, `loss_student`; those of both networks on the same input are not. Each row of
logits is looked at by itself, so that blocks of any size give the same numbers, to the last bit.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

from kd2m_theory.arrays import Float64, Int64
from kd2m_theory.bounds.constants.heads import row_norms
from kd2m_theory.bounds.losses import clipped, cross_entropy, log_partition, margin
from kd2m_theory.estimators.ground import EPS
from kd2m_theory.logits import AnyLogits
from kd2m_theory.side_by_side import over_rows

Statistic = NDArray[Any]
# Entries of one network's logits that are looked at at a time: a dozen arrays of as many stay in a processor's cache.
BLOCK = 2**16


@dataclass(frozen=True, slots=True)
class Told:
    """What an audit is told that statistics depend on.

    Attributes:
        bound: B in nats, where cross-entropy is clipped.
        temperature: T of the transformed teacher; None without one.
    """

    bound: float
    temperature: float | None


@dataclass(frozen=True)
class Side:
    """Rows of one network.

    Attributes:
        logits: n × K.
        labels: n classes, or None.
    """

    logits: Float64
    labels: Int64 | None

    @cached_property
    def logs(self) -> Float64:
        """log softmax(a), n × K."""
        result: Float64 = log_softmax(self.logits, axis=1)
        return result

    @cached_property
    def centred(self) -> Float64:
        """Logits less their mean over classes, n × K."""
        result: Float64 = self.logits - self.logits.mean(axis=1, keepdims=True)
        return result


@dataclass(frozen=True)
class Rows:
    """The same rows of both networks."""

    student: Side
    teacher: Side
    told: Told

    @property
    def labels(self) -> Int64:
        """Labels of the inputs (n)."""
        assert self.teacher.labels is not None
        return self.teacher.labels

    @cached_property
    def change(self) -> Float64:
        """Δ = a_S − a_T, n × K."""
        return self.student.logits - self.teacher.logits


def _loss(side: Side) -> Float64:
    assert side.labels is not None
    return cross_entropy(side.logits, side.labels)


OF_ONE: Mapping[str, Callable[[Side], Statistic]] = {
    # The most likely class, the first of equals.
    "predicted": lambda side: side.logits.argmax(axis=1),
    # Cross-entropy, in nats.
    "loss": _loss,
    # log Σ_c exp(a_c), in nats.
    "partition": lambda side: log_partition(side.logits),
    # Loss at the least likely class, in nats.
    "largest_loss": lambda side: -side.logs.min(axis=1),
    # max_c |a_c|, in nats.
    "size": lambda side: np.abs(side.logits).max(axis=1),
    # Σ_c p_c log p_c.
    "negative_entropy": lambda side: (np.exp(side.logs) * side.logs).sum(axis=1),
    # ‖a − mean a‖₂, rounded up.
    "norm": lambda side: row_norms(side.centred),
}


def _changes(rows: Rows) -> dict[str, Statistic]:
    """The least and the largest change of a logit, in nats."""
    return {"least_change": rows.change.min(axis=1), "most_change": rows.change.max(axis=1)}


def _own_change(rows: Rows) -> dict[str, Statistic]:
    """Δ_y of the true class, in nats."""
    return {"own_change": np.take_along_axis(rows.change, rows.labels[:, None], axis=1)[:, 0]}


def _near(rows: Rows) -> dict[str, Statistic]:
    """Whether another class may gain as much on the true one as the teacher's margin is."""
    change = rows.change - np.take_along_axis(rows.change, rows.labels[:, None], axis=1)
    np.put_along_axis(change, rows.labels[:, None], -np.inf, axis=1)
    student, teacher = rows.student.logits, rows.teacher.logits
    slack = 8 * EPS * np.maximum(np.abs(student).max(axis=1), np.abs(teacher).max(axis=1))
    return {"near": margin(teacher, rows.labels) <= change.max(axis=1) + slack}


def _lengths(rows: Rows) -> dict[str, Statistic]:
    """‖z_S − z_T‖ of centred logits, rounded up."""
    return {"length": row_norms(rows.student.centred - rows.teacher.centred)}


def _probabilities(rows: Rows) -> dict[str, Statistic]:
    """What predictive distributions differ by.

    least_gain, most_gain: extremes of p_S(c) − p_T(c). expected, expected_size: Σ_c p_T(c) ln(p_T(c)/p_S(c)), and the same of
    absolute values. The others are those of `_divergence`.
    """
    gain, expected, found = _divergence(rows.teacher.logs, rows.student.logs)
    return {
        **found,
        "least_gain": gain.min(axis=1),
        "most_gain": gain.max(axis=1),
        "expected": expected.sum(axis=1),
        "expected_size": np.abs(expected).sum(axis=1),
    }


def _divergence(teacher: Float64, student: Float64) -> tuple[Float64, Float64, dict[str, Statistic]]:
    """p_S − p_T and p_T d, n × K each, with d = log p_T − log p_S; and what they add up to.

    divergence: KL(p_T‖p_S) in nats, as Σ_c p_T(c) (e^{−d_c} − 1 + d_c): the terms are ≥ 0 and small where the networks agree.
    apart: Σ_c |p_S(c) − p_T(c)|.

    Args:
        teacher: log p_T, n × K.
        student: log p_S, n × K.
    """
    weight, ratio = np.exp(teacher), teacher - student
    # d may be infinite or e^{−d} overflow only where the weight makes up for it: p_T e^{−d} = p_S.
    gain, expected = np.exp(student) - weight, weight * ratio
    terms = np.where(np.abs(ratio) < 1.0, weight * (np.expm1(-ratio.clip(-1.0, 1.0)) + ratio), gain + expected)
    return gain, expected, {"divergence": terms.sum(axis=1), "apart": np.abs(gain).sum(axis=1)}


def _tempered(rows: Rows) -> dict[str, Statistic]:
    """What `_divergence` says of the teacher softened by the temperature."""
    assert rows.told.temperature is not None
    *_, found = _divergence(log_softmax(rows.teacher.logits / rows.told.temperature, axis=1), rows.student.logs)
    return {f"tempered_{name}": values for name, values in found.items()}


def _tempered_loss(rows: Rows) -> dict[str, Statistic]:
    """Cross-entropy of the softened teacher, in nats."""
    assert rows.told.temperature is not None
    return {"tempered_loss": cross_entropy(rows.teacher.logits / rows.told.temperature, rows.labels)}


def _clipped(rows: Rows) -> dict[str, Statistic]:
    """The least and the largest change of the loss at any class, clipped at B, in nats."""
    student, teacher = (clipped(-side.logs, rows.told.bound) for side in (rows.student, rows.teacher))
    change = student - teacher
    return {"least_clipped": change.min(axis=1), "most_clipped": change.max(axis=1)}


_Paired = Callable[[Rows], dict[str, Statistic]]
OF_BOTH: Mapping[tuple[str, ...], _Paired] = {
    ("least_change", "most_change"): _changes,
    ("own_change",): _own_change,
    ("near",): _near,
    ("length",): _lengths,
    ("divergence", "apart", "least_gain", "most_gain", "expected", "expected_size"): _probabilities,
    ("tempered_divergence", "tempered_apart"): _tempered,
    ("tempered_loss",): _tempered_loss,
    ("least_clipped", "most_clipped"): _clipped,
}
_LABELLED, _TEMPERED = {"loss", "own_change", "near", "tempered_loss"}, {"tempered_divergence", "tempered_loss"}


def every_statistic(student: AnyLogits, teacher: AnyLogits, labels: Int64 | None, told: Told) -> dict[str, Statistic]:
    """All statistics of n × K logits of both networks on the same inputs: without labels, or a temperature, some are not."""

    def known(name: str) -> bool:
        return not (name in _LABELLED and labels is None) and not (name in _TEMPERED and told.temperature is None)

    def of(rows: Rows) -> dict[str, Statistic]:
        found: dict[str, Statistic] = {}
        for ending, side in (("student", rows.student), ("teacher", rows.teacher)):
            found |= {f"{name}_{ending}": compute(side) for name, compute in OF_ONE.items() if known(name)}
        for names, compute_both in OF_BOTH.items():
            found |= compute_both(rows) if known(names[0]) else {}
        return found

    return _in_blocks(of, student, teacher, labels, told)


def group_of(name: str) -> tuple[str, ...]:
    """The statistics that are computed together with one.

    Example:
        >>> group_of("least_clipped"), group_of("loss_student")
        (('least_clipped', 'most_clipped'), ('loss_student',))
    """
    return next((group for group in OF_BOTH if name in group), (name,))


def of_one(name: str, logits: AnyLogits, labels: Int64 | None) -> Statistic:
    """A statistic of one network's n × K logits, n values."""
    compute = OF_ONE[name.rsplit("_", 1)[0]]
    parts = over_rows(
        logits.shape, lambda rows: compute(Side(logits[rows], None if labels is None else labels[rows])), entries=BLOCK
    )
    return np.concatenate(parts)


def of_both(
    group: tuple[str, ...], student: AnyLogits, teacher: AnyLogits, labels: Int64 | None, told: Told
) -> dict[str, Statistic]:
    """Statistics of n × K logits of both networks on the same inputs, n values each."""
    return _in_blocks(OF_BOTH[group], student, teacher, labels, told)


def _in_blocks(
    compute: Callable[[Rows], dict[str, Statistic]], student: AnyLogits, teacher: AnyLogits, labels: Int64 | None, told: Told
) -> dict[str, Statistic]:
    def of(rows: slice) -> dict[str, Statistic]:
        own = None if labels is None else labels[rows]
        return compute(Rows(Side(student[rows], own), Side(teacher[rows], own), told))

    parts = over_rows(student.shape, of, entries=BLOCK)
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
