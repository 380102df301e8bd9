"""Where the gap comes from: parts that sum to what is measured, against a loop over the samples, in the user's own numbering."""

import math
from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kd2m_theory import InputError, Pair, audit
from kd2m_theory.bounds.breakdown import BINS, CLASSES, CONFUSIONS, IN_A_BIN, SAMPLES


def loss(logits, label):
    top = max(logits)
    return math.log(math.fsum(math.exp(value - top) for value in logits)) + top - logits[label]


def softmax_top(logits):
    top = max(logits)
    return 1 / math.fsum(math.exp(value - top) for value in logits)


def first_largest(logits):
    return max(range(len(logits)), key=lambda k: (logits[k], -k))


def pair_of(seed, n=40, classes=4, *, labelled=True, groups=None, coarse=False, **more):
    """Students of every size of fault; with coarse logits many losses, confidences and samples are equal."""
    rng = np.random.default_rng(seed)
    teacher, noise = rng.normal(size=(2, n, classes)) * 2
    if coarse:
        teacher, noise = np.round(teacher), np.round(noise)
    labels = np.where(rng.random(n) < 0.7, teacher.argmax(axis=1), rng.integers(0, classes, n))
    arguments = {"logits_teacher": teacher, "logits_student": teacher + noise, "labels": labels if labelled else None}
    return Pair(**arguments, groups=groups, **more)


def broken_down(pair, **arguments):
    return audit(pair, only=(), **arguments)


def by_loop(pair):
    """Everything about a paired, labelled pair, a sample at a time."""
    n, groups = pair.n, pair.groups
    sizes = Counter(groups.tolist()) if groups is not None else {}
    parts = defaultdict(lambda: [0, [], [], []])
    confused, added, removed, samples = Counter(), 0, 0, []
    for k in range(n):
        weight = 1 / n if groups is None else 1 / (len(sizes) * sizes[int(groups[k])])
        student, teacher, label = pair.logits_student[k].tolist(), pair.logits_teacher[k].tolist(), int(pair.labels[k])
        said = first_largest(student), first_largest(teacher)
        losses = loss(student, label), loss(teacher, label)
        part = parts[label]
        part[0] += 1
        part[1].append(weight * (losses[0] - losses[1]))
        part[2].append(weight * ((said[0] != label) - (said[1] != label)))
        part[3].append(weight * (said[0] != said[1]))
        if said[0] != label and said[1] == label:
            added += 1
            confused[label, said[0]] += 1
        removed += said[0] == label and said[1] != label
        samples.append((k, label, said[1], said[0], losses[1], losses[0], weight * (losses[0] - losses[1])))
    return {label: (count, *map(math.fsum, sums)) for label, (count, *sums) in parts.items()}, confused, added, removed, samples


PAIRS = st.builds(
    pair_of,
    seed=st.integers(0, 2**20),
    n=st.integers(4, 60),
    classes=st.integers(2, 6),
    coarse=st.booleans(),
)


def grouped(pair, count=3):
    return Pair(
        logits_teacher=pair.logits_teacher,
        logits_student=pair.logits_student,
        labels=pair.labels,
        groups=np.arange(pair.n) ** 2 % count,
    )


@settings(max_examples=25)
@given(pair=PAIRS, in_groups=st.booleans())
def test_every_part_is_what_a_loop_over_the_samples_finds(pair, in_groups):
    pair = grouped(pair) if in_groups else pair
    report = broken_down(pair)
    found = report.breakdown
    parts, confused, added, removed, samples = by_loop(pair)
    assert found.by == "label"
    assert {each.label for each in found.classes} == set(parts)  # classes that do not occur are not there
    for each in found.classes:
        count, gap, error_gap, disagreement = parts[each.label]
        assert each.samples == count
        for mine, theirs in ((each.gap, gap), (each.error_gap, error_gap), (each.disagreement, disagreement)):
            assert mine == pytest.approx(theirs, rel=1e-9, abs=1e-12)
    sizes = [abs(each.gap) for each in found.classes]
    assert sizes == sorted(sizes, reverse=True)
    assert (found.added, found.removed) == (added, removed)
    assert {(each.label, each.predicted): each.samples for each in found.confusions} == confused
    sign = 1 if report.measured["gap"].value >= 0 else -1
    carrying = [each for each in samples if sign * each[-1] > 0]
    if all(abs(each[-1]) > 1e-12 for each in carrying):
        assert len(found.samples) == len(carrying)
    shown = {each.index: each for each in found.samples}
    for index, label, teacher, student, loss_teacher, loss_student, gap in carrying:
        if abs(gap) > 1e-12:
            each = shown[index]
            assert (each.label, each.teacher, each.student) == (label, teacher, student)
            assert [each.loss_teacher, each.loss_student, each.gap] == pytest.approx(
                [loss_teacher, loss_student, gap], rel=1e-9, abs=1e-12
            )


