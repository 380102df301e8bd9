"""T6: kernel bounds, of which the one for squared loss needs nobody's word."""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from kd2m_theory.theory.examples import HEAD, KERNEL_MOVES, MOVES, feature_difference, own_head, shares_differ, two_losses
from kd2m_theory.theory.hypotheses import lipschitz_features, norm_of_loss, same_class_shares
from kd2m_theory.theory.instance import Instance, instance, least_cost, length, random_instance, root, squared_loss, sum_of
from kd2m_theory.theory.kernel_instance import KernelInstance, random_kernel_instance
from kd2m_theory.theory.quadratic import Parts, best_kernel, kernel, parts, projection
from kd2m_theory.theory.statement import Counterexample, Form, Hypothesis, Mutant, Sides, Step, Theorem, Witness


def brier(logits: Tensor, labels: Tensor) -> Tensor:
    """‖softmax(a) − e_y‖² of each row."""
    return squared_loss(torch.softmax(logits, 1), labels)


def squared_parts(x: Instance, y: int, mine: Tensor, theirs: Tensor, centre: Tensor | None = None) -> Parts:
    """For the loss ‖Wz + b − e_y‖²: t = e_y − b."""
    return parts(x.student[mine], x.teacher[theirs], x.weight, torch.eye(len(x.bias)).to(x.bias)[y] - x.bias, centre)


def brier_parts(x: Instance, y: int, mine: Tensor, theirs: Tensor) -> Parts:
    """For Brier's score: W projects on sum zero, t = We_y.

    Both p and e_y sum to one, so p − e_y = W(p − e_y) is a function of Wp alone: with W for I the norms are smaller
    (‖WᵀW‖_F = √(K−1) for √K) and the bound is still exact about the loss.
    """
    project = projection(len(x.bias))
    student, teacher = (torch.softmax(a, 1) @ project for a in (x.logits_student[mine], x.logits_teacher[theirs]))
    return parts(student, teacher, project, project[y])


PartsOf = Callable[[Instance, int, Tensor, Tensor], Parts]


def over_classes(x: Instance, parts_of: PartsOf, bound: Callable[[Parts], Tensor] = best_kernel) -> Sides:
    """|R_S − R_T| ≤ Σ_y π_y of the bound of each class."""
    return Sides(x.gap, sum_of(share * bound(parts_of(x, y, mine, theirs)) for y, share, mine, theirs in x.by_class()))


def _squared(x: Instance) -> Sides:
    return over_classes(x, squared_parts)


def _fixed(x: Instance) -> Sides:
    origin = torch.zeros_like(x.student[0])
    return over_classes(
        x, lambda x, y, mine, theirs: squared_parts(x, y, mine, theirs, origin), lambda p: kernel(p, x.parameter)
    )


def _brier(x: Instance) -> Sides:
    return over_classes(x, brier_parts)


def mmd(x: KernelInstance) -> Tensor:
    """MMD between the clouds, diagonal included: √(−½ Σ w_i w_j ‖φ_i − φ_j‖²) for weights w that sum to zero."""
    n, m = len(x.student), len(x.teacher)
    points = torch.cat((x.student, x.teacher))
    weights = torch.cat((points.new_full((n,), 1.0 / n), points.new_full((m,), -1.0 / m)))
    return root(-0.5 * weights @ x.kernel_distances(points, points) ** 2 @ weights)


def in_space(x: KernelInstance) -> Tensor:
    """W₁ with the ground cost ‖φ(z) − φ(z')‖_H."""
    return least_cost(x.kernel_distances(x.student, x.teacher))


def in_features(x: KernelInstance) -> Tensor:
    """W₁ with the ground cost ‖z − z'‖."""
    return least_cost(length(x.student[:, None] - x.teacher[None]))


def _rkhs(x: KernelInstance) -> Sides:
    return Sides(x.gap, x.norm * mmd(x))


def _chain(x: KernelInstance) -> Sides:
    return Sides(mmd(x), in_space(x))


def _chain_features(x: KernelInstance) -> Sides:
    return Sides(mmd(x), x.lipschitz * in_features(x))


# For class 0 with W = (1, −1) and b = 0 the loss is 2z² − 2z + 1.
def _along_gradient() -> Instance:
    return instance([[3.0], [3.0], [-7.0]], [[2.0], [2.0], [-5.0]], [0, 0, 1], HEAD, loss=squared_loss)


