"""How often every claim about the population was wrong, beside how often it may be."""

from typing import TYPE_CHECKING

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from kd2m_theory.bounds import ROWS
from kd2m_theory.bounds.targets import MEASURED
from kd2m_theory.paper_figures.figure import PaperFigure, Table
from kd2m_theory.reporting.style import BLUE, GREEN, INK, MUTED, ORANGE, PAGE, sheet
from kd2m_theory.validation.campaigns.standard import STANDARD

if TYPE_CHECKING:
    from kd2m_theory.validation.campaigns.findings import Findings

_COLOURS, _MARKERS = (BLUE, GREEN, MUTED, INK), ("o", "s", "^", "D")
_WITHOUT_POWER = ("nothing", "not tried")
_FLOOR = 1e-4  # a rate of zero is drawn here


def numbers(found: "Findings") -> Table:
    """Every judged claim: rows of the ladder, measured values, all together, and what is broken on purpose."""
    from kd2m_theory.validation.campaigns.claims import BROKEN, TOGETHER  # reads Parquet, which is optional

    order = [*(row.name for row in ROWS), *MEASURED, TOGETHER, BROKEN]
    cells = sorted(found.judgement.cells, key=lambda cell: (order.index(cell.name), cell.delta, cell.n))
    keys = ("run", "name", "n", "delta", "guaranteed", "trials", "possible", "lower", "upper", "power", "verdict")
    return {"rows": [{key: getattr(cell, key) for key in keys} for cell in cells]}


def draw(table: Table) -> Figure:
    """For each pair that was studied a panel for each δ: intervals of the failure rate on a logarithmic axis, δ as a line.

    A hollow mark is a count that would not have noticed a missing radius, or has no controls.
    """
    deltas = sorted({row["delta"] for row in table["rows"]})
    runs = list(dict.fromkeys(row["run"] for row in table["rows"]))
    names = list(dict.fromkeys(row["name"] for row in table["rows"]))
    sizes = sorted({row["n"] for row in table["rows"]})
    figure = sheet(PAGE, len(runs) * (0.26 * len(names) + 0.4) + 0.7)
    grid = figure.subplots(len(runs), len(deltas), sharex=True, sharey=True, squeeze=False)
    for panels, run in zip(grid, runs, strict=True):
        for axes, delta in zip(panels, deltas, strict=True):
            axes.set(xscale="log", xlim=(_FLOOR, 1), ylim=(len(names) - 0.4, -0.6), title=f"δ = {delta:g}")
            axes.axvline(delta, color=INK, lw=0.8)
            for row in table["rows"]:
                if (row["run"], row["delta"]) == (run, delta):
                    _row(axes, names.index(row["name"]), sizes.index(row["n"]), len(sizes), row)
        panels[0].set_yticks(range(len(names)), names)
        panels[0].set_ylabel(run)
    for axes in grid[-1]:
        axes.set_xlabel("rate of failure")
    figure.legend(handles=_legend(sizes), loc="outside lower center", ncols=len(sizes) + 3)
    return figure


def _row(axes: Axes, name: int, size: int, count: int, row: Table) -> None:
    y = name + 0.7 * ((size + 0.5) / count - 0.5)
    colour = ORANGE if row["verdict"] == "invalid" else _COLOURS[size % len(_COLOURS)]
    axes.plot([max(row["lower"], _FLOOR), row["upper"]], [y, y], color=colour, lw=1, ls="-" if row["guaranteed"] else ":")
    rate = max(row["possible"] / row["trials"], _FLOOR)
    face = "none" if row["power"] in _WITHOUT_POWER else colour
    axes.plot([rate], [y], marker=_MARKERS[size % len(_MARKERS)], ms=3, color=colour, mfc=face, clip_on=False)


def _legend(sizes: list[int]) -> list[Line2D]:
    handles = [
        Line2D([], [], marker=_MARKERS[k % len(_MARKERS)], ms=3, color=_COLOURS[k % len(_COLOURS)], lw=1, label=f"n = {n:,}")
        for k, n in enumerate(sizes)
    ]
    handles.append(Line2D([], [], color=ORANGE, lw=1, label="invalid"))
    handles.append(Line2D([], [], color=INK, lw=0.8, label="δ"))
    handles.append(Line2D([], [], ls="none", marker="o", ms=3, color=MUTED, mfc="none", label="would miss a missing radius"))
    return handles


FIGURE = PaperFigure(
    name="coverage",
    sentence="how often every claim about the population was wrong in thousands of audits, beside how often it may be",
    source="ours",
    table=numbers,
    draw=draw,
    reads=(STANDARD,),
)
