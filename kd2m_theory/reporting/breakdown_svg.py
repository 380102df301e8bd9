"""Drawings of a breakdown for a page: contributions of classes as bars, and confidence against accuracy.

As in the ladder, places along an axis are percentages and heights are in em, so that letters keep their size on a phone.
Colours are the page's.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from kd2m_theory.reporting.html import Html, element
from kd2m_theory.words import number

Record = Mapping[str, Any]

# Heights in em: a class, the axis, the square of the reliability drawing.
_CLASS, _AXIS, _SQUARE = 2.3, 2.0, 15.0
# Per cent of the width for the words of the vertical axis.
_LEFT = 15.0


def shares_figure(bars: Sequence[tuple[str, float, float | None]], unit: str, words: str, *, signed: bool) -> Html:
    """Bars to the right of zero for what makes the student worse, to the left for what makes it better.

    Args:
        bars: name of a class, its contribution, and its share of the whole if that says something.
        unit: of the contributions.
        words: caption.
        signed: whether contributions may be negative, so that positive ones have a sign, too.
    """
    low, high = min(0.0, *(value for _, value, _ in bars)), max(0.0, *(value for _, value, _ in bars))

    def place(value: float) -> float:
        return 100 * (value - low) / (high - low)

    drawn, top = [], 0.0
    for name, value, share in bars:
        said = f"{'+' if signed and value > 0 else ''}{number(value, 3)} {unit}"
        said += "" if share is None else f" ({number(100 * share, 2)} %)"
        left, right = sorted((place(0.0), place(value)))
        kind = "worse" if value > 0 else "better"
        drawn += [
            element("text", _cut(name), x="0", y=f"{top + 1.1:.2f}em", class_="kind"),
            element("text", said, x="100%", y=f"{top + 1.1:.2f}em", text_anchor="end"),
            element(
                "rect",
                x=f"{left:.2f}%",
                y=f"{top + 1.4:.2f}em",
                width=f"{right - left:.2f}%",
                height="0.55em",
                class_=f"part {kind}",
            ),
        ]
        top += _CLASS
    zero = f"{place(0.0):.2f}%"
    drawn.append(element("line", x1=zero, x2=zero, y1="0", y2=f"{top:.2f}em", class_="axis"))
    if low < 0:
        words = f"{words} Bars to the right of the line: the student is worse; to the left: it is better."
    return _figure(drawn, top + 0.3, f"{len(bars)} classes; the table below has the same numbers.", words)


def reliability_figure(reliability: Record) -> Html:
    """Accuracy against confidence of both networks, a point for every bin, and the diagonal on which a calibrated one lies."""
    bins = [each for whose in ("student", "teacher") for each in reliability[whose]["bins"]]
    least = min(min(each["confidence"], each["accuracy"]) for each in bins)
    low = max(0.0, min(0.9, math.floor(10 * least) / 10))

    def across(value: float) -> str:
        return f"{_LEFT + (100 - _LEFT) * (value - low) / (1 - low):.2f}%"

    def down(value: float) -> str:
        return f"{0.6 + _SQUARE * (1 - value) / (1 - low):.2f}em"

    drawn = [
        element("line", x1=across(low), y1=down(low), x2=across(1.0), y2=down(1.0), class_="diagonal"),
        element("line", x1=across(low), x2="100%", y1=down(low), y2=down(low), class_="axis"),
        element("line", x1=across(low), x2=across(low), y1=down(low), y2=down(1.0), class_="axis"),
    ]
    for k in range(3):
        value = low + k * (1 - low) / 2
        anchor = ("start", "middle", "end")[k]
        label = f"{number(100 * value, 3)} %"
        y = f"{_SQUARE + 0.6 + 1.4:.2f}em"
        drawn.append(element("text", label, x=across(value), y=y, text_anchor=anchor, class_="tick"))
        if k:
            drawn.append(element("text", label, x="0", y=f"{float(down(value)[:-2]) + 0.35:.2f}em", class_="tick"))
    for whose in ("teacher", "student"):
        drawn += [_mark(whose, across(each["confidence"]), down(each["accuracy"])) for each in reliability[whose]["bins"]]
    words = (
        "Accuracy (upwards) against confidence (to the right), a mark for every bin of equally many samples. On the dashed "
        "line a network is calibrated; below it, it is over-confident. Round marks: student; square marks: teacher."
    )
    alternative = "; ".join(
        f"{whose}: calibration error {number(reliability[whose]['error'], 2)}, mean confidence less accuracy "
        f"{number(reliability[whose]['excess'], 2)}"
        for whose in ("student", "teacher")
    )
    return _figure(drawn, _SQUARE + 0.6 + _AXIS, f"Confidence and accuracy. {alternative}.", words)


def _mark(whose: str, x: str, y: str) -> Html:
    """A round mark for the student, a square one for the teacher: told apart without colour."""
    size, round_off = ("0.64em", {"rx": "0.32em"}) if whose == "student" else ("0.56em", {})
    half = f"-{float(size[:-2]) / 2:.2f}em"
    mark = element("rect", x=half, y=half, width=size, height=size, class_=f"point {whose}", **round_off)
    return element("svg", mark, x=x, y=y, class_="place")


def _figure(drawn: Sequence[Html], height: float, alternative: str, words: str) -> Html:
    size = {"width": "100%", "height": f"{height:.2f}em"}
    svg = element("svg", *drawn, class_="breakdown", **size, role="img", aria_label=f"{words} {alternative}")
    return element("figure", svg, element("figcaption", words))


def _cut(name: str) -> str:
    return name if len(name) <= 24 else f"{name[:23]}…"
