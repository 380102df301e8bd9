"""Bound / gap over training: the tightest row of every theorem, from the untrained student to the last epoch."""

import math
from pathlib import Path
from typing import TYPE_CHECKING

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from kd2m_theory.paper_figures.campaign_table import STANDARD, findings_in
from kd2m_theory.paper_figures.figure import PaperFigure, Table
from kd2m_theory.paper_figures.style import INK, PAGE, PALETTE, sheet

if TYPE_CHECKING:
    from kd2m_theory.validation.campaigns.findings import Findings

_TARGETS = ("gap", "gap_shared_head")
_DASHES = ("-", "--", ":")


def numbers(found: "Findings") -> Table:
    """Median of bound / gap by row, population and epoch; null where it is infinite."""
    from kd2m_theory.validation.campaigns.tightness import comparable, spreads, tightest  # reads Parquet, which is optional

    rows = comparable(found.bounds)
    names = tightest(rows, _TARGETS)
    groups = spreads([row for row in rows if row["name"] in names], lambda row: (row["name"], row["population"], row["epoch"]))
    return {
        "rows": [
            {"name": name, "population": population, "epoch": epoch, "pairs": spread.count}
            | {"median": spread.median if math.isfinite(spread.median) else None}
            for (name, population, epoch), spread in sorted(groups.items(), key=lambda each: (names.index(each[0][0]), each[0]))
        ]
    }


def table(path: Path) -> Table:
    """The numbers in a campaign's table."""
    return numbers(findings_in(path))


def draw(table: Table) -> Figure:
    """A panel for each population, a line a row on a logarithmic axis."""
    rows = table["rows"]
    names = list(dict.fromkeys(row["name"] for row in rows))
    populations = sorted({row["population"] for row in rows})
    figure = sheet(PAGE, 2.7)
    panels = figure.subplots(1, len(populations), sharey=True, squeeze=False)[0]
    for axes, population in zip(panels, populations, strict=True):
        axes.set(yscale="log", title=population, xlabel="epochs of training")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.axhline(1, color=INK, lw=0.7)
        for k, name in enumerate(names):
            mine = [row for row in rows if (row["name"], row["population"]) == (name, population) and row["median"] is not None]
            style = {
                "color": PALETTE[k % len(PALETTE)],
                "ls": _DASHES[k // len(PALETTE) % len(_DASHES)],
                "marker": "o",
                "ms": 2.5,
            }
            axes.plot([row["epoch"] for row in mine], [row["median"] for row in mine], label=name, **style)
    panels[0].set_ylabel("bound / gap, median over pairs")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(5, len(names)))
    return figure


FIGURE = PaperFigure(
    "tightness-over-training",
    "bound / gap of every theorem's tightest row, from the untrained student to the last epoch",
    "ours",
    table,
    draw,
    reads=(STANDARD,),
)
