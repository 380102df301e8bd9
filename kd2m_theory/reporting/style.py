"""One look for all figures: colours that colour-blind readers can tell apart (Okabe and Ito), sizes for a paper.

Every figure is drawn at the width at which it is printed, so its letters are printed at their own size.
"""

import io
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from threading import RLock
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from cycler import cycler
from matplotlib import style
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.text import Text
from matplotlib.ticker import FixedLocator, LogLocator, MaxNLocator, NullFormatter, NullLocator
from matplotlib.transforms import Bbox

Layout = Literal["constrained", "compressed"] | None

INK = "#222222"
MUTED = "#777777"
PALE = "#CCCCCC"
BLUE = "#0072B2"
ORANGE = "#D55E00"
GREEN = "#009E73"
SKY = "#56B4E9"
AMBER = "#E69F00"
PURPLE = "#CC79A7"
PALETTE = (BLUE, ORANGE, GREEN, SKY, AMBER, PURPLE)
NEUTRAL = (INK, MUTED, PALE)
# One colour per network. A figure that shows networks uses these colours for nothing else; where it shows one student that
# is not among the others, that one has the colour of `STUDENT`.
TEACHER, STUDENT = BLUE, ORANGE
ALONE, KD, TTM, WTTM, UNIKD = INK, GREEN, SKY, PURPLE, AMBER

# Widths in inches: one of two columns, the text of Springer's LNCS (122 mm), and the page across both columns.
COLUMN, LNCS, PAGE = 3.3, 122 / 25.4, 7.2
WIDTHS: Mapping[str, float] = MappingProxyType({"column": COLUMN, "lncs": LNCS, "page": PAGE})
DPI = 300
SMALLEST = 6.0  # points
_UNDATED: Any = {"png": {"Software": None}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}

RC: Any = {
    "font.size": 7.5,
    "axes.prop_cycle": cycler(color=PALETTE),
    "axes.titlesize": 8,
    "axes.labelsize": 7.5,
    "axes.titlelocation": "left",
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "lines.linewidth": 1.3,
    "svg.hashsalt": "kd2m-theory",
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
}


# matplotlib has one set of settings, and letters that it shares between figures: one thread draws at a time.
_ALONE = RLock()


@contextmanager
def look() -> Iterator[None]:
    """Draw in this look, whatever the user's own matplotlib settings say; they are the same afterwards.

    Threads that draw in this look take turns. One that draws in another at the same time sees this one: matplotlib knows no
    settings of a thread.
    """
    with _ALONE, style.context(["default", RC]):
        yield


def sheet(width: float, height: float, layout: Layout = "constrained") -> Figure:
    """An empty figure of that many inches; call it within `look`.

    Args:
        width: in inches, at which it is printed.
        height: in inches.
        layout: "constrained" makes room for labels, "compressed" also closes the gaps that panels of fixed aspect leave,
            None leaves every place to the caller.
    """
    return Figure(figsize=(width, height), layout=layout)


def diagram(axes: Axes) -> None:
    """Make a panel a drawing without axes."""
    axes.set_axis_off()


def letter(axes: Axes, which: str, title: str) -> None:
    """Title of a panel with the letter that a caption calls it by."""
    axes.set_title(rf"$\mathbf{{{which}}}$  {title}")


def side_by_side(count: int, width: float, least: float) -> int:
    """How many of `count` panels stand beside one another: as many as have `least` inches each, in rows of equal length."""
    return max(each for each in range(1, count + 1) if count % each == 0 and (each == 1 or each * least <= width))


def grid(width: float, count: int, least: float, height: float, below: float) -> tuple[Figure, list[Axes]]:
    """A figure with `count` panels, and the panels from left to right and from top to bottom.

    Args:
        width: of the figure, in inches.
        count: number of panels.
        least: inches of width that a panel needs.
        height: of a row of panels, in inches.
        below: inches for the legend below all of them.
    """
    columns = side_by_side(count, width, least)
    rows = count // columns
    figure = sheet(width, rows * height + below)
    return figure, list(figure.subplots(rows, columns, squeeze=False).flat)


