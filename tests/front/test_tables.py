"""Predictions in tables and files: columns are matched by name, and what cannot be matched is refused with advice."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest

from kd2m_theory import InputError, Pair, PairFileError, audit

RNG = np.random.default_rng(1)
N, NAMES = 30, ["cat", "cow", "dog"]
TEACHER, STUDENT = RNG.dirichlet([1, 1, 1], N), RNG.dirichlet([2, 2, 2], N)
LABELS = np.arange(N) % 3
WORDS = np.array(NAMES)[LABELS]
ORDER = [2, 0, 1]
PLAIN = Pair(labels=LABELS, probabilities_teacher=TEACHER, probabilities_student=STUDENT)


class Stream:
    """A table that only exports Arrow's stream, as those of databases do."""

    def __init__(self, table):
        self.table = table

    def __arrow_c_stream__(self, requested_schema=None):
        return self.table.__arrow_c_stream__(requested_schema)


class Interchange:
    """A table that only knows the interchange protocol of data frames."""

    def __init__(self, table):
        self.table = table

    def __dataframe__(self, nan_as_null=False, allow_copy=True):
        return self.table.__dataframe__(nan_as_null, allow_copy)


class LikePolars:
    """What polars has of what is asked for, without polars."""

    def __init__(self, rows, names):
        self.rows, self.columns = rows, names

    def to_numpy(self):
        return self.rows


def arrow(rows, names):
    return pa.table([pa.array(column) for column in rows.T], names=names)


KINDS = {
    "array": lambda rows, _names: rows,
    "pandas": lambda rows, names: pd.DataFrame(rows, columns=names),
    "nullable pandas": lambda rows, names: pd.DataFrame(rows, columns=names).convert_dtypes(),
    "arrow": arrow,
    "record batch": lambda rows, names: arrow(rows, names).to_batches()[0],
    "stream": lambda rows, names: Stream(arrow(rows, names)),
    "interchange": lambda rows, names: Interchange(arrow(rows, names)),
    "polars": LikePolars,
}


def same(one, other):
    assert one.labels.tolist() == other.labels.tolist()
    np.testing.assert_array_equal(one.logits_teacher, other.logits_teacher)
    np.testing.assert_array_equal(one.logits_student, other.logits_student)


@pytest.mark.parametrize("kind", KINDS)
def test_tables_of_every_library_are_matched_by_name(kind):
    teacher = KINDS[kind](TEACHER, NAMES)
    order = range(3) if kind == "array" else ORDER
    student = KINDS[kind](STUDENT[:, order], [NAMES[k] for k in order])
    same(Pair.from_predictions(teacher, student, WORDS, class_names=NAMES), PLAIN)
    if kind != "array":
        same(Pair.from_predictions(teacher, student, pd.Series(WORDS)), PLAIN)
        same(Pair.from_predictions(teacher, STUDENT, pa.array(WORDS)), PLAIN)
        same(Pair.from_predictions(teacher, student, LABELS), PLAIN)


def test_what_the_numbers_are_is_recognised_or_told():
    logits = np.log(TEACHER)
    found = Pair.from_predictions(logits, STUDENT, LABELS)
    assert found.provenance["kind of teacher"] == "logits, recognised by the rows"
    assert found.provenance["kind of student"] == "probabilities, recognised by the rows"
    same(found, PLAIN)
    same(Pair.from_predictions(logits, np.log(STUDENT), LABELS, kind="logits"), PLAIN)
    binary = Pair.from_predictions(TEACHER[:, :1], 3 * STUDENT[:, 0] - 5, LABELS > 0)
    assert binary.classes == 2
    np.testing.assert_allclose(binary.logits_student, np.column_stack([np.zeros(N), 3 * STUDENT[:, 0] - 5]))
    with pytest.raises(InputError, match="logits_teacher are probabilities"):
        Pair.from_predictions(TEACHER, STUDENT, LABELS, kind="logits")
    with pytest.raises(InputError, match="not to 1; if they were printed with few digits"):
        Pair.from_predictions(TEACHER.round(2), STUDENT, LABELS)


