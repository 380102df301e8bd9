"""Distances that can be fed batch by batch, on several machines, and merged: the same answer as in one go.

Each accumulator has `update(x, y)`, `merge(other)` and `compute()`, which returns an `Estimate`. All sums are float64, and
covariances are kept as triangular factors: nothing is a difference of large squares.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from kd2m_theory.arrays import Float64, cloud, same_dimension
from kd2m_theory.checks import one_of
from kd2m_theory.errors import InputError
from kd2m_theory.estimators.mixture import bures_squared, compact
from kd2m_theory.estimators.number import Estimate
from kd2m_theory.estimators.scale import exponent_of, shifted


@dataclass(frozen=True, eq=False)
class Moments:
    """Count, mean and scatter of a cloud.

    Attributes:
        count: number of points.
        mean: d.
        factor: r × d with FᵀF = Σ (x − mean)(x − mean)ᵀ, r ≤ max(d, number of points).
    """

    count: int
    mean: Float64
    factor: Float64

    @classmethod
    def of(cls, points: Float64) -> "Moments":
        """Moments of n × d points."""
        exponent = exponent_of(points)
        points = np.ldexp(points, -exponent)
        anchor = points[0]  # a coordinate that is constant stays so, which minus a rounded mean it would not
        points = points - anchor
        offset = points.mean(axis=0)
        return cls(len(points), anchor + offset, compact(points - offset)).shifted(exponent)

    def shifted(self, exponent: int) -> "Moments":
        """Moments of the points multiplied by 2^exponent.

        Raises:
            InputError: they overflow.
        """
        with np.errstate(over="ignore"):
            mean, factor = np.ldexp(self.mean, exponent), np.ldexp(self.factor, exponent)
        if not (np.isfinite(mean).all() and np.isfinite(factor).all()):
            raise InputError("the scatter of the points overflows float64; rescale the features")
        return Moments(self.count, mean, factor)

    def merge(self, other: "Moments") -> "Moments":
        """Moments of both clouds together."""
        exponent = exponent_of(self.mean, self.factor, other.mean, other.factor)
        first, second = self.shifted(-exponent), other.shifted(-exponent)
        count = first.count + second.count
        shift = second.mean - first.mean
        between = math.sqrt(first.count * second.count / count) * shift
        mean = first.mean + shift * (second.count / count)
        return Moments(count, mean, compact(np.vstack((first.factor, second.factor, between)))).shifted(exponent)


class GaussianAccumulator:
    """Gaussian W₂ of two streams (a distance; a lower bound on their W₂): mergeable `gaussian_wasserstein`.

    Args:
        covariance: "full" or "diagonal".

    Raises:
        InputError: another covariance.
    """

    def __init__(self, covariance: str = "full") -> None:
        self.covariance = one_of(covariance, ("full", "diagonal"), "covariance")
        self.x: Moments | None = None
        self.y: Moments | None = None

    def update(self, x: Any, y: Any) -> None:
        """Add points n × d of the first and m × d of the second stream; n and m may differ.

        Raises:
            InputError: as `wasserstein`, or a dimension other than before.
        """
        x, y = cloud(x, "x"), cloud(y, "y")
        same_dimension(x, y)
        if self.x is not None:
            same_dimension(self.x.mean[None], x, names=("what came before", "x"))
        self._add(Moments.of(x), Moments.of(y))

    def merge(self, other: "GaussianAccumulator") -> None:
        """Add everything that another accumulator has seen.

        Raises:
            InputError: the other is of another kind or dimension.
        """
        if self.covariance != other.covariance:
            raise InputError(f"cannot merge covariance={other.covariance!r} into covariance={self.covariance!r}")
        if other.x is not None and other.y is not None:
            if self.x is not None:
                same_dimension(self.x.mean[None], other.x.mean[None], names=("this accumulator", "the other"))
            self._add(other.x, other.y)

    def _add(self, x: Moments, y: Moments) -> None:
        self.x = x if self.x is None else self.x.merge(x)
        self.y = y if self.y is None else self.y.merge(y)

    def compute(self) -> Estimate:
        """The distance of all points so far.

        Raises:
            InputError: nothing was added.
        """
        if self.x is None or self.y is None:
            raise InputError("nothing was added yet; call update first")
        value = gaussian_distance(self.x, self.y, self.covariance)
        return Estimate(value=value, unit="distance", method=f"Gaussian, {self.covariance} covariance")


def gaussian_distance(x: Moments, y: Moments, covariance: str) -> float:
    """Gaussian W₂, a distance, from moments."""
    exponent = exponent_of(x.mean, y.mean)
    shift = np.ldexp(x.mean, -exponent) - np.ldexp(y.mean, -exponent)
    own = max((exponent_of(part) + k for part, k in ((shift, exponent), (x.factor, 0), (y.factor, 0)) if part.any()), default=0)
    shift = np.ldexp(shift, exponent - own)
    first, second = (np.ldexp(side.factor, -own) / math.sqrt(side.count) for side in (x, y))
    if covariance == "diagonal":
        spreads = (np.linalg.norm(first, axis=0), np.linalg.norm(second, axis=0))
        bures = float(np.square(spreads[0] - spreads[1]).sum())
    else:
        bures = bures_squared(first, second)
    return shifted(math.sqrt(float(shift @ shift) + max(bures, 0.0)), own)


class RandomFeatureMMD:
    """MMD of two streams with an RBF kernel of σ = `bandwidth`, through random Fourier features (Rahimi and Recht 2007).

    The features are a pure function of (dimension, bandwidth, features, seed), so accumulators made alike can be merged. The
    value is a distance, biased up by about √(2/n); its square has a standard error of about 1/√features from the features.

    Args:
        dimension: d of the points.
        bandwidth: σ > 0.
        features: number of frequencies; each gives a cosine and a sine.
        seed: of the frequencies.

    Raises:
        InputError: a bandwidth or number of features that is not positive.
    """

    def __init__(self, dimension: int, bandwidth: float, features: int = 1024, seed: int = 0) -> None:
        if not (bandwidth > 0 and math.isfinite(bandwidth)):
            raise InputError(f"bandwidth is {bandwidth!r}; give a positive number")
        if features < 1 or dimension < 1:
            raise InputError(f"features is {features} and dimension {dimension}; both are at least 1")
        self.settings = (dimension, float(bandwidth), features, seed)
        self.frequencies = np.random.default_rng(seed).normal(size=(dimension, features)) / bandwidth
        self.counts = np.zeros(2)
        self.sums = np.zeros((2, 2 * features))

    def embed(self, points: Float64) -> Float64:
        """Mean feature map times count: Σ φ(x), with ⟨φ(x), φ(x')⟩ ≈ k(x, x').

        Raises:
            InputError: points so many bandwidths away that their number is beyond float64.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            phases = points @ self.frequencies
        if not np.isfinite(phases).all():
            raise InputError("the features in units of the bandwidth overflow float64; rescale the features or the bandwidth")
        total: Float64 = np.concatenate((np.cos(phases).sum(axis=0), np.sin(phases).sum(axis=0)))
        return total / math.sqrt(self.settings[2])

    def update(self, x: Any, y: Any) -> None:
        """Add points n × d of the first and m × d of the second stream.

        Raises:
            InputError: as `wasserstein`, or another dimension.
        """
        for side, (value, name) in enumerate(((x, "x"), (y, "y"))):
            points = cloud(value, name)
            if points.shape[1] != self.settings[0]:
                raise InputError(f"{name} has dimension {points.shape[1]}, the features were made for {self.settings[0]}")
            self.counts[side] += len(points)
            self.sums[side] += self.embed(points)

    def merge(self, other: "RandomFeatureMMD") -> None:
        """Add everything that another accumulator has seen.

        Raises:
            InputError: the other's features differ.
        """
        if self.settings != other.settings:
            raise InputError(f"cannot merge features made from {other.settings} into features made from {self.settings}")
        self.counts += other.counts
        self.sums += other.sums

    def compute(self) -> Estimate:
        """The distance of all points so far.

        Raises:
            InputError: nothing was added.
        """
        if not self.counts.all():
            raise InputError("nothing was added yet; call update first")
        means = self.sums / self.counts[:, None]
        value = float(np.linalg.norm(means[0] - means[1]))
        return Estimate(value=value, unit="distance", method=f"{self.settings[2]} random Fourier features")


