"""Networks that are run are left as they were found."""

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

_CONTAINERS = (dict, list, set, OrderedDict)


@contextmanager
def as_found(*models: nn.Module) -> Iterator[None]:
    """Afterwards modes, devices of parameters, hooks, buffers and attributes of all modules are what they were before.

    Attributes include what `forward` keeps: a table made for this device and batch is gone again. Lazy layers that a forward
    pass has given shapes keep them, and values of parameters are not copied: nothing here changes them.
    """
    modules = {id(module): module for model in models for module in model.modules()}
    homes = [_devices(model) for model in models]
    states = [_State(module) for module in modules.values()]
    try:
        yield
    finally:
        for model, home in zip(models, homes, strict=True):
            if len(home) == 1:
                move(model, next(iter(home)))
        for state in states:
            state.restore()


def move(model: nn.Module, place: torch.device) -> None:
    """The model on the device, unless it is there or its owner has spread it over several."""
    here = _devices(model)
    there = all(device.type == place.type and place.index in (None, device.index) for device in here)
    if len(here) == 1 and not there:
        model.to(place)


def _devices(model: nn.Module) -> set[torch.device]:
    parameters = {parameter.device for parameter in model.parameters()}
    return parameters or {buffer.device for buffer in model.buffers()}


class _State:
    """Attributes of one module, the contents of its containers, and the values of its buffers and other tensors."""

    def __init__(self, module: nn.Module) -> None:
        self.module, self.kind, self.training = module, type(module), module.training
        # TorchScript keeps its state elsewhere, and what its forward does cannot set attributes of Python.
        self.attributes = {} if isinstance(module, torch.jit.ScriptModule) else dict(vars(module))
        self.contents = {name: copy(value) for name, value in self.attributes.items() if type(value) in _CONTAINERS}
        kept = [*self.attributes.values(), *self.attributes.get("_buffers", {}).values()]
        self.values = [(value, value.detach().clone()) for value in kept if _plain_tensor(value)]

    def restore(self) -> None:
        if type(self.module) is not self.kind:  # a lazy layer that now has its shape
            self.module.training = self.training
            return
        if not self.attributes:
            self.module.training = self.training
            return
        current = vars(self.module)
        for name in set(current) - set(self.attributes):
            del current[name]
        for name, value in self.attributes.items():
            current[name] = value
        for name, content in self.contents.items():
            _refill(self.attributes[name], content)
        with torch.no_grad():
            for value, before in self.values:
                if not torch.equal(value, before):
                    value.copy_(before)


def _plain_tensor(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and not is_lazy(value) and not value.is_meta and value.layout == torch.strided


def _refill(container: Any, content: Any) -> None:
    def parts(of: Any) -> list[Any]:
        return [part for item in of.items() for part in item] if isinstance(of, dict) else list(of)

    now, before = parts(container), parts(content)
    if len(now) == len(before) and all(a is b for a, b in zip(now, before, strict=True)):
        return
    container.clear()
    if isinstance(container, list):
        container.extend(content)
    else:
        container.update(content)


@contextmanager
def random_state_kept(place: torch.device) -> Iterator[None]:
    """Afterwards torch's generators are where they were: a `DataLoader` draws from them, and so may `forward`."""
    if place.type == "cuda":
        torch.cuda.init()
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices=devices):
        yield
