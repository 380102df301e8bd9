"""An audit as one HTML page that loads nothing: verdict first, then the ladder, every row, and where it all comes from."""

from collections.abc import Mapping
from typing import Any

from kd2m_theory.bounds.known import QUANTITIES
from kd2m_theory.reporting import html_view
from kd2m_theory.reporting.breakdown_view import breakdown_section
from kd2m_theory.reporting.citation import PAPER, software
from kd2m_theory.reporting.first_screen import warnings
from kd2m_theory.reporting.ladder_scale import interval
from kd2m_theory.reporting.ladder_svg import ladder_drawing
from kd2m_theory.reporting.page_tables import assumptions_table, measured_table, pairs_table, row_sections, yardsticks_table
from kd2m_theory.reporting.sections import Code, Link, Part, Section, paragraph

Report = Mapping[str, Any]


def html_page(report: Report, command: str | None = None) -> str:
    """The page of a report (`AuditReport.to_dict()`).

    Args:
        report: the report.
        command: what was typed to make it; the call in Python if None.
    """
    title = "Audit of a distilled student"
    subject = f"{report['n']:,} samples, {report['classes']} classes, kd2m-theory {report['environment']['kd2m-theory']}"
    window = f"Violated: {title[0].lower()}{title[1:]}" if report["violations"] else title
    return html_view.page(title, subject, page_sections(report, command), title=window)


def page_sections(report: Report, command: str | None = None) -> list[Section]:
    """Everything about a report (`AuditReport.to_dict()`), as sections; those that would be empty are left out.

    Args:
        report: the report.
        command: what was typed to make it; the call in Python if None.
    """
    sections = [
        Section(title="Verdict", parts=_verdict(report), key="verdict"),
        Section(title="Measured", parts=_measured(report), key="measured-values"),
        breakdown_section(report),
        Section(title="The ladder of bounds", parts=_ladder(report), key="ladder"),
        Section(title="Every row", parts=_rows(report), key="rows"),
        Section(title="Assumptions", parts=(assumptions_table(report),) if report["rows"] else (), key="assumptions"),
        Section(title="Yardsticks", parts=(yardsticks_table(report),), key="yardstick"),
        Section(title="Where it comes from", parts=_origin(report), key="origin"),
        Section(title="How to reproduce it", parts=_reproduce(report, command), key="reproduce"),
        Section(title="How to cite", parts=_cite(report), key="cite"),
    ]
    return [section for section in sections if section.parts]


def _verdict(report: Report) -> tuple[Part, ...]:
    found = report["verdict"]
    headline = paragraph(found["headline"], tone="strong")
    if found["violated"]:
        headline = paragraph(f"✗ {found['headline']}", tone="alarm")
    compared = (paragraph(found[measure]["sentence"]) for measure in ("errors", "cross_entropy"))
    caveats = Section(title="What is not guaranteed", parts=(paragraph(" ".join(found["caveats"])),))
    return headline, *compared, *warnings(report), paragraph(" ".join(found["findings"])), caveats


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


def _ladder(report: Report) -> tuple[Part, ...]:
    drawing = ladder_drawing(report)
    return () if drawing is None else (drawing,)


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


def _origin(report: Report) -> tuple[Part, ...]:
    environment = {**report["environment"], "seconds": f"{report['seconds']:.1f}", "schema": report["schema"]}
    computed = pairs_table("Computed with", ("What", "Version or value"), environment)
    if not report["provenance"]:
        return (computed,)
    words = {str(key): str(value) for key, value in report["provenance"].items()}
    return pairs_table("Provenance of the pair", ("What", "Words"), words), computed


def _call(settings: Mapping[str, Any]) -> str:
    changed = {name: value for name, value in settings.items() if value not in (None, []) and (name, value) != ("align", False)}
    words = [f"{name}={_written(name, value)}" for name, value in changed.items()]
    more = "from kd2m_theory.bounds import Known\n" if any("Known(" in each for each in words) else ""
    call = f'kd2m.audit(kd2m.Pair.load("pair.safetensors"), {", ".join(words)})'
    return f"import kd2m_theory as kd2m\n{more}\n{call}"


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
    words = "With the same pair and the versions above, this gives the same numbers:"
    if command is not None:
        return paragraph(words), Code(command, "sh"), told
    files = "An audit does not know the files that it was made of: put the name of the pair's in place of pair.safetensors"
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
