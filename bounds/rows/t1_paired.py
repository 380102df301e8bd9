"""T1: the paper's theorem, repaired. Same inputs, one linear head:

    |R_S − R_T| ≤ E ν_Y(W(Z_S − Z_T)) ≤ E[L_Y ‖Z_S − Z_T‖] ≤ L ‖g_S − g_T‖_{L₁} ≤ L ‖g_S − g_T‖_{L₂}

KD²M (arXiv 2504.01757) states |R_S − R_T| ≤ ‖g_S − g_T‖_{L₂} for losses in the unit ball of an RKHS. Its proof compares a
distance in the RKHS with one in R^d; the factor that is missing is the Lipschitz constant, and `T1.literal` is the
statement without it. `directed` keeps the sign of the change: ℓ_S − ℓ_T lies between the extremes of Δ_c − Δ_Y over c,

    E min_c(Δ_c − Δ_Y) ≤ R_S − R_T ≤ E max_c(Δ_c − Δ_Y),

an interval of at most half the width of the head-aware one.
"""

import math
from collections.abc import Callable

import numpy as np

from kd2m_theory.arrays import Float64
from kd2m_theory.bounds.rows.row import (
    CROSS_ENTROPY,
    LABELS,
    LINEAR,
    SAME_INPUTS,
    SHARED_HEAD,
    Found,
    Requirement,
    Row,
    Sides,
    Situation,
    both_sides,
    common,
    worded,
)
from kd2m_theory.bounds.view import Space, View
from kd2m_theory.bounds.work import head, one_pass, together
from kd2m_theory.estimators.ground import EPS


def _mean(values: Float64) -> float:
    """Mean, rounded up."""
    return math.fsum(values) / len(values) * (1 + 2 * EPS)


def _l1(view: View) -> float:
    return _mean(view.lengths())


def _l2(view: View) -> float:
    lengths = view.lengths()
    largest = float(lengths.max())
    return largest * math.sqrt(_mean((lengths / largest) ** 2)) * (1 + 4 * EPS) if largest else 0.0


def _head_aware(view: View) -> Sides:
    return both_sides(_mean(view.vertex_norms()) * (1 + 4 * EPS) + view.change_error)


def _directed(view: View) -> Sides:
    least, largest = view.advances()
    return Sides(-_mean(-least) - view.change_error, _mean(largest) + view.change_error)


def _class_lipschitz(view: View) -> Sides:
    return both_sides(_mean(view.class_lipschitz[view.labels] * view.lengths()) * (1 + 2 * EPS))


def _lipschitz_l1(view: View) -> Sides:
    return both_sides(view.lipschitz * _l1(view) * (1 + EPS), details={"L": view.lipschitz, "L1 distance": _l1(view)})


def _lipschitz_l2(view: View) -> Sides:
    return both_sides(view.lipschitz * _l2(view) * (1 + EPS), details={"L": view.lipschitz, "L2 distance": _l2(view)})


def _literal(view: View) -> Sides:
    return both_sides(_l2(view), details={"L": view.lipschitz})


def _lipschitz_in_features(situation: Situation) -> Found:
    """‖loss‖_H · Lip(φ) ≤ 1 makes z ↦ loss 1-Lipschitz, and 1-Lipschitz is all that the paper's proof then uses."""
    if situation.view is None:
        return "unmet", "no shared head to check it on"
    constant = situation.view.lipschitz
    if constant <= 1 and situation.view.weight is None:
        return "vouched", f"the loss is {constant:.3g}-Lipschitz in the features, if the head is as the user says"
    if constant <= 1:
        return "met", f"the loss is {constant:.3g}-Lipschitz in the features, which is enough"
    return "unmet", f"the loss has Lipschitz constant {constant:.3g} > 1 in the features"


_GRADIENT = {"vertex gradient": "the loss is cross-entropy, whose gradient is softmax(a) − e_y"}


