"""T10: what means and covariances alone say, without any transport problem. Per class, Gelbrich (1990) below and the
independent coupling above:

    ‖Δμ‖² + tr(Σ_S + Σ_T − 2(Σ_S^½ Σ_T Σ_S^½)^½) ≤ W₂² ≤ ‖Δμ‖² + tr Σ_S + tr Σ_T

Equality below for affine images of one law, Gaussians among them; above for a point. The Gaussian W₂ is a *lower* bound and
bounds no risk from above: two laws with equal moments have distance 0 there and any gap.
"""

import math
from collections.abc import Callable

from kd2m_theory.bounds.rows.row import CLASS_SHARES, LABELS, VIEW, Row, Sides, both_sides
from kd2m_theory.bounds.view import Space, View
from kd2m_theory.estimators import Enclosure, gaussian_wasserstein
from kd2m_theory.estimators.distances import combine_classes
from kd2m_theory.estimators.ground import EPS


def _moments(view: View) -> Enclosure:
    labels_s, labels_t = view.both_labels()
    parts = {
        label: gaussian_wasserstein(view.student[labels_s == label], view.teacher[labels_t == label]).enclosure()
        for label in view.shares
    }
    return combine_classes(parts, view.shares, 2)


def _shared(view: View) -> Enclosure:
    return view.shared("moments", lambda: _moments(view))


def _gelbrich(view: View) -> Sides:
    return Sides(_shared(view).lower, math.inf)


def _upper(view: View) -> Sides:
    return Sides(0.0, _shared(view).upper)


def _risk(view: View) -> Sides:
    distance = _shared(view)
    value = distance.scaled(view.lipschitz, "nats").upper + view.lipschitz * view.point_error * (1 + 2 * EPS)
    return both_sides(value, {"distance": distance}, {"L": view.lipschitz})


def _distance(name: str, statement: str, compute: Callable[[View], Sides]) -> Row:
    return Row(
        name=name,
        statement=statement,
        source="T10, moments",
        target="class_w2",
        space="features",
        needs=(VIEW, LABELS, CLASS_SHARES),
        compute=compute,
    )


def _gap(name: str, space: Space) -> Row:
    return Row(
        name=name,
        statement="|R_S − R_T| ≤ L (Σ_y π_y (‖Δμ_y‖² + tr Σ_S^y + tr Σ_T^y))^½",
        source="T10, moments",
        target="gap_shared_head" if space == "features" else "gap",
        space=space,
        needs=(VIEW, LABELS, CLASS_SHARES),
        compute=_risk,
    )


ROWS = (
    _gap("T10.risk", "features"),
    _gap("T10.logits.risk", "logits"),
    _distance("T10.gelbrich", "W₂ ≥ Gelbrich's bound of means and covariances", _gelbrich),
    _distance("T10.moments", "W₂ ≤ (‖Δμ‖² + tr Σ_S + tr Σ_T)^½", _upper),
)
