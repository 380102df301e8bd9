"""The order in which an audit takes the samples of a pair: that of a digest of their content, not that of the file.

It makes everything that an audit says a function of the samples as a set: a file in the order of its classes, of its losses, or
of the clock gives the same numbers. Where the samples are independent draws and (nearly) all different, the order says nothing
about them, as if it had been drawn: exactly so if SHA-256 acts as a random function on them. That is what intervals need that
read one sample after another.

What decides are both networks' logits in single precision, and the label: another scale of the features, or logits that were
computed elsewhere, move next to no sample. Where samples belong to groups, whole groups are taken in the order of a digest of
theirs: of several digests the least would be a large group's.
"""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kd2m_theory.arrays import Float64, Int64, in_order_of_appearance
from kd2m_theory.logits import AnyLogits, Logits
from kd2m_theory.pair import Pair
from kd2m_theory.side_by_side import by_rows

# With a larger share of repeated samples the order would be nearly the same for every file of the same law.
DISTINCT = 0.9
# Bytes of a digest.
DIGEST = hashlib.sha256().digest_size
# Bytes of the samples whose digests are computed at once.
BLOCK = 2**26


def in_content_order(pair: Pair) -> tuple[Pair, bool]:
    """The pair with its samples in the order of their content.

    Returns:
        The pair, and whether so many samples of each side are distinct that their order says nothing about them.
    """
    if pair.inputs_paired and pair.features_teacher is None:
        assert pair.stored_logits_teacher is not None
        assert pair.stored_logits_student is not None
        order, most = order_of_two(pair.stored_logits_student, pair.stored_logits_teacher, pair.labels, pair.groups)
        return pair.taken(order, order), most
    # First in the order of every bit: whatever is computed from there is the same for all orders of the file, to the last bit.
    first = [order for order, _ in _orders(pair, _given(pair))]
    then, distinct = zip(*_orders(pair, _logits(pair), first), strict=True)
    return pair.taken(*(before[order] for before, order in zip(first, then, strict=True))), all(distinct)


def order_of_two(student: AnyLogits, teacher: AnyLogits, labels: Int64 | None, groups: Int64 | None) -> tuple[Int64, bool]:
    """The order of `in_content_order` for n × K logits of two networks on the same inputs, and whether most samples differ.

    It is that of an audit of the two, but for samples with the same logits in single precision, of which an audit looks at
    the features first.
    """
    return order_of_digests(*digests_of_two(student, teacher, labels), groups)


def digests_of_two(student: AnyLogits, teacher: AnyLogits, labels: Int64 | None) -> tuple[list[bytes], list[bytes]]:
    """Digests of n samples whose order is that of `order_of_two`: of every bit, and of logits in single precision."""
    classes = [] if labels is None else [_Content(labels)]
    exact = _digests([_Content(teacher), _Content(student), *classes])
    if all(by_rows(lambda part: (_single(part) == part).all(axis=1), side).all() for side in (teacher, student)):
        return exact, exact  # of networks in single precision
    return exact, _digests([_Content(teacher, made=_single), _Content(student, made=_single), *classes])


def order_of_digests(exact: list[bytes], single: list[bytes], groups: Int64 | None) -> tuple[Int64, bool]:
    """The order of `order_of_two`, from the digests of all samples.

    Args:
        exact: n digests of every bit.
        single: n digests of logits in single precision.
        groups: n numbers of groups, or None.
    """
    first = _order(exact, groups)[0]
    groups = None if groups is None else in_order_of_appearance(groups[first])
    order, distinct = _order([single[row] for row in first.tolist()], groups)
    return first[order], distinct


def content_key(logits: AnyLogits, labels: Int64) -> bytes:
    """SHA-256 of the samples as a set: the same for every order of the rows."""
    return hashlib.sha256(b"".join(sorted(_digests([_Content(logits), _Content(labels)])))).digest()


@dataclass(frozen=True, slots=True, eq=False)
class _Content:
    """What says something of each sample.

    Attributes:
        rows: one per sample.
        made: what is made of some of them; themselves if None. Never of all at once: logits may need more memory than features.
        width: numbers per sample of what is made, if these are not as many as in a row.
    """

    rows: AnyLogits | Int64
    made: Callable[[Any], Float64] | None = None
    width: int | None = None

    @property
    def size(self) -> int:
        """Bytes of a sample."""
        columns = self.rows[:1].size if self.width is None else self.width
        return 8 * columns


Side = list[_Content]


