"""One form for a number: the names that every distance of this package answers to, and how it is printed."""

import dataclasses
import math
from collections.abc import Iterator, Mapping
from html import escape
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from kd2m_theory.errors import InputError
from kd2m_theory.words import enclosing, number

Status = Literal["optimal", "capped", "open", "guaranteed", "asymptotic", "estimate", "infinite", "vacuous"]

# What each status says about `lower` and `upper`.
MEANING: Mapping[Status, str] = {
    "optimal": "the two ends agree to nine digits",
    "capped": "a solver stopped at its iteration cap, so the ends are further apart",
    "open": "certified, but rounding or a local minimum keeps the ends apart",
    "guaranteed": "covers the population's value with this probability at every n",
    "asymptotic": "covers the population's value with about this probability as n grows",
    "estimate": "a computed value without an interval",
    "infinite": "the value is infinite, as computed; there is no interval",
    "vacuous": "the interval excludes nothing that was possible without the sample",
}
# Types of the fields that hold a number.
_FLOATS = (float, float | None)
_WITHOUT_INTERVAL = ("estimate", "infinite")
# More digits than this are not certain in any enclosure that is called optimal.
_MOST_DIGITS = 10


class Number:
    """A computed number that says what it measures and what is certain about it: the base of every result of an estimator.

    `float(number)` is `value`, and `f"{number:.3f}"` formats it. Numbers have no order, because intervals may overlap:
    compare `lower`, `upper` or `float(number)`. A sum is defined only where it is sound, between two enclosures of one unit.

    Attributes:
        value: the number itself, a float: an enclosure's upper end, an interval's point estimate.
        lower: lower end of what is certain; 0 where nothing is.
        upper: upper end of what is certain; ∞ where nothing is.
        unit: "distance", "squared distance", "nats", "squared nats" or "probability".
        status: what kind of certainty `lower` and `upper` have, a key of `MEANING`.

    Example:
        >>> from kd2m_theory.estimators import Number, wasserstein
        >>> distance = wasserstein([[0.0], [2.0]], [[1.0], [4.0]])
        >>> distance
        Enclosure(1.5, distance, optimal)
        >>> isinstance(distance, Number), round(float(distance), 12), f"{distance:.2f}"
        (True, 1.5, '1.50')
    """

    __slots__ = ()

    if TYPE_CHECKING:  # at run time a dataclass would take a property of its base for the default of its field

        @property
        def value(self) -> float:
            """The number itself."""

        @property
        def lower(self) -> float:
            """Lower end of what is certain."""

        @property
        def upper(self) -> float:
            """Upper end of what is certain."""

        @property
        def unit(self) -> str:
            """What it is measured in."""

        @property
        def status(self) -> Status:
            """What kind of certainty the ends have."""

    def __post_init__(self) -> None:
        """Numbers of NumPy become plain floats, and NaN is refused: it would be a number that says nothing."""
        record: Any = self
        for field in dataclasses.fields(record):
            if field.type in _FLOATS and (number := getattr(self, field.name)) is not None:
                if math.isnan(number):
                    raise ValueError(f"{field.name} is NaN: this {type(self).__name__} was computed wrongly")
                object.__setattr__(self, field.name, float(number))

    def __float__(self) -> float:
        return float(self.value)

    def __format__(self, spec: str) -> str:
        return format(self.value, spec) if spec else str(self)

    def __lt__(self, other: object) -> NoReturn:
        raise TypeError(
            f"numbers such as {type(self).__name__} have no order, because intervals may overlap; compare .lower, .upper or "
            "float(…) instead"
        )

    __le__ = __gt__ = __ge__ = __lt__

    def __add__(self, other: "Number") -> "Number":
        """Refuse a sum whose meaning is not known.

        Raises:
            InputError: always, with what to do instead.
        """
        if not isinstance(other, Number):
            return NotImplemented
        if self.unit != other.unit:
            raise InputError(f"cannot add a {self.unit} to a {other.unit}; take the root or the square of one first")
        raise InputError(
            f"cannot add {type(self).__name__} and {type(other).__name__}: only two enclosures of the sample have a sum. An "
            "interval of the population spends a failure probability: compute each at δ/2, then add the ends"
        )

    def __str__(self) -> str:
        return ", ".join(self._words())

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(self._words())})"

    def _repr_html_(self) -> str:
        """A small table for notebooks; everything in it is escaped."""
        lower, upper = enclosing(self.lower, self.upper, _MOST_DIGITS)
        cells = {
            "value": number(self.value, _MOST_DIGITS),
            "lower": lower,
            "upper": upper,
            "unit": self.unit,
            "status": f"{self._standing()}: {MEANING[self.status]}",
        }
        rows = "".join(
            f"<tr><th>{escape(name)}</th><td>{escape(words)}</td></tr>" for name, words in (*cells.items(), *self._facts(cells))
        )
        return f"<table><caption>{escape(type(self).__name__)}</caption>{rows}</table>"

    def _words(self) -> Iterator[str]:
        """Value with its ends, unit, status and notes: what one line says. Ends are rounded outward, the value to nearest."""
        for digits in range(4, _MOST_DIGITS + 1):
            value, lower, upper = (number(end, digits) for end in (self.value, self.lower, self.upper))
            if lower != upper:
                break
        if self.status in _WITHOUT_INTERVAL or value == lower == upper:
            yield value
        else:
            yield "{} in [{}, {}]".format(value, *enclosing(self.lower, self.upper, digits))
        yield self.unit
        yield self._standing()
        yield from self._notes()

    def _standing(self) -> str:
        """The status, with its level where there is one."""
        return self.status

    def _notes(self) -> tuple[str, ...]:
        """What else one line says."""
        return ()

    def _facts(self, shown: Mapping[str, str]) -> Iterator[tuple[str, str]]:
        """The other fields, but for numbers within this one and for tables."""
        record: Any = self
        for field in dataclasses.fields(record):
            fact = getattr(self, field.name)
            if field.name in shown or fact is None or fact == "" or isinstance(fact, Number | Mapping):
                continue
            yield field.name, number(fact) if isinstance(fact, float) else str(fact)


class Uncertified(Number):
    """A number with no interval: `lower` is 0 and `upper` ∞, which is true of every distance, square and divergence."""

    __slots__ = ()

    @property
    def lower(self) -> float:
        """0: nothing more is certified."""
        return 0.0

    @property
    def upper(self) -> float:
        """∞: nothing more is certified."""
        return math.inf

    @property
    def status(self) -> Literal["estimate", "infinite"]:
        """ "estimate", or "infinite" for an infinite value."""
        return "infinite" if math.isinf(self.value) else "estimate"


@dataclasses.dataclass(frozen=True, slots=True, repr=False)
class Estimate(Uncertified):
    """A number that was computed in float64 and has no interval: neither solver nor rounding errors are bounded.

    Attributes:
        value: the number, ≥ 0.
        unit: as `Number`.
        method: how it was computed.

    Example:
        >>> Estimate(value=2.0, unit="distance", method="by hand")
        Estimate(2, distance, estimate)
    """

    value: float
    unit: str
    method: str
