"""Population quantities of a pair of networks, measured on fresh images, each with an interval that all but surely has it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import softmax
from torch import nn

from kd2m_theory.arrays import Float64, Int64
from kd2m_theory.bounds.losses import clipped, cross_entropy, errors, squared_error
from kd2m_theory.estimators import Confidence, clopper_pearson, empirical_bernstein, paired_difference, student_t
from kd2m_theory.pair import Pair
from kd2m_theory.validation.populations.population import Population
from kd2m_theory.validation.populations.stream import Split
from kd2m_theory.validation.training.evaluation import predict

# Failure probability of each interval: with a dozen of them a false alarm in 10⁵ campaigns.
DELTA = 1e-6
_BLOCK = 2**14


@dataclass(frozen=True)
class Networks:
    """Both networks, in evaluation mode.

    Attributes:
        teacher: images → `Outputs`.
        student: likewise.
        population: where images come from.
    """

    teacher: nn.Module
    student: nn.Module
    population: Population

    def sample(self, split: Split, index: int, n: int, seed: int) -> tuple[Float64, Float64, Int64]:
        """Logits of student and teacher (n × K, float64) and labels of batch `index`, a function of the arguments."""
        device = next(self.teacher.parameters()).device
        images, labels = self.population.batch(split, index, n, seed, device)
        student, teacher = (predict(each, images).cpu().double().numpy() for each in (self.student, self.teacher))
        return student, teacher, labels.cpu().numpy()

    def audited(self, index: int, n: int, seed: int) -> Pair:
        """A pair of n fresh images that no other index, no truth and no training has seen."""
        student, teacher, labels = self.sample("test", index, n, seed)
        return Pair(logits_student=student, logits_teacher=teacher, labels=labels)


def truths(networks: Networks, draws: int, seed: int) -> dict[str, Confidence]:
    """Every quantity that a claim about the population is about, by target of a row or name of a measured value.

    Losses are clipped at 2 ln K in targets of rows, as the audit does unless told otherwise; bounded quantities have
    intervals that hold at every number of draws, those of plain cross-entropy are asymptotic.

    Args:
        networks: the pair.
        draws: of the validation stream, which audits do not use.
        seed: of the draws.
    """
    blocks = [
        _losses(*networks.sample("validation", k, min(_BLOCK, draws - k * _BLOCK), seed))
        for k in range(math.ceil(draws / _BLOCK))
    ]
    loss_s, loss_t, brier_s, brier_t = np.concatenate([losses for losses, _ in blocks], axis=1)
    wrong_s, wrong_t, differ = np.concatenate([events for _, events in blocks], axis=1)
    bound = 2 * math.log(networks.population.classes)
    short_s, short_t = clipped(loss_s, bound), clipped(loss_t, bound)
    error_gap = paired_difference(int((wrong_s & ~wrong_t).sum()), int((wrong_t & ~wrong_s).sum()), draws, DELTA)

    def bounded(values: Float64, low: float, high: float) -> Confidence:
        return empirical_bernstein(np.clip(values, low, high), low, high, DELTA, range_known=True)

    return {
        "population_gap": bounded(short_s - short_t, -bound, bound),
        "population_risk": bounded(short_s, 0.0, bound),
        "population_error_gap": error_gap,
        "population_error": _share(wrong_s),
        "population_brier_gap": bounded(brier_s - brier_t, -2.0, 2.0),
        "risk_teacher": student_t(loss_t, DELTA),
        "risk_student": student_t(loss_s, DELTA),
        "gap": student_t(loss_s - loss_t, DELTA),
        "accuracy_teacher": _share(~wrong_t),
        "accuracy_student": _share(~wrong_s),
        "error_gap": error_gap,
        "disagreement": _share(differ),
    }


def on_cpu(network: nn.Module, state: Mapping[str, torch.Tensor]) -> nn.Module:
    """A network with these weights, ready to be asked."""
    network.load_state_dict(state)
    return network.cpu().eval().requires_grad_(False)


def _losses(student: Float64, teacher: Float64, labels: Int64) -> tuple[Float64, NDArray[np.bool_]]:
    sides = student, teacher
    losses = [cross_entropy(logits, labels) for logits in sides]
    losses += [squared_error(softmax(logits, axis=1), labels) for logits in sides]
    wrong = [errors(logits, labels) for logits in sides]
    return np.stack(losses), np.stack([*wrong, student.argmax(axis=1) != teacher.argmax(axis=1)])


def _share(events: NDArray[np.bool_]) -> Confidence:
    return clopper_pearson(int(events.sum()), len(events), DELTA)
