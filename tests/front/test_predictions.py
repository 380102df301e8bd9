"""Predictions and labels as people have them: what becomes of them, and what is refused with advice."""

import math

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from kd2m_theory import InputError, Pair, audit

RNG = np.random.default_rng(0)
N, K = 40, 3
TEACHER, STUDENT = 2 * RNG.normal(size=(N, K)), RNG.normal(size=(N, K))
LABELS = np.arange(N) % K
NAMES = ["cat", "cow", "dog"]


def softmax(rows):
    shifted = np.exp(rows - rows.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)


def pair(labels=LABELS, **changes):
    return Pair(**({"labels": labels, "logits_teacher": TEACHER, "logits_student": STUDENT} | changes))


@pytest.mark.parametrize(
    ("labels", "more"),
    [
        (LABELS[:, None], {}),
        (torch.tensor(LABELS)[:, None], {}),
        (LABELS.astype(object), {}),
        (LABELS.astype(np.uint8), {}),
        (np.array(NAMES)[LABELS], {"class_names": NAMES}),
        (np.array(NAMES, dtype=object)[LABELS], {"class_names": np.array(NAMES)}),
        ([NAMES[k] for k in LABELS], {"class_names": tuple(NAMES)}),
        (LABELS, {"class_names": NAMES}),
        (LABELS + 1, {"class_names": range(1, K + 1)}),
        (LABELS + 1.0, {"class_names": [1, 2, 3]}),
        (10 * LABELS[:, None], {"class_names": np.array([0, 10, 20])}),
        ((LABELS + 1).astype(str), {"class_names": ["1", "2", "3"]}),
    ],
)
def test_labels_of_every_form_are_the_same_labels(labels, more):
    assert pair(labels, **more).labels.tolist() == LABELS.tolist()


def test_truth_values_are_classes_and_missing_classes_are_fine():
    binary = {"logits_teacher": TEACHER[:, :2], "logits_student": STUDENT[:, :2]}
    wanted = (LABELS > 0).astype(int).tolist()
    assert pair(LABELS > 0, **binary).labels.tolist() == wanted
    assert pair(LABELS > 0, class_names=np.array([False, True]), **binary).labels.tolist() == wanted
    assert pair(LABELS % 2).labels.max() == 1
    assert pair(np.zeros(N, int)).labels.max() == 0


@pytest.mark.parametrize(
    ("labels", "more", "message"),
    [
        (np.array(NAMES)[LABELS], {}, r"labels has 'cat' in row 0, which is not a number; pass class_names, .*model\.classes_"),
        (np.array(NAMES)[LABELS], {"class_names": ["cat", "cow", "dogs"]}, "'dog' in row 2, which is not among .*did you mean 'dogs'"),
        (np.array(NAMES)[LABELS], {"class_names": [1, 2, 3]}, r"'cat' in row 0, which is not among class_names \(1, 2, 3\); add it"),
        (LABELS, {"class_names": ["cat", "dog"]}, "class_names has 2 names for 3 classes"),
        (LABELS, {"class_names": ["cat", "dog", "cat"]}, "class_names has 'cat' twice, at positions 0 and 2"),
        (LABELS, {"class_names": "cat"}, "class_names is 'cat'; pass a list"),
        (LABELS, {"class_names": ["cat", None, "dog"]}, "class_names has None at position 1"),
        (LABELS + 1, {}, r"outside 0\.\.2, first 3 in row 2; number .*class_names=range\(1, 4\)"),
        (LABELS + 1, {"class_names": range(3)}, r"outside 0\.\.2, first 3 in row 2"),
        (LABELS - 1, {}, "first -1 in row 0; number the classes from 0, and mark rows to leave out with −100"),
        (np.where(LABELS == 1, np.nan, LABELS), {}, "first nan in row 1; pass integers; a row without a label is marked −100"),
        ([0, 0.5] * 20, {}, r"not class numbers, first 0\.5 in row 1; pass integers$"),
        ([*NAMES[:2], None] * 13 + ["cat"], {"class_names": NAMES}, "no label in row 2"),
        (np.eye(K)[LABELS], {}, r"not one-hot rows; their argmax\(axis=1\)"),
        (np.full(N, -100), {}, "labels marks 40 of 40 rows, .* at least two rows with a class"),
    ],
)  # fmt: skip
def test_odd_labels_are_refused_with_what_to_do(labels, more, message):
    with pytest.raises(InputError, match=message) as caught:
        pair(labels, **more)
    assert "\n" not in str(caught.value)