@pytest.mark.parametrize("n", [601, 1500])
def test_errors_that_cancel_within_a_class_leave_zero(n):
    """In each class either network errs on as many samples, in changing order; a running sum of ±1/n leaves 1e-17 or so."""
    labels, turn = np.arange(n) % 7, np.random.default_rng(0).permutation(n)
    right = 4.0 * np.eye(7)[labels]
    teacher, student = right.copy(), right.copy()
    for label in range(7):
        mine = turn[labels[turn] == label]
        teacher[mine[:20]] *= -1
        student[mine[10:30]] *= -1
    found = broken_down(Pair(logits_teacher=teacher, logits_student=student, labels=labels)).breakdown
    assert [each.error_gap for each in found.classes] == [0.0] * 7


@settings(max_examples=25)
@given(pair=PAIRS, in_groups=st.booleans())
def test_parts_sum_to_what_is_measured(pair, in_groups):
    report = broken_down(grouped(pair) if in_groups else pair)
    found = report.breakdown
    for name in ("gap", "error_gap", "disagreement"):
        total = math.fsum(getattr(each, name) for each in found.classes)
        assert total == pytest.approx(report.measured[name].value, rel=1e-9, abs=1e-10)
    for whose in ("student", "teacher"):
        each = getattr(found.reliability, whose)
        accuracy = math.fsum(one.share * one.accuracy for one in each.bins)
        assert accuracy == pytest.approx(report.measured[f"accuracy_{whose}"].value, abs=1e-12)
        assert math.fsum(one.share for one in each.bins) == pytest.approx(1)
        assert sum(one.samples for one in each.bins) == report.n


@settings(max_examples=20)
@given(pair=PAIRS, seed=st.integers(0, 2**20), in_groups=st.booleans())
def test_another_order_of_the_rows_changes_their_numbers_alone(pair, seed, in_groups):
    pair = grouped(pair) if in_groups else pair
    order = np.random.default_rng(seed).permutation(pair.n)
    arrays = {name: getattr(pair, name) for name in ("logits_teacher", "logits_student", "labels", "groups")}
    moved = Pair(**{name: None if array is None else array[order] for name, array in arrays.items()})
    one, other = broken_down(pair).breakdown, broken_down(moved).breakdown
    for name in ("classes", "confusions", "added", "removed", "reliability", "samples_left_out"):
        assert getattr(one, name) == getattr(other, name)  # to the last bit
    rows = [arrays["logits_teacher"][each.index].tolist() for each in one.samples]
    assert [arrays["logits_teacher"][order[each.index]].tolist() for each in other.samples] == rows
    assert len({each.index for each in other.samples}) == len(other.samples)


