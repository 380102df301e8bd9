"""F2: a bound anchored in the sample. R_S(P) ≤ R̂_S + r(δ) is an interval for one mean, and R̂_S ≤ R̂_T + D̂ is deterministic
on the same sample, whatever D̂ is and in any dimension. So

    R_S(P) ≤ R̂_T + D̂ + r(δ)

for every deterministic row at once, at the price of one interval. Losses are clipped at B for the population; R̂_T and D̂ are
not, and clipping only lowers the left side. As R̂_S ≤ R̂_T + D̂, no such row is ever below the limit R̂_S + r(δ) that it starts
from, which is F1's and needs the same labels.
"""

import math
from collections.abc import Callable

from kd2m_theory.bounds.rows import t0_label_free, t1_paired, t2_conditional, t5_convex, t8_accuracy
from kd2m_theory.bounds.rows.f1_means import clipped_losses, share_limits, student_risk, student_wrong
from kd2m_theory.bounds.rows.row import CLIPPED, COUNTED, LABELS, NO_GROUPS, RANDOM_ORDER, RANGE_FIXED, SAMPLED, Row, Sides
from kd2m_theory.bounds.view import View
from kd2m_theory.bounds.work import Working, class_costs, one_pass, together


def _row_of(rows: tuple[Row, ...], name: str) -> Row:
    return next(row for row in rows if row.name == name)


def _risk(gap: Callable[[View], float]) -> Callable[[View], Sides]:
    def compute(view: View) -> Sides:
        student, _ = clipped_losses(view)
        _, teacher = view.losses()
        radius = student_risk(view)[1] - math.fsum(student) / len(student)
        anchor, distance = math.fsum(teacher) / len(teacher), gap(view)
        upper = anchor + distance + radius + view.rounding
        return Sides(0.0, upper, details={"R̂_T": anchor, "D̂": distance, "r(δ)": radius, "B": view.loss_bound})

    return compute


def _error(view: View, distance: float, anchor: float) -> Sides:
    wrong = student_wrong(view)
    radius = share_limits(view, wrong)[1] - float(wrong.mean())
    return Sides(0.0, min(1.0, anchor + distance + radius + 1e-15), details={"anchor": anchor, "D̂": distance, "r(δ)": radius})


def _disagreement(view: View) -> Sides:
    return _error(view, _ERROR.compute(view).upper, float(view.wrong()[1].mean()))


def _margin(view: View) -> Sides:
    return _error(view, _MARGIN.compute(view).upper, 0.0)


_ERROR, _MARGIN = _row_of(t0_label_free.ROWS, "T0.error"), _row_of(t8_accuracy.ROWS, "T8.directed")


def _upper(row: Row) -> Callable[[View], float]:
    return lambda view: row.compute(view).upper


_T0, _T1 = _row_of(t0_label_free.ROWS, "T0"), _row_of(t1_paired.ROWS, "T1.logits.head_aware")
_T2, _T5 = _row_of(t2_conditional.ROWS, "T2.logits.head_aware"), _row_of(t5_convex.ROWS, "T5.logits.curved")
_DISTANCES = (
    ("F2.T0", _T0, _upper(_T0), _T0.work),
    ("F2.T1", _T1, _upper(_T1), _T1.work),
    ("F2.T2", _T2, _upper(_T2), _T2.work),
    ("F2.T5", _T5, t5_convex.curved_upper, class_costs("t5", 4, held=6)),
)


_ANCHORED = {
    "same sample": "the teacher's loss and D̂ are computed from the one pair",
    "valid bound": "D̂ is the upper side of a row that is deterministic on the sample",
}


def _row(
    name: str, base: Row, compute: Callable[[View], Sides], work: Working, *, words: str, statement: str, latex: str
) -> Row:
    """A row about the population from one about the sample, whose assumptions it has; R̂_T needs labels."""
    losses = base.target == "gap"
    return Row(
        name=name,
        sentence=words,
        statement=statement,
        latex=latex,
        source="F2, anchored in the sample",
        target="population_risk" if losses else "population_error",
        space="logits",
        inputs=tuple(dict.fromkeys((*base.inputs, LABELS, NO_GROUPS))),
        needs=(*base.needs, *((RANGE_FIXED, RANDOM_ORDER) if losses else ()), *SAMPLED),
        structural={**base.structural, **_ANCHORED, **(CLIPPED if losses else COUNTED)},
        compute=compute,
        work=together(work, one_pass),
        limits=("student risk, upper" if losses else "student error, upper",),
        never_beats="F1.risk" if losses else "F1.error",
        streams=base.streams,
        forms=(
            *(("F2.hoeffding", "F1.betting", "F1.mixture") if losses else ("F2.error", "F1.clopper_pearson")),
            *base.rests_on,
        ),
    )


_LATEX = r"R_S \le \hat R_T+\hat D+r(\delta)"
ROWS = (
    *(
        _row(
            name,
            base,
            _risk(upper),
            work,
            words=f"The student's clipped loss on the population: the teacher's on the sample, plus {base.name}, plus what "
            "chance may add.",
            statement=f"R_S ≤ R̂_T + D̂ + r(δ), D̂ of {base.name}",
            latex=_LATEX,
        )
        for name, base, upper, work in _DISTANCES
    ),
    _row(
        "F2.T0.error",
        _ERROR,
        _disagreement,
        _ERROR.work,
        words="The student's error on the population: the teacher's on the sample, plus the disagreement, plus what chance may "
        "add.",
        statement="err_S ≤ êrr_T + disagreement + r(δ)",
        latex=r"\mathrm{err}_S \le \widehat{\mathrm{err}}_T+\hat P(\hat y_S\ne\hat y_T)+r(\delta)",
    ),
    _row(
        "F2.T8",
        _MARGIN,
        _margin,
        _MARGIN.work,
        words="The student's error on the population: T8.directed on the sample, plus what chance may add.",
        statement="err_S ≤ D̂ + r(δ), D̂ of T8.directed",
        latex=r"\mathrm{err}_S \le \hat D+r(\delta)",
    ),
)
