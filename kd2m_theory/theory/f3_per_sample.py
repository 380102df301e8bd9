"""F3: T0 and T1 in the population: the gap is at most the mean of a bounded variable that is measured on every input."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import numpy as np
from scipy.special import logsumexp

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
class Logits:
    """A population of a few inputs with known logits of both networks.

    Attributes:
        shares: probability of each input.
        student: logits, one row per input.
        teacher: logits.
        labels: class of each input.
        n: size of the sample.
        delta: failure probability allowed.
        bound: losses are clipped at it; None: in the radius the sample's largest value stands for it.
        clipped: the gap is that of the clipped loss.
        loss: cross-entropy, at temperature ½ if "steep"; or the spread of the two logits, whatever the class.
        copies: the sample is one input, copied.
        pairing: which input's teacher logits stand beside the student's.
        seen: probability of each input where the sample is drawn, if that is another population.
        students: number of students with outputs of this law, independently; the one with the least limit is reported.
        stated: the teacher's risk and error rate as stated, as multiples of what they are.
        weights: weights λ of the teacher's risk; on each sample the one with the least limit is taken.
    """

    shares: Floats
    student: Floats
    teacher: Floats
    labels: tuple[int, ...]
    n: int
    delta: float
    bound: float | None = 1.0
    clipped: bool = True
    loss: Literal["cross-entropy", "steep", "spread"] = "cross-entropy"
    copies: bool = False
    pairing: tuple[int, ...] | None = None
    seen: Floats | None = None
    students: int = 1
    stated: float = 1.0
    weights: tuple[float, ...] = (1.0,)

    def losses(self, logits: Floats, clipped: bool = True) -> Floats:
        """Losses of every input and class."""
        if self.loss == "spread":
            values = np.ptp(logits, axis=1, keepdims=True) * np.ones_like(logits)
        else:
            logits = 2 * logits if self.loss == "steep" else logits
            values = logsumexp(logits, axis=1, keepdims=True) - logits
        return np.asarray(np.minimum(values, math.inf if self.bound is None or not clipped else self.bound))

    @property
    def gap(self) -> float:
        """R_S − R_T in the population."""
        rows = np.arange(len(self.labels))
        change = self.losses(self.student, self.clipped) - self.losses(self.teacher, self.clipped)
        return float(self.shares @ change[rows, list(self.labels)])

    @property
    def error_gap(self) -> float:
        """err_S − err_T in the population."""
        wrong = [(logits.argmax(axis=1) != self.labels).astype(np.float64) for logits in (self.student, self.teacher)]
        return float(self.shares @ (wrong[0] - wrong[1]))

    @property
    def beside(self) -> Floats:
        """Teacher logits as they stand beside the student's."""
        return self.teacher if self.pairing is None else self.teacher[list(self.pairing)]

    def limits(self, values: Floats, limit: Callable[[Floats, Floats], Floats]) -> tuple[Floats, Floats]:
        """The limit of every sample that can occur, from the mean of a value of each input and B, and its probability."""
        size = 1 if self.copies else self.n
        counts, weights = outcomes(size, self.shares if self.seen is None else self.seen)
        seen = np.where(counts > 0, values, 0.0).max(axis=1)
        return limit(counts @ values / size, seen if self.bound is None else np.full(len(counts), self.bound)), weights


def statement(
    gap: Callable[[Logits], float],
    values: Callable[[Logits], Floats],
    limit: Callable[[Logits, Floats, Floats], Floats],
) -> Formula:
    """The statement "the gap is at most the limit", from the mean of a value of each input and B."""

    def formula(x: Logits) -> Sides:
        limits, weights = x.limits(values(x), lambda means, bound: limit(x, means, bound))
        return failing(best_of(float(weights @ (gap(x) > limits + SLACK)), x.students), x.delta)

    return formula


def _signed(x: Logits) -> float:
    return x.gap


def _absolute(x: Logits) -> float:
    return abs(x.gap)


def _absolute_errors(x: Logits) -> float:
    return abs(x.error_gap)


