"""The pair of a coverage study: trained once, and its population risks measured."""

import json
import time
from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import load, save

from kd2m_theory.extraction import choose_device
from kd2m_theory.validation.campaigns.table import part
from kd2m_theory.validation.campaigns.task import Outcome, Task
from kd2m_theory.validation.campaigns.training_run import columns, run
from kd2m_theory.validation.campaigns.truth import Networks, on_cpu, truths
from kd2m_theory.validation.populations.registry import population
from kd2m_theory.validation.training import networks as known_networks
from kd2m_theory.validation.training.configuration import Configuration


def network(task: Task, files: Mapping[str, bytes], scratch: Path) -> Outcome:
    """Train, measure on fresh images, and hand out both networks and what was measured."""
    began = time.process_time()
    chosen, trained, made = run(task, files, scratch)
    roles = {"teacher": trained.teacher, "student": trained.student}
    weights, measured = task.makes
    made[weights] = save(
        {f"{role}.{name}": value.contiguous() for role, each in roles.items() for name, value in each.state_dict().items()}
    )
    both = read_networks(made[weights], chosen)
    place = choose_device(task.device)
    both = Networks(both.teacher.to(place), both.student.to(place), both.population)
    found = truths(both, task.table["draws"], task.table["seed"])
    made[measured] = json.dumps({name: [each.lower, each.upper] for name, each in found.items()}, indent=1).encode()
    rows = [
        {
            "kind": "truth",
            "name": name,
            "n": task.table["draws"],
            "classes": both.population.classes,
            "lower": each.lower,
            "value": each.value,
            "upper": each.upper,
            "guaranteed": each.guaranteed,
        }
        for name, each in found.items()
    ]
    about = {"seconds": time.process_time() - began, "task": dict(task.table)}
    return Outcome(part(columns(task, chosen), rows, about), made)


def read_networks(data: bytes, chosen: Configuration) -> Networks:
    """Both networks of a configuration, on the CPU, from the bytes that the task made."""
    source = population(**dict(chosen.population))
    state = load(data)
    made = [
        on_cpu(
            known_networks.network(name, source.classes, source.image_shape, 0),
            {key.removeprefix(f"{role}."): value for key, value in state.items() if key.startswith(f"{role}.")},
        )
        for role, name in (("teacher", chosen.teacher.network), ("student", chosen.student.network))
    ]
    return Networks(made[0], made[1], source)
