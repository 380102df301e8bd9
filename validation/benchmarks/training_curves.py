"""What training looks like, epoch by epoch: the numbers of the figures `lambda-sweep`, `embedding`, `entropy` and `unikd`.

    python validation/benchmarks/training_curves.py [--runs FOLDER] [--workers 2] [--save FILE]

The shipped configurations of the digits, three seeds each, one teacher, on the CPU: CW2 over a grid of λ (λ = 0 is the student
alone, which anneals as the others do), KD, TTM and WTTM, and UniKD whole, without each of its parts, and
without its term on distributions. Everything is measured on the test images, which nothing is chosen on; the distance is
that of the training batches. A killed run continues from its folder.
"""

import argparse
import json
import multiprocessing
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.manifold import TSNE

from kd2m_theory import Pair
from kd2m_theory.arrays import Float64
from kd2m_theory.files import check_writable, write_atomically
from kd2m_theory.validation.objectives.ttm import divergence_by_image
from kd2m_theory.validation.training.configuration import Configuration, read_configuration
from kd2m_theory.validation.training.distillation import Trained, train
from kd2m_theory.validation.training.evaluation import evaluate
from kd2m_theory.validation.training.run_folder import environment

SEEDS = range(3)
WEIGHTS = (0.0, 1e-5, 1e-4, 1e-3, 1e-2)
UNIKD = "unikd"
ABLATIONS = ("", "fusion=false", "predict_variance=false", "supplement=false", "weight=0.0")
GAMMA = 0.25
BINS = 24  # of the histograms, from 0 to ln K
EMBEDDED = 30  # images of each class
PERPLEXITY = 30.0


@dataclass(frozen=True)
class Student:
    """One student.

    Attributes:
        objective: of the shipped configuration digits-….
        change: of the objective, "weight=0.0"; "" for none.
        seed: of the run.
    """

    objective: str
    change: str
    seed: int

    @property
    def configuration(self) -> Configuration:
        """With a pair after every epoch where curves are drawn, and after the last where only the end is."""
        last = read_configuration(f"digits-{self.objective}").student.training.epochs
        changes = ["teacher.cache=true", "pairs.audit=false", f"seed={self.seed}"]
        changes += [f"objective.{self.change}"] if self.change else []
        changes += [f"pairs.at={list(range(last + 1))}"] if self.objective != UNIKD else []
        return read_configuration(f"digits-{self.objective}", changes)


def students() -> list[Student]:
    """All of them, those that see the same batches side by side."""
    kinds = [("cw2", f"weight={weight!r}") for weight in WEIGHTS]
    kinds += [(name, "") for name in ("kd", "ttm", "wttm")]
    kinds += [(UNIKD, change) for change in ABLATIONS]
    return [Student(*kind, seed) for seed in SEEDS for kind in kinds]


def trained(student: Student, runs: Path) -> Trained:
    """Its run, continued or read if it was begun."""
    chosen = student.configuration
    folder = runs / f"{student.objective}-{student.seed}-{chosen.digest}"
    return train(chosen, folder, resume=True, device="cpu", teachers=runs / "teachers")


def followed(student: Student, runs: Path) -> dict[str, Any]:
    """What the file says of a run: its objective, what it is on the test images, and its curves."""
    run = trained(student, runs)
    result = run.results["student", "test"]
    row: dict[str, Any] = {
        "objective": dict(student.configuration.objective),
        "seed": student.seed,
        "test": {name: value for name, value in asdict(result).items() if name != "entropy"},
        "curves": {},
    }
    if len(run.pairs) > 1:
        row["curves"] = curves([Pair.load(path) for _, path in sorted(run.pairs.items())])
    if student.objective == "cw2":
        row["curves"]["distance"] = [epoch["train_cw2"] for epoch in run.history]
    return row


def curves(pairs: Sequence[Pair]) -> dict[str, list[float]]:
    """Means over the images of each pair; divergence is KL(p̂‖q) with p̂ the teacher's prediction to the power `GAMMA`."""
    made: dict[str, list[float]] = {name: [] for name in ("cross_entropy", "accuracy", "entropy", "divergence")}
    for pair in pairs:
        logits, taught = _logits(pair)
        found = evaluate(logits, torch.tensor(pair.labels), taught)
        made["cross_entropy"].append(found.cross_entropy)
        made["accuracy"].append(found.accuracy)
        made["entropy"].append(found.entropy)
        made["divergence"].append(float(divergence_by_image(logits, taught, GAMMA).mean()))
    return made


def histogram(pairs: Sequence[Pair]) -> list[int]:
    """How many images of these pairs have an entropy H(q) of the student in each of `BINS` equal parts of [0, ln K]."""
    logits = torch.cat([_logits(pair)[0] for pair in pairs])
    entropy = torch.distributions.Categorical(logits=logits).entropy().numpy()
    counts, _ = np.histogram(entropy, BINS, (0.0, np.log(logits.shape[1])))
    return [int(count) for count in counts]


