"""The largest gap over all labels at which the teacher's loss has a given mean, and the teacher's risk that a gap needs.

With U_y = ℓ_S(y) − ℓ_T(y), a mean ρ₋ ≤ E ℓ_T(Y) ≤ ρ₊ and every λ:

    E U_Y ≤ max(λρ₋, λρ₊) + E max_y [U_y − λ ℓ_T(y)]

The right side is convex in λ and is minimised by a search along tangents; whatever λ is found, the number is a bound. At the
best λ it is the largest mean over all label kernels q(y|x), the dual of a linear program. For lower bounds U_y is −U_y.
"""

import math
from collections.abc import Callable

import numpy as np

from kd2m_theory.arrays import Float64, Int64
from kd2m_theory.bounds.known import QUANTITIES, SINGLE, Known, evaluated
from kd2m_theory.bounds.losses import clipped, log_partition
from kd2m_theory.bounds.settings import Settings
from kd2m_theory.bounds.view import View, logits_view
from kd2m_theory.checks import real_number
from kd2m_theory.errors import InputError
from kd2m_theory.estimators.betting import betting_limits
from kd2m_theory.estimators.ground import EPS
from kd2m_theory.pair import Pair
from kd2m_theory.side_by_side import by_rows, row_blocks

_CLOSE = 1e-7  # relative: a search ends where tangents leave no more to gain
_STEPS, _LARGEST = 60, 2.0**40
# How often a sample of the stated population may be refused by chance, at most.
_REFUSED = 1e-6


