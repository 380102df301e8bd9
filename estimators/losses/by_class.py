"""Rows of a batch by class, as stacks of padded clouds: labels go to the host once, the layout comes back once. Imports torch.

A loss that takes its classes one by one makes some thirty calls for each, and on a GPU the host waits for many of them. Here
the classes of about one size lie in one tensor, so that the number of calls depends on the number of stacks, which is one for
most batches. Import this module by name.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from kd2m_theory.arrays import IGNORED, Int64
from kd2m_theory.errors import InputError
from kd2m_theory.estimators.losses.inputs import require_values

# A stack has at most so many times the rows of its classes, and so many times the pairs of points within them.
_MOST_ROWS, _MOST_PAIRS = 4, 8


@dataclass(frozen=True)
class Stack:
    """k clouds in one tensor, padded with zeros to one number of points.

    Attributes:
        points: k × p × d.
        counts: k × 1 × 1, the numbers of points without padding, in the dtype of the points.
        inside: k × p × 1, one for each point and zero for padding; None if nothing is padded.
    """

    points: Tensor
    counts: Tensor
    inside: Tensor | None = None

    def means(self) -> Tensor:
        """Means of the clouds, k × 1 × d."""
        return self.points.sum(dim=1, keepdim=True) / self.counts

    def weights(self) -> Tensor:
        """k × p × 1: 1/n for each of the n points of a cloud, zero for padding."""
        return self.without_padding((1 / self.counts).expand(*self.points.shape[:2], 1))

    def moments(self) -> tuple[Tensor, Tensor]:
        """Means, k × d, and for each cloud F with FᵀF = Σ, k × p × d, which has rows of zeros where there is no point.

        Away from the first point before the mean is taken: constant coordinates are exact zeros.
        """
        anchors = self.points[:, :1].detach()
        moved = self.without_padding(self.points - anchors)
        offsets = moved.sum(dim=1, keepdim=True) / self.counts
        factors = self.without_padding(moved - offsets) / self.counts.sqrt()
        return (anchors + offsets)[:, 0], factors

    def without_padding(self, values: Tensor) -> Tensor:
        """The values, one row for each point (k × p × anything), and zero where there is no point."""
        return values if self.inside is None else values * self.inside


def stack_of_one(points: Tensor) -> Stack:
    """The stack that has one cloud only, n × d points."""
    return Stack(points[None], points.new_full((1, 1, 1), len(points)))


@dataclass(frozen=True)
class Layout:
    """Where the rows of a batch lie in stacks of classes.

    Attributes:
        rows: for each class, in the order of the stacks, the numbers of its rows, ascending, on the host.
        shapes: for each stack the number of its classes and the number of points to which they are padded.
        places: for each row of the batch its place in the stacks, one after another; rows that are in no class share the
            last place, which is in no stack.
        counts: number of rows of each class, C × 1 × 1, in the dtype of the features.
        inside: for each stack what `Stack.inside` is.
    """

    rows: Sequence[Int64]
    shapes: Sequence[tuple[int, int]]
    places: Tensor
    counts: Sequence[Tensor]
    inside: Sequence[Tensor | None]

    def stacks(self, batch: Tensor) -> list[Stack]:
        """The stacks of n × d features; the gradient of a row comes from its one place."""
        sizes = [classes * points for classes, points in self.shapes]
        padded = batch.new_zeros(sum(sizes) + 1, batch.shape[1]).index_put_((self.places,), batch)
        return [
            Stack(part.reshape(*shape, -1), counts, inside)
            for part, shape, counts, inside in zip(
                padded.split([*sizes, 1]), self.shapes, self.counts, self.inside, strict=False
            )
        ]

    def rows_of(self, stacked: Sequence[Tensor]) -> Tensor:
        """n × d rows of the batch out of k × p × d values for each stack; zeros for a row that is in no class."""
        flat = [each.flatten(0, 1) for each in stacked]
        return torch.cat((*flat, flat[0].new_zeros(1, flat[0].shape[1])))[self.places]


def by_class(labels: Tensor, *batches: Tensor) -> Layout:
    """The layout of batches of the same n rows. Rows with the label −100 are in no class.

    Args:
        labels: n integer classes.
        *batches: n × d features each, at least one.

    Raises:
        InputError: labels that are not whole numbers, or not one per row; features that are not finite in a row of a class.
    """
    _check(labels)
    # 0 · x is zero for a finite x, else NaN. One copy for both: on a GPU each look makes the host wait.
    finite = (torch.cat(batches, dim=1).detach() * 0).sum(dim=1) == 0
    known, usable = torch.stack((labels, finite.to(labels))).cpu().numpy()
    if ((usable == 0) & (known != IGNORED)).any():
        raise InputError("features are NaN or infinite: the training has diverged; lower the learning rate or λ")
    return _layouts([known], batches[0])[0]


def by_class_of_each(labels: Tensor, others: Tensor, like: Tensor) -> tuple[Layout, Layout]:
    """The layouts of two batches that have the same classes in other rows; their stacks have the same classes in one order.

    Args:
        labels: n integer classes of one batch.
        others: m integer classes of the other.
        like: features of the dtype and on the device of both.

    Raises:
        InputError: labels as in `by_class`; a class that only one of the batches has.
    """
    _check(labels)
    if others is labels:
        layout = _layouts([labels.cpu().numpy()], like)[0]
        return layout, layout
    _check(others)
    here, there = np.split(torch.cat((labels, others)).cpu().numpy(), [len(labels)])
    first, second = _layouts([here, there], like)
    return first, second


def _check(labels: Tensor) -> None:
    if labels.ndim != 1 or labels.dtype == torch.bool or labels.is_floating_point() or labels.is_complex():
        raise InputError(
            f"labels have dtype {str(labels.dtype).removeprefix('torch.')} and shape {tuple(labels.shape)}; pass one integer "
            "class per row: rows that share several classes (mixup, label smoothing) have no class of their own"
        )
    require_values(labels)


def _layouts(labels: Sequence[Int64], like: Tensor) -> list[Layout]:
    sides = [_rows(each) for each in labels]
    if any(side.keys() != sides[0].keys() for side in sides):
        raise InputError("a class of one side is missing from the other; class-conditional transport needs it on both")
    classes = list(sides[0])
    groups = _groups(
        np.array([[len(side[label]) for side in sides] for label in classes], dtype=np.int64).reshape(-1, len(sides))
    )
    return [
        _layout([[side[classes[index]] for index in group] for group in groups], len(each), like)
        for side, each in zip(sides, labels, strict=True)
    ]


def _rows(labels: Int64) -> dict[int, Int64]:
    """For each class that is present the numbers of its rows, both ascending."""
    present, counts = np.unique(labels, return_counts=True)
    order = np.argsort(labels, kind="stable")
    rows = dict(zip(present.tolist(), np.split(order, np.cumsum(counts)[:-1]), strict=True)) if len(labels) else {}
    rows.pop(IGNORED, None)
    return rows


def _groups(sizes: Int64) -> list[list[int]]:
    """Groups of classes, the largest first, in which padding stays within `_MOST_ROWS` and `_MOST_PAIRS`.

    Args:
        sizes: C × s numbers of points, of each class on each of s sides (its pairs are n² with one side, else n·m).
    """
    groups: list[list[int]] = []
    order = np.argsort(-sizes.max(axis=1, initial=0), kind="stable")
    width = total = np.zeros(sizes.shape[1], dtype=np.int64)
    pairs = 0
    for index in order.tolist():
        size = sizes[index]
        if groups:
            number, wider, more = len(groups[-1]) + 1, np.maximum(width, size), total + size
            both = pairs + int(size[0] * size[-1])
            if (number * wider <= _MOST_ROWS * more).all() and number * int(wider[0] * wider[-1]) <= _MOST_PAIRS * both:
                groups[-1].append(index)
                width, total, pairs = wider, more, both
                continue
        groups.append([index])
        width, total, pairs = size, size, int(size[0] * size[-1])
    return groups


def _layout(groups: Sequence[Sequence[Int64]], n: int, like: Tensor) -> Layout:
    """The layout of n rows whose classes are in these groups."""
    rows = [each for group in groups for each in group]
    shapes = [(len(group), max(map(len, group))) for group in groups]
    places = np.full(n, sum(classes * points for classes, points in shapes), dtype=np.int64)
    start = 0
    for group, (_, points) in zip(groups, shapes, strict=True):
        for each in group:
            places[each] = np.arange(start, start + len(each))
            start += points
    sizes = np.array([len(each) for each in rows], dtype=np.int64)
    there, counted = torch.from_numpy(np.concatenate((places, sizes))).to(like.device).split([n, len(rows)])
    counts = counted.to(like.dtype).reshape(-1, 1, 1).split([classes for classes, _ in shapes])
    inside = [
        None if min(map(len, group)) == points else (torch.arange(points, device=like.device)[:, None] < number).to(like.dtype)
        for group, number, (_, points) in zip(groups, counts, shapes, strict=True)
    ]
    return Layout(rows=rows, shapes=shapes, places=there, counts=counts, inside=inside)
