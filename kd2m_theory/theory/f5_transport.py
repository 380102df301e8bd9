"""F5: W₁ of a sample and of its population, for laws on a set of known diameter.

The plug-in distance is biased upward, so an upper limit on the population's distance needs a deviation term only, and no
dimension. How far a sample is from its own population does depend on the dimension: at d = 64 the radius exceeds the diameter.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from kd2m_theory.theory.chance import SLACK, Floats, best_of, failing, one_moves, outcomes, swaps
from kd2m_theory.theory.statement import Counterexample, Form, Formula, Hypothesis, Mutant, Sides, Step, Theorem, Witness

# Beyond 2^1000 cells the expected total variation is bounded by 1.
_MOST_BITS = 1000
_LEVELS = 60


def dyadic_bound(n: int, dimension: int, level: int) -> float:
    """Bound on E W₁(P̂, P) by dyadic cells down to a level, for diameter 1. See the proof of F5."""

    def size(k: int) -> float:
        return min(1.0, math.sqrt(dimension) * 2.0**-k)

    def variation(k: int) -> float:
        cells = 2.0 ** min(k * dimension, _MOST_BITS)
        return min(1.0, math.sqrt((cells - 1) / n) / 2)

    return size(level) + sum((size(k - 1) - size(k)) * variation(k) for k in range(1, level + 1))


def mean_transport(n: int, dimension: int, diameter: float) -> float:
    """Bound on E W₁(P̂, P) of n draws: by the best level of cells, and on the line by ∫ √(F(1 − F)/n) ≤ D/(2√n)."""
    best = min(dyadic_bound(n, dimension, level) for level in range(_LEVELS))
    return diameter * (min(best, 1 / (2 * math.sqrt(n))) if dimension == 1 else best)


def transport_radius(n: int, dimension: int, diameter: float, delta: float) -> float:
    """W₁(P̂, P) is at most this with probability 1 − δ. Vacuous where it is at least the diameter.

    >>> [round(transport_radius(10_000, d, 1.0, 0.05), 3) for d in (1, 2, 3, 64, 512)]
    [0.017, 0.068, 0.193, 1.012, 1.012]
    """
    return mean_transport(n, dimension, diameter) + diameter * math.sqrt(math.log(1 / delta) / (2 * n))


@dataclass(frozen=True)
class Simplex:
    """Laws on the corners of a regular simplex (two corners: a segment), where W₁ is the edge times total variation.

    Attributes:
        joint: probability of class y, student at corner i, teacher at corner j.
        n: number of student features drawn.
        m: number of teacher features drawn.
        delta: failure probability allowed.
        edge: length of the edges; None: the diameter that is said.
        diameter: D of the statement; None: that of the sample.
        dimension: d of the statement; None: that of the simplex.
        paired: both features of every drawn input are seen (n = m); otherwise the two samples are independent.
        copies: each sample is one draw, copied.
        pairing: class of the input whose teacher feature stands in the rows of each class; None: the same input's.
        metrics: number of ground costs, each on a component of its own with this law; the least distance is reported.
    """

    joint: Floats
    n: int
    m: int
    delta: float
    edge: float = 1.0
    diameter: float | None = 1.0
    dimension: int | None = None
    paired: bool = False
    copies: bool = False
    metrics: int = 1
    pairing: tuple[int, ...] | None = None

    @property
    def student(self) -> Floats:
        """Law of the student's corners."""
        return np.asarray(self.joint.sum(axis=(0, 2)))

    @property
    def teacher(self) -> Floats:
        """Law of the teacher's corners."""
        return np.asarray(self.joint.sum(axis=(0, 1)))

    @property
    def corners(self) -> int:
        """Their number, one more than the dimension."""
        return len(self.teacher)

    @property
    def said_dimension(self) -> int:
        """d of the statement."""
        return self.corners - 1 if self.dimension is None else self.dimension

    def said_diameter(self, *clouds: Floats) -> Floats:
        """D of the statement for each sample, given which corners are seen."""
        if self.diameter is not None:
            return np.full(len(clouds[0]), self.diameter)
        seen = np.sum([cloud > 0 for cloud in clouds], axis=0) > 0
        return np.where(seen.sum(axis=-1) > 1, self.edge, 0.0)

    def distance(self, difference: Floats) -> Floats:
        """W₁ of two laws from their difference, along the last axis."""
        return np.asarray(self.edge * np.abs(difference).sum(axis=-1) / 2)


