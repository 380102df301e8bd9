"""Features, logits and labels out of two torch networks."""

import warnings
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

from kd2m_theory.checks import did_you_mean
from kd2m_theory.errors import InputError
from kd2m_theory.terminal import watched


def choose_device(name: str) -> torch.device:
    """The torch device of that name; "auto" is CUDA where there is one, else the CPU.

    Raises:
        InputError: no such device on this machine.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        usable = device.type in ("cpu", "cuda", "mps", "xpu")
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, TypeError):
        usable = False
    if not usable:
        raise InputError(f"device {name!r} cannot be used here; this machine has {', '.join(_devices())}")
    return device


def _devices() -> list[str]:
    """Kinds of devices of this machine that `choose_device` takes."""
    kinds: dict[str, Callable[[], bool]] = {
        "cuda": torch.cuda.is_available,
        "mps": torch.backends.mps.is_available,
        "xpu": torch.xpu.is_available,
    }
    return ["'cpu'", *(f"'{kind}'" for kind, there in kinds.items() if there())]


class _Probe:
    """One network with a hook on its head: what entered the head in the last forward pass, and what left it."""

    def __init__(self, model: nn.Module, role: str, head: str | None) -> None:
        self.model, self.role, self.name = model, role, head
        self.linear = self._find(head) if head is not None else None
        self.calls: list[tuple[torch.Tensor, torch.Tensor]] = []

    def _find(self, head: str) -> nn.Linear | None:
        modules = dict(self.model.named_modules())
        if head not in modules:
            linear = [name for name, module in modules.items() if isinstance(module, nn.Linear)]
            advice = did_you_mean(head, modules).strip()
            if not advice:
                advice = f"did you mean {linear[-1]!r}?" if linear else "this model has no nn.Linear; pass None for logits only"
            raise InputError(f"the {self.role} ({type(self.model).__name__}) has no module {head!r}; {advice}")
        module = modules[head]
        if isinstance(module, nn.Linear):
            return module
        warnings.warn(
            f"the {self.role}'s head {head!r} is {type(module).__name__}, not nn.Linear: its features are not taken and "
            "the pair has logits only",
            stacklevel=5,
        )
        return None

    def hook(
        self, _module: nn.Module, inputs: tuple[torch.Tensor, ...], named: dict[str, torch.Tensor], output: torch.Tensor
    ) -> None:
        # Copies: the model may go on to change either in place.
        self.calls.append((inputs[0].clone() if inputs else named["input"].clone(), output.clone()))

    def run(self, inputs: Any) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Logits and features of one batch, on the CPU."""
        self.calls.clear()
        logits = self._logits(self.model(inputs)).cpu()  # before any float64, which not every device has
        if self.linear is None:
            return logits, None
        if len(self.calls) != 1:
            raise InputError(
                f"the {self.role}'s head {self.name!r} ran {len(self.calls)} times in one forward pass; "
                "a classifier runs once: name that layer"
            )
        features, made = self.calls[0][0], self.calls[0][1].cpu()
        if features.ndim != 2:
            raise InputError(
                f"what enters the {self.role}'s head {self.name!r} has shape {tuple(features.shape)}, not batch × features; "
                "pool or flatten before the head"
            )
        off = (made.double() - logits.double()).abs().max().item() if made.shape == logits.shape else float("inf")
        if off > 1e-3 * max(1.0, made.double().abs().max().item()):
            raise InputError(
                f"the {self.role}'s output is not what its head {self.name!r} makes (they differ by {off:.3g}); "
                "return the logits themselves, without softmax or scaling"
            )
        return logits, features.cpu()

    def _logits(self, output: Any) -> torch.Tensor:
        logits = output if isinstance(output, torch.Tensor) else getattr(output, "logits", None)
        if not isinstance(logits, torch.Tensor) or logits.ndim != 2:
            found = f"shape {tuple(logits.shape)}" if isinstance(logits, torch.Tensor) else type(output).__name__
            raise InputError(f"the {self.role} returns {found}; expected batch × classes logits")
        return logits


def _split(batch: Any) -> tuple[Any, Any]:
    if isinstance(batch, torch.Tensor):
        return batch, None
    if isinstance(batch, list | tuple) and len(batch) in (1, 2):
        return (batch[0], batch[1]) if len(batch) == 2 else (batch[0], None)
    raise InputError(f"a batch of the loader is a {type(batch).__name__}; pass unpack=… to turn it into (inputs, labels)")


