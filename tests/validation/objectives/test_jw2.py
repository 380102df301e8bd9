"""JW₂: its label part acts on the plan and on the gradient, at the default setting and on the stored pairs of the demonstration."""

import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from objective_problems import labels_of, make, outputs
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from scipy.special import softmax

from kd2m_theory import InputError, Pair
from kd2m_theory.validation.objectives.jw2 import JW2
from kd2m_theory.validation.objectives.objective import Sizes
from kd2m_theory.validation.objectives.w2 import W2
from kd2m_theory.validation.training.outputs import Outputs

ROOT = Path(__file__).parents[3]
BATCH = 64
COSTS = ("logits", "predictions", "labels")
RAW = {"feature_scale": 1.0, "label_scale": 1.0}


@cache
def stored(name):
    return Pair.load(ROOT / "tests" / "data" / f"demo-{name}.npz")


def demo_batch(name, number):
    """Student, teacher and labels of 64 images of a stored pair, in float64."""
    pair = stored(name)
    rows = slice(BATCH * number, BATCH * (number + 1))
    sides = []
    for features, logits in ((pair.features_student, pair.logits_student), (pair.features_teacher, pair.logits_teacher)):
        logits = pair.apply_head(features) if logits is None else logits
        sides.append(Outputs(torch.tensor(logits[rows]), torch.tensor(features[rows])))
    return (*sides, torch.tensor(pair.labels[rows].astype(np.int64)))


def parts(student, teacher, labels, beta=1.0, cost="logits", scale="mean"):
    """The plan by SciPy, and feature and label part of the sum that it makes least."""
    logits = [side.logits.numpy() for side in (student, teacher)]
    predictions = [softmax(each, axis=1) for each in logits]
    of_labels = {
        "logits": [each - each.mean(axis=1, keepdims=True) for each in logits],
        "predictions": predictions,
        "labels": [predictions[0], np.eye(predictions[0].shape[1])[labels]],
    }[cost]
    costs = [cdist(student.features, teacher.features) ** 2, cdist(*of_labels) ** 2]
    of_features, of_labels = (each / {"mean": each.mean(), "max": each.max(), "1": 1.0}[scale] for each in costs)
    rows, columns = linear_sum_assignment(of_features + beta * of_labels)
    return columns, of_features[rows, columns].mean(), beta * of_labels[rows, columns].mean()


def made_for(student, cost="logits", **options):
    classes, width = student.logits.shape[1], student.features.shape[1]
    sizes = Sizes(classes=classes, teacher_classes=classes, features=width, teacher_features=width)
    return JW2(sizes, label_cost=cost, cross_entropy=0.0, **options)


def gradients(objective, student, teacher, labels):
    ends = [student.features.clone().requires_grad_(), student.logits.clone().requires_grad_()]
    objective(Outputs(ends[1], ends[0]), teacher, labels).total.backward()
    return [end.grad for end in ends]


@pytest.mark.parametrize("name", ["alone", "cw2"])
@pytest.mark.parametrize("number", [0, 7])
def test_the_label_part_is_a_tenth_to_nine_tenths_at_the_default_setting(name, number):
    student, teacher, labels = demo_batch(name, number)
    _, of_features, of_labels = parts(student, teacher, labels)
    assert 0.1 < of_labels / (of_features + of_labels) < 0.9
    assert made_for(student)(student, teacher, labels).parts["jw2"].item() == pytest.approx(of_features + of_labels, rel=1e-9)


def test_the_shares_on_the_page_are_those_of_the_stored_pairs():
    """Means over 14 batches."""
    page = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    rows = re.findall(r'^\| `"(\w+)"` \| `?"?(\w+)"?`? \| (\d.*) \|$', page, re.MULTILINE)
    assert [row[:2] for row in rows] == [*((cost, "mean") for cost in COSTS), ("logits", "max"), ("predictions", "1")]
    for cost, scale, said in rows:
        found = []
        for name in ("alone", "cw2"):
            shares, within = [], []
            for number in range(14):
                student, teacher, labels = demo_batch(name, number)
                plan, of_features, of_labels = parts(student, teacher, labels, 1.0, cost, scale)
                shares.append(100 * of_labels / (of_features + of_labels))
                within.append(100 * (labels[plan] == labels).double().mean().item())
            found += [f"{np.mean(shares):.2g}%", f"{np.mean(within):.0f}%"]
        assert said.split(" | ") == found


@pytest.mark.parametrize(("name", "least"), [("alone", 0.9), ("cw2", 0.03)])
def test_the_plan_changes_with_beta(name, least):
    """A student trained alone has features of its own: only labels say which of its images belongs to which of the teacher's."""
    student, teacher, labels = demo_batch(name, 3)
    plans = {beta: parts(student, teacher, labels, beta)[0] for beta in (0.0, 0.3, 1.0)}
    assert (plans[1.0] != plans[0.0]).mean() > least
    same = {beta: (labels[plan] == labels).double().mean() for beta, plan in plans.items()}
    assert same[1.0] > 0.95
    assert same[0.0] < 0.2 or name == "cw2"


