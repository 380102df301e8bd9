"""T3: transport of features and labels together. For every coupling γ of (Z_S, Y) and (Z_T, Y'), with Δ = a_S − a_T,

    |R_S − R_T| ≤ E_γ[ ν_Y(Δ) + |a^T_{Y'} − a^T_Y| ] ≤ E_γ[ L ‖Z_S − Z_T‖ + |a^T_{Y'} − a^T_Y| ]

The loss of the pair changes by at most ν_Y from (Z_S, Y) to (Z_T, Y), and by a^T_{Y'} − a^T_Y exactly from there to
(Z_T, Y'): cross-entropies of one input differ by its logits. So no class shares are needed, and the sign of the second term
is known: with the plan that is optimal for the absolute value, each side is then added up with its sign, which can only
tighten it. `directed` is sharper still. ℓ = lse(a) − a_Y, and lse(a_S) − lse(a_T) lies between min_c Δ_c and max_c Δ_c, so

    max_γ E_γ[min_c Δ_c] ≤ R_S − R_T − (E a^T_{Y'} − E a^S_Y) ≤ min_γ E_γ[max_c Δ_c]:

labels need no transport at all, and no coupling of T1, T2 or T3 gives a smaller interval.

Any coupling gives valid sides. Up to 2,000 samples, and 10⁹ differences of two logits, each row solves its own problem; above,
one is solved, with the Euclidean cost, and the sharper costs are added up along its plan.
"""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from kd2m_theory.arrays import Float64, Int64
from kd2m_theory.bounds.constants.heads import vertex_norm
from kd2m_theory.bounds.rows.row import CROSS_ENTROPY, LABELS, WHOLE_CLOUD_ASKED, Row, Sides, both_sides, common, worded
from kd2m_theory.bounds.settings import WHOLE_CLOUD
from kd2m_theory.bounds.view import Space, View
from kd2m_theory.bounds.work import Working, head, together, whole_cloud
from kd2m_theory.estimators import CostMatrix, Enclosure, Plan, VertexNorm, cost_matrix
from kd2m_theory.estimators.ground import EPS, UNDERFLOW
from kd2m_theory.estimators.transport import certified_plan, optimal_cost
from kd2m_theory.logits import Logits
from kd2m_theory.side_by_side import by_rows, column_blocks, over_rows, row_blocks

# Differences of two logits, of all pairs of points and all classes, up to which each row solves a problem of its own.
_DIFFERENCES = 10**9

# Logits of both networks up to which distances of points are those of any cloud.
_ENTRIES = 2**24
# A squared distance is short where it is less than a sixteenth of the largest that its points' norms allow; so large a share of
# the pairs, if they are, is computed again without products.
_SHORT, _AGAIN = 16.0, 0.02


def label_changes(view: View) -> tuple[Float64, Int64]:
    """a^T_{Y'} − a^T_Y of each label Y that the student has and each teacher point (its logits and label Y'), and whose row of
    these a student's point has.
    """
    labels_s, labels_t = view.both_labels()
    own = view.stored_logits_teacher[np.arange(len(labels_t)), labels_t]
    labels, row = np.unique(labels_s, return_inverse=True)
    return np.array([own - view.stored_logits_teacher[:, label] for label in labels]), row


def _head_aware(view: View) -> CostMatrix:
    labels_s, _ = view.both_labels()
    changes, row = label_changes(view)
    values, errors, teacher = np.abs(changes)[row], [0.0], view.stored_logits_teacher[:]
    for label in np.unique(labels_s).tolist():
        mine = labels_s == label
        part = cost_matrix(view.stored_logits_student[mine], teacher, VertexNorm(label=label), 1)
        values[mine] += part.values
        errors.append(part.absolute_error)
    return CostMatrix(values, 6 * EPS, max(errors), "nats")


