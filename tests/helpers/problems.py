"""Random problems, and answers that do not come from the code under test."""

from dataclasses import dataclass
from fractions import Fraction
from itertools import permutations
from typing import Any

import numpy as np
from hypothesis import strategies as st
from scipy.optimize import linprog

from kd2m_theory import Pair
from kd2m_theory.estimators import VertexNorm

# Every branch of the ground costs: name, order, and whether the result is a metric.
BRANCHES = {
    "euclidean, p=1": ("euclidean", 1),
    "euclidean, p=2": ("euclidean", 2),
    "squared euclidean": ("sqeuclidean", 1),
    "vertex norm, p=1": ("vertex", 1),
    "vertex norm, p=2": ("vertex", 2),
    "vertex norm on logits": ("logits", 1),
}
WEIGHTINGS = ("equal", "unequal sizes", "random weights", "some weights zero")


@dataclass(frozen=True)
class Clouds:
    """Three weighted clouds in one space."""

    points: tuple[np.ndarray, np.ndarray, np.ndarray]
    weights: tuple[Any, Any, Any]
    weighting: str

    def keywords(self, i: int, j: int) -> dict[str, Any]:
        return {"weights_x": self.weights[i], "weights_y": self.weights[j]}


def ground_of(name: str, dimension: int, seed: int = 0) -> Any:
    if name == "vertex":
        return VertexNorm(np.random.default_rng(seed).normal(size=(4, dimension)), label=seed % 4)
    return VertexNorm(label=0) if name == "logits" else name


@st.composite
def clouds(draw: st.DrawFn, weighting: str, least_dimension: int = 1) -> Clouds:
    """Three clouds: generic, clustered on few points, or on a grid with ties; sizes from one point up."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    size = draw(st.integers(1, 12))
    dimension = draw(st.integers(least_dimension, 5))
    kind = draw(st.sampled_from(["generic", "duplicates", "grid", "far"]))
    sizes = [size] * 3 if weighting == "equal" else [draw(st.integers(1, 12)) for _ in range(3)]
    points = []
    for k, n in enumerate(sizes):
        cloud = rng.normal(size=(n, dimension))
        if kind == "duplicates":
            cloud = cloud[rng.integers(0, max(1, n // 3), n)]
        elif kind == "grid":
            cloud = rng.integers(-2, 3, size=(n, dimension)).astype(float)
        elif kind == "far":
            cloud += 100.0 * k
        points.append(cloud)
    weights: list[Any] = [None] * 3
    if weighting in ("random weights", "some weights zero"):
        for k, n in enumerate(sizes):
            weight = rng.exponential(size=n)
            if weighting == "some weights zero":
                weight *= rng.random(n) < 0.6
                weight[rng.integers(n)] = 1.0
            weights[k] = weight / weight.sum()
    return Clouds(tuple(points), tuple(weights), weighting)


def costs_of(x: np.ndarray, y: np.ndarray, ground: Any, p: int) -> np.ndarray:
    """Ground costs written from their definition, one difference at a time."""
    difference = x[:, None, :] - y[None, :, :]
    if isinstance(ground, VertexNorm):
        change = difference if ground.weight is None else difference @ ground.weight.T
        norm = np.abs(change - change[..., [ground.label]]).max(axis=-1)
    else:
        norm = np.sqrt((difference**2).sum(axis=-1))
    return norm ** (2 if ground == "sqeuclidean" else p)


def linear_program(costs: np.ndarray, a: np.ndarray, b: np.ndarray) -> float:
    """Least transport cost by HiGHS: another algorithm in another library."""
    n, m = costs.shape
    rows = np.kron(np.eye(n), np.ones(m))
    columns = np.kron(np.ones(n), np.eye(m))
    result = linprog(costs.ravel(), A_eq=np.vstack((rows, columns)), b_eq=np.concatenate((a, b)), method="highs")
    assert result.success, result.message
    return float(result.fun)


def brute_force(costs: np.ndarray) -> float:
    """Least mean cost of a permutation, by trying all of them."""
    n = len(costs)
    return min(costs[np.arange(n), list(order)].mean() for order in permutations(range(n)))


def quantile_distance(x: np.ndarray, y: np.ndarray, a: np.ndarray, b: np.ndarray, p: int) -> float:
    """W_p on the line: the integral of |F⁻¹ − G⁻¹|^p over the merged steps of both distribution functions."""
    order_x, order_y = np.argsort(x), np.argsort(y)
    steps_x, steps_y = np.cumsum(a[order_x]), np.cumsum(b[order_y])
    steps = np.unique(np.concatenate(([0.0], steps_x, steps_y)).clip(0, 1))
    middle = (steps[1:] + steps[:-1]) / 2
    at_x = x[order_x][np.searchsorted(steps_x, middle).clip(max=len(x) - 1)]
    at_y = y[order_y][np.searchsorted(steps_y, middle).clip(max=len(y) - 1)]
    return float((np.diff(steps) * np.abs(at_x - at_y) ** p).sum() ** (1 / p))


def exact_line(x: Any, y: Any, a: Any, b: Any, p: int) -> Fraction:
    """W_p^p on the line in rational arithmetic, the weights divided by their exact sum: no rounding at all."""
    sides = []
    for points, weights in ((x, a), (y, b)):
        masses = [Fraction(1)] * len(points) if weights is None else [Fraction(float(w)) for w in weights]
        total = sum(masses)
        sides.append(sorted((Fraction(float(v)), mass / total) for v, mass in zip(points, masses, strict=True)))
    cost, (i, j), left = Fraction(0), (0, 0), [sides[0][0][1], sides[1][0][1]]
    while True:
        moved = min(left)
        cost += moved * abs(sides[0][i][0] - sides[1][j][0]) ** p
        left = [left[0] - moved, left[1] - moved]
        if left[0] == 0:
            i += 1
            if i == len(sides[0]):
                return cost
            left[0] = sides[0][i][1]
        if left[1] == 0:
            j += 1
            if j == len(sides[1]):
                return cost
            left[1] = sides[1][j][1]


@st.composite
def pairs(draw: st.DrawFn, **overrides: Any) -> Pair:
    """Pairs with a shared head and student logits of their own; scales from almost equal to far apart."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n, d, classes = draw(st.integers(2, 14)), draw(st.integers(1, 5)), draw(st.integers(2, 5))
    scale = draw(st.sampled_from([1e-3, 0.3, 1.0, 10.0]))
    move = draw(st.sampled_from([0.0, 1e-6, 0.1, 1.0, 5.0]))
    teacher = rng.normal(size=(n, d))
    student = teacher + move * rng.normal(size=(n, d))
    weight, bias = scale * rng.normal(size=(classes, d)), rng.normal(size=classes)
    arguments: dict[str, Any] = {
        "features_teacher": teacher,
        "features_student": student,
        "labels": rng.integers(0, classes, n),
        "logits_student": student @ weight.T + bias + move * rng.normal(size=(n, classes)),
        "head_weight": weight,
        "head_bias": bias,
    }
    return Pair(**(arguments | overrides))
