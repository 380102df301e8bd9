"""Does distillation help? Every objective on digits and glyphs: λ chosen on validation images, five seeds, test accuracy.

    python validation/benchmarks/accuracy.py [--runs FOLDER] [--workers 2] [--only digits] [--save NAME.json]
    python validation/benchmarks/accuracy.py --only glyphs62 --device cuda --workers 8 --save NAME.json

All students of a population have one network and one recipe: the one without a teacher (λ = 0) anneals as the others do. λ is
the one of its grid with the best mean validation accuracy over the first two seeds (the smaller on a tie); then five seeds are
trained with it and judged once, after the last epoch, on test images. A killed run continues from its folder.
"""

import json
import multiprocessing
import os
import statistics
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Any

import torch
from harness import command_line, environment, save, shown
from scipy import stats

from kd2m_theory.validation.benchmark_tables import BenchmarkTable, Column, Record

SEEDS = range(5)
CHOOSING = range(2)
_SQUARED = (1e-5, 1e-4, 1e-3, 1e-2)
_DIVERGENCE = (1e-6, 1e-5, 1e-4, 1e-3)
_KERNEL = (0.01, 0.1, 1.0, 10.0)
GRIDS: dict[str, tuple[float, ...]] = {
    "kd": (0.1, 0.3, 0.6, 0.9),
    "dkd": (0.1, 0.3, 1.0, 3.0),
    "ttm": (1.0, 4.0, 16.0),
    "wttm": (0.5, 2.0, 8.0, 32.0),
    "w2": _SQUARED,
    "cw2": _SQUARED,
    "jw2": (0.01, 0.1, 1.0, 10.0),  # without a unit
    "gaussian-w2": _SQUARED,
    "gaussian-cw2": _SQUARED,
    "gaussian-kl": _DIVERGENCE,
    "conditional-gaussian-kl": _DIVERGENCE,
    "symmetric-gaussian-kl": _DIVERGENCE,
    "mmd": _KERNEL,
    "conditional-mmd": _KERNEL,
    "gromov-w2": (1e-6, 1e-5, 1e-4),
    "sliced-w2": (1e-3, 1e-2, 1e-1, 1.0),
    "paired-l2": _SQUARED,
    "unikd": (0.01, 0.1, 1.0, 10.0),
}
FIXED: dict[str, dict[str, Any]] = {"ttm": {"gamma": 0.25}, "wttm": {"gamma": 0.25}}
_RESIDUAL = {
    "steps": 200,
    "batch": 128,
    "optimiser": "sgd",
    "learning_rate": 0.05,
    "weight_decay": 5e-4,
    "precision": "bf16",
}
TABLES: dict[str, dict[str, Any]] = {
    "digits": {
        "population": {"name": "digits"},
        "teacher": {
            "network": "digits-teacher",
            "cache": True,
            "training": {"epochs": 30, "batch": 64, "learning_rate": 2e-3},
        },
        "student": {"network": "digits-student", "training": {"epochs": 60, "batch": 64, "learning_rate": 5e-3}},
    },
    "glyphs": {
        "population": {"name": "glyphs", "classes": 20},
        "teacher": {
            "network": "cnn-16-32-64",
            "cache": True,
            "training": {"epochs": 10, "steps": 80, "batch": 64, "learning_rate": 5e-3},
        },
        "student": {
            "network": "digits-student",
            "training": {"epochs": 10, "steps": 60, "batch": 64, "learning_rate": 5e-3},
        },
    },
    # For a CUDA device.
    "glyphs62": {
        "population": {"name": "glyphs", "classes": 62},
        "teacher": {"network": "resnet32x4", "cache": True, "training": {**_RESIDUAL, "epochs": 20}},
        "student": {"network": "resnet8x4", "training": {**_RESIDUAL, "epochs": 10}},
    },
}
ON_CPU = ("digits", "glyphs")
COLUMNS = (
    Column("objective"),
    Column("λ", format="g"),
    Column("λ at an end of its grid"),
    Column("accuracy", "%", ".2f"),
    Column("gain", "points", "+.2f"),
)


@dataclass(frozen=True)
class Run:
    """One student of a population."""

    population: str
    objective: str
    weight: float
    seed: int

    def table(self) -> dict[str, Any]:
        """Its configuration."""
        chosen: dict[str, Any] = {"name": self.objective}
        if self.objective != "none":
            chosen |= {"weight": self.weight, **FIXED.get(self.objective, {})}
        pairs = {"at": [], "images": 2000, "audit": False}
        return {**TABLES[self.population], "objective": chosen, "pairs": pairs, "seed": self.seed}


