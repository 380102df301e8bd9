"""Losses of logits, one value per sample. Logits are n × K, in nats; labels n classes 0 … K − 1.

Rows are taken a block at a time, so that no function needs memory for a second n × K array.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax, logsumexp, softmax

from kd2m_theory.arrays import Float64, Int64
from kd2m_theory.errors import InputError
from kd2m_theory.logits import AnyLogits
from kd2m_theory.side_by_side import by_rows


def cross_entropy(logits: AnyLogits, labels: Int64) -> Float64:
    """−log softmax(a)_y for each row, in nats.

    Args:
        logits: n × K.
        labels: n true classes, 0 … K − 1.

    Returns:
        n losses ≥ 0.

    Example:
        >>> cross_entropy(np.array([[0.0, 0.0], [0.0, np.log(3)]]), np.array([0, 1])).round(4)
        array([0.6931, 0.2877])
    """

    def losses(logits: Float64, labels: Int64) -> Float64:
        return -np.take_along_axis(log_softmax(logits, axis=1), labels[:, None], axis=1)[:, 0]

    return by_rows(losses, logits, labels)


def log_partition(logits: AnyLogits) -> Float64:
    """log Σ_c exp(a_c) for each row of n × K logits, n values in nats."""
    return by_rows(lambda part: np.asarray(logsumexp(part, axis=1)), logits)


def clipped(losses: Float64, bound: float) -> Float64:
    """min(ℓ, B) of n losses, B in their unit: a bounded loss, and one that moves no more than ℓ does."""
    return np.minimum(losses, bound)


def squared_error(outputs: AnyLogits, labels: Int64) -> Float64:
    """‖a − e_y‖² for each row of n × K outputs and n labels, n values; of predicted probabilities it is Brier's score."""

    def squares(outputs: Float64, labels: Int64) -> Float64:
        distance = outputs.copy()
        distance[np.arange(len(labels)), labels] -= 1.0
        result: Float64 = (distance**2).sum(axis=1)
        return result

    return by_rows(squares, outputs, labels)


def brier_score(logits: AnyLogits, labels: Int64) -> Float64:
    """‖softmax(a) − e_y‖² for each row of n × K logits and n labels, n values."""
    return by_rows(lambda part, classes: squared_error(softmax(part, axis=1), classes), logits, labels)


def errors(logits: AnyLogits, labels: Int64) -> NDArray[np.bool_]:
    """Whether the most likely class (the first of equals) is not the true one, for each row of n × K logits and n labels."""
    wrong: NDArray[np.bool_] = logits.argmax(axis=1) != labels
    return wrong


def margin(logits: AnyLogits, labels: Int64) -> Float64:
    """a_y − max_{c≠y} a_c for each row: positive where the prediction is right.

    Args:
        logits: n × K, K ≥ 2.
        labels: n true classes, 0 … K − 1.

    Returns:
        n margins, in nats.

    Example:
        >>> margin(np.array([[2.0, 0.5, -1.0], [0.0, 1.0, 0.0]]), np.array([0, 2]))
        array([ 1.5, -1. ])
    """

    def margins(logits: Float64, labels: Int64) -> Float64:
        own = np.take_along_axis(logits, labels[:, None], axis=1)[:, 0]
        others = logits.copy()
        np.put_along_axis(others, labels[:, None], -np.inf, axis=1)
        result: Float64 = own - others.max(axis=1)
        return result

    return by_rows(margins, logits, labels)


def ramp(margins: Float64, rho: float) -> Float64:
    """Ramp loss clip(1 − m/ρ, 0, 1) of margins: at least the 0–1 loss, (1/ρ)-Lipschitz.

    Args:
        margins: n, in nats.
        rho: ρ > 0, the width of the ramp, in nats.

    Returns:
        n losses in [0, 1].

    Raises:
        InputError: ρ is not positive.

    Example:
        >>> ramp(np.array([-1.0, 0.5, 3.0]), rho=1.0)
        array([1. , 0.5, 0. ])
    """
    if not rho > 0:
        raise InputError(f"the ramp has width rho={rho!r}; give a positive number")
    with np.errstate(over="ignore"):
        return np.clip(1.0 - margins / rho, 0.0, 1.0)
