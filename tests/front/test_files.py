"""Files of others are looked at before they are read; ours are replaced as a user expects."""

import copy
import io
import json
import os
import pickle
import stat
import struct
import tracemalloc
import zipfile

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import torch

from kd2m_theory import AuditReport, InputError, Pair
from kd2m_theory.bounds.settings import Settings
from kd2m_theory.bounds.view import features_view
from kd2m_theory.commands.main import main
from kd2m_theory.files import check_distinct, check_writable, json_bytes, read_bytes, read_json, write_atomically
from kd2m_theory.parquet_files import read_parquet
from kd2m_theory.reporting.html import text
from kd2m_theory.reporting.sections import Code, Column, Line, Section, Table, paragraph
from kd2m_theory.reporting.terminal_view import plain
from kd2m_theory.terminal import complain, say
from kd2m_theory.validation.campaigns.campaign import read_campaign
from kd2m_theory.validation.campaigns.store import read_table
from kd2m_theory.validation.training.configuration import read_configuration
from kd2m_theory.validation.training.epoch_recorder import AtomicCheckpoints
from kd2m_theory.validation.training.networks import network
from kd2m_theory.validation.training.run_folder import read_weights
from kd2m_theory.validation.training.teacher_outputs import TeacherOutputs
from kd2m_theory.words import harmless

pytestmark = pytest.mark.skipif(os.name == "nt", reason="FIFOs and permission bits are those of POSIX")


@pytest.fixture
def pair():
    rng = np.random.default_rng(0)
    return Pair(
        rng.normal(size=(20, 3)),
        rng.normal(size=(20, 3)),
        np.arange(20) % 3,
        logits_student=rng.normal(size=(20, 3)),
        head_weight=rng.normal(size=(3, 3)),
        provenance={name: name for name in ["teacher", "student", "device", "torch", "seed"]},
    )


READERS = {
    "pair.npz": Pair.load,
    "pair.safetensors": Pair.load,
    "audit.json": AuditReport.from_json,
    "run.toml": read_configuration,
    "campaign.toml": read_campaign,
    "table.parquet": read_table,
    "history.parquet": lambda path: read_parquet(path, f"{path} is not a history"),
    "weights.safetensors": lambda path: read_weights(path, network("mlp-4", 3, (1, 2, 2), 0), "teacher"),
    "last.ckpt": lambda path: AtomicCheckpoints().load_checkpoint(path),
    "numbers.json": lambda path: read_json(path, f"{path} is not a record"),
}
SPECIAL = {
    "a FIFO": os.mkfifo,
    "a folder": os.mkdir,
    "a link to itself": lambda path: path.symlink_to(path.name),
    "an endless device": lambda path: path.symlink_to("/dev/zero"),
}


@pytest.mark.parametrize("what", SPECIAL)
@pytest.mark.parametrize("name", READERS)
def test_no_reader_waits_for_what_is_no_regular_file(name, what, tmp_path):
    SPECIAL[what](tmp_path / name)
    with pytest.raises(InputError, match=r"it is a folder|not a regular file|loop of links") as caught:
        READERS[name](tmp_path / name)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_kept_outputs_that_cannot_be_read_are_made_again(tmp_path):
    os.mkfifo(tmp_path / "epoch-0001.safetensors")
    outputs = TeacherOutputs(network("mlp-4", 3, (1, 2, 2), 0), tmp_path)
    outputs.start_epoch(0)
    made = outputs.batch(0, torch.ones(2, 1, 2, 2))
    assert made.logits.shape == (2, 3)


def npy(shape, body=b"", dtype="<f8"):
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": dtype, "fortran_order": False, "shape": shape})
    return buffer.getvalue() + body


