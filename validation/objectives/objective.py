"""The one interface of every training objective: student batch, teacher batch, labels → a scalar and its named parts.

    total = cross_entropy · CE(student) + Σ weight_k · term_k

Objectives say what their terms and weights are; what holds for all of them is done once, here: the teacher is detached,
half-precision outputs are widened and autocast is off (divergences of bf16 numbers are noise), and terms whose weights are
all zero are evaluated for the record without gradient, so that λ = 0 is exactly cross-entropy. Images with the label −100 do
not count, in no term, whatever their outputs are; logits of −∞ are masked classes, and what has no value is refused by name.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from kd2m_theory.arrays import IGNORED
from kd2m_theory.checks import at_least_zero
from kd2m_theory.errors import InputError
from kd2m_theory.estimators.losses.inputs import require_values
from kd2m_theory.validation.objectives.divergence import cross_entropy
from kd2m_theory.validation.training.outputs import Outputs, averaged


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
        teacher_preactivation: channels of the teacher's first stage before the activation; 0 for networks without.
    """

    classes: int
    teacher_classes: int
    features: int
    teacher_features: int
    stage_channels: tuple[int, ...] = ()
    teacher_preactivation: int = 0

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
        needs_stages: whether terms want the student's feature maps; others do not get them.
        needs_preactivation: whether terms want the mean over pixels of the teacher's first stage before its activation.
        compares: what a term is taken of: each of the "images" by itself (a mean over images), the whole "batch", or the
            "classes" of a batch, which need one class per image.
        takes_shares: whether labels may be shares of classes; never where classes of a batch are compared.
        skips_ignored: whether the terms leave out ignored images themselves, so that the host need not wait for their number.
        cross_entropy: weight of the student's cross-entropy.
    """

    needs_teacher: bool = True
    needs_stages: bool = False
    needs_preactivation: bool = False
    compares: Literal["images", "batch", "classes"] = "batch"
    takes_shares: bool = True
    skips_ignored: bool = False

    def __init__(self, cross_entropy: float = 1.0) -> None:
        super().__init__()
        self.cross_entropy = at_least_zero(cross_entropy, "cross_entropy")

    @abstractmethod
    def weights(self) -> dict[str, float]:
        """The weight of each term in the present epoch, ≥ 0."""

    @abstractmethod
    def terms(self, student: Outputs, teacher: Outputs, labels: Tensor) -> dict[str, Tensor]:
        """The terms without their weights, scalars under the names of `weights`. The teacher's outputs carry no gradient.

        Ignored images are gone, but for objectives that compare images or skip ignored ones: there they still have their rows,
        with outputs of zero.
        """

    def start_epoch(self, epoch: int, epochs: int) -> None:
        """Tell the objective that epoch `epoch` (from 0) of `epochs` begins; warm-ups listen."""

    def forward(self, student: Outputs, teacher: Outputs | None, labels: Tensor) -> Loss:
        """The loss of a batch.

        Args:
            student: outputs for n images.
            teacher: outputs for the same n images; never receives a gradient. Ignored where `needs_teacher` is False.
            labels: n integer classes, −100 for images that do not count; or n × K shares of classes (mixup, label smoothing),
                which objectives that compare classes refuse. If no image counts, the loss and its gradient are zero.

        Raises:
            InputError: no teacher where one is needed, outputs of different length, or what a term refuses; shares of classes
                that are not probabilities. On the CPU also labels out of range, and logits of which one is NaN or +∞ or all
                are −∞; on a GPU, where a look makes the host wait, these make a loss that is not finite or torch's own error.
        """
        require_values(student.logits, student.features, labels)
        with torch.autocast(student.logits.device.type, enabled=False):
            _check_length(student, labels, "student")
            student = _widened(Outputs(student.logits, student.features, student.stages if self.needs_stages else ()))
            if not self.needs_teacher:
                teacher = None
            elif teacher is None:
                raise InputError(
                    f"{type(self).__name__} compares with a teacher, and none is given; pass the teacher's outputs"
                )
            else:
                require_values(teacher.logits, teacher.features)
                _check_length(teacher, labels, "teacher")
                teacher = self._taught(teacher, student.logits.dtype)
            labels = self._checked(labels, student.logits)
            counted, labels = self._counted(labels)
            student = counted(student)
            _check_logits(student.logits, "student")
            nats = cross_entropy(student.logits, labels)
            # 0 · ∞ would be NaN.
            total = self.cross_entropy * nats if self.cross_entropy else student.logits[:0].sum()
            parts = {"cross_entropy": nats.detach()}
            if teacher is None:
                return Loss(total, parts)
            teacher = counted(teacher)
            _check_logits(teacher.logits, "teacher")
            weights = self.weights()
            if not len(labels):
                return Loss(total, parts | dict.fromkeys(weights, torch.zeros_like(nats)))
            with torch.set_grad_enabled(torch.is_grad_enabled() and any(weights.values())):
                terms = self.terms(student, teacher, labels)
            for name, weight in weights.items():
                if weight:
                    total = total + weight * terms[name]
            return Loss(total, parts | {name: term.detach() for name, term in terms.items()})

    def _taught(self, teacher: Outputs, dtype: torch.dtype) -> Outputs:
        """What terms read of a teacher, without gradient, in the dtype of the student.

        Cached features may be stored in another precision than the student computes in.
        """
        shallow = teacher.preactivation if self.needs_preactivation else None
        return Outputs(
            teacher.logits.detach().to(dtype),
            teacher.features.detach().to(dtype),
            preactivation=None if shallow is None else averaged(shallow.detach()).to(dtype),
        )

    def _checked(self, labels: Tensor, logits: Tensor) -> Tensor:
        """Labels as int64 classes, or as shares in the logits' dtype."""
        n, classes = logits.shape
        if labels.is_floating_point() and labels.shape == (n, classes):
            if self.compares == "classes" or not self.takes_shares:
                does = "compares images of one class" if self.compares == "classes" else "needs the class of each image"
                raise InputError(
                    f"{type(self).__name__} {does}, and the labels are shares of {classes} classes (mixup, label smoothing); "
                    "give one integer class per image, or choose an objective without classes, such as w2"
                )
            shares = labels.to(logits.dtype)
            off = (shares.sum(dim=1) - 1).abs()
            if n and not (bool((off < _SHARES_OFF).all()) and bool((shares >= 0).all())):
                raise InputError("labels are shares of classes that are negative or do not sum to 1 in each row")
            return shares
        whole = not (labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool)
        if labels.ndim != 1 or not whole:
            raise InputError(
                f"labels have dtype {str(labels.dtype).removeprefix('torch.')} and shape {tuple(labels.shape)}; give {n} "
                f"integer classes, or {n} × {classes} shares of classes"
            )
        labels = labels.long()
        if labels.device.type == "cpu":
            wrong = labels[(labels != IGNORED) & ((labels < 0) | (labels >= classes))]
            if len(wrong):
                raise InputError(
                    f"{len(wrong)} labels are not classes, the first is {int(wrong[0])}; the student has classes 0 to "
                    f"{classes - 1}, and {IGNORED} is the label of an image that does not count"
                )
        return labels

    def _counted(self, labels: Tensor) -> tuple[Callable[[Outputs], Outputs], Tensor]:
        """What takes ignored images out of outputs, and the labels that are left.

        On a GPU the host would wait for the number of rows that are left. Where images are compared one by one or class by
        class, rows of zeros stay in their place, and the terms leave them out.
        """
        ignored = labels == IGNORED if labels.ndim == 1 else torch.zeros(len(labels), dtype=torch.bool, device=labels.device)
        if labels.device.type == "cpu" and not ignored.any():
            return lambda outputs: outputs, labels
        if self.compares == "images" or self.skips_ignored:
            return lambda outputs: _changed(
                outputs, lambda t: t.masked_fill(ignored.reshape(-1, *[1] * (t.ndim - 1)), 0)
            ), labels
        if labels.ndim > 1 or not ignored.any():
            return lambda outputs: outputs, labels
        rows = (~ignored).nonzero()[:, 0]
        return lambda outputs: _changed(outputs, lambda t: t[rows]), labels[rows]


