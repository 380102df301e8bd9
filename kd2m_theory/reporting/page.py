"""An audit as one HTML page that loads nothing: verdict first, then the ladder, every row, and where it all comes from."""

import base64
import hashlib
from collections.abc import Iterable, Mapping
from importlib.resources import files
from typing import Any

from kd2m_theory.reporting.citation import PAPER, software
from kd2m_theory.reporting.html import Html, element
from kd2m_theory.reporting.ladder_svg import ladder_panels, swatches
from kd2m_theory.reporting.page_tables import assumptions_table, measured_table, pairs_table, rows_tables, yardsticks_table
from kd2m_theory.reporting.verdict import verdict

Report = Mapping[str, Any]


def html_page(report: Report, command: str | None = None) -> str:
    """The page of a report (`AuditReport.to_dict()`).

    Args:
        report: the report.
        command: what was typed to make it; the call in Python if None.
    """
    sections = {
        "verdict": ("Verdict", _verdict(report)),
        "measured-values": ("Measured", _measured(report)),
        "ladder": ("The ladder of bounds", _ladder(report)),
        "rows": ("Every row", _rows(report)),
        "assumptions": ("Assumptions", _assumptions(report)),
        "yardstick": ("Yardsticks", [yardsticks_table(report)]),
        "origin": ("Where it comes from", _origin(report)),
        "reproduce": ("How to reproduce it", _reproduce(report, command)),
        "cite": ("How to cite", _cite(report)),
    }
    sections = {name: section for name, section in sections.items() if section[1]}
    main = [
        element("section", element("h2", title, id=name), *parts, aria_labelledby=name)
        for name, (title, parts) in sections.items()
    ]
    links = [element("li", element("a", title, href=f"#{name}")) for name, (title, _) in sections.items()]
    contents = element("nav", element("ul", *links), aria_label="Sections")
    subject = f"{report['n']:,} samples, {report['classes']} classes, kd2m-theory {report['environment']['kd2m-theory']}"
    body = element(
        "body",
        element("a", "Skip to the report", href="#main", class_="skip"),
        element("header", element("h1", "Audit of a distilled student"), element("p", subject)),
        element("main", main[0], contents, *main[1:], id="main", tabindex="-1"),
    )
    return f"<!doctype html>\n{element('html', _head(report), body, lang='en')}\n"


def _head(report: Report) -> Html:
    style = Html(files("kd2m_theory.reporting").joinpath("report.css").read_text(encoding="utf-8"))
    # The browser itself then refuses whatever is not this style sheet, should anything ever slip through.
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    title = "Violated: audit of a distilled student" if report["violations"] else "Audit of a distilled student"
    return element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=f"default-src 'none'; style-src 'sha256-{digest}'"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", title),
        element("style", style),
    )


def _paragraphs(sentences: Iterable[str]) -> Html:
    return element("p", " ".join(sentences))


def _verdict(report: Report) -> list[Html]:
    found = verdict(report)
    mark = "✗ " if found.violated else ""
    headline = element("p", element("strong", mark + found.headline), class_="violated" if found.violated else "headline")
    return [headline, _paragraphs(found.findings), element("h3", "What is not promised"), _paragraphs(found.caveats)]


def _measured(report: Report) -> list[Html]:
    measured = report["measured"]
    if not measured:
        return []
    mismatch = measured.get("head_mismatch")
    if mismatch is None or mismatch["lower"] <= 0 <= mismatch["upper"]:
        return [measured_table(report)]
    words = "The student's own head is not the teacher's: rows about features are about the student under the teacher's head."
    return [element("p", words), measured_table(report)]


def _ladder(report: Report) -> list[Html]:
    panels = ladder_panels(report)
    if not panels:
        return []
    legend = element("ul", *(element("li", mark, " ", words) for mark, words in swatches()), class_="legend")
    drawn = [element("div", element("h3", title), figure) for title, figure in panels]
    return [legend, element("div", *drawn, class_="panels")]


def _rows(report: Report) -> list[Html]:
    tables = rows_tables(report)
    if not tables:
        return []
    words = (
        "Bound / value: the bound over the measured value, on the value's side of zero; 1 is sharp. Vacuous: the row is true "
        "and allows a student that guesses uniformly. L is the steepness (Lipschitz constant) of the loss. A dash: not "
        "measured, or no number."
    )
    return [element("p", words), *(part for title, whole in tables for part in (element("h3", title), whole))]


def _assumptions(report: Report) -> list[Html]:
    return [assumptions_table(report)] if report["rows"] else []


def _origin(report: Report) -> list[Html]:
    environment = {**report["environment"], "seconds": f"{report['seconds']:.1f}", "schema": report["schema"]}
    tables = [pairs_table("Computed with", ("What", "Version or value"), environment)]
    if report["provenance"]:
        words = {str(key): str(value) for key, value in report["provenance"].items()}
        tables.insert(0, pairs_table("What the pair says about itself", ("What", "Words"), words))
    return tables


def _call(settings: Mapping[str, Any]) -> str:
    changed = {name: value for name, value in settings.items() if value not in (None, []) and (name, value) != ("align", False)}
    # The file of the other pair is not known here.
    words = [f"{name}={'other' if name == 'align' else repr(value)}" for name, value in changed.items()]
    return f'import kd2m_theory as kd2m\n\nkd2m.audit(kd2m.Pair.load("pair.safetensors"), {", ".join(words)})'


def _told(value: Any) -> str:
    if value in (None, []):
        return "not given"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(value) if isinstance(value, list) else f"{value:g}"


def _reproduce(report: Report, command: str | None) -> list[Html]:
    settings = {"delta": report["delta"], **report["settings"]}
    code = command or _call(settings)
    shown = {name: _told(value) for name, value in settings.items()}
    return [
        element("p", "With the same pair and the versions above, this gives the same numbers:"),
        element("pre", element("code", code)),
        pairs_table("What the audit was told", ("Setting", "Value"), shown),
    ]


def _cite(report: Report) -> list[Html]:
    works = software(report["environment"]["kd2m-theory"]), PAPER
    link = element("a", PAPER.identifier, href=PAPER.url)
    words = element("p", "Cite the software and the paper whose framework it implements (", link, "):")
    return [words, element("pre", element("code", "\n\n".join(work.bibtex() for work in works)))]
