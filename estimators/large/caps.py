"""What a search on tiles may use at most. Where it would need more it ends with what it has proved, and with a reason."""

from collections.abc import Iterator
from contextlib import contextmanager

# A known pair takes about 150 bytes, most of them in the network simplex: these are 2 GiB.
MOST_PAIRS = 2**31 // 150
# Products of coordinates, and what choosing from a product costs beside them: half an hour of two cores at most.
MOST_WORK, _CHOSEN = 2**47, 200


class StoppedError(Exception):
    """A search ends before its bounds meet; the words say why. What was proved before holds."""


class Work:
    """Counted work that is left to a search.

    Args:
        most: products of coordinates.
    """

    def __init__(self, most: int) -> None:
        self._left = most

    def pass_over(self, pairs: int, dimension: int) -> None:
        """Count a pass over so many pairs before it begins.

        Raises:
            StoppedError: it would be too much.
        """
        self._left -= pairs * (dimension + _CHOSEN)
        if self._left < 0:
            raise StoppedError("passes over the pairs reached their cap")


@contextmanager
def memory_stops() -> Iterator[None]:
    """Within it, memory that cannot be had stops the search.

    Raises:
        StoppedError: memory ran out, of the CPU or of the device.
    """
    import torch

    try:
        yield
    except (MemoryError, torch.cuda.OutOfMemoryError):
        raise StoppedError("memory ran out") from None
    except RuntimeError as error:
        if "allocate memory" not in str(error):  # torch has no class for that on the CPU
            raise
        raise StoppedError("memory ran out") from None
