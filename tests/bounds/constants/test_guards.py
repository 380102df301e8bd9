"""Layers that compute something else than their class says are refused, each after it was seen to do so."""

import copy
import functools

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune, spectral_norm, weight_norm

from kd2m_theory.bounds.constants.layers import LayerConstant, network_lipschitz
from kd2m_theory.errors import InputError


def identity(kind=nn.Linear):
    layer = kind(2, 2, bias=False)
    nn.init.eye_(layer.weight)
    return layer


def sequential(**changes):
    return type("Changed", (nn.Sequential,), changes)(identity())


def patched(name, make):
    layer = identity()
    setattr(layer, name, make(getattr(layer, name)))
    return layer


def doubled(function):
    return lambda *arguments: 2 * function(*arguments)


def hooked(register):
    layer = identity()
    getattr(layer, register)(
        (lambda _, inputs: (2 * inputs[0],)) if "pre" in register else (lambda _, inputs, output: 2 * output)
    )
    return layer


def convolution():
    layer = nn.Conv1d(1, 1, 1, bias=False)
    nn.init.ones_(layer.weight)
    layer._conv_forward = doubled(layer._conv_forward)
    return nn.Sequential(nn.Unflatten(1, (1, 2)), layer)


class Caller(nn.Module):
    def __call__(self, x):
        return 2 * super().__call__(x)


class Twice(nn.Module):
    def forward(self, weight):
        return 2 * weight


class Sneaky(nn.Linear):
    """Looks as if torch had parametrised a linear layer."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.parametrizations = nn.ModuleDict({"other": Twice()})

    def forward(self, x):
        return 2 * super().forward(x)


class Parameter(nn.Parameter):
    @classmethod
    def __torch_function__(cls, function, types, arguments=(), options=None):
        found = super().__torch_function__(function, types, arguments, options or {})
        return 2 * found.as_subclass(torch.Tensor) if function is nn.functional.linear else found


def subclassed_weight():
    layer = identity()
    layer.weight = Parameter(layer.weight.detach())
    return layer


BYPASSES = {
    "forward of a container": (lambda: sequential(forward=lambda self, x: 2 * self[0](x)), "has a forward of its own"),
    "call of a container": (lambda: sequential(__call__=lambda self, x: 2 * nn.Sequential.__call__(self, x)), "has a __call__ of its own"),
    "call of a later base": (lambda: type("Changed", (nn.Sequential, Caller), {})(identity()), "has a __call__ of its own"),
    "iteration of a container": (lambda: sequential(__iter__=lambda self: iter([lambda x: 2 * x])), "has a __iter__ of its own"),
    "attributes of a container": (
        lambda: sequential(_modules=property(lambda self: {"0": lambda x: 2 * x}, lambda self, value: None)), "has a _modules of its own",
    ),
    "lookup of a container": (
        lambda: sequential(__getattribute__=lambda self, key: {"0": lambda x: 2 * x} if key == "_modules" else object.__getattribute__(self, key)),
        "has a __getattribute__ of its own",
    ),
    "forward of one layer": (lambda: patched("forward", doubled), "has a forward of its own"),
    "call of one layer": (lambda: patched("_call_impl", doubled), "has a _call_impl of its own"),
    "inside of one layer": (convolution, "has a _conv_forward of its own"),
    "compiled call": (lambda: patched("_compiled_call_impl", lambda _: lambda x: 2 * x), "compiled in place"),
    "hook": (lambda: hooked("register_forward_hook"), "has forward hooks"),
    "pre-hook": (lambda: hooked("register_forward_pre_hook"), "has forward hooks"),
    "looks parametrised": (lambda: Sneaky(2, 2), "has a forward of its own"),
    "weight of a class": (subclassed_weight, "weight is a Parameter, which may compute in its own way"),
}  # fmt: skip


@pytest.mark.parametrize("name", BYPASSES)
def test_what_bypasses_the_layers_is_refused(name):
    make, message = BYPASSES[name]
    module = make()
    if not isinstance(module, Sneaky):
        assert module(torch.ones(1, 2)).flatten().tolist() == [2, 2]  # it does: its layers alone have the constant 1
    for network in (module, nn.Sequential(nn.ReLU(), module)):
        with pytest.raises(InputError, match=message):
            network_lipschitz(network, (2,))


@pytest.mark.parametrize("register", ["register_module_forward_hook", "register_module_forward_pre_hook"])
def test_global_hooks_are_refused(register):
    handle = getattr(nn.modules.module, register)(lambda *_: None)
    try:
        with pytest.raises(InputError, match="global forward hooks"):
            network_lipschitz(nn.ReLU(), (2,))
    finally:
        handle.remove()
    assert network_lipschitz(nn.ReLU(), (2,)).upper == 1


@pytest.mark.parametrize(("change", "message"), [
    (weight_norm, "call remove_weight_norm, or use torch.nn.utils.parametrizations.weight_norm"), (spectral_norm, "call remove_spectral_norm"),
    (lambda layer: prune.l1_unstructured(layer, "weight", 1), r"call torch.nn.utils.prune.remove"),
])  # fmt: skip
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_weights_that_hooks_compute_are_refused_with_the_way_out(change, message):
    layer = nn.Linear(2, 2).eval()
    change(layer)
    with pytest.raises(InputError, match=message):
        network_lipschitz(layer, (2,))


def test_a_rule_covers_a_container_that_has_a_forward_of_its_own():
    class Halved(nn.Sequential):
        def forward(self, x):
            return super().forward(x) / 2

    def rule(module, shape):
        inner = network_lipschitz(nn.Sequential(*module), shape)
        return LayerConstant(name="", upper=inner.upper / 2, exact=False, how="half", output_shape=inner.output_shape)

    network = nn.Sequential(Halved(identity(), nn.ReLU()))
    assert network_lipschitz(network, (2,), rules={Halved: rule}).upper == pytest.approx(0.5, rel=1e-12)
    with pytest.raises(InputError, match="has a forward of its own"):
        network_lipschitz(network, (2,))


class Random(nn.Module):
    def forward(self, weight):
        return weight * torch.rand(())


class Half(nn.Module):
    def forward(self, weight):
        return weight / 2


def test_parametrised_weights_are_those_that_the_layer_uses():
    layer = identity()
    parametrize.register_parametrization(layer, "weight", Half())
    with pytest.raises(InputError, match="training mode"):
        network_lipschitz(layer, (2,))
    layer.eval()
    assert network_lipschitz(layer, (2,)).upper == pytest.approx(0.5, rel=1e-12)
    assert network_lipschitz(parametrizations.weight_norm(identity()).eval(), (2,)).upper == pytest.approx(1, rel=1e-6)
    norm = nn.BatchNorm1d(2).eval()
    parametrize.register_parametrization(norm, "weight", Half())
    assert network_lipschitz(norm.eval(), (2,)).upper == pytest.approx(0.5, rel=1e-4)
    layer.parametrizations.train()  # the layer itself is not
    with pytest.raises(InputError, match="training mode"):
        network_lipschitz(layer, (2,))


def test_parametrisations_that_change_by_themselves_are_refused():
    torch.manual_seed(0)
    layer = identity()
    parametrize.register_parametrization(layer, "weight", Random())
    with pytest.raises(InputError, match="gives another weight each time"):
        network_lipschitz(layer.eval(), (2,))


def test_containers_that_change_no_map_are_taken():
    """As torchvision's: a subclass of Sequential with a constructor, and with ways to train, print and initialise."""

    class Block(nn.Sequential):
        def __init__(self):
            super().__init__(identity(), nn.ReLU())

        def train(self, mode=True):
            return super().train(mode)

        def extra_repr(self):
            return "a block"

        def helper(self):
            return 3

    assert network_lipschitz(Block(), (2,)).upper == pytest.approx(1, rel=1e-12)
    compiled = patched("_compiled_call_impl", lambda _: lambda x: x)
    assert network_lipschitz(copy.deepcopy(compiled), (2,)).upper == pytest.approx(1, rel=1e-12)