def euclidean_costs(view: View) -> CostMatrix:
    """‖z_S − z_T‖ of every pair of points. Wide logits are read in blocks of classes, and their points are never stored."""
    student, teacher = view.stored_logits_student, view.stored_logits_teacher
    entries = student.size + teacher.size
    if view.space == "features" or entries <= _ENTRIES:
        return cost_matrix(view.student, view.teacher, "euclidean", 1)
    if len(student) * len(teacher) > entries:
        return _wide_costs(student, teacher)
    cost = view.shared("distances of wide logits", lambda: _wide_costs(student, teacher), of_logits=True)
    return replace(cost, values=cost.values.copy())


def _wide_costs(student: Logits, teacher: Logits) -> CostMatrix:
    """Distances of logits less their class means, from products of blocks of classes."""
    (n, classes), m = student.shape, len(teacher)
    sides = [(logits, by_rows(_means, logits)) for logits in (student, teacher)]
    largest = max(float(by_rows(lambda part, mean: np.abs(part - mean[:, None]).max(axis=1), *side).max()) for side in sides)
    exponent = math.frexp(largest)[1]
    values, squares = np.zeros((n, m)), [np.zeros(n), np.zeros(m)]
    for block in column_blocks(n + m, classes):
        x, y = (np.ldexp(logits[:, block] - mean[:, None], -exponent) for logits, mean in sides)
        centre = (x.mean(axis=0) + y.mean(axis=0)) / 2
        x, y = x - centre, y - centre
        values -= 2.0 * (x @ y.T)
        for square, each in zip(squares, (x, y), strict=True):
            square += np.einsum("ij,ij->i", each, each)
    values += squares[0][:, None]
    values += squares[1]
    # A distance that is short against the norms that it is a difference of has lost digits.
    reach = np.sqrt(squares[0])[:, None] + np.sqrt(squares[1])
    rows, columns = np.nonzero(_SHORT * values < np.square(reach, out=reach))
    relative, absolute = _SHORT * (classes + 16) * EPS, classes * UNDERFLOW
    if len(rows) <= _AGAIN * n * m:
        for part in row_blocks(len(rows), classes):
            i, j = rows[part], columns[part]
            apart = (student[i] - sides[0][1][i, None]) - (teacher[j] - sides[1][1][j, None])
            values[i, j] = np.square(np.ldexp(apart, -exponent)).sum(axis=1)
    else:
        absolute += (classes + 16) * EPS * float(reach.max())
    distances = np.ldexp(np.sqrt(np.maximum(values, 0.0, out=values), out=values), exponent)
    return CostMatrix(distances, relative, math.ldexp(math.sqrt(absolute), exponent), "distance")


def _lipschitz(view: View) -> CostMatrix:
    cost = euclidean_costs(view)
    values, (changes, row) = cost.values, label_changes(view)
    np.abs(changes, out=changes)

    def joined(rows: slice) -> None:
        values[rows] *= view.lipschitz
        values[rows] += changes[row[rows]]

    over_rows(values.shape, joined)
    error = view.lipschitz * (cost.absolute_error * (1 + EPS) + view.point_error)
    return CostMatrix(values, cost.relative_error + 6 * EPS, error, "nats")


def _euclidean_plan(view: View) -> tuple[Enclosure, Plan]:
    return view.shared("t3 plan", lambda: _solved(view, _lipschitz(view)))


def _solved(view: View, cost: CostMatrix) -> tuple[Enclosure, Plan]:
    n, m = cost.values.shape
    return certified_plan(cost, np.full(n, 1.0 / n), np.full(m, 1.0 / m), view.settings.max_pivots)


def _one_plan(view: View) -> Plan | None:
    """The plan that all rows share above the stated sizes, if it is a permutation."""
    n, m = view.samples
    if max(n, m) <= WHOLE_CLOUD and n * m * view.classes <= _DIFFERENCES:
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
    values = _pair_by_pair(view, plan, lambda student, teacher, labels: (vertex_norm(student - teacher, labels),))[0]
    return _sides(view, _along(values + np.abs(relabelled(view, plan)), sum(view.depth)), plan)


