"""What a bound says about one pair, with everything one needs to believe it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from kd2m_theory.assumptions import About
from kd2m_theory.bounds.targets import SUBJECTS, Target
from kd2m_theory.estimators import Enclosure
from kd2m_theory.words import number, outward

# Why a row that could have been computed was not.
INTERRUPTED = "the audit was interrupted before this row was computed"
OUT_OF_TIME = "the seconds that the audit was given had passed before this row was begun"

# Statuses of rows that have no number.
WITHOUT_NUMBER = ("not applicable", "not computed")

Direction = Literal["two-sided", "upper", "lower"]
State = Literal["met", "vouched", "unmet"]


@dataclass(frozen=True, slots=True)
class Assumption:
    """A hypothesis of a row, or an input that it is computed from, and how it stands for this pair.

    Attributes:
        name: its key in `kd2m_theory.assumptions`, which has the sentence and says which keys are inputs.
        state: "met" (checked), "vouched" (only the user can know), or "unmet".
        evidence: what was checked, or what to do about it.

    Example:
        >>> print(Assumption("labels", "unmet", "the pair is unlabelled; pass labels").state)
        unmet
    """

    name: str
    state: State
    evidence: str


@dataclass(frozen=True, slots=True)
class BoundResult:
    """One row of the ladder: lower ≤ target ≤ upper, if the assumptions hold.

    Attributes:
        name: row name, theorem first ("T2.head_aware").
        sentence: what the row means, in one sentence for people.
        statement: what the row says, as a formula in words and symbols.
        source: theorem and paper.
        target: what it bounds, of `targets.SUBJECTS`: "gap", "gap_shared_head" (nats), "error_gap" (probability), …
        lower: lower bound on the target; nan without a number.
        upper: upper bound on the target; nan without a number.
        measured: the target's value on the same sample; None without labels, and for targets that one sample does not show.
        rounding: how far float64 rounding may have moved `measured`.
        vacuous_from: an upper bound of at least this says nothing new. For a difference of losses it allows a student no
            better than uniform guessing: ln K (at most B where losses are clipped; 1 − 1/K for squared losses) less the
            teacher's risk on these samples, if labels say it. For a difference of error rates or probabilities it is the
            largest that the teacher's own share e_T leaves, 1 − e_T with labels, and 1 without.
        assumptions: every input and every hypothesis that is not true by construction, each with its state.
        status: "informative" if the upper bound is below `vacuous_from`, the interval excludes a gap of zero, or, for a
            difference of error rates or probabilities, the lower bound is above −e_T (above −1 without labels); for a
            risk or an error, if the lower bound is above zero; for a distance, if either side is news. Else "vacuous". Without
            a number "not applicable", or "not computed" where the audit was stopped before.
        why: why the status is what it is.
        level: confidence level 1 − δ of this row alone; None for a deterministic statement, about the sample or about the mean
            over labels (`about`).
        never_beats: name of a row that needs nothing more than this one and whose upper bound is never larger; None if there
            is no such row.
        seconds: time this row needs, shared distances included.
        distances: the certified transport values it rests on.
        details: further numbers, by name.
    """

    name: str
    sentence: str
    statement: str
    source: str
    target: Target
    lower: float
    upper: float
    measured: float | None
    rounding: float
    vacuous_from: float
    assumptions: tuple[Assumption, ...]
    status: Literal["informative", "vacuous", "not applicable", "not computed"]
    why: str
    seconds: float
    level: float | None = None
    never_beats: str | None = None
    distances: Mapping[str, Enclosure] = field(default_factory=dict)
    details: Mapping[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        """One line: what it says, and whether that was measured."""
        if not self.applicable:
            return f"{self.name}: {self.status} ({self.why})"
        held = "" if self.measured is None else f", measured {number(self.measured)}, holds: {self.verdict}"
        lower, upper = (number(end) for end in outward(self.lower, self.upper, digits=4))
        return f"{self.name}: {self.target} in [{lower}, {upper}], {self.status}{held}"

    @property
    def applicable(self) -> bool:
        """Whether there is a number at all."""
        return self.status not in WITHOUT_NUMBER

    @property
    def about(self) -> About:
        """What it is a statement about: "sample", "labels" (the mean over labels drawn given these inputs) or "population"."""
        return SUBJECTS[self.target].about

    @property
    def direction(self) -> Direction:
        """Which sides say something."""
        if math.isinf(self.lower):
            return "upper"
        return "lower" if math.isinf(self.upper) else "two-sided"

    @property
    def guaranteed(self) -> bool:
        """Whether a violation would refute theory or code: no assumption is unmet."""
        return self.applicable and all(assumption.state != "unmet" for assumption in self.assumptions)

    @property
    def assumed(self) -> State:
        """The weakest state among the assumptions."""
        states = {assumption.state for assumption in self.assumptions}
        return "unmet" if "unmet" in states else ("vouched" if "vouched" in states else "met")

    @property
    def holds(self) -> bool | None:
        """Whether the measured value lies inside, up to its own rounding; None if unmeasured, NaN, or without a number."""
        if self.measured is None or not self.applicable or any(map(math.isnan, (self.measured, self.lower, self.upper))):
            return None
        return self.lower - self.rounding <= self.measured <= self.upper + self.rounding

    @property
    def verdict(self) -> str:
        """`holds` as a word: "yes", "NO" or "–"."""
        return {True: "yes", False: "NO", None: "–"}[self.holds]

    @property
    def violated(self) -> bool:
        """A guaranteed row that does not hold: news."""
        return self.guaranteed and self.holds is False

    @property
    def slack(self) -> float | None:
        """Distance from the measured value to the nearer side, negative when it lies outside."""
        if self.measured is None or not self.applicable:
            return None
        return min(self.upper - self.measured, self.measured - self.lower)

    @property
    def ratio(self) -> float | None:
        """Bound over gap on the gap's side of zero: upper/gap if the gap is positive, lower/gap if negative.

        Where the gap is zero: 1 if the bound is, else inf. A row that bounds from below alone: lower/gap.
        """
        if self.measured is None or not self.applicable:
            return None
        if self.measured == 0:
            return 1.0 if self.upper == 0 else math.inf
        if self.direction == "lower":
            return self.lower / self.measured
        return (self.upper if self.measured > 0 else self.lower) / self.measured
