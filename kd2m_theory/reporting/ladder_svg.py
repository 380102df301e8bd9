"""The ladder for a page: one SVG a target, whose bars stretch with the page while its letters keep their size.

Places along the axis are percentages, heights are in em: on a phone the bars are shorter and the words as large. Colours are
the page's: every part has a class.
"""

import math
from collections.abc import Collection, Mapping, Sequence

from kd2m_theory.reporting.html import Html, element, join
from kd2m_theory.reporting.ladder_scale import (
    UNITS,
    Record,
    Report,
    by_tightness,
    ends,
    groups_of,
    interval,
    limits,
    look,
    short,
    sign_of,
)
from kd2m_theory.reporting.sections import Drawing
from kd2m_theory.words import outward

_TITLES = {
    "gap": "Gap, each network with its own head",
    "gap_shared_head": "Gap through the teacher's head",
    "error_gap": "Difference of error rates",
    "population_gap": "Population: gap of the clipped loss",
    "population_error_gap": "Population: difference of error rates",
}
# Heights in em: a row with a bar, one without, the axis below.
_BARRED, _BARE, _AXIS = 2.9, 1.7, 2.0
_WORDS = {"broken": ", does not hold", "unmet": ", unmet"}


def ladder_drawing(report: Report, rows: Sequence[Record], heading: int = 3) -> Drawing | None:
    """The panels of some applicable rows of a report below their legend; None if there are no rows to draw.

    Args:
        report: the report.
        rows: those of its rows to draw.
        heading: level of the headings of the panels.
    """
    panels = ladder_panels(report, rows)
    if not panels:
        return None
    kinds = {look(row).kind for row in rows if row["target"] in UNITS}
    legend = element("ul", *(element("li", mark, " ", words) for mark, words in swatches(kinds)), class_="legend")
    drawn = [element("div", element(f"h{heading}", title), figure) for title, figure in panels]
    markup = join((legend, element("div", *drawn, class_="panels")))
    return Drawing(markup=markup, words="The page of the report has the ladder as a picture; the tables have the same numbers.")


def ladder_panels(report: Report, drawn: Sequence[Record]) -> list[tuple[str, Html]]:
    """Title and figure of every target that some of the drawn rows are about, the tightest row first."""
    groups = [(target, by_tightness(rows)) for target, rows in groups_of({"rows": drawn}, tuple(_TITLES))]
    ranges = limits(groups, report["measured"], (0.06, 0.04))
    return [
        (_TITLES[target], _Panel(target, report["measured"], ranges[UNITS[target]]).figure(rows)) for target, rows in groups
    ]


def swatches(kinds: Collection[str]) -> list[tuple[Html, str]]:
    """Marks of the ladder with their words, for a legend of rows of these kinds."""

    def sample(*parts: Html) -> Html:
        return element("svg", *parts, class_="swatch", width="2.4em", height="1em", aria_hidden="true")

    def row(kind: str, *more: Html, dotted: str = "", hollow: str = "") -> Html:
        line = element("line", x1="0", x2="80%", y1="50%", y2="50%", class_=f"bar {kind}{dotted}")
        end = element("circle", cx="80%", cy="50%", r="0.32em", class_=f"end {kind}{hollow}")
        return sample(line, *more, end)

    left_end = element("circle", cx="15%", cy="50%", r="0.32em", class_="end decided")
    rows = {
        "decided": (row("decided", left_end), "excludes zero"),
        "informative": (row("informative"), "informative"),
        "vacuous": (row("vacuous", hollow=" hollow"), "vacuous: nothing that is not known without it"),
        "unmet": (row("unmet", dotted=" dotted", hollow=" hollow"), "an assumption is unmet: no guarantee"),
        "broken": (row("broken"), "does not hold"),
    }
    return [
        (sample(element("rect", x="0", y="0", width="100%", height="100%", class_="band")), "interval of the measured value"),
        (sample(element("line", x1="50%", x2="50%", y1="0", y2="100%", class_="gap")), "measured value"),
        *(shown for kind, shown in rows.items() if kind in kinds),
        (sample(_arrow("30%", "0.1em", "vacuous")), "reaches zero or below"),
    ]


def _arrow(x: str, y: str, kind: str) -> Html:
    return element(
        "svg",
        element("path", d="M10 0 L0 5 L10 10 Z", class_=f"arrow {kind}"),
        x=x,
        y=y,
        width="0.7em",
        height="0.7em",
        viewBox="0 0 10 10",
    )


