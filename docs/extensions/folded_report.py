"""The campaign's own report is folded: the page shows what was found, and one line below it opens every table."""

from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

PAGES = ("campaign",)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("doctree-resolved", _fold)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _fold(_app: Sphinx, document: nodes.document, page: str) -> None:
    if page not in PAGES:
        return
    (whole,) = (child for child in document.children if isinstance(child, nodes.section))
    sections = [child for child in whole.children if isinstance(child, nodes.section)]
    tables = sum(1 for section in sections for _ in section.findall(nodes.table))
    opening = f'<details class="fold"><summary>The whole report: {len(sections)} parts with {tables} tables</summary>'
    # Before the first and behind the last: `replace_self` would give the classes of a section to the line that opens the fold.
    whole.insert(whole.index(sections[0]), nodes.raw("", opening, format="html"))
    whole.insert(whole.index(sections[-1]) + 1, nodes.raw("", "</details>", format="html"))
