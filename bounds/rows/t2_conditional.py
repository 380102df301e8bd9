"""T2: class-conditional transport. For any metric c_y that makes z ↦ ℓ(h(z), y) 1-Lipschitz,

    |R_S − R_T| ≤ Σ_y π_y W_{1,c_y}(P_S^y, P_T^y)

Ground costs, tightest first: ν_y(W(z − z')) ≤ L_y ‖z − z'‖ ≤ L ‖z − z'‖ ≤ √2 ‖W‖_op ‖z − z'‖. Then

    Σ_y π_y W₁^y ≤ (Σ_y π_y (W₂^y)²)^{1/2} ≤ √(n_c max_y π_y) · CW₂,      CW₂² = (1/n_c) Σ_y (W₂^y)²  (KD²M's).

The same inputs are not needed. Primal costs are used, so a capped solver loosens the bound and never breaks it.
"""

import math
from collections.abc import Callable

from kd2m_theory.bounds.rows.row import (
    CLASS_SHARES,
    CROSS_ENTROPY,
    LABELS,
    LINEAR,
    Requirement,
    Row,
    Sides,
    both_sides,
    common,
    worded,
)
from kd2m_theory.bounds.view import Space, View
from kd2m_theory.bounds.work import Working, class_costs, classwise_distances, head, together
from kd2m_theory.estimators import Enclosure
from kd2m_theory.estimators.distances import combine_classes
from kd2m_theory.estimators.ground import EPS


def _sides(distance: Enclosure, constant: float = 1.0, error: float = 0.0, **details: float) -> Sides:
    value = distance.scaled(constant, "nats").upper + constant * error * (1 + 2 * EPS)
    return both_sides(value, {"distance": distance}, {"constant": constant, **details})


def _head_aware(view: View) -> Sides:
    return _sides(combine_classes(view.w1_head_aware(), view.shares, 1))


def _class_lipschitz(view: View) -> Sides:
    constants = view.class_lipschitz
    scaled = {label: part.scaled(float(constants[label]), "nats") for label, part in view.w1().items()}
    return _sides(combine_classes(scaled, view.shares, 1))


def _lipschitz(view: View) -> Sides:
    return _sides(combine_classes(view.w1(), view.shares, 1), view.lipschitz, view.point_error)


def _spectral(view: View) -> Sides:
    return _sides(combine_classes(view.w1(), view.shares, 1), view.spectral)


def _w2(view: View) -> Sides:
    return _sides(combine_classes(view.w2(), view.shares, 2), view.lipschitz, view.point_error)


def _cw2(view: View) -> Sides:
    count = len(view.shares)
    distance = combine_classes(view.w2(), dict.fromkeys(view.shares, 1.0 / count), 2)
    imbalance = math.sqrt(count * max(view.shares.values())) * (1 + 4 * EPS)
    constant = view.lipschitz * imbalance * (1 + EPS)
    return _sides(distance, constant, view.point_error, L=view.lipschitz, imbalance=imbalance)


_W1, _W2 = (together(classwise_distances(name), head) for name in ("w1", "w2"))


def _rows(space: Space, prefix: str) -> tuple[Row, ...]:
    shared = common(space)

    def row(
        name: str, compute: Callable[[View], Sides], work: Working, *inputs: Requirement, words: str, statement: str, latex: str
    ) -> Row:
        return Row(
            name=prefix + name,
            sentence=worded(words, space),
            statement=statement,
            latex=latex,
            source="T2",
            target=shared.target,
            space=space,
            inputs=(*shared.inputs, *inputs, LABELS),
            needs=(*shared.needs, CLASS_SHARES),
            structural={**shared.structural, "1-Lipschitz loss": CROSS_ENTROPY},
            compute=compute,
            work=work,
        )

    head_aware = row(
        "head_aware",
        _head_aware,
        class_costs("w1_head_aware"),
        words="Within each class the cheapest way to move the teacher's {points} onto the student's, where a move costs as "
        "much as it can change the loss.",
        statement="|R_S − R_T| ≤ Σ_y π_y W₁(ν_y)",
        latex=r"|R_S-R_T| \le \sum_y\pi_y W_1(\nu_y)",
    )
    class_lipschitz = row(
        "class_lipschitz",
        _class_lipschitz,
        _W1,
        LINEAR,
        words="Transport distance (W₁) of the {points} within each class, times the steepness of its loss.",
        statement="|R_S − R_T| ≤ Σ_y π_y L_y W₁^y",
        latex=r"|R_S-R_T| \le \sum_y\pi_y L_y W_1^y",
    )
    lipschitz = row(
        "lipschitz",
        _lipschitz,
        _W1,
        words="Transport distance (W₁) of the {points} within each class, times the steepness L of the loss.",
        statement="|R_S − R_T| ≤ L Σ_y π_y W₁^y",
        latex=r"|R_S-R_T| \le L\sum_y\pi_y W_1^y",
    )
    spectral = row(
        "spectral",
        _spectral,
        _W1,
        LINEAR,
        words="Transport distance (W₁) of the {points} within each class, times √2 and the operator norm of the head: the "
        "coarsest constant, of the paper's type.",
        statement="|R_S − R_T| ≤ √2 ‖W‖_op Σ_y π_y W₁^y (the paper's type)",
        latex=r"|R_S-R_T| \le \sqrt2\|W\|_{op}\sum_y\pi_y W_1^y",
    )
    w2 = row(
        "w2",
        _w2,
        _W2,
        words="As T2.{prefix}lipschitz with the quadratic distance W₂, which is never smaller.",
        statement="|R_S − R_T| ≤ L (Σ_y π_y (W₂^y)²)^½",
        latex=r"|R_S-R_T| \le L(\sum_y\pi_y (W_2^y)^2)^{1/2}",
    )
    cw2 = row(
        "cw2",
        _cw2,
        _W2,
        words="The paper's class-conditional distance CW₂ of the {points}, times L and a factor for unequal classes.",
        statement="|R_S − R_T| ≤ L √(n_c max π) CW₂",
        latex=r"|R_S-R_T| \le L\sqrt{n_c\max_y\pi_y}\,CW_2",
    )
    if space == "logits":  # there W is the identity and L_y = L = √2 ‖W‖_op = √2: three costs are one
        return head_aware, lipschitz, w2, cw2
    return head_aware, class_lipschitz, lipschitz, spectral, w2, cw2


ROWS = (*_rows("features", "T2."), *_rows("logits", "T2.logits."))
