"""The rows `T5.envelope` and `T5.sharp`: plans along few pairs, views that share their work, pairs of every form."""

import numpy as np
import pytest

from kd2m_theory import Pair, audit
from kd2m_theory.bounds.rows import t5_two_ends

NAMES = ["T5.envelope", "T5.sharp", "T5.logits.envelope", "T5.logits.sharp"]


def networks(n, seed=0, classes=3, size=1.0):
    rng = np.random.default_rng(seed)
    teacher, weight, labels = rng.normal(size=(n, 4)), size * rng.normal(size=(classes, 4)), np.arange(n) % classes
    return teacher, teacher + 0.2 * rng.normal(size=(n, 4)), labels, weight


def counted(monkeypatch):
    classes, compute = [], t5_two_ends._class_sides
    monkeypatch.setattr(
        t5_two_ends,
        "_class_sides",
        lambda *arguments: classes.append(int(arguments[0].student.labels[0])) or compute(*arguments),
    )
    return classes


def test_views_with_the_same_logits_share_their_work(monkeypatch):
    classes = counted(monkeypatch)
    teacher, student, labels, weight = networks(30)
    report = audit(Pair(teacher, student, labels, head_weight=weight), only=NAMES)
    assert classes == [0, 1, 2]
    assert report["T5.sharp"].upper == report["T5.logits.sharp"].upper
    assert report["T5.logits.sharp"].seconds > 0
    own = Pair(teacher, student, labels, head_weight=weight, logits_student=1.1 * student @ weight.T)
    report = audit(own, only=NAMES)
    assert classes[3:] == [0, 1, 2] * 2
    assert report["T5.sharp"].upper != report["T5.logits.sharp"].upper


def test_few_pairs_lose_little_and_stay_below_the_older_rows(monkeypatch):
    teacher, student, labels, weight = networks(120, size=2.0)
    pair = Pair(teacher, student, labels, head_weight=weight)
    all_of_them = audit(pair, only=NAMES)
    monkeypatch.setattr(t5_two_ends, "_NEAREST", 6)
    report = audit(pair, only=[*NAMES, "T5", "T5.curved"])
    assert report["T5.sharp"].details["pairs of points tried"] < all_of_them["T5.sharp"].details["pairs of points tried"] / 2
    for tighter, looser in (("T5.envelope", "T5"), ("T5.sharp", "T5.curved")):
        assert report[looser].lower <= report[tighter].lower <= report[tighter].measured
        assert report[tighter].measured <= report[tighter].upper <= report[looser].upper
    assert all_of_them["T5.sharp"].upper <= report["T5.sharp"].upper * (1 + 1e-9)
    widths = [report[name].upper - report[name].lower for name in ("T5.sharp", "T5.curved")]
    assert widths[0] < 0.1 * widths[1]


@pytest.mark.parametrize("times", [1, 2])
def test_samples_that_are_not_paired(times):
    teacher, student, labels, weight = networks(24)
    order = np.random.default_rng(1).permutation(24 * times)
    clouds, classes = np.tile(student, (times, 1))[order], np.tile(labels, times)[order]
    pair = Pair(teacher, clouds, labels, labels_student=classes, head_weight=weight, inputs_paired=False)
    paired = audit(Pair(teacher, student, labels, head_weight=weight), only=NAMES)
    report = audit(pair, only=NAMES)
    for name in NAMES:  # the laws are the same, so are the best couplings
        assert report[name].holds
        assert report[name].upper == pytest.approx(paired[name].upper, rel=1e-8)
        assert report[name].lower == pytest.approx(paired[name].lower, rel=1e-8)


def test_a_head_that_is_not_linear_is_known_by_its_logits():
    teacher, student, labels, weight = networks(40)
    logits = [np.tanh(each @ weight.T) * 3 for each in (teacher, student)]
    pair = Pair(teacher, student, labels, logits_teacher=logits[0], logits_student=logits[1])
    report = audit(pair, only=NAMES, head_lipschitz=20.0)
    assert all(row.holds for row in report.rows)
    assert report["T5.sharp"].upper == report["T5.logits.sharp"].upper
    alone = audit(Pair(logits_teacher=logits[0], logits_student=logits[1], labels=labels), only=["T5.logits.sharp"])
    assert alone["T5.logits.sharp"].upper == report["T5.logits.sharp"].upper


@pytest.mark.long
def test_the_numbers_do_not_depend_on_what_else_is_asked():
    teacher, student, labels, weight = networks(330, size=2.0)
    pair = Pair(teacher, student, labels, head_weight=weight)
    whole = audit(pair)
    for name in NAMES:
        alone = audit(pair, only=[name])[name]
        assert (alone.lower, alone.upper) == (whole[name].lower, whole[name].upper)


def test_a_student_that_is_its_teacher():
    teacher, _, labels, weight = networks(50, size=30.0)
    for row in audit(Pair(teacher, teacher, labels, head_weight=weight), only=NAMES).rows:
        assert row.holds
        assert abs(row.upper) + abs(row.lower) < 1e-10
