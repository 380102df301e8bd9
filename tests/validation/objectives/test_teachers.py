"""Several teachers as one: means that are what they are called, and an objective that cannot tell it from one network."""

import numpy as np
import pytest
import torch
from scipy.special import log_softmax, softmax

from kd2m_theory.errors import InputError
from kd2m_theory.validation.objectives.registry import objective
from kd2m_theory.validation.objectives.teachers import Teachers
from kd2m_theory.validation.training.networks import network
from kd2m_theory.validation.training.outputs import Outputs

SHAPE = (1, 2, 2)
IMAGES = torch.randn(6, *SHAPE, generator=torch.Generator().manual_seed(0)).double()


def made(*names, classes=3):
    return [network(name, classes, SHAPE, seed=seed).double().eval() for seed, name in enumerate(names)]


def arrays(networks):
    with torch.no_grad():
        return [(each(IMAGES).logits.numpy(), each(IMAGES).features.numpy()) for each in networks]


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_probabilities_are_averaged_at_the_temperature(temperature):
    networks = made("mlp-8", "mlp-16", "mlp-8")
    found = Teachers(networks, [2, 1, 1], temperature=temperature)(IMAGES)
    mean = sum(w * softmax(a / temperature, axis=1) for w, (a, _) in zip((0.5, 0.25, 0.25), arrays(networks), strict=True))
    np.testing.assert_allclose(softmax(found.logits.detach().numpy() / temperature, axis=1), mean, rtol=1e-12)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 7.0])
def test_a_mean_of_logits_is_the_geometric_mean_at_every_temperature(temperature):
    networks = made("mlp-8", "mlp-16")
    found = Teachers(networks, [3, 1], mean="logits")(IMAGES).logits.detach().numpy()
    logs = sum(w * log_softmax(a / temperature, axis=1) for w, (a, _) in zip((0.75, 0.25), arrays(networks), strict=True))
    geometric = np.exp(logs) / np.exp(logs).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(softmax(found / temperature, axis=1), geometric, rtol=1e-12)


def test_a_squared_distance_of_features_is_the_weighted_mean_of_the_teachers():
    networks = made("mlp-8", "mlp-16")
    features = Teachers(networks, [3, 1])(IMAGES).features.detach().numpy()
    parts = [((z[0] - z[1]) ** 2).sum() for _, z in arrays(networks)]
    assert ((features[0] - features[1]) ** 2).sum() == pytest.approx(0.75 * parts[0] + 0.25 * parts[1])
    assert features.shape == (6, 24)


def test_twice_the_same_teacher_is_that_teacher():
    (teacher,) = made("mlp-8")
    for mean in ("probabilities", "logits"):
        found = Teachers([teacher, teacher], [1, 5], mean=mean)(IMAGES).logits
        wanted = torch.log_softmax(teacher(IMAGES).logits, dim=1)
        torch.testing.assert_close(torch.log_softmax(found, dim=1), wanted, rtol=1e-12, atol=1e-12)


def test_masked_classes_stay_masked_only_where_all_teachers_mask_them():
    class Fixed(torch.nn.Module):
        feature_size, fc = 2, torch.nn.Linear(2, 3)

        def __init__(self, logits):
            super().__init__()
            self.logits = torch.tensor([logits], dtype=torch.float64)

        def forward(self, images):
            return Outputs(self.logits, torch.zeros(1, 2, dtype=torch.float64))

    inf = float("inf")
    found = Teachers([Fixed([0.0, -inf, -inf]), Fixed([0.0, 0.0, -inf])])(IMAGES).logits
    torch.testing.assert_close(found.softmax(dim=1), torch.tensor([[0.75, 0.25, 0.0]], dtype=torch.float64))


# The soft targets of several teachers at T, and shares of classes as labels (mixup), in one loss against its formula.
@pytest.mark.parametrize("labels", [torch.tensor([0, 1, 2, 0, 1, -100]), torch.rand(6, 3, dtype=torch.float64).softmax(dim=1)])
def test_kd_from_several_teachers_is_its_formula(labels):
    networks, (student,) = made("mlp-8", "mlp-16"), made("mlp-4")
    both = Teachers(networks, [1, 3], temperature=4.0).eval()
    goal = objective("kd", student, both, weight=0.5, temperature=4.0)
    loss = goal(student(IMAGES), both(IMAGES), labels)
    own = student(IMAGES).logits.detach().numpy()
    target = sum(w * softmax(a / 4.0, axis=1) for w, (a, _) in zip((0.25, 0.75), arrays(networks), strict=True))
    nats = 16 * (target * (np.log(target) - log_softmax(own / 4.0, axis=1))).sum(axis=1)
    counted = slice(0, 5) if labels.ndim == 1 else slice(None)
    assert float(loss.parts["kd"].detach()) == pytest.approx(nats[counted].mean(), rel=1e-10)
    loss.total.backward()
    assert all(each.grad is None for each in both.parameters())
    assert all(each.grad is not None for each in student.parameters())


def test_features_of_all_teachers_take_part_in_objectives_on_features():
    both = Teachers(made("mlp-8", "mlp-16"))
    (student,) = made("mlp-4")
    goal = objective("paired-l2", student, both, projector="linear", init_seed=0).double()
    assert goal(student(IMAGES), both(IMAGES), torch.tensor([0, 1, 2, 0, 1, 2])).total.isfinite()


def test_the_state_of_the_teachers_is_stored_with_it():
    first, second = Teachers(made("mlp-8", "mlp-16"), [1, 3]), Teachers(made("mlp-8", "mlp-16")[:2], [5, 5])
    with torch.no_grad():
        for parameter in second.parameters():
            parameter.zero_()
    second.load_state_dict(first.state_dict())
    torch.testing.assert_close(second.double()(IMAGES).logits, first.double()(IMAGES).logits)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (lambda: made("mlp-8"), {}, "there is 1 teacher"),
        (lambda: [*made("mlp-8"), *made("mlp-8", classes=4)], {}, "predict 3, 4 classes"),
        (lambda: [*made("mlp-8"), torch.nn.Linear(2, 3)], {}, "teacher 1 .Linear. has no `feature_size`"),
        (lambda: made("mlp-8", "mlp-8"), {"weights": [1.0]}, "1 weights for 2 teachers"),
        (lambda: made("mlp-8", "mlp-8"), {"weights": [1.0, 0.0]}, r"weights\[1\]"),
        (lambda: made("mlp-8", "mlp-8"), {"mean": "median"}, "mean is 'median'"),
        (lambda: made("mlp-8", "mlp-8"), {"temperature": 0.0}, "temperature"),
    ],
)
def test_what_makes_no_mean_is_refused(arguments, options, message):
    with pytest.raises(InputError, match=message):
        Teachers(arguments(), **options)


def test_any_module_is_a_teacher_once_it_has_what_the_refusal_names():
    class Any(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.feature_size, self.fc = 4, torch.nn.Linear(4, 3)

        def forward(self, images):
            return Outputs(self.fc(images.flatten(1)), images.flatten(1))

    with pytest.raises(
        InputError, match=r"`feature_size` .* `fc.out_features`; .* returns Outputs\(logits, .*from_predictions"
    ):
        Teachers([*made("mlp-8"), torch.nn.Linear(4, 3)])
    assert Teachers([*made("mlp-8"), Any().double()])(IMAGES).logits.shape == (6, 3)


def test_there_is_no_head():
    with pytest.raises(InputError, match="no linear head in common"):
        Teachers(made("mlp-8", "mlp-16")).fc(torch.zeros(1, 24))
