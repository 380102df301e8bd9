"""Exact W₂ with its certificate beside peers, and what no peer does: large clouds, weights, a million points on the line.

    python validation/benchmarks/transport.py [--save NAME.json] [--minutes M] [--n 1000 2000 …] [--peers 10000] [--again]

Every measurement runs in a process of its own, with a limit on memory and time, and is written to the file as soon as it is
there. The same command continues where the last one stopped, as long as machine and versions are the same; `--minutes` says
when to begin no further one. Peers that are not installed are reported as such (`pip install 'kd2m-theory[benchmark]'`).

Clouds are features of a teacher and of a student, in d dimensions: classes at random centres, and either other inputs for each
("independent") or the same ("same inputs"). Peers, on independent clouds of 10 classes with equal weights, costs included:

- POT: `ot.emd2(a, b, ot.dist(x, y))` with a cap that it does not reach;
- SciPy: `linear_sum_assignment(cdist(x, y, "sqeuclidean"))`;
- OR-Tools: `SimpleLinearSumAssignment`, on costs in whole numbers, of which the largest is 2³⁰;
- GeomLoss: `SamplesLoss("sinkhorn", p=2)` in float32 with its defaults (blur 0.05): no exact value, so its error counts;
- halving: a coupling in the manner of HiRef (both clouds are halved by couplings of rank 2 until 512 points are left, which are
  matched exactly), written plainly here: an upper bound, so its error counts.
"""

import argparse
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
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
from numpy.typing import NDArray

from kd2m_theory.errors import InputError
from kd2m_theory.estimators import wasserstein
from kd2m_theory.validation.benchmark_tables import Benchmark, BenchmarkTable, Column, Record

SEED = 20250402
EXACT = (
    Column("n", format="d"),
    Column("d", format="d"),
    Column("time", "s", ".2f"),
    Column("peak memory", "MiB", ".0f"),
    Column("relative gap", format=".0e"),
    Column("POT time", "s", ".2f"),
    Column("POT peak memory", "MiB", ".0f"),
    Column("POT / ours", format=".1f"),
    Column("relative difference", format=".0e"),
)
MEASURED = (
    Column("problem"),
    Column("method"),
    Column("n", format="d"),
    Column("m", format="d"),
    Column("d", format="d"),
    Column("seed", format="d"),
    Column("time", "s", ".2f"),
    Column("CPU time", "s", ".2f"),
    Column("peak memory", "MiB", ".0f"),
    Column("distance", format=".9g"),
    Column("relative gap", format=".0e"),
    Column("time / ours", format=".1f"),
    Column("relative error", format=".0e"),
    Column("remark"),
)
GROWTH = (
    Column("method"),
    Column("d", format="d"),
    Column("sizes"),
    Column("exponent of time", format=".2f"),
    Column("exponent of peak memory", format=".2f"),
)
MAIN = "W₂, 10 classes, independent"
SIZES = (1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000)
# Points of the last level of halvings, and rounds of each.
_LEAVES, _HALVINGS = 512, 10
_LARGEST_COST = 2**30

Cloud = NDArray[np.float64]


@dataclass(frozen=True)
class Case:
    """One measurement.

    Attributes:
        problem: of `PROBLEMS`.
        method: "ours", or of `PEERS`.
        n: points of the first cloud.
        m: points of the second.
        d: dimensions.
        seed: of the clouds.
    """

    problem: str
    method: str
    n: int
    m: int
    d: int
    seed: int = SEED

    @property
    def guess(self) -> float:
        """What comes first: the smallest work, and ours before peers."""
        exponent = {"ours": 2.0, "halving": 2.0, "GeomLoss": 2.1}.get(self.method, 2.4)
        return (1 if self.d == 1 else self.d) * float(max(self.n, self.m)) ** exponent


Clouds = tuple[Cloud, Cloud, Cloud | None, Cloud | None]


