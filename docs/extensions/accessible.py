"""What the theme leaves out for readers with a keyboard or a screen reader: levels of headings, names of regions, focus."""

from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

_REPLACED = {
    '<p class="caption" role="heading">': '<p class="caption" role="heading" aria-level="2">',
    '<aside class="sidebar-drawer">': '<aside class="sidebar-drawer" aria-label="All pages">',
    '<aside class="toc-drawer">': '<aside class="toc-drawer" aria-label="On this page">',
    # What scrolls where a line or a row is longer than the screen.
    "<pre>": '<pre tabindex="0">',
    '<div class="table-wrapper ': '<div tabindex="0" class="table-wrapper ',
}


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("build-finished", _complete)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _complete(app: Sphinx, exception: Exception | None) -> None:
    if exception is None and app.builder.format == "html":
        for path in Path(app.outdir).rglob("*.html"):
            path.write_text(completed(path.read_text(encoding="utf-8")), encoding="utf-8")


def completed(page: str) -> str:
    """The page with what it lacks."""
    for old, new in _REPLACED.items():
        page = page.replace(old, new)
    return page
