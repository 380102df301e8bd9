"""The folder of a campaign: a file in it is whole or not there, whenever anything is killed.

store.json       schema and version that wrote it, and the campaigns it holds, by digest
parts/           one Parquet file a finished task, named by the task's digest
teachers/, networks/, truths/   what tasks hand to others
violations/      pairs on which a guaranteed row does not hold
table.parquet    all parts in the order of their names; made of them, so it can always be made again
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet

from kd2m_theory.errors import InputError
from kd2m_theory.files import write_atomically
from kd2m_theory.validation.campaigns.table import COLUMNS, SCHEMA, joined, to_bytes
from kd2m_theory.validation.campaigns.task import Outcome


class StoreError(InputError):
    """The store cannot be read or written; what is in it stays as it is."""


@dataclass(frozen=True)
class Store:
    """A folder with finished parts.

    Attributes:
        path: the folder.
    """

    path: Path

    def create(self, campaign: Mapping[str, Any], digest: str, resume: bool) -> None:
        """Make the folder for a campaign, or continue in it.

        Args:
            campaign: its table.
            digest: of the table.
            resume: whether the folder may hold the campaign already.

        Raises:
            StoreError: the folder holds this campaign and `resume` is not set, another campaign, a store of another version,
                or other things.
        """
        record = self.path / "store.json"
        if record.exists():
            held = self.campaigns()
            if digest not in held:
                raise StoreError(
                    f"{self.path} holds another campaign ({', '.join(sorted(held))}, not {digest}); name another folder, and "
                    "join the two with kd2m validate merge"
                )
            if not resume:
                raise StoreError(f"{self.path} holds this campaign; continue it with --resume, or name another folder")
            return
        if foreign := self._contents():
            raise StoreError(f"{self.path} holds {foreign[0]} and no campaign; name an empty folder or a new one")
        self._begin({digest: dict(campaign)})

    def campaigns(self) -> dict[str, Any]:
        """Tables of the campaigns it holds, by digest.

        Raises:
            StoreError: no store, or one of another version.
        """
        record = self.path / "store.json"
        try:
            found = json.loads(record.read_text(encoding="utf-8"))
            schema, wrote, campaigns = found["schema"], found["version"], found["campaigns"]
        except FileNotFoundError:
            raise StoreError(
                f"{self.path} holds no campaign; start one with kd2m validate CAMPAIGN --store {self.path}"
            ) from None
        except (ValueError, KeyError, TypeError):
            raise StoreError(f"{record} is no record of a campaign; name another folder") from None
        if (schema, wrote) != (SCHEMA, _here()):
            raise StoreError(
                f"{self.path} was written by {wrote} in the form {schema}, this is {_here()} with {SCHEMA}: numbers of two "
                "versions do not mix; name another folder, or install that version"
            )
        return dict(campaigns)

    def finished(self) -> frozenset[str]:
        """Digests of the tasks that are done."""
        return frozenset(path.stem for path in (self.path / "parts").glob("*.parquet"))

    def has(self, name: str) -> bool:
        """Whether a file is there."""
        return (self.path / name).is_file()

    def read(self, name: str) -> bytes:
        """A file's bytes."""
        return (self.path / name).read_bytes()

    def keep(self, digest: str, outcome: Outcome) -> None:
        """Write what a task returned, its part last: a task is done when its part is there.

        Raises:
            StoreError: the disk refused.
        """
        for name, data in outcome.files.items():
            self._write(name, data)
        self._write(f"parts/{digest}.parquet", outcome.part)

    def table(self, only: Iterable[str] | None = None) -> pyarrow.Table:
        """Rows of all finished tasks, or of some, in the order of their digests.

        Raises:
            StoreError: a part that is none, or of another schema.
        """
        return joined([self._part(digest) for digest in sorted(self.finished() if only is None else only)])

    def about(self) -> list[dict[str, Any]]:
        """What each finished part says beside its rows: its task, and the seconds that it took."""
        return [json.loads(self._part(digest).schema.metadata[b"about"]) for digest in sorted(self.finished())]

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
            StoreError: this folder is not empty, another is no store of this version, two hold different rows for one task,
                or the disk refused.
        """
        others = list(others)
        campaigns: dict[str, Any] = {}
        for other in others:
            campaigns |= other.campaigns()
        if self._contents():
            raise StoreError(f"{self.path} is not empty; name a new folder for the union")
        seen: dict[str, Store] = {}
        for other in others:
            for digest in sorted(other.finished() & seen.keys()):
                if not other.table([digest]).equals(seen[digest].table([digest])):
                    raise StoreError(
                        f"{other.path} and {seen[digest].path} hold different rows for task {digest}: they were computed on "
                        "different machines; leave one of the stores out"
                    )
            seen |= dict.fromkeys(other.finished(), other)
        self._begin(campaigns)
        for other in others:
            for kept in sorted(other.path.glob("*/[!.]*")):  # not what a killed write left
                name = kept.relative_to(other.path).as_posix()
                if name.split("/")[0] in _KEPT and not self.has(name):
                    self._write(name, kept.read_bytes())
        self.write_table()

    def _begin(self, campaigns: Mapping[str, Any]) -> None:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"the folder {self.path} cannot be made ({error.strerror}); name another") from None
        record = {"schema": SCHEMA, "version": _here(), "campaigns": dict(campaigns)}
        self._write("store.json", (json.dumps(record, indent=1, ensure_ascii=False) + "\n").encode())

    def _contents(self) -> list[str]:
        """Names in the folder, without the hidden ones of writes that were killed."""
        return sorted(entry.name for entry in self.path.glob("*") if not entry.name.startswith("."))

    def _part(self, digest: str) -> pyarrow.Table:
        path = self.path / "parts" / f"{digest}.parquet"
        try:
            table = pyarrow.parquet.read_table(path)
        except (pyarrow.ArrowInvalid, OSError) as error:
            raise StoreError(f"{path} is no part of a campaign ({error}); delete it and continue with --resume") from None
        if not table.schema.equals(COLUMNS) or (table.schema.metadata or {}).get(b"schema") != SCHEMA.encode():
            raise StoreError(f"{path} is a part of another form than {SCHEMA}; delete it and continue with --resume")
        return table

    def _write(self, name: str, data: bytes) -> None:
        try:
            (self.path / name).parent.mkdir(exist_ok=True)
            write_atomically(self.path / name, data)
        except OSError as error:
            raise StoreError(
                f"{self.path / name} cannot be written ({error.strerror}); what is finished is kept: mend that and run the "
                "command again (kd2m validate CAMPAIGN with --resume)"
            ) from None


def read_table(file: Path) -> pyarrow.Table:
    """The table that a store wrote, wherever it lies now.

    Raises:
        StoreError: it cannot be read, or has other columns.
    """
    try:
        table = pyarrow.parquet.read_table(file)
    except (pyarrow.ArrowInvalid, OSError) as error:
        raise StoreError(f"{file} is no table of a campaign ({error})") from None
    if not table.schema.equals(COLUMNS):
        raise StoreError(f"{file} is no table of a campaign: its columns are not those of {SCHEMA}")
    return table


_KEPT = ("parts", "teachers", "networks", "truths", "violations")


def _here() -> str:
    return f"kd2m-theory {version('kd2m-theory')}"
