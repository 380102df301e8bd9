"""T5: enclosure from both sides by convexity and smoothness: slopes at both ends."""

from collections.abc import Callable

import torch
from torch import Tensor

from kd2m_theory.theory.examples import HEAD, MOVES, SATURATED, far_wrong, tenth_temperature
from kd2m_theory.theory.hypotheses import same_class_shares, shared_linear_head
from kd2m_theory.theory.instance import (
    Instance,
    cross_entropy,
    instance,
    least_cost,
    random_instance,
    reordered,
    sampled_error,
    squared_loss,
    sum_of,
)
from kd2m_theory.theory.statement import Counterexample, Form, Hypothesis, Mutant, Sides, Step, Theorem, Witness

ClassCost = Callable[[Instance, int, Tensor, Tensor], Tensor]


def gradients(x: Instance, points: Tensor, y: int) -> Tensor:
    """∇ℓ in the logits at points under the shared head, all of class y."""
    labels = torch.full((len(points),), y)
    gradient: Tensor = torch.func.grad(lambda logits: x.loss(logits, labels).sum())(points @ x.weight.T + x.bias)
    return gradient


def change(x: Instance, _y: int, mine: Tensor, theirs: Tensor) -> Tensor:
    """W(z − z') of every pair of one class."""
    return (x.student[mine][:, None] - x.teacher[theirs][None]) @ x.weight.T


def at_teacher(x: Instance, y: int, mine: Tensor, theirs: Tensor) -> Tensor:
    """⟨∇_zℓ_y(z'), z − z'⟩ of every pair of one class."""
    return (change(x, y, mine, theirs) * gradients(x, x.teacher[theirs], y)[None]).sum(2)


def at_student(x: Instance, y: int, mine: Tensor, theirs: Tensor) -> Tensor:
    """⟨∇_zℓ_y(z), z − z'⟩ of every pair of one class."""
    return (change(x, y, mine, theirs) * gradients(x, x.student[mine], y)[:, None]).sum(2)


def centred_square(x: Instance, y: int, mine: Tensor, theirs: Tensor) -> Tensor:
    """‖W(z − z') less its mean over classes‖² of every pair of one class."""
    moved = change(x, y, mine, theirs)
    return ((moved - moved.mean(2, keepdim=True)) ** 2).sum(2)


def squared_range(x: Instance, y: int, mine: Tensor, theirs: Tensor) -> Tensor:
    """(max_c Δ_c − min_c Δ_c)² of every pair of one class, Δ = W(z − z')."""
    moved = change(x, y, mine, theirs)
    return (moved.amax(2) - moved.amin(2)) ** 2


def plus(cost: ClassCost, factor: float, other: ClassCost) -> ClassCost:
    """cost + factor · other."""
    return lambda *pairs: cost(*pairs) + factor * other(*pairs)


def enclosure(x: Instance, lowers: tuple[ClassCost, ...], uppers: tuple[ClassCost, ...]) -> Sides:
    """Σ_y π_y times the largest of max_γ E_γ[lower], and the smallest of min_γ E_γ[upper], each chosen class by class."""
    below, above = [], []
    for y, share, mine, theirs in x.by_class():
        below.append(share * torch.stack([-least_cost(-cost(x, y, mine, theirs)) for cost in lowers]).amax())
        above.append(share * torch.stack([least_cost(cost(x, y, mine, theirs)) for cost in uppers]).amin())
    return Sides(x.gap, sum_of(above), sum_of(below))


def _bend(x: Instance, y: int, mine: Tensor, theirs: Tensor) -> Tensor:
    """s²/(2M) of every pair: s the rise of the slope along Δ, M = ¼ (max Δ − min Δ)² the most that it can rise."""
    pairs = x, y, mine, theirs
    rise, most = at_student(*pairs) - at_teacher(*pairs), squared_range(*pairs) / 4
    return torch.where(most > 0, rise**2 / (2 * torch.where(most > 0, most, torch.ones_like(most))), torch.zeros_like(most))


def _slopes(x: Instance) -> Sides:
    return enclosure(x, (plus(at_teacher, 1.0, _bend),), (plus(at_student, -1.0, _bend),))


def _range(x: Instance) -> Sides:
    lowers = (at_teacher, plus(at_student, -0.125, squared_range))
    return enclosure(x, lowers, (at_student, plus(at_teacher, 0.125, squared_range)))


