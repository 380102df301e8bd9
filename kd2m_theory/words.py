"""Numbers and foreign text in words: how tables, pages and messages print them."""

import math
import re
from collections.abc import Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal


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


def between(lower: float | None, upper: float | None, scale: float = 1.0, digits: int = 2) -> str:
    """An interval for a difference: signed ends, rounded outward, so that the words hold where the numbers do, to 1e-9.

    Args:
        lower: lower end; None or infinite where there is none.
        upper: upper end, likewise.
        scale: of what is printed: 100 for percentage points.
        digits: significant digits of each end.

    Example:
        >>> between(0.01255, 0.0633, 100), between(None, 0.1234), between(-0.5, 0.0)
        ('+1.2 to +6.4', 'unlimited to +0.13', '−0.5 to 0')
    """
    ends = outward(-math.inf if lower is None else lower, math.inf if upper is None else upper, scale, digits)
    return " to ".join(signed(end, digits + 1) if math.isfinite(end) else "unlimited" for end in ends)


# Differences below this are rounding.
_NOTHING = Decimal("1e-9")


def outward(lower: float, upper: float, scale: float, digits: int) -> tuple[float, float]:
    """Both ends times the scale, the lower rounded down and the upper up to so many digits; 0 where an end is rounding alone.

    Example:
        >>> outward(0.01255, 0.06103, 100, 3), outward(-0.07, 0.1, 100, 2), outward(-math.inf, 1e-12, 1, 3)
        ((1.25, 6.11), (-7.0, 10.0), (-inf, 0.0))
    """
    return _rounded(lower, scale, digits, ROUND_FLOOR), _rounded(upper, scale, digits, ROUND_CEILING)


def _rounded(end: float, scale: float, digits: int, rounding: str) -> float:
    if not math.isfinite(end):
        return end
    exact = Decimal(end) * Decimal(scale)
    if abs(exact) < _NOTHING:
        return 0.0
    step = Decimal(1).scaleb(exact.adjusted() - digits + 1)
    inward = exact + _NOTHING if rounding == ROUND_FLOOR else exact - _NOTHING  # 0.1 is a little more than a tenth
    return float((inward / step).to_integral_value(rounding) * step)


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
