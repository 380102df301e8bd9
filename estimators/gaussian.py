"""Distances between the Gaussians that share two clouds' means and covariances.

    W₂² = ‖μ_x − μ_y‖² + tr Σ_x + tr Σ_y − 2 tr(Σ_x^½ Σ_y Σ_x^½)^½
    KL(N_x‖N_y) = ½ (tr Σ_y⁻¹Σ_x − d + (μ_x − μ_y)ᵀ Σ_y⁻¹ (μ_x − μ_y) + ln det Σ_y − ln det Σ_x)

Covariances are those of the empirical measure (divided by n, not n − 1) and are never formed: with F the centred rows times
√weight, Σ = FᵀF, and the last trace is the nuclear norm ‖F_x F_yᵀ‖_*. No matrix root, so n < d, constant coordinates and
single points need no special case and no eps.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from kd2m_theory.arrays import Float64, Int64, cloud, counted_labels, probability_weights, same_dimension
from kd2m_theory.checks import one_of
from kd2m_theory.errors import InputError
from kd2m_theory.estimators.distances import common_shares, same_classes
from kd2m_theory.estimators.enclosure import Enclosure
from kd2m_theory.estimators.ground import EPS, TINY
from kd2m_theory.estimators.mixture import bures_squared, compact
from kd2m_theory.estimators.number import Number, Uncertified
from kd2m_theory.estimators.scale import round_up, shifted, without_constants

# A ratio of deviations of which the square, a term of the divergence, is still far inside float64.
_LARGEST = 2.0**500

Covariance = Literal["full", "diagonal"]
Weighting = Literal["frequency", "uniform"]


@dataclass(frozen=True, slots=True, repr=False)
class GaussianDistance(Number):
    """W₂ between the Gaussians with two clouds' moments: a distance, and what it says about the W₂ of the clouds themselves.

    `lower` and `upper` enclose the W₂ of the *Gaussians*: they cover rounding and no more. Only `enclosure()` has an upper
    bound on the W₂ of the clouds.

    Attributes:
        value: W₂ of the Gaussians, √(mean_part² + covariance_part²). Gelbrich (1990): a lower bound on the clouds' W₂.
        mean_part: ‖μ_x − μ_y‖.
        covariance_part: Bures distance of the covariances.
        moment_upper: √(‖μ_x − μ_y‖² + tr Σ_x + tr Σ_y), the cost of the independent coupling: an upper bound on the clouds' W₂.
        rounding: a distance whose square is what rounding may have done to the squares of `value` and `moment_upper`.
        covariance: "full" or "diagonal" (a lower bound as well, and the weaker one: it sees the marginals only).
        unit: "distance".
    """

    value: float
    mean_part: float
    covariance_part: float
    moment_upper: float
    rounding: float
    covariance: Covariance
    unit: Literal["distance"] = field(default="distance", init=False)

    @property
    def lower(self) -> float:
        """Lower end of the W₂ of the Gaussians, and by Gelbrich's theorem a lower bound on the clouds' W₂.

        The allowance for rounding is 10 (n + m + d) ulps of the squared `moment_upper`: several times what the backward errors
        of the factorisations and of the sums come to.
        """
        if not self.moment_upper:
            return 0.0
        lower = 0.0
        if self.value > self.rounding:
            part = 4.0 if self.value > 1.0 else 1.0  # of large numbers, whose sum may overflow; the same to the last digit
            value, rounding = self.value / part, self.rounding / part
            lower = part * (math.sqrt(value - rounding) * math.sqrt(value + rounding))
        # The mean part alone is right to its last digits, where the difference of two squares is not.
        lower = max(lower, self.mean_part - self.rounding * (self.rounding / self.moment_upper))
        return max(0.0, lower * (1 - 4 * EPS) - 4 * TINY)

    @property
    def upper(self) -> float:
        """Upper end of the W₂ of the Gaussians; no bound on the clouds' W₂, which may be larger."""
        return self._above(self.value)

    @property
    def status(self) -> Literal["optimal", "capped", "open", "vacuous"]:
        """As of an `Enclosure`: "optimal" if the two ends agree to nine digits, "open" if rounding keeps them apart."""
        return Enclosure(lower=self.lower, upper=self.upper, unit="distance", method="Gaussian").status

    @property
    def lower_bound_on_w2(self) -> float:
        """Gelbrich's lower bound on the clouds' W₂, rounded to the safe side."""
        return self.lower

    def enclosure(self) -> Enclosure:
        """The W₂ of the clouds, between Gelbrich's bound and the independent coupling."""
        return Enclosure(lower=self.lower, upper=self._above(self.moment_upper), unit="distance", method="Gelbrich and moments")

    def _above(self, distance: float) -> float:
        """The distance with its allowance for rounding."""
        if not self.moment_upper:
            return 0.0
        return round_up(math.hypot(distance, self.rounding) * (1 + 4 * EPS) + 4 * TINY)

    def _notes(self) -> tuple[str, ...]:
        return (f"{self.covariance} covariance",)


