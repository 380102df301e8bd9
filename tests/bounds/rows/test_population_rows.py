"""Rows about the population: they cover it as often as they say, they share one δ, and a broken one is caught."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import log_softmax, softmax
from scipy.stats import binom

from kd2m_theory import InputError, Pair, audit
from kd2m_theory.bounds import ROWS, Ladder, ladder
from kd2m_theory.bounds.rows import f1_means

POPULATION = [row.name for row in ROWS if row.limits and not row.vouched_for]
CLASSES, ATOMS, BOUND = 3, 40, 2.0


def law(seed=0):
    """A finite population of inputs: logits of both networks and a label each, all equally likely."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, CLASSES, ATOMS)
    teacher = 2.0 * np.eye(CLASSES)[labels] + rng.normal(size=(ATOMS, CLASSES))
    student = teacher + rng.normal(size=(ATOMS, CLASSES))
    return teacher, student, labels


def truth(teacher, student, labels):
    """Every population target, from its definition."""
    at = np.arange(ATOMS)
    losses = [np.minimum(-log_softmax(a, axis=1)[at, labels], BOUND) for a in (student, teacher)]
    wrong = [a.argmax(1) != labels for a in (student, teacher)]
    brier = [((softmax(a, axis=1) - np.eye(CLASSES)[labels]) ** 2).sum(1) for a in (student, teacher)]
    return {
        "population_gap": losses[0].mean() - losses[1].mean(),
        "population_risk": losses[0].mean(),
        "population_error_gap": wrong[0].mean() - wrong[1].mean(),
        "population_error": wrong[0].mean(),
        "population_brier_gap": brier[0].mean() - brier[1].mean(),
    }


def misses(names, draws=150, n=60, delta=0.3, seed=1):
    teacher, student, labels = law()
    true = truth(teacher, student, labels)
    rng = np.random.default_rng(seed)
    count = dict.fromkeys(names, 0)
    for _ in range(draws):
        drawn = rng.integers(0, ATOMS, n)
        pair = Pair(logits_teacher=teacher[drawn], logits_student=student[drawn], labels=labels[drawn])
        for row in audit(pair, delta, only=names, loss_bound=BOUND).rows:
            assert row.level is not None
            count[row.name] += not row.lower <= true[row.target] <= row.upper
    return count


@pytest.mark.long
def test_rows_cover_the_population_and_share_one_delta():
    draws, delta = 80, 0.3
    count = misses(POPULATION, draws, delta=delta)
    # All rows together may fail in a share δ of the samples, and each has a share of that to itself.
    assert max(count.values()) <= binom.ppf(0.999, draws, delta)
    assert sum(count.values()) <= binom.ppf(0.999, draws, delta)


def test_a_row_that_promises_too_much_is_caught(monkeypatch):
    row = next(row for row in f1_means.ROWS if row.name == "F1.risk")

    def narrowed(view):
        sides = row.compute(view)
        middle, half = (sides.lower + sides.upper) / 2, (sides.upper - sides.lower) / 2
        return replace(sides, lower=middle - 0.1 * half, upper=middle + 0.1 * half)

    monkeypatch.setattr(ladder, "ROWS", (replace(row, compute=narrowed),))
    assert misses(["F1.risk"], 60)["F1.risk"] > binom.ppf(0.999, 60, 0.3)


# How many limits each event reads, by hand: an interval has two, a statement on one side one.
LIMITS = {"F1.gap": 2, "F1.risk": 2, "F1.error_gap": 2, "F1.error": 2, "F3.T0": 2, "F3.T1": 1, "F3.T8": 1, "F3.T0.error": 1}
LIMITS |= dict.fromkeys(("F2.T0", "F2.T1", "F2.T2", "F2.T5", "F2.T0.error", "F2.T8", "F4.brier", "F5.T2", "F5.brier"), 1)


def sample(n=ATOMS, **more):
    teacher, student, labels = law()
    return Pair(logits_teacher=teacher[:n], logits_student=student[:n], labels=labels[:n], **more)


