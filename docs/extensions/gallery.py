"""The pictures of the gallery: its examples are run when the site is built, and each picture has a thumbnail above."""

import contextlib
import re
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from PIL import Image
from sphinx.application import Sphinx

PAGE = "gallery"
FOLDER = "gallery"
_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# After the block that makes it: <!-- picture: name.png: what it shows -->, under a heading.
PICTURE = re.compile(r"^<!-- picture: (?P<file>[\w-]+\.png): (?P<words>.+) -->$", re.MULTILINE)
_HEADING = re.compile(r"^## (.+)$", re.MULTILINE)
_THUMBNAILS = "<!-- thumbnails -->"
_WIDTH = 320


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx, and begin: a second process runs the examples while this one computes what other pages show."""
    second = ProcessPoolExecutor(1)
    drawn = second.submit(draw, Path(app.srcdir))

    def _finish(*_: Any) -> None:
        with second:  # no thread of it is left when pages are read, in processes of their own
            drawn.result()

    app.connect("env-before-read-docs", _finish)
    app.connect("source-read", _shown)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def draw(docs: Path) -> None:
    """Run the examples, and keep their pictures and thumbnails beside the page."""
    text = (docs / f"{PAGE}.md").read_text(encoding="utf-8")
    folder = docs.resolve() / FOLDER
    folder.mkdir(exist_ok=True)
    names: dict[str, Any] = {"__name__": PAGE}
    with TemporaryDirectory() as place, contextlib.chdir(place):
        for block in _BLOCK.findall(text):
            exec(compile(block, f"{PAGE}.md", "exec"), names)
        for picture in PICTURE.finditer(text):
            with Image.open(picture["file"]) as drawn:
                drawn.save(folder / picture["file"])
                drawn.convert("RGB").resize((_WIDTH, _WIDTH * drawn.height // drawn.width), Image.Resampling.LANCZOS).save(
                    folder / f"small-{picture['file']}"
                )


def shown(text: str) -> str:
    """The page with its pictures, and with thumbnails that lead to the examples."""
    links = []
    for picture in PICTURE.finditer(text):
        title = _HEADING.findall(text[: picture.start()])[-1]
        anchor = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
        links.append(f"[![]({FOLDER}/small-{picture['file']}) {title}](#{anchor})")
    whole = PICTURE.sub(lambda picture: f"![{picture['words']}]({FOLDER}/{picture['file']})", text)
    return whole.replace(_THUMBNAILS, "\n".join(('<div class="gallery">', "", "\n".join(links), "", "</div>")))


def _shown(_app: Sphinx, page: str, source: list[str]) -> None:
    if page == PAGE:
        source[0] = shown(source[0])
