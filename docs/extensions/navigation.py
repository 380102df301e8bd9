"""The tree of all pages beside each page: made once for the site and marked for each page, since Sphinx makes it for each."""

import functools
from typing import Any

from bs4 import BeautifulSoup
from sphinx.application import Sphinx
from sphinx.util.osutil import relative_uri


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""

    @functools.cache
    def tree(**options: Any) -> str:
        """The tree beside the page of contents, which is itself not listed in it."""
        return app.builder._get_local_toctree(app.config.root_doc, **options)

    def _before_the_theme(app: Sphinx, page: str, _template: str, context: dict[str, Any], _document: Any) -> None:
        root, here = (app.builder.get_target_uri(name) for name in (app.config.root_doc, page))
        context["toctree"] = lambda **options: marked(tree(**options), root, here)

    app.connect("html-page-context", _before_the_theme, priority=400)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def marked(tree: str, root: str, here: str) -> str:
    """The tree with links that lead from another page, and that page marked with all above it.

    Args:
        tree: as the page `root` shows it.
        root: address of the page of contents.
        here: address of the page that the tree is for.
    """
    soup = BeautifulSoup(tree, "html.parser")
    for link in soup.find_all("a"):
        if link["href"] != here:
            link["href"] = relative_uri(here, link["href"])
            continue
        link["href"] = "#"
        link["class"] = ["current", *link["class"]]
        for above in link.find_parents(("ul", "li")):
            above["class"] = [*above.get("class", ()), "current"]
    return str(soup)
