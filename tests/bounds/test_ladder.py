"""Every row holds on every pair; the rows stand in the order that theory gives them; each says what it is worth."""

import math
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from problems import pairs
from rows import ON_SAMPLE, on_sample
from scipy.special import softmax

from kd2m_theory import Pair, audit
from kd2m_theory.bounds import ROWS, cross_entropy, vertex_norm
from kd2m_theory.bounds.rows.t1_paired import literal_counterexample

NAMES = [row.name for row in ROWS]
LIMITS = {row.name: len(row.limits) for row in ROWS}


def upper(report, name):
    return report[name].upper


def no_guaranteed_row_is_violated(pair, report):
    assert [row.name for row in report.rows] == NAMES
    assert report.violations == ()
    for row in on_sample(report):
        assert row.holds is not None
        assert row.lower <= row.upper
        assert row.guaranteed or row.name == "T1.literal"
        assert row.level is None
    for row in report.rows:
        if row.name not in ON_SAMPLE:
            assert row.holds is None
            assert not row.applicable or row.level == pytest.approx(1 - LIMITS[row.name] * report.share)


def measured_values_are_what_they_are_called(pair, report):
    own, shared = pair.logits_student, pair.features_student @ pair.head_weight.T + pair.head_bias
    teacher = pair.features_teacher @ pair.head_weight.T + pair.head_bias
    risks = [cross_entropy(logits, pair.labels).mean() for logits in (own, shared, teacher)]
    measured = {name: value.value for name, value in report.measured.items()}
    assert measured["risk_student"] == pytest.approx(risks[0], rel=1e-9, abs=1e-12)
    assert measured["gap"] == pytest.approx(risks[0] - risks[2], rel=1e-9, abs=1e-12)
    assert measured["gap_shared_head"] == pytest.approx(risks[1] - risks[2], rel=1e-9, abs=1e-12)
    assert measured["head_mismatch"] == pytest.approx(measured["gap"] - measured["gap_shared_head"], rel=1e-9, abs=1e-12)
    assert measured["disagreement"] == np.mean(own.argmax(1) != teacher.argmax(1))
    assert measured["accuracy_student"] == np.mean(own.argmax(1) == pair.labels)
    assert report["T0"].measured == pytest.approx(measured["gap"], rel=1e-9, abs=1e-12)
    assert report["T5"].measured == pytest.approx(measured["gap_shared_head"], rel=1e-9, abs=1e-12)
    for value in report.measured.values():
        assert value.lower <= value.value <= value.upper


LADDERS = (
    ("T1.head_aware", "T1.class_lipschitz", "T1.l1", "T1.l2"),
    ("T2.head_aware", "T2.class_lipschitz", "T2.lipschitz", "T2.spectral"),
    ("T2.lipschitz", "T2.w2", "T2.cw2"),
    ("T1.logits.head_aware", "T1.logits.l1", "T1.logits.l2"),
    ("T2.logits.head_aware", "T2.logits.lipschitz", "T2.logits.w2", "T2.logits.cw2"),
    # the paired coupling is one of the couplings that transport minimises over
    ("T2.head_aware", "T1.head_aware"),
    ("T2.class_lipschitz", "T1.class_lipschitz"),
    ("T2.lipschitz", "T1.l1"),
    ("T2.w2", "T1.l2"),
    ("T2.logits.head_aware", "T1.logits.head_aware"),
    # what is known excludes labels
    ("T0.teacher_risk", "T0"),
    ("T0.teacher_error", "T0.error"),
    # the label-free maximum covers the true label
    ("T5", "T2.head_aware"),
    ("T5.sharp", "T5.envelope", "T5"),
    ("T5.sharp", "T5.curved"),
    ("T5.logits.sharp", "T5.logits.envelope", "T5.logits"),
    ("T5.logits.sharp", "T5.logits.curved"),
)


def the_ladder_is_in_order(pair, report):
    for ladder in LADDERS:
        for tighter, looser in pairwise(ladder):
            assert upper(report, tighter) <= upper(report, looser) + 1e-9 * (1 + abs(upper(report, looser))), (tighter, looser)