def _pair_by_pair(
    view: View, plan: Plan, compute: Callable[[Float64, Float64, Int64], tuple[Float64, ...]]
) -> tuple[Float64, ...]:
    """What a function makes of the logits, and of the student's label, of each pair of a plan, a block of pairs at a time."""
    labels, _ = view.both_labels()
    parts = [
        compute(view.stored_logits_student[rows], view.stored_logits_teacher[columns], labels[rows])
        for rows, columns in ((plan.rows[block], plan.columns[block]) for block in row_blocks(len(plan.rows), view.classes))
    ]
    return tuple(np.concatenate(each) for each in zip(*parts, strict=True))


def relabelled(view: View, plan: Plan) -> Float64:
    """a^T_{Y'} − a^T_Y of each pair of a plan."""
    labels_s, labels_t = view.both_labels()
    own, other = labels_t[plan.columns], labels_s[plan.rows]
    change: Float64 = view.stored_logits_teacher[plan.columns, own] - view.stored_logits_teacher[plan.columns, other]
    return change


def _sides(view: View, distance: Enclosure, plan: Plan) -> Sides:
    if plan.method != "assignment":
        return both_sides(distance.upper, {"distance": distance})
    labels_s, labels_t = (y[at] for y, at in zip(view.both_labels(), (plan.rows, plan.columns), strict=True))
    change = relabelled(view, plan)
    # Where the sign is known, what the absolute value added: |x| − x above, |x| + x below.
    above, below = (2 * math.fsum(np.maximum(sign * change, 0.0)) / len(change) * (1 - 8 * EPS) for sign in (-1.0, 1.0))
    details = {"mass moved between classes": float((labels_s != labels_t).mean())}
    return Sides(below - distance.upper, distance.upper - above, {"distance": distance}, details)


def _euclidean_sides(view: View) -> Sides:
    return _sides(view, *_euclidean_plan(view))


def _largest(student: Float64, teacher: Float64) -> CostMatrix:
    """max_c Δ_c of every pair."""
    values = np.subtract.outer(student[:, 0], teacher[:, 0])
    change = np.empty_like(values)
    for k in range(1, student.shape[1]):
        np.subtract.outer(student[:, k], teacher[:, k], out=change)
        np.maximum(values, change, out=values)
    return CostMatrix(values, 0.0, 2 * EPS * float(np.abs(values).max()), "nats")


def _means(logits: Float64) -> Float64:
    return np.asarray(logits.mean(axis=1))


def _less_mean(logits: Float64) -> Float64:
    """Logits less their class mean, which cancels: what is transported stays small."""
    return logits - _means(logits)[:, None]


def _extremes(student: Float64, teacher: Float64, _labels: Int64) -> tuple[Float64, Float64, Float64]:
    """max_c Δ_c and min_c Δ_c of each pair, and the size of the numbers that they are differences of."""
    student, teacher = _less_mean(student), _less_mean(teacher)
    change = student - teacher
    return change.max(axis=1), change.min(axis=1), np.abs(student).max(axis=1) + np.abs(teacher).max(axis=1)


def _directed(view: View) -> Sides:
    n, m = view.samples
    weights = np.full(n, 1.0 / n), np.full(m, 1.0 / m)
    plan = _one_plan(view)
    if plan is None:
        student, teacher = (_less_mean(each[:]) for each in (view.stored_logits_student, view.stored_logits_teacher))
        above = optimal_cost(_largest(student, teacher), *weights, view.settings.max_pivots)
        below = optimal_cost(_largest(-student, -teacher), *weights, view.settings.max_pivots)
    else:
        largest, least, sizes = _pair_by_pair(view, plan, _extremes)
        reach = float(sizes.max())
        above, below = _along(largest, reach), _along(-least, reach)
    sides = zip((view.stored_logits_student, view.stored_logits_teacher), view.both_labels(), strict=True)
    own = [logits[np.arange(len(labels)), labels] - by_rows(_means, logits) for logits, labels in sides]
    means = [math.fsum(values) / len(values) for values in own]
    labels, rounding = means[1] - means[0], (view.classes + 16) * EPS * max(view.depth)
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
