"""What is known of the teacher: the rows are the linear program over labels, and hold for all labels that agree with it."""

import itertools
import math
import re

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from printed import read_back
from scipy.optimize import linprog
from scipy.special import log_softmax
from scipy.stats import binom

from kd2m_theory import InputError, Pair, audit
from kd2m_theory.bounds import Known, Ladder, Settings, cross_entropy, teacher_risk_needed
from kd2m_theory.bounds.known import SINGLE
from kd2m_theory.bounds.rows.f1_means import mean_limits
from kd2m_theory.bounds.rows.t0_known_teacher import error_ends
from kd2m_theory.bounds.view import logits_view

RISK, ERROR = "T0.teacher_risk", "T0.teacher_error"


def draw(seed, n=6, classes=3, scale=2.0):
    rng = np.random.default_rng(seed)
    teacher = scale * rng.normal(size=(n, classes))
    return teacher, teacher + rng.normal(size=(n, classes)) * rng.choice([0.3, 2.0])


def losses(logits):
    return -log_softmax(logits, axis=1)


def row(name, teacher, student, labels=None, **told):
    return audit(Pair(logits_teacher=teacher, logits_student=student, labels=labels), only=[name], **told)[name]


def over_kernels(gains, costs, bounds):
    """The largest mean gain over label kernels with low ≤ mean of each cost ≤ high."""
    n, classes = gains.shape
    rows = [sign * cost.ravel() / n for cost, _ in zip(costs, bounds, strict=True) for sign in (1, -1)]
    found = linprog(
        -gains.ravel() / n,
        A_ub=np.array(rows),
        b_ub=[end for low, high in bounds for end in (high, -low)],
        A_eq=np.kron(np.eye(n), np.ones(classes)),
        b_eq=np.ones(n),
    )
    assert found.success
    return -found.fun


def ends(gains, costs, bounds):
    return -over_kernels(-gains, costs, bounds), over_kernels(gains, costs, bounds)


def with_room(interval):
    """What the row makes of a stated risk, which may have been computed in single precision."""
    return interval[0] * (1 - SINGLE), interval[1] * (1 + SINGLE)


@pytest.mark.parametrize("seed", range(12))
def test_the_risk_row_is_the_linear_program_over_label_kernels(seed):
    teacher, student = draw(seed, n=5 + seed, classes=2 + seed % 4)
    costs, gains = losses(teacher), losses(student) - losses(teacher)
    least, most = costs.min(axis=1).mean(), costs.max(axis=1).mean()
    low, high = sorted(np.random.default_rng(seed).uniform(least, most, 2))
    for told, interval in ((high, (0.0, high)), ((low, high), (low, high)), ((low, low), (low, low))):
        found = row(RISK, teacher, student, teacher_risk=told)
        assert (found.lower, found.upper) == pytest.approx(ends(gains, [costs], [with_room(interval)]), abs=1e-6)
    predicted = teacher.argmax(axis=1)
    named = {int(c): float(costs[predicted == c].mean(axis=1).mean()) for c in np.unique(predicted)[:2]}
    cells = [costs * (predicted == c)[:, None] for c in named]
    shares = [(0.0, named[c] * np.mean(predicted == c)) for c in named]
    found = row(RISK, teacher, student, teacher_risk=named)
    assert (found.lower, found.upper) == pytest.approx(ends(gains, cells, [*map(with_room, shares)]), abs=1e-6)


@pytest.mark.parametrize("seed", range(12))
def test_the_error_row_is_the_linear_program_over_label_kernels(seed):
    classes = 2 + seed % 3
    teacher, student = draw(seed, n=8, classes=classes)
    wrong, mine = (1.0 - np.eye(classes)[a.argmax(axis=1)] for a in (teacher, student))
    for interval in ((0.3, 0.3), (0.0, 0.1), (0.6, 0.9), (1.0, 1.0)):
        found = row(ERROR, teacher, student, teacher_error=interval)
        assert (found.lower, found.upper) == pytest.approx(ends(mine - wrong, [wrong], [interval]), abs=1e-9)
    predicted = teacher.argmax(axis=1)
    named = {int(c): (0.2, 0.5) for c in np.unique(predicted)}
    cells = [wrong * (predicted == c)[:, None] for c in named]
    shares = [tuple(end * np.mean(predicted == c) for end in named[c]) for c in named]
    found = row(ERROR, teacher, student, teacher_error=named)
    assert (found.lower, found.upper) == pytest.approx(ends(mine - wrong, cells, shares), abs=1e-9)


