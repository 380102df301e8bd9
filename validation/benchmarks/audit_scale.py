"""Audits at the sizes that people have: seconds, CPU and peak memory of the whole, the dearest rows, and T2 beside plain POT.

    python validation/benchmarks/audit_scale.py [--save NAME.json] [--minutes M] [--only AUDIT …] [--at-most N] [--again]

Every audit runs in a process of its own, with a limit on memory and time, and is written to the file as soon as it is there.
The same command continues where the last one stopped, as long as machine and versions are the same; `--minutes` says when to
begin no further one. Pairs are synthetic (no download): see `kd2m_theory.validation.evidence.sizes`, whose goals stand beside.
`--at-most` tries everything on fewer samples.

A peak is that of the process, the pair and the libraries included. A row's seconds include the distances that it shares with
others. POT's are those of `ot.emd2` on `ot.dist` class by class, for the same distances, in one process for all rows.
"""

import argparse
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from harness import (
    Answer,
    Kept,
    Limits,
    chosen_limits,
    environment,
    keep_measuring,
    measured_within,
    resumable,
    threads,
    within,
)

from kd2m_theory import Pair
from kd2m_theory.bounds.result import BoundResult
from kd2m_theory.errors import InputError
from kd2m_theory.validation.benchmark_tables import Benchmark, BenchmarkTable, Column, Record
from kd2m_theory.validation.evidence.sizes import GOALS, Size, make_pair

SEED = 20250402
AUDITS = (
    Column("audit"),
    Column("method"),
    Column("n", format="d"),
    Column("d", format="d"),
    Column("K", format="d"),
    Column("time", "s", ".1f"),
    Column("goal of time", "s", ".0f"),
    Column("CPU time", "s", ".1f"),
    Column("peak memory", "MiB", ".0f"),
    Column("goal of memory", "MiB", ".0f"),
    Column("rows with a number", format="d"),
    Column("rows violated", format="d"),
    Column("remark"),
)
DEAREST = (Column("audit"), Column("n", format="d"), Column("row"), Column("time", "s", ".2f"))
ROWS = (Column("row"), Column("time", "s", ".2f"), Column("POT time", "s", ".2f"), Column("POT / ours", format=".1f"))
OURS, POT = "ours", "POT, rows T2"
# Audits by name, those that take least first: those with goals, one that POT is compared with, and one that is only measured.
SIZES: Mapping[str, Size] = {
    "CIFAR-100": Size(n=10_000, d=512, classes=100),
    **GOALS,
    "a vocabulary of 128,000": Size(n=2000, d=256, classes=128_000, zipf=True),
}
BESIDE_POT = ("CIFAR-10", "CIFAR-100")
# Distances of classes that POT also computes.
COMPARED = (
    "T2.head_aware",
    "T2.class_lipschitz",
    "T2.lipschitz",
    "T2.spectral",
    "T2.w2",
    "T2.cw2",
    "T2.logits.head_aware",
    "T2.logits.lipschitz",
    "T2.logits.w2",
    "T2.logits.cw2",
)
# Dearest rows that are kept.
_MOST = 5


@dataclass(frozen=True)
class Case:
    """One measurement.

    Attributes:
        audit: of `SIZES`.
        method: `OURS` or `POT`.
        n: samples.
    """

    audit: str
    method: str
    n: int

    @property
    def pair(self) -> Pair:
        """The pair that is audited."""
        return make_pair(replace(SIZES[self.audit], n=self.n), np.random.default_rng(SEED))


def ours(case: Case, pair: Pair) -> Answer:
    """An audit, and the seconds of its rows: of the dearest, and of those that POT is compared with."""
    report = SIZES[case.audit].audit(pair)
    rows = [row for row in report.rows if row.applicable]
    kept = [*dearest(rows), *(row for row in rows if case.audit in BESIDE_POT and row.name in COMPARED)]
    without = [row.name for row in report.rows if "there is not enough memory" in row.why] + list(report.left_out)
    return {
        "rows with a number": len(rows),
        "rows violated": len(report.violations),
        "seconds": {row.name: row.seconds for row in kept},
        "remark": f"no memory for {', '.join(without)}" if without else "",
    }


def dearest(rows: Iterable[BoundResult]) -> list[BoundResult]:
    """The rows that take longest, of those that rest on the same distances the first."""
    found: list[BoundResult] = []
    for row in sorted(rows, key=lambda row: -row.seconds):
        if not (row.distances and any(list(row.distances.values()) == list(other.distances.values()) for other in found)):
            found.append(row)
    return found[:_MOST]


def pot(pair: Pair) -> Answer:
    """POT's distances of the T2 rows."""
    return {"seconds": {name: _pot(name, pair) for name in COMPARED}}


def _pot(name: str, pair: Pair) -> float:
    """Seconds of `ot.emd2` on the distance of a T2 row, class by class."""
    import ot

    on_logits = "logits" in name
    teacher, student = pair.apply_head(pair.features_teacher), pair.apply_head(pair.features_student)
    if on_logits:
        student = np.asarray(pair.logits_student, dtype=np.float64)
    kind = name.rsplit(".", 1)[-1]
    start = time.perf_counter()
    for label in range(pair.classes):
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


