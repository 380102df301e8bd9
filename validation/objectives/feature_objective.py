"""What the objectives of KD²M have in common (arXiv 2504.01757): CE + λ·D on the features of a batch."""

from abc import abstractmethod
from dataclasses import replace
from typing import ClassVar

from torch import Tensor

from kd2m_theory.checks import at_least_zero
from kd2m_theory.validation.objectives.objective import Objective, Sizes, require_finite
from kd2m_theory.validation.objectives.projector import map_to_teacher
from kd2m_theory.validation.training.outputs import Outputs


class FeatureObjective(Objective):
    """CE + weight·D(student features, teacher features).

    Args:
        sizes: of the two networks.
        weight: λ ≥ 0.
        projector: as `map_to_teacher`.
        cross_entropy: weight of the cross-entropy.

    Attributes:
        part: the name of D in the loss's parts.
        refuses: whether D itself refuses features that are not finite, so that they need no look of their own.

    Raises:
        InputError: a weight that is negative or not finite; features that do not fit without a projector; in training,
            features that are not finite.
    """

    part: ClassVar[str]
    refuses: ClassVar[bool] = False

    def __init__(self, sizes: Sizes, *, weight: float = 1.0, projector: str | None = None, cross_entropy: float = 1.0) -> None:
        super().__init__(cross_entropy)
        self.weight = at_least_zero(weight, "weight")
        self.projector = map_to_teacher(projector, sizes.features, sizes.teacher_features)

    @abstractmethod
    def distance(self, student: Outputs, teacher: Outputs, labels: Tensor) -> Tensor:
        """D, a scalar; the student's features are already projected."""

    def weights(self) -> dict[str, float]:
        """λ."""
        return {self.part: self.weight}

    def terms(self, student: Outputs, teacher: Outputs, labels: Tensor) -> dict[str, Tensor]:
        """D on projected features."""
        projected = replace(student, features=self.projector(student.features))
        if not self.refuses:
            require_finite(projected.features, teacher.features)
        return {self.part: self.distance(projected, teacher, labels)}
