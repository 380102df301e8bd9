"""How often claims about the population are wrong, on fresh samples in three orders, and whether a broken claim is noticed."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import binom

from kd2m_theory.bounds import Known, Ladder, Settings
from kd2m_theory.estimators import clopper_pearson
from kd2m_theory.validation.campaigns.campaign import POPULATION_ROWS
from kd2m_theory.validation.campaigns.claims import BROKEN, Claim, claims, judged, together
from kd2m_theory.validation.campaigns.controls import CONTROLS
from kd2m_theory.validation.evidence.coverage_laws import LAWS, ORDERS, PAIRS, Law, law, truth
from kd2m_theory.validation.evidence.suite import Case, Judgement, Suite, Tally

# At 196 one fixed permutation of a sorted sample was seen to be a bad one.
SIZES = (30, 100, 196, 300, 1000, 5000)
# Sorted samples are tried at the first; a count at one δ says nothing of another.
DELTAS = (0.05, 0.2)
# Probability that any sound claim of all cells is called wrong (Holm).
FALSE_ALARM = 0.01
# With fewer trials not even a claim that is never wrong is shown to be wrong less often than 0.05.
_LEAST_TRIALS = 60
# These take seconds on a large sample: from 1,000 on they are left out where a sample is sorted, and at 5,000 they are tried on
# one pair alone, without repeated atoms, on which transport takes minutes.
_WITH_TRANSPORT = ("F2.T2", "F2.T5", "F2.T8", "F5.T2", "F5.brier")
_LARGE, _LARGEST, _OF_THE_LARGEST = 1000, 5000, ("continuous", "as made")
# Rows of an audit that is told how wrong the teacher is.
_TOLD = ("F3.teacher_risk", "F3.teacher_error")
_CELL, _MISSED = "cell", "missed"
_SOUND = "claim"
# Parts of the name of a cell.
_PARTS = ("law", "pair", "order", "n", "delta", "kind", "form", "claim")


def examine(rng: np.random.Generator) -> Iterator[Case]:
    """One sample in every order: each claim at all of δ, with its controls, and everything guaranteed together."""
    name, pair, n = str(rng.choice(LAWS)), str(rng.choice(list(PAIRS))), int(rng.choice(SIZES))
    chosen, true = law(name, pair), truth(name, pair)
    drawn = chosen.drawn(rng, n)
    for k, (order, arranged) in enumerate(ORDERS.items()):
        transport = n < _LARGE or (k == 0 and (n < _LARGEST or (name, pair) == _OF_THE_LARGEST))
        rows = [row for row in (*POPULATION_ROWS, *_TOLD) if transport or row not in _WITH_TRANSPORT]
        ladder = Ladder(chosen.pair(arranged(chosen, drawn)), DELTAS[0], rows, _told(chosen), with_measured=True)
        for delta in DELTAS if k == 0 else DELTAS[:1]:
            about = {"law": name, "pair": pair, "order": order, "n": str(n), "delta": f"{delta:g}"}
            ladder.spend(delta, each=True)
            for claim in claims(ladder):
                if claim.name != BROKEN:  # it is one of the controls
                    wrong, _ = judged(claim, true)
                    words = f"[{claim.lower:.6g}, {claim.upper:.6g}] misses {true[claim.target][0]:.6g}"
                    yield from _case(about, claim, words if wrong else "")
            if delta == DELTAS[0]:
                ladder.spend(delta)
                for claim, (wrong, _) in together(ladder, true):
                    yield from _case(about, claim, "something in it misses" if wrong else "")


def _told(chosen: Law) -> Settings:
    """Exactly how wrong the teacher is in the population."""
    true = chosen.means()
    risk, error = true["population_risk"] - true["population_gap"], 1 - true["accuracy_teacher"]
    return Settings(
        teacher_risk=Known((risk, risk), about="population"), teacher_error=Known((error, error), about="population")
    )


def _case(about: Mapping[str, str], claim: Claim, failure: str) -> Iterator[Case]:
    """A claim; of a control only that it misses, which is not a failure."""
    kind = "guaranteed" if claim.guaranteed else "asymptotic"
    cell = " | ".join((*about.values(), kind, claim.control or _SOUND, claim.name))
    if not claim.control:
        yield Case({_CELL: cell, **about}, failure)
    elif failure:
        yield Case({_MISSED: cell})


@dataclass(frozen=True)
class Cell:
    """A claim on one population, pair, order, n and δ.

    Attributes:
        about: law, pair, order, n, δ, kind and claim, by name.
        trials: samples.
        misses: of the claim.
        controls: misses of each control, by its name.
    """

    about: Mapping[str, str]
    trials: int
    misses: int
    controls: Mapping[str, int]

    @property
    def name(self) -> str:
        """All that it is about but the kind."""
        return " | ".join(value for key, value in self.about.items() if key != "kind")

    @property
    def guaranteed(self) -> bool:
        """Whether the claim says that it holds at every n."""
        return self.about["kind"] == "guaranteed"

    def chance(self, misses: int) -> float:
        """Probability of at least so many misses at the rate δ."""
        return float(binom.sf(misses - 1, self.trials, float(self.about["delta"])))

    def power(self, level: float) -> str:
        """The first control that would be called wrong at this level; "nothing" if none would."""
        return next((name for name, misses in self.controls.items() if self.chance(misses) <= level), "nothing")


def judge(tally: Tally, laws: Sequence[str] | None = None) -> Judgement:
    """Cells in which a guaranteed claim is wrong more often than δ, and what each cell would have noticed."""
    cells = list(_cells(tally.strata.get(_CELL, {}), tally.strata.get(_MISSED, {})))
    many = [cell for cell in cells if cell.trials >= _LEAST_TRIALS]
    tried = [cell for cell in many if cell.guaranteed]
    wrong = holm(tried, FALSE_ALARM)
    loose = holm([cell for cell in many if not cell.guaranteed], FALSE_ALARM)
    # A control is caught if no other cell is needed to call it wrong.
    power = {cell.name: cell.power(FALSE_ALARM / len(tried)) for cell in tried}
    doubts = []
    if len(many) < len(cells) or not cells:
        doubts.append(f"{len(cells) - len(many)} cells have fewer than {_LEAST_TRIALS} trials")
    blind = [
        name
        for name in (LAWS if laws is None else laws)
        if tried and all(power[c.name] == "nothing" for c in tried if c.about["law"] == name)
    ]
    if blind:
        doubts.append(f"no claim without its radius was caught on {', '.join(blind)}: a wrong one might not be either")
    examples = {failure[_CELL]: failure for failure in reversed(tally.failures)}
    failures = [_described(cell, examples) for cell in sorted(wrong, key=lambda cell: -cell.misses / cell.trials)]
    return Judgement(len(wrong), failures, tuple(doubts), _more(tried, wrong, loose, power))


def holm(cells: Iterable[Cell], alpha: float) -> list[Cell]:
    """The cells whose rate is above δ, so that any of them is called so by mistake with probability at most alpha."""
    ranked = sorted(cells, key=lambda cell: cell.chance(cell.misses))
    wrong = []
    for k, cell in enumerate(ranked):
        if cell.chance(cell.misses) > alpha / (len(ranked) - k):
            break
        wrong.append(cell)
    return wrong


def _cells(counts: Mapping[str, Sequence[int]], missed: Mapping[str, Sequence[int]]) -> Iterator[Cell]:
    for name, (trials, misses) in sorted(counts.items()):
        about = dict(zip(_PARTS, name.split(" | "), strict=True))
        controls = {each: missed.get(" | ".join((about | {"form": each}).values()), (0, 0))[0] for each in CONTROLS}
        del about["form"]
        yield Cell(about=about, trials=trials, misses=misses, controls=controls)


def _described(cell: Cell, examples: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    interval = clopper_pearson(cell.misses, cell.trials, FALSE_ALARM)
    about = {key: value for key, value in cell.about.items() if key != "kind"}
    full = " | ".join((_SOUND if part == "form" else cell.about[part]) for part in _PARTS)
    return {
        "case": examples.get(full, {}).get("case", ""),
        **about,
        "failure": (
            f"wrong in {cell.misses} of {cell.trials} samples, a rate between {interval.lower:.3g} and {interval.upper:.3g}; "
            f"δ = {about['delta']}"
        ),
    }


def _more(tried: Sequence[Cell], wrong: Sequence[Cell], loose: Sequence[Cell], power: Mapping[str, str]) -> dict[str, Any]:
    """Cells by what was varied instead of misses, what they would have noticed, and the counts of every one."""
    invalid = {cell.name for cell in wrong}
    strata: dict[str, dict[str, dict[str, int]]] = {}
    noticed: dict[str, dict[str, dict[str, int]]] = {}
    groups: defaultdict[str, dict[str, list[Cell]]] = defaultdict(dict)
    for cell in tried:
        for key in ("order", "law", "pair", "n", "delta", "claim"):
            levels = strata.setdefault(key, {}).setdefault(cell.about[key], {"cases": 0, "failed": 0})
            levels["cases"] += 1
            levels["failed"] += cell.name in invalid
        of_claim = noticed.setdefault(cell.about["claim"], {})
        of_claim.setdefault(cell.about["n"], dict.fromkeys((*CONTROLS, "nothing"), 0))[power[cell.name]] += 1
        place = " | ".join(cell.about[key] for key in ("n", "delta", "order"))
        groups[cell.about["claim"]].setdefault(place, []).append(cell)
    return {
        "strata": strata,
        "false_alarm": FALSE_ALARM,
        "fewest_trials": min((cell.trials for cell in tried), default=0),
        "wrong_cells": sorted(f"{cell.name}: {cell.misses} of {cell.trials}" for cell in wrong),
        "asymptotic_too_often": sorted(f"{cell.name}: {cell.misses} of {cell.trials}" for cell in loose),
        "noticed": noticed,
        "counts_are": f"over populations and pairs: samples, misses, misses with {', with '.join(CONTROLS)}; the worst of them",
        "counts": {claim: {place: _counted(each) for place, each in of.items()} for claim, of in groups.items()},
    }


def _counted(cells: Sequence[Cell]) -> str:
    numbers = [sum(each.trials for each in cells), sum(each.misses for each in cells)]
    numbers += [sum(each.controls.get(name, 0) for each in cells) for name in CONTROLS]
    worst = max(cells, key=lambda each: each.misses / each.trials)
    return f"{' '.join(map(str, numbers))}; {worst.misses} of {worst.trials} {worst.about['law']}, {worst.about['pair']}"


def warm_up() -> None:
    """Load every library that an audit needs."""
    small = law(LAWS[0])
    ladder = Ladder(small.pair(small.drawn(np.random.default_rng(0), 20)), DELTAS[0], POPULATION_ROWS)
    list(claims(ladder))


SUITE = Suite(
    name="coverage",
    claim=(
        "A guaranteed claim about the population, and everything guaranteed in one audit together, is wrong in at most δ of "
        "the samples, whatever the population and the pair, and in whatever order a sample lies in its file."
    ),
    oracle=(
        "Finite populations whose means are sums in extended precision; misses are judged with exact binomial tests, by Holm "
        "at 1 % over all cells (population, pair, order, n, δ, claim). Every claim is also tried with half of its radius and "
        "with none: a cell that catches neither says so. Rows with transport are tried in every sample of up to 300; of 1,000 "
        "only as drawn; of 5,000 only as drawn on the population “continuous”, as made. Rows that use what is known of the "
        "teacher are told its risk and its error in the population."
    ),
    case="one claim on one sample",
    blocks=580,
    items=20,
    seconds=1200.0,
    memory=2**31,
    modules=tuple(f"kd2m_theory.validation.evidence.{name}" for name in ("coverage", "coverage_laws")),
    examine=examine,
    judge=judge,
    warm_up=warm_up,
)
