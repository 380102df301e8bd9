"""Vocabularies: as many classes as one likes cost no K × K numbers and few copies of the logits, and move no number."""

import itertools
import math
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kd2m_theory import Pair, audit, side_by_side
from kd2m_theory.bounds import ROWS, Ladder, class_lipschitz, lipschitz, spectral_lipschitz, statistics
from kd2m_theory.bounds import view as view_module
from kd2m_theory.bounds.constants import heads
from kd2m_theory.bounds.rows import f4_mmd, t3_joint, t6_kernel
from kd2m_theory.bounds.settings import Settings
from kd2m_theory.bounds.view import both_views, logits_view
from kd2m_theory.estimators import cost_matrix
from kd2m_theory.plausibility import findings

# Rows that solve a transport problem per class have tests of their own.
TRANSPORT = ("T2", "T5", "T8", "F5", "F2.T2", "F2.T5", "F2.T8", "T10.gelbrich", "T10.moments")
NAMES = [row.name for row in ROWS if not row.name.startswith(TRANSPORT)]


def pair_of(n, classes, dimension=4, *, seed=0, own_head=True, labelled=True, of_the_teacher=False):
    """Features of both networks under one head or two, logits of the student; few classes have most of the labels."""
    rng = np.random.default_rng(seed)
    weight = rng.normal(size=(classes, dimension))
    labels = np.minimum(rng.geometric(0.3, size=n) - 1, classes - 1)
    teacher = weight[labels] + rng.normal(size=(n, dimension))
    student = teacher + 0.5 * rng.normal(size=(n, dimension))
    more = {"logits_student": student @ (weight + 0.1 * rng.normal(size=weight.shape)).T} if own_head else {}
    if of_the_teacher:
        more["logits_teacher"] = teacher @ weight.T
    return Pair(teacher, student, labels if labelled else None, head_weight=weight, **more)


@pytest.mark.parametrize(("labelled", "of_the_teacher"), [(True, False), (True, True), (False, False)])
def test_blocks_move_no_number(monkeypatch, labelled, of_the_teacher):
    pair = pair_of(30, 6, labelled=labelled, of_the_teacher=of_the_teacher)
    more = {"only": NAMES, "temperature": 2.0, "vouch": ("gaussian classes", "teacher labels"), "teacher_error": 0.6}
    at_once = audit(pair, **more)
    for block in ("_ENTRIES", "_TOGETHER"):
        monkeypatch.setattr(side_by_side, block, 13)
    monkeypatch.setattr(statistics, "BLOCK", 13)
    monkeypatch.setattr(t6_kernel, "_ENTRIES", 5)
    in_blocks = audit(pair, **more)
    assert at_once.warnings == in_blocks.warnings
    assert sum(row.applicable for row in at_once.rows) > (35 if labelled else 12)
    for one, other in zip(at_once.rows, in_blocks.rows, strict=True):
        assert (one.name, one.status) == (other.name, other.status)
        for side in ("lower", "upper", "measured", "rounding"):
            expected, found = getattr(one, side), getattr(other, side)
            assert (expected is None) == (found is None)
            if expected is not None:
                assert found == pytest.approx(expected, rel=1e-11, abs=1e-12, nan_ok=True), (one.name, side)
    assert at_once.breakdown.reliability == in_blocks.breakdown.reliability


def covariance(points):
    centred = points - points.mean(axis=0)
    return centred.T @ centred / len(points)


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def test_kernel_rows_of_more_classes_than_points_are_what_their_definitions_say():
    """With K × K covariances, projections and targets in full."""
    pair = pair_of(25, 60, dimension=40, own_head=False)
    weight, labels = pair.head_weight, pair.labels
    logits = [features @ weight.T for features in (pair.features_student, pair.features_teacher)]
    cases = {
        "T6": ((pair.features_student, pair.features_teacher), weight, np.eye(60)),
        "T6.brier": ([softmax(each) - 1 / 60 for each in logits], np.eye(60) - 1 / 60, np.eye(60) - 1 / 60),
    }
    report = audit(pair, only=[*cases, "F4.brier", "T7.prediction"])
    for name, (clouds, matrix, targets) in cases.items():
        total = 0.0
        for label in np.unique(labels):
            x, y = (cloud[labels == label] for cloud in clouds)
            middle, shift = (x.mean(axis=0) + y.mean(axis=0)) / 2, x.mean(axis=0) - y.mean(axis=0)
            spread = np.linalg.norm(matrix.T @ matrix) * np.linalg.norm(covariance(x) - covariance(y))
            gradient = np.linalg.norm(2 * matrix.T @ (matrix @ middle - targets[label]))
            total += (labels == label).mean() * (spread + gradient * np.linalg.norm(shift))
        assert report[name].upper == pytest.approx(total, rel=1e-9)
        assert report[name].upper >= total * (1 - 1e-14)
    points, c = [softmax(each) - 1 / 60 for each in logits], f4_mmd.offset(60)
    (xx, yy, xy), same = [(a @ b.T + c) ** 2 for a, b in (points[:1] * 2, points[1:] * 2, points)], labels[:, None] == labels
    squared = (same * (xx + yy - xy - xy.T)).sum() / 25**2
    assert report["F4.brier"].details["MMD"] == pytest.approx(math.sqrt(squared), rel=1e-9)
    guesses = [each.argmax(axis=1) for each in logits]
    variation = sum(
        np.abs([((labels == label) & (guesses[0] == k)).mean() - ((labels == label) & (guesses[1] == k)).mean()]).sum() / 2
        for label, k in itertools.product(range(60), range(60))
    )
    assert report["T7.prediction"].upper == pytest.approx(variation, rel=1e-12)


