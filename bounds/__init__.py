"""The theorems as numbers: constants of heads and losses, rows, and the ladder they make.

`layers.network_lipschitz` (constants of nonlinear heads) imports torch and is not imported here.
"""

from typing import TYPE_CHECKING

from kd2m_theory.bounds.affine import AffineMap, aligned, fit_affine
from kd2m_theory.bounds.constants.heads import class_lipschitz, lipschitz, ramp_change, spectral_lipschitz, vertex_norm
from kd2m_theory.bounds.known import Known
from kd2m_theory.bounds.ladder import ROWS, Ladder
from kd2m_theory.bounds.losses import cross_entropy, margin, ramp
from kd2m_theory.bounds.result import Assumption, BoundResult
from kd2m_theory.bounds.rows.row import Requirement, Row, Sides
from kd2m_theory.bounds.settings import Settings
from kd2m_theory.bounds.worst_labels import teacher_risk_needed
from kd2m_theory.deprecation import going

__all__ = [
    "ROWS",
    "AffineMap",
    "Assumption",
    "BoundResult",
    "Known",
    "Ladder",
    "Requirement",
    "Row",
    "Settings",
    "Sides",
    "aligned",
    "class_lipschitz",
    "cross_entropy",
    "fit_affine",
    "lipschitz",
    "margin",
    "ramp",
    "ramp_change",
    "spectral_lipschitz",
    "teacher_risk_needed",
    "vertex_norm",
]


if not TYPE_CHECKING:  # to type checkers, every name would be there

    def __getattr__(name):
        return going(__name__, name)
