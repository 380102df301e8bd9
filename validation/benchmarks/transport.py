"""Exact W₂ with its certificate against POT's `emd2`, in fresh processes of one run.

    python validation/benchmarks/transport.py [--n 2000 5000 10000] [--d 64 512] [--save NAME.json]

Equal weights; two Gaussian clouds of different scale and mean. POT's column is `ot.emd2(a, b, ot.dist(x, y))` with a cap
that it does not reach.
"""

import time
from collections.abc import Iterable, Iterator

import numpy as np
from harness import command_line, environment, measure, save, shown

from kd2m_theory.estimators import wasserstein
from kd2m_theory.validation.benchmark_tables import BenchmarkTable, Column, Record

SEED = 20250402
COLUMNS = (
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


def clouds(n: int, d: int) -> tuple[np.ndarray, np.ndarray]:
    """Two clouds of n points in d dimensions."""
    rng = np.random.default_rng(SEED)
    return rng.normal(size=(n, d)), 0.2 + 1.1 * rng.normal(size=(n, d))


def ours(n: int, d: int) -> tuple[float, float, float]:
    """Seconds, distance, and relative certificate gap."""
    import ot  # noqa: F401  # loaded by the first problem that needs it; not a part of the second

    x, y = clouds(n, d)
    start = time.perf_counter()
    distance = wasserstein(x, y, 2)
    return time.perf_counter() - start, distance.value, distance.relative_gap


def pot(n: int, d: int) -> tuple[float, float, float]:
    """Seconds and distance; POT has no certificate."""
    import ot

    x, y = clouds(n, d)
    uniform = np.full(n, 1.0 / n)
    start = time.perf_counter()
    value = float(np.sqrt(ot.emd2(uniform, uniform, ot.dist(x, y), numItermax=100_000_000)))
    return time.perf_counter() - start, value, np.nan


def rows(sizes: Iterable[int], dimensions: Iterable[int]) -> Iterator[Record]:
    """Ours, then POT, at every size and dimension."""
    for n in sizes:
        for d in dimensions:
            (seconds, value, gap), peak = measure(ours, n, d)
            (pot_seconds, pot_value, _), pot_peak = measure(pot, n, d)
            yield {
                "n": n,
                "d": d,
                "time": seconds,
                "peak memory": peak,
                "relative gap": gap,
                "POT time": pot_seconds,
                "POT peak memory": pot_peak,
                "POT / ours": pot_seconds / seconds,
                "relative difference": abs(value - pot_value) / value,
            }


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("--n", type=int, nargs="+", default=[2000, 5000, 10_000])
    parser.add_argument("--d", type=int, nargs="+", default=[64, 512])
    options = parser.parse_args()
    found = shown(COLUMNS, rows(options.n, options.d))
    save(
        options.save,
        title="Exact W2 with certificate against POT",
        environment=environment("numpy", "scipy", "POT"),
        tables=[BenchmarkTable("exact W₂", COLUMNS, found)],
    )


if __name__ == "__main__":
    main()
