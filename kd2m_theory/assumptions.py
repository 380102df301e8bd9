"""One key and one sentence for every assumption: the theorems of the catalogue and the rows of an audit both refer to these.

A *hypothesis* is part of an inequality: without it the inequality may fail. An *input* is something that a row needs before
there is a number at all; it is part of no theorem. A key is a short standard term; a theorem may add a detail to its sentence.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from kd2m_theory.checks import did_you_mean
from kd2m_theory.errors import InputError

# What a statement is about: a row's target says it, and the form of the row's name says the same.
About = Literal["sample", "labels", "population"]
ABOUT: Mapping[About, str] = MappingProxyType(
    {
        "sample": "The samples themselves, whatever their labels are: the statement holds for every sample.",
        "labels": "The mean over labels drawn given these inputs; the labels of one sample may say otherwise.",
        "population": "The population that the samples are drawn from.",
    }
)
HYPOTHESES: Mapping[str, str] = MappingProxyType(
    {
        # How the two networks and their samples belong together.
        "same inputs": "Row i of both networks is the same input, so it has the same label.",
        "shared head": "Both networks' logits are one function of their features: they use one head.",
        "same class shares": "Both samples have the same class frequencies π_y.",
        "common ground truth": "The label is one function of the features, the same for both networks.",
        "teacher labels": "Labels are drawn from the teacher's predictive distribution.",
        "teacher risk known": "The teacher's risk lies in the stated interval.",
        "teacher error known": "The teacher's error rate lies in the stated interval.",
        "means known": "The stated means of functions of input and label are upper bounds on what they are.",
        "gaussian classes": "The points of each class follow a Gaussian law, with the mean and covariance that the bound uses.",
        # What the loss is.
        "cross-entropy": "The loss is cross-entropy, −ln p_y of the probabilities p = softmax(a).",
        "vertex gradient": "The loss's gradient in the logits is a convex combination of the e_c − e_y, as that of "
        "cross-entropy is.",
        "1-Lipschitz loss": "The loss changes by at most ν_y of the change of logits, as cross-entropy does.",
        "loss 1-Lipschitz in the features": "A move of the features changes the loss by at most the length of the move.",
        "convex loss": "The loss is convex in the logits.",
        "½-smooth loss": "The loss's second derivative along a change Δ of the logits is at most ½‖Δ‖².",
        "self-concordant loss": "The loss's third derivative along Δ is at most max_c Δ_c − min_c Δ_c times the second.",
        "log-sum-exp loss": "The loss is ln Σ_c exp(a_c) plus a linear function of the logits: its derivatives along Δ are the "
        "mean, the variance and the third central moment of Δ_c under one law.",
        "squared loss": "The loss is the squared distance of the logits from the one-hot label, ‖Wz + b − e_y‖².",
        "Brier's score": "The loss is the squared distance of the probabilities from the one-hot label, ‖p − e_y‖².",
        "0–1 loss": "The loss is 1 where the predicted class is wrong and 0 where it is right.",
        "bounded loss": "The loss, or whatever value is averaged, lies in an interval of known length.",
        "0–1 values": "Every value that is averaged is 0 or 1.",
        "monotone loss": "The loss falls as the probability of the true class rises, and depends on nothing else.",
        # Parameters of a bound.
        "positive width": "The width ρ of the ramp is positive.",
        "positive kernel offset": "The offset c of the polynomial kernel is positive.",
        # Losses as functions in an RKHS.
        "unit ball": "The loss is in the RKHS with norm at most 1.",
        "norm of the loss": "The loss is in the RKHS, and B is at least its norm.",
        "ground cost in the RKHS": "Distances are taken in the RKHS, ‖φ(z) − φ(z')‖_H, not between the features.",
        "1-Lipschitz feature map": "The feature map φ of the kernel is 1-Lipschitz: σ ≥ 1 for the RBF kernel.",
        "Lipschitz constant of the feature map": "The bound has the Lipschitz constant of φ as a factor, 1/σ for the RBF "
        "kernel.",
        "bounded kernel": "The kernel satisfies k(z, z) ≤ K at every point that can occur.",
        "nonnegative kernel": "The kernel is nowhere negative.",
        "bounded ground cost": "All points lie in a set of diameter D, or the ground cost is a metric clipped at D.",
        "known dimension": "The points lie in R^d, with the d of the bound.",
        # How the sample was drawn, and what was chosen before it was seen.
        "independent samples": "The samples (inputs, or the pairs of features of an input) are independent draws.",
        "same population": "The samples are drawn from the population that the statement is about.",
        "samples independent of each other": "The student's and the teacher's samples are independent of each other.",
        "random order": "The order in which the samples are taken says nothing about them.",
        "no label left out": "Labels are those of the first inputs in drawing order, without gaps.",
        "drawn once": "The order was drawn once, before any label was seen.",
        "sample size fixed before": "The number of samples n does not depend on their values.",
        "range fixed before the sample": "The range of the values (B of a loss, D of a ground cost) does not depend on the "
        "sample.",
        "weight fixed before the sample": "The weight λ of what is known was not chosen on the sample.",
        "networks fixed before the sample": "No sample was used to train or to select the networks.",
        "kernel fixed before the sample": "The kernel and its width were not chosen on the sample.",
        "ground cost fixed before the sample": "The ground cost (its projection, its head) was not chosen on the sample.",
        "claims fixed before the sample": "Claims and their levels were written down before the sample was seen.",
        # What a statement is put together from.
        "same sample": "The teacher's risk and the bound on the gap come from one sample.",
        "valid bound": "The bound on the gap holds on every sample.",
        "levels add up to δ": "The levels δ_j of all claims that could have been reported add up to δ at most.",
        "each claim holds by itself": "Claim j fails with probability at most δ_j.",
        "audited split used once": "No other choice was made after a look at the audited split.",
    }
)
INPUTS: Mapping[str, str] = MappingProxyType(
    {
        "features": "Features of both networks have one dimension, and there is a head for them.",
        "logits": "There are logits of both networks, or features and a head to compute them.",
        "labels": "The samples have labels.",
        "linear head": "The head is known as Wz + b: the row computes with W.",
        "temperature": "A temperature of the transformed teacher is given.",
        "no groups": "No samples are known to belong together.",
        "whole cloud": "A transport problem on all samples at once is small enough, or was asked for.",
    }
)
_declared: dict[str, str] = {}


def declare(key: str, sentence: str) -> None:
    """Add a hypothesis of a theorem or row of your own, which is not part of this package.

    Args:
        key: a short term that is not in use.
        sentence: what it says, as a full sentence.

    Raises:
        InputError: the key has another sentence already.

    Example:
        >>> declare("two classes", "There are two classes.")
        >>> sentence("two classes")
        'There are two classes.'
    """
    known = {**HYPOTHESES, **INPUTS, **_declared}
    if known.get(key, sentence) != sentence:
        raise InputError(f"{key!r} is in use and says {known[key]!r}; choose another key")
    _declared[key] = sentence


def sentence(key: str) -> str:
    """What the hypothesis or input of that key says.

    Raises:
        InputError: no hypothesis and no input has that key; the message names the nearest.

    Example:
        >>> sentence("same class shares")
        'Both samples have the same class frequencies π_y.'
    """
    return INPUTS[key] if key in INPUTS else hypothesis(key)


def hypothesis(key: str) -> str:
    """What the hypothesis of that key says.

    Raises:
        InputError: no hypothesis has that key; the message names the nearest.

    Example:
        >>> hypothesis("0–1 loss")
        'The loss is 1 where the predicted class is wrong and 0 where it is right.'
    """
    known = {**HYPOTHESES, **_declared}
    if key not in known:
        kind = "an input, not a hypothesis" if key in INPUTS else "not an assumption of this package"
        raise InputError(
            f"{key!r} is {kind}; {did_you_mean(key, list(known))}kd2m_theory/assumptions.py lists all, and `declare` adds yours"
        )
    return known[key]
