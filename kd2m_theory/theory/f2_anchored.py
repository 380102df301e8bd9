"""F2: the student's risk in the population, from the teacher's in a sample and a deterministic bound on the same sample."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from kd2m_theory.theory.chance import (
    SLACK,
    Floats,
    best_of,
    clopper_pearson_upper,
    failing,
    hoeffding_radius,
    outcomes,
)
from kd2m_theory.theory.statement import Counterexample, Form, Formula, Hypothesis, Mutant, Sides, Step, Theorem, Witness


@dataclass(frozen=True)
class Inputs:
    """A population of a few inputs with known losses.

    Attributes:
        shares: probability of each input.
        student: its losses.
        teacher: its losses.
        cost: what the deterministic bound of a sample is the mean of (a paired coupling, say).
        n: size of the sample.
        delta: failure probability allowed.
        bound: the student's loss is said to lie in [0, bound]; None: the largest loss of the sample is taken.
        copies: the sample is one input, copied.
        other: the deterministic bound comes from another sample than the teacher's risk.
        students: number of students, with losses of this law, independently; the one with the least limit is reported.
        seen: probability of each input where the sample is drawn, if that is another population.
    """

    shares: Floats
    student: Floats
    teacher: Floats
    cost: Floats
    n: int
    delta: float
    bound: float | None = 1.0
    copies: bool = False
    other: bool = False
    students: int = 1
    seen: Floats | None = None

    @property
    def risk(self) -> float:
        """The student's in the population."""
        return float(self.shares @ self.student)

    def frequencies(self) -> tuple[Floats, Floats]:
        """Frequencies of the inputs in every sample that can occur, and its probability."""
        size = 1 if self.copies else self.n
        counts, weights = outcomes(size, self.shares if self.seen is None else self.seen)
        return counts / size, weights


# From the inputs' frequencies in the sample, and the sample's R̂_T + D̂: the limit on the student's risk.
Limit = Callable[[Inputs, Floats, Floats], Floats]


def below(limit: Limit, sign: float = 1.0, teacher_of_population: bool = False) -> Formula:
    """The statement "the student's risk is at most the limit". The last two arguments make mutants."""

    def formula(x: Inputs) -> Sides:
        frequencies, weights = x.frequencies()
        teacher, cost = frequencies @ x.teacher, sign * (frequencies @ x.cost)
        if teacher_of_population:
            teacher = np.full(len(teacher), float(x.shares @ x.teacher))
        if x.other:
            size = len(weights)
            teacher, cost = np.repeat(teacher, size), np.tile(cost, size)
            frequencies, weights = np.repeat(frequencies, size, axis=0), np.outer(weights, weights).ravel()
        missed = float(weights @ (x.risk > limit(x, frequencies, teacher + cost) + SLACK))
        return failing(best_of(missed, x.students), x.delta)

    return formula


def _width(x: Inputs, frequencies: Floats) -> Floats:
    if x.bound is not None:
        return np.full(len(frequencies), x.bound)
    return np.asarray(np.where(frequencies > 0, x.student, 0.0).max(axis=1))


def _hoeffding(x: Inputs, frequencies: Floats, anchor: Floats) -> Floats:
    return anchor + _width(x, frequencies) * hoeffding_radius(x.n, x.delta)


def _errors(x: Inputs, _frequencies: Floats, anchor: Floats) -> Floats:
    # An anchor between two counts may be rounded down: the student's count is whole. The allowance is for rounding.
    return clopper_pearson_upper(np.clip(np.floor(x.n * anchor + 1e-9), 0, x.n), x.n, x.delta)


def _scaled(factor: float) -> Limit:
    return lambda x, frequencies, anchor: anchor + factor * _width(x, frequencies) * hoeffding_radius(x.n, x.delta)


def _teachers_range(x: Inputs, _frequencies: Floats, anchor: Floats) -> Floats:
    return anchor + hoeffding_radius(x.n, x.delta, float(x.teacher.max()))


def _no_radius(_x: Inputs, _frequencies: Floats, anchor: Floats) -> Floats:
    return anchor


def _teachers_count(x: Inputs, frequencies: Floats, _anchor: Floats) -> Floats:
    return _errors(x, frequencies, frequencies @ x.teacher)


