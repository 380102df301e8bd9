"""The first screen answers: is the student worse, by how much, how sure, where, may it be shipped at 2 points?"""

import re
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from printed import read_back
from report_pages import page_of
from reports import CASES, report_of
from sampled import sampled

from kd2m_theory import AuditReport, InputError, Pair, audit
from kd2m_theory.reporting.verdict import MAGNITUDES
from kd2m_theory.words import between, confidence

COMPARED = ("T0", "T0.error", "F1.gap", "F1.error_gap", "F3.T0", "F3.T0.error")


def logits_of(right, margin, labels, classes, rng):
    """Logits `margin` at the true class where `right`, else at the next one, with a little noise."""
    logits = 0.1 * rng.normal(size=(len(labels), classes))
    logits[np.arange(len(labels)), np.where(right, labels, (labels + 1) % classes)] += margin
    return logits


def a_pair(n, classes, teacher, student, margins=(3.0, 3.0), seed=0, **more):
    """Networks that are right with these probabilities, independently."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    sides = {
        f"logits_{whose}": logits_of(rng.random(n) < share, margin, labels, classes, rng)
        for whose, share, margin in zip(("teacher", "student"), (teacher, student), margins, strict=True)
    }
    return Pair(**({"labels": labels} | sides | more))


def alike(n=6000):
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 2, n)
    logits = logits_of(rng.random(n) < 0.97, 3.0, labels, 2, rng)
    return Pair(logits_teacher=logits, logits_student=logits + 1e-3 * rng.normal(size=logits.shape), labels=labels)


def shifted():
    pair = a_pair(1200, 6, 0.97, 0.9)
    # One class further than the truth, as labels 1…K read as 0…K − 1 are.
    return Pair(logits_teacher=pair.logits_teacher, logits_student=pair.logits_student, labels=(pair.labels + 1) % 6)


def other_dimension():
    rng = np.random.default_rng(5)
    pair = a_pair(900, 4, 0.97, 0.8)
    features = {"features_teacher": rng.normal(size=(900, 5)), "features_student": rng.normal(size=(900, 3))}
    return Pair(logits_teacher=pair.logits_teacher, logits_student=pair.logits_student, labels=pair.labels, **features)


# A pair, the verdict on all, on errors and on cross-entropy, what the screen says besides, and whether +2 points are kept.
DESK = {
    "worse": (lambda: a_pair(1500, 10, 0.97, 0.85), "worse", "worse", "worse", "so it is", "not met"),
    "better": (lambda: a_pair(1500, 10, 0.85, 0.95), "better", "better", "better", "negative", "met"),
    "equal": (alike, "alike", "undecided", "undecided", "as good as its teacher", "met"),
    "over-confident but more accurate": (
        lambda: a_pair(2000, 10, 0.80, 0.88, (3.0, 12.0)),
        "undecided",
        "better",
        "undecided",
        "over-confident by",
        "met",
    ),
    "unlabelled": (
        lambda: a_pair(800, 5, 0.95, 0.9, labels=None),
        "undecided",
        "undecided",
        "undecided",
        "unless the teacher errs on at least",
        "undecided",
    ),
    "tiny n": (lambda: a_pair(12, 3, 1.0, 0.8), "undecided", "undecided", "undecided", "12 labelled samples", "undecided"),
    "K = 100": (lambda: a_pair(1500, 100, 0.95, 0.7), "worse", "worse", "worse", "100 classes", "not met"),
    "shifted labels": (shifted, "undecided", "undecided", "undecided", "No verdict: the input looks wrong", "undecided"),
    "other dimension": (other_dimension, "worse", "worse", "worse", "4 classes", "not met"),
    "logits only": (lambda: a_pair(900, 4, 0.97, 0.8), "worse", "worse", "worse", "900 labelled samples", "not met"),
}


@cache
def desk(name):
    return audit(DESK[name][0](), only=COMPARED)


@pytest.mark.parametrize("name", DESK)
def test_the_verdict_on_a_pair_from_a_desk_is_right(name):
    _, overall, errors, cross_entropy, words, shipped = DESK[name]
    report = desk(name)
    found = report.verdict
    assert (found.overall, found.errors.status, found.cross_entropy.status) == (overall, errors, cross_entropy)
    screen = " ".join(str(report).split())
    assert words.replace("negative", "−") in screen
    assert "holds together at 95 %" in screen
    assert [each.status for each in report.within(max_error_gap=0.02)] == [shipped]
    for measure in (found.errors, found.cross_entropy):
        assert between(measure.lower, measure.upper, 100 if measure.unit == "probability" else 1) in screen


def near(words, exact, digits):
    """Whether words stand for a number, to so many significant digits."""
    return abs(read_back(words.replace("+", "")) - exact) <= 0.5000001 * 10.0 ** (1 - digits) * abs(exact) + 1e-12


@pytest.mark.parametrize("name", [name for name in DESK if name != "unlabelled"])
def test_every_measured_number_on_the_screen_is_numpys(name):
    """From the logits alone: errors, losses, their differences, disagreement, and confidence less accuracy."""
    pair, lines = DESK[name][0](), desk(name).table(140).splitlines()
    labels, rows = np.asarray(pair.labels), np.arange(pair.n)
    errors, losses, excess, guesses = {}, {}, {}, {}
    for whose in ("teacher", "student"):
        logits = np.asarray(getattr(pair, f"logits_{whose}"), dtype=float)
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
        guesses[whose] = logits.argmax(axis=1)
        errors[whose] = 100 * np.mean(guesses[whose] != labels)
        losses[whose] = -np.mean(np.log(shares[rows, labels]))
        excess[whose] = 100 * np.mean(shares.max(axis=1)) - 100 + errors[whose]

    def found(pattern):
        return next(match.groups() for line in lines if (match := re.match(pattern, line)))

    teacher, student, change = found(r"errors +(\S+) % → (\S+) % +(\S+) points")
    assert near(teacher, errors["teacher"], 3)
    assert near(student, errors["student"], 3)
    assert near(change, errors["student"] - errors["teacher"], 3)
    teacher, student, change = found(r"cross-entropy +(\S+) → (\S+) +(\S+) nats")
    assert near(teacher, losses["teacher"], 3)
    assert near(student, losses["student"], 3)
    assert near(change, losses["student"] - losses["teacher"], 3)
    side, points = found(r"calibration +\S+ → \S+ points .* (over|under)-confident by (\S+) points")
    assert near(points, excess["student"] * (1 if side == "over" else -1), 2)
    (apart,) = found(r"they disagree on (\S+) % of inputs")
    assert near(apart, 100 * np.mean(guesses["student"] != guesses["teacher"]), 3)


# How often the networks of a desk are right in their population: teacher, student.
KNOWN = {
    "worse": (0.97, 0.85),
    "better": (0.85, 0.95),
    "over-confident but more accurate": (0.80, 0.88),
    "unlabelled": (0.95, 0.9),
    "tiny n": (1.0, 0.8),
    "K = 100": (0.95, 0.7),
    "logits only": (0.97, 0.8),
}


@pytest.mark.parametrize("name", KNOWN)
def test_what_is_decided_is_true_of_the_population_that_the_pair_was_drawn_from(name):
    teacher, student = KNOWN[name]
    truth, report = teacher - student, desk(name)
    found = report.verdict.errors
    assert found.lower <= truth <= found.upper
    assert found.status in ("undecided", "worse" if truth > 0 else "better")
    for most in (-0.2, -0.02, 0.0, 0.02, 0.1, 0.3):
        (kept,) = report.within(max_error_gap=most)
        assert kept.status in ("undecided", "met" if truth <= most else "not met")


@pytest.mark.parametrize("case", CASES)
def test_the_first_screen_is_one_screen(case):
    assert len(report_of(case).table(100).splitlines()) <= 25


@pytest.mark.parametrize("width", sampled([60, 80, 100, 140], always=[60, 100]))
@pytest.mark.parametrize("case", sampled(CASES, always=["plain", "unlabelled", "violated", "infinite"]))
def test_nothing_is_cropped_at_any_width(case, width):
    report = report_of(case)
    for every_row in (False, True):
        lines = report.table(width, every_row=every_row).splitlines()
        assert max(map(len, lines)) <= width
        assert not any("…" in line.replace("=…)", "") for line in lines)
    words = "".join(report.table(width).split())
    for name in ("errors", "cross-entropy"):
        assert name in words
    if width >= 80:  # the numbers of a measure stand in its line
        assert any(line.startswith("errors ") for line in report.table(width).splitlines())


@pytest.mark.parametrize("width", [60, 80, 100, 140])
@pytest.mark.parametrize("case", sampled(CASES, always=["plain", "unlabelled"]))
def test_no_line_ends_between_a_number_and_its_unit(case, width):
    words = report_of(case).table(width)
    assert not re.search(r"\d\n\s*(%|nats|points)|\n\(\d", words)
    if width >= len("kd2m label plan PAIR --out plan.json"):
        commands = words[words.index("\nnext: ") :].splitlines()
        assert all(re.match("(next: --|--|kd2m )", line) for line in commands if line)


@pytest.mark.parametrize("case", CASES)
def test_every_interval_on_the_screen_has_its_unit(case):
    for line in report_of(case).table(140).splitlines():
        if line.startswith(("errors", "cross-entropy")) and " to " in line.partition("  worse")[0]:
            assert " points" in line or " nats" in line, line


# What every interval about a population relies on, whichever rows were asked for.
SAMPLING = {
    "independent samples",
    "same population",
    "networks fixed before the sample",
    "sample size fixed before",
}


@pytest.mark.parametrize("labelled", [True, False])
@pytest.mark.parametrize(
    "only",
    [pytest.param(None, marks=pytest.mark.long), ("T0.error",), ("T5.logits.sharp",), ("F3.T0.error",), ()],
)
def test_what_an_interval_relies_on_is_said_wherever_one_is_printed(only, labelled):
    report = audit(a_pair(60, 3, 0.9, 0.8, **({} if labelled else {"labels": None})), only=only)
    assert all(value.lower < value.upper for value in report.measured.values())  # they are about the population
    (said,) = re.findall(r"Relies on what data cannot check: (.*?) next:", " ".join(str(report).split()))
    assert set(said.split(", ")) >= SAMPLING
    (caveat,) = [words for words in report.verdict.caveats if words.startswith("The data cannot check")]
    assert all(name in caveat for name in SAMPLING)
    lines = [node["text"] for node in page_of(report).all("tr") if "details" not in node["inside"]]
    for name in SAMPLING:
        assert any(line.startswith(name) and "vouched" in line for line in lines), name


@pytest.mark.parametrize("size", [0.1, 9.0])
def test_without_labels_too_it_is_said_where_losses_are_clipped(size):
    """The interval of the population is narrower than that of the samples, because it is about clipped losses."""
    rng = np.random.default_rng(0)
    teacher, student = rng.normal(size=(2, 300, 4)) * size
    screen = " ".join(str(audit(Pair(logits_teacher=teacher, logits_student=student), only=["T0", "F3.T0"])).split())
    losses = [np.log(np.exp(a).sum(axis=1, keepdims=True)) - a for a in (teacher, student)]
    share = 100 * np.mean(np.max(losses, axis=(0, 2)) > 2 * np.log(4))
    found = re.search(r"on the population losses are clipped at 2.77 nats: on (\S+) % of these samples some label", screen)
    assert bool(found) == (share > 0)
    assert found is None or near(found[1], share, 2)


def test_the_classes_that_most_of_the_gap_comes_from_are_named():
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 4, 800)
    teacher = logits_of(np.ones(800, bool), 4.0, labels, 4, rng)
    student = logits_of(labels != 2, 4.0, labels, 4, rng)
    report = audit(Pair(logits_teacher=teacher, logits_student=student, labels=labels), only=COMPARED)
    assert "most of the gap: class 2 (100 %)" in str(report)


def test_a_violated_row_is_named_first_and_decides_nothing():
    report = report_of("violated")
    assert "Violated: T0.error" in str(report)
    assert [each.status for each in report.within(max_error_gap=1.0)] == ["undecided"]


def ends(lower, upper):
    """A report whose only guaranteed interval for the error gap has these ends."""
    data = report_of("plain").to_dict()
    data["rows"] = [row for row in data["rows"] if row["target"] != "population_error_gap"]
    data["measured"]["error_gap"] |= {"lower": lower, "upper": upper}
    return data


@given(st.floats(-1, 1), st.floats(-1, 1), st.floats(-1, 1))
def test_a_tolerance_is_met_where_the_interval_lies_below_it(one, other, most):
    from kd2m_theory.reporting.tolerance import tolerances

    lower, upper = min(one, other), max(one, other)
    (found,) = tolerances(ends(lower, upper), most, None)
    assert found.status == ("met" if upper <= most else "not met" if lower > most else "undecided")


def test_what_clipping_hides_is_not_within_a_tolerance():
    """A9: the student is sure of what it gets wrong; clipped it is better, unclipped worse by a nat."""
    report = desk("over-confident but more accurate")
    assert report.verdict.cross_entropy.upper < 0.2 < report.measured["gap"].value
    (found,) = report.within(max_gap=0.2)
    assert (found.status, "unclipped the difference on these samples is" in found.sentence) == ("undecided", True)
    assert [each.status for each in report.within(max_gap=2.0)] == ["met"]


@pytest.mark.parametrize(
    "told", [{"max_error_gap": 1.5}, {"max_error_gap": float("nan")}, {"max_gap": float("inf")}, {"max_gap": "much"}]
)
def test_a_tolerance_that_no_difference_can_have_is_refused(told):
    with pytest.raises(InputError, match=next(iter(told))):
        desk("worse").within(**told)


def test_a_stored_report_says_the_same(tmp_path):
    report = report_of("plain")
    report.to_json(tmp_path / "r.json")
    again = AuditReport.from_json(tmp_path / "r.json")
    assert str(again) == str(report)
    assert again.within(max_gap=0.1) == report.within(max_gap=0.1)


def parts(words):
    """The ends of an interval in words."""
    return [float("nan") if each == "unlimited" else float(each.replace("−", "-")) for each in words.split(" to ")]


@given(st.floats(-1e3, 1e3), st.floats(-1e3, 1e3), st.sampled_from([1.0, 100.0]), st.integers(1, 4))
def test_an_interval_in_words_holds_the_interval_in_numbers(one, other, scale, digits):
    lower, upper = min(one, other), max(one, other)
    low, high = parts(between(lower, upper, scale, digits))
    assert low <= scale * lower + 1e-9
    assert high >= scale * upper - 1e-9
    # And is wider by less than one unit of the last digit.
    for printed, end in ((low, scale * lower), (high, scale * upper)):
        assert abs(printed - end) <= max(1e-9, 10.0 ** (1 - digits) * abs(printed) * 1.0001)


@given(st.floats(0.5, 1, exclude_max=True))
def test_a_level_in_words_is_not_above_the_level(level):
    words = float(confidence(level).removesuffix(" %")) / 100
    assert words <= level * (1 + 1e-15)
    assert 1 - words <= (1 - level) * 1.1001 + 1e-15


def test_words_of_size_are_those_that_are_stated():
    found = report_of("plain").verdict
    for measure in (found.errors, found.cross_entropy):
        limits = MAGNITUDES[measure.unit]
        sizes = [
            next((word for word, below in limits.items() if abs(end) < below), "large")
            for end in (measure.lower, measure.upper)
        ]
        if measure.status == "undecided":
            assert measure.magnitude.startswith("at most ")
            assert measure.magnitude.removeprefix("at most ") in sizes
        else:
            assert measure.magnitude in (" to ".join(sizes), sizes[0])
