"""Where the gap of a report comes from, for people: sentences, tables, and drawings for a page, each from its dictionary."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from kd2m_theory.reporting.breakdown_svg import reliability_figure, shares_figure
from kd2m_theory.reporting.html import Html, element
from kd2m_theory.reporting.sections import Cell, Column, Drawing, Line, Part, Section, Table, paragraph
from kd2m_theory.words import counted, listed, number

Report = Mapping[str, Any]
Record = Mapping[str, Any]

# A drawing shows at most so many classes, a table at most so many confusions and samples.
_DRAWN, _SHOWN = 12, 10
# A mean confidence that is this close to the accuracy is equal to it.
_ROUNDING = 1e-12


def breakdown_section(report: Report) -> Section:
    """The section of a report (`AuditReport.to_dict()`); without parts where the report has no breakdown."""
    found = report["breakdown"]
    if found is None:
        return Section(title="Where the gap comes from", key="breakdown")
    title = "Where the gap comes from" if found["by"] == "label" else "Where the two networks disagree"
    tables = (_classes(found), _confusions(found), _samples(found))
    parts: list[Part] = [paragraph(sentence) for sentence in breakdown_sentences(report)]
    drawing = _drawing(report)
    parts += [] if drawing is None else [drawing]
    numbers = tuple(table for table in tables if table.lines)
    if numbers:
        parts.append(Section(title="In numbers", parts=numbers, folded="classes, confusions and samples"))
    return Section(title=title, parts=tuple(parts), key="breakdown")


def breakdown_sentences(report: Report) -> list[str]:
    """What carries the gap, which errors the student adds, and how far both networks may be believed, in sentences."""
    found = report["breakdown"]
    return [] if found is None else [*_carried(report), *_errors(found), *_calibrated(found)]


def name_of(found: Record, label: int) -> str:
    """What a class is called: its name, or "class 7" where the pair has no names."""
    name: str | None = found["names"].get(str(label))
    return f"class {label}" if name is None else name


def quantity_of(found: Record) -> str:
    """The contribution of a class that is shown first: "gap" with labels, else "disagreement"."""
    return "gap" if found["by"] == "label" else "disagreement"


def share_of(report: Report, value: float) -> float | None:
    """A contribution as a share of what was measured.

    None where that would mislead: contributions of both signs nearly cancel, so that each is a large share of a small sum.
    """
    found = report["breakdown"]
    quantity = quantity_of(found)
    whole = float(report["measured"][quantity]["value"])
    size = math.fsum(abs(each[quantity]) for each in found["classes"])
    return value / whole if whole and size <= 3 * abs(whole) else None


def _carried(report: Report) -> Iterator[str]:
    found = report["breakdown"]
    quantity = quantity_of(found)
    if not found["classes"]:
        yield "The two networks saw other inputs with other shares of the classes, which a breakdown by class would mix up."
        return
    whole = report["measured"][quantity]["value"]
    sign = -1.0 if whole < 0 else 1.0
    carrying = [each for each in found["classes"] if sign * each[quantity] > 0][:3]
    what = "gap of cross-entropy" if quantity == "gap" else "disagreement"
    if not carrying:
        yield f"No class contributes to the {what}."
        return
    named = [f"{name_of(found, each['label'])} ({_size(report, each[quantity])})" for each in carrying]
    better = ", by which the student is better" if sign < 0 else ""
    kinds = "" if found["by"] == "label" else " A class is what the teacher predicts."
    yield f"Largest contributions to the {what}{better}: {listed(named)}.{kinds}"


def _size(report: Report, value: float) -> str:
    """A contribution as a share of the whole, or in its unit where that would mislead."""
    share = share_of(report, value)
    if share is not None:
        return f"{number(100 * share, 2)}\u00a0%"
    return f"{number(value, 3)} nats" if quantity_of(report["breakdown"]) == "gap" else f"{number(100 * value, 3)} points"


def _errors(found: Record) -> Iterator[str]:
    if found["added"] is None:
        return
    if found["by"] == "teacher":
        yield f"The two networks disagree on {counted(found['added'], 'sample')}."
        return
    if not found["added"] and not found["removed"]:
        yield "The student is wrong on exactly the samples on which its teacher is wrong."
        return
    yield (
        f"The student is wrong on {counted(found['added'], 'sample')} that its teacher classifies correctly, and correct on "
        f"{counted(found['removed'], 'sample')} that its teacher gets wrong."
    )


def _calibrated(found: Record) -> Iterator[str]:
    if found["reliability"] is None:
        return
    words = []
    for whose in ("student", "teacher"):
        each = found["reliability"][whose]
        words.append(f"the {whose} is {confidence_of(each)} (calibration error {number(100 * each['error'], 2)} points)")
    yield f"On these samples {words[0]}, and {words[1]}. Even a calibrated network has an error above 0 on few samples."


def confidence_of(calibration: Record) -> str:
    """How far a network's mean confidence is from its accuracy, in words."""
    excess = calibration["excess"]
    if abs(excess) < _ROUNDING:
        return "as confident as accurate"
    return f"{'over' if excess > 0 else 'under'}-confident by {number(abs(100 * excess), 2)} points"


