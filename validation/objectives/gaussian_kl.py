"""KD²M with the Kullback–Leibler divergence of Gaussian approximations (arXiv 2504.01757): one direction, or both."""

from collections.abc import Callable
from typing import TypedDict, Unpack

from torch import Tensor

from kd2m_theory.checks import at_least_zero, one_of
from kd2m_theory.errors import InputError
from kd2m_theory.estimators.losses.gaussian import gaussian_kl_loss
from kd2m_theory.validation.objectives.feature_objective import FeatureObjective
from kd2m_theory.validation.objectives.objective import Sizes
from kd2m_theory.validation.training.outputs import Outputs

DIRECTIONS = ("teacher-student", "student-teacher")


class GaussianOptions(TypedDict, total=False):
    """Options of `SymmetricGaussianKL`, as the classes below pass them on."""

    weight: float
    covariance: str
    shrinkage: float
    projector: str | None
    cross_entropy: float


class DirectedOptions(GaussianOptions, total=False):
    """Options of `GaussianKL`."""

    direction: str


class SymmetricGaussianKL(FeatureObjective):
    """CE + λ·½[KL(N_T‖N_S) + KL(N_S‖N_T)] in nats, N the Gaussians with the batch's means and covariances.

    Args:
        sizes: of the two networks.
        weight: λ ≥ 0.
        covariance: "full", or "diagonal" to ignore correlations.
        shrinkage: s in [0, 1]; both covariances become (1 − s) Σ + s (tr Σ/d) I. At 0 the divergence is infinite as soon as a
            unit is dead on the batch, or, with full covariances, the batch has at most d images; then it is refused.
        projector: as `FeatureObjective`.
        cross_entropy: weight of the cross-entropy.

    Raises:
        InputError: as `FeatureObjective`; an unknown covariance, a shrinkage outside [0, 1]; in training, a divergence that is
            infinite (the message names the shrinkage), or features that are not finite.
    """

    part = "symmetric_gaussian_kl"

    def __init__(
        self,
        sizes: Sizes,
        *,
        weight: float = 1.0,
        covariance: str = "full",
        shrinkage: float = 0.1,
        projector: str | None = None,
        cross_entropy: float = 1.0,
    ) -> None:
        super().__init__(sizes, weight=weight, projector=projector, cross_entropy=cross_entropy)
        self.covariance = one_of(covariance, ("full", "diagonal"), "covariance")
        self.shrinkage = at_most_one(shrinkage, "shrinkage")

    def distance(self, student: Outputs, teacher: Outputs, labels: Tensor) -> Tensor:
        """½[KL(N_T‖N_S) + KL(N_S‖N_T)]."""
        return sum_of_directions(DIRECTIONS, student.features, teacher.features, self.divergence) / 2

    def divergence(self, x: Tensor, y: Tensor) -> Tensor:
        """KL(N_x‖N_y) between the Gaussians of n × d and m × d features, a scalar."""
        return gaussian_kl_loss(x, y, self.covariance, self.shrinkage)


class GaussianKL(SymmetricGaussianKL):
    """CE + λ·KL(N_T‖N_S) in nats, N the Gaussians with the batch's means and covariances.

    Args:
        sizes: of the two networks.
        direction: "teacher-student" for KL(N_T‖N_S), or "student-teacher" for KL(N_S‖N_T), which the author's code has.
        **options: as `SymmetricGaussianKL`.

    Raises:
        InputError: as `SymmetricGaussianKL`; an unknown direction.
    """

    part = "gaussian_kl"

    def __init__(self, sizes: Sizes, *, direction: str = "teacher-student", **options: Unpack[GaussianOptions]) -> None:
        super().__init__(sizes, **options)
        self.direction = one_of(direction, DIRECTIONS, "direction")

    def distance(self, student: Outputs, teacher: Outputs, labels: Tensor) -> Tensor:
        """KL in the chosen direction."""
        return sum_of_directions((self.direction,), student.features, teacher.features, self.divergence)


def sum_of_directions(
    directions: tuple[str, ...], student: Tensor, teacher: Tensor, divergence: Callable[[Tensor, Tensor], Tensor]
) -> Tensor:
    """The sum of a divergence KL(x‖y) over the directions named, of n × d and m × d features.

    Raises:
        InputError: one of them is infinite on these features.
    """
    pairs = {"teacher-student": (teacher, student), "student-teacher": (student, teacher)}
    values = []
    for direction in directions:
        try:
            values.append(divergence(*pairs[direction]))
        except InputError as error:
            # The estimator speaks of its arguments; here they have names.
            names = direction.replace("-", " (x) and ")
            raise InputError(f"KL(x‖y) of {names} (y) features has no finite value on this batch: {error}") from None
    first, *others = values
    return sum(others, first)


def at_most_one(value: float, name: str) -> float:
    """`value` if it is a share.

    Raises:
        InputError: outside [0, 1].
    """
    if at_least_zero(value, name) > 1:
        raise InputError(f"{name} is {value!r}; choose a number from 0 to 1")
    return float(value)
