import inspect
import math
from dataclasses import replace

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from kd2m_theory.errors import InputError
from kd2m_theory.estimators import clopper_pearson, paired_difference, student_t
from kd2m_theory.estimators.betting import betting, betting_in_order, stakes
from kd2m_theory.estimators.intervals import (
    difference,
    empirical_bernstein,
    hoeffding,
    mean_interval,
    percentile_bootstrap,
)


@pytest.mark.parametrize(("successes", "n"), [(0, 20), (3, 20), (20, 20), (450, 1000)])
def test_clopper_pearson_inverts_the_binomial_test(successes, n):
    interval = clopper_pearson(successes, n, 0.1)
    if successes > 0:
        assert stats.binom.sf(successes - 1, n, interval.lower) == pytest.approx(0.05)
    if successes < n:
        assert stats.binom.cdf(successes, n, interval.upper) == pytest.approx(0.05)
    assert interval.guaranteed
    assert interval.level == pytest.approx(0.9)


@pytest.mark.parametrize("delta", [0.05, 1e-6, 1e-12, 1e-15, 1e-17, 1e-100])
@pytest.mark.parametrize("n", [1, 30, 1000, 10**6])
def test_clopper_pearson_at_any_level_by_its_closed_form(n, delta):
    """No success: (1 − p)ⁿ = δ/2, in 150 digits."""
    with mpmath.workdps(150):
        end = 1 - (mpmath.mpf(delta) / 2) ** (mpmath.mpf(1) / n)
        none, all_of_them = clopper_pearson(0, n, delta), clopper_pearson(n, n, delta)
        assert end <= none.upper <= min(end * (1 + mpmath.mpf(10) ** -12), 1)
        assert all_of_them.lower <= 1 - end
        assert all_of_them.lower >= (1 - end) * (1 - mpmath.mpf(10) ** -12)


@pytest.mark.parametrize("delta", [0.05, 1e-12, 1e-17, 1e-100])
def test_student_t_at_any_level_by_its_closed_form(delta):
    """Two values: one degree of freedom, the Cauchy law, whose quantile is cot(πδ/2)."""
    interval = student_t([0.0, 1.0], delta)
    with mpmath.workdps(60):
        half = mpmath.cot(mpmath.pi * mpmath.mpf(delta) / 2) * mpmath.mpf("0.5")
        assert interval.upper - 0.5 == pytest.approx(float(half), rel=1e-9)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: clopper_pearson(5, 3, 0.05), "successes is 5; give a whole number from 0 to n = 3"),
        (lambda: clopper_pearson(-1, 3, 0.05), "successes is -1"),
        (lambda: clopper_pearson(1.5, 3, 0.05), "successes is 1.5"),
        (lambda: clopper_pearson(float("nan"), 3, 0.05), "successes is nan"),
        (lambda: clopper_pearson(0, 0, 0.05), "n is 0; give a whole number ≥ 1"),
        (lambda: clopper_pearson(0, float("inf"), 0.05), "n is inf"),
        (lambda: paired_difference(2, -1, 3, 0.05), "only_second is -1"),
        (lambda: paired_difference(2, 2, 3, 0.05), "2 and 2 discordant trials are more than n = 3"),
        (lambda: student_t(np.array([1.0]), 0.05), "values has 1 entries; this interval needs at least 2"),
        (lambda: student_t([1.0, np.nan], 0.05), "values holds 1 NaN"),
        (lambda: difference(clopper_pearson(1, 3, 0.05), student_t([1.0, 2.0], 0.05)), "cannot subtract an interval in nats"),
    ],
)
def test_no_interval_is_made_of_what_no_sample_can_be(make, message):
    """Counts and samples that have no interval gave NaN, and Clopper–Pearson's was marked as guaranteed."""
    with pytest.raises(InputError, match=message) as error:
        make()
    assert "\n" not in str(error.value)


def violations(trials, delta, draw):
    return clopper_pearson(sum(draw() for _ in range(trials)), trials, 1e-6).lower <= delta