@given(seed=st.integers(0, 10**6), classes=st.integers(2, 3), slack=st.sampled_from([0.0, 0.05, 0.5]))
def test_every_labelling_with_the_stated_mean_lies_within(seed, classes, slack):
    n = 5
    teacher, student = draw(seed, n, classes)
    costs, gains, at = losses(teacher), losses(student) - losses(teacher), np.arange(n)
    every = np.array(list(itertools.product(range(classes), repeat=n)))
    risks, gaps = (table[at, every].mean(axis=1) for table in (costs, gains))
    chosen = np.random.default_rng(seed).integers(len(every))
    stated = (max(0.0, risks[chosen] - slack), risks[chosen] + slack)
    found = row(RISK, teacher, student, teacher_risk=stated)
    inside = (risks >= stated[0]) & (risks <= stated[1])
    assert np.all((gaps[inside] >= found.lower) & (gaps[inside] <= found.upper))
    wrong = (teacher.argmax(axis=1) != every).mean(axis=1)
    error_gaps = (student.argmax(axis=1) != every).mean(axis=1) - wrong
    stated = (max(0.0, wrong[chosen] - slack), min(1.0, wrong[chosen] + slack))
    found = row(ERROR, teacher, student, teacher_error=stated)
    inside = (wrong >= stated[0]) & (wrong <= stated[1])
    assert np.all((error_gaps[inside] >= found.lower) & (error_gaps[inside] <= found.upper))


@given(seed=st.integers(0, 10**6))
def test_more_knowledge_is_never_looser_and_none_is_t0(seed):
    teacher, student = draw(seed, n=9)
    costs, predicted = losses(teacher), teacher.argmax(axis=1)
    labels = np.random.default_rng(seed).integers(0, 3, len(teacher))
    own = costs[np.arange(len(labels)), labels]
    steps = [own.mean() * factor for factor in (1.0, 1.5, 4.0, 1e6)]
    found = [row(RISK, teacher, student, teacher_risk=stated) for stated in steps]
    exact = row(RISK, teacher, student, teacher_risk=(own.mean(), own.mean()))
    cells = row(RISK, teacher, student, teacher_risk={int(c): (own[predicted == c].mean(),) * 2 for c in np.unique(predicted)})
    for tighter, looser in itertools.pairwise([cells, exact, *found]):
        assert tighter.upper <= looser.upper + 1e-6
        assert tighter.lower >= looser.lower - 1e-6
    free = row("T0", teacher, student)
    assert (found[-1].lower, found[-1].upper) == pytest.approx((free.lower, free.upper), abs=1e-12)


def every_loss(logits):
    """Cross-entropy at every class in 60 digits."""
    result = []
    for row in logits:
        terms = [mpmath.mpf(float(value)) - mpmath.mpf(float(row.max())) for value in row]
        whole = mpmath.log(mpmath.fsum(mpmath.exp(term) for term in terms))
        result.append([whole - term for term in terms])
    return result


@pytest.mark.parametrize("scale", [1.0, 1e3, 1e-6])
@pytest.mark.parametrize("offset", [0.0, 1e8])
def test_the_risk_row_errs_on_the_safe_side(scale, offset):
    for seed in range(10):
        teacher, student = draw(seed, n=4, scale=scale)
        teacher, student = teacher + offset, student + 0.5 * offset
        with mpmath.workdps(60):
            exact = [every_loss(student), every_loss(teacher)]
            risk = float(sum(min(each) for each in exact[1]) / 4) * 1.5 + 1e-9
            found = row(RISK, teacher, student, teacher_risk=risk)
            for sign, end, name in ((1, found.upper, "λ, upper"), (-1, -found.lower, "λ, lower")):
                weight = mpmath.mpf(found.details[name])
                best = sum(
                    max(sign * (s - t) - weight * t for s, t in zip(*pairs, strict=True)) for pairs in zip(*exact, strict=True)
                )
                assert end >= weight * risk + best / 4


