"""What decides the numbers of a run beside its configuration and the code: data, weights, device, threads, processes."""

import hashlib
import importlib.util
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kd2m_theory.errors import InputError
from kd2m_theory.files import content_digest
from kd2m_theory.validation.populations.population import Population
from kd2m_theory.validation.training.configuration import digest
from kd2m_theory.validation.training.networks import named_file

# What to do where a run that is continued differs, by attribute.
_REMEDIES = {
    "device": "continue with --device {held}",
    "threads": "continue with --threads {held}",
    "processes": "start {held} of them",
}


@dataclass(frozen=True)
class Origin:
    """Recorded when a run begins, compared when it is continued.

    Attributes:
        device: "cpu" or "cuda".
        threads: of torch in each process; 0 where the device is not a CPU and they do not matter.
        processes: that share a batch.
        inputs: digests of the content of files and data, by what they are.
    """

    device: str
    threads: int
    processes: int
    inputs: Mapping[str, str] = field(default_factory=dict)

    def table(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    def check(self, held: Any, where: Path) -> None:
        """Refuse to continue a run that was begun with something else.

        Args:
            held: the table of its origin.
            where: its folder.

        Raises:
            InputError: naming the first difference and what to do.
        """
        inputs = held.get("inputs") if isinstance(held, Mapping) else None
        if not isinstance(inputs, Mapping) or inputs.keys() != self.inputs.keys():
            raise InputError(f"{where} does not say what it was made from; name another folder")
        refuse_other(inputs, self.inputs, str(where))
        for name, remedy in _REMEDIES.items():
            if (type(held.get(name)), held.get(name)) != (type(getattr(self, name)), getattr(self, name)):
                raise InputError(
                    f"{where} was made with {name} = {held.get(name)}, this is {getattr(self, name)}, and rounding depends on "
                    f"it; {remedy.format(held=held.get(name))}, or name another folder"
                )


def refuse_other(held: Mapping[str, str], here: Mapping[str, str], where: str) -> None:
    """Refuse to continue with other content than what was recorded.

    Args:
        held: digests that were recorded, by what they are.
        here: digests of what is there now; what is not named in both is not compared.
        where: holds the record, for the message.

    Raises:
        InputError: naming the first that differs.
    """
    for what in sorted(held.keys() & here.keys()):
        if held[what] != here[what]:
            raise InputError(
                f"{where} was computed from another {what} (content {held[what]}, not {here[what]}): numbers of the two would "
                "mix; put that content back, or name another folder"
            )


def inputs_of(
    population: Mapping[str, Any], source: Population, networks: Iterable[str], weights: str | None = None
) -> dict[str, str]:
    """Digests of what a training reads beside its configuration: images, code of networks, weights.

    Args:
        population: table of the configuration.
        source: what it names.
        networks: names, as `networks.network` takes them.
        weights: file of the user's own teacher.

    Raises:
        InputError: a file of weights cannot be read.
    """
    found = {f"set of images of {population['name']} ({digest(dict(population))})": source.content}
    if weights is not None:
        try:
            found["file of the teacher's weights"] = content_digest(weights)
        except OSError as error:
            raise InputError(f"there is no file {weights} with weights of the teacher ({error.strerror})") from None
    for name in networks:
        bare, file = named_file(name)
        if ":" in bare and not bare.startswith("timm:"):
            found[f"module for network {bare}"] = _source_digest(bare.partition(":")[0])
        if file is not None:
            found[f"file of initial weights {file}"] = content_digest(file)
    return {what: content for what, content in found.items() if content is not None}


def weights_digest(state: Mapping[str, Tensor]) -> str:
    """Sixteen hexadecimal digits of SHA-256 of a state dict: names, shapes and every byte."""
    found = hashlib.sha256()
    for name, value in sorted(state.items()):
        found.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        found.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return found.hexdigest()[:16]


def _source_digest(module: str) -> str | None:
    """Hash of the file of a module; None where it has none, as in a notebook."""
    try:
        found = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return None
    return None if found is None or found.origin is None or not Path(found.origin).is_file() else content_digest(found.origin)
