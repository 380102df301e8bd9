"""Every row that exists, evaluated on a pair."""

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Literal

import numpy as np

from kd2m_theory.bounds.breakdown import Breakdown, breakdown
from kd2m_theory.bounds.clipping import Clipping, clipping, refuse_bound_of_the_sample
from kd2m_theory.bounds.content_order import in_content_order
from kd2m_theory.bounds.own_rows import own_rows
from kd2m_theory.bounds.result import INTERRUPTED, OUT_OF_TIME, BoundResult
from kd2m_theory.bounds.rows import (
    f1_means,
    f2_anchored,
    f3_known_teacher,
    f3_per_sample,
    f4_mmd,
    f5_transport,
    t0_known_teacher,
    t0_label_free,
    t1_paired,
    t2_conditional,
    t3_joint,
    t4_marginal,
    t5_convex,
    t5_two_ends,
    t6_kernel,
    t7_divergence,
    t8_accuracy,
    t9_predictions,
    t10_moments,
)
from kd2m_theory.bounds.rows.row import Requirement, Row, Sides, Situation, two_limits
from kd2m_theory.bounds.settings import Settings
from kd2m_theory.bounds.stream import StreamedPair, streamed_view
from kd2m_theory.bounds.targets import SUBJECTS, Target, Value
from kd2m_theory.bounds.view import View, both_views
from kd2m_theory.bounds.work import Estimate, Part, Rates, RowEstimate, Size, Work, measured_rates, size_of
from kd2m_theory.bounds.worst_labels import refuse_unattainable
from kd2m_theory.checks import did_you_mean
from kd2m_theory.errors import FOREIGN, InputError
from kd2m_theory.estimators import Confidence, clopper_pearson, student_t
from kd2m_theory.estimators.interval_inputs import check_delta
from kd2m_theory.estimators.intervals import difference
from kd2m_theory.pair import Pair

ROWS: tuple[Row, ...] = (
    *t0_label_free.ROWS,
    *t0_known_teacher.ROWS,
    *t1_paired.ROWS,
    *t2_conditional.ROWS,
    *t3_joint.ROWS,
    *t4_marginal.ROWS,
    *t5_convex.ROWS,
    *t5_two_ends.ROWS,
    *t6_kernel.ROWS,
    *t7_divergence.ROWS,
    *t8_accuracy.ROWS,
    *t9_predictions.ROWS,
    *t10_moments.ROWS,
    *f1_means.ROWS,
    *f2_anchored.ROWS,
    *f3_per_sample.ROWS,
    *f3_known_teacher.ROWS,
    *f4_mmd.ROWS,
    *f5_transport.ROWS,
)

Measurement = Callable[[float], Confidence]

# Limits that guaranteed intervals of measured values read.
_GUARANTEED = {
    "accuracy_teacher": two_limits("teacher error"),
    "accuracy_student": two_limits("student error"),
    "error_gap": two_limits("error gap"),
    "disagreement": two_limits("disagreement"),
}
# How much more a row about a target may cost than one about another and still run first: what decides before what explains.
_USEFUL: Mapping[Target, float] = {
    "population_gap": 16.0,
    "population_error_gap": 16.0,
    "gap": 4.0,
    "error_gap": 4.0,
    "gap_shared_head": 2.0,
}


