"""F6: what is chosen on the sample (ρ, a kernel's width, a projection, a student) costs confidence, or a split."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from kd2m_theory.theory.chance import SLACK, Floats, best_of, clopper_pearson_upper, failing, outcomes
from kd2m_theory.theory.statement import Counterexample, Form, Formula, Hypothesis, Mutant, Sides, Step, Theorem, Witness


@dataclass(frozen=True)
class Claims:
    """Lower limits on the probabilities of exclusive events, one claim an event.

    Attributes:
        shares: probability of each event; the last is that of none of them.
        levels: δ_j of each claim on the list; events beyond it have none.
        n: size of the sample.
        delta: failure probability allowed to all claims together.
        copies: the sample is one draw, copied.
        invented: the event seen most often is claimed, too, at the first level, on the list or not.
    """

    shares: Floats
    levels: Floats
    n: int
    delta: float
    copies: bool = False
    invented: bool = False


@dataclass(frozen=True)
class Split:
    """Students with independent errors; the one with the fewest on one split is audited on another.

    Attributes:
        p: error rate of every student.
        students: their number.
        n: size of the audited split.
        m: size of the split that chooses.
        delta: failure probability allowed.
        shared: how many of the audited inputs chose as well.
        looks: how often the audited split was used, each time for another student; the least limit is reported.
        copies: the audited split is one input, copied.
        seen: error rate on the audited split, if that comes from another population.
    """

    p: float
    students: int
    n: int
    m: int
    delta: float
    shared: int = 0
    looks: int = 1
    copies: bool = False
    seen: float | None = None


@dataclass(frozen=True)
class Tested:
    """Hypotheses, some of them true, each with a p-value, under a law of finitely many outcomes.

    Attributes:
        p: p-values, one row an outcome and one column a hypothesis; of a true one, P(p ≤ t) ≤ t for every t.
        weights: probability of each outcome.
        true: whether each hypothesis is true.
        delta: failure probability allowed to all rejections together.
        invented: only the hypothesis with the least p-value is tested, as if it had been the only one.
    """

    p: Floats
    weights: Floats
    true: NDArray[np.bool_]
    delta: float
    invented: bool = False


def clopper_pearson_lower(k: Floats, n: int, delta: Floats) -> Floats:
    """The p with P(Bin(n, p) ≥ k) = δ; 0 for k = 0."""
    return np.where(k > 0, stats.beta.ppf(delta, np.maximum(k, 0.5), n - k + 1), 0.0)


def union(levels: Callable[[Claims], Floats] = lambda x: x.levels) -> Formula:
    """The statement "every claim holds"."""

    def formula(x: Claims) -> Sides:
        counts, weights = outcomes(1 if x.copies else x.n, x.shares)
        counts = counts * x.n if x.copies else counts
        listed = counts[:, : len(x.levels)]
        missed = (x.shares[: len(x.levels)] < clopper_pearson_lower(listed, x.n, levels(x)) - SLACK).any(axis=1)
        if x.invented:
            most = counts.argmax(axis=1)
            limit = clopper_pearson_lower(counts[np.arange(len(counts)), most], x.n, levels(x)[:1])
            missed |= x.shares[most] < limit - SLACK
        return failing(float(weights @ missed), x.delta)

    return formula


def _law(n: int, p: float, copies: bool = False) -> Floats:
    # Probabilities of the number of errors among n inputs.
    if copies:
        return np.concatenate(([1 - p], np.zeros(n - 1), [p]))
    return np.asarray(stats.binom.pmf(np.arange(n + 1), n, p))


def joint_law(x: Split) -> Floats:
    """P(chosen student has s errors where it was chosen and a where it is audited), [s, a]."""
    chosen, fresh = _law(x.m - x.shared, x.p), _law(x.n - x.shared, x.p if x.seen is None else x.seen, x.copies)
    joint = np.zeros((x.m + 1, x.n + 1))
    for both, weight in enumerate(_law(x.shared, x.p)):
        joint[both : both + len(chosen), both : both + len(fresh)] += weight * np.outer(chosen, fresh)
    one = joint.sum(axis=1)
    at_least = np.minimum(np.append(np.cumsum(one[::-1])[::-1], 0.0), 1.0)
    fewest = at_least[:-1] ** x.students - at_least[1:] ** x.students
    return np.asarray(joint * np.divide(fewest, one, out=np.zeros_like(one), where=one > 0)[:, None])


def _audited(_x: Split, _chosen: Floats, audited: Floats) -> tuple[Floats, int]:
    return audited, _x.n


def _where_chosen(x: Split, chosen: Floats, _audited: Floats) -> tuple[Floats, int]:
    return chosen, x.m


def _pooled(x: Split, chosen: Floats, audited: Floats) -> tuple[Floats, int]:
    return chosen + audited, x.n + x.m


def split(
    errors: Callable[[Split, Floats, Floats], tuple[Floats, int]] = _audited,
    limit: Callable[[Floats, int, float], Floats] = clopper_pearson_upper,
) -> Formula:
    """The statement "the chosen student's error rate is at most the limit", from its errors on some split."""

    def formula(x: Split) -> Sides:
        chosen, audited = np.meshgrid(np.arange(x.m + 1.0), np.arange(x.n + 1.0), indexing="ij")
        missed = x.p > limit(*errors(x, chosen, audited), x.delta) + SLACK
        return failing(best_of(float((joint_law(x) * missed).sum()), x.looks), x.delta)

    return formula


def step_down(level: Callable[[float, int], float] = lambda delta, left: delta / left) -> Formula:
    """The statement "no true hypothesis is rejected", where the least p-value is compared with the level of those left."""

    def rejected(p: Floats, delta: float) -> NDArray[np.bool_]:
        found = np.zeros(len(p), dtype=bool)
        for k, j in enumerate(np.argsort(p, kind="stable")):
            if p[j] > level(delta, len(p) - k) * (1 + SLACK):
                break
            found[j] = True
        return found

    return _rejecting(rejected)


def step_up() -> Formula:
    """The same with Hochberg's method: all up to the largest p-value that passes, whether or not the others pass."""

    def rejected(p: Floats, delta: float) -> NDArray[np.bool_]:
        found, order = np.zeros(len(p), dtype=bool), np.argsort(p, kind="stable")
        passing = [k for k, j in enumerate(order) if p[j] <= delta / (len(p) - k) * (1 + SLACK)]
        found[order[: max(passing, default=-1) + 1]] = True
        return found

    return _rejecting(rejected)


