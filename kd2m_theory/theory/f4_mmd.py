"""F4: the maximum mean discrepancy of a sample (V-statistic) and of its population, for kernels with 0 ≤ k ≤ K."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from kd2m_theory.theory.chance import SLACK, Floats, best_of, failing, one_moves, outcomes, swaps
from kd2m_theory.theory.statement import Counterexample, Form, Formula, Hypothesis, Mutant, Sides, Step, Theorem, Witness


@dataclass(frozen=True)
class Points:
    """Laws of student and teacher features on a few points, known to a kernel only through its values there.

    Attributes:
        joint: probability that an input has student feature i and teacher feature j.
        n: number of student features drawn.
        m: number of teacher features drawn.
        delta: failure probability allowed.
        gram: kernel between the points; the identity if None.
        bound: K of the statement.
        paired: both features of every drawn input are seen (n = m); otherwise the two samples are independent.
        copies: each sample is one draw, copied.
        kernels: number of kernels, each of a component of its own with this law; the least MMD of the sample is reported.
    """

    joint: Floats
    n: int
    m: int
    delta: float
    gram: Floats | None = None
    bound: float = 1.0
    paired: bool = False
    copies: bool = False
    kernels: int = 1

    @property
    def values(self) -> Floats:
        """The kernel between the points."""
        return np.eye(len(self.joint)) if self.gram is None else self.gram

    def length(self, weights: Floats) -> Floats:
        """‖Σ_i w_i φ(z_i)‖ of each row of weights."""
        return np.asarray(np.sqrt(np.maximum(np.einsum("...i,ij,...j->...", weights, self.values, weights), 0.0)))

    @property
    def population(self) -> float:
        """MMD of the two laws."""
        return float(self.length(self.joint.sum(axis=1) - self.joint.sum(axis=0)))

    def samples(self) -> tuple[Floats, Floats]:
        """MMD of every sample that can occur, and its probability."""
        size = len(self.joint)
        n, m = (1, 1) if self.copies else (self.n, self.m)
        if self.paired:
            counts, weights = outcomes(n, self.joint.ravel())
            counts = counts.reshape(-1, size, size)
            return self.length((counts.sum(axis=2) - counts.sum(axis=1)) / n), weights
        mine, first = outcomes(n, self.joint.sum(axis=1))
        theirs, second = outcomes(m, self.joint.sum(axis=0))
        return self.length(mine[:, None] / n - theirs[None] / m).ravel(), np.outer(first, second).ravel()


def deviation(x: Points) -> float:
    """√(K(n + m)/(nm)·ln(1/δ)), or √(4K ln(1/δ)/n) of pairs."""
    log = math.log(1 / x.delta)
    return math.sqrt(4 * x.bound * log / x.n) if x.paired else independent_deviation(x)


def independent_deviation(x: Points) -> float:
    """√(K(n + m)/(nm)·ln(1/δ)), whatever the samples are."""
    return math.sqrt(x.bound * (1 / x.n + 1 / x.m) * math.log(1 / x.delta))


def mean_length(x: Points) -> float:
    """√(K/n + K/m): at least E‖μ̂ − μ‖, μ the difference of the mean embeddings; √(2K/n) of pairs is the same for n = m."""
    return math.sqrt(x.bound * (1 / x.n + 1 / x.m))


def within(radius: Callable[[Points], float]) -> Formula:
    """The statement |MMD of the sample − MMD| ≤ radius."""

    def formula(x: Points) -> Sides:
        found, weights = x.samples()
        missed = float(weights @ (np.abs(found - x.population) > radius(x) + SLACK))
        return failing(best_of(missed, x.kernels), x.delta)

    return formula


def above(radius: Callable[[Points], float]) -> Formula:
    """The statement MMD ≤ MMD of the sample + radius."""

    def formula(x: Points) -> Sides:
        found, weights = x.samples()
        return failing(best_of(float(weights @ (x.population > found + radius(x) + SLACK)), x.kernels), x.delta)

    return formula


def _both(x: Points) -> float:
    return mean_length(x) + independent_deviation(x)


def _both_pairs(x: Points) -> float:
    return math.sqrt(2 * x.bound / x.n) + math.sqrt(4 * x.bound * math.log(1 / x.delta) / x.n)


def _pairs_deviation(x: Points) -> float:
    return math.sqrt(4 * x.bound * math.log(1 / x.delta) / x.n)


def _single(paired: bool) -> Callable[[], Points]:
    # MMD is √2·p; p just above radius/√2, and the one student feature is not moved.
    def make() -> Points:
        delta = 0.99999
        radius = math.sqrt((4 if paired else 2) * math.log(1 / delta))
        return Points(one_moves(radius / math.sqrt(2) + 1e-9), 1, 1, delta, paired=paired)

    return make


def _uniform_three() -> Points:
    return Points(np.outer((0.38, 0.26, 0.36), (0.38, 0.26, 0.36)), 3, 1, 0.9999)


def _two_swaps() -> Points:
    return Points(swaps(0.5), 2, 2, 0.918, paired=True)


def _signed() -> Points:
    law = np.outer((0.7, 0.3), (0.3, 0.7))
    return Points(law, 100, 100, 0.001, gram=np.array([[1.0, -1.0], [-1.0, 1.0]]))


def _far_in_the_tail() -> Points:
    return Points(swaps(0.5), 200, 200, 2e-9, paired=True)


_NAMES = ("F4.independent_upper", "F4.pairs_upper", "F4.independent", "F4.pairs")

THEOREM = Theorem(
    name="F4",
    title="MMD of a sample and of its population",
    plain="The MMD of a population exceeds that of a sample (V-statistic) by no more than a deviation term, which knows no "
    "dimension; for the other side the mean distance of a sample's mean embedding is added. Same-input pairs have their own "
    "radius.",
    latex=r"\mathrm{MMD} \le \widehat{\mathrm{MMD}} + \sqrt{K\tfrac{n+m}{nm}\ln\tfrac1\delta},\quad "
    r"|\widehat{\mathrm{MMD}} - \mathrm{MMD}| \le \sqrt{\tfrac Kn + \tfrac Km} + \sqrt{K\tfrac{n+m}{nm}\ln\tfrac1\delta}",
    hypotheses=(
        Hypothesis(
            name="bounded kernel",
            check=lambda x: float(np.diag(x.values).max()) <= x.bound,
            counterexample=Counterexample(
                words="a kernel that reaches 100 where K = 1",
                form=_NAMES[0],
                make=lambda: Points(one_moves(0.1), 20, 20, 0.05, gram=np.diag((1.0, 100.0))),
            ),
        ),
        Hypothesis(
            name="nonnegative kernel",
            detail="So ‖φ(z) − φ(z')‖² ≤ 2K; without it 4K.",
            check=lambda x: float(x.values.min()) >= 0,
            counterexample=Counterexample(words="the linear kernel on −1 and 1", form=_NAMES[0], make=_signed),
        ),
        Hypothesis(
            name="independent samples",
            check=None,
            counterexample=Counterexample(
                words="one pair, copied 100 times",
                form=_NAMES[1],
                make=lambda: Points(one_moves(0.4), 100, 100, 0.05, None, 1.0, True, True),
            ),
        ),
        Hypothesis(
            name="samples independent of each other",
            forms=(_NAMES[0], _NAMES[2]),
            check=None,
            counterexample=Counterexample(
                words="pairs that always lie apart, δ = 2·10⁻⁹", form=_NAMES[2], make=_far_in_the_tail
            ),
        ),
        Hypothesis(
            name="kernel fixed before the sample",
            check=None,
            counterexample=Counterexample(
                words="the least MMD of 20 kernels", form=_NAMES[0], make=lambda: Points(one_moves(0.84), 1, 1, 0.5, kernels=20)
            ),
        ),
    ),
    direction="two-sided",
    source="after Gretton et al. 2012 (larger constants); Hoeffding 1963; McDiarmid 1989",
    proof="The sample's MMD is at least the sample's mean of the population's witness function, and that mean concentrates.",
    steps=(
        Step(
            "Upper side: take the witness of the population, of norm 1. The sample's MMD is at least the sample's mean of it.",
            r"\mathrm{MMD}=E[h(X)-h(Y)], \qquad h=\frac{\mu_X-\mu_Y}{\mathrm{MMD}}, \qquad \widehat{\mathrm{MMD}} \ge \bar "
            r"h_X-\bar h_Y",
        ),
        Step(
            "For a nonnegative kernel that is at most K, h has range √(2K), and h(X) − h(Y) of a pair has range 2√(2K). "
            "Then Hoeffding. No term for the mean is needed, since the V-statistic is biased upward.",
            r"|h(z)-h(z')| \le \|\varphi(z)-\varphi(z')\|_H \le \sqrt{2K}",
        ),
        Step(
            "Both sides: the triangle inequality.",
            r"|\widehat{\mathrm{MMD}}-\mathrm{MMD}| \le f=\|(\hat\mu_X-\mu_X)-(\hat\mu_Y-\mu_Y)\|_H",
        ),
        Step(
            "The parts are independent and centred. For pairs, E‖φ(X) − φ(Y)‖² is at most 2K.",
            r"E f \le \sqrt{E f^2}, \qquad E f^2 \le \tfrac Kn+\tfrac Km, \qquad \text{pairs: } E f^2 \le \tfrac{2K}{n}",
        ),
        Step(
            "One point moves f by at most √(2K)/n, and one pair by at most 2√(2K)/n, which is attained where x and y "
            "change places. Then McDiarmid.",
            r"P(f \ge E f+t) \le \exp\Bigl(-\frac{t^2nm}{K(n+m)}\Bigr)",
        ),
    ),
    forms=(
        Form(
            name=_NAMES[0],
            latex=r"\mathrm{MMD} \le \widehat{\mathrm{MMD}} + \sqrt{K(n+m)/(nm)\,\ln(1/\delta)}",
            constant="√K",
            sides=above(independent_deviation),
            witness=Witness(
                words="one point each, δ close to 1, the sample does not show the move; 0.505 at δ = 0.05 (n = 3, m large)",
                make=_single(False),
            ),
        ),
        Form(
            name=_NAMES[1],
            latex=r"\mathrm{MMD} \le \widehat{\mathrm{MMD}} + \sqrt{4K\ln(1/\delta)/n}",
            constant="2√K",
            sides=above(_pairs_deviation),
            witness=Witness(
                words="one pair, δ close to 1, the sample does not show the move; 0.15 at δ = 0.05 (n = 300)",
                make=_single(True),
            ),
        ),
        Form(
            name=_NAMES[2],
            latex=r"|\widehat{\mathrm{MMD}} - \mathrm{MMD}| \le \sqrt{K/n + K/m} + \sqrt{K(n+m)/(nm)\,\ln(1/\delta)}",
            constant="√K, twice",
            sides=within(_both),
            witness=Witness(
                words="equal laws on three points, δ close to 1",
                make=_uniform_three,
                reaches=0.28,
                reason="best of 20,000 laws on up to 3 points is 0.30; Jensen's step is tight where f does not vary and "
                "McDiarmid's where it "
                "does (1/2 in the limit of many points and draws); 0.002 at δ = 0.05",
            ),
        ),
        Form(
            name=_NAMES[3],
            latex=r"|\widehat{\mathrm{MMD}} - \mathrm{MMD}| \le \sqrt{2K/n} + \sqrt{4K\ln(1/\delta)/n}",
            constant="√2 √K and 2√K",
            sides=within(_both_pairs),
            witness=Witness(
                words="two pairs that lie apart in the same sense, equal marginals",
                make=_two_swaps,
                reaches=0.54,
                reason="best of 20,000 laws on up to 3 points, as above; 0.015 at δ = 0.05 (n = 37)",
            ),
        ),
    ),
    mutants=(
        Mutant(
            name="radius × 0.9",
            form=_NAMES[0],
            sides=above(lambda x: 0.9 * independent_deviation(x)),
            # Many teacher's points on one place count for nothing: Hoeffding's one value.
            killer=lambda: Points(one_moves(0.9 * math.sqrt(-math.log(0.278) / 2) + 1e-6), 1, 10**9, 0.278),
        ),
        Mutant(
            name="1/(n + m) for 1/n + 1/m",
            form=_NAMES[0],
            sides=above(lambda x: math.sqrt(x.bound * math.log(1 / x.delta) / (x.n + x.m))),
            killer=lambda: Points(one_moves(0.42), 1, 1, 0.5),
        ),
        Mutant(
            name="radius × 0.9",
            form=_NAMES[1],
            sides=above(lambda x: 0.9 * _pairs_deviation(x)),
            killer=lambda: Points(swaps(0.54), 10_000, 10_000, math.exp(-30), paired=True),
        ),
        Mutant(
            name="radius of independent samples for pairs",
            form=_NAMES[1],
            sides=above(independent_deviation),
            killer=lambda: Points(swaps(0.65), 100, 100, 0.001, paired=True),
        ),
        Mutant(
            name="mean of f forgotten",
            form=_NAMES[2],
            sides=within(independent_deviation),
            killer=lambda: Points(np.full((2, 2), 0.25), 1, 1, 0.4),
        ),
        Mutant(
            name="deviation forgotten",
            form=_NAMES[2],
            sides=within(mean_length),
            killer=lambda: Points(np.full((2, 2), 0.25), 20, 20, 0.05),
        ),
        Mutant(
            name="mean of f forgotten",
            form=_NAMES[3],
            sides=within(_pairs_deviation),
            killer=lambda: Points(swaps(0.5), 1, 1, 0.7, paired=True),
        ),
        Mutant(name="radius of independent samples for pairs", form=_NAMES[3], sides=within(_both), killer=_far_in_the_tail),
    ),
    level="with probability 1 − δ",
    scale_mutants=False,
)
