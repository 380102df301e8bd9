"""Rank correlation of every distance with the gap in each population, and the mean over populations that agree."""

from dataclasses import asdict
from typing import TYPE_CHECKING

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from kd2m_theory.paper_figures.figure import PaperFigure, Table, filled, unfinished
from kd2m_theory.reporting.style import BLUE, GREEN, INK, MUTED, ORANGE, PAGE, legend_below, sheet, side_by_side
from kd2m_theory.validation.campaigns.stored_campaigns import STANDARD

if TYPE_CHECKING:
    from kd2m_theory.validation.campaigns.findings import Findings

_COLOURS, _MARKERS = (BLUE, ORANGE, GREEN, MUTED), ("o", "s", "^", "D")
_TITLES = {"gap": "own heads", "gap_shared_head": "teacher's head"}


def numbers(found: "Findings") -> Table:
    """Every correlation."""
    return {
        "rows": [
            {"distance": each.distance, "gap": each.gap, "last": each.last}
            | {"within": {name: asdict(one) for name, one in each.within.items()}}
            | {"pooled": None if each.pooled is None else asdict(each.pooled)}
            for each in found.explained
        ],
        "missing": found.missing,
    }


def draw(table: Table, width: float = PAGE) -> Figure:
    """A panel for each gap and choice of epochs, a line a distance."""
    rows = table["rows"]
    columns = list(dict.fromkeys((row["gap"], row["last"]) for row in rows))
    first = [row for row in rows if (row["gap"], row["last"]) == columns[0]]
    names = [row["distance"] for row in first]
    populations = sorted({name for row in rows for name in row["within"]})
    beside = side_by_side(len(columns), width - 1.2, 0.85 if len(columns) < 4 or width < PAGE else 1.4)
    beside = min(beside, 2) if width < PAGE else beside
    rows_of_panels = len(columns) // beside
    figure = sheet(width, rows_of_panels * (0.22 * len(names) + 0.75) + 0.75)
    panels = list(figure.subplots(rows_of_panels, beside, sharey=True, squeeze=False).flat)
    for axes, (gap, last) in zip(panels, columns, strict=True):
        axes.set(xlim=(-1.05, 1.05), ylim=(len(names) - 0.4, -0.6))
        axes.set_title(f"{_TITLES[gap]},\n{'last epoch' if last else 'all trained'}", fontsize=8 if width >= PAGE else 6.5)
        axes.set_xlabel("rank correlation")
        axes.axvline(0, color=MUTED, lw=0.6)
        for row in rows:
            if (row["gap"], row["last"]) == (gap, last):
                y = names.index(row["distance"])
                if row["pooled"] is not None:
                    axes.plot([row["pooled"]["lower"], row["pooled"]["upper"]], [y, y], color=INK, lw=1.6)
                    axes.plot([row["pooled"]["value"]], [y], marker="|", ms=7, color=INK)
                for k, name in enumerate(populations):
                    if name in row["within"]:
                        _population(axes, y + 0.6 * ((k + 1) / (len(populations) + 1) - 0.5), k, row["within"][name])
        axes.set_yticks(range(len(names)), names, fontsize=7 if width >= PAGE else 6.2)
    for axes in panels[::beside]:
        axes.set_ylabel("distance between teacher and student")
    handles = [
        Line2D([], [], ls="none", marker=marker, ms=3, color=colour, mfc="none", label=name)
        for name, marker, colour in zip(populations, _MARKERS, _COLOURS, strict=False)
    ]
    handles.append(Line2D([], [], color=INK, lw=1.6, marker="|", ms=7, label="mean where they agree"))
    legend_below(figure, handles, "mark: correlation within a population; line: its 95 % interval over seeds")
    return figure


def _population(axes: Axes, y: float, k: int, row: Table) -> None:
    colour = _COLOURS[k % len(_COLOURS)]
    axes.plot([row["lower"], row["upper"]], [y, y], color=colour, lw=0.6)
    axes.plot([row["value"]], [y], marker=_MARKERS[k % len(_MARKERS)], ms=3, color=colour, mfc="none")


def caption(table: Table) -> str:
    """How to read it."""
    agree = sum(row["pooled"] is not None for row in table["rows"])
    return (
        "Spearman's correlation of each distance with the measured gap, within a population, with a 95 % interval over "
        "seeds (jackknife, Student's t). The black bar is the mean over populations where they do not differ by Welch's "
        f"test at 5 % ({agree} of {len(table['rows'])} rows). The gap is taken with each network's own head, or through "
        f"the teacher's head.{unfinished(table)}"
    )


FIGURE = PaperFigure(
    name="correlation",
    sentence="rank correlation of every distance between features with the measured gap",
    source="ours",
    table=filled(
        numbers,
        "the figure correlation needs three audited seeds and five audited runs of a population, which the campaign lacks",
    ),
    draw=draw,
    caption=caption,
    reads=(STANDARD,),
)