def run(case: Case, limits: Limits) -> Answer:
    """One measurement, in a process of its own."""
    few = Case("CIFAR-10", OURS, 2 * SIZES["CIFAR-10"].classes)
    ours(few, few.pair)  # libraries that it loads count neither as time nor against the limit
    pair = case.pair
    return within(limits, lambda: ours(case, pair) if case.method == OURS else pot(pair))


def measured(case: Case, limits: Limits) -> Record:
    """The record of a measurement."""
    size = SIZES[case.audit]
    record: dict[str, Any] = {column.name: None if column.format else "" for column in AUDITS}
    record |= {**asdict(case), "d": size.d or None, "K": size.classes, "seconds": {}}
    if (case.method, case.n) == (OURS, size.n):  # goals are of that size
        record |= {"goal of time": size.seconds}
        record |= {"goal of memory": None if size.gigabytes is None else size.gigabytes * 1e9 / 2**20}
    return record | measured_within(limits, run, case)


def cases(names: Iterable[str], most: int | None = None) -> Iterator[Case]:
    """The measurements of some audits, on at most so many samples."""
    for name, size in SIZES.items():
        if name in names:
            for method in (OURS, POT) if name in BESIDE_POT else (OURS,):
                yield Case(name, method, size.n if most is None else min(size.n, most))


def tables(records: Sequence[Record]) -> list[BenchmarkTable]:
    """What the file holds: the audits, the dearest rows of each, and T2 beside POT."""
    order = {name: place for place, name in enumerate(SIZES)}
    records = sorted(records, key=lambda each: (order[each["audit"]], each["n"], each["method"] != OURS))
    names = [column.name for column in AUDITS]
    audits = [{name: each[name] for name in names} for each in records]
    dearest = [
        {"audit": each["audit"], "n": each["n"], "row": row, "time": seconds}
        for each in records
        if each["method"] == OURS
        for row, seconds in sorted(each["seconds"].items(), key=lambda item: -item[1])[:_MOST]
    ]
    return [BenchmarkTable("audits", AUDITS, audits), BenchmarkTable("dearest rows", DEAREST, dearest), *_beside_pot(records)]


def _beside_pot(records: Sequence[Record]) -> Iterator[BenchmarkTable]:
    by_case = {(each["audit"], each["n"], each["method"]): each for each in records}
    for (name, n, method), own in by_case.items():
        if name not in BESIDE_POT or method != OURS or not own["seconds"]:
            continue
        peer = by_case.get((name, n, POT), {"seconds": {}})["seconds"]
        rows = [
            {
                "row": row,
                "time": own["seconds"][row],
                "POT time": peer.get(row),
                "POT / ours": _ratio(peer, own["seconds"], row),
            }
            for row in COMPARED
        ]
        yield BenchmarkTable("rows", ROWS, rows, {"audit": name, "n": n, "d": own["d"], "K": own["K"]})


def _ratio(peer: Mapping[str, float], own: Mapping[str, float], row: str) -> float | None:
    return peer[row] / own[row] if row in peer else None


def records(benchmark: Benchmark) -> list[Record]:
    """The measurements that a file holds: the inverse of `tables`."""
    found = [{**record, "seconds": {}} for record in benchmark.titled("audits")[0].records]
    by_case = {(each["audit"], each["n"], each["method"]): each["seconds"] for each in found}
    for record in benchmark.titled("dearest rows")[0].records:
        by_case[record["audit"], record["n"], OURS][record["row"]] = record["time"]
    for table in benchmark.tables:
        if table.title == "rows":
            for record in table.records:
                for method, column in ((OURS, "time"), (POT, "POT time")):
                    if record[column] is not None:
                        by_case[table.chosen("audit"), table.chosen("n"), method][record["row"]] = record[column]
    return found


def main() -> None:
    parser = resumable(__doc__)
    parser.add_argument("--only", nargs="+", choices=SIZES, default=list(SIZES), metavar="AUDIT", help=f"of {', '.join(SIZES)}")
    parser.add_argument("--at-most", type=int, metavar="N", help="samples of an audit; as many as it has if not given")
    chosen = parser.parse_args()
    try:
        _run(chosen)
    except InputError as error:
        raise SystemExit(f"audit_scale.py: {error}") from None


def _run(chosen: argparse.Namespace) -> None:
    kept = Kept(
        chosen.save,
        chosen.again,
        name="audit_scale",
        title="Audits at the sizes that people have",
        environment=environment("numpy", "scipy", "torch", "POT", threads=threads()),
        tables=tables,
        records=records,
        note=(
            "peaks include the pair and the libraries; a row's time includes the distances that it shares with others; what is "
            "above the limits of memory or time has a remark"
        ),
    )
    keep_measuring(
        kept,
        cases(chosen.only, chosen.at_most),
        chosen.minutes,
        AUDITS,
        measured=lambda case: measured(case, chosen_limits(chosen)),
        last=lambda: kept.records[-1],
    )


if __name__ == "__main__":
    main()
