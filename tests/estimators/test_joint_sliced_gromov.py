"""Joint, sliced and Gromov–Wasserstein transport against closed forms, brute force and each other."""

from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from problems import WEIGHTINGS, clouds, linear_program, quantile_distance
from sampled import sampled
from scipy.spatial.distance import cdist

from kd2m_theory import InputError
from kd2m_theory.estimators import conditional_wasserstein, wasserstein
from kd2m_theory.estimators.gromov import gromov_wasserstein
from kd2m_theory.estimators.joint import joint_wasserstein
from kd2m_theory.estimators.sliced import max_sliced_wasserstein, sliced_wasserstein

seeds = st.integers(0, 2**32 - 1)


@given(seed=seeds, p=st.sampled_from([1, 2]), beta=st.sampled_from([0.0, 0.3, 5.0]), soft=st.booleans())
def test_joint_agrees_with_a_linear_program(seed, p, beta, soft):
    rng = np.random.default_rng(seed)
    n, m = rng.integers(1, 8, 2)
    x, y, a, b = rng.normal(size=(n, 2)), rng.normal(size=(m, 2)), rng.dirichlet(np.ones(n)), rng.dirichlet(np.ones(m))
    if soft:
        first, second = rng.dirichlet(np.ones(3), n), rng.dirichlet(np.ones(3), m)
        labels = cdist(first, second) ** p
    else:
        first, second = rng.integers(0, 3, n), rng.integers(0, 3, m)
        labels = (first[:, None] != second).astype(float)
    costs = cdist(x, y) ** p + beta * labels
    expected = linear_program(costs, a, b) ** (1 / p)
    for keywords in ({"labels_x": first, "labels_y": second}, {"label_cost": labels}):
        distance = joint_wasserstein(x, y, p=p, beta=beta, weights_x=a, weights_y=b, **keywords)
        assert distance.value == pytest.approx(expected, rel=1e-6, abs=1e-6)
        assert distance.unit == "distance"


@given(
    seed=seeds,
    p=st.sampled_from([1, 2]),
    scales=st.tuples(*[st.sampled_from([0.3, 1.0, 4.0, "mean", "max"])] * 2),
    factor=st.sampled_from([1.0, 1e-120, 1e140]),
)
def test_joint_with_scales_agrees_with_a_linear_program(seed, p, scales, factor):
    """Points without weight take part in no scale."""
    rng = np.random.default_rng(seed)
    n, m = rng.integers(1, 7, 2)
    x, y, first, second = (rng.normal(size=(k, 2)) for k in (n, m, n, m))
    a, b = rng.dirichlet(np.ones(n)), rng.dirichlet(np.ones(m))
    far = np.array([[1e3, 0.0]])
    costs = np.zeros((n, m))
    for each, weight, scale in zip((cdist(x, y), cdist(first, second)), (1.0, 0.7), scales, strict=True):
        unit = {"mean": a @ each**p @ b, "max": (each**p).max()}.get(scale, scale)
        costs += weight * each**p / unit
    expected = linear_program(costs, a, b) ** (1 / p)
    if scales[0] in ("mean", "max"):
        x, y = factor * x, factor * y
    distance = joint_wasserstein(
        np.vstack((x, factor * far)),
        y,
        np.vstack((first, far)),
        second,
        p,
        0.7,
        feature_scale=scales[0],
        label_scale=scales[1],
        weights_x=[*a, 0.0],
        weights_y=b,
    )
    assert distance.value == pytest.approx(expected, rel=1e-6, abs=1e-6)
    assert distance.lower <= distance.upper <= distance.lower * (1 + 1e-9) + 1e-9


@pytest.mark.parametrize("scale", ["mean", "max"])
def test_joint_with_a_scale_of_the_sample_is_symmetric_and_zero_for_equal_samples(scale):
    x, y = np.random.default_rng(0).normal(size=(2, 9, 3))
    labels = np.arange(9) % 3
    keywords = {"feature_scale": scale, "label_scale": scale}
    there, back = (
        joint_wasserstein(x, y, labels, labels[::-1], **keywords),
        joint_wasserstein(y, x, labels[::-1], labels, **keywords),
    )
    assert there.lower <= back.upper
    assert back.lower <= there.upper
    assert joint_wasserstein(x, x[::-1], labels, labels[::-1], **keywords).upper == 0.0
    assert joint_wasserstein(np.ones((4, 2)), np.ones((3, 2)), [1] * 4, [1] * 3, **keywords).upper == 0.0


