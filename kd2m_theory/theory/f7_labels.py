"""F7: labels drawn where they can move the gap. Files have a few rows, so that a probability is a sum over all drawings."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import rel_entr
from scipy.stats import binom

from kd2m_theory.theory.chance import SLACK, Floats, best_of, failing
from kd2m_theory.theory.statement import Counterexample, Form, Formula, Hypothesis, Mutant, Sides, Step, Theorem, Witness


@dataclass(frozen=True)
class Drawing:
    """A file whose rows are drawn one by one without replacement, each with a chance ∝ its weight among those left.

    Attributes:
        values: what the label of each row adds, in [0, most]; of a population, the number of rows is all that matters.
        most: what it can add at most.
        weights: of the drawing.
        delta: failure probability allowed.
        draws: labels that are read; whoever stops before is wrong if the statement is wrong at any time.
        ordered: rows are read from the smallest value to the largest, instead of as drawn.
        omitted: rows whose value is their largest are passed over.
        plans: how often the order was drawn; the least limit is reported.
        students: how many students were tried, with independent labels; the one with the least limit is reported.
        p: probability that a row of the population adds 1, all weights being 1; None for a given file.
        seen: the same where the file comes from, if that is another population.
        copies: the file is one row, copied.
        part: of δ, that the limit of the file spends in the statement about the population.
    """

    values: Floats
    most: Floats
    weights: Floats
    delta: float
    draws: int
    ordered: bool = False
    omitted: bool = False
    plans: int = 1
    students: int = 1
    p: float | None = None
    seen: float | None = None
    copies: bool = False
    part: float = 0.5

    @property
    def attempts(self) -> int:
        """Independent limits, of which the least is reported."""
        return self.plans * self.students


def shares(n: int, delta: float) -> Floats:
    """Parts of the capital that are staked: from the best one for a fair coin in steps of 2 to ½, and four larger ones."""
    least = min(math.sqrt(2 * math.log(1 / delta) / n), 0.5)
    steps = math.ceil(math.log2(0.5 / least))
    return np.array([least * (0.5 / least) ** (k / max(steps, 1)) for k in range(steps + 1)] + [0.75, 0.875, 0.95, 1.0])


Rule = Callable[[Drawing, tuple[int, ...], float, int], tuple[float, float]]


def by_weight(x: Drawing, drawn: tuple[int, ...], total: float, row: int) -> tuple[float, float]:
    """Mean of Y before a draw if all values add up to `total`, and Y of the row that is drawn."""
    left = [i for i in range(len(x.values)) if i not in drawn]
    top = max(x.most[i] / x.weights[i] for i in left)
    mean = (total - sum(x.values[i] for i in drawn)) / sum(x.weights[i] for i in left)
    return 1 - mean / top, 1 - x.values[row] / x.weights[row] / top


def _unweighted(x: Drawing, drawn: tuple[int, ...], total: float, row: int) -> tuple[float, float]:
    plain = replace(x, weights=np.ones(len(x.values)))
    return by_weight(plain, drawn, total, row)


def _drawn_values_kept(x: Drawing, drawn: tuple[int, ...], total: float, row: int) -> tuple[float, float]:
    return by_weight(x, drawn, total + sum(x.values[i] for i in drawn), row)


def _range_of_the_drawn(x: Drawing, drawn: tuple[int, ...], total: float, row: int) -> tuple[float, float]:
    top = x.most[row] / x.weights[row]
    left = [i for i in range(len(x.values)) if i not in drawn]
    mean = (total - sum(x.values[i] for i in drawn)) / sum(x.weights[i] for i in left)
    return 1 - mean / top, 1 - x.values[row] / x.weights[row] / top


def _next(x: Drawing, drawn: tuple[int, ...]) -> list[tuple[int, float]]:
    """Rows that may come next, and their chances."""
    left = [i for i in range(len(x.values)) if i not in drawn]
    if x.ordered:
        return [(min(left, key=lambda i: x.values[i]), 1.0)]
    if x.omitted:
        left = [i for i in left if x.values[i] < x.most[i]]
    size = sum(x.weights[i] for i in left)
    return [(i, x.weights[i] / size) for i in left]


def ruled_out(
    x: Drawing, total: float, rule: Rule, reward: float, drawn: tuple[int, ...], capitals: Floats, g: Floats
) -> float:
    """Probability that the mixture against `total` reaches 1/δ within the draws that are left."""
    if len(drawn) == x.draws:
        return 0.0
    failed = 0.0
    for row, chance in _next(x, drawn):
        mean, y = rule(x, drawn, total, row)
        gain = y / mean if mean > SLACK else 1.0
        after = capitals * np.maximum(1 - g + g * gain, 0.0)
        if reward * after.mean() >= (1 + SLACK) / x.delta:
            failed += chance
        else:
            failed += chance * ruled_out(x, total, rule, reward, (*drawn, row), after, g)
    return failed


def total(rule: Rule = by_weight, reward: float = 1.0) -> Formula:
    """The statement "the sum over the file is never ruled out", at any number of labels."""

    def formula(x: Drawing) -> Sides:
        g = shares(x.draws, x.delta)
        missed = ruled_out(x, float(x.values.sum()), rule, reward, (), np.ones(len(g)), g)
        return failing(best_of(missed, x.attempts), x.delta)

    return formula


def kl_limit(mean: float, budget: float) -> float:
    """The m ≥ mean with kl(mean, m) = budget; 1 if there is none."""
    low, high = mean, 1.0
    for _ in range(100):
        middle = (low + high) / 2
        small = float(rel_entr(mean, middle) + rel_entr(1 - mean, 1 - middle)) <= budget
        low, high = (middle, high) if small else (low, middle)
    return high


def _largest_total(ones: int, x: Drawing, order: tuple[float, ...], delta: float) -> int:
    """Largest number of ones in the file that no prefix of the drawn values ruled out."""
    size, g = len(x.values), shares(x.draws, delta)
    for count in range(size - len(order) + ones, ones - 1, -1):
        capitals, seen, best = np.ones(len(g)), 0.0, 0.0
        for t, value in enumerate(order):
            mean = 1 - (count - seen) / (size - t)
            capitals = capitals * (1 - g + g * ((1 - value) / mean if mean > SLACK else 1.0))
            best, seen = max(best, float(capitals.mean())), seen + value
        if best < (1 + SLACK) / delta:
            return count
    return size - len(order) + ones


def population(
    limit: Callable[[float, int, float], float] = lambda h, n, delta: kl_limit(h, math.log(1 / delta) / n),
) -> Formula:
    """The statement "the population's mean is at most the limit from the file's limit", after all draws, where it is least."""

    def formula(x: Drawing) -> Sides:
        assert x.p is not None
        size = len(x.values)
        rate = x.p if x.seen is None else x.seen
        counts = (0, size) if x.copies else range(size + 1)
        missed = 0.0
        for count in counts:
            weight = float(binom.pmf(count // size, 1, rate) if x.copies else binom.pmf(count, size, rate))
            missed += weight * _missed_of_file(x, count, limit)
        return failing(best_of(missed, x.attempts), x.delta)

    return formula


def _missed_of_file(x: Drawing, count: int, limit: Callable[[float, int, float], float]) -> float:
    """Probability that the limit is below p for a file with so many ones: a sum over the orders of ones and zeros."""
    assert x.p is not None
    size, missed = len(x.values), 0.0
    for bits in range(2**x.draws):
        order = tuple(float(bits >> t & 1) for t in range(x.draws))
        chance, ones = 1.0, 0
        for t, value in enumerate(order):
            of_kind = count - ones if value else (size - t) - (count - ones)
            chance *= max(of_kind, 0) / (size - t)
            ones += int(value)
        if chance:
            h = _largest_total(ones, x, order, x.part * x.delta) / size
            missed += chance * (x.p > limit(h, size, (1 - x.part) * x.delta) + SLACK)
    return missed


def _one_of(rows: int, delta: float | None = None) -> Drawing:
    """One row of many has the value 1, and one label is read: δ just where a 0 rules the truth out."""
    mean = 1 / rows
    found = 0.98 if delta is None else delta
    for _ in range(50):  # δ enters the stakes
        found = 1 / float(np.mean(1 - shares(1, found) + shares(1, found) / (1 - mean))) if delta is None else delta
    return Drawing(np.eye(rows)[0], np.ones(rows), np.ones(rows), found * (1 + 1e-9), 1)


def _sampled(rows: int, p: float, delta: float, draws: int, **changes: object) -> Drawing:
    return replace(Drawing(np.zeros(rows), np.ones(rows), np.ones(rows), delta, draws, p=p), **changes)  # type: ignore[arg-type]


def _just_above(rows: int, delta: float, part: float) -> Drawing:
    """p just above the limit of a file without ones, all of which is labelled."""
    p = kl_limit(0.0, math.log(1 / ((1 - part) * delta)) / rows) + 1e-9
    return _sampled(rows, p, delta, rows, part=part)


def _heavy_zero() -> Drawing:
    return Drawing(np.array([0.0, 0.0, 1.0, 1.0]), np.array([1.0, 1.0, 1.0, 1.0]), np.array([20.0, 20.0, 1.0, 1.0]), 0.5, 2)


_NAMES = ("F7.file", "F7.population")

THEOREM = Theorem(
    name="F7",
    title="labels where the networks differ",
    plain="Rows are drawn without replacement, with chances in proportion to how far a label can move the gap; then no "
    "number of labels, whenever one stops, rules out the file's true sum, except with probability δ in all. A limit "
    "of the file's sum and Chernoff's bound give a limit for the population.",
    latex=r"P\Bigl(\exists t:\ \tfrac1G\sum_g\prod_{s\le t}\bigl(1-g+g\,Y_s/\mu_s(V)\bigr)\ge\tfrac1\delta\Bigr)\le\delta",
    hypotheses=(
        Hypothesis(
            name="random order",
            detail="It is the order of the drawing.",
            check=lambda x: not x.ordered,
            counterexample=Counterexample(
                words="labels are read from the smallest value on",
                form=_NAMES[0],
                make=lambda: Drawing(np.array([0.0, 0.0, 0.0, 1.0]), np.ones(4), np.ones(4), 0.5, 3, ordered=True),
            ),
        ),
        Hypothesis(
            name="no label left out",
            check=None,
            counterexample=Counterexample(
                words="inputs that would raise the limit are passed over",
                form=_NAMES[0],
                make=lambda: Drawing(np.array([0.0, 0.0, 0.0, 1.0]), np.ones(4), np.ones(4), 0.5, 3, omitted=True),
            ),
        ),
        Hypothesis(
            name="drawn once",
            check=None,
            counterexample=Counterexample(
                words="five orders are drawn and labelled, the least limit is reported",
                form=_NAMES[0],
                make=lambda: replace(_one_of(10), plans=5),
            ),
        ),
        Hypothesis(
            name="networks fixed before the sample",
            detail="They were fixed before any label was seen.",
            check=None,
            counterexample=Counterexample(
                words="of five students the one with the least limit",
                form=_NAMES[0],
                make=lambda: replace(_one_of(10), students=5),
            ),
        ),
        Hypothesis(
            name="independent samples",
            forms=(_NAMES[1],),
            check=None,
            counterexample=Counterexample(
                words="a file of one row, copied ten times",
                form=_NAMES[1],
                make=lambda: _sampled(10, 0.5, 0.4, 10, copies=True, part=0.01),
            ),
        ),
        Hypothesis(
            name="same population",
            forms=(_NAMES[1],),
            check=None,
            counterexample=Counterexample(
                words="the file comes from easier traffic",
                form=_NAMES[1],
                make=lambda: _sampled(6, 0.5, 0.2, 6, seen=0.02, part=0.01),
            ),
        ),
    ),
    direction="upper",
    source="Ville 1939; Waudby-Smith and Ramdas 2020 (without replacement); Orabona and Jun 2024 (mixtures of fixed shares); "
    "Efraimidis and Spirakis 2006 (keys); Hoeffding 1963, Theorem 1",
    proof="The labels that have been read are bets against the hypothesis that the file's total is V; Ville's inequality "
    "bounds how much such bets can win.",
    steps=(
        Step(
            "Let V be the sum of the values z over the file. The next row is i with probability w_i/Σw among the rows "
            "left, so z/w has a known mean, and lies in [0, r] with r the largest bound over weight among them.",
            r"\eta=\frac{V-\sum_{drawn}z}{\sum w-\sum_{drawn}w}",
        ),
        Step(
            "So Y = 1 − z/(wr) is nonnegative with mean μ = 1 − η/r. Each factor is nonnegative with mean 1 given the "
            "past, for 0 < g ≤ 1.",
            r"E\Bigl[1-g+g\,\frac{Y}{\mu}\ \Big|\ \text{past}\Bigr]=1",
        ),
        Step(
            "Their product is a martingale, and so is an average over several g. Then Ville's inequality.",
            r"P\Bigl(\exists t:\ \tfrac1G\sum_g\prod_{s\le t}(1-g+g\,Y_s/\mu_s) \ge \tfrac1\delta\Bigr) \le \delta",
        ),
        Step("η and the factors grow with V, so what is ruled out is an interval of large V."),
        Step(
            "For the gap, values that are known without labels are separated. Rows that are drawn count as they are; the "
            "lower end is alike.",
            r"U_Y \le U_{\hat y}+(U_Y-U_{\hat y})_+, \qquad (U_Y-U_{\hat y})_+ \in [0,\max_y U_y-U_{\hat y}]",
        ),
        Step(
            "Population: the relative entropy bounds the tail of the file's mean, and its inverse grows with that mean. So "
            "the mean may be replaced by its limit from the file; both fail with probabilities that add up to δ. The mean "
            "of U_ŷ, known without labels, has an interval of F1.",
            r"P(\bar X \le x) \le \exp(-N\,\mathrm{kl}(x,\mu))",
        ),
    ),
    forms=(
        Form(
            name=_NAMES[0],
            latex=r"\max_t \tfrac1G\sum_g\prod_{s\le t}\bigl(1-g+g\,Y_s/\mu_s(V)\bigr) < 1/\delta",
            constant="1/δ",
            sides=total(),
            witness=Witness(words="one row of 200 has a value, one label is read, δ close to 1", make=lambda: _one_of(200)),
        ),
        Form(
            name=_NAMES[1],
            latex=r"\mu \le \mathrm{kl}^{-1}\bigl(h, \ln(1/\delta_2)/N\bigr),\quad "
            r"P(\bar X > h) \le \delta_1,\ \delta_1+\delta_2=\delta",
            constant="1",
            sides=population(),
            witness=Witness(
                words="a file without a one, all labelled, p just above the limit, nearly all of δ for it",
                make=lambda: _just_above(3, 0.2, 0.001),
            ),
        ),
    ),
    mutants=(
        Mutant(name="weights not used in η", form=_NAMES[0], sides=total(_unweighted), killer=_heavy_zero),
        Mutant(
            name="drawn values not taken from V",
            form=_NAMES[0],
            sides=total(_drawn_values_kept),
            killer=lambda: Drawing(np.full(5, 0.2), np.ones(5), np.ones(5), 0.6, 4),
        ),
        Mutant(
            name="range of the drawn row for that of all rows left",
            form=_NAMES[0],
            sides=total(_range_of_the_drawn),
            killer=lambda: Drawing(
                np.array([0.0, 0.0, 1.0, 2.0]), np.array([2.0, 1.0, 1.0, 2.0]), np.array([2.0, 10.0, 1.0, 1.0]), 0.3, 4
            ),
        ),
        Mutant(
            name="weights of the mixture that add up to 3",
            form=_NAMES[0],
            sides=total(reward=3.0),
            killer=lambda: _one_of(4, 0.5),
        ),
        Mutant(
            name="Chernoff's radius left out",
            form=_NAMES[1],
            sides=population(lambda h, n, delta: h),
            killer=lambda: _sampled(4, 0.3, 0.1, 4, part=0.01),
        ),
        Mutant(
            name="2N for N",
            form=_NAMES[1],
            sides=population(lambda h, n, delta: kl_limit(h, math.log(1 / delta) / (2 * n))),
            killer=lambda: _sampled(4, 0.3, 0.1, 4, part=0.01),
        ),
    ),
    level="with probability 1 − δ",
    scale_mutants=False,
)
