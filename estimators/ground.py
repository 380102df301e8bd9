"""Ground costs: what it costs to move one unit of mass from a point x_i to a point y_j.

Every cost comes with a bound on its own rounding error, so that the certificate of the transport problem covers the
exact cost between the given float64 points and not only the computed one.
"""

import math
import os
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy.spatial.distance import cdist

from kd2m_theory.arrays import Float64, Int64, real_array
from kd2m_theory.errors import InputError
from kd2m_theory.estimators.enclosure import Unit
from kd2m_theory.estimators.scale import exponent_of, in_unit, rescaled, shifted_up
from kd2m_theory.side_by_side import over_rows

EPS = float(np.finfo(np.float64).eps)
# The smallest positive float64: what one operation may lose to underflow.
TINY = 2.0**-1074
# Below this a product of two numbers of about its root's size has lost digits to underflow.
UNDERFLOW = 2.0**-970
# Multiplications from which on a matrix product is worth its rounding.
_WORK = 20_000_000
# A squared distance is short when it is less than a sixteenth of the largest that its points' norms allow.
_SHORT = 16.0
# Coordinates of pairs that are computed again at a time.
_BLOCK = 131_072


@dataclass(frozen=True, slots=True)
class CostMatrix:
    """Computed costs and how far they can be from the exact ones.

    Attributes:
        values: n × m costs c̃_ij.
        relative_error: ρ in |⟨P, c̃⟩ − ⟨P, c⟩| ≤ ρ⟨P, c⟩ + α for every plan P; positive only for non-negative costs.
        absolute_error: α in the same bound.
        unit: unit of the costs.
    """

    values: Float64
    relative_error: float
    absolute_error: float
    unit: Unit


@dataclass(frozen=True, eq=False)
class VertexNorm:
    """The head-aware ground cost ν_y(W(z − z′)) = max_c |⟨w_c − w_y, z − z′⟩|.

    It is the sharpest metric that makes z ↦ cross-entropy(Wz + b, y) 1-Lipschitz: how much the worst class margin
    against the true class y can move. On logits, leave out the weight (W = identity).

    Attributes:
        weight: head weight, K × d; None when the points are logits.
        label: the class y, 0 ≤ y < K; `conditional_wasserstein` fills it in class by class.

    Raises:
        InputError: a weight that is not a finite K × d matrix with K ≥ 2, or a label outside 0..K−1.

    Example:
        >>> norm = VertexNorm(np.array([[1.0, 0.0], [-1.0, 0.0]]), label=0)
        >>> cost_matrix(np.zeros((1, 2)), np.array([[1.0, 5.0]]), norm, 1).values
        array([[2.]])
    """

    weight: Float64 | None = None
    label: int | None = None

    def __post_init__(self) -> None:
        if self.weight is not None:
            weight = real_array(self.weight, "the head weight of the vertex norm", 2)
            if len(weight) < 2:
                raise InputError(f"the head weight of the vertex norm has shape {weight.shape}; two classes are needed")
            object.__setattr__(self, "weight", weight)
            self._check_label(len(weight))

    def _check_label(self, classes: int) -> None:
        if self.label is not None and not 0 <= self.label < classes:
            raise InputError(f"the vertex norm has label {self.label}, outside the head's classes 0..{classes - 1}")

    def at(self, label: int) -> "VertexNorm":
        """The same norm for another true class."""
        return VertexNorm(self.weight, label)

    def in_unit(self) -> tuple["VertexNorm", int]:
        """The norm of the weight divided by 2^e, without the columns in which all classes agree, and e; 0 without a weight."""
        if self.weight is None:
            return self, 0
        (weight,), exponent = in_unit(self.weight)
        return VertexNorm(weight, self.label), exponent

    def margins(self, points: Float64) -> tuple[Float64, float]:
        """Margins ⟨w_c − w_y, z⟩ (n × K), and a bound on the rounding error of a difference of two of them."""
        if self.label is None:
            raise InputError("the vertex norm needs the true class: VertexNorm(weight, label=y)")
        if self.weight is None:
            if points.shape[1] < 2:
                raise InputError(f"the vertex norm needs logits of at least two classes, got {points.shape[1]}")
            self._check_label(points.shape[1])
            margins: Float64 = points - points[:, [self.label]]
            return margins, 2.0 * EPS * float(np.abs(margins).max())
        if self.weight.shape[1] != points.shape[1]:
            raise InputError(
                f"the head weight has {self.weight.shape[1]} columns and the points have dimension "
                f"{points.shape[1]}; they must agree"
            )
        difference = self.weight - self.weight[self.label]
        dimension: int = points.shape[1]
        largest = float((np.abs(points) @ np.abs(difference).T).max())
        return points @ difference.T, 2 * (dimension + 2) * (EPS * largest + TINY)