def _chain(space: Space, prefix: str) -> tuple[Row, ...]:
    shared = common(space)

    def row(name: str, compute: Callable[[View], Sides], *inputs: Requirement, words: str, statement: str, latex: str) -> Row:
        return Row(
            name=prefix + name,
            sentence=worded(words, space),
            statement=statement,
            latex=latex,
            source="T1, repair of the theorem of arXiv 2504.01757",
            target=shared.target,
            space=space,
            inputs=(*shared.inputs, *inputs),
            needs=(*shared.needs, SAME_INPUTS),
            structural={**shared.structural, **_GRADIENT},
            compute=compute,
            streams=space == "logits",
            work=together(one_pass, head),
        )

    directed = row(
        "directed",
        _directed,
        LABELS,
        words="Mean of the most, and of the least, that any class's logit gains on the true class's, {heads}: the loss grows "
        "by no more and no less.",
        statement="E min_c(Δ_c − Δ_Y) ≤ R_S − R_T ≤ E max_c(Δ_c − Δ_Y)",
        latex=r"E\min_c(\Delta_c-\Delta_Y) \le R_S-R_T \le E\max_c(\Delta_c-\Delta_Y)",
    )
    head_aware = row(
        "head_aware",
        _head_aware,
        LABELS,
        words="The loss of an input changes by at most the largest change of a logit against the true class's, {heads}; this "
        "is its mean.",
        statement="|R_S − R_T| ≤ E ν_Y(a_S − a_T)",
        latex=r"|R_S-R_T| \le E\,\nu_Y(W(Z_S-Z_T))",
    )
    class_lipschitz = row(
        "class_lipschitz",
        _class_lipschitz,
        LINEAR,
        LABELS,
        words="Mean distance between the two networks' {points} of an input, each times the steepness of the loss of its true "
        "class.",
        statement="|R_S − R_T| ≤ E[L_Y ‖z_S − z_T‖]",
        latex=r"|R_S-R_T| \le E[L_Y\|Z_S-Z_T\|]",
    )
    l1 = row(
        "l1",
        _lipschitz_l1,
        words="Mean distance between the two networks' {points} of an input, times the steepness L of the loss.",
        statement="|R_S − R_T| ≤ L ‖g_S − g_T‖_L₁",
        latex=r"|R_S-R_T| \le L\|g_S-g_T\|_{L_1}",
    )
    l2 = row(
        "l2",
        _lipschitz_l2,
        words="Root mean square distance between the two networks' {points} of an input, times the steepness L of the loss: "
        "the paper's theorem with the constant that it lacks.",
        statement="|R_S − R_T| ≤ L ‖g_S − g_T‖_L₂",
        latex=r"|R_S-R_T| \le L\|g_S-g_T\|_{L_2}",
    )
    if space == "logits":  # there L_y = √2 for every class
        return directed, head_aware, l1, l2
    return directed, head_aware, class_lipschitz, l1, l2


ROWS = (
    *_chain("features", "T1."),
    Row(
        name="T1.literal",
        sentence="The paper's theorem as printed, without the steepness of the loss: it guarantees something only where the "
        "loss is no steeper than 1.",
        statement="|R_S − R_T| ≤ ‖g_S − g_T‖_L₂ (as stated)",
        latex=r"|R_S-R_T| \le \|g_S-g_T\|_{L_2}",
        source="theorem of arXiv 2504.01757 as literally stated",
        target="gap_shared_head",
        space="features",
        inputs=(),
        needs=(
            SHARED_HEAD,
            SAME_INPUTS,
            Requirement("loss 1-Lipschitz in the features", _lipschitz_in_features, blocking=False),
        ),
        structural={"1-Lipschitz loss": CROSS_ENTROPY},
        compute=_literal,
    ),
    *_chain("logits", "T1.logits."),
)


def literal_counterexample() -> tuple[float, float]:
    """Gap and literal bound of the smallest instance that breaks the theorem as stated.

    Gaussian kernel k of width σ = 0.1 on the line, h = k(·, 0) and h' = 0, so the loss |h − h'| = k(·, 0) has norm 1 in
    the RKHS; g_S ≡ 0 and g_T ≡ 0.1. The gap k(0, 0) − k(0.1, 0) exceeds ‖g_S − g_T‖ = 0.1; with the feature map's
    Lipschitz constant 1/σ = 10 the right side is 1 and the inequality holds.

    Example:
        >>> gap, bound = literal_counterexample()
        >>> round(gap, 4), bound
        (0.3935, 0.1)
    """
    sigma, student, teacher = 0.1, 0.0, 0.1

    def loss(z: float) -> float:
        return float(np.exp(-(z**2) / (2 * sigma**2)))

    return abs(loss(student) - loss(teacher)), abs(student - teacher)
