"""The stored table of trained students, read: which objectives it has, and their numbers over the seeds."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from kd2m_theory.errors import InputError
from kd2m_theory.files import read_json
from kd2m_theory.paper_figures.figure import Table
from kd2m_theory.validation.stored_tables import StoredTable


@dataclass(frozen=True)
class TrainingCurves:
    """What `validation/benchmarks/training_curves.py` wrote.

    Attributes:
        path: of the file.
        content: of the file.
    """

    path: Path
    content: Any

    def part(self, *keys: str) -> Any:
        """What stands under these keys, one within the other.

        Raises:
            InputError: there is no such part.
        """
        return self.of(self.content, *keys)

    def of(self, place: Any, *keys: str) -> Any:
        """What stands under these keys of a part of the file.

        Raises:
            InputError: there is no such part.
        """
        for key in keys:
            if not isinstance(place, Mapping) or key not in place:
                raise InputError(f"{self.path} has no {'.'.join(keys)!r}; write it again with `{STORED.command}`")
            place = place[key]
        return place

    def objectives(self, name: str) -> list[Mapping[str, Any]]:
        """Every objective of that name, as configurations say it, in the order of the file.

        Raises:
            InputError: there is none.
        """
        found: list[Mapping[str, Any]] = []
        for run in self.part("runs"):
            one = self.of(run, "objective")
            if one not in found and self.of(one, "name") == name:
                found.append(one)
        if not found:
            raise InputError(f"{self.path} has no student of {name}; write it again with `{STORED.command}`")
        return found

    def lightest(self, name: str) -> Mapping[str, Any]:
        """The objective of that name with the smallest weight.

        Raises:
            InputError: there is none, or one has no weight.
        """
        return min(self.objectives(name), key=lambda objective: self.of(objective, "weight"))

    def of_seeds(self, objective: Mapping[str, Any], *keys: str) -> list[Any]:
        """What stands under these keys of each run of an objective, a run a seed.

        Raises:
            InputError: a run has no such part.
        """
        return [self.of(run, *keys) for run in self.part("runs") if self.of(run, "objective") == objective]

    def entry(self, part: str, key: str, value: Any) -> Any:
        """The entry of a list that says this of itself.

        Raises:
            InputError: there is none.
        """
        for entry in self.part(part):
            if self.of(entry, key) == value:
                return entry
        raise InputError(f"{self.path} has no {part} with {key} {value!r}; write it again with `{STORED.command}`")

    def setting(self) -> str:
        """One line for a picture: data, networks, seeds, and that the numbers are this project's."""
        said = {key: self.part("setting", key) for key in ("population", "teacher", "student", "test_images", "seeds")}
        return (
            f"this project: {said['population']}, {said['teacher']} → {said['student']}, "
            f"{said['test_images']} test images, {len(said['seeds'])} seeds"
        )


def read_curves(path: Path) -> TrainingCurves:
    """The file.

    Raises:
        InputError: it cannot be read, or is not JSON.
    """
    return TrainingCurves(
        path, read_json(path, f"{path} is not the table of training curves; write it again with `{STORED.command}`")
    )


STORED = StoredTable(
    file="training_curves.json",
    command="python validation/benchmarks/training_curves.py --save training_curves.json",
    read=read_curves,
)


def over_seeds(values: Sequence[Sequence[float]], first: int) -> Table:
    """Mean, smallest and largest over seeds, of a list of values per seed: one per epoch, from epoch `first`."""
    stacked = np.array(values, dtype=np.float64)
    return {
        "epoch": list(range(first, first + stacked.shape[1])),
        "mean": stacked.mean(axis=0).tolist(),
        "low": stacked.min(axis=0).tolist(),
        "high": stacked.max(axis=0).tolist(),
    }


def plot_over_seeds(axes: Axes, values: Table, factor: float = 1, **looks: Any) -> None:
    """A line for the mean, a band from the smallest to the largest; what `over_seeds` made, times a factor."""
    low, mean, high = ([factor * value for value in values[name]] for name in ("low", "mean", "high"))
    axes.fill_between(values["epoch"], low, high, color=looks["color"], alpha=0.2, lw=0)
    axes.plot(values["epoch"], mean, lw=1.0, **looks)


def said_first(setting: str) -> str:
    """The setting as the begin of a caption."""
    return f"{setting[0].upper()}{setting[1:]}"


def power(value: float) -> str:
    """A weight of a grid in mathematical type: 0, or a power of ten as one."""
    exponent = round(math.log10(value)) if value else 0
    return f"$10^{{{exponent}}}$" if value == 10.0**exponent and exponent < -1 else f"{value:g}"
