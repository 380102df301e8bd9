"""Divergences of predictions and means over images, where classes may be masked and images ignored."""

from torch import Tensor
from torch.nn import functional

from kd2m_theory.arrays import IGNORED


def divergence_by_class(log_p: Tensor, log_q: Tensor) -> Tensor:
    """p log(p/q) in nats of n × K logarithms, n × K values; KL(p‖q) is the sum of a row.

    A class to which p gives nothing adds nothing, also where its logarithms are −∞: 0 · ∞ = 0. One to which q alone gives
    nothing makes the divergence infinite, as it is.
    """
    nothing = log_p.exp() == 0
    # Both, before the product: the gradient of 0 · ∞ would be NaN.
    log_p, log_q = (values.masked_fill(nothing, 0.0) for values in (log_p, log_q))
    terms: Tensor = functional.kl_div(log_q, log_p, reduction="none", log_target=True)
    return terms


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy in nats of n × K logits over the images that are not ignored, a scalar; zero where all are.

    Args:
        logits: n × K; −∞ for a masked class.
        labels: n integer classes, or n × K shares of classes.
    """
    if labels.ndim == 1:
        # Not its mean, which is NaN where all images are ignored.
        total = functional.cross_entropy(logits, labels, ignore_index=IGNORED, reduction="sum")
        return total / _kept(labels)
    log_q = functional.log_softmax(logits, dim=1).masked_fill(labels == 0, 0.0)
    return -(labels * log_q).sum() / max(len(labels), 1)


def mean_over_images(values: Tensor, labels: Tensor) -> Tensor:
    """Sum of values over the number of images, neither counting those with the label −100; zero where all have it.

    Args:
        values: n or n × K.
        labels: n integer classes, or n × K shares of classes, none of which is ignored.
    """
    if labels.ndim > 1:
        return values.sum() / max(len(values), 1)
    ignored = (labels == IGNORED).reshape(-1, *(1,) * (values.ndim - 1))
    return values.masked_fill(ignored, 0.0).sum() / _kept(labels)


def _kept(labels: Tensor) -> Tensor:
    """The number of images that count, or one; a tensor, because on a GPU a number would make the host wait."""
    kept: Tensor = (labels != IGNORED).sum().clamp(min=1)
    return kept