class PairedDistance:
    """‖g_S − g_T‖ in L₁ and L₂ over a stream of same-input pairs: what T1 multiplies with the head's constant."""

    def __init__(self) -> None:
        self.count = 0
        self.sum = 0.0
        self.length = 0.0  # √Σ‖·‖², of which the square may not be representable

    @property
    def sums(self) -> Float64:
        """Σ‖g_S − g_T‖ and Σ‖g_S − g_T‖²."""
        return np.array((self.sum, self.length * self.length))

    def update(self, x: Any, y: Any) -> None:
        """Add n × d rows of both networks on the same inputs.

        Raises:
            InputError: as `wasserstein`, or different numbers of rows.
        """
        x, y = cloud(x, "x"), cloud(y, "y")
        same_dimension(x, y)
        if len(x) != len(y):
            raise InputError(f"x has {len(x)} rows and y {len(y)}; paired features come row by row from the same inputs")
        exponent = exponent_of(x, y)
        change = np.ldexp(x, -exponent) - np.ldexp(y, -exponent)
        own = exponent_of(change)
        lengths = np.linalg.norm(np.ldexp(change, -own), axis=1)
        self.count += len(x)
        self.sum += shifted(math.fsum(lengths), own + exponent)
        self.length = math.hypot(self.length, shifted(math.sqrt(math.fsum(lengths**2)), own + exponent))

    def merge(self, other: "PairedDistance") -> None:
        """Add everything that another accumulator has seen."""
        self.count += other.count
        self.sum += other.sum
        self.length = math.hypot(self.length, other.length)

    def compute(self, p: int = 2) -> Estimate:
        """L_p distance, p = 1 or 2, of all rows so far.

        Raises:
            InputError: nothing was added, or another p.
        """
        if p not in (1, 2):
            raise InputError(f"p is {p!r}; L1 and L2 are accumulated")
        if not self.count:
            raise InputError("nothing was added yet; call update first")
        value = self.sum / self.count if p == 1 else self.length / math.sqrt(self.count)
        if math.isinf(value):
            raise InputError("the sum of distances overflows float64; rescale the features")
        return Estimate(value=value, unit="distance", method=f"L{p} of pairs")