def test_ignored_rows_leave_on_both_sides_and_are_counted():
    rows = np.flatnonzero(LABELS != 1)
    features = RNG.normal(size=(N, 4))
    weight = RNG.normal(size=(K, 4))
    for names in (None, NAMES, [0, 1, 2]):
        found = pair(np.where(LABELS == 1, -100, LABELS), class_names=names)
        kept = pair(LABELS[rows], logits_teacher=TEACHER[rows], logits_student=STUDENT[rows])
        assert audit(found).measured == audit(kept).measured
        assert found.provenance["rows left out by labels"] == "13 of 40 rows, whose label was −100, are left out"
    named = pair([(None, "a", "b")[k] or -100 for k in LABELS], class_names=["a", "b", "c"])
    assert named.n == np.count_nonzero(LABELS)
    with_features = Pair(features, 2 * features, np.where(LABELS == 1, -100, LABELS), head_weight=weight)
    assert (with_features.features_student == 2 * features[rows]).all()
    assert with_features.head_weight.shape == (K, 4)


def test_ignored_rows_of_other_inputs_leave_on_their_side_alone():
    found = pair(np.where(LABELS == 1, -100, LABELS), inputs_paired=False, labels_student=LABELS)
    assert (len(found.labels), len(found.labels_student)) == (27, 40)
    assert (len(found.logits_teacher), len(found.logits_student)) == (27, 40)
    assert (
        audit(found).measured["risk_student"]
        == audit(pair(inputs_paired=False, labels_student=LABELS)).measured["risk_student"]
    )


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_probabilities_become_logits_of_the_same_losses(dtype):
    teacher, student = softmax(TEACHER).astype(dtype), softmax(STUDENT).astype(dtype)
    found = audit(Pair(labels=LABELS, probabilities_teacher=teacher, probabilities_student=student))
    for whose, rows in (("teacher", teacher), ("student", student)):
        risk = -np.log(rows[np.arange(N), LABELS].astype(float) / rows.sum(axis=1, dtype=float)).mean()
        assert found.measured[f"risk_{whose}"].value == pytest.approx(risk, rel=1e-12)
    mixed = Pair(labels=LABELS, logits_teacher=TEACHER, probabilities_student=student)
    assert mixed.provenance == {"logits_student": "natural logarithms of probabilities_student"}


def test_the_floor_costs_what_the_provenance_says():
    """Against the losses of the probabilities themselves, in which zeros of the true class cost infinitely much."""
    votes = RNG.multinomial(10, [0.5, 0.3, 0.2], size=N) / 10
    votes[:4] = np.eye(K)[(LABELS[:4] + 1) % K]
    for floor in (2.0**-52, 1e-3):
        made = Pair(labels=LABELS, probabilities_teacher=votes, logits_student=STUDENT, probability_floor=floor)
        with np.errstate(divide="ignore"):
            exact = -np.log(votes[np.arange(N), LABELS])
        floored = -np.log(softmax(made.logits_teacher)[np.arange(N), LABELS])
        infinite = np.isinf(exact)
        assert infinite.sum() >= 4
        assert floored[infinite] == pytest.approx(-math.log(floor), abs=2 * floor + 1e-12)
        rises = floored[~infinite] - exact[~infinite]
        assert rises.min() >= -1e-12
        assert rises.max() <= math.log1p(2 * floor) + 1e-12
        words = made.provenance["logits_teacher"]
        assert f"{(votes == 0).sum()} of 120 entries" in words
        assert f"true class of {infinite.sum()} of 40 rows" in words
        assert f"{-math.log(floor) * infinite.mean():.3g} nats of the mean loss" in words
    unlabelled = Pair(probabilities_teacher=votes, logits_student=STUDENT)
    assert "the loss at such a class is 36 nats" in unlabelled.provenance["logits_teacher"]


def test_logarithms_of_zero_are_refused_with_the_floor():
    logs = np.log(softmax(TEACHER))
    logs[3, 1] = -np.inf
    with pytest.raises(
        InputError, match=r"logits_teacher has 1 values −∞ in 1 row, .*probability_floor = 2\*\*-52, .*costs 36 nats"
    ):
        pair(logits_teacher=logs)
    logs[3, 1] = np.nan
    with pytest.raises(InputError, match="holds 1 NaN or infinite value in row 3"):
        pair(logits_teacher=logs)


@pytest.mark.parametrize("side", ["teacher", "student"])
@pytest.mark.parametrize(
    "rows", [softmax(TEACHER), softmax(TEACHER).round(2), softmax(TEACHER).astype(np.float32), np.eye(3)[LABELS]]
)
def test_probabilities_are_refused_as_logits(side, rows):
    with pytest.raises(InputError, match=f"logits_{side} are probabilities: .* pass them as probabilities_{side}"):
        pair(**{f"logits_{side}": rows})
    assert np.allclose(softmax(pair(**{f"logits_{side}": rows - 1}).__getattribute__(f"logits_{side}")), softmax(rows))


