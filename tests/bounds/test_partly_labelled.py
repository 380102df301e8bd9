"""Files with labels of some inputs: an interval if these were chosen at random, and a refusal if not."""

import itertools
import math

import numpy as np
import pytest
from scipy.special import logsumexp

from kd2m_theory import InputError, Pair, label_plan, partly_labelled


def made(seed, n, classes, right=1.0):
    """Logits of a pair, and labels."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    teacher = rng.normal(size=(n, classes)) + right * np.eye(classes)[labels]
    return Pair(logits_teacher=teacher, logits_student=teacher + rng.normal(size=(n, classes))), labels


def difference(pair, labels, target):
    """The file's difference, from its definition."""
    rows, means = np.arange(len(labels)), []
    for logits in (pair.logits_student, pair.logits_teacher):
        if target == "error":
            means.append((logits.argmax(axis=1) != labels).mean())
        else:
            losses = logsumexp(logits, axis=1) - logits[rows, labels]
            means.append(np.minimum(losses, 2 * math.log(logits.shape[1])).mean())
    return means[0] - means[1]


def some(labels, rows):
    return {int(row): int(labels[row]) for row in rows}


@pytest.mark.parametrize(
    ("target", "classes", "seed"), [("error", 2, 0), pytest.param("error", 3, 2, marks=pytest.mark.long), ("gap", 2, 1)]
)
def test_over_all_choices_of_inputs_each_end_misses_as_rarely_as_it_says(target, classes, seed):
    """All 70 halves of 8 inputs. With half of its radius an end would miss too often."""
    pair, labels = made(seed, 8, classes, right=0.0)
    true = difference(pair, labels, target)
    missed, with_half = np.zeros(2), np.zeros(2)
    for rows in itertools.combinations(range(8), 4):
        found = partly_labelled(pair, some(labels, rows), target, 0.5, chosen="at random").file
        for of, part in ((missed, 1.0), (with_half, 0.5)):
            ends = (found.value + part * (end - found.value) for end in (found.lower, found.upper))
            of += [sign * (true - end) > 1e-9 for sign, end in zip((-1, 1), ends, strict=True)]
    assert missed.max() <= 0.25 * 70
    assert with_half.max() > 0.25 * 70


@pytest.mark.parametrize("target", ["error", pytest.param("gap", marks=pytest.mark.long)])
def test_the_population_is_missed_as_rarely_as_it_says(target):
    pair, labels = made(3, 20_000, 3)
    true, rng, missed = difference(pair, labels, target), np.random.default_rng(3), 0
    for _ in range(40):
        rows = rng.integers(0, 20_000, 80)
        found = partly_labelled(
            pair.taken(rows, rows), some(labels[rows], rng.permutation(80)[:40]), target, 0.2, chosen="at random"
        )
        missed += not found.population.lower <= true <= found.population.upper
    assert missed <= 15  # at a rate of 0.2, 16 have a chance of 0.3 %


@pytest.mark.parametrize("target", ["error", "gap"])
def test_with_every_label_that_can_matter_the_answer_is_exact_and_nothing_has_to_be_said(target):
    pair, labels = made(4, 50, 3)
    rows = range(50)
    if target == "error":
        rows = np.flatnonzero(pair.logits_teacher.argmax(axis=1) != pair.logits_student.argmax(axis=1))
    found = partly_labelled(pair, some(labels, rows), target)
    assert found.exact
    assert found.file.level == 1
    assert found.file.lower == pytest.approx(difference(pair, labels, target), abs=1e-12)
    assert found.file.upper - found.file.lower < 1e-12
    by_plan = label_plan(pair, 50, target)
    expected = by_plan.estimate(labels[by_plan.order]).population
    assert (found.population.lower, found.population.upper) == pytest.approx((expected.lower, expected.upper))


