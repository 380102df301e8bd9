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

import numpy as np
from scipy.special import softmax

from kd2m_theory.arrays import Float64
from kd2m_theory.bounds.rows.row import CLASS_SHARES, CROSS_ENTROPY, LABELS, Row, Sides, common, worded
from kd2m_theory.bounds.two_ends import growth
from kd2m_theory.bounds.view import Space, View
from kd2m_theory.bounds.work import class_costs
from kd2m_theory.estimators import CostMatrix, Enclosure
from kd2m_theory.estimators.distances import combine_classes
from kd2m_theory.estimators.ground import EPS, TINY

# Class by class, the least transport cost of minus the lower side and of the upper side.
BothSides = Callable[[View], tuple[dict[int, Enclosure], dict[int, Enclosure]]]


@dataclass(frozen=True, slots=True)
class _Segments:
    """Every pair of a student and a teacher point of one class, n × m.

    Attributes:
        start: φ'(0), the slope at the teacher.
        end: φ'(1), the slope at the student.
        reach: r, rounded up.
        error: mean rounding error of the two slopes over any plan.
    """

    start: Float64
    end: Float64
    reach: Float64
    error: float


def _margins(logits: Float64, label: int) -> Float64:
    """a_c − a_y for every class c ≠ y: ⟨p − e_y, a⟩ = Σ_{c≠y} p_c (a_c − a_y), without cancellation where p_c is small."""
    margins: Float64 = np.delete(logits - logits[:, [label]], label, axis=1)
    return margins


def _others(logits: Float64, label: int) -> Float64:
    """p_c for every class c ≠ y."""
    return np.delete(softmax(logits, axis=1), label, axis=1)


def _rounding(logits: Float64, label: int, own: Float64, other: Float64) -> float:
    """Bound on the mean rounding error of Σ_c p_c (m_c − m'_c), for p and m of one side and any m' of the other.

    It depends on the side of p alone, so its mean over that side bounds the error of any plan's cost. A probability is
    right to about as many roundings as its logit is far from the largest.
    """
    probability = _others(logits, label)
    depth = np.delete(logits.max(axis=1, keepdims=True) - logits, label, axis=1)
    reach = np.abs(own) + np.abs(other).max(axis=0)
    roundings = 2.0 * (own.shape[1] + 8) + 2.0 * depth
    carried: Float64 = ((probability * roundings * EPS + 2 * TINY) * reach).sum(axis=1)
    return float(carried.mean())


def _reach(student: Float64, teacher: Float64) -> Float64:
    """r of every pair, rounded up: a difference of two logits is right to a rounding of itself."""
    largest = np.subtract.outer(student[:, 0], teacher[:, 0])
    least = largest.copy()
    change = np.empty_like(largest)
    for c in range(1, student.shape[1]):
        np.subtract.outer(student[:, c], teacher[:, c], out=change)
        np.maximum(largest, change, out=largest)
        np.minimum(least, change, out=least)
    return largest - least + 4 * EPS * (np.abs(largest) + np.abs(least))


def _segments(student: Float64, teacher: Float64, label: int) -> _Segments:
    margins_s, margins_t = _margins(student, label), _margins(teacher, label)
    at_s, at_t = _others(student, label), _others(teacher, label)
    error = _rounding(teacher, label, margins_t, margins_s) + _rounding(student, label, margins_s, margins_t)
    start = margins_s @ at_t.T - (margins_t * at_t).sum(axis=1)
    end = (margins_s * at_s).sum(axis=1)[:, None] - at_s @ margins_t.T
    return _Segments(start, end, _reach(student, teacher), error)


def _bend(segments: _Segments) -> Float64:
    """s²/(2M) with s kept in [0, M], where exact arithmetic has it: an error of s or M then moves it by no more than itself."""
    most = segments.reach**2 / 4
    rise = np.clip(segments.end - segments.start, 0.0, most)
    result: Float64 = np.divide(rise * rise, 2 * most, out=np.zeros_like(rise), where=most > 0)
    return result


def _upper(student: Float64, teacher: Float64, label: int) -> CostMatrix:
    segments = _segments(student, teacher, label)
    return CostMatrix(segments.end - _bend(segments), 0.0, segments.error, "nats")


