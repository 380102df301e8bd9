"""What pages have from the code: the symbols of formulas, and the words for the size of a difference with their limits."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from unicodedata import name, normalize
from xml.etree import ElementTree

from kd2m_theory.bounds import ROWS
from kd2m_theory.reporting.formulas import SYMBOLS, Symbol, mathml, symbols_of
from kd2m_theory.reporting.verdict import MAGNITUDES
from kd2m_theory.theory.catalogue import theorems

if TYPE_CHECKING:
    from sphinx.application import Sphinx

_SYMBOLS = "<!-- symbols -->"
_MAGNITUDES = "<!-- magnitudes -->"
_MANY = 6


def setup(app: "Sphinx") -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("source-read", _shown)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _shown(_app: "Sphinx", _page: str, source: list[str]) -> None:
    source[0] = shown(source[0])


def shown(text: str) -> str:
    """The page with its tables in place of their marks."""
    for mark, table in ((_SYMBOLS, _symbols), (_MAGNITUDES, _magnitudes)):
        if mark in text:
            text = text.replace(mark, "\n".join(table()))
    return text


def _symbols() -> Iterator[str]:
    """Tables of Latin letters, Greek letters and signs, each by the alphabet."""
    used: dict[Symbol, list[str]] = {symbol: [] for symbol in SYMBOLS}
    for row in ROWS:
        family = row.name.partition(".")[0]
        for symbol in symbols_of(row.latex, row.name):
            if family not in used[symbol]:
                used[symbol].append(family)
    pages = {theorem.name for theorem in theorems()}
    for title, script in (("Latin letters", "LATIN"), ("Greek letters", "GREEK"), ("Signs", "")):
        yield f"### {title}"
        yield ""
        yield "| symbol | meaning | in the rows of |"
        yield "|---|---|---|"
        for symbol in sorted((each for each in SYMBOLS if _script(each) == script), key=_order):
            families = [f"[{each}](theorems/{each.lower()}.md)" if each in pages else each for each in used[symbol]]
            where = ", ".join(families) if len(families) <= _MANY else f"{len(families)} theorems"
            yield f"| {mathml(symbol.latex).replace('|', '&#124;')} | {_sentence(symbol.words)} | {where} |"
        yield ""


def _letters(symbol: Symbol) -> str:
    """What a symbol reads, without its marks: ℓ is an l, and a hat stands behind its letter."""
    return normalize("NFKC", "".join(ElementTree.fromstring(mathml(symbol.latex)).itertext()))


def _script(symbol: Symbol) -> str:
    script = name(_letters(symbol)[0]).partition(" ")[0]
    return script if script in {"LATIN", "GREEK"} else ""


def _order(symbol: Symbol) -> tuple[str, str]:
    return _letters(symbol).casefold(), _letters(symbol)


def _sentence(words: str) -> str:
    """The words as a sentence, which begins with a capital unless it begins with a variable."""
    return f"{words}." if words.startswith("x ") else f"{words[0].upper()}{words[1:]}."


def _magnitudes() -> Iterator[str]:
    """The words for the size of a difference, with the limits of each in errors and in cross-entropy."""
    points = {word: f"{100 * below:g}" for word, below in MAGNITUDES["probability"].items()}
    nats = {word: f"{below:g}" for word, below in MAGNITUDES["nats"].items()}
    yield "| word | difference of error rates, percentage points | difference of cross-entropy, nats |"
    yield "|---|---|---|"
    for word in points:
        yield f"| {word} | below {points[word]} | below {nats[word]} |"
    yield f"| large | {[*points.values()][-1]} or more | {[*nats.values()][-1]} or more |"
