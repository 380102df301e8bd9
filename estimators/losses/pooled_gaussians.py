"""KL between Gaussians of classes with pooled covariances, where classes have few points. Imports torch; import it by name.

The covariance of a class is a multiple of one matrix of the batch, a multiple of the identity, and few points of its own:

    Σ_c = a_c W + l_c I + F_cᵀF_c,   W = U diag(w) Uᵀ.

With b_c = a_c w + l_c, E_c = F_c U diag(b_c)^(−1/2) and the Cholesky factor K_c of I + E_c E_cᵀ, the identities of Woodbury and of
Sylvester say

    Σ_c⁻¹ = U (diag(1/b_c) − V_cᵀV_c) Uᵀ with V_c = K_c⁻¹ E_c diag(b_c)^(−1/2),   log det Σ_c = Σ log b_c + 2 Σ log diag K_c.

C classes of n points together take one decomposition of W and products with n rows: O(d³ + n d²) operations, where factors of the
covariances themselves take O(C d³), and no d × d matrix per class. What is subtracted is small, because pooling and shrinkage
bound ‖E_c‖. The gradient is written out: that of a decomposition would divide by gaps between eigenvalues.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from kd2m_theory.estimators.losses.by_class import Layout, Stack


class PooledDivergence(torch.autograd.Function):
    """Of x and y, n × d each, by class: the mean of KL(N_x‖N_y) over the classes, and whether x and y have singular covariances.

    `apply` takes x, y, the layout of both, the pooling and the shrinkage, which are not both zero.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, classes: Layout, pooling: float, shrinkage: float) -> tuple[Tensor, Tensor]:
        batch, stacks = _prepared(x, y, classes, pooling, shrinkage)
        value = torch.cat([each.divergences() for each in stacks]).mean()
        lost = torch.cat([each.lost() for each in stacks], dim=1).any(dim=1)
        ctx.mark_non_differentiable(lost)
        ctx.save_for_backward(
            _gradient_of_x(batch, stacks) if ctx.needs_input_grad[0] else None,
            _gradient_of_y(batch, stacks) if ctx.needs_input_grad[1] else None,
        )
        return value, lost

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        ends = [None if each is None else gradient * each for each in ctx.saved_tensors]
        return (*ends, None, None, None)


@dataclass(frozen=True)
class _Batch:
    """What the classes share.

    Attributes:
        layout: of x and of y.
        pooling: p.
        shrinkage: s.
        bases: U of x and of y, 2 × d × d.
        within: UᵀW_x U with the U of y, d × d.
    """

    layout: Layout
    pooling: float
    shrinkage: float
    bases: Tensor
    within: Tensor

    @property
    def own(self) -> float:
        """The root of what a class keeps of its own covariance."""
        return math.sqrt((1 - self.shrinkage) * (1 - self.pooling))


@dataclass(frozen=True)
class _Classes:
    """One stack of k classes, in the letters of the module.

    Attributes:
        counts: numbers of points, k × 1 × 1.
        stack: the points of x and y side by side, k × p × 2d.
        factors: their deviations from the mean over √n_c, of x and of y, 2 × k × p × d.
        shares: what a class takes of the pooled covariance, k × 1.
        pooled: a, k × 1.
        levels: l, 2 × k × 1.
        base: b, 2 × k × d.
        roots: K, 2 × k × p × p.
        inner: V, 2 × k × p × d, each in its own basis.
        moved: V W_x, of y, k × p × d.
        extra: F_x in the basis of y, and below it the difference of the means, k × (p + 1) × d.
        diagonal: the diagonal of W_x in the basis of y, d.
    """

    stack: Stack
    factors: Tensor
    shares: Tensor
    pooled: Tensor
    levels: Tensor
    base: Tensor
    roots: Tensor
    inner: Tensor
    moved: Tensor
    extra: Tensor
    diagonal: Tensor

    def divergences(self) -> Tensor:
        """KL of each class, k values."""
        log_ratio = self.base.log().sum(dim=2) + 2 * self.roots.diagonal(dim1=2, dim2=3).log().sum(dim=2)
        traces = (self.of_x() / self.base[1]).sum(dim=1)
        traces = traces - (self.spread() * self.inner[1]).sum(dim=(1, 2)) + (self.extra * self.solved()).sum(dim=(1, 2))
        return (traces - self.base.shape[2] + log_ratio[1] - log_ratio[0]) / 2

    def of_x(self) -> Tensor:
        """The diagonal of a W_x + l_x I in the basis of y, k × d."""
        return self.pooled * self.diagonal + self.levels[0]

    def spread(self) -> Tensor:
        """V (a W_x + l_x I), k × p × d."""
        return self.pooled[:, None] * self.moved + self.levels[0][:, None] * self.inner[1]

    def solved(self) -> Tensor:
        """`extra` times the inverse covariances of y."""
        return self.times_inverse(self.extra)

    def times_inverse(self, rows: Tensor) -> Tensor:
        """k × q × d rows in the basis of y times the inverse covariances of y."""
        inner = self.inner[1]
        return rows / self.base[1][:, None] - (rows @ inner.mT) @ inner

    def own_solved(self, side: int) -> Tensor:
        """F Σ⁻¹ = K⁻ᵀV of one side, in its own basis."""
        return torch.linalg.solve_triangular(self.roots[side].mT, self.inner[side], upper=True)

    def trace_of_inverse(self, side: int) -> Tensor:
        """tr Σ⁻¹ of one side, k values."""
        return (1 / self.base[side]).sum(dim=1) - self.inner[side].square().sum(dim=(1, 2))

    def lost(self) -> Tensor:
        """2 × k: whether a covariance is singular to the precision of its dtype."""
        tolerance = self.base.shape[2] * torch.finfo(self.base.dtype).eps
        return ~(self.base > tolerance**2 * self.base.amax(dim=2, keepdim=True)).all(dim=2)