def test_student_t_covers_a_normal_mean_and_says_that_it_is_not_guaranteed():
    rng = np.random.default_rng(1)
    assert violations(2000, 0.1, lambda: not _inside(student_t(rng.normal(1.0, 2.0, size=15), 0.1), 1.0))
    assert not student_t(rng.normal(size=5), 0.1).guaranteed


def _inside(interval, value):
    return interval.lower <= value <= interval.upper


BOUNDED = {
    "hoeffding": hoeffding,
    "empirical Bernstein": empirical_bernstein,
    "betting": betting,
    "betting in order": betting_in_order,
}
# Draw n values in [0, 1], and their mean.
LAWS = {
    "Bernoulli": (lambda rng, n: (rng.random(n) < 0.1).astype(float), 0.1),
    "Beta": (lambda rng, n: rng.beta(2.0, 5.0, n), 2 / 7),
    "rare and large": (lambda rng, n: (rng.random(n) < 0.03) * rng.beta(8.0, 2.0, n), 0.03 * 0.8),
}
DELTA = 0.1


def covers(interval_of, law, n, trials=400, seed=0):
    """Whether the miss rate is compatible with δ, judged by Clopper–Pearson at one in a million."""
    draw, mean = LAWS[law]
    rng = np.random.default_rng(seed)
    return not_refuted(trials, lambda: not _inside(interval_of(draw(rng, n)), mean))


def not_refuted(trials, miss):
    return clopper_pearson(sum(miss() for _ in range(trials)), trials, 1e-6).lower <= DELTA


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("n", [50, pytest.param(500, marks=pytest.mark.long)])
@pytest.mark.parametrize("name", BOUNDED)
def test_bounded_intervals_cover_at_every_n(name, n, law):
    assert covers(lambda v: BOUNDED[name](v, 0, 1, DELTA, range_known=True), law, n)


@pytest.mark.parametrize("law", [pytest.param("Bernoulli", marks=pytest.mark.long), "Beta"])
@pytest.mark.parametrize(
    "interval_of",
    [pytest.param(lambda v: percentile_bootstrap(v, DELTA), marks=pytest.mark.long), lambda v: student_t(v, DELTA)],
)
def test_asymptotic_intervals_cover_at_500(interval_of, law):
    assert covers(interval_of, law, 500, trials=200)
    assert not interval_of(np.arange(5.0)).guaranteed


@pytest.mark.parametrize(
    ("law", "broken"),
    [
        ("rare and large", lambda v: student_t(v, DELTA)),  # skewed: its coverage at n = 50 is far from nominal
        ("rare and large", lambda v: percentile_bootstrap(v, DELTA)),
        ("rare and large", lambda v: hoeffding(v, 0, max(v.max(), 1e-9), DELTA, range_known=True)),  # range of the sample
        ("Beta", lambda v: _shrunk(hoeffding(v, 0, 1, DELTA), 0.1)),
        ("Beta", lambda v: _shrunk(betting_in_order(v, 0, 1, DELTA), 0.5)),
        ("Bernoulli", lambda v: _shrunk(betting(v, 0, 1, DELTA), 0.3)),
    ],
)
def test_the_judge_catches_an_interval_that_is_too_short(law, broken):
    assert not covers(broken, law, 50)


def _shrunk(interval, factor):
    lower, upper = (interval.value + factor * (end - interval.value) for end in (interval.lower, interval.upper))
    return replace(interval, lower=lower, upper=upper)


@pytest.mark.parametrize(
    "order",
    [
        np.sort,
        pytest.param(lambda v: np.sort(v)[::-1], marks=pytest.mark.long),
        pytest.param(lambda v: v[np.argsort(np.sin(1e6 * v), kind="stable")], marks=pytest.mark.long),
    ],
)
def test_betting_covers_values_that_come_in_an_order_of_their_own(order):
    """A file in the order of its classes is not a sequence of independent values."""
    assert covers(lambda v: betting(order(v), 0, 1, DELTA), "Bernoulli", 500)
    assert not covers(lambda v: betting_in_order(np.sort(v), 0, 1, DELTA), "Bernoulli", 500)


@pytest.mark.long
def test_betting_covers_where_one_permutation_for_everybody_did_not():
    rng = np.random.default_rng(0)
    misses = sum(not _inside(betting(np.sort(rng.random(196) < 0.525), 0, 1, 0.05), 0.525) for _ in range(1000))
    assert clopper_pearson(misses, 1000, 1e-6).lower <= 0.05


