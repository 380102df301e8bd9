"""What a figure is: a table of plain numbers, and a function from it to a picture."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from kd2m_theory.files import json_bytes
from kd2m_theory.reporting.style import look, render
from kd2m_theory.shared_state import one_thread
from kd2m_theory.validation.stored_tables import StoredTable

# Names to plain numbers, words, and lists of them: nothing that JSON could not hold.
Table = Mapping[str, Any]

PICTURES = ("png", "svg", "pdf")
FORMATS = (*PICTURES, "json")


@dataclass(frozen=True)
class PaperFigure:
    """A figure of a paper, or of ours.

    Attributes:
        name: what `kd2m figures --only` calls it, and its files' stem.
        sentence: what it shows.
        source: paper and figure, or "ours".
        table: computes the numbers; called with what each of `reads` reads, in that order.
        draw: the picture of a table.
        reads: stored tables that it needs.
    """

    name: str
    sentence: str
    source: str
    table: Callable[..., Table]
    draw: Callable[[Table], Figure]
    reads: tuple[StoredTable, ...] = ()

    def numbers(self, folder: Path | None = None) -> Table:
        """Its table, with stored ones taken from that folder (from the package if None).

        Computed on one thread: sums taken in another order would be other numbers, and training makes much of little.

        Raises:
            InputError: a stored table is not there, or does not hold what it should.
        """
        from kd2m_theory.validation.torch_threads import (
            torch_threads,  # torch, which a report that draws its ladder may not need
        )

        with torch_threads(1), one_thread():
            return self.table(*(stored.read(stored.path(folder)) for stored in self.reads))

    def picture(self, table: Table) -> Figure:
        """The figure, drawn in the look of all figures."""
        with look():
            return self.draw(table)

    def rendered(self, table: Table, formats: Iterable[str]) -> dict[str, bytes]:
        """A file of each format, the same bytes every time: "png", "svg", "pdf", or "json" for the numbers themselves."""
        formats = tuple(formats)
        pictures = [word for word in formats if word in PICTURES]
        made = render(self.picture(table), pictures) if pictures else {}
        if "json" in formats:
            made["json"] = json_bytes(table)
        return {word: made[word] for word in formats}