def test_every_row_spends_its_limits_and_each_limit_is_paid_for_once():
    report = audit(sample(), 0.05)
    # Rows F1 and F3 to F5, less F3.T0.error, whose limit is one of those of the measured disagreement; then the accuracy of the
    # teacher and the disagreement. F2 and the other measured values read limits that are there.
    alone = [name for name in LIMITS if not name.startswith("F2") and name != "F3.T0.error"]
    count = sum(LIMITS[name] for name in alone) + 2 + 2
    assert report.share == pytest.approx(0.05 / count)
    assert {row.name for row in report.rows if row.level is not None} == set(LIMITS)
    for name, limits in LIMITS.items():
        assert report[name].level == pytest.approx(1 - limits * report.share, abs=1e-12)
    for name, value in report.measured.items():
        spent = 2 * report.share if value.guaranteed else 0.05  # what holds only as n grows costs the others nothing
        assert value.level == pytest.approx(1 - spent, abs=1e-12), name
    assert report["F1.error_gap"].lower == report.measured["error_gap"].lower
    assert report["F1.error"].upper == pytest.approx(1 - report.measured["accuracy_student"].lower)
    assert report["F3.T0.error"].upper == report.measured["disagreement"].upper


@pytest.mark.parametrize("name", LIMITS)
def test_a_row_that_is_named_alone_has_all_of_delta(name):
    report = audit(sample(), 0.05, only=[name])
    assert report[name].level == pytest.approx(0.95)
    assert report.share == pytest.approx(0.05 / LIMITS[name])
    assert all(value.level == pytest.approx(0.95) for value in report.measured.values())


@pytest.mark.parametrize(
    ("names", "limits"),
    [
        (["F2.T0", "F2.T2"], 1),
        (["F2.T0", "F2.T2", "F1.risk"], 2),
        (["F2.T0.error", "F1.error", "F2.T8"], 2),
        (["F3.T0", "F3.T0.error"], 3),
        (["T0", "T5.logits", "F1.gap"], 2),
        (["F1.gap", "F4.brier", "F5.T2"], 4),
        (["T0"], 0),
    ],
)
def test_only_pays_for_what_it_names(names, limits):
    report = audit(sample(), 0.05, only=names)
    assert report.share == pytest.approx(0.05 / max(1, limits))


def test_rows_that_the_pair_has_no_arrays_for_cost_nothing():
    teacher, student, _ = law()
    report = audit(Pair(logits_teacher=teacher, logits_student=student), 0.05)
    assert report.share == pytest.approx(0.05 / 4)  # F3.T0 and the disagreement
    assert audit(Pair(logits_teacher=teacher, logits_student=student), only=["F3.T0", "F1.gap"]).share == pytest.approx(0.025)


def test_what_is_spent_depends_on_no_value():
    """F2.T2 on samples of different inputs needs equal class frequencies, which a draw has or has not."""
    teacher, student, labels = law()
    given = {"logits_teacher": teacher, "logits_student": student, "labels": labels, "inputs_paired": False}
    other = np.where(np.arange(ATOMS) == 0, (labels + 1) % CLASSES, labels)
    names = ["F2.T2", "F1.error"]
    alike, apart = (audit(Pair(**given, labels_student=each), only=names) for each in (labels, other))
    assert alike["F2.T2"].applicable
    assert not apart["F2.T2"].applicable
    assert alike.share == apart.share == pytest.approx(0.05 / 3)


def test_statements_on_one_side_by_their_closed_forms():
    """Nothing counted: (1 − p)ⁿ = δ for the limit alone, δ/2 for that of an interval."""
    rng = np.random.default_rng(4)
    labels = rng.integers(0, CLASSES, 50)
    logits = 9.0 * np.eye(CLASSES)[labels] + rng.random((50, CLASSES))
    pair = Pair(logits_teacher=logits, logits_student=logits, labels=labels)
    for name, tail in (("F3.T0.error", 0.1), ("F2.T0.error", 0.1), ("F1.error", 0.05), ("F3.T8", 0.1)):
        assert audit(pair, 0.1, only=[name])[name].upper == pytest.approx(1 - tail ** (1 / 50), rel=1e-9), name


