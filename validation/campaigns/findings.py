"""Everything that a campaign's table says, each part computed when it is asked for, once."""

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow

from kd2m_theory.validation.campaigns.campaign import campaign
from kd2m_theory.validation.campaigns.correlation import Explained, explained, short_of_seeds
from kd2m_theory.validation.campaigns.plan import tasks
from kd2m_theory.validation.campaigns.store import Store, StoreError, read_table
from kd2m_theory.validation.campaigns.table import Row, rows_of
from kd2m_theory.validation.campaigns.task import Task
from kd2m_theory.validation.campaigns.trainings import Setting, trainings
from kd2m_theory.validation.campaigns.verdict import Judgement, in_words, judge

# Pairs are compared with pairs that are alike in all of this: distances of others have another scale.
_SETTING = ("population", "law", "teacher", "student", "head")


@dataclass(frozen=True)
class Findings:
    """What a campaign found.

    Attributes:
        table: of the campaign, all kinds of rows.
        seconds: of all tasks together; None if nothing but the table is known.
        missing: tasks of the campaign that have not been computed.
    """

    table: pyarrow.Table
    seconds: float | None = None
    missing: int = 0

    @cached_property
    def bounds(self) -> Sequence[Row]:
        """Rows of kind "bound"; "population" says more than its name if the table has several settings of that name."""
        return self._told_apart(self._bounds)

    @cached_property
    def judgement(self) -> Judgement:
        """Violations and coverage."""
        return judge(self._bounds, rows_of(self.table, "coverage"))  # it says all of a run by itself

    @cached_property
    def explained(self) -> Sequence[Explained]:
        """Correlations of distances with gaps."""
        return explained(self._measured, self._told_apart(rows_of(self.table, "distance")))

    @property
    def short_of_seeds(self) -> Mapping[str, int]:
        """The seeds of populations that have too few for a correlation."""
        return short_of_seeds(self._measured)

    @property
    def points(self) -> int:
        """Audited (pair, epoch) points."""
        return len({(row["configuration"], row["epoch"]) for row in self.bounds})

    @property
    def runs(self) -> int:
        """Runs of the sweeps, of which some may not be audited."""
        return len({row["configuration"] for row in self._swept})

    @property
    def objectives(self) -> Sequence[str]:
        """Objectives of the sweeps, by name."""
        return sorted({row["objective"] for row in self._swept})

    @property
    def environments(self) -> str:
        """Versions and machines, in words."""
        seen = {json.dumps(_short(json.loads(each))) for each in set(self.table["environment"].to_pylist())}
        return "; ".join(sorted(", ".join(json.loads(each)) for each in seen)) or "nothing computed yet"

    @cached_property
    def settings(self) -> Sequence[Setting]:
        """What the students learned."""
        return trainings(self.table, self.missing).settings

    @cached_property
    def _swept(self) -> Sequence[Row]:
        return (*self._bounds, *rows_of(self.table, "result"))

    @cached_property
    def _measured(self) -> Sequence[Row]:
        return self._told_apart(rows_of(self.table, "measured"))

    @cached_property
    def _bounds(self) -> Sequence[dict[str, Any]]:
        return rows_of(self.table, "bound")

    def _told_apart(self, rows: Sequence[dict[str, Any]]) -> Sequence[Row]:
        settings = {tuple(row[key] for key in _SETTING) for row in rows}
        same = Counter(population for population, *_ in settings)
        labels = {each: each[0] if same[each[0]] == 1 else _setting(*each) for each in settings}
        return [row | {"population": labels[tuple(row[key] for key in _SETTING)]} for row in rows]


def _evidence(task: Task) -> str:
    """A kind of row without which a task's part says nothing."""
    if task.table["kind"] == "pair" and not task.table["run"]["pairs"]["at"]:  # trained, and not audited
        return "result"
    return {"pair": "bound", "network": "truth", "audits": "coverage"}[task.table["kind"]]


def findings(store: Store) -> Findings:
    """What the finished tasks of a store say.

    Raises:
        StoreError: no store, one of another version, or a part that cannot be read.
    """
    campaigns = {digest: campaign(table) for digest, table in store.campaigns().items()}
    if changed := [digest for digest, each in campaigns.items() if each.digest != digest]:
        raise StoreError(f"the campaign {changed[0]} of {store.path} was changed after it was begun; name another folder")
    asked = {task.digest: task for each in campaigns.values() for task in tasks(each)}
    finished, table = store.finished(), store.table()
    kinds = defaultdict(set)
    for digest, kind in zip(table["task"].to_pylist(), table["kind"].to_pylist(), strict=True):
        kinds[digest].add(kind)
    for digest in finished & asked.keys():
        if (wanted := _evidence(asked[digest])) not in kinds[digest]:
            raise StoreError(
                f"the part of task {digest} in {store.path} has no row of kind {wanted}, which is not evidence; delete it and "
                "continue with --resume"
            )
    return Findings(table=table, seconds=sum(each["seconds"] for each in store.about()), missing=len(asked.keys() - finished))


def findings_in(file: Path) -> Findings:
    """What the table of a campaign says, which may be read anywhere.

    Raises:
        StoreError: it is not a table of a campaign.
    """
    return Findings(read_table(file))


def _setting(population: str, law: str, teacher: str, student: str, head: str) -> str:
    return f"{population}{in_words(law)}, {teacher} to {student}, {head} head"


def _short(environment: dict[str, object]) -> list[str]:
    names = ("kd2m-theory", "torch", "numpy", "scipy", "POT", "machine")
    words = [f"{name} {environment[name]}" for name in names] + [f"Python {environment['python']}"]
    return words + ([] if environment["cuda"] == "none" else [str(environment["cuda"])])
