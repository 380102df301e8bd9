"""Bound / gap of every guaranteed row of a campaign: quartiles for each population."""

import math
from typing import TYPE_CHECKING

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from kd2m_theory.paper_figures.figure import PaperFigure, Table, filled, unfinished
from kd2m_theory.reporting.style import BLUE, GREEN, INK, MUTED, ORANGE, PAGE, legend_below, sheet
from kd2m_theory.validation.campaigns.stored_campaigns import STANDARD

if TYPE_CHECKING:
    from kd2m_theory.validation.campaigns.findings import Findings

_COLOURS, _MARKERS = (BLUE, ORANGE, GREEN, MUTED), ("o", "s", "^", "D")
_TARGETS = ("gap", "gap_shared_head")


def numbers(found: "Findings") -> Table:
    """Quartiles by row and population, of rows that bound a gap of cross-entropy; null where a quartile is infinite."""
    from kd2m_theory.validation.campaigns.tightness import comparable, spreads  # reads Parquet, which is optional

    rows = [row for row in comparable(found.bounds) if row["target"] in _TARGETS]
    groups = spreads(rows, lambda row: (row["name"], row["population"]))
    return {
        "rows": [
            {"name": name, "population": population}
            | {key: getattr(spread, key) if math.isfinite(getattr(spread, key)) else None for key in _QUARTILES}
            for (name, population), spread in groups.items()
        ],
        "missing": found.missing,
    }


_QUARTILES = ("quarter", "median", "three_quarters")


def draw(table: Table, width: float = PAGE) -> Figure:
    """One line per row on a logarithmic axis: the median, and from quartile to quartile."""
    names = list(dict.fromkeys(row["name"] for row in table["rows"]))
    populations = sorted({row["population"] for row in table["rows"]})
    figure = sheet(width, 0.19 * len(names) + 1.0)
    axes = figure.subplots()
    axes.set(xscale="log", ylim=(len(names) - 0.4, -0.6), xlabel="bound / the gap that it bounds", ylabel="row of the ladder")
    axes.set_yticks(range(len(names)), names)
    axes.axvline(1, color=INK, lw=0.7)
    for row in table["rows"]:
        k = populations.index(row["population"])
        y = names.index(row["name"]) + 0.5 * ((k + 0.5) / len(populations) - 0.5)
        colour = _COLOURS[k % len(_COLOURS)]
        if row["quarter"] is not None and row["three_quarters"] is not None:
            axes.plot([row["quarter"], row["three_quarters"]], [y, y], color=colour, lw=1)
        if row["median"] is not None:
            axes.plot([row["median"]], [y], marker=_MARKERS[k % len(_MARKERS)], ms=3, color=colour)
    handles = [
        Line2D([], [], marker=_MARKERS[k % len(_MARKERS)], ms=3, color=_COLOURS[k % len(_COLOURS)], lw=1, label=name)
        for k, name in enumerate(populations)
    ]
    handles.append(Line2D([], [], color=INK, lw=0.7, label="1: the bound is the gap"))
    words = "mark: median over the pairs of a population; line: from the first to the third quartile, if both are finite"
    legend_below(figure, handles, words)
    return figure


def caption(table: Table) -> str:
    """How to read it."""
    names = {row["name"] for row in table["rows"]}
    populations = sorted({row["population"] for row in table["rows"]})
    return (
        f"{len(names)} guaranteed rows on {', '.join(populations)}. The mark is the median of bound / gap over the pairs "
        "of a population, the line goes from the first to the third quartile; a quartile that is infinite has no line, and "
        f"one between two pairs is the larger. At 1 the bound is the gap.{unfinished(table)}"
    )


FIGURE = PaperFigure(
    name="tightness",
    sentence="bound / gap of every guaranteed row over all pairs of a campaign, by population",
    source="ours",
    table=filled(
        numbers,
        "the figure tightness needs audited pairs with a guaranteed bound on a gap, which the campaign lacks",
    ),
    draw=draw,
    caption=caption,
    reads=(STANDARD,),
)