@dataclass(frozen=True, slots=True, repr=False)
class GaussianDivergence(Uncertified):
    """A Kullback–Leibler divergence between Gaussians, in nats. Its rounding is not bounded: it has no interval.

    Attributes:
        value: the divergence; `math.inf` when one of the Gaussians has no density with respect to the other.
        covariance: "full" or "diagonal".
        shrinkage: s in Σ ← (1 − s) Σ + s (tr Σ/d) I, applied on both sides; 0 leaves the covariances alone.
        why: the reason for an infinite value; empty otherwise.
        unit: "nats".
    """

    value: float
    covariance: Covariance
    shrinkage: float
    why: str = ""
    unit: Literal["nats"] = field(default="nats", init=False)

    def __str__(self) -> str:
        return f"{', '.join(self._words())}{f': {self.why}' if self.why else ''}"

    def _notes(self) -> tuple[str, ...]:
        return f"{self.covariance} covariance", f"shrinkage {self.shrinkage:g}" if self.shrinkage else "no shrinkage"


def gaussian_wasserstein(
    x: Any, y: Any, covariance: Covariance = "full", weights_x: Any = None, weights_y: Any = None
) -> GaussianDistance:
    """W₂ between the Gaussians with the two clouds' means and covariances: the distance, not its square.

    Args:
        x: n × d points.
        y: m × d points.
        covariance: "full", or "diagonal" to ignore correlations.
        weights_x: n weights ≥ 0 that sum to one; uniform if None.
        weights_y: m weights ≥ 0 that sum to one; uniform if None.

    Raises:
        InputError: empty clouds, NaN or infinite points, float16, dimensions or weights that do not fit.

    Source:
        Gelbrich, "On a formula for the L² Wasserstein metric", Math. Nachr. 147 (1990), Thm. 2.1.

    Example:
        >>> distance = gaussian_wasserstein([[0.0], [2.0]], [[3.0], [7.0]])  # N(1, 1) and N(5, 4)
        >>> round(distance.value**2, 12), round(distance.moment_upper**2, 12)
        (17.0, 21.0)
    """
    kind = _covariance(covariance)
    x, y, weights_x, weights_y = _clouds(x, y, weights_x, weights_y)
    exponent = int(_exponents(x, y).max())
    sides = _Moments.of(x, weights_x, exponent), _Moments.of(y, weights_y, exponent)
    gap = sides[0].mean_minus(sides[1])
    mean = float(gap @ gap)
    spread = sum(float(np.square(side.factor).sum()) for side in sides)
    if kind == "diagonal":
        bures = float(np.square(_lengths(sides[0].factor) - _lengths(sides[1].factor)).sum())
    else:
        bures = bures_squared(compact(sides[0].factor), compact(sides[1].factor))
    squares = {
        "value": mean + bures,
        "mean_part": mean,
        "covariance_part": bures,
        "moment_upper": mean + spread,
        "rounding": 10 * (len(x) + len(y) + x.shape[1]) * EPS * (mean + spread),
    }
    roots = {name: shifted(math.sqrt(square), exponent) for name, square in squares.items()}
    if math.isinf(roots["moment_upper"]):
        raise InputError("the distance overflows float64; rescale the features (a common factor scales the distance)")
    return GaussianDistance(**roots, covariance=kind)


