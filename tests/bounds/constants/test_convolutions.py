"""Norms of convolutions against the dense matrix that torch's own layer makes of the identity."""

import numpy as np
import pytest
import scipy.sparse.linalg as spl
import torch
from hypothesis import given
from hypothesis import strategies as st
from jacobians import dense
from torch import nn
from torch.nn import functional

from kd2m_theory import InputError
from kd2m_theory.bounds.constants import convolutions
from kd2m_theory.bounds.constants.convolutions import convolution_matrix, convolution_norm, matrix_norm
from kd2m_theory.shared_state import one_blas_thread

pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths:UserWarning")


@pytest.fixture(scope="module", autouse=True)
def _one_thread(one_thread):
    with one_blas_thread:
        yield


def settings_of(layer):
    settings = {key: getattr(layer, key) for key in ("stride", "padding", "dilation", "groups", "padding_mode")}
    return settings | ({"transposed": True, "output_padding": layer.output_padding} if layer.transposed else {})


def check(layer, shape):
    matrix = dense(layer, shape)
    true = np.linalg.norm(matrix, 2)
    weight = layer.weight.detach().numpy()
    found = convolution_norm(weight, shape, **settings_of(layer))
    assert found.upper >= true * (1 - 1e-12), (layer, shape)
    if found.exact:
        assert found.upper == pytest.approx(true, rel=1e-9, abs=1e-300), (layer, shape)
    with torch.no_grad():
        assert found.output_shape == tuple(layer(torch.zeros(1, *shape, dtype=torch.float64)).shape[1:])
    np.testing.assert_allclose(convolution_matrix(weight, shape, **settings_of(layer)).toarray(), matrix, atol=1e-14)
    return found, true


