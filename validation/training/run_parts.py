"""What a configuration is made of: both networks with fresh weights, and the objective between them."""

import copy
from dataclasses import dataclass

from torch import nn

from kd2m_theory.errors import InputError
from kd2m_theory.validation.objectives.objective import Objective
from kd2m_theory.validation.objectives.registry import objective
from kd2m_theory.validation.populations.population import Population
from kd2m_theory.validation.training.configuration import Configuration
from kd2m_theory.validation.training.networks import network


@dataclass(frozen=True)
class RunParts:
    """The parts of a run that learn, or taught.

    Attributes:
        teacher: with fresh weights.
        student: with fresh weights, and with a frozen copy of the teacher's head where the configuration says so.
        objective: with its learnable parts.
    """

    teacher: nn.Module
    student: nn.Module
    objective: Objective


def run_parts(configuration: Configuration, source: Population) -> RunParts:
    """Make them, for images of a population; a function of the configuration's seeds.

    Raises:
        InputError: unknown names or options, or networks that do not fit the images or each other.
    """
    plan, seed = configuration.teacher, configuration.seed
    teacher = network(plan.network, source.classes, source.image_shape, plan.seed)
    student = network(configuration.student.network, source.classes, source.image_shape, seed)
    if configuration.student.head == "teacher":
        if teacher.feature_size != student.feature_size:
            raise InputError(
                f"the student has {student.feature_size} features and the teacher {teacher.feature_size}: the teacher's head "
                "does not fit; choose head = 'own', or networks with features of one size"
            )
        student.fc = copy.deepcopy(teacher.fc).requires_grad_(False)
    options = {key: value for key, value in configuration.objective.items() if key != "name"}
    goal = objective(configuration.objective["name"], student, teacher, init_seed=seed, **options)
    return RunParts(teacher, student, goal)
