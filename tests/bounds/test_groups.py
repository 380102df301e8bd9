"""Samples in groups: what is said about the population counts groups, in any order of the file."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kd2m_theory import InputError, Pair, audit, label_plan
from kd2m_theory.bounds import Known, aligned, cross_entropy
from kd2m_theory.estimators import betting, clopper_pearson, student_t

POPULATION = ("F1.gap", "F1.risk", "F1.error_gap", "F1.error", "F3.T0", "F3.T0.error")
NOT_IN_GROUPS = ("F2.T0", "F2.T0.error", "F4.brier", "F5.T2", "F5.brier", "T7.gaussian")


def tokens(seed=0, texts=40, length=12, classes=5):
    """Logits of both networks, labels and groups: the tokens of a text resemble each other."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, length, texts)
    groups = np.repeat(np.arange(texts), sizes)
    topic = rng.normal(size=(texts, classes))[groups]
    teacher = topic + 0.3 * rng.normal(size=(len(groups), classes))
    student = teacher + 0.5 * rng.normal(size=(texts, classes))[groups]
    return {"logits_teacher": teacher, "logits_student": student, "labels": topic.argmax(axis=1), "groups": groups}


def by_group(values, groups):
    return np.array([values[groups == group].mean() for group in np.unique(groups)])


def test_means_are_those_of_groups():
    arrays = tokens()
    report = audit(Pair(**arrays), only=["F1.error", "F1.gap", "F3.T0.error"])
    wrong = {name: arrays[f"logits_{name}"].argmax(axis=1) != arrays["labels"] for name in ("teacher", "student")}
    share = report.share
    errors = by_group(wrong["student"].astype(float), arrays["groups"])
    expected = betting(errors, 0, 1, 2 * share, range_known=True)
    assert (report["F1.error"].lower, report["F1.error"].upper) == pytest.approx((expected.lower, expected.upper), rel=1e-9)
    assert report.measured["accuracy_student"].value == pytest.approx(1 - errors.mean(), rel=1e-12)
    assert report.measured["error_gap"].value == pytest.approx(
        errors.mean() - by_group(wrong["teacher"].astype(float), arrays["groups"]).mean(), rel=1e-12
    )
    change = cross_entropy(arrays["logits_student"], arrays["labels"]) - cross_entropy(
        arrays["logits_teacher"], arrays["labels"]
    )
    mean = student_t(by_group(change, arrays["groups"]), 0.05)
    assert report.measured["gap"].lower == pytest.approx(mean.lower, rel=1e-9)
    assert report.measured["gap"].value == pytest.approx(mean.value, rel=1e-9)


def test_what_has_no_form_for_groups_says_so_and_costs_nothing():
    arrays = tokens()
    grouped = audit(Pair(**arrays), vouch="gaussian classes")
    for name in NOT_IN_GROUPS:
        assert not grouped[name].applicable
        assert "samples of one group are not independent" in grouped[name].why
    alone = audit(Pair(**arrays), only=[*POPULATION, "F3.T1", "F3.T8"])
    limits = {row.name for row in grouped.rows if row.level is not None}
    assert limits == {row.name for row in alone.rows}
    evidence = {each.name: each.evidence for each in grouped["F1.error"].assumptions}
    assert "the groups are independent draws" in evidence["independent samples"]


def test_what_would_count_samples_as_draws_is_refused():
    pair = Pair(**tokens())
    with pytest.raises(InputError, match="the pair has groups"):
        label_plan(pair)
    with pytest.raises(InputError, match="teacher_error is a pair with groups"):
        audit(pair, teacher_error=pair)
    told = audit(pair, teacher_error=Known(0.3, about="population"))
    assert not told["F3.teacher_error"].applicable
    assert audit(pair, teacher_error=0.9)["T0.teacher_error"].applicable


