"""Gaussian classes: the one population whose best possible classifier, and so its Bayes risk, is known."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from scipy import integrate, special, stats
from torch import Tensor

from kd2m_theory.checks import whole
from kd2m_theory.errors import InputError
from kd2m_theory.estimators.enclosure import Confidence
from kd2m_theory.estimators.intervals import empirical_bernstein
from kd2m_theory.validation.populations.population import Device, UnlimitedPopulation
from kd2m_theory.validation.populations.stream import Stream

_BLOCK = 2**14  # draws at a time in the Monte Carlo estimate


@dataclass(frozen=True)
class BayesRisk:
    """The least risks that any classifier has.

    Attributes:
        error: least probability of a wrong class.
        cross_entropy: least expected −log p(y | x), nats.
    """

    error: Confidence
    cross_entropy: Confidence


class GaussianMixturePopulation(UnlimitedPopulation):
    """x | y ~ N(μ_y, Σ_y) with equally likely classes, in the shape of an image.

    Means are independent N(0, s²/2 · I), so that two are s √d apart on average in root mean square. Covariances have the
    eigenvalues 4^−u, u uniform on [−½, ½], in random directions: one for all classes, or one each.

    Args:
        classes: K ≥ 2.
        image_shape: channels, height, width; d is their product, at most 4096.
        separation: s ≥ 0. The Bayes error depends on s √d.
        covariance: "common" or "by-class".
        law_seed: of means and covariances.

    Attributes:
        means: K × d, float64.
        factors: K × d × d, F_y with F_y F_yᵀ = Σ_y, float64.

    Raises:
        InputError: a number out of its range.
    """

    name = "gaussian-mixture"

    def __init__(
        self,
        classes: int = 10,
        image_shape: tuple[int, int, int] = (1, 1, 16),
        separation: float = 1.0,
        covariance: str = "common",
        law_seed: int = 0,
    ) -> None:
        self.classes = whole(classes, "classes", 2, 10_000)
        if not isinstance(image_shape, tuple | list) or len(image_shape) != 3:
            raise InputError(f"image_shape is {image_shape!r}; give channels, height and width, for example [1, 1, 16]")
        channels, height, width = (whole(side, "a side in image_shape", 1) for side in image_shape)
        self.image_shape = (channels, height, width)
        if (dimension := math.prod(self.image_shape)) > 4096:
            raise InputError(f"image_shape {self.image_shape} has {dimension} numbers; covariances go to 4096")
        if not isinstance(separation, int | float) or not 0 <= separation < math.inf:
            raise InputError(f"separation is {separation!r}; choose a finite number ≥ 0")
        if covariance not in ("common", "by-class"):
            raise InputError(f"covariance is {covariance!r}; choose 'common' or 'by-class'")
        self.covariance = covariance
        stream = Stream(law_seed, "train", "law", 0)
        self.means = stream.normal((classes, dimension), dtype=torch.float64) * (separation / math.sqrt(2))
        count = 1 if covariance == "common" else classes
        roots = 2.0 ** -stream.uniform(-0.5, 0.5, count, 1, dimension).double()
        turned = torch.linalg.qr(stream.normal((count, dimension, dimension), dtype=torch.float64)).Q
        self.factors = (turned * roots).expand(classes, -1, -1)
        self._whitening = (turned / roots).expand(classes, -1, -1)  # F_y⁻ᵀ: (x − μ_y) of it is standard normal
        self._log_determinants = roots.log().sum((1, 2)).expand(classes)  # ½ log |Σ_y|

    def images(self, labels: Tensor, stream: Stream, device: Device) -> Tensor:
        """An image for each label."""
        noise = stream.normal((len(labels), self.means.shape[1]), device)
        labels = labels.to(device)
        values = self.means.float().to(device)[labels]
        factors = self.factors.float().to(device)
        if self.covariance == "common":
            values += noise @ factors[0].T
        else:
            for label in range(self.classes):
                members = labels == label
                values[members] += noise[members] @ factors[label].T
        return values.reshape(-1, *self.image_shape)

    def log_posterior(self, images: Tensor) -> Tensor:
        """log p(y | x), n × K float64 on the CPU: the logits of the best classifier there is."""
        flat = images.reshape(len(images), -1).cpu().double()
        if flat.shape[1] != self.means.shape[1]:
            raise InputError(f"the images have {flat.shape[1]} numbers each, those of this mixture {self.means.shape[1]}")
        distances = torch.stack(
            [((flat - mean) @ whitening).square().sum(1) for mean, whitening in zip(self.means, self._whitening, strict=True)],
            dim=1,
        )
        return torch.log_softmax(-0.5 * distances - self._log_determinants, dim=1)

    def bayes_risk(self, draws: int = 200_000, delta: float = 0.001, seed: int = 0) -> BayesRisk:
        """The Bayes error and the Bayes cross-entropy, with the interval that each is known to.

        Two classes of one covariance: with the Mahalanobis distance Δ of the means the error is Φ(−Δ/2), in closed form, and
        the cross-entropy is E log(1 + e^−t), t ~ N(Δ²/2, Δ²), by adaptive quadrature with its error estimate. Otherwise:
        means over draws of 1 − max_y p(y | x) and of the entropy of p(· | x). These lie in [0, 1 − 1/K] and [0, log K], so
        the empirical Bernstein interval holds at any number of draws, either with probability 1 − δ.

        Args:
            draws: of the Monte Carlo estimate.
            delta: δ of either interval.
            seed: of the draws.
        """
        if self.classes == 2 and self.covariance == "common":
            difference = (self.means[0] - self.means[1]) @ self._whitening[0]
            return _two_classes(float(difference.norm()))
        errors, entropies = np.empty(draws), np.empty(draws)
        for start in range(0, whole(draws, "draws", 2), _BLOCK):
            stream = Stream(seed, "test", "risk", start // _BLOCK)
            labels = stream.integers(self.classes, min(_BLOCK, draws - start))
            log_p = self.log_posterior(self.images(labels, stream, "cpu"))
            p = log_p.exp()
            errors[start : start + _BLOCK] = 1 - p.amax(1).numpy()
            entropies[start : start + _BLOCK] = -(p * log_p).sum(1).numpy()
        most_error, most_entropy = 1 - 1 / self.classes, math.log(self.classes)
        return BayesRisk(
            empirical_bernstein(errors.clip(0, most_error), 0, most_error, delta, "probability", range_known=True),
            empirical_bernstein(entropies.clip(0, most_entropy), 0, most_entropy, delta, "nats", range_known=True),
        )


def _two_classes(distance: float) -> BayesRisk:
    error = float(special.ndtr(-distance / 2))

    def surprise(z: float) -> float:
        return float(np.logaddexp(0, -(distance**2 / 2 + distance * z)) * stats.norm.pdf(z))

    # The integrand peaks between the bulk of z and the boundary at z = −Δ/2; beyond 40 it is below every float.
    entropy, uncertainty = integrate.quad(
        surprise, -40 - distance, 40, points=sorted({-distance / 2, 0.0}), limit=500, epsabs=1e-13
    )
    uncertainty += 1e-14
    known = "two Gaussian classes of one covariance, equally likely"
    return BayesRisk(
        error=Confidence(
            value=error,
            lower=error * (1 - 1e-14),
            upper=error * (1 + 1e-14),
            level=1.0,
            unit="probability",
            method="closed form",
            guaranteed=True,
            assumptions=known,
        ),
        cross_entropy=Confidence(
            value=entropy,
            lower=max(0.0, entropy - uncertainty),
            upper=entropy + uncertainty,
            level=1.0,
            unit="nats",
            method="adaptive quadrature",
            guaranteed=True,
            assumptions=known,
        ),
    )
