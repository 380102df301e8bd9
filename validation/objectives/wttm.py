"""WTTM: TTM with a weight for every image (Zheng and Yang, ICLR 2024, arXiv 2402.11148)."""

from torch import Tensor

from kd2m_theory.validation.objectives.ttm import TTM, smoothness


class WTTM(TTM):
    """CE + β·E[U_γ(p) KL(p̂‖q)]: images on which the untempered teacher p is unsure count more, U_γ(p) = Σ_c p_c^γ.

    Arguments and errors as `TTM`; for γ < 1, 1 ≤ U_γ ≤ K^{1−γ}.
    """

    part = "wttm"

    def by_image(self, student: Tensor, teacher: Tensor) -> Tensor:
        """U_γ(p) KL(p̂‖q), n values."""
        return smoothness(teacher, self.gamma) * super().by_image(student, teacher)
