"""What an interval can be made of: counts that trials can have, samples long enough, in a range known before the data."""

import math
from typing import Any

import numpy as np

from kd2m_theory.arrays import Float64, real_array, to_numpy
from kd2m_theory.checks import real_number
from kd2m_theory.errors import InputError


def check_delta(delta: float) -> float:
    """Refuse a failure probability outside (0, 1).

    Raises:
        InputError: naming the value.
    """
    if not 0 < real_number(delta) < 1:
        raise InputError(f"delta is {delta!r}; give the failure probability, a number between 0 and 1 such as 0.05")
    return float(delta)


def check_chosen_delta(delta: float) -> float:
    """Refuse a failure probability that a user can hardly mean: 0.95 for 0.05.

    Raises:
        InputError: as `check_delta`, or delta is above ½.
    """
    if check_delta(delta) > 0.5:
        raise InputError(
            f"delta is {delta:g}, the probability with which what is guaranteed may be wrong; for intervals at 95 % give 0.05"
        )
    if 1 - float(delta) == 1:
        raise InputError(f"delta is {delta:g}, and 1 − delta is 1 in float64; give at least 1e-15")
    return float(delta)


def one_side(delta: float) -> float:
    """δ/2, the failure probability of one of two limits; never 0, however small δ is."""
    return max(delta / 2, math.ulp(0.0))


def check_counts(n: int, **counts: int) -> None:
    """Refuse counts that n trials cannot have: their interval would be NaN, and would call itself guaranteed.

    Raises:
        InputError: no trial, or a count that is not a whole number from 0 to n.
    """
    for name, value, least, most in (("n", n, 1, math.inf), *((name, count, 0, n) for name, count in counts.items())):
        if not least <= value <= most or value % 1:
            words = f"from {least} to n = {most}" if most < math.inf else f"≥ {least}"
            raise InputError(f"{name} is {value}; give a whole number {words}")


def sample_of(values: Any, least: int = 1) -> Float64:
    """Values as float64, truth values as 0 and 1.

    Raises:
        InputError: fewer than `least`, NaN or infinite values, or more than one axis.
    """
    array = to_numpy(values, "values")
    sample = real_array(array.astype(np.float64) if array.dtype.kind == "b" else array, "values", 1)
    if len(sample) < least:
        raise InputError(f"values has {len(sample)} entries; this interval needs at least {least}")
    return sample


def bounded_sample(values: Any, low: float, high: float, range_known: bool, least: int = 1) -> Float64:
    """Values in [low, high] as float64, if that is a range which the sample was not looked at for.

    Raises:
        InputError: as `sample_of`; no range, a value outside, or ends that are the sample's own and not vouched for.
    """
    sample = sample_of(values, least)
    if not (math.isfinite(low) and math.isfinite(high) and low < high and math.isfinite(high - low)):
        raise InputError(f"[{low!r}, {high!r}] is not a range; give finite low < high between which every value must lie")
    outside = sample[(sample < low) | (sample > high)]
    if len(outside):
        raise InputError(
            f"values holds {outside[0]:g}, outside [{low:g}, {high:g}]; clip the variable or give the range it really has"
        )
    if not range_known:
        _refuse_the_range_of_the_sample(sample, low, high)
    return sample


def _refuse_the_range_of_the_sample(sample: Float64, low: float, high: float) -> None:
    """Refuse ends that are the sample's own extremes, unless the values are two-valued, or clipped there, or whole numbers.

    A largest loss that was seen is not the largest that there is: with it for `high`, the interval misses the rare large
    losses that it is there for. A bound on the nature of the variable is reached by no value, by many, or is a whole number.
    """
    least, largest = float(sample.min()), float(sample.max())
    at_both = (least, largest) == (low, high)
    at_one = any(
        end == extreme and not float(end).is_integer() and np.count_nonzero(sample == extreme) == 1
        for end, extreme in ((low, least), (high, largest))
    )
    if (at_both or at_one) and len(np.unique(sample)) > 2:
        raise InputError(
            f"the range [{low:g}, {high:g}] ends at the sample's own extremes, and a range taken from the sample voids the "
            "guarantee; give the range of the variable, or range_known=True if it was known before the data"
        )
