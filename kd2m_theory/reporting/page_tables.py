"""The tables of a report's page, each from the report's dictionary."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kd2m_theory.bounds.targets import MEASURED, SUBJECTS
from kd2m_theory.reporting.html import Html, element, join
from kd2m_theory.words import number, percent

Report = Mapping[str, Any]
Record = Mapping[str, Any]

# A mark and its word stay on one line.
_HOLDS = {True: "✓\u00a0yes", False: "✗\u00a0NO", None: "–"}
_STATES = {"met": "✓\u00a0met", "vouched": "vouched\u00a0for", "unmet": "✗\u00a0unmet"}


def table(label: str, caption: str, heads: Sequence[str], bodies: Iterable[Html], class_: str) -> Html:
    """A table in a region of that label, which scrolls sideways where it must and which the keyboard reaches.

    Args:
        label: what the region is called; no two on a page alike.
        caption: of the table.
        heads: of the columns.
        bodies: elements `tbody`.
        class_: of the table, for the style sheet.
    """
    top = element("tr", *(element("th", head, scope="col") for head in heads))
    whole = element(
        "table",
        element("caption", element("span", caption)),
        element("thead", top),
        *bodies,
        class_=class_,
    )
    return element("div", whole, class_="scroll", tabindex="0", role="region", aria_label=f"Table: {label}")


def value_cell(value: float | None, digits: int = 4) -> Html:
    """A number in a cell: a few digits for people, all of them for programs."""
    if value is None or not math.isfinite(value):
        return element("td", number(value), class_="number")
    return element("td", element("data", number(value, digits), value=repr(float(value))), class_="number")


def heading_cell(words: str, name: str) -> Html:
    """The first cell of a row, which names it (`name` is its id); it may break after a full stop or an underscore."""
    parts = [element("span", part) for part in words.replace(".", ".\n").replace("_", "_\n").split("\n")]
    return element("th", join(parts, "<wbr>"), scope="row", id=name)


def pairs_table(caption: str, heads: Sequence[str], items: Mapping[str, str]) -> Html:
    """Words beside words that may come from anybody: isolated, so that no writing direction leaks out."""
    rows = [
        element("tr", element("th", element("bdi", key), scope="row"), element("td", element("bdi", words)))
        for key, words in items.items()
    ]
    return table(caption, caption, heads, [element("tbody", *rows)], "pairs")


def measured_table(report: Report) -> Html:
    """Measured values with their intervals."""
    rows = []
    for name, value in report["measured"].items():
        method = value["method"] + ("" if value["guaranteed"] else " (asymptotic)")
        numbers = (value_cell(value[side]) for side in ("value", "lower", "upper"))
        cells = (*numbers, element("td", value["unit"]), element("td", method))
        rows.append(element("tr", element("th", MEASURED[name], scope="row"), *cells, data_measured=name))
    caption = (
        f"Values of {report['n']:,} samples; intervals for the population, each at {percent(1 - report['share'])}, "
        f"all together at {percent(1 - report['delta'])}"
    )
    heads = ("Measured", "Value", "From", "To", "Unit", "Interval")
    return table("measured values", caption, heads, [element("tbody", *rows)], "measured")


def yardsticks_table(report: Report) -> Html:
    """What to compare with: a student that guesses, the teacher, and what the certainty was spent on."""
    classes, measured = report["classes"], report["measured"]
    shares = round(report["delta"] / report["share"])
    items = [
        ("cross-entropy of a student that guesses uniformly, ln K", math.log(classes), "nats"),
        ("error of a student that guesses uniformly, 1 − 1/K", 1 - 1 / classes, "probability"),
    ]
    if "risk_teacher" in measured:
        items += [("cross-entropy of the teacher", measured["risk_teacher"]["value"], "nats")]
        items += [("gap of a student that guesses", math.log(classes) - measured["risk_teacher"]["value"], "nats")]
    if "accuracy_teacher" in measured:
        items += [("error of the teacher", 1 - measured["accuracy_teacher"]["value"], "probability")]
    items += [
        ("samples n", report["n"], "samples"),
        ("classes K", classes, "classes"),
        ("failure probability δ of everything together", report["delta"], "probability"),
        (f"its share for each of {shares} claims", report["share"], "probability"),
    ]
    rows = [element("tr", element("th", words, scope="row"), value_cell(v, 6), element("td", unit)) for words, v, unit in items]
    caption = "What a bound must beat to say anything"
    return table("yardsticks", caption, ("Yardstick", "Value", "Unit"), [element("tbody", *rows)], "yardsticks")


def rows_tables(report: Report) -> list[tuple[str, Html]]:
    """Heading and table of every target, in ladder order."""
    result = []
    for target, subject in SUBJECTS.items():
        rows = [row for row in report["rows"] if row["target"] == target]
        if rows:
            value = next((row["measured"] for row in rows if row["measured"] is not None), None)
            measured = "Not measured" if value is None else f"Measured: {number(value)}"
            caption = f"{measured}; {len(rows)} row{'' if len(rows) == 1 else 's'}"
            heads = ("Row", "Lower", "Upper", "Bound / value", "Holds")
            result.append((subject.words, table(subject.words, caption, heads, map(_row, rows), "rows")))
    return result


def _row(row: Record) -> Html:
    """Two lines that belong together: the numbers, and below them what they mean, over the whole width."""
    name = f"row-{row['name']}"
    there = row["status"] != "not applicable"
    sides = [row["lower"], row["upper"]]
    if there:  # a side that is missing is infinite
        sides = [end if end is not None else limit for end, limit in zip(sides, (-math.inf, math.inf), strict=True)]
    numbers = [value_cell(side) for side in (*sides, row["ratio"])]
    holds = element("td", _HOLDS[row["holds"]])
    words = [element("p", row["sentence"], " ", element("span", row["statement"], class_="formula"))]
    assumed = ", ".join(f"{assumption['name']} ({_STATES[assumption['state']]})" for assumption in row["assumptions"])
    words.append(element("p", element("b", row["status"]), f": {row['why']}. Rests on {assumed}.", class_="basis"))
    violated = row["guaranteed"] and row["holds"] is False
    return element(
        "tbody",
        element("tr", heading_cell(row["name"], name), *numbers, holds),
        element("tr", element("td", *words, colspan=5, headers=name)),
        data_row=row["name"],
        class_="violated" if violated else "absent" if not there else "promised" if row["guaranteed"] else "loose",
    )


def assumptions_table(report: Report) -> Html:
    """Every assumption with its state and evidence, and the rows that make it."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for row in report["rows"]:
        for assumption in row["assumptions"]:
            key = assumption["name"], assumption["state"], assumption["evidence"]
            found.setdefault(key, []).append(row["name"])
    rows = [
        element(
            "tr",
            element("th", name, scope="row"),
            element("td", _STATES[state]),
            element("td", evidence),
            element("td", f"{len(users)}: {', '.join(users)}"),
        )
        for (name, state, evidence), users in found.items()
    ]
    heads = ("Assumption", "State", "Evidence", "Rows")
    caption = "Assumptions: met (checked on the pair), vouched for (only you can know), or unmet"
    return table("assumptions", caption, heads, [element("tbody", *rows)], "assumptions")
