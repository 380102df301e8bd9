"""The page of notation explains every symbol and every term that a report prints."""

import re
import typing
import unicodedata

import pytest
from pages import ROOT, tokens

from kd2m_theory.bounds import ROWS
from kd2m_theory.bounds.result import Assumption, BoundResult

PAGE = ROOT / "docs/notation.md"
# A letter, perhaps with a hat, that no other letter touches.
_SYMBOL = re.compile(r"(?<![^\W\d_])([^\W\d_])\u0302?(?![^\W\d_])")
_NAMES = re.compile(r"\b(?:err|MMD|KL|TV|CW)(?![a-z])")


def entries():
    """First cells of the rows of all tables of the page."""
    every = tokens(PAGE)
    rows = [k for k, token in enumerate(every) if token.type == "tr_open" and every[k + 1].type == "td_open"]
    return [every[k + 2].content for k in rows]


def symbols(text):
    plain = unicodedata.normalize("NFD", text)
    letters = filter(str.isalpha, _SYMBOL.findall(plain))
    return {*letters, *_NAMES.findall(plain.replace("\u0302", ""))}


def test_every_symbol_of_a_row_has_an_entry():
    explained = set().union(*map(symbols, entries()))
    # Subscripts, the functions of an RKHS, and letters that the statement itself defines.
    own = {"S", "T", "H", "c", "f"}
    assert {symbol: row.name for row in ROWS for symbol in symbols(row.statement) - explained - own} == {}


def values(of, field):
    return typing.get_args(typing.get_type_hints(of)[field])


@pytest.mark.parametrize("word", [*values(BoundResult, "status"), *values(Assumption, "state")])
def test_every_word_of_a_verdict_has_an_entry(word):
    assert any(re.search(rf"\b{word}\b", entry.replace("not applicable (n/a)", "not applicable")) for entry in entries())


def test_no_entry_is_twice_and_each_is_one_sentence_or_two():
    every = entries()
    assert len(every) == len(set(every))
    assert len(every) > 70
