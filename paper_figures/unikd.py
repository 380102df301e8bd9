"""UniKD: does the student's output come to be correlated as the teacher's, and which part does what?"""

from collections.abc import Iterable
from itertools import cycle
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D

from kd2m_theory.paper_figures.figure import PaperFigure, Table
from kd2m_theory.paper_figures.training_curves import STORED, by_name, lacking, said, said_first
from kd2m_theory.reporting.style import (
    ALONE,
    COLUMN,
    INK,
    KD,
    MUTED,
    PAGE,
    PALE,
    SMALLEST,
    STUDENT,
    TEACHER,
    diagram,
    folded,
    legend_below,
    letter,
    sheet,
)
from kd2m_theory.reporting.style import (
    UNIKD as COLOUR,
)
from kd2m_theory.validation.campaigns.learning import SHOWN_SEED
from kd2m_theory.validation.campaigns.trainings import Setting, Students, chosen

MEASURES = ("accuracy", "cross_entropy", "divergence")
_REMOVED = {
    "fusion": "without fusion of stages",
    "predict_variance": "without predicted variances",
    "supplement": "without supplement",
}
_AXES = {"accuracy": "test accuracy (%)", "cross_entropy": "test loss (nats)", "divergence": "KL(teacher ‖ student) (nats)"}
_TITLES = {"accuracy": "accuracy", "cross_entropy": "loss", "divergence": "divergence"}
_MARKS = "os^Dv"
_SEED: dict[str, Any] = {"ls": "none", "ms": 3.5, "alpha": 0.8, "mew": 0}
_MEAN: dict[str, Any] = {"ls": "none", "marker": "|", "ms": 8, "mew": 1.4, "color": INK}
_SHADES = LinearSegmentedColormap.from_list("shades", [TEACHER, "white", STUDENT])


def table(setting: Setting) -> Table:
    """Differences of correlations, and what each student reaches on the test images, seed by seed.

    UniKD whole is the student with the fewest options, of several weights the best on the validation images.

    Raises:
        LacksNumbersError: there is no student of UniKD.
    """
    of_unikd = setting.of("unikd")
    plain = [each for each in of_unikd if each.weight != 0 and len(each.options) == min(len(one.options) for one in of_unikd)]
    if not plain:
        raise lacking("unikd", setting, "a student of unikd (objectives.unikd), and of each variant without one of its parts")
    whole, kd = chosen(plain), setting.of("kd")
    compared = {"no teacher": setting.alone, "KD": chosen(kd) if kd else None, "UniKD": whole}
    rows = {name: each for name, each in compared.items() if each is not None}
    removed = {_changed(whole, each): each for each in of_unikd if each not in plain}
    return {
        **said(setting, [*rows.values(), *removed.values()]),
        "every_seed": sorted({seed for each in (*rows.values(), *removed.values()) for seed in each.seeds}),
        "correlations": [found for name, each in rows.items() if (found := _correlation(name, each)) is not None],
        "ablation": [{"name": name, **_reached(each)} for name, each in (rows | removed).items()],
    }


def _changed(whole: Students, other: Students) -> str:
    changes = [
        _REMOVED[name] if value is False and name in _REMOVED else f"{name} = {value}"
        for name, value in other.options.items()
        if whole.options.get(name) != value
    ]
    changes += ["without its divergence"] if other.weight == 0 else []
    changes += [f"λ = {other.weight:g}"] if other.weight and other.weight != whole.weight else []
    return ", ".join(changes)


def _correlation(name: str, students: Students) -> Table | None:
    """The matrix of one seed, and the mean sizes of all; None where none was kept."""
    found = students.found("correlation", "logits")
    if not found or found.get(SHOWN_SEED, {"values": None})["values"] is None:
        return None
    values = np.array(found[SHOWN_SEED]["values"])
    classes = round(len(values) ** 0.5)
    sizes = [row["value"] for row in found.values()]
    return {"student": name, "difference": values.reshape(classes, classes).tolist(), "means": sizes}


def _reached(students: Students) -> Table:
    found = {measure: students.results(measure, "student test") for measure in MEASURES}
    return {"seeds": list(students.seeds), **{measure: list(each.values()) for measure, each in found.items()}}


def draw(table: Table, width: float = PAGE) -> Figure:
    """Above, matrices; below, one row per student with one dot per seed."""
    wide = width > 1.3 * COLUMN
    shown = table["correlations"]
    rows = 0.16 * max(7, len(table["ablation"])) + 0.73
    heights = (0.31 * width if shown else 0.0, rows) if wide else (0.98 * width if shown else 0.0, 3 * rows - 0.85)
    figure = sheet(width, sum(heights) + 0.65)
    if shown:
        above, below = figure.subfigures(2, 1, squeeze=False, height_ratios=heights)[:, 0]
        _matrices(above, shown, width, wide)
    else:
        below = figure.subfigures(1, 1)
    across, columns = (1, 3) if wide else (3, 1)
    letters = "abcdef"[len(shown) :]
    for axes, which, measure in zip(
        below.subplots(across, columns, sharey=True, squeeze=False).flat, letters, MEASURES, strict=False
    ):
        _ablation(axes, table["ablation"], table["every_seed"], measure, 100 if measure == "accuracy" else 1)
        axes.set_xlabel(_AXES[measure] if width >= PAGE or not wide else folded(figure, _AXES[measure], 1.0, 7.5))
        letter(axes, which, _TITLES[measure])
        axes.set_ylabel("student" if which == letters[0] or not wide else "")
    words = [table["setting"]]
    words += (
        [f"{_letters(shown, 0)}: seed {SHOWN_SEED}; in brackets the mean absolute difference, of all seeds"] if shown else []
    )
    words += [f"{letters[0]} to {letters[2]}: UniKD, and with one of its parts changed"]
    legend_below(figure, _legend(table["every_seed"]), "\n".join(words))
    return figure