def _rejecting(rejected: Callable[[Floats, float], NDArray[np.bool_]]) -> Formula:
    def formula(x: Tested) -> Sides:
        failure = 0.0
        for p, weight in zip(x.p, x.weights, strict=True):
            tested = p.argmin(keepdims=True) if x.invented else np.arange(len(p))
            failure += float(weight) * bool((rejected(p[tested], x.delta) & x.true[tested]).any())
        return failing(failure, x.delta)

    return formula


def exclusive(true: int, false: int, delta: float, p: float) -> Tested:
    """True hypotheses of which at most one has a p-value below 1, then p, with that probability; false ones have 0."""
    values = np.hstack((np.where(np.eye(true + 1, true, dtype=bool), p, 1.0), np.zeros((true + 1, false))))
    weights = np.append(np.full(true, p), 1 - true * p)
    return Tested(values, weights, np.arange(true + false) < true, delta)


def _at_once() -> Tested:
    """Two true hypotheses: one of them at δ/2, or both at δ, each with probability δ/2."""
    p = np.array([[0.025, 1.0], [1.0, 0.025], [0.05, 0.05], [1.0, 1.0]])
    return Tested(p, np.array([0.025, 0.025, 0.025, 0.925]), np.ones(2, dtype=bool), 0.05)


def _divided(by: Callable[[int], float]) -> Callable[[Claims], Floats]:
    return lambda x: np.full(len(x.levels), x.delta / by(len(x.levels)))


def _independent(x: Claims) -> Floats:
    return np.full(len(x.levels), 1 - (1 - x.delta) ** (1 / len(x.levels)))


def claims(number: int, delta: float, p: float | None = None) -> Claims:
    """One draw and claims at δ divided by their number; an event that is drawn refutes its claim if p is below its level."""
    p = delta / number * (1 - 1e-9) if p is None else p
    return Claims(np.append(np.full(number, p), 1 - number * p), np.full(number, delta / number), 1, delta)


