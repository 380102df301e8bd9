"""Pages of documentation as a reader uses them: code that is run, commands that are typed, links that are followed."""

import doctest
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).parent.parent.parent
_SESSIONS = doctest.DocTestParser()


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: Path
    line: int
    language: str
    text: str

    def __str__(self):
        return f"{name(self.page)}, line {self.line}"


def name(page):
    return page.relative_to(ROOT).as_posix()


def own_pages():
    """All pages that somebody wrote; the command's, the references and those on theorems are written when the site is built."""
    site = [*sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "docs/api").glob("*.md"))]
    return [
        page
        for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *site)
        if page.name not in ("commands.md", "references.md")
    ]


def tokens(page):
    return MarkdownIt("commonmark").enable("table").parse(page.read_text(encoding="utf-8"))


def cells(text):
    """Rows of all tables of a text, each a list of its cells, without the headings."""
    every = MarkdownIt("commonmark").enable("table").parse(text)
    rows = []
    for k, token in enumerate(every):
        if token.type == "tr_open":
            rows.append([])
        elif token.type == "td_open":
            rows[-1].append(every[k + 1].content)
    return [row for row in rows if row]


def blocks(page):
    return [
        Block(page, token.map[0] + 2, token.info.split()[0] if token.info.split() else "", token.content)
        for token in tokens(page)
        if token.type == "fence"
    ]


def run(block, namespace):
    """Run a block of Python; a traceback names the page and its line."""
    exec(compile("\n" * (block.line - 1) + block.text, str(block.page), "exec"), namespace)


def run_session(block, namespace):
    """Run a block of prompts and compare what is printed."""
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    session = _SESSIONS.get_doctest(block.text, namespace, name(block.page), str(block.page), block.line - 1)
    said = []
    runner.run(session, out=said.append, clear_globs=False)
    assert not said, "".join(said)
    namespace.update(session.globs)


def command_lines(block):
    """Lines of a block for the shell without comments; a line that ends in a backslash goes on."""
    for line in block.text.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if words:
            yield words


def links(page):
    """Addresses of links and pictures."""
    for token in tokens(page):
        for child in token.children or ():
            address = child.attrGet("href") or child.attrGet("src")
            if address:
                yield address


def places(page):
    """Anchors that GitHub and the site make of headings, those of an included page too."""
    every = tokens(page)
    texts = (every[k + 1].content for k, token in enumerate(every) if token.type == "heading_open")
    included = [(page.parent / token.info.split()[1]).resolve() for token in every if token.info.startswith("{include}")]
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in texts}.union(*map(places, included))


def commands_in_text(page):
    """Commands between backticks; those with a gap in them (…, [, |) are forms, not commands."""
    for token in tokens(page):
        for child in token.children or ():
            if (
                child.type == "code_inline"
                and re.match(r"kd2m [a-z]", child.content)
                and not re.search(r"[…\[|]", child.content)
            ):
                yield shlex.split(child.content)
