"""F3: population forms of T0, T1 and T8: each is the mean of a bounded variable of one input, so F1 applies.

E min_y U_y ≤ R_S − R_T ≤ E max_y U_y,  U_y = min(ℓ_S(y), B) − min(ℓ_T(y), B)
|R_S − R_T| ≤ E min(B, ν_Y(Δ)),         |err_S − err_T| ≤ P(ŷ_S ≠ ŷ_T),         err_S ≤ P(m_T ≤ max_{c≠Y}(Δ_c − Δ_Y))

Both networks' probabilities add up to one, so some class is no more probable for the student and some no less: the largest U_y
is in [0, B] and the least in [−B, 0].
"""

from kd2m_theory.bounds.losses import clipped
from kd2m_theory.bounds.rows.f1_means import mean_limits, share_limits
from kd2m_theory.bounds.rows.row import (
    CLIPPED,
    COUNTED,
    LABELS,
    LOGITS,
    RANDOM_ORDER,
    RANGE_FIXED,
    SAME_INPUTS,
    SAMPLED,
    SHARES,
    Row,
    Sides,
    both_sides,
    two_limits,
)
from kd2m_theory.bounds.view import View
from kd2m_theory.estimators.ground import EPS


def _label_free(view: View) -> Sides:
    bound = view.loss_bound
    lower, _ = mean_limits(view, view.per_sample("least_clipped"), -bound, 0.0)
    _, upper = mean_limits(view, view.per_sample("most_clipped"), 0.0, bound)
    return Sides(lower, upper, details={"B": bound})


def _disagreement(view: View) -> Sides:
    return both_sides(share_limits(view, view.differ())[1])


def _head_aware(view: View) -> Sides:
    bound = view.loss_bound
    change = view.vertex_norms() * (1 + 4 * EPS)
    return both_sides(mean_limits(view, clipped(change, bound), 0.0, bound)[1], details={"B": bound})


def _margin(view: View) -> Sides:
    return Sides(0.0, share_limits(view, view.per_sample("near"))[1])


ROWS = (
    Row(
        name="F3.T0",
        sentence="T0 for the population, with clipped losses: how much worse the student can be, from unlabelled samples "
        "alone.",
        statement="E min_y U_y ≤ R_S − R_T ≤ E max_y U_y, betting; no labels",
        latex=r"E\min_y U_y \le R_S-R_T \le E\max_y U_y,\quad U_y=\min(B,\ell_S(y))-\min(B,\ell_T(y))",
        source="F3, T0 of the population",
        target="population_gap",
        space="logits",
        inputs=(LOGITS,),
        needs=(SAME_INPUTS, RANGE_FIXED, RANDOM_ORDER, *SAMPLED),
        structural={**CLIPPED, "monotone loss": "clipped cross-entropy falls as p_y rises"},
        compute=_label_free,
        limits=two_limits("F3.T0"),
        forms=("F3.risk", "F1.betting", "F1.mixture"),
        streams=True,
    ),
    Row(
        name="F3.T1",
        sentence="T1.logits.head_aware for the population, with clipped changes of the loss.",
        statement="|R_S − R_T| ≤ E min(B, ν_Y(Δ)), betting",
        latex=r"|R_S-R_T| \le E\min(B,\nu_Y(\Delta))",
        source="F3, T1 of the population",
        target="population_gap",
        space="logits",
        inputs=(LOGITS, LABELS),
        needs=(SAME_INPUTS, RANGE_FIXED, RANDOM_ORDER, *SAMPLED),
        structural={**CLIPPED, "1-Lipschitz loss": "clipped cross-entropy changes by no more than cross-entropy"},
        compute=_head_aware,
        limits=("F3.T1, upper",),
        forms=("F3.paired", "F1.betting", "F1.mixture"),
        streams=True,
    ),
    Row(
        name="F3.T0.error",
        sentence="The error rates on the population differ by at most the upper limit of the disagreement: from unlabelled "
        "samples alone.",
        statement="|err_S − err_T| ≤ P(ŷ_S ≠ ŷ_T), Clopper–Pearson; no labels",
        latex=r"|\mathrm{err}_S-\mathrm{err}_T| \le P(\hat y_S\ne\hat y_T)",
        source="F3, T0 of the population",
        target="population_error_gap",
        space="logits",
        inputs=(LOGITS,),
        needs=(SAME_INPUTS, *SAMPLED),
        structural={**COUNTED, **SHARES},
        compute=_disagreement,
        limits=("disagreement, upper",),
        forms=("F3.error", "F1.clopper_pearson", "F1.mixture"),
        streams=True,
    ),
    Row(
        name="F3.T8",
        sentence="The student's error on the population: how often the teacher's margin is smaller than what a logit gains.",
        statement="err_S ≤ P(m_T ≤ max_c(Δ_c − Δ_Y)), Clopper–Pearson",
        latex=r"\mathrm{err}_S \le P(m_T\le\max_{c\ne Y}(\Delta_c-\Delta_Y))",
        source="F3, T8 of the population",
        target="population_error",
        space="logits",
        inputs=(LOGITS, LABELS),
        needs=(SAME_INPUTS, *SAMPLED),
        structural={**COUNTED, **SHARES},
        compute=_margin,
        limits=("F3.T8, upper",),
        never_beats="F1.error",
        forms=("F3.margin", "F1.clopper_pearson", "F1.mixture"),
        streams=True,
    ),
)