def conditional_gaussian_wasserstein(
    x: Any, y: Any, labels_x: Any, labels_y: Any, weighting: Weighting = "frequency", covariance: Covariance = "full"
) -> GaussianDistance:
    """Class-conditional Gaussian W₂: (Σ_y ω_y W₂(N_x|y, N_y|y)²)^½, a distance; its bounds are on the clouds' conditional W₂.

    Args:
        x: n × d points.
        y: m × d points.
        labels_x: n integer classes.
        labels_y: m integer classes, the same set of classes as `labels_x`.
        weighting: "frequency" weighs a class by its share of the sample, which must agree on both sides; "uniform" by 1/n_c.
        covariance: "full" or "diagonal".

    Raises:
        InputError: as `gaussian_wasserstein`; a class missing on one side; class shares that differ under "frequency".
    """
    classes = _classes(x, y, labels_x, labels_y, weighting)
    parts = [(share, gaussian_wasserstein(*clouds, covariance)) for share, clouds in classes.values()]

    names = ("value", "mean_part", "covariance_part", "moment_upper", "rounding")
    means = {name: math.hypot(*(math.sqrt(share) * getattr(part, name) for share, part in parts)) for name in names}
    return GaussianDistance(**means, covariance=_covariance(covariance))


def gaussian_kl(
    x: Any,
    y: Any,
    covariance: Covariance = "full",
    shrinkage: float = 0.0,
    weights_x: Any = None,
    weights_y: Any = None,
) -> GaussianDivergence:
    """KL(N_x‖N_y) between the Gaussians with the two clouds' means and covariances, in nats: `x` is the one averaged over.

    A Gaussian with a singular covariance lives on an affine subspace. KL is finite exactly when both live on the *same* one,
    and is then computed within it (so KL of a cloud with itself is 0, whatever its rank); otherwise it is infinite and `why`
    says which side sticks out. With fewer points than dimensions that is the rule; ask for shrinkage to get a number.

    With diagonal covariances a variance is zero exactly when the coordinate is constant. With full covariances the rank is the
    number of singular values of the standardised features above 16 max(n, m, d) ulps of the largest one, and "the same
    subspace" holds up to that tolerance times the condition number: the answer does not depend on the coordinates' units.

    Args:
        x: n × d points.
        y: m × d points.
        covariance: "full" or "diagonal".
        shrinkage: s in [0, 1]; both covariances become (1 − s) Σ + s (tr Σ/d) I. 0 changes nothing.
        weights_x: n weights ≥ 0 that sum to one; uniform if None.
        weights_y: m weights ≥ 0 that sum to one; uniform if None.

    Raises:
        InputError: as `gaussian_wasserstein`, or a shrinkage outside [0, 1].

    Example:
        >>> print(gaussian_kl([[0.0], [2.0]], [[0.0], [4.0]]))  # N(1, 1) from N(2, 4): (1/4 − 1 + 1/4 + ln 4)/2
        0.4431, nats, estimate, full covariance, no shrinkage
    """
    kind = _covariance(covariance)
    if not (isinstance(shrinkage, int | float) and 0 <= shrinkage <= 1):
        raise InputError(f"shrinkage is {shrinkage!r}; choose a number from 0 (the covariance itself) to 1 (its mean variance)")
    x, y, weights_x, weights_y = _clouds(x, y, weights_x, weights_y)
    exponents = _exponents(x, y)
    exponent = exponents.max() if shrinkage else exponents  # shrinkage mixes coordinates, so they keep one unit
    first, second = _Moments.of(x, weights_x, exponent), _Moments.of(y, weights_y, exponent)
    gap = first.mean_minus(second)
    tolerance = 16 * max(len(x), len(y), x.shape[1]) * EPS
    value, why = _divergence(first.shrunk(shrinkage, kind), second.shrunk(shrinkage, kind), gap, tolerance, kind)
    return GaussianDivergence(value, kind, float(shrinkage), why)


def gaussian_symmetric_kl(
    x: Any,
    y: Any,
    covariance: Covariance = "full",
    shrinkage: float = 0.0,
    weights_x: Any = None,
    weights_y: Any = None,
) -> GaussianDivergence:
    """½ (KL(N_x‖N_y) + KL(N_y‖N_x)) in nats: the mean of both directions, half of Jeffreys' sum. Arguments as `gaussian_kl`.

    Raises:
        InputError: as `gaussian_kl`.
    """
    there = gaussian_kl(x, y, covariance, shrinkage, weights_x, weights_y)
    back = gaussian_kl(y, x, covariance, shrinkage, weights_y, weights_x)
    return replace(there, value=(there.value + back.value) / 2)


