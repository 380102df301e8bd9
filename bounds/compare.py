"""Several students on the same inputs: simultaneous intervals for their differences, and which of them is surely better.

Networks are compared in two measures, error rates and clipped cross-entropy, each pair of students and each student with the
teacher. All intervals hold together with probability 1 − δ, by a union over their limits (F6.union). Decisions are about one
sign each; all of them are right together with probability 1 − δ, by Holm's method (F6.holm), which decides whatever the
intervals decide, and sometimes more.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, get_args

import numpy as np
from scipy.special import softmax

from kd2m_theory.arrays import Float64, Int64, in_order_of_appearance
from kd2m_theory.bounds.clipping import refuse_bound_of_the_sample
from kd2m_theory.bounds.content_order import content_key, order_of_two
from kd2m_theory.bounds.losses import clipped, cross_entropy, errors
from kd2m_theory.bounds.rows.f1_means import clipped_losses, error_difference, mean_limits
from kd2m_theory.bounds.settings import Settings
from kd2m_theory.bounds.view import View, logits_view
from kd2m_theory.errors import InputError
from kd2m_theory.estimators import Confidence
from kd2m_theory.estimators.interval_inputs import check_chosen_delta
from kd2m_theory.estimators.paired import paired_limit
from kd2m_theory.estimators.scale import round_up
from kd2m_theory.logits import Logits
from kd2m_theory.pair import Pair, check_pair
from kd2m_theory.side_by_side import by_rows

Measure = Literal["errors", "cross_entropy"]
MEASURES: tuple[Measure, ...] = get_args(Measure)
TEACHER = "teacher"
# A measure, the network that is better in it, and the one that is worse.
Claim: TypeAlias = tuple[Measure, str, str]

# Levels at which Holm's method tests, between that of the first step and that of the last.
_LEVELS = 4
# Logits of one network that were computed twice, in batches of other sizes, differ by less, relative to the largest.
_COMPUTED_TWICE = 1e-4


@dataclass(frozen=True, slots=True)
class NetworkValues:
    """What one network does on the samples; means over groups of the mean within a group where there are groups.

    Attributes:
        name: the student's name, or "teacher".
        error: error rate.
        cross_entropy: mean cross-entropy in nats.
        clipped_cross_entropy: mean of min(cross-entropy, B) in nats, which the intervals are about.
        clipped_share: share of the samples on which cross-entropy exceeds B.
        excess_confidence: mean confidence (probability of the predicted class) less accuracy: positive for a network that is
            over-confident on these samples.

    Example:
        >>> from kd2m_theory import compare
        >>> logits, labels = [[2.0, 0.0], [1.0, 0.0]], [0, 1]
        >>> pair = Pair(labels=labels, logits_teacher=logits, logits_student=logits)
        >>> found = compare({"one": pair, "other": pair}).networks[0]
        >>> found.name, found.error, round(found.cross_entropy, 4)
        ('one', 0.5, 0.7201)
    """

    name: str
    error: float
    cross_entropy: float
    clipped_cross_entropy: float
    clipped_share: float
    excess_confidence: float


@dataclass(frozen=True, slots=True)
class Difference:
    """One network less another, in both measures.

    Attributes:
        first: name of a student.
        second: name of another student, or "teacher".
        errors: error rate of `first` less that of `second`, with its interval for the population.
        cross_entropy: the same of clipped cross-entropy, in nats.
        errors_among: the largest number of hypotheses among which Holm's method still decides the sign of the difference of
            errors; 0 if it does not even where all that can be decided is decided.
        cross_entropy_among: the same of clipped cross-entropy.

    Example:
        >>> from kd2m_theory import compare
        >>> right, labels = 4 * np.eye(2)[np.arange(100) % 2], np.arange(100) % 2
        >>> pairs = [Pair(labels=labels, logits_teacher=right, logits_student=each) for each in (right, -right)]
        >>> found = compare(pairs, names=["right", "wrong"])["right", "wrong"]
        >>> found.errors.value, found.claim("errors"), found.among("errors") == hypotheses(3)
        (-1.0, ('errors', 'right', 'wrong'), True)
    """

    first: str
    second: str
    errors: Confidence
    cross_entropy: Confidence
    errors_among: int
    cross_entropy_among: int

    def value(self, measure: Measure) -> Confidence:
        """The difference in a measure."""
        return self.errors if measure == "errors" else self.cross_entropy

    def among(self, measure: Measure) -> int:
        """`errors_among` or `cross_entropy_among`."""
        return self.errors_among if measure == "errors" else self.cross_entropy_among

    def claim(self, measure: Measure) -> Claim | None:
        """Which network the samples say is better; None where they are equal."""
        value = self.value(measure).value
        if value == 0:
            return None
        return (measure, self.first, self.second) if value < 0 else (measure, self.second, self.first)


@dataclass(frozen=True, slots=True)
class Compared:
    """Several students and their teacher on the same inputs.

    Attributes:
        networks: the students in the order in which they were given, then the teacher.
        differences: every pair of students, then each student less the teacher.
        share: failure probability of each limit: δ over their number.
        bound: B in nats, where cross-entropy is clipped.
        n: samples.
        groups: groups of the samples; None where each is a draw of its own.
        classes: classes K.
    """

    networks: tuple[NetworkValues, ...]
    differences: tuple[Difference, ...]
    share: float
    bound: float
    n: int
    groups: int | None
    classes: int


def hypotheses(networks: int) -> int:
    """Hypotheses "this network is not better than that one" in both measures: as many as the intervals have limits.

    Example:
        >>> hypotheses(3)
        12
    """
    return len(MEASURES) * networks * (networks - 1)


def levels(networks: int) -> tuple[int, ...]:
    """Numbers of hypotheses, least first, over which δ may be divided in a step of Holm's method.

    Of the two about a pair of networks one is true, so half of all is true whatever is decided.

    Example:
        >>> levels(3)
        (6, 8, 9, 11, 12)
    """
    every = hypotheses(networks)
    return tuple(sorted({every - every // 2 * step // _LEVELS for step in range(_LEVELS + 1)}))


def decided(among: Mapping[Claim, int], number: int) -> frozenset[Claim]:
    """What Holm's method decides, and what follows from it: who is better than one that is better than a third is better.

    Each step divides δ among the hypotheses that may still be true: all but those that are refuted. If no decision so far is
    wrong, the true ones are among them, so the next is wrong with the probability that all true ones together have, at most δ.

    Args:
        among: for each claim the largest number of hypotheses over which δ may be divided so that it is still decided.
        number: of all hypotheses.
    """
    found: frozenset[Claim] = frozenset()
    while True:
        left = number - len(found)
        more = _closed(found | {claim for claim, most in among.items() if most >= left})
        if more == found:
            return found
        found = more


def _closed(claims: frozenset[Claim]) -> frozenset[Claim]:
    """The claims and what follows from them by transitivity, in each measure."""
    while True:
        more = {(m, a, c) for m, a, b in claims for other, b_again, c in claims if (m, b) == (other, b_again) and a != c}
        if more <= claims:
            return claims
        claims |= more


def compared(pairs: Mapping[str, Pair], delta: float, loss_bound: float | None = None) -> Compared:
    """Compare students, each a pair with the same teacher on the same inputs, by name.

    Args:
        pairs: a labelled pair of each of two students or more.
        delta: failure probability of all intervals together, and of all decisions together.
        loss_bound: B in nats, chosen before the samples were seen, where cross-entropy is clipped; 2 ln K if None.

    Raises:
        InputError: fewer than two students, a name that is empty or "teacher", a pair without labels or logits, inputs,
            labels, groups or teachers that differ, another order of the rows, or a loss bound that is the sample's own
            largest loss.
    """
    delta, settings = check_chosen_delta(delta), Settings(loss_bound=loss_bound)
    views = {name: _view(name, pair, settings) for name, pair in _checked(pairs).items()}
    (reference, one), *others = views.items()
    for name, view in others:
        _check_same_inputs(reference, one, name, view)
    for view in views.values():
        refuse_bound_of_the_sample(loss_bound, (view,))
    logits = {name: view.stored_logits_student for name, view in views.items()} | {TEACHER: one.stored_logits_teacher}
    share = delta / hypotheses(len(logits))
    names = list(views)
    couples = [(first, second) for k, first in enumerate(names) for second in names[k + 1 :]]
    couples += [(name, TEACHER) for name in names]
    return Compared(
        networks=tuple(_values(name, each, one) for name, each in logits.items()),
        differences=tuple(_difference(couple, logits, one, delta, share) for couple in couples),
        share=share,
        bound=one.loss_bound,
        n=one.samples[1],
        groups=None if one.groups is None else one.units,
        classes=one.classes,
    )


def check_names(names: Sequence[str]) -> None:
    """Refuse names that do not tell students apart.

    Raises:
        InputError: fewer than two, one that is empty, several lines or "teacher", or one twice.
    """
    if len(names) < 2:
        raise InputError(f"there is {len(names)} student; a comparison needs at least two")
    for k, name in enumerate(names):
        if not isinstance(name, str) or not name.strip() or not name.isprintable() or name == TEACHER:
            raise InputError(f'the name of a student is {name!r}; give it in one line of text, other than "{TEACHER}"')
        if name in names[:k]:
            raise InputError(f"two students are called {name!r}; give each a name of its own")


def _checked(pairs: Mapping[str, Pair]) -> Mapping[str, Pair]:
    check_names(list(pairs))
    for name, pair in pairs.items():
        if not check_pair(pair, name).inputs_paired:
            raise InputError(f"{name} says inputs_paired=False; run student and teacher over the same inputs")
        if pair.labels is None:
            raise InputError(
                f"{name} is unlabelled, and without labels no sample shows which of two students is better; label inputs "
                "(kd2m label plan), or audit each pair by itself"
            )
    return pairs


def _view(name: str, pair: Pair, settings: Settings) -> View:
    view = logits_view(pair, settings)
    if view is None:
        raise InputError(f"{name} has no logits of both networks; pass logits, or features and head_weight")
    view.groups = pair.groups
    return view


def _check_same_inputs(reference: str, one: View, name: str, other: View) -> None:
    """Refuse a pair of other inputs, or of the same ones in another order, or with another teacher.

    Raises:
        InputError: says which, and in how many rows.
    """
    n, m = len(one.labels), len(other.labels)
    if n != m:
        raise InputError(f"{reference} has {n:,} rows and {name} has {m:,}; students are compared on the same inputs")
    if one.classes != other.classes:
        raise InputError(f"{reference} has {one.classes} classes and {name} has {other.classes}; compare like with like")
    moved = ~_same_rows(one.stored_logits_teacher, other.stored_logits_teacher)
    labelled = one.labels != other.labels
    if moved.any() or labelled.any():
        if _same_in_another_order(one, other):
            raise InputError(f"{name} has the rows of {reference} in another order; save both in the same order")
        if labelled.any():
            where = f"{int(labelled.sum()):,} of {n:,} rows"
            raise InputError(
                f"the labels of {reference} and {name} differ in {where}; students are compared on the same inputs"
            )
        raise InputError(
            f"the teachers of {reference} and {name} have other logits in {int(moved.sum()):,} of {n:,} rows; students are "
            "compared with one teacher on the same inputs"
        )
    groups = (one.groups is None, other.groups is None)
    if groups[0] != groups[1] or not np.array_equal(one.groups, other.groups):  # type: ignore[arg-type]
        raise InputError(f"the groups of {reference} and {name} differ; give both pairs the same groups")


def _same_rows(one: Logits, other: Logits) -> np.ndarray:
    """Whether rows of logits are the same, but for rounding."""

    def same(one: Float64, other: Float64) -> np.ndarray:
        scale = np.maximum(1.0, np.abs(one).max(axis=1))
        return np.asarray(np.abs(one - other).max(axis=1) <= _COMPUTED_TWICE * scale)

    return by_rows(same, one, other)


def _same_in_another_order(one: View, other: View) -> bool:
    orders = [np.lexsort((*view.logits_teacher.T, view.labels)) for view in (one, other)]
    labels = one.labels[orders[0]], other.labels[orders[1]]
    logits = one.stored_logits_teacher.taken(orders[0]), other.stored_logits_teacher.taken(orders[1])
    return bool(np.array_equal(*labels) and _same_rows(*logits).all())


def _values(name: str, logits: Logits, shared: View) -> NetworkValues:
    def mean(values: Float64) -> float:
        means = shared.averaged(values)
        return math.fsum(means) / len(means)

    losses, wrong = cross_entropy(logits, shared.labels), errors(logits, shared.labels).astype(np.float64)
    return NetworkValues(
        name=name,
        error=mean(wrong),
        cross_entropy=mean(losses),
        clipped_cross_entropy=mean(clipped(losses, shared.loss_bound)),
        clipped_share=mean((losses > shared.loss_bound).astype(np.float64)),
        excess_confidence=mean(by_rows(lambda part: softmax(part, axis=1).max(axis=1), logits) + wrong - 1.0),
    )


def _difference(couple: tuple[str, str], logits: Mapping[str, Logits], shared: View, delta: float, share: float) -> Difference:
    first, second = couple
    # Which of two students is first must not move a number.
    keys = [content_key(logits[name], shared.labels) for name in couple]
    turned = second != TEACHER and keys[0] < keys[1]
    student, teacher = couple[::-1] if turned else couple
    view = _of_two(logits[student], logits[teacher], shared)
    every, counts = hypotheses(len(logits)), levels(len(logits))
    errors_at, cross_entropy_at = _errors(view), _cross_entropy(view)
    errors_among = _among(_errors_differ(view, errors_at), delta, counts)
    cross_entropy_among = _among(lambda tail: _excludes_zero(cross_entropy_at(tail)), delta, counts)
    return Difference(
        first=first,
        second=second,
        errors=_shown(errors_at(share), errors_among == every, turned),
        cross_entropy=_shown(cross_entropy_at(share), cross_entropy_among == every, turned),
        errors_among=errors_among,
        cross_entropy_among=cross_entropy_among,
    )


def _shown(found: Confidence, sure: bool, turned: bool) -> Confidence:
    """An interval, widened to 0 if it excludes 0 and a larger failure probability would not; turned round if asked for."""
    if not sure:
        found = replace(found, lower=min(found.lower, 0.0), upper=max(found.upper, 0.0))
    if not turned:
        return found
    return replace(found, value=0.0 - found.value, lower=0.0 - found.upper, upper=0.0 - found.lower)


def _of_two(first: Logits, second: Logits, shared: View) -> View:
    """Two networks as student and teacher, their samples in the order of their content."""
    order, like_chance = order_of_two(first, second, shared.labels, shared.groups)
    labels: Int64 = shared.labels[order]
    return View(
        space="logits",
        features_student=None,
        features_teacher=None,
        weight=None,
        stored_logits_student=first.taken(order),
        stored_logits_teacher=second.taken(order),
        labels_student=labels,
        labels_teacher=labels,
        paired=True,
        settings=shared.settings,
        groups=None if shared.groups is None else in_order_of_appearance(shared.groups[order]),
        like_chance=like_chance,
    )


At: TypeAlias = Callable[[float], Confidence]


def _errors(view: View) -> At:
    return lambda tail: error_difference(view, 2 * tail)


def _errors_differ(view: View, at: At) -> Callable[[float], bool]:
    """Whether an interval for the difference of errors excludes 0, from the one of its limits that could."""
    if view.groups is not None:
        return lambda tail: _excludes_zero(at(tail))
    wrong = view.wrong()
    few, many = sorted((int((wrong[0] & ~wrong[1]).sum()), int((wrong[1] & ~wrong[0]).sum())))
    return lambda tail: few < many and round_up(paired_limit(few, many, len(wrong[0]), tail)) < 0


def _excludes_zero(found: Confidence) -> bool:
    return not found.lower <= 0 <= found.upper


def _cross_entropy(view: View) -> At:
    student, teacher = clipped_losses(view)
    change, bound = student - teacher, view.loss_bound
    means = view.averaged(change)

    def at(tail: float) -> Confidence:
        view.tail = tail
        lower, upper = mean_limits(view, change, -bound, bound)
        return Confidence(
            value=math.fsum(means) / len(means),
            lower=lower,
            upper=upper,
            level=1 - 2 * tail,
            unit="nats",
            method="betting",
            guaranteed=True,
            assumptions=f"independent samples, cross-entropy clipped at {bound:g}",
            least=-bound,
            most=bound,
        )

    return at


def _among(sure: Callable[[float], bool], delta: float, counts: Sequence[int]) -> int:
    """The largest of the numbers such that the sign is sure at δ over it and over every smaller one.

    Every smaller one too: a limit need not move one way as its failure probability falls, and Holm's method needs decisions
    that a larger probability never takes back.

    Args:
        sure: whether a limit excludes 0 at a failure probability.
        delta: δ.
        counts: the numbers, least first.
    """
    most = 0
    for count in counts:
        if not sure(delta / count):
            break
        most = count
    return most
