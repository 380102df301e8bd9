"""T5: two-sided enclosures for a linear head and cross-entropy, from its gradient and its curvature at both ends.

Take any coupling γ of student and teacher points of the same class. Along Δ = a_S − a_T let φ(t) = ℓ(a_T + tΔ, y), so that the
mean of φ(1) − φ(0) is the gap. With p the softmax and the range r = max_c Δ_c − min_c Δ_c,

    φ' = ⟨p − e_y, Δ⟩,      φ'' = Var_p(Δ) ∈ [0, M],  M = r²/4 (Popoviciu),      |φ'''| ≤ r φ''  (a third central moment).

T5 uses the slopes at both ends. φ' rises from φ'(0) to φ'(1) with a slope in [0, M], so with s = φ'(1) − φ'(0)

    φ'(0) + s²/(2M) ≤ φ(1) − φ(0) ≤ φ'(1) − s²/(2M),

never worse than convexity, φ'(0) ≤ · ≤ φ'(1), nor than smoothness, φ'(1) − M/2 ≤ · ≤ φ'(0) + M/2, as (s − M)² ≥ 0.

T5.curved uses the curvatures too. By the third derivative φ''(0) e^{−rt} ≤ φ''(t) ≤ φ''(0) e^{rt}, and likewise from the
other end; integrated twice, with g(r) = (e^r − 1 − r)/r² and h(r) = g(−r) = (e^{−r} − 1 + r)/r²,

    φ'(0) + h(r) φ''(0) ≤ φ(1) − φ(0) ≤ φ'(0) + g(r) φ''(0),    φ'(1) − g(r) φ''(1) ≤ φ(1) − φ(0) ≤ φ'(1) − h(r) φ''(1).

Each pair of points takes the best of these, and each side is tightened over γ: one transport problem per class. Any feasible
plan gives a valid side, so the primal cost is the one reported.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.special import softmax

from kd2m_theory.arrays import Float64
from kd2m_theory.bounds.class_pairs import ClassPairs
from kd2m_theory.bounds.rows.row import CLASS_SHARES, CROSS_ENTROPY, LABELS, Row, Sides, common, worded
from kd2m_theory.bounds.two_ends import growths
from kd2m_theory.bounds.view import Space, View
from kd2m_theory.bounds.work import class_costs
from kd2m_theory.estimators import CostMatrix, Enclosure
from kd2m_theory.estimators.distances import combine_classes
from kd2m_theory.estimators.ground import EPS, TINY

# Class by class, the least transport cost of minus the lower side and of the upper side.
BothSides = Callable[[View], tuple[dict[int, Enclosure], dict[int, Enclosure]]]


@dataclass(frozen=True, slots=True)
class _Segments:
    """Pairs of a student's and a teacher's point of one class.

    Attributes:
        start: φ'(0), the slope at the teacher.
        end: φ'(1), the slope at the student.
        reach: r, rounded up.
    """

    start: Float64
    end: Float64
    reach: Float64


@dataclass(frozen=True)
class _Points:
    """The points of one network in one class.

    Attributes:
        margins: a_c − a_y for every class c ≠ y, n × K − 1: ⟨p − e_y, a⟩ = Σ_{c≠y} p_c (a_c − a_y), without cancellation where
            p_c is small.
        probability: p_c for every class c ≠ y, n × K − 1.
        depth: how far each logit a_c lies below the largest, n × K − 1.
    """

    margins: Float64
    probability: Float64
    depth: Float64

    @cached_property
    def own(self) -> Float64:
        """⟨p − e_y, a⟩, n."""
        result: Float64 = (self.margins * self.probability).sum(axis=1)
        return result


def _points(logits: Float64, label: int) -> _Points:
    others = np.delete(logits, label, axis=1)
    return _Points(
        margins=others - logits[:, [label]],
        probability=np.delete(softmax(logits, axis=1), label, axis=1),
        depth=logits.max(axis=1, keepdims=True) - others,
    )


def _rounding(points: _Points, other: _Points) -> float:
    """Bound on the mean rounding error of Σ_c p_c (m_c − m'_c), for p and m of one side and any m' of the other.

    It depends on the side of p alone, so its mean over that side bounds the error of any plan's cost. A probability is
    right to about as many roundings as its logit is far from the largest.
    """
    reach = np.abs(points.margins) + np.abs(other.margins).max(axis=0)
    roundings = 2.0 * (points.margins.shape[1] + 8) + 2.0 * points.depth
    carried: Float64 = ((points.probability * roundings * EPS + 2 * TINY) * reach).sum(axis=1)
    return float(carried.mean())


def _segments(pairs: ClassPairs, student: _Points, teacher: _Points) -> _Segments:
    most, least = pairs.advances()
    most, least = np.maximum(most, 0.0), np.maximum(-least, 0.0)
    reach = most + least
    return _Segments(
        start=pairs.products(student.margins, teacher.probability) - pairs.of_columns(teacher.own),
        end=pairs.of_rows(student.own) - pairs.products(student.probability, teacher.margins),
        reach=reach + 2 * pairs.advance_error(reach),
    )


def _bend(segments: _Segments) -> Float64:
    """s²/(2M) with s kept in [0, M], where exact arithmetic has it: an error of s or M then moves it by no more than itself."""
    most = segments.reach**2 / 4
    rise = np.clip(segments.end - segments.start, 0.0, most)
    result: Float64 = np.divide(rise * rise, 2 * most, out=np.zeros_like(rise), where=most > 0)
    return result


def _variance(pairs: ClassPairs, at: _Points, there: _Points, *, at_student: bool) -> tuple[Float64, Float64]:
    """Var_p(Δ) of every pair, p of the points `at`, and a bound on its rounding error."""

    def products(mine: Float64, theirs: Float64) -> Float64:
        return pairs.products(mine, theirs) if at_student else pairs.products(theirs, mine)

    def alone(values: Float64) -> Float64:
        return pairs.of_rows(values) if at_student else pairs.of_columns(values)

    probability, own, other = at.probability, at.margins, there.margins
    # Σ p d² − (Σ p d)², d_c = Δ_c − Δ_y and 0 for y itself.
    weighted = probability * own
    squares = alone((weighted * own).sum(axis=1)) + products(probability, other**2)
    mean = alone(weighted.sum(axis=1)) - products(probability, other)
    # Terms are no larger than those of Σ p (|m| + |m'|)². Probabilities are right to as many roundings as their logits are
    # deep; deeper than 800 they are zero.
    depth = np.clip(at.depth.max(axis=1, initial=0.0), 0.0, 800.0)
    size = squares + 2 * products(np.abs(weighted), np.abs(other))
    error = alone(32 * EPS * (own.shape[1] + 8 + depth)) * size
    return squares - 2 * products(weighted, other) - mean**2, error


def both_sides_of_pairs(pairs: ClassPairs) -> tuple[CostMatrix, ...]:
    """Minus the lower side, and the upper one, of every pair: of T5, and of T5.curved."""
    student, teacher = _points(pairs.student, pairs.label), _points(pairs.teacher, pairs.label)
    sides = np.empty((4, *pairs.shape))
    for rows, block in pairs.blocks():
        for side, values in zip(sides, _sides_of_block(block, student, teacher), strict=True):
            side[rows] = values
    slope_error = _rounding(teacher, student) + _rounding(student, teacher)
    return tuple(CostMatrix(side, 0.0, slope_error, "nats") for side in sides)


def _sides_of_block(pairs: ClassPairs, student: _Points, teacher: _Points) -> tuple[Float64, Float64, Float64, Float64]:
    segments = _segments(pairs, student, teacher)
    bend = _bend(segments)
    slopes = -segments.start - bend, segments.end - bend
    grows, falls = growths(segments.reach)
    with np.errstate(over="ignore", invalid="ignore"):  # where e^r overflows, or a square, there is no candidate
        # Curvatures are moved outward by their error, so they add none.
        at_student, error_s = _variance(pairs, student, teacher, at_student=True)
        at_teacher, error_t = _variance(pairs, teacher, student, at_student=False)
        least_s, least_t = np.fmax(at_student - error_s, 0.0), np.fmax(at_teacher - error_t, 0.0)
        lower = np.fmin(np.fmin(slopes[0], -segments.start - falls * least_t), grows * (at_student + error_s) - segments.end)
        upper = np.fmin(np.fmin(slopes[1], segments.start + grows * (at_teacher + error_t)), segments.end - falls * least_s)
    return *slopes, lower, upper


def _sides(view: View, negative: dict[int, Enclosure], upper: dict[int, Enclosure]) -> Sides:
    sums = {"minus lower": combine_classes(negative, view.shares, 1), "upper": combine_classes(upper, view.shares, 1)}
    return Sides(-sums["minus lower"].upper, sums["upper"].upper, sums)


def slope_costs(view: View) -> tuple[dict[int, Enclosure], dict[int, Enclosure]]:
    """The transport of T5 in each class: of minus the lower side, and of the upper side."""
    lower, upper, _, _ = view.several_class_costs("t5", both_sides_of_pairs)
    return lower, upper


def curvature_costs(view: View) -> tuple[dict[int, Enclosure], dict[int, Enclosure]]:
    """The transport of T5.curved in each class: of minus the lower side, and of the upper side."""
    _, _, lower, upper = view.several_class_costs("t5", both_sides_of_pairs)
    return lower, upper


def _slopes(view: View) -> Sides:
    return _sides(view, *slope_costs(view))


def _curvatures(view: View) -> Sides:
    return _sides(view, *curvature_costs(view))


def curved_upper(view: View) -> float:
    """The upper side of T5.curved."""
    return combine_classes(curvature_costs(view)[1], view.shares, 1).upper


def _rows(space: Space, infix: str) -> tuple[Row, ...]:
    shared = common(space)
    slopes = Row(
        name=f"T5{infix}",
        sentence=worded(
            "Two-sided: what the slopes of the loss at the teacher's and the student's end say about the way between, {heads}, "
            "with the best matching within a class.",
            space,
        ),
        statement="max_γ E[φ'(0) + s²/2M] ≤ R_S − R_T ≤ min_γ E[φ'(1) − s²/2M], slopes of the loss at both ends",
        latex=r"E[\varphi'(0)+s^2/2M] \le R_S-R_T \le E[\varphi'(1)-s^2/2M],\quad s=\varphi'(1)-\varphi'(0),\ "
        r"M=\tfrac14\mathrm{range}^2",
        source="T5, convexity and smoothness",
        target=shared.target,
        space=space,
        inputs=(*shared.inputs, LABELS),
        needs=(*shared.needs, CLASS_SHARES),
        structural={
            **shared.structural,
            "convex loss": CROSS_ENTROPY,
            "½-smooth loss": "the loss is cross-entropy, whose second derivative is a variance of Δ",
        },
        compute=_slopes,
        work=class_costs("t5", 4, held=6),
    )
    curvatures = Row(
        name=f"T5{infix}.curved",
        sentence=worded("As T5{infix}, and the curvature of the loss at both ends is used as well.", space),
        statement="as T5, with the curvatures at both ends and |φ'''| ≤ r φ''",
        latex=r"E[\varphi'(0)+h(r)\varphi''(0)] \le R_S-R_T \le E[\varphi'(0)+g(r)\varphi''(0)],\quad "
        r"g(r)=(e^r-1-r)/r^2,\ h(r)=g(-r),\ r=\max_c\Delta_c-\min_c\Delta_c",
        source="T5, self-concordance",
        target=shared.target,
        space=space,
        inputs=(*shared.inputs, LABELS),
        needs=(*shared.needs, CLASS_SHARES),
        structural={
            **shared.structural,
            "self-concordant loss": "the loss is cross-entropy, whose third derivative is a third central moment of Δ",
        },
        compute=_curvatures,
        work=class_costs("t5", 4, held=6),
    )
    return slopes, curvatures


ROWS = (*_rows("features", ""), *_rows("logits", ".logits"))
