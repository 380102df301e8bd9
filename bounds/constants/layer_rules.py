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
from torch.nn.utils.parametrize import type_before_parametrizations

from kd2m_theory.arrays import Float64, Int64
from kd2m_theory.bounds.constants.axis_maps import (
    AxisMap,
    choice_matrix,
    interpolated_size,
    kronecker_norm,
    nearest_map,
    root_up,
    smooth_map,
)
from kd2m_theory.bounds.constants.convolutions import (
    check_padding,
    convolution_matrix,
    convolution_norm,
    convolution_shape,
    matrix_norm,
    padded,
)
from kd2m_theory.bounds.constants.normalisation import normalisation_norm
from kd2m_theory.bounds.constants.pooling import (
    adaptive_average_matrix,
    adaptive_windows,
    average_matrix,
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


def _unflatten(module: Any, shape: Shape) -> Step:
    _expect(isinstance(module.dim, int), shape, "an axis by number, as names are not followed")
    axis = module.dim % (len(shape) + 1) - 1
    sizes = tuple(module.unflattened_size)
    if sizes.count(-1) == 1 and axis >= 0 and 0 not in sizes:
        sizes = tuple(shape[axis] // -math.prod(sizes) if size == -1 else size for size in sizes)
    fits = axis >= 0 and math.prod(sizes) == shape[axis] and min(sizes) > 0
    _expect(fits, shape, f"an axis {module.dim} behind the batch axis that becomes {tuple(module.unflattened_size)}")
    return _isometry((*shape[:axis], *sizes, *shape[axis + 1 :]))


def _shuffle(module: Any, shape: Shape) -> Step:
    """A permutation: torch itself is asked where each entry goes."""
    factor, divisor = (
        (module.upscale_factor, module.upscale_factor**2) if isinstance(module, nn.PixelShuffle)
        else (module.downscale_factor, 1) if isinstance(module, nn.PixelUnshuffle)
        else (1, module.groups)
    )  # fmt: skip
    fits = len(shape) == 3 or (isinstance(module, nn.ChannelShuffle) and len(shape) >= 2)
    if isinstance(module, nn.PixelUnshuffle):
        fits = fits and not any(size % factor for size in shape[1:])
    _expect(fits and shape[0] % divisor == 0, shape, f"(C, H, W) that {module} divides")
    order = torch.arange(math.prod(shape), dtype=torch.float64).reshape(1, *shape)
    moved = type(module).forward(module, order)[0]

    def matrix() -> sp.csr_array:
        index: Int64 = moved.flatten().numpy().astype(np.int64)
        return choice_matrix(index, math.prod(shape))

    return Step("", tuple(moved.shape), lambda: RESHAPING, matrix)


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
    ranks = _RANKS[type_before_parametrizations(module)]
    _expect(shape[0] == module.num_features and len(shape) in ranks, shape, f"{module.num_features} channels")
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


def _own_statistics(module: Any, shape: Shape) -> Step:
    """Layer, group, instance and RMS norm: what each group of entries is divided by comes from the input itself."""
    centred = not isinstance(module, nn.RMSNorm)
    if module.eps is None:
        raise InputError("its eps is None, that of the input's type, which is not known here; set eps to a number")
    if isinstance(module, nn.LayerNorm | nn.RMSNorm):
        wanted = tuple(module.normalized_shape)
        _expect(shape[-len(wanted) :] == wanted, shape, f"last axes {wanted}")
        gamma = np.ones((1, math.prod(wanted))) if module.weight is None else _values(module.weight, "weight").reshape(1, -1)
    else:
        if isinstance(module, nn.GroupNorm):
            channels, groups, least = module.num_channels, module.num_groups, 1
            _expect(shape[0] == channels, shape, f"{channels} channels")
        else:
            channels = groups = module.num_features
            _expect(len(shape) == int(type(module).__name__[-2]) + 1 and shape[0] == channels, shape, f"{channels} channels")
            least = 2
        pixels = math.prod(shape[1:])
        _expect(pixels >= least, shape, f"at least {least} entries in every channel")
        of_channel = np.ones(channels) if module.weight is None else _values(module.weight, "weight")
        # γ of a channel stands once for each pixel. From two pixels on, the norm is the largest |γ|, however many there are.
        gamma = np.repeat(of_channel.reshape(groups, -1), min(pixels, 2), axis=1)
    upper = normalisation_norm(gamma, module.eps, centred)
    how = "largest |γ| / √ε, at 0" if not centred else "‖γ-weighted centring‖ / √ε, where the variance is 0"
    return Step("", shape, lambda: (upper, True, how))


def _instance_norm(module: Any, shape: Shape) -> Step:
    return _batch_norm(module, shape) if module.track_running_stats else _own_statistics(module, shape)


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
    return _by_axis([AxisMap((entry,)) for entry in maps], shape)


def _adaptive_average_pool(module: Any, shape: Shape) -> Step:
    _spatial(module, shape)
    sizes = (_entry(module.output_size, k) or size for k, size in enumerate(shape[1:]))
    maps = [AxisMap((adaptive_average_matrix(size, out),)) for size, out in zip(shape[1:], sizes, strict=True)]
    return _by_axis(maps, shape)


def _by_axis(maps: list[AxisMap], shape: Shape) -> Step:
    """A map of each of the last axes; those before them are copies."""
    copies = math.prod(shape[: -len(maps)])

    def matrix() -> sp.csr_array | None:
        if copies * math.prod(entry.matrices[0].nnz for entry in maps) > _ENTRIES:
            return None
        product = sp.csr_array(sp.eye_array(copies))
        for entry in maps:
            product = sp.csr_array(sp.kron(product, entry.matrices[0]))
        return product

    known = all(len(entry.matrices) == 1 and not entry.error for entry in maps)
    out = (*shape[: -len(maps)], *(entry.matrices[0].shape[0] for entry in maps))
    return Step("", out, partial(kronecker_norm, maps), matrix if known else None)


_PADDING: dict[type[nn.Module], str] = {
    **dict.fromkeys((nn.ConstantPad1d, nn.ConstantPad2d, nn.ConstantPad3d, nn.ZeroPad1d, nn.ZeroPad2d, nn.ZeroPad3d), "zeros"),
    **dict.fromkeys((nn.CircularPad1d, nn.CircularPad2d, nn.CircularPad3d), "circular"),
    **dict.fromkeys((nn.ReflectionPad1d, nn.ReflectionPad2d, nn.ReflectionPad3d), "reflect"),
    **dict.fromkeys((nn.ReplicationPad1d, nn.ReplicationPad2d, nn.ReplicationPad3d), "replicate"),
}


def _pad(module: Any, shape: Shape) -> Step:
    """Every output is an entry or a constant: per axis, the norm is √(places of the entry that has most of them)."""
    mode = _PADDING[type(module)]
    rank = int(type(module).__name__[-2])
    if mode == "zeros":
        _expect(len(shape) >= rank, shape, f"at least {rank} axes")
    else:
        _spatial(module, shape)
    maps = []
    for k, size in enumerate(shape[-rank:]):
        before, after = module.padding[2 * (rank - 1 - k) : 2 * (rank - k)]  # torch names the last axis first
        if mode != "zeros" and min(before, after) < 0:
            raise InputError(f"its padding {tuple(module.padding)} has negative entries; only constant padding may crop")
        check_padding(size, before, after, mode)
        kept = size + min(before, 0) + min(after, 0)
        _expect(kept >= 0 and size + before + after > 0, shape, f"more entries than padding {tuple(module.padding)} takes away")
        maps.append(AxisMap((choice_matrix(padded(np.arange(-before, size + after), size, mode), size),)))
    return _by_axis(maps, shape)


def _upsample(module: Any, shape: Shape) -> Step:
    mode, rank = module.mode, len(shape) - 1
    wanted = {"linear": (1,), "bilinear": (2,), "bicubic": (2,), "trilinear": (3,)}.get(mode, (1, 2, 3))
    _expect(rank in wanted, shape, f"a channel axis and {' or '.join(map(str, wanted))} more")
    maps = []
    for k, size in enumerate(shape[1:]):
        factor = None if module.scale_factor is None else float(_entry(module.scale_factor, k))
        out = _entry(module.size, k) if factor is None else interpolated_size(size, factor)
        if factor is None and out is None:
            raise InputError("it has neither a size nor a scale_factor; give one")
        if module.recompute_scale_factor:
            factor = None
        if mode == "area":
            maps.append(AxisMap((adaptive_average_matrix(size, out),)))
        elif mode in ("nearest", "nearest-exact"):
            maps.append(nearest_map(size, out, factor, mode))
        else:
            maps.append(smooth_map(size, out, factor, mode == "bicubic", bool(module.align_corners)))
    return _by_axis(maps, shape)


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
    return Step("", shape, lambda: (root_up(shared), True, f"√{shared}: windows that share a pixel"))


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


def _rrelu(module: Any) -> float:
    """In evaluation, the slope below zero is the mean of both ends."""
    return max(1.0, abs(float(module.lower + module.upper)) / 2 * (1 + EPS))


def _unbroken(continuous: bool) -> float:
    if not continuous:
        raise InputError("its output jumps at its threshold, which no Lipschitz constant covers; take the features behind it")
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
    nn.RReLU: _rrelu,
    nn.Threshold: lambda module: _unbroken(module.value == module.threshold),
    nn.Hardshrink: lambda module: _unbroken(module.lambd <= 0),
    nn.Softplus: _softplus,
    nn.GELU: lambda module: _GELU_TANH if module.approximate == "tanh" else _GELU,
    nn.SiLU: _SILU,
    nn.Mish: _MISH,
}
_DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)
_INSTANCE_NORMS = (nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d)
# Axes of an input, without the batch, that a layer with running statistics takes.
_RANKS = {
    nn.BatchNorm1d: (1, 2),
    nn.BatchNorm2d: (3,),
    nn.BatchNorm3d: (4,),
    nn.SyncBatchNorm: (1, 2, 3, 4),
    nn.InstanceNorm1d: (2,),
    nn.InstanceNorm2d: (3,),
    nn.InstanceNorm3d: (4,),
}
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
RULES: dict[type[nn.Module], Callable[[Any, Shape], Step]] = {
    nn.Linear: _dense,
    **dict.fromkeys(_CONVOLUTIONS, _convolution),
    **dict.fromkeys(_RANKS, _batch_norm),
    **dict.fromkeys(_INSTANCE_NORMS, _instance_norm),
    **dict.fromkeys((nn.LayerNorm, nn.GroupNorm, nn.RMSNorm), _own_statistics),
    **dict.fromkeys((nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d), _average_pool),
    **dict.fromkeys((nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d), _adaptive_average_pool),
    **dict.fromkeys((nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d), _max_pool),
    **dict.fromkeys((nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d), _adaptive_max_pool),
    **dict.fromkeys(_PADDING, _pad),
    **dict.fromkeys((nn.Upsample, nn.UpsamplingNearest2d, nn.UpsamplingBilinear2d), _upsample),
    **dict.fromkeys((nn.PixelShuffle, nn.PixelUnshuffle, nn.ChannelShuffle), _shuffle),
    **dict.fromkeys((nn.Softmax, nn.Softmin, nn.Softmax2d, nn.LogSoftmax), _softmax),
    nn.PReLU: _prelu,
    nn.Flatten: _flatten,
    nn.Unflatten: _unflatten,
    **dict.fromkeys((nn.Identity, *_DROPOUTS), lambda _, shape: _isometry(shape)),
    **{kind: _activation(slope) for kind, slope in _SLOPES.items()},
}


