"""Whether the words for an interval's end hold what they stand for: read back as a number, without the code that wrote them."""

import math


def read_back(words: str) -> float:
    """The number that people read."""
    return float(words.replace("−", "-").replace(",", "").replace("∞", "inf").replace("unlimited", "nan"))


def holds(low: str, high: str, lower: float, upper: float, digits: int) -> bool:
    """Whether printed ends contain an interval (up to 1e-9), each by less than one unit of its last digit."""

    def near(words: str, exact: float, sign: int) -> bool:
        if math.isinf(exact):
            return read_back(words) == exact
        beyond = sign * (read_back(words) - exact)
        unit = 10.0 ** (math.floor(math.log10(max(abs(exact), 1e-300))) - digits + 1)
        return -1e-9 <= beyond <= max(1e-9, unit * (1 + 1e-9))

    return near(low, lower, -1) and near(high, upper, 1)
