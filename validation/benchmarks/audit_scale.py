"""Seconds of every row of an audit at the size of CIFAR's test sets, seconds and peak memory of the whole, beside plain POT.

    python validation/benchmarks/audit_scale.py [--n 10000] [--d 512] [--classes 10 100] [--save NAME.json]

Features are synthetic and class-structured (no download): the teacher's classes are Gaussian clouds, the student sees them
through noise and a slight shrinkage. Whole audits run in fresh processes, so that peak memory is their own; a row's seconds
are those of the audit with the problems on the whole cloud (T3, T4), distances that it shares with others included. POT's
column is `ot.emd2` on `ot.dist` class by class, for the same distance, in a process of its own.
"""

import time
from collections.abc import Iterator

import numpy as np
from harness import command_line, environment, measure, save, shown

from kd2m_theory import Pair
from kd2m_theory.reporting.report import audit
from kd2m_theory.validation.benchmark_tables import BenchmarkTable, Column, Record

SEED = 20250402
# Distance of class centres at which the teacher errs on about 3 % and the student on about 10 %, up to and beyond 10 classes.
SPREAD = (2.8, 3.6)
WHOLE = (Column("audit"), Column("time", "s", ".1f"), Column("peak memory", "MiB", ".0f"))
ROWS = (Column("row"), Column("time", "s", ".2f"), Column("POT time", "s", ".2f"), Column("POT / ours", format=".1f"))


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


def tables(shape: tuple[int, int, int]) -> Iterator[BenchmarkTable]:
    """The whole audits first, then each of their rows."""
    n, d, classes = shape
    setting = {"n": n, "d": d, "K": classes}
    print(setting, flush=True)
    _, own = measure(idle, False, shape)
    (short, _), short_peak = measure(ours, False, shape)
    (long, rows), long_peak = measure(ours, True, shape)
    audits: list[Record] = [
        {"audit": "(the pair alone)", "time": None, "peak memory": own},
        {"audit": "without the problems on the whole cloud", "time": short, "peak memory": short_peak},
        {"audit": "with them (T3, T4)", "time": long, "peak memory": long_peak},
    ]
    yield BenchmarkTable("whole audit", WHOLE, shown(WHOLE, audits), setting)
    yield BenchmarkTable("rows", ROWS, shown(ROWS, beside_pot(rows, shape)), setting)


def beside_pot(rows: dict[str, float], shape: tuple[int, int, int]) -> Iterator[Record]:
    """Every row, beside POT where it computes the same distance."""
    for name, seconds in rows.items():
        theirs = measure(pot, name, shape)[0] if name.startswith("T2") else None
        yield {
            "row": name,
            "time": seconds,
            "POT time": theirs,
            "POT / ours": None if theirs is None else theirs / seconds,
        }


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("--n", type=int, default=10_000)
    parser.add_argument("--d", type=int, default=512)
    parser.add_argument("--classes", type=int, nargs="+", default=[10, 100])
    options = parser.parse_args()
    found = [table for classes in options.classes for table in tables((options.n, options.d, classes))]
    save(
        options.save,
        title="Audit at the size of CIFAR's test sets",
        environment=environment("numpy", "scipy", "POT"),
        tables=found,
    )


if __name__ == "__main__":
    main()
