"""A row that fails names itself, and the audit goes on; a NaN is not a verdict."""

from dataclasses import replace

import numpy as np
import pytest

from kd2m_theory import Pair, audit
from kd2m_theory.bounds import ladder
from kd2m_theory.bounds.rows.row import Sides

RNG = np.random.default_rng(0)
PAIR = Pair(RNG.normal(size=(20, 2)), RNG.normal(size=(20, 2)), labels=np.arange(20) % 2, head_weight=np.eye(2))


def raising(error):
    def compute(_view):
        raise error

    return compute


@pytest.mark.parametrize(
    ("compute", "words"),
    [
        (raising(ZeroDivisionError("division by zero")), "T6 failed on these samples (ZeroDivisionError: division by zero)"),
        (raising(MemoryError()), "T6 is too large here"),
        (lambda _view: Sides(float("nan"), float("nan")), "T6 has no number"),
        (lambda _view: Sides(-1.0, float("nan")), "T6 has no number"),
        (lambda _view: Sides(1.0, 0.5), "T6 has no number"),
    ],
)
def test_a_row_that_fails_names_itself_and_the_others_stay(monkeypatch, compute, words):
    whole = audit(PAIR)
    rows = tuple(replace(row, compute=compute) if row.name == "T6" else row for row in ladder.ROWS)
    monkeypatch.setattr(ladder, "ROWS", rows)
    found = audit(PAIR)
    assert not found["T6"].applicable
    assert words in found["T6"].why
    assert found.violations == ()
    for row in whole.rows:
        if row.name != "T6" and row.applicable:
            assert (row.lower, row.upper) == (found[row.name].lower, found[row.name].upper)


@pytest.mark.parametrize(
    "pair",
    [
        Pair(np.full((4, 2), 1e80), np.full((4, 2), 2e80), [0, 1, 0, 1], head_weight=np.eye(2)),
        Pair(np.full((4, 2), 5e-324), np.zeros((4, 2)), [0, 1, 0, 1], head_weight=np.eye(2)),
        Pair(np.full((4, 2), 1e149), -np.full((4, 2), 1e149), [0, 1, 0, 1], head_weight=np.eye(2)),
        Pair(np.full((4, 2), 1e-300), np.full((4, 2), 3e-300), [0, 1, 0, 1], head_weight=1e-8 * np.eye(2)),
    ],
)
def test_features_of_any_size_end_in_numbers_or_a_reason_and_accuse_nobody(pair):
    with np.errstate(all="ignore"):
        report = audit(pair, temperature=2.0)
    assert report.violations == ()
    assert all(row.lower <= row.upper for row in report.rows if row.applicable)
    assert all(row.why for row in report.rows)


@pytest.mark.parametrize("size", [5e-324, 1e-310, 1e-300, 1e-160, 1e-12, 3.0, 1e12, 1e60, 1e149])
def test_the_ramp_has_a_width_whatever_the_margins_are(size):
    """A6: half the least number above zero is zero, and was a width."""
    logits = size * np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    pair = Pair(logits_teacher=logits, logits_student=logits[::-1].copy(), labels=[0, 0, 1, 1])
    row = audit(pair, only=["T8.ramp"])["T8.ramp"]
    assert row.holds
    assert row.details["ρ"] > 0
    assert row.measured == 0.75  # of the student's rows one is right
    assert 0.75 <= row.upper <= 1.0


def test_a_mask_of_every_class_leaves_nothing_of_the_logits_and_says_so():
    """What is added to all logits cancels in every loss, but not in their rounding."""
    rng = np.random.default_rng(3)
    student, teacher = rng.normal(size=(2, 12, 3))
    pair = Pair(teacher, student, np.arange(12) % 3, head_weight=np.eye(3), head_bias=np.full(3, -1e30))
    report = audit(pair)
    assert report.violations == ()
    unmasked = audit(Pair(teacher, student, np.arange(12) % 3, head_weight=np.eye(3))).measured["gap"].value
    assert all(
        row.rounding > abs(unmasked) for row in report.rows if row.target in ("gap", "gap_shared_head") and row.applicable
    )


def test_a_row_of_squares_stays_below_infinity_as_long_as_its_bound_does():
    rng = np.random.default_rng(4)
    points, weight = rng.normal(size=(2, 12, 2)), rng.normal(size=(3, 2))
    labels = np.arange(12) % 3
    plain = audit(Pair(*points, labels, head_weight=weight, head_bias=np.zeros(3)), only=["T6"])["T6"]
    large = audit(Pair(*points, labels, head_weight=2.0**480 * weight, head_bias=np.zeros(3)), only=["T6"])["T6"]
    # Without a bias and with a huge head, the labels do not matter: the squared loss grows with the square.
    assert large.holds
    assert plain.upper * 4.0**480 / 3 < large.upper < plain.upper * 4.0**480 * 3
