import numpy as np
import pytest
from scipy import stats

from kd2m_theory.estimators import clopper_pearson, paired_difference, student_t


@pytest.mark.parametrize(("successes", "n"), [(0, 20), (3, 20), (20, 20), (450, 1000)])
def test_clopper_pearson_inverts_the_binomial_test(successes, n):
    interval = clopper_pearson(successes, n, 0.1)
    if successes > 0:
        assert stats.binom.sf(successes - 1, n, interval.lower) == pytest.approx(0.05)
    if successes < n:
        assert stats.binom.cdf(successes, n, interval.upper) == pytest.approx(0.05)
    assert interval.guaranteed
    assert interval.level == pytest.approx(0.9)


def violations(trials, delta, draw):
    return clopper_pearson(sum(draw() for _ in range(trials)), trials, 1e-6).lower <= delta


def test_paired_difference_covers():
    rng = np.random.default_rng(0)
    first, second, n, delta = 0.06, 0.02, 200, 0.1

    def misses():
        kinds = rng.multinomial(n, [first, second, 1 - first - second])
        interval = paired_difference(int(kinds[0]), int(kinds[1]), n, delta)
        assert interval.value == pytest.approx((kinds[0] - kinds[1]) / n)
        return not interval.lower <= first - second <= interval.upper

    assert violations(2000, delta, misses)


def test_student_t_covers_a_normal_mean_and_says_that_it_is_not_guaranteed():
    rng = np.random.default_rng(1)
    assert violations(2000, 0.1, lambda: not _inside(student_t(rng.normal(1.0, 2.0, size=15), 0.1), 1.0))
    assert not student_t(rng.normal(size=5), 0.1).guaranteed


def _inside(interval, value):
    return interval.lower <= value <= interval.upper
