"""Adaptive feature fusion (AFF) of UniKD, after its first author's code: gates join the levels, deep to shallow."""

from torch import Tensor, nn
from torch.nn import functional

from kd2m_theory.checks import whole
from kd2m_theory.errors import InputError

_WIDEST = 512


class StageFusion(nn.Module):
    """Feature maps of several stages, and the features as the deepest level → one vector per image.

    Every level goes through a bias-free 1×1 convolution to a common width and ReLU; the features count as a map of one pixel.
    From the deepest on, the running map is up-sampled to the next shallower level (nearest neighbour). A 1×1 convolution of
    both and a sigmoid predict two gates per pixel, each in (0, 1) by itself; gate · level + gate · running map is passed on.
    At the shallowest level a bias-free 3×3 convolution and ReLU bring it to that level's own channels, and the mean over
    pixels is taken. The author's code has such a 3×3 convolution at every level and uses only the output of the shallowest;
    the others are left out. The 1×1 convolutions of levels and the 3×3 one start Kaiming-uniform, a = 1.

    Args:
        channels: of the stages, shallow to deep; empty for networks without, whose only level is the features.
        features: dimension of the features.
        width: the common width, ≥ 1; None: that of the features, at most 512.

    Attributes:
        outputs: dimension of the fused vectors.

    Raises:
        InputError: a width that is not a whole number ≥ 1.
    """

    def __init__(self, channels: tuple[int, ...], features: int, width: int | None = None) -> None:
        super().__init__()
        width = min(_WIDEST, features) if width is None else whole(width, "width", 1)
        levels = (*channels, features)
        self.outputs = levels[0]
        lateral = [nn.Conv2d(count, width, 1, bias=False) for count in levels]
        self.lateral = nn.ModuleList(lateral)
        self.gates = nn.ModuleList(nn.Conv2d(2 * width, 2, 1) for _ in channels)
        self.last = nn.Conv2d(width, self.outputs, 3, padding=1, bias=False)
        for convolution in (*lateral, self.last):
            nn.init.kaiming_uniform_(convolution.weight, a=1)

    def forward(self, stages: tuple[Tensor, ...], features: Tensor) -> Tensor:
        """The fused vectors, n × outputs, of maps n × C × H × W, shallow to deep, and features n × d.

        Raises:
            InputError: another number of stages than the fusion was made for.
        """
        return self.fused_map(stages, features)[0].mean(dim=(2, 3))

    def fused_map(self, stages: tuple[Tensor, ...], features: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The fused map, n × outputs × H × W of the shallowest level, and the gates (level, deeper), n × 2 × H × W, deep first.

        Raises:
            InputError: as `forward`.
        """
        if len(stages) != len(self.gates):
            raise InputError(f"the student returns {len(stages)} feature maps, the fusion was made for {len(self.gates)}")
        levels = (*stages, features[:, :, None, None])
        *maps, fused = (functional.relu(convolution(level)) for convolution, level in zip(self.lateral, levels, strict=True))
        gates = []
        for gate, level in zip(reversed(self.gates), reversed(maps), strict=True):
            assert isinstance(gate, nn.Conv2d)
            # The gate's convolution of both maps side by side, without joining them: of the deeper one before it is enlarged,
            # since a 1×1 convolution and repeated pixels commute.
            of_level, of_deeper = gate.weight.split(level.shape[1], dim=1)
            scores = _enlarged(functional.conv2d(fused, of_deeper), level)
            share = (functional.conv2d(level, of_level, gate.bias) + scores).sigmoid()
            fused = share[:, :1] * level + share[:, 1:] * _enlarged(fused, level)
            gates.append(share)
        return functional.relu(self.last(fused)), tuple(gates)


def _enlarged(deeper: Tensor, level: Tensor) -> Tensor:
    return functional.interpolate(deeper, size=level.shape[2:], mode="nearest")
