"""What is missing is said; degenerate and extreme pairs break no row."""

import math

import numpy as np
import pytest
from rows import on_sample

from kd2m_theory import InputError, Pair, audit, label_plan
from kd2m_theory.bounds import ROWS

# Rows that need a setting, or something that the user vouches for or knows.
NOT_TOLD = ("T9.ttm", *(row.name for row in ROWS if row.vouched_for or row.told))


def untold(report):
    """Rows about the sample of an audit that was told nothing."""
    return [row for row in on_sample(report) if row.name not in NOT_TOLD]


def test_without_labels_only_what_needs_none_is_left():
    rng = np.random.default_rng(2)
    arguments = {
        "features_teacher": rng.normal(size=(30, 4)),
        "features_student": rng.normal(size=(30, 4)),
        "head_weight": rng.normal(size=(3, 4)),
    }
    report = audit(Pair(**arguments))
    assert {row.name for row in report.rows if row.applicable} == {
        "T0",
        "T0.error",
        "T1.l1",
        "T1.l2",
        "T1.literal",
        "T1.logits.l1",
        "T1.logits.l2",
        "T9.largest",
        "T9.tv",
        "T9.pinsker",
        "T9.bretagnolle_huber",
        "F3.T0",
        "F3.T0.error",
    }
    assert list(report.measured) == ["disagreement"]
    for row in report.rows:
        assert row.holds is None
        assert row.slack is None
        assert row.applicable or "the pair is unlabelled; pass labels" in row.why or row.name in NOT_TOLD
    assert report["T0"].vacuous_from == pytest.approx(math.log(3))


def test_logits_only():
    rng = np.random.default_rng(3)
    report = audit(
        Pair(logits_teacher=rng.normal(size=(30, 4)), logits_student=rng.normal(size=(30, 4)), labels=rng.integers(0, 4, 30))
    )
    for row in report.rows:
        if row.name not in NOT_TOLD:
            assert row.applicable == (row.target not in ("gap_shared_head", "squared_gap", "class_w2"))
    assert "pass features and head_weight" in report["T2.cw2"].why
    assert report.violations == ()


def test_features_of_another_dimension_have_no_shared_head():
    rng = np.random.default_rng(4)
    pair = Pair(
        rng.normal(size=(30, 4)),
        rng.normal(size=(30, 6)),
        rng.integers(0, 3, 30),
        head_weight=rng.normal(size=(3, 4)),
        logits_student=rng.normal(size=(30, 3)),
    )
    report = audit(pair)
    assert (
        report["T2.head_aware"].why
        == "student features have dimension 6, the head takes 4; fit a map between them on another split (align)"
    )
    assert report["T2.logits.head_aware"].holds


def test_inputs_that_are_not_the_same():
    rng = np.random.default_rng(5)
    labels = np.repeat([0, 1, 2], 10)
    arguments = {
        "features_teacher": rng.normal(size=(30, 4)),
        "features_student": rng.normal(size=(60, 4)),
        "labels": labels,
        "head_weight": rng.normal(size=(3, 4)),
        "inputs_paired": False,
    }
    report = audit(Pair(**arguments, labels_student=np.repeat(labels, 2)))
    assert report.violations == ()
    for row in report.rows:
        paired_only = row.name.startswith(("T0", "T1.", "T9", "F2.T0", "F2.T1", "F3", "F5", "F1.gap", "F1.error_gap"))
        assert row.applicable == (not paired_only and row.name != "T7.gaussian"), row.name
    assert "inputs_paired=False" in report["T0"].why
    assert "disagreement" not in report.measured
    uneven = audit(Pair(**arguments, labels_student=np.repeat([0, 1, 2], [30, 20, 10])))
    assert "class frequencies differ" in uneven["T2.cw2"].why
    absent = audit(Pair(**arguments, labels_student=np.repeat([0, 1], 30)))
    assert "class frequencies differ" in absent["T5"].why


def test_identical_networks_have_no_gap_and_bounds_of_nothing():
    rng = np.random.default_rng(6)
    features = rng.normal(size=(40, 5))
    report = audit(Pair(features, features, rng.integers(0, 3, 40), head_weight=rng.normal(size=(3, 5))))
    for row in untold(report):
        assert row.holds
        if not row.name.startswith(("T8", "T10")):
            assert row.upper <= (1e-6 if row.name in ("T9.pinsker", "T9.bretagnolle_huber") else 1e-9)
            assert row.measured == 0


@pytest.mark.parametrize("labels", [[0, 0, 0, 0], [0, 1, 2, 3], [1, 1, 1, 0]])
def test_one_class_and_classes_of_one_sample(labels):
    rng = np.random.default_rng(7)
    report = audit(Pair(rng.normal(size=(4, 3)), rng.normal(size=(4, 3)), labels, head_weight=rng.normal(size=(4, 3))))
    assert report.violations == ()
    assert all(row.holds is not None for row in untold(report))


def test_vacuous_is_what_uniform_guessing_would_do():
    rng = np.random.default_rng(8)
    teacher, labels = np.eye(3)[np.arange(30) % 3] * 9, np.arange(30) % 3
    pair = Pair(teacher, teacher + 0.05 * rng.normal(size=teacher.shape), labels, head_weight=np.eye(3))
    report = audit(pair)
    risk = report.measured["risk_teacher"].value
    for row in report.rows:
        if row.target not in ("gap", "gap_shared_head", "error_gap") or not row.applicable:
            continue
        limit = 1.0 if row.target == "error_gap" else math.log(3) - risk
        assert row.vacuous_from == pytest.approx(limit)
        assert (row.status == "vacuous") == (row.upper >= row.vacuous_from and row.lower <= 0 <= row.upper)
    assert report["T1.head_aware"].status == "informative"