def test_common_classes_are_conditional_predictions():
    wide = np.column_stack([0.8 * STUDENT, np.full(N, 0.2)])
    other = {"class_names": NAMES, "class_names_student": [*NAMES[1:], "horse", "cat"]}
    student = wide[:, [1, 2, 3, 0]]
    with pytest.raises(InputError, match="the teacher lacks horse; rename columns, or compare the 3 common classes with Pair"):
        Pair.from_predictions(TEACHER, student, WORDS, **other)
    words = np.where(np.arange(N) < 5, "horse", WORDS)
    found = Pair.from_predictions(TEACHER, student, words, other_classes="drop", **other)
    whole = Pair.from_predictions(TEACHER[5:], STUDENT[5:], WORDS[5:], class_names=NAMES)
    assert audit(found).measured["risk_student"].value == pytest.approx(audit(whole).measured["risk_student"].value, rel=1e-12)
    assert found.labels.tolist() == LABELS[5:].tolist()
    assert found.provenance["rows of other classes"] == "5 of 30 left out"
    assert "on average they had probability 0.2" in found.provenance["classes of the student alone"]
    logits = Pair.from_predictions(np.log(TEACHER), np.log(student) + 3, words, other_classes="drop", **other)
    assert audit(logits).measured["risk_student"].value == pytest.approx(audit(whole).measured["risk_student"].value, rel=1e-12)
    assert logits.provenance["classes of the student alone"] == found.provenance["classes of the student alone"]
    assert Pair.from_predictions(TEACHER, student, other_classes="drop", **other).n == N


def frame(rows, index=None, names=NAMES):
    return pd.DataFrame(rows, columns=names, index=index)


@pytest.mark.parametrize(
    ("arguments", "more", "message"),
    [
        ((TEACHER, np.log(STUDENT[:, :2])), {}, "teacher has 3 classes and student 2; pass class_names and class_names_student"),
        ((frame(TEACHER), frame(STUDENT, names=["a", "b", "c"])), {"other_classes": "drop"}, "no classes are common, and two are n"),
        ((frame(TEACHER), frame(STUDENT)), {"class_names": ["a", "b", "c"]}, "the columns of teacher are cat, cow, dog, and class_names"),
        ((frame(TEACHER), frame(STUDENT, range(N)[::-1])), {}, r"teacher and student have the same index .*student\.loc\[teacher"),
        ((frame(TEACHER), STUDENT, pd.Series(WORDS, index=range(N)[::-1])), {}, "teacher and y have the same index in another order"),
        ((frame(TEACHER).assign(when="now"), STUDENT), {}, "teacher has a column of something else than numbers"),
        ((TEACHER, STUDENT), {"class_names": ["a", "b"]}, "class_names has 2 names, and teacher has 3 classes"),
        ((TEACHER, STUDENT), {"kind": "scores"}, "kind is 'scores'; choose one of 'probabilities', 'logits'"),
        ((TEACHER, STUDENT), {"other_classes": "zero"}, "other_classes is 'zero'; choose one of 'refuse', 'drop'"),
        ((LABELS, STUDENT), {}, "teacher is one column of whole numbers, as predicted classes are; pass predict_proba or logits"),
        ((frame(TEACHER, names=["cat", "cat", "dog"]), STUDENT), {}, "columns of teacher has 'cat' twice"),
        ((TEACHER, RNG.uniform(size=(N, 3))), {}, r"student has values in \[0, 1\] and rows that do not sum to 1, .*kind='logits'"),
        (([TEACHER, TEACHER], STUDENT), {}, r"teacher has shape \(2, 30, 3\).*np\.mean\(x, axis=0\)"),
        ((TEACHER, STUDENT[:9]), {}, "numbers of samples disagree"),
    ],
)  # fmt: skip
def test_what_cannot_be_matched_is_refused_with_what_to_do(arguments, more, message):
    with pytest.raises(InputError, match=message) as caught:
        Pair.from_predictions(*arguments, **more)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("make", KINDS)
@pytest.mark.parametrize("rows", [TEACHER, np.log(TEACHER)])
@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (np.arange(N)[::-1], "which are all different"),
        (np.arange(N) // 4, "which have 8 values"),
        (LABELS, "which equal y"),
        (LABELS > 0, None),
    ],
)
def test_numbers_of_rows_and_labels_are_no_classes(make, rows, extra, message):
    """Left in both tables, or in one of them."""
    wide = np.column_stack([rows, extra]).astype(float)
    with_it, without = KINDS[make](wide, [*NAMES, "id"]), KINDS[make](rows, NAMES)
    y = LABELS if message else LABELS > 0
    for teacher, student in ((with_it, with_it), (with_it, without), (without, with_it)):
        for more in ({}, {"other_classes": "drop"}):
            with pytest.raises(InputError, match=message or "which equal y") as caught:
                Pair.from_predictions(teacher, student, y, **more)
            assert str(caught.value).count("column 3" if make == "array" else "the column 'id'") == 1


