"""What is printed of an audit first: the verdict, its numbers, what theory adds, what it relies on, and what to type next."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kd2m_theory.bounds.result import INTERRUPTED
from kd2m_theory.reporting.breakdown_view import confidence_of, name_of, share_of
from kd2m_theory.reporting.clipped import clipped_at, value_of
from kd2m_theory.reporting.sections import Column, Line, Paragraph, Part, Section, Table, Tone, paragraph
from kd2m_theory.reporting.tolerance import Tolerance
from kd2m_theory.reporting.verdict import DECIDED_BY, IDENTITIES, guaranteed, not_computed, relied_on
from kd2m_theory.words import between, confidence, counted, number, signed

Report = Mapping[str, Any]
Record = Mapping[str, Any]

# Questions that rows answer: in the order in which they are asked, with the targets that they are about.
_QUESTIONS = {
    "cross-entropy, these samples": ("gap",),
    "cross-entropy, teacher's head": ("gap_shared_head",),
    "errors, these samples": ("error_gap",),
}
# Without labels these rows are the answer, and each says more than the one after it.
_LABEL_FREE = ("T0.teacher_error", "T0.error", "T0.teacher_risk", "T0")
_FEATURES = "T2.head_aware"
# Classes that are named, and the share of the gap that makes one worth a name.
_CLASSES, _WORTH = 3, 0.05
# What rows lack is named, the most frequent first.
_NEEDS = 5
# What to pass, where it is not the name of the assumption.
_LACKS = {
    "shared head": "features and head_weight",
    "linear head": "head_weight",
    "teacher risk known": "the teacher's risk",
    "teacher error known": "the teacher's error rate",
    "no groups": "a form for groups",
}
# Assumptions that data cannot check are named in this order, the rest after them.
_FIRST = ("independent samples", "same population", "networks fixed before the sample", "same inputs")


def first_sections(report: Report, within: Sequence[Tolerance] = ()) -> list[Section]:
    """The first screen of a report (`AuditReport.to_dict()`).

    Args:
        report: the report.
        within: decisions that were asked for.
    """
    return [
        Section(title="", parts=tuple(_verdict(report, within))),
        Section(title="", parts=tuple(_theory(report))),
        Section(title="", parts=tuple(_end(report))),
    ]


def warnings(report: Report) -> Iterator[Paragraph]:
    """What about the pair looks like a mistake, if anything."""
    for each in report["warnings"]:
        yield paragraph(f"Check the input: {each['sentence']}", tone="warning")


def unfinished(report: Report) -> Iterator[Paragraph]:
    """What was not computed because an audit was interrupted, had a limit of seconds, or had too little memory, if anything."""
    later, limit = [row for row in report["rows"] if row["status"] == "not computed"], report["settings"]["seconds"]
    if later:
        why = (
            "The audit was interrupted" if later[0]["why"] == INTERRUPTED else f"The {number(limit)} s of the audit had passed"
        )
        yield paragraph(
            f"{why}: {len(later)} of {counted(len(report['rows']), 'row')} {'is' if len(later) == 1 else 'are'} not computed. "
            f"What is guaranteed holds together at {confidence(1 - report['delta'])} all the same, as δ was divided among all "
            "rows beforehand; which rows have a number depends on the machine.",
            tone="warning",
        )
    elif limit is not None:
        words = f"All rows were computed in the {number(limit)} s that the audit was given, which depends on the machine."
        yield paragraph(words, tone="muted")
    for part, why in report["left_out"].items():
        yield paragraph(f"Not computed: {_PARTS[part]}; {why}.", tone="warning")


_PARTS = {"measured": "measured values", "clipping": "what clipping does", "breakdown": "where the gap comes from"}


def decisions(within: Sequence[Tolerance]) -> Iterator[Paragraph]:
    """What was decided of tolerances, if any were asked for."""
    for each in within:
        tone: Tone = "good" if each.status == "met" else "alarm" if each.status == "not met" else "warning"
        yield paragraph(f"{each.sentence[0].upper()}{each.sentence[1:]}.", tone=tone)


def _verdict(report: Report, within: Sequence[Tolerance]) -> Iterator[Part]:
    found = report["verdict"]
    labelled = "labelled" if _labelled(report) else "unlabelled"
    groups = "" if report["groups"] is None else f" in {report['groups']:,} groups"
    yield paragraph(
        f"{report['n']:,} {labelled} samples{groups}, {report['classes']:,} classes; what is guaranteed holds together at "
        f"{confidence(1 - report['delta'])}",
        tone="muted",
    )
    yield paragraph(found["headline"], tone="alarm" if found["violated"] else "strong")
    yield from warnings(report)
    yield from unfinished(report)
    yield Table(
        name="student against teacher",
        columns=(
            Column("", width=13),
            Column("teacher → student", numeric=True),
            Column("difference", numeric=True),
            Column("population", numeric=True),
            Column("so it is", folds=True),
        ),
        lines=tuple(_lines(report)),
    )
    yield from _notes(report)
    yield from decisions(within)


def _labelled(report: Report) -> bool:
    return any(name in report["measured"] for name in ("risk_teacher", "risk_student", "gap_shared_head"))


def _lines(report: Report) -> Iterator[Line]:
    wrong = [None if (share := value_of(report, f"accuracy_{whose}")) is None else 100 * (1 - share) for whose in _BOTH]
    yield _line(report, "errors", wrong, " %", value_of(report, "error_gap"), 100.0, "points")
    losses = [value_of(report, f"risk_{whose}") for whose in _BOTH]
    yield _line(report, "cross_entropy", losses, "", value_of(report, "gap"), 1.0, "nats")
    reliability = (report["breakdown"] or {}).get("reliability")
    if reliability:
        teacher, student = (reliability[whose] for whose in _BOTH)
        change = f"{number(100 * teacher['error'], 2)} → {number(100 * student['error'], 2)} points"
        more = f"{signed(100 * (student['error'] - teacher['error']), 2)} points"
        yield Line(("calibration", change, more, "–", f"{confidence_of(student)} on these samples"))


_BOTH = ("teacher", "student")


def _line(
    report: Report,
    measure: str,
    values: Sequence[float | None],
    unit: str,
    difference: float | None,
    scale: float,
    of_difference: str,
) -> Line:
    name, compared = measure.replace("_", "-"), report["verdict"][measure]
    unmeasured = "not computed" if "measured" in report["left_out"] else "unknown"
    seen = f"{number(values[0], 3)}{unit} → {number(values[1], 3)}{unit}" if None not in values else unmeasured
    more = unmeasured if difference is None else f"{signed(scale * difference)} {of_difference}"
    population = "not computed" if not_computed(report, DECIDED_BY[measure]) else "unknown"
    if compared["guaranteed"]:
        population = between(compared["lower"], compared["upper"], scale)
    if compared["guaranteed"] and difference is None:  # which has the unit of both otherwise
        population += f" {of_difference}"
    status = compared["status"]
    size = compared["magnitude"]
    # The size of a difference that is not decided says nothing, unless it is bounded.
    sized = size is not None and size != "at most large" and (status != "undecided" or size.startswith("at most"))
    words = f"{status}, {size}" if sized else "not computed" if population == "not computed" else status
    tone: Tone = "warning" if status == "worse" else "good" if status == "better" else "plain"
    return Line((name, seen, more, population, words), tone=tone)


def _notes(report: Report) -> Iterator[Paragraph]:
    apart = value_of(report, "disagreement")
    words = [] if apart is None else [f"they disagree on {number(100 * apart, 3)} % of inputs"]
    words += _classes(report)
    if words:
        yield paragraph("; ".join(words))
    record = report["clipping"]
    bounded = report["verdict"]["cross_entropy"]["guaranteed"]
    if bounded and record is not None and (clips := _clips(record)):
        yield paragraph(f"on the population losses are {clipped_at(report)}: {clips}", tone="muted")
    if not _labelled(report):
        yield from (paragraph(words) for words in report["verdict"]["findings"] if "unless the teacher errs" in words)


def _clips(record: Record) -> str:
    """How many losses of these samples are clipped; empty if none is."""
    if record["share_student"] is None:  # without labels any class may be the true one
        share = record["share_any_class"]
        return f"on {number(100 * share, 2)} % of these samples some label would have a larger one" if share else ""
    if not record["share_student"] and not record["share_teacher"]:
        return ""
    return " and ".join(f"{number(100 * record[f'share_{whose}'], 2)} % of the {whose}'s" for whose in _BOTH[::-1]) + " are"


def _classes(report: Report) -> list[str]:
    """The classes that most of the gap comes from."""
    found = report["breakdown"]
    if found is None or found["by"] != "label":
        return []
    shares = [(each, share) for each in found["classes"] if (share := share_of(report, each["gap"])) is not None]
    worth = sorted((pair for pair in shares if pair[1] >= _WORTH), key=lambda pair: -pair[1])[:_CLASSES]
    # Where classes cancel one another, no share of their sum says anything.
    if not worth or len(shares) < 2 or worth[0][1] > 1 + _WORTH:
        return []
    together = sum(share for _, share in worth)
    # Shares above the whole, which other classes take back, would not add up for a reader: parts do.
    said = [f"{100 * share:.0f} %" if together < 1.005 else f"{signed(each['gap'])} nats" for each, share in worth]
    named = [f"{name_of(found, each['label'])} ({words})" for (each, _), words in zip(worth, said, strict=True)]
    return [f"{'most' if together >= 0.5 else 'the largest parts'} of the gap: {', '.join(named)}"]


def _theory(report: Report) -> Iterator[Part]:
    rows = guaranteed(report)
    violated = report["violations"]
    checked = sum(row["holds"] is not None for row in rows)
    outcome = f"VIOLATED: {', '.join(violated)}" if violated else "none violated"
    bounds = counted(len(rows), "guaranteed bound")
    words = f"{checked} of {bounds} checked, {outcome}"
    if rows and not checked:
        words = f"{bounds}; nothing that could be checked was measured"
    yield paragraph(f"Theory: {words}", tone="alarm" if violated else "strong")
    lines = tuple(_bound(words, row) for words, row in useful(report))
    if lines:
        yield Table(
            name="what theory says",
            columns=(Column("", width=29), Column("student less teacher", numeric=True), Column("bound", folds=True)),
            lines=lines,
        )
    yield from (paragraph(words, tone="muted") for words in _left_out(report))


def useful(report: Report) -> Iterator[tuple[str, Record]]:
    """The tightest guaranteed row for each question, and the question."""
    labelled, rows = _labelled(report), guaranteed(report)
    if not labelled:
        free = [row for name in _LABEL_FREE for row in rows if row["name"] == name]
        yield from (("errors" if "error" in row["target"] else "cross-entropy", row) for row in _first_of_each(free))
    for words, targets in _QUESTIONS.items():
        found = [row for row in rows if row["target"] in targets and row["name"] not in IDENTITIES]
        informative = [row for row in found if row["status"] == "informative" and None not in (row["lower"], row["upper"])]
        best = min(informative, key=lambda row: row["upper"] - row["lower"], default=None)
        if best is not None and best["name"] not in _LABEL_FREE:
            yield words, best
    if labelled:
        yield from (("errors, without labels", row) for row in rows if row["name"] == "T0.error")
    yield from (("cross-entropy, from features", row) for row in rows if row["name"] == _FEATURES)


def _first_of_each(rows: Sequence[Record]) -> list[Record]:
    return list({row["target"]: row for row in reversed(rows)}.values())[::-1]


def _bound(words: str, row: Record) -> Line:
    scale, unit = (100.0, "points") if "error" in row["target"] else (1.0, "nats")
    vacuous = row["status"] == "vacuous"
    return Line(
        (words, f"{between(row['lower'], row['upper'], scale, 3)} {unit}", f"{row['name']}{', vacuous' if vacuous else ''}"),
        tone="muted" if vacuous else "plain",
    )


def _left_out(report: Report) -> Iterator[str]:
    """How many rows are not shown here, and what those need that could not be computed."""
    statuses = Counter(row["status"] for row in report["rows"])
    counts = [f"{statuses[name]} {name}" for name in ("informative", "vacuous") if statuses[name]]
    if counts:
        yield f"all rows: {', '.join(counts)}{' (true, but no news)' if statuses['vacuous'] else ''}"
    missing = Counter(
        assumption["name"]
        for row in report["rows"]
        if row["status"] == "not applicable"
        for assumption in row["assumptions"]
        if assumption["state"] == "unmet"
    )
    if missing:
        if "labels" in missing:
            del missing["same class shares"]  # which only labels show
        lacks = ", ".join(f"{_LACKS.get(name, name)} ({count})" for name, count in missing.most_common(_NEEDS))
        more = " and more" if len(missing) > _NEEDS else ""
        yield f"{counted(statuses['not applicable'], 'row')} not applicable, for lack of {lacks}{more}"


def _end(report: Report) -> Iterator[Part]:
    vouched = set(relied_on(report))
    if vouched:
        ordered = [*(name for name in _FIRST if name in vouched), *sorted(vouched.difference(_FIRST))]
        yield paragraph(f"Relies on what data cannot check: {', '.join(ordered)}")
    yield paragraph(f"next: {'   '.join(_next(report))}", tone="muted")


def _next(report: Report) -> Iterator[str]:
    yield "--all (every row)"
    yield "--report page.html"
    if not _labelled(report):
        yield "kd2m label plan PAIR --out plan.json"
    explained = next((row["name"] for _, row in useful(report)), None)
    yield "kd2m theory list" if explained is None else f"kd2m theory show {explained}"
