"""KD²M with the joint Wasserstein distance of features and logits, predictions or labels (arXiv 2504.01757)."""

from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional

from kd2m_theory.checks import at_least_zero, one_of
from kd2m_theory.errors import InputError
from kd2m_theory.estimators.cost_scale import CostScale, cost_scale
from kd2m_theory.estimators.losses.transport import squared_jw2
from kd2m_theory.validation.objectives.feature_objective import FeatureObjective
from kd2m_theory.validation.objectives.objective import Sizes
from kd2m_theory.validation.training.outputs import Outputs

LabelCost = Literal["logits", "predictions", "labels"]


class JW2(FeatureObjective):
    """CE + λ·JW₂²: transport of ‖z_S − z_T‖² / s + β‖y_S − y_T‖² / t, the student's images to the teacher's.

    The plan is optimal for the sum, so that labels decide with which teacher image a student image is matched. The gradient
    goes through both parts and both scales, to the student's features and to its logits.

    By default s and t are the means of their costs over all n² pairs of the batch: each part is a share of what the
    independent coupling costs. JW₂² then has no unit, is at most 1 + β, and does not depend on the scale of features or
    logits: one λ and one β serve networks of any size. Raw costs (s = t = 1) add squared features, which are hundreds,
    to squared differences of probabilities, at most 2: the label part was 0.3% of JW₂² on the demo pair, whose plan was W₂'s.

    The author's code has s = "max", t = 1 and raw logits. Its feature cost has no gradient. With one, "max" rewards an
    outlier (`squared_jw2`), so "mean" is the default.

    A batch of one image has the share 1 whatever its outputs are (0 where they are equal), and no gradient.

    Args:
        sizes: of the two networks.
        weight: λ ≥ 0.
        beta: β ≥ 0, weight of the scaled label cost in units of the scaled feature cost. 1 weighs both alike; 0 is W₂² / s.
        label_cost: what y is. "logits": those of both networks, each image's mean subtracted, as a constant added to all
            classes predicts the same; the cost is in squared logits. Classes that the teacher masks for the whole batch are
            left out. "predictions": the softmax of both, in squared probabilities. "labels": the student's softmax, and the
            true class, one-hot (shares of classes, as of mixup, as they are).
        feature_scale: s: "mean", "max" (the largest cost of the batch), or a number > 0 in squared features. A number makes
            the objective one function for every batch; twice the total variance of the teacher's features is what "mean"
            comes to where student and teacher agree.
        label_scale: t, the same for the label cost.
        projector: as `FeatureObjective`.
        cross_entropy: weight of the cross-entropy.

    Raises:
        InputError: as `FeatureObjective`; β negative or not finite; an unknown label cost; a scale that is not positive, or
            an unknown word; other classes. In training, as label cost "logits", a class that is masked on one side only or
            for some images only.
    """

    part = "jw2"
    refuses = True

    def __init__(
        self,
        sizes: Sizes,
        *,
        weight: float = 1.0,
        beta: float = 1.0,
        label_cost: str = "logits",
        feature_scale: CostScale = "mean",
        label_scale: CostScale = "mean",
        projector: str | None = None,
        cross_entropy: float = 1.0,
    ) -> None:
        super().__init__(sizes, weight=weight, projector=projector, cross_entropy=cross_entropy)
        self.beta = at_least_zero(beta, "beta")
        self.label_cost = one_of(label_cost, get_args(LabelCost), "label_cost")
        self.feature_scale = cost_scale(feature_scale, "feature_scale")
        self.label_scale = cost_scale(label_scale, "label_scale")
        if label_cost != "labels":
            sizes.require_equal_classes()

    def distance(self, student: Outputs, teacher: Outputs, labels: Tensor) -> Tensor:
        """JW₂²."""
        return squared_jw2(
            student.features,
            teacher.features,
            *self._labels(student.logits, teacher.logits, labels),
            self.beta,
            feature_scale=self.feature_scale,
            label_scale=self.label_scale,
        )

    def _labels(self, student: Tensor, teacher: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """y_S and y_T, n × K each."""
        if self.label_cost == "logits":
            return _centred(student, teacher)
        predicted = student.softmax(dim=1)
        if self.label_cost == "predictions":
            return predicted, teacher.softmax(dim=1)
        one_hot = labels if labels.ndim > 1 else functional.one_hot(labels, predicted.shape[1])
        return predicted, one_hot.to(predicted)


def _centred(student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    """Logits without their image's mean, over the classes that the teacher has; zero for those that it masks throughout."""
    masked = (teacher == -torch.inf).all(dim=0)
    kept = (~masked).sum()
    both = []
    for logits, whose in ((student, "student"), (teacher, "teacher")):
        logits = logits.masked_fill(masked, 0.0)
        if logits.device.type == "cpu" and not logits.isfinite().all():
            raise InputError(
                f"the {whose} masks a class (logits of −∞) that the teacher has for some image; their distance is infinite, so "
                "choose label_cost = 'predictions'"
            )
        both.append((logits - logits.sum(dim=1, keepdim=True) / kept).masked_fill(masked, 0.0))
    return both[0], both[1]
