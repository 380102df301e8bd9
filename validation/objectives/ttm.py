"""TTM: transformed teacher matching (Zheng and Yang, ICLR 2024, arXiv 2402.11148)."""

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from kd2m_theory.checks import above_zero, at_least_zero
from kd2m_theory.validation.objectives.divergence import divergence_by_class, mean_over_images
from kd2m_theory.validation.objectives.objective import Objective, Sizes
from kd2m_theory.validation.training.outputs import Outputs


class TTM(Objective):
    """CE + β·KL(p̂‖q), p̂ = softmax(γ·teacher logits) the power-transformed teacher, γ = 1/T; q is not tempered.

    Args:
        sizes: of the two networks.
        weight: β ≥ 0.
        gamma: γ > 0; the papers take γ < 1.
        cross_entropy: weight of the cross-entropy.

    Attributes:
        part: the name of the term in the loss's parts.

    Raises:
        InputError: a weight that is negative or not finite; γ ≤ 0; other classes.
    """

    part: ClassVar[str] = "ttm"
    compares = "images"

    def __init__(self, sizes: Sizes, *, weight: float = 1.0, gamma: float = 0.1, cross_entropy: float = 1.0) -> None:
        super().__init__(cross_entropy)
        sizes.require_equal_classes()
        self.weight = at_least_zero(weight, "weight")
        self.gamma = above_zero(gamma, "gamma")

    def weights(self) -> dict[str, float]:
        """β."""
        return {self.part: self.weight}

    def terms(self, student: Outputs, teacher: Outputs, labels: Tensor) -> dict[str, Tensor]:
        """The mean over images."""
        return {self.part: mean_over_images(self.by_image(student.logits, teacher.logits), labels)}

    def by_image(self, student: Tensor, teacher: Tensor) -> Tensor:
        """KL(p̂‖q) of n × K logits, n values."""
        return divergence_by_image(student, teacher, self.gamma)


def divergence_by_image(student: Tensor, teacher: Tensor, gamma: float) -> Tensor:
    """KL(p̂‖q) in nats of n × K logits, n values.

    From γ·logits: a power of a float32 softmax underflows where its logits differ by 100.
    """
    log_target, log_q = functional.log_softmax(gamma * teacher, dim=1), functional.log_softmax(student, dim=1)
    return divergence_by_class(log_target, log_q).sum(dim=1)


def smoothness(teacher: Tensor, gamma: float) -> Tensor:
    """U_γ(p) = Σ_c p_c^γ of the untempered teacher, n values of n × K logits; in [1, K^{1−γ}] for γ ≤ 1."""
    return torch.logsumexp(gamma * functional.log_softmax(teacher, dim=1), dim=1).exp()
