"""Glyphs made in a second, and what share of a training step their making takes.

    python validation/benchmarks/glyphs.py [--batch 128 1024] [--threads 1] [--save NAME.json]

The CPU with `threads` threads, then CUDA if there is one. A step is forward, cross-entropy, backward and SGD of the network
alone: a teacher or a distance would make it longer, and the share smaller.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import count
from typing import Any

import torch
from harness import command_line, environment, save, seconds, shown
from torch.nn import functional

from kd2m_theory.validation.benchmark_tables import BenchmarkTable, Column, Record
from kd2m_theory.validation.populations.atlas import atlas
from kd2m_theory.validation.populations.glyphs import GlyphsPopulation
from kd2m_theory.validation.training.networks import network

CLASSES = 62
Row = dict[str, Any]
COLUMNS = (
    Column("device"),
    Column("batch", format="d"),
    Column("glyphs made", "1/s", ",.0f"),
    Column("network"),
    Column("images trained on", "1/s", ",.0f"),
    Column("share of generation in a step", format=".1%"),
)
ATLAS = (Column("rendering of the atlas, once", "s", ".1f"),)
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


def records(devices: Mapping[str, torch.device], sizes: Iterable[int], least: float) -> Iterator[Record]:
    """The rows of every device."""
    for words, device in devices.items():
        for row in rows(device, sizes, NETWORKS[device.type], least):
            yield {
                "device": words,
                "batch": row["batch"],
                "glyphs made": row["glyphs"],
                "network": row["network"],
                "images trained on": row["images"],
                "share of generation in a step": row["share"],
            }


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("--batch", type=int, nargs="+", default=[128, 1024])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=1.0, help="least time for a number")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    start = time.perf_counter()
    atlas(CLASSES)
    rendering = {ATLAS[0].name: time.perf_counter() - start}
    devices = {f"cpu, {options.threads} thread(s)": torch.device("cpu")}
    if torch.cuda.is_available():
        devices[f"cuda, {torch.cuda.get_device_name()}"] = torch.device("cuda")
    save(
        options.save,
        title="Glyphs: images per second",
        environment=environment("torch"),
        setting={"classes": CLASSES, "image": "32 × 32"},
        note="numbers are medians",
        tables=[
            BenchmarkTable("glyphs", COLUMNS, shown(COLUMNS, records(devices, options.batch, options.seconds))),
            BenchmarkTable("atlas", ATLAS, shown(ATLAS, [rendering])),
        ],
    )


if __name__ == "__main__":
    main()
