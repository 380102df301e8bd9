"""Whether a student is within a tolerance: a decision for a release, made on guaranteed intervals alone."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from kd2m_theory.checks import real_number
from kd2m_theory.errors import InputError
from kd2m_theory.reporting.clipped import clipped_at, value_of
from kd2m_theory.reporting.verdict import DECIDED_BY, doubtful, not_computed, population_intervals
from kd2m_theory.words import between, outward, signed

Report = Mapping[str, Any]
Met = Literal["met", "not met", "undecided"]


@dataclass(frozen=True, slots=True)
class Tolerance:
    """A largest difference, student less teacher on the population, and whether it is kept.

    Attributes:
        measure: "errors" or "cross-entropy".
        most: the largest difference that is accepted, as a probability or in nats.
        status: "met" if a guaranteed interval lies at or below it, "not met" if one lies above, else "undecided"; "undecided"
            also if a bound is violated, the input looks wrong, or these samples say the opposite without clipping.
        sentence: the same in words, with the interval.

    Example:
        >>> import numpy as np
        >>> from kd2m_theory import Pair, audit
        >>> labels = np.arange(400) % 2
        >>> logits = 3.0 * np.eye(2)[labels]
        >>> report = audit(Pair(logits_teacher=logits, logits_student=logits, labels=labels))
        >>> [(each.measure, each.status) for each in report.within(max_error_gap=0.05)]
        [('errors', 'met')]
    """

    measure: Literal["errors", "cross-entropy"]
    most: float
    status: Met
    sentence: str


def tolerances(report: Report, max_error_gap: float | None, max_gap: float | None) -> tuple[Tolerance, ...]:
    """The decision for each number that is given.

    Args:
        report: the mapping of `AuditReport.to_dict()`.
        max_error_gap: largest difference of the error rates, a probability.
        max_gap: largest difference of cross-entropy, nats, of losses clipped where the audit clips them.

    Raises:
        InputError: a number is not finite, or the difference of error rates is outside [−1, 1].
    """
    check_tolerances(max_error_gap, max_gap)
    found = [] if max_error_gap is None else [_errors(report, float(max_error_gap))]
    return (*found, *(() if max_gap is None else [_cross_entropy(report, float(max_gap))]))


def check_tolerances(max_error_gap: float | None, max_gap: float | None) -> None:
    """Refuse a tolerance that no difference can have.

    Raises:
        InputError: a number is not finite, or the difference of error rates is outside [−1, 1].
    """
    if max_error_gap is not None and not -1 <= real_number(max_error_gap) <= 1:
        raise InputError(f"max_error_gap is {max_error_gap!r}; give a difference of error rates, such as 0.02 for 2 points")
    if max_gap is not None and not math.isfinite(real_number(max_gap)):
        raise InputError(f"max_gap is {max_gap!r}; give a difference of cross-entropy in nats, such as 0.1")


def _errors(report: Report, most: float) -> Tolerance:
    target = DECIDED_BY["errors"]
    status, ends = _decided(report, target, most)
    at_most = f"errors at most {_in_full(100 * most)} points above the teacher's"
    sentence = _sentence(at_most, status, ends, most, 100.0, "points", not_computed(report, target))
    return Tolerance(measure="errors", most=most, status=status, sentence=sentence)


def _cross_entropy(report: Report, most: float) -> Tolerance:
    target = DECIDED_BY["cross_entropy"]
    status, ends = _decided(report, target, most)
    unclipped = value_of(report, "gap")
    at_most = f"cross-entropy, {clipped_at(report)}, at most {_in_full(most)} nats above the teacher's"
    sentence = _sentence(at_most, status, ends, most, 1.0, "nats", not_computed(report, target))
    record = report["clipping"]
    clips = record is not None and (record["share_student"] or record["share_teacher"])
    if status != "undecided" and clips and (unclipped is None or (unclipped <= most) != (status == "met")):
        # The part of the losses that is not seen says the opposite on these very samples.
        kept = "is" if status == "met" else "is not"
        status = "undecided"
        seen = "not finite" if unclipped is None else f"{signed(unclipped)} nats"
        sentence = f"undecided: {at_most}; clipped it {kept}, but unclipped the difference on these samples is {seen}"
    return Tolerance(measure="cross-entropy", most=most, status=status, sentence=sentence)


def _decided(report: Report, target: str, most: float) -> tuple[Met, tuple[float, float] | None]:
    """What the intervals decide, and the one that does, or the narrowest."""
    found = [(lower, upper) for _, _, lower, upper in population_intervals(report, target)]
    if not found:
        return "undecided", None
    below = [ends for ends in found if ends[1] <= most]
    above = [ends for ends in found if ends[0] > most]
    narrowest = min(below or above or found, key=lambda ends: ends[1] - ends[0])
    # Two that contradict each other do not hold together.
    if report["violations"] or doubtful(report) or bool(below) == bool(above):
        return "undecided", narrowest
    return "met" if below else "not met", narrowest


def _in_full(most: float) -> str:
    """A tolerance as it was given: no digit of it may be rounded away."""
    return signed(most, 12)


def _sentence(
    at_most: str, status: Met, ends: tuple[float, float] | None, most: float, scale: float, unit: str, not_computed: bool
) -> str:
    if ends is None and not_computed:
        return f"{status}: {at_most}; no row that bounds the difference on the population was computed"
    if ends is None:
        return f"{status}: {at_most}; there is no guaranteed interval on the population"
    digits = next((digits for digits in range(3, 12) if _shows(ends, most, scale, digits)), 12)
    return f"{status}: {at_most}; on the population the difference is {between(*ends, scale, digits)} {unit}"


def _shows(ends: tuple[float, float], most: float, scale: float, digits: int) -> bool:
    """Whether the interval as it is printed lies on the side of the tolerance on which it lies."""
    low, high = outward(*ends, scale, digits)
    return (low > scale * most) == (ends[0] > most) and (high <= scale * most) == (ends[1] <= most)


def exit_status(found: tuple[Tolerance, ...]) -> int:
    """0 if every tolerance is met, 3 if one is not, 4 if one is undecided and none is not met."""
    statuses = {each.status for each in found}
    return 3 if "not met" in statuses else 4 if "undecided" in statuses else 0
