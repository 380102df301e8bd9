"""The sentences a reader takes away, and how often they are wrong."""

import copy
import math
import re
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from printed import holds
from reports import report_of
from sampled import sampled
from scipy.stats import binom

from kd2m_theory import Pair, audit
from kd2m_theory.bounds.losses import clipped, cross_entropy
from kd2m_theory.reporting.clipped import reaches
from kd2m_theory.reporting.verdict import verdict
from kd2m_theory.words import number

COMPARED = ("T0", "F1.gap", "F1.error_gap", "F3.T0", "F3.T0.error")


def words_of(case):
    found = verdict(report_of(case).to_dict())
    return found.headline, " ".join(found.findings), " ".join(found.caveats)


def row_of(record, name):
    return next(row for row in record["rows"] if row["name"] == name)


def edited(case="plain", **sides):
    """The verdict on a report in which rows have other sides, and the sample the differences that these have in the middle."""
    record = copy.deepcopy(report_of(case).to_dict())
    for name in ("F3.T0", "F3.T1", "F5.T2", "F3.T0.error"):
        row_of(record, name).update(lower=-9.0, upper=9.0)
    for name, (lower, upper) in sides.items():
        row_of(record, name.replace("_", ".", 1)).update(lower=lower, upper=upper)
    gap, error_gap = sides.get("F1_gap", (-0.1, 0.1)), sides.get("F1_error_gap", (-0.1, 0.1))
    record["clipping"] |= {"risk_student": 1 + sum(gap) / 2, "risk_teacher": 1.0, "share_student": 0.01, "share_teacher": 0.0}
    record["measured"]["gap"]["value"] = sum(gap) / 2
    record["measured"]["error_gap"] |= {"value": sum(error_gap) / 2, "lower": error_gap[0], "upper": error_gap[1]}
    return verdict(record)


UP, DOWN, OPEN = (0.02, 0.3), (-0.3, -0.02), (-0.1, 0.2)


@pytest.mark.parametrize(
    ("errors", "gap", "overall", "headline"),
    [
        (
            UP,
            UP,
            "worse",
            "The student is worse than its teacher: it errs more, and its cross-entropy, clipped at 2.2 nats, is",
        ),
        (
            DOWN,
            DOWN,
            "better",
            "The student is better than its teacher: it errs less, and its cross-entropy, clipped at 2.2 nats",
        ),
        (DOWN, UP, "mixed", "Mixed: the student is not like its teacher; it errs less, but its cross-entropy"),
        (UP, DOWN, "mixed", "Mixed: the student is not like its teacher; it errs more, but its cross-entropy"),
        (
            UP,
            OPEN,
            "undecided",
            "Undecided: the student differs from its teacher; it errs more, but its cross-entropy is undecided",
        ),
        (
            OPEN,
            DOWN,
            "undecided",
            "Undecided: the student differs from its teacher; its cross-entropy, clipped at 2.2 nats, is low",
        ),
        (OPEN, OPEN, "undecided", "Undecided: these samples do not show that the student is worse or better than its teacher."),
    ],
)
def test_worse_or_better_is_said_where_errors_and_cross_entropy_agree(errors, gap, overall, headline):
    found = edited(F1_error_gap=errors, F1_gap=gap)
    assert found.overall == overall
    assert found.headline.startswith(headline)
    words = {UP: "worse", DOWN: "better", OPEN: "undecided"}
    for compared, sides, row in ((found.errors, errors, "F1.error_gap"), (found.cross_entropy, gap, "F1.gap")):
        assert (compared.status, compared.row, compared.guaranteed) == (words[sides], row, True)
        assert (compared.lower, compared.upper) == sides
        assert f"({row}, guaranteed at " in compared.sentence
        assert compared.level == report_of("plain")[row].level
    assert "1 % of the student's losses and 0 % of the teacher's are clipped" in found.cross_entropy.sentence


ENDS = st.floats(-1, 1).filter(lambda end: abs(end) > 1e-3) | st.integers(-100, 100).map(lambda k: k / 100)


