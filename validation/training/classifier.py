"""The form of every network of the toolkit: an encoder, and one linear head `fc` on its features."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import NamedTuple

from torch import Tensor, nn

from kd2m_theory.validation.training.outputs import Outputs


class Encoding(NamedTuple):
    """What an encoder makes of n images, as `Outputs` describes it.

    Attributes:
        features: n × d.
        stages: n × C × H × W, shallow to deep.
        preactivation: n × C × H × W, or None.
    """

    features: Tensor
    stages: tuple[Tensor, ...] = ()
    preactivation: Tensor | None = None


def passed(values: Tensor, modules: Iterable[nn.Module]) -> Tensor:
    """Values through the modules, one after another."""
    for module in modules:
        values = module(values)
    return values


class Classifier(nn.Module, ABC):
    """logits = fc(features): features are what enters `fc`, which runs once in a forward pass.

    Args:
        feature_size: d, length of an image's features.
        classes: K.
        stage_channels: channels of the feature maps, shallow to deep; empty for networks without.
        preactivation_channels: of the first stage before its last activation; 0 for networks that do not return it.

    Attributes:
        fc: the head, d → K.
        feature_size: d.
        stage_channels: as above.
        preactivation_channels: as above.
    """

    def __init__(
        self, feature_size: int, classes: int, stage_channels: tuple[int, ...] = (), preactivation_channels: int = 0
    ) -> None:
        super().__init__()
        self.feature_size = feature_size
        self.stage_channels = stage_channels
        self.preactivation_channels = preactivation_channels
        self.fc = nn.Linear(feature_size, classes)

    @abstractmethod
    def encode(self, images: Tensor) -> Encoding:
        """Features, stages and pre-activation of n images."""

    def forward(self, images: Tensor) -> Outputs:
        """Logits, features, stages and pre-activation of n images, n × channels × height × width."""
        found = self.encode(images)
        return Outputs(self.fc(found.features), *found)
