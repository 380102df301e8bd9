"""Values that carry their meaning: what kind of number, in which unit, certain in which direction."""

import math
import sys
from dataclasses import dataclass, replace
from typing import Literal

from kd2m_theory.errors import InputError

Unit = Literal["distance", "squared distance", "nats", "squared nats"]
PopulationUnit = Literal["nats", "probability", "distance", "squared distance"]
Status = Literal["optimal", "capped", "open"]

# The two sides count as one number up to this relative gap.
CLOSED = 1e-9

_SQUARE_OF: dict[str, Unit] = {"distance": "squared distance", "nats": "squared nats"}
_ROOT_OF: dict[str, Unit] = {"squared distance": "distance", "squared nats": "nats"}


def round_down(value: float) -> float:
    """The next float64 below: outward rounding of a lower bound after one operation."""
    return math.nextafter(value, -math.inf)


def round_up(value: float) -> float:
    """The next float64 above: outward rounding of an upper bound after one operation."""
    return math.nextafter(value, math.inf)


@dataclass(frozen=True, slots=True)
class Enclosure:
    """A certified interval about a number that is a function of the *sample*: lower ≤ true value ≤ upper.

    Nothing is random here: the interval covers what the solver and float64 rounding may have got wrong, and no more.
    What the sample says about the population is a `Confidence`.

    Attributes:
        lower: certified lower bound (−inf where there is none).
        upper: certified upper bound (+inf where there is none).
        unit: "distance", "squared distance", "nats" (a change of cross-entropy), or "squared nats".
        method: how the interval was obtained.
        capped: whether a solver stopped at its iteration cap on the way.

    Example:
        >>> side = Enclosure(3.0, 3.0, "distance", "by hand")
        >>> print(side + side.scaled(2.0), side.squared().unit)
        [9, 9] distance (optimal) squared distance
        >>> try:
        ...     side + side.squared()
        ... except InputError as error:
        ...     print(error)
        cannot add a distance to a squared distance; take the root or the square of one first
    """

    lower: float
    upper: float
    unit: Unit
    method: str
    capped: bool = False

    def __post_init__(self) -> None:
        if not self.lower <= self.upper:
            raise ValueError(f"lower {self.lower!r} exceeds upper {self.upper!r}: this enclosure was computed wrongly")

    @property
    def value(self) -> float:
        """The upper end: the cost of a plan that exists."""
        return self.upper

    @property
    def gap(self) -> float:
        """Width of the interval, in the value's unit."""
        return self.upper - self.lower

    @property
    def relative_gap(self) -> float:
        """Width divided by the larger end in absolute value; 0 for the interval [0, 0]."""
        size = max(abs(self.lower), abs(self.upper))
        return self.gap / size if size > 0 else 0.0

    @property
    def status(self) -> Status:
        """Whether the two sides meet to nine digits ("optimal"), and if not, why.

        "capped": a solver ran into its iteration cap; "open": another reason, such as rounding at a value near zero.
        """
        if self.relative_gap <= CLOSED:
            return "optimal"
        return "capped" if self.capped else "open"

    @property
    def direction(self) -> Literal["two-sided", "upper", "lower"]:
        """Which sides say something: an infinite side says nothing."""
        if math.isinf(self.lower):
            return "upper"
        return "lower" if math.isinf(self.upper) else "two-sided"

    def __add__(self, other: "Enclosure") -> "Enclosure":
        """Sum of two enclosed numbers of the same unit.

        Raises:
            InputError: the units differ, or one is only an upper and the other only a lower bound.
        """
        if not isinstance(other, Enclosure):
            return NotImplemented
        if self.unit != other.unit:
            raise InputError(f"cannot add a {self.unit} to a {other.unit}; take the root or the square of one first")
        if {self.direction, other.direction} == {"upper", "lower"}:
            raise InputError("cannot add an upper bound to a lower bound: the sum would be bounded on neither side")
        return Enclosure(
            round_down(self.lower + other.lower) if self.lower or other.lower else 0.0,
            round_up(self.upper + other.upper) if self.upper or other.upper else 0.0,
            self.unit,
            self.method if self.method == other.method else f"{self.method} + {other.method}",
            self.capped or other.capped,
        )

    def scaled(self, factor: float, unit: Unit | None = None) -> "Enclosure":
        """Multiplied by a non-negative constant; `unit` renames the result (a Lipschitz constant turns distance to nats).

        Raises:
            InputError: the factor is negative or not finite.
        """
        if not (factor >= 0 and math.isfinite(factor)):
            raise InputError(f"an enclosure can be scaled by a finite number ≥ 0, not by {factor!r}")
        return replace(
            self,
            lower=round_down(self.lower * factor) if self.lower and factor else 0.0,
            upper=round_up(self.upper * factor) if self.upper and factor else 0.0,
            unit=unit or self.unit,
        )

    def squared(self) -> "Enclosure":
        """The square of a distance.

        Raises:
            InputError: the value is a square already, or may be negative.
        """
        if self.unit not in _SQUARE_OF or self.lower < 0:
            raise InputError(f"only a non-negative distance can be squared, not a {self.unit} in {self}")
        return replace(
            self,
            lower=max(0.0, round_down(min(self.lower * self.lower, sys.float_info.max))),
            upper=round_up(self.upper * self.upper) if self.upper else 0.0,
            unit=_SQUARE_OF[self.unit],
        )

    def root(self) -> "Enclosure":
        """The distance whose square this is.

        Raises:
            InputError: the value is not a square, or may be negative.
        """
        if self.unit not in _ROOT_OF or self.lower < 0:
            raise InputError(f"only a non-negative square has a root, not a {self.unit} in {self}")
        return replace(
            self,
            lower=max(0.0, round_down(math.sqrt(self.lower))),
            upper=round_up(math.sqrt(self.upper)) if self.upper else 0.0,
            unit=_ROOT_OF[self.unit],
        )

    def __str__(self) -> str:
        return f"[{self.lower:.10g}, {self.upper:.10g}] {self.unit} ({self.status})"


@dataclass(frozen=True, slots=True)
class Confidence:
    """An interval that covers a number of the *population* with probability at least (or about) `level`.

    Attributes:
        value: the point estimate from the sample.
        lower: lower end.
        upper: upper end.
        level: nominal coverage 1 − δ of this interval alone.
        unit: "nats", "probability", "distance" or "squared distance".
        method: the interval's name.
        guaranteed: whether the coverage holds at every n (False: only as n grows).
        assumptions: what the coverage rests on.

    Example:
        >>> print(Confidence(0.1, 0.05, 0.2, 0.95, "probability", "Clopper–Pearson", True, "independent samples"))
        0.1 [0.05, 0.2]
    """

    value: float
    lower: float
    upper: float
    level: float
    unit: PopulationUnit
    method: str
    guaranteed: bool
    assumptions: str

    def __str__(self) -> str:
        return f"{self.value:.4g} [{self.lower:.4g}, {self.upper:.4g}]"
