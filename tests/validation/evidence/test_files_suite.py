"""A sample of the suite `files`, and commands that are wrong on purpose."""

import sys
import time

import numpy as np
import pytest

from kd2m_theory.validation.evidence import file_material, files
from kd2m_theory.validation.evidence.file_mutations import BYTES
from kd2m_theory.validation.evidence.suite import Tally

QUICK = {name: kind for name, kind in files.KINDS.items() if name.startswith("pair")}


def sample(items):
    tally = Tally()
    for item in range(items):
        for case in files.SUITE.item(1_000_000, item):
            tally.add(case, f"1000000:{item}")
    return tally


@pytest.fixture
def quick(monkeypatch):
    """Pairs whose bytes are damaged: in this version without a known fault."""
    monkeypatch.setattr(files, "KINDS", QUICK)
    for name in ("HEADER", "NPZ"):
        monkeypatch.setattr(files, name, {})
    return monkeypatch


def test_damaged_pairs_are_refused_in_one_line(quick):
    tally = sample(60)
    assert tally.failures == []
    assert set(tally.strata["damage"]) >= set(BYTES)
    assert tally.strata["answer"]["refused"][0] > 30


def _prints_and_exits(text, status):
    def main():
        print(text, file=sys.stderr)
        raise SystemExit(status)

    return main


def _raises():
    raise KeyError("labels")


def _sleeps():
    try:
        time.sleep(60)
    except Exception:
        raise SystemExit(2) from None


@pytest.mark.parametrize(
    ("main", "words"),
    [
        (_raises, "a traceback: KeyError: 'labels'"),
        (_sleeps, "no answer after 10 s of work or 0.3 s of waiting"),
        (_prints_and_exits("kd2m: no", 1), "status 1: kd2m: no"),
        (_prints_and_exits("kd2m: no\nand no", 2), "2 lines instead of one"),
        (_prints_and_exits("Traceback (most recent call last):", 2), "a traceback on standard error"),
        (_prints_and_exits("kd2m: Unable to allocate 7.45 GiB for an array", 2), "refused only when 1 GiB were not enough"),
        (_prints_and_exits("", 2), "0 lines instead of one"),
    ],
    ids=["raises", "hangs", "violated", "two lines", "prints a traceback", "fills the memory", "silent"],
)
def test_a_command_that_answers_otherwise_is_caught(quick, main, words):
    quick.setattr(files, "_command", lambda: main)
    quick.setattr(files, "WAITING", 0.3)
    tally = sample(1)
    assert tally.failed == 1
    assert words in tally.failures[0]["failure"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the memory of a process")
def test_memory_is_limited_while_a_command_runs_and_only_then(quick):
    def main():
        try:
            bytearray(3 * 2**29)
        except MemoryError:
            raise SystemExit("caught") from None

    quick.setattr(files, "_command", lambda: main)
    assert files.answer(("audit",)).status == 1
    assert len(bytearray(3 * 2**29)) == 3 * 2**29


def test_whole_files_are_accepted(tmp_path):
    for name, data in (("a.safetensors", file_material.safetensors()), ("a.npz", file_material.npz())):
        (tmp_path / name).write_bytes(data)
        found = files.answer(("audit", str(tmp_path / name)))
        assert (found.status, files.verdict(found)) == (0, "")


@pytest.mark.parametrize("kind", [kind for kind in files.KINDS if kind not in ("run folder", "store")])
def test_every_kind_of_attempt_is_the_same_again(kind):
    """The name of a case is all that it takes to repeat it: words and bytes."""

    def made():
        attempt = files.KINDS[kind][1](np.random.default_rng(3))
        folder = file_material.folder() / "attempt"
        seen = {}
        for path in sorted(folder.rglob("*")):
            if path.is_file() and not path.is_symlink():
                seen[path.relative_to(folder)] = path.read_bytes()
        return attempt, seen

    assert made() == made()
