"""Gaussian distances as training losses: on the tensors' device and dtype, with gradients that stay finite.

The definitions are those of `gaussian.py`. Neither loss divides by a gap between eigenvalues in the backward pass: the nuclear
norm has the gradient ‖XYᵀ‖_* ↦ (P Y, Pᵀ X) with P the partial isometry of XYᵀ, and KL goes through Cholesky factors.
This module imports torch; `kd2m_theory.estimators` does not import this module.
"""

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from kd2m_theory.checks import one_of
from kd2m_theory.errors import InputError
from kd2m_theory.estimators.losses.inputs import require_floats, require_values


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
    mean_x, factor_x = _moments(x)
    mean_y, factor_y = _moments(y)
    mean_part = (mean_x - mean_y).square().sum()
    if covariance == "diagonal":
        # A norm has subgradient zero at a constant coordinate, where the root of a variance has none that is finite.
        deviations = torch.linalg.vector_norm(factor_x, dim=0) - torch.linalg.vector_norm(factor_y, dim=0)
        marginal: Tensor = mean_part + deviations.square().sum()
        return marginal
    nuclear: Tensor = _NuclearNorm.apply(factor_x, factor_y)  # type: ignore[no-untyped-call]
    square: Tensor = mean_part + factor_x.square().sum() + factor_y.square().sum() - 2 * nuclear
    return square


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
    one_of(covariance, ("full", "diagonal"), "covariance")
    if not 0 <= shrinkage <= 1:
        raise InputError(f"shrinkage is {shrinkage!r}; choose a number from 0 (the covariance itself) to 1 (its mean variance)")
    _check(x, y)
    mean_x, factor_x = _moments(x)
    mean_y, factor_y = _moments(y)
    gap = mean_x - mean_y
    if covariance == "diagonal":
        variance_x, variance_y = _variances(factor_x, shrinkage, "x"), _variances(factor_y, shrinkage, "y")
        ratio = variance_x / variance_y
        marginal: Tensor = (ratio - 1 - ratio.log() + gap.square() / variance_y).sum() / 2
        return marginal
    root_x, root_y = _cholesky(factor_x, shrinkage, "x"), _cholesky(factor_y, shrinkage, "y")
    white = torch.linalg.solve_triangular(root_y, torch.cat((root_x, gap[:, None]), dim=1), upper=False)
    log_ratio = root_y.diagonal().log().sum() - root_x.diagonal().log().sum()
    divergence: Tensor = (white.square().sum() - x.shape[1]) / 2 + log_ratio
    return divergence


class _NuclearNorm(torch.autograd.Function):
    """‖XYᵀ‖_* for X (n × d) and Y (m × d), through the singular values of R_x R_yᵀ when there are more rows than columns."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor) -> Tensor:
        basis_x, small_x = _reduced(x)
        basis_y, small_y = _reduced(y)
        left, sizes, right = torch.linalg.svd(small_x @ small_y.T, full_matrices=False)
        # Singular vectors of what is zero but for rounding are noise; without them P is the partial isometry.
        tolerance = max(*x.shape, *y.shape) * torch.finfo(x.dtype).eps
        kept = (sizes > tolerance * sizes.max()).to(x.dtype)
        isometry = (left * kept) @ right
        ctx.save_for_backward(basis_x @ (isometry @ small_y), basis_y @ (isometry.T @ small_x))
        norm: Tensor = sizes.sum()
        return norm

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        toward_x, toward_y = ctx.saved_tensors
        return gradient * toward_x, gradient * toward_y


def _reduced(factor: Tensor) -> tuple[Tensor, Tensor]:
    """Q and R with QR = F; Q is the identity when F has no more rows than columns."""
    n, d = factor.shape
    if n <= d:
        return torch.eye(n, dtype=factor.dtype, device=factor.device), factor
    basis, small = torch.linalg.qr(factor)
    return basis, small


def _moments(points: Tensor) -> tuple[Tensor, Tensor]:
    """Mean, and F with FᵀF = Σ. Away from the first point before the mean is taken: constant coordinates are exact zeros."""
    anchor = points[0].detach()
    moved = points - anchor
    offset = moved.mean(dim=0)
    return anchor + offset, (moved - offset) / math.sqrt(len(points))


def _variances(factor: Tensor, shrinkage: float, name: str) -> Tensor:
    variances: Tensor = factor.square().sum(dim=0)
    variances = variances + shrinkage * (variances.mean() - variances)
    singular = int((variances <= 0).sum())
    if singular:
        raise InputError(f"{name} has no variance in {singular} of {factor.shape[1]} coordinates; {_MEND}")
    return variances


def _cholesky(factor: Tensor, shrinkage: float, name: str) -> Tensor:
    n, d = factor.shape
    level = shrinkage * factor.square().sum() / d
    covariance = (1 - shrinkage) * factor.T @ factor + level * torch.eye(d, dtype=factor.dtype, device=factor.device)
    root: Tensor
    root, failed = torch.linalg.cholesky_ex(covariance)
    # Rounding can carry a singular matrix through; what is left then are pivots of rounding size.
    noise = max(n, d) * torch.finfo(factor.dtype).eps * covariance.detach().diagonal()
    lost = root.detach().diagonal().square() <= noise
    if bool((failed != 0) | lost.any()):  # one look: on a GPU each makes the host wait
        raise InputError(
            f"the covariance of {name} ({n} points, d = {d}) is singular to the precision of {factor.dtype}; {_MEND}"
        )
    return root


_MEND = "ask for shrinkage > 0, a larger batch, or covariance='diagonal', and drop coordinates that never vary"


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
