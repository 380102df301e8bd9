"""The differences of a comparison as a picture: one panel per measure, an interval per row."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from kd2m_theory.bounds.compare import MEASURES, TEACHER, Measure
from kd2m_theory.reporting import style
from kd2m_theory.reporting.comparison_drawing import span
from kd2m_theory.reporting.comparison_words import UNITS, Comparison, named, scaled, shown, sign
from kd2m_theory.reporting.style import GREEN, MUTED, PAGE, PALE, legend_below, sheet, side_by_side
from kd2m_theory.words import harmless

_TITLES: dict[Measure, str] = {"errors": "error rate", "cross_entropy": "clipped cross-entropy"}
_COLOURS = {True: GREEN, False: MUTED}


def picture(comparison: Comparison, kind: str) -> bytes:
    """The differences as a file of that kind: "png", "svg" or "pdf"."""
    with style.look():
        return style.render(draw(comparison), [kind])[kind]


def draw(comparison: Comparison, width: float = PAGE) -> Figure:
    """The picture of a comparison (`StudentComparison.to_dict()`, or its JSON), that many inches wide."""
    rows = len(comparison["differences"])
    beside = side_by_side(len(MEASURES), width, 2.6)
    figure = sheet(width, (0.32 * rows + 0.85) * len(MEASURES) / beside + 0.3)
    places = figure.subplots(len(MEASURES) // beside, beside, sharey=True, squeeze=False).flat
    for axes, measure, which in zip(places, MEASURES, "ab", strict=True):
        _panel(axes, comparison, measure)
        style.letter(axes, which, _TITLES[measure])
    handles = [
        Line2D([], [], color=GREEN, marker="o", ms=4, label="decided: the sign is sure"),
        Line2D([], [], color=MUTED, marker="o", mfc="white", ms=4, label="undecided"),
        Line2D([], [], color=PALE, lw=1.0, label="no difference; on its left the first is better"),
    ]
    legend_below(figure, handles, most=3)
    return figure


def _panel(axes: Axes, comparison: Comparison, measure: Measure) -> None:
    differences = comparison["differences"]
    left, right = span(comparison, measure)
    axes.set_xlim(left, right)
    axes.set_ylim(len(differences) - 0.4, -0.75)
    names = [harmless(name) for name in named(differences)]
    axes.set_yticks(range(len(differences)), names, parse_math=False)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel(f"difference in {UNITS[measure]}")
    if axes.get_subplotspec().is_first_col():  # type: ignore[union-attr]
        axes.set_ylabel("first − second")
    axes.axvline(0, color=PALE, lw=1.0, zorder=0)
    between = sum(each["second"] != TEACHER for each in differences)
    axes.axhline(between - 0.62, color=PALE, lw=0.6, ls=":")
    for k, each in enumerate(differences):
        sure = sign(comparison, each, measure) != 0
        low, value, high = (scaled(each[measure][end], measure) for end in ("lower", "value", "upper"))
        axes.plot([low, high], [k, k], color=_COLOURS[sure], lw=1.6, solid_capstyle="butt")
        axes.plot([value], [k], marker="o", ms=4, color=_COLOURS[sure], mfc=GREEN if sure else "white")
        words = shown(each[measure]["value"], measure)
        clear = {"boxstyle": "square,pad=0.1", "fc": "white", "ec": "none"}  # of the line at zero
        axes.text(value, k - 0.22, words, ha="center", va="bottom", fontsize=6.5, bbox=clear)
