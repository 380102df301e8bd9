"""The built site in a real browser: offline, silent, accessible, and no wider than a phone.

Needs what the page of an audit needs, and `make docs` before; `make browser-test` does both, other runs skip.
"""

import pytest
from browsers import chromium, missing
from pages import ROOT

SITE = ROOT / "build/site"
PAGES = [
    "index",
    "quick-start",
    "notation",
    "gallery",
    "campaign",
    "references",
    "ladder",
    "commands",
    "theorems/index",
    "theorems/t5",
]
THEMES = ["light", "dark"]
PHONE, DESK = {"width": 360, "height": 740}, {"width": 1280, "height": 800}


@pytest.fixture(scope="module")
def browser():
    if not (SITE / "index.html").exists():
        missing("there is no site; make docs")
    with chromium() as found:
        yield found


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("theme", THEMES)
def test_axe_finds_nothing_on_a_page_of_the_site(browser, name, theme):
    from axe_playwright_python.sync_playwright import Axe

    said, asked = [], []
    for viewport in (DESK, PHONE):
        context = browser.new_context(viewport=viewport, color_scheme=theme)
        page = context.new_page()
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto((SITE / f"{name}.html").as_uri())
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()
        assert len(found.response["passes"]) > 15
        assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
        context.close()
    assert said == []
    assert [url for url in asked if not url.startswith("file:")] == []


def test_the_report_of_the_campaign_is_folded_and_opens(browser):
    page = browser.new_page(viewport=DESK)
    page.goto((SITE / "campaign.html").as_uri())
    tables = page.locator("details.fold table")
    assert tables.count() > 10
    assert not tables.first.is_visible()
    assert page.evaluate("document.documentElement.scrollHeight") <= 4000
    page.locator("details.fold > summary").click()
    assert all(table.is_visible() for table in tables.all())
    page.close()


def test_the_tree_of_pages_marks_the_page_that_is_open(browser):
    page = browser.new_page(viewport=DESK)
    for name in PAGES:
        page.goto((SITE / f"{name}.html").as_uri())
        marked = page.locator(".sidebar-tree .current-page > a").all()
        title = page.locator("h1").first.text_content().removesuffix("¶")
        assert [(link.text_content(), link.get_attribute("href")) for link in marked] == [(title, "#")] * (name != "index")
        assert page.locator(".sidebar-tree .current-page").count() == len(marked)
    page.close()
