"""Padding, interpolation and permutations against the dense matrices that torch's own layers make of the identity."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from jacobians import dense, slope
from torch import nn

from kd2m_theory.bounds.constants import axis_maps
from kd2m_theory.bounds.constants.layer_rules import RULES
from kd2m_theory.bounds.constants.layers import network_lipschitz
from kd2m_theory.errors import InputError
from kd2m_theory.shared_state import one_blas_thread


@pytest.fixture(scope="module", autouse=True)
def _one_thread(one_thread):
    with one_blas_thread:
        yield


def check(layer, shape):
    """Constant, shape, exactness and matrix are those of the layer; the constant is never below the norm."""
    matrix = dense(layer, shape)
    true = np.linalg.norm(matrix, 2)
    found = network_lipschitz(layer, shape)
    assert found.upper >= true * (1 - 1e-13), (layer, shape)
    if found.exact:
        assert found.upper == pytest.approx(true, rel=1e-9, abs=1e-300), (layer, shape)
    assert found.output_shape == tuple(layer(torch.zeros(1, *shape, dtype=torch.float64)).shape[1:])
    step = RULES[type(layer)](layer, shape)
    if step.matrix is not None:
        np.testing.assert_allclose(step.matrix().toarray(), matrix, atol=1e-14)
    return found


KINDS = {
    "zeros": (nn.ZeroPad1d, nn.ZeroPad2d, nn.ZeroPad3d),
    "constant": (nn.ConstantPad1d, nn.ConstantPad2d, nn.ConstantPad3d),
    "circular": (nn.CircularPad1d, nn.CircularPad2d, nn.CircularPad3d),
    "reflect": (nn.ReflectionPad1d, nn.ReflectionPad2d, nn.ReflectionPad3d),
    "replicate": (nn.ReplicationPad1d, nn.ReplicationPad2d, nn.ReplicationPad3d),
}


@given(st.sampled_from(sorted(KINDS)), st.integers(1, 3), st.data())
def test_padding_has_the_norm_of_its_matrix_or_is_refused_as_torch_refuses_it(mode, rank, data):
    sizes = tuple(data.draw(st.integers(1, 4)) for _ in range(rank))
    least = -3 if mode in ("zeros", "constant") else 0
    padding = tuple(data.draw(st.integers(least, 4)) for _ in range(2 * rank))
    layer = KINDS[mode][rank - 1](padding, 2.5) if mode == "constant" else KINDS[mode][rank - 1](padding)
    shape = (2, *sizes)
    try:
        empty = layer(torch.zeros(1, *shape)).numel() == 0
    except RuntimeError:
        empty = True
    if empty:
        with pytest.raises(InputError):
            network_lipschitz(layer, shape)
        return
    assert check(layer, shape).exact
    if least < 0 and min(padding) >= 0:
        assert network_lipschitz(layer, shape).upper == 1


def test_padding_by_hand():
    """The corner of a replicated image stands (1 + p)² times; reflection by all but one entry shows inner ones three times."""
    assert network_lipschitz(nn.ReplicationPad2d(3), (1, 5, 5)).upper == 4
    assert network_lipschitz(nn.ReflectionPad1d(3), (1, 4)).upper == pytest.approx(np.sqrt(3), rel=1e-15)
    assert network_lipschitz(nn.CircularPad1d((4, 0)), (1, 4)).upper == pytest.approx(np.sqrt(2), rel=1e-15)
    assert network_lipschitz(nn.ConstantPad3d(2, 7.0), (3, 3, 3)).upper == 1  # a constant changes no distance


SMOOTH = {"linear": 1, "bilinear": 2, "bicubic": 2, "trilinear": 3}


@given(st.sampled_from(["nearest", "nearest-exact", "area", *SMOOTH]), st.booleans(), st.data())
def test_interpolation_has_the_norm_of_its_matrix(mode, aligned, data):
    rank = SMOOTH.get(mode) or data.draw(st.integers(1, 3))
    sizes = tuple(data.draw(st.integers(1, (9, 6, 3)[rank - 1])) for _ in range(rank))
    options = {"align_corners": aligned} if mode in SMOOTH else {}
    if data.draw(st.booleans()):
        options["size"] = tuple(data.draw(st.integers(1, 7)) for _ in range(rank))
    else:
        options["scale_factor"] = tuple(data.draw(st.sampled_from([0.4, 0.7, 1.0, 1.2, 1.5, 2, 3, 7 / 3])) for _ in range(rank))
        options["recompute_scale_factor"] = data.draw(st.sampled_from([None, True, False]))
    layer = nn.Upsample(mode=mode, **options)
    shape = (1, *sizes)
    try:
        empty = layer(torch.zeros(1, *shape)).numel() == 0
    except RuntimeError:
        empty = True
    if empty:
        with pytest.raises(InputError, match="leaves nothing"):
            network_lipschitz(layer, shape)
        return
    check(layer, shape)


@pytest.mark.parametrize(("layer", "shape", "expected"), [
    (nn.Upsample(scale_factor=2), (1, 3, 4), 2), (nn.UpsamplingNearest2d(scale_factor=3), (2, 2, 2), 3), (nn.Upsample(size=4), (1, 4), 1),
    (nn.Upsample(size=2), (1, 4), 1), (nn.Upsample(scale_factor=(1.0, 1.5)), (1, 3, 2), np.sqrt(2)), (nn.Upsample(size=5), (1, 3), np.sqrt(2)), (nn.Upsample(size=3, mode="linear"), (1, 1), np.sqrt(3)),
    (nn.UpsamplingBilinear2d(size=3), (1, 2, 2), 1.5), (nn.Upsample(size=2, mode="area"), (1, 4), np.sqrt(0.5)),
], ids=str)  # fmt: skip
def test_interpolation_by_hand(layer, shape, expected):
    """Aligned linear interpolation of 2 entries to 3: AᵀA = (1.25, 0.25; 0.25, 1.25), with 1.5 as its largest eigenvalue."""
    found = network_lipschitz(layer, shape)
    assert (found.upper, found.exact) == (pytest.approx(expected, rel=1e-12), True)


def test_linear_interpolation_on_a_long_axis_is_bounded_without_a_dense_matrix(monkeypatch):
    layer = nn.Upsample(scale_factor=1.5, mode="linear")
    exact = network_lipschitz(layer, (1, 30))
    monkeypatch.setattr(axis_maps, "_DENSE", 8)
    bounded = network_lipschitz(layer, (1, 30))
    assert (exact.exact, bounded.exact) == (True, False)
    assert exact.upper * (1 - 1e-9) <= bounded.upper <= 1.2 * exact.upper


@pytest.mark.parametrize(("size", "out", "differ"), [(14, 46, True), (6, 74, True), (9, 111, True), (7, 21, False)])
def test_neighbours_that_depend_on_the_floating_type_count_in_both(size, out, differ):
    """A scale that is rounded to float32 chooses other neighbours than one that is rounded to float64."""
    layer = nn.Upsample(size=out)
    chosen = [layer(torch.arange(size, dtype=dtype)[None, None]).long().flatten() for dtype in (torch.float32, torch.float64)]
    assert torch.equal(*chosen) != differ
    found = network_lipschitz(layer, (1, size))
    assert found.upper == pytest.approx(np.sqrt(max(int(index.bincount().max()) for index in chosen)), rel=1e-15)
    assert (RULES[nn.Upsample](layer, (1, size)).matrix is None) == differ


@pytest.mark.parametrize(("layer", "shape"), [
    (nn.PixelShuffle(2), (8, 2, 3)), (nn.PixelShuffle(1), (2, 2, 3)), (nn.PixelUnshuffle(2), (2, 4, 6)), (nn.ChannelShuffle(3), (6, 2, 2)),
    (nn.ChannelShuffle(2), (4, 3)), (nn.Unflatten(1, (2, -1)), (6, 2)), (nn.Unflatten(-1, (3, 2)), (2, 6)),
], ids=str)  # fmt: skip
def test_permutations_move_entries_and_keep_lengths(layer, shape):
    found = network_lipschitz(layer, shape)
    assert (found.upper, found.exact) == (1, True)
    assert found.output_shape == tuple(layer(torch.zeros(1, *shape)).shape[1:])
    matrix = dense(layer, shape)
    assert ((matrix == 0) | (matrix == 1)).all()
    step = RULES[type(layer)](layer, shape)
    written = step.matrix()
    np.testing.assert_array_equal(np.eye(len(matrix)) if written is None else written.toarray(), matrix)


def test_permutations_and_paddings_stand_in_products():
    """What is multiplied out is the map: a permutation between two layers is no identity."""
    torch.manual_seed(0)
    for between in (
        nn.PixelShuffle(2),
        nn.ReflectionPad2d(1),
        nn.Upsample(scale_factor=2),
        nn.ConstantPad2d((1, -1, 0, 2), 1.0),
    ):
        channels = 1 if isinstance(between, nn.PixelShuffle) else 4
        network = nn.Sequential(nn.Conv2d(2, 4, 3), between, nn.Conv2d(channels, 1, 2), nn.Flatten()).double()
        found = network_lipschitz(network, (2, 5, 5))
        assert (found.exact, len(found.layers)) == (True, 1)
        assert found.upper == pytest.approx(slope(network, torch.zeros(2, 5, 5, dtype=torch.float64)), rel=1e-9)


@pytest.mark.parametrize("layer", [
    nn.AvgPool3d(2, 1), nn.AvgPool3d(3, 2, 1, count_include_pad=False), nn.AvgPool3d(2, divisor_override=3), nn.AdaptiveAvgPool3d((1, 2, None)),
], ids=str)  # fmt: skip
def test_average_pooling_in_three_dimensions(layer):
    assert check(layer, (2, 3, 4, 3)).exact


@pytest.mark.parametrize("layer", [nn.MaxPool3d(2, 1), nn.AdaptiveMaxPool3d((2, 1, 3))], ids=str)
def test_max_pooling_in_three_dimensions_is_attained(layer):
    found = network_lipschitz(layer, (1, 3, 3, 4))
    slopes = []
    for pixel in range(36):
        x = torch.rand(1, 3, 3, 4, dtype=torch.float64)
        x.view(-1)[pixel] = 9
        slopes.append(slope(layer, x))
    assert max(slopes) == pytest.approx(found.upper, rel=1e-12)
