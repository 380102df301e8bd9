"""The demonstration: two students of one teacher, trained by shipped configurations, audited and compared."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from kd2m_theory.errors import require
from kd2m_theory.pair import Pair
from kd2m_theory.reporting.comparison import StudentComparison, compare
from kd2m_theory.reporting.report import AuditReport, audit
from kd2m_theory.validation.training.configuration import Configuration, read_configuration
from kd2m_theory.validation.training.demo_table import STUDENTS, Beside
from kd2m_theory.validation.training.pages import LIBRARIES


@dataclass(frozen=True)
class Demonstration:
    """The result of the demonstration.

    Attributes:
        pairs: pair of each student, by its name in `STUDENTS`.
        reports: audit of each.
        comparison: both students side by side.
    """

    pairs: Mapping[str, Pair]
    reports: Mapping[str, AuditReport]
    comparison: StudentComparison

    def table(self) -> Beside:
        """Both students, side by side where there is room: what was measured, and rows with bound and ratio."""
        return Beside({name: report.to_dict() for name, report in self.reports.items()})

    def write(self, folder: Path) -> list[Path]:
        """Write pair, report and picture: of the distilled student into `folder`, of the other into `folder/alone`.

        The comparison of both goes into `folder`: students.json, students.html and students.png.
        """
        written = []
        for name, place in (("cw2", folder), ("alone", folder / "alone")):
            place.mkdir(exist_ok=True)
            self.pairs[name].save(place / "pair.safetensors")
            self.reports[name].to_json(place / "report.json")
            self.reports[name].plot(place / "ladder.png")
            written += [place / file for file in ("pair.safetensors", "report.json", "ladder.png")]
        compared = [folder / f"students.{ending}" for ending in ("json", "html", "png")]
        for path, save in zip(compared, (self.comparison.to_json, self.comparison.to_html, self.comparison.plot), strict=True):
            save(path)
        return written + compared


def require_libraries() -> None:
    """Refuse before anything slow is imported.

    Raises:
        MissingDependencyError: a library of the extra `train` is not installed.
    """
    require("the demonstration", *LIBRARIES, "sklearn")


def configurations(seed: int, changes: Iterable[str] = ()) -> dict[str, Configuration]:
    """The shipped configuration of each student, by its name in `STUDENTS`.

    Args:
        seed: random seed for the split of the images, the weights of all networks and the order of the images.
        changes: as `read_configuration` takes them, for both.
    """
    seeds = [f"{key}={seed}" for key in ("seed", "teacher.seed", "population.split_seed")]
    # The audit is made here, where its report is needed.
    return {name: read_configuration(f"demo-{name}", [*seeds, "pairs.audit=false", *changes]) for name in STUDENTS}


def run(seed: int, device: str, changes: Iterable[str] = ()) -> Demonstration:
    """Train a teacher and both students as `kd2m train` does, and audit both. On one machine, a seed gives the same numbers.

    The folders of the runs are temporary.

    Args:
        seed: as `configurations` takes it.
        device: "auto" (CUDA if there is one), or a torch device name.
        changes: of both configurations.

    Raises:
        MissingDependencyError: a library of the extra `train` is not installed.
        InputError: no such device, or an invalid change.
    """
    require_libraries()
    from kd2m_theory.validation.training.distillation import train

    pairs = {}
    with TemporaryDirectory() as made:
        folder = Path(made)
        chosen = configurations(seed, changes)
        for k, (name, configuration) in enumerate(chosen.items(), 1):
            shown_as = f"student {k} of {len(chosen)}"
            trained = train(configuration, folder / name, device=device, teachers=folder / "teachers", shown_as=shown_as)
            pairs[name] = Pair.load(trained.pairs[max(trained.pairs)])
    return Demonstration(
        pairs=pairs,
        reports={name: audit(pair) for name, pair in pairs.items()},
        comparison=compare({STUDENTS[name]: pair for name, pair in pairs.items()}),
    )
