"""T0 with what is known of the teacher, or of other means over inputs and labels."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from scipy.optimize import linprog
from torch import Tensor

from kd2m_theory.theory.examples import HEAD, MOVES
from kd2m_theory.theory.hypotheses import same_inputs
from kd2m_theory.theory.instance import Instance, instance, random_instance, zero_one
from kd2m_theory.theory.statement import Counterexample, Form, Hypothesis, Mutant, Sides, Step, Theorem, Witness
from kd2m_theory.theory.t0_label_free import changes, error_gap, predictions

# Beyond it λ changes nothing but rounding.
_LARGEST = 2.0**30
THREE = ((1.0, 0.0), (-1.0, 0.0), (0.0, 1.0))


def teacher_losses(x: Instance) -> Tensor:
    """ℓ(f_T, y) of every input and every class y, n × K."""
    return torch.stack([x.loss(x.logits_teacher, torch.full((len(x.teacher),), y)) for y in range(len(x.bias))], 1)


def teacher_risk(x: Instance) -> Tensor:
    """R_T."""
    return x.loss(x.logits_teacher, x.labels_teacher).mean()


def best_weight(gains: Tensor, losses: Tensor, risk: Tensor) -> float:
    """The λ ≥ 0 at which λρ + E max_y [U_y − λℓ_T(y)] is least, by bisection on its slope; n × K gains and losses."""
    values, costs, rows = gains.detach().numpy(), losses.detach().numpy(), np.arange(len(gains))
    stated = float(risk.detach())

    def rises(weight: float) -> bool:
        return bool(stated >= costs[rows, (values - weight * costs).argmax(axis=1)].mean())

    if rises(0.0):
        return 0.0
    left, right = 0.0, 1.0
    while not rises(right) and right < _LARGEST:
        left, right = right, 2 * right
    for _ in range(50):
        middle = (left + right) / 2
        left, right = (left, middle) if rises(middle) else (middle, right)
    return right


def _least(gains: Tensor, losses: Tensor, risk: Tensor) -> Tensor:
    """min_{λ ≥ 0} λρ + E max_y [U_y − λℓ_T(y)]: at any λ it is an upper bound."""
    weight = best_weight(gains, losses, risk)
    return weight * risk + (gains - weight * losses).amax(1).mean()


def _risk(x: Instance) -> Sides:
    every, losses, risk = changes(x), teacher_losses(x), x.parameter * teacher_risk(x)
    return Sides(x.gap, _least(every, losses, risk), -_least(-every, losses, risk))


def _rates(x: Instance) -> tuple[Tensor, Tensor]:
    """Disagreement d and the teacher's stated error rate e."""
    student, teacher = predictions(x)
    wrong = zero_one(x.logits_teacher, x.labels_teacher).mean()
    return (student != teacher).to(x.bias.dtype).mean(), x.parameter * wrong


def _error(x: Instance) -> Sides:
    apart, wrong = _rates(x)
    excess = (apart + wrong - 1).clamp(min=0.0)
    upper = apart - (2 if len(x.bias) == 2 else 1) * excess
    return Sides(error_gap(x), upper, torch.maximum(-apart, apart - 2 * wrong))


def _means(x: Instance) -> tuple[Tensor, Tensor, Tensor]:
    """Functions h_j (J × n × K), their stated means c_j (J), and which are known from both sides.

    Class frequencies, and the teacher's risk on the inputs that it predicts as each class, at most `parameter` times what it
    is.
    """
    n, classes = len(x.student), len(x.bias)
    rows, losses, predicted = torch.arange(n), teacher_losses(x), predictions(x)[1]
    ones = torch.eye(classes, dtype=x.bias.dtype)[:, None].expand(classes, n, classes)
    cells = torch.stack([losses * (predicted == c)[:, None] for c in range(classes)])
    actual = torch.cat((ones, cells))[:, rows, x.labels_student].mean(1)
    stated = torch.cat((actual[:classes], x.parameter * actual[classes:]))
    return torch.cat((ones, cells)), stated, torch.arange(2 * classes) < classes


def worst_kernel(gains: Tensor, functions: Tensor, means: Tensor, exact: Tensor) -> Tensor:
    """The multipliers λ_j of the largest mean gain over label kernels q(y|x) with E h_j ≤ c_j, or = c_j where exact.

    Args:
        gains: n × K.
        functions: h_j, J × n × K.
        means: c_j, J.
        exact: J; there λ_j may have either sign.
    """
    n, classes = gains.shape
    table = functions.detach().numpy().reshape(len(functions), -1) / n
    stated, equal = means.detach().numpy(), exact.numpy()
    found = linprog(
        -gains.detach().numpy().ravel() / n,
        A_ub=table[~equal],
        b_ub=stated[~equal],
        A_eq=np.vstack((np.kron(np.eye(n), np.ones(classes)), table[equal])),
        b_eq=np.concatenate((np.ones(n), stated[equal])),
        method="highs",
    )
    weights = np.zeros(len(functions))
    if found.x is not None:  # else T0, at λ = 0
        weights[~equal], weights[equal] = -found.ineqlin.marginals, -found.eqlin.marginals[n:]
    return torch.from_numpy(weights)


