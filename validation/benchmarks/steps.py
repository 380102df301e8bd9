"""What each objective adds to a training step with cross-entropy only.

    python validation/benchmarks/steps.py [--device auto] [--batch 128] [--repeat 9] [--save NAME.json]

The step is forward, cross-entropy, backward and SGD of a resnet8x4 on glyphs of 62 classes, in bf16 on CUDA. An objective adds
what it takes from the network's outputs to the gradient at them and at its own parts, less what cross-entropy takes: the passes
through the network are the same. It is timed by itself, because a few milliseconds cannot be seen in the noise of a whole step.
The teacher's outputs are given, as a run with `cache = true` has them; the first table says what its own pass costs.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from harness import command_line, environment, save, seconds, shown
from torch import nn

from kd2m_theory.extraction import choose_device
from kd2m_theory.validation.benchmark_tables import BenchmarkTable, Column, Record
from kd2m_theory.validation.objectives.objective import Objective
from kd2m_theory.validation.objectives.registry import SINGLE, objective
from kd2m_theory.validation.populations.glyphs import GlyphsPopulation
from kd2m_theory.validation.training.networks import network
from kd2m_theory.validation.training.outputs import Outputs

CLASSES = 62
STUDENT, TEACHER = "resnet8x4", "resnet32x4"
TEACHING = tuple(name for name in SINGLE if name != "none")
OPTIONS = {"gromov-w2": {"weight": 1e-5}, "kd": {"weight": 0.5}}
WITHOUT = (Column("what"), Column("time", "ms", ".1f"), Column("images", "1/s", ",.0f"))
ADDED = (Column("objective"), Column("adds", "ms", ".1f"), Column("of the step", format=".1%"))


def leaves(outputs: Outputs) -> Outputs:
    """The same outputs, as if the network began there."""
    logits, features, *stages = (
        values.detach().requires_grad_() for values in (outputs.logits, outputs.features, *outputs.stages)
    )
    return Outputs(logits, features, tuple(stages))


@dataclass(frozen=True)
class Step:
    """What does not depend on the objective, in seconds.

    Attributes:
        base: the step with cross-entropy only.
        teaching: the forward pass of the teacher.
        added: takes an objective's name, gives what it adds to the step.
    """

    base: float
    teaching: float
    added: Callable[[str], float]


def step(
    device: torch.device, batch: int, repeat: int, networks: tuple[str, str] = (STUDENT, TEACHER), classes: int = CLASSES
) -> Step:
    """Measure the step of a student, beside a teacher, on glyphs."""
    source = GlyphsPopulation(classes)
    student, teacher = (network(name, source.classes, source.image_shape, seed=0).to(device) for name in networks)
    teacher.eval().requires_grad_(False)
    images, labels = source.batch("train", 0, batch, 0, device)
    optimiser = torch.optim.SGD(student.parameters(), lr=1e-3, momentum=0.9)

    def passed(model: nn.Module) -> Outputs:
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            outputs: Outputs = model(images)
        return outputs

    def goal(name: str) -> Objective:
        return objective(name, student, teacher, init_seed=0, **OPTIONS.get(name, {})).to(device)

    plain = goal("none")

    def whole() -> None:
        optimiser.zero_grad()
        plain(passed(student), None, labels).total.backward()
        optimiser.step()

    base = seconds(whole, device, repeat)
    with torch.no_grad():
        taught = passed(teacher)
        teaching = seconds(lambda: passed(teacher), device, repeat)
    given = leaves(passed(student))
    nothing = seconds(lambda: plain(given, None, labels).total.backward(), device, repeat)

    def added(name: str) -> float:
        each = goal(name)
        return seconds(lambda: each(given, taught, labels).total.backward(), device, repeat) - nothing

    return Step(base, teaching, added)


def without(measured: Step, batch: int) -> Iterator[Record]:
    """What does not depend on the objective."""
    yield {"what": "step with cross-entropy only", "time": measured.base * 1e3, "images": batch / measured.base}
    yield {"what": f"forward pass of a {TEACHER} teacher", "time": measured.teaching * 1e3, "images": None}


def added(measured: Step) -> Iterator[Record]:
    """What each objective adds."""
    for name in TEACHING:
        more = measured.added(name)
        yield {"objective": name, "adds": more * 1e3, "of the step": more / measured.base}


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--repeat", type=int, default=9)
    options = parser.parse_args()
    device = choose_device(options.device)
    measured = step(device, options.batch, options.repeat)
    where: dict[str, Any] = (
        {"device": torch.cuda.get_device_name()} if device.type == "cuda" else {"threads": torch.get_num_threads()}
    )
    save(
        options.save,
        title="What an objective adds to a step",
        environment=environment("torch", "POT", **where),
        setting={
            "device": device.type,
            "network": STUDENT,
            "batch": options.batch,
            "classes": CLASSES,
            "repetitions": options.repeat,
        },
        note="times are medians",
        tables=[
            BenchmarkTable("without an objective", WITHOUT, shown(WITHOUT, without(measured, options.batch))),
            BenchmarkTable("added", ADDED, shown(ADDED, added(measured))),
        ],
    )


if __name__ == "__main__":
    main()
