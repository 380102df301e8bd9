"""What is around suites: resuming, the budget, processes that die, evidence of another version, and no evidence at all."""

import dataclasses
import json
import sys

import planted_suites as planted
import pytest

from kd2m_theory import InputError
from kd2m_theory.validation.evidence import __main__ as command
from kd2m_theory.validation.evidence import blocks, runner, tables


@pytest.fixture
def ask(monkeypatch, tmp_path):
    """The command on planted suites."""

    def run(*suites, more=(), minutes="5"):
        monkeypatch.setattr(command, "suites", lambda only: tuple(each for each in suites if only in (None, each.name)))
        where = ["--out", str(tmp_path / "blocks"), "--tables", str(tmp_path)]
        return command.main([*where, "--minutes", minutes, "--workers", "2", *more])

    return run


def table_of(suite, folder):
    return tables.read(folder / tables.file_name(suite.name))


def test_all_blocks_of_all_suites_are_counted_and_a_failure_is_named(ask, tmp_path, capsys):
    assert ask(planted.HOLDS, planted.FAILS) == 1
    holds, fails = (table_of(suite, tmp_path) for suite in (planted.HOLDS, planted.FAILS))
    assert (holds["cases"], holds["failed"], holds["held"], holds["complete"]) == (6, 0, True, True)
    assert fails["cases"] == 6
    assert fails["failed"] == fails["strata"]["parity"]["odd"]["cases"] == fails["strata"]["parity"]["odd"]["failed"] > 0
    assert fails["strata"]["parity"]["even"]["failed"] == 0
    said = capsys.readouterr().out
    assert "written" in said
    assert f"--only fails --case {fails['failures'][0]['case']}" in said
    # The case that it names shows the failure again, alone.
    named = fails["failures"][0]
    block, item = map(int, named["case"].split(":"))
    (again,) = planted.FAILS.item(block, item)
    assert (again.failure, again.strata["number"]) == (named["failure"], named["number"])
    assert ask(planted.HOLDS, planted.FAILS, more=["--only", "fails", "--case", named["case"]]) == 1
    assert f"FAILED: parity odd, number {named['number']}: odd" in capsys.readouterr().out
    assert ask(planted.HOLDS) == 0


def test_a_short_run_does_not_replace_the_table_of_a_long_one(ask, tmp_path, capsys):
    assert ask(planted.HOLDS) == 0
    path = tmp_path / tables.file_name("holds")
    longer = json.loads(path.read_text())
    longer["blocks"]["done"] += 1
    path.write_text(json.dumps(longer))
    assert ask(planted.HOLDS) == 0
    assert json.loads(path.read_text()) == longer
    assert f"holds {longer['blocks']['done']} blocks and stays" in capsys.readouterr().out
    assert tables.read(tmp_path / "blocks" / tables.file_name("holds"))["blocks"]["done"] == longer["blocks"]["done"] - 1


def test_a_rerun_continues_and_again_begins_anew(ask, tmp_path, monkeypatch):
    assert ask(planted.HOLDS) == 0
    begun = []
    with monkeypatch.context() as patch:
        patch.setattr(runner, "workers", lambda _count: Idle(begun))
        assert ask(planted.HOLDS) == 0
    assert not begun  # nothing is left, so nobody works
    (folder,) = (tmp_path / "blocks" / "holds").iterdir()
    (folder / "1.json").unlink()
    part = runner.begun(planted.HOLDS, tmp_path / "blocks")
    assert (sorted(part.blocks), part.todo) == ([0, 2], [1])
    assert runner.begun(planted.HOLDS, tmp_path / "blocks", again=True).todo == [0, 1, 2]
    assert not list(folder.iterdir())


class Idle:
    """Workers that only say what they are asked for."""

    idle, busy, warm = True, False, frozenset()

    def __init__(self, begun):
        self.begun = begun

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def begin(self, _suite, block):
        self.begun.append(block)


def test_a_killed_process_loses_its_block_and_no_other(ask, tmp_path, capsys):
    assert ask(planted.KILLS) == 1
    found = table_of(planted.KILLS, tmp_path)
    assert 0 < found["blocks"]["lost"] < 6
    assert found["blocks"]["done"] + found["blocks"]["lost"] == 6
    assert all("signal 9" in words or "without an answer" in words for words in found["blocks"]["why"])
    assert found["cases"] == found["blocks"]["done"]
    assert (found["held"], found["complete"]) == (False, False)
    assert "lost" in capsys.readouterr().out
    # A lost block is tried again.
    assert len(runner.begun(planted.KILLS, tmp_path / "blocks").todo) == found["blocks"]["lost"]


@pytest.mark.parametrize(
    ("suite", "words"),
    [
        (planted.HANGS, "no answer after 2 s"),
        (planted.RAISES, "ValueError: the oracle"),
        pytest.param(
            planted.EATS,
            "it needs more than 0.25 GiB",
            marks=pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the memory of a process"),
        ),
    ],
    ids=["hangs", "raises", "eats"],
)
def test_a_block_without_an_answer_is_a_failure_with_its_reason(ask, tmp_path, suite, words):
    assert ask(suite) == 1
    found = table_of(suite, tmp_path)
    assert found["blocks"]["lost"] == 1
    assert words in found["blocks"]["why"][0]