def only_torus(layer, shape, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(convolutions, "_ENTRIES", 0)
        return convolution_norm(layer.weight.detach().numpy(), shape, **settings_of(layer))


@pytest.mark.parametrize("mode", ["zeros", "circular"])
@pytest.mark.parametrize("stride", [1, 2, 3, (1, 2)])
@pytest.mark.parametrize(
    ("kernel", "padding", "dilation"), [(1, 0, 1), (3, 1, 1), (3, 0, 1), (3, 2, 2), ((2, 5), (1, 2), 1), (4, 3, (1, 2))]
)
@pytest.mark.parametrize("groups", [1, 2])
def test_every_geometry_in_two_dimensions(mode, stride, kernel, padding, dilation, groups, monkeypatch):
    torch.manual_seed(0)
    layer = nn.Conv2d(4, 2, kernel, stride, padding, dilation, groups, padding_mode=mode)
    for shape in ((4, 6, 9), (4, 8, 7)):
        found, true = check(layer, shape)
        assert found.exact  # so small that every route ends in the norm itself
        torus = only_torus(layer, shape, monkeypatch)
        assert torus.upper >= true * (1 - 1e-12)
        assert not torus.exact or torus.upper == pytest.approx(true, rel=1e-9)


@pytest.mark.parametrize("mode", ["reflect", "replicate"])
@pytest.mark.parametrize(("kernel", "padding", "stride"), [(3, 1, 1), ((2, 5), (1, 2), (1, 2)), (1, 2, 3)])
def test_borders_that_repeat_the_input(mode, kernel, padding, stride, monkeypatch):
    torch.manual_seed(0)
    layer = nn.Conv2d(4, 2, kernel, stride, padding, groups=2, padding_mode=mode)
    found, true = check(layer, (4, 6, 9))
    assert found.exact
    assert true * (1 - 1e-12) <= only_torus(layer, (4, 6, 9), monkeypatch).upper <= 3 * true


@pytest.mark.parametrize("layer", [
    nn.Conv1d(3, 5, 4, stride=2, padding=3), nn.Conv1d(2, 2, 3, dilation=3, padding="same"), nn.Conv1d(2, 4, 2, padding="same"),
    nn.Conv1d(4, 4, 3, groups=4, padding=1, padding_mode="circular"), nn.Conv1d(3, 2, 5, padding="valid"),
    nn.ConvTranspose1d(3, 4, 4, stride=3, padding=1, output_padding=2), nn.ConvTranspose1d(4, 6, 2, groups=2, dilation=3, output_padding=2),
    nn.Conv1d(3, 2, 9, padding=9), nn.Conv1d(3, 2, 3, stride=4, padding=5), nn.Conv1d(2, 3, 5, padding="same", padding_mode="circular"),
], ids=str)  # fmt: skip
@pytest.mark.parametrize("length", [5, 8, 13])
def test_one_dimension_and_inputs_shorter_than_the_kernels_reach(layer, length, monkeypatch):
    _, true = check(layer, (layer.in_channels, length))
    assert only_torus(layer, (layer.in_channels, length), monkeypatch).upper >= true * (1 - 1e-12)


@pytest.mark.parametrize("layer", [
    nn.ConvTranspose2d(3, 2, 3), nn.ConvTranspose2d(3, 2, 4, stride=2, padding=1), nn.ConvTranspose2d(4, 6, 3, 2, 1, 1, groups=2),
    nn.ConvTranspose2d(2, 2, 3, stride=1, dilation=(2, 3), output_padding=1), nn.ConvTranspose2d(2, 3, 2, stride=3, padding=2),
], ids=str)  # fmt: skip
def test_transposed(layer):
    found, _ = check(layer, (layer.in_channels, 4, 5))
    assert found.exact


@pytest.mark.parametrize("layer", [
    nn.Conv3d(2, 3, 3, padding=1), nn.Conv3d(2, 2, (1, 2, 3), (2, 1, 1), (0, 1, 2), groups=2), nn.Conv3d(1, 2, 2, padding="same", padding_mode="circular"),
    nn.Conv3d(1, 2, 3, padding=1, padding_mode="reflect"), nn.Conv3d(1, 2, 2, 2, 1, padding_mode="replicate"), nn.Conv3d(2, 3, 2, 2),
    nn.ConvTranspose3d(2, 1, 3, 2, 1, output_padding=1),
], ids=str)  # fmt: skip
def test_three_dimensions(layer, monkeypatch):
    shape = (layer.in_channels, 3, 4, 2)
    found, true = check(layer, shape)
    assert found.exact
    torus = only_torus(layer, shape, monkeypatch)
    assert torus.upper >= true * (1 - 1e-12)
    assert not torus.exact or torus.upper == pytest.approx(true, rel=1e-9)


@given(st.data())
def test_law_never_below_and_exact_where_it_says_so(data):
    draw = data.draw
    groups, rank = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    inputs, outputs = groups * draw(st.integers(1, 2)), groups * draw(st.integers(1, 3))
    kernel, stride, dilation = (tuple(draw(st.integers(1, most)) for _ in range(rank)) for most in (5, 4, 3))
    padding = tuple(draw(st.integers(0, 6)) for _ in range(rank))
    sizes = tuple(draw(st.integers(1, (9, 9, 5)[rank - 1])) for _ in range(rank))
    mode = draw(st.sampled_from(["zeros", "circular", "reflect", "replicate", "transposed"]))
    kind = getattr(nn, f"Conv{'Transpose' if mode == 'transposed' else ''}{rank}d")
    torch.manual_seed(draw(st.integers(0, 99)))
    padding_mode = "zeros" if mode == "transposed" else mode
    layer = kind(inputs, outputs, kernel, stride, padding, dilation=dilation, groups=groups, padding_mode=padding_mode)
    shape = (inputs, *sizes)
    try:
        dense(layer, shape)
    except RuntimeError:  # torch cannot: neither may we
        with pytest.raises(InputError, match="too small"):
            convolution_norm(layer.weight.detach().numpy(), shape, **settings_of(layer))
        return
    _, true = check(layer, shape)
    with pytest.MonkeyPatch.context() as patch:
        torus = only_torus(layer, shape, patch)
        patch.setattr(convolutions, "_DENSE", 8)  # Lanczos and the certificate, whatever the size
        check(layer, shape)
    assert torus.upper >= true * (1 - 1e-12)
    assert not torus.exact or torus.upper == pytest.approx(true, rel=1e-9, abs=1e-300)


def test_medium_size_is_certified_and_agrees_with_an_independent_svds(monkeypatch):
    torch.manual_seed(1)
    layer = nn.Conv2d(16, 16, 3, padding=1, bias=False).double()
    shape = (16, 16, 16)
    found = convolution_norm(layer.weight.detach().numpy(), shape, **settings_of(layer))
    assert (found.exact, found.how) == (True, "certified by banded Cholesky")

    def apply(x):
        with torch.no_grad():
            return layer(torch.as_tensor(x.reshape(1, *shape))).numpy().ravel()

    def adjoint(y):
        with torch.no_grad():
            return functional.conv_transpose2d(torch.as_tensor(y.reshape(1, *shape)), layer.weight, padding=1).numpy().ravel()

    operator = spl.LinearOperator((4096, 4096), matvec=apply, rmatvec=adjoint, dtype=np.float64)
    true = spl.svds(operator, k=1, return_singular_vectors=False, v0=np.ones(4096), tol=1e-9)[0]
    assert found.upper == pytest.approx(true, rel=1e-6)
    torus = only_torus(layer, shape, monkeypatch)
    assert (torus.exact, torus.how) == (False, "torus embedding")
    assert true <= torus.upper <= 1.05 * true


def test_certificate_is_refused_by_a_candidate_that_is_too_small(monkeypatch):
    """Lanczos that misses the largest eigenvalue is caught: the factor does not exist, and the torus answers."""
    weight = np.random.default_rng(0).normal(size=(8, 8, 3, 3))
    true = convolution_norm(weight, (8, 10, 10), padding=1)
    assert true.exact
    lanczos = convolutions.spl.eigsh
    monkeypatch.setattr(convolutions.spl, "eigsh", lambda gram, **options: 0.9 * lanczos(gram, **options))
    missed = convolution_norm(weight, (8, 10, 10), padding=1)
    assert not missed.exact
    assert missed.upper >= true.upper * (1 - 1e-9)


def test_norm_of_the_flattened_kernel_is_not_the_norm():
    """Ones of 3 × 3 have norm 3 as a row, and 9 as an operator on large images."""
    weight = np.ones((1, 1, 3, 3))
    assert np.linalg.norm(weight.reshape(1, -1), 2) == 3
    assert convolution_norm(weight, (1, 9, 9), padding=1, padding_mode="circular").upper == pytest.approx(9, rel=1e-12)
    assert convolution_norm(weight, (1, 9, 9), padding=1).upper == pytest.approx((1 + 2 * np.cos(np.pi / 10)) ** 2, rel=1e-9)


def test_groups_take_the_maximum_and_not_the_product():
    weight = np.array([2.0, 3.0, 5.0]).reshape(3, 1, 1, 1)
    assert convolution_norm(weight, (3, 4, 4), groups=3).upper == pytest.approx(5, rel=1e-12)


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_any_scale(scale):
    weight = np.random.default_rng(0).normal(size=(2, 3, 3, 3))
    one, scaled = (convolution_norm(factor * weight, (3, 5, 5), padding=1).upper for factor in (1.0, scale))
    assert scaled / scale == pytest.approx(one, rel=1e-12)
    assert matrix_norm(scale * weight[0, 0])[0] / scale == pytest.approx(np.linalg.norm(weight[0, 0], 2), rel=1e-12)


def test_zero():
    assert convolution_norm(np.zeros((2, 1, 3)), (1, 5)).upper == 0
    assert convolution_norm(np.ones((1, 1, 1)), (1, 1), stride=3, padding=1).upper == 0  # reads the padding alone
    assert matrix_norm(np.zeros((2, 3)))[0] == 0


@pytest.mark.parametrize(("weight", "shape", "settings", "message"), [
    (np.ones((2, 2, 3)), (3, 8), {}, r"input has shape \(3, 8\), the convolution takes \(2, L\)"),
    (np.ones((2, 2, 3, 3)), (2, 8), {}, r"the convolution takes \(2, H, W\)"),
    (np.ones((2, 2, 3, 3)), (2, 8, 2), {}, "axis of size 2 is too small for kernel 3"),
    (np.ones((2, 2, 3)), (2, 4), {"padding": 5, "padding_mode": "circular"}, "too small"),
    (np.full((2, 2, 3), np.nan), (2, 4), {}, "must be finite"),
    (np.ones((2, 2)), (2, 4), {}, r"weight of shape \(2, 2\)"),
    (np.ones((2, 2, 3)) * 1j, (2, 4), {}, "complex"),
    (np.ones((2, 2, 3)), (2, 4), {"padding": 4, "padding_mode": "reflect"}, "at most 3"),
    (np.ones((2, 2, 3)), (2, 4), {"padding_mode": "symmetric"}, "padding_mode is 'symmetric'"),
    (np.ones((2, 2, 3, 3, 3)), (2, 4), {}, r"the convolution takes \(2, D, H, W\)"),
    (np.ones((2, 2, 3, 3, 3, 3)), (2, 4), {}, "with 3 to 5 axes"),
    (np.ones((2, 2, 3)), (2, 4), {"padding_mode": "circular", "transposed": True}, "padding_mode is 'circular'"),
    (np.ones((2, 2, 3)), (2, 4), {"padding": "full"}, "padding is 'full'"),
    (np.ones((3, 1, 3)), (2, 4), {"groups": 2}, "not a multiple of groups=2"),
])  # fmt: skip
def test_refusals(weight, shape, settings, message):
    with pytest.raises(InputError, match=message):
        convolution_norm(weight, shape, **settings)


def test_too_large_to_write_out():
    assert convolution_matrix(np.ones((64, 64, 3, 3)), (64, 32, 32), padding=1) is None
