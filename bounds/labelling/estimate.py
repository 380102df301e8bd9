"""What labels in drawing order say: intervals of the file and of the population, and what more labels would buy."""

import math
from dataclasses import dataclass

import numpy as np

from kd2m_theory.arrays import Float64, Int64
from kd2m_theory.bounds.labelling.drawn import Drawn
from kd2m_theory.estimators import Confidence
from kd2m_theory.estimators.drawing import remainder_limit
from kd2m_theory.estimators.intervals import chernoff_limit
from kd2m_theory.estimators.paired import difference_limit, paired_limit
from kd2m_theory.estimators.scale import round_down, round_up
from kd2m_theory.words import between, number, percent, signed

# Labels of which `LabelEstimate.next` speaks.
MORE = 50
# Part of a limit's failure probability that a population's limit of errors spends on the file's: where all disagreements are
# to be labelled, and where they are not.
_OF_FILE_EXACT, _OF_FILE = 0.1, 0.5
# Parts that the population's limit of cross-entropy has: mean of U_ŷ, sum over the file, Chernoff.
PARTS = 3
_CHOSEN = "the labelled inputs were chosen at random"


@dataclass(frozen=True, slots=True)
class Prediction:
    """How wide the intervals would be after more labels, if those were like the labels so far. It guarantees nothing.

    Attributes:
        labels: how many more.
        file: width of the file's interval.
        population: width of the population's interval.

    Example:
        >>> from kd2m_theory import Pair, label_plan
        >>> logits = np.random.default_rng(0).normal(size=(200, 3))
        >>> plan = label_plan(Pair(logits_teacher=logits, logits_student=-logits), budget=20, target="error")
        >>> found = plan.estimate([0] * 20)
        >>> found.next.labels, found.next.file < found.file.upper - found.file.lower
        (50, True)
    """

    labels: int
    file: float
    population: float


@dataclass(frozen=True, slots=True)
class LabelEstimate:
    """What a number of labels says about student less teacher.

    Each of the two intervals holds at its own level; those of a plan hold whenever the labelling is stopped. That of the
    file needs nothing but the plan's own draws, or labelled inputs that were chosen at random; that of the population needs
    inputs that are independent draws from it, too.

    Attributes:
        target: "error" or "gap".
        labels: how many were used.
        needed: how many make the file's answer exact.
        samples: inputs of the file.
        loss_bound: B in nats at which cross-entropy is clipped; None for errors.
        file: interval of the file's difference of error rates, or of mean clipped cross-entropies in nats.
        population: interval of the same difference in the population.
        next: what more labels of this plan would buy; None if there are none.
        anytime: whether the intervals hold at all numbers of labels together.

    Example:
        >>> from kd2m_theory import Pair, label_plan
        >>> logits = np.array([[2.0, 0.0], [0.0, 1.0], [3.0, 0.0], [0.0, 3.0]])
        >>> found = label_plan(Pair(logits_teacher=logits, logits_student=-logits), target="error").estimate([0, 0, 0, 0])
        >>> found.labels, found.exact, found.file.value, found.next
        (4, True, 0.0, None)
    """

    target: str
    labels: int
    needed: int
    samples: int
    loss_bound: float | None
    file: Confidence
    population: Confidence
    next: Prediction | None
    anytime: bool

    @property
    def exact(self) -> bool:
        """Whether the file's answer is exact."""
        return self.labels == self.needed

    def __str__(self) -> str:
        what = "error rates" if self.loss_bound is None else f"cross-entropies (clipped at {number(self.loss_bound)} nats)"
        scale, unit = (100.0, "points") if self.loss_bound is None else (1.0, "nats")

        def ends(interval: Confidence) -> str:
            return f"{between(interval.lower, interval.upper, scale, 3)} {unit}"

        if self.anytime:
            say = [f"{self.labels:,} of {self.samples:,} inputs are labelled"]
        else:
            known = f"{self.needed:,} have labels that can matter, and {self.labels:,} of these are known"
            say = [f"Of {self.samples:,} inputs, {known}"]
        say[0] += f"; what follows is about the {what}, student less teacher."
        if self.exact:
            exact = f"{signed(scale * self.file.value, 4)} {unit}"
            say.append(f"In this file the difference is exactly {exact}: no other label can change it.")
        else:
            stop = ", whenever you stop" if self.anytime else f", if {_CHOSEN}"
            say.append(f"In this file the difference is {ends(self.file)}, {_level(self.file)}{stop}.")
        say.append(
            f"In the population it is {ends(self.population)}, {_level(self.population)}, if the inputs are independent "
            f"draws from it{'' if self.anytime or self.exact else f' and {_CHOSEN}'}."
        )
        if self.next is not None:
            say.append(
                f"{self.next.labels} more labels like these would make the intervals about {number(scale * self.next.file, 2)} "
                f"and {number(scale * self.next.population, 2)} {unit} wide, now {number(scale * _width(self.file), 2)} and "
                f"{number(scale * _width(self.population), 2)}: a prediction, without guarantee."
            )
        return "\n".join(say)