def changes_in_training(module: nn.Module) -> bool:
    """Whether a layer that has a rule is another map, or a random one, in training mode."""
    if isinstance(module, _INSTANCE_NORMS):
        return bool(module.track_running_stats)
    return isinstance(module, (*_DROPOUTS, *_RANKS, nn.RReLU))


ATTENTION = (
    "dot-product attention has no Lipschitz constant over all inputs (Kim, Papamakarios and Mnih 2021, theorem 3.1): take the "
    "features behind the last attention layer, so that the head is what follows it; or, if your inputs are bounded, pass a "
    "constant for them in rules={{{0}: …}}"
)
_RECURRENT = "it returns a tuple and runs over time; take the features behind it, or pass rules={{{0}: …}}"
_INDICES = (
    "it takes indices, and their differences say nothing about the vectors; start behind it, with the vectors as input: "
    "from them on, its constant is 1"
)
_PRODUCT = "it multiplies parts of its input, so that no constant covers all inputs; pass one for yours in rules={{{0}: …}}"
# Why a layer has no rule, and what to do; {0} is its class.
REASONS: dict[type[nn.Module], str] = {
    **dict.fromkeys(
        (
            nn.MultiheadAttention,
            nn.Transformer,
            nn.TransformerEncoder,
            nn.TransformerEncoderLayer,
            nn.TransformerDecoder,
            nn.TransformerDecoderLayer,
        ),
        ATTENTION,
    ),
    **dict.fromkeys((nn.RNN, nn.LSTM, nn.GRU, nn.RNNCell, nn.LSTMCell, nn.GRUCell), _RECURRENT),
    **dict.fromkeys((nn.Embedding, nn.EmbeddingBag), _INDICES),
    **dict.fromkeys((nn.GLU, nn.Bilinear), _PRODUCT),
    **dict.fromkeys((nn.DataParallel, nn.parallel.DistributedDataParallel), "it wraps a network; pass its .module"),
}
