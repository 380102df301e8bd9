"""What T6 multiplies: norms of a quadratic loss in the space of a polynomial kernel, and differences of moments."""

from dataclasses import dataclass

import torch
from torch import Tensor

from kd2m_theory.theory.instance import length, root


def norm(value: Tensor) -> Tensor:
    """‖·‖_F, with gradient zero (not NaN) at zero."""
    return length(value.reshape(-1))


@dataclass(frozen=True)
class Parts:
    """What T6 multiplies, for the loss ‖Wz − t‖² of one class and moments about one centre z₀.

    Attributes:
        quadratic: ‖WᵀW‖_F.
        gradient: ‖2Wᵀ(Wz₀ − t)‖.
        spread: ‖ΔM‖_F, M the second moment about z₀.
        shift: ‖Δμ‖.
    """

    quadratic: Tensor
    gradient: Tensor
    spread: Tensor
    shift: Tensor


def parts(student: Tensor, teacher: Tensor, weight: Tensor, target: Tensor, centre: Tensor | None = None) -> Parts:
    """The four factors about a centre; half way between the two means if there is none, where ΔM = ΔΣ (covariances by 1/n)."""
    means = student.mean(0), teacher.mean(0)
    shift = means[0] - means[1]
    if centre is None:
        centre = (means[0] + means[1]) / 2
        about = means  # equal to moments about the centre, and no digits are lost
    else:
        about = centre, centre
    second = [(z - origin).T @ (z - origin) / len(z) for z, origin in zip((student, teacher), about, strict=True)]
    gradient = 2 * (weight @ centre - target) @ weight
    return Parts(norm(weight.T @ weight), length(gradient), norm(second[0] - second[1]), length(shift))


def best_kernel(p: Parts) -> Tensor:
    """min_c ‖f‖ MMD, over c > 0."""
    return p.quadratic * p.spread + p.gradient * p.shift


def kernel(p: Parts, c: float) -> Tensor:
    """‖f‖ MMD for (⟨z − z₀, z' − z₀⟩ + c)²."""
    return root(p.quadratic**2 + p.gradient**2 / (2 * c)) * root(p.spread**2 + 2 * c * p.shift**2)


def projection(classes: int) -> Tensor:
    """On vectors of sum zero."""
    return torch.eye(classes, dtype=torch.float64) - 1.0 / classes
