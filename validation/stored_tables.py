"""Tables of what costs too much to measure again: they ship with the package, and figures and pages are made of them."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from kd2m_theory.errors import InputError


@dataclass(frozen=True)
class StoredTable:
    """A file with measurements that cost too much to repeat for a picture.

    Attributes:
        file: its name, "transport.json".
        command: what writes it.
        read: turns its path into what a figure's `table` is given; the path itself if not said.
        in_store: what the same table may be called in the store of a campaign, the first choice first; empty for tables
            that no store has.
        shipped: its name among the tables that ship with the package, where that is another; None: `file`.
    """

    file: str
    command: str
    read: Callable[[Path], Any] = lambda path: path
    in_store: tuple[str, ...] = ()
    shipped: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """What its file may be called, the first choice first."""
        return (self.file, *self.in_store)

    def lies_in(self, folder: Path) -> bool:
        """Whether that folder has it."""
        return any((folder / name).is_file() for name in self.names)

    def path(self, folder: Path | None) -> Path:
        """Where it is: in that folder, or, for None, among the tables that ship with the package.

        Raises:
            InputError: it is not there; the message has the command that makes it.
        """
        if folder is None:
            shipped = Path(str(files("kd2m_theory.validation"))) / "benchmarks" / (self.shipped or self.file)
            if shipped.is_file():
                return shipped
            raise InputError(f"no {self.file} ships; write it with `{self.command}` and name its folder with --from")
        for name in self.names:
            if (folder / name).is_file():
                return folder / name
        raise InputError(
            f"there is no {' or '.join(str(folder / name) for name in self.names)}; write it with `{self.command}`"
        )
