"""Rows of a batch by class, with one wait of the host, whatever the number of classes. Imports torch; import it by name."""

import torch
from torch import Tensor

from kd2m_theory.arrays import IGNORED
from kd2m_theory.errors import InputError
from kd2m_theory.estimators.losses.inputs import require_values


def rows_by_class(labels: Tensor) -> dict[int, Tensor]:
    """For each class that is present, in ascending order, the indices of its rows, ascending, on the labels' device.

    Rows with the label −100 are in no class. Masks would do, but on a GPU every use of a mask as an index makes the host wait
    for the number of its rows.

    Args:
        labels: n integer classes.

    Raises:
        InputError: labels that are not whole numbers, or not one per row.
    """
    if labels.ndim != 1 or labels.dtype == torch.bool or labels.is_floating_point() or labels.is_complex():
        raise InputError(
            f"labels have dtype {str(labels.dtype).removeprefix('torch.')} and shape {tuple(labels.shape)}; pass one integer "
            "class per row: rows that share several classes (mixup, label smoothing) have no class of their own"
        )
    require_values(labels)
    present, counts = labels.cpu().unique(return_counts=True)
    rows = dict(zip(present.tolist(), labels.argsort(stable=True).split(counts.tolist()), strict=True))
    rows.pop(IGNORED, None)
    return rows
