"""A sample of the suite `rows`, its oracle, and rows that are wrong on purpose."""

from dataclasses import replace

import mpmath
import numpy as np
import pytest
from sampled import sampled
from scipy.special import log_softmax, softmax

from kd2m_theory import Pair
from kd2m_theory.bounds import ladder
from kd2m_theory.bounds.rows.row import Sides
from kd2m_theory.validation.evidence import row_pairs, rows
from kd2m_theory.validation.evidence.row_truth import TARGETS, Truth
from kd2m_theory.validation.evidence.suite import Tally


def sample(families, items, monkeypatch):
    monkeypatch.setattr(row_pairs, "FAMILIES", {name: row_pairs.FAMILIES[name] for name in families})
    tally = Tally()
    for item in range(items):
        for case in rows.SUITE.item(1_000_000, item):
            tally.add(case, f"1000000:{item}")
    return tally


EVERY_RUN = (
    "attained bounds",
    "features 1e8 to 1e148",
    "features far from the origin",
    "masked classes",
    "near the ends of float64",
    "offset 1e9",
    "saturated logits",
    "ties",
)


@pytest.mark.parametrize("family", sampled(row_pairs.FAMILIES, always=EVERY_RUN))
def test_rows_hold_on_every_family(family, monkeypatch):
    tally = sample([family], 2, monkeypatch)
    assert tally.failures == []
    assert tally.cases > 40
    assert set(tally.strata["family"]) == {family}


def planted(name, change, monkeypatch):
    row = next(row for row in ladder.ROWS if row.name == name)
    others = tuple(each for each in ladder.ROWS if each.name in ("T0", "T1.l2"))
    monkeypatch.setattr(ladder, "ROWS", (*others, replace(row, compute=lambda view: change(row.compute(view)))))
    monkeypatch.setattr(rows, "NAMES", tuple(each.name for each in ladder.ROWS))
    return sample(["ordinary"], 20, monkeypatch).strata["row"]


@pytest.mark.parametrize(("name", "target"), [("T9.kl_teacher", "gap"), ("T9.kl", "expected_gap")])
def test_a_mean_over_labels_that_stands_as_a_statement_about_the_sample_is_caught(name, target, monkeypatch):
    """A2, and the reverse."""
    row = next(row for row in ladder.ROWS if row.name == name)
    monkeypatch.setattr(ladder, "ROWS", (replace(row, target=target),))
    monkeypatch.setattr(rows, "NAMES", (name,))
    tally = sample(["ordinary"], 20, monkeypatch)
    labels = {failure["labels"] for failure in tally.failures}
    assert "any" in labels
    assert ("none" in labels) == (target == "gap")  # labels drawn afresh, which only a row without labels meets


@pytest.mark.parametrize(
    ("name", "change"),
    [
        pytest.param("T9.kl", lambda sides: Sides(sides.lower - 1e-3, sides.upper - 1e-3), marks=pytest.mark.long),
        ("T9.kl", lambda sides: Sides(sides.lower + 1e-9, sides.upper + 1e-9)),
        ("T1.directed", lambda sides: Sides(sides.lower, sides.lower + 0.3 * (sides.upper - sides.lower))),
        ("T0.error", lambda sides: Sides(float("nan"), sides.upper)),
        ("T0.error", lambda sides: Sides(sides.upper + 1.0, sides.upper)),
        ("T0.error", lambda sides: 1 / 0),
    ],
    ids=["1e-3 too low", "1e-9 too high", "a third of the width", "NaN", "wrong way round", "raises"],
)
def test_a_row_that_is_wrong_is_caught_and_the_others_are_not(name, change, monkeypatch):
    counts = planted(name, change, monkeypatch)
    assert counts.pop(name)[1] > 0
    assert all(failed == 0 for _, failed in counts.values())
    assert counts


def test_what_a_row_allows_for_is_not_a_failure_and_no_more():
    class Known:
        def roughly(self, _target):
            return None

        def exactly(self, _target):
            with mpmath.workprec(100):
                value = mpmath.mpf(1) + mpmath.mpf(2) ** -60
            return value, value

    class Row:
        target, lower, upper, rounding = "gap", 0.0, 1.0, 0.0

    assert "the gap is 1" in rows.verdict(Row, Known())[0]
    Row.rounding = 2.0**-52
    assert rows.verdict(Row, Known()) == ("", False)
    Row.upper = 1.5
    assert rows.verdict(Row, Known()) == ("", True)


