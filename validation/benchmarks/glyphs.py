"""Glyphs made in a second, and what share of a training step their making takes.

    python validation/benchmarks/glyphs.py [--batch 128 1024] [--threads 1] [--save FILE]

The CPU with `threads` threads, then CUDA if there is one. A step is forward, cross-entropy, backward and SGD of the network
alone: a teacher or a distance would make it longer, and the share smaller.
"""

import argparse
import os
import platform
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import torch
from harness import save, seconds, versions
from torch.nn import functional

from kd2m_theory.validation.populations.atlas import atlas
from kd2m_theory.validation.populations.glyphs import GlyphsPopulation
from kd2m_theory.validation.training.networks import network

CLASSES = 62
Row = dict[str, Any]
NETWORKS = {"cpu": ("mlp-256-256", "cnn-16-32", "resnet8x4"), "cuda": ("mlp-256-256", "resnet8x4", "resnet32x4")}


def step_of(name: str, device: torch.device, batch: int, source: GlyphsPopulation) -> Callable[[], object]:
    model = network(name, source.classes, source.image_shape, seed=0).to(device).train()
    optimiser = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    images, labels = source.batch("train", 0, batch, 0, device)

    def step() -> None:
        optimiser.zero_grad()
        functional.cross_entropy(model(images).logits, labels).backward()
        optimiser.step()

    return step


def rows(
    device: torch.device, sizes: Iterable[int], networks: Iterable[str], least: float, classes: int = CLASSES
) -> Iterator[Row]:
    """For each batch size and network: glyphs made and images trained on in a second, and the share of the making in a step.

    `least` is the least time for a number, in seconds.
    """
    source = GlyphsPopulation(classes)
    for batch in sizes:
        index = count()

        def make(batch: int = batch, index: "count[int]" = index) -> object:
            return source.batch("train", next(index), batch, 0, device)

        made = seconds(make, device, 5, least)
        for name in networks:
            step = seconds(step_of(name, device, batch, source), device, 5, least)
            yield {
                "batch": batch,
                "glyphs": batch / made,
                "network": name,
                "images": batch / step,
                "share": made / (made + step),
            }


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
        f"; 62 classes, 32 × 32, medians. The atlas is rendered once in {rendering:.1f} s.",
        "",
        "| device | batch | glyphs/s | network | trains on images/s | share of generation in a step |",
        "|---|---:|---:|---|---:|---:|",
    ]
    print("\n".join(lines), flush=True)
    for words, device in devices.items():
        for row in rows(device, options.batch, NETWORKS[device.type], options.seconds):
            lines.append(
                f"| {words} | {row['batch']} | {row['glyphs']:,.0f} | {row['network']} | {row['images']:,.0f} "
                f"| {row['share']:.1%} |"
            )
            print(lines[-1], flush=True)
    save(options.save, lines)


if __name__ == "__main__":
    main()