Ground = Literal["euclidean", "sqeuclidean"] | VertexNorm
NORMS = ("euclidean", "sqeuclidean")


def _check_memory(n: int, m: int) -> None:
    """Refuse a cost matrix that this machine cannot hold, before the operating system kills the process.

    Raises:
        InputError: naming the size.
    """
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        if 8 * n * m > 0.8 * memory:
            raise InputError(
                f"{n} × {m} costs need {8e-9 * n * m:.0f} GB and this machine has {memory * 1e-9:.0f} GB; take fewer points, "
                "or sliced_wasserstein or mmd, which store no matrix"
            )


def cost_matrix(x: Float64, y: Float64, ground: Ground, p: int) -> CostMatrix:
    """Costs c(x_i, y_j)^p of every pair, with their error bounds.

    Args:
        x: n × d points.
        y: m × d points.
        ground: "euclidean" ‖x − y‖, "sqeuclidean" ‖x − y‖² (p = 1 only: it is not a metric), or a `VertexNorm`.
        p: 1 or 2.

    Raises:
        InputError: p is neither 1 nor 2, p = 2 with a squared cost, costs beyond float64, or more than memory holds.

    Example:
        >>> costs = cost_matrix(np.array([[0.0], [3.0]]), np.array([[4.0]]), "euclidean", 1)
        >>> costs.values.tolist(), costs.unit
        ([[4.0], [1.0]], 'distance')
    """
    cost, exponent = unit_costs(x, y, ground, p)
    values, lost = rescaled(cost.values, exponent, out=cost.values)
    absolute = shifted_up(cost.absolute_error, exponent) + lost * TINY
    if not (math.isfinite(values.max()) and math.isfinite(absolute)):
        raise InputError("the ground costs overflow float64; rescale the features (a common factor scales the distance)")
    return CostMatrix(values, cost.relative_error, absolute, cost.unit)


def unit_costs(x: Float64, y: Float64, ground: Ground, p: int) -> tuple[CostMatrix, int]:
    """The costs of `cost_matrix` in a unit of their own: costs and errors are 2^k times those returned with k.

    The largest of them is in [¼, 1), for p = 1 in [½, 1). For p = 2 the exponent k is even.

    Raises:
        InputError: as `cost_matrix`, but for costs beyond float64.
    """
    _check_memory(len(x), len(y))
    if p not in (1, 2):
        raise InputError(f"p is {p!r}; transport of order 1 and 2 is implemented")
    if isinstance(ground, VertexNorm):
        norm, exponent = ground.in_unit()
        (x, y), own = in_unit(x, y)
        return _normalised(_vertex(x, y, norm, p), p * (exponent + own), p)
    if ground not in NORMS:
        raise InputError(f"ground is {ground!r}; choose 'euclidean', 'sqeuclidean' or a VertexNorm")
    if ground == "sqeuclidean" and p == 2:
        raise InputError("p=2 with ground='sqeuclidean' would square twice; for W2 use p=2 with ground='euclidean'")
    squared = ground == "sqeuclidean" or p == 2
    scaled, exponent = in_unit(x, y)
    values, relative = _squared_distances(*scaled)
    lost = x.shape[1] * UNDERFLOW if _underflows(values, x, y) else 0.0
    if squared:
        return _normalised(CostMatrix(values, relative, lost, "squared distance"), 2 * exponent, p)
    over_rows(values.shape, lambda rows: np.sqrt(values[rows], out=values[rows]))
    return _normalised(CostMatrix(values, relative, math.sqrt(lost), "distance"), exponent, p)


