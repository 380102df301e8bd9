"""Kernels: one formula each, evaluated on NumPy blocks here and on torch tensors in the training losses.

A kernel is a function of inner products (`InnerKernel`) or of squared distances (`DistanceKernel`). Both come from one matrix
product; the second with cancellation, ‖x − y‖² = ‖x‖² + ‖y‖² − 2⟨x, y⟩, which is why distance kernels want centred points
and why pairs too close for the formula are computed again from their differences.
"""

import math
import sys
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from scipy.spatial.distance import cdist

from kd2m_theory.arrays import Float64, cloud, same_dimension
from kd2m_theory.checks import one_of, whole
from kd2m_theory.errors import InputError
from kd2m_theory.estimators.scale import in_unit, shifted

# Below this share of ‖x‖² + ‖y‖² the product formula has lost half of its digits: the difference is taken instead.
CLOSE = 1e-8
# Rows that are taken through the elementwise formula at once: a strip of them stays in cache.
STRIP = 64
# Points that a median bandwidth looks at: two million distances.
MEDIAN_POINTS = 2000


class Kernel(ABC):
    """A positive-definite kernel k(x, y) = ⟨φ(x), φ(y)⟩_H on R^d.

    Attributes:
        name: the word that `mmd` knows it by.
        shift_invariant: whether an MMD with it is unchanged when both clouds are translated together.
    """

    name: ClassVar[str]
    shift_invariant: ClassVar[bool]

    @property
    def bound(self) -> float | None:
        """K with 0 ≤ k ≤ K everywhere, or None where there is none."""
        return None

    @property
    def lipschitz(self) -> float | None:
        """Lip(φ): the least L with ‖φ(x) − φ(y)‖_H ≤ L‖x − y‖ for all x, y, or None where there is none."""
        return None

    @property
    def unit(self) -> tuple["Kernel", int | None, int]:
        """The same kernel on features divided by 2^e, in whose unit its formula is computed, as (kernel, e, degree).

        With e = None any unit serves: the kernel of c·x, c·y is c^degree times that of x, y. A kernel that does not say
        otherwise is computed in the unit of the features.
        """
        return self, 0, 0

    @abstractmethod
    def formula(self, values: Any, xp: Any) -> Any:
        """The kernel from inner products or squared distances; `xp` provides exp and sqrt for the array type."""

    def diagonal(self, x: Float64) -> Float64:
        """What `block` has at (x_i, x_i), for every point: n values."""
        return self.pairs(x, x)

    @abstractmethod
    def pairs(self, x: Float64, y: Float64) -> Float64:
        """What `block` has at (x_i, y_i), for two clouds of the same n points: n values."""

    @abstractmethod
    def block(self, x: Float64, y: Float64, norms_x: Float64 | None = None, norms_y: Float64 | None = None) -> Float64:
        """n × m kernel values from one matrix product of n × d and m × d points.

        Args:
            x: n × d float64 points; for a `shift_invariant` kernel, near the origin for full accuracy.
            y: m × d float64 points.
            norms_x: the n squared norms ‖x_i‖², if they are known.
            norms_y: the m squared norms ‖y_j‖², if they are known.
        """


class InnerKernel(Kernel):
    """A kernel that is a function of ⟨x, y⟩."""

    shift_invariant = False

    def pairs(self, x: Float64, y: Float64) -> Float64:
        """k(x_i, y_i)."""
        values: Float64 = self.formula(np.einsum("ij,ij->i", x, y), np)
        return values

    def block(self, x: Float64, y: Float64, norms_x: Float64 | None = None, norms_y: Float64 | None = None) -> Float64:
        """See `Kernel.block`; the norms are not needed."""
        values = x @ y.T
        for start in range(0, len(x), STRIP):
            strip = values[start : start + STRIP]
            strip[...] = self.formula(strip, np)
        return values


class DistanceKernel(Kernel):
    """A kernel that is a function of ‖x − y‖."""

    shift_invariant = True

    def pairs(self, x: Float64, y: Float64) -> Float64:
        """k(x_i, y_i)."""
        values: Float64 = self.formula(squared_norms(x - y), np)
        return values

    def block(self, x: Float64, y: Float64, norms_x: Float64 | None = None, norms_y: Float64 | None = None) -> Float64:
        """See `Kernel.block`."""
        norms_x = squared_norms(x) if norms_x is None else norms_x
        norms_y = squared_norms(y) if norms_y is None else norms_y
        values = x @ y.T
        for start in range(0, len(x), STRIP):
            rows = slice(start, start + STRIP)
            strip = values[rows]
            _to_squared_distances(strip, x[rows], y, norms_x[rows], norms_y)
            strip[...] = self.formula(strip, np)
        return values


