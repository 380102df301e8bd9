"""The ladder as a picture: one bound per row on a logarithmic axis, the measured gap and its interval as a vertical band."""

import math
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator, NullFormatter

from kd2m_theory.bounds.result import WITHOUT_NUMBER
from kd2m_theory.errors import InputError
from kd2m_theory.reporting import style
from kd2m_theory.reporting.ladder_scale import UNITS, Record, Report, ends, groups_of, interval, limits, look, short, sign_of
from kd2m_theory.reporting.style import BLUE, GREEN, INK, MUTED, ORANGE, PAGE, folded, legend_below, sheet
from kd2m_theory.words import harmless, rounded_up

# Targets of the picture, in its order.
TITLES = {
    "gap_shared_head": "features, both networks through the teacher's head",
    "gap": "logits, each network with its own head",
    "error_gap": "errors, each network with its own head",
}
_LEFT = 0.08  # free share of the drawn decades on the left
_NAMES, _NUMBERS, _MARGINS = 1.35, 1.15, 0.2  # inches for the names of the rows, for the numbers on the right, and beside words
_SLOT, _LINE = 0.19, 0.13  # inches for a row, and for each further line of its words
_WORDS = 7  # points of the words in a row
_COLOURS = {"broken": ORANGE, "unmet": INK, "vacuous": MUTED, "decided": GREEN, "informative": BLUE}


def picture(report: Report, kind: str) -> bytes:
    """The ladder of a report as a file of that kind: "png", "svg" or "pdf".

    Raises:
        InputError: the report has no rows.
    """
    with style.look():
        return style.render(draw(report), [kind])[kind]


def draw(report: Report, width: float = PAGE) -> Figure:
    """The picture of a report (`AuditReport.to_dict()`, or its JSON), that many inches wide.

    Raises:
        InputError: the report has no rows.
    """
    groups = groups_of(report, tuple(TITLES))
    if not groups:
        raise InputError("the report has no rows to draw")
    figure = sheet(width, 1.0)
    words = [[_reason(figure, row) for row in rows] for _, rows in groups]
    heights = [sum(map(_slots, each)) + 2.4 for each in words]
    figure.set_figheight(_SLOT * sum(heights) + 0.7)
    panels = figure.subplots(len(groups), 1, squeeze=False, height_ratios=heights)[:, 0]
    ranges = limits(groups, report["measured"], (_LEFT, _NUMBERS / (width - _NAMES - _NUMBERS)))
    for axes, (target, rows), reasons in zip(panels, groups, words, strict=True):
        _panel(axes, target, list(zip(rows, reasons, strict=True)), report["measured"].get(target), ranges[UNITS[target]])
    figure.align_ylabels()
    legend_below(figure, _legend(), most=3)
    return figure


def _reason(figure: Figure, row: Record) -> str:
    """Why a row has no number, in lines that its panel has room for; empty for a row that has."""
    if row["status"] not in WITHOUT_NUMBER:
        return ""
    return folded(figure, harmless(f"{row['status']}: {row['why']}"), figure.get_figwidth() - _NAMES - _MARGINS, _WORDS)


def _slots(reason: str) -> float:
    """Height of a row, of which one without a reason has 1."""
    return 1 + reason.count("\n") * _LINE / _SLOT


