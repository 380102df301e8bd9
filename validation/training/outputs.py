"""What a network returns for a batch of images."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Outputs:
    """Logits, features and feature maps of one batch.

    Attributes:
        logits: n × K.
        features: n × d, what enters the linear head.
        stages: feature maps n × C × H × W, shallow to deep; empty for networks without.
    """

    logits: Tensor
    features: Tensor
    stages: tuple[Tensor, ...] = ()
