"""Numbers and foreign text in words: how tables, pages and messages print them."""

import math
import re
from collections.abc import Sequence


def number(value: float | None, digits: int = 4) -> str:
    """A number for people: significant digits, a true minus sign, a dash for what is not there.

    Example:
        >>> number(-0.0123456), number(None), number(float("inf"))
        ('−0.01235', '–', '∞')
    """
    if value is None or math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    return f"{value + 0.0:.{digits}g}".replace("-", "−")  # + 0.0 turns −0 into 0


# Controls, halves of surrogate pairs, noncharacters, and what reorders the text around it.
_HARMFUL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff\u202a-\u202e\u2066-\u2069]"
)


def harmless(words: str) -> str:
    """Words of a file, a path or somebody else's code, with U+FFFD for what a terminal obeys or no page may contain.

    Example:
        >>> print(harmless("\\x1b[31mred\\x1b[0m"))
        \ufffd[31mred\ufffd[0m
    """
    return _HARMFUL.sub("\ufffd", words)


def listed(words: Sequence[str]) -> str:
    """Words as a list in a sentence.

    Example:
        >>> listed(["a"]), listed(["a", "b"]), listed(["a", "b", "c"])
        ('a', 'a and b', 'a, b and c')
    """
    return " and ".join([", ".join(words[:-1]), *words[-1:]]) if len(words) > 1 else "".join(words)


def percent(share: float) -> str:
    """A share as a percentage.

    Example:
        >>> percent(0.95)
        '95 %'
    """
    words = f"{100 * share:.6g}"
    if share < 1 and float(words) >= 100:
        return f"more than {100 * (1 - 1e-6):.6g} %"  # nothing short of certain is printed as certain
    return f"{words} %"
