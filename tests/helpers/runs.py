"""The smallest run of distillation that has every part."""

from kd2m_theory.validation.training.configuration import configuration

RECIPE = {"batch": 32, "steps": 4, "learning_rate": 1e-2}


def tiny(objective=None, **changes):
    """Two perceptrons on a Gaussian mixture, two and three epochs of four steps; dotted keys change the table."""
    table = {
        "population": {"name": "gaussian-mixture"},
        "teacher": {"network": "mlp-16-8", "training": {"epochs": 2, **RECIPE}},
        "student": {"network": "mlp-8", "training": {"epochs": 3, **RECIPE}},
        "objective": objective or {"name": "cw2", "weight": 0.1},
        "pairs": {"images": 100, "audit": False},
    }
    for key, value in changes.items():
        place = table
        *path, last = key.split("__")
        for part in path:
            place = place.setdefault(part, {})
        place[last] = value
    return configuration(table)
