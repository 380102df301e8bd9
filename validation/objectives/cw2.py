"""KD²M with the class-conditional Wasserstein distance (arXiv 2504.01757)."""

from torch import Tensor

from kd2m_theory.estimators.losses.transport import squared_cw2
from kd2m_theory.validation.objectives.feature_objective import FeatureObjective
from kd2m_theory.validation.training.outputs import Outputs


class CW2(FeatureObjective):
    """CE + λ·CW₂², the mean of W₂² over the classes present in the batch; a class of one image counts like every other.

    Options as `FeatureObjective`.
    """

    part = "cw2"
    refuses = True
    compares = "classes"
    skips_ignored = True

    def distance(self, student: Outputs, teacher: Outputs, labels: Tensor) -> Tensor:
        """CW₂²."""
        return squared_cw2(student.features, teacher.features, labels)
