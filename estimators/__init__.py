"""Distances from samples, each with what is certain about it."""

from kd2m_theory.estimators.distances import class_wasserstein, conditional_wasserstein, wasserstein
from kd2m_theory.estimators.enclosure import Confidence, Enclosure
from kd2m_theory.estimators.ground import CostMatrix, VertexNorm, cost_matrix
from kd2m_theory.estimators.intervals import clopper_pearson, paired_difference, student_t
from kd2m_theory.estimators.transport import Plan, optimal_cost, optimal_plan

__all__ = [
    "Confidence",
    "CostMatrix",
    "Enclosure",
    "Plan",
    "VertexNorm",
    "class_wasserstein",
    "clopper_pearson",
    "conditional_wasserstein",
    "cost_matrix",
    "optimal_cost",
    "optimal_plan",
    "paired_difference",
    "student_t",
    "wasserstein",
]
