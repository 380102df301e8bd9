"""scikit-learn's handwritten digits: 1,797 real images of 8 × 8 pixels, shipped with the library."""

import numpy as np
import torch
from torch import Tensor

from kd2m_theory.checks import whole
from kd2m_theory.errors import require
from kd2m_theory.validation.populations.affine import Affine, warp
from kd2m_theory.validation.populations.population import FinitePopulation, stratified
from kd2m_theory.validation.populations.stream import Stream

CLASSES = 10
IMAGE_SHAPE = (1, 8, 8)


class DigitsPopulation(FinitePopulation):
    """The digits, half of every class to train on, a fifth for validation, three tenths for the test.

    Values are in [0, 1]. Training batches are turned, scaled and shifted at random; the other splits are the images as
    they were written.

    Args:
        split_seed: deals the images out.
        rotation: largest angle, in degrees.
        scale: smallest and largest magnification of each axis.
        shift: largest shift along each axis, as a fraction of the side. All three at (0, (1, 1), 0) switch augmentation off.

    Raises:
        MissingDependencyError: scikit-learn is not installed.
        InputError: a number out of its range.
    """

    name = "digits"
    classes = CLASSES
    image_shape = IMAGE_SHAPE

    def __init__(
        self, split_seed: int = 0, rotation: float = 10.0, scale: tuple[float, float] = (0.9, 1.1), shift: float = 0.06
    ) -> None:
        self.affine = Affine(rotation, 0.0, scale, shift)
        whole(split_seed, "split_seed", 0)
        images, numbers = _load()
        labels = torch.tensor(numbers, dtype=torch.int64)
        chosen = stratified(labels, {"train": 0.5, "validation": 0.2, "test": 0.3}, split_seed)
        super().__init__({split: (images[indices], labels[indices]) for split, indices in chosen.items()})

    def augmented(self, images: Tensor, stream: Stream) -> Tensor:
        """A random affine map of each."""
        if (self.affine.rotation, *self.affine.scale, self.affine.shift) == (0, 1, 1, 0):
            return images
        maps, _ = self.affine.draw(len(images), stream)
        return warp(images, maps, IMAGE_SHAPE[1:])


def _load() -> tuple[Tensor, np.ndarray[tuple[int], np.dtype[np.int64]]]:
    require("the digits population", "sklearn")
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    return torch.tensor(pixels, dtype=torch.float32).reshape(-1, 1, 8, 8) / 16.0, labels
