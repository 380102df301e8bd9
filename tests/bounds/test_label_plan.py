"""Label plans: exact answers from the inputs that matter, intervals of any prefix, and a file that cannot be edited."""

import hashlib
import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
from printed import holds

from kd2m_theory import InputError, LabelPlan, Pair, label_plan
from kd2m_theory.bounds.labelling.label_file import read_labels, write_template
from kd2m_theory.bounds.labelling.plan import drawn_plan
from kd2m_theory.estimators import paired_difference
from kd2m_theory.estimators.drawing import remainder_limit

DATA = Path(__file__).parents[1] / "data"
STORED = {"demo-cw2": 31, "demo-alone": 39}


def stored(name):
    return Pair.load(DATA / f"{name}.npz")


def losses(logits, labels):
    """Cross-entropy, written out."""
    moved = logits - logits.max(axis=1, keepdims=True)
    return np.log(np.exp(moved).sum(axis=1)) - moved[np.arange(len(labels)), labels]


def clipped_gap(pair, labels, bound):
    student, teacher = (np.minimum(losses(a, labels), bound) for a in (pair.logits_student, pair.logits_teacher))
    return student - teacher


def error_gap(pair, labels):
    student, teacher = (a.argmax(axis=1) != labels for a in (pair.logits_student, pair.logits_teacher))
    return student.astype(int) - teacher


def made(rng, n=60, classes=3, right=0.8, wide=1.0):
    """A pair and labels: the teacher is right with some probability, the student is a noisy copy."""
    labels = rng.integers(0, classes, n)
    said = np.where(rng.random(n) < right, labels, rng.integers(0, classes, n))
    teacher = rng.normal(size=(n, classes)) + 4 * np.eye(classes)[said]
    student = teacher + wide * rng.normal(size=teacher.shape)
    return Pair(logits_teacher=teacher, logits_student=student), labels


def drawn(pair, target="gap", seed=1, budget=30, delta=0.2, end="both"):
    return drawn_plan(pair, budget, target, delta, end, None, seed=f"{seed:x}")


@pytest.mark.parametrize("name", STORED)
def test_the_disagreements_give_the_error_gap_of_the_file_exactly(name):
    pair = stored(name)
    plan = label_plan(pair, budget=50, target="error")
    assert plan.exact
    assert len(plan.indices) == plan.needed == STORED[name]
    found = plan.estimate(pair.labels[plan.indices])
    differences = error_gap(pair, pair.labels)
    assert found.exact
    assert found.file.lower == found.file.upper == differences.sum() / len(differences)
    assert found.file.level == 1
    # The population's interval reads discordant counts alone; a tenth of δ is kept for those who stop before.
    counts = int((differences > 0).sum()), int((differences < 0).sum())
    expected = paired_difference(*counts, len(differences), 0.9 * 0.05)
    assert (found.population.lower, found.population.upper) == pytest.approx((expected.lower, expected.upper), abs=1e-12)
    assert found.next is None
    assert f"exactly +{100 * differences.sum() / len(differences):.4g} points" in str(found)


@pytest.mark.parametrize(("target", "scale", "unit"), [("error", 100.0, "points"), ("gap", 1.0, "nats")])
@pytest.mark.parametrize("labels", [0, 7, 20])
def test_sentences_hold_where_the_intervals_do(target, scale, unit, labels):
    """In the units of an audit, each end rounded outward."""
    pair = stored("demo-cw2")
    plan = label_plan(pair, budget=20, target=target)
    found = plan.estimate(pair.labels[plan.indices[:labels]])
    for where, interval in (("In this file the difference is", found.file), ("In the population it is", found.population)):
        low, high = re.search(rf"{where} (\S+) to (\S+) {unit}, at 95 %", str(found)).groups()
        assert holds(low.lstrip("+"), high.lstrip("+"), scale * interval.lower, scale * interval.upper, 3)


@pytest.mark.parametrize("name", STORED)
def test_a_hundred_labels_say_much_more_than_as_many_drawn_at_random(name):
    """Same kernel, same δ: at random the value is U_Y itself, in [−B, B], and every row has one chance."""
    pair, widths, others = stored(name), [], []
    for seed in range(3):
        plan = drawn_plan(pair, 100, "gap", 0.05, "both", None, seed=f"{seed:x}")
        interval = plan.estimate(pair.labels[plan.indices]).file
        values, bound = clipped_gap(pair, pair.labels, plan.loss_bound), plan.loss_bound
        assert interval.lower <= values.mean() <= interval.upper
        widths.append(interval.upper - interval.lower)
        n, ones = len(values), np.ones(100)
        sample = values[np.random.default_rng(seed).permutation(n)[:100]]
        left, most = n - np.arange(100.0), 2 * bound * (n - 100)
        above, below = (
            remainder_limit(each, ones, left, 2 * bound * ones, most, 100, 0.025) for each in (sample + bound, bound - sample)
        )
        others.append((above + below - most) / n)
    assert np.mean(widths) <= 0.4 * np.mean(others)
    assert np.mean(widths) <= 0.06


