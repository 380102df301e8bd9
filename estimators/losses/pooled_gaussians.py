"""KL between Gaussians of classes with pooled covariances, where classes have few points. Imports torch; import it by name.

The covariance of a class is a multiple of one matrix of the batch, a multiple of the identity, and few points of its own:

    Σ_c = a_c W + l_c I + F_cᵀF_c,   W = U diag(w) Uᵀ.

With b_c = a_c w + l_c, E_c = F_c U diag(b_c)^(−1/2) and the Cholesky factor K_c of I + E_c E_cᵀ, the identities of Woodbury
and of Sylvester say

    Σ_c⁻¹ = U (diag(1/b_c) − V_cᵀV_c) Uᵀ with V_c = K_c⁻¹ E_c diag(b_c)^(−1/2),   log det Σ_c = Σ log b_c + 2 Σ log diag K_c.

C classes of n points together take one decomposition of W and products with n rows: O(d³ + n d²) operations, where factors of
the covariances themselves take O(C d³), and no d × d matrix per class. What is subtracted is small, because pooling and
shrinkage bound ‖E_c‖: E_c E_cᵀ has no eigenvalue above n(1 − p)/(n_c p), nor above d/s. The gradient is written out: that of a
decomposition would divide by gaps between eigenvalues.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from kd2m_theory.estimators.losses.by_class import Layout, Stack


class PooledDivergence(torch.autograd.Function):
    """The mean over C classes of KL(N_x‖N_y), and 2 × C truth values: whether a covariance of x, or of y, is singular.

    `apply` takes x and y, n × d each, the layout of both, the pooling and the shrinkage; these two are not both zero.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, classes: Layout, pooling: float, shrinkage: float) -> tuple[Tensor, Tensor]:
        """Value and gradient at once: they share nearly everything."""
        batch = _prepared(x, y, classes, pooling, shrinkage)
        value = _joined([each.divergences() for each in batch.classes], 0).mean()
        lost = _joined([each.lost for each in batch.classes], 1)
        ctx.mark_non_differentiable(lost)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(
            _gradient_of_x(batch) if ctx.needs_input_grad[0] else None,
            _gradient_of_y(batch) if ctx.needs_input_grad[1] else None,
        )
        return value, lost

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor | None, _: Tensor | None) -> tuple[Tensor | None, ...]:
        """The gradients of x and y, scaled."""
        ends = [None if each is None or gradient is None else gradient * each for each in ctx.saved_tensors]
        return (*ends, None, None, None)


@dataclass(frozen=True)
class _Classes:
    """One stack of k classes, in the letters of the module; pairs are of x and of y.

    Attributes:
        stack: the points of x and of y side by side, k × p × 2d.
        factors: deviations from the mean over √n_c, a pair of k × p × d.
        shares: what a class takes of the pooled covariance, k × 1.
        pooled: a, k × 1.
        base: b, 2 × k × d.
        inverse: 1/b, a pair of k × d.
        roots: K, 2k × p × p.
        inner: V in its own basis, a pair of k × p × d.
        of_x: the diagonal of M = a W_x + l_x I in the basis of y, k × d.
        divided: V M diag(1/b) in the basis of y, k × p × d.
        solved: V M Σ_y⁻¹ there, k × p × d.
        moved: F_x Σ_y⁻¹ there, and below it that of g, the difference of the means, k × (p + 1) × d.
        crossed: V F_xᵀ, and beside it V g, k × p × (p + 1).
        traces: tr Σ_y⁻¹(Σ_x + ggᵀ), k values.
        lost: whether a covariance is singular to the precision of its dtype, 2 × k.
    """

    stack: Stack
    factors: Sequence[Tensor]
    shares: Tensor
    pooled: Tensor
    base: Tensor
    inverse: Sequence[Tensor]
    roots: Tensor
    inner: Sequence[Tensor]
    of_x: Tensor
    divided: Tensor
    solved: Tensor
    moved: Tensor
    crossed: Tensor
    traces: Tensor
    lost: Tensor

    def divergences(self) -> Tensor:
        """KL of each class, k values."""
        pivots = self.roots.diagonal(dim1=1, dim2=2).log().sum(dim=1).reshape(2, -1)
        of_x, of_y = torch.add(self.base.log().sum(dim=2), pivots, alpha=2).unbind()
        return (self.traces + of_y - of_x - self.base.shape[2]) / 2


@dataclass(frozen=True)
class _Batch:
    """What the classes share, and the classes.

    Attributes:
        layout: of x and of y.
        pooling: p.
        shrinkage: s.
        bases: U, a pair of d × d.
        within: UᵀW_xU with the U of y, d × d.
        classes: stack by stack.
    """

    layout: Layout
    pooling: float
    shrinkage: float
    bases: Sequence[Tensor]
    within: Tensor
    classes: Sequence[_Classes]

    @property
    def own(self) -> float:
        """The root of what a class keeps of its own covariance."""
        return _own(self.pooling, self.shrinkage)