def _fresh() -> Split:
    p = float(clopper_pearson_upper(np.array([3.0]), 20, 0.05)[0]) + 1e-9
    return Split(p, 10, 20, 20, 0.05)


def _undivided() -> Claims:
    return replace(claims(20, 0.05, 0.04), levels=np.full(20, 0.05))


def _not_on_the_list() -> Claims:
    return Claims(np.full(50, 0.02), np.array([0.05]), 1, 0.05, invented=True)


def _one_draw() -> Claims:
    return Claims(np.array([0.2, 0.2, 0.6]), np.full(2, 0.025), 10, 0.05, copies=True)


_NAMES = ("F6.union", "F6.split", "F6.holm")

THEOREM = Theorem(
    name="F6",
    title="choices made on the sample",
    plain="Claims that hold with probability 1 − δ_j each hold together with probability 1 − Σδ_j, so one of them may be "
    "chosen on the "
    "sample; or the choice is made on one split and the claim on another, which then has all of δ. Holm's method rejects "
    "hypotheses in the order of their p-values, each at δ over the number of those left, and rejects no true one with "
    "probability 1 − δ.",
    latex=r"P\Bigl(\bigcup_j \text{claim } j \text{ fails}\Bigr) \le \sum_j \delta_j \le \delta",
    hypotheses=(
        Hypothesis(
            name="levels add up to δ",
            forms=(_NAMES[0],),
            check=lambda x: float(x.levels.sum()) <= x.delta * (1 + SLACK),
            counterexample=Counterexample(
                words="each of 20 claims at the whole of δ, the worst is reported", form=_NAMES[0], make=_undivided
            ),
        ),
        Hypothesis(
            name="claims fixed before the sample",
            forms=(_NAMES[0], _NAMES[2]),
            check=None,
            counterexample=Counterexample(words="a claim about the event that was seen", form=_NAMES[0], make=_not_on_the_list),
        ),
        Hypothesis(
            name="each claim holds by itself",
            forms=(_NAMES[0], _NAMES[2]),
            detail="As it does for independent draws from the population (F1). For Holm's method it says of every "
            "level t: the p-value of a true hypothesis is at most t with probability at most t.",
            check=None,
            counterexample=Counterexample(words="one draw, copied ten times", form=_NAMES[0], make=_one_draw),
        ),
        Hypothesis(
            name="networks fixed before the sample",
            forms=(_NAMES[1],),
            detail="No audited input, and no copy of one, was used to train or to select.",
            check=None,
            counterexample=Counterexample(
                words="ten students, chosen and audited on one split", form=_NAMES[1], make=lambda: replace(_fresh(), shared=20)
            ),
        ),
        Hypothesis(
            name="audited split used once",
            forms=(_NAMES[1],),
            check=None,
            counterexample=Counterexample(
                words="five students audited, the best reported", form=_NAMES[1], make=lambda: replace(_fresh(), looks=5)
            ),
        ),
        Hypothesis(
            name="same population",
            forms=(_NAMES[1],),
            detail="The audited inputs are drawn from it.",
            check=None,
            counterexample=Counterexample(
                words="inputs that are easier than the population", form=_NAMES[1], make=lambda: replace(_fresh(), seen=0.1)
            ),
        ),
        Hypothesis(
            name="independent samples",
            check=None,
            counterexample=Counterexample(
                words="one audited input, copied 20 times", form=_NAMES[1], make=lambda: replace(_fresh(), copies=True)
            ),
            forms=(_NAMES[1],),
        ),
    ),
    direction="upper",
    source="Boole; conditioning on the split that chooses; Holm, Scand. J. Statist. 6 (1979)",
    proof="The reported claim is one of the list, so its failure is in the union of all failures; with a split the choice "
    "is fixed before the audited sample is seen.",
    steps=(
        Step(
            "The reported claim is one of the list, whichever rule chose it. The probability of a union is at most the sum.",
            r"P(\text{reported claim fails}) \le P\Bigl(\bigcup_j A_j\Bigr) \le \sum_j\delta_j \le \delta",
        ),
        Step(
            "There is equality where the failures exclude each other. So Šidák's level is not enough without independence.",
            r"1-(1-\delta)^{1/M} > \delta/M",
        ),
        Step(
            "With a split, condition on the part that chooses: the choice is fixed, and the audited part is a fresh "
            "sample. The claim fails with probability at most δ for every choice, and hence on average.",
            r"P(\text{fails})=E\,P(\text{fails}\mid\text{choice}) \le \delta",
        ),
        Step(
            "A parameter of a bound that is deterministic on the sample, such as ρ in T8, may be chosen freely for the sample."
        ),
        Step(
            "With Holm's method, let m hypotheses be true. The first true one that is rejected is rejected while all m are "
            "left, at a level of at most δ/m. By the union bound one of m p-values is so small with probability at most δ.",
            r"P\Bigl(\min_{j\text{ true}} p_j \le \delta/m\Bigr) \le m\cdot\delta/m = \delta",
        ),
        Step(
            "What follows from right rejections is right. So a hypothesis that they refute need not be counted among the rest."
        ),
    ),
    forms=(
        Form(
            name=_NAMES[0],
            latex=r"P(\text{some claim fails}) \le \sum_j \delta_j",
            constant="1",
            sides=union(),
            witness=Witness(words="exclusive events, each just rarer than its level, one draw", make=lambda: claims(5, 0.05)),
        ),
        Form(
            name=_NAMES[1],
            latex=r"P(\text{claim fails} \mid \text{choice}) \le \delta",
            constant="1",
            sides=split(),
            witness=Witness(
                words="ten students whose error rate is just above the limit of a count: δ whatever was chosen", make=_fresh
            ),
        ),
        Form(
            name=_NAMES[2],
            latex=r"P(\text{a true hypothesis is rejected}) \le \delta",
            constant="1",
            sides=step_down(),
            witness=Witness(
                words="one false hypothesis that is always rejected, two true ones that are never rejected at once",
                make=lambda: exclusive(2, 1, 0.05, 0.025),
            ),
        ),
    ),
    mutants=(
        Mutant(
            name="1 − (1 − δ)^{1/M}, as if independent",
            form=_NAMES[0],
            sides=union(_independent),
            killer=lambda: claims(10, 0.5, 0.066),
        ),
        Mutant(
            name="δ/(M − 1): the chosen claim is not counted",
            form=_NAMES[0],
            sides=union(_divided(lambda m: m - 1)),
            killer=lambda: claims(5, 0.05, 0.0124),
        ),
        Mutant(name="δ/√M", form=_NAMES[0], sides=union(_divided(lambda m: m**0.5)), killer=lambda: claims(5, 0.05, 0.022)),
        Mutant(name="limit from the split that chooses", form=_NAMES[1], sides=split(_where_chosen)),
        Mutant(
            name="limit from both splits together",
            form=_NAMES[1],
            sides=split(_pooled),
            killer=lambda: Split(0.3, 100, 20, 20, 0.05),
        ),
        Mutant(
            name="2δ for δ: a one-sided limit taken from a two-sided interval",
            form=_NAMES[1],
            sides=split(limit=lambda k, n, delta: clopper_pearson_upper(k, n, 2 * delta)),
            killer=lambda: replace(_fresh(), p=float(clopper_pearson_upper(np.array([3.0]), 20, 0.1)[0]) + 1e-9),
        ),
        Mutant(
            name="no correction: every hypothesis at δ",
            form=_NAMES[2],
            sides=step_down(lambda delta, _left: delta),
            killer=lambda: exclusive(5, 0, 0.05, 0.04),
        ),
        Mutant(
            name="δ/(left − 1): the hypothesis that is tested is not counted",
            form=_NAMES[2],
            sides=step_down(lambda delta, left: delta / max(1, left - 1)),
            killer=lambda: exclusive(3, 1, 0.05, 0.0249),
        ),
        Mutant(
            name="the largest p-value first (Hochberg), without independence",
            form=_NAMES[2],
            sides=step_up(),
            killer=_at_once,
        ),
    ),
    level="with probability 1 − δ",
    scale_mutants=False,
)
