"""The interval for a difference on the same trials: exact coverage by enumeration, symmetry, and what it gains."""

import math

import mpmath
import numpy as np
import pytest

from kd2m_theory.estimators import clopper_pearson, paired_difference
from kd2m_theory.estimators.intervals import chernoff_limit
from kd2m_theory.estimators.paired import difference_limit, paired_limit


def misses(intervals, n, p, q):
    """Exact probabilities that the interval lies above and below p − q: a sum over all counts."""
    above = below = 0.0
    for (first, second), interval in intervals.items():
        ways = math.comb(n, first) * math.comb(n - first, second)
        chance = ways * p**first * q**second * max(0.0, 1 - p - q) ** (n - first - second)
        above += chance * (interval.lower > p - q + 1e-12)
        below += chance * (interval.upper < p - q - 1e-12)
    return above, below


@pytest.mark.parametrize(("n", "delta"), [(1, 0.1), (4, 0.3), (9, 0.1)])
def test_each_side_misses_with_at_most_half_of_delta_whatever_the_probabilities(n, delta):
    def worst(level):
        intervals = {(a, b): paired_difference(a, b, n, level) for a in range(n + 1) for b in range(n + 1 - a)}
        shares = np.linspace(0, 1, 26)
        return max(max(misses(intervals, n, s * u, s * (1 - u))) for s in shares for u in shares)

    assert worst(delta) <= delta / 2
    if n == 9:  # and at three times the level it would: the check can fail, and the interval is not far from the narrowest
        assert worst(3 * delta) > delta / 2


@pytest.mark.parametrize("counts", [(0, 0, 40), (7, 3, 40), (40, 0, 40), (120, 90, 3000)])
@pytest.mark.parametrize("delta", [0.9, 0.05, 1e-9])
def test_events_that_change_places_turn_the_sign(counts, delta):
    first, second, n = counts
    one, other = paired_difference(first, second, n, delta), paired_difference(second, first, n, delta)
    assert (one.lower, one.upper) == (-other.upper, -other.lower)
    assert -1 <= one.lower <= one.value <= one.upper <= 1
    assert one.guaranteed
    assert one.level == 1 - delta


def test_it_is_never_wider_at_a_larger_delta_and_holds_the_whole_range_at_the_smallest():
    widths = [(lambda i: i.upper - i.lower)(paired_difference(9, 4, 100, d)) for d in (1e-100, 1e-12, 0.01, 0.05, 0.5)]
    assert widths == sorted(widths, reverse=True)


def test_it_gains_on_two_intervals_where_there_are_discordant_trials():
    for first, second, n, most in ((50, 50, 1000, 0.75), (40, 10, 1000, 0.83), (1000, 1000, 10_000, 0.71), (1, 1, 100, 1.14)):
        interval = paired_difference(first, second, n, 0.05)
        apart = [clopper_pearson(count, n, 0.025) for count in (first, second)]
        both = apart[0].upper - apart[1].lower - (apart[0].lower - apart[1].upper)
        assert interval.upper - interval.lower <= most * both


def test_limits_from_larger_counts_are_larger_and_fail_only_where_the_exact_one_does():
    """Of 40 trials, all counts: what a plan needs that knows upper limits of both counts alone."""
    for first in range(0, 12, 3):
        for second in range(0, 12, 4):
            exact = paired_limit(first, second, 40, 0.05)
            limits = [difference_limit(first - second, first + second + more, 40, 0.05) for more in (0, 3, 20)]
            assert exact <= limits[0] + 1e-7
            assert limits == sorted(limits)
            assert difference_limit(first - second + 1, first + second, 40, 0.05) >= limits[0]


def test_chernoffs_limit_is_no_less_than_the_exact_one_of_a_count():
    for hits, n, tail in ((0, 50, 0.05), (3, 50, 0.01), (40, 50, 0.05), (50, 50, 0.05), (2, 10_000, 1e-9)):
        exact = clopper_pearson(hits, n, 2 * tail).upper
        limit = chernoff_limit(hits / n, n, tail)
        assert exact <= limit
        if 0 < hits < n:  # at the limit the bound on the chance of so few is the tail
            share = mpmath.mpf(hits) / n
            kl = share * mpmath.log(share / limit) + (1 - share) * mpmath.log((1 - share) / (1 - mpmath.mpf(limit)))
            assert float(mpmath.exp(-n * kl)) == pytest.approx(tail, rel=1e-5)
