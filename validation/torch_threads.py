"""How many threads torch uses on a CPU: sums taken in another order are other numbers, and training makes much of little."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """So many within the block, or within a function that this decorates; other threads of the process keep theirs.

    One is also fastest for tensors of a few thousand numbers: torch's softmax of ten waits for a second thread a hundred times
    longer than it works.
    """
    before = _LIMITS.enter()
    try:
        torch.set_num_threads(count)
        yield
    finally:
        _LIMITS.leave(before)


class _Limits:
    """What torch has to be set to afterwards. Each thread has its own number; threads that are new take the last one set."""

    def __init__(self) -> None:
        self._lock, self._outer, self._mine = threading.Lock(), 0, threading.local()
        self._before = 0

    def enter(self) -> int:
        with self._lock:
            nested = getattr(self._mine, "depth", 0)
            if not nested:
                # A thread that is new while others are within starts with their number, not with that of the process.
                self._before = self._before if self._outer else torch.get_num_threads()
                self._outer += 1
            self._mine.depth = nested + 1
            return torch.get_num_threads() if nested else self._before

    def leave(self, before: int) -> None:
        with self._lock:
            self._mine.depth -= 1
            self._outer -= not self._mine.depth
            torch.set_num_threads(before)


_LIMITS = _Limits()
