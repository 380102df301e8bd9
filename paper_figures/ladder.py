"""The ladder: one row a bound on a logarithmic axis, the measured gap and its interval as a vertical band."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator, NullFormatter

from kd2m_theory.errors import InputError
from kd2m_theory.paper_figures.figure import PaperFigure, Table
from kd2m_theory.paper_figures.style import BLUE, GREEN, INK, MUTED, ORANGE, PAGE, sheet

_TITLES = {
    "gap_shared_head": "features, both networks through the teacher's head",
    "gap": "logits, each network with its own head",
    "error_gap": "errors, each network with its own head",
}
_UNITS = {"gap_shared_head": "nats", "gap": "nats", "error_gap": "probability"}

Report = Mapping[str, Any]
Record = Mapping[str, Any]


def table() -> Table:
    """The demonstration's audit of the student distilled with CW₂: half a minute of training.

    Raises:
        MissingDependencyError: scikit-learn, which has the images, is not installed.
    """
    from kd2m_theory.validation import demo  # which draws ladders itself

    report = demo.run(seed=0, device="cpu", watch=demo.unwatched).reports["cw2"].to_dict()
    rows = [row for row in report["rows"] if row["target"] in _TITLES]
    return {"measured": report["measured"], "rows": [{name: row[name] for name in row if name != "seconds"} for row in rows]}


def draw(report: Report) -> Figure:
    """The picture of a report (`AuditReport.to_dict()`, or its JSON).

    Raises:
        InputError: the report has no rows.
    """
    groups = [(target, [row for row in report["rows"] if row["target"] == target]) for target in _TITLES]
    groups = [(target, rows) for target, rows in groups if rows]
    if not groups:
        raise InputError("the report has no rows to draw")
    heights = [len(rows) + 2.4 for _, rows in groups]
    figure = sheet(PAGE, 0.19 * sum(heights) + 0.7)
    panels = figure.subplots(len(groups), 1, squeeze=False, height_ratios=heights)[:, 0]
    limits = _limits(groups, report["measured"])
    for axes, (target, rows) in zip(panels, groups, strict=True):
        _panel(axes, target, rows, report["measured"].get(target), limits[_UNITS[target]])
    figure.align_ylabels()
    figure.legend(handles=_legend(), loc="outside lower center", ncols=3)
    return figure


def _sign(measured: Record | None) -> float:
    """−1 turns the axis round: a student better than its teacher has a negative gap."""
    return -1.0 if measured is not None and measured["value"] < 0 else 1.0


def _panel(axes: Axes, target: str, rows: Sequence[Record], measured: Record | None, limits: tuple[float, float]) -> None:
    gap = None if measured is None else float(measured["value"])
    sign = _sign(measured)
    left, right = limits
    axes.set_xscale("log")
    axes.set_xlim(left, right)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_yticks(range(len(rows)), [row["name"] for row in rows])
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_minor_formatter(NullFormatter())
    if right < 100 * left:
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter("{x:g}")
    axes.set_title(_TITLES[target])
    axes.set_ylabel("bound")
    _label(axes, target, sign)
    vacuous = [row["vacuous_from"] for row in rows if row["vacuous_from"] is not None]
    if vacuous and sign > 0 and left < vacuous[0] < right:
        axes.axvspan(vacuous[0], right, color=MUTED, alpha=0.10, lw=0)
    if measured is not None and gap is not None:
        _band(axes, sorted(sign * end for end in (measured["lower"], measured["upper"])), sign * gap)
    for k, row in enumerate(rows):
        _row(axes, k, row, sign, (left, right), gap)


def _label(axes: Axes, target: str, sign: float) -> None:
    symbol = "err" if target == "error_gap" else "R"
    first, second = ("S", "T") if sign > 0 else ("T", "S")
    student = "" if sign > 0 else ": the student is better"
    axes.set_xlabel(rf"$\mathrm{{{symbol}}}_{first} - \mathrm{{{symbol}}}_{second}$ ({_UNITS[target]}{student})")


def _band(axes: Axes, interval: Sequence[float], gap: float) -> None:
    left, right = axes.get_xlim()
    axes.axvspan(max(interval[0], left), max(min(interval[1], right), left), color=ORANGE, alpha=0.18, lw=0)
    if gap > 0:
        axes.axvline(gap, color=ORANGE, lw=1.2)


def _row(axes: Axes, k: int, row: Record, sign: float, limits: tuple[float, float], gap: float | None) -> None:
    left, _ = limits
    if row["status"] == "not applicable":
        axes.text(left * 1.05, k, f"not applicable: {row['why']}", color=MUTED, style="italic", va="center", fontsize=7)
        return
    lower, upper = sorted(sign * end for end in (row["lower"], row["upper"]))
    colour, dashes, face = _look(row)
    if upper <= 0:
        axes.text(left * 1.05, k, f"≤ {upper:.3g}", color=colour, va="center", fontsize=7)
        return
    start = lower if lower > left else left
    axes.plot([start, upper], [k, k], color=colour, lw=1.6, ls=dashes, solid_capstyle="butt")
    axes.plot([upper], [k], marker="o", ms=5, mfc=face, mec=colour, mew=1.2, clip_on=False)
    if lower > left:
        axes.plot([lower], [k], marker="o", ms=5, mfc=colour, mec=colour, mew=1.2)
    else:
        axes.plot([left], [k], marker="<", ms=4, color=colour, mew=0, clip_on=False)
    ratio = f"  (×{_short(upper / (sign * gap))})" if gap else ""
    axes.text(upper, k, f"   {_short(upper)}{ratio}", color=colour, va="center", ha="left", fontsize=7)


def _short(value: float) -> str:
    return re.sub(r"e([+-])0*", lambda match: "e" + match[1].replace("+", ""), f"{value:.3g}")


def _look(row: Record) -> tuple[str, str, str]:
    """Colour, dash and marker face of a row."""
    if row["holds"] is False:
        return ORANGE, "-" if row["guaranteed"] else ":", ORANGE
    if not row["guaranteed"]:
        return INK, ":", "white"
    if row["status"] == "vacuous":
        return MUTED, "-", "white"
    colour = GREEN if row["lower"] > 0 or row["upper"] < 0 else BLUE
    beyond = row["vacuous_from"] is not None and row["upper"] >= row["vacuous_from"]
    return colour, "-", "white" if beyond else colour


def _limits(groups: Sequence[tuple[str, Sequence[Record]]], measured: Mapping[str, Record]) -> dict[str, tuple[float, float]]:
    """Common axis limits of all panels of one unit, with room on the right for the numbers."""
    ends: dict[str, list[float]] = {}
    for target, rows in groups:
        sign, value = _sign(measured.get(target)), measured.get(target)
        found = [sign * row[side] for row in rows for side in ("lower", "upper") if row[side] is not None]
        if value is not None:
            found += [sign * value["value"], sign * value["upper" if sign > 0 else "lower"]]
        ends.setdefault(_UNITS[target], []).extend(end for end in found if end > 0 and math.isfinite(end))
    limits = {}
    for unit, positive in ends.items():
        low, high = (min(positive), max(positive)) if positive else (1e-3, 1.0)
        low = min(low, high / 10)
        decades = math.log10(high / low)
        limits[unit] = low / 10 ** (0.08 * decades), high * 10 ** (0.25 * decades)
    return limits


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


FIGURE = PaperFigure(
    "ladder",
    "every bound on the gap of a student distilled on the digits, beside the measured gap",
    "ours",
    table,
    draw,
)
