"""The theorem of KD²M (arXiv 2504.01757) as stated. It lacks a factor; with what it needs added it is T1 with constant 1."""

from dataclasses import replace

import torch

from kd2m_theory.theory.examples import HEAD, half_temperature, own_head, permuted_labels
from kd2m_theory.theory.hypotheses import lipschitz_loss, same_inputs
from kd2m_theory.theory.instance import Instance, instance, length, lipschitz, random_instance
from kd2m_theory.theory.kernel_instance import TOLERANCE, KernelInstance, kernel_instance, random_kernel_instance
from kd2m_theory.theory.statement import Counterexample, Form, Hypothesis, Mutant, Sides, Step, Theorem, Witness
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
            name="1-Lipschitz feature map",
            forms=("KD2M.theorem",),
            detail="The paper does not ask for it.",
            check=lambda x: x.sigma >= 1,
            counterexample=Counterexample(
                words="width 0.1 and a loss of norm 1: gap 0.3935, distance of the encoders 0.1",
                form="KD2M.theorem",
                make=_units,
            ),
        ),
        Hypothesis(
            name="unit ball",
            forms=("KD2M.theorem",),
            check=lambda x: x.in_unit_ball,
            counterexample=Counterexample(words="the witness's loss doubled", form="KD2M.theorem", make=_norm_two),
        ),
        Hypothesis(
            name="loss 1-Lipschitz in the features",
            forms=("T1.literal",),
            detail="With cross-entropy it is enough that the rows of a linear head are at most 1 apart.",
            check=lambda x: bool(lipschitz(x.weight) <= 1 + TOLERANCE),
            counterexample=Counterexample(words="rows 2 apart", form="T1.literal", make=_steep_head),
        ),
        lipschitz_loss("T1.literal", forms=("T1.literal",), make=lambda: replace(_far_wrong(), loss=half_temperature)),
        Hypothesis(
            name="shared head",
            detail="Both risks are those of one h; a student has its own.",
            check=lambda x: x.shared_head,
            counterexample=Counterexample(
                words="equal features, and the student's own head is wrong", form="T1.literal", make=lambda: own_head(slope=0.5)
            ),
        ),
        same_inputs(
            "T1.literal",
            forms=("T1.literal",),
            make=lambda: permuted_labels(slope=0.5),
        ),
    ),
    direction="two-sided",
    source="arXiv 2504.01757, as on its author's GSI 2025 slides, p. 13",
    proof="The paper's proof replaces the cost in the RKHS by the distance of the features, and loses the Lipschitz "
    "constant of the feature map.",
    steps=(
        Step(
            "The paper takes the coupling of each input's two features for the coupling of the lemma, whose cost is a "
            "distance in the RKHS. This step is right.",
            r"|R_S-R_T| \le \|L\|_H\,E\|\varphi(Z_S)-\varphi(Z_T)\|_H",
        ),
        Step(
            "It then writes ‖z − z'‖ for that cost. This step is wrong: the feature map may be steeper than 1, as it is "
            "for an RBF kernel with σ < 1.",
            r"\|\varphi(z)-\varphi(z')\|_H \le \mathrm{Lip}(\varphi)\,\|z-z'\|",
        ),
        Step(
            "With one more hypothesis it is right: if ‖L‖_H Lip(φ) ≤ 1, the loss is 1-Lipschitz in the features.",
            r"|R_S-R_T| \le E\|Z_S-Z_T\| \le \|g_S-g_T\|_{L_2}",
        ),
        Step(
            "With cross-entropy and a linear head, the constant is the largest distance of two rows (T1), so L ≤ 1 is enough.",
            r"L=\max_{c,c'}\|w_c-w_{c'}\|",
        ),
        Step("On the same inputs no common ground truth h'(z) is needed: both features of a pair carry one label."),
    ),
    forms=(
        Form(
            name="T1.literal",
            constant="1",
            sides=_literal,
            witness=Witness(words="every point is wrong and the student more so; the head's rows are 1 apart", make=_far_wrong),
            start=_start,
            free=("student", "teacher", "bias"),
        ),
        Form(
            name="KD2M.theorem",
            latex=r"|R_{P_S}(h)-R_{P_T}(h)| \le \|g_S-g_T\|_{L_2(P)}",
            constant="1",
            sides=_literal,
            witness=Witness(
                words="width 1; the loss is the scaled difference of the feature maps of two close points", make=_attained
            ),
            start=_kernel_start,
            free=("student", "teacher"),
        ),
    ),
    mutants=(
        Mutant(name="distance of the mean features", form="T1.literal", sides=_means),
        Mutant(name="mean square without the root", form="KD2M.theorem", sides=_mean_square),
    ),
    verdict="false as stated",
)
