"""Networks that train in seconds on a CPU: perceptrons, plain convolutional networks, and the demonstration's pair."""

import math
from collections.abc import Iterable

from torch import Tensor, nn

from kd2m_theory.errors import InputError
from kd2m_theory.validation.training.classifier import Classifier, Encoding, passed

_DIGITS_FEATURES = 64


class Perceptron(Classifier):
    """Fully connected layers with ReLU on the pixels; no stages. The first layer before its ReLU counts as a map of one pixel.

    Args:
        widths: of the hidden layers; the last is the feature size.
        classes: K.
        image_shape: channels, height, width.
    """

    def __init__(self, widths: tuple[int, ...], classes: int, image_shape: tuple[int, int, int]) -> None:
        super().__init__(widths[-1], classes, preactivation_channels=widths[0])
        layers: list[nn.Module] = [nn.Flatten()]
        for inputs, outputs in zip((math.prod(image_shape), *widths), widths, strict=False):
            layers += [nn.Linear(inputs, outputs), nn.ReLU()]
        self.encoder = nn.Sequential(*layers)

    def encode(self, images: Tensor) -> Encoding:
        """Features, no stages, and the first layer before its ReLU."""
        flatten, linear, *rest = self.encoder
        preactivation = linear(flatten(images))
        return Encoding(passed(preactivation, rest), (), preactivation[:, :, None, None])


class PlainConvolutional(Classifier):
    """3×3 convolution, batch normalisation and ReLU for each width, halving the resolution between; then the mean over pixels.

    Args:
        widths: channels of the layers; the last is the feature size.
        classes: K.
        image_shape: channels, height, width.

    Raises:
        InputError: more halvings than the image has pixels for.
    """

    def __init__(self, widths: tuple[int, ...], classes: int, image_shape: tuple[int, int, int]) -> None:
        super().__init__(widths[-1], classes, widths, widths[0])
        channels, height, width = image_shape
        most = int(math.log2(min(height, width))) + 1
        if len(widths) > most:
            raise InputError(
                f"{len(widths)} convolutions halve {height} × {width} pixels to nothing; name at most {most}, "
                f"for example cnn-{'-'.join(map(str, widths[:most]))}"
            )
        self.layers = nn.ModuleList(
            nn.Sequential(*([nn.MaxPool2d(2)] if k else []), *_convolution(inputs, outputs))
            for k, (inputs, outputs) in enumerate(zip((channels, *widths), widths, strict=False))
        )

    def encode(self, images: Tensor) -> Encoding:
        """Features, the map of every layer, and the first one before its ReLU."""
        stages, preactivation = _maps(images, self.layers)
        return Encoding(stages[-1].mean(dim=(2, 3)), stages, preactivation)


class Staged(Classifier):
    """Groups of layers whose maps are the stages, and a neck that makes features of the last; the head is drawn last.

    Args:
        groups: shallow to deep; the first one ends with its activation.
        neck: last map → features.
        feature_size: d.
        classes: K.
        stage_channels: of the groups.
    """

    def __init__(
        self, groups: list[nn.Sequential], neck: nn.Module, feature_size: int, classes: int, stage_channels: tuple[int, ...]
    ) -> None:
        super().__init__(feature_size, classes, stage_channels, stage_channels[0])
        self.groups = nn.ModuleList(groups)
        self.neck = neck

    def encode(self, images: Tensor) -> Encoding:
        """Features, the map of every group, and the first one before its activation."""
        stages, preactivation = _maps(images, self.groups)
        return Encoding(self.neck(stages[-1]), stages, preactivation)


def digits_teacher(classes: int, image_shape: tuple[int, int, int]) -> Classifier:
    """Three convolutions with batch normalisation; about 70,000 parameters at any size of image."""
    groups: list[nn.Sequential] = [
        nn.Sequential(*_convolution(image_shape[0], 32)),
        nn.Sequential(*_convolution(32, 64)),
        nn.Sequential(nn.MaxPool2d(2, ceil_mode=True), *_convolution(64, 64)),
    ]
    neck = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(256, _DIGITS_FEATURES), nn.ReLU())
    return Staged(groups, neck, _DIGITS_FEATURES, classes, (32, 64, 64))


def digits_student(classes: int, image_shape: tuple[int, int, int]) -> Classifier:
    """One strided convolution of four channels and a linear layer; about 5,000 parameters for 8 × 8 images."""
    channels, height, width = image_shape
    group = nn.Sequential(nn.Conv2d(channels, 4, 3, stride=2, padding=1), nn.ReLU())
    pixels = ((height + 1) // 2) * ((width + 1) // 2)
    neck = nn.Sequential(nn.Flatten(), nn.Linear(4 * pixels, _DIGITS_FEATURES), nn.ReLU())
    return Staged([group], neck, _DIGITS_FEATURES, classes, (4,))


def _maps(images: Tensor, groups: Iterable[nn.Module]) -> tuple[tuple[Tensor, ...], Tensor]:
    """The map of every group, and the first one before its activation, which is the last module of the first group."""
    first, *deeper = groups
    assert isinstance(first, nn.Sequential)
    *before, activation = first
    preactivation = passed(images, before)
    maps = [activation(preactivation)]
    for group in deeper:
        maps.append(group(maps[-1]))
    return tuple(maps), preactivation


def _convolution(inputs: int, outputs: int) -> tuple[nn.Module, ...]:
    return nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
