"""What a built page may not do: load anything from the network, lead nowhere inside the site, or call words of a docstring a
type. A find is a warning."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from sphinx.application import Sphinx

_LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}
_IN_STYLES = re.compile(r"""(?:url\(|@import)\s*["']?\s*(https?:)?//[^)"']*""")

# Docstrings here have no types, so where Sphinx prints one it took what stands before a colon for it.
_TYPE = '>Type<span class="colon">'


def setup(app: "Sphinx") -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("build-finished", _check)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


class Page(HTMLParser):
    """What a page loads, where it leads, and the places in it that others can lead to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.leads_to: list[str] = []
        self.places = {"", "top"}
        self.has_types = _TYPE in text
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """One tag of the page."""
        found = {name: value for name, value in attrs if value}
        if "id" in found:
            self.places.add(found["id"])
        if tag in _LOADED and _LOADED[tag] in found:
            self.loads.append(found[_LOADED[tag]])
        if tag == "a" and "href" in found:
            self.leads_to.append(found["href"])


def faults(site: Path) -> Iterator[str]:
    """Everything that is wrong with a built site, in words."""
    pages = {path.resolve(): Page(path.read_text(encoding="utf-8")) for path in sorted(site.rglob("*.html"))}
    for path, page in pages.items():
        name = path.relative_to(site.resolve())
        yield from (f"{name} loads {url} from the network" for url in page.loads if urlsplit(url).netloc)
        if page.has_types:
            yield f"{name} takes the beginning of a docstring for a type"
        for url in page.leads_to:
            target = urlsplit(url)
            if target.scheme or target.netloc:
                continue
            there = (path.parent / unquote(target.path)).resolve() if target.path else path
            if not there.exists():
                yield f"{name} leads to {url}, which is not there"
            elif there in pages and unquote(target.fragment) not in pages[there].places:
                yield f"{name} leads to {url}, and that page has no such place"
    for path in sorted(site.rglob("*.css")):
        if _IN_STYLES.search(path.read_text(encoding="utf-8")):
            yield f"{path.relative_to(site)} loads something from the network"


def _check(app: "Sphinx", exception: Exception | None) -> None:
    from sphinx.util import logging

    if exception is None and app.builder.format == "html":
        for fault in faults(Path(app.outdir)):
            logging.getLogger(__name__).warning(fault)
