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
_SIDE = 0.255  # inches of an image
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


def draw(table: Table, width: float = PAGE) -> Figure:
    """Batch, encoders, features, heads, predictions: from left to right with the teacher above, or, where that does not fit,
    from top to bottom with the teacher at the left.
    """
    return _across(table, width) if width >= PAGE else _down(table, width)


def _across(table: Table, width: float) -> Figure:
    figure, canvas = _canvas(width, _HEIGHT)
    x = width / PAGE  # places are those of a page, drawn apart where there is more room
    _images(canvas, table, (0.14 * x, _MIDDLE - 2 * _SIDE), below=True)
    for name, colour, height in (("teacher", TEACHER, _UPPER), ("student", STUDENT, _LOWER)):
        letter = name[0].upper()
        _box(canvas, 2.0 * x, height, _encoder(table, name), colour)
        _arrow(canvas, (0.14 * x + 1.08, _MIDDLE + 0.3 * (height - _MIDDLE)), (2.0 * x - 0.4, height), colour)
        _arrow(canvas, (2.0 * x + 0.4, height), (3.02 * x - 0.24, height), colour)
        _cloud(canvas, table, name, (3.02 * x, height - 0.5, 1.26 * x, 1.04))
        _arrow(canvas, (4.35 * x, height), (4.87 * x - 0.22, height), colour)
        _box(canvas, 4.87 * x, height, f"head\n$h_{letter}$", colour, 0.44)
        _arrow(canvas, (4.87 * x + 0.22, height), (5.72 * x - 0.37, height), colour)
        _prediction(canvas, table, name, (5.72 * x, height - 0.42, 1.4 * x, 0.88))
    _arrow(canvas, (3.62 * x, _MIDDLE - 0.22), (3.62 * x, _MIDDLE + 0.22), GREEN, both=True)
    canvas.text(3.62 * x - 0.08, _MIDDLE, _MATCHED, ha="right", va="center", color=GREEN)
    canvas.text(3.62 * x + 0.08, _MIDDLE, _distances(table), ha="left", va="center", color=GREEN)
    _arrow(canvas, (6.4 * x, _MIDDLE - 0.22), (6.4 * x, _MIDDLE + 0.22), MUTED, both=True)
    canvas.text(6.4 * x - 0.08, _MIDDLE, f"classical KD\n{_KL}", ha="right", va="center", color=MUTED)
    canvas.text(6.4 * x + 0.08, _MIDDLE, f"{table['kl']:.2f} nats", ha="left", va="center", color=MUTED)
    canvas.text(0.14, 0.12, _GOAL, fontsize=7)
    return figure


def _down(table: Table, width: float) -> Figure:
    top = 6.85
    figure, canvas = _canvas(width, top)
    middle = width / 2
    _images(canvas, table, (middle - 2 * _SIDE, top - 1.45), below=False)
    room = 0.34 * width
    for name, colour, centre in (("teacher", TEACHER, 0.25 * width), ("student", STUDENT, 0.77 * width)):
        letter = name[0].upper()
        start = middle + 0.3 * (centre - middle)
        _arrow(canvas, (start, top - 1.5), (centre, top - 1.78), colour)
        _box(canvas, centre, top - 2.05, _encoder(table, name), colour)
        _arrow(canvas, (centre, top - 2.32), (centre, top - 2.52), colour)
        _cloud(canvas, table, name, (centre - room / 2, top - 3.72, room, 1.0))
        _arrow(canvas, (centre, top - 3.95), (centre, top - 4.15), colour)
        _box(canvas, centre, top - 4.42, f"head\n$h_{letter}$", colour, 0.44)
        _arrow(canvas, (centre, top - 4.69), (centre, top - 4.86), colour)
        _prediction(canvas, table, name, (centre - room / 2, top - 5.95, room, 0.9))
    ends = 0.25 * width + room / 2 + 0.06, 0.77 * width - room / 2 - 0.26
    _arrow(canvas, (ends[0], top - 3.2), (ends[1], top - 3.2), GREEN, both=True)
    canvas.text(middle, top - 4.4, f"{_MATCHED}\n{_distances(table)}", ha="center", va="center", color=GREEN)
    _arrow(canvas, (ends[0], top - 5.5), (ends[1], top - 5.5), MUTED, both=True)
    canvas.text(middle, top - 6.42, f"classical KD: {_KL} = {table['kl']:.2f} nats", ha="center", va="center", color=MUTED)
    canvas.text(middle, 0.12, _GOAL, fontsize=7, ha="center")
    return figure


_MATCHED = "KD²M\n$D(P_S, P_T)$"
_KL = r"$\mathrm{KL}(p_T \| p_S)$"
_GOAL = r"the student minimises  $\mathbb{E}\,\ell(h_S(g_S(x)), y) + \lambda\, D(P_S, P_T)$"


def _distances(table: Table) -> str:
    return f"$W_2$ = {table['w2']:.2f}\n$\\mathrm{{CW}}_2$ = {table['cw2']:.2f}"


