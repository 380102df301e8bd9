"""Sliced Wasserstein distance as an objective: sorting instead of transport, for large batches."""

import torch
from torch import Tensor

from kd2m_theory.checks import whole
from kd2m_theory.estimators.losses.transport import squared_sliced_w2
from kd2m_theory.validation.objectives.feature_objective import FeatureObjective
from kd2m_theory.validation.objectives.objective import Sizes
from kd2m_theory.validation.objectives.step_random import StepRandom
from kd2m_theory.validation.training.outputs import Outputs


class SlicedW2(StepRandom, FeatureObjective):
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
        self.set_seed(seed)

    def distance(self, student: Outputs, teacher: Outputs, labels: Tensor) -> Tensor:
        """SW₂²."""
        # torch's CPU generator keeps 32 bits of a seed.
        generator = torch.Generator().manual_seed(int(self.step_seed().generate_state(1)[0]))
        return squared_sliced_w2(student.features, teacher.features, self.projections, generator)
