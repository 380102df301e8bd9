"""An audit as one HTML page that loads nothing: the answer first, then its reasons, and folded below what else there is."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kd2m_theory.bounds.known import QUANTITIES
from kd2m_theory.bounds.result import WITHOUT_NUMBER
from kd2m_theory.reporting import html_view
from kd2m_theory.reporting.breakdown_view import breakdown_section
from kd2m_theory.reporting.citation import PAPER, software
from kd2m_theory.reporting.formulas import glossary
from kd2m_theory.reporting.ladder_scale import interval, look
from kd2m_theory.reporting.ladder_svg import ladder_drawing
from kd2m_theory.reporting.page_card import card, title
from kd2m_theory.reporting.page_tables import (
    assumptions_table,
    latex_of,
    measured_table,
    pairs_table,
    relied_on_table,
    row_sections,
    yardsticks_table,
)
from kd2m_theory.reporting.sections import Code, Drawing, Link, Part, Section, Strong, paragraph
from kd2m_theory.words import confidence, counted

Report = Mapping[str, Any]


def html_page(report: Report, command: str | None = None) -> str:
    """The page of a report (`AuditReport.to_dict()`).

    Args:
        report: the report.
        command: what was typed to make it; the call in Python if None.
    """
    heading = title(report)
    labelled = "labelled" if "risk_teacher" in report["measured"] or "gap" in report["measured"] else "unlabelled"
    subject = (
        f"{report['n']:,} {labelled} samples, {report['classes']} classes; guaranteed intervals hold together at "
        f"{confidence(1 - report['delta'])}; kd2m-theory {report['environment']['kd2m-theory']}"
    )
    window = f"Violated: {heading[0].lower()}{heading[1:]}" if report["violations"] else heading
    return html_view.page(heading, subject, page_sections(report, command), title=window)


def page_sections(report: Report, command: str | None = None) -> list[Section]:
    """Everything about a report (`AuditReport.to_dict()`), as sections; those that would be empty are left out.

    Args:
        report: the report.
        command: what was typed to make it; the call in Python if None.
    """
    sections = [
        Section(title="Verdict", parts=card(report), key="verdict"),
        breakdown_section(report),
        Section(title="Measured", parts=_measured(report), key="measured-values"),
        Section(title="The ladder of bounds", parts=tuple(_ladder(report)), key="ladder"),
        Section(title="What it relies on", parts=tuple(_relied_on(report)), key="assumptions"),
        Section(
            title="Every row",
            parts=_rows(report),
            key="rows",
            folded=f"all {len(report['rows'])}, by what they bound, with formulas, symbols and assumptions",
        ),
        Section(title="Symbols", parts=_symbols(report), key="symbols", folded="what every letter of a formula stands for"),
        Section(
            title="Yardsticks",
            parts=(yardsticks_table(report),),
            key="yardstick",
            folded="what a bound must beat to say anything",
        ),
        Section(
            title="Where it comes from",
            parts=_origin(report),
            key="origin",
            folded="provenance of the pair, versions, time taken",
        ),
        Section(
            title="How to reproduce it", parts=_reproduce(report, command), key="reproduce", folded="the call and its settings"
        ),
        Section(title="How to cite", parts=_cite(report), key="cite", folded="the software and the paper, as BibTeX"),
    ]
    return [section for section in sections if section.parts]


def _measured(report: Report) -> tuple[Part, ...]:
    measured = report["measured"]
    if not measured:
        return ()
    mismatch = measured.get("head_mismatch")
    lower, upper = (0.0, 0.0) if mismatch is None else interval(mismatch)
    if lower <= 0 <= upper:
        return (measured_table(report),)
    words = "The student's own head is not the teacher's: rows about features are about the student under the teacher's head."
    return paragraph(words), measured_table(report)


def _ladder(report: Report) -> Iterator[Part]:
    """The rows that say something as a picture; the others folded, with their reasons."""
    rows = report["rows"]
    applicable = [row for row in rows if row["status"] not in WITHOUT_NUMBER]
    shown = [row for row in applicable if look(row).kind in _SAYING]
    others = [row for row in applicable if look(row).kind not in _SAYING]
    drawing = ladder_drawing(report, shown)
    if drawing is not None:
        yield drawing
    elif rows:
        yield paragraph("No row about a difference of the two networks says more than is known without it.")
    rest = ladder_drawing(report, others, heading=4)
    if others:
        yield Section(
            title=_rows_words(len(others), "says", "say", "nothing new"),
            parts=tuple(_silent(others, rest)),
            folded=_reasons(others),
        )
    absent = [row for row in rows if row["status"] == "not applicable"]
    if absent:
        yield Section(
            title=_rows_words(len(absent), "does", "do", "not apply"),
            parts=tuple(_because(absent)),
            folded=_most(absent),
        )
    later = [row for row in rows if row["status"] == "not computed"]
    if later:
        verb = "was" if len(later) == 1 else "were"
        yield Section(
            title=f"{counted(len(later), 'row')} {verb} not computed", parts=tuple(_because(later)), folded=_most(later)
        )


_SAYING = ("decided", "informative", "broken")


def _rows_words(count: int, one: str, many: str, what: str) -> str:
    return f"{counted(count, 'row')} {one if count == 1 else many} {what}"


def _reasons(rows: Sequence[Mapping[str, Any]]) -> str:
    vacuous = sum(row["guaranteed"] for row in rows)
    loose = len(rows) - vacuous
    parts = [f"{vacuous} vacuous" if vacuous else "", f"{loose} without a guarantee" if loose else ""]
    return ", ".join(part for part in parts if part)


def _silent(rows: Sequence[Mapping[str, Any]], drawing: Part | None) -> Iterator[Part]:
    yield from _because(rows)
    if drawing is not None:
        yield drawing


def _most(rows: Sequence[Mapping[str, Any]]) -> str:
    """The reason of most of the rows, or how many there are if no two rows share one."""
    found = Counter(row["why"] for row in rows)
    ((why, count),) = found.most_common(1)
    if count == len(rows):
        return str(why)
    return f"for {len(found)} reasons" if count == 1 else f"{count} of them: {why}"


def _because(rows: Sequence[Mapping[str, Any]]) -> Iterator[Part]:
    """One line for each reason, that of most rows first."""
    found: dict[str, list[str]] = {}
    for row in rows:
        found.setdefault(row["why"], []).append(row["name"])
    for why, names in sorted(found.items(), key=lambda item: -len(item[1])):
        count = f"{counted(len(names), 'row')}: "
        yield paragraph(Strong(count), f"{why}. ({', '.join(names)})")


def _relied_on(report: Report) -> Iterator[Part]:
    """What the data cannot check or contradicts; folded below it every assumption of every row."""
    table = relied_on_table(report)
    if table.lines:
        yield table
    if not report["rows"]:
        return
    everything = assumptions_table(report)
    yield Section(title="Every assumption", parts=(everything,), folded=f"{len(everything.lines)}, with evidence and rows")


def _rows(report: Report) -> tuple[Part, ...]:
    tables = row_sections(report)
    if not tables:
        return ()
    words = (
        "Bound / value: the bound over the measured value, on the value's side of zero; 1 is sharp. Vacuous: the row is true "
        "and says no more than is known without it. L is the steepness (Lipschitz constant) of the loss. A dash: not "
        "measured, or no number."
    )
    return paragraph(words), *tables


def _symbols(report: Report) -> tuple[Part, ...]:
    formulas = {row["name"]: latex for row in report["rows"] if (latex := latex_of(row))}
    words = "The page has a list of the symbols of every formula."
    return (Drawing(markup=glossary(formulas), words=words),) if formulas else ()


def _origin(report: Report) -> tuple[Part, ...]:
    environment = {**report["environment"], "seconds": f"{report['seconds']:.1f}", "schema": report["schema"]}
    computed = pairs_table("Computed with", ("What", "Version or value"), environment)
    if not report["provenance"]:
        return (computed,)
    words = {str(key): str(value) for key, value in report["provenance"].items()}
    return pairs_table("Provenance of the pair", ("What", "Words"), words), computed


def _call(settings: Mapping[str, Any]) -> str:
    words = {
        name: f"{name}={_written(name, value)}"
        for name, value in settings.items()
        if value not in (None, []) and name != "stream" and (name, value) != ("align", False)
    }
    lines = ["import kd2m_theory as kd2m"]
    if any("Known(" in each for each in words.values()):
        lines.append("from kd2m_theory.bounds import Known")
    lines.append("")
    pair = 'kd2m.Pair.load("pair.safetensors")'
    if settings["stream"]:
        pair = "stream"
        told = ", ".join(words.pop(name) for name in ("loss_bound", "temperature") if name in words)
        lines += [f"stream = kd2m.PairStream({told})", "for batch in batches:", "    stream.update(*batch)"]
    return "\n".join([*lines, f"kd2m.audit({pair}, {', '.join(words.values())})"])


def _written(name: str, value: Any) -> str:
    """A setting as Python; the files of other pairs, and rows of one's own, are not known here."""
    if name in ("align", "rows"):
        return {"align": "other", "rows": "own_rows"}[name]
    if not isinstance(value, dict):
        return repr(value)
    if "samples" in value:
        return "evaluation"
    ends = value["value"]
    told = {int(label): tuple(each) for label, each in ends.items()} if isinstance(ends, dict) else tuple(ends)
    return repr(told) if value["about"] == "sample" else f"Known({told!r}, about={value['about']!r})"


