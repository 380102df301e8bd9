"""KD²M at a glance: one batch through both networks, features matched as distributions, predictions as in classical KD.

Nothing in it is drawn by hand: real images, the features and predictions of the demonstration's teacher and of its student
that was trained alone.
"""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Rectangle

from kd2m_theory.errors import InputError
from kd2m_theory.files import read_json
from kd2m_theory.paper_figures.figure import PaperFigure, Table
from kd2m_theory.reporting.style import GREEN, MUTED, PAGE, PALE, STUDENT, TEACHER, diagram, sheet
from kd2m_theory.validation.stored_tables import StoredTable

SIDE = 4  # rows and columns of images
_HEIGHT, _MIDDLE = 3.4, 1.74
_UPPER, _LOWER = 2.68, 0.80  # heights of the teacher's and the student's row


def table(stored: Table) -> Table:
    """The stored numbers without the record of how they were made.

    Raises:
        InputError: the file lacks one of them.
    """
    missing = [name for name in _SHOWN if name not in stored]
    if missing:
        raise InputError(f"{STORED.file} has no {missing[0]!r}; write it again with `{STORED.command}`")
    return {name: stored[name] for name in _SHOWN}


def _read(path: Path) -> Table:
    return read_json(path, f"{path} is not a table of numbers; write it again with `{STORED.command}`")


# One batch of test images through the demonstration's teacher and the student trained alone.
STORED = StoredTable(
    file="framework.json", command="python validation/benchmarks/demonstration.py --save validation/benchmarks", read=_read
)
_SHOWN = (
    "batch",
    "images",
    "example",
    "label",
    "dimension",
    "parameters",
    "features",
    "probabilities",
    "kl",
    "w2",
    "cw2",
)


def draw(table: Table) -> Figure:
    """Left to right: batch, encoders, features, heads, predictions; teacher above, student below."""
    figure = sheet(PAGE, _HEIGHT, None)
    canvas = figure.add_axes((0, 0, 1, 1))
    diagram(canvas)
    canvas.set(xlim=(0, PAGE), ylim=(0, _HEIGHT))
    _images(figure, canvas, table)
    for name, letter, colour, height in (("teacher", "T", TEACHER, _UPPER), ("student", "S", STUDENT, _LOWER)):
        _box(canvas, 2.0, height, f"{name} $g_{letter}$\n{table['parameters'][name]:,}\nweights", colour)
        _arrow(canvas, (1.22, _MIDDLE + 0.3 * (height - _MIDDLE)), (1.6, height), colour)
        _arrow(canvas, (2.4, height), (2.78, height), colour)
        _cloud(figure, table, name, height)
        _arrow(canvas, (4.35, height), (4.65, height), colour)
        _box(canvas, 4.87, height, f"head\n$h_{letter}$", colour, 0.44)
        _arrow(canvas, (5.09, height), (5.35, height), colour)
        _prediction(figure, table, name, height)
    _arrow(canvas, (3.62, _MIDDLE - 0.22), (3.62, _MIDDLE + 0.22), GREEN, both=True)
    words = f"$W_2$ = {table['w2']:.2f}\n$\\mathrm{{CW}}_2$ = {table['cw2']:.2f}"
    canvas.text(3.54, _MIDDLE, "KD²M\n$D(P_S, P_T)$", ha="right", va="center", color=GREEN)
    canvas.text(3.70, _MIDDLE, words, ha="left", va="center", color=GREEN)
    _arrow(canvas, (6.4, _MIDDLE - 0.22), (6.4, _MIDDLE + 0.22), MUTED, both=True)
    canvas.text(6.32, _MIDDLE, "classical KD\n$\\mathrm{KL}(p_T \\| p_S)$", ha="right", va="center", color=MUTED)
    canvas.text(6.48, _MIDDLE, f"{table['kl']:.2f} nats", ha="left", va="center", color=MUTED)
    words = r"the student minimises  $\mathbb{E}\,\ell(h_S(g_S(x)), y) + \lambda\, D(P_S, P_T)$"
    canvas.text(0.14, 0.12, words, fontsize=7)
    return figure


