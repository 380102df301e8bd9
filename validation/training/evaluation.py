"""What a network does on images that it was not trained on."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from kd2m_theory.arrays import IGNORED
from kd2m_theory.validation.objectives.divergence import divergence_by_class
from kd2m_theory.validation.populations.population import Population
from kd2m_theory.validation.populations.stream import Split
from kd2m_theory.validation.training.outputs import Outputs

BATCH = 512


@dataclass(frozen=True)
class Evaluation:
    """Means over images.

    Attributes:
        cross_entropy: in nats.
        accuracy: share of images whose largest logit is their class.
        entropy: Shannon entropy of the predictive distribution, in nats.
        agreement: share of images on which the teacher's largest logit is at the same class; NaN without a teacher, or if its
            classes are others.
        divergence: KL(teacher ‖ network) of the predictive distributions, in nats; NaN likewise.
    """

    cross_entropy: float
    accuracy: float
    entropy: float
    agreement: float
    divergence: float


def held_out(population: Population, split: Split, images: int, seed: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """All of a finite split, or so many fresh images of an unlimited one.

    Raises:
        InputError: the split is empty.
    """
    if population.size(split) is None:
        return population.sample(split, images, seed, device)
    return population.everything(split, device)


def predict(network: nn.Module, images: Tensor) -> Tensor:
    """Logits n × K, in evaluation mode; the network's mode is left as it was."""
    was_training = network.training
    network.eval()
    try:
        with torch.inference_mode():
            made: list[Outputs] = [network(part) for part in images.split(BATCH)]
    finally:
        network.train(was_training)
    return torch.cat([each.logits for each in made]).float()


def evaluate(logits: Tensor, labels: Tensor, teacher_logits: Tensor | None = None) -> Evaluation:
    """See `Evaluation`; n × K logits, n labels (−100: does not count), n × K logits of a teacher, on any device.

    Means are taken in float64 on the CPU: not every device has it.
    """
    logits, labels = logits.cpu(), labels.cpu()
    counted = labels != IGNORED
    logits, labels = logits[counted], labels[counted]
    log_q = functional.log_softmax(logits.double(), dim=1)
    entropy = -torch.special.xlogy(log_q.exp(), log_q.exp()).sum(dim=1).mean()
    agreement = divergence = torch.tensor(torch.nan)
    if teacher_logits is not None and teacher_logits.shape == (len(counted), *logits.shape[1:]):
        teacher_logits = teacher_logits.cpu()[counted]
        log_p = functional.log_softmax(teacher_logits.double(), dim=1)
        divergence = divergence_by_class(log_p, log_q).sum() / len(log_q)
        agreement = (logits.argmax(dim=1) == teacher_logits.argmax(dim=1)).double().mean()
    return Evaluation(
        cross_entropy=float(functional.nll_loss(log_q, labels)),
        accuracy=float((logits.argmax(dim=1) == labels).double().mean()),
        entropy=float(entropy),
        agreement=float(agreement),
        divergence=float(divergence),
    )
