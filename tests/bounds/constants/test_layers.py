"""Constants of layers and networks against Jacobians of the real torch modules."""

import math
from fractions import Fraction

import mpmath
import numpy as np
import pytest
import torch
from jacobians import slope, steepest
from mpmath import iv
from torch import nn
from torch.nn.utils import parametrizations

from kd2m_theory import InputError
from kd2m_theory.bounds.constants import activation_rules
from kd2m_theory.bounds.constants.layers import LayerConstant, network_lipschitz
from kd2m_theory.shared_state import one_blas_thread


@pytest.fixture(scope="module", autouse=True)
def _one_thread(one_thread):
    with one_blas_thread:
        yield


def batch_norm(module, seed=0):
    generator = torch.Generator().manual_seed(seed)
    for tensor in (module.running_mean, module.weight, module.bias):
        tensor.data.copy_(torch.randn(tensor.shape, generator=generator))
    module.running_var.copy_(torch.rand(module.running_var.shape, generator=generator) + 0.2)
    return module.double().eval()


ACTIVATIONS = [
    (nn.ReLU(), 1), (nn.ReLU6(), 1), (nn.LeakyReLU(0.3), 1), (nn.LeakyReLU(-2.5), 2.5), (nn.PReLU(3, -1.5), 1.5), (nn.ELU(0.5), 1),
    (nn.ELU(3.0), 3), (nn.CELU(2.0), 1), (nn.SELU(), 1.0507009873554805 * 1.6732632423543772), (nn.Softplus(2.0), 1), (nn.Tanh(), 1),
    (nn.Sigmoid(), 0.25), (nn.Hardtanh(), 1), (nn.Hardswish(), 1.5), (nn.Hardsigmoid(), 1 / 6), (nn.Softsign(), 1),
    (nn.LogSigmoid(), 1), (nn.Tanhshrink(), 1), (nn.Softshrink(), 1), (nn.GELU(), 1.128904145185155),
    (nn.RReLU(0.2, 3.0).eval(), 1.6), (nn.Threshold(1.0, 1.0), 1), (nn.Hardshrink(0.0), 1),
    (nn.GELU("tanh"), 1.128993068658772), (nn.SiLU(), 1.099839320128867), (nn.Mish(), 1.088498161251728), (nn.Identity(), 1),
]  # fmt: skip


@pytest.mark.parametrize(("module", "expected"), ACTIVATIONS, ids=str)
def test_activations_are_as_steep_as_said_and_no_steeper(module, expected):
    found = network_lipschitz(module, (3,))
    assert found.exact
    assert found.upper == pytest.approx(expected, rel=1e-12)
    x = torch.cat((torch.linspace(-40, 40, 400001, dtype=torch.float64), torch.tensor([-1e-9, 1e-9, 2.9999999])))
    x = x[:, None].repeat(1, 3).requires_grad_()
    (slopes,) = torch.autograd.grad(module.double()(x).sum(), x)
    single = isinstance(module, nn.Hardsigmoid)  # torch differentiates it with a sixth in float32
    assert slopes.abs().max() <= found.upper * (1 + (1e-7 if single else 1e-12))
    assert slopes.abs().max() >= found.upper * (1 - 1e-3)


def formulas(e, x, m):
    """Slope and its derivative of each smooth activation, in the arithmetic `m` (points or intervals), with e = exp(x)."""
    s = 1 / (1 + 1 / e)
    silu = s + x * s * (1 - s), s * (1 - s) * (2 + x * (1 - 2 * s))
    # Mish: x t with t = tanh(log(1 + e^x)) = 1 − 2/(q + 1), q = (1 + e^x)².
    q = (1 + e) ** 2
    dq, ddq = 2 * e * (1 + e), 2 * e * (1 + 2 * e)
    t, dt = 1 - 2 / (q + 1), 2 * dq / (q + 1) ** 2
    ddt = 2 * ddq / (q + 1) ** 2 - 4 * dq**2 / (q + 1) ** 3
    mish = t + x * dt, 2 * dt + x * ddt
    # GELU by tanh: ½x(1 + tanh u).
    c, k = m.sqrt(2 / m.pi), m.mpf("0.044715")
    u, du, ddu = c * (x + k * x**3), c * (1 + 3 * k * x**2), 6 * c * k * x
    v = 1 - 2 / (m.exp(2 * u) + 1)
    w, dw = (1 - v**2) * du, (1 - v**2) * (ddu - 2 * v * du**2)
    gelu = (1 + v) / 2 + x * w / 2, w + x * dw / 2
    return {"_SILU": silu, "_MISH": mish, "_GELU_TANH": gelu}


