"""T8: the student's error from the teacher's margins m_T = a_y − max_{c≠y} a_c and transport, class by class.

With Δ = a_S − a_T, the student's margin lies between m_T − max_{c≠y}(Δ_c − Δ_y) and m_T − min_{c≠y}(Δ_c − Δ_y). So for every
coupling γ of student and teacher points of one class

    P_γ(m_T < min_{c≠y}(Δ_c − Δ_y)) ≤ err_S ≤ P_γ(m_T ≤ max_{c≠y}(Δ_c − Δ_y)),

each side tightened over γ: one transport problem with costs 0 and 1. ν_y(Δ) bounds both ends (C3). With a ramp loss r_ρ,

    err_S ≤ E r_ρ(m_T) + Σ_y π_y W_{min(1, ν_y/ρ)}(P_S^y, P_T^y)      for any ρ > 0,

which is never less than the first upper side: where m_T ≤ ν_y, r_ρ(m_T) ≥ 1 − ν_y/ρ. The row takes the best ρ of a grid; on
one sample that costs nothing.
"""

import math
from functools import partial

import numpy as np

from kd2m_theory.arrays import Float64
from kd2m_theory.bounds.class_pairs import ClassPairs, too_many, vertex_norms
from kd2m_theory.bounds.losses import margin, ramp
from kd2m_theory.bounds.rows.row import CLASS_SHARES, ERRORS, LABELS, LOGITS, Row, Sides
from kd2m_theory.bounds.view import View
from kd2m_theory.bounds.work import class_costs
from kd2m_theory.estimators import CostMatrix, Enclosure
from kd2m_theory.estimators.distances import combine_classes
from kd2m_theory.estimators.ground import EPS

# Widths of the ramp, in medians of the teacher's positive margins.
_WIDTHS = (0.5, 1.0, 2.0, 4.0)
# Margins below it are taken as large as this: half of it is a width still, by which any cost can be divided.
_LEAST = 2.0**-1000


def _errs(pairs: ClassPairs) -> tuple[CostMatrix, CostMatrix]:
    """Whether the student may err, of every pair; and minus whether it has to."""
    most, least = pairs.advances()
    margins = pairs.of_columns(margin(pairs.teacher, np.full(len(pairs.teacher), pairs.label)))
    may, must = margins <= most + _slack(pairs, most), margins < least - _slack(pairs, least)
    return CostMatrix(may.astype(np.float64), 0.0, 0.0, "nats"), CostMatrix(-must.astype(np.float64), 0.0, 0.0, "nats")


def _slack(pairs: ClassPairs, advance: Float64) -> Float64:
    """How far rounding moves an advance and the margin that it is compared with, which is about as large."""
    return 2 * pairs.advance_error(np.abs(advance))


def _directed(view: View) -> Sides:
    parts = dict(zip(("may err", "minus must err"), view.several_class_costs("t8_errs", _errs), strict=True))
    sums: dict[str, Enclosure] = {name: combine_classes(part, view.shares, 1) for name, part in parts.items()}
    return Sides(max(0.0, -sums["minus must err"].upper), min(1.0, sums["may err"].upper), sums)


def _ramp(view: View) -> Sides:
    _, labels_t = view.both_labels()
    margins = margin(view.stored_logits_teacher, labels_t)
    right = margins[margins > 0]
    unit = max(float(np.median(right)), _LEAST) if len(right) else 1.0
    best: Sides | None = None
    teacher = {rho: math.fsum(ramp(margins, rho)) / len(margins) + 4 * EPS for rho in (width * unit for width in _WIDTHS)}
    least = {rho: teacher[rho] + _least_distance(view, rho) for rho in teacher}
    for rho in sorted(teacher, key=least.__getitem__):
        if best is not None and best.upper <= least[rho] * (1 - 1e-9):
            break  # no coupling makes this width, nor those that follow, the best one
        distance = combine_classes(view.class_costs(f"t8_ramp {rho!r}", partial(_ramp_costs, rho=rho)), view.shares, 1)
        # A margin up to ρ is right to roundings of ρ, and beyond it does not matter.
        details = {"ρ": rho, "E r_ρ(m_T)": teacher[rho]}
        sides = Sides(0.0, min(1.0, teacher[rho] + distance.upper), {"distance": distance}, details)
        best = sides if best is None or sides.upper < best.upper else best
    assert best is not None
    return best


def _ramp_costs(pairs: ClassPairs, rho: float) -> CostMatrix:
    norm = vertex_norms(pairs)
    with np.errstate(over="ignore"):  # a cost of more than 1 is 1
        values = np.minimum(norm.values / rho, 1.0)
    return CostMatrix(values, norm.relative_error + 2 * EPS, norm.absolute_error / rho, "nats")


def _least_distance(view: View, rho: float) -> float:
    """No coupling is cheaper: every point pays at least for its nearest partner. 0 for classes with too many pairs."""

    def nearest() -> dict[int, tuple[Float64, Float64]]:
        found = {}
        for label, (rows, columns) in view.members().items():
            if not too_many(len(rows), len(columns), view.classes):
                norms = vertex_norms(view.class_pairs(label)).values
                found[label] = norms.min(axis=1), norms.min(axis=0)
        return found

    with np.errstate(over="ignore"):
        means = {
            label: max(float(np.minimum(each / rho, 1.0).mean()) for each in both)
            for label, both in view.shared("nearest in vertex norm", nearest, of_logits=True).items()
        }
    return math.fsum(view.shares[label] * mean for label, mean in means.items())


ROWS = (
    Row(
        name="T8.directed",
        sentence="The student errs at most where some logit gains more than the teacher's margin, and at least where every one "
        "does, with the best matching of points of a class.",
        statement="max_γ P(m_T < min_c(Δ_c − Δ_y)) ≤ err_S ≤ min_γ P(m_T ≤ max_c(Δ_c − Δ_y))",
        latex=r"\max_\gamma P(m_T<\min_{c\ne y}(\Delta_c-\Delta_y)) \le \mathrm{err}_S \le "
        r"\min_\gamma P(m_T\le\max_{c\ne y}(\Delta_c-\Delta_y))",
        source="T8, accuracy from features",
        target="error_student",
        space="logits",
        inputs=(LOGITS, LABELS),
        needs=(CLASS_SHARES,),
        structural=ERRORS,
        compute=_directed,
        work=class_costs("t8_errs", 2),
    ),
    Row(
        name="T8.ramp",
        sentence="The student's error is at most the teacher's share of small margins, plus a transport cost that counts "
        "moves in units of the margin.",
        statement="err_S ≤ E r_ρ(m_T) + Σ_y π_y W_min(1, ν_y/ρ), best ρ of four",
        latex=r"\mathrm{err}_S \le E\,r_\rho(m_T)+\sum_y\pi_y W_{\min(1,\nu_y/\rho)}(P_S^y,P_T^y)",
        source="T8, accuracy from features",
        target="error_student",
        space="logits",
        inputs=(LOGITS, LABELS),
        needs=(CLASS_SHARES,),
        structural={**ERRORS, "positive width": "ρ is a multiple of the median of positive margins, of 1, or of a least width"},
        compute=_ramp,
        work=class_costs("", len(_WIDTHS)),
    ),
)
