"""Write docs/page.png again: the page of the stored pair as a browser shows it.

python tests/helpers/page_picture.py
"""

from pathlib import Path
from tempfile import TemporaryDirectory

from browsers import chromium

from kd2m_theory import Pair, audit

ROOT = Path(__file__).parents[2]


def main() -> None:
    with TemporaryDirectory() as folder, chromium() as browser:
        path = Path(folder) / "report.html"
        audit(Pair.load(ROOT / "tests" / "data" / "demo-alone.npz")).to_html(path)
        page = browser.new_page(viewport={"width": 1100, "height": 1350})
        page.goto(path.as_uri())
        page.screenshot(path=ROOT / "docs" / "page.png")


if __name__ == "__main__":
    main()
