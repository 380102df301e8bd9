"""A block of independent audits of one pair: how often each claim about the population was made, and how often it was wrong.

The truth is itself known to an interval. A claim is *certainly* wrong if it misses all of that interval, and *possibly* wrong
if it does not cover all of it: the number of wrong claims lies between the two counts.
"""

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from kd2m_theory.bounds import Ladder
from kd2m_theory.errors import InputError
from kd2m_theory.validation.campaigns.campaign import POPULATION_ROWS
from kd2m_theory.validation.campaigns.network_task import read_networks
from kd2m_theory.validation.campaigns.table import part
from kd2m_theory.validation.campaigns.task import Outcome, Task
from kd2m_theory.validation.campaigns.training_run import columns
from kd2m_theory.validation.configuration import configuration

# Everything guaranteed that one audit says, together; and an interval that is wrong on purpose, which has to be caught.
TOGETHER, BROKEN = "everything guaranteed", "half of an interval"
_HALVED = "accuracy_student"


@dataclass(frozen=True)
class Claim:
    """lower ≤ target ≤ upper, with failure probability `share`."""

    name: str
    target: str
    lower: float
    upper: float
    share: float
    guaranteed: bool


def claims(ladder: Ladder) -> Iterator[Claim]:
    """Everything that an audit says about the population, and the broken interval."""
    for row in ladder.evaluate():
        if row.applicable and row.name in POPULATION_ROWS:
            yield Claim(row.name, row.target, row.lower, row.upper, ladder.share, row.guaranteed)
    measured = ladder.measure()
    for name, each in measured.items():
        yield Claim(name, name, each.lower, each.upper, ladder.share, each.guaranteed)
    whole = measured[_HALVED]
    lower, upper = ((whole.value + end) / 2 for end in (whole.lower, whole.upper))
    yield Claim(BROKEN, _HALVED, lower, upper, ladder.share, False)


class Count:
    """How often a claim was made, and was wrong."""

    def __init__(self) -> None:
        self.trials = self.certain = self.possible = 0

    def add(self, certain: bool, possible: bool) -> None:
        """One more audit."""
        self.trials += 1
        self.certain += certain
        self.possible += possible


def audits(task: Task, files: Mapping[str, bytes]) -> Outcome:
    """The counts of audits start … stop − 1."""
    began = time.process_time()
    table, (weights, measured) = task.table, task.needs
    chosen = configuration(table["run"])
    networks = read_networks(files[weights], chosen)
    truth: dict[str, tuple[float, float]] = json.loads(files[measured])
    counts: dict[tuple[float, str, str, float, bool], Count] = {}
    for repeat in range(table["start"], table["stop"]):
        pair = networks.audited(table["n"] * 2**32 + repeat, table["n"], table["seed"])
        ladder = Ladder(pair, table["deltas"][0], table["rows"])
        for delta in table["deltas"]:
            ladder.spend(delta)
            for key, certain, possible in _judged(ladder, delta, truth):
                counts.setdefault((delta, *key), Count()).add(certain, possible)
    rows = [
        {
            "kind": "coverage",
            "name": name,
            "target": target,
            "n": table["n"],
            "classes": networks.population.classes,
            "delta": delta,
            "share": share,
            "guaranteed": guaranteed,
            **vars(count),
        }
        for (delta, name, target, share, guaranteed), count in counts.items()
    ]
    about: dict[str, Any] = {"seconds": time.process_time() - began, "task": dict(table)}
    return Outcome(part(columns(task, chosen), rows, about))


def _judged(
    ladder: Ladder, delta: float, truth: Mapping[str, tuple[float, float]]
) -> Iterator[tuple[tuple[str, str, float, bool], bool, bool]]:
    wrong = [False, False]
    for claim in claims(ladder):
        if claim.target not in truth:
            raise InputError(f"{claim.name} is about {claim.target}, which no coverage study measures; leave it out of rows")
        low, high = truth[claim.target]
        certain, possible = claim.upper < low or claim.lower > high, claim.lower > low or claim.upper < high
        yield (claim.name, claim.target, claim.share, claim.guaranteed), certain, possible
        if claim.guaranteed:
            wrong = [wrong[0] or certain, wrong[1] or possible]
    yield (TOGETHER, "audit", delta, True), wrong[0], wrong[1]
