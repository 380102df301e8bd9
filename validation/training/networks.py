"""Networks by name: the families of the distillation literature, small ones, the user's own, and timm's."""

import re
from collections.abc import Callable
from contextlib import nullcontext

from torch import nn

from kd2m_theory.checks import did_you_mean, whole
from kd2m_theory.errors import InputError
from kd2m_theory.validation.torch_random import kept_random
from kd2m_theory.validation.training.foreign_networks import PRETRAINED, Encoded, from_factory, from_timm
from kd2m_theory.validation.training.imagenet_resnets import BLOCKS, ImageNetResNet
from kd2m_theory.validation.training.initial_weights import read_initial_weights
from kd2m_theory.validation.training.plain_networks import VGG, VGG_GROUPS, LeNet
from kd2m_theory.validation.training.resnets import ResNet, WideResNet
from kd2m_theory.validation.training.small_networks import Perceptron, PlainConvolutional, digits_student, digits_teacher

ImageShape = tuple[int, int, int]

# Names to show and to guess from; the families take other depths and widths as well.
KNOWN = (
    *("resnet8", "resnet14", "resnet20", "resnet32", "resnet44", "resnet56", "resnet110", "resnet8x4", "resnet32x4"),
    *("resnet18", "resnet34", "resnet18-3x3", "resnet34-3x3", *(f"vgg{layers}" for layers in VGG_GROUPS), "lenet"),
    *("wrn-16-1", "wrn-16-2", "wrn-40-1", "wrn-40-2", "mlp-256-256", "cnn-16-32", "digits-teacher", "digits-student"),
)


def network(name: str, classes: int, image_shape: ImageShape, seed: int | None = None) -> nn.Module:
    """The network of that name, with fresh weights.

    Its forward pass takes images n × channels × height × width and returns `Outputs`; `fc` is its linear head, run once;
    `feature_size` is the dimension of the features and `stage_channels` has the channels of the stages.

    Args:
        name: "resnetD" or "resnetDx4" with D = 6n + 2 and "wrn-D-K" with D = 6n + 4, the networks for CIFAR; "resnet18" and
            "resnet34" with torchvision's stem, "resnet18-3x3" and "resnet34-3x3" with one for small images; "vgg8" to "vgg19",
            "lenet"; "mlp-W-…" and "cnn-W-…" with the widths of their layers; "digits-teacher", "digits-student";
            "module:factory" for factory(classes, image_shape) of your own; "timm:NAME". NAME@FILE begins with the weights of a
            file but for the head, as `read_initial_weights` takes them, and timm:NAME@pretrained with those of timm.
        classes: K ≥ 2.
        image_shape: channels, height, width.
        seed: of the initial weights, and torch's random state is left alone; None draws them from that state.

    Raises:
        InputError: an unknown name (the message has the nearest known one), or one that does not fit the images; a file that
            does not fit the network.
        MissingDependencyError: timm is not installed.

    Example:
        >>> import torch
        >>> made = network("cnn-8-16", classes=10, image_shape=(1, 8, 8), seed=0)
        >>> made(torch.zeros(2, 1, 8, 8)).logits.shape, made.feature_size
        (torch.Size([2, 10]), 16)
    """
    whole(classes, "classes", 2)
    if len(image_shape) != 3 or not all(isinstance(side, int) and side >= 1 for side in image_shape):
        raise InputError(f"the shape of the images is {image_shape!r}; give channels, height, width, for example (1, 32, 32)")
    image_shape = (image_shape[0], image_shape[1], image_shape[2])
    bare, file = named_file(name)
    with nullcontext() if seed is None else kept_random(seed):
        made = _made(bare, classes, image_shape)
    if file is not None:
        read_initial_weights(file, made.encoder if isinstance(made, Encoded) else made, bare)
    return made


def named_file(name: str) -> tuple[str, str | None]:
    """The name of a network without its file, and the file of initial weights, None where it has none.

    Example:
        >>> named_file("resnet18@weights/resnet18.pth"), named_file("timm:resnet18@pretrained")
        (('resnet18', 'weights/resnet18.pth'), ('timm:resnet18@pretrained', None))
    """
    if name.startswith("timm:") and name.endswith(PRETRAINED):
        return name, None
    bare, _, file = name.partition("@")
    return bare, file or None


def parameters(model: nn.Module) -> int:
    """Number of parameters.

    Example:
        >>> parameters(nn.Linear(3, 2))
        8
    """
    return sum(parameter.numel() for parameter in model.parameters())


def _made(name: str, classes: int, image_shape: ImageShape) -> nn.Module:
    if name.startswith("timm:"):
        return from_timm(name.removeprefix("timm:"), classes, image_shape)
    if ":" in name:
        return from_factory(name, classes, image_shape)
    if name in _DIGITS:
        return _DIGITS[name](classes, image_shape)
    if name == "lenet":
        return LeNet(classes, image_shape)
    if (found := re.fullmatch(r"resnet(18|34)(-3x3)?", name)) and int(found[1]) in BLOCKS:
        return ImageNetResNet(int(found[1]), classes, image_shape[0], small_stem=found[2] is not None)
    if (found := re.fullmatch(r"vgg([0-9]{1,2})", name)) and int(found[1]) in VGG_GROUPS:
        return VGG(int(found[1]), classes, image_shape)
    if found := re.fullmatch(r"resnet([0-9]{1,4})(x4)?", name):
        channels = (32, 64, 128, 256) if found[2] else (16, 16, 32, 64)
        return ResNet(_blocks(name, int(found[1]), 2), channels, classes, image_shape[0])
    if found := re.fullmatch(r"wrn-([0-9]{1,4})-([1-9][0-9]?)", name):
        return WideResNet(_blocks(name, int(found[1]), 4), int(found[2]), classes, image_shape[0])
    if found := re.fullmatch(r"(mlp|cnn)((?:-[1-9][0-9]{0,4})+)", name):
        widths = tuple(int(width) for width in found[2][1:].split("-"))
        return (Perceptron if found[1] == "mlp" else PlainConvolutional)(widths, classes, image_shape)
    raise InputError(
        f"there is no network {name!r}; {did_you_mean(name, KNOWN)}"
        f"networks are {', '.join(KNOWN)}, others of these families, module:factory, timm:NAME"
    )


def _blocks(name: str, depth: int, extra: int) -> int:
    """Blocks in each of three groups; a block has two layers."""
    blocks = max(1, round((depth - extra) / 6))
    if depth != 6 * blocks + extra:
        right = re.sub(r"[0-9]+", str(6 * blocks + extra), name, count=1)
        raise InputError(f"{name} has no depth 6n + {extra}, so its three groups cannot be equal; did you mean {right!r}?")
    return blocks


_DIGITS: dict[str, Callable[[int, ImageShape], nn.Module]] = {
    "digits-teacher": digits_teacher,
    "digits-student": digits_student,
}