@pytest.mark.parametrize("target", ["error", "gap"])
@pytest.mark.parametrize("end", [pytest.param("both", marks=pytest.mark.long), "upper"])
def test_intervals_of_the_file_miss_as_rarely_as_they_say_whenever_one_stops(target, end):
    """With labels as bad as they can be for the upper end, too. Of 60 plans at δ = 0.2: 21 misses have a chance of 0.5 %."""
    rng, missed = np.random.default_rng(4), 0
    for seed in range(60):
        pair, labels = made(rng, n=24, classes=rng.choice([2, 3]), right=rng.choice([0.3, 0.8, 1.0]))
        plan = drawn(pair, target, seed, budget=12, end=end)
        if seed % 3 == 0:
            labels = _worst(pair, plan.loss_bound)
        true = (error_gap(pair, labels) if target == "error" else clipped_gap(pair, labels, plan.loss_bound)).mean()
        found = [plan.estimate(labels[plan.order[:k]]).file for k in range(0, len(plan.order) + 1, 6)]
        missed += any(not each.lower - 1e-12 <= true <= each.upper + 1e-12 for each in found)
    assert missed <= 20


def _worst(pair, bound):
    """The labels at which the student loses most."""
    bound = 1e9 if bound is None else bound
    classes = pair.logits_teacher.shape[1]
    table = [clipped_gap(pair, np.full(len(pair.logits_teacher), y), bound) for y in range(classes)]
    return np.argmax(table, axis=0)


