"""Scales and offsets at which float64 loses what it squares: every end against rational arithmetic, which loses nothing."""

import math
import sys
from collections.abc import Mapping
from fractions import Fraction
from functools import partial
from itertools import permutations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kd2m_theory import InputError, estimators
from kd2m_theory.estimators import CostMatrix, VertexNorm
from kd2m_theory.estimators.accumulators import GaussianAccumulator, PairedDistance, RandomFeatureMMD
from kd2m_theory.estimators.kernels import RBF, Laplace, RBFMixture
from kd2m_theory.estimators.scale import centred, in_unit, product_up, rescaled, shifted_down, shifted_up

HOSTILE = [0.0, 5e-324, 3e-310, 1e-300, 1e-170, 1e-160, 1e-8, 0.1, 1.0, 1e8, 1e9, 1e150, 1e160, 1e200, 1.7e308]
finite = st.floats(allow_nan=False, allow_infinity=False)
hostile = st.one_of(st.sampled_from(HOSTILE), st.sampled_from(HOSTILE).map(lambda value: -value), finite)


def points(n, d):
    """n × d hostile numbers: of all sizes, or about one offset."""
    mixed = st.lists(hostile, min_size=n * d, max_size=n * d)
    near = st.tuples(hostile, st.lists(st.integers(-9, 9), min_size=n * d, max_size=n * d)).map(
        lambda drawn: [drawn[0] + step * max(math.ulp(drawn[0]), 1e-170) for step in drawn[1]]
    )
    clipped = st.one_of(mixed, near).map(lambda values: np.clip(values, -sys.float_info.max, sys.float_info.max))
    return clipped.map(lambda values: values.reshape(n, d))


def exact(value):
    return Fraction(value) if math.isfinite(value) else math.copysign(math.inf, value)


@given(value=finite, exponent=st.integers(-2200, 2200))
def test_a_shift_rounds_to_the_nearest_float_outside(value, exponent):
    truth = Fraction(value) * Fraction(2) ** exponent
    lower, upper = shifted_down(value, exponent), shifted_up(value, exponent)
    assert exact(lower) <= truth <= exact(upper)
    assert lower == upper or math.nextafter(lower, math.inf) == upper
    assert (lower == upper) == (exact(lower) == truth)


@given(st.lists(st.floats(0, allow_infinity=False), max_size=6))
def test_a_product_is_bounded_from_above_at_any_scale(factors):
    truth = math.prod(map(Fraction, factors))
    found = product_up(factors)
    assert exact(found) >= truth
    assert (found == 0) == (0 in factors)
    if sys.float_info.min < found < math.inf:
        assert exact(found) <= truth * (1 + Fraction(20, 2**52))


def test_a_product_of_a_zero_and_an_infinite_factor_is_no_nan():
    assert product_up([math.inf, 0.0]) == 0.0
    assert product_up([math.inf, 5e-324]) == math.inf


@given(points(4, 2), points(3, 2))
def test_the_unit_keeps_every_difference(x, y):
    (first, second), exponent = in_unit(x, y)
    for i in range(4):
        for j in range(3):
            truth = [Fraction(b) - Fraction(a) for a, b in zip(x[i], y[j], strict=True)]
            found = [(Fraction(b) - Fraction(a)) * Fraction(2) ** exponent for a, b in zip(first[i], second[j], strict=True)]
            lost = Fraction(2) ** (exponent - 1074)
            assert all(abs(a - b) <= lost for a, b in zip(truth, found, strict=True))
    largest = max(np.abs(first).max(), np.abs(second).max())
    assert largest == 0 or 0.5 <= largest < 1
    moved = centred(first, second)
    radius = max(float(np.abs(cloud).max()) for cloud in moved)
    assert radius <= 2 * float(np.ptp(np.concatenate((first, second)), axis=0).max())


@given(points(3, 2), st.integers(-2000, 2000))
def test_what_a_new_unit_loses_is_told(values, exponent):
    found, lost = rescaled(values, exponent)
    if not lost and np.isfinite(found).all():
        for old, new in zip(values.ravel(), found.ravel(), strict=True):
            assert Fraction(new) == Fraction(old) * Fraction(2) ** exponent


def attempted(call):
    """What a call gives, or None and the words with which it refuses."""
    try:
        return call(), ""
    except InputError as error:
        return None, str(error)


def squares(x, y):
    return [[sum((Fraction(a) - Fraction(b)) ** 2 for a, b in zip(u, v, strict=True)) for v in y] for u in x]


