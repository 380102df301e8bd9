"""Gaussian W₂ with full covariances against the route through SciPy's matrix square roots.

python validation/benchmarks/gaussian.py [--n 10000] [--d 2048] [--save NAME.json]
"""

import time
import warnings
from collections.abc import Iterator

import numpy as np
from harness import command_line, environment, measure, save, shown
from scipy.linalg import sqrtm

from kd2m_theory.estimators.gaussian import gaussian_wasserstein
from kd2m_theory.validation.benchmark_tables import BenchmarkTable, Column, Record

COLUMNS = (
    Column("clouds"),
    Column("time", "s", ".1f"),
    Column("peak memory", "MiB", ".0f"),
    Column("value", format=".9g"),
    Column("sqrtm time", "s", ".1f"),
    Column("sqrtm peak memory", "MiB", ".0f"),
    Column("sqrtm value", format=".9g"),
    Column("sqrtm / ours", format=".1f"),
)


def clouds(n: int, d: int, dead: bool) -> tuple[np.ndarray, np.ndarray]:
    """Two correlated clouds; with `dead`, a ReLU's constant and duplicated columns make the covariances singular."""
    rng = np.random.default_rng(20250402)
    mix = rng.normal(size=(d, d)) / np.sqrt(d)
    x, y = rng.normal(size=(n, d)) @ mix, 0.3 + rng.normal(size=(n, d)) @ mix * 1.2
    if dead:
        for cloud in (x, y):
            cloud[:, : d // 8] = 0.0
            cloud[:, d // 8 : d // 4] = cloud[:, d // 4 : d // 4 + d // 8]
    return x, y


def ours(n: int, d: int, dead: bool) -> tuple[float, float]:
    x, y = clouds(n, d, dead)
    start = time.perf_counter()
    value = gaussian_wasserstein(x, y).value
    return time.perf_counter() - start, value


def route(n: int, d: int, dead: bool) -> tuple[float, float]:
    x, y = clouds(n, d, dead)
    warnings.simplefilter("ignore")
    start = time.perf_counter()
    first, second = np.cov(x.T, bias=True), np.cov(y.T, bias=True)
    root = sqrtm(first)
    cross = sqrtm(root @ second @ root)
    square = np.square(x.mean(0) - y.mean(0)).sum() + np.trace(first) + np.trace(second) - 2 * np.trace(cross).real
    return time.perf_counter() - start, float(np.sqrt(square))


def rows(n: int, d: int) -> Iterator[Record]:
    """Ours, then SciPy's route, on each kind of clouds."""
    for name, dead in (("full rank", False), ("dead and duplicated columns", True)):
        (seconds, value), peak = measure(ours, n, d, dead)
        (other, other_value), other_peak = measure(route, n, d, dead)
        yield {
            "clouds": name,
            "time": seconds,
            "peak memory": peak,
            "value": value,
            "sqrtm time": other,
            "sqrtm peak memory": other_peak,
            "sqrtm value": other_value,
            "sqrtm / ours": other / seconds,
        }


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("--n", type=int, default=10_000)
    parser.add_argument("--d", type=int, default=2048)
    options = parser.parse_args()
    found = shown(COLUMNS, rows(options.n, options.d))
    save(
        options.save,
        title="Gaussian W2, full covariances",
        environment=environment("numpy", "scipy"),
        setting={"n": options.n, "d": options.d},
        tables=[BenchmarkTable("Gaussian W₂", COLUMNS, found)],
    )


if __name__ == "__main__":
    main()