def _prepared(x: Tensor, y: Tensor, classes: Layout, pooling: float, shrinkage: float) -> tuple[_Batch, list[_Classes]]:
    n, d = x.shape
    stacks = classes.stacks(torch.cat((x, y), dim=1))
    moments = [each.moments() for each in stacks]
    counted = sum(map(len, classes.rows))
    residuals = classes.rows_of([f * (each.counts / counted).sqrt() for each, (_, f) in zip(stacks, moments, strict=True)])
    within = residuals.reshape(n, 2, d).movedim(1, 0)
    # Singular values of the residuals keep digits that eigenvalues of their covariance lose.
    _, sizes, right = torch.linalg.svd(within, full_matrices=n < d)
    spectra = torch.nn.functional.pad(sizes.square(), (0, d - sizes.shape[1]))
    bases = right.mT
    turned = within[0] @ bases[1]
    batch = _Batch(layout=classes, pooling=pooling, shrinkage=shrinkage, bases=bases, within=turned.T @ turned)
    return batch, [_classes(batch, each, *of, spectra) for each, of in zip(stacks, moments, strict=True)]


def _classes(batch: _Batch, stack: Stack, means: Tensor, factors: Tensor, spectra: Tensor) -> _Classes:
    k, p, d = factors.shape[0], factors.shape[1], factors.shape[2] // 2
    sides = factors.reshape(k, p, 2, d).permute(2, 0, 1, 3).contiguous()
    gaps = means[:, :d] - means[:, d:]
    # A class of one point has no covariance of its own.
    shares = 1 - (1 - batch.pooling) * (stack.counts[:, 0] > 1).to(means)
    totals = (1 - batch.pooling) * sides.square().sum(dim=(2, 3))[..., None] + shares * spectra.sum(dim=1)[:, None, None]
    levels = batch.shrinkage / d * totals
    pooled = (1 - batch.shrinkage) * shares
    base = pooled * spectra[:, None] + levels
    turned = batch.own * (sides.flatten(1, 2) @ batch.bases).reshape(2, k, p, d)
    scaled = turned / base.sqrt()[:, :, None]
    roots, _ = torch.linalg.cholesky_ex(scaled @ scaled.mT + torch.eye(p, dtype=base.dtype, device=base.device))
    inner = torch.linalg.solve_triangular(roots, scaled / base.sqrt()[:, :, None], upper=False)
    extra = torch.cat((batch.own * sides[0], gaps[:, None]), dim=1) @ batch.bases[1]
    return _Classes(
        stack=stack,
        factors=sides,
        shares=shares,
        pooled=pooled,
        levels=levels,
        base=base,
        roots=roots,
        inner=inner,
        moved=inner[1] @ batch.within,
        extra=extra,
        diagonal=batch.within.diagonal(),
    )