def worst_label(x: Logits) -> Floats:
    """max_y [ℓ_S(y) − ℓ_T(y)] of clipped losses; in [0, B] for cross-entropy."""
    return np.asarray((x.losses(x.student) - x.losses(x.beside)).max(axis=1))


def _mean_label(x: Logits) -> Floats:
    return np.asarray((x.losses(x.student) - x.losses(x.beside)).mean(axis=1))


def own_change(x: Logits) -> Floats:
    """ℓ_S − ℓ_T of clipped losses for the true class; in [−B, B]."""
    change = x.losses(x.student) - x.losses(x.beside)
    return np.asarray(change[np.arange(len(change)), list(x.labels)])


def within_reach(x: Logits) -> Floats:
    """Whether the teacher's margin is at most what a logit gains on the true class's: m_T ≤ max_{c≠y}(Δ_c − Δ_y)."""
    rows, labels = np.arange(len(x.labels)), list(x.labels)

    def largest(logits: Floats) -> Floats:
        others = logits - logits[rows, labels][:, None]
        others[rows, labels] = -np.inf
        return np.asarray(others.max(axis=1))

    return np.asarray(-largest(x.beside) <= largest(x.student - x.beside), dtype=np.float64)


def _teacher_wrong(x: Logits) -> Floats:
    return np.asarray(x.beside.argmax(axis=1) != x.labels, dtype=np.float64)


def _error(x: Logits) -> float:
    return float(x.shares @ (x.student.argmax(axis=1) != x.labels))


def disagreement(x: Logits) -> Floats:
    """Whether the two networks predict different classes."""
    return np.asarray(x.student.argmax(axis=1) != x.beside.argmax(axis=1), dtype=np.float64)


def clipped_change(x: Logits) -> Floats:
    """min(B, ν_y(Δ)), Δ the change of logits."""
    change = x.student - x.beside
    own = change[np.arange(len(change)), list(x.labels)][:, None]
    return np.asarray(np.minimum(np.abs(change - own).max(axis=1), math.inf if x.bound is None else x.bound))


def _euclidean_change(x: Logits) -> Floats:
    return np.asarray(np.minimum(np.linalg.norm(x.student - x.beside, axis=1), math.inf if x.bound is None else x.bound))


def _largest_change(x: Logits) -> Floats:
    return np.asarray(np.minimum(np.abs(x.student - x.beside).max(axis=1), math.inf if x.bound is None else x.bound))


def _radius(factor: float) -> Callable[[Logits, Floats, Floats], Floats]:
    return lambda x, means, bound: means + factor * bound * hoeffding_radius(x.n, x.delta)


def _clopper_pearson(x: Logits, means: Floats, _bound: Floats) -> Floats:
    return clopper_pearson_upper(np.rint(means * x.n), x.n, x.delta)


def _no_limit(_x: Logits, means: Floats, _bound: Floats) -> Floats:
    return means


def rare_change(p: float, n: int, delta: float) -> Logits:
    """With probability p the student moves from sure and right to sure and wrong; elsewhere it is the teacher. B = 1."""
    sure = np.array([[50.0, 0.0], [50.0, 0.0]])
    moved = np.array([[50.0, 0.0], [0.0, 50.0]])
    return Logits(shares=np.array([1 - p, p]), student=moved, teacher=sure, labels=(0, 0), n=n, delta=delta)


def _one_input(factor: float = 1.0, delta: float = 0.99999) -> Logits:
    return rare_change(factor * hoeffding_radius(1, delta) + 1e-9, 1, delta)


def _at_the_limit() -> Logits:
    return rare_change(float(clopper_pearson_upper(np.array([3.0]), 20, 0.05)[0]) + 1e-9, 20, 0.05)


def _rows_shuffled() -> Logits:
    right, wrong = np.array([[9.0, 0.0], [0.0, 9.0]]), np.array([[0.0, 9.0], [9.0, 0.0]])
    return Logits(shares=np.array([0.5, 0.5]), student=wrong, teacher=right, labels=(0, 1), n=20, delta=0.05, pairing=(1, 0))


