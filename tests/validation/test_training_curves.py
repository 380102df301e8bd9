"""The study behind the figures of training: what it measures on a pair, and that it can be asked for."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from scipy import special, stats

from kd2m_theory import Pair

SCRIPT = Path(__file__).parents[2] / "validation" / "benchmarks" / "training_curves.py"
RNG = np.random.default_rng(0)
LABELS = np.arange(80) % 2
STUDENT, TEACHER = RNG.normal(size=(80, 3)), 4 * RNG.normal(size=(80, 3))


def loaded():
    spec = importlib.util.spec_from_file_location("study_of_training", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


STUDY = loaded()


def pair(student=STUDENT, teacher=TEACHER, **features):
    return Pair(labels=LABELS, logits_teacher=teacher, logits_student=student, **features)


def test_curves_are_the_means_of_the_formulas():
    found = STUDY.curves([pair(), pair(student=TEACHER)])
    q, transformed = special.softmax(STUDENT, axis=1), special.softmax(STUDY.GAMMA * TEACHER, axis=1)
    expected = {
        "cross_entropy": -np.log(q[np.arange(80), LABELS]).mean(),
        "accuracy": (STUDENT.argmax(axis=1) == LABELS).mean(),
        "entropy": stats.entropy(q, axis=1).mean(),
        "divergence": stats.entropy(transformed, q, axis=1).mean(),
    }
    assert {name: values[0] for name, values in found.items()} == pytest.approx(expected, rel=1e-10)
    assert all(len(values) == 2 for values in found.values())


def test_a_histogram_has_every_image_of_every_pair_in_the_bin_of_its_entropy():
    counts = STUDY.histogram([pair(), pair(student=np.zeros((80, 3)))])
    assert sum(counts) == 160
    assert counts[-1] >= 80  # uniform predictions have the largest entropy there is
    entropies = stats.entropy(special.softmax(STUDENT, axis=1), axis=1)
    width = np.log(3) / STUDY.BINS
    expected = np.bincount((entropies // width).astype(int), minlength=STUDY.BINS)
    expected[-1] += 80
    assert counts == expected.tolist()


def test_correlations_do_not_see_a_shift_of_all_logits_of_an_image():
    shift = 10 * RNG.normal(size=(80, 1))
    found = STUDY.correlation("name", [pair(student=2 * TEACHER + shift), pair()])
    assert np.abs(found["difference"]).max() < 1e-12
    assert found["means"][0] < 1e-12 < 0.1 < found["means"][1]


def test_the_embedding_is_of_features_and_is_the_same_again():
    apart = np.where(LABELS[:, None] == 1, 50.0, 0.0) + RNG.normal(size=(80, 4))
    made = [
        STUDY.embedding(0.0, pair(student=logits, features_teacher=apart, features_student=-apart - 200))
        for logits in (STUDENT, TEACHER)
    ]
    assert made[0] == made[1]
    labels, points = np.array(made[0]["labels"]), np.array(made[0]["teacher_points"])
    assert np.bincount(labels).tolist() == [STUDY.EMBEDDED] * 2
    centres = [points[labels == label].mean(axis=0) for label in (0, 1)]
    own = [np.linalg.norm(points - centre, axis=1) for centre in centres]
    assert ((own[1] < own[0]) == labels).all()


def test_every_student_has_a_configuration_and_no_two_are_the_same():
    students = STUDY.students()
    configurations = [student.configuration for student in students]
    assert len({configuration.digest for configuration in configurations}) == len(students) == 39
    assert len({configuration.teacher_digest for configuration in configurations}) == 1
    recipes = {configuration.student.training for configuration in configurations}
    assert len(recipes) == 1
    for student, configuration in zip(students, configurations, strict=True):
        epochs = configuration.student.training.epochs
        assert configuration.pairs_at == ((epochs,) if student.objective == STUDY.UNIKD else tuple(range(epochs + 1)))


def test_numbers_are_rounded_to_six_digits_and_what_is_not_a_number_is_null():
    assert STUDY._rounded({"a": [1 / 3, 12345678.9, float("nan")], "b": (True, "x", 7)}) == {
        "a": [0.333333, 12345700.0, None],
        "b": [True, "x", 7],
    }