def _encoder(table: Table, name: str) -> str:
    return f"{name} $g_{name[0].upper()}$\n{table['parameters'][name]:,}\nweights"


def _canvas(width: float, height: float) -> tuple[Figure, Axes]:
    """A sheet, and axes that cover it with inches for coordinates."""
    figure = sheet(width, height, None)
    canvas = figure.add_axes((0, 0, 1, 1))
    diagram(canvas)
    canvas.set(xlim=(0, width), ylim=(0, height))
    return figure, canvas


def _images(canvas: Axes, table: Table, corner: tuple[float, float], *, below: bool) -> None:
    """The batch with its lower left corner there; what is marked is said below it, or at its right."""
    left, bottom = corner
    top = bottom + SIDE * _SIDE
    for k, image in enumerate(table["images"]):
        row, column = divmod(k, SIDE)
        x, y = left + _SIDE * column, top - _SIDE * (row + 1)
        axes = _inset(canvas, (x + 0.01, y + 0.01, _SIDE - 0.02, _SIDE - 0.02))
        axes.imshow(np.array(image), cmap="gray_r", vmin=0, vmax=1, interpolation="nearest")
        diagram(axes)
        if k == table["example"]:
            canvas.add_patch(Rectangle((x, y), _SIDE, _SIDE, fill=False, ec=GREEN, lw=1.8, zorder=3))
    middle = left + SIDE * _SIDE / 2
    canvas.text(middle, top + 0.06, f"one batch\nof {table['batch']} images", ha="center", va="bottom")
    words = f"marked: a {table['label']},\npredicted {'at the right' if below else 'below'}"
    if below:
        canvas.text(middle, bottom - 0.06, words, ha="center", va="top", color=GREEN, fontsize=6.5)
    else:
        canvas.text(left + SIDE * _SIDE + 0.1, (top + bottom) / 2, words, va="center", color=GREEN, fontsize=6.5)


def _cloud(canvas: Axes, table: Table, name: str, box: tuple[float, float, float, float]) -> None:
    axes = _inset(canvas, box)
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


def _prediction(canvas: Axes, table: Table, name: str, box: tuple[float, float, float, float]) -> None:
    axes = _inset(canvas, box)
    colour = TEACHER if name == "teacher" else STUDENT
    heights = table["probabilities"][name]
    # With an edge a probability of zero is a line at zero.
    axes.bar(range(len(heights)), heights, color=colour, ec=colour, lw=0.8, width=0.7, clip_on=False)
    axes.set(ylim=(0, 1), xlim=(-0.6, len(heights) - 0.4))
    axes.set_xticks(range(len(heights)))
    axes.set_yticks([0, 1])
    axes.tick_params(length=2, pad=1.5, labelsize=6.5)
    axes.set_xlabel("class", fontsize=6.5, labelpad=1)
    axes.set_ylabel("probability", fontsize=6.5, labelpad=0)
    axes.set_title(f"prediction $p_{name[0].upper()}$", fontsize=7, pad=2, loc="center")


def _inset(canvas: Axes, box: tuple[float, float, float, float]) -> Axes:
    """Axes at a place of the canvas: left, bottom, width and height in inches."""
    figure = canvas.get_figure(root=True)
    assert figure is not None
    (left, bottom, width, height), (across, down) = box, figure.get_size_inches()
    return figure.add_axes((left / across, bottom / down, width / across, height / down))


def _box(canvas: Axes, x: float, y: float, words: str, colour: str, width: float = 0.78) -> None:
    corner = x - width / 2, y - 0.27
    style: Any = "round,pad=0,rounding_size=0.06"
    canvas.add_patch(FancyBboxPatch(corner, width, 0.54, boxstyle=style, fc="white", ec=colour, lw=1.2))
    canvas.text(x, y, words, ha="center", va="center", fontsize=7)


def _arrow(canvas: Axes, start: tuple[float, float], end: tuple[float, float], colour: str, *, both: bool = False) -> None:
    properties = {"arrowstyle": "<->" if both else "->", "color": colour, "lw": 1.1, "shrinkA": 0, "shrinkB": 0}
    canvas.annotate("", end, start, arrowprops=properties)


def caption(table: Table) -> str:
    """How to read it."""
    return (
        f"{table['batch']} test images through the demonstration's teacher and its student that was trained alone. "
        "Features are projected on their first two principal axes, the other network's in grey. Nothing is drawn by hand: "
        f"W₂ = {table['w2']:.2f} and CW₂ = {table['cw2']:.2f} are those of this batch, KL = {table['kl']:.2f} nats and the "
        "bars those of the marked image; a probability of zero is a line at zero. The paper's overview is a drawing."
    )


FIGURE = PaperFigure(
    name="framework",
    sentence="one batch through both networks: features matched as distributions, predictions as in classical distillation",
    source="KD²M (arXiv 2504.01757), framework overview",
    table=table,
    draw=draw,
    caption=caption,
    reads=(STORED,),
)
