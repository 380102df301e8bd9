"""Mistakes of the right form: each is named beside the verdict, everywhere an audit is shown, and honest pairs raise none."""

import json
import re
from itertools import combinations

import numpy as np
import pytest
from reports import report_of
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.tree import DecisionTreeClassifier

from kd2m_theory import AuditReport, InputError, Pair, audit
from kd2m_theory.plausibility import KINDS, findings
from kd2m_theory.reporting.markdown_view import markdown
from kd2m_theory.reporting.summary import every_row_sections

RNG = np.random.default_rng(0)
N, K = 400, 5
LABELS = RNG.integers(K - 1, size=N)  # the last class is absent
TEACHER = RNG.normal(size=(N, K)) + 4 * np.eye(K)[LABELS]
STUDENT = TEACHER + RNG.normal(size=(N, K))
SHUFFLED = RNG.permutation(N)
AGAIN = np.r_[np.arange(N), np.arange(60)]


def softmax(logits):
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shares / shares.sum(axis=1, keepdims=True)


MISTAKES = {
    "labels from 1": ({"labels": LABELS + 1}, "shifted labels", r"the label less 1 on 9\d.* %.*class_names=range\(1, K \+ 1\)"),
    "labels from −1": ({"labels": np.maximum(LABELS - 1, 0)}, "shifted labels", "the label plus 1 on .*numbered from 0"),
    "other numbers": (
        {"labels": np.array([3, 0, 4, 1, 2])[LABELS]},
        "permuted classes",
        "if its columns were in another order",
    ),
    "exchanged binary labels": (
        {"labels": 1 - LABELS % 2, "logits_teacher": 4 * np.eye(2)[LABELS % 2], "logits_student": RNG.normal(size=(N, 2))},
        "permuted classes",
        "The teacher is right on 0 % of the rows, and would be on 100 %",
    ),
    "the student's columns rotated": (
        {"logits_student": STUDENT[:, [1, 2, 3, 0, 4]]},
        "permuted classes",
        r"The student is right on .* would be on 9\d.* do its columns .* If the columns are right, is row i of both",
    ),
    "two of the student's columns": (
        {"logits_student": STUDENT[:, [1, 0, 2, 3, 4]]},
        "permuted classes",
        r"The student is right on 5\d.* would be on 9\d.* have to be one class\.$",
    ),
    "two columns without labels": (
        {"logits_student": STUDENT[:, [1, 0, 2, 3, 4]], "labels": None},
        "permuted classes",
        "if the columns of one of them were in another order",
    ),
    "the student of other inputs": (
        {"logits_student": STUDENT[SHUFFLED][:, ::-1], "labels_student": LABELS[SHUFFLED], "inputs_paired": False},
        "permuted classes",
        "The student is right on",
    ),
    "the teacher's columns rotated": (
        {"logits_teacher": TEACHER[:, [1, 2, 3, 4, 0]]},
        "permuted classes",
        "The teacher is right on .* do its columns number the classes as the labels do",
    ),
    "labels of another file": ({"labels": LABELS[SHUFFLED]}, "teacher guesses", "no more often than by chance"),
    "student of another file": ({"logits_student": STUDENT[SHUFFLED]}, "other order", "is row i of both the same input"),
    "without labels": (
        {"logits_student": STUDENT[SHUFFLED], "labels": None},
        "other order",
        "do both number the classes alike",
    ),
    "repeated rows": (
        {"labels": LABELS[AGAIN], "logits_teacher": TEACHER[AGAIN], "logits_student": STUDENT[AGAIN]},
        "repeated rows",
        "60 of 460 rows repeat another one",
    ),
    "one network twice": ({"logits_student": TEACHER}, "same network", "the same logits in all 400 rows"),
    "one network in float32": ({"logits_student": TEACHER.astype(np.float32)}, "same network", "in both places"),
    "one network and its log_softmax": (
        {"logits_student": TEACHER - np.log(np.exp(TEACHER).sum(axis=1, keepdims=True))},
        "same network",
        "a number added to a row aside",
    ),
    "labels one row late": (
        {"labels": np.roll(LABELS, 1)},
        "labels of other rows",
        r"The teacher predicts the label of the next row on 9\d.* are labels and logits one row apart",
    ),
    "labels one row early, in groups": (
        {"labels": np.roll(LABELS, -1), "groups": np.arange(N) // 8},
        "labels of other rows",
        "predicts the label of the previous row on 100 %",
    ),
    "a temperature": ({"logits_student": TEACHER / 4}, "scaled logits", r"are 0\.25 times its teacher's.* a temperature"),
    "weights not loaded": (
        {"logits_student": RNG.normal(size=(N, K)) - 9 * np.eye(K)[2] - 9 * np.eye(K)[3]},
        "student guesses",
        "no more often than by chance .*: are its trained weights loaded",
    ),
    "one output for all": (
        {"logits_student": np.tile(STUDENT[:1], (N, 1))},
        "constant logits",
        "The student has the same logits in all 400 rows",
    ),
    "one output for all, without labels": (
        {"logits_teacher": np.zeros((N, K)), "labels": None},
        "constant logits",
        "The teacher has the same logits",
    ),
    "a softmax taken twice": (
        {"logits_student": np.log(softmax(softmax(2 * STUDENT)))},
        "like probabilities",
        "The student's logits are as close together in each row as probabilities are",
    ),
    "probabilities less 1": (
        {"logits_teacher": softmax(TEACHER) - 1},
        "like probabilities",
        "The teacher's logits .*was a softmax taken twice",
    ),
    "one sigmoid per class": (
        {"logits_student": 1 / (1 + np.exp(-STUDENT))},
        "like probabilities",
        "The student's logits are all between 0 and 1, as the outputs of a sigmoid are",
    ),
    "zeros of a forest": (
        {"logits_student": None, "probabilities_student": np.eye(K)[np.where(np.arange(N) < 8, (LABELS + 1) % K, LABELS)]},
        "floored losses",
        "The student gives the true class of 8 of 400 rows .* counts 36 nats each .*: 0.721 of its mean cross-entropy of 0.721 nats",
    ),
}


def pair(**changes):
    return Pair(**({"labels": LABELS, "logits_teacher": TEACHER, "logits_student": STUDENT} | changes))


def test_the_pair_without_a_mistake_raises_no_question():
    assert findings(pair()) == ()


@pytest.mark.parametrize("case", MISTAKES)
def test_each_mistake_is_named(case):
    changes, key, words = MISTAKES[case]
    found = findings(pair(**changes))
    assert [each.key for each in found if each.key != "repeated rows"] == ([] if key == "repeated rows" else [key])
    (named,) = (each for each in found if each.key == key)
    assert set(named.numbers) == set(KINDS[key][0])
    assert re.search(words, named.sentence)


@pytest.mark.parametrize("share", [0.4, 0.5])
@pytest.mark.parametrize("labelled", [True, False])
def test_the_sign_of_a_binary_student_is_asked_about(share, labelled):
    rng = np.random.default_rng(4)
    labels = (rng.uniform(size=N) < share).astype(int)
    teacher, student = (size * (labels - 0.5) + rng.normal(size=N) for size in (4, 3))
    for sign in (1, -1):
        made = Pair.from_predictions(teacher, sign * student, labels if labelled else None)
        assert [each.key for each in findings(made)] == ([] if sign > 0 else ["permuted classes"])


def test_the_binary_class_that_a_column_is_of_is_asked_about_though_one_class_is_rare():
    """Probabilities of class 0 for those of class 1, where nine labels in ten are 0: no label is shifted."""
    rng = np.random.default_rng(6)
    labels = (rng.uniform(size=N) < 0.1).astype(int)
    teacher, student = (1 / (1 + np.exp(-size * (labels - 0.5) - rng.normal(size=N))) for size in (8, 6))
    (found,) = findings(Pair.from_predictions(1 - teacher, 1 - student, labels))
    assert found.key == "permuted classes"
    assert findings(Pair.from_predictions(teacher, student, labels)) == ()


def test_logits_of_vague_networks_do_not_look_like_probabilities():
    """Hot, cold and tiny ones, of few and of many classes; the smaller they are, the closer together."""
    rng = np.random.default_rng(7)
    for classes in (2, 3, 10, 100):
        for size in (0.01, 0.1, 0.3, 1.0, 3.0):
            labels = rng.integers(classes, size=300)
            teacher, student = (size * (rng.normal(size=(300, classes)) + np.eye(classes)[labels]) for _ in range(2))
            keys = {each.key for each in findings(Pair(logits_teacher=teacher, logits_student=student, labels=labels))}
            assert not keys & {"like probabilities", "constant logits", "scaled logits", "same network"}


@pytest.mark.parametrize("mistake", ["none", "not shifted", "shifted twice"])
def test_positions_of_a_language_model_are_asked_about(mistake):
    """Tokens that follow each other by a rule: the teacher at t knows token t + 1."""
    rng = np.random.default_rng(8)
    tokens = np.cumsum(rng.integers(1, 4, size=(40, 12)), axis=1) % 30
    logits = [size * np.eye(30)[tokens[:, 1:]] + rng.normal(size=(40, 11, 30)) for size in (6, 5)]
    read = {"none": slice(1, 12), "not shifted": slice(0, 11), "shifted twice": slice(2, 12)}[mistake]
    made = Pair.from_tokens(*(each[:, : 12 - read.start] for each in logits), tokens[:, read])
    assert [each.key for each in findings(made)] == ([] if mistake == "none" else ["labels of other rows"])


def test_neighbours_that_are_alike_are_not_asked_about():
    """Rows sorted by class, and runs of one class: a neighbour's label is often one's own."""
    for labels in (np.sort(LABELS), np.repeat(LABELS[:50], 8)):
        teacher, student = (RNG.normal(size=(N, K)) + size * np.eye(K)[labels] for size in (4, 3))
        assert findings(Pair(logits_teacher=teacher, logits_student=student, labels=labels)) == ()


def test_a_few_columns_of_many_classes_are_found():
    """Two of 60 columns, and a student that never names some classes: that is no exchange."""
    rng = np.random.default_rng(5)
    labels = rng.integers(60, size=3000)
    teacher = rng.normal(size=(3000, 60)) + 6 * np.eye(60)[labels]
    order = np.r_[1, 0, 2:60]
    assert [each.key for each in findings(Pair.from_predictions(teacher, teacher[:, order] / 2, labels))] == [
        "permuted classes"
    ]
    without = teacher - 20.0 * (np.arange(60) < 20)
    assert findings(Pair.from_predictions(teacher, without, labels)) == ()


def test_a_warning_stands_beside_the_verdict_everywhere(tmp_path):
    report = audit(pair(labels=LABELS + 1), only=["T0", "F1.gap"])
    (warning,) = report.warnings
    said = f"Check the input: {warning.sentence}"
    for every_row, later in ((False, "Theory:"), (True, "measured on n = 400")):
        flat = " ".join(report.table(80, every_row=every_row).split())
        assert flat.index(said) < flat.index(later)
    assert said in markdown(every_row_sections(report.to_dict())).replace("\\", "")
    assert warning.sentence in report._repr_html_()
    report.to_html(tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert page.index(warning.sentence) < page.index("what is not guaranteed")
    report.to_json(tmp_path / "audit.json")
    stored = json.loads((tmp_path / "audit.json").read_text(encoding="utf-8"))
    assert stored["warnings"] == [{"key": "shifted labels", "numbers": dict(warning.numbers), "sentence": warning.sentence}]
    assert AuditReport.from_json(tmp_path / "audit.json").warnings == report.warnings


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sentence": "All is well."}, r"warnings\[0\]\.sentence is .All is well.*follows from the rest"),
        ({"key": "fine"}, r'warnings\[0\]\.key is "fine", not one of shifted labels'),
        ({"numbers": {"shift": -1}}, r"warnings\[0\]\.numbers has .*not shift, at_label, at_shifted"),
        ({"numbers": {"shift": -1, "at_label": 1e300, "at_shifted": 1}}, r"warnings\[0\]\.numbers\.at_label is 1e\+300, not a share"),
    ],
)  # fmt: skip
def test_a_stored_warning_is_not_believed_against_its_numbers(change, message, tmp_path):
    path = tmp_path / "audit.json"
    audit(pair(labels=LABELS + 1), only=["T0"]).to_json(path)
    stored = json.loads(path.read_text(encoding="utf-8"))
    stored["warnings"][0] |= change
    path.write_text(json.dumps(stored), encoding="utf-8")
    with pytest.raises(InputError, match=message):
        AuditReport.from_json(path)