def test_every_way_to_say_that_a_label_is_missing_says_the_same():
    pair, labels = made(5, 60, 3)
    rows = np.sort(np.random.default_rng(5).permutation(60)[:30])
    known = np.isin(np.arange(60), rows)
    ways = {
        "a mapping": some(labels, rows),
        "in any order": some(labels, rows[::-1]),
        "a mapping with gaps": {i: int(labels[i]) if known[i] else -100 for i in range(60)},
        "−100": np.where(known, labels, -100),
        "NaN": np.where(known, labels, np.nan),
        "None": [int(label) if there else None for label, there in zip(labels, known, strict=True)],
        "objects": np.where(known, labels, None),
        "a mask": np.ma.MaskedArray(labels.astype(np.uint8), mask=~known),
    }
    found = {way: partly_labelled(pair, given, chosen="at random") for way, given in ways.items()}
    assert all(each == found["a mapping"] for each in found.values())
    assert found["−100"].labels == 30
    assert not found["−100"].exact


@pytest.mark.parametrize("target", ["error", "gap"])
def test_no_order_of_the_file_changes_a_number(target):
    """Of rows that occur twice, with other labels or without one, too."""
    pair, labels = made(6, 40, 3)
    rows = np.concatenate((np.arange(40), np.arange(20)))
    pair, labels = pair.taken(rows, rows), np.concatenate((labels, (labels[:20] + 1) % 3))
    labels[np.random.default_rng(1).permutation(60)[:30]] = -100
    found = partly_labelled(pair, labels, target, chosen="at random")
    for seed in range(5):
        moved = np.random.default_rng(seed).permutation(60)
        again = partly_labelled(pair.taken(moved, moved), labels[moved], target, chosen="at random")
        for one, other in ((found.file, again.file), (found.population, again.population)):
            assert (one.lower, one.value, one.upper) == pytest.approx((other.lower, other.value, other.upper), abs=1e-9)


def test_labels_do_not_decide_the_order_in_which_they_are_read(monkeypatch):
    from kd2m_theory.bounds.labelling import partly

    orders = []
    monkeypatch.setattr(partly, "estimate", lambda rows, labels: orders.append(rows.order.tolist()))
    pair, labels = made(7, 40, 3)
    rows = np.arange(0, 40, 2)
    for given in (some(labels, rows), some((labels + 1) % 3, rows), some(labels, rows[:-1])):
        partly_labelled(pair, given, chosen="at random")
    assert orders[0] == orders[1]
    assert sorted(orders[0]) == rows.tolist() != orders[0]
    assert [row for row in orders[0] if row != rows[-1]] != orders[2]  # another choice, another order


def test_more_labels_and_a_larger_delta_make_narrower_intervals_and_one_end_a_lower_one():
    pair, labels = made(8, 400, 3)
    rows = np.random.default_rng(8).permutation(400)

    def file(count, delta=0.05, end="both"):
        return partly_labelled(pair, some(labels, rows[:count]), delta=delta, end=end, chosen="at random").file

    widths = [each.upper - each.lower for each in (file(40), file(120), file(360))]
    assert widths == sorted(widths, reverse=True)
    assert file(120, 0.2).upper - file(120, 0.2).lower < widths[1]
    assert file(120, end="upper").upper < file(120).upper


def contradictions():
    pair, _ = made(9, 400, 3)
    differ = pair.logits_teacher.argmax(axis=1) != pair.logits_student.argmax(axis=1)
    surest = -(logsumexp(pair.logits_teacher, axis=1) - pair.logits_teacher.max(axis=1))
    apart = np.abs(pair.logits_teacher - pair.logits_student).max(axis=1)
    yield "at which the networks disagree", np.flatnonzero(~differ)
    yield "at which the teacher is less sure", np.argsort(surest)[:150]
    yield "at which a label can matter more", np.argsort(apart)[:150]
    yield "that the teacher puts in class 2", np.flatnonzero(pair.logits_teacher.argmax(axis=1) == 2)[:70]


@pytest.mark.parametrize("words", [words for words, _ in contradictions()])
def test_a_choice_that_the_logits_contradict_is_refused_with_the_numbers(words):
    pair, labels = made(9, 400, 3)
    rows = dict(contradictions())[words]
    with pytest.raises(InputError, match=f"{words}.* of all 400 are .* use kd2m.label_plan") as caught:
        partly_labelled(pair, some(labels, rows), chosen="at random")
    assert f"of {len(rows)} are inputs" in str(caught.value)