_SHARES_OFF = 0.01  # by which shares in bfloat16 may miss the sum 1


def require_finite(*batches: Tensor) -> None:
    """Refuse features from which a solver would make an error that names no cause, or a number that hides it.

    Raises:
        InputError: NaN or infinite features.
    """
    if not torch.stack([batch.isfinite().all() for batch in batches]).all():  # one look: on a GPU each makes the host wait
        raise InputError("features are NaN or infinite: the training has diverged; lower the learning rate or λ")


def _changed(outputs: Outputs, change: Callable[[Tensor], Tensor]) -> Outputs:
    return Outputs(
        change(outputs.logits),
        change(outputs.features),
        tuple(map(change, outputs.stages)),
        None if outputs.preactivation is None else change(outputs.preactivation),
    )


def _widened(outputs: Outputs) -> Outputs:
    return _changed(outputs, _at_least_float32)


def _at_least_float32(values: Tensor) -> Tensor:
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values


def _check_logits(logits: Tensor, whose: str) -> None:
    if logits.device.type != "cpu":
        return
    wrong = (~logits.amax(dim=1).isfinite()).nonzero()[:, 0]
    if len(wrong):
        raise InputError(
            f"the {whose}'s logits of {len(wrong)} of {len(logits)} images that count (the first is number {int(wrong[0])} of "
            "them) are NaN or +∞, or −∞ for every class: no prediction can be made of them; if training has diverged, lower "
            "the learning rate or λ"
        )


def _check_length(outputs: Outputs, labels: Tensor, whose: str) -> None:
    for name, values in (("logits", outputs.logits), ("features", outputs.features)):
        if not values.is_floating_point():
            kind = str(values.dtype).removeprefix("torch.")
            raise InputError(f"the {whose}'s {name} are {kind}; networks return real floating-point numbers")
        if values.ndim != 2 or len(values) != len(labels):
            raise InputError(f"the {whose}'s {name} have shape {tuple(values.shape)} for {len(labels)} labels; pass a row each")
