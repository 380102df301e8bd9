"""The page of notation explains every symbol and every term that a report prints, and its tables from the code are there."""

import importlib.util
import re
import typing
import unicodedata
from collections import Counter
from xml.etree import ElementTree

import pytest
from pages import ROOT, cells

from kd2m_theory.bounds import ROWS
from kd2m_theory.bounds.result import Assumption, BoundResult
from kd2m_theory.reporting.formulas import SYMBOLS
from kd2m_theory.reporting.verdict import MAGNITUDES, Comparison, Verdict

PAGE = ROOT / "docs/notation.md"
# A letter, perhaps with a hat, that no other letter touches.
_SYMBOL = re.compile(r"(?<![^\W\d_])([^\W\d_])\u0302?(?![^\W\d_])")
_NAMES = re.compile(r"\b(?:err|MMD|KL|TV|CW)(?![a-z])")
_MATH = re.compile(r"<math.*?</math>")


def extension():
    spec = importlib.util.spec_from_file_location("notation_page", ROOT / "docs/extensions/notation_page.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SHOWN = extension().shown(PAGE.read_text(encoding="utf-8"))


def entries():
    """Rows of all tables of the page, their cells as text: a symbol's letters stand apart, unless they are a name."""
    return [[_MATH.sub(_letters, cell) for cell in row] for row in cells(SHOWN)]


def _letters(match):
    names = match[0].replace('</mi><mi mathvariant="normal">', "")
    return " ".join(ElementTree.fromstring(names).itertext()).replace("C W", "CW")


def symbols(text):
    plain = unicodedata.normalize("NFD", text)
    letters = filter(str.isalpha, _SYMBOL.findall(plain))
    return {*letters, *_NAMES.findall(plain.replace("\u0302", ""))}


def test_every_symbol_of_a_row_has_an_entry():
    explained = set().union(*(symbols(first) for first, *_ in entries()))
    # Subscripts, the functions of an RKHS, and letters that the statement itself defines.
    own = {"S", "T", "H", "c", "f"}
    assert {symbol: row.name for row in ROWS for symbol in symbols(row.statement) - explained - own} == {}


def values(of, field):
    return typing.get_args(typing.get_type_hints(of)[field])


WORDS = (
    *values(BoundResult, "status"),
    *values(Assumption, "state"),
    *values(Verdict, "overall"),
    *values(Comparison, "status"),
)


@pytest.mark.parametrize("word", dict.fromkeys(WORDS))
def test_every_word_of_a_verdict_has_an_entry(word):
    assert any(re.search(rf"\b{word}\b", first.replace("not applicable (n/a)", "not applicable")) for first, *_ in entries())


def test_every_symbol_of_the_formulas_has_its_words():
    meanings = Counter(second.rstrip(".").casefold() for _, second, *_ in entries())
    assert Counter(symbol.words.casefold() for symbol in SYMBOLS) <= meanings


@pytest.mark.parametrize("page", ["notation", "ladder"])
def test_the_words_of_size_have_the_limits_that_a_verdict_uses(page):
    table = cells(extension().shown((ROOT / f"docs/{page}.md").read_text(encoding="utf-8")))
    said = {
        row[0]: [float(re.search(r"[\d.]+", cell)[0]) for cell in row[1:]]
        for row in table
        if re.fullmatch(r"below [\d.]+|[\d.]+ or more", row[1])
    }
    points, nats = MAGNITUDES["probability"], MAGNITUDES["nats"]
    assert said == {word: [100 * points[word], nats[word]] for word in points} | {
        "large": [100 * max(points.values()), max(nats.values())]
    }


def test_no_entry_is_twice_and_each_is_one_sentence_or_two():
    every = [(first, where) if "T" in where or "F" in where else (first, "") for first, _, where in entries()]
    assert len(every) == len(set(every))
    assert len(every) > 70
