"""Features of teacher and student in the plane: for a student trained alone, and for one or two trained with a distance."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import AbstractPathEffect, withStroke

from kd2m_theory.arrays import Float64, Int64
from kd2m_theory.paper_figures.figure import PaperFigure, Table
from kd2m_theory.paper_figures.training_curves import (
    FEATURES,
    STORED,
    by_name,
    distance_of,
    lacking,
    power,
    said,
    said_first,
    title,
)
from kd2m_theory.reporting.style import ALONE, PAGE, STUDENT, TEACHER, grid, legend_below, letter
from kd2m_theory.validation.campaigns.learning import SHOWN_SEED, perplexity
from kd2m_theory.validation.campaigns.trainings import Setting, Students, chosen

# Parts of the width of what is shown: a numeral from its class, and from other numerals; and these in points, for small panels.
_SHIFTS, _APART, _POINTS = (0.06, 0.10, 0.14, 0.18, 0.23, 0.28, 0.33), 0.062, 10.5
_TURNS = 16  # directions that are tried
_LED = 0.07  # from here on a line leads to the class


def table(setting: Setting) -> Table:
    """Points of both networks and their classes, by student: without a teacher, with the λ that is best on the validation
    images, and with the largest λ.

    Raises:
        LacksNumbersError: no student without a teacher, or none of a distance of features, has an embedding.
    """
    placed = [each for each in setting.students if SHOWN_SEED in each.found("embedding", "student", "test")]
    alone = setting.alone
    taught = next(
        (found for name in FEATURES if (found := [each for each in placed if each.objective == name and each.weight])), []
    )
    if alone not in placed or not taught:
        raise lacking(
            "embedding",
            setting,
            f"students without a teacher and of a distance of features ({', '.join(FEATURES)}), of seed {SHOWN_SEED} and kept "
            "after the last epoch",
        )
    largest = max(taught, key=lambda each: each.weight or 0.0)
    shown = list({id(each): each for each in (alone, chosen(taught), largest)}.values())
    objective = taught[0].objective
    panels = [_placed(each, objective) for each in shown if each is not None]
    return {
        **said(setting, taught),
        "objective": objective,
        "seed": SHOWN_SEED,
        "perplexity": perplexity(len(panels[0]["labels"])),
        "panels": panels,
    }


def _placed(students: Students, objective: str) -> Table:
    clouds = {
        name: students.found("embedding", name, "test")[SHOWN_SEED]["values"] for name in ("labels", "teacher", "student")
    }
    part = distance_of(students, objective)
    return {
        "weight": students.weight or 0.0,
        "distance": None if part is None else students.curves(part, "train")[SHOWN_SEED][-1],
        "labels": [int(label) for label in clouds["labels"]],
        "teacher_points": np.reshape(clouds["teacher"], (-1, 2)).tolist(),
        "student_points": np.reshape(clouds["student"], (-1, 2)).tolist(),
    }


def draw(table: Table, width: float = PAGE) -> Figure:
    """One panel per student: circles are the teacher's features, triangles the student's, numerals name a class."""
    figure, panels = grid(width, len(table["panels"]), 1.55, 2.45, 0.75)
    for axes, which, panel in zip(panels, "abc"[: len(panels)], table["panels"], strict=True):
        _panel(axes, panel)
        words = rf"$\lambda$ = {power(panel['weight'])}"
        if panel["distance"] is not None:
            words += f", {_distance(table)} = {panel['distance']:.3g}"
        letter(axes, which, words)
    marks = (
        ("teacher", "o", TEACHER),
        ("student without a teacher", "^", ALONE),
        (f"student with {title(table['objective'])}", "^", STUDENT),
    )
    handles = [
        Line2D([], [], ls="none", marker=marker, ms=3.6, mew=0, color=colour, label=word) for word, marker, colour in marks
    ]
    images = len(table["panels"][0]["labels"])
    legend_below(
        figure,
        handles,
        f"{table['setting']}; here seed {table['seed']} and {images} of the images. Numerals are the classes of a network in "
        "its colour. "
        f"t-SNE of the features of both networks together, perplexity {table['perplexity']:g}; "
        f"{_distance(table)} is that of training batches",
    )
    return figure


def _distance(table: Table) -> str:
    return title(table["objective"]) + ("²" if table["objective"].endswith("w2") else "")


def _panel(axes: Axes, panel: Table) -> None:
    clouds = [np.array(panel[name]) for name in ("teacher_points", "student_points")]
    colours = TEACHER, STUDENT if panel["weight"] else ALONE
    for cloud, colour, marker in zip(clouds, colours, "o^", strict=True):
        axes.plot(*cloud.T, ls="none", marker=marker, ms=1.8, mew=0, color=colour, alpha=0.5)
    axes.set(xlabel="first t-SNE coordinate", ylabel="second t-SNE coordinate", xticks=[], yticks=[])
    axes.set_aspect("equal", adjustable="datalim")
    _numerals(axes, clouds, colours, np.array(panel["labels"]))


def _numerals(axes: Axes, clouds: list[Float64], colours: tuple[str, str], labels: Int64) -> None:
    """A numeral beside the points of every class of both networks, in the network's colour; a line leads to it from afar."""
    span = np.ptp(np.vstack(clouds), axis=0).max()
    apart = span * max(_APART, _POINTS / (72 * axes.get_window_extent().width / axes.figure.dpi))
    placed: list[Float64] = []
    outline: list[AbstractPathEffect] = [withStroke(linewidth=1.5, foreground="white")]
    for cloud, colour, upwards in zip(clouds, colours, (1, -1), strict=True):
        for label in np.unique(labels):
            centre = np.median(cloud[labels == label], axis=0)
            place = _free(centre, placed, span, apart, upwards)
            placed.append(place)
            if np.linalg.norm(place - centre) > _LED * span:
                axes.plot(*np.array([centre, place]).T, color=colour, lw=0.4, zorder=1.5)
            text = axes.text(float(place[0]), float(place[1]), f"{label}", ha="center", va="center", color=colour)
            text.set_path_effects(outline)


def _free(centre: Float64, placed: list[Float64], span: float, apart: float, upwards: int) -> Float64:
    """The nearest place around a centre, from above or below it, that is apart from every place that is taken."""
    for shift in _SHIFTS:
        for turn in np.pi * (0.5 * upwards + 2 * np.arange(_TURNS) / _TURNS):
            place: Float64 = centre + shift * span * np.array([np.cos(turn), np.sin(turn)])
            if all(np.linalg.norm(place - other) > apart for other in placed):
                return place
    return centre


def caption(table: Table) -> str:
    """How to read it."""
    panels = table["panels"]
    distances = ", ".join(
        f"λ = {panel['weight']:g}: {panel['distance']:.3g}" for panel in panels if panel["distance"] is not None
    )
    return (
        f"{said_first(table['setting'])}. Features of {len(panels[0]['labels'])} test images of seed {table['seed']}, both "
        f"networks embedded together (t-SNE, perplexity {table['perplexity']:g}); distances between clusters in such a "
        f"picture are not distances of features. {_distance(table)} of training batches: {distances}. The panels show the "
        "student alone, the λ with the best accuracy on validation images, and the largest λ. The paper's two panels show SVHN "
        "and a student with CW₂ at the λ of its choice."
    )


FIGURE = PaperFigure(
    name="embedding",
    sentence="features of teacher and student in the plane, for a student alone and with a distance of features",
    source="KD²M (arXiv 2504.01757), feature embeddings",
    table=table,
    draw=draw,
    caption=caption,
    reads=(STORED,),
    apart=by_name,
)