def test_an_aligned_pair_keeps_its_groups():
    rng = np.random.default_rng(0)
    teacher, student = rng.normal(size=(60, 4)), rng.normal(size=(60, 3))
    halves = [
        Pair(teacher[s], student[s], head_weight=np.eye(4), groups=np.arange(30) // 2) for s in (slice(30), slice(30, 60))
    ]
    assert np.array_equal(aligned(halves[0], halves[1]).groups, halves[0].groups)


def test_rows_about_the_sample_do_not_see_groups():
    arrays = tokens()
    grouped, loose = audit(Pair(**arrays)), audit(Pair(**(arrays | {"groups": None})))
    for row in loose.rows:
        if row.level is None and row.applicable:
            assert (grouped[row.name].lower, grouped[row.name].upper) == pytest.approx((row.lower, row.upper), rel=1e-12)


@given(st.randoms(use_true_random=False))
def test_an_audit_is_a_function_of_the_set_of_groups(random):
    arrays = tokens(texts=8, length=5)
    n = len(arrays["groups"])
    order = list(range(n))
    random.shuffle(order)
    names = list(range(8))
    random.shuffle(names)
    moved = {name: value[order] for name, value in arrays.items()}
    moved["groups"] = np.array([f"text {names[group]}" for group in moved["groups"]])
    chosen = ["F1.gap", "F1.error", "F3.T0"]
    first, second = (audit(Pair(**each), only=chosen) for each in (arrays, moved))
    assert [(row.lower, row.upper) for row in first.rows] == [(row.lower, row.upper) for row in second.rows]
    assert first.measured == second.measured


@pytest.mark.long
def test_intervals_cover_where_samples_of_a_group_are_copies_and_without_groups_they_do_not():
    """Each text is one draw, repeated: the right interval counts texts."""
    rng, misses = np.random.default_rng(1), {"grouped": 0, "loose": 0}
    rounds, texts, copies, level = 60, 30, 20, 0.2
    for _ in range(rounds):
        wrong = np.repeat(rng.random(texts) < 0.4, copies)
        logits = np.where(wrong[:, None], [0.0, 1.0], [1.0, 0.0]) + 1e-3 * rng.normal(size=(texts * copies, 2))
        arrays = {"logits_teacher": logits, "logits_student": logits, "labels": np.zeros(len(logits), int)}
        for name, groups in (("grouped", np.repeat(np.arange(texts), copies)), ("loose", None)):
            row = audit(Pair(**arrays, groups=groups), level, only=["F1.error"])["F1.error"]
            misses[name] += not row.lower <= 0.4 <= row.upper
    assert clopper_pearson(misses["grouped"], rounds, 0.01).lower <= level
    assert clopper_pearson(misses["loose"], rounds, 0.01).lower > level


def test_groups_are_saved_and_read(tmp_path):
    pair = Pair(**tokens())
    pair.save(tmp_path / "pair.safetensors")
    again = Pair.load(tmp_path / "pair.safetensors")
    assert np.array_equal(again.groups, pair.groups)
    assert "groups=40" in repr(again)


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        (np.zeros(6), "one group"),
        (np.arange(5), "has shape"),
        (np.full(6, 0.5), "whole numbers"),
        (np.full(6, np.nan), "whole numbers"),
        (np.eye(6), "has shape"),
        (np.arange(6) * 1j, "dtype complex"),
    ],
)
def test_what_is_no_grouping_is_refused(groups, message):
    logits = 2.0 * np.eye(6)
    with pytest.raises(InputError, match=message):
        Pair(logits_teacher=logits, logits_student=logits, groups=groups)


