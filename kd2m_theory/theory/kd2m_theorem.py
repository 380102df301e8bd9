"""The theorem of KD²M (arXiv 2504.01757) as stated. It lacks a factor; with what it needs added it is T1 with constant 1."""

from dataclasses import replace

import torch

from kd2m_theory.theory.examples import HEAD, half_temperature, own_head, permuted_labels
from kd2m_theory.theory.hypotheses import lipschitz_loss, only_on, same_inputs
from kd2m_theory.theory.instance import Instance, instance, length, lipschitz, random_instance
from kd2m_theory.theory.kernel_instance import TOLERANCE, KernelInstance, kernel_instance, random_kernel_instance
from kd2m_theory.theory.statement import Counterexample, Form, Hypothesis, Mutant, Sides, Theorem, Witness
from kd2m_theory.theory.t1_paired import moved, root_mean_square


def _literal(x: Instance | KernelInstance) -> Sides:
    return Sides(x.gap, root_mean_square(x))


def _far_wrong() -> Instance:
    return instance([[-9.0], [9.0]], [[-6.0], [6.0]], [0, 1], [[0.5], [-0.5]])


def _attained() -> KernelInstance:
    x = kernel_instance([[0.0]], [[0.1]], [[0.0], [0.1]], [[1.0, -1.0]])
    return replace(x, coefficients=x.coefficients / x.exact_norm)


def _norm_two() -> KernelInstance:
    return replace(_attained(), coefficients=2 * _attained().coefficients)


def _units() -> KernelInstance:
    return kernel_instance([[0.0]], [[0.1]], [[0.0]], [[1.0]], sigma=0.1)


def _steep_head() -> Instance:
    return instance([[-9.0], [9.0]], [[-6.0], [6.0]], [0, 1], HEAD)


def _start(generator: torch.Generator) -> Instance:
    x = random_instance(generator)
    return replace(x, weight=x.weight / lipschitz(x.weight))


def _kernel_start(generator: torch.Generator) -> KernelInstance:
    x = replace(random_kernel_instance(generator), sigma=1.0)
    return replace(x, coefficients=x.coefficients / x.exact_norm)


def _means(x: Instance | KernelInstance) -> Sides:
    return Sides(x.gap, length((x.student - x.teacher).mean(0)))


def _mean_square(x: Instance | KernelInstance) -> Sides:
    return Sides(x.gap, (moved(x) ** 2).mean())


THEOREM = Theorem(
    name="KD2M.theorem",
    title="the paper's theorem as stated",
    plain="One head's risks under the two feature laws differ by at most the L₂ distance of the encoders. False as stated: it "
    "needs a loss that is 1-Lipschitz in the features, which the unit ball of an RKHS does not give.",
    latex=r"|R_{P_S}(h)-R_{P_T}(h)| \le \|g_S-g_T\|_{L_2(P)}",
    hypotheses=(
        Hypothesis(
            "1-Lipschitz feature map",
            "RKHS form: Lip(φ) ≤ 1, that is σ ≥ 1 for the RBF kernel; the paper does not ask for it",
            only_on(KernelInstance, lambda x: x.sigma >= 1),
            Counterexample("width 0.1 and a loss of norm 1: gap 0.3935, distance of the encoders 0.1", "KD2M.theorem", _units),
        ),
        Hypothesis(
            "unit ball",
            "RKHS form: the loss is in the RKHS with norm at most 1",
            only_on(KernelInstance, lambda x: x.in_unit_ball),
            Counterexample("the witness's loss doubled", "KD2M.theorem", _norm_two),
        ),
        Hypothesis(
            "L ≤ 1",
            "linear head: its rows are at most 1 apart, which makes cross-entropy 1-Lipschitz in the features",
            only_on(Instance, lambda x: bool(lipschitz(x.weight) <= 1 + TOLERANCE)),
            Counterexample("rows 2 apart", "T1.literal", _steep_head),
        ),
        lipschitz_loss(
            "T1.literal", of="linear head: ", on=Instance, make=lambda: replace(_far_wrong(), loss=half_temperature)
        ),
        Hypothesis(
            "one head",
            "both risks are those of one h; a student has its own",
            lambda x: x.shared_head,
            Counterexample("equal features, and the student's own head is wrong", "T1.literal", lambda: own_head(slope=0.5)),
        ),
        same_inputs(
            "T1.literal",
            more=", and the RKHS form, whose loss is one function of z, not even that",
            make=lambda: permuted_labels(slope=0.5),
        ),
    ),
    direction="two-sided",
    source="arXiv 2504.01757, as on its author's GSI 2025 slides, p. 13",
    proof="As stated the proof takes (g_S, g_T)#P for the coupling of the lemma, whose cost is ‖φ(z) − φ(z')‖_H, and then "
    "writes ‖z − z'‖ for it: a factor Lip(φ) is lost. If ‖L‖_H Lip(φ) ≤ 1 then z ↦ L(z) is 1-Lipschitz and |R_S − R_T| ≤ E‖Z_S "
    "− Z_T‖ ≤ ‖g_S − g_T‖_{L₂}. With cross-entropy and a linear head the constant is L = max ‖w_c − w_c'‖ (T1), so L ≤ 1 is "
    "enough. On the same inputs no common ground truth h'(z) is needed: both features of a pair carry one label.",
    forms=(
        Form(
            "T1.literal",
            r"\|g_S-g_T\|_{L_2}",
            "1",
            _literal,
            Witness("every point is wrong and the student more so; the head's rows are 1 apart", _far_wrong),
            _start,
            ("student", "teacher", "bias"),
        ),
        Form(
            "KD2M.theorem",
            r"|R_{P_S}(h)-R_{P_T}(h)| \le \|g_S-g_T\|_{L_2(P)}",
            "1",
            _literal,
            Witness("width 1; the loss is the scaled difference of the feature maps of two close points", _attained),
            _kernel_start,
            ("student", "teacher"),
            row=False,
        ),
    ),
    mutants=(
        Mutant("distance of the mean features", "T1.literal", _means),
        Mutant("mean square without the root", "KD2M.theorem", _mean_square),
    ),
    verdict="false as stated",
)
