"""F4: a kernel bound for the population, without anything vouched for: Brier's score of predicted probabilities.

Let q = p − 1/K. On (q, Y) take the kernel 1{y = y'} (⟨q, q'⟩ + c)², which lies between 0 and κ = (1 − 1/K + c)². Brier's score
‖q + 1/K − e_y‖² = ‖q‖² + 2⟨q, 1/K − e_y⟩ + 1 − 1/K lies in its RKHS up to the constant, with squared norm
F² = K (K − 1) + 2 (K − 1)/c. So |R_S − R_T| ≤ F · MMD. c is chosen from K alone: the minimum of F² κ.

The population's MMD is E[f(S) − f(T)] for one f of the unit ball, and the same mean over the sample is at most the sample's
MMD. So Hoeffding's inequality for this one f suffices for an upper bound, with |f(s) − f(s')| ≤ √(2κ):

    MMD(P) ≤ MMD(P̂) + √(κ (1/n + 1/m) ln(1/δ)),  and for pairs of the same inputs  + √(4κ ln(1/δ)/n).
"""

import math

import numpy as np

from kd2m_theory.bounds.rows.row import (
    LABELS,
    LOGITS,
    NO_GROUPS,
    SAMPLED,
    Found,
    Requirement,
    Row,
    Sides,
    Situation,
    both_sides,
)
from kd2m_theory.bounds.rows.t6_kernel import centred_probabilities, in_span
from kd2m_theory.bounds.view import View
from kd2m_theory.bounds.work import second_moments
from kd2m_theory.estimators.ground import EPS


def offset(classes: int) -> float:
    """The c that minimises F² κ."""
    quadratic, linear, size = classes * (classes - 1), 2 * (classes - 1), 1 - 1 / classes
    return (math.sqrt(linear**2 + 8 * quadratic * linear * size) - linear) / (4 * quadratic)


def _mmd(view: View, c: float) -> float:
    """MMD of the samples of (q, Y), class by class: of q qᵀ, √(2c) q and c, each summed over the class and divided by n.

    A class needs K × K numbers, or those of the space that its few points span; never the K³ of all classes at once. Classes
    without points add nothing.
    """
    labels_s, labels_t = view.both_labels()
    scales = 1.0 / math.sqrt(len(labels_s)), 1.0 / math.sqrt(len(labels_t))
    squared = []
    for label in np.union1d(labels_s, labels_t).tolist():
        # Divided by √n, so that products are means.
        student, teacher = (cloud * scale for cloud, scale in zip(centred_probabilities(view, label), scales, strict=True))
        means = [cloud.sum(axis=0) * scale for cloud, scale in zip((student, teacher), scales, strict=True)]
        shares = [len(cloud) * scale * scale for cloud, scale in zip((student, teacher), scales, strict=True)]
        student, teacher = in_span(student, teacher)
        second = student.T @ student - teacher.T @ teacher
        squared += [
            float((second**2).sum()),
            2 * c * float(((means[0] - means[1]) ** 2).sum()),
            (c * (shares[0] - shares[1])) ** 2,
        ]
    return math.sqrt(math.fsum(squared))


def _brier(view: View) -> Sides:
    labels_s, labels_t = view.both_labels()
    size, n, m = view.classes, len(labels_s), len(labels_t)
    c = offset(size)
    norm = math.sqrt(size * (size - 1) + 2 * (size - 1) / c)
    rounding = 8 * EPS * (n + m + size + max(view.depth)) * (1 + c)
    plug_in = _mmd(view, c) + rounding
    steps = 4.0 / n if view.paired else 1.0 / n + 1.0 / m
    radius = (1 - 1 / size + c) * math.sqrt(steps * math.log(1 / view.tail))
    details = {"MMD": plug_in, "r(δ)": radius, "‖f‖_H": norm, "c": c}
    return both_sides(norm * (plug_in + radius) * (1 + 4 * EPS), details=details)


def _apart(situation: Situation) -> Found | None:
    """Nothing to assume of the same inputs: the radius of pairs allows any dependence within a pair."""
    if situation.pair.inputs_paired:
        return None
    return "vouched", "the two samples are of different inputs; the data cannot show that they are independent of each other"


_KERNEL = {
    "shared head": "Brier's score is one function of a predicted law and a label, for both networks",
    "common ground truth": "the label is a part of the point (q, Y)",
    "norm of the loss": "F is the norm of Brier's score, in closed form",
    "bounded kernel": "κ is the kernel's largest value, for ‖q‖² ≤ 1 − 1/K",
    "nonnegative kernel": "the kernel is a square, or 0",
    "kernel fixed before the sample": "c depends on the number of classes alone",
    "bounded loss": "a function in the kernel's unit ball has range √(2κ)",
    "range fixed before the sample": "κ depends on the number of classes alone",
}
ROWS = (
    Row(
        name="F4.brier",
        sentence="Brier's score on the population: the kernel distance of the sample plus an allowance for chance, times the "
        "norm of the score.",
        statement="|R_S − R_T| ≤ ‖f‖_H (MMD + r(δ)), Brier's score",
        latex=r"|R_S-R_T| \le \|f\|_H\,(\widehat{\mathrm{MMD}}+r(\delta))",
        source="F4, upper limit of the population's MMD",
        target="population_brier_gap",
        space="logits",
        inputs=(LOGITS, LABELS, NO_GROUPS),
        needs=(Requirement("samples independent of each other", _apart), *SAMPLED),
        structural=_KERNEL,
        compute=_brier,
        work=second_moments(lambda size: size.classes),
        limits=("F4.brier, upper",),
        forms=("T6.rkhs", "F4.independent_upper", "F4.pairs_upper", "F1.hoeffding"),
    ),
)
