"""KD²M with the empirical Wasserstein distance (arXiv 2504.01757)."""

from torch import Tensor

from kd2m_theory.estimators.losses.transport import squared_w2
from kd2m_theory.validation.objectives.feature_objective import FeatureObjective
from kd2m_theory.validation.training.outputs import Outputs


class W2(FeatureObjective):
    """CE + λ·W₂² between the batch's student and teacher features, a squared distance; options as `FeatureObjective`."""

    part = "w2"
    refuses = True

    def distance(self, student: Outputs, teacher: Outputs, labels: Tensor) -> Tensor:
        """W₂²."""
        return squared_w2(student.features, teacher.features)
