"""Objectives: what holds for all of them, sums, state, and clear refusals."""

import math
import sys
import warnings
from dataclasses import replace

import pytest
import torch
from objective_problems import CONDITIONAL, MARGINAL, WITH_TERMS, Net, labels_of, make, mapped, outputs
from torch import nn

from kd2m_theory.errors import InputError
from kd2m_theory.validation.objectives.registry import NAMES, SINGLE, objective
from kd2m_theory.validation.training.outputs import Outputs


@pytest.mark.parametrize("name", WITH_TERMS)
def test_weight_zero_is_cross_entropy_to_the_last_bit(name):
    student, teacher, labels = outputs(seed=1), outputs(seed=2), labels_of()
    options = {"weight": 0.0}
    if name == "sum":
        options = {"terms": {"kd": 0.0, "cw2": 0}}
    elif name.startswith("unikd"):
        options |= {"logit_weight": 0.0, "supplement": False}
    gradients = []
    for made in (make(name, **options), make("none")):
        logits = student.logits.clone().requires_grad_()
        loss = made(replace(student, logits=logits), teacher, labels)
        loss.total.backward()
        gradients.append(logits.grad)
    assert torch.equal(*gradients)
    made = make(name, **options)
    assert all(value > 0 for value in made(student, teacher, labels).parts.values()), "terms are still recorded"


@pytest.mark.parametrize("name", NAMES)
def test_bfloat16_outputs_are_widened_even_under_autocast(name):
    student, teacher, labels = (*(mapped(outputs(seed=s), torch.Tensor.bfloat16) for s in (1, 2)), labels_of())
    made = make(name).float().eval()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        coarse = made(student, teacher, labels)
    fine = made(mapped(student, torch.Tensor.float), mapped(teacher, torch.Tensor.float), labels)
    assert coarse.total.dtype == torch.float32
    assert coarse.total.item() == fine.total.item()
    assert coarse.parts == fine.parts


def test_a_projector_is_learned_and_only_made_when_asked_for():
    student, teacher = Net(2), Net(3)
    with pytest.raises(InputError, match="student features have dimension 2, teacher 3: add projector"):
        make("w2", student, teacher)
    made = make("w2", student, teacher, projector="linear")
    small, large, labels = outputs(d=2, seed=1), outputs(seed=2), labels_of()
    expected = small.features @ made.projector.weight.T + made.projector.bias
    value = made(small, large, labels).parts["w2"].item()
    assert value == pytest.approx(brute_w2_of(expected, large.features))
    assert sorted(made.state_dict()) == ["projector.bias", "projector.weight"]
    optimiser = torch.optim.SGD(made.parameters(), lr=0.05)
    for _ in range(10):
        optimiser.zero_grad()
        made(small, large, labels).total.backward()
        optimiser.step()
    assert made(small, large, labels).parts["w2"] < value


def brute_w2_of(x, y):
    from scipy.optimize import linear_sum_assignment

    costs = torch.cdist(x.detach(), y).square().numpy()
    return costs[linear_sum_assignment(costs)].mean()


