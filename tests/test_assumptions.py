"""One list of assumptions: theorems and rows refer to it, and a row has all hypotheses of its forms and no other."""

import re
from dataclasses import replace

import numpy as np
import pytest

from kd2m_theory import InputError, Pair, audit
from kd2m_theory.assumptions import HYPOTHESES, INPUTS, declare, hypothesis, sentence
from kd2m_theory.bounds import ROWS
from kd2m_theory.bounds.rows.row import CLASS_SHARES, LABELS, Requirement
from kd2m_theory.bounds.settings import VOUCHABLE
from kd2m_theory.theory.catalogue import theorem, theorems
from kd2m_theory.theory.statement import Counterexample, Hypothesis

CATALOGUE = theorems()
BY_NAME = {row.name: row for row in ROWS}
FORMS = {form.name: form for one in CATALOGUE for form in one.forms}
# Why no row of an audit has the name of these forms, and none rests on them.
WITHOUT_ROW = {
    "the norm of a network's loss in an RKHS is unknown": ["T1.rkhs", "T1.rkhs_l2"],
    "a row with a sharper form of the same theorem exists": [
        "T4.absolute",
        "T5.range",
        "T5.half",
        "T6.kernel",
        "T8.margin",
        "F1.bernstein",
        "F1.bernstein_sharp",
        "F3.any_loss",
    ],
    "it compares two distances and bounds no gap": ["T6.w1_rkhs", "T6.w1", "T10.mixture"],
    "it is about laws of the features, which a sample does not show": ["T7.tv", "T7.kl", "T10.gaussian"],
    "it is about a margin that is Gaussian, which holds for two classes": ["T7.affinity"],
    "rows about the population use the one-sided limit, by class": [
        "F4.independent",
        "F4.pairs",
        "F5.upper",
        "F5.upper_pairs",
        "F5.transport",
    ],
    "it is the general statement; rows are its cases": ["T0.known_means"],
    "it is about how claims are chosen, not about a pair": ["F6.union", "F6.split", "F6.holm"],
    "label plans use it, which are no rows of an audit": ["F7.file", "F7.population"],
    "it is the paper's setting, an RKHS": ["KD2M.lemma", "KD2M.theorem"],
}
# These depend on the pair, its sample or its user; by construction of a row they cannot hold.
OF_THE_PAIR = {
    "same inputs",
    "same class shares",
    "teacher labels",
    "gaussian classes",
    "loss 1-Lipschitz in the features",
    "independent samples",
    "same population",
    "samples independent of each other",
    "sample size fixed before",
    "networks fixed before the sample",
}


# Of the same inputs, F4.brier uses the radius of pairs.
NOT_ALWAYS = {"samples independent of each other", "no groups"}


def required(row, catalogue=CATALOGUE):
    """Hypotheses of the forms that a row rests on."""
    owners = {form.name: one for one in catalogue for form in one.forms}
    return {h.name for name in row.rests_on for h in owners[name].needed_by(name)}


def faults(row, catalogue=CATALOGUE):
    """Hypotheses that the row lacks, and hypotheses that none of its forms has."""
    declared = {need.name for need in row.needs} | set(row.structural)
    return required(row, catalogue) ^ declared


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_row_has_the_hypotheses_of_its_forms_and_no_other(row):
    assert faults(row) == set()
    assert not set(row.structural) & OF_THE_PAIR
    if row.space == "features":
        assert "shared head" not in row.structural


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_need_that_is_dropped_or_foreign_is_noticed(row):
    for need in row.needs:
        assert faults(replace(row, needs=tuple(n for n in row.needs if n is not need))) == {need.name}
    for key in row.structural:
        assert faults(replace(row, structural={k: v for k, v in row.structural.items() if k != key})) == {key}
    foreign = Requirement("known dimension", lambda _situation: ("met", ""))
    assert faults(replace(row, needs=(*row.needs, foreign))) == {"known dimension"}


def test_a_form_that_gains_a_hypothesis_is_noticed():
    gained = Hypothesis(
        name="known dimension",
        check=None,
        counterexample=Counterexample(words="", form="T2.w2", make=lambda: None),
        forms=("T2.w2",),
    )
    larger = [replace(one, hypotheses=(*one.hypotheses, gained)) if one.name == "T2" else one for one in CATALOGUE]
    assert {row.name for row in ROWS if faults(row, larger)} == {"T2.w2", "T2.logits.w2"}
    everywhere = replace(gained, forms=())
    larger = [replace(one, hypotheses=(*one.hypotheses, everywhere)) if one.name == "T2" else one for one in CATALOGUE]
    noticed = {row.name for row in ROWS if faults(row, larger)}
    assert noticed == {row.name for row in ROWS if any(name.startswith("T2.") for name in row.rests_on)}


def test_rows_and_forms_without_a_counterpart_are_known():
    for row in ROWS:
        own = row.name.replace(".logits", "")
        assert own in row.rests_on if own in FORMS else row.forms, row.name
        assert set(row.rests_on) <= set(FORMS)
    # A form leaves its LaTeX to the row of its name; a form without a row has its own.
    assert {name for name, form in FORMS.items() if form.row} == set(FORMS) & set(BY_NAME)
    idle = set(FORMS) - {name for row in ROWS for name in row.rests_on}
    listed = [name for names in WITHOUT_ROW.values() for name in names]
    assert sorted(listed) == sorted(idle)


def test_every_key_is_used_and_is_a_sentence():
    of_theorems = {h.name for one in CATALOGUE for h in one.hypotheses}
    of_rows = {requirement.name for row in ROWS for requirement in row.requirements} | {
        k for row in ROWS for k in row.structural
    }
    assert of_theorems == set(HYPOTHESES)
    assert of_rows - of_theorems == set(INPUTS)
    assert not set(HYPOTHESES) & set(INPUTS)
    assert set(VOUCHABLE) <= set(HYPOTHESES)
    words = [*HYPOTHESES.values(), *INPUTS.values()]
    assert len(set(words)) == len(words)
    assert all(re.fullmatch(r"[A-Z].*\.", text) for text in words)


