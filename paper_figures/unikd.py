"""The reconstruction of UniKD: does the student's output come to be correlated as the teacher's, and which part does what?"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from kd2m_theory.paper_figures.figure import PaperFigure, Table
from kd2m_theory.paper_figures.training_curves import STORED, TrainingCurves
from kd2m_theory.reporting.style import BLUE, GREEN, INK, ORANGE, PAGE, PALE, diagram, letter, sheet

UNIKD = "unikd-reconstruction"
CORRELATED = {"alone": "no teacher", "kd": "KD", UNIKD: "UniKD, reconstructed"}
MEASURES = ("accuracy", "cross_entropy", "divergence")
_REMOVED = {
    "fusion": "UniKD without fusion of stages",
    "predict_variance": "UniKD without predicted variances",
    "anchor": "UniKD without anchors",
    "weight": "UniKD without its divergence",
}
_AXES = {"accuracy": "test accuracy (%)", "cross_entropy": "test loss (nats)", "divergence": "KL(teacher ‖ student) (nats)"}
_TITLES = {"accuracy": "accuracy", "cross_entropy": "loss", "divergence": "divergence"}
_SEEDS: tuple[dict[str, Any], ...] = tuple(
    {"ls": "none", "marker": marker, "ms": 3.5, "color": colour, "alpha": 0.8, "mew": 0}
    for marker, colour in (("o", BLUE), ("s", GREEN), ("^", ORANGE))
)
_MEAN: dict[str, Any] = {"ls": "none", "marker": "|", "ms": 8, "mew": 1.4, "color": INK}
_SHADES = LinearSegmentedColormap.from_list("shades", [ORANGE, "white", BLUE])


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


def draw(table: Table) -> Figure:
    """Above, matrices; below, one row per student with one dot per seed."""
    figure = sheet(PAGE, 4.5)
    above, below = figure.subfigures(2, 1, squeeze=False, height_ratios=(2.2, 2))[:, 0]
    *matrices, scale = above.subplots(1, 4, width_ratios=(1, 1, 1, 0.32))
    largest = max(float(np.abs(one["difference"]).max()) for one in table["correlations"])
    for axes, which, one in zip(matrices, "abc", table["correlations"], strict=True):
        axes.imshow(np.array(one["difference"]), cmap=_SHADES, vmin=-largest, vmax=largest, interpolation="nearest")
        classes = range(len(one["difference"]))
        axes.set(xticks=classes, yticks=classes, xlabel="class", ylabel="class")
        axes.tick_params(length=0, labelsize=6.5)
        letter(axes, which, f"{CORRELATED[one['student']]} ({np.mean(one['means']):.3f})")
    _scale(scale, largest)
    for axes, which, measure in zip(below.subplots(1, 3, sharey=True), "def", MEASURES, strict=True):
        _ablation(axes, table["ablation"], measure, 100 if measure == "accuracy" else 1)
        axes.set_xlabel(_AXES[measure])
        letter(axes, which, _TITLES[measure])
        axes.set_ylabel("student" if which == "d" else "")
    words = f"{table['setting']}\na to c: the first seed; in brackets the mean absolute difference, of all seeds"
    handles = _legend(table["seeds"])
    legend = figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), title=words, title_fontsize=6.5)
    legend.get_title().set_multialignment("center")
    return figure


def _scale(axes: Axes, largest: float) -> None:
    diagram(axes)
    axes.imshow(np.linspace(1, -1, 101)[:, None], cmap=_SHADES, extent=(0, 0.12, -1, 1), aspect="auto")
    axes.set(xlim=(0, 0.9), ylim=(-1.02, 1.02))
    for place in (-1, 0, 1):
        axes.text(0.16, 0.97 * place, f"{place * largest:+.2f}".replace("-", "−") if place else "0", va="center", fontsize=6.5)
    axes.text(0.62, 0, "correlation, student − teacher", rotation=90, va="center", fontsize=6.5)


def _ablation(axes: Axes, rows: list[Table], measure: str, factor: float) -> None:
    for y, row in enumerate(rows):
        axes.axhline(y, color=PALE, lw=0.4, zorder=0)
        for value, looks in zip(row[measure], _SEEDS, strict=True):
            axes.plot(factor * value, y, **looks)
        axes.plot(factor * float(np.mean(row[measure])), y, **_MEAN)
    axes.set_yticks(range(len(rows)), [row["name"] for row in rows])
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(rows) - 0.4, -0.6)


def _legend(seeds: list[int]) -> list[Line2D]:
    marks = [Line2D([], [], label=f"seed {seed}", **looks) for seed, looks in zip(seeds, _SEEDS, strict=True)]
    return [*marks, Line2D([], [], label="mean of the seeds", **_MEAN)]


FIGURE = PaperFigure(
    name="unikd",
    sentence="UniKD, reconstructed: correlations between classes less the teacher's, and the ablation; on digits, by "
    "this project",
    source="UniKD (arXiv 2409.18565), correlation of student and teacher, and ablation",
    table=table,
    draw=draw,
    reads=(STORED,),
)
