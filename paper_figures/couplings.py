"""Optimal plans between two labelled clouds: free to cross classes, and class by class."""

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from kd2m_theory.arrays import Float64, Int64
from kd2m_theory.estimators import conditional_wasserstein, cost_matrix, optimal_plan, wasserstein
from kd2m_theory.paper_figures.figure import PaperFigure, Table
from kd2m_theory.reporting.style import AMBER, GREEN, INK, MUTED, PAGE, PURPLE, legend_below, letter, sheet, side_by_side

_SEED = 4
_EACH = 9  # points of a class
_CENTRES_TEACHER = np.array([[0.0, 1.9], [-3.2, -1.0], [3.2, -1.0]])
_CENTRES_STUDENT = np.array([[2.4, 0.7], [-1.4, 0.9], [-0.2, -1.5]])
_COLOURS = (GREEN, PURPLE, AMBER)  # of the classes: the networks are told apart by their marks


def clouds() -> tuple[Float64, Float64, Int64]:
    """Teacher's and student's features, n × 2 each, and the labels that both share."""
    rng = np.random.default_rng(_SEED)
    labels = np.repeat(np.arange(len(_CENTRES_TEACHER)), _EACH)
    teacher = _CENTRES_TEACHER[labels] + 0.5 * rng.normal(size=(len(labels), 2))
    student = _CENTRES_STUDENT[labels] + 0.55 * rng.normal(size=(len(labels), 2))
    return teacher, student, labels


def table() -> Table:
    """Points, labels, both plans as (teacher's index, student's index, mass), and W₂ and CW₂."""
    teacher, student, labels = clouds()
    by_class = []
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        share = len(members) / len(labels)
        moves = _plan(teacher[members], student[members])
        by_class += [(int(members[i]), int(members[j]), mass * share) for i, j, mass in moves]
    plain = _plan(teacher, student)
    return {
        "teacher": teacher.tolist(),
        "student": student.tolist(),
        "labels": labels.tolist(),
        "plan": [list(move) for move in plain],
        "plan_by_class": [list(move) for move in by_class],
        "crossing": math.fsum(mass for i, j, mass in plain if labels[i] != labels[j]),
        "w2": wasserstein(teacher, student, 2).value,
        "cw2": conditional_wasserstein(teacher, student, labels, labels, 2, "uniform").value,
    }


def _plan(x: Float64, y: Float64) -> list[tuple[int, int, float]]:
    weights = np.full(len(x), 1 / len(x)), np.full(len(y), 1 / len(y))
    plan = optimal_plan(cost_matrix(x, y, "euclidean", 2).values, *weights)
    return list(zip(plan.rows.tolist(), plan.columns.tolist(), plan.mass.tolist(), strict=True))


def draw(table: Table, width: float = PAGE) -> Figure:
    """Two panels on common axes; a move to another class is dashed."""
    columns = side_by_side(2, width, 2.3)
    rows = 2 // columns
    figure = sheet(width, rows * 0.66 * width / columns + 0.58, "compressed")
    plain, by_class = figure.subplots(rows, columns, sharex=True, sharey=True).flat
    _panel(plain, table, table["plan"])
    _panel(by_class, table, table["plan_by_class"])
    letter(plain, "a", f"any plan: $W_2$ = {table['w2']:.3f}")
    letter(by_class, "b", f"class by class: $\\mathrm{{CW}}_2$ = {table['cw2']:.3f}")
    legend_below(figure, _legend(table["crossing"]), most=7, handletextpad=0.4, columnspacing=1.4)
    return figure


def _panel(axes: Axes, table: Table, plan: list[list[float]]) -> None:
    teacher, student, labels = (np.array(table[name]) for name in ("teacher", "student", "labels"))
    for row, column, _ in plan:
        i, j = int(row), int(column)
        within = labels[i] == labels[j]
        axes.plot(
            *np.array([teacher[i], student[j]]).T,
            color=_COLOURS[labels[i]] if within else INK,
            lw=1.0,
            ls="-" if within else (0, (3, 1.5)),
            alpha=0.8,
            zorder=1,
        )
    for label, colour in enumerate(_COLOURS):
        axes.plot(*teacher[labels == label].T, ls="none", marker="o", ms=5, color=colour, mec="white", mew=0.5, zorder=2)
        axes.plot(*student[labels == label].T, ls="none", marker="^", ms=5, mfc="white", mec=colour, mew=1.1, zorder=2)
    axes.set_aspect("equal")
    axes.set(xlabel="1st coordinate (units)", ylabel="2nd coordinate (units)")


def _legend(crossing: float) -> list[Line2D]:
    def point(marker: str, face: str, colour: str, words: str) -> Line2D:
        return Line2D([], [], ls="none", marker=marker, ms=5, mfc=face, mec=colour, label=words)

    return [
        point("o", MUTED, MUTED, "teacher"),
        point("^", "white", MUTED, "student"),
        *(Line2D([], [], color=colour, label=f"class {label}") for label, colour in enumerate(_COLOURS)),
        Line2D([], [], color=INK, ls=(0, (3, 1.5)), label=f"to another class ({100 * crossing:.0f} % in a)"),
    ]


def caption(table: Table) -> str:
    """How to read it."""
    return (
        "Circles are the teacher's features, triangles the student's, colours are classes; a line joins two points that "
        f"exchange mass. a: the plan that costs least, W₂ = {table['w2']:.3f}; it moves {100 * table['crossing']:.0f} % of "
        f"the mass to another class. b: the best plan within each class, CW₂ = {table['cw2']:.3f}. The clouds are made by "
        "this project; the paper's are others."
    )


FIGURE = PaperFigure(
    name="couplings",
    sentence="the optimal plan between two labelled clouds, and the best one that keeps every class to itself",
    source="KD²M (arXiv 2504.01757), metric illustrations: a coupling, and class-conditional couplings",
    table=table,
    draw=draw,
    caption=caption,
)