def test_statements_of_a_theorem_begin_with_the_common_sentence():
    for one in CATALOGUE:
        for h in one.hypotheses:
            assert h.statement.startswith(sentence(h.name))
            assert re.fullmatch(r"[A-Z0-9‖(].*\.", h.detail) or not h.detail, (one.name, h.name, h.detail)


def test_unknown_keys_are_refused_where_they_are_used():
    example = Counterexample(words="", form="T2.w2", make=lambda: None)
    with pytest.raises(InputError, match=r"'same clas shares' is not an assumption.*did you mean 'same class shares'"):
        Hypothesis(name="same clas shares", check=None, counterexample=example)
    with pytest.raises(InputError, match="'labels' is an input, not a hypothesis"):
        Hypothesis(name="labels", check=None, counterexample=example)
    with pytest.raises(InputError, match="'enough' is not an assumption"):
        Requirement("enough", lambda _situation: ("met", ""))
    row = BY_NAME["T2.w2"]
    with pytest.raises(InputError, match="'labels' is an input"):
        replace(row, needs=(LABELS,))
    with pytest.raises(InputError, match="'same class shares' is a hypothesis, not an input"):
        replace(row, inputs=(CLASS_SHARES,))
    with pytest.raises(InputError, match="'steep loss' is not an assumption"):
        replace(row, structural={"steep loss": "said so"})
    with pytest.raises(ValueError, match="names a hypothesis twice: same class shares"):
        replace(row, structural={"same class shares": "said so"})


def test_a_theorem_refuses_a_hypothesis_of_no_form_and_a_key_twice():
    one = theorem("T2")
    first = one.hypotheses[0]
    with pytest.raises(ValueError, match=r"T2 has no form T2\.absent"):
        replace(one, hypotheses=(replace(first, forms=("T2.absent",)),))
    with pytest.raises(ValueError, match=r"T2\.head_aware does not need 'shared head', and is its counterexample"):
        replace(one, hypotheses=(replace(first, forms=("T2.w2",)),))
    with pytest.raises(ValueError, match="names a hypothesis twice"):
        replace(one, hypotheses=(first, first))


def test_a_hypothesis_of_ones_own_is_declared_once():
    declare("an even number of inputs", "The number of inputs is even.")
    declare("an even number of inputs", "The number of inputs is even.")
    assert hypothesis("an even number of inputs") == "The number of inputs is even."
    assert "an even number of inputs" not in HYPOTHESES
    with pytest.raises(InputError, match="is in use and says 'The number of inputs is even"):
        declare("an even number of inputs", "The number of inputs is odd.")
    with pytest.raises(InputError, match="'same inputs' is in use"):
        declare("same inputs", "Inputs are alike.")


def pair(**changes):
    rng = np.random.default_rng(0)
    arrays = {"logits_teacher": rng.normal(size=(40, 3)), "logits_student": rng.normal(size=(40, 3))}
    return Pair(**{**arrays, "labels": np.arange(40) % 3, **changes})


def stated(report, name):
    return {assumption.name: assumption.state for assumption in report[name].assumptions}


def test_an_audit_says_what_every_row_needs():
    report = audit(pair())
    for result in report.rows:
        row = BY_NAME[result.name]
        named = [need.name for need in row.requirements if need.name not in NOT_ALWAYS]
        assert [assumption.name for assumption in result.assumptions] == named
        assert result.sentence == row.sentence
    assert report.to_dict()["rows"][0]["sentence"] == ROWS[0].sentence


def test_what_only_the_user_knows_about_the_sample_is_vouched_for_and_never_met():
    report = audit(pair(), vouch=VOUCHABLE)
    for row in ROWS:
        if row.limits:
            states = stated(report, row.name)
            for key in OF_THE_PAIR & set(states) - {"same class shares"}:
                assert states[key] == "vouched", (row.name, key)
            assert {"independent samples", "same population", "networks fixed before the sample"} <= set(states)
            assert "sample size fixed before" in states


def test_a_range_of_the_users_is_vouched_for_and_the_default_is_met():
    key = "range fixed before the sample"
    assert stated(audit(pair()), "F3.T0")[key] == "met"
    assert stated(audit(pair(), loss_bound=3.0), "F3.T0")[key] == "vouched"


def test_two_samples_of_different_inputs_must_be_independent_of_each_other():
    key = "samples independent of each other"
    assert key not in stated(audit(pair()), "F4.brier")
    apart = pair(inputs_paired=False, labels_student=np.arange(40) % 3)
    report = audit(apart, only=["F4.brier"])
    assert stated(report, "F4.brier")[key] == "vouched"
    assert report["F4.brier"].applicable


@pytest.mark.parametrize(("name", "key"), [("T9.kl_teacher", "teacher labels"), ("T7.gaussian", "gaussian classes")])
def test_a_row_that_rests_on_the_users_word_has_no_number_and_costs_nothing_without_it(name, key):
    asked = audit(pair(), only=[name, "F1.error"])
    assert (asked[name].applicable, asked[name].assumed) == (False, "unmet")
    assert f"(vouch={key!r})" in asked[name].why
    assert asked.share == audit(pair(), only=["F1.error"]).share
    vouched = audit(pair(), only=[name, "F1.error"], vouch=key)
    assert (vouched[name].applicable, stated(vouched, name)[key]) == (True, "vouched")
    assert {row.name for row in ROWS if row.vouched_for and row.told is None} == {"T9.kl_teacher", "T7.gaussian"}