class Ladder:
    """A pair ready to be measured and bounded.

    What is guaranteed about the population is made of limits: statements on one side, each of which may be wrong by chance.
    δ is divided equally among the different limits that are read, so that everything guaranteed holds together with
    probability 1 − δ. An interval reads two limits, a row with one side one; what several rows read is paid for once; rows that
    the pair has no arrays for cost nothing. Intervals of measured values that are guaranteed are read where `only` is None;
    where it names rows, these alone share δ, and each measured value has an interval at 1 − δ by itself. So has, always, each
    measured value whose interval is asymptotic. What is spent follows from the arrays that a pair has and from what
    the audit is told, never from values.

    Args:
        pair: the pair, or what a stream kept of one.
        delta: failure probability of everything guaranteed together.
        only: names of the rows to compute, which then share δ among themselves; all if None.
        settings: what else was decided before looking at the sample.
        rows: of one's own, which follow those of the package.
        with_measured: whether guaranteed intervals of measured values share δ with the rows; where `only` is None, if None.

    Attributes:
        own: names of the rows that are computed and not of the package.
        limits: names of the limits that share δ.
        share: failure probability of each limit, δ over their number.

    Raises:
        InputError: the pair has neither logits nor a head, so there is no risk to speak of; an unknown row; a head constant
            for a pair whose head is known; a loss bound that is the sample's own largest loss; a teacher's risk that no labels
            give; an evaluation of a teacher with other classes; a row of one's own that `own_rows` refuses.

    Example:
        >>> z = np.random.default_rng(0).normal(size=(50, 2))
        >>> ladder = Ladder(Pair(z, 1.1 * z, head_weight=np.eye(2)), delta=0.05, only=["T0", "F3.T0"])
        >>> [(row.name, row.level is None) for row in ladder.evaluate()]
        [('T0', True), ('F3.T0', False)]
        >>> ladder.limits, round(ladder.share, 6), ladder.measure()["disagreement"].level
        (('F3.T0, lower', 'F3.T0, upper'), 0.025, 0.95)
    """

    def __init__(
        self,
        pair: Pair | StreamedPair,
        delta: float,
        only: Sequence[str] | None = None,
        settings: Settings | None = None,
        *,
        rows: Iterable[Row] = (),
        with_measured: bool | None = None,
    ) -> None:
        own = own_rows(rows, ROWS, [limit for limits in _GUARANTEED.values() for limit in limits])
        self.settings = settings or Settings()
        if isinstance(pair, StreamedPair) and self.settings.teacher_risk is not None:
            raise InputError("teacher_risk needs the losses at all labels, which a stream does not keep; audit a Pair")
        pair, like_chance = (pair, pair.like_chance) if isinstance(pair, StreamedPair) else in_content_order(pair)
        self.pair: Pair | StreamedPair = pair
        if self.settings.head_lipschitz is not None and pair.head_weight is not None:
            raise InputError("head_lipschitz is for a head that is not linear, and this pair has head_weight; leave one out")
        features: View | None
        logits: View | None
        if isinstance(pair, StreamedPair):
            features, logits = None, streamed_view(pair, self.settings)
        else:
            features, logits = both_views(pair, self.settings)
        if features is None and logits is None:
            raise InputError(
                "the pair has no risk to bound: pass head_weight and features that fit it, or the logits of both networks "
                "(logits_teacher, logits_student; the first two arrays of Pair are features)"
            )
        refuse_bound_of_the_sample(self.settings.loss_bound, (logits, features))
        if logits is not None:
            refuse_unattainable(logits)
        self._views: dict[str, View | None] = {"features": features, "logits": logits}
        for view in (features, logits):
            if view is not None:
                view.like_chance, view.groups = like_chance, pair.groups
        self.rows = _chosen(only, (*ROWS, *own))
        self.own = tuple(row.name for row in self.rows if row in own)
        self._measurements = self._list_measurements()
        self._together = only is None if with_measured is None else with_measured
        evaluated = self.settings.evaluated
        read = [limit for row in self.rows if not self._lacks(row) for limit in row.reads(evaluated)]
        if self._together:
            read += [limit for name in self._measurements for limit in _GUARANTEED.get(name, ())]
        self.limits = tuple(dict.fromkeys(read))
        self.spend(delta)

    def spend(self, delta: float, *, each: bool = False) -> None:
        """Measure and evaluate at this δ from now on; distances that were computed at another one are kept.

        Args:
            delta: failure probability of everything guaranteed together.
            each: give each row and each measured value all of δ; then they hold one by one, not together.

        Raises:
            InputError: δ is outside (0, 1).
        """
        self._delta, self._each = check_delta(delta), each
        self.share = delta / max(1, len(self.limits))

    def measure(self) -> dict[str, Confidence]:
        """Risks, gaps, accuracies and disagreement of the sample, each with an interval for the population.

        Keys, as far as the pair has what they need: risk_teacher, risk_student, gap, risk_student_shared_head,
        gap_shared_head, head_mismatch (nats; asymptotic); accuracy_teacher, accuracy_student, error_gap, disagreement
        (probability; guaranteed, and for both limits together at their share of δ if all rows are computed).
        """
        shared = self._together and not self._each
        return {
            name: measurement(2 * self.share if shared and name in _GUARANTEED else self._delta)
            for name, measurement in self._measurements.items()
        }

    def clipping(self) -> Clipping | None:
        """What clipping does to the losses of the networks with their own heads; None without logits of both."""
        view = self._views["logits"]
        return None if view is None else clipping(view)

    def breakdown(self, rows: Sequence[BoundResult]) -> Breakdown | None:
        """Where the difference of the two networks comes from; None without logits of both, or where they were not kept.

        Args:
            rows: what `evaluate` returned.
        """
        pair, views = self.pair, self._views
        if isinstance(pair, StreamedPair):
            return None
        names = pair.class_names
        return breakdown(views["logits"], views["features"], rows, row_numbers=pair.row_numbers, class_names=names)

    def evaluate(
        self, watch: Callable[[Iterable[Row]], Iterable[Row]] = iter, *, seconds: float = math.inf, partial: bool = False
    ) -> tuple[BoundResult, ...]:
        """The chosen rows, in ladder order; they are computed in the order of `in_order`, on which no number depends.

        A row that is not computed has the status "not computed". δ was divided among all rows beforehand, so that what the
        others say holds as if it had been.

        Args:
            watch: wraps the iteration over rows, for a progress display.
            seconds: after so many seconds no further row is begun; the one that runs is finished.
            partial: whether a KeyboardInterrupt ends the computation and not the call: rows that are there are returned.
        """
        values: dict[Target, Value] = {}
        found: dict[str, BoundResult] = {}
        start, stopped = time.perf_counter(), ""
        try:
            for row in watch(self.in_order()):
                if time.perf_counter() - start >= seconds:
                    stopped = OUT_OF_TIME
                    break
                found[row.name] = self._evaluate(row, values)
        except KeyboardInterrupt:
            if not partial:
                raise
            stopped = INTERRUPTED
        return tuple(found.get(row.name) or self._evaluate(row, values, stopped) for row in self.rows)

    def in_order(self) -> tuple[Row, ...]:
        """The chosen rows in the order in which they are computed: the most useful for what it adds to the work first.

        Rows that have no number cost nothing. A part that several rows read is paid for by the first of them.

        Example:
            >>> pair = Pair(labels=[0, 1, 1], logits_teacher=np.eye(3)[:, :2], logits_student=np.eye(3)[:, :2])
            >>> [row.name for row in Ladder(pair, 0.05, ["T5.logits", "T1.logits.l2", "F1.gap"]).in_order()]
            ['F1.gap', 'T1.logits.l2', 'T5.logits']
        """
        return tuple(row for row, _ in self._with_work())

    def estimate(self, rates: Rates | None = None) -> Estimate:
        """What the rows are expected to take, from the sizes of the pair; nothing is computed.

        Args:
            rates: how fast the machine is; measured once, in less than a tenth of a second, if None.

        Example:
            >>> z = np.random.default_rng(0).normal(size=(50, 2))
            >>> found = Ladder(Pair(z, 1.1 * z, head_weight=np.eye(2)), delta=0.05, only=["T0", "T1.l2"]).estimate()
            >>> [row.name for row in found.rows], found.seconds < 1.0
            (['T0', 'T1.l2'], True)
        """
        rates = measured_rates() if rates is None else rates
        rows = (
            RowEstimate(name=row.name, seconds=work.seconds(rates), memory=work.memory)
            for row, work in self._with_work()
            if not self._without_work(row)
        )
        arrays = (array for view in self._views.values() if view is not None for array in view.arrays)
        kept = {array.ctypes.data: array.nbytes for array in arrays}  # views may share them
        return Estimate(rows=tuple(rows), samples=float(sum(kept.values())))

    def _with_work(self) -> list[tuple[Row, Work]]:
        """The rows in the order in which they are computed, each with what it adds to the work."""
        sizes = {space: size_of(view) for space, view in self._views.items() if view is not None}
        parts = {row.name: self._parts(row, sizes) for row in self.rows}
        left, paid, ordered = list(self.rows), set[object](), list[tuple[Row, Work]]()
        while left:
            added = {row.name: sum((work for key, work in parts[row.name].items() if key not in paid), Work()) for row in left}
            first = min(left, key=lambda row: added[row.name].together / _USEFUL.get(row.target, 1.0))
            ordered.append((first, added[first.name]))
            paid.update(parts[first.name])
            left.remove(first)
        return ordered

    def _parts(self, row: Row, sizes: Mapping[str, Size]) -> Mapping[object, Work]:
        """The parts of a row's work, each by what tells it from those of other rows."""
        view = self._views[row.space]
        if view is None or self._without_work(row):
            return {}

        def key(k: int, part: Part) -> object:
            if not part.name:
                return row.name, k
            return view.memory_of(part.of_logits), part.name

        return {key(k, part): part.work for k, part in enumerate(row.work(sizes[row.space]))}

    def _list_measurements(self) -> dict[str, Measurement]:
        result: dict[str, Measurement] = {}
        features, logits = self._views["features"], self._views["logits"]
        for view, suffix in ((logits, ""), (features, "_shared_head")):
            if view is not None and self.pair.labels is not None:
                student, teacher = map(view.averaged, view.losses())
                result.setdefault("risk_teacher", partial(student_t, teacher))
                result[f"risk_student{suffix}"] = partial(student_t, student)
                result[f"gap{suffix}"] = partial(_mean_difference, student, teacher, view.paired)
        if logits is not None:
            if features is not None and logits.labels_student is not None:
                result["head_mismatch"] = partial(student_t, logits.averaged(logits.losses()[0] - features.losses()[0]))
            result |= _accuracies(logits)
        return result

    def _unmet(self, row: Row, needs: Iterable[Requirement]) -> str:
        view = self._views[row.space]
        if view is not None and view.streamed is not None and not row.streams:
            return "it needs the logits themselves, and a stream keeps numbers of each sample"
        situation = Situation(self.pair, self.settings, view)
        checked = (need.check(situation) for need in needs if need.blocking)
        return "; ".join(found.evidence for found in checked if found is not None and found.state == "unmet")

    def _missing(self, row: Row) -> str:
        """Why there can be no number; empty if there can."""
        return self._unmet(row, row.requirements)

    def _lacks(self, row: Row) -> bool:
        """Whether there can be no number whatever the values are."""
        return bool(self._unmet(row, (need for need in row.requirements if not need.of_values)))

    def _without_work(self, row: Row) -> bool:
        """Whether it is known without a look at the values that there can be no number."""
        return self._lacks(row) or (row.told is not None and getattr(self.settings, row.told) is None)

    def _spent(self, row: Row) -> float:
        """Failure probability of a row."""
        return self._delta if self._each else len(row.reads(self.settings.evaluated)) * self.share

    def _value(self, target: Target, values: dict[Target, Value]) -> Value:
        if target not in values:
            view = self._views[SUBJECTS[target].space]
            labelled = self.pair.labels is not None
            values[target] = Value(None, 0.0, math.inf) if view is None else SUBJECTS[target].value(view, labelled)
        return values[target]

    def _evaluate(self, row: Row, values: dict[Target, Value], stopped: str = "") -> BoundResult:
        """A row.

        Args:
            row: the row.
            values: of targets, which rows share.
            stopped: why it is not computed; empty if it is.
        """
        view = self._views[row.space]
        situation = Situation(self.pair, self.settings, view)
        checked = (need.check(situation) for need in row.requirements)
        assumptions = tuple(found for found in checked if found is not None)
        result = partial(
            BoundResult,
            name=row.name,
            sentence=row.sentence,
            statement=row.statement,
            source=row.source,
            target=row.target,
            assumptions=assumptions,
            never_beats=row.never_beats,
        )
        missing = self._missing(row)
        status: Literal["not applicable", "not computed"] = "not computed" if stopped and not missing else "not applicable"
        sides, seconds = None, 0.0
        if status == "not computed":
            missing = stopped
        elif not missing and view is not None:
            view.tail = self._spent(row) / max(1, len(row.reads(self.settings.evaluated)))
            sides, seconds, missing = _computed(row, view)
        if sides is None or view is None:
            return result(
                lower=math.nan,
                upper=math.nan,
                measured=None,
                rounding=0.0,
                vacuous_from=math.nan,
                status=status,
                why=missing,
                seconds=0.0,
            )
        value = self._value(row.target, values)
        judged, why = _judge(sides, value, self.pair.labels is not None, row.target, view.classes)
        return result(
            lower=sides.lower,
            upper=sides.upper,
            measured=value.measured,
            rounding=value.rounding,
            vacuous_from=value.vacuous_from,
            status=judged,
            why=why,
            seconds=seconds,
            level=1 - self._spent(row) if row.limits else None,
            distances=sides.distances,
            details=sides.details,
        )