@pytest.mark.parametrize(("name", "near"), [("_SILU", 2.4), ("_MISH", 1.5), ("_GELU_TANH", 1.4)])
def test_steepest_slopes_are_proved_by_interval_arithmetic(name, near):
    """|φ′| ≤ the constant on [−20, 20] by the mean value form on ever smaller boxes, and attained to 13 digits.

    Beyond, φ′ differs from its limits 0 and 1 by less than 1e-6: each tends to them like |x| e^{−|x|} or faster.
    """
    with mpmath.workdps(40):
        top = mpmath.findroot(lambda x: formulas(mpmath.exp(x), x, mpmath.mp)[name][1], near)
        attained = formulas(mpmath.exp(top), top, mpmath.mp)[name][0]
        constant = getattr(activation_rules, name)
        assert 0 <= (mpmath.mpf(constant) - attained) / attained < 1e-13
    boxes, proved = [(-20.0 + k, -19.0 + k) for k in range(40)], 0
    while boxes:
        low, high = boxes.pop()
        middle, box = (low + high) / 2, iv.mpf([low, high])
        at = iv.mpf(middle)
        value = formulas(iv.exp(at), at, iv)[name][0] + formulas(iv.exp(box), box, iv)[name][1] * (box - at)
        if max(value.b, -value.a) <= constant * (1 + 1e-12):
            proved += 1
        else:
            assert high - low > 1e-9
            boxes += [(low, middle), (middle, high)]
    assert proved < 5000


def test_gelu_has_a_closed_form():
    with mpmath.workdps(40):
        sharp = (1 + mpmath.erf(1)) / 2 + mpmath.exp(-1) / mpmath.sqrt(mpmath.pi)
        assert mpmath.almosteq(sharp, mpmath.diff(lambda x: x * mpmath.ncdf(x), mpmath.sqrt(2)), 1e-20)
        assert 0 <= activation_rules._GELU - sharp < 1e-13
        silu = mpmath.findroot(lambda x: x * mpmath.tanh(x / 2) - 2, 2.4)
        assert 0 <= activation_rules._SILU - (mpmath.mpf(1) / 2 + silu / 4) < 1e-13


@pytest.mark.parametrize("classes", [1, 2, 3, 7])
@pytest.mark.parametrize(("kind", "expected"), [(nn.Softmax, 0.5), (nn.Softmin, 0.5), (nn.LogSoftmax, None)])
def test_softmax_and_its_logarithm(kind, expected, classes):
    found = network_lipschitz(kind(dim=1), (classes,))
    expected = 0 if classes == 1 else expected or np.sqrt(classes)
    assert found.upper == pytest.approx(expected, rel=1e-12)
    assert steepest(kind(dim=-1), (classes,)) <= found.upper * (1 + 1e-12)
    worst = torch.full((classes,), -60.0, dtype=torch.float64)
    worst[: 1 if kind is nn.LogSoftmax else 2] = 0  # one winner, or two in a tie
    worst = -worst if kind is nn.Softmin else worst
    assert slope(kind(dim=1), worst) == pytest.approx(expected, abs=1e-12)