def _letters(shown: list[Table], first: int) -> str:
    letters = "abcdef"[first : first + len(shown)]
    return letters if len(letters) == 1 else f"{letters[0]} to {letters[-1]}"


def _matrices(part: SubFigure, shown: list[Table], width: float, wide: bool) -> None:
    *matrices, scale = (
        part.subplots(1, 4, width_ratios=(1, 1, 1, 0.32 if width >= PAGE else 0.55)) if wide else part.subplots(2, 2)
    ).flat
    largest = max(float(np.abs(one["difference"]).max()) for one in shown) or 1.0
    for axes in matrices[len(shown) :]:
        diagram(axes)
    for axes, which, one in zip(matrices, "abc", shown, strict=False):
        axes.imshow(np.array(one["difference"]), cmap=_SHADES, vmin=-largest, vmax=largest, interpolation="nearest")
        classes = len(one["difference"])
        ticks = range(0, classes, max(1, classes // 10))
        axes.set(xticks=ticks, yticks=ticks, xlabel="class", ylabel="class")
        axes.tick_params(length=0, labelsize=6.5 if width >= PAGE else SMALLEST)
        letter(axes, which, f"{one['student']} ({np.mean(one['means']):.3f})")
    _scale(scale, largest)


def _scale(axes: Axes, largest: float) -> None:
    diagram(axes)
    axes.imshow(np.linspace(1, -1, 101)[:, None], cmap=_SHADES, extent=(0, 0.12, -1, 1), aspect="auto")
    axes.set(xlim=(0, 0.9), ylim=(-1.02, 1.02))
    for place in (-1, 0, 1):
        axes.text(0.16, 0.97 * place, f"{place * largest:+.2f}".replace("-", "−") if place else "0", va="center", fontsize=6.5)
    axes.text(0.62, 0, "student − teacher", rotation=90, va="center", fontsize=6.5)


def _ablation(axes: Axes, rows: list[Table], seeds: list[int], measure: str, factor: float) -> None:
    marks = _marks(seeds)
    for y, row in enumerate(rows):
        axes.axhline(y, color=PALE, lw=0.4, zorder=0)
        colour = {"no teacher": ALONE, "KD": KD}.get(row["name"], COLOUR)
        for seed, value in zip(row["seeds"], row[measure], strict=True):
            axes.plot(factor * value, y, color=colour, marker=marks[seed], **_SEED)
        axes.plot(factor * float(np.mean(row[measure])), y, **_MEAN)
    axes.set_yticks(range(len(rows)), [row["name"] for row in rows])
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(rows) - 0.4, -0.6)


def _marks(seeds: Iterable[int]) -> dict[int, str]:
    return dict(zip(seeds, cycle(_MARKS), strict=False))


def _legend(seeds: list[int]) -> list[Line2D]:
    """One entry per seed, where each has a mark of its own."""
    looks = {"color": MUTED, **_SEED}
    marks = [Line2D([], [], label=f"seed {seed}", marker=mark, **looks) for seed, mark in _marks(seeds).items()]
    marks = marks if len(seeds) <= len(_MARKS) else [Line2D([], [], label="one seed", marker=_MARKS[0], **looks)]
    return [*marks, Line2D([], [], label="mean of the seeds", **_MEAN)]


def caption(table: Table) -> str:
    """How to read it, and what the ablation shows here."""
    reached = "; ".join(f"{row['name']} {100 * float(np.mean(row['accuracy'])):.2f} %" for row in table["ablation"])
    shown = table["correlations"]
    means = ", ".join(f"{one['student']} {np.mean(one['means']):.3f}" for one in shown)
    letters = "abcdef"[len(shown) :]
    matrices = (
        f"{_letters(shown, 0)}: correlation between the logits of two classes, student's less teacher's, "
        f"seed {SHOWN_SEED}; orange: the student's is larger, blue: the teacher's. Mean absolute difference of all seeds: "
        f"{means}. "
        if shown
        else ""
    )
    return (
        f"{said_first(table['setting'])}. {matrices}{letters[0]} to {letters[2]}: each seed a mark, the mean of the seeds a "
        f"bar. Mean test accuracies: {reached}. UniKD is known from its abstract and its first author's code; its tables could "
        "not be read, so nothing here is compared with them."
    )


FIGURE = PaperFigure(
    name="unikd",
    sentence="UniKD: correlations between classes less the teacher's, and the ablation",
    source="UniKD (arXiv 2409.18565), correlation of student and teacher, and ablation",
    table=table,
    draw=draw,
    caption=caption,
    reads=(STORED,),
    apart=by_name,
)
