"""KL of categorical laws, and what it says about total variation."""

import torch
from torch import Tensor

from kd2m_theory.theory.instance import root


def divergence(logits: Tensor, others: Tensor) -> Tensor:
    """KL(softmax of logits ‖ softmax of others) of each row."""
    log_p, log_q = torch.log_softmax(logits, 1), torch.log_softmax(others, 1)
    # e^u − 1 − u ≥ 0 with u = log q/p, weighed by p: the same sum, as Σ(q − p) = 0, and no digits are lost where q is near p.
    u = log_q - log_p
    small = u.abs() < 1e-2
    near = torch.where(small, u, torch.zeros_like(u))
    series = near**2 * (0.5 + near * (1 / 6 + near * (1 / 24 + near * (1 / 120 + near * (1 / 720 + near / 5040)))))
    return torch.where(small, log_p.exp() * series, log_q.exp() - log_p.exp() - log_p.exp() * u).sum(1).clamp_min(0.0)


def pinsker(kl: Tensor) -> Tensor:
    """√(KL/2)."""
    return root(kl / 2)


def bretagnolle_huber(kl: Tensor) -> Tensor:
    """√(1 − e^{−KL})."""
    return root(-torch.expm1(-kl))


def smaller(kl: Tensor) -> Tensor:
    """The smaller of the two bounds on TV: Pinsker's up to KL = 1.59…, then Bretagnolle and Huber's."""
    return torch.minimum(pinsker(kl), bretagnolle_huber(kl))
