"""Exact W₂ with its certificate against POT's `emd2`, in fresh processes of one run.

    python validation/benchmarks/transport.py [--n 2000 5000 10000] [--d 64 512] [--save FILE]

Equal weights; two Gaussian clouds of different scale and mean. POT's column is `ot.emd2(a, b, ot.dist(x, y))` with a cap
that it does not reach.
"""

import argparse
import os
import platform
import time
from pathlib import Path

import numpy as np
from harness import measure, save, versions

from kd2m_theory.estimators import wasserstein

SEED = 20250402


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, nargs="+", default=[2000, 5000, 10_000])
    parser.add_argument("--d", type=int, nargs="+", default=[64, 512])
    parser.add_argument("--save", type=Path)
    options = parser.parse_args()
    lines = [
        "# Exact W2 with certificate against POT",
        "",
        "`python validation/benchmarks/transport.py --save validation/benchmarks/transport.md`",
        "",
        f"{os.cpu_count()} cores, {platform.machine()}, {versions('numpy', 'scipy', 'POT')}",
        "",
        "| n | d | seconds | peak MiB | relative gap | POT seconds | POT peak MiB | POT / ours | difference |",
        "|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    print("\n".join(lines[-2:]), flush=True)
    for n in options.n:
        for d in options.d:
            (seconds, value, gap), peak = measure(ours, n, d)
            (pot_seconds, pot_value, _), pot_peak = measure(pot, n, d)
            lines.append(
                f"| {n} | {d} | {seconds:.2f} | {peak:.0f} | {gap:.0e} | {pot_seconds:.2f} | {pot_peak:.0f} "
                f"| {pot_seconds / seconds:.1f} | {abs(value - pot_value) / value:.0e} |"
            )
            print(lines[-1], flush=True)
    save(options.save, lines)


if __name__ == "__main__":
    main()