def from_zero(axes: Axes, which: Literal["x", "y"], least: float) -> None:
    """Make an axis of counts logarithmic from `least`, the smallest one above zero, and linear from there down to 0."""
    scale = axes.set_xscale if which == "x" else axes.set_yscale
    scale("symlog", linthresh=least, linscale=0.4)
    axis = axes.xaxis if which == "x" else axes.yaxis
    most = max(axis.get_view_interval())
    first, last = (math.floor(math.log10(each)) for each in (least, max(most, least)))
    for parts in ((1,), (1, 2, 5)):
        places = [place for k in range(first, last + 1) for part in parts if (place := part * 10.0**k) > least]
        if sum(place <= most for place in places) >= 2:
            break
    axis.set_major_locator(FixedLocator([0.0, *places]))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter("{x:g}")


def log_marks(axes: Axes) -> None:
    """Numbers on a logarithmic vertical axis, three at least, however short it is."""
    low, high = axes.get_ylim()
    for parts in ((1.0,), (1.0, 2.0, 5.0), (1.0, 1.5, 2.0, 3.0, 5.0, 7.0)):
        places = [part * 10.0**k for k in range(math.floor(math.log10(low)), math.ceil(math.log10(high))) for part in parts]
        if sum(low <= place <= high for place in places) >= 3:
            axes.yaxis.set_major_locator(LogLocator(subs=parts))
            break
    else:
        axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())


def folded(figure: Figure, words: str, inches: float, size: float) -> str:
    """The words with line breaks, so that no line in letters of `size` points is wider than that many inches.

    Line breaks of the words are kept, and formulas between dollar signs stay in one piece if they hold no space.
    """
    lines: list[str] = []
    for paragraph in words.split("\n"):
        line = ""
        for word in paragraph.split(" "):
            longer = f"{line} {word}" if line else word
            if line and _breadth(figure, longer, size) > inches:
                lines.append(line)
                line = word
            else:
                line = longer
        lines.append(line)
    return "\n".join(lines)


def _breadth(figure: Figure, words: str, size: float) -> float:
    """Width of a line in inches."""
    text = Text(0, 0, words, fontsize=size)
    text.set_figure(figure)
    found: float = text.get_window_extent(dpi=figure.dpi).width / figure.dpi
    return found


def legend_below(figure: Figure, handles: Sequence[Artist], title: str = "", most: int = 5, **options: Any) -> Legend:
    """The legend of a figure, below all panels: in as many columns as fit, its title folded.

    Args:
        figure: the figure.
        handles: with their labels.
        title: a line or more above the entries, in small letters.
        most: columns where there is room.
        options: of `Figure.legend`.
    """
    size = 6.5
    room = figure.get_figwidth() - 0.06
    title = folded(figure, title, room - 0.25, size) if title else ""
    for columns in range(min(most, len(handles)), 0, -1):
        legend = figure.legend(
            handles=handles, loc="outside lower center", ncols=columns, title=title or None, title_fontsize=size, **options
        )
        legend.get_title().set_multialignment("center")
        if columns == 1 or legend.get_window_extent().width <= room * figure.dpi:
            return legend
        legend.remove()
    raise AssertionError("unreachable: one column is always taken")


def render(figure: Figure, formats: Iterable[str]) -> dict[str, bytes]:
    """The figure's bytes in "png", "svg" or "pdf": one layout for all, and the same bytes every time."""
    made = {}
    with look():
        # The layout measures titles where the drawing before it put them, so the second one has them where they stay.
        figure.draw_without_rendering()
        figure.draw_without_rendering()
        figure.set_layout_engine(None)  # what was laid out stays, whatever a format takes for the size of a letter
        _settle(figure)
        for word in formats:
            buffer = io.BytesIO()
            figure.savefig(buffer, format=word, dpi=DPI, metadata=_UNDATED[word])
            made[word] = buffer.getvalue()
    return made


def _settle(figure: Figure) -> None:
    """Round the places that the layout found: its solver goes by addresses in memory, and their last digits vary."""
    for part in figure.subfigs:
        part.bbox_relative.set_points(np.round(part.bbox_relative.get_points(), 6))
    for axes in figure.axes:
        axes.set_position(Bbox(np.round(axes.get_position(original=True).get_points(), 6)))
