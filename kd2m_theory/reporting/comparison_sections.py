"""A comparison of students as sections: what is printed, what a notebook shows, and the page."""

from collections.abc import Iterable

from kd2m_theory.bounds.compare import MEASURES, Measure
from kd2m_theory.reporting import html_view
from kd2m_theory.reporting.citation import PAPER, software
from kd2m_theory.reporting.comparison_drawing import forest_drawing
from kd2m_theory.reporting.comparison_words import (
    TITLES,
    UNITS,
    Comparison,
    Record,
    about,
    headline,
    notes,
    opposed,
    outcome,
    questions,
    scaled,
    sentences,
    shown,
    shown_ends,
    sign,
    students,
    subject,
)
from kd2m_theory.reporting.page_tables import pairs_table, value_cell
from kd2m_theory.reporting.sections import Cell, Code, Column, Line, Link, Part, Section, Table, Tone, paragraph
from kd2m_theory.words import number


def summary_sections(comparison: Comparison) -> list[Section]:
    """What is printed of a comparison (`StudentComparison.to_dict()`)."""
    tables = [Section(title="", parts=(difference_table(comparison, measure),)) for measure in MEASURES]
    end = Section(title="", parts=tuple(paragraph(note, tone="muted") for note in notes(comparison)))
    return [_verdict(comparison), Section(title="", parts=(network_table(comparison),)), *tables, end]


def page(comparison: Comparison, command: str | None = None) -> str:
    """The page of a comparison.

    Args:
        comparison: `StudentComparison.to_dict()`.
        command: what was typed to make it; the call in Python if None.
    """
    names = ", ".join(students(comparison))
    line = f"{subject(comparison)}, kd2m-theory {comparison['version']}"
    return html_view.page("Comparison of students", line, page_sections(comparison, command), title=f"Comparison: {names}")


def page_sections(comparison: Comparison, command: str | None = None) -> list[Section]:
    """Everything about a comparison, as sections.

    Args:
        comparison: `StudentComparison.to_dict()`.
        command: what was typed to make it; the call in Python if None.
    """
    tables = tuple(difference_table(comparison, measure) for measure in MEASURES)
    said = tuple(paragraph(note) for note in notes(comparison))
    return [
        Section(title="Verdict", parts=_conclusions(comparison), key="verdict"),
        Section(title="Students side by side", parts=(network_table(comparison),), key="students"),
        Section(title="Differences", parts=(forest_drawing(comparison), *tables), key="differences"),
        Section(title="What is guaranteed", parts=said, key="guaranteed"),
        Section(title="Where it comes from", parts=_origin(comparison), key="origin"),
        Section(title="How to reproduce it", parts=_reproduce(comparison, command), key="reproduce"),
        Section(title="How to cite", parts=_cite(comparison), key="cite"),
    ]


def network_table(comparison: Comparison) -> Table:
    """Every network with what was measured of it."""
    heads = ("errors", "cross-entropy", "clipped", "over-confidence")
    lines = [
        Line(
            (
                Cell(each["name"], foreign=True),
                Cell(f"{number(100 * each['error'], 3)} %", each["error"]),
                value_cell(each["cross_entropy"]),
                value_cell(each["clipped_cross_entropy"]),
                Cell(shown(each["excess_confidence"], "errors"), each["excess_confidence"]),
            ),
            key=f"network.{k}",
        )
        for k, each in enumerate(comparison["networks"])
    ]
    caption = "On these samples: cross-entropy in nats; over-confidence is mean confidence less accuracy, in points"
    numeric = (Column(head, numeric=True, optional=head == "clipped") for head in heads)
    return Table(name="students", columns=(Column("network"), *numeric), lines=tuple(lines), caption=caption)


def difference_table(comparison: Comparison, measure: Measure) -> Table:
    """Every difference in a measure, with its interval and the decision."""
    lines = [_difference(comparison, each, measure) for each in comparison["differences"]]
    heads = (Column("first − second"), *(Column(head, numeric=True) for head in ("sample", "from", "to")), Column("decision"))
    caption = f"{TITLES[measure]}, first less second in {UNITS[measure]}: on these samples, and for the population"
    return Table(name=f"differences of {TITLES[measure].lower()}", columns=heads, lines=tuple(lines), caption=caption)


def _difference(comparison: Comparison, difference: Record, measure: Measure) -> Line:
    found = difference[measure]
    words = (shown(found["value"], measure), *shown_ends(found, measure))
    numbers = (scaled(found[end], measure) for end in ("value", "lower", "upper"))
    cells = map(Cell, words, numbers)
    tone: Tone = "muted" if sign(comparison, difference, measure) == 0 else "plain"
    return Line(
        (Cell(about(difference), foreign=True), *cells, Cell(outcome(comparison, difference, measure), foreign=True)), tone=tone
    )


def _verdict(comparison: Comparison) -> Section:
    return Section(title="", parts=(paragraph(f"{subject(comparison)}.", tone="muted"), *_conclusions(comparison)))


def _conclusions(comparison: Comparison) -> tuple[Part, ...]:
    said: Iterable[Part] = (paragraph(sentence) for sentence in sentences(comparison))
    warned: Iterable[Part] = (paragraph(words, tone="warning") for words in (*questions(comparison), *opposed(comparison)))
    return (paragraph(headline(comparison), tone="strong"), *said, *warned)


def _origin(comparison: Comparison) -> tuple[Part, ...]:
    told = {
        f"{name}: {key}": words for name, provenance in comparison["provenance"].items() for key, words in provenance.items()
    }
    computed = {"kd2m-theory": comparison["version"], "schema": comparison["schema"]}
    tables = (pairs_table("Computed with", ("What", "Version"), computed),)
    return (pairs_table("Provenance of the pairs", ("What", "Words"), told), *tables) if told else tables


def _reproduce(comparison: Comparison, command: str | None) -> tuple[Part, ...]:
    words = paragraph("With the same pairs and the version above, this gives the same numbers:")
    if command is not None:
        return words, Code(command, "sh")
    loaded = ", ".join(f'{name!r}: kd2m.Pair.load("{k}.safetensors")' for k, name in enumerate(students(comparison), 1))
    bound = "" if comparison["loss_bound"] is None else f", loss_bound={comparison['loss_bound']!r}"
    call = f"import kd2m_theory as kd2m\n\nkd2m.compare({{{loaded}}}, delta={comparison['delta']!r}{bound})"
    return words, Code(call, "python"), paragraph("A comparison does not know its files: put their names in place of these.")


def _cite(comparison: Comparison) -> tuple[Part, ...]:
    works = software(comparison["version"]), PAPER
    words = paragraph(
        "Cite the software and the paper whose framework it implements (", Link(PAPER.identifier, PAPER.url), "):"
    )
    return words, Code("\n\n".join(work.bibtex() for work in works), "bibtex")
