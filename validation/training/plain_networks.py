"""LeNet-5 and the VGG networks of the distillation literature."""

import math

from torch import Tensor, nn
from torch.nn import functional

from kd2m_theory.errors import InputError
from kd2m_theory.validation.training.classifier import Classifier, Encoding, passed

# Convolutions of each of the five groups, by the number of layers.
_CHANNELS = (64, 128, 256, 512, 512)
VGG_GROUPS = {8: (1, 1, 1, 1, 1), 11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}


class LeNet(Classifier):
    """LeNet-5 of LeCun and others, with ReLU and maxima: 84 features; `stages` are the two maps.

    The first convolution pads by two pixels, so that the 28 × 28 pixels of MNIST become the 32 × 32 of the paper.

    Args:
        classes: K.
        image_shape: channels, height, width; at least 12 pixels of each.

    Raises:
        InputError: smaller images.
    """

    def __init__(self, classes: int, image_shape: tuple[int, int, int]) -> None:
        super().__init__(84, classes, (6, 16), 6)
        channels, height, width = image_shape
        if min(height, width) < 12:
            raise InputError(f"lenet takes images of at least 12 × 12 pixels, these have {height} × {width}; choose cnn-6-16")
        self.conv1 = nn.Conv2d(channels, 6, 5, padding=2)
        self.conv2 = nn.Conv2d(6, 16, 5)
        pixels = math.prod((side // 2 - 4) // 2 for side in (height, width))
        self.hidden1, self.hidden2 = nn.Linear(16 * pixels, 120), nn.Linear(120, 84)

    def encode(self, images: Tensor) -> Encoding:
        """Features, the maps of both convolutions, and the first one before its ReLU."""
        preactivation = self.conv1(images)
        first = functional.relu(preactivation)
        second = functional.relu(self.conv2(functional.max_pool2d(first, 2)))
        hidden = functional.relu(self.hidden1(functional.max_pool2d(second, 2).flatten(1)))
        return Encoding(functional.relu(self.hidden2(hidden)), (first, second), preactivation)


class VGG(Classifier):
    """VGG with batch normalisation and one linear layer on 512 features; `stages` are the maps of the five groups.

    Source: Simonyan and Zisserman, arXiv 1409.1556, in the variant that CRD (arXiv 1910.10699) trained on CIFAR-100 and that
    TTM compares on: the resolution is halved after each of the first three groups, and after the fourth only of images with 64
    pixels and more; the features are the mean over the last map.

    Args:
        layers: 8, 11, 13, 16 or 19.
        classes: K.
        image_shape: channels, height, width; at least 8 pixels of each.

    Raises:
        InputError: smaller images.
    """

    def __init__(self, layers: int, classes: int, image_shape: tuple[int, int, int]) -> None:
        super().__init__(_CHANNELS[-1], classes, _CHANNELS, _CHANNELS[0])
        channels, height, width = image_shape
        if min(height, width) < 8:
            raise InputError(
                f"vgg{layers} takes images of at least 8 × 8 pixels, these have {height} × {width}; choose cnn-64-128"
            )
        self.large = min(height, width) >= 64
        self.groups = nn.ModuleList(
            _group(before, width, count)
            for before, width, count in zip((channels, *_CHANNELS), _CHANNELS, VGG_GROUPS[layers], strict=False)
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                assert module.bias is not None
                nn.init.zeros_(module.bias)
        nn.init.normal_(self.fc.weight, 0, 0.01)
        nn.init.zeros_(self.fc.bias)

    def encode(self, images: Tensor) -> Encoding:
        """Features, the maps of the five groups, and the first one before its last ReLU."""
        first, *deeper = self.groups
        assert isinstance(first, nn.Sequential)
        *layers, last = first
        preactivation = passed(images, layers)
        maps: list[Tensor] = [last(preactivation)]
        for k, group in enumerate(deeper, start=1):
            halved = k < 4 or self.large
            maps.append(group(functional.max_pool2d(maps[-1], 2) if halved else maps[-1]))
        return Encoding(maps[-1].mean(dim=(2, 3)), tuple(maps), preactivation)


def _group(inputs: int, width: int, count: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for k in range(count):
        layers += [nn.Conv2d(width if k else inputs, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
    return nn.Sequential(*layers)