@dataclass(frozen=True, eq=False)
class _Seen:
    """What the drawn rows turned out to be: U_Y, rises and falls (n each)."""

    changes: Float64
    rises: Float64
    falls: Float64


def estimate(plan: Drawn, labels: Int64) -> LabelEstimate:
    """The intervals after the first labels of a plan, which are known to be classes."""
    changes = plan.changes[np.arange(len(labels)), labels]
    seen = _Seen(
        changes,
        np.maximum(changes - plan.base_up[: len(labels)], 0.0),
        np.maximum(plan.base_down[: len(labels)] - changes, 0.0),
    )
    file, population = _intervals(plan, seen)
    later = _as_so_far(plan, seen)
    ahead = None
    if later is not None:
        wide = [_width(interval) for interval in _intervals(plan, later)]
        ahead = Prediction(labels=len(later.changes) - len(labels), file=wide[0], population=wide[1])
    return LabelEstimate(
        target=plan.target,
        labels=len(labels),
        needed=plan.needed,
        samples=plan.samples,
        loss_bound=plan.loss_bound,
        file=file,
        population=population,
        next=ahead,
        anytime=plan.ANYTIME,
    )


def _intervals(plan: Drawn, seen: _Seen) -> tuple[Confidence, Confidence]:
    """The intervals for the file and for the population."""
    file = _file(plan, seen)
    return file, _population(plan, seen, file.value)


def _as_so_far(plan: Drawn, seen: _Seen) -> _Seen | None:
    """The labels so far, and up to 50 rows that follow, which repeat the parts of the largest rises and falls seen."""
    n = len(seen.changes)
    end = min(n + MORE, len(plan.order))
    if end == n:
        return None
    rows, answers = np.arange(n, end), plan.changes[np.arange(n, end), plan.answers[n:end]]
    rises, falls = np.maximum(answers - plan.base_up[rows], 0.0), np.maximum(plan.base_down[rows] - answers, 0.0)
    if n:  # without labels, as if the teacher were right
        # From evenly spread positions: the first rows drawn are not like the last.
        like = np.arange(n)[np.linspace(0, n - 1, end - n).round().astype(int)]
        rises = _part(seen.rises, plan.rises[:n])[like] * plan.rises[rows]
        falls = _part(seen.falls, plan.falls[:n])[like] * plan.falls[rows]
    both = seen.rises, rises, seen.falls, falls
    return _Seen(np.concatenate((seen.changes, plan.base_up[rows] + rises)), np.concatenate(both[:2]), np.concatenate(both[2:]))


def _part(values: Float64, largest: Float64) -> Float64:
    return np.divide(values, largest, out=np.zeros(len(values)), where=largest > 0)


def _rest(plan: Drawn, seen: _Seen, part: float) -> tuple[float, float]:
    """Limits of what the rows without a label can add to `base_up` and take from `base_down`, at a part of each side's tail."""
    n = len(seen.changes)
    limits = []
    for values, ratios, name, tail in (
        (seen.rises, plan.ratios_up, "rises", plan.tails[1]),
        (seen.falls, plan.ratios_down, "falls", plan.tails[0]),
    ):
        limit = remainder_limit(
            values=values,
            weights=plan.weights[:n],
            left=plan.left["weights"][:n],
            ratios=ratios[:n],
            most=float(plan.left[name][n]),
            planned=plan.budget,
            tail=tail * part,
        )
        if plan.target == "error":  # whole numbers, of even ones for two classes
            step = 2 if plan.classes == 2 else 1
            limit = float(step * math.floor(limit / step))
        limits.append(limit)
    return limits[0], limits[1]


def _sums(plan: Drawn, seen: _Seen, part: float) -> tuple[float, float]:
    """Limits of Σ U_Y over the file: labelled rows count as they are.

    Limits that contradict one another are the case in which one of them fails; what is certain takes their place.
    """
    n = len(seen.changes)
    known, start, end = math.fsum(seen.changes), plan.left["base_down"][n], plan.left["base_up"][n]
    up, down = _rest(plan, seen, part)
    if start - down > end + up:
        up, down = plan.left["rises"][n], plan.left["falls"][n]
    return float(known + start - down), float(known + end + up)