@pytest.mark.parametrize("scale", [1e-8, 1e4, 1e8])
def test_extreme_logits(scale):
    rng = np.random.default_rng(10)
    labels = rng.integers(0, 3, 40)
    pair = Pair(logits_teacher=scale * rng.normal(size=(40, 3)), logits_student=scale * rng.normal(size=(40, 3)), labels=labels)
    report = audit(pair)
    assert report.violations == ()
    assert all(row.holds for row in on_sample(report) if row.applicable)


@pytest.mark.parametrize("move", [0.0, *(pytest.param(move, marks=pytest.mark.long) for move in (1e-8, 1e-12))])
def test_untrained_heads_are_not_accused(move):
    """Logits near zero: the loss is ln K with a rounding of its own, however small the logits are."""
    rng = np.random.default_rng(14)
    for _ in range(5):
        teacher = 1e-4 * rng.normal(size=(200, 10))
        student = teacher + move * rng.normal(size=teacher.shape)
        report = audit(Pair(logits_teacher=teacher, logits_student=student, labels=rng.integers(0, 10, 200)))
        assert report.violations == ()


def test_masked_classes_do_not_blur_the_others():
    """A class switched off with −1e30 must not cost the other logits their digits."""
    rng = np.random.default_rng(15)
    teacher, student = rng.normal(size=(2, 60, 3))
    labels = rng.integers(0, 3, 60)
    masked = [np.hstack((logits, np.full((60, 1), -1e30))) for logits in (teacher, student)]
    plain = audit(Pair(logits_teacher=teacher, logits_student=student, labels=labels))
    report = audit(Pair(logits_teacher=masked[0], logits_student=masked[1], labels=labels))
    for name in ("gap", "risk_teacher", "accuracy_student"):
        assert report.measured[name].value == pytest.approx(plain.measured[name].value, rel=1e-12)
    assert plain["T1.logits.head_aware"].upper <= report["T1.logits.head_aware"].upper < 4
    # The unmoved class belongs to the range of Δ; one that is merely unlikely says what T5 must say.
    unlikely = [np.hstack((logits, np.full((60, 1), -60.0))) for logits in (teacher, student)]
    rare = audit(Pair(logits_teacher=unlikely[0], logits_student=unlikely[1], labels=labels))
    for name in ("T5.logits", "T5.logits.curved"):
        assert report[name].upper == pytest.approx(rare[name].upper, rel=1e-6)
        assert report[name].lower == pytest.approx(rare[name].lower, rel=1e-6)
    assert report["T1.logits.l1"].upper >= plain["T1.logits.head_aware"].upper
    assert report.violations == ()


@pytest.mark.parametrize("scale", [1e-145, 1e120])
def test_features_and_heads_of_opposite_scale(scale):
    """Norms of tiny features must not underflow to bounds of zero."""
    rng = np.random.default_rng(16)
    teacher, weight = rng.normal(size=(30, 4)), rng.normal(size=(3, 4))
    student, labels = teacher + 0.1 * rng.normal(size=(30, 4)), rng.integers(0, 3, 30)
    plain = audit(Pair(teacher, student, labels, head_weight=weight))
    scaled = audit(Pair(teacher * scale, student * scale, labels, head_weight=weight / scale))
    assert scaled.violations == ()
    for row in plain.rows:
        if row.name != "T1.literal" and row.target != "class_w2" and row.applicable:
            assert scaled[row.name].upper == pytest.approx(row.upper, rel=1e-8)


def test_without_labels_nothing_is_claimed_about_the_risk():
    rng = np.random.default_rng(17)
    pair = Pair(logits_teacher=np.zeros((30, 4)), logits_student=0.3 * rng.normal(size=(30, 4)))
    assert "unknown without labels" in audit(pair)["T0"].why


def test_only_computes_what_was_asked_and_refuses_names_that_are_no_row():
    rng = np.random.default_rng(12)
    pair = Pair(logits_teacher=rng.normal(size=(9, 3)), logits_student=rng.normal(size=(9, 3)), labels=np.arange(9) % 3)
    assert [row.name for row in audit(pair, only=["T5.logits", "T0"]).rows] == ["T0", "T5.logits"]
    with pytest.raises(InputError, match=r"no row T99; did you mean 'T9\.tv'\? rows are T0, T0\.error"):
        audit(pair, only=["T99"])
    with pytest.raises(InputError, match="delta is 2"):
        audit(pair, delta=2)
    for call in (audit, label_plan):
        with pytest.raises(
            InputError, match=r"delta is 0\.95, the probability with which .* may be wrong; for intervals at 95 % give 0\.05"
        ):
            call(pair, delta=0.95)
    with pytest.raises(KeyError, match="no row 'T99'"):
        audit(pair)["T99"]


def test_a_pair_without_head_or_logits_has_no_risk():
    features = np.random.default_rng(13).normal(size=(5, 2))
    with pytest.raises(InputError, match="no risk to bound"):
        audit(Pair(features, features))
