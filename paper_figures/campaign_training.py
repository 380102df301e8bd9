"""Bound / gap over training: the tightest row of every theorem, from the untrained student to the last epoch."""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from kd2m_theory.paper_figures.figure import PaperFigure, Table, filled, unfinished
from kd2m_theory.reporting.style import INK, PAGE, PALETTE, legend_below, sheet
from kd2m_theory.validation.campaigns.stored_campaigns import STANDARD

if TYPE_CHECKING:
    from kd2m_theory.validation.campaigns.findings import Findings

_TARGETS = {"gap": "own heads", "gap_shared_head": "teacher's head"}


def numbers(found: "Findings") -> Table:
    """Median of bound / gap by row, population and epoch; null where it is infinite. One epoch alone does not show a change."""
    from kd2m_theory.validation.campaigns.tightness import comparable, spreads, tightest  # reads Parquet, which is optional

    rows = comparable(found.bounds)
    epochs: dict[str, set[int]] = {}
    for row in rows:
        epochs.setdefault(row["population"], set()).add(row["epoch"])
    rows = [row for row in rows if len(epochs[row["population"]]) > 1]
    names = {name: target for target in _TARGETS for name in tightest(rows, target)}
    order = list(names)
    groups = spreads([row for row in rows if row["name"] in names], lambda row: (row["name"], row["population"], row["epoch"]))
    return {
        "rows": [
            {"target": names[name], "name": name, "population": population, "epoch": epoch, "pairs": spread.count}
            | {"median": spread.median if math.isfinite(spread.median) else None}
            for (name, population, epoch), spread in sorted(groups.items(), key=lambda each: (order.index(each[0][0]), each[0]))
        ],
        "missing": found.missing,
    }


def draw(table: Table, width: float = PAGE) -> Figure:
    """A row of panels for each gap, a panel for each population, a line for each theorem on a logarithmic axis."""
    rows = table["rows"]
    targets = [target for target in _TARGETS if any(row["target"] == target for row in rows)]
    populations = sorted({row["population"] for row in rows})
    theorems = sorted({_theorem(row) for row in rows}, key=lambda name: int(name[1:]))
    across = width >= 1.4 * len(populations)
    rows_and_columns = (len(targets), len(populations)) if across else (len(populations), len(targets))
    figure = sheet(width, 0.7 + 1.95 * rows_and_columns[0])
    grid = figure.subplots(*rows_and_columns, sharex="col" if across else False, sharey=True, squeeze=False)
    for i, target in enumerate(targets):
        for j, population in enumerate(populations):
            axes = grid[i, j] if across else grid[j, i]
            axes.set(yscale="log")
            axes.axhline(1, color=INK, lw=0.7)
            for theorem, style in zip(theorems, _styles(), strict=False):
                where = target, population, theorem
                mine = [row for row in rows if (row["target"], row["population"], _theorem(row)) == where]
                mine = [row for row in mine if row["median"] is not None]
                axes.plot([row["epoch"] for row in mine], [row["median"] for row in mine], marker="o", ms=2.5, **style)
            if (j if across else i) == 0:
                axes.set_ylabel(f"bound / gap, {_TARGETS[target]},\nmedian over pairs" if across else "bound / gap, median")
            if across and i == 0:
                axes.set_title(population)
            if not across:
                axes.set_title(f"{population},\n{_TARGETS[target]}")
            if not across or i == len(targets) - 1:
                axes.set_xlabel("epochs of training")
                axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    styles = zip(theorems, _styles(), strict=False)
    handles = [Line2D([], [], marker="o", ms=2.5, label=theorem, **style) for theorem, style in styles]
    handles.append(Line2D([], [], color=INK, lw=0.7, label="1: the bound is the gap"))
    legend_below(figure, handles, most=len(handles))
    return figure


def caption(table: Table) -> str:
    """How to read it."""
    names = list(dict.fromkeys(row["name"] for row in table["rows"]))
    first = min(row["epoch"] for row in table["rows"])
    begin = f"epoch {first}" if first else "the untrained student (epoch 0)"
    return (
        f"Median over pairs of bound / gap of the tightest row of each theorem, from {begin} to "
        f"the last epoch; an infinite median is a gap in the line. Rows: {', '.join(names)}. Each bound is divided by its "
        f"own gap: of both networks with their own heads, or through the teacher's head.{unfinished(table)}"
    )


def _theorem(row: Table) -> str:
    name: str = row["name"].split(".")[0]
    return name


def _styles() -> Iterator[dict[str, Any]]:
    return ({"color": colour, "ls": dashes} for dashes in ("-", "--", ":") for colour in PALETTE)


FIGURE = PaperFigure(
    name="tightness-over-training",
    sentence="bound / gap of every theorem's tightest row, from the untrained student to the last epoch",
    source="ours",
    table=filled(
        numbers,
        "the figure tightness-over-training needs pairs that were audited at two epochs or more, with a guaranteed bound on a "
        "gap, which the campaign lacks",
    ),
    draw=draw,
    caption=caption,
    reads=(STANDARD,),
)
