"""KD²M with the Kullback–Leibler divergence of Gaussian approximations within each class (arXiv 2504.01757)."""

from typing import Unpack

from torch import Tensor

from kd2m_theory.errors import InputError
from kd2m_theory.estimators.losses.by_class import by_class
from kd2m_theory.estimators.losses.gaussian import conditional_gaussian_kl_loss
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
    refuses = True
    compares = "classes"
    skips_ignored = True

    def __init__(self, sizes: Sizes, *, pooling: float = 0.5, **options: Unpack[DirectedOptions]) -> None:
        super().__init__(sizes, **options)
        self.pooling = at_most_one(pooling, "pooling")

    def distance(self, student: Outputs, teacher: Outputs, labels: Tensor) -> Tensor:
        """Mean over classes of KL in the chosen direction."""
        classes = by_class(labels, student.features, teacher.features)
        if not classes.rows:
            return student.features[:0].sum()
        if all(points < 2 for _, points in classes.shapes):
            raise InputError(
                f"each of the {len(classes.rows)} classes in this batch has one image, so that no covariance within classes "
                "exists; use larger batches, or gaussian-cw2, which needs none"
            )

        def divergence(x: Tensor, y: Tensor) -> Tensor:
            return conditional_gaussian_kl_loss(x, y, classes, self.pooling, self.covariance, self.shrinkage)

        return sum_of_directions((self.direction,), student.features, teacher.features, divergence)
