"""The CIFAR ResNets and wide ResNets of the distillation literature.

Sources: He et al., arXiv 1512.03385, §4.2 and Zagoruyko and Komodakis, arXiv 1605.07146, in the variants that CRD
(arXiv 1910.10699) trained and that TTM and others compare on: projection shortcuts, and "x4" for four times the channels after
a stem of twice the width. Three groups at full, half and quarter resolution; the features are the mean over the last map.
"""

from torch import Tensor, nn
from torch.nn import functional

from kd2m_theory.validation.training.classifier import Classifier, Encoding, passed


class BasicBlock(nn.Module):
    """relu(x' + bn(conv(relu(bn(conv(x)))))); x' is x, or a 1×1 convolution of it where the shape changes."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = _convolution(inputs, outputs, 3, stride), nn.BatchNorm2d(outputs)
        self.conv2, self.bn2 = _convolution(outputs, outputs, 3), nn.BatchNorm2d(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(_convolution(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """The next map."""
        return functional.relu(self.before_activation(x))

    def before_activation(self, x: Tensor) -> Tensor:
        """The next map, before the last ReLU."""
        out = functional.relu(self.bn1(self.conv1(x)))
        preactivation: Tensor = self.bn2(self.conv2(out)) + self.shortcut(x)
        return preactivation


class ResNet(Classifier):
    """ResNet of 6n + 2 layers; `stages` are the maps that leave the three groups.

    Args:
        blocks: n, blocks in each group.
        widths: channels of the stem and of the three groups.
        classes: K.
        channels: of the images.
    """

    def __init__(self, blocks: int, widths: tuple[int, int, int, int], classes: int, channels: int) -> None:
        super().__init__(widths[3], classes, widths[1:], widths[1])
        self.stem = nn.Sequential(_convolution(channels, widths[0], 3), nn.BatchNorm2d(widths[0]), nn.ReLU())
        self.groups = nn.ModuleList(
            nn.Sequential(*(BasicBlock(before if i == 0 else width, width, stride if i == 0 else 1) for i in range(blocks)))
            for before, width, stride in zip(widths, widths[1:], (1, 2, 2), strict=False)
        )
        _initialise(self)

    def encode(self, images: Tensor) -> Encoding:
        """Features, the maps of the three groups, and the first one before its last ReLU."""
        first, *deeper = self.groups
        assert isinstance(first, nn.Sequential)
        *blocks, last = first
        assert isinstance(last, BasicBlock)
        preactivation = last.before_activation(passed(self.stem(images), blocks))
        maps = [functional.relu(preactivation)]
        for group in deeper:
            maps.append(group(maps[-1]))
        return Encoding(maps[-1].mean(dim=(2, 3)), tuple(maps), preactivation)


class WideBlock(nn.Module):
    """x' + conv(relu(bn(conv(relu(bn(x)))))); where the width changes, x' is a 1×1 convolution of relu(bn(x))."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.bn1, self.conv1 = nn.BatchNorm2d(inputs), _convolution(inputs, outputs, 3, stride)
        self.bn2, self.conv2 = nn.BatchNorm2d(outputs), _convolution(outputs, outputs, 3)
        self.shortcut = None if inputs == outputs else _convolution(inputs, outputs, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        """The next map, without a last activation: the next block begins with one."""
        return self.after_normalisation(x, self.bn1(x))

    def after_normalisation(self, x: Tensor, normalised: Tensor) -> Tensor:
        """The next map, from x and bn(x)."""
        activated = functional.relu(normalised)
        out: Tensor = self.conv2(functional.relu(self.bn2(self.conv1(activated))))
        return out + (x if self.shortcut is None else self.shortcut(activated))


class WideResNet(Classifier):
    """Wide ResNet of 6n + 4 layers, without dropout; `stages` are the maps of the three groups.

    A group ends in a sum without activation. Before its activation, which the second group begins with, the first map is
    bn(map): that is the pre-activation.

    Args:
        blocks: n, blocks in each group.
        factor: of the widths 16, 32, 64.
        classes: K.
        channels: of the images.
    """

    def __init__(self, blocks: int, factor: int, classes: int, channels: int) -> None:
        widths = (16, 16 * factor, 32 * factor, 64 * factor)
        super().__init__(widths[3], classes, widths[1:], widths[1])
        self.stem = _convolution(channels, widths[0], 3)
        self.groups = nn.ModuleList(
            nn.Sequential(*(WideBlock(before if i == 0 else width, width, stride if i == 0 else 1) for i in range(blocks)))
            for before, width, stride in zip(widths, widths[1:], (1, 2, 2), strict=False)
        )
        self.last_bn = nn.BatchNorm2d(widths[3])
        _initialise(self)
        nn.init.zeros_(self.fc.bias)

    def encode(self, images: Tensor) -> Encoding:
        """Features, the maps of the three groups, and the normalised first one."""
        first, second, third = self.groups
        assert isinstance(second, nn.Sequential)
        head, *blocks = second
        assert isinstance(head, WideBlock)
        shallow = first(self.stem(images))
        preactivation = head.bn1(shallow)
        middle = passed(head.after_normalisation(shallow, preactivation), blocks)
        deep = third(middle)
        features = functional.relu(self.last_bn(deep)).mean(dim=(2, 3))
        return Encoding(features, (shallow, middle, deep), preactivation)


def _convolution(inputs: int, outputs: int, size: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, size, stride, padding=size // 2, bias=False)


def _initialise(network: nn.Module) -> None:
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
