"""T3: transport of features and labels together."""

from dataclasses import replace

from torch import Tensor

from kd2m_theory.theory.examples import (
    BOTH_CHANGE,
    LABELS_PERMUTED,
    MOVES,
    half_temperature,
    permuted_labels,
    two_changes,
    unmatched_start,
)
from kd2m_theory.theory.hypotheses import shared_linear_head, too_steep
from kd2m_theory.theory.instance import (
    Instance,
    cross_entropy,
    distances,
    least_cost,
    lipschitz,
    vertex_norm,
)
from kd2m_theory.theory.statement import Form, Hypothesis, Mutant, Sides, Step, Theorem, Witness


def change(x: Instance) -> Tensor:
    """W(z − z') of every pair of a student's and a teacher's point, n × m × K."""
    return (x.student[:, None] - x.teacher[None]) @ x.weight.T


def label_term(x: Instance) -> Tensor:
    """a^T_{Y'} − a^T_Y of every pair, with the teacher point's logits: what its loss gains if its label Y' becomes Y."""
    own = x.logits_teacher.gather(1, x.labels_teacher[:, None])[:, 0]
    return own[None] - x.logits_teacher.T[x.labels_student]


def head_aware(x: Instance) -> Tensor:
    """ν_Y(W(z − z')) of every pair, Y the student point's label."""
    moved = change(x)
    return vertex_norm(moved, x.labels_student[:, None].expand(moved.shape[:2]))


def _directed(x: Instance) -> Sides:
    moved = change(x)
    student = x.logits_student.gather(1, x.labels_student[:, None]).mean()
    labels = x.logits_teacher.gather(1, x.labels_teacher[:, None]).mean() - student
    return Sides(x.gap, labels + least_cost(moved.amax(2)), labels - least_cost(-moved.amin(2)))


def _head_aware(x: Instance) -> Sides:
    return Sides(x.gap, least_cost(head_aware(x) + label_term(x).abs()))


def _lipschitz(x: Instance) -> Sides:
    return Sides(x.gap, least_cost(lipschitz(x.weight) * distances(x.student, x.teacher) + label_term(x).abs()))


def _no_labels(x: Instance) -> Sides:
    return Sides(x.gap, least_cost(head_aware(x)))


def _student_logits(x: Instance) -> Sides:
    own = x.logits_student.gather(1, x.labels_student[:, None])
    labels = (own - x.logits_student[:, x.labels_teacher]).abs()
    return Sides(x.gap, least_cost(head_aware(x) + labels))


def _teacher_label(x: Instance) -> Sides:
    moved = change(x)
    costs = vertex_norm(moved, x.labels_teacher[None].expand(moved.shape[:2]))
    return Sides(x.gap, least_cost(costs + label_term(x).abs()))


def _two_plans(x: Instance) -> Sides:
    feature = lipschitz(x.weight) * least_cost(distances(x.student, x.teacher))
    return Sides(x.gap, feature + least_cost(label_term(x).abs()))


def _label_mismatch(x: Instance) -> Sides:
    differ = (x.labels_student[:, None] != x.labels_teacher[None]).to(x.bias.dtype)
    return Sides(x.gap, least_cost(lipschitz(x.weight) * distances(x.student, x.teacher) + differ))


def _directed_without_labels(x: Instance) -> Sides:
    moved = change(x)
    return Sides(x.gap, least_cost(moved.amax(2)), -least_cost(-moved.amin(2)))


THEOREM = Theorem(
    name="T3",
    title="joint transport of features and labels",
    plain="Transport the whole labelled student sample onto the teacher's, features and labels together: the gap is at most "
    "the mean of how much the loss can change by the move plus how much the teacher point's loss changes with the label.",
    latex=r"|R_S-R_T| \le \min_\gamma E_\gamma[\nu_Y(W(Z_S-Z_T)) + |a^T_{Y'}-a^T_Y|] \le "
    r"\min_\gamma E_\gamma[L\|Z_S-Z_T\| + |a^T_{Y'}-a^T_Y|]",
    hypotheses=(
        shared_linear_head("T3.head_aware"),
        Hypothesis(
            name="cross-entropy",
            detail="So it changes by at most ν_y of the change of logits, and by a_y' − a_y if the label y' becomes y.",
            check=lambda x: x.loss is cross_entropy,
            counterexample=too_steep("T3.head_aware", lambda: replace(two_changes(), loss=half_temperature)),
        ),
    ),
    direction="two-sided",
    source="transport with a joint cost of features and labels (as Courty et al. 2017 use it), constants C1, C2",
    proof="Couple labelled points: change the logits first and the label afterwards. The change of the label is exact for "
    "cross-entropy.",
    steps=(
        Step(
            "On any coupling, split the difference of the losses.",
            r"\ell(a_S,Y)-\ell(a_T,Y')=[\ell(a_S,Y)-\ell(a_T,Y)]+[\ell(a_T,Y)-\ell(a_T,Y')]",
        ),
        Step(
            "The first bracket keeps the label.",
            r"|\ell(a_S,Y)-\ell(a_T,Y)| \le \nu_Y(a_S-a_T) \le L_Y\|z-z'\| \le L\|z-z'\|",
        ),
        Step(
            "The second keeps the logits, and is exact.",
            r"\ell(a_T,Y)-\ell(a_T,Y')=a^T_{Y'}-a^T_Y",
        ),
        Step(
            "Take the mean and the best coupling. Class shares may differ, because no coupling has to keep labels. The "
            "bound is never worse than T2 with the same ground cost: it allows the couplings of T2, and their label term "
            "is 0."
        ),
        Step(
            "With signs the bound is sharper: the first bracket is at most max_c (Δ_c − Δ_Y).",
            r"\ell(a_S,Y)-\ell(a_T,Y') \le \max_c\Delta_c+a^T_{Y'}-a^S_Y",
        ),
        Step(
            "The last two terms have the same mean on every coupling. So only max_c Δ_c is transported, without labels: "
            "T3.directed.",
            r"E\,\mathrm{lse}(a_S)-E\,\mathrm{lse}(a_T) \le \min_\gamma E_\gamma\max_c\Delta_c",
        ),
    ),
    forms=(
        Form(
            name="T3.directed",
            constant="1",
            sides=_directed,
            witness=Witness(words=LABELS_PERMUTED, make=permuted_labels),
            start=unmatched_start,
            free=MOVES,
        ),
        *(
            Form(
                name=name,
                constant=constant,
                sides=sides,
                witness=Witness(words=BOTH_CHANGE, make=two_changes),
                start=unmatched_start,
                free=MOVES,
            )
            for name, constant, sides in (
                ("T3.head_aware", "1", _head_aware),
                ("T3.lipschitz", "L = max ‖w_c − w_c'‖", _lipschitz),
            )
        ),
    ),
    mutants=(
        Mutant(name="label part left out", form="T3.directed", sides=_directed_without_labels),
        Mutant(name="label term left out: transport of the marginals", form="T3.head_aware", sides=_no_labels),
        Mutant(name="label term with the student point's logits", form="T3.head_aware", sides=_student_logits),
        Mutant(name="ν of the teacher point's label", form="T3.head_aware", sides=_teacher_label),
        Mutant(name="each term at its own best plan", form="T3.lipschitz", sides=_two_plans),
        Mutant(name="0–1 cost of labels", form="T3.lipschitz", sides=_label_mismatch),
    ),
)