def classes(n: int, d: int, count: int, same: bool, seed: int) -> Clouds:
    """Features of a teacher and of a student around the centres of classes."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(count, d))
    labels = rng.integers(0, count, n)
    noise = rng.normal(size=(n, d))
    x = centres[labels] + noise
    if not same:
        labels, noise = rng.integers(0, count, n), rng.normal(size=(n, d))
    return x, centres[labels] + 0.7 * noise + 0.8 * rng.normal(size=(n, d)), None, None


def weighted(n: int, m: int, d: int, seed: int) -> Clouds:
    """Clouds of two sizes with weights of exponential variables."""
    rng = np.random.default_rng(seed)
    (x, _, _, _), (_, y, _, _) = classes(n, d, 10, False, seed), classes(m, d, 10, False, seed)
    a, b = rng.exponential(size=n), rng.exponential(size=m)
    return x, y, a / a.sum(), b / b.sum()


def on_the_line(n: int, seed: int) -> Clouds:
    """Two laws on the line."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 1)), rng.exponential(size=(n, 1)), None, None


# The order p, and the clouds of a case.
PROBLEMS: dict[str, tuple[int, Callable[[Case], Clouds]]] = {
    MAIN: (2, lambda case: classes(case.n, case.d, 10, False, case.seed)),
    "W₂, 10 classes, same inputs": (2, lambda case: classes(case.n, case.d, 10, True, case.seed)),
    "W₂, 1,000 classes, independent": (2, lambda case: classes(case.n, case.d, 1000, False, case.seed)),
    "W₂, 1,000 classes, same inputs": (2, lambda case: classes(case.n, case.d, 1000, True, case.seed)),
    "W₁, weights, n ≠ m": (1, lambda case: weighted(case.n, case.m, case.d, case.seed)),
    "W₂ on the line": (2, lambda case: on_the_line(case.n, case.seed)),
}


def _ours(x: Cloud, y: Cloud, a: Cloud | None, b: Cloud | None, p: int) -> Answer:
    found = wasserstein(x, y, p, weights_x=a, weights_y=b)
    remark = "" if found.status == "optimal" else f"{found.status}: {found.method}"
    return {"distance": found.value, "relative gap": found.relative_gap, "remark": remark}


def _pot(x: Cloud, y: Cloud) -> Answer:
    import ot

    uniform = np.full(len(x), 1.0 / len(x))
    return {"distance": math.sqrt(ot.emd2(uniform, uniform, ot.dist(x, y), numItermax=1_000_000_000))}


def _scipy(x: Cloud, y: Cloud) -> Answer:
    from scipy.optimize import linear_sum_assignment
    from scipy.spatial.distance import cdist

    costs = cdist(x, y, "sqeuclidean")
    return {"distance": math.sqrt(costs[linear_sum_assignment(costs)].mean())}


def _ortools(x: Cloud, y: Cloud) -> Answer:
    from ortools.graph.python.linear_sum_assignment import SimpleLinearSumAssignment
    from scipy.spatial.distance import cdist

    costs = cdist(x, y, "sqeuclidean")
    whole = np.rint(costs * (_LARGEST_COST / costs.max())).astype(np.int64)
    n = len(x)
    solver = SimpleLinearSumAssignment()
    solver.add_arcs_with_cost(
        np.repeat(np.arange(n, dtype=np.int32), n), np.tile(np.arange(n, dtype=np.int32), n), whole.ravel()
    )
    if solver.solve() != solver.OPTIMAL:
        return {"remark": "it found no optimum"}
    columns = [solver.right_mate(row) for row in range(n)]
    return {"distance": math.sqrt(costs[np.arange(n), columns].mean())}


def _geomloss(x: Cloud, y: Cloud) -> Answer:
    import torch
    from geomloss import SamplesLoss

    loss = SamplesLoss("sinkhorn", p=2, backend="tensorized")
    half = float(loss(torch.as_tensor(x, dtype=torch.float32), torch.as_tensor(y, dtype=torch.float32)))
    return {"distance": math.sqrt(max(0.0, 2 * half))}  # its cost is half of the square


