"""Classical distillation of logits (Hinton, Vinyals, Dean 2015)."""

from torch import Tensor
from torch.nn import functional

from kd2m_theory.checks import above_zero, at_least_zero
from kd2m_theory.errors import InputError
from kd2m_theory.validation.objectives.divergence import divergence_by_class, mean_over_images
from kd2m_theory.validation.objectives.objective import Objective, Sizes
from kd2m_theory.validation.training.outputs import Outputs


class KD(Objective):
    """(1 − λ)·CE + λ·T² KL(p_T‖q_T), p and q the softmax of teacher and student at temperature T.

    Args:
        sizes: of the two networks.
        weight: λ ≥ 0.
        temperature: T > 0.
        cross_entropy: another weight of the cross-entropy than 1 − λ; then λ may exceed 1.

    Raises:
        InputError: a weight that is negative, not finite, or above 1 without `cross_entropy`; T ≤ 0; other classes.
    """

    compares = "images"

    def __init__(
        self, sizes: Sizes, *, weight: float = 0.9, temperature: float = 4.0, cross_entropy: float | None = None
    ) -> None:
        weight = at_least_zero(weight, "weight")
        if cross_entropy is None:
            if weight > 1:
                raise InputError(
                    f"weight is {weight!r}, which leaves cross-entropy 1 − weight < 0; choose at most 1, or set cross_entropy"
                )
            cross_entropy = 1.0 - weight
        super().__init__(cross_entropy)
        sizes.require_equal_classes()
        self.weight = weight
        self.temperature = above_zero(temperature, "temperature")

    def weights(self) -> dict[str, float]:
        """λ."""
        return {"kd": self.weight}

    def terms(self, student: Outputs, teacher: Outputs, labels: Tensor) -> dict[str, Tensor]:
        """T² KL(p_T‖q_T)."""
        return {"kd": tempered_divergence(student.logits, teacher.logits, labels, self.temperature)}


def tempered_divergence(student: Tensor, teacher: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """T² KL(p_T‖q_T) in nats, the mean over n × K logits of images that count: the teacher is the one averaged over."""
    log_p, log_q = (functional.log_softmax(logits / temperature, dim=1) for logits in (teacher, student))
    return temperature**2 * mean_over_images(divergence_by_class(log_p, log_q), labels)
