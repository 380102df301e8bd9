"""A block of independent audits of one pair: how often each claim about the population was made, and how often it was wrong.

Each claim is tried by itself at the whole of δ. Where all rows are asked for, everything guaranteed is also tried together,
with δ divided among all that is printed, as in an audit.

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
    """lower ≤ target ≤ upper."""

    name: str
    target: str
    lower: float
    upper: float
    guaranteed: bool


def claims(ladder: Ladder) -> Iterator[Claim]:
    """Everything that an audit says about the population, and the broken interval."""
    for row in ladder.evaluate():
        if row.applicable and row.name in POPULATION_ROWS:
            yield Claim(row.name, row.target, row.lower, row.upper, row.guaranteed)
    measured = ladder.measure()
    for name, each in measured.items():
        yield Claim(name, name, each.lower, each.upper, each.guaranteed)
    whole = measured[_HALVED]
    lower, upper = ((whole.value + end) / 2 for end in (whole.lower, whole.upper))
    yield Claim(BROKEN, _HALVED, lower, upper, False)


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
    counts: dict[tuple[float, str, str, bool], Count] = {}
    whole = set(table["rows"]) == set(POPULATION_ROWS)
    for repeat in range(table["start"], table["stop"]):
        pair = networks.audited(table["n"] * 2**32 + repeat, table["n"], table["seed"])
        ladder = Ladder(pair, table["deltas"][0], table["rows"])
        for delta in table["deltas"]:
            if whole:
                ladder.spend(delta)
                verdicts = [judged(claim, truth) for claim in claims(ladder) if claim.guaranteed]
                wrong = [any(each) for each in zip(*verdicts, strict=True)]
                counts.setdefault((delta, TOGETHER, "audit", True), Count()).add(*wrong)
            ladder.spend(delta, each=True)
            for claim in claims(ladder):
                key = delta, claim.name, claim.target, claim.guaranteed
                counts.setdefault(key, Count()).add(*judged(claim, truth))
    rows = [
        {
            "kind": "coverage",
            "name": name,
            "target": target,
            "n": table["n"],
            "classes": networks.population.classes,
            "delta": delta,
            "stream": table["seed"],
            "first": table["start"],
            "guaranteed": guaranteed,
            **vars(count),
        }
        for (delta, name, target, guaranteed), count in counts.items()
    ]
    about: dict[str, Any] = {"seconds": time.process_time() - began, "task": dict(table)}
    return Outcome(part(columns(task, chosen), rows, about))


def judged(claim: Claim, truth: Mapping[str, tuple[float, float]]) -> tuple[bool, bool]:
    """Whether a claim is certainly wrong, and whether it may be."""
    if claim.target not in truth:
        raise InputError(f"{claim.name} is about {claim.target}, which no coverage study measures; leave it out of rows")
    low, high = truth[claim.target]
    return claim.upper < low or claim.lower > high, claim.lower > low or claim.upper < high
