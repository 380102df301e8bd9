"""The page of an audit, and that of a comparison, in a real browser: silent, offline, accessible, and never wider than the screen.

Needs the extra `browser` and a Chromium; `make browser-test` fails without them, other runs skip.
"""

from functools import cache
from pathlib import Path

import pytest
from browsers import chromium
from reports import a_comparison, report_of

from kd2m_theory import AuditReport, Pair, StudentComparison, audit

ROOT = Path(__file__).parents[2]
CASES = ["plain", "student better", "unlabelled", "violated", "infinite", "no rows", "students"]
THEMES = ["light", "dark"]
PHONE, DESK = {"width": 360, "height": 740}, {"width": 1280, "height": 800}


OPEN = "document.querySelectorAll('details').forEach(fold => { fold.open = true; })"
# One table of rows and one list of symbols among them: axe takes minutes for thousands of letters that differ in nothing.
OPEN_EACH_KIND = """() => {
    document.querySelectorAll('details:not(.symbols)').forEach(fold => { fold.open = true; });
    const tables = [...document.querySelectorAll('[aria-labelledby=rows] details details:not(.symbols)')];
    tables.slice(1).forEach(fold => { fold.open = false; });
    document.querySelectorAll('.symbols').forEach((fold, k) => { fold.open = k === 0; });
}"""


@cache
def _report(case: str) -> AuditReport | StudentComparison:
    """A kind of `reports.py`, the audit of a stored pair, or a comparison."""
    if case == "students":
        return a_comparison()
    return audit(Pair.load(ROOT / "tests" / "data" / f"{case}.npz")) if case.startswith("demo-") else report_of(case)


@pytest.fixture(scope="module")
def browser():
    with chromium() as found:
        yield found


@pytest.fixture
def opened(browser, tmp_path):
    """A function that opens a case's page; at the end, nothing may have been said or asked for."""
    said, asked, contexts = [], [], []

    def open_page(case, viewport=DESK, theme="light", folds="closed"):
        path = tmp_path / "report.html"
        _report(case).to_html(path)
        contexts.append(browser.new_context(viewport=viewport, color_scheme=theme))
        page = contexts[-1].new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(path.as_uri())
        if folds != "closed":
            page.evaluate(OPEN if folds == "open" else OPEN_EACH_KIND)
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

    for viewport, folds in ((DESK, "each kind"), (PHONE, "closed")):
        found = Axe().run(opened(case, viewport, theme, folds))
        assert found.violations_count == 0, found.generate_report()
        assert len(found.response["passes"]) > 15


@pytest.mark.parametrize("case", CASES)
def test_no_page_is_wider_than_a_phone(opened, case):
    page = opened(case, PHONE, folds="open")
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    wide = page.evaluate(
        """() => [...document.querySelectorAll('main *')].filter(e => !e.closest('.scroll') && !e.closest('.formula')
            && e.getBoundingClientRect().right > innerWidth + 0.5).map(e => e.tagName + ' ' + e.textContent)"""
    )
    assert wide == []


@pytest.mark.parametrize("case", CASES)
def test_words_of_the_ladder_keep_apart_and_large_on_a_phone(opened, case):
    page = opened(case, PHONE, folds="open")
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
            assert one["size"] >= 12, one["words"]
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


@pytest.mark.parametrize("case", ["demo-alone", "demo-cw2", "unlabelled", "logits only"])
def test_the_page_is_five_screens_before_folds_are_opened(opened, case):
    """The first of them has the verdict and the three lights; a phone has all of them in its first three."""
    page = opened(case)
    assert page.evaluate("document.documentElement.scrollHeight") <= 4000
    bottom = "document.querySelector('.lights').getBoundingClientRect().bottom"
    assert page.evaluate(bottom) <= DESK["height"]
    assert opened(case, PHONE).evaluate(bottom) <= 3 * PHONE["height"]


def test_the_keyboard_opens_a_fold(opened):
    page = opened("plain")
    for _ in range(5):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.tagName") == "SUMMARY":
            break
    assert not page.evaluate("document.activeElement.parentElement.open")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.parentElement.open")


def test_a_link_into_a_fold_opens_it(opened):
    page = opened("plain")
    assert not page.evaluate("document.querySelector('#cite').closest('details').open")
    page.click("nav a[href='#cite-inside']")
    assert page.evaluate("document.querySelector('#cite').closest('details').open")


def test_the_keyboard_reaches_the_skip_link_first_and_every_table(opened):
    page = opened("plain", PHONE)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    assert page.evaluate("document.activeElement.getBoundingClientRect().left") >= 0
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    page.evaluate("document.querySelectorAll('details:not(.symbols)').forEach(fold => { fold.open = true; })")
    regions = page.evaluate("[...document.querySelectorAll('[role=region]')].map(e => e.getAttribute('aria-label'))")
    assert len(regions) > 10
    reached = set()
    for _ in range(page.evaluate("document.querySelectorAll('a, summary, [tabindex=\"0\"]').length")):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.getAttribute('aria-label')"))
    assert set(regions) <= reached


# Width in CSS pixels of A4 less its margins.
PAPER = 687


@pytest.mark.parametrize("case", ["plain", "infinite"])
def test_no_column_is_cut_off_on_paper_and_dark_pages_print_light(opened, case):
    page = opened(case, {"width": PAPER, "height": 1000}, "dark")
    page.emulate_media(media="print")
    hidden = page.evaluate(
        """() => [...document.querySelectorAll('main section > *, main tr, main p')]
            .filter(part => !part.closest('.symbols') && part.getBoundingClientRect().height === 0)
            .map(part => part.textContent)"""
    )
    assert hidden == []  # no fold is closed on paper
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    cut = page.evaluate(
        """() => [...document.querySelectorAll('th, td, p, pre, svg text')].filter(part => {
            const box = part.getBoundingClientRect();
            return box.right > innerWidth + 0.5 || (part.clientWidth && part.scrollWidth > part.clientWidth + 1);
        }).map(part => part.textContent)"""
    )
    assert cut == []


def test_what_a_row_means_is_read_on_a_phone_without_scrolling(opened):
    page = opened("plain", PHONE, folds="open")
    shown = page.evaluate(
        """() => [...document.querySelectorAll('.rows p, .symbols dd')].map(p => {
            const box = p.getBoundingClientRect();
            return {words: p.textContent, right: box.right, height: box.height};
        })"""
    )
    assert [part["words"] for part in shown if part["right"] > PHONE["width"] or part["height"] < 10] == []
    words = {part["words"] for part in shown}
    for row in report_of("plain").rows:
        assert {row.sentence, row.statement} <= words
    # A formula may be wider than a phone: it is in a frame of its own, which scrolls.
    frames = page.evaluate("[...document.querySelectorAll('.formula')].map(frame => frame.getBoundingClientRect().right)")
    assert len(frames) == len(report_of("plain").rows)
    assert max(frames) <= PHONE["width"]


def test_formulas_are_drawn_as_mathematics(opened):
    """A fraction is higher than a letter, an index lower: the browser draws the MathML and does not print its text."""
    page = opened("plain", folds="open")
    low = page.evaluate(
        """() => [...document.querySelectorAll('.formula math')].filter(m => {
            const box = m.getBoundingClientRect();
            return box.height < 15 || box.width < 40;
        }).length"""
    )
    assert low == 0
    fractions = page.evaluate(
        """() => [...document.querySelectorAll('.formula mfrac')].map(f => f.firstElementChild.getBoundingClientRect().bottom
            <= f.lastElementChild.getBoundingClientRect().top + 2)"""
    )
    assert fractions
    assert all(fractions)
