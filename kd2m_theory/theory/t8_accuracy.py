"""T8: the student's error rate from the teacher's margins and transport."""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from kd2m_theory.theory.examples import MOVES
from kd2m_theory.theory.instance import (
    Instance,
    instance,
    least_cost,
    margin,
    random_instance,
    sum_of,
    vertex_norm,
    zero_one,
)
from kd2m_theory.theory.statement import Counterexample, Form, Hypothesis, Mutant, Sides, Step, Theorem, Witness

# A cost of a pair from the teacher's margin, the change of logits Δ = a_S − a_T, and the class: m, n × m × K, n × m labels.
PairCost = Callable[[Tensor, Tensor, Tensor], Tensor]

# Margins and changes of logits that differ by no more than rounding count as equal, which errs on the safe side of both bounds.
_TIE = 1e-13


def ramp(margins: Tensor, rho: float) -> Tensor:
    """r_ρ(m) = clip(1 − m/ρ, 0, 1): at least the 0–1 loss, and (1/ρ)-Lipschitz."""
    return (1 - margins / rho).clamp(0.0, 1.0)


def advances(change: Tensor, labels: Tensor) -> Tensor:
    """Δ_c − Δ_y for the classes c ≠ y, along the last axis; the place of y holds NaN."""
    own = labels[..., None]
    return (change - change.gather(-1, own)).scatter(-1, own, torch.nan)


def least_advance(change: Tensor, labels: Tensor) -> Tensor:
    """min_{c≠y} (Δ_c − Δ_y)."""
    return advances(change, labels).nan_to_num(nan=torch.inf).amin(-1)


def largest_advance(change: Tensor, labels: Tensor) -> Tensor:
    """max_{c≠y} (Δ_c − Δ_y)."""
    return advances(change, labels).nan_to_num(nan=-torch.inf).amax(-1)


def expected(x: Instance, cost: PairCost, largest: bool = False) -> Tensor:
    """Σ_y π_y min_γ E_γ of a cost, γ the couplings of one class; max_γ instead on request."""
    sign, parts = (-1.0 if largest else 1.0), []
    for y, share, mine, theirs in x.by_class():
        teacher = x.logits_teacher[theirs]
        change = x.logits_student[mine][:, None] - teacher[None]
        labels = torch.full(change.shape[:2], y)
        costs = cost(margin(teacher, torch.full((len(teacher),), y))[None], change, labels).to(x.bias)
        parts.append(share * sign * least_cost(sign * costs.expand(labels.shape)))
    return sum_of(parts)


def error(x: Instance) -> Tensor:
    """err_S: how often the student's most likely class is not the label; of equals the first is most likely."""
    return x.loss(x.logits_student, x.labels_student).mean()


def tie(change: Tensor, margins: Tensor) -> Tensor:
    """How far apart two numbers may be and still count as equal."""
    return _TIE * (change.detach().abs().amax() + margins.detach().abs().amax())


def may_err(reach: Callable[[Tensor, Tensor], Tensor]) -> PairCost:
    """Whether m_T ≤ reach(Δ, y)."""
    return lambda margins, change, labels: margins <= reach(change, labels) + tie(change, margins)


def must_err(reach: Callable[[Tensor, Tensor], Tensor]) -> PairCost:
    """Whether m_T < −reach(Δ, y)."""
    return lambda margins, change, labels: margins < -reach(change, labels) - tie(change, margins)


def _directed(x: Instance) -> Sides:
    below = must_err(lambda *pairs: -least_advance(*pairs))
    return Sides(error(x), expected(x, may_err(largest_advance)), expected(x, below, largest=True))


def _margin(x: Instance) -> Sides:
    return Sides(error(x), expected(x, may_err(vertex_norm)), expected(x, must_err(vertex_norm), largest=True))


def teacher_ramp(x: Instance) -> Tensor:
    """E r_ρ(m_T)."""
    return ramp(margin(x.logits_teacher, x.labels_teacher), x.parameter).mean()