def archive(path, members, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as file:
        for name, size, head in members:
            with file.open(name, "w") as member:
                member.write(head)
                for _ in range(size >> 20):
                    member.write(bytes(2**20))


HOSTILE = {
    "a bomb": ([("features_teacher.npy", 66 << 20, npy(((66 << 20) // 24, 3)))], "times its size"),
    "a huge shape": ([("features_teacher.npy", 0, npy((2**32, 3), bytes(64)))], "declares 103,079,215,104 bytes and holds 64"),
    "an impossible shape": ([("features_teacher.npy", 0, npy((2**62, 2**62), bytes(64)))], "declares"),
    "objects": ([("labels.npy", 0, npy((1,), b"\x80\x04N.", "|O"))], "holds pickled objects"),
    "a foreign name before a bomb": ([("x.npy", 66 << 20, npy((1, 1)))], "holds x|times its size"),
    "a name twice": ([("labels.npy", 0, npy((1,), bytes(8)))] * 2, "two members of one name"),
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_headers_of_archives_are_read_before_their_data(name, tmp_path):
    members, words = HOSTILE[name]
    archive(tmp_path / "p.npz", members)
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match=words):
            Pair.load(tmp_path / "p.npz")
        assert tracemalloc.get_traced_memory()[1] < 2**24
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_an_archive_is_packed_as_numpy_packs(method, tmp_path):
    archive(tmp_path / "p.npz", [("labels.npy", 0, npy((1,), bytes(8)))], method)
    with pytest.raises(InputError, match="packed neither by NumPy nor by torch"):
        Pair.load(tmp_path / "p.npz")


def test_packed_pairs_are_read(pair, tmp_path):
    arrays = {name: getattr(pair, name) for name in ("features_teacher", "features_student", "labels", "head_weight")}
    np.savez_compressed(tmp_path / "p.npz", **arrays, logits_student=np.zeros((20, 3)))
    assert np.array_equal(Pair.load(tmp_path / "p.npz").features_teacher, pair.features_teacher)


def test_a_checkpoint_is_checked_before_it_is_unpacked(tmp_path):
    torch.save({"epoch": 0, "weights": torch.zeros(1000)}, tmp_path / "last.ckpt")
    assert AtomicCheckpoints().load_checkpoint(tmp_path / "last.ckpt")["epoch"] == 0
    data = bytearray((tmp_path / "last.ckpt").read_bytes())
    data[data.index(bytes(500)) + 100] = 7  # a weight
    (tmp_path / "last.ckpt").write_bytes(data)
    with pytest.raises(InputError, match=r"last\.ckpt is not a checkpoint of a run"):
        AtomicCheckpoints().load_checkpoint(tmp_path / "last.ckpt")
    archive(tmp_path / "last.ckpt", [("archive/data.pkl", 80 << 20, b"")])
    with pytest.raises(InputError, match=r"last\.ckpt is not a checkpoint of a run"):
        AtomicCheckpoints().load_checkpoint(tmp_path / "last.ckpt")


def test_parquet_says_how_many_rows_it_has(tmp_path):
    piece = pyarrow.table({"epoch": pyarrow.nulls(2**22, pyarrow.float64())})
    with pyarrow.parquet.ParquetWriter(tmp_path / "t.parquet", piece.schema) as file:
        for _ in range(20):
            file.write_table(piece)
    assert (tmp_path / "t.parquet").stat().st_size < 2**18
    with pytest.raises(InputError, match="declares 83,886,080 rows of 1 columns"):
        read_parquet(tmp_path / "t.parquet", "it is no table")


JSON = {
    "a whole number of thousands of digits": '{"a": ' + "9" * 5000 + "}",
    "a whole number of 65 bits": '{"a": 18446744073709551616}',
    "beyond float64": '{"a": 1e999}',
    "not a number": '{"a": NaN}',
    "infinity": '{"a": [-Infinity]}',
    "nested": '{"a": ' + "[" * 100_000,
    "Latin-1": b'{"a": "\xe9"}',
    "a list": "[]",
    "nothing": "",
}


@pytest.mark.parametrize("name", JSON)
def test_json_of_others_is_one_line(name, tmp_path):
    data = JSON[name]
    (tmp_path / "r.json").write_bytes(data if isinstance(data, bytes) else data.encode())
    with pytest.raises(InputError, match=r"^r is no record \(.{1,250}\)$"):
        read_json(tmp_path / "r.json", "r is no record")


def test_a_byte_order_mark_is_no_part_of_a_text(tmp_path):
    (tmp_path / "r.json").write_bytes(b'\xef\xbb\xbf{"a": 18446744073709551615, "b": -1.5}')
    assert read_json(tmp_path / "r.json", "") == {"a": 2**64 - 1, "b": -1.5}
    (tmp_path / "c.toml").write_bytes(b"\xef\xbb\xbf" + b"seed = -1")
    with pytest.raises(InputError, match=r"lacks|population"):
        read_configuration(tmp_path / "c.toml")


TOML = {
    "a whole number of thousands of digits": "seed = " + "9" * 5000,
    "a whole number of 65 bits": "seed = 9223372036854775808",
    "a hexadecimal number": "seed = 0x" + "f" * 6000,
    "nested": "seed = " + "[" * 100_000,
    "a long key": "a" + ".a" * 20_000 + " = 1",
    "a long quoted key": "a" + ' . "a"' * 20_000 + " = 1",
    "Latin-1": b"# \xe9",
    "too large": "#" + "x" * 2**18,
}


@pytest.mark.parametrize("name", TOML)
def test_toml_of_others_is_one_line(name, tmp_path):
    data = TOML[name]
    (tmp_path / "c.toml").write_bytes(data if isinstance(data, bytes) else data.encode())
    for read in (read_configuration, read_campaign):
        with pytest.raises(InputError, match=r"c\.toml (is not TOML|cannot be read)") as caught:
            read(tmp_path / "c.toml")
        assert len(str(caught.value)) < 400


def test_a_file_larger_than_a_text_is_not_read(tmp_path):
    with open(tmp_path / "r.json", "wb") as file:
        file.truncate(2**40)
    with pytest.raises(InputError, match="it has 1,048,576 MiB, more than 64"):
        read_bytes(tmp_path / "r.json", "no")


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664, 0o444])
def test_a_file_that_is_replaced_keeps_its_permissions(mode, tmp_path):
    path = tmp_path / "a.json"
    path.write_text("old")
    path.chmod(mode)
    write_atomically(path, b"new")
    assert stat.S_IMODE(path.stat().st_mode) == mode
    assert path.read_bytes() == b"new"


def test_a_new_file_has_what_the_mask_leaves(tmp_path):
    before = os.umask(0o027)
    try:
        write_atomically(tmp_path / "new", b"")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o640


def test_what_a_link_points_to_is_replaced(tmp_path):
    (tmp_path / "to").write_text("old")
    (tmp_path / "link").symlink_to("to")
    write_atomically(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "to").read_bytes() == b"new"


def test_a_loop_of_links_is_named_before_any_work(tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(InputError, match="loop of links"):
        check_writable(tmp_path / "loop")
    check_distinct(PAIR=tmp_path / "loop", json=tmp_path / "other")
    with pytest.raises(InputError, match="are both"):
        check_distinct(PAIR=tmp_path / "loop", json=tmp_path / "loop")


def test_half_of_a_surrogate_pair_is_json():
    assert json.loads(json_bytes({"a": "\ud800é"})) == {"a": "\ud800é"}


def test_saving_twice_gives_the_same_bytes(pair, tmp_path):
    for k in range(20):  # the library orders five words in 120 ways
        pair.save(tmp_path / f"{k}.safetensors")
    assert len({(tmp_path / f"{k}.safetensors").read_bytes() for k in range(20)}) == 1
    data = (tmp_path / "0.safetensors").read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    assert size % 8 == 0
    again = Pair.load(tmp_path / "0.safetensors")
    again.save(tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == data


def _arrays(made):
    return {name: value for name, value in vars(made).items() if isinstance(value, np.ndarray)}


WAYS = {
    "made": lambda pair, folder: pair,
    "copied": lambda pair, folder: copy.copy(pair),
    "copied deep": lambda pair, folder: copy.deepcopy(pair),
    "unpickled": lambda pair, folder: pickle.loads(pickle.dumps(pair)),
    "rows": lambda pair, folder: pair.taken(np.arange(5), np.arange(5)),
    "loaded": lambda pair, folder: (pair.save(folder / "p.safetensors"), Pair.load(folder / "p.safetensors"))[1],
}


@pytest.mark.parametrize("way", WAYS)
def test_a_pair_is_read_only_to_its_last_array(way, pair, tmp_path):
    made = WAYS[way](pair, tmp_path)
    # Rows that were taken know the numbers that they had.
    assert set(_arrays(made)) - {"row_numbers"} == set(_arrays(pair)) >= {"labels", "head_bias"}
    for name, value in _arrays(made).items():
        with pytest.raises(ValueError, match="read-only"):
            value[...] = 0
        assert name == "" or value.base is None or not value.base.flags.writeable
    with pytest.raises(TypeError):
        made.provenance["teacher"] = "another"
    with pytest.raises(AttributeError):
        made.labels = None
    with pytest.raises(ValueError, match="read-only"):
        made.shared_head[0] = 0


def test_a_pair_does_not_share_memory_with_what_it_was_made_of():
    given = [np.eye(3), np.eye(3), np.arange(3), np.eye(3), np.zeros(3)]
    made = Pair(given[0], given[1], given[2], head_weight=given[3], head_bias=given[4])
    for value in given:
        assert value.flags.writeable
        assert not any(np.shares_memory(value, mine) for mine in _arrays(made).values())


def test_what_an_audit_computes_once_is_read_only(pair):
    view = features_view(pair, Settings())
    view.timed(lambda each: each.lengths())
    for value in (view.timed(lambda each: each.lengths())[0], view.class_lipschitz):
        with pytest.raises(ValueError, match="read-only"):
            value[...] = 0


ESCAPES = "\x1b[31m\x9b2J\u202e\x07\udce9\x00"


def test_what_a_terminal_obeys_is_replaced_on_every_way_out(capsys):
    words = harmless(ESCAPES)
    assert words == "\ufffd[31m\ufffd2J\ufffd\ufffd\ufffd\ufffd"
    assert str(text(ESCAPES)) == words
    say(ESCAPES)
    complain(ESCAPES)
    seen = capsys.readouterr()
    assert (seen.out, seen.err) == (f"{words}\n", f"{words}\n")
    details = (paragraph(ESCAPES), Code(ESCAPES, ""))
    for line in (Line(cells=(ESCAPES,)), Line(cells=(ESCAPES,), details=details)):
        table = Table(name="t", columns=(Column(ESCAPES),), lines=(line,), caption=ESCAPES)
        assert harmless(plain([Section(title=ESCAPES, parts=(table,))])) == plain([Section(title=ESCAPES, parts=(table,))])


def test_square_brackets_are_no_markup(capsys):
    say("written: [/red][bold]x :smile:")
    assert capsys.readouterr().out == "written: [/red][bold]x :smile:\n"


def test_errors_of_the_command_are_harmless(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr("sys.argv", ["kd2m", "audit", str(tmp_path / f"{ESCAPES[:-1]}.npz")])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    seen = capsys.readouterr().err.rstrip("\n")
    assert harmless(seen) == seen.replace("\n", " ")
