"""`kd2m compare`: what it prints and writes, and how it refuses."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from kd2m_theory import Pair, StudentComparison


@pytest.fixture
def files():
    """Three pairs in the working folder: two students of one teacher, and one of other inputs."""
    rng = np.random.default_rng(0)
    labels = rng.integers(3, size=200)
    teacher, large, small = (size * np.eye(3)[labels] + rng.normal(size=(200, 3)) for size in (5, 4.5, 1.0))
    for folder in ("a", "b"):
        Path(folder).mkdir()
    for name, student in (("a/large", large), ("b/small", small), ("b/large", small)):
        Pair(labels=labels, logits_teacher=teacher, logits_student=student).save(f"{name}.safetensors")
    Pair(labels=labels[1:], logits_teacher=teacher[1:], logits_student=large[1:]).save("other.safetensors")


@pytest.fixture(autouse=True)
def _in_the_folder_of_the_command(command, files):
    """The files lie where the command runs."""


def test_it_prints_the_comparison_and_writes_its_files(command):
    status, out, err = command(
        "compare", "a/large.safetensors", "b/small.safetensors", "--json", "c.json", "--figure", "c.png", "--report", "c.html"
    )
    assert (status, err) == (0, "")
    assert "Best student: large. Surely worse: small." in out
    assert [line.rstrip() for line in out.splitlines()] == str(StudentComparison.from_json("c.json")).splitlines()
    assert "kd2m compare a/large.safetensors b/small.safetensors --json" in Path("c.html").read_text(encoding="utf-8")
    assert Path("c.png").read_bytes().startswith(b"\x89PNG")


def test_names_are_those_of_the_files_or_those_that_are_given(command):
    files = ("a/large.safetensors", "b/large.safetensors")
    assert "Best student: a/large. Surely worse: b/large." in command("compare", *files)[1]
    status, out, _ = command(
        "compare", *files, "--names", "wide, narrow", "--delta", "0.1", "--loss-bound", "3", "--json", "c.json"
    )
    assert status == 0
    assert "Best student: wide. Surely worse: narrow." in out
    stored = json.loads(Path("c.json").read_text(encoding="utf-8"))
    assert (stored["delta"], stored["bound"], [each["name"] for each in stored["networks"]]) == (
        0.1,
        3.0,
        ["wide", "narrow", "teacher"],
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["a/large.safetensors"], "there is 1 student; a comparison needs at least two"),
        (["a/large.safetensors", "other.safetensors"], "large has 200 rows and other has 199"),
        (["a/large.safetensors", "none.npz"], "there is no file none.npz"),
        (["a/large.safetensors", "b/small.safetensors", "--delta", "0.95"], "delta is 0.95"),
        (["a/large.safetensors", "b/small.safetensors", "--names", "one"], "1 name for 2 pairs"),
        (["a/large.safetensors", "b/small.safetensors", "--figure", "c.gif"], "a picture ends in"),
        (["a/large.safetensors", "b/small.safetensors", "--json", "no/c.json"], "the folder no does not exist"),
        (["a/large.safetensors", "a/large.safetensors"], "PAIR 1 and PAIR 2 are both a/large.safetensors"),
        (["a/large.safetensors", "b/small.safetensors", "--report", "a/large.safetensors"], "are both a/large.safetensors"),
    ],
)
def test_an_input_at_fault_is_one_line_and_nothing_is_written(command, arguments, words):
    before = sorted(map(str, Path().rglob("*")))
    status, out, err = command("compare", *arguments)
    assert (status, out) == (2, "")
    assert words in err
    assert err.startswith("kd2m: ")
    assert err.count("\n") == 1
    assert sorted(map(str, Path().rglob("*"))) == before
    assert os.listdir()


def test_many_students_fit_on_a_screen_and_all_prints_every_difference(command):
    rng = np.random.default_rng(1)
    labels = rng.integers(3, size=80)
    teacher = 5 * np.eye(3)[labels] + rng.normal(size=(80, 3))
    for k in range(5):
        student = (4.5 - k) * np.eye(3)[labels] + rng.normal(size=(80, 3))
        Pair(labels=labels, logits_teacher=teacher, logits_student=student).save(f"s{k}.safetensors")
    names = [f"s{k}.safetensors" for k in range(5)]
    status, short, err = command("compare", *names, "--json", "c.json")
    assert (status, err) == (0, "")
    assert len(short.splitlines()) <= 18 + len(names)
    assert "15 differences in 2 measures: --all" in short
    found = StudentComparison.from_json("c.json")
    assert short.splitlines() == str(found).splitlines()
    for name in found.students:
        better, worse = (sum(pair[k] == name for pair in found.surely_better("errors")) for k in (0, 1))
        line = next(line for line in short.splitlines() if line.startswith(f"{name} "))
        assert f" {better} | {worse} " in line
    whole = command("report", "c.json", "--all")[1]
    assert whole.count(" − ") == 2 * 15 + 2
    assert whole.splitlines() == found.table(every_difference=True).splitlines()