def test_no_case_is_no_success(ask, tmp_path, capsys):
    assert ask(planted.NOTHING) == 2
    assert not (tmp_path / tables.file_name("nothing")).exists()
    assert "nothing incomplete" in capsys.readouterr().err


def test_a_budget_that_is_spent_leaves_evidence_that_is_incomplete(ask, tmp_path):
    assert ask(planted.HOLDS, minutes="1e-9") == 2
    assert not (tmp_path / tables.file_name("holds")).exists()
    assert ask(planted.HOLDS) == 0


def test_what_is_finished_when_it_is_stopped_is_kept_and_written(ask, tmp_path, monkeypatch, capsys):
    def stop(_parts):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(command, "_say", stop)
        assert ask(planted.HOLDS) == 2
    assert "stopped; the same command continues" in capsys.readouterr().err
    found = table_of(planted.HOLDS, tmp_path)
    assert (found["blocks"]["done"], found["cases"], found["complete"]) == (1, 2, False)
    assert ask(planted.HOLDS) == 0


def test_time_goes_to_the_suite_that_had_least():
    def part(suite, spent):
        return runner.Progress(suite, None, {}, [0], spent)

    parts = [part(planted.HOLDS, 50.0), part(planted.FAILS, 20.0)]
    assert runner._next(parts, 0.0, set(), 10.0).suite is planted.FAILS
    # What is loaded goes on for a while, so that libraries are not loaded for every block.
    assert runner._next(parts, 0.0, {"holds"}, 60.0).suite is planted.HOLDS
    assert runner._next(parts, 0.0, {"holds"}, 10.0).suite is planted.FAILS
    parts[1].began[3] = 0.0  # a block under way counts as spent
    assert runner._next(parts, 100.0, set(), 10.0).suite is planted.HOLDS
    parts[0].todo.clear()
    parts[1].todo.clear()
    assert runner._next(parts, 0.0, set(), 10.0) is None


def test_blocks_of_another_version_numbers_or_code_are_not_mixed_in(ask, tmp_path, monkeypatch):
    assert ask(planted.HOLDS) == 0
    (folder,) = (tmp_path / "blocks" / "holds").iterdir()
    with monkeypatch.context() as patch:
        patch.setattr(blocks, "NUMBERS", blocks.NUMBERS + 1)
        other = runner.begun(planted.HOLDS, tmp_path / "blocks")
        assert (other.blocks, other.todo) == ({}, [0, 1, 2])
        other.store.folder.mkdir()
        (other.store.folder / "0.json").write_bytes((folder / "0.json").read_bytes())
        with pytest.raises(InputError, match=r"0\.json is not block 0 of this suite, version and code"):
            other.store.kept()
    with monkeypatch.context() as patch:
        patch.setattr(blocks, "__version__", "0.0.1")
        assert runner.begun(planted.HOLDS, tmp_path / "blocks").blocks == {}
    larger = dataclasses.replace(planted.HOLDS, items=3)
    assert runner.begun(larger, tmp_path / "blocks").blocks == {}
    assert planted.HOLDS.code() == planted.HOLDS.code() != larger.code()
    assert len(runner.begun(planted.HOLDS, tmp_path / "blocks").blocks) == 3


def test_a_damaged_block_is_refused_by_name(ask, tmp_path, capsys):
    assert ask(planted.HOLDS) == 0
    (folder,) = (tmp_path / "blocks" / "holds").iterdir()
    for damage in (b"", b"{", b"[]", b'{"block": 0}', b"\xff", b"[" * 100_000):
        (folder / "2.json").write_bytes(damage)
        assert ask(planted.HOLDS) == 2
        assert "2.json is not a whole block" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--minutes", "0"], "--minutes is 0"),
        (["--minutes", "nan"], "--minutes is nan"),
        (["--workers", "0"], "--workers is 0"),
        (["--only", "rows", "--case", "7"], "--case is '7'"),
        (["--case", "1:2"], "the suite with --only"),
        (["--only", "raws"], "did you mean 'rows'?"),
        (["--only", "transport", "--case", "0:99999"], "no case 0:99999; a block has items 0 to"),
    ],
)
def test_what_cannot_be_asked_is_refused_in_one_line(tmp_path, more, words, capsys):
    assert command.main(["--out", str(tmp_path / "o"), "--tables", str(tmp_path), *more]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert len(said.splitlines()) == 1


def test_a_table_is_read_back_or_refused(ask, tmp_path):
    assert ask(planted.HOLDS) == 0
    path = tmp_path / tables.file_name("holds")
    found = json.loads(path.read_text())
    for broken in ({**found, "schema": "x"}, {**found, "cases": "6"}, [found]):
        path.write_text(json.dumps(broken))
        with pytest.raises(InputError, match="is not a table of evidence"):
            tables.read(path)
