"""An audit in a few sentences: how much worse the student is, whether a bound is violated, and what is not promised."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kd2m_theory.bounds.targets import SUBJECTS
from kd2m_theory.reporting.ladder_scale import interval
from kd2m_theory.words import number, percent

Report = Mapping[str, Any]
Record = Mapping[str, Any]

# Rows that take a measured gap apart and do not bound it: with labels they are exact, and no news.
_IDENTITIES = {"T9.kl"}
_ON = {
    "gap": "the gap",
    "gap_shared_head": "the gap through the teacher's head",
    "error_gap": "the difference of the error rates",
    "expected_gap": "the gap to expect if labels are drawn from the teacher",
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a reader should take away.

    Attributes:
        violated: whether a guaranteed bound does not hold.
        headline: the first sentence.
        findings: what was found.
        caveats: what is not promised.

    Example:
        >>> from kd2m_theory import Pair, audit
        >>> found = audit(Pair([[2.0], [-1.0]], [[2.0], [-1.0]], labels=[0, 1], head_weight=[[1.0], [-1.0]])).verdict
        >>> print(found.violated, found.headline)
        False Student and teacher have the same loss on these samples.
    """

    violated: bool
    headline: str
    findings: tuple[str, ...]
    caveats: tuple[str, ...]


def verdict(report: Report) -> Verdict:
    """The verdict on a report: the mapping of `AuditReport.to_dict()`, whose own entry "verdict" is not read."""
    comparison = _comparison(report)
    findings = [*_measured(report), _checked(report), *_tightest(report), *_population(report)]
    violated = bool(report["violations"])
    headline = comparison
    if violated:
        headline = (
            f"Violated: {', '.join(report['violations'])}. A vouched assumption, the theory or the code is wrong; find out "
            "which before you rely on any number here."
        )
        findings.insert(0, comparison)
    return Verdict(violated=violated, headline=headline, findings=tuple(findings), caveats=tuple(_caveats(report)))


def _comparison(report: Report) -> str:
    gap = report["measured"].get("gap")
    if gap is None:
        if not _guaranteed(report):
            return "How much worse the student is can be neither measured nor bounded; the rows say what they lack."
        return "How much worse the student is cannot be measured without labels; the bounds say how much worse it can be."
    if gap["value"] == 0:
        return "Student and teacher have the same loss on these samples."
    worse = gap["value"] > 0
    size = f"{number(abs(gap['value']), 3)} nats {'higher' if worse else 'lower'}"
    lower, upper = interval(gap)
    if lower > 0 or upper < 0:
        return f"The student is {'worse' if worse else 'better'} than its teacher: its cross-entropy is {size}."
    return (
        f"The student's cross-entropy is {size} than its teacher's on these samples, which do not show that it is "
        f"{'worse' if worse else 'better'} on the population."
    )


def _interval(value: Record, scale: float, unit: str) -> str:
    """The interval in words, from the student's side: "0.1 to 0.2 nats higher", or "between 0.1 nats lower and 0.2 higher"."""
    lower, upper = (scale * end for end in interval(value))
    small, large = (number(end, 3) for end in sorted((abs(lower), abs(upper))))
    asymptotic = "" if value["guaranteed"] else " (asymptotic interval)"
    if lower >= 0 or upper <= 0:
        return f"{small} to {large} {unit} {'higher' if lower >= 0 else 'lower'}{asymptotic}"
    return f"between {number(-lower, 3)} {unit} lower and {number(upper, 3)} higher{asymptotic}"


def _measured(report: Report) -> Iterable[str]:
    measured = report["measured"]
    gap = measured.get("gap")
    level = percent(1 - report["delta"])
    if gap is not None and interval(gap)[0] < interval(gap)[1]:
        words = _interval(gap, 1.0, "nats")
        yield f"With {level} confidence in all intervals together, its cross-entropy on the population is {words}."
    if "error_gap" in measured:
        errors = [number(100 * (1 - measured[f"accuracy_{who}"]["value"]), 3) for who in ("student", "teacher")]
        points = _interval(measured["error_gap"], 100.0, "percentage points")
        yield f"It errs on {errors[0]} % of the samples, its teacher on {errors[1]} %; on the population its error is {points}."
    elif "disagreement" in measured:
        share = measured["disagreement"]
        ends = [number(100 * end, 3) for end in (share["value"], *interval(share))]
        yield f"The networks disagree on {ends[0]} % of the samples; on the population on {ends[1]} to {ends[2]} % of inputs."


