"""Probability laws on the line with everything in closed form: mixtures of Gaussians."""

from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp, ndtr

from kd2m_theory.arrays import Float64

_HALVINGS = 64  # of an interval of length 100: beyond the digits of a float64


@dataclass(frozen=True)
class LineMixture:
    """A mixture of Gaussians on the line.

    Attributes:
        weights: of the components, which sum to one.
        means: of the components.
        deviations: their standard deviations.
    """

    weights: tuple[float, ...]
    means: tuple[float, ...]
    deviations: tuple[float, ...]

    def log_density(self, x: Float64) -> Float64:
        """ln p(x), for any array; no underflow far out."""
        standard = self._standard(x)
        scales = np.array(self.weights) / (np.array(self.deviations) * np.sqrt(2 * np.pi))
        found: Float64 = logsumexp(-0.5 * standard**2, axis=-1, b=scales)
        return found

    def density(self, x: Float64) -> Float64:
        """p(x)."""
        found: Float64 = np.exp(self.log_density(x))
        return found

    def cumulative(self, x: Float64) -> Float64:
        """P(X ≤ x)."""
        found: Float64 = ndtr(self._standard(x)) @ np.array(self.weights)
        return found

    def quantile(self, levels: Float64) -> Float64:
        """The x with P(X ≤ x) = level, by bisection, for levels strictly between 0 and 1."""
        means, reach = np.array(self.means), 40 * max(self.deviations)
        low, high = np.full(levels.shape, means.min() - reach), np.full(levels.shape, means.max() + reach)
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            below = self.cumulative(middle) < levels
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        found: Float64 = (low + high) / 2
        return found

    def shifted(self, by: float) -> "LineMixture":
        """The law of X + by."""
        return LineMixture(self.weights, tuple(mean + by for mean in self.means), self.deviations)

    def _standard(self, x: Float64) -> Float64:
        standard: Float64 = (x[..., None] - np.array(self.means)) / np.array(self.deviations)
        return standard
