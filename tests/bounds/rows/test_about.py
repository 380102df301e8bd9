"""What rows are about: the sample, the mean over labels drawn for its inputs, or the population, and never one for another."""

import itertools
import math

import numpy as np
import pytest
from scipy.special import log_softmax, ndtr, softmax
from scipy.stats import binom

from kd2m_theory import Pair, audit
from kd2m_theory.bounds import ROWS, Known
from kd2m_theory.bounds.rows import f2_anchored
from kd2m_theory.bounds.rows.t7_divergence import largest_mean
from kd2m_theory.bounds.settings import VOUCHABLE
from kd2m_theory.bounds.targets import SUBJECTS
from kd2m_theory.theory.catalogue import theorems

ABOUT = {row.name: SUBJECTS[row.target].about for row in ROWS}
BY_NAME = {row.name: row for row in ROWS}
# The rest is about the sample, and holds for every one.
NOT_OF_THE_SAMPLE = {
    "T9.kl_teacher": "labels",
    "T7.gaussian": "population",
    **{row.name: "population" for row in ROWS if row.name.startswith("F")},
}
# Hypotheses that no finite sample satisfies, or that speak of how it was drawn.
OF_A_POPULATION = {"gaussian classes", "independent samples", "same population", "random order"}
OF_LABELS = {"teacher labels"}


def logits(seed, n, classes, scale=2.0):
    teacher = scale * np.random.default_rng(seed).normal(size=(n, classes))
    return teacher, teacher + np.random.default_rng(seed + 1).normal(size=(n, classes))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_row_is_about_what_its_hypotheses_speak_of(row):
    assert ABOUT[row.name] == NOT_OF_THE_SAMPLE.get(row.name, "sample")
    needs = {need.name for need in row.needs}
    assert bool(needs & OF_A_POPULATION) == (ABOUT[row.name] == "population")
    assert bool(needs & OF_LABELS) == (ABOUT[row.name] == "labels")
    # What depends on how the sample fell out costs certainty.
    assert bool(row.limits) == (ABOUT[row.name] == "population")


def test_a_form_is_about_what_its_row_is_about():
    found = {form.name: one.about(form.name) for one in theorems() for form in one.forms}
    for name, about in found.items():
        for row in (name, name.replace("T1.", "T1.logits.")):
            assert ABOUT.get(row, about) == about, row
    assert {name for name, about in found.items() if about == "labels"} == {"T9.kl_teacher"}
    assert {name for name, about in found.items() if about == "population" and name[0] != "F"} == {"T7.affinity", "T7.gaussian"}


def test_rows_anchored_in_the_sample_are_anchored_in_statements_about_it():
    anchors = [row for _, row, *_ in f2_anchored._DISTANCES] + [f2_anchored._ERROR, f2_anchored._MARGIN]
    assert {ABOUT[row.name] for row in anchors} == {"sample"}


def test_what_one_sample_does_not_show_is_never_measured():
    teacher, student = logits(0, 40, 3)
    labels = np.random.default_rng(2).integers(0, 3, 40)
    pair, seen = Pair(teacher, student, labels, head_weight=np.eye(3)), set()
    for about in ("sample", "population"):
        known = {"teacher_risk": Known(9.0, about), "teacher_error": Known(1.0, about)}
        told = {row.name for row in ROWS if row.told is None or ABOUT[row.name] == about}
        report = audit(pair, vouch=VOUCHABLE, temperature=2.0, only=[row.name for row in ROWS if row.name in told], **known)
        for row in report.rows:
            assert row.applicable, row.name
            assert (row.measured is not None) == (ABOUT[row.name] == "sample"), row.name
        seen |= told
    assert seen == {row.name for row in ROWS}


LAWS = {
    "from the teacher": lambda teacher, _student: softmax(teacher, axis=1),
    "from the student": lambda _teacher, student: softmax(student, axis=1),
    "any class alike": lambda teacher, _student: np.full_like(teacher, 1 / teacher.shape[1]),
    "where the loss grows most": lambda teacher, student: np.eye(teacher.shape[1])[(student - teacher).argmin(axis=1)],
    "where the loss falls most": lambda teacher, student: np.eye(teacher.shape[1])[(student - teacher).argmax(axis=1)],
}


