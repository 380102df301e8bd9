"""Sections as Markdown (CommonMark with tables)."""

import re
from collections.abc import Iterable, Iterator, Sequence

from kd2m_theory.reporting.sections import Code, Drawing, Line, Link, Paragraph, Part, Section, Strong, Table, Words, cell
from kd2m_theory.words import harmless

# What would be markup in running text; `|` would end a cell. An underscore inside a name and brackets alone are text.
_MARKUP = re.compile(r"[\\`*<|]|&(?=[#\w])|(?<!\w)_|_(?!\w)|\](?=[(:\[])")


def markdown(sections: Iterable[Section], title: str = "") -> str:
    """The sections as a page, below a title if there is one."""
    lines = [f"# {_text(title)}", ""] if title else []
    for section in sections:
        lines += _section(section, 2)
    return harmless("\n".join(lines))


def _section(section: Section, level: int) -> Iterator[str]:
    if section.title:
        yield from (f"{'#' * level} {_text(section.title)}", "")
    if section.folded:
        yield from (_text(section.folded), "")
    for part in section.parts:
        yield from _section(part, level + 1) if isinstance(part, Section) else _part(part)


def _part(part: Part) -> Iterator[str]:
    match part:
        case Paragraph():
            yield from ("".join(map(_words, part.words)), "")
        case Code():
            yield from (*_fenced(part), "")
        case Drawing():
            if part.words:
                yield from (_text(part.words), "")
        case Table():
            yield from (*_table(part), "")


def _words(words: Words) -> str:
    match words:
        case Link():
            return f"[{_text(words.words)}]({words.address})"
        case Strong():
            return f"**{_text(words.words)}**"
    return _text(words)


def _text(words: str) -> str:
    return _MARKUP.sub(r"\\\g<0>", words)


def _fenced(code: Code) -> Sequence[str]:
    longest = max((len(run) for run in re.findall(r"`+", code.text)), default=0)
    fence = "`" * max(3, longest + 1)
    return (fence + code.language, code.text, fence)


def _table(table: Table) -> Iterator[str]:
    if table.caption:
        yield from (_text(table.caption), "")
    yield "| " + " | ".join(_text(column.heading) for column in table.columns) + " |"
    yield "|" + "|".join("--:" if column.numeric else "---" for column in table.columns) + "|"
    for line in table.lines:
        yield "| " + " | ".join(_text(" ".join(cell(each).words.split())) for each in line.cells) + " |"
    for line in table.lines:
        yield from _details(line)


def _details(line: Line) -> Iterator[str]:
    """Below the table, as a list: a cell of Markdown cannot span the others."""
    if not line.details:
        return
    yield from ("", f"- {_text(cell(line.cells[0]).words)}")
    for part in line.details:
        yield ""
        yield from (f"  {words}" for block in _part(part) for words in block.splitlines() if words)