def test_betting_covers_the_average_of_strata():
    """Independent values of different laws, as in a file with a fixed number of each class: μ is the average of their means."""
    rng = np.random.default_rng(0)
    means = np.repeat([0.02, 0.3, 0.9], [200, 150, 50])
    assert not_refuted(400, lambda: not _inside(betting(rng.random(400) < means, 0, 1, DELTA), means.mean()))


@given(values=st.lists(st.floats(0, 1), min_size=2, max_size=40), data=st.data())
def test_no_interval_depends_on_the_order(values, data):
    order = data.draw(st.permutations(range(len(values))))
    moved = [values[k] for k in order]
    for interval_of in (hoeffding, empirical_bernstein, betting):
        assert ends_of(interval_of(moved, 0, 1, DELTA, range_known=True)) == pytest.approx(
            ends_of(interval_of(values, 0, 1, DELTA, range_known=True)), rel=1e-12, abs=1e-15
        )
    assert ends_of(student_t(moved, DELTA)) == pytest.approx(ends_of(student_t(values, DELTA)), rel=1e-12, abs=1e-15)
    assert percentile_bootstrap(moved, DELTA, 50) == percentile_bootstrap(values, DELTA, 50)
    assert betting(moved, 0, 1, DELTA, range_known=True) == betting(values, 0, 1, DELTA, range_known=True)


def ends_of(interval):
    return [interval.lower, interval.value, interval.upper]


def test_hoeffding_inverts_its_tail_bound():
    values = np.array([0.1, 0.5, 0.9, 0.3, 0.7])
    interval = hoeffding(values, 0, 2, 0.2)
    half = mpmath.mpf(interval.upper) - mpmath.mpf(values.mean())
    assert float(2 * mpmath.exp(-2 * 5 * half**2 / 4)) == pytest.approx(0.2, rel=1e-12)
    assert interval.lower == 0.0  # cut: the mean cannot be negative


@pytest.mark.long
def test_empirical_bernstein_is_maurer_and_pontils_bound():
    values, delta = [0.25, 0.5, 0.75, 0.5] * 100, 0.1
    interval = empirical_bernstein(values, 0, 1, delta)
    n, side = 400, mpmath.mpf(delta) / 2
    pairs = sum((mpmath.mpf(a) - b) ** 2 for a in values for b in values) / (2 * n * (n - 1))  # V as in the paper
    half = mpmath.sqrt(2 * pairs * mpmath.log(2 / side) / n) + 7 * mpmath.log(2 / side) / (3 * (n - 1))
    assert interval.upper == pytest.approx(float(0.5 + half), rel=1e-12)
    assert interval.upper >= 0.5 + half
    assert interval.lower <= 0.5 - half


