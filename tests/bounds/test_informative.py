"""What a reader learns from a row: more than is known without it, and more than a simpler row says."""

import math
from pathlib import Path

import numpy as np
import pytest

from kd2m_theory import Pair, audit
from kd2m_theory.bounds import ROWS
from kd2m_theory.bounds.targets import Value

OF_SHARES = ("error_gap", "population_error_gap", "probability_gap")


def pairs(count, least=20, **changes):
    """Pairs from a teacher that is always right to one that guesses, and from its twin to a student that guesses."""
    rng = np.random.default_rng(15)
    for _ in range(count):
        n, classes = int(rng.integers(least, 80)), int(rng.integers(2, 5))
        labels = rng.integers(0, classes, n)
        teacher = rng.normal(size=(n, classes)) + 4 * rng.random() ** 2 * np.eye(classes)[labels]
        student = teacher + rng.choice([0.0, 0.1, 1.0, 3.0]) * rng.normal(size=teacher.shape)
        yield Pair(**({"logits_teacher": 3 * teacher, "logits_student": 3 * student, "labels": labels} | changes))


def shares_of_the_teacher(pair):
    """Error and mean probability of the true class, written out."""
    logits = pair.logits_teacher - pair.logits_teacher.max(axis=1, keepdims=True)
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    error = sum(int(np.argmax(row)) != y for row, y in zip(logits, pair.labels, strict=True)) / pair.n
    return error, float(np.mean([row[y] for row, y in zip(probabilities, pair.labels, strict=True)]))


@pytest.mark.long
def test_a_difference_of_shares_is_informative_where_it_is_narrower_than_the_teachers_share_says():
    seen = set()
    for pair in pairs(12):
        error, probability = shares_of_the_teacher(pair)
        for row in audit(pair, whole_cloud=False).rows:
            if row.target not in OF_SHARES or not row.applicable:
                continue
            share = probability if row.target == "probability_gap" else error
            assert row.vacuous_from == pytest.approx(1 - share, abs=1e-12)
            narrower = row.lower > -share + 1e-9 or row.upper < 1 - share - 1e-9
            near = math.isclose(row.lower, -share, abs_tol=1e-9) or math.isclose(row.upper, 1 - share, abs_tol=1e-9)
            assert near or (row.status == "informative") == narrower, row
            seen.add((row.target, row.status))
    assert {(target, status) for target in OF_SHARES[:2] for status in ("informative", "vacuous")} <= seen


def test_without_labels_every_difference_from_minus_one_to_one_is_possible():
    n = 50
    logits = np.stack([2 * np.ones(n), np.zeros(n)], axis=1)
    same, opposite = (audit(Pair(logits_teacher=logits, logits_student=sign * logits)) for sign in (1, -1))
    for name in ("T0.error", "F3.T0.error"):
        assert (same[name].status, opposite[name].status) == ("informative", "vacuous")
        assert opposite[name].vacuous_from == 1.0


def test_a_bound_just_below_one_tells_nothing_beside_an_accurate_teacher():
    """T7.gaussian said ±0.9999 of a teacher that errs on 0.3 %, and was called informative."""
    report = audit(
        Pair.load(Path(__file__).parents[1] / "data" / "demo-cw2.npz"),
        only=("T7.gaussian", "F3.T0.error"),
        vouch="gaussian classes",
    )
    assert report["T7.gaussian"].upper < 1
    assert report["T7.gaussian"].status == "vacuous"
    assert report["F3.T0.error"].status == "informative"


def test_no_row_calls_a_network_better_or_worse():
    """Errors may say one thing and losses another, and a larger probability of the true class is not worse."""
    for pair in pairs(6):
        for row in audit(pair, whole_cloud=False).rows:
            assert "worse" not in row.why
            assert "better" not in row.why
            if row.why.startswith("excludes 0"):
                assert row.why.endswith("higher" if row.lower > 0 else "lower")


def test_a_value_that_is_not_finite_is_not_measured():
    for measured, rounding in ((math.nan, 0.0), (math.inf, 0.0), (1.0, math.nan), (1.0, math.inf)):
        assert Value(measured, rounding, 1.0).measured is None
    assert Value(1.0, 0.5, 1.0).measured == 1.0


BEATEN = {row.name: row.never_beats for row in ROWS if row.never_beats is not None}


@pytest.mark.long
def test_rows_that_never_beat_another_never_do():
    assert {
        **dict.fromkeys(("F2.T0", "F2.T1", "F2.T2", "F2.T5"), "F1.risk"),
        **dict.fromkeys(("F2.T0.error", "F2.T8", "F3.T8"), "F1.error"),
    } == BEATEN
    needs = {row.name: {need.name for need in row.requirements} for row in ROWS}
    for name, better in BEATEN.items():
        assert needs[better] <= needs[name]  # nobody who can compute the one lacks the other
    for pair in pairs(30):
        report = audit(pair, only=(*BEATEN, "F1.risk", "F1.error"))
        for name, better in BEATEN.items():
            assert report[name].upper >= report[better].upper - 1e-9
            assert report[name].lower <= report[better].lower
            assert report[name].never_beats == better


@pytest.mark.parametrize(
    ("name", "sign"), [("F3.T0", 1), ("F3.T1", 1), ("F5.T2", -1)], ids=["changes of one sign", "sizes", "transport"]
)
def test_other_rows_beat_the_yardstick_on_some_pair(name, sign):
    """Why they are not in the list: student and teacher alike, or right on the other half of the inputs."""
    n = 400
    labels = np.arange(n) % 2
    margins = np.where(np.arange(n) // 2 % 2 == 0, 30.0, -30.0)
    teacher = np.stack([np.where(labels == 0, margins, 0), np.where(labels == 1, margins, 0)], axis=1)
    report = audit(Pair(logits_teacher=teacher, logits_student=sign * teacher, labels=labels), only=("F1.gap", name))
    assert report[name].upper < report["F1.gap"].upper
