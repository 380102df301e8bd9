"""What a ground cost is divided by before it is added to another: a number, its mean, or its maximum.

Features and labels have units of their own. A sum of their costs means something only once each is divided by a scale of
its unit. The certified distance (`joint`) and the training loss (`losses.transport`) read the same three words here.

    number s    C / s, the same for every sample
    "mean"      C / Σ a_i b_j C_ij, the cost of the independent coupling of the two samples
    "max"       C / max C_ij, as the code of KD²M (arXiv 2504.01757) does for features

A scale that is made of the sample differs from one pair of samples to the next, and takes the triangle inequality away.
"""

import math
import sys
from dataclasses import replace
from typing import Literal

from kd2m_theory.arrays import Float64
from kd2m_theory.checks import above_zero
from kd2m_theory.errors import InputError
from kd2m_theory.estimators.ground import EPS, TINY, CostMatrix

CostScale = float | Literal["mean", "max"]
# Relative error of a scale beyond which costs divided by it are refused.
_COARSE = 1e-6


def cost_scale(value: object, name: str) -> CostScale:
    """`value`, if a cost can be divided by it.

    Raises:
        InputError: another word than "mean" and "max", or a number that is not finite and > 0.

    Example:
        >>> cost_scale("mean", "feature_scale"), cost_scale(4, "feature_scale")
        ('mean', 4.0)
    """
    if isinstance(value, str):
        known: dict[str, CostScale] = {"mean": "mean", "max": "max"}
        if value not in known:
            raise InputError(f"{name} is {value!r}; choose 'mean', 'max', or a number > 0")
        return known[value]
    return above_zero(value, name)


def scaled_costs(
    cost: CostMatrix, exponent: int, scale: CostScale, weights: tuple[Float64, Float64], name: str
) -> tuple[CostMatrix, int]:
    """Costs divided by their scale, with error bounds that cover the scale's own rounding.

    Costs that are all zero stay zero.

    Args:
        cost: n × m costs ≥ 0 in the unit 2^exponent.
        exponent: of the unit.
        scale: as `cost_scale` returns it. "mean" and "max" are taken over pairs of points with weight.
        weights: n and m probabilities.
        name: of the scale's argument, for messages.

    Returns:
        The divided costs in a unit 2^k, and k.

    Raises:
        InputError: "mean" or "max" of costs that underflow float64.

    Example:
        >>> import numpy as np
        >>> half, costs = np.full(2, 0.5), CostMatrix(np.array([[0.0, 0.5], [0.5, 0.0]]), 0.0, 0.0, "distance")
        >>> found, k = scaled_costs(costs, 7, "mean", (half, half), "feature_scale")
        >>> (np.ldexp(found.values, k)).tolist()
        [[0.0, 2.0], [2.0, 0.0]]
    """
    if not isinstance(scale, str):
        size, error, unit = scale, 0.0, exponent
    else:
        a, b = weights
        moved = cost.values[a > 0][:, b > 0]
        if not moved.any() and not cost.absolute_error:
            return cost, exponent
        size = float(moved.max()) if scale == "max" else float(a @ cost.values @ b)
        # Weights are right to some twenty roundings each, a sum of k products of numbers ≥ 0 to k.
        rounding = 0.0 if scale == "max" else (sum(cost.values.shape) + 52) * EPS
        error = cost.relative_error + rounding + (cost.absolute_error / size if size else math.inf)
        if error > _COARSE or size < sys.float_info.min / EPS:
            raise InputError(f"{name} is {scale!r}, and that of these costs underflows float64; give a number")
        unit = 0
    mantissa, power = math.frexp(size)
    if mantissa == 0.5 and not error:  # a power of two costs no digit
        return cost, unit - power + 1
    values = cost.values / mantissa
    lost = bool(((values < sys.float_info.min) & (values > 0)).any())
    return (
        replace(
            cost,
            values=values,
            relative_error=cost.relative_error + 2 * error + 2 * EPS,
            absolute_error=3 * cost.absolute_error + lost * TINY,
        ),
        unit - power,
    )
