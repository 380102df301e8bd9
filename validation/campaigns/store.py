"""The folder of a campaign: its files are written atomically, so that a kill leaves no partial file.

store.json       schema, the campaigns it holds, by digest, and the content of the data that they read
numbers.json     version of the numbers, and a panel of them as the code computed it that began the store
parts/           one Parquet file a finished task, named by the task's digest, which it also says itself
teachers/, networks/, truths/   what tasks hand to others, each with its SHA-256 beside it
violations/      pairs on which a guaranteed row does not hold
table.parquet    all parts in the order of their names; made of them, so it can always be made again
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet

from kd2m_theory.errors import InputError
from kd2m_theory.files import json_bytes, opened, read_bytes, read_json, write_atomically
from kd2m_theory.parquet_files import read_parquet
from kd2m_theory.validation import numbers
from kd2m_theory.validation.campaigns.table import ADDED, COLUMNS, SCHEMA, joined, rows_digest, to_bytes
from kd2m_theory.validation.campaigns.task import Outcome
from kd2m_theory.validation.origin import refuse_other
from kd2m_theory.version import __version__


class StoreError(InputError):
    """The store cannot be read or written; what is in it stays as it is."""


@dataclass(frozen=True)
class Store:
    """A folder with finished parts.

    Attributes:
        path: the folder.
    """

    path: Path

    def create(self, campaign: Mapping[str, Any], digest: str, resume: bool, inputs: Mapping[str, str] | None = None) -> None:
        """Make the folder for a campaign, or continue in it.

        Args:
            campaign: its table.
            digest: of the table.
            resume: whether the folder may hold the campaign already.
            inputs: digests of the data that it reads, by what they are.

        Raises:
            StoreError: the folder holds this campaign and `resume` is not set, another campaign, a store of another form, or
                other things.
            InputError: the campaign there read other data, or the present code computes other numbers.
        """
        inputs = dict(inputs or {})
        if (self.path / "store.json").exists():
            held, known = self._record()
            if digest not in held:
                raise StoreError(
                    f"{self.path} holds another campaign ({', '.join(sorted(held))}, not {digest}); say the same file and "
                    "the same --set as before to continue that one, or name another folder"
                )
            if not resume:
                raise StoreError(f"{self.path} holds this campaign; continue it with --resume, or name another folder")
            refuse_other(known, inputs, str(self.path))
            numbers.check(self.numbers(), str(self.path))
            for finished in self.finished():  # before anything is computed
                self._part(finished)
            return
        if foreign := [name for name in self._contents() if name != _NUMBERS]:
            raise StoreError(f"{self.path} holds {foreign[0]} and no campaign; name an empty folder or a new one")
        self._begin({digest: dict(campaign)}, inputs, numbers.record())

    def campaigns(self) -> dict[str, Any]:
        """Tables of the campaigns it holds, by digest.

        Raises:
            StoreError: no store, or one of another form.
        """
        return self._record()[0]

    def _record(self) -> tuple[dict[str, Any], dict[str, str]]:
        """Campaigns, and digests of the data that they read."""
        record = self.path / "store.json"
        if not record.exists():
            raise StoreError(f"{self.path} holds no campaign; start one with kd2m validate CAMPAIGN --out {self.path}")
        complaint = f"{record} is not the record of a campaign; name another folder"
        found = read_json(record, complaint)
        schema, wrote = found.get("schema"), found.get("version")
        if schema is None or wrote is None:
            raise StoreError(complaint)
        if schema != SCHEMA:
            raise StoreError(
                f"{self.path} was written by {wrote} in the form {schema}, this is {_here()} with {SCHEMA}: numbers of two "
                "versions do not mix; name another folder, or install that version"
            )
        campaigns, inputs = found.get("campaigns"), found.get("inputs")
        if not isinstance(campaigns, dict) or not campaigns or not isinstance(inputs, dict):
            raise StoreError(complaint)
        return campaigns, inputs

    def finished(self) -> frozenset[str]:
        """Digests of the tasks that are done.

        Raises:
            StoreError: a part that is not that of its task, or has no rows: it would count as done what nobody computed.
        """
        names = sorted(path.stem for path in (self.path / "parts").glob("*.parquet"))
        for digest in names:
            self._about(digest)
        return frozenset(names)

    def has(self, name: str) -> bool:
        """Whether a file is there, and what it is."""
        return (self.path / name).is_file() and (self.path / (name + _SEAL)).is_file()

    def read(self, name: str) -> bytes:
        """A file's bytes.

        Raises:
            StoreError: they are not those that a task made.
        """
        data = self._bytes(name)
        if self._bytes(name + _SEAL) != _seal(data):
            raise StoreError(
                f"{self.path / name} is not what a task made: numbers of two teachers or networks would mix; put it back, or "
                "begin another store"
            )
        return data

    def _bytes(self, name: str) -> bytes:
        path = self.path / name
        return read_bytes(path, f"{path} cannot be read", StoreError, path.stat().st_size)  # weights may be of any size

    def made(self) -> dict[str, bytes]:
        """Seals of the files that tasks handed to others, by name.

        Raises:
            StoreError: a file is not what a task made.
        """
        found = {}
        for seal in sorted(self.path.glob(f"*/[!.]*{_SEAL}")):
            name = seal.relative_to(self.path).as_posix().removesuffix(_SEAL)
            if self.has(name):
                self.read(name)
                found[name] = self._bytes(name + _SEAL)
        return found

    def keep(self, digest: str, outcome: Outcome) -> None:
        """Write what a task returned, its part last: a task is done when its part is there.

        Raises:
            StoreError: the disk refused.
        """
        for name, data in outcome.files.items():
            self._write(name, data)
            self._write(name + _SEAL, _seal(data))
        self._write(f"parts/{digest}.parquet", outcome.part)

    def table(self, only: Iterable[str] | None = None) -> pyarrow.Table:
        """Rows of all finished tasks, or of some, in the order of their digests.

        Raises:
            StoreError: an invalid part, or one of another schema.
        """
        return joined([self._part(digest) for digest in sorted(self.finished() if only is None else only)])

    def about(self) -> list[dict[str, Any]]:
        """What each finished part says beside its rows: its task, and the seconds that it took."""
        return [self._about(digest) for digest in sorted(self.finished())]

    def write_table(self) -> Path:
        """Write table.parquet.

        Raises:
            StoreError: as `table`, or the disk refused.
        """
        self._write("table.parquet", to_bytes(self.table()))
        return self.path / "table.parquet"

    def merge(self, others: Iterable["Store"]) -> None:
        """Become the union of other stores.

        Raises:
            StoreError: this folder is not empty, another is not a store of this form, two hold different rows for one task, or
                the disk refused.
            InputError: two were computed from different data, or the present code computes other numbers than one has.
        """
        others = list(others)
        campaigns: dict[str, Any] = {}
        inputs: dict[str, str] = {}
        for other in others:
            tables, known = other._record()
            refuse_other(known, inputs, str(other.path))
            numbers.check(other.numbers(), str(other.path))
            campaigns |= tables
            inputs |= known
        if self._contents():
            raise StoreError(f"{self.path} is not empty; name a new folder for the union")
        seen: dict[str, Store] = {}
        made: dict[str, tuple[Store, bytes]] = {}
        for other in others:
            for name, seal in other.made().items():
                before, known_seal = made.setdefault(name, (other, seal))
                if seal != known_seal:
                    raise StoreError(
                        f"{other.path} and {before.path} hold different {name}: they were computed on different machines; "
                        "leave one of the stores out"
                    )
            for digest in other.finished():
                other._part(digest)
            for digest in sorted(other.finished() & seen.keys()):
                if not other.table([digest]).equals(seen[digest].table([digest])):
                    raise StoreError(
                        f"{other.path} and {seen[digest].path} hold different rows for task {digest}: they were computed on "
                        "different machines; leave one of the stores out"
                    )
            seen |= dict.fromkeys(other.finished(), other)
        self._begin(campaigns, inputs, others[0].numbers())
        for other in others:
            for kept in sorted(other.path.glob("*/[!.]*")):  # not what a killed write left
                name = kept.relative_to(other.path).as_posix()
                if name.split("/")[0] in _KEPT and not (self.path / name).exists():
                    self._write(name, other._bytes(name))
        self.write_table()

    def _begin(self, campaigns: Mapping[str, Any], inputs: Mapping[str, str], held: bytes) -> None:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"the folder {self.path} cannot be made ({error.strerror}); name another") from None
        record = {"schema": SCHEMA, "version": _here(), "inputs": dict(inputs), "campaigns": dict(campaigns)}
        self._write(_NUMBERS, held)
        # Last: a folder with this record has the other.
        self._write("store.json", json_bytes(record))

    def numbers(self) -> bytes:
        """The record of the numbers that it holds.

        Raises:
            StoreError: it cannot be read.
        """
        return read_bytes(self.path / _NUMBERS, f"{self.path / _NUMBERS} cannot be read; name another folder", StoreError)

    def _contents(self) -> list[str]:
        """Names in the folder, without the hidden ones of writes that were killed."""
        return sorted(entry.name for entry in self.path.glob("*") if not entry.name.startswith("."))

    def _about(self, digest: str) -> dict[str, Any]:
        """What a part says beside its rows."""
        path = self._path(digest)
        try:
            with opened(path, f"{path} is not a part of a campaign; delete it and continue with --resume", StoreError) as file:
                found = pyarrow.parquet.read_metadata(file)
        except (pyarrow.ArrowException, OSError) as error:
            raise StoreError(f"{path} is not a part of a campaign ({error}); delete it and continue with --resume") from None
        said = found.metadata or {}
        if said.get(b"schema") != SCHEMA.encode():
            raise StoreError(f"{path} is a part of another form than {SCHEMA}; delete it and continue with --resume")
        if said.get(b"task") != digest.encode():
            whose = said.get(b"task", b"no task").decode(errors="replace")
            raise StoreError(f"{path} says that it is the part of {whose}; delete it and continue with --resume")
        if found.num_rows == 0:
            raise StoreError(f"{path} has no rows, which is not evidence; delete it and continue with --resume")
        return read_json(said.get(b"about", b""), f"{path} does not say what it is; delete it and continue with --resume")

    def _part(self, digest: str) -> pyarrow.Table:
        self._about(digest)
        path = self._path(digest)
        what = f"{path} is not a part in the form {SCHEMA}; delete it and continue with --resume"
        table = read_parquet(path, what, COLUMNS, StoreError)
        if table.schema.metadata.get(b"rows") != rows_digest(table).encode():
            raise StoreError(f"{path} has other rows than its task returned; delete it and continue with --resume")
        return table

    def _path(self, digest: str) -> Path:
        return self.path / "parts" / f"{digest}.parquet"

    def _write(self, name: str, data: bytes) -> None:
        try:
            (self.path / name).parent.mkdir(exist_ok=True)
            write_atomically(self.path / name, data)
        except OSError as error:
            raise StoreError(
                f"{self.path / name} cannot be written ({error.strerror}); what is finished is kept: fix that and run the "
                "command again (kd2m validate CAMPAIGN with --resume)"
            ) from None


def read_table(file: Path) -> pyarrow.Table:
    """The table that a store wrote, wherever it lies now; one of an earlier form has nothing in the columns that it lacks.

    Raises:
        StoreError: it cannot be read, or has other columns.
    """
    what = f"{file} is not a table of a campaign in the form {SCHEMA}"
    table = read_parquet(file, what, error=StoreError)
    for name in ADDED:
        if name not in table.column_names:
            field = COLUMNS.field(name)
            table = table.append_column(field, pyarrow.nulls(len(table), field.type))
    if sorted(table.column_names) != sorted(COLUMNS.names) or not (table := table.select(COLUMNS.names)).schema.equals(COLUMNS):
        raise StoreError(f"{what} (its columns are others)")
    return table


_NUMBERS, _SEAL = "numbers.json", ".sha256"
_KEPT = ("parts", "teachers", "networks", "truths", "violations")


def _seal(data: bytes) -> bytes:
    return hashlib.sha256(data).hexdigest().encode() + b"\n"


def _here() -> str:
    return f"kd2m-theory {__version__}"
