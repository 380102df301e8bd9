"""Long tables of the campaign's report are folded: the page shows what is short, and how many rows say what."""

from collections import Counter
from html import escape
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

PAGES = ("campaign",)
_LONGEST = 12
_VERDICT = "verdict"


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("doctree-resolved", _fold)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _fold(_app: Sphinx, document: nodes.document, page: str) -> None:
    if page not in PAGES:
        return
    for table in list(document.findall(nodes.table)):
        rows = next(iter(table.findall(nodes.tbody))).children
        if len(rows) > _LONGEST:
            opening = nodes.raw("", f'<details class="fold"><summary>{escape(_summary(table, rows))}</summary>', format="html")
            table.replace_self([opening, table.deepcopy(), nodes.raw("", "</details>", format="html")])


def _summary(table: nodes.table, rows: list[nodes.Node]) -> str:
    """How many rows there are, and how many have which verdict, where the table has verdicts."""
    headings = [entry.astext() for entry in next(iter(table.findall(nodes.thead))).findall(nodes.entry)]
    words = f"All {len(rows)} rows"
    if _VERDICT not in headings:
        return words
    counts = Counter(list(row.findall(nodes.entry))[headings.index(_VERDICT)].astext() for row in rows)
    return f"{words}: {', '.join(f'{count} {verdict}' for verdict, count in counts.most_common())}"
