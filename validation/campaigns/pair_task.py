"""One training run, and everything that is measured on its pairs."""

import math
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from kd2m_theory.bounds import BoundResult
from kd2m_theory.bounds.affine import aligned
from kd2m_theory.pair import Pair
from kd2m_theory.reporting.report import AuditReport, audit
from kd2m_theory.validation.campaigns.learning import curves, last_pair, results
from kd2m_theory.validation.campaigns.measured_distances import distances
from kd2m_theory.validation.campaigns.table import part
from kd2m_theory.validation.campaigns.task import Outcome, Task
from kd2m_theory.validation.campaigns.terms import dominant
from kd2m_theory.validation.campaigns.training_run import columns, run
from kd2m_theory.validation.training.run_folder import RunFolder


def pair(task: Task, files: Mapping[str, bytes], scratch: Path) -> Outcome:
    """Train, and audit the pair after each epoch that is asked for; a pair that refutes a row is returned with the rows.

    Results and curves of the run come first, then what each pair shows.
    """
    began = time.process_time()
    chosen, trained, made = run(task, files, scratch)
    last = chosen.student.training.epochs
    rows: list[dict[str, Any]] = [{"epoch": last} | row for row in (*results(trained), *curves(trained.history))]
    for epoch, path in trained.pairs.items():
        kept = _in_teacher_space(RunFolder(trained.folder), epoch, path)
        report = audit(kept, task.table["delta"])
        common = {"epoch": epoch, "n": report.n, "classes": report.classes, "delta": report.delta}
        rows += [common | row for row in (*_bounds(report), *_measured(report), *_distances(kept))]
        if epoch == last:
            rows += [common | row for row in last_pair(kept, chosen.seed)]
        if any(row.violated and row.level is None for row in report.rows):
            evidence = path.with_name(f"violation-{epoch}.safetensors")
            kept.save(evidence)
            made[violation_file(task.digest, epoch)] = evidence.read_bytes()
    about = {"seconds": time.process_time() - began, "task": dict(task.table)}
    return Outcome(part(columns(task, chosen), rows, about), made)


def violation_file(digest: str, epoch: int) -> str:
    """Where the store keeps a pair on which a guaranteed row does not hold."""
    return f"violations/{digest}-epoch-{epoch:04}.safetensors"


def _in_teacher_space(folder: RunFolder, epoch: int, path: Path) -> Pair:
    """The pair as it is audited: an affine map fitted on validation images takes features of another dimension."""
    validation = folder.pair(epoch, "validation")
    return aligned(Pair.load(path), Pair.load(validation)) if validation.exists() else Pair.load(path)


def _bounds(report: AuditReport) -> Iterator[dict[str, Any]]:
    for row in report.rows:
        term = dominant(row) if row.applicable else None
        yield {
            "kind": "bound",
            "name": row.name,
            "target": row.target,
            "share": None if row.level is None else 1 - row.level,
            "lower": _number(row.lower),
            "value": row.measured,
            "upper": _number(row.upper),
            "rounding": row.rounding,
            "ratio": _ratio(row),
            "status": row.status,
            "assumed": row.assumed,
            "guaranteed": row.guaranteed,
            "holds": row.holds,
            "dominant": None if term is None else term.term,
            "dominance": None if term is None else term.share,
        }


def _measured(report: AuditReport) -> Iterator[dict[str, Any]]:
    for name, value in report.measured.items():
        ends = {"lower": value.lower, "value": value.value, "upper": value.upper}
        yield {"kind": "measured", "name": name, "share": 1 - value.level, "guaranteed": value.guaranteed, **ends}


def _distances(kept: Pair) -> Iterator[dict[str, Any]]:
    for name, distance in distances(kept).items():
        yield {"kind": "distance", "name": name, "value": float(distance)}


def _ratio(row: BoundResult) -> float | None:
    return None if row.ratio is None else _number(row.ratio)


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value
