"""Tensors that a loss can be taken of."""

from typing import Any

import torch
from torch import Tensor

from kd2m_theory.errors import InputError


def require_floats(**batches: Any) -> None:
    """Refuse what is not a tensor of float32 or float64 numbers: coarser numbers would make a loss of rounding.

    Raises:
        InputError: another dtype, or no tensor; the message has the argument's name.
    """
    for name, batch in batches.items():
        if not isinstance(batch, Tensor) or batch.dtype not in (torch.float32, torch.float64):
            kind = str(batch.dtype).removeprefix("torch.") if isinstance(batch, Tensor) else type(batch).__name__
            raise InputError(f"{name} is {kind}; pass a float32 or float64 tensor (under autocast, {name}.float())")


def require_values(*batches: Tensor) -> None:
    """Refuse tensors that have a shape only.

    Raises:
        InputError: a tensor on the device "meta".
    """
    if any(batch.is_meta for batch in batches):
        raise InputError("a batch is on the device 'meta', which holds no numbers; compute it on a device that does")
