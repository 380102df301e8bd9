"""The pairs of a student's and a teacher's point of one class: all of them, or those that a plan moves mass between.

A ground cost is written once, as a function of `ClassPairs`, and is computed for every pair where a class is small enough, or
along a few plans where it is not: any plan gives a valid upper side.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
from scipy.spatial.distance import cdist

from kd2m_theory.arrays import Float64
from kd2m_theory.estimators import CostMatrix
from kd2m_theory.estimators.ground import EPS
from kd2m_theory.estimators.sparse_transport import UnitPlan

# Pairs of a class up to which all of them are looked at, two arrays of 200 MB; and pairs times the coordinates of a point.
EVERY_PAIR, EVERY_COORDINATE = 5000 * 5000, 4_000_000_000
# Numbers in an array over pairs and classes; and in one over pairs, a dozen of which stay in a processor's cache.
_BLOCK, _PAIRS = 2**18, 2**15
# Classes up to which pairs are updated class by class, without an array over pairs and classes.
_FEW = 64


def too_many(n: int, m: int, coordinates: int) -> bool:
    """Whether n·m pairs of a class, of points with so many coordinates, are too many to look at."""
    return n * m > EVERY_PAIR or n * m * coordinates > EVERY_COORDINATE


@dataclass(frozen=True, eq=False)
class ClassPairs:
    """Points of one class, and which pairs of them are looked at.

    Attributes:
        label: the class y.
        student: n × K logits.
        teacher: m × K logits.
        plan: whose pairs are looked at, k of them; all n × m if None.
        known: what `advances` returns, where it was computed before.
        rows: the student's points whose pairs are looked at, where there is no plan.
    """

    label: int
    student: Float64
    teacher: Float64
    plan: UnitPlan | None = None
    known: tuple[Float64, Float64] | None = None
    rows: slice = field(default_factory=partial(slice, None))

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of an array over the pairs: (n, m), or (k,) along a plan."""
        if self.plan is not None:
            return (len(self.plan.rows),)
        return len(range(len(self.student))[self.rows]), len(self.teacher)

    def blocks(self) -> Iterator[tuple[slice, "ClassPairs"]]:
        """All pairs of a few rows at a time, and which rows of an array over the pairs they are; a plan's pairs at once."""
        if self.plan is not None:
            yield slice(None), self
            return
        first, last, _ = self.rows.indices(len(self.student))
        step = max(1, _PAIRS // len(self.teacher))
        for start in range(first, last, step):
            rows, mine = slice(start, min(start + step, last)), slice(start - first, start - first + step)
            known = None if self.known is None else (self.known[0][mine], self.known[1][mine])
            yield mine, replace(self, known=known, rows=rows)

    def along(self, plan: UnitPlan) -> "ClassPairs":
        """The pairs of a plan alone."""
        return replace(self, plan=plan, known=None)

    def of_rows(self, values: Float64) -> Float64:
        """A number of each student's point (n), for every pair."""
        return values[self.rows, None] if self.plan is None else values[self.plan.rows]

    def of_columns(self, values: Float64) -> Float64:
        """A number of each teacher's point (m), for every pair."""
        return values[None, :] if self.plan is None else values[self.plan.columns]

    def products(self, rows: Float64, columns: Float64) -> Float64:
        """⟨rows_i, columns_j⟩ of every pair, from n × k and m × k."""
        if self.plan is None:
            return rows[self.rows] @ columns.T
        return np.concatenate([np.einsum("ij,ij->i", rows[i], columns[j]) for i, j in self._parts(rows.shape[1])])

    def distances(self, rows: Float64, columns: Float64) -> Float64:
        """‖rows_i − columns_j‖ of every pair, from n × k and m × k, right to (k + 4) roundings of itself."""
        if self.plan is None:
            return np.asarray(cdist(rows[self.rows], columns))
        return np.concatenate([np.linalg.norm(rows[i] - columns[j], axis=1) for i, j in self._parts(rows.shape[1])])

    def advances(self) -> tuple[Float64, Float64]:
        """The largest and the least Δ_c − Δ_y over the classes c ≠ y of every pair, Δ = a_S − a_T, to `advance_error`."""
        if self.known is not None:
            return self.known
        mine, theirs = (np.delete(logits, self.label, axis=1) for logits in (self.student, self.teacher))
        advances = np.empty((2, *self.shape))
        if self.plan is not None:
            changes = [mine[i] - theirs[j] for i, j in self._parts(mine.shape[1])]
            for found, best in zip(advances, (np.max, np.min), strict=True):
                np.concatenate([best(change, axis=1) for change in changes], out=found)
        else:
            extremes = _class_by_class if mine.shape[1] <= _FEW else _row_by_row
            for rows, block in self.blocks():
                advances[:, rows] = extremes(mine[block.rows], theirs)
        for rows, block in self.blocks():
            advances[:, rows] -= block.of_rows(self.student[:, self.label]) - block.of_columns(self.teacher[:, self.label])
        return advances[0], advances[1]

    @property
    def own_change(self) -> float:
        """The largest |Δ_y| of all pairs."""
        student, teacher = self.student[:, self.label], self.teacher[:, self.label]
        return float(max(student.max() - teacher.min(), teacher.max() - student.min()))

    def advance_error(self, size: Float64) -> Float64:
        """How far advances of this absolute value may be from the exact ones.

        Differences of logits are right to a rounding of themselves, and so is their difference: a class that both networks
        mask by as much as they like has an exact change of zero.
        """
        return 4 * EPS * (size + self.own_change)

    def _parts(self, width: int) -> "list[tuple[np.ndarray, np.ndarray]]":
        assert self.plan is not None
        step = max(1, _BLOCK // width)
        starts = range(0, len(self.plan.rows), step)
        return [(self.plan.rows[start : start + step], self.plan.columns[start : start + step]) for start in starts]


def _class_by_class(mine: Float64, theirs: Float64) -> tuple[Float64, Float64]:
    most = np.subtract.outer(mine[:, 0], theirs[:, 0])
    least = most.copy()
    change = np.empty_like(most)
    for c in range(1, mine.shape[1]):
        np.subtract.outer(mine[:, c], theirs[:, c], out=change)
        np.maximum(most, change, out=most)
        np.minimum(least, change, out=least)
    return most, least


def _row_by_row(mine: Float64, theirs: Float64) -> tuple[Float64, Float64]:
    shape = len(mine), len(theirs)
    most, least = np.empty(shape), np.empty(shape)
    step = max(1, _BLOCK // theirs.size)
    for start in range(0, len(mine), step):
        rows = slice(start, start + step)
        for first in range(0, len(theirs), max(1, _BLOCK // theirs.shape[1])):
            columns = slice(first, first + max(1, _BLOCK // theirs.shape[1]))
            change = mine[rows, None, :] - theirs[None, columns, :]
            change.max(axis=2, out=most[rows, columns])
            change.min(axis=2, out=least[rows, columns])
    return most, least


def vertex_norms(pairs: ClassPairs) -> CostMatrix:
    """ν_y(Δ) = max_c |Δ_c − Δ_y| of every pair, in nats: how much the loss and the margin can change (C1, C3)."""
    most, least = pairs.advances()
    return CostMatrix(np.maximum(most, -least), 4 * EPS, pairs.advance_error(np.zeros(1)).item(), "nats")