def test_the_largest_cost_as_scale_breaks_the_triangle_inequality():
    x = [[0.0, 0.0], [-10.0, 20.0], [-10.0, -20.0]]
    y = [[-2.0, 1.0], [-10.0, -20.0], [-20.0, 20.0]]
    z = [[0.0, 0.0], [-2.0, 0.0], [-20.0, 0.0]]
    labels = [0, 0, 0]
    first, second, direct = (
        joint_wasserstein(one, other, labels, labels, feature_scale="max") for one, other in ((x, y), (y, z), (x, z))
    )
    assert direct.lower > (first + second).upper + 0.05


@given(seed=seeds)
def test_joint_lies_between_plain_and_conditional(seed):
    """Without label cost it is W; with an infinite one, and equal classes, it is the class-conditional distance."""
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(2, 12, 3))
    labels = np.arange(12) % 3
    for p in (1, 2):
        plain, conditional = wasserstein(x, y, p), conditional_wasserstein(x, y, labels, labels, p)
        free, bound = (joint_wasserstein(x, y, labels, labels, p, beta) for beta in (0.0, 1e6))
        assert free.value == pytest.approx(plain.value, rel=1e-9)
        assert bound.value == pytest.approx(conditional.value, rel=1e-8)
        middle = joint_wasserstein(x, y, labels, labels, p, 1.0)
        assert free.lower <= middle.upper
        assert middle.lower <= bound.upper


@given(seed=seeds)
def test_joint_is_a_metric_on_labelled_clouds(seed):
    rng = np.random.default_rng(seed)
    points, labels = rng.normal(size=(3, 7, 2)), rng.integers(0, 3, (3, 7))
    for p, scales in product((1, 2), ({}, {"feature_scale": 0.3, "label_scale": 4.0})):
        d = {
            (i, j): joint_wasserstein(points[i], points[j], labels[i], labels[j], p, **scales)
            for i in range(3)
            for j in range(3)
        }
        assert d[0, 2].lower <= (d[0, 1] + d[1, 2]).upper
        assert d[0, 1].lower <= d[1, 0].upper
        assert d[0, 0].upper < 1e-6


@pytest.mark.parametrize("weighting", sampled(WEIGHTINGS, always=["unequal sizes", "some weights zero"]))
@given(data=st.data())
@settings(max_examples=25)
def test_sliced_is_at_most_max_sliced_is_at_most_plain(weighting, data):
    drawn = data.draw(clouds(weighting))
    x, y, _ = drawn.points
    keywords = drawn.keywords(0, 1)
    for p in (1, 2):
        sliced = sliced_wasserstein(x, y, p, 50, **keywords)
        worst = max_sliced_wasserstein(x, y, p, starts=3, **keywords)
        plain = wasserstein(x, y, p, **keywords)
        assert sliced.interval.lower <= sliced.value <= sliced.interval.upper
        # every direction that was drawn is a direction, and none sees more than the clouds themselves
        assert sliced.value <= plain.upper * (1 + 1e-9) + 1e-9
        assert sliced.value <= worst.upper * (1 + 1e-9) + 1e-9
        assert worst.lower <= plain.upper * (1 + 1e-9) + 1e-9
        back = sliced_wasserstein(y, x, p, 50, weights_x=keywords["weights_y"], weights_y=keywords["weights_x"])
        assert back.value == pytest.approx(sliced.value, rel=1e-9, abs=1e-9)


@given(seed=seeds, p=st.sampled_from([1, 2]))
def test_on_the_line_all_slices_are_the_line(seed, p):
    rng = np.random.default_rng(seed)
    x, y, a, b = rng.normal(size=9), rng.normal(size=6), rng.dirichlet(np.ones(9)), rng.dirichlet(np.ones(6))
    exact = quantile_distance(x, y, a, b, p)
    keywords = {"weights_x": a, "weights_y": b}
    assert sliced_wasserstein(x[:, None], y[:, None], p, 3, **keywords).value == pytest.approx(exact, rel=1e-9)
    worst = max_sliced_wasserstein(x[:, None], y[:, None], p, **keywords)
    assert worst.lower <= exact * (1 + 1e-12) + 1e-12
    assert worst.lower == pytest.approx(exact, rel=1e-9)


def test_slices_of_a_translation_have_a_closed_form():
    """SW₂² of a shift t is ‖t‖²/d, and the worst slice is along the shift."""
    x = np.random.default_rng(0).normal(size=(60, 4))
    shift = np.array([3.0, 0.0, 4.0, 0.0])
    sliced = sliced_wasserstein(x, x + shift, 2, 20_000)
    assert sliced.interval.lower <= 5.0 / np.sqrt(4) <= sliced.interval.upper
    assert sliced.interval.upper - sliced.interval.lower < 0.2
    worst = max_sliced_wasserstein(x, x + shift)
    assert worst.lower == pytest.approx(5.0, rel=1e-9)
    assert worst.upper == pytest.approx(5.0, rel=1e-9)