@pytest.mark.parametrize("cost", COSTS)
@pytest.mark.parametrize("name", ["alone", "cw2"])
def test_the_gradient_changes_with_beta(name, cost):
    """By angle: of features because the plan changes, of logits because they have a gradient at all."""
    student, teacher, labels = demo_batch(name, 5)
    without, with_labels = (gradients(made_for(student, cost, beta=beta), student, teacher, labels) for beta in (0.0, 1.0))
    assert not without[1].any()
    assert with_labels[1].norm() > 0.01 * with_labels[0].norm()
    if name == "alone":
        assert torch.cosine_similarity(without[0].flatten(), with_labels[0].flatten(), dim=0) < 0.9


def test_raw_costs_hide_predictions():
    """What JW₂ was before it had scales: the plan of W₂, the gradient of W₂, and less than half a percent of labels."""
    student, teacher, labels = demo_batch("alone", 1)
    raw = made_for(student, "predictions", **RAW)(student, teacher, labels).parts["jw2"].item()
    plain = (
        W2(Sizes(classes=10, teacher_classes=10, features=64, teacher_features=64))(student, teacher, labels).parts["w2"].item()
    )
    assert 0 < raw - plain < 0.005 * raw


@pytest.mark.parametrize("cost", COSTS)
def test_without_beta_it_is_w2(cost):
    student, teacher, labels = outputs(seed=1), outputs(seed=2), labels_of()
    plain = make("w2", cross_entropy=0.0)(student, teacher, labels)
    of_features = cdist(student.features, teacher.features) ** 2
    for scale, unit in ((1.0, 1.0), (2.5, 2.5), ("mean", of_features.mean()), ("max", of_features.max())):
        loss = make("jw2", beta=0.0, label_cost=cost, feature_scale=scale, cross_entropy=0.0)(student, teacher, labels)
        torch.testing.assert_close(loss.total, plain.total / unit)


@pytest.mark.parametrize(
    ("cost", "options"),
    [*((cost, {}) for cost in COSTS), ("logits", {"feature_scale": "max", "label_scale": "max"}), ("predictions", RAW)],
)
def test_its_gradient_is_that_of_its_value(cost, options):
    student, teacher, labels = outputs(4, seed=1), outputs(4, seed=2), labels_of(4)
    made = make("jw2", label_cost=cost, cross_entropy=0.0, **options)
    ends = [end.clone().requires_grad_() for end in (student.logits, student.features)]
    assert torch.autograd.gradcheck(lambda logits, z: made(Outputs(logits, z), teacher, labels).total, ends)


def test_it_is_zero_exactly_where_outputs_agree():
    student, labels = outputs(seed=1), labels_of()
    for cost in ("logits", "predictions"):
        assert make("jw2", label_cost=cost)(student, student, labels).parts["jw2"] < 1e-20
    shifted = Outputs(student.logits + torch.arange(9.0)[:, None], student.features)
    assert make("jw2")(shifted, student, labels).parts["jw2"] < 1e-20
    assert make("jw2", beta=1e-3)(Outputs(student.logits * 1.1, student.features), student, labels).parts["jw2"] > 1e-7


def test_neither_features_nor_logits_have_a_scale():
    student, teacher, labels = outputs(seed=1), outputs(seed=2), labels_of()
    once = make("jw2")(student, teacher, labels).parts["jw2"]
    for a, b in ((1e-6, 1.0), (1.0, 30.0), (1e150, 1e-3)):
        scaled = [Outputs(b * side.logits, a * side.features) for side in (student, teacher)]
        torch.testing.assert_close(make("jw2")(*scaled, labels).parts["jw2"], once)


def test_a_class_that_the_teacher_masks_is_left_out():
    student, teacher, labels = outputs(seed=1), outputs(seed=2), labels_of()
    masked = teacher.logits.clone()
    masked[:, 3] = -torch.inf
    found = make("jw2")(student, Outputs(masked, teacher.features), labels).parts["jw2"]
    kept = [Outputs(side.logits[:, :3], side.features) for side in (student, teacher)]
    torch.testing.assert_close(found, made_for(kept[0])(*kept, labels).parts["jw2"])


@pytest.mark.parametrize("side", ["student", "teacher"])
def test_a_class_that_is_masked_for_some_images_is_refused(side):
    batch = {"student": outputs(seed=1), "teacher": outputs(seed=2)}
    logits = batch[side].logits.clone()
    logits[2, 3] = -torch.inf
    batch[side] = Outputs(logits, batch[side].features)
    with pytest.raises(InputError, match=rf"the {side} masks a class .* choose label_cost = 'predictions'"):
        make("jw2")(*batch.values(), labels_of())
    assert make("jw2", label_cost="predictions")(*batch.values(), labels_of()).total.isfinite()
