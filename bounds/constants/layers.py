"""Lipschitz constants (ℓ2 → ℓ2) of feed-forward networks, layer by layer, certified from above.

The constant of a composition is at most the product of constants. Linear layers in a row are one linear map, whose norm
can be far below the product of theirs: where that map is small it is multiplied out, and an eval-mode batch norm is
always folded into the convolution or linear layer before it. The constant of a sum is at most the sum of constants: that is
`Residual`. A layer that no rule covers is refused, never skipped, and so is one that may compute something else than its class
says: by hooks, by methods that were replaced, by parametrisations in training mode.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import scipy.sparse as sp
import torch
from torch import nn
from torch.nn.utils.parametrize import is_parametrized, type_before_parametrizations

from kd2m_theory.bounds.constants.convolutions import matrix_norm
from kd2m_theory.bounds.constants.guards import refuse_bypass, refuse_global_hooks, refuse_other_class
from kd2m_theory.bounds.constants.layer_rules import ATTENTION, REASONS, RULES, changes_in_training
from kd2m_theory.bounds.constants.residual import Branches, branches_of
from kd2m_theory.bounds.constants.steps import RESHAPING, Shape, Step
from kd2m_theory.errors import InputError
from kd2m_theory.estimators.ground import EPS, TINY
from kd2m_theory.estimators.scale import exponent_of, product_up, round_up, shifted_up

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
        """One line per layer: constant (= exact, ≤ bound), shape behind it, and where the number comes from."""
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
        module: a layer, nested `nn.Sequential`, or `Residual` blocks of them; BasicBlock and Bottleneck of torchvision are
            known. Another module with its own `forward` needs a rule: its children do not show what it does with them.
        input_shape: (d,), (C, L), (C, H, W) or (C, D, H, W), without the batch axis.
        input_name: what messages call the shape.
        rules: for classes of your own, a function from module and input shape to its `LayerConstant`. A rule comes before
            what is known of a class, containers and blocks included.

    Raises:
        InputError: a layer without a rule, in training mode, with hooks, with replaced methods, with weights that are not
            finite real numbers, or with an input that does not fit; each by its dotted name. Global hooks of torch.

    Example:
        >>> head = nn.Sequential(nn.Linear(2, 2), nn.Sigmoid())
        >>> _ = nn.init.eye_(head[0].weight)
        >>> round(network_lipschitz(head, (2,)).upper, 9)
        0.25
    """
    shape = tuple(input_shape)
    if not shape or not all(isinstance(size, int) and size > 0 for size in shape):
        raise InputError(f"{input_name} is {shape!r}; give positive whole numbers without the batch axis, as (3, 32, 32)")
    refuse_global_hooks()
    steps: list[Step] = []
    start = shape
    for name, leaf in _leaves(module, "", rules or {}):
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


def residual_constant(
    body: nn.Module,
    input_shape: Sequence[int],
    *,
    shortcut: nn.Module | None = None,
    after: nn.Module | None = None,
    rules: Rules | None = None,
) -> LayerConstant:
    """Constant of x ↦ after(shortcut(x) + body(x)): at most L_after (L_shortcut + L_body), where L_shortcut = 1 for x itself.

    A rule for residual blocks of your own: the caller says what the block's `forward` computes from its children.

    Args:
        body: the branch with the layers.
        input_shape: without the batch axis.
        shortcut: the other branch, None for the input itself.
        after: what is applied to the sum, None for nothing.
        rules: for classes of your own within the block.

    Returns:
        The constant, never called exact: body and shortcut seldom stretch one direction alike.

    Raises:
        InputError: what `network_lipschitz` refuses, and branches whose shapes differ.

    Example:
        >>> layer = nn.Linear(2, 2)
        >>> _ = nn.init.eye_(layer.weight)
        >>> round(residual_constant(layer, (2,), after=nn.ReLU()).upper, 9)
        2.0
    """
    found = network_lipschitz(body, input_shape, rules=rules)
    other = network_lipschitz(nn.Identity() if shortcut is None else shortcut, input_shape, rules=rules)
    if found.output_shape != other.output_shape:
        raise InputError(
            f"its body gives {found.output_shape} and its shortcut {other.output_shape}, which cannot be added entry by entry; "
            "correct one of them"
        )
    last = network_lipschitz(nn.Identity() if after is None else after, found.output_shape, rules=rules)
    return LayerConstant(
        name="",
        upper=product_up((round_up(other.upper + found.upper), last.upper)),
        exact=False,
        how="shortcut + body",
        output_shape=last.output_shape,
    )


