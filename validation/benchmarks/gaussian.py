"""Gaussian W₂ with full covariances against the route through SciPy's matrix square roots.

python validation/benchmarks/gaussian.py [--n 10000] [--d 2048] [--save FILE]
"""

import argparse
import os
import platform
import time
import warnings
from pathlib import Path

import numpy as np
from harness import measure, save, versions
from scipy.linalg import sqrtm

from kd2m_theory.estimators.gaussian import gaussian_wasserstein


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=10_000)
    parser.add_argument("--d", type=int, default=2048)
    parser.add_argument("--save", type=Path)
    options = parser.parse_args()
    lines = [
        "# Gaussian W2, full covariances",
        "",
        "`python validation/benchmarks/gaussian.py --save validation/benchmarks/gaussian.md`",
        "",
        f"{os.cpu_count()} cores, {platform.machine()}, {versions('numpy', 'scipy')}; n = {options.n}, d = {options.d}",
        "",
        "| clouds | seconds | peak MiB | value | sqrtm seconds | sqrtm peak MiB | sqrtm value | sqrtm / ours |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    print("\n".join(lines[-2:]), flush=True)
    for name, dead in (("full rank", False), ("dead and duplicated columns", True)):
        (seconds, value), peak = measure(ours, options.n, options.d, dead)
        (other, other_value), other_peak = measure(route, options.n, options.d, dead)
        lines.append(
            f"| {name} | {seconds:.1f} | {peak:.0f} | {value:.9g} | {other:.1f} | {other_peak:.0f} | {other_value:.9g} "
            f"| {other / seconds:.1f} |"
        )
        print(lines[-1], flush=True)
    save(options.save, lines)


if __name__ == "__main__":
    main()
