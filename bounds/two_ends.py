"""What slope and curvature at both ends of a segment say about the change of cross-entropy along it, rounded outward.

Along Δ = a_S − a_T let p_t be the softmax of a_T + tΔ, m = min Δ, M = max Δ and r = M − m. With the mean μ of Δ under p_t,
P = μ − m, Q = M − μ and κ = Var Δ, the loss φ(t) = ℓ(a_T + tΔ, y) has φ' = μ − Δ_y and φ'' = μ' = κ, and κ' is the third
central moment. Index 0 is the teacher, 1 the student, and s = μ₁ − μ₀ is how far the slope rises.

*Slopes (S2).* κ ≤ PQ (Bhatia and Davis 2000), so ln(P/Q) rises at a rate of at most r. The latest and the earliest rise that
this allows have closed integrals: with a = ln(P₁/P₀) and b = ln(Q₀/Q₁),

    φ'(0) + (b Q₀ − a P₀)/r ≤ φ(1) − φ(0) ≤ φ'(1) − (a P₁ − b Q₁)/r.

*Slopes and curvatures (S3).* From E[(Δ − m)(Δ − μ − κ/P)²] ≥ 0 and its mirror image, κ/P − P ≤ dκ/dμ ≤ Q − κ/Q. Every law on
two values attains one of them, so extremal curves κ(x), x = μ − μ₀, are products of two linear factors:

    C1  (Q₀ − x)(x + κ₀/Q₀)       the steepest rise from the start,
    C2  (P₀ + x)(β − x)           the steepest fall,
    C3  (Q₀ − x)(x − s + κ₁/Q₁)   the steepest rise into the end.

Let κ* be C1 up to x_a, C2 up to x_b and C3 up to s, with any 0 ≤ x_a ≤ x_b ≤ s and any β. A curve that the moments allow lies
below κ* before x_a and above it after x_b, and in between it crosses κ* once, from below: there κ* falls as steeply as is
allowed. Call the crossing x_c. As (x − x_c)(1/κ − 1/κ*) ≤ 0 everywhere and ∫dx/κ = 1, with T = ∫dx/κ* and J = ∫x dx/κ*,

    φ(1) − φ(0) − φ'(0) = ∫x dx/κ ≤ J + (1 − T) x_c ≤ J + (1 − T) x_b  if T ≤ 1,   J + (1 − T) x_a  if T > 1.

So every β gives a valid number, and that with T = 1 the best: what is lost by stopping the search early is lost on the safe
side. The lower side is the upper one with the ends exchanged.

Rounding. Logits are taken less the largest of their row. A difference of two is then right to a rounding of the deeper one,
which is as if that logit had been moved by as little: it changes a loss by Σ p_c ε depth_c ≤ ε ln K and ε depth_y, and a
probability by ε depth_c of itself. Sums are of terms of one sign. Larger P, Q and κ₀ and a smaller κ₁ only allow more, so
they are rounded that way. A class that is as good as impossible at both ends is left out: that moves no loss, and r is smaller.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from kd2m_theory.arrays import Float64, Int64
from kd2m_theory.estimators.ground import EPS
from kd2m_theory.side_by_side import side_by_side

Bool = NDArray[np.bool_]

# A probability below this, at both ends, moves no loss by a rounding.
_IMPOSSIBLE = 2.0**-70
# Below it a probability has lost digits.
_SMALLEST = 2.0**-1022
# Logits that lie deeper have probability zero in float64.
_DEEPEST = 750.0
# Numbers in an array over pairs and classes, of which a few are held at once; and pairs in an array over pairs: on shorter ones
# threads wait for one another.
_BLOCK, _PAIRS = 2**17, 2**15
# Numbers in the arrays over pairs and classes that one core goes through.
_TOGETHER = 2**22
# A search for T = 1 ends when T is this near, for a rise of a thousandth of a nat and more, or after so many steps.
_TIME, _STEPS = 1e-8, 32
# Steps that together may leave more than half of an interval; and the share of open pairs at which the others are dropped.
_PATIENCE, _WORTH = 3, 0.75
# No logarithm of a ratio of two positive float64 numbers is larger.
_LARGEST_LOG = 1500.0


@dataclass(frozen=True, slots=True)
class Cloud:
    """Points of one network, each with its class.

    Attributes:
        logits: n × K, less the largest of each row.
        probability: n × K.
        depth: n; how far the least logit lies below the largest, at most 750.
        top: n; the likeliest class.
        impossible: n × K; classes that may be left out where the other end agrees, never the label.
        labels: n.
        losses: cross-entropy of each point, n, nats.
    """

    logits: Float64
    probability: Float64
    depth: Float64
    top: Int64
    impossible: Bool
    labels: Int64
    losses: Float64

    def part(self, points: slice) -> "Cloud":
        """Some of the points."""
        return Cloud(**{name: getattr(self, name)[points] for name in self.__dataclass_fields__})


def cloud_of(logits: Float64, labels: Int64) -> Cloud:
    """The points with these logits (n × K) and classes (n)."""
    points = np.arange(len(labels))
    lowered = logits - logits.max(axis=1, keepdims=True)
    with np.errstate(under="ignore"):
        probability = np.exp(lowered)
    total = probability.sum(axis=1, keepdims=True)
    probability /= total
    impossible = probability < _IMPOSSIBLE
    impossible[points, labels] = False
    return Cloud(
        logits=lowered,
        probability=probability,
        depth=np.minimum(_DEEPEST, -lowered.min(axis=1)),
        top=lowered.argmax(axis=1),
        impossible=impossible,
        labels=labels,
        losses=np.log(total[:, 0]) - lowered[points, labels],
    )


@dataclass(frozen=True, slots=True)
class End:
    """Moments of Δ under the softmax at one end of each pair's segment.

    Attributes:
        slope: φ' there, nats.
        slope_error: bound on its rounding error.
        low: P = μ − m.
        high: Q = M − μ.
        curvature: κ, the variance of Δ.
    """

    slope: Float64
    slope_error: Float64
    low: Float64
    high: Float64
    curvature: Float64


@dataclass(frozen=True, slots=True)
class Segments:
    """Pairs of a teacher's and a student's point, with what the two ends of their segments say.

    Attributes:
        teacher: the end t = 0.
        student: the end t = 1.
        rise: s = μ₁ − μ₀, at least 0.
        reach: r.
        relative: bound on the relative rounding error of P, Q and κ.
        least: how much underflow may have taken from P and Q; times max(r, 1) from κ.
        loss_error: how far rounding of the logits may have moved the change of the loss, nats.
    """

    teacher: End
    student: End
    rise: Float64
    reach: Float64
    relative: Float64
    least: Float64
    loss_error: Float64


@dataclass(frozen=True, slots=True)
class Enclosures:
    """lower ≤ φ(1) − φ(0) ≤ upper of each pair, nats: from the slopes, and from slopes and curvatures."""

    envelope_lower: Float64
    envelope_upper: Float64
    sharp_lower: Float64
    sharp_upper: Float64


def enclosures(student: Cloud, teacher: Cloud, rows: Int64, columns: Int64) -> Enclosures:
    """What the ends say about the change of the loss from the teacher's points `columns` to the student's `rows`."""
    classes = student.logits.shape[1]
    step = max(1, min(_PAIRS, _TOGETHER // classes))

    def sides(pairs: slice) -> tuple[Float64, ...]:
        mine, theirs = rows[pairs], columns[pairs]
        few = _blocks(len(mine), max(1, _BLOCK // classes))
        segments = _joined([_segments(student, teacher, mine[those], theirs[those]) for those in few])
        envelope = _envelope(segments)
        return (*envelope, *_sharp(segments, *envelope))

    with np.errstate(all="ignore"):  # what is not finite is discarded
        parts = side_by_side((_BLOCK, partial(sides, block)) for block in _blocks(len(rows), step))
    return Enclosures(*(np.concatenate(each) for each in zip(*parts, strict=True)))


def _blocks(pairs: int, step: int) -> Iterator[slice]:
    return (slice(start, start + step) for start in range(0, pairs, step))


def _joined(parts: Sequence[Segments]) -> Segments:
    """All pairs of the parts, in their order."""

    def ends(which: str) -> End:
        each = [getattr(part, which) for part in parts]
        return End(**{name: np.concatenate([getattr(end, name) for end in each]) for name in End.__dataclass_fields__})

    numbers = ("rise", "reach", "relative", "least", "loss_error")
    joined = {name: np.concatenate([getattr(part, name) for part in parts]) for name in numbers}
    return Segments(teacher=ends("teacher"), student=ends("student"), **joined)


def _segments(student: Cloud, teacher: Cloud, rows: Int64, columns: Int64) -> Segments:
    labels, classes, pairs = student.labels[rows], student.logits.shape[1], np.arange(len(rows))
    change = student.logits[rows]
    change -= teacher.logits[columns]
    at_student, at_teacher = student.probability[rows], teacher.probability[columns]
    if student.impossible.any() and teacher.impossible.any():
        left_out = student.impossible[rows] & teacher.impossible[columns]
        change = np.where(left_out, change[pairs, labels][:, None], change)
        at_student[left_out] = at_teacher[left_out] = 0.0
    depth = np.maximum(student.depth[rows], teacher.depth[columns])
    relative = 4 * EPS * (classes + 8 + depth)
    least, most = change.min(axis=1), change.max(axis=1)
    above, below = change - least[:, None], most[:, None] - change
    centred = np.empty_like(change)
    tops = student.top[rows], teacher.top[columns]
    at_tops = change[pairs, tops[0]], change[pairs, tops[1]]
    ends, means = [], []
    for probability, at_top in zip((at_student, at_teacher), at_tops, strict=True):
        # Centred at the likeliest class, so that a variance as small as the other classes' probability keeps its digits.
        np.subtract(change, at_top[:, None], out=centred)
        mean = np.einsum("ij,ij->i", probability, centred)
        centred -= mean[:, None]
        centred *= centred
        low, high = np.einsum("ij,ij->i", probability, above), np.einsum("ij,ij->i", probability, below)
        moved = np.minimum(low + (at_top - least), high + (most - at_top))  # at least Σ p |Δ − Δ_top|
        to_label = at_top - change[pairs, labels]
        ends.append(
            End(
                slope=mean + to_label,
                slope_error=2 * relative * moved + 4 * EPS * np.abs(to_label),
                low=low,
                high=high,
                curvature=np.einsum("ij,ij->i", probability, centred),
            )
        )
        means.append(mean)
    own_depth = -student.logits[rows, labels] - teacher.logits[columns, labels]
    return Segments(
        teacher=ends[1],
        student=ends[0],
        rise=np.maximum((means[0] - means[1]) + (at_tops[0] - at_tops[1]), 0.0),
        reach=most - least,
        relative=relative,
        least=classes * _SMALLEST * np.maximum(most - least, 1.0),
        loss_error=8 * EPS * (classes + 8 + own_depth),
    )


def _between(segments: Segments) -> tuple[Float64, Float64]:
    """φ'(0) and φ'(1), which enclose the change as φ is convex, moved outward."""
    lower = segments.teacher.slope - segments.teacher.slope_error - segments.loss_error
    return lower, segments.student.slope + segments.student.slope_error + segments.loss_error


def _logarithms(segments: Segments) -> tuple[Float64, Float64]:
    """a = ln(P₁/P₀) and b = ln(Q₀/Q₁)."""
    start, end, least = segments.teacher, segments.student, segments.least
    a, b = np.log(end.low + least) - np.log(start.low + least), np.log(start.high + least) - np.log(end.high + least)
    return np.maximum(a, 0.0), np.maximum(b, 0.0)


def _formula_error(segments: Segments, a: Float64, b: Float64) -> Float64:
    """How far relative errors of P and Q may move a P/r or b Q/r."""
    result: Float64 = 4 * segments.relative * (6 + np.minimum(a + b, _LARGEST_LOG))
    return result


def _envelope(segments: Segments) -> tuple[Float64, Float64]:
    """S2: from the slopes."""
    start, end, reach = segments.teacher, segments.student, segments.reach
    a, b = _logarithms(segments)
    error = _formula_error(segments, a, b) + segments.loss_error
    lower = start.slope + (b * start.high - a * start.low) / reach - start.slope_error - error
    upper = end.slope - (a * end.low - b * end.high) / reach + end.slope_error + error
    least, most = _between(segments)
    return np.fmax(least, lower), np.fmin(most, upper)


def growths(reach: Float64) -> tuple[Float64, Float64]:
    """g(r) = (e^r − 1 − r)/r², rounded up, infinite where e^r overflows; and h(r) = g(−r), rounded down."""
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):  # what is not finite is replaced, or g is infinite
        rise, square = np.expm1(reach), reach * reach
        grows = (rise - reach) / square
        rise /= 1 + rise  # 1 − e^−r
        np.copyto(rise, 1.0, where=np.isnan(rise))
        falls = (reach - rise) / square
    small = reach < 1e-2
    if small.any():
        r = reach[small]
        even, odd = 0.5 + r**2 / 24, r / 6 + r**3 / 120
        grows[small], falls[small] = even + odd + r**4 / 700, even - odd
    grows *= 1 + 1e-11
    falls *= 1 - 1e-11
    return grows, falls


def _curved(
    segments: Segments, start_most: Float64, start_least: Float64, end_most: Float64, end_least: Float64
) -> tuple[Float64, Float64]:
    """T5.curved: from one slope and one curvature, each between its least and its most."""
    start, end = segments.teacher, segments.student
    grows, falls = growths(segments.reach)
    from_start, from_end = start.slope_error + segments.loss_error, end.slope_error + segments.loss_error
    lower = np.fmax(start.slope + falls * start_least - from_start, end.slope - grows * end_most - from_end)
    upper = np.fmin(start.slope + grows * start_most + from_start, end.slope - falls * end_least + from_end)
    return lower, upper


def _sharp(segments: Segments, lower: Float64, upper: Float64) -> tuple[Float64, Float64]:
    """S3: from slopes and curvatures, and never worse than the given sides, nor than T5.curved.

    Where a curvature is within its rounding of the largest that the slope allows, the curves are not known well enough to be
    better than the older ones.
    """
    start, end = segments.teacher, segments.student
    error = _formula_error(segments, *_logarithms(segments)) + segments.loss_error
    # The rise is wrong by no more than both slopes, and moves the area by no more than itself.
    error = error + 2 * (start.slope_error + end.slope_error)
    grow, tiny = 1 + segments.relative, segments.least
    tiny_square = tiny * np.maximum(segments.reach, 1.0)
    low, high = start.low * grow + tiny, end.high * grow + tiny
    start_most, end_most = (each.curvature * grow + tiny_square for each in (start, end))
    start_least, end_least = (np.maximum(each.curvature * (2 - grow) - tiny_square, 0.0) for each in (start, end))
    early = _largest_area(low, high, start_most, end_least, segments.rise)
    late = _largest_area(high, low, end_most, start_least, segments.rise)
    older = _curved(segments, start_most, start_least, end_most, end_least)
    return (
        np.fmax(np.fmax(lower, older[0]), end.slope - late - end.slope_error - error),
        np.fmin(np.fmin(upper, older[1]), start.slope + early + start.slope_error + error),
    )


@dataclass(frozen=True, slots=True)
class _Curves:
    """The extremal curves of each pair: what of C1, C2 and C3 does not depend on β. Index 0 is the start of the rise s.

    Attributes:
        low_0, high_0, low_1, high_1: P and Q at both ends.
        rise: s.
        u_0: κ₀/Q₀.
        u_1: κ₁/Q₁, at most P₁.
        most: the largest z, u₁r/P₁.
    """

    low_0: Float64
    high_0: Float64
    low_1: Float64
    high_1: Float64
    rise: Float64
    u_0: Float64
    u_1: Float64
    most: Float64

    def some(self, chosen: Int64) -> "_Curves":
        """Those of the chosen pairs."""
        return _Curves(**{name: getattr(self, name)[chosen] for name in self.__dataclass_fields__})

    def area(self, z: Float64) -> tuple[Float64, Float64]:
        """An upper bound on ∫₀¹(μ − μ₀)dt from the curve with β = s − κ₁/Q₁ + z, and ln T."""
        low_0, high_0, low_1, high_1, rise, u_0, u_1 = (
            self.low_0, self.high_0, self.low_1, self.high_1, self.rise, self.u_0, self.u_1,
        )  # fmt: skip
        reach = low_1 + high_1
        # Where C1 meets C2, and C2 meets C3, at x_b = s − v; there C3 is d above its zero and β lies g above.
        beta = rise - u_1 + z
        gap = reach - u_0 - beta
        x_a = np.where(gap > 0, (low_0 * beta - u_0 * high_0) / gap, rise)
        x_a = np.clip(np.where(np.isfinite(x_a), x_a, rise), 0.0, rise)
        # d = z(P₁ − u₁)/(r − z) and g = z(Q₁ + u₁ − z)/(r − z), without a difference that can cancel to less than nothing.
        spare, left = (low_1 - u_1) / low_1, self.most - z
        share = reach * spare + left
        g, d = z * (high_1 * spare + left) / share, np.minimum(z * low_1 * spare / share, u_1)
        v = np.maximum(u_1 - d, 0.0)
        met = v >= rise - x_a  # C1 meets C3 first
        v = np.where(met, rise - x_a, v)
        d = np.where(met, u_1 - v, d)
        w = np.where(met, 0.0, rise - v - x_a)
        beta = rise - v + g
        x_b = rise - v
        # ∫dx/κ* and ∫x dx/κ* of the pieces, from the logarithms of the ratios of their factors at both ends.
        p_1, q_1 = np.log1p(x_a / u_0), -np.log1p(-x_a / high_0)
        p_2, q_2 = np.log1p(w / (low_0 + x_a)), np.log1p(w / g)
        p_3, q_3 = np.where(d > 0.5 * u_1, -np.log1p(-v / u_1), np.log(u_1 / d)), np.log1p(v / high_1)
        first, second, third = x_a > 0, w > 0, v > 0
        width_1, width_2, width_3 = high_0 + u_0, low_0 + beta, high_1 + u_1
        time = np.where(first, (p_1 + q_1) / width_1, 0.0)
        time += np.where(second, (p_2 + q_2) / width_2, 0.0)
        time += np.where(third, (p_3 + q_3) / width_3, 0.0)
        area = np.where(first, (high_0 * q_1 - u_0 * p_1) / width_1, 0.0)
        area += np.where(second, (beta * q_2 - low_0 * p_2) / width_2, 0.0)
        area += np.where(third, (high_0 * q_3 + (rise - u_1) * p_3) / width_3, 0.0)
        slow = ~(time <= 1)
        area += (1 - time) * np.where(slow, x_a, x_b)
        # Relative errors of the logarithms, and what cancels in x_a/Q₀ and in w.
        error = (rise + reach) * time + np.where(first, x_a / (high_0 - x_a) + 1, 0.0)
        ends = 1 / (g + w) + 1 / (low_0 + x_a + w)
        error += np.where(second, rise * ends * (rise + width_2) / width_2, 0.0)
        return area + 8 * EPS * error, np.log(time)


def _largest_area(low_0: Float64, high_1: Float64, curvature_0: Float64, curvature_1: Float64, rise: Float64) -> Float64:
    """X: an upper bound on ∫₀¹(μ − μ₀)dt, in [0, s]: the best of the curves that a search for T = 1 meets.

    P₀, Q₁ and κ₀ may be too large and κ₁ too small: that only allows more. The search is for ln z, z = β − s + κ₁/Q₁, between
    the curves on which C2 meets the start and on which it meets the end; T falls as z rises.
    """
    high_0, low_1 = high_1 + rise, low_0 + rise
    reach = low_1 + high_1
    u_1 = np.minimum(curvature_1 / high_1, low_1)
    highest = np.maximum(u_1 * (reach / low_1), reach * 1e-300)
    lowest = np.minimum(np.maximum(curvature_0 / low_0 - rise + u_1, 1e-307), highest)
    curves = _Curves(
        low_0=low_0, high_0=high_0, low_1=low_1, high_1=high_1, rise=rise, u_0=curvature_0 / high_0, u_1=u_1, most=highest
    )
    left, right = np.log(lowest), np.log(highest)
    (area, slow), (other, fast) = curves.area(lowest), curves.area(highest)
    best = np.fmin(np.fmin(area, other), rise)
    side, patience = np.zeros((2, len(rise)))
    sought, open_pairs = np.ones(len(rise), dtype=bool), np.arange(len(rise))
    for _ in range(_STEPS):
        # Regula falsi with the rule of Anderson and Björck; halved where a few steps together did not.
        crossing, width = (left * fast - right * slow) / (fast - slow), right - left
        inside = (crossing > left) & (crossing < right) & (patience < _PATIENCE)
        here = np.where(inside, crossing, (left + right) / 2)
        area, late = curves.area(np.exp(here))
        # A pair that has settled is let alone, so that no number depends on the other pairs.
        best[open_pairs] = np.fmin(best[open_pairs], np.where(sought, area, np.inf))
        above = ~(late <= 0)  # T > 1
        less = 1 - late / np.where(above, slow, fast)
        less = np.where(less > 0, less, 0.5)
        slow, fast = (
            np.where(above, late, np.where(side < 0, slow * less, slow)),
            np.where(above, np.where(side > 0, fast * less, fast), late),
        )
        left, right, side = np.where(above, here, left), np.where(above, right, here), np.where(above, 1.0, -1.0)
        patience = np.where((right - left <= width / 2) | (patience >= _PATIENCE), 0.0, patience + 1)
        sought &= ~(np.abs(late) <= _TIME) & (right - left > _TIME)
        more = np.flatnonzero(sought)
        if not len(more):
            break
        if len(more) < _WORTH * len(open_pairs):
            curves, open_pairs, sought = curves.some(more), open_pairs[more], sought[more]
            left, right, slow, fast, side, patience = (each[more] for each in (left, right, slow, fast, side, patience))
    return best