def every_distance_is_certified_to_nine_digits(pair, report):
    size = 1 + np.abs(pair.logits_student).max() + np.abs(pair.features_student).max()
    for row in report.rows:
        if row.name == "T10.risk" or row.name == "T10.logits.risk":
            continue  # Gelbrich's and the independent coupling's bounds are apart by nature
        # Near zero only rounding is left: of points; in T5 of probabilities, right to about |logit| roundings, times logits.
        floor = 1e-14 * size**2 if row.name.startswith("T5") else 1e-13 * size
        for distance in row.distances.values():
            assert distance.gap <= 1e-9 * abs(distance.upper) + floor


@settings(max_examples=20)
@given(pairs())
def test_laws_of_a_whole_audit(pair):
    teacher = pair.features_teacher @ pair.head_weight.T + pair.head_bias
    risk = cross_entropy(teacher, pair.labels).mean()
    report = audit(pair, teacher_risk=risk, teacher_error=(teacher.argmax(axis=1) != pair.labels).mean())
    no_guaranteed_row_is_violated(pair, report)
    measured_values_are_what_they_are_called(pair, report)
    the_ladder_is_in_order(pair, report)
    every_distance_is_certified_to_nine_digits(pair, report)


@given(pairs())
def test_t0_is_the_extreme_over_labels(pair):
    """Written out: for every sample the largest and smallest loss difference over all labels."""
    teacher, student = pair.features_teacher @ pair.head_weight.T + pair.head_bias, pair.logits_student
    n, classes = student.shape
    table = np.stack([cross_entropy(student, np.full(n, y)) - cross_entropy(teacher, np.full(n, y)) for y in range(classes)])
    row = audit(pair, only=["T0"])["T0"]
    assert row.upper == pytest.approx(table.max(axis=0).mean(), rel=1e-9, abs=1e-10)
    assert row.lower == pytest.approx(table.min(axis=0).mean(), rel=1e-9, abs=1e-10)


@given(pairs())
def test_t0_is_sharp(pair):
    """Label every sample with its worst class: the gap is the bound."""
    unlabelled = audit(pair, only=["T0"])["T0"]
    change = pair.logits_student - (pair.features_teacher @ pair.head_weight.T + pair.head_bias)
    arguments = {
        name: getattr(pair, name)
        for name in ("features_teacher", "features_student", "logits_student", "head_weight", "head_bias")
    }
    worst = audit(Pair(**arguments, labels=change.argmin(axis=1)), only=["T0"])["T0"]
    assert worst.measured == pytest.approx(unlabelled.upper, rel=1e-9, abs=1e-10)
    assert worst.holds


@given(pairs())
def test_t5_by_hand_on_the_paired_coupling(pair):
    """Transport only tightens: each side is at least as good as that of the coupling that pairs the inputs."""
    labels = pair.labels
    teacher, student = (z @ pair.head_weight.T + pair.head_bias for z in (pair.features_teacher, pair.features_student))
    one = np.eye(teacher.shape[1])[labels]
    change = student - teacher
    lower = ((softmax(teacher, axis=1) - one) * change).sum(axis=1).mean()
    convex = ((softmax(student, axis=1) - one) * change).sum(axis=1).mean()
    centred = change - change.mean(axis=1, keepdims=True)
    smooth = lower + 0.25 * (centred**2).sum(axis=1).mean()
    row = audit(pair, only=["T5"])["T5"]
    slack = 1e-9 * (1 + np.abs(change).max())
    assert row.lower >= lower - slack
    assert row.upper <= min(convex, smooth) + slack
    assert row.lower - slack <= row.measured <= row.upper + slack


def test_t5_closes_when_the_student_is_the_teacher_up_to_a_small_step():
    rng = np.random.default_rng(0)
    teacher, labels = 3 * rng.normal(size=(60, 4)), rng.integers(0, 3, 60)
    student = teacher + 1e-4 * rng.normal(size=teacher.shape)
    row = audit(Pair(teacher, student, labels, head_weight=rng.normal(size=(3, 4))), only=["T5"])["T5"]
    assert row.upper - row.lower < 1e-6


def test_the_theorem_as_stated_has_a_counterexample():
    gap, bound = literal_counterexample()
    assert gap == pytest.approx(1 - math.exp(-0.5), rel=1e-12)
    assert gap > 3.9 * bound
    assert gap <= (1 / 0.1) * bound  # with the Lipschitz constant of the feature map