def conditional_gaussian_kl(
    x: Any,
    y: Any,
    labels_x: Any,
    labels_y: Any,
    weighting: Weighting = "frequency",
    covariance: Covariance = "full",
    shrinkage: float = 0.0,
) -> GaussianDivergence:
    """Class-conditional Gaussian KL: Σ_y ω_y KL(N_x|y‖N_y|y), in nats. Arguments as the two functions above.

    Raises:
        InputError: as `gaussian_kl` and `conditional_gaussian_wasserstein`.
    """
    classes = _classes(x, y, labels_x, labels_y, weighting)
    parts = {label: (share, gaussian_kl(*clouds, covariance, shrinkage)) for label, (share, clouds) in classes.items()}
    why = next((f"class {label}: {part.why}" for label, (_, part) in parts.items() if part.why), "")
    value = math.fsum(share * part.value for share, part in parts.values())
    return GaussianDivergence(value, _covariance(covariance), float(shrinkage), why)


@dataclass(frozen=True, slots=True)
class _Moments:
    """Mean `anchor + offset` and covariance `factorᵀ factor` of a weighted cloud, in units of 2^exponent."""

    anchor: Float64
    offset: Float64
    factor: Float64

    @classmethod
    def of(cls, points: Float64, weights: Float64, exponent: Any) -> "_Moments":
        # Away from a point of the cloud first: constant coordinates become exact zeros and a common shift costs no digits.
        points = np.ldexp(points[weights > 0], -exponent)
        weights = weights[weights > 0]
        anchor = points[weights.argmax()].copy()
        points -= anchor
        offset = weights @ points
        points -= offset
        correction = weights @ points  # the anchor may be an outlier; this takes back what its size cost
        points -= correction
        points *= np.sqrt(weights)[:, None]
        return cls(anchor, offset + correction, points)

    def mean_minus(self, other: "_Moments") -> Float64:
        difference: Float64 = (self.anchor - other.anchor) + (self.offset - other.offset)
        return difference

    def shrunk(self, s: float, kind: Covariance) -> Float64:
        """A factor of (1 − s) Σ + s (tr Σ/d) I: rows below rows, or the standard deviations when only they count."""
        d = self.factor.shape[1]
        level = s * float(np.square(self.factor).sum()) / d
        if kind == "diagonal":
            lengths = _lengths(self.factor)
            return np.sqrt((1 - s) * lengths * lengths + level)[None] if s else lengths[None]
        return np.vstack((math.sqrt(1 - s) * self.factor, math.sqrt(level) * np.eye(d))) if s else self.factor


def _divergence(x: Float64, y: Float64, gap: Float64, tolerance: float, kind: Covariance) -> tuple[float, str]:
    """KL in nats from the factors of both covariances and the difference of the means, and why it is infinite if it is."""
    scale_x, scale_y = _lengths(x), _lengths(y)
    live = scale_y > 0
    for outside, name in ((scale_x[~live], "x varies"), (gap[~live], "the means differ")):
        if outside.any():
            return math.inf, f"{name} where y is constant, in {np.count_nonzero(outside)} of {len(gap)} coordinates"
    if not scale_x[live].all():
        lacking = np.count_nonzero(scale_x[live] == 0)
        return math.inf, f"x is constant where y varies, in {lacking} of {len(gap)} coordinates"
    if not live.any():
        return 0.0, ""
    scale_x, scale_y = scale_x[live], scale_y[live]
    with np.errstate(over="ignore"):
        shift, wider = gap[live] / scale_y, scale_x / scale_y
    if kind == "diagonal":
        return _terms(wider, shift)
    if max(wider.max(), np.abs(shift).max()) > _LARGEST:
        return math.inf, "it exceeds what float64 can tell from infinity"
    own = np.linalg.svd(compact(x[:, live] / scale_x), compute_uv=False)
    x, y = compact(x[:, live] / scale_y), compact(y[:, live] / scale_y)
    _, sizes, axes = np.linalg.svd(y, full_matrices=False)
    rank, own_rank = (int(np.count_nonzero(values > tolerance * values[0])) for values in (sizes, own))
    sizes, axes = sizes[:rank], axes[:rank]
    whole = rank == y.shape[1]
    if not whole:
        slack = tolerance * float(sizes[0] / sizes[-1])
        lengths = float(np.linalg.norm(x)), float(np.linalg.norm(y)), float(np.linalg.norm(shift))
        if float(np.linalg.norm(x - (x @ axes.T) @ axes)) > slack * lengths[0]:
            return math.inf, f"Σ_y has rank {rank} of {len(gap)} and x varies outside its range"
        if float(np.linalg.norm(shift - (shift @ axes.T) @ axes)) > slack * sum(lengths):
            return math.inf, f"Σ_y has rank {rank} of {len(gap)} and the means differ outside its range"
    if own_rank < rank:
        return math.inf, f"Σ_x has rank {own_rank} of {len(gap)}, less than Σ_y, which has {rank}"
    ratios = np.linalg.svd((x @ axes.T) / sizes, compute_uv=False)
    # Ratios far below the largest one have lost digits; determinants in each side's own units have not.
    apart = whole and ratios[-1] < 1e-2 * ratios[0]
    log_det = float(np.log(own).sum() + np.log(scale_x / scale_y).sum() - np.log(sizes).sum()) if apart else None
    return _terms(ratios, (axes @ shift) / sizes, log_det)