def _any_means(x: Instance) -> Sides:
    functions, means, exact = _means(x)
    every, ends = changes(x), []
    for gains in (every, -every):
        weights = worst_kernel(gains, functions, means, exact)
        ends.append(weights @ means + (gains - (weights[:, None, None] * functions).sum(0)).amax(1).mean())
    return Sides(x.gap, ends[0], -ends[1])


def _start(generator: torch.Generator) -> Instance:
    # Between what is known exactly and a bound of twice the risk.
    slack = float(torch.rand((), generator=generator, dtype=torch.float64).round(decimals=1))
    return random_instance(generator, own_head=True, parameter=1.0 + slack)


def _exact_start(generator: torch.Generator) -> Instance:
    return random_instance(generator, own_head=True)


def _both_labels(parameter: float = 1.0) -> Instance:
    """One input twice, with either label: of two classes ρ says how often each label occurs."""
    return instance([[2.0], [2.0]], [[1.0], [1.0]], [0, 1], HEAD, parameter=parameter)


def _either_class() -> Instance:
    """Two inputs that the teacher predicts as class 0, with either label, and one that it predicts as class 1, wrongly."""
    return instance([[2.0], [2.0], [-2.0]], [[1.0], [1.0], [-2.0]], [0, 1, 0], HEAD)


def _sure_and_wrong() -> Instance:
    """Sure and right by the teacher; the student has turned, and errs on all."""
    return instance([[-3.0], [-3.0]], [[3.0], [3.0]], [0, 0], HEAD)


def _both_turn() -> Instance:
    """They differ on three inputs of four: the student is right on one of these, the teacher on two."""
    right, wrong = [3.0], [-3.0]
    return instance([right, wrong, wrong, right], [wrong, right, right, right], [0, 0, 0, 0], HEAD)


def _both_wrong() -> Instance:
    """Three classes: both networks err, on different classes."""
    return instance([[3.0, 0.0]], [[-3.0, 0.0]], [2], THREE)


def _slack_in_the_middle() -> Instance:
    """The teacher is right on every input, and four times its risk was stated."""
    return instance([[2.0], [2.0]], [[1.0], [1.0]], [0, 0], HEAD, parameter=4.0)


def _no_price(x: Instance) -> Sides:
    every, losses, risk = changes(x), teacher_losses(x), x.parameter * teacher_risk(x)
    upper, lower = (_least(gains, losses, risk) - best_weight(gains, losses, risk) * risk for gains in (every, -every))
    return Sides(x.gap, upper, -lower)


def _either_sign(x: Instance) -> Sides:
    """Every real λ, though the teacher's risk may be smaller than ρ."""
    every, losses, risk = changes(x), teacher_losses(x), x.parameter * teacher_risk(x)
    upper, lower = (torch.minimum(_least(g, losses, risk), _least(g, -losses, -risk)) for g in (every, -every))
    return Sides(x.gap, upper, -lower)


def _error_once(x: Instance) -> Sides:
    apart, wrong = _rates(x)
    return Sides(error_gap(x), _error(x).upper, torch.maximum(-apart, apart - wrong))


def _end_of_two_classes(x: Instance) -> Sides:
    apart, wrong = _rates(x)
    return Sides(error_gap(x), apart - 2 * (apart + wrong - 1).clamp(min=0.0), _error(x).lower)


def _one_mean_forgotten(x: Instance) -> Sides:
    """The prices of the class frequencies are not paid."""
    functions, means, exact = _means(x)
    every = changes(x)
    weights = worst_kernel(every, functions, means, exact)
    paid = torch.where(exact, torch.zeros_like(weights), weights)
    upper = paid @ means + (every - (weights[:, None, None] * functions).sum(0)).amax(1).mean()
    return Sides(x.gap, upper, _any_means(x).lower)


def _known(key: str, form: str, words: str, make: Callable[[], Instance], check: Callable[[Instance], bool]) -> Hypothesis:
    return Hypothesis(name=key, check=check, counterexample=Counterexample(words=words, form=form, make=make), forms=(form,))


RISK, ERROR, MEANS = "T0.teacher_risk", "T0.teacher_error", "T0.known_means"