def _halving(x: Cloud, y: Cloud) -> Answer:
    from scipy.optimize import linear_sum_assignment
    from scipy.spatial.distance import cdist

    parts, total = [(np.arange(len(x)), np.arange(len(y)))], 0.0
    while parts:
        rows, columns = parts.pop()
        if len(rows) > _LEAVES:
            parts += _halves(x, y, rows, columns)
            continue
        costs = cdist(x[rows], y[columns], "sqeuclidean")
        total += float(costs[linear_sum_assignment(costs)].sum())
    return {"distance": math.sqrt(total / len(x))}


Indices = NDArray[np.int64]


def _halves(x: Cloud, y: Cloud, rows: Indices, columns: Indices) -> list[tuple[Indices, Indices]]:
    """Both halved so that a coupling of halves is cheap: each side in turn, by the difference of the other's means."""
    first, second = x[rows], y[columns]
    middle = len(rows) // 2
    spread = second - second.mean(axis=0)
    direction = spread[int(np.einsum("ij,ij->i", spread, spread).argmax())]
    for _ in range(_HALVINGS):
        of_x = np.argsort(first @ direction)
        direction = first[of_x[middle:]].mean(axis=0) - first[of_x[:middle]].mean(axis=0)
        of_y = np.argsort(second @ direction)
        direction = second[of_y[middle:]].mean(axis=0) - second[of_y[:middle]].mean(axis=0)
    return [(rows[of_x[part]], columns[of_y[part]]) for part in (slice(middle), slice(middle, None))]


# Module that a peer needs, and what it does.
PEERS: dict[str, tuple[str, Callable[[Cloud, Cloud], Answer]]] = {
    "POT": ("ot", _pot),
    "SciPy": ("scipy", _scipy),
    "OR-Tools": ("ortools", _ortools),
    "GeomLoss": ("geomloss", _geomloss),
    "halving": ("scipy", _halving),
}


def run(case: Case, limits: Limits) -> Answer:
    """Seconds of one case, of the clock and of the CPU, and what the method found; in a process of its own."""
    import ot  # noqa: F401  # libraries count neither as time nor against the limit
    import torch  # noqa: F401

    p, clouds = PROBLEMS[case.problem]
    x, y, a, b = clouds(case)
    few = slice(8)
    if case.method != "ours":
        PEERS[case.method][1](x[few], y[few])
    else:
        _ours(x[few], y[few], None, None, p)
    return within(limits, lambda: PEERS[case.method][1](x, y) if case.method != "ours" else _ours(x, y, a, b, p))


def measured(case: Case, limits: Limits) -> Record:
    """A record without what needs the others."""
    nothing = {column.name: None if column.format else "" for column in MEASURED}
    record: dict[str, Any] = nothing | asdict(case)
    if case.method != "ours" and find_spec(PEERS[case.method][0]) is None:
        return record | {"remark": "not installed"}
    return record | measured_within(limits, run, case)


