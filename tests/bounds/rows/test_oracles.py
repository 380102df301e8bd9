"""Rows against the catalogue: the same numbers from the definitions, written in torch without the code under test."""

import math

import numpy as np
import pytest
import torch
from sampled import sampled

from kd2m_theory import Pair, audit
from kd2m_theory.bounds.rows import row as row_module
from kd2m_theory.bounds.rows import t3_joint
from kd2m_theory.theory.catalogue import theorems
from kd2m_theory.theory.instance import Instance
from kd2m_theory.validation.trial.agreement import compare

# Others are not about a pair of point clouds: `test_about` has their laws.
FORMS = [form for theorem in theorems() for form in theorem.forms if form.row and form.start and form.about == "sample"]


# The same construction as of the form beside it, with another constant, or measure of the points.
TWINS = (
    "T0.teacher_error",
    "T1.class_lipschitz",
    "T1.l2",
    "T2.class_lipschitz",
    "T2.spectral",
    "T2.w2",
    "T3.lipschitz",
    "T5.envelope",
    "T5.sharp",
    "T9.largest",
    "T10.moments",
)


@pytest.mark.parametrize("form", sampled(FORMS, later=TWINS), ids=[form.name for form in FORMS])
def test_rows_hold_and_say_the_numbers_of_the_definition_or_tighter_ones(form):
    generator = torch.Generator().manual_seed(3)
    compared = 0
    for _ in range(15):
        instance = form.start(generator)
        # The row of T8.ramp has widths of its own, and T1.literal has no guarantee on a steep head.
        if form.name == "T1.literal" and float(form.sides(instance).ratio) > 1:
            continue
        comparison = compare(form, instance, numbers=form.name != "T8.ramp")
        assert comparison.faults == ()
        compared += comparison.row is not None
    assert compared > 0


def pair_of(student, teacher, labels, **more):
    return Pair(teacher, student, labels, **more)


def test_every_row_of_the_sample_is_in_the_catalogue():
    from kd2m_theory.bounds import ROWS

    names = {form.name for theorem in theorems() for form in theorem.forms}
    for row in ROWS:
        if not row.limits:
            assert row.name.replace(".logits", "") in names, row.name


def test_an_oracle_that_is_looser_is_noticed():
    """The comparison itself can fail: a form whose sides are a tenth smaller is not what the row says."""
    from dataclasses import replace

    form = next(form for form in FORMS if form.name == "T2.lipschitz")
    instance = form.start(torch.Generator().manual_seed(0))
    assert isinstance(instance, Instance)

    def smaller(x):
        sides = form.sides(x)
        return replace(sides, upper=0.9 * sides.upper)

    assert compare(replace(form, sides=smaller), instance).faults


def test_t7_prediction_is_the_distance_of_two_confusion_matrices():
    rng = np.random.default_rng(0)
    teacher, student, labels = rng.normal(size=(80, 4)), rng.normal(size=(80, 4)), rng.integers(0, 3, 80)
    row = audit(Pair(logits_teacher=teacher, logits_student=student, labels=labels), only=["T7.prediction"])["T7.prediction"]
    counts = np.zeros((2, 4, 4))
    for side, logits in enumerate((student, teacher)):
        np.add.at(counts[side], (labels, logits.argmax(1)), 1.0 / 80)
    assert row.upper == pytest.approx(0.5 * np.abs(counts[0] - counts[1]).sum(), rel=1e-12)
    assert row.holds


def test_t4_prints_how_false_a_common_labelling_is():
    rng = np.random.default_rng(2)
    features = rng.normal(size=(40, 3))
    weight = rng.normal(size=(3, 3))
    same = audit(pair_of(features + 1e-3, features, rng.integers(0, 3, 40), head_weight=weight), only=["T4"])["T4"]
    assert same.details["λ"] == 0
    labels = np.arange(40) % 2
    # The student's classes stand where the teacher's other class stands: the best plan crosses.
    teacher = np.where(labels == 0, 1.0, -1.0)[:, None] + 0.1 * rng.normal(size=(40, 1))
    crossed = audit(pair_of(-teacher, teacher, labels, head_weight=[[3.0], [-3.0]]), only=["T4"])["T4"]
    logits = teacher @ np.array([[3.0, -3.0]])
    assert crossed.details["λ"] == pytest.approx(np.abs(logits[:, 0] - logits[:, 1]).mean(), rel=0.05)
    assert crossed.details["λ±"] == pytest.approx(crossed.measured, abs=crossed.details["L·W₁"] + 1e-9)
    assert crossed.holds


