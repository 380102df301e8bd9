"""What each torch layer does to distances and shapes: one rule a class, from a module and its input shape to a `Step`."""

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from torch import nn

from kd2m_theory.arrays import Float64
from kd2m_theory.bounds.constants.convolutions import convolution_matrix, convolution_norm, convolution_shape, matrix_norm
from kd2m_theory.bounds.constants.pooling import (
    adaptive_average_matrix,
    adaptive_windows,
    average_matrix,
    average_norm,
    shared_windows,
    window_starts,
)
from kd2m_theory.errors import InputError
from kd2m_theory.estimators.ground import EPS, TINY

Shape = tuple[int, ...]
Norm = tuple[float, bool, str]  # upper, exact, how

RESHAPING: Norm = (1.0, True, "isometry")
_ENTRIES = 4e6  # stored entries of a linear map as a matrix


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


def _values(tensor: torch.Tensor, what: str) -> Float64:
    if tensor.is_meta:
        raise InputError(f"its {what} is on the meta device and has no values; load the weights")
    if not tensor.is_floating_point():
        raise InputError(
            f"its {what} is {str(tensor.dtype).removeprefix('torch.')}; only real floating-point weights have a rule"
        )
    values: Float64 = tensor.detach().cpu().double().numpy()
    if not np.isfinite(values).all():
        raise InputError(f"its {what} holds {int((~np.isfinite(values)).sum())} NaN or infinite values; repair the checkpoint")
    return values


def _folded(weight: Float64, scale: Float64) -> Float64 | None:
    """Their product, if no entry overflows or loses digits to underflow."""
    with np.errstate(over="ignore", under="ignore"):
        product: Float64 = weight * scale
    size = np.abs(product)
    small = (size < sys.float_info.min) & (weight != 0) & (scale != 0)
    return None if small.any() or not np.isfinite(product).all() else product


def _expect(fits: bool, shape: Shape, wanted: str) -> None:
    if not fits:
        raise InputError(f"its input has shape {shape}, expected {wanted}; correct the network or the input shape")


def _isometry(shape: Shape) -> Step:
    # The matrix is never asked for: an identity drops out of products.
    return Step("", shape, lambda: RESHAPING, lambda: None, isometry=True)


def _flatten(module: Any, shape: Shape) -> Step:
    rank = len(shape) + 1
    first, last = module.start_dim % rank, module.end_dim % rank
    _expect(0 < first <= last, shape, f"axes that flatten({module.start_dim}, {module.end_dim}) joins without the batch axis")
    return _isometry((*shape[: first - 1], math.prod(shape[first - 1 : last]), *shape[last:]))


def _dense(module: Any, shape: Shape) -> Step:
    _expect(shape[-1] == module.in_features, shape, f"{module.in_features} features on the last axis")
    return _dense_step(_values(module.weight, "weight"), shape)


def _dense_step(weight: Float64, shape: Shape) -> Step:
    copies = math.prod(shape[:-1])  # the layer acts on the last axis of each

    def matrix() -> sp.csr_array | None:
        return sp.csr_array(sp.kron(sp.eye_array(copies), weight)) if weight.size * copies <= _ENTRIES else None

    def fold(scale: Float64) -> Step | None:
        folded = _folded(weight, scale[:, None])
        return None if folded is None else replace(_dense_step(folded, shape), scaled=None)

    return Step("", (*shape[:-1], len(weight)), partial(matrix_norm, weight), matrix, fold if len(shape) == 1 else None)


def _convolution(module: Any, shape: Shape) -> Step:
    return _convolution_step(module, shape, _values(module.weight, "weight"))


def _convolution_step(module: Any, shape: Shape, weight: Float64) -> Step:
    settings = {key: getattr(module, key) for key in ("stride", "padding", "dilation", "groups", "padding_mode")}
    if module.transposed:
        settings |= {"transposed": True, "output_padding": module.output_padding}
    found = convolution_shape(weight, shape, **settings)

    def norm() -> Norm:
        result = convolution_norm(weight, shape, **settings)
        return result.upper, result.exact, result.how

    def fold(scale: Float64) -> Step | None:
        blocks = weight.reshape(module.groups, -1, *weight.shape[1:])
        factor = scale.reshape((module.groups, 1, -1) if module.transposed else (module.groups, -1, 1))
        folded = _folded(blocks, factor[..., *(None,) * (weight.ndim - 2)])
        return None if folded is None else replace(_convolution_step(module, shape, folded.reshape(weight.shape)), scaled=None)

    return Step("", found, norm, partial(convolution_matrix, weight, shape, **settings), fold)


