"""What the figures of training share: which students of a campaign they show, and lines over the epochs and seeds."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from kd2m_theory.paper_figures.figure import LacksNumbersError, Table
from kd2m_theory.reporting.style import ALONE, KD, STUDENT, TTM, UNIKD, WTTM
from kd2m_theory.validation.campaigns.stored_campaigns import PAPERS
from kd2m_theory.validation.campaigns.trainings import Setting, Students, Trainings

STORED = PAPERS
# Objectives that compare features, in the order in which a figure of one of them chooses.
FEATURES = ("cw2", "jw2", "w2", "gaussian-cw2", "gaussian-w2", "gaussian-kl")
_TITLES = {
    "kd": "KD",
    "ttm": "TTM",
    "wttm": "WTTM",
    "w2": "W₂",
    "cw2": "CW₂",
    "jw2": "JW₂",
    "gaussian-w2": "Gaussian W₂",
    "gaussian-cw2": "Gaussian CW₂",
    "gaussian-kl": "Gaussian KL",
    "mmd": "MMD",
    "unikd": "UniKD",
}
_COLOURS = {"none": ALONE, "kd": KD, "ttm": TTM, "wttm": WTTM, "unikd": UNIKD}


def title(objective: str) -> str:
    """An objective as the papers write it; its own name for those that none of them has."""
    return _TITLES.get(objective, objective)


def colour(objective: str) -> str:
    """The colour of a student, the same in every figure."""
    return _COLOURS.get(objective, STUDENT)


def by_name(found: Trainings) -> Mapping[str, Setting]:
    """A picture for each setting of a campaign."""
    return {setting.name: setting for setting in found.settings}


def said(setting: Setting, shown: Iterable[Students]) -> Table:
    """One line for a picture: data, networks and seeds; and how many seeds the students have, at least and at most."""
    counts = [len(each.seeds) for each in shown]
    images = setting.images()
    fewest, most = min(counts), max(counts)
    parts = [f"measured: {setting.name}, {setting.teacher} → {setting.student}"]
    parts += [] if images is None else [f"{images:,} test images"]
    parts.append(f"{most} seed{'s' * (most > 1)}" if fewest == most else f"{fewest} to {most} seeds")
    parts += [f"{setting.missing:,} tasks of the campaign are missing"] if setting.missing else []
    return {"setting": ", ".join(parts), "seeds": most}


def band(table: Table) -> str:
    """How a line and its band are read; with one seed there is no band."""
    return "line: mean, band: all of them" if table["seeds"] > 1 else "one seed, so no band"


def of_band(table: Table) -> str:
    """The same as a sentence's part."""
    return "a line is the mean of the seeds, a band all of them" if table["seeds"] > 1 else "one seed, so without any interval"


def lacking(figure: str, setting: Setting, needs: str) -> LacksNumbersError:
    """That a figure is left out, and what it would need."""
    there = ", ".join(dict.fromkeys(each.objective for each in setting.students)) or "no student"
    return LacksNumbersError(f"the figure {figure} needs {needs}; on {setting.name} the campaign has {there}")


def over_seeds(values: Sequence[Sequence[float]], first: int) -> Table:
    """Mean, smallest and largest over seeds, of a list of values per seed: one per epoch, from epoch `first`."""
    stacked = np.array(values, dtype=np.float64)
    return {
        "epoch": list(range(first, first + stacked.shape[1])),
        "mean": stacked.mean(axis=0).tolist(),
        "low": stacked.min(axis=0).tolist(),
        "high": stacked.max(axis=0).tolist(),
    }


def curve(students: Students, name: str, target: str) -> Table | None:
    """A curve of the students over the seeds that have it; None where no seed does."""
    found = list(students.curves(name, target).values())
    return over_seeds(found, 1) if found else None


def distance_of(students: Students, objective: str) -> str | None:
    """The part of their loss that an objective adds to the cross-entropy; None where it adds none or several."""
    if objective in students.parts:
        return objective
    return students.parts[0] if len(students.parts) == 1 and students.objective == objective else None


def plot_over_seeds(axes: Axes, values: Table, factor: float = 1, **looks: Any) -> None:
    """A line for the mean, a band from the smallest to the largest; what `over_seeds` made, times a factor."""
    low, mean, high = ([factor * value for value in values[name]] for name in ("low", "mean", "high"))
    if low != high:
        axes.fill_between(values["epoch"], low, high, color=looks["color"], alpha=0.2, lw=0)
    axes.plot(values["epoch"], mean, lw=1.0, **looks)


def said_first(setting: str) -> str:
    """The setting as the begin of a caption."""
    return f"{setting[0].upper()}{setting[1:]}"


def power(value: float) -> str:
    """A weight of a grid in mathematical type: 0, or a power of ten as one."""
    exponent = round(math.log10(value)) if value else 0
    return f"$10^{{{exponent}}}$" if value == 10.0**exponent and exponent < -1 else f"{value:g}"
