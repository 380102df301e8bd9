"""What each torch layer does to distances and shapes: one rule per class, from a module and its input shape to a `Step`."""

import math
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import scipy.sparse as sp
from torch import nn
from torch.nn.utils.parametrize import type_before_parametrizations

from kd2m_theory.arrays import Float64
from kd2m_theory.bounds.constants.activation_rules import ACTIVATIONS
from kd2m_theory.bounds.constants.convolutions import convolution_matrix, convolution_norm, convolution_shape, matrix_norm
from kd2m_theory.bounds.constants.normalisation import normalisation_norm
from kd2m_theory.bounds.constants.spatial_rules import SPATIAL
from kd2m_theory.bounds.constants.steps import ENTRIES, Norm, Shape, Step, entry_of, expect, isometry, values_of
from kd2m_theory.errors import InputError
from kd2m_theory.estimators.ground import EPS, TINY


def _folded(weight: Float64, scale: Float64) -> Float64 | None:
    """Their product, if no entry overflows or loses digits to underflow."""
    with np.errstate(over="ignore", under="ignore"):
        product: Float64 = weight * scale
    size = np.abs(product)
    small = (size < sys.float_info.min) & (weight != 0) & (scale != 0)
    return None if small.any() or not np.isfinite(product).all() else product


def _flatten(module: Any, shape: Shape) -> Step:
    rank = len(shape) + 1
    first, last = module.start_dim % rank, module.end_dim % rank
    expect(0 < first <= last, shape, f"axes that flatten({module.start_dim}, {module.end_dim}) joins without the batch axis")
    return isometry((*shape[: first - 1], math.prod(shape[first - 1 : last]), *shape[last:]))


def _unflatten(module: Any, shape: Shape) -> Step:
    expect(isinstance(module.dim, int), shape, "an axis by number, as names are not followed")
    axis = module.dim % (len(shape) + 1) - 1
    sizes = tuple(module.unflattened_size)
    if sizes.count(-1) == 1 and axis >= 0 and 0 not in sizes:
        sizes = tuple(shape[axis] // -math.prod(sizes) if size == -1 else size for size in sizes)
    fits = axis >= 0 and math.prod(sizes) == shape[axis] and min(sizes) > 0
    expect(fits, shape, f"an axis {module.dim} behind the batch axis that becomes {tuple(module.unflattened_size)}")
    return isometry((*shape[:axis], *sizes, *shape[axis + 1 :]))


def _dense(module: Any, shape: Shape) -> Step:
    expect(shape[-1] == module.in_features, shape, f"{module.in_features} features on the last axis")
    return _dense_step(values_of(module.weight, "weight"), shape)


def _dense_step(weight: Float64, shape: Shape) -> Step:
    copies = math.prod(shape[:-1])  # the layer acts on the last axis of each

    def matrix() -> sp.csr_array | None:
        return sp.csr_array(sp.kron(sp.eye_array(copies), weight)) if weight.size * copies <= ENTRIES else None

    def fold(scale: Float64) -> Step | None:
        folded = _folded(weight, scale[:, None])
        return None if folded is None else replace(_dense_step(folded, shape), scaled=None)

    return Step("", (*shape[:-1], len(weight)), partial(matrix_norm, weight), matrix, fold if len(shape) == 1 else None)


def _convolution(module: Any, shape: Shape) -> Step:
    if module.padding_mode != "zeros":
        _refuse_other_padding(module)
    return _convolution_step(module, shape, values_of(module.weight, "weight"))


def _refuse_other_padding(module: Any) -> None:
    """Refuse a convolution that pads in another way than its attributes say: torch notes how when the layer is made."""
    reach = [dilation * (size - 1) for dilation, size in zip(module.dilation, module.kernel_size, strict=True)]
    if module.padding == "same":
        sides = [(each // 2, each - each // 2) for each in reach]
    else:
        sides = [(0, 0) if module.padding == "valid" else (entry_of(module.padding, k),) * 2 for k in range(len(reach))]
    if [side for both in reversed(sides) for side in both] != list(module._reversed_padding_repeated_twice):
        raise InputError(
            f"its padding {module.padding!r}, kernel_size or dilation was changed after it was made, and in padding_mode "
            f"{module.padding_mode!r} torch pads as before; make the layer again"
        )


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
    expect(shape[0] == module.num_features and len(shape) in ranks, shape, f"{module.num_features} channels")
    variance = values_of(module.running_var, "running variance") + module.eps
    if not (variance > 0).all():
        raise InputError(f"its running variance plus eps is {variance.min():.3g}, not positive; repair the checkpoint")
    gamma = values_of(module.weight, "weight") if module.affine else np.ones(module.num_features)
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
        expect(shape[-len(wanted) :] == wanted, shape, f"last axes {wanted}")
        gamma = np.ones((1, math.prod(wanted))) if module.weight is None else values_of(module.weight, "weight").reshape(1, -1)
    else:
        if isinstance(module, nn.GroupNorm):
            channels, groups, least = module.num_channels, module.num_groups, 1
            expect(shape[0] == channels, shape, f"{channels} channels")
        else:
            channels = groups = module.num_features
            expect(len(shape) == int(type(module).__name__[-2]) + 1 and shape[0] == channels, shape, f"{channels} channels")
            least = 2
        pixels = math.prod(shape[1:])
        expect(pixels >= least, shape, f"at least {least} entries in every channel")
        of_channel = np.ones(channels) if module.weight is None else values_of(module.weight, "weight")
        # γ of a channel stands once for each pixel. From two pixels on, the norm is the largest |γ|, however many there are.
        gamma = np.repeat(of_channel.reshape(groups, -1), min(pixels, 2), axis=1)
    upper = normalisation_norm(gamma, module.eps, centred)
    how = "largest |γ| / √ε, at 0" if not centred else "‖γ-weighted centring‖ / √ε, where the variance is 0"
    return Step("", shape, lambda: (upper, True, how))


def _instance_norm(module: Any, shape: Shape) -> Step:
    return _batch_norm(module, shape) if module.track_running_stats else _own_statistics(module, shape)


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
    nn.Flatten: _flatten,
    nn.Unflatten: _unflatten,
    **dict.fromkeys((nn.Identity, *_DROPOUTS), lambda _, shape: isometry(shape)),
    **SPATIAL,
    **ACTIVATIONS,
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
