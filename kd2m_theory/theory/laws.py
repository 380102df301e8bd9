"""Laws of T7 that are not point clouds: weights on common atoms, and Gaussian margins."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from kd2m_theory.theory.divergences import divergence


@dataclass(frozen=True)
class Atoms:
    """Laws of both sides on the same finitely many points, class by class, and a loss on these points.

    Attributes:
        student: C × A log-weights; P_S^y is the softmax of row y.
        teacher: C × A log-weights.
        losses: C × A, ℓ of every class and point.
        shares: π_y of the student, C.
        shares_teacher: C.
        bound: B.
    """

    student: Tensor
    teacher: Tensor
    losses: Tensor
    shares: Tensor
    shares_teacher: Tensor
    bound: float = 1.0

    @property
    def gap(self) -> Tensor:
        """R_S − R_T."""
        sides = ((self.student, self.shares), (self.teacher, self.shares_teacher))
        student, teacher = (shares @ (torch.softmax(law, 1) * self.losses).sum(1) for law, shares in sides)
        return student - teacher

    @property
    def variations(self) -> Tensor:
        """TV(P_S^y, P_T^y) = ½ Σ_a |P_S(a|y) − P_T(a|y)|, C."""
        return 0.5 * (torch.softmax(self.student, 1) - torch.softmax(self.teacher, 1)).abs().sum(1)

    @property
    def divergences(self) -> Tensor:
        """KL(P_S^y ‖ P_T^y), C."""
        return divergence(self.student, self.teacher)


@dataclass(frozen=True)
class Margins:
    """Populations whose margins m, given the class, are Gaussian; a sample is wrong where m < 0.

    Attributes:
        student: C means.
        teacher: C means.
        log_spread_student: C logarithms of standard deviations, taken as ±12 beyond ±12 (no overflow).
        log_spread_teacher: C.
        shares: π_y of the student, C.
        shares_teacher: C.
        law: error probability of the student from mean and standard deviation, where its law is not Gaussian.
    """

    student: Tensor
    teacher: Tensor
    log_spread_student: Tensor
    log_spread_teacher: Tensor
    shares: Tensor
    shares_teacher: Tensor
    law: Callable[[Tensor, Tensor], Tensor] | None = None

    @property
    def log_spreads(self) -> tuple[Tensor, Tensor]:
        """Logarithms of the standard deviations of student and teacher."""
        return self.log_spread_student.clamp(-12.0, 12.0), self.log_spread_teacher.clamp(-12.0, 12.0)

    @property
    def spreads(self) -> tuple[Tensor, Tensor]:
        """Standard deviations of student and teacher."""
        student, teacher = self.log_spreads
        return student.exp(), teacher.exp()

    @property
    def change(self) -> Tensor:
        """ln of the teacher's standard deviation over the student's, C."""
        student, teacher = self.log_spreads
        return teacher - student

    @property
    def gap(self) -> Tensor:
        """err_S − err_T."""
        student = (self.law or below_zero)(self.student, self.spreads[0])
        return self.shares @ student - self.shares_teacher @ below_zero(self.teacher, self.spreads[1])

    @property
    def divergences(self) -> tuple[Tensor, Tensor]:
        """KL(P_S^y ‖ P_T^y) and KL(P_T^y ‖ P_S^y), C each."""
        (s, t), shift = self.spreads, (self.student - self.teacher) ** 2
        change = self.change
        # expm1: of nearly equal variances the terms cancel
        forward = 0.5 * (torch.expm1(-2 * change) + 2 * change + shift / t**2)
        return forward, 0.5 * (torch.expm1(2 * change) - 2 * change + shift / s**2)

    @property
    def log_affinity(self) -> Tensor:
        """ln of the Bhattacharyya coefficient ∫√(P_S^y P_T^y), C."""
        (s, t), change = self.spreads, self.log_spread_teacher - self.log_spread_student
        return -0.25 * (self.student - self.teacher) ** 2 / (s**2 + t**2) - 0.25 * torch.sinh(change).square().log1p()


def below_zero(mean: Tensor, spread: Tensor) -> Tensor:
    """P(m < 0) for N(mean, spread²)."""
    probability: Tensor = torch.special.ndtr(-mean / spread)
    return probability


def two_points(mean: Tensor, spread: Tensor) -> Tensor:
    """P(m < 0) for mean ± spread with probability ½ each."""
    return ((mean - spread < 0).to(mean) + (mean + spread < 0).to(mean)) / 2


def atoms(
    student: list[list[float]],
    teacher: list[list[float]],
    losses: list[list[float]],
    shares: list[float],
    shares_teacher: list[float] | None = None,
) -> Atoms:
    """Atoms from weights (not their logarithms; they need not sum to one)."""
    values = (student, teacher, losses, shares, shares if shares_teacher is None else shares_teacher)
    p, q, loss, first, second = (torch.tensor(value, dtype=torch.float64) for value in values)
    return Atoms(p.log(), q.log(), loss, first, second)


def margins(
    student: list[float],
    teacher: list[float],
    shares: list[float],
    shares_teacher: list[float] | None = None,
    law: Callable[[Tensor, Tensor], Tensor] | None = None,
) -> Margins:
    """Margins of standard deviation 1 with these means."""
    values = (student, teacher, shares, shares if shares_teacher is None else shares_teacher)
    s, t, p, q = (torch.tensor(value, dtype=torch.float64) for value in values)
    return Margins(s, t, torch.zeros_like(s), torch.zeros_like(t), p, q, law)