def _file(plan: Drawn, seen: _Seen) -> Confidence:
    lower, upper = (total / plan.samples for total in _sums(plan, seen, 1.0))
    complete = len(seen.changes) == plan.needed
    if plan.target == "gap":
        slack = plan.rounding + 1e-12 * abs(upper - lower)
        lower, upper = round_down(lower - slack), round_up(upper + slack)
    most = 1.0 if plan.loss_bound is None else plan.loss_bound
    return Confidence(
        value=min(max(_guess(plan, seen, (lower + upper) / 2), lower), upper),
        lower=max(-most, lower),
        upper=min(most, upper),
        level=1.0 if complete else 1 - plan.delta,
        unit="probability" if plan.target == "error" else "nats",
        method="every label that can matter" if complete else "betting without replacement",
        guaranteed=True,
        assumptions=_assumption(plan, seen),
        least=-most,
        most=most,
    )


def _assumption(plan: Drawn, seen: _Seen) -> str:
    """Why the labelled rows say what is said of the file."""
    return "labels of all inputs at which one can matter" if len(seen.changes) == plan.needed else plan.ASSUMPTION


def _guess(plan: Drawn, seen: _Seen, without: float) -> float:
    """The file's mean, the rows without a label taken to be like those with one, by their weights."""
    n = len(seen.changes)
    if not n:
        return without
    like = float(np.mean((seen.changes - plan.base_up[:n]) / plan.weights[:n]))
    return (math.fsum(seen.changes) + float(plan.left["base_up"][n]) + float(plan.left["weights"][n]) * like) / plan.samples


def _population(plan: Drawn, seen: _Seen, guess: float) -> Confidence:
    lower, upper = _population_of_errors(plan, seen) if plan.target == "error" else _population_of_losses(plan, seen)
    most = 1.0 if plan.loss_bound is None else plan.loss_bound
    if lower > upper:  # one of both fails, and nothing says which
        lower, upper = -most, most
    return Confidence(
        value=min(max(guess, lower), upper),
        lower=max(-most, lower),
        upper=min(most, upper),
        level=1 - plan.delta,
        unit="probability" if plan.target == "error" else "nats",
        method="exact on discordant pairs" if plan.target == "error" else "betting without replacement and Chernoff's bound",
        guaranteed=True,
        assumptions=f"independent samples; {_assumption(plan, seen)}",
        least=-most,
        most=most,
    )


def _population_of_errors(plan: Drawn, seen: _Seen) -> tuple[float, float]:
    """Limits of the population's difference of error rates.

    At a tail τ, the file's sum T has a limit at a part f of τ, and the population's difference one at (1 − f) τ, which grows
    with T and with the number of discordant inputs, at most the disagreements. When all disagreements are labelled both
    numbers are known. The limit with exact numbers fails wherever that with larger ones does, so the union of both events at
    τ covers every time of stopping.
    """
    part = _OF_FILE_EXACT if plan.exact else _OF_FILE
    tails = [tail * (1 - part) for tail in plan.tails]
    n, values = plan.samples, seen.changes
    worse, better = int((values > 0).sum()), int((values < 0).sum())
    if len(values) == plan.needed:
        upper = round_up(paired_limit(worse, better, n, tails[1]))
        return (round_down(-paired_limit(better, worse, n, tails[0])) if tails[0] else -1.0), upper
    low, high = _sums(plan, seen, part)
    discordant = worse + better + plan.needed - len(values)
    upper = difference_limit(int(high), discordant, n, tails[1])
    return (-difference_limit(int(-low), discordant, n, tails[0]) if tails[0] else -1.0), upper


def _population_of_losses(plan: Drawn, seen: _Seen) -> tuple[float, float]:
    """Limits of the population's clipped gap.

    E U_Y ≤ E U_ŷ + E rise. The first mean has a limit from all inputs of the file, labelled or not; the mean of rises over the
    file has one, h, from the labels; and the population's mean of a variable in [0, range] whose mean over the file is at
    most h is at most range · kl⁻¹(h/range; ln(1/τ)/N). Each is wrong with probability at most a third of the side's tail. The
    middle one holds whatever the file is, so that using the file twice costs nothing but the union.
    """
    n = plan.samples
    assert plan.anchor is not None
    up, down = _rest(plan, seen, 1 / PARTS)
    ends = []
    for sign, start, drawn, rest, scale, tail in (
        (-1, plan.anchor[0], seen.falls, down, plan.range_down, plan.tails[0] / PARTS),
        (1, plan.anchor[1], seen.rises, up, plan.range_up, plan.tails[1] / PARTS),
    ):
        if not tail:
            ends.append(-math.inf)
            continue
        mean = min(1.0, (math.fsum(drawn) + rest) / n / scale * (1 + 1e-12))
        ends.append(start + sign * (scale * chernoff_limit(mean, n, tail) + plan.rounding))
    return round_down(ends[0]), round_up(ends[1])


def _width(interval: Confidence) -> float:
    return interval.upper - interval.lower


def _level(interval: Confidence) -> str:
    return f"at {percent(interval.level)}"
