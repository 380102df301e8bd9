"""Rank correlation of every distance with the gap: the mean over populations with its interval, and each population."""

from typing import TYPE_CHECKING

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from kd2m_theory.paper_figures.figure import PaperFigure, Table
from kd2m_theory.reporting.style import BLUE, GREEN, INK, MUTED, ORANGE, PAGE, sheet
from kd2m_theory.validation.campaigns.standard import STANDARD

if TYPE_CHECKING:
    from kd2m_theory.validation.campaigns.findings import Findings

_COLOURS, _MARKERS = (BLUE, ORANGE, GREEN, MUTED), ("o", "s", "^", "D")
_TITLES = {"gap": "own heads", "gap_shared_head": "teacher's head"}


def numbers(found: "Findings") -> Table:
    """Every correlation."""
    keys = ("distance", "gap", "last", "value", "lower", "upper")
    return {"rows": [{key: getattr(each, key) for key in keys} | {"within": dict(each.within)} for each in found.explained]}


def draw(table: Table) -> Figure:
    """A panel for each gap and choice of epochs, a line a distance."""
    rows = table["rows"]
    columns = list(dict.fromkeys((row["gap"], row["last"]) for row in rows))
    first = [row for row in rows if (row["gap"], row["last"]) == columns[0]]
    names = [row["distance"] for row in sorted(first, key=lambda row: -row["value"])]
    populations = sorted({name for row in rows for name in row["within"]})
    figure = sheet(PAGE, 0.2 * len(names) + 1.1)
    panels = figure.subplots(1, len(columns), sharey=True, squeeze=False)[0]
    for axes, (gap, last) in zip(panels, columns, strict=True):
        axes.set(xlim=(-1.05, 1.05), ylim=(len(names) - 0.4, -0.6))
        axes.set_title(f"{_TITLES[gap]},\n{'last epoch' if last else 'all trained'}")
        axes.set_xlabel("rank correlation")
        axes.axvline(0, color=MUTED, lw=0.6)
        for row in rows:
            if (row["gap"], row["last"]) == (gap, last):
                y = names.index(row["distance"])
                axes.plot([row["lower"], row["upper"]], [y, y], color=INK, lw=1.6)
                axes.plot([row["value"]], [y], marker="|", ms=7, color=INK)
                for k, name in enumerate(populations):
                    marker, colour = _MARKERS[k % len(_MARKERS)], _COLOURS[k % len(_COLOURS)]
                    axes.plot([row["within"][name]], [y], marker=marker, ms=3, color=colour, mfc="none")
    panels[0].set_yticks(range(len(names)), names)
    panels[0].set_ylabel("distance between teacher and student")
    handles = [
        Line2D([], [], ls="none", marker=marker, ms=3, color=colour, mfc="none", label=name)
        for name, marker, colour in zip(populations, _MARKERS, _COLOURS, strict=False)
    ]
    handles.append(Line2D([], [], color=INK, lw=1.6, marker="|", ms=7, label="mean and its interval"))
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    return figure


FIGURE = PaperFigure(
    name="correlation",
    sentence="rank correlation of every distance between features with the measured gap",
    source="ours",
    table=numbers,
    draw=draw,
    reads=(STANDARD,),
)
