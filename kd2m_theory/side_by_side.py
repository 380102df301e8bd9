"""Independent problems, and blocks of the rows of an array, on the cores of the machine at a time."""

import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, Protocol, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")
Found = TypeVar("Found", bound=NDArray[Any] | tuple[NDArray[Any], ...])

# Numbers in the matrix of a problem from which on a thread pays, and in those of all problems that wait or run; and in the rows
# of a large matrix that are looked at together, which stay in a core's cache.
_LEAST, _MOST, _TOGETHER = 2**16, 2**22, 2**18
# Numbers of an n × K array that are worked on at a time (8 MiB of float64): temporaries are no larger, whatever K is.
_ENTRIES = 2**20


class Rows(Protocol):
    """What rows can be read of: an array, or what makes them when they are read."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Its sizes, the number of rows first."""

    def __getitem__(self, rows: slice, /) -> NDArray[Any]:
        """Some rows."""


def row_blocks(rows: int, columns: int, entries: int | None = None) -> Iterator[slice]:
    """Slices of consecutive rows that cover an array of this shape; at least one row each.

    Args:
        rows: number of rows.
        columns: number of columns.
        entries: numbers in a slice, at most; about a million if None.

    Example:
        >>> list(row_blocks(5, 2**19))
        [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    step = max(1, (_ENTRIES if entries is None else entries) // max(1, columns))
    for start in range(0, rows, step):
        yield slice(start, min(rows, start + step))


def column_blocks(rows: int, columns: int) -> Iterator[slice]:
    """As `row_blocks`, of consecutive columns: products of a few matrices are faster in these.

    Example:
        >>> list(column_blocks(2**19, 3))
        [slice(0, 2, None), slice(2, 3, None)]
    """
    return row_blocks(columns, rows)


def every_core() -> int:
    """Cores on which this process may run."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cores() -> int:
    """Threads that this process may use: of its cores, as many as OMP_NUM_THREADS and PyTorch's setting allow."""
    count = every_core()
    told = os.environ.get("OMP_NUM_THREADS", "")
    if told.isdigit() and int(told):
        count = min(count, int(told))
    if "torch" in sys.modules:
        count = min(count, sys.modules["torch"].get_num_threads())
    return count


def side_by_side(problems: Iterable[tuple[int, Callable[[], T]]]) -> list[T]:
    """What the calls return, in their order: large ones run in threads, and are asked for one by one as memory allows.

    Solvers of transport and NumPy's operations on large arrays let other threads run. What a call returns must not depend on
    the others. An error that a call raises is raised here.

    Args:
        problems: the numbers in the matrix of each, and the call.
    """
    several = cores()
    results: list[T | Future[T]] = []
    waiting: deque[tuple[int, Future[T]]] = deque()
    held = 0
    with ThreadPoolExecutor(several) as pool:
        try:
            for numbers, call in problems:
                alone = several == 1 or numbers < _LEAST or numbers > _MOST
                while waiting and (held + numbers > _MOST or numbers > _MOST):
                    first, done = waiting.popleft()
                    done.result()
                    held -= first
                if alone:
                    results.append(call())
                    continue
                future = pool.submit(partial(_within, np.geterr(), call))
                results.append(future)
                waiting.append((numbers, future))
                held += numbers
            return [each.result() if isinstance(each, Future) else each for each in results]
        except BaseException:
            for _, future in waiting:
                future.cancel()
            raise


def over_rows(shape: tuple[int, ...], call: Callable[[slice], T], entries: int | None = None) -> list[T]:
    """What a call makes of a few rows of a matrix at a time, in their order; of a large matrix on all cores.

    Args:
        shape: of the matrix.
        call: makes something of the rows of a slice, whatever is made of the others.
        entries: numbers that are looked at together, at most; as many as stay in a core's cache if None.
    """
    rows, columns = shape
    entries = _TOGETHER if entries is None else entries
    blocks = row_blocks(rows, columns, entries)
    if rows * columns <= _MOST:
        return [call(block) for block in blocks]
    return side_by_side((entries, partial(call, block)) for block in blocks)


def by_rows(compute: Callable[..., Found], *arrays: Rows) -> Found:
    """What a function makes of each row of some arrays, a block of rows at a time: no temporary is as large as an array.

    Args:
        compute: makes an array with one entry per row, or several such arrays, of the same rows of all arrays.
        *arrays: the first of them n × K, the others with n rows as well.

    Returns:
        As `compute` returns it for all rows at once.

    Example:
        >>> by_rows(lambda a, b: (a - b).max(axis=1), np.eye(3), np.ones((3, 3))).tolist()
        [0.0, 0.0, 0.0]
    """
    shape = arrays[0].shape[:2]
    none = slice(0)
    parts = over_rows(shape, lambda block: compute(*(array[block] for array in arrays)))
    parts = parts or [compute(*(array[none] for array in arrays))]
    if len(parts) == 1:
        return parts[0]
    if isinstance(parts[0], tuple):
        columns = zip(*cast(list[tuple[NDArray[Any], ...]], parts), strict=True)
        return cast(Found, tuple(np.concatenate(each) for each in columns))
    return cast(Found, np.concatenate(cast(list[NDArray[Any]], parts)))


def _within(errors: Any, call: Callable[[], T]) -> T:
    with np.errstate(**errors):  # NumPy's settings are those of a thread
        return call()
