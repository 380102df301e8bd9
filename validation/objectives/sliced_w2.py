"""Sliced Wasserstein distance as an objective: sorting instead of transport, for large batches."""

import numpy as np
import torch
from torch import Tensor

from kd2m_theory.checks import whole
from kd2m_theory.estimators.losses.transport import squared_sliced_w2
from kd2m_theory.validation.objectives.feature_objective import FeatureObjective
from kd2m_theory.validation.objectives.objective import Sizes
from kd2m_theory.validation.training.outputs import Outputs


class SlicedW2(FeatureObjective):
    """CE + λ·SW₂², the mean of W₂² over directions that are drawn again at every training step, a squared distance.

    Step t's directions are a function of (seed, t), and t is in the state: a resumed run draws what an uninterrupted one
    would. Evaluation uses the next training step's directions and leaves t alone.

    Args:
        sizes: of the two networks.
        weight: λ ≥ 0.
        projections: directions a step, ≥ 1.
        seed: of the directions, ≥ 0.
        projector: as `FeatureObjective`.
        cross_entropy: weight of the cross-entropy.

    Raises:
        InputError: as `FeatureObjective`; no projection; a negative seed.
    """

    part = "sliced_w2"
    refuses = True

    def __init__(
        self,
        sizes: Sizes,
        *,
        weight: float = 1.0,
        projections: int = 128,
        seed: int = 0,
        projector: str | None = None,
        cross_entropy: float = 1.0,
    ) -> None:
        super().__init__(sizes, weight=weight, projector=projector, cross_entropy=cross_entropy)
        self.projections = whole(projections, "projections", 1)
        self.seed = whole(seed, "seed", 0)
        self._step = 0

    def distance(self, student: Outputs, teacher: Outputs, labels: Tensor) -> Tensor:
        """SW₂²."""
        # torch's CPU generator keeps 32 bits of a seed: mix both numbers into those.
        mixed = np.random.SeedSequence((self.seed, self._step)).generate_state(1)[0]
        generator = torch.Generator().manual_seed(int(mixed))
        if self.training:
            self._step += 1
        return squared_sliced_w2(student.features, teacher.features, self.projections, generator)

    def get_extra_state(self) -> Tensor:
        """The step counter, for `state_dict`."""
        return torch.tensor(self._step)

    def set_extra_state(self, state: Tensor) -> None:
        """Continue from a counter that `get_extra_state` gave."""
        self._step = int(state)
