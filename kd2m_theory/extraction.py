"""Features, logits and labels out of two torch networks."""

import warnings
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

from kd2m_theory.errors import InputError
from kd2m_theory.model_heads import ON_REQUEST, SQUASHED, Place, Probe, Where, advice, quantised
from kd2m_theory.model_inputs import (
    Batch,
    check_loader,
    first_half,
    label_batch,
    moved,
    taken_apart,
    untaken_labels,
)
from kd2m_theory.model_state import as_found, move, random_state_kept
from kd2m_theory.predictions import are_probabilities, column_kind
from kd2m_theory.terminal import complain, watched

_ROLES = ("teacher", "student")


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


def _place(device: str, probes: tuple[Probe, Probe]) -> torch.device:
    """Where both networks run; 8-bit layers run on the CPU alone."""
    whole = next((probe for probe in probes if quantised(probe.model)), None)
    place = torch.device("cpu") if whole is not None and device == "auto" else choose_device(device)
    if whole is not None and place.type != "cpu":
        raise InputError(f"{whole.title} has quantised layers, which PyTorch runs on the CPU alone; choose device 'cpu'")
    return place


def _move(probe: Probe, place: torch.device) -> None:
    """The network on the device, unless its owner has spread it over several.

    Raises:
        InputError: it has weights in a number format that the device lacks, or none at all (the device "meta").
    """
    try:
        move(probe.model, place)
    except (TypeError, NotImplementedError, ValueError) as error:  # PyTorch's errors, and that of 4-bit networks
        raise InputError(f"{probe.title} cannot be moved to {str(place)!r}: {error}") from None


class _Rows:
    """What the batches have given so far.

    Attributes:
        logits: of the teacher and of the student, by batch.
        features: likewise.
        labels: by batch.
        unlabelled: whether a batch had none.
        untaken: what to say of labels under a name where they are not looked for; empty if there are none.
        unsteady: the networks that put out other logits when the first batch is given to them again.
        together: those that put out other logits for its first half when that is given to them without the second.
    """

    def __init__(self, place: torch.device) -> None:
        self.place = place
        self.logits: tuple[list[torch.Tensor], list[torch.Tensor]] = ([], [])
        self.features: tuple[list[torch.Tensor], list[torch.Tensor]] = ([], [])
        self.labels: list[torch.Tensor] = []
        self.unlabelled = False
        self.untaken = ""
        self.unsteady: list[str] = []
        self.together: list[str] = []

    def add(self, number: int, probes: tuple[Probe, Probe], batch: Batch) -> None:
        """Run both networks on a batch; on the first one again, and on half of it, to see whether outputs are a function of it.

        Raises:
            InputError: the numbers of rows disagree, or one of the networks refuses.
        """
        made = [probe.run(moved(inputs, self.place), batch.place) for probe, inputs in zip(probes, batch[:2], strict=True)]
        labels = None if batch.labels is None else label_batch(batch.labels)
        sizes = {f"{role} logits": len(logits) for role, (logits, _) in zip(_ROLES, made, strict=True)}
        if labels is not None:
            sizes["labels"] = len(labels)
        if len(set(sizes.values())) > 1:
            listed = ", ".join(f"{size} {name}" for name, size in sizes.items())
            raise InputError(f"batch {number} has {listed}; each needs one row per input, in the same order")
        flat = next((probe for probe in probes if probe.flat), None)
        if labels is None and flat is not None:  # labels tell one logit per input from one input without its batch axis
            raise InputError(
                f"{flat.title} returns logits of one axis, {sizes[f'{flat.role} logits']} numbers; expected batch × classes. "
                "If each is the one logit of an input, pass logits=lambda output: output[:, None]"
            )
        if not len(made[0][0]):
            return
        self.unlabelled = self.unlabelled or labels is None
        if labels is not None:
            self.labels.append(labels)
        if not self.logits[0]:
            for probe, inputs, (logits, _) in zip(probes, batch[:2], made, strict=True):
                if not _near(logits, probe.run(moved(inputs, self.place))[0], _STEADY):
                    self.unsteady.append(probe.title)
                elif not self._alone(probe, inputs, logits):
                    self.together.append(probe.title)
        for k, (logits, features) in enumerate(made):
            self.logits[k].append(logits)
            if features is not None:
                self.features[k].append(features)

    def _alone(self, probe: Probe, inputs: Any, logits: torch.Tensor) -> bool:
        """Whether the first half of a batch has the same logits without the second, as far as the network can take it."""
        try:
            half = probe.run(moved(first_half(inputs, len(logits)), self.place))[0]
        except Exception:  # of the user's network: one that was made for batches of one size cannot be asked
            return True
        return half.shape[0] != len(logits) // 2 or half.shape[0] == 0 or _near(logits[: len(half)], half, _ALONE)

    def check(self) -> None:
        if not self.logits[0]:
            raise InputError("the loader gave no batch; a pair needs at least two samples")
        if self.unlabelled and self.labels:
            raise InputError("some batches have labels and some have none; label all of them or none")


