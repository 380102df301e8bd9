"""Tensors that a loss can be taken of."""

from torch import Tensor

from kd2m_theory.errors import InputError


def require_numbers(*batches: Tensor) -> None:
    """Refuse tensors that have a shape only.

    Raises:
        InputError: a tensor on the device "meta".
    """
    if any(batch.is_meta for batch in batches):
        raise InputError("a batch is on the device 'meta', which holds no numbers; compute it on a device that does")
