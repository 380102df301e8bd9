"""The falsifier finds planted errors without being shown them, and nothing on what is true."""

from dataclasses import dataclass, replace

import pytest
import torch
from sampled import sampled

from kd2m_theory import InputError
from kd2m_theory.theory import instance as instances
from kd2m_theory.theory import t0_label_free, t2_conditional
from kd2m_theory.theory.instance import Instance, instance
from kd2m_theory.theory.statement import Form, Mutant, Sides, Witness, scaled
from kd2m_theory.validation.trial.agreement import compare, pair_of
from kd2m_theory.validation.trial.falsifier import escape, falsify, pasted, ratio_beyond_rounding

T0, T2 = t0_label_free.THEOREM, t2_conditional.THEOREM


def form_of(sides, start, free=()):
    return Form(
        name="planted", latex="", constant="", sides=sides, witness=Witness(words="", make=lambda: None), start=start, free=free
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"student": [1.0, 2.0]}, r"student has shape \(2,\); give n × d"),
        ({"student": [[1.0, 0.0], [2.0, 0.0]]}, "student has features of dimension 2; give K × 2"),
        ({"teacher": [[1.0, 0.0], [2.0, 0.0]]}, "teacher has features of dimension 2; give K × 2"),
        ({"bias": [0.0]}, r"weight has shape \(2, 1\) and bias \(1,\)"),
        ({"own": ([[1.0, 1.0]], [0.0])}, r"own has shape \(1, 2\)"),
        ({"labels": [0]}, r"labels has shape \(1,\) for 2 points"),
        ({"labels_teacher": [0, 1, 1]}, r"labels_teacher has shape \(3,\) for 2 points"),
        ({"labels": [0, 2]}, "labels holds 2; the head has rows for classes 0 to 1"),
    ],
)
def test_an_instance_that_does_not_fit_together_is_refused(change, message):
    parts = {"student": [[1.0], [-1.0]], "teacher": [[2.0], [-1.0]], "labels": [0, 1], "weight": [[1.0], [-1.0]]}
    assert instance(**parts).gap > 0
    with pytest.raises(InputError, match=message) as error:
        instance(**parts | change)
    assert "\n" not in str(error.value)


def test_a_random_instance_of_nothing_is_refused():
    with pytest.raises(InputError, match="n is 0"):
        instances.random_instance(torch.Generator(), n=0)


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.long)])
def test_a_bound_made_a_tenth_too_small_is_refuted_from_random_starts(seed):
    mutant = Mutant(name="constant × 0.9", form="T2.head_aware", sides=scaled(T2.form("T2.head_aware").sides, 0.9))
    finding = escape(mutant, T2, seed=seed, steps=1500)
    assert finding.violated
    assert ratio_beyond_rounding(mutant.sides, finding.instance) == pytest.approx(finding.ratio)
    assert all(h.check(finding.instance) for h in T2.hypotheses if h.check is not None)


def test_transport_that_ignores_the_classes_is_refuted():
    mutant = next(m for m in T2.mutants if m.name.startswith("classes ignored"))
    assert escape(mutant, T2, steps=2000).violated


@pytest.mark.parametrize(
    "form", sampled([*T0.forms, *T2.forms], always=[T0.forms[0].name, T2.forms[0].name]), ids=lambda form: form.name
)
def test_true_forms_survive_and_are_nearly_attained(form):
    finding = falsify(form, steps=400, hypotheses=(T0 if form in T0.forms else T2).hypotheses)
    assert 0.9 < finding.ratio <= 1 + 1e-9
    assert not finding.violated
    if form.row:
        assert compare(form, finding.instance, numbers=False).faults == ()


def test_a_search_with_a_step_budget_repeats_itself():
    runs = [falsify(T2.form("T2.cw2"), seed=3, steps=100, hypotheses=T2.hypotheses) for _ in range(2)]
    other = falsify(T2.form("T2.cw2"), seed=4, steps=100, hypotheses=T2.hypotheses)
    assert runs[0].ratio == runs[1].ratio != other.ratio
    assert (runs[0].starts, runs[0].steps) == (runs[1].starts, runs[1].steps)
    assert pasted(runs[0].instance) == pasted(runs[1].instance)