def best(costs):
    n = len(costs)
    return min(sum((costs[i][j] for i, j in enumerate(order)), Fraction()) for order in permutations(range(n))) / n


@given(points(3, 2), points(3, 2))
def test_transport_of_order_two_encloses_the_truth(x, y):
    """All permutations in rational arithmetic: three points of one weight move as a whole (Birkhoff)."""
    truth = best(squares(x, y))
    distance, refused = attempted(lambda: estimators.wasserstein(x, y, p=2))
    if distance is None:
        assert "overflow" in refused
        assert truth > Fraction(2) ** 2040
    else:
        assert exact(distance.lower) ** 2 <= truth <= exact(distance.upper) ** 2
    square, refused = attempted(lambda: estimators.wasserstein(x, y, ground="sqeuclidean"))
    if square is None:
        assert "overflow" in refused
        assert max(np.abs(x).max(), np.abs(y).max()) > 2.0**500  # for points far from 0, the allowance alone may overflow
    else:
        assert exact(square.lower) <= truth <= exact(square.upper)


@given(points(3, 1), points(3, 1), st.sampled_from([0.0, 5e-324, 1e-200, 1.0, 1e200]))
def test_transport_on_the_line_with_labels_encloses_the_truth(x, y, beta):
    moves = [[abs(Fraction(float(u)) - Fraction(float(v))) for v in y[:, 0]] for u in x[:, 0]]
    with_labels = [[moves[i][j] + Fraction(beta) * (i != j) for j in range(3)] for i in range(3)]
    mean, most = sum(map(sum, moves)) / 9, max(map(max, moves))
    joint = partial(estimators.joint_wasserstein, x, y, [0, 1, 2], [0, 1, 2], p=1, beta=beta)

    def shares(unit, label_unit):
        return best([[moves[i][j] / (unit or 1) + Fraction(beta) * (i != j) / label_unit for j in range(3)] for i in range(3)])

    calls = (
        (lambda: estimators.wasserstein(x, y), best(moves)),
        (joint, best(with_labels)),
        (lambda: joint(feature_scale="mean", label_scale="mean"), shares(mean, Fraction(2, 3))),
        (lambda: joint(feature_scale="max", label_scale=3.0), shares(most, 3)),
    )
    for call, truth in calls:
        distance, refused = attempted(call)
        if distance is None:
            assert "overflow" in refused
            assert truth > Fraction(2) ** 1020
        else:
            assert exact(distance.lower) <= truth <= exact(distance.upper)


@given(points(3, 2), points(3, 2), st.sampled_from([0.0, 1e-200, 0.3, 1.0, 1e200]), st.sampled_from(["mean", "max"]))
def test_squares_as_shares_enclose_the_truth(x, y, beta, scale):
    labels, others = [[0.1, 3.0], [0.2, -1e9], [0.3, 0.7]], [[1e-9, 0.3], [0.1, 3.0], [7.0, 0.1]]
    size = (lambda costs: sum(map(sum, costs)) / 9) if scale == "mean" else (lambda costs: max(map(max, costs)))
    of_features, of_labels = squares(x, y), squares(labels, others)
    one, other = size(of_features) or 1, size(of_labels)
    truth = best([[of_features[i][j] / one + Fraction(beta) * of_labels[i][j] / other for j in range(3)] for i in range(3)])
    distance = estimators.joint_wasserstein(x, y, labels, others, beta=beta, feature_scale=scale, label_scale=scale)
    assert exact(distance.lower) ** 2 <= truth <= exact(distance.upper) ** 2
    assert distance.gap <= 1e-9 * distance.upper + 1e-100  # some squares are too small for float64


def test_a_mean_cost_that_underflows_is_refused():
    """The only pair that costs anything has a weight that float64 does not hold."""
    with pytest.raises(InputError, match="feature_scale is 'mean', and that of these costs underflows float64; give a number"):
        estimators.joint_wasserstein(
            [[0.0], [1.0]], [[0.0]], [0, 0], [0], feature_scale="mean", weights_x=[1.0, 1e-310], weights_y=[1.0]
        )


@given(points(3, 2), points(3, 2), points(2, 2))
def test_the_head_aware_cost_encloses_the_truth(x, y, weight):
    def margin(point):
        w, v = weight
        return sum((Fraction(b) - Fraction(a)) * Fraction(p) for a, b, p in zip(w, v, point, strict=True))

    truth = best([[abs(margin(u) - margin(v)) for v in y] for u in x])
    distance, refused = attempted(lambda: estimators.wasserstein(x, y, ground=VertexNorm(weight, label=0)))
    if distance is None:
        assert "overflow" in refused
    else:
        assert exact(distance.lower) <= truth <= exact(distance.upper)