def _batch_norm(module: Any, shape: Shape) -> Step:
    if module.running_mean is None or module.running_var is None:
        raise InputError("it has no running statistics, so that its output depends on the batch; track_running_stats=True")
    _expect(shape[0] == module.num_features and len(shape) in _RANKS[type(module)], shape, f"{module.num_features} channels")
    variance = _values(module.running_var, "running variance") + module.eps
    if not (variance > 0).all():
        raise InputError(f"its running variance plus eps is {variance.min():.3g}, not positive; repair the checkpoint")
    gamma = _values(module.weight, "weight") if module.affine else np.ones(module.num_features)
    with np.errstate(over="ignore", under="ignore"):
        scale = gamma / np.sqrt(variance)
    upper = float(np.abs(scale).max()) * (1 + 4 * EPS) + 2 * TINY if gamma.any() else 0.0

    def matrix() -> sp.csr_array:
        return sp.csr_array(sp.diags_array(np.repeat(scale, math.prod(shape[1:]))))

    return Step("", shape, lambda: (upper, True, "largest |γ| / √(variance + ε)"), matrix, scale=scale)


def _average_pool(module: Any, shape: Shape) -> Step:
    rank = _spatial(module, shape)
    divisor = getattr(module, "divisor_override", None)
    maps = []
    for k, size in enumerate(shape[1:]):
        kernel, stride, padding = (_entry(value, k) for value in (module.kernel_size, module.stride, module.padding))
        starts = window_starts(size, kernel, stride, padding, 1, module.ceil_mode)
        inside = module.count_include_pad and divisor is None
        maps.append(average_matrix(starts, size, kernel, padding, inside))
        if divisor is not None:  # sums in place of means, divided once
            maps[-1].data[:] = 1.0 if k + 1 < rank else 1.0 / divisor
    return _average(maps, shape)


def _adaptive_average_pool(module: Any, shape: Shape) -> Step:
    _spatial(module, shape)
    sizes = (_entry(module.output_size, k) or size for k, size in enumerate(shape[1:]))
    return _average([adaptive_average_matrix(size, out) for size, out in zip(shape[1:], sizes, strict=True)], shape)


def _average(maps: list[sp.csr_array], shape: Shape) -> Step:
    def matrix() -> sp.csr_array | None:
        if shape[0] * math.prod(entry.nnz for entry in maps) > _ENTRIES:
            return None
        product = sp.csr_array(sp.eye_array(shape[0]))
        for entry in maps:
            product = sp.csr_array(sp.kron(product, entry))
        return product

    return Step("", (shape[0], *(entry.shape[0] for entry in maps)), partial(average_norm, maps), matrix)


def _max_pool(module: Any, shape: Shape) -> Step:
    _spatial(module, shape)
    shared, out = 1, []
    for k, size in enumerate(shape[1:]):
        of_axis = (module.kernel_size, module.stride, module.padding, module.dilation)
        kernel, stride, padding, dilation = (_entry(value, k) for value in of_axis)
        starts = window_starts(size, kernel, stride, padding, dilation, module.ceil_mode)
        shared *= shared_windows(starts, size, kernel, dilation)
        out.append(len(starts))
    return _root(module, shared, (shape[0], *out))


def _adaptive_max_pool(module: Any, shape: Shape) -> Step:
    _spatial(module, shape)
    shared, out = 1, []
    for k, size in enumerate(shape[1:]):
        out.append(_entry(module.output_size, k) or size)
        starts, ends = adaptive_windows(size, out[-1])
        position = np.arange(size)[:, None]
        shared *= int(((starts <= position) & (position < ends)).sum(axis=1).max())
    return _root(module, shared, (shape[0], *out))


def _root(module: Any, shared: int, shape: Shape) -> Step:
    if module.return_indices:
        raise InputError("it returns indices beside values; set return_indices=False")
    upper = math.sqrt(shared) if math.isqrt(shared) ** 2 == shared else math.sqrt(shared) * (1 + EPS)
    return Step("", shape, lambda: (upper, True, f"√{shared}: windows that share a pixel"))


def _spatial(module: Any, shape: Shape) -> int:
    rank = int(type(module).__name__[-2])
    _expect(len(shape) == rank + 1, shape, f"a channel axis and {rank} more")
    return rank


def _entry(value: Any, k: int) -> Any:
    if isinstance(value, Sequence):
        return value[k] if len(value) > 1 else value[0]
    return value


