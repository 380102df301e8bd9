"""Sections for the terminal, by rich."""

import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from textwrap import indent

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.padding import Padding
from rich.table import Table as RichTable
from rich.text import Text

from kd2m_theory.reporting.sections import Code, Drawing, Link, Paragraph, Part, Section, Table, Tone, cell
from kd2m_theory.words import harmless, stripped

_STYLES: dict[Tone, str] = {
    "plain": "",
    "good": "green",
    "muted": "dim",
    "warning": "yellow",
    "strong": "bold",
    "alarm": "bold red",
}
_WIDTH = 104
_INDENT = 6
_GUTTER = 2  # between columns
_NAME = 32  # characters that the name of a row needs at least, if it has them
_ROOM = 15  # characters that a cell of words needs at least, if it has them
# No line ends between a number and its unit, or before a number in brackets.
_TIGHT = re.compile(r"(?<=\d) (?=%|nats\b|points\b)|(?<=\S) (?=\(\d)")
_APART = "   "  # where words are set apart so, as commands are, a line ends nowhere else
_GLUE = "\ue000"  # in place of such a space while lines are made: rich breaks at every kind of space


def printed(sections: Iterable[Section]) -> RenderableType:
    """The sections with an empty line between them; print them with `crop=False`, so that no code is cut off."""
    shown: list[RenderableType] = []
    for section in sections:
        shown += [*([Text("")] if shown else []), *_section(section)]
    return Group(*shown)


def plain(sections: Iterable[Section], width: int = _WIDTH) -> str:
    """The same as text without colours, `width` characters wide; no line ends in a space."""
    console = Console(file=io.StringIO(), width=width, color_system=None, legacy_windows=False)
    console.print(printed(sections), crop=False)
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return stripped(text)


def _section(section: Section) -> Iterator[RenderableType]:
    if section.title:
        yield Text(harmless(section.title), style=_STYLES[section.tone])
    if section.folded:
        yield Text(harmless(section.folded), style=_STYLES["muted"])
    for k, part in enumerate(section.parts):
        if isinstance(part, Section):
            if k or section.title:
                yield Text("")
            yield from _section(part)
        else:
            yield from _part(part)


def _part(part: Part) -> Iterator[RenderableType]:
    match part:
        case Paragraph():
            yield _paragraph(part)
        case Code():
            yield Text(harmless(part.text), no_wrap=True, overflow="ignore")
        case Drawing():
            if part.words:
                yield Text(harmless(part.words), style=_STYLES["muted"])
        case Table():
            if part.caption:
                yield Text(harmless(part.caption), style=_STYLES["muted"])
            yield _Detailed(part) if any(line.details for line in part.lines) else _Fitted(part)


@dataclass(frozen=True, slots=True)
class _Flowing:
    """A text whose lines end where a reader expects it."""

    text: Text

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        self.text.plain = _glued(self.text.plain)
        for line in self.text.wrap(console, options.max_width, overflow="fold"):
            line.rstrip()
            line.plain = line.plain.replace(_GLUE, " ")
            yield line


def _glued(words: str) -> str:
    if _APART in words:
        return _APART.join(each.replace(" ", _GLUE) for each in words.split(_APART))
    return _TIGHT.sub(_GLUE, words)


def _paragraph(part: Paragraph) -> _Flowing:
    text = Text(style=_STYLES[part.tone])
    for words in part.words:
        if isinstance(words, str):
            text.append(harmless(words))
        elif isinstance(words, Link):
            text.append(harmless(f"{words.words} <{words.address}>"))
        else:
            text.append(harmless(words.words), style=_STYLES["strong"])
    return _Flowing(text)


@dataclass(frozen=True, slots=True)
class _Fitted:
    """A table that is never wider than the terminal: where its numbers do not fit beside one another, they stand below."""

    table: Table

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> RenderResult:
        width = options.max_width
        for table, aligned in _narrower(self.table):
            widths = _widths(table, aligned, width)
            if widths is not None:
                yield _table(table, widths)
                return
        yield from _stacked(self.table, width)