def _ramp(x: Instance) -> Sides:
    rho = x.parameter
    moved = expected(x, lambda _, change, labels: (vertex_norm(change, labels) / rho).clamp_max(1.0))
    return Sides(error(x), teacher_ramp(x) + moved, torch.zeros_like(moved))


# Points are logits from here on: W = I.
def logits(student: object, teacher: object, labels: object, labels_teacher: object = None, rho: float = 1.0) -> Instance:
    """An instance of three classes from its logits."""
    return instance(student, teacher, labels, torch.eye(3), labels_teacher=labels_teacher, loss=zero_one, parameter=rho)


def _one_turns_wrong() -> Instance:
    right, wrong = [2.0, 0.0, 0.0], [-1.0, 2.0, 0.0]
    return logits([wrong, right, right, right], [right] * 4, [0, 0, 0, 0], rho=2.0)


def _shares_differ() -> Instance:
    right, wrong = [2.0, 0.0, 0.0], [9.0, 0.0, 0.0]
    return logits([right, wrong, wrong, wrong], [right, right, right, wrong], [0, 1, 1, 1], [0, 0, 0, 1])


def _narrow(values: Tensor, labels: Tensor) -> Tensor:
    """Whether the label is not the most likely class by 1 at least."""
    return (margin(values, labels) < 1).to(values)


def _close_call() -> Instance:
    close = [[0.5, 0.0, 0.0]]
    return replace(logits(close, close, [0], rho=0.5), loss=_narrow)


def _negative_width() -> Instance:
    return logits([[-3.0, 0.0, 0.0]], [[-3.0, 0.0, 0.0]], [0], rho=-1.0)


def _unit(generator: torch.Generator) -> float:
    return float(torch.rand((), generator=generator, dtype=torch.float64))


def _start(generator: torch.Generator) -> Instance:
    """A teacher that is mostly right and a student near it or not; ρ is 0.5, 1, 2 or 4 of the teacher's median good margin."""
    x = random_instance(generator, n=6, loss=zero_one, own_head=_unit(generator) < 0.5)
    # Labels by the teacher, some of them wrong.
    chosen = torch.where(torch.rand(6, generator=generator) < 0.7, x.logits_teacher.argmax(1), x.labels_teacher)
    if _unit(generator) < 0.5:
        # An own head near the teacher's: changes as small as margins.
        noise = 10.0 ** (-2.0 * _unit(generator)) * torch.randn(x.weight.shape, generator=generator, dtype=torch.float64)
        x = replace(x, student=x.teacher + noise.mean(), own=(x.weight + noise, x.bias))
    good = margin(x.logits_teacher, chosen)
    good = good[good > 0]
    unit = float(good.quantile(0.5)) if len(good) else 1.0
    width = (0.5, 1.0, 2.0, 4.0)[int(torch.randint(0, 4, (), generator=generator))]
    order = torch.randperm(6, generator=generator)
    return replace(x, labels_student=chosen, teacher=x.teacher[order], labels_teacher=chosen[order], parameter=width * unit)


def _half_vertex(x: Instance) -> Sides:
    def half(change: Tensor, labels: Tensor) -> Tensor:
        return vertex_norm(change, labels) / 2

    return Sides(error(x), expected(x, may_err(half)), expected(x, must_err(half), largest=True))


def _uniform_norm(x: Instance) -> Sides:
    def uniform(change: Tensor, _labels: Tensor) -> Tensor:
        return change.abs().amax(-1)

    return Sides(error(x), expected(x, may_err(uniform)), expected(x, must_err(uniform), largest=True))


def _strict(x: Instance) -> Sides:
    upper = expected(x, lambda margins, change, labels: margins < vertex_norm(change, labels))
    return Sides(error(x), upper, expected(x, must_err(vertex_norm), largest=True))


