"""Where the difference of two networks comes from: classes, confusions, single samples, and how far each may be believed.

All of it is about these samples, and nothing here is a bound. Contributions are parts of what an audit measures: those of all
classes sum to it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from kd2m_theory.arrays import Float64, Int64
from kd2m_theory.bounds.losses import cross_entropy
from kd2m_theory.bounds.result import BoundResult
from kd2m_theory.bounds.view import View
from kd2m_theory.logits import Logits

By = Literal["label", "teacher"]

# So many are listed at most; what is left out is counted.
CLASSES, CONFUSIONS, SAMPLES = 100, 50, 100
# A reliability diagram has at most so many bins, each of at least so many samples.
BINS, IN_A_BIN = 15, 20
# Rows about the transport of each class, the first that applies.
TRANSPORT = ("T2.head_aware", "T2.logits.head_aware")


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What some samples contribute to measured values and to a row.

    Attributes:
        samples: how many they are.
        gap: to the gap of cross-entropy R_S − R_T, each network with its own head, in nats; None without labels.
        error_gap: to the difference of error rates; None without labels.
        disagreement: to the share of samples on which the two predict different classes; None for other inputs.
        transport: to the upper bound of the row `Breakdown.transport_row`, in nats; None without such a row.

    Example:
        >>> Parts(samples=2, gap=0.25, error_gap=0.5, disagreement=0.5, transport=None).gap
        0.25
    """

    samples: int
    gap: float | None
    error_gap: float | None
    disagreement: float | None
    transport: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassParts(Parts):
    """What one class contributes; the further fields are those of `Parts`.

    Attributes:
        label: the class, 0 … K − 1.
        name: what the pair calls it; None if it has no names.

    Example:
        >>> from kd2m_theory import Pair, audit
        >>> teacher, student = [[2.0, 0.0], [0.0, 2.0], [0.0, 2.0]], [[2.0, 0.0], [0.0, 1.5], [3.0, 0.0]]
        >>> pair = Pair(logits_teacher=teacher, logits_student=student, labels=[0, 1, 1])
        >>> [(each.label, each.error_gap) for each in audit(pair, only=()).breakdown.classes]
        [(1, 0.3333333333333333), (0, 0.0)]
    """

    label: int
    name: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherClasses(Parts):
    """What all classes that are not listed contribute together; the further fields are those of `Parts`.

    Attributes:
        classes: how many they are.

    Example:
        >>> rest = OtherClasses(classes=900, samples=4_500, gap=0.01, error_gap=0.002, disagreement=0.03, transport=None)
        >>> rest.classes, rest.gap
        (900, 0.01)
    """

    classes: int


@dataclass(frozen=True, slots=True)
class Confusion:
    """Samples of one class that the student, and not the teacher, takes for another.

    Attributes:
        label: the true class; the class that the teacher predicts where there are no labels.
        predicted: the class that the student predicts.
        samples: how many.

    Example:
        >>> from kd2m_theory import Pair, audit
        >>> teacher, student = [[2.0, 0.0], [0.0, 2.0], [0.0, 2.0]], [[2.0, 0.0], [0.0, 1.5], [3.0, 0.0]]
        >>> pair = Pair(logits_teacher=teacher, logits_student=student, labels=[0, 1, 1])
        >>> audit(pair, only=()).breakdown.confusions
        (Confusion(label=1, predicted=0, samples=1),)
    """

    label: int
    predicted: int
    samples: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CarryingSample:
    """A sample that carries part of the gap.

    Attributes:
        index: its row as the user counts, from 0: rows that were left out are counted, and `Pair.row_numbers` may name it.
        label: its true class.
        teacher: the class that the teacher predicts.
        student: the class that the student predicts.
        loss_teacher: the teacher's cross-entropy in nats.
        loss_student: the student's cross-entropy in nats.
        gap: what the sample contributes to the gap: the difference of the losses over n, or, in a group of m among G, over G·m.

    Example:
        >>> from kd2m_theory import Pair, audit
        >>> teacher, student = [[2.0, 0.0], [0.0, 2.0], [0.0, 2.0]], [[2.0, 0.0], [0.0, 1.5], [3.0, 0.0]]
        >>> pair = Pair(logits_teacher=teacher, logits_student=student, labels=[0, 1, 1])
        >>> first = audit(pair, only=()).breakdown.samples[0]
        >>> first.index, first.label, first.student, round(first.loss_student, 3), round(first.gap, 3)
        (2, 1, 0, 3.049, 0.974)
    """

    index: int
    label: int
    teacher: int
    student: int
    loss_teacher: float
    loss_student: float
    gap: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Bin:
    """Samples of about the same confidence.

    Attributes:
        confidence: mean probability of the predicted class.
        accuracy: share of them whose predicted class is the true one.
        samples: how many.
        share: their weight among all; of groups each has the same weight.

    Example:
        >>> sure = Bin(confidence=0.9, accuracy=0.7, samples=50, share=0.5)
        >>> round(sure.confidence - sure.accuracy, 3)
        0.2
    """

    confidence: float
    accuracy: float
    samples: int
    share: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """How one network's confidence compares with its accuracy on these samples.

    Attributes:
        error: expected calibration error with bins of equal mass, Σ share · |confidence − accuracy| (Nixon et al.,
            2019, "Measuring Calibration in Deep Learning"). A network that is calibrated has an error above 0 on few samples.
        excess: mean confidence less accuracy: positive for an over-confident network.
        bins: by confidence. Samples of the same confidence are in the same bin.

    Example:
        >>> unsure = Bin(confidence=0.5, accuracy=0.6, samples=50, share=0.5)
        >>> sure = Bin(confidence=0.9, accuracy=0.7, samples=50, share=0.5)
        >>> found = calibration((unsure, sure))
        >>> round(found.error, 3), round(found.excess, 3)
        (0.15, 0.05)
    """

    error: float
    excess: float
    bins: tuple[Bin, ...]


