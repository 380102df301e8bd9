"""Characters in twenty fonts: fresh grey images without limit, made in batches on the device."""

import torch
from torch import Tensor

from kd2m_theory.checks import whole
from kd2m_theory.errors import InputError
from kd2m_theory.validation.populations.affine import Affine, warp
from kd2m_theory.validation.populations.atlas import CHARACTERS, SIDE, atlas
from kd2m_theory.validation.populations.population import Device, UnlimitedPopulation
from kd2m_theory.validation.populations.stream import Stream

# Magnification 1 shows a whole cell of the atlas, of which a capital fills three fifths.
_SCALE = (0.9, 1.4)


class GlyphsPopulation(UnlimitedPopulation):
    """Digits, capitals and small letters, 1 × 32 × 32, values in [0, 1].

    Of each image class and font are uniform; rotation, shear, the logarithm of either axis's scale, shifts, the change of
    stroke width (dilation or erosion), the grey values of paper and ink, and the standard deviation of the pixels' Gaussian
    noise are uniform on intervals; all are independent, and values are clipped to [0, 1]. Which of them is darker is a coin.
    Some classes overlap, as letters do: with all 62 a small o of large magnification is a capital O.

    Classes, fonts and all of these numbers are the same on every device; the noise is another draw on a GPU.

    Args:
        classes: 10 to 62: the first so many of 0-9, A-Z, a-z.
        side: pixels, 8 to 64.
        rotation: largest angle, in degrees.
        shear: largest slope.
        shift: largest shift along each axis, as a fraction of the side.
        stroke: largest change of the distance from a stroke's middle to its edge, as a fraction of the type's cell; thin
            strokes have 0.02.
        contrast: least difference of the grey values of paper and ink, 0 … 1.
        noise: largest standard deviation of the noise.

    Raises:
        InputError: a number out of its range, or a font is missing.
    """

    name = "glyphs"

    def __init__(
        self,
        classes: int = 62,
        side: int = 32,
        rotation: float = 15.0,
        shear: float = 0.2,
        shift: float = 0.08,
        stroke: float = 0.012,
        contrast: float = 0.4,
        noise: float = 0.15,
    ) -> None:
        self.classes = whole(classes, "classes", 10, len(CHARACTERS))
        side = whole(side, "side", 8, 64)
        self.image_shape = (1, side, side)
        self.affine = Affine(rotation, shear, _SCALE, shift)
        for name, value, most in (("stroke", stroke, 0.02), ("contrast", contrast, 1.0), ("noise", noise, 1.0)):
            if not isinstance(value, int | float) or not 0 <= value <= most:
                raise InputError(f"{name} is {value!r}; choose a number from 0 to {most:g}")
        self.stroke, self.contrast, self.noise = stroke, contrast, noise
        self._atlas = {torch.device("cpu"): atlas(self.classes)}

    def images(self, labels: Tensor, stream: Stream, device: Device) -> Tensor:
        """An image for each label, n × 1 × side × side."""
        device, count, side = torch.device(device), len(labels), self.image_shape[1]
        cells = self._cells(device)
        fonts = stream.integers(cells.shape[1], count)
        maps, magnification = self.affine.draw(count, stream)
        widening = stream.uniform(-self.stroke, self.stroke, count)
        difference = stream.uniform(self.contrast, 1, count)
        darker = stream.uniform(0, 1, count) * (1 - difference)
        inverted = stream.integers(2, count)
        deviation = stream.uniform(0, self.noise, count)
        per_image = torch.stack((widening, magnification * side, difference, darker, inverted.float(), deviation))
        widening, pixels, difference, darker, inked_dark, deviation = per_image.to(device)[:, :, None, None, None].unbind()

        images = warp(cells[labels.to(device), fonts.to(device)][:, None], maps, (side, side), outside="border")
        # Distances, now in pixels, turn into coverage: a pixel is half covered where the outline passes through its centre.
        images.add_(widening).mul_(pixels).add_(0.5).clamp_(0, 1)
        images.sub_(inked_dark).abs_().mul_(difference).add_(darker)
        return images.addcmul_(stream.noise(tuple(images.shape), device), deviation).clamp_(0, 1)

    def _cells(self, device: torch.device) -> Tensor:
        if device not in self._atlas:
            self._atlas[device] = self._atlas[torch.device("cpu")].to(device)
        return self._atlas[device]


__all__ = ["SIDE", "GlyphsPopulation"]
