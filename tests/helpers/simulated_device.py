"""A second device with real numbers in the CPU's memory: what a GPU would refuse raises, what would make the host wait counts.

`device()` registers it, once in a process, as torch's Python backend "sim". Its tensors wrap tensors of the CPU; every
operation on them comes to `_run`, which works on what they wrap. Like CUDA it refuses operands on two devices, but for index
tensors and single numbers where CUDA takes them. Unlike CUDA it computes exactly what the CPU does.

    with counted() as events:
        loss(x, y).backward()
    assert events["to host"] == 1
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import torch
from torch.utils import backend_registration
from torch.utils._pytree import tree_map

NAME = "sim"
AVAILABLE = hasattr(backend_registration, "_setup_privateuseone_for_python_backend")  # not in torch before 2.10
# What CUDA cannot return before the host knows a number that the device computed: a value, or the length of the result.
_WAITS = {
    *("_local_scalar_dense", "equal", "nonzero", "masked_select", "repeat_interleave", "bincount"),
    *("_unique", "_unique2", "unique_dim", "unique_consecutive"),
    *("_linalg_svd", "_linalg_eigh", "_linalg_eigvals"),  # the solver reports its convergence to the host
}
# Here a tensor of the CPU with one number stands for a number, beside pointwise operations.
_TAKE_NUMBERS = {"fill_", "masked_fill", "masked_fill_", "index_put", "index_put_", "_index_put_impl_"}
_TAKE_INDICES = {"index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index"}
_COPIES = {"copy_", "_to_copy", "_copy_from"}

_events: Counter[str] = Counter()
_double = [True]


class SimulatedTensor(torch.Tensor):
    """A tensor on the device; `inner` has its numbers."""

    inner: torch.Tensor

    @staticmethod
    def __new__(cls, inner: torch.Tensor) -> "SimulatedTensor":
        if inner.dtype == torch.float64 and not _double[0]:
            raise TypeError("Cannot convert a simulated tensor to float64: this device does not support float64")
        form = {"strides": inner.stride(), "storage_offset": inner.storage_offset(), "dtype": inner.dtype}
        with torch.inference_mode(False):  # a view of one of that mode would not be known as a view
            made = torch.Tensor._make_wrapper_subclass(cls, inner.size(), **form, device=torch.device(NAME, 0))
        made.inner = inner.detach()
        return made

    def __repr__(self) -> str:  # torch's own computes with the tensor
        return f"SimulatedTensor({self.inner})"

    def tolist(self):
        """Torch refuses it for tensors like this one; on a GPU it is a copy."""
        return self.cpu().tolist()

    @classmethod
    def __torch_dispatch__(cls, operation, types, arguments=(), named=None):
        return _run(operation, arguments, named or {})


@contextmanager
def counted() -> Iterator[Counter[str]]:
    """Events of the block: "to host" and "to device" are copies, "waits" are other times at which the host waits."""
    _events.clear()
    found: Counter[str] = Counter()
    try:
        yield found
    finally:
        found.update(_events)


@contextmanager
def without_double() -> Iterator[None]:
    """Within the block the device has no float64, like Apple's."""
    _double[0] = False
    try:
        yield
    finally:
        _double[0] = True


@cache
def device() -> torch.device:
    """The device, registered."""
    module = backend_registration._DummyBackendModule()
    module.get_amp_supported_dtype = lambda: [torch.bfloat16]
    backend_registration._setup_privateuseone_for_python_backend(NAME, module)
    torch.Generator = _Generator  # torch cannot be told of a backend's generators from Python
    for name, make in {
        "empty.memory_format": torch.empty,
        "empty_strided": torch.empty_strided,
        "arange": torch.arange,
        "arange.start": torch.arange,
        "arange.start_step": torch.arange,
        "linspace": torch.linspace,
        "eye": torch.eye,
        "eye.m": torch.eye,
        "randperm.generator": torch.randperm,
    }.items():
        _library.impl(name, _maker(make), "PrivateUse1")
    _library.impl("_copy_from", _copy_from, "PrivateUse1")
    return torch.device(NAME, 0)


_library = torch.library.Library("aten", "IMPL")  # what it registers lasts as long as it does


