"""The tables of a report's page, each from the report's dictionary."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from kd2m_theory.bounds import ROWS
from kd2m_theory.bounds.result import WITHOUT_NUMBER
from kd2m_theory.bounds.targets import MEASURED, SUBJECTS
from kd2m_theory.reporting.clipped import beside
from kd2m_theory.reporting.formulas import formula
from kd2m_theory.reporting.ladder_scale import by_tightness, interval
from kd2m_theory.reporting.sections import (
    Cell,
    Column,
    Drawing,
    Line,
    Paragraph,
    Section,
    Strong,
    Table,
    Tone,
    columns,
    paragraph,
)
from kd2m_theory.reporting.verdict import relied_on
from kd2m_theory.words import confidence, counted, number, outward

Report = Mapping[str, Any]
Record = Mapping[str, Any]

_ORDER = "The tightest row first, rows that do not apply last"
_OURS = {row.name: row for row in ROWS}
# A mark and its word stay on one line.
_HOLDS = {True: "✓\u00a0yes", False: "✗\u00a0NO", None: "–"}
_STATES = {"met": "✓\u00a0met", "vouched": "vouched\u00a0for", "unmet": "✗\u00a0unmet"}


def value_cell(value: float | None, digits: int = 4) -> Cell:
    """A number in a cell: a few digits for people, all of them for programs."""
    return Cell(number(value, digits), value)


def interval_cells(lower: float | None, upper: float | None, digits: int = 4) -> tuple[Cell, Cell]:
    """Both ends of an interval in cells, rounded outward for people; None where there is none."""
    low, high = outward(lower, upper, 1.0, digits)
    ends = ((low, lower), (high, upper))
    first, second = (Cell(number(None if given is None else end, digits + 1), given) for end, given in ends)
    return first, second


def pairs_table(name: str, heads: tuple[str, str], items: Mapping[str, str]) -> Table:
    """Words beside words, which may come from anybody."""
    left, right = heads
    lines = tuple(Line((Cell(key, foreign=True), Cell(words, foreign=True))) for key, words in items.items())
    return Table(name=name, columns=(Column(left), Column(right, folds=True)), lines=lines, kind="pairs")


def together(report: Report) -> str:
    """What holds together at 1 − δ, and at which level each part of it, and each interval beside it, holds by itself."""
    whole, measured = report["settings"]["only"] is None, report["measured"].values()
    joint = [row["level"] for row in report["rows"] if row["level"] is not None]
    joint += [value["level"] for value in measured if whole and value["guaranteed"]]
    apart = [value["level"] for value in measured if not (whole and value["guaranteed"])]
    words = []
    if joint:
        what = "Guaranteed intervals and rows" if whole else "Rows"
        words += [f"{what} about the population hold together at {confidence(1 - report['delta'])}, each at {_levels(joint)}"]
    if apart:
        words += [
            f"{'asymptotic intervals' if whole else 'intervals of measured values'} are by themselves at {_levels(apart)}"
        ]
    return "; ".join(words)


def _levels(levels: Sequence[float]) -> str:
    least, most = confidence(min(levels)), confidence(max(levels))
    return least if least == most else f"{least.removesuffix(' %')} to {most}"


def measured_table(report: Report) -> Table:
    """Measured values with their intervals."""
    lines = []
    for name, value in report["measured"].items():
        method = value["method"] + ("" if value["guaranteed"] else " (asymptotic)")
        numbers = (value_cell(value["value"]), *interval_cells(*interval(value)))
        lines.append(Line((MEASURED[name], *numbers, value["unit"], method), key=f"measured.{name}"))
    groups = "" if report["groups"] is None else f" in {report['groups']:,} groups, means over groups"
    caption = f"Values of {report['n']:,} samples{groups}, with intervals for the population. {together(report)}"
    heads = (*columns("Measured", "Value", "From", "To", numeric=3), Column("Unit"), Column("Interval", folds=True))
    return Table(name="measured values", columns=heads, lines=tuple(lines), caption=caption, kind="measured")


def yardsticks_table(report: Report) -> Table:
    """What to compare with: a student that guesses, the teacher, and what the certainty was spent on."""
    classes, measured = report["classes"], report["measured"]
    limits = round(report["delta"] / report["share"])
    items = [
        ("cross-entropy of a student that guesses uniformly, ln K", math.log(classes), "nats"),
        ("error of a student that guesses uniformly, 1 − 1/K", 1 - 1 / classes, "probability"),
    ]
    if "risk_teacher" in measured:
        items += [("cross-entropy of the teacher", measured["risk_teacher"]["value"], "nats")]
        items += [("gap of a student that guesses", math.log(classes) - measured["risk_teacher"]["value"], "nats")]
    if "accuracy_teacher" in measured:
        items += [("error of the teacher", 1 - measured["accuracy_teacher"]["value"], "probability")]
    items += [
        ("samples n", report["n"], "samples"),
        *([] if report["groups"] is None else [("groups that the samples belong to", report["groups"], "groups")]),
        ("classes K", classes, "classes"),
        ("failure probability δ of everything guaranteed together", report["delta"], "probability"),
        (
            f"its share for {'one limit' if limits == 1 else f'each of {limits} limits'} (an interval has two)",
            report["share"],
            "probability",
        ),
    ]
    return Table(
        name="yardsticks",
        columns=(*columns("Yardstick", "Value", numeric=1), Column("Unit")),
        lines=tuple(Line((words, value_cell(value, 6), unit)) for words, value, unit in items),
        caption="What a bound must beat to say anything",
        kind="yardsticks",
    )


def row_sections(report: Report) -> list[Section]:
    """A folded table for every target, in ladder order; the tightest row first, those without a number last."""
    heads = (*columns("Row", "Lower", "Upper", "Bound / value", numeric=3), Column("Holds"))
    result = []
    for target, subject in SUBJECTS.items():
        rows = [row for row in report["rows"] if row["target"] == target]
        if rows:
            value = next((row["measured"] for row in rows if row["measured"] is not None), None)
            measured = "not measured" if value is None else f"measured: {number(value)}"
            inside = f"{counted(len(rows), 'row')}; {measured}"
            note = beside(report, target)
            applicable = [row for row in rows if row["status"] not in WITHOUT_NUMBER]
            ordered = [*by_tightness(applicable), *(row for row in rows if row["status"] in WITHOUT_NUMBER)]
            table = Table(name=subject.words, columns=heads, lines=tuple(map(_line, ordered)), caption=_ORDER, kind="rows")
            parts = (*((paragraph(note),) if note else ()), table)
            result.append(Section(title=subject.words, parts=parts, folded=inside))
    return result


def never_beating(rows: Sequence[Record]) -> list[str]:
    """Sentences that say which of the rows are never narrower above than another, which needs no more."""
    better = dict.fromkeys(row["never_beats"] for row in rows if row["never_beats"] is not None and row["guaranteed"])
    return [f"{_joined(rows, name)}: never below the upper bound of {name}, which needs the same labels." for name in better]


def _joined(rows: Sequence[Record], name: str) -> str:
    return ", ".join(row["name"] for row in rows if row["never_beats"] == name and row["guaranteed"])


def sides(row: Record) -> tuple[float | None, float | None]:
    """Lower and upper bound of a row; a side that is missing from an applicable row is infinite."""
    if row["status"] in WITHOUT_NUMBER:
        return None, None
    lower, upper = row["lower"], row["upper"]
    return (-math.inf if lower is None else lower), (math.inf if upper is None else upper)


def compared(row: Record, key: str) -> float | None:
    """The "slack" or "ratio" of a row; infinite where the bound is, or the measured value is zero. None without a value."""
    if row["status"] in WITHOUT_NUMBER or row["measured"] is None:
        return None
    return math.inf if row[key] is None else float(row[key])


def tone(row: Record) -> Tone:
    """How a row is shown: violated, without a guarantee, vacuous, or informative."""
    if row["guaranteed"] and row["holds"] is False:
        return "alarm"
    if not row["guaranteed"]:  # those without a number among them
        return "muted"
    return "plain" if row["status"] == "vacuous" else "good"


def _line(row: Record) -> Line:
    """The numbers, and below them what they mean."""
    numbers = (*interval_cells(*sides(row)), value_cell(compared(row, "ratio")))
    assumed = ", ".join(f"{assumption['name']} ({_STATES[assumption['state']]})" for assumption in row["assumptions"])
    return Line(
        cells=(row["name"], *numbers, _HOLDS[row["holds"]]),
        tone=tone(row),
        details=(
            paragraph(row["sentence"]),
            *_formula(row),
            paragraph(row["statement"], tone="muted"),
            paragraph(Strong(row["status"]), f": {row['why']}. Rests on {assumed}.", tone="muted"),
            *(paragraph(words, tone="muted") for words in never_beating([row])),
            *_theorem(row),
        ),
        key=row["name"],
    )


def latex_of(row: Record) -> str:
    """The row's inequality; empty for a row of the user's own, or of a version that stated it in other words."""
    ours = _OURS.get(row["name"])
    return ours.latex if ours is not None and ours.statement == row["statement"] else ""


def _formula(row: Record) -> tuple[Drawing, ...]:
    latex = latex_of(row)
    return (Drawing(markup=formula(latex, row["name"]), words=""),) if latex else ()


def _theorem(row: Record) -> tuple[Paragraph, ...]:
    """Where the proof is: the site of the documentation has no address that a page could lead to."""
    if row["name"] not in _OURS:
        return ()
    return (paragraph(f"Proof, and what breaks without each assumption: kd2m theory show {row['name']}", tone="muted"),)


def _users(report: Report, *, applicable: bool = False) -> dict[tuple[str, str, str], list[str]]:
    """Name, state and evidence of every assumption, with the names of the rows that make it."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for row in report["rows"]:
        for assumption in row["assumptions"] if not applicable or row["status"] not in WITHOUT_NUMBER else ():
            key = assumption["name"], assumption["state"], assumption["evidence"]
            found.setdefault(key, []).append(row["name"])
    return found


