"""Every row holds on every pair; the rows stand in the order that theory gives them; what is missing is said."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from problems import pairs
from scipy.special import softmax

from kd2m_theory import InputError, Pair, audit
from kd2m_theory.bounds import ROWS, cross_entropy, vertex_norm
from kd2m_theory.bounds.t1_paired import literal_counterexample

NAMES = [row.name for row in ROWS]
# Rows whose target is measured on the sample, without a setting of the user's.
ON_SAMPLE = [row.name for row in ROWS if not row.target.startswith("population") and row.name != "T9.ttm"]


def on_sample(report):
    return [report[name] for name in ON_SAMPLE]


def upper(report, name):
    return report[name].upper


@given(pairs())
def test_no_guaranteed_row_is_violated(pair):
    report = audit(pair)
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
            assert row.name in ("T9.ttm", "T7.gaussian") or row.level == pytest.approx(1 - report.share)


@given(pairs())
def test_measured_values_are_what_they_are_called(pair):
    report = audit(pair)
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
    # the label-free maximum covers the true label
    ("T5", "T2.head_aware"),
)


@given(pairs())
def test_the_ladder_is_in_order(pair):
    report = audit(pair)
    for ladder in LADDERS:
        for tighter, looser in pairwise(ladder):
            assert upper(report, tighter) <= upper(report, looser) * (1 + 1e-9) + 1e-9, (tighter, looser)


@given(pairs())
def test_every_distance_is_certified_to_nine_digits(pair):
    size = 1 + np.abs(pair.logits_student).max() + np.abs(pair.features_student).max()
    for row in audit(pair).rows:
        if row.name == "T10.risk" or row.name == "T10.logits.risk":
            continue  # Gelbrich's and the independent coupling's bounds are apart by nature
        # Near zero only rounding is left: of points; in T5 of probabilities, right to about |logit| roundings, times logits.
        floor = 1e-14 * size**2 if row.name.startswith("T5") else 1e-13 * size
        for distance in row.distances.values():
            assert distance.gap <= 1e-9 * abs(distance.upper) + floor


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
        assert row.applicable or "the pair is unlabelled; pass labels" in row.why or row.name in ("T9.ttm", "T9.kl")
    assert report["T0"].vacuous_from == pytest.approx(math.log(3))


def test_logits_only():
    rng = np.random.default_rng(3)
    report = audit(
        Pair(logits_teacher=rng.normal(size=(30, 4)), logits_student=rng.normal(size=(30, 4)), labels=rng.integers(0, 4, 30))
    )
    for row in report.rows:
        if row.name not in ("T9.ttm", "T7.gaussian"):
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
        assert row.applicable == (not paired_only), row.name
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
    for row in on_sample(report):
        assert row.holds
        if not row.name.startswith(("T8", "T10")):
            assert row.upper <= (1e-6 if row.name in ("T9.pinsker", "T9.bretagnolle_huber") else 1e-9)
            assert row.measured == 0


@pytest.mark.parametrize("labels", [[0, 0, 0, 0], [0, 1, 2, 3], [1, 1, 1, 0]])
def test_one_class_and_classes_of_one_sample(labels):
    rng = np.random.default_rng(7)
    report = audit(Pair(rng.normal(size=(4, 3)), rng.normal(size=(4, 3)), labels, head_weight=rng.normal(size=(4, 3))))
    assert report.violations == ()
    assert all(row.holds is not None for row in on_sample(report))


def test_vacuous_is_what_uniform_guessing_would_do():
    rng = np.random.default_rng(8)
    teacher, labels = np.eye(3)[np.arange(30) % 3] * 9, np.arange(30) % 3
    pair = Pair(teacher, teacher + 0.05 * rng.normal(size=teacher.shape), labels, head_weight=np.eye(3))
    report = audit(pair)
    risk = report.measured["risk_teacher"].value
    for row in report.rows:
        if row.target not in ("gap", "gap_shared_head", "error_gap"):
            continue
        limit = 1.0 if row.target == "error_gap" else math.log(3) - risk
        assert row.vacuous_from == pytest.approx(limit)
        assert (row.status == "vacuous") == (row.upper >= row.vacuous_from and row.lower <= 0 <= row.upper)
    assert report["T1.head_aware"].status == "informative"


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


@pytest.mark.parametrize("scale", [1e-8, 1e4, 1e8])
def test_extreme_logits(scale):
    rng = np.random.default_rng(10)
    labels = rng.integers(0, 3, 40)
    pair = Pair(logits_teacher=scale * rng.normal(size=(40, 3)), logits_student=scale * rng.normal(size=(40, 3)), labels=labels)
    report = audit(pair)
    assert report.violations == ()
    assert all(row.holds for row in on_sample(report) if row.applicable)


@pytest.mark.parametrize("move", [0.0, 1e-8, 1e-12])
def test_untrained_heads_are_not_accused(move):
    """Logits near zero: the loss is ln K with a rounding of its own, however small the logits are."""
    rng = np.random.default_rng(14)
    for _ in range(20):
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


def test_a_one_sided_proof_is_informative():
    """A student shown to be worse is news, even where the upper side allows everything."""
    teacher, labels = 4.0 * np.eye(2)[np.arange(40) % 2], np.arange(40) % 2
    row = audit(Pair(logits_teacher=teacher, logits_student=-teacher, labels=labels))["T5.logits"]
    assert row.lower > 0
    assert row.upper > row.vacuous_from
    assert row.status == "informative"
    assert row.why == "shows that the student is worse than the teacher"


def test_without_labels_nothing_is_claimed_about_the_risk():
    rng = np.random.default_rng(17)
    pair = Pair(logits_teacher=np.zeros((30, 4)), logits_student=0.3 * rng.normal(size=(30, 4)))
    assert "unknown without labels" in audit(pair)["T0"].why


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


def test_only_computes_what_was_asked_and_refuses_names_that_are_no_row():
    rng = np.random.default_rng(12)
    pair = Pair(logits_teacher=rng.normal(size=(9, 3)), logits_student=rng.normal(size=(9, 3)), labels=np.arange(9) % 3)
    assert [row.name for row in audit(pair, only=["T5.logits", "T0"]).rows] == ["T0", "T5.logits"]
    with pytest.raises(InputError, match=r"no row T99; rows are T0, T0\.error"):
        audit(pair, only=["T99"])
    with pytest.raises(InputError, match="delta is 2"):
        audit(pair, delta=2)
    with pytest.raises(KeyError, match="no row 'T99'"):
        audit(pair)["T99"]


def test_a_pair_without_head_or_logits_has_no_risk():
    features = np.random.default_rng(13).normal(size=(5, 2))
    with pytest.raises(InputError, match="no risk to bound"):
        audit(Pair(features, features))


@given(pairs(), st.sampled_from(["T1.head_aware"]))
def test_t1_by_hand(pair, name):
    change = (pair.features_student - pair.features_teacher) @ pair.head_weight.T
    expected = vertex_norm(change, pair.labels).mean()
    assert audit(pair, only=[name])[name].upper == pytest.approx(expected, rel=1e-9, abs=1e-9)
