"""Logits as they came, in float32 or float64, in memory or in a mapped file: they are read in float64, some rows at a time."""

import mmap
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from kd2m_theory.arrays import Float64, Int64, Stored
from kd2m_theory.side_by_side import by_rows

# Bytes of a row up to which rows are copied into another order.
_SHORT = 1024


@dataclass(frozen=True, eq=False)
class Logits:
    """n × K logits, and the order in which their rows are taken. Every number is exact: float64 has all float32 numbers.

    They have no arithmetic, so that nothing is ever computed in float32: what is read of them, `logits[rows]` or
    `logits[rows, columns]` with indices as NumPy takes them, is a float64 array.

    Attributes:
        stored: the numbers, where they are: n' × K.
        order: n rows of `stored`; all of them as they stand if None.
    """

    stored: Stored
    order: Int64 | None = None

    # Functions of NumPy would read them row by row.
    __array_ufunc__ = None

    def __post_init__(self) -> None:
        self.stored.setflags(write=False)

    def __len__(self) -> int:
        return len(self.stored if self.order is None else self.order)

    @property
    def shape(self) -> tuple[int, int]:
        """n and K."""
        return len(self), self.stored.shape[1]

    @property
    def size(self) -> int:
        """n · K."""
        n, classes = self.shape
        return n * classes

    def __getitem__(self, index: Any) -> Float64:
        """Some rows, or some columns of some rows: a copy, or a view that cannot be written."""
        rows, columns = index if isinstance(index, tuple) else (index, None)
        if isinstance(rows, slice) and isinstance(columns, np.ndarray):
            raise TypeError("these columns of a slice of rows are not read; take the rows first")
        rows = rows if self.order is None else self.order[rows]
        if columns is not None:
            part = self.stored[rows, columns]
        else:
            # NumPy's `take` is several times faster than an index for short rows.
            whole = isinstance(rows, np.ndarray) and rows.dtype.kind == "i"
            part = self.stored.take(rows, axis=0) if whole else self.stored[rows]
        return np.asarray(part, dtype=np.float64)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """Refused: a whole array in float64 is asked for as `logits[:]`.

        Raises:
            TypeError: always.
        """
        raise TypeError("logits are read some rows at a time, as logits[rows]; logits[:] are all of them")

    def taken(self, rows: Int64) -> "Logits":
        """These rows, in this order. Short ones in memory are copied: to read them in another order each time takes longer."""
        if not in_file(self.stored) and self.stored[:1].nbytes <= _SHORT:
            return Logits(self.stored.take(rows if self.order is None else self.order[rows], axis=0))
        order = np.array(rows) if self.order is None else self.order[rows]
        order.setflags(write=False)
        return Logits(self.stored, order)

    def array(self) -> Stored:
        """All rows in the type that they are stored in."""
        return self.stored if self.order is None else self.stored[self.order]

    def max(self, axis: Literal[1]) -> Float64:
        """The largest logit of each row."""
        return by_rows(lambda part: np.asarray(part.max(axis=axis)), self)

    def min(self, axis: Literal[1]) -> Float64:
        """The least logit of each row."""
        return by_rows(lambda part: np.asarray(part.min(axis=axis)), self)

    def argmax(self, axis: Literal[1]) -> Int64:
        """The most likely class of each row, the first of equals."""
        return by_rows(lambda part: np.asarray(part.argmax(axis=axis)), self)

    def __reduce__(self) -> tuple[Any, ...]:
        """A pickle has the rows alone, and no name of a file."""
        return Logits, (np.asarray(self.array()),)


AnyLogits: TypeAlias = Float64 | Logits


def in_file(array: NDArray[Any]) -> bool:
    """Whether an array is in a file that is mapped to be read alone, row after row, and not in memory."""
    part: object = array
    while part is not None and not isinstance(part, mmap.mmap):
        part = getattr(part, "base", None)
    return part is not None and memoryview(part).readonly and array.flags.c_contiguous


def same_logits(one: Logits, other: Logits) -> bool:
    """Whether all numbers are the same."""
    if one is other:
        return True
    return one.shape == other.shape and bool(by_rows(lambda a, b: (a == b).all(axis=1), one, other).all())
