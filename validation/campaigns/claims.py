"""What an audit claims about the population, and whether a claim is wrong."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from kd2m_theory.bounds import Ladder
from kd2m_theory.errors import InputError
from kd2m_theory.validation.campaigns.campaign import POPULATION_ROWS

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
            yield Claim(name=row.name, target=row.target, lower=row.lower, upper=row.upper, guaranteed=row.guaranteed)
    measured = ladder.measure()
    for name, each in measured.items():
        yield Claim(name=name, target=name, lower=each.lower, upper=each.upper, guaranteed=each.guaranteed)
    whole = measured[_HALVED]
    lower, upper = ((whole.value + end) / 2 for end in (whole.lower, whole.upper))
    yield Claim(name=BROKEN, target=_HALVED, lower=lower, upper=upper, guaranteed=False)


def judged(claim: Claim, truth: Mapping[str, tuple[float, float]]) -> tuple[bool, bool]:
    """Whether a claim is certainly wrong, and whether it may be."""
    if claim.target not in truth:
        raise InputError(f"{claim.name} is about {claim.target}, which no coverage study measures; leave it out of rows")
    low, high = truth[claim.target]
    return claim.upper < low or claim.lower > high, claim.lower > low or claim.upper < high