def test_identity_and_simplex_are_formulas():
    size = 7
    view = logits_view(pair_of(12, size), Settings())
    assert (view.linear == np.eye(size)).all()
    assert view.weight is None
    assert view.lipschitz == pytest.approx(lipschitz(np.eye(size)), rel=1e-14)
    np.testing.assert_allclose(view.class_lipschitz, class_lipschitz(np.eye(size)), rtol=1e-14)
    assert view.spectral == pytest.approx(spectral_lipschitz(np.eye(size)), rel=1e-13)
    rng = np.random.default_rng(0)
    centres, labels = softmax(rng.normal(size=(5, size))) - 1 / size, rng.integers(0, size, 5)
    projection = np.eye(size) - 1 / size
    formula = t6_kernel._Probabilities(size)
    gradients, terms = formula.gradients(labels, centres)
    assert formula.quadratic == pytest.approx(np.linalg.norm(projection.T @ projection), rel=1e-14)
    targets = projection[labels]
    np.testing.assert_allclose(
        gradients, 2 * np.linalg.norm((centres @ projection.T - targets) @ projection, axis=1), rtol=1e-13
    )
    absolute = np.linalg.norm(np.abs(centres) @ np.abs(projection).T, axis=1) + np.linalg.norm(targets, axis=1)
    np.testing.assert_allclose(terms, 2 * np.linalg.norm(projection) * absolute, rtol=1e-13)


shapes = st.sampled_from(["normal", "one far", "two clusters", "line", "repeated"])


@given(st.integers(0, 2**32 - 1), st.integers(2, 40), st.integers(1, 6), shapes, st.sampled_from([1e-300, 1.0, 1e300]))
def test_bounds_on_the_constants_of_a_wide_head_are_no_smaller_than_them_and_at_most_twice_as_large(
    seed, classes, dimension, shape, scale
):
    rng = np.random.default_rng(seed)
    weight = rng.normal(size=(classes, dimension))
    if shape == "one far":
        weight[0] += 100
    elif shape == "two clusters":
        weight = 1e-3 * weight + rng.integers(0, 2, size=(classes, 1))
    elif shape == "line":
        weight = weight[:, :1] * rng.normal(size=dimension)
    elif shape == "repeated":
        weight = weight[rng.integers(0, 2, size=classes)]
    exact, bounds = class_lipschitz(weight * scale), heads.enclosing_lipschitz(weight * scale)
    assert (bounds >= exact * (1 - 1e-13)).all()
    assert (bounds <= 2 * exact).all()


def evidence(row):
    return " ".join(found.evidence for found in row.assumptions)


def test_an_audit_of_a_very_wide_head_takes_the_bounds_and_says_so(monkeypatch):
    pair, rows = pair_of(30, 6), ["T1.class_lipschitz", "T1.l1", "T10.risk"]
    exact = audit(pair, only=rows)
    monkeypatch.setattr(view_module, "_EXACT", 6 * 6 * 4 - 1)
    bounded = audit(pair, only=rows)
    for name in rows:
        assert exact[name].upper < bounded[name].upper <= 2 * exact[name].upper
        said = evidence(bounded[name])
        assert "upper bounds" in said
        assert "upper bounds" not in evidence(exact[name])


def test_logits_that_coincide_are_stored_and_computed_once():
    one_head = both_views(pair_of(20, 5, own_head=False), Settings())
    assert one_head[0].stored_logits_student is one_head[1].stored_logits_student
    assert one_head[0].losses()[0] is one_head[1].losses()[0]
    two_heads = both_views(pair_of(20, 5), Settings())
    assert two_heads[0].stored_logits_teacher is two_heads[1].stored_logits_teacher
    assert two_heads[0].losses()[1] is two_heads[1].losses()[1]
    assert not np.array_equal(two_heads[0].losses()[0], two_heads[1].losses()[0])


