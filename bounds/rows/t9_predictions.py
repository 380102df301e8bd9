"""T9: predictive distributions p = softmax(a) of the same inputs. Needs no labels where it is evaluated.

    E min_c (p_S(c) − p_T(c)) ≤ E p_S(Y|X) − E p_T(Y|X) ≤ E max_c (p_S(c) − p_T(c))
    |E p_S(Y|X) − E p_T(Y|X)| ≤ E TV(p_S, p_T) ≤ min( √(½ E KL(p_T‖p_S)), √(1 − e^{−E KL(p_T‖p_S)}) )

E p(Y|X) is the accuracy of a predictor that draws its answer from p. Both functions of KL are concave, so Jensen's
inequality moves the mean inside. With the power-transformed teacher p̂_T = softmax(a_T/T) of TTM (arXiv 2402.11148) in place of
p_T, the right side is the TTM term of the training loss. For the log loss itself

    R_S − R_T = E KL(p_T‖p_S) + E Σ_c (1{Y = c} − p_T(c|X)) ln(p_T(c|X)/p_S(c|X)),

and given the inputs the second term has mean zero if labels are drawn from p_T. For hardly any labels that are drawn is it
zero, so without it this is a statement about the mean over labels, and no gap of a sample is compared with it.
"""

import math
from collections.abc import Callable
from typing import Literal

import numpy as np

from kd2m_theory.arrays import Float64
from kd2m_theory.bounds.rows.row import (
    CROSS_ENTROPY,
    LABELS,
    LOGITS,
    SAME_INPUTS,
    Found,
    Requirement,
    Row,
    Sides,
    Situation,
    both_sides,
    vouched,
)
from kd2m_theory.bounds.rows.t7_divergence import total_variation_bound
from kd2m_theory.bounds.targets import Target
from kd2m_theory.bounds.view import View
from kd2m_theory.bounds.work import passes
from kd2m_theory.estimators.ground import EPS


def _rounding(view: View) -> float:
    """Rounding errors: relative of a probability, absolute of a log-probability."""
    return 4 * EPS * (view.classes + 8 + max(view.depth))


def _mean(values: Float64) -> float:
    return math.fsum(values) / len(values)


def _divergence(view: View, kind: Literal["", "tempered_"] = "") -> tuple[float, float]:
    """E KL(p̂_T‖p_S), and a bound on its rounding error; p̂_T is the teacher's or, tempered, the softened teacher's."""
    step = 2 * _rounding(view)
    value = _mean(view.per_sample(f"{kind}divergence"))
    error = step * _mean(view.per_sample(f"{kind}apart")) + step * step + _rounding(view) * value
    return max(0.0, value), error


def _largest(view: View) -> Sides:
    rounding = 2 * _rounding(view)
    return Sides(-_mean(-view.per_sample("least_gain")) - rounding, _mean(view.per_sample("most_gain")) + rounding)


def _tv(view: View) -> Sides:
    return both_sides(min(1.0, 0.5 * _mean(view.per_sample("apart")) + 2 * _rounding(view)))


def _pinsker(view: View) -> Sides:
    divergence = sum(_divergence(view))
    return both_sides(math.sqrt(divergence / 2) * (1 + 4 * EPS), details={"E KL(p_T‖p_S)": divergence})


def _bretagnolle_huber(view: View) -> Sides:
    divergence = sum(_divergence(view))
    return both_sides(math.sqrt(-math.expm1(-divergence)) * (1 + 4 * EPS), details={"E KL(p_T‖p_S)": divergence})


def _ttm(view: View) -> Sides:
    divergence = sum(_divergence(view, "tempered_"))
    return both_sides(total_variation_bound(divergence) * (1 + 4 * EPS), details={"TTM term E KL(p̂_T‖p_S)": divergence})


def _expected(view: View) -> tuple[float, float]:
    """E KL(p_T‖p_S), and how far rounding may have moved it as a mean loss."""
    divergence, error = _divergence(view)
    return divergence, error + 4 * _rounding(view) * (1.0 + divergence)


def _log_loss(view: View) -> Sides:
    divergence, slack = _expected(view)
    student, teacher = view.losses()
    seen = student - teacher
    residual = _mean(seen - view.per_sample("expected"))
    slack += 4 * _rounding(view) * (_mean(np.abs(seen)) + _mean(view.per_sample("expected_size")))
    details = {"E KL(p_T‖p_S)": divergence, "labels are not the teacher's": residual}
    return Sides(divergence + residual - slack, divergence + residual + slack, details=details)


def _expected_log_loss(view: View) -> Sides:
    divergence, slack = _expected(view)
    return Sides(divergence - slack, divergence + slack, details={"E KL(p_T‖p_S)": divergence})


