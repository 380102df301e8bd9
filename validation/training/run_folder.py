"""The folder of a run: its files are written atomically, so that a kill leaves no partial file.

configuration.json   what was asked for, every key, its digest, and what else the run was made from (`Origin`)
numbers.json         version of the numbers, and a panel of them as the code computed it that began the run
environment.json     versions and device of the process that last worked on it
history.parquet      one row per epoch; history.csv is the same
weights.json         digests of the final weights, the student's when it is trained
last.ckpt            everything that the next epoch needs
student.safetensors  weights after the last epoch; the run is complete when it is there
pairs/epoch-0010.safetensors, audits/epoch-0010.json
teacher/             the same of the teacher, unless a folder of teachers is shared
"""

import io
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from kd2m_theory.errors import InputError
from kd2m_theory.files import json_bytes, opened, read_bytes, read_json, write_atomically
from kd2m_theory.validation.origin import Origin, weights_digest
from kd2m_theory.validation.training.configuration import digest
from kd2m_theory.version import __version__


class Numbers(Protocol):
    """The module `numbers`, which computes a run in small: a run is given it, and cannot import it."""

    NUMBERS: int

    def record(self) -> bytes:
        """Version and panel of the present code."""

    def check(self, held: bytes, what: str) -> None:
        """Refuse numbers of another version or code."""


