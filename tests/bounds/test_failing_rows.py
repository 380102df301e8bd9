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
