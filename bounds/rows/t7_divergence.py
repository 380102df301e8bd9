"""T7: total variation. For a loss in [0, B],  |R_S − R_T| ≤ B Σ_y π_y TV(P_S^y, P_T^y).

The 0–1 loss sees nothing but the predicted class, so the laws may be those of the prediction given the true class: two rows
of two confusion matrices. For laws with densities TV is bounded through KL, in either direction since TV is symmetric:

    TV ≤ √(KL/2)  (Pinsker; more than 1 from KL = 2 on),      TV ≤ √(1 − e^{−KL})  (Bretagnolle–Huber; never more than 1),

and with Gaussian class-conditionals KL has a closed form. That a class is Gaussian is an assumption that no sample shows.
"""

import math

import numpy as np

from kd2m_theory.bounds.rows.row import CLASS_SHARES, ERRORS, LABELS, LOGITS, Row, Sides, both_sides, vouched
from kd2m_theory.bounds.view import View
from kd2m_theory.estimators import gaussian_kl


def _prediction(view: View) -> Sides:
    labels_s, labels_t = view.both_labels()
    total = 0.0
    for label, share in view.shares.items():
        predictions = (
            view.logits_student[labels_s == label].argmax(axis=1),
            view.logits_teacher[labels_t == label].argmax(axis=1),
        )
        laws = [np.bincount(classes, minlength=view.classes) / len(classes) for classes in predictions]
        total += share * 0.5 * math.fsum(np.abs(laws[0] - laws[1]))
    return both_sides(total * (1 + 1e-14))


def total_variation_bound(divergence: float) -> float:
    """The smaller of Pinsker's and Bretagnolle and Huber's bounds on TV, for KL in nats."""
    return min(math.sqrt(divergence / 2), math.sqrt(-math.expm1(-divergence))) if divergence < math.inf else 1.0


def _gaussian(view: View) -> Sides:
    labels_s, labels_t = view.both_labels()
    total, divergences = 0.0, []
    for label, share in view.shares.items():
        # The identity head's points: logits less their class mean, which leaves one dimension out on both sides.
        x, y = view.student[labels_s == label][:, 1:], view.teacher[labels_t == label][:, 1:]
        divergences.append(min(gaussian_kl(x, y).value, gaussian_kl(y, x).value))
        total += share * total_variation_bound(divergences[-1])
    return both_sides(total, details={"largest KL": max(divergences)})


ROWS = (
    Row(
        name="T7.prediction",
        sentence="The two error rates differ by at most as much as the two confusion matrices, class by class.",
        statement="|err_S − err_T| ≤ Σ_y π_y TV(prediction of S given y, prediction of T given y)",
        latex=r"|err_S-err_T| \le \sum_y\pi_y\mathrm{TV}(\hat y_S|y,\ \hat y_T|y)",
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
        sentence="If the logits of each class were Gaussian: how far the error rates could differ, from the divergence (KL) "
        "of the two Gaussians.",
        statement="|err_S − err_T| ≤ Σ_y π_y min(√(KL/2), √(1 − e^−KL)), Gaussian classes",
        latex=r"|err_S-err_T| \le \sum_y\pi_y\min(\sqrt{\mathrm{KL}_y/2},\sqrt{1-e^{-\mathrm{KL}_y}})",
        source="T7, Pinsker and Bretagnolle–Huber",
        target="population_error_gap",  # no finite sample is Gaussian
        space="logits",
        inputs=(LOGITS, LABELS),
        needs=(CLASS_SHARES, vouched("gaussian classes")),
        structural=ERRORS,
        compute=_gaussian,
    ),
)