def _negative_lower(student: Float64, teacher: Float64, label: int) -> CostMatrix:
    segments = _segments(student, teacher, label)
    return CostMatrix(-segments.start - _bend(segments), 0.0, segments.error, "nats")


def _variance(at: Float64, there: Float64, label: int) -> tuple[Float64, float]:
    """Var_p(Δ) for p of the rows of `at` and all rows of `there` (either sign of Δ), and a bound on its rounding error."""
    probability, own, other = _others(at, label), _margins(at, label), _margins(there, label)
    # Σ p d² − (Σ p d)², d_c = Δ_c − Δ_y and 0 for y itself.
    square = (probability * own**2).sum(axis=1)[:, None] - 2 * (probability * own) @ other.T + probability @ (other**2).T
    mean = (probability * own).sum(axis=1)[:, None] - probability @ other.T
    # Probabilities are right to as many roundings as their logits are deep; deeper than 800 they are zero.
    depth = min(800.0, float((at.max(axis=1) - at.min(axis=1)).max()))
    size = float((probability * (np.abs(own) + np.abs(other).max(axis=0)) ** 2).sum(axis=1).max())
    return square - mean**2, 32 * EPS * (own.shape[1] + 8 + depth) * size


def _curved(student: Float64, teacher: Float64, label: int, upper: bool) -> CostMatrix:
    """The upper side, or minus the lower one. Curvatures are moved outward by their error, so they add none."""
    segments = _segments(student, teacher, label)
    at_teacher, error_t = _variance(teacher, student, label)
    at_student, error_s = _variance(student, teacher, label)
    best = _bend(segments)
    best = segments.end - best if upper else segments.start + best
    for base, sign, curvature, error in (
        (segments.start, 1.0, at_teacher.T, error_t),
        (segments.end, -1.0, at_student, error_s),
    ):
        growing = upper == (sign > 0)
        rate = growth(segments.reach, 1.0 if growing else -1.0)
        with np.errstate(over="ignore", invalid="ignore"):
            candidate = base + sign * rate * (curvature + error if growing else np.maximum(curvature - error, 0.0))
        # Where e^r overflows there is no candidate.
        best = np.fmin(best, candidate) if upper else np.fmax(best, candidate)
    return CostMatrix(best if upper else -best, 0.0, segments.error, "nats")


def _curved_upper(student: Float64, teacher: Float64, label: int) -> CostMatrix:
    return _curved(student, teacher, label, upper=True)


def _negative_curved_lower(student: Float64, teacher: Float64, label: int) -> CostMatrix:
    return _curved(student, teacher, label, upper=False)


def _sides(view: View, negative: dict[int, Enclosure], upper: dict[int, Enclosure]) -> Sides:
    sums = {"minus lower": combine_classes(negative, view.shares, 1), "upper": combine_classes(upper, view.shares, 1)}
    return Sides(-sums["minus lower"].upper, sums["upper"].upper, sums)


def slope_costs(view: View) -> tuple[dict[int, Enclosure], dict[int, Enclosure]]:
    """The transport of T5 in each class: of minus the lower side, and of the upper side."""
    return view.class_costs("t5_lower", _negative_lower), view.class_costs("t5_upper", _upper)


def curvature_costs(view: View) -> tuple[dict[int, Enclosure], dict[int, Enclosure]]:
    """The transport of T5.curved in each class: of minus the lower side, and of the upper side."""
    lower = view.class_costs("t5_curved_lower", _negative_curved_lower)
    return lower, view.class_costs("t5_curved_upper", _curved_upper)


def _slopes(view: View) -> Sides:
    return _sides(view, *slope_costs(view))


def _curvatures(view: View) -> Sides:
    return _sides(view, *curvature_costs(view))


def curved_upper(view: View) -> float:
    """The upper side of T5.curved alone, at half of the transport."""
    return combine_classes(view.class_costs("t5_curved_upper", _curved_upper), view.shares, 1).upper


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
        work=class_costs("t5_lower", "t5_upper"),
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
        work=class_costs("t5_curved_lower", "t5_curved_upper", held=8),
    )
    return slopes, curvatures


ROWS = (*_rows("features", ""), *_rows("logits", ".logits"))
