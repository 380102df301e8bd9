import io
import json
import os

import numpy as np
import pytest
import safetensors.numpy
import safetensors.torch
import torch
from printed import holds

from kd2m_theory import InputError, Pair, PairFileError, audit

RNG = np.random.default_rng(0)
N, D, K = 6, 4, 3
GOOD = {
    "features_teacher": RNG.normal(size=(N, D)),
    "features_student": RNG.normal(size=(N, D)),
    "labels": np.arange(N) % K,
    "logits_student": RNG.normal(size=(N, K)),
    "head_weight": RNG.normal(size=(K, D)),
    "head_bias": RNG.normal(size=K),
}


def made(**changes):
    return Pair(**(GOOD | changes))


def changed(name, *index, value):
    array = np.array(GOOD[name])
    array[index] = value
    return {name: array}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            changed("features_student", 2, 1, value=np.nan),
            "features_student holds 1 NaN or infinite value in row 2, 1 of 6 rows: did a network diverge",
        ),
        (changed("head_weight", 0, 0, value=np.inf), "head_weight holds 1 NaN or infinite value in row 0"),
        ({"features_teacher": GOOD["features_teacher"].astype(np.float16)}, "features_teacher is float16, too coarse"),
        ({"features_teacher": GOOD["features_teacher"][:5]}, "numbers of samples disagree: features_teacher 5, features_st"),
        ({"labels": np.arange(5)}, "labels has 5 entries for 6 samples"),
        (changed("labels", 3, value=7), r"labels has 1 value outside 0\.\.2, first 7 in row 3; number the classes from 0"),
        (changed("labels", 3, value=-1), r"outside 0\.\.2, first -1 in row 3"),
        ({"labels": np.eye(3)[np.arange(6) % 3]}, "one integer class per sample"),
        ({"head_weight": GOOD["head_weight"].T}, "head_weight is 4×3 .* features_teacher have dimension 4; pass the weight as"),
        ({"head_bias": np.zeros(4)}, "head_bias has 4 entries for 3 classes"),
        ({"head_weight": None}, "logits_student without teacher logits"),
        ({"head_weight": None, "logits_student": None}, "head_bias without head_weight"),
        ({"features_student": None}, "features of one network only"),
        ({"features_student": None, "features_teacher": None}, "a pair needs the features of both"),
        ({"logits_student": RNG.normal(size=(N, 5))}, "numbers of classes disagree: head_weight 3, logits_student 5"),
        ({"logits_teacher": RNG.normal(size=(N, K))}, "logits_teacher are not what the head makes of features_teacher"),
        ({"inputs_paired": "no"}, "inputs_paired is 'no'; pass True or False"),
        ({"features_teacher": 1e200 * GOOD["features_teacher"]}, r"features_teacher has values up to .*e\+200, beyond 1e\+150"),
        (
            {
                "head_weight": 1e100 * GOOD["head_weight"],
                "features_student": 1e100 * GOOD["features_student"],
                "features_teacher": 1e100 * GOOD["features_teacher"],
            },
            "the head makes logits up to",
        ),
        ({"features_teacher": np.ma.masked_array(GOOD["features_teacher"])}, "features_teacher is a masked array"),
        ({"features_teacher": torch.ones(6, 4, dtype=torch.bfloat16)}, "features_teacher is bfloat16, too coarse"),
        (
            {"labels": np.full(6, 1e300)},
            r"labels has dtype float64, in which classes from 9,007,199,254,740,992 on are rounded",
        ),
        ({"labels": np.full(6, 2**31)}, r"labels has values beyond 2\^31"),
        ({"labels": np.full(6, 2049, np.float16)}, "labels has dtype float16, in which classes from 2,048 on are rounded"),
        ({"labels": np.full(6, 2.0**24, np.float32)}, "in which classes from 16,777,216 on are rounded"),
        ({"labels_student": np.zeros(N, int)}, "labels_student is for inputs_paired=False"),
        ({"inputs_paired": False}, "give both labels and labels_student"),
        (
            {name: GOOD[name][:1] for name in ("features_teacher", "features_student", "labels", "logits_student")},
            "1 sample; a",
        ),
        (
            {name: GOOD[name][:0] for name in ("features_teacher", "features_student", "labels", "logits_student")},
            "0 samples; a",
        ),
        ({"features_teacher": GOOD["features_teacher"][0]}, r"features_teacher has shape \(4,\)"),
    ],
)
def test_what_is_no_pair_is_refused_in_one_line(changes, message):
    with pytest.raises(InputError, match=message) as caught:
        made(**changes)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"logits_teacher": np.zeros((4, 3))}, "features of both networks, or the logits of both"),
        ({"features_teacher": np.zeros((4, 3)), "features_student": np.zeros((4, 3)), "logits_teacher": np.zeros((4, 3))}, "without stu"),
        ({"logits_teacher": np.zeros((4, 1)), "logits_student": np.zeros((4, 1))}, "at least two logits"),
        ({"logits_teacher": np.zeros((4, 3)), "logits_student": np.zeros((4, 3)), "head_weight": np.eye(3)}, "without features"),
        ({"features_teacher": np.zeros((4, 0)), "features_student": np.zeros((4, 0))}, "no columns"),
    ],
)  # fmt: skip
def test_parts_that_do_not_make_a_pair(arguments, message):
    with pytest.raises(InputError, match=message):
        Pair(**arguments)


