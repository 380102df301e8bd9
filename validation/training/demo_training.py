"""Training of the demonstration's networks: Adam, cosine schedule, last epoch."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from kd2m_theory.estimators.losses.transport import squared_cw2
from kd2m_theory.validation.populations.digits import Digits
from kd2m_theory.validation.training.classifier import Classifier

Watch = Callable[[Iterable[Any], str], Iterable[Any]]
Objective = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Settings:
    """How a network is trained.

    Attributes:
        epochs: passes over the training half.
        batch: images a step.
        learning_rate: of Adam at the start; annealed to zero by a cosine over all steps.
    """

    epochs: int
    batch: int
    learning_rate: float


def train(
    model: nn.Module, data: Digits, objective: Objective, settings: Settings, seed: int, watch: Watch, words: str
) -> None:
    """Minimise objective(images, labels) over the trainable parameters of `model`, in place; `seed` orders the images."""
    weights = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimiser = torch.optim.Adam(weights, lr=settings.learning_rate)
    steps = settings.epochs * -(-len(data) // settings.batch)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    order = torch.Generator().manual_seed(seed)
    model.train()
    for _ in watch(range(settings.epochs), words):
        for batch in torch.randperm(len(data), generator=order).to(data.labels.device).split(settings.batch):
            optimiser.zero_grad()
            objective(data.images[batch], data.labels[batch]).backward()
            optimiser.step()
            schedule.step()
    model.eval()


def alone(model: Classifier) -> Objective:
    """Cross-entropy: λ = 0."""

    def objective(images: Tensor, labels: Tensor) -> Tensor:
        return functional.cross_entropy(model(images).logits, labels)

    return objective


def through_teacher_head(student: Classifier, teacher: Classifier, weight: float) -> Objective:
    """Cross-entropy + λ·CW₂² between the features of a batch, the student's logits made by the teacher's frozen head."""

    def objective(images: Tensor, labels: Tensor) -> Tensor:
        with torch.no_grad():
            target = teacher(images).features
        features, _ = student.encode(images)
        loss = functional.cross_entropy(teacher.fc(features), labels)
        return loss + weight * squared_cw2(features, target, labels)

    return objective
