"""A block of independent audits of one pair: how often each claim about the population was made, and how often it was wrong.

Each claim is tried by itself at the whole of δ. Where all rows are asked for, everything guaranteed is also tried together,
with δ divided among its limits, as in an audit. Each claim is tried again with half of its radius and with none of it, which
shows whether the count would have noticed that a radius is missing.

The truth is itself known to an interval. A claim is *certainly* wrong if it misses all of that interval, and *possibly* wrong
if it does not cover all of it: the number of wrong claims lies between the two counts.
"""

import json
import time
from collections.abc import Mapping
from typing import Any

from kd2m_theory.bounds import Ladder
from kd2m_theory.validation.campaigns.campaign import POPULATION_ROWS
from kd2m_theory.validation.campaigns.claims import claims, judged, together
from kd2m_theory.validation.campaigns.network_task import read_networks
from kd2m_theory.validation.campaigns.table import part
from kd2m_theory.validation.campaigns.task import Outcome, Task
from kd2m_theory.validation.campaigns.training_run import columns
from kd2m_theory.validation.training.configuration import configuration


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
        ladder = Ladder(pair, table["deltas"][0], table["rows"], with_measured=whole)
        for delta in table["deltas"]:
            if whole:
                ladder.spend(delta)
                for claim, wrong in together(ladder, truth):
                    counts.setdefault((delta, claim.words, "audit", not claim.control), Count()).add(*wrong)
            ladder.spend(delta, each=True)
            for claim in claims(ladder):
                key = delta, claim.words, claim.target, claim.guaranteed and not claim.control
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
