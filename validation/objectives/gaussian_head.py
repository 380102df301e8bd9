"""Feature distribution prediction (FDP) of UniKD, after its first author's code: a Gaussian for every image."""

import torch
from torch import Tensor, nn


class GaussianHead(nn.Module):
    """One vector per image → N(μ, diag σ²) on R^K, K the number of classes: two linear layers.

    Args:
        inputs: dimension of the vectors.
        classes: K.
        predict_variance: whether σ² is learned; else the head says μ alone.
    """

    def __init__(self, inputs: int, classes: int, predict_variance: bool = True) -> None:
        super().__init__()
        self.mean = nn.Linear(inputs, classes)
        self.log_variance = nn.Linear(inputs, classes) if predict_variance else None

    def forward(self, vectors: Tensor) -> tuple[Tensor, Tensor | None]:
        """μ and log σ², n × K each, of n × inputs; None for a log σ² that is not predicted."""
        return self.mean(vectors), None if self.log_variance is None else self.log_variance(vectors)


def sampled(noise: Tensor, mean: Tensor, log_variance: Tensor | None) -> Tensor:
    """μ + ε·σ, n × K, for noise ε of that shape; μ where no variance is predicted."""
    return mean if log_variance is None else mean + noise * (log_variance / 2).exp()


def diagonal_divergence(mean_x: Tensor, log_variance_x: Tensor, mean_y: Tensor, log_variance_y: Tensor) -> Tensor:
    """KL(N_x‖N_y) in nats between diagonal Gaussians given by their parameters, n values of n × K ones, in closed form."""
    log_ratio = log_variance_x - log_variance_y
    # e^r − 1 − r without cancellation for variances that nearly agree.
    spread = torch.expm1(log_ratio) - log_ratio
    divergences: Tensor = (spread + (mean_x - mean_y).square() * (-log_variance_y).exp()).sum(dim=1) / 2
    return divergences
