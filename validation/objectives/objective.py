"""The one interface of every training objective: student batch, teacher batch, labels → a scalar and its named parts.

    total = cross_entropy · CE(student) + Σ weight_k · term_k

Objectives say what their terms and weights are; what holds for all of them is done once, here: the teacher is detached,
half-precision outputs are widened and autocast is off (divergences of bf16 numbers are noise), and terms whose weights are
all zero are evaluated for the record without gradient, so that λ = 0 is exactly cross-entropy.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from kd2m_theory.checks import at_least_zero
from kd2m_theory.errors import InputError
from kd2m_theory.validation.training.outputs import Outputs


@dataclass(frozen=True)
class Loss:
    """What an objective returns.

    Attributes:
        total: the scalar to minimise, in nats plus weighted terms; cross-entropy is in it.
        parts: detached scalars by name, *before* their weights: "cross_entropy" and each term.
    """

    total: Tensor
    parts: Mapping[str, Tensor]


@dataclass(frozen=True)
class Sizes:
    """What an objective knows of the two networks when it is made.

    Attributes:
        classes: number of the student's logits.
        teacher_classes: number of the teacher's logits.
        features: dimension of the student's features.
        teacher_features: dimension of the teacher's features.
        stage_channels: channels of the student's feature maps, shallow to deep; empty for networks without.
    """

    classes: int
    teacher_classes: int
    features: int
    teacher_features: int
    stage_channels: tuple[int, ...] = ()

    def require_equal_classes(self) -> None:
        """Refuse a pair whose predictions cannot be compared.

        Raises:
            InputError: the numbers of classes differ.
        """
        if self.classes != self.teacher_classes:
            raise InputError(
                f"the student predicts {self.classes} classes, the teacher {self.teacher_classes}; "
                "objectives on predictions need one set of classes, those on features do not"
            )


class Objective(nn.Module, ABC):
    """A training objective. Learnable parts are sub-modules: optimise and checkpoint them with the student.

    Attributes:
        needs_teacher: whether `forward` wants the teacher's outputs; without one the objective has no terms.
        needs_stages: whether `forward` wants the student's feature maps.
        cross_entropy: weight of the student's cross-entropy.
    """

    needs_teacher: bool = True
    needs_stages: bool = False

    def __init__(self, cross_entropy: float = 1.0) -> None:
        super().__init__()
        self.cross_entropy = at_least_zero(cross_entropy, "cross_entropy")

    @abstractmethod
    def weights(self) -> dict[str, float]:
        """The weight of each term in the present epoch, ≥ 0."""

    @abstractmethod
    def terms(self, student: Outputs, teacher: Outputs, labels: Tensor) -> dict[str, Tensor]:
        """The terms without their weights, scalars under the names of `weights`. The teacher's outputs carry no gradient."""

    def start_epoch(self, epoch: int, epochs: int) -> None:
        """Tell the objective that epoch `epoch` (from 0) of `epochs` begins; warm-ups listen."""

    def forward(self, student: Outputs, teacher: Outputs | None, labels: Tensor) -> Loss:
        """The loss of a batch.

        Args:
            student: outputs for n images.
            teacher: outputs for the same n images; never receives a gradient. Ignored where `needs_teacher` is False.
            labels: n int64 classes.

        Raises:
            InputError: no teacher where one is needed, outputs of different length, or what a term refuses.
        """
        with torch.autocast(student.logits.device.type, enabled=False):
            student = _widened(student)
            _check_length(student, labels, "student")
            cross_entropy = functional.cross_entropy(student.logits, labels)
            total = self.cross_entropy * cross_entropy
            parts = {"cross_entropy": cross_entropy.detach()}
            if not self.needs_teacher:
                return Loss(total, parts)
            if teacher is None:
                raise InputError(
                    f"{type(self).__name__} compares with a teacher, and none is given; pass the teacher's outputs"
                )
            teacher = _detached(teacher, student.logits.dtype)
            _check_length(teacher, labels, "teacher")
            weights = self.weights()
            with torch.set_grad_enabled(torch.is_grad_enabled() and any(weights.values())):
                terms = self.terms(student, teacher, labels)
            for name, weight in weights.items():
                if weight:
                    total = total + weight * terms[name]
            return Loss(total, parts | {name: term.detach() for name, term in terms.items()})


def require_finite(*batches: Tensor) -> None:
    """Refuse features from which a solver would make an error that names no cause, or a number that hides it.

    Raises:
        InputError: NaN or infinite features.
    """
    if not torch.stack([batch.isfinite().all() for batch in batches]).all():  # one look: on a GPU each makes the host wait
        raise InputError("features are NaN or infinite: the training has diverged; lower the learning rate or λ")


def _widened(outputs: Outputs) -> Outputs:
    return Outputs(
        _at_least_float32(outputs.logits),
        _at_least_float32(outputs.features),
        tuple(_at_least_float32(stage) for stage in outputs.stages),
    )


def _at_least_float32(values: Tensor) -> Tensor:
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values


def _detached(outputs: Outputs, dtype: torch.dtype) -> Outputs:
    # Cached teacher features may be stored in another precision than the student computes in.
    return Outputs(
        outputs.logits.detach().to(dtype),
        outputs.features.detach().to(dtype),
        tuple(stage.detach().to(dtype) for stage in outputs.stages),
    )


def _check_length(outputs: Outputs, labels: Tensor, whose: str) -> None:
    for name, values in (("logits", outputs.logits), ("features", outputs.features)):
        if values.ndim != 2 or len(values) != len(labels):
            raise InputError(f"the {whose}'s {name} have shape {tuple(values.shape)} for {len(labels)} labels; pass a row each")
