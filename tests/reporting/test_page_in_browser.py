"""The page of an audit in a real browser: silent, offline, accessible, and never wider than the screen.

Needs the extra `browser` and a Chromium; `make browser-test` fails without them, other runs skip.
"""

import pytest
from browsers import chromium
from reports import report_of

CASES = ["plain", "student better", "unlabelled", "violated", "infinite", "no rows"]
THEMES = ["light", "dark"]
PHONE, DESK = {"width": 360, "height": 740}, {"width": 1280, "height": 800}


@pytest.fixture(scope="module")
def browser():
    with chromium() as found:
        yield found


@pytest.fixture
def opened(browser, tmp_path):
    """A function that opens a case's page; at the end, nothing may have been said or asked for."""
    said, asked, contexts = [], [], []

    def open_page(case, viewport=DESK, theme="light"):
        path = tmp_path / "report.html"
        report_of(case).to_html(path)
        contexts.append(browser.new_context(viewport=viewport, color_scheme=theme))
        page = contexts[-1].new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(path.as_uri())
        return page

    yield open_page
    assert said == []
    assert asked == [(tmp_path / "report.html").as_uri()] * len(contexts)
    for context in contexts:
        context.close()


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("theme", THEMES)
def test_axe_finds_nothing_on_desk_and_phone(opened, case, theme):
    from axe_playwright_python.sync_playwright import Axe

    for viewport in (DESK, PHONE):
        found = Axe().run(opened(case, viewport, theme))
        assert found.violations_count == 0, found.generate_report()
        assert len(found.response["passes"]) > 15


@pytest.mark.parametrize("case", CASES)
def test_no_page_is_wider_than_a_phone(opened, case):
    page = opened(case, PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    wide = page.evaluate(
        """() => [...document.querySelectorAll('main *')].filter(e => !e.closest('.scroll')
            && e.getBoundingClientRect().right > innerWidth + 0.5).map(e => e.tagName + ' ' + e.textContent)"""
    )
    assert wide == []


@pytest.mark.parametrize("case", CASES)
def test_words_of_the_ladder_keep_apart_and_large_on_a_phone(opened, case):
    page = opened(case, PHONE)
    boxes = page.evaluate(
        """() => [...document.querySelectorAll('svg.ladder')].map(s => [...s.querySelectorAll('text')].map(t => {
            const b = t.getBoundingClientRect();
            return {words: t.textContent, size: parseFloat(getComputedStyle(t).fontSize),
                    left: b.left, right: b.right, top: b.top, bottom: b.bottom};
        }))"""
    )
    assert bool(boxes) == (case != "no rows")
    for ladder in boxes:
        for k, one in enumerate(ladder):
            assert one["size"] >= 12
            assert one["left"] >= 0
            assert one["right"] <= 360.5
            for other in ladder[k + 1 :]:
                apart = (
                    one["right"] <= other["left"]
                    or other["right"] <= one["left"]
                    or one["bottom"] <= other["top"] + 1
                    or other["bottom"] <= one["top"] + 1
                )
                assert apart, (one["words"], other["words"])


def test_the_style_sheet_is_let_in_by_the_policy_and_knows_the_dark(opened):
    page = opened("plain", theme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(22, 24, 27)"
    assert page.evaluate("getComputedStyle(document.querySelector('.band')).fill") == "rgb(77, 53, 38)"


def test_the_keyboard_reaches_the_skip_link_first_and_every_table(opened):
    page = opened("plain", PHONE)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    assert page.evaluate("document.activeElement.getBoundingClientRect().left") >= 0
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    reached = set()
    for _ in range(80):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.getAttribute('aria-label')"))
    regions = page.evaluate("[...document.querySelectorAll('[role=region]')].map(e => e.getAttribute('aria-label'))")
    assert len(regions) > 10
    assert set(regions) <= reached


# Width in CSS pixels of A4 less its margins.
PAPER = 687


@pytest.mark.parametrize("case", ["plain", "infinite"])
def test_no_column_is_cut_off_on_paper_and_dark_pages_print_light(opened, case):
    page = opened(case, {"width": PAPER, "height": 1000}, "dark")
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    cut = page.evaluate(
        """() => [...document.querySelectorAll('th, td, p, pre, svg text')].filter(part => {
            const box = part.getBoundingClientRect();
            return box.right > innerWidth + 0.5 || (part.clientWidth && part.scrollWidth > part.clientWidth + 1);
        }).map(part => part.textContent)"""
    )
    assert cut == []


def test_what_a_row_means_is_read_on_a_phone_without_scrolling(opened):
    page = opened("plain", PHONE)
    wide = page.evaluate(
        """() => [...document.querySelectorAll('.rows p')].filter(p => p.getBoundingClientRect().right > innerWidth)
            .map(p => p.textContent)"""
    )
    assert wide == []
    assert page.evaluate("document.querySelectorAll('.rows p').length") == 3 * len(report_of("plain").rows)