LINEAR = [
    (nn.Linear(5, 3), (5,)), (nn.Linear(4, 6), (2, 4)), (nn.Conv2d(3, 4, 3, padding=1), (3, 5, 6)), (nn.Conv1d(2, 3, 3, 2), (2, 9)),
    (nn.ConvTranspose2d(3, 2, 3, 2), (3, 4, 4)), (nn.Conv2d(2, 2, 3, padding=1, padding_mode="circular"), (2, 5, 4)),
    (nn.AvgPool2d(2), (2, 6, 7)), (nn.AvgPool2d(3, 1, 1), (2, 6, 7)), (nn.AvgPool2d(3, 2, 1, count_include_pad=False), (2, 6, 7)),
    (nn.AvgPool2d((3, 2), (2, 1), 1, ceil_mode=True), (1, 6, 6)), (nn.AvgPool2d(3, 2, 1, True, False), (1, 6, 6)), (nn.AvgPool2d(2, 3, ceil_mode=True), (1, 6, 6)),
    (nn.AvgPool2d(3, 2, 1, divisor_override=5), (2, 5, 7)), (nn.AvgPool1d(4, 3, 1, ceil_mode=True), (2, 12)),
    (nn.AdaptiveAvgPool2d(1), (3, 4, 5)), (nn.AdaptiveAvgPool2d((3, None)), (2, 7, 5)), (nn.AdaptiveAvgPool1d(4), (2, 9)),
    (nn.AdaptiveAvgPool2d(5), (1, 3, 4)), (batch_norm(nn.BatchNorm2d(3)), (3, 2, 4)), (batch_norm(nn.BatchNorm1d(4)), (4,)),
    (nn.Sequential(nn.Flatten(), nn.Dropout(0.3)), (2, 3, 2)), (nn.Flatten(2), (2, 3, 2)),
]  # fmt: skip


@pytest.mark.parametrize(("module", "shape"), LINEAR, ids=str)
def test_linear_layers_are_exact(module, shape):
    module = module.double().eval()
    found = network_lipschitz(module, shape)
    assert found.exact
    assert found.upper == pytest.approx(slope(module, torch.randn(shape, dtype=torch.float64)), rel=1e-10)
    assert found.output_shape == tuple(module(torch.zeros(1, *shape, dtype=torch.float64)).shape[1:])


def test_global_average_pooling_by_hand():
    assert network_lipschitz(nn.AdaptiveAvgPool2d(1), (3, 4, 5)).upper == pytest.approx(1 / np.sqrt(20), rel=1e-12)


@pytest.mark.parametrize("module", [
    nn.MaxPool2d(2), nn.MaxPool2d(3, 2), pytest.param(nn.MaxPool2d(3, 1, 1), marks=pytest.mark.long), nn.MaxPool2d((2, 3), (1, 2), (1, 1)), nn.MaxPool2d(3, 2, 1, ceil_mode=True),
    nn.MaxPool2d(2, 1, dilation=3), nn.MaxPool2d(3, 3, 1, dilation=2), nn.AdaptiveMaxPool2d(3), nn.AdaptiveMaxPool2d((None, 6)), nn.MaxPool2d(1, 3, ceil_mode=True),
], ids=str)  # fmt: skip
def test_max_pooling_is_attained_where_one_pixel_stands_out(module):
    for shape in ((1, 6, 5), (2, 4, 4)):
        found = network_lipschitz(module, shape)
        slopes = []
        for pixel in range(shape[1] * shape[2]):
            x = torch.rand(shape, dtype=torch.float64)
            x[0].view(-1)[pixel] = 9
            slopes.append(slope(module, x))
        assert found.exact
        assert max(slopes) == pytest.approx(found.upper, rel=1e-12)
        assert steepest(module, shape) <= found.upper * (1 + 1e-12)
        assert found.output_shape == tuple(module(torch.zeros(1, *shape)).shape[1:])
    assert network_lipschitz(nn.MaxPool1d(4, 2), (3, 16)).upper == pytest.approx(np.sqrt(2))


def networks():
    torch.manual_seed(3)
    yield nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 5), nn.Tanh(), nn.Linear(5, 3)), (6,)
    yield (
        nn.Sequential(
            nn.Linear(4, 6), batch_norm(nn.BatchNorm1d(6)), nn.SiLU(), nn.Dropout(), nn.Linear(6, 3), nn.LogSoftmax(1)
        ),
        (4,),
    )
    yield (
        nn.Sequential(
            nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), batch_norm(nn.BatchNorm2d(4)), nn.ReLU(), nn.MaxPool2d(2)),
            nn.Sequential(
                nn.Conv2d(4, 4, 3, 2, 1, groups=2, padding_mode="circular"), nn.GELU("tanh"), nn.AdaptiveAvgPool2d(1)
            ),
            nn.Flatten(),
            nn.Linear(4, 3),
        ),
        (2, 8, 8),
    )
    yield (
        nn.Sequential(nn.Conv1d(2, 3, 3), nn.Mish(), nn.ConvTranspose1d(3, 2, 4, 2), nn.Softmax(dim=1), nn.AvgPool1d(3, 1)),
        (2, 9),
    )


