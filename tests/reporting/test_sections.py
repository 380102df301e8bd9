"""Sections in three media: each shows every word, none of them as markup, and cuts off nothing that is to be copied."""

import io
import re
from html.parser import HTMLParser

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from rich.console import Console

from kd2m_theory.reporting import html_view, markdown_view, terminal_view
from kd2m_theory.reporting.html import element
from kd2m_theory.reporting.sections import (
    Cell,
    Code,
    Column,
    Drawing,
    Line,
    Link,
    Section,
    Strong,
    Table,
    columns,
    paragraph,
)
from kd2m_theory.theory.catalogue import theorem
from kd2m_theory.validation.trial.pages import listing, page

LONG = "kd2m audit " + "folder/" * 40 + "pair.safetensors"
SAMPLE = [
    Section(
        title="First",
        parts=(
            paragraph("Words with ", Strong("weight"), " and a ", Link("link", "https://example.org/a"), "."),
            Table(
                name="numbers",
                columns=(*columns("name", "value", numeric=1), Column("words", folds=True)),
                lines=(
                    Line(("T2.head_aware", Cell("0.1235", 0.123456789), "good"), tone="good", key="T2.head_aware"),
                    Line((Cell("from outside", foreign=True), Cell("∞", float("inf")), "bad"), tone="alarm"),
                ),
                caption="Two of them.",
            ),
            Code(LONG, "sh"),
            Section(title="Below", parts=(paragraph("Deeper."), Drawing(element("b", "drawn"), "A picture."))),
        ),
    ),
    Section(
        title="Second one",
        parts=(
            Table(
                name="detailed",
                columns=columns("form", "ratio", numeric=1),
                lines=(Line(("T2", "1"), details=(paragraph("What it rests on."), Code(LONG, "latex"))),),
            ),
        ),
    ),
]
WORDS = [
    "Words with ",
    "weight",
    "link",
    "Two of them.",
    "T2.head_aware",
    "0.1235",
    "from outside",
    "bad",
    "Deeper.",
    "What it rests on.",
]


class Text(HTMLParser):
    """The words of a page, and the tags around them; a wrongly nested element is an error."""

    def __init__(self, markup):
        super().__init__()
        self.words, self.tags, self.open = "", [], []
        self.feed(markup)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("wbr", "meta"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words += data

    def all(self, name):
        return [attributes for tag, attributes in self.tags if tag == name]


def html_of(sections):
    return Text("".join(part for section in sections for part in html_view.html(section)))


def test_each_medium_shows_every_word():
    shown = {
        "terminal": terminal_view.plain(SAMPLE),
        "Markdown": markdown_view.markdown(SAMPLE, "Title"),
        "page": html_of(SAMPLE).words,
        "notebook": Text(html_view.fragment(SAMPLE)).words,
    }
    for medium, text in shown.items():
        for words in [*WORDS, "First", "Below", "Second one", LONG]:
            assert words in text, (medium, words)
        assert ("A picture." in text) == (medium in ("terminal", "Markdown"))


def test_code_is_never_broken_or_cut_off():
    assert LONG in terminal_view.plain(SAMPLE, width=30).splitlines()
    assert f"      {LONG}" in terminal_view.plain(SAMPLE, width=30).splitlines()
    file = io.StringIO()
    Console(file=file, width=30).print(terminal_view.printed(SAMPLE), crop=False)
    assert file.getvalue().count(LONG) == 2


def test_tones_are_colours_in_a_terminal_and_classes_on_a_page():
    file = io.StringIO()
    Console(file=file, width=80, force_terminal=True, color_system="standard").print(terminal_view.printed(SAMPLE))
    red, green = (next(line for line in file.getvalue().splitlines() if words in line) for words in ("outside", "head_aware"))
    assert "\x1b[1;31m" in red
    assert "\x1b[32m" in green
    assert [row.get("class") for row in html_of(SAMPLE).all("tr")[1:3]] == ["good", "alarm"]


def test_a_page_has_headings_in_order_and_tables_with_headers_and_names():
    found = html_of(SAMPLE)
    assert [tag for tag, _ in found.tags if re.fullmatch(r"h\d", tag)] == ["h2", "h3", "h2"]
    assert [heading.get("id") for heading in found.all("h2")] == ["first", "second-one"]
    assert {head["scope"] for head in found.all("th")} == {"row", "col"}
    assert len(found.all("caption")) == len(found.all("table")) == 2
    assert [region["aria-label"] for region in found.all("div")] == ["Table: numbers", "Table: detailed"]
    assert [data["value"] for data in found.all("data")] == ["0.123456789"]
    assert [cell["headers"] for cell in found.all("td") if "headers" in cell] == ["row-detailed-0"]
    whole = Text(html_view.page("Heading", "subject", SAMPLE).removeprefix("<!doctype html>"))
    assert [link["href"] for link in whole.all("a")] == ["#main", "https://example.org/a", "#first", "#second-one"]


def test_markdown_is_tables_lists_and_fences():
    html = MarkdownIt("commonmark").enable("table").render(markdown_view.markdown(SAMPLE, "Title"))
    found = Text(html)
    assert [tag for tag, _ in found.tags if re.fullmatch(r"h\d", tag)] == ["h1", "h2", "h3", "h2"]
    assert len(found.all("table")) == 2
    assert [cell.get("style") for cell in found.all("th")] == [None, "text-align:right", None, None, "text-align:right"]
    assert [code.get("class") for code in found.all("code")] == ["language-sh", "language-latex"]
    assert len(found.all("li")) == 1
    assert [link["href"] for link in found.all("a")] == ["https://example.org/a"]


ANY = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=20)