def rare(p: float, n: int, delta: float, loss: float = 1.0, bound: float | None = 1.0) -> Inputs:
    """Where the student errs, with probability p, the teacher does not; the deterministic bound is exact."""
    cost = np.array([0.0, loss])
    return Inputs(np.array([1 - p, p]), cost, np.zeros(2), cost, n, delta, bound)


def _one_input() -> Inputs:
    return rare(hoeffding_radius(1, 0.9999) + 1e-9, 1, 0.9999)


def _at_the_limit() -> Inputs:
    return rare(float(clopper_pearson_upper(np.array([3.0]), 20, 0.05)[0]) + 1e-9, 20, 0.05)


def _copies() -> Inputs:
    return Inputs(np.array([0.8, 0.2]), np.array([0.0, 1.0]), np.zeros(2), np.array([0.0, 1.0]), 100, 0.05, copies=True)


def _two_samples() -> Inputs:
    # The student always errs: where the teacher does, too, and where it does not, at a cost of 1.
    flags = np.array([1.0, 0.0])
    return Inputs(np.array([0.5, 0.5]), np.ones(2), flags, 1 - flags, 30, 0.001, other=True)


def _invalid_bound() -> Inputs:
    return Inputs(np.array([0.5, 0.5]), np.array([0.0, 1.0]), np.zeros(2), np.zeros(2), 30, 0.05)


def _best_student() -> Inputs:
    cost = np.array([0.0, 1.0])
    return Inputs(np.array([0.4, 0.6]), cost, np.zeros(2), cost, 1, 0.5, students=20)


def _elsewhere() -> Inputs:
    cost = np.array([0.0, 1.0])
    return Inputs(np.array([0.5, 0.5]), cost, np.zeros(2), cost, 50, 0.05, seen=np.array([0.95, 0.05]))


def _opposite() -> Inputs:
    return Inputs(np.array([0.7, 0.3]), np.array([0.0, 1.0]), np.array([1.0, 0.0]), np.array([-1.0, 1.0]), 1, 0.5)


_NAMES = ("F2.hoeffding", "F2.error")