@given(
    d=st.lists(st.floats(0, 1), min_size=2, max_size=2).map(sorted),
    e=st.lists(st.floats(0, 1), min_size=2, max_size=2).map(sorted),
    classes=st.integers(2, 4),
)
def test_ends_of_intervals_are_the_extremes_over_them(d, e, classes):
    grid = [(a, b) for a in np.linspace(*d, 41) for b in np.linspace(*e, 41)]
    factor = 2 if classes == 2 else 1
    least = min(max(-a, a - 2 * b) for a, b in grid)
    most = max(a - factor * max(0.0, a + b - 1) for a, b in grid)
    lower, upper = error_ends(tuple(d), tuple(e), classes)
    assert least - 0.06 <= lower <= least + 1e-12
    assert most - 1e-12 <= upper <= most + 0.06


# Ends as shares of the gap.
@pytest.mark.parametrize("name", ["cw2", "alone"])
def test_a_known_risk_determines_most_of_the_gap_of_the_demonstration(name, demo_pairs):
    pair = demo_pairs[name]
    found = audit(pair, only=["F1.gap"])
    measured, clipping = found.measured, found.clipping
    gap, risk, wrong = measured["gap"].value, measured["risk_teacher"].value, 1 - measured["accuracy_teacher"].value
    for told, (low, high) in (((risk, risk), (0.8, 1.2)), (risk, (0.8, 1.2)), (2 * risk, (0.5, 1.7))):
        known = audit(pair, only=[RISK], teacher_risk=told)[RISK]
        assert known.guaranteed
        assert known.assumed == "vouched"  # that the inputs are the same
        assert low <= known.lower / gap <= 1 <= known.upper / gap <= high
    errors = audit(pair, only=[ERROR], teacher_error=(wrong, wrong))[ERROR]
    assert errors.holds
    assert errors.upper - errors.lower <= 2 * wrong + 1e-12
    clipped = clipping.risk_student - clipping.risk_teacher
    told = Known(clipping.risk_teacher, about="population")
    mine = audit(pair, only=["F3.teacher_risk"], teacher_risk=told)["F3.teacher_risk"]
    assert mine.level == pytest.approx(0.95)
    assert 0.45 <= mine.lower / clipped <= 1 <= mine.upper / clipped <= 1.8
    # A grid of λ with a union bound is wider at both ends.
    view = logits_view(pair, Settings())
    student, teacher = (np.minimum(losses(a), view.loss_bound) for a in (view.logits_student, view.logits_teacher))
    view.tail, grid = 0.05 / 8, []
    for weight in (0.5, 1.0, 2.0, 4.0):
        reach = weight * clipping.risk_teacher
        highest = mean_limits(view, (student - (1 + weight) * teacher).max(axis=1), -weight * view.loss_bound, view.loss_bound)[
            1
        ]
        floor = min(0.0, (weight - 1) * view.loss_bound)
        lowest = mean_limits(view, (student - (1 - weight) * teacher).min(axis=1), floor, max(1.0, weight) * view.loss_bound)[0]
        grid.append((lowest - reach, highest + reach))
    assert max(low for low, _ in grid) < mine.lower
    assert min(high for _, high in grid) > mine.upper


def test_labels_are_compared_with_what_was_stated():
    teacher, student = draw(0)
    labels = teacher.argmax(axis=1)
    labels[0] = (labels[0] + 1) % 3
    risk = float(losses(teacher)[np.arange(6), labels].mean())
    fine = row(RISK, teacher, student, labels, teacher_risk=risk)
    assert (fine.assumptions[-1].state, fine.guaranteed, fine.holds) == ("met", True, True)
    for told in (0.99 * risk, (1.01 * risk, 2 * risk)):
        wrong = row(RISK, teacher, student, labels, teacher_risk=told)
        assert not wrong.applicable
        assert f"the labels say that the teacher's risk on these inputs is {risk:.8g}" in wrong.why
    assert row(ERROR, teacher, student, labels, teacher_error=(1 / 6, 1 / 6)).holds
    assert "error rate on these inputs is 0.16666667" in row(ERROR, teacher, student, labels, teacher_error=0.1).why
    named = int(labels[1])
    assert (
        "where it predicts one of the classes named"
        in row(ERROR, teacher, student, labels, teacher_error={named: (0.9, 1.0)}).why
    )
    assert row(RISK, teacher, student, teacher_risk=risk).assumptions[-1].state == "vouched"