def _convex(x: Instance) -> Sides:
    return enclosure(x, (at_teacher,), (at_student, plus(at_teacher, 0.25, centred_square)))


CONVEX = (cross_entropy, squared_loss, tenth_temperature)
# The Hessian of 1 − p_y in the logits is p_y(diag(p) − ppᵀ − uuᵀ), u = e_y − p: a difference of two positive parts. The first
# is at most ½, the second p_y‖u‖² ≤ 2 p_y(1 − p_y)² ≤ 8/27, so it is ½-smooth; along Δ the parts are at most ¼ and 4/27 of the
# squared range. It does not change if all logits shift. It is not convex.
SMOOTH = (cross_entropy, sampled_error)


def _flat_end() -> Instance:
    return instance([[-9.0]], [[0.0]], [0], HEAD, loss=sampled_error)


def _steep_loss() -> Instance:
    return instance([[-1.0]], [[0.0]], [0], HEAD, loss=tenth_temperature)


def _start(generator: torch.Generator) -> Instance:
    """Five points of three classes; the teacher's come in another order, so its couplings have to find them."""
    x = random_instance(generator, n=5)
    return reordered(x, torch.randperm(5, generator=generator))


def _wrong_end(x: Instance) -> Sides:
    return enclosure(x, (at_teacher,), (at_teacher,))


def _ends_exchanged(x: Instance) -> Sides:
    return enclosure(x, (at_student,), (at_teacher,))


def _eighth(x: Instance) -> Sides:
    return enclosure(x, (at_teacher,), (at_student, plus(at_teacher, 0.125, centred_square)))


def _whole_bend(x: Instance) -> Sides:
    return enclosure(x, (plus(at_teacher, 2.0, _bend),), (plus(at_student, -2.0, _bend),))


def _sixteenth(x: Instance) -> Sides:
    return enclosure(x, (at_teacher,), (at_student, plus(at_teacher, 0.0625, squared_range)))


def _classes_ignored(x: Instance) -> Sides:
    everyone, all_theirs = torch.arange(len(x.student)), torch.arange(len(x.teacher))

    def all_pairs(points: Tensor, labels: Tensor) -> Tensor:
        return torch.cat([gradients(x, point[None], int(y)) for point, y in zip(points, labels, strict=True)])

    moved = change(x, 0, everyone, all_theirs)
    lower = (moved * all_pairs(x.teacher, x.labels_teacher)[None]).sum(2)
    upper = (moved * all_pairs(x.student, x.labels_student)[:, None]).sum(2)
    return Sides(x.gap, least_cost(upper), -least_cost(-lower))


