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
        file: its name, "transport.md".
        command: what writes it.
        read: makes of its path what a figure's `table` is given; the path itself if not said.
        shipped: its name among the tables that ship with the package, where that is another; None: `file`.
    """

    file: str
    command: str
    read: Callable[[Path], Any] = lambda path: path
    shipped: str | None = None

    def path(self, folder: Path | None) -> Path:
        """Where it is: in that folder, or, for None, among the tables that ship with the package.

        Raises:
            InputError: it is not there; the message has the command that makes it.
        """
        if folder is None:
            shipped = Path(str(files("kd2m_theory.validation"))) / "benchmarks" / (self.shipped or self.file)
            if shipped.is_file():
                return shipped
            raise InputError(f"no {self.file} ships; write it with `{self.command}` and name its folder with --tables")
        if not (folder / self.file).is_file():
            raise InputError(f"there is no {folder / self.file}; write it with `{self.command}`")
        return folder / self.file
