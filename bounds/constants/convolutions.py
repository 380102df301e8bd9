"""Operator norms (ℓ2 → ℓ2) of convolutions for a stated input size, and of plain matrices: certified from above.

The norm of the flattened kernel is not the norm of the convolution: it can be smaller. Here the convolution is taken as
the linear map that it is, with its borders. Three routes, the tightest that is affordable:

- *transfer matrices*: on a torus the Fourier transform makes the map block-diagonal (exact for circular padding, for 1×1
  kernels and for patches that do not overlap; otherwise an upper bound, see `_Axis.torus`);
- *dense*: eigenvalues of the smaller Gram matrix;
- *banded Cholesky*: Lanczos proposes σ², and that τ − AᵀA has a Cholesky factor proves λ_max(AᵀA) ≤ τ for τ a hair larger.

Every route adds its rounding error. Eigenvalues of LAPACK are taken to be within 8 N ε ‖G‖ (its backward stability).
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import scipy.linalg
import scipy.sparse as sp
import scipy.sparse.linalg as spl

from kd2m_theory.arrays import Float64, Int64, to_numpy
from kd2m_theory.checks import one_of
from kd2m_theory.errors import InputError
from kd2m_theory.estimators.ground import EPS
from kd2m_theory.estimators.scale import exponent_of, round_up, shifted_up
from kd2m_theory.shared_state import one_blas_thread

_DENSE = 400  # unknowns up to which all eigenvalues cost less than Lanczos and a certificate
_ENTRIES = 5e6  # stored entries of a sparse operator
_BAND = 2.5e7  # stored entries of a banded Gram matrix (200 MB)
_FLOPS = 5e10  # N b² of its Cholesky factor: some seconds on two cores
_SAME = 1e-9  # relative gap up to which a certified bound is called exact


@dataclass(frozen=True, slots=True)
class ConvolutionNorm:
    """‖A‖ ≤ `upper` of a convolution A on one input size; `exact`: with equality up to 1e-9 relative."""

    upper: float
    exact: bool
    how: str
    output_shape: tuple[int, ...]


def padded(index: Int64, size: int, mode: str) -> Int64:
    """Which entry of an axis of `size` entries stands at each position of the padded axis, −1 where a constant does.

    Args:
        index: positions, those of the axis itself being 0 … size − 1.
        size: entries of the axis.
        mode: "zeros" (any constant), "circular", "reflect" (at the last entry, which is not repeated) or "replicate".
    """
    if mode == "circular":
        around: Int64 = index % size
        return around
    if mode == "replicate":
        return index.clip(0, size - 1)
    if mode == "reflect":
        mirrored: Int64 = size - 1 - np.abs(size - 1 - np.abs(index))
        return mirrored
    return np.where((index >= 0) & (index < size), index, -1)


def check_padding(size: int, before: int, after: int, mode: str) -> None:
    """Refuse what torch cannot pad: an axis of `size` entries by reflection of all of it, or around itself more than once.

    Raises:
        InputError: the axis is too small.
    """
    most = {"reflect": size - 1, "circular": size}.get(mode, max(before, after))
    if max(before, after) > most:
        raise InputError(
            f"axis of size {size} is too small for padding {max(before, after)} in mode {mode!r}, at most {most}; "
            "enlarge the input"
        )


@dataclass(frozen=True)
class _Axis:
    """One spatial axis: output p reads inputs stride·p + offset_t for every tap t, outside [0, size) as `mode` says."""

    size: int
    out: int
    offsets: Int64
    stride: int
    mode: str

    @cached_property
    def reads(self) -> Int64:
        """Which input each output reads through each tap (out × taps), −1 where it reads a zero."""
        return padded(self.stride * np.arange(self.out)[:, None] + self.offsets, self.size, self.mode)

    @cached_property
    def alive(self) -> Int64:
        """Taps that read anything at all."""
        return np.flatnonzero((self.reads >= 0).any(axis=0))

    def torus(self) -> tuple[Int64, int, int, int, bool]:
        """A torus on which this axis is a compression of a circular convolution.

        Returns:
            The offsets of the live taps on it, their stride s, the number M of outputs on the torus of s·M points, how
            often at most an output of the torus occurs among ours, and whether the norms agree (not only ≤).

        Zero padding: put x on Z_T, T = sM ≥ size, zeros elsewhere. Our output p is that of the torus at s·p, provided that a
        read r outside [0, size) also finds a zero there: r + T ≥ size for r < 0, and r < T for r ≥ size. Two outputs at one
        place of the torus agree, and their reads lie at least T apart, so that both are zero. Hence A = P C E with E an
        isometry and P a choice of outputs (or of zeros), and ‖A‖ ≤ ‖C‖. If all taps lie within one stride, outputs read
        disjoint inputs: one block, frequency 0 alone, attained by any output that reads them all.

        Circular: T = size is the torus itself (with stride 1 where the stride does not divide it), and A repeats or drops
        outputs of C: ‖A‖² ≤ (largest multiplicity)·‖C‖², with equality if all outputs occur equally often.

        Reflect, replicate: A = B R, where R x has what is read of the padded x and B is the convolution of that, without
        zeros. Every entry of R x is one of x, so that ‖R‖² is the largest number of places that one entry of x has in it.
        """
        offsets = self.offsets[self.alive]
        if self.mode in ("reflect", "replicate"):
            places = np.unique(self.stride * np.arange(self.out)[:, None] + offsets)
            copies = int(np.bincount(padded(places, self.size, self.mode)).max())
            inner = _Axis(int(places[-1] - places[0]) + 1, self.out, offsets - places[0], self.stride, "zeros")
            inner_offsets, stride, points, repeat, exact = inner.torus()
            return inner_offsets, stride, points, repeat * copies, exact and copies == 1
        if self.mode == "circular":
            stride = self.stride if self.size % self.stride == 0 else 1
            count = np.bincount(self.stride * np.arange(self.out) % self.size, minlength=self.size)[::stride]
            single = len(offsets) == 1
            points = 1 if single else self.size // stride
            return offsets, stride, points, int(count.max()), single or bool((count == count[0]).all())
        offsets_from_first: Int64 = offsets - offsets.min()
        if offsets_from_first.max() < self.stride:
            whole = bool((self.reads[:, self.alive] >= 0).all(axis=1).any())
            return offsets_from_first, self.stride, 1, 1, whole
        first, last = int(offsets.min()), self.stride * (self.out - 1) + int(offsets.max())
        length = max(self.size - min(first, 0), last + 1)
        return offsets, self.stride, -(-length // self.stride), 1, False

    def pairs(self) -> tuple[Int64, Int64, Int64]:
        """(output, tap, input) of every product that is formed."""
        output, tap = np.nonzero(self.reads >= 0)
        return output, tap, self.reads[output, tap]


def convolution_norm(
    weight: Any,
    input_shape: Sequence[int],
    *,
    stride: int | Sequence[int] = 1,
    padding: int | str | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
    padding_mode: str = "zeros",
    transposed: bool = False,
    output_padding: int | Sequence[int] = 0,
) -> ConvolutionNorm:
    """Operator norm of a convolution over 1 to 3 axes, as `torch.nn.functional` computes it, without bias.

    Groups act on disjoint channels, so that the norm is the largest of theirs (not their product). A transposed
    convolution is the adjoint of the convolution with the same weight, and has its norm.

    Args:
        weight: out × in/groups × k, out × in/groups × k_h × k_w or out × in/groups × k_d × k_h × k_w; in × out/groups × … if
            transposed.
        input_shape: (C, L), (C, H, W) or (C, D, H, W), without the batch axis.
        stride: one number, or one an axis; so are padding, dilation and output_padding.
        padding: also "same" or "valid".
        dilation: distance of the taps.
        groups: number of groups of channels.
        padding_mode: "zeros", "circular", "reflect" or "replicate".
        transposed: whether the map is the transposed convolution (with padding by zeros).
        output_padding: of a transposed convolution.

    Raises:
        InputError: shapes that do not fit, weights that are not finite real numbers, another padding mode.
    """
    blocks, axes, shape = _geometry(
        weight, input_shape, stride, padding, dilation, groups, padding_mode, transposed, output_padding
    )
    if not blocks.any() or not all(len(axis.alive) for axis in axes):
        return ConvolutionNorm(0.0, True, "nothing reaches the output", shape)
    exponent = exponent_of(blocks)
    blocks = np.ldexp(blocks, -exponent)
    with one_blas_thread:
        bounds, exact = _transfer_norms(blocks, axes)
        upper, how = float(bounds.max()), "transfer matrices" if exact else "torus embedding"
        if not exact:
            upper, exact, how = _sharpen(blocks, axes, bounds)
    return ConvolutionNorm(shifted_up(round_up(upper), exponent), exact, how, shape)


def convolution_shape(weight: Any, input_shape: Sequence[int], **settings: Any) -> tuple[int, ...]:
    """Shape of the output; arguments and errors are those of `convolution_norm`."""
    return _geometry(weight, input_shape, **settings)[2]


def convolution_matrix(weight: Any, input_shape: Sequence[int], **settings: Any) -> sp.csr_array | None:
    """The convolution as a sparse matrix from flattened input to flattened output; None where it has over 5e6 entries.

    Arguments and errors are those of `convolution_norm`.
    """
    blocks, axes, _ = _geometry(weight, input_shape, **settings)
    if _entries(blocks, axes) * len(blocks) > _ENTRIES:
        return None
    matrix = sp.block_diag([_matrix(block, axes, pixels_first=False) for block in blocks], format="csr")
    return sp.csr_array(matrix.T if settings.get("transposed") else matrix)


def matrix_norm(matrix: Float64) -> tuple[float, bool, str]:
    """Largest singular value of a dense matrix, rounded up: (upper, exact, how)."""
    if not matrix.size or not matrix.any():
        return 0.0, True, "largest singular value"
    exponent = exponent_of(matrix)
    scaled = np.ldexp(matrix, -exponent)
    wide = scaled if scaled.shape[0] <= scaled.shape[1] else scaled.T
    # Gram: |fl(G) − G| ≤ γ |A||A|ᵀ, and ‖|A||A|ᵀ‖ ≤ ‖A‖_F²; four more units for weights that are rounded themselves.
    slack = EPS * (wide.shape[1] + 8) * float((wide**2).sum())
    with one_blas_thread:
        value = float(np.linalg.eigvalsh(wide @ wide.T)[-1])
    upper = math.sqrt(max(value, 0.0) * (1 + 8 * len(wide) * EPS) + slack) * (1 + EPS)
    exact = upper <= (1 + _SAME) * math.sqrt(max(value - slack, 0.0))
    return shifted_up(round_up(upper), exponent), exact, "largest singular value"


def _geometry(
    weight: Any,
    input_shape: Sequence[int],
    stride: int | Sequence[int] = 1,
    padding: int | str | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
    padding_mode: str = "zeros",
    transposed: bool = False,
    output_padding: int | Sequence[int] = 0,
) -> tuple[Float64, list[_Axis], tuple[int, ...]]:
    """Weight as groups × out × in × k × k × k, three axes of the convolution (or of its adjoint), and the output's shape.

    Axes that a convolution does not have are of size 1: (1, L, 1) and (1, H, W).
    """
    kernel = to_numpy(weight, "weight").astype(np.float64)
    if kernel.ndim not in (3, 4, 5) or not np.isfinite(kernel).all() or not kernel.size:
        raise InputError(
            f"weight of shape {kernel.shape} must be finite, not empty, with 3 to 5 axes (1-D, 2-D or 3-D convolutions)"
        )
    one_of(padding_mode, ("zeros",) if transposed else ("circular", "reflect", "replicate", "zeros"), "padding_mode")
    rank = kernel.ndim - 2
    channels = kernel.shape[0] if transposed else kernel.shape[1] * groups
    if len(input_shape) != rank + 1 or input_shape[0] != channels:
        axes_named = ("L",) if rank == 1 else ("D", "H", "W")[-rank:]
        wanted = ", ".join((str(channels), *axes_named))
        raise InputError(
            f"input has shape {tuple(input_shape)}, the convolution takes ({wanted}); pass the shape without batch"
        )
    if kernel.shape[0] % groups:
        raise InputError(f"weight has {kernel.shape[0]} leading channels, not a multiple of groups={groups}")
    strides, dilations, extra = (_per_axis(value, rank) for value in (stride, dilation, output_padding))
    if isinstance(padding, str):
        one_of(padding, ("same", "valid"), "padding")
    axes, sizes = [], []
    for k in range(rank):
        size, taps = input_shape[k + 1], kernel.shape[k + 2]
        reach = dilations[k] * (taps - 1)
        if isinstance(padding, str):  # torch puts the odd one of "same" on the right
            before, both = (reach // 2, reach) if padding == "same" else (0, 0)
        else:
            before = _per_axis(padding, rank)[k]
            both = 2 * before
        if transposed:
            out = (size - 1) * strides[k] - both + reach + extra[k] + 1
        else:
            out = (size + both - reach - 1) // strides[k] + 1
        check_padding(size, before, both - before, padding_mode)
        if out < 1:
            raise InputError(
                f"axis of size {size} is too small for kernel {taps} (dilation {dilations[k]}, padding {before}); "
                "enlarge the input"
            )
        sizes.append(out)
        domain, image = (out, size) if transposed else (size, out)
        axes.append(_Axis(domain, image, dilations[k] * np.arange(taps) - before, strides[k], padding_mode))
    kernel = kernel.reshape(groups, -1, *kernel.shape[1:])
    single = _Axis(1, 1, np.zeros(1, dtype=np.int64), 1, "zeros")
    if rank == 1:
        axes.append(single)
        kernel = kernel[..., None]
    if rank < 3:
        axes.insert(0, single)
        kernel = kernel[:, :, :, None]
    outputs = kernel.shape[2] * groups if transposed else kernel.shape[0] * kernel.shape[1]
    return kernel, axes, (outputs, *sizes)


def _per_axis(value: int | Sequence[int], rank: int) -> tuple[int, ...]:
    values = (value,) * rank if isinstance(value, int) else tuple(value)
    return values * rank if len(values) == 1 else values


def _transfer_norms(blocks: Float64, axes: list[_Axis]) -> tuple[Float64, bool]:
    """Bound of each group's norm from the transfer matrices of a torus, and whether it is the norm.

    Polyphase: with offset = s q + r, y[p] = Σ_r Σ_q h[s q + r] x_r[p + q] for the s subsampled inputs x_r of an axis, so that
    the Fourier transform over p gives one matrix out × (in · product of s) for each frequency ω: Σ_q h[s q + r] e^{2πi ω q/M}.
    """
    offsets, strides, points, repeats, exact = zip(*(axis.torus() for axis in axes), strict=True)
    kernel = blocks
    for k, axis in enumerate(axes):
        kernel = kernel.take(axis.alive, axis=3 + k)
    groups, outputs, inputs = kernel.shape[:3]
    # Phases as above; the product ω q is reduced exactly before it becomes an angle.
    waves = [
        np.exp(2j * np.pi / m * (np.outer(np.arange(m), taps // s) % m))
        for taps, s, m in zip(offsets, strides, points, strict=True)
    ]
    of_phase = [[(r, taps % s == r) for r in np.unique(taps % s)] for taps, s in zip(offsets, strides, strict=True)]
    largest = np.zeros(groups)
    inner = max(outputs, inputs * math.prod(strides))
    for u, v in itertools.product(range(points[0]), range(points[1])):
        if (u, v) > (-u % points[0], -v % points[1]):
            continue  # conjugate to a frequency that was had: real kernels
        transfer = np.zeros((groups, points[2], outputs, inputs, *strides), dtype=np.complex128)
        for r_u, taps_u in of_phase[0]:
            planes = np.moveaxis(kernel[:, :, :, taps_u], 3, -1) @ waves[0][u, taps_u]
            for r_v, taps_v in of_phase[1]:
                lines = planes[:, :, :, taps_v].swapaxes(3, 4) @ waves[1][v, taps_v]
                for r_w, taps_w in of_phase[2]:
                    transfer[..., r_u, r_v, r_w] = np.moveaxis(lines[..., taps_w] @ waves[2][:, taps_w].T, -1, 1)
        flat = transfer.reshape(groups, points[2], outputs, -1)
        other = flat.conj().swapaxes(2, 3)
        gram = flat @ other if outputs <= flat.shape[3] else other @ flat
        np.maximum(largest, np.linalg.eigvalsh(gram)[..., -1].max(axis=1), out=largest)
    # S bounds the Frobenius norm of every transfer matrix and, times ε, the error of its entries.
    total = np.sqrt((np.abs(kernel).sum(axis=(3, 4, 5)) ** 2).sum(axis=(1, 2)))
    terms = sum(kernel.shape[3:]) + 60
    norms = np.sqrt(largest.clip(0) * (1 + 8 * inner * EPS) + EPS * (2 * inner + 8) * total**2) + EPS * terms * total
    return norms * math.sqrt(math.prod(repeats)) * (1 + 4 * EPS), all(exact)


def _entries(block: Float64, axes: list[_Axis]) -> int:
    channels: int = block.shape[-5] * block.shape[-4]
    return channels * math.prod(int((axis.reads >= 0).sum()) for axis in axes)


def _matrix(block: Float64, axes: list[_Axis], pixels_first: bool) -> sp.csr_array:
    """One group's convolution (out × in × k × k × k) as a matrix; pixels before channels make its Gram matrix banded."""
    outputs, inputs = block.shape[:2]
    to = source = np.zeros(1, dtype=np.int64)
    values = block
    for k, axis in enumerate(axes):
        output, tap, read = axis.pairs()
        to = np.add.outer(to * axis.out, output).ravel()
        source = np.add.outer(source * axis.size, read).ravel()
        values = values.take(tap, axis=2 + k)
    values = values.reshape(outputs, inputs, -1)
    places, pixels = math.prod(axis.out for axis in axes), math.prod(axis.size for axis in axes)
    o, i = np.arange(outputs)[:, None, None], np.arange(inputs)[:, None]
    row = to * outputs + o if pixels_first else to + o * places
    column = source * inputs + i if pixels_first else source + i * pixels
    index = np.broadcast_to(row, values.shape).ravel(), np.broadcast_to(column, values.shape).ravel()
    return sp.csr_array(sp.coo_array((values.ravel(), index), shape=(outputs * places, inputs * pixels)))


