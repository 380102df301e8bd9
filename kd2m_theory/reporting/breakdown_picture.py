"""Where the gap comes from, as a picture: contributions of classes, confusions that the student adds, and reliability."""

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from kd2m_theory.errors import InputError
from kd2m_theory.reporting import style
from kd2m_theory.reporting.breakdown_view import quantity_of
from kd2m_theory.reporting.style import GREEN, MUTED, PAGE, STUDENT, TEACHER, grid, letter
from kd2m_theory.words import harmless

Report = Mapping[str, Any]
Record = Mapping[str, Any]

# Bars of a panel at most; a longer name of a class is cut.
_BARS, _LONGEST = 10, 16


def picture(report: Report, kind: str) -> bytes:
    """The picture of a report as a file of that kind: "png", "svg" or "pdf".

    Raises:
        InputError: the report has no breakdown.
    """
    with style.look():
        return style.render(draw(report), [kind])[kind]


def draw(report: Report, width: float = PAGE) -> Figure:
    """The picture of a report (`AuditReport.to_dict()`, or its JSON), that many inches wide; of its keys "breakdown" alone is
    read.

    Raises:
        InputError: the report has no breakdown, or no classes in it.
    """
    found = report["breakdown"]
    if found is None or not found["classes"]:
        raise InputError("the report has no breakdown by class: that needs logits of both networks on the same inputs")
    panels = [_classes]
    if found["confusions"]:
        panels.append(_confusions)
    if found["reliability"] is not None:
        panels.append(_reliability)
    bars = max(len(found["classes"][:_BARS]), len(found["confusions"][:_BARS]), 6)
    figure, places = grid(width, len(panels), 2.0, 0.19 * bars + 0.9, 0.0)
    for k, (axes, panel) in enumerate(zip(places, panels, strict=True)):
        panel(axes, found, "abc"[k])
    return figure


def _classes(axes: Axes, found: Record, which: str) -> None:
    quantity = quantity_of(found)
    shown = found["classes"][:_BARS]
    scale = 1.0 if quantity == "gap" else 100.0
    values = [scale * each[quantity] for each in shown]
    colours = [STUDENT if value > 0 else GREEN for value in values]
    axes.barh(range(len(shown)), values, color=colours, height=0.6)
    axes.axvline(0.0, color=MUTED, lw=0.6)
    _named(axes, [_short(found, each["label"]) for each in shown])
    rest = len(found["classes"]) - len(shown) + (found["other_classes"] or {"classes": 0})["classes"]
    words = "class" if found["by"] == "label" else "class that the teacher predicts"
    axes.set_ylabel(f"{words}, {rest:,} smaller ones left out" if rest else words)
    axes.set_xlabel("contribution to the gap, nats" if quantity == "gap" else "contribution to the disagreement, points")
    letter(axes, which, "classes")


def _confusions(axes: Axes, found: Record, which: str) -> None:
    shown = found["confusions"][:_BARS]
    axes.barh(range(len(shown)), [each["samples"] for each in shown], color=STUDENT, height=0.6)
    _named(axes, [f"{_short(found, each['label'], 10)} → {_short(found, each['predicted'], 10)}" for each in shown])
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
    axes.set_xlabel("samples")
    axes.set_ylabel("true class → student" if found["by"] == "label" else "teacher → student")
    letter(axes, which, "errors that the student adds" if found["by"] == "label" else "disagreements")


def _reliability(axes: Axes, found: Record, which: str) -> None:
    axes.plot([0, 1], [0, 1], color=MUTED, lw=0.8, ls="--", label="calibrated")
    for whose, colour, mark in (("teacher", TEACHER, "s"), ("student", STUDENT, "o")):
        points = [(each["confidence"], each["accuracy"]) for each in found["reliability"][whose]["bins"]]
        axes.plot(*zip(*points, strict=True), color=colour, marker=mark, ms=3.5, lw=0.8, label=whose)
    bins = [each for whose in ("student", "teacher") for each in found["reliability"][whose]["bins"]]
    values = [each[key] for each in bins for key in ("confidence", "accuracy")]
    low = min(0.9, *values) - 0.02
    axes.set(xlim=(low, 1.02), ylim=(low, 1.02), xlabel="confidence", ylabel="accuracy")
    axes.legend(loc="lower right")
    letter(axes, which, "reliability")


def _named(axes: Axes, names: list[str]) -> None:
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_yticks(range(len(names)), names, parse_math=False)
    axes.tick_params(axis="y", length=0)


def _short(found: Record, label: int, longest: int = _LONGEST) -> str:
    """The name of a class, or its number where it has none."""
    name = harmless(" ".join(found["names"].get(str(label), str(label)).split()))
    return name if len(name) <= longest else f"{name[: longest - 1]}…"
