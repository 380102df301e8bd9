"""Several students on the same inputs: intervals at one δ, decisions by Holm's method, and pairs that cannot be compared."""

import math
from functools import cache

import numpy as np
import pytest
from scipy import stats

from kd2m_theory import InputError, Pair, compare
from kd2m_theory.bounds import Ladder
from kd2m_theory.bounds.compare import MEASURES, TEACHER, decided, hypotheses, levels
from kd2m_theory.estimators import paired_difference

NAMES = ("good", "same", "bad")


def logits(rng, labels, size, noise, classes=4):
    """Of a network that is right where its noise is small."""
    return size * np.eye(classes)[labels] + noise * rng.normal(size=(len(labels), classes))


def pairs(n=400, seed=0, **changes):
    rng = np.random.default_rng(seed)
    labels = rng.integers(4, size=n)
    teacher = logits(rng, labels, 4.0, 1.0)
    students = [logits(rng, labels, *each) for each in ((4.0, 1.2), (4.0, 1.2), (2.0, 2.0))]
    given = {"labels": labels, "logits_teacher": teacher} | changes
    return {name: Pair(logits_student=each, **given) for name, each in zip(NAMES, students, strict=True)}


@cache
def found():
    return compare(pairs())


def numbers(comparison, names=NAMES):
    """Every interval, and what decides, whichever of two students is the first."""
    result = {}
    for each in comparison.differences:
        for measure in MEASURES:
            value, among = each.value(measure), each.among(measure)
            result[each.first, each.second, measure] = (value.value, value.lower, value.upper, among)
            result[each.second, each.first, measure] = (0.0 - value.value, 0.0 - value.upper, 0.0 - value.lower, among)
    return {(a, b, measure): numbers for (a, b, measure), numbers in result.items() if {a, b} <= {*names, TEACHER}}


def test_every_pair_of_networks_is_compared_once():
    couples = [(each.first, each.second) for each in found().differences]
    assert couples == [
        ("good", "same"), ("good", "bad"), ("same", "bad"), ("good", TEACHER), ("same", TEACHER), ("bad", TEACHER),
    ]  # fmt: skip
    assert found().share == pytest.approx(0.05 / (2 * 2 * 6))  # both measures, both limits of an interval, six pairs
    assert {each.value(m).level for each in found().differences for m in MEASURES} == {1 - 2 * found().share}


def test_the_intervals_are_those_of_f1_at_the_same_share():
    """Of each student and the teacher, those of an audit; of two students, those of a pair in which one is the teacher."""
    given, share = pairs(), found().share
    for each in found().differences:
        pair = given[each.first]
        if each.second != TEACHER:
            pair = Pair(
                labels=pair.labels, logits_teacher=given[each.second].logits_student, logits_student=pair.logits_student
            )
        ladder = Ladder(pair, share * 4, only=("F1.gap", "F1.error_gap"))  # four limits at this share
        gap, error_gap = ladder.evaluate()
        width = found()[each.first, each.second].cross_entropy.upper - each.cross_entropy.lower
        for one, other in ((gap, each.cross_entropy), (error_gap, each.errors)):
            # Betting takes two students in another order where the other one is the first of them.
            room = 1e-12 if each.second == TEACHER or one is error_gap else 0.1 * width
            assert one.lower == pytest.approx(other.lower, abs=room)
            assert one.upper == pytest.approx(other.upper, abs=room)


def test_intervals_of_errors_are_exact_on_discordant_inputs():
    given = pairs()
    wrong = {name: pair.logits_student.argmax(axis=1) != pair.labels for name, pair in given.items()}
    for first, second in (("good", "same"), ("good", "bad")):
        counts = int((wrong[first] & ~wrong[second]).sum()), int((wrong[second] & ~wrong[first]).sum())
        expected, seen = paired_difference(*counts, 400, 2 * found().share), found()[first, second].errors
        assert (seen.lower, seen.upper) == pytest.approx((expected.lower, expected.upper), abs=1e-12)
        assert seen.value == pytest.approx(wrong[first].mean() - wrong[second].mean(), abs=1e-15)


def test_no_number_depends_on_the_order_of_the_rows_or_of_the_students():
    order = np.random.default_rng(1).permutation(400)
    moved = {name: pair.taken(order, order) for name, pair in reversed(pairs().items())}
    assert numbers(compare(moved)) == numbers(found())
    assert compare(moved).decided == found().decided


