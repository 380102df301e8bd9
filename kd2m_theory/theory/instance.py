"""The setting of the deterministic theorems in a few points: two clouds, labels, a head; and the words formulas are made of.

All laws are empirical: every point has the same mass, and a point may occur more than once. Everything is float64.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment, linprog
from torch import Tensor

from kd2m_theory.checks import whole
from kd2m_theory.errors import InputError

Loss = Callable[[Tensor, Tensor], Tensor]


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """−log softmax(a)_y of each row, nats."""
    return torch.logsumexp(logits, 1) - logits.gather(1, labels[:, None])[:, 0]


def zero_one(logits: Tensor, labels: Tensor) -> Tensor:
    """Whether the most likely class is wrong."""
    return (logits.argmax(1) != labels).to(logits.dtype)


def squared_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """‖a − e_y‖² of each row."""
    one = torch.nn.functional.one_hot(labels, logits.shape[1]).to(logits.dtype)
    return ((logits - one) ** 2).sum(1)


def sampled_error(logits: Tensor, labels: Tensor) -> Tensor:
    """1 − p_y of each row: how often an answer drawn from p = softmax(a) is wrong."""
    return 1 - torch.softmax(logits, 1).gather(1, labels[:, None])[:, 0]


def margin(logits: Tensor, labels: Tensor) -> Tensor:
    """a_y − max_{c≠y} a_c of each row."""
    own = logits.gather(1, labels[:, None])[:, 0]
    return own - logits.scatter(1, labels[:, None], -torch.inf).amax(1)


@dataclass(frozen=True)
class Instance:
    """Teacher and student in a few points.

    Attributes:
        student: n × d features.
        teacher: m × d features; row i is the same input as row i of the student where the theorem pairs inputs.
        labels_student: n classes.
        labels_teacher: m classes.
        weight: K × d head of both.
        bias: K.
        own: weight and bias of the student's own head, where it does not use the teacher's.
        loss: of logits and labels.
        parameter: the one number of some forms (ρ, c, γ, B, σ), as they say.
    """

    student: Tensor
    teacher: Tensor
    labels_student: Tensor
    labels_teacher: Tensor
    weight: Tensor
    bias: Tensor
    own: tuple[Tensor, Tensor] | None = None
    loss: Loss = cross_entropy
    parameter: float = 1.0

    @property
    def logits_student(self) -> Tensor:
        """n × K, through the student's own head if it has one."""
        weight, bias = (self.weight, self.bias) if self.own is None else self.own
        return self.student @ weight.T + bias

    @property
    def logits_teacher(self) -> Tensor:
        """m × K."""
        return self.teacher @ self.weight.T + self.bias

    @property
    def gap(self) -> Tensor:
        """R_S − R_T."""
        student = self.loss(self.logits_student, self.labels_student).mean()
        return student - self.loss(self.logits_teacher, self.labels_teacher).mean()

    @property
    def same_labels(self) -> bool:
        """Whether row i of both sides has the same class."""
        return torch.equal(self.labels_student, self.labels_teacher)

    @property
    def same_shares(self) -> bool:
        """Whether both sides have the same class frequencies."""
        counts = [torch.bincount(y, minlength=len(self.bias)) for y in (self.labels_student, self.labels_teacher)]
        return torch.equal(counts[0] * len(self.labels_teacher), counts[1] * len(self.labels_student))

    @property
    def shared_head(self) -> bool:
        """Whether both networks use one head."""
        return self.own is None

    def by_class(self) -> Iterator[tuple[int, float, Tensor, Tensor]]:
        """Class y, its share π_y among the student's points, and the points of student and teacher by index."""
        for y in torch.unique(self.labels_student).tolist():
            mine = torch.nonzero(self.labels_student == y)[:, 0]
            yield y, len(mine) / len(self.labels_student), mine, torch.nonzero(self.labels_teacher == y)[:, 0]


def as_real(value: object) -> Tensor:
    """Nested lists or an array as a float64 tensor."""
    return torch.as_tensor(np.asarray(value, dtype=np.float64))


def as_labels(value: object) -> Tensor:
    """Labels as an int64 tensor."""
    return torch.as_tensor(np.asarray(value, dtype=np.int64))


def instance(
    student: object,
    teacher: object,
    labels: object,
    weight: object,
    bias: object = None,
    labels_teacher: object = None,
    own: tuple[object, object] | None = None,
    loss: Loss = cross_entropy,
    parameter: float = 1.0,
) -> Instance:
    """An instance from nested lists or arrays.

    Args:
        student: n × d features.
        teacher: m × d features.
        labels: n classes 0 … K − 1 of the student's points; of the teacher's too unless `labels_teacher` is given.
        weight: K × d head of both.
        bias: K; zero if None.
        labels_teacher: m classes.
        own: weight and bias of the student's own head, K × d and K, where it does not use the teacher's.
        loss: of logits n × K and labels n, n values; nats for cross-entropy.
        parameter: the one number of some forms.

    Raises:
        InputError: shapes that do not fit, no point, or a label that the head has no row for.

    Example:
        >>> round(float(instance([[1.0], [-1.0]], [[2.0], [-1.0]], [0, 1], [[1.0], [-1.0]]).gap), 4)
        0.0544
    """
    matrix = as_real(weight)
    made = Instance(
        as_real(student),
        as_real(teacher),
        as_labels(labels),
        as_labels(labels if labels_teacher is None else labels_teacher),
        matrix,
        torch.zeros(len(matrix), dtype=torch.float64) if bias is None else as_real(bias),
        None if own is None else (as_real(own[0]), as_real(own[1])),
        loss,
        parameter,
    )
    _check_shapes(made)
    return made


