"""Values that carry their meaning: what kind of number, in which unit, certain in which direction."""

import math
import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from kd2m_theory.errors import InputError
from kd2m_theory.estimators.number import Number
from kd2m_theory.estimators.scale import round_down, round_up, shifted_down, shifted_up
from kd2m_theory.words import percent

Unit = Literal["distance", "squared distance", "nats", "squared nats"]
PopulationUnit = Literal["nats", "probability", "distance", "squared distance"]

# The two sides count as one number up to this relative gap.
CLOSED = 1e-9
# Ends of a weighted mean of intervals reach the ends of what is possible only up to rounding, relative to its width.
_ROUNDED = 1e-12

_SQUARE_OF: dict[str, Unit] = {"distance": "squared distance", "nats": "squared nats"}
_ROOT_OF: dict[str, Unit] = {"squared distance": "distance", "squared nats": "nats"}


@dataclass(frozen=True, slots=True, repr=False)
class Enclosure(Number):
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
        >>> side + side.scaled(2.0), side.squared()
        (Enclosure(9, distance, optimal), Enclosure(9, squared distance, optimal))
        >>> Enclosure(0.4321, 0.4408, "nats", "by hand", capped=True)
        Enclosure(0.4408 in [0.4321, 0.4408], nats, capped)
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
        Number.__post_init__(self)
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
        return math.inf if math.isinf(size) else self.gap / size if size > 0 else 0.0

    @property
    def status(self) -> Literal["optimal", "capped", "open", "vacuous"]:
        """Whether the two sides meet to nine digits ("optimal"), and if not, why.

        "vacuous": neither side says anything; "capped": a solver ran into its iteration cap; "open": another reason, such as
        rounding at a value near zero.
        """
        least = -math.inf if self.unit == "nats" else 0.0  # a change of cross-entropy may be negative
        if self.upper == math.inf and self.lower <= least:
            return "vacuous"
        if self.relative_gap <= CLOSED:
            return "optimal"
        return "capped" if self.capped else "open"

    @property
    def direction(self) -> Literal["two-sided", "upper", "lower", "neither"]:
        """Which sides say something: an infinite side says nothing."""
        if math.isinf(self.lower):
            return "neither" if math.isinf(self.upper) else "upper"
        return "lower" if math.isinf(self.upper) else "two-sided"

    def __add__(self, other: Number) -> "Enclosure":
        """Sum of two enclosed numbers of the same unit.

        Raises:
            InputError: the other is not an enclosure, the units differ, or one is only an upper and the other only a lower
                bound.
        """
        if not isinstance(other, Enclosure) or self.unit != other.unit:
            return Number.__add__(self, other)  # type: ignore[return-value]  # raises, or is NotImplemented
        if {self.direction, other.direction} == {"upper", "lower"}:
            raise InputError("cannot add an upper bound to a lower bound: the sum would be bounded on neither side")
        return Enclosure(
            lower=round_down(self.lower + other.lower) if self.lower or other.lower else 0.0,
            upper=round_up(self.upper + other.upper) if self.upper or other.upper else 0.0,
            unit=self.unit,
            method=self.method if self.method == other.method else f"{self.method} + {other.method}",
            capped=self.capped or other.capped,
        )

    def __radd__(self, other: object) -> "Enclosure":
        """This enclosure, if the other is the number 0 with which `sum` begins."""
        return self if type(other) is int and other == 0 else NotImplemented

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

    def shifted(self, exponent: int) -> "Enclosure":
        """Multiplied by 2^exponent, which is exact unless an end becomes subnormal; then it moves outward.

        Raises:
            InputError: the upper end was finite and leaves float64.
        """
        if not exponent:
            return self
        upper = shifted_up(self.upper, exponent)
        if math.isinf(upper) and math.isfinite(self.upper):
            raise InputError(f"the {self.unit} overflows float64; rescale the features (a common factor scales the distance)")
        return replace(self, lower=shifted_down(self.lower, exponent), upper=upper)

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


@dataclass(frozen=True, slots=True, repr=False)
class Confidence(Number):
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
        least: least value that the number can have, known without the sample; None if there is none.
        most: largest value that the number can have, known without the sample; None if there is none.

    Example:
        >>> Confidence(0.1, 0.05, 0.2, 0.95, "probability", "Clopper–Pearson", True, "independent samples", 0.0, 1.0)
        Confidence(0.1 in [0.05, 0.2], probability, guaranteed at 95 %)
    """

    value: float
    lower: float
    upper: float
    level: float
    unit: PopulationUnit
    method: str
    guaranteed: bool
    assumptions: str
    least: float | None = None
    most: float | None = None

    @property
    def status(self) -> Literal["guaranteed", "asymptotic", "vacuous"]:
        """Whether the coverage is "guaranteed" or "asymptotic"; "vacuous" if nothing from `least` to `most` is excluded."""
        least = -math.inf if self.least is None else self.least
        most = math.inf if self.most is None else self.most
        slack = _ROUNDED * (most - least) if math.isfinite(most - least) else 0.0
        if self.lower <= least + slack and self.upper >= most - slack:
            return "vacuous"
        return "guaranteed" if self.guaranteed else "asymptotic"

    def _standing(self) -> str:
        return f"{self.status} at {percent(self.level)}"


class Estimated(Number):
    """A number of the sample with an `interval`, if one was asked for: `lower`, `upper` and `status` are the interval's."""

    __slots__ = ()

    if TYPE_CHECKING:  # as in `Number`

        @property
        def interval(self) -> Confidence | None:
            """The interval, or None."""

    @property
    def lower(self) -> float:
        """Lower end of the interval; 0 without one."""
        return 0.0 if self.interval is None else self.interval.lower

    @property
    def upper(self) -> float:
        """Upper end of the interval; ∞ without one."""
        return math.inf if self.interval is None else self.interval.upper

    @property
    def status(self) -> Literal["guaranteed", "asymptotic", "vacuous", "estimate", "infinite"]:
        """Status of the interval; "estimate" without one."""
        return ("infinite" if math.isinf(self.value) else "estimate") if self.interval is None else self.interval.status

    @property
    def vacuous(self) -> bool:
        """Whether there is an interval and it excludes nothing that is possible without the sample."""
        return self.status == "vacuous"

    def _standing(self) -> str:
        return self.status if self.interval is None else self.interval._standing()
