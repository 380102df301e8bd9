"""What stands beside statements about clipped losses: how many are clipped, and what the sample says without clipping."""

from collections.abc import Mapping
from typing import Any

from kd2m_theory.reporting.ladder_scale import interval
from kd2m_theory.words import number, outward, percent

Report = Mapping[str, Any]
Record = Mapping[str, Any]


def value_of(report: Report, name: str) -> float | None:
    """A measured value; None if there is none, or it is not finite."""
    value: float | None = report["measured"].get(name, {}).get("value")
    return value


def reaches(lower: float, upper: float, scale: float, unit: str) -> str:
    """An interval for a difference in words: "0.1 to 0.2 nats higher", or "between 0.1 nats lower and 0.2 higher".

    Its ends are rounded outward.
    """
    low, high = outward(lower, upper, scale, 3)
    if low == high == 0:
        return "the same"
    small, large = (number(end, 4) for end in sorted((abs(low), abs(high))))
    if low >= 0 or high <= 0:
        return f"{small} to {large} {unit} {'higher' if low >= 0 else 'lower'}"
    return f"between {number(-low, 4)} {unit} lower and {number(high, 4)} higher"


def differs(value: float, scale: float, unit: str) -> str:
    """A difference in words: "0.1 nats higher"."""
    if value == 0:
        return "the same"
    return f"{number(abs(scale * value), 3)} {unit} {'higher' if value > 0 else 'lower'}"


def clipped_at(report: Report) -> str:
    """Where the audit clips cross-entropy."""
    record = report["clipping"]
    return "clipped" if record is None else f"clipped at {number(record['bound'], 3)} nats"


def gap_words(report: Report) -> list[str]:
    """Sentences beside a clipped difference of losses; none for a report of 0.1.0, which does not know them."""
    record, unclipped = report["clipping"], value_of(report, "gap")
    if record is None:
        return []
    if record["share_student"] is None or unclipped is None:
        return _label_free(report, record)
    if not record["share_student"] and not record["share_teacher"]:
        return [f"No loss of these samples is clipped; on them the student's is {differs(unclipped, 1.0, 'nats')}.", _RARER]
    sample = record["risk_student"] - record["risk_teacher"]
    return [
        f"{_share(record, 'student')} of the student's losses and {_share(record, 'teacher')} of the teacher's are clipped: on "
        f"these samples the student's is {differs(unclipped, 1.0, 'nats')} unclipped, {differs(sample, 1.0, 'nats')} clipped."
    ]


def risk_words(report: Report) -> list[str]:
    """Sentences beside a clipped loss of the student."""
    record, unclipped = report["clipping"], value_of(report, "risk_student")
    if record is None or record["share_student"] is None or unclipped is None:
        return []
    if not record["share_student"]:
        return [f"None of the student's losses is clipped; on these samples their mean is {number(unclipped, 3)} nats.", _RARER]
    return [
        f"{_share(record, 'student')} of the student's losses are clipped: on these samples their mean is "
        f"{number(unclipped, 3)} nats unclipped, {number(record['risk_student'], 3)} nats clipped."
    ]


_RARER = "Nothing is said about rarer losses above the bound."


def beside(report: Report, target: str) -> str:
    """What stands beside the rows about a target; empty where nothing is clipped."""
    words = {"population_gap": gap_words, "population_risk": risk_words}.get(target)
    sentences = [] if words is None else words(report)
    return " ".join([f"Losses are {clipped_at(report)}.", *sentences]) if sentences else ""


def _share(record: Record, whose: str) -> str:
    return percent(float(f"{record[f'share_{whose}']:.3g}"))


def _label_free(report: Report, record: Record) -> list[str]:
    words = []
    if record["share_any_class"] is not None:
        words.append(f"On {_share(record, 'any_class')} of these samples the loss at some class is clipped.")
    words += [
        f"Unclipped, whatever the labels, the student's is {reaches(*interval(row), 1.0, 'nats')} on these samples (T0)."
        for row in report["rows"]
        if row["name"] == "T0" and row["guaranteed"]
    ]
    return words
