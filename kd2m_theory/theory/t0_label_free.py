"""T0: label-free, on the same inputs."""

import torch
from torch import Tensor

from kd2m_theory.theory.examples import HEAD, MOVES
from kd2m_theory.theory.hypotheses import same_inputs
from kd2m_theory.theory.instance import Instance, instance, random_instance, zero_one
from kd2m_theory.theory.statement import Form, Mutant, Sides, Step, Theorem, Witness


def changes(x: Instance) -> Tensor:
    """ℓ(f_S, y) − ℓ(f_T, y) of every input and every class y, n × K."""
    return torch.stack(
        [
            x.loss(x.logits_student, torch.full((len(x.student),), y))
            - x.loss(x.logits_teacher, torch.full((len(x.teacher),), y))
            for y in range(len(x.bias))
        ],
        1,
    )


def predictions(x: Instance) -> tuple[Tensor, Tensor]:
    """Most likely class of student and teacher."""
    return x.logits_student.argmax(1), x.logits_teacher.argmax(1)


def error_gap(x: Instance) -> Tensor:
    """err_S − err_T."""
    return zero_one(x.logits_student, x.labels_student).mean() - zero_one(x.logits_teacher, x.labels_teacher).mean()


def _label_free(x: Instance) -> Sides:
    every = changes(x)
    return Sides(x.gap, every.amax(1).mean(), every.amin(1).mean())


def _error(x: Instance) -> Sides:
    student, teacher = predictions(x)
    return Sides(error_gap(x), (student != teacher).to(x.bias.dtype).mean())


def _worst_labels() -> Instance:
    return instance([[-9.0], [4.0]], [[-6.0], [1.0]], [0, 1], HEAD)


def _turned_wrong() -> Instance:
    return instance([[-1.0], [2.0]], [[1.0], [2.0]], [0, 0], HEAD)


def _start(generator: torch.Generator) -> Instance:
    return random_instance(generator, own_head=True)


def _extreme_of_mean(x: Instance) -> Sides:
    every = changes(x).mean(0)
    return Sides(x.gap, every.amax(), every.amin())


def _no_partition(x: Instance) -> Sides:
    change = x.logits_student - x.logits_teacher
    return Sides(x.gap, -change.amin(1).mean(), -change.amax(1).mean())


def _predicted_classes(x: Instance) -> Sides:
    chosen = changes(x).gather(1, torch.stack(predictions(x), 1))
    return Sides(x.gap, chosen.amax(1).mean(), chosen.amin(1).mean())


def _teacher_right(x: Instance) -> Sides:
    student, teacher = predictions(x)
    return Sides(error_gap(x), ((student != teacher) & (teacher == x.labels_teacher)).to(x.bias.dtype).mean())


def _frequencies(x: Instance) -> Sides:
    student, teacher = (torch.bincount(each, minlength=len(x.bias)) / len(each) for each in predictions(x))
    return Sides(error_gap(x), 0.5 * (student - teacher).abs().sum().to(x.bias.dtype))


THEOREM = Theorem(
    name="T0",
    title="label-free, on the same inputs",
    plain="Whatever the labels are, the gap lies between the mean over inputs of the smallest and of the largest change of "
    "loss over the classes; the error rates differ by at most the share of inputs on which the predictions differ.",
    latex=r"E\min_y[\ell(f_S,y)-\ell(f_T,y)] \le R_S - R_T \le E\max_y[\ell(f_S,y)-\ell(f_T,y)]",
    hypotheses=(same_inputs("T0", detail="Where there are no labels, only the user can say that the inputs are the same."),),
    direction="two-sided",
    source="standard",
    proof="Whatever the label is, the difference of the losses is one of K numbers, and its mean lies between the means of "
    "the least and of the largest.",
    steps=(
        Step(
            "For every input the difference of the two losses is one of K known numbers.",
            r"\min_y U_y \le \ell(f_S,Y)-\ell(f_T,Y) \le \max_y U_y, \qquad U_y=\ell(f_S,y)-\ell(f_T,y)",
        ),
        Step(
            "Take the mean over inputs. Nothing is required of the loss, of the heads or of their dimensions.",
            r"E\min_y U_y \le R_S-R_T \le E\max_y U_y",
        ),
        Step(
            "For the 0–1 loss the largest difference is 1 exactly where the predictions differ, and the least is its negative.",
            r"\max_y\bigl([\hat y_S\ne y]-[\hat y_T\ne y]\bigr)=[\hat y_S\ne\hat y_T]",
        ),
        Step(
            "For cross-entropy the numbers follow from log-sum-exps and the change Δ of the logits.",
            r"U_y=\mathrm{lse}(a_S)-\mathrm{lse}(a_T)-\Delta_y",
        ),
        Step("Without labels no bound can be better: the labels may be those at which each maximum is attained."),
    ),
    forms=(
        Form(
            name="T0",
            constant="1",
            sides=_label_free,
            witness=Witness(words="every label is the class at which the loss grows most", make=_worst_labels),
            start=_start,
            free=MOVES,
        ),
        Form(
            name="T0.error",
            constant="1",
            sides=_error,
            witness=Witness(words="the teacher is right wherever they differ", make=_turned_wrong),
            start=_start,
        ),
    ),
    mutants=(
        Mutant(name="extreme of the mean for mean of the extremes", form="T0", sides=_extreme_of_mean),
        Mutant(name="difference of log-partitions forgotten", form="T0", sides=_no_partition),
        Mutant(name="extremes over the two predicted classes only", form="T0", sides=_predicted_classes),
        Mutant(name="only disagreements where the teacher is right", form="T0.error", sides=_teacher_right),
        Mutant(name="how often each class is predicted, not for which input", form="T0.error", sides=_frequencies),
    ),
)
