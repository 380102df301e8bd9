"""The lemma of KD²M (arXiv 2504.01757) on marginal transport, as its author states it."""

from dataclasses import replace

import torch
from torch import Tensor

from kd2m_theory.theory.examples import two_losses
from kd2m_theory.theory.instance import distances, least_cost, root
from kd2m_theory.theory.kernel_instance import KernelInstance, kernel_instance, random_kernel_instance
from kd2m_theory.theory.statement import Counterexample, Form, Hypothesis, Mutant, Sides, Step, Theorem, Witness


def ground_costs(x: KernelInstance) -> Tensor:
    """Distance of every pair, in the RKHS or between the features themselves."""
    return x.kernel_distances(x.student, x.teacher) if x.ground == "RKHS" else distances(x.student, x.teacher)


def _lemma(x: KernelInstance) -> Sides:
    return Sides(x.gap, root(least_cost(ground_costs(x) ** 2)))


# The loss of the witness is k(·, 0) − k(·, 1) + 1, scaled to norm 1: the 1 keeps it at or above 0, as |h − h'| has to be.
# A constant is not in the RKHS of the RBF kernel alone. With an offset in the kernel it is: k(·, far away) / offset, of
# norm 1/√offset, which an offset of 10⁴ makes small.
def _attained() -> KernelInstance:
    x = kernel_instance([[0.0]], [[1.0]], [[0.0], [1.0], [1e6]], [[1.0, -1.0, 1e-4]], offset=1e4)
    return replace(x, coefficients=x.coefficients / x.exact_norm)


def _norm_two() -> KernelInstance:
    return replace(_attained(), coefficients=2 * _attained().coefficients)


def _own_head() -> KernelInstance:
    return kernel_instance([[0.0]], [[0.0]], [[0.0], [3.0]], [[0.0, 1.0]], own=[[1.0, 0.0]])


def _euclidean_cost() -> KernelInstance:
    return kernel_instance([[0.0]], [[0.1]], [[0.0]], [[1.0]], sigma=0.1, ground="features")


def _squared(x: KernelInstance) -> Sides:
    return Sides(x.gap, least_cost(ground_costs(x) ** 2))


def _half_square(x: KernelInstance) -> Sides:
    return Sides(x.gap, root(least_cost(1 - x.kernel(x.student, x.teacher) + x.offset)))


def _means(x: KernelInstance) -> Sides:
    means = x.student.mean(0, keepdim=True), x.teacher.mean(0, keepdim=True)
    return Sides(x.gap, x.kernel_distances(*means)[0, 0])


def _start(generator: torch.Generator) -> KernelInstance:
    return random_kernel_instance(generator, 4, 3)


THEOREM = Theorem(
    name="KD2M.lemma",
    title="the paper's lemma: marginal transport in an RKHS",
    plain="If the loss is one function of the features, in the unit ball of an RKHS, then the risks of one head under the two "
    "feature laws differ by at most W₂ between them, with distances taken in the RKHS.",
    latex=r"|R_{P_S}(h)-R_{P_T}(h)| \le W_2(P_S,P_T),\quad c(z,z')=\|\varphi(z)-\varphi(z')\|_{H_k}",
    hypotheses=(
        Hypothesis(
            name="common ground truth",
            detail="So |h(z) − h'(z)| is one function of z, too.",
            check=lambda x: x.one_ground_truth,
            counterexample=Counterexample(
                words="equal laws, labels permuted: W₂ = 0 and any gap", form="KD2M.lemma", make=two_losses
            ),
        ),
        Hypothesis(
            name="unit ball",
            detail="This cannot be verified for a ReLU network with softmax.",
            check=lambda x: x.in_unit_ball,
            counterexample=Counterexample(words="the same loss doubled", form="KD2M.lemma", make=_norm_two),
        ),
        Hypothesis(
            name="ground cost in the RKHS",
            check=lambda x: x.ground == "RKHS",
            counterexample=Counterexample(
                words="RBF kernel of width 0.1 and features 0.1 apart", form="KD2M.lemma", make=_euclidean_cost
            ),
        ),
        Hypothesis(
            name="shared head",
            detail="Both risks are those of one h.",
            check=lambda x: x.shared_head,
            counterexample=Counterexample(
                words="equal features; the student's own head is wrong, the teacher's right", form="KD2M.lemma", make=_own_head
            ),
        ),
    ),
    direction="two-sided",
    source="Redko, Habrard, Sebban 2017, as cited by arXiv 2504.01757; stated as on its author's GSI 2025 slides, p. 13",
    proof="A loss in the RKHS is linear in the feature map, so Cauchy–Schwarz bounds the difference of its means on any "
    "coupling.",
    steps=(
        Step(
            "Use the reproducing property on any coupling.",
            r"|E\,L(Z_S)-E\,L(Z_T)|=|\langle L,E[\varphi(Z_S)-\varphi(Z_T)]\rangle| \le "
            r"\|L\|_H\,E\|\varphi(Z_S)-\varphi(Z_T)\|_H",
        ),
        Step(
            "Take the best coupling, and Jensen.",
            r"|R_S-R_T| \le \|L\|_H\,W_{1,H} \le \|L\|_H\,W_{2,H}",
        ),
        Step(
            "That 0 ≤ k ≤ K makes the integrals finite; on a sample they are. That L ≥ 0 is not used, and the witness has it."
        ),
        Step(
            "W₁ in H would be enough on the right, and so would MMD, since only the mean of φ enters (T6).",
            r"\mathrm{MMD} \le W_{1,H} \le W_{2,H}",
        ),
    ),
    forms=(
        Form(
            name="KD2M.lemma",
            latex=r"|R_{P_S}(h)-R_{P_T}(h)| \le W_{2,H_k}(P_S,P_T)",
            constant="1",
            sides=_lemma,
            witness=Witness(
                words="the loss is the difference of the two points' feature maps, up to a constant and scale", make=_attained
            ),
            start=_start,
            free=("student", "teacher"),
        ),
    ),
    mutants=(
        Mutant(name="mean squared cost without the root", form="KD2M.lemma", sides=_squared),
        Mutant(name="√(1 − k) for √(2 − 2k)", form="KD2M.lemma", sides=_half_square),
        Mutant(name="distance of the mean features", form="KD2M.lemma", sides=_means),
    ),
)