@pytest.mark.parametrize("target", ["error", "gap"])
def test_intervals_of_the_population_miss_as_rarely_as_they_say(target):
    rng = np.random.default_rng(6)
    pair, labels = made(rng, n=100_000, right=0.9)
    bound = 2 * math.log(3)
    true = (error_gap(pair, labels) if target == "error" else clipped_gap(pair, labels, bound)).mean()
    missed = 0
    for seed in range(40):
        rows = rng.integers(0, 100_000, 80)
        plan = drawn(pair.taken(rows, rows), target, seed)
        found = [plan.estimate(labels[rows][plan.order[:k]]).population for k in (len(plan.order) // 4, len(plan.order))]
        missed += any(not each.lower <= true <= each.upper for each in found)
    assert missed <= 15  # of an interval that misses with probability 0.2, 16 have a chance of 0.3 %


def test_all_labels_of_a_file_give_its_gap_but_for_rounding():
    pair, labels = made(np.random.default_rng(1))
    plan = drawn(pair, budget=60)
    found = plan.estimate(labels[plan.order]).file
    true = clipped_gap(pair, labels, plan.loss_bound).mean()
    assert found.lower <= true <= found.upper
    assert found.upper - found.lower < 1e-12


def test_all_labels_for_the_upper_end_make_it_lower_and_leave_what_is_certain_below():
    pair, labels = made(np.random.default_rng(2), n=400, right=0.95)
    both, upper = (drawn(pair, end=end, delta=0.05) for end in ("both", "upper"))
    ends = [plan.estimate(labels[plan.indices]) for plan in (both, upper)]
    assert ends[1].file.upper < ends[0].file.upper
    least = np.min([clipped_gap(pair, np.full(400, y), both.loss_bound) for y in range(3)], axis=0)
    known = np.isin(np.arange(400), upper.indices)
    certain = np.where(known, clipped_gap(pair, labels, both.loss_bound), least).mean()
    assert ends[1].file.lower == pytest.approx(certain, abs=1e-9)
    assert ends[1].population.lower == -both.loss_bound


def test_rows_that_cannot_raise_the_upper_end_are_left_out_and_nothing_is_called_exact_without_them():
    logits = np.array([[3.0, 0.0], [2.0, 0.0], [0.0, 1.0]])
    surer = Pair(logits_teacher=logits, logits_student=logits * np.array([[2.0], [0.5], [0.5]]))
    plan = drawn(surer, end="upper")
    assert plan.needed == 3
    assert 0 < len(plan.order) < 3
    assert not plan.exact
    found = plan.estimate([0] * len(plan.order))
    assert not found.exact
    assert found.file.lower < found.file.upper
    assert found.file.level == 0.8


def test_labels_of_the_pair_are_not_looked_at_and_the_seed_comes_after_the_pool():
    pair, labels = made(np.random.default_rng(3))
    known = Pair(logits_teacher=pair.logits_teacher, logits_student=pair.logits_student, labels=labels)
    assert drawn(pair).order.tolist() == drawn(known).order.tolist()
    assert drawn(pair).anchor == drawn(known).anchor
    first, second = label_plan(pair), label_plan(pair)
    assert first.seed != second.seed
    assert first.pool == second.pool
    weights = np.zeros(60)
    weights[first.order] = first.weights
    assert first.order.tolist() == drawn_plan(pair, 100, "gap", 0.05, "both", None, seed=first.seed).order.tolist()


def test_where_no_label_can_matter_none_is_wanted():
    pair, _ = made(np.random.default_rng(3), wide=0.0)
    for target in ("error", "gap"):
        plan = label_plan(pair, target=target)
        assert plan.exact
        assert not len(plan.indices)
        found = plan.estimate([])
        assert found.file.lower == pytest.approx(0, abs=1e-12)
        assert found.file.upper == pytest.approx(0, abs=1e-12)
        assert found.population.lower <= 0 <= found.population.upper


def test_features_with_a_shared_head_are_a_pool_too():
    rng = np.random.default_rng(0)
    features, weight = rng.normal(size=(2, 40, 3)), rng.normal(size=(4, 3))
    pair = Pair(features[0], features[1], head_weight=weight)
    logits = Pair(logits_teacher=features[0] @ weight.T, logits_student=features[1] @ weight.T)
    assert drawn(pair).order.tolist() == drawn(logits).order.tolist()


def test_the_prediction_is_what_labels_like_these_give():
    """All labels are the teacher's answers, so the prediction comes true."""
    pair, _ = made(np.random.default_rng(5), n=300)
    answers = pair.logits_teacher.argmax(axis=1)
    plan = drawn(pair, budget=60)
    first, later = (plan.estimate(answers[plan.order[:n]]) for n in (40, 90))
    assert first.next.labels == 50
    assert first.next.file == pytest.approx(later.file.upper - later.file.lower, rel=1e-6)
    assert first.next.population == pytest.approx(later.population.upper - later.population.lower, rel=1e-6)
    assert plan.estimate(answers[plan.order[:100]]).next.labels == 10
    assert plan.estimate([]).next.labels == 50


def test_a_plan_is_read_back_as_it_was_written(tmp_path):
    pair, labels = made(np.random.default_rng(7))
    plan = drawn(pair).recorded(labels[drawn(pair).order[:10]])
    plan.save(tmp_path / "plan.json")
    again = LabelPlan.load(tmp_path / "plan.json")
    again.save(tmp_path / "again.json")
    assert (tmp_path / "plan.json").read_bytes() == (tmp_path / "again.json").read_bytes()
    known = {int(index): int(labels[index]) for index in plan.order[:20]}
    assert str(again.estimate(known)) == str(plan.estimate(labels[plan.order[:20]]))
    assert again.stops[0]["labels"] == 10


def _changed(value):
    if isinstance(value, bool) or value is None:
        return 1
    if isinstance(value, int | float):
        return value + 1
    if isinstance(value, str):
        return value[::-1] + "x"
    if isinstance(value, dict):
        return {name: _changed(each) for name, each in value.items()}
    return value[1:] if value else [1]


def test_a_plan_that_was_changed_is_refused_whatever_was_changed(tmp_path):
    pair, labels = made(np.random.default_rng(7))
    path = tmp_path / "plan.json"
    drawn(pair).recorded(labels[drawn(pair).order[:3]]).save(path)
    content = json.loads(path.read_text(encoding="utf-8"))
    for name, value in content.items():
        path.write_text(json.dumps(content | {name: _changed(value)}), encoding="utf-8")
        with pytest.raises(InputError, match=r"plan\.json"):
            LabelPlan.load(path)
        path.write_text(json.dumps({key: each for key, each in content.items() if key != name}), encoding="utf-8")
        with pytest.raises(InputError, match=r"plan\.json"):
            LabelPlan.load(path)


@pytest.mark.parametrize("target", [pytest.param("error", marks=pytest.mark.long), "gap"])
def test_a_plan_with_a_new_digest_and_parts_that_do_not_fit_is_one_error(tmp_path, target):
    """Whoever computes the digest again can say anything; nobody gets a traceback."""
    pair, labels = made(np.random.default_rng(7), n=8)
    plan, path = drawn(pair, target), tmp_path / "plan.json"
    plan.recorded(labels[plan.order[:1]]).save(path)
    content = json.loads(path.read_text(encoding="utf-8"))
    del content["digest"]
    refused = 0
    for name in content:
        for value in (None, "x", [], {}, -1, [[1.0]], ["a"], [1e300] * 70, [-1] * len(plan.order)):
            other = content | {name: value}
            digest = hashlib.sha256(json.dumps(other, sort_keys=True).encode()).hexdigest()
            path.write_text(json.dumps(other | {"digest": digest}), encoding="utf-8")
            try:
                LabelPlan.load(path).estimate(labels[plan.order[:2]])
            except InputError:
                refused += 1
    assert refused > 100


def test_labels_that_cannot_be_used_are_refused_with_the_reason():
    pair, labels = made(np.random.default_rng(7))
    plan = drawn(pair, budget=5)
    order = plan.order.tolist()
    recorded = plan.recorded(labels[plan.order[:4]])
    other = (labels[plan.order[:4]] + 1) % 3
    left_out = {index: 0 for index in order[:6] if index != order[2]}
    outside = next(index for index in range(60) if index not in order)
    for use, given, words in (
        (plan, [0, 1, 3], "give a whole number from 0 to 2"),
        (plan, [0, -1], "is -1"),
        (plan, [0.5], "not class numbers"),
        (plan, [float("nan")], "not class numbers"),
        (plan, [[0, 1]], "shape"),
        (plan, ["a"], "dtype"),
        (plan, [0] * 61, "61 labels"),
        (plan, left_out, f"input {order[2]} has no label"),
        (plan, {outside: 0}, f"input {outside} has a label"),
        (recorded, other, "is recorded"),
    ):
        with pytest.raises(InputError, match=words):
            use.estimate(given)
    assert recorded.estimate(labels[plan.order[:2]]).labels == 2  # a shorter prefix is no contradiction
    assert len(recorded.recorded(labels[plan.order[:2]]).labels) == 4


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"budget": 0}, "budget is 0"),
        ({"target": "loss"}, "target is 'loss'"),
        ({"delta": 1.0}, "delta is 1.0"),
        ({"end": "lower"}, "end is 'lower'"),
        ({"loss_bound": -1.0}, "loss_bound is -1.0"),
        ({"loss_bound": 2.0, "target": "error"}, "errors are not clipped"),
    ],
)
def test_arguments_out_of_range_are_refused(change, words):
    with pytest.raises(InputError, match=words):
        label_plan(made(np.random.default_rng(0))[0], **change)