def test_a_row_that_was_told_nothing_says_what_to_pass_and_costs_nothing():
    teacher, student = draw(0, n=40)
    pair = Pair(logits_teacher=teacher, logits_student=student)
    rows = [RISK, ERROR, "F3.teacher_risk", "F3.teacher_error"]
    report = audit(pair, only=[*rows, "F3.T0"])
    assert report.share == pytest.approx(0.025)
    for name in rows:
        assert not report[name].applicable
        assert f"{name.split('.')[1]}=…" in report[name].why
    told = audit(pair, only=rows, teacher_risk=3.0, teacher_error=Known(0.2, about="population"))
    assert "does not follow from what was said of these inputs (teacher_risk=3)" in told["F3.teacher_risk"].why
    assert "does not follow from what was said of the population (teacher_error=population:0.2)" in told[ERROR].why
    assert told["F3.teacher_error"].applicable
    assert told.share == pytest.approx(0.025)  # a stated error costs nothing; the disagreement has two limits
    by_class = audit(pair, only=rows, teacher_error=Known({0: 0.2}, about="population"))
    assert "not one for each class" in by_class["F3.teacher_error"].why


def evaluation(n, seed=5):
    teacher, _ = draw(seed, n)
    labels = np.where(np.random.default_rng(seed).random(n) < 0.9, teacher.argmax(axis=1), 0)
    return Pair(logits_teacher=teacher, logits_student=teacher, labels=labels)


def test_an_evaluation_pays_for_one_limit_and_says_nothing_of_these_inputs():
    teacher, student = draw(0, n=40)
    pair = Pair(logits_teacher=teacher, logits_student=student)
    both = {"teacher_risk": evaluation(300), "teacher_error": evaluation(300)}
    report = audit(pair, only=[RISK, ERROR, "F3.teacher_risk", "F3.teacher_error"], **both)
    # Two limits of the mean and two of the disagreement, and one of each evaluation.
    assert report.share == pytest.approx(0.05 / 6)
    for name in ("F3.teacher_risk", "F3.teacher_error"):
        assert report[name].level == pytest.approx(1 - 3 * report.share)
        assert "its evaluation on 300 labelled inputs" in report[name].assumptions[2].evidence
    assert "says nothing about these" in report[RISK].why
    assert report["F3.teacher_risk"].details["ρ"] > losses(draw(5, 300)[0]).min(axis=1).mean()
    alone = audit(pair, only=["F3.teacher_error"], teacher_error=evaluation(300))
    assert alone["F3.teacher_error"].level == pytest.approx(0.95)


def test_a_class_that_is_not_named_is_bounded_as_without_knowledge():
    teacher, student = draw(0, n=60)
    pair = Pair(logits_teacher=teacher, logits_student=student)
    for other in ({0: 5.0}, {0: 5.0, 1: 0.7}):
        known = audit(pair, only=["F3.teacher_risk"], teacher_risk=Known(other, about="population"))["F3.teacher_risk"]
        assert -2 * math.log(3) <= known.lower < known.upper <= 2 * math.log(3)


@pytest.mark.long
def test_a_known_teacher_covers_the_population():
    """As the test of all rows about the population, with what is true there; and by class, and from an evaluation."""
    rng = np.random.default_rng(3)
    atoms, n, delta, draws = 40, 50, 0.3, 60
    labels = rng.integers(0, 3, atoms)
    teacher = 2.0 * np.eye(3)[labels] + rng.normal(size=(atoms, 3))
    student = teacher + rng.normal(size=(atoms, 3))
    at, predicted = np.arange(atoms), teacher.argmax(axis=1)
    mine, theirs = (np.minimum(losses(a)[at, labels], 2.0) for a in (student, teacher))
    true = {
        "F3.teacher_risk": (mine - theirs).mean(),
        "F3.teacher_error": np.mean((student.argmax(axis=1) != labels) * 1.0 - (predicted != labels)),
    }
    cells = Known({c: theirs[predicted == c].mean() for c in range(3)}, about="population")
    for risk in (Known(theirs.mean(), about="population"), cells, None):
        misses = dict.fromkeys(true, 0)
        for _ in range(draws):
            drawn, other = rng.integers(0, atoms, n), rng.integers(0, atoms, 200)
            pair = Pair(logits_teacher=teacher[drawn], logits_student=student[drawn])
            told = Pair(logits_teacher=teacher[other], logits_student=student[other], labels=labels[other])
            error = told if risk is None else Known(np.mean(predicted != labels), about="population")
            report = audit(
                pair, delta, only=list(true), loss_bound=2.0, teacher_risk=told if risk is None else risk, teacher_error=error
            )
            for name, value in true.items():
                misses[name] += not report[name].lower <= value <= report[name].upper
        assert max(misses.values()) <= binom.ppf(0.999, draws, delta)