def _terms(ratios: Float64, shift: Float64, log_det: float | None = None) -> tuple[float, str]:
    """½ Σ (r² − 1 − ln r² + δ²) over the standard deviations r and mean gaps δ in units of N_y's; log_det is Σ ln r."""
    with np.errstate(over="ignore"):
        excess = (ratios - 1) * (ratios + 1)
        if log_det is None:
            near = np.abs(excess) < 0.5  # where r² − 1 − ln r² cancels
            logarithms = np.where(near, np.log1p(np.where(near, excess, 0.0)), 2 * np.log(ratios))
            spread = float(np.maximum(excess - logarithms, 0.0).sum())
        else:
            spread = float(excess.sum()) - 2 * log_det
        value = (spread + float(np.square(shift).sum())) / 2
    return value, "" if math.isfinite(value) else "it exceeds the largest float64"


def _lengths(factor: Float64) -> Float64:
    """Norms of the columns, zero only for a column of zeros: entries of 1e-200 do not underflow."""
    peaks = np.abs(factor).max(axis=0)
    lengths: Float64 = peaks * np.linalg.norm(factor / np.where(peaks > 0, peaks, 1.0), axis=0)
    return lengths


def _covariance(value: str) -> Covariance:
    one_of(value, ("full", "diagonal"), "covariance")
    return "full" if value == "full" else "diagonal"


def _clouds(x: Any, y: Any, weights_x: Any, weights_y: Any) -> tuple[Float64, Float64, Float64, Float64]:
    x, y = cloud(x, "x"), cloud(y, "y")
    same_dimension(x, y)
    x, y = without_constants(x, y)
    return x, y, probability_weights(weights_x, len(x), "weights_x"), probability_weights(weights_y, len(y), "weights_y")


def _exponents(x: Float64, y: Float64) -> Int64:
    """Per coordinate, the power of two that brings both clouds within [−½, ½]: no square or difference overflows."""
    largest = np.maximum(np.abs(x).max(axis=0), np.abs(y).max(axis=0))
    exponents: Int64 = np.frexp(largest)[1].astype(np.int64) + 1
    return exponents


def _classes(
    x: Any, y: Any, labels_x: Any, labels_y: Any, weighting: str
) -> Mapping[int, tuple[float, tuple[Float64, Float64]]]:
    """Label → share ω and the two clouds of that class."""
    one_of(weighting, ("frequency", "uniform"), "weighting")
    x, y = cloud(x, "x"), cloud(y, "y")
    same_dimension(x, y)
    labels_x, labels_y = counted_labels(labels_x, len(x), "labels_x"), counted_labels(labels_y, len(y), "labels_y")
    same_classes(labels_x, labels_y)
    labels = np.unique(labels_x).tolist()
    shares = common_shares(labels_x, labels_y) if weighting == "frequency" else dict.fromkeys(labels, 1 / len(labels))
    return {label: (shares[label], (x[labels_x == label], y[labels_y == label])) for label in labels}