@example(np.full((3, 1), 1.7976929107402389e308), np.array([[1e-170], [0.0], [1e-170]]))  # its lower end was infinite
@given(points(3, 1), points(3, 1))
def test_the_gaussian_distance_encloses_the_truth(x, y):
    """On the line W₂² = (gap of means)² + (gap of deviations)², the second within roots of rationals."""
    means = [sum(map(Fraction, cloud[:, 0].tolist())) / 3 for cloud in (x, y)]
    variances = [sum((Fraction(v) - m) ** 2 for v in cloud[:, 0].tolist()) / 3 for cloud, m in zip((x, y), means, strict=True)]
    scale = Fraction(2) ** 2400  # squares of subnormal numbers, with digits to spare
    roots = [Fraction(math.isqrt(int(v * scale * scale))) / scale for v in variances]
    truth = (means[0] - means[1]) ** 2 + (roots[0] - roots[1]) ** 2
    slack = 4 * sum(roots, Fraction(1) / scale) / scale
    distance, refused = attempted(lambda: estimators.gaussian_wasserstein(x, y))
    if distance is None:
        assert "overflow" in refused
    else:
        assert exact(distance.lower) ** 2 <= truth + slack
        assert truth - slack <= exact(distance.upper) ** 2


@pytest.mark.parametrize("scale", [5e-320, 1e-170, 1.0, 1e150, 1e200])
@pytest.mark.parametrize("offset", [0.0, 1e9])
def test_gromov_wasserstein_of_two_lengths(scale, offset):
    """Lengths 1 and 3: both plans cost 2·(3 − 1)²/4, so that the distance is √2."""
    x, y = np.array([[offset, 0.0], [offset, scale]]), np.array([[0.0, 0.0], [3 * scale, 0.0]])
    found = estimators.gromov_wasserstein(x, y)
    # As the distance is irrational: squares, in rational arithmetic.
    truth = 2 * Fraction(scale) ** 2
    if scale > 1e-300:  # three times the subnormal one is rounded
        assert exact(found.lower) ** 2 <= truth * (1 + Fraction(1, 2**50))
        assert truth * (1 - Fraction(1, 2**50)) <= exact(found.upper) ** 2
    assert found.value == pytest.approx(math.sqrt(2) * scale, rel=1e-3 if scale < 1e-300 else 1e-9)
    assert found.lower > 0.9 * scale


@pytest.mark.parametrize("offset", [0.0, 1e8, 1e9])
@pytest.mark.parametrize("length", [5e-324, 1e-200, 1e-6, 1e150])
def test_sliced_distances_of_one_move_beside_an_offset(length, offset):
    """One point moves by v: SW₂² = ‖v‖²/d, and the worst direction is v."""
    x, y = np.array([[offset, 0.0]]), np.array([[offset, length]])
    sliced = estimators.sliced_wasserstein(x, y, projections=400)
    assert sliced.lower <= length * math.sqrt(0.5) <= sliced.upper
    assert sliced.status == "guaranteed"
    worst = estimators.max_sliced_wasserstein(x, y)
    assert worst.lower <= length <= worst.upper
    assert length < 1e-300 or worst.upper <= length * (1 + 1e-12)


def test_a_sliced_distance_of_points_that_all_agree_is_zero():
    found = estimators.sliced_wasserstein([[0.1, 0.3]] * 3, [[0.1, 0.3]] * 2)
    assert (found.value, found.lower, found.upper) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize("offset", [0.0, 1e6, 1e9])
@pytest.mark.parametrize(
    "distance",
    [
        lambda x, y: estimators.wasserstein(x, y),
        lambda x, y: estimators.wasserstein(x, y, p=2),
        lambda x, y: estimators.max_sliced_wasserstein(x, y),
        lambda x, y: estimators.gromov_wasserstein(x, y),
        lambda x, y: estimators.gaussian_wasserstein(x, y),
        lambda x, y: estimators.mixture_wasserstein([0.5, 0.5], x[:2], np.ones((2, 2)), [0.5, 0.5], y[:2], np.ones((2, 2))),
    ],
)
def test_a_common_offset_changes_no_enclosure_beyond_rounding(distance, offset):
    """Steps of 2⁻²⁰ about an offset are exact, so that the truth does not depend on it."""
    rng = np.random.default_rng(3)
    x, y = rng.integers(-(2**20), 2**20, (2, 5, 2)) / 2**20
    here, there = distance(x, y), distance(x + offset, y + offset)
    assert there.lower <= here.upper
    assert here.lower <= there.upper
    assert there.upper == pytest.approx(here.upper, rel=1e-6)


