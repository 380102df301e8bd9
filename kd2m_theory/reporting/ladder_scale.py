"""What every picture of the ladder shares: its axis, the place of a row's ends on it, and how a row is told from others."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from kd2m_theory.bounds.result import WITHOUT_NUMBER

UNITS = {
    "gap_shared_head": "nats",
    "gap": "nats",
    "error_gap": "probability",
    "population_gap": "nats",
    "population_error_gap": "probability",
}

# An axis ends here, whatever numbers a report has: quotients of its ends are finite.
_LEAST, _MOST = 1e-150, 1e150

Report = Mapping[str, Any]
Record = Mapping[str, Any]
Groups = Sequence[tuple[str, Sequence[Record]]]


@dataclass(frozen=True, slots=True)
class Look:
    """How a row is drawn.

    Attributes:
        kind: "broken" (the measured value lies outside), "unmet" (an assumption is), "vacuous", "decided" (excludes a gap of
            zero) or "informative".
        dotted: whether the row has no guarantee, because an assumption is unmet.
        hollow: whether the upper end says no more than that the student may guess.
    """

    kind: Literal["broken", "unmet", "vacuous", "decided", "informative"]
    dotted: bool
    hollow: bool


def groups_of(report: Report, targets: Sequence[str]) -> list[tuple[str, list[Record]]]:
    """The report's rows about each of the targets; targets without rows are left out."""
    groups = [(target, [row for row in report["rows"] if row["target"] == target]) for target in targets]
    return [(target, rows) for target, rows in groups if rows]


def by_tightness(rows: Sequence[Record]) -> list[Record]:
    """The rows, the narrowest interval first; those with one side after those with two, in the order of their finite ends."""

    def width(row: Record) -> tuple[float, float]:
        lower, upper = ends(row, 1.0)
        return upper - lower, min(upper, -lower)

    return sorted(rows, key=width)


def sign_of(measured: Record | None) -> float:
    """−1 turns the axis round: a student better than its teacher has a negative gap."""
    return -1.0 if measured is not None and measured["value"] < 0 else 1.0


def ends(row: Record, sign: float) -> tuple[float, float]:
    """Lower and upper end on the axis; a side that is missing from an applicable row is infinite."""
    lower = -math.inf if row["lower"] is None else row["lower"]
    upper = math.inf if row["upper"] is None else row["upper"]
    return (lower, upper) if sign > 0 else (-upper, -lower)


def interval(value: Record) -> tuple[float, float]:
    """Lower and upper end of a measured value's interval; one that is missing is infinite."""
    lower, upper = value["lower"], value["upper"]
    return (-math.inf if lower is None else lower), (math.inf if upper is None else upper)


def look(row: Record) -> Look:
    """How an applicable row is drawn."""
    dotted = not row["guaranteed"]
    if row["holds"] is False:
        return Look("broken", dotted, False)
    if dotted:
        return Look("unmet", True, True)
    if row["status"] == "vacuous":
        return Look("vacuous", False, True)
    lower, upper = ends(row, 1.0)
    decided = lower > 0 or upper < 0
    beyond = row["vacuous_from"] is not None and upper >= row["vacuous_from"]
    return Look("decided" if decided else "informative", False, beyond)


def limits(groups: Groups, measured: Mapping[str, Record], room: tuple[float, float]) -> dict[str, tuple[float, float]]:
    """Axis limits that all panels of one unit share.

    Args:
        groups: rows by target.
        measured: the report's measured values by name.
        room: shares of the drawn decades to leave free on the left and on the right.
    """
    found: dict[str, list[float]] = {}
    for target, rows in groups:
        value = measured.get(target)
        sign = sign_of(value)
        values = [end for row in rows if row["status"] not in WITHOUT_NUMBER for end in ends(row, sign)]
        if value is not None:
            values += [sign * value["value"], sign * interval(value)[1 if sign > 0 else 0]]
        found.setdefault(UNITS[target], []).extend(end for end in values if 0 < end < math.inf)
    result = {}
    for unit, positive in found.items():
        low, high = (min(max(end, _LEAST), _MOST) for end in ((min(positive), max(positive)) if positive else (1e-3, 1.0)))
        low = min(low, high / 10)
        decades = math.log10(high / low)
        result[unit] = low / 10 ** (room[0] * decades), high * 10 ** (room[1] * decades)
    return result


def short(value: float) -> str:
    """Three digits, and no zeros in the exponent."""
    return re.sub(r"e([+-])0*", lambda match: "e" + match[1].replace("+", ""), f"{value:.3g}")
