"""Small batches and networks for objectives, and which objectives compare what."""

import numpy as np
import torch
from torch import nn

from kd2m_theory.validation.objectives.registry import NAMES, objective
from kd2m_theory.validation.training.outputs import Outputs

CLASSES = 4
SUM = {"kd": 0.5, "cw2": {"weight": 0.1}, "wide": {"name": "mmd", "bandwidth": 9.0}}
# Objectives whose terms compare laws: they do not know which teacher row belongs to which student row.
MARGINAL = ["w2", "jw2", "gaussian-w2", "gaussian-kl", "symmetric-gaussian-kl", "mmd", "gromov-w2", "sliced-w2"]
CONDITIONAL = ["cw2", "gaussian-cw2", "conditional-gaussian-kl", "conditional-mmd"]
PAIRED = ["kd", "dkd", "ttm", "wttm", "paired-l2", "unikd"]
WITHOUT_SHARES = [*CONDITIONAL, "dkd", "unikd", "sum"]
WITH_TERMS = [name for name in NAMES if name != "none"]
# For `batch_of_classes`.
CLASSES_PRESENT = (10, 52, 60)


class Net(nn.Module):
    """What the registry looks at."""

    def __init__(self, features=3, classes=CLASSES, stages=(2, 3)):
        super().__init__()
        self.fc = nn.Linear(features, classes)
        self.feature_size = features
        self.stage_channels = stages
        self.preactivation_channels = stages[0]


def make(name, student=None, teacher=None, **options):
    if name == "sum":
        options = {"terms": SUM} | options
    return objective(name, student or Net(), teacher or Net(), init_seed=0, **options).double()


def outputs(n=9, d=3, seed=0, classes=CLASSES):
    rng = np.random.default_rng(seed)
    shapes = ((n, classes), (n, d), (n, 2, 4, 4), (n, 3, 2, 2))
    logits, features, shallow, deep = (torch.tensor(rng.normal(size=shape)) for shape in shapes)
    return Outputs(logits, features, (shallow, deep), shallow - 0.5)


def labels_of(n=9):
    return torch.arange(n) % 3  # class 3 is absent


def flat(batch):
    return (batch.logits, batch.features, *batch.stages, *(() if batch.preactivation is None else (batch.preactivation,)))


def rebuilt(tensors):
    logits, features, *maps = tensors
    return Outputs(logits, features, tuple(maps[:2]), *maps[2:])


def mapped(batch, change):
    return rebuilt([change(tensor) for tensor in flat(batch)])


def batch_of_classes(classes, n=512, d=128):
    """Labels of as many classes, the last three with one row each, and the outputs of student and teacher, in float32."""
    rng = np.random.default_rng(classes)
    labels = np.concatenate((np.arange(classes), rng.integers(classes - 3, size=n - classes)))
    batches = [Outputs(*(torch.tensor(rng.normal(size=(n, size)), dtype=torch.float32) for size in (62, d))) for _ in range(2)]
    return torch.tensor(rng.permutation(labels)), batches
