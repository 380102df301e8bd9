"""T2: class-conditional transport. For any metric c_y that makes z ↦ ℓ(h(z), y) 1-Lipschitz,

    |R_S − R_T| ≤ Σ_y π_y W_{1,c_y}(P_S^y, P_T^y)

Ground costs, tightest first: ν_y(W(z − z')) ≤ L_y ‖z − z'‖ ≤ L ‖z − z'‖ ≤ √2 ‖W‖_op ‖z − z'‖. Then

    Σ_y π_y W₁^y ≤ (Σ_y π_y (W₂^y)²)^{1/2} ≤ √(n_c max_y π_y) · CW₂,      CW₂² = (1/n_c) Σ_y (W₂^y)²  (KD²M's).

The same inputs are not needed. Primal costs are used, so a capped solver loosens the bound and never breaks it.
"""

import math

from kd2m_theory.bounds.rows.row import CLASS_SHARES, LABELS, LINEAR, VIEW, Row, Sides, both_sides
from kd2m_theory.bounds.targets import Target
from kd2m_theory.bounds.view import Space, View
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


def _rows(space: Space, prefix: str) -> tuple[Row, ...]:
    target: Target = "gap_shared_head" if space == "features" else "gap"
    rows = (
        ("head_aware", "|R_S − R_T| ≤ Σ_y π_y W₁(ν_y)", _head_aware),
        ("class_lipschitz", "|R_S − R_T| ≤ Σ_y π_y L_y W₁^y", _class_lipschitz),
        ("lipschitz", "|R_S − R_T| ≤ L Σ_y π_y W₁^y", _lipschitz),
        ("spectral", "|R_S − R_T| ≤ √2 ‖W‖_op Σ_y π_y W₁^y (the paper's type)", _spectral),
        ("w2", "|R_S − R_T| ≤ L (Σ_y π_y (W₂^y)²)^½", _w2),
        ("cw2", "|R_S − R_T| ≤ L √(n_c max π) CW₂", _cw2),
    )
    # On logits W is the identity and L_y = L = √2 ‖W‖_op = √2: three costs are one.
    one = {"class_lipschitz", "spectral"} if space == "logits" else set()
    linear = {"class_lipschitz": (LINEAR,), "spectral": (LINEAR,)}
    return tuple(
        Row(
            name=prefix + name,
            statement=statement,
            source="T2",
            target=target,
            space=space,
            needs=(VIEW, *linear.get(name, ()), LABELS, CLASS_SHARES),
            compute=compute,
        )
        for name, statement, compute in rows
        if name not in one
    )


ROWS = (*_rows("features", "T2."), *_rows("logits", "T2.logits."))