def _proportional() -> Instance:
    return instance([[-3.0]], [[1.0]], [0], HEAD, loss=squared_loss)


def _one_flip() -> Instance:
    return instance([[-1.0]], [[1.0]], [0], HEAD, loss=brier)


def fourth_power(logits: Tensor, labels: Tensor) -> Tensor:
    """‖a − e_y‖⁴ of each row: a polynomial of degree four in the features."""
    return squared_loss(logits, labels) ** 2


def _degree_four() -> Instance:
    return replace(_along_gradient(), loss=fourth_power)


def _indefinite() -> Instance:
    return replace(instance([[3.0]], [[1.0]], [0], HEAD, loss=squared_loss), parameter=-1.0)


def _squared_start(generator: torch.Generator) -> Instance:
    parameter = float(10.0 ** (4.0 * torch.rand((), generator=generator) - 2.0))
    return random_instance(generator, loss=squared_loss, parameter=parameter)


def _brier_start(generator: torch.Generator) -> Instance:
    return random_instance(generator, loss=brier, own_head=True)


def _kernel_start(generator: torch.Generator) -> KernelInstance:
    return random_kernel_instance(generator, 4, 3)


def _half_gradient(x: Instance) -> Sides:
    return over_classes(x, squared_parts, lambda p: p.quadratic * p.spread + p.gradient * p.shift / 2)


def _means_only(x: Instance) -> Sides:
    return over_classes(x, squared_parts, lambda p: p.gradient * p.shift)


def _mixed_centres(x: Instance) -> Sides:
    def mixed(x: Instance, y: int, mine: Tensor, theirs: Tensor) -> Parts:
        at_teacher = squared_parts(x, y, mine, theirs, centre=x.teacher[theirs].mean(0))
        return replace(squared_parts(x, y, mine, theirs), gradient=at_teacher.gradient)

    return over_classes(x, mixed)


def _no_two(x: Instance) -> Sides:
    origin = torch.zeros_like(x.student[0])

    def wrong(p: Parts) -> Tensor:
        return root(p.quadratic**2 + p.gradient**2 / (4 * x.parameter)) * root(p.spread**2 + 2 * x.parameter * p.shift**2)

    return over_classes(x, lambda x, y, mine, theirs: squared_parts(x, y, mine, theirs, origin), wrong)


def _spectral_for_frobenius(x: Instance) -> Sides:
    # ‖I − 11ᵀ/K‖_op = 1, its Frobenius norm is √(K−1).
    return over_classes(x, brier_parts, lambda p: p.spread + p.gradient * p.shift)


def _classes_ignored(x: Instance) -> Sides:
    everyone = torch.arange(len(x.student)), torch.arange(len(x.teacher))
    shares = [(y, share) for y, share, _, _ in x.by_class()]
    return Sides(x.gap, sum_of(share * best_kernel(brier_parts(x, y, *everyone)) for y, share in shares))


def _squared_mmd(x: KernelInstance) -> Sides:
    return Sides(x.gap, x.norm * mmd(x) ** 2)


def _inverted_width(x: KernelInstance) -> Sides:
    return Sides(mmd(x), in_features(x) / x.lipschitz)


def _only_spread() -> Instance:
    return instance([[1.0], [-1.0]], [[0.0], [0.0]], [0, 0], HEAD, loss=squared_loss)


def _exchanged() -> Instance:
    return instance([[-1.0], [1.0]], [[1.0], [-1.0]], [0, 1], HEAD, loss=brier)


def _three_vertices() -> Instance:
    """The teacher is sure, of each class once; the student cannot tell. Means agree, and all of the gap is in the spread."""
    sure = [[9.0, 0.0, 0.0], [0.0, 9.0, 0.0], [0.0, 0.0, 9.0]]
    return instance([[0.0] * 3] * 3, sure, [0, 0, 0], torch.eye(3), loss=brier)