@pytest.mark.parametrize("law", LAWS)
def test_betting_in_order_agrees_with_the_capital_process_played_one_round_at_a_time(law):
    """Independent oracle: the definition, in 50 digits; means outside the interval ruin the bettor's opponent, inside not."""
    values, delta = LAWS[law][0](np.random.default_rng(5), 80), 0.1
    interval = betting_in_order(values, 0, 1, delta, range_known=True)

    def richest(m, side):
        with mpmath.workdps(50):
            capital, best, total, spread = mpmath.mpf(1), mpmath.mpf(1), mpmath.mpf(1) / 2, mpmath.mpf(1) / 4
            for i, x in enumerate(map(mpmath.mpf, values.tolist())):
                stake = mpmath.sqrt(2 * mpmath.log(2 / mpmath.mpf(delta)) / (80 * spread / (i + 1)))
                stake = min(stake, 0.75 / (m if side > 0 else 1 - m))
                capital *= 1 + side * stake * (x - m)
                best = max(best, capital)
                total += x
                spread += (x - total / (i + 2)) ** 2
            return best

    step = mpmath.mpf(2) ** -20
    for end, side in ((interval.lower, 1), (interval.upper, -1)):
        if 0 < end < 1:
            assert richest(end - side * step / 10, side) >= 2 / delta  # rejected just outside
            assert richest(end + side * 2 * step, side) < 2 / delta  # kept two grid steps inside


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("n", [1, 7, 80, pytest.param(3000, marks=pytest.mark.long)])
def test_betting_is_the_mixture_that_it_says(law, n):
    """Independent oracle: the definition with products instead of logarithms, in 60 digits, with the stakes that ship."""
    values, delta = LAWS[law][0](np.random.default_rng(5), n), 0.1
    interval = betting(values, 0, 1, delta, range_known=True)
    theta, weights = stakes(n, delta / 2)
    assert theta.min() > 0
    assert math.fsum(weights) == pytest.approx(1, abs=1e-15)

    def fortune(sample, m):
        with mpmath.workdps(60):
            products = [mpmath.fprod(1 + mpmath.mpf(t) * mpmath.mpf(x) for x in sample.tolist()) for t in theta]
            return sum(
                mpmath.mpf(w) * product / (1 + mpmath.mpf(t) * m) ** n
                for t, w, product in zip(theta, weights, products, strict=True)
            )

    step = mpmath.mpf(2) ** -20
    for end, sample in ((mpmath.mpf(interval.lower), values), (1 - mpmath.mpf(interval.upper), 1 - values)):
        if 0 < end < sample.mean() - 1e-5:
            assert fortune(sample, end - step / 10) >= 2 / delta  # ruled out just outside
            assert fortune(sample, end + 2 * step) < 2 / delta  # kept two grid steps inside


def test_a_mean_of_the_law_makes_a_fortune_no_more_often_than_it_may():
    """E of the mixture against the true mean is at most 1, exactly, for independent values of different laws."""
    rng = np.random.default_rng(3)
    for _ in range(50):
        n = int(rng.integers(1, 6))
        theta, weights = stakes(int(rng.integers(1, 10_000)), float(rng.uniform(0.001, 0.9)))
        p = rng.random(n)
        expected = [math.prod(1 + t * p) / (1 + t * p.mean()) ** n for t in theta]
        assert weights @ expected <= 1 + 1e-12


def test_seed_of_betting_warns_and_changes_nothing():
    values = np.random.default_rng(0).random(20)
    with pytest.warns(DeprecationWarning, match="seed of betting"):
        assert betting(values, 0, 1, 0.1, seed=3) == betting(values, 0, 1, 0.1)


def test_the_order_of_the_methods():
    calm = 0.5 + 0.01 * np.random.default_rng(0).standard_normal(1000).clip(-3, 3)
    widths = [
        f(calm, 0, 1, 0.05).upper - f(calm, 0, 1, 0.05).lower
        for f in (betting_in_order, betting, empirical_bernstein, hoeffding)
    ]
    assert widths[0] < widths[1] < widths[2] < widths[3]
    wild = np.arange(30) % 2
    assert empirical_bernstein(wild, 0, 1, 0.05).upper >= hoeffding(wild, 0, 1, 0.05).upper


@pytest.mark.parametrize("name", BOUNDED)
@pytest.mark.parametrize(("scale", "shift"), [(3.0, -1.0), (-2.0, 5.0), (1e-6, 0.0)])
def test_rescaling_the_variable_rescales_the_interval(name, scale, shift):
    values = np.random.default_rng(2).beta(2, 5, 60)
    plain = BOUNDED[name](values, 0, 1, 0.1)
    moved = BOUNDED[name](scale * values + shift, *sorted((shift, scale + shift)), 0.1)
    ends = sorted(scale * end + shift for end in (plain.lower, plain.upper))
    assert [moved.lower, moved.upper] == pytest.approx(ends, abs=3e-6 * abs(scale))  # the grid of betting


@pytest.mark.parametrize("name", BOUNDED)
@pytest.mark.parametrize("values", [[0.0, 0.0], [1.0, 1.0, 1.0], [0.0, 1.0], [0.5] * 40], ids=str)
def test_the_interval_stays_in_the_range_and_holds_the_mean(name, values):
    interval = BOUNDED[name](values, 0, 1, 0.05)
    assert 0 <= interval.lower <= interval.value <= interval.upper <= 1
    assert interval.guaranteed
    assert "[0, 1]" in interval.assumptions


