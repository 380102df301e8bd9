"""Batches of a loader as arguments of two networks."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn
from torch.utils.data import Dataset, IterableDataset

from kd2m_theory.errors import InputError

# Where mappings have their labels, as Hugging Face's collators and datasets name them.
LABELS = ("labels", "label")
# Other names that labels have, in lower case and without underscores: looked for only to say that they were not taken.
_LIKE_LABELS = {"labels", "label", "targets", "target", "y", "ys", "gt", "classes", "class", "labelids", "labelid"}
_HELP = "pass unpack=… to turn it into (inputs, labels) or (teacher inputs, student inputs, labels)"


class Batch(NamedTuple):
    """What each network is called with, the labels or None, and where a mapping had them, as Python."""

    teacher: Any
    student: Any
    labels: Any
    place: str = "None"


def check_loader(loader: Any) -> None:
    """Refuse what is not an iterable of batches.

    Raises:
        InputError: a data set, whose entries are single samples; an array, whose rows are; inputs and labels without a list
            around them; a mapping; anything that cannot be iterated over.
    """
    if isinstance(loader, Dataset) and not isinstance(loader, IterableDataset):
        raise InputError(
            f"the loader is a data set ({type(loader).__name__}), which gives single samples; wrap it: DataLoader(data, "
            "batch_size=64), or batch_size=None if its entries are batches"
        )
    if isinstance(loader, torch.Tensor | np.ndarray):
        kind = "a tensor" if isinstance(loader, torch.Tensor) else "an array"
        raise InputError(f"the loader is {kind}; wrap the inputs: [(X, Y)] with labels Y, or [X], is a loader of one batch")
    if isinstance(loader, list | tuple) and len(loader) == 2 and _inputs_and_labels(*loader):
        raise InputError("the loader is inputs and labels, not a list of batches; wrap them: [(X, Y)] is a loader of one batch")
    if isinstance(loader, Mapping):
        raise InputError("the loader is a mapping, not a list of batches; wrap it: [batch] is a loader of one batch")
    if not hasattr(loader, "__iter__") and not hasattr(loader, "__getitem__"):
        raise InputError(f"the loader is of type {type(loader).__name__}; pass a DataLoader, or any iterable of batches")


def _inputs_and_labels(first: Any, second: Any) -> bool:
    """Whether two arrays of equal length are X and Y, of other axes or numbers, and not two batches of one loader."""
    if not all(isinstance(each, torch.Tensor | np.ndarray) and each.ndim for each in (first, second)):
        return False
    return len(first) == len(second) and (first.ndim != second.ndim or first.dtype != second.dtype)


def taken_apart(batch: Any, unpack: Callable[[Any], Any] | None, teacher: nn.Module, student: nn.Module) -> Batch:
    """One batch of the loader as inputs and labels.

    Args:
        batch: a tensor, (inputs, labels) or a mapping; anything that `unpack` takes.
        unpack: the user's function, which returns (inputs, labels) or (teacher inputs, student inputs, labels).
        teacher: a label that its `forward` cannot do without stays among its inputs.
        student: likewise.

    Raises:
        InputError: a batch of another form, or `unpack` returned something else.
    """
    if unpack is not None:
        try:
            parts = unpack(batch)
        except Exception as error:
            error.add_note(f"raised by unpack, called with a batch of the loader: {described(batch)}")
            raise
        if not isinstance(parts, tuple | list) or len(parts) not in (2, 3):
            raise InputError(
                f"unpack returned {described(parts)}; it returns (inputs, labels) or (teacher inputs, student inputs, labels), "
                "with None for labels that are unknown"
            )
        return Batch(parts[0], parts[-2], parts[-1])
    if isinstance(batch, torch.Tensor):
        return Batch(batch, batch, None)
    if isinstance(batch, Mapping):
        name = next((name for name in LABELS if name in batch), None)
        kept = [
            {key: value for key, value in batch.items() if key != name or _required(signature(model), key)}
            for model in (teacher, student)
        ]
        return Batch(kept[0], kept[1], None) if name is None else Batch(kept[0], kept[1], batch[name], f"batch[{name!r}]")
    if isinstance(batch, list | tuple) and len(batch) in (1, 2):
        return Batch(batch[0], batch[0], batch[1] if len(batch) == 2 else None)
    raise InputError(f"a batch of the loader is {described(batch)}; {_HELP}")


def untaken_labels(batch: Any) -> str:
    """What to say of a mapping that has no labels where they are looked for, but perhaps elsewhere; empty if it has not."""
    if not isinstance(batch, Mapping) or any(name in batch for name in LABELS):
        return ""
    like = next((key for key in batch if str(key).lower().replace("_", "") in _LIKE_LABELS), None)
    if like is None:
        return ""
    return (
        f"no labels found: a batch has {', '.join(map(repr, batch))}, and labels are looked for under 'labels' and 'label'. If "
        f"{like!r} has them, pass unpack=lambda batch: ({{key: value for key, value in batch.items() if key != {like!r}}}, "
        f"batch[{like!r}])"
    )


def unnamed(model: nn.Module, keywords: Mapping[str, Any]) -> list[str]:
    """Keywords that `forward` takes without naming them, although it names others: it may ignore them.

    Example:
        >>> class Words(nn.Module):
        ...     def forward(self, input_ids, mask=None, **kwargs): ...
        >>> unnamed(Words(), {"input_ids": 0, "msk": 0})
        ['msk']
    """
    known = signature(model)
    named = {} if known is None else {name: each for name, each in known.parameters.items() if each.kind not in _VARIADIC}
    return [key for key in keywords if named and key not in named]


_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def signature(model: nn.Module) -> inspect.Signature | None:
    """Parameters of the network's `forward`; None where Python cannot tell."""
    try:
        return inspect.signature(model.forward)
    except (TypeError, ValueError):
        return None


