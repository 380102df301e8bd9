"""Random affine maps of images, drawn from a stream and applied in one batch."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from kd2m_theory.errors import InputError
from kd2m_theory.validation.populations.stream import Stream


@dataclass(frozen=True)
class Affine:
    """The law of a random affine map; every number is uniform on its interval, all are independent.

    Attributes:
        rotation: largest angle, in degrees, 0 … 180.
        shear: largest x-shear, 0 … 1.
        scale: ends of the interval of the logarithm of the magnification of each axis, as magnifications > 0.
        shift: largest shift along each axis, as a fraction of the image's side, 0 … 1.

    Raises:
        InputError: a number out of its range.
    """

    rotation: float
    shear: float
    scale: tuple[float, float]
    shift: float

    def __post_init__(self) -> None:
        for name, most in (("rotation", 180), ("shear", 1), ("shift", 1)):
            value = getattr(self, name)
            if not isinstance(value, int | float) or not 0 <= value <= most:
                raise InputError(f"{name} is {value!r}; choose a number from 0 to {most}")
        pair: object = self.scale  # from a file it can be anything
        if not isinstance(pair, tuple | list) or len(pair) != 2 or not all(isinstance(end, int | float) for end in pair):
            raise InputError(f"scale is {pair!r}; give smallest and largest magnification, for example [0.9, 1.1]")
        if not 0 < self.scale[0] <= self.scale[1] < math.inf:
            raise InputError(f"scale is {self.scale!r}; give smallest and largest magnification, for example [0.9, 1.1]")

    def draw(self, count: int, stream: Stream) -> tuple[Tensor, Tensor]:
        """Maps from output to input coordinates (count × 2 × 3, both from −1 to 1), and the mean magnifications (count)."""
        angle = stream.uniform(-math.radians(self.rotation), math.radians(self.rotation), count)
        shear = stream.uniform(-self.shear, self.shear, count)
        scale = stream.uniform(math.log(self.scale[0]), math.log(self.scale[1]), count, 2).exp()
        shift = stream.uniform(-2 * self.shift, 2 * self.shift, count, 2)
        cosine, sine = angle.cos(), angle.sin()
        # The image is scaled, then sheared, turned and shifted; its inverse takes an output pixel to where its ink comes from.
        forward = torch.stack((cosine, cosine * shear - sine, sine, sine * shear + cosine), 1).reshape(-1, 2, 2)
        forward = forward * scale[:, None, :]
        inverse = torch.stack((forward[:, 1, 1], -forward[:, 0, 1], -forward[:, 1, 0], forward[:, 0, 0]), 1).reshape(-1, 2, 2)
        inverse = inverse / scale.prod(1)[:, None, None]
        return torch.cat((inverse, -inverse @ shift[:, :, None]), 2), scale.prod(1).sqrt()


def warp(images: Tensor, maps: Tensor, side: tuple[int, int], outside: str = "zeros") -> Tensor:
    """Images n × C × h × w seen through the maps n × 2 × 3, by bilinear interpolation, at `side` pixels.

    `outside` says what lies beyond an image: "zeros", or "border" for its nearest pixel.
    """
    maps = maps.to(images.device)
    y, x = (torch.linspace(1 / n - 1, 1 - 1 / n, n, device=images.device) for n in side)  # centres of pixels
    # As functional.affine_grid, which on the CPU takes three times the time of sampling; planes of x and y are sampled fastest.
    planes = maps[:, :, 0, None, None] * x + (maps[:, :, 1, None] * y + maps[:, :, 2, None])[..., None]
    grid = planes.permute(0, 2, 3, 1)
    return functional.grid_sample(images, grid, mode="bilinear", padding_mode=outside, align_corners=False)
