"""An audit that is interrupted, limited, or only estimated, as a shell sees it."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from kd2m_theory import AuditReport, Pair
from kd2m_theory.bounds.work import Estimate, Rates, RowEstimate
from kd2m_theory.reporting import estimate_view

# A row that sends Ctrl-C to its own process: the signal comes where a user's would, in the middle of a computation.
OWN = """
import os, signal, sys
from dataclasses import replace

from kd2m_theory.bounds import ROWS
from kd2m_theory.bounds.work import Part, Work

base = next(row for row in ROWS if row.name == "T0")

def presses(times):
    def compute(view):
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for _ in range(times):
            os.kill(os.getpid(), signal.SIGINT)
        raise AssertionError("the signal did not come")
    return compute

def work(size):
    return (Part("", Work(%s)),)

ROW = replace(base, name="own", compute=presses(1), work=work)
"""


@pytest.fixture
def pair(tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "pair.safetensors"
    Pair(rng.normal(size=(30, 3)), rng.normal(size=(30, 3)), labels=np.arange(30) % 3, head_weight=np.eye(3)).save(path)
    return path


@pytest.fixture
def own(tmp_path, monkeypatch):
    def write(work):
        (tmp_path / "presses.py").write_text(OWN % work, encoding="utf-8")
        monkeypatch.syspath_prepend(tmp_path)
        sys.modules.pop("presses", None)
        return "presses:ROW"

    before = signal.getsignal(signal.SIGINT)
    yield write
    signal.signal(signal.SIGINT, before)
    sys.modules.pop("presses", None)


@pytest.mark.parametrize(("work", "left"), [("0.0", 70), ("2e7", 1)])
def test_ctrl_c_reports_what_is_there_and_ends_with_130(command, pair, own, work, left):
    status, out, err = command("audit", pair, "--rows", own(work), "--json", "r.json", "--report", "r.html")
    assert (status, err) == (130, "")
    assert f"The audit was interrupted: {left} of 77 rows" in " ".join(out.split())
    report = AuditReport.from_json("r.json")
    assert (len(report.not_computed), report["own"].status) == (left, "not computed")
    assert json.loads(Path("r.json").read_text(encoding="utf-8"))["machine_dependent"] is True
    # Shown again, it is no interrupted command.
    status, again, err = command("report", "r.json")
    assert (status, again, err) == (0, out, "")


@pytest.mark.long
def test_ctrl_c_in_a_process_of_its_own_leaves_no_traceback(pair, own):
    target = own("0.0")
    words = [sys.executable, "-m", "kd2m_theory", "audit", str(pair), "--rows", target]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=pair.parent, env=os.environ)
    assert (done.returncode, done.stderr) == (130, "")
    assert "The audit was interrupted" in done.stdout


def test_seconds_stand_in_the_report(command, pair):
    status, out, err = command("audit", pair, "--seconds", "1e-9", "--only", "T0", "--only", "F1.gap", "--json", "r.json")
    assert (status, err) == (0, "")
    assert "2 of 2 rows are not computed" in " ".join(out.split())
    assert AuditReport.from_json("r.json").settings["seconds"] == 1e-9
    assert command("audit", pair, "--seconds", "0")[0] == 2


def test_shards_are_estimated_limited_and_interrupted_as_their_pair_is(command, pair, own, monkeypatch):
    Pair.load(pair).save("cut.safetensors", shard_rows=11)
    monkeypatch.setattr("kd2m_theory.bounds.ladder.measured_rates", lambda: Rates(steps=1e8, products=1e9))
    target = own("2e7")
    for name, words in {"estimate": ["--estimate"], "limit": ["--seconds", "1e-9"], "ctrl-c": ["--rows", target]}.items():
        (status, whole, _), found = (command("audit", each, *words) for each in (pair, "cut.safetensors"))
        assert (found[0], found[1].replace("cut.safetensors", str(pair))) == (status, whole), name


def test_an_estimate_lists_the_rows_and_computes_nothing(command, pair, monkeypatch):
    from kd2m_theory.bounds import Ladder

    def computes(*_arguments, **_options):
        raise AssertionError("it computes")

    for name in ("evaluate", "measure", "clipping", "breakdown"):
        monkeypatch.setattr(Ladder, name, computes)
    status, out, err = command("audit", pair, "--estimate", "--only", "T2.w2", "--only", "F1.gap")
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].startswith("expected: ")
    assert [line.split()[0] for line in lines[3:5]] == ["F1.gap", "T2.w2"]


def test_long_work_is_announced_before_it_begins(command, pair, monkeypatch):
    monkeypatch.setattr("kd2m_theory.bounds.ladder.measured_rates", lambda: Rates(steps=1.0, products=1.0))
    status, out, err = command("audit", pair, "--only", "T2.w2")
    assert status == 0
    assert err.startswith("expected: about ")
    assert len(err.splitlines()) == 1
    assert "expected" not in out


@pytest.mark.parametrize(
    ("seconds", "memory", "words"),
    [(29.0, 1e9, ""), (31.0, 1e9, "about 31 s for 1 row (T5: 31 s)"), (1.0, 9e9, "9 GB of 10 GB memory")],
)
def test_an_announcement_says_what_is_long_or_scarce(seconds, memory, words):
    expected = Estimate(rows=(RowEstimate(name="T5", seconds=seconds, memory=memory),), samples=0.0)
    said = estimate_view.announcement(expected, available=10**10)
    assert bool(said) == bool(words)
    assert words in said


def test_no_line_of_a_piped_table_ends_in_a_space(command, pair):
    for arguments in (["audit", pair, "--all", "--only", "T5"], ["audit", pair, "--only", "T5", "--estimate"]):
        _, out, _ = command(*arguments)
        assert not [line for line in out.splitlines() if line != line.rstrip()], arguments