# Logits of two runs differ by rounding, relative to the largest; of batches of two sizes by that of half precision and of
# layers that round by the range of the batch, too.
_STEADY, _ALONE = 1e-3, 0.05


def _near(logits: torch.Tensor, again: torch.Tensor, tolerance: float) -> bool:
    scale = logits.nan_to_num(0.0, 0.0, 0.0).abs().max().item()
    return torch.allclose(logits, again, rtol=0.0, atol=tolerance * scale, equal_nan=True)


def extract(
    teacher: nn.Module,
    student: nn.Module,
    loader: Iterable[Any],
    *,
    heads: tuple[str | None, str | None],
    features: tuple[Place | None, Place | None],
    logits: Where | tuple[Where | None, Where | None] | None,
    device: str,
    unpack: Callable[[Any], Any] | None,
    progress: bool,
) -> dict[str, Any]:
    """The arguments of `Pair` that two networks make of a loader's batches; see `Pair.from_models`."""
    where = logits if isinstance(logits, tuple) else (logits, logits)
    if len(where) != 2:
        raise InputError(f"logits is a tuple of {len(where)}; give one place for both networks, or (teacher's, student's)")
    if unpack is not None and not callable(unpack):
        raise InputError(f"unpack is {unpack!r}; pass a function of a batch that returns (inputs, labels), or None")
    check_loader(loader)
    probes = (
        Probe(teacher, "teacher", heads[0], features[0], where[0]),
        Probe(student, "student", heads[1], features[1], where[1]),
    )
    place = _place(device, probes)
    rows = _Rows(place)
    with random_state_kept(place), as_found(*(probe.model for probe in probes)):
        for probe in probes:
            probe.model.eval()
            probe.take_wrappers_off()
            _move(probe, place)
        try:
            for probe in probes:
                probe.attach()
            with torch.no_grad():  # inference tensors that a model keeps could not be trained on afterwards
                for number, batch in enumerate(watched(loader, "extracting features") if progress else loader):
                    rows.untaken = rows.untaken or ("" if unpack is not None else untaken_labels(batch))
                    rows.add(number, probes, taken_apart(batch, unpack, probes[0].model, probes[1].model))
                # Here, where the models do not train.
                weight, bias = probes[0].head()
        finally:
            for probe in probes:
                probe.detach()
    rows.check()
    made = [torch.cat(parts) for parts in rows.logits]
    _refuse_probabilities(probes, made)
    whole = all(rows.features)
    _tell(probes, rows, whole, progress)
    if max(part.shape[1] for part in made) <= 2:  # the one logit of a binary classifier: the other class has logit 0
        if made[0].shape[1] == 1:
            weight, bias = (None if part is None else torch.cat([torch.zeros_like(part), part]) for part in (weight, bias))
        made = [torch.cat([torch.zeros_like(part), part], dim=1) if part.shape[1] == 1 else part for part in made]
    provenance = {role: probe.words() for role, probe in zip(_ROLES, probes, strict=True)}
    coarse = {role: kind for role, probe in zip(_ROLES, probes, strict=True) if (kind := probe.coarse)}
    return {
        "features_teacher": torch.cat(rows.features[0]) if whole else None,
        "features_student": torch.cat(rows.features[1]) if whole else None,
        "labels": torch.cat(rows.labels) if rows.labels else None,
        "logits_teacher": made[0],
        "logits_student": made[1],
        "head_weight": weight if whole else None,
        "head_bias": bias if whole else None,
        "provenance": {
            **provenance,
            **({"shared_head": shared} if whole and weight is None and (shared := _shared(*probes)) else {}),
            **({"precision": ", ".join(f"{role} {kind}" for role, kind in coarse.items())} if coarse else {}),
            "device": str(place),
            "torch": torch.__version__,
        },
    }