THEOREM = Theorem(
    name="T5",
    title="enclosure from both sides by slopes",
    plain="Along a segment from a teacher's to a student's point the slope of a convex loss rises, and nowhere faster than its "
    "smoothness allows: the slopes at both ends enclose the change of the loss, and any coupling that keeps labels the gap.",
    latex=r"\max_\gamma E_\gamma\langle\nabla_z\ell_Y(Z_T),Z_S-Z_T\rangle \le R_S-R_T \le "
    r"\min_\gamma E_\gamma\langle\nabla_z\ell_Y(Z_S),Z_S-Z_T\rangle",
    hypotheses=(
        shared_linear_head("T5", detail="It is linear, so that what is convex in the logits is convex in z."),
        same_class_shares("T5", detail="So couplings can keep labels."),
        Hypothesis(
            name="convex loss",
            forms=("T5", "T5.half"),
            check=lambda x: x.loss in CONVEX,
            counterexample=Counterexample(
                words="1 − p_y levels off, so its tangent at the teacher overshoots", form="T5", make=_flat_end
            ),
        ),
        Hypothesis(
            name="½-smooth loss",
            detail="For T5 and T5.range it is at most ¼(max Δ − min Δ)². The loss does not change if all logits shift.",
            check=lambda x: x.loss in SMOOTH,
            counterexample=Counterexample(
                words="cross-entropy at temperature 1/10 is convex but bends more", form="T5", make=_steep_loss
            ),
        ),
    ),
    direction="two-sided",
    source="tangents of a convex function and the descent lemma (standard), on couplings",
    proof="A convex loss lies above its tangents at both ends, and the second derivative bounds how far; transport each "
    "side within the classes.",
    steps=(
        Step(
            "On a coupling that keeps labels, the gap is a mean of changes of one loss.",
            r"R_S-R_T=E_\gamma[\ell_Y(Z_S)-\ell_Y(Z_T)]",
        ),
        Step(
            "Convexity bounds each change by the slopes at its ends. Take the best coupling for each side.",
            r"\langle\nabla\ell_y(z'),z-z'\rangle \le \ell_y(z)-\ell_y(z') \le \langle\nabla\ell_y(z),z-z'\rangle",
        ),
        Step(
            "A second upper side is the tangent at the teacher plus half the largest second derivative, which is a "
            "variance for cross-entropy: T5.half.",
            r"\ell(a+\Delta)-\ell(a)-\langle\nabla\ell(a),\Delta\rangle \le \tfrac12\max_p\mathrm{Var}_p(\Delta) \le "
            r"\tfrac14\|\Delta-\bar\Delta\|^2",
        ),
        Step(
            "Popoviciu's inequality is sharper, and is Hoeffding's lemma here: T5.range.",
            r"\mathrm{Var}_p(\Delta) \le \tfrac14(\max\Delta-\min\Delta)^2",
        ),
        Step(
            "It is never more than the bound before, and equal for two classes. Read from the student's end it gives a "
            "second lower side.",
            r"(\max\Delta-\min\Delta)^2 \le 2(\max\Delta-m)^2+2(\min\Delta-m)^2 \le 2\|\Delta-m\|^2",
        ),
        Step(
            "For T5 itself let φ(t) = ℓ(a + tΔ). The slope rises by s = φ'(1) − φ'(0), nowhere faster than M. The area "
            "under it is largest if it rises at once, and least if it rises at the end.",
            r"\varphi'(0)+\frac{s^2}{2M} \le \varphi(1)-\varphi(0) \le \varphi'(1)-\frac{s^2}{2M}",
        ),
        Step(
            "Since (s − M)² ≥ 0, this is never worse than φ'(0) + M/2; since s² ≥ 0, it is never worse than φ'(1).",
            r"\varphi'(1)-\frac{s^2}{2M}=\varphi'(0)+\frac M2-\frac{(s-M)^2}{2M}",
        ),
    ),
    forms=(
        Form(
            name="T5",
            constant="1/(2M), M = ¼ of the squared range of Δ over classes",
            sides=_slopes,
            witness=Witness(words=SATURATED, make=far_wrong),
            start=_start,
            free=MOVES,
        ),
        Form(
            name="T5.range",
            latex=r"\ell_S-\ell_T \ge \langle\nabla\ell(a_S),\Delta\rangle-\tfrac18\mathrm{range}^2,\quad "
            r"\ell_S-\ell_T \le \langle\nabla\ell(a_T),\Delta\rangle+\tfrac18\mathrm{range}^2",
            constant="⅛ of the squared range of Δ over classes",
            sides=_range,
            witness=Witness(words=SATURATED, make=far_wrong),
            start=_start,
            free=MOVES,
        ),
        Form(
            name="T5.half",
            latex=r"\max_\gamma E\langle\nabla\ell(a_T),\Delta\rangle \le R_S-R_T \le "
            r"\sum_y\pi_y\min(\min_\gamma E\langle\nabla\ell(a_S),\Delta\rangle, "
            r"\min_\gamma E[\langle\nabla\ell(a_T),\Delta\rangle+\tfrac14\|\Delta-\bar\Delta\|^2])",
            constant="1, and ¼ of the squared change of logits less their mean",
            sides=_convex,
            witness=Witness(words=SATURATED, make=far_wrong),
            start=_start,
            free=MOVES,
        ),
    ),
    mutants=(
        Mutant(name="s²/M for s²/2M", form="T5", sides=_whole_bend),
        Mutant(name="1/16 for ⅛ of the squared range", form="T5.range", sides=_sixteenth),
        Mutant(name="gradient at the teacher on the upper side too", form="T5.half", sides=_wrong_end),
        Mutant(name="the two ends exchanged", form="T5.half", sides=_ends_exchanged),
        Mutant(name="⅛ for ¼ of the squared change", form="T5.half", sides=_eighth),
        Mutant(name="classes ignored: couplings of the marginals", form="T5.half", sides=_classes_ignored),
    ),
)