def test_the_sliced_interval_covers_the_mean_over_all_directions():
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(30, 3)), rng.normal(size=(30, 3)) * 2
    truth = sliced_wasserstein(x, y, 2, 200_000, seed=99).value
    misses = sum(
        not (r := sliced_wasserstein(x, y, 2, 200, delta=0.2, seed=s).interval).lower <= truth <= r.upper for s in range(100)
    )
    assert misses <= 20
    assert sliced_wasserstein(x, y, 2, 50, seed=3) == sliced_wasserstein(x, y, 2, 50, seed=3)


@given(seed=seeds)
@settings(max_examples=20)
def test_gromov_encloses_the_best_permutation(seed):
    """The least over permutations bounds the distance from above, and the certified lower end lies below it."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 6))
    x, y = rng.normal(size=(n, 2)), rng.normal(size=(n, 3))
    first, second = cdist(x, x), cdist(y, y)
    best = min(((first - second[np.ix_(order, order)]) ** 2).mean() for order in map(list, permutations(range(n)))) ** 0.5
    distance = gromov_wasserstein(x, y)
    assert distance.lower <= best * (1 + 1e-9)
    assert distance.lower <= distance.upper
    assert distance.upper <= best * 1.5 + 1e-9


@given(seed=seeds)
@settings(max_examples=20)
def test_gromov_does_not_see_isometries_and_scales(seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(9, 3))
    rotation, _ = np.linalg.qr(rng.normal(size=(5, 3)))
    moved = (x @ rotation.T + 7.0)[rng.permutation(9)]
    assert gromov_wasserstein(x, moved).upper <= 1e-6 or gromov_wasserstein(x, moved).lower <= 1e-6
    y, weights = rng.normal(size=(6, 2)), rng.dirichlet(np.ones(6))
    distance = gromov_wasserstein(x, y, weights_y=weights)
    scaled = gromov_wasserstein(4 * x, 4 * y, weights_y=weights)
    assert scaled.lower == pytest.approx(4 * distance.lower, rel=1e-6, abs=1e-9)
    assert distance.lower > 0


def test_gromov_of_two_pairs_of_points_is_known():
    """Two points at distance 1 against two at distance 3: every plan moves (3 − 1)² with half of the mass pairs."""
    distance = gromov_wasserstein([[0.0], [1.0]], [[0.0], [3.0]])
    assert distance.lower == pytest.approx(2 / np.sqrt(2), rel=1e-9)
    assert distance.upper == pytest.approx(2 / np.sqrt(2), rel=1e-6)
    assert gromov_wasserstein([[1.0]], [[5.0, 5.0]]).upper == 0.0


GOOD = np.arange(6.0).reshape(3, 2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: joint_wasserstein(GOOD, GOOD), "needs labels_x and labels_y, or label_cost"),
        (lambda: joint_wasserstein(GOOD, GOOD, [0, 1, 2], np.eye(3)), "labels_x has 1 axes and labels_y 2"),
        (lambda: joint_wasserstein(GOOD, GOOD, [0, 1, 2], [0, 1]), "labels_y has 2 entries for 3 samples"),
        (lambda: joint_wasserstein(GOOD, GOOD, np.eye(3), np.eye(2)), "labels_y has 2 rows for 3 points"),
        (lambda: joint_wasserstein(GOOD, GOOD, [0, 1, 2], [0, 1, 2], beta=-1), "beta is -1"),
        (lambda: joint_wasserstein(GOOD, GOOD, [0, 1, 2], [0, 1, 2], label_cost=np.eye(3)), "both labels and label_cost"),
        (lambda: joint_wasserstein(GOOD, GOOD, label_cost=np.eye(2)), r"label_cost has shape \(2, 2\)"),
        (lambda: joint_wasserstein(GOOD, GOOD, label_cost=-np.eye(3)), "negative entry -1"),
        (lambda: joint_wasserstein(GOOD, GOOD[:, :1], [0, 1, 2], [0, 1, 2]), "dimension 2 and y has dimension 1"),
        (lambda: sliced_wasserstein(GOOD, GOOD, projections=1), "at least two directions"),
        (lambda: sliced_wasserstein(GOOD, GOOD, p=3), "p is 3"),
        (lambda: sliced_wasserstein(GOOD, GOOD[:, :1]), "dimension"),
        (lambda: sliced_wasserstein(GOOD * np.nan, GOOD), "NaN"),
        (lambda: max_sliced_wasserstein(GOOD, GOOD, p=0), "p is 0"),
        (lambda: gromov_wasserstein(np.zeros((3001, 1)), GOOD), "x has 3001 points"),
        (lambda: gromov_wasserstein(GOOD[:0], GOOD), "x is empty"),
        (lambda: gromov_wasserstein(GOOD, GOOD, weights_x=[1.0]), "weights_x has 1 weights for 3 points"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()