def _narrower(table: Table) -> Iterator[tuple[Table, bool]]:
    """The table in line with others, then with columns as narrow as they can be, then without each optional one."""
    yield table, True
    yield table, False
    for k in reversed(range(len(table.columns))):
        if table.columns[k].optional:
            lines = tuple(replace(line, cells=(*line.cells[:k], *line.cells[k + 1 :])) for line in table.lines)
            table = replace(table, columns=(*table.columns[:k], *table.columns[k + 1 :]), lines=lines)
            yield table, False


def _widths(table: Table, aligned: bool, width: int) -> list[int] | None:
    """Widths of the columns; None if there is no room for every number and a part of every other cell.

    Args:
        table: the table.
        aligned: whether columns have the widths that make them line up with those of other tables.
        width: of the terminal.
    """
    wanted = [
        max(cell_len(words) for words in (column.heading, *(harmless(cell(line.cells[k]).words) for line in table.lines)))
        for k, column in enumerate(table.columns)
    ]
    words = [
        max((cell_len(word) for line in table.lines for word in harmless(cell(line.cells[k]).words).split()), default=0)
        if column.folds
        else 0  # what is not a sentence may break anywhere
        for k, column in enumerate(table.columns)
    ]
    widths = [
        max(most if column.numeric else min(most, max(_ROOM if k else _NAME, words[k])), column.width if aligned else 0)
        for k, (most, column) in enumerate(zip(wanted, table.columns, strict=True))
    ]
    left = width - sum(widths) - _GUTTER * (len(widths) - 1)
    if left < 0:
        return None
    for k, most in enumerate(wanted):
        more = min(left, max(0, most - widths[k]))
        widths[k] += more
        left -= more
    return widths


def _table(table: Table, widths: list[int]) -> RichTable:
    made = RichTable(box=None, pad_edge=False)
    for column, width in zip(table.columns, widths, strict=True):
        made.add_column(
            Text(harmless(column.heading)),
            justify="right" if column.numeric else "left",
            no_wrap=column.numeric,
            overflow="fold",
            width=width,
        )
    for line in table.lines:
        made.add_row(*(Text(harmless(cell(each).words)) for each in line.cells), style=_STYLES[line.tone])
    return made


def _stacked(table: Table, width: int) -> Iterator[Text]:
    """Each row as lines of its own: its name, and below it the heading and the cell of every other column."""
    for line in table.lines:
        first, *others = (harmless(cell(each).words) for each in line.cells)
        yield Text(first, style=_STYLES[line.tone], overflow="fold")
        for column, words in zip(table.columns[1:], others, strict=True):
            indented = f"  {column.heading} {words}"
            yield Text(indented if cell_len(indented) <= width else f"{column.heading} {words}", overflow="fold")


@dataclass(frozen=True, slots=True)
class _Detailed:
    """Rows with something below them, for which rich has no table: columns as wide as their widest cell where those fit beside
    one another, else the cells of a row below one another.
    """

    table: Table

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> RenderResult:
        yield from _detailed(self.table, options.max_width)


def _detailed(table: Table, width: int) -> Iterator[RenderableType]:
    rows = [
        [harmless(column.heading) for column in table.columns],
        *([harmless(cell(each).words) for each in line.cells] for line in table.lines),
    ]
    widths = [max(cell_len(each) for each in column) for column in zip(*rows, strict=True)]
    numeric = [column.numeric for column in table.columns]
    fits = sum(widths) + _GUTTER * (len(widths) - 1) <= width

    def aligned(cells: list[str], style: str) -> Text:
        parts = []
        for each, width, right in zip(cells, widths, numeric, strict=True):
            space = " " * (width - cell_len(each))
            parts.append(space + each if right else each + space)
        return Text("  ".join(parts).rstrip(), style=style)

    if fits:
        yield aligned(rows[0], _STYLES["strong"])
    for line, cells in zip(table.lines, rows[1:], strict=True):
        if fits:
            yield aligned(cells, _STYLES[line.tone])
        else:
            yield from _stacked(replace(table, lines=(line,)), width)
        for part in line.details:
            if isinstance(part, Paragraph):
                yield Padding(_paragraph(part), (0, 0, 0, _INDENT))
            elif isinstance(part, Drawing):
                yield Padding(Group(*_part(part)), (0, 0, 0, _INDENT))
            else:  # within a padding it would be cut off
                yield from _part(Code(indent(part.text, " " * _INDENT), part.language))