def test_initial_weights_come_from_their_seed_alone():
    before = torch.get_rng_state()
    student, teacher = Net(), Net()
    torch.manual_seed(5)
    first, second, other = (objective("unikd", student, teacher, init_seed=seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert not all(torch.equal(first[key], other[key]) for key in first)
    drawn = torch.rand(3)
    torch.manual_seed(5)
    assert torch.equal(torch.rand(3), drawn)
    torch.set_rng_state(before)


@pytest.mark.parametrize(("name", "options"), [("sliced-w2", {"projections": 4}), ("unikd", {})])
def test_random_numbers_of_steps_continue_where_a_checkpoint_stopped(name, options):
    student, teacher, labels = outputs(seed=1), outputs(seed=2), labels_of()
    whole, first, second = (make(name, seed=3, **options) for _ in range(3))
    assert make(name, seed=4, **options)(student, teacher, labels).total != whole(student, teacher, labels).total
    whole = make(name, seed=3, **options)
    values = [whole(student, teacher, labels).total.item() for _ in range(4)]
    assert len(set(values)) == 4
    assert values[:2] == [first(student, teacher, labels).total.item() for _ in range(2)]
    torch.rand(7)  # torch's own generator has no part in it
    second.load_state_dict(first.state_dict())
    assert second.eval()(student, teacher, labels).total.item() == values[2]  # evaluation does not count as a step
    assert values[2:] == [second.train()(student, teacher, labels).total.item() for _ in range(2)]


def test_a_sum_counts_cross_entropy_once_and_names_its_terms():
    student, teacher, labels = outputs(seed=1), outputs(seed=2), labels_of()
    terms = {"kd": {"weight": 3.0, "temperature": 2.0}, "cw2": 0.1, "near": {"name": "mmd", "bandwidth": 0.5, "weight": 2.0}}
    made = make("sum", terms=terms, cross_entropy=0.4)
    loss = made(student, teacher, labels)
    assert made.weights() == {"kd": 3.0, "cw2": 0.1, "near.mmd": 2.0}
    single = {
        "kd": make("kd", temperature=2.0),
        "cw2": make("cw2"),
        "near.mmd": make("mmd", bandwidth=0.5),
    }
    expected = 0.4 * loss.parts["cross_entropy"]
    for name, alone in single.items():
        value = next(value for part, value in alone(student, teacher, labels).parts.items() if part != "cross_entropy")
        assert loss.parts[name] == value
        expected = expected + made.weights()[name] * value
    torch.testing.assert_close(loss.total, expected)


def test_a_sum_passes_epochs_and_needs_on():
    made = make("sum", terms={"unikd": {"warm_up": 4}, "w2": 1.0})
    assert made.needs_stages
    assert made.needs_preactivation
    assert not made.takes_shares
    assert made.needs_teacher
    made.start_epoch(0, 8)
    assert made.weights()["unikd.dkd_target"] == 0.25
    assert len(list(made.parameters())) > 0
    assert not make("none").needs_teacher
    assert not make("w2").needs_stages


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("cw3", {}, "there is no objective 'cw3'; did you mean 'cw2'"),
        ("gaussian_w", {}, "did you mean 'gaussian-w2'"),
        ("yyyy", {}, "objectives are .*, unikd, dkd, sum"),
        ("zzzz", {}, "no objective 'zzzz'; objectives are none, kd"),
        ("cw2", {"wieght": 1.0}, "'cw2' has no option 'wieght'; did you mean 'weight'"),
        ("none", {"weight": 1.0}, "'none' has no option 'weight'; it takes cross_entropy"),
        ("cw2", {"weight": -1.0}, r"weight is -1\.0; choose a finite number ≥ 0"),
        ("cw2", {"weight": math.nan}, "weight is nan"),
        ("cw2", {"weight": math.inf}, "weight is inf"),
        ("cw2", {"weight": "1"}, "weight is '1'"),
        ("cw2", {"weight": True}, "weight is True"),
        ("ttm", {"weight": -1}, "weight is -1"),
        ("gromov-w2", {"weight": -1}, "weight is -1"),
        ("kd", {"weight": 1.5}, r"weight is 1\.5, which leaves cross-entropy 1 − weight < 0"),
        ("kd", {"temperature": 0.0}, r"temperature is 0\.0; choose a finite number > 0"),
        ("kd", {"temperature": -4}, "temperature is -4"),
        ("kd", {"temperature": math.nan}, "temperature is nan"),
        ("wttm", {"gamma": 0.0}, r"gamma is 0\.0"),
        ("w2", {"cross_entropy": -0.1}, r"cross_entropy is -0\.1"),
        ("w2", {"projector": "mlp"}, "projector is 'mlp'"),
        ("jw2", {"beta": -1.0}, r"beta is -1\.0"),
        ("jw2", {"label_cost": "both"}, "label_cost is 'both'"),
        ("gaussian-w2", {"covariance": "sphere"}, "covariance is 'sphere'"),
        ("gaussian-kl", {"shrinkage": 1.5}, r"shrinkage is 1\.5"),
        ("gaussian-kl", {"direction": "both"}, "direction is 'both'"),
        ("conditional-gaussian-kl", {"pooling": 2}, "pooling is 2; choose a number from 0 to 1"),
        ("mmd", {"kernel": "laplace"}, "kernel is 'laplace'"),
        ("mmd", {"bandwidth": 0.0}, r"bandwidth is 0\.0"),
        ("mmd", {"bandwidth": "mean"}, "bandwidth is 'mean'"),
        ("mmd", {"kernel": "linear", "bandwidth": 1.0}, "a linear kernel has none"),
        ("sliced-w2", {"projections": 0}, "projections is 0; give a whole number ≥ 1"),
        ("sliced-w2", {"seed": -1}, "seed is -1"),
        ("unikd", {"warm_up": -1}, "warm_up is -1"),
        ("unikd", {"fusion": 1}, "fusion is 1; choose true or false"),
        ("unikd", {"closed_form": "yes"}, "closed_form is 'yes'; choose true or false"),
        ("unikd", {"width": 0}, "width is 0"),
        ("unikd", {"seed": -1}, "seed is -1"),
        ("unikd", {"teacher_map": "last"}, "teacher_map is 'last'; choose one of 'first-stage', 'features'"),
        ("unikd", {"supplement_weight": -1}, "supplement_weight is -1"),
        ("unikd", {"constraint_temperature": 0}, "constraint_temperature is 0"),
        ("dkd", {"alpha": -1}, "alpha is -1"),
        ("dkd", {"beta": math.nan}, "beta is nan"),
        ("dkd", {"warm_up": -1}, "warm_up is -1"),
        ("sum", {"terms": {}}, "a sum has no terms"),
        ("sum", {"terms": 3}, "terms is 3; name some"),
        ("sum", {"terms": {"cw3": 1.0}}, "no objective 'cw3'; did you mean 'cw2'"),
        ("sum", {"terms": {"cw2": -1.0}}, r"weight is -1\.0"),
        ("sum", {"terms": {"none": {}}}, "'none' cannot be a term of a sum"),
        ("sum", {"terms": {"cw2": {"cross_entropy": 1.0}}}, "terms.cw2 sets cross_entropy"),
        ("sum", {"weight": 1.0}, "'sum' has no option 'weight'"),
    ],
)
def test_bad_options(name, options, message):
    with pytest.raises(InputError, match=message):
        objective(name, Net(), Net(), **options)


