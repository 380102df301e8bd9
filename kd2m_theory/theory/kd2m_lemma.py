"""The lemma of KD²M (arXiv 2504.01757) on marginal transport, as its author states it; and the RKHS setting in a few points."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from kd2m_theory.theory.instance import distances, least_cost, root
from kd2m_theory.theory.statement import Counterexample, Form, Hypothesis, Mutant, Sides, Theorem, Witness

# A squared norm is a quadratic form of a Gram matrix: what exceeds 1 by less than this is rounding.
TOLERANCE = 1e-9


@dataclass(frozen=True)
class KernelInstance:
    """Two clouds and losses that lie in the RKHS of k(z, z') = offset + exp(−‖z − z'‖² / (2σ²)).

    Attributes:
        student: n × d features.
        teacher: m × d features.
        centres: k × d points x_i.
        coefficients: C × k; the loss of label y is L_y = Σ_i α_yi k(·, x_i), so that its norm is known.
        labels_student: n labels; the setting of the paper has C = 1, a loss that is a function of z alone.
        labels_teacher: m labels.
        own: the student's coefficients, where its own head gives it another loss.
        sigma: σ, so that Lip(φ) = 1/σ: the offset moves every φ(z) alike.
        offset: constant part of the kernel, at least 0.
        claimed_norm: B, where it is not the largest norm.
        claimed_lipschitz: constant of the feature map, where it is not 1/σ.
        ground: whether distances are taken in the RKHS or between the features themselves.
    """

    student: Tensor
    teacher: Tensor
    centres: Tensor
    coefficients: Tensor
    labels_student: Tensor
    labels_teacher: Tensor
    own: Tensor | None = None
    sigma: float = 1.0
    offset: float = 0.0
    claimed_norm: float | None = None
    claimed_lipschitz: float | None = None
    ground: str = "RKHS"

    def kernel(self, x: Tensor, y: Tensor) -> Tensor:
        """k of every pair."""
        return self.offset + torch.exp(-(distances(x, y) ** 2) / (2 * self.sigma**2))

    def kernel_distances(self, x: Tensor, y: Tensor) -> Tensor:
        """‖φ(x_i) − φ(y_j)‖_H = √(2 − 2 exp(−‖x_i − y_j‖² / (2σ²)))."""
        return root(-2 * torch.expm1(-(distances(x, y) ** 2) / (2 * self.sigma**2)))

    def risk(self, points: Tensor, labels: Tensor, coefficients: Tensor) -> Tensor:
        """E L_Y(Z)."""
        return (self.kernel(points, self.centres) * coefficients[labels]).sum(1).mean()

    @property
    def gap(self) -> Tensor:
        """R_S − R_T."""
        own = self.coefficients if self.own is None else self.own
        return self.risk(self.student, self.labels_student, own) - self.risk(
            self.teacher, self.labels_teacher, self.coefficients
        )

    @property
    def exact_norm(self) -> Tensor:
        """max_y ‖L_y‖_H over both heads."""
        every = self.coefficients if self.own is None else torch.cat((self.coefficients, self.own))
        return root(((every @ self.kernel(self.centres, self.centres)) * every).sum(1).amax())

    @property
    def norm(self) -> Tensor:
        """B: the norm that is claimed, or else the exact one."""
        return self.exact_norm if self.claimed_norm is None else torch.tensor(self.claimed_norm, dtype=torch.float64)

    @property
    def lipschitz(self) -> float:
        """Constant of the feature map: the one that is claimed, or else 1/σ."""
        return 1 / self.sigma if self.claimed_lipschitz is None else self.claimed_lipschitz

    @property
    def in_unit_ball(self) -> bool:
        """Whether ‖L‖_H ≤ 1."""
        return bool(self.exact_norm <= 1 + TOLERANCE)

    @property
    def shared_head(self) -> bool:
        """Whether both networks have one loss."""
        return self.own is None

    @property
    def same_labels(self) -> bool:
        """Whether row i of both sides has the same label."""
        return torch.equal(self.labels_student, self.labels_teacher)

    @property
    def one_ground_truth(self) -> bool:
        """Whether the loss is one function of z on both sides."""
        return len(torch.unique(torch.cat((self.labels_student, self.labels_teacher)))) == 1


def kernel_instance(
    student: object,
    teacher: object,
    centres: object,
    coefficients: object,
    labels_student: object = None,
    labels_teacher: object = None,
    own: object = None,
    **settings: object,
) -> KernelInstance:
    """A kernel instance from nested lists; without labels every point has label 0."""

    def real(value: object) -> Tensor:
        return torch.as_tensor(np.asarray(value, dtype=np.float64))

    def classes(value: object, points: Tensor) -> Tensor:
        return torch.as_tensor(np.asarray([0] * len(points) if value is None else value, dtype=np.int64))

    x, y = real(student), real(teacher)
    heads = (real(coefficients), classes(labels_student, x), classes(labels_teacher, y), None if own is None else real(own))
    return KernelInstance(x, y, real(centres), *heads, **settings)  # type: ignore[arg-type]


def random_kernel_instance(generator: torch.Generator, n: int = 4, m: int = 4) -> KernelInstance:
    """One loss of norm 1 with three centres among the features; widths from 0.3 to 10 times the features' spread."""

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    sigma = float(10.0 ** (1.5 * torch.rand((), generator=generator, dtype=torch.float64) - 0.5))
    classes = torch.zeros(max(n, m), dtype=torch.int64)
    x = KernelInstance(normal(n, 2), normal(m, 2), normal(3, 2), normal(1, 3), classes[:n], classes[:m], sigma=sigma)
    return replace(x, coefficients=x.coefficients / x.exact_norm)


