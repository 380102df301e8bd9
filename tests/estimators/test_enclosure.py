import math

import pytest

from kd2m_theory import InputError
from kd2m_theory.estimators import Enclosure


def enclosure(lower, upper, unit="distance", capped=False):
    return Enclosure(float(lower), float(upper), unit, "by hand", capped)


def test_an_empty_interval_cannot_be_made():
    with pytest.raises(ValueError, match="exceeds upper"):
        enclosure(2, 1)
    with pytest.raises(ValueError, match="lower is NaN"):
        enclosure(math.nan, 1)


def test_sums_round_outward_and_remember_a_cap():
    total = enclosure(0.1, 0.1) + enclosure(0.2, 0.2, capped=True)
    assert total.lower < 0.1 + 0.2 < total.upper
    assert total.gap < 1e-15
    assert total.capped
    assert (enclosure(0, 0) + enclosure(0, 0)).upper == 0.0


def test_status_is_read_off_the_interval():
    assert enclosure(1, 1 + 1e-10, capped=True).status == "optimal"
    assert enclosure(1, 1.1, capped=True).status == "capped"
    assert enclosure(0, 1e-16).status == "open"
    assert enclosure(0, 0).status == "optimal"
    assert str(enclosure(1, 1)) == "1, distance, optimal"


def test_tiny_and_huge_values_stay_enclosed():
    assert enclosure(0, 1e-200).scaled(1e-200).upper > 0
    assert enclosure(0, 1e200).squared().upper == math.inf
    assert enclosure(1e200, 1e200).squared().lower < math.inf


def test_a_square_is_not_a_distance():
    square = enclosure(2, 3).squared()
    assert square.unit == "squared distance"
    assert square.root().lower <= 2 <= 3 <= square.root().upper
    assert square.root().unit == "distance"
    with pytest.raises(InputError, match="cannot add a distance to a squared distance"):
        enclosure(2, 3) + square
    with pytest.raises(InputError, match="only a non-negative distance"):
        square.squared()
    with pytest.raises(InputError, match="only a non-negative square"):
        enclosure(2, 3).root()


def test_an_upper_bound_and_a_lower_bound_do_not_add():
    upper, lower = enclosure(-math.inf, 3), enclosure(1, math.inf)
    assert (upper.direction, lower.direction, enclosure(1, 2).direction) == ("upper", "lower", "two-sided")
    assert enclosure(-math.inf, math.inf).direction == "neither"
    with pytest.raises(InputError, match="upper bound to a lower bound"):
        upper + lower
    assert (upper + enclosure(1, 2)).direction == "upper"


def test_scaling_turns_distance_into_nats_and_refuses_what_would_flip_the_sides():
    scaled = enclosure(1, 2).scaled(3.0, "nats")
    assert scaled.lower < 3 < 6 < scaled.upper
    assert scaled.unit == "nats"
    assert enclosure(-1, 0).scaled(0.5).lower <= -0.5
    for factor in (-1.0, math.nan, math.inf):
        with pytest.raises(InputError, match="finite number ≥ 0"):
            enclosure(1, 2).scaled(factor)
