"""The demonstration: train a teacher and two students on real digits, audit both students on images never seen."""

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.table import Table

from kd2m_theory.bounds.targets import MEASURED
from kd2m_theory.extraction import choose_device
from kd2m_theory.pair import Pair
from kd2m_theory.reporting.report import AuditReport, audit
from kd2m_theory.validation.populations.digits import CLASSES, IMAGE_SHAPE, Digits, load_halves
from kd2m_theory.validation.torch_threads import torch_threads
from kd2m_theory.validation.training.demo_training import Settings, Watch, alone, through_teacher_head, train
from kd2m_theory.validation.training.networks import parameters
from kd2m_theory.validation.training.small_networks import digits_student, digits_teacher
from kd2m_theory.words import number

# Epochs, rates and λ were chosen on splits of the training half; the held-out half chose nothing.
TEACHER = Settings(epochs=30, batch=64, learning_rate=2e-3)
STUDENT = Settings(epochs=120, batch=64, learning_rate=5e-3)
CW2_WEIGHT = 1e-3

STUDENTS = {"alone": "student alone", "cw2": "student with CW2"}
_MEASURED = ("gap", "gap_shared_head", "head_mismatch", "accuracy_teacher", "accuracy_student", "disagreement")
_SHOWN = (
    "T2.spectral",
    "T2.cw2",
    "T1.l2",
    "T1.literal",
    "T1.head_aware",
    "T2.head_aware",
    "T3.directed",
    "T5",
    "T5.curved",
    "T2.logits.head_aware",
    "T0",
    "T5.logits.curved",
    "T0.error",
)


@dataclass(frozen=True)
class Demonstration:
    """What the demonstration made.

    Attributes:
        pairs: pair of each student, by its name in `STUDENTS`.
        reports: audit of each.
    """

    pairs: Mapping[str, Pair]
    reports: Mapping[str, AuditReport]

    def table(self) -> Table:
        """Both students side by side: measured values, then upper bound, ratio to the gap, and whether it holds."""
        table = Table(box=None, pad_edge=False)
        table.add_column("measured", no_wrap=True)
        for words in STUDENTS.values():
            table.add_column(words, justify="right", no_wrap=True)
            table.add_column("interval", justify="right", no_wrap=True)
        for name in _MEASURED:
            values = [report.measured[name] for report in self.reports.values()]
            table.add_row(MEASURED[name], *(cell for v in values for cell in (number(v.value), _interval(v.lower, v.upper))))
        table.add_section()
        table.add_row("[bold]upper bound on the gap", *["", "[bold]× gap  holds"] * 2)
        for name in _SHOWN:
            rows = [report[name] for report in self.reports.values()]
            cells = (cell for row in rows for cell in (number(row.upper), f"{number(row.ratio, 3)}  {row.verdict:>5}"))
            table.add_row(name + ("" if rows[0].guaranteed else " (as stated)"), *cells)
        return table

    def write(self, folder: Path) -> list[Path]:
        """Pair, report and picture: of the distilled student in `folder`, of the other in `folder/alone`."""
        written = []
        for name, place in (("cw2", folder), ("alone", folder / "alone")):
            place.mkdir(exist_ok=True)
            self.pairs[name].save(place / "pair.safetensors")
            self.reports[name].to_json(place / "report.json")
            self.reports[name].plot(place / "ladder.png")
            written += [place / file for file in ("pair.safetensors", "report.json", "ladder.png")]
        return written


def run(seed: int, device: str, watch: Watch) -> Demonstration:
    """Train, on one thread of the CPU, and audit. The same seed gives the same numbers on one machine.

    Args:
        seed, device, watch: as `trained_pairs`.

    Raises:
        MissingDependencyError, InputError: as `trained_pairs`.
    """
    pairs = trained_pairs(seed, device, watch)
    return Demonstration(pairs, {name: audit(pair) for name, pair in pairs.items()})


@torch_threads(1)
def trained_pairs(seed: int, device: str, watch: Watch) -> dict[str, Pair]:
    """Train a teacher and both students, and run them over the images that trained nothing.

    Args:
        seed: of the halves, the initial weights and the order of the images.
        device: "auto", or a torch device name.
        watch: wraps each loop over epochs, for a progress display.

    Raises:
        MissingDependencyError: scikit-learn is not installed.
        InputError: no such device.
    """
    place = choose_device(device)
    halves = load_halves(seed)
    seen, held_out = (Digits(half.images.to(place), half.labels.to(place)) for half in halves)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        teacher = digits_teacher(CLASSES, IMAGE_SHAPE).to(place)
        train(teacher, seen, alone(teacher), TEACHER, seed, watch, "teacher")

        students = {}
        for name, words in STUDENTS.items():
            torch.manual_seed(seed + 1)  # both students start from the same encoder
            student = digits_student(CLASSES, IMAGE_SHAPE).to(place)
            objective = alone(student)
            if name == "cw2":
                student.fc = copy.deepcopy(teacher.fc).requires_grad_(False)
                objective = through_teacher_head(student, teacher, CW2_WEIGHT)
            train(student, seen, objective, STUDENT, seed + 1, watch, words)
            students[name] = student

    batches = list(zip(held_out.images.split(256), held_out.labels.split(256), strict=True))
    return {
        name: Pair.from_models(teacher, student, batches, device=str(place), progress=False)
        for name, student in students.items()
    }


def sizes() -> tuple[int, int]:
    """Parameters of teacher and student."""
    return parameters(digits_teacher(CLASSES, IMAGE_SHAPE)), parameters(digits_student(CLASSES, IMAGE_SHAPE))


def unwatched(items: Iterable[Any], _words: str) -> Iterable[Any]:
    """No progress display."""
    return items


def _interval(lower: float, upper: float) -> str:
    return f"[{number(lower, 2)}, {number(upper, 2)}]"
