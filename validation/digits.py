"""scikit-learn's handwritten digits: 1,797 real images of 8 × 8 pixels, shipped with the library."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from kd2m_theory.errors import MissingDependencyError

CLASSES = 10


@dataclass(frozen=True)
class Digits:
    """One half of the digits.

    Attributes:
        images: n × 1 × 8 × 8 in [0, 1].
        labels: n classes 0..9.
    """

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)


def load_halves(seed: int) -> tuple[Digits, Digits]:
    """A half to train on and a half that nothing trains or selects on, each class halved by a seeded shuffle.

    Raises:
        MissingDependencyError: scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise MissingDependencyError(
            "the digits come with scikit-learn, which is not installed; run: pip install 'kd2m-theory[train]'"
        ) from None
    pixels, labels = load_digits(return_X_y=True)
    images = torch.tensor(pixels, dtype=torch.float32).reshape(-1, 1, 8, 8) / 16.0
    generator = np.random.default_rng(seed)
    train = np.zeros(len(labels), dtype=bool)
    for label in range(CLASSES):
        members = generator.permutation(np.flatnonzero(labels == label))
        train[members[: len(members) // 2]] = True
    seen, held_out = (Digits(images[mask], torch.tensor(labels[mask], dtype=torch.int64)) for mask in (train, ~train))
    return seen, held_out
