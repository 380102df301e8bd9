"""KD²M with the Kullback–Leibler divergence of Gaussian approximations within each class (arXiv 2504.01757)."""

import math
from typing import Unpack

import torch
from torch import Tensor

from kd2m_theory.errors import InputError
from kd2m_theory.estimators.losses.by_class import rows_by_class
from kd2m_theory.validation.objectives.gaussian_kl import DirectedOptions, GaussianKL, at_most_one, sum_of_directions
from kd2m_theory.validation.objectives.objective import Sizes
from kd2m_theory.validation.training.outputs import Outputs


class ConditionalGaussianKL(GaussianKL):
    """CE + λ times the mean, over the classes present in the batch, of KL(N_T^y‖N_S^y) in nats.

    A class has few images in a batch, so its covariance is drawn towards the one within classes, pooled over the batch
    (Friedman's regularised discriminant analysis, 1989): Σ_y ← (1 − s) Σ_y + s Σ_within, s the `pooling`. A class of one image
    has no covariance of its own and takes Σ_within whole (s = 1): it is compared by its mean, in the units of the others.

    Args:
        sizes: of the two networks.
        pooling: s in [0, 1].
        **options: as `GaussianKL`; its shrinkage comes after pooling.

    Raises:
        InputError: as `GaussianKL`; a pooling outside [0, 1]; in training, a batch in which no class has two images.
    """

    part = "conditional_gaussian_kl"
    compares = "classes"

    def __init__(self, sizes: Sizes, *, pooling: float = 0.5, **options: Unpack[DirectedOptions]) -> None:
        super().__init__(sizes, **options)
        self.pooling = at_most_one(pooling, "pooling")

    def distance(self, student: Outputs, teacher: Outputs, labels: Tensor) -> Tensor:
        """Mean over classes of KL in the chosen direction."""
        classes = list(rows_by_class(labels).values())
        if max(map(len, classes)) < 2:
            raise InputError(
                f"each of the {len(classes)} classes in this batch has one image, so that no covariance within classes exists; "
                "use larger batches, or gaussian-cw2, which needs none"
            )
        clouds = [_class_clouds(batch, classes, self.pooling) for batch in (student.features, teacher.features)]
        values = [
            sum_of_directions((self.direction,), first, second, self.covariance, self.shrinkage)
            for first, second in zip(*clouds, strict=True)
        ]
        return torch.stack(values).mean()


def _class_clouds(features: Tensor, classes: list[Tensor], pooling: float) -> list[Tensor]:
    """For each class a cloud whose mean is the class's and whose covariance (divided by its size) is the pooled one.

    The divergence is defined on clouds, once, in `gaussian_torch`: residuals of the class and of all, scaled to their shares,
    around the class's mean make one with the moments wanted.
    """
    n, counts = len(features), torch.tensor([len(rows) for rows in classes])
    # The class of each row, from 0, out of what the host knows already.
    numbers = torch.arange(len(classes)).repeat_interleave(counts).to(features.device)
    class_of = torch.empty_like(numbers).index_copy_(0, torch.cat(classes), numbers)
    centres = torch.zeros(len(classes), features.shape[1], dtype=features.dtype, device=features.device)
    centres = centres.index_add(0, class_of, features) / counts.to(features.device)[:, None]
    residuals = features - centres[class_of]
    clouds = []
    for centre, rows in zip(centres, classes, strict=True):
        count = len(rows)
        share = pooling if count > 1 else 1.0
        size = count + n
        own, every = math.sqrt(size * (1 - share) / count), math.sqrt(size * share / n)
        clouds.append(centre + torch.cat((own * residuals[rows], every * residuals)))
    return clouds
