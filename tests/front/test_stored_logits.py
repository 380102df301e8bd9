"""Logits stay in the precision and the place that they came in, and every number is that of float64."""

import copy
import dataclasses
import pickle
import tracemalloc

import numpy as np
import pytest

import kd2m_theory as kd
from kd2m_theory import Pair, audit, bounds
from kd2m_theory.bounds import content_order
from kd2m_theory.bounds.ladder import ROWS
from kd2m_theory.logits import Logits, in_file, same_logits
from kd2m_theory.plausibility import findings

K = 5


def networks(n=60, classes=K, seed=0):
    """Logits of two networks in float32, and labels."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    teacher = rng.normal(size=(n, classes)) + 2 * np.eye(classes)[labels]
    student = 0.8 * teacher + rng.normal(size=(n, classes))
    return teacher.astype(np.float32), student.astype(np.float32), labels


def mapped(array, folder, name="logits", mode="r"):
    np.save(folder / f"{name}.npy", array)
    return np.load(folder / f"{name}.npy", mmap_mode=mode)


def kinds():
    """Pairs with float32 logits, and the same with float64: arguments but for the logits."""
    _, _, labels = networks()
    rng = np.random.default_rng(1)
    ignored = np.where(np.arange(60) % 7, labels, -100)
    features = rng.normal(size=(60, 3)), rng.normal(size=(60, 3))
    return {
        "labelled": {"labels": labels},
        "unlabelled": {},
        "some left out": {"labels": ignored},
        "in groups": {"labels": labels, "groups": np.arange(60) // 3},
        "features": {"labels": labels, "features_teacher": features[0], "features_student": features[1]},
        "other inputs": {"labels": labels, "labels_student": labels, "inputs_paired": False},
        "one column": {"labels": labels % 2},
    }


def numbers(report):
    """All that a report says, but for its times."""
    table = report.to_dict()
    del table["seconds"]
    for row in table["rows"]:
        del row["seconds"]
    return table


@pytest.mark.parametrize("where", ["memory", "file"])
@pytest.mark.parametrize("kind", kinds())
def test_an_audit_of_float32_is_that_of_the_same_numbers_in_float64(kind, where, tmp_path):
    arguments = kinds()[kind]
    single = [each[:, :1] if kind == "one column" else each for each in networks()[:2]]
    double = [each.astype(np.float64) for each in single]
    if where == "file":
        single = [mapped(each, tmp_path, str(k)) for k, each in enumerate(single)]
    one, other = (Pair(**arguments, logits_teacher=a[0], logits_student=a[1]) for a in (single, double))
    assert one.stored_logits_teacher.stored.dtype == np.float32
    assert in_file(one.stored_logits_student.stored) == (where == "file" and kind != "one column")
    every = [row.name for row in ROWS]
    assert numbers(audit(one, only=every, temperature=2.0)) == numbers(audit(other, only=every, temperature=2.0))
    assert findings(one) == findings(other)


def test_a_head_whose_logits_are_in_float32():
    """The logits that the head makes are compared with those that were given."""
    rng = np.random.default_rng(2)
    features, weight = rng.normal(size=(2, 40, 3)), rng.normal(size=(K, 3))
    logits = (features[0] @ weight.T).astype(np.float32)
    labels = rng.integers(0, K, 40)
    one, other = (
        Pair(*features, labels, head_weight=weight, logits_teacher=each) for each in (logits, logits.astype(np.float64))
    )
    assert numbers(audit(one)) == numbers(audit(other))
    with pytest.raises(kd.InputError, match="not what the head makes"):
        Pair(*features, labels, head_weight=weight, logits_teacher=logits + np.float32(1))


def test_plans_comparisons_and_tokens_in_float32():
    teacher, student, labels = networks()
    single = Pair(logits_teacher=teacher, logits_student=student, labels=labels)
    double = Pair(logits_teacher=teacher.astype(float), logits_student=student.astype(float), labels=labels)
    one, other = (kd.label_plan(each, 20, "gap") for each in (single, double))
    assert one.pool == other.pool  # the digest of what the plan is about
    one, other = (
        kd.compare({"a": each, "b": Pair(logits_teacher=teacher, logits_student=teacher, labels=labels)})
        for each in (single, double)
    )
    assert one.to_dict() == other.to_dict()
    tokens = Pair.from_tokens(teacher.reshape(20, 3, K), student.reshape(20, 3, K), labels.reshape(20, 3))
    assert tokens.stored_logits_teacher.stored.dtype == np.float32


@pytest.mark.parametrize("ending", ["safetensors", "npz"])
def test_saving_and_loading_keep_float32(ending, tmp_path):
    teacher, student, labels = networks()
    pair = Pair(logits_teacher=mapped(teacher, tmp_path), logits_student=student, labels=labels)
    pair.save(tmp_path / f"pair.{ending}")
    again = Pair.load(tmp_path / f"pair.{ending}")
    for found in (again, pickle.loads(pickle.dumps(pair)), copy.deepcopy(pair), copy.copy(pair)):
        assert found.stored_logits_teacher.stored.dtype == np.float32
        assert same_logits(found.stored_logits_teacher, pair.stored_logits_teacher)
        assert same_logits(found.stored_logits_student, pair.stored_logits_student)
    assert dataclasses.replace(pair, labels=None).logits_teacher.tolist() == pair.logits_teacher.tolist()


def test_as_an_attribute_logits_are_float64_and_cannot_be_written():
    teacher, student, labels = networks()
    pair = Pair(logits_teacher=teacher, logits_student=student.astype(np.float64), labels=labels)
    for logits in (pair.logits_teacher, pair.logits_student, pair.taken(np.arange(9), np.arange(9)).logits_student):
        assert logits.dtype == np.float64
        with pytest.raises(ValueError, match="read-only"):
            logits[0, 0] = 5
    np.testing.assert_array_equal(pair.logits_teacher, teacher)
    with pytest.raises(dataclasses.FrozenInstanceError):
        pair.logits_teacher = teacher


@pytest.mark.parametrize("kind", ["array", "mapped to be written", "a view of one", "mapped for this process"])
def test_what_could_be_written_is_copied(kind, tmp_path):
    teacher, student, _ = networks()
    source = given = student
    if kind != "array":
        source = given = mapped(student, tmp_path, mode="c" if kind == "mapped for this process" else "r+")
    if kind == "a view of one":
        given = source[:]
        given.flags.writeable = False
    pair = Pair(logits_teacher=teacher, logits_student=given)
    expected = pair.logits_student.copy()
    source += 1
    np.testing.assert_array_equal(pair.logits_student, expected)


def test_a_file_that_has_class_after_class_is_copied(tmp_path):
    """Its rows are not together: an audit would read all of the file for each of them, and add in another order."""
    teacher, student, labels = networks()
    turned = mapped(np.asfortranarray(student), tmp_path)
    pair = Pair(logits_teacher=teacher, logits_student=turned, labels=labels)
    assert not in_file(pair.stored_logits_student.stored)
    expected = Pair(logits_teacher=teacher, logits_student=student, labels=labels)
    other = Pair(logits_teacher=teacher, logits_student=teacher, labels=labels)
    assert kd.compare({"a": pair, "b": other}).to_dict() == kd.compare({"a": expected, "b": other}).to_dict()


@pytest.mark.parametrize("classes", [K, 400])
def test_rows_are_taken_in_another_order(classes):
    """Long rows without a copy; what was told the order may change it afterwards."""
    teacher, student, _ = networks(classes=classes)
    pair = Pair(logits_teacher=teacher, logits_student=student)
    rng = np.random.default_rng(0)
    first, then = rng.permutation(60)[:40], rng.permutation(40)[:30]
    expected = teacher[first[then]]
    found = pair.taken(first, first).taken(then, then)
    assert (found.stored_logits_teacher.stored is pair.stored_logits_teacher.stored) == (classes == 400)
    first[:], then[:] = 0, 0
    np.testing.assert_array_equal(found.logits_teacher, expected)
    assert len(pickle.dumps(found)) < len(pickle.dumps(pair))


def test_rows_of_ones_own_see_arrays():
    """As they did before logits were stored otherwise."""

    def compute(view):
        size = 2.0 * float(np.abs(view.logits_student - view.logits_teacher).max())
        return bounds.Sides(-size, size)

    own = dataclasses.replace(next(row for row in ROWS if row.name == "T1.logits.l2"), name="mine.largest", compute=compute)
    teacher, student, labels = networks()
    report = audit(Pair(logits_teacher=teacher, logits_student=student, labels=labels), rows=[own], only=["mine.largest"])
    assert report["mine.largest"].upper == pytest.approx(2 * np.abs(student.astype(float) - teacher).max(), rel=1e-9)


@pytest.mark.parametrize("order", [None, np.random.default_rng(0).permutation(60)[:50]], ids=["all", "some"])
def test_logits_read_as_an_array_does(order):
    """Oracle: NumPy's own indexing of a float64 array."""
    single = networks()[0]
    found, array = Logits(single, order), (single if order is None else single[order]).astype(np.float64)
    rng = np.random.default_rng(1)
    some, columns = rng.integers(0, len(array), 9), rng.integers(0, K, 9)
    for index in (
        slice(None), slice(3, 20, 2), 4, some, rng.random(len(array)) < 0.4, (slice(None), 2), (slice(None), slice(1, 3)),
        (some, columns), (slice(5), slice(None, None, 2)),
    ):  # fmt: skip
        assert found[index].dtype == np.float64
        np.testing.assert_array_equal(found[index], array[index])
    assert (len(found), found.shape, found.size) == (len(array), array.shape, array.size)
    for name in ("max", "min", "argmax"):
        np.testing.assert_array_equal(getattr(found, name)(axis=1), getattr(array, name)(axis=1))
    assert found.array().dtype == np.float32
    assert not same_logits(found, Logits(single + np.float32(1), order))
    for wrong in (lambda: found - 1.0, lambda: array - found, lambda: np.exp(found), lambda: np.asarray(found)):
        with pytest.raises(TypeError):
            wrong()
    with pytest.raises(TypeError, match="take the rows first"):
        found[:3, columns]


