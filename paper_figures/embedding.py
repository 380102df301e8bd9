"""Features of teacher and student in the plane: for a student trained alone, and for two trained with CW₂."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from kd2m_theory.arrays import Float64, Int64
from kd2m_theory.paper_figures.figure import PaperFigure, Table
from kd2m_theory.paper_figures.training_curves import STORED, TrainingCurves, power
from kd2m_theory.reporting.style import PAGE, STUDENT, TEACHER, letter, sheet

_SHIFT, _APART = 0.06, 0.055  # a numeral from its class, and from another: parts of the width of what is shown


def table(stored: TrainingCurves) -> Table:
    """Points of both networks and their classes, by student."""
    panels = []
    for panel in stored.part("embeddings"):
        objective = {"name": "cw2", "weight": stored.of(panel, "weight")}
        panels.append({**panel, "distance": stored.of_seeds(objective, "curves", "distance")[0][-1]})
    return {"setting": stored.setting(), "perplexity": stored.part("setting", "perplexity"), "panels": panels}


def draw(table: Table) -> Figure:
    """One panel per student: circles are the teacher's features, triangles the student's, numerals name a class."""
    figure = sheet(PAGE, 3.1)
    for axes, which, panel in zip(figure.subplots(1, len(table["panels"])), "abc", table["panels"], strict=True):
        _panel(axes, panel)
        words = rf"$\lambda$ = {power(panel['weight'])}, $\mathrm{{CW}}_2^2$ = {panel['distance']:.0f}"
        letter(axes, which, words)
    images = len(table["panels"][0]["labels"])
    legend = figure.legend(
        handles=axes.get_lines(),
        labels=["teacher", "student"],
        loc="outside lower center",
        ncols=2,
        markerscale=2,
        title=f"{table['setting']}; here the first seed and {images} of the images\n"
        f"t-SNE of the features of both networks together, perplexity {table['perplexity']:g}; "
        r"$\mathrm{CW}_2^2$ is that of training batches",
        title_fontsize=6.5,
    )
    legend.get_title().set_multialignment("center")
    return figure


def _panel(axes: Axes, panel: Table) -> None:
    clouds = [np.array(panel[name]) for name in ("teacher_points", "student_points")]
    for cloud, colour, marker in zip(clouds, (TEACHER, STUDENT), "o^", strict=True):
        axes.plot(*cloud.T, ls="none", marker=marker, ms=1.8, mew=0, color=colour, alpha=0.7)
    axes.set(xlabel="first t-SNE coordinate", ylabel="second t-SNE coordinate", xticks=[], yticks=[])
    axes.set_aspect("equal", adjustable="datalim")
    _numerals(axes, clouds, np.array(panel["labels"]))


def _numerals(axes: Axes, clouds: list[Float64], labels: Int64) -> None:
    """The class above the teacher's points of it, and below the student's where no numeral stands too near."""
    span = np.ptp(np.vstack(clouds), axis=0).max()
    placed: list[Float64] = []
    for cloud, colour, shift in zip(clouds, (TEACHER, STUDENT), (_SHIFT, -_SHIFT), strict=True):
        for label in np.unique(labels):
            place = np.median(cloud[labels == label], axis=0) + np.array([0.0, shift * span])
            if all(np.linalg.norm(place - other) > _APART * span for other in placed):
                placed.append(place)
                outline = [withStroke(linewidth=1.5, foreground="white")]
                axes.text(
                    float(place[0]), float(place[1]), f"{label}", ha="center", va="center", color=colour, path_effects=outline
                )


FIGURE = PaperFigure(
    name="embedding",
    sentence="features of teacher and student in the plane, for a student alone and two with CW₂; on digits, by this project",
    source="KD²M (arXiv 2504.01757), feature embeddings",
    table=table,
    draw=draw,
    reads=(STORED,),
)
