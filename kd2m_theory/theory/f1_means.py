"""F1: means of bounded variables. A law has two values, so that the probability that a statement fails is a finite sum.

Each limit is one-sided at δ; two of them at δ/2 make the interval that ships. Betting is stated as it ships, for both sides.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from kd2m_theory.theory.chance import SLACK, Floats, best_of, clopper_pearson_upper, failing, hoeffding_radius
from kd2m_theory.theory.statement import Counterexample, Form, Formula, Hypothesis, Mutant, Sides, Step, Theorem, Witness

# The largest share of the capital that one value can cost the bettor (c of Waudby-Smith and Ramdas).
LARGEST_STAKE = 0.75


@dataclass(frozen=True)
class Trials:
    """A sample of a variable that is `top` with probability p and `base` otherwise.

    Attributes:
        n: size of the sample.
        p: probability of the top value.
        delta: failure probability allowed.
        base: lower value.
        top: upper value.
        bound: the variable is said to lie in [0, bound]; None: the sample's largest value is taken for the bound.
        copies: the sample is one draw n times.
        stopped: the least of the limits at all sizes 1, …, n is reported.
        ordered: the values are taken from the smallest to the largest.
        seen: probability of the top value where the sample is drawn, if that is another population.
        variables: number of variables with this law, independently; the one with the least limit is reported.
    """

    n: int
    p: float
    delta: float
    base: float = 0.0
    top: float = 1.0
    bound: float | None = 1.0
    copies: bool = False
    stopped: bool = False
    seen: float | None = None
    ordered: bool = False
    variables: int = 1

    @property
    def mean(self) -> float:
        """Mean of the population."""
        return self.base + (self.top - self.base) * self.p

    def means(self, n: int, k: Floats) -> Floats:
        """Means of samples with k top values among n."""
        return self.base + (self.top - self.base) * k / n

    def width(self, k: Floats) -> Floats:
        """The width of the range that the limit is told: [0, bound], or the largest value seen."""
        return np.full(len(k), self.bound) if self.bound is not None else np.where(k > 0, self.top, self.base)


Limit = Callable[[Trials, int, Floats], Floats]


def bernstein_radius(n: int, variance: Floats, delta: float, width: Floats) -> Floats:
    """One-sided empirical Bernstein radius (Maurer and Pontil 2009) for variances with divisor n − 1; infinite for n = 1."""
    if n < 2:
        return np.full(len(variance), np.inf)
    log = math.log(2 / delta)
    return np.asarray(np.sqrt(2 * variance * log / n) + 7 * width * log / (3 * (n - 1)))


def sharp_bernstein_radius(n: int, variance: Floats, delta: float, width: Floats) -> Floats:
    """The same before its last two estimates: at most `bernstein_radius`, and about 4/3 for 7/3 where V ≫ ln(2/δ)/n."""
    if n < 2:
        return np.full(len(variance), np.inf)
    log = math.log(2 / delta)
    spread = np.sqrt(2 * variance * log / n + (width * log) ** 2 / (n * (n - 1)))
    return np.asarray(spread + width * log * (1 / math.sqrt(n * (n - 1)) + 1 / (3 * n)))


def shortfall(x: Trials, limit: Limit) -> float:
    """P(mean > limit of the sample)."""
    draw = x.p if x.seen is None else x.seen
    if x.copies:
        missed = x.mean > limit(x, x.n, np.array([0.0, x.n])) + SLACK
        return float(missed @ np.array([1 - draw, draw]))
    if not x.stopped:
        k = np.arange(x.n + 1.0)
        return float(stats.binom.pmf(k, x.n, draw) @ (x.mean > limit(x, x.n, k) + SLACK))
    # Law of k among the samples none of whose limits has failed so far.
    failed, alive = 0.0, np.ones(1)
    for n in range(1, x.n + 1):
        alive = np.append(alive * (1 - draw), 0.0) + np.append(0.0, alive * draw)
        missed = x.mean > limit(x, n, np.arange(n + 1.0)) + SLACK
        failed += float(alive @ missed)
        alive = np.where(missed, 0.0, alive)
    return failed


def above(limit: Limit) -> Formula:
    """The statement "the mean is at most the limit"."""
    return lambda x: failing(best_of(shortfall(x, limit), x.variables), x.delta)


def variances(x: Trials, n: int, k: Floats) -> Floats:
    """Sample variances, divisor n − 1; 0 for one value."""
    return np.asarray((x.top - x.base) ** 2 * k * (n - k) / (n * max(n - 1, 1)))


def _hoeffding(x: Trials, n: int, k: Floats) -> Floats:
    return x.means(n, k) + x.width(k) * hoeffding_radius(n, x.delta)


def _bernstein(x: Trials, n: int, k: Floats) -> Floats:
    return x.means(n, k) + bernstein_radius(n, variances(x, n, k), x.delta, x.width(k))


def _sharp_bernstein(x: Trials, n: int, k: Floats) -> Floats:
    return x.means(n, k) + sharp_bernstein_radius(n, variances(x, n, k), x.delta, x.width(k))


def _clopper_pearson(x: Trials, n: int, k: Floats) -> Floats:
    # Values other than 0 and 1 are rounded to them.
    return clopper_pearson_upper(np.rint(x.top) * k + np.rint(x.base) * (n - k), n, x.delta)


def rejects(shares: Floats, m: float, delta: float, threshold: float = 2.0, capped: bool = True) -> NDArray[np.bool_]:
    """Whether a bettor against the mean m reaches capital 2/δ on each row of values in [0, 1].

    Stakes λ_i = √(2 ln(2/δ)/(n σ̂²_{i−1})), at most c/m, from the values before the i-th. The last two arguments make mutants.
    """
    n = shares.shape[1]
    seen = np.arange(1, n + 1)
    means = (0.5 + np.cumsum(shares, axis=1)) / (seen + 1)
    spread = (0.25 + np.cumsum((shares - means) ** 2, axis=1)) / (seen + 1)
    earlier = np.hstack((np.full((len(shares), 1), 0.25), spread[:, :-1]))
    stakes = np.sqrt(2 * math.log(2 / delta) / (n * earlier))
    stakes = np.minimum(stakes, LARGEST_STAKE / m) if capped else stakes
    capital = np.cumprod(1 + stakes * (shares - m), axis=1)
    return np.asarray(capital.max(axis=1) >= threshold / delta * (1 + SLACK))


def betting(threshold: float = 2.0, capped: bool = True) -> Formula:
    """The statement "no bettor, on high values or on low ones, reaches the threshold over δ against the mean"."""

    def formula(x: Trials) -> Sides:
        draw = x.p if x.seen is None else x.seen
        high = (np.arange(2**x.n)[:, None] >> np.arange(x.n)) & 1
        high = high[[0, -1]] if x.copies else np.sort(high, axis=1) if x.ordered else high
        counts, length = high.sum(axis=1), 1 if x.copies else x.n
        weights = draw ** np.minimum(counts, length) * (1 - draw) ** (length - np.minimum(counts, length))
        values, width = np.where(high, x.top, x.base), x.width(counts.astype(np.float64))
        # A sample without range (None, and all values zero) says that the mean is zero.
        shares = values / np.where(width > 0, width, 1.0)[:, None]
        missed = (width == 0) & (x.mean > 0)
        for each in np.unique(width[~missed]):
            rows, m = ~missed & (width == each), x.mean / each
            if not 0 < m < 1:
                missed[rows] = True
                continue
            both = ((shares[rows], m), (1 - shares[rows], 1 - m))
            missed[rows] = np.logical_or(*(rejects(values, centre, x.delta, threshold, capped) for values, centre in both))
        return failing(best_of(float(weights @ missed), x.variables), x.delta)

    return formula


def stakes(n: int, delta: float) -> tuple[Floats, Floats]:
    """Fixed stakes θ and their weights: a geometric grid from the best stake for a fair coin up to 8, then in steps of 4."""
    target = math.log(2 / delta)
    grid = [min(2 * math.sqrt(2 * target / n), 2.0)]
    steps = math.ceil(math.log(8 / grid[0]) / math.log(2.5))
    grid = [grid[0] * (8 / grid[0]) ** (k / steps) for k in range(steps + 1)]
    far = [32.0 * 4**k for k in range(60) if 32.0 * 4**k <= n / (2 * target)]
    share = 0.9 if far else 1.0
    weights = [share / len(grid)] * len(grid) + [0.1 / max(len(far), 1)] * len(far)
    return np.array(grid + far), np.array(weights)


def fortunes(x: Trials, n: int, k: Floats, mean: float, weights_total: float = 1.0, mirrored: bool = False) -> Floats:
    """Σ_θ w_θ ∏_i (1 + θX_i)/(1 + θm) on samples with k top values, of X or, mirrored, of 1 − X against 1 − m."""
    theta, weights = stakes(n, x.delta)
    top, base = (1 - x.top, 1 - x.base) if mirrored else (x.top, x.base)
    centre = 1 - mean if mirrored else mean
    logs = k[:, None] * np.log1p(theta * top) + (n - k)[:, None] * np.log1p(theta * base) - n * np.log1p(theta * centre)
    return np.asarray(np.exp(np.minimum(logs, 700.0)) @ (weights * weights_total))


def mixture(threshold: float = 2.0, weights_total: float = 1.0, linear: bool = True) -> Formula:
    """The statement "no mixture of fixed stakes, on high values or low ones, reaches the threshold over δ against the mean"."""

    def formula(x: Trials) -> Sides:
        draw, width = x.p if x.seen is None else x.seen, x.bound or 1.0
        scaled = replace(x, base=x.base / width, top=x.top / width, bound=1.0)
        length = 1 if x.copies else x.n
        k = np.array([0.0, x.n]) if x.copies else np.arange(x.n + 1.0)
        weights = stats.binom.pmf(k / x.n if x.copies else k, length, draw)
        mean = scaled.mean if linear else scaled.mean**2
        missed = np.zeros(len(k), dtype=bool)
        for mirrored in (False, True):
            missed |= fortunes(scaled, x.n, k, mean, weights_total, mirrored) >= threshold / x.delta * (1 + SLACK)
        return failing(float(weights @ missed), x.delta)

    return formula


def _beyond(limit: Limit, n: int, delta: float, k: int) -> float:
    # A mean just above the limit of a sample with k top values.
    return float(limit(Trials(n, 0.5, delta), n, np.array([float(k)]))[0]) + 1e-9


def _at_the_limit(limit: Limit, n: int, delta: float, k: int = 0) -> Callable[[], Trials]:
    return lambda: Trials(n, _beyond(limit, n, delta, k), delta)


def _scaled_hoeffding(factor: float) -> Limit:
    return lambda x, n, k: x.means(n, k) + factor * x.width(k) * hoeffding_radius(n, x.delta)


def _root_forgotten(x: Trials, n: int, k: Floats) -> Floats:
    return x.means(n, k) + x.width(k) * math.log(1 / x.delta) / (2 * n)


def _both_sides(x: Trials) -> Sides:
    k, radius = np.arange(x.n + 1.0), hoeffding_radius(x.n, x.delta, x.bound or 1.0)
    missed = np.abs(x.means(x.n, k) - x.mean) > radius + SLACK
    return failing(float(stats.binom.pmf(k, x.n, x.p) @ missed), x.delta)


def _no_range_term(x: Trials, n: int, k: Floats) -> Floats:
    return np.asarray(x.means(n, k) + np.sqrt(2 * variances(x, n, k) * math.log(2 / x.delta) / n))


def _variance_of_the_mean(x: Trials, n: int, k: Floats) -> Floats:
    return x.means(n, k) + bernstein_radius(n, variances(x, n, k) / n, x.delta, x.width(k))


def _no_variance_term(x: Trials, n: int, k: Floats) -> Floats:
    return x.means(n, k) + x.width(k) * math.log(2 / x.delta) / (3 * n)


def _posterior(x: Trials, n: int, k: Floats) -> Floats:
    return np.asarray(stats.beta.ppf(1 - x.delta, k + 1, n - k + 1))


def _wald(x: Trials, n: int, k: Floats) -> Floats:
    share = k / n
    return np.asarray(share + stats.norm.ppf(1 - x.delta) * np.sqrt(share * (1 - share) / n))


_FAR = "Bernoulli variables in the least favourable of all n ≤ 400 and p searched; "
_NAMES = ("F1.hoeffding", "F1.bernstein", "F1.bernstein_sharp", "F1.betting", "F1.clopper_pearson", "F1.mixture")
_BOUNDED = (*_NAMES[:4], _NAMES[5])

THEOREM = Theorem(
    name="F1",
    title="means of bounded variables",
    plain="The mean of a population exceeds the mean of n independent values from it by no more than a radius, except with "
    "probability δ; the values must lie in a range known before the sample.",
    latex=r"P\bigl(\mu > \bar X + r(\delta)\bigr) \le \delta",
    hypotheses=(
        Hypothesis(
            name="independent samples",
            check=None,
            counterexample=Counterexample(
                words="one draw, copied 100 times", form=_NAMES[0], make=lambda: Trials(100, 0.2, 0.05, copies=True)
            ),
        ),
        Hypothesis(
            name="same population",
            check=None,
            counterexample=Counterexample(
                words="the top value is rarer where the sample is drawn",
                form=_NAMES[4],
                make=lambda: Trials(50, 0.2, 0.05, seen=0.05),
            ),
        ),
        Hypothesis(
            name="bounded loss",
            forms=_BOUNDED,
            detail="Every value lies in [0, B].",
            check=lambda x: x.base >= 0 and (x.bound is None or x.top <= x.bound),
            counterexample=Counterexample(
                words="values up to 1 where B = 0.1", form=_NAMES[0], make=lambda: Trials(100, 0.5, 0.05, bound=0.1)
            ),
        ),
        Hypothesis(
            name="range fixed before the sample",
            forms=_BOUNDED,
            check=None,
            counterexample=Counterexample(
                words="the sample's largest value for B, rare large values",
                form=_NAMES[1],
                make=lambda: Trials(50, 0.01, 0.05, bound=None),
            ),
        ),
        Hypothesis(
            name="random order",
            forms=(_NAMES[3],),
            detail="The bettor's stakes depend on the values before.",
            check=lambda x: not x.ordered,
            counterexample=Counterexample(
                words="coins in a file that is sorted by them",
                form=_NAMES[3],
                make=lambda: Trials(12, 0.55, 0.05, ordered=True),
            ),
        ),
        Hypothesis(
            name="sample size fixed before",
            detail="Betting in order would allow a stop at any time, but for stakes that use n.",
            check=None,
            counterexample=Counterexample(
                words="sampling until the limit looks best", form=_NAMES[0], make=lambda: Trials(1000, 0.5, 0.05, stopped=True)
            ),
        ),
        Hypothesis(
            name="networks fixed before the sample",
            check=None,
            counterexample=Counterexample(
                words="the least limit of 20 variables, of one value each",
                form=_NAMES[0],
                make=lambda: Trials(1, 0.6, 0.5, variables=20),
            ),
            detail="Nor was the variable chosen on the sample in another way.",
        ),
        Hypothesis(
            name="0–1 values",
            forms=(_NAMES[4],),
            check=lambda x: {x.base, x.top} <= {0.0, 1.0},
            counterexample=Counterexample(
                words="values 0.4, rounded", form=_NAMES[4], make=lambda: Trials(50, 0.5, 0.05, base=0.4, top=0.45)
            ),
        ),
    ),
    direction="upper",
    source="Hoeffding 1963; Maurer and Pontil 2009; Waudby-Smith and Ramdas 2023; Clopper and Pearson 1934",
    proof="Each limit bounds a moment generating function, a martingale or a binomial tail of the sample.",
    steps=(
        Step(
            "Hoeffding: a value in [0, B] has a bounded logarithm of its moment generating function. Then Chernoff.",
            r"\ln E\,e^{s(X-\mu)} \le \frac{B^2s^2}{8}",
        ),
        Step(
            "Bernstein, with L = ln(2/δ) and B = 1: each of these two fails with probability at most δ/2. The first is "
            "Bernstein's inequality; the second holds because nV is self-bounding with constant n/(n − 1).",
            r"\mu \le \bar X+\sqrt{2\sigma^2L/n}+\frac{L}{3n}, \qquad \sigma^2-V \le \sqrt{2\sigma^2L/(n-1)}",
        ),
        Step(
            "Solve the second for σ: the sharp form.",
            r"\sigma \le \sqrt{V+s^2}+s, \qquad s^2=\frac{L}{2(n-1)}",
        ),
        Step(
            "Two coarser steps give the 7/3 of Maurer and Pontil. For both sides the event of σ is needed once only, so L "
            "= ln(3/δ) is enough in place of ln(4/δ).",
            r"\sqrt{V+s^2} \le \sqrt V+s, \qquad \frac{1}{\sqrt{n(n-1)}} \le \frac{1}{n-1}",
        ),
        Step(
            "Betting: the capital against the true mean is a nonnegative martingale that starts at 1. By Ville's "
            "inequality it reaches 2/δ with probability at most δ/2, on either side.",
            r"P\Bigl(\max_t\prod_{j\le t}(1+\lambda_j(X_j-\mu)) \ge \tfrac2\delta\Bigr) \le \tfrac\delta2",
        ),
        Step(
            "Mixture: independence and the inequality of means bound the capital's mean by 1. Then Markov; the order of "
            "the values does not enter.",
            r"E\prod_i(1+\theta X_i)=\prod_i(1+\theta E X_i) \le (1+\theta\mu)^n",
        ),
        Step(
            "Clopper–Pearson: the tail falls in p, so p is above the limit U(k) only where the tail is below δ.",
            r"P(\mathrm{Bin}(n,U(k)) \le k)=\delta",
        ),
    ),
    forms=(
        Form(
            name=_NAMES[0],
            latex=r"\mu \le \bar X + B\sqrt{\ln(1/\delta)/(2n)}",
            constant="B/√2",
            sides=above(_hoeffding),
            witness=Witness(
                words="one value, δ close to 1: p just above the radius, and the value is 0; at δ = 0.05 the best is "
                "0.505 (n = 3)",
                make=_at_the_limit(_hoeffding, 1, 0.9999),
            ),
        ),
        Form(
            name=_NAMES[1],
            latex=r"\mu \le \bar X + \sqrt{2V\ln(2/\delta)/n} + 7B\ln(2/\delta)/(3(n-1))",
            constant="√2 and 7/3",
            sides=above(_bernstein),
            witness=Witness(
                words="rare events, none of which is seen: (δ/2)^(7/3)",
                make=_at_the_limit(_bernstein, 400, 0.99),
                reaches=0.19,
                reason=_FAR + "the union of two events and Bernstein's constants are not attained together; 0.006 at δ = 0.05",
            ),
        ),
        Form(
            name=_NAMES[2],
            latex=r"\mu \le \bar X + \sqrt{2V L/n + L^2B^2/(n(n-1))} + LB/\sqrt{n(n-1)} + LB/(3n),\quad L = \ln(2/\delta)",
            constant="√2 and 4/3",
            sides=above(_sharp_bernstein),
            witness=Witness(
                words="rare events, none of which is seen",
                make=_at_the_limit(_sharp_bernstein, 400, 0.99),
                reaches=0.19,
                reason=_FAR + "as above; 0.022 at δ = 0.05",
            ),
        ),
        Form(
            name=_NAMES[3],
            latex=r"\max_i \prod_{j\le i}(1 + \lambda_j(X_j - \mu)) < 2/\delta \text{ and the same for } 1 - X, 1 - \mu",
            constant="2/δ",
            sides=betting(),
            witness=Witness(
                words="two coins, δ close to 1",
                make=lambda: Trials(2, 0.37, 0.964),
                reaches=0.79,
                reason="the capital jumps over 2/δ and what is lost before is not regained; "
                "0.45 at δ = 0.05 (n = 10, p = 0.455)",
            ),
        ),
        Form(
            name=_NAMES[4],
            latex=r"\mu \le U(k), \quad P(\mathrm{Bin}(n, U) \le k) = \delta",
            constant="1",
            sides=above(_clopper_pearson),
            witness=Witness(
                words="p just above the limit of a sample: then the failure probability is δ",
                make=_at_the_limit(_clopper_pearson, 20, 0.05, 3),
            ),
        ),
        Form(
            name=_NAMES[5],
            latex=r"\sum_\theta w_\theta \prod_i \frac{1+\theta X_i}{1+\theta\mu} < 2/\delta "
            r"\text{ and the same for } 1 - X, 1 - \mu",
            constant="2/δ",
            sides=mixture(),
            witness=Witness(
                words="three coins, δ close to 1",
                make=lambda: Trials(3, 0.70763, 0.964),
                reaches=0.58,
                reason="Markov's inequality, and stakes for every variance at once; 0.17 at δ = 0.05 (n = 10, p = 0.612)",
            ),
        ),
    ),
    mutants=(
        Mutant(
            name="radius × 0.9",
            form=_NAMES[0],
            sides=above(_scaled_hoeffding(0.9)),
            killer=_at_the_limit(_scaled_hoeffding(0.9), 1, 0.278),
        ),
        Mutant(
            name="√ forgotten",
            form=_NAMES[0],
            sides=above(_root_forgotten),
            killer=_at_the_limit(_root_forgotten, 50, 0.05, 25),
        ),
        Mutant(name="both sides claimed with ln(1/δ)", form=_NAMES[0], sides=_both_sides, killer=lambda: Trials(1, 0.5, 0.7)),
        Mutant(name="range term forgotten", form=_NAMES[1], sides=above(_no_range_term), killer=lambda: Trials(50, 0.01, 0.05)),
        Mutant(
            name="variance of the mean for that of a value",
            form=_NAMES[1],
            sides=above(_variance_of_the_mean),
            killer=lambda: Trials(400, 0.5, 0.05),
        ),
        Mutant(
            name="variance term forgotten",
            form=_NAMES[2],
            sides=above(_no_variance_term),
            killer=lambda: Trials(400, 0.5, 0.05),
        ),
        Mutant(name="capital 1/δ for 2/δ", form=_NAMES[3], sides=betting(threshold=1.0), killer=lambda: Trials(1, 0.5, 0.9)),
        Mutant(
            name="stake not capped: capital below zero",
            form=_NAMES[3],
            sides=betting(capped=False),
            killer=lambda: Trials(4, 0.5, 0.05),
        ),
        Mutant(name="fortune 1/δ for 2/δ", form=_NAMES[5], sides=mixture(threshold=1.0), killer=lambda: Trials(1, 0.1677, 0.9)),
        Mutant(
            name="weights that add up to 3",
            form=_NAMES[5],
            sides=mixture(weights_total=3.0),
            killer=lambda: Trials(1, 0.3646, 0.5),
        ),
        Mutant(
            name="fortune against μ² for μ",
            form=_NAMES[5],
            sides=mixture(linear=False),
            killer=lambda: Trials(100, 0.3646, 0.05),
        ),
        Mutant(
            name="Beta(k + 1, n − k + 1), a posterior",
            form=_NAMES[4],
            sides=above(_posterior),
            killer=_at_the_limit(_posterior, 20, 0.05, 3),
        ),
        Mutant(name="normal approximation", form=_NAMES[4], sides=above(_wald), killer=lambda: Trials(50, 0.01, 0.05)),
    ),
    level="with probability 1 − δ",
    scale_mutants=False,
)