def test_the_literal_row_fails_on_a_steep_head_and_is_not_counted_as_a_violation():
    teacher = np.array([[1.0], [1.0], [-1.0], [-1.0]])
    pair = Pair(teacher, -teacher, [0, 0, 1, 1], head_weight=[[10.0], [-10.0]])
    report = audit(pair)
    literal = report["T1.literal"]
    assert literal.holds is False
    assert literal.assumed == "unmet"
    assert not literal.violated
    assert report.violations == ()
    assert report["T1.l2"].ratio == pytest.approx(2.0, rel=1e-6)
    assert report["T1.head_aware"].ratio == pytest.approx(2.0, rel=1e-6)


def test_the_literal_row_is_guaranteed_where_the_loss_is_one_lipschitz():
    rng = np.random.default_rng(1)
    pair = Pair(rng.normal(size=(20, 3)), rng.normal(size=(20, 3)), rng.integers(0, 2, 20), head_weight=0.1 * np.eye(2, 3))
    row = audit(pair, only=["T1.literal"])["T1.literal"]
    assert row.assumed == "vouched"
    assert row.guaranteed
    assert row.holds


def test_negative_gaps_have_a_ratio_on_their_own_side():
    rng = np.random.default_rng(9)
    labels = rng.integers(0, 3, 50)
    worse, better = rng.normal(size=(50, 3)), 2.0 * np.eye(3)[labels]
    report = audit(Pair(logits_teacher=worse, logits_student=better, labels=labels))
    row = report["T1.logits.head_aware"]
    assert row.measured < 0
    assert row.ratio == pytest.approx(row.lower / row.measured)
    assert row.ratio >= 1
    assert row.slack == pytest.approx(row.measured - row.lower)


def test_a_one_sided_proof_is_informative():
    """A student shown to be worse is news, even where the upper side allows everything."""
    teacher, labels = 4.0 * np.eye(2)[np.arange(40) % 2], np.arange(40) % 2
    row = audit(Pair(logits_teacher=teacher, logits_student=-teacher, labels=labels))["T5.logits"]
    assert row.lower > 0
    assert row.upper > row.vacuous_from
    assert row.status == "informative"
    assert row.why == "excludes 0: the student's cross-entropy is higher"


def test_a_label_permutation_keeps_the_marginals_and_not_the_risk():
    """Equal feature marginals do not give equal risks: a marginal distance alone bounds nothing; T2 sees the labels."""
    rng = np.random.default_rng(11)
    labels = np.arange(40) % 2
    teacher = np.where(labels == 0, 1.0, -1.0)[:, None] + 0.1 * rng.normal(size=(40, 1))
    pair = Pair(teacher, np.roll(teacher, 1, axis=0), labels, head_weight=[[3.0], [-3.0]])
    from kd2m_theory.estimators import wasserstein

    assert wasserstein(pair.features_teacher, pair.features_student).upper == 0.0
    report = audit(pair)
    assert report["T2.lipschitz"].measured > 5
    assert report["T2.lipschitz"].holds


@given(pairs(), st.sampled_from(["T1.head_aware"]))
def test_t1_by_hand(pair, name):
    change = (pair.features_student - pair.features_teacher) @ pair.head_weight.T
    expected = vertex_norm(change, pair.labels).mean()
    assert audit(pair, only=[name])[name].upper == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_t0_holds_for_labels_of_masked_classes_of_a_replayed_head():
    """Losses of 1e9 nats whose difference is a thousandth: what rounds is the logit, not the difference."""
    rng = np.random.default_rng(0)
    for dimension in (3, 40):
        teacher, weight = rng.normal(size=(12, dimension)), 1e-3 * rng.normal(size=(5, dimension))
        student, bias = teacher + 0.1 * rng.normal(size=teacher.shape), np.array([0.0, 0.0, 0.0, -1e9, -1e9])
        row = audit(Pair(teacher, student, head_weight=weight, head_bias=bias), only=["T0"])["T0"]
        exact = np.array([[[Fraction(w) for w in line] for line in weight]]).squeeze()
        moved = [[sum(Fraction(d) * w for d, w in zip(line, wc, strict=True)) for wc in exact] for line in student - teacher]
        # The partition functions are those of the first three classes.
        free = weight[:3]
        parts = [np.log(np.exp(z @ free.T).sum(axis=1)) for z in (student, teacher)]
        changes = [[p - float(m) for m in line] for p, line in zip(parts[0] - parts[1], moved, strict=True)]
        assert row.lower <= np.mean([min(line) for line in changes]) + 1e-15
        assert row.upper >= np.mean([max(line) for line in changes]) - 1e-15
