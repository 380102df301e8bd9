"""Confidence intervals for population quantities.

The mean of n independent values has an interval by `mean_interval`, or by the function of each method. Those that hold at
every n need a range [low, high] of the *variable*, known before the data: by its nature (a probability) or by clipping.
"""

import math
from collections.abc import Callable
from typing import Any, Literal, get_args

import numpy as np
from scipy.special import betainccinv, betaincinv, rel_entr, stdtrit

from kd2m_theory.arrays import Float64
from kd2m_theory.checks import one_of
from kd2m_theory.errors import InputError
from kd2m_theory.estimators.betting import betting
from kd2m_theory.estimators.enclosure import Confidence, PopulationUnit
from kd2m_theory.estimators.ground import EPS
from kd2m_theory.estimators.interval_inputs import bounded_sample, check_counts, check_delta, one_side, sample_of
from kd2m_theory.estimators.scale import deviation_of, exponent_of, mean_of, round_down, round_up, shifted

Method = Literal["betting", "empirical_bernstein", "hoeffding", "clopper_pearson", "student_t", "percentile_bootstrap"]

_BOUNDED = "independent samples with values in [{low:g}, {high:g}]"

# Entries of the bootstrap's index matrix held at a time (32 MiB).
_BLOCK = 2**22


def clopper_pearson(successes: int, n: int, delta: float) -> Confidence:
    """Exact two-sided interval for a probability from n independent trials (Clopper and Pearson 1934).

    Args:
        successes: trials in which the event happened, a whole number from 0 to n.
        n: trials, at least 1.
        delta: failure probability.

    Raises:
        InputError: no trial, successes that are not a whole number from 0 to n, or delta outside (0, 1).

    Example:
        >>> clopper_pearson(0, 100, 0.05)
        Confidence(0 in [0, 0.03622], probability, guaranteed at 95 %)
    """
    delta = check_delta(delta)
    check_counts(n, successes=successes)
    lower, upper = clopper_pearson_limits(successes, n, one_side(delta))
    return Confidence(
        value=int(successes) / int(n),
        lower=lower,
        upper=upper,
        level=1 - delta,
        unit="probability",
        method="Clopper–Pearson",
        guaranteed=True,
        assumptions="independent samples",
        least=0.0,
        most=1.0,
    )


def clopper_pearson_limits(successes: int, n: int, tail: float) -> tuple[float, float]:
    """Lower and upper limit of a probability, each of which is wrong with probability at most `tail`.

    Both together are `clopper_pearson` at δ = 2 · tail; one alone is a statement on one side, at level 1 − tail.

    Args:
        successes: trials in which the event happened, a whole number from 0 to n.
        n: trials, at least 1.
        tail: failure probability of each limit.

    Raises:
        InputError: no trial, or successes that are not a whole number from 0 to n.

    Example:
        >>> clopper_pearson_limits(0, 100, 0.05)[1] < 0.0296  # 1 − 0.05^(1/100)
        True
    """
    check_counts(n, successes=successes)
    # Both ends from the small tail: 1 − tail has lost what a small one says.
    lower = _outward(float(betaincinv(successes, n - successes + 1, tail)), -1) if successes > 0 else 0.0
    upper = _outward(float(betainccinv(successes + 1, n - successes, tail)), 1) if successes < n else 1.0
    return lower, upper


def chernoff_limit(mean: float, n: int, tail: float) -> float:
    """Upper limit of the mean of a variable in [0, 1] from an upper bound on the mean of n independent values of it.

    P(X̄ ≤ x) ≤ exp(−n kl(x, μ)) for x ≤ μ (Chernoff; Hoeffding 1963, Theorem 1), so μ is at most the m ≥ X̄ with
    kl(X̄, m) = ln(1/tail)/n, except with probability `tail`; kl is the divergence of two coins. That m grows with X̄.

    Args:
        mean: mean of the values in [0, 1], or an upper bound on it.
        n: values, at least 1.
        tail: failure probability in (0, 1).

    Example:
        >>> round(chernoff_limit(0.0, 100, 0.05), 5)  # 1 − 0.05^(1/100)
        0.02951
    """
    budget, kept, gone = -math.log(tail) / n, mean, 1.0
    for _ in range(60):
        middle = (kept + gone) / 2
        kl = float(rel_entr(mean, middle) + rel_entr(1 - mean, 1 - middle))
        kept, gone = (middle, gone) if kl * (1 - 1e-9) - 1e-15 < budget else (kept, middle)
    return min(1.0, round_up(gone))


