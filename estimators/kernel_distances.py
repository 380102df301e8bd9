"""Maximum mean discrepancy between clouds, its interval and its permutation test, without an n × n array."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from kd2m_theory.arrays import Float64, cloud, counted_labels, probability_weights, same_dimension
from kd2m_theory.checks import one_of, whole
from kd2m_theory.errors import InputError
from kd2m_theory.estimators.distances import common_shares, same_classes
from kd2m_theory.estimators.enclosure import Confidence, Estimated
from kd2m_theory.estimators.ground import by_coordinates
from kd2m_theory.estimators.interval_inputs import check_delta
from kd2m_theory.estimators.kernels import Energy, Kernel, Linear, kernel_of, pooled, squared_norms
from kd2m_theory.estimators.number import Estimate
from kd2m_theory.estimators.scale import exponent_of, shifted, without_constants
from kd2m_theory.words import number

# Shape of a tile of kernel values: 32 MiB, large enough that the matrix products run at full speed.
ROWS, COLUMNS = 1024, 4096
# A permuted statistic this close to the observed one, relative to the sums both are made of, counts as a tie.
TIE = 1e-12
# What the permutation test is exact for.
NULL_OF_SAMPLES = "all points are exchangeable"
NULL_OF_PAIRS = "(x, y) and (y, x) have one law"


@dataclass(frozen=True, slots=True, repr=False)
class MMDResult(Estimated):
    """A maximum mean discrepancy: `lower`, `upper` and `status` are those of `interval`, and nothing is certain without one.

    Attributes:
        value: the distance: the root of `squared`, and 0 where an unbiased `squared` is negative. Rounding leaves about
            √ε ≈ 1e-8 times the root of the kernel's size at a true distance of zero.
        squared: the estimate of MMD². A V-statistic is a squared norm, ≥ 0; a U-statistic is unbiased and for that reason
            negative about half of the time when the two laws agree. It is 0 or infinite where the square leaves float64.
        estimator: "v" (biased, a distance between the samples) or "u" (unbiased for the squared population MMD).
        kernel: the kernel, with its bandwidth.
        paired: whether the points were treated as pairs (x_i, y_i).
        interval: interval of the population's MMD, if `delta` was given; it stays within [0, √(2K)].
        p_value: of the permutation test, if `permutations` were asked for.
        null: the hypothesis under which `p_value` is at most α with probability at most α; empty without a test.
        unit: "distance" (in the RKHS of the kernel); belongs to `value`.
    """

    value: float
    squared: float
    estimator: Literal["v", "u"]
    kernel: Kernel
    paired: bool
    interval: Confidence | None = None
    p_value: float | None = None
    null: str = ""
    unit: Literal["distance"] = "distance"

    @property
    def bandwidth(self) -> float | None:
        """The kernel's σ; None for a kernel without one bandwidth."""
        return getattr(self.kernel, "bandwidth", None)

    def _notes(self) -> tuple[str, ...]:
        return () if self.p_value is None else (f"p = {number(self.p_value)} if {self.null}",)


@dataclass(frozen=True, slots=True, repr=False)
class ConditionalMMD(Estimated):
    """A class-conditional MMD, Σ_y ω_y MMD_y; `lower`, `upper` and `status` as `MMDResult`.

    Attributes:
        value: the weighted mean of the classes' distances.
        parts: class → its `MMDResult`.
        shares: class → its weight ω_y.
        kernel: the one kernel that every class used.
        interval: interval of Σ_y ω_y MMD_y of the populations with these weights, if `delta` was given.
        unit: "distance" (in the RKHS of the kernel).
    """

    value: float
    parts: Mapping[int, MMDResult] = field(hash=False)
    shares: Mapping[int, float] = field(hash=False)
    kernel: Kernel
    interval: Confidence | None = None
    unit: Literal["distance"] = "distance"


