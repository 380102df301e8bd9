"""Transport distances as training losses: differentiable, on the device and in the dtype of their inputs.

Every plan comes from the solver that measures. It is held fixed in the backward pass, which makes the gradient exact
wherever the optimal plan is unique (envelope theorem). All losses are squared distances. This module imports torch; the
package does not, so import it by name.
"""

import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from kd2m_theory.arrays import Float64, Int64
from kd2m_theory.checks import at_least_zero
from kd2m_theory.errors import InputError
from kd2m_theory.estimators.cost_scale import CostScale, cost_scale
from kd2m_theory.estimators.losses.by_class import Stack, by_class_of_each, stack_of_one
from kd2m_theory.estimators.losses.inputs import require_floats, require_values
from kd2m_theory.estimators.transport import optimal_plan


def paired_l2(student: Tensor, teacher: Tensor) -> Tensor:
    """E‖z_S − z_T‖² over the rows of two n × d batches of the same inputs.

    Raises:
        InputError: the shapes differ, or an argument is not a float32 or float64 tensor.
    """
    return paired_squares(student, teacher).mean()


def paired_squares(student: Tensor, teacher: Tensor) -> Tensor:
    """‖z_S − z_T‖² of each row of two n × d batches of the same inputs, n values.

    Raises:
        InputError: the shapes differ, or an argument is not a float32 or float64 tensor.
    """
    require_floats(student=student, teacher=teacher)
    if student.shape != teacher.shape:
        raise InputError(f"paired features have shapes {tuple(student.shape)} and {tuple(teacher.shape)}; they must agree")
    return (student - teacher).square().sum(dim=1)


def squared_w2(student: Tensor, teacher: Tensor) -> Tensor:
    """W₂² between two uniform clouds n × d and m × d.

    Raises:
        InputError: empty or mismatched clouds, features that are not finite, or not float32 or float64 tensors of one kind.
    """
    _check(student, teacher)
    pair = stack_of_one(student), stack_of_one(teacher)
    return _mean_cost(student, teacher, [pair], [(np.arange(len(student)), np.arange(len(teacher)))])


def squared_cw2(student: Tensor, teacher: Tensor, labels: Tensor, labels_teacher: Tensor | None = None) -> Tensor:
    """CW₂² of KD²M (arXiv 2504.01757): the mean of W₂² over the classes present in the batch.

    Rows with the label −100 do not count; if no row counts, the loss and its gradient are zero.

    Args:
        student: n × d features.
        teacher: m × d features.
        labels: n integer classes of the student's rows.
        labels_teacher: m integer classes of the teacher's rows; the same as `labels` if None.

    Raises:
        InputError: as `squared_w2`; labels that do not fit or are not whole numbers, or a class present on one side only.
    """
    other = labels if labels_teacher is None else labels_teacher
    if len(labels) != len(student) or len(other) != len(teacher):
        raise InputError(f"{len(labels)} and {len(other)} labels for {len(student)} and {len(teacher)} rows; give one per row")
    _check(student, teacher)
    here, there = by_class_of_each(labels, other, student)
    if not here.rows:
        return student[:0].sum()
    with torch.no_grad():
        stacks = list(zip(here.stacks(student), there.stacks(teacher), strict=True))
    return _mean_cost(student, teacher, stacks, list(zip(here.rows, there.rows, strict=True)))


