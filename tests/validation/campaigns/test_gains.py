"""Gains of objectives: paired by seed, λ chosen on validation images, and what is said of many objectives holds for all at once."""

import itertools
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from learned_rows import accuracy, run, table
from scipy import stats

from kd2m_theory.reporting.sections import Table
from kd2m_theory.validation.campaigns import gains_part
from kd2m_theory.validation.campaigns.findings import Findings
from kd2m_theory.validation.campaigns.gains import comparison
from kd2m_theory.validation.campaigns.page import details
from kd2m_theory.validation.campaigns.trainings import Setting, Students, trainings

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


def setting_of(base, *taught):
    """A setting without a table, which takes time to make: accuracies of `none`, then (objective, λ, accuracies, validation)."""

    def made(name, weight, values, validation):
        rows = {
            seed: {
                ("result", "accuracy", "student test"): {"value": value},
                ("result", "accuracy", "student validation"): {"value": validation},
            }
            for seed, value in enumerate(values)
        }
        return Students(name, weight, {}, rows)

    every = (made("none", None, base, 0.5), *(made(*each) for each in taught))
    return Setting(name="digits", population="digits", teacher="big", student="small", students=every)


def compared(*runs):
    (setting,) = trainings(table(*runs)).settings
    return comparison(setting)


@given(
    names=st.sampled_from([("kd",), ("kd", "ttm"), ("kd", "ttm", "w2", "cw2", "mmd")]),
    weights=st.integers(1, 3),
    seeds=st.integers(2, 6),
    seed=st.integers(0, 10**6),
)
def test_intervals_are_those_of_the_paired_t_test_alone_and_corrected_for_every_weight(names, weights, seeds, seed):
    rng = np.random.default_rng(seed)
    base = rng.uniform(0.2, 0.9, seeds)
    accuracies = {(name, weight): rng.uniform(0.2, 0.9, seeds) for name in names for weight in range(1, weights + 1)}
    found = comparison(setting_of(base, *((*key, values, key[1] / 4) for key, values in accuracies.items())))
    assert {each.name for each in found.learned} == set(names)
    for each in found.learned:
        assert each.students.weight == weights  # best on the validation images
        test = stats.ttest_rel(100 * accuracies[each.name, weights], 100 * base)
        alone, together = test.confidence_interval(0.95), test.confidence_interval(1 - 0.05 / len(accuracies))
        points = each.gain.points
        assert points.mean - points.half == pytest.approx(alone.low, abs=1e-9)
        assert points.mean + points.half == pytest.approx(alone.high, abs=1e-9)
        assert points.mean + each.gain.at_once == pytest.approx(together.high, abs=1e-9)
        expected = "a gain" if together.low > 0 else "a loss" if together.high < 0 else "undecided"
        assert each.gain.decision == expected


def test_with_no_effect_at_all_some_gain_or_loss_is_named_in_at_most_a_twentieth_of_campaigns():
    """Also though λ is chosen with the networks that are judged: what is lucky on validation images is so on test images."""
    rng = np.random.default_rng(0)
    wrong = by_itself = 0
    for _ in range(200):
        base, *drawn = rng.normal(0.8, 0.01, (10, 6))
        taught = zip(itertools.product(("kd", "ttm", "w2"), (1.0, 2.0, 3.0)), drawn, strict=True)
        runs = ((name, weight, values, values.mean()) for (name, weight), values in taught)
        gains = [each.gain for each in comparison(setting_of(base, *runs)).learned]
        wrong += any(gain.decision != "undecided" for gain in gains)
        by_itself += any(abs(gain.points.mean) > gain.points.half for gain in gains)
    assert stats.binomtest(wrong, 200, 0.05, "greater").pvalue > 0.05
    assert stats.binomtest(by_itself, 200, 0.05, "greater").pvalue < 1e-3  # one interval each would not do


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


def test_equal_differences_and_an_unfinished_campaign_decide_nothing():
    rows = students({"none": [0.5, 0.6, 0.7], "kd": [0.6, 0.7, 0.8]}, 1.0)
    assert compared(rows).learned[0].gain.decision == "undecided"
    rows = students({"none": [0.5, 0.6, 0.7], "kd": [0.81, 0.9, 0.999]}, 1.0)
    assert compared(rows).learned[0].gain.decision == "a gain"
    (setting,) = trainings(table(rows), missing=1).settings
    assert comparison(setting).learned[0].gain.decision == "undecided"
    (section, *_) = details(Findings(table(rows), missing=1))
    assert any("1 tasks of the campaign are missing, so nothing is decided yet" in str(part) for part in section.parts)


