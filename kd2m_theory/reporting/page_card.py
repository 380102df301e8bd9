"""The first thing on a report's page: what it is about, the verdict, and three lights."""

from collections.abc import Iterator, Mapping
from typing import Any

from kd2m_theory.reporting.clipped import clipped_at, differs, reaches, value_of
from kd2m_theory.reporting.first_screen import unfinished, warnings
from kd2m_theory.reporting.html import Html, element
from kd2m_theory.reporting.sections import Drawing, Paragraph, Part, Section, paragraph
from kd2m_theory.reporting.verdict import DECIDED_BY, Status, guaranteed, not_computed
from kd2m_theory.words import confidence, counted, number

Report = Mapping[str, Any]
Record = Mapping[str, Any]

# A colour is never alone: each light has a mark and a word.
LIGHTS: Mapping[Status, tuple[str, str]] = {
    "worse": ("✗", "worse than its teacher"),
    "better": ("✓", "better than its teacher"),
    "undecided": ("?", "undecided"),
}
_TITLES = {"errors": "Errors", "cross_entropy": "Cross-entropy"}
# Letters of a name that a title has room for.
_LONGEST = 60


def title(report: Report) -> str:
    """What the page is about: the networks, by the names that the pair's provenance has for them, and the day of the audit.

    Browsers suggest it as the name of the file when a page is saved or printed.
    """
    names = report["provenance"]
    student, teacher = (_short(names.get(role, "")) for role in ("student", "teacher"))
    subject = student or _short(names.get("source", ""))
    if not subject:
        subject = f"a student: {report['n']:,} samples, {report['classes']} classes"
    elif student and teacher and teacher != student:
        subject += f" against {teacher}"
    date = report["environment"].get("date")
    return f"Audit of {subject}{'' if date is None else f', {date}'}"


def _short(words: str) -> str:
    """The words up to the first comma, where a network's own name ends."""
    name = " ".join(words.partition(",")[0].split())
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"


def card(report: Report) -> tuple[Part, ...]:
    """Verdict, lights, and folded below them what both rest on."""
    found = report["verdict"]
    headline = paragraph(f"✗ {found['headline']}", tone="alarm") if found["violated"] else _headline(found)
    sentences = [paragraph(found[measure]["sentence"]) for measure in ("errors", "cross_entropy")]
    findings = [paragraph(" ".join(found["findings"]))]
    return (
        headline,
        *warnings(report),
        *unfinished(report),
        Drawing(markup=element("ul", *_lights(report), class_="lights"), words=""),
        Section(
            title="In full",
            parts=(*sentences, *findings, *(paragraph(caveat) for caveat in found["caveats"])),
            folded="every sentence of the verdict, and what is not guaranteed",
        ),
    )


def _headline(found: Record) -> Paragraph:
    return paragraph(found["headline"], tone="strong")


def _lights(report: Report) -> Iterator[Html]:
    yield _light(report, "errors", 100.0, "percentage points", "error rate", _errors_seen(report))
    name = f"cross-entropy, {clipped_at(report)},"
    yield _light(report, "cross_entropy", 1.0, "nats", name, _losses_seen(report))
    yield _bounds(report)


def _light(report: Report, measure: str, scale: float, unit: str, name: str, seen: str) -> Html:
    found, title, target = report["verdict"][measure], _TITLES[measure], DECIDED_BY[measure]
    mark, word = LIGHTS[found["status"]]
    lower, upper = found["lower"], found["upper"]
    if not found["guaranteed"]:
        if not_computed(report, target):
            return _box(found["status"], title, mark, "not computed", _muted(seen))
        return _box(found["status"], title, mark, word, [element("p", "No guaranteed interval."), *_muted(seen)])
    parts = []
    if lower is not None and upper is not None:
        parts.append(_bar(lower, upper, found["sample"]))
        parts.append(element("p", f"Its {name} on the population is {reaches(lower, upper, scale, unit)}."))
    row = f"{seen} {found['row']}, guaranteed at {confidence(found['level'])}.".strip()
    return _box(found["status"], title, mark, word, [*parts, *_muted(row)])


def _bounds(report: Report) -> Html:
    rows = guaranteed(report)
    checked = sum(row["holds"] is not None for row in rows)
    of = f"{checked} of {counted(len(rows), 'guaranteed row')} could be checked against a measured value"
    if report["violations"]:
        return _box(
            "violated", "Bounds", "✗", "violated", [element("p", f"Violated: {', '.join(report['violations'])}; {of}.")]
        )
    informative = sum(row["status"] == "informative" for row in rows)
    more = _muted(f"Informative, saying more than is known without the row: {informative}. The ladder has the tightest first.")
    if not checked:
        return _box("undecided", "Bounds", "?", "not checked", [element("p", f"{of}."), *more])
    return _box("better", "Bounds", "✓", "none violated", [element("p", f"{of}."), *more])


def _box(kind: str, title: str, mark: str, word: str, parts: list[Html]) -> Html:
    head = element(
        "p", element("span", mark, class_="mark", aria_hidden="true"), element("b", f"{title}: {word}"), class_="light"
    )
    return element("li", head, *parts, class_=kind)


def _muted(words: str) -> list[Html]:
    return [element("p", words, class_="muted")] if words else []


def _errors_seen(report: Report) -> str:
    shares = [value_of(report, f"accuracy_{whose}") for whose in ("student", "teacher")]
    if None not in shares:
        mine, theirs = (number(100 * (1 - share), 3) for share in shares if share is not None)
        return f"On these samples {mine} % against its teacher's {theirs} %."
    apart = value_of(report, "disagreement")
    return "" if apart is None else f"They disagree on {number(100 * apart, 3)} % of these samples."


def _losses_seen(report: Report) -> str:
    gap = value_of(report, "gap")
    return "" if gap is None else f"On these samples {differs(gap, 1.0, 'nats')}, unclipped."


def _bar(lower: float, upper: float, sample: float | None) -> Html:
    """An interval around zero, and the value of the samples; the words below it have the same numbers."""
    reach = max(abs(lower), abs(upper), abs(sample or 0.0)) or 1.0

    def place(value: float) -> str:
        return f"{50 + 46 * value / reach:.2f}%"

    decided = "decided" if lower > 0 or upper < 0 else "open"
    parts = [
        element("line", x1="0", x2="100%", y1="0.8em", y2="0.8em", class_="axis"),
        element("line", x1="50%", x2="50%", y1="0", y2="1.6em", class_="axis"),
        element("line", x1=place(lower), x2=place(upper), y1="0.8em", y2="0.8em", class_=f"reach {decided}"),
    ]
    if sample is not None:
        parts.append(element("circle", cx=place(sample), cy="0.8em", r="0.35em", class_="seen"))
    ends = [("0", "start", "better"), ("50%", "middle", "0"), ("100%", "end", "worse")]
    parts += [element("text", words, x=x, y="2.5em", text_anchor=anchor) for x, anchor, words in ends]
    return element("svg", *parts, class_="bar-of-light", width="100%", height="2.8em", aria_hidden="true")