class _UnitKernel(DistanceKernel):
    @property
    def bound(self) -> float:
        """1, attained at x = y."""
        return 1.0


@dataclass(frozen=True)
class Linear(InnerKernel):
    """⟨x, y⟩, whose MMD is the distance of the means: no bound, Lip(φ) = 1."""

    name: ClassVar[str] = "linear"
    # The kernel itself is not, but the distance of two means is.
    shift_invariant: ClassVar[bool] = True

    @property
    def lipschitz(self) -> float:
        """1: φ is the identity."""
        return 1.0

    @property
    def unit(self) -> tuple[Kernel, int | None, int]:
        """Any unit: ⟨cx, cy⟩ = c²⟨x, y⟩."""
        return self, None, 2

    def formula(self, values: Any, xp: Any) -> Any:
        """⟨x, y⟩ from ⟨x, y⟩."""
        return values


@dataclass(frozen=True)
class Polynomial(InnerKernel):
    """(scale·⟨x, y⟩ + offset)^degree: unbounded, and φ is Lipschitz on bounded sets only (unless degree = 1).

    Attributes:
        degree: whole number ≥ 1.
        offset: ≥ 0; the constant c of theorem T6, which needs it positive.
        scale: > 0.

    Raises:
        InputError: a parameter outside its range, for which the function is not a kernel.
    """

    degree: int = 2
    offset: float = 1.0
    scale: float = 1.0
    name: ClassVar[str] = "polynomial"

    def __post_init__(self) -> None:
        whole(self.degree, "degree", 1)
        if not (_is_finite(self.offset) and self.offset >= 0):
            raise InputError(f"offset is {self.offset!r}; a polynomial kernel needs a finite number ≥ 0")
        if not (_is_finite(self.scale) and self.scale > 0):
            raise InputError(f"scale is {self.scale!r}; a polynomial kernel needs a finite number > 0")

    @property
    def lipschitz(self) -> float | None:
        """√scale for degree 1; no constant holds on all of R^d for a higher degree."""
        return math.sqrt(self.scale) if self.degree == 1 else None

    def formula(self, values: Any, xp: Any) -> Any:
        """The polynomial of ⟨x, y⟩."""
        return (values * self.scale + self.offset) ** int(self.degree)


@dataclass(frozen=True)
class RBF(_UnitKernel):
    """exp(−‖x − y‖²/(2σ²)): K = 1, Lip(φ) = 1/σ (theory C6).

    Attributes:
        bandwidth: σ, in the unit of the features.

    Raises:
        InputError: a bandwidth that is not a positive number.
    """

    bandwidth: float
    name: ClassVar[str] = "rbf"

    def __post_init__(self) -> None:
        _check_bandwidth(self.bandwidth)

    @property
    def lipschitz(self) -> float:
        """1/σ, since ‖φ(x) − φ(y)‖² = 2 − 2k ≤ ‖x − y‖²/σ²; sharp as y → x."""
        return 1.0 / self.bandwidth

    @property
    def unit(self) -> tuple[Kernel, int | None, int]:
        """That of the bandwidth."""
        unit, exponent = math.frexp(self.bandwidth)
        return RBF(unit), exponent, 0

    def formula(self, values: Any, xp: Any) -> Any:
        """The kernel from ‖x − y‖²."""
        return xp.exp(values * -_half_inverse_square(self.bandwidth))


