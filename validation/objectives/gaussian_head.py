"""Feature distribution prediction of UniKD (arXiv 2409.18565), a reconstruction: a Gaussian for every image."""

import torch
from torch import Tensor, nn

# Variances stay between e^−8 and e^8: every divergence is finite, whatever a head says.
_LARGEST_LOG_VARIANCE = 8.0


class GaussianHead(nn.Module):
    """A vector an image → N(μ, diag σ²) on R^K, K the number of classes.

    Args:
        inputs: dimension of the vectors.
        classes: K.
        predict_variance: whether σ² is learned; else it is one.
    """

    def __init__(self, inputs: int, classes: int, predict_variance: bool = True) -> None:
        super().__init__()
        self.mean = nn.Linear(inputs, classes)
        self.log_variance = nn.Linear(inputs, classes) if predict_variance else None

    def forward(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """μ and log σ², n × K each, of n × inputs; |log σ²| < 8 by a smooth squashing."""
        mean: Tensor = self.mean(vectors)
        if self.log_variance is None:
            return mean, torch.zeros_like(mean)
        return mean, _LARGEST_LOG_VARIANCE * torch.tanh(self.log_variance(vectors) / _LARGEST_LOG_VARIANCE)


def diagonal_divergence(mean_x: Tensor, log_variance_x: Tensor, mean_y: Tensor, log_variance_y: Tensor) -> Tensor:
    """KL(N_x‖N_y) in nats between diagonal Gaussians given by their parameters, n values of n × K ones, in closed form."""
    log_ratio = log_variance_x - log_variance_y
    # e^r − 1 − r without cancellation for variances that nearly agree.
    spread = torch.expm1(log_ratio) - log_ratio
    divergences: Tensor = (spread + (mean_x - mean_y).square() * (-log_variance_y).exp()).sum(dim=1) / 2
    return divergences