def test_an_audit_from_before_there_were_warnings_is_read(tmp_path):
    path = tmp_path / "audit.json"
    report_of("plain").to_json(path)
    stored = json.loads(path.read_text(encoding="utf-8"))
    del stored["warnings"]
    path.write_text(json.dumps(stored), encoding="utf-8")
    assert AuditReport.from_json(path).warnings == ()


HONEST = ("plain", "unlabelled", "logits only", "unlabelled logits of other inputs", "told much", "one row")


@pytest.mark.parametrize("case", HONEST)
def test_honest_audits_have_none(case):
    assert report_of(case).warnings == ()


@pytest.mark.parametrize("n", [2, 3, 5, 10, 20, 50, 200])
def test_honest_pairs_raise_no_question(n):
    """Teachers from weak to sharp, students from near to far, even and uneven classes, few samples: 72 pairs for each n."""
    rng = np.random.default_rng(n)
    for classes in (2, 3, 10):
        for sharp in (1.0, 2.0, 5.0):
            for apart in (0.1, 1.0):
                shares = rng.dirichlet(np.full(classes, 2.0))
                labels = rng.choice(classes, n, p=shares)
                teacher = rng.normal(size=(n, classes)) + sharp * np.eye(classes)[labels]
                student = 0.7 * teacher + apart * rng.normal(size=(n, classes))
                logits = {"logits_teacher": teacher, "logits_student": student}
                for more in ({"labels": labels}, {}, {"labels": labels, "labels_student": labels}, {"inputs_paired": False}):
                    paired = {"inputs_paired": False} if "labels_student" in more else {}
                    assert findings(Pair(**logits, **more, **paired)) == ()


