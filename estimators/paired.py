"""Exact interval for the difference of two probabilities that are observed on the same trials."""

from functools import lru_cache

import numpy as np
from scipy import special, stats

from kd2m_theory.arrays import Float64
from kd2m_theory.errors import InputError
from kd2m_theory.estimators.enclosure import Confidence
from kd2m_theory.estimators.interval_inputs import check_counts, check_delta, one_side
from kd2m_theory.estimators.intervals import clopper_pearson_limits
from kd2m_theory.estimators.scale import round_down, round_up

# What a limit spends of its failure probability on the share of discordant trials: from above, where a larger one allows a
# larger difference, and from below, where it does so rarely.
_ABOVE, _BELOW = 0.1, 0.01
# Cells into which the admitted shares of discordant trials are cut, and halvings of the search for each limit.
_CELLS, _HALVINGS = 64, 26
# What sums over the number of discordant trials leave out on either side, as a part of the failure probability.
_LEFT_OUT = 1e-4


def paired_difference(only_first: int, only_second: int, n: int, delta: float) -> Confidence:
    """Interval for P(first event alone) − P(second event alone) from n paired trials, guaranteed at every n.

    The difference of two error rates on the same inputs depends on the discordant inputs alone. Let p and q be the
    probabilities of both kinds, T the difference of their counts. A difference g is ruled out from above, at a failure
    probability τ = δ/2, if T as small as the one seen has a probability of at most 0.89 τ for every p − q = g with p + q in
    the Clopper–Pearson interval of the discordant trials, whose ends fail with probability 0.1 τ and 0.01 τ (Berger and
    Boos 1994). The probability falls in p and rises in q, so over a cell of values of p + q its value at the least p and the
    largest q is an upper bound; it is summed exactly over the number of discordant trials. From below likewise.

    Compared with the difference of two Clopper–Pearson intervals at δ/2 each, it is narrower where there are more than about
    fifteen discordant trials (down to 0.69 times as wide), and up to 1.13 times as wide where there are fewer.

    Args:
        only_first: trials in which the first event happened and the second did not.
        only_second: trials in which the second happened and the first did not.
        n: trials, at least 1.
        delta: failure probability.

    Raises:
        InputError: no trial, counts that are not whole numbers ≥ 0 or exceed n together, or delta outside (0, 1).

    Source:
        Berger & Boos, "P values maximised over a confidence set for the nuisance parameter", JASA 89 (1994).

    Example:
        >>> paired_difference(12, 5, 200, 0.05)
        Confidence(0.035 in [−0.02389, 0.09177], probability, guaranteed at 95 %)
    """
    delta = check_delta(delta)
    check_counts(n, only_first=only_first, only_second=only_second)
    if only_first + only_second > n:
        raise InputError(f"{only_first} and {only_second} discordant trials are more than n = {n}; each trial is of one kind")
    value = (only_first - only_second) / n
    return Confidence(
        value=value,
        lower=max(-1.0, min(value, round_down(-paired_limit(only_second, only_first, n, one_side(delta))))),
        upper=min(1.0, max(value, round_up(paired_limit(only_first, only_second, n, one_side(delta))))),
        level=1 - delta,
        unit="probability",
        method="exact on discordant pairs",
        guaranteed=True,
        assumptions="independent samples",
        least=-1.0,
        most=1.0,
    )


def difference_limit(difference: int, discordant: int, n: int, tail: float) -> float:
    """Upper limit of P(first event alone) − P(second event alone) from upper limits of what was counted.

    As the upper end of `paired_difference`, but the share of discordant trials may lie anywhere from 0 to the upper limit of
    Clopper and Pearson. The limit grows with both counts, so that either may be replaced by a larger number. It is never
    below that of `paired_difference` on the exact counts: where it fails, that one fails too.

    Args:
        difference: trials of the first kind alone less those of the second alone, or more.
        discordant: trials of either kind, or more.
        n: trials, at least 1.
        tail: failure probability.

    Raises:
        InputError: no trial, or more discordant ones than trials.

    Example:
        >>> round(difference_limit(7, 17, 200, 0.025), 5), round(difference_limit(7, 30, 200, 0.025), 5)
        (0.09196, 0.10558)
    """
    check_counts(n, discordant=discordant)
    _, highest = clopper_pearson_limits(discordant, n, _ABOVE * tail)
    return min(1.0, max(difference / n, round_up(_largest(difference, 0.0, highest, n, tail))))


def paired_limit(first: int, second: int, n: int, tail: float) -> float:
    """Upper limit of p − q from the counts of both kinds, wrong with probability at most `tail`: one side of the interval."""
    lowest, _ = clopper_pearson_limits(first + second, n, _BELOW * tail)
    _, highest = clopper_pearson_limits(first + second, n, _ABOVE * tail)
    return _largest(first - second, lowest, highest, n, tail)


# A study of many samples meets the same few counts again and again.
@lru_cache(maxsize=4096)
def _largest(difference: int, lowest: float, highest: float, n: int, tail: float) -> float:
    """Upper limit of p − q, wrong with probability at most `tail` less what the limits of p + q spend of it."""
    allowed = (1 - _ABOVE - _BELOW - 2 * _LEFT_OUT) * tail * (1 - 1e-7)  # rounding of the sums: below 1e-8 at n = 10⁷
    sums = np.linspace(lowest, highest, _CELLS + 1)
    least = np.maximum(stats.binom.ppf(_LEFT_OUT * tail, n, sums[:-1]) - 1, 0)
    most = np.minimum(stats.binom.isf(_LEFT_OUT * tail, n, sums[1:]) + 1, n)
    counts = least[:, None] + np.arange(float((most - least).max()) + 1)  # of discordant trials
    # At most so many of them are of the first kind.
    few = np.floor((counts + difference) / 2)
    logs = np.where(counts <= n, special.gammaln(n + 1) - special.gammaln(counts + 1), -np.inf)
    logs -= special.gammaln(np.maximum(n - counts, 0) + 1)

    def chance(cells: slice, g: float) -> Float64:
        """P(T ≤ difference) at p − q = g, at most, for p + q in each cell; 0 where no p and q ≥ 0 are like that."""
        p, q = np.maximum(sums[:-1][cells] + g, 0.0) / 2, (sums[1:][cells] - g) / 2
        possible, q = q >= 0, np.maximum(q, 0.0)
        share = np.minimum(p + q, 1.0)
        among = np.divide(q, share, out=np.zeros_like(q), where=share > 0)[:, None]
        m, k, share = counts[cells], few[cells], share[:, None]
        exponents = logs[cells] + special.xlogy(m, share) + special.xlog1py(np.maximum(n - m, 0), -share)
        inner = special.betainc(np.maximum(m - k, 1), np.maximum(k + 1, 1), among)  # k or fewer of m
        inner = np.where(k >= m, 1.0, np.where(k < 0, 0.0, inner))
        found: Float64 = np.where(possible, (np.exp(exponents) * inner).sum(axis=1), 0.0)
        return found

    # The chance falls in g in every cell: the limit is the largest of the cells' own, and mostly that of the last.
    limit, worst = difference / n, _CELLS - 1
    while True:
        cell, kept, gone = slice(worst, worst + 1), limit, highest
        if chance(cell, gone)[0] > allowed:
            return highest
        for _ in range(_HALVINGS):
            middle = (kept + gone) / 2
            kept, gone = (middle, gone) if chance(cell, middle)[0] > allowed else (kept, middle)
        limit = gone
        chances = chance(slice(None), limit)
        worst = int(chances.argmax())
        if chances[worst] <= allowed:
            return limit
