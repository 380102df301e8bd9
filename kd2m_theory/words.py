"""Numbers and foreign text in words: how tables, pages and messages print them."""

import math
import re
import sys
from collections.abc import Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Decimal

# So many significant digits tell any two doubles apart.
_ALL_DIGITS = 17
# From here on, numbers with few digits are printed with a power of ten.
_LARGE = 1e5


def number(value: float | None, digits: int = 4) -> str:
    """A number for people: significant digits, a true minus sign, a dash for what is not there. Whole numbers are in full.

    Example:
        >>> number(-0.0123456), number(None), number(float("inf")), number(12_345), number(99.7, 2), number(123_456.0, 3)
        ('−0.01235', '–', '∞', '12,345', '100', '1.23e+05')
    """
    if value is None or math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if isinstance(value, int):
        return f"{value:,}".replace("-", "−")
    words = f"{value + 0.0:.{digits}g}"  # + 0.0 turns −0 into 0
    if "e+" in words and abs(value) < _LARGE:
        words = f"{float(words):.0f}"
    return words.replace("-", "−")


def counted(count: int, noun: str) -> str:
    """A number of things.

    Example:
        >>> counted(1, "row"), counted(1_200, "row")
        ('1 row', '1,200 rows')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


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
    low, high = outward(lower, upper, scale, digits)
    return " to ".join(signed(end, digits + 1) if math.isfinite(end) else "unlimited" for end in (low, high))


def outward(lower: float | None, upper: float | None, scale: float = 1.0, digits: int = 2) -> tuple[float, float]:
    """The ends that `between` prints, as numbers, from the same arguments; infinite where there is none.

    Example:
        >>> outward(0.01255, 0.0633, 100), outward(None, 0.126, 100, 3)
        ((1.2, 6.4), (-inf, 12.6))
    """
    low = -math.inf if lower is None else rounded_down(scale * lower, digits)
    return low, math.inf if upper is None else rounded_up(scale * upper, digits)


def enclosing(lower: float, upper: float, digits: int = 4) -> tuple[str, str]:
    """Both ends of an interval in words, rounded outward: read back as doubles, they contain the interval, however narrow.

    `between` forgives the last bits instead, as tables of a few digits should; here digits may be many and numbers small.

    Example:
        >>> enclosing(0.012345, 0.012345), enclosing(0.05, 0.2), enclosing(-float("inf"), 1.0000000000000002)
        (('0.01234', '0.01235'), ('0.05', '0.2'), ('−∞', '1.001'))
    """
    return _end(lower, digits, ROUND_FLOOR), _end(upper, digits, ROUND_CEILING)


def _end(value: float, digits: int, rounding: str) -> str:
    # Between two doubles near the least normal one there may be no number with so few digits.
    if not math.isfinite(value) or 0 < abs(value) < sys.float_info.min * 10**digits:
        return number(value, _ALL_DIGITS)
    # The shortest number that reads back as the double: 0.2 stands for itself.
    return number(float(_shortened(Decimal(repr(value)), digits, rounding)), digits)


def rounded_up(value: float, digits: int) -> float:
    """A number with so many significant digits that is not below the value, up to rounding of 1e-9.

    Example:
        >>> rounded_up(0.12301, 3), rounded_up(12.6 + 1e-14, 3), rounded_up(-0.12301, 3)
        (0.124, 12.6, -0.123)
    """
    return _rounded(value, digits, ROUND_CEILING)


def rounded_down(value: float, digits: int) -> float:
    """A number with so many significant digits that is not above the value, up to rounding of 1e-9.

    Example:
        >>> rounded_down(0.12399, 3), rounded_down(12.6 - 1e-14, 3)
        (0.123, 12.6)
    """
    return _rounded(value, digits, ROUND_FLOOR)


# Differences below this are rounding.
_NOTHING = Decimal("1e-9")


def _rounded(value: float, digits: int, rounding: str) -> float:
    if not math.isfinite(value):
        return value
    exact = Decimal(value)
    if abs(exact) < _NOTHING:
        return 0.0
    nearest = _shortened(exact, digits, ROUND_HALF_EVEN)
    # A certified end lies above the value that it is printed beside by its last bits only.
    if abs(nearest - exact) <= _NOTHING * min(Decimal(1), abs(exact)):
        return float(nearest)
    return float(_shortened(exact, digits, rounding))


def _shortened(exact: Decimal, digits: int, rounding: str) -> Decimal:
    """A number with so many significant digits."""
    step = Decimal(1).scaleb(exact.adjusted() - digits + 1)
    return (exact / step).to_integral_value(rounding) * step


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


def stripped(text: str) -> str:
    """The lines of a text without the spaces that they end in, and without an end of line after the last.

    Example:
        >>> stripped("a  \\n b \\n")
        'a\\n b'
    """
    return "\n".join(line.rstrip() for line in text.splitlines())