def squared_jw2(
    student: Tensor,
    teacher: Tensor,
    predictions_student: Tensor,
    predictions_teacher: Tensor,
    beta: float = 1.0,
    *,
    feature_scale: CostScale = 1.0,
    label_scale: CostScale = 1.0,
) -> Tensor:
    """JW₂² of KD²M (arXiv 2504.01757): transport of ‖z_S − z_T‖² / s + β‖y_S − y_T‖² / t, student against teacher.

    The gradient is that of the value: it goes through both parts and through the scales. The author's code computes the scaled
    feature cost without gradient, so that there features are not trained by it at all.

    Args:
        student: n × d features.
        teacher: m × d features.
        predictions_student: n × K predictions, logits, or one-hot labels.
        predictions_teacher: m × K.
        beta: weight of the scaled label cost, ≥ 0; with 0 the loss is W₂² / s.
        feature_scale: s: a number > 0, "mean" (of ‖z_S − z_T‖² over all n·m pairs) or "max" (over these pairs), as in
            `joint_wasserstein`, whose square this is. Costs that are all 0 stay 0.
        label_scale: t, the same for the label cost.

    With "mean", s = ‖E z_S − E z_T‖² + tr Σ_S + tr Σ_T: for β = 0 the loss is one less the concordance correlation (Lin 1989)
    of the best coupling, at most 1, and least where the clouds are equal. With "max" an outlier makes all other costs small: a
    cloud of n points of which one is far away has the loss 1/n, so that this gradient can reward an outlier.

    Raises:
        InputError: as `squared_w2`; β negative or not finite; a scale that is not positive, or an unknown word.
    """
    weight = at_least_zero(beta, "beta")
    feature_scale, label_scale = cost_scale(feature_scale, "feature_scale"), cost_scale(label_scale, "label_scale")
    _check(student, teacher)
    _check_shapes(predictions_student, predictions_teacher)
    features = _in_unit_of_cost(torch.cat((student, teacher)), len(student), feature_scale)
    labels = torch.cat((predictions_student.to(student), predictions_teacher.to(teacher)))
    labels = _in_unit_of_cost(labels, len(predictions_student), label_scale)
    joint = torch.cat((features, weight**0.5 * labels), dim=1)
    return squared_w2(joint[: len(student)], joint[len(student) :])


def squared_sliced_w2(
    student: Tensor, teacher: Tensor, projections: int = 128, generator: torch.Generator | None = None
) -> Tensor:
    """SW₂²: the mean of W₂² over random directions, for batches of one size (n × d each).

    Args:
        student: n × d features.
        teacher: n × d features.
        projections: number of directions.
        generator: of the directions, on the CPU; torch's own if None.

    Raises:
        InputError: as `squared_w2`; batches of different size.
    """
    _check(student, teacher)
    if len(student) != len(teacher):
        raise InputError(f"sliced transport as a loss needs batches of one size, got {len(student)} and {len(teacher)}")
    directions = torch.randn(student.shape[1], projections, generator=generator, dtype=torch.float64)
    directions = (directions / directions.norm(dim=0)).to(student)
    first, second = (batch @ directions for batch in (student, teacher))
    loss: Tensor = (first.sort(dim=0).values - second.sort(dim=0).values).square().mean()
    _finite(loss.detach().cpu().double().numpy())
    return loss


def squared_gw2(student: Tensor, teacher: Tensor) -> Tensor:
    """GW₂² between clouds n × d and m × d' at the local solution of POT's solver: an upper value of the least one.

    Raises:
        InputError: empty clouds, features that are not finite, or not float32 or float64 tensors of one kind.
    """
    from ot.gromov import gromov_wasserstein  # deferred: POT loads every array library it finds

    require_floats(student=student, teacher=teacher)
    _same_dtype(student, teacher)
    for batch in (student, teacher):
        if batch.ndim != 2 or not len(batch):
            raise InputError(f"a batch has shape {tuple(batch.shape)}; pass at least one row of features")
    require_values(student, teacher)
    between = [_distances(batch) for batch in (student, teacher)]
    known = [_finite(matrix.detach().cpu().double().numpy()) for matrix in between]
    weights = [np.full(len(matrix), 1.0 / len(matrix)) for matrix in known]
    plan = torch.from_numpy(np.asarray(gromov_wasserstein(*known, *weights, "square_loss"))).to(student)
    first, second = between
    a, b = plan.sum(dim=1), plan.sum(dim=0)
    return a @ first.square() @ a + b @ second.square() @ b - 2 * ((first @ plan @ second) * plan).sum()


def _mean_cost(
    student: Tensor, teacher: Tensor, stacks: Sequence[tuple[Stack, Stack]], rows: Sequence[tuple[Int64, Int64]]
) -> Tensor:
    """The mean of the transport costs of pairs of clouds: all costs go to the host in one copy, all plans come back in two.

    Args:
        student: n × d features.
        teacher: m × d features.
        stacks: the clouds of both.
        rows: for each cloud, in the order of the stacks, the numbers of its rows in either batch.
    """
    origins, targets, masses = [], [], []
    for costs, (mine, theirs) in zip(_costs(stacks, rows), rows, strict=True):
        n, m = costs.shape
        plan = optimal_plan(costs, np.full(n, 1.0 / n), np.full(m, 1.0 / m))
        origins.append(mine[plan.rows])
        targets.append(theirs[plan.columns])
        masses.append(plan.mass)
    pairs = np.stack((np.concatenate(origins), np.concatenate(targets)))
    i, j = torch.from_numpy(pairs).to(student.device).unbind()
    mass = torch.from_numpy(np.concatenate(masses)).to(student)
    return mass @ (student[i] - teacher[j]).square().sum(dim=1) / len(rows)


