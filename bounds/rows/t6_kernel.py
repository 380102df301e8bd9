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

Nothing of K × K numbers is formed: covariances of few points of many coordinates are compared in the space that these points
span, and the projection is a formula.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import softmax

from kd2m_theory.arrays import Float64, Int64
from kd2m_theory.bounds.rows.row import CLASS_SHARES, LABELS, LINEAR, LOGITS, SHARED_HEAD, Row, Sides, both_sides
from kd2m_theory.bounds.view import View
from kd2m_theory.bounds.work import second_moments
from kd2m_theory.estimators.ground import EPS
from kd2m_theory.estimators.scale import exponent_of
from kd2m_theory.side_by_side import row_blocks

# Numbers of a block of columns that are worked on at a time.
_ENTRIES = 2**20


@dataclass(frozen=True, slots=True, eq=False)
class _Moments:
    """How the moments of student and teacher points of a class differ.

    Attributes:
        centre: z₀, half way between the two means (d).
        spread: ‖ΔΣ‖_F.
        moved: ‖Δμ‖.
        spread_slack: how far rounding may have moved `spread`.
        moved_slack: the same of `moved`.
        terms: relative rounding error of a sum as long as those of this class.
    """

    centre: Float64
    spread: float
    moved: float
    spread_slack: float
    moved_slack: float
    terms: float


