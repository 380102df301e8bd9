"""T9: predictive distributions of the same inputs."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from kd2m_theory.theory.divergences import bretagnolle_huber, divergence, pinsker, smaller
from kd2m_theory.theory.examples import HEAD, MOVES, half_temperature
from kd2m_theory.theory.hypotheses import only_on, same_inputs
from kd2m_theory.theory.instance import Instance, cross_entropy, instance, random_instance, root
from kd2m_theory.theory.statement import Counterexample, Form, Hypothesis, Mutant, Sides, Step, Theorem, Witness


@dataclass(frozen=True)
class Drawn:
    """A population of n equally likely inputs with labels that are random given the input.

    Attributes:
        student: n × K logits.
        teacher: n × K logits.
        labels: n × K, P(Y = c | X); None where labels are drawn from the teacher.
    """

    student: Tensor
    teacher: Tensor
    labels: Tensor | None = None

    @property
    def gap(self) -> Tensor:
        """R_S − R_T for the log loss."""
        change = torch.log_softmax(self.teacher, 1) - torch.log_softmax(self.student, 1)
        law = torch.softmax(self.teacher, 1) if self.labels is None else self.labels
        return (law * change).sum(1).mean()


def probabilities(x: Instance, gamma: float = 1.0) -> tuple[Tensor, Tensor]:
    """p_S = softmax(a_S) and softmax(γ a_T), n × K."""
    return torch.softmax(x.logits_student, 1), torch.softmax(gamma * x.logits_teacher, 1)


def probability_gap(x: Instance, gamma: float = 1.0) -> Tensor:
    """E p_S(Y|X) − E p_T(Y|X): how often an answer drawn from p is right."""
    student, teacher = (p.gather(1, y[:, None]) for p, y in zip(probabilities(x, gamma), both_labels(x), strict=True))
    return (student - teacher).mean()


def both_labels(x: Instance) -> tuple[Tensor, Tensor]:
    """Labels of student and teacher."""
    return x.labels_student, x.labels_teacher


def mean_divergence(x: Instance, gamma: float = 1.0) -> Tensor:
    """E KL(p_T‖p_S), p_T = softmax(γ a_T)."""
    return divergence(gamma * x.logits_teacher, x.logits_student).mean()


def _largest(x: Instance) -> Sides:
    student, teacher = probabilities(x)
    change = student - teacher
    return Sides(probability_gap(x), change.amax(1).mean(), change.amin(1).mean())


def _variation(x: Instance) -> Sides:
    student, teacher = probabilities(x)
    return Sides(probability_gap(x), 0.5 * (student - teacher).abs().sum(1).mean())


def _pinsker(x: Instance) -> Sides:
    return Sides(probability_gap(x), pinsker(mean_divergence(x)))


def _bretagnolle_huber(x: Instance) -> Sides:
    return Sides(probability_gap(x), bretagnolle_huber(mean_divergence(x)))


def _ttm(x: Instance) -> Sides:
    term = mean_divergence(x, x.parameter)
    return Sides(probability_gap(x, x.parameter), smaller(term))


def with_residual(x: Instance, believed: Tensor) -> Sides:
    """The divergence plus E[ln(p_T(Y)/p_S(Y))] less its mean under the softmax of these logits."""
    log_s, log_t = torch.log_softmax(x.logits_student, 1), torch.log_softmax(x.logits_teacher, 1)
    one = torch.nn.functional.one_hot(x.labels_student, len(x.bias)).to(log_s)
    whole = mean_divergence(x) + ((one - torch.log_softmax(believed, 1).exp()) * (log_t - log_s)).sum(1).mean()
    return Sides(x.gap, whole, whole)


def _log_loss(x: Instance) -> Sides:
    return with_residual(x, x.logits_teacher)


def _drawn(x: Drawn) -> Sides:
    whole = divergence(x.teacher, x.student).mean()
    return Sides(x.gap, whole, whole)


# Two classes; logits are (z, −z), so p_0 = 1/(1 + e^{−2z}).
def _two(student: object, teacher: object, labels: object, gamma: float = 1.0) -> Instance:
    return instance(student, teacher, labels, HEAD, parameter=gamma)


def _less_sure() -> Instance:
    return _two([[1.0], [-0.5]], [[2.0], [-1.0]], [0, 1])


def _nearly_equal() -> Instance:
    return _two([[0.05], [0.05]], [[0.0], [0.0]], [0, 0])


def _turned_wrong() -> Instance:
    return _two([[-9.0]], [[9.0]], [0])


def _nearly_tempered() -> Instance:
    return _two([[0.05]], [[0.5]], [0], gamma=0.2)


def _drawn_from(labels: object = None) -> Drawn:
    student, teacher = torch.tensor([[1.0, 0.0, -1.0]]), torch.tensor([[0.0, 1.0, 0.0]])
    law = None if labels is None else torch.tensor(labels, dtype=torch.float64)
    return Drawn(student.double(), teacher.double(), law)


def _teacher_labels() -> Drawn:
    return _drawn_from()


def _other_labels() -> Drawn:
    return _drawn_from([[0.0, 0.0, 1.0]])


def _start(generator: torch.Generator) -> Instance:
    parameter = float(10.0 ** (2.0 * torch.rand((), generator=generator) - 1.5))
    x = random_instance(generator, own_head=True, parameter=parameter)
    if torch.rand((), generator=generator) < 0.5:  # a student near its teacher
        size = 10.0 ** (-3.0 * torch.rand((), generator=generator, dtype=torch.float64))
        noise = size * torch.randn(x.weight.shape, generator=generator, dtype=torch.float64)
        x = replace(x, student=x.teacher, own=(x.weight + noise, x.bias))
    return x


def _drawn_start(generator: torch.Generator) -> Drawn:
    teacher = 3 * torch.randn(4, 3, generator=generator, dtype=torch.float64)
    return Drawn(teacher + 3 * torch.randn(4, 3, generator=generator, dtype=torch.float64), teacher)


def _half_variation(x: Instance) -> Sides:
    whole = _variation(x)
    return Sides(whole.gap, whole.upper / 2)


def _marginal_variation(x: Instance) -> Sides:
    student, teacher = probabilities(x)
    return Sides(probability_gap(x), 0.5 * (student.mean(0) - teacher.mean(0)).abs().sum())


def _half_outside(x: Instance) -> Sides:
    return Sides(probability_gap(x), root(mean_divergence(x)) / 2)


def _no_root(x: Instance) -> Sides:
    return Sides(probability_gap(x), mean_divergence(x) / 2)


def _no_root_huber(x: Instance) -> Sides:
    return Sides(probability_gap(x), -torch.expm1(-mean_divergence(x)))


def _half_exponent(x: Instance) -> Sides:
    return Sides(probability_gap(x), bretagnolle_huber(mean_divergence(x) / 2))


def _untempered(x: Instance) -> Sides:
    return Sides(probability_gap(x), _ttm(x).upper)


def _both_tempered(x: Instance) -> Sides:
    term = divergence(x.parameter * x.logits_teacher, x.parameter * x.logits_student).mean()
    return Sides(probability_gap(x, x.parameter), smaller(term))


def _residual_forgotten(x: Instance) -> Sides:
    return Sides(x.gap, mean_divergence(x), mean_divergence(x))


def _student_weights(x: Instance) -> Sides:
    return with_residual(x, x.logits_student)


def _other_direction(x: Drawn) -> Sides:
    whole = divergence(x.student, x.teacher).mean()
    return Sides(x.gap, whole, whole)


def _exchanged(x: Instance) -> Sides:
    whole = _largest(x)
    assert whole.lower is not None
    return Sides(whole.gap, -whole.lower, -whole.upper)


def _three_classes() -> Instance:
    """Class 0 gains from both others, so its gain is more than either's loss."""
    return instance([[4.0, 0.0, 0.0]], [[0.0, 0.0, 0.0]], [0], torch.eye(3))


