"""T2: class-conditional transport."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from kd2m_theory.theory.examples import HEAD, MOVES, SATURATED, far_wrong
from kd2m_theory.theory.hypotheses import lipschitz_loss, same_class_shares, shared_linear_head
from kd2m_theory.theory.instance import (
    Instance,
    distances,
    instance,
    least_cost,
    lipschitz,
    random_instance,
    root,
    spectral,
    sum_of,
    vertex_norm,
)
from kd2m_theory.theory.statement import Form, Mutant, Sides, Step, Theorem, Witness

ClassCost = Callable[[Instance, int, Tensor, Tensor], Tensor]


def euclidean(x: Instance, _y: int, mine: Tensor, theirs: Tensor) -> Tensor:
    """‖z − z'‖ of every pair of one class."""
    return distances(x.student[mine], x.teacher[theirs])


def head_aware(x: Instance, y: int, mine: Tensor, theirs: Tensor) -> Tensor:
    """ν_y(W(z − z')) of every pair of one class."""
    change = (x.student[mine][:, None] - x.teacher[theirs][None]) @ x.weight.T
    return vertex_norm(change, torch.full(change.shape[:2], y))


def class_steepness(x: Instance, y: int, mine: Tensor, theirs: Tensor) -> Tensor:
    """L_y ‖z − z'‖ of every pair of one class."""
    return distances(x.weight[[y]], x.weight).amax() * euclidean(x, y, mine, theirs)


def transport(x: Instance, cost: ClassCost) -> Tensor:
    """Σ_y π_y W_{1,c_y}(P_S^y, P_T^y)."""
    return sum_of(share * least_cost(cost(x, y, mine, theirs)) for y, share, mine, theirs in x.by_class())


def squares(x: Instance) -> dict[int, Tensor]:
    """(W₂^y)² of every class."""
    return {y: least_cost(euclidean(x, y, mine, theirs) ** 2) for y, _, mine, theirs in x.by_class()}


def _head_aware(x: Instance) -> Sides:
    return Sides(x.gap, transport(x, head_aware))


def _class_lipschitz(x: Instance) -> Sides:
    return Sides(x.gap, transport(x, class_steepness))


def _lipschitz(x: Instance) -> Sides:
    return Sides(x.gap, lipschitz(x.weight) * transport(x, euclidean))


def _spectral(x: Instance) -> Sides:
    return Sides(x.gap, spectral(x.weight) * transport(x, euclidean))


def _w2(x: Instance) -> Sides:
    parts = squares(x)
    return Sides(x.gap, lipschitz(x.weight) * root(sum_of(share * parts[y] for y, share, _, _ in x.by_class())))


def _cw2(x: Instance) -> Sides:
    parts, largest = squares(x), max(share for _, share, _, _ in x.by_class())
    uniform = root(sum_of(parts.values()) / len(parts))
    return Sides(x.gap, lipschitz(x.weight) * math.sqrt(len(parts) * largest) * uniform)


def _large_class_moves() -> Instance:
    return instance([*[[-9.0]] * 99, [9.0]], [*[[-6.0]] * 99, [9.0]], [0] * 99 + [1], HEAD)


def _swapped_shares(x: Instance) -> Sides:
    shares = [share for _, share, _, _ in x.by_class()]
    return Sides(
        x.gap,
        sum_of(
            share * least_cost(head_aware(x, y, mine, theirs))
            for share, (y, _, mine, theirs) in zip(reversed(shares), x.by_class(), strict=True)
        ),
    )


def _label_free(x: Instance) -> Sides:
    return Sides(x.gap, lipschitz(x.weight) * least_cost(distances(x.student, x.teacher)))


def _w1_as_w2(x: Instance) -> Sides:
    return Sides(x.gap, lipschitz(x.weight) * transport(x, lambda *pairs: euclidean(*pairs) ** 2))


def _no_imbalance(x: Instance) -> Sides:
    parts = squares(x)
    return Sides(x.gap, lipschitz(x.weight) * root(sum_of(parts.values()) / len(parts)))


THEOREM = Theorem(
    name="T2",
    title="class-conditional transport",
    plain="Transport each class of student features onto the teacher's: the gap is at most the mean cost, for any ground cost "
    "that bounds how much the loss of that class can change.",
    latex=r"|R_S - R_T| \le \sum_y \pi_y\, W_{1,c_y}(P_S^y, P_T^y)",
    hypotheses=(
        shared_linear_head("T2.head_aware"),
        same_class_shares("T2.head_aware"),
        lipschitz_loss("T2.head_aware"),
    ),
    direction="two-sided",
    source="Kantorovich–Rubinstein duality, class by class; constants C1, C2 of the vertices of cross-entropy's gradient",
    proof="A change of the logits changes the loss of label y by at most ν_y of it; integrate this over the best coupling "
    "of each class.",
    steps=(
        Step(
            "The gradient is a convex combination of the vertices e_c − e_y, so the loss changes by at most ν_y along any "
            "segment.",
            r"|\ell(a+\Delta,y)-\ell(a,y)| \le \nu_y(\Delta)",
        ),
        Step(
            "Integrate over a coupling of each class, and take the best one: T2.head_aware.",
            r"|R_S-R_T| \le \sum_y\pi_y\min_{\gamma_y}E_{\gamma_y}\,\nu_y(W(z-z'))",
        ),
        Step(
            "Cauchy–Schwarz gives the constants of each class and of the head.",
            r"\nu_y(Wz) \le L_y\|z\| \le L\|z\|",
        ),
        Step(
            "The spectral norm is coarser, because two vertices are √2 apart.",
            r"\|w_c-w_{c'}\|=\|W^\top(e_c-e_{c'})\| \le \sqrt2\,\|W\|_{op}",
        ),
        Step(
            "Jensen within each class, and then over classes, gives the last two.",
            r"\sum_y\pi_y W_1^y \le \sum_y\pi_y W_2^y \le \Bigl(\sum_y\pi_y(W_2^y)^2\Bigr)^{1/2}",
        ),
    ),
    forms=tuple(
        Form(
            name=name,
            constant=constant,
            sides=sides,
            witness=Witness(words=words, make=witness),
            start=random_instance,
            free=MOVES,
        )
        for name, constant, sides, words, witness in (
            ("T2.head_aware", "1", _head_aware, SATURATED, far_wrong),
            ("T2.class_lipschitz", "L_y = max_c ‖w_c − w_y‖", _class_lipschitz, SATURATED, far_wrong),
            ("T2.lipschitz", "L = max ‖w_c − w_c'‖", _lipschitz, SATURATED, far_wrong),
            ("T2.spectral", "√2 ‖W‖_op", _spectral, SATURATED, far_wrong),
            ("T2.w2", "L", _w2, SATURATED, far_wrong),
            (
                "T2.cw2",
                "L √(n_c max π)",
                _cw2,
                "only the large class moves, and it is wrong",
                _large_class_moves,
            ),
        )
    ),
    mutants=(
        Mutant(name="class shares swapped", form="T2.head_aware", sides=_swapped_shares),
        Mutant(name="classes ignored: transport of the marginals", form="T2.lipschitz", sides=_label_free),
        Mutant(name="mean squared distance for mean distance", form="T2.lipschitz", sides=_w1_as_w2),
        Mutant(name="√(n_c max π) forgotten", form="T2.cw2", sides=_no_imbalance),
    ),
)
