"""Losses and metrics of what holds no numbers, or numbers of another kind."""

import numpy as np
import pytest
import torch

from kd2m_theory.errors import InputError
from kd2m_theory.estimators import wasserstein
from kd2m_theory.estimators.kernels import RBF
from kd2m_theory.estimators.losses.gaussian import gaussian_kl_loss, squared_gaussian_w2
from kd2m_theory.estimators.losses.kernel import squared_conditional_mmd, squared_mmd
from kd2m_theory.estimators.losses.transport import (
    paired_l2,
    squared_cw2,
    squared_gw2,
    squared_jw2,
    squared_sliced_w2,
    squared_w2,
)
from kd2m_theory.estimators.metrics import GaussianW2Metric, PairedDistanceMetric, RandomFeatureMMDMetric

LOSSES = {
    "W2": squared_w2,
    "CW2": lambda x, y: squared_cw2(x, y, torch.zeros(5, dtype=torch.int64)),
    "CW2, labels": lambda x, y: squared_cw2(x, y, torch.zeros(5, dtype=torch.int64, device="meta")),
    "JW2": lambda x, y: squared_jw2(x, y, x, y),
    "GW2": squared_gw2,
    "sliced": squared_sliced_w2,
    "Gaussian W2": squared_gaussian_w2,
    "Gaussian KL": gaussian_kl_loss,
    "MMD": lambda x, y: squared_mmd(x, y, RBF(1.0)),
    "conditional MMD": lambda x, y: squared_conditional_mmd(x, y, torch.zeros(5, dtype=torch.int64), RBF(1.0)),
    "distance": wasserstein,
    "Gaussian metric": lambda x, y: GaussianW2Metric(3).update(x, y),
    "paired metric": lambda x, y: PairedDistanceMetric().update(x, y),
    "MMD metric": lambda x, y: RandomFeatureMMDMetric(3, 1.0, 8).update(x, y),
}


@pytest.mark.parametrize("name", LOSSES)
def test_tensors_without_numbers_are_refused_by_name(name):
    with pytest.raises(InputError, match="meta"):
        LOSSES[name](torch.zeros(5, 3, device="meta"), torch.zeros(5, 3, device="meta"))


KINDS = {
    "complex64": torch.zeros(5, 3, dtype=torch.complex64),
    "bool": torch.zeros(5, 3, dtype=torch.bool),
    "int64": torch.zeros(5, 3, dtype=torch.int64),
    "float16": torch.zeros(5, 3, dtype=torch.float16),
    "bfloat16": torch.zeros(5, 3, dtype=torch.bfloat16),
    "ndarray": np.zeros((5, 3)),
    "list": [[0.0] * 3] * 5,
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", [*(name for name in LOSSES if "metric" not in name and name != "distance"), "paired"])
def test_losses_take_float32_and_float64_tensors_alone(name, kind):
    loss = {**LOSSES, "paired": paired_l2}[name]
    message = rf"(x|student) is {kind}; pass a float32 or float64 tensor \(under autocast, (x|student)\.float\(\)\)"
    with pytest.raises(InputError, match=message):
        loss(KINDS[kind], torch.zeros(5, 3))
    if name != "paired":
        with pytest.raises(InputError, match="float64"):
            loss(torch.zeros(5, 3), torch.zeros(5, 3, dtype=torch.float64))