def test_counted_losses_without_gradient_are_climbed_too():
    """An upper bound on the error that misses disagreements on one class: piecewise constant, found by moving labels."""

    def wrong(x):
        whole = T0.form("T0.error").sides(x)
        differ = (x.logits_student.argmax(1) != x.logits_teacher.argmax(1)) & (x.labels_student != 0)
        return Sides(whole.gap, differ.to(whole.gap.dtype).mean())

    assert escape(Mutant(name="class 0 forgotten", form="T0.error", sides=wrong), T0, steps=1000).violated


@dataclass(frozen=True)
class Numbers:
    x: torch.Tensor


def start(generator):
    return Numbers(torch.randn(3, generator=generator, dtype=torch.float64))


@pytest.mark.parametrize(("error", "counts"), [(0.0, False), (1e-6, True)])
def test_ratios_of_rounding_do_not_count(error, counts):
    """The gap is a sum minus itself in another order, and the bound is zero."""

    def sides(n):
        return Sides(n.x.sum() - n.x.flip(0).sum() + error, 0.0 * n.x.sum())

    finding = falsify(form_of(sides, start, ("x",)), steps=500)
    assert finding.violated is counts


def test_narrow_violations_and_nan_are_reported():
    def narrow(n):  # |sin| ≤ 0.999: fails on a small part of the line
        return Sides(torch.sin(n.x[0]), 0.0 * n.x[0] + 0.999)

    assert falsify(form_of(narrow, start, ("x",)), steps=500).violated
    assert falsify(form_of(lambda n: Sides(n.x[0] * torch.nan, n.x[0]), start, ("x",)), steps=20).ratio == float("inf")


def test_relabelled_instances_keep_the_hypotheses():
    """Shares may not differ, so a bound that fails only on different shares stands."""

    def only_same_shares(x):
        assert x.same_shares
        return Sides(x.gap, x.gap.abs() + 1)

    def apart(generator):
        x = instances.random_instance(generator)
        order = torch.randperm(len(x.labels_student), generator=generator)
        return replace(x, student=x.student[order], labels_student=x.labels_student[order])

    form = form_of(only_same_shares, apart, ("student",))
    assert falsify(form, steps=400, hypotheses=T2.hypotheses).steps >= 400


@pytest.mark.parametrize(
    "budget", [{}, {"seconds": 0}, {"seconds": -1.0}, {"steps": 0}, {"seconds": 1.0, "steps": 5}, {"seconds": float("nan")}]
)
def test_a_budget_must_be_one_positive_number(budget):
    with pytest.raises(InputError, match="give a"):
        falsify(T2.forms[0], **budget)


def test_a_form_without_a_random_start_is_refused():
    with pytest.raises(InputError, match="chance"):
        falsify(replace(T2.forms[0], start=None), steps=10)


def test_a_pasted_instance_is_the_instance():
    x = instances.random_instance(torch.Generator().manual_seed(0), own_head=True)
    scope = {}
    code = pasted(x)
    lines = code.splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("Instance("))
    exec("\n".join(lines[:first]), scope)
    back = eval("\n".join(lines[first:]), scope)
    assert isinstance(back, Instance)
    assert back.loss is x.loss
    for name in ("student", "teacher", "labels_student", "labels_teacher", "weight", "bias"):
        assert torch.equal(getattr(back, name), getattr(x, name))
    assert all(torch.equal(a, b) for a, b in zip(back.own, x.own, strict=True))


def test_an_instance_becomes_the_pair_of_the_same_laws():
    x = instance([[1.0]], [[2.0]], [1], [[1.0], [-1.0]])
    pair = pair_of(x)
    assert (pair.n, pair.inputs_paired, pair.labels.tolist()) == (2, True, [1, 1])
    y = instance([[1.0], [2.0]], [[2.0], [3.0], [4.0]], [0, 1], [[1.0], [-1.0]], labels_teacher=[0, 1, 1])
    assert not pair_of(y).inputs_paired
    assert pair_of(y).labels_student.tolist() == [0, 1]
    own = instance([[1.0], [2.0]], [[2.0], [3.0]], [0, 1], [[1.0], [-1.0]], own=([[3.0], [0.0]], [1.0, 0.0]))
    assert pair_of(own).logits_student.tolist() == [[4.0, 0.0], [7.0, 0.0]]
