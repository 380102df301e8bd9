"""One piece of a campaign, and what it returns. Nothing here imports anything slow: a worker unpickles it first."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Task:
    """Work whose numbers are decided by its table alone.

    Files go by names relative to the store, and between tasks as bytes: a worker needs no disk that others see.

    Attributes:
        digest: of the table; names the part that holds its rows.
        table: plain data, all that decides the numbers.
        words: what it is, for people.
        needs: files of other tasks, without which it cannot begin.
        makes: files that it returns whatever happens.
        shares: files that it is given if they are there; if not, it makes and returns them.
        device: where networks run: "cpu", or a device of torch.
        inputs: digests of the data that it reads, by what they are; a worker that has other data refuses.
    """

    digest: str
    table: Mapping[str, Any]
    words: str
    needs: tuple[str, ...] = ()
    makes: tuple[str, ...] = ()
    shares: tuple[str, ...] = ()
    device: str = "cpu"
    inputs: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """What a task returns.

    Attributes:
        part: its rows, a Parquet file.
        files: other files, by name.
    """

    part: bytes
    files: Mapping[str, bytes] = field(default_factory=dict)


# (task, files that it was given, an empty folder of its own that is deleted afterwards) → outcome
Work = Callable[[Task, Mapping[str, bytes], Path], Outcome]
