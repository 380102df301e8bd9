"""Objectives: values from formulas written again, gradients by finite differences, orders that matter or do not."""

import numpy as np
import pytest
import torch
from objective_formulas import brute_w2, oracle, softmax
from objective_problems import CONDITIONAL, MARGINAL, PAIRED, Net, flat, labels_of, make, mapped, outputs, rebuilt

from kd2m_theory.validation.objectives.registry import NAMES
from kd2m_theory.validation.training.outputs import Outputs


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("kd", {}),
        ("ttm", {}),
        ("ttm", {"gamma": 0.5}),
        ("wttm", {"gamma": 0.3}),
        ("w2", {}),
        ("cw2", {}),
        ("jw2", {"beta": 2.5}),
        ("jw2", {}),
        ("jw2", {"beta": 3.0, "label_cost": "labels"}),
        ("jw2", {"beta": 0.3, "label_cost": "predictions", "feature_scale": "max"}),
        ("jw2", {"label_scale": "max", "feature_scale": 2.5}),
        ("jw2", {"feature_scale": 1.0, "label_scale": 1.0}),
        ("gaussian-w2", {}),
        ("gaussian-w2", {"covariance": "diagonal"}),
        ("gaussian-cw2", {}),
        ("gaussian-cw2", {"covariance": "diagonal"}),
        ("gaussian-kl", {}),
        ("gaussian-kl", {"shrinkage": 0.0, "direction": "student-teacher"}),
        ("gaussian-kl", {"covariance": "diagonal", "shrinkage": 0.0}),
        ("symmetric-gaussian-kl", {"shrinkage": 0.3}),
        ("conditional-gaussian-kl", {"pooling": 0.25}),
        ("mmd", {}),
        ("mmd", {"bandwidth": 0.7}),
        ("mmd", {"kernel": "linear"}),
        ("conditional-mmd", {}),
        ("conditional-mmd", {"kernel": "linear"}),
        ("paired-l2", {}),
    ],
)
def test_terms_are_their_formulas(name, options):
    student, teacher, labels = outputs(7, seed=1), outputs(7, seed=2), labels_of(7)
    loss = make(name, **options)(student, teacher, labels)
    # The oracle's root of a singular covariance keeps half of its digits.
    expected = pytest.approx(oracle(name, options, student, teacher, labels), rel=1e-7)
    assert loss.parts[name.replace("-", "_")].item() == expected


def test_sliced_w2_of_features_on_a_line_is_w2():
    student, teacher = outputs(7, d=1, seed=1), outputs(7, d=1, seed=2)
    loss = make("sliced-w2", Net(1), Net(1))(student, teacher, labels_of(7))
    assert loss.parts["sliced_w2"].item() == pytest.approx(brute_w2(student.features.numpy(), teacher.features.numpy()))


def test_gromov_w2_compares_shapes_across_dimensions():
    student = outputs(8, d=2, seed=3)
    # Isometric copies lie at zero; a copy twice as large at the mean square of the distances.
    turned = torch.linalg.qr(torch.tensor(np.random.default_rng(4).normal(size=(5, 2))))[0]
    copy = Outputs(student.logits, student.features @ turned.T + 7)
    large = Outputs(student.logits, student.features * 2)
    term = make("gromov-w2", Net(2), Net(5))
    assert term(student, copy, labels_of(8)).parts["gromov_w2"].item() == pytest.approx(0, abs=1e-9)
    assert make("gromov-w2", Net(2), Net(2))(student, large, labels_of(8)).parts["gromov_w2"].item() == pytest.approx(
        torch.cdist(student.features, student.features).square().mean().item(), rel=1e-6
    )


@pytest.mark.parametrize("name", NAMES)
def test_total_is_cross_entropy_and_weighted_terms(name):
    student, teacher, labels = outputs(seed=1), outputs(seed=2), labels_of()
    made = make(name)
    made.start_epoch(1, 10)
    loss = made(student, teacher, labels)
    expected = -np.log(softmax(student.logits.numpy())[range(9), labels]).mean()
    assert loss.parts["cross_entropy"].item() == pytest.approx(expected)
    weights = {"cross_entropy": made.cross_entropy} | made.weights()
    assert set(weights) == set(loss.parts)
    assert loss.total.item() == pytest.approx(sum(weight * loss.parts[part].item() for part, weight in weights.items()))
    assert not any(part.requires_grad for part in loss.parts.values())
    assert all(part.shape == () for part in loss.parts.values())


@pytest.mark.parametrize("name", NAMES)
def test_gradient_by_finite_differences_and_none_for_the_teacher(name):
    student, teacher, labels = outputs(6, seed=1), outputs(6, seed=2), labels_of(6)
    made = make(name).eval()  # in evaluation random numbers of a step stay
    student, teacher = (mapped(batch, torch.Tensor.requires_grad_) for batch in (student, teacher))
    assert torch.autograd.gradcheck(lambda *t: made(rebuilt(t), teacher, labels).total, flat(student), fast_mode=True)
    made(student, teacher, labels).total.backward()
    assert all(tensor.grad is None for tensor in flat(teacher))
    assert all(parameter.grad is not None for parameter in made.parameters())


@pytest.mark.parametrize("name", [*MARGINAL, *CONDITIONAL])
def test_a_distribution_has_no_order(name):
    student, teacher, labels = outputs(seed=1), outputs(seed=2), labels_of()
    order = torch.from_numpy(np.random.default_rng(5).permutation(9))
    if name in CONDITIONAL:
        order = torch.tensor([3, 7, 8, 6, 1, 5, 0, 4, 2])  # within classes
        assert torch.equal(labels[order], labels)
    made = make(name).eval()
    part = name.replace("-", "_")
    values = [made(mapped(student, lambda t, o=o: t[o]), teacher, labels).parts[part] for o in (torch.arange(9), order)]
    torch.testing.assert_close(*values, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("name", PAIRED)
def test_a_pairing_has_one(name):
    student, teacher, labels = outputs(seed=1), outputs(seed=2), labels_of()
    made = make(name)
    straight, turned = (made(s, teacher, labels).parts for s in (student, mapped(student, lambda t: t.flip(0))))
    part = {"unikd": "constraint", "dkd": "dkd_others"}.get(name, name.replace("-", "_"))
    assert abs(straight[part] - turned[part]) > 1e-3