def test_columns_that_are_not_whole_or_not_few_are_classes():
    whole = np.column_stack([np.zeros(N), np.arange(N) % 7, RNG.integers(9, size=N)]).astype(float)
    reference = np.column_stack([np.zeros(N), np.log(TEACHER)])
    never = np.column_stack([TEACHER, np.zeros(N)])
    for rows in (whole, reference, np.round(4 * np.log(TEACHER)), never):
        assert Pair.from_predictions(rows, rows - 0.25).classes == rows.shape[1]


def test_a_class_that_the_student_lacks_is_named(tmp_path):
    """Not taken for scores, not for logits; columns of no class are told from classes."""
    student = frame(STUDENT[:, :2], names=NAMES[:2])
    lacks = "the student lacks dog, and its rows do not sum to 1; add its columns"
    with pytest.raises(InputError, match=lacks):
        Pair.from_predictions(frame(TEACHER), student, WORDS)
    whole = frame(TEACHER, names=[f"teacher_{name}" for name in NAMES])
    whole.join(student.add_prefix("student_")).to_csv(tmp_path / "pair.csv", index=False)
    with pytest.raises(InputError, match=lacks):
        Pair.load(tmp_path / "pair.csv")
    with pytest.raises(InputError, match="teacher has 3 classes and student 2"):
        Pair.from_predictions(TEACHER, STUDENT[:, :2], LABELS)
    for margin in (STUDENT.max(axis=1), RNG.normal(size=N)):
        with pytest.raises(InputError, match=r"columns that student lacks, margin, .* leave them out"):
            Pair.from_predictions(frame(TEACHER).assign(margin=margin), frame(STUDENT), WORDS)


def test_groups_are_those_of_the_pair():
    groups = np.arange(N) // 3
    made = Pair.from_predictions(TEACHER, STUDENT, np.where(LABELS, LABELS, -100), groups=groups)
    assert made.groups.tolist() == groups[LABELS > 0].tolist()


def written(path, label=True, names=NAMES, labels=WORDS, teacher=TEACHER, student=STUDENT[:, ORDER]):
    order = ORDER if len(names) == 3 else range(len(names))
    table = frame(teacher, names=[f"teacher_{name}" for name in names])
    table = table.join(frame(student, names=[f"student_{names[k]}" for k in order]))
    table = table.assign(label=labels) if label else table
    if path.suffix == ".csv":
        table.to_csv(path, index=False)
    else:
        table.to_parquet(path, index=False)
    return path


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_files_are_read_as_the_arrays_in_them(ending, tmp_path):
    path = tmp_path / f"pair{ending}"
    same(Pair.load(written(path)), PLAIN)
    assert Pair.load(path).provenance["source"] == path.name
    same(Pair.load(written(path, names=[0, 1, 2], labels=LABELS)), PLAIN)
    same(Pair.load(written(path, names=[1, 2, 3], labels=LABELS + 1.0)), PLAIN) if ending == ".parquet" else None
    same(Pair.load(written(path, names=[1, 2, 3], labels=LABELS + 1)), PLAIN)
    assert Pair.load(written(path, label=False)).labels is None
    assert Pair.load(written(path, labels=np.where(LABELS, WORDS, "-100"))).n == np.count_nonzero(LABELS)
    logit = RNG.normal(size=(N, 1))
    single = Pair.load(written(path, names=[1], labels=LABELS % 2, teacher=logit, student=2 * logit))
    np.testing.assert_array_equal(single.logits_student[:, 1:], 2 * logit)


