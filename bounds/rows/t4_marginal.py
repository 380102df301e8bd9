"""T4: transport of the marginals, and how false a common labelling is. With γ optimal for the features alone,

    |R_S − R_T − λ±| ≤ L W₁(P_S, P_T),   λ± = E_γ[ℓ(h(Z_T), Y) − ℓ(h(Z_T), Y')] = E_γ[a^T_{Y'} − a^T_Y],   |λ±| ≤ λ = E_γ|·|

λ is zero when γ never moves mass between classes: then the paper's common ground truth is true of it. It is printed beside
the row; with its sign it shifts the interval instead of widening it. γ need not be unique; any plan gives a valid row.
"""

from functools import partial

import numpy as np

from kd2m_theory.bounds.rows.row import CROSS_ENTROPY, LABELS, WHOLE_CLOUD_ASKED, Row, Sides, common, worded
from kd2m_theory.bounds.rows.t3_joint import euclidean_costs, label_changes, relabelled
from kd2m_theory.bounds.view import Space, View
from kd2m_theory.bounds.work import head, together, whole_cloud
from kd2m_theory.estimators.ground import EPS
from kd2m_theory.estimators.transport import assignment_cost, certified_plan, plan_cost


def _compute(view: View) -> Sides:
    n, m = view.samples
    a, b = np.full(n, 1.0 / n), np.full(m, 1.0 / m)
    distance, plan = certified_plan(euclidean_costs(view), a, b, view.settings.max_pivots)
    if plan.method == "assignment":
        changes, cost = relabelled(view, plan), assignment_cost
    else:
        of_labels, row = label_changes(view)
        changes, cost = of_labels[row], partial(plan_cost, plan, a=a, b=b)
    above = cost(changes)
    below = -cost(np.negative(changes, out=changes))
    mismatch = cost(np.abs(changes, out=changes))
    transport = distance.scaled(view.lipschitz, "nats").upper + view.lipschitz * view.point_error * (1 + 2 * EPS)
    details = {"L": view.lipschitz, "L·W₁": transport, "λ": mismatch, "λ±": above}
    return Sides(below - transport, above + transport, {"distance": distance}, details)


def _row(name: str, space: Space) -> Row:
    shared = common(space)
    words = (
        "Transport distance of the {points} without regard to class, times L, moved by what the plan's exchange of labels "
        "does to the loss."
    )
    return Row(
        name=name,
        sentence=worded(words, space),
        statement="|R_S − R_T − λ±| ≤ L W₁, λ± the label mismatch of the best plan",
        latex=r"|R_S-R_T-E_\gamma[\ell(h(Z_T),Y)-\ell(h(Z_T),Y')]| \le L\,W_1(P_S,P_T)",
        source="T4, marginal transport",
        target=shared.target,
        space=space,
        inputs=(*shared.inputs, LABELS, WHOLE_CLOUD_ASKED),
        needs=shared.needs,
        structural={**shared.structural, "1-Lipschitz loss": CROSS_ENTROPY},
        compute=_compute,
        work=together(whole_cloud(1), head),
    )


ROWS = (_row("T4", "features"), _row("T4.logits", "logits"))
