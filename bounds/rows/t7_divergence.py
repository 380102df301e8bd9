"""T7: total variation. For a loss in [0, B],  |R_S − R_T| ≤ B Σ_y π_y TV(P_S^y, P_T^y).

The 0–1 loss sees nothing but the predicted class, so the laws may be those of the prediction given the true class: two rows
of two confusion matrices. For laws with densities TV is bounded through KL, in either direction since TV is symmetric:

    TV ≤ √(KL/2)  (Pinsker; more than 1 from KL = 2 on),      TV ≤ √(1 − e^{−KL})  (Bretagnolle–Huber; never more than 1),

and with Gaussian class-conditionals KL has a closed form. That a class is Gaussian is an assumption that no sample shows, and a
statement about the population: so its class shares count, and not those of the sample. All of them lie between Clopper and
Pearson's limits at τ/K each, but for a probability of τ for those from below and τ for those from above, and the row takes the
largest Σ_y π_y t_y that these allow, where t_y bounds the total variation of class y. It is 1 for a class without samples, of
which nothing is known.
"""

import math

import numpy as np

from kd2m_theory.arrays import Float64
from kd2m_theory.bounds.rows.row import (
    CLASS_SHARES,
    COUNTED,
    ERRORS,
    LABELS,
    LOGITS,
    NO_GROUPS,
    SAMPLED,
    Row,
    Sides,
    both_sides,
    vouched,
)
from kd2m_theory.bounds.view import View
from kd2m_theory.bounds.work import moments
from kd2m_theory.estimators import gaussian_kl
from kd2m_theory.estimators.ground import EPS
from kd2m_theory.estimators.intervals import clopper_pearson_limits


def _prediction(view: View) -> Sides:
    labels_s, labels_t = view.both_labels()
    student, teacher = view.predicted()
    total = 0.0
    for label, share in view.shares.items():
        predictions = student[labels_s == label], teacher[labels_t == label]
        # Classes that nobody predicts add nothing.
        _, places = np.unique(np.concatenate(predictions), return_inverse=True)
        sides = places[: len(predictions[0])], places[len(predictions[0]) :]
        laws = [np.bincount(classes, minlength=places.max() + 1) / len(classes) for classes in sides]
        total += share * 0.5 * math.fsum(np.abs(laws[0] - laws[1]))
    return both_sides(total * (1 + 1e-14))


def total_variation_bound(divergence: float) -> float:
    """The smaller of Pinsker's and Bretagnolle and Huber's bounds on TV, for KL in nats."""
    return min(math.sqrt(divergence / 2), math.sqrt(-math.expm1(-divergence))) if divergence < math.inf else 1.0


def largest_mean(values: Float64, lower: Float64, upper: Float64) -> float:
    """Largest Σ π_y v_y over probability vectors π between two vectors, rounded up.

    Args:
        values: K numbers v_y ≥ 0.
        lower: K lower ends, which add up to at most 1.
        upper: K upper ends, which add up to at least 1.

    Example:
        >>> round(largest_mean(np.array([0.0, 1.0]), np.array([0.5, 0.2]), np.array([0.7, 0.4])), 12)
        0.4
    """
    shares, free = lower.copy(), 1.0 - math.fsum(lower)
    for label in np.argsort(-values, kind="stable"):
        added = min(max(free, 0.0), float(upper[label] - lower[label]))
        shares[label] += added
        free -= added
    return math.fsum(shares * values) * (1 + 8 * EPS) + 4 * EPS * len(values) * float(values.max())


def _gaussian(view: View) -> Sides:
    _, labels_t = view.both_labels()
    variations, divergences = np.ones(view.classes), []
    for label in view.shares:
        # The identity head's points: logits less their class mean, which leaves one dimension out on both sides.
        x, y = (points[:, 1:] for points in view.points_of_class(label))
        divergences.append(min(gaussian_kl(x, y).value, gaussian_kl(y, x).value))
        variations[label] = total_variation_bound(divergences[-1])
    counts, n = np.bincount(labels_t, minlength=view.classes), len(labels_t)
    different, places = np.unique(counts, return_inverse=True)
    limits = [clopper_pearson_limits(int(count), n, view.tail / view.classes) for count in different]
    lower, upper = (np.array(ends)[places] for ends in zip(*limits, strict=True))
    details = {"largest KL": max(divergences), "at the sample's shares": math.fsum(variations * counts) / n}
    return both_sides(min(1.0, largest_mean(variations, lower, upper)), details=details)


ROWS = (
    Row(
        name="T7.prediction",
        sentence="The two error rates differ by at most as much as the two confusion matrices, class by class.",
        statement="|err_S − err_T| ≤ Σ_y π_y TV(prediction of S given y, prediction of T given y)",
        latex=r"|\mathrm{err}_S-\mathrm{err}_T| \le \sum_y\pi_y\mathrm{TV}(\hat y_S|y,\ \hat y_T|y)",
        source="T7, total variation",
        target="error_gap",
        space="logits",
        inputs=(LOGITS, LABELS),
        needs=(CLASS_SHARES,),
        structural=ERRORS,
        compute=_prediction,
    ),
    Row(
        name="T7.gaussian",
        sentence="If the logits of each class are Gaussian: how far the error rates on the population could differ, from the "
        "divergence (KL) of the two Gaussians and how common a class may be.",
        statement="|err_S − err_T| ≤ max_π Σ_y π_y min(√(KL/2), √(1 − e^−KL)), Gaussian classes, π within Clopper–Pearson",
        latex=r"|\mathrm{err}_S-\mathrm{err}_T| \le \max_{\pi\in I_\delta}\sum_y\pi_y"
        r"\min(\sqrt{\mathrm{KL}_y/2},\sqrt{1-e^{-\mathrm{KL}_y}})",
        source="T7, Pinsker and Bretagnolle–Huber",
        target="population_error_gap",  # no finite sample is Gaussian
        space="logits",
        inputs=(LOGITS, LABELS, NO_GROUPS),
        needs=(CLASS_SHARES, vouched("gaussian classes"), *SAMPLED),
        structural={**ERRORS, **COUNTED},
        compute=_gaussian,
        work=moments(),
        limits=("class shares, lower", "class shares, upper"),
        forms=("T7.gaussian", "F1.clopper_pearson"),
    ),
)