def test_pairs_that_no_plan_fits_are_refused():
    logits = np.zeros((3, 2))
    with pytest.raises(InputError, match="different inputs"):
        label_plan(Pair(logits_teacher=logits, logits_student=logits, inputs_paired=False))
    with pytest.raises(InputError, match="no logits"):
        label_plan(Pair(logits, logits))
    with pytest.raises(InputError, match="pair is a str; pass a Pair"):
        label_plan("pair.npz")
    pair, _ = made(np.random.default_rng(0))
    largest = losses(pair.logits_student, pair.logits_student.argmin(axis=1)).max()
    with pytest.raises(InputError, match="voids the guarantee"):
        label_plan(pair, loss_bound=max(largest, losses(pair.logits_teacher, pair.logits_teacher.argmin(axis=1)).max()))


def test_a_table_of_labels_is_read_as_it_is_filled_in(tmp_path):
    pair, labels = made(np.random.default_rng(7))
    plan, path = drawn(pair, budget=5), tmp_path / "labels.csv"
    write_template(plan, path)
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[0] == "index,label"
    assert [int(line.split(",")[0]) for line in lines[1:]] == plan.order.tolist()
    assert read_labels(path) == {}
    filled = [f"{line}{labels[int(line[:-1])]}" for line in lines[1:4]]
    path.write_bytes(("﻿index, label\r\n" + "\r\n".join([*filled, "", *lines[4:]])).encode())
    assert read_labels(path) == {int(i): int(labels[i]) for i in plan.order[:3]}
    for text, words in (
        ("a,b\n", "first line has to be index,label"),
        ("", "first line"),
        ("index,label\n1,2,3\n", "line 2 .* 3 entries"),
        ("index,label\n1,cat\n", "two whole numbers"),
        ("index,label\n1,2.0\n", "two whole numbers"),
        ("index,label\n" + "9" * 5000 + ",1\n", "two whole numbers"),
        ("index,label\n1,2\n1,2\n", "input 1 stands twice"),
    ):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(InputError, match=words):
            read_labels(path)
    path.write_bytes(b"index,label\n1,\xff\n")
    with pytest.raises(InputError, match="not a table"):
        read_labels(path)