def _spread() -> Logits:
    # For every class the loss is 0 at one network and B = 1 at the other.
    near, far = np.array([0.0, 0.0]), np.array([0.0, 1.0])
    student, teacher = np.stack((near, far)), np.stack((far, near))
    return Logits(shares=np.array([0.7, 0.3]), student=student, teacher=teacher, labels=(0, 0), n=1, delta=0.5, loss="spread")


def _moderate_change() -> Logits:
    # Sure and wrong: the loss changes by 2 = ν, ‖Δ‖ by √2, the largest logit by 1; every input is the same.
    return Logits(
        shares=np.ones(1),
        student=np.array([[-21.0, 21.0]]),
        teacher=np.array([[-20.0, 20.0]]),
        labels=(0,),
        n=5000,
        delta=0.05,
        bound=100.0,
    )


def _plus(reach: float, means: Floats, bound: Floats) -> Floats:
    return means + reach * bound


def teacher_known(scale: float = 1.0, price: float = 1.0) -> Formula:
    """R_S − R_T ≤ λρ + mean of max_y [ℓ_S − (1 + λ)ℓ_T] + (1 + λ)B √(ln(1/δ)/(2n)) for clipped losses, λ of `weights`.

    Args:
        scale: of the radius.
        price: of λρ.
    """

    def formula(x: Logits) -> Sides:
        rows = np.arange(len(x.labels))
        risk = x.stated * float(x.shares @ x.losses(x.teacher)[rows, list(x.labels)])
        ends = []
        for weight in x.weights:
            values = np.asarray((x.losses(x.student) - (1 + weight) * x.losses(x.beside)).max(axis=1))
            reach = scale * (1 + weight) * hoeffding_radius(x.n, x.delta)
            limits, chances = x.limits(values, partial(_plus, reach))
            ends.append(limits + price * weight * risk)
        return failing(best_of(float(chances @ (x.gap > np.min(ends, axis=0) + SLACK)), x.students), x.delta)

    return formula


def teacher_error(times: float = 2.0) -> Formula:
    """err_T − err_S ≤ 2e − L, L the lower Clopper–Pearson limit of the disagreement."""

    def formula(x: Logits) -> Sides:
        wrong = x.stated * float(x.shares @ (x.teacher.argmax(axis=1) != x.labels))

        def limit(x: Logits, means: Floats, _bound: Floats) -> Floats:
            return times * wrong - (1 - clopper_pearson_upper(np.rint((1 - means) * x.n), x.n, x.delta))

        return statement(lambda x: -x.error_gap, disagreement, limit)(x)

    return formula


def _weight_of_the_sample() -> Logits:
    """A sample of one input, on which the teacher is sure or knows nothing: either way another λ is best."""
    return Logits(
        shares=np.array([0.5, 0.5]),
        student=np.array([[0.0, 50.0], [50.0, 0.0]]),
        teacher=np.array([[0.0, 0.0], [50.0, 0.0]]),
        labels=(0, 0),
        n=1,
        delta=0.9,
        bound=2 * math.log(2),
        weights=(0.0, 1024.0),
    )


def _teacher_errs(stated: float = 1.0) -> Logits:
    """With probability ½ the teacher is sure and wrong, and the student sure and right."""
    right, wrong = [50.0, 0.0], [0.0, 50.0]
    return Logits(
        shares=np.array([0.5, 0.5]),
        student=np.array([right, right]),
        teacher=np.array([right, wrong]),
        labels=(0, 0),
        n=50,
        delta=0.05,
        stated=stated,
    )


def _both_err(stated: float = 1.0) -> Logits:
    """Both networks know nothing of half of the inputs; the student has forgotten the rest."""
    return Logits(
        shares=np.array([0.5, 0.5]),
        student=np.array([[0.0, 50.0], [0.0, 50.0]]),
        teacher=np.array([[0.0, 0.0], [0.0, 0.0]]),
        labels=(0, 0),
        n=5000,
        delta=0.05,
        stated=stated,
    )


def _at_the_lower_limit() -> Logits:
    # P(Bin(20, p) ≥ 3) = δ at the lower limit p of 3 in 20.
    return rare_change(1 - float(clopper_pearson_upper(np.array([17.0]), 20, 0.05)[0]) - 1e-9, 20, 0.05)


