"""T3: transport of features and labels together. For every coupling γ of (Z_S, Y) and (Z_T, Y'), with Δ = a_S − a_T,

    |R_S − R_T| ≤ E_γ[ ν_Y(Δ) + |a^T_{Y'} − a^T_Y| ] ≤ E_γ[ L ‖Z_S − Z_T‖ + |a^T_{Y'} − a^T_Y| ]

The loss of the pair changes by at most ν_Y from (Z_S, Y) to (Z_T, Y), and by a^T_{Y'} − a^T_Y exactly from there to
(Z_T, Y'): cross-entropies of one input differ by its logits. So no class shares are needed, and the sign of the second term
is known: with the plan that is optimal for the absolute value, each side is then added up with its sign, which can only
tighten it. `directed` is sharper still. ℓ = lse(a) − a_Y, and lse(a_S) − lse(a_T) lies between min_c Δ_c and max_c Δ_c, so

    max_γ E_γ[min_c Δ_c] ≤ R_S − R_T − (E a^T_{Y'} − E a^S_Y) ≤ min_γ E_γ[max_c Δ_c]:

labels need no transport at all, and no coupling of T1, T2 or T3 gives a smaller interval.

Any coupling gives valid sides. Up to 2,000 samples each row solves its own problem; above, one is solved, with the Euclidean
cost, and the sharper costs are added up along its plan.
"""

import math
from collections.abc import Callable

import numpy as np

from kd2m_theory.arrays import Float64
from kd2m_theory.bounds.constants.heads import vertex_norm
from kd2m_theory.bounds.rows.row import CROSS_ENTROPY, LABELS, WHOLE_CLOUD_ASKED, Row, Sides, both_sides, common, worded
from kd2m_theory.bounds.settings import WHOLE_CLOUD
from kd2m_theory.bounds.view import Space, View
from kd2m_theory.bounds.work import Working, head, together, whole_cloud
from kd2m_theory.estimators import CostMatrix, Enclosure, Plan, VertexNorm, cost_matrix
from kd2m_theory.estimators.ground import EPS
from kd2m_theory.estimators.transport import certified_plan, optimal_cost


def label_changes(view: View) -> Float64:
    """a^T_{Y'} − a^T_Y of every pair of a student point (its label Y) and a teacher point (its logits and label Y')."""
    labels_s, labels_t = view.both_labels()
    own = np.take_along_axis(view.logits_teacher, labels_t[:, None], axis=1)[:, 0]
    changes = np.empty((len(labels_s), len(labels_t)))
    for label in np.unique(labels_s):
        changes[labels_s == label] = own - view.logits_teacher[:, label]
    return changes


def _head_aware(view: View) -> CostMatrix:
    labels_s, _ = view.both_labels()
    values, errors = np.abs(label_changes(view)), [0.0]
    for label in np.unique(labels_s).tolist():
        mine = labels_s == label
        part = cost_matrix(view.logits_student[mine], view.logits_teacher, VertexNorm(label=label), 1)
        values[mine] += part.values
        errors.append(part.absolute_error)
    return CostMatrix(values, 6 * EPS, max(errors), "nats")


def _lipschitz(view: View) -> CostMatrix:
    cost = cost_matrix(view.student, view.teacher, "euclidean", 1)
    values = cost.values
    values *= view.lipschitz
    values += np.abs(label_changes(view))
    error = view.lipschitz * (cost.absolute_error * (1 + EPS) + view.point_error)
    return CostMatrix(values, cost.relative_error + 6 * EPS, error, "nats")


def _euclidean_plan(view: View) -> tuple[Enclosure, Plan]:
    return view.shared("t3 plan", lambda: _solved(view, _lipschitz(view)))


def _solved(view: View, cost: CostMatrix) -> tuple[Enclosure, Plan]:
    n, m = cost.values.shape
    return certified_plan(cost, np.full(n, 1.0 / n), np.full(m, 1.0 / m), view.settings.max_pivots)


def _one_plan(view: View) -> Plan | None:
    """The plan that all rows share above the stated size, if it is a permutation."""
    if max(len(view.logits_student), len(view.logits_teacher)) <= WHOLE_CLOUD:
        return None
    plan = _euclidean_plan(view)[1]
    return plan if plan.method == "assignment" else None


def _along(values: Float64, size: float) -> Enclosure:
    """Mean cost of a permutation from the costs of its pairs: an upper side alone."""
    error = 8 * EPS * (size + math.fsum(np.abs(values)) / len(values))
    upper = math.fsum(values) / len(values) + error
    return Enclosure(lower=-math.inf, upper=upper, unit="nats", method="plan of T3.lipschitz")


def _head_aware_sides(view: View) -> Sides:
    plan = _one_plan(view)
    if plan is None:
        return _sides(view, *_solved(view, _head_aware(view)))
    labels_s, labels_t = view.both_labels()
    student, teacher, rows = view.logits_student[plan.rows], view.logits_teacher[plan.columns], np.arange(len(plan.rows))
    labels = labels_s[plan.rows]
    relabelled = teacher[rows, labels_t[plan.columns]] - teacher[rows, labels]
    values = vertex_norm(student - teacher, labels) + np.abs(relabelled)
    size = float(np.abs(student).max() + np.abs(teacher).max())
    return _sides(view, _along(values, size), plan)


