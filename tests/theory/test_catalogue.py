"""Every theorem of the catalogue: complete, sharp, no hypothesis idle, no mutant alive, and the same numbers as the audit."""

import pytest
from sampled import sampled

from kd2m_theory import InputError
from kd2m_theory.bounds import ROWS
from kd2m_theory.theory.catalogue import theorem, theorems
from kd2m_theory.validation.trial.check import check_theorem
from kd2m_theory.validation.trial.pages import latex_of

CATALOGUE = theorems()
ORDER = [
    "T0",
    "T0.known",
    *(f"T{i}" for i in range(1, 6)),
    "T5.curved",
    "T5.sharp",
    *(f"T{i}" for i in range(6, 11)),
    *(f"F{i}" for i in range(1, 8)),
    "KD2M.lemma",
    "KD2M.theorem",
]


def test_the_catalogue_is_complete_and_in_order():
    assert [t.name for t in CATALOGUE] == ORDER
    names = [form.name for t in CATALOGUE for form in t.forms]
    assert len(names) == len(set(names))
    assert [t.name for t in CATALOGUE if t.verdict != "proved"] == ["KD2M.theorem"]


@pytest.mark.parametrize("one", CATALOGUE, ids=lambda t: t.name)
def test_every_theorem_says_all_that_it_must(one):
    for words in (one.title, one.plain, one.latex, one.source, one.proof):
        assert words.strip()
    assert one.hypotheses or "no " in one.proof.lower()
    assert len(one.proof) <= 240, "the idea in a sentence or two; the mathematics is in the steps"
    assert sum(bool(step.latex) for step in one.steps) >= 3
    assert all(step.words.endswith((".", ":")) for step in one.steps)
    assert len(one.mutants) >= 2
    for form in one.forms:
        assert latex_of(form)
        assert form.constant
        assert form.witness.words
        assert (form.start is None) == (one.level != "deterministic"), form.name


@pytest.mark.parametrize(
    "one", sampled(CATALOGUE, later=["F1", "T2", "T3", "T5", "T5.curved", "T5.sharp", "T10"]), ids=lambda t: t.name
)
def test_nothing_is_wrong_with_the_theorem(one):
    assert check_theorem(one, 0, steps=2000).faults == ()


def test_deterministic_rows_of_the_audit_have_a_form():
    """Rows on logits are the rows on features with W = I."""
    forms = {form.name for t in CATALOGUE for form in t.forms}
    rows = {row.name.replace(".logits", "") for row in ROWS if row.name[0] == "T"}
    assert rows <= forms, rows - forms


@pytest.mark.parametrize("one", CATALOGUE, ids=lambda t: t.name)
def test_a_theorem_is_found_by_its_name_in_any_case(one):
    assert theorem(one.name.lower()) is one


@pytest.mark.parametrize(
    ("name", "guess"), [("T2.head_aware", "T2"), ("KD2M.lema", "KD2M.lemma"), ("kd2m.theorems", "KD2M.theorem")]
)
def test_a_wrong_name_is_answered_with_the_nearest(name, guess):
    with pytest.raises(InputError, match=f"did you mean '{guess}'[?] theorems are T0, T0.known"):
        theorem(name)


def test_a_name_far_from_all_is_answered_with_the_list():
    with pytest.raises(InputError, match="there is no theorem 'Pythagoras'; theorems are T0"):
        theorem("Pythagoras")


def test_a_form_is_found_by_its_name_and_a_wrong_one_is_answered_with_the_list():
    assert theorem("T2").form("T2.cw2").name == "T2.cw2"
    with pytest.raises(InputError, match=r"T2 has no form 'T2\.cw3'; forms are .*T2\.cw2"):
        theorem("T2").form("T2.cw3")
