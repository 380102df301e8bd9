"""Numbers and foreign text in words: how tables, pages and messages print them."""

import math
import re
from decimal import ROUND_CEILING, Decimal


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


def signed(value: float | None, digits: int = 3) -> str:
    """A difference for people: `number` with its sign.

    Example:
        >>> signed(0.0123456), signed(-2.0), signed(0.0)
        ('+0.0123', '−2', '0')
    """
    words = number(value, digits)
    return f"+{words}" if value is not None and value > 0 and words not in ("0", "–") else words


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


def confidence(level: float) -> str:
    """A confidence level as a percentage: its complement has two digits and is rounded up, so that no more is claimed.

    Example:
        >>> confidence(0.95), confidence(1 - 0.05 / 19), confidence(1 - 1e-7)
        ('95 %', '99.73 %', '99.99999 %')
    """
    rest = Decimal(1) - Decimal(repr(level))
    if not 0 < rest < 1:
        return percent(level)
    step = Decimal(10) ** (rest.adjusted() - 1)
    return f"{(100 * (1 - (rest / step).to_integral_value(ROUND_CEILING) * step)).normalize():f} %"
