"""ResNet-18 and ResNet-34 with 512 features, as torchvision names their parts, so that its weights can be read.

Source: He et al., arXiv 1512.03385, table 1. KD²M (arXiv 2504.01757) fine-tunes them on images of 32 × 32 pixels.
"""

from torch import Tensor, nn
from torch.nn import functional

from kd2m_theory.validation.training.classifier import Classifier, Encoding, passed

_WIDTHS = (64, 128, 256, 512)
# Blocks of the four groups; a block has two layers, and stem and head are one each.
BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}


class _Block(nn.Module):
    """relu(x' + bn2(conv2(relu(bn1(conv1(x)))))); x' is x, or a 1×1 convolution of it where the shape changes."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample: nn.Module | None = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """The next map."""
        return functional.relu(self.before_activation(x))

    def before_activation(self, x: Tensor) -> Tensor:
        """The next map, before the last ReLU."""
        out: Tensor = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x)))))
        return out + (x if self.downsample is None else self.downsample(x))


class ImageNetResNet(Classifier):
    """ResNet of four groups with 64, 128, 256 and 512 channels; `stages` are the maps that leave them.

    Args:
        depth: 18 or 34.
        classes: K.
        channels: of the images.
        small_stem: False: a 7×7 convolution of stride 2 and a maximum over 3×3 of stride 2, for images of 224 pixels; True: a
            3×3 convolution of stride 1, for images of 32.
    """

    def __init__(self, depth: int, classes: int, channels: int, small_stem: bool = False) -> None:
        super().__init__(_WIDTHS[-1], classes, _WIDTHS, _WIDTHS[0])
        side, stride = (3, 1) if small_stem else (7, 2)
        self.conv1 = nn.Conv2d(channels, _WIDTHS[0], side, stride, padding=side // 2, bias=False)
        self.bn1 = nn.BatchNorm2d(_WIDTHS[0])
        self.maxpool: nn.Module = nn.Identity() if small_stem else nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1, self.layer2, self.layer3, self.layer4 = (
            nn.Sequential(*(_Block(before if i == 0 else width, width, stride if i == 0 else 1) for i in range(count)))
            for before, width, stride, count in zip((64, *_WIDTHS[:3]), _WIDTHS, (1, 2, 2, 2), BLOCKS[depth], strict=True)
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def encode(self, images: Tensor) -> Encoding:
        """Features, the maps of the four groups, and the first one before its last ReLU."""
        *blocks, last = self.layer1
        assert isinstance(last, _Block)
        preactivation = last.before_activation(passed(self.maxpool(functional.relu(self.bn1(self.conv1(images)))), blocks))
        maps = [functional.relu(preactivation)]
        for group in (self.layer2, self.layer3, self.layer4):
            maps.append(group(maps[-1]))
        return Encoding(maps[-1].mean(dim=(2, 3)), tuple(maps), preactivation)