def _told(value: Any) -> str:
    if value in (None, []):
        return "not given"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return _known(value)
    return ", ".join(value) if isinstance(value, list) else f"{value:g}"


def _known(value: Mapping[str, Any]) -> str:
    """What was known of the teacher."""
    if "samples" in value:
        return f"an evaluation on {value['samples']:,} labelled inputs"
    ends = value["value"]
    by_class = ends.items() if isinstance(ends, dict) else [("", ends)]
    told = [f"{f'class {label}: ' if label else ''}{low:g} to {high:g}" for label, (low, high) in by_class]
    where = "on these inputs" if value["about"] == "sample" else "in the population"
    return f"{', '.join(told)}, {where}"


def _reproduce(report: Report, command: str | None) -> tuple[Part, ...]:
    settings = {"delta": report["delta"], **report["settings"]}
    told = pairs_table("What the audit was told", ("Setting", "Value"), {name: _told(each) for name, each in settings.items()})
    samples = "samples" if settings["stream"] else "pair"
    words = f"With the same {samples} and the versions above, this gives the same numbers:"
    if report["machine_dependent"]:
        words = f"With the same {samples} and the versions above, this gives the same numbers, of more or fewer rows:"
    if command is not None:
        return paragraph(words), Code(command, "sh"), told
    files = "An audit does not know the files that it was made of: put the name of the pair's in place of pair.safetensors"
    if settings["stream"]:
        files = (
            "A stream does not keep its samples: batches are what it was given, tuples of logits_teacher, logits_student and, "
            "where there are any, labels and groups; their sizes and their order move no number"
        )
    if settings["align"]:
        files += ", and load the pair that the map was fitted on as other"
    if any("samples" in (settings[quantity] or {}) for quantity in QUANTITIES):
        files += ", and load the teacher's evaluation as evaluation"
    if settings["rows"]:
        files += f", and give the rows {', '.join(settings['rows'])}, which an audit does not keep, as own_rows"
    return paragraph(words), Code(_call(settings), "python"), paragraph(f"{files}."), told


def _cite(report: Report) -> tuple[Part, ...]:
    works = software(report["environment"]["kd2m-theory"]), PAPER
    link = Link(PAPER.identifier, PAPER.url)
    words = paragraph("Cite the software and the paper whose framework it implements (", link, "):")
    return words, Code("\n\n".join(work.bibtex() for work in works), "bibtex")