class _Generator(torch.Generator):
    def __new__(cls, device="cpu"):
        return super().__new__(cls, "cpu" if torch.device(device).type == NAME else device)


def _maker(make):
    """A factory of tensors on the device: the CPU's."""

    def made(*arguments, layout=None, device=None, pin_memory=None, memory_format=None, **named):
        return SimulatedTensor(make(*arguments, **named))

    return made


def _copy_from(source, target, non_blocking=False):
    # The way by which torch.tensor(…, device=…) and .to(…) of a plain tensor arrive.
    return _run(torch.ops.aten.copy_.default, (target, source), {"non_blocking": non_blocking})


def _run(operation, arguments, named):
    if torch._C._dispatch_has_kernel_for_dispatch_key(operation.name(), "CompositeImplicitAutograd"):
        return operation.decompose(*arguments, **named)
    name = operation._schema.name.removeprefix("aten::")
    if name == "_has_compatible_shallow_copy_type":
        return isinstance(arguments[0], SimulatedTensor) == isinstance(arguments[1], SimulatedTensor)
    tensors = [each for each in _flat((arguments, named)) if isinstance(each, torch.Tensor)]
    _check(operation, name, tensors)
    goes = named.get("device")
    there = any(isinstance(each, SimulatedTensor) for each in tensors) if goes is None else goes.type == NAME
    if name in _COPIES:
        _count_copy(tensors, there if name == "_to_copy" else isinstance(arguments[0], SimulatedTensor))
    elif name in _WAITS or (name in _TAKE_INDICES and any(each.dtype in (torch.bool, torch.uint8) for each in tensors[1:])):
        _events["waits"] += 1
    known = {id(each.inner): each for each in tensors if isinstance(each, SimulatedTensor)}
    plain = {key: value for key, value in named.items() if key not in ("device", "pin_memory")}
    if goes is not None:
        plain["device"] = torch.device("cpu")
    with torch.inference_mode(False):  # what is inside is never a tensor of that mode
        result = operation(*tree_map(_inner, arguments), **tree_map(_inner, plain))
    if torch.Tag.inplace_view in operation.tags:  # squeeze_ and the like: the wrapper changes its shape as well
        with torch._C._DisableTorchDispatch():
            operation(*arguments, **named)
    _check_shapes(operation, tensors)

    def outer(each):
        if not isinstance(each, torch.Tensor) or not there:
            return each
        return known[id(each)] if id(each) in known else SimulatedTensor(each)

    return tree_map(outer, result)


def _flat(value):
    if isinstance(value, dict):
        value = tuple(value.values())
    return [leaf for each in value for leaf in _flat(each)] if isinstance(value, list | tuple) else [value]


def _inner(each):
    return each.inner if isinstance(each, SimulatedTensor) else each


def _check(operation, name, tensors):
    """Refuse what CUDA refuses."""
    here = [each for each in tensors if not isinstance(each, SimulatedTensor)]
    if name in _COPIES or len(here) in (0, len(tensors)):
        return
    if name in _TAKE_INDICES:
        indices = [each for each in here if each is not tensors[0] and each.dtype in (torch.int64, torch.bool, torch.uint8)]
        _events["to device"] += len(indices)
        here = [each for each in here if not any(each is index for index in indices)]
    numbers = name in _TAKE_NUMBERS or torch.Tag.pointwise in operation.tags
    refused = [each for each in here if each.ndim or not numbers or (each is tensors[0] and name.endswith("_"))]
    if refused:
        raise RuntimeError(
            f"Expected all tensors to be on the same device: {name} got one of shape {tuple(refused[0].shape)} on the CPU, "
            f"beside others on {NAME}"
        )


def _check_shapes(operation, tensors):
    """An operation that changes a shape in place, unseen by the wrapper, would leave a lie."""
    for each in tensors:
        if isinstance(each, SimulatedTensor) and each.shape != each.inner.shape:
            raise NotImplementedError(f"{operation} changes a shape in place, which the simulated device does not know")


def _count_copy(tensors, there):
    away = any(isinstance(each, SimulatedTensor) for each in tensors)
    if there and any(not isinstance(each, SimulatedTensor) for each in tensors):
        _events["to device"] += 1
    elif away and not there:
        _events["to host"] += 1
