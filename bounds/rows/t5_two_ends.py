"""T5 from two ends: how much of the gap slope and curvature of the loss at both ends determine.

The change of the loss of a pair of points can be computed. These rows ask another question: what is left of it if only slopes
(T5.envelope), or slopes and curvatures (T5.sharp), at the teacher's and the student's point are known, and the coupling of the
two laws of a class is free? `two_ends` encloses the change of one pair. Each side is then tightened over couplings, one sparse
transport problem per class, on the pairs with the least Jeffreys divergence φ'(1) − φ'(0) of their predictions, which is what
convexity alone leaves open. Any plan gives a valid side.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from kd2m_theory.arrays import Float64, Int64
from kd2m_theory.bounds.class_pairs import too_many
from kd2m_theory.bounds.rows import t5_convex
from kd2m_theory.bounds.rows.row import CLASS_SHARES, CROSS_ENTROPY, LABELS, Row, Sides, common, worded
from kd2m_theory.bounds.two_ends import Cloud, Enclosures, cloud_of, enclosures
from kd2m_theory.bounds.view import Space, View
from kd2m_theory.bounds.work import two_ends
from kd2m_theory.estimators import Enclosure
from kd2m_theory.estimators.distances import combine_classes
from kd2m_theory.estimators.sparse_transport import UnitPlan, cheap_plan, cheapest_pairs, merged, monotone_plan
from kd2m_theory.logits import Logits
from kd2m_theory.side_by_side import side_by_side

# Pairs that are tried for each point; all where a class has no more than three times as many points.
_NEAREST = 32
# An excess over the change of the loss, as a share of its size, that is not worth a better plan; two classes have no other.
_ENOUGH = 1e-7
# The points of a large class are matched again among neighbours, in the order of the probability of each of so many classes.
_ORDERS = 3
# Pair by pair these rows are never worse than the older ones. Along a plan of few pairs they might be; where no class has more
# pairs than this, the older rows are computed too and the better side is kept.
_OLDER = 2**18
# Logits that are looked at together.
_TOGETHER = 2**22


@dataclass(frozen=True, slots=True)
class _ClassSides:
    """What two ends say about the gap of one class, nats: minus the lower side, and the upper one.

    Attributes:
        envelope: from the slopes.
        sharp: from slopes and curvatures.
        pairs: pairs of points that were tried.
        every: whether these are all.
    """

    envelope: tuple[float, float]
    sharp: tuple[float, float]
    pairs: int
    every: bool


def _candidates(student: Cloud, teacher: Cloud) -> Int64:
    """Keys of each point's pairs of least Jeffreys divergence Σ (p_S − p_T)(a_S − a_T); of all pairs where they are few."""
    n, m = len(student.labels), len(teacher.labels)
    if min(n, m) <= 3 * _NEAREST:
        return np.arange(n * m)
    (p_s, a_s), (p_t, a_t) = ((each.probability, np.maximum(each.logits, -1e3)) for each in (student, teacher))
    own_s, own_t = np.einsum("ij,ij->i", p_s, a_s), np.einsum("ij,ij->i", p_t, a_t)
    return cheapest_pairs(np.hstack((p_s, a_s)), np.hstack((a_t, p_t)), own_s, own_t, _NEAREST)


def _starts(student: Cloud, teacher: Cloud, paired: bool) -> tuple[UnitPlan, ...]:
    """Plans from the start: the points in the order of their losses, and each input with itself."""
    by_loss = monotone_plan(np.argsort(student.losses, kind="stable"), np.argsort(teacher.losses, kind="stable"))
    return (by_loss, monotone_plan(*(np.arange(len(student.losses)),) * 2)) if paired else (by_loss,)


def _orders(cloud: Cloud) -> tuple[Int64, ...]:
    """The points by their loss, and by the probabilities that vary most."""
    spread = np.argsort(-cloud.probability.std(axis=0), kind="stable")[:_ORDERS]
    values = (cloud.losses, *(cloud.probability[:, c] for c in spread))
    return tuple(np.argsort(each, kind="stable") for each in values)


@dataclass(frozen=True, slots=True)
class _Tried:
    """The pairs of one class that are looked at.

    Attributes:
        student: the points of the student.
        teacher: the points of the teacher.
        starts: plans to begin with.
        keys: i·m + j of the pairs, increasing.
    """

    student: Cloud
    teacher: Cloud
    starts: tuple[UnitPlan, ...]
    keys: Int64


