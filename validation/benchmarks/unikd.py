"""What UniKD takes in a training step, by part, and beside its author's code.

    python validation/benchmarks/unikd.py [--author CHECKOUT] [--device auto] [--batch 64] [--repeat 9] [--save NAME.json]

The student is a resnet8x4, the teacher a resnet32x4, the images are glyphs of 62 classes, the precision is float32. Each part
is timed by itself, forward and backward, from what it reads: maps and features for the fusion (AFF), pooled maps for the two
heads with their samples (FDP), logits or samples for the terms. The teacher's outputs are given.

CHECKOUT is a folder with the code of github.com/FabienCode/mdistiller (tried with commit 515d2c5), which is not shipped. With
it the same step is timed with that code too: its fusion, heads and losses on the outputs of the same student, ours and the
author's in turn. Its class UniLogitsKD passes a head one argument too many, so its parts are put together here as its
`forward_train` does.
"""

import importlib
import statistics
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from harness import command_line, environment, save, seconds, shown, timed
from steps import CLASSES, STUDENT, TEACHER, leaves
from torch import Tensor, nn
from torch.nn import functional

from kd2m_theory.errors import InputError
from kd2m_theory.extraction import choose_device
from kd2m_theory.validation.benchmark_tables import BenchmarkTable, Column, Record
from kd2m_theory.validation.objectives.dkd import DKD
from kd2m_theory.validation.objectives.gaussian_head import sampled
from kd2m_theory.validation.objectives.kd import tempered_divergence
from kd2m_theory.validation.objectives.objective import Sizes
from kd2m_theory.validation.objectives.registry import objective
from kd2m_theory.validation.objectives.unikd import UniKD
from kd2m_theory.validation.populations.glyphs import GlyphsPopulation
from kd2m_theory.validation.training.networks import network
from kd2m_theory.validation.training.outputs import Outputs

PARTS = (Column("part"), Column("time", "ms", ".1f"), Column("of a step with cross-entropy", format=".1%"))
BESIDE = (
    Column("what"),
    Column("ours", "ms", ".1f"),
    Column("author's code", "ms", ".1f"),
    Column("ours / author's", format=".2f"),
)
NOT_GIVEN: Record = {
    "what": "the author's code was not given (`--author`)",
    "ours": None,
    "author's code": None,
    "ours / author's": None,
}
Call = Callable[[], object]


class Author(nn.Module):
    """The author's modules and losses, as UniLogitsKD puts them together with the weights of its configurations.

    Args:
        checkout: folder of the code.
        stages: channels of the student's maps, shallow to deep.
        features: dimension of the student's features.
        taught: channels of the teacher's map.
        classes: K.

    Raises:
        InputError: there is no such code in the folder.
    """

    def __init__(self, checkout: Path, stages: tuple[int, ...], features: int, taught: int, classes: int) -> None:
        super().__init__()
        self.code, losses = _imported(checkout)
        self.dkd: Callable[..., Tensor] = losses.dkd_loss
        channels = (*stages, features)
        width = min(512, features)
        made = [self.code.ABF(count, width, count, k < len(stages)) for k, count in enumerate(channels)]
        self.fusions = nn.ModuleList(reversed(made))
        self.student_head = self.code.featPro(stages[0], 32, classes)
        self.teacher_head = self.code.featPro(taught, 32, classes)

    def forward(self, student: Outputs, teacher: Outputs, labels: Tensor) -> Tensor:
        """The total loss."""
        levels = [student.features[:, :, None, None], *reversed(student.stages)]
        first, *others = self.fusions
        results = []
        result, running = first(levels[0], out_shape=1)
        results.append(result)
        for level, fusion in zip(levels[1:], others, strict=True):
            result, running = fusion(level, running, level.shape[3], level.shape[3])
            results.insert(0, result)
        z_student, z_teacher = self.student_head(results[0]), self.teacher_head(teacher.preactivation)
        kd = self.code.kd_loss
        total: Tensor = functional.cross_entropy(student.logits, labels)
        total = total + self.dkd(student.logits, teacher.logits, labels, 1.0, 8.0, 4.0) + kd(z_student, z_teacher, 1.0)
        return total + (kd(z_student, student.logits, 1.0) + kd(z_teacher, teacher.logits, 1.0))


def _imported(checkout: Path) -> tuple[Any, Any]:
    """The modules with the parts and with the losses, without the packages' own imports, which want more than these need."""
    for name, folder in {
        "mdistiller": "mdistiller",
        "mdistiller.distillers": "mdistiller/distillers",
        "mdistiller.engine": "mdistiller/engine",
    }.items():
        package = ModuleType(name)
        package.__path__ = [str(checkout / folder)]
        sys.modules[name] = package
    try:
        return importlib.import_module("mdistiller.distillers.UniLogits"), importlib.import_module("mdistiller.engine.kd_loss")
    except ImportError as error:
        raise InputError(f"{checkout} has no code of mdistiller that can be imported: {error}") from error


