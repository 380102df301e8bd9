"""Networks that train in seconds on a CPU: perceptrons, plain convolutional networks, and the demonstration's pair."""

import math

from torch import Tensor, nn

from kd2m_theory.errors import InputError
from kd2m_theory.validation.training.classifier import Classifier

_DIGITS_FEATURES = 64


class Perceptron(Classifier):
    """Fully connected layers with ReLU on the pixels; no stages.

    Args:
        widths: of the hidden layers; the last is the feature size.
        classes: K.
        image_shape: channels, height, width.
    """

    def __init__(self, widths: tuple[int, ...], classes: int, image_shape: tuple[int, int, int]) -> None:
        super().__init__(widths[-1], classes)
        layers: list[nn.Module] = [nn.Flatten()]
        for inputs, outputs in zip((math.prod(image_shape), *widths), widths, strict=False):
            layers += [nn.Linear(inputs, outputs), nn.ReLU()]
        self.encoder = nn.Sequential(*layers)

    def encode(self, images: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Features, and no stages."""
        return self.encoder(images), ()


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
        super().__init__(widths[-1], classes, widths)
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

    def encode(self, images: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Features and the map of every layer."""
        maps = [images]
        for layer in self.layers:
            maps.append(layer(maps[-1]))
        return maps[-1].mean(dim=(2, 3)), tuple(maps[1:])


class Staged(Classifier):
    """Groups of layers whose maps are the stages, and a neck that makes features of the last; the head is drawn last.

    Args:
        groups: shallow to deep.
        neck: last map → features.
        feature_size: d.
        classes: K.
        stage_channels: of the groups.
    """

    def __init__(
        self, groups: list[nn.Module], neck: nn.Module, feature_size: int, classes: int, stage_channels: tuple[int, ...]
    ) -> None:
        super().__init__(feature_size, classes, stage_channels)
        self.groups = nn.ModuleList(groups)
        self.neck = neck

    def encode(self, images: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Features and the map of every group."""
        maps = [images]
        for group in self.groups:
            maps.append(group(maps[-1]))
        return self.neck(maps[-1]), tuple(maps[1:])


def digits_teacher(classes: int, image_shape: tuple[int, int, int]) -> Classifier:
    """Three convolutions with batch normalisation; about 70,000 parameters at any size of image."""
    groups: list[nn.Module] = [
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


def _convolution(inputs: int, outputs: int) -> tuple[nn.Module, ...]:
    return nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
