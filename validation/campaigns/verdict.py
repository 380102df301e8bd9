"""Whether a campaign caught anything: rows that do not hold on a pair, and claims that are wrong more often than they say."""

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from kd2m_theory.estimators import clopper_pearson
from kd2m_theory.validation.campaigns.claims import BROKEN, OF
from kd2m_theory.validation.campaigns.controls import CONTROLS
from kd2m_theory.validation.campaigns.pair_task import violation_file
from kd2m_theory.validation.campaigns.table import Row

Verdict = Literal["invalid", "compatible", "conservative", "too few"]
# All verdicts of a campaign together are wrong with at most this probability.
DELTA = 0.05
# Conservative: wrong less often than a fifth of what it may be.
_WIDE_MARGIN = 5


@dataclass(frozen=True)
class Violation:
    """A guaranteed row that does not hold on a pair.

    Attributes:
        name: the row.
        run: the pair's run in words.
        epoch: of the pair.
        value: what was measured.
        lower: the row's lower side.
        upper: its upper side.
        file: of the pair, in the store.
    """

    name: str
    run: str
    epoch: int
    value: float
    lower: float
    upper: float
    file: str


@dataclass(frozen=True)
class Cell:
    """A claim, at one size of sample and one δ.

    Attributes:
        run: the pair in words.
        name: the row or measured value.
        n: images of an audit.
        delta: of the claim: how often it may be wrong.
        guaranteed: whether it says that it holds at every n.
        trials: audits.
        certain: audits in which it was wrong whatever the truth is within its own interval.
        possible: audits in which it may have been wrong.
        lower: lower end of the interval of the rate at which it is wrong.
        upper: upper end.
        power: what the count would have noticed: "half the radius" or "no radius" if that control of the claim is wrong more
            often than δ, "nothing" if neither is, "not tried" if the claim has no controls.
        verdict: "invalid" if the rate is above δ, "conservative" if it is below a fifth of it, "too few" if not even an audit
            without failure would have shown that it is below δ, else "compatible".
    """

    run: str
    name: str
    n: int
    delta: float
    guaranteed: bool
    trials: int
    certain: int
    possible: int
    lower: float
    upper: float
    power: str
    verdict: Verdict


@dataclass(frozen=True)
class Judgement:
    """The answer of a campaign.

    Attributes:
        checked: guaranteed deterministic rows that were compared with a measured value.
        violations: those that do not hold.
        cells: claims about the population.
    """

    checked: int
    violations: tuple[Violation, ...]
    cells: tuple[Cell, ...]

    @property
    def evidence(self) -> bool:
        """Whether anything was tried at all: nothing tried is not a success."""
        return self.checked > 0 or bool(self.cells)

    @property
    def invalid(self) -> tuple[Cell, ...]:
        """Guaranteed claims that are wrong too often."""
        return tuple(cell for cell in self.cells if cell.guaranteed and cell.verdict == "invalid")

    @property
    def missed(self) -> tuple[Cell, ...]:
        """Broken intervals that were not caught."""
        return tuple(cell for cell in self.cells if cell.name == BROKEN and cell.verdict != "invalid")

    @property
    def failed(self) -> bool:
        """Whether a guaranteed row did not hold, or was wrong too often, or a broken interval was not caught."""
        return bool(self.violations or self.invalid or self.missed)

    @property
    def passed(self) -> bool:
        """Whether something was tried and nothing failed."""
        return self.evidence and not self.failed


def judge(bounds: Iterable[Row], counts: Iterable[Row]) -> Judgement:
    """The judgement of the rows of kind "bound" and of kind "coverage"."""
    checked = [row for row in bounds if row["guaranteed"] and row["share"] is None and row["holds"] is not None]
    violations = tuple(_violation(row) for row in checked if not row["holds"])
    return Judgement(len(checked), violations, _cells(counts))


def run_in_words(row: Row) -> str:
    """The run that a row is about."""
    weight = "" if row["weight"] is None else f" λ = {row['weight']:g}"
    population = f"{row['population']}{in_words(row['law'])}"
    networks = f"{row['teacher']} to {row['student']}"
    return f"{population}, {networks}, {row['objective']}{weight}{in_words(row['options'])}, seed {row['seed']}"


def in_words(options: str) -> str:
    """Options that the table holds as JSON, in brackets; nothing for none."""
    words = ", ".join(f"{name} {value}" for name, value in json.loads(options).items())
    return f" ({words})" if words else ""


def _violation(row: Row) -> Violation:
    file = violation_file(row["task"], row["epoch"])
    return Violation(
        name=row["name"],
        run=run_in_words(row),
        epoch=row["epoch"],
        value=row["value"],
        lower=row["lower"],
        upper=row["upper"],
        file=file,
    )


def _cells(counts: Iterable[Row]) -> tuple[Cell, ...]:
    blocks: defaultdict[tuple[Any, ...], list[Row]] = defaultdict(list)
    controls: defaultdict[tuple[Any, ...], dict[str, list[Row]]] = defaultdict(dict)
    for row in counts:
        name, _, control = row["name"].partition(OF)
        key = row["configuration"], name, row["n"], row["delta"]
        (controls[key].setdefault(control, []) if control else blocks[key]).append(row)
    share = DELTA / max(len(blocks), 1)
    return tuple(_cell(_disjoint(rows), share, _power(controls[key], share)) for key, rows in blocks.items())


def _power(controls: dict[str, list[Row]], delta: float) -> str:
    if not controls:
        return "not tried"
    caught = (control for control in CONTROLS if control in controls and _caught(_disjoint(controls[control]), delta))
    return next(caught, "nothing")


def _caught(rows: Sequence[Row], delta: float) -> bool:
    trials, certain = (sum(row[name] for row in rows) for name in ("trials", "certain"))
    lower: float = clopper_pearson(certain, trials, delta).lower
    return lower > float(rows[0]["delta"])


def _disjoint(rows: Iterable[Row]) -> list[Row]:
    """Blocks that share no sample: one that was tried in two campaigns counts once."""
    kept: list[Row] = []
    for row in sorted(rows, key=lambda row: (row["stream"], row["first"], -row["trials"])):
        if not kept or kept[-1]["stream"] != row["stream"] or kept[-1]["first"] + kept[-1]["trials"] <= row["first"]:
            kept.append(row)
    return kept


def _cell(rows: Sequence[Row], delta: float, power: str) -> Cell:
    first = rows[0]
    trials, certain, possible = (sum(row[name] for row in rows) for name in ("trials", "certain", "possible"))
    lower, upper = clopper_pearson(certain, trials, delta).lower, clopper_pearson(possible, trials, delta).upper
    verdict: Verdict = "compatible"
    if lower > first["delta"]:
        verdict = "invalid"
    elif clopper_pearson(0, trials, delta).upper > first["delta"]:
        verdict = "too few"
    elif upper < first["delta"] / _WIDE_MARGIN:
        verdict = "conservative"
    return Cell(
        run=run_in_words(first),
        name=first["name"],
        n=first["n"],
        delta=first["delta"],
        guaranteed=first["guaranteed"],
        trials=trials,
        certain=certain,
        possible=possible,
        lower=lower,
        upper=upper,
        power=power,
        verdict=verdict,
    )