THEOREM = Theorem(
    name="T6",
    title="kernel bounds",
    plain="The squared loss of a linear head is a function in the space of a polynomial kernel, of a norm that the head alone "
    "determines: the gap is at most that norm times the kernel distance of each class. The same for Brier's score of predicted "
    "probabilities, and for any loss of known norm in any kernel's space.",
    latex=r"|R_S-R_T| \le \sum_y\pi_y\|f_y\|_H\,\mathrm{MMD}(P_S^y,P_T^y) \ \xrightarrow{\min_c}\ "
    r"\sum_y\pi_y\left(\|W^\top W\|_F\|\Delta\Sigma_y\|_F+\|2W^\top(Wz_0+b-e_y)\|\,\|\Delta\mu_y\|\right)",
    hypotheses=(
        Hypothesis(
            name="shared head",
            forms=("T6", "T6.kernel", "T6.rkhs"),
            detail="It is linear, with logits Wz + b; for T6.rkhs it is one loss of known norm. Brier's score is a function "
            "of each network's own logits.",
            check=lambda x: x.shared_head,
            counterexample=Counterexample(
                words="equal features, and the student's own head is wrong", form="T6", make=lambda: own_head(squared_loss)
            ),
        ),
        same_class_shares("T6", forms=("T6", "T6.kernel", "T6.brier"), make=lambda: shares_differ(squared_loss)),
        Hypothesis(
            name="squared loss",
            forms=("T6", "T6.kernel"),
            detail="So it is a polynomial of degree two in the points.",
            check=lambda x: x.loss is squared_loss,
            counterexample=Counterexample(
                words="its square is of degree four, outside the space of the kernel", form="T6", make=_degree_four
            ),
        ),
        Hypothesis(
            name="Brier's score",
            forms=("T6.brier",),
            detail="So it is a polynomial of degree two in the probabilities p, which lie in the simplex.",
            check=lambda x: x.loss is brier,
            counterexample=Counterexample(
                words="squared loss of the logits, which lie anywhere", form="T6.brier", make=_along_gradient
            ),
        ),
        Hypothesis(
            name="positive kernel offset",
            forms=("T6.kernel",),
            detail="For c < 0, (⟨z, z'⟩ + c)² is not a kernel.",
            check=lambda x: x.parameter > 0,
            counterexample=Counterexample(
                words="for c < 0 the form is indefinite, and Cauchy–Schwarz turns round", form="T6.kernel", make=_indefinite
            ),
        ),
        Hypothesis(
            name="common ground truth",
            forms=("T6.rkhs",),
            detail="So the loss is one function of z on both sides; else apply the form class by class.",
            check=lambda x: x.one_ground_truth,
            counterexample=Counterexample(
                words="equal laws, labels permuted: MMD = 0 and any gap", form="T6.rkhs", make=two_losses
            ),
        ),
        norm_of_loss("T6.rkhs", forms=("T6.rkhs",), detail="For a network only the user can say so."),
        lipschitz_features("T6.w1"),
    ),
    direction="two-sided",
    source="Cauchy–Schwarz in an RKHS (standard; MMD: Gretton et al. 2012)",
    proof="The squared loss is an element of the RKHS of a polynomial kernel, so its mean moves by at most its norm times "
    "the MMD; the best kernel and the best centre have closed forms.",
    steps=(
        Step(
            "Expand the loss about any point z₀.",
            r"\|W(z_0+u)+b-e_y\|^2=\langle W^\top W,uu^\top\rangle+\langle g,u\rangle+\mathrm{const}, \qquad "
            r"g=2W^\top(Wz_0+b-e_y)",
        ),
        Step(
            "The kernel (⟨u, u'⟩ + c)² has the features uuᵀ, √(2c) u and c. A constant has no part in a difference of risks.",
            r"\|f\|^2=\|W^\top W\|_F^2+\frac{\|g\|^2}{2c}, \qquad \mathrm{MMD}^2=\|\Delta M\|_F^2+2c\|\Delta\mu\|^2",
        ),
        Step(
            "Apply Cauchy–Schwarz class by class, and write Q = ‖WᵀW‖, G = ‖g‖, S = ‖ΔM‖, m = ‖Δμ‖. The least value over c "
            "is at c = GS/(2Qm), and is sharper than any one kernel.",
            r"(QS)^2+(Gm)^2+2cQ^2m^2+\frac{G^2S^2}{2c} \ge (QS+Gm)^2",
        ),
        Step("Every z₀ gives a bound. Half way between the class means, ΔM is the difference ΔΣ of the covariances."),
        Step(
            "Brier's score is a squared loss of centred probabilities.",
            r"p-e_y=C(p-e_y), \qquad C=I-\tfrac1K 11^\top",
        ),
        Step(
            "For any loss L in an RKHS, with kernel means μ_S and μ_T:",
            r"E\,L(Z_S)-E\,L(Z_T)=\langle L,\mu_S-\mu_T\rangle \le \|L\|_H\,\mathrm{MMD}",
        ),
        Step(
            "The MMD is at most the transport distance in the RKHS, and the feature map is Lipschitz.",
            r"\|E_\gamma[\varphi(Z_S)-\varphi(Z_T)]\|_H \le E_\gamma\|\varphi(Z_S)-\varphi(Z_T)\|_H \le "
            r"\mathrm{Lip}(\varphi)\,E_\gamma\|Z_S-Z_T\|",
        ),
    ),
    forms=(
        Form(
            name="T6",
            constant="‖WᵀW‖_F of the covariances' difference, ‖2Wᵀ(Wz₀ + b − e_y)‖ of the means'; "
            "z₀ half way between the means",
            sides=_squared,
            witness=Witness(words="every class is a point that moves along the gradient", make=_along_gradient),
            start=_squared_start,
            free=MOVES,
        ),
        Form(
            name="T6.kernel",
            latex=r"\sum_y\pi_y\sqrt{\|W^\top W\|_F^2+\tfrac{1}{2c}\|2W^\top(b-e_y)\|^2}"
            r"\,\mathrm{MMD}_{(\langle z,z'\rangle+c)^2}",
            constant="‖f_y‖_H for c = parameter and z₀ = 0",
            sides=_fixed,
            witness=Witness(
                words="the loss is proportional to the difference of the two points' feature maps", make=_proportional
            ),
            start=_squared_start,
            free=MOVES,
        ),
        Form(
            name="T6.brier",
            constant="√(K−1) of the covariances' difference, 2‖p̄ − e_y‖ of the means'; p̄ half way between the mean predictions",
            sides=_brier,
            witness=Witness(words="one prediction each, and the two lie in line with the true vertex", make=_one_flip),
            start=_brier_start,
            free=MOVES,
        ),
        Form(
            name="T6.rkhs",
            latex=r"|R_S-R_T| \le B\,\mathrm{MMD}(P_S,P_T)",
            constant="B = ‖L‖_H",
            sides=_rkhs,
            witness=Witness(words="the loss is the difference of the two points' feature maps", make=feature_difference),
            start=_kernel_start,
            free=KERNEL_MOVES,
        ),
        Form(
            name="T6.w1_rkhs",
            latex=r"\mathrm{MMD} \le W_{1,H}",
            constant="1",
            sides=_chain,
            witness=Witness(words="a point each", make=feature_difference),
            start=_kernel_start,
            free=("student", "teacher"),
        ),
        Form(
            name="T6.w1",
            latex=r"\mathrm{MMD} \le \mathrm{Lip}(\varphi)\,W_1",
            constant="Lip(φ), 1/σ for the RBF kernel",
            sides=_chain_features,
            witness=Witness(words="a point each, closer than the width: φ is steepest at distance 0", make=feature_difference),
            start=_kernel_start,
            free=("student", "teacher"),
        ),
    ),
    mutants=(
        Mutant(name="the 2 of the gradient forgotten", form="T6", sides=_half_gradient),
        Mutant(name="linear kernel: means only", form="T6", sides=_means_only, killer=_only_spread),
        Mutant(name="gradient about the teacher's mean, covariances' difference", form="T6", sides=_mixed_centres),
        Mutant(name="‖g‖²/(4c) for ‖g‖²/(2c) in the norm", form="T6.kernel", sides=_no_two),
        Mutant(
            name="operator norm 1 for Frobenius norm √(K−1)",
            form="T6.brier",
            sides=_spectral_for_frobenius,
            killer=_three_vertices,
        ),
        Mutant(name="classes ignored: moments of the marginals", form="T6.brier", sides=_classes_ignored, killer=_exchanged),
        Mutant(name="MMD² for MMD", form="T6.rkhs", sides=_squared_mmd),
        Mutant(name="σ for 1/σ", form="T6.w1", sides=_inverted_width),
    ),
)