Radius = Callable[[Simplex], float]


def independent_deviation(x: Simplex) -> float:
    """√((1/n + 1/m) ln(1/δ)/2), for diameter 1."""
    return math.sqrt((1 / x.n + 1 / x.m) * math.log(1 / x.delta) / 2)


def pairs_deviation(x: Simplex) -> float:
    """√(2 ln(1/δ)/n), for diameter 1."""
    return math.sqrt(2 * math.log(1 / x.delta) / x.n)


def own_radius(x: Simplex) -> float:
    """Radius of one sample about its own population, for diameter 1."""
    return transport_radius(x.n, x.said_dimension, 1.0, x.delta)


def own(radius: Radius) -> Formula:
    """The statement W₁(P̂, P) ≤ D·radius."""

    def formula(x: Simplex) -> Sides:
        counts, weights = outcomes(1 if x.copies else x.n, x.student)
        found = x.distance(counts / counts.sum(axis=1, keepdims=True) - x.student)
        missed = found > x.said_diameter(counts) * radius(x) + SLACK
        return failing(float(weights @ missed), x.delta)

    return formula


def above(radius: Radius, by_class: bool = False) -> Formula:
    """The statement W₁(P, Q) ≤ W₁(P̂, Q̂) + D·radius, of the marginals, or Σ_y π_y W₁ of the classes."""

    def formula(x: Simplex) -> Sides:
        n, m = (1, 1) if x.copies else (x.n, x.m)
        shape = x.joint.shape if by_class else (1, *x.joint.shape[1:])
        joint = x.joint.reshape(shape) if by_class else x.joint.sum(axis=0, keepdims=True)
        population = x.distance(joint.sum(axis=2) - joint.sum(axis=1)).sum()
        if x.paired:
            counts, weights = outcomes(n, joint.ravel())
            counts = counts.reshape(-1, *shape) / n
            mine, theirs = counts.sum(axis=3), counts.sum(axis=2)
            if x.pairing is not None:
                theirs = theirs[:, list(x.pairing)]
        else:
            first, p = outcomes(n, x.student)
            second, q = outcomes(m, x.teacher)
            mine = np.repeat(first / n, len(second), axis=0)[:, None]
            theirs = np.tile(second / m, (len(first), 1))[:, None]
            weights = np.outer(p, q).ravel()
        found = x.distance(mine - theirs).sum(axis=1)
        limit = found + x.said_diameter(mine.sum(axis=1), theirs.sum(axis=1)) * radius(x)
        return failing(best_of(float(weights @ (population > limit + SLACK)), x.metrics), x.delta)

    return formula


def _single(paired: bool) -> Callable[[], Simplex]:
    def make() -> Simplex:
        delta = 0.99999
        p = math.sqrt((2 if paired else 1) * math.log(1 / delta)) + 1e-9
        return Simplex(joint=one_moves(p)[None], n=1, m=1, delta=delta, paired=paired)

    return make


def _one_class_moves() -> Simplex:
    # Only the rare second class moves, and it is not drawn.
    delta = 0.99999
    p = math.sqrt(2 * math.log(1 / delta)) + 1e-9
    law = np.array([[[1 - p, 0.0], [0.0, 0.0]], [[0.0, 0.0], [p, 0.0]]])
    return Simplex(joint=law, n=1, m=1, delta=delta, paired=True)