@pytest.mark.parametrize(("module", "shape"), list(networks()), ids=["mlp", "norm", "cnn", "one axis"])
def test_no_jacobian_is_steeper_than_the_bound(module, shape):
    module = module.double().eval()
    found = network_lipschitz(module, shape)
    attained = steepest(module, shape)
    assert not found.exact
    assert 0 < attained <= found.upper * (1 + 1e-12)
    assert found.output_shape == tuple(module(torch.zeros(1, *shape, dtype=torch.float64)).shape[1:])


def test_gradient_ascent_on_the_slope_stays_below():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)).double()
    upper = network_lipschitz(module, (4,)).upper
    x = torch.randn(4, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.Adam([x], lr=0.05)
    for _ in range(150):
        optimiser.zero_grad()
        made = torch.autograd.functional.jacobian(module, x, create_graph=True)
        (-torch.linalg.matrix_norm(made, 2)).backward()
        optimiser.step()
    assert 0.5 * upper < slope(module, x.detach()) <= upper * (1 + 1e-12)


@pytest.mark.parametrize("layer", [
    nn.Linear(3, 6), nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(4, 6, 3, groups=2), nn.ConvTranspose2d(4, 6, 3, 2, groups=2), nn.Conv1d(3, 6, 3),
], ids=str)  # fmt: skip
def test_batch_norm_is_folded_and_exact(layer):
    rank = layer.weight.ndim - 2
    shape = (layer.weight.shape[1],) if rank == 0 else (layer.in_channels, *(5, 6)[:rank])
    module = nn.Sequential(layer, batch_norm((nn.BatchNorm2d if rank == 2 else nn.BatchNorm1d)(6))).double().eval()
    found = network_lipschitz(module, shape)
    assert (found.exact, len(found.layers)) == (True, 1)
    assert found.upper == pytest.approx(slope(module, torch.randn(shape, dtype=torch.float64)), rel=1e-9)
    assert found.upper <= network_lipschitz(layer, shape).upper * network_lipschitz(module[1], found.output_shape).upper


def test_linear_layers_in_a_row_are_multiplied_out():
    """One stretches what the other leaves: the product of norms is 100, the map is 10 times the identity."""
    module = nn.Sequential(nn.Linear(2, 2), nn.Identity(), nn.Linear(2, 2)).double()
    module[0].weight.data = torch.diag(torch.tensor([10.0, 1.0], dtype=torch.float64))
    module[2].weight.data = torch.diag(torch.tensor([1.0, 10.0], dtype=torch.float64))
    found = network_lipschitz(module, (2,))
    assert (found.upper, found.exact) == (pytest.approx(10, rel=1e-12), True)
    assert found.layers[0].name == "0 Linear · 2 Linear"


@pytest.mark.parametrize("widths", [(3, 1), (1, 3)])
def test_a_chain_of_every_linear_kind_is_exact(widths):
    torch.manual_seed(5)
    module = nn.Sequential(
        nn.AvgPool2d(2, 1), nn.Conv2d(2, widths[0], 3), nn.Flatten(2), nn.Linear(9, 4), nn.Flatten(), nn.Linear(4 * widths[0], widths[1])
    )  # fmt: skip
    module = module.double()
    found = network_lipschitz(module, (2, 6, 6))
    assert found.exact
    assert found.upper == pytest.approx(slope(module, torch.randn(2, 6, 6, dtype=torch.float64)), rel=1e-9)
    wide = nn.Sequential(nn.Linear(2, 30), nn.Linear(30, 40)).double()
    assert network_lipschitz(wide, (2,)).upper == pytest.approx(slope(wide, torch.zeros(2, dtype=torch.float64)), rel=1e-9)


def test_a_module_that_stands_twice_counts_twice():
    layer = nn.Linear(3, 3)
    one = network_lipschitz(layer, (3,)).upper
    assert network_lipschitz(nn.Sequential(layer, nn.ReLU(), layer), (3,)).upper == pytest.approx(one**2, rel=1e-12)


def test_the_module_is_left_as_it_was():
    module = nn.Sequential(nn.Conv2d(1, 2, 3), batch_norm(nn.BatchNorm2d(2)).float(), nn.ReLU())
    before = {key: value.clone() for key, value in module.state_dict().items()}
    modes = [part.training for part in module.modules()]
    network_lipschitz(module, (1, 5, 5))
    assert [part.training for part in module.modules()] == modes
    assert all(
        torch.equal(before[key], value) and before[key].dtype == value.dtype for key, value in module.state_dict().items()
    )


def test_parametrised_layers_are_read_in_evaluation_mode():
    torch.manual_seed(0)
    module = parametrizations.spectral_norm(nn.Linear(5, 4), n_power_iterations=50).eval()
    assert network_lipschitz(module, (5,)).upper == pytest.approx(1, rel=1e-3)
    with pytest.raises(InputError, match="training mode"):
        network_lipschitz(module.train(), (5,))


def test_table_and_names():
    module = nn.Sequential(nn.Sequential(nn.Linear(2, 3)), nn.ReLU())
    found = network_lipschitz(module, (2,))
    assert [layer.name for layer in found.layers] == ["0.0 Linear", "1 ReLU"]
    lines = found.table().splitlines()
    assert len(lines) == 3
    assert lines[-1].startswith("network")
    assert "≤" in lines[-1]
    assert "=" in lines[0]


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(2, 2)

    def forward(self, x):
        return x + self.inner(x)


class Doubled(nn.Linear):
    def forward(self, x):
        return 2 * super().forward(x)


def test_a_rule_of_ones_own():
    def rule(module, shape):
        return LayerConstant(
            name="", upper=1 + network_lipschitz(module.inner, shape).upper, exact=False, how="1 + inner", output_shape=shape
        )

    module = nn.Sequential(Residual(), nn.Linear(2, 1)).double()
    found = network_lipschitz(module, (2,), rules={Residual: rule})
    assert steepest(module, (2,)) <= found.upper
    assert found.layers[0].name == "0 Residual"
    with pytest.raises(InputError, match="rule for layer '0'"):
        network_lipschitz(
            module,
            (2,),
            rules={
                Residual: lambda _, shape: LayerConstant(name="", upper=float("nan"), exact=False, how="", output_shape=shape)
            },
        )


def hooked():
    layer = nn.Linear(2, 2)
    layer.register_forward_hook(lambda *_: None)
    return layer


def spoiled(value):
    layer = nn.Linear(2, 2)
    layer.weight.data[0, 0] = value
    return layer


def without(**changes):
    module = batch_norm(nn.BatchNorm1d(2))
    for key, value in changes.items():
        setattr(module, key, value)
    return module


@pytest.mark.parametrize(("module", "shape", "message"), [
    (nn.Sequential(nn.Sequential(nn.ReLU(), Residual())), (2,), r"layer '0.1' is a Residual, which no rule covers"),
    (Doubled(2, 2), (2,), "layer '' is a Doubled, which no rule covers"),
    (nn.LPPool1d(2, 3), (2, 4), "LPPool1d, which no rule covers; pass rules="),
    (nn.Threshold(1, 0), (2,), "jumps at its threshold"),
    (nn.Hardshrink(), (2,), "jumps at its threshold"),
    (nn.RReLU(), (2,), "training mode"),
    (nn.Dropout3d(), (2, 3, 3, 3), "training mode"),
    (nn.SyncBatchNorm(2), (2,), "training mode"),
    (nn.InstanceNorm1d(2, track_running_stats=True), (2, 3), "training mode"),
    (nn.MultiheadAttention(4, 2), (3, 4), "no Lipschitz constant over all inputs .Kim"),
    (nn.TransformerEncoderLayer(4, 2), (3, 4), r"behind the last attention layer.*rules=\{TransformerEncoderLayer: …\}"),
    (type("SelfAttention", (nn.Module,), {})(), (3, 4), r"dot-product attention has no.*rules=\{SelfAttention: …\}"),
    (nn.Embedding(4, 2), (3,), "takes indices.*with the vectors as input"),
    (nn.LSTM(4, 2), (3, 4), "returns a tuple"),
    (nn.DataParallel(nn.ReLU()), (4,), "pass its .module"),
    (nn.Unflatten(1, (0, -1)), (4,), "that becomes"),
    (nn.GLU(), (4,), "multiplies parts of its input"),
    (nn.Conv2d(3, 2, 3, padding=8, padding_mode="reflect"), (3, 8, 8), "too small for padding 8 in mode 'reflect', at most 7"),
    (nn.CircularPad1d(4), (1, 3), "too small for padding 4 in mode 'circular', at most 3"),
    (nn.ReflectionPad1d(-1), (1, 5), "only constant padding may crop"),
    (nn.ZeroPad1d(-3), (1, 5), "takes away"),
    (nn.ReplicationPad2d(1), (2, 5), "expected a channel axis and 2 more"),
    (nn.Upsample(scale_factor=0.1), (1, 5), "leaves nothing of an axis of size 5"),
    (nn.Upsample(scale_factor=2, mode="bilinear"), (1, 5), "expected a channel axis and 2 more"),
    (nn.Upsample(), (1, 5), "neither a size nor a scale_factor"),
    (nn.PixelShuffle(2), (3, 2, 2), r"that PixelShuffle\(upscale_factor=2\) divides"),
    (nn.PixelUnshuffle(2), (1, 3, 2), "divides"),
    (nn.ChannelShuffle(2), (3, 2), "divides"),
    (nn.Unflatten(1, (2, 2)), (5,), r"that becomes \(2, 2\)"),
    (nn.LayerNorm(2), (3,), r"last axes \(2,\)"),
    (nn.LayerNorm(2, eps=0.0), (2,), "jumps at inputs that are constant"),
    (nn.RMSNorm(2, eps=0.0), (2,), "jumps at 0"),
    (nn.RMSNorm(2), (2,), "eps is None"),
    (nn.GroupNorm(1, 2), (3, 4), "expected 2 channels"),
    (nn.InstanceNorm1d(2), (2, 1), "at least 2 entries in every channel"),
    (nn.LazyLinear(2), (2,), r"\(LazyLinear\) has forward hooks"),
    (hooked(), (2,), "has forward hooks"),
    (nn.Sequential(nn.BatchNorm1d(2)), (2,), r"layer '0' \(BatchNorm1d\) is in training mode"),
    (nn.BatchNorm1d(2, track_running_stats=False).eval(), (2,), "no running statistics"),
    (without(running_var=torch.tensor([-1.0, 1.0])), (2,), "not positive"),
    (batch_norm(nn.BatchNorm1d(2)), (3,), r"input has shape \(3,\), expected 2 channels"),
    (batch_norm(nn.BatchNorm1d(2)), (2, 3, 3), "expected 2 channels"),
    (nn.Dropout(), (2,), "training mode"),
    (spoiled(float("nan")), (2,), "holds 1 NaN or infinite"),
    (nn.Linear(2, 2, device="meta"), (2,), "meta device"),
    (nn.Linear(2, 2, dtype=torch.complex64), (2,), "weight is complex64"),
    (nn.Linear(2, 2), (3,), "expected 2 features"),
    (nn.Conv2d(3, 2, 3), (2, 8, 8), r"layer '' \(Conv2d\): input has shape \(2, 8, 8\)"),
    (nn.Conv2d(3, 2, 3), (3, 2, 8), "too small for kernel 3"),
    (nn.MaxPool2d(3), (3, 2, 8), "shorter than a pooling window"),
    (nn.MaxPool2d(3), (3, 8), "expected a channel axis and 2 more"),
    (nn.MaxPool2d(2, return_indices=True), (3, 8, 8), "return_indices=False"),
    (nn.Softmax(dim=0), (3,), "dim=0 is not an axis"),
    (nn.Softmax(), (3,), "dim=None"),
    (nn.CELU(-1.0), (3,), "alpha=-1.0"),
    (nn.Softplus(1.0, 2.0), (3,), "threshold=2.0"),
    (nn.PReLU(2), (3,), "expected 2 channels"),
    (nn.Flatten(0), (3,), "without the batch axis"),
    (nn.ReLU(), (3, 0), r"input_shape is \(3, 0\)"),
    (nn.ReLU(), (), r"input_shape is \(\)"),
], ids=str)  # fmt: skip
def test_refusals(module, shape, message):
    with pytest.raises(InputError, match=message):
        network_lipschitz(module, shape)


@pytest.mark.long  # torch.compile takes seconds to load
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_compiled_networks_are_refused_with_the_way_out():
    compiled = torch.compile(nn.ReLU(), backend="eager")
    with pytest.raises(InputError, match=r"pass the network that was compiled \(_orig_mod\)"):
        network_lipschitz(compiled, (4,))
    assert network_lipschitz(compiled._orig_mod, (4,)).upper == 1


def test_integer_weights_are_refused():
    layer = nn.Linear(2, 2)
    layer.weight = nn.Parameter(torch.ones(2, 2, dtype=torch.int64), requires_grad=False)
    with pytest.raises(InputError, match="weight is int64"):
        network_lipschitz(layer, (2,))


def diagonal(*entries):
    layer = nn.Linear(len(entries), len(entries), dtype=torch.float64)
    layer.weight.data = torch.diag(torch.tensor(entries, dtype=torch.float64))
    return layer


@pytest.mark.parametrize("between", [nn.Identity, nn.ReLU])
@pytest.mark.parametrize(
    "factors",
    [
        (1e-170, 1.0, 1e-170, 1.0, 1e300),
        (1e200, 1e200, 1e-300),
        (1e-200, 1e-200, 1e-200),
        (1e300, 1e300),
        (1e300, 0.0, 1e300),
        (5e-324, 0.5),
        (1e-320, 3.0),
    ],
)
def test_a_product_of_constants_is_at_most_rounded_up(between, factors):
    """One number after another is multiplied by: the constant is their product, whatever partial products leave float64."""
    network = nn.Sequential(*(step for factor in factors for step in (diagonal(factor), between())))
    found = network_lipschitz(network, (1,)).upper
    truth = math.prod(map(Fraction, factors))
    assert found == math.inf or Fraction(found) >= truth
    assert (found == math.inf) == (truth > Fraction(1.7e308))
    assert (found == 0) == (truth == 0)
    if truth and 1e-300 < found < math.inf:
        assert found <= truth * (1 + Fraction(1, 10**12))


def test_linear_layers_multiplied_out_lose_nothing_to_underflow():
    """diag(1, u) diag(u, 1) diag(1, u) diag(u, 1) = u² I with u = 1e-100; and with u² below the smallest float64, not 0."""
    for small in (1e-100, 1e-200):
        network = nn.Sequential(*(diagonal(*entries) for entries in [(1.0, small), (small, 1.0)] * 2))
        found = network_lipschitz(network, (2,)).upper
        assert Fraction(found) >= Fraction(small) ** 2
        assert found <= max(small**2 * (1 + 1e-12), 1e-318)


@pytest.mark.parametrize(("weight", "gamma"), [(1e200, 1e200), (1e-200, 1e-200), (1e-200, 1e200), (1e300, 1e-310)])
def test_a_batch_norm_is_folded_only_where_that_loses_nothing(weight, gamma):
    norm = nn.BatchNorm1d(2, eps=0.0, dtype=torch.float64).eval()
    norm.weight.data[:] = gamma
    found = network_lipschitz(nn.Sequential(diagonal(weight, weight), norm), (2,)).upper
    truth = Fraction(weight) * Fraction(gamma)
    assert found == math.inf or Fraction(found) >= truth
    assert (found == math.inf) == (truth > Fraction(1.7e308))
    if 1e-300 < found < math.inf:
        assert found <= truth * (1 + Fraction(1, 10**6))
