"""How often claims about the population are wrong, on fresh samples in three orders, and whether a broken claim is noticed."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from scipy.stats import binom

from kd2m_theory.bounds import Ladder
from kd2m_theory.estimators import clopper_pearson
from kd2m_theory.validation.campaigns.campaign import POPULATION_ROWS
from kd2m_theory.validation.campaigns.claims import BROKEN, TOGETHER, Claim, claims, judged
from kd2m_theory.validation.evidence.coverage_laws import LAWS, ORDERS, law, truth
from kd2m_theory.validation.evidence.suite import Case, Judgement, Suite, Tally

# One fixed permutation may suit one n and not another; at 196 that of a sorted sample was seen to be a bad one.
SIZES = (50, 196)
DELTA = 0.05
# Probability that any sound claim of all cells is called wrong (Holm).
FALSE_ALARM = 1e-3
# With fewer trials not even a claim that is never wrong is shown to be wrong less often than δ.
_LEAST_TRIALS = 60
_CELL = "cell"
_SOUND, _HALVED = "claim", "halved"


def examine(rng: np.random.Generator) -> Iterator[Case]:
    """One sample in every order: all claims together, each alone, and each with its ends half as far from the sample's own."""
    name, n = str(rng.choice(LAWS)), int(rng.choice(SIZES))
    drawn = law(name).drawn(rng, n)
    own = law(name).means(drawn)
    for order, arranged in ORDERS.items():
        ladder = Ladder(law(name).pair(arranged(law(name), drawn)), DELTA, POPULATION_ROWS, with_measured=True)
        about = {"law": name, "order": order, "n": str(n)}
        # δ is divided as in an audit: one wrong claim makes the audit wrong.
        wrong_ones = [claim.name for claim in claims(ladder) if claim.guaranteed and judged(claim, truth(name))[0]]
        cell = " | ".join((name, order, str(n), "guaranteed", _SOUND, TOGETHER))
        yield Case({_CELL: cell, **about}, f"wrong in {', '.join(wrong_ones)}" if wrong_ones else "")
        ladder.spend(DELTA, each=True)
        for claim in claims(ladder):
            if claim.name == BROKEN:
                continue  # the halved form of every claim is tried here
            for form, tried in ((_SOUND, claim), (_HALVED, _halved(claim, own[claim.target]))):
                wrong, _ = judged(tried, truth(name))
                kind = "guaranteed" if claim.guaranteed else "asymptotic"
                cell = " | ".join((name, order, str(n), kind, form, claim.name))
                failure = f"[{tried.lower:.6g}, {tried.upper:.6g}] misses {truth(name)[claim.target][0]:.6g}" if wrong else ""
                yield Case({_CELL: cell, **(about if form == _SOUND else {})}, failure)


def _halved(claim: Claim, own: float) -> Claim:
    lower, upper = (own if np.isinf(end) else (end + own) / 2 for end in (claim.lower, claim.upper))
    return Claim(name=claim.name, target=claim.target, lower=lower, upper=upper, guaranteed=claim.guaranteed)


def judge(tally: Tally) -> Judgement:
    """Cells in which a guaranteed claim is wrong more often than δ, and controls that were or were not noticed."""
    cells = [_read(name, *counts) for name, counts in sorted(tally.strata.get(_CELL, {}).items())]
    sound = [cell for cell in cells if cell["form"] == _SOUND]
    tried = [cell for cell in sound if cell["kind"] == "guaranteed" and cell["trials"] >= _LEAST_TRIALS]
    wrong = holm(tried, FALSE_ALARM)
    loose = holm([cell for cell in sound if cell["kind"] == "asymptotic" and cell["trials"] >= _LEAST_TRIALS], FALSE_ALARM)
    broken = [
        cell for cell in cells if (cell["form"], cell["kind"]) == (_HALVED, "guaranteed") and cell["trials"] >= _LEAST_TRIALS
    ]
    caught = {_name(cell) for cell in holm(broken, FALSE_ALARM)}
    few = len([cell for cell in sound if cell["trials"] < _LEAST_TRIALS])
    doubts = []
    if few or not sound:
        doubts.append(f"{few} cells have fewer than {_LEAST_TRIALS} trials")
    blind = [name for name in LAWS if tried and not any(name == cell["law"] and _name(cell) in caught for cell in broken)]
    if blind:
        doubts.append(f"no claim of half the width was caught on {', '.join(blind)}: a wrong one might not be either")
    examples = {failure[_CELL]: failure for failure in reversed(tally.failures)}
    failures = [_described(cell, examples) for cell in sorted(wrong, key=lambda cell: -cell["misses"] / cell["trials"])]
    return Judgement(len(wrong), failures, tuple(doubts), {_CELL: len(tried), **_more(tried, wrong, loose, broken, caught)})