class Bench:
    """Both networks on one batch.

    Args:
        device: where it works.
        batch: images.
        repeat: calls of which the median counts.
        networks: student and teacher.
        classes: of the glyphs.
    """

    def __init__(
        self,
        device: torch.device,
        batch: int,
        repeat: int,
        networks: tuple[str, str] = (STUDENT, TEACHER),
        classes: int = CLASSES,
    ) -> None:
        self.device, self.repeat, self.classes = device, repeat, classes
        source = GlyphsPopulation(classes)
        self.student, teacher = (network(name, classes, source.image_shape, seed=0).to(device) for name in networks)
        teacher.eval().requires_grad_(False)
        self.images, self.labels = source.batch("train", 0, batch, 0, device)
        with torch.no_grad():
            self.taught: Outputs = teacher(self.images)
        ours = objective("unikd", self.student, teacher, init_seed=0).to(device)
        assert isinstance(ours, UniKD)
        self.ours = ours
        self.plain = objective("none", self.student, None)
        self.optimiser = torch.optim.SGD(self.student.parameters(), lr=1e-3, momentum=0.9)

    def step(self, total: Callable[[Outputs], Tensor]) -> None:
        """Forward, loss, backward and SGD of the student."""
        self.optimiser.zero_grad()
        total(self.student(self.images)).backward()
        self.optimiser.step()

    def parts(self) -> dict[str, Call]:
        """Forward and backward of each part from what it reads."""
        ours, labels = self.ours, self.labels
        given = leaves(self.student(self.images))
        assert ours.fusion is not None
        assert self.taught.preactivation is not None
        maps = ours.fusion, self.taught.preactivation
        vectors = ours.fusion(given.stages, given.features).detach().requires_grad_()
        noise = torch.zeros(len(labels), 2, self.classes, device=self.device)
        samples = torch.randn(2, len(labels), self.classes, device=self.device)
        z_student, z_teacher = (each.clone().requires_grad_() for each in samples)
        alone = DKD(Sizes(classes=self.classes, teacher_classes=self.classes, features=1, teacher_features=1))

        def heads() -> None:
            of_student, of_teacher = ours.student_head(vectors), ours.teacher_head(maps[1].mean(dim=(2, 3)))
            (sampled(noise[:, 0], *of_student).sum() + sampled(noise[:, 1], *of_teacher).sum()).backward()

        def supplement() -> None:
            own = tempered_divergence(z_student, given.logits, labels, 1.0)
            (own + tempered_divergence(z_teacher, self.taught.logits, labels, 1.0)).backward()

        def logits() -> None:
            terms = alone.terms(given, self.taught, labels)
            (terms["dkd_target"] + terms["dkd_others"]).backward()

        return {
            "AFF": lambda: maps[0](given.stages, given.features).sum().backward(),
            "FDP, both heads": heads,
            "unified constraint": lambda: tempered_divergence(z_student, z_teacher, labels, 1.0).backward(),
            "supplement": supplement,
            "DKD": logits,
            "whole objective, with cross-entropy": lambda: ours(given, self.taught, labels).total.backward(),
        }

    def by_part(self) -> Iterator[Record]:
        """Each part, and its share of a step with cross-entropy."""
        plain = partial(self.step, lambda outputs: self.plain(outputs, None, self.labels).total)
        base = seconds(plain, self.device, self.repeat)
        yield {"part": "step with cross-entropy only", "time": base * 1e3, "of a step with cross-entropy": 1.0}
        for name, call in self.parts().items():
            taken = seconds(call, self.device, self.repeat)
            yield {"part": name, "time": taken * 1e3, "of a step with cross-entropy": taken / base}

    def beside(self, author: Author) -> Iterator[Record]:
        """The objective and the step of both, in turn."""
        theirs = author.to(self.device)
        given = leaves(self.student(self.images))

        def of_ours(outputs: Outputs) -> Tensor:
            return self.ours(outputs, self.taught, self.labels).total

        def of_theirs(outputs: Outputs) -> Tensor:
            total: Tensor = theirs(outputs, self.taught, self.labels)
            return total

        pairs: dict[str, tuple[Call, Call]] = {
            "objective, with cross-entropy": (lambda: of_ours(given).backward(), lambda: of_theirs(given).backward()),
            "step": (partial(self.step, of_ours), partial(self.step, of_theirs)),
        }
        for what, (mine, other) in pairs.items():
            first, second = in_turn(mine, other, self.device, self.repeat)
            yield {"what": what, "ours": first * 1e3, "author's code": second * 1e3, "ours / author's": first / second}


def in_turn(first: Call, second: Call, device: torch.device, repeat: int) -> tuple[float, float]:
    """Medians in seconds of two calls, one after the other, after one of each that does not count."""
    times = [(timed(first, device), timed(second, device)) for _ in range(repeat + 1)][1:]
    ours, theirs = (statistics.median(each) for each in zip(*times, strict=True))
    return ours, theirs


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("--author", type=Path, metavar="CHECKOUT", help="folder with the author's code; not timed if not given")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda; auto if not given")
    parser.add_argument("--batch", type=int, default=64, help="images; 64 if not given")
    parser.add_argument("--repeat", type=int, default=9, help="calls of which the median counts; 9 if not given")
    options = parser.parse_args()
    device = choose_device(options.device)
    bench = Bench(device, options.batch, options.repeat)
    tables = [BenchmarkTable("parts", PARTS, shown(PARTS, bench.by_part()))]
    beside: Iterable[Record] = [NOT_GIVEN]
    if options.author is not None:
        author = Author(
            options.author,
            stages=tuple(bench.student.stage_channels),
            features=bench.student.feature_size,
            taught=bench.ours.teacher_head.mean.in_features,
            classes=CLASSES,
        )
        beside = bench.beside(author)
    tables.append(BenchmarkTable("beside the author's code", BESIDE, shown(BESIDE, beside)))
    where: dict[str, Any] = (
        {"device": torch.cuda.get_device_name()} if device.type == "cuda" else {"threads": torch.get_num_threads()}
    )
    save(
        options.save,
        title="UniKD, by part",
        environment=environment("torch", **where),
        setting={"device": device.type, "student": STUDENT, "teacher": TEACHER, "batch": options.batch, "classes": CLASSES},
        note="times are medians",
        tables=tables,
    )


if __name__ == "__main__":
    main()
