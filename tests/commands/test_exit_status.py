"""What the command ends with when it is not a result: a fault of ours, a reader that went away, code of the user's that exits."""

import os
import shlex
import subprocess
import sys

import numpy as np
import pytest

from kd2m_theory import Pair
from kd2m_theory.commands import main as cli


@pytest.fixture
def pair(tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "pair.safetensors"
    Pair(rng.normal(size=(30, 3)), rng.normal(size=(30, 3)), labels=np.arange(30) % 3, head_weight=np.eye(3)).save(path)
    return path


def test_a_fault_of_ours_is_a_traceback_and_status_70(command, pair, monkeypatch):
    def broken(*_arguments, **_options):
        raise ZeroDivisionError("planted")

    monkeypatch.setattr(Pair, "load", broken)
    status, out, err = command("audit", pair)
    assert (status, out) == (70, "")
    assert "ZeroDivisionError: planted" in err
    assert err.splitlines()[-1].startswith("kd2m: this is a fault of kd2m-theory")


def test_standard_output_is_given_back(command, pair):
    before = sys.stdout
    command("audit", pair)
    command("audit", pair.with_name("absent"))
    assert sys.stdout is before


@pytest.mark.parametrize("arguments", [["theory", "show", "T5"], ["theory", "list"]])
@pytest.mark.long
def test_a_reader_that_went_away_ends_the_command_without_a_word(arguments):
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "kd2m_theory", *arguments], stdout=write, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize("code", ["import sys\nsys.exit(0)\n", "def distance(x, y):\n    raise SystemExit(0)\n"])
def test_a_metric_that_exits_has_failed(command, tmp_path, monkeypatch, code):
    (tmp_path / "metric_that_exits.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    status, out, err = command("metric", "check", "metric_that_exits:distance", "--examples", "5")
    sys.modules.pop("metric_that_exits", None)
    assert status in (1, 2)
    assert "SystemExit" in out + err


def test_the_statuses_are_all_different():
    assert len({0, 1, 2, 130, 141, cli._FAULT}) == 6


@pytest.mark.parametrize("labels", [None, pytest.param([0, 1, 2] * 20, marks=pytest.mark.long)])
def test_what_to_type_next_works_as_it_is_printed(command, tmp_path, labels):
    rng = np.random.default_rng(0)
    pair = tmp_path / "pair.npz"
    logits = dict(zip(("logits_teacher", "logits_student"), rng.normal(size=(2, 60, 3)), strict=True))
    np.savez(pair, **logits, **({} if labels is None else {"labels": labels}))
    _, out, _ = command("audit", pair)
    items = out[out.index("next: ") + len("next: ") :].replace("   ", "\n").splitlines()
    assert len(items) == (3 if labels else 4)
    for item in items:
        words = shlex.split(item.partition(" (")[0].replace("PAIR", str(pair)))
        status, _, err = command(*(words[1:] if words[0] == "kd2m" else ["audit", pair, *words]))
        assert (status, err) == (0, ""), item