_NAMES = (
    "F3.risk",
    "F3.any_loss",
    "F3.error",
    "F3.paired",
    "F3.difference",
    "F3.margin",
    "F3.teacher_risk",
    "F3.teacher_error",
)
_LOSSES = (*_NAMES[:2], *_NAMES[3:5], _NAMES[6])

THEOREM = Theorem(
    name="F3",
    title="per-sample bounds in the population",
    plain="The gap of clipped losses in the population is at most the sample mean of max_y [ℓ_S(y) − ℓ_T(y)] plus the radius "
    "of a "
    "bounded mean, without labels; the gap of error rates at most the Clopper–Pearson limit of the disagreement.",
    latex=r"R_S - R_T \le \frac1n\sum_i \max_y[\ell_S - \ell_T](x_i, y) + B\sqrt{\ln(1/\delta)/(2n)}",
    hypotheses=(
        Hypothesis(
            name="same inputs",
            check=None,
            counterexample=Counterexample(words="rows of the teacher shuffled", form=_NAMES[2], make=_rows_shuffled),
        ),
        Hypothesis(
            name="independent samples",
            check=None,
            counterexample=Counterexample(
                words="one input, copied 100 times",
                form=_NAMES[0],
                make=lambda: replace(rare_change(0.3, 100, 0.05), copies=True),
            ),
        ),
        Hypothesis(
            name="same population",
            detail="This holds for the inputs, with or without labels.",
            check=None,
            counterexample=Counterexample(
                words="inputs on which the networks differ are rarer where the sample is drawn",
                form=_NAMES[2],
                make=lambda: replace(rare_change(0.5, 50, 0.05), seen=np.array([0.95, 0.05])),
            ),
        ),
        Hypothesis(
            name="range fixed before the sample",
            forms=_LOSSES,
            check=None,
            counterexample=Counterexample(
                words="the sample's largest value for B",
                form=_NAMES[0],
                make=lambda: replace(rare_change(0.01, 50, 0.05), bound=None),
            ),
        ),
        Hypothesis(
            name="bounded loss",
            forms=_LOSSES,
            detail="The gap is that of the loss clipped at B, or the loss is bounded by B.",
            check=lambda x: (
                x.clipped or float(max(x.losses(a, clipped=False).max() for a in (x.student, x.teacher))) <= (x.bound or 0)
            ),
            counterexample=Counterexample(
                words="the gap of cross-entropy itself",
                form=_NAMES[0],
                make=lambda: replace(rare_change(0.5, 50, 0.05), clipped=False),
            ),
        ),
        Hypothesis(
            name="monotone loss",
            forms=(_NAMES[0], _NAMES[6]),
            check=lambda x: x.loss != "spread",
            counterexample=Counterexample(
                words="a penalty on the spread of logits: the maximum over classes goes down to −B",
                form=_NAMES[0],
                make=_spread,
            ),
        ),
        Hypothesis(
            name="1-Lipschitz loss",
            forms=(_NAMES[3],),
            check=lambda x: x.loss != "steep",
            counterexample=Counterexample(
                words="cross-entropy at temperature ½", form=_NAMES[3], make=lambda: replace(_moderate_change(), loss="steep")
            ),
        ),
        Hypothesis(
            name="teacher risk known",
            forms=(_NAMES[6],),
            detail="In the population; of the clipped loss, which has no larger risk.",
            check=lambda x: x.stated >= 1,
            counterexample=Counterexample(
                words="half of the teacher's risk was stated", form=_NAMES[6], make=lambda: _both_err(0.5)
            ),
        ),
        Hypothesis(
            name="weight fixed before the sample",
            forms=(_NAMES[6],),
            check=lambda x: len(x.weights) == 1,
            counterexample=Counterexample(
                words="λ = 0 or λ = 1024, whichever has the least limit on the sample",
                form=_NAMES[6],
                make=_weight_of_the_sample,
            ),
        ),
        Hypothesis(
            name="teacher error known",
            forms=(_NAMES[7],),
            detail="In the population.",
            check=lambda x: x.stated >= 1,
            counterexample=Counterexample(
                words="the teacher errs on half of the inputs, and half as often was stated",
                form=_NAMES[7],
                make=lambda: _teacher_errs(0.5),
            ),
        ),
        Hypothesis(
            name="networks fixed before the sample",
            check=None,
            counterexample=Counterexample(
                words="the best of 20 students on one input",
                form=_NAMES[0],
                make=lambda: replace(rare_change(0.6, 1, 0.5), students=20),
            ),
        ),
    ),
    direction="upper",
    source="T0 and T1, and the means of F1",
    proof="The gap is at most the mean of a bounded variable that is known input by input, and F1 bounds that mean in the "
    "population.",
    steps=(
        Step(
            "Bound the difference of the losses input by input by a variable U in an interval of known length, and apply "
            "F1 to it.",
            r"R_S-R_T \le E\,U",
        ),
        Step(
            "For a loss that falls as the class becomes more probable, the range is [0, B] and not [−B, B], which halves "
            "the radius. Probabilities sum to 1, so some class is not more probable for the student than for the teacher, "
            "and there the clipped difference is nonnegative.",
            r"0 \le \max_y(\ell_S(y)-\ell_T(y)) \le B",
        ),
        Step(
            "The difference of an input's own losses has range [−B, B].",
            r"-B \le \ell_S-\ell_T \le B",
        ),
        Step(
            "Clipping is monotone and 1-Lipschitz.",
            r"|\ell_S-\ell_T| \le \min(B,\nu_Y(\Delta))",
        ),
        Step(
            "For errors the number of disagreements in the sample is binomial. An error of the student has margin m_S ≤ 0, "
            "so F3.margin counts every such input.",
            r"m_S \ge m_T-\max_{c\ne Y}(\Delta_c-\Delta_Y)",
        ),
        Step(
            "With the teacher's risk at most ρ, T0.known at a fixed λ ≥ 0 has a variable in [−λB, B]: where ℓ_S ≥ ℓ_T it "
            "is at least −λℓ_T. The lower side has min_y, or the networks exchanged; at λ > 1 its range is [0, λB].",
            r"R_S-R_T \le \lambda\rho+E\max_y[\ell_S(y)-(1+\lambda)\ell_T(y)]",
        ),
        Step(
            "With the teacher's error rate at most e, and d the probability that the predictions differ:",
            r"\mathrm{err}_S-\mathrm{err}_T \ge d-2e",
        ),
    ),
    forms=(
        Form(
            name=_NAMES[0],
            latex=r"R_S - R_T \le \overline{\max_y[\ell_S - \ell_T]} + B\sqrt{\ln(1/\delta)/(2n)}",
            constant="B/√2",
            sides=statement(_signed, worst_label, _radius(1.0)),
            witness=Witness(
                words="one input, δ close to 1: the change is not seen; at δ = 0.05 the best is 0.505 (n = 3)", make=_one_input
            ),
        ),
        Form(
            name=_NAMES[1],
            latex=r"R_S - R_T \le \overline{\max_y[\ell_S - \ell_T]} + 2B\sqrt{\ln(1/\delta)/(2n)}",
            constant="√2 B",
            sides=statement(_signed, worst_label, _radius(2.0)),
            witness=Witness(words="the same with twice the radius", make=lambda: _one_input(2.0)),
        ),
        Form(
            name=_NAMES[2],
            latex=r"|\mathrm{err}_S - \mathrm{err}_T| \le U(\#\{\hat y_S \ne \hat y_T\}),\quad "
            r"P(\mathrm{Bin}(n, U(k)) \le k) = \delta",
            constant="1",
            sides=statement(_absolute_errors, disagreement, _clopper_pearson),
            witness=Witness(
                words="the student is wrong wherever they differ, just above the limit of a count", make=_at_the_limit
            ),
        ),
        Form(
            name=_NAMES[3],
            latex=r"|R_S - R_T| \le \overline{\min(B, \nu_Y(\Delta))} + B\sqrt{\ln(1/\delta)/(2n)}",
            constant="B/√2",
            sides=statement(_absolute, clipped_change, _radius(1.0)),
            witness=Witness(
                words="one input, δ close to 1: the change is not seen; at δ = 0.05 the best is 0.505 (n = 3)", make=_one_input
            ),
        ),
        Form(
            name=_NAMES[4],
            latex=r"R_S - R_T \le \overline{\ell_S - \ell_T} + 2B\sqrt{\ln(1/\delta)/(2n)}",
            constant="√2 B",
            sides=statement(_signed, own_change, _radius(2.0)),
            witness=Witness(words="one input, δ close to 1: the change is not seen", make=lambda: _one_input(2.0)),
        ),
        Form(
            name=_NAMES[5],
            latex=r"\mathrm{err}_S \le U(\#\{m_T \le \max_{c\ne Y}(\Delta_c - \Delta_Y)\}),\quad "
            r"P(\mathrm{Bin}(n, U(k)) \le k) = \delta",
            constant="1",
            sides=statement(_error, within_reach, _clopper_pearson),
            witness=Witness(words="the student is wrong where a logit gains more than the margin", make=_at_the_limit),
        ),
        Form(
            name=_NAMES[6],
            constant="(1 + λ)B/√2",
            sides=teacher_known(),
            witness=Witness(
                words="one input, δ close to 1: the change is not seen, and the teacher is sure and right",
                make=lambda: _one_input(2.0),
            ),
        ),
        Form(
            name=_NAMES[7],
            constant="1 for d, 2 for e",
            sides=teacher_error(),
            witness=Witness(words="a teacher without errors, just below the limit of a count", make=_at_the_lower_limit),
        ),
    ),
    mutants=(
        Mutant(
            name="radius × 0.9",
            form=_NAMES[0],
            sides=statement(_signed, worst_label, _radius(0.9)),
            killer=lambda: _one_input(0.9, 0.278),
        ),
        Mutant(
            name="mean over classes for the maximum",
            form=_NAMES[0],
            sides=statement(_signed, _mean_label, _radius(1.0)),
            killer=lambda: rare_change(0.9, 50, 0.05),
        ),
        Mutant(name="B for 2B", form=_NAMES[1], sides=statement(_signed, worst_label, _radius(1.0)), killer=_spread),
        Mutant(
            name="disagreement without limit",
            form=_NAMES[2],
            sides=statement(_absolute_errors, disagreement, _no_limit),
            killer=lambda: rare_change(0.5, 50, 0.05),
        ),
        Mutant(
            name="disagreement for the gap of the loss",
            form=_NAMES[2],
            sides=statement(_absolute, disagreement, _clopper_pearson),
            killer=_moderate_change,
        ),
        Mutant(
            name="B for 2B, of the difference of losses",
            form=_NAMES[4],
            sides=statement(_signed, own_change, _radius(1.0)),
            killer=_spread,
        ),
        Mutant(
            name="the teacher's errors for those within reach",
            form=_NAMES[5],
            sides=statement(_error, _teacher_wrong, _clopper_pearson),
            killer=lambda: rare_change(0.5, 50, 0.05),
        ),
        Mutant(
            name="the sample's mean for its limit",
            form=_NAMES[6],
            sides=teacher_known(scale=0.0),
            killer=lambda: rare_change(0.9, 50, 0.05),
        ),
        Mutant(name="λρ forgotten", form=_NAMES[6], sides=teacher_known(price=0.0), killer=_both_err),
        Mutant(name="e for 2e", form=_NAMES[7], sides=teacher_error(times=1.0), killer=_teacher_errs),
        Mutant(
            name="‖Δ‖₂ for ν",
            form=_NAMES[3],
            sides=statement(_absolute, _euclidean_change, _radius(0.0)),
            killer=_moderate_change,
        ),
        Mutant(
            name="largest |Δ| for ν",
            form=_NAMES[3],
            sides=statement(_absolute, _largest_change, _radius(0.0)),
            killer=_moderate_change,
        ),
    ),
    level="with probability 1 − δ",
    scale_mutants=False,
)
