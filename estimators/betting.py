"""Intervals for the mean of a bounded variable by betting: a mean is ruled out by a fortune that it makes too unlikely.

`betting` is a symmetric function of the sample. `betting_in_order` is narrower and sees one value after another: it needs
values whose order says nothing about them.
"""

import math
import sys
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from kd2m_theory.arrays import Float64
from kd2m_theory.estimators.enclosure import Confidence, PopulationUnit
from kd2m_theory.estimators.interval_inputs import bounded_sample, check_delta, one_side
from kd2m_theory.estimators.scale import mean_of, round_down, round_up

# Ends lie on a grid of this many steps over the range.
_STEPS = 2**20
# c of Waudby-Smith and Ramdas: the largest share of the capital that one sample can lose.
_LARGEST_STAKE = 0.75
# Stakes θ that are mixed: from the best one for a variance of 1/4 up to _TOP in this ratio, and beyond in steps of _LEAP.
_RATIO, _TOP, _LEAP = 2.5, 8.0, 4.0
# Their shares of the starting capital.
_USUAL = 0.9


def betting(
    values: Any,
    low: float,
    high: float,
    delta: float,
    unit: PopulationUnit = "nats",
    *,
    range_known: bool = False,
    seed: int | None = None,
) -> Confidence:
    """Two-sided interval for a bounded mean that does not depend on the order of the values.

    With x_i the values scaled to [0, 1], a mean m is ruled out from below if Σ_θ w_θ ∏_i (1 + θx_i)/(1 + θm) ≥ 2/δ: a
    mixture of fixed stakes θ > 0, which depend on n and δ alone, with weights w_θ that add up to 1. The x_i are independent,
    so E ∏(1 + θx_i) = ∏(1 + θE x_i) ≤ (1 + θμ)ⁿ for the average μ of their means (inequality of arithmetic and geometric
    means), and by Markov's inequality μ is ruled out with probability at most δ/2; likewise from above with 1 − x_i. The
    values may have different laws, as in a file stratified by class: then the interval is about the average of their means.

    It is 1.0 to 1.5 times as wide as `betting_in_order`.

    Args:
        values: n independent values in [low, high], in any order.
        low: least value that the variable can take, known before the data.
        high: largest value that it can take, known before the data.
        delta: failure probability.
        unit: of the values.
        range_known: vouches for a range that looks taken from the sample, as in `hoeffding`.
        seed: deprecated, without effect: there is no order to shuffle.

    Raises:
        InputError: as `hoeffding`.

    Example:
        >>> values = [0.0] * 990 + [1.0] * 10
        >>> betting(values, 0, 1, 0.05)
        Confidence(0.01 in [0.002981, 0.02329], nats, guaranteed at 95 %)
        >>> betting(values, 0, 1, 0.05) == betting(values[::-1], 0, 1, 0.05)
        True
    """
    if seed is not None:
        words = "seed of betting is deprecated and will be removed in kd2m-theory 0.3.0; the interval depends on no order"
        warnings.warn(words, DeprecationWarning, stacklevel=2)
    return _interval(values, low, high, delta, unit, range_known, "betting", in_order=False)


def betting_in_order(
    values: Any, low: float, high: float, delta: float, unit: PopulationUnit = "nats", *, range_known: bool = False
) -> Confidence:
    """Two-sided interval for a bounded mean: those m against which no bettor multiplied the capital by 2/δ.

    Hedged capital with predictable plug-in stakes (Waudby-Smith and Ramdas 2023, Theorem 3 with θ = 1/2, c = 3/4, and the
    stakes for a fixed n). Capital against m falls as m grows, so the rejected m below the sample are an interval; its end
    is rounded outward to a grid of 2⁻²⁰ of the range. The interval is widened to hold the sample mean if it does not.

    The bettor sees one value after another. In a file sorted by class or by loss the values before tell about those after,
    and the interval then misses far more often than δ.

    Args:
        values: n independent values in [low, high], in an order that does not depend on them.
        low: least value that the variable can take, known before the data.
        high: largest value that it can take, known before the data.
        delta: failure probability.
        unit: of the values.
        range_known: as in `betting`.

    Raises:
        InputError: as `hoeffding`.

    Example:
        >>> values = np.random.default_rng(0).permutation([0.0] * 990 + [1.0] * 10)
        >>> betting_in_order(values, 0, 1, 0.05)
        Confidence(0.01 in [0.003602, 0.02369], nats, guaranteed at 95 %)
    """
    return _interval(values, low, high, delta, unit, range_known, "betting in order", in_order=True)


def betting_limits(values: Any, low: float, high: float, tail: float, *, in_order: bool) -> tuple[float, float]:
    """Lower and upper limit of a bounded mean, each of which is wrong with probability at most `tail`.

    Both together are the interval at δ = 2 · tail; one alone is a statement on one side, at level 1 − tail. They hold the
    sample mean.

    Args:
        values: n independent values in [low, high].
        low: least value that the variable can take, known before the data.
        high: largest value that it can take, known before the data.
        tail: failure probability of each limit.
        in_order: whether to bet as `betting_in_order`, whose order the values must have; else as `betting`.

    Raises:
        InputError: as `hoeffding`, but for a range that looks taken from the sample.

    Example:
        >>> values = [0.0] * 990 + [1.0] * 10
        >>> betting_limits(values, 0, 1, 0.025, in_order=False)[1] == betting(values, 0, 1, 0.05).upper
        True
    """
    values = bounded_sample(values, low, high, range_known=True)
    return _limits(values, float(low), float(high), check_delta(tail), in_order)