THEOREM = Theorem(
    name="T0.known",
    title="label-free, with what is known of the teacher",
    plain="If the teacher's risk on the inputs is at most ρ, labels that make the student much worse must be labels that the "
    "teacher makes likely: for every λ ≥ 0 the gap is at most λρ plus the mean over inputs of the largest change of loss less "
    "λ times the teacher's loss. The same holds for any means over inputs and labels that are known: the teacher's error "
    "rate, class frequencies, its risk where it predicts each class.",
    latex=r"E h_j(X,Y) \le c_j,\ \lambda_j \ge 0 \;\Rightarrow\; "
    r"R_S - R_T \le \sum_j \lambda_j c_j + E\max_y\Bigl[U_y - \sum_j \lambda_j h_j(X,y)\Bigr],\quad U_y=\ell_S(y)-\ell_T(y)",
    hypotheses=(
        same_inputs(RISK, detail="Where there are no labels, only the user can say that the inputs are the same."),
        _known(
            "teacher risk known",
            RISK,
            "half of the teacher's risk was stated",
            lambda: _both_labels(0.5),
            lambda x: x.parameter >= 1,
        ),
        _known(
            "teacher error known",
            ERROR,
            "the teacher errs on a quarter of the inputs, and half as often was stated",
            lambda: replace(_both_turn(), parameter=0.5),
            lambda x: x.parameter == 1,
        ),
        _known(
            "means known",
            MEANS,
            "half of the teacher's risk where it predicts each class was stated",
            lambda: replace(_either_class(), parameter=0.5),
            lambda x: x.parameter >= 1,
        ),
    ),
    direction="two-sided",
    source="standard (Lagrangian duality); T0",
    proof="Subtract multiples of the functions whose means are known, and bound what is left as in T0; the best multiples "
    "solve the dual of a linear program.",
    steps=(
        Step(
            "Add and subtract the known functions with weights λ.",
            r"E\,U_Y=\sum_j\lambda_j E\,h_j(X,Y)+E\Bigl[U_Y-\sum_j\lambda_j h_j(X,Y)\Bigr]",
        ),
        Step(
            "The first part is at most what is known, for nonnegative weights. The second is at most the mean of its "
            "largest value over labels.",
            r"E\,U_Y \le \sum_j\lambda_j c_j+E\max_y\Bigl[U_y-\sum_j\lambda_j h_j(X,y)\Bigr]",
        ),
        Step(
            "λ = 0 is T0. A mean that is known from both sides may have a weight of either sign. For the lower side, "
            "exchange U and −U."
        ),
        Step(
            "The least right side is the dual of a linear program over label kernels q. No bound can be better, except "
            "that labels of finitely many inputs cannot be divided.",
            r"\max_q E\sum_y q(y\mid X)\,U_y \quad\text{subject to}\quad E\sum_y q(y\mid X)\,h_j(X,y)\le c_j",
        ),
        Step(
            "Special cases: h = ℓ_T is the teacher's risk, h = ±1{y = c} are class frequencies, and h = 1{ŷ_T = c}ℓ_T is "
            "the risk where class c is predicted. Cells of inputs have their own λ, and their bounds add up."
        ),
        Step(
            "For errors let d be the share of inputs where the predictions differ, e the teacher's error rate, and a the "
            "share where the student alone is right, so that a ≤ min(d, e). Where they differ at most one is right.",
            r"\mathrm{err}_S-\mathrm{err}_T \ge (d-e)-a \ge d-2e, \qquad \mathrm{err}_S-\mathrm{err}_T \ge -a \ge -d",
        ),
        Step(
            "Where the predictions agree, the teacher errs on at most 1 − d. So it errs on at least (d + e − 1)₊ of the "
            "inputs where they differ; with two classes the student is right there. Every end is attained.",
            r"\mathrm{err}_S-\mathrm{err}_T \le d-(d+e-1)_+, \qquad K=2:\ \mathrm{err}_S-\mathrm{err}_T \le d-2(d+e-1)_+",
        ),
    ),
    forms=(
        Form(
            name=RISK,
            constant="λ, the best for these inputs",
            sides=_risk,
            witness=Witness(
                words="one input with either label: of two classes ρ determines how often each occurs", make=_both_labels
            ),
            start=_start,
            free=MOVES,
        ),
        Form(
            name=ERROR,
            constant="1 for d, 2 for e",
            sides=_error,
            witness=Witness(words="the teacher is right wherever they differ", make=_sure_and_wrong),
            start=_exact_start,
        ),
        Form(
            name=MEANS,
            latex=r"R_S - R_T \le \sum_j \lambda_j c_j + E\max_y\Bigl[U_y - \sum_j \lambda_j h_j(X,y)\Bigr]",
            constant="λ_j, the multipliers of the linear program",
            sides=_any_means,
            witness=Witness(
                words="class frequencies and the risk of the only class predicted leave one kernel", make=_both_labels
            ),
            start=_start,
            free=MOVES,
        ),
    ),
    mutants=(
        Mutant(name="λρ forgotten", form=RISK, sides=_no_price),
        Mutant(name="λ of either sign for an upper bound", form=RISK, sides=_either_sign, killer=_slack_in_the_middle),
        Mutant(name="d − e for d − 2e", form=ERROR, sides=_error_once, killer=_both_turn),
        Mutant(name="the upper end of two classes for three", form=ERROR, sides=_end_of_two_classes, killer=_both_wrong),
        Mutant(name="the price of class frequencies forgotten", form=MEANS, sides=_one_mean_forgotten),
    ),
)
