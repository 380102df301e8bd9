"""T0 with what is known of the teacher on these inputs: statements "if the teacher's risk here is at most ρ".

    R_S − R_T ≤ λρ + E max_y [U_y − λℓ_T(y)],      R_S − R_T ≥ −λρ + E min_y [U_y + λℓ_T(y)],      U_y = ℓ_S(y) − ℓ_T(y)
    max(−d, d − 2e) ≤ err_S − err_T ≤ min(d, 1 − e),      d = P(ŷ_S ≠ ŷ_T), e = err_T; of two classes the upper side is that
    of d − 2(d + e − 1)₊

Every λ ≥ 0 is a bound, and on a sample the best may be taken; where the teacher's risk has a lower end, λ < 0 too. What is
known by predicted class is used class by class, and the parts add up.
"""

import math

import numpy as np

from kd2m_theory.bounds.known import SINGLE, Interval, Known
from kd2m_theory.bounds.rows.row import ERROR_SLACK, LOGITS, SAME_INPUTS, TEACHER_ERROR, TEACHER_RISK, Row, Sides
from kd2m_theory.bounds.view import View
from kd2m_theory.bounds.worst_labels import worst_labels
from kd2m_theory.estimators.ground import EPS


def _risk(view: View) -> Sides:
    known: Known = view.settings.teacher_risk
    labels = worst_labels(view)
    n, ends, weights = len(labels.predicted), [0.0, 0.0], [0.0, 0.0]
    for rows, interval in known.cells(labels.predicted, SINGLE):
        low, high = interval or (0.0, math.inf)
        for side, sign in enumerate((-1, 1)):
            part, weights[side] = labels.most(rows, sign, low, high)
            part *= len(rows) / n
            ends[side] += part + 4 * EPS * (abs(part) + abs(ends[side]))
    details = {"λ, lower": weights[0], "λ, upper": weights[1]} if known.classes is None else {}
    return Sides(-ends[0], ends[1], details=details)


def error_ends(apart: Interval, wrong: Interval, classes: int) -> Interval:
    """The least and the largest err_S − err_T for a disagreement d and a teacher's error e in these intervals.

    Where the networks disagree at most one of them is right; of two classes exactly one. The student gains where only it is
    right, on at most min(d, e), and loses where only the teacher is; there and where both are wrong, which the rest of the
    inputs must not be too few for.
    """
    (d_low, d_high), (e_low, e_high) = apart, wrong
    # Both sides fall in e. In d, the lower one is least at d = e, and that of two classes is largest at d = 1 − e.
    lower = max(-min(d_high, e_high), d_low - 2 * e_high)
    upper = min(d_high, 1 - e_low)
    if classes == 2:
        upper = min(upper, 2 * (1 - e_low) - d_low)
    return lower, upper


def _error(view: View) -> Sides:
    known: Known = view.settings.teacher_error
    predicted, differ = view.predicted()[1], view.differ()
    lower = upper = 0.0
    for rows, interval in known.cells(predicted):
        share, apart = len(rows) / len(predicted), int(differ[rows].sum()) / len(rows)
        low, high = (0.0, 1.0) if interval is None else (interval[0] - ERROR_SLACK, min(1.0, interval[1] + ERROR_SLACK))
        least, most = error_ends((apart, apart), (low, high), view.classes)
        lower, upper = lower + share * least, upper + share * most
    slack = 8 * EPS * (1 + len(np.unique(predicted)))
    return Sides(max(-1.0, lower - slack), min(1.0, upper + slack))


ROWS = (
    Row(
        name="T0.teacher_risk",
        sentence="If the teacher's risk on these inputs is what was stated: the most and the least that the loss can grow from "
        "teacher to student, over all labels that give the teacher such a risk.",
        statement="min_λ: R_S − R_T ≤ λρ + E max_y [ℓ_S(y) − (1 + λ)ℓ_T(y)] if R_T ≤ ρ; the lower side alike",
        latex=r"-\lambda\rho+E\min_y[U_y+\lambda\ell_T(y)] \le R_S-R_T \le \lambda\rho+E\max_y[U_y-\lambda\ell_T(y)],"
        r"\quad R_T\le\rho",
        source="T0 with what is known of the teacher",
        target="gap",
        space="logits",
        inputs=(LOGITS,),
        needs=(SAME_INPUTS, TEACHER_RISK),
        structural={},
        compute=_risk,
        told="teacher_risk",
    ),
    Row(
        name="T0.teacher_error",
        sentence="If the teacher errs on these inputs as often as was stated: the most and the least that the student can err "
        "more than it, given on how many inputs their predictions differ.",
        statement="max(−d, d − 2e) ≤ err_S − err_T ≤ d − (d + e − 1)₊ (twice the last term for two classes), e = err_T",
        latex=r"\max(-d,d-2e) \le \mathrm{err}_S-\mathrm{err}_T \le d-(d+e-1)_+,\quad "
        r"d=P(\hat y_S\ne\hat y_T),\ e=\mathrm{err}_T",
        source="T0 with what is known of the teacher",
        target="error_gap",
        space="logits",
        inputs=(LOGITS,),
        needs=(SAME_INPUTS, TEACHER_ERROR),
        structural={},
        compute=_error,
        told="teacher_error",
        streams=True,
    ),
)
