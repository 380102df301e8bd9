"""Random numbers of an objective that are drawn again at every training step and come again after a resume."""

import numpy as np
import torch
from torch import Tensor, nn

from kd2m_theory.checks import whole


class StepRandom(nn.Module):
    """Step t's numbers are a function of (seed, t), and t is in the state: a resumed run draws what an uninterrupted one would.

    Evaluation uses the next training step's numbers and leaves t alone. A base class beside `Objective`, whose constructor
    calls `set_seed`.
    """

    seed: int = 0
    _step: int = 0

    def set_seed(self, seed: int) -> None:
        """Begin at step 0.

        Raises:
            InputError: a seed that is not a whole number ≥ 0.
        """
        self.seed, self._step = whole(seed, "seed", 0), 0

    def step_seed(self) -> np.random.SeedSequence:
        """The seed of the present step; in training the next call is of the next step."""
        mixed = np.random.SeedSequence((self.seed, self._step))
        if self.training:
            self._step += 1
        return mixed

    def get_extra_state(self) -> Tensor:
        """The step counter, for `state_dict`."""
        return torch.tensor(self._step)

    def set_extra_state(self, state: Tensor) -> None:
        """Continue from a counter that `get_extra_state` gave."""
        self._step = int(state)
