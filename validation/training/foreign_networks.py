"""Networks of others: the user's `module:factory`, and timm's models, checked on a batch before anything is trained."""

import importlib
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from kd2m_theory.checks import did_you_mean
from kd2m_theory.errors import FOREIGN, InputError, MissingDependencyError
from kd2m_theory.validation.training.classifier import Classifier, Encoding
from kd2m_theory.validation.training.outputs import Outputs

PRETRAINED = "@pretrained"


class Encoded(Classifier):
    """An encoder of somebody else's under a head; no stages.

    Args:
        encoder: images → features n × d.
        feature_size: d.
        classes: K.
    """

    def __init__(self, encoder: nn.Module, feature_size: int, classes: int) -> None:
        super().__init__(feature_size, classes)
        self.encoder = encoder

    def encode(self, images: Tensor) -> Encoding:
        """Features alone."""
        return Encoding(self.encoder(images))


def from_factory(name: str, classes: int, image_shape: tuple[int, int, int]) -> nn.Module:
    """The network that factory(classes, image_shape) of the user's makes, `name` being "module:factory".

    A network that returns `Outputs` is taken as it is. One that returns a tensor of logits made by its last layer `fc`, an
    `nn.Linear`, is taken apart into an encoder and that head.

    Raises:
        InputError: no such module or factory, it fails, or its network is neither.
    """
    factory = _find(name)
    try:
        made = factory(classes, image_shape)
        if not isinstance(made, nn.Module):
            raise InputError(f"{name} returns {type(made).__name__}, not an nn.Module; return the network")
        images = _two_images(image_shape)
        returned = _trial(made, images)
        if not isinstance(returned, Tensor | Outputs):
            raise InputError(
                f"the network of {name} returns {type(returned).__name__}; return a tensor of logits, or "
                "Outputs(logits, features, stages)"
            )
    except InputError:
        raise
    except FOREIGN as error:
        raise InputError(
            f"{name}({classes}, {image_shape}) makes no network for such images: {type(error).__name__}: {_line(error)}"
        ) from error
    head = getattr(made, "fc", None)
    if not isinstance(head, nn.Linear):
        raise InputError(f"the network of {name} has no nn.Linear `fc`; give its last layer that name")
    if head.out_features != classes:
        raise InputError(f"the network of {name} predicts {head.out_features} classes, the data have {classes}")
    network = made if isinstance(returned, Outputs) else _taken_apart(name, made, head, classes)
    _check(name, network, head, returned, images)
    return network


def from_timm(name: str, classes: int, image_shape: tuple[int, int, int]) -> nn.Module:
    """timm's model `name` with pooled features and a head of the toolkit's; no stages.

    Its weights are fresh, or with NAME@pretrained those that timm has for it, which it fetches if they are not in its cache.

    Raises:
        MissingDependencyError: timm is not installed.
        InputError: timm has no such model or no weights for it, or it takes no such images.
    """
    try:
        import timm
    except ImportError:
        raise MissingDependencyError(f"timm:{name} needs timm, which cannot be imported; run: pip install timm") from None
    name, pretrained = name.removesuffix(PRETRAINED), name.endswith(PRETRAINED)
    known = timm.list_models()
    if name not in known:
        raise InputError(f"timm has no model {name!r}; {did_you_mean(name, known)}timm.list_models() lists them")
    try:
        encoder = timm.create_model(name, pretrained=pretrained, num_classes=0, in_chans=image_shape[0])
    except Exception as error:
        what = "has no weights here" if pretrained else "cannot be made"
        raise InputError(f"timm:{name} {what} for images of {image_shape[0]} channels: {_line(error)}") from error
    try:
        features = _trial(encoder, _two_images(image_shape))
        network = Encoded(encoder, features.shape[1], classes)
    except Exception as error:
        raise InputError(f"timm:{name} does not take images of shape {image_shape}: {_line(error)}") from error
    return network


def _find(name: str) -> Callable[[int, tuple[int, int, int]], Any]:
    module_name, _, attribute = name.partition(":")
    try:
        module = importlib.import_module(module_name)
    except FOREIGN as error:
        raise InputError(
            f"the module {module_name!r} of network {name!r} cannot be imported ({_line(error)}); "
            "install it, or put its folder on PYTHONPATH"
        ) from error
    factory = getattr(module, attribute, None)
    if not callable(factory):
        raise InputError(f"the module {module_name!r} has no function {attribute!r}; {did_you_mean(attribute, vars(module))}")
    return factory  # type: ignore[no-any-return]


def _two_images(image_shape: tuple[int, int, int]) -> Tensor:
    return torch.linspace(-1, 1, 2 * math.prod(image_shape)).reshape(2, *image_shape)


def _trial(network: nn.Module, images: Tensor) -> Any:
    """Output in evaluation mode; modes are left as they were."""
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        with torch.no_grad():
            return network(images)
    finally:
        for module, training in modes.items():
            module.training = training


def _taken_apart(name: str, network: nn.Module, head: nn.Linear, classes: int) -> Encoded:
    network.fc = nn.Identity()
    encoded = Encoded(network, head.in_features, classes)
    encoded.fc = head
    return encoded


def _check(name: str, network: nn.Module, head: nn.Linear, returned: Any, images: Tensor) -> None:
    """Refuse what would train, and then make pairs that are not what they say."""
    expected = returned.logits if isinstance(returned, Outputs) else returned
    made = _trial(network, images)
    fits = isinstance(expected, Tensor) and made.features.ndim == 2 and made.features.shape[1] == head.in_features
    with torch.no_grad():
        if not fits or not torch.allclose(head(made.features), expected, rtol=1e-4, atol=1e-5):
            raise InputError(
                f"the network of {name} does not return what its `fc` makes of one vector an image; "
                "return those logits without softmax or scaling, or Outputs(logits, features, stages)"
            )
    channels = tuple(stage.shape[1] for stage in made.stages)
    says = {
        "feature_size": made.features.shape[1],
        "stage_channels": channels,
        "preactivation_channels": 0 if made.preactivation is None else made.preactivation.shape[1],
    }
    for attribute, value in says.items():
        if getattr(network, attribute, value) != value:
            raise InputError(
                f"the network of {name} says {attribute} = {getattr(network, attribute)!r}, and returns {value!r}; correct it"
            )
        if not hasattr(network, attribute):
            setattr(network, attribute, value)


def _line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