def _leaves(module: nn.Module, name: str, rules: Rules) -> Iterator[tuple[str, nn.Module]]:
    """Layers in the order in which they run; a module that stands twice runs twice."""
    refuse_bypass(module, name)
    if isinstance(module, nn.Sequential) and type_before_parametrizations(module) not in rules:
        refuse_other_class(type(module), nn.Sequential, name)
        for key, child in module._modules.items():
            if child is not None:
                yield from _leaves(child, f"{name}.{key}" if name else key, rules)
    else:
        yield name, module


def _step(name: str, module: nn.Module, shape: Shape, rules: Rules) -> Step:
    kind = type_before_parametrizations(module)
    if is_parametrized(module):
        refuse_other_class(type(module), kind, name)
    label = f"{name} {kind.__name__}".strip()
    if kind in rules:
        given = rules[kind](module, shape)
        if not given.upper >= 0:
            raise InputError(f"the rule for layer {name!r} ({kind.__name__}) gives {given.upper}; a constant is at least 0")
        return Step(label, given.output_shape, lambda: (given.upper, given.exact, given.how))
    branches = branches_of(module)
    if branches is None and kind not in RULES:
        raise InputError(_no_rule(name, kind))
    parts = module.modules() if is_parametrized(module) else (module,)  # a parametrisation has a mode of its own
    if any(part.training for part in parts) and (is_parametrized(module) or changes_in_training(module)):
        raise InputError(
            f"layer {name!r} ({kind.__name__}) is in training mode, where it is not a fixed map; call .eval() first"
        )
    if is_parametrized(module):
        _refuse_unsteady(module, name)
    try:
        return replace(_sum(branches, shape, rules) if branches is not None else RULES[kind](module, shape), name=label)
    except InputError as error:
        raise InputError(f"layer {name!r} ({kind.__name__}): {error}") from None


def _refuse_unsteady(module: nn.Module, name: str) -> None:
    """Refuse parametrisations that give another tensor when they are asked again."""
    for key in cast("nn.ModuleDict", module.parametrizations):
        with torch.no_grad():
            first, second = (getattr(module, key).clone() for _ in range(2))
        if not first.is_meta and not torch.allclose(first, second, rtol=0, atol=0, equal_nan=True):
            raise InputError(
                f"layer {name!r} ({type(module).__name__}) has a parametrisation that gives another {key} each time; it is not "
                "a fixed map; remove it with torch.nn.utils.parametrize.remove_parametrizations"
            )


def _sum(branches: Branches, shape: Shape, rules: Rules) -> Step:
    found = residual_constant(branches.body, shape, shortcut=branches.shortcut, after=branches.after, rules=rules)
    return Step("", found.output_shape, lambda: (found.upper, found.exact, found.how))


def _no_rule(name: str, kind: type[nn.Module]) -> str:
    what = f"layer {name!r} is a {kind.__name__}, which no rule covers"
    reason = REASONS.get(kind, ATTENTION if "attention" in kind.__name__.lower() else None)
    if reason is not None:
        return f"{what}: {reason.format(kind.__name__)}"
    return f"{what}; pass rules={{{kind.__name__}: …}} or build the network from nn.Sequential and Residual"


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
