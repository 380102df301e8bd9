"""Drawing without replacement: the law of the order, exact failure by enumeration, and a limit written out from its definition."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from kd2m_theory.estimators.drawing import drawing_order, fixed_shares, remainder_limit


def arguments(values, most, weights, order):
    """What the limit is computed from after all draws of an order, possibly not of all rows."""
    left = [weights[[i for i in range(len(weights)) if i not in order[:t]]].sum() for t in range(len(order))]
    ratios = [max(most[i] / weights[i] for i in range(len(weights)) if i not in order[:t]) for t in range(len(order))]
    undrawn = [i for i in range(len(weights)) if i not in order]
    drawn = list(order)
    return values[drawn], weights[drawn], np.array(left), np.array(ratios), float(most[undrawn].sum())


def chance(order, weights):
    """Of an order in which each next row has a chance that is proportional to its weight."""
    found, left = 1.0, weights.sum()
    for row in order:
        found *= weights[row] / left
        left -= weights[row]
    return found


def total_by_definition(values, most, weights, order, planned, tail, grid=250):
    """Largest total, of a grid, whose mixture of capitals never reached 1/tail."""
    kept = 0.0
    for total in np.linspace(0, most.sum(), grid):
        capitals, best = dict.fromkeys(fixed_shares(planned, tail), 1.0), 0.0
        for t, row in enumerate(order):
            rest = [i for i in range(len(weights)) if i not in order[:t]]
            mean = (total - sum(values[i] for i in order[:t])) / sum(weights[i] for i in rest)
            top = max(most[i] / weights[i] for i in rest)
            if mean >= top * (1 - 1e-9):  # all rows left would have the largest value
                best = best if values[row] >= weights[row] * top * (1 - 1e-9) else math.inf
                break
            for g in capitals:
                capitals[g] *= 1 - g + g * (1 - values[row] / weights[row] / top) / (1 - mean / top)
            best = max(best, sum(capitals.values()) / len(capitals))
        if best < 1 / tail:
            kept = max(kept, total)
    return kept


def pools(rng):
    """Small populations: equal rows, one heavy row, values at their ends and between."""
    for size in (3, 4):
        most = rng.exponential(size=size) + 0.05
        for values in (np.zeros(size), most, most * rng.random(size), np.where(np.arange(size) == 0, most, 0.0)):
            yield values, most, most
            yield values, most, np.ones(size)
            yield values, most, most + rng.exponential(size=size)


def ever_missed(values, most, weights, tail):
    """Probability that the limit is too small after some number of draws: a sum over all orders."""
    found = 0.0
    for order in itertools.permutations(range(len(values))):
        for n in range(1, len(values)):
            part = order[:n]
            undrawn = sum(values[i] for i in order[n:])
            if remainder_limit(*arguments(values, most, weights, part), len(values), tail) < undrawn - 1e-9:
                found += chance(order, weights)
                break
    return found


def test_each_next_row_has_a_chance_proportional_to_its_weight():
    weights = np.array([1.0, 0.0, 2.0, 5.0])
    rng = np.random.default_rng(3)
    draws = [tuple(drawing_order(weights, rng).tolist()) for _ in range(6000)]
    orders = list(itertools.permutations((0, 2, 3)))
    expected = np.array([chance(order, weights) for order in orders]) * len(draws)
    assert set(draws) == set(orders)
    assert stats.chisquare([draws.count(order) for order in orders], expected).pvalue > 0.01


def test_weights_of_any_size_give_an_order():
    weights = np.array([1e-300, 5e-324, 1e300, 0.0, 1.0])
    order = drawing_order(weights, np.random.default_rng(0))
    assert order.tolist() == [2, 4, 0, 1]


def test_the_limit_fails_with_at_most_its_probability_whenever_one_stops():
    """Exact, on all orders; and the largest failure is not far below what is allowed: the check can fail."""
    worst = 0.0
    for values, most, weights in pools(np.random.default_rng(5)):
        missed = ever_missed(values, most, weights, 0.3)
        assert missed <= 0.3
        worst = max(worst, missed)
    assert worst > 0.1


def test_the_limit_is_that_of_its_definition():
    rng = np.random.default_rng(8)
    for values, most, weights in pools(rng):
        order = tuple(rng.permutation(len(values))[: len(values) - 1].tolist())
        drawn = sum(values[i] for i in order)
        limit = drawn + remainder_limit(*arguments(values, most, weights, order), 4, 0.2)
        slow = min(
            total_by_definition(values, most, weights, order, 4, 0.2), drawn + arguments(values, most, weights, order)[4]
        )
        assert limit == pytest.approx(slow, abs=2 * most.sum() / 250)


@pytest.mark.parametrize(("rows", "draws", "hits"), [(60, 20, 0), (400, 50, 2), (400, 200, 30), (5000, 100, 0)])
def test_it_is_near_the_exact_limit_of_a_count_which_holds_at_one_size_alone(rows, draws, hits):
    """The exact limit: the largest number of ones of which so few would be drawn with probability above 0.025."""
    counts = np.arange(hits, rows - draws + hits + 1)
    exact = int(counts[stats.hypergeom.cdf(hits, rows, counts, draws) > 0.025].max()) - hits
    values = np.zeros(draws)
    values[np.linspace(0, draws - 1, hits).astype(int)] = 1.0
    left = rows - np.arange(draws, dtype=np.float64)
    limit = remainder_limit(values, np.ones(draws), left, np.ones(draws), float(rows - draws), draws, 0.025)
    assert exact <= limit <= 1.7 * exact + 1


def test_more_draws_never_raise_the_limit_of_the_sum():
    rng = np.random.default_rng(2)
    most = rng.exponential(size=40)
    values, order = most * (rng.random(40) < 0.2), tuple(drawing_order(most, rng).tolist())
    totals = []
    for n in range(41):
        drawn = arguments(values, most, most, order[:n])
        totals.append(values[list(order[:n])].sum() + remainder_limit(*drawn, 20, 0.05))
    # up to the 2⁻³² of the range at which a search ends
    assert all(later <= earlier + 1e-9 * most.sum() for earlier, later in itertools.pairwise(totals))
    assert totals[-1] == pytest.approx(values.sum())


@pytest.mark.parametrize("size", [1e-290, 1.0, 1e290])
@pytest.mark.parametrize("tail", [0.999, 1e-3, 1e-300])
def test_values_of_any_size_and_any_probability_of_failure(size, tail):
    values, ones = size * np.array([0.0, 1.0, 0.5, 0.0]), size * np.ones(4)
    left = size * np.array([10.0, 9.0, 8.0, 7.0])
    limit = remainder_limit(values, ones, left, np.ones(4), 6 * size, 4, tail)
    assert 0 <= limit <= 6 * size
    assert limit / size == pytest.approx(
        remainder_limit(values / size, ones / size, left / size, np.ones(4), 6.0, 4, tail), rel=1e-9
    )


def test_largest_values_only_leave_nothing_ruled_out_and_no_probability_leaves_what_is_certain():
    ones = np.ones(5)
    left = 20.0 - np.arange(5)
    assert remainder_limit(ones, ones, left, ones, 15.0, 5, 0.05) == 15.0
    assert remainder_limit(0 * ones, ones, left, ones, 15.0, 5, 0.0) == 15.0
    assert remainder_limit(ones[:0], ones[:0], left[:0], ones[:0], 20.0, 5, 0.05) == 20.0


def test_stakes_are_parts_of_the_capital():
    for n, tail in itertools.product((1, 10, 10**6), (0.9, 1e-12)):
        shares = fixed_shares(n, tail)
        assert 0 < shares.min() <= shares.max() == 1
        assert shares.min() <= math.sqrt(2 * math.log(1 / tail) / n)