def _panel(
    axes: Axes, target: str, shown: Sequence[tuple[Record, str]], measured: Record | None, span: tuple[float, float]
) -> None:
    """One panel: rows, each with its reason (`_reason`), from top to bottom."""
    rows, slots = [row for row, _ in shown], [_slots(reason) for _, reason in shown]
    places = [below - slot / 2 - 0.5 for below, slot in zip(accumulate(slots), slots, strict=True)]
    gap = None if measured is None else float(measured["value"])
    sign = sign_of(measured)
    left, right = span
    axes.set_xscale("log")
    axes.set_xlim(left, right)
    axes.set_ylim(sum(slots) - 0.4, -0.6)
    axes.set_yticks(places, [harmless(row["name"]) for row in rows], parse_math=False)
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_minor_formatter(NullFormatter())
    if right < 100 * left:
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter("{x:g}")
    figure = axes.get_figure(root=True)
    assert figure is not None
    axes.set_title(folded(figure, TITLES[target], figure.get_figwidth() - _NAMES, 8))
    axes.set_ylabel("bound")
    _label(axes, target, sign)
    vacuous = [row["vacuous_from"] for row in rows if row["vacuous_from"] is not None]
    if vacuous and sign > 0 and left < vacuous[0] < right:
        axes.axvspan(vacuous[0], right, color=MUTED, alpha=0.10, lw=0)
    if measured is not None and gap is not None:
        _band(axes, sorted(sign * end for end in interval(measured)), sign * gap)
    for place, (row, reason) in zip(places, shown, strict=True):
        if reason:
            start, clear = left * (right / left) ** 0.01, {"boxstyle": "square,pad=0.1", "fc": "white", "ec": "none"}
            words = axes.text(start, place, reason, color=MUTED, va="center", fontsize=_WORDS, parse_math=False)
            words.set(style="italic", bbox=clear)  # the line of the gap would cross them
        else:
            _row(axes, place, row, sign, (left, right), gap)


def _label(axes: Axes, target: str, sign: float) -> None:
    symbol = "err" if target == "error_gap" else "R"
    first, second = ("S", "T") if sign > 0 else ("T", "S")
    student = "" if sign > 0 else ": the difference is negative"
    axes.set_xlabel(rf"$\mathrm{{{symbol}}}_{first} - \mathrm{{{symbol}}}_{second}$ ({UNITS[target]}{student})")


def _band(axes: Axes, interval: Sequence[float], gap: float) -> None:
    left, right = axes.get_xlim()
    axes.axvspan(max(interval[0], left), max(min(interval[1], right), left), color=ORANGE, alpha=0.18, lw=0)
    if gap > 0:
        axes.axvline(gap, color=ORANGE, lw=1.2)


def _row(axes: Axes, k: float, row: Record, sign: float, span: tuple[float, float], gap: float | None) -> None:
    left, _ = span
    lower, upper = ends(row, sign)
    colour, dashes, face = _style(row)
    if upper <= 0 or upper == math.inf:  # no place on the axis
        axes.text(left * 1.05, k, f"≤ {short(rounded_up(upper, 3))}", color=colour, va="center", fontsize=7)
        return
    start = lower if lower > left else left
    axes.plot([start, upper], [k, k], color=colour, lw=1.6, ls=dashes, solid_capstyle="butt")
    axes.plot([upper], [k], marker="o", ms=5, mfc=face, mec=colour, mew=1.2, clip_on=False)
    if lower > left:
        axes.plot([lower], [k], marker="o", ms=5, mfc=colour, mec=colour, mew=1.2)
    else:
        axes.plot([left], [k], marker="<", ms=4, color=colour, mew=0, clip_on=False)
    ratio = f"  (×{short(upper / (sign * gap))})" if gap else ""
    axes.text(upper, k, f"   {short(rounded_up(upper, 3))}{ratio}", color=colour, va="center", ha="left", fontsize=7)


def _style(row: Record) -> tuple[str, str, str]:
    """Colour, dash and marker face of a row."""
    seen = look(row)
    colour = _COLOURS[seen.kind]
    return colour, ":" if seen.dotted else "-", "white" if seen.hollow else colour


def _legend() -> list[Any]:
    def line(colour: str, face: str, style: str, words: str) -> Line2D:
        return Line2D([], [], color=colour, marker="o", mfc=face, ms=5, ls=style, label=words)

    return [
        Line2D([], [], color=ORANGE, lw=1.2, label="measured gap"),
        line(GREEN, GREEN, "-", "excludes a gap of zero"),
        line(MUTED, "white", "-", "vacuous"),
        Patch(color=ORANGE, alpha=0.18, lw=0, label="its confidence interval"),
        line(BLUE, BLUE, "-", "informative"),
        line(INK, "white", ":", "as stated, an assumption unmet"),
        Line2D([], [], color=MUTED, marker="<", ms=4, mew=0, ls="none", label="reaches zero or below"),
        Patch(color=MUTED, alpha=0.10, lw=0, label="no better than uniform guessing"),
    ]