def drawn(seed, **changes):
    rng = np.random.default_rng(seed)
    features, weight, bias = rng.normal(size=(9, 3)), rng.normal(size=(4, 3)), rng.normal(size=4)
    arguments = {
        "features_teacher": features,
        "features_student": features + rng.normal(size=(9, 3)),
        "labels": np.arange(9) % 3,
        "logits_student": 2 * rng.normal(size=(9, 4)),
        "head_weight": weight,
        "head_bias": bias,
    }
    return Pair(**(arguments | changes))


def test_both_forms_of_the_truth_agree_with_scipy():
    pair, at, temperature = drawn(0), np.arange(9), 3.0
    truth = Truth(pair, temperature)
    shared = [each @ pair.head_weight.T + pair.head_bias for each in (pair.features_student, pair.features_teacher)]
    own = [pair.logits_student, shared[1]]
    eye = np.eye(4)[pair.labels]
    wrong = [(each.argmax(axis=1) != pair.labels).mean() for each in own]
    chances = [softmax(each, axis=1) for each in own]
    expected = {
        "gap": np.subtract(*(-log_softmax(each, axis=1)[at, pair.labels].mean() for each in own)),
        "gap_shared_head": np.subtract(*(-log_softmax(each, axis=1)[at, pair.labels].mean() for each in shared)),
        "error_gap": wrong[0] - wrong[1],
        "error_student": wrong[0],
        "probability_gap": np.subtract(*(each[at, pair.labels].mean() for each in chances)),
        "tempered_gap": chances[0][at, pair.labels].mean() - softmax(own[1] / temperature, axis=1)[at, pair.labels].mean(),
        "squared_gap": np.subtract(*(((each - eye) ** 2).sum(axis=1).mean() for each in shared)),
        "brier_gap": np.subtract(*(((each - eye) ** 2).sum(axis=1).mean() for each in chances)),
        "expected_gap": (chances[1] * np.log(chances[1] / chances[0])).sum(axis=1).mean(),
    }
    assert set(expected) == TARGETS - {"class_w2"}
    for target, value in expected.items():
        low, high = (float(end) for end in truth.exactly(target))
        rough = truth.roughly(target)
        assert low == pytest.approx(value, abs=1e-13), target
        assert high - low < 1e-15, target
        # Both intervals have the truth, so they overlap, up to the rounding of these ends to float64.
        assert rough[0] <= high + 1e-15, target
        assert low - 1e-15 <= rough[1], target
        assert 0 <= float(rough[1] - rough[0]) < 1e-14, target


def test_the_truth_is_exact_where_float64_is_not():
    """A common offset of 1e9 and two equal networks but for one unit in the last place of a logit."""
    logits = 1e9 + np.array([[0.25, 0.5], [2.0, 0.25]])
    moved = logits.copy()
    moved[0, 1] = np.nextafter(moved[0, 1], np.inf)
    truth = Truth(Pair(logits_teacher=logits, logits_student=moved, labels=[0, 0]), 1.0)
    step = float(moved[0, 1] - logits[0, 1])
    softplus = [np.log1p(np.exp(0.25)), np.log1p(np.exp(0.25 + step))]
    low, _ = truth.exactly("gap")
    assert float(low) == pytest.approx((softplus[1] - softplus[0]) / 2, rel=1e-8)
    rough = [float(end) for end in truth.roughly("gap")]
    assert rough[0] < float(low) < rough[1]


def test_a_tie_of_replayed_logits_may_go_either_way():
    features = np.array([[1.0, 1.0], [3.0, 1.0]])
    truth = Truth(Pair(features, features, [0, 1], head_weight=[[0.1, 0.2], [0.1, 0.2]]), 1.0)
    assert truth.exactly("error_student") == (0, 1)
    # Logits that are given are the network's: of equals the first is the answer.
    logits = np.ones((2, 2))
    assert Truth(Pair(logits_teacher=logits, logits_student=logits, labels=[0, 1]), 1.0).exactly("error_student") == (0.5, 0.5)


def test_w2_by_class_is_that_of_the_best_permutation():
    from itertools import permutations

    pair = drawn(1)
    total = 0.0
    for label in range(3):
        x, y = pair.features_student[pair.labels == label], pair.features_teacher[pair.labels == label]
        total += min(((x - y[list(order)]) ** 2).sum() for order in permutations(range(3))) / 9
    low, high = Truth(pair, 1.0).exactly("class_w2")
    assert float(low) == pytest.approx(np.sqrt(total), rel=1e-14)
    assert float(high - low) < 1e-60
