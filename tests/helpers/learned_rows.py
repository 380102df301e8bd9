"""Rows of a campaign's table as runs leave them, with numbers that a test can compute itself."""

import json

import numpy as np
import pyarrow

from kd2m_theory.validation.campaigns.table import COLUMNS

EPOCHS, CLASSES, IMAGES, BINS = 6, 3, 24, 24


def accuracy(objective, weight, seed, split="test"):
    """In [0, 1]; distinct for each run."""
    place = sum(map(ord, objective)) % 17
    return 0.6 + 0.01 * place + 0.003 * seed + 0.01 * (weight or 0.0) + (0.001 if split == "validation" else 0.0)


def curve(end, seed):
    """From twice the end value down to it."""
    return [float(end * (2 - k / (EPOCHS - 1)) + 0.01 * seed * (EPOCHS - 1 - k)) for k in range(EPOCHS)]


def run(*point, **more):
    """Every row of one run, as a list."""
    return list(_rows(*point, **more))


def _rows(objective, weight=None, seed=0, *, part=None, last=True, **more):
    """Every row of one run; `last`: whether the pair after its last epoch was kept; `more`: other columns of all rows."""
    options = more.pop("options", {})
    base = {"population": "digits", "law": "{}", "teacher": "big", "student": "small", "head": "own", "environment": "{}"}
    base |= {"training": json.dumps({"student": {"epochs": EPOCHS}, "teacher": {"network": "big"}})}
    base |= {"objective": objective, "weight": weight, "options": json.dumps(options), "seed": seed} | more
    name = f"{base['population']} {base['law']} {base['training']} {objective} {weight} {base['options']}"
    base |= {"task": f"{name} {seed}", "configuration": f"{name} {seed}", "epoch": EPOCHS}
    rng = np.random.default_rng([seed, sum(map(ord, objective)), round(1e6 * (weight or 0.0)), len(options)])

    def row(kind, name, target=None, **values):
        return base | {"kind": kind, "name": name, "target": target} | values

    for split in ("validation", "test"):
        yield row("result", "accuracy", f"teacher {split}", value=0.9)
        yield row("result", "entropy", f"teacher {split}", value=0.2)
        yield row("result", "accuracy", f"student {split}", value=accuracy(objective, weight, seed, split))
        yield row("result", "cross_entropy", f"student {split}", value=0.5 + 0.01 * seed)
        yield row("result", "divergence", f"student {split}", value=0.3 + 0.01 * seed)
    ends = {"cross_entropy": 0.5, "accuracy": accuracy(objective, weight, seed) / 2, "entropy": 0.4, "transformed": 0.1}
    for name, end in ends.items():
        yield row("curve", name, "test", first=1, values=curve(end, seed))
    yield row("curve", "cross_entropy", "train", first=1, values=curve(0.4, seed))
    if part or objective != "none":
        yield row("curve", part or objective, "train", first=1, values=curve(10 / (1 + (weight or 0.0)), seed))
    if last:
        counts = rng.integers(0, 9, BINS).astype(float)
        yield row(
            "histogram", "entropy", "student test", n=IMAGES, lower=0.0, upper=float(np.log(CLASSES)), values=counts.tolist()
        )
        matrix = {"values": rng.uniform(-1, 1, CLASSES**2).tolist()} if seed == 0 else {}
        yield row("correlation", "logits", n=IMAGES, value=float(rng.uniform()), **matrix)
        if seed == 0:
            yield row("embedding", "labels", "test", n=IMAGES, values=[float(k % CLASSES) for k in range(IMAGES)])
            for name in ("teacher", "student"):
                yield row("embedding", name, "test", n=IMAGES, values=rng.normal(size=2 * IMAGES).tolist())


def table(*runs):
    """The table of these runs."""
    return pyarrow.Table.from_pylist([row for each in runs for row in each], schema=COLUMNS)