def correlations(logits: Float64) -> Float64:
    """K × K correlations between classes of n × K logits, each row centred: predictions do not see a shift of all logits."""
    centred: Float64 = logits - logits.mean(axis=1, keepdims=True)
    found: Float64 = np.corrcoef(centred.T)
    return found


def correlation(name: str, pairs: Sequence[Pair]) -> dict[str, Any]:
    """The student's matrix less the teacher's for the first pair, and for each the mean |difference| off the diagonal."""
    found = [correlations(pair.logits_student) - correlations(pair.logits_teacher) for pair in pairs]
    off = ~np.eye(len(found[0]), dtype=bool)
    return {"student": name, "difference": found[0].tolist(), "means": [float(np.abs(each[off]).mean()) for each in found]}


def embedding(weight: float, pair: Pair) -> dict[str, Any]:
    """Features of the teacher and of the student of this λ, `EMBEDDED` images of each class, placed in one plane by t-SNE."""
    labels = pair.labels
    kept = np.concatenate([np.flatnonzero(labels == label)[:EMBEDDED] for label in np.unique(labels)])
    features = np.vstack([pair.features_teacher[kept], pair.features_student[kept]]).astype(float)
    plane = TSNE(init="pca", perplexity=PERPLEXITY, random_state=0).fit_transform(features)
    return {
        "weight": weight,
        "labels": labels[kept].tolist(),
        "teacher_points": plane[: len(kept)].tolist(),
        "student_points": plane[len(kept) :].tolist(),
    }


def table(runs: Path, workers: int) -> dict[str, Any]:
    """Train all of them, and describe them."""
    wanted = students()
    first = trained(wanted[0], runs)  # the teacher, once
    context = multiprocessing.get_context("spawn")
    rows = []
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        for row in pool.map(followed, wanted, [runs] * len(wanted)):
            print(json.dumps(_rounded({key: row[key] for key in ("objective", "seed", "test")})), flush=True)
            rows.append(row)

    def last(objective: str, change: str = "") -> list[Pair]:
        made = [trained(Student(objective, change, seed), runs) for seed in SEEDS]
        return [Pair.load(run.pairs[max(run.pairs)]) for run in made]

    alone, kd, unikd = last("cw2", "weight=0.0"), last("kd"), last(UNIKD)
    plan = wanted[0].configuration
    return {
        "command": "python validation/benchmarks/training_curves.py --save validation/benchmarks/training_curves.json",
        "environment": environment(),
        "setting": {
            "population": plan.population["name"],
            "teacher": plan.teacher.network,
            "student": plan.student.network,
            "training": {key: value for key, value in asdict(plan.student.training).items() if value is not None},
            "seeds": list(SEEDS),
            "test_images": len(alone[0].labels),
            "gamma": GAMMA,
            "perplexity": PERPLEXITY,
        },
        "teacher": asdict(first.results["teacher", "test"]),
        "runs": rows,
        "histograms": [
            {"student": name, "range": [0.0, float(np.log(alone[0].logits_teacher.shape[1]))], "counts": histogram(pairs)}
            for name, pairs in (("alone", alone), ("kd", kd), ("ttm", last("ttm")), ("wttm", last("wttm")))
        ],
        "correlations": [correlation(name, pairs) for name, pairs in (("alone", alone), ("kd", kd), (UNIKD, unikd))],
        "embeddings": [embedding(weight, last("cw2", f"weight={weight!r}")[0]) for weight in (WEIGHTS[0], *WEIGHTS[-2:])],
    }


def _logits(pair: Pair) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.tensor(pair.logits_student), torch.tensor(pair.logits_teacher)


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.6g}") if np.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _rounded(each) for key, each in value.items()}
    return [_rounded(each) for each in value] if isinstance(value, list | tuple) else value


def _lines(table: Mapping[str, Any]) -> Iterator[str]:
    """JSON with one run per line, so that a change of one is a change of one line."""
    for key, value in table.items():
        if isinstance(value, list):
            yield f" {json.dumps(key)}: [\n  " + ",\n  ".join(json.dumps(each, ensure_ascii=False) for each in value) + "\n ]"
        else:
            yield f" {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=Path("build/training_curves"))
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--save", type=Path)
    options = parser.parse_args()
    if options.save is not None:
        check_writable(options.save)
    os.environ["OMP_NUM_THREADS"] = "1"  # one process per core
    torch.set_num_threads(1)
    made = _rounded(table(options.runs, options.workers))
    if options.save is not None:
        write_atomically(options.save, ("{\n" + ",\n".join(_lines(made)) + "\n}\n").encode())


if __name__ == "__main__":
    main()