@example(words="&lt;&#35;")
@example(words="[x](y)|`*_**")
@given(words=ANY)
def test_no_word_becomes_markup(words):
    """A letter first and last: what Markdown makes of the beginning of a line is not looked at."""
    words = f"x{words}x"
    table = Table(name="t", columns=columns("name", "words"), lines=(Line((words, Cell(words, foreign=True))),), caption=words)
    sections = [Section(title=words, parts=(paragraph(words, Strong(words)), table), key="k")]
    assert html_of(sections).words.count(words) == 6
    assert {tag for tag, _ in html_of(sections).tags} <= {
        "h2",
        "p",
        "b",
        "div",
        "table",
        "caption",
        "span",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "bdi",
        "wbr",
    }
    rendered = MarkdownIt("commonmark").enable("table").render(markdown_view.markdown(sections))
    assert Text(rendered).words.count(words) == 6
    assert {tag for tag, _ in Text(rendered).tags} <= {"h2", "p", "strong", "table", "thead", "tbody", "tr", "th", "td"}
    assert terminal_view.plain(sections, width=400).count(words) == 6


def test_a_row_of_another_length_is_refused():
    with pytest.raises(ValueError, match="table 't' has 2 columns and a row of 1 cells"):
        Table(name="t", columns=columns("a", "b"), lines=(Line(("x",)),))


def test_the_catalogue_can_be_shown_in_every_medium():
    for sections in (listing(), page(theorem("T2")), page(theorem("KD2M.theorem"))):
        plain, markup, found = terminal_view.plain(sections), markdown_view.markdown(sections), html_of(sections)
        for table in (part for section in sections for part in section.parts if isinstance(part, Table)):
            for line in table.lines:
                name = line.cells[0]
                assert all(name in text for text in (plain, markup, found.words))


def test_a_folded_section_is_folded_on_a_page_and_shown_elsewhere():
    sections = [Section(title="Rest", parts=(paragraph("Inside."),), folded="what is inside")]
    whole = Text(html_view.page("Heading", "subject", sections).removeprefix("<!doctype html>"))
    assert [tag for tag, _ in whole.tags if tag in ("details", "summary", "h2")] == ["details", "summary", "h2"]
    assert {"id": "rest-inside"} in whole.all("div")
    assert "#rest-inside" in [link["href"] for link in whole.all("a")]
    for text in (terminal_view.plain(sections), markdown_view.markdown(sections), html_view.fragment(sections), whole.words):
        assert "Rest" in text
        assert "what is inside" in text
        assert "Inside." in text