def _sides(view: View, distance: Enclosure, plan: Plan) -> Sides:
    if plan.method != "assignment":
        return both_sides(distance.upper, {"distance": distance})
    labels_s, labels_t = (y[at] for y, at in zip(view.both_labels(), (plan.rows, plan.columns), strict=True))
    logits, rows = view.logits_teacher[plan.columns], np.arange(len(plan.rows))
    change = logits[rows, labels_t] - logits[rows, labels_s]
    # Where the sign is known, what the absolute value added: |x| − x above, |x| + x below.
    above, below = (2 * math.fsum(np.maximum(sign * change, 0.0)) / len(rows) * (1 - 8 * EPS) for sign in (-1.0, 1.0))
    details = {"mass moved between classes": float((labels_s != labels_t).mean())}
    return Sides(below - distance.upper, distance.upper - above, {"distance": distance}, details)


def _euclidean_sides(view: View) -> Sides:
    return _sides(view, *_euclidean_plan(view))


def _largest(student: Float64, teacher: Float64) -> CostMatrix:
    """max_c Δ_c of every pair."""
    values = np.subtract.outer(student[:, 0], teacher[:, 0])
    for k in range(1, student.shape[1]):
        np.maximum(values, np.subtract.outer(student[:, k], teacher[:, k]), out=values)
    return CostMatrix(values, 0.0, 2 * EPS * float(np.abs(values).max()), "nats")


def _directed(view: View) -> Sides:
    n, m = len(view.logits_student), len(view.logits_teacher)
    weights = np.full(n, 1.0 / n), np.full(m, 1.0 / m)
    # Less their class mean, which cancels: what is transported stays small.
    student, teacher = (a - a.mean(axis=1, keepdims=True) for a in (view.logits_student, view.logits_teacher))
    plan = _one_plan(view)
    if plan is None:
        above = optimal_cost(_largest(student, teacher), *weights, view.settings.max_pivots)
        below = optimal_cost(_largest(-student, -teacher), *weights, view.settings.max_pivots)
    else:
        change = student[plan.rows] - teacher[plan.columns]
        reach = float(np.abs(student).max() + np.abs(teacher).max())
        above, below = _along(change.max(axis=1), reach), _along(-change.min(axis=1), reach)
    labels_s, labels_t = view.both_labels()
    own = [np.take_along_axis(a, y[:, None], axis=1)[:, 0] for a, y in ((student, labels_s), (teacher, labels_t))]
    means = [math.fsum(values) / len(values) for values in own]
    size = max(float(np.abs(a).max()) for a in (view.logits_student, view.logits_teacher))
    labels, rounding = means[1] - means[0], (view.classes + 16) * EPS * size
    distances = {"max_c Δ_c": above, "minus min_c Δ_c": below}
    return Sides(labels - below.upper - rounding, labels + above.upper + rounding, distances, {"labels": labels})


def _rows(space: Space, prefix: str) -> tuple[Row, ...]:
    shared = common(space)

    def row(name: str, compute: Callable[[View], Sides], work: Working, *, words: str, statement: str, latex: str) -> Row:
        return Row(
            name=prefix + name,
            sentence=worded(words, space),
            statement=statement,
            latex=latex,
            source="T3, joint transport",
            target=shared.target,
            space=space,
            inputs=(*shared.inputs, LABELS, WHOLE_CLOUD_ASKED),
            needs=shared.needs,
            structural={**shared.structural, "cross-entropy": CROSS_ENTROPY},
            compute=compute,
            work=work,
        )

    return (
        row(
            "directed",
            _directed,
            whole_cloud(2, "t3 plan"),
            words="Transport of {points} without regard to class, where a move costs the most that a logit gains by it; what "
            "the labels add is known exactly.",
            statement="max_γ E min_c Δ_c ≤ R_S − R_T − (E a^T_Y' − E a^S_Y) ≤ min_γ E max_c Δ_c",
            latex=r"\max_\gamma E\min_c\Delta_c \le R_S-R_T-E[a^T_{Y'}]+E[a^S_Y] \le \min_\gamma E\max_c\Delta_c",
        ),
        row(
            "head_aware",
            _head_aware_sides,
            whole_cloud(1, "t3 plan"),
            words="Transport of {points} and labels together: a move costs as much as it can change the loss, and a change of "
            "label what it does change it.",
            statement="|R_S − R_T| ≤ min_γ E[ν_Y(a_S − a_T) + |a^T_Y' − a^T_Y|]",
            latex=r"|R_S-R_T| \le \min_\gamma E[\nu_Y(W(Z_S-Z_T))+|a^T_{Y'}-a^T_Y|]",
        ),
        row(
            "lipschitz",
            _euclidean_sides,
            together(whole_cloud(1, "t3 plan"), head),
            words="Transport of {points} and labels together: a move costs its length times L, a change of label what it "
            "changes the loss.",
            statement="|R_S − R_T| ≤ min_γ E[L ‖z_S − z_T‖ + |a^T_Y' − a^T_Y|]",
            latex=r"|R_S-R_T| \le \min_\gamma E[L\|Z_S-Z_T\|+|a^T_{Y'}-a^T_Y|]",
        ),
    )


ROWS = (*_rows("features", "T3."), *_rows("logits", "T3.logits."))
