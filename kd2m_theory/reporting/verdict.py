"""An audit in a few sentences: whether the student is worse, whether a bound is violated, and what is not guaranteed.

Only guaranteed intervals for the population decide. All of them hold together with probability 1 − δ, so that "worse" or
"better" is said of a measure for which it is not true with probability at most δ, whichever interval it is taken from.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

from kd2m_theory.bounds.result import WITHOUT_NUMBER
from kd2m_theory.bounds.rows.row import BY_DESIGN
from kd2m_theory.bounds.rows.t0_label_free import ABOVE, BELOW
from kd2m_theory.bounds.targets import SUBJECTS
from kd2m_theory.plausibility import DOUBTS
from kd2m_theory.reporting.clipped import clipped_at, differs, gap_words, reaches, value_of
from kd2m_theory.reporting.ladder_scale import interval
from kd2m_theory.words import confidence, counted, number, outward, rounded_down, rounded_up

Report = Mapping[str, Any]
Record = Mapping[str, Any]
Status = Literal["worse", "better", "undecided"]
Overall = Literal["worse", "better", "mixed", "alike", "undecided"]
Unit = Literal["nats", "probability"]

# A difference below the number has the word; what is above all of them is large.
MAGNITUDES: Mapping[Unit, Mapping[str, float]] = MappingProxyType(
    {
        "probability": MappingProxyType({"negligible": 0.005, "small": 0.02, "moderate": 0.05}),
        "nats": MappingProxyType({"negligible": 0.01, "small": 0.05, "moderate": 0.2}),
    }
)

# What the rows are about that decide each comparison.
DECIDED_BY: Mapping[str, str] = MappingProxyType({"errors": "population_error_gap", "cross_entropy": "population_gap"})

# Rows that take a measured gap apart and do not bound it: with labels they are exact, and no news.
IDENTITIES = {"T9.kl"}
_ON = {
    "gap": "the gap",
    "gap_shared_head": "the gap through the teacher's head",
    "error_gap": "the difference of the error rates",
    "expected_gap": "the gap to expect if labels are drawn from the teacher",
}


@dataclass(frozen=True, slots=True)
class Comparison:
    """Student against teacher on the population, by one measure that is better when smaller.

    Attributes:
        status: "worse" or "better" where a guaranteed interval excludes zero and nothing speaks against it, else "undecided":
            also where a bound is violated, the input looks wrong, or these samples say something else without clipping.
        sentence: what can be said, in one to three sentences.
        lower: lower end of the interval for the student's value less the teacher's, in the measure's unit; None if there is
            no guaranteed interval.
        upper: upper end.
        magnitude: the least and the largest difference that the interval allows, in words ("small to moderate", "at most
            small"): below 0.5, 2 and 5 percentage points of error it is negligible, small and moderate, below 0.01, 0.05 and
            0.2 nats likewise, and large above. None if there is no guaranteed interval.
        unit: "nats", or "probability" for a difference of error rates.
        level: confidence level of the interval alone.
        row: row of the audit that the interval is from, or "measured.error_gap".
        guaranteed: whether there is an interval whose coverage holds at every n; no other one is ever used.
        sample: the same difference on these samples, of clipped losses where the interval is about these; None without labels.
        unclipped: the same difference with losses as they are; None without labels, and for errors, which nothing clips.

    Example:
        >>> import numpy as np
        >>> from kd2m_theory import Pair, audit
        >>> labels = np.arange(400) % 2
        >>> right = 3.0 * np.eye(2)[labels]
        >>> student = np.where(np.arange(400)[:, None] % 4 < 3, right, -right)  # wrong on every fourth sample
        >>> found = audit(Pair(logits_teacher=right, logits_student=student, labels=labels)).verdict
        >>> print(found.overall, found.errors.status, found.cross_entropy.status, found.errors.row, found.errors.sample)
        worse worse worse F1.error_gap 0.25
    """

    status: Status
    sentence: str
    lower: float | None
    upper: float | None
    magnitude: str | None
    unit: Unit
    level: float | None
    row: str | None
    guaranteed: bool
    sample: float | None
    unclipped: float | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a reader should take away.

    Attributes:
        violated: whether a guaranteed bound does not hold.
        overall: "worse" or "better" if errors and cross-entropy are both decided and agree, "mixed" if they are decided and
            disagree, "alike" if neither is decided and both differences are at most negligible (`Comparison.magnitude`), else
            "undecided"; "undecided" also if a bound is violated, or the input looks wrong (`plausibility.DOUBTS`).
        headline: the first sentence.
        errors: the comparison by error rates.
        cross_entropy: the comparison by cross-entropy (errors and confidence together), clipped where the audit clips it.
        findings: what else was found.
        caveats: what is not guaranteed.

    Example:
        >>> from kd2m_theory import Pair, audit
        >>> found = audit(Pair([[2.0], [-1.0]], [[2.0], [-1.0]], labels=[0, 1], head_weight=[[1.0], [-1.0]])).verdict
        >>> print(found.violated, found.overall, found.errors.status, found.cross_entropy.status)
        False undecided undecided undecided
        >>> print(found.headline)
        Undecided: student and teacher have the same loss and the same error on these samples.
    """

    violated: bool
    overall: Overall
    headline: str
    errors: Comparison
    cross_entropy: Comparison
    findings: tuple[str, ...]
    caveats: tuple[str, ...]


def verdict(report: Report) -> Verdict:
    """The verdict on a report: the mapping of `AuditReport.to_dict()`, whose own entry "verdict" is not read."""
    violated = bool(report["violations"])
    against = "a bound is violated" if violated else "the input looks wrong" if doubtful(report) else ""
    errors, cross_entropy = _errors(report, against), _cross_entropy(report, against)
    overall = "undecided" if against else _overall(errors, cross_entropy)
    headline = _headline(report, overall, errors, cross_entropy)
    findings = [_checked(report), *_tightest(report), *_without_labels(report)]
    if violated:
        headline = (
            f"Violated: {', '.join(report['violations'])}. A vouched assumption, the theory or the code is wrong; find out "
            "which before you rely on any number here."
        )
    return Verdict(
        violated=violated,
        overall=overall,
        headline=headline,
        errors=errors,
        cross_entropy=cross_entropy,
        findings=tuple(findings),
        caveats=tuple(_caveats(report)),
    )


def doubtful(report: Report) -> bool:
    """Whether the input looks so wrong that no comparison of the networks is to be believed."""
    return any(each["key"] in DOUBTS for each in report["warnings"])


def _overall(errors: Comparison, cross_entropy: Comparison) -> Overall:
    statuses = {errors.status, cross_entropy.status}
    if "undecided" not in statuses:
        return errors.status if len(statuses) == 1 else "mixed"
    both = (errors, cross_entropy)
    # What clipping hides is not negligible because the clipped part is.
    seen = cross_entropy.unclipped
    hidden = seen is not None and _size(abs(seen), "nats") != "negligible"
    if len(statuses) == 1 and not hidden and all(each.magnitude == "at most negligible" for each in both):
        return "alike"
    return "undecided"


def _headline(report: Report, overall: Overall, errors: Comparison, cross_entropy: Comparison) -> str:
    if doubtful(report):
        return "No verdict: the input looks wrong. Answer the question about it first."
    less = f"it errs {'more' if errors.status == 'worse' else 'less'}"
    loss = f"its cross-entropy, {clipped_at(report)}, is {'higher' if cross_entropy.status == 'worse' else 'lower'}"
    if overall == "mixed":
        return f"Mixed: the student is not like its teacher; {less}, but {loss}."
    if overall == "alike":
        points, nats = (100 * MAGNITUDES["probability"]["negligible"], MAGNITUDES["nats"]["negligible"])
        return (
            f"The student is as good as its teacher: their errors differ by less than {number(points)} percentage points, and "
            f"their cross-entropy, {clipped_at(report)}, by less than {number(nats)} nats."
        )
    if overall != "undecided":
        return f"The student is {overall} than its teacher: {less}, and {loss}."
    if errors.status != "undecided":
        return f"Undecided: the student differs from its teacher; {less}, but {_open(report, cross_entropy)}."
    if cross_entropy.status != "undecided":
        left = "not computed" if not errors.guaranteed and not_computed(report, DECIDED_BY["errors"]) else "undecided"
        return f"Undecided: the student differs from its teacher; {loss}, but its error rate is {left}."
    if not errors.guaranteed and not cross_entropy.guaranteed:
        if all(not_computed(report, target) for target in DECIDED_BY.values()):
            return "Undecided: no row that compares student and teacher on the population was computed."
        if not guaranteed(report):
            return "Undecided: how much worse the student is can be neither measured nor bounded; the rows say what they lack."
        return "Undecided: no guaranteed interval compares student and teacher on the population; the rows say what they lack."
    if errors.sample is None and cross_entropy.sample is None:
        return "Undecided: without labels, these samples cannot show that the student is worse or better than its teacher."
    if errors.sample == 0 and cross_entropy.unclipped == 0:
        return "Undecided: student and teacher have the same loss and the same error on these samples."
    return "Undecided: these samples do not show that the student is worse or better than its teacher."


def _open(report: Report, cross_entropy: Comparison) -> str:
    if cross_entropy.guaranteed and _turned(cross_entropy):
        return "clipping turns the sign of its cross-entropy"
    left_out = not cross_entropy.guaranteed and not_computed(report, DECIDED_BY["cross_entropy"])
    return f"its cross-entropy is {'not computed' if left_out else 'undecided'}"


def _turned(found: Comparison) -> bool:
    """Whether the difference on these samples has another sign without clipping."""
    return None not in (found.sample, found.unclipped) and _sign(found.sample) != _sign(found.unclipped)


def _sign(value: float | None) -> int:
    return 0 if value is None else (value > 0) - (value < 0)


def guaranteed(report: Report) -> list[Record]:
    """Guaranteed rows, without those of the user's own, which nothing here proves."""
    return [row for row in report["rows"] if row["guaranteed"] and row["name"] not in report["settings"]["rows"]]


def not_computed(report: Report, target: str) -> bool:
    """Whether a guaranteed interval about a target is missing because its rows were left out or not reached."""
    rows = [row for row in report["rows"] if row["target"] == target]
    left_out = report["settings"]["only"] is not None and not rows
    return left_out or any(row["status"] == "not computed" for row in rows)


def population_intervals(report: Report, target: str) -> Iterator[tuple[str, float, float, float]]:
    """Guaranteed intervals for a difference on the population, which hold together: name, level, lower and upper end."""
    for row in guaranteed(report):
        # A side that is missing is infinite; a row without a level is about the sample, or about a law that was assumed.
        if row["target"] == target and row["level"] is not None:
            yield row["name"], row["level"], *interval(row)
    value = report["measured"].get("error_gap")
    # Where rows were chosen, they alone share δ, and the measured value has an interval at 1 − δ by itself.
    together = report["settings"]["only"] is None or all(row["level"] is None for row in report["rows"])
    if target == "population_error_gap" and value is not None and value["guaranteed"] and together:
        yield "measured.error_gap", value["level"], *interval(value)


def _chosen(report: Report, target: str) -> tuple[str, float, float, float, Status] | None:
    """The narrowest guaranteed interval of those that decide, or of all if none does, and what it decides.

    All of them hold together at 1 − δ. Where two exclude zero on different sides they do not, and nothing is decided.
    """
    found = [(*each, _decided(*each[2:])) for each in population_intervals(report, target)]
    if not found:
        return None
    decided = [each for each in found if each[-1] != "undecided"]
    contradict = len({each[-1] for each in decided}) > 1
    name, level, lower, upper, status = min(decided or found, key=lambda each: each[3] - each[2])
    return name, level, lower, upper, "undecided" if contradict else status


def _decided(lower: float, upper: float) -> Status:
    return "worse" if lower > 0 else "better" if upper < 0 else "undecided"


def _comparison(
    chosen: tuple[str, float, float, float, Status] | None,
    unit: Unit,
    status: Status,
    sentence: str,
    sample: float | None,
    unclipped: float | None = None,
) -> Comparison:
    name, level, lower, upper, _ = chosen or (None, None, None, None, None)
    return Comparison(
        status=status,
        sentence=sentence,
        lower=None if lower is None or not math.isfinite(lower) else lower,
        upper=None if upper is None or not math.isfinite(upper) else upper,
        magnitude=None if chosen is None else _magnitude(chosen[2], chosen[3], unit),
        unit=unit,
        level=level,
        row=name,
        guaranteed=chosen is not None,
        sample=sample,
        unclipped=unclipped,
    )


def _magnitude(lower: float, upper: float, unit: Unit) -> str:
    """The least and the largest absolute difference of an interval in words."""
    small, large = sorted((abs(lower), abs(upper)))
    if lower <= 0 <= upper:
        return f"at most {_size(large, unit)}"
    words = [_size(small, unit), _size(large, unit)]
    return " to ".join(dict.fromkeys(words))


def _size(difference: float, unit: Unit) -> str:
    return next((word for word, below in MAGNITUDES[unit].items() if difference < below), "large")


def _source(chosen: tuple[str, float, float, float, Status]) -> str:
    return f"{chosen[0]}, guaranteed at {confidence(chosen[1])}"


def _errors(report: Report, against: str) -> Comparison:
    """The comparison by error rates; it decides nothing if there are words that speak against every decision."""
    chosen = _chosen(report, DECIDED_BY["errors"])
    sample = value_of(report, "error_gap")
    shares = [value_of(report, f"accuracy_{whose}") for whose in ("student", "teacher")]
    apart = value_of(report, "disagreement")
    seen = ""
    if sample is not None and None not in shares:
        mine, theirs = (number(100 * (1 - share), 3) for share in shares if share is not None)
        seen = f" It errs on {mine} % of these samples, its teacher on {theirs} %."
    elif apart is not None:
        seen = f" The networks disagree on {number(100 * apart, 3)} % of these samples."
    if chosen is None:
        words = "undecided; there is no guaranteed interval for the difference of the error rates."
        if not_computed(report, DECIDED_BY["errors"]):
            words = "not computed; no row that bounds the difference of the error rates was."
        words = f"Errors: {words}{seen}"
        return _comparison(None, "probability", "undecided", words, sample)
    _, _, lower, upper, status = chosen
    reach = reaches(lower, upper, 100.0, "percentage points")
    head = {"worse": "the student errs more than its teacher", "better": "the student errs less than its teacher"}
    told = head.get(status, "undecided")
    if against:
        status, told = "undecided", f"undecided, because {against}"
    words = f"Errors: {told}; its error on the population is {reach} ({_source(chosen)}).{seen}"
    return _comparison(chosen, "probability", status, words, sample)


def _cross_entropy(report: Report, against: str) -> Comparison:
    """The comparison by cross-entropy, likewise."""
    chosen, record = _chosen(report, DECIDED_BY["cross_entropy"]), report["clipping"]
    unclipped, sample = value_of(report, "gap"), None
    if record is not None and None not in (record["risk_student"], record["risk_teacher"]):
        sample = record["risk_student"] - record["risk_teacher"]
        if not record["share_student"] and not record["share_teacher"]:
            unclipped = sample  # the two are one number, rounded in two ways
    if chosen is None:
        missing = "Cross-entropy: undecided; there is no guaranteed interval for its difference on the population."
        if not_computed(report, DECIDED_BY["cross_entropy"]):
            missing = "Cross-entropy: not computed; no row that bounds its difference on the population was."
        if unclipped is not None:
            missing += f" On these samples the student's is {differs(unclipped, 1.0, 'nats')}."
        return _comparison(None, "nats", "undecided", missing, sample, unclipped)
    _, _, lower, upper, status = chosen
    # Where labels are, both differences of the sample must have the sign of the interval.
    signs = {_sign(value) for value in (sample, unclipped) if value is not None}
    head = {"worse": "the student's is higher than its teacher's", "better": "the student's is lower than its teacher's"}
    told = head.get(status, "undecided")
    if against:
        status, told = "undecided", f"undecided, because {against}"
    elif status != "undecided" and sample is not None and unclipped is None:
        status, told = "undecided", "undecided, because the mean loss of these samples is not finite"
    elif status != "undecided" and not signs <= {1 if status == "worse" else -1}:
        told = "undecided, because clipping turns the sign" if len(signs) > 1 else "undecided, because these samples disagree"
        status = "undecided"
    words = [
        f"Cross-entropy, {clipped_at(report)}: {told}; so clipped it is {reaches(lower, upper, 1.0, 'nats')} on the population "
        f"({_source(chosen)}).",
        *gap_words(report),
    ]
    return _comparison(chosen, "nats", status, " ".join(words), sample, unclipped)


def _checked(report: Report) -> str:
    rows = guaranteed(report)
    if not rows:
        return "No guaranteed bound could be evaluated."
    checked = sum(row["holds"] is not None for row in rows)
    if report["violations"]:
        failed = len(report["violations"])
        verb = "does" if failed == 1 else "do"
        return f"Of the {counted(checked, 'guaranteed bound')} that could be checked {failed} {verb} not hold."
    if not checked:
        return f"{counted(len(rows), 'guaranteed bound')}; nothing that could be checked was measured."
    return f"No guaranteed bound is violated: {checked} of {len(rows)} could be checked against a measured value."


def _reach(row: Record) -> str:
    scale, unit = (100.0, "percentage points") if "error" in row["target"] else (1.0, "nats")
    low, high = outward(row["lower"], row["upper"], scale, 3)
    return f"from {number(low, 4)} to {number(high, 4)} {unit}"


def _informative(rows: Sequence[Record], target: str) -> list[Record]:
    return [
        row
        for row in rows
        if row["target"] == target
        and row["status"] == "informative"
        and row["holds"] is not False
        and None not in (row["lower"], row["upper"])
        and not (row["name"] in IDENTITIES and row["measured"] is not None)
    ]


def _tightest(report: Report) -> Iterable[str]:
    rows, described = guaranteed(report), []
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
        yield f"Tightest informative bounds on these samples: {'; '.join(described)}."
    elif any(row["target"] in asked for row in rows):
        yield "No guaranteed bound on a gap of these samples is informative."


def _without_labels(report: Report) -> Iterable[str]:
    """What the teacher's own risk and error on these samples would have to be, where no labels say."""
    if "risk_teacher" in report["measured"]:
        return
    free = next((row for row in guaranteed(report) if row["name"] == "T0"), None)
    if free is not None and None not in (above := free["details"].get(ABOVE), below := free["details"].get(BELOW)):
        more = f"{'plus' if above >= 0 else 'less'} {number(abs(rounded_up(above, 3)), 4)}"
        yield (
            "Whatever the labels of these samples are, the student's cross-entropy is above its teacher's by at most the "
            f"teacher's own {more} nats, and by at least {number(rounded_down(below, 3), 4)} nats less twice the teacher's own."
        )
    apart = value_of(report, "disagreement")
    if apart:
        yield (
            f"The student errs more than its teacher on these samples unless the teacher errs on at least "
            f"{number(rounded_down(50 * apart, 3), 4)} % of them; it errs on at most {number(rounded_up(100 * apart, 3), 4)} "
            "percentage points more."
        )


def relied_on(report: Report) -> list[str]:
    """Assumptions that the data cannot check, of the rows that were computed and of the intervals of measured values."""
    found = [
        assumption["name"]
        for row in report["rows"]
        if row["status"] not in WITHOUT_NUMBER
        for assumption in row["assumptions"]
        if assumption["state"] == "vouched"
    ]
    return list(dict.fromkeys([*found, *(BY_DESIGN if report["measured"] else ())]))


def _exceptions(report: Report) -> str:
    """Rows among T0 to T10 that say nothing about the samples themselves."""
    words = {"labels": "about the mean over labels drawn for their inputs", "population": "about the population"}
    found = [
        f"{row['name']} is {words[about]}"
        for row in report["rows"]
        if row["status"] not in WITHOUT_NUMBER and row["name"].startswith("T")
        if (about := SUBJECTS[row["target"]].about) != "sample"
    ]
    return f" ({'; '.join(found)})" if found else ""


def _caveats(report: Report) -> Iterable[str]:
    level = confidence(1 - report["delta"])
    joint = f"those that are guaranteed hold together at {level}"
    if report["settings"]["only"] is not None:  # chosen rows share δ alone
        joint = f"rows that are guaranteed hold together at {level}, each interval of a measured value by itself"
    yield (
        "Intervals of measured values and rows whose heading says “population” are about the population that the samples were "
        f"drawn from; {joint}. All other rows are "
        f"statements about these samples{_exceptions(report)}. Nothing is said about inputs from elsewhere."
    )
    if report["groups"] is not None:
        yield (
            f"The samples belong to {report['groups']:,} groups. Measured values and what is said about the population are "
            "means over groups of the mean within a group; bounds on these samples count each sample once."
        )
    if any(not value["guaranteed"] for value in report["measured"].values()):
        yield "Intervals marked asymptotic are right only as the number of samples grows; no comparison rests on one."
    vouched = relied_on(report)
    if vouched:
        yield f"The data cannot check these assumptions: {', '.join(vouched)}."
    loose = [row["name"] for row in report["rows"] if row["status"] not in WITHOUT_NUMBER and not row["guaranteed"]]
    if loose:
        yield f"An assumption is unmet in {', '.join(loose)}: printed without a guarantee."
    if report["settings"]["rows"]:
        yield (
            f"Bounds of your own: {', '.join(report['settings']['rows'])}. Nothing in this package proves them, and no "
            "comparison rests on them."
        )
    yield (
        "If either network was trained or selected on these samples, nothing that is said about the population is guaranteed."
    )
