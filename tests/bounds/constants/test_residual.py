"""Residual blocks: constants against Jacobians, and recognition of what is known for certain only."""

import types

import pytest
import torch
from jacobians import slope, steepest
from torch import nn

from kd2m_theory.bounds.constants.layers import network_lipschitz, residual_constant
from kd2m_theory.bounds.constants.residual import Residual, branches_of
from kd2m_theory.errors import InputError
from kd2m_theory.shared_state import one_blas_thread


@pytest.fixture(scope="module", autouse=True)
def _one_thread(one_thread):
    with one_blas_thread:
        yield


def scaled(factor, size=3):
    layer = nn.Linear(size, size, bias=False)
    layer.weight.data = factor * torch.eye(size)
    return layer


def convolutional():
    body = nn.Sequential(nn.Conv2d(2, 3, 3, padding=1, padding_mode="reflect"), nn.ReLU(), nn.Conv2d(3, 4, 3, 2, 1))
    return Residual(body, nn.Conv2d(2, 4, 1, 2), nn.ReLU()), (2, 4, 5)


BLOCKS = [
    (Residual(nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 4))), (4,)),
    (Residual(nn.Linear(4, 4), after=nn.GELU()), (4,)),
    convolutional(),
    (Residual(Residual(nn.Linear(3, 3)), shortcut=nn.Linear(3, 3)), (3,)),
]  # fmt: skip


@pytest.mark.parametrize(("block", "shape"), BLOCKS, ids=["tanh", "after", "convolutions", "nested"])
def test_no_jacobian_of_a_block_is_steeper(block, shape):
    network = nn.Sequential(block).double()
    found = network_lipschitz(network, shape)
    assert 0 < steepest(network, shape, draws=3) <= found.upper * (1 + 1e-12)
    assert found.output_shape == tuple(network(torch.zeros(1, *shape, dtype=torch.float64)).shape[1:])
    assert found.layers[0].how == "shortcut + body"


def test_branches_that_stretch_alike_attain_the_sum_and_opposite_ones_do_not():
    point = torch.ones(3, dtype=torch.float64)
    for factor, true in ((2.0, 3.0), (-1.0, 0.0)):
        block = Residual(scaled(factor)).double()
        assert slope(block, point) == pytest.approx(true, abs=1e-12)
        assert network_lipschitz(block, (3,)).upper == pytest.approx(1 + abs(factor), rel=1e-12)
    block = Residual(scaled(2.0), shortcut=scaled(3.0), after=scaled(0.5))
    assert network_lipschitz(block, (3,)).upper == pytest.approx(2.5, rel=1e-12)
    assert slope(block.double(), point) == pytest.approx(2.5, rel=1e-12)


def test_layers_that_work_in_place_do_not_change_the_other_branch():
    inputs = torch.tensor([[-1.0, 2.0]])
    for block in (Residual(nn.ReLU(inplace=True)), Residual(nn.Identity(), shortcut=nn.ReLU(inplace=True))):
        assert block(inputs.clone()).tolist() == [[-1.0, 4.0]]


@pytest.mark.parametrize(("block", "message"), [
    (Residual(nn.Linear(3, 2)), r"layer '0' \(Residual\): its body gives \(2,\) and its shortcut \(3,\)"),
    (Residual(nn.Sequential(nn.ReLU(), nn.LSTM(3, 3))), r"layer '0' \(Residual\): layer '1' is a LSTM"),
    (Residual(nn.Dropout()), r"layer '' \(Dropout\) is in training mode"),
])  # fmt: skip
def test_refusals_name_the_layer_in_the_block(block, message):
    with pytest.raises(InputError, match=message):
        network_lipschitz(nn.Sequential(block), (3,))


class Own(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(3, 3)
        self.second = nn.Linear(3, 3)

    def forward(self, x):
        return torch.relu(x + self.second(torch.tanh(self.first(x))))


def test_a_rule_for_a_block_of_ones_own():
    def rule(block, shape):
        return residual_constant(nn.Sequential(block.first, nn.Tanh(), block.second), shape, after=nn.ReLU())

    torch.manual_seed(0)
    network = nn.Sequential(Own(), Residual(Own())).double()
    found = network_lipschitz(network, (3,), rules={Own: rule})
    assert 0 < steepest(network, (3,)) <= found.upper * (1 + 1e-12)


def torchvision_block(source, name="BasicBlock", module="torchvision.models.resnet"):
    """A class as torchvision's file would define it, without torchvision."""
    made = types.ModuleType(module)
    exec(source, {"nn": nn, "__name__": module}, vars(made))  # the class takes its module from there
    return getattr(made, name)


BASIC = """
class BasicBlock(nn.Module):
    expansion: int = 1

    def __init__(self, width, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(2, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = None
        if stride != 1:
            self.downsample = nn.Sequential(nn.Conv2d(2, width, 1, stride, bias=False), nn.BatchNorm2d(width))

    def forward(self, x):
        identity = x
        out = self.conv1(x)
        out = self.bn1(out)
        out = self.relu(out)
        out = self.conv2(out)
        out = self.bn2(out)
        if self.downsample is not None:
            identity = self.downsample(x)
        out += identity
        out = self.relu(out)
        return out
"""
BOTTLENECK = """
class Bottleneck(nn.Module):
    def __init__(self, width, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(2, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, 2, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(2)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = None

    def forward(self, x):
        identity = x
        out = self.conv1(x)
        out = self.bn1(out)
        out = self.relu(out)
        out = self.conv2(out)
        out = self.bn2(out)
        out = self.relu(out)
        out = self.conv3(out)
        out = self.bn3(out)
        if self.downsample is not None:
            identity = self.downsample(x)
        out += identity
        out = self.relu(out)
        return out
"""


@pytest.mark.parametrize(("source", "name", "options"), [
    (BASIC, "BasicBlock", (2,)), (BASIC, "BasicBlock", (3, 2)), (BOTTLENECK, "Bottleneck", (3,)),
], ids=["basic", "downsampled", "bottleneck"])  # fmt: skip
def test_blocks_of_torchvision_are_known(source, name, options):
    torch.manual_seed(0)
    block = torchvision_block(source, name)(*options).double().eval()
    found = network_lipschitz(nn.Sequential(block), (2, 4, 3))
    assert 0 < steepest(block, (2, 4, 3), draws=2) <= found.upper * (1 + 1e-12)
    assert found.output_shape == tuple(block(torch.zeros(1, 2, 4, 3, dtype=torch.float64)).shape[1:])
    with pytest.raises(InputError, match=r"BatchNorm2d\) is in training mode"):
        network_lipschitz(block.train(), (2, 4, 3))


def test_only_the_blocks_themselves_are_known():
    basic = torchvision_block(BASIC)
    elsewhere = torchvision_block(BASIC, module="my.resnet")
    gated = torchvision_block(BASIC.replace("out += identity", "out += self.gate * identity"))
    calls = torchvision_block(BASIC + "\n    def __call__(self, x):\n        return 9 * super().__call__(x)\n")
    heir = type("BasicBlock", (basic,), {"__module__": "torchvision.models.resnet"})
    replaced = basic(2)
    replaced.conv1 = nn.Identity()
    assert branches_of(basic(2)) is not None
    for block in (elsewhere(2), gated(2), calls(2), heir(2), replaced):
        assert branches_of(block) is None
        with pytest.raises(InputError, match="no rule covers"):
            network_lipschitz(block.eval(), (2, 4, 3))