@given(ends=st.tuples(ENDS, ENDS).map(sorted))
def test_the_words_of_an_interval_hold_where_it_does(ends):
    said = [float(word) for word in re.findall(r"[0-9.]+", reaches(*ends, 100.0, "points"))] or [0.0, 0.0]
    low, high = (Fraction(end) * 100 for end in ends)
    if ends[0] < 0 < ends[1]:
        first, second = -Fraction(said[0]), Fraction(said[1])
    elif ends[0] >= 0:
        first, second = map(Fraction, said)
    else:
        second, first = (-Fraction(size) for size in said)
    tiny = Fraction(1, 10**8)
    # Three digits of at most 100 points.
    assert low - Fraction(1, 9) <= first <= low + tiny
    assert high - tiny <= second <= high + Fraction(1, 9)


def test_the_sentences_have_the_numbers_of_their_interval():
    found = edited(F1_error_gap=UP, F1_gap=OPEN)
    assert "its error on the population is 2 to 30 percentage points higher" in found.errors.sentence
    assert "between 0.1 nats lower and 0.2 higher on the population" in found.cross_entropy.sentence
    assert "It errs on 35 % of these samples, its teacher on 0 %" in found.errors.sentence


def test_intervals_that_contradict_each_other_decide_nothing():
    found = edited(F1_gap=UP, F3_T0=DOWN)
    assert found.cross_entropy.status == "undecided"


def test_an_asymptotic_interval_decides_nothing():
    record = report_of("plain").to_dict()
    assert record["measured"]["gap"]["lower"] > 0
    record["rows"] = [row for row in record["rows"] if row["target"] != "population_gap"]
    found = verdict(record).cross_entropy
    assert (found.status, found.guaranteed, found.row, found.lower) == ("undecided", False, None, None)


def logits_of(right, margin, labels, classes):
    """Logits `margin` at the true class where `right`, else at the next one, and 0 elsewhere."""
    logits = np.zeros((len(labels), classes))
    logits[np.arange(len(labels)), np.where(right, labels, (labels + 1) % classes)] = margin
    return logits


def compared(teacher, student, labels, **told):
    return audit(Pair(logits_teacher=teacher, logits_student=student, labels=labels), only=COMPARED, **told).verdict


@pytest.mark.parametrize(("classes", "told"), [(2, {}), (10, {}), (10, {"loss_bound": 20.0})])
def test_a_more_accurate_and_overconfident_student_is_neither_better_nor_worse(classes, told):
    """A9: the teacher is right on 80 % with a logit of 3, the student on 88 % with one of 12."""
    rng, n = np.random.default_rng(9), 2000
    labels = rng.integers(0, classes, n)
    teacher = logits_of(rng.random(n) < 0.80, 3.0, labels, classes)
    student = logits_of(rng.random(n) < 0.88, 12.0, labels, classes)
    found = compared(teacher, student, labels, **told)
    assert found.overall == ("mixed" if told else "undecided")
    assert found.errors.status == "better"
    assert found.cross_entropy.status == ("worse" if told else "undecided")
    assert "it errs less, but" in found.headline
    assert found.cross_entropy.unclipped > 0
    if not told:
        assert found.cross_entropy.upper < 0  # the clipped losses say the opposite
        assert "clipping turns the sign" in found.cross_entropy.sentence


def test_clipping_that_turns_the_sign_decides_nothing():
    """A11: both err on the same 5 %, with margins of 1.5 and 12."""
    rng, n = np.random.default_rng(11), 2000
    labels, right = rng.integers(0, 2, n), rng.random(n) > 0.05
    teacher, student = logits_of(right, 1.5, labels, 2), logits_of(right, 12.0, labels, 2)
    found = compared(teacher, student, labels)
    assert found.cross_entropy.upper < 0 < found.cross_entropy.unclipped
    assert (found.overall, found.errors.status, found.cross_entropy.status) == ("undecided",) * 3
    share = number(100 * np.mean(~right), 3)
    for words in (
        "clipping turns the sign",
        f"{share} % of the student's losses",
        "nats higher unclipped",
        "nats lower clipped",
    ):
        assert words in found.cross_entropy.sentence
    found = compared(teacher, student, None)
    assert found.cross_entropy.upper < 0.01
    assert found.overall == "undecided"
    assert "clipped at 1.39 nats" in found.cross_entropy.sentence
    assert "On 100 % of these samples the loss at some class is clipped" in found.cross_entropy.sentence
    assert "Unclipped, whatever the labels," in found.cross_entropy.sentence
    assert "10.3 higher on these samples (T0)" in found.cross_entropy.sentence


