"""Every row that exists, evaluated on a pair."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Literal

import numpy as np

from kd2m_theory.bounds import t0_label_free, t1_paired, t2_conditional, t5_convex
from kd2m_theory.bounds.losses import cross_entropy, errors
from kd2m_theory.bounds.result import BoundResult
from kd2m_theory.bounds.theorem import Row, Sides
from kd2m_theory.bounds.view import View, features_view, logits_view
from kd2m_theory.errors import InputError
from kd2m_theory.estimators import Confidence, clopper_pearson, paired_difference, student_t
from kd2m_theory.estimators.intervals import check_delta, difference
from kd2m_theory.estimators.transport import MAX_PIVOTS
from kd2m_theory.pair import Pair

ROWS: tuple[Row, ...] = (*t0_label_free.ROWS, *t1_paired.ROWS, *t2_conditional.ROWS, *t5_convex.ROWS)


class Ladder:
    """A pair ready to be measured and bounded.

    Raises:
        InputError: the pair has neither logits nor a head, so there is no risk to speak of.
    """

    def __init__(self, pair: Pair, max_pivots: int = MAX_PIVOTS) -> None:
        self.pair = pair
        features, logits = features_view(pair, max_pivots), logits_view(pair, max_pivots)
        if features is None and logits is None:
            raise InputError(
                "the pair has no risk to bound: pass head_weight and features that fit it, or the logits of both networks"
            )
        self._views: dict[str, View | None] = {"features": features, "logits": logits}

    def measure(self, delta: float) -> dict[str, Confidence]:
        """Risks, gaps, accuracies and disagreement of the sample, each with an interval at its own level 1 − δ.

        Keys, as far as the pair has what they need: risk_teacher, risk_student, gap, risk_student_shared_head,
        gap_shared_head, head_mismatch (nats); accuracy_teacher, accuracy_student, error_gap, disagreement (probability).
        """
        check_delta(delta)
        result: dict[str, Confidence] = {}
        features, logits = self._views["features"], self._views["logits"]
        for view, suffix in ((logits, ""), (features, "_shared_head")):
            if view is not None and self.pair.labels is not None:
                student, teacher = view.losses()
                result.setdefault("risk_teacher", student_t(teacher, delta))
                result[f"risk_student{suffix}"] = student_t(student, delta)
                result[f"gap{suffix}"] = _mean_difference(student, teacher, view.paired, delta)
        if logits is not None:
            if features is not None and logits.labels_student is not None:
                own, shared = (cross_entropy(v.logits_student, logits.labels_student) for v in (logits, features))
                result["head_mismatch"] = student_t(own - shared, delta)
            result |= _accuracies(logits, delta)
        return result

    def rows(
        self, only: Sequence[str] | None = None, watch: Callable[[Iterable[Row]], Iterable[Row]] = iter
    ) -> tuple[BoundResult, ...]:
        """Every row, or the named ones, in ladder order.

        Raises:
            InputError: a name that is no row.
        """
        known = [row.name for row in ROWS]
        only = [only] if isinstance(only, str) else only
        unknown = sorted(set(only or ()) - set(known))
        if unknown:
            raise InputError(f"there is no row {', '.join(unknown)}; rows are {', '.join(known)}")
        chosen = [row for row in ROWS if only is None or row.name in only]
        values = self._targets()
        return tuple(self._evaluate(row, values) for row in watch(chosen))

    def _targets(self) -> dict[str, tuple[float | None, float, float]]:
        """For each target: measured value, its rounding, and where an upper bound becomes vacuous."""
        result: dict[str, tuple[float | None, float, float]] = {}
        for target, view in (("gap", self._views["logits"]), ("gap_shared_head", self._views["features"])):
            if view is None:
                result[target] = None, 0.0, math.inf
            elif self.pair.labels is None:
                result[target] = None, 0.0, math.log(view.classes)
            else:
                student, teacher = view.losses()
                risk = math.fsum(teacher) / len(teacher)
                gap = math.fsum(student) / len(student) - risk
                result[target] = gap, view.rounding, math.log(view.classes) - risk
        logits = self._views["logits"]
        if logits is None or logits.labels_student is None or logits.labels_teacher is None:
            result["error_gap"] = None, 0.0, 1.0
        else:
            wrong_s = float(errors(logits.logits_student, logits.labels_student).mean())
            wrong_t = float(errors(logits.logits_teacher, logits.labels_teacher).mean())
            result["error_gap"] = wrong_s - wrong_t, 1e-15, 1.0 - wrong_t
        return result

    def _evaluate(self, row: Row, values: dict[str, tuple[float | None, float, float]]) -> BoundResult:
        view = self._views[row.space]
        measured, rounding, vacuous_from = values[row.target]
        checked = [(need, need.check(self.pair, view)) for need in row.needs]
        assumptions = tuple(assumption for _, assumption in checked)
        head = (row.name, row.statement, row.source, row.target)
        missing = [assumption for need, assumption in checked if need.blocking and assumption.state == "unmet"]
        if missing or view is None:
            why = "; ".join(assumption.evidence for assumption in missing)
            nan = math.nan
            return BoundResult(*head, nan, nan, measured, rounding, vacuous_from, assumptions, "not applicable", why, 0.0)
        sides, seconds = view.timed(row.compute)
        status, why = _judge(sides, vacuous_from, self.pair.labels is not None, row.target, view.classes)
        return BoundResult(
            *head,
            sides.lower,
            sides.upper,
            measured,
            rounding,
            vacuous_from,
            assumptions,
            status,
            why,
            seconds,
            distances=sides.distances,
            details=sides.details,
        )


def _judge(
    sides: Sides, vacuous_from: float, labelled: bool, target: str, classes: int
) -> tuple[Literal["informative", "vacuous"], str]:
    """Status of a row and the reason for it."""
    worst = "an error of 1" if target == "error_gap" else f"the risk of uniform guessing, ln {classes}"
    if sides.lower > 0 or sides.upper < 0:
        return "informative", f"shows that the student is {'worse' if sides.lower > 0 else 'better'} than the teacher"
    if sides.upper >= vacuous_from:
        return "vacuous", f"allows a student with {worst}"
    if labelled:
        return "informative", f"excludes a student with {worst}"
    return "informative", f"the gap is less than {worst}; the teacher's own is unknown without labels"


def _mean_difference(student: np.ndarray, teacher: np.ndarray, paired: bool, delta: float) -> Confidence:
    if paired:
        return student_t(student - teacher, delta)
    return difference(student_t(student, delta / 2), student_t(teacher, delta / 2))


def _accuracies(view: View, delta: float) -> dict[str, Confidence]:
    result: dict[str, Confidence] = {}
    if view.labels_student is not None and view.labels_teacher is not None:
        wrong_s = errors(view.logits_student, view.labels_student)
        wrong_t = errors(view.logits_teacher, view.labels_teacher)
        result["accuracy_teacher"] = clopper_pearson(int((~wrong_t).sum()), len(wrong_t), delta)
        result["accuracy_student"] = clopper_pearson(int((~wrong_s).sum()), len(wrong_s), delta)
        if view.paired:
            first, second = int((wrong_s & ~wrong_t).sum()), int((wrong_t & ~wrong_s).sum())
            result["error_gap"] = paired_difference(first, second, len(wrong_s), delta)
        else:
            sides = (clopper_pearson(int(w.sum()), len(w), delta / 2) for w in (wrong_s, wrong_t))
            result["error_gap"] = difference(*sides)
    if view.paired:
        differ = view.logits_student.argmax(axis=1) != view.logits_teacher.argmax(axis=1)
        result["disagreement"] = clopper_pearson(int(differ.sum()), len(differ), delta)
    return result