HEADER = "teacher_a,teacher_b,student_a,student_b,label\n"
ROW = "0.5,0.5,0.25,0.75,a\n"
BAD = {
    "empty": (b"", "is empty; columns are teacher_<class>"),
    "semicolons": (HEADER.replace(",", ";"), "has 1 column; separate columns with commas: columns are"),
    "predicted classes": ("teacher,student,label\na,b,a\n", "one column 'teacher'; .*the probability or the logit of every class"),
    "another column": ("id," + HEADER + "1," + ROW, "has an unknown column 'id'; columns are teacher_<class>"),
    "an index": ("," + HEADER + "1," + ROW, "has an unknown column ''; .*write the file with index=False"),
    "labels from 1": (HEADER.replace("_a", "_0").replace("_b", "_1") + ROW.replace(",a", ",1") + ROW.replace(",a", ",2"), "rename the columns to teacher_1 … teacher_2 and student_1"),
    "twice": ("teacher_a," + HEADER, "has the column 'teacher_a' twice"),
    "no student": ("teacher_a,teacher_b\n1,2\n", "has no column student_<class>"),
    "a short line": (HEADER + ROW + "1,2\n", "has 2 cells in line 3, and 5 columns"),
    "text": (HEADER + "x" + ROW, "has 'x0.5' in column teacher_a, line 2, which is not a number"),
    "no label": (HEADER + ROW.replace("a\n", "\n") * 2, "has no label in row 0; mark rows to leave out with −100"),
    "unknown label": (HEADER + ROW.replace(",a", ",c") * 2, "labels has 'c' in row 0, which is not among class_names"),
    "NaN": (HEADER + ROW.replace("0.25", "nan") * 2, "holds 2 NaN or infinite values in rows 0, 1"),
    "Latin-1": (HEADER.replace("_a", "_é").encode("latin-1"), r"is not a CSV file in UTF-8 \(byte 8\)"),
    "open quote": (HEADER + '"' + ROW, "is not a CSV file"),
    "a huge cell": (HEADER + "1" * 200_000 + ROW, "is not a CSV file"),
    "other classes": (HEADER.replace("student_a", "student_c") + ROW * 2, "the student lacks a and the teacher lacks c|other classes"),
    "no rows": (HEADER, "0 samples"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_damaged_and_foreign_csv_is_refused_in_one_line(case, tmp_path):
    path = tmp_path / "pair.csv"
    content, message = BAD[case]
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=message) as caught:
        Pair.load(path)
    assert "\n" not in str(caught.value)


def test_a_byte_order_mark_and_quotes_are_read(tmp_path):
    path = tmp_path / "pair.csv"
    path.write_bytes(b"\xef\xbb\xbf" + (HEADER + ROW + "\n" + ROW.replace("a\n", '"b"\n')).replace("\n", "\r\n").encode())
    assert Pair.load(path).labels.tolist() == [0, 1]


def test_damaged_and_foreign_parquet_is_refused_in_one_line(tmp_path):
    path = tmp_path / "pair.parquet"
    good = {f"{side}_{name}": [0.5, 0.5] for side in ("teacher", "student") for name in "ab"}
    for columns, message in (
        (good | {"teacher_a": ["x", "y"]}, "has .*string in column teacher_a; write float64 or float32"),
        (good | {"teacher_a": [[0.5], [0.5]]}, "has list<.*in column teacher_a"),
        (good | {"id": [1, 2]}, "has an unknown column 'id'"),
        (good | {"label": [None, "a"]}, "labels has no label in row 0"),
        (good | {"teacher_a": [None, 0.5]}, "NaN"),
    ):
        pa.parquet.write_table(pa.table(columns), path)
        with pytest.raises(InputError, match=message) as caught:
            Pair.load(path)
        assert "\n" not in str(caught.value)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(PairFileError, match="is not a Parquet file"):
        Pair.load(path)
    path.unlink()
    path.mkdir()
    with pytest.raises(PairFileError, match="it is a folder"):
        Pair.load(path)


def test_an_npz_has_probabilities_and_names_too(tmp_path):
    path = tmp_path / "pair.npz"
    np.savez(path, probabilities_teacher=TEACHER, probabilities_student=STUDENT, labels=WORDS, class_names=np.array(NAMES))
    same(Pair.load(path), PLAIN)


def test_the_names_of_an_npz_are_all_listed(tmp_path):
    path = tmp_path / "pair.npz"
    np.savez(path, teacher=TEACHER)
    with pytest.raises(PairFileError, match="holds teacher, which no pair has") as caught:
        Pair.load(path)
    for name in ("logits_teacher", "probabilities_teacher", "probabilities_student", "class_names", "inputs_paired"):
        assert name in str(caught.value)


def test_arrays_and_csv_need_no_pandas_and_no_arrow(tmp_path):
    code = (
        "import sys, numpy as np, kd2m_theory as k\n"
        f"k.Pair.load({str(written(tmp_path / 'pair.csv'))!r})\n"
        "k.Pair.from_predictions(np.eye(2), np.eye(2), [0, 1])\n"
        "print({'pandas', 'pyarrow', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
