"""What a bound is a sum of, and which of its terms is the largest."""

from collections.abc import Mapping
from dataclasses import dataclass

from kd2m_theory.bounds import BoundResult

# Names of details that are summands of their row, up to a common factor.
_SUMMANDS = ("R̂_T", "anchor", "D̂", "MMD", "W", "W₁", "r(δ)", "L·W₁", "λ±", "E KL(p_T‖p_S)", "labels are not the teacher's")
_RAMP = "E r_ρ(m_T)"


@dataclass(frozen=True)
class Dominant:
    """The largest term of a bound.

    Attributes:
        term: its name, as the row's details have it.
        share: its part of the sum of the terms' absolute values, in (0, 1].
    """

    term: str
    share: float


def dominant(row: BoundResult) -> Dominant | None:
    """The largest term of a row; None where the row has fewer than two, or all are zero."""
    sizes = {name: abs(value) for name, value in _terms(row).items()}
    total = sum(sizes.values())
    if len(sizes) < 2 or not 0 < total < float("inf"):
        return None
    largest = max(sizes, key=sizes.__getitem__)
    return Dominant(largest, sizes[largest] / total)


def _terms(row: BoundResult) -> Mapping[str, float]:
    if _RAMP in row.details and "distance" in row.distances:
        return {_RAMP: row.details[_RAMP], "transport": row.distances["distance"].upper}
    return {name: row.details[name] for name in _SUMMANDS if name in row.details}