def _three_coins() -> Simplex:
    return Simplex(joint=swaps(1 / 3)[None], n=3, m=3, delta=0.989)


def _classes_apart() -> Simplex:
    # Equal marginals: the classes exchange their corners, and every pair is an edge apart.
    return Simplex(joint=np.array([[[0.0, 0.5], [0.0, 0.0]], [[0.0, 0.0], [0.5, 0.0]]]), n=6, m=6, delta=0.5, paired=True)


def _many_corners() -> Simplex:
    return Simplex(joint=np.diag(np.full(16, 1 / 16))[None], n=2, m=2, delta=0.5, dimension=1)


def _of_the_marginals(x: Simplex) -> Sides:
    # Classes of the population, marginals of the sample.
    counts, weights = outcomes(x.n, x.joint.ravel())
    counts = counts.reshape(-1, *x.joint.shape) / x.n
    found = x.distance((counts.sum(axis=3) - counts.sum(axis=2)).sum(axis=1))
    population = x.distance(x.joint.sum(axis=2) - x.joint.sum(axis=1)).sum()
    missed = population > found + (x.diameter or 0.0) * pairs_deviation(x) + SLACK
    return failing(float(weights @ missed), x.delta)


_NAMES = ("F5.upper", "F5.upper_pairs", "F5.classes", "F5.transport")
_LIMIT = "one draw, δ close to 1, the sample does not show the move; "

