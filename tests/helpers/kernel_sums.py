"""Kernels from their definitions, and MMD by loops over them."""

import math
from typing import Any

import numpy as np
import pytest

from kd2m_theory.estimators.kernels import RBF, Energy, Laplace, Linear, Polynomial, RBFMixture

EVERY = {
    "linear": Linear(),
    "polynomial": Polynomial(3, 0.5, 0.7),
    "rbf": RBF(1.3),
    "rbf mixture": RBFMixture((0.4, 1.0, 5.0)),
    "laplace": Laplace(1.3),
    "energy": Energy(),
}
ORACLE: dict[str, Any] = {
    "linear": lambda x, y: float(sum(a * b for a, b in zip(x, y, strict=True))),
    "polynomial": lambda x, y: (0.7 * sum(a * b for a, b in zip(x, y, strict=True)) + 0.5) ** 3,
    "rbf": lambda x, y: math.exp(-(math.dist(x, y) ** 2) / (2 * 1.3**2)),
    "rbf mixture": lambda x, y: sum(math.exp(-(math.dist(x, y) ** 2) / (2 * s**2)) for s in (0.4, 1.0, 5.0)) / 3,
    "laplace": lambda x, y: math.exp(-math.dist(x, y) / 1.3),
    "energy": lambda x, y: 0.5 * (math.hypot(*x) + math.hypot(*y) - math.dist(x, y)),
}
every_kernel = pytest.mark.parametrize("name", EVERY)


def squared_by_loops(x: Any, y: Any, name: str, a: Any = None, b: Any = None) -> float:
    a = np.full(len(x), 1 / len(x)) if a is None else a
    b = np.full(len(y), 1 / len(y)) if b is None else b
    terms = [
        sign * s * t * ORACLE[name](p, q)
        for sign, left, right, u, v in ((1, x, x, a, a), (1, y, y, b, b), (-2, x, y, a, b))
        for p, s in zip(left, u, strict=True)
        for q, t in zip(right, v, strict=True)
    ]
    return math.fsum(terms)


def size_of(name: str, x: Any, y: Any) -> float:
    """What the terms of the sum amount to: rounding is relative to it."""
    return max(abs(ORACLE[name](p, p)) for p in (*x, *y)) + max(math.dist(p, q) for p in x for q in y) + 1e-300


def unbiased_by_loops(x: Any, y: Any, name: str, paired: bool) -> float:
    k = ORACLE[name]
    n, m = len(x), len(y)
    within_x = math.fsum(k(x[i], x[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    within_y = math.fsum(k(y[i], y[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    between = [k(x[i], y[j]) for i in range(n) for j in range(m) if not (paired and i == j)]
    return within_x + within_y - 2 * math.fsum(between) / len(between)
