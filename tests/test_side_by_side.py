"""Problems side by side: what one call returns does not depend on the others, nor does the order."""

import threading
from functools import partial

import numpy as np
import pytest

from kd2m_theory import Pair, audit, side_by_side
from kd2m_theory.estimators import class_wasserstein, wasserstein
from kd2m_theory.side_by_side import by_rows, over_rows
from kd2m_theory.side_by_side import side_by_side as run

LARGE = side_by_side._LEAST


@pytest.fixture(params=[1, 3], ids=["one core", "three cores"])
def several(request, monkeypatch):
    monkeypatch.setattr(side_by_side, "cores", lambda: request.param)
    return request.param


def test_results_are_in_the_order_of_the_calls(several):
    sizes = [LARGE, 1, LARGE, 2, side_by_side._MOST + 1, LARGE]
    assert run((size, partial(pow, k, 2)) for k, size in enumerate(sizes)) == [k**2 for k in range(6)]


def test_problems_that_wait_hold_no_more_than_the_cap(several, monkeypatch):
    monkeypatch.setattr(side_by_side, "_MOST", 2 * LARGE)
    ended = threading.Semaphore(0)
    made = []

    def problems():
        for k in range(8):
            if several > 1 and k >= 2:  # two are held: a third is asked for only once one of them has ended
                assert ended.acquire(timeout=10)
            made.append(k)
            yield LARGE, lambda: ended.release()

    run(problems())
    assert made == list(range(8))


@pytest.mark.parametrize("most", [0, 2**22])
@pytest.mark.parametrize("shape", [(0, 3), (1, 1), (7, 3), (5, 200)])
def test_rows_are_looked_at_once_each_and_in_order(several, most, shape, monkeypatch):
    monkeypatch.setattr(side_by_side, "_MOST", most)
    values = np.random.default_rng(0).normal(size=shape)
    rows = [np.arange(shape[0])[block] for block in over_rows(shape, lambda block: block, entries=6)]
    assert np.concatenate([[], *rows]).tolist() == list(range(shape[0]))
    assert all(len(each) * shape[1] <= max(6, shape[1]) for each in rows)
    assert by_rows(lambda a: a.sum(axis=1), values).tolist() == values.sum(axis=1).tolist()
    largest, at = by_rows(lambda a, b: ((a + b[:, None]).max(axis=1), a.argmax(axis=1)), values, np.arange(shape[0]))
    assert (largest - np.arange(shape[0])).tolist() == pytest.approx(values.max(axis=1).tolist())
    assert at.tolist() == values.argmax(axis=1).tolist()


def test_an_audit_has_the_same_numbers_on_any_number_of_cores(monkeypatch):
    rng = np.random.default_rng(0)
    features, labels = rng.normal(size=(90, 5)), np.arange(90) % 3
    head = rng.normal(size=(3, 5))
    pair = Pair(features, features + 0.3 * rng.normal(size=(90, 5)), labels, head_weight=head)
    found = []
    for count, least, most in ((1, LARGE, 2**22), (3, 1, 2**22), (3, 1, 64)):
        monkeypatch.setattr(side_by_side, "cores", lambda count=count: count)
        monkeypatch.setattr(side_by_side, "_LEAST", least)
        monkeypatch.setattr(side_by_side, "_MOST", most)
        monkeypatch.setattr(side_by_side, "_TOGETHER", 64)
        found.append([(row.name, row.lower, row.upper, row.measured) for row in audit(pair, whole_cloud=True).rows])
    assert found[0] == found[1] == found[2]


def test_the_first_error_in_their_order_is_raised(several):
    def fails(k):
        raise ValueError(str(k))

    with pytest.raises(ValueError, match="2"):
        run((LARGE, partial(fails, k) if k in (2, 3) else partial(pow, k, 2)) for k in range(5))


def test_a_setting_of_numpy_holds_in_threads(several):
    with np.errstate(divide="raise"), pytest.raises(FloatingPointError):
        run([(LARGE, lambda: np.ones(2) / np.zeros(2))])


@pytest.mark.parametrize(("told", "most"), [("1", 1), ("2", 2), ("", None), ("no number", None)])
def test_no_more_threads_than_were_allowed(told, most, monkeypatch):
    import torch

    monkeypatch.setenv("OMP_NUM_THREADS", told)
    found = side_by_side.cores()
    assert 1 <= found <= (most or found)
    assert found <= torch.get_num_threads()


def test_classes_side_by_side_have_the_distances_of_each_alone(monkeypatch):
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], [300, 280, 5])
    x, y = rng.normal(size=(585, 4)), rng.normal(size=(585, 4))
    monkeypatch.setattr(side_by_side, "cores", lambda: 3)
    parts = class_wasserstein(x, y, labels, labels, 2)
    assert list(parts) == [0, 1, 2]
    for label, part in parts.items():
        assert part == wasserstein(x[labels == label], y[labels == label], 2)


def test_an_audit_says_the_same_on_one_core_and_on_three(monkeypatch):
    rng = np.random.default_rng(1)
    labels = np.repeat([0, 1, 2], [300, 280, 5])
    teacher = rng.normal(size=(585, 3)) + 2 * np.eye(3)[labels]
    pair = Pair(labels=labels, logits_teacher=teacher, logits_student=teacher + 0.3 * rng.normal(size=(585, 3)))
    reports = []
    for count in (1, 3):
        monkeypatch.setattr(side_by_side, "cores", lambda count=count: count)
        reports.append(audit(pair))
    one, other = ([(row.name, row.lower, row.upper) for row in report.rows] for report in reports)
    assert one == other