def test_groups_need_the_same_inputs():
    logits = 2.0 * np.eye(6)
    with pytest.raises(InputError, match="inputs_paired=False"):
        Pair(logits_teacher=logits, logits_student=logits, inputs_paired=False, groups=np.arange(6) // 2)


class TestTokens:
    logits = np.random.default_rng(3).normal(size=(2, 4, 6, 7))

    def test_padding_and_ignored_labels_leave(self):
        labels = np.full((4, 6), 2)
        labels[0, 3:] = -100
        mask = np.ones((4, 6), int)
        mask[2, 1:] = 0
        pair = Pair.from_tokens(*self.logits, labels, mask=mask)
        assert pair.n == 3 + 6 + 1 + 6
        assert np.bincount(pair.groups).tolist() == [3, 6, 1, 6]
        assert np.array_equal(pair.logits_teacher[:3], self.logits[0, 0, :3])

    def test_pixels_of_images_are_positions(self):
        logits = np.random.default_rng(0).normal(size=(2, 3, 4, 5, 6))
        pair = Pair.from_tokens(*logits, np.ones((3, 4, 5), int))
        assert pair.n == 60
        assert np.bincount(pair.groups).tolist() == [20, 20, 20]

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"logits_student": logits[0, :3]}, "same positions and classes"),
            ({"logits_teacher": logits[0, 0], "logits_student": logits[0, 0]}, "sequences × positions × classes"),
            ({"labels": np.zeros((4, 5), int)}, "a class for each of the 4 × 6 positions"),
            (
                dict.fromkeys(("logits_teacher", "logits_student"), logits[0].reshape(4, 7, 3, 2))
                | {"labels": np.zeros((4, 3, 2), int)},
                r"labels has shape \(4, 3, 2\); .* Classes are the last axis of logits: .*np\.moveaxis\(logits, 1, -1\)",
            ),
            ({"mask": np.ones((4, 7))}, "give 0 or 1 for each of the 4 × 6 positions"),
            ({"mask": np.full((4, 6), 2)}, "give 0 or 1"),
            ({"mask": np.eye(4, 6)[[0, 0, 0, 0]] * np.eye(4)[0][:, None]}, "fewer than two sequences"),
            (
                {"mask": np.eye(4, 6)[::-1], "labels": np.where(np.eye(4, 6)[::-1], -100, 1)},
                "that counts, and whose label is not −100: 1 in mask marks those that count; a pair needs",
            ),
            (
                {"mask": np.arange(6) >= np.array([[6], [4], [3], [2]])},
                r"leaves out 1 of 4 sequences, first sequence 0, .*pass 1 - mask",
            ),
            ({"labels": np.full((4, 6), 9)}, "outside 0..6"),
        ],
    )
    def test_what_is_wrong_is_named(self, arguments, message):
        with pytest.raises(InputError, match=message):
            Pair.from_tokens(**({"logits_teacher": self.logits[0], "logits_student": self.logits[1]} | arguments))

    @pytest.mark.parametrize(
        "mask",
        [
            np.arange(6) < np.array([[6], [4], [0], [2]]),  # texts of one token whose logits were shifted
            np.arange(5, -1, -1) < np.array([[6], [4], [0], [2]]),  # padded on the left
            np.arange(6) < np.array([[3], [4], [0], [2]]),  # padded to more than the longest
            np.arange(6) >= np.array([[5], [4], [3], [2]]),  # positions that are asked about stand at the end
        ],
    )
    def test_a_mask_that_may_be_right_is_taken(self, mask):
        assert Pair.from_tokens(*self.logits, mask=mask).n == mask.sum()

    @pytest.mark.parametrize("given", ["labels", "mask"])
    def test_classes_behind_the_first_axis_are_moved(self, given):
        logits = np.random.default_rng(0).normal(size=(2, 6, 3, 8, 8))
        positions = {given: np.ones((6, 8, 8), int)}
        with pytest.raises(InputError, match=r"6 × 3 × 8 positions\. Classes are the last axis of logits: .*movedim\(1, -1\)"):
            Pair.from_tokens(*logits, **positions)
        assert Pair.from_tokens(*np.moveaxis(logits, 2, -1), **positions).n == 384


def test_rows_that_are_left_out_leave_their_groups():
    logits, labels = 2.0 * np.eye(6), np.array([0, 1, -100, 3, 4, -100])
    pair = Pair(logits_teacher=logits, logits_student=logits, labels=labels, groups=["a", "a", "b", "c", "c", "c"])
    assert pair.groups.tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize("odd", [None, float("nan"), 1, b"a"])
def test_a_name_that_is_missing_is_no_group(odd):
    logits = 2.0 * np.eye(6)
    with pytest.raises(InputError, match="give each sample the number, or each the name"):
        Pair(logits_teacher=logits, logits_student=logits, groups=np.array([*"abcde", odd], dtype=object))
    numbers = Pair(logits_teacher=logits, logits_student=logits, groups=np.array([1, 1.0, 2, 2, 3, 3], dtype=object)).groups
    assert numbers.tolist() == [0, 0, 1, 1, 2, 2]