def difference(first: Confidence, second: Confidence) -> Confidence:
    """Interval for first − second, two quantities that are each covered at their own level (union bound).

    Args:
        first: interval of the first quantity, at level 1 − δ₁.
        second: interval of the second, in the same unit, at level 1 − δ₂; the samples may depend on each other.

    Returns:
        An interval in their unit at level 1 − δ₁ − δ₂, guaranteed if both are.

    Raises:
        InputError: the units differ.
    """
    if first.unit != second.unit:
        raise InputError(f"cannot subtract an interval in {second.unit} from one in {first.unit}; give two of one unit")
    return Confidence(
        value=first.value - second.value,
        lower=first.lower - second.upper,
        upper=first.upper - second.lower,
        level=first.level + second.level - 1,
        unit=first.unit,
        method=f"{first.method}, union bound",
        guaranteed=first.guaranteed and second.guaranteed,
        assumptions=first.assumptions,
        least=None if first.least is None or second.most is None else first.least - second.most,
        most=None if first.most is None or second.least is None else first.most - second.least,
    )


def student_t(values: Any, delta: float, unit: PopulationUnit = "nats") -> Confidence:
    """Student's t interval for the mean of n values.

    Cross-entropy has no upper bound, so no interval for its mean is guaranteed at a fixed n: the coverage is asymptotic,
    and the result says so.

    Args:
        values: n ≥ 2 independent values.
        delta: failure probability.
        unit: of the values.

    Raises:
        InputError: fewer than two values, NaN or infinite values, or delta outside (0, 1).

    Example:
        >>> student_t(np.array([0.1, 0.4, 0.3, 0.2]), 0.05)
        Confidence(0.25 in [0.04457, 0.4555], nats, asymptotic at 95 %)
    """
    values, delta = sample_of(values, least=2), check_delta(delta)
    n = len(values)
    mean = mean_of(values)
    half = -float(stdtrit(n - 1, delta / 2)) * deviation_of(values) / math.sqrt(n)
    return Confidence(
        value=mean,
        lower=mean - half,
        upper=mean + half,
        level=1 - delta,
        unit=unit,
        method="Student t",
        guaranteed=False,
        assumptions="independent samples, finite variance; coverage only as n grows",
    )


def hoeffding(
    values: Any, low: float, high: float, delta: float, unit: PopulationUnit = "nats", *, range_known: bool = False
) -> Confidence:
    """Two-sided interval for a bounded mean: mean ± (high − low) √(ln(2/δ) / 2n) (Hoeffding 1963, Theorem 2).

    Args:
        values: n independent values in [low, high].
        low: least value that the variable can take, known before the data.
        high: largest value that it can take, known before the data.
        delta: failure probability.
        unit: of the values.
        range_known: vouches for a range that looks taken from the sample (see `InputError` below).

    Raises:
        InputError: no values, NaN, a value outside [low, high], delta outside (0, 1), or a range that looks taken from
            this sample: of more than two distinct values, both ends are the extremes, or one end is an extreme that occurs
            once and is not a whole number.

    Example:
        >>> hoeffding([0.2, 0.4, 0.6, 0.8] * 25, 0, 1, 0.05)
        Confidence(0.5 in [0.3641, 0.6359], nats, guaranteed at 95 %)
    """
    values, delta = bounded_sample(values, low, high, range_known), check_delta(delta)
    half = (high - low) * math.sqrt(math.log(2 / delta) / (2 * len(values)))
    return _within(values, half, low, high, delta, unit, "Hoeffding")


def empirical_bernstein(
    values: Any, low: float, high: float, delta: float, unit: PopulationUnit = "nats", *, range_known: bool = False
) -> Confidence:
    """Two-sided interval for a bounded mean that adapts to the sample variance V (Maurer and Pontil 2009, Theorem 4).

    mean ± √(2V ln(4/δ)/n) + 7 (high − low) ln(4/δ)/(3(n − 1)): their one-sided bound at δ/2 on each side.

    Args:
        values: n ≥ 2 independent values in [low, high].
        low: least value that the variable can take, known before the data.
        high: largest value that it can take, known before the data.
        delta: failure probability.
        unit: of the values.
        range_known: as `hoeffding`.

    Raises:
        InputError: as `hoeffding`, or fewer than two values.

    Example:
        >>> empirical_bernstein([0.0] * 990 + [1.0] * 10, 0, 1, 0.05)
        Confidence(0.01 in [0, 0.02956], nats, guaranteed at 95 %)
    """
    values, delta = bounded_sample(values, low, high, range_known, least=2), check_delta(delta)
    n, log = len(values), math.log(4 / delta)
    half = math.sqrt(2 * log / n) * deviation_of(values) + 7 * (high - low) * log / (3 * (n - 1))
    return _within(values, half, low, high, delta, unit, "empirical Bernstein")