_FAILED, _NO_NUMBER = " failed on these samples", " has no number: its ends do not form an interval"


def at_fault(row: BoundResult) -> bool:
    """Whether a row is not applicable for a reason of its own, and not because the pair lacks something."""
    return row.status == "not applicable" and row.why.startswith((row.name + _FAILED, row.name + _NO_NUMBER))


def _computed(row: Row, view: View) -> tuple[Sides | None, float, str]:
    """A row's numbers and their seconds, or why it has none on these samples: one row that fails is not the end of an audit."""
    try:
        sides, seconds = view.timed(row.compute)
    except MemoryError:
        return None, 0.0, f"{row.name} is too large here: there is not enough memory"
    except FOREIGN as error:  # of a row of the user's own, too
        words = " ".join(str(error).split()) or "no message"
        return None, 0.0, f"{row.name}{_FAILED} ({type(error).__name__}: {words})"
    if not sides.lower <= sides.upper or sides.lower == math.inf or sides.upper == -math.inf:  # NaN is neither
        return None, 0.0, f"{row.name}{_NO_NUMBER} (it says [{sides.lower:g}, {sides.upper:g}])"
    return sides, seconds, ""


def _chosen(only: Sequence[str] | None, rows: Sequence[Row]) -> tuple[Row, ...]:
    known = [row.name for row in rows]
    only = [only] if isinstance(only, str) else None if only is None else list(only)
    unknown = sorted(set(only or ()) - set(known))
    if unknown:
        guess = did_you_mean(unknown[0], known)
        raise InputError(f"there is no row {', '.join(unknown)}; {guess}rows are {', '.join(known)}")
    return tuple(row for row in rows if only is None or row.name in only)