def _tried(view: View, student: Cloud, teacher: Cloud, label: int) -> _Tried:
    n, m = len(student.labels), len(teacher.labels)
    if too_many(n, m, view.classes):
        starts = view.plans(label)
        return _Tried(student, teacher, starts, merged(*(start.keys(m) for start in starts)))
    starts = _starts(student, teacher, view.paired)
    return _Tried(student, teacher, starts, merged(_candidates(student, teacher), *(start.keys(m) for start in starts)))


def _class_sides(tried: _Tried, found: Enclosures, paired: bool) -> _ClassSides:
    student, teacher, starts, keys = tried.student, tried.teacher, tried.starts, tried.keys
    shape = len(student.labels), len(teacher.labels)
    rows, columns = np.divmod(keys, shape[1])
    change = student.losses[rows] - teacher.losses[columns]
    orders: tuple[Int64, ...] = ()
    if not too_many(*shape, student.logits.shape[1]):  # beyond, the plans to begin with have been improved cell by cell
        orders = _orders(student) * (1 if paired else 3)  # without a plan that is near the best one from the start
    enough = _ENOUGH * (float(np.abs(change).mean()) + _ENOUGH)

    def least(side: Float64, change: Float64) -> float:
        """The mean of the side along a plan that keeps its excess over the change of the loss small."""
        excess = np.where(np.isfinite(side), np.maximum(side - change, 0.0), np.inf)
        start = min(starts, key=lambda start: start.mean(excess[np.searchsorted(keys, start.keys(shape[1]))]))
        plan = cheap_plan(keys, excess, shape, start, orders, enough)
        return plan.mean(side[np.searchsorted(keys, plan.keys(shape[1]))])

    envelope = least(-found.envelope_lower, -change), least(found.envelope_upper, change)
    sharp = least(-found.sharp_lower, -change), least(found.sharp_upper, change)
    # In exact arithmetic curvatures never hurt; along another plan they might.
    return _ClassSides(
        envelope, (min(sharp[0], envelope[0]), min(sharp[1], envelope[1])), len(keys), len(keys) == shape[0] * shape[1]
    )


def _batches(view: View) -> Iterator[list[int]]:
    """Classes a few at a time, as many as have points that fill an array."""
    labels: list[int] = []
    size = 0
    for label, (rows, columns) in view.members().items():
        labels.append(label)
        size += (len(rows) + len(columns)) * view.classes
        if size > _TOGETHER:
            yield labels
            labels, size = [], 0
    if labels:
        yield labels


def _some_classes(view: View, labels: Sequence[int]) -> dict[int, _ClassSides]:
    members = view.members()

    def cloud(logits: Logits, points: Sequence[Int64]) -> Cloud:
        return cloud_of(logits[np.concatenate(points)], np.repeat(labels, [len(each) for each in points]))

    student = cloud(view.stored_logits_student, [members[label][0] for label in labels])
    teacher = cloud(view.stored_logits_teacher, [members[label][1] for label in labels])
    tried, rows, columns, first_row, first_column = [], [], [], 0, 0
    for label in labels:
        n, m = map(len, members[label])
        mine = student.part(slice(first_row, first_row + n)), teacher.part(slice(first_column, first_column + m))
        tried.append(_tried(view, *mine, label))
        row, column = np.divmod(tried[-1].keys, m)
        rows.append(row + first_row)
        columns.append(column + first_column)
        first_row, first_column = first_row + n, first_column + m
    found = enclosures(student, teacher, np.concatenate(rows), np.concatenate(columns))
    splits = np.cumsum([len(each) for each in rows])[:-1]
    by_class = zip(*(np.split(getattr(found, name), splits) for name in Enclosures.__dataclass_fields__), strict=True)
    sides = side_by_side(
        (len(each.student.labels) * len(each.teacher.labels), partial(_class_sides, each, Enclosures(*parts), view.paired))
        for each, parts in zip(tried, by_class, strict=True)
    )
    return dict(zip(labels, sides, strict=True))


def _all_classes(view: View) -> dict[int, _ClassSides]:
    def compute() -> dict[int, _ClassSides]:
        result: dict[int, _ClassSides] = {}
        for labels in _batches(view):
            result |= _some_classes(view, labels)
        return result

    return view.shared("two_ends", compute, of_logits=True)