def _interval(
    values: Any,
    low: float,
    high: float,
    delta: float,
    unit: PopulationUnit,
    range_known: bool,
    method: str,
    in_order: bool,
) -> Confidence:
    values, delta = bounded_sample(values, low, high, range_known), check_delta(delta)
    low, high = float(low), float(high)
    lower, upper = _limits(values, low, high, one_side(delta), in_order)
    return Confidence(
        value=mean_of(values),
        lower=lower,
        upper=upper,
        level=1 - delta,
        unit=unit,
        method=method,
        guaranteed=True,
        assumptions=f"independent samples with values in [{low:g}, {high:g}]",
        least=low,
        most=high,
    )


def _limits(values: Float64, low: float, high: float, tail: float, in_order: bool) -> tuple[float, float]:
    ruled_out = _ruled_out_in_order if in_order else _ruled_out_by_mixture
    mean = mean_of(values)
    below = ruled_out((values - low) / (high - low), tail)
    above = ruled_out((high - values) / (high - low), tail)
    lower = max(low, round_down(low + round_down(below * (high - low))))
    upper = min(high, round_up(high - round_down(above * (high - low))))
    return min(mean, lower), max(mean, upper)


def _largest(rejected: Callable[[float], bool]) -> float:
    """Largest m of the grid in [0, 1] that is rejected, for a rejection that holds below a certain m; 0 if none is."""
    best, failed = 0, _STEPS
    while failed - best > 1:
        middle = (best + failed) // 2
        best, failed = (middle, failed) if rejected(middle / _STEPS) else (best, middle)
    return best / _STEPS


def stakes(n: int, tail: float) -> tuple[Float64, Float64]:
    """Stakes θ of the mixture for a limit at `tail`, and their weights, which add up to 1: a function of n and it alone."""
    target = max(-math.log(tail), math.log(2))  # no stake is 0, however little is asked for
    first = min(2 * math.sqrt(2 * target / n), 2.0)
    usual = np.geomspace(first, _TOP, math.ceil(math.log(_TOP / first) / math.log(_RATIO)) + 1)
    steps = max(0, math.floor(math.log(max(n / (2 * target), 1.0) / _TOP) / math.log(_LEAP)))
    if not steps:
        return usual, np.full(len(usual), 1.0 / len(usual))
    far = _TOP * _LEAP ** np.arange(1.0, steps + 1)
    weights = np.concatenate((np.full(len(usual), _USUAL / len(usual)), np.full(steps, (1 - _USUAL) / steps)))
    return np.concatenate((usual, far)), weights


def _ruled_out_by_mixture(shares: Float64, tail: float) -> float:
    """Largest m on the grid that the mixture rules out at `tail` on [0, 1]-valued `shares`; 0 if there is none."""
    n, target = len(shares), -math.log(tail)
    theta, weights = stakes(n, tail)
    shares = np.sort(shares)  # sums of floats depend on the order too
    # What rounding may have added: a few ulps for each logarithm, and those of the sums.
    fortunes = np.array([float(np.log1p(stake * shares).sum()) for stake in theta]) * (1 - 1e-13) - 1e-12
    logs = np.log(weights) + fortunes

    def rejected(m: float) -> bool:
        exponents = logs - n * np.log1p(theta * m) * (1 + 1e-13)
        largest = float(exponents.max())
        return largest + math.log(float(np.exp(exponents - largest).sum())) - 1e-12 >= target

    return _largest(rejected)


def _ruled_out_in_order(shares: Float64, tail: float) -> float:
    """Largest m on the grid such that every mean ≤ m of [0, 1]-valued `shares` is rejected at `tail`; 0 if there is none.

    The stakes λ_i = √(2 ln(1/tail) / (n σ̂²_{i−1})), capped at c/m, depend on earlier values only.
    """
    n, target = len(shares), -math.log(tail)
    seen = np.arange(1, n + 1)
    means = (0.5 + np.cumsum(shares)) / (seen + 1)
    variances = (0.25 + np.cumsum((shares - means) ** 2)) / (seen + 1)
    plugged_in = np.sqrt(2 * target / (n * np.concatenate(([0.25], variances[:-1]))))

    def rejected(m: float) -> bool:
        capital = np.cumsum(np.log1p(np.minimum(plugged_in, _LARGEST_STAKE / m) * (shares - m)))
        # What rounding may have added: a few ulps for each logarithm, one ulp of the sum for each addition.
        rounding = sys.float_info.epsilon * n * (1000 + float(np.abs(capital).max()))
        return float(capital.max()) >= target + rounding

    return _largest(rejected)
