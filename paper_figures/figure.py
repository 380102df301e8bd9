"""What a figure is: a table of plain numbers, and a function from it to a picture."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill
from typing import Any, Protocol

from matplotlib.figure import Figure

from kd2m_theory.errors import InputError
from kd2m_theory.files import json_bytes
from kd2m_theory.reporting.style import look, render
from kd2m_theory.shared_state import one_thread
from kd2m_theory.validation.stored_tables import StoredTable

# Names to plain numbers, words, and lists of them: nothing that JSON could not hold.
Table = Mapping[str, Any]

PICTURES = ("png", "svg", "pdf")
FORMATS = (*PICTURES, "json")


class LacksNumbersError(InputError):
    """What is read has no numbers for a figure; the message says what would have to be in it."""


class Draw(Protocol):
    """The picture of a table; its default width is the one that the figure has if nobody asks for another."""

    def __call__(self, table: Table, /, width: float = ...) -> Figure:
        """A figure of that many inches, with no letter below `SMALLEST` points."""
        ...


def filled(numbers: Callable[..., Table], lacks: str) -> Callable[..., Table]:
    """The function that makes a table, refusing one that has no rows.

    Args:
        numbers: makes a table with "rows".
        lacks: what is said of one without: the message of a `LacksNumbersError`.
    """

    def table(*read: Any) -> Table:
        made = numbers(*read)
        if not made["rows"]:
            raise LacksNumbersError(lacks)
        return made

    return table


def unfinished(table: Table) -> str:
    """What a caption ends with where the table is of a campaign of which `missing` tasks are not done."""
    return f" {table['missing']:,} tasks of the campaign are missing." if table["missing"] else ""


@dataclass(frozen=True)
class PaperFigure:
    """A figure of a paper, or of ours.

    Attributes:
        name: what `kd2m figures --only` calls it, and its files' stem.
        sentence: what it shows.
        source: paper and figure, or "ours".
        table: computes the numbers; called with what each of `reads` reads, in that order.
        draw: the picture of a table at a width.
        caption: what a reader has to know to read the picture of a table, and what it shows that the paper does not:
            sentences, of which every number comes from the table.
        reads: stored tables that it needs.
        apart: tells what is read apart, by name, where it has the numbers of several pictures; `table` is then called for each,
            and what lacks its numbers is left out. None: one picture.
    """

    name: str
    sentence: str
    source: str
    table: Callable[..., Table]
    draw: Draw
    caption: Callable[[Table], str]
    reads: tuple[StoredTable, ...] = ()
    apart: Callable[[Any], Mapping[str, Any]] | None = None

    def numbers(self, folder: Path | None = None) -> Table:
        """Its table, the first of `tables`.

        Raises:
            InputError: as `tables`.
        """
        return next(iter(self.tables(folder).values()))

    def tables(self, folder: Path | None = None) -> dict[str, Table]:
        """The table of each of its pictures, by the stem of its files; stored ones are read from that folder (from the package
        if None).

        Computed on one thread: sums taken in another order would be other numbers, and training makes much of little.

        Raises:
            LacksNumbersError: what is stored has no numbers for the figure.
            InputError: a stored table is not there, or does not hold what it should.
        """
        from kd2m_theory.validation.torch_threads import (
            torch_threads,  # torch, which a report that draws its ladder may not need
        )

        with torch_threads(1), one_thread():
            read = [stored.read(stored.path(folder)) for stored in self.reads]
            if self.apart is None:
                return {self.name: self.table(*read)}
            made, lacks = {}, []
            for words, each in self.apart(*read).items():
                try:
                    made[words] = self.table(each)
                except LacksNumbersError as error:
                    lacks.append(error)
        if not made:
            raise lacks[0] if lacks else LacksNumbersError(f"the figure {self.name} needs students, which the campaign has not")
        return self._named(made)

    def _named(self, tables: Mapping[str, Table]) -> dict[str, Table]:
        """By the figure's name, and of several also by what tells them apart, in letters that any file may have."""
        if len(tables) == 1:
            return dict(zip([self.name], tables.values(), strict=True))
        named: dict[str, Table] = {}
        for words, table in tables.items():
            stem = f"{self.name}-" + re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")[:80]
            named[stem if stem not in named else f"{stem}-{len(named) + 1}"] = table
        return named

    def picture(self, table: Table, width: float | None = None) -> Figure:
        """The figure, drawn in the look of all figures; `width` in inches, None for its own."""
        with look():
            return self.draw(table) if width is None else self.draw(table, width)

    def explained(self, table: Table) -> str:
        """The caption that is written beside the picture: what it shows, how to read it, and where it comes from."""
        source = "Figure of this project." if self.source == "ours" else f"After {self.source}."
        sentence = f"{self.sentence[0].upper()}{self.sentence[1:]}."
        return "\n".join(fill(words, 100) for words in (sentence, self.caption(table), source)) + "\n"

    def rendered(self, table: Table, formats: Iterable[str], width: float | None = None) -> dict[str, bytes]:
        """A file of each format, the same bytes every time: "png", "svg" or "pdf" of that many inches, "json" for the numbers
        themselves, "txt" for the caption.
        """
        formats = tuple(formats)
        pictures = [word for word in formats if word in PICTURES]
        made = render(self.picture(table, width), pictures) if pictures else {}
        if "json" in formats:
            made["json"] = json_bytes(table)
        if "txt" in formats:
            made["txt"] = self.explained(table).encode()
        return {word: made[word] for word in formats}
