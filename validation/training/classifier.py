"""The form of every network of the toolkit: an encoder, and one linear head `fc` on its features."""

from abc import ABC, abstractmethod

from torch import Tensor, nn

from kd2m_theory.validation.training.outputs import Outputs


class Classifier(nn.Module, ABC):
    """logits = fc(features): features are what enters `fc`, which runs once in a forward pass.

    Args:
        feature_size: d, length of an image's features.
        classes: K.
        stage_channels: channels of the feature maps, shallow to deep; empty for networks without.

    Attributes:
        fc: the head, d → K.
        feature_size: d.
        stage_channels: as above.
    """

    def __init__(self, feature_size: int, classes: int, stage_channels: tuple[int, ...] = ()) -> None:
        super().__init__()
        self.feature_size = feature_size
        self.stage_channels = stage_channels
        self.fc = nn.Linear(feature_size, classes)

    @abstractmethod
    def encode(self, images: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Features n × d and stages n × C × H × W of n images."""

    def forward(self, images: Tensor) -> Outputs:
        """Logits, features and stages of n images, n × channels × height × width."""
        features, stages = self.encode(images)
        return Outputs(self.fc(features), features, stages)