def in_span(x: Float64, y: Float64) -> tuple[Float64, Float64]:
    """Clouds n × d and m × d in coordinates of the space that they span together, if that has fewer than d dimensions.

    Inner products stay what they are up to rounding, so n + m columns say all that d ≥ n + m do.
    """
    points, columns = len(x) + len(y), x.shape[1]
    if points >= columns:
        return x, y
    basis = np.empty((0, points))
    step = max(points, _ENTRIES // points)
    for start in range(0, columns, step):  # a block of columns at a time: no second array of n × d
        part = slice(start, start + step)
        basis = np.asarray(np.linalg.qr(np.vstack((basis, np.vstack((x[:, part], y[:, part])).T)), mode="r"))
    return basis[:, : len(x)].T, basis[:, len(x) :].T


def _moments(x: Float64, y: Float64, classes: int) -> _Moments:
    means = x.mean(axis=0), y.mean(axis=0)
    clouds = in_span(x - means[0], y - means[1])
    covariances = [cloud.T @ cloud / len(cloud) for cloud in clouds]
    # Sums of k terms are right to k roundings of the sums of their absolute values.
    size = float(np.abs(x).max() + np.abs(y).max())
    terms = (max(len(x), len(y)) + x.shape[1] + classes + 8) * EPS
    moved_slack = terms * size * math.sqrt(x.shape[1])
    return _Moments(
        centre=(means[0] + means[1]) / 2,
        spread=float(np.linalg.norm(covariances[0] - covariances[1])),
        moved=float(np.linalg.norm(means[0] - means[1])),
        spread_slack=terms * sum(float(np.trace(each)) for each in covariances) + 4 * moved_slack**2,
        moved_slack=moved_slack,
        terms=terms,
    )


class _Head:
    """The loss ‖Wz + b − e_y‖² for a weight and a bias.

    Args:
        weight: K × d.
        bias: K.
    """

    def __init__(self, weight: Float64, bias: Float64) -> None:
        # ‖Wz − t‖² grows by 4^k when W and t = e_y − b do by 2^k: no square leaves float64 before the sum is scaled back.
        self.exponent = max(exponent_of(weight), exponent_of(1.0 - bias, bias))
        self._weight, self._bias = np.ldexp(weight, -self.exponent), np.ldexp(bias, -self.exponent)
        self._one, self._size = math.ldexp(1.0, -self.exponent), float(np.linalg.norm(self._weight))
        self.quadratic = float(np.linalg.norm(self._weight.T @ self._weight))

    def gradients(self, labels: Int64, centres: Float64) -> tuple[Float64, Float64]:
        """‖2Wᵀ(Wz₀ − t)‖ for some classes and their centres (one row each), and the size that its rounding is relative to."""
        rows = np.arange(len(labels))
        targets = np.broadcast_to(-self._bias, (len(labels), len(self._bias))).copy()
        targets[rows, labels] = self._one - self._bias[labels]
        gradients = (centres @ self._weight.T - targets) @ self._weight
        terms = np.linalg.norm(np.abs(centres) @ np.abs(self._weight).T, axis=1) + np.linalg.norm(targets, axis=1)
        return 2 * np.linalg.norm(gradients, axis=1), 2 * self._size * terms


class _Probabilities:
    """The loss ‖p − e_y‖² of probabilities p = z + 1/K: W = C = I − 11ᵀ/K and t = C e_y, by formula.

    Args:
        classes: K.
    """

    exponent = 0

    def __init__(self, classes: int) -> None:
        self._classes = classes
        self.quadratic = math.sqrt(classes - 1.0)

    def gradients(self, labels: Int64, centres: Float64) -> tuple[Float64, Float64]:
        """As `_Head.gradients`: ‖2C(z₀ − e_y)‖."""
        size = self._classes
        apart = centres.copy()
        apart[np.arange(len(labels)), labels] -= 1.0
        apart -= apart.mean(axis=1, keepdims=True)
        # |C| |z₀| = (1 − 2/K) |z₀| + ‖z₀‖₁/K, and ‖C‖_F = √(K − 1).
        absolute = np.abs(centres)
        terms = np.linalg.norm((1 - 2 / size) * absolute + absolute.sum(axis=1, keepdims=True) / size, axis=1)
        return 2 * np.linalg.norm(apart, axis=1), 2 * self.quadratic * (terms + math.sqrt(1 - 1 / size))


def _sides(view: View, clouds: Callable[[int], tuple[Float64, Float64]], loss: _Head | _Probabilities) -> Sides:
    total, slack, shares = 0.0, 0.0, list(view.shares.items())
    for part in row_blocks(len(shares), view.classes):
        labels = np.array([label for label, _ in shares[part]])
        found = [_moments(*clouds(label), view.classes) for label in labels.tolist()]
        gradients, sizes = loss.gradients(labels, np.stack([each.centre for each in found]))
        for (_, share), each, gradient, size in zip(shares[part], found, gradients.tolist(), sizes.tolist(), strict=True):
            value = loss.quadratic * each.spread + gradient * each.moved
            rounding = loss.quadratic * each.spread_slack + gradient * each.moved_slack
            rounding += each.terms * (size * (each.moved + each.moved_slack) + value)
            total, slack = total + share * value, slack + share * rounding
    upper, slack = (float(np.ldexp(each, 2 * loss.exponent)) for each in ((total + slack) * (1 + 8 * EPS), slack))
    return both_sides(math.nextafter(upper, math.inf), details={"rounding": slack})


def _features(view: View) -> Sides:
    assert view.bias is not None
    # Wz does not change when z is divided by a power of two and W multiplied; squares then stay within float64.
    exponent = exponent_of(view.student, view.teacher)

    def clouds(label: int) -> tuple[Float64, Float64]:
        student, teacher = view.points_of_class(label)
        return np.ldexp(student, -exponent), np.ldexp(teacher, -exponent)

    return _sides(view, clouds, _Head(np.ldexp(view.linear, exponent), view.bias))


def _brier(view: View) -> Sides:
    return _sides(view, lambda label: centred_probabilities(view, label), _Probabilities(view.classes))


def centred_probabilities(view: View, label: int) -> tuple[Float64, Float64]:
    """p − 1/K of the points of one class, of student and teacher."""
    labels_s, labels_t = view.both_labels()
    logits = view.stored_logits_student[labels_s == label], view.stored_logits_teacher[labels_t == label]
    student, teacher = (softmax(each, axis=1) - 1.0 / view.classes for each in logits)
    return student, teacher


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