def _older(view: View, costs: t5_convex.BothSides) -> Mapping[int, tuple[float, float]]:
    """The sides of an older row, where its transport problems are small."""
    counts = [np.bincount(labels, minlength=view.classes) for labels in view.both_labels()]
    if all(each.every for each in _all_classes(view).values()) or (counts[0] * counts[1]).max() > _OLDER:
        return {}
    lower, upper = costs(view)
    return {label: (lower[label].upper, upper[label].upper) for label in view.shares}


def _combined(view: View, sides: Mapping[int, tuple[float, float]], costs: t5_convex.BothSides) -> Sides:
    older = _older(view, costs)
    totals = []
    for which in (0, 1):
        best = {label: min(mine[which], older.get(label, mine)[which]) for label, mine in sides.items()}
        parts = {label: Enclosure(value, value, "nats", "sparse transport") for label, value in best.items()}
        totals.append(combine_classes(parts, view.shares, 1).upper + view.replay_error)
    tried = sum(each.pairs for each in _all_classes(view).values())
    return Sides(-totals[0], totals[1], details={"pairs of points tried": float(tried)})


def _envelope(view: View) -> Sides:
    sides = {label: each.envelope for label, each in _all_classes(view).items()}
    return _combined(view, sides, t5_convex.slope_costs)


def _sharp(view: View) -> Sides:
    sides = {label: each.sharp for label, each in _all_classes(view).items()}
    return _combined(view, sides, t5_convex.curvature_costs)


_LOG_SUM_EXP = {"log-sum-exp loss": f"{CROSS_ENTROPY}, ln Σ exp(a_c) − a_y"}


def _rows(space: Space, infix: str) -> tuple[Row, ...]:
    shared = common(space)
    envelope = Row(
        name=f"T5{infix}.envelope",
        sentence=worded(
            "How much of the gap the slopes of the loss at both ends determine, {heads}, whatever else happens on the way and "
            "whichever points of a class are matched.",
            space,
        ),
        statement="max_γ E[φ'(0) + (bQ₀ − aP₀)/r] ≤ R_S − R_T ≤ min_γ E[φ'(1) − (aP₁ − bQ₁)/r], a = ln(P₁/P₀), b = ln(Q₀/Q₁)",
        latex=r"E[\varphi'(0)+\tfrac1r(bQ_0-aP_0)] \le R_S-R_T \le E[\varphi'(1)-\tfrac1r(aP_1-bQ_1)],\quad "
        r"a=\ln\tfrac{P_1}{P_0},\ b=\ln\tfrac{Q_0}{Q_1}",
        source="T5 from two ends, slopes (Bhatia and Davis 2000)",
        target=shared.target,
        space=space,
        inputs=(*shared.inputs, LABELS),
        needs=(*shared.needs, CLASS_SHARES),
        structural={**shared.structural, **_LOG_SUM_EXP},
        compute=_envelope,
        work=two_ends(_OLDER, "t5"),
    )
    sharp = Row(
        name=f"T5{infix}.sharp",
        sentence=worded(
            "How much of the gap slope and curvature of the loss at both ends determine, {heads}: nothing tighter follows from "
            "these numbers of a pair of points.",
            space,
        ),
        statement="as T5.envelope, with the curvatures at both ends and κ/P − P ≤ dκ/dμ ≤ Q − κ/Q",
        latex=r"\max_\gamma E[\varphi'(1)-X(Q_1,P_0,\kappa_1,\kappa_0,s)] \le R_S-R_T \le "
        r"\min_\gamma E[\varphi'(0)+X(P_0,Q_1,\kappa_0,\kappa_1,s)],\quad "
        r"X=\sup\left\{\int_0^1(\mu-\mu_0)\,dt : \tfrac{\kappa}{P}-P\le\tfrac{d\kappa}{d\mu}\le Q-\tfrac{\kappa}{Q}\right\}",
        source="T5 from two ends, slopes and curvatures",
        target=shared.target,
        space=space,
        inputs=(*shared.inputs, LABELS),
        needs=(*shared.needs, CLASS_SHARES),
        structural={**shared.structural, **_LOG_SUM_EXP},
        compute=_sharp,
        work=two_ends(_OLDER, "t5"),
    )
    return envelope, sharp


ROWS = (*_rows("features", ""), *_rows("logits", ".logits"))
