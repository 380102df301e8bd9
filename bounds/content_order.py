"""The order in which an audit takes the samples of a pair: that of a digest of their content, not that of the file.

Sorting by digest makes everything that an audit says a function of the samples as a set: a file in the order of its classes, of
its losses, or of the clock gives the same numbers. Where the samples are independent draws and (nearly) all different, the
order says nothing about them, as if it had been drawn: exactly so if SHA-256 acts as a random function on them. That is what
intervals need that read one sample after another.
"""

import hashlib
from collections import Counter

import numpy as np

from kd2m_theory.arrays import Float64, Int64
from kd2m_theory.pair import Pair

# With a larger share of repeated samples the order would be nearly the same for every file of the same law.
DISTINCT = 0.9


def in_content_order(pair: Pair) -> tuple[Pair, bool]:
    """The pair with its samples in the order of their content.

    Returns:
        The pair, and whether so many samples of each side are distinct that their order says nothing about them.
    """
    teacher: list[Float64 | Int64 | None] = [pair.features_teacher, pair.logits_teacher]
    student: list[Float64 | Int64 | None] = [pair.features_student, pair.logits_student]
    if pair.inputs_paired:
        order, distinct = _sorted([*teacher, *student, pair.labels])
        return pair.taken(order, order), distinct
    order, distinct = _sorted([*teacher, pair.labels])
    other, also = _sorted([*student, pair.labels_student])
    return pair.taken(order, other), distinct and also


def _sorted(arrays: list[Float64 | Int64 | None]) -> tuple[Int64, bool]:
    """Rows by the digest of what all arrays say of them, and how many equal rows came before; and whether most are distinct."""
    given = [np.ascontiguousarray(array if array.ndim == 2 else array[:, None]) for array in arrays if array is not None]
    # One zero, one order of bytes, on every machine.
    given = [(array + 0.0 if array.dtype.kind == "f" else array).astype(array.dtype.newbyteorder("<")) for array in given]
    seen: Counter[bytes] = Counter()
    keys = []
    for row in range(len(given[0])):
        content = hashlib.sha256()
        for array in given:
            content.update(array[row].data)
        digest = content.digest()
        keys.append(hashlib.sha256(digest + seen[digest].to_bytes(8, "little")).digest())
        seen[digest] += 1
    order = np.array(sorted(range(len(keys)), key=keys.__getitem__), dtype=np.int64)
    return order, len(seen) >= DISTINCT * len(keys)
