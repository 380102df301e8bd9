"""Checks of single arguments: each returns its value or raises an `InputError` that names it."""

import math
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from numbers import Real
from operator import index
from typing import SupportsIndex

from kd2m_theory.errors import InputError


def did_you_mean(word: object, known: Iterable[str]) -> str:
    """ "did you mean 'x'? " with the known name nearest to `word`; empty if none is near.

    Example:
        >>> did_you_mean("digist", ["digits", "glyphs"])
        "did you mean 'digits'? "
    """
    plain = {_plain(name): name for name in known}
    near = get_close_matches(_plain(str(word)), plain, n=1, cutoff=0.5)
    return f"did you mean {plain[near[0]]!r}? " if near else ""


def one_of(value: str, allowed: Sequence[str], name: str) -> str:
    """`value`, if it is one of the allowed words.

    Raises:
        InputError: naming the words that are.
    """
    if value not in allowed:
        raise InputError(f"{name} is {value!r}; choose one of {', '.join(map(repr, allowed))}")
    return value


def whole(value: object, name: str, low: int, high: int = 2**63 - 1) -> int:
    """`value`, if it is a whole number from `low` to `high`.

    Raises:
        InputError: it is not; a bool is none.
    """
    if isinstance(value, SupportsIndex) and not isinstance(value, bool) and low <= (number := index(value)) <= high:
        return number
    raise InputError(f"{name} is {value!r}; give a whole number {f'from {low} to {high}' if high < 2**63 - 1 else f'≥ {low}'}")


def at_least_zero(value: object, name: str) -> float:
    """`value`, if it is a finite number ≥ 0.

    Raises:
        InputError: negative, NaN, infinite or not a number.
    """
    if 0 <= (number := real_number(value)) < math.inf:
        return number
    raise InputError(f"{name} is {value!r}; choose a finite number ≥ 0")


def above_zero(value: object, name: str) -> float:
    """`value`, if it is a finite number > 0.

    Raises:
        InputError: zero, negative, NaN, infinite or not a number.
    """
    if 0 < (number := real_number(value)) < math.inf:
        return number
    raise InputError(f"{name} is {value!r}; choose a finite number > 0")


def real_number(value: object) -> float:
    """A real number as a float, infinite beyond float64; NaN for anything else, a bool too."""
    try:
        return math.nan if isinstance(value, bool) or not isinstance(value, Real) else float(value)
    except OverflowError:  # a whole number of hundreds of digits
        return math.inf if value > 0 else -math.inf  # type: ignore[operator]


def _plain(name: str) -> str:
    return name.lower().replace("_", "-")
