"""Sections for the terminal, by rich."""

import io
from collections.abc import Iterable, Iterator
from textwrap import indent

from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table as RichTable
from rich.text import Text

from kd2m_theory.reporting.sections import Code, Drawing, Link, Paragraph, Part, Section, Table, Tone, cell
from kd2m_theory.words import harmless

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
    return "\n".join(line.rstrip() for line in text.splitlines())


def _section(section: Section) -> Iterator[RenderableType]:
    if section.title:
        yield Text(harmless(section.title), style=_STYLES[section.tone])
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
            yield Text(harmless(part.words), style=_STYLES["muted"])
        case Table():
            if part.caption:
                yield Text(harmless(part.caption), style=_STYLES["muted"])
            yield from _detailed(part) if any(line.details for line in part.lines) else [_table(part)]


def _paragraph(part: Paragraph) -> Text:
    text = Text(style=_STYLES[part.tone])
    for words in part.words:
        if isinstance(words, str):
            text.append(harmless(words))
        elif isinstance(words, Link):
            text.append(harmless(f"{words.words} <{words.address}>"))
        else:
            text.append(harmless(words.words), style=_STYLES["strong"])
    return text


def _table(table: Table) -> RichTable:
    made = RichTable(box=None, pad_edge=False)
    for column in table.columns:
        made.add_column(
            Text(harmless(column.heading)),
            justify="right" if column.numeric else "left",
            no_wrap=not column.folds,
            overflow="fold" if column.folds else "ellipsis",
            min_width=column.width,
        )
    for line in table.lines:
        made.add_row(*(Text(harmless(cell(each).words)) for each in line.cells), style=_STYLES[line.tone])
    return made


def _detailed(table: Table) -> Iterator[RenderableType]:
    """Rows with something below them, for which rich has no table: columns as wide as their widest cell."""
    rows = [
        [harmless(column.heading) for column in table.columns],
        *([harmless(cell(each).words) for each in line.cells] for line in table.lines),
    ]
    widths = [max(cell_len(each) for each in column) for column in zip(*rows, strict=True)]
    numeric = [column.numeric for column in table.columns]

    def aligned(cells: list[str], style: str) -> Text:
        parts = []
        for each, width, right in zip(cells, widths, numeric, strict=True):
            space = " " * (width - cell_len(each))
            parts.append(space + each if right else each + space)
        return Text("  ".join(parts).rstrip(), style=style)

    yield aligned(rows[0], _STYLES["strong"])
    for line, cells in zip(table.lines, rows[1:], strict=True):
        yield aligned(cells, _STYLES[line.tone])
        for part in line.details:
            if isinstance(part, Paragraph):
                yield Padding(_paragraph(part), (0, 0, 0, _INDENT))
            else:  # within a padding it would be cut off
                yield from _part(Code(indent(part.text, " " * _INDENT), part.language))
