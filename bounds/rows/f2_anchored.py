"""F2: a bound anchored in the sample. R_S(P) ≤ R̂_S + r(δ) is an interval for one mean, and R̂_S ≤ R̂_T + D̂ is deterministic
on the same sample, whatever D̂ is and in any dimension. So

    R_S(P) ≤ R̂_T + D̂ + r(δ)

for every deterministic row at once, at the price of one interval. Losses are clipped at B for the population; R̂_T and D̂ are
not, and clipping only lowers the left side.
"""

import math
from collections.abc import Callable

from kd2m_theory.bounds.losses import errors
from kd2m_theory.bounds.rows import t0_label_free, t1_paired, t2_conditional, t5_convex, t8_accuracy
from kd2m_theory.bounds.rows.f1_means import clipped_losses, student_error, student_risk
from kd2m_theory.bounds.rows.row import INDEPENDENT, LABELS, Requirement, Row, Sides
from kd2m_theory.bounds.view import View


def _row_of(rows: tuple[Row, ...], name: str) -> Row:
    return next(row for row in rows if row.name == name)


def _risk(gap: Callable[[View], float]) -> Callable[[View], Sides]:
    def compute(view: View) -> Sides:
        student, _ = clipped_losses(view)
        _, teacher = view.losses()
        radius = student_risk(view).upper - math.fsum(student) / len(student)
        anchor, distance = math.fsum(teacher) / len(teacher), gap(view)
        upper = anchor + distance + radius + view.rounding
        return Sides(0.0, upper, details={"R̂_T": anchor, "D̂": distance, "r(δ)": radius, "B": view.loss_bound})

    return compute


def _error(view: View, distance: float, anchor: float) -> Sides:
    interval = student_error(view)
    radius = interval.upper - interval.value
    return Sides(0.0, min(1.0, anchor + distance + radius + 1e-15), details={"anchor": anchor, "D̂": distance, "r(δ)": radius})


def _disagreement(view: View) -> Sides:
    _, labels_t = view.both_labels()
    return _error(view, _ERROR.compute(view).upper, float(errors(view.logits_teacher, labels_t).mean()))


def _margin(view: View) -> Sides:
    return _error(view, _MARGIN.compute(view).upper, 0.0)


_ERROR, _MARGIN = _row_of(t0_label_free.ROWS, "T0.error"), _row_of(t8_accuracy.ROWS, "T8.directed")


def _upper(row: Row) -> Callable[[View], float]:
    return lambda view: row.compute(view).upper


_T0, _T1 = _row_of(t0_label_free.ROWS, "T0"), _row_of(t1_paired.ROWS, "T1.logits.head_aware")
_T2, _T5 = _row_of(t2_conditional.ROWS, "T2.logits.head_aware"), _row_of(t5_convex.ROWS, "T5.logits.curved")
_DISTANCES = (
    ("F2.T0", _T0, _upper(_T0)),
    ("F2.T1", _T1, _upper(_T1)),
    ("F2.T2", _T2, _upper(_T2)),
    ("F2.T5", _T5, t5_convex.curved_upper),
)


def _needs(row: Row) -> tuple[Requirement, ...]:
    return (*dict.fromkeys((*row.needs, LABELS)), INDEPENDENT)


ROWS = (
    *(
        Row(
            name=name,
            statement=f"R_S ≤ R̂_T + D̂ + r(δ), D̂ of {row.name}",
            source="F2, anchored in the sample",
            target="population_risk",
            space="logits",
            needs=_needs(row),
            compute=_risk(upper),
            event="student risk",
        )
        for name, row, upper in _DISTANCES
    ),
    Row(
        name="F2.T0.error",
        statement="err_S ≤ êrr_T + disagreement + r(δ)",
        source="F2, anchored in the sample",
        target="population_error",
        space="logits",
        needs=_needs(_ERROR),
        compute=_disagreement,
        event="accuracy_student",
    ),
    Row(
        name="F2.T8",
        statement="err_S ≤ D̂ + r(δ), D̂ of T8.directed",
        source="F2, anchored in the sample",
        target="population_error",
        space="logits",
        needs=_needs(_MARGIN),
        compute=_margin,
        event="accuracy_student",
    ),
)