def _class(found: Record, label: int) -> Cell:
    """A class in a column of classes: its name, or its number alone."""
    name = found["names"].get(str(label))
    return Cell(str(label)) if name is None else Cell(name, foreign=True)


def _number(value: float | None) -> Cell:
    return Cell(number(value, 3), value)


def _points(share: float | None) -> Cell:
    return _number(None if share is None else 100 * share)


def _classes(found: Record) -> Table:
    """Every class that is listed; columns that no class has a number for are left out."""
    shown = [
        ("Gap, nats", "gap", _number),
        ("Errors, points", "error_gap", _points),
        ("Disagreement, points", "disagreement", _points),
        (f"{found['transport_row']}, nats", "transport", _number),
    ]
    listed = found["classes"]
    shown = [(heading, key, cell) for heading, key, cell in shown if listed and listed[0][key] is not None]
    lines = [
        Line((_class(found, each["label"]), _number(each["samples"]), *(cell(each[key]) for _, key, cell in shown)))
        for each in listed
    ]
    if (other := found["other_classes"]) is not None:
        words = f"{other['classes']:,} other class{'' if other['classes'] == 1 else 'es'}"
        lines.append(Line((words, _number(other["samples"]), *(cell(other[key]) for _, key, cell in shown)), tone="muted"))
    kind = "Class" if found["by"] == "label" else "Teacher predicts"
    row = "" if found["transport_row"] is None else f", and to the bound {found['transport_row']}"
    return Table(
        name="Contributions of the classes",
        columns=(Column(kind), *(Column(heading, numeric=True) for heading in ("Samples", *(words for words, *_ in shown)))),
        lines=tuple(lines),
        caption=f"Contribution of each class to what was measured{row}; each column sums to it",
    )


def _confusions(found: Record) -> Table:
    labelled = found["by"] == "label"
    caption = "Errors that the student adds: its teacher is right on these samples"
    if not labelled:
        caption = "Predictions of the student that differ from its teacher's"
    rest = len(found["confusions"][_SHOWN:]) + found["confusions_left_out"]
    if rest:
        caption += f"; {rest:,} rarer or equally rare pairs of classes are left out"
    return Table(
        name="Confusions that the student adds" if labelled else "Disagreements",
        columns=(
            Column("True class" if labelled else "Teacher predicts"),
            Column("Student predicts"),
            Column("Samples", numeric=True),
        ),
        lines=tuple(
            Line((_class(found, each["label"]), _class(found, each["predicted"]), _number(each["samples"])))
            for each in found["confusions"][:_SHOWN]
        ),
        caption=caption,
    )


def _samples(found: Record) -> Table:
    rest = len(found["samples"][_SHOWN:]) + found["samples_left_out"]
    caption = "Samples that carry most of the gap; rows are counted from 0"
    if rest:
        caption += f"; {rest:,} samples that carry less are left out"
    headings = ("Teacher's loss, nats", "Student's loss, nats", "Contribution, nats")
    return Table(
        name="Samples that carry most of the gap",
        columns=(
            *map(Column, ("Row", "True class", "Teacher predicts", "Student predicts")),
            *(Column(heading, numeric=True) for heading in headings),
        ),
        lines=tuple(
            Line(
                (
                    str(each["index"]),
                    *(_class(found, each[key]) for key in ("label", "teacher", "student")),
                    *(_number(each[key]) for key in ("loss_teacher", "loss_student", "gap")),
                )
            )
            for each in found["samples"][:_SHOWN]
        ),
        caption=caption,
    )


def _drawing(report: Report) -> Drawing | None:
    found = report["breakdown"]
    quantity = quantity_of(found)
    figures: list[tuple[str, Html]] = []
    drawn = [each for each in found["classes"][:_DRAWN] if each[quantity]]
    if drawn:
        unit = "nats" if quantity == "gap" else "points"
        scale = 1.0 if quantity == "gap" else 100.0
        signed = quantity == "gap"
        bars = [(name_of(found, each["label"]), scale * each[quantity], share_of(report, each[quantity])) for each in drawn]
        rest = len(found["classes"]) - len(drawn) + (found["other_classes"] or {"classes": 0})["classes"]
        what = "gap" if quantity == "gap" else "disagreement"
        words = f"Contribution of each class to the {what}, {unit}{f'; {rest:,} smaller ones are not drawn' if rest else ''}."
        figures.append((f"Classes that carry the {what}", shares_figure(bars, unit, words, signed=signed)))
    if found["reliability"] is not None:
        figures.append(("Confidence and accuracy", reliability_figure(found["reliability"])))
    if not figures:
        return None
    markup = element("div", *(element("div", element("h3", title), figure) for title, figure in figures), class_="panels")
    return Drawing(markup=markup, words="The page of the report has a picture of this; the tables have the same numbers.")
