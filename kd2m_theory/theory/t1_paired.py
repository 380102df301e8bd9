"""T1: paired coupling, the theorem of KD²M (arXiv 2504.01757) repaired."""

import torch
from torch import Tensor

from kd2m_theory.theory.examples import HEAD, KERNEL_MOVES, MOVES, SATURATED, feature_difference
from kd2m_theory.theory.hypotheses import lipschitz_features, norm_of_loss, same_inputs, shared_linear_head, too_steep
from kd2m_theory.theory.instance import (
    Instance,
    cross_entropy,
    distances,
    instance,
    length,
    lipschitz,
    random_instance,
    root,
    vertex_norm,
)
from kd2m_theory.theory.kernel_instance import KernelInstance, random_kernel_instance
from kd2m_theory.theory.statement import Form, Hypothesis, Mutant, Sides, Step, Theorem, Witness


def change(x: Instance) -> Tensor:
    """W(z_S − z_T) of every input."""
    return (x.student - x.teacher) @ x.weight.T


def moved(x: Instance | KernelInstance) -> Tensor:
    """‖z_S − z_T‖ of every input."""
    return length(x.student - x.teacher)


def root_mean_square(x: Instance | KernelInstance) -> Tensor:
    """‖g_S − g_T‖_{L₂}."""
    return root((moved(x) ** 2).mean())


def moved_in_space(x: KernelInstance) -> Tensor:
    """‖φ(z_S) − φ(z_T)‖_H of every input."""
    return x.kernel_distances(x.student, x.teacher).diagonal()


def _directed(x: Instance) -> Sides:
    against = change(x) - change(x).gather(1, x.labels_student[:, None])
    return Sides(x.gap, against.amax(1).mean(), against.amin(1).mean())


def _head_aware(x: Instance) -> Sides:
    return Sides(x.gap, vertex_norm(change(x), x.labels_student).mean())


def _class_lipschitz(x: Instance) -> Sides:
    steepness = distances(x.weight, x.weight).amax(1)
    return Sides(x.gap, (steepness[x.labels_student] * moved(x)).mean())


def _l1(x: Instance) -> Sides:
    return Sides(x.gap, lipschitz(x.weight) * moved(x).mean())


def _l2(x: Instance) -> Sides:
    return Sides(x.gap, lipschitz(x.weight) * root_mean_square(x))


def _rkhs(x: KernelInstance) -> Sides:
    return Sides(x.gap, x.norm * moved_in_space(x).mean())


def _rkhs_l2(x: KernelInstance) -> Sides:
    return Sides(x.gap, x.norm * x.lipschitz * root_mean_square(x))


def _far_wrong() -> Instance:
    return instance([[-9.5], [9.5]], [[-9.0], [9.0]], [0, 1], HEAD)


def _uniform_norm(x: Instance) -> Sides:
    return Sides(x.gap, change(x).abs().amax(1).mean())


def _wrong_way(x: Instance) -> Sides:
    sides = _directed(x)
    return Sides(sides.gap, -sides.lower if sides.lower is not None else sides.upper, -sides.upper)


def _operator_norm(x: Instance) -> Sides:
    return Sides(x.gap, torch.linalg.matrix_norm(x.weight, 2) * moved(x).mean())


def _mean_square(x: Instance) -> Sides:
    return Sides(x.gap, lipschitz(x.weight) * (moved(x) ** 2).mean())


def _largest_row(x: Instance) -> Sides:
    return Sides(x.gap, (length(x.weight)[x.labels_student] * moved(x)).mean())


def _squared_kernel(x: KernelInstance) -> Sides:
    return Sides(x.gap, x.norm * (moved_in_space(x) ** 2).mean())


def _inverted_width(x: KernelInstance) -> Sides:
    return Sides(x.gap, x.norm * root_mean_square(x) / x.lipschitz)


_FORMS = (
    ("T1.head_aware", "1", _head_aware),
    ("T1.class_lipschitz", "L_y = max_c ‖w_c − w_y‖", _class_lipschitz),
    ("T1.l1", "L = max ‖w_c − w_c'‖", _l1),
    ("T1.l2", "L", _l2),
)

