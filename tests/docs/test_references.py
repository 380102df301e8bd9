"""Every work that the project cites by name and year is in the one list of references, and every work there is cited."""

import re
import tomllib
import unicodedata
from functools import cache

import prose
from pages import ROOT

from kd2m_theory.reporting.citation import works

LIST = ROOT / "kd2m_theory/reporting/references.toml"
_NAME = r"[A-ZÀ-ÖØ-Þ][\w’'-]+"
_CITATION = re.compile(rf"\b({_NAME})((?:(?:,| and|, and) {_NAME})*)(?: et al\.)?,? (?:[A-Z]+ )?\(?((?:19|20)\d\d)\b")
# What has a year and is no author.
_OTHERS = {"Above", "COLT", "ECCV", "GSI", "ICLR", "ICML", "KDD", "November", "NeurIPS"}


@cache
def cited():
    """{(family name of the first author, year): where it is cited}."""
    found = {}
    for text in (*prose.pages(), *prose.sources()):
        for first, _, year in _CITATION.findall(" ".join(text.words.split())):
            if first not in _OTHERS:
                found.setdefault((first, year), str(text))
    return found


def listed():
    return {(work.authors[0].partition(",")[0].split()[-1], work.year) for work in works().values()}


def test_every_citation_is_in_the_list():
    assert {citation: where for citation, where in cited().items() if citation not in listed()} == {}


def test_every_work_of_the_list_is_cited():
    words = " ".join(text.words for text in (*prose.pages(), *prose.sources()))
    assert [
        work.key
        for work in works().values()
        if (work.authors[0].partition(",")[0].split()[-1], work.year) not in cited()
        and work.identifier.removeprefix("arXiv:") not in (words if work.identifier else "\0")
    ] == []


def test_keys_are_sorted_and_say_author_and_year():
    keys = list(tomllib.loads(LIST.read_text(encoding="utf-8")))
    assert keys == sorted(keys)
    for work in works().values():
        family = work.authors[0].partition(",")[0]
        letters = unicodedata.normalize("NFKD", family.lower())  # accents as characters of their own
        plain = "".join(each for each in letters if each.isascii() and each not in "- ")
        assert work.key.startswith(f"{plain}{work.year}"), work.key