@dataclass(frozen=True)
class RBFMixture(_UnitKernel):
    """Mean of RBF kernels of several bandwidths: K = 1, Lip(φ)² = mean of 1/σ².

    Attributes:
        bandwidths: σ_1, σ_2, …, in the unit of the features.

    Raises:
        InputError: no bandwidth, or one that is not a positive number.
    """

    bandwidths: tuple[float, ...]
    name: ClassVar[str] = "rbf mixture"

    def __post_init__(self) -> None:
        try:
            bandwidths = tuple(self.bandwidths)
        except TypeError:
            raise InputError(f"bandwidths is {self.bandwidths!r}; give several, or use RBF(bandwidth)") from None
        if not bandwidths:
            raise InputError("bandwidths is empty; give at least one positive number")
        for bandwidth in bandwidths:
            _check_bandwidth(bandwidth)
        object.__setattr__(self, "bandwidths", bandwidths)

    @property
    def lipschitz(self) -> float:
        """√(mean of 1/σ²), since ‖φ(x) − φ(y)‖² is the mean of the components'."""
        return math.hypot(*(1.0 / bandwidth for bandwidth in self.bandwidths)) / math.sqrt(len(self.bandwidths))

    @property
    def unit(self) -> tuple[Kernel, int | None, int]:
        """That of the largest bandwidth."""
        exponent = math.frexp(max(self.bandwidths))[1]
        return RBFMixture(tuple(math.ldexp(bandwidth, -exponent) for bandwidth in self.bandwidths)), exponent, 0

    def formula(self, values: Any, xp: Any) -> Any:
        """The kernel from ‖x − y‖²."""
        total = xp.exp(values * -_half_inverse_square(self.bandwidths[0]))
        for bandwidth in self.bandwidths[1:]:
            total = total + xp.exp(values * -_half_inverse_square(bandwidth))
        return total / len(self.bandwidths)


@dataclass(frozen=True)
class Laplace(_UnitKernel):
    """exp(−‖x − y‖/σ) with the Euclidean norm (not the sum of absolute values): K = 1.

    Its feature map is not Lipschitz: ‖φ(x) − φ(y)‖² = 2 − 2k ≈ 2‖x − y‖/σ near the diagonal.

    Attributes:
        bandwidth: σ, in the unit of the features.

    Raises:
        InputError: a bandwidth that is not a positive number.
    """

    bandwidth: float
    name: ClassVar[str] = "laplace"

    def __post_init__(self) -> None:
        _check_bandwidth(self.bandwidth)

    @property
    def unit(self) -> tuple[Kernel, int | None, int]:
        """That of the bandwidth."""
        unit, exponent = math.frexp(self.bandwidth)
        return Laplace(unit), exponent, 0

    def formula(self, values: Any, xp: Any) -> Any:
        """The kernel from ‖x − y‖²."""
        return xp.exp(xp.sqrt(values) * (-1.0 / self.bandwidth))


@dataclass(frozen=True)
class Energy(DistanceKernel):
    """The distance-induced kernel ½(‖x‖ + ‖y‖ − ‖x − y‖): unbounded, and φ is Hölder of order ½, not Lipschitz.

    In an MMD, V or U, the terms in ‖x‖ and ‖y‖ cancel. `block`, `diagonal` and `pairs` therefore leave them out and hold
    −½‖x − y‖, which is not positive definite by itself but loses no digits to what cancels (Sejdinovic et al. 2013).
    MMD² is half of the squared energy distance 2E‖X − Y‖ − E‖X − X′‖ − E‖Y − Y′‖.
    """

    name: ClassVar[str] = "energy"

    @property
    def unit(self) -> tuple[Kernel, int | None, int]:
        """Any unit: distances scale as the features do."""
        return self, None, 1

    def formula(self, values: Any, xp: Any) -> Any:
        """−½‖x − y‖ from ‖x − y‖²."""
        return xp.sqrt(values) * -0.5


KERNELS = ("rbf", "linear", "polynomial", "laplace", "energy")


def kernel_of(kernel: str | Kernel, bandwidth: float | None, x: Float64, y: Float64) -> Kernel:
    """The kernel object for a name: bandwidths not given are the pooled median distance, the polynomial is (⟨x, y⟩ + 1)².

    Raises:
        InputError: unknown name, a bandwidth for a kernel that has none or brings its own, or a median distance of zero.
    """
    if not isinstance(kernel, str | Kernel):
        raise InputError(f"kernel is {kernel!r}; pass a name ({', '.join(map(repr, KERNELS))}) or a Kernel such as RBF(2.0)")
    if isinstance(kernel, str):
        kernel = one_of(kernel, KERNELS, "kernel")
        if kernel in ("rbf", "laplace"):
            kind: type[RBF] | type[Laplace] = RBF if kernel == "rbf" else Laplace
            return kind(median_bandwidth(x, y) if bandwidth is None else bandwidth)
        kernel = {"linear": Linear(), "polynomial": Polynomial(), "energy": Energy()}[kernel]
    if bandwidth is not None:
        raise InputError(f"bandwidth is {bandwidth!r}, but {kernel!r} does not take one from here; leave bandwidth out")
    return kernel


