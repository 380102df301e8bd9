"""What readers of stored JSON share: its tables, each value checked before it is used, and records that several files have."""

import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, get_args

from kd2m_theory.errors import InputError
from kd2m_theory.estimators import Confidence
from kd2m_theory.estimators.enclosure import PopulationUnit
from kd2m_theory.plausibility import KINDS, Finding


class JsonTable:
    """A JSON object at its place in the file; each method returns one of its values or refuses it.

    Attributes:
        found: the object.
        place: its place, such as "rows[3]"; empty for the whole file.

    Raises:
        InputError: by every method, where the value is missing or not of its kind; one line that names its place.
    """

    def __init__(self, found: Any, place: str) -> None:
        if not isinstance(found, dict):
            raise InputError(f"{place} is {short(found)}, not a table")
        self.found, self.place = found, place

    def at(self, key: str) -> str:
        """The place of a key."""
        return f"{self.place}.{key}" if self.place else key

    def get(self, key: str) -> Any:
        """A value of any kind."""
        if key not in self.found:
            raise InputError(f"{self.at(key)} is missing")
        return self.found[key]

    def refuse(self, key: str, what: str) -> InputError:
        """What to raise about a value that is not of its kind."""
        return InputError(f"{self.at(key)} is {short(self.found[key])}, not {what}")

    def text(self, key: str) -> str:
        """A value that is text."""
        if not isinstance(value := self.get(key), str):
            raise self.refuse(key, "text")
        return value

    def choice(self, key: str, known: Sequence[str]) -> Any:
        """Text that is one of those that are known."""
        if (value := self.text(key)) not in known:
            raise self.refuse(key, f"one of {', '.join(known)}")
        return value

    def truth(self, key: str) -> bool:
        """true or false."""
        if not isinstance(value := self.get(key), bool):
            raise self.refuse(key, "true or false")
        return value

    def whole(self, key: str, least: int) -> int:
        """A whole number that is not below the least."""
        value = self.get(key)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value < 2**63:
            raise self.refuse(key, f"a whole number ≥ {least}")
        return value

    def number(self, key: str, allowed: Callable[[float], bool] = math.isfinite, what: str = "a finite number") -> float:
        """A finite number that is allowed; `what` says which are."""
        value = self.get(key)
        number = not isinstance(value, bool) and isinstance(value, int | float) and abs(value) <= sys.float_info.max
        if not (number and allowed(value)):
            raise self.refuse(key, what)
        return float(value)

    def size(self, key: str) -> float:
        """A finite number that is not negative."""
        return self.number(key, lambda value: value >= 0, "a finite number ≥ 0")

    def probability(self, key: str) -> float:
        """A number in (0, 1]."""
        return self.number(key, lambda value: 0 < value <= 1, "a number in (0, 1]")

    def number_or(self, key: str, missing: float) -> float:
        """A finite number, or what null stands for."""
        return missing if self.get(key) is None else self.number(key)

    def number_or_none(self, key: str, most: float) -> float | None:
        """A number from 0 to the most, or None for null."""
        if self.get(key) is None:
            return None
        return self.number(key, lambda value: 0 <= value <= most, f"a number from 0 to {most:g}, or null")

    def null(self, key: str) -> None:
        """Refuse a value that is not null."""
        if self.get(key) is not None:
            raise self.refuse(key, "null, as the row has no number")

    def table(self, key: str) -> "JsonTable":
        """A table in this table."""
        return JsonTable(self.get(key), self.at(key))

    def tables(self, key: str) -> list["JsonTable"]:
        """A list of tables."""
        if not isinstance(value := self.get(key), list):
            raise self.refuse(key, "a list")
        return [JsonTable(each, f"{self.at(key)}[{k}]") for k, each in enumerate(value)]

    def named(self, known: Mapping[str, Any] | None = None) -> Iterator[tuple[str, "JsonTable"]]:
        """Every key with its table; a key that is not known is refused, if any are."""
        for key, value in self.found.items():
            if known is not None and key not in known:
                raise InputError(f"{self.at(short(key))} is unknown")
            yield key, JsonTable(value, self.at(key))

    def words(self) -> dict[str, str]:
        """A table of texts."""
        return {key: self.text(key) for key in self.found}


def differences(found: Any, expected: Any, place: str) -> Iterator[str]:
    """Sentences, one for each value of JSON that differs from what is expected, or is missing or unknown.

    Args:
        found: as it was read.
        expected: as it follows from the rest.
        place: where both stand; empty for a whole file.
    """
    if isinstance(found, dict) and isinstance(expected, dict):
        for key in [*expected, *(key for key in found if key not in expected)]:
            here = f"{place}.{key}" if place else str(key)
            if key not in expected:
                yield f"{short(here)} is unknown"
            elif key not in found:
                yield f"{here} is missing"
            else:
                yield from differences(found[key], expected[key], here)
    elif isinstance(found, list) and isinstance(expected, list) and len(found) == len(expected):
        for k, (one, other) in enumerate(zip(found, expected, strict=True)):
            yield from differences(one, other, f"{place}[{k}]")
    elif found != expected or isinstance(found, bool) != isinstance(expected, bool):
        yield f"{place} is {short(found)}, but {short(expected)} follows from the rest"


def short(value: Any) -> str:
    """A value as JSON, on one line of at most 60 characters."""
    words = " ".join(json.dumps(value, ensure_ascii=False)[:200].split())
    return words if len(words) <= 60 else f"{words[:57]}…"


def confidence_of(table: JsonTable) -> Confidence:
    """An interval for a value of the population; sides that are null are infinite.

    Raises:
        InputError: a field is missing, of the wrong type or out of range.
    """
    return Confidence(
        value=table.number("value"),
        lower=table.number_or("lower", -math.inf),
        upper=table.number_or("upper", math.inf),
        level=table.probability("level"),
        unit=table.choice("unit", get_args(PopulationUnit)),
        method=table.text("method"),
        guaranteed=table.truth("guaranteed"),
        assumptions=table.text("assumptions"),
        # The first release did not store them.
        least=table.number("least") if table.found.get("least") is not None else None,
        most=table.number("most") if table.found.get("most") is not None else None,
    )


def finding_of(table: JsonTable) -> Finding:
    """A question about an input; its sentence is compared later, as all derived values are.

    Raises:
        InputError: an unknown question, or numbers that do not belong to it.
    """
    key, numbers = table.choice("key", tuple(KINDS)), table.table("numbers")
    table.text("sentence")
    names, _ = KINDS[key]
    if set(numbers.found) != set(names):
        raise InputError(f"{numbers.place} has {short(sorted(numbers.found))}, not {', '.join(names)}")
    return Finding(
        key, {name: numbers.number(name, lambda value: -1 <= value < 2**53, "a share or a number of rows") for name in names}
    )
