"""Gains of objectives: paired by seed, λ chosen on validation images, and what is said of many objectives holds for all at once."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from learned_rows import run, table
from scipy import stats

from kd2m_theory.reporting.sections import Table
from kd2m_theory.validation.campaigns.findings import Findings
from kd2m_theory.validation.campaigns.gains import comparison
from kd2m_theory.validation.campaigns.page import details
from kd2m_theory.validation.campaigns.trainings import trainings

BASE = {"population": "digits", "law": "{}", "teacher": "big", "student": "small", "head": "own"}


def students(accuracies, weight=None, validation=None):
    """Rows of a setting whose students have these test accuracies: by objective, one for each seed."""
    rows = []
    for name, values in accuracies.items():
        for seed, value in enumerate(values):
            point = {"objective": name, "weight": weight if name != "none" else None, "options": "{}", "seed": seed}
            point |= {"kind": "result", "name": "accuracy", "epoch": 3, "environment": "{}", "task": f"{name} {weight} {seed}"}
            point |= {"configuration": point["task"], "training": json.dumps({}), **BASE}
            rows.append(point | {"target": "student test", "value": value})
            rows.append(point | {"target": "student validation", "value": value if validation is None else validation})
    return rows


def compared(*runs):
    (setting,) = trainings(table(*runs)).settings
    return comparison(setting)


@given(
    names=st.sampled_from([("kd",), ("kd", "ttm"), ("kd", "ttm", "w2", "cw2", "mmd")]),
    seeds=st.integers(2, 6),
    seed=st.integers(0, 10**6),
)
def test_intervals_are_those_of_the_paired_t_test_alone_and_with_bonferronis_correction(names, seeds, seed):
    rng = np.random.default_rng(seed)
    accuracies = {name: rng.uniform(0.2, 0.9, seeds).tolist() for name in ("none", *names)}
    found = compared(students(accuracies, 1.0))
    assert {each.name for each in found.learned} == set(names)
    for each in found.learned:
        test = stats.ttest_rel(100 * np.array(accuracies[each.name]), 100 * np.array(accuracies["none"]))
        alone, together = test.confidence_interval(0.95), test.confidence_interval(1 - 0.05 / len(names))
        points = each.gain.points
        assert points.mean - points.half == pytest.approx(alone.low, abs=1e-9)
        assert points.mean + points.half == pytest.approx(alone.high, abs=1e-9)
        assert points.mean + each.gain.at_once == pytest.approx(together.high, abs=1e-9)
        expected = "a gain" if together.low > 0 else "a loss" if together.high < 0 else "undecided"
        assert each.gain.decision == expected


def test_with_no_effect_at_all_some_gain_or_loss_is_named_in_at_most_a_twentieth_of_campaigns():
    rng = np.random.default_rng(0)
    names = ("kd", "ttm", "wttm", "w2", "cw2")
    wrong = by_itself = 0
    for _ in range(400):
        drawn = {name: rng.normal(0.8, 0.01, 6).tolist() for name in ("none", *names)}
        gains = [each.gain for each in compared(students(drawn, 1.0)).learned]
        wrong += any(gain.decision != "undecided" for gain in gains)
        by_itself += any(abs(gain.points.mean) > gain.points.half for gain in gains)
    assert stats.binomtest(wrong, 400, 0.05, "greater").pvalue > 1e-3
    assert stats.binomtest(by_itself, 400, 0.05, "greater").pvalue < 1e-3  # one interval each would not do


def test_an_effect_is_named_and_its_sign():
    rng = np.random.default_rng(1)
    base = rng.normal(0.8, 0.05, 8)
    drawn = {"none": base, "kd": base + 0.02 + rng.normal(0, 0.003, 8), "w2": base - 0.02 + rng.normal(0, 0.003, 8)}
    decided = {each.name: each.gain.decision for each in compared(students(drawn, 1.0)).learned}
    assert decided == {"kd": "a gain", "w2": "a loss"}


def test_the_weight_is_chosen_on_validation_images_whatever_the_test_images_say():
    none = students({"none": [0.5, 0.6]})
    worse, better = (students({"kd": [value] * 2}, weight, said) for weight, value, said in ((1.0, 0.3, 0.9), (2.0, 0.7, 0.8)))
    (kd,) = compared(none, worse, better).learned
    assert (kd.students.weight, kd.at_an_end, kd.accuracy.mean) == (1.0, True, pytest.approx(30))


def test_one_seed_decides_nothing_and_nothing_alone_is_no_gain():
    (kd,) = compared(students({"none": [0.5], "kd": [0.9]}, 1.0)).learned
    assert (kd.gain.at_once, kd.gain.decision, kd.accuracy.half) == (None, "undecided", None)
    found = compared(students({"kd": [0.9, 0.8]}, 1.0))
    assert (found.alone, found.learned[0].gain) == (None, None)


def test_the_report_of_a_campaign_has_the_table():
    rows = [run("none", None, seed) for seed in range(3)] + [run("kd", 0.5, seed) for seed in range(3)]
    section, *_ = details(Findings(table(*rows)))
    assert section.title == "accuracy in per cent, gain in points: digits, big to small"
    shown = next(part for part in section.parts if isinstance(part, Table))
    teacher, alone, kd = (line.cells for line in shown.lines)
    assert (teacher[0], alone[0], kd[0]) == ("teacher", "none (λ = 0)", "kd")
    assert teacher[2] == "90.00"
    assert kd[3].startswith("+") or kd[3].startswith("−")
    assert kd[5] in ("a gain", "a loss", "undecided")
    only_bounds = details(Findings(table()))
    assert only_bounds == []