def _judge(
    sides: Sides, value: Value, labelled: bool, target: Target, classes: int
) -> tuple[Literal["informative", "vacuous"], str]:
    """Status of a row and the reason for it."""
    subject = SUBJECTS[target]
    worst = subject.worst + (f", ln {classes}" if subject.unit == "nats" else "")
    if target == "class_w2":
        positive = sides.lower > 0 or sides.upper < math.inf
        return ("informative", "bounds a distance") if positive else ("vacuous", "any distance is at least 0")
    if target in ("error_student", "population_risk", "population_error"):  # a risk, not a difference of two
        if sides.upper >= value.vacuous_from and sides.lower <= 0:
            return "vacuous", f"allows a student with {worst}"
        return (
            "informative",
            f"excludes a student with {worst}" if sides.upper < value.vacuous_from else "excludes a perfect student",
        )
    if sides.lower > 0 or sides.upper < 0:
        return "informative", f"excludes 0: the student's {subject.compared} is {'higher' if sides.lower > 0 else 'lower'}"
    if sides.upper < value.vacuous_from:
        if value.measured is not None or subject.about == "labels":
            return "informative", f"excludes a student with {worst}"
        if labelled:
            return "informative", f"excludes a student with {worst}, if its teacher is as on these samples"
        return "informative", f"the gap is less than {worst}; the teacher's own is unknown without labels"
    if value.least is not None and sides.lower > value.least:
        return "informative", f"excludes that the student's {subject.compared} is as low as can be"
    return "vacuous", f"allows a student with {worst}"


