"""torch's own random numbers, of which a process has one state: used by one thread at a time, and left unchanged."""

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch

_ALONE = threading.RLock()


@contextmanager
def kept_random(seed: int | None = None, devices: Iterable[int] = ()) -> Iterator[None]:
    """Draw within the block, or within a function that this decorates; the state afterwards is that before.

    Args:
        seed: of the CPU's generator within; None: it goes on as it is.
        devices: CUDA devices whose states are left unchanged too.
    """
    with _ALONE, torch.random.fork_rng(devices=devices):
        if seed is not None:
            torch.default_generator.manual_seed(seed)  # torch.manual_seed would also reach CUDA's states
        yield
