"""How many threads torch uses on a CPU: sums taken in another order are other numbers, and training makes much of little."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """So many within the block, or within a function that this decorates.

    One is also fastest for tensors of a few thousand numbers: torch's softmax of ten waits for a second thread a hundred times
    longer than it works.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