def percentile_bootstrap(
    values: Any, delta: float, resamples: int = 2000, seed: int = 0, unit: PopulationUnit = "nats"
) -> Confidence:
    """Percentile bootstrap interval for a mean (Efron 1979): quantiles δ/2 and 1 − δ/2 of the means of resamples.

    Nothing is guaranteed at a fixed n; with few or skewed values it covers less than it says.

    Args:
        values: n ≥ 2 independent values.
        delta: failure probability.
        resamples: samples drawn from the sample, at least 2/δ.
        seed: of the draws.
        unit: of the values.

    Raises:
        InputError: fewer than two values, NaN, delta outside (0, 1), or too few resamples to have a δ/2 quantile (fewer than
            2/δ).

    Example:
        >>> percentile_bootstrap([0.1, 0.4, 0.3, 0.2] * 10, 0.05)
        Confidence(0.25 in [0.215, 0.285], nats, asymptotic at 95 %)
    """
    values, delta = np.sort(sample_of(values, least=2)), check_delta(delta)  # resamples of another order would be others
    if resamples < 2 / delta:
        raise InputError(f"resamples is {resamples}, too few for delta = {delta:g}; take at least {math.ceil(2 / delta)}")
    rng, n = np.random.default_rng(seed), len(values)
    rows = max(1, _BLOCK // n)
    sizes = [min(rows, resamples - start) for start in range(0, resamples, rows)]
    exponent = exponent_of(values)
    scaled = np.ldexp(values, -exponent)
    means = np.concatenate([scaled[rng.integers(0, n, (size, n))].mean(axis=1) for size in sizes])
    lower, upper = (shifted(float(end), exponent) for end in np.quantile(means, [delta / 2, 1 - delta / 2]))
    return Confidence(
        value=mean_of(values),
        lower=lower,
        upper=upper,
        level=1 - delta,
        unit=unit,
        method=f"percentile bootstrap, {resamples} resamples",
        guaranteed=False,
        assumptions="independent samples, finite variance; coverage only as n grows",
    )


def mean_interval(
    values: Any,
    method: Method = "betting",
    low: float | None = None,
    high: float | None = None,
    delta: float = 0.05,
    unit: PopulationUnit | None = None,
    *,
    range_known: bool = False,
) -> Confidence:
    """Interval for the mean of the population from n independent values.

    Args:
        values: n independent values; two at least for "empirical_bernstein", "student_t" and "percentile_bootstrap".
        method: "betting", "empirical_bernstein", "hoeffding" (guaranteed at every n; need low and high),
            "clopper_pearson" (guaranteed; values 0 and 1), "student_t", "percentile_bootstrap" (only as n grows).
        low: least value that the variable can take, known before the data; only for the methods that need it.
        high: largest value that it can take.
        delta: failure probability.
        unit: of the values; None is "probability" for Clopper–Pearson and "nats" otherwise.
        range_known: as `hoeffding`.

    Raises:
        InputError: an unknown method, a range that is missing or that the method does not use, values other than 0 and 1
            for Clopper–Pearson, and as the method's own function.

    Example:
        >>> mean_interval([0.2, 0.4, 0.6, 0.8] * 25, "betting", low=0, high=1)
        Confidence(0.5 in [0.4353, 0.5647], nats, guaranteed at 95 %)
    """
    one_of(method, get_args(Method), "method")
    bounded: dict[str, Callable[..., Confidence]] = {
        "betting": betting,
        "empirical_bernstein": empirical_bernstein,
        "hoeffding": hoeffding,
    }
    if method in bounded:
        if low is None or high is None:
            raise InputError(f"{method} needs the range of the variable; pass low and high, or take method='student_t'")
        return bounded[method](values, low, high, delta, unit or "nats", range_known=range_known)
    natural = method == "clopper_pearson" and (low, high) == (0, 1)
    if not natural and (low is not None or high is not None):
        raise InputError(f"{method} does not use the range [{low}, {high}]; leave out low and high")
    if method == "student_t":
        return student_t(values, delta, unit or "nats")
    if method == "percentile_bootstrap":
        return percentile_bootstrap(values, delta, unit=unit or "nats")
    if unit not in (None, "probability"):
        raise InputError(f"unit is {unit!r}, but Clopper–Pearson bounds a probability; leave it out")
    values = sample_of(values)
    other = values[(values != 0) & (values != 1)]
    if len(other):
        raise InputError(f"values holds {other[0]:g}; Clopper–Pearson takes 0 and 1, take method='betting' otherwise")
    return clopper_pearson(int(values.sum()), len(values), delta)


def _within(
    values: Float64, half: float, low: float, high: float, delta: float, unit: PopulationUnit, method: str
) -> Confidence:
    """Mean ± half, cut to the range, which holds the mean for certain."""
    low, high = float(low), float(high)
    mean = mean_of(values)
    half = round_up(half * (1 + 16 * EPS) + 2 * EPS * abs(mean))  # what rounding may have done to both
    lower, upper = max(low, round_down(mean - half)), min(high, round_up(mean + half))
    return Confidence(
        value=mean,
        lower=lower,
        upper=upper,
        level=1 - delta,
        unit=unit,
        method=method,
        guaranteed=True,
        assumptions=_BOUNDED.format(low=low, high=high),
        least=low,
        most=high,
    )


def _outward(quantile: float, side: int) -> float:
    """An end of an interval in [0, 1], moved outward by more than SciPy's quantiles were seen to be off (1e-14)."""
    return min(1.0, max(0.0, float(quantile) * (1 + side * 1e-13)))