def test_calibration_is_that_of_bins_of_equally_many_samples():
    pair = pair_of(3, n=15 * IN_A_BIN + 7, classes=3)
    found = broken_down(pair).breakdown.reliability
    for each, logits in ((found.student, pair.logits_student), (found.teacher, pair.logits_teacher)):
        rows = sorted(
            (softmax_top(row), first_largest(row) == label) for row, label in zip(logits.tolist(), pair.labels, strict=True)
        )
        bins = [rows[-(-k * len(rows) // BINS) : -(-(k + 1) * len(rows) // BINS)] for k in range(BINS)]
        assert [one.samples for one in each.bins] == list(map(len, bins))
        apart = [math.fsum(confidence - right for confidence, right in one) for one in bins]
        assert each.error == pytest.approx(math.fsum(map(abs, apart)) / len(rows), rel=1e-9)
        assert each.excess == pytest.approx(math.fsum(apart) / len(rows), rel=1e-9)


def test_equal_confidences_share_a_bin_and_a_network_that_is_as_right_as_it_is_sure_has_no_error():
    logits = np.tile([[math.log(3), 0.0]], (80, 1))
    labels = np.arange(80) % 4 == 0  # right on three of four, at a confidence of 3/4
    found = broken_down(Pair(logits_teacher=logits, logits_student=10 * logits, labels=labels.astype(int))).breakdown
    (only,) = found.reliability.teacher.bins
    assert (only.samples, only.accuracy, only.share) == (80, 0.75, 1)
    assert found.reliability.teacher.error == pytest.approx(0, abs=1e-12)
    assert found.reliability.student.excess == pytest.approx(0.25, abs=1e-4)


def a_pair_with_features(**changes):
    rng = np.random.default_rng(5)
    teacher = rng.normal(size=(60, 3))
    weight = rng.normal(size=(4, 3))
    arguments = {"labels": (teacher @ weight.T).argmax(axis=1), "head_weight": weight}
    return Pair(teacher, teacher + rng.normal(size=teacher.shape), **(arguments | changes))


@pytest.mark.parametrize("row", ["T2.head_aware", "T2.logits.head_aware"])
def test_transport_of_the_classes_sums_to_the_row(row):
    report = audit(a_pair_with_features(), only=[row])
    found = report.breakdown
    assert found.transport_row == row
    assert math.fsum(each.transport for each in found.classes) == pytest.approx(report[row].upper, rel=1e-9)
    for each in found.classes:
        assert abs(each.gap) <= each.transport * (1 + 1e-9)  # of each class by itself, as T2 is


def test_transport_is_of_the_row_about_features_first_and_of_none_that_was_not_computed():
    assert audit(a_pair_with_features()).breakdown.transport_row == "T2.head_aware"
    found = audit(a_pair_with_features(), only=["T5"]).breakdown
    assert found.transport_row is None
    assert all(each.transport is None for each in found.classes)


def test_without_labels_a_class_is_what_the_teacher_predicts():
    pair = pair_of(1, labelled=False)
    report = broken_down(pair)
    found = report.breakdown
    student, teacher = pair.logits_student.argmax(axis=1), pair.logits_teacher.argmax(axis=1)
    apart = Counter((int(a), int(b)) for a, b in zip(teacher, student, strict=True) if a != b)
    assert found.by == "teacher"
    assert (found.added, found.removed, found.samples, found.reliability) == (apart.total(), None, (), None)
    assert {(each.label, each.predicted): each.samples for each in found.confusions} == apart
    assert {each.label: each.samples for each in found.classes} == Counter(teacher.tolist())
    assert all(each.gap is None and each.error_gap is None for each in found.classes)
    total = math.fsum(each.disagreement for each in found.classes)
    assert total == pytest.approx(report.measured["disagreement"].value)


def other_inputs(labels_student):
    rng = np.random.default_rng(2)
    labels = np.arange(40) % 4
    student = labels if labels_student is None else labels_student
    return Pair(
        logits_teacher=rng.normal(size=(40, 4)),
        logits_student=rng.normal(size=(len(student), 4)),
        labels=labels,
        labels_student=student,
        inputs_paired=False,
    )


def test_other_inputs_have_parts_by_class_where_classes_are_as_frequent():
    for student in (None, np.tile(np.arange(4), 20)):
        pair = other_inputs(student)
        report = broken_down(pair)
        found = report.breakdown
        for each in found.classes:
            sides = ((pair.logits_student, pair.labels_student), (pair.logits_teacher, pair.labels))
            parts = [
                math.fsum(
                    loss(row, each.label) for row, label in zip(logits.tolist(), labels, strict=True) if label == each.label
                )
                / len(labels)
                for logits, labels in sides
            ]
            assert each.gap == pytest.approx(parts[0] - parts[1])
            assert each.disagreement is None
        assert math.fsum(each.error_gap for each in found.classes) == pytest.approx(report.measured["error_gap"].value)
        assert (found.added, found.removed, found.confusions, found.samples) == (None, None, (), ())
        assert found.reliability is not None


def test_other_inputs_with_other_shares_of_the_classes_are_not_compared_by_class():
    found = broken_down(other_inputs(np.zeros(30, int))).breakdown
    assert found.classes == ()
    assert found.reliability is not None


def test_there_is_none_without_labels_of_other_inputs_or_without_logits():
    pair = pair_of(0)
    unpaired = Pair(logits_teacher=pair.logits_teacher, logits_student=pair.logits_student, inputs_paired=False)
    assert broken_down(unpaired).breakdown is None
    rng = np.random.default_rng(0)
    other_dimension = Pair(rng.normal(size=(20, 3)), rng.normal(size=(20, 3)), head_weight=rng.normal(size=(4, 3)))
    assert broken_down(other_dimension).breakdown is not None  # logits are made from the head


def test_a_single_group_of_equal_networks_has_nothing_to_say():
    pair = pair_of(7)
    found = broken_down(
        Pair(logits_teacher=pair.logits_teacher, logits_student=pair.logits_teacher, labels=pair.labels)
    ).breakdown
    assert {each.gap for each in found.classes} == {0.0}
    assert (found.samples, found.confusions, found.added, found.removed) == ((), (), 0, 0)


def test_many_classes_are_listed_up_to_a_cap_and_what_is_left_out_is_counted():
    n, classes = 400, 1_500
    rng = np.random.default_rng(0)
    labels, rows = rng.integers(0, classes, n), np.arange(n)
    teacher, student = np.zeros((2, n, classes))
    teacher[rows, labels] = 12.0
    student[rows, labels] = 11.0
    student[rows, rng.integers(0, classes, n)] = rng.choice([0.0, 14.0], n)
    report = broken_down(Pair(logits_teacher=teacher, logits_student=student, labels=labels))
    found = report.breakdown
    kinds = len(set(labels.tolist()))
    assert len(found.classes) == CLASSES
    assert found.other_classes.classes == kinds - CLASSES
    assert sum(each.samples for each in found.classes) + found.other_classes.samples == n
    whole = report.measured["gap"].value
    assert math.fsum(each.gap for each in found.classes) + found.other_classes.gap == pytest.approx(whole)
    assert len(found.confusions) == CONFUSIONS
    assert len(found.samples) == SAMPLES
    assert found.confusions_left_out + CONFUSIONS <= found.added
    assert found.samples_left_out > 0


def test_rows_are_numbered_as_the_user_counts_them(tmp_path):
    pair = pair_of(11)
    labels = pair.labels.copy()
    labels[[0, 3, 17]] = -100
    given = {"logits_teacher": pair.logits_teacher, "logits_student": pair.logits_student, "labels": labels}
    kept = np.flatnonzero(labels != -100)
    made = Pair(**given)
    made.save(tmp_path / "pair.safetensors")
    for each in (made, Pair.load(tmp_path / "pair.safetensors")):
        np.testing.assert_array_equal(each.row_numbers, kept)
        for sample in broken_down(each).breakdown.samples:
            assert labels[sample.index] == sample.label
            assert sample.loss_student == pytest.approx(loss(pair.logits_student[sample.index].tolist(), sample.label))
    own = np.arange(pair.n) * 7 + 5
    numbered = broken_down(Pair(**given, row_numbers=own)).breakdown.samples
    assert {(each.index - 5) // 7 for each in numbered} == {each.index for each in broken_down(made).breakdown.samples}
    assert Pair(**(given | {"labels": pair.labels}), row_numbers=np.arange(pair.n)).row_numbers is None


def test_tokens_are_numbered_by_sequence_and_position():
    rng = np.random.default_rng(0)
    teacher, student = rng.normal(size=(2, 4, 6, 3))
    mask = rng.random((4, 6)) < 0.7
    labels = rng.integers(0, 3, (4, 6))
    for sample in broken_down(Pair.from_tokens(teacher, student, labels, mask=mask)).breakdown.samples:
        sequence, position = divmod(sample.index, 6)
        assert mask[sequence, position]
        assert labels[sequence, position] == sample.label
        assert student[sequence, position].argmax() == sample.student


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([1, 2], r"row_numbers has dtype int64 and shape \(2,\)"),
        ([0.5] * 40, "row_numbers has dtype float64"),
        ([0] * 40, "row_numbers has a number below 0, beyond 2.63 or twice"),
        (list(range(-1, 39)), "below 0"),
    ],
)
def test_row_numbers_that_name_no_rows_are_refused(given, words):
    with pytest.raises(InputError, match=words):
        pair_of(0, row_numbers=given)


def test_classes_have_the_names_that_the_pair_has(tmp_path):
    pair = pair_of(4, class_names=["cat", "dog", "cow", "hen"])
    pair.save(tmp_path / "named.safetensors")
    for each in (pair, Pair.load(tmp_path / "named.safetensors")):
        assert each.class_names == ("cat", "dog", "cow", "hen")
        found = broken_down(each).breakdown
        assert [one.name for one in found.classes] == [each.class_names[one.label] for one in found.classes]
        assert found.names == {str(k): name for k, name in enumerate(each.class_names)}
    counted = pair_of(4, n=40)
    one_to_k = Pair(
        logits_teacher=counted.logits_teacher,
        logits_student=counted.logits_student,
        labels=counted.labels + 1,
        class_names=range(1, 5),
    )
    one_to_k.save(tmp_path / "counted.safetensors")
    again = Pair.load(tmp_path / "counted.safetensors")
    np.testing.assert_array_equal(again.labels, counted.labels)
    assert again.class_names == ("1", "2", "3", "4")