def test_integers_and_tensors_become_float64():
    integers = np.arange(24).reshape(6, 4)
    pair = Pair(torch.tensor(integers), integers, labels=torch.arange(6) % 2)
    assert pair.features_teacher.dtype == pair.features_student.dtype == np.float64
    assert pair.labels.dtype == np.int64
    assert pair.classes is None
    assert "n=6" in repr(pair)


def test_a_pair_is_its_own():
    features = np.zeros((4, 2))
    pair = Pair(features, features)
    features += 1
    assert pair.features_teacher.max() == 0
    with pytest.raises(ValueError, match="read-only"):
        pair.features_teacher[0, 0] = 5


def test_one_large_sample_does_not_excuse_the_others():
    """The tolerance of the head check belongs to the row."""
    features = np.array(GOOD["features_teacher"])
    features[0] *= 1e6
    logits = features @ GOOD["head_weight"].T + GOOD["head_bias"]
    logits[1:] = 0.0
    with pytest.raises(InputError, match="not what the head makes"):
        made(features_teacher=features, logits_teacher=logits)


def test_round_trip_keeps_every_value_and_the_provenance(tmp_path):
    for pair in (
        made(provenance={"teacher": "a, b"}),
        made(labels=None),
        Pair(logits_teacher=2 * np.eye(3), logits_student=2 * np.eye(3)),
        made(inputs_paired=False, labels_student=np.zeros(N, int)),
    ):
        path = tmp_path / "pair.safetensors"
        pair.save(path)
        loaded = Pair.load(path)
        for name in ("features_teacher", "features_student", "labels", "labels_student", "logits_teacher", "logits_student", "head_weight", "head_bias"):  # fmt: skip
            np.testing.assert_array_equal(getattr(loaded, name), getattr(pair, name))
        assert loaded.inputs_paired == pair.inputs_paired
        assert pair.provenance.items() <= loaded.provenance.items()
        assert "kd2m_theory" in loaded.provenance


def test_float32_features_take_float32_space(tmp_path):
    wide, narrow = tmp_path / "wide.safetensors", tmp_path / "narrow.safetensors"
    features = RNG.normal(size=(500, 16))
    Pair(features, features).save(wide)
    single = features.astype(np.float32)
    Pair(single, single).save(narrow)
    assert narrow.stat().st_size < 0.6 * wide.stat().st_size
    np.testing.assert_array_equal(Pair.load(narrow).features_teacher, single)


def test_npz_is_read_and_audits_alike(tmp_path):
    path = tmp_path / "pair.npz"
    np.savez_compressed(path, **GOOD)
    assert audit(Pair.load(path)).measured == audit(made()).measured
    np.savez(path, **GOOD, inputs_paired=False, labels_student=GOOD["labels"])
    assert not Pair.load(path).inputs_paired


def pickled(path):
    np.savez(path, features_teacher=np.array([{"a": 1}], dtype=object))


def write_npz(**arrays):
    def write(path):
        np.savez(path, **arrays)

    return write


def write_safetensors(metadata, **arrays):
    def write(path):
        safetensors.numpy.save_file(arrays or {"features_teacher": np.eye(2)}, path, metadata)

    return write


