"""An audit is a function of the samples as a set: the order of the file changes no number, and no coverage."""

import hashlib
import struct

import numpy as np
import pytest

from kd2m_theory import Pair, audit
from kd2m_theory.bounds import ROWS, Ladder, content_order
from kd2m_theory.bounds.content_order import in_content_order
from kd2m_theory.estimators import clopper_pearson

N, K, D = 90, 3, 4


def arrays(seed=0, n=N):
    rng = np.random.default_rng(seed)
    teacher = rng.normal(size=(n, D))
    weight = rng.normal(size=(K, D))
    return {
        "features_teacher": teacher,
        "features_student": teacher + 0.4 * rng.normal(size=(n, D)),
        "labels": np.where(rng.random(n) < 0.8, (teacher @ weight.T).argmax(axis=1), rng.integers(0, K, n)),
        "logits_student": 2 * rng.normal(size=(n, K)),
    }, weight


def pairs(paired, labelled=True):
    given, weight = arrays()
    rng = np.random.default_rng(1)
    student = ("features_student", "logits_student", "labels_student")
    if not paired:
        given["labels_student"] = given["labels"].copy()
    orders = {
        "as it is": np.arange(N),
        "shuffled": rng.permutation(N),
        "by class": np.argsort(given["labels"], kind="stable"),
        "by teacher": np.argsort(given["features_teacher"][:, 0]),
        "reversed": np.arange(N)[::-1],
    }
    for name, order in orders.items():
        other = order if paired else rng.permutation(N)
        moved = {key: value[other if key in student else order] for key, value in given.items()}
        if not labelled:
            moved = {key: value for key, value in moved.items() if not key.startswith("labels")}
        yield name, Pair(**moved, head_weight=weight, inputs_paired=paired)


@pytest.mark.parametrize(("paired", "labelled", "applicable"), [(True, True, 60), (True, False, 14), (False, True, 35)])
def test_every_row_and_measured_value_is_the_same_in_any_order(paired, labelled, applicable):
    (_, first), *others = pairs(paired, labelled)
    settings = {"temperature": 2.0, "vouch": ("gaussian classes", "teacher labels")}
    expected = audit(first, **settings)
    assert sum(row.applicable for row in expected.rows) > applicable
    for name, pair in others:
        found = audit(pair, **settings)
        for row in ROWS:
            mine, other = expected[row.name], found[row.name]
            assert [mine.lower, mine.upper, mine.measured] == [other.lower, other.upper, other.measured] or (
                not mine.applicable and not other.applicable
            ), (name, row.name)
        assert found.measured == expected.measured, name


def test_equal_samples_stand_in_an_order_of_their_own():
    """Samples that are equal cannot be told apart; that most are equal is noticed."""
    rng = np.random.default_rng(0)
    atoms = rng.normal(size=(5, K))
    which = rng.integers(0, 5, 60)
    pair = Pair(logits_teacher=atoms[which], logits_student=2 * atoms[which], labels=which % K)
    turned = Pair(logits_teacher=atoms[which[::-1]], logits_student=2 * atoms[which[::-1]], labels=which[::-1] % K)
    (one, distinct), (two, _) = in_content_order(pair), in_content_order(turned)
    np.testing.assert_array_equal(one.logits_teacher, two.logits_teacher)
    assert not distinct
    assert in_content_order(Pair(logits_teacher=rng.normal(size=(60, K)), logits_student=rng.normal(size=(60, K))))[1]
    assert Ladder(pair, 0.05, ["F1.gap"]).evaluate()[0].lower <= audit(turned, only=["F1.gap"])["F1.gap"].upper


def test_the_order_is_that_of_the_definition_in_blocks_of_any_size(monkeypatch):
    """Independent oracle: SHA-256 over one sample's numbers after the other, on both sides of a pair on the same inputs."""
    rng = np.random.default_rng(1)
    labels = rng.integers(0, K, 40)
    teacher, student = (rng.normal(size=(40, K)).astype(np.float32).astype(np.float64) for _ in range(2))

    def key(row):
        numbers = (*teacher[row], *student[row])
        content = struct.pack(f"<{2 * K}dq", *numbers, labels[row])
        return hashlib.sha256(hashlib.sha256(content).digest() + bytes(8)).digest()

    expected = sorted(range(40), key=key)
    for block in (content_order.BLOCK, 1, 700):
        monkeypatch.setattr(content_order, "BLOCK", block)
        found = in_content_order(Pair(logits_teacher=teacher, logits_student=student, labels=labels))[0]
        np.testing.assert_array_equal(found.logits_teacher, teacher[expected])
        np.testing.assert_array_equal(found.logits_student, student[expected])
        np.testing.assert_array_equal(found.labels, labels[expected])


def test_zeros_of_either_sign_are_one_content():
    logits = np.random.default_rng(0).normal(size=(6, 2))
    logits[:, 1] = 0.0
    minus = logits.copy()
    minus[:, 1] = -0.0
    one, two = (in_content_order(Pair(logits_teacher=a, logits_student=logits))[0] for a in (logits, minus))
    np.testing.assert_array_equal(one.logits_teacher, two.logits_teacher)


@pytest.mark.parametrize(
    "key",
    [lambda labels, loss: labels, lambda labels, loss: loss, pytest.param(lambda labels, loss: -loss, marks=pytest.mark.long)],
)
@pytest.mark.parametrize("distinct", [pytest.param(True, marks=pytest.mark.long), False])
def test_rows_cover_on_files_sorted_by_class_and_by_loss(key, distinct):
    """The yardsticks on a population of two kinds of input, the file sorted; δ each, judged at one in a million."""
    rng, delta, n, trials = np.random.default_rng(7), 0.2, 120, 150
    margin, wrong = 1.5, 0.475
    misses = dict.fromkeys(["F1.risk", "F1.gap"], 0)
    bound = 2 * np.log(2)
    losses = np.minimum(np.log1p(np.exp([-margin, margin])), bound)  # of a right and of a wrong answer
    truth = {"F1.risk": losses @ [1 - wrong, wrong], "F1.gap": losses @ [1 - wrong, wrong] - np.log(2)}
    for _ in range(trials):
        labels = (rng.random(n) < wrong).astype(int)  # class 1 is answered wrongly
        jitter = 1e-9 * rng.normal(size=n) if distinct else np.zeros(n)
        student = np.column_stack((np.full(n, margin), jitter))
        order = np.argsort(key(labels, np.log1p(np.exp(-margin * (1 - 2 * labels)))), kind="stable")
        pair = Pair(logits_teacher=np.zeros((n, 2)), logits_student=student[order], labels=labels[order])
        ladder = Ladder(pair, delta, list(misses))
        ladder.spend(delta, each=True)
        for row in ladder.evaluate():
            misses[row.name] += not row.lower <= truth[row.name] <= row.upper
    for name, count in misses.items():
        assert clopper_pearson(count, trials, 1e-6).lower <= delta, (name, count)