@pytest.mark.parametrize(
    ("kind", "method"),
    [(nn.Linear, "forward"), (nn.Sequential, "forward"), (nn.Sequential, "__iter__"), (nn.Module, "__call__")],
)
def test_methods_of_torch_that_were_replaced_in_its_classes_are_refused(kind, method, monkeypatch):
    """As libraries do that patch torch while they are imported; `wraps` does not hide it."""
    before, network = getattr(kind, method), nn.Sequential(identity())

    @functools.wraps(before)
    def changed(self, *inputs):
        return iter([*before(self), *before(self)]) if method == "__iter__" else 2 * before(self, *inputs)

    if method == "__iter__":
        nn.init.constant_(network[0].weight, 2.0)  # twice through a layer that stretches
    alone = network_lipschitz(network, (2,)).upper
    monkeypatch.setattr(kind, method, changed)
    ones = torch.ones(1, 2)
    assert network(ones).norm() > alone * ones.norm() * 1.5
    with pytest.raises(
        InputError, match=rf"{kind.__name__}\.{method} of torch was replaced by one of .*test_guards.*undo that"
    ):
        network_lipschitz(network, (2,))


@pytest.mark.parametrize("padding", [1, (2, 1), "same", "valid"])
@pytest.mark.parametrize("mode", ["circular", "reflect", "replicate"])
def test_a_convolution_that_pads_as_it_was_made_to_and_not_as_it_says_is_refused(padding, mode):
    layer = nn.Conv2d(1, 1, (3, 4), padding=padding, padding_mode=mode)
    inputs = torch.zeros(1, 1, 8, 9)
    shape = tuple(layer(inputs).shape[1:])
    assert network_lipschitz(layer, (1, 8, 9)).output_shape == shape
    layer.padding = (0, 3)
    assert tuple(layer(inputs).shape[1:]) == shape
    with pytest.raises(InputError, match=r"was changed after it was made.*make the layer again"):
        network_lipschitz(layer, (1, 8, 9))


def test_a_padding_mode_that_was_set_afterwards_is_that_of_the_layer():
    """As people make images that repeat: torch notes the padding whatever the mode is."""
    layer = nn.Conv2d(1, 1, 3, padding=1)
    layer.padding_mode = "circular"
    nn.init.constant_(layer.weight, 1.0)
    ones = torch.ones(1, 1, 5, 5)
    assert ((layer(ones) - layer(torch.zeros_like(ones))).norm() / ones.norm()).item() == pytest.approx(9.0)
    assert network_lipschitz(layer, (1, 5, 5)).upper == pytest.approx(9.0, rel=1e-9)
