"""Distances from samples, each a `Number` with what is certain about it.

Beside the names below: `accumulators` (mergeable, batch by batch), `axioms` (property tests of any metric; imports
hypothesis), and, importing torch, `losses.transport`, `losses.gaussian`, `losses.kernel` (training forms) and `metrics`
(torchmetrics).
"""

from typing import TYPE_CHECKING

from kd2m_theory.deprecation import going
from kd2m_theory.estimators.betting import betting
from kd2m_theory.estimators.distances import class_wasserstein, conditional_wasserstein, wasserstein
from kd2m_theory.estimators.enclosure import Confidence, Enclosure
from kd2m_theory.estimators.gaussian import (
    conditional_gaussian_kl,
    conditional_gaussian_wasserstein,
    gaussian_kl,
    gaussian_symmetric_kl,
    gaussian_wasserstein,
)
from kd2m_theory.estimators.gromov import gromov_wasserstein
from kd2m_theory.estimators.ground import CostMatrix, VertexNorm, cost_matrix
from kd2m_theory.estimators.intervals import (
    clopper_pearson,
    empirical_bernstein,
    hoeffding,
    mean_interval,
    percentile_bootstrap,
    student_t,
)
from kd2m_theory.estimators.joint import joint_wasserstein
from kd2m_theory.estimators.kernel_distances import conditional_mmd, energy_distance, mmd
from kd2m_theory.estimators.mixture import mixture_wasserstein
from kd2m_theory.estimators.number import Estimate, Number
from kd2m_theory.estimators.paired import paired_difference
from kd2m_theory.estimators.sliced import max_sliced_wasserstein, sliced_wasserstein
from kd2m_theory.estimators.transport import Plan, optimal_cost, optimal_plan

__all__ = [
    "Confidence",
    "CostMatrix",
    "Enclosure",
    "Estimate",
    "Number",
    "Plan",
    "VertexNorm",
    "betting",
    "class_wasserstein",
    "clopper_pearson",
    "conditional_gaussian_kl",
    "conditional_gaussian_wasserstein",
    "conditional_mmd",
    "conditional_wasserstein",
    "cost_matrix",
    "empirical_bernstein",
    "energy_distance",
    "gaussian_kl",
    "gaussian_symmetric_kl",
    "gaussian_wasserstein",
    "gromov_wasserstein",
    "hoeffding",
    "joint_wasserstein",
    "max_sliced_wasserstein",
    "mean_interval",
    "mixture_wasserstein",
    "mmd",
    "optimal_cost",
    "optimal_plan",
    "paired_difference",
    "percentile_bootstrap",
    "sliced_wasserstein",
    "student_t",
    "wasserstein",
]


if not TYPE_CHECKING:  # to type checkers, every name would be there

    def __getattr__(name):
        return going(__name__, name)
