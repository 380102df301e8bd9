"""How often every claim about the population was wrong, beside how often it may be."""

from typing import TYPE_CHECKING

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from kd2m_theory.bounds import ROWS
from kd2m_theory.bounds.targets import MEASURED
from kd2m_theory.paper_figures.figure import PaperFigure, Table, filled, unfinished
from kd2m_theory.reporting.style import BLUE, GREEN, INK, MUTED, ORANGE, PAGE, folded, from_zero, legend_below, sheet
from kd2m_theory.validation.campaigns.stored_campaigns import STANDARD

if TYPE_CHECKING:
    from kd2m_theory.validation.campaigns.findings import Findings

_COLOURS, _MARKERS = (BLUE, GREEN, MUTED, INK), ("o", "s", "^", "D")
_WITHOUT_POWER = ("nothing", "not tried")
_LEAST = 1e-3  # the axis is logarithmic from here on, and linear below


def numbers(found: "Findings") -> Table:
    """Every judged claim: rows of the ladder, measured values, all together, and what is broken on purpose."""
    from kd2m_theory.validation.campaigns.claims import BROKEN, TOGETHER  # reads Parquet, which is optional

    order = [*(row.name for row in ROWS), *MEASURED, TOGETHER, BROKEN]
    cells = sorted(found.judgement.cells, key=lambda cell: (order.index(cell.name), cell.delta, cell.n))
    keys = ("run", "name", "n", "delta", "guaranteed", "trials", "possible", "lower", "upper", "power", "verdict")
    return {"rows": [{key: getattr(cell, key) for key in keys} for cell in cells], "missing": found.missing}


def draw(table: Table, width: float = PAGE) -> Figure:
    """For each pair that was studied a panel for each δ: intervals of the failure rate, δ as a line; the axis is
    logarithmic, and linear below one in a thousand, so that no failure at all stands at 0.

    A hollow mark is a count that would not have noticed a missing radius, or has no controls.
    """
    deltas = sorted({row["delta"] for row in table["rows"]})
    runs = list(dict.fromkeys(row["run"] for row in table["rows"]))
    names = list(dict.fromkeys(row["name"] for row in table["rows"]))
    sizes = sorted({row["n"] for row in table["rows"]})
    figure = sheet(width, len(runs) * (0.26 * len(names) + 0.4) + 0.7)
    grid = figure.subplots(len(runs), len(deltas), sharex=True, sharey=True, squeeze=False)
    for panels, run in zip(grid, runs, strict=True):
        for axes, delta in zip(panels, deltas, strict=True):
            from_zero(axes, "x", _LEAST)
            axes.set(xlim=(0, 1), ylim=(len(names) - 0.4, -0.6), title=f"δ = {delta:g}")
            axes.axvline(delta, color=INK, lw=0.8)
            for row in table["rows"]:
                if (row["run"], row["delta"]) == (run, delta):
                    _row(axes, names.index(row["name"]), sizes.index(row["n"]), len(sizes), row)
        panels[0].set_yticks(range(len(names)), names)
        panels[0].set_ylabel(folded(figure, run, 0.26 * len(names) + 0.4, 7.5))
    for axes in grid[-1]:
        axes.set_xlabel("rate of failure")
    legend_below(figure, _legend(sizes), "mark: share of audits in which the claim was wrong; line: its 95 % interval", most=4)
    return figure


def _row(axes: Axes, name: int, size: int, count: int, row: Table) -> None:
    y = name + 0.7 * ((size + 0.5) / count - 0.5)
    colour = ORANGE if row["verdict"] == "invalid" else _COLOURS[size % len(_COLOURS)]
    axes.plot([row["lower"], row["upper"]], [y, y], color=colour, lw=1, ls="-" if row["guaranteed"] else ":")
    rate = row["possible"] / row["trials"]
    face = "none" if row["power"] in _WITHOUT_POWER else colour
    axes.plot([rate], [y], marker=_MARKERS[size % len(_MARKERS)], ms=3, color=colour, mfc=face, clip_on=False)


def _legend(sizes: list[int]) -> list[Line2D]:
    handles = [
        Line2D([], [], marker=_MARKERS[k % len(_MARKERS)], ms=3, color=_COLOURS[k % len(_COLOURS)], lw=1, label=f"n = {n:,}")
        for k, n in enumerate(sizes)
    ]
    handles.append(Line2D([], [], color=ORANGE, lw=1, label="invalid: wrong more often than δ"))
    handles.append(Line2D([], [], color=INK, lw=0.8, label="δ: how often it may be wrong"))
    handles.append(Line2D([], [], color=MUTED, lw=1, ls=":", label="no guarantee: asymptotic, or broken on purpose"))
    handles.append(Line2D([], [], ls="none", marker="o", ms=3, color=MUTED, mfc="none", label="would miss a missing radius"))
    return handles


def caption(table: Table) -> str:
    """How to read it, and what was found."""
    rows = table["rows"]
    never = sum(row["possible"] == 0 for row in rows)
    invalid = sorted({row["name"] for row in rows if row["verdict"] == "invalid"})
    return (
        f"{len(rows)} counts of failures, {never} of them zero. The mark is the share of audits in which a claim was "
        "wrong, the line its interval (all of them together at 95 %), the vertical line δ, how often it may be wrong; a "
        f"dotted line belongs to a claim without a guarantee. The axis is linear below {_LEAST:g}, so that a count of zero "
        "stands at 0. A hollow mark would not have noticed a missing radius. Wrong more often than δ: "
        f"{', '.join(invalid) or 'none'}. The claim “half of an interval” is broken on purpose and has to be among them."
        f"{unfinished(table)}"
    )


FIGURE = PaperFigure(
    name="coverage",
    sentence="how often every claim about the population was wrong in thousands of audits, beside how often it may be",
    source="ours",
    table=filled(numbers, "the figure coverage needs a [[coverage]] study, which the campaign lacks"),
    draw=draw,
    caption=caption,
    reads=(STANDARD,),
)
