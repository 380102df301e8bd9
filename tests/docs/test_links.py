"""A link leads somewhere: pages of the repository link to files and headings that exist. The built site is checked when it is built."""

from urllib.parse import unquote, urlsplit

import pytest
from pages import ROOT, blocks, links, name, own_pages, places

from kd2m_theory.theory.catalogue import theorems

GENERATED = {"docs/commands.md", "docs/references.md", "docs/theorems/index.md"} | {
    f"docs/theorems/{theorem.name.lower().replace('.', '-')}.md" for theorem in theorems()
}


@pytest.mark.parametrize("page", own_pages(), ids=name)
def test_links_lead_somewhere(page):
    for address in links(page):
        target = urlsplit(address)
        if target.scheme:
            assert target.scheme == "https", address
            continue
        there = (page.parent / unquote(target.path)).resolve() if target.path else page
        assert there.is_relative_to(ROOT), f"{address} leads out of the repository"
        if there.relative_to(ROOT).as_posix() in GENERATED:
            assert not target.fragment, address
            continue
        assert there.exists(), f"{address} is not there"
        assert not target.fragment or target.fragment in places(there), f"{address}: no such heading"


def test_every_page_can_be_reached():
    """A page that is in no table of contents is not in the menu."""
    listed = {
        (page.parent / f"{entry}.md").resolve()
        for page in own_pages()
        for block in blocks(page)
        if block.language == "{toctree}"
        for entry in block.text.splitlines()
        if entry and not entry.startswith(":")
    }
    site = {page for page in own_pages() if page.is_relative_to(ROOT / "docs")} | {ROOT / each for each in GENERATED}
    first = ROOT / "docs/index.md"
    theorem_pages = {page for page in site if page.parent.name == "theorems" and page.stem != "index"}
    assert listed == site - {first} - theorem_pages
