"""Seconds of every row of an audit at the size of CIFAR's test sets, seconds and peak memory of the whole, beside plain POT.

    python validation/benchmarks/audit_scale.py [--n 10000] [--d 512] [--classes 10 100] [--save FILE]

Features are synthetic and class-structured (no download): the teacher's classes are Gaussian clouds, the student sees them
through noise and a slight shrinkage. Whole audits run in fresh processes, so that peak memory is their own; a row's seconds
are those of the audit with the problems on the whole cloud (T3, T4), distances that it shares with others included. POT's
column is `ot.emd2` on `ot.dist` class by class, for the same distance, in a process of its own.
"""

import argparse
import os
import platform
import time
from pathlib import Path

import numpy as np
from harness import measure, save, versions

from kd2m_theory import Pair
from kd2m_theory.reporting.report import audit

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


def ours(whole_cloud: bool, shape: tuple[int, int, int]) -> tuple[float, dict[str, float]]:
    """Seconds of an audit, and of each of its rows."""
    pair = make_pair(*shape)
    start = time.perf_counter()
    report = audit(pair, whole_cloud=whole_cloud, temperature=4.0)
    seconds = time.perf_counter() - start
    if report.violations:
        raise SystemExit(f"violated: {report.violations}")
    return seconds, {row.name: row.seconds for row in report.rows if row.applicable}


def idle(_whole_cloud: bool, shape: tuple[int, int, int]) -> tuple[float, dict[str, float]]:
    """Make the pair and nothing else."""
    make_pair(*shape)
    return 0.0, {}


def pot(name: str, shape: tuple[int, int, int]) -> float:
    """Seconds of `ot.emd2` on the distance of a T2 row, class by class."""
    import ot

    pair = make_pair(*shape)
    on_logits = "logits" in name
    teacher, student = pair.apply_head(pair.features_teacher), pair.apply_head(pair.features_student)
    if on_logits:
        student = pair.logits_student
    kind = name.rsplit(".", 1)[-1]
    start = time.perf_counter()
    for label in range(shape[2]):
        at = pair.labels == label
        uniform = np.full(at.sum(), 1.0 / at.sum())
        if kind == "head_aware":
            x, y = student[at], teacher[at]
            cost = ot.dist(x - x[:, [label]], y - y[:, [label]], metric="chebyshev")
        else:
            x, y = (student[at], teacher[at]) if on_logits else (pair.features_student[at], pair.features_teacher[at])
            cost = ot.dist(x, y, metric="sqeuclidean" if kind in ("w2", "cw2") else "euclidean")
        ot.emd2(uniform, uniform, cost, numItermax=10_000_000)
    return time.perf_counter() - start


def table(shape: tuple[int, int, int]) -> list[str]:
    """The whole audits first, then one line a row, as Markdown."""
    n, d, classes = shape
    _, own = measure(idle, False, shape)
    (short, _), short_peak = measure(ours, False, shape)
    (long, rows), long_peak = measure(ours, True, shape)
    lines = [
        f"n = {n}, d = {d}, K = {classes}",
        "",
        "| whole audit | seconds | peak MiB |",
        "|---|---:|---:|",
        f"| (the pair alone) | | {own:.0f} |",
        f"| without the problems on the whole cloud | {short:.1f} | {short_peak:.0f} |",
        f"| with them (T3, T4) | {long:.1f} | {long_peak:.0f} |",
        "",
        "| row | seconds | POT seconds | POT / ours |",
        "|---|---:|---:|---:|",
    ]
    print(*lines, sep="\n", flush=True)
    for name, seconds in rows.items():
        line = f"| {name} | {seconds:.2f} |"
        if name.startswith("T2"):
            theirs, _ = measure(pot, name, shape)
            line += f" {theirs:.2f} | {theirs / seconds:.1f} |"
        else:
            line += " | |"
        print(line, flush=True)
        lines.append(line)
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=10_000)
    parser.add_argument("--d", type=int, default=512)
    parser.add_argument("--classes", type=int, nargs="+", default=[10, 100])
    parser.add_argument("--save", type=Path)
    options = parser.parse_args()
    lines = [
        "# Audit at the size of CIFAR's test sets",
        "",
        "`python validation/benchmarks/audit_scale.py --save validation/benchmarks/audit_scale.md`",
        "",
        f"{os.cpu_count()} cores, {platform.machine()}, {versions('numpy', 'scipy', 'POT')}",
    ]
    for classes in options.classes:
        print(f"n = {options.n}, d = {options.d}, K = {classes}", flush=True)
        lines += ["", *table((options.n, options.d, classes))]
    save(options.save, lines)


if __name__ == "__main__":
    main()
