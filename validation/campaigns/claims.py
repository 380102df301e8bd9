"""What an audit claims about the population, and whether a claim is wrong."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from kd2m_theory.bounds import Ladder
from kd2m_theory.errors import InputError
from kd2m_theory.pair import Pair
from kd2m_theory.validation.campaigns.controls import CONTROLS, without_radius

# Everything guaranteed that one audit says, together; and an interval that is wrong on purpose, which has to be caught.
TOGETHER, BROKEN = "everything guaranteed", "half of an interval"
_HALVED = "accuracy_student"
# Between the name of a claim and what was done to it.
OF = ", "


@dataclass(frozen=True)
class Claim:
    """lower ≤ target ≤ upper.

    Attributes:
        name: of the row or measured value.
        target: what it is about.
        lower: lower end.
        upper: upper end.
        guaranteed: whether it says that it holds at every n.
        control: what was done to it, a key of `CONTROLS`; empty for what an audit says.
    """

    name: str
    target: str
    lower: float
    upper: float
    guaranteed: bool
    control: str = ""

    @property
    def words(self) -> str:
        """Its name, with what was done to it."""
        return f"{self.name}{OF}{self.control}" if self.control else self.name


def row_claims(ladder: Ladder) -> Iterator[Claim]:
    """What the rows of an audit say about the population, and the controls of each."""
    assert isinstance(ladder.pair, Pair)  # controls look at the samples
    for row in ladder.evaluate():
        if row.applicable and row.level is not None:
            claim = Claim(name=row.name, target=row.target, lower=row.lower, upper=row.upper, guaranteed=row.guaranteed)
            yield from (claim, *_controls(claim, *without_radius(row, ladder.pair)))


def claims(ladder: Ladder) -> Iterator[Claim]:
    """Everything that an audit says about the population, the controls of each, and the broken interval."""
    yield from row_claims(ladder)
    measured = ladder.measure()
    for name, each in measured.items():
        claim = Claim(name=name, target=name, lower=each.lower, upper=each.upper, guaranteed=each.guaranteed)
        yield from (claim, *_controls(claim, each.value, each.value))
    whole = measured[_HALVED]
    lower, upper = ((whole.value + end) / 2 for end in (whole.lower, whole.upper))
    yield Claim(name=BROKEN, target=_HALVED, lower=lower, upper=upper, guaranteed=False)


def _controls(claim: Claim, lower: float, upper: float) -> Iterator[Claim]:
    """The claim with so much of its radius, from its ends without one."""
    for control, left in CONTROLS.items():
        ends = [
            end if np.isinf(end) else bare + left * (end - bare) for bare, end in ((lower, claim.lower), (upper, claim.upper))
        ]
        yield replace(claim, lower=ends[0], upper=ends[1], control=control)


def judged(claim: Claim, truth: Mapping[str, tuple[float, float]]) -> tuple[bool, bool]:
    """Whether a claim is certainly wrong, and whether it may be."""
    if claim.target not in truth:
        raise InputError(f"{claim.name} is about {claim.target}, which no coverage study measures; leave it out of rows")
    low, high = truth[claim.target]
    return claim.upper < low or claim.lower > high, claim.lower > low or claim.upper < high


def together(ladder: Ladder, truth: Mapping[str, tuple[float, float]]) -> Iterator[tuple[Claim, tuple[bool, bool]]]:
    """Everything guaranteed as one claim, and its controls: each with whether anything in it is certainly, or may be, wrong."""
    guaranteed = [claim for claim in claims(ladder) if claim.guaranteed]
    for control in ("", *CONTROLS):
        verdicts = [judged(claim, truth) for claim in guaranteed if claim.control == control]
        claim = Claim(name=TOGETHER, target="audit", lower=-np.inf, upper=np.inf, guaranteed=True, control=control)
        yield claim, (any(certain for certain, _ in verdicts), any(possible for _, possible in verdicts))
