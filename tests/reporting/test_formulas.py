"""Formulas of the page: every one becomes MathML, and every letter in it is explained."""

import re
from xml.etree import ElementTree

import pytest

from kd2m_theory.bounds import ROWS
from kd2m_theory.reporting.formulas import SYMBOLS, formula, glossary, mathml, symbols_of
from kd2m_theory.theory.catalogue import theorems

LATEX = sorted(
    {row.latex for row in ROWS}
    | {theorem.latex for theorem in theorems()}
    | {form.latex for theorem in theorems() for form in theorem.forms if form.latex}
    | {step.latex for theorem in theorems() for step in theorem.steps if step.latex}
)
MATHML = "{http://www.w3.org/1998/Math/MathML}"
# Elements of MathML Core, and what they may not have: a style or anything that runs or loads.
CORE = {"math", "mrow", "mi", "mn", "mo", "mtext", "mspace", "msub", "msup", "msubsup", "munder", "mover", "munderover"}
CORE |= {"mfrac", "msqrt", "mroot", "mstyle", "mpadded", "mtable", "mtr", "mtd"}


def letters(latex):
    return {node.text for node in ElementTree.fromstring(mathml(latex)).iter(f"{MATHML}mi")}


@pytest.mark.parametrize("latex", LATEX)
def test_every_formula_becomes_mathml_without_a_command_left_over(latex):
    tree = ElementTree.fromstring(mathml(latex, block=True))
    assert tree.get("display") == "block"
    assert {node.tag.removeprefix(MATHML) for node in tree.iter()} <= CORE
    assert not {key for node in tree.iter() for key in node.attrib} & {"style", "class", "href", "src", "onclick"}
    assert "\\" not in "".join(tree.itertext())


def test_names_of_several_letters_are_upright():
    for latex in LATEX:
        assert not re.search("<mi>e</mi><mi>r</mi>(<msub>)?<mi>r</mi>", mathml(latex)), latex


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_every_letter_of_a_row_is_explained(row):
    """The letters are those of the MathML, which is read from the formula by another program than the one under test."""
    explained = symbols_of(row.latex, row.name)
    known = set().union(*(letters(symbol.latex) for symbol in explained))
    assert letters(row.latex) <= known | {"sup", "max", "min", "ln", "′", "″", ":"}
    assert len({symbol.latex for symbol in explained}) == len(explained)
    shown = formula(row.latex, row.name)
    assert all(symbol.words in shown.replace("&amp;", "&").replace("&lt;", "<") for symbol in explained)


def test_every_symbol_of_the_table_is_in_a_formula_where_it_says_it_is():
    used = {(symbol, row.name.partition(".")[0]) for row in ROWS for symbol in symbols_of(row.latex, row.name)}
    assert {symbol for symbol, _ in used} == set(SYMBOLS)
    for symbol in SYMBOLS:
        assert set(symbol.rows) <= {family for each, family in used if each == symbol}
        assert re.fullmatch(r"\S.{4,150}[^.]", symbol.words)


def test_a_symbol_without_an_explanation_is_noticed():
    for latex in (r"R_S \le \xi", "R_S \\le q", r"\varkappa"):
        with pytest.raises(ValueError, match="nothing explains"):
            symbols_of(latex, "T1")
    with pytest.raises(ValueError, match="nothing explains"):
        symbols_of("s", "T1")  # a letter that only rows of T5 have


def test_the_same_letter_means_what_it_means_in_its_row():
    words = {
        name: {symbol.latex: symbol.words for symbol in symbols_of(latex, name)}
        for name, latex in ((row.name, row.latex) for row in ROWS)
    }
    assert "Lipschitz" in words["T1.l2"]["L"]
    assert "Clopper" in words["F1.error"]["L(k)"]
    assert "ramp" in words["T8.ramp"][r"\rho"]
    assert "known" in words["T0.teacher_risk"][r"\rho"]
    assert "bias" in words["T6"]["b"]
    assert "input" in words["T9.tv"]["X"]
    assert "area" in words["T5.sharp"]["X"]


def test_the_glossary_has_every_symbol_once():
    shown = glossary({row.name: row.latex for row in ROWS})
    assert shown.count("<dt>") == shown.count("<dd>") == len(SYMBOLS)
