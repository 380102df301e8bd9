"""KD²M with the Wasserstein distance of Gaussian approximations (arXiv 2504.01757), of the batch or of each class."""

from torch import Tensor

from kd2m_theory.checks import one_of
from kd2m_theory.estimators.losses.by_class import by_class
from kd2m_theory.estimators.losses.gaussian import squared_gaussian_cw2, squared_gaussian_w2
from kd2m_theory.validation.objectives.feature_objective import FeatureObjective
from kd2m_theory.validation.objectives.objective import Sizes
from kd2m_theory.validation.training.outputs import Outputs


class GaussianW2(FeatureObjective):
    """CE + λ·W₂² between the Gaussians with the batch's means and covariances, a squared distance.

    Singular covariances (fewer images than dimensions, dead units) are allowed.

    Args:
        sizes: of the two networks.
        weight: λ ≥ 0.
        covariance: "full", or "diagonal" to ignore correlations (the author's code knows only this one).
        projector: as `FeatureObjective`.
        cross_entropy: weight of the cross-entropy.

    Raises:
        InputError: as `FeatureObjective`; an unknown kind of covariance.
    """

    part = "gaussian_w2"

    def __init__(
        self,
        sizes: Sizes,
        *,
        weight: float = 1.0,
        covariance: str = "full",
        projector: str | None = None,
        cross_entropy: float = 1.0,
    ) -> None:
        super().__init__(sizes, weight=weight, projector=projector, cross_entropy=cross_entropy)
        self.covariance = one_of(covariance, ("full", "diagonal"), "covariance")

    def distance(self, student: Outputs, teacher: Outputs, labels: Tensor) -> Tensor:
        """Gaussian W₂²."""
        return squared_gaussian_w2(student.features, teacher.features, self.covariance)


class GaussianCW2(GaussianW2):
    """CE + λ times the mean, over the classes present in the batch, of the Gaussian W₂² within the class.

    A class of one image has covariance zero and contributes ‖z_S − z_T‖². Options as `GaussianW2`.
    """

    part = "gaussian_cw2"
    refuses = True
    compares = "classes"
    skips_ignored = True

    def distance(self, student: Outputs, teacher: Outputs, labels: Tensor) -> Tensor:
        """Gaussian CW₂²."""
        classes = by_class(labels, student.features, teacher.features)
        return squared_gaussian_cw2(student.features, teacher.features, classes, self.covariance)
