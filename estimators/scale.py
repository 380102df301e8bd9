"""One place for scale: clouds in a unit in which no square leaves float64, and numbers brought back with outward rounding.

The unit is a power of two, so that neither way costs a digit. An algorithm that works in it gives the same bits for c·x as
for x, c a power of two, from subnormal numbers to the largest.
"""

import math
import sys
from collections.abc import Iterable

import numpy as np

from kd2m_theory.arrays import Float64
from kd2m_theory.side_by_side import over_rows

# 2 to a power less than that is a normal number, and so is its inverse.
_FACTOR = 1022


def round_down(value: float) -> float:
    """The next float64 below: outward rounding of a lower bound after one operation."""
    return math.nextafter(value, -math.inf)


def round_up(value: float) -> float:
    """The next float64 above: outward rounding of an upper bound after one operation."""
    return math.nextafter(value, math.inf)


def exponent_of(*arrays: Float64) -> int:
    """The least e with |entry| < 2^e for every entry of the arrays; 0 if all are zero.

    Example:
        >>> exponent_of(np.array([0.75, -3.0])), exponent_of(np.array([4.0])), exponent_of(np.zeros(2))
        (2, 3, 0)
    """
    largest = max(float(max(array.max(initial=0.0), -array.min(initial=0.0))) for array in arrays)
    return math.frexp(largest)[1] if largest > 0 else 0


def without_constants(*clouds: Float64) -> tuple[Float64, ...]:
    """The clouds with every coordinate that is the same for all points of all clouds set to zero.

    That is an exact translation. What is left varies by at least a unit in the last place of its largest value: its squares
    are representable beside that value's.

    Args:
        *clouds: arrays of n × d points each, with one d.
    """
    constant = np.logical_and.reduce([(cloud == clouds[0][0]).all(axis=0) for cloud in clouds])
    return tuple(np.where(constant, 0.0, cloud) for cloud in clouds) if constant.any() else clouds


def in_unit(*clouds: Float64) -> tuple[tuple[Float64, ...], int]:
    """Clouds in their own unit, for what depends on differences of points only.

    Args:
        *clouds: arrays of n × d points each, with one d.

    Returns:
        The clouds divided by 2^e, without the coordinates in which all points agree, and e. Their largest entry is in [½, 1);
        entries smaller by a factor of 2^1022 than it lose digits, at most 2^-1074 each.

    Example:
        >>> (x, y), exponent = in_unit(np.array([[7.0, 0.0]]), np.array([[7.0, 3e-170]]))
        >>> x.tolist(), y.round(3).tolist(), exponent
        ([[0.0, 0.0]], [[0.0, 0.906]], -563)
    """
    clouds = without_constants(*clouds)
    exponent = exponent_of(*clouds)
    with np.errstate(under="ignore"):
        return tuple(np.ldexp(cloud, -exponent) for cloud in clouds), exponent


def of_length_one(direction: Float64) -> Float64:
    """The direction, or the first axis for zero. By its largest entry first: squares of small ones underflow.

    Example:
        >>> of_length_one(np.array([3e-170, 4e-170])).round(6).tolist()
        [0.6, 0.8]
    """
    largest = float(np.abs(direction).max())
    if not largest > 0:
        return np.asarray(np.arange(len(direction)) == 0, dtype=np.float64)
    direction = direction / largest
    return np.asarray(direction / np.linalg.norm(direction), dtype=np.float64)


def rescaled(values: Float64, exponent: int, out: Float64 | None = None) -> tuple[Float64, bool]:
    """Values · 2^exponent of a matrix, and whether one of them became so small that it lost digits.

    Args:
        values: the matrix.
        exponent: of the factor.
        out: where the result goes, which may be `values`; a new matrix if None.
    """
    found = np.empty_like(values) if out is None else out

    def lost(rows: slice) -> bool:
        given = values[rows]
        above = int(np.count_nonzero(given)) if exponent < 0 else 0
        with np.errstate(over="ignore", under="ignore"):
            if abs(exponent) < _FACTOR:  # a product is rounded as `ldexp` rounds, and is several times faster
                np.multiply(given, 2.0**exponent, out=found[rows])
            else:
                np.ldexp(given, exponent, out=found[rows])
        return exponent < 0 and int(np.count_nonzero(np.abs(found[rows]) >= sys.float_info.min)) < above

    if not exponent and found is values:
        return found, False
    return found, any(over_rows(values.shape, lost))


def centred(*clouds: Float64) -> tuple[Float64, ...]:
    """The clouds moved together so that their means' mean is about the origin; every coordinate is right to one rounding.

    Args:
        *clouds: arrays of n × d points each, with one d, in the unit of `in_unit`.
    """
    centre = np.mean([cloud.mean(axis=0) for cloud in clouds], axis=0)
    return tuple(cloud - centre for cloud in clouds)


def shifted(value: float, exponent: int) -> float:
    """value · 2^exponent, rounded to nearest where it is subnormal, and infinite beyond the largest float64."""
    try:
        return math.ldexp(value, exponent)
    except OverflowError:
        return math.copysign(math.inf, value)


def shifted_down(value: float, exponent: int) -> float:
    """The largest float64 that is at most value · 2^exponent.

    Example:
        >>> shifted_down(0.75, 3), shifted_down(0.75, -1074), shifted_down(0.75, 1100) == sys.float_info.max
        (6.0, 0.0, True)
    """
    found = shifted(value, exponent)
    if math.isinf(found) and math.isfinite(value):
        return -math.inf if value < 0 else sys.float_info.max
    return found if shifted(found, -exponent) <= value else round_down(found)


def shifted_up(value: float, exponent: int) -> float:
    """The least float64 that is at least value · 2^exponent.

    Example:
        >>> shifted_up(0.75, 3), shifted_up(0.25, -1074), shifted_up(0.75, 1100)
        (6.0, 5e-324, inf)
    """
    return -shifted_down(-value, exponent)


def product_up(factors: Iterable[float]) -> float:
    """An upper bound on the product of numbers ≥ 0, whatever their sizes: 0 only if a factor is 0, never NaN.

    Exponents are added apart from the mantissas, so that no partial product leaves float64. A factor 0 makes it 0 even beside
    an infinite one, as a constant map in a composition does.

    Example:
        >>> product_up([1e-170, 1e-170, 1e300]), product_up([1e-300, 1e-300]), product_up([0.0, math.inf])
        (1.0000000000000003e-40, 5e-324, 0.0)
    """
    factors = list(factors)
    if 0 in factors:
        return 0.0
    if math.inf in factors:
        return math.inf
    mantissa, exponent = 0.5, 1
    for factor in factors:
        part, power = math.frexp(factor)
        exact = 0.5 in (part, mantissa)  # a power of two costs nothing
        mantissa, carry = math.frexp(mantissa * part if exact else round_up(mantissa * part))
        exponent += power + carry
    return shifted_up(mantissa, exponent)


def mean_of(values: Float64) -> float:
    """Mean of n values, right to two roundings, at any scale."""
    exponent = exponent_of(values)
    return shifted(math.fsum(np.ldexp(values, -exponent).tolist()) / len(values), exponent)


def deviation_of(values: Float64) -> float:
    """Standard deviation of n ≥ 2 values (divided by n − 1), at any scale and offset."""
    exponent = exponent_of(values)
    return shifted(float(np.std(np.ldexp(values, -exponent), ddof=1)), exponent)