def _lower_without_sign(x: Instance) -> Sides:
    lower = expected(x, lambda margins, change, labels: margins < vertex_norm(change, labels), largest=True)
    return Sides(error(x), expected(x, may_err(vertex_norm)), lower)


def _exchanged(x: Instance) -> Sides:
    below = must_err(lambda *pairs: -largest_advance(*pairs))
    return Sides(error(x), expected(x, may_err(least_advance)), expected(x, below, largest=True))


def _classes_ignored(x: Instance) -> Sides:
    """Couplings of the marginals: a student's point may be compared with a teacher's of another class."""
    teacher, labels = x.logits_teacher, x.labels_teacher
    change = x.logits_student[:, None] - teacher[None]
    near = margin(teacher, labels)[None] <= vertex_norm(change, labels[None].expand(change.shape[:2]))
    return Sides(error(x), least_cost(near.to(x.bias)), torch.zeros_like(x.bias[0]))


def _no_width(x: Instance) -> Sides:
    moved = expected(x, lambda _, change, labels: (vertex_norm(change, labels) / x.parameter**2).clamp_max(1.0))
    return Sides(error(x), teacher_ramp(x) + moved, torch.zeros_like(moved))


def _teacher_error(x: Instance) -> Sides:
    """The teacher's 0–1 loss for its ramp loss."""
    moved = expected(x, lambda _, change, labels: (vertex_norm(change, labels) / x.parameter).clamp_max(1.0))
    return Sides(error(x), x.loss(x.logits_teacher, x.labels_teacher).mean() + moved, torch.zeros_like(moved))


def _close_win() -> Instance:
    return logits([[-0.1, 0.0, 0.0]], [[0.1, 0.0, 0.0]], [0], rho=2.0)


def _one_up_one_down() -> Instance:
    """Δ = (−1, 1, 0): no entry moves by more than 1, the margin by 2."""
    return logits([[0.5, 1.0, 0.0]], [[1.5, 0.0, 0.0]], [0])


def _tied() -> Instance:
    """A student for whom classes 0 and 1 are equal answers 0, and the label is 1."""
    return logits([[1.0, 1.0, 0.0]], [[0.0, 1.0, 0.0]], [1])


def _other_class() -> Instance:
    """Where the student is wrong on class 0 it looks like the teacher on class 1, and the other way about."""
    first, second = [3.0, 0.0, 0.0], [0.0, 3.0, 0.0]
    return logits([second, first], [first, second], [0, 1])


def _one_leads() -> Instance:
    """Class 1 takes the lead, class 2 falls back."""
    return logits([[0.0, 1.0, -9.0]], [[0.5, 0.0, 0.0]], [0])


_WORDS = "one in four turns wrong; the others do not move, and lead by ρ"

