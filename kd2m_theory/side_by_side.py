"""Independent problems on the cores of the machine at a time."""

import os
import sys
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

import numpy as np

from kd2m_theory.arrays import row_blocks

T = TypeVar("T")

# Numbers in the matrix of a problem from which on a thread pays, and in those of all problems that wait or run; and in the rows
# of a large matrix that are looked at together, which stay in a core's cache.
_LEAST, _MOST, _TOGETHER = 2**16, 2**22, 2**17


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


def over_rows(shape: tuple[int, ...], call: Callable[[slice], T]) -> list[T]:
    """What a call makes of a few rows of a matrix at a time, in their order; those of a matrix too large for `side_by_side` run
    side by side.

    Args:
        shape: of the matrix.
        call: makes something of the rows of a slice, whatever is made of the others.
    """
    rows, columns = shape
    blocks = row_blocks(rows, columns, _TOGETHER)
    if rows * columns <= _MOST:
        return [call(block) for block in blocks]
    return side_by_side((_TOGETHER, partial(call, block)) for block in blocks)


def _within(errors: Any, call: Callable[[], T]) -> T:
    with np.errstate(**errors):  # NumPy's settings are those of a thread
        return call()