def test_weights_are_compared_on_the_seeds_that_all_have():
    few, many = students({"kd": [0.9]}, 1.0), students({"kd": [0.95, 0.1, 0.1]}, 2.0)
    (kd,) = compared(few, many).learned
    assert kd.students.weight == 2.0


def test_the_student_alone_is_the_one_with_most_seeds_and_weight_zero_belongs_to_its_grid():
    none, zero = students({"none": [0.5, 0.6, 0.7]}), students({"cw2": [0.5, 0.6]}, 0.0)
    found = compared(none, zero, students({"cw2": [0.6, 0.7, 0.8]}, 1e-3), students({"cw2": [0.1, 0.1, 0.1]}, 1e-2))
    assert found.alone.seeds == 3
    found = compared(zero, students({"cw2": [0.6, 0.7]}, 1e-3), students({"cw2": [0.1, 0.1]}, 1e-2))
    (cw2,) = found.learned
    assert (cw2.students.weight, cw2.at_an_end, found.alone.seeds) == (1e-3, False, 2)


def test_a_sum_is_named_by_its_terms():
    terms = {"kd": 0.5, "near": {"name": "w2", "weight": 0.01}}
    none, both = run("none"), run("sum", options={"terms": terms, "cross_entropy": 0.5})
    (found,) = compared(none, both).learned
    assert found.name == "sum (kd = 0.5, near.name = w2, near.weight = 0.01, cross_entropy = 0.5)"


def test_an_ablation_is_left_out_beside_the_whole_and_shown_without_it():
    none, whole = run("none"), run("unikd", 1.0, options={"warm_up": 5})
    part = run("unikd", 1.0, options={"warm_up": 5, "fusion": False})
    assert [each.name for each in compared(none, whole, part).learned] == ["unikd"]
    assert [each.name for each in compared(none, part).learned] == ["unikd (warm_up = 5, fusion = false)"]
    other = run("unikd", 1.0)
    names = [each.name for each in compared(none, whole, other).learned]
    assert names == ["unikd", "unikd (warm_up = 5)"]


def test_some_seeds_alone_are_judged_with_the_weight_that_all_chose():
    rows = [students({"none": [0.5] * 4}), students({"kd": [0.9, 0.9, 0.6, 0.7]}, 1.0), students({"kd": [0.1] * 4}, 2.0)]
    (setting,) = trainings(table(*rows)).settings
    (kd,) = comparison(setting, seeds=(2, 3)).learned
    assert (kd.students.weight, kd.accuracy.mean, kd.gain.points.seeds) == (1.0, pytest.approx(65), 2)


def test_the_part_of_the_page_says_what_the_table_says_and_judges_fresh_seeds_apart():
    base = [0.5, 0.6, 0.7, 0.5, 0.6, 0.7]
    kd = [value + 0.1 + 0.001 * k for k, value in enumerate(base)]
    w2 = [0.9, 0.9, 0.9, 0.4, 0.5, 0.61]  # better in the pilots' seeds, worse in all others
    (setting,) = trainings(table(students({"none": base, "kd": kd, "w2": w2}, 1.0))).settings
    words = " ".join(gains_part.written(setting).split())
    assert "6 seeds, 2 objectives" in words
    assert "at 95 %, there is a gain for `kd`; no decision for `w2`." in words
    assert "Seeds 3 to 5 alone, which no pilot saw, give a gain for `kd`; a loss for `w2`." in words
    assert "| kd | 1 | 70.25" in words
    assert "nothing to compare with" in gains_part.written(*trainings(table(run("kd", 0.5))).settings)


def test_the_report_of_a_campaign_has_the_table():
    rows = [run("none", None, seed) for seed in range(3)] + [run("kd", 0.5, seed) for seed in range(3)]
    section, *_ = details(Findings(table(*rows)))
    assert section.title == "accuracy in per cent, gain in points: digits, big to small"
    shown = next(part for part in section.parts if isinstance(part, Table))
    teacher, alone, kd = (line.cells for line in shown.lines)
    assert (teacher[0], alone[0], kd[0], kd[1], kd[3]) == ("teacher", "none (λ = 0)", "kd", "0.5", "3")
    assert teacher[2] == "90.00"
    difference = 100 * (accuracy("kd", 0.5, 0) - accuracy("none", None, 0))
    assert kd[4].startswith(f"{difference:+.2f}".replace("-", "−"))
    assert kd[6] == "undecided"  # every seed has the same difference
    only_bounds = details(Findings(table()))
    assert only_bounds == []
