"""Transport on the line: sorted points in sorted order, whatever the convex cost of a distance."""

import math

import numpy as np

from kd2m_theory.arrays import Float64, Int64
from kd2m_theory.estimators.ground import EPS, TINY
from kd2m_theory.side_by_side import by_rows

# Distance from a line, relative to its length, that is rounding.
_OFF = 1e-13
# Coordinates that are looked at together.
_BLOCK = 2**20


def along_a_line(x: Float64, y: Float64, a: Float64, b: Float64) -> tuple[Float64, Float64, float] | None:
    """Where the points of both clouds lie along the line that they are on, and how far off it they are on average.

    Args:
        x: n × d.
        y: m × d.
        a: n probability weights.
        b: m probability weights.

    Returns:
        n and m numbers whose differences are distances, and ε: W_p of the numbers is within ε of that of the points, for p = 1
        and 2, by the triangle inequality. None if the points are not on a line but for rounding.
    """
    origin = x[0]
    reach = [by_rows(lambda part: np.abs(part - origin).max(axis=1), points) for points in (x, y)]
    far = int(reach[1].max() > reach[0].max())
    direction = (x, y)[far][int(reach[far].argmax())] - origin
    length = float(np.linalg.norm(direction))
    if not length > 0:
        return None
    direction = direction / length
    places, off = [], 0.0
    block = max(1, _BLOCK // x.shape[1])
    for points, weights in ((x, a), (y, b)):
        place, distance = np.empty(len(points)), np.empty(len(points))
        for start in range(0, len(points), block):
            part = slice(start, start + block)
            apart = points[part] - origin
            place[part] = apart @ direction
            apart -= place[part, None] * direction
            distance[part] = np.linalg.norm(apart, axis=1)
            if not (distance[part] <= _OFF * length).all():
                return None
        places.append(place)
        # Root mean square, which is above the mean; places and distances are rounded, as is the length of the direction.
        off += math.sqrt(float(weights @ distance**2)) + 8 * (x.shape[1] + 4) * EPS * length
    return places[0], places[1], off


def monotone_coupling(x: Float64, y: Float64, a: Float64, b: Float64) -> tuple[Int64, Int64, Float64]:
    """The plan that moves mass in the order of the points: rows, columns and masses.

    Args:
        x: n numbers.
        y: m numbers.
        a: n positive weights that add up to 1.
        b: m positive weights that add up to 1.

    Example:
        >>> [part.tolist() for part in monotone_coupling(
        ...     np.array([3.0, 1.0]), np.array([0.0, 5.0, 9.0]), np.full(2, 0.5), np.array([0.5, 0.25, 0.25]))]
        [[1, 0, 0], [0, 1, 2], [0.5, 0.25, 0.25]]
    """
    rows, columns, mass, _ = _coupling(x, y, a, b)
    return rows, columns, mass


def _coupling(x: Float64, y: Float64, a: Float64, b: Float64) -> tuple[Int64, Int64, Float64, bool]:
    """The same, and whether each mass moves to one of its size, so that none is cut."""
    rows, columns = np.argsort(x, kind="stable"), np.argsort(y, kind="stable")
    if len(x) == len(y) and (a == a[0]).all() and (b == b[0]).all():
        return rows, columns, np.full(len(x), 1.0 / len(x)), True
    if np.array_equal(a[rows], b[columns]):
        return rows, columns, a[rows], True
    ends_a, ends_b = _sums(a[rows]), _sums(b[columns])
    ends_a, ends_b = ends_a / ends_a[-1], ends_b / ends_b[-1]
    cuts = np.sort(np.concatenate((ends_a, ends_b)), kind="stable")  # which merges what is sorted
    mass = np.diff(cuts, prepend=np.longdouble(0.0)).astype(np.float64)
    kept = mass > 0
    before = np.concatenate((np.zeros(1, dtype=np.longdouble), cuts[:-1]))
    middle = ((before + cuts) / 2)[kept]
    i = np.minimum(np.searchsorted(ends_a, middle, side="right"), len(x) - 1)
    j = np.minimum(np.searchsorted(ends_b, middle, side="right"), len(y) - 1)
    return rows[i], columns[j], mass[kept], False


def _sums(weights: Float64) -> "np.ndarray[tuple[int], np.dtype[np.longdouble]]":
    """Sums of the first weights in extended precision, in blocks: each is of no more than `_terms` roundings."""
    block = _block(len(weights))
    padded = np.zeros(-(-len(weights) // block) * block, dtype=np.longdouble)
    padded[: len(weights)] = weights
    within = np.cumsum(padded.reshape(-1, block), axis=1)
    before = np.concatenate((np.zeros(1, dtype=np.longdouble), np.cumsum(within[:-1, -1])))
    return (within + before[:, None]).ravel()[: len(weights)]


def _block(count: int) -> int:
    return math.isqrt(count - 1) + 1


def _terms(count: int) -> int:
    return _block(count) + -(-count // _block(count)) + 2


def line_cost(x: Float64, y: Float64, a: Float64, b: Float64, p: int) -> tuple[float, float]:
    """A lower and an upper bound on the least mean |x − y|^p, p = 1 or 2. Arguments as `monotone_coupling`.

    Source: the rearrangement inequality; the monotone plan is optimal for every convex function of x − y.

    Example:
        >>> low, high = line_cost(np.array([0.0, 2.0]), np.array([3.0, 1.0]), np.full(2, 0.5), np.full(2, 0.5), 2)
        >>> low <= 1.0 <= high, high - low < 1e-13
        (True, True)
    """
    rows, columns, mass, whole = _coupling(x, y, a, b)
    moved = np.abs(x[rows] - y[columns])
    costs = moved**p
    cost = math.fsum(mass * costs)
    exchanged = 0.0
    if not whole:
        # Where mass is cut is right to the roundings of sums and weights. Between cuts that fall together, or change places,
        # there may be pairs that no sum sees; along all of them x − y varies by no more than both clouds reach.
        cut = (_terms(len(x)) + _terms(len(y))) * float(np.finfo(np.longdouble).eps) + 4 * EPS
        furthest = max(float(x.max() - y.min()), float(y.max() - x.min()))
        exchanged = cut * float(np.ptp(x) + np.ptp(y)) * (1.0 if p == 1 else 2 * furthest) * (1 + 8 * EPS)
    # Products may have lost a TINY each; those of exact zeros have not.
    error = 40 * EPS * cost + exchanged + ((len(rows) + 1) * TINY if moved.any() else 0.0)
    return max(0.0, cost - error), cost + error
