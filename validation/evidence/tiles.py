"""Transport on tiles: small problems with an exact answer, and larger ones whose certificate another computation checks.

Clouds are put on tiles whatever their size, with tiles of few pairs and every level of potentials, so that a problem of a few
points goes all the way of one of 100,000. Larger problems have two oracles that share no code with tiles: the enclosure of the
solvers on all costs, and the c-transform, by SciPy's distances in float64, of the potentials that are said to prove the lower
bound.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from kd2m_theory.arrays import Float64
from kd2m_theory.estimators import between_clouds, wasserstein
from kd2m_theory.estimators.enclosure import CLOSED
from kd2m_theory.estimators.ground import unit_costs
from kd2m_theory.estimators.scale import in_unit, shifted_down, shifted_up
from kd2m_theory.estimators.transport import optimal_cost
from kd2m_theory.validation.evidence.suite import Case
from kd2m_theory.validation.evidence.transport_problems import CAPS, GEOMETRIES, WEIGHTS, weights
from kd2m_theory.validation.evidence.workers import within_memory

# Sizes of tiles and levels while `on_tiles` holds; the first alone where a problem is large enough for the others.
_SMALL: Mapping[str, int] = {"ROWS": 8, "COLUMNS": 6, "_SMALLEST": 10}
# One problem of so many has up to `_LARGE` points a cloud, the others up to `_MEDIUM`.
_SELDOM, _MEDIUM, _LARGE = 40, 300, 4000
# One problem of so many is a size goal: minutes.
_GOALS = 150
# Sums of float64 in another order.
_ROUNDED = 1e-12

SCALES: Mapping[str, float] = {"1": 1.0, "1e-150": 1e-150, "1e150": 1e150}
Pair = Callable[[np.random.Generator, int, int], tuple[Float64, Float64]]


def _equal(rng: np.random.Generator, n: int, d: int) -> tuple[Float64, Float64]:
    x = rng.normal(size=(n, d))
    return x, rng.permutation(x)


def _one_more(rng: np.random.Generator, n: int, d: int) -> tuple[Float64, Float64]:
    x = rng.normal(size=(n, d))
    return x, rng.permutation(x[: max(1, n - 1)])


def _tiny_clusters(rng: np.random.Generator, n: int, d: int) -> tuple[Float64, Float64]:
    """As many clusters as a third of the points, up to 1,000, each a millionth as wide as they are apart."""
    centres = rng.normal(size=(min(1000, max(1, n // 3)), d))
    x, y = (centres[rng.integers(0, len(centres), n)] + 1e-6 * rng.normal(size=(n, d)) for _ in range(2))
    return x, y


def _far(rng: np.random.Generator, n: int, d: int) -> tuple[Float64, Float64]:
    return rng.normal(size=(n, d)), GEOMETRIES["one far point"](rng, n, d)


PAIRS: Mapping[str, Pair] = {
    "equal clouds": _equal,
    "one point more": _one_more,
    "tiny clusters": _tiny_clusters,
    "one far point in one cloud": _far,
}


@dataclass(frozen=True)
class Goal:
    """A size that has to be solved within some memory.

    Attributes:
        n: points of the first cloud.
        m: points of the second.
        d: dimensions.
        classes: around whose centres the points lie.
        p: 1 or 2.
        weighted: whether weights are drawn.
        gigabytes: that the whole process may have at most, the clouds included.
    """

    n: int
    m: int
    d: int
    classes: int
    p: int
    weighted: bool
    gigabytes: float


GOALS: Mapping[str, Goal] = {
    "W₂, n = 10,000": Goal(n=10_000, m=10_000, d=512, classes=10, p=2, weighted=False, gigabytes=1.1),
    "W₂, n = 50,000, 10 classes": Goal(n=50_000, m=50_000, d=512, classes=10, p=2, weighted=False, gigabytes=3.0),
    "W₂, n = 50,000, 1,000 classes": Goal(n=50_000, m=50_000, d=512, classes=1000, p=2, weighted=False, gigabytes=3.0),
    "W₁, n = 20,000, m = 15,000, weights": Goal(n=20_000, m=15_000, d=512, classes=10, p=1, weighted=True, gigabytes=2.0),
    "W₂ on the line, n = 1,000,000": Goal(n=1_000_000, m=1_000_000, d=1, classes=10, p=2, weighted=False, gigabytes=1.0),
}


def reach(name: str, goal: Goal, rng: np.random.Generator) -> Case:
    """Whether a problem of this size is solved to nine digits with no more memory than that."""
    strata = {"kind": "size goal", "goal": name, "p": str(goal.p)}
    centres = rng.normal(size=(goal.classes, goal.d))
    x, y = (
        centres[rng.integers(0, goal.classes, size)] + spread * rng.normal(size=(size, goal.d))
        for size, spread in ((goal.n, 1.0), (goal.m, 1.06))
    )
    a, b = (rng.exponential(size=len(points)) if goal.weighted else None for points in (x, y))
    a, b = (None if each is None else each / each.sum() for each in (a, b))
    try:
        with within_memory(int(goal.gigabytes * 1e9)):
            found = wasserstein(x, y, goal.p, weights_x=a, weights_y=b)
    except MemoryError:
        return Case(strata, f"needs more than {goal.gigabytes:g} GB")
    return Case({**strata, "status": found.status}, "" if found.status == "optimal" else f"{found!r}: {found.method}")


@contextmanager
def on_tiles(small: bool = True) -> Iterator[None]:
    """Within it clouds off the line are put on tiles.

    Args:
        small: whether tiles and levels are those of small problems.
    """
    from kd2m_theory.estimators.large import clouds, levels

    changed: list[tuple[Any, str, int]] = [(between_clouds, "STORED", 0)]
    if small:
        changed += [(clouds if name in ("ROWS", "COLUMNS") else levels, name, value) for name, value in _SMALL.items()]
    before = [getattr(owner, name) for owner, name, _ in changed]
    for owner, name, value in changed:
        setattr(owner, name, value)
    try:
        yield
    finally:
        for (owner, name, _), value in zip(changed, before, strict=True):
            setattr(owner, name, value)


def examine(rng: np.random.Generator) -> Iterator[Case]:
    """One larger problem, and at times one of the largest within the memory that it may have."""
    if not rng.integers(_GOALS):
        name = str(rng.choice(list(GOALS)))
        yield reach(name, GOALS[name], rng)
        return
    seldom = not rng.integers(_SELDOM)
    n = int(np.exp(rng.uniform(np.log(20), np.log(_LARGE if seldom else _MEDIUM))))
    d, p = int(rng.choice([2, 3, 8, 64])), int(rng.integers(1, 3))
    geometry = str(rng.choice([*GEOMETRIES, *PAIRS]))
    scale, cap = str(rng.choice(list(SCALES))), str(rng.choice(list(CAPS), p=[0.8, 0.1, 0.1]))
    if geometry in PAIRS:
        x, y = PAIRS[geometry](rng, n, d)
    else:
        x, y = (GEOMETRIES[geometry](rng, size, d) for size in (n, int(n * rng.uniform(0.7, 1.3)) + 1))
    weighting = str(rng.choice(WEIGHTS[1:4]))
    a, b = (_positive(weights(rng, weighting, len(points)), len(points)) for points in (x, y))
    strata = {"kind": "certificate on tiles", "geometry": geometry, "p": str(p), "scale": scale, "weights": weighting}
    strata |= {"cap of the solver": cap, "points": "up to 300" if len(x) <= _MEDIUM else "more than 300"}
    try:
        yield from _certified(x * SCALES[scale], y * SCALES[scale], p, a, b, CAPS[cap], strata, small=len(x) <= _MEDIUM)
    except Exception as error:
        yield Case(strata, f"raises {type(error).__name__}: {error}")


def _positive(drawn: Any, n: int) -> Float64:
    values: Float64 = np.full(n, 1.0 / n) if drawn is None else drawn
    return values


def _certified(
    x: Float64, y: Float64, p: int, a: Float64, b: Float64, pivots: int, strata: Mapping[str, str], *, small: bool
) -> Iterator[Case]:
    from kd2m_theory.estimators.large.solver import transport

    (x, y), _ = in_unit(x, y)
    with on_tiles(small):
        found = transport(x, y, p, a, b, target=CLOSED, max_pivots=pivots)
    strata = {**strata, "status": "capped" if found.reason else "optimal"}
    costs, exponent = unit_costs(x, y, "euclidean", p)
    all_pairs = optimal_cost(costs, a, b)
    low, high = shifted_down(all_pairs.lower, exponent), shifted_up(all_pairs.upper, exponent)
    words = ""
    if not found.lower <= found.upper:
        words = f"[{found.lower!r}, {found.upper!r}] is not an interval"
    elif found.lower > high or found.upper < low:
        words = f"[{found.lower!r}, {found.upper!r}] does not meet [{low!r}, {high!r}] of all pairs"
    elif found.potentials is not None:
        proved, size = c_transform(x, y, p, a, b, found.potentials[1])
        if found.lower > proved + _ROUNDED * size:
            words = f"lower {found.lower!r} exceeds {proved!r}, which its potentials prove"
    yield Case(strata, words)


def c_transform(x: Float64, y: Float64, p: int, a: Float64, b: Float64, g: Float64) -> tuple[float, float]:
    """⟨a, f⟩ + ⟨b, g⟩ with f_i = min_j C_ij − g_j from all pairs, and the size of what was added."""
    from scipy.spatial.distance import cdist

    f = np.empty(len(x))
    for start in range(0, len(x), 512):
        part = slice(start, start + 512)
        f[part] = (cdist(x[part], y) ** p - g).min(axis=1)
    terms = np.concatenate((a * f, b * g))
    return math.fsum(terms), math.fsum(np.abs(terms)) + float(np.abs(g).max())
