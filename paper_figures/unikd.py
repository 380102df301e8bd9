"""The reconstruction of UniKD: does the student's output come to be correlated as the teacher's, and which part does what?"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from kd2m_theory.paper_figures.figure import PaperFigure, Table
from kd2m_theory.paper_figures.training_curves import STORED, TrainingCurves, said_first
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

UNIKD = "unikd-reconstruction"
CORRELATED = {"alone": "no teacher", "kd": "KD", UNIKD: "UniKD, reconstructed"}
_SHORT = {"alone": "no teacher", "kd": "KD", UNIKD: "UniKD"}
MEASURES = ("accuracy", "cross_entropy", "divergence")
_REMOVED = {
    "fusion": "without fusion of stages",
    "predict_variance": "without predicted variances",
    "anchor": "without anchors",
    "weight": "without its divergence",
}
_AXES = {"accuracy": "test accuracy (%)", "cross_entropy": "test loss (nats)", "divergence": "KL(teacher ‖ student) (nats)"}
_TITLES = {"accuracy": "accuracy", "cross_entropy": "loss", "divergence": "divergence"}
_SEEDS: tuple[dict[str, Any], ...] = tuple(
    {"ls": "none", "marker": marker, "ms": 3.5, "alpha": 0.8, "mew": 0} for marker in "os^"
)
_MEAN: dict[str, Any] = {"ls": "none", "marker": "|", "ms": 8, "mew": 1.4, "color": INK}
_SHADES = LinearSegmentedColormap.from_list("shades", [TEACHER, "white", STUDENT])


def table(stored: TrainingCurves) -> Table:
    """Differences of correlations, and what each student reaches on the test images, seed by seed."""
    whole, *others = stored.objectives(UNIKD)
    rows = {"no teacher": stored.lightest("cw2"), "KD": stored.lightest("kd"), "UniKD": whole}
    rows |= {_REMOVED[_changed(whole, other)]: other for other in others}
    return {
        "setting": stored.setting(),
        "seeds": stored.part("setting", "seeds"),
        "correlations": [stored.entry("correlations", "student", name) for name in CORRELATED],
        "ablation": [{"name": name, **_reached(stored, objective)} for name, objective in rows.items()],
    }


def _changed(whole: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    (name,) = (key for key, value in other.items() if whole.get(key) != value)
    return name


def _reached(stored: TrainingCurves, objective: Mapping[str, Any]) -> Table:
    return {measure: stored.of_seeds(objective, "test", measure) for measure in MEASURES}


def draw(table: Table, width: float = PAGE) -> Figure:
    """Above, matrices; below, one row per student with one dot per seed."""
    wide = width > 1.3 * COLUMN
    heights = (0.31 * width, 1.85) if wide else (0.98 * width, 4.7)
    figure = sheet(width, sum(heights) + 0.65)
    above, below = figure.subfigures(2, 1, squeeze=False, height_ratios=heights)[:, 0]
    *matrices, scale = (
        above.subplots(1, 4, width_ratios=(1, 1, 1, 0.32 if width >= PAGE else 0.55)) if wide else above.subplots(2, 2)
    ).flat
    largest = max(float(np.abs(one["difference"]).max()) for one in table["correlations"])
    for axes, which, one in zip(matrices, "abc", table["correlations"], strict=True):
        axes.imshow(np.array(one["difference"]), cmap=_SHADES, vmin=-largest, vmax=largest, interpolation="nearest")
        classes = range(len(one["difference"]))
        axes.set(xticks=classes, yticks=classes, xlabel="class", ylabel="class")
        axes.tick_params(length=0, labelsize=6.5 if width >= PAGE else SMALLEST)
        letter(axes, which, f"{_SHORT[one['student']]} ({np.mean(one['means']):.3f})")
    _scale(scale, largest)
    rows, columns = (1, 3) if wide else (3, 1)
    for axes, which, measure in zip(
        below.subplots(rows, columns, sharey=True, squeeze=False).flat, "def", MEASURES, strict=True
    ):
        _ablation(axes, table["ablation"], measure, 100 if measure == "accuracy" else 1)
        axes.set_xlabel(_AXES[measure] if width >= PAGE or not wide else folded(figure, _AXES[measure], 1.0, 7.5))
        letter(axes, which, _TITLES[measure])
        axes.set_ylabel("student" if which == "d" or not wide else "")
    words = (
        f"{table['setting']}\na to c: the first seed; in brackets the mean absolute difference, of all seeds\n"
        "d to f: UniKD as reconstructed, and without one of its parts"
    )
    legend_below(figure, _legend(table["seeds"]), words)
    return figure


def _scale(axes: Axes, largest: float) -> None:
    diagram(axes)
    axes.imshow(np.linspace(1, -1, 101)[:, None], cmap=_SHADES, extent=(0, 0.12, -1, 1), aspect="auto")
    axes.set(xlim=(0, 0.9), ylim=(-1.02, 1.02))
    for place in (-1, 0, 1):
        axes.text(0.16, 0.97 * place, f"{place * largest:+.2f}".replace("-", "−") if place else "0", va="center", fontsize=6.5)
    axes.text(0.62, 0, "student − teacher", rotation=90, va="center", fontsize=6.5)


def _ablation(axes: Axes, rows: list[Table], measure: str, factor: float) -> None:
    for y, row in enumerate(rows):
        axes.axhline(y, color=PALE, lw=0.4, zorder=0)
        colour = {"no teacher": ALONE, "KD": KD}.get(row["name"], COLOUR)
        for value, looks in zip(row[measure], _SEEDS, strict=True):
            axes.plot(factor * value, y, color=colour, **looks)
        axes.plot(factor * float(np.mean(row[measure])), y, **_MEAN)
    axes.set_yticks(range(len(rows)), [row["name"] for row in rows])
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(rows) - 0.4, -0.6)


def _legend(seeds: list[int]) -> list[Line2D]:
    marks = [Line2D([], [], label=f"seed {seed}", color=MUTED, **looks) for seed, looks in zip(seeds, _SEEDS, strict=True)]
    return [*marks, Line2D([], [], label="mean of the seeds", **_MEAN)]


def caption(table: Table) -> str:
    """How to read it, and what the ablation shows here."""
    reached = "; ".join(f"{row['name']} {100 * float(np.mean(row['accuracy'])):.2f} %" for row in table["ablation"])
    means = ", ".join(f"{CORRELATED[one['student']]} {np.mean(one['means']):.3f}" for one in table["correlations"])
    return (
        f"{said_first(table['setting'])}. a to c: correlation between the logits of two classes, student's less teacher's, "
        "first seed; orange: the student's is larger, blue: the teacher's. Mean absolute difference of all seeds: "
        f"{means}. d to f: each seed a mark, the mean of the seeds a bar. Mean test accuracies: {reached}. UniKD is "
        "reconstructed from its abstract and its first author's code; its tables could not be read, so nothing here is "
        "compared with them."
    )


FIGURE = PaperFigure(
    name="unikd",
    sentence="UniKD, reconstructed: correlations between classes less the teacher's, and the ablation; on digits, by "
    "this project",
    source="UniKD (arXiv 2409.18565), correlation of student and teacher, and ablation",
    table=table,
    draw=draw,
    caption=caption,
    reads=(STORED,),
)
