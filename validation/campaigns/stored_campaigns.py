"""Tables of campaigns from which figures and pages are made: those that ship, and the store of any other campaign."""

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from kd2m_theory.errors import require
from kd2m_theory.validation.stored_tables import StoredTable

if TYPE_CHECKING:
    from kd2m_theory.validation.campaigns.findings import Findings
    from kd2m_theory.validation.campaigns.trainings import Trainings

_STORE = "store.json"  # what the folder of a store has, from its first task on


def findings_in(path: Path) -> "Findings":
    """What a campaign found: its table, or the record of a store, finished or not.

    Raises:
        MissingDependencyError: pyarrow is not installed.
        InputError: the file is neither, or a part of the store cannot be read.
    """
    require("a campaign's table", "pyarrow")
    parts = [path, *sorted(path.parent.glob("parts/*.parquet"))] if path.name == _STORE else [path]
    return _findings(path, tuple((str(each), each.stat().st_mtime_ns, each.stat().st_size) for each in parts if each.is_file()))


def trainings_in(path: Path) -> "Trainings":
    """The same, as what its students learned.

    Raises:
        MissingDependencyError: pyarrow is not installed.
        InputError: as `findings_in`.
    """
    found = findings_in(path)
    from kd2m_theory.validation.campaigns.trainings import trainings

    return trainings(found.table, found.missing)


# Several figures read one store, of which every part is checked.
@lru_cache(maxsize=2)
def _findings(path: Path, _stamps: tuple[tuple[str, int, int], ...]) -> "Findings":
    from kd2m_theory.validation.campaigns import findings
    from kd2m_theory.validation.campaigns.store import Store

    return findings.findings(Store(path.parent)) if path.name == _STORE else findings.findings_in(path)


STANDARD = StoredTable(
    file="standard.parquet",
    command="kd2m validate standard; cp campaigns/standard/table.parquet standard.parquet",
    read=findings_in,
    in_store=(_STORE, "table.parquet"),
)
MNIST = StoredTable(
    file="mnist.parquet",
    command="kd2m validate mnist; cp campaigns/mnist/table.parquet mnist.parquet",
    read=trainings_in,
    in_store=(_STORE, "table.parquet"),
)
PAPERS = StoredTable(
    file="papers.parquet",
    command="kd2m validate papers; cp campaigns/papers/table.parquet papers.parquet",
    read=trainings_in,
    in_store=(_STORE, "table.parquet"),
)
