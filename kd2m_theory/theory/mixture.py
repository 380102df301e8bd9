"""Mixtures of Gaussians on the line, and W₂ between them through quantiles."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from kd2m_theory.theory.instance import least_cost, root


@dataclass(frozen=True)
class Mixtures:
    """Two mixtures of Gaussians on the line, each with equal weights.

    Attributes:
        student: k means.
        log_spread_student: k logarithms of standard deviations, taken as ±8 beyond ±8 (no overflow).
        teacher: l means.
        log_spread_teacher: l.
    """

    student: Tensor
    log_spread_student: Tensor
    teacher: Tensor
    log_spread_teacher: Tensor

    @property
    def spreads(self) -> tuple[Tensor, Tensor]:
        """Standard deviations of student and teacher."""
        return self.log_spread_student.clamp(-8.0, 8.0).exp(), self.log_spread_teacher.clamp(-8.0, 8.0).exp()

    def transported(self, costs: Tensor) -> Tensor:
        """The least of √E[cost] over plans between components, for k × l costs.

        Every component is repeated until both sides have k·l: then a best plan is an assignment.
        """
        rows, columns = costs.shape
        return root(least_cost(costs.repeat_interleave(columns, 0).repeat_interleave(rows, 1)))

    @property
    def moved(self) -> Tensor:
        """(m − m')², k × l."""
        return (self.student[:, None] - self.teacher) ** 2

    @property
    def distance(self) -> Tensor:
        """MW₂: W₂² between components is (m − m')² + (s − s')²."""
        student, teacher = self.spreads
        return self.transported(self.moved + (student[:, None] - teacher) ** 2)


def quadrature(x: Mixtures, order: int = 16) -> tuple[Tensor, Tensor]:
    """Nodes t and weights of ∫ g(t) φ(t) dt, g a function of both mixtures' quantiles.

    Gauss and Legendre's rule between the levels that whole multiples of each component's standard deviation have: where a
    quantile function bends, a component begins or ends.
    """
    multiples, ends = torch.arange(-8, 9, dtype=torch.float64), [torch.tensor([-9.0, 9.0], dtype=torch.float64)]
    for centres, spreads in zip((x.student.detach(), x.teacher.detach()), (s.detach() for s in x.spreads), strict=True):
        points = (centres[:, None] + spreads[:, None] * multiples).reshape(-1, 1)
        below, above = (torch.special.ndtr(sign * (points - centres) / spreads).mean(1) for sign in (1, -1))
        ends.append(torch.where(below < 0.5, torch.special.ndtri(below), -torch.special.ndtri(above)).clamp(-9.0, 9.0))
    at = torch.cat(ends).sort().values
    middle, half = (at[1:] + at[:-1]) / 2, (at[1:] - at[:-1]) / 2
    inner, weights = (torch.from_numpy(part) for part in np.polynomial.legendre.leggauss(order))
    nodes = (middle[:, None] + half[:, None] * inner).reshape(-1)
    return nodes, (half[:, None] * weights).reshape(-1) * torch.exp(-(nodes**2) / 2) / (2 * torch.pi) ** 0.5


def quantiles(levels: Tensor, centres: Tensor, spreads: Tensor) -> Tensor:
    """Where the mixture's distribution function is Φ(t), for every t; gradients by the implicit function theorem."""
    # The upper tail by its survival function: no digits are lost near 1.
    sign = torch.where(levels > 0, -1.0, 1.0).to(levels)

    def excess(points: Tensor) -> Tensor:
        below = torch.special.ndtr(sign[:, None] * (points[:, None] - centres) / spreads).mean(1)
        difference: Tensor = sign * (below - torch.special.ndtr(sign * levels))
        return difference

    with torch.no_grad():
        each = centres + spreads * levels[:, None]
        low, high = each.amin(1), each.amax(1)
        for _ in range(60):
            middle = (low + high) / 2
            above = excess(middle) > 0
            low, high = torch.where(above, low, middle), torch.where(above, middle, high)
        found = (low + high) / 2
        density = torch.exp(-(((found[:, None] - centres) / spreads) ** 2) / 2) / (spreads * (2 * torch.pi) ** 0.5)
        slope = density.mean(1).clamp_min(1e-30)
    value = excess(found)
    result: Tensor = found - (value - value.detach()) / slope
    return result


def mixture_distance(x: Mixtures) -> Tensor:
    """W₂ of the mixtures: the root mean square of the difference of their quantile functions."""
    nodes, weights = quadrature(x)
    student = quantiles(nodes, x.student, x.spreads[0])
    teacher = quantiles(nodes, x.teacher, x.spreads[1])
    return root((weights * (student - teacher) ** 2).sum())


def mixtures(student: list[float], teacher: list[float], spreads: list[float], spreads_teacher: list[float]) -> Mixtures:
    """Mixtures from means and standard deviations."""
    s, t, a, b = (torch.tensor(v, dtype=torch.float64) for v in (student, teacher, spreads, spreads_teacher))
    return Mixtures(s, a.log(), t, b.log())