def test_the_probability_of_a_refused_choice_is_that_of_the_urn():
    """20 of 20 labelled inputs agree, of 40 with 20 disagreements: 1 in C(40, 20), counted out."""
    teacher = np.tile([[2.0, 0.0]], (40, 1))
    student = np.repeat([[2.0, 0.0], [0.0, 2.0]], 20, axis=0)
    pair = Pair(logits_teacher=teacher, logits_student=student)
    with pytest.raises(InputError, match=r"0 of 20 are inputs at which the networks disagree, and 20 of all 40") as caught:
        partly_labelled(pair, some(np.zeros(40, int), range(20)), chosen="at random")
    assert f"probability {1 / math.comb(40, 20):.1g}" in str(caught.value)
    # One in C(20, 10) is more likely than a random choice may be refused.
    few = pair.taken(*[np.arange(10, 30)] * 2)
    assert partly_labelled(few, some(np.zeros(20, int), range(10)), chosen="at random").labels == 0  # none that can matter


def test_choices_at_random_are_not_refused():
    pair, labels = made(10, 400, 10)
    for seed in range(20):
        rows = np.random.default_rng(seed).permutation(400)[: 20 + 15 * seed]
        assert partly_labelled(pair, some(labels, rows), "error", chosen="at random").samples == 400


def test_what_cannot_be_used_is_refused_with_the_reason():
    pair, labels = made(11, 30, 3)
    half = np.where(np.arange(30) % 2, labels, -100)
    logits = np.zeros((4, 2))
    groups = Pair(logits_teacher=logits, logits_student=logits, groups=np.array([0, 0, 1, 1]))
    apart = Pair(logits_teacher=logits, logits_student=logits, inputs_paired=False)
    for given, known, options, words in (
        ("pair.npz", half, {}, "pair is a str; pass a Pair"),
        (pair, half, {"chosen": None}, "15 labels that can matter are missing.*chosen='at random'"),
        (pair, half, {"chosen": "hard ones first"}, "chosen is 'hard ones first'"),
        (pair, half, {"target": "loss"}, "target is 'loss'"),
        (pair, half, {"delta": 0.0}, "delta is 0.0"),
        (pair, half, {"end": "lower"}, "end is 'lower'"),
        (pair, half, {"target": "error", "loss_bound": 1.0}, "errors are not clipped"),
        (pair, half[:-1], {}, r"shape \(29,\), and there are 30 inputs"),
        (pair, half[:, None], {}, r"shape \(30, 1\)"),
        (pair, np.full(30, -100), {}, "no input has a label"),
        (pair, {}, {}, "no input has a label"),
        (pair, {30: 0}, {}, "position 30 has a label"),
        (pair, {"a": 0}, {}, "position 'a' has a label"),
        (pair, {4: 3}, {}, "the label of input 4 is 3; give a whole number from 0 to 2"),
        (pair, {4: -1}, {}, "the label of input 4 is -1"),
        (pair, {4: 0.5}, {}, "not class numbers"),
        (pair, {4: "cat"}, {}, "dtype"),
        (groups, [0, 0, 0, -100], {}, "the pair has groups"),
        (apart, [0, 0, 0, -100], {}, "different inputs"),
    ):
        with pytest.raises(InputError, match=words):
            partly_labelled(given, known, **{"chosen": "at random"} | options)


def test_it_says_on_what_it_rests():
    pair, labels = made(12, 60, 3)
    found = partly_labelled(pair, some(labels, range(0, 60, 2)), chosen="at random")
    assert "chosen at random, without regard to their labels" in found.file.assumptions
    assert "independent samples; labelled inputs chosen at random" in found.population.assumptions
    assert "if the labelled inputs were chosen at random" in str(found)
    assert "whenever" not in str(found)
    assert not found.anytime
    assert found.next is None
