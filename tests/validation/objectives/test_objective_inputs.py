"""Objectives on what batches bring: ignored images, shares of classes, masked classes, and logits that say nothing."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from objective_problems import CLASSES, WITH_TERMS, WITHOUT_SHARES, Net, flat, labels_of, make, mapped, outputs, rebuilt
from scipy.special import rel_entr

from kd2m_theory.errors import InputError
from kd2m_theory.estimators.kernels import RBF
from kd2m_theory.estimators.losses.kernel import squared_conditional_mmd
from kd2m_theory.estimators.losses.transport import squared_cw2
from kd2m_theory.validation.objectives.registry import NAMES
from kd2m_theory.validation.training.evaluation import evaluate
from kd2m_theory.validation.training.outputs import Outputs

DTYPES = [torch.float64, torch.float32, torch.bfloat16]
IGNORED_ROWS = torch.tensor([0, 4, 8])
KEPT = torch.tensor([1, 2, 3, 5, 6, 7])


def ready(name, dtype):
    return make(name).to(torch.float64 if dtype == torch.float64 else torch.float32).eval()


def with_gradient(batch):
    return mapped(batch, lambda values: values.detach().clone().requires_grad_())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", NAMES)
def test_ignored_images_count_for_nothing(name, dtype):
    """The oracle is the batch without them, so that their outputs may be anything."""
    student, teacher = (mapped(outputs(seed=seed), lambda values: values.to(dtype)) for seed in (1, 2))
    labels, few = labels_of().clone(), labels_of()[KEPT]
    labels[IGNORED_ROWS] = -100
    poisoned = [with_gradient(mapped(each, lambda t: t.index_fill(0, IGNORED_ROWS, math.nan))) for each in (student, teacher)]
    chosen = with_gradient(mapped(student, lambda t: t[KEPT]))
    made, alone = ready(name, dtype), ready(name, dtype)
    loss, expected = made(*poisoned, labels), alone(chosen, mapped(teacher, lambda t: t[KEPT]), few)
    close = {"rtol": 1e-12, "atol": 1e-14} if dtype == torch.float64 else {"rtol": 1e-4, "atol": 1e-6}
    assert loss.total > 0
    torch.testing.assert_close(loss.total, expected.total, **close)
    torch.testing.assert_close(dict(loss.parts), dict(expected.parts), **close)
    loss.total.backward()
    expected.total.backward()
    if dtype == torch.bfloat16:  # gradients are rounded to it
        close = {"rtol": 0.01, "atol": 1e-4}
    for found, wanted in zip(flat(poisoned[0]), flat(chosen), strict=True):
        if wanted.grad is not None:
            torch.testing.assert_close(found.grad[KEPT], wanted.grad, **close)
            assert not found.grad[IGNORED_ROWS].any()
    for found, wanted in zip(made.parameters(), alone.parameters(), strict=True):
        torch.testing.assert_close(found.grad, wanted.grad, **close)


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_of_ignored_images_costs_nothing_and_teaches_nothing(name):
    student, teacher = with_gradient(outputs(seed=1)), outputs(seed=2)
    made = make(name)
    loss = made(student, teacher, torch.full((9,), -100))
    loss.total.backward()
    assert loss.total == 0
    assert set(loss.parts) == {"cross_entropy", *made.weights()}
    assert not any(loss.parts.values())
    assert not student.logits.grad.any()


def test_the_distance_within_classes_by_hand():
    column = lambda *values: torch.tensor(values)[:, None]  # noqa: E731
    student, teacher = column(0.0, 0.0, 9.0), column(1.0, 1.0, 0.0)
    labels, logits = torch.tensor([0, 0, -100]), torch.zeros(3, CLASSES)
    goal = make("cw2", Net(1), Net(1)).float()
    assert goal(Outputs(logits, student), Outputs(logits, teacher), labels).parts["cw2"] == 1
    assert squared_cw2(student, teacher, labels) == 1
    assert squared_cw2(student, teacher[:2], labels, torch.tensor([0, 0])) == 1
    assert squared_cw2(student, teacher, torch.full((3,), -100)) == 0


def test_a_kernel_loss_within_classes_ignores_too():
    x, y = (outputs(seed=seed).features for seed in (1, 2))
    labels = labels_of().clone()
    labels[IGNORED_ROWS] = -100
    spoiled = x.index_fill(0, IGNORED_ROWS, math.nan).requires_grad_()
    value = squared_conditional_mmd(spoiled, y, labels, RBF(1.5))
    torch.testing.assert_close(value, squared_conditional_mmd(x[KEPT], y[KEPT], labels[KEPT], RBF(1.5)))
    value.backward()
    assert not spoiled.grad[IGNORED_ROWS].any()
    nothing = squared_conditional_mmd(spoiled, y, torch.full((9,), -100), RBF(1.5))
    nothing.backward()
    assert nothing == 0


@pytest.mark.parametrize("labels", [torch.zeros(9, 4), torch.zeros(9), torch.zeros(9, dtype=torch.bool)])
def test_losses_within_classes_need_classes(labels):
    x, y = (outputs(seed=seed).features for seed in (1, 2))
    for loss in (lambda: squared_cw2(x, y, labels), lambda: squared_conditional_mmd(x, y, labels, RBF(1.0))):
        with pytest.raises(InputError, match=r"pass one integer|one class for each pair"):
            loss()


# Shares of classes.


def shares():
    mixed = np.random.default_rng(3).dirichlet(np.ones(CLASSES), size=9)
    mixed[0], mixed[1] = [1, 0, 0, 0], [0, 0.5, 0.5, 0]
    return torch.tensor(mixed)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", [name for name in NAMES if name not in WITHOUT_SHARES])
def test_shares_of_classes_are_those_of_the_cross_entropy(name, dtype):
    student, teacher = (mapped(outputs(seed=seed), lambda values: values.to(dtype)) for seed in (1, 2))
    loss, hard = ready(name, dtype)(student, teacher, shares().to(dtype)), ready(name, dtype)(student, teacher, labels_of())
    logits = student.logits.double().numpy()
    expected = -(shares().to(dtype).double().numpy() * (logits - np.logaddexp.reduce(logits, axis=1)[:, None])).sum() / 9
    assert loss.parts["cross_entropy"].item() == pytest.approx(expected, rel=1e-12 if dtype == torch.float64 else 1e-5)
    assert {**loss.parts, "cross_entropy": 0} == {**hard.parts, "cross_entropy": 0}


@pytest.mark.parametrize("name", ["none", "kd"])
def test_shares_of_one_class_are_its_label(name):
    student, teacher = outputs(seed=1), outputs(seed=2)
    one_hot = torch.eye(CLASSES).double()[labels_of()]
    losses = [make(name)(student, teacher, labels) for labels in (one_hot, labels_of())]
    torch.testing.assert_close(losses[0].total, losses[1].total)


def test_shares_of_a_masked_class_may_be_zero():
    logits = outputs().logits.clone()
    logits[:, 3] = -math.inf
    logits.requires_grad_()
    mixed = torch.tensor([[0.25, 0.5, 0.25, 0.0]]).double().expand(9, -1)
    loss = make("none")(Outputs(logits, outputs().features), None, mixed)
    three = logits.detach()[:, :3]
    expected = -(mixed[:, :3] * three.log_softmax(dim=1)).sum(dim=1).mean()
    torch.testing.assert_close(loss.total, expected)
    loss.total.backward()
    assert logits.grad.isfinite().all()


def test_jw2_takes_shares_as_predictions():
    student, teacher, mixed = outputs(seed=1), outputs(seed=2), shares()
    by_labels = make("jw2", label_cost="labels")(student, teacher, mixed)
    by_predictions = make("jw2", label_cost="predictions")(student, Outputs(mixed.log(), teacher.features), labels_of())
    torch.testing.assert_close(by_labels.parts["jw2"], by_predictions.parts["jw2"])


@pytest.mark.parametrize("name", WITHOUT_SHARES)
def test_objectives_that_need_the_class_of_an_image_refuse_shares(name):
    made = make(name)
    does = "needs the class of each image" if name in ("dkd", "unikd") else "compares images of one class"
    with pytest.raises(InputError, match=f"{type(made).__name__} {does}, and the labels are shares"):
        made(outputs(), outputs(), shares())


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (shares() * 0.9, "do not sum to 1"),
        (shares() - torch.tensor([1.0, -1.0, 0.0, 0.0]), "negative"),
        (shares() * math.nan, "do not sum to 1"),
        (shares()[:, :2], r"have dtype float64 and shape \(9, 2\); give 9 integer classes, or 9 × 4 shares"),
        (torch.zeros(9), r"have dtype float32 and shape \(9,\)"),
        (torch.zeros(9, dtype=torch.bool), "have dtype bool"),
        (labels_of()[:, None], r"have dtype int64 and shape \(9, 1\)"),
        (labels_of() + 2, "3 labels are not classes, the first is 4; the student has classes 0 to 3"),
        (labels_of() - 1, "3 labels are not classes, the first is -1"),
    ],
)
@pytest.mark.parametrize("name", ["none", "kd", "cw2"])
def test_labels_of_other_kinds_are_refused(name, labels, message):
    if name == "cw2" and labels.shape == (9, CLASSES):
        message = "CW2 compares images of one class"
    with pytest.raises(InputError, match=message):
        make(name)(outputs(), outputs(), labels)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int32])
def test_whole_numbers_of_any_size_are_labels(dtype):
    losses = [make("cw2")(outputs(seed=1), outputs(seed=2), labels) for labels in (labels_of().to(dtype), labels_of())]
    assert losses[0].total == losses[1].total


# Masked classes.


def masked(logits, columns=(3,)):
    logits = logits.clone()
    logits[:, list(columns)] = -math.inf
    return logits


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("name", WITH_TERMS)
def test_a_class_that_is_masked_adds_nothing(name, both, dtype):
    student, teacher = (mapped(outputs(seed=seed), lambda values: values.to(dtype)) for seed in (1, 2))
    student = with_gradient(Outputs(masked(student.logits) if both else student.logits, *flat_rest(student)))
    teacher = Outputs(masked(teacher.logits), *flat_rest(teacher))
    loss = ready(name, dtype)(student, teacher, labels_of())
    a_s, a_t = (each.logits.detach().double().numpy() for each in (student, teacher))
    # rel_entr has 0 log 0 = 0.
    formulas = {
        "kd": lambda: 16 * rel_entr(softmax(a_t / 4), softmax(a_s / 4)).sum(axis=1).mean(),
        "ttm": lambda: rel_entr(softmax(a_t / 10), softmax(a_s)).sum(axis=1).mean(),
        "wttm": lambda: (
            (softmax(a_t)[:, :3] ** 0.1).sum(axis=1) * rel_entr(softmax(a_t / 10), softmax(a_s)).sum(axis=1)
        ).mean(),
    }
    if name in formulas:
        assert loss.parts[name].item() == pytest.approx(formulas[name](), rel=1e-10 if dtype == torch.float64 else 1e-5)
    assert all(part.isfinite() for part in loss.parts.values())
    loss.total.backward()
    for end in (student.logits, student.features):
        assert end.grad is None or end.grad.isfinite().all()
    assert not both or not student.logits.grad[:, 3].any()


def flat_rest(batch):
    return batch.features, batch.stages, batch.preactivation


def test_a_masked_class_by_hand():
    """p = (0, ½, ½) and q uniform on three classes: KL = ln 1.5."""
    teacher = Outputs(torch.tensor([[-math.inf, 0.0, 0.0]]), torch.zeros(1, 3))
    goal = make("kd", Net(3, 3), Net(3, 3), temperature=4.0).float()
    value = goal(Outputs(torch.zeros(1, 3), torch.zeros(1, 3)), teacher, torch.tensor([0])).parts["kd"]
    assert value.item() == pytest.approx(16 * math.log(1.5), rel=1e-6)


def test_a_class_that_the_student_alone_masks_costs_everything():
    student = Outputs(masked(outputs(seed=1).logits), outputs().features)
    assert make("kd")(student, outputs(seed=2), labels_of()).parts["kd"] == math.inf
    # A teacher whose share of it is below every number has nothing there.
    teacher = outputs(seed=2).logits.clone()
    teacher[:, 3] = -1e9
    loss = make("kd", weight=1.0)(student, Outputs(teacher, outputs().features), labels_of() + 1)
    assert loss.parts["cross_entropy"] == math.inf
    assert loss.total.isfinite()


def test_an_evaluation_masks_and_ignores():
    logits, taught, labels = masked(outputs(seed=1).logits), masked(outputs(seed=2).logits), labels_of().clone()
    labels[IGNORED_ROWS] = -100
    found = evaluate(logits, labels, taught)
    assert found == evaluate(logits[KEPT], labels[KEPT], taught[KEPT])
    p, q = (softmax(each[KEPT].numpy()) for each in (taught, logits))
    assert found.divergence == pytest.approx(rel_entr(p, q).sum(axis=1).mean())
    assert found.accuracy == (logits[KEPT].argmax(dim=1) == labels[KEPT]).double().mean()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", WITH_TERMS)
@pytest.mark.parametrize("bad", ["nan", "inf", "nothing"])
def test_logits_that_say_nothing_are_refused_and_whose_they_are_is_said(name, bad, dtype):
    def spoiled(batch):
        logits = batch.logits.clone()
        logits[5] = -math.inf
        if bad != "nothing":
            logits[5] = 0.0
            logits[5, 1] = float(bad)
        return rebuilt([logits, *flat(batch)[1:]])

    student, teacher = (mapped(outputs(seed=seed), lambda values: values.to(dtype)) for seed in (1, 2))
    message = r"the {}'s logits of 1 of 9 images that count \(the first is number 5 of them\) are NaN or \+∞, or −∞ for every"
    with pytest.raises(InputError, match=message.format("student")):
        ready(name, dtype)(spoiled(student), teacher, labels_of())
    with pytest.raises(InputError, match=message.format("teacher")):
        ready(name, dtype)(student, spoiled(teacher), labels_of())


@pytest.mark.parametrize("name", NAMES)
def test_outputs_without_numbers_are_refused(name):
    batch = mapped(outputs(), lambda values: values.to("meta"))
    with pytest.raises(InputError, match="on the device 'meta', which holds no numbers"):
        make(name)(batch, batch, labels_of().to("meta"))


@pytest.mark.parametrize("dtype", [torch.complex64, torch.bool, torch.int64])
@pytest.mark.parametrize("whose", ["student", "teacher"])
@pytest.mark.parametrize("name", ["kd", "cw2", "paired-l2"])
def test_outputs_that_are_no_real_numbers_are_refused(name, whose, dtype):
    for part in ("logits", "features"):
        batches = {"student": outputs(seed=1), "teacher": outputs(seed=2)}
        batches[whose] = dataclasses.replace(batches[whose], **{part: getattr(batches[whose], part).to(dtype)})
        with pytest.raises(InputError, match=f"the {whose}'s {part} are {str(dtype).removeprefix('torch.')}; networks return"):
            make(name)(*batches.values(), labels_of())


def test_a_sum_of_images_and_classes_leaves_ignored_images_out():
    student, teacher, labels = outputs(seed=1), outputs(seed=2), labels_of().clone()
    labels[IGNORED_ROWS] = -100
    poisoned = with_gradient(mapped(student, lambda t: t.index_fill(0, IGNORED_ROWS, math.nan)))
    terms = {"kd": 0.5, "cw2": 0.1, "conditional-mmd": 1.0, "gaussian-cw2": 1.0, "conditional-gaussian-kl": 0.1}
    made = make("sum", terms=terms)
    loss = made(poisoned, teacher, labels)
    few = [mapped(each, lambda t: t[KEPT]) for each in (student, teacher)]
    torch.testing.assert_close(dict(loss.parts), dict(made(*few, labels_of()[KEPT]).parts), rtol=1e-12, atol=1e-14)
    loss.total.backward()
    assert poisoned.features.grad.isfinite().all()
    assert not poisoned.features.grad[IGNORED_ROWS].any()