def _images(figure: Figure, canvas: Axes, table: Table) -> None:
    side, left, top = 0.255, 0.14, _MIDDLE + 2 * 0.255
    for k, image in enumerate(table["images"]):
        row, column = divmod(k, SIDE)
        x, y = left + side * column, top - side * (row + 1)
        axes = _inset(figure, x + 0.01, y + 0.01, side - 0.02, side - 0.02)
        axes.imshow(np.array(image), cmap="gray_r", vmin=0, vmax=1, interpolation="nearest")
        diagram(axes)
        if k == table["example"]:
            canvas.add_patch(Rectangle((x, y), side, side, fill=False, ec=GREEN, lw=1.8, zorder=3))
    words = f"one batch\nof {table['batch']} images"
    canvas.text(left + SIDE * side / 2, top + 0.06, words, ha="center", va="bottom")
    words = f"marked: a {table['label']},\npredicted at the right"
    canvas.text(left + SIDE * side / 2, top - SIDE * side - 0.06, words, ha="center", va="top", color=GREEN, fontsize=6.5)


def _cloud(figure: Figure, table: Table, name: str, height: float) -> None:
    axes = _inset(figure, 3.02, height - 0.5, 1.26, 1.04)
    for other, marker, colour in (("teacher", "o", TEACHER), ("student", "^", STUDENT)):
        points = np.array(table["features"][other])
        own = other == name
        axes.plot(*points.T, ls="none", marker=marker, ms=2.6, mew=0, color=colour if own else PALE, zorder=2 if own else 1)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_xlabel("1st principal axis", fontsize=6.5, labelpad=2)
    axes.set_ylabel("2nd axis", fontsize=6.5, labelpad=2)
    letter = name[0].upper()
    axes.set_title(f"features, law $P_{letter}$ on $\\mathbb{{R}}^{{{table['dimension']}}}$", fontsize=7, pad=2, loc="center")


def _prediction(figure: Figure, table: Table, name: str, height: float) -> None:
    axes = _inset(figure, 5.72, height - 0.42, 1.4, 0.88)
    colour = TEACHER if name == "teacher" else STUDENT
    heights = table["probabilities"][name]
    axes.bar(range(len(heights)), heights, color=colour, width=0.75)
    axes.set(ylim=(0, 1), xlim=(-0.6, len(heights) - 0.4))
    axes.set_xticks(range(len(heights)))
    axes.set_yticks([0, 1])
    axes.tick_params(length=2, pad=1.5, labelsize=6.5)
    axes.set_xlabel("class", fontsize=6.5, labelpad=1)
    axes.set_ylabel("probability", fontsize=6.5, labelpad=0)
    axes.set_title(f"prediction $p_{name[0].upper()}$", fontsize=7, pad=2, loc="center")


def _inset(figure: Figure, left: float, bottom: float, width: float, height: float) -> Axes:
    """Axes at a place in inches."""
    return figure.add_axes((left / PAGE, bottom / _HEIGHT, width / PAGE, height / _HEIGHT))


def _box(canvas: Axes, x: float, y: float, words: str, colour: str, width: float = 0.78) -> None:
    corner = x - width / 2, y - 0.27
    style: Any = "round,pad=0,rounding_size=0.06"
    canvas.add_patch(FancyBboxPatch(corner, width, 0.54, boxstyle=style, fc="white", ec=colour, lw=1.2))
    canvas.text(x, y, words, ha="center", va="center", fontsize=7)


def _arrow(canvas: Axes, start: tuple[float, float], end: tuple[float, float], colour: str, *, both: bool = False) -> None:
    properties = {"arrowstyle": "<->" if both else "->", "color": colour, "lw": 1.1, "shrinkA": 0, "shrinkB": 0}
    canvas.annotate("", end, start, arrowprops=properties)


FIGURE = PaperFigure(
    name="framework",
    sentence="one batch through both networks: features matched as distributions, predictions as in classical distillation",
    source="KD²M (arXiv 2504.01757), framework overview",
    table=table,
    draw=draw,
    reads=(STORED,),
)