def _given(pair: Pair) -> tuple[Side, Side]:
    sides = (
        (pair.features_teacher, pair.stored_logits_teacher),
        (pair.features_student, pair.stored_logits_student),
    )
    teacher, student = ([_Content(each) for each in side if each is not None] for side in sides)
    return teacher, student


def _logits(pair: Pair) -> tuple[Side, Side]:
    """Logits in single precision; features where a pair has no logits."""

    def made(features: Float64) -> Float64:
        logits = pair.apply_head(features)
        assert logits is not None
        return _single(logits)

    def side(logits: Logits | None, features: Float64 | None) -> Side:
        if logits is not None:
            return [_Content(logits, made=_single)]
        assert features is not None
        if pair.apply_head(features[:1]) is None:
            return [_Content(features)]
        return [_Content(features, made=made, width=pair.classes)]

    teacher = side(pair.stored_logits_teacher, pair.features_teacher)
    return teacher, side(pair.stored_logits_student, pair.features_student)


def _single(logits: Float64) -> Float64:
    """Logits rounded to single precision."""
    with np.errstate(over="ignore"):
        return logits.astype(np.float32).astype(np.float64)


def _orders(pair: Pair, sides: tuple[Side, Side], first: Sequence[Int64] | None = None) -> Sequence[tuple[Int64, bool]]:
    """The order of teacher's and student's samples, and whether most of them are distinct.

    Args:
        pair: the pair.
        sides: what counts of the teacher's samples, and of the student's.
        first: an order of both in which the samples are looked at, and to which the order that is found refers.
    """
    (teacher, student), rows = sides, (None, None) if first is None else first
    labels, labels_student = ([] if each is None else [_Content(each)] for each in (pair.labels, pair.labels_student))
    groups = pair.groups
    if groups is not None and rows[0] is not None:
        groups = in_order_of_appearance(groups[rows[0]])
    if pair.inputs_paired:
        return 2 * (_order(_digests([*teacher, *student, *labels], rows[0]), groups),)
    both = [*teacher, *labels], [*student, *labels_student]
    return tuple(_order(_digests(side, order), groups) for side, order in zip(both, rows, strict=True))


def _digests(side: Side, rows: Int64 | None = None) -> list[bytes]:
    """SHA-256 of what is said of each sample, in the order of these rows."""
    digests: list[bytes] = []
    rows = np.arange(len(side[0].rows)) if rows is None else rows
    block = max(1, BLOCK // sum(each.size for each in side))
    for start in range(0, len(rows), block):
        part = rows[start : start + block]
        content = np.hstack([_bytes(each, part) for each in side])
        digests.extend(hashlib.sha256(row).digest() for row in content)
    return digests


def _bytes(content: _Content, rows: Int64) -> NDArray[np.uint8]:
    """The bytes of each of some samples: of one zero, in one order on every machine."""
    part = content.rows[rows] if content.made is None else content.made(content.rows[rows])
    part = part.reshape(len(rows), -1)
    plain = part + 0.0 if part.dtype.kind == "f" else part
    return np.ascontiguousarray(plain.astype(part.dtype.newbyteorder("<"))).view(np.uint8)


def _order(digests: list[bytes], groups: Int64 | None) -> tuple[Int64, bool]:
    """Samples by their digests, or groups by theirs and samples within; and whether most samples, or groups, are distinct."""
    if groups is None:
        return _spread(digests)
    within = _spread(digests)[0]
    members: list[list[int]] = [[] for _ in range(int(groups.max()) + 1)]
    for row in within.tolist():
        members[groups[row]].append(row)
    whole = [hashlib.sha256(b"".join(sorted(digests[row] for row in rows))).digest() for rows in members]
    order, distinct = _spread(whole)
    return np.concatenate([members[group] for group in order]).astype(np.int64), distinct


def _spread(digests: list[bytes]) -> tuple[Int64, bool]:
    """What has these digests in their order, equal ones spread among the others; and whether most are distinct."""
    seen: defaultdict[bytes, int] = defaultdict(int)
    keys = []
    for digest in digests:
        keys.append(hashlib.sha256(digest + seen[digest].to_bytes(8, "little")).digest())
        seen[digest] += 1
    # As four whole numbers, the first of which decides unless two keys begin alike.
    words = np.frombuffer(b"".join(keys), dtype=">u8").reshape(-1, 4)
    return np.lexsort(words.T[::-1]).astype(np.int64), len(seen) >= DISTINCT * len(keys)
