"""Checks of single arguments: each returns its value or raises an `InputError` that names it."""

import math
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from numbers import Integral, Real

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


def whole(value: int, name: str, low: int, high: int = 2**63 - 1) -> int:
    """`value`, if it is a whole number from `low` to `high`.

    Raises:
        InputError: it is not; a bool is none.
    """
    if not isinstance(value, Integral) or isinstance(value, bool) or not low <= value <= high:
        raise InputError(
            f"{name} is {value!r}; give a whole number {f'from {low} to {high}' if high < 2**63 - 1 else f'≥ {low}'}"
        )
    return int(value)


def at_least_zero(value: float, name: str) -> float:
    """`value`, if it is a finite number ≥ 0.

    Raises:
        InputError: negative, NaN, infinite or not a number.
    """
    if not _is_number(value) or not 0 <= value < math.inf:
        raise InputError(f"{name} is {value!r}; choose a finite number ≥ 0")
    return float(value)


def above_zero(value: float, name: str) -> float:
    """`value`, if it is a finite number > 0.

    Raises:
        InputError: zero, negative, NaN, infinite or not a number.
    """
    if not _is_number(value) or not 0 < value < math.inf:
        raise InputError(f"{name} is {value!r}; choose a finite number > 0")
    return float(value)


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _plain(name: str) -> str:
    return name.lower().replace("_", "-")
