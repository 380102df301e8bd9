import json
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kd2m_theory import InputError, Pair, PairFileError, audit
from kd2m_theory.archives import read_arrays
from kd2m_theory.pair_files import ROWS
from kd2m_theory.shards import index_path, shard_paths

FIELDS = (*ROWS, "head_weight", "head_bias")
LOGITS = ("T0", "T1.logits.l2", "F1.gap", "F3.T0")


def equal(one, other):
    for name in FIELDS:
        first, second = getattr(one, name), getattr(other, name)
        assert (first is None) == (second is None), name
        if first is not None:
            np.testing.assert_array_equal(first, second, err_msg=name)
            assert first.dtype == second.dtype, name
    assert one.class_names == other.class_names
    assert one.inputs_paired == other.inputs_paired
    assert one.provenance.items() <= other.provenance.items()


@st.composite
def pairs(draw):
    """A pair of any kind, what it may be written as, and a number of rows of a shard."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n, classes, dimension = draw(st.integers(2, 9)), draw(st.integers(2, 4)), draw(st.integers(1, 3))
    paired, labelled = draw(st.booleans()), draw(st.booleans())
    other = n if paired else draw(st.integers(2, 9))
    precision = draw(st.sampled_from([np.float32, np.float64]))
    arguments = {"inputs_paired": paired, "provenance": {"made": "by a test"}}
    features = draw(st.booleans())
    if features:
        arguments |= {
            "features_teacher": rng.normal(size=(n, dimension)).astype(precision),
            "features_student": rng.normal(size=(other, dimension)),
            "head_weight": rng.normal(size=(classes, dimension)),
        }
    else:
        arguments["logits_teacher"] = rng.normal(size=(n, classes)).astype(precision)
    if not features or draw(st.booleans()):
        arguments["logits_student"] = rng.normal(size=(other, classes)).astype(precision)
    if labelled:
        arguments["labels"] = rng.integers(0, classes, n)
        if draw(st.booleans()):
            arguments["class_names"] = draw(st.sampled_from([[f"c{k}" for k in range(classes)], list(range(1, classes + 1))]))
            arguments["labels"] = np.array(arguments["class_names"])[arguments["labels"]]
        if not paired:
            arguments["labels_student"] = np.array(arguments.get("class_names", range(classes)))[
                rng.integers(0, classes, other)
            ]
    endings = [".safetensors", ".npz"]
    if paired and draw(st.booleans()):
        arguments["groups"] = rng.permutation(np.arange(n) % 3)
    elif paired and draw(st.booleans()):
        arguments["row_numbers"] = rng.permutation(3 * n)[:n]
    elif paired and not features:
        endings.append(".parquet")
    return Pair(**arguments), draw(st.sampled_from(endings)), draw(st.integers(1, max(n, other) + 1))


@settings(max_examples=30, deadline=None)
@given(pairs(), st.data())
def test_any_cut_into_shards_gives_the_pair(drawn, data):
    pair, ending, rows = drawn
    with TemporaryDirectory() as folder:
        path = Path(folder, f"a pair{ending}")
        pair.save(path, shard_rows=rows)
        shards = shard_paths(path, -(-max(pair.n, len(_students(pair))) // rows))
        assert {file.name for file in path.parent.iterdir()} == {index_path(path).name, *(file.name for file in shards)}
        ways = [path, path.parent, index_path(path), data.draw(st.sampled_from(shards)), path.parent / f"a*{ending}"]
        way = data.draw(st.sampled_from(ways))
        equal(pair, Pair.load(way))
        index_path(path).unlink()
        if way != index_path(path):
            equal(pair, Pair.load(way))


def _students(pair):
    return next(each for each in (pair.features_student, pair.logits_student) if each is not None)


def logits(n=12, classes=3, seed=0):
    rng = np.random.default_rng(seed)
    teacher = rng.normal(size=(n, classes))
    return Pair(
        logits_teacher=teacher,
        logits_student=teacher + 0.5 * rng.normal(size=(n, classes)),
        labels=rng.integers(0, classes, n),
        provenance={"seed": str(seed)},
    )


@pytest.mark.parametrize("ending", [".safetensors", ".npz", ".parquet"])
def test_an_audit_of_shards_is_that_of_the_pair(ending, tmp_path):
    pair = logits(40)
    pair.save(tmp_path / f"pair{ending}", shard_rows=7)
    found, known = (audit(each, only=LOGITS) for each in (Pair.load(tmp_path), pair))
    assert [(row.lower, row.upper) for row in found.rows] == [(row.lower, row.upper) for row in known.rows]
    assert found.measured == known.measured


@pytest.mark.parametrize("ending", [".safetensors", ".npz", ".parquet"])
def test_bytes_of_a_shard_are_counted(ending, tmp_path):
    pair = logits(12)  # of a row: 2 × 3 logits and a label, 8 bytes each
    pair.save(tmp_path / f"pair{ending}", shard_bytes=5 * 56 + 55)
    shards = [Pair.load(tmp_path / f"copy-{k}{ending}").n for k in _copies(tmp_path, ending)]
    assert shards == [5, 5, 2]
    again = tmp_path / f"again{ending}"
    pair.save(again, shard_bytes=1)
    assert all(file.exists() for file in shard_paths(again, 12))


def _copies(folder, ending):
    for k, shard in enumerate(shard_paths(folder / f"pair{ending}", 3)):
        (folder / f"copy-{k}{ending}").write_bytes(shard.read_bytes())
        yield k


def test_the_head_is_written_once_and_may_be_in_any_shard(tmp_path):
    rng = np.random.default_rng(0)
    pair = Pair(rng.normal(size=(6, 4)), rng.normal(size=(6, 4)), head_weight=rng.normal(size=(3, 4)))
    pair.save(tmp_path / "pair.npz", shard_rows=2)
    shards = [read_arrays(file, lambda names: None, InputError) for file in shard_paths(tmp_path / "pair.npz", 3)]
    assert ["head_weight" in each for each in shards] == [True, False, False]
    shards[2]["head_weight"] = shards[0].pop("head_weight")
    index_path(tmp_path / "pair.npz").unlink()
    for file, arrays in zip(shard_paths(tmp_path / "pair.npz", 3), shards, strict=True):
        np.savez(file, **arrays)
    equal(pair, Pair.load(tmp_path))
    np.savez(shard_paths(tmp_path / "pair.npz", 3)[1], **shards[1], head_weight=np.zeros((3, 4)))
    with pytest.raises(PairFileError, match=r"pair-00003-of-00003\.npz has another head_weight"):
        Pair.load(tmp_path)


def foreign(folder, **changes):
    """Three files as batches of an inference write them; the second with some changes."""
    rng = np.random.default_rng(0)
    for k, name in enumerate(("part-2.npz", "part-10.npz", "part-9.npz")):
        arrays = {
            "logits_teacher": rng.normal(size=(3, 2)),
            "logits_student": rng.normal(size=(3, 2)),
            "labels": np.full(3, k % 2),
            "row_numbers": np.arange(3) + 10 * k,
        }
        arrays |= changes if k == 1 else {}
        np.savez(folder / name, **{key: value for key, value in arrays.items() if value is not None})


def test_files_of_a_pattern_are_in_the_order_of_their_numbers(tmp_path):
    foreign(tmp_path)
    pair = Pair.load(tmp_path / "part-*.npz")
    assert pair.row_numbers.tolist() == [0, 1, 2, 20, 21, 22, 10, 11, 12]
    assert pair.provenance["source"] == "part-*.npz"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": None}, r"part-10\.npz has no labels, and part-2\.npz has"),
        ({"groups": np.zeros(3, int)}, r"part-2\.npz has no groups, and part-10\.npz has"),
        ({"logits_student": np.zeros((3, 4))}, r"part-10\.npz has logits_student of shape 3×4, and part-2\.npz of 3×2"),
        ({"logits_student": np.float64(1)}, r"part-10\.npz has logits_student of shape a single number"),
        (
            {"logits_teacher": np.zeros((3, 2), np.float32)},
            r"part-10\.npz has logits_teacher in float32, and part-2\.npz in fl",
        ),
        ({"labels": np.array(["a", "b", "a"])}, r"part-10\.npz has labels in <U1, and part-2\.npz in int64"),
        ({"inputs_paired": False}, r"part-10\.npz has another inputs_paired than"),
        ({"class_names": np.array(["a", "b"])}, r"part-2\.npz has no class_names, and part-10\.npz has"),
        ({"row_numbers": np.arange(3)}, "row_numbers has a number below 0, beyond 2.63 or twice"),
        ({"format_version": "7"}, r"part-10\.npz has pair format version 7"),
        ({"provenance": "words"}, r"part-10\.npz has a provenance that Pair\.save did not write"),
    ],
)
def test_shards_that_disagree_are_named(changes, message, tmp_path):
    foreign(tmp_path, **changes)
    with pytest.raises(InputError, match=message) as caught:
        Pair.load(tmp_path / "part-*.npz")
    assert "\n" not in str(caught.value)


def test_tables_are_joined_by_the_names_of_their_columns(tmp_path):
    (tmp_path / "p-1.csv").write_text("teacher_a,teacher_b,student_a,student_b,label\n0.5,0.5,0.25,0.75,b\n")
    (tmp_path / "p-2.csv").write_text("label,teacher_b,teacher_a,student_b,student_a\na,0.25,0.75,0.5,0.5\n")
    pair = Pair.load(tmp_path / "p-*.csv")
    np.testing.assert_allclose(np.exp(pair.logits_teacher), [[0.5, 0.5], [0.75, 0.25]])
    assert (pair.labels.tolist(), pair.class_names) == ([1, 0], ("a", "b"))
    (tmp_path / "p-3.csv").write_text("label,teacher_b,teacher_a,student_b,student_c\na,0.25,0.75,0.5,0.5\n")
    with pytest.raises(PairFileError, match=r"p-3\.csv has no student_a, and p-1\.csv has"):
        Pair.load(tmp_path / "p-*.csv")


def test_labels_of_tables_are_of_one_kind(tmp_path):
    for k, labels in enumerate((["a", "b"], [0, 1])):
        columns = {f"{side}_{name}": [0.5, 0.5] for side in ("teacher", "student") for name in "ab"}
        pyarrow.parquet.write_table(pyarrow.table(columns | {"label": labels}), tmp_path / f"p-{k}.parquet")
    with pytest.raises(PairFileError, match=r"p-1\.parquet has label of another kind than p-0\.parquet"):
        Pair.load(tmp_path / "p-*.parquet")


def _remove(path):
    shard_paths(path, 4)[2].unlink()


def _another_pair(path):
    other = path.with_name("other") / path.name
    other.parent.mkdir()
    logits(seed=1).save(other, shard_rows=3)
    shard_paths(path, 4)[1].write_bytes(shard_paths(other, 4)[1].read_bytes())


def _another_pair_without_an_index(path):
    _another_pair(path)
    index_path(path).unlink()


def _another_cut(path):
    _copy(path, shard_paths(path, 5)[0])


def _another_name(path):
    _copy(path, shard_paths(path.with_name("z.safetensors"), 4)[0])


def _number_zero(path):
    _copy(path, path.with_name("pair-00000-of-00004.safetensors"))


def _six_digits(path):
    _copy(path, path.with_name("pair-000001-of-00004.safetensors"))


def _copy(path, name):
    name.write_bytes(shard_paths(path, 4)[0].read_bytes())


def _other_version(path):
    index_path(path).write_text(json.dumps({"format": "kd2m-pair-shards", "format_version": 2, "shards": [{}]}))


def _index_of_a_model(path):
    index_path(path).write_text(json.dumps({"metadata": {"total_size": 8}, "weight_map": {"labels": "x.safetensors"}}))


def _index_elsewhere(path):
    table = json.loads(index_path(path).read_text())
    table["shards"][0]["file"] = "../" + table["shards"][0]["file"]
    index_path(path).write_text(json.dumps(table))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_remove, r"pair\.safetensors lacks shard 00003 of 4 in"),
        (_another_pair, r"pair-00002-of-00004\.safetensors is not the shard that pair\.safetensors\.index\.json lists"),
        (_another_pair_without_an_index, r"pair-00002-of-00004\.safetensors has another provenance .*\(seed: '1', not '0'\)"),
        (_another_cut, r"holds shards of pair\.safetensors of 4 and of 5"),
        (_another_name, r"holds the shards of 2 pairs, pair\.safetensors, z\.safetensors; name one of them"),
        (_number_zero, r"pair-00004-of-00004\.safetensors has a number beyond 4"),
        (_six_digits, r"shard 1 of pair\.safetensors is there twice"),
        (_other_version, r"pair\.safetensors\.index\.json has version 2; this kd2m-theory reads version 1"),
        (
            _index_of_a_model,
            r"pair\.safetensors\.index\.json is not the index of a pair's shards; an index is written by Pair\.s",
        ),
        (_index_elsewhere, r"a shard has no name of a file beside it"),
    ],
)
def test_a_set_that_is_not_whole_is_refused(spoil, message, tmp_path):
    path = tmp_path / "pair.safetensors"
    logits().save(path, shard_rows=3)
    spoil(path)
    with pytest.raises(PairFileError, match=message) as caught:
        Pair.load(tmp_path)
    assert "\n" not in str(caught.value)


def test_shards_numbered_from_zero_are_read(tmp_path):
    pair = logits()
    pair.save(tmp_path / "pair.npz", shard_rows=4)
    index_path(tmp_path / "pair.npz").unlink()
    for k, file in enumerate(shard_paths(tmp_path / "pair.npz", 3)):
        file.rename(tmp_path / f"pair-{k:05d}-of-00003.npz")
    equal(pair, Pair.load(tmp_path))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: folder, "is a folder.* and has no shards"),
        (lambda folder: folder / "p-*.npz", "there is no file"),
        (lambda folder: folder / "pair-00001-of-00002.npz", r"there is no shard of .*pair\.npz"),
        (lambda folder: folder / "pair.npz.index.json", "there is no file"),
        (
            lambda folder: [(folder / f"p.{end}").write_text("") for end in ("csv", "npz")] and folder / "p.*",
            r"end in \.csv, \.npz",
        ),
    ],
)
def test_what_is_not_there_is_said(make, message, tmp_path):
    with pytest.raises(PairFileError, match=message):
        Pair.load(make(tmp_path))


def test_what_cannot_be_cut_is_refused_before_anything_is_written(tmp_path):
    pair = logits()
    for sizes, message in (
        ({"shard_rows": 0}, "shard_rows is 0; give a whole number ≥ 1"),
        ({"shard_bytes": 1.5}, "shard_bytes is 1.5; give a whole number ≥ 1"),
        ({"shard_rows": 2, "shard_bytes": 2}, "shard_rows and shard_bytes are both given"),
    ):
        with pytest.raises(InputError, match=message):
            pair.save(tmp_path / "pair.npz", **sizes)
    with pytest.raises(InputError, match="this pair has features_student"):
        Pair(np.eye(3), np.eye(3)).save(tmp_path / "pair.parquet", shard_rows=2)
    unpaired = Pair(logits_teacher=2 * np.eye(3), logits_student=2 * np.eye(2, 3), inputs_paired=False)
    with pytest.raises(InputError, match="this pair has inputs that the networks do not share"):
        unpaired.save(tmp_path / "pair.parquet")
    assert not list(tmp_path.iterdir())
    pair.save(tmp_path / "pair.npz", shard_rows=6)
    with pytest.raises(InputError, match=r"pair-00001-of-00002\.npz is a shard of another number of shards than the 3"):
        pair.save(tmp_path / "pair.npz", shard_rows=4)
    equal(pair, Pair.load(tmp_path))


def test_a_write_that_fails_half_way_is_noticed(tmp_path, monkeypatch):
    path = tmp_path / "pair.npz"
    logits().save(path, shard_rows=4)
    written = []

    def fails(file, data):
        if len(written) == 2:
            raise OSError("disk full")
        written.append(file)
        Path(file).write_bytes(data)

    with monkeypatch.context() as patched:
        patched.setattr("kd2m_theory.pair_files.write_atomically", fails)
        with pytest.raises(OSError, match="disk full"):
            logits(seed=1).save(path, shard_rows=4)
    with pytest.raises(PairFileError, match=r"pair-00001-of-00003\.npz is not the shard"):
        Pair.load(path)


def small_pair():
    return Pair(labels=[0, 1, 1], logits_teacher=np.eye(3)[:, :2], logits_student=np.eye(3)[:, :2])


@pytest.mark.parametrize("digits", [9, 40])
def test_a_name_that_speaks_of_very_many_shards_is_refused_at_once(digits, tmp_path):
    file = tmp_path / f"p-00001-of-{'9' * digits}.npz"
    small_pair().save(file)
    with pytest.raises(PairFileError, match=r"lacks shards 00002, 00003, 00004, 00005, 00006, … of 9"):
        Pair.load(tmp_path)


@pytest.mark.parametrize(
    "name", ["x" * 300 + ".npz", "x" * 300 + "-00001-of-00002.npz", "x" * 300 + ".npz.index.json", "x" * 300]
)
def test_a_name_that_no_file_can_have_is_refused_in_words(name, tmp_path):
    with pytest.raises(PairFileError):
        Pair.load(tmp_path / name)


def test_an_index_may_list_a_name_that_no_file_can_have(tmp_path):
    small_pair().save(tmp_path / "p.npz", shard_rows=2)
    index = index_path(tmp_path / "p.npz")
    table = json.loads(index.read_text())
    table["shards"][0]["file"] = "x" * 300
    index.write_text(json.dumps(table))
    with pytest.raises(PairFileError, match="there is no file"):
        Pair.load(index)


@pytest.mark.parametrize("name", ["br[ack]ets", "q?", "star*"])
def test_shards_whose_names_look_like_patterns_are_found(name, tmp_path):
    folder = tmp_path / name
    folder.mkdir()
    small_pair().save(folder / f"{name}.npz", shard_rows=2)
    for path in (folder, folder / f"{name}.npz", index_path(folder / f"{name}.npz"), folder / "*.npz"):
        equal(small_pair(), Pair.load(path))


def test_an_index_that_cannot_be_read_is_not_passed_over(tmp_path):
    small_pair().save(tmp_path / "p.npz", shard_rows=2)
    index = index_path(tmp_path / "p.npz")
    index.unlink()
    index.symlink_to(index.name)
    with pytest.raises(PairFileError, match="loop of links"):
        Pair.load(tmp_path)


def test_a_pair_is_not_written_beside_files_that_would_be_read_in_its_place(tmp_path):
    first, other = tmp_path / "first.npz", tmp_path / "other.npz"
    small_pair().save(first)
    with pytest.raises(PairFileError, match=r"first\.npz is there in one file, which would be read instead"):
        small_pair().save(first, shard_rows=2)
    small_pair().save(other, shard_rows=2)
    with pytest.raises(PairFileError, match=r"other-00001-of-00002\.npz is a shard of .* than the one file to be written"):
        small_pair().save(other)
    small_pair().save(other, shard_rows=2)
    small_pair().save(first)
    assert len(list(tmp_path.iterdir())) == 4
