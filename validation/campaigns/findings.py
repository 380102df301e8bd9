"""Everything that a campaign's table says, computed once for pages and figures."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from kd2m_theory.validation.campaigns.correlation import Explained, explained
from kd2m_theory.validation.campaigns.store import Store
from kd2m_theory.validation.campaigns.table import Row, rows_of
from kd2m_theory.validation.campaigns.verdict import Judgement, judge


@dataclass(frozen=True)
class Findings:
    """What a campaign found.

    Attributes:
        judgement: violations and coverage.
        bounds: rows of kind "bound".
        explained: correlations of distances with gaps.
        points: audited (pair, epoch) points.
        runs: of the sweeps.
        seconds: of all tasks together.
        environments: versions and machines, in words.
    """

    judgement: Judgement
    bounds: Sequence[Row]
    explained: Sequence[Explained]
    points: int
    runs: int
    seconds: float
    environments: str


def findings(store: Store) -> Findings:
    """What the finished tasks of a store say.

    Raises:
        StoreError: no store, one of another version, or a part that cannot be read.
    """
    store.campaigns()
    table = store.table()
    bounds = rows_of(table, "bound")
    seen = {json.dumps(_short(json.loads(each))) for each in set(table["environment"].to_pylist())}
    return Findings(
        judge(bounds, rows_of(table, "coverage")),
        bounds,
        explained(rows_of(table, "measured"), rows_of(table, "distance")),
        len({(row["configuration"], row["epoch"]) for row in bounds}),
        len({row["configuration"] for row in bounds}),
        sum(each["seconds"] for each in store.about()),
        "; ".join(sorted(", ".join(json.loads(each)) for each in seen)) or "nothing computed yet",
    )


def _short(environment: dict[str, object]) -> list[str]:
    names = ("kd2m-theory", "torch", "numpy", "scipy", "POT", "machine")
    words = [f"{name} {environment[name]}" for name in names] + [f"Python {environment['python']}"]
    return words + ([] if environment["cuda"] == "none" else [str(environment["cuda"])])
