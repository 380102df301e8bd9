"""Whether the measured values of a stored audit fit each other, its rows, its level and what it says about clipping."""

import math
from collections.abc import Iterator, Mapping, Sequence

from kd2m_theory.bounds import BoundResult
from kd2m_theory.bounds.clipping import Clipping
from kd2m_theory.errors import InputError
from kd2m_theory.estimators import Confidence

# Values that are computed in two ways agree up to this, relative to the terms that they are made of.
ROUNDED = 1e-9

Measured = Mapping[str, Confidence]

# Value = first − second, each measured by itself. Not gap_shared_head: its teacher is replayed from features, and
# risk_teacher is that of the logits as the network put them out, in single precision or coarser.
_DIFFERENCES = {
    "gap": ("risk_student", "risk_teacher"),
    "head_mismatch": ("risk_student", "risk_student_shared_head"),
    "error_gap": ("accuracy_teacher", "accuracy_student"),
}
_SHARES = ("accuracy_teacher", "accuracy_student", "error_gap", "disagreement")


def check_measured(measured: Measured, rows: Sequence[BoundResult], delta: float, groups: int | None) -> None:
    """Refuse measured values that contradict each other, the rows about them, or the level that everything has together.

    Args:
        measured: values by name.
        rows: the ladder.
        delta: failure probability of everything together.
        groups: groups over which measured values are means, and rows about the sample are not; None without groups.

    Raises:
        InputError: naming the first value and what it contradicts.
    """
    for name, value in measured.items():
        _check_one(f"measured.{name}", value, name in _SHARES, delta)
    for name, (first, second) in _DIFFERENCES.items():
        if name in measured:
            for part in (first, second):
                if part not in measured:
                    raise InputError(f"measured.{part} is missing, and measured.{name} is there")
            one, other = measured[first].value, measured[second].value
            if not close(measured[name].value, one - other, abs(one) + abs(other)):
                raise InputError(f"measured.{name} is {measured[name].value:g}, but {first} − {second} is {one - other:g}")
    if "error_gap" in measured and "disagreement" in measured:
        gap, apart = measured["error_gap"].value, measured["disagreement"].value
        if abs(gap) > apart + ROUNDED:
            raise InputError(f"measured.error_gap is {gap:g}, and networks that disagree on {apart:g} cannot differ by more")
    for row in rows if groups is None else ():
        _check_row(row, measured)


def check_clipping(clipping: Clipping, measured: Measured, bound: float) -> None:
    """Refuse a record of clipped losses that contradicts itself, the bound that was set, or the losses as they were measured.

    Raises:
        InputError: naming the field.
    """
    if not close(clipping.bound, bound, bound):
        raise InputError(f"clipping.bound is {clipping.bound:g}, but the audit clips at {bound:g}")
    for whose, share, risk in (
        ("student", clipping.share_student, clipping.risk_student),
        ("teacher", clipping.share_teacher, clipping.risk_teacher),
    ):
        whole = measured.get(f"risk_{whose}")
        if (share is None, risk is None) != (whole is None, whole is None):
            raise InputError(f"clipping of the {whose}'s losses and measured.risk_{whose} are not both there or both missing")
        if share is None or risk is None or whole is None:
            continue
        if share > 0 and clipping.share_any_class is not None and share > clipping.share_any_class + ROUNDED:
            raise InputError(f"clipping.share_{whose} exceeds clipping.share_any_class")
        same = close(risk, whole.value, risk)
        if not (same or (share > 0 and risk <= whole.value)) or risk < share * clipping.bound * (1 - ROUNDED):
            raise InputError(
                f"clipping.risk_{whose} is {risk:g}, which a mean loss of {whole.value:g} with a share of {share:g} above "
                f"{clipping.bound:g} cannot have"
            )


def _check_one(place: str, value: Confidence, is_share: bool, delta: float) -> None:
    unit = "probability" if is_share else "nats"
    if value.unit != unit:
        raise InputError(f"{place}.unit is {value.unit}, not {unit}")
    if not value.lower <= value.value <= value.upper:
        raise InputError(f"{place}.value is {value.value:g}, outside its interval [{value.lower:g}, {value.upper:g}]")
    if value.level < 1 - delta - ROUNDED:
        raise InputError(f"{place}.level is {value.level:g}, and everything together is at {1 - delta:g}")
    if is_share and not -1 <= value.value <= 1:
        raise InputError(f"{place}.value is {value.value:g}, which no probability or difference of two is")
    if value.guaranteed and not is_share:
        raise InputError(f"{place}.guaranteed is true, and no interval for a mean of unbounded losses is guaranteed")


def _targets(measured: Measured) -> Iterator[tuple[str, float | None]]:
    """Targets of rows about the sample that are measured values, or follow from one."""
    for name in ("gap", "gap_shared_head", "error_gap"):
        yield name, measured[name].value if name in measured else None
    yield "error_student", 1 - measured["accuracy_student"].value if "accuracy_student" in measured else None


def _check_row(row: BoundResult, measured: Measured) -> None:
    expected = dict(_targets(measured))
    if not row.applicable or row.target not in expected:
        return
    value = expected[row.target]
    if (row.measured is None) != (value is None):
        there, missing = ("row", "measured") if value is None else ("measured", "row")
        raise InputError(f"the {row.target} of row {row.name} is in {there}, and missing in {missing}")
    if row.measured is not None and value is not None:
        size = 1 + abs(value)
        if abs(row.measured - value) > row.rounding + ROUNDED * size:
            raise InputError(f"the measured value of row {row.name} is {row.measured:g}, but the {row.target} is {value:g}")


def close(one: float, other: float, size: float) -> bool:
    """Whether two numbers are one, up to the rounding of terms of that size."""
    return math.isclose(one, other, rel_tol=ROUNDED, abs_tol=1e-12 + ROUNDED * size)
