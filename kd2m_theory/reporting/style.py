"""One look for all figures: colours that colour-blind readers can tell apart (Okabe and Ito), sizes for a paper.

Every figure is as wide as one column or as a page, so it is printed at its own size and its letters at theirs.
"""

import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from threading import RLock
from typing import Any, Literal

import numpy as np
from cycler import cycler
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
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
TEACHER, STUDENT = BLUE, ORANGE

# Widths in inches: one of two columns, and the page across both.
COLUMN, PAGE = 3.3, 7.2
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
        width: `COLUMN` or `PAGE`.
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


def render(figure: Figure, formats: Iterable[str]) -> dict[str, bytes]:
    """The figure's bytes in "png", "svg" or "pdf": one layout for all, and the same bytes every time."""
    made = {}
    with look():
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
