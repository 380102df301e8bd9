"""Sections as HTML, and a whole page of them that loads nothing."""

import base64
import hashlib
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from importlib.resources import files

from kd2m_theory.reporting.html import Html, element, join
from kd2m_theory.reporting.sections import (
    Cell,
    Code,
    Column,
    Drawing,
    Line,
    Link,
    Paragraph,
    Section,
    Strong,
    Table,
    Words,
    cell,
)


def page(heading: str, subject: str, sections: Sequence[Section], *, title: str = "") -> str:
    """A whole document: the first section, links to all of them, the others.

    Args:
        heading: the one heading of level 1.
        subject: a line below it.
        sections: each with a title, and with a key of its own.
        title: for the browser's window; the heading if empty.
    """
    links = [element("li", element("a", section.title, href=f"#{_target(section)}")) for section in sections]
    contents = element("nav", element("ul", *links), aria_label="Sections")
    shown = [element("section", *html(section), aria_labelledby=key(section)) for section in sections]
    body = element(
        "body",
        element("a", "Skip to the report", href="#main", class_="skip"),
        element("header", element("h1", heading), element("p", subject)),
        element("main", *shown[:1], contents, *shown[1:], id="main", tabindex="-1"),
    )
    return f"<!doctype html>\n{element('html', _head(title or heading), body, lang='en')}\n"


def html(section: Section, level: int = 2) -> Iterator[Html]:
    """A section: its heading, of that level, and its parts; the heading of a folded one is what opens it."""
    heading: list[Html] = []
    if section.title:
        names = {"id": key(section)} if level == 2 else {}  # what links lead to
        heading = [element(f"h{level}", section.title, **names)]
    parts = [
        shown for part in section.parts for shown in (html(part, level + 1) if isinstance(part, Section) else [_part(part)])
    ]
    if section.folded:
        inside = {"id": _target(section)} if level == 2 else {}
        summary = element("summary", *heading, " ", element("span", section.folded))
        yield element("details", summary, element("div", *parts, **inside))
        return
    yield from (*heading, *parts)


def fragment(sections: Iterable[Section]) -> str:
    """Sections for a page that has a style, an outline and names of its own, such as a notebook: headings become bold."""
    return element("div", *(shown for section in sections for shown in _headless(section)))


def key(section: Section) -> str:
    """The name that links on a page have for a section."""
    return section.key or re.sub(r"\W+", "-", section.title.lower()).strip("-")


def _target(section: Section) -> str:
    """What a link to a section leads to: its heading, or the inside of a fold, which browsers then open."""
    return f"{key(section)}-inside" if section.folded else key(section)


def _headless(section: Section) -> Iterator[Html]:
    heading = [element("strong", section.title)] if section.title else []
    parts = [shown for part in section.parts for shown in (_headless(part) if isinstance(part, Section) else [_part(part)])]
    if section.folded:
        yield element("details", element("summary", *heading, " ", section.folded), *parts)
        return
    yield from (element("p", each) for each in heading)
    yield from parts


def _head(title: str) -> Html:
    style = Html(files("kd2m_theory.reporting").joinpath("report.css").read_text(encoding="utf-8"))
    # The browser itself then refuses whatever is not this style sheet, should anything ever slip through.
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=f"default-src 'none'; style-src 'sha256-{digest}'"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", title),
        element("style", style),
    )


def _part(part: Paragraph | Code | Drawing | Table) -> Html:
    match part:
        case Paragraph():
            return _paragraph(part)
        case Code():
            return element("pre", element("code", part.text))
        case Drawing():
            return part.markup
    return _table(part)


def _paragraph(part: Paragraph) -> Html:
    words = [_words(each) for each in part.words]
    if part.tone in ("strong", "alarm"):
        words = [element("strong", *words)]
    return element("p", *words, **({} if part.tone == "plain" else {"class_": part.tone}))


def _words(words: Words) -> str:
    match words:
        case Link():
            return element("a", words.words, href=words.address)
        case Strong():
            return element("b", words.words)
    return words


def _table(table: Table) -> Html:
    """A table in a region of its name, which scrolls sideways where it must and which the keyboard reaches."""
    heads = [element("th", column.heading, **_numeric(column), scope="col") for column in table.columns]
    whole = element(
        "table",
        element("caption", element("span", table.caption or table.name)),
        element("thead", element("tr", *heads)),
        *_bodies(table),
        class_=table.kind,
    )
    return element("div", whole, class_="scroll", tabindex="0", role="region", aria_label=f"Table: {table.name}")


def _bodies(table: Table) -> Iterator[Html]:
    """One body for all rows, or one for each where rows have something below them that belongs to them."""
    if any(line.details for line in table.lines):
        yield from (_pair_of_rows(line, k, table) for k, line in enumerate(table.lines))
        return
    yield element("tbody", *(element("tr", *_cells(line, table), **_marks(line)) for line in table.lines))


def _pair_of_rows(line: Line, k: int, table: Table) -> Html:
    name = f"row-{line.key or f'{key(Section(table.name))}-{k}'}"
    details = element("td", *map(_part, line.details), colspan=len(table.columns), headers=name)
    return element("tbody", element("tr", *_cells(line, table, name)), element("tr", details), **_marks(line))


def _marks(line: Line) -> dict[str, str]:
    marks = {"data_row": line.key} if line.key else {}
    return marks if line.tone == "plain" else marks | {"class_": line.tone}


def _cells(line: Line, table: Table, name: str = "") -> Iterator[Html]:
    first, *others = map(cell, line.cells)
    yield element("th", _heading(first), scope="row", **({"id": name} if name else {}))
    yield from (element("td", _value(each), **_numeric(c)) for each, c in zip(others, table.columns[1:], strict=True))


def _numeric(column: Column) -> dict[str, str]:
    return {"class_": "number"} if column.numeric else {}


def _heading(first: Cell) -> str:
    """What names a row; a name without spaces may break after a full stop or an underscore."""
    if first.foreign or " " in first.words:
        return _value(first)
    parts = [element("span", part) for part in first.words.replace(".", ".\n").replace("_", "_\n").split("\n")]
    return join(parts, "<wbr>") if len(parts) > 1 else first.words


def _value(each: Cell) -> str:
    if each.foreign:
        return element("bdi", each.words)
    if each.number is None or not math.isfinite(each.number):
        return each.words
    return element("data", each.words, value=repr(float(each.number)))