def _required(known: inspect.Signature | None, name: str) -> bool:
    parameter = None if known is None else known.parameters.get(name)
    return parameter is not None and parameter.default is parameter.empty


def _fits(known: inspect.Signature | None, *arguments: Any, **keywords: Any) -> bool:
    try:
        _ = None if known is None else known.bind(*arguments, **keywords)
    except TypeError:
        return False
    return True


def arguments(model: nn.Module, role: str, inputs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Positional and keyword arguments of one call.

    A mapping is keywords, or one argument where `forward` has a single required parameter and none of the mapping's names. A
    tuple is positional arguments. A list is one argument, or positional ones where `forward` cannot be called with one.

    Raises:
        InputError: `forward` cannot take the mapping's names.
    """
    known = signature(model)
    if isinstance(inputs, Mapping):
        named = all(isinstance(key, str) for key in inputs)
        if named and _fits(known, **inputs):
            return (), dict(inputs)
        names = () if known is None else tuple(known.parameters)
        needed = [name for name in names if _required(known, name) and name not in ("args", "kwargs")]
        if len(needed) == 1 and not set(names) & set(inputs) and _fits(known, inputs):
            return (inputs,), {}
        raise InputError(
            f"the {role} ({type(model).__name__}) takes {', '.join(names) or 'no named inputs'}, and a batch has "
            f"{', '.join(map(repr, inputs))}; unpack=lambda batch: (teacher inputs, student inputs, labels) gives each network "
            "what it takes (labels are looked for under 'labels' and 'label')"
        )
    spread = tuple(inputs) if isinstance(inputs, tuple | list) else ()
    if isinstance(inputs, tuple) and _fits(known, *spread):
        return spread, {}
    if isinstance(inputs, list) and not _fits(known, inputs):
        return spread, {}
    return (inputs,), {}


def moved(inputs: Any, place: torch.device) -> Any:
    """A copy of every tensor and array of a batch, on the device; other things as they are. Mappings become dictionaries.

    A copy, because a network may change its inputs in place, and what it is given next, or another network, reads them again.

    Raises:
        InputError: the device lacks the tensor's number format, as Apple's lack float64.
    """
    if isinstance(inputs, Mapping):  # not its own .to, with which Hugging Face's batches change in place
        return {key: moved(value, place) for key, value in inputs.items()}
    if isinstance(inputs, list | tuple):
        parts = [moved(value, place) for value in inputs]
        return type(inputs)(*parts) if hasattr(inputs, "_fields") else type(inputs)(parts)
    if isinstance(inputs, np.ndarray):
        return inputs.copy()
    try:
        if isinstance(inputs, torch.Tensor):
            return inputs.to(place, copy=True)
        return inputs.to(place) if hasattr(inputs, "to") else inputs
    except (TypeError, NotImplementedError) as error:
        kind = str(getattr(inputs, "dtype", type(inputs).__name__)).removeprefix("torch.")
        raise InputError(
            f"inputs of {kind} cannot be moved to {str(place)!r}: {error}; have the loader give float32, or choose device 'cpu'"
        ) from None


def first_half(inputs: Any, rows: int) -> Any:
    """The first half of a batch: of every tensor and array whose first axis has as many rows; other things as they are."""
    if isinstance(inputs, Mapping):
        return {key: first_half(value, rows) for key, value in inputs.items()}
    if isinstance(inputs, list | tuple):
        parts = [first_half(value, rows) for value in inputs]
        return type(inputs)(*parts) if hasattr(inputs, "_fields") else type(inputs)(parts)
    whole = isinstance(inputs, torch.Tensor | np.ndarray) and inputs.ndim > 0 and len(inputs) == rows
    return inputs[: rows // 2] if whole else inputs


def label_batch(target: Any) -> torch.Tensor:
    """A copy of the labels of one batch, as a tensor on the CPU: a loader may use its memory again for the next batch.

    Raises:
        InputError: they are not numbers.
    """
    try:
        labels = torch.as_tensor(target).detach().cpu().clone()
    except (TypeError, ValueError, RuntimeError):
        entries = target.tolist() if isinstance(target, np.ndarray) else target
        if isinstance(entries, list | tuple) and any(isinstance(entry, str) for entry in entries):
            names = ", ".join(map(repr, sorted({str(entry) for entry in entries})[:3]))
            raise InputError(
                f"the labels of a batch are texts ({names}, …); number the classes in the order of the logits: names = […], "
                "unpack=lambda batch: (batch[0], torch.tensor([names.index(name) for name in batch[1]]))"
            ) from None
        raise InputError(f"the labels of a batch are {type(target).__name__}; pass integer classes as a tensor") from None
    return labels.reshape(1) if labels.ndim == 0 else labels


def described(value: Any) -> str:
    """What there is, in words: shapes of tensors, entries of mappings and sequences.

    Example:
        >>> described({"loss": None, "scores": torch.zeros(2, 3)})
        "a dict of 'loss': None, 'scores': 2×3 float32"
    """
    if isinstance(value, torch.Tensor):
        return f"{'×'.join(map(str, value.shape)) or 'one number of'} {str(value.dtype).removeprefix('torch.')}"
    if isinstance(value, np.ndarray):
        return f"{'×'.join(map(str, value.shape)) or 'one number of'} {value.dtype} (NumPy)"
    if isinstance(value, Mapping):
        return f"a {type(value).__name__} of {_entries((repr(key), entry) for key, entry in value.items())}"
    if isinstance(value, list | tuple):
        return f"a {type(value).__name__} of {_entries(enumerate(value))}"
    return "None" if value is None else f"a {type(value).__name__}"


_SHOWN = 8


def _entries(pairs: Any) -> str:
    shown = [f"{name}: {_brief(entry)}" for name, entry in pairs]
    more = f", … ({len(shown)} in all)" if len(shown) > _SHOWN else ""
    return (", ".join(shown[:_SHOWN]) + more) or "nothing"


def _brief(entry: Any) -> str:
    return described(entry) if entry is None or isinstance(entry, torch.Tensor | np.ndarray) else type(entry).__name__
