"""How sharp every inequality of the catalogue is, and how badly it fails without each of its hypotheses."""

import math
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from kd2m_theory.paper_figures.figure import PaperFigure, Table
from kd2m_theory.reporting.style import BLUE, GREEN, INK, MUTED, ORANGE, PAGE, PALE, folded, legend_below, sheet, side_by_side
from kd2m_theory.theory.catalogue import theorems
from kd2m_theory.theory.statement import Form, Theorem
from kd2m_theory.validation.trial.falsifier import ratio_beyond_rounding

_LEFT, _RIGHT = 0.15, 1e3
_MARKS: dict[str, Any] = {
    "sharp": {"marker": "|", "ms": 6, "mew": 1.6, "color": GREEN},
    "best": {"marker": "|", "ms": 6, "mew": 1.6, "color": BLUE},
    "checked": {"marker": "o", "ms": 3.4, "mew": 0.9, "color": ORANGE},
    "vouched": {"marker": "o", "ms": 3.4, "mew": 0.9, "color": ORANGE, "mfc": "white"},
    "beyond, checked": {"marker": ">", "ms": 4, "mew": 0.9, "color": ORANGE},
    "beyond, vouched": {"marker": ">", "ms": 4, "mew": 0.9, "color": ORANGE, "mfc": "white"},
}
_ABOVE: Any = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points", "color": MUTED, "va": "bottom"}


def table() -> Table:
    """Ratio of every form on its witness, and of every counterexample.

    It is null where the bound is zero or of the wrong sign; for an F theorem it is the probability of failure over δ.
    """
    return {"theorems": [_measured(theorem) for theorem in theorems()]}


def _measured(theorem: Theorem) -> Table:
    forms = {form.name: form for form in theorem.forms}
    return {
        "name": theorem.name,
        "forms": [{"name": form.name, "witness": _ratio(form, form.witness.make())} for form in theorem.forms],
        "hypotheses": [
            {
                "name": hypothesis.name,
                "form": hypothesis.counterexample.form,
                "checked": hypothesis.check is not None,
                "ratio": _ratio(forms[hypothesis.counterexample.form], hypothesis.counterexample.make()),
            }
            for hypothesis in theorem.hypotheses
        ],
    }


def _ratio(form: Form, instance: Any) -> float | None:
    ratio = ratio_beyond_rounding(form.sides, instance, form.free)
    return ratio if math.isfinite(ratio) else None


def draw(table: Table, width: float = PAGE) -> Figure:
    """A row a form, in two columns of about the same length; in one where two do not fit."""
    columns = _columns(table["theorems"]) if side_by_side(2, width, 2.2) == 2 else (list(table["theorems"]),)
    heights = [sum(len(theorem["forms"]) for theorem in column) + 0.7 * len(column) for column in columns]
    figure = sheet(width, 0.128 * max(heights) + 0.9)
    for axes, column in zip(figure.subplots(1, len(columns), squeeze=False)[0], columns, strict=True):
        _panel(axes, column, max(heights))
        axes.set_xlabel(folded(figure, "gap / bound (F: probability of failure / δ)", width / len(columns) - 1.15, 7.5))
    legend_below(figure, _legend(), handletextpad=0.2, columnspacing=0.9)
    return figure


def _columns(theorems: Sequence[Table]) -> tuple[list[Table], list[Table]]:
    """The theorems in order, cut where the two halves are most alike in length."""
    lengths = [len(theorem["forms"]) + 0.7 for theorem in theorems]
    cut = min(range(len(theorems) + 1), key=lambda k: abs(sum(lengths[:k]) - sum(lengths[k:])))
    return list(theorems[:cut]), list(theorems[cut:])


def _panel(axes: Axes, theorems: Sequence[Table], rows: float) -> None:
    axes.set(xscale="log", xlim=(_LEFT, _RIGHT), ylim=(rows - 0.3, -0.7))
    axes.axvline(1, color=INK, lw=0.7)
    axes.annotate("holds", (1, 1), (-4, 2), ha="right", **_ABOVE)
    axes.annotate("violated", (1, 1), (4, 2), ha="left", **_ABOVE)
    places: dict[str, float] = {}
    marks: dict[str, list[tuple[float, float]]] = {name: [] for name in _MARKS}
    y = 0.0
    for theorem in theorems:
        for form in theorem["forms"]:
            places[form["name"]] = y
            marks["sharp" if form["witness"] >= 0.99 else "best"].append((form["witness"], y))
            y += 1.0
        for hypothesis in theorem["hypotheses"]:
            ratio = hypothesis["ratio"]
            beyond = ratio is None or ratio > _RIGHT
            name = ("beyond, " if beyond else "") + ("checked" if hypothesis["checked"] else "vouched")
            marks[name].append((_RIGHT if beyond else ratio, places[hypothesis["form"]]))
        y += 0.7
    axes.hlines(list(places.values()), _LEFT, _RIGHT, color=PALE, lw=0.4, zorder=0)
    for name, found in marks.items():
        if found:
            axes.plot(*zip(*found, strict=True), ls="none", clip_on=False, zorder=3, **_MARKS[name])
    axes.set_yticks(list(places.values()), list(places), fontsize=6.2)
    axes.tick_params(axis="y", length=0)
    axes.set_ylabel("form of the theorem")


def _legend() -> list[Line2D]:
    words = {
        "sharp": "witness, ≥ 0.99",
        "best": "best instance known",
        "checked": "without a checked hypothesis",
        "vouched": "without one vouched for",
        "beyond, checked": "beyond, or a bound of zero",
    }
    return [Line2D([], [], ls="none", label=words[name], **_MARKS[name]) for name in words]


def caption(table: Table) -> str:
    """How to read it."""
    forms = [form for theorem in table["theorems"] for form in theorem["forms"]]
    sharp = sum(form["witness"] >= 0.99 for form in forms)
    hypotheses = sum(len(theorem["hypotheses"]) for theorem in table["theorems"])
    return (
        f"{len(forms)} forms of {len(table['theorems'])} theorems. A bar is the largest share of its bound that a form is "
        f"known to use: {sharp} use at least 99 % of it. Each of {hypotheses} hypotheses has a counterexample, an orange "
        "mark right of 1: filled if an audit checks the hypothesis, hollow if the user vouches for it, a triangle where "
        "the bound is zero or the mark would lie beyond the axis. For the F theorems the axis is the probability of "
        "failure over δ."
    )


FIGURE = PaperFigure(
    name="sharpness",
    sentence="every form of every theorem: how much of the bound its witness uses, and its violation without each hypothesis",
    source="ours",
    table=table,
    draw=draw,
    caption=caption,
)
