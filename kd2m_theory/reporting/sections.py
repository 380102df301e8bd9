"""Reports as plain data: sections of words, tables, code and drawings, which know nothing of where they are shown.

`terminal_view`, `markdown_view` and `html_view` each have the one renderer for their medium. A colour is never the only mark
of a tone: builders say the same in words.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from kd2m_theory.reporting.html import Html

Tone = Literal["plain", "good", "muted", "warning", "strong", "alarm"]


@dataclass(frozen=True, slots=True)
class Link:
    """Words that lead to an address."""

    words: str
    address: str


@dataclass(frozen=True, slots=True)
class Strong:
    """Words of weight."""

    words: str


Words: TypeAlias = str | Link | Strong


@dataclass(frozen=True, slots=True)
class Paragraph:
    """Sentences.

    Attributes:
        words: in order, joined without a space.
        tone: how it is shown.
    """

    words: tuple[Words, ...]
    tone: Tone = "plain"


def paragraph(*words: Words, tone: Tone = "plain") -> Paragraph:
    """A paragraph of these words."""
    return Paragraph(words, tone)


@dataclass(frozen=True, slots=True)
class Code:
    """Lines to copy: no renderer breaks one.

    Attributes:
        text: the lines.
        language: "sh", "python", "bibtex", "latex" or "text".
    """

    text: str
    language: str = "text"


@dataclass(frozen=True, slots=True)
class Drawing:
    """A picture that only a page can show.

    Attributes:
        markup: the picture.
        words: what other media say in its place; nothing if empty.
    """

    markup: Html
    words: str


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    Attributes:
        heading: its first line.
        numeric: whether it has numbers, which are aligned on the right.
        folds: whether its cells are sentences, which every medium may break.
        width: its least width in a terminal, in characters: columns of tables below one another can be made to line up.
        optional: whether a terminal may leave it out where there is no room for all columns.
    """

    heading: str
    numeric: bool = False
    folds: bool = False
    width: int = 0
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of a table.

    Attributes:
        words: for people.
        number: the number in full, for programs that read the page; None if there is none or it is not finite.
        foreign: whether the words come from outside, in any writing direction: a page keeps them apart.
    """

    words: str
    number: float | None = None
    foreign: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """A row of a table.

    Attributes:
        cells: one for each column; the first names the row.
        tone: how it is shown.
        details: what belongs to the row and stands below it, over the whole width.
        key: the row's name for programs that read the page; empty if nobody asks for it.
    """

    cells: tuple[Cell | str, ...]
    tone: Tone = "plain"
    details: tuple[Paragraph | Code | Drawing, ...] = ()
    key: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """A table.

    Attributes:
        name: what it is called, unlike every other table of the report.
        columns: its columns, the first of names.
        lines: its rows, each with as many cells as there are columns.
        caption: what a reader must know first; the name stands for it where a page needs one.
        kind: its class in the style sheet.

    Raises:
        ValueError: a row with more or fewer cells than there are columns.
    """

    name: str
    columns: tuple[Column, ...]
    lines: tuple[Line, ...]
    caption: str = ""
    kind: str = "plain"

    def __post_init__(self) -> None:
        for line in self.lines:
            if len(line.cells) != len(self.columns):
                raise ValueError(f"table {self.name!r} has {len(self.columns)} columns and a row of {len(line.cells)} cells")


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a report under a title.

    Attributes:
        title: of the section; empty for one that needs none.
        parts: in order; sections among them stand one level lower.
        key: the section's name in links on a page; made from the title if empty.
        tone: of the title.
        folded: what is inside, in a few words beside the title of a section that a page shows folded; empty for one that is
            always open. A medium that cannot fold shows the section, and the words with it.
    """

    title: str
    parts: tuple["Part", ...] = ()
    key: str = ""
    tone: Tone = "strong"
    folded: str = ""


Part: TypeAlias = Paragraph | Code | Drawing | Table | Section


def cell(value: Cell | str) -> Cell:
    """The cell that a string stands for."""
    return value if isinstance(value, Cell) else Cell(value)


def columns(*headings: str, numeric: int = 0) -> tuple[Column, ...]:
    """Columns of these headings, of which the last `numeric` have numbers.

    Example:
        >>> [column.numeric for column in columns("form", "ratio", numeric=1)]
        [False, True]
    """
    return tuple(Column(heading, numeric=k >= len(headings) - numeric) for k, heading in enumerate(headings))
