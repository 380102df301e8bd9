"""Seconds and peak memory of the MMD of two large clouds, beside the matrix products that nobody gets around.

    python validation/benchmarks/mmd.py [--n 20000] [--d 512] [--rounds 3] [--permutations 0] [--save NAME.json]

The floor is x xᵀ, x yᵀ and y yᵀ in float64, in strips that are thrown away. Floor and MMD take turns in one process, so that
both see the same machine; the peak of a fresh process with the MMD alone is measured beside that of the data alone.
"""

import resource
import time
from collections.abc import Iterator
from multiprocessing import get_context
from statistics import median

import numpy as np
from harness import command_line, environment, save, shown

from kd2m_theory.estimators.kernel_distances import mmd
from kd2m_theory.estimators.kernels import RBF
from kd2m_theory.validation.benchmark_tables import BenchmarkTable, Column, Record

SEED = 20250402
STRIP = 2048
COLUMNS = (
    Column("round", format="d"),
    Column("time", "s", ".2f"),
    Column("three products, time", "s", ".2f"),
    Column("MMD / products", format=".2f"),
)
SUMMARY = (
    Column("median of MMD / products", format=".2f"),
    Column("peak memory", "MiB", ".0f"),
    Column("of it, the data alone", "MiB", ".0f"),
)


def make_clouds(n: int, d: int) -> tuple[np.ndarray, np.ndarray]:
    """Two Gaussian clouds in float64, the second shifted a little."""
    rng = np.random.default_rng(SEED)
    return rng.normal(size=(n, d)), rng.normal(size=(n, d)) + 0.02


def floor(x: np.ndarray, y: np.ndarray) -> float:
    """Seconds of the three plain products."""
    start = time.perf_counter()
    for left, right in ((x, x), (x, y), (y, y)):
        for i in range(0, len(left), STRIP):
            left[i : i + STRIP] @ right.T
    return time.perf_counter() - start


def ours(x: np.ndarray, y: np.ndarray, permutations: int) -> float:
    """Seconds of the V-statistic with its interval, for an RBF kernel of about the median bandwidth."""
    start = time.perf_counter()
    mmd(x, y, RBF((2 * x.shape[1]) ** 0.5), delta=0.05, permutations=permutations)
    return time.perf_counter() - start


def peak(n: int, d: int, permutations: int, idle: bool) -> float:
    """Peak MiB of a process that makes the clouds and, unless idle, computes the MMD once."""
    x, y = make_clouds(n, d)
    if not idle:
        ours(x, y, permutations)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def rounds(n: int, d: int, count: int, permutations: int) -> Iterator[Record]:
    """Floor and MMD in turn."""
    x, y = make_clouds(n, d)
    for k in range(1, count + 1):
        products, seconds = floor(x, y), ours(x, y, permutations)
        yield {"round": k, "time": seconds, "three products, time": products, "MMD / products": seconds / products}


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("--n", type=int, default=20_000)
    parser.add_argument("--d", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--permutations", type=int, default=0)
    options = parser.parse_args()
    # A fresh process each: ru_maxrss never comes down again.
    with get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        data, whole = (pool.apply(peak, (options.n, options.d, options.permutations, idle)) for idle in (True, False))
    found = shown(COLUMNS, rounds(options.n, options.d, options.rounds, options.permutations))
    ratio = median(record["MMD / products"] for record in found)
    summary = {"median of MMD / products": ratio, "peak memory": whole, "of it, the data alone": data}
    save(
        options.save,
        title="MMD of two large clouds",
        environment=environment("numpy"),
        setting={"n = m": options.n, "d": options.d, "permutations": options.permutations},
        note="RBF, V-statistic with its interval",
        tables=[
            BenchmarkTable("time", COLUMNS, found),
            BenchmarkTable("memory", SUMMARY, shown(SUMMARY, [summary])),
        ],
    )


if __name__ == "__main__":
    main()
