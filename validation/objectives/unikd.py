"""UniKD: unified distillation (arXiv 2409.18565, ECCV 2024), after the training code of its first author.

The equations and tables of the paper could not be read. The code is public (github.com/FabienCode/mdistiller at 515d2c5,
`mdistiller/distillers/UniLogits.py`, class UniLogitsKD); that it is the version of the paper is likely, not certain. Only the
closed form of the constraint is this project's: a summary of the paper speaks of an analytical solution, the code samples.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from kd2m_theory.arrays import IGNORED
from kd2m_theory.checks import above_zero, at_least_zero, one_of
from kd2m_theory.deprecation import going
from kd2m_theory.errors import InputError
from kd2m_theory.validation.objectives.divergence import mean_over_images
from kd2m_theory.validation.objectives.dkd import DKD
from kd2m_theory.validation.objectives.gaussian_head import GaussianHead, diagonal_divergence, sampled
from kd2m_theory.validation.objectives.kd import tempered_divergence
from kd2m_theory.validation.objectives.objective import Objective, Sizes
from kd2m_theory.validation.objectives.stage_fusion import StageFusion
from kd2m_theory.validation.objectives.step_random import StepRandom
from kd2m_theory.validation.training.outputs import Outputs

if not TYPE_CHECKING:  # to type checkers, every name would be there

    def __getattr__(name: str) -> Any:
        return going(__name__, name)


TEACHER_MAPS = ("first-stage", "features")


class UniKD(StepRandom, Objective):
    """CE + w·DKD + λ·τ² KL(softmax(z_T/τ)‖softmax(z_S/τ)) + s·τ² [KL(p_S‖softmax(z_S/τ)) + KL(p_T‖softmax(z_T/τ))].

    z = μ + ε·σ is a sample of a diagonal Gaussian N(μ, σ²) on R^K that a head predicts for every image: the student's from its
    fused stages (`StageFusion`), the teacher's from its first stage before the activation, averaged over pixels. Both heads
    learn. The λ term is the unified constraint between the two; its gradient reaches both heads. The s term, the supplement,
    ties each head to its network's own prediction p = softmax(logits/τ); its gradient also reaches the student's logits. The
    noise ε of step t is a function of (seed, t) as `StepRandom` says. The teacher network gets no gradient.

    Args:
        sizes: of the two networks.
        weight: λ ≥ 0, of the constraint.
        logit_weight: w ≥ 0 of the logit term.
        alpha: α ≥ 0 of `DKD`.
        beta: β ≥ 0 of `DKD`.
        temperature: T > 0 of `DKD`.
        warm_up: epochs until the logit term has its full weight; the other terms have theirs from the start.
        supplement_weight: s ≥ 0.
        constraint_temperature: τ > 0.
        closed_form: the λ term is E KL(N_T‖N_S) of the predicted Gaussians instead; without predicted variances these are one,
            and the term is ½E‖μ_T − μ_S‖². The supplement has the samples still.
        fusion: False removes AFF: the student's head takes the student's features.
        predict_variance: False removes the distributions: z = μ.
        supplement: False removes the s term.
        width: common width of the fusion; None as `StageFusion`.
        teacher_map: "first-stage", or "features" for teachers that do not return their first stage before the activation.
        seed: of the noise, ≥ 0.
        cross_entropy: weight of the cross-entropy.

    Raises:
        InputError: a weight or warm-up that is negative or not finite; T or τ ≤ 0; a switch that is not true or false; other
            classes; labels that are shares of classes; a teacher without the map that its head wants.
    """

    compares = "images"
    takes_shares = False

    def __init__(
        self,
        sizes: Sizes,
        *,
        weight: float = 1.0,
        logit_weight: float = 1.0,
        alpha: float = 1.0,
        beta: float = 8.0,
        temperature: float = 4.0,
        warm_up: float = 20,
        supplement_weight: float = 1.0,
        constraint_temperature: float = 1.0,
        closed_form: bool = False,
        fusion: bool = True,
        predict_variance: bool = True,
        supplement: bool = True,
        width: int | None = None,
        teacher_map: str = "first-stage",
        seed: int = 0,
        cross_entropy: float = 1.0,
    ) -> None:
        super().__init__(cross_entropy)
        sizes.require_equal_classes()
        switches = {
            "closed_form": closed_form,
            "fusion": fusion,
            "predict_variance": predict_variance,
            "supplement": supplement,
        }
        for name, value in switches.items():
            if not isinstance(value, bool):
                raise InputError(f"{name} is {value!r}; choose true or false")
        self.logit_term = DKD(
            sizes,
            weight=at_least_zero(logit_weight, "logit_weight"),
            alpha=alpha,
            beta=beta,
            temperature=temperature,
            warm_up=warm_up,
        )
        self.weight = at_least_zero(weight, "weight")
        self.supplement_weight = at_least_zero(supplement_weight, "supplement_weight")
        self.constraint_temperature = above_zero(constraint_temperature, "constraint_temperature")
        self.closed_form, self.supplement, self.needs_stages = closed_form, supplement, fusion
        self.needs_preactivation = one_of(teacher_map, TEACHER_MAPS, "teacher_map") == "first-stage"
        taught = sizes.teacher_preactivation if self.needs_preactivation else sizes.teacher_features
        if not taught:
            raise _no_map()
        self.fusion = StageFusion(sizes.stage_channels, sizes.features, width) if fusion else None
        fused = sizes.features if self.fusion is None else self.fusion.outputs
        self.student_head = GaussianHead(fused, sizes.classes, predict_variance)
        self.teacher_head = GaussianHead(taught, sizes.classes, predict_variance)
        self.set_seed(seed)

    def weights(self) -> dict[str, float]:
        """The weights in the present epoch."""
        weights = self.logit_term.weights() | {"constraint": self.weight}
        return weights | {"supplement": self.supplement_weight} if self.supplement else weights

    def start_epoch(self, epoch: int, epochs: int) -> None:
        """Set the share of the logit term that epoch `epoch` (from 0) has."""
        self.logit_term.start_epoch(epoch, epochs)

    def terms(self, student: Outputs, teacher: Outputs, labels: Tensor) -> dict[str, Tensor]:
        """Both parts of DKD, the constraint, and the sum of both supplements."""
        vectors = student.features if self.fusion is None else self.fusion(student.stages, student.features)
        of_student, of_teacher = self.student_head(vectors), self.teacher_head(self._vectors_of(teacher))
        noise = self._noise(student.logits, labels)
        z_student, z_teacher = sampled(noise[:, 0], *of_student), sampled(noise[:, 1], *of_teacher)
        terms = self.logit_term.terms(student, teacher, labels)
        if self.closed_form:
            divergences = diagonal_divergence(*_with_variance(*of_teacher), *_with_variance(*of_student))
            terms["constraint"] = mean_over_images(divergences, labels)
        else:
            terms["constraint"] = self._divergence(z_student, z_teacher, labels)
        if self.supplement:
            terms["supplement"] = self._divergence(z_student, student.logits, labels) + self._divergence(
                z_teacher, teacher.logits, labels
            )
        return terms

    def _divergence(self, student: Tensor, teacher: Tensor, labels: Tensor) -> Tensor:
        return tempered_divergence(student, teacher, labels, self.constraint_temperature)

    def _vectors_of(self, teacher: Outputs) -> Tensor:
        if not self.needs_preactivation:
            return teacher.features
        if teacher.preactivation is None:
            raise _no_map()
        return teacher.preactivation.mean(dim=(2, 3))

    def _noise(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Student's and teacher's, n × 2 × K, the same on every device and in every precision.

        The k-th image that counts has the k-th row, whether or not others are between.
        """
        n, classes = logits.shape
        drawn = np.random.default_rng(self.step_seed()).standard_normal((n, 2, classes), dtype=np.float32)
        rows = (labels != IGNORED).cumsum(dim=0) - 1
        return torch.from_numpy(drawn).to(logits.device, logits.dtype)[rows]


def _with_variance(mean: Tensor, log_variance: Tensor | None) -> tuple[Tensor, Tensor]:
    return mean, torch.zeros_like(mean) if log_variance is None else log_variance


def _no_map() -> InputError:
    return InputError(
        "the teacher does not return its first stage before the activation (`Outputs.preactivation`), on which UniKD puts the "
        'teacher\'s head; set teacher_map = "features", or choose a network of the toolkit'
    )