class WorstLabels:
    """Losses of all labels of a view's inputs, for searches over λ. A block of inputs at a time: no n × K numbers are kept.

    Args:
        view: of logits.
    """

    def __init__(self, view: View) -> None:
        # Cross-entropy does not see an offset of a row's logits, and without it less is rounded. The change of a logit may be
        # much smaller than the logits: it is taken of these as they are.
        self._logits = view.stored_logits_student, view.stored_logits_teacher
        tops = self._logits[0].max(axis=1), self._logits[1].max(axis=1)
        self.classes, self._risk_error, self._replay_error = view.classes, view.risk_error, view.replay_extreme
        student, self._teacher_sum = (
            by_rows(lambda logits, top: log_partition(logits - top[:, None]), logits, top)
            for logits, top in zip(self._logits, tops, strict=True)
        )
        least, largest = view.changes()
        self._top, self._offset = tops[1], tops[0] - tops[1]
        self._size = np.maximum(np.abs(least), np.abs(largest)) + np.abs(self._offset)
        self._difference = student - self._teacher_sum
        self.predicted: Int64 = self._logits[1].argmax(axis=1)

    def least_risk(self, rows: Int64) -> float:
        """E min_y ℓ_T(y) over some inputs: no labels give the teacher a smaller risk. Rounded down."""
        risk = _mean(self._teacher_sum[rows])
        return max(0.0, risk - self._risk_error(risk))

    def intercept(self, sign: int, weight: float) -> float:
        """E max_y [sign · U_y − λℓ_T(y)] over all inputs, rounded up: sign · (R_S − R_T) is at most this plus λR_T."""
        return self._value(np.arange(len(self.predicted)), sign, weight)[0]

    def least_risk_of_population(self, rows: Int64, bound: float) -> float:
        """Lower limit of the population's E min_y min(ℓ_T(y), B), wrong with probability 10⁻⁶ at most."""
        most = math.log(self.classes)
        least = clipped(np.clip(self._teacher_sum[rows], 0.0, most), bound)
        return betting_limits(least, 0.0, most, _REFUSED, in_order=False)[0] if len(rows) > 1 else 0.0

    def largest_risk(self, rows: Int64) -> float:
        """E max_y ℓ_T(y) over some inputs, rounded up."""
        least = self._logits[1].taken(rows).min(axis=1) - self._top[rows]
        risk = _mean(self._teacher_sum[rows] - least)
        return risk + self._risk_error(risk)

    def most(self, rows: Int64, sign: int, low: float, high: float) -> tuple[float, float]:
        """Upper bound on the mean of sign · U_Y over some inputs if the teacher's risk on them is in [low, high].

        Args:
            rows: indices of the inputs.
            sign: 1 for how much the gap can be, −1 for how little.
            low: lower end for the teacher's risk, nats.
            high: upper end; infinite if nothing is known, which is T0.

        Returns:
            The bound, rounded up, and the λ that it was found at.
        """
        best, at = self._value(rows, sign, 0.0)[0], 0.0
        if math.isfinite(high):
            best, at = min((best, at), self._search(rows, sign, high + self._risk_error(high), 1.0))
        if low > 0:
            best, at = min((best, at), self._search(rows, sign, low - self._risk_error(low), -1.0))
        return best, at

    def risk_needed(self, more: float) -> float:
        """ρ* such that a gap above `more` needs a teacher's risk above ρ*: max_λ (more − E max_y [U_y − λℓ_T(y)]) / λ.

        Infinite if no labels give such a gap; if the likeliest labels do, no more than the risk that these give.
        """
        rows = np.arange(len(self.predicted))
        if self._value(rows, 1, 0.0)[0] <= more:
            return math.inf
        best = self.least_risk(rows)
        left, right = -30.0, 30.0
        for _ in range(_STEPS):  # where a tangent meets λ = 0 at `more`, its slope is ρ*
            middle = (left + right) / 2
            weight = 2.0**middle
            value, slope = self._value(rows, 1, weight)
            needed = (more - value) / weight
            best = max(best, needed - 4 * EPS * abs(needed))
            if value - weight * slope > more:
                left = middle
            else:
                right = middle
            if right - left < 1e-6:
                break
        return best

    def _search(self, rows: Int64, sign: int, risk: float, direction: float) -> tuple[float, float]:
        """min over λ of that sign of λ · risk + E max_y [sign · U_y − λℓ_T(y)], and its λ."""

        def function(size: float) -> tuple[float, float]:
            weight = direction * size
            value, slope = self._value(rows, sign, weight)
            total = value + weight * risk
            return total + 4 * EPS * (abs(value) + size * risk), direction * (slope + risk)

        size, best = least(function)
        return best, direction * size

    def _value(self, rows: Int64, sign: int, weight: float) -> tuple[float, float]:
        """E max_y [sign · U_y − λℓ_T(y)], rounded up, and its slope in λ."""
        values, losses, size = [], [], 0.0
        for part in row_blocks(len(rows), self.classes):
            block = rows[part]
            own = self._logits[1][block]
            change, teacher = self._logits[0][block] - own, own - self._top[block, None]
            score = weight * teacher - sign * (change - self._offset[block, None])
            best = score.argmax(axis=1)
            places = np.arange(len(block)), best
            values.append(score[places] + sign * self._difference[block] - weight * self._teacher_sum[block])
            losses.append(self._teacher_sum[block] - teacher[places])
            size += float(self._size[block].sum())
            if weight < 0:
                size -= weight * float((self._teacher_sum[block] - teacher.min(axis=1)).sum())
        mean, slope = _mean(np.concatenate(values)), -_mean(np.concatenate(losses))
        # A label with a large teacher's loss is not chosen unless its change of loss is as large, up to λ ln K.
        extent = 3 * size / len(rows) + abs(weight) * (4 * math.log(self.classes) + self.classes + 8) + self.classes + 8
        return mean + 8 * EPS * (extent + abs(mean)) + (1 + abs(weight)) * self._replay_error, slope


def worst_labels(view: View) -> WorstLabels:
    """The losses of all labels of a view of logits: one for all that ask."""
    return view.shared("losses of all labels", lambda: WorstLabels(view), of_logits=True)


def teacher_risk_needed(pair: Pair, more: float) -> float:
    """How large the teacher's risk on a pair's inputs must be for the student's to be larger by more than a number of nats.

    The teacher's risk may be above it without such a gap. It is max_λ (more − E max_y [U_y − λℓ_T(y)]) / λ, the inverse of row
    T0.teacher_risk (T0.known), rounded down. No labels are read.

    Args:
        pair: with logits of both networks, or features and a head to compute them, of the same inputs.
        more: the gap, in nats.

    Returns:
        A risk in nats; infinite if no labels give such a gap.

    Raises:
        InputError: there are no logits, the inputs are not the same, or `more` is not finite.

    Example:
        >>> pair = Pair(logits_teacher=[[4.0, 0.0], [0.0, 4.0]], logits_student=[[3.0, 0.0], [0.0, 6.0]])
        >>> print(f"{teacher_risk_needed(pair, 0.1):.3f}", teacher_risk_needed(pair, 3.0))
        0.203 inf
    """
    view = logits_view(pair, Settings())
    if view is None or not view.paired:
        raise InputError("the pair has no logits of both networks on the same inputs; pass them, or features and head_weight")
    if not math.isfinite(real_number(more)):
        raise InputError(f"more is {more!r}; give a finite number of nats")
    return worst_labels(view).risk_needed(float(more))