def cases(sizes: Sequence[int], d: int, most_of_peers: int) -> list[Case]:
    """All measurements, those that take least first."""
    found = [Case(MAIN, "ours", n, n, d) for n in sizes]
    found += [Case(MAIN, peer, n, n, d) for n in sizes if n <= most_of_peers for peer in PEERS]
    found += [Case(problem, "ours", n, n, d) for problem in list(PROBLEMS)[1:4] for n in (10_000, 50_000) if n in sizes]
    found += [Case(MAIN, "ours", n, n, d, SEED + more) for n in (50_000,) if n in sizes for more in range(1, 5)]
    found += [Case("W₁, weights, n ≠ m", "ours", n, 3 * n // 4, d) for n in (20_000,) if n in sizes]
    found += [Case("W₂ on the line", "ours", n, n, 1) for n in (1_000_000,) if max(sizes) >= 10_000]
    return sorted(found, key=lambda case: case.guess)


def compared(records: Iterable[Record]) -> list[Record]:
    """The records, those of peers with their time and distance beside ours."""
    records = list(records)
    ours = {_key(record): record for record in records if record["method"] == "ours" and record["time"]}
    found = []
    for record in records:
        own, ratio, error = ours.get(_key(record)), None, None
        if record["method"] != "ours" and own is not None and record["time"]:
            ratio = record["time"] / own["time"]
            error = abs(record["distance"] - own["distance"]) / own["distance"]
        found.append({**record, "time / ours": ratio, "relative error": error})
    return found


def _key(record: Record) -> tuple[Any, ...]:
    return tuple(record[name] for name in ("problem", "n", "m", "d", "seed"))


def exact(records: Iterable[Record]) -> list[Record]:
    """Ours beside POT by size, on the first seed."""
    records = [each for each in records if each["problem"] == MAIN and each["seed"] == SEED and each["time"]]
    pot = {(each["n"], each["d"]): each for each in records if each["method"] == "POT"}
    found = []
    for own in sorted((each for each in records if each["method"] == "ours"), key=lambda each: (each["n"], each["d"])):
        peer: Record = pot.get((own["n"], own["d"]), {})
        record = {name: own[name] for name in ("n", "d", "time", "peak memory", "relative gap")}
        record |= {"POT time": peer.get("time"), "POT peak memory": peer.get("peak memory")}
        found.append(record | {"POT / ours": peer.get("time / ours"), "relative difference": peer.get("relative error")})
    return found


def growth(records: Iterable[Record]) -> Iterator[Record]:
    """By which power of n time and peak memory grow, by least squares on logarithms, on the first seed."""
    records = [each for each in records if each["problem"] == MAIN and each["seed"] == SEED and each["time"]]
    for method, d in itertools.product(("ours", *PEERS), sorted({each["d"] for each in records})):
        one = sorted((each for each in records if (each["method"], each["d"]) == (method, d)), key=lambda each: each["n"])
        sizes = [each["n"] for each in one]
        if len(set(sizes)) < 2:
            continue
        slopes = [float(np.polyfit(np.log(sizes), np.log([each[name] for each in one]), 1)[0]) for name in _GROWING]
        about = {"method": method, "d": d, "sizes": f"{sizes[0]:,} to {sizes[-1]:,}"}
        yield about | dict(zip(("exponent of time", "exponent of peak memory"), slopes, strict=True))


_GROWING = ("time", "peak memory")


def tables(records: Iterable[Record]) -> list[BenchmarkTable]:
    """What the file holds of these measurements."""
    order = {problem: place for place, problem in enumerate(PROBLEMS)}
    records = sorted(compared(records), key=lambda each: (order[each["problem"]], each["n"], each["d"], each["seed"]))
    return [
        BenchmarkTable("exact W₂", EXACT, exact(records), {"problem": MAIN}),
        BenchmarkTable("growth", GROWTH, list(growth(records)), {"problem": MAIN}),
        BenchmarkTable("measurements", MEASURED, records),
    ]


def records(benchmark: Benchmark) -> list[Record]:
    """The measurements that a file holds."""
    return [dict(record) for table in benchmark.titled("measurements") for record in table.records]


def main() -> None:
    parser = resumable(__doc__)
    parser.add_argument("--n", type=int, nargs="+", default=list(SIZES), help="sizes")
    parser.add_argument("--d", type=int, default=512, help="dimensions; 512 if not given")
    parser.add_argument("--peers", type=int, default=10_000, metavar="N", help="largest size for peers; 10,000 if not given")
    chosen = parser.parse_args()
    try:
        _run(chosen)
    except InputError as error:
        raise SystemExit(f"transport.py: {error}") from None


def _run(chosen: argparse.Namespace) -> None:
    libraries = ["numpy", "scipy", "torch", "POT"]
    libraries += [name for name, module in (("ortools", "ortools"), ("geomloss", "geomloss")) if find_spec(module)]
    kept = Kept(
        chosen.save,
        chosen.again,
        name="transport",
        title="Exact W2 with certificate beside peers",
        environment=environment(*libraries, threads=threads()),
        tables=tables,
        records=records,
        note="a peer that gives no exact value has an error; what is above the limits of memory or time has a remark",
    )
    keep_measuring(
        kept,
        cases(chosen.n, chosen.d, chosen.peers),
        chosen.minutes,
        MEASURED,
        measured=lambda case: measured(case, chosen_limits(chosen)),
        last=lambda: compared(kept.records)[-1],
    )


if __name__ == "__main__":
    main()
