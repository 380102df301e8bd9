"""One training step's loss, forward and backward, against the same loss written plainly with POT and torch.

    python validation/benchmarks/losses.py [--n 128 512 1024] [--d 512] [--save FILE]

float32 batches of ten classes on the CPU; median of several calls, ours and theirs in turn in one process.
"""

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import ot
import torch
from harness import save, versions
from torch import Tensor

from kd2m_theory.estimators.gaussian_torch import squared_gaussian_w2
from kd2m_theory.estimators.kernel_losses import squared_mmd
from kd2m_theory.estimators.kernels import RBF
from kd2m_theory.estimators.transport_losses import squared_cw2, squared_w2

CLASSES = 10


def plain_w2(x: Tensor, y: Tensor) -> Tensor:
    costs = torch.cdist(x, y).square()
    uniform = [np.full(len(batch), 1.0 / len(batch)) for batch in (x, y)]
    plan = ot.emd(*uniform, costs.detach().double().numpy(), numItermax=10_000_000)
    return (torch.from_numpy(plan).to(costs) * costs).sum()


def plain_cw2(x: Tensor, y: Tensor, labels: Tensor) -> Tensor:
    return torch.stack([plain_w2(x[labels == c], y[labels == c]) for c in labels.unique()]).mean()


def plain_mmd(x: Tensor, y: Tensor, bandwidth: float) -> Tensor:
    def mean(a: Tensor, b: Tensor) -> Tensor:
        return torch.exp(-torch.cdist(a, b).square() / (2 * bandwidth**2)).mean()

    return mean(x, x) + mean(y, y) - 2 * mean(x, y)


def plain_gaussian(x: Tensor, y: Tensor) -> Tensor:
    # POT's covariances carry a ridge, without which its square roots have no gradient when n < d.
    return ot.gaussian.empirical_bures_wasserstein_distance(x, y, reg=1e-3) ** 2


def seconds(loss: Callable[[Tensor], Tensor], student: Tensor) -> float:
    leaf = student.clone().requires_grad_()
    start = time.perf_counter()
    loss(leaf).backward()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, nargs="+", default=[128, 512, 1024])
    parser.add_argument("--d", type=int, default=512)
    parser.add_argument("--repeat", type=int, default=7)
    parser.add_argument("--save", type=Path)
    options = parser.parse_args()
    lines = [
        "# Training losses, forward and backward",
        "",
        "`python validation/benchmarks/losses.py --save validation/benchmarks/losses.md`",
        "",
        f"{os.cpu_count()} cores, {platform.machine()}, {versions('torch', 'POT')}"
        + f"; d = {options.d}, float32, ms (median of {options.repeat})",
        "",
        "| n | loss | ours | plain | plain / ours |",
        "|---:|---|---:|---:|---:|",
    ]
    print("\n".join(lines[-2:]), flush=True)
    for n in options.n:
        generator = torch.Generator().manual_seed(n)
        labels = torch.arange(n) % CLASSES
        centres = torch.randn(CLASSES, options.d, generator=generator)
        teacher = centres[labels] + torch.randn(n, options.d, generator=generator)
        student = 0.8 * centres[labels] + torch.randn(n, options.d, generator=generator)
        sigma = float(options.d) ** 0.5
        losses = {
            "W2": (lambda z, t=teacher: squared_w2(z, t), lambda z, t=teacher: plain_w2(z, t)),
            "CW2": (
                lambda z, t=teacher, c=labels: squared_cw2(z, t, c),
                lambda z, t=teacher, c=labels: plain_cw2(z, t, c),
            ),
            "MMD (RBF)": (
                lambda z, t=teacher, s=sigma: squared_mmd(z, t, RBF(s)),
                lambda z, t=teacher, s=sigma: plain_mmd(z, t, s),
            ),
            "W2 (Gaussian)": (lambda z, t=teacher: squared_gaussian_w2(z, t), lambda z, t=teacher: plain_gaussian(z, t)),
        }
        medians = {}
        for name, (ours, plain) in losses.items():
            times = [(seconds(ours, student), seconds(plain, student)) for _ in range(options.repeat + 1)][1:]
            medians[name] = [statistics.median(column) * 1e3 for column in zip(*times, strict=True)]
            mine, theirs = medians[name]
            lines.append(f"| {n} | {name} | {mine:.1f} | {theirs:.1f} | {theirs / mine:.2f} |")
            print(lines[-1], flush=True)
        lines.append(f"| {n} | W2 / CW2, ours | | | {medians['W2'][0] / medians['CW2'][0]:.2f} |")
        print(lines[-1], flush=True)
    save(options.save, lines)


if __name__ == "__main__":
    main()
