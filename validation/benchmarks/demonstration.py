"""The demonstration\'s stored numbers: its table, and those of the figures `ladder`, `breakdown`, `students` and `framework`.

    python validation/benchmarks/demonstration.py [--save FOLDER]

Runs `kd2m demo` with seed 0 on the CPU. Without --save it compares what came out with the stored tables, digit for digit, and
its exit status is 1 if they differ; that is meant for the machine and the libraries that the tables name. With --save it writes
them into the folder. All numbers are of test images, which nothing was trained or selected on.
"""

import argparse
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.special import softmax

from kd2m_theory import Pair
from kd2m_theory.arrays import Float64
from kd2m_theory.estimators import conditional_wasserstein, wasserstein
from kd2m_theory.files import write_atomically
from kd2m_theory.paper_figures.framework import SIDE
from kd2m_theory.paper_figures.framework import STORED as FRAMEWORK
from kd2m_theory.paper_figures.ladder import table as drawn
from kd2m_theory.paper_figures.students import table as compared
from kd2m_theory.validation.populations.registry import population
from kd2m_theory.validation.training import demo
from kd2m_theory.validation.training.demo_table import COMPARISON, REPORTS
from kd2m_theory.validation.training.networks import network, parameters
from kd2m_theory.validation.training.run_folder import environment

SEED = 0
BATCH = 64
COMMAND = FRAMEWORK.command


def framework(pair: Pair) -> dict[str, Any]:
    """One batch of test images through the teacher and the student that was trained alone.

    The example is the image of those shown on which the two predictions differ most, by KL(teacher ‖ student).
    """
    plan = demo.configurations(SEED)["alone"]
    source = population(**dict(plan.population))
    images, labels = (part[:BATCH] for part in source.everything("test"))
    classes = labels.numpy()
    assert np.array_equal(_first(pair.labels), classes)
    features = {"teacher": _first(pair.features_teacher), "student": _first(pair.features_student)}
    logits = {"teacher": _first(pair.logits_teacher), "student": _first(pair.logits_student)}
    probabilities = {name: softmax(values, axis=1) for name, values in logits.items()}
    teacher, student = probabilities["teacher"], probabilities["student"]
    divergences = (teacher * np.log(teacher / student)).sum(axis=1)
    example = int(divergences[: SIDE**2].argmax())
    plane = _plane(np.vstack(list(features.values())))
    sizes = {}
    for name, part in (("teacher", plan.teacher), ("student", plan.student)):
        model = network(part.network, source.classes, source.image_shape, SEED)
        sizes[name] = parameters(model) - parameters(model.get_submodule("fc"))  # the encoder alone
    return {
        "batch": BATCH,
        "images": images[: SIDE**2, 0].tolist(),
        "example": example,
        "label": int(labels[example]),
        "dimension": plane.shape[0],
        "parameters": sizes,
        "features": {name: (found @ plane).tolist() for name, found in features.items()},
        "probabilities": {name: found[example].tolist() for name, found in probabilities.items()},
        "kl": float(divergences[example]),
        "w2": wasserstein(features["teacher"], features["student"], p=2).value,
        "cw2": conditional_wasserstein(
            features["teacher"], features["student"], classes, classes, p=2, weighting="uniform"
        ).value,
    }


def _first(rows: Any) -> Any:
    """The first batch of an array of the pair."""
    assert rows is not None
    return rows[:BATCH]


def _plane(points: Float64) -> Float64:
    """The first two principal axes as columns, d × 2, each with its largest entry positive."""
    axes: Float64 = np.linalg.svd(points - points.mean(axis=0), full_matrices=False)[2][:2].T
    return axes * np.sign(axes[np.abs(axes).argmax(axis=0), [0, 1]])


def tables() -> dict[str, dict[str, Any]]:
    """Every stored table by its file, each read from the written files of one demonstration."""
    made_by = {"command": COMMAND, "environment": environment()}
    made: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as written:
        folder = Path(written)
        demo.run(SEED, "cpu").write(folder)
        for stored in REPORTS.values():
            report = stored.read(stored.path(folder))
            sizes = {key: report[key] for key in ("n", "delta", "breakdown")}
            made[str(stored.shipped)] = {**made_by, **sizes, **drawn(report)}
        students = COMPARISON.read(COMPARISON.path(folder))
        made[str(COMPARISON.shipped)] = {**made_by, "n": students["n"], "delta": students["delta"], **compared(students)}
        made[FRAMEWORK.file] = {**made_by, **framework(Pair.load(folder / "alone" / "pair.safetensors"))}
    return made


def _lines(table: Mapping[str, Any]) -> bytes:
    """JSON with one row of a report a line, so that a change of one is a change of one line."""
    entries = []
    for key, value in table.items():
        if key == "rows":
            text = "[\n  " + ",\n  ".join(json.dumps(each, ensure_ascii=False) for each in value) + "\n ]"
        else:
            text = json.dumps(value, ensure_ascii=False)
        entries.append(f" {json.dumps(key)}: {text}")
    return ("{\n" + ",\n".join(entries) + "\n}\n").encode()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--save", type=Path, metavar="FOLDER", help="write the tables there instead of comparing them")
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    made = tables()
    if options.save is not None:
        for file, table in made.items():
            write_atomically(options.save / file, _lines(table))
        return 0
    paths = [stored.path(None) for stored in (*REPORTS.values(), COMPARISON, FRAMEWORK)]
    other = [path for path in paths if _differs(path, made[path.name])]
    for path in other:
        print(f"{path} has other numbers than this run; to replace it: {COMMAND}")
    return 1 if other else 0


def _differs(file: Path, made: Mapping[str, Any]) -> bool:
    """Whether a file has other numbers than a table; versions and the machine are not numbers."""
    held, here = (json.loads(data) for data in (file.read_bytes(), _lines(made)))
    return any(held.get(key) != here.get(key) for key in (held.keys() | here.keys()) - {"environment"})


if __name__ == "__main__":
    raise SystemExit(main())
