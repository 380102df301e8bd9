"""How much of a bound the gap uses: bound / gap, and the term that most of a bound consists of."""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from kd2m_theory.validation.campaigns.table import Row

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True)
class Spread:
    """Quartiles of bound / gap, each the ratio of a pair: between two pairs the larger one, as nothing lies before infinity.

    Attributes:
        count: pairs.
        quarter: a quarter of them is below.
        median: half.
        three_quarters: three quarters.
    """

    count: int
    quarter: float
    median: float
    three_quarters: float


@dataclass(frozen=True)
class Largest:
    """The term that is most often the largest of a row.

    Attributes:
        term: its name.
        pairs: share of the pairs on which it is.
        part: median part of the bound that it makes up there.
    """

    term: str
    pairs: float
    part: float


def comparable(bounds: Iterable[Row]) -> list[Row]:
    """Guaranteed deterministic rows with a measured gap: those whose ratio says how tight they are."""
    return [row for row in bounds if row["guaranteed"] and row["share"] is None and row["ratio"] is not None]


def spreads(rows: Iterable[Row], key: Callable[[Row], Key]) -> dict[Key, Spread]:
    """Quartiles of each group; a gap of zero counts as an infinite ratio."""
    groups: defaultdict[Key, list[float]] = defaultdict(list)
    for row in rows:
        groups[key(row)].append(row["ratio"])
    return {name: _spread(ratios) for name, ratios in groups.items()}


def largest_terms(bounds: Iterable[Row]) -> dict[str, Largest]:
    """Largest term of every row that is a sum, by name; rows about the population too."""
    groups: defaultdict[str, list[Row]] = defaultdict(list)
    for row in bounds:
        if row["dominant"] is not None:
            groups[row["name"]].append(row)
    return {name: _largest(rows) for name, rows in groups.items()}


def tightest(rows: Iterable[Row], target: str) -> list[str]:
    """The row of least median ratio of every theorem that bounds the target, in the order of the theorems."""
    overall = spreads([row for row in rows if row["target"] == target], lambda row: str(row["name"]))
    best: dict[str, str] = {}
    for name, spread in overall.items():
        theorem = name.split(".")[0]
        if theorem not in best or spread.median < overall[best[theorem]].median:
            best[theorem] = name
    return sorted(best.values(), key=lambda name: (int(name.split(".")[0][1:]), name))


def _spread(ratios: Sequence[float]) -> Spread:
    low, middle, high = np.quantile(ratios, [0.25, 0.5, 0.75], method="higher")
    return Spread(len(ratios), float(low), float(middle), float(high))


def _largest(rows: Sequence[Row]) -> Largest:
    (term, count), *_ = Counter(row["dominant"] for row in rows).most_common(1)
    parts = [row["dominance"] for row in rows if row["dominant"] == term and math.isfinite(row["dominance"])]
    return Largest(term, count / len(rows), float(np.median(parts)))
