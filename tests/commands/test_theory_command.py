"""`kd2m theory`: what it prints, and its exit status."""

import subprocess
import sys
from dataclasses import replace
from functools import partial

import pytest
from sampled import sampled

from kd2m_theory.bounds import ROWS
from kd2m_theory.theory import t2_conditional
from kd2m_theory.theory.catalogue import theorems
from kd2m_theory.theory.statement import Mutant, scaled
from kd2m_theory.validation.trial import check as theory_check
from kd2m_theory.validation.trial import hunt, power
from kd2m_theory.validation.trial.pages import theorem_of

T2 = t2_conditional.THEOREM
SMALL = replace(T2, forms=T2.forms[:1], mutants=T2.mutants[:1])
WRONG = replace(SMALL, forms=(replace(SMALL.forms[0], sides=scaled(SMALL.forms[0].sides, 0.9)),))


@pytest.fixture
def kd2m(command):
    return partial(command, "theory")


@pytest.fixture
def catalogue(monkeypatch):
    def use(*chosen):
        for module in (hunt, power, theory_check):
            monkeypatch.setattr(module, "theorems", lambda: chosen)
        monkeypatch.setattr(theory_check, "IDENTITIES", ())

    return use


def test_list_has_a_line_for_each_theorem(kd2m):
    status, out, err = kd2m("list")
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert [line.split()[0] for line in lines[1:] if not line.startswith(" ")] == [t.name for t in theorems()]
    assert "false as stated" in lines[-1]


@pytest.mark.parametrize("name", sampled((t.name for t in theorems()), always=["T0.known", "T1", "T4", "T7", "T8", "F3"]))
def test_show_prints_everything_about_a_theorem(kd2m, name):
    one = next(t for t in theorems() if t.name == name)
    status, out, err = kd2m("show", name)
    assert (status, err) == (0, "")
    plain = " ".join(out.split())
    for part in (one.plain, one.source, one.proof, *(h.statement for h in one.hypotheses), *(f.constant for f in one.forms)):
        assert " ".join(part.split()) in plain
    assert all(" ".join(step.words.split()) in plain and step.latex in out for step in one.steps)
    assert ("Why the usual proof fails" in out) == (one.verdict != "proved")
    assert one.latex in out
    assert all(mutant.name.split()[0] in plain for mutant in one.all_mutants())


@pytest.mark.parametrize("name", ["T2.logits.head_aware", "t7.Prediction"])
def test_show_explains_a_row_of_an_audit(kd2m, name):
    row = next(row for row in ROWS if row.name.lower() == name.lower())
    status, out, err = kd2m("show", name)
    assert (status, err) == (0, "")
    assert out.startswith(f"Row {row.name}\n{row.sentence[:40]}")
    assert f"\n{row.name.partition('.')[0]}: " in out


def test_every_row_has_its_theorem():
    """One that has a form of the row's name, or of its theorem's."""
    for row in ROWS:
        forms = {form.name for form in theorem_of(row).forms}
        assert forms & {row.name, row.name.replace(".logits", ""), *row.forms}, row.name


@pytest.mark.parametrize("name", ["T2.nothing", "X", "F9.gap"])
def test_a_name_that_is_neither_is_refused(kd2m, name):
    status, out, err = kd2m("show", name)
    assert (status, out) == (2, "")
    assert f"there is no theorem {name!r}" in err


def test_check_passes_and_fails_with_the_catalogue(kd2m, catalogue):
    catalogue(SMALL)
    status, out, err = kd2m("check")
    assert (status, err) == (0, "")
    assert "nothing is wrong" in out
    catalogue(WRONG)
    status, out, _ = kd2m("check")
    assert status == 1
    assert "FAILS" in out


def test_check_of_one_theorem(kd2m):
    status, out, err = kd2m("check", "--only", "t8")
    assert (status, err) == (0, "")
    assert "T8" in out
    assert "T2" not in out
    assert "identities" not in out
    status, _, err = kd2m("check", "--only", "T2.cw2")
    assert status == 2
    assert "did you mean 'T2'" in err


def test_power_lists_killers_and_fails_on_a_survivor(kd2m, catalogue, monkeypatch):
    monkeypatch.setattr(power, "power", partial(power.power, steps=200))  # no search finds what is not there
    catalogue(SMALL)
    status, out, err = kd2m("power")
    assert (status, err) == (0, "")
    assert "hypothesis dropped: shared head" in " ".join(out.split())
    assert "its counterexample" in out
    catalogue(replace(SMALL, mutants=(Mutant(name="nothing changed", form="T2.head_aware", sides=SMALL.forms[0].sides),)))
    status, out, _ = kd2m("power")
    assert status == 1
    assert "SURVIVES" in out


def test_falsify_prints_the_worst_and_fails_on_a_violation(kd2m, catalogue):
    catalogue(SMALL)
    status, out, err = kd2m("falsify", "--seconds", "0.5", "--seed", "1")
    assert (status, err) == (0, "")
    assert "no form is violated" in out
    assert "T2.head_aware" in out
    catalogue(WRONG)
    status, out, _ = kd2m("falsify", "--seconds", "5")
    assert status == 1
    assert "T2.head_aware is VIOLATED" in out
    assert "student=torch.tensor([[" in out


def test_falsify_takes_one_theorem_or_one_form(kd2m):
    status, out, _ = kd2m("falsify", "--seconds", "0.2", "--only", "t2.cw2")
    assert status == 0
    assert "T2.cw2" in out
    assert "T2.w2" not in out
    status, out, _ = kd2m("falsify", "--seconds", "0.6", "--only", "T2")
    assert status == 0
    assert all(form.name in out for form in T2.forms)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show", "T22"], "did you mean 'T2'?"),
        (["falsify", "--seconds", "0"], "seconds is 0.0; give a positive number"),
        (["falsify", "--seconds", "-3"], "seconds is -3.0; give a positive number"),
        (["falsify", "--seconds", "inf"], "seconds is inf; give a positive number"),
        (["falsify", "--only", "T77"], "there is no theorem 'T77'"),
        (["falsify", "--only", "F1"], "nothing in F1 can be searched"),
        (["shw"], "No such command"),
    ],
)
def test_bad_input_has_status_two_and_no_traceback(kd2m, arguments, message):
    status, out, err = kd2m(*arguments)
    assert (status, out) == (2, "")
    assert message in err
    if err.startswith("kd2m: "):
        assert err.count("\n") == 1
    assert "Traceback" not in err


def test_help_loads_nothing_heavy():
    code = "import sys\nfrom kd2m_theory.commands.main import app\nsys.argv = ['kd2m', 'theory', '--help']\ntry:\n    app()\nexcept SystemExit:\n    print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"numpy", "scipy", "torch", "sympy", "mpmath"} & set(done.stdout.splitlines()[-1].split())
