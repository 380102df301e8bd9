"""Everything that a person reads in the repository, without its code: pages, docstrings, comments, messages, help texts."""

import ast
import io
import re
import tokenize
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).parent.parent.parent
ROOMS = ("kd2m_theory", "estimators", "bounds", "validation", "paper_figures")
# A string of code with a space between two words is read by somebody: a message, a help text, a sentence of a theorem.
_SENTENCE = re.compile(r"[A-Za-z]{2,},? [A-Za-z]{2,}")
# Code inside prose, and what matplotlib calls the places of a legend.
_CODE = re.compile(r"`[^`]*`|https?://\S+|^(?:outside )?(?:upper|lower) center$")
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True)
class Text:
    """A passage, with the place where it stands."""

    file: str
    line: int
    kind: str
    words: str

    def __str__(self):
        return f"{self.file}:{self.line}"


@cache
def pages():
    """The passages of README, CONTRIBUTING, CHANGELOG and the site, one per block of Markdown."""
    files = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")] + sorted((ROOT / "docs").rglob("*.md"))
    # These are written from the package when the site is built.
    generated = {ROOT / "docs/commands.md", ROOT / "docs/references.md", *(ROOT / "docs/theorems").glob("*.md")}
    return tuple(passage for file in files if file not in generated for passage in _of_page(file))


@cache
def sources():
    """The docstrings, comments and sentences in strings of the package and of its site."""
    files = [path for room in (*ROOMS, "docs/extensions") for path in sorted((ROOT / room).rglob("*.py"))]
    return tuple(passage for file in files for passage in of_source(file.read_text(encoding="utf-8"), _name(file)))


def of_source(text, name):
    """The passages of one module."""
    nodes = [node for node in ast.walk(ast.parse(text)) if isinstance(node, (*_DOCUMENTED, ast.Constant, ast.JoinedStr))]
    docstrings = {
        id(node.body[0].value)
        for node in nodes
        if isinstance(node, _DOCUMENTED) and node.body and isinstance(node.body[0], ast.Expr)
    }
    inside = {id(part) for node in nodes if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in nodes:
        if isinstance(node, ast.JoinedStr):
            words = "".join(part.value if isinstance(part, ast.Constant) else "{}" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside:
            words = node.value
        else:
            continue
        if id(node) in docstrings:
            yield Text(name, node.lineno, "docstring", _CODE.sub(" … ", re.sub(r"^\s*(>>>|\.\.\. ).*$", "", words, flags=re.M)))
        elif _SENTENCE.search(words):
            yield Text(name, node.lineno, "string", _CODE.sub(" … ", words))
    yield from _comments(text, name)


def _comments(text, name):
    """Comments, those on consecutive lines as one."""
    first, lines, last = 0, [], -1
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type != tokenize.COMMENT or re.match(r"# (type|noqa|fmt|pragma|mypy)\b", token.string):
            continue
        if token.start[0] != last + 1 and lines:
            yield Text(name, first, "comment", _CODE.sub(" … ", " ".join(lines)))
            lines = []
        first, last = (token.start[0] if not lines else first), token.start[0]
        lines.append(token.string.lstrip("#").strip())
    if lines:
        yield Text(name, first, "comment", _CODE.sub(" … ", " ".join(lines)))


def _of_page(file):
    for token in MarkdownIt("commonmark").enable("table").parse(file.read_text(encoding="utf-8")):
        if token.type == "inline":
            parts = (
                " … "
                if child.type in ("code_inline", "html_inline")
                else " "
                if child.type.endswith("break")
                else child.content
                for child in token.children
            )
            yield Text(_name(file), token.map[0] + 1, "page", _CODE.sub(" … ", "".join(parts)))


def _name(file):
    return file.relative_to(ROOT).as_posix()
