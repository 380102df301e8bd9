"""Rows drawn one by one without replacement, some with a larger chance than others, and what the drawn ones say about the rest.

A finite population has N rows, row i an unknown value z_i ∈ [0, s_i] and a known weight w_i. The next row is drawn with chance
w_i / Σ w among the rows not yet drawn. Nothing is assumed of the values: all chance is in the drawing.
"""

import math

import numpy as np

from kd2m_theory.arrays import Float64, Int64
from kd2m_theory.estimators.ground import EPS
from kd2m_theory.estimators.scale import round_up

# Halvings of the search for a limit.
_HALVINGS = 32
# Shares of the capital that the mixture stakes: what is lost when the largest value is drawn.
_LARGE = (0.75, 0.875, 0.95, 1.0)
# What rounding may have added to the logarithm of a capital, relative to the terms that were added; to a mean in [0, 1]; and
# to a share of a value.
_OF_SUMS, _OF_MEANS, _OF_SHARES = 1e-12, 1e-13, 8 * EPS


def drawing_order(weights: Float64, rng: np.random.Generator) -> Int64:
    """Rows in the order in which they are drawn without replacement, each next one with a chance ∝ its weight.

    Keys Exp(1)/w in ascending order: the least of independent exponential variables with rates w is that of row i with
    probability w_i / Σw, and without memory the others go on as before. Rows with weight 0 are never drawn.

    Args:
        weights: N finite weights ≥ 0.
        rng: where the chance comes from.

    Returns:
        Positions of the rows with a weight above 0.

    Source:
        Efraimidis & Spirakis, "Weighted random sampling with a reservoir", Inf. Process. Lett. 97 (2006).

    Example:
        >>> sorted(drawing_order(np.array([1.0, 0.0, 2.0]), np.random.default_rng(0)).tolist())
        [0, 2]
    """
    rows = np.flatnonzero(weights > 0)
    # Logarithms: a key of a weight near the least float64 is not a float64.
    keys = np.log(rng.exponential(size=len(weights))[rows]) - np.log(weights[rows])
    order: Int64 = rows[np.argsort(keys, kind="stable")]
    return order


def fixed_shares(n: int, tail: float) -> Float64:
    """The shares g of the capital that a mixture stakes, by how many draws are planned and how sure a limit has to be.

    The best share for values that are one half on average is about √(2 ln(1/tail)/n), for values that are 0 nearly always it
    is 1: the least is that of the first kind, doubled up to ½, and a few larger ones follow.

    Args:
        n: planned draws, at least 1; more or fewer may be made.
        tail: failure probability in (0, 1).

    Example:
        >>> fixed_shares(100, 0.025).round(3).tolist()
        [0.272, 0.5, 0.75, 0.875, 0.95, 1.0]
    """
    least = min(math.sqrt(-2 * math.log(tail) / n), 0.5)
    steps = math.ceil(math.log2(0.5 / least)) + 1
    return np.concatenate((np.geomspace(least, 0.5, steps), _LARGE))


def remainder_limit(
    values: Float64, weights: Float64, left: Float64, ratios: Float64, most: float, planned: int, tail: float
) -> float:
    """Upper limit of the sum of the values that were not drawn; it fails with probability at most `tail`, whenever one stops.

    Let V be the sum of all values. Before draw t, x_t = z_t/w_t of the row to come has the mean η_t = (V − Σ_{drawn} z) /
    (Σw − Σ_{drawn} w) and lies in [0, r_t], r_t the largest s/w among the rows left. With μ_t = 1 − η_t/r_t and Y_t = 1 −
    x_t/r_t, the mean of Y_t, each product ∏_t (1 − g + g Y_t/μ_t), 0 < g ≤ 1, is a nonnegative martingale that starts at 1,
    and so is their average over several g. It grows with the V that is put to the test. By Ville's inequality the average
    reaches 1/tail for the true V at any time with probability at most `tail`: every V for which it did is ruled out, those
    above it too. A stake is never larger than the capital, so nothing has to be capped.

    What was ruled out earlier stays so: over more draws the limit of V never grows. The limit is never above what the
    undrawn rows can have, and is that where every V has been ruled out: then the true one was, the case of probability `tail`.

    Args:
        values: n values z of the drawn rows, in drawing order.
        weights: n weights w of the drawn rows.
        left: n sums of the weights of the rows not drawn before each draw.
        ratios: n largest ratios s/w among the rows not drawn before each draw.
        most: sum of s over the rows that were not drawn.
        planned: draws that stakes are made for, fixed before the first.
        tail: failure probability; 0 for the limit that is certain.

    Example:
        >>> drawn, left = np.zeros(50), 200.0 - np.arange(50)  # 50 of 200 rows with values in [0, 1], all 0
        >>> round(remainder_limit(drawn, np.ones(50), left, np.ones(50), 150.0, 50, 0.05), 2)
        12.23
    """
    n = len(values)
    if not n or not tail or not most:
        return most
    shares = fixed_shares(planned, tail)[:, None]
    later = np.cumsum(values[::-1])[::-1]  # of this draw and those after it
    kept = np.maximum(1 - values / weights / ratios - _OF_SHARES, 0.0)
    size = left * ratios
    target = -math.log(tail) + math.log(len(shares))

    def ruled_out(rest: float) -> bool:
        mean = 1 - (rest + later) / size + _OF_MEANS
        # A mean of 0 leaves only Y = 0, with which the share is lost.
        gain = np.divide(kept, mean, out=np.zeros(n), where=mean > 0)
        with np.errstate(divide="ignore"):
            terms = np.log1p(shares * (gain - 1))
        capital = np.cumsum(terms, axis=1)
        finite = np.where(np.isfinite(capital), np.abs(terms), 0.0)
        capital -= _OF_SUMS * (1 + np.cumsum(finite, axis=1) + np.arange(1, n + 1))
        return bool(np.logaddexp.reduce(capital, axis=0).max() >= target)

    kept_in, gone = 0.0, most
    if not ruled_out(most) or ruled_out(0.0):
        return most
    for _ in range(_HALVINGS):
        middle = (kept_in + gone) / 2
        kept_in, gone = (kept_in, middle) if ruled_out(middle) else (middle, gone)
    return min(most, round_up(gone))