THEOREM = Theorem(
    name="T8",
    title="accuracy from margins and transport",
    plain="A margin moves by no more than the vertex norm of the change of logits. So the student errs at most where the "
    "teacher's margin is within that reach, and at least where it is beyond it on the wrong side, under any coupling that "
    "keeps labels.",
    latex=r"\max_\gamma P_\gamma(m_T<-\nu_y(\Delta)) \le \mathrm{err}_S \le \min_\gamma P_\gamma(m_T\le\nu_y(\Delta)) \le "
    r"E\,r_\rho(m_T)+\sum_y\pi_y W_{\min(1,\nu_y/\rho)}(P_S^y,P_T^y)",
    hypotheses=(
        Hypothesis(
            name="same class shares",
            detail="So couplings can keep labels.",
            check=lambda x: x.same_shares,
            counterexample=Counterexample(
                words="the student has more of the class that both get wrong", form="T8.ramp", make=_shares_differ
            ),
        ),
        Hypothesis(
            name="0–1 loss",
            detail="Any of equally likely classes may be answered: a margin below 0 is an error, and one above 0 is not.",
            check=lambda x: x.loss is zero_one,
            counterexample=Counterexample(
                words="a lead of less than 1 counts as an error too", form="T8.ramp", make=_close_call
            ),
        ),
        Hypothesis(
            name="positive width",
            forms=("T8.ramp",),
            check=lambda x: x.parameter > 0,
            counterexample=Counterexample(words="ρ = −1 rewards errors", form="T8.ramp", make=_negative_width),
        ),
    ),
    direction="two-sided",
    source="margin bounds (standard), constant C3; enclosure by couplings: derived here",
    proof="A margin changes by at most the change of a logit difference, so an error of the student lies where the "
    "teacher's margin was small.",
    steps=(
        Step(
            "The student's margin lies between two ends, both within ν_y(Δ) of the teacher's.",
            r"m_T-\max_{c\ne y}(\Delta_c-\Delta_y) \le m_S \le m_T-\min_{c\ne y}(\Delta_c-\Delta_y)",
        ),
        Step(
            "Take a coupling that keeps labels. An error of the student has m_S ≤ 0.",
            r"[m_S \le 0] \le [m_T \le \max_{c\ne y}(\Delta_c-\Delta_y)] \le [m_T \le \nu_y(\Delta)]",
        ),
        Step(
            "The other way round, the student errs where the teacher errs by more than the change. Choose the best "
            "coupling for each side.",
            r"m_T < -\nu_y(\Delta) \le \min_{c\ne y}(\Delta_c-\Delta_y) \quad\Rightarrow\quad m_S < 0",
        ),
        Step(
            "The ramp is coarser: the second term is 1 for ν_y ≥ ρ, and else the first is at least 1 − ν_y/ρ. This holds "
            "on every coupling, and so at the best: T8.margin is never above T8.ramp.",
            r"[m_T \le \nu_y] \le r_\rho(m_T)+\min(1,\nu_y/\rho)",
        ),
        Step("Each network may have its own head, because points are logits."),
    ),
    forms=(
        Form(
            name="T8.directed",
            constant="1",
            sides=_directed,
            witness=Witness(words=_WORDS, make=_one_turns_wrong),
            start=_start,
            free=MOVES,
        ),
        Form(
            name="T8.margin",
            latex=r"\max_\gamma P_\gamma(m_T<-\nu_y(\Delta)) \le \mathrm{err}_S \le \min_\gamma P_\gamma(m_T\le\nu_y(\Delta))",
            constant="1",
            sides=_margin,
            witness=Witness(words=_WORDS, make=_one_turns_wrong),
            start=_start,
            free=MOVES,
        ),
        Form(
            name="T8.ramp",
            constant="1/ρ, at most 1",
            sides=_ramp,
            witness=Witness(words=_WORDS, make=_one_turns_wrong),
            start=_start,
            free=MOVES,
        ),
    ),
    mutants=(
        Mutant(name="the two ends exchanged", form="T8.directed", sides=_exchanged, killer=_one_leads),
        Mutant(name="ν_y/2 for ν_y", form="T8.margin", sides=_half_vertex, killer=_one_up_one_down),
        Mutant(name="max_c |Δ_c| for max_c |Δ_c − Δ_y|", form="T8.margin", sides=_uniform_norm, killer=_one_up_one_down),
        Mutant(name="m_T < ν_y for m_T ≤ ν_y", form="T8.margin", sides=_strict, killer=_tied),
        Mutant(name="lower side with m_T < ν_y", form="T8.margin", sides=_lower_without_sign),
        Mutant(
            name="classes ignored: couplings of the marginals", form="T8.margin", sides=_classes_ignored, killer=_other_class
        ),
        Mutant(name="ρ² for ρ", form="T8.ramp", sides=_no_width),
        Mutant(name="0–1 loss of the teacher for its ramp loss", form="T8.ramp", sides=_teacher_error, killer=_close_win),
    ),
)