def _gradient_of_y(batch: _Batch, stacks: Sequence[_Classes]) -> Tensor:
    """With G = ½(Σ_y⁻¹ − Σ_y⁻¹(Σ_x + ggᵀ)Σ_y⁻¹), g the difference of the means: F ↦ 2 F G, W ↦ Σ a G, l ↦ tr G, mean ↦ −Σ_y⁻¹g."""
    basis = batch.bases[1]
    shared = torch.zeros_like(batch.within)
    parts = []
    for each in stacks:
        inner, inverse, a = each.inner[1], 1 / each.base[1], each.pooled
        solved, spread = each.solved(), each.spread()
        own = each.own_solved(1)
        image = a[:, None] * (own @ batch.within) + each.levels[0][:, None] * own + (own @ each.extra.mT) @ each.extra
        factors = own - each.times_inverse(image)
        # Σ⁻¹MΣ⁻¹ = D M D − JᵀV − VᵀJ for M = a W + l I, D = diag(1/b) and J = V M D − ½ (V M Vᵀ) V.
        cross = spread * inverse[:, None] - (spread @ inner.mT) @ inner / 2
        weighted = (a[:, None] * cross).flatten(0, 1).T @ inner.flatten(0, 1)
        outer = torch.cat((inner, solved), dim=1)
        shared = shared + (
            torch.diag((a * inverse - a * each.levels[0] * inverse.square()).sum(dim=0))
            - batch.within * ((a.square() * inverse).T @ inverse)
            + weighted
            + weighted.T
            - (a[:, None] * outer).flatten(0, 1).T @ outer.flatten(0, 1)
        )
        level = (
            each.trace_of_inverse(1)
            - (each.of_x() * inverse.square()).sum(dim=1)
            + 2 * (cross * inner).sum(dim=(1, 2))
            - solved.square().sum(dim=(1, 2))
        ) / 2
        parts.append((factors @ basis.T, level, -solved[:, -1] @ basis.T))
    return _at_points(batch, stacks, 1, parts, basis @ (shared / 2) @ basis.T)


def _gradient_of_x(batch: _Batch, stacks: Sequence[_Classes]) -> Tensor:
    """With G = ½(Σ_y⁻¹ − Σ_x⁻¹): F ↦ 2 F G, W ↦ Σ a G, l ↦ tr G, and mean ↦ Σ_y⁻¹g, g the difference of the means."""
    shared = torch.zeros_like(batch.within)
    parts = []
    for each in stacks:
        solved = each.solved() @ batch.bases[1].T
        factors = solved[:, :-1] - each.own_solved(0) @ batch.bases[0].T
        for side, sign in ((1, 1.0), (0, -1.0)):
            inner, basis = each.inner[side].flatten(0, 1), batch.bases[side]
            kept = torch.diag((each.pooled / each.base[side]).sum(dim=0))
            taken = (each.pooled[:, None] * each.inner[side]).flatten(0, 1).T @ inner
            shared = shared + sign * (basis @ (kept - taken) @ basis.T)
        level = (each.trace_of_inverse(1) - each.trace_of_inverse(0)) / 2
        parts.append((factors, level, solved[:, -1]))
    return _at_points(batch, stacks, 0, parts, shared / 2)


def _at_points(
    batch: _Batch, stacks: Sequence[_Classes], side: int, parts: Sequence[tuple[Tensor, Tensor, Tensor]], shared: Tensor
) -> Tensor:
    """The gradient of the mean over classes at the n × d points of one side.

    Args:
        batch: what the classes share.
        stacks: the classes.
        side: 0 for x, 1 for y.
        parts: for each stack the gradients with respect to F, k × p × d, to l, k, and to the means, k × d.
        shared: the gradient with respect to W, d × d, but for what comes through the levels l.
    """
    number, d = len(batch.layout.rows), len(shared)
    counted = sum(map(len, batch.layout.rows))
    through = torch.stack([(each.shares[:, 0] * level).sum() for each, (_, level, _) in zip(stacks, parts, strict=True)]).sum()
    shared = shared + batch.shrinkage / d * through * torch.eye(d, dtype=shared.dtype, device=shared.device)
    found = []
    for each, (toward, level, mean) in zip(stacks, parts, strict=True):
        own, counts = each.factors[side], each.stack.counts
        scale = 2 * batch.shrinkage / d * (1 - batch.pooling) * level[:, None, None]
        at = batch.own * toward + scale * own + 2 / counted * counts * (own @ shared)
        at = each.stack.without_padding(at) / counts.sqrt()
        at = at - (at.sum(dim=1, keepdim=True) - mean[:, None]) / counts
        found.append(at / number)
    return batch.layout.rows_of(found)