def test_models_of_few_outputs_are_not_taken_for_repeated_inputs():
    """Trees, forests, neighbours and naive Bayes on flowers, all against all: what they repeat, they repeat by themselves."""
    flowers, kinds = load_iris(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(kinds))
    fit, seen = order[:75], order[75:]
    models = (
        RandomForestClassifier(10, random_state=0),
        DecisionTreeClassifier(max_depth=3, random_state=0),
        KNeighborsClassifier(5),
        GaussianNB(),
        LogisticRegression(max_iter=5000),
    )
    chances = [model.fit(flowers[fit], kinds[fit]).predict_proba(flowers[seen]) for model in models]
    for teacher, student in combinations(chances, 2):
        found = findings(Pair.from_predictions(teacher, student, kinds[seen]))
        assert {each.key for each in found} <= {"floored losses"}
    again = np.r_[seen, seen[:20]]
    twice = [models[k].predict_proba(flowers[again]) for k in (0, 4)]
    assert "repeated rows" in {each.key for each in findings(Pair.from_predictions(*twice, kinds[again]))}


def test_chance_is_the_agreement_of_random_orders():
    """Counted over random orders, against the product of the shares."""
    labels, guesses = RNG.integers(3, size=60) ** 2 % 3, TEACHER.argmax(axis=1)[:60]
    counted = np.mean([(RNG.permutation(labels) == guesses).mean() for _ in range(4000)])
    made = pair(labels=np.tile(labels, 7)[:N], logits_teacher=np.tile(9.0 * np.eye(K)[guesses], (7, 1))[:N][SHUFFLED])
    numbers = next(each.numbers for each in findings(made) if each.key == "teacher guesses")
    assert numbers["chance"] == pytest.approx(counted, abs=0.02)


def test_some_order_of_the_columns_always_fits_few_rows():
    """Ten rows of five classes, labels drawn without the teacher: an assignment that fits them is no news."""
    labels = RNG.integers(K, size=(50, 10))
    for each in labels:
        assert findings(Pair(logits_teacher=TEACHER[:10], logits_student=STUDENT[:10], labels=each)) == ()
