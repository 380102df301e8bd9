"""The RKHS setting in a few points: two clouds, and losses of known norm."""

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from kd2m_theory.theory.instance import as_labels, as_real, distances, root

Ground = Literal["RKHS", "features"]

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
    ground: Ground = "RKHS"

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
    *,
    sigma: float = 1.0,
    offset: float = 0.0,
    claimed_norm: float | None = None,
    claimed_lipschitz: float | None = None,
    ground: Ground = "RKHS",
) -> KernelInstance:
    """A kernel instance from nested lists; without labels every point has label 0."""

    x, y = as_real(student), as_real(teacher)
    first, second = (
        as_labels([0] * len(points) if labels is None else labels)
        for points, labels in ((x, labels_student), (y, labels_teacher))
    )
    head = None if own is None else as_real(own)
    return KernelInstance(
        x,
        y,
        as_real(centres),
        as_real(coefficients),
        first,
        second,
        head,
        sigma,
        offset,
        claimed_norm,
        claimed_lipschitz,
        ground,
    )


def random_kernel_instance(generator: torch.Generator, n: int = 4, m: int = 4) -> KernelInstance:
    """One loss of norm 1 with three centres among the features; widths from 0.3 to 10 times the features' spread."""

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    sigma = float(10.0 ** (1.5 * torch.rand((), generator=generator, dtype=torch.float64) - 0.5))
    classes = torch.zeros(max(n, m), dtype=torch.int64)
    x = KernelInstance(normal(n, 2), normal(m, 2), normal(3, 2), normal(1, 3), classes[:n], classes[:m], sigma=sigma)
    return replace(x, coefficients=x.coefficients / x.exact_norm)
