"""Distances between teacher and student of one pair: the candidates for what explains the gap."""

import numpy as np
from scipy.special import log_softmax

from kd2m_theory.arrays import Float64
from kd2m_theory.estimators import (
    Estimate,
    Number,
    conditional_gaussian_wasserstein,
    conditional_mmd,
    conditional_wasserstein,
    energy_distance,
    gaussian_symmetric_kl,
    gaussian_wasserstein,
    joint_wasserstein,
    mmd,
    sliced_wasserstein,
    wasserstein,
)
from kd2m_theory.pair import Pair

_SHRINKAGE = 0.1  # of covariances in the Gaussian KL, as in the objectives


def distances(pair: Pair) -> dict[str, Number]:
    """Every distance by name: between the features, where they are of one dimension, and between the predictions.

    All are distances, not squares, but for the divergences in nats and the disagreement, a probability. Features are as they
    are: no scale is taken out, but for JW2, which adds costs of features and logits as the objective does, each as a share of
    its mean; it is left out where classes are masked.
    """
    found: dict[str, Number] = {}
    student, teacher, labels = pair.features_student, pair.features_teacher, pair.labels
    if student is not None and teacher is not None and student.shape[1] == teacher.shape[1]:
        found |= _between_features(student, teacher)
        if labels is not None:
            found["CW2"] = conditional_wasserstein(student, teacher, labels, labels, 2, "uniform")
            found["Gaussian CW2"] = conditional_gaussian_wasserstein(student, teacher, labels, labels, "uniform")
            found["conditional MMD"] = conditional_mmd(student, teacher, labels, labels)
    logits_student, logits_teacher = _logits(pair.logits_student, student, pair), _logits(pair.logits_teacher, teacher, pair)
    if logits_student is not None and logits_teacher is not None:
        log_q, log_p = log_softmax(logits_student, axis=1), log_softmax(logits_teacher, axis=1)
        divergence = float((np.exp(log_p) * (log_p - log_q)).sum(axis=1).mean())
        differ = float((log_q.argmax(axis=1) != log_p.argmax(axis=1)).mean())
        found["KL of predictions"] = Estimate(value=divergence, unit="nats", method="mean over the inputs")
        found["disagreement"] = Estimate(value=differ, unit="probability", method="share of the inputs")
        if "W2" in found and np.isfinite(log_q).all() and np.isfinite(log_p).all():
            centred = [log - log.mean(axis=1, keepdims=True) for log in (log_q, log_p)]
            found["JW2"] = joint_wasserstein(student, teacher, *centred, feature_scale="mean", label_scale="mean")
    return found


def _logits(given: Float64 | None, features: Float64 | None, pair: Pair) -> Float64 | None:
    return pair.apply_head(features) if given is None else given


def _between_features(student: Float64, teacher: Float64) -> dict[str, Number]:
    paired = float(np.sqrt(((student - teacher) ** 2).sum(axis=1).mean()))
    return {
        "paired L2": Estimate(value=paired, unit="distance", method="L2 of pairs"),
        "W1": wasserstein(student, teacher, 1),
        "W2": wasserstein(student, teacher, 2),
        "sliced W2": sliced_wasserstein(student, teacher, 2, projections=256, seed=0),
        "Gaussian W2": gaussian_wasserstein(student, teacher),
        "symmetric Gaussian KL": gaussian_symmetric_kl(student, teacher, shrinkage=_SHRINKAGE),
        "MMD": mmd(student, teacher),
        "energy": energy_distance(student, teacher),
    }