@pytest.mark.parametrize("law", LAWS)
def test_rows_without_labels_about_the_sample_hold_for_labels_drawn_afresh(law):
    """Each draw of labels makes a sample, and a statement about the sample holds for all of them."""
    n, classes, rng = 40, 3, np.random.default_rng(3)
    teacher, student = logits(4, n, classes)
    unlabelled = audit(Pair(logits_teacher=teacher, logits_student=student), vouch=VOUCHABLE, temperature=2.0)
    rows = {row.name: row for row in unlabelled.rows if row.guaranteed and row.level is None and ABOUT[row.name] == "sample"}
    assert {"T0", "T0.error", "T1.logits.l1", "T1.logits.l2", "T9.largest", "T9.tv", "T9.ttm"} <= set(rows)
    cumulated = LAWS[law](teacher, student).cumsum(axis=1)
    for _ in range(200):
        labels = (rng.random((n, 1)) > cumulated[:, :-1]).sum(axis=1)
        truth = targets(teacher, student, labels, 2.0)
        for name, row in rows.items():
            assert row.lower - 1e-12 <= truth[row.target] <= row.upper + 1e-12, (name, law)


def targets(teacher, student, labels, temperature):
    """The targets that need no head, from their definitions."""
    at = np.arange(len(labels))
    logs = {
        who: log_softmax(a, axis=1)[at, labels] for who, a in (("s", student), ("t", teacher), ("h", teacher / temperature))
    }
    return {
        "gap": (logs["t"] - logs["s"]).mean(),
        "error_gap": (student.argmax(1) != labels).mean() - (teacher.argmax(1) != labels).mean(),
        "probability_gap": (np.exp(logs["s"]) - np.exp(logs["t"])).mean(),
        "tempered_gap": (np.exp(logs["s"]) - np.exp(logs["h"])).mean(),
    }


def test_the_expected_gap_is_the_mean_over_all_labels_and_hardly_ever_the_gap_of_one():
    n, classes = 4, 3
    teacher, student = logits(5, n, classes, scale=1.0)
    pair = Pair(logits_teacher=teacher, logits_student=student)
    row = audit(pair, only=["T9.kl_teacher"], vouch="teacher labels")["T9.kl_teacher"]
    chances, gaps = [], []
    for labels in itertools.product(range(classes), repeat=n):
        chances.append(math.prod(softmax(teacher, axis=1)[np.arange(n), list(labels)]))
        gaps.append(targets(teacher, student, np.array(labels), 1.0)["gap"])
    assert math.fsum(chances) == pytest.approx(1.0, abs=1e-14)
    expected = math.fsum(chance * gap for chance, gap in zip(chances, gaps, strict=True))
    assert row.lower <= expected + 1e-15
    assert row.upper >= expected - 1e-15
    assert row.upper - row.lower < 1e-12
    assert not any(row.lower <= gap <= row.upper for gap in gaps)
    assert max(gaps) - min(gaps) > 1.0


def test_labels_that_the_teacher_happened_to_draw_do_not_refute_the_mean_over_labels():
    """A2: a file whose labels came from the teacher, and a user who says so."""
    rng = np.random.default_rng(6)
    teacher, student = logits(7, 200, 3)
    labels = (rng.random((200, 1)) > softmax(teacher, axis=1).cumsum(axis=1)[:, :-1]).sum(axis=1)
    for given in (labels, None):
        report = audit(Pair(logits_teacher=teacher, logits_student=student, labels=given), vouch="teacher labels")
        row = report["T9.kl_teacher"]
        assert (row.target, row.measured, row.holds, row.level) == ("expected_gap", None, None, None)
        assert "on average over labels drawn for these inputs" in row.why
        assert report.violations == ()
        assert "T9.kl_teacher is about the mean over labels" in " ".join(report.verdict.caveats)
        assert (report["T9.kl"].holds is True) == (given is not None)
    least = audit(Pair(logits_teacher=np.zeros((9, 3)), logits_student=teacher[:9]), only=["T9.kl_teacher"], vouch=VOUCHABLE)
    assert least.rows[0].vacuous_from == pytest.approx(0, abs=1e-15)  # its teacher guesses


def with_moments(rng, n, mean, spread):
    """n points on a line whose mean and standard deviation are these exactly, not only on average."""
    points = rng.normal(size=n)
    return mean + spread * (points - points.mean()) / points.std()


