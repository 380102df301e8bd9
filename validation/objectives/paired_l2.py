"""Features matched image by image: the right side of the paper's theorem as an objective."""

from torch import Tensor

from kd2m_theory.estimators.losses.transport import paired_squares
from kd2m_theory.validation.objectives.divergence import mean_over_images
from kd2m_theory.validation.objectives.feature_objective import FeatureObjective
from kd2m_theory.validation.objectives.objective import require_finite
from kd2m_theory.validation.training.outputs import Outputs


class PairedL2(FeatureObjective):
    """CE + λ·E‖z_S − z_T‖², the squared L₂(P) distance of the encoders, which is none of distributions.

    Options and errors as `FeatureObjective`, but that on a GPU features that are not finite make a loss that is not finite,
    which the training finds: a look at them would be the only time in a step at which the host waits.
    """

    part = "paired_l2"
    refuses = True
    compares = "images"

    def distance(self, student: Outputs, teacher: Outputs, labels: Tensor) -> Tensor:
        """E‖z_S − z_T‖²."""
        if student.features.device.type == "cpu":
            require_finite(student.features, teacher.features)
        return mean_over_images(paired_squares(student.features, teacher.features), labels)
