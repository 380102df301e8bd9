"""KD²M with the joint Wasserstein distance of features and predictions (arXiv 2504.01757)."""

from torch import Tensor
from torch.nn import functional

from kd2m_theory.checks import at_least_zero, one_of
from kd2m_theory.estimators.losses.transport import squared_jw2
from kd2m_theory.validation.objectives.feature_objective import FeatureObjective
from kd2m_theory.validation.objectives.objective import Sizes
from kd2m_theory.validation.training.outputs import Outputs


class JW2(FeatureObjective):
    """CE + λ·JW₂²: transport of ‖z_S − z_T‖² + β‖ŷ_S − ŷ‖², the student's images to the teacher's, gradient through both parts.

    Args:
        sizes: of the two networks.
        weight: λ ≥ 0.
        beta: β ≥ 0, weight of the label cost.
        label_cost: "predictions", where ŷ is the teacher's softmax, or "labels", where it is the true class, one-hot. ŷ_S is
            student's softmax in both. Labels that are shares of classes (mixup) are taken as they are.
        projector: as `FeatureObjective`.
        cross_entropy: weight of the cross-entropy.

    Raises:
        InputError: as `FeatureObjective`; β negative or not finite; an unknown label cost; other classes.
    """

    part = "jw2"
    refuses = True

    def __init__(
        self,
        sizes: Sizes,
        *,
        weight: float = 1.0,
        beta: float = 1.0,
        label_cost: str = "predictions",
        projector: str | None = None,
        cross_entropy: float = 1.0,
    ) -> None:
        super().__init__(sizes, weight=weight, projector=projector, cross_entropy=cross_entropy)
        self.beta = at_least_zero(beta, "beta")
        self.label_cost = one_of(label_cost, ("predictions", "labels"), "label_cost")
        if label_cost == "predictions":
            sizes.require_equal_classes()

    def distance(self, student: Outputs, teacher: Outputs, labels: Tensor) -> Tensor:
        """JW₂²."""
        predicted = student.logits.softmax(dim=1)
        if self.label_cost == "labels":
            one_hot = labels if labels.ndim > 1 else functional.one_hot(labels, predicted.shape[1])
            target = one_hot.to(predicted)
        else:
            target = teacher.logits.softmax(dim=1)
        return squared_jw2(student.features, teacher.features, predicted, target, self.beta)
