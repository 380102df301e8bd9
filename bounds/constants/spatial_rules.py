"""Rules for layers that move or mix positions alike in all channels: pooling, padding, interpolation, permutations."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from torch import nn

from kd2m_theory.arrays import Int64
from kd2m_theory.bounds.constants.axis_maps import (
    AxisMap,
    choice_matrix,
    interpolated_size,
    kronecker_norm,
    nearest_map,
    root_up,
    smooth_map,
)
from kd2m_theory.bounds.constants.convolutions import check_padding, padded
from kd2m_theory.bounds.constants.pooling import (
    adaptive_average_matrix,
    adaptive_windows,
    average_matrix,
    shared_windows,
    window_starts,
)
from kd2m_theory.bounds.constants.steps import ENTRIES, RESHAPING, Shape, Step, entry_of, expect, spatial_rank
from kd2m_theory.errors import InputError


def _average_pool(module: Any, shape: Shape) -> Step:
    rank = spatial_rank(module, shape)
    divisor = getattr(module, "divisor_override", None)
    maps = []
    for k, size in enumerate(shape[1:]):
        kernel, stride, padding = (entry_of(value, k) for value in (module.kernel_size, module.stride, module.padding))
        starts = window_starts(size, kernel, stride, padding, 1, module.ceil_mode)
        inside = module.count_include_pad and divisor is None
        maps.append(average_matrix(starts, size, kernel, padding, inside))
        if divisor is not None:  # sums in place of means, divided once
            maps[-1].data[:] = 1.0 if k + 1 < rank else 1.0 / divisor
    return _by_axis([AxisMap((entry,)) for entry in maps], shape)


def _adaptive_average_pool(module: Any, shape: Shape) -> Step:
    spatial_rank(module, shape)
    sizes = (entry_of(module.output_size, k) or size for k, size in enumerate(shape[1:]))
    maps = [AxisMap((adaptive_average_matrix(size, out),)) for size, out in zip(shape[1:], sizes, strict=True)]
    return _by_axis(maps, shape)


def _by_axis(maps: list[AxisMap], shape: Shape) -> Step:
    """A map of each of the last axes; those before them are copies."""
    copies = math.prod(shape[: -len(maps)])

    def matrix() -> sp.csr_array | None:
        if copies * math.prod(entry.matrices[0].nnz for entry in maps) > ENTRIES:
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
        expect(len(shape) >= rank, shape, f"at least {rank} axes")
    else:
        spatial_rank(module, shape)
    maps = []
    for k, size in enumerate(shape[-rank:]):
        before, after = module.padding[2 * (rank - 1 - k) : 2 * (rank - k)]  # torch names the last axis first
        if mode != "zeros" and min(before, after) < 0:
            raise InputError(f"its padding {tuple(module.padding)} has negative entries; only constant padding may crop")
        check_padding(size, before, after, mode)
        kept = size + min(before, 0) + min(after, 0)
        expect(kept >= 0 and size + before + after > 0, shape, f"more entries than padding {tuple(module.padding)} takes away")
        maps.append(AxisMap((choice_matrix(padded(np.arange(-before, size + after), size, mode), size),)))
    return _by_axis(maps, shape)


def _upsample(module: Any, shape: Shape) -> Step:
    mode, rank = module.mode, len(shape) - 1
    wanted = {"linear": (1,), "bilinear": (2,), "bicubic": (2,), "trilinear": (3,)}.get(mode, (1, 2, 3))
    expect(rank in wanted, shape, f"a channel axis and {' or '.join(map(str, wanted))} more")
    maps = []
    for k, size in enumerate(shape[1:]):
        factor = None if module.scale_factor is None else float(entry_of(module.scale_factor, k))
        out = entry_of(module.size, k) if factor is None else interpolated_size(size, factor)
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
    spatial_rank(module, shape)
    shared, out = 1, []
    for k, size in enumerate(shape[1:]):
        of_axis = (module.kernel_size, module.stride, module.padding, module.dilation)
        kernel, stride, padding, dilation = (entry_of(value, k) for value in of_axis)
        starts = window_starts(size, kernel, stride, padding, dilation, module.ceil_mode)
        shared *= shared_windows(starts, size, kernel, dilation)
        out.append(len(starts))
    return _root(module, shared, (shape[0], *out))


def _adaptive_max_pool(module: Any, shape: Shape) -> Step:
    spatial_rank(module, shape)
    shared, out = 1, []
    for k, size in enumerate(shape[1:]):
        out.append(entry_of(module.output_size, k) or size)
        starts, ends = adaptive_windows(size, out[-1])
        position = np.arange(size)[:, None]
        shared *= int(((starts <= position) & (position < ends)).sum(axis=1).max())
    return _root(module, shared, (shape[0], *out))


def _root(module: Any, shared: int, shape: Shape) -> Step:
    if module.return_indices:
        raise InputError("it returns indices beside values; set return_indices=False")
    return Step("", shape, lambda: (root_up(shared), True, f"√{shared}: windows that share a pixel"))


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
    expect(fits and shape[0] % divisor == 0, shape, f"(C, H, W) that {module} divides")
    order = torch.arange(math.prod(shape), dtype=torch.float64).reshape(1, *shape)
    moved = type(module).forward(module, order)[0]

    def matrix() -> sp.csr_array:
        index: Int64 = moved.flatten().numpy().astype(np.int64)
        return choice_matrix(index, math.prod(shape))

    return Step("", tuple(moved.shape), lambda: RESHAPING, matrix)


SPATIAL: dict[type[nn.Module], Callable[[Any, Shape], Step]] = {
    **dict.fromkeys((nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d), _average_pool),
    **dict.fromkeys((nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d), _adaptive_average_pool),
    **dict.fromkeys((nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d), _max_pool),
    **dict.fromkeys((nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d), _adaptive_max_pool),
    **dict.fromkeys(_PADDING, _pad),
    **dict.fromkeys((nn.Upsample, nn.UpsamplingNearest2d, nn.UpsamplingBilinear2d), _upsample),
    **dict.fromkeys((nn.PixelShuffle, nn.PixelUnshuffle, nn.ChannelShuffle), _shuffle),
}