THEOREM = Theorem(
    name="T1",
    title="paired coupling, the paper's theorem repaired",
    plain="On the same inputs the gap is at most the mean distance of the two networks' features, times how steep the loss is "
    "in the features.",
    latex=r"|R_S-R_T| \le E\,\nu_Y(W(Z_S-Z_T)) \le E[L_Y\|Z_S-Z_T\|] \le L\|g_S-g_T\|_{L_1} \le L\|g_S-g_T\|_{L_2}",
    hypotheses=(
        shared_linear_head(
            "T1.head_aware", detail="It is linear, with logits Wz + b; in the RKHS forms it is one loss of known norm."
        ),
        same_inputs("T1.l2"),
        Hypothesis(
            name="vertex gradient",
            forms=("T1.directed", "T1.head_aware", "T1.class_lipschitz", "T1.l1", "T1.l2"),
            check=lambda x: x.loss is cross_entropy,
            counterexample=too_steep("T1.head_aware"),
        ),
        norm_of_loss("T1.rkhs", forms=("T1.rkhs", "T1.rkhs_l2")),
        lipschitz_features("T1.rkhs_l2", detail="The paper leaves it out."),
    ),
    direction="two-sided",
    source="theorem of arXiv 2504.01757, repaired; constants C1, C2 of the vertices of cross-entropy's gradient",
    proof="The gradient of the loss in the logits is a mixture of vertex differences, so a change of the logits changes "
    "the loss by at most ν_y of it; Cauchy–Schwarz and Jensen do the rest.",
    steps=(
        Step(
            "The gradient of the loss is a convex combination of the vertices e_c − e_y.",
            r"\nabla\ell(a)=\mathrm{softmax}(a)-e_y=\sum_c p_c(e_c-e_y)",
        ),
        Step(
            "Integrate along the segment from the teacher's logits to the student's: T1.directed is its mean over inputs.",
            r"\min_c(\Delta_c-\Delta_y) \le \ell(a_S,y)-\ell(a_T,y) \le \max_c(\Delta_c-\Delta_y)",
        ),
        Step(
            "Both ends are at most ν_y(Δ) in size: T1.head_aware.",
            r"|R_S-R_T| \le E\,\nu_Y(\Delta), \qquad \nu_y(\Delta)=\max_c|\Delta_c-\Delta_y|",
        ),
        Step(
            "For a linear head, apply Cauchy–Schwarz to each row difference, take the largest constant, and then Jensen.",
            r"\nu_y(Wz) \le L_y\|z\| \le L\|z\|, \qquad E\|z\| \le (E\|z\|^2)^{1/2}",
        ),
        Step(
            "A loss in an RKHS is linear in the feature map φ, which is 1/σ-Lipschitz for the RBF kernel.",
            r"|L(z)-L(z')| \le B\|\varphi(z)-\varphi(z')\|_H \le \tfrac{B}{\sigma}\|z-z'\|",
        ),
        Step(
            "The second inequality is 1 − exp(−u) ≤ u.",
            r"\|\varphi(z)-\varphi(z')\|_H^2=2-2\exp\bigl(-\|z-z'\|^2/(2\sigma^2)\bigr) \le \|z-z'\|^2/\sigma^2",
        ),
        Step(
            "The loss in the RKHS may differ by label, with B the largest norm. Where it is one function of z, any pairing "
            "of the rows is valid. Where labels are known, (E L_Y²)^½ may replace L in the last bound, by Cauchy–Schwarz."
        ),
    ),
    forms=(
        Form(
            name="T1.directed",
            constant="1",
            sides=_directed,
            witness=Witness(words=SATURATED, make=_far_wrong),
            start=random_instance,
            free=MOVES,
        ),
        *(
            Form(
                name=name,
                constant=constant,
                sides=sides,
                witness=Witness(words=SATURATED, make=_far_wrong),
                start=random_instance,
                free=MOVES,
            )
            for name, constant, sides in _FORMS
        ),
        Form(
            name="T1.rkhs",
            latex=r"B\,E\|\varphi(Z_S)-\varphi(Z_T)\|_H",
            constant="B = ‖L‖_H",
            sides=_rkhs,
            witness=Witness(words="the loss is the difference of the two points' feature maps", make=feature_difference),
            start=random_kernel_instance,
            free=KERNEL_MOVES,
        ),
        Form(
            name="T1.rkhs_l2",
            latex=r"B\,\mathrm{Lip}(\varphi)\,\|g_S-g_T\|_{L_2}",
            constant="B Lip(φ), 1/σ for the RBF kernel",
            sides=_rkhs_l2,
            witness=Witness(
                words="the same, with points closer than the width: φ is steepest at distance 0", make=feature_difference
            ),
            start=random_kernel_instance,
            free=KERNEL_MOVES,
        ),
    ),
    mutants=(
        Mutant(name="sides exchanged", form="T1.directed", sides=_wrong_way),
        Mutant(name="max_c |Δ_c| for max_c |Δ_c − Δ_y|", form="T1.head_aware", sides=_uniform_norm),
        Mutant(name="‖w_y‖ for max_c ‖w_c − w_y‖", form="T1.class_lipschitz", sides=_largest_row),
        Mutant(name="‖W‖_op without √2", form="T1.l1", sides=_operator_norm),
        Mutant(name="mean square without the root", form="T1.l2", sides=_mean_square),
        Mutant(name="‖φ − φ'‖² for ‖φ − φ'‖", form="T1.rkhs", sides=_squared_kernel),
        Mutant(name="σ for 1/σ", form="T1.rkhs_l2", sides=_inverted_width),
    ),
)