@dataclass(frozen=True)
class RunFolder:
    """Names of the files of a run.

    Attributes:
        path: the folder.
    """

    path: Path

    @property
    def checkpoint(self) -> Path:
        """What the next epoch needs."""
        return self.path / "last.ckpt"

    @property
    def history(self) -> Path:
        """One row per epoch."""
        return self.path / "history.parquet"

    def weights(self, role: str) -> Path:
        """Final weights of the "student" or "teacher"."""
        return self.path / f"{role}.safetensors"

    def pair(self, epoch: int, split: str = "test") -> Path:
        """The pair after `epoch` epochs."""
        return self.path / "pairs" / f"epoch-{epoch:04}{'' if split == 'test' else f'.{split}'}.safetensors"

    def audit(self, epoch: int) -> Path:
        """The audit of that pair."""
        return self.path / "audits" / f"epoch-{epoch:04}.json"

    def open(self, table: Mapping[str, Any], origin: Origin, resume: bool, numbers: Numbers) -> None:
        """Make the folder, or continue in it.

        Args:
            table: the configuration.
            origin: what else the run is made from.
            resume: whether a run may be there already.
            numbers: of the present code.

        Raises:
            InputError: the folder holds a run and `resume` is not set; it holds the run of another configuration, or one that
                was made from other inputs, on another device, with other threads, or by code that computes other numbers; it
                holds other things; or it cannot be made.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            begun = self._holds_it(resume)
        except OSError as error:
            raise InputError(f"the folder {self.path} cannot be made ({error.strerror}); name another") from None
        if begun:
            self.check(table, origin, numbers)
        else:
            write_atomically(self._numbers, numbers.record())
            # Last: a folder with this record has the other.
            write_json(self._record, {"digest": digest(table), "configuration": dict(table), "origin": origin.table()})
        write_json(self.path / "environment.json", environment())

    def check(self, table: Mapping[str, Any], origin: Origin, numbers: Numbers) -> None:
        """Refuse what it holds for a run of that configuration and origin.

        Raises:
            InputError: as `open` with `resume`.
        """
        complaint = f"{self._record} is not the configuration of a run; name another folder"
        found = read_json(self._record, complaint)
        said, held = found.get("digest"), found.get("origin")
        if not isinstance(found.get("configuration"), dict) or said != digest(found["configuration"]):
            raise InputError(f"{complaint} (it was changed after it was written)")
        if said != (here := digest(table)):
            raise InputError(
                f"{self.path} holds the run of another configuration (digest {said}, not {here}); name another folder"
            )
        origin.check(held, self.path)
        numbers.check(self._held_numbers(), str(self.path))

    @property
    def _record(self) -> Path:
        return self.path / "configuration.json"

    @property
    def _numbers(self) -> Path:
        return self.path / "numbers.json"

    def _held_numbers(self) -> bytes:
        return read_bytes(self._numbers, f"{self._numbers} cannot be read; name another folder")

    def _holds_it(self, resume: bool) -> bool:
        """Whether a run is there, which has to be continued."""
        if self._record.exists():
            if not resume:
                raise InputError(f"{self.path} holds a run; continue it with --resume, or name another folder")
            return True
        foreign = sorted(
            entry.name for entry in self.path.iterdir() if entry != self._numbers and not entry.name.startswith(".")
        )
        if foreign:
            raise InputError(f"{self.path} holds {foreign[0]} and no run; name an empty folder or a new one")
        return False

    def seal(self, role: str, state: Mapping[str, Tensor]) -> None:
        """Record what the final weights of the "student" or "teacher" are, when they are there."""
        held = read_json(self._seals, f"{self._seals} is not a record of weights") if self._seals.exists() else {}
        write_json(self._seals, held | {role: weights_digest(state)})

    def sealed(self, role: str) -> str | None:
        """The digest of the final weights; None while they are not trained.

        Raises:
            InputError: the record is damaged.
        """
        if not self._seals.exists():
            return None
        found = read_json(self._seals, f"{self._seals} is not a record of weights; name another folder").get(role)
        return None if found is None else str(found)

    @property
    def _seals(self) -> Path:
        return self.path / "weights.json"

    def check_seal(self, role: str, state: Mapping[str, Tensor]) -> None:
        """Refuse weights that are not those that were trained.

        Raises:
            InputError: they are others.
        """
        if (held := self.sealed(role)) is not None and held != (here := weights_digest(state)):
            raise InputError(
                f"the {role}'s weights are not those that {self.path} was made with (content {here}, not {held}): numbers of "
                "the two would mix; put them back, or name another folder"
            )


def environment() -> dict[str, Any]:
    """Versions, machine and device: what else a number may depend on."""
    versions = {"kd2m-theory": __version__}
    for name in ("torch", "lightning", "numpy", "scipy", "POT", "scikit-learn"):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "not installed"
    return {
        "python": platform.python_version(),
        **versions,
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "cuda": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
    }


def write_json(path: Path, data: Mapping[str, Any]) -> None:
    """Write plain data, atomically."""
    write_atomically(path, json_bytes(data, indent=2))


def write_history(folder: RunFolder, rows: list[dict[str, float]]) -> None:
    """Write the rows as Parquet and as CSV; a column that a row lacks is empty there.

    Raises:
        OSError: the disk refused.
    """
    import pyarrow
    import pyarrow.csv
    import pyarrow.parquet

    columns = list(dict.fromkeys(name for row in rows for name in row))
    table = pyarrow.table({name: [row.get(name) for row in rows] for name in columns})
    for path, write in ((folder.history, pyarrow.parquet.write_table), (folder.path / "history.csv", pyarrow.csv.write_csv)):
        buffer = io.BytesIO()
        write(table, buffer)
        write_atomically(path, buffer.getvalue())


def write_weights(path: Path, model: nn.Module) -> None:
    """Write a state dict as safetensors, atomically."""
    write_atomically(path, weights_as_bytes(model))


def weights_as_bytes(model: nn.Module) -> bytes:
    """A state dict as safetensors."""
    return save({name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()})


def read_weights(path: Path, model: nn.Module, whose: str) -> None:
    """Load a state dict into a network.

    Raises:
        InputError: no such file, no safetensors, or weights of another network; the message names the first difference.
    """
    complaint = f"{path} is not a .safetensors file with weights of the {whose}"
    try:
        with opened(path, complaint):  # a library would wait for a FIFO
            state: dict[str, Tensor] = load_file(path)
    except (SafetensorError, OSError) as error:
        raise InputError(f"{complaint} ({error})") from None
    expected = model.state_dict()
    for name in [*expected, *state]:
        here, there = (None if name not in each else tuple(each[name].shape) for each in (expected, state))
        if here != there:
            raise InputError(
                f"{path} does not fit the {whose} ({type(model).__name__}): {name} is {there or 'missing'} in the file and "
                f"{here or 'missing'} in the network"
            )
    model.load_state_dict(state)
