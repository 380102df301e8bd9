"""A layer between two shapes, and how its settings and weights are read."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from torch import nn

from kd2m_theory.arrays import Float64
from kd2m_theory.errors import InputError

Shape = tuple[int, ...]
Norm = tuple[float, bool, str]  # upper, exact, how

RESHAPING: Norm = (1.0, True, "isometry")
ENTRIES = 4e6  # stored entries of a linear map as a matrix


@dataclass(frozen=True)
class Step:
    """A layer between two shapes; what is expensive waits until it is asked for."""

    name: str
    output_shape: Shape
    norm: Callable[[], Norm]
    matrix: Callable[[], sp.csr_array | None] | None = None  # of a linear map
    # The same with its output channels multiplied; None where a product leaves the normal range of float64.
    scaled: Callable[[Float64], "Step | None"] | None = None
    scale: Float64 | None = None  # what a batch norm multiplies channels by
    isometry: bool = False


def values_of(tensor: torch.Tensor, what: str) -> Float64:
    """A tensor's values in float64.

    Raises:
        InputError: it is not loaded, not of real floating-point numbers, not finite, or of a class of its own.
    """
    if tensor.is_meta:
        raise InputError(f"its {what} is on the meta device and has no values; load the weights")
    if type(tensor) not in (torch.Tensor, nn.Parameter):
        raise InputError(f"its {what} is a {type(tensor).__name__}, which may compute in its own way; store a plain tensor")
    if not tensor.is_floating_point():
        raise InputError(
            f"its {what} is {str(tensor.dtype).removeprefix('torch.')}; only real floating-point weights have a rule"
        )
    values: Float64 = tensor.detach().cpu().double().numpy()
    if not np.isfinite(values).all():
        raise InputError(f"its {what} holds {int((~np.isfinite(values)).sum())} NaN or infinite values; repair the checkpoint")
    return values


def expect(fits: bool, shape: Shape, wanted: str) -> None:
    """Refuse an input of a shape that does not fit.

    Raises:
        InputError: with both shapes.
    """
    if not fits:
        raise InputError(f"its input has shape {shape}, expected {wanted}; correct the network or the input shape")


def isometry(shape: Shape) -> Step:
    """The identity on flattened entries."""
    # The matrix is never asked for: an identity drops out of products.
    return Step("", shape, lambda: RESHAPING, lambda: None, isometry=True)


def spatial_rank(module: Any, shape: Shape) -> int:
    """How many axes a layer over space has, by the digit in its class, behind one of channels."""
    rank = int(type(module).__name__[-2])
    expect(len(shape) == rank + 1, shape, f"a channel axis and {rank} more")
    return rank


def entry_of(value: Any, k: int) -> Any:
    """A setting of axis k, given once for all axes or for each."""
    if isinstance(value, Sequence):
        return value[k] if len(value) > 1 else value[0]
    return value
