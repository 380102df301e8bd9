"""Seconds and peak memory of every row of an audit at the size of CIFAR's test sets, beside plain POT.

    python validation/benchmarks/audit_scale.py [--n 10000] [--d 512] [--classes 10 100] [--save FILE]

Features are synthetic and class-structured (no download): the teacher's classes are Gaussian clouds, the student sees them
through noise and a slight shrinkage. Every row runs in a fresh process, so that peak memory is its own; "pair" is the
process that only makes the data. POT's column is `ot.emd2` on `ot.dist` class by class, for the same distance.
"""

import argparse
import os
import platform
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
from harness import measure, save
from scipy.special import softmax

from kd2m_theory import Pair
from kd2m_theory.bounds import ROWS
from kd2m_theory.report import audit

SEED = 20250402
# Distance of class centres at which the teacher errs on about 3 % and the student on about 10 %, up to and beyond 10 classes.
SPREAD = (2.8, 3.6)


def make_pair(n: int, d: int, classes: int) -> Pair:
    """A labelled pair with a shared head, teacher error of a few per cent, and student logits of its own head."""
    rng = np.random.default_rng(SEED)
    labels = np.arange(n) % classes
    centres = rng.normal(size=(classes, d)) * (SPREAD[classes > 10] / np.sqrt(d))
    teacher = np.maximum(centres[labels] + rng.normal(size=(n, d)) * 0.6, 0.0)
    student = np.maximum(0.95 * teacher + rng.normal(size=(n, d)) * 0.2, 0.0)
    weight = centres - centres.mean(axis=0)
    bias = -0.5 * (np.maximum(centres, 0.0) ** 2).sum(axis=1)
    own_head = student @ (weight + 0.02 * rng.normal(size=weight.shape)).T + bias
    return Pair(teacher, student, labels, logits_student=own_head, head_weight=weight, head_bias=bias)


def ours(name: str | None, shape: tuple[int, int, int]) -> tuple[float, float]:
    """Seconds of one row (all rows if None), and its upper bound on the gap (0 for all)."""
    pair = make_pair(*shape)
    start = time.perf_counter()
    report = audit(pair, only=None if name is None else [name])
    seconds = time.perf_counter() - start
    if report.violations:
        raise SystemExit(f"violated: {report.violations}")
    return seconds, 0.0 if name is None else report.rows[0].upper


def idle(_name: str | None, shape: tuple[int, int, int]) -> tuple[float, float]:
    """Make the pair and nothing else."""
    make_pair(*shape)
    return 0.0, 0.0


def pot(name: str | None, shape: tuple[int, int, int]) -> tuple[float, float]:
    """Seconds of `ot.emd2` on the same distances, class by class."""
    import ot

    assert name is not None
    pair = make_pair(*shape)
    labels = pair.labels
    on_logits = "logits" in name
    teacher_logits = pair.apply_head(pair.features_teacher)
    student_logits = pair.logits_student if on_logits else pair.apply_head(pair.features_student)
    x, y = (student_logits, teacher_logits) if on_logits else (pair.features_student, pair.features_teacher)
    kind = name.rsplit(".", 1)[-1]
    start = time.perf_counter()
    total = 0.0
    for label in range(shape[2]):
        at = labels == label
        uniform = np.full(at.sum(), 1.0 / at.sum())
        for cost in _pot_costs(ot, name, kind, x[at], y[at], student_logits[at], teacher_logits[at], label):
            total += float(ot.emd2(uniform, uniform, cost, numItermax=10_000_000))
    return time.perf_counter() - start, total


def _pot_costs(ot, name, kind, x, y, a, b, label):  # type: ignore[no-untyped-def]
    if name.startswith("T5"):
        one = np.eye(a.shape[1])[label]
        at_student, at_teacher = softmax(a, axis=1) - one, softmax(b, axis=1) - one
        tangent = a @ at_teacher.T - (b * at_teacher).sum(1)
        yield -tangent
        yield (a * at_student).sum(1)[:, None] - at_student @ b.T
        yield tangent + 0.25 * ot.dist(a, b)
    elif kind == "head_aware":
        yield ot.dist(a - a[:, [label]], b - b[:, [label]], metric="chebyshev")
    else:
        yield ot.dist(x, y, metric="sqeuclidean" if kind in ("w2", "cw2") else "euclidean")


def table(shape: tuple[int, int, int]) -> list[str]:
    """One line a row of the audit, the whole audit last, as Markdown."""
    n, d, classes = shape
    lines = [f"n = {n}, d = {d}, K = {classes}", ""]
    lines += [
        "| row | seconds | peak MiB | POT seconds | POT peak MiB | POT / ours |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    _, peak = measure(idle, None, shape)
    lines.append(f"| (pair) | | {peak:.0f} | | | |")
    for row in ROWS:
        (seconds, _), peak = measure(ours, row.name, shape)
        line = f"| {row.name} | {seconds:.2f} | {peak:.0f} |"
        if row.name.startswith(("T2", "T5")):
            (pot_seconds, _), pot_peak = measure(pot, row.name, shape)
            line += f" {pot_seconds:.2f} | {pot_peak:.0f} | {pot_seconds / seconds:.1f} |"
        else:
            line += " | | |"
        print(line, flush=True)
        lines.append(line)
    (seconds, _), peak = measure(ours, None, shape)
    lines.append(f"| **whole audit** | **{seconds:.2f}** | **{peak:.0f}** | | | |")
    print(lines[-1], flush=True)
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=10_000)
    parser.add_argument("--d", type=int, default=512)
    parser.add_argument("--classes", type=int, nargs="+", default=[10, 100])
    parser.add_argument("--save", type=Path)
    options = parser.parse_args()
    libraries = ", ".join(f"{name} {version(name)}" for name in ("kd2m-theory", "numpy", "scipy", "POT"))
    lines = [
        "# Audit at the size of CIFAR's test sets",
        "",
        "`python validation/benchmarks/audit_scale.py --save validation/benchmarks/audit_scale.md`",
        "",
        f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}, {libraries}",
    ]
    for classes in options.classes:
        print(f"n = {options.n}, d = {options.d}, K = {classes}", flush=True)
        lines += ["", *table((options.n, options.d, classes))]
    save(options.save, lines)


if __name__ == "__main__":
    main()
