"""Numbers in words: how tables, pages and messages print them."""

import math


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
