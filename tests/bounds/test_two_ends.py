"""What two ends of a segment say: inside is the truth, outside nothing that the moments allow, and nothing is lost on the way."""

import mpmath
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import brentq

from kd2m_theory.bounds import two_ends
from kd2m_theory.bounds.class_pairs import ClassPairs
from kd2m_theory.bounds.rows import t5_convex
from kd2m_theory.bounds.two_ends import cloud_of, enclosures


def of_class(logits, label=0):
    return cloud_of(logits, np.full(len(logits), label))


def every_pair(student, teacher, label=0):
    rows, columns = np.divmod(np.arange(len(student) * len(teacher)), len(teacher))
    return enclosures(of_class(student, label), of_class(teacher, label), rows, columns)


def loss(logits, label=0):
    return np.logaddexp.reduce(logits, axis=1) - logits[:, label]


def changes(student, teacher):
    return (loss(student)[:, None] - loss(teacher)).ravel()


def networks(seed, classes=4, n=12, size=2.0):
    rng = np.random.default_rng(seed)
    teacher = size * rng.normal(size=(n, classes))
    return teacher + size * rng.normal(size=(n, classes)) / 2, teacher


def test_third_moments_lie_in_the_range_and_laws_on_two_values_at_its_ends():
    rng = np.random.default_rng(0)
    for values in (2, 3, 6):
        for _ in range(50):
            delta, p = rng.normal(size=values), rng.dirichlet(np.full(values, 0.5))
            low, high = p @ (delta - delta.min()), p @ (delta.max() - delta)
            centred = delta - p @ delta
            curvature, third = p @ centred**2, p @ centred**3
            slope = third / curvature
            assert curvature / low - low - 1e-9 <= slope <= high - curvature / high + 1e-9
            if values == 2:
                assert slope == pytest.approx(curvature / low - low, abs=1e-9)
                assert slope == pytest.approx(high - curvature / high, abs=1e-9)


def area_by_quadrature(low, high, first, second, rise):
    """X from its definition: the curve max(min(C1, C2), C3) that takes the time 1, integrated numerically."""
    q = high + rise

    def curve(x, beta):
        return max(
            min((q - x) * (x + first / q), (low + x) * (beta - x)),
            (q - x) * (x - rise + second / high),
        )

    def integral(weight, beta):
        return quad(lambda x: weight(x) / curve(x, beta), 0, rise, limit=200, points=[rise / 2])[0]

    least, most = first / low, rise + second / (low + rise)
    beta = brentq(lambda beta: integral(lambda _: 1.0, beta) - 1, least, most, xtol=1e-13)
    return integral(lambda x: x, beta)


def test_the_area_is_that_of_an_admissible_curve_so_nothing_tighter_follows():
    student, teacher = networks(1, n=3, size=1.5)
    rows, columns = np.divmod(np.arange(9), 3)
    segments = two_ends._segments(of_class(student), of_class(teacher), rows, columns)
    start, end = segments.teacher, segments.student
    arguments = (start.low, end.high, start.curvature, end.curvature, segments.rise)
    found = two_ends._largest_area(*arguments)
    expected = [area_by_quadrature(*each) for each in zip(*arguments, strict=True)]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("size", [1e-6, 0.3, 5.0, 100.0])
def test_two_classes_leave_nothing_open(size):
    student, teacher = networks(2, classes=2, size=size)
    found, truth = every_pair(student, teacher), changes(student, teacher)
    for lower, upper in ((found.envelope_lower, found.envelope_upper), (found.sharp_lower, found.sharp_upper)):
        assert (lower <= truth + 1e-14 * (1 + size)).all()
        assert (upper >= truth - 1e-14 * (1 + size)).all()
        assert (upper - lower).max() < 1e-12 * (1 + size) ** 2


@pytest.mark.parametrize("size", [1e-3, 1.0, 20.0])
def test_no_pair_is_looser_than_in_the_older_rows(size):
    student, teacher = networks(3, size=size)
    found = every_pair(student, teacher)
    slack = 1e-11 * (1 + size)
    pairs = ClassPairs(0, student, teacher)
    older = t5_convex.both_sides_of_pairs(pairs)
    sides = -found.envelope_lower, found.envelope_upper, -found.sharp_lower, found.sharp_upper
    for cost, side in zip(older, sides, strict=True):
        assert (side <= cost.values.ravel() + slack).all()
    assert (found.sharp_upper <= found.envelope_upper).all()
    assert (found.sharp_lower >= found.envelope_lower).all()


@pytest.mark.parametrize("masked", [-1e30, -1e4])
def test_a_class_that_is_impossible_at_both_ends_is_not_there(masked):
    student, teacher = networks(4)
    more = [np.column_stack((each, np.full(len(each), masked))) for each in (student, teacher)]
    more[0][:, -1] *= 1.5  # Δ of that class would be the smallest by far
    plain, found = every_pair(student, teacher), every_pair(*more)
    for side in ("envelope_lower", "envelope_upper", "sharp_lower", "sharp_upper"):
        np.testing.assert_allclose(getattr(found, side), getattr(plain, side), rtol=1e-9, atol=1e-10)


def test_a_common_offset_costs_what_it_cost_the_logits():
    student, teacher = networks(5)
    plain, found = every_pair(student, teacher), every_pair(student + 2.0**30, teacher - 2.0**30)
    for side in ("sharp_lower", "sharp_upper"):  # the logits themselves were rounded to 2⁻²³
        np.testing.assert_allclose(getattr(found, side), getattr(plain, side), atol=4 * 2.0**-23)
    same = every_pair(student, student + 3.0)
    own = np.arange(len(student)) * (len(student) + 1)
    assert np.abs(same.sharp_upper[own]).max() < 1e-12
    assert np.abs(same.sharp_lower[own]).max() < 1e-12


def test_blocks_do_not_change_a_number(monkeypatch):
    student, teacher = networks(6)
    whole = every_pair(student, teacher)
    monkeypatch.setattr(two_ends, "_PAIRS", 7)
    parts = every_pair(student, teacher)
    np.testing.assert_allclose(parts.sharp_upper, whole.sharp_upper, rtol=1e-9)
    np.testing.assert_allclose(parts.sharp_lower, whole.sharp_lower, rtol=1e-9)
    assert (parts.envelope_upper == whole.envelope_upper).all()


def test_growths_enclose_the_exact_ones_from_above_and_from_below():
    reach = np.concatenate(([1e-12, 1e-5, 0.00999999, 0.01], np.geomspace(1e-3, 709.0, 60)))
    grows, falls = two_ends.growths(reach)
    with mpmath.workdps(80):
        for r, most, least in zip(map(mpmath.mpf, reach), grows, falls, strict=True):
            assert most >= (mpmath.exp(r) - 1 - r) / r**2
            assert least <= (mpmath.exp(-r) - 1 + r) / r**2


def test_growth_is_said_without_a_warning_however_far_a_segment_reaches():
    reach = np.array([1e-300, 1e-3, 1.0, 700.0, 800.0, 1e149, 2e150])
    for sign, found in zip((1.0, -1.0), two_ends.growths(reach), strict=True):
        assert not np.isnan(found).any()
        with mpmath.workdps(50):
            exact = [float((mpmath.exp(sign * r) - 1 - sign * r) / mpmath.mpf(r) ** 2) for r in map(mpmath.mpf, reach[1:4])]
        assert found[1:4] == pytest.approx(exact, rel=1e-10)
        assert (found[4:] >= 0).all()