def relied_on_table(report: Report) -> Table:
    """The assumptions of applicable rows that were not checked on the data, or are unmet."""
    found = [(key, users) for key, users in _users(report, applicable=True).items() if key[1] != "met"]
    lines = [Line((name, _STATES[state], evidence, Cell(str(len(users))))) for (name, state, evidence), users in found]
    named = {name for (name, state, _), _ in found if state == "vouched"}
    for name in relied_on(report):
        if name not in named:
            lines.append(Line((name, _STATES["vouched"], "intervals of measured values rely on it", Cell("–"))))
    return Table(
        name="what it relies on",
        columns=(*columns("Assumption", "State"), Column("Evidence", folds=True), Column("Rows", numeric=True)),
        lines=tuple(lines),
        caption="Assumptions that the data cannot check (you vouch for them), or that are unmet",
        kind="relied",
    )


def assumptions_table(report: Report) -> Table:
    """Every assumption with its state and evidence, and the rows that make it."""
    found = _users(report)
    lines = tuple(
        Line((name, _STATES[state], evidence, f"{len(users)}: {', '.join(users)}"))
        for (name, state, evidence), users in found.items()
    )
    return Table(
        name="assumptions",
        columns=(*columns("Assumption", "State"), Column("Evidence", folds=True), Column("Rows", folds=True)),
        lines=lines,
        caption="Assumptions: met (checked on the pair), vouched for (the data cannot check it), or unmet",
        kind="assumptions",
    )
