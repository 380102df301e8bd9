"""WTTM: TTM with a weight for every image (Zheng and Yang, ICLR 2024, arXiv 2402.11148)."""

from torch import Tensor

from kd2m_theory.validation.objectives.objective import Objective, Sizes, above_zero, at_least_zero
from kd2m_theory.validation.objectives.ttm import divergence_by_image, smoothness
from kd2m_theory.validation.outputs import Outputs


class WTTM(Objective):
    """CE + β·E[U_γ(p) KL(p̂‖q)]: images on which the untempered teacher p is unsure count more, U_γ(p) = Σ_c p_c^γ.

    Args:
        sizes: of the two networks.
        weight: β ≥ 0.
        gamma: γ > 0; the papers take γ < 1, where 1 ≤ U_γ ≤ K^{1−γ}.
        cross_entropy: weight of the cross-entropy.

    Raises:
        InputError: a weight that is negative or not finite; γ ≤ 0; other classes.
    """

    def __init__(self, sizes: Sizes, *, weight: float = 1.0, gamma: float = 0.1, cross_entropy: float = 1.0) -> None:
        super().__init__(cross_entropy)
        sizes.require_equal_classes()
        self.weight = at_least_zero(weight, "weight")
        self.gamma = above_zero(gamma, "gamma")

    def weights(self) -> dict[str, float]:
        """β."""
        return {"wttm": self.weight}

    def terms(self, student: Outputs, teacher: Outputs, labels: Tensor) -> dict[str, Tensor]:
        """E[U_γ(p) KL(p̂‖q)]."""
        divergences = divergence_by_image(student.logits, teacher.logits, self.gamma)
        return {"wttm": (smoothness(teacher.logits, self.gamma) * divergences).mean()}
