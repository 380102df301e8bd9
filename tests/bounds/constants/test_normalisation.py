"""Constants of layers that normalise by their own input, against Jacobians of torch and exact eigenvalues."""

import mpmath
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from jacobians import slope, steepest
from torch import nn

from kd2m_theory.bounds.constants.layers import network_lipschitz
from kd2m_theory.bounds.constants.normalisation import centred_norm
from kd2m_theory.shared_state import one_blas_thread


@pytest.fixture(scope="module", autouse=True)
def _one_thread(one_thread):
    with one_blas_thread:
        yield


def drawn(layer, seed=0):
    generator = torch.Generator().manual_seed(seed)
    for parameter in layer.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    return layer


LAYERS = [
    (nn.LayerNorm(5), (5,)), (nn.LayerNorm(2), (3, 2)), (nn.LayerNorm((2, 3)), (2, 2, 3)), (nn.LayerNorm(4, elementwise_affine=False), (4,)),
    (nn.LayerNorm(4, bias=False, eps=0.3), (4,)), (nn.GroupNorm(2, 6), (6,)), (nn.GroupNorm(2, 4), (4, 3)), (nn.GroupNorm(1, 3), (3, 2, 2)),
    (nn.GroupNorm(2, 4, affine=False), (4, 2)), (nn.InstanceNorm1d(3, affine=True), (3, 4)), (nn.InstanceNorm2d(2), (2, 2, 3)),
    (nn.InstanceNorm3d(2, affine=True), (2, 2, 1, 2)), (nn.RMSNorm(5, eps=1e-3), (5,)), (nn.RMSNorm((2, 2), eps=0.5, elementwise_affine=False), (3, 2, 2)),
]  # fmt: skip


@pytest.mark.parametrize(("layer", "shape"), LAYERS, ids=str)
def test_the_constant_is_attained_where_nothing_varies_and_never_exceeded(layer, shape):
    layer = drawn(layer).double()
    found = network_lipschitz(layer, shape)
    flat = torch.full(shape, 0.0 if isinstance(layer, nn.RMSNorm) else 7.0, dtype=torch.float64)
    assert found.exact
    assert found.output_shape == shape
    assert slope(layer, flat) == pytest.approx(found.upper, rel=1e-9)
    generator = torch.Generator().manual_seed(1)
    for scale in (1e-6, 1e-3, 1e-2, 0.1):  # near the supremum too
        near = flat + scale * torch.randn(shape, generator=generator, dtype=torch.float64)
        assert slope(layer, near) <= found.upper * (1 + 1e-9)
    assert steepest(layer, shape, draws=2) <= found.upper * (1 + 1e-9)


@given(st.integers(1, 3), st.integers(1, 3), st.lists(st.integers(1, 3), max_size=2), st.integers(0, 99))
def test_law_of_group_norm_over_shapes(groups, in_group, sizes, seed):
    shape = (groups * in_group, *sizes)
    layer = drawn(nn.GroupNorm(groups, shape[0], eps=0.1), seed).double()
    found = network_lipschitz(layer, shape)
    batch = torch.zeros(2, *shape, dtype=torch.float64)  # two: torch refuses one entry per group of one sample
    flat, near = (
        torch.autograd.functional.jacobian(
            lambda x: layer(x)[0], batch + scale * torch.randn(batch.shape, dtype=torch.float64)
        ).reshape(batch[0].numel(), 2, -1)[:, 0]
        for scale in (0.0, 0.2)
    )
    assert torch.linalg.matrix_norm(flat, 2).item() == pytest.approx(found.upper, rel=1e-9, abs=1e-12)
    assert torch.linalg.matrix_norm(near, 2).item() <= found.upper * (1 + 1e-12) + 1e-12


def test_distances_never_grow_faster_than_the_constant():
    """Not the Jacobian: pairs of inputs, through the place where the layer is steepest."""
    layer = drawn(nn.LayerNorm(6, eps=1e-2)).double()
    upper = network_lipschitz(layer, (6,)).upper
    generator = torch.Generator().manual_seed(2)
    scales = torch.logspace(-4, 2, 200, dtype=torch.float64)[:, None]
    x, y = (scales * torch.randn(200, 6, generator=generator, dtype=torch.float64) for _ in range(2))
    for other in (y, -x, 0.5 * x):
        ratio = (layer(x) - layer(other)).norm(dim=1) / (x - other).norm(dim=1)
        assert ratio.max() <= upper * (1 + 1e-12)


@given(
    st.lists(
        st.one_of(st.floats(-3, 3).map(lambda x: round(x, 6)), st.sampled_from([0.0, 1.0, 1.0, 2.0])), min_size=1, max_size=7
    ),
    st.sampled_from([1.0, 1e-170, 1e200]),
)
def test_norm_of_weighted_centring_is_that_of_the_matrix(gamma, scale):
    """Against eigenvalues at 50 digits."""
    found = centred_norm(scale * np.array(gamma)) / scale
    size = len(gamma)
    with mpmath.workdps(50):
        weighted = mpmath.diag(gamma) * (mpmath.eye(size) - mpmath.ones(size) / size)
        true = mpmath.sqrt(max(mpmath.eigsy(weighted.T * weighted, eigvals_only=True))) if any(gamma) and size > 1 else 0
    assert found >= true * (1 - 1e-15)
    assert found <= true * (1 + 1e-12) + 1e-300


def test_many_weights_cost_no_matrix():
    gamma = np.random.default_rng(0).normal(size=200_000)
    first, second = np.sort(np.abs(gamma))[:-3:-1]
    assert second <= centred_norm(gamma) <= first
    head = gamma[:300]
    dense = np.diag(head) @ (np.eye(300) - 1 / 300)
    assert centred_norm(head) == pytest.approx(np.linalg.norm(dense, 2), rel=1e-12)


def test_one_entry_is_normalised_to_a_constant():
    assert network_lipschitz(drawn(nn.LayerNorm(1)), (4, 1)).upper == 0
    assert network_lipschitz(nn.GroupNorm(3, 3), (3,)).upper == 0


def running(layer, shape):
    layer = drawn(layer).eval()
    layer.running_mean = torch.randn(layer.running_mean.shape, dtype=torch.float64)
    layer.running_var = torch.rand(layer.running_var.shape, dtype=torch.float64) + 0.2
    return layer, shape


@pytest.mark.parametrize(("layer", "shape"), [
    running(nn.BatchNorm3d(2), (2, 2, 1, 3)), running(nn.SyncBatchNorm(3), (3,)), running(nn.SyncBatchNorm(2), (2, 2, 2)),
    running(nn.InstanceNorm2d(2, affine=True, track_running_stats=True), (2, 2, 3)),
], ids=str)  # fmt: skip
def test_running_statistics_make_a_linear_layer(layer, shape):
    found = network_lipschitz(layer, shape)
    assert found.exact
    assert found.upper == pytest.approx(slope(layer, torch.randn(shape, dtype=torch.float64)), rel=1e-9)


def test_a_batch_norm_is_folded_into_a_convolution_over_three_axes():
    torch.manual_seed(0)
    norm, _ = running(nn.BatchNorm3d(3), None)
    network = nn.Sequential(nn.Conv3d(2, 3, 2), norm).double().eval()
    found = network_lipschitz(network, (2, 3, 3, 2))
    assert (found.exact, len(found.layers)) == (True, 1)
    assert found.upper == pytest.approx(slope(network, torch.randn(2, 3, 3, 2, dtype=torch.float64)), rel=1e-9)
