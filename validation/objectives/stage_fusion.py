"""Adaptive feature fusion of UniKD (arXiv 2409.18565), a reconstruction: learned gates join the stages, deep to shallow."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from kd2m_theory.checks import whole
from kd2m_theory.errors import InputError


class StageFusion(nn.Module):
    """Feature maps of several stages → one vector an image.

    Every stage goes through a 1×1 convolution to a common width. From the deepest on, the fused map is up-sampled to the next
    shallower stage (nearest neighbour) and the two are averaged with weights that a 1×1 convolution predicts for every pixel;
    they are positive and sum to one. At the end the mean over pixels is taken.

    Args:
        channels: of the stages, shallow to deep.
        width: the common width, ≥ 1.

    Raises:
        InputError: no stages, or a width that is not a whole number ≥ 1.
    """

    def __init__(self, channels: tuple[int, ...], width: int) -> None:
        super().__init__()
        if not channels:
            raise InputError(
                "fusion joins feature maps, and the student has none; set fusion = false, or choose a network with stages"
            )
        whole(width, "width", 1)
        self.lateral = nn.ModuleList(nn.Conv2d(count, width, 1) for count in channels)
        self.gates = nn.ModuleList(nn.Conv2d(2 * width, 2, 1) for _ in channels[1:])

    def forward(self, stages: tuple[Tensor, ...]) -> Tensor:
        """The fused vectors, n × width, of maps n × C × H × W, shallow to deep.

        Raises:
            InputError: another number of stages than the fusion was made for.
        """
        return self.fused_map(stages)[0].mean(dim=(2, 3))

    def fused_map(self, stages: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The fused map, n × width × H × W of the shallowest stage, and the gates (stage, deeper), n × 2 × H × W, deep first.

        Raises:
            InputError: as `forward`.
        """
        if len(stages) != len(self.lateral):
            raise InputError(f"the student returns {len(stages)} feature maps, the fusion was made for {len(self.lateral)}")
        maps = [functional.relu(convolution(stage)) for convolution, stage in zip(self.lateral, stages, strict=True)]
        fused = maps[-1]
        gates = []
        for gate, stage in zip(reversed(self.gates), reversed(maps[:-1]), strict=True):
            deeper = functional.interpolate(fused, size=stage.shape[2:], mode="nearest")
            share = gate(torch.cat((stage, deeper), dim=1)).softmax(dim=1)
            fused = share[:, :1] * stage + share[:, 1:] * deeper
            gates.append(share)
        return fused, tuple(gates)