class _Panel:
    """The figure of one target."""

    def __init__(self, target: str, measured: Mapping[str, Record], span: tuple[float, float]) -> None:
        self.target, self.measured = target, measured.get(target)
        self.sign = sign_of(self.measured)
        self.span = span

    def place(self, value: float) -> float:
        """Where a positive value stands on the axis, in per cent; beyond its ends at the nearer one."""
        left, right = (math.log(end) for end in self.span)
        return min(100.0, max(0.0, 100 * (math.log(value) - left) / (right - left)))

    def figure(self, rows: Sequence[Record]) -> Html:
        drawn, top = [], 0.0
        for row in rows:
            part, height = self._row(row, top)
            drawn.append(part)
            top += height
        svg = element(
            "svg",
            *self._band(top),
            *drawn,
            *self._axis(top),
            class_="ladder",
            width="100%",
            height=f"{top + _AXIS:.2f}em",
            role="img",
            aria_label=f"{self._caption()} Rows: {len(rows)}; the tables below have the same numbers.",
        )
        return element("figure", svg, element("figcaption", self._caption()))

    def _caption(self) -> str:
        symbol = "err" if "error" in self.target else "R"
        first, second = ("S", "T") if self.sign > 0 else ("T", "S")
        better = "" if self.sign > 0 else ", as the difference is negative"
        value = "" if self.measured is None else f", measured {short(abs(self.measured['value']))}"
        words = f"{symbol}_{first} − {symbol}_{second}{better}, {UNITS[self.target]}, logarithmic axis{value}."
        return words.replace("e-", "e−")

    def _band(self, height: float) -> list[Html]:
        if self.measured is None:
            return []
        low, high = sorted(self.sign * end for end in interval(self.measured))
        if high <= 0:
            return []
        left = self.place(low) if low > 0 else 0.0
        width = self.place(high) - left
        return [element("rect", x=f"{left:.2f}%", y="0", width=f"{width:.2f}%", height=f"{height:.2f}em", class_="band")]

    def _gap(self, top: float) -> list[Html]:
        """The measured value beside one bar, and not through the words above it."""
        if self.measured is None or self.measured["value"] == 0:
            return []
        x = f"{self.place(self.sign * self.measured['value']):.2f}%"
        return [element("line", x1=x, x2=x, y1=f"{top + 1.55:.2f}em", y2=f"{top + 2.65:.2f}em", class_="gap")]

    def _row(self, row: Record, top: float) -> tuple[Html, float]:
        name = element("text", row["name"], x="0", y=f"{top + 1.2:.2f}em", class_="name")
        lower, upper = ends(row, self.sign)
        seen = look(row)
        words = self._words(self._numbers(lower, upper) + _WORDS.get(seen.kind, ""), top)
        if upper <= 0 or upper == math.inf:  # no place on the axis
            return join((name, words)), _BARE
        middle, hollow = f"{top + 2.1:.2f}em", " hollow" if seen.hollow else ""
        start = self.place(lower) if lower > 0 else 0.0
        end = self.place(upper)
        shape = f"bar {seen.kind}{' dotted' if seen.dotted else ''}"
        parts = [element("line", x1=f"{start:.2f}%", x2=f"{end:.2f}%", y1=middle, y2=middle, class_=shape)]
        if lower > 0:
            parts.append(element("circle", cx=f"{start:.2f}%", cy=middle, r="0.32em", class_=f"end {seen.kind}"))
        else:
            parts.append(_arrow("0", f"{top + 1.75:.2f}em", seen.kind))
        parts.append(element("circle", cx=f"{end:.2f}%", cy=middle, r="0.32em", class_=f"end {seen.kind}{hollow}"))
        return join((name, words, *self._gap(top), *parts)), _BARRED

    def _words(self, words: str, top: float) -> Html:
        return element("text", words.replace("-", "−"), x="100%", y=f"{top + 1.2:.2f}em", text_anchor="end")

    def _numbers(self, lower: float, upper: float) -> str:
        size = 0.0 if self.measured is None else abs(self.measured["value"])
        ratio = f" (×{short(upper / size)})" if size and 0 < upper < math.inf else ""
        low, high = outward(lower, upper, digits=3)
        return (f"{short(low)} to {short(high)}" if lower > 0 else f"≤ {short(high)}") + ratio

    def _axis(self, top: float) -> list[Html]:
        line = f"{top:.2f}em"
        parts = [element("line", x1="0", x2="100%", y1=line, y2=line, class_="axis")]
        for value in _ticks(*self.span):
            x = self.place(value)
            anchor = "start" if x < 5 else "end" if x > 95 else "middle"
            at = f"{x:.2f}%"
            parts.append(element("line", x1=at, x2=at, y1=line, y2=f"{top + 0.4:.2f}em", class_="axis"))
            label = short(value).replace("-", "−")
            parts.append(element("text", label, x=at, y=f"{top + 1.5:.2f}em", text_anchor=anchor, class_="tick"))
        return parts


def _ticks(left: float, right: float) -> list[float]:
    """At most seven round values between the ends, fewer where their labels are long; at least one."""
    low, high = math.floor(math.log10(left)), math.ceil(math.log10(right))
    steps = (1.0, 2.0, 5.0) if high - low <= 2 else (1.0,)
    values = [step * 10.0**k for k in range(low, high + 1) for step in steps if left <= step * 10.0**k <= right]
    # The narrowest panel, on a phone, has room for about 22 letters beside one another.
    most = min(7, 22 // max(len(short(value)) + 1 for value in values))
    every = -(-len(values) // most)
    return values[::every]
