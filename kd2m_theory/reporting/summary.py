"""An audit in full, as sentences and tables: what is printed where every row is asked for."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kd2m_theory.bounds.result import WITHOUT_NUMBER
from kd2m_theory.bounds.targets import MEASURED, SUBJECTS
from kd2m_theory.reporting.clipped import beside
from kd2m_theory.reporting.first_screen import decisions, unfinished, warnings
from kd2m_theory.reporting.ladder_scale import interval
from kd2m_theory.reporting.page_tables import compared, interval_cells, never_beating, sides, together, tone, value_cell
from kd2m_theory.reporting.sections import Column, Line, Paragraph, Section, Table, paragraph
from kd2m_theory.reporting.tolerance import Tolerance
from kd2m_theory.reporting.verdict import guaranteed
from kd2m_theory.words import counted, number

Report = Mapping[str, Any]
Record = Mapping[str, Any]

# Statuses without a number, as the table has room for them.
_SHORT = {"not applicable": "n/a", "not computed": "not computed"}
_HOLDS = {True: "yes", False: "NO", None: "–"}
_MEASURED = (
    Column("measured", width=32),
    *(Column(heading, numeric=True, width=10) for heading in ("value", "from", "to")),
    Column("interval", folds=True),
)
_LADDER = (
    Column("bound", width=22),
    *(Column(heading, numeric=True, width=9, optional=heading == "slack") for heading in ("lower", "upper", "slack", "ratio")),
    Column("holds"),
    Column("assumed", width=7),
    Column("says", width=11),
    Column("seconds", numeric=True, optional=True),
)


def every_row_sections(report: Report, within: Sequence[Tolerance] = ()) -> list[Section]:
    """A report (`AuditReport.to_dict()`) in full: verdict, measured values, ladder, notes, outcome.

    Args:
        report: the report.
        within: decisions that were asked for.
    """
    notes = (
        f"{together(report)}; * = asymptotic only.  ratio = bound / gap on the gap's side.",
        "vacuous: says no more than is known without the row.  unmet: without that assumption the row has no guarantee.",
    )
    end = Section(title="", parts=(*(paragraph(note, tone="muted") for note in notes), _outcome(report)))
    return [_verdict(report, within), _measured(report), *_ladder(report), end]


def _verdict(report: Report, within: Sequence[Tolerance]) -> Section:
    found = report["verdict"]
    headline = paragraph(found["headline"], tone="alarm" if found["violated"] else "strong")
    compared = (paragraph(found[measure]["sentence"]) for measure in ("errors", "cross_entropy"))
    return Section(title="", parts=(headline, *compared, *warnings(report), *unfinished(report), *decisions(within)))


def _measured(report: Report) -> Section:
    lines = []
    for name, value in report["measured"].items():
        numbers = (value_cell(value["value"]), *interval_cells(*interval(value)))
        lines.append(Line((MEASURED[name], *numbers, value["method"] + ("" if value["guaranteed"] else " *"))))
    groups = "" if report["groups"] is None else f" in {report['groups']} groups"
    title = f"measured on n = {report['n']}{groups}, K = {report['classes']}"
    return Section(title=title, parts=(Table(name="measured", columns=_MEASURED, lines=tuple(lines)),))


def _ladder(report: Report) -> Iterator[Section]:
    for target, subject in SUBJECTS.items():
        rows = [row for row in report["rows"] if row["target"] == target]
        if not rows:
            continue
        value = next((row["measured"] for row in rows if row["measured"] is not None), None)
        title = subject.words if value is None else f"{subject.words}: {number(value)}"
        table = Table(name=subject.words, columns=_LADDER, lines=tuple(map(_line, rows)))
        missing = dict.fromkeys((row["status"], row["why"]) for row in rows if row["status"] in WITHOUT_NUMBER)
        notes = [*(f"{_SHORT[status]}: {why}" for status, why in missing), beside(report, target), *never_beating(rows)]
        yield Section(title=title, parts=(table, *(paragraph(note, tone="muted") for note in notes if note)))


def _line(row: Record) -> Line:
    if row["status"] in WITHOUT_NUMBER:
        cells: tuple[Any, ...] = (*["–"] * 5, row["assumed"], _SHORT[row["status"]], "–")
    else:
        numbers = (*interval_cells(*sides(row)), *(value_cell(compared(row, key)) for key in ("slack", "ratio")))
        cells = (*numbers, _HOLDS[row["holds"]], row["assumed"], row["status"], f"{row['seconds']:.2f}")
    return Line((row["name"], *cells), tone=tone(row))


def _outcome(report: Report) -> Paragraph:
    if report["violations"]:
        names = ", ".join(report["violations"])
        return paragraph(f"VIOLATED: {names}. A vouched assumption, the theory or the code is wrong.", tone="alarm")
    rows = guaranteed(report)
    checked = sum(row["holds"] is not None for row in rows)
    informative = sum(row["status"] == "informative" for row in rows)
    return paragraph(
        f"{checked} of {counted(len(rows), 'guaranteed row')} checked against the measured gap, none violated; "
        f"{informative} informative.  {report['seconds']:.1f} s",
        tone="strong",
    )
