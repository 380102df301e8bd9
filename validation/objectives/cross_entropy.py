"""No distillation: the row λ = 0 of every table."""

from torch import Tensor

from kd2m_theory.validation.objectives.objective import Objective, Sizes
from kd2m_theory.validation.training.outputs import Outputs


class CrossEntropy(Objective):
    """Cross-entropy alone, in nats. Networks of any sizes; no teacher is looked at."""

    needs_teacher = False
    compares = "images"

    def __init__(self, sizes: Sizes | None = None, *, cross_entropy: float = 1.0) -> None:
        super().__init__(cross_entropy)

    def weights(self) -> dict[str, float]:
        """None."""
        return {}

    def terms(self, student: Outputs, teacher: Outputs, labels: Tensor) -> dict[str, Tensor]:
        """None."""
        return {}