def _softmax(module: Any, shape: Shape) -> Step:
    """‖diag p − ppᵀ‖ ≤ max_i 2 p_i (1 − p_i) ≤ ½ (Gershgorin), attained at two halves.

    Log-softmax has J = I − 1pᵀ, a projection along 1 onto the complement of p, so that ‖J‖ = ‖1‖‖p‖ → √K at a vertex.
    """
    dim = getattr(module, "dim", 1)  # Softmax2d has none
    if dim is None or not -len(shape) <= dim <= len(shape) or dim % (len(shape) + 1) == 0:
        raise InputError(f"dim={dim} is not an axis behind the batch axis of an input {shape}; name the axis of the classes")
    classes = shape[dim % (len(shape) + 1) - 1]
    upper = 0.5 if isinstance(module, nn.Softmax | nn.Softmin | nn.Softmax2d) else math.sqrt(classes) * (1 + EPS)
    return Step("", shape, lambda: (upper if classes > 1 else 0.0, True, f"supremum over {classes} probabilities"))


def _activation(slope: float | Callable[[Any], float]) -> Callable[[Any, Shape], Step]:
    """An elementwise map: its constant is the supremum of |slope| over the line."""

    def rule(module: Any, shape: Shape) -> Step:
        upper = float(slope(module) if callable(slope) else slope)
        return Step("", shape, lambda: (upper, True, "steepest slope"))

    return rule


def _prelu(module: Any, shape: Shape) -> Step:
    _expect(module.num_parameters in (1, shape[0]), shape, f"{module.num_parameters} channels")
    return _activation(max(1.0, float(np.abs(_values(module.weight, "weight")).max())))(module, shape)


def _celu(module: Any) -> float:
    if not module.alpha > 0:
        raise InputError(f"alpha={module.alpha} makes it grow exponentially; take a positive alpha")
    return 1.0


def _softplus(module: Any) -> float:
    """σ ≤ 1. Above its threshold torch replaces it by the identity, a jump of log(1 + e^−threshold): below rounding at 20."""
    if module.threshold < 20:
        raise InputError(f"threshold={module.threshold} makes it jump, which no Lipschitz constant covers; leave it at 20")
    return 1.0


# Steepest slopes, rounded up at the last digit; the tests derive each to 40 digits and prove it over the line.
# GELU: φ″ = (2 − x²)·N(x) = 0 at √2, slope Φ(√2) + √2 N(√2). SiLU: φ″ = 0 where x tanh(x/2) = 2, slope ½ + x/4.
_GELU, _GELU_TANH, _SILU, _MISH = 1.12890414518516, 1.12899306865878, 1.09983932012887, 1.08849816125173
_SLOPES: dict[type[nn.Module], float | Callable[[Any], float]] = {
    **dict.fromkeys((nn.ReLU, nn.ReLU6, nn.Hardtanh, nn.Tanh, nn.Softsign, nn.LogSigmoid, nn.Tanhshrink, nn.Softshrink), 1.0),
    nn.Sigmoid: 0.25,
    nn.Hardsigmoid: 1 / 6 * (1 + EPS),
    nn.Hardswish: 1.5,
    nn.SELU: 1.0507009873554805 * 1.6732632423543772 * (1 + 4 * EPS),  # λα, the slope below zero
    nn.LeakyReLU: lambda module: max(1.0, abs(module.negative_slope)),
    nn.ELU: lambda module: max(1.0, abs(module.alpha)),
    nn.CELU: _celu,
    nn.Softplus: _softplus,
    nn.GELU: lambda module: _GELU_TANH if module.approximate == "tanh" else _GELU,
    nn.SiLU: _SILU,
    nn.Mish: _MISH,
}
_ISOMETRIES = (nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.AlphaDropout, nn.FeatureAlphaDropout)
_RANKS = {nn.BatchNorm1d: (1, 2), nn.BatchNorm2d: (3,)}
BY_MODE = (*_ISOMETRIES[1:], *_RANKS)
RULES: dict[type[nn.Module], Callable[[Any, Shape], Step]] = {
    nn.Linear: _dense,
    **dict.fromkeys((nn.Conv1d, nn.Conv2d, nn.ConvTranspose1d, nn.ConvTranspose2d), _convolution),
    **dict.fromkeys(_RANKS, _batch_norm),
    **dict.fromkeys((nn.AvgPool1d, nn.AvgPool2d), _average_pool),
    **dict.fromkeys((nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d), _adaptive_average_pool),
    **dict.fromkeys((nn.MaxPool1d, nn.MaxPool2d), _max_pool),
    **dict.fromkeys((nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d), _adaptive_max_pool),
    **dict.fromkeys((nn.Softmax, nn.Softmin, nn.Softmax2d, nn.LogSoftmax), _softmax),
    nn.PReLU: _prelu,
    nn.Flatten: _flatten,
    **dict.fromkeys(_ISOMETRIES, lambda _, shape: _isometry(shape)),
    **{kind: _activation(slope) for kind, slope in _SLOPES.items()},
}
