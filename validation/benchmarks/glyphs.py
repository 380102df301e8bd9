"""Glyphs made in a second, and what share of a training step their making takes.

    python validation/benchmarks/glyphs.py [--batch 128 1024] [--threads 1] [--save FILE]

The CPU with `threads` threads, then CUDA if there is one. A step is forward, cross-entropy, backward and SGD of the network
alone: a teacher or a distance would make it longer, and the share smaller.
"""

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path

import torch
from harness import save, versions
from torch.nn import functional

from kd2m_theory.validation.networks import network
from kd2m_theory.validation.populations.atlas import atlas
from kd2m_theory.validation.populations.glyphs import GlyphsPopulation

CLASSES = 62
NETWORKS = {"cpu": ("mlp-256-256", "cnn-16-32", "resnet8x4"), "cuda": ("mlp-256-256", "resnet8x4", "resnet32x4")}


def seconds(job: Callable[[], object], device: torch.device, least: float) -> float:
    """Median time of a call: of several, for at least so many seconds."""
    times: list[float] = []
    job()
    job()
    while len(times) < 5 or sum(times) < least:
        if device.type == "cuda":
            torch.cuda.synchronize()
        start = time.perf_counter()
        job()
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def step_of(name: str, device: torch.device, batch: int, source: GlyphsPopulation) -> Callable[[], object]:
    model = network(name, CLASSES, source.image_shape, seed=0).to(device).train()
    optimiser = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    images, labels = source.batch("train", 0, batch, 0, device)

    def step() -> None:
        optimiser.zero_grad()
        functional.cross_entropy(model(images).logits, labels).backward()
        optimiser.step()

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, nargs="+", default=[128, 1024])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=1.0, help="least time for a number")
    parser.add_argument("--save", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    start = time.perf_counter()
    atlas(CLASSES)
    rendering = time.perf_counter() - start
    devices = {f"cpu, {options.threads} thread(s)": torch.device("cpu")}
    if torch.cuda.is_available():
        devices[f"cuda, {torch.cuda.get_device_name()}"] = torch.device("cuda")
    lines = [
        "# Glyphs: images a second",
        "",
        "`python validation/benchmarks/glyphs.py --save validation/benchmarks/glyphs.md`",
        "",
        f"{os.cpu_count()} cores, {platform.machine()}, {versions('torch')}"
        + f"; 62 classes, 32 × 32, medians. The atlas is rendered once in {rendering:.1f} s.",
        "",
        "| device | batch | glyphs/s | network | trains on images/s | share of generation in a step |",
        "|---|---:|---:|---|---:|---:|",
    ]
    print("\n".join(lines), flush=True)
    source = GlyphsPopulation(CLASSES)
    for words, device in devices.items():
        for batch in options.batch:
            index = count()

            def make(batch: int = batch, device: torch.device = device, index: "count[int]" = index) -> object:
                return source.batch("train", next(index), batch, 0, device)

            made = seconds(make, device, options.seconds)
            for name in NETWORKS[device.type]:
                step = seconds(step_of(name, device, batch, source), device, options.seconds)
                lines.append(
                    f"| {words} | {batch} | {batch / made:,.0f} | {name} | {batch / step:,.0f} | {made / (made + step):.1%} |"
                )
                print(lines[-1], flush=True)
    save(options.save, lines)


if __name__ == "__main__":
    main()
