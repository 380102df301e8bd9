"""Everything that a campaign's table says, each part computed when it is asked for, once."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pyarrow

from kd2m_theory.validation.campaigns.correlation import Explained, explained
from kd2m_theory.validation.campaigns.store import Store, read_table
from kd2m_theory.validation.campaigns.table import Row, rows_of
from kd2m_theory.validation.campaigns.verdict import Judgement, judge


@dataclass(frozen=True)
class Findings:
    """What a campaign found.

    Attributes:
        table: of the campaign, all kinds of rows.
        seconds: of all tasks together; None if nothing but the table is known.
    """

    table: pyarrow.Table
    seconds: float | None = None

    @cached_property
    def bounds(self) -> Sequence[Row]:
        """Rows of kind "bound"."""
        return rows_of(self.table, "bound")

    @cached_property
    def judgement(self) -> Judgement:
        """Violations and coverage."""
        return judge(self.bounds, rows_of(self.table, "coverage"))

    @cached_property
    def explained(self) -> Sequence[Explained]:
        """Correlations of distances with gaps."""
        return explained(rows_of(self.table, "measured"), rows_of(self.table, "distance"))

    @property
    def points(self) -> int:
        """Audited (pair, epoch) points."""
        return len({(row["configuration"], row["epoch"]) for row in self.bounds})

    @property
    def runs(self) -> int:
        """Runs of the sweeps."""
        return len({row["configuration"] for row in self.bounds})

    @property
    def environments(self) -> str:
        """Versions and machines, in words."""
        seen = {json.dumps(_short(json.loads(each))) for each in set(self.table["environment"].to_pylist())}
        return "; ".join(sorted(", ".join(json.loads(each)) for each in seen)) or "nothing computed yet"


def findings(store: Store) -> Findings:
    """What the finished tasks of a store say.

    Raises:
        StoreError: no store, one of another version, or a part that cannot be read.
    """
    store.campaigns()
    return Findings(store.table(), sum(each["seconds"] for each in store.about()))


def findings_in(file: Path) -> Findings:
    """What the table of a campaign says, which may be read anywhere.

    Raises:
        StoreError: it is no table of a campaign.
    """
    return Findings(read_table(file))


def _short(environment: dict[str, object]) -> list[str]:
    names = ("kd2m-theory", "torch", "numpy", "scipy", "POT", "machine")
    words = [f"{name} {environment[name]}" for name in names] + [f"Python {environment['python']}"]
    return words + ([] if environment["cuda"] == "none" else [str(environment["cuda"])])
