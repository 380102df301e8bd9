"""The differences of a comparison for a page: one panel per measure, an interval per row, whose bars stretch with the page."""

import math

from kd2m_theory.bounds.compare import MEASURES, Measure
from kd2m_theory.reporting.comparison_words import TITLES, UNITS, Comparison, Record, named, scaled, shown_ends, sign
from kd2m_theory.reporting.html import Html, element, join
from kd2m_theory.reporting.sections import Drawing

# Heights in em: a row, its bar below its words, the axis below all rows.
_ROW, _BAR, _AXIS = 4.1, 3.3, 2.0
# Characters of a name: two of them fit beside one another on a phone.
_NAME = 19
_MARGIN = 0.05


def forest_drawing(comparison: Comparison) -> Drawing:
    """Both panels below their legend."""
    legend = element("ul", *(element("li", mark, " ", words) for mark, words in _swatches()), class_="legend")
    panels = [element("div", element("h3", TITLES[measure]), _figure(comparison, measure)) for measure in MEASURES]
    markup = join((legend, element("div", *panels, class_="panels")))
    return Drawing(markup=markup, words="The page has the differences as a picture; the tables have the same numbers.")


def span(comparison: Comparison, measure: Measure) -> tuple[float, float]:
    """Ends of the axis of a measure, in the unit in which it is shown: all intervals and 0, with a margin."""
    found = [each[measure] for each in comparison["differences"]]
    low = min(0.0, *(scaled(each["lower"], measure) for each in found))
    high = max(0.0, *(scaled(each["upper"], measure) for each in found))
    room = _MARGIN * (high - low or 1.0)
    return low - room, high + room


def _swatches() -> list[tuple[Html, str]]:
    def sample(*parts: Html) -> Html:
        return element("svg", *parts, class_="swatch", width="2.4em", height="1em", aria_hidden="true")

    def row(kind: str, more: str = "") -> Html:
        line = element("line", x1="0", x2="100%", y1="50%", y2="50%", class_=f"bar {kind}")
        return sample(line, element("circle", cx="50%", cy="50%", r="0.32em", class_=f"end {kind}{more}"))

    return [
        (row("decided"), "decided: the sign is sure"),
        (row("vacuous", " hollow"), "undecided"),
        (
            sample(element("line", x1="50%", x2="50%", y1="0", y2="100%", class_="axis")),
            "no difference; on its left the first is better",
        ),
    ]


def _figure(comparison: Comparison, measure: Measure) -> Html:
    left, right = span(comparison, measure)
    differences = comparison["differences"]

    def place(value: float) -> str:
        return f"{100 * (value - left) / (right - left):.2f}%"

    def row(difference: Record, name: str, top: float) -> Html:
        found = difference[measure]
        low, value, high = (place(scaled(found[end], measure)) for end in ("lower", "value", "upper"))
        sure, middle = sign(comparison, difference, measure) != 0, f"{top + _BAR:.2f}em"
        kind, hollow = ("decided", "") if sure else ("vacuous", " hollow")
        ends = " to ".join(shown_ends(found, measure))
        return join(
            (
                element("text", name, x="0", y=f"{top + 1.2:.2f}em", class_="name"),
                element("text", ends, x="0", y=f"{top + 2.5:.2f}em"),
                element("line", x1=low, x2=high, y1=middle, y2=middle, class_=f"bar {kind}"),
                element("circle", cx=value, cy=middle, r="0.32em", class_=f"end {kind}{hollow}"),
            )
        )

    def zero(top: float) -> Html:
        """Beside one bar, and not through the words above it."""
        x = place(0.0)
        return element("line", x1=x, x2=x, y1=f"{top + _BAR - 0.5:.2f}em", y2=f"{top + _BAR + 0.5:.2f}em", class_="axis")

    tops = [_ROW * k for k in range(len(differences))]
    names = named(differences, _NAME)
    parts = [join((zero(top), row(each, name, top))) for each, name, top in zip(differences, names, tops, strict=True)]
    bottom = _ROW * len(differences)
    parts.append(element("line", x1="0", x2="100%", y1=f"{bottom:.2f}em", y2=f"{bottom:.2f}em", class_="axis"))
    for value in ticks(left, right):
        x, share = place(value), (value - left) / (right - left)
        anchor = "start" if share < 0.05 else "end" if share > 0.95 else "middle"
        parts.append(element("line", x1=x, x2=x, y1=f"{bottom:.2f}em", y2=f"{bottom + 0.4:.2f}em", class_="axis"))
        words = f"{value:g}".replace("-", "−")
        parts.append(element("text", words, x=x, y=f"{bottom + 1.5:.2f}em", text_anchor=anchor, class_="tick"))
    caption = f"First less second, {UNITS[measure]}."
    svg = element(
        "svg",
        *parts,
        class_="ladder",
        width="100%",
        height=f"{bottom + _AXIS:.2f}em",
        role="img",
        aria_label=f"{TITLES[measure]}. {caption} {len(differences)} rows; the tables below have the same numbers.",
    )
    return element("figure", svg, element("figcaption", caption))


def ticks(left: float, right: float) -> list[float]:
    """Three to seven round values between the ends, 0 among them if it lies there.

    Example:
        >>> ticks(-1.2, 5.3)
        [-1.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    """
    power = 10.0 ** math.floor(math.log10(right - left))
    step = next(step * power for step in (0.1, 0.2, 0.5, 1.0, 2.0, 5.0) if (right - left) / (step * power) <= 7)
    digits = max(0, 1 - math.floor(math.log10(step)))
    first, last = math.ceil(left / step), math.floor(right / step)
    return [round(k * step, digits) + 0.0 for k in range(first, last + 1)]