def accuracies(run: Run, runs: Path, device: str) -> dict[str, float]:
    """Train, unless it was done; accuracy by "student_test" and the like."""
    from kd2m_theory.validation.training.configuration import configuration

    chosen = configuration(run.table())
    folder = runs / run.population / f"{run.objective}-{run.weight:g}-{run.seed}-{chosen.digest}"
    if not (folder / "results.json").exists():
        from kd2m_theory.validation.training.distillation import train

        train(chosen, folder, resume=True, device=device, teachers=runs / "teachers")
    return {key: row["accuracy"] for key, row in json.loads((folder / "results.json").read_text()).items()}


def rows(name: str, runs: Path, device: str, pool: ProcessPoolExecutor) -> Iterator[Record]:
    """Teacher, student alone, and one student per objective."""

    def trained(wanted: list[Run]) -> dict[Run, dict[str, float]]:
        return dict(zip(wanted, pool.map(accuracies, wanted, repeat(runs), repeat(device)), strict=True))

    accuracies(Run(name, "none", 0.0, 0), runs, device)  # the teacher, once
    grid = trained(
        [Run(name, each, weight, seed) for each, weights in GRIDS.items() for weight in weights for seed in CHOOSING]
    )
    best = {}
    for each, weights in GRIDS.items():
        means = {w: statistics.fmean(grid[Run(name, each, w, s)]["student_validation"] for s in CHOOSING) for w in weights}
        best[each] = max(weights, key=lambda weight: (means[weight], -weight))
    alone = trained([Run(name, "none", 0.0, seed) for seed in SEEDS])
    last = trained([Run(name, each, weight, seed) for each, weight in best.items() for seed in SEEDS])
    base = [alone[Run(name, "none", 0.0, seed)] for seed in SEEDS]
    teacher = statistics.fmean(each["teacher_test"] for each in base)
    yield _record("teacher", {"mean": 100 * teacher, "half": None})
    yield _record("none (λ = 0)", _mean([each["student_test"] for each in base]))
    for each, weight in best.items():
        found = [last[Run(name, each, weight, seed)]["student_test"] for seed in SEEDS]
        gain = [here - there["student_test"] for here, there in zip(found, base, strict=True)]
        edge = "yes" if weight in (GRIDS[each][0], GRIDS[each][-1]) else "no"
        yield _record(each, _mean(found), _mean(gain), weight, edge)


def _record(
    objective: str,
    accuracy: dict[str, float | None],
    gain: dict[str, float | None] | None = None,
    weight: float | None = None,
    edge: str | None = None,
) -> Record:
    return {"objective": objective, "λ": weight, "λ at an end of its grid": edge, "accuracy": accuracy, "gain": gain}


def _mean(values: list[float]) -> dict[str, float | None]:
    """Mean and half width of Student's 95 % interval, in per cent."""
    half = stats.t.ppf(0.975, len(values) - 1) * statistics.stdev(values) / len(values) ** 0.5
    return {"mean": 100 * statistics.fmean(values), "half": 100 * float(half)}


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("--runs", type=Path, default=Path("build/accuracy"))
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--only", choices=list(TABLES))
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"  # one process per core
    where = {"device": torch.cuda.get_device_name()} if options.device == "cuda" else {}
    context = multiprocessing.get_context("spawn")
    tables = []
    with ProcessPoolExecutor(options.workers, mp_context=context) as pool:
        for name in [options.only] if options.only else ON_CPU:
            table = TABLES[name]
            networks = {role: table[role]["network"] for role in ("teacher", "student")}
            setting = {**networks, **table["student"]["training"]}
            records = shown(COLUMNS, rows(name, options.runs, options.device, pool))
            tables.append(BenchmarkTable(name, COLUMNS, records, setting))
            save(
                options.save,
                title="Does distillation help?",
                environment=environment("torch", "lightning", "POT", **where),
                setting={
                    "seeds": len(SEEDS),
                    "γ of TTM and WTTM": 0.25,
                    "T of KD, DKD and UniKD's logit term": 4,
                    "grids of λ": GRIDS,
                },
                note="Test accuracy after the last epoch, mean over the seeds ± half of a 95 % interval (Student's t); the "
                "gain is over the student without a teacher, seed by seed; λ is chosen on validation images. Intervals are of "
                "one row each: among 17 rows about one gain in twenty is outside by chance",
                tables=tables,
            )


if __name__ == "__main__":
    main()