SCALED = {
    "percent": (100 * softmax(TEACHER), "sum to 100, .*divide each row by its sum"),
    "float32 percent": ((100 * softmax(TEACHER)).astype(np.float32), "sum to 100, .*divide each row by its sum"),
    "whole percent": ((100 * softmax(TEACHER)).round(), "divide each row by its sum"),
    "counts": ((1000 * softmax(TEACHER)).round(), "sum to 1000, .*divide each row by its sum"),
    "votes": (RNG.multinomial(7, [0.2, 0.3, 0.5], N), "sum to 7, .*divide each row by its sum"),
    "three rows": (50 * softmax(TEACHER[:3]), "sum to 50"),
    "base 10": (np.log10(softmax(TEACHER)), "logarithms of probabilities to base 10.*multiply them by ln 10"),
    "float32 of base 10": (np.log10(softmax(TEACHER)).astype(np.float32), "to base 10"),
}
OTHER_FORMS = {
    "base 2": (np.log2, lambda x: x * np.log(2), "logarithms of probabilities to base 2: .*multiply them by ln 2"),
    "negative": (lambda p: -np.log(p), lambda x: -x, "negative logarithms of probabilities: .*multiply them by −1"),
    "of 1 + p": (np.log1p, lambda x: np.log(np.expm1(x)), r"logarithms of 1 \+ p .*take np\.log\(np\.expm1\(x\)\)"),
}