def _joined(parts: Sequence[Tensor], dim: int) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(tuple(parts), dim=dim)


def _own(pooling: float, shrinkage: float) -> float:
    return math.sqrt((1 - shrinkage) * (1 - pooling))


def _prepared(x: Tensor, y: Tensor, layout: Layout, pooling: float, shrinkage: float) -> _Batch:
    n, d = x.shape
    stacks = layout.stacks(torch.cat((x, y), dim=1))
    moments = [each.moments() for each in stacks]
    counted = sum(map(len, layout.rows))
    residuals = layout.rows_of([f * (each.counts / counted).sqrt() for each, (_, f) in zip(stacks, moments, strict=True)])
    residuals = residuals.reshape(n, 2, d).movedim(1, 0)
    # Singular values of the residuals keep digits that eigenvalues of their covariance lose.
    _, sizes, right = torch.linalg.svd(residuals, full_matrices=n < d)
    spectra = sizes.square() if n >= d else functional.pad(sizes.square(), (0, d - n))
    # What the coordinates of a direction vary by, each by itself: with them in other units it changes as the spectrum does.
    mixed = right.square()
    marginal = torch.bmm(mixed, torch.bmm(mixed.mT, spectra[:, :, None]))[:, :, 0]
    noise = max(n, d) * torch.finfo(x.dtype).eps
    turned = residuals[0] @ right[1].mT
    within = turned.T @ turned
    classes = [
        _classes(
            stack,
            *of,
            spectra=spectra,
            marginal=marginal,
            noise=noise,
            right=right,
            within=within,
            pooling=pooling,
            shrinkage=shrinkage,
        )
        for stack, of in zip(stacks, moments, strict=True)
    ]
    return _Batch(layout=layout, pooling=pooling, shrinkage=shrinkage, bases=right.mT.unbind(), within=within, classes=classes)


def _classes(
    stack: Stack,
    means: Tensor,
    factors: Tensor,
    *,
    spectra: Tensor,
    marginal: Tensor,
    noise: float,
    right: Tensor,
    within: Tensor,
    pooling: float,
    shrinkage: float,
) -> _Classes:
    k, p, d = factors.shape[0], factors.shape[1], right.shape[1]
    own = _own(pooling, shrinkage)
    sides = factors.reshape(k * p, 2, d).transpose(0, 1).contiguous()
    # A class of one point has no covariance of its own.
    shares = 1 - (1 - pooling) * (stack.counts.reshape(k, 1) > 1).to(means)
    pooled = (1 - shrinkage) * shares
    norms = sides.square().reshape(2, k, -1).sum(dim=2, keepdim=True)
    levels = shrinkage / d * torch.add(shares * spectra.sum(dim=1).reshape(2, 1, 1), norms, alpha=1 - pooling)
    base = torch.addcmul(levels, pooled, spectra[:, None])
    root = base.rsqrt().reshape(2 * k, 1, d)
    scaled = torch.bmm(sides, right.mT).reshape(2 * k, p, d) * (own * root)
    roots, _ = torch.linalg.cholesky_ex(torch.baddbmm(torch.eye(p, dtype=base.dtype, device=base.device), scaled, scaled.mT))
    inner = (torch.linalg.solve_triangular(roots, scaled, upper=False) * root).reshape(2, k, p, d).contiguous().unbind()
    inverse = base.reciprocal().unbind()
    # V M; then F_x and g.
    level = levels[0]
    spread = torch.addcmul(level[:, None] * inner[1], pooled[:, None], (inner[1].reshape(-1, d) @ within).reshape(k, p, d))
    gaps = means[:, None, :d] - means[:, None, d:]
    extra = torch.cat((own * sides[0].reshape(k, p, d), gaps), dim=1)
    rows = torch.cat((spread, (extra.reshape(-1, d) @ right[1].mT).reshape(k, p + 1, d)), dim=1)
    pairs = torch.bmm(rows, inner[1].mT)
    divided = rows * inverse[1][:, None]
    solved = torch.baddbmm(divided, pairs, inner[1], alpha=-1)
    of_x = torch.addcmul(level, pooled, within.diagonal())
    # tr Σ_y⁻¹M = Σ M_ii/b_i − tr V M Vᵀ.
    weights = (rows * solved).sum(dim=2)
    traces = (of_x * inverse[1]).sum(dim=1) - pairs[:, :p].diagonal(dim1=1, dim2=2).sum(dim=1) + weights[:, p:].sum(dim=1)
    return _Classes(
        stack=stack,
        factors=sides.reshape(2, k, p, d).unbind(),
        shares=shares,
        pooled=pooled,
        base=base,
        inverse=inverse,
        roots=roots,
        inner=inner,
        of_x=of_x,
        divided=divided[:, :p],
        solved=solved[:, :p],
        moved=solved[:, p:],
        crossed=pairs[:, p:].mT,
        traces=traces,
        lost=~(base > noise * torch.addcmul(levels, pooled, marginal[:, None])).all(dim=2),
    )