def test_groups_are_what_is_counted():
    groups = np.repeat(np.arange(100), 4)
    grouped = compare(pairs(groups=groups))
    assert grouped.groups == 100
    wide = [each.cross_entropy.upper - each.cross_entropy.lower for each in grouped.differences]
    narrow = [each.cross_entropy.upper - each.cross_entropy.lower for each in found().differences]
    assert all(one > other for one, other in zip(wide, narrow, strict=True))
    order = np.random.default_rng(1).permutation(400)
    moved = {name: pair.taken(order, order) for name, pair in pairs(groups=groups).items()}
    assert numbers(compare(moved)) == numbers(grouped)


def test_a_student_that_is_surely_worse_is_not_among_the_best():
    assert set(found().best) == {"good", "same"}
    assert {("good", "bad"), ("same", "bad"), (TEACHER, "bad")} <= {*found().surely_better("errors")}
    assert not {("good", "same"), ("same", "good")} & {
        *found().surely_better("errors"),
        *found().surely_better("cross_entropy"),
    }
    assert {a for a, _ in found().surely_better()} >= {"good", "same"}


def test_what_an_interval_decides_is_decided():
    for each in found().differences:
        for measure in MEASURES:
            interval = each.value(measure)
            if interval.upper < 0 or interval.lower > 0:
                assert each.claim(measure) in found().decided
                assert each.among(measure) == hypotheses(4)


def brute_force(among, number):
    """Holm's method by definition: the claim with the largest number goes first, and stops all others where it fails."""
    left, result = dict(among), set()
    while left:
        claim = max(left, key=left.__getitem__)
        if left.pop(claim) < number - len(result):
            break
        result.add(claim)
    return result


def test_decisions_are_those_of_holms_method_where_nothing_follows():
    rng = np.random.default_rng(0)
    for _ in range(200):
        among = {("errors", f"a{k}", f"b{k}"): int(rng.integers(0, 13)) for k in range(6)}
        assert decided(among, 12) == brute_force(among, 12)


def test_what_follows_from_decisions_is_decided_and_counts():
    chain = {("errors", "a", "b"): 12, ("errors", "b", "c"): 12, ("cross_entropy", "a", "b"): 9, ("cross_entropy", "b", "c"): 0}
    assert decided(chain, 12) == {
        ("errors", "a", "b"), ("errors", "b", "c"), ("errors", "a", "c"), ("cross_entropy", "a", "b"),
    }  # fmt: skip