def test_a_risk_that_no_labels_give_is_refused():
    teacher, student = draw(0, n=200)
    costs = losses(teacher)
    least, most = costs.min(axis=1).mean(), costs.max(axis=1).mean()
    for told, words in (
        (0.9 * least, "below the least that any labels of these inputs"),
        ((1.1 * most, 99.0), "above the most"),
    ):
        with pytest.raises(InputError, match=words):
            row(RISK, teacher, student, teacher_risk=told)
    assert row(RISK, teacher, student, teacher_risk=least * (1 + 1e-9)).applicable
    with pytest.raises(InputError, match=r"where it predicts class 1 is .* below the least"):
        row(RISK, teacher, student, teacher_risk={1: 1e-4})
    # A population may have a smaller risk than the least of these inputs, but not by so much.
    assert row("F3.teacher_risk", teacher, student, teacher_risk=Known(0.9 * least, about="population")).applicable
    with pytest.raises(InputError, match="below the least that any labels could give in a population"):
        row("F3.teacher_risk", teacher, student, teacher_risk=Known(0.1 * least, about="population"))


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"teacher_risk": math.nan}, "teacher_risk: what is known is nan; give finite numbers"),
        ({"teacher_risk": -0.1}, "is -0.1; give finite numbers ≥ 0"),
        ({"teacher_risk": math.inf}, "is inf; give finite numbers ≥ 0"),
        ({"teacher_risk": True}, "is True; give finite numbers ≥ 0"),
        ({"teacher_risk": "0.3"}, "is '0.3'; give finite numbers ≥ 0"),
        ({"teacher_risk": (0.3, 0.2)}, r"is \(0.3, 0.2\); the lower end comes first"),
        ({"teacher_risk": (0.1, 0.2, 0.3)}, r"has 3 numbers; give an upper bound or \(lower, upper\)"),
        ({"teacher_risk": {}}, "empty mapping; name at least one predicted class"),
        ({"teacher_risk": {"cat": 0.3}}, "'cat' is not a class"),
        ({"teacher_risk": {7: 0.3}}, "teacher_risk names class 7; classes are 0 to 2"),
        ({"teacher_error": {1: (0.1, math.nan)}}, "what is known of class 1 is nan"),
        ({"teacher_error": 3}, r"teacher_error is 3; an error rate is a share of inputs, at most 1 \(0.02 for 2 %\)"),
        (
            {"teacher_error": Pair(logits_teacher=2 * np.eye(3), logits_student=2 * np.eye(3))},
            "teacher_error is a pair without labels",
        ),
        (
            {"teacher_risk": Pair([[1.0], [2.0]], [[1.0], [2.0]], labels=[0, 1])},
            "teacher_risk is a pair without logits of the teacher",
        ),
        (
            {"teacher_risk": Pair(logits_teacher=2 * np.eye(2), logits_student=2 * np.eye(2), labels=[0, 1])},
            "an evaluation of a teacher with 2 classes, and the audited one has 3",
        ),
    ],
)
def test_what_cannot_be_known_is_refused(told, words):
    teacher, student = draw(0)
    with pytest.raises(InputError, match=words):
        row(RISK, teacher, student, **told)


def test_networks_on_different_inputs_have_no_row_of_a_known_teacher():
    teacher, student = draw(0, n=40)
    pair = Pair(logits_teacher=teacher, logits_student=student[:20], inputs_paired=False)
    for about in ("sample", "population"):
        told = {"teacher_risk": Known(0.5, about), "teacher_error": Known(0.5, about)}
        report = audit(pair, only=[RISK, ERROR, "F3.teacher_risk", "F3.teacher_error"], **told)
        assert all("run both networks over the same inputs" in row.why for row in report.rows)


