"""Independent problems on the cores of the machine at a time."""

import os
import sys
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

import numpy as np

T = TypeVar("T")

# Numbers in the matrix of a problem from which on a thread pays, and in those of all problems that wait or run.
_LEAST, _MOST = 2**16, 2**22


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


def _within(errors: Any, call: Callable[[], T]) -> T:
    with np.errstate(**errors):  # NumPy's settings are those of a thread
        return call()
