"""What the logits of a file say before any label: how far a label can move the gap at each row, and how the rows are drawn.

U_y is the difference of the losses, student less teacher, at class y; ŷ is the teacher's answer.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
from scipy.special import log_softmax

from kd2m_theory.arrays import Float64, Int64
from kd2m_theory.bounds.content_order import in_content_order
from kd2m_theory.bounds.losses import clipped
from kd2m_theory.bounds.rows.f1_means import mean_limits
from kd2m_theory.bounds.settings import Settings
from kd2m_theory.bounds.view import View, logits_view
from kd2m_theory.errors import InputError
from kd2m_theory.estimators.ground import EPS
from kd2m_theory.logits import AnyLogits
from kd2m_theory.pair import Pair
from kd2m_theory.side_by_side import by_rows, row_blocks

Target = Literal["error", "gap"]
End = Literal["both", "upper"]
# What a plan keeps of the rows that are not drawn, as sums.
SUMS = ("weights", "rises", "falls", "base_up", "base_down")
# Ratios of both ends' scales that are tried, in powers of 2^(1/8).
_SCALES = 2.0 ** (np.arange(-160, 161) / 8)


@dataclass(frozen=True, eq=False)
class Pool:
    """A file of inputs without labels, as seen by one target.

    At every class y: base_down − fall ≤ U_y ≤ base_up + rise. A label y adds (U_y − base_up)₊ ∈ [0, rise] to the upper end and
    takes (base_down − U_y)₊ ∈ [0, fall] from the lower one.

    Attributes:
        changes: N × K differences U_y, student less teacher: of errors, or of cross-entropies clipped at B, in nats.
        base_up: N; U_ŷ for cross-entropy, the least U_y for errors.
        base_down: N; U_ŷ for cross-entropy, the largest U_y for errors.
        loss_bound: B in nats; None for errors.
        range_up: largest value that a rise can have, known without the file.
        range_down: the same of a fall.
        rounding: how far rounding may have moved the mean of U.
    """

    changes: Float64
    base_up: Float64
    base_down: Float64
    loss_bound: float | None
    range_up: float
    range_down: float
    rounding: float

    @cached_property
    def rises(self) -> Float64:
        """The most that a label can add to `base_up` (N)."""
        return np.asarray(self.changes.max(axis=1) - self.base_up)

    @cached_property
    def falls(self) -> Float64:
        """The most that a label can take from `base_down` (N)."""
        return np.asarray(self.base_down - self.changes.min(axis=1))

    def weights(self, end: End) -> Float64:
        """Weights w of the drawing (N).

        A limit from n labels is about max(rise/w) Σw ln(1/tail)/n wide, and likewise with falls. For one end w is the rise. For
        both, w = max(rise, ρ fall) is the best of all weights with max(rise/w) = 1 and max(fall/w) = 1/ρ, and ρ minimises
        (1 + 1/ρ) Σ max(rise, ρ fall), the sum of both. Every label counts for both ends.
        """
        rises, falls = self.rises, self.falls
        if end == "upper" or not falls.any():
            return rises
        if not rises.any():
            return falls
        scale = rises.sum() / falls.sum()
        sums = [(1 + 1 / ratio) * np.maximum(rises, ratio * falls).sum() for ratio in scale * _SCALES]
        return np.asarray(np.maximum(rises, scale * _SCALES[int(np.argmin(sums))] * falls))


def pool_of(view: View, target: Target) -> Pool:
    """The pool that a view of logits is, for a target."""
    student, teacher = view.stored_logits_student, view.stored_logits_teacher
    rows, answers = np.arange(len(teacher)), teacher.argmax(axis=1)
    if target == "error":
        changes = np.zeros(teacher.shape)
        changes[rows, answers] += 1.0  # the student errs if its answer is another
        changes[rows, student.argmax(axis=1)] -= 1.0
        return Pool(
            changes=changes,
            base_up=changes.min(axis=1),
            base_down=changes.max(axis=1),
            loss_bound=None,
            range_up=2.0,
            range_down=2.0,
            rounding=0.0,
        )
    bound, classes = view.loss_bound, view.classes

    def differences(student: Float64, teacher: Float64) -> Float64:
        return clipped(-log_softmax(student, axis=1), bound) - clipped(-log_softmax(teacher, axis=1), bound)

    changes = by_rows(differences, student, teacher)
    answered = changes[rows, answers]
    return Pool(
        changes=changes,
        base_up=answered,
        base_down=answered,
        loss_bound=bound,
        # The teacher's loss at its own answer is at most ln K.
        range_up=bound + min(bound, float(np.log(classes))) * (1 + 4 * EPS),
        range_down=2 * bound,
        rounding=view.replay_error + 8 * (classes + 8) * EPS * (1 + float(np.log(classes))) + 16 * EPS * bound,
    )


def view_for_plans(pair: Pair, loss_bound: float | None) -> View:
    """The view of the logits that plans are about.

    Raises:
        InputError: inputs that are not paired, or a pair of which the logits of a network are not known.
    """
    if not pair.inputs_paired:
        raise InputError(
            "the networks saw different inputs (inputs_paired=False); labels are about both on the same inputs alone"
        )
    view = logits_view(pair, Settings(loss_bound=loss_bound))
    if view is None:
        raise InputError("the pair has no logits of one network, and no head to compute them; pass logits, or head_weight")
    return view


def anchor(view: View, range_up: float, tail: float) -> tuple[float, float]:
    """Limits of the population's mean of U_ŷ, the gap if the teacher were always right, each at `tail`; no label is read."""
    bare = Pair(logits_teacher=view.stored_logits_teacher.array(), logits_student=view.stored_logits_student.array())
    pair, like_chance = in_content_order(bare)
    ordered = replace(view_for_plans(pair, view.loss_bound), tail=tail, like_chance=like_chance)
    return mean_limits(ordered, pool_of(ordered, "gap").base_up, view.loss_bound - range_up, view.loss_bound)


def digest(*arrays: AnyLogits) -> str:
    """SHA-256 of the shapes and values of arrays."""
    found = hashlib.sha256()
    for array in arrays:
        found.update(str(array.shape).encode())
        for rows in row_blocks(len(array), array.size // len(array)):
            found.update(np.ascontiguousarray(array[rows] + 0.0, dtype="<f8").data)
    return found.hexdigest()


def left_after(pool: Pool, weights: Float64, order: Int64, kept: int) -> tuple[Mapping[str, Float64], Float64, Float64]:
    """Sums over the rows not drawn, after 0 … `kept` draws; and the largest rise/w and fall/w among them before each draw."""
    undrawn = np.setdiff1d(np.arange(len(weights)), order)
    rows = np.concatenate((order, undrawn))
    columns = (weights, pool.rises, pool.falls, pool.base_up, pool.base_down)
    left = {}
    for name, column in zip(SUMS, columns, strict=True):
        sums = np.cumsum(column[rows][::-1].astype(np.longdouble))[::-1]
        left[name] = np.append(sums, 0.0)[: kept + 1].astype(np.float64)
    largest = []
    for column in columns[1:3]:
        ratios = column[order] / weights[order]
        largest.append(np.maximum.accumulate(ratios[::-1])[::-1][:kept])
    return left, largest[0], largest[1]