def _check_shapes(x: Instance) -> None:
    heads = [("weight", x.weight, x.bias, x.teacher)]
    heads += [("own", *x.own, x.student)] if x.own is not None else [("weight", x.weight, x.bias, x.student)]
    for name, weight, bias, points in heads:
        whose = "student" if points is x.student else "teacher"
        if points.ndim != 2 or not len(points):
            raise InputError(f"{whose} has shape {tuple(points.shape)}; give n × d features, a list for each point")
        if weight.ndim != 2 or weight.shape[1] != points.shape[1] or bias.shape != weight.shape[:1]:
            raise InputError(
                f"{name} has shape {tuple(weight.shape)} and bias {tuple(bias.shape)}, but {whose} has features of dimension "
                f"{points.shape[1]}; give K × {points.shape[1]} and K"
            )
    for name, labels, points in (("labels", x.labels_student, x.student), ("labels_teacher", x.labels_teacher, x.teacher)):
        if labels.shape != points.shape[:1]:
            raise InputError(f"{name} has shape {tuple(labels.shape)} for {len(points)} points; give a class for each")
        wrong = labels[(labels < 0) | (labels >= len(x.bias))]
        if len(wrong):
            raise InputError(f"{name} holds {int(wrong[0])}; the head has rows for classes 0 to {len(x.bias) - 1}")


def random_instance(
    generator: torch.Generator,
    n: int = 4,
    d: int = 2,
    classes: int = 3,
    loss: Loss = cross_entropy,
    own_head: bool = False,
    parameter: float = 1.0,
) -> Instance:
    """A draw with the same inputs and labels on both sides; scales from almost equal to far apart.

    Args:
        generator: torch's, seeded: the instance is a function of its state.
        n: points.
        d: dimension of the features.
        classes: K.
        loss: as `instance`.
        own_head: whether the student has a head of its own.
        parameter: as `instance`.

    Raises:
        InputError: n, d or classes below 1.

    Example:
        >>> x = random_instance(torch.Generator().manual_seed(0), n=5, d=2)
        >>> tuple(x.student.shape), x.same_labels, x.shared_head
        ((5, 2), True, True)
    """
    for name, count in (("n", n), ("d", d), ("classes", classes)):
        whole(count, name, 1)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    def scale() -> Tensor:
        return 10.0 ** (2.0 * torch.rand((), generator=generator, dtype=torch.float64) - 0.5)

    teacher = normal(n, d)
    student = teacher + scale() * normal(n, d) if torch.rand((), generator=generator) < 0.5 else scale() * normal(n, d)
    weight = scale() * normal(classes, d)
    bias = scale() * normal(classes)
    own = (weight + normal(classes, d), bias + normal(classes)) if own_head else None
    labels = torch.randint(0, classes, (n,), generator=generator)
    return Instance(student, teacher, labels, labels, weight, bias, own, loss, parameter)


def reordered(x: Instance, order: Tensor) -> Instance:
    """The teacher's points in another order, each with its label."""
    return replace(x, teacher=x.teacher[order], labels_teacher=x.labels_teacher[order])


def vertex_norm(change: Tensor, labels: Tensor) -> Tensor:
    """ν_y(Δ) = max_c |Δ_c − Δ_y| along the last axis; `labels` has the other axes' shape."""
    return (change - change.gather(-1, labels[..., None])).abs().amax(-1)


def length(difference: Tensor) -> Tensor:
    """Euclidean norm along the last axis, with gradient zero (not NaN) at zero."""
    square = (difference**2).sum(-1)
    zero = square == 0
    return torch.where(zero, square, torch.where(zero, torch.ones_like(square), square).sqrt())


def distances(x: Tensor, y: Tensor) -> Tensor:
    """‖x_i − y_j‖, n × m, from the differences themselves."""
    return length(x[:, None] - y[None])


def best_plan(costs: Tensor) -> Tensor:
    """An optimal plan between uniform weights for n × m costs; no gradient flows through it (envelope theorem)."""
    values = costs.detach().numpy()
    n, m = values.shape
    plan = np.zeros((n, m))
    if n == m:
        plan[linear_sum_assignment(values)] = 1.0 / n
        return torch.from_numpy(plan)
    rows = np.vstack((np.kron(np.eye(n), np.ones(m)), np.kron(np.ones(n), np.eye(m))))
    weights = np.concatenate((np.full(n, 1.0 / n), np.full(m, 1.0 / m)))
    found = linprog(values.ravel(), A_eq=rows, b_eq=weights, method="highs")
    if found.x is None:
        raise ArithmeticError(f"the transport problem was not solved: {found.message}")
    return torch.from_numpy(np.maximum(found.x, 0.0).reshape(n, m))


def least_cost(costs: Tensor) -> Tensor:
    """min_γ E_γ[c] over the couplings of two uniform laws, for n × m costs."""
    return (best_plan(costs) * costs).sum()


def lipschitz(weight: Tensor) -> Tensor:
    """L = max_{c,c'} ‖w_c − w_c'‖ (C2)."""
    return distances(weight, weight).amax()


def spectral(weight: Tensor) -> Tensor:
    """√2 ‖W‖_op."""
    largest: Tensor = torch.linalg.matrix_norm(weight, 2)
    return math.sqrt(2.0) * largest


def sum_of(parts: Iterable[Tensor]) -> Tensor:
    """Their sum; zero if there is none."""
    return torch.stack([torch.zeros((), dtype=torch.float64), *parts]).sum()


def root(value: Tensor) -> Tensor:
    """√ with gradient zero (not NaN) at zero."""
    return torch.where(value > 0, torch.where(value > 0, value, torch.ones_like(value)).sqrt(), value)