@dataclass(frozen=True, slots=True)
class Reliability:
    """The calibration of both networks, each with its own head.

    Attributes:
        student: of the student.
        teacher: of the teacher.

    Example:
        >>> from kd2m_theory import Pair, audit
        >>> teacher, student = [[2.0, 0.0], [0.0, 2.0], [0.0, 2.0]], [[2.0, 0.0], [0.0, 1.5], [3.0, 0.0]]
        >>> pair = Pair(logits_teacher=teacher, logits_student=student, labels=[0, 1, 1])
        >>> round(audit(pair, only=()).breakdown.reliability.teacher.excess, 3)
        -0.119
    """

    student: Calibration
    teacher: Calibration


@dataclass(frozen=True, slots=True, kw_only=True)
class Breakdown:
    """Where the difference of the two networks comes from on these samples.

    Attributes:
        by: what a class is: "label" for the true class, "teacher" for the class that the teacher predicts, without labels.
        names: what the pair calls the classes that stand below, by number; empty if it has no names.
        classes: largest |gap| first, or, without labels, largest disagreement; at most 100. For other inputs empty unless
            classes are as frequent on both sides.
        other_classes: the classes that are not listed; None if there are none.
        transport_row: the row that `transport` is part of: "T2.head_aware", else "T2.logits.head_aware"; None if neither
            was computed.
        added: samples on which the student is wrong and the teacher right; without labels those on which they disagree; None
            for other inputs.
        removed: samples on which the student is right and the teacher wrong; None without labels or for other inputs.
        confusions: pairs of classes of the `added` samples, most samples first; at most 50.
        confusions_left_out: how many pairs of classes are not listed.
        samples: those that carry most of the gap, most first: of a gap ≥ 0 samples on which the student's loss is larger, of a
            gap < 0 samples on which it is smaller; at most 100. Empty without labels or for other inputs.
        samples_left_out: how many samples contribute with the gap's sign and are not listed.
        reliability: calibration of both networks; None without labels.

    Example:
        >>> from kd2m_theory import Pair, audit
        >>> pair = Pair(
        ...     logits_teacher=[[2.0, 0.0], [0.0, 2.0], [0.0, 2.0]],
        ...     logits_student=[[2.0, 0.0], [0.0, 1.5], [3.0, 0.0]],
        ...     labels=[0, 1, 1],
        ...     class_names=["cat", "dog"],
        ... )
        >>> found = audit(pair, only=()).breakdown
        >>> [(each.name, each.samples, round(each.gap, 3)) for each in found.classes]
        [('dog', 2, 0.999), ('cat', 1, 0.0)]
        >>> found.confusions, [each.index for each in found.samples]
        ((Confusion(label=1, predicted=0, samples=1),), [2, 1])
    """

    by: By
    names: Mapping[str, str]
    classes: tuple[ClassParts, ...]
    other_classes: OtherClasses | None
    transport_row: str | None
    added: int | None
    removed: int | None
    confusions: tuple[Confusion, ...]
    confusions_left_out: int
    samples: tuple[CarryingSample, ...]
    samples_left_out: int
    reliability: Reliability | None