def mmd(
    x: Any,
    y: Any,
    kernel: str | Kernel = "rbf",
    bandwidth: float | None = None,
    estimator: Literal["v", "u"] = "v",
    paired: bool = False,
    delta: float | None = None,
    permutations: int = 0,
    seed: int = 0,
    weights_x: Any = None,
    weights_y: Any = None,
) -> MMDResult:
    """Maximum mean discrepancy ‖E φ(X) − E φ(Y)‖_H between two clouds (Gretton et al. 2012).

    Kernel values exist one tile at a time, in float64: memory grows with n·d, not with n². The linear kernel is the distance
    of the means and takes O(nd).

    Args:
        x, y: n × d and m × d points.
        kernel: "rbf", "linear", "polynomial" ((⟨x, y⟩ + 1)²), "laplace", "energy", or a `Kernel` such as `RBFMixture`.
        bandwidth: σ of "rbf" and "laplace", in the unit of the features; the pooled median distance if None.
        estimator: "v", the distance between the two samples, or "u", unbiased for the squared distance of the populations.
        paired: x_i and y_i come from the same input. The two clouds are then not independent samples: the U-statistic leaves
            out the pairs (x_i, y_i), the interval and the permutation test take their paired forms.
        delta: failure probability of the interval.
        permutations: number B of the permutation test; p = (1 + #{permuted ≥ observed})/(1 + B), never 0. Independent
            samples: group labels are permuted; the null is that all points are exchangeable, as those of two independent
            samples of one law are. Paired: members of a pair are swapped; the null is that (x, y) and (y, x) have one law.
            That is more than equal laws of x and y: for y = x + 1 modulo 21 with uniform x both have one law, and the test
            rejects far more often than its level. The test statistic is the V-statistic for either estimator; the cost is
            one more matrix product with B columns.
        seed: of the permutations.
        weights_x, weights_y: n and m weights ≥ 0 that sum to one; uniform if None.

    Raises:
        InputError: clouds, weights or words that do not fit; a median distance of zero; "u" with one point or with weights;
            an interval for an unbounded kernel, for "u", with weights, or with a bandwidth taken from the same sample.

    Example:
        >>> mmd([[0.0], [2.0]], [[1.0], [4.0]], kernel="linear").value
        1.5
    """
    chosen = one_of(estimator, ("v", "u"), "estimator")
    x, y = cloud(x, "x"), cloud(y, "y")
    same_dimension(x, y)
    weights = np.concatenate(
        (probability_weights(weights_x, len(x), "weights_x"), -probability_weights(weights_y, len(y), "weights_y"))
    )
    if paired:
        _check_pairs(x, y)
        if not np.array_equal(weights[: len(x)], -weights[len(x) :]):
            raise InputError("weights_x and weights_y differ, but a pair has one weight; pass the same weights twice")
    whole(permutations, "permutations", 0)
    whole(seed, "seed", 0)
    weighted = weights_x is not None or weights_y is not None
    if weighted and chosen == "u":
        raise InputError("estimator='u' is unbiased for equal weights only; use estimator='v' or leave the weights out")
    if weighted and permutations:
        raise InputError("a permutation test needs exchangeable points, and weights break that; leave the weights out")
    if chosen == "u" and min(len(x), len(y)) < 2:
        raise InputError(f"estimator='u' needs two points in each cloud, got {len(x)} and {len(y)}; use estimator='v'")
    if delta is not None:
        _check_interval(kernel, bandwidth, delta, chosen, weighted)
    kernel = kernel_of(kernel, bandwidth, x, y)
    if permutations and paired:
        x, y = by_coordinates(x, y)
    elif permutations:  # which points a permutation takes must not depend on the order of the rows
        (x,), (y,) = by_coordinates(x), by_coordinates(y)
    unit, exponent, degree = kernel.unit
    if kernel.shift_invariant:
        x, y = without_constants(x, y)
    if exponent is None:
        exponent = exponent_of(x, y)
    with np.errstate(over="ignore"):
        points = pooled(np.ldexp(x, -exponent), np.ldexp(y, -exponent), centred=kernel.shift_invariant)
    columns = _Columns(weights, len(x), _draw(len(x), len(y), paired, permutations, seed))
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        sums, forms = _quadratic_forms(unit, points, columns)
        squared = float(forms[0] if chosen == "v" else _unbiased(sums, unit, points, len(x), paired))
    if not (np.isfinite(forms).all() and math.isfinite(squared)):
        raise InputError(f"values of {kernel!r} overflow float64; rescale the features")
    p_value = None
    if permutations:
        tie = TIE * float(np.abs(sums).sum())
        p_value = (1 + int((forms[1:] >= forms[0] - tie).sum())) / (1 + int(permutations))
    # The root of 2^(degree · e): a half power for a kernel of degree 1.
    power = degree * exponent
    value = shifted(math.sqrt(max(squared, 0.0) * 2 ** (power % 2)), power // 2)
    if math.isinf(value):
        raise InputError(f"the distance overflows float64 with {kernel!r}; rescale the features")
    interval = None
    if delta is not None:
        interval = _interval(value, len(x), len(y), delta, kernel, paired)
    return MMDResult(
        value=value,
        squared=shifted(squared, power),
        estimator="v" if chosen == "v" else "u",
        kernel=kernel,
        paired=bool(paired),
        interval=interval,
        p_value=p_value,
        null="" if p_value is None else NULL_OF_PAIRS if paired else NULL_OF_SAMPLES,
    )


def conditional_mmd(
    x: Any,
    y: Any,
    labels_x: Any,
    labels_y: Any,
    weighting: Literal["frequency", "uniform"] = "frequency",
    kernel: str | Kernel = "rbf",
    bandwidth: float | None = None,
    paired: bool = False,
    delta: float | None = None,
) -> ConditionalMMD:
    """Class-conditional MMD: Σ_y ω_y MMD_y, the mean of the classes' distances (V-statistics), as theorem T6 needs it.

    Args:
        x, y: n × d and m × d points.
        labels_x, labels_y: n and m integer classes, the same set on both sides.
        weighting: "frequency" weighs a class by its share of the sample (the shares must agree on both sides); "uniform"
            weighs every class 1/n_c.
        kernel: as `mmd`; one kernel serves all classes.
        bandwidth: as `mmd`; None is the median distance of the whole pooled sample.
        paired: as `mmd`; a pair must have one label.
        delta: failure probability of the interval of the sum: each of the n_c classes spends δ/n_c, given its count.

    Raises:
        InputError: as `mmd`; a class missing on one side; class shares that differ under "frequency"; a pair of two labels.
    """
    by_share = one_of(weighting, ("frequency", "uniform"), "weighting") == "frequency"
    x, y = cloud(x, "x"), cloud(y, "y")
    same_dimension(x, y)
    labels_x, labels_y = counted_labels(labels_x, len(x), "labels_x"), counted_labels(labels_y, len(y), "labels_y")
    same_classes(labels_x, labels_y)
    classes = np.unique(labels_x).tolist()
    if paired:
        _check_pairs(x, y)
        if (labels_x != labels_y).any():
            i = int((labels_x != labels_y).argmax())
            raise InputError(f"pair {i} has the labels {labels_x[i]} and {labels_y[i]}; a pair has one label")
    shares = common_shares(labels_x, labels_y) if by_share else dict.fromkeys(classes, 1.0 / len(classes))
    if delta is not None:
        _check_interval(kernel, bandwidth, delta, "v", weighted=False)
    kernel = kernel_of(kernel, bandwidth, x, y)
    share = None if delta is None else delta / len(classes)
    clouds = {label: (x[labels_x == label], y[labels_y == label]) for label in classes}
    parts = {label: mmd(*clouds[label], kernel, paired=paired, delta=share) for label in classes}
    value = math.fsum(shares[label] * parts[label].value for label in classes)
    interval = None
    if delta is not None:
        ends = [(shares[label], part.interval) for label, part in parts.items() if part.interval is not None]
        first = ends[0][1]
        interval = replace(
            first,
            value=value,
            lower=math.fsum(weight * end.lower for weight, end in ends),
            upper=math.fsum(weight * end.upper for weight, end in ends),
            level=1 - delta,
            method=f"{first.method}, union bound over {len(classes)} classes",
            assumptions=f"{first.assumptions}, given the class counts",
        )
    return ConditionalMMD(value=value, parts=parts, shares=shares, kernel=kernel, interval=interval)


def energy_distance(x: Any, y: Any, weights_x: Any = None, weights_y: Any = None) -> Estimate:
    """The energy distance √(2E‖X − Y‖ − E‖X − X′‖ − E‖Y − Y′‖) of two clouds, a distance (Székely and Rizzo 2013).

    It is √2 times the MMD with the kernel ½(‖x‖ + ‖y‖ − ‖x − y‖), and on the line equals `scipy.stats.energy_distance`. Its
    square is in the unit of the features: features of twice the size are √2 times as far apart.

    Args:
        x, y: n × d and m × d points.
        weights_x, weights_y: their weights, ≥ 0, that sum to one; uniform if None.

    Raises:
        InputError: clouds or weights that do not fit.

    Example:
        >>> energy_distance([[0.0]], [[2.0]])
        Estimate(2, distance, estimate)
    """
    found = mmd(x, y, Energy(), weights_x=weights_x, weights_y=weights_y)
    return Estimate(value=math.sqrt(2.0) * found.value, unit="distance", method="energy")


def mmd_radius(n: int, m: int, delta: float, bound: float = 1.0, paired: bool = False) -> float:
    """How far the MMD of a sample (V-statistic) and of the population are apart at most, with probability 1 − δ.

    The radius bounds ‖(μ̂_X − μ_X) − (μ̂_Y − μ_Y)‖_H: its mean by Jensen, its deviation by McDiarmid's inequality, with
    ‖φ(x) − φ(x′)‖ ≤ √(2K) for 0 ≤ k ≤ K. One side of McDiarmid suffices for both sides of the MMD.

    - independent samples: √(K/n + K/m) + √(K(n + m)/(nm)·ln(1/δ)). The means of both sides are independent and centred, so
      their variances add (theorem 7 of Gretton et al. 2012 adds deviations instead, a larger first term).
    - same-input pairs (n = m): √(2K/n) + √(4K ln(1/δ)/n). Exchanging one input moves both points.

    Args:
        n, m: number of points on each side.
        delta: failure probability.
        bound: K with 0 ≤ k ≤ K.
        paired: whether the points are pairs from the same inputs.

    Raises:
        InputError: delta outside (0, 1), no points, or pairs of unequal number.
    """
    log = math.log(1 / check_delta(delta))
    if min(n, m) < 1:
        raise InputError(f"n and m are {n} and {m}; both samples need points")
    if not (math.isfinite(bound) and bound > 0):
        raise InputError(f"bound is {bound!r}; give the finite K > 0 with 0 ≤ k ≤ K")
    if paired:
        if n != m:
            raise InputError(f"n and m are {n} and {m}; pairs have one point on each side")
        return math.sqrt(2 * bound / n) + math.sqrt(4 * bound * log / n)
    variance = bound / n + bound / m
    return math.sqrt(variance) + math.sqrt(variance * log)


@dataclass(frozen=True, slots=True)
class _Columns:
    # Signed weights of the pooled points: the observed ones, and those of every permutation, kept as single bytes.
    observed: Float64
    split: int
    members: NDArray[np.bool_] | None

    def rows(self, start: int, stop: int) -> Float64:
        observed = self.observed[start:stop, None]
        if self.members is None:
            return observed
        n, m = self.split, len(self.observed) - self.split
        return np.concatenate((observed, np.where(self.members[start:stop], 1.0 / n, -1.0 / m)), axis=1)


def _draw(n: int, m: int, paired: bool, permutations: int, seed: int) -> NDArray[np.bool_] | None:
    # Which pooled points play the part of x, a column a permutation.
    if not permutations:
        return None
    rng = np.random.default_rng(seed)
    if paired:
        swapped = rng.integers(0, 2, (n, permutations), dtype=np.bool_)
        return np.concatenate((~swapped, swapped))
    members = np.zeros((n + m, permutations), dtype=np.bool_)
    for column in range(permutations):
        members[rng.permutation(n + m)[:n], column] = True
    return members


def _quadratic_forms(kernel: Kernel, points: Float64, columns: _Columns) -> tuple[Float64, Float64]:
    # Parts (xx, yy, xy) of the observed sᵀKs, and sᵀKs for every column s of signed weights. All columns share the tiles of
    # K; a tile above the diagonal stands for its mirror image, too.
    n = columns.split
    if isinstance(kernel, Linear):
        return _linear_forms(points, columns)
    norms = squared_norms(points)
    sums, forms = np.zeros(3), 0.0
    for rows, cols in _tiles(n, len(points)):
        values = kernel.block(points[rows], points[cols], norms[rows], norms[cols])
        part = (columns.rows(rows.start, rows.stop) * (values @ columns.rows(cols.start, cols.stop))).sum(axis=0)
        if rows.start != cols.start:
            part *= 2.0
        kind = 0 if cols.start < n else 1 if rows.start >= n else 2
        sums[kind] += part[0]
        forms = forms + part
    # A squared norm: below zero there is only rounding.
    return sums, np.maximum(forms, 0.0)


def _linear_forms(points: Float64, columns: _Columns) -> tuple[Float64, Float64]:
    n, total = columns.split, len(points)
    mean_x, mean_y = points[:n].T @ columns.observed[:n], points[n:].T @ columns.observed[n:]
    sums = np.array([mean_x @ mean_x, mean_y @ mean_y, 2 * mean_x @ mean_y])
    means = sum(points[i : i + ROWS].T @ columns.rows(i, min(i + ROWS, total)) for i in range(0, total, ROWS))
    return sums, np.square(means).sum(axis=0)


def _tiles(n: int, total: int) -> Iterator[tuple[slice, slice]]:
    # Tiles of the upper triangle; none straddles the border between x and y, and those on the diagonal are square.
    for first, last in ((0, n), (n, total)):
        for i in range(first, last, ROWS):
            rows = slice(i, min(i + ROWS, last))
            yield rows, rows
            for begin, end in ((rows.stop, last), (last, total)):
                for j in range(begin, end, COLUMNS):
                    yield rows, slice(j, min(j + COLUMNS, end))


def _unbiased(sums: Float64, kernel: Kernel, points: Float64, n: int, paired: bool) -> float:
    x, y, m = points[:n], points[n:], len(points) - n
    within_x = (n * sums[0] - kernel.diagonal(x).sum() / n) / (n - 1)
    within_y = (m * sums[1] - kernel.diagonal(y).sum() / m) / (m - 1)
    between = -sums[2] / 2
    if paired:
        between = (n * between - kernel.pairs(x, y).sum() / n) / (n - 1)
    return float(within_x + within_y - 2 * between)


def _interval(value: float, n: int, m: int, delta: float, kernel: Kernel, paired: bool) -> Confidence:
    assert kernel.bound is not None
    radius = mmd_radius(n, m, delta, kernel.bound, paired)
    # ‖φ(x) − φ(y)‖² ≤ 2K for every pair of points, since k ≥ 0.
    most = math.sqrt(2 * kernel.bound)
    return Confidence(
        value=value,
        lower=max(0.0, value - radius),
        upper=min(most, value + radius),
        level=1 - delta,
        unit="distance",
        method=f"McDiarmid, {'same-input pairs' if paired else 'independent samples'}",
        guaranteed=True,
        assumptions="independent pairs" if paired else "two independent samples of independent points",
        least=0.0,
        most=most,
    )


def _check_interval(kernel: Any, bandwidth: float | None, delta: float, estimator: str, weighted: bool) -> None:
    check_delta(delta)
    if estimator == "u":
        raise InputError("the interval with delta= is proved for the V-statistic; use estimator='v'")
    if weighted:
        raise InputError("the interval with delta= is proved for equal weights; leave the weights out")
    words = ("linear", "polynomial", "energy")
    if kernel in words if isinstance(kernel, str) else isinstance(kernel, Kernel) and kernel.bound is None:
        raise InputError(f"kernel {kernel!r} is unbounded, but an interval (delta=) needs 0 ≤ k ≤ K; use 'rbf' or 'laplace'")
    if isinstance(kernel, str) and bandwidth is None:
        # Theory F6. A median of another split, which is not audited, will do.
        raise InputError("delta= needs a kernel fixed before the sample was seen; pass bandwidth=, chosen on another split")


def _check_pairs(x: Float64, y: Float64) -> None:
    if len(x) != len(y):
        raise InputError(f"x has {len(x)} points and y has {len(y)}; paired=True needs one y for each x, row by row")