def test_an_unknown_subject_is_refused():
    with pytest.raises(InputError, match="about is 'world'; choose 'sample'"):
        Known(0.3, about="world")


def test_the_risk_that_a_gap_needs_is_the_inverse_of_the_row():
    for seed in range(6):
        teacher, student = draw(seed, n=20)
        pair = Pair(logits_teacher=teacher, logits_student=student)
        free = row("T0", teacher, student)
        likeliest = losses(teacher).min(axis=1).mean()
        for more in np.linspace(0.2, 0.9, 3) * free.upper:
            needed = teacher_risk_needed(pair, more)
            if needed > likeliest * 1.001:
                assert row(RISK, teacher, student, teacher_risk=needed).upper == pytest.approx(more, abs=1e-4)
            else:
                assert row(RISK, teacher, student, teacher_risk=likeliest * 1.002).upper > more
        assert teacher_risk_needed(pair, 1.01 * free.upper) == math.inf
    with pytest.raises(InputError, match="more is nan"):
        teacher_risk_needed(pair, math.nan)
    with pytest.raises(InputError, match="no logits of both networks on the same inputs"):
        teacher_risk_needed(Pair(logits_teacher=teacher, logits_student=student, inputs_paired=False), 0.1)


@pytest.mark.parametrize("seed", range(4))
def test_the_verdict_says_what_is_true_for_all_labels(seed):
    teacher, student = draw(seed, n=5)
    report = audit(Pair(logits_teacher=teacher, logits_student=student), only=["T0"])
    above, below = report["T0"].details.values()
    said = " ".join(report.verdict.findings)
    if below > 0:  # rounded down to three digits
        shown = read_back(re.search(r"at least (\S+) nats less twice", said)[1])
        assert 0 <= below - shown <= 10.0 ** (math.floor(math.log10(below)) - 2)
    every = np.array(list(itertools.product(range(3), repeat=5)))
    mine, theirs = (losses(a)[np.arange(5), every].mean(axis=1) for a in (student, teacher))
    assert np.all(mine - theirs <= theirs + above)
    assert np.all(mine - theirs >= below - 2 * theirs)
    assert (mine - 2 * theirs).max() == pytest.approx(above)
    assert (mine + theirs).min() == pytest.approx(below)
    apart = report.measured["disagreement"].value
    wrong = (teacher.argmax(axis=1) != every).mean(axis=1)
    more = (student.argmax(axis=1) != every).mean(axis=1) - wrong
    assert np.all(more[wrong < apart / 2 - 1e-12] > 0)
    assert more.max() == pytest.approx(apart)
    assert ("The student errs more than its teacher on these samples unless" in said) == (apart > 0)
    labelled = audit(Pair(logits_teacher=teacher, logits_student=student, labels=every[0]), only=["T0"])
    assert not labelled["T0"].details
    assert "unless" not in " ".join(labelled.verdict.findings)


def test_limits_of_an_evaluation_are_named_once():
    teacher, student = draw(0, n=40)
    pair = Pair(logits_teacher=teacher, logits_student=student)
    ladder = Ladder(pair, 0.05, ["F3.teacher_risk"], Settings(teacher_risk=evaluation(50)))
    assert ladder.limits == ("F3.teacher_risk, lower", "F3.teacher_risk, upper", "risk of the teacher's evaluation, upper")


def test_a_risk_of_single_precision_is_no_contradiction():
    rng = np.random.default_rng(0)
    for _ in range(20):
        labels = rng.integers(0, 4, 60)
        logits = (rng.normal(size=(60, 4)) + 6 * np.eye(4)[labels]).astype(np.float32)
        single = float(np.mean(cross_entropy(logits, labels).astype(np.float32), dtype=np.float32))
        for known in (None, labels):
            pair = Pair(logits_teacher=logits, logits_student=logits[:, ::-1], labels=known)
            for told in (single, (single, single)):
                assert audit(pair, only=["T0.teacher_risk"], teacher_risk=told)["T0.teacher_risk"].applicable


def test_a_number_in_an_array_is_a_number():
    assert Known(np.array(1.5)).value == (0.0, 1.5)
