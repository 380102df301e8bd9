"""Good plans between the points of a class that has too many pairs to look at: each gives every cost a valid upper side."""

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from kd2m_theory.arrays import Float64, Int64
from kd2m_theory.bounds.class_pairs import ClassPairs
from kd2m_theory.estimators import CostMatrix, Enclosure
from kd2m_theory.estimators.ground import EPS
from kd2m_theory.estimators.scale import in_unit
from kd2m_theory.estimators.sparse_transport import UnitPlan, monotone_plan

BY_PLANS = "the best of a few plans"

# Points of a cell that are matched to one another.
_CELL = 64


def good_plans(student: Float64, teacher: Float64, losses: tuple[Float64, Float64], *, paired: bool) -> tuple[UnitPlan, ...]:
    """Plans between uniform masses on both clouds: by loss, cell by cell, and each input with itself improved within cells.

    Args:
        student: n × k points.
        teacher: m × k points.
        losses: of the n and of the m points.
        paired: whether row i of both is the same input.
    """
    by_loss = monotone_plan(*(np.argsort(each, kind="stable") for each in losses))
    if paired:
        same = np.arange(len(student))
        return by_loss, monotone_plan(same, same), _improved(student, teacher, in_cells(teacher), same)
    orders = in_cells(student), in_cells(teacher)
    if len(student) != len(teacher):
        return by_loss, monotone_plan(*orders)
    matched = np.empty(len(student), dtype=np.int64)
    matched[orders[0]] = orders[1]
    return by_loss, _improved(student, teacher, orders[0], matched)


def in_cells(points: Float64) -> Int64:
    """The points (n × k) in an order in which near ones are near: halved at medians of the widest coordinate, cell by cell."""
    cells = [np.arange(len(points))]
    while max(map(len, cells)) > _CELL:
        cells = [half for cell in cells for half in (_halves(points, cell) if len(cell) > _CELL else (cell,))]
    return np.concatenate(cells)


def _halves(points: Float64, cell: Int64) -> tuple[Int64, Int64]:
    mine = points[cell]
    values = mine[:, int((mine.max(axis=0) - mine.min(axis=0)).argmax())]
    order = np.argsort(values, kind="stable")
    half = _CELL * -(-len(cell) // (2 * _CELL))  # so that all cells but the last are full
    return cell[order[:half]], cell[order[half:]]


def _improved(student: Float64, teacher: Float64, order: Int64, matched: Int64) -> UnitPlan:
    """The permutation `matched`, with the rows of each stretch of the order matched again at the least distance."""
    matched = matched.copy()
    for start in range(0, len(order), _CELL):
        rows = order[start : start + _CELL]
        columns = matched[rows]
        matched[rows] = columns[linear_sum_assignment(cdist(student[rows], teacher[columns]))[1]]
    n = len(matched)
    return UnitPlan(rows=np.arange(n), columns=matched, units=np.ones(n, dtype=np.int64), total=n)


def best_of(plans: Sequence[UnitPlan], costs: Sequence[CostMatrix]) -> Enclosure:
    """The least transport cost from above: the mean cost along the best of the plans, whose pairs the costs are of."""
    found = [
        (plan.mean(cost.values) + cost.absolute_error) / (1 - 2 * cost.relative_error)
        for plan, cost in zip(plans, costs, strict=True)
    ]
    # Only costs that are never negative have a relative error.
    lower = 0.0 if costs[0].relative_error else -math.inf
    return Enclosure(lower=lower, upper=max(min(found), lower), unit=costs[0].unit, method=BY_PLANS, capped=True)


def distance_by_plans(student: Float64, teacher: Float64, plans: Sequence[UnitPlan], p: Literal[1, 2]) -> Enclosure:
    """W_p between clouds n × d and m × d: at most what the best of the plans costs, at least how far the means are apart."""
    (x, y), exponent = in_unit(student, teacher)
    pairs = ClassPairs(0, x, y)
    best = min(plan.mean(pairs.along(plan).distances(x, y) ** p) for plan in plans) ** (1 / p)
    # In a unit in which the largest coordinate is about 1: what was too small for a square is covered by the last term.
    rounding = (x.shape[1] + 16) * 4 * EPS
    upper = best * (1 + rounding) + 1e-150
    # A mean of n numbers up to 1 is right to n roundings.
    moved = float(np.linalg.norm(x.mean(axis=0) - y.mean(axis=0))) - rounding * (len(x) + len(y)) * math.sqrt(x.shape[1])
    lower = min(upper, max(0.0, moved))
    return Enclosure(lower=lower, upper=upper, unit="distance", method=BY_PLANS, capped=True).shifted(exponent)