def atoms_of(probabilities, teacher, student, labels):
    """A population of few inputs: shares, logits of both, labels, and the true differences of errors and of clipped losses."""
    shares = np.array(probabilities) / np.sum(probabilities)
    return shares, np.array(teacher, dtype=float), np.array(student, dtype=float), np.array(labels)


# Margins of the true class over the other one, for teacher and student.
POPULATIONS = {
    # a student that is the teacher on another input: no difference of anything
    "no difference": (atoms_of([1, 1, 1, 1], [4, -1, 2, 0.5], [-1, 4, 0.5, 2], [0, 1, 1, 0]), 3.0),
    # A10: rare losses of 30 nats, and a little less everywhere else; worse by 0.074 in the mean
    "rare losses of 30 nats": (atoms_of([0.995, 0.005], [2.3, 2.3], [4.0, -30.0], [0, 1]), 40.0),
    # rarely 30 nats for the teacher, and a little more everywhere else
    "the teacher's rare losses": (atoms_of([0.995, 0.005], [4.0, -30.0], [2.3, 2.3], [0, 1]), 40.0),
    # the student is better by a hair in errors, and worse by a hair in losses
    "by a hair": (atoms_of([0.49, 0.03, 0.02, 0.46], [3, -0.1, 0.1, 3], [3, 0.1, -0.6, 2.97], [0, 1, 0, 1]), 5.0),
}
AUDITS, N, DELTA = 60, 200, 0.05


@pytest.mark.parametrize("name", sampled(POPULATIONS, always=["rare losses of 30 nats"]))
def test_worse_and_better_are_false_at_most_as_often_as_said(name):
    (shares, teacher, student, labels), bound = POPULATIONS[name]
    both = [np.stack([np.zeros(len(labels)), margins], axis=1) for margins in (teacher, student)]
    logits = [np.where(labels[:, None] == 1, each, each[:, ::-1]) for each in both]
    losses = [clipped(cross_entropy(each, labels), bound) for each in logits]
    wrong = [each.argmax(axis=1) != labels for each in logits]
    true_gap, true_errors = float(shares @ (losses[1] - losses[0])), float(shares @ (wrong[1] * 1.0 - wrong[0]))
    false = asymptotic = 0
    rng = np.random.default_rng(10)
    for _ in range(AUDITS):
        drawn = rng.choice(len(shares), N, p=shares)
        pair = Pair(logits_teacher=logits[0][drawn], logits_student=logits[1][drawn], labels=labels[drawn])
        report = audit(pair, DELTA, only=("F1.gap", "F1.error_gap"), loss_bound=bound)
        found = report.verdict
        signs = {"worse": 1, "better": -1}
        told = [
            (signs[each.status], truth)
            for each, truth in ((found.errors, true_errors), (found.cross_entropy, true_gap))
            if each.status != "undecided"
        ]
        false += any(sign * truth <= 1e-12 for sign, truth in told)
        assert found.overall in ("undecided", "mixed") or len({sign for sign, _ in told}) == 1
        gap = report.measured["gap"]
        asymptotic += gap.lower > 0 >= true_gap or gap.upper < 0 <= true_gap
    assert binom.sf(false - 1, AUDITS, DELTA) > 1e-4, f"{false} of {AUDITS} audits say what is not true"
    if "rare" in name:  # what Student's t says there is false far more often: the check would have noticed
        assert binom.sf(asymptotic - 1, AUDITS, DELTA) < 1e-4