def _refuse_probabilities(probes: tuple[Probe, Probe], made: list[torch.Tensor]) -> None:
    """Refuse what a softmax, a sigmoid or an argmax may have made of the logits; outputs of a linear head are logits.

    Raises:
        InputError: an output that no linear head is known to make is one column of whole numbers, or has all values in [0, 1].
    """
    kinds = ["" if probe.map is not None else _kind(logits) for probe, logits in zip(probes, made, strict=True)]
    for probe, kind in zip(probes, kinds, strict=True):
        if kind == "classes":
            raise InputError(
                f"{probe.title} puts out one column of whole numbers, as predicted classes are; return the logits that they "
                "are made of"
            )
        if kind:
            raise InputError(
                f"{probe.title} puts out {SQUASHED[kind]}; {advice(kind, None if kinds[0] == kinds[1] else probe.role)}"
            )


def _kind(logits: torch.Tensor) -> str:
    """What made the output of a network, if it does not look like logits."""
    values = logits.double().numpy()
    if values.shape[1] == 1:
        kind = column_kind(values[:, 0])
        return {"probabilities": "sigmoid", "logits": ""}.get(kind, kind)
    if are_probabilities(values):
        return "softmax"
    return "sigmoids" if values.size and values.min() >= 0 and values.max() <= 1 else ""


def _shared(teacher: Probe, student: Probe) -> str:
    """Whether both networks use one nonlinear head, in words; empty if the teacher's is linear or unknown."""
    head, other = teacher.nonlinear, student.nonlinear
    if head is None:
        return ""
    if other is None or not _same_layers(head, other):
        return "none: the teacher's head is not linear, and the student has another"
    return f"{type(head).__name__}, not linear, with the same layers and weights in both networks"


def _same_layers(head: nn.Module, other: nn.Module) -> bool:
    """Whether two modules are one, or have equal layers and values."""
    here, there = head.state_dict(), other.state_dict()
    return head is other or (
        repr(head) == repr(other)
        and here.keys() == there.keys()
        and all(_same_values(value, there[key]) for key, value in here.items())
    )


def _same_values(value: Any, other: Any) -> bool:
    tensors = isinstance(value, torch.Tensor) and isinstance(other, torch.Tensor)
    return tensors and value.dtype == other.dtype and torch.equal(value.cpu(), other.cpu())


def _tell(probes: tuple[Probe, Probe], rows: _Rows, whole: bool, progress: bool) -> None:
    """Say once what was chosen for the user, and warn of what is missing."""
    if rows.untaken:
        warnings.warn(rows.untaken, stacklevel=4)
    for title in rows.unsteady:
        warnings.warn(
            f"{title} puts out other logits when the first batch is given to it again, in evaluation mode: the pair is of one "
            "random draw, or of one state. F.dropout without training=self.training stays on, and so do layers that draw noise",
            stacklevel=4,
        )
    for title in rows.together:
        warnings.warn(
            f"{title} puts out other logits for an input when other inputs of its batch are left out: the pair depends on how "
            "the loader made batches. Statistics of the batch do that, as of a BatchNorm with track_running_stats=False",
            stacklevel=4,
        )
    for probe in probes:
        if probe.loose:
            listed = ", ".join(map(repr, probe.loose))
            warnings.warn(
                f"{probe.title} takes {listed} by **kwargs alone, and may ignore what it does not name; "
                "unpack=lambda batch: (teacher inputs, student inputs, labels) gives each network what it takes",
                stacklevel=4,
            )
        if probe.why and probe.why != ON_REQUEST:
            warnings.warn(
                f"{probe.title} has no head: {probe.why}. The pair has logits only; name the layer ({probe.role}_head=…) or "
                f"what its features are ({probe.role}_features=…)",
                stacklevel=4,
            )
    if not progress:
        return
    for probe in probes:
        if probe.chosen:
            complain(f"{probe.title}: the head is {probe.chosen}, the last layer whose output is the logits")
    if whole and (shared := _shared(*probes)):
        complain(
            f"{probes[0].title}: the head {probes[0].name!r} is not linear: bounds on features need both networks to use it, "
            f"and its head_lipschitz. Shared head: {shared}"
        )
