"""What each objective adds to a training step, against the same step with cross-entropy only.

    python validation/benchmarks/steps.py [--device auto] [--batch 128] [--repeat 5] [--save FILE]

A step is forward, objective, backward and SGD of a resnet8x4 on glyphs of 62 classes, in bf16 on CUDA. The teacher's outputs
are given, as a run with `cache = true` has them; what the teacher's own forward pass costs stands in the line below the table.
Steps with and without the objective take turns.
"""

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import torch
from harness import save
from torch import nn

from kd2m_theory.extraction import choose_device
from kd2m_theory.validation.networks import network
from kd2m_theory.validation.objectives.objective import Objective
from kd2m_theory.validation.objectives.registry import SINGLE, objective
from kd2m_theory.validation.outputs import Outputs
from kd2m_theory.validation.populations.glyphs import GlyphsPopulation

STUDENT, TEACHER = "resnet8x4", "resnet32x4"
OPTIONS = {"gromov-w2": {"weight": 1e-5}, "kd": {"weight": 0.5}}


class Step:
    """One step after another of one student with one objective."""

    def __init__(self, name: str, source: GlyphsPopulation, batch: int, device: torch.device, teacher: nn.Module) -> None:
        self.device = device
        self.student = network(STUDENT, source.classes, source.image_shape, seed=0).to(device).train()
        self.goal: Objective = objective(name, self.student, teacher, init_seed=0, **OPTIONS.get(name, {})).to(device)
        weights = [*self.student.parameters(), *self.goal.parameters()]
        self.optimiser = torch.optim.SGD(weights, lr=1e-3, momentum=0.9)
        self.images, self.labels = source.batch("train", 0, batch, 0, device)

    def seconds(self, taught: Outputs | None) -> float:
        """Time of one step."""
        start = clock(self.device)
        self.optimiser.zero_grad()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            outputs = self.student(self.images)
        self.goal(outputs, taught, self.labels).total.backward()
        self.optimiser.step()
        return clock(self.device) - start


def clock(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def forward(teacher: nn.Module, images: torch.Tensor, device: torch.device) -> tuple[Outputs, float]:
    start = clock(device)
    with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
        taught: Outputs = teacher(images)
    return taught, clock(device) - start


def median(call: Callable[[], float], repeat: int) -> float:
    call()
    return statistics.median(call() for _ in range(repeat))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--save", type=Path)
    options = parser.parse_args()
    device = choose_device(options.device)
    source = GlyphsPopulation()
    teacher = network(TEACHER, source.classes, source.image_shape, seed=1).to(device).eval().requires_grad_(False)
    where = torch.cuda.get_device_name() if device.type == "cuda" else f"{os.cpu_count()} cores, {platform.machine()}"
    lines = [
        f"# What an objective adds to a step ({device.type})",
        "",
        f"`python validation/benchmarks/steps.py --device {device.type} --save FILE`",
        "",
        f"{where}, Python {platform.python_version()}, "
        + ", ".join(f"{name} {version(name)}" for name in ("kd2m-theory", "torch", "POT"))
        + f"; {STUDENT}, batch {options.batch}, 62 classes, ms (median of {options.repeat}, in turn)",
        "",
        "| objective | step | with cross-entropy only | added |",
        "|---|---:|---:|---:|",
    ]
    print("\n".join(lines[-2:]), flush=True)
    plain = Step("none", source, options.batch, device, teacher)
    taught, _ = forward(teacher, plain.images, device)
    for name in SINGLE:
        if name == "none":
            continue
        step = Step(name, source, options.batch, device, teacher)
        step.seconds(taught), plain.seconds(None)
        pairs = [(step.seconds(taught), plain.seconds(None)) for _ in range(options.repeat)]
        ours, base = (statistics.median(column) * 1e3 for column in zip(*pairs, strict=True))
        added = statistics.median(with_it / without - 1 for with_it, without in pairs)
        lines.append(f"| {name} | {ours:.1f} | {base:.1f} | {added:+.1%} |")
        print(lines[-1], flush=True)
    cost = median(lambda: forward(teacher, plain.images, device)[1], options.repeat)
    base = median(lambda: plain.seconds(None), options.repeat)
    lines += [
        "",
        f"The forward pass of a {TEACHER} teacher: {cost * 1e3:.1f} ms, {cost / base:.0%} of such a step; "
        f"{options.batch / base:,.0f} images/s without teacher, {options.batch / (base + cost):,.0f} with it.",
    ]
    print(lines[-1])
    save(options.save, lines)


if __name__ == "__main__":
    main()
