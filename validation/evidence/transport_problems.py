"""Transport problems that solvers get wrong: ties, duplicates, far points, tiny distances beside large ones, unequal masses."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from kd2m_theory.arrays import Float64

Cloud = Callable[[np.random.Generator, int, int], Float64]


def _generic(rng: np.random.Generator, n: int, d: int) -> Float64:
    return rng.normal(size=(n, d))


def _duplicates(rng: np.random.Generator, n: int, d: int) -> Float64:
    return rng.normal(size=(max(1, n // 3), d))[rng.integers(0, max(1, n // 3), n)]


def _collinear(rng: np.random.Generator, n: int, d: int) -> Float64:
    return np.outer(rng.normal(size=n), np.arange(1.0, d + 1))


def _grid(rng: np.random.Generator, n: int, d: int) -> Float64:
    return rng.integers(-2, 3, (n, d)).astype(np.float64)


def _near_ties(rng: np.random.Generator, n: int, d: int) -> Float64:
    """A grid whose points are a few roundings away from it."""
    return _grid(rng, n, d) * (1.0 + 2.0**-52 * rng.integers(-2, 3, (n, d)))


def _offset(rng: np.random.Generator, n: int, d: int) -> Float64:
    return 10.0 ** rng.integers(3, 13) + rng.normal(size=(n, d))


def _far_point(rng: np.random.Generator, n: int, d: int) -> Float64:
    points = rng.normal(size=(n, d))
    points[rng.integers(n)] *= 10.0 ** rng.uniform(3, 15)
    return points


def _mixed_sizes(rng: np.random.Generator, n: int, d: int) -> Float64:
    return rng.normal(size=(n, d)) * 10.0 ** rng.integers(-18, 18, (n, d))


def _heavy(rng: np.random.Generator, n: int, d: int) -> Float64:
    return rng.standard_cauchy((n, d)) ** 3


GEOMETRIES: Mapping[str, Cloud] = {
    "generic": _generic,
    "duplicates": _duplicates,
    "collinear": _collinear,
    "whole-number grid": _grid,
    "near ties": _near_ties,
    "common offset": _offset,
    "one far point": _far_point,
    "mixed sizes": _mixed_sizes,
    "heavy tails": _heavy,
}
SCALES: Mapping[str, float] = {"1": 1.0, "1e-60": 1e-60, "1e60": 1e60, "1e-170": 1e-170}
WEIGHTS = ("equal, n = m", "equal, n ≠ m", "random", "over 20 powers of ten", "some zero")
CAPS: Mapping[str, int] = {"none": 10_000_000, "3 pivots": 3, "1 pivot": 1}


def clouds(rng: np.random.Generator, geometry: str, scale: str, n: int, m: int, d: int) -> tuple[Float64, Float64]:
    """Two clouds of one geometry; sometimes the second has points of the first."""
    x, y = (GEOMETRIES[geometry](rng, size, d) for size in (n, m))
    if rng.random() < 0.3:
        shared = min(n, m, int(rng.integers(1, 4)))
        y[:shared] = x[:shared]
    return x * SCALES[scale], y * SCALES[scale]


def weights(rng: np.random.Generator, kind: str, n: int) -> Any:
    """Weights of n points, or None for equal ones."""
    if kind.startswith("equal"):
        return None
    values = {
        "random": rng.random(n) + 1e-3,
        "over 20 powers of ten": 10.0 ** rng.uniform(-20, 0, n),
        "some zero": rng.choice([0.0, 1.0, 0.3], n),
    }[kind]
    values[rng.integers(n)] = 1.0
    return values / values.sum()
