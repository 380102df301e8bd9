"""Adversarial pairs through every row: those about the sample against the truth, also for labels drawn afresh."""

import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from kd2m_theory.bounds import ROWS, Ladder
from kd2m_theory.bounds.ladder import at_fault
from kd2m_theory.bounds.result import BoundResult
from kd2m_theory.bounds.settings import Settings
from kd2m_theory.errors import InputError
from kd2m_theory.pair import Pair
from kd2m_theory.validation.evidence.row_pairs import Problem, problem
from kd2m_theory.validation.evidence.row_truth import TARGETS, Truth
from kd2m_theory.validation.evidence.suite import Case, Suite

# Rows about the population are among them: of a sample it can be seen that they answer, and with an interval.
NAMES = tuple(row.name for row in ROWS)


@dataclass(frozen=True)
class Raised:
    """A row that did not answer.

    Attributes:
        name: of the row.
        words: what was raised.
    """

    name: str
    words: str


def examine(rng: np.random.Generator) -> Iterator[Case]:
    """One pair: a case for every guaranteed row that applies to it and every labelling of its inputs."""
    drawn = problem(rng)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield from cases(drawn)


def cases(drawn: Problem) -> Iterator[Case]:
    """The comparisons of one pair's rows with the truth."""
    try:
        pair = drawn.pair()
    except InputError as error:
        yield Case({"family": drawn.strata["family"], "row": "none", **drawn.strata}, f"the pair is refused: {error}")
        return
    truths = [Truth(each, drawn.settings.temperature or 1.0) for each in labelled(pair, drawn)]
    drawn = replace(drawn, settings=told(pair, drawn.settings))
    for row in results(pair, drawn):
        about = {"family": drawn.strata["family"], "row": row.name, **drawn.strata}
        if isinstance(row, Raised):
            yield Case(about, f"raises {row.words}")
        elif at_fault(row):
            yield Case(about, row.why)
        elif row.guaranteed:
            for truth in truths if row.target in TARGETS and truths else [None]:
                failure, alone = verdict(row, truth)
                ends = "not compared" if truth is None else "hold without the allowance" if alone else "need the allowance"
                yield Case({**about, "ends": ends}, failure)


def told(pair: Pair, settings: Settings) -> Settings:
    """The settings, and where there are labels what they say of the teacher: its risk and its error rate, both exactly."""
    try:
        measured = Ladder(pair, 0.05, (), settings).measure()
    except Exception:  # the rows are asked, and say so
        return settings
    if "risk_teacher" not in measured or "accuracy_teacher" not in measured:
        return settings
    risk, wrong = measured["risk_teacher"].value, 1 - measured["accuracy_teacher"].value
    if not math.isfinite(risk):
        return settings
    return replace(settings, teacher_risk=(risk, risk), teacher_error=(wrong, wrong))


def labelled(pair: Pair, drawn: Problem) -> list[Pair]:
    """The pair if it has labels; else the same inputs with each of the labellings that were drawn for them."""
    if pair.labels is not None:
        return [pair]
    return [replace(drawn, arguments={**drawn.arguments, "labels": labels}).pair() for labels in drawn.labellings]


def results(pair: Pair, drawn: Problem) -> Iterator[BoundResult | Raised]:
    """Every row; one that raises does not hide the others."""
    try:
        yield from Ladder(pair, 0.05, NAMES, drawn.settings).evaluate()
        return
    except Exception:  # asked for again one by one, which says whose it is
        pass
    for name in NAMES:
        try:
            yield from Ladder(pair, 0.05, [name], drawn.settings).evaluate()
        except Exception as error:
            yield Raised(name, f"{type(error).__name__}: {error}")


def verdict(row: BoundResult, truth: Truth | None) -> tuple[str, bool]:
    """What is wrong with a row, and whether its ends hold without its allowance for rounding of the target.

    A row fails if the exact target lies outside [lower − rounding, upper + rounding], where `rounding` is what the row itself
    says; if an end is NaN; or if the ends are the wrong way round.
    """
    if math.isnan(row.lower) or math.isnan(row.upper):
        return f"[{row.lower!r}, {row.upper!r}] is not an interval, and the row says that it applies", False
    if row.lower > row.upper:
        return f"lower {row.lower!r} exceeds upper {row.upper!r}", False
    if truth is None:
        return "", True
    if _inside(row.lower, row.upper, truth.roughly(row.target)):
        return "", True
    low, high = truth.exactly(row.target)
    if _allows(row.lower, row.upper, low, high):
        return "", True
    allowance = row.rounding if math.isfinite(row.rounding) else math.inf
    if _allows(row.lower - allowance, row.upper + allowance, low, high):
        return "", False
    told = f"{_words(low)}" if _words(low) == _words(high) else f"between {_words(low)} and {_words(high)}"
    return f"[{row.lower!r}, {row.upper!r}] with an allowance of {allowance:.3g}, but the {row.target} is {told}", False


def _inside(lower: float, upper: float, truth: tuple[Any, Any] | None) -> bool:
    return truth is not None and bool(truth[0] >= lower) and bool(truth[1] <= upper)


def _allows(lower: float, upper: float, low: Any, high: Any) -> bool:
    """Whether some value of the truth's interval lies between the ends: comparisons of rational and mpmath's numbers."""
    above = lower == -math.inf or bool(high >= _exact(lower, high))
    return above and (upper == math.inf or bool(low <= _exact(upper, low)))


def _exact(end: float, like: Any) -> Any:
    return type(like)(end)


def _words(value: Any) -> str:
    return f"{float(value):.17g}"


def warm_up() -> None:
    """Load every library that an audit needs."""
    for _ in examine(np.random.default_rng(0)):
        pass


SUITE = Suite(
    name="rows",
    claim=(
        "Every guaranteed row about the sample contains the exact value of its target, up to the rounding that the row itself "
        "allows for. One that needs no labels contains it for every labelling that is tried: drawn from the teacher, "
        "uniformly, and those that raise or lower the loss most. A row about the mean over labels contains that mean. No row "
        "is NaN, has its ends the wrong way round, or raises, also of those about the population."
    ),
    oracle=(
        "The targets from their definitions, in 64-bit extended precision with an error bound; what that leaves open is "
        "settled with mpmath, W₂ with whole numbers. Where rounding of replayed logits decides an answer, either answer counts."
    ),
    case="one row on one pair with one labelling",
    blocks=120,
    items=20,
    seconds=300.0,
    memory=2**31,
    modules=tuple(f"kd2m_theory.validation.evidence.{name}" for name in ("rows", "row_pairs", "row_truth", "exact_transport")),
    examine=examine,
    warm_up=warm_up,
)