def least(function: Callable[[float], tuple[float, float]]) -> tuple[float, float]:
    """Where a convex function on [0, ∞) is (nearly) least, and its value there.

    Args:
        function: value and slope (of a tangent) at a point.

    Returns:
        The point and the value.

    Example:
        >>> point, value = least(lambda x: (max(3 - 2 * x, x), -2.0 if x < 1 else 1.0))
        >>> round(point, 6), round(value, 6)
        (1.0, 1.0)
    """
    left, (value, slope) = 0.0, function(0.0)
    best, at, tangent = value, 0.0, (value, slope)
    if slope >= 0:
        return at, best
    right = 1.0
    while True:
        value, slope = function(right)
        if value < best:
            best, at = value, right
        if slope >= 0 or right >= _LARGEST:
            break
        left, tangent, right = right, (value, slope), 4 * right
    other = value, slope
    for step in range(_STEPS):
        # Both tangents are below the function; where they meet is the least that it can be.
        width = tangent[1] - other[1]
        if not width < 0:
            break
        meet = min(max((other[0] - tangent[0] + tangent[1] * left - other[1] * right) / width, left), right)
        floor = tangent[0] + tangent[1] * (meet - left)
        if best - floor <= _CLOSE * (1e-9 + abs(best)):
            break
        point = meet if step % 3 else (left + right) / 2  # now and then by halves, where tangents creep
        value, slope = function(point)
        if value < best:
            best, at = value, point
        if slope < 0:
            left, tangent = point, (value, slope)
        else:
            right, other = point, (value, slope)
    return at, best


def _mean(values: Float64) -> float:
    return math.fsum(values) / len(values)


def refuse_unattainable(view: View) -> None:
    """Refuse what was said of the teacher and cannot be true, whatever the labels are.

    On these inputs a risk lies between those of the likeliest and of the least likely labels. A population has a risk of at
    least its E min_y ℓ_T(y), of which the sample gives a lower limit that is wrong with probability 10⁻⁶. Error rates from 0
    to 1 are all attained.

    Args:
        view: of logits.

    Raises:
        InputError: such a risk; a class that the teacher does not have; an evaluation of another number of classes.
    """
    for quantity in QUANTITIES:
        value = getattr(view.settings, quantity)
        if isinstance(value, Pair):
            evaluated(value, quantity, view.classes)
        elif isinstance(value, Known) and value.classes is not None and max(value.classes) >= view.classes:
            raise InputError(f"{quantity} names class {max(value.classes)}; classes are 0 to {view.classes - 1}")
    known = view.settings.teacher_risk
    if not isinstance(known, Known) or not view.paired:  # of other inputs, no row uses it
        return
    labels = worst_labels(view)
    for rows, interval in known.cells(labels.predicted, SINGLE):
        if interval is None:
            continue
        where = "" if known.classes is None else f" where it predicts class {labels.predicted[rows[0]]}"
        if known.about == "sample":
            least, most = labels.least_risk(rows), labels.largest_risk(rows)
            reason = "any labels of these inputs could give"
        else:
            least, most = labels.least_risk_of_population(rows, view.loss_bound), math.inf
            reason = "any labels could give in a population of which these inputs are a sample"
        if interval[1] < least:
            raise InputError(
                f"the stated teacher_risk{where} is {interval[1]:.8g} at most, below the least that {reason}, {least:.8g}; "
                "it is that of other inputs, of another network, or not in nats"
            )
        if interval[0] > most:
            raise InputError(
                f"the stated teacher_risk{where} is {interval[0]:.8g} at least, above the most that {reason}, {most:.8g}; "
                "it is that of other inputs, of another network, or not in nats"
            )
