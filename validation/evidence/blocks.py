"""Finished blocks on disk: one file per block, in a folder of its suite, version and code, so that none are mixed."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kd2m_theory.errors import InputError
from kd2m_theory.files import write_atomically
from kd2m_theory.validation.evidence.suite import Suite, Tally
from kd2m_theory.validation.numbers import NUMBERS
from kd2m_theory.version import __version__


@dataclass(frozen=True)
class Block:
    """What became of a block.

    Attributes:
        number: of the block.
        tally: its counts; None if it was lost.
        seconds: of CPU.
        lost: why there are no counts, in words; empty if there are.
    """

    number: int
    tally: Tally | None
    seconds: float
    lost: str = ""


class Blocks:
    """The blocks of one suite under a folder.

    Args:
        folder: of all evidence.
        suite: whose blocks.
    """

    def __init__(self, folder: Path, suite: Suite) -> None:
        self.suite = suite
        self.origin = {"suite": suite.name, "version": __version__, "numbers": NUMBERS, "code": suite.code()}
        self.folder = folder / suite.name / f"{__version__}-{NUMBERS}-{self.origin['code']}"

    def keep(self, block: Block) -> None:
        """Write a block.

        Raises:
            InputError: nothing can be written there.
        """
        tally = None if block.tally is None else block.tally.to_dict()
        table = {**self.origin, "block": block.number, "seconds": block.seconds, "lost": block.lost, "tally": tally}
        self.folder.mkdir(parents=True, exist_ok=True)
        write_atomically(self.folder / f"{block.number}.json", json.dumps(table, ensure_ascii=False).encode())

    def kept(self) -> dict[int, Block]:
        """The blocks that are there, by number.

        Raises:
            InputError: a file is damaged, or says that it is about something else.
        """
        found = {}
        for path in sorted(self.folder.glob("*.json")):
            if re.fullmatch(r"\d+\.json", path.name):
                block = self._read(path)
                found[block.number] = block
        return found

    def forget(self) -> None:
        """Delete the blocks of this version and code."""
        for path in self.folder.glob("*.json"):
            path.unlink()

    def _read(self, path: Path) -> Block:
        try:
            table = json.loads(path.read_text(encoding="utf-8"))
            tally = None if table["tally"] is None else Tally.from_dict(table["tally"])
            block = Block(table["block"], tally, table["seconds"], table["lost"])
            origin: Mapping[str, Any] = {name: table[name] for name in self.origin}
        except (ValueError, KeyError, TypeError, RecursionError, OSError) as error:
            raise InputError(f"{path} is not a whole block ({type(error).__name__}); delete it") from None
        if origin != self.origin or path.name != f"{block.number}.json" or (block.tally is None) != bool(block.lost):
            raise InputError(f"{path} is not block {path.stem} of this suite, version and code; delete it")
        return block
