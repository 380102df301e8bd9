"""Distances as training losses: differentiable, on the device and in the dtype of their inputs.

The transport plan comes from the solver that measures; it is held fixed in the backward pass, which makes the gradient
exact wherever the optimal plan is unique (envelope theorem).
"""

import numpy as np
import torch
from torch import Tensor

from kd2m_theory.errors import InputError
from kd2m_theory.estimators.transport import optimal_plan


def squared_w2(student: Tensor, teacher: Tensor) -> Tensor:
    """W₂² between two uniform clouds n × d and m × d, a squared distance.

    Raises:
        InputError: features that are not finite, so that no plan exists.
    """
    with torch.no_grad():
        costs = torch.cdist(student.double(), teacher.double()).square().cpu().numpy()
    if not np.isfinite(costs).all():
        raise InputError("features are NaN or infinite: the training has diverged; lower the learning rate or λ")
    n, m = costs.shape
    plan = optimal_plan(costs, np.full(n, 1.0 / n), np.full(m, 1.0 / m))
    rows, columns = (torch.from_numpy(index).to(student.device) for index in (plan.rows, plan.columns))
    mass = torch.from_numpy(plan.mass).to(student)
    return mass @ (student[rows] - teacher[columns]).square().sum(dim=1)


def squared_cw2(student: Tensor, teacher: Tensor, labels: Tensor) -> Tensor:
    """CW₂² of KD²M (arXiv 2504.01757): the mean of W₂² over the classes present in the batch, a squared distance.

    Args:
        student: n × d features.
        teacher: n × d features of the same batch.
        labels: n classes.

    Raises:
        InputError: as `squared_w2`.
    """
    present = labels.unique()
    return torch.stack([squared_w2(student[labels == y], teacher[labels == y]) for y in present]).mean()