def holm(cells: list[dict[str, Any]], alpha: float) -> list[dict[str, Any]]:
    """The cells whose rate is above δ, so that any of them is called so by mistake with probability at most alpha."""
    ranked = sorted(cells, key=_chance)
    wrong = []
    for k, cell in enumerate(ranked):
        if _chance(cell) > alpha / (len(ranked) - k):
            break
        wrong.append(cell)
    return wrong


def _chance(cell: Mapping[str, Any]) -> float:
    """Of at least so many misses at the rate δ."""
    return float(binom.sf(cell["misses"] - 1, cell["trials"], DELTA))


def _read(name: str, trials: int, misses: int) -> dict[str, Any]:
    words = ("law", "order", "n", "kind", "form", "claim")
    return {**dict(zip(words, name.split(" | "), strict=True)), "cell": name, "trials": trials, "misses": misses}


def _name(cell: Mapping[str, Any]) -> tuple[str, ...]:
    return cell["law"], cell["order"], cell["n"], cell["claim"]


def _described(cell: Mapping[str, Any], examples: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    interval = clopper_pearson(cell["misses"], cell["trials"], FALSE_ALARM)
    example = examples.get(cell["cell"], {})
    return {
        "case": example.get("case", ""),
        "order": cell["order"],
        "claim": cell["claim"],
        "law": cell["law"],
        "n": cell["n"],
        "failure": (
            f"wrong in {cell['misses']} of {cell['trials']} samples, a rate between {interval.lower:.3g} and "
            f"{interval.upper:.3g}; δ = {DELTA:g}"
        ),
    }


def _more(
    tried: list[dict[str, Any]],
    wrong: list[dict[str, Any]],
    loose: list[dict[str, Any]],
    broken: list[dict[str, Any]],
    caught: set[tuple[str, ...]],
) -> dict[str, Any]:
    """Cells by order, law and claim, instead of misses; and for every claim whether its half was ever caught."""
    invalid = {_name(cell) for cell in wrong}
    strata: dict[str, dict[str, dict[str, int]]] = {}
    for cell in tried:
        for name in ("order", "claim", "law", "n"):
            counts = strata.setdefault(name, {}).setdefault(cell[name], {"cases": 0, "failed": 0})
            counts["cases"] += 1
            counts["failed"] += _name(cell) in invalid
    names = sorted({cell["claim"] for cell in broken})
    noticed = {name: sum(_name(cell) in caught for cell in broken if cell["claim"] == name) for name in names}
    return {
        "strata": strata,
        "delta": DELTA,
        "false_alarm": FALSE_ALARM,
        "wrong_cells": sorted(f"{' | '.join(_name(cell))}: {cell['misses']} of {cell['trials']}" for cell in wrong),
        "asymptotic_too_often": sorted(" | ".join(_name(cell)) for cell in loose),
        "halved_claims": {"cells": len(broken), "caught": len(caught), "caught_by_claim": noticed},
    }


def warm_up() -> None:
    """Load every library that an audit needs."""
    for _ in examine(np.random.default_rng(0)):
        pass


SUITE = Suite(
    name="coverage",
    claim=(
        f"A guaranteed claim about the population, and all of an audit together, is wrong in at most δ = {DELTA:g} of the "
        "samples, whatever the population, and in whatever order a sample lies in its file."
    ),
    oracle=(
        "Finite populations whose means are sums in extended precision; misses are judged with exact binomial tests, by Holm "
        "over all cells (law, order, n, claim); every claim is also tried with half its width, which has to be caught."
    ),
    case="one claim on one sample",
    blocks=160,
    items=50,
    seconds=600.0,
    memory=2**31,
    modules=tuple(f"kd2m_theory.validation.evidence.{name}" for name in ("coverage", "coverage_laws")),
    examine=examine,
    judge=judge,
    warm_up=warm_up,
)
