"""The accumulators as `torchmetrics.Metric`s: they log in a Lightning run and reduce across processes.

States are gathered from every process and merged as the accumulators merge. Where nothing was added `compute` gives NaN, as
torchmetrics has it. States are float64 whatever the model is cast to (`set_dtype`, `half`, `to`, Lightning's `bf16-true`), and
features of half precision are taken as the numbers that they are. This module imports torch and torchmetrics (the `train`
extra); import it by name.
"""

from collections.abc import Callable
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric

from kd2m_theory.checks import one_of
from kd2m_theory.errors import InputError
from kd2m_theory.estimators.accumulators import (
    GaussianAccumulator,
    Moments,
    PairedDistance,
    RandomFeatureMMD,
    gaussian_distance,
)


class _InFloat64(Metric):
    """A metric whose states move between devices and keep their dtype; on a device without float64 they stay on the CPU."""

    def _apply(self, fn: Callable[[Tensor], Tensor], *rest: Any, **named: Any) -> Self:
        """Every cast and every move of a module ends here."""
        super()._apply(lambda values: _moved(values, fn), *rest, **named)
        return self


def _moved(values: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
    there = change(torch.zeros(1, dtype=torch.float32, device=values.device))
    try:
        return change(values) if there.dtype == torch.float32 else values.to(there.device)
    except TypeError:  # PyTorch's error where a device has no float64
        return values.cpu()


def _widened(features: Any) -> Any:
    """Features of half precision in float32, which holds them exactly and which every device has."""
    half = isinstance(features, Tensor) and features.dtype in (torch.float16, torch.bfloat16)
    return features.float() if half else features


class GaussianW2Metric(_InFloat64):
    """Gaussian W₂ of student and teacher features, a distance.

    Args:
        dimension: d ≥ 1 of the features.
        covariance: "full" or "diagonal".
        **options: of `torchmetrics.Metric`.

    Raises:
        InputError: a dimension below 1, or another covariance.
    """

    full_state_update = False
    higher_is_better = False
    count: Tensor
    mean: Tensor
    factor: Tensor

    def __init__(self, dimension: int, covariance: str = "full", **options: Any) -> None:
        super().__init__(**options)
        if dimension < 1:
            raise InputError(f"dimension is {dimension}; give the number of features, at least 1")
        self.covariance = one_of(covariance, ("full", "diagonal"), "covariance")
        self.add_state("count", torch.zeros(1, 2, dtype=torch.float64), dist_reduce_fx="cat")
        self.add_state("mean", torch.zeros(1, 2, dimension, dtype=torch.float64), dist_reduce_fx="cat")
        self.add_state("factor", torch.zeros(1, 2, dimension, dimension, dtype=torch.float64), dist_reduce_fx="cat")

    def update(self, student: Tensor, teacher: Tensor) -> None:
        """Add n × d features of the student and m × d of the teacher.

        Raises:
            InputError: empty batches, NaN or infinite features, or another dimension than the metric was made for.
        """
        batch = GaussianAccumulator(self.covariance)
        batch.update(_widened(student), _widened(teacher))
        for side, new in enumerate((batch.x, batch.y)):
            assert new is not None
            if len(new.mean) != self.mean.shape[-1]:
                raise InputError(f"features have dimension {len(new.mean)}, the metric was made for {self.mean.shape[-1]}")
            self._store(side, _merged([*self._moments(side), new]))

    def compute(self) -> Tensor:
        """The distance over all batches of all processes."""
        sides = [self._moments(side) for side in (0, 1)]
        if not all(sides):
            return torch.tensor(float("nan"), dtype=torch.float64)
        value = gaussian_distance(_merged(sides[0]), _merged(sides[1]), self.covariance)
        return torch.tensor(value, dtype=torch.float64)

    def _moments(self, side: int) -> list[Moments]:
        # torchmetrics stacks what it gathers: processes × 1 × 2 × … after a reduction, 1 × 2 × … before.
        dimension = self.mean.shape[-1]
        states = (
            self.count.reshape(-1, 2),
            self.mean.reshape(-1, 2, dimension),
            self.factor.reshape(-1, 2, dimension, dimension),
        )
        parts = zip(*(state[:, side] for state in states), strict=True)
        return [Moments(int(n), mean.cpu().numpy(), factor.cpu().numpy()) for n, mean, factor in parts if n > 0]

    def _store(self, side: int, moments: Moments) -> None:
        square = np.zeros((moments.factor.shape[1],) * 2)
        square[: len(moments.factor)] = moments.factor
        self.count[0, side] = moments.count
        self.mean[0, side] = torch.from_numpy(moments.mean)
        self.factor[0, side] = torch.from_numpy(square)


def _merged(parts: list[Moments]) -> Moments:
    total = parts[0]
    for part in parts[1:]:
        total = total.merge(part)
    return total


class RandomFeatureMMDMetric(_InFloat64):
    """MMD of student and teacher features with random Fourier features, a distance.

    Args:
        dimension: d ≥ 1 of the features.
        bandwidth: σ > 0 of the RBF kernel, in the units of the features.
        features: number of frequencies; each gives a cosine and a sine.
        seed: of the frequencies.
        **options: of `torchmetrics.Metric`.

    Raises:
        InputError: a dimension, bandwidth or number of features that is not positive.
    """

    full_state_update = False
    higher_is_better = False
    counts: Tensor
    sums: Tensor

    def __init__(self, dimension: int, bandwidth: float, features: int = 1024, seed: int = 0, **options: Any) -> None:
        super().__init__(**options)
        self.settings = dimension, bandwidth, features, seed
        RandomFeatureMMD(*self.settings)  # refuses what it cannot be made of now, not in the first step of a training
        self.add_state("counts", torch.zeros(2, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("sums", torch.zeros(2, 2 * features, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, student: Tensor, teacher: Tensor) -> None:
        """Add n × d features of the student and m × d of the teacher.

        Raises:
            InputError: empty batches, NaN or infinite features, or another dimension.
        """
        batch = RandomFeatureMMD(*self.settings)
        batch.update(_widened(student), _widened(teacher))
        self.counts += torch.from_numpy(batch.counts).to(self.counts)
        self.sums += torch.from_numpy(batch.sums).to(self.sums)

    def compute(self) -> Tensor:
        """The distance over all batches of all processes."""
        means = self.sums / self.counts[:, None]
        distance: Tensor = torch.linalg.vector_norm(means[0] - means[1])
        return distance


class PairedDistanceMetric(_InFloat64):
    """L_p distance of same-input features, (E‖z_S − z_T‖ᵖ)^(1/p).

    Args:
        p: 1 or 2.
        **options: of `torchmetrics.Metric`.

    Raises:
        InputError: another p.
    """

    full_state_update = False
    higher_is_better = False
    count: Tensor
    sums: Tensor

    def __init__(self, p: int = 2, **options: Any) -> None:
        super().__init__(**options)
        if p not in (1, 2):
            raise InputError(f"p is {p!r}; L1 and L2 are accumulated")
        self.p = p
        self.add_state("count", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("sums", torch.zeros(2, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, student: Tensor, teacher: Tensor) -> None:
        """Add n × d features of both networks on the same inputs.

        Raises:
            InputError: shapes that differ, empty batches, or NaN or infinite features.
        """
        batch = PairedDistance()
        batch.update(_widened(student), _widened(teacher))
        self.count += batch.count
        self.sums += torch.from_numpy(batch.sums).to(self.sums)

    def compute(self) -> Tensor:
        """The distance over all batches of all processes."""
        mean = self.sums[self.p - 1] / self.count
        distance: Tensor = mean if self.p == 1 else mean.sqrt()
        return distance
