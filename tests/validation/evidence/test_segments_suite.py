"""A sample of the suite `segments`, and enclosures that are wrong on purpose."""

from dataclasses import replace

import numpy as np
import pytest

from kd2m_theory.validation.evidence import segments
from kd2m_theory.validation.evidence.suite import Tally


def sample(items):
    tally = Tally()
    for item in range(items):
        for case in segments.SUITE.item(1_000_000, item):
            tally.add(case, f"1000000:{item}", described=1000)
    return tally


def test_the_exact_change_is_inside_for_every_family():
    tally = sample(100)
    assert tally.failures == []
    assert tally.cases == 200
    assert set(tally.strata["family"]) == set(segments.FAMILIES)


@pytest.mark.parametrize("side", ["envelope_lower", "envelope_upper", "sharp_lower", "sharp_upper"])
def test_a_side_that_is_moved_inward_is_caught(side, monkeypatch):
    honest = segments.enclosures

    def moved(*arguments):
        found = honest(*arguments)
        inward = 1e-9 if side.endswith("lower") else -1e-9
        return replace(found, **{side: getattr(found, side) + inward})

    monkeypatch.setattr(segments, "enclosures", moved)
    tally = sample(40)
    assert len(tally.failures) > 5
    assert {each["from"] for each in tally.failures} == {"slopes" if "envelope" in side else "slopes and curvatures"}


def test_the_oracle_is_the_change_of_the_loss():
    student, teacher = np.array([0.5, -1.0, 2.0]), np.array([-1e30, 0.0, 1.0])
    expected = np.log(np.exp(student).sum()) - student[1] - np.log1p(np.e)
    assert float(segments.exact_change(student, teacher, 1)) == pytest.approx(expected, rel=1e-14)
    assert segments.verdict(2.0, 1.0, 1.5) == "[2.0, 1.0] is not an interval"
    assert "but the change is" in segments.verdict(2.0, 3.0, segments.exact_change(student, teacher, 1))
