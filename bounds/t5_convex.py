"""T5: a two-sided enclosure for a linear head and cross-entropy, which is convex and smooth in the logits.

For every coupling γ of student and teacher points of the same class, with Δ = a_S − a_T, gradients p − e_y in the logits, and
the range r(Δ) = max_c Δ_c − min_c Δ_c,

    E_γ⟨p_T − e_y, Δ⟩ ≤ R_S − R_T ≤ E_γ⟨p_S − e_y, Δ⟩                                                    (convexity)
    E_γ[⟨p_S − e_y, Δ⟩ − ⅛ r(Δ)²] ≤ R_S − R_T ≤ E_γ[⟨p_T − e_y, Δ⟩ + ⅛ r(Δ)²]                             (smoothness)

Along Δ the second derivative of lse is the variance of Δ_c under p, at most r²/4 (Popoviciu), so the remainder of the
tangent is at most r²/8. By C5 it is at most ¼ ‖Δ − mean‖² as well, which is never smaller. The loss of y differs from lse by a
linear function. Each side is tightened over γ, one transport problem a class, and the better of the two taken class by class.
Any feasible plan gives a valid side, so the primal cost is the one reported.
"""

import numpy as np
from scipy.special import softmax

from kd2m_theory.bounds.theorem import CLASS_SHARES, LABELS, VIEW, Row, Sides
from kd2m_theory.bounds.view import Space, View
from kd2m_theory.estimators import CostMatrix, Enclosure
from kd2m_theory.estimators.distances import combine_classes
from kd2m_theory.estimators.ground import EPS, TINY
from kd2m_theory.estimators.inputs import Float64


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


def _at_teacher(student: Float64, teacher: Float64, label: int) -> tuple[Float64, float]:
    probability = _others(teacher, label)
    margins_s, margins_t = _margins(student, label), _margins(teacher, label)
    values = margins_s @ probability.T - (margins_t * probability).sum(axis=1)
    return values, _rounding(teacher, label, margins_t, margins_s)


def _negative_lower(student: Float64, teacher: Float64, label: int) -> CostMatrix:
    values, error = _at_teacher(student, teacher, label)
    return CostMatrix(-values, 0.0, error, "nats")


def _at_student(student: Float64, teacher: Float64, label: int) -> tuple[Float64, float]:
    probability = _others(student, label)
    margins_s, margins_t = _margins(student, label), _margins(teacher, label)
    values = (margins_s * probability).sum(axis=1)[:, None] - probability @ margins_t.T
    return values, _rounding(student, label, margins_s, margins_t)


def _upper_convex(student: Float64, teacher: Float64, label: int) -> CostMatrix:
    values, error = _at_student(student, teacher, label)
    return CostMatrix(values, 0.0, error, "nats")


def _curvature(student: Float64, teacher: Float64) -> tuple[Float64, float]:
    """⅛ r(Δ)² of every pair, and its largest rounding error."""
    largest = np.subtract.outer(student[:, 0], teacher[:, 0])
    least = largest.copy()
    change = np.empty_like(largest)
    for k in range(1, student.shape[1]):
        np.subtract.outer(student[:, k], teacher[:, k], out=change)
        np.maximum(largest, change, out=largest)
        np.minimum(least, change, out=least)
    largest -= least
    # A difference of logits is right to a rounding of itself, so the range to that of its two ends.
    size = float(np.abs(least).max()) + float(largest.max())
    np.square(largest, out=largest)
    largest *= 0.125
    return largest, EPS * size * size


def _upper_smooth(student: Float64, teacher: Float64, label: int) -> CostMatrix:
    values, error = _at_teacher(student, teacher, label)
    curvature, more = _curvature(*_centred(student, teacher))
    return CostMatrix(values + curvature, 0.0, error + more, "nats")


def _negative_lower_smooth(student: Float64, teacher: Float64, label: int) -> CostMatrix:
    values, error = _at_student(student, teacher, label)
    curvature, more = _curvature(*_centred(student, teacher))
    return CostMatrix(curvature - values, 0.0, error + more, "nats")


def _centred(student: Float64, teacher: Float64) -> list[Float64]:
    """Logits less their class mean, which no range sees: differences of small numbers lose no digits."""
    return [logits - logits.mean(axis=1, keepdims=True) for logits in (student, teacher)]


def _best(first: dict[int, Enclosure], second: dict[int, Enclosure]) -> dict[int, Enclosure]:
    return {label: min(first[label], second[label], key=lambda side: side.upper) for label in first}


def _compute(view: View) -> Sides:
    negative = view.class_costs("t5_lower", _negative_lower)
    negative_smooth = view.class_costs("t5_lower_smooth", _negative_lower_smooth)
    convex = view.class_costs("t5_upper_convex", _upper_convex)
    smooth = view.class_costs("t5_upper_smooth", _upper_smooth)
    parts = {
        "minus lower, convexity": negative,
        "minus lower, smoothness": negative_smooth,
        "upper, convexity": convex,
        "upper, smoothness": smooth,
        "minus lower": _best(negative, negative_smooth),
        "upper": _best(convex, smooth),
    }
    sums: dict[str, Enclosure] = {name: combine_classes(part, view.shares, 1) for name, part in parts.items()}
    return Sides(-sums["minus lower"].upper, sums["upper"].upper, sums)


def _row(name: str, space: Space) -> Row:
    return Row(
        name,
        "max_γ E⟨∇ℓ(z_T), z_S − z_T⟩ ≤ R_S − R_T ≤ min_γ E⟨∇ℓ(z_S), z_S − z_T⟩, or by smoothness",
        "T5",
        "gap_shared_head" if space == "features" else "gap",
        space,
        (VIEW, LABELS, CLASS_SHARES),
        _compute,
    )


ROWS = (_row("T5", "features"), _row("T5.logits", "logits"))