def _normalised(cost: CostMatrix, exponent: int, p: int) -> tuple[CostMatrix, int]:
    """Costs in [0, 1), and their exponent; in place."""
    own = -(-exponent_of(cost.values) // p) * p
    rescaled(cost.values, -own, out=cost.values)
    return replace(cost, absolute_error=shifted_up(cost.absolute_error, -own)), exponent + own


def _vertex(x: Float64, y: Float64, ground: VertexNorm, p: int) -> CostMatrix:
    margins_x, error = ground.margins(x)
    margins_y, error_y = ground.margins(y)
    error = max(error, error_y)
    norm = _every_pair(margins_x, margins_y, "chebyshev")
    if p == 1:
        return CostMatrix(norm, 2 * EPS, error, "nats")
    square = norm * norm
    error = 2 * float(norm.max(initial=0.0)) * error + error * error + (TINY if error or _lost(square, norm) else 0.0)
    return CostMatrix(square, 6 * EPS, error, "squared nats")


def _squared_distances(x: Float64, y: Float64) -> tuple[Float64, float]:
    """Squared distances of every pair, and a bound on their relative error.

    Direct differences give exact zeros on coincident points and full relative accuracy near them. Large problems go
    through one matrix product of the centred points instead; where a distance is short against the norms that it is a
    difference of, it is computed again directly, so that every entry keeps its relative accuracy.
    """
    (n, dimension), m = x.shape, len(y)
    direct = (dimension + 4) * EPS
    if n * m * dimension < _WORK or dimension < 16:
        return _every_pair(x, y, "sqeuclidean"), direct
    centre = (x.mean(axis=0) + y.mean(axis=0)) / 2
    xc, yc = x - centre, y - centre
    norm_x, norm_y = np.linalg.norm(xc, axis=1), np.linalg.norm(yc, axis=1)
    # |x|² + |y|² − 2⟨x, y⟩ as one product of extended points.
    left = np.column_stack((-2.0 * xc, norm_x**2, np.ones(n)))
    right = np.column_stack((yc, np.ones(m), norm_y**2)).T
    values = np.matmul(left, right)

    def short(rows: slice) -> tuple[Int64, Int64] | None:
        """Pairs whose distance is short; None where there are none for sure."""
        if _SHORT * values[rows].min() >= (norm_x[rows].max() + norm_y.max()) ** 2:
            return None
        i, j = np.nonzero(_SHORT * values[rows] < (norm_x[rows, None] + norm_y) ** 2)
        return i, j

    def count(rows: slice) -> int:
        found = short(rows)
        return 0 if found is None else len(found[0])

    def repair(rows: slice) -> None:
        found = short(rows)
        if found is not None:
            part = max(1, _BLOCK // dimension)
            for first in range(0, len(found[0]), part):
                i, j = (each[first : first + part] for each in found)
                values[rows][i, j] = ((x[rows][i] - y[j]) ** 2).sum(axis=1)

    again = sum(over_rows(values.shape, count))
    if again > 0.05 * n * m:
        return _every_pair(x, y, "sqeuclidean"), direct
    if again:
        over_rows(values.shape, repair)
    return values, _SHORT * (dimension + 16) * EPS


def _every_pair(x: Float64, y: Float64, metric: Literal["sqeuclidean", "chebyshev"]) -> Float64:
    values = np.empty((len(x), len(y)))
    over_rows(values.shape, lambda rows: cdist(x[rows], y, metric, out=values[rows]))
    return values


def _underflows(square: Float64, x: Float64, y: Float64) -> bool:
    """Whether some scaled squared distance is tiny without the two points being the same point."""
    if square.min() >= UNDERFLOW:
        return False
    rows, columns = np.nonzero(square < UNDERFLOW)
    block = max(1, 10_000_000 // x.shape[1])
    return any(
        bool((x[rows[start : start + block]] != y[columns[start : start + block]]).any())
        for start in range(0, len(rows), block)
    )


def _lost(result: Float64, operand: Float64) -> bool:
    """Whether some result of a positive operand is so small that underflow took digits from it."""
    return bool(((result < UNDERFLOW) & (operand > 0)).any())


def by_coordinates(points: Float64, *others: Float64) -> tuple[Float64, ...]:
    """Points and what belongs to each (weights, partners), in the order of the points' coordinates.

    A local search, or a draw of some of the points, then ends alike for every order in which the points are given.
    """
    keys = [points, *(other[:, None] if other.ndim == 1 else other for other in others)]
    order = np.lexsort(np.hstack(keys).T[::-1])
    return points[order], *(other[order] for other in others)
