"""`kd2m report`: an audit that was stored is shown as `kd2m audit` showed it, and never believed against its own rows."""

import csv
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
from reports import a_comparison, a_pair, report_of

from kd2m_theory import AuditReport, Pair

PAGE = re.compile(r'<section aria-labelledby="reproduce">.*?</section>', re.DOTALL)


@pytest.fixture
def stored(command):
    """An audit on disk, and what `kd2m audit` printed when it made it."""
    a_pair().save("pair.safetensors")
    status, out, err = command("audit", "pair.safetensors", "--json", "r.json")
    assert (status, err) == (0, "")
    return out


def test_a_stored_audit_is_printed_as_it_was(command, stored):
    before = sorted(os.listdir())
    assert command("report", "r.json") == (0, stored, "")
    assert sorted(os.listdir()) == before


@pytest.mark.long
def test_the_page_and_the_picture_are_the_same_but_for_the_command(command, stored):
    made = "--json", "r.json", "--report", "first.html", "--figure", "first.svg"  # of one audit: the page says how long it took
    assert command("audit", "pair.safetensors", *made) == (0, stored, "")
    assert command("report", "r.json", "--report", "second.html", "--figure", "second.svg") == (0, stored, "")
    assert Path("second.svg").read_bytes() == Path("first.svg").read_bytes()
    first, second = (Path(f"{name}.html").read_text(encoding="utf-8") for name in ("first", "second"))
    assert PAGE.sub("", first) == PAGE.sub("", second)
    (words,) = PAGE.findall(second)
    assert "kd2m.audit(kd2m.Pair.load(&quot;pair" in words.replace('"', "&quot;")
    assert "An audit does not know the files that it was made of" in words
    assert "kd2m report" not in words


def test_the_samples_that_carry_most_of_the_gap_are_written_as_a_table(command):
    named = a_pair(class_names=["cat", "=dog, or", "cow"])
    named.save("pair.safetensors")
    assert command("audit", "pair.safetensors", "--json", "r.json", "--samples", "s.csv")[0] == 0
    assert command("report", "r.json", "--samples", "again.csv")[0] == 0
    assert Path("s.csv").read_bytes() == Path("again.csv").read_bytes()
    with open("s.csv", encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    samples = AuditReport.from_json("r.json").breakdown.samples
    assert len(lines) == len(samples) > 10
    for line, sample in zip(lines, samples, strict=True):
        for key in ("index", "label", "teacher", "student", "loss_teacher", "loss_student", "gap"):
            assert float(line[key]) == getattr(sample, key)
        for key in ("label", "teacher", "student"):
            assert line[f"{key}_name"] == named.class_names[getattr(sample, key)]


def test_a_pair_without_labels_has_no_samples_to_write(command):
    a_pair(labels=None).save("pair.safetensors")
    status, _, err = command("audit", "pair.safetensors", "--samples", "s.csv")
    assert (status, err.count("\n")) == (2, 1)
    assert "that needs logits of both networks, labels, and inputs that both networks saw" in err
    assert not Path("s.csv").exists()


def test_a_violated_audit_ends_with_one(command):
    report_of("violated").to_json("r.json")
    status, out, err = command("report", "r.json", "--report", "r.html")
    assert (status, err) == (1, "")
    assert "VIOLATED: T0.error" in out
    assert "Violated: T0.error" in Path("r.html").read_text(encoding="utf-8")


def test_an_audit_without_its_violations_is_refused(command):
    report_of("violated").to_json("r.json")
    record = json.loads(Path("r.json").read_text(encoding="utf-8"))
    Path("r.json").write_text(json.dumps(record | {"violations": []}))
    status, out, err = command("report", "r.json", "--report", "r.html")
    assert (status, out) == (2, "")
    assert err == 'kd2m: r.json is not an audit (violations is [], but ["T0.error"] follows from the rest)\n'
    assert os.listdir() == ["r.json"]


def test_a_stored_comparison_is_shown_as_it_was(command):
    rng = np.random.default_rng(0)
    labels = rng.integers(3, size=120)
    teacher, *students = (size * np.eye(3)[labels] + rng.normal(size=(120, 3)) for size in (5, 4, 1))
    for name, student in zip(("a", "b"), students, strict=True):
        Pair(labels=labels, logits_teacher=teacher, logits_student=student).save(f"{name}.safetensors")
    made = command(
        "compare", "a.safetensors", "b.safetensors", "--json", "c.json", "--report", "first.html", "--figure", "first.svg"
    )
    assert made[0] == 0
    assert command("report", "c.json", "--report", "second.html", "--figure", "second.svg") == made
    assert Path("second.svg").read_bytes() == Path("first.svg").read_bytes()
    first, second = (Path(f"{name}.html").read_text(encoding="utf-8") for name in ("first", "second"))
    assert PAGE.sub("", first) == PAGE.sub("", second)
    assert "kd2m.compare({" in PAGE.findall(second)[0]
    status, out, err = command("compare", "a.safetensors", "b.safetensors", "--json", "-")
    assert (status, err, out) == (0, "", Path("c.json").read_text(encoding="utf-8"))


def test_a_comparison_that_contradicts_itself_is_refused(command):
    a_comparison().to_json("c.json")
    record = json.loads(Path("c.json").read_text(encoding="utf-8"))
    Path("c.json").write_text(json.dumps(record | {"best": []}))
    status, out, err = command("report", "c.json", "--report", "c.html")
    assert (status, out) == (2, "")
    assert err.startswith("kd2m: c.json is not a comparison (best is []")
    assert os.listdir() == ["c.json"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["absent.json"], "there is no file absent.json"),
        (["."], ". is neither an audit nor a comparison (it is a folder)"),
        (
            ["pair.safetensors"],
            "pair.safetensors is a pair, or predictions; audit it first: kd2m audit pair.safetensors --json",
        ),
        (
            ["c.json", "--max-error-gap", "0.1", "--max-gap", "1"],
            "c.json is a comparison of students; --max-error-gap and --max-gap are for audits",
        ),
        (["c.json", "--samples", "s.csv"], "c.json is a comparison of students; --samples is for audits"),
        (["r.json", "--report", "r.json"], "FILE and report are both r.json"),
        (["r.json", "--report", "p.htm"], "p.htm ends in .htm; a report for the browser ends in .html"),
        (["r.json", "--figure", "p.bmp"], "p.bmp ends in .bmp; a picture ends in"),
        (["r.json", "--samples", "s.txt"], "s.txt ends in .txt; a table of samples ends in .csv"),
        (["r.json", "--report", "s.csv", "--samples", "s.csv"], "report and samples are both s.csv"),
        (["r.json", "--figure", "no/p.png"], "the folder no does not exist"),
        (["r.json", "--report", "a.svg", "--figure", "a.svg"], "report and figure are both a.svg"),
    ],
)
def test_bad_input_is_one_line_and_status_two(command, arguments, words):
    a_pair().save("pair.safetensors")
    report_of("one row").to_json("r.json")
    a_comparison().to_json("c.json")
    before = {path: path.read_bytes() for path in Path().iterdir()}
    status, out, err = command("report", *arguments)
    assert (status, out) == (2, "")
    assert err.startswith(f"kd2m: {words}")
    assert err.count("\n") == 1
    assert {path: path.read_bytes() for path in Path().iterdir()} == before
