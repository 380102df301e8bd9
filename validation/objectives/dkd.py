"""DKD: decoupled knowledge distillation (Zhao et al. 2022, arXiv 2203.08679)."""

import torch
from torch import Tensor
from torch.nn import functional

from kd2m_theory.checks import above_zero, at_least_zero
from kd2m_theory.validation.objectives.divergence import divergence_by_class, mean_over_images
from kd2m_theory.validation.objectives.objective import Objective, Sizes
from kd2m_theory.validation.training.outputs import Outputs


class DKD(Objective):
    """CE + λ r·(α T² KL(b_T‖b_S) + β T² KL(p̃_T‖p̃_S)), equation 7 of the paper.

    For an image of class y and a network's softmax p at temperature T, b = (p_y, 1 − p_y) says how sure the network is of the
    class, and p̃ is the prediction among the other classes, p_c/(1 − p_y) for c ≠ y. In classical distillation the second
    term has the weight 1 − p_y of the teacher, so that a sure teacher hardly teaches it: KD is α = 1 with β = 1 − p_y.
    r = min(1, (e + 1)/w) in epoch e, counted from 0, of a warm-up of w epochs. Defaults are those of the authors' code for
    CIFAR-100.

    Args:
        sizes: of the two networks.
        weight: λ ≥ 0.
        alpha: α ≥ 0, of the class of the image against the rest.
        beta: β ≥ 0, of the other classes.
        temperature: T > 0.
        warm_up: w ≥ 0, epochs until the terms have their full weight.
        cross_entropy: weight of the cross-entropy.

    Raises:
        InputError: a weight or warm-up that is negative or not finite; T ≤ 0; other classes; labels that are shares of classes.
    """

    compares = "images"
    takes_shares = False

    def __init__(
        self,
        sizes: Sizes,
        *,
        weight: float = 1.0,
        alpha: float = 1.0,
        beta: float = 8.0,
        temperature: float = 4.0,
        warm_up: float = 20,
        cross_entropy: float = 1.0,
    ) -> None:
        super().__init__(cross_entropy)
        sizes.require_equal_classes()
        self.weight = at_least_zero(weight, "weight")
        self.alpha, self.beta = at_least_zero(alpha, "alpha"), at_least_zero(beta, "beta")
        self.temperature = above_zero(temperature, "temperature")
        self.warm_up = at_least_zero(warm_up, "warm_up")
        self._ramp = 1.0

    def weights(self) -> dict[str, float]:
        """λ r α and λ r β in the present epoch."""
        share = self._ramp * self.weight
        return {"dkd_target": share * self.alpha, "dkd_others": share * self.beta}

    def start_epoch(self, epoch: int, epochs: int) -> None:
        """Set r for epoch `epoch` (from 0)."""
        self._ramp = min(1.0, (epoch + 1) / self.warm_up) if self.warm_up else 1.0

    def terms(self, student: Outputs, teacher: Outputs, labels: Tensor) -> dict[str, Tensor]:
        """T² KL(b_T‖b_S) and T² KL(p̃_T‖p̃_S), means over images."""
        target, others = decoupled_divergences(student.logits, teacher.logits, labels, self.temperature)
        factor = self.temperature**2
        return {
            "dkd_target": factor * mean_over_images(target, labels),
            "dkd_others": factor * mean_over_images(others, labels),
        }


def decoupled_divergences(student: Tensor, teacher: Tensor, labels: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """KL(b_T‖b_S) and KL(p̃_T‖p̃_S) in nats, n values each, of n × K logits and n integer classes.

    Everything is a logarithm: log p_y = log σ(u) and log(1 − p_y) = log σ(−u) with u = a_y − log Σ_{c ≠ y} exp a_c, so that
    neither a sure teacher nor logits of 10⁴ lose the small one. A prediction that leaves the other classes nothing (all are
    masked) has no p̃: the second divergence is 0 if the teacher's does. Rows of ignored images mean nothing.
    """
    own = functional.one_hot(labels.clamp(min=0), student.shape[1]).bool()
    (sure_s, rest_s, _), (sure_t, rest_t, nothing) = (_parted(logits / temperature, own) for logits in (student, teacher))
    rest_t, rest_s = (rest.masked_fill(nothing, 0.0) for rest in (rest_t, rest_s))
    return divergence_by_class(sure_t, sure_s).sum(dim=1), divergence_by_class(rest_t, rest_s).sum(dim=1)


def _parted(logits: Tensor, own: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """log b, n × 2; log p̃, n × K with −∞ at the class itself; whether all other classes are masked, n × 1."""
    others = logits.masked_fill(own, -torch.inf)
    nothing = others.amax(dim=1, keepdim=True) == -torch.inf
    # The gradient of a sum of nothing would be NaN.
    others = others.masked_fill(nothing, 0.0)
    total = others.logsumexp(dim=1, keepdim=True)
    margin = (logits.masked_fill(~own, 0.0).sum(dim=1, keepdim=True) - total).masked_fill(nothing, torch.inf)
    return functional.logsigmoid(torch.cat((margin, -margin), dim=1)), others - total, nothing
