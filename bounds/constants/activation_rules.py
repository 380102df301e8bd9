"""Rules for activations and softmax: the supremum of their slope."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from torch import nn

from kd2m_theory.bounds.constants.steps import Shape, Step, expect, values_of
from kd2m_theory.errors import InputError
from kd2m_theory.estimators.ground import EPS


def _softmax(module: Any, shape: Shape) -> Step:
    """‖diag p − ppᵀ‖ ≤ max_i 2 p_i (1 − p_i) ≤ ½ (Gershgorin), attained at two halves.

    Log-softmax has J = I − 1pᵀ, a projection along 1 onto the complement of p, so that ‖J‖ = ‖1‖‖p‖ → √K at a vertex.
    """
    dim = getattr(module, "dim", 1)  # Softmax2d has none
    if dim is None or not -len(shape) <= dim <= len(shape) or dim % (len(shape) + 1) == 0:
        raise InputError(f"dim={dim} is not an axis behind the batch axis of an input {shape}; name the axis of the classes")
    classes = shape[dim % (len(shape) + 1) - 1]
    upper = 0.5 if isinstance(module, nn.Softmax | nn.Softmin | nn.Softmax2d) else math.sqrt(classes) * (1 + EPS)
    return Step("", shape, lambda: (upper if classes > 1 else 0.0, True, f"supremum over {classes} probabilities"))


def _activation(slope: float | Callable[[Any], float]) -> Callable[[Any, Shape], Step]:
    """An elementwise map: its constant is the supremum of |slope| over the line."""

    def rule(module: Any, shape: Shape) -> Step:
        upper = float(slope(module) if callable(slope) else slope)
        return Step("", shape, lambda: (upper, True, "steepest slope"))

    return rule


def _prelu(module: Any, shape: Shape) -> Step:
    expect(module.num_parameters in (1, shape[0]), shape, f"{module.num_parameters} channels")
    return _activation(max(1.0, float(np.abs(values_of(module.weight, "weight")).max())))(module, shape)


def _celu(module: Any) -> float:
    if not module.alpha > 0:
        raise InputError(f"alpha={module.alpha} makes it grow exponentially; take a positive alpha")
    return 1.0


def _rrelu(module: Any) -> float:
    """In evaluation, the slope below zero is the mean of both ends."""
    return max(1.0, abs(float(module.lower + module.upper)) / 2 * (1 + EPS))


def _unbroken(continuous: bool) -> float:
    if not continuous:
        raise InputError("its output jumps at its threshold, which no Lipschitz constant covers; take the features behind it")
    return 1.0


def _softplus(module: Any) -> float:
    """σ ≤ 1. Above its threshold torch replaces it by the identity, a jump of log(1 + e^−threshold): below rounding at 20."""
    if module.threshold < 20:
        raise InputError(f"threshold={module.threshold} makes it jump, which no Lipschitz constant covers; leave it at 20")
    return 1.0


# Steepest slopes, rounded up at the last digit; the tests derive each to 40 digits and prove it over the line.
# GELU: φ″ = (2 − x²)·N(x) = 0 at √2, slope Φ(√2) + √2 N(√2). SiLU: φ″ = 0 where x tanh(x/2) = 2, slope ½ + x/4.
_GELU, _GELU_TANH, _SILU, _MISH = 1.12890414518516, 1.12899306865878, 1.09983932012887, 1.08849816125173
_SLOPES: dict[type[nn.Module], float | Callable[[Any], float]] = {
    **dict.fromkeys((nn.ReLU, nn.ReLU6, nn.Hardtanh, nn.Tanh, nn.Softsign, nn.LogSigmoid, nn.Tanhshrink, nn.Softshrink), 1.0),
    nn.Sigmoid: 0.25,
    nn.Hardsigmoid: 1 / 6 * (1 + EPS),
    nn.Hardswish: 1.5,
    nn.SELU: 1.0507009873554805 * 1.6732632423543772 * (1 + 4 * EPS),  # λα, the slope below zero
    nn.LeakyReLU: lambda module: max(1.0, abs(module.negative_slope)),
    nn.ELU: lambda module: max(1.0, abs(module.alpha)),
    nn.CELU: _celu,
    nn.RReLU: _rrelu,
    nn.Threshold: lambda module: _unbroken(module.value == module.threshold),
    nn.Hardshrink: lambda module: _unbroken(module.lambd <= 0),
    nn.Softplus: _softplus,
    nn.GELU: lambda module: _GELU_TANH if module.approximate == "tanh" else _GELU,
    nn.SiLU: _SILU,
    nn.Mish: _MISH,
}
ACTIVATIONS: dict[type[nn.Module], Callable[[Any, Shape], Step]] = {
    **dict.fromkeys((nn.Softmax, nn.Softmin, nn.Softmax2d, nn.LogSoftmax), _softmax),
    nn.PReLU: _prelu,
    **{kind: _activation(slope) for kind, slope in _SLOPES.items()},
}
