"""Linear maps that act on one axis at a time: averages, padding and interpolation. Their product's norm is that of norms."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp
import torch
from torch.nn import functional

from kd2m_theory.arrays import Float64, Int64
from kd2m_theory.bounds.constants.convolutions import matrix_norm
from kd2m_theory.errors import InputError
from kd2m_theory.estimators.ground import EPS
from kd2m_theory.estimators.scale import product_up

_DENSE = 2000  # positions up to which a map is solved for its largest singular value


def root_up(count: int) -> float:
    """√count, exact for squares and rounded up for others."""
    return math.sqrt(count) if math.isqrt(count) ** 2 == count else math.sqrt(count) * (1 + EPS)


@dataclass(frozen=True)
class AxisMap:
    """A linear map of one axis.

    Attributes:
        matrices: outputs × inputs, one; or several of one shape where devices and floating types decide which one it is.
        error: bound on the Frobenius norm of what rounding changed in a matrix.
    """

    matrices: tuple[sp.csr_array, ...]
    error: float = 0.0

    @cached_property
    def norm(self) -> tuple[float, bool]:
        """Norm of the map, rounded up, and whether it is attained: the largest, and False where the matrices disagree."""
        found = [_norm(matrix) for matrix in self.matrices]
        upper = max(value for value, _ in found)
        agree = min(value for value, _ in found) >= upper * (1 - 1e-12)
        exact = agree and all(sharp for _, sharp in found) and self.error <= 1e-10 * upper
        return (upper + self.error) * (1 + EPS) if self.error else upper, exact


def _norm(matrix: sp.csr_array) -> tuple[float, bool]:
    if not matrix.nnz:
        return 0.0, True
    if np.diff(matrix.indptr).max() <= 1 and (matrix.data == 1).all():  # a choice of entries: columns are orthogonal
        return root_up(int(np.bincount(matrix.indices).max())), True
    if np.bincount(matrix.indices).max() <= 1:  # rows are orthogonal: the longest one is the norm
        return math.sqrt(float((matrix**2).sum(axis=1).max())) * (1 + (matrix.nnz + 4) * EPS), True
    if min(matrix.shape) <= _DENSE:
        return matrix_norm(matrix.toarray())[:2]
    size = abs(matrix)
    product = float(size.sum(axis=0).max() * size.sum(axis=1).max())
    return math.sqrt(product) * (1 + (sum(matrix.shape) + 4) * EPS), False  # ‖A‖² ≤ ‖A‖₁ ‖A‖_∞


def kronecker_norm(maps: Sequence[AxisMap]) -> tuple[float, bool, str]:
    """Norm of the Kronecker product of maps, the product of theirs: (upper, exact, how)."""
    norms = [entry.norm for entry in maps]
    return product_up(upper for upper, _ in norms), all(exact for _, exact in norms), "product over axes"


def choice_matrix(index: Int64, size: int) -> sp.csr_array:
    """Output p is entry index[p] of an axis of `size` entries, or a constant where that is −1: its linear part is 0."""
    chosen = np.flatnonzero(index >= 0)
    ones = np.ones(len(chosen))
    return sp.csr_array(sp.coo_array((ones, (chosen, index[chosen])), shape=(len(index), size)))


def nearest_map(size: int, out: int, factor: float | None, mode: str) -> AxisMap:
    """Nearest-neighbour interpolation of an axis.

    Torch finds the neighbour in the floating type of the input (half types: in float32), and a scale that is rounded there
    can choose another one. So torch is asked, in both types. With a factor that keeps the size, or doubles it, some of its
    kernels copy every entry once, or twice, whatever the factor is exactly.

    Args:
        size: entries of the axis.
        out: entries behind it.
        factor: the scale that torch uses, None where it divides the sizes.
        mode: "nearest" or "nearest-exact".
    """
    chosen = []
    for dtype in (torch.float32, torch.float64):
        line = torch.arange(size, dtype=dtype)[None, None]
        sized = {"size": out} if factor is None else {"scale_factor": factor}
        found = functional.interpolate(line, mode=mode, **sized)
        chosen.append(found[0, 0].numpy().astype(np.int64))
    if factor is not None and out in (size, 2 * size):
        chosen.append(np.arange(out) // (out // size))
    different = [index for k, index in enumerate(chosen) if not any(np.array_equal(index, other) for other in chosen[:k])]
    return AxisMap(tuple(choice_matrix(index, size) for index in different))


def smooth_map(size: int, out: int, factor: float | None, cubic: bool, align_corners: bool) -> AxisMap:
    """Linear or cubic interpolation of an axis, as `torch.nn.functional.interpolate` defines it.

    Output p lies at u = (p + ½)/f − ½ between the inputs, where f is the factor or out/size, or at p (size − 1)/(out − 1)
    with aligned corners. Linear: weights 1 − t and t of ⌊u⌋ and its right neighbour, t = u − ⌊u⌋, with u ≥ 0. Cubic: Keys'
    kernel with a = −¾ on the four neighbours. Neighbours outside are the entry at the border.

    Args:
        size: entries of the axis.
        out: entries behind it.
        factor: the scale that torch uses, None where it divides the sizes; without effect if corners are aligned.
        cubic: cubic instead of linear.
        align_corners: whether the first and last entries stay where they are.
    """
    place = np.arange(out, dtype=np.float64)
    if align_corners:
        u = place * ((size - 1) / (out - 1)) if out > 1 else 0.0 * place
    else:
        u = (place + 0.5) * (size / out if factor is None else 1 / factor) - 0.5
    if not cubic:
        u = u.clip(0.0)
    base = np.floor(u)
    t = u - base
    taps, weights = (np.arange(-1, 3), _keys(t)) if cubic else (np.arange(2), np.stack((1 - t, t)))
    columns = (base.astype(np.int64) + taps[:, None]).clip(0, size - 1)
    rows = np.broadcast_to(np.arange(out), columns.shape)
    matrix = sp.csr_array(sp.coo_array((weights.ravel(), (rows.ravel(), columns.ravel())), shape=(out, size)))
    # u is wrong by at most 4 (size + 1) ε, and weights by twice that: no slope of a kernel is above 2.
    error = 16 * EPS * (size + 1) * math.sqrt(4 * out)
    if out == size and factor not in (None, 1.0) and not align_corners:  # some kernels of torch copy the axis
        return AxisMap((matrix, sp.csr_array(sp.eye_array(size))), error)
    return AxisMap((matrix,), error)


def _keys(t: Float64) -> Float64:
    """Weights of the neighbours at distances 1 + t, t, 1 − t and 2 − t, 4 × outputs."""
    a = -0.75
    near = [((a + 2) * d - (a + 3)) * d * d + 1 for d in (t, 1 - t)]
    far = [((d - 5) * d + 8) * d * a - 4 * a for d in (1 + t, 2 - t)]
    return np.stack((far[0], *near, far[1]))


def interpolated_size(size: int, factor: float) -> int:
    """⌊size · factor⌋ in float64, the entries of an axis after interpolation by a factor.

    Raises:
        InputError: nothing is left of the axis.
    """
    out = math.floor(size * factor)
    if out < 1:
        raise InputError(f"scale_factor={factor} leaves nothing of an axis of size {size}; enlarge the input")
    return out
