"""UniKD, a *reconstruction*: of arXiv 2409.18565 only the abstract and summaries were at hand, not its equations or weights.

Known are the adaptive fusion of stages (AFF), a head that predicts a Gaussian for every image (FDP), and one constraint on
distributions beside the logits. What fills the gaps is this project's: numbers made here are not the paper's.
"""

from torch import Tensor, nn
from torch.nn import functional

from kd2m_theory.checks import above_zero, at_least_zero
from kd2m_theory.errors import InputError
from kd2m_theory.validation.objectives.divergence import divergence_by_class, mean_over_images
from kd2m_theory.validation.objectives.gaussian_head import GaussianHead, diagonal_divergence
from kd2m_theory.validation.objectives.kd import tempered_divergence
from kd2m_theory.validation.objectives.objective import Objective, Sizes
from kd2m_theory.validation.objectives.stage_fusion import StageFusion
from kd2m_theory.validation.training.outputs import Outputs


class UniKDReconstruction(Objective):
    """CE + w·T² KL(p_T‖q_T) + λ r·E KL(N_T‖N_S) + α·(anchor of the student's head + anchor of the teacher's head).

    N_S and N_T are diagonal Gaussians on R^K for every image: from the student's fused stages, and from the teacher's features
    (its penultimate map, pooled). Both heads learn, and would agree soonest by saying nothing about the image: one mean for
    all, or variances so large that no difference of means counts. An anchor ties a head to its network's own logits a, whose
    gradient is stopped: it is KL(softmax(a)‖softmax(b)), averaged over b ~ N(μ, σ²), in the closed upper bound of
    `anchor_divergence`, which at σ = 0 is the KL to the head's mean. r = min(1, (e + 1)/w)
    in epoch e with w `warm_up` epochs: the heads, which the anchors hold from the first step, learn to say something before
    the student must follow. The teacher network gets no gradient; its head, part of this objective, does.

    Args:
        sizes: of the two networks.
        weight: λ ≥ 0.
        logit_weight: w ≥ 0 of the logit term.
        temperature: T > 0 of the logit term.
        anchor_weight: α ≥ 0.
        width: channels of the fused map.
        warm_up: epochs until λ has its full weight.
        fusion: False removes AFF: the student's head takes the student's features.
        predict_variance: False removes FDP: all variances are one, and E KL is ½E‖μ_T − μ_S‖².
        anchor: False removes the anchors.
        cross_entropy: weight of the cross-entropy.

    Raises:
        InputError: a weight or warm-up that is negative or not finite; T ≤ 0; a switch that is not true or false; other
            classes; fusion for a student without stages.
    """

    compares = "images"

    def __init__(
        self,
        sizes: Sizes,
        *,
        weight: float = 1.0,
        logit_weight: float = 1.0,
        temperature: float = 4.0,
        anchor_weight: float = 1.0,
        width: int = 64,
        warm_up: int = 5,
        fusion: bool = True,
        predict_variance: bool = True,
        anchor: bool = True,
        cross_entropy: float = 1.0,
    ) -> None:
        super().__init__(cross_entropy)
        sizes.require_equal_classes()
        for value, name in ((fusion, "fusion"), (predict_variance, "predict_variance"), (anchor, "anchor")):
            if not isinstance(value, bool):
                raise InputError(f"{name} is {value!r}; choose true or false")
        self.weight = at_least_zero(weight, "weight")
        self.logit_weight = at_least_zero(logit_weight, "logit_weight")
        self.anchor_weight = at_least_zero(anchor_weight, "anchor_weight")
        self.temperature = above_zero(temperature, "temperature")
        self.warm_up = at_least_zero(warm_up, "warm_up")
        self.anchor = anchor
        self.needs_stages = fusion
        self.fusion: nn.Module | None = StageFusion(sizes.stage_channels, width) if fusion else None
        self.student_head = GaussianHead(width if fusion else sizes.features, sizes.classes, predict_variance)
        self.teacher_head = GaussianHead(sizes.teacher_features, sizes.classes, predict_variance)
        self._ramp = 1.0

    def weights(self) -> dict[str, float]:
        """The weights in the present epoch."""
        weights = {"logit_kd": self.logit_weight, "distribution": self._ramp * self.weight}
        return weights | {"anchor": self.anchor_weight} if self.anchor else weights

    def start_epoch(self, epoch: int, epochs: int) -> None:
        """Set the share of λ that epoch `epoch` (from 0) has."""
        self._ramp = min(1.0, (epoch + 1) / self.warm_up) if self.warm_up else 1.0

    def terms(self, student: Outputs, teacher: Outputs, labels: Tensor) -> dict[str, Tensor]:
        """Logit term, E KL(N_T‖N_S), and the sum of both anchors."""
        vectors = student.features if self.fusion is None else self.fusion(student.stages)
        mean_student, log_variance_student = self.student_head(vectors)
        mean_teacher, log_variance_teacher = self.teacher_head(teacher.features)
        divergences = diagonal_divergence(mean_teacher, log_variance_teacher, mean_student, log_variance_student)
        terms = {
            "logit_kd": tempered_divergence(student.logits, teacher.logits, labels, self.temperature),
            "distribution": mean_over_images(divergences, labels),
        }
        if self.anchor:
            anchors = anchor_divergence(mean_student, log_variance_student, student.logits) + anchor_divergence(
                mean_teacher, log_variance_teacher, teacher.logits
            )
            terms["anchor"] = mean_over_images(anchors, labels)
        return terms


def anchor_divergence(mean: Tensor, log_variance: Tensor, logits: Tensor) -> Tensor:
    """An upper bound on E KL(softmax(a)‖softmax(b)), b ~ N(μ, diag σ²), in nats: n values of n × K parameters and logits a.

    With p = softmax(a), E log Σ exp b_c ≤ log Σ E exp b_c = log Σ exp(μ_c + σ_c²/2) by Jensen, so that
    E KL ≤ lse(μ + σ²/2) − ⟨p, μ⟩ − H(p); an equality at σ = 0. No gradient flows into a.
    """
    log_p = functional.log_softmax(logits.detach(), dim=1)
    reach = mean + log_variance.exp() / 2
    # ⟨p, log p − log softmax(μ + σ²/2)⟩ + ⟨p, σ²/2⟩ is the same and does not cancel.
    divergences = divergence_by_class(log_p, functional.log_softmax(reach, dim=1)).sum(dim=1)
    return divergences + (log_p.exp() * (reach - mean)).sum(dim=1)
