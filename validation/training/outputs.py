"""What a network returns for a batch of images."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Outputs:
    """Logits, features and feature maps of one batch.

    Attributes:
        logits: n × K.
        features: n × d, what enters the linear head.
        stages: feature maps n × C × H × W, shallow to deep; empty for networks without.
        preactivation: the first stage before its last activation, n × C × H × W; None for networks without.
    """

    logits: Tensor
    features: Tensor
    stages: tuple[Tensor, ...] = ()
    preactivation: Tensor | None = None


def averaged(stage: Tensor) -> Tensor:
    """The mean over the pixels of a map as a map of one pixel, at least in float32: all that a head reads of it."""
    return stage.mean(dim=(2, 3), keepdim=True, dtype=torch.promote_types(stage.dtype, torch.float32))
