"""T4: marginal transport plus label mismatch."""

import torch
from torch import Tensor

from kd2m_theory.theory.examples import BOTH_CHANGE, LABELS_PERMUTED, MOVES, permuted_labels, two_changes, unmatched_start
from kd2m_theory.theory.hypotheses import lipschitz_loss, shared_linear_head
from kd2m_theory.theory.instance import (
    Instance,
    best_plan,
    distances,
    least_cost,
    lipschitz,
)
from kd2m_theory.theory.statement import Form, Mutant, Sides, Step, Theorem, Witness


def relabelling(x: Instance) -> Tensor:
    """ℓ(h(z'), Y) − ℓ(h(z'), Y') of every pair: Y of the student's point, z' and Y' of the teacher's."""
    logits = x.logits_teacher
    n, m = len(x.student), len(x.teacher)
    student = x.loss(logits.repeat(n, 1), x.labels_student.repeat_interleave(m)).reshape(n, m)
    return student - x.loss(logits, x.labels_teacher)[None]


def transported(x: Instance) -> tuple[Tensor, Tensor]:
    """L W₁(P_S, P_T) of the marginals, and an optimal plan γ for it."""
    costs = distances(x.student, x.teacher)
    plan = best_plan(costs)
    return lipschitz(x.weight) * (plan * costs).sum(), plan


def _signed(x: Instance) -> Sides:
    reach, plan = transported(x)
    mismatch = (plan * relabelling(x)).sum()
    return Sides(x.gap, mismatch + reach, mismatch - reach)


def _marginal(x: Instance) -> Sides:
    reach, plan = transported(x)
    return Sides(x.gap, reach + (plan * relabelling(x).abs()).sum())


def _no_labels(x: Instance) -> Sides:
    return Sides(x.gap, transported(x)[0])


def _two_plans(x: Instance) -> Sides:
    return Sides(x.gap, transported(x)[0] + least_cost(relabelling(x).abs()))


def _operator_norm(x: Instance) -> Sides:
    plan = best_plan(distances(x.student, x.teacher))
    reach = torch.linalg.matrix_norm(x.weight, 2) * (plan * distances(x.student, x.teacher)).sum()
    return Sides(x.gap, reach + (plan * relabelling(x).abs()).sum())


def _larger_part(x: Instance) -> Sides:
    reach, plan = transported(x)
    return Sides(x.gap, torch.maximum(reach, (plan * relabelling(x).abs()).sum()))


def _sign(x: Instance) -> Sides:
    reach, plan = transported(x)
    mismatch = (plan * relabelling(x)).sum()
    return Sides(x.gap, reach - mismatch, -mismatch - reach)


THEOREM = Theorem(
    name="T4",
    title="marginal transport plus label mismatch",
    plain="Transport the features without regard to labels: the gap is at most L times that distance plus the mean change of "
    "the teacher's loss by the labels that the plan brings, which says how false a common ground truth is.",
    latex=r"|R_S-R_T| \le L\,W_1(P_S,P_T)+\lambda_\gamma,\quad \lambda_\gamma=E_\gamma|\ell(h(Z_T),Y)-\ell(h(Z_T),Y')|",
    hypotheses=(
        shared_linear_head("T4"),
        lipschitz_loss("T4"),
    ),
    direction="two-sided",
    source="Kantorovich–Rubinstein on the marginals, and the triangle inequality for the labels",
    proof="Couple the points without regard to labels, and charge the change of the label separately.",
    steps=(
        Step(
            "On any coupling, split the difference of the losses.",
            r"\ell(h(Z_S),Y)-\ell(h(Z_T),Y')=[\ell(h(Z_S),Y)-\ell(h(Z_T),Y)]+[\ell(h(Z_T),Y)-\ell(h(Z_T),Y')]",
        ),
        Step(
            "The first bracket is at most L‖Z_S − Z_T‖ whatever the label is. The mean size of the second is λ.",
            r"|R_S-R_T| \le L\,E_\gamma\|Z_S-Z_T\|+\lambda_\gamma, \qquad "
            r"\lambda_\gamma=E_\gamma|\ell(h(Z_T),Y)-\ell(h(Z_T),Y')|",
        ),
        Step(
            "For γ optimal for the distance, the first part is L W₁. Where several plans are optimal each gives a valid "
            "bound, and λ may differ between them.",
            r"|R_S-R_T| \le L\,W_1+\lambda_\gamma",
        ),
        Step(
            "The mean of the second bracket with its sign is sharper: it moves the interval instead of widening it.",
            r"|R_S-R_T-\lambda_\pm| \le L\,W_1",
        ),
        Step("T3 minimises the same sum over γ, so it is never worse."),
    ),
    forms=(
        Form(
            name="T4",
            constant="L = max ‖w_c − w_c'‖",
            sides=_signed,
            witness=Witness(words=LABELS_PERMUTED, make=permuted_labels),
            start=unmatched_start,
            free=MOVES,
        ),
        Form(
            name="T4.absolute",
            latex=r"L\,W_1(P_S,P_T)+\lambda_\gamma",
            constant="L = max ‖w_c − w_c'‖",
            sides=_marginal,
            witness=Witness(words=BOTH_CHANGE, make=two_changes),
            start=unmatched_start,
            free=MOVES,
        ),
    ),
    mutants=(
        Mutant(name="sign of the label term", form="T4", sides=_sign),
        Mutant(name="label mismatch left out", form="T4.absolute", sides=_no_labels),
        Mutant(name="each term at its own best plan", form="T4.absolute", sides=_two_plans),
        Mutant(name="‖W‖_op without √2", form="T4.absolute", sides=_operator_norm),
        Mutant(name="the larger of the two parts for their sum", form="T4.absolute", sides=_larger_part),
    ),
)