def median_bandwidth(x: Any, y: Any) -> float:
    """Median of the pairwise distances of the pooled sample, in the unit of the features.

    Above 2000 points, 2000 are taken at evenly spaced ranks along one fixed projection: a choice that depends neither on
    a seed nor on the order of the points, so that a permutation test with this bandwidth stays exact.

    Args:
        x: n × d points.
        y: m × d points.

    Raises:
        InputError: bad clouds, or a median of zero: at least half of the pairs coincide.

    Example:
        >>> median_bandwidth([[0.0], [1.0]], [[3.0]])
        2.0
    """
    x, y = cloud(x, "x"), cloud(y, "y")
    same_dimension(x, y)
    (x, y), exponent = in_unit(x, y)
    points = pooled(x, y, centred=True)
    if len(points) > MEDIAN_POINTS:
        direction = np.random.default_rng(0).standard_normal(points.shape[1])
        ranks = np.linspace(0, len(points) - 1, MEDIAN_POINTS).round().astype(np.int64)
        points = points[np.argsort(points @ direction, kind="stable")[ranks]]
    norms = squared_norms(points)
    squares = points @ points.T
    _to_squared_distances(squares, points, points, norms, norms)
    median = float(np.median(np.sqrt(squares[np.triu_indices(len(points), 1)])))
    if median == 0:
        raise InputError("the median distance is 0: all points coincide, or at least half of the pairs do; pass bandwidth=")
    median = shifted(median, exponent)
    if not 0 < median < math.inf:
        raise InputError(f"the median distance is {median:g} in float64; rescale the features")
    return median


def pooled(x: Float64, y: Float64, centred: bool) -> Float64:
    """Both clouds as one (n + m) × d array, shifted to their common mean if `centred`.

    Raises:
        InputError: points so large or so small that their squares leave float64.
    """
    points = np.concatenate((x, y))
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        if centred:
            points -= points.mean(axis=0)
        norms = squared_norms(points)
        largest = float(norms.max())
        if not (np.isfinite(norms).all() and 4 * largest < math.inf):
            raise InputError(
                f"squared distances overflow float64 (values up to {max(np.abs(x).max(), np.abs(y).max()):g}); "
                "rescale the features or the bandwidth"
            )
    if largest < 1e-280 and points.any():
        raise InputError(
            f"squared distances underflow float64 (deviations up to {np.abs(points).max():g}); "
            "rescale the features or the bandwidth"
        )
    return points


def squared_norms(x: Float64) -> Float64:
    """‖x_i‖² of every row."""
    norms: Float64 = np.einsum("ij,ij->i", x, x)
    return norms


def _to_squared_distances(inner: Float64, x: Float64, y: Float64, norms_x: Float64, norms_y: Float64) -> None:
    # In place. No clamp is needed afterwards: a value that rounding made negative is among the close ones.
    inner *= -2.0
    inner += norms_x[:, None]
    inner += norms_y
    if inner.min() >= CLOSE * (norms_x.max() + norms_y.max()):
        return
    rows, columns = np.nonzero(inner <= CLOSE * (norms_x[:, None] + norms_y))
    if 8 * len(rows) > inner.size:
        inner[...] = cdist(x, y, "sqeuclidean")
        return
    step = max(1, 1_000_000 // x.shape[1])
    for start in range(0, len(rows), step):
        i, j = rows[start : start + step], columns[start : start + step]
        inner[i, j] = squared_norms(x[i] - y[j])


def _half_inverse_square(bandwidth: float) -> float:
    """1/(2σ²), finite for every σ > 0: a squared distance of 0 has the kernel value 1."""
    square = bandwidth * bandwidth
    return min(0.5 / square, sys.float_info.max) if square else sys.float_info.max


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool) and math.isfinite(value)


def _check_bandwidth(bandwidth: Any) -> None:
    if not (_is_finite(bandwidth) and bandwidth > 0):
        raise InputError(f"bandwidth is {bandwidth!r}; give a positive number, or None for the median distance")