THEOREM = Theorem(
    name="F2",
    title="sample-anchored risk",
    plain="The student's risk in the population is at most the teacher's risk in a sample, plus any deterministic bound on "
    "the gap in "
    "that same sample, plus the radius of a bounded mean. No dimension enters.",
    latex=r"R_S(P) \le \hat R_T + \hat D + B\sqrt{\ln(1/\delta)/(2n)}",
    hypotheses=(
        Hypothesis(
            name="same sample",
            check=None,
            counterexample=Counterexample(words="the bound from a second sample", form=_NAMES[0], make=_two_samples),
        ),
        Hypothesis(
            name="valid bound",
            detail="D̂ is at least the gap of every sample (T1–T8), here cost by cost.",
            check=lambda x: bool(np.all(x.student - x.teacher <= x.cost)),
            counterexample=Counterexample(words="zero for the bound where the gap is not", form=_NAMES[0], make=_invalid_bound),
        ),
        Hypothesis(
            name="bounded loss",
            forms=(_NAMES[0],),
            detail="The student's loss lies in [0, B], by its nature or by clipping.",
            check=lambda x: bool(np.all(x.student >= 0)) and (x.bound is None or bool(np.all(x.student <= x.bound))),
            counterexample=Counterexample(
                words="losses of 1 where B = 0.1", form=_NAMES[0], make=lambda: rare(0.5, 50, 0.05, bound=0.1)
            ),
        ),
        Hypothesis(
            name="range fixed before the sample",
            forms=(_NAMES[0],),
            check=None,
            counterexample=Counterexample(
                words="the sample's largest loss for B", form=_NAMES[0], make=lambda: rare(0.01, 50, 0.05, bound=None)
            ),
        ),
        Hypothesis(
            name="independent samples",
            check=None,
            counterexample=Counterexample(words="one input, copied 100 times", form=_NAMES[0], make=_copies),
        ),
        Hypothesis(
            name="same population",
            check=None,
            counterexample=Counterexample(
                words="hard inputs are rarer where the sample is drawn", form=_NAMES[0], make=_elsewhere
            ),
        ),
        Hypothesis(
            name="networks fixed before the sample",
            detail="Only the student's training and choice matter.",
            check=None,
            counterexample=Counterexample(words="the best of 20 students on one input", form=_NAMES[0], make=_best_student),
        ),
        Hypothesis(
            name="0–1 values",
            forms=(_NAMES[1],),
            check=lambda x: bool(np.all(np.isin(x.student, (0.0, 1.0)))),
            counterexample=Counterexample(
                words="rare losses of 10, counted as none",
                form=_NAMES[1],
                make=lambda: rare(0.01, 50, 0.05, loss=10.0, bound=10.0),
            ),
        ),
    ),
    direction="upper",
    source="Hoeffding 1963 or Clopper and Pearson 1934 for the student's loss, and any of T1–T8 on the sample",
    proof="The student's risk on the sample is at most the teacher's plus the bound on the gap, and F1 takes that to the "
    "population.",
    steps=(
        Step(
            "F1 bounds the student's risk in the population by its risk on the sample, except with probability δ.",
            r"P\bigl(R_S > \hat R_S+r(\delta)\bigr) \le \delta",
        ),
        Step(
            "A deterministic theorem bounds its risk on the sample, for every sample.",
            r"\hat R_S \le \hat R_T+\hat D",
        ),
        Step(
            "Together they are the bound. D̂ costs no confidence, because it is not compared with a population.",
            r"P\bigl(R_S > \hat R_T+\hat D+r(\delta)\bigr) \le \delta",
        ),
        Step(
            "Any limit of F1 that grows with the sample mean is valid. For errors, Clopper–Pearson at this count is "
            "sharper than Hoeffding, and exact. Two sides take δ/2 each.",
            r"k=\lfloor n(\hat R_T+\hat D)\rfloor",
        ),
    ),
    forms=(
        Form(
            name=_NAMES[0],
            latex=r"R_S(P) \le \hat R_T + \hat D + B\sqrt{\ln(1/\delta)/(2n)}",
            constant="B/√2",
            sides=below(_hoeffding),
            witness=Witness(
                words="one input, δ close to 1: the student's error is not seen; at δ = 0.05 the best is 0.505 (n = 3)",
                make=_one_input,
            ),
        ),
        Form(
            name=_NAMES[1],
            latex=r"\mathrm{err}_S(P) \le U(\lfloor n(\hat R_T + \hat D)\rfloor), \quad P(\mathrm{Bin}(n, U(k)) \le "
            r"k) = \delta",
            constant="1",
            sides=below(_errors),
            witness=Witness(
                words="an exact bound on the sample, and an error rate just above the limit of a count", make=_at_the_limit
            ),
        ),
    ),
    mutants=(
        Mutant(
            name="radius × 0.9",
            form=_NAMES[0],
            sides=below(_scaled(0.9)),
            killer=lambda: rare(0.9 * hoeffding_radius(1, 0.278) + 1e-9, 1, 0.278),
        ),
        Mutant(name="bound subtracted", form=_NAMES[0], sides=below(_hoeffding, sign=-1.0), killer=lambda: rare(0.5, 50, 0.05)),
        Mutant(
            name="the teacher's risk in the population",
            form=_NAMES[0],
            sides=below(_hoeffding, teacher_of_population=True),
            killer=_opposite,
        ),
        Mutant(
            name="range of the teacher's losses",
            form=_NAMES[0],
            sides=below(_teachers_range),
            killer=lambda: rare(0.5, 50, 0.05),
        ),
        Mutant(name="radius forgotten", form=_NAMES[0], sides=below(_no_radius), killer=lambda: rare(0.5, 50, 0.05)),
        Mutant(
            name="Clopper–Pearson for the teacher's errors",
            form=_NAMES[1],
            sides=below(_teachers_count),
            killer=lambda: rare(0.5, 50, 0.05),
        ),
        Mutant(name="errors without limit", form=_NAMES[1], sides=below(_no_radius), killer=lambda: rare(0.5, 50, 0.05)),
    ),
    level="with probability 1 − δ",
    scale_mutants=False,
)