def _gradient_of_y(batch: _Batch) -> Tensor:
    """For G = ½(Σ_y⁻¹ − Σ_y⁻¹(Σ_x + ggᵀ)Σ_y⁻¹): F ↦ 2 F G, W ↦ Σ a G, l ↦ tr G, and the mean ↦ −Σ_y⁻¹g."""
    basis, d = batch.bases[1], len(batch.within)
    own = batch.own * basis.T
    off = batch.within.clone().fill_diagonal_(0)
    shares, parts = [], []
    for each in batch.classes:
        k, p = each.roots.shape[0] // 2, each.roots.shape[1]
        inner, inverse, a = each.inner[1], each.inverse[1], each.pooled
        # F Σ_y⁻¹ = K⁻ᵀV.
        target = torch.baddbmm(inner - each.solved, each.crossed, each.moved, alpha=-1)
        factors = torch.linalg.solve_triangular(each.roots[k:].mT, target, upper=True)
        # Σ_y⁻¹MΣ_y⁻¹ = D M D − JᵀV − VᵀJ for D = diag(1/b) and J = V M D − ½ (V M Vᵀ) V; 2 J is `divided` + `solved`.
        left = torch.cat((each.divided + each.solved - inner, -each.moved), dim=1)
        right = torch.cat((inner, each.moved), dim=1)
        diagonal = inverse * (1 - each.of_x * inverse)
        share = torch.addcmul(
            (left * a[:, None]).reshape(-1, d).T @ right.reshape(-1, d), off, (a.square() * inverse).T @ inverse, value=-1
        )
        share.diagonal().add_((a * diagonal).sum(dim=0))
        shares.append(share)
        level = (diagonal.sum(dim=1) + (left * right).sum(dim=(1, 2))) / 2
        parts.append(((factors.reshape(-1, d) @ own).reshape(k, p, d), level, left[:, -1] @ basis.T))
    shared = basis @ sum(shares[1:], shares[0]) @ basis.T
    return _at_points(batch, 1, parts, (shared + shared.T) / 4)


def _gradient_of_x(batch: _Batch) -> Tensor:
    """For G = ½(Σ_y⁻¹ − Σ_x⁻¹): F ↦ 2 F G, W ↦ Σ a G, l ↦ tr G, and the mean ↦ Σ_y⁻¹g."""
    shared = torch.zeros_like(batch.within)
    parts = []
    for each in batch.classes:
        k = each.roots.shape[0] // 2
        moved = each.moved @ batch.bases[1].T
        own = torch.linalg.solve_triangular(each.roots[:k].mT, each.inner[0], upper=True)
        level = torch.zeros_like(each.traces)
        for sign, inner, inverse, basis in zip((-1, 1), each.inner, each.inverse, batch.bases, strict=True):
            kept = (each.pooled * inverse).sum(dim=0).diag_embed()
            taken = (inner * each.pooled[:, None]).flatten(0, 1).T @ inner.flatten(0, 1)
            shared = shared + sign / 2 * (basis @ (kept - taken) @ basis.T)
            level = level + sign / 2 * (inverse.sum(dim=1) - inner.square().sum(dim=(1, 2)))
        parts.append((batch.own * (moved[:, :-1] - own @ batch.bases[0].T), level, moved[:, -1]))
    return _at_points(batch, 0, parts, shared)


def _at_points(batch: _Batch, side: int, parts: Sequence[tuple[Tensor, Tensor, Tensor]], shared: Tensor) -> Tensor:
    """The gradient of the mean over classes at the n × d points of one side.

    Args:
        batch: the classes and what they share.
        side: 0 for x, 1 for y.
        parts: for each stack the gradients with respect to F, times what a class keeps
            of its own, k × p × d, to l, k, and to the means, k × d.
        shared: the gradient with respect to W, d × d, but for what comes through the levels l.
    """
    number, d = len(batch.layout.rows), len(shared)
    counted = sum(map(len, batch.layout.rows))
    through = sum(each.shares[:, 0] @ level for each, (_, level, _) in zip(batch.classes, parts, strict=True))
    shared.diagonal().add_(through, alpha=batch.shrinkage / d)
    found = []
    for each, (toward, level, mean) in zip(batch.classes, parts, strict=True):
        own, counts = each.factors[side], each.stack.counts
        at = torch.addcmul(toward, counts, (own.reshape(-1, d) @ shared).reshape(own.shape), value=2 / counted)
        at = torch.addcmul(at, level[:, None, None], own, value=2 * batch.shrinkage / d * (1 - batch.pooling)) / counts.sqrt()
        at = at - (at.sum(dim=1, keepdim=True) - mean[:, None]) / counts
        found.append(each.stack.without_padding(at))
    return batch.layout.rows_of(found) / number