def _sharpen(blocks: Float64, axes: list[_Axis], bounds: Float64) -> tuple[float, bool, str]:
    """Norm of the block-diagonal map from the borders as they are, where affordable.

    Groups come in the order of their torus bounds; once the next one's bound is below what is found, the rest cannot matter.
    """
    order = sorted(range(3), key=lambda k: -axes[k].size)  # the band is as wide as the inner axes: make those the shorter ones
    axes, blocks = [axes[k] for k in order], blocks.transpose(0, 1, 2, *(3 + k for k in order))
    best: tuple[float, bool, str] = (0.0, True, "")
    spent = 0.0
    for group in np.argsort(-bounds):
        if bounds[group] <= best[0]:
            break
        found: tuple[float, bool, str] | None = None
        if spent <= _FLOPS and _entries(blocks, axes) <= _ENTRIES:
            matrix = _matrix(blocks[group], axes, pixels_first=True)
            spent += 1e8 + matrix.nnz  # what building it costs
            found, flops = _sparse_norm(matrix, _FLOPS - spent)
            spent += flops
        if found is None or (found[0] > bounds[group] and not found[1]):
            found = float(bounds[group]), False, "torus embedding"
        best = max(best, found)
    return best


def _sparse_norm(matrix: sp.csr_array, budget: float) -> tuple[tuple[float, bool, str] | None, float]:
    """Certified norm of a sparse matrix with the operations it took; None if they are beyond the budget."""
    sides = []
    for side in (matrix, sp.csr_array(matrix.T)):  # sideᵀ side: row spans of `side` are what it couples
        first, last = side.indptr[:-1], side.indptr[1:]
        side.sort_indices()
        full = last > first
        band = int((side.indices[last[full] - 1] - side.indices[first[full]]).max())
        unknowns = side.shape[1]
        sides.append((unknowns * float(band + 1) ** 2, unknowns, band, side))
    flops, unknowns, band, side = min(sides, key=lambda entry: entry[0])
    if min(matrix.shape) <= _DENSE and math.prod(matrix.shape) <= _BAND:
        return matrix_norm(matrix.toarray()), float(min(matrix.shape)) ** 3
    if flops > budget or unknowns * (band + 1) > _BAND:
        return None, 0.0
    gram = sp.csc_array(side.T @ side)
    norms = abs(side).sum(axis=0).max() * abs(side).sum(axis=1).max()  # ‖|A|ᵀ|A|‖ ≤ ‖A‖₁ ‖A‖_∞
    slack = EPS * (float(np.diff(side.tocsc().indptr).max()) + 8) * float(norms)
    start = np.random.default_rng(0).normal(size=unknowns)
    try:
        guess = float(
            spl.eigsh(gram, k=1, which="LA", v0=start, tol=1e-10, ncv=min(unknowns, 40), return_eigenvectors=False)[0]
        )
    except spl.ArpackNoConvergence:
        return None, flops
    lower = sp.tril(gram, format="coo")
    banded = np.zeros((band + 1, unknowns))
    banded[lower.row - lower.col, lower.col] = -lower.data
    diagonal = banded[0].copy()
    # A factor R that Cholesky completes has RᵀR = B + Δ, |Δ| ≤ γ_{b+2} |Rᵀ||R| (Higham 10.3). That product has band b and
    # entries at most max B_ii, so ‖Δ‖ ≤ (2b + 1) γ_{b+2} max B_ii, and λ_max(G) ≤ τ + ‖Δ‖.
    rounding = EPS * (band + 4) * (2 * band + 2)
    for gap in (1e-10, 1e-8, 1e-5):
        tau = guess * (1 + gap) + slack
        banded[0] = diagonal + tau
        try:
            scipy.linalg.cholesky_banded(banded, lower=True, check_finite=False)
        except np.linalg.LinAlgError:
            continue
        upper = math.sqrt(tau * (1 + rounding) + slack) * (1 + 2 * EPS)
        exact = upper <= (1 + _SAME) * math.sqrt(max(guess - slack, 0.0))
        return (upper, exact, "certified by banded Cholesky"), flops
    return None, 3 * flops