def truncated(suffix):
    def write(path):
        if suffix == "safetensors":
            made().save(path)
            data = path.read_bytes()
        else:
            buffer = io.BytesIO()
            np.savez(buffer, **GOOD)
            data = buffer.getvalue()
        path.write_bytes(data[: len(data) // 2])

    return write


KIND = {"format": "kd2m-pair", "format_version": "1", "inputs_paired": "true", "provenance": "{}"}
FILES = {
    "truncated safetensors": ("p.safetensors", truncated("safetensors"), "not a whole safetensors file"),
    "truncated npz": ("p.npz", truncated("npz"), "not a whole .npz"),
    "text as safetensors": ("p.safetensors", lambda path: path.write_text("hello"), "not a whole safetensors file"),
    "text as npz": ("p.npz", lambda path: path.write_text("hello"), "not a whole .npz"),
    "empty file": ("p.safetensors", lambda path: path.write_bytes(b""), "not a whole safetensors file"),
    "empty npz": ("p.npz", lambda path: path.write_bytes(b""), "not a whole .npz"),
    "pickle inside": ("p.npz", pickled, "not a whole .npz of plain arrays"),
    "a lone array": ("p.npz", lambda path: path.write_bytes(_npy()), "single array"),
    "foreign safetensors": ("p.safetensors", write_safetensors(None), "something else, not a pair"),
    "unknown version": ("p.safetensors", write_safetensors(KIND | {"format_version": "9"}), "version 9; .* reads version 1"),
    "unknown npz version": ("p.npz", write_npz(**GOOD, format_version="9"), "version 9"),
    "no metadata": ("p.safetensors", write_safetensors({"format": "kd2m-pair", "format_version": "1"}), "lacks its metadata"),
    "unknown arrays": ("p.npz", write_npz(**GOOD, feats=np.eye(2)), "holds feats, which no pair has"),
    "not a pair": ("p.npz", write_npz(features_teacher=np.eye(2)), "features of one network only"),
    "NaN features": ("p.npz", write_npz(**(GOOD | {"features_teacher": np.full((N, D), np.nan)})), "holds 24 NaN"),
    "wrong ending": ("p.pt", lambda path: path.write_text("x"), "neither .safetensors nor .npz"),
    "a folder of another name": ("p", lambda path: path.mkdir(), r"is not a pair file \(it is a folder\)"),
    "missing, without an ending": ("p", lambda path: None, "there is no file"),
    "a stored audit": ("p.json", lambda path: path.write_text("{}"), "kd2m report shows a stored audit"),
    "missing": ("p.npz", lambda path: None, "there is no file"),
    "a word for true": ("p.safetensors", write_safetensors(KIND | {"inputs_paired": '"false"'}, **GOOD), "inputs_paired is 'false'"),
    "a number for true": ("p.npz", write_npz(**GOOD, inputs_paired=np.nan), "inputs_paired is nan|inputs_paired is np.float64"),
    "bfloat16": ("p.safetensors", lambda path: safetensors.torch.save_file({"features_teacher": torch.ones(2, 2, dtype=torch.bfloat16)}, path, KIND), "coarser than float32"),
    "a folder": ("p.safetensors", lambda path: path.mkdir(), r"is not a pair file \(it is a folder\)"),
}  # fmt: skip


def _npy():
    buffer = io.BytesIO()
    np.save(buffer, np.eye(2))
    return buffer.getvalue()


@pytest.mark.parametrize("case", FILES)
def test_bad_files_are_refused_in_one_line(case, tmp_path):
    name, write, message = FILES[case]
    path = tmp_path / name
    write(path)
    with pytest.raises(InputError, match=message) as caught:
        Pair.load(path)
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, PairFileError) or case in (
        "not a pair",
        "NaN features",
        "a word for true",
        "a number for true",
    )


def test_saving_refuses_what_cannot_be_written_and_leaves_nothing(tmp_path):
    folder = tmp_path / "folder.safetensors"
    folder.mkdir()
    for path, message in (
        (folder, "is a folder"),
        (tmp_path / "absent" / "p.safetensors", "does not exist; create it"),
        (tmp_path / "p.csv", r"does not end in \.safetensors, \.npz, \.parquet"),
    ):
        with pytest.raises(InputError, match=message):
            made().save(path)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["folder.safetensors"]


def test_a_failed_write_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "pair.safetensors"
    made().save(path)
    before = path.read_bytes()

    def full(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        made(labels=None).save(path)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["pair.safetensors"]


def test_report_is_plain_json_without_nan(tmp_path):
    report = audit(made(labels=None))
    report.to_json(tmp_path / "r.json")

    def refuse(constant):
        raise AssertionError(constant)

    data = json.loads((tmp_path / "r.json").read_text(), parse_constant=refuse)
    assert data["schema"] == "kd2m-audit/4"
    assert data["violations"] == []
    rows = {row["name"]: row for row in data["rows"]}
    assert rows["T5"]["status"] == "not applicable"
    assert rows["T5"]["upper"] is None
    assert rows["T0"]["upper"] == report["T0"].upper
    assert rows["T0"]["assumptions"][1] == {
        "name": "same inputs",
        "state": "vouched",
        "evidence": report["T0"].assumptions[1].evidence,
    }
    assert rows["T1.l2"]["details"]["L"] > 0


def test_table_shows_every_row_with_its_numbers():
    report = audit(made())
    text = report.table(every_row=True)
    for row in report.rows:
        line = next(line for line in text.splitlines() if line.split()[:1] == [row.name])
        assert row.verdict in line.split()
        assert row.assumed in line.split()
        if not row.applicable or row.direction == "lower":
            assert "–" in line or "∞" in line
            continue
        assert holds(*line.split()[1:3], row.lower, row.upper, 4)
    assert "none violated" in text
    assert max(map(len, text.splitlines())) <= 104
    assert "n/a: the pair is unlabelled; pass labels" in audit(made(labels=None)).table(every_row=True)
    assert str(report) == report.table()
    assert "T0" in report
    assert "T99" not in report
    assert list(report) == [row.name for row in report.rows]