def test_a_ladder_at_another_delta_is_a_new_ladder_at_that_delta():
    teacher, student, labels = law()
    pair = Pair(logits_teacher=teacher, logits_student=student, labels=labels)
    reused = Ladder(pair, 0.05)
    reused.evaluate()
    for delta in (0.2, 0.01, 0.05):
        reused.spend(delta)
        new = Ladder(pair, delta)
        assert reused.share == new.share
        assert reused.measure() == new.measure()
        for again, first in zip(reused.evaluate(), new.evaluate(), strict=True):
            assert repr(replace(again, seconds=0.0)) == repr(replace(first, seconds=0.0))
    with pytest.raises(InputError, match="delta"):
        reused.spend(1.0)


def test_claims_one_by_one_have_all_of_delta_each():
    apart = Ladder(sample(), 0.5)
    apart.spend(0.05, each=True)
    for row in apart.evaluate():
        if row.level is not None:
            alone = audit(sample(), 0.05, only=[row.name])[row.name]
            assert (row.level, row.lower, row.upper) == pytest.approx((0.95, alone.lower, alone.upper)), row.name
    assert {value.level for value in apart.measure().values()} == {0.95}


def test_anchored_rows_are_the_teacher_plus_a_distance_plus_a_radius():
    teacher, student, labels = law()
    report = audit(Pair(logits_teacher=teacher, logits_student=student, labels=labels), loss_bound=BOUND)
    at = np.arange(ATOMS)
    anchor = -log_softmax(teacher, axis=1)[at, labels].mean()
    clipped = np.minimum(-log_softmax(student, axis=1)[at, labels], BOUND).mean()
    radius = report["F1.risk"].upper - clipped
    for name, source in (
        ("F2.T0", "T0"),
        ("F2.T1", "T1.logits.head_aware"),
        ("F2.T2", "T2.logits.head_aware"),
        ("F2.T5", "T5.logits.curved"),
    ):
        assert report[name].upper == pytest.approx(anchor + report[source].upper + radius, rel=1e-9)
    errors = (student.argmax(1) != labels).mean()
    assert report["F2.T8"].upper == pytest.approx(
        min(1, report["T8.directed"].upper + report["F1.error"].upper - errors), rel=1e-9
    )


def test_upper_limits_need_no_dimension():
    """The radii of F4 and F5 depend on n, δ and constants alone: more classes do not change F5's."""
    rng = np.random.default_rng(2)
    for classes in (3, 30):
        logits = rng.normal(size=(300, classes))
        pair = Pair(logits_teacher=logits, logits_student=logits, labels=rng.integers(0, classes, 300))
        report = audit(pair, loss_bound=BOUND, only=["F5.T2", "F5.brier", "F4.brier"])
        expected = BOUND * math.sqrt(2 * math.log(1 / report.share) / 300)
        assert report["F5.T2"].details["r(δ)"] == pytest.approx(expected)
        assert report["F5.T2"].upper == pytest.approx(expected, rel=1e-6)
        assert report["F4.brier"].details["MMD"] < 1e-9


def test_losses_are_clipped_at_a_stated_bound_and_never_at_the_samples_maximum():
    teacher, student, labels = law()
    pair = Pair(logits_teacher=teacher, logits_student=student, labels=labels)
    assert audit(pair, only=["F1.risk"])["F1.risk"].details["B"] == pytest.approx(2 * math.log(CLASSES))
    assert audit(pair, only=["F1.risk"], loss_bound=7.0)["F1.risk"].details["B"] == 7.0
    for wrong in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(InputError, match="loss_bound is"):
            audit(pair, loss_bound=wrong)


def test_without_labels_two_rows_about_the_population_are_left():
    teacher, student, _ = law()
    report = audit(Pair(logits_teacher=teacher, logits_student=student))
    assert [row.name for row in report.rows if row.level is not None] == ["F3.T0", "F3.T0.error"]
    row = report["F3.T0"]
    assert -2 * math.log(CLASSES) <= row.lower <= 0 <= row.upper <= 2 * math.log(CLASSES)