def _move(model: nn.Module, role: str, place: torch.device) -> None:
    """The model on the device.

    Raises:
        InputError: it has weights in a number format that the device lacks, or none at all (the device "meta").
    """
    try:
        model.to(place)
    except (TypeError, NotImplementedError) as error:  # PyTorch's errors for either
        raise InputError(f"the {role} ({type(model).__name__}) cannot be moved to {str(place)!r}: {error}") from None


def _to(inputs: Any, place: torch.device) -> Any:
    """Every tensor of a batch on the device; other things as they are.

    Raises:
        InputError: the device lacks the tensor's number format, as Apple's lack float64.
    """
    if isinstance(inputs, dict):
        return {key: _to(value, place) for key, value in inputs.items()}
    if isinstance(inputs, list | tuple):
        return type(inputs)(_to(value, place) for value in inputs)
    try:
        return inputs.to(place) if hasattr(inputs, "to") else inputs
    except (TypeError, NotImplementedError) as error:
        kind = str(getattr(inputs, "dtype", type(inputs).__name__)).removeprefix("torch.")
        raise InputError(
            f"inputs of {kind} cannot be moved to {str(place)!r}: {error}; have the loader give float32, or choose device 'cpu'"
        ) from None


def _label_batch(target: Any) -> torch.Tensor:
    try:
        labels = torch.as_tensor(target).cpu()
    except (TypeError, ValueError, RuntimeError):
        raise InputError(f"the labels of a batch are {type(target).__name__}; pass integer classes as a tensor") from None
    return labels.reshape(1) if labels.ndim == 0 else labels


def extract(
    teacher: nn.Module,
    student: nn.Module,
    loader: Iterable[Any],
    teacher_head: str | None,
    student_head: str | None,
    device: str,
    unpack: Callable[[Any], tuple[Any, Any]] | None,
    progress: bool,
) -> dict[str, Any]:
    """The arguments of `Pair` that two networks make of a loader's batches; see `Pair.from_models`."""
    place = choose_device(device)
    probes = _Probe(teacher, "teacher", teacher_head), _Probe(student, "student", student_head)
    linear = all(probe.linear is not None for probe in probes)
    logits: tuple[list[torch.Tensor], ...] = ([], [])
    features: tuple[list[torch.Tensor], ...] = ([], [])
    labels: list[torch.Tensor] = []
    unlabelled = False

    modes = [(module, module.training) for probe in probes for module in probe.model.modules()]
    homes = [{parameter.device for parameter in probe.model.parameters()} for probe in probes]
    handles = [probe.linear.register_forward_hook(probe.hook, with_kwargs=True) for probe in probes if probe.linear is not None]
    try:
        for probe, home, role in zip(probes, homes, ("teacher", "student"), strict=True):
            probe.model.eval()
            if len(home) == 1:  # a model spread over devices stays as its owner spread it
                _move(probe.model, role, place)
        with torch.no_grad():  # inference tensors that a model keeps could not be trained on afterwards
            for batch in watched(loader, "extracting features") if progress else loader:
                inputs, target = (unpack or _split)(batch)
                inputs = _to(inputs, place)
                for k, probe in enumerate(probes):
                    made, entered = probe.run(inputs)
                    logits[k].append(made)
                    if linear and entered is not None:
                        features[k].append(entered)
                unlabelled = unlabelled or target is None
                if target is not None:
                    labels.append(_label_batch(target))
            # Here, where the models do not train: reading a parametrized weight (spectral norm) in training mode changes it.
            head = _head(probes[0].linear) if linear else (None, None)
    finally:
        for handle in handles:
            handle.remove()
        for probe, home in zip(probes, homes, strict=True):
            if len(home) == 1:
                probe.model.to(next(iter(home)))
        for module, training in modes:
            module.training = training
    if not logits[0]:
        raise InputError("the loader gave no batch; a pair needs at least two samples")
    if unlabelled and labels:
        raise InputError("some batches have labels and some have none; label all of them or none")

    return {
        "features_teacher": torch.cat(features[0]) if linear else None,
        "features_student": torch.cat(features[1]) if linear else None,
        "labels": torch.cat(labels) if labels else None,
        "logits_teacher": torch.cat(logits[0]),
        "logits_student": torch.cat(logits[1]),
        "head_weight": head[0],
        "head_bias": head[1],
        "provenance": {
            "teacher": f"{type(teacher).__name__}, head {teacher_head}",
            "student": f"{type(student).__name__}, head {student_head}",
            "device": str(place),
            "torch": torch.__version__,
        },
    }


def _head(linear: nn.Linear | None) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    """Copies of weight and bias, on the CPU."""
    parts = (None, None) if linear is None else (linear.weight, linear.bias)
    weight, bias = (None if part is None else part.detach().cpu().clone() for part in parts)
    return weight, bias