@pytest.mark.parametrize(
    ("values", "low", "high"),
    [
        ([0.2, 0.5, 0.9], 0.2, 0.9),  # both ends
        ([0.2, 0.5, 2.7], 0, 2.7),  # the largest loss that was seen
        ([-1.3, 0.5, 0.7], -1.3, 1),
        ([0, 1, 2, 2, 0], 0, 2),
    ],
)
@pytest.mark.parametrize("name", BOUNDED)
def test_a_range_taken_from_the_sample_is_refused(name, values, low, high):
    with pytest.raises(InputError, match="voids the guarantee"):
        BOUNDED[name](values, low, high, 0.05)
    assert BOUNDED[name](values, low, high, 0.05, range_known=True).guaranteed


@pytest.mark.parametrize(
    "values", [[0, 1, 1, 0], np.array([True, False, True]), [0.0, 0.3, 0.6], [0.2, 1.0, 0.5], [1.0] * 5], ids=str
)
def test_a_range_of_the_variable_is_accepted(values):
    for interval_of in BOUNDED.values():
        interval_of(values, 0, 1, 0.05)
    clipped = np.minimum(np.random.default_rng(0).exponential(size=50), 1.5)
    hoeffding(clipped, 0, 1.5, 0.05)


def test_the_bootstrap_agrees_with_scipy():
    values = np.random.default_rng(3).exponential(size=200)
    ours = percentile_bootstrap(values, 0.1, resamples=20_000, seed=1)
    seed = "rng" if "rng" in inspect.signature(stats.bootstrap).parameters else "random_state"  # as SciPy 1.14 calls it
    theirs = stats.bootstrap((values,), np.mean, confidence_level=0.9, n_resamples=20_000, method="percentile", **{seed: 2})
    ends = theirs.confidence_interval
    assert [ours.lower, ours.upper] == pytest.approx([ends.low, ends.high], abs=0.01)
    assert ours == percentile_bootstrap(values, 0.1, resamples=20_000, seed=1)


def test_one_door_to_every_method():
    values = np.random.default_rng(4).beta(2, 5, 100)
    assert mean_interval(values, low=0, high=1) == betting(values, 0, 1, 0.05)
    assert mean_interval(values, "hoeffding", 0, 1, 0.1, "distance") == hoeffding(values, 0, 1, 0.1, "distance")
    assert mean_interval(values, "empirical_bernstein", 0, 1) == empirical_bernstein(values, 0, 1, 0.05)
    assert mean_interval(values, "student_t") == student_t(values, 0.05)
    assert mean_interval(values, "percentile_bootstrap", unit="distance").unit == "distance"
    events = values > 0.3
    assert mean_interval(events, "clopper_pearson") == clopper_pearson(int(events.sum()), 100, 0.05)
    assert mean_interval(events, "clopper_pearson", 0, 1).unit == "probability"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"values": []}, "values has 0 entries"),
        ({"values": [0.5, float("nan")]}, "NaN"),
        ({"values": [0.5, 1.5]}, "values holds 1.5, outside"),
        ({"method": "empirical_bernstein", "values": [0.5]}, "at least 2"),
        ({"method": "chebyshev"}, "method is 'chebyshev'"),
        ({"low": None}, "betting needs the range"),
        ({"low": 1, "high": 0}, r"\[1, 0\] is not a range"),
        ({"high": float("inf")}, "is not a range"),
        ({"method": "student_t"}, "student_t does not use the range"),
        ({"method": "clopper_pearson", "high": 2}, "clopper_pearson does not use the range"),
        ({"method": "clopper_pearson"}, "values holds 0.5"),
        ({"method": "clopper_pearson", "values": [0, 1], "unit": "nats"}, "unit is 'nats'"),
        ({"delta": 0}, "delta is 0"),
        ({"method": "percentile_bootstrap", "low": None, "high": None, "delta": 1e-4}, "resamples is 2000"),
    ],
)
def test_what_has_no_interval_is_refused(arguments, message):
    with pytest.raises(InputError, match=message) as error:
        mean_interval(**({"values": [0.5, 0.25], "low": 0, "high": 1} | arguments))
    assert "\n" not in str(error.value)