def breakdown(
    logits: View | None,
    features: View | None,
    rows: Sequence[BoundResult],
    *,
    row_numbers: Int64 | None,
    class_names: Sequence[str] | None,
) -> Breakdown | None:
    """Where the difference of two networks comes from; None without logits of both, or without labels for other inputs.

    Args:
        logits: the view of each network with its own head, if there is one.
        features: the view through the teacher's head, if there is one.
        rows: what was computed on these views.
        row_numbers: n numbers by which the user knows the samples; those of the view if None.
        class_names: K names; None if there are none.
    """
    if logits is None or not (logits.paired or logits.labels_teacher is not None):
        return None
    predicted = _Predicted(logits)
    by: By = "teacher" if logits.labels_teacher is None else "label"
    kinds, transport_row = _kinds(predicted, _transport(features, logits, rows))
    added, removed, confusions, pairs = _confusions(predicted)
    samples, carrying = _samples(predicted, np.arange(len(predicted.teacher)) if row_numbers is None else row_numbers)
    mentioned = {each.label for each in kinds[:CLASSES]}
    mentioned.update(label for each in confusions for label in (each.label, each.predicted))
    mentioned.update(label for each in samples for label in (each.label, each.teacher, each.student))
    names = {} if class_names is None else {str(label): class_names[label] for label in sorted(mentioned)}
    return Breakdown(
        by=by,
        names=names,
        classes=tuple(replace(each, name=names.get(str(each.label))) for each in kinds[:CLASSES]),
        other_classes=_together(kinds[CLASSES:]),
        transport_row=transport_row,
        added=added,
        removed=removed,
        confusions=confusions,
        confusions_left_out=pairs - len(confusions),
        samples=samples,
        samples_left_out=carrying - len(samples),
        reliability=_reliability(predicted),
    )


class _Predicted:
    """What both networks say of each sample, and how much a sample weighs in measured values."""

    def __init__(self, view: View) -> None:
        self.view, self.paired = view, view.paired
        self.student, self.teacher = view.predicted()
        self.weight_student, self.weight_teacher = _weights(view, len(self.student)), _weights(view, len(self.teacher))
        self.labelled = view.labels_teacher is not None
        if self.labelled:
            self.loss_student, self.loss_teacher = view.losses()
            self.wrong_student, self.wrong_teacher = view.wrong()


def _weights(view: View, n: int) -> Float64:
    """Weight of each sample in a mean over samples, or over groups of the mean within one."""
    if view.groups is None:
        return np.full(n, 1.0 / n)
    sizes = np.bincount(view.groups)
    weights: Float64 = 1.0 / (len(sizes) * sizes[view.groups])
    return weights


def _transport(features: View | None, logits: View, rows: Sequence[BoundResult]) -> tuple[str | None, Mapping[int, float]]:
    """The row about transport within classes, and what each class contributes to it, in nats."""
    computed = {row.name for row in rows if row.applicable}
    for name, view in zip(TRANSPORT, (features, logits), strict=True):
        if view is not None and name in computed:
            parts = {label: view.shares[label] * part.upper for label, part in view.w1_head_aware().items()}
            if all(map(math.isfinite, parts.values())):
                return name, parts
    return None, {}


def _kinds(predicted: _Predicted, transport: tuple[str | None, Mapping[int, float]]) -> tuple[Sequence[ClassParts], str | None]:
    """Every class that occurs, those with the largest part first."""
    row, moved = transport
    view = predicted.view
    gap, error_gap, disagreement = None, None, None
    if not predicted.labelled:
        of = predicted.teacher
    elif predicted.paired:
        of = view.labels
    elif view.same_shares:
        of = view.both_labels()[1]
    else:
        return (), None
    labels, inverse, counts = np.unique(np.asarray(of), return_inverse=True, return_counts=True)

    def summed(values: Float64 | NDArray[np.bool_], weights: Float64, where: NDArray[np.intp] = inverse) -> Float64:
        # Rounded once: errors of both networks that cancel leave 0, and not what a running sum leaves.
        ends = np.cumsum(np.bincount(where, minlength=len(labels)))[:-1]
        parts = np.split((weights * values)[np.argsort(where, kind="stable")], ends)
        return np.array([math.fsum(part) for part in parts])

    if predicted.labelled and predicted.paired:
        weight = predicted.weight_student
        gap = summed(predicted.loss_student - predicted.loss_teacher, weight)
        error_gap = summed(predicted.wrong_student.astype(float) - predicted.wrong_teacher, weight)
    elif predicted.labelled:
        theirs: NDArray[np.intp] = np.searchsorted(labels, view.both_labels()[0])
        gap = summed(predicted.loss_student, predicted.weight_student, theirs)
        gap -= summed(predicted.loss_teacher, predicted.weight_teacher)
        error_gap = summed(predicted.wrong_student, predicted.weight_student, theirs)
        error_gap -= summed(predicted.wrong_teacher, predicted.weight_teacher)
    if predicted.paired:
        disagreement = summed(predicted.student != predicted.teacher, predicted.weight_student)
    size = np.abs(gap) if gap is not None else disagreement
    assert size is not None
    found = tuple(
        ClassParts(
            label=int(labels[k]),
            name=None,
            samples=int(counts[k]),
            gap=None if gap is None else float(gap[k]),
            error_gap=None if error_gap is None else float(error_gap[k]),
            disagreement=None if disagreement is None else float(disagreement[k]),
            transport=None if row is None else moved[int(labels[k])],
        )
        for k in np.argsort(-size, kind="stable")
    )
    return found, row