def test_no_gap_is_no_gap():
    found = report_of("no gap").verdict
    assert found.headline == "Undecided: student and teacher have the same loss and the same error on these samples."
    assert found.cross_entropy.sample == found.cross_entropy.unclipped == 0


def test_without_labels_intervals_are_given_and_nothing_is_decided():
    report = report_of("unlabelled")
    found = report.verdict
    assert found.headline.startswith("Undecided: without labels, these samples cannot show")
    low, high = re.search(
        r"between (\S+) percentage points lower and (\S+) higher \(F3\.T0\.error", found.errors.sentence
    ).groups()
    assert holds(f"−{low}", high, 100 * report["F3.T0.error"].lower, 100 * report["F3.T0.error"].upper, 3)
    assert "The networks disagree on 35 % of these samples." in found.errors.sentence
    assert found.cross_entropy.row == "F3.T0"
    assert found.findings[0].endswith("; nothing that could be checked was measured.")


def test_nothing_measured_and_nothing_bounded_is_said():
    headline, findings, _ = words_of("unlabelled logits of other inputs")
    assert "neither measured nor bounded" in headline
    assert findings == "No guaranteed bound could be evaluated."


def test_a_violation_comes_first_and_is_counted():
    found = verdict(report_of("violated").to_dict())
    assert found.violated
    assert found.overall == "undecided"
    assert found.headline.startswith("Violated: T0.error.")
    checked = sum(row.guaranteed and row.holds is not None for row in report_of("violated").rows)
    assert f"Of the {checked} guaranteed bounds that could be checked 1 does not hold." in found.findings


def test_the_printed_report_begins_with_the_verdict_and_says_what_is_clipped():
    for case in ("plain", "unlabelled", "violated"):
        report = report_of(case)
        text = " ".join(report.table(every_row=True).split())
        found = report.verdict
        assert text.startswith(" ".join((found.headline, found.errors.sentence, found.cross_entropy.sentence)))
    text = " ".join(report_of("plain").table(200, every_row=True).split())
    clipping = report_of("plain").clipping
    share = number(100 * clipping.share_student, 3)
    assert f"{share} % of the student's losses are clipped: on these samples their mean is" in text
    assert "F2.T0, F2.T1, F2.T2, F2.T5: never below the upper bound of F1.risk, which needs the same labels." in text


def test_the_tightest_bound_has_the_least_ratio_and_is_no_identity():
    report = report_of("plain")
    rivals = [
        row
        for row in report.rows
        if row.target == "gap" and row.guaranteed and row.status == "informative" and row.name != "T9.kl"
    ]
    best = min(rivals, key=lambda row: row.ratio)
    assert 1 < best.ratio < math.inf
    times = f"nats ({number(best.ratio, 3)} times what was measured)"
    said = re.search(rf"{re.escape(best.name)} on the gap, from (\S+) to (\S+) {re.escape(times)}", words_of("plain")[1])
    assert holds(*said.groups(), best.lower, best.upper, 3)


def test_no_violated_or_unpromised_row_is_recommended():
    assert "T0.error on" not in words_of("violated")[1]
    record = copy.deepcopy(report_of("plain").to_dict())
    for row in record["rows"]:
        row["status"] = "vacuous"
    assert "No guaranteed bound on a gap of these samples is informative" in " ".join(verdict(record).findings)


def test_caveats_name_what_is_vouched_for_and_what_is_unmet():
    _, _, caveats = words_of("plain")
    assert "same inputs, independent samples" in caveats
    assert "An assumption is unmet in T1.literal:" in caveats
    assert "about these samples." in caveats
    assert "hold together at 95 %" in caveats
    assert "asymptotic" in caveats
    _, _, told = words_of("told much")
    assert "gaussian classes" in told
    assert "An assumption is unmet in T1.literal:" in told
    assert "hold together at 90 %" in told
    assert "asymptotic" not in words_of("unlabelled")[2]
