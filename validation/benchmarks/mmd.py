"""Seconds and peak memory of the MMD of two large clouds, beside the matrix products that nobody gets around.

    python validation/benchmarks/mmd.py [--n 20000] [--d 512] [--rounds 3] [--permutations 0] [--save FILE]

The floor is x xᵀ, x yᵀ and y yᵀ in float64, in strips that are thrown away. Floor and MMD take turns in one process, so that
both see the same machine; the peak of a fresh process with the MMD alone is measured beside that of the data alone.
"""

import argparse
import os
import platform
import resource
import time
from multiprocessing import get_context
from pathlib import Path
from statistics import median

import numpy as np
from harness import versions

from kd2m_theory.estimators.kernel_distances import mmd
from kd2m_theory.estimators.kernels import RBF

SEED = 20250402
STRIP = 2048


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=20_000)
    parser.add_argument("--d", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--permutations", type=int, default=0)
    parser.add_argument("--save", type=Path)
    options = parser.parse_args()
    lines = [
        "# MMD of two large clouds",
        "",
        "`python validation/benchmarks/mmd.py --save validation/benchmarks/mmd.md`",
        "",
        f"{os.cpu_count()} cores, {platform.machine()}, {versions('numpy')}",
        "",
        f"n = m = {options.n}, d = {options.d}, RBF, V-statistic with interval, {options.permutations} permutations",
        "",
        "| round | three products, seconds | MMD, seconds | MMD / products |",
        "|---|---:|---:|---:|",
    ]
    # A fresh process each: ru_maxrss never comes down again.
    with get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        memory = [pool.apply(peak, (options.n, options.d, options.permutations, idle)) for idle in (True, False)]
    x, y = make_clouds(options.n, options.d)
    ratios = []
    for round_ in range(1, options.rounds + 1):
        products, seconds = floor(x, y), ours(x, y, options.permutations)
        ratios.append(seconds / products)
        lines.append(f"| {round_} | {products:.2f} | {seconds:.2f} | {ratios[-1]:.2f} |")
        print(lines[-1], flush=True)
    lines += [
        "",
        f"Median ratio {median(ratios):.2f}. Peak memory {memory[1]:.0f} MiB, of which {memory[0]:.0f} MiB for the data alone.",
    ]
    print(lines[-1])
    if options.save:
        options.save.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
