"""T5: a two-sided enclosure for a linear head and cross-entropy, which is convex and ½-smooth in the logits (C5).

For every coupling γ of student and teacher points of the same class, with gradients p − e_y in the logits,

    E_γ⟨p_T − e_y, a_S − a_T⟩ ≤ R_S − R_T ≤ E_γ⟨p_S − e_y, a_S − a_T⟩,
                                R_S − R_T ≤ E_γ[⟨p_T − e_y, a_S − a_T⟩ + ¼ ‖a_S − a_T‖²].

Each side is tightened over γ: one transport problem a class. Logits are taken less their mean over classes, which the
loss does not see and the last term does. Any feasible plan gives a valid side, so the primal cost is the one reported.
"""

import numpy as np
from scipy.spatial.distance import cdist
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


def _upper_convex(student: Float64, teacher: Float64, label: int) -> CostMatrix:
    probability = _others(student, label)
    margins_s, margins_t = _margins(student, label), _margins(teacher, label)
    values = (margins_s * probability).sum(axis=1)[:, None] - probability @ margins_t.T
    return CostMatrix(values, 0.0, _rounding(student, label, margins_s, margins_t), "nats")


def _upper_smooth(student: Float64, teacher: Float64, label: int) -> CostMatrix:
    values, error = _at_teacher(student, teacher, label)
    student, teacher = (logits - logits.mean(axis=1, keepdims=True) for logits in (student, teacher))
    length = cdist(student, teacher)
    quadratic = 0.25 * length**2
    # Any constant may be subtracted from a row; the rounding of the subtraction moves a point by an ulp of its size.
    moved = EPS * float(np.linalg.norm(student, axis=1).max() + np.linalg.norm(teacher, axis=1).max())
    error += (student.shape[1] + 8) * EPS * float(quadratic.max()) + moved * (float(length.max()) + moved)
    return CostMatrix(values + quadratic, 0.0, error, "nats")


def _compute(view: View) -> Sides:
    negative = view.class_costs("t5_lower", _negative_lower)
    convex = view.class_costs("t5_upper_convex", _upper_convex)
    smooth = view.class_costs("t5_upper_smooth", _upper_smooth)
    best = {label: min(convex[label], smooth[label], key=lambda side: side.upper) for label in convex}
    parts = {"minus lower": negative, "upper, convexity": convex, "upper, smoothness": smooth, "upper": best}
    sums: dict[str, Enclosure] = {name: combine_classes(part, view.shares, 1) for name, part in parts.items()}
    return Sides(-sums["minus lower"].upper, sums["upper"].upper, sums)


def _row(name: str, space: Space) -> Row:
    return Row(
        name,
        "max_γ E⟨∇ℓ(z_T), z_S − z_T⟩ ≤ R_S − R_T ≤ min_γ E⟨∇ℓ(z_S), z_S − z_T⟩, or by ½-smoothness",
        "T5",
        "gap_shared_head" if space == "features" else "gap",
        space,
        (VIEW, LABELS, CLASS_SHARES),
        _compute,
    )


ROWS = (_row("T5", "features"), _row("T5.logits", "logits"))
