"""Pairs of a class: what is said of each by the definition, however they are looked at; and plans where they are too many."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kd2m_theory import Pair, audit
from kd2m_theory.bounds import class_pairs, view
from kd2m_theory.bounds.class_pairs import ClassPairs, vertex_norms
from kd2m_theory.bounds.couplings import distance_by_plans, good_plans, in_cells
from kd2m_theory.estimators import wasserstein
from kd2m_theory.estimators.sparse_transport import monotone_plan

# Masked alike by both networks, offsets of all logits, ties.
SCALES = {"plain": (1.0, 0.0, 0.0), "masked": (1.0, 3.4e38, 0.0), "offset": (1.0, 0.0, 1e6), "tiny": (1e-200, 0.0, 0.0)}


def clouds(seed, n, m, classes, kind="plain"):
    rng = np.random.default_rng(seed)
    scale, mask, offset = SCALES[kind]
    student, teacher = scale * rng.normal(size=(n, classes)), scale * rng.normal(size=(m, classes))
    if mask:
        student[:, -1] = teacher[:, -1] = -mask
    return student + offset, teacher


def exact_advances(student, teacher, label):
    own = Fraction(student[label]) - Fraction(teacher[label])
    others = [Fraction(s) - Fraction(t) - own for k, (s, t) in enumerate(zip(student, teacher, strict=True)) if k != label]
    return max(others), min(others)


@pytest.mark.parametrize("kind", SCALES)
@pytest.mark.parametrize("layout", ["class by class", "row by row", "along a plan"])
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 5), m=st.integers(1, 5), classes=st.integers(2, 6))
def test_advances_are_those_of_the_definition_within_their_error(kind, layout, seed, n, m, classes):
    student, teacher = clouds(seed, n, m, classes, kind)
    pairs = ClassPairs(seed % (classes - 1), student, teacher)
    rows, columns = np.divmod(np.arange(n * m), m)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(class_pairs, "_FEW", 64 if layout == "class by class" else 0)
        patch.setattr(class_pairs, "_BLOCK", 4)
        if layout == "along a plan":
            pairs = pairs.along(monotone_plan(np.arange(n), np.arange(m)))
            rows, columns = pairs.plan.rows, pairs.plan.columns
        most, least = (each.ravel() for each in pairs.advances())
    norms = vertex_norms(pairs)
    for k, (i, j) in enumerate(zip(rows, columns, strict=True)):
        above, below = exact_advances(student[i], teacher[j], pairs.label)
        errors = (Fraction(float(each)) for each in pairs.advance_error(np.abs(np.array([most[k], least[k]]))))
        for found, truth, error in zip((most[k], least[k]), (above, below), errors, strict=True):
            assert abs(Fraction(float(found)) - truth) <= error
        norm = max(abs(above), abs(below))
        allowed = norm * Fraction(norms.relative_error) + Fraction(norms.absolute_error)
        assert abs(Fraction(float(norms.values.ravel()[k])) - norm) <= allowed


@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 150), paired=st.booleans(), more=st.integers(0, 20))
@settings(max_examples=20)
def test_plans_have_the_marginals_and_their_distance_encloses_the_best(seed, n, paired, more):
    rng = np.random.default_rng(seed)
    m = n if paired else n + more
    student, teacher = rng.normal(size=(n, 3)), 2 * rng.normal(size=(m, 3))
    plans = good_plans(student, teacher, (student[:, 0], teacher[:, 0]), paired=paired)
    for plan in plans:
        assert (np.bincount(plan.rows, plan.units, n) * n == plan.total).all()
        assert (np.bincount(plan.columns, plan.units, m) * m == plan.total).all()
    for p in (1, 2):
        found, best = distance_by_plans(student, teacher, plans, p), wasserstein(student, teacher, p)
        assert found.lower <= best.upper
        assert best.lower <= found.upper
        assert found.capped


@pytest.mark.parametrize("scale", [1e-250, 1e250])
def test_plans_at_the_ends_of_float64(scale):
    student, teacher = clouds(0, 70, 70, 3)
    plans = good_plans(student, teacher, (student[:, 0], teacher[:, 0]), paired=True)
    found, one = distance_by_plans(scale * student, scale * teacher, plans, 2), distance_by_plans(student, teacher, plans, 2)
    assert found.upper == pytest.approx(scale * one.upper, rel=1e-12)
    assert found.lower == pytest.approx(scale * one.lower, rel=1e-9)


def test_points_of_a_cell_are_near():
    points = np.random.default_rng(0).uniform(size=(1000, 2))
    order = in_cells(points)
    assert sorted(order) == list(range(1000))
    spread = [np.ptp(points[cell], axis=0).max() for cell in np.split(order, range(64, 1000, 64))]
    assert max(spread) < 0.6


@pytest.fixture(scope="module")
def networks():
    rng = np.random.default_rng(7)
    teacher, weight, labels = rng.normal(size=(150, 4)), 2 * rng.normal(size=(3, 4)), np.arange(150) % 3
    return teacher, teacher + 0.3 * rng.normal(size=(150, 4)), labels, weight


@pytest.mark.parametrize("paired", [True, False])
def test_where_pairs_are_too_many_every_row_holds_and_none_is_tighter_than_with_all_pairs(paired, networks, monkeypatch):
    teacher, student, labels, weight = networks
    pair = Pair(teacher, student, labels, head_weight=weight, labels_student=None if paired else labels, inputs_paired=paired)
    whole = audit(pair)
    monkeypatch.setattr(class_pairs, "EVERY_PAIR", 100)
    monkeypatch.setattr(view, "SOLVED", 100)
    few = audit(pair)
    wider = 0
    for row in few.rows:
        assert row.holds is not False
        if row.applicable and row.level is None and row.target != "class_w2":
            full = whole[row.name]
            slack = 1e-9 * (abs(full.lower) + abs(full.upper))
            assert row.lower <= full.lower + slack, row.name
            assert row.upper >= full.upper - slack, row.name
            wider += row.upper > full.upper + slack
    assert wider >= 8
    assert few["T2.lipschitz"].distances["distance"].status == "capped"


def test_the_same_numbers_whether_advances_are_kept_or_not(networks, monkeypatch):
    teacher, student, labels, weight = networks
    pair, names = Pair(teacher, student, labels, head_weight=weight), ["T2.head_aware", "T5", "T8.ramp", "F5.T2"]
    kept = audit(pair, only=names)
    monkeypatch.setattr(view, "KEPT", 0)
    again = audit(pair, only=names)
    assert [(row.lower, row.upper) for row in kept.rows] == [(row.lower, row.upper) for row in again.rows]