@pytest.mark.parametrize("name", [name for name in SINGLE if name != "none"])
def test_a_missing_teacher_is_named(name):
    with pytest.raises(InputError, match=f"objective '{name}' compares with a teacher"):
        objective(name, Net(), None)
    with pytest.raises(InputError, match="compares with a teacher, and none is given"):
        make(name)(outputs(), None, labels_of())


def test_no_teacher_is_needed_for_cross_entropy():
    loss = objective("none", Net(), None)(outputs(), None, labels_of())
    assert list(loss.parts) == ["cross_entropy"]
    assert loss.total == loss.parts["cross_entropy"]


@pytest.mark.parametrize("name", ["kd", "ttm", "wttm", "jw2", "dkd", "unikd"])
def test_predictions_need_one_set_of_classes(name):
    with pytest.raises(InputError, match="the student predicts 4 classes, the teacher 7"):
        objective(name, Net(), Net(classes=7))


def test_batches_that_do_not_fit():
    with pytest.raises(InputError, match=r"the student's logits have shape \(8, 4\) for 9 labels"):
        make("w2")(outputs(8), outputs(9), labels_of())
    with pytest.raises(InputError, match=r"the teacher's logits have shape \(8, 4\) for 9 labels"):
        make("w2")(outputs(9), outputs(8), labels_of())
    with pytest.raises(InputError, match="set bandwidth to a number"):
        make("mmd")(outputs(1), outputs(1), labels_of(1))
    with pytest.raises(InputError, match=r"Linear\) has no fc\.out_features"):
        objective("w2", nn.Linear(2, 2), Net())


@pytest.mark.parametrize("name", [*MARGINAL, *CONDITIONAL, "paired-l2"])
def test_features_that_are_not_finite_are_named(name):
    student = Outputs(outputs().logits, torch.full((9, 3), math.nan).double())
    with pytest.raises(InputError, match="training has diverged"):
        make(name)(student, outputs(seed=1), labels_of())


def test_the_old_name_of_unikd_warns_and_makes_it(monkeypatch):
    options = {"anchor": False, "anchor_weight": 2.0, "weight": 0.5}
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        made = objective("unikd-reconstruction", Net(), Net(), **options)
    assert [str(each.message) for each in warned] == [
        f"{old} is deprecated and will be removed in kd2m-theory 0.3.0; use {new!r}"
        for old, new in (
            ("option of unikd-reconstruction 'anchor'", "supplement"),
            ("option of unikd-reconstruction 'anchor_weight'", "supplement_weight"),
            ("objective 'unikd-reconstruction'", "unikd"),
        )
    ]
    assert {each.category for each in warned} == {DeprecationWarning}
    assert type(made).__name__ == "UniKD"
    assert made.weights() == {"dkd_target": 1.0, "dkd_others": 8.0, "constraint": 0.5}
    # Whoever has used it is not warned again.
    monkeypatch.delitem(sys.modules["kd2m_theory.validation.objectives.unikd"].__dict__, "UniKDReconstruction", raising=False)
    with pytest.warns(DeprecationWarning, match="UniKDReconstruction is deprecated"):
        from kd2m_theory.validation.objectives.unikd import UniKDReconstruction
    assert UniKDReconstruction is type(made)
    with pytest.raises(InputError, match="'unikd' has no option 'anchor'"):
        objective("unikd", Net(), Net(), anchor=False)
