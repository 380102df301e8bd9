"""What a run leaves for figures: each number is the one of its formula."""

import numpy as np
import pytest
import torch
from scipy import special, stats

from kd2m_theory import Pair
from kd2m_theory.validation.campaigns import learning
from kd2m_theory.validation.training.followed import GAMMA, followed

RNG = np.random.default_rng(0)
LABELS = np.arange(80) % 2
STUDENT, TEACHER = RNG.normal(size=(80, 3)), 4 * RNG.normal(size=(80, 3))


def pair(student=STUDENT, teacher=TEACHER, **features):
    return Pair(labels=LABELS, logits_teacher=teacher, logits_student=student, **features)


class Network(torch.nn.Module):
    """Its images are its logits."""

    def forward(self, images):
        from kd2m_theory.validation.training.outputs import Outputs

        return Outputs(logits=images, features=images)


def test_what_follows_a_student_is_the_mean_of_the_formulas():
    images, labels, taught = (torch.tensor(each) for each in (STUDENT, LABELS, TEACHER))
    found = followed(images, labels, taught)(Network())
    q, transformed = special.softmax(STUDENT, axis=1), special.softmax(GAMMA * TEACHER, axis=1)
    expected = {
        "test_cross_entropy": -np.log(q[np.arange(80), LABELS]).mean(),
        "test_accuracy": (STUDENT.argmax(axis=1) == LABELS).mean(),
        "test_entropy": stats.entropy(q, axis=1).mean(),
        "test_divergence": stats.entropy(special.softmax(TEACHER, axis=1), q, axis=1).mean(),
        "test_transformed": stats.entropy(transformed, q, axis=1).mean(),
        "test_agreement": (STUDENT.argmax(axis=1) == TEACHER.argmax(axis=1)).mean(),
    }
    assert found == pytest.approx(expected, rel=1e-5)  # networks compute in single precision


def test_curves_are_the_columns_of_a_history_and_what_is_not_a_number_everywhere_is_left_out():
    history = [
        {
            "epoch": 1,
            "train_total": 3.0,
            "train_cw2": 2.0,
            "validation_accuracy": 0.1,
            "test_accuracy": 0.2,
            "test_entropy": 1.0,
        },
        {
            "epoch": 2,
            "train_total": 2.0,
            "train_cw2": 1.0,
            "validation_accuracy": 0.3,
            "test_accuracy": 0.4,
            "test_entropy": np.nan,
        },
    ]
    found = list(learning.curves(history))
    assert [(row["target"], row["name"], row["values"], row["value"]) for row in found] == [
        ("train", "cw2", [2.0, 1.0], 1.0),
        ("test", "accuracy", [0.2, 0.4], 0.4),
    ]


def test_a_histogram_has_every_image_in_the_bin_of_its_entropy():
    counts = np.array(learning.entropies(STUDENT)["values"])
    entropies = stats.entropy(special.softmax(STUDENT, axis=1), axis=1)
    expected = np.bincount((entropies // (np.log(3) / learning.BINS)).astype(int), minlength=learning.BINS)
    np.testing.assert_array_equal(counts, expected)
    uniform = learning.entropies(np.zeros((5, 7)))  # the largest entropy that there is
    assert uniform["values"] == [0.0] * (learning.BINS - 1) + [5.0]
    assert learning.entropies(np.array([[1e4, 0.0]]))["values"][0] == 1.0


def test_correlations_do_not_see_a_shift_of_all_logits_of_an_image():
    shift = 10 * RNG.normal(size=(80, 1))
    rows = [row for row in learning.last_pair(pair(student=2 * TEACHER + shift), 1) if row["kind"] == "correlation"]
    assert rows[0]["value"] < 1e-12
    (other,) = (row for row in learning.last_pair(pair(), 1) if row["kind"] == "correlation")
    centred = [each - each.mean(axis=1, keepdims=True) for each in (STUDENT, TEACHER)]
    difference = np.subtract(*(np.array([[stats.pearsonr(a, b)[0] for a in each.T] for b in each.T]) for each in centred))
    assert other["value"] == pytest.approx(np.abs(difference).sum() / 6)


def test_a_class_whose_logit_never_changes_has_no_correlation():
    same = np.zeros((80, 3))
    assert [row["kind"] for row in learning.last_pair(pair(student=same), 1)] == ["histogram"]


def test_an_embedding_is_of_features_the_same_again_and_of_one_seed():
    apart = np.where(LABELS[:, None] == 1, 50.0, 0.0) + RNG.normal(size=(80, 4))
    of = pair(features_teacher=apart, features_student=-apart - 200)
    first, second = ([row for row in learning.last_pair(of, 0) if row["kind"] == "embedding"] for _ in range(2))
    assert first == second
    clouds = {row["name"]: np.array(row["values"]) for row in first}
    labels, points = clouds["labels"], clouds["teacher"].reshape(-1, 2)
    assert clouds["student"].shape == (2 * len(labels),)
    centres = [points[labels == label].mean(axis=0) for label in (0, 1)]
    own = [np.linalg.norm(points - centre, axis=1) for centre in centres]
    assert ((own[1] < own[0]) == labels).all()
    assert not [row for row in learning.last_pair(of, 1) if row["kind"] == "embedding"]


@pytest.mark.parametrize(("classes", "each"), [(10, 30), (100, 3), (400, 1)])
def test_an_embedding_has_as_many_images_of_each_class_and_few_of_all(classes, each):
    labels = RNG.permutation(np.repeat(np.arange(classes), 40))
    kept = learning.balanced(labels)
    assert set(np.bincount(labels[kept])) == {each}
    assert len(kept) == min(classes, learning.EMBEDDED) * each <= learning.EMBEDDED
