"""The theorems as numbers: constants of heads and losses, rows, and the ladder they make."""

from kd2m_theory.bounds.constants import class_lipschitz, lipschitz, ramp_change, spectral_lipschitz, vertex_norm
from kd2m_theory.bounds.ladder import ROWS, Ladder
from kd2m_theory.bounds.losses import cross_entropy, margin, ramp
from kd2m_theory.bounds.result import Assumption, BoundResult

__all__ = [
    "ROWS",
    "Assumption",
    "BoundResult",
    "Ladder",
    "class_lipschitz",
    "cross_entropy",
    "lipschitz",
    "margin",
    "ramp",
    "ramp_change",
    "spectral_lipschitz",
    "vertex_norm",
]
