"""Features matched image by image: the right side of the paper's theorem as an objective."""

from torch import Tensor

from kd2m_theory.estimators.transport_losses import paired_l2
from kd2m_theory.validation.objectives.feature_objective import FeatureObjective
from kd2m_theory.validation.outputs import Outputs


class PairedL2(FeatureObjective):
    """CE + λ·E‖z_S − z_T‖², the squared L₂(P) distance of the encoders, which is none of distributions.

    Options as `FeatureObjective`.
    """

    part = "paired_l2"

    def distance(self, student: Outputs, teacher: Outputs, labels: Tensor) -> Tensor:
        """E‖z_S − z_T‖²."""
        return paired_l2(student.features, teacher.features)