def ground_costs(x: KernelInstance) -> Tensor:
    """Distance of every pair, in the RKHS or between the features themselves."""
    return x.kernel_distances(x.student, x.teacher) if x.ground == "RKHS" else distances(x.student, x.teacher)


def _lemma(x: KernelInstance) -> Sides:
    return Sides(x.gap, root(least_cost(ground_costs(x) ** 2)))


# The loss of the witness is k(·, 0) − k(·, 1) + 1, scaled to norm 1: the 1 keeps it at or above 0, as |h − h'| has to be.
# A constant is not in the RKHS of the RBF kernel alone. With an offset in the kernel it is: k(·, far away) / offset, of
# norm 1/√offset, which an offset of 10⁴ makes small.
def _difference(scale: float = 1.0) -> KernelInstance:
    x = kernel_instance([[0.0]], [[1.0]], [[0.0], [1.0], [1e6]], [[1.0, -1.0, 1e-4]], offset=1e4)
    return replace(x, coefficients=scale * x.coefficients / x.exact_norm)


def _attained() -> KernelInstance:
    return _difference()


def _norm_two() -> KernelInstance:
    return _difference(2.0)


def _permuted_labels() -> KernelInstance:
    points = [[0.0], [3.0]]
    return kernel_instance(points, points, points, [[1.0, 0.0], [0.0, 1.0]], [0, 1], [1, 0])


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
            "common ground truth",
            "the label is one function h'(z) of the features, the same for both networks, so that |h(z) − h'(z)| is too",
            lambda x: x.one_ground_truth,
            Counterexample("equal laws, labels permuted: W₂ = 0 and any gap", "KD2M.lemma", _permuted_labels),
        ),
        Hypothesis(
            "unit ball",
            "the loss is in H_k with norm at most 1; not verifiable for a ReLU network with softmax",
            lambda x: x.in_unit_ball,
            Counterexample("the same loss doubled", "KD2M.lemma", _norm_two),
        ),
        Hypothesis(
            "ground cost in H_k",
            "distances are ‖φ(z) − φ(z')‖_H, not ‖z − z'‖",
            lambda x: x.ground == "RKHS",
            Counterexample("RBF kernel of width 0.1 and features 0.1 apart", "KD2M.lemma", _euclidean_cost),
        ),
        Hypothesis(
            "one head",
            "both risks are those of one h",
            lambda x: x.shared_head,
            Counterexample("equal features; the student's own head is wrong, the teacher's right", "KD2M.lemma", _own_head),
        ),
    ),
    direction="two-sided",
    source="Redko, Habrard, Sebban 2017, as cited by arXiv 2504.01757; stated as on its author's GSI 2025 slides, p. 13",
    proof="L(z) = ⟨L, φ(z)⟩, so on any coupling |E L(Z_S) − E L(Z_T)| = |⟨L, E[φ(Z_S) − φ(Z_T)]⟩| ≤ ‖L‖ E‖φ(Z_S) − φ(Z_T)‖; "
    "take the best coupling and W₁ ≤ W₂. That 0 ≤ k ≤ K makes the integrals finite; on a sample they are. That L ≥ 0 is not "
    "used; the witness has it. W₁ in H would do on the right, and MMD ≤ W₁ too, since only the mean of φ enters (T6).",
    forms=(
        Form(
            "KD2M.lemma",
            r"|R_{P_S}(h)-R_{P_T}(h)| \le W_{2,H_k}(P_S,P_T)",
            "1",
            _lemma,
            Witness("the loss is the difference of the two points' feature maps, up to a constant and scale", _attained),
            _start,
            ("student", "teacher"),
            row=False,
        ),
    ),
    mutants=(
        Mutant("mean squared cost without the root", "KD2M.lemma", _squared),
        Mutant("√(1 − k) for √(2 − 2k)", "KD2M.lemma", _half_square),
        Mutant("distance of the mean features", "KD2M.lemma", _means),
    ),
)