def _temperature(situation: Situation) -> Found:
    temperature = situation.settings.temperature
    if temperature is None:
        return "unmet", "no temperature of a transformed teacher is given; pass temperature"
    return "met", f"T = {temperature:g}"


def _row(
    name: str,
    compute: Callable[[View], Sides],
    target: Target = "probability_gap",
    *inputs: Requirement,
    words: str,
    statement: str,
    latex: str,
) -> Row:
    return Row(
        name=name,
        sentence=words,
        statement=statement,
        latex=latex,
        source="T9, predictive distributions",
        target=target,
        space="logits",
        inputs=(LOGITS, *inputs),
        needs=(SAME_INPUTS,),
        structural={},
        compute=compute,
        streams=True,
        work=passes(3),
    )


ROWS = (
    _row(
        "T9.largest",
        _largest,
        words="The mean probability of the true class changes by at most the largest and at least the least change of any "
        "class's probability.",
        statement="E min_c (p_S(c) − p_T(c)) ≤ E p_S(Y) − E p_T(Y) ≤ E max_c (p_S(c) − p_T(c))",
        latex=r"E\min_c(p_S(c)-p_T(c)) \le E\,p_S(Y|X)-E\,p_T(Y|X) \le E\max_c(p_S(c)-p_T(c))",
    ),
    _row(
        "T9.tv",
        _tv,
        words="The mean probability of the true class changes by at most the total variation between the two predictions.",
        statement="|E p_S(Y) − E p_T(Y)| ≤ E TV(p_S, p_T)",
        latex=r"|E\,p_S(Y|X)-E\,p_T(Y|X)| \le E\,\mathrm{TV}(p_S,p_T)",
    ),
    _row(
        "T9.pinsker",
        _pinsker,
        words="As T9.tv, from the divergence KL of teacher and student by Pinsker's inequality.",
        statement="|E p_S(Y) − E p_T(Y)| ≤ √(½ E KL(p_T‖p_S))",
        latex=r"|E\,p_S(Y|X)-E\,p_T(Y|X)| \le \sqrt{\tfrac12E\,\mathrm{KL}(p_T\|p_S)}",
    ),
    _row(
        "T9.bretagnolle_huber",
        _bretagnolle_huber,
        words="As T9.tv, from the divergence KL of teacher and student by Bretagnolle and Huber's inequality.",
        statement="|E p_S(Y) − E p_T(Y)| ≤ √(1 − e^−E KL(p_T‖p_S))",
        latex=r"|E\,p_S(Y|X)-E\,p_T(Y|X)| \le \sqrt{1-e^{-E\,\mathrm{KL}(p_T\|p_S)}}",
    ),
    _row(
        "T9.ttm",
        _ttm,
        "tempered_gap",
        Requirement("temperature", _temperature),
        words="As T9.tv for the teacher softened by the temperature: the term that the training loss TTM makes small.",
        statement="|E p_S(Y) − E p̂_T(Y)| ≤ √(½ TTM term), or by Bretagnolle–Huber",
        latex=r"|E\,p_S(Y)-E\,\hat p_T(Y)| \le \min\left(\sqrt{\tfrac12t},\sqrt{1-e^{-t}}\right),\ "
        r"t=E\,\mathrm{KL}(\hat p_T\|p_S)",
    ),
    Row(
        name="T9.kl",
        sentence="An identity: the gap is the divergence KL of teacher and student, plus how far the true labels depart from "
        "the teacher's predictions.",
        statement="R_S − R_T = E KL(p_T‖p_S) + E Σ_c (1{Y = c} − p_T(c)) ln(p_T(c)/p_S(c))",
        latex=r"R_S-R_T = E\,\mathrm{KL}(p_T\|p_S)+E\sum_c(1\{Y=c\}-p_T(c))\ln\frac{p_T(c)}{p_S(c)}",
        source="T9, predictive distributions",
        target="gap",
        space="logits",
        inputs=(LOGITS, LABELS),
        needs=(SAME_INPUTS,),
        structural={"cross-entropy": CROSS_ENTROPY},
        compute=_log_loss,
        streams=True,
        work=passes(5),
    ),
    Row(
        name="T9.kl_teacher",
        sentence="If labels are drawn from the teacher's predictions: the gap to expect given these inputs, the divergence KL "
        "of teacher and student. The labels of one sample may give another.",
        statement="E[R_S − R_T | inputs] = E KL(p_T‖p_S), labels drawn from p_T",
        latex=r"E[R_S-R_T\mid X] = E\,\mathrm{KL}(p_T\|p_S)",
        source="T9, predictive distributions",
        target="expected_gap",
        space="logits",
        inputs=(LOGITS,),
        needs=(SAME_INPUTS, vouched("teacher labels")),
        structural={"cross-entropy": CROSS_ENTROPY},
        compute=_expected_log_loss,
        streams=True,
        work=passes(3),
    ),
)