@pytest.mark.parametrize("case", OTHER_FORMS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_other_functions_of_probabilities_are_refused_as_logits_and_the_remedy_is_right(case, dtype):
    made, remedy, message = OTHER_FORMS[case]
    shares = softmax(TEACHER)
    rows = made(shares).astype(dtype)
    with pytest.raises(InputError, match=message):
        pair(logits_teacher=rows)
    with pytest.raises(InputError, match=message):
        Pair.from_predictions(rows, STUDENT, LABELS, kind="logits")
    assert np.allclose(softmax(pair(logits_teacher=remedy(rows.astype(float))).logits_teacher), shares, atol=1e-5)


@pytest.mark.parametrize("case", SCALED)
def test_scaled_probabilities_and_other_logarithms_are_refused_as_logits(case):
    rows, message = SCALED[case]
    rest = {"labels": LABELS[: len(rows)], "logits_student": STUDENT[: len(rows)]}
    with pytest.raises(InputError, match=message):
        Pair(logits_teacher=rows, **rest)
    with pytest.raises(InputError, match=message):
        Pair.from_predictions(rows, STUDENT[: len(rows)], rest["labels"])
    if "10" in message and "base" in message:
        assert np.allclose(softmax(Pair(logits_teacher=rows * np.log(10), **rest).logits_teacher), softmax(TEACHER), atol=1e-6)
    else:
        shares = rows / rows.sum(axis=1, keepdims=True, dtype=float)
        assert np.allclose(np.exp(Pair(probabilities_teacher=shares, **rest).logits_teacher), shares, atol=1e-12)


@pytest.mark.parametrize(
    ("n", "classes"), [(2, 2), (3, 2), (8, 2), (300, 2), (2, 10), (3, 10), (300, 10), (3, 1000), (20, 1000)]
)
def test_honest_logits_have_no_common_sum(n, classes):
    """Outputs of ReLU, natural logarithms from vague to certain, a class of reference at zero, one-hot and constant rows."""
    for seed in range(4):
        rng = np.random.default_rng(seed)
        z = rng.normal(size=(n, classes)) * (0.1, 1, 5, 20)[seed]
        logs = z - z.max(axis=1, keepdims=True)
        logs -= np.log(np.exp(logs).sum(axis=1, keepdims=True))
        reference = np.minimum(z, 0) - rng.uniform(0, 12)
        reference[:, 0] = 0
        hot = 9.0 * np.eye(classes)[rng.integers(classes, size=n)]
        for rows in (
            np.maximum(z, 0),
            np.round(np.maximum(z, 0)) + 1,
            z + 1e6,
            z + 1e9,
            logs,
            reference,
            hot,
            np.full((n, classes), 3.0),
        ):
            assert Pair(logits_teacher=rows, logits_student=z).n == n


@pytest.mark.parametrize("shape", [(N,), (N, 1)])
def test_one_column_of_a_binary_classifier(shape):
    z, labels = RNG.normal(size=N), LABELS % 2
    chance = 1 / (1 + np.exp(-z))
    risk = -np.log(np.where(labels == 1, chance, 1 - chance)).mean()
    of_logits = Pair(labels=labels, logits_teacher=z.reshape(shape), logits_student=2 * z.reshape(shape))
    of_chances = Pair(labels=labels, probabilities_teacher=chance.reshape(shape), logits_student=2 * z.reshape(shape))
    for made in (of_logits, of_chances):
        assert audit(made).measured["risk_teacher"].value == pytest.approx(risk, rel=1e-12)
    assert of_logits.provenance["logits_teacher"] == "one column z of a sigmoid, taken as [0, z]"


def test_the_head_of_a_sigmoid_is_a_head_of_two_classes():
    z, w = RNG.normal(size=(N, 4)), RNG.normal(size=(1, 4))
    made = Pair(z, 1.1 * z, LABELS % 2, logits_teacher=z @ w.T + 0.5, head_weight=w, head_bias=[0.5])
    assert made.head_weight.tolist() == [[0] * 4, w[0].tolist()]
    assert made.head_bias.tolist() == [0, 0.5]
    assert audit(made)["T2.head_aware"].holds


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"logits_teacher": LABELS % 2}, "one column of whole numbers, as predicted classes are; cross-entropy needs at least two logits"),
        ({"logits_teacher": RNG.uniform(size=N)}, r"one column of values in \[0, 1\], .*probabilities_teacher"),
        ({"logits_teacher": RNG.normal(size=(N, 5, 7))}, r"shape \(40, 5, 7\).*Pair\.from_tokens\(.*mask=….*np\.moveaxis\(x, 1, -1\).*too narrow"),
        ({"logits_teacher": None, "probabilities_teacher": np.full((N, 2, 3), 1 / 3)}, r"shape \(40, 2, 3\).*Pair\.from_tokens"),
        ({"probabilities_teacher": softmax(TEACHER)}, "logits_teacher and probabilities_teacher are both given"),
        ({"logits_teacher": None, "probabilities_teacher": TEACHER}, "which is not a probability; pass logits as logits_teacher"),
        ({"logits_teacher": None, "probabilities_teacher": softmax(TEACHER).round(2)}, "not to 1; if they were printed"),
        ({"logits_teacher": None, "probabilities_teacher": softmax(TEACHER)[:, :2]}, r"not to 1; .*if classes are missing"),
        ({"logits_teacher": None, "probabilities_teacher": LABELS % 2}, "pass the probability of class 1"),
        ({"logits_teacher": None, "probabilities_teacher": 1.5 * np.ones(N)}, "has 1.5 in row 0, which is not a probability"),
        ({"logits_teacher": None, "probabilities_teacher": softmax(TEACHER).astype(np.float16)}, "probabilities_teacher is float16, too coarse .*divide each row by its sum"),
        ({"logits_teacher": softmax(TEACHER).astype(np.float16)}, "probabilities_teacher is float16, too coarse .*divide each row by its sum"),
        ({"logits_teacher": RNG.normal(size=(N, 3)).astype(np.float16)}, "logits_teacher is float16, too coarse to certify; extract"),
        (
            {"features_teacher": TEACHER, "features_student": TEACHER, "head_weight": np.eye(3), "logits_teacher": None, "probabilities_teacher": softmax(TEACHER)},
            "probabilities_teacher and head_weight are both given",
        ),
        ({"probability_floor": 0.0}, r"probability_floor is 0\.0; choose a number"),
        ({"probability_floor": True}, "probability_floor is True"),
        ({"logits_teacher": RNG.normal(size=N)}, r"disagree: logits_teacher 2 \(one output, taken as .*\), logits_student 3$"),
        ({"logits_teacher": None, "probabilities_teacher": RNG.uniform(size=(N, 1))}, r"disagree: logits_teacher 2 \(one output"),
        ({"logits_teacher": RNG.normal(size=N), "logits_student": RNG.normal(size=N)}, r"outside 0\.\.1, first 2 in row 2; the networks have one output"),
        ({"logits_teacher": LogisticRegression()}, r"logits_teacher is a model \(LogisticRegression\); .*model\.predict_proba\(x\)"),
        ({"logits_teacher": torch.nn.Linear(2, 3)}, r"logits_teacher is a model \(Linear\); .*Pair\.from_models"),
    ],
)  # fmt: skip
def test_what_is_no_prediction_is_refused_with_what_to_do(changes, message):
    with pytest.raises(InputError, match=message) as caught:
        pair(**changes)
    assert "\n" not in str(caught.value)