def _mean_difference(student: np.ndarray, teacher: np.ndarray, paired: bool, delta: float) -> Confidence:
    if paired:
        return student_t(student - teacher, delta)
    return difference(student_t(student, delta / 2), student_t(teacher, delta / 2))


def _accuracies(view: View) -> dict[str, Measurement]:
    result: dict[str, Measurement] = {}
    if view.labels_student is not None and view.labels_teacher is not None:
        wrong_s, wrong_t = view.wrong()
        result["accuracy_teacher"] = partial(_share, view, ~wrong_t)
        result["accuracy_student"] = partial(_share, view, ~wrong_s)
        if view.paired:
            result["error_gap"] = partial(f1_means.error_difference, view)
        else:
            result["error_gap"] = partial(_error_difference, wrong_s, wrong_t)
    if view.paired:
        result["disagreement"] = partial(_share, view, view.differ())
    return result


def _share(view: View, events: np.ndarray, delta: float) -> Confidence:
    if view.groups is not None:
        return f1_means.of_groups(view, events, 0.0, delta)
    return clopper_pearson(int(events.sum()), len(events), delta)


def _error_difference(wrong_s: np.ndarray, wrong_t: np.ndarray, delta: float) -> Confidence:
    first, second = (clopper_pearson(int(wrong.sum()), len(wrong), delta / 2) for wrong in (wrong_s, wrong_t))
    return difference(first, second)