@pytest.mark.parametrize("networks", range(3, 12))
def test_levels_go_from_the_union_to_what_can_be_true_at_least(networks):
    every = hypotheses(networks)
    assert every == 4 * math.comb(networks, 2)
    assert (levels(networks)[0], levels(networks)[-1]) == (every // 2, every)


def false_decisions(number, rounds, delta, rng):
    """Share of rounds with a false decision among four networks of which two pairs are equal, from exact p-values.

    Args:
        number: of hypotheses that the first step counts; None for no correction.
    """
    wrong = 0
    for _ in range(rounds):
        # Means of 30 normal values with known variance: a and b are equal, c and d are, and differ from those by a little.
        means = rng.normal(size=(2, 4)) / math.sqrt(30) + np.array([0.0, 0.0, 0.5, 0.5])
        among = {}
        for measure, row in zip(MEASURES, means, strict=True):
            for a in range(4):
                for b in range(4):
                    if row[a] < row[b]:
                        p = stats.norm.sf((row[b] - row[a]) * math.sqrt(15))
                        among[measure, str(a), str(b)] = int(delta / p) if number else hypotheses(4) * (p <= delta)
        pairs_that_are_equal = ({"0", "1"}, {"2", "3"})
        made = decided(among, hypotheses(4))
        wrong += any({a, b} in pairs_that_are_equal or int(a) > int(b) for _, a, b in made)
    return wrong / rounds


def test_decisions_are_wrong_no_more_often_than_said_and_without_a_correction_they_are():
    delta, rounds = 0.2, 150
    limit = stats.binom.isf(1e-6, rounds, delta) / rounds
    assert false_decisions(hypotheses(4), rounds, delta, np.random.default_rng(0)) <= limit
    assert false_decisions(None, rounds, delta, np.random.default_rng(0)) > limit


def drawn(n, rng):
    """A sample of a population with three classes and three networks whose answers and confidences are drawn, two alike."""
    labels = rng.integers(3, size=n)
    right = rng.random((3, n)) < np.array([0.95, 0.8, 0.8])[:, None]
    answers = np.where(right, labels, (labels + 1) % 3)
    teacher, *students = (3.0 * np.eye(3)[each] + 1e-3 * rng.normal(size=(n, 3)) for each in answers)
    return {name: Pair(labels=labels, logits_teacher=teacher, logits_student=s) for name, s in zip("ab", students, strict=True)}


@pytest.mark.long
def test_intervals_cover_together_and_a_quarter_of_them_does_not():
    truth = {("a", "b"): 0.0, ("a", TEACHER): 0.15, ("b", TEACHER): 0.15}
    rng, rounds, delta = np.random.default_rng(0), 120, 0.4
    missed, quarter, wrong = 0, 0, 0
    for _ in range(rounds):
        made = compare(drawn(60, rng), delta, loss_bound=5.0)
        apart = [
            (each.value(measure), scale * truth[each.first, each.second] - each.value(measure).value, slack)
            for each in made.differences
            for measure, scale, slack in (("errors", 1.0, 0.0), ("cross_entropy", 3.0, 0.01))  # a wrong answer costs 3 nats
        ]
        outside = [
            [not part * (v.lower - v.value) - slack <= off <= part * (v.upper - v.value) + slack for v, off, slack in apart]
            for part in (1.0, 0.25)
        ]
        missed, quarter = missed + any(outside[0]), quarter + any(outside[1])
        wrong += any({better, worse} == {"a", "b"} or worse == TEACHER for _, better, worse in made.decided)
    limit = stats.binom.isf(1e-6, rounds, delta)
    assert max(missed, wrong) <= limit < quarter


def changed(name="bad", **changes):
    """The pairs, one of them with other arrays."""
    given = pairs()
    pair = given[name]
    arrays = {"labels": pair.labels, "logits_teacher": pair.logits_teacher, "logits_student": pair.logits_student}
    return given | {name: Pair(**(arrays | changes))}


def refused():
    whole = pairs()["good"]
    other = np.random.default_rng(5).permutation(400)
    moved = np.where(np.arange(400) < 3, (whole.labels + 1) % 4, whole.labels)
    return {
        "one student": ({"good": whole}, "there is 1 student; a comparison needs at least two"),
        "rows": (pairs() | {"bad": pairs(n=300)["bad"]}, "good has 400 rows and bad has 300"),
        "order": (pairs() | {"bad": whole.taken(other, other)}, "bad has the rows of good in another order; save both"),
        "labels": (changed(labels=moved), "the labels of good and bad differ in 3 of 400 rows"),
        "teacher": (changed(logits_teacher=whole.logits_teacher[::-1]), "the teachers of good and bad have other logits in"),
        "unlabelled": (changed(labels=None), "bad is unlabelled, and without labels no sample shows"),
        "classes": (
            changed(logits_teacher=np.eye(5)[whole.labels] * 4, logits_student=np.eye(5)[whole.labels] * 2),
            "good has 4 classes and bad has 5",
        ),
        "groups": (changed(groups=np.arange(400) // 2), "the groups of good and bad differ"),
        "inputs": (
            changed(inputs_paired=False, labels_student=whole.labels),
            "bad says inputs_paired=False; run student and teacher over the same inputs",
        ),
        "features only": (
            pairs() | {"bad": Pair(np.eye(4)[whole.labels], np.eye(4)[whole.labels], labels=whole.labels)},
            "bad has no logits of both networks",
        ),
        "no pair": (pairs() | {"bad": 3}, "bad is a int; pass a Pair"),
        "teacher's name": ({"teacher": whole, "good": whole}, "the name of a student is 'teacher'"),
        "empty name": ({"": whole, "good": whole}, "the name of a student is ''"),
    }


@pytest.mark.parametrize("case", refused())
def test_pairs_that_cannot_be_compared_are_refused_in_one_line(case):
    given, words = refused()[case]
    with pytest.raises(InputError, match="^" + words.replace("(", r"\(")) as caught:
        compare(given)
    assert "\n" not in str(caught.value)


def test_a_teacher_that_was_computed_twice_is_one_teacher():
    teacher = pairs()["bad"].logits_teacher
    assert compare(changed(logits_teacher=teacher * (1 + 1e-6))).best == found().best


def test_arguments_are_checked():
    given = list(pairs().values())
    for words, arguments in (
        ("2 names for 3 pairs", {"names": ["a", "b"]}),
        ("two students are called 'a'", {"names": ["a", "b", "a"]}),
        ("delta is 0.95", {"delta": 0.95}),
        ("loss_bound is -1", {"loss_bound": -1}),
    ):
        with pytest.raises(InputError, match=words):
            compare(given, **arguments)
    with pytest.raises(InputError, match="names already"):
        compare(pairs(), names=["a", "b", "c"])
    with pytest.raises(InputError, match="pairs is one Pair"):
        compare(given[0])
    pair = given[0]
    losses = np.logaddexp.reduce(pair.logits_student, axis=1) - pair.logits_student[np.arange(400), pair.labels]
    with pytest.raises(InputError, match="a bound taken from the sample voids the guarantee"):
        compare(given, loss_bound=losses.max())
    assert compare(given[:2]).students == ("student 1", "student 2")