@pytest.mark.parametrize("scale", [1e-290, 1e-165, 1e150])
@pytest.mark.parametrize("offset", [0.0, 2.0**30])
def test_intervals_do_not_lose_the_variance(scale, offset):
    """Intervals of s·(x + b) are s·(interval of x) + s·b."""
    values = np.array([0.0, 0.25, 0.75, 1.0] * 25)
    moved = scale * (values + offset)
    low, high = scale * offset, scale * (1 + offset)
    pairs = [
        (estimators.student_t(values, 0.05), estimators.student_t(moved, 0.05)),
        tuple(estimators.empirical_bernstein(*each, 0.05, range_known=True) for each in ((values, 0, 1), (moved, low, high))),
        tuple(estimators.hoeffding(*each, 0.05, range_known=True) for each in ((values, 0, 1), (moved, low, high))),
        tuple(estimators.betting(*each, 0.05, range_known=True) for each in ((values, 0, 1), (moved, low, high))),
        (estimators.percentile_bootstrap(values, 0.05), estimators.percentile_bootstrap(moved, 0.05)),
    ]
    for here, there in pairs:
        for end, found in ((here.lower, there.lower), (here.upper, there.upper)):
            assert found / scale - offset == pytest.approx(end, abs=1e-4)


@given(st.lists(st.floats(-1e308, 1e308), min_size=2, max_size=5))
def test_no_interval_of_a_mean_fails_at_any_scale(values):
    for call in (
        lambda: estimators.student_t(values, 0.05),
        lambda: estimators.percentile_bootstrap(values, 0.05, resamples=40),
    ):
        found = call()
        assert found.lower <= found.value <= found.upper
        least, largest = min(values), max(values)
        assert least <= found.value * (1 + 1e-15 * math.copysign(1, found.value))
        assert found.value * (1 - 1e-15 * math.copysign(1, found.value)) <= largest


@pytest.mark.parametrize("kernel", [RBF, Laplace, lambda width: RBFMixture((width, width / 2))])
def test_a_bandwidth_of_any_size_serves_features_of_its_size(kernel):
    x, y = np.array([[0.0], [1.0], [5.0]]), np.array([[2.0], [7.0]])
    expected = estimators.mmd(x, y, kernel(2.0)).value
    for exponent in (-1000, -600, 500, 1000):
        scale = 2.0**exponent
        assert estimators.mmd(scale * x, scale * y, kernel(2 * scale)).value == expected
        if kernel is not Laplace:  # whose feature map has no constant
            assert kernel(2 * scale).lipschitz == kernel(2.0).lipschitz / scale


def found_numbers(found):
    return list(found.values()) if isinstance(found, Mapping) else [found]


def batches(accumulator, x, y):
    accumulator.update(x, y)
    accumulator.merge(accumulator)
    return accumulator.compute()