THEOREM = Theorem(
    name="F5",
    title="W₁ of a sample and of its population",
    plain="W₁ between two populations exceeds the plug-in distance of samples by no more than a deviation term without "
    "dimension, "
    "also class by class; a sample's distance to its own population has a radius that exceeds the diameter in many dimensions.",
    latex=r"W_1(P,Q) \le W_1(\hat P,\hat Q) + D\sqrt{\tfrac{n+m}{2nm}\ln\tfrac1\delta},\quad "
    r"W_1(\hat P, P) \le \min_m\Bigl[D_m + \sum_{k\le m}(D_{k-1} - D_k)\min\bigl(1, \tfrac12\sqrt{(2^{kd}-1)/n}\bigr)\Bigr] "
    r"+ D\sqrt{\ln(1/\delta)/(2n)}",
    hypotheses=(
        Hypothesis(
            name="bounded ground cost",
            check=lambda x: x.diameter is None or x.edge <= x.diameter,
            counterexample=Counterexample(
                words="a rare point at distance 100",
                form=_NAMES[0],
                make=lambda: Simplex(joint=one_moves(0.02)[None], n=30, m=30, delta=0.05, edge=100.0),
            ),
        ),
        Hypothesis(
            name="range fixed before the sample",
            check=None,
            counterexample=Counterexample(
                words="D of the sample, which sees one point only",
                form=_NAMES[0],
                make=lambda: Simplex(joint=one_moves(0.02)[None], n=30, m=30, delta=0.05, diameter=None),
            ),
        ),
        Hypothesis(
            name="known dimension",
            forms=(_NAMES[3],),
            check=lambda x: x.said_dimension >= x.corners - 1,
            counterexample=Counterexample(
                words="16 corners of a simplex said to lie on a line", form=_NAMES[3], make=_many_corners
            ),
        ),
        Hypothesis(
            name="independent samples",
            check=None,
            counterexample=Counterexample(
                words="one pair, copied 100 times",
                form=_NAMES[1],
                make=lambda: Simplex(joint=one_moves(0.4)[None], n=100, m=100, delta=0.05, paired=True, copies=True),
            ),
        ),
        Hypothesis(
            name="samples independent of each other",
            forms=(_NAMES[0],),
            check=None,
            counterexample=Counterexample(
                words="pairs that never meet",
                form=_NAMES[0],
                make=lambda: Simplex(joint=swaps(0.65)[None], n=100, m=100, delta=0.001, paired=True),
            ),
        ),
        Hypothesis(
            name="same inputs",
            check=None,
            counterexample=Counterexample(
                words="the classes exchange their corners, and the rows of the teacher are exchanged",
                form=_NAMES[2],
                make=lambda: replace(_classes_apart(), pairing=(1, 0)),
            ),
            forms=(_NAMES[2],),
            detail="Here the pair belongs to the class of its label.",
        ),
        Hypothesis(
            name="ground cost fixed before the sample",
            check=None,
            counterexample=Counterexample(
                words="the least distance of 20 costs",
                form=_NAMES[0],
                make=lambda: Simplex(joint=one_moves(0.84)[None], n=1, m=1, delta=0.5, metrics=20),
            ),
        ),
    ),
    direction="two-sided",
    source="Kantorovich–Rubinstein duality and Hoeffding 1963; for one sample dyadic cells (after Weed and Bach 2019) and "
    "McDiarmid 1989",
    proof="A potential that is optimal for the populations bounds the sample's distance from below, and its mean "
    "concentrates; the distance of a sample from its population is bounded by matching cell by cell.",
    steps=(
        Step(
            "Upper limits: an optimal potential of the populations is 1-Lipschitz for the cost.",
            r"W_1(P,Q)=E[f(Z_S)-f(Z_T)], \qquad W_1(\hat P,\hat Q) \ge \bar f_S-\bar f_T",
        ),
        Step(
            "f has range D on each side, and the difference of a pair has range 2D. Then Hoeffding.",
            r"P\Bigl(W_1(P,Q) > W_1(\hat P,\hat Q)+D\sqrt{\tfrac{n+m}{2nm}\ln\tfrac1\delta}\Bigr) \le \delta",
        ),
        Step(
            "With labels the mean is that of T2, whatever the frequencies in the sample. With the cost min(B, ν_y) and D = "
            "B it is T2 for the clipped loss, in the population and in any dimension.",
            r"E[f_Y(Z_S)-f_Y(Z_T)]=\sum_y\pi_y W_1^y",
        ),
        Step(
            "One sample: cut a cube of edge D into 2^(kd) cells of diameter D_k = D·min(1, √d 2^(−k)). Match what you can "
            "within the cells of level m, the rest within those of level m − 1, and so on.",
            r"W_1 \le D_m+\sum_{k\le m}(D_{k-1}-D_k)\,\mathrm{TV}_k, \qquad \mathrm{TV}_k=\tfrac12\sum_Q|\hat P(Q)-P(Q)|",
        ),
        Step(
            "This is at most a quarter of the sum of Weed and Bach. Cauchy–Schwarz bounds the mean.",
            r"E\,\mathrm{TV}_k \le \tfrac12\sum_Q\sqrt{P(Q)(1-P(Q))/n} \le \tfrac12\sqrt{(2^{kd}-1)/n}",
        ),
        Step(
            "One draw moves W₁ by at most D/n. Then McDiarmid.",
            r"P(W_1 \ge E\,W_1+t) \le \exp(-2nt^2/D^2)",
        ),
        Step(
            "For d ≥ 64, D_k = D for k ≤ 3, and level 4 has 2^(4d) cells: the bound on the mean is D for every n below "
            "2^250. On the line it is better:",
            r"E\,W_1=\int E|\hat F-F| \le \int\sqrt{F(1-F)/n} \le \frac{D}{2\sqrt n}",
        ),
    ),
    forms=(
        Form(
            name=_NAMES[0],
            latex=r"W_1(P,Q) \le W_1(\hat P,\hat Q) + D\sqrt{(n+m)\ln(1/\delta)/(2nm)}",
            constant="D/√2",
            sides=above(independent_deviation),
            witness=Witness(words=_LIMIT + "0.505 at δ = 0.05 (n = 3, m large)", make=_single(False)),
        ),
        Form(
            name=_NAMES[1],
            latex=r"W_1(P,Q) \le W_1(\hat P,\hat Q) + D\sqrt{2\ln(1/\delta)/n}",
            constant="√2 D",
            sides=above(pairs_deviation),
            witness=Witness(words=_LIMIT + "0.15 at δ = 0.05 (n = 300)", make=_single(True)),
        ),
        Form(
            name=_NAMES[2],
            latex=r"\sum_y\pi_y W_1(P^y,Q^y) \le \sum_y\hat\pi_y W_1(\hat P^y,\hat Q^y) + D\sqrt{2\ln(1/\delta)/n}",
            constant="√2 D",
            sides=above(pairs_deviation, by_class=True),
            witness=Witness(words=_LIMIT + "0.15 at δ = 0.05 (n = 300)", make=_one_class_moves),
        ),
        Form(
            name=_NAMES[3],
            latex=r"W_1(\hat P,P) \le r(n, d, D, \delta)",
            constant="D/2 and D/√2 on the line",
            sides=own(own_radius),
            witness=Witness(
                words="three coins on the line",
                make=_three_coins,
                reaches=0.56,
                reason="best of all p and n ≤ 40 on two points; Jensen's step is tight where W₁ does not vary and "
                "McDiarmid's where "
                "it does; "
                "0.015 at δ = 0.05 (n = 37)",
            ),
        ),
    ),
    mutants=(
        Mutant(
            name="radius × 0.9",
            form=_NAMES[0],
            sides=above(lambda x: 0.9 * independent_deviation(x)),
            killer=lambda: Simplex(
                joint=one_moves(0.9 * math.sqrt(-math.log(0.278) / 2) + 1e-6)[None], n=1, m=10**9, delta=0.278
            ),
        ),
        Mutant(
            name="1/(n + m) for 1/n + 1/m",
            form=_NAMES[0],
            sides=above(lambda x: math.sqrt(math.log(1 / x.delta) / (2 * (x.n + x.m)))),
            killer=lambda: Simplex(joint=one_moves(0.42)[None], n=1, m=1, delta=0.5),
        ),
        Mutant(
            name="radius of independent samples for pairs",
            form=_NAMES[1],
            sides=above(independent_deviation),
            killer=lambda: Simplex(joint=swaps(0.65)[None], n=100, m=100, delta=0.001, paired=True),
        ),
        Mutant(
            name="radius of one sample for pairs",
            form=_NAMES[1],
            sides=above(lambda x: pairs_deviation(x) / 2),
            killer=lambda: Simplex(joint=swaps(0.6)[None], n=100, m=100, delta=0.05, paired=True),
        ),
        Mutant(
            name="radius × 0.9",
            form=_NAMES[2],
            sides=above(lambda x: 0.9 * pairs_deviation(x), by_class=True),
            killer=lambda: Simplex(joint=swaps(0.54)[None], n=10_000, m=10_000, delta=math.exp(-30), paired=True),
        ),
        Mutant(
            name="classes ignored: transport of the marginals", form=_NAMES[2], sides=_of_the_marginals, killer=_classes_apart
        ),
        Mutant(
            name="mean forgotten",
            form=_NAMES[3],
            sides=own(lambda x: math.sqrt(math.log(1 / x.delta) / (2 * x.n))),
            killer=lambda: Simplex(joint=swaps(0.5)[None], n=1, m=1, delta=0.7),
        ),
        Mutant(
            name="deviation forgotten",
            form=_NAMES[3],
            sides=own(lambda x: 1 / (2 * math.sqrt(x.n))),
            killer=lambda: Simplex(joint=swaps(0.5)[None], n=20, m=20, delta=0.05),
        ),
        Mutant(
            name="cells of the line whatever the dimension",
            form=_NAMES[3],
            sides=own(lambda x: transport_radius(x.n, 1, 1.0, x.delta)),
            killer=lambda: Simplex(joint=np.diag(np.full(16, 1 / 16))[None], n=2, m=2, delta=0.5),
        ),
    ),
    level="with probability 1 − δ",
    scale_mutants=False,
)