def _guaranteed(report: Report) -> list[Record]:
    return [row for row in report["rows"] if row["guaranteed"]]


def _checked(report: Report) -> str:
    rows = _guaranteed(report)
    if not rows:
        return "No guaranteed bound could be evaluated."
    checked = sum(row["holds"] is not None for row in rows)
    if report["violations"]:
        failed = len(report["violations"])
        verb = "does" if failed == 1 else "do"
        return f"Of the {checked} guaranteed bounds that could be checked {failed} {verb} not hold."
    if not checked:
        return f"None of the {len(rows)} guaranteed bounds could be checked, because nothing that they bound was measured."
    return f"No guaranteed bound is violated: {checked} of {len(rows)} could be checked against a measured value."


def _reach(row: Record) -> str:
    scale, unit = (100.0, "percentage points") if "error" in row["target"] else (1.0, "nats")
    return f"from {number(scale * row['lower'], 3)} to {number(scale * row['upper'], 3)} {unit}"


def _informative(rows: Sequence[Record], target: str) -> list[Record]:
    return [
        row
        for row in rows
        if row["target"] == target
        and row["status"] == "informative"
        and row["holds"] is not False
        and None not in (row["lower"], row["upper"])
        and not (row["name"] in _IDENTITIES and row["measured"] is not None)
    ]


def _tightest(report: Report) -> Iterable[str]:
    rows, described = _guaranteed(report), []
    own = any(row["target"] == "gap" for row in rows)
    asked = [target for target in _ON if target != "gap_shared_head" or not own]
    for target in asked:
        found = _informative(rows, target)
        if found:
            # Where the gap is zero no ratio is finite, and the least upper bound is the tightest.
            best = min(found, key=lambda row: (row["ratio"] is None, row["ratio"] or 0.0, row["upper"]))
            times = f" ({number(best['ratio'], 3)} times what was measured)" if best["ratio"] is not None else ""
            described.append(f"{best['name']} on {_ON[target]}, {_reach(best)}{times}")
    if described:
        yield f"Tightest informative bounds: {'; '.join(described)}."
    elif any(row["target"] in asked for row in rows):
        yield "No guaranteed bound on a gap is informative: each allows a student that guesses."


def _population(report: Report) -> Iterable[str]:
    found = _informative(_guaranteed(report), "population_error_gap")
    if found and "error_gap" not in report["measured"]:
        best = min(found, key=lambda row: row["upper"])
        most = 100 * best["upper"]
        words = f"at most {number(most, 3)} percentage points more"
        if most < 0:
            words = f"at least {number(-most, 3)} percentage points less"
        level = percent(1 - report["delta"])
        yield f"On the population, with {level} confidence, the student errs {words} than its teacher ({best['name']})."


def _states(report: Report, state: str) -> list[str]:
    found = [
        assumption["name"]
        for row in report["rows"]
        if row["status"] != "not applicable"
        for assumption in row["assumptions"]
        if assumption["state"] == state
    ]
    return list(dict.fromkeys(found))


def _exceptions(report: Report) -> str:
    """Rows among T0 to T10 that say nothing about the samples themselves."""
    words = {"labels": "about the mean over labels drawn for their inputs", "population": "about the population"}
    found = [
        f"{row['name']} is {words[about]}"
        for row in report["rows"]
        if row["status"] != "not applicable" and row["name"].startswith("T")
        if (about := SUBJECTS[row["target"]].about) != "sample"
    ]
    return f" ({'; '.join(found)})" if found else ""


def _caveats(report: Report) -> Iterable[str]:
    yield (
        f"Rows T0 to T10 are statements about these samples{_exceptions(report)}. "
        "The intervals and the rows F1 to F5 are about the population that "
        f"the samples were drawn from, and hold together at {percent(1 - report['delta'])}; nothing is said about inputs from "
        "elsewhere."
    )
    if any(not value["guaranteed"] for value in report["measured"].values()):
        yield "Intervals marked asymptotic are right only as the number of samples grows."
    vouched = _states(report, "vouched")
    if vouched:
        yield f"Nobody but you can know whether these assumptions are true: {', '.join(vouched)}."
    loose = [row["name"] for row in report["rows"] if row["status"] != "not applicable" and not row["guaranteed"]]
    if loose:
        yield f"An assumption is unmet in {', '.join(loose)}: printed, and no promise."
    yield "If either network was trained or selected on these samples, the intervals and the rows F1 to F5 do not hold."