def test_what_is_shared_within_what_is_shared_is_counted_once_for_each_row(monkeypatch):
    clock = itertools.count()
    monkeypatch.setattr(view_module.time, "perf_counter", lambda: float(next(clock)))
    view = replace(logits_view(pair_of(10, 3), Settings()))

    def outer():
        return view.shared("outer", lambda: view.shared("inner", lambda: 1) + 1)

    # Between two readings of the clock lies one second: four of outer's three intervals and inner's one, and two of the row's.
    (value, first), (_, again), (_, inner) = (
        view.timed(lambda _view, read=read: read()) for read in (outer, outer, lambda: view.shared("inner", lambda: 0))
    )
    assert (value, first, again, inner) == (2, 5.0, 4.0, 2.0)


@pytest.mark.parametrize("again", [0.5, -1.0])
@pytest.mark.parametrize("shape", ["apart", "near", "offset"])
def test_distances_of_wide_logits_are_those_of_their_points(monkeypatch, shape, again):
    rng = np.random.default_rng(1)
    student, teacher = 1e3 * rng.normal(size=(2, 12, 40))
    if shape == "near":
        teacher = student[:9] + 1e-3 * rng.normal(size=(9, 40))
        teacher[3] = student[3] + 7
    elif shape == "offset":
        teacher = teacher + 1e6
    points = [logits - logits.mean(axis=1, keepdims=True) for logits in (student, teacher)]
    expected = cost_matrix(*points, "euclidean", 1)
    monkeypatch.setattr(t3_joint, "_AGAIN", again)
    monkeypatch.setattr(side_by_side, "_ENTRIES", 50)
    found = t3_joint._wide_costs(student, teacher)
    moved = 1e-15 * np.abs(points[0]).max() * 40  # of the points, as `View.point_error` has it
    allowed = (found.relative_error + expected.relative_error) * expected.values + found.absolute_error + moved
    assert (np.abs(found.values - expected.values) <= allowed).all()
    assert found.absolute_error <= (1e-6 if again < 0 else 1e-100) * expected.values.max()


def test_problems_of_the_whole_cloud_share_a_plan_where_logits_are_wide(monkeypatch):
    pair, rows = pair_of(30, 6), ["T3.directed", "T3.head_aware", "T3.lipschitz"]
    own = audit(pair, only=rows)
    monkeypatch.setattr(t3_joint, "_DIFFERENCES", 30 * 30 * 6 - 1)
    shared = audit(pair, only=rows)
    for name in rows:
        assert shared[name].holds
        assert shared[name].lower <= own[name].lower + 1e-9
        assert shared[name].upper >= own[name].upper - 1e-9
    assert shared["T3.directed"].upper > own["T3.directed"].upper


def traced(compute):
    before = tracemalloc.get_traced_memory()[0]
    tracemalloc.reset_peak()
    result = compute()
    return result, tracemalloc.get_traced_memory()[1] - before


def test_no_step_of_an_audit_of_a_vocabulary_needs_more_than_a_few_copies_of_the_logits(monkeypatch):
    """n × K = 120,000 numbers, of which K² = 4 million are 33 times as many."""
    for module in (side_by_side, t6_kernel, t3_joint):
        monkeypatch.setattr(module, "_ENTRIES", 2**14)
    monkeypatch.setattr(side_by_side, "_TOGETHER", 2**14)
    monkeypatch.setattr(statistics, "BLOCK", 2**13)
    monkeypatch.setattr(t3_joint, "_DIFFERENCES", 0)
    monkeypatch.setattr(heads, "_ROWS", 2**7)
    monkeypatch.setattr(heads, "_DIRECT", 0)
    n, classes = 60, 2_000
    logits = 8 * n * classes
    tracemalloc.start()
    try:
        pair, needed = traced(lambda: pair_of(n, classes, of_the_teacher=True))
        assert needed < 9 * logits  # arrays are given, checked and copied
        ladder, needed = traced(lambda: Ladder(pair, 0.05, NAMES))
        assert needed < 6 * logits  # two networks in the audit's order, and as the head replays them
        _, needed = traced(lambda: findings(pair))
        assert needed < 3 * logits
        tried = 0
        for row in ladder.rows:
            if ladder._missing(row):
                continue
            view = ladder._views[row.space]
            view.tail, tried = 0.01, tried + 1
            _, needed = traced(lambda row=row, view=view: row.compute(view))
            assert needed < 4 * logits, row.name
            _, needed = traced(lambda row=row: ladder._value(row.target, {}))
            assert needed < 4 * logits, row.target
        assert tried > 35
    finally:
        tracemalloc.stop()