def gaussian_pair(rng, counts, student_means, teacher_means):
    labels = np.repeat(np.arange(len(counts)), counts)
    clouds = []
    for means in (student_means, teacher_means):
        line = np.concatenate([with_moments(rng, count, mean, 1.0) for count, mean in zip(counts, means, strict=True)])
        clouds.append(np.stack((-line / 2, line / 2), axis=1))  # the logits less their mean have one coordinate, ± line / 2
    return Pair(logits_student=clouds[0], logits_teacher=clouds[1], labels=labels)


def true_gap(shares, student_means, teacher_means):
    """Class 1 is predicted where the line is positive."""
    wrong = [np.array([ndtr(means[0]), ndtr(-means[1])]) for means in (student_means, teacher_means)]
    return float(np.asarray(shares) @ (wrong[0] - wrong[1]))


def test_gaussian_classes_say_nothing_about_how_common_a_class_is():
    """A3: a class that the student turns round is rare in the sample, and what is vouched for does not say that it is rare."""
    means = (-3.0, -4.0), (-3.0, 4.0)  # of the student, of the teacher: class 1 turns wrong
    pair = gaussian_pair(np.random.default_rng(8), (900, 100), *means)
    report = audit(pair, only=["T7.gaussian"], vouch="gaussian classes")
    row = report["T7.gaussian"]
    assert row.level == 1 - 2 * report.share
    states = {each.name: each.state for each in row.assumptions}
    assert states["independent samples"] == states["same population"] == states["gaussian classes"] == "vouched"
    of_sample = row.details["at the sample's shares"]
    assert of_sample == pytest.approx(0.1, rel=1e-6)
    rarest = binom.isf(report.share / 2, 1000, 0.1) / 1000  # the usual spread of a share, from another formula
    assert of_sample + 0.9 * (rarest - 0.1) < row.upper < of_sample + 1.3 * (rarest - 0.1)
    assert "T7.gaussian is about the population" in " ".join(report.verdict.caveats)


@pytest.mark.long
@pytest.mark.parametrize("delta", [0.05, 0.3])
def test_gaussian_classes_cover_the_population_and_the_samples_shares_would_not(delta):
    shares, means, draws, n = (0.5, 0.5), ((-6.0, -6.0), (-6.0, 6.0)), 150, 60
    truth = true_gap(shares, *means)
    rng, missed, naive = np.random.default_rng(9), 0, 0
    for _ in range(draws):
        counts = rng.multinomial(n, shares)
        report = audit(gaussian_pair(rng, counts, *means), delta, only=["T7.gaussian"], vouch="gaussian classes")
        row = report["T7.gaussian"]
        missed += not row.lower <= truth <= row.upper
        naive += truth > row.details["at the sample's shares"]
    assert missed <= binom.isf(1e-3, draws, 2 * report.share)
    assert naive > draws / 4


def test_a_class_without_samples_may_be_as_common_as_its_limit_and_anything_may_happen_in_it():
    rng = np.random.default_rng(10)
    teacher = rng.normal(size=(50, 3))
    pair = Pair(logits_teacher=teacher, logits_student=teacher, labels=np.arange(50) % 2)
    row = audit(pair, only=["T7.gaussian"], vouch="gaussian classes").rows[0]
    level = 1 - row.level
    assert row.details["at the sample's shares"] == pytest.approx(0.0, abs=1e-6)
    assert row.upper == pytest.approx(1 - (level / 6) ** (1 / 50), rel=1e-4)  # none of 50, at δ/3 on both sides


def test_the_largest_mean_is_that_of_a_linear_programme():
    from scipy.optimize import linprog

    rng = np.random.default_rng(11)
    for _ in range(50):
        size = int(rng.integers(1, 8))
        inside, values = rng.dirichlet(np.ones(size)), rng.random(size)
        lower, upper = inside * rng.random(size), np.minimum(1.0, inside + rng.random(size))
        best = linprog(-values, A_eq=np.ones((1, size)), b_eq=[1.0], bounds=list(zip(lower, upper, strict=True)))
        assert largest_mean(values, lower, upper) == pytest.approx(-best.fun, abs=1e-9)
        assert largest_mean(values, lower, upper) >= -best.fun - 1e-12
