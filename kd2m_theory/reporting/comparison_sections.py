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

# Differences that fit on a screen with the rest: those of four students and their teacher.
_FEW = 10


def summary_sections(comparison: Comparison, *, every_difference: bool = False) -> list[Section]:
    """What is printed of a comparison (`StudentComparison.to_dict()`).

    Args:
        comparison: the comparison.
        every_difference: whether all sentences and differences are in it, or, of more than four students, what fits on a
            screen.
    """
    end = Section(title="", parts=tuple(paragraph(note, tone="muted") for note in notes(comparison)))
    count = len(comparison["differences"])
    if count > _FEW and not every_difference:
        words = f"{count} differences in {len(MEASURES)} measures: --all (every difference)   --report page.html"
        return [
            _verdict(comparison, paragraph(headline(comparison), tone="strong"), *_warnings(comparison)),
            Section(title="", parts=(network_table(comparison, decisions=True),)),
            end,
            Section(title="", parts=(paragraph(words, tone="muted"),)),
        ]
    tables = [Section(title="", parts=(difference_table(comparison, measure),)) for measure in MEASURES]
    return [
        _verdict(comparison, *_conclusions(comparison)),
        Section(title="", parts=(network_table(comparison),)),
        *tables,
        end,
    ]


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


def network_table(comparison: Comparison, *, decisions: bool = False) -> Table:
    """Every network with what was measured of it.

    Args:
        comparison: the comparison.
        decisions: whether it says than how many networks each is surely better and worse, by errors and by clipped
            cross-entropy.
    """
    heads: tuple[str, ...] = ("errors", "cross-entropy", "clipped", "over-confidence")
    lines = [
        Line(
            (
                Cell(each["name"], foreign=True),
                Cell(f"{number(100 * each['error'], 3)} %", each["error"]),
                value_cell(each["cross_entropy"]),
                value_cell(each["clipped_cross_entropy"]),
                Cell(shown(each["excess_confidence"], "errors"), each["excess_confidence"]),
                *(_counts(comparison, each["name"], measure) for measure in (MEASURES if decisions else ())),
            ),
            key=f"network.{k}",
        )
        for k, each in enumerate(comparison["networks"])
    ]
    caption = "On these samples: cross-entropy in nats; over-confidence is mean confidence less accuracy, in points"
    if decisions:
        heads = (*heads, "by errors", "by clipped")
        caption += ". By errors 3 | 1: surely better than 3 networks, surely worse than 1"
    numeric = (Column(head, numeric=True, optional=head in ("clipped", "over-confidence")) for head in heads)
    return Table(name="students", columns=(Column("network"), *numeric), lines=tuple(lines), caption=caption)


def _counts(comparison: Comparison, name: str, measure: Measure) -> Cell:
    """Than how many networks one is surely better, and surely worse."""
    pairs = comparison["surely_better"][measure]
    better, worse = (sum(pair[place] == name for pair in pairs) for place in (0, 1))
    return Cell(f"{better} | {worse}")


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


def _verdict(comparison: Comparison, *conclusions: Part) -> Section:
    return Section(title="", parts=(paragraph(f"{subject(comparison)}.", tone="muted"), *conclusions))


def _conclusions(comparison: Comparison) -> tuple[Part, ...]:
    said: Iterable[Part] = (paragraph(sentence) for sentence in sentences(comparison))
    return (paragraph(headline(comparison), tone="strong"), *said, *_warnings(comparison))


def _warnings(comparison: Comparison) -> Iterable[Part]:
    return (paragraph(words, tone="warning") for words in (*questions(comparison), *opposed(comparison)))


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
