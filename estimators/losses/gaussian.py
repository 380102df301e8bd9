"""Gaussian distances as training losses: on the tensors' device and dtype, with gradients that stay finite.

The definitions are those of `gaussian.py`. Neither loss divides by a gap between eigenvalues in the backward pass: the nuclear
norm has the gradient ‖XYᵀ‖_* ↦ (P Y, Pᵀ X) with P the partial isometry of XYᵀ, and KL goes through Cholesky factors.
This module imports torch; `kd2m_theory.estimators` does not import this module.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from kd2m_theory.checks import one_of
from kd2m_theory.errors import InputError
from kd2m_theory.estimators.losses.by_class import Layout, Stack, stack_of_one
from kd2m_theory.estimators.losses.inputs import require_floats, require_values
from kd2m_theory.estimators.losses.pooled_gaussians import PooledDivergence


def squared_gaussian_w2(x: Tensor, y: Tensor, covariance: str = "full") -> Tensor:
    """Squared W₂ between the Gaussians with the two batches' means and covariances (divided by n): a scalar tensor.

    Where batches are so alike that a standard deviation is about to vanish, W₂² has kinks; the gradient is then one of the
    subgradients, the one of least norm along the directions that vanished.

    Args:
        x: n × d features.
        y: m × d features, of the same dtype and on the same device.
        covariance: "full", or "diagonal" to ignore correlations.

    Raises:
        InputError: no n × d batches of float32 or float64 of one dimension, dtype and device.
    """
    one_of(covariance, ("full", "diagonal"), "covariance")
    _check(x, y)
    return _squared_w2(stack_of_one(x), stack_of_one(y), covariance)[0]


def squared_gaussian_cw2(x: Tensor, y: Tensor, classes: Layout, covariance: str = "full") -> Tensor:
    """Mean of `squared_gaussian_w2` over the classes present in the batch: a scalar tensor; zero if there is none.

    Args:
        x: n × d features.
        y: n × d features of the same batch.
        classes: the layout of both, from `by_class`.
        covariance: as `squared_gaussian_w2`.

    Raises:
        InputError: as `squared_gaussian_w2`.
    """
    one_of(covariance, ("full", "diagonal"), "covariance")
    _check(x, y)
    if not classes.rows:
        return x[:0].sum()
    both = zip(classes.stacks(x), classes.stacks(y), strict=True)
    return torch.cat([_squared_w2(*each, covariance) for each in both]).mean()


def gaussian_kl_loss(x: Tensor, y: Tensor, covariance: str = "full", shrinkage: float = 0.0) -> Tensor:
    """KL(N_x‖N_y) in nats between the Gaussians with the two batches' moments: a scalar tensor. `x` is the one averaged over.

    Args:
        x: n × d features.
        y: m × d features, of the same dtype and on the same device.
        covariance: "full", or "diagonal" to ignore correlations.
        shrinkage: s in [0, 1]; both covariances become (1 − s) Σ + s (tr Σ/d) I, as in `gaussian_kl`.

    Raises:
        InputError: as `squared_gaussian_w2`; a shrinkage outside [0, 1]; a covariance that is singular to the dtype's
            precision, so that the divergence or its gradient is infinite or lost in rounding (full covariances of fewer than
            d + 1 points always are: they need shrinkage).
    """
    _check_options(covariance, shrinkage)
    _check(x, y)
    sides = [[_Gaussians(*stack_of_one(each).moments(), shrinkage=shrinkage)] for each in (x, y)]
    return _mean_divergence(x, y, sides, covariance)


def conditional_gaussian_kl_loss(
    x: Tensor, y: Tensor, classes: Layout, pooling: float = 0.5, covariance: str = "full", shrinkage: float = 0.0
) -> Tensor:
    """Mean over the classes present in the batch of KL(N_x‖N_y) in nats: a scalar tensor.

    A class has few points in a batch, so its covariance is drawn towards the one within classes, pooled over the batch
    (Friedman's regularised discriminant analysis, 1989): Σ_c ← (1 − p) Σ_c + p Σ_within. A class of one point has no
    covariance of its own and takes Σ_within whole. Shrinkage comes after pooling.

    Args:
        x: n × d features.
        y: n × d features of the same batch.
        classes: the layout of both, from `by_class`.
        pooling: p in [0, 1].
        covariance: as `gaussian_kl_loss`.
        shrinkage: as `gaussian_kl_loss`.

    Raises:
        InputError: as `gaussian_kl_loss`; no class of two points.
    """
    _check_options(covariance, shrinkage)
    _check(x, y)
    if all(points < 2 for _, points in classes.shapes):
        raise InputError(f"each of the {len(classes.rows)} classes has one point, so that no covariance within classes exists")
    # With more points per class, factors of the covariances cost less; without both options no matrix is common to the classes.
    if covariance == "full" and (pooling or shrinkage) and all(width <= 2 * x.shape[1] for _, width in classes.shapes):
        value: Tensor
        value, lost = PooledDivergence.apply(x, y, classes, pooling, shrinkage)  # type: ignore[no-untyped-call]
        _require_regular(lost, x, y, covariance)
        return value
    sides = [_pooled(classes.stacks(each), pooling, shrinkage) for each in (x, y)]
    return _mean_divergence(x, y, sides, covariance)


class _NuclearNorm(torch.autograd.Function):
    """‖XYᵀ‖_* for k pairs of X (n × d) and Y (m × d), through the singular values of R_x R_yᵀ where rows outnumber columns."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor) -> Tensor:
        basis_x, small_x = _reduced(x)
        basis_y, small_y = _reduced(y)
        left, sizes, right = torch.linalg.svd(small_x @ small_y.mT, full_matrices=False)
        # Singular vectors of what is zero but for rounding are noise; without them P is the partial isometry.
        tolerance = max(*x.shape[1:], *y.shape[1:]) * torch.finfo(x.dtype).eps
        kept = (sizes > tolerance * sizes.amax(dim=1, keepdim=True)).to(x.dtype)
        isometry = (left * kept[:, None]) @ right
        toward_x, toward_y = isometry @ small_y, isometry.mT @ small_x
        ctx.save_for_backward(
            toward_x if basis_x is None else basis_x @ toward_x, toward_y if basis_y is None else basis_y @ toward_y
        )
        norms: Tensor = sizes.sum(dim=1)
        return norms

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        toward_x, toward_y = ctx.saved_tensors
        gradient = gradient[:, None, None]
        return gradient * toward_x, gradient * toward_y


def _reduced(factors: Tensor) -> tuple[Tensor | None, Tensor]:
    """Q and R with QR = F for each F; Q is None, for the identity, when F has no more rows than columns."""
    _, n, d = factors.shape
    if n <= d:
        return None, factors
    basis, small = torch.linalg.qr(factors)
    return basis, small


def _squared_w2(x: Stack, y: Stack, covariance: str) -> Tensor:
    """Squared Gaussian W₂ of k pairs of clouds, k values."""
    mean_x, factor_x = x.moments()
    mean_y, factor_y = y.moments()
    mean_part = (mean_x - mean_y).square().sum(dim=1)
    if covariance == "diagonal":
        # A norm has subgradient zero at a constant coordinate, where the root of a variance has none that is finite.
        deviations = torch.linalg.vector_norm(factor_x, dim=1) - torch.linalg.vector_norm(factor_y, dim=1)
        marginal: Tensor = mean_part + deviations.square().sum(dim=1)
        return marginal
    nuclear: Tensor = _NuclearNorm.apply(factor_x, factor_y)  # type: ignore[no-untyped-call]
    squares: Tensor = mean_part + factor_x.square().sum(dim=(1, 2)) + factor_y.square().sum(dim=(1, 2)) - 2 * nuclear
    return squares


@dataclass(frozen=True)
class _Gaussians:
    """k Gaussians with covariances (1 − s)(FᵀF + w W) + s (their mean variance) I, s the shrinkage.

    Attributes:
        means: k × d.
        factors: F, k × p × d.
        shrinkage: s.
        shares: w, k × 1 × 1; None for zero.
        within: W, a factor of it: rows × d; None for zero.
    """

    means: Tensor
    factors: Tensor
    shrinkage: float
    shares: Tensor | None = None
    within: Tensor | None = None

    def variances(self) -> Tensor:
        """The diagonals of the covariances, k × d, where only these are shrunk and compared."""
        variances: Tensor = self.factors.square().sum(dim=1)
        if self.shares is not None and self.within is not None:
            variances = variances + self.shares[:, 0] * self.within.square().sum(dim=0)
        return variances + self.shrinkage * (variances.mean(dim=1, keepdim=True) - variances)

    def covariances(self) -> Tensor:
        """The covariances, k × d × d."""
        d = self.means.shape[1]
        kept = 1 - self.shrinkage
        matrices = kept * self.factors.mT @ self.factors
        traces = self.factors.square().sum(dim=(1, 2), keepdim=True)
        if self.shares is not None and self.within is not None:
            matrices = matrices + kept * self.shares * (self.within.mT @ self.within)
            traces = traces + self.shares * self.within.square().sum()
        return matrices + self.shrinkage * traces / d * torch.eye(d, dtype=matrices.dtype, device=matrices.device)


def _pooled(stacks: Sequence[Stack], pooling: float, shrinkage: float) -> list[_Gaussians]:
    """The Gaussians of classes, stack by stack, with covariances that are pooled and then shrunk."""
    n = sum(each.counts.sum() for each in stacks)
    moments = [each.moments() for each in stacks]
    residuals = [factors * (each.counts / n).sqrt() for each, (_, factors) in zip(stacks, moments, strict=True)]
    within = torch.cat([each.flatten(0, 1) for each in residuals])
    # A class of one point has F = 0 already.
    return [
        _Gaussians(
            means=means,
            factors=math.sqrt(1 - pooling) * factors,
            shrinkage=shrinkage,
            shares=1 - (1 - pooling) * (each.counts > 1).to(each.counts),
            within=within,
        )
        for each, (means, factors) in zip(stacks, moments, strict=True)
    ]


def _mean_divergence(x: Tensor, y: Tensor, sides: Sequence[Sequence[_Gaussians]], covariance: str) -> Tensor:
    """Mean of KL(N_x‖N_y) over pairs of Gaussians, which are those of the features x and y, stack by stack."""
    of_pair = _marginal_divergences if covariance == "diagonal" else _full_divergences
    pairs = zip(sides[0], sides[1], strict=True)
    values, lost = zip(*(of_pair(first, second, (len(x), len(y))) for first, second in pairs), strict=True)
    _require_regular(torch.cat(lost, dim=1), x, y, covariance)
    return torch.cat(values).mean()


def _require_regular(lost: Tensor, x: Tensor, y: Tensor, covariance: str) -> None:
    """Refuse divergences of singular covariances.

    Args:
        lost: 2 × k, for each Gaussian of x and of y how many directions are lost.
        x: the features.
        y: the features.
        covariance: "full" or "diagonal".

    Raises:
        InputError: one of them has a lost direction.
    """
    if not bool(lost.any()):  # one look: on a GPU each makes the host wait
        return
    name, points, numbers = ("x", x, lost[0]) if bool(lost[0].any()) else ("y", y, lost[1])
    n, d = points.shape
    raise InputError(
        f"{name} has no variance in {int(numbers[numbers > 0][0])} of {d} coordinates; {_MEND}"
        if covariance == "diagonal"
        else f"the covariance of {name} ({n} points, d = {d}) is singular to the precision of {points.dtype}; {_MEND}"
    )


def _marginal_divergences(x: _Gaussians, y: _Gaussians, _: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """KL of independent coordinates, k values, and how many variances are zero, 2 × k."""
    variance_x, variance_y = x.variances(), y.variances()
    ratio = variance_x / variance_y
    values = (ratio - 1 - ratio.log() + (x.means - y.means).square() / variance_y).sum(dim=1) / 2
    return values, (torch.stack((variance_x, variance_y)) <= 0).sum(dim=2)


def _full_divergences(x: _Gaussians, y: _Gaussians, points: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """KL, k values, and how many pivots of a covariance are lost in rounding, 2 × k."""
    (root_x, lost_x), (root_y, lost_y) = (
        _cholesky(each.covariances(), number) for each, number in zip((x, y), points, strict=True)
    )
    gap = x.means - y.means
    white = torch.linalg.solve_triangular(root_y, torch.cat((root_x, gap[:, :, None]), dim=2), upper=False)
    log_ratio = (root_y.diagonal(dim1=1, dim2=2).log() - root_x.diagonal(dim1=1, dim2=2).log()).sum(dim=1)
    values = (white.square().sum(dim=(1, 2)) - x.means.shape[1]) / 2 + log_ratio
    return values, torch.stack((lost_x, lost_y)).sum(dim=2)


def _cholesky(covariances: Tensor, points: int) -> tuple[Tensor, Tensor]:
    """Lower roots, k × d × d, and which pivots are lost, k × d; all of a matrix that has no root."""
    roots, failed = torch.linalg.cholesky_ex(covariances)
    # Rounding can carry a singular matrix through; what is left then are pivots of rounding size.
    noise = max(points, covariances.shape[1]) * torch.finfo(covariances.dtype).eps
    with torch.no_grad():
        pivots, variances = (each.diagonal(dim1=1, dim2=2) for each in (roots, covariances))
        lost = (pivots.square() <= noise * variances) | (failed != 0)[:, None]
    return roots, lost


_MEND = "ask for shrinkage > 0, a larger batch, or covariance='diagonal', and drop coordinates that never vary"


def _check_options(covariance: str, shrinkage: float) -> None:
    one_of(covariance, ("full", "diagonal"), "covariance")
    if not 0 <= shrinkage <= 1:
        raise InputError(f"shrinkage is {shrinkage!r}; choose a number from 0 (the covariance itself) to 1 (its mean variance)")


def _check(x: Tensor, y: Tensor) -> None:
    require_floats(x=x, y=y)
    for points, name in ((x, "x"), (y, "y")):
        if points.ndim != 2 or 0 in points.shape:
            raise InputError(f"{name} has shape {tuple(points.shape)}; pass n × d features with n ≥ 1 and d ≥ 1")
    if x.shape[1] != y.shape[1]:
        raise InputError(f"x has dimension {x.shape[1]} and y has dimension {y.shape[1]}; both batches must lie in one space")
    if x.dtype != y.dtype or x.device != y.device:
        raise InputError(f"x is {x.dtype} on {x.device} and y is {y.dtype} on {y.device}; move one to the other")
    require_values(x, y)
