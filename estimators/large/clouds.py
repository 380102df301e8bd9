"""Two clouds whose n × m costs are computed in tiles, in single precision with a bound on the error, and never stored.

All work on tiles is matrix products and comparisons of torch, on the device that is asked for. What decides a certificate are
float64 costs of single pairs, and tiles only where a bound on their error is taken off.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from kd2m_theory.arrays import Float64, Int64
from kd2m_theory.estimators.ground import EPS
from kd2m_theory.estimators.large.caps import MOST_WORK, Work
from kd2m_theory.estimators.large.plans import cost_errors, exact_costs, some_of

# Half the gap between 1 and the next number of single precision, and the smallest number that it tells from zero.
_UNIT, _LEAST = 2.0**-24, 2.0**-149
# Rows and columns of a tile: its products stay in a core's cache.
ROWS, COLUMNS = 1024, 4096
# Elements of a block of rows that are ranked: 64 MiB.
_TILE = 2**24
# Devices without float64.
WITHOUT_DOUBLE = ("mps",)
# A pass in float64 takes so many in float32.
_DOUBLE = 3
# Points by which the clouds are centred.
_CENTRE = 1000


class Clouds:
    """Points x (n × d) and y (m × d) under the cost ‖x − y‖^p, in a unit in which the largest coordinate is at most 1.

    The points are held in the order of their distances from a common centre, so that the points of a tile are about as far
    out and share one small bound on the error; every index is one of this order.

    Args:
        x: n × d.
        y: m × d.
        p: 1 or 2.
        device: where tiles are computed.

    Attributes:
        order_x: the index in x of each row.
        order_y: the index in y of each column.
    """

    def __init__(self, x: Float64, y: Float64, p: int, device: torch.device | str = "cpu") -> None:
        self.p, self.dimension = p, x.shape[1]
        self.n, self.m = len(x), len(y)
        self._given = x, y
        self._centre = np.median(some_of(x, y, _CENTRE), axis=0)
        self._x, self._y = (_Side(points, self._centre, device) for points in (x, y))
        self.order_x, self.order_y = self._x.order, self._y.order
        self._work = Work(MOST_WORK)
        # Of `exact`.
        self.relative_error, self.absolute_error = cost_errors(self.dimension, p)

    def part(self, rows: Int64, columns: Int64) -> "Clouds":
        """Some of the rows and columns, in their order here."""
        made = object.__new__(Clouds)
        made.__dict__ |= self.__dict__
        made.n, made.m = len(rows), len(columns)
        made._x, made._y = self._x.part(rows), self._y.part(columns)
        made.order_x, made.order_y = made._x.order, made._y.order
        return made

    @property
    def diameter(self) -> float:
        """A bound on every cost."""
        return float((self._x.norms.max() + self._y.norms.max()) ** self.p) * (1 + 1e-6)

    def exact(self, rows: Int64, columns: Int64) -> Float64:
        """Costs of single pairs in float64, right to the relative and absolute errors."""
        return exact_costs(*self._given, self.order_x[rows], self.order_y[columns], self.p)

    def equal(self, rows: Int64, columns: Int64) -> bool:
        """Whether the points of each of these pairs are one point: a cost of zero may have been too small for a number."""
        x, y = self._given
        return bool((x[self.order_x[rows]] == y[self.order_y[columns]]).all())

    def points(self, transposed: bool) -> torch.Tensor:
        """Centred points of x, or of y, in single precision."""
        return (self._y if transposed else self._x).points

    def reduced(
        self, rows: Int64, columns: Int64 | None, paid: Float64, *, transposed: bool = False
    ) -> Iterator[tuple[slice, torch.Tensor]]:
        """C_ij − paid_j of these rows and columns in single precision, in blocks of rows; without a bound on the error.

        Args:
            rows: indices of the rows.
            columns: indices of the columns; all of them if None.
            paid: potential of each of these columns.
            transposed: take rows of y and columns of x.
        """
        left, others, single, shift = self._priced(rows, columns, paid, transposed)
        block = max(1, _TILE // len(others))
        for start in range(0, len(rows), block):
            part = slice(start, min(len(rows), start + block))
            mine = torch.as_tensor(rows[part], device=others.device)
            own = torch.as_tensor(left.squares[rows[part]], dtype=torch.float32, device=others.device)
            tile = torch.addmm(shift, left.points[mine], others.T, alpha=-2).add_(own[:, None])
            if self.p == 1:
                tile = tile.clamp_(min=0).sqrt_().sub_(single)
            yield part, tile

    def least_of_groups(
        self, rows: Int64, columns: Int64, paid: Float64, groups: int, *, transposed: bool = False
    ) -> Iterator[tuple[slice, torch.Tensor]]:
        """The smallest C_ij − paid_j of each of these rows within each of so many groups of these columns, as `reduced`.

        Yields:
            A slice of the rows, and of each of them one number for every group.
        """
        left, others, single, shift = self._priced(rows, columns, paid, transposed)
        device = others.device
        step = max(1, COLUMNS // groups) * groups
        buffer = torch.empty(ROWS * step, dtype=torch.float32, device=device)
        for start in range(0, len(rows), ROWS):
            part = slice(start, min(len(rows), start + ROWS))
            mine = left.points[_index(rows[part], device)]
            own = torch.as_tensor(left.squares[rows[part]], dtype=torch.float32, device=device)[:, None]
            best = torch.full((len(mine), groups), torch.inf, device=device)
            for first in range(0, len(columns), step):
                at = slice(first, min(len(columns), first + step))
                tile = buffer[: len(mine) * (at.stop - first)].view(len(mine), -1)
                torch.addmm(shift[at], mine, others[at].T, alpha=-2, out=tile)
                if self.p == 1:
                    tile.add_(own).clamp_(min=0).sqrt_().sub_(single[at])
                whole = tile.shape[1] // groups * groups
                if whole:
                    torch.minimum(best, tile[:, :whole].view(len(mine), -1, groups).amin(dim=1), out=best)
                last = best[:, : tile.shape[1] - whole]
                torch.minimum(last, tile[:, whole:], out=last)
            yield part, best.add_(own) if self.p == 2 else best

    def _priced(
        self, rows: Int64, columns: Int64 | None, paid: Float64, transposed: bool
    ) -> tuple["_Side", torch.Tensor, torch.Tensor, torch.Tensor]:
        """The side of the rows; of the columns their points, what they are paid, and what their products are shifted by."""
        left, right = (self._y, self._x) if transposed else (self._x, self._y)
        self._work.pass_over(len(rows) * (len(right.norms) if columns is None else len(columns)), self.dimension)
        at = torch.as_tensor(columns, device=right.points.device) if columns is not None else slice(None)
        others, squares = right.points[at], right.squares[at if columns is None else columns]
        single = torch.as_tensor(paid, dtype=torch.float32, device=others.device)
        shift = torch.as_tensor(squares, dtype=torch.float32, device=others.device)
        return left, others, single, shift - single if self.p == 2 else shift

    def below(self, f: Float64, g: Float64, width: float, limit: int) -> tuple[Int64, Int64] | None:
        """All pairs with C_ij < f_i + g_j + width, and some more; None where they are more than `limit`."""
        self._work.pass_over(self.n * self.m, self.dimension)
        found, every = _Below(self, f, g, width), np.arange(self.m)
        blocks = (np.arange(start, min(self.n, start + ROWS)) for start in range(0, self.n, ROWS))
        return _joined((tile for block in blocks for tile in found.tiles(block, every)), limit)

    def below_where(
        self, f: Float64, g: Float64, width: float, drift_x: Float64, drift_y: Float64, limit: int
    ) -> tuple[Int64, Int64] | None:
        """Those pairs of `below` with drift_i + drift_j ≥ 0, and some more."""
        found = _Below(self, f, g, width)
        rows, columns = np.argsort(-drift_x, kind="stable"), np.argsort(-drift_y, kind="stable")
        some = min(ROWS, max(ROWS // 2, self.n // 32))  # many blocks, so that few pairs are looked at that need not be
        blocks = [rows[start : start + some] for start in range(0, self.n, some)]
        counts = np.searchsorted(-drift_y[columns], [drift_x[block[0]] for block in blocks], side="right")
        self._work.pass_over(sum(len(block) * int(count) for block, count in zip(blocks, counts, strict=True)), self.dimension)
        near = ((block, np.sort(columns[:count])) for block, count in zip(blocks, counts, strict=True))
        return _joined((tile for block, those in near for tile in found.tiles(block, those)), limit)

    def smallest(self, f: Float64, g: Float64, count: int) -> tuple[Float64, Int64]:
        """A lower bound on min_j C_ij − f_i − g_j of every row, from tiles in float64; and its `count` cheapest columns."""
        self._work.pass_over(_DOUBLE * self.n * self.m, self.dimension)
        x, y = self._given
        count = min(count, self.m)
        result, found = np.full(self.n, np.inf), np.zeros((self.n, count), dtype=np.int64)
        device = self._x.points.device
        if device.type in WITHOUT_DOUBLE:
            device = torch.device("cpu")
        centre = torch.as_tensor(self._centre, device=device)
        size = (self._x.norms + float(self._y.norms.max())) ** 2
        error = (self.dimension + 16) * 4 * EPS * size
        block = max(1, 2**26 // (8 * self.dimension))
        for first in range(0, self.m, block):
            at = slice(first, min(self.m, first + block))
            others = torch.as_tensor(y[self.order_y[at]], device=device) - centre
            squares, paid = (torch.as_tensor(values[at], device=device) for values in (self._y.squares, g))
            for start in range(0, self.n, ROWS // 2):
                rows = slice(start, min(self.n, start + ROWS // 2))
                mine = torch.as_tensor(x[self.order_x[rows]], device=device) - centre
                tile = torch.mm(mine, others.T).mul_(-2).add_(squares)
                tile.add_(torch.as_tensor(self._x.squares[rows], device=device)[:, None])
                tile.sub_(torch.as_tensor(error[rows], device=device)[:, None])
                tile = tile.sub_(paid) if self.p == 2 else tile.clamp_(min=0).sqrt_().sub_(paid)
                least = torch.topk(tile, min(count, tile.shape[1]), dim=1, largest=False)
                values, places = least.values.cpu().numpy(), least.indices.cpu().numpy() + first
                better = values[:, 0] < result[rows]
                result[rows] = np.where(better, values[:, 0], result[rows])
                found[rows, : values.shape[1]] = np.where(better[:, None], places, found[rows, : values.shape[1]])
        return result - f - 8 * EPS * (size ** (self.p / 2) + np.abs(f) + float(np.abs(g).max())), found

    @staticmethod
    def _moved(norm: Any, moved: Any, other: Any, other_moved: Any) -> Any:
        """How far ⟨x, y⟩ can be from the product of points that were moved by so much."""
        return norm * other_moved + moved * other + moved * other_moved


class _Side:
    """One cloud: its points in the order of their norms, in single precision; norms, and how far each point was moved."""

    def __init__(self, points: Float64, centre: Float64, device: torch.device | str) -> None:
        n, dimension = points.shape
        squares = np.empty(n)
        block = max(1, 2**21 // dimension)
        for start in range(0, n, block):
            part = points[start : start + block] - centre
            np.einsum("ij,ij->i", part, part, out=squares[start : start + block])
        self.order: Int64 = np.argsort(squares, kind="stable")
        self.squares = squares[self.order]
        self.norms = np.sqrt(self.squares)
        single = np.empty((n, dimension), dtype=np.float32)
        self.moved = np.empty(n)
        for start in range(0, n, block):
            rows = self.order[start : start + block]
            part = points[rows] - centre
            single[start : start + block] = part
            part -= single[start : start + block]
            self.moved[start : start + block] = np.sqrt(np.einsum("ij,ij->i", part, part))
        # Centring rounds each coordinate once, and a squared norm is a sum.
        self.moved = self.moved * (1 + 1e-6) + 2 * EPS * self.norms + EPS * float(np.linalg.norm(centre)) + dimension * _LEAST
        self.points = torch.from_numpy(single).to(device)

    def part(self, index: Int64) -> "_Side":
        """Some of the points."""
        made = object.__new__(_Side)
        made.order, made.squares = self.order[index], self.squares[index]
        made.norms, made.moved = self.norms[index], self.moved[index]
        made.points = self.points[torch.as_tensor(index, device=self.points.device)]
        return made


class _Below:
    """The test C_ij < f_i + g_j + w as one of products: with s = f + w,

        p = 2:   ⟨x, y⟩ > (|x|² − s)/2 + (|y|² − g)/2
        p = 1:   s_i + g_j > 0  and  ⟨x, y⟩ + s g > (|x|² − s²)/2 + (|y|² − g²)/2

    the second from |x − y|² < (s + g)²; its product is one of points with one more coordinate. Where s + g ≤ 0 some pairs are
    found that need not be.
    """

    def __init__(self, clouds: Clouds, f: Float64, g: Float64, width: float) -> None:
        x, y = clouds._x, clouds._y
        s = f + width
        self._x, self._y = x.points, y.points
        self._norm_x, self._norm_y = x.norms, y.norms
        if clouds.p == 2:
            row, column = (x.squares - s) / 2, (y.squares - g) / 2
            size_row, size_column = x.squares + np.abs(s), y.squares + np.abs(g)
        else:
            row, column = (x.squares - s * s) / 2, (y.squares - g * g) / 2
            size_row, size_column = x.squares + s * s, y.squares + g * g
            self._norm_x, self._norm_y = np.sqrt(size_row), np.sqrt(size_column)
            self._x, self._y = (
                torch.cat((points, torch.as_tensor(last[:, None], dtype=torch.float32, device=points.device)), 1)
                for points, last in ((x.points, s), (y.points, g))
            )
        self._moved_x = x.moved + (0.0 if clouds.p == 2 else _UNIT * np.abs(s) + 4 * EPS * np.abs(s))
        self._moved_y = y.moved + (0.0 if clouds.p == 2 else _UNIT * np.abs(g))
        self._row, self._column = row, column
        self._size_row, self._size_column = size_row, size_column
        self._dimension = clouds.dimension + 1
        self._far = y.norms
        self._buffer = torch.empty(ROWS * COLUMNS, dtype=torch.float32, device=x.points.device)
        self._mask = torch.empty(ROWS * COLUMNS, dtype=torch.bool, device=x.points.device)
        self._gathered = torch.empty(COLUMNS, self._y.shape[1], dtype=torch.float32, device=x.points.device)
        self._single = torch.as_tensor(column, dtype=torch.float32, device=x.points.device)

    def tiles(self, rows: Int64, columns: Int64) -> Iterator[tuple[Int64, Int64]]:
        """Pairs of these rows and columns (increasing) that pass, tile by tile."""
        device = self._x.device
        left = self._x[_index(rows, device)]
        for start, stop in _tiles(self._far[columns]):
            at = columns[start:stop]
            index = _index(at, device)
            bar = torch.as_tensor(self._bar(rows, at), device=device)
            tile = self._buffer[: len(left) * len(at)].view(len(left), len(at))
            if isinstance(index, slice):
                right = self._y[index]
            else:
                right = torch.index_select(self._y, 0, index, out=self._gathered[: len(at)])
            torch.mm(left, right.T, out=tile)
            tile.sub_(self._single[index])
            mask = self._mask[: tile.numel()].view(tile.shape)
            torch.gt(tile, bar[:, None], out=mask)
            flat = mask.view(-1)
            # NumPy's is four times as fast on the CPU.
            found = torch.nonzero(flat).view(-1).cpu().numpy() if device.type != "cpu" else np.flatnonzero(flat.numpy())
            i, j = np.divmod(found, len(at))
            yield rows[i], at[j]

    def _bar(self, rows: Int64, columns: Int64) -> NDArray[np.float32]:
        """What the product less the column's term has to exceed, in single precision and lowered by all that was rounded.

        The product of k terms is right to γ_k of the norms, in whatever order it is summed; points were moved; and the term of
        the column, the difference and the bar are rounded once each.
        """
        norm, moved = self._norm_x[rows], self._moved_x[rows]
        far, far_moved = float(self._norm_y[columns].max()), float(self._moved_y[columns].max())
        error = (self._dimension + 3) * _UNIT * 1.01 * norm * far + Clouds._moved(norm, moved, far, far_moved)
        error = error + 3 * _UNIT * (float(np.abs(self._column[columns]).max()) + norm * far)
        # The terms of rows and columns themselves are float64 sums and products of squares.
        size = self._size_row[rows] + float(self._size_column[columns].max())
        bar = self._row[rows] - error - (self._dimension + 8) * EPS * size - self._dimension * _LEAST
        lowered: NDArray[np.float32] = (bar - 2 * _UNIT * np.abs(bar) - _LEAST).astype(np.float32)
        return lowered


def _index(indices: Int64, device: torch.device) -> slice | torch.Tensor:
    """Without a copy where they are consecutive."""
    if len(indices) and indices[-1] - indices[0] == len(indices) - 1 and (np.diff(indices) == 1).all():
        return slice(int(indices[0]), int(indices[-1]) + 1)
    return torch.as_tensor(indices, device=device)


def _tiles(norms: Float64) -> Iterator[tuple[int, int]]:
    """Columns of one tile: as many as fit, none twice as far out as the first: it would set the bound on the error."""
    start = 0
    while start < len(norms):
        stop = min(start + COLUMNS, int(np.searchsorted(norms, 2 * norms[start], side="right")))
        stop = max(stop, start + 1)
        yield start, stop
        start = stop


def _joined(tiles: Iterable[tuple[Int64, Int64]], limit: int) -> tuple[Int64, Int64] | None:
    """The pairs of all tiles; None, and no further tile is made, once they are more than the limit."""
    parts, total = [(np.empty(0, dtype=np.int64),) * 2], 0
    for tile in tiles:
        parts.append(tile)
        total += len(tile[0])
        if total > limit:
            return None
    rows, columns = zip(*parts, strict=True)
    return np.concatenate(rows), np.concatenate(columns)
