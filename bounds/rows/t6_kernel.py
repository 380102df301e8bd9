"""T6: a kernel bound in which nothing has to be vouched for. Squared loss ‖Wz + b − e_y‖², polynomial kernel of degree two.

With any centre z₀ and c > 0, the loss of class y lies in the RKHS of (⟨z − z₀, z' − z₀⟩ + c)² up to a constant, with
‖f_y‖² = ‖WᵀW‖_F² + ‖g_y‖²/(2c), g_y = 2Wᵀ(Wz₀ + b − e_y), and MMD² = ‖ΔM‖_F² + 2c ‖Δμ‖² for the differences Δμ, ΔM of the
first two moments about z₀. So |R_S − R_T| ≤ Σ_y π_y ‖f_y‖ MMD_y. Both factors depend on c and their product is least at
c = ½ ‖g‖‖ΔM‖ / (‖WᵀW‖‖Δμ‖), where it is

    ‖WᵀW‖_F ‖ΔM‖_F + ‖g_y‖ ‖Δμ‖,

and at z₀ half way between the two means ΔM is the difference of the covariances. c and z₀ may be chosen on the sample: the
statement is about this sample, for every c and z₀.

`T6.brier` is the same for predicted probabilities p = softmax(a) and Brier's score ‖p − e_y‖²: W is the projection on
vectors of sum zero, which is all that differences of probabilities are.
"""

import math

import numpy as np
from scipy.special import softmax

from kd2m_theory.arrays import Float64
from kd2m_theory.bounds.rows.row import CLASS_SHARES, LABELS, LINEAR, LOGITS, SHARED_HEAD, Row, Sides, both_sides
from kd2m_theory.bounds.view import View
from kd2m_theory.bounds.work import second_moments
from kd2m_theory.estimators.ground import EPS
from kd2m_theory.estimators.scale import exponent_of


def _class_bound(x: Float64, y: Float64, weight: Float64, quadratic: float, target: Float64) -> tuple[float, float]:
    """‖WᵀW‖ ‖ΔΣ‖ + ‖2Wᵀ(Wz₀ − t)‖ ‖Δμ‖ for the loss ‖Wz − t‖² of clouds n × d and m × d; and a bound on its rounding."""
    means = x.mean(axis=0), y.mean(axis=0)
    centre, shift = (means[0] + means[1]) / 2, means[0] - means[1]
    covariances = [(cloud - mean).T @ (cloud - mean) / len(cloud) for cloud, mean in zip((x, y), means, strict=True)]
    gradient = 2 * float(np.linalg.norm(weight.T @ (weight @ centre - target)))
    spread, moved = float(np.linalg.norm(covariances[0] - covariances[1])), float(np.linalg.norm(shift))
    # Sums of k terms are right to k roundings of the sums of their absolute values.
    size = float(np.abs(x).max() + np.abs(y).max())
    terms = (max(len(x), len(y)) + x.shape[1] + 8) * EPS
    slack_moved = terms * size * math.sqrt(x.shape[1])
    slack_spread = terms * sum(float(np.trace(c)) for c in covariances) + 4 * slack_moved**2
    slack_gradient = (
        2
        * terms
        * float(np.linalg.norm(weight))
        * float(np.linalg.norm(np.abs(weight) @ np.abs(centre)) + np.linalg.norm(target))
    )
    value = quadratic * spread + gradient * moved
    slack = quadratic * slack_spread + gradient * slack_moved + slack_gradient * (moved + slack_moved)
    return value, slack + terms * value


def _sides(view: View, points: tuple[Float64, Float64], weight: Float64, targets: Float64) -> Sides:
    labels = view.both_labels()
    # ‖Wz − t‖² grows by 4^k when W and t do by 2^k: no square leaves float64 before the sum is scaled back.
    exponent = max(exponent_of(weight), exponent_of(targets))
    weight, targets = np.ldexp(weight, -exponent), np.ldexp(targets, -exponent)
    total, slack, quadratic = 0.0, 0.0, float(np.linalg.norm(weight.T @ weight))
    for label, share in view.shares.items():
        student, teacher = (cloud[y == label] for cloud, y in zip(points, labels, strict=True))
        value, rounding = _class_bound(student, teacher, weight, quadratic, targets[label])
        total, slack = total + share * value, slack + share * rounding
    upper, slack = (float(np.ldexp(each, 2 * exponent)) for each in ((total + slack) * (1 + 8 * EPS), slack))
    return both_sides(math.nextafter(upper, math.inf), details={"rounding": slack})


def _features(view: View) -> Sides:
    assert view.bias is not None
    # Wz does not change when z is divided by a power of two and W multiplied; squares then stay within float64.
    exponent = exponent_of(view.student, view.teacher)
    clouds = np.ldexp(view.student, -exponent), np.ldexp(view.teacher, -exponent)
    return _sides(view, clouds, np.ldexp(view.linear, exponent), np.eye(view.classes) - view.bias)


def _brier(view: View) -> Sides:
    size = view.classes
    projection = np.eye(size) - 1.0 / size
    points = softmax(view.logits_student, axis=1) - 1.0 / size, softmax(view.logits_teacher, axis=1) - 1.0 / size
    return _sides(view, points, projection, projection)


ROWS = (
    Row(
        name="T6",
        sentence="Squared loss: differences of the means and covariances of the features in each class, times the head's "
        "norms.",
        statement="|R_S − R_T| ≤ Σ_y π_y ‖f_y‖_H MMD_y, squared loss, kernel (⟨z, z'⟩ + c)², best c",
        latex=r"|R_S-R_T| \le \sum_y\pi_y\left(\|W^\top W\|_F\|\Delta\Sigma_y\|_F"
        r"+\|2W^\top(Wz_0+b-e_y)\|\,\|\Delta\mu_y\|\right)",
        source="T6, kernel bound",
        target="squared_gap",
        space="features",
        inputs=(LINEAR, LABELS),
        needs=(SHARED_HEAD, CLASS_SHARES),
        structural={"squared loss": "the row bounds the gap of the squared loss"},
        compute=_features,
        work=second_moments(lambda size: size.dimension),
    ),
    Row(
        name="T6.brier",
        sentence="Brier's score: differences of the means and covariances of the predicted probabilities in each class.",
        statement="|R_S − R_T| ≤ Σ_y π_y ‖f_y‖_H MMD_y, Brier's score, kernel on predicted probabilities",
        latex=r"|R_S-R_T| \le \sum_y\pi_y\left(\sqrt{K-1}\,\|\Delta\Sigma_y\|_F"
        r"+2\|C\bar p-Ce_y\|\,\|\Delta\mu_y\|\right),\ C=I-\tfrac1K11^\top",
        source="T6, kernel bound",
        target="brier_gap",
        space="logits",
        inputs=(LOGITS, LABELS),
        needs=(CLASS_SHARES,),
        structural={"Brier's score": "the row bounds the gap of Brier's score"},
        compute=_brier,
        work=second_moments(lambda size: size.classes),
    ),
)
