"""Hostile transport problems: is the exact value inside the certified interval?"""

from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from math import isnan
from typing import Any

import numpy as np

from kd2m_theory.estimators import VertexNorm, conditional_wasserstein, joint_wasserstein, wasserstein
from kd2m_theory.estimators.enclosure import Enclosure
from kd2m_theory.validation.evidence import tiles
from kd2m_theory.validation.evidence.exact_transport import (
    Exact,
    largest_difference,
    least_mean,
    logits,
    masses,
    on_the_line,
    powers,
    roots,
    squared_distance,
    whole,
)
from kd2m_theory.validation.evidence.suite import Case, Suite
from kd2m_theory.validation.evidence.transport_problems import CAPS, GEOMETRIES, SCALES, WEIGHTS, clouds, weights


class Drawn:
    """A problem, and its answer as an interval of W_p^p."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.geometry, self.scale = str(rng.choice(list(GEOMETRIES))), str(rng.choice(list(SCALES), p=[0.55, 0.15, 0.15, 0.15]))
        self.weighting, self.cap = str(rng.choice(WEIGHTS)), str(rng.choice(list(CAPS), p=[0.7, 0.15, 0.15]))
        self.p = int(rng.integers(1, 3))
        largest = 25 if rng.random() < 0.1 else 9
        self.n = int(rng.integers(1, largest))
        self.m = int(rng.integers(1, largest)) if self.weighting != WEIGHTS[0] else self.n
        self.pivots = CAPS[self.cap]

    def clouds(self, d: int) -> tuple[Any, Any]:
        """Two clouds."""
        return clouds(self.rng, self.geometry, self.scale, self.n, self.m, d)

    def weights(self) -> tuple[Any, Any]:
        """Weights of both clouds."""
        return weights(self.rng, self.weighting, self.n), weights(self.rng, self.weighting, self.m)


Problem = Callable[[Drawn], tuple[Callable[[], Enclosure], Callable[[], Exact], int]]


def _euclidean(drawn: Drawn) -> tuple[Callable[[], Enclosure], Callable[[], Exact], int]:
    (x, y), (a, b) = drawn.clouds(int(drawn.rng.integers(1, 7))), drawn.weights()
    return (
        lambda: wasserstein(x, y, drawn.p, weights_x=a, weights_y=b, max_pivots=drawn.pivots),
        lambda: powers(x, y, drawn.p, masses(a, drawn.n), masses(b, drawn.m)),
        drawn.p,
    )


def _squared(drawn: Drawn) -> tuple[Callable[[], Enclosure], Callable[[], Exact], int]:
    (x, y), (a, b) = drawn.clouds(int(drawn.rng.integers(1, 7))), drawn.weights()
    return (
        lambda: wasserstein(x, y, 1, "sqeuclidean", a, b, max_pivots=drawn.pivots),
        lambda: powers(x, y, 2, masses(a, drawn.n), masses(b, drawn.m)),
        1,
    )


def _line(drawn: Drawn) -> tuple[Callable[[], Enclosure], Callable[[], Exact], int]:
    """Many points on a line, where quantiles give the answer."""
    drawn.n, drawn.m = (int(drawn.rng.integers(1, 120)) for _ in range(2))
    if drawn.weighting == WEIGHTS[0]:
        drawn.m = drawn.n
    (x, y), (a, b) = drawn.clouds(1), drawn.weights()

    def exact() -> Exact:
        value = on_the_line(x[:, 0], y[:, 0], masses(a, drawn.n), masses(b, drawn.m), drawn.p)
        return Exact(value, value)

    return lambda: wasserstein(x, y, drawn.p, weights_x=a, weights_y=b, max_pivots=drawn.pivots), exact, drawn.p


def _vertex(drawn: Drawn) -> tuple[Callable[[], Enclosure], Callable[[], Exact], int]:
    """The norm that the head sees: of features, or of logits."""
    d, classes = int(drawn.rng.integers(2, 6)), int(drawn.rng.integers(2, 5))
    (x, y), (a, b) = drawn.clouds(d), drawn.weights()
    weight = None if drawn.rng.random() < 0.5 else drawn.rng.normal(size=(classes, d)) * 10.0 ** drawn.rng.uniform(-3, 3)
    label = int(drawn.rng.integers(d if weight is None else classes))

    def exact() -> Exact:
        if weight is None:
            (first, second), exponent = whole(x, y)
        else:
            (head, *points), exponent = whole(weight, x, y)
            first, second = (logits(head, each) for each in points)
            exponent *= 2
        norm = largest_difference(label)
        costs = [[norm(u, v) ** drawn.p for v in second] for u in first]
        value = least_mean(costs, masses(a, drawn.n), masses(b, drawn.m)) / Fraction(2) ** (exponent * drawn.p)
        return Exact(value, value)

    ground = VertexNorm(weight, label)
    return lambda: wasserstein(x, y, drawn.p, ground, a, b, max_pivots=drawn.pivots), exact, drawn.p


def _conditional(drawn: Drawn) -> tuple[Callable[[], Enclosure], Callable[[], Exact], int]:
    """Class by class, weighted by frequency or equally."""
    frequency = drawn.rng.random() < 0.5
    drawn.n = int(drawn.rng.integers(2, 12))
    labels_x = drawn.rng.integers(0, 3, drawn.n)
    times = int(drawn.rng.integers(1, 3))  # n ≠ m with the same shares
    labels_y = np.tile(labels_x, times)
    if not frequency:
        labels_y = np.concatenate((labels_y, drawn.rng.choice(labels_x, int(drawn.rng.integers(0, 4)))))
    labels_y = drawn.rng.permutation(labels_y)
    drawn.m = len(labels_y)
    drawn.weighting = WEIGHTS[0] if drawn.m == drawn.n else WEIGHTS[1]
    x, y = drawn.clouds(int(drawn.rng.integers(1, 5)))
    known = sorted(set(labels_x.tolist()))

    def exact() -> Exact:
        total = Exact(Fraction(0), Fraction(0))
        for label in known:
            first, second = x[labels_x == label], y[labels_y == label]
            part = powers(first, second, drawn.p, masses(None, len(first)), masses(None, len(second)))
            total += part.times(Fraction(len(first), drawn.n) if frequency else Fraction(1, len(known)))
        return total

    words = "frequency" if frequency else "uniform"
    return (
        lambda: conditional_wasserstein(x, y, labels_x, labels_y, drawn.p, words, max_pivots=drawn.pivots),  # type: ignore[arg-type]
        exact,
        drawn.p,
    )


def _joint(drawn: Drawn) -> tuple[Callable[[], Enclosure], Callable[[], Exact], int]:
    """Features and classes together, or features and given label costs."""
    (x, y), (a, b) = drawn.clouds(int(drawn.rng.integers(1, 5))), drawn.weights()
    beta = float(drawn.rng.choice([0.0, 0.25, 1.0, 1e3, 1e-9]))
    labels_x, labels_y = (drawn.rng.integers(0, 3, size) for size in (drawn.n, drawn.m))
    given = drawn.rng.random() < 0.4
    costs = np.abs(drawn.rng.normal(size=(drawn.n, drawn.m))) if given else (labels_x[:, None] != labels_y).astype(float)

    def exact() -> Exact:
        (first, second), exponent = whole(x, y)
        extra = [[Fraction(beta) * Fraction(float(each)) for each in row] for row in costs]
        supply, demand = masses(a, drawn.n), masses(b, drawn.m)
        squares = [[squared_distance(u, v) for v in second] for u in first]
        if drawn.p == 1:
            return roots(squares, exponent, supply, demand, extra)
        unit = 4**exponent * max(each.denominator for row in extra for each in row)  # all are powers of two
        sums = [
            [square * unit // 4**exponent + int(each * unit) for square, each in zip(*row, strict=True)]
            for row in zip(squares, extra, strict=True)
        ]
        value = least_mean(sums, supply, demand) / unit
        return Exact(value, value)

    more: Mapping[str, Any] = {"label_cost": costs} if given else {"labels_x": labels_x, "labels_y": labels_y}
    return (
        lambda: joint_wasserstein(x, y, p=drawn.p, beta=beta, weights_x=a, weights_y=b, max_pivots=drawn.pivots, **more),
        exact,
        drawn.p,
    )


def _on_tiles(drawn: Drawn) -> tuple[Callable[[], Enclosure], Callable[[], Exact], int]:
    """A small problem that goes the way of a large one."""
    estimate, exact, p = _euclidean(drawn)

    def there() -> Enclosure:
        with tiles.on_tiles():
            return estimate()

    return there, exact, p


KINDS: Mapping[str, Problem] = {
    "euclidean": _euclidean,
    "squared euclidean": _squared,
    "on the line, up to 120 points": _line,
    "vertex norm": _vertex,
    "class by class": _conditional,
    "features and labels": _joint,
    "on tiles": _on_tiles,
}
# One problem of so many is larger: its certificate on tiles is checked.
_LARGER = 12


def examine(rng: np.random.Generator) -> Iterator[Case]:
    """One problem."""
    if rng.integers(_LARGER) == 0:
        yield from tiles.examine(rng)
        return
    drawn, kind = Drawn(rng), str(rng.choice(list(KINDS)))
    estimate, exact, p = KINDS[kind](drawn)
    strata = {
        "kind": kind,
        "geometry": drawn.geometry,
        "p": str(drawn.p),
        "scale": drawn.scale,
        "weights": drawn.weighting,
        "cap of the solver": drawn.cap,
    }
    try:
        found = estimate()
    except Exception as error:
        yield Case(strata, f"raises {type(error).__name__}: {error}")
        return
    yield Case({**strata, "status": found.status}, verdict(found, exact(), p))


def verdict(found: Enclosure, truth: Exact, p: int) -> str:
    """What is wrong with an interval of W_p whose p-th power is known; empty if nothing is."""
    if isnan(found.lower) or isnan(found.upper) or found.lower > found.upper:
        return f"[{found.lower!r}, {found.upper!r}] is not an interval"
    if found.lower > 0 and Fraction(found.lower) ** p > truth.high:
        return f"lower {found.lower!r} exceeds the exact value {_root(truth.high, p)}"
    if found.upper < float("inf") and Fraction(found.upper) ** p < truth.low:
        return f"the exact value {_root(truth.low, p)} exceeds upper {found.upper!r}"
    return ""


def _root(value: Fraction, p: int) -> str:
    import mpmath

    with mpmath.workdps(40):
        return str(mpmath.nstr(mpmath.root(mpmath.mpf(value.numerator) / value.denominator, p), 25))


def warm_up() -> None:
    """Load the solvers."""
    wasserstein([[0.0], [1.0]], [[0.5]])
    with tiles.on_tiles():
        wasserstein([[0.0, 1.0], [1.0, 3.0], [2.0, 0.0]], [[0.5, 0.0], [7.0, 1.0]])


_MODULES = ("transport", "transport_problems", "exact_transport", "tiles")

SUITE = Suite(
    name="transport",
    claim="The exact transport distance of two weighted samples lies in the certified interval, whatever points and cap are.",
    oracle=(
        "Successive shortest paths in whole numbers of any size (float64 points are whole numbers times a power of two), and "
        "quantiles in rational numbers on the line; roots to 160 binary digits."
    ),
    case="one problem",
    blocks=120,
    items=250,
    seconds=900.0,
    memory=2**31,
    modules=tuple(f"kd2m_theory.validation.evidence.{name}" for name in _MODULES),
    examine=examine,
    warm_up=warm_up,
)
