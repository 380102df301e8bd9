"""T9: predictive distributions p = softmax(a) of the same inputs. Needs no labels where it is evaluated.

    E min_c (p_S(c) − p_T(c)) ≤ E p_S(Y|X) − E p_T(Y|X) ≤ E max_c (p_S(c) − p_T(c))
    |E p_S(Y|X) − E p_T(Y|X)| ≤ E TV(p_S, p_T) ≤ min( √(½ E KL(p_T‖p_S)), √(1 − e^{−E KL(p_T‖p_S)}) )

E p(Y|X) is the accuracy of a predictor that draws its answer from p. Both functions of KL are concave, so Jensen's
inequality moves the mean inside. With the power-transformed teacher p̂_T = softmax(a_T/T) of TTM (arXiv 2402.11148) in place of
p_T, the right side is the TTM term of the training loss. For the log loss itself

    R_S − R_T = E KL(p_T‖p_S) + E Σ_c (1{Y = c} − p_T(c|X)) ln(p_T(c|X)/p_S(c|X)),

and the second term has mean zero if labels are drawn from p_T.
"""

import math
from collections.abc import Callable

import numpy as np
from scipy.special import log_softmax

from kd2m_theory.arrays import Float64
from kd2m_theory.bounds.result import Assumption
from kd2m_theory.bounds.rows.row import LABELS, SAME_INPUTS, VIEW, Requirement, Row, Sides, Situation, both_sides, vouched
from kd2m_theory.bounds.rows.t7_divergence import total_variation_bound
from kd2m_theory.bounds.targets import Target
from kd2m_theory.bounds.view import View
from kd2m_theory.estimators.ground import EPS


def _rounding(view: View) -> float:
    """Of a probability, relative; and of a log-probability, absolute."""
    depth = max(float(np.abs(logits).max()) for logits in (view.logits_student, view.logits_teacher))
    return 4 * EPS * (view.classes + 8 + depth)


def _mean(values: Float64) -> float:
    return math.fsum(values) / len(values)


def _divergence(view: View, temperature: float = 1.0) -> tuple[float, float]:
    """E KL(p̂_T‖p_S), and a bound on its rounding error.

    As E Σ_c p̂_T(c) (e^{−d_c} − 1 + d_c) with d = log p̂_T − log p_S: the terms are ≥ 0 and small where the networks agree.
    """
    teacher, student = log_softmax(view.logits_teacher / temperature, axis=1), log_softmax(view.logits_student, axis=1)
    weight, ratio = np.exp(teacher), teacher - student
    # d may be infinite or e^{−d} overflow only where the weight makes up for it: p̂_T e^{−d} = p_S.
    shift = np.exp(student) - weight
    terms = np.where(np.abs(ratio) < 1.0, weight * (np.expm1(-ratio.clip(-1.0, 1.0)) + ratio), shift + weight * ratio)
    step = 2 * _rounding(view)
    value = _mean(terms.sum(axis=1))
    error = step * _mean(np.abs(shift).sum(axis=1)) + step * step + _rounding(view) * value
    return max(0.0, value), error


def _largest(view: View) -> Sides:
    student, teacher = (np.exp(log_softmax(a, axis=1)) for a in (view.logits_student, view.logits_teacher))
    change, rounding = student - teacher, 2 * _rounding(view)
    return Sides(-_mean(-change.min(axis=1)) - rounding, _mean(change.max(axis=1)) + rounding)


def _tv(view: View) -> Sides:
    teacher, student = (np.exp(log_softmax(a, axis=1)) for a in (view.logits_teacher, view.logits_student))
    return both_sides(min(1.0, 0.5 * _mean(np.abs(teacher - student).sum(axis=1)) + 2 * _rounding(view)))


def _pinsker(view: View) -> Sides:
    divergence = sum(_divergence(view))
    return both_sides(math.sqrt(divergence / 2) * (1 + 4 * EPS), details={"E KL(p_T‖p_S)": divergence})


def _bretagnolle_huber(view: View) -> Sides:
    divergence = sum(_divergence(view))
    return both_sides(math.sqrt(-math.expm1(-divergence)) * (1 + 4 * EPS), details={"E KL(p_T‖p_S)": divergence})


def _ttm(view: View) -> Sides:
    assert view.settings.temperature is not None
    divergence = sum(_divergence(view, view.settings.temperature))
    return both_sides(total_variation_bound(divergence) * (1 + 4 * EPS), details={"TTM term E KL(p̂_T‖p_S)": divergence})


def _log_loss(view: View) -> Sides:
    divergence, error = _divergence(view)
    slack = error + 4 * _rounding(view) * (1.0 + divergence)
    residual = 0.0
    if view.labels_student is not None:
        change = log_softmax(view.logits_teacher, axis=1) - log_softmax(view.logits_student, axis=1)
        seen = change[np.arange(len(change)), view.labels]
        expected = np.exp(log_softmax(view.logits_teacher, axis=1)) * change
        residual = _mean(seen - expected.sum(axis=1))
        slack += 4 * _rounding(view) * (_mean(np.abs(seen)) + _mean(np.abs(expected).sum(axis=1)))
    details = {"E KL(p_T‖p_S)": divergence, "labels are not the teacher's": residual}
    return Sides(divergence + residual - slack, divergence + residual + slack, details=details)


def _labels_known(situation: Situation) -> Assumption:
    """Real labels, or the user's word that they would be the teacher's."""
    labelled = LABELS.check(situation)
    return labelled if labelled.state == "met" else vouched("teacher labels").check(situation)


def _temperature(situation: Situation) -> Assumption:
    temperature = situation.settings.temperature
    if temperature is None:
        return Assumption("temperature", "unmet", "no temperature of a transformed teacher is given; pass temperature")
    return Assumption("temperature", "met", f"T = {temperature:g}")


_ON_SAME_INPUTS = (VIEW, SAME_INPUTS)


def _row(
    name: str, statement: str, compute: Callable[[View], Sides], target: Target = "probability_gap", *more: Requirement
) -> Row:
    return Row(
        name=name,
        statement=statement,
        source="T9, predictive distributions",
        target=target,
        space="logits",
        needs=(*_ON_SAME_INPUTS, *more),
        compute=compute,
    )


ROWS = (
    _row("T9.largest", "E min_c (p_S(c) − p_T(c)) ≤ E p_S(Y) − E p_T(Y) ≤ E max_c (p_S(c) − p_T(c))", _largest),
    _row("T9.tv", "|E p_S(Y) − E p_T(Y)| ≤ E TV(p_S, p_T)", _tv),
    _row("T9.pinsker", "|E p_S(Y) − E p_T(Y)| ≤ √(½ E KL(p_T‖p_S))", _pinsker),
    _row("T9.bretagnolle_huber", "|E p_S(Y) − E p_T(Y)| ≤ √(1 − e^−E KL(p_T‖p_S))", _bretagnolle_huber),
    _row(
        "T9.ttm",
        "|E p_S(Y) − E p̂_T(Y)| ≤ √(½ TTM term), or by Bretagnolle–Huber",
        _ttm,
        "tempered_gap",
        Requirement(_temperature),
    ),
    _row(
        "T9.kl",
        "R_S − R_T = E KL(p_T‖p_S) + E Σ_c (1{Y = c} − p_T(c)) ln(p_T(c)/p_S(c))",
        _log_loss,
        "gap",
        Requirement(_labels_known),
    ),
)