LABELS = [0, 1, 0, 1]
# Every public function that computes a number from clouds or values: an x and a y of four points, and four values.
CALLS = {
    "wasserstein": lambda x, y, v: [estimators.wasserstein(x, y, p) for p in (1, 2)],
    "class_wasserstein": lambda x, y, v: found_numbers(estimators.class_wasserstein(x, y, LABELS, LABELS)),
    "conditional_wasserstein": lambda x, y, v: [estimators.conditional_wasserstein(x, y, LABELS, LABELS, p) for p in (1, 2)],
    "joint_wasserstein": lambda x, y, v: [
        estimators.joint_wasserstein(x, y, y, x, beta=abs(v[0])),
        estimators.joint_wasserstein(x, y, y, x, beta=abs(v[0]), feature_scale="mean", label_scale="max"),
        estimators.joint_wasserstein(x, y, y, x, 1, feature_scale=abs(v[0]) or 1.0, label_scale="mean"),
    ],
    "sliced_wasserstein": lambda x, y, v: [estimators.sliced_wasserstein(x, y, p, projections=20) for p in (1, 2)],
    "max_sliced_wasserstein": lambda x, y, v: [estimators.max_sliced_wasserstein(x, y, p, starts=2, steps=5) for p in (1, 2)],
    "gromov_wasserstein": lambda x, y, v: [estimators.gromov_wasserstein(x, y)],
    "mixture_wasserstein": lambda x, y, v: [
        estimators.mixture_wasserstein([0.25] * 4, x, abs(y), [0.25] * 4, y, abs(x)),
        estimators.mixture_wasserstein([1.0], x[:1], abs(v[0]) * np.eye(2)[None], [1.0], y[:1], abs(v[1]) * np.eye(2)[None]),
    ],
    "optimal_cost": lambda x, y, v: [
        estimators.optimal_cost(CostMatrix(abs(x[:2]), 0.0, abs(v[0]), "distance"), [0.5, 0.5], [0.5, 0.5])
    ],
    "gaussian_wasserstein": lambda x, y, v: [estimators.gaussian_wasserstein(x, y, kind) for kind in ("full", "diagonal")],
    "conditional_gaussian_wasserstein": lambda x, y, v: [estimators.conditional_gaussian_wasserstein(x, y, LABELS, LABELS)],
    "gaussian_kl": lambda x, y, v: [estimators.gaussian_kl(x, y, kind) for kind in ("full", "diagonal")],
    "gaussian_symmetric_kl": lambda x, y, v: [estimators.gaussian_symmetric_kl(x, y, shrinkage=0.5)],
    "conditional_gaussian_kl": lambda x, y, v: [estimators.conditional_gaussian_kl(x, y, LABELS, LABELS)],
    "mmd": lambda x, y, v: [estimators.mmd(x, y, kernel) for kernel in ("rbf", "linear", "polynomial", "laplace")],
    "conditional_mmd": lambda x, y, v: [estimators.conditional_mmd(x, y, LABELS, LABELS, bandwidth=abs(v[0]) or 1.0)],
    "energy_distance": lambda x, y, v: [estimators.energy_distance(x, y)],
    "hoeffding": lambda x, y, v: [estimators.hoeffding(v, min(v), max(v), 0.05, range_known=True)],
    "empirical_bernstein": lambda x, y, v: [estimators.empirical_bernstein(v, min(v), max(v), 0.05, range_known=True)],
    "betting": lambda x, y, v: [estimators.betting(v, min(v), max(v), 0.05, range_known=True)],
    "student_t": lambda x, y, v: [estimators.student_t(v, 0.05)],
    "percentile_bootstrap": lambda x, y, v: [estimators.percentile_bootstrap(v, 0.05, resamples=40)],
    "mean_interval": lambda x, y, v: [estimators.mean_interval(v, "student_t")],
    "clopper_pearson": lambda x, y, v: [estimators.clopper_pearson(np.int64(1), np.int64(4), np.float64(0.05))],
    "paired_difference": lambda x, y, v: [estimators.paired_difference(np.int64(1), np.int64(2), np.int64(4), 0.05)],
    "GaussianAccumulator": lambda x, y, v: [batches(GaussianAccumulator(), x, y)],
    "PairedDistance": lambda x, y, v: [batches(PairedDistance(), x, y)],
    "RandomFeatureMMD": lambda x, y, v: [batches(RandomFeatureMMD(2, 1.0, 8), x, y)],
}
NO_NUMBERS = {
    "Confidence", "Enclosure", "Estimate", "Number", "CostMatrix", "VertexNorm", "cost_matrix", "Plan", "optimal_plan",
}  # fmt: skip


def test_every_public_estimator_meets_hostile_numbers():
    assert set(CALLS) - {"GaussianAccumulator", "PairedDistance", "RandomFeatureMMD"} == set(estimators.__all__) - NO_NUMBERS


@pytest.mark.parametrize("name", CALLS)
@settings(max_examples=12)
@given(x=points(4, 2), y=points(4, 2), values=st.lists(hostile, min_size=4, max_size=4))
def test_hostile_numbers_give_a_number_or_a_sentence(name, x, y, values):
    """A NaN, a warning of NumPy or an exception of its own would each be an answer that says nothing."""
    found, refused = attempted(lambda: CALLS[name](x, y, values))
    assert (found is None) == bool(refused)
    assert "\n" not in refused
    for number in found or ():
        assert all(type(getattr(number, end)) is float for end in ("value", "lower", "upper"))
        assert number.lower <= number.upper
        assert not math.isnan(number.value)
        assert len(repr(number)) < 250
        hash(number)