def test_no_copy_is_made_at_the_door_of_logits_that_are_all_positive():
    """Their rows have like sums, as those of counts have, and are looked at again."""
    teacher, student, _ = (np.abs(each) for each in networks(300, 10_000))
    tracemalloc.start()
    Pair(logits_teacher=teacher, logits_student=student)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 3 * (teacher.nbytes + student.nbytes)


def test_a_value_that_is_missing_is_found_at_its_position():
    teacher, student, labels = networks()
    teacher[31, 2] = np.nan
    mask = np.ones((20, 3), dtype=int)
    mask[:8, 2] = 0
    with pytest.raises(kd.InputError, match="logits_teacher holds 1 NaN or infinite value in row 31, 1 of 52 rows"):
        Pair.from_tokens(teacher.reshape(20, 3, K), student.reshape(20, 3, K), labels.reshape(20, 3), mask=mask)


def test_no_copy_is_made_of_wide_logits(tmp_path, monkeypatch):
    """A pair has its own numbers, an audit without transport a few blocks; of a mapped file not even the numbers."""
    monkeypatch.setattr(content_order, "BLOCK", 2**21)
    n, classes = 400, 20_000
    teacher, student, labels = networks(n, classes)
    size = teacher.nbytes + student.nbytes

    def peak(compute):
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        result = compute()
        most = tracemalloc.get_traced_memory()[1] - before
        tracemalloc.stop()
        return result, most

    arguments = {"labels": labels}
    pair, most = peak(lambda: Pair(logits_teacher=teacher, logits_student=student, **arguments))
    assert most < 1.5 * size
    rows = ["T0", "T1.logits.directed", "F1.gap", "T9.kl", "T9.largest", "F2.T0", "F4.brier"]
    report, more = peak(lambda: audit(pair, only=rows))
    assert more < 0.7 * size
    one, other = mapped(teacher, tmp_path, "t"), mapped(student, tmp_path, "s")
    in_place, most = peak(lambda: Pair(logits_teacher=one, logits_student=other, **arguments))
    assert most < 0.5 * size
    assert numbers(audit(in_place, only=rows)) == numbers(report)