def _costs(stacks: Sequence[tuple[Stack, Stack]], rows: Sequence[tuple[Int64, Int64]]) -> Iterator[Float64]:
    """Squared distances by matrix products of the centred features, on their device and in their dtype."""
    with torch.no_grad():
        costs = []
        for student, teacher in stacks:
            centres = teacher.means()
            x, y = student.points - centres, teacher.points - centres
            squares = torch.baddbmm(y.square().sum(dim=2)[:, None], x, y.mT, alpha=-2.0) + x.square().sum(dim=2)[:, :, None]
            costs.append(squares.clamp_(min=0.0))
        known = torch.cat([each.flatten() for each in costs]).cpu().double().numpy()
    ends = np.cumsum([each.numel() for each in costs])[:-1]
    padded = (matrix for part, each in zip(np.split(known, ends), costs, strict=True) for matrix in part.reshape(each.shape))
    for matrix, (mine, theirs) in zip(padded, rows, strict=True):
        yield _finite(matrix[: len(mine), : len(theirs)])


def _in_unit_of_cost(points: Tensor, n: int, scale: CostScale) -> Tensor:
    """Two clouds, n points and the rest, divided by the root of the scale of their squared distances; the host never waits."""
    if not isinstance(scale, str):
        return points / math.sqrt(scale)
    # Neither a common translation nor a common factor changes the result: both are constants for the gradient too.
    with torch.no_grad():
        origin = points[n : n + 1]
        size = (points - origin).abs().amax()
        size += size == 0  # and not a comparison with >: NaN must stay NaN, to be refused
    points = (points - origin) / size
    cost = _mean_square(points[:n], points[n:]) if scale == "mean" else _largest_square(points[:n], points[n:])
    return points / (cost + (cost == 0)).sqrt()


def _mean_square(x: Tensor, y: Tensor) -> Tensor:
    """The mean of ‖x_i − y_j‖² over all pairs, without the pairs: one of y is at the origin, so that few digits cancel."""
    squares = x.square().sum() / len(x) + y.square().sum() / len(y)
    mean: Tensor = squares - 2 * (x.mean(dim=0) @ y.mean(dim=0))
    return mean


def _largest_square(x: Tensor, y: Tensor) -> Tensor:
    """The largest ‖x_i − y_j‖²; where several are, the gradient is that of one of them."""
    with torch.no_grad():
        squares = x.square().sum(dim=1)[:, None] - 2 * x @ y.T + y.square().sum(dim=1)
        at = squares.argmax().reshape(1)  # of one entry: an index of none would make the host wait
    i, j = at.div(len(y), rounding_mode="floor"), at % len(y)
    return (x.index_select(0, i) - y.index_select(0, j)).square().sum()


def _distances(batch: Tensor) -> Tensor:
    """Pairwise distances whose gradient is zero, not NaN, where two points coincide."""
    square = (batch[:, None] - batch[None]).square().sum(dim=2)
    apart = square != 0  # and not > 0: NaN must stay NaN, to be refused
    return torch.where(apart, square.where(apart, torch.ones_like(square)).sqrt(), torch.zeros_like(square))


def _finite(values: Float64) -> Float64:
    if not np.isfinite(values).all():
        raise InputError("features are NaN or infinite: the training has diverged; lower the learning rate or λ")
    return values


def _check(student: Tensor, teacher: Tensor) -> None:
    require_floats(student=student, teacher=teacher)
    _same_dtype(student, teacher)
    _check_shapes(student, teacher)


def _check_shapes(student: Tensor, teacher: Tensor) -> None:
    for batch in (student, teacher):
        if batch.ndim != 2 or 0 in batch.shape:
            raise InputError(f"a batch has shape {tuple(batch.shape)}; pass at least one row of features")
    if student.shape[1] != teacher.shape[1]:
        raise InputError(f"student features have dimension {student.shape[1]}, the teacher's {teacher.shape[1]}; project one")
    if student.device != teacher.device:
        raise InputError(f"student features are on {student.device}, the teacher's on {teacher.device}; move one")
    require_values(student, teacher)


def _same_dtype(student: Tensor, teacher: Tensor) -> None:
    if student.dtype != teacher.dtype:
        raise InputError(f"student features are {student.dtype}, the teacher's {teacher.dtype}; convert one")
