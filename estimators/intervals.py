"""Confidence intervals for population quantities."""

import math

import numpy as np
from scipy import stats

from kd2m_theory.errors import InputError
from kd2m_theory.estimators.enclosure import Confidence
from kd2m_theory.estimators.inputs import Float64


def check_delta(delta: float) -> float:
    """Refuse a failure probability outside (0, 1).

    Raises:
        InputError: naming the value.
    """
    if not 0 < delta < 1:
        raise InputError(f"delta is {delta!r}; give the failure probability, a number between 0 and 1 such as 0.05")
    return float(delta)


def clopper_pearson(successes: int, n: int, delta: float) -> Confidence:
    """Exact two-sided interval for a probability from n independent trials (Clopper and Pearson 1934).

    Example:
        >>> print(clopper_pearson(0, 100, 0.05))
        0 [0, 0.03622]
    """
    delta = check_delta(delta)
    lower = float(stats.beta.ppf(delta / 2, successes, n - successes + 1)) if successes > 0 else 0.0
    upper = float(stats.beta.ppf(1 - delta / 2, successes + 1, n - successes)) if successes < n else 1.0
    return Confidence(successes / n, lower, upper, 1 - delta, "probability", "Clopper–Pearson", True, "independent samples")


def paired_difference(only_first: int, only_second: int, n: int, delta: float) -> Confidence:
    """Interval for P(first event alone) − P(second event alone) from n paired trials.

    The difference of two error rates on the same inputs depends on the discordant inputs alone: one Clopper–Pearson
    interval for each kind at δ/2, subtracted.
    """
    first = clopper_pearson(only_first, n, delta / 2)
    second = clopper_pearson(only_second, n, delta / 2)
    return Confidence(
        first.value - second.value,
        first.lower - second.upper,
        first.upper - second.lower,
        1 - check_delta(delta),
        "probability",
        "Clopper–Pearson on discordant pairs",
        True,
        "independent samples",
    )


def difference(first: Confidence, second: Confidence) -> Confidence:
    """Interval for the difference of two quantities, each covered at its own level (union bound)."""
    return Confidence(
        first.value - second.value,
        first.lower - second.upper,
        first.upper - second.lower,
        first.level + second.level - 1,
        first.unit,
        f"{first.method}, union bound",
        first.guaranteed and second.guaranteed,
        first.assumptions,
    )


def student_t(values: Float64, delta: float) -> Confidence:
    """Student's t interval for a mean in nats.

    Cross-entropy has no upper bound, so no interval for its mean is guaranteed at a fixed n: the coverage is asymptotic,
    and the result says so.
    """
    delta = check_delta(delta)
    n = len(values)
    mean = math.fsum(values) / n
    half = float(stats.t.ppf(1 - delta / 2, n - 1)) * float(np.std(values, ddof=1)) / math.sqrt(n)
    return Confidence(
        mean,
        mean - half,
        mean + half,
        1 - delta,
        "nats",
        "Student t",
        False,
        "independent samples, finite variance; coverage only as n grows",
    )
