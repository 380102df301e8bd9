"""KD²M with the Gromov–Wasserstein distance: student and teacher features need not have one dimension."""

from torch import Tensor

from kd2m_theory.checks import at_least_zero
from kd2m_theory.estimators.losses.transport import squared_gw2
from kd2m_theory.validation.objectives.objective import Objective, Sizes
from kd2m_theory.validation.training.outputs import Outputs


class GromovW2(Objective):
    """CE + λ·GW₂² between the batch's features as metric spaces, a squared distance, at the solver's local minimum.

    Args:
        sizes: of the two networks; they may differ in every number.
        weight: λ ≥ 0.
        cross_entropy: weight of the cross-entropy.

    Raises:
        InputError: a weight that is negative or not finite; in training, features that are not finite.
    """

    def __init__(self, sizes: Sizes, *, weight: float = 1.0, cross_entropy: float = 1.0) -> None:
        super().__init__(cross_entropy)
        self.weight = at_least_zero(weight, "weight")

    def weights(self) -> dict[str, float]:
        """λ."""
        return {"gromov_w2": self.weight}

    def terms(self, student: Outputs, teacher: Outputs, labels: Tensor) -> dict[str, Tensor]:
        """GW₂²."""
        return {"gromov_w2": squared_gw2(student.features, teacher.features)}
