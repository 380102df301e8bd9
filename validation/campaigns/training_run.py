"""A run inside a task: the teacher comes as bytes and goes as bytes, everything else stays in the task's own folder."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from kd2m_theory.validation.campaigns.task import Task
from kd2m_theory.validation.origin import refuse_other
from kd2m_theory.validation.training.configuration import Configuration, configuration
from kd2m_theory.validation.training.distillation import Trained, train
from kd2m_theory.validation.training.run_folder import environment, weights_as_bytes


def run(task: Task, files: Mapping[str, bytes], scratch: Path) -> tuple[Configuration, Trained, dict[str, bytes]]:
    """Train what the task's table says.

    Returns:
        The configuration, the run, and the teacher's file if the task was not given one.
    """
    chosen = configuration(task.table["run"])
    (name,) = task.shares
    weights = scratch / "teacher.safetensors"
    if name in files:
        weights.write_bytes(files[name])
    given = weights if name in files else None
    trained = train(chosen, scratch / "run", device=task.device, teacher=given, follow=True)
    refuse_other(task.inputs, trained.origin.inputs, "the campaign, where it was begun,")
    return chosen, trained, {} if name in files else {name: weights_as_bytes(trained.teacher)}


def columns(task: Task, chosen: Configuration) -> dict[str, Any]:
    """What every row of a task says of its run."""
    weight = chosen.objective.get("weight")
    law = {key: value for key, value in chosen.population.items() if key != "name"}
    options = {key: value for key, value in chosen.objective.items() if key not in ("name", "weight")}
    recipes = {
        role: {key: value for key, value in recipe.items() if value is not None and key != "cache"}
        for role, recipe in (("teacher", asdict(chosen.teacher)), ("student", asdict(chosen.student.training)))
    }
    return {
        "task": task.digest,
        "configuration": chosen.digest,
        "population": chosen.population["name"],
        "law": json.dumps(law, sort_keys=True),
        "teacher": chosen.teacher.network,
        "student": chosen.student.network,
        "head": chosen.student.head,
        "training": json.dumps(recipes, sort_keys=True),
        "objective": chosen.objective["name"],
        "weight": None if weight is None else float(weight),
        "options": json.dumps(options, sort_keys=True),
        "seed": chosen.seed,
        "environment": json.dumps(environment(), sort_keys=True),
    }
