"""T10: what means and covariances alone say, without any transport problem. Per class, Gelbrich (1990) below and the
independent coupling above:

    ‖Δμ‖² + tr(Σ_S + Σ_T − 2(Σ_S^½ Σ_T Σ_S^½)^½) ≤ W₂² ≤ ‖Δμ‖² + tr Σ_S + tr Σ_T

Equality below for affine images of one law, Gaussians among them; above for a point. The Gaussian W₂ is a *lower* bound and
bounds no risk from above: two laws with equal moments have distance 0 there and any gap.
"""

import math
from collections.abc import Callable

from kd2m_theory.bounds.rows.row import CLASS_SHARES, CROSS_ENTROPY, FEATURES, LABELS, Row, Sides, both_sides, common, worded
from kd2m_theory.bounds.view import Space, View
from kd2m_theory.bounds.work import head, moments, together
from kd2m_theory.estimators import Enclosure, gaussian_wasserstein
from kd2m_theory.estimators.distances import combine_classes
from kd2m_theory.estimators.ground import EPS


def _moments(view: View) -> Enclosure:
    parts = {label: gaussian_wasserstein(*view.points_of_class(label)).enclosure() for label in view.shares}
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


def _distance(name: str, compute: Callable[[View], Sides], *, words: str, statement: str, latex: str) -> Row:
    return Row(
        name=name,
        sentence=words,
        statement=statement,
        latex=latex,
        source="T10, moments",
        target="class_w2",
        space="features",
        inputs=(FEATURES, LABELS),
        needs=(CLASS_SHARES,),
        structural={},
        compute=compute,
        work=moments("moments"),
    )


def _gap(name: str, space: Space) -> Row:
    shared = common(space)
    return Row(
        name=name,
        sentence=worded(
            "From the means and covariances of the {points} in each class alone, times the steepness L of the loss.", space
        ),
        statement="|R_S − R_T| ≤ L (Σ_y π_y (‖Δμ_y‖² + tr Σ_S^y + tr Σ_T^y))^½",
        latex=r"|R_S-R_T| \le L(\sum_y\pi_y(\|\Delta\mu_y\|^2+\mathrm{tr}\,\Sigma_S^y+\mathrm{tr}\,\Sigma_T^y))^{1/2}",
        source="T10, moments",
        target=shared.target,
        space=space,
        inputs=(*shared.inputs, LABELS),
        needs=(*shared.needs, CLASS_SHARES),
        structural={**shared.structural, "1-Lipschitz loss": CROSS_ENTROPY},
        compute=_risk,
        work=together(moments("moments"), head),
    )


ROWS = (
    _gap("T10.risk", "features"),
    _gap("T10.logits.risk", "logits"),
    _distance(
        "T10.gelbrich",
        _gelbrich,
        words="The quadratic distance between the features is at least what their means and covariances call for.",
        statement="W₂ ≥ Gelbrich's bound of means and covariances",
        latex=r"W_2^2 \ge \|\Delta\mu\|^2+\mathrm{tr}(\Sigma_S+\Sigma_T-2(\Sigma_S^{1/2}\Sigma_T\Sigma_S^{1/2})^{1/2})",
    ),
    _distance(
        "T10.moments",
        _upper,
        words="The quadratic distance between the features is at most what their means and covariances allow.",
        statement="W₂ ≤ (‖Δμ‖² + tr Σ_S + tr Σ_T)^½",
        latex=r"W_2^2 \le \|\Delta\mu\|^2+\mathrm{tr}\,\Sigma_S+\mathrm{tr}\,\Sigma_T",
    ),
)
