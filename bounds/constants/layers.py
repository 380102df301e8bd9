"""Lipschitz constants (ℓ2 → ℓ2) of feed-forward networks, layer by layer, certified from above.

The constant of a composition is at most the product of constants. Linear layers in a row are one linear map, whose norm
can be far below the product of theirs: where that map is small it is multiplied out, and an eval-mode batch norm is
always folded into the convolution or linear layer before it. A layer that no rule covers is refused, never skipped.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp
from torch import nn
from torch.nn.utils.parametrize import is_parametrized, type_before_parametrizations

from kd2m_theory.bounds.constants.convolutions import matrix_norm
from kd2m_theory.bounds.constants.layer_rules import BY_MODE, RESHAPING, RULES, Shape, Step
from kd2m_theory.errors import InputError
from kd2m_theory.estimators.ground import EPS, TINY
from kd2m_theory.estimators.scale import exponent_of, product_up, shifted_up

Rules = Mapping[type[nn.Module], Callable[[nn.Module, Shape], "LayerConstant"]]

_ENTRIES = 4e6  # of a linear map that is multiplied out
_SIDE = 2000  # of its smaller side


@dataclass(frozen=True, slots=True)
class LayerConstant:
    """One layer, or several linear ones as one map: ‖f(x) − f(y)‖₂ ≤ `upper` ‖x − y‖₂ for all inputs.

    Attributes:
        name: dotted name in the network, and class.
        upper: never below the true constant, rounding of float64 included.
        exact: whether it is the true constant over all of R^n, up to 1e-9 relative.
        how: where the number comes from.
        output_shape: without the batch axis.
    """

    name: str
    upper: float
    exact: bool
    how: str
    output_shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class NetworkConstant:
    """Product of the constants of `layers`; exact only where at most one of them is more than a reshaping."""

    upper: float
    exact: bool
    layers: tuple[LayerConstant, ...]
    output_shape: tuple[int, ...]

    def table(self) -> str:
        """One line a layer: constant (= exact, ≤ bound), shape behind it, and where the number comes from."""
        total = LayerConstant(name="network", upper=self.upper, exact=self.exact, how="product", output_shape=self.output_shape)
        width = max(len(layer.name) for layer in (*self.layers, total))
        return "\n".join(
            f"{layer.name:<{width}}  {'=' if layer.exact else '≤'} {layer.upper:<12.6g}  "
            f"{' × '.join(map(str, layer.output_shape)):<14}  {layer.how}"
            for layer in (*self.layers, total)
        )


def network_lipschitz(
    module: nn.Module, input_shape: Sequence[int], *, input_name: str = "input_shape", rules: Rules | None = None
) -> NetworkConstant:
    """Certified upper bound on the ℓ2 Lipschitz constant of a network in evaluation mode.

    Computed in float64 on the CPU from the stored weights; the module is not touched. The map is that of real arithmetic.

    Args:
        module: a layer, or nested `nn.Sequential`. A module with its own `forward` needs a rule: its children do not show
            what it does with them (a skip connection, say).
        input_shape: (d,), (C, L) or (C, H, W), without the batch axis.
        input_name: what messages call the shape.
        rules: for classes of your own, a function from module and input shape to its `LayerConstant`.

    Raises:
        InputError: a layer without a rule, in training mode, with hooks, with weights that are not finite real numbers, or
            with an input that does not fit; each by its dotted name.

    Example:
        >>> head = nn.Sequential(nn.Linear(2, 2), nn.Sigmoid())
        >>> _ = nn.init.eye_(head[0].weight)
        >>> round(network_lipschitz(head, (2,)).upper, 9)
        0.25
    """
    shape = tuple(input_shape)
    if not shape or not all(isinstance(size, int) and size > 0 for size in shape):
        raise InputError(f"{input_name} is {shape!r}; give positive whole numbers without the batch axis, as (3, 32, 32)")
    steps: list[Step] = []
    start = shape
    for name, leaf in _leaves(module, ""):
        step = _step(name, leaf, shape, rules or {})
        before = steps[-1] if steps else None
        folded = None
        if step.scale is not None and before is not None and before.scaled is not None:
            folded = before.scaled(step.scale)
        if folded is not None and before is not None:
            steps[-1] = replace(folded, name=f"{before.name} · {step.name}")
        else:
            steps.append(step)
        shape = step.output_shape
    layers: list[LayerConstant] = []
    while steps:
        run = next((k for k, step in enumerate(steps) if step.matrix is None), len(steps))
        layers += _linear(steps[:run], start) if run else [_constant(steps[0])]
        steps = steps[max(run, 1) :]
        start = layers[-1].output_shape
    upper = product_up(layer.upper for layer in layers)
    real = [layer for layer in layers if layer.how != RESHAPING[2]]
    return NetworkConstant(
        upper=upper, exact=len(real) <= 1 and all(layer.exact for layer in real), layers=tuple(layers), output_shape=shape
    )


def _leaves(module: nn.Module, name: str) -> Iterator[tuple[str, nn.Module]]:
    """Layers in the order in which they run; a module that stands twice runs twice."""
    if module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module):
        raise InputError(f"layer {name!r} ({type(module).__name__}) has forward hooks, which may change its map; remove them")
    if isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward:
        for key, child in module._modules.items():
            if child is not None:
                yield from _leaves(child, f"{name}.{key}" if name else key)
    else:
        yield name, module


def _step(name: str, module: nn.Module, shape: Shape, rules: Rules) -> Step:
    kind = type_before_parametrizations(module)
    label = f"{name} {kind.__name__}".strip()
    if kind in rules:
        given = rules[kind](module, shape)
        if not given.upper >= 0:
            raise InputError(f"the rule for layer {name!r} ({kind.__name__}) gives {given.upper}; a constant is at least 0")
        return Step(label, given.output_shape, lambda: (given.upper, given.exact, given.how))
    if kind not in RULES:
        raise InputError(
            f"layer {name!r} is a {kind.__name__}, which no rule covers; pass rules={{{kind.__name__}: …}} "
            "or build the network from nn.Sequential"
        )
    if module.training and (is_parametrized(module) or isinstance(module, BY_MODE)):
        raise InputError(
            f"layer {name!r} ({kind.__name__}) is in training mode, where it is not a fixed map; call .eval() first"
        )
    try:
        return replace(RULES[kind](module, shape), name=label)
    except InputError as error:
        raise InputError(f"layer {name!r} ({kind.__name__}): {error}") from None


def _constant(step: Step) -> LayerConstant:
    return LayerConstant(step.name, *step.norm(), step.output_shape)


def _linear(steps: list[Step], shape: Shape) -> list[LayerConstant]:
    """Constants of linear layers in a row: one by one, or multiplied out where that is affordable and smaller."""
    single = [_constant(step) for step in steps]
    real = [k for k, step in enumerate(steps) if not step.isometry]
    sizes = [math.prod(shape), *(math.prod(step.output_shape) for step in steps)]
    side = min(sizes[0], sizes[-1])
    if len(real) < 2 or side > _SIDE or side * max(sizes) > _ENTRIES:
        return single
    maps = []
    for k in real:
        matrix = steps[k].matrix
        built = matrix() if matrix is not None else None
        if built is None or not np.isfinite(built.data).all():
            return single
        maps.append(built)
    # Each in its own unit: partial products stay inside float64.
    exponents = [exponent_of(matrix.data) for matrix in maps]
    maps = [sp.csr_array((np.ldexp(m.data, -k), m.indices, m.indptr), m.shape) for m, k in zip(maps, exponents, strict=True)]
    if sizes[0] < sizes[-1]:  # from the small end, so that no product is larger than side × widest
        maps = [sp.csr_array(matrix.T) for matrix in maps[::-1]]
    product, sizes_of = maps[-1].toarray(), abs(maps[-1]).toarray()
    terms = 8
    for factor in maps[-2::-1]:
        product, sizes_of = product @ factor, sizes_of @ abs(factor)
        if (growth := exponent_of(sizes_of)) > 0:
            product, sizes_of = np.ldexp(product, -growth), np.ldexp(sizes_of, -growth)
            exponents.append(growth)
        terms += factor.shape[0] + 4
    upper, exact, _ = matrix_norm(product)
    # Rounding of the products, entry by entry at most terms·ε times the product of absolute values.
    wrong = EPS * terms * float(np.linalg.norm(sizes_of)) * (1 + 1e-9)
    # Each of their products may have lost a TINY to underflow, which the factors behind it enlarge.
    wrong += TINY * terms * max(sizes) * product_up(max(1.0, float(np.linalg.norm(m.data))) for m in maps)
    whole = shifted_up((upper + wrong) * (1 + EPS), sum(exponents))
    if whole >= product_up(layer.upper for layer in single):
        return single
    exact = exact and wrong <= 1e-10 * upper
    name = " · ".join(steps[k].name for k in real)
    return [LayerConstant(name=name, upper=whole, exact=exact, how="multiplied out", output_shape=steps[-1].output_shape)]