@pytest.mark.parametrize("space", ["", "logits."])
def test_t3_needs_no_class_shares(space):
    rng = np.random.default_rng(3)
    pair = Pair(
        rng.normal(size=(30, 2)),
        rng.normal(size=(50, 2)),
        rng.integers(0, 3, 30),
        labels_student=rng.integers(0, 2, 50),
        head_weight=rng.normal(size=(3, 2)),
        inputs_paired=False,
    )
    names = [f"T3.{space}{form}" for form in ("directed", "head_aware", "lipschitz")]
    rows = [audit(pair, only=[name])[name] for name in names]
    assert all(row.holds and row.assumed == "met" for row in rows)
    uppers = [row.upper for row in rows]
    assert uppers == sorted(uppers)


def test_problems_of_the_whole_cloud_are_asked_for_above_a_stated_size(monkeypatch):
    for module in (row_module, t3_joint):  # of the size itself, `test_numbers` keeps watch
        monkeypatch.setattr(module, "WHOLE_CLOUD", 200)
    rng = np.random.default_rng(4)
    large = Pair(logits_teacher=rng.normal(size=(210, 3)), logits_student=rng.normal(size=(210, 3)), labels=np.arange(210) % 3)
    assert "whole_cloud=True" in audit(large, only=["T4.logits"])["T4.logits"].why
    # One problem is solved, and the sharper costs are added up along its plan: valid, and in the same order.
    forms = [f"T3.logits.{form}" for form in ("directed", "head_aware", "lipschitz")]
    report = audit(large, only=[*forms, "T4.logits"], whole_cloud=True)
    assert all(row.holds for row in report.rows)
    uppers = [report[name].upper for name in forms]
    assert uppers == sorted(uppers)
    small = Pair(logits_teacher=rng.normal(size=(9, 3)), logits_student=rng.normal(size=(9, 3)), labels=np.arange(9) % 3)
    assert audit(small, only=["T4.logits"])["T4.logits"].holds
    assert "whole_cloud=False" in audit(small, only=["T4.logits"], whole_cloud=False)["T4.logits"].why


def test_t9_kl_splits_the_gap_into_divergence_and_labels():
    rng = np.random.default_rng(5)
    teacher, student = 2 * rng.normal(size=(2, 50, 4))
    labels = rng.integers(0, 4, 50)
    row = audit(Pair(logits_teacher=teacher, logits_student=student, labels=labels), only=["T9.kl"])["T9.kl"]
    p, q = (np.exp(a) / np.exp(a).sum(1, keepdims=True) for a in (teacher, student))
    divergence = (p * np.log(p / q)).sum(1).mean()
    assert row.details["E KL(p_T‖p_S)"] == pytest.approx(divergence, rel=1e-10)
    assert row.measured == pytest.approx(divergence + row.details["labels are not the teacher's"], rel=1e-10)
    unlabelled = Pair(logits_teacher=teacher, logits_student=student)
    assert "unlabelled" in audit(unlabelled, only=["T9.kl"], vouch=["teacher labels"])["T9.kl"].why


@pytest.mark.parametrize("scale", [1e-6, 1.0, 300.0, 1e5])
def test_divergences_keep_their_digits_at_any_scale(scale):
    rng = np.random.default_rng(6)
    teacher = scale * rng.normal(size=(40, 3))
    student = teacher + 1e-3 * scale * rng.normal(size=(40, 3))
    pair = Pair(logits_teacher=teacher, logits_student=student, labels=rng.integers(0, 3, 40))
    for row in audit(pair, only=["T9.tv", "T9.largest", "T9.pinsker", "T9.bretagnolle_huber", "T9.kl"]).rows:
        assert row.holds
        assert math.isfinite(row.upper)
    if scale <= 1:
        assert audit(pair, only=["T9.pinsker"]).rows[0].upper < 1e-2
