"""A pair that is seen once, batch by batch, and not kept: what an audit without transport needs of it.

Of every sample some thirty numbers stay (`statistics`), and two digests, by which an audit orders samples (`content_order`). So
any cut into batches, in any order, on any number of machines, gives the audit that the whole pair gives, to the last bit.
"""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kd2m_theory.arrays import IGNORED, Int64, group_numbers, group_values, in_order_of_appearance, to_numpy
from kd2m_theory.bounds.content_order import DIGEST, digests_of_two, order_of_digests
from kd2m_theory.bounds.settings import Settings
from kd2m_theory.bounds.statistics import Statistic, Told, every_statistic
from kd2m_theory.bounds.view import View, centring_error
from kd2m_theory.errors import InputError
from kd2m_theory.labels import as_texts, check_class_names, check_range, encoded_labels
from kd2m_theory.logits import Logits
from kd2m_theory.pair import Pair, refuse_too_large
from kd2m_theory.predictions import logits_matrix

# Entries of one network's logits that are gathered before they are looked at: twice that is there at most, and its temporaries.
# Samples that are gathered at least, where there are as many: what logits look like is not seen on a few.
_GATHERED, _LEAST = 2**18, 64


@dataclass(frozen=True, eq=False, kw_only=True)
class StreamedPair:
    """What is known of a pair whose arrays were not kept, in the order of an audit; its fields are named as those of `Pair`.

    Attributes:
        n: number of samples.
        classes: number of classes K.
        labels: n classes, or None.
        groups: n numbers 0..G−1, or None.
        class_names: K names, or None.
        provenance: words.
        statistics: n values each, by name.
        like_chance: whether the order of the samples says nothing about them.
    """

    n: int
    classes: int
    labels: Int64 | None
    groups: Int64 | None
    class_names: tuple[str, ...] | None
    provenance: Mapping[str, str]
    statistics: Mapping[str, Statistic]
    like_chance: bool
    inputs_paired: bool = field(default=True, init=False)
    features_teacher: None = field(default=None, init=False)
    features_student: None = field(default=None, init=False)
    head_weight: None = field(default=None, init=False)
    row_numbers: None = field(default=None, init=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Batch:
    """Rows as they came, b × K or b × 1, without those that are left out."""

    teacher: NDArray[Any]
    student: NDArray[Any]
    labels: Int64 | None
    groups: NDArray[Any] | None

    def rows(self, chosen: Any) -> "_Batch":
        """Some of the rows, as a view or a copy as NumPy makes it."""
        return _Batch(
            teacher=self.teacher[chosen],
            student=self.student[chosen],
            labels=None if self.labels is None else self.labels[chosen],
            groups=None if self.groups is None else self.groups[chosen],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """What stays of a block of rows."""

    columns: int
    classes: int
    statistics: Mapping[str, Statistic]
    exact: bytes
    single: bytes
    labels: Int64 | None
    groups: NDArray[Any] | None


class PairStream:
    """A teacher's and a student's logits on the same inputs, batch by batch: `audit(stream)` after one pass over any number.

    Rows that are computed from numbers of each sample (T0, T1, T9, F1, F2 and F3 of logits) say what they say of the whole
    `Pair`; those about transport, kernels and moments are not applicable, and there is neither a breakdown nor a search for
    mistakes in the input. Memory grows by some 350 bytes per sample, whatever the number of classes.

    Args:
        loss_bound: B in nats, as of `audit`, which takes it from here.
        temperature: T of the transformed teacher in T9.ttm, likewise.
        class_names: as of `Pair`.
        provenance: likewise.

    Raises:
        InputError: a setting that is out of range, or names that are not.

    Example:
        >>> from kd2m_theory import Pair, PairStream, audit
        >>> rng = np.random.default_rng(0)
        >>> teacher, labels = 3 * rng.normal(size=(500, 10)), rng.integers(0, 10, 500)
        >>> student = teacher + rng.normal(size=(500, 10))
        >>> stream = PairStream()
        >>> for start in range(0, 500, 128):
        ...     batch = slice(start, start + 128)
        ...     stream.update(teacher[batch], student[batch], labels[batch])
        >>> found, whole = audit(stream, only=["F1.gap"]), audit(Pair(None, None, labels, teacher, student), only=["F1.gap"])
        >>> found["F1.gap"].upper == whole["F1.gap"].upper, found.measured == whole.measured
        (True, True)
    """

    def __init__(
        self,
        *,
        loss_bound: float | None = None,
        temperature: float | None = None,
        class_names: Sequence[Hashable] | None = None,
        provenance: Mapping[str, str] | None = None,
    ) -> None:
        settings = Settings(loss_bound=loss_bound, temperature=temperature)
        self.loss_bound, self.temperature = settings.loss_bound, settings.temperature
        self.class_names = None if class_names is None else check_class_names(class_names)
        self.provenance = dict(provenance or {})
        self._parts: list[_Part] = []
        self._pending: list[_Batch] = []
        self._waiting = 0  # rows that are pending: counting them at every batch would take batches times batches
        self._left_out = 0

    @property
    def n(self) -> int:
        """Number of samples so far."""
        return sum(len(part.exact) // DIGEST for part in self._parts) + self._waiting

    def update(self, logits_teacher: Any, logits_student: Any, labels: Any = None, groups: Any = None) -> None:
        """Add a batch; a batch of one sample is one, too.

        Args:
            logits_teacher: b × K, or one column z of a sigmoid: tensors on any device, or arrays.
            logits_student: likewise, of the same inputs.
            labels: b classes, as of `Pair`; rows labelled −100 are left out. In every batch, or in none.
            groups: b numbers or names, likewise; a group may have samples in several batches.

        Raises:
            InputError: shapes that do not fit each other or the batches before; labels or groups in some batches only; rows or
                labels that `Pair` refuses. The batch is then not added, and the stream goes on as if it had not been there.
                That logits are not logits, but probabilities for instance, is seen on many rows only: some batches later.
        """
        teacher, student = (
            _rows(to_numpy(value, name))
            for value, name in ((logits_teacher, "logits_teacher"), (logits_student, "logits_student"))
        )
        n = len(teacher)
        if teacher.shape != student.shape or teacher.ndim != 2:
            raise InputError(f"the batch has logits_teacher of shape {teacher.shape} and logits_student of {student.shape}")
        classes = None if labels is None else encoded_labels(labels, n, "labels", self.class_names)
        batch = _Batch(
            teacher=teacher,
            student=student,
            labels=classes,
            groups=None if groups is None else np.array(group_values(groups, n, "groups")),
        )
        self._check_alike(batch)
        if n:
            _check_rows(batch)
        if classes is not None and (classes == IGNORED).any():
            batch = batch.rows(classes != IGNORED)
        self._left_out += n - len(batch.teacher)
        if not len(batch.teacher):
            return
        self._pending.append(batch)
        self._waiting += len(batch.teacher)
        least = max(_LEAST, _GATHERED // max(1, teacher.shape[1]))
        if self._waiting >= 2 * least:
            # As many stay as are looked at together at least: a few rows left over at the end could not be judged.
            whole = _joined(self._pending)
            cut = len(whole.teacher) - least
            self._parts.append(self._part(whole.rows(slice(cut))))
            self._pending, self._waiting = [whole.rows(np.arange(cut, len(whole.teacher)))], least

    def merge(self, other: "PairStream") -> None:
        """Add everything that another stream has seen, such as one on another machine.

        Raises:
            InputError: the other is not a stream, has another loss bound, temperature or class names, or batches that do not
                fit.
        """
        if not isinstance(other, PairStream):
            raise InputError(f"a {type(other).__name__} cannot be merged into a stream; pass another PairStream")
        for name in ("loss_bound", "temperature", "class_names"):
            mine, theirs = getattr(self, name), getattr(other, name)
            if mine != theirs:
                raise InputError(f"cannot merge a stream with {name}={theirs!r} into one with {name}={mine!r}")
        if other is self:
            raise InputError("a stream cannot be merged into itself: its samples would count twice")
        first: list[_Batch | _Part] = [*other._parts[:1], *other._pending[:1]]
        for each in first:
            self._check_alike(each)
        self._parts += other._parts
        self._pending += other._pending
        self._waiting += other._waiting
        self._left_out += other._left_out

    def _check_alike(self, batch: _Batch | _Part) -> None:
        """Refuse what has labels or groups where what came before has none, or the reverse; or other classes."""
        there: list[_Batch | _Part] = [*self._parts[:1], *self._pending[:1]]
        if not there:
            return
        before = there[0]
        for name in ("labels", "groups"):
            if (getattr(before, name) is None) != (getattr(batch, name) is None):
                verb = "lacks" if getattr(batch, name) is None else "has"
                raise InputError(f"the batch {verb} {name}, unlike those before it; give them for all batches or for none")
        if _columns(before) != _columns(batch):
            raise InputError(f"the batch has logits in {_columns(batch)} columns, and those before it have {_columns(before)}")
        kinds = [each.groups.dtype.type for each in (before, batch) if each.groups is not None and len(each.groups)]
        if len({*kinds}) > 1:
            first, other = (kind.__name__.rstrip("_") for kind in kinds)
            raise InputError(f"the batch has groups of type {other}, and those before it of {first}; give them in one")

    def _part(self, batch: _Batch) -> _Part:
        """What stays of rows."""
        pair = Pair(logits_teacher=batch.teacher, logits_student=batch.student, labels=batch.labels)
        teacher, student = pair.stored_logits_teacher, pair.stored_logits_student
        assert teacher is not None
        assert student is not None
        bound = 2 * math.log(teacher.shape[1]) if self.loss_bound is None else self.loss_bound
        exact, single = digests_of_two(student, teacher, pair.labels)
        return _Part(
            columns=_columns(batch),
            classes=teacher.shape[1],
            statistics=every_statistic(student, teacher, pair.labels, Told(bound, self.temperature)),
            exact=b"".join(exact),
            single=b"".join(single),
            labels=pair.labels,
            groups=batch.groups,
        )

    def summary(self) -> StreamedPair:
        """What an audit reads of all samples so far; more may follow.

        Raises:
            InputError: fewer than two samples, or a single group.
        """
        if not self.n:
            raise InputError("nothing was added to the stream yet; call update first")
        parts = [*self._parts, *([self._part(_joined(self._pending))] if self._pending else [])]
        groups = None
        if parts[0].groups is not None:
            groups = group_numbers(np.concatenate([part.groups for part in parts if part.groups is not None]), self.n, "groups")
        order, like_chance = order_of_digests(
            _split(b"".join(part.exact for part in parts)), _split(b"".join(part.single for part in parts)), groups
        )
        statistics = {}
        for name in parts[0].statistics:
            statistics[name] = np.concatenate([part.statistics[name] for part in parts])[order]
            statistics[name].setflags(write=False)
        labels = None
        if parts[0].labels is not None:
            labels = np.concatenate([part.labels for part in parts if part.labels is not None])[order]
        classes = parts[0].classes
        if self.class_names is not None and len(self.class_names) != classes:
            raise InputError(f"class_names has {len(self.class_names)} names for {classes} classes; pass one for each column")
        notes = {"stream": f"{self.n:,} samples, of which numbers were kept and logits were not"}
        if self._left_out:
            notes["rows left out by labels"] = f"{self._left_out:,} rows, whose label was −100, are left out"
        return StreamedPair(
            n=self.n,
            classes=classes,
            labels=labels,
            groups=None if groups is None else in_order_of_appearance(groups[order]),
            class_names=None if self.class_names is None else as_texts(self.class_names),
            provenance=notes | self.provenance,
            statistics=statistics,
            like_chance=like_chance,
        )


def _rows(values: NDArray[Any]) -> NDArray[Any]:
    """A copy, for a loader may write the next batch where this one is; one column as b × 1."""
    return np.array(values.reshape(-1, 1) if values.ndim == 1 else values)


def _joined(batches: Sequence[_Batch]) -> _Batch:
    """The rows of all batches, in order."""
    labels = [each.labels for each in batches if each.labels is not None]
    groups = [each.groups for each in batches if each.groups is not None]
    return _Batch(
        teacher=np.concatenate([each.teacher for each in batches]),
        student=np.concatenate([each.student for each in batches]),
        labels=np.concatenate(labels) if labels else None,
        groups=np.concatenate(groups) if groups else None,
    )


def _check_rows(batch: _Batch) -> None:
    """Refuse what no gathering of other rows could fix, as long as the batch is not among them.

    Raises:
        InputError: as `Pair`.
    """
    for rows, name in ((batch.teacher, "logits_teacher"), (batch.student, "logits_student")):
        refuse_too_large(logits_matrix(rows, name, verified=True)[0], name)
    if batch.labels is not None:
        columns = _columns(batch)
        check_range(batch.labels, max(2, columns), "labels", columns == 1)


def _columns(batch: _Batch | _Part) -> int:
    columns: int = batch.columns if isinstance(batch, _Part) else batch.teacher.shape[1]
    return columns


def _split(joined: bytes) -> list[bytes]:
    return [joined[start : start + DIGEST] for start in range(0, len(joined), DIGEST)]


def streamed_view(pair: StreamedPair, settings: Settings) -> View:
    """The view of logits that were not kept."""
    none = Logits(np.empty((0, pair.classes)))
    view = View("logits", None, None, None, none, none, pair.labels, pair.labels, True, settings, streamed=pair.statistics)
    view.point_error = centring_error(view)
    return view