_MOVES = (*MOVES, "own")

THEOREM = Theorem(
    name="T9",
    title="predictive distributions",
    plain="On the same inputs the probability that a network gives to the true class changes, on average, by at most the mean "
    "total variation between the two predictive distributions, whatever the labels; hence by their mean KL divergence. The gap "
    "in log loss is that divergence plus a term with mean zero if labels are drawn from the teacher.",
    latex=r"|E\,p_S(Y|X)-E\,p_T(Y|X)| \le E\,\mathrm{TV}(p_S,p_T) \le "
    r"\min\left(\sqrt{\tfrac12E\,\mathrm{KL}(p_T\|p_S)},\sqrt{1-e^{-E\,\mathrm{KL}(p_T\|p_S)}}\right)",
    hypotheses=(
        same_inputs(
            "T9.tv", detail="Where there are no labels, only the user can say that the inputs are the same.", on=Instance
        ),
        Hypothesis(
            name="cross-entropy",
            forms=("T9.kl", "T9.kl_teacher"),
            check=only_on(Instance, lambda x: x.loss is cross_entropy),
            counterexample=Counterexample(
                words="cross-entropy at temperature ½",
                form="T9.kl",
                make=lambda: replace(_turned_wrong(), loss=half_temperature),
            ),
        ),
        Hypothesis(
            name="teacher labels",
            forms=("T9.kl_teacher",),
            detail="Then the second term of T9.kl has mean zero.",
            check=None,
            counterexample=Counterexample(
                words="the label is a class that the student rules out, and the teacher too",
                form="T9.kl_teacher",
                make=_other_labels,
            ),
        ),
    ),
    direction="two-sided",
    source="Pinsker; Bretagnolle and Huber 1979; p̂_T of arXiv 2402.11148 (TTM)",
    proof="The change of the probability of the true class is one of K numbers, at most the total variation; divergences "
    "bound that input by input, and Jensen moves the mean inside.",
    steps=(
        Step(
            "The change is one of K numbers, and the largest is at most the total variation: T9.largest is never above "
            "T9.tv, and equal for K = 2.",
            r"p_S(Y)-p_T(Y) \le \max_c(p_S(c)-p_T(c)) \le \sum_c(p_S(c)-p_T(c))_+=\mathrm{TV}",
        ),
        Step(
            "On each input the inequalities of Pinsker and of Bretagnolle and Huber hold.",
            r"\mathrm{TV} \le \sqrt{\mathrm{KL}/2}, \qquad \mathrm{TV} \le \sqrt{1-e^{-\mathrm{KL}}}",
        ),
        Step(
            "Both right sides are concave in KL: the square root is concave and increasing, and 1 − exp(−x) is concave. So "
            "Jensen moves the mean over inputs inside.",
            r"E\,\mathrm{TV} \le \sqrt{E\,\mathrm{KL}/2}, \qquad E\,\mathrm{TV} \le \sqrt{1-e^{-E\,\mathrm{KL}}}",
        ),
        Step(
            "Total variation is symmetric, so KL(p_S‖p_T) is valid too. Nothing was required of p_T: the softened teacher "
            "may stand in its place (T9.ttm)."
        ),
        Step(
            "T9.kl is an identity: add and subtract the mean under p_T.",
            r"\ell_S-\ell_T=\ln\frac{p_T(Y)}{p_S(Y)}=\mathrm{KL}(p_T\|p_S)+\Bigl[\ln\frac{p_T(Y)}{p_S(Y)}-\mathrm{KL}(p_T\|p_S)\Bigr]",
        ),
        Step(
            "Given the input, the bracket has this mean, which is zero if labels are drawn from p_T: T9.kl_teacher.",
            r"\sum_c\bigl(P(c\mid X)-p_T(c)\bigr)\ln\frac{p_T(c)}{p_S(c)}",
        ),
    ),
    forms=(
        Form(
            name="T9.largest",
            constant="1",
            sides=_largest,
            witness=Witness(words="the student is less sure of every true class", make=_less_sure),
            start=_start,
            free=_MOVES,
        ),
        Form(
            name="T9.tv",
            constant="1",
            sides=_variation,
            witness=Witness(words="the student is less sure of every true class, and there are two", make=_less_sure),
            start=_start,
            free=_MOVES,
        ),
        Form(
            name="T9.pinsker",
            constant="½",
            sides=_pinsker,
            witness=Witness(words="the teacher is fair between two classes, the student nearly so", make=_nearly_equal),
            start=_start,
            free=_MOVES,
        ),
        Form(
            name="T9.bretagnolle_huber",
            constant="1",
            sides=_bretagnolle_huber,
            witness=Witness(words="sure and right becomes sure and wrong", make=_turned_wrong),
            start=_start,
            free=_MOVES,
        ),
        Form(
            name="T9.ttm",
            constant="½ of the TTM term; p̂_T = softmax(γ a_T), γ = parameter = 1/T",
            sides=_ttm,
            witness=Witness(
                words="the softened teacher is nearly fair between two classes, and so is the student", make=_nearly_tempered
            ),
            start=_start,
            free=_MOVES,
        ),
        Form(
            name="T9.kl",
            constant="an identity",
            sides=_log_loss,
            witness=Witness(words="an identity", make=_less_sure),
            start=_start,
            free=_MOVES,
        ),
        Form(
            name="T9.kl_teacher",
            constant="an identity",
            about="labels",
            sides=_drawn,
            witness=Witness(words="an identity", make=_teacher_labels),
            start=_drawn_start,
            free=("student", "teacher"),
        ),
    ),
    mutants=(
        Mutant(name="sides exchanged", form="T9.largest", sides=_exchanged, killer=_three_classes),
        Mutant(name="½ twice", form="T9.tv", sides=_half_variation),
        Mutant(name="TV of the mean distributions for mean TV", form="T9.tv", sides=_marginal_variation),
        Mutant(name="√KL/2 for √(KL/2)", form="T9.pinsker", sides=_half_outside),
        Mutant(name="KL/2 without the root", form="T9.pinsker", sides=_no_root),
        Mutant(name="1 − e^{−KL} without the root", form="T9.bretagnolle_huber", sides=_no_root_huber, killer=_nearly_equal),
        Mutant(name="KL/2 in the exponent", form="T9.bretagnolle_huber", sides=_half_exponent),
        Mutant(name="the plain teacher on the left, the softened one on the right", form="T9.ttm", sides=_untempered),
        Mutant(name="the student softened too", form="T9.ttm", sides=_both_tempered),
        Mutant(name="residual forgotten", form="T9.kl", sides=_residual_forgotten),
        Mutant(name="p_S for p_T in the residual", form="T9.kl", sides=_student_weights),
        Mutant(name="KL(p_S‖p_T) for KL(p_T‖p_S)", form="T9.kl_teacher", sides=_other_direction),
    ),
)