def _together(kinds: Sequence[ClassParts]) -> OtherClasses | None:
    """The sum of several classes; None for none."""
    if not kinds:
        return None

    def total(name: str) -> float | None:
        values = [getattr(each, name) for each in kinds]
        return None if values[0] is None else math.fsum(values)

    return OtherClasses(
        classes=len(kinds),
        samples=sum(each.samples for each in kinds),
        gap=total("gap"),
        error_gap=total("error_gap"),
        disagreement=total("disagreement"),
        transport=total("transport"),
    )


def _confusions(predicted: _Predicted) -> tuple[int | None, int | None, tuple[Confusion, ...], int]:
    """Added and removed errors, the most frequent confusions, and how many pairs of classes are confused."""
    if not predicted.paired:
        return None, None, (), 0
    removed, right, where = None, predicted.teacher, predicted.student != predicted.teacher
    if predicted.labelled:
        right, where = predicted.view.labels, predicted.wrong_student & ~predicted.wrong_teacher
        removed = int((predicted.wrong_teacher & ~predicted.wrong_student).sum())
    # One number for a pair of classes, of those that occur: K × K counts may not fit into memory.
    pairs, counts = np.unique(right[where] * predicted.view.classes + predicted.student[where], return_counts=True)
    most = np.argsort(-counts, kind="stable")[:CONFUSIONS]
    first, second = np.divmod(pairs[most], predicted.view.classes)
    listed = zip(first.tolist(), second.tolist(), counts[most].tolist(), strict=True)
    return int(where.sum()), removed, tuple(Confusion(*each) for each in listed), len(pairs)


def _samples(predicted: _Predicted, numbers: Int64) -> tuple[tuple[CarryingSample, ...], int]:
    """The samples that carry most of the gap, and how many contribute with its sign."""
    if not (predicted.labelled and predicted.paired):
        return (), 0
    parts = predicted.weight_student * (predicted.loss_student - predicted.loss_teacher)
    size = parts if math.fsum(parts) >= 0 else -parts
    order = np.argsort(-size, kind="stable")[:SAMPLES]
    listed = tuple(
        CarryingSample(
            index=int(numbers[k]),
            label=int(predicted.view.labels[k]),
            teacher=int(predicted.teacher[k]),
            student=int(predicted.student[k]),
            loss_teacher=float(predicted.loss_teacher[k]),
            loss_student=float(predicted.loss_student[k]),
            gap=float(parts[k]),
        )
        for k in order
        if size[k] > 0
    )
    return listed, int((size > 0).sum())


def _reliability(predicted: _Predicted) -> Reliability | None:
    if not predicted.labelled:
        return None
    student = _confidence(predicted.view.stored_logits_student, predicted.student)
    teacher = _confidence(predicted.view.stored_logits_teacher, predicted.teacher)
    return Reliability(
        student=calibration(_bins(student, ~predicted.wrong_student, predicted.weight_student)),
        teacher=calibration(_bins(teacher, ~predicted.wrong_teacher, predicted.weight_teacher)),
    )


def calibration(bins: tuple[Bin, ...]) -> Calibration:
    """The calibration that bins make."""
    apart = [(each.share, each.confidence - each.accuracy) for each in bins]
    error = math.fsum(share * abs(difference) for share, difference in apart)
    return Calibration(error, math.fsum(share * difference for share, difference in apart), bins)


def _confidence(logits: Logits, predicted: Int64) -> Float64:
    """Probability of the predicted class of each row."""
    return np.exp(-cross_entropy(logits, predicted))


def _bins(confidence: Float64, right: NDArray[np.bool_], weight: Float64) -> tuple[Bin, ...]:
    n = len(confidence)
    count = min(BINS, max(1, n // IN_A_BIN))
    # By how many samples are less confident: equal ones fall into one bin, whatever their order.
    where = np.searchsorted(np.sort(confidence), confidence) * count // n
    found = []
    for k in np.unique(where):
        inside = where == k
        weights = weight[inside]
        relative = weights / weights.max()  # 1 where all weigh the same, so that shares of samples are exact
        whole = math.fsum(relative)
        found.append(
            Bin(
                confidence=min(1.0, math.fsum(relative * confidence[inside]) / whole),
                accuracy=min(1.0, math.fsum(relative * right[inside]) / whole),
                samples=int(inside.sum()),
                share=min(1.0, math.fsum(weights)),
            )
        )
    return tuple(found)
