"""Residual blocks: what they compute from their children, where that is known for certain."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from kd2m_theory.bounds.constants.guards import replaced_methods


class Residual(nn.Module):
    """x ↦ after(shortcut(x) + body(x)), a residual block whose Lipschitz constant is known from those of its parts.

    Use it in place of a block with a `forward` of its own; `network_lipschitz` then needs no rule.

    Args:
        body: the branch with the layers; as the shortcut, it must give the same shape.
        shortcut: the other branch, by default the input itself.
        after: what is applied to the sum, by default nothing.

    Example:
        >>> import torch
        >>> block = Residual(nn.Linear(2, 2, bias=False), after=nn.ReLU())
        >>> _ = nn.init.eye_(block.body.weight)
        >>> block(torch.tensor([1.0, -1.0])).tolist()
        [2.0, 0.0]
    """

    def __init__(self, body: nn.Module, shortcut: nn.Module | None = None, after: nn.Module | None = None) -> None:
        super().__init__()
        self.body = body
        self.shortcut = shortcut
        self.after = after

    def forward(self, inputs: Tensor) -> Tensor:
        """The block's output, of the shape that both branches give."""
        kept = inputs.clone()  # layers of one branch may work in place, and must not change what the other reads
        total: Tensor = (kept if self.shortcut is None else self.shortcut(kept)) + self.body(inputs)
        return total if self.after is None else self.after(total)


@dataclass(frozen=True, slots=True)
class Branches:
    """A block that computes after(shortcut(x) + body(x)); None stands for x itself, and for nothing after."""

    body: nn.Module
    shortcut: nn.Module | None
    after: nn.Module | None


# From torchvision.models.resnet: names that `forward` reads, in the order of their first use, and the layers of the body.
_TORCHVISION = {
    "BasicBlock": (
        ("conv1", "bn1", "relu", "conv2", "bn2", "downsample"),
        ("conv1", "bn1", "relu", "conv2", "bn2"),
    ),
    "Bottleneck": (
        ("conv1", "bn1", "relu", "conv2", "bn2", "conv3", "bn3", "downsample"),
        ("conv1", "bn1", "relu", "conv2", "bn2", "relu", "conv3", "bn3"),
    ),
}


def branches_of(module: nn.Module) -> Branches | None:
    """Branches of a `Residual`, or of a block of torchvision's ResNet; None for any other class.

    Torchvision is not imported. A block is its own if the class says so by its module and name, its `forward` reads the names
    that torchvision's reads in their order, and no other method of a module is replaced. A subclass is another class. Where a
    convolution was replaced, layers that work in place could change the input that the shortcut reads: that is no such block.
    """
    kind = type(module)
    if kind is Residual:
        return _branches(module.body, module.shortcut, module.after)
    if kind.__module__ != "torchvision.models.resnet" or kind.__qualname__ not in _TORCHVISION:
        return None
    names, layers = _TORCHVISION[kind.__qualname__]
    code = getattr(vars(kind).get("forward"), "__code__", None)
    if code is None or code.co_names != names or kind.__bases__ != (nn.Module,):
        return None
    if replaced_methods(vars(kind), nn.Module) != ["forward"] or not isinstance(module.conv1, nn.Conv2d):
        return None
    body = nn.Sequential(*(getattr(module, layer) for layer in layers))
    return _branches(body, module.downsample, module.relu)


def _branches(body: Any, shortcut: Any, after: Any) -> Branches:
    """Attributes of a module, which torch declares as tensor or module."""
    return Branches(body=body, shortcut=shortcut, after=after)
