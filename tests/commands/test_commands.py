"""The command as a person meets it: exit status, one line on standard error, nothing half-written."""

import json
import os
import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from sampled import sampled

from kd2m_theory import Pair
from kd2m_theory.commands.main import main

RNG = np.random.default_rng(0)
FEATURES = RNG.normal(size=(40, 4))


def pair(**changes):
    arguments = {
        "features_teacher": FEATURES,
        "features_student": FEATURES + 0.1,
        "labels": np.arange(40) % 3,
        "head_weight": RNG.normal(size=(3, 4)),
    }
    return Pair(**(arguments | changes))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pair().save("good.safetensors")
    return tmp_path


def kd2m(monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, "argv", ["kd2m", *arguments])
    try:
        main()
        status = 0
    except SystemExit as stop:
        status = stop.code
    out, err = capsys.readouterr()
    return status, out, err


def test_audit_prints_the_ladder_and_writes_what_was_asked(folder, monkeypatch, capsys):
    status, out, err = kd2m(monkeypatch, capsys, "audit", "good.safetensors", "--json", "r.json", "--figure", "l.svg")
    assert status in (0, None)
    assert err == ""
    assert "T2.head_aware" in out
    assert "none violated" in out
    assert json.loads((folder / "r.json").read_text())["delta"] == 0.05
    assert (folder / "l.svg").read_bytes().startswith(b"<?xml")


def test_audit_reads_predictions_and_says_what_looks_like_a_mistake(folder, monkeypatch, capsys):
    logits = 3 * RNG.normal(size=(60, 3))
    lines = [",".join(map(str, (*row, *(0.5 * row), row.argmax() + 1))) for row in logits]
    header = ",".join(f"{side}_{name}" for side in ("teacher", "student") for name in range(3))
    (folder / "pair.csv").write_text("\n".join([f"{header},label", *lines, ""]).replace(",3\n", ",-100\n"))
    status, out, err = kd2m(monkeypatch, capsys, "audit", "pair.csv")
    assert (status in (0, None), err) == (True, "")
    assert "Check the input: The teacher predicts the label less 1 on 100 % of the rows" in " ".join(out.split())
    (folder / "pair.csv").write_text(f"{header},label\n" + "\n".join(lines[:5]).replace(".", ";", 1))
    status, out, err = kd2m(monkeypatch, capsys, "audit", "pair.csv")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "in column teacher_0, line 2, which is not a number" in err


@pytest.mark.parametrize("name", ["cut", "cut/it.npz", "cut/it-0*.npz", "cut/it-00002-of-00003.npz", "cut/it.npz.index.json"])
def test_a_pair_in_shards_is_audited_by_any_of_its_names(name, folder, monkeypatch, capsys):
    (folder / "cut").mkdir()
    Pair.load("good.safetensors").save("cut/it.npz", shard_rows=15)
    read = [
        kd2m(monkeypatch, capsys, "audit", each, "--only", "F1.error", "--json", "-") for each in (name, "good.safetensors")
    ]
    (status, out, err), (_, whole, _) = read
    assert (status in (0, None), err) == (True, "")
    assert json.loads(out)["measured"] == json.loads(whole)["measured"]
    status, _, err = kd2m(monkeypatch, capsys, "report", "cut/it.npz.index.json")
    assert (status, "is a pair, or predictions; audit it first" in err) == (2, True)


def test_a_shard_that_is_missing_is_named(folder, monkeypatch, capsys):
    Pair.load("good.safetensors").save("it.npz", shard_rows=15)
    (folder / "it-00002-of-00003.npz").unlink()
    status, out, err = kd2m(monkeypatch, capsys, "audit", "it.npz")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "it.npz lacks shard 00002 of 3" in err


def test_audit_writes_a_page_that_names_its_own_command(folder, monkeypatch, capsys):
    pair().save("my pair.safetensors")
    status, out, err = kd2m(monkeypatch, capsys, "audit", "my pair.safetensors", "--delta", "0.1", "--report", "r.html")
    assert (status in (0, None), err) == (True, "")
    assert "none violated" in out
    page = (folder / "r.html").read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>")
    assert "<code>kd2m audit 'my pair.safetensors' --delta 0.1 --report r.html</code>" in page
    assert "hold together at 90 %" in page


def test_audit_exits_with_one_when_a_vouched_assumption_is_false(folder, monkeypatch, capsys):
    """Rows that are not of the same inputs, declared as if they were: the error bound of T0 is broken, and it is said."""
    labels = np.arange(40) % 2
    logits = 9.0 * np.eye(2)[labels]
    Pair(logits_teacher=logits, logits_student=logits, labels=labels).save("lie.safetensors")
    data = Pair.load("lie.safetensors")
    # Tamper behind the checks: T0 cannot be violated by any honest pair, so break its number instead.
    import kd2m_theory.bounds.rows.t0_label_free as t0
    from kd2m_theory.bounds import ladder

    broken = tuple(
        replace(row, compute=lambda view: t0.Sides(-2.0, -1.0)) if row.name == "T0.error" else row for row in ladder.ROWS
    )
    monkeypatch.setattr(ladder, "ROWS", broken)
    data.save("lie.safetensors")
    status, out, _ = kd2m(monkeypatch, capsys, "audit", "lie.safetensors", "--report", "lie.html")
    assert status == 1
    assert "✗ Violated: T0.error." in (folder / "lie.html").read_text(encoding="utf-8")
    assert "VIOLATED: T0.error" in out


KNOWN = {
    "0.9": {"value": [0.0, 0.9], "about": "sample"},
    "0.1:0.9": {"value": [0.1, 0.9], "about": "sample"},
    "population:0.9": {"value": [0.0, 0.9], "about": "population"},
    "population:0.1:0.9": {"value": [0.1, 0.9], "about": "population"},
    "known.json": {"value": {"0": [0.0, 0.8], "2": [0.1, 0.9]}, "about": "sample"},
    "population:known.json": {"value": {"0": [0.0, 0.8], "2": [0.1, 0.9]}, "about": "population"},
    "good.safetensors": {"samples": 40},
    "known.csv": {"samples": 40},
}


@pytest.mark.parametrize(
    "words", sampled(KNOWN, always=["0.9", "population:0.1:0.9", "known.json", "good.safetensors", "known.csv"])
)
def test_what_is_known_of_the_teacher_is_a_number_an_interval_or_a_file(words, folder, monkeypatch, capsys):
    pair(labels=None).save("unlabelled.safetensors")
    (folder / "known.json").write_text('{"2": [0.1, 0.9], "0": 0.8}', encoding="utf-8")
    head = [f"{side}_{k}" for side in ("teacher", "student") for k in range(3)]
    logits = np.random.default_rng(0).normal(size=(40, 6))
    lines = [",".join(map(str, (*row, k % 3))) for k, row in enumerate(logits.tolist())]
    (folder / "known.csv").write_text("\n".join([",".join([*head, "label"]), *lines]), encoding="utf-8")
    status, _, _ = kd2m(
        monkeypatch, capsys, "audit", "unlabelled.safetensors", "--teacher-error", words, "--json", "report.json"
    )
    assert status == 0
    settings = json.loads((folder / "report.json").read_text(encoding="utf-8"))["settings"]
    assert (settings["teacher_error"], settings["teacher_risk"]) == (KNOWN[words], None)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("much", "--teacher-risk is 'much'; give a number, low:high, population:number, or a file"),
        ("0.1:0.2:0.3", "teacher_risk: what is known has 3 numbers"),
        ("nan", "teacher_risk: what is known is nan"),
        ("population:-1", "what is known is -1.0; give finite numbers"),
        ("1e-9", "below the least that any labels of these inputs could give"),
        ("absent.npz", "absent.npz"),
        ("absent.json", "there is no file absent.json"),
    ],
)
def test_what_cannot_be_known_of_the_teacher_is_an_input_error(words, message, folder, monkeypatch, capsys):
    status, _, err = kd2m(monkeypatch, capsys, "audit", "good.safetensors", "--teacher-risk", words)
    assert status == 2
    assert message in " ".join(err.split())


def test_unlabelled_pairs_are_audited(folder, monkeypatch, capsys):
    pair(labels=None).save("unlabelled.safetensors")
    status, out, _ = kd2m(monkeypatch, capsys, "audit", "unlabelled.safetensors", "--all")
    assert status in (0, None)
    assert "n/a: the pair is unlabelled; pass labels" in out


BAD = {
    "missing file": (["audit", "absent.npz"], "there is no file absent.npz"),
    "foreign file": (["audit", "foreign.safetensors"], "not a whole safetensors file"),
    "NaN": (["audit", "nan.npz"], "features_teacher holds 2 NaN or infinite values in rows 1, 3, 2 of"),
    "labels outside": (["audit", "labels.npz"], "labels has 1 value outside 0..2"),
    "float16": (["audit", "half.npz"], "features_teacher is float16"),
    "one sample": (["audit", "one.npz"], "features_teacher has 1 sample; a pair needs at least two"),
    "no head": (["audit", "bare.npz"], "the pair has no risk to bound"),
    "delta": (["audit", "good.safetensors", "--delta", "1.5"], "delta is 1.5; give the failure probability"),
    "json is a folder": (["audit", "good.safetensors", "--json", "taken"], "taken is a folder; name a file in it"),
    "figure is a folder": (["audit", "good.safetensors", "--figure", "taken"], "taken is a folder"),
    "json in no folder": (["audit", "good.safetensors", "--json", "no/r.json"], "the folder no does not exist"),
    "figure of unknown kind": (["audit", "good.safetensors", "--figure", "l.bmp"], "l.bmp ends in .bmp; a picture ends in"),
    "json over the pair": (
        ["audit", "good.safetensors", "--json", "good.safetensors"],
        "PAIR and json are both good.safetensors",
    ),
    "json and figure": (
        ["audit", "good.safetensors", "--json", "a.png", "--figure", "./a.png"],
        "json and figure are both a.png",
    ),
    "report of unknown kind": (
        ["audit", "good.safetensors", "--report", "r.htm"],
        "r.htm ends in .htm; a report for the browser",
    ),
    "report without ending": (["audit", "good.safetensors", "--report", "r"], "r ends in nothing; a report for the browser"),
    "report is a folder": (["audit", "good.safetensors", "--report", "taken"], "taken is a folder; name a file in it"),
    "report in no folder": (["audit", "good.safetensors", "--report", "no/r.html"], "the folder no does not exist"),
    "report and json": (
        ["audit", "good.safetensors", "--json", "a.html", "--report", "a.html"],
        "json and report are both a.html",
    ),
    "json is a device": (["audit", "good.safetensors", "--json", "/dev/null"], "/dev/null is not a regular file"),
    "demo over a file": (["demo", "--out", "foreign.safetensors"], "the folder foreign.safetensors cannot be made"),
    "demo on no device": (["demo", "--out", "made", "--device", "abacus"], "device 'abacus' cannot be used here"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_status_two(case, folder, monkeypatch, capsys):
    (folder / "taken").mkdir()
    (folder / "foreign.safetensors").write_text("no tensors here")
    weight = np.eye(3, 4)
    nan = FEATURES.copy()
    nan[[1, 3], 0] = np.nan
    np.savez("nan.npz", features_teacher=nan, features_student=FEATURES, head_weight=weight)
    np.savez(
        "labels.npz",
        features_teacher=FEATURES,
        features_student=FEATURES,
        head_weight=weight,
        labels=np.r_[9, np.zeros(39, int)],
    )
    np.savez("half.npz", features_teacher=FEATURES.astype(np.float16), features_student=FEATURES, head_weight=weight)
    np.savez("one.npz", features_teacher=FEATURES[:1], features_student=FEATURES[:1], head_weight=weight)
    np.savez("bare.npz", features_teacher=FEATURES, features_student=FEATURES)
    before = sorted(os.listdir())
    arguments, message = BAD[case]
    status, out, err = kd2m(monkeypatch, capsys, *arguments)
    assert status == 2
    assert out == "" or case.startswith("demo")
    assert message in err
    assert err.startswith("kd2m: ")
    assert err.count("\n") == 1
    assert set(os.listdir()) - {"made"} == set(before)


DISTANCES = """
import numpy as np

def good(x, y):
    return abs(x.mean() - y.mean())

def squared(x, y):
    return float(((x.mean(0) - y.mean(0)) ** 2).sum())
"""


BATCHED = """
def squared(x, y):
    return ((x.mean(1) - y.mean(1)) ** 2).sum(-1)

def mean(x, y):
    return squared(x, y).mean()
"""


def test_metric_check_tells_a_metric_from_its_square(folder, monkeypatch, capsys):
    (folder / "mine.py").write_text(DISTANCES)
    status, out, err = kd2m(monkeypatch, capsys, "metric", "check", "mine:squared", "--examples", "15")
    assert (status, err) == (1, "")
    assert "triangle" in out
    assert "np.array" in out
    status, out, _ = kd2m(monkeypatch, capsys, "metric", "check", "mine:squared", "--expect", "squared", "--examples", "15")
    assert status in (0, None)
    assert not (folder / ".hypothesis").exists()


@pytest.mark.long
def test_metric_check_of_batches_their_gradient_and_memory(folder, monkeypatch, capsys):
    (folder / "many_clouds.py").write_text(BATCHED)
    check = ("metric", "check", "many_clouds:squared", "--expect", "squared", "--batched", "--examples", "5")
    status, out, err = kd2m(monkeypatch, capsys, *check, "--gradient", "--arrays", "torch", "--large", "400")
    assert (status or 0, err) == (0, "")
    for law in ("batch", "gradient_at_equal_clouds", "memory"):
        assert re.search(rf"^{law} +holds", out, re.MULTILINE), out
    status, out, _ = kd2m(monkeypatch, capsys, "metric", "check", "many_clouds:mean", "--batched", "--examples", "5")
    assert status == 1
    assert "It fails (batch)" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["math:dist", "--arrays", "jax"], "arrays is 'jax'"),
        (["math:dist", "--large", "10"], "large is 10"),
        (["mine"], "mine"),
        (["absent_module:f"], "absent_module"),
        (["math:absent"], "absent"),
        (["math:pi"], "pi"),
        (["math:dist", "--expect", "magic"], "magic"),
        (["math:dist", "--examples", "0"], "examples"),
    ],
)
def test_metric_check_refuses_what_is_no_metric(folder, monkeypatch, capsys, arguments, message):
    status, _, err = kd2m(monkeypatch, capsys, "metric", "check", *arguments)
    assert status == 2
    assert err.startswith("kd2m: ")
    assert err.count("\n") == 1
    assert message in err


def test_usage_errors_have_status_two_and_no_traceback(folder, monkeypatch, capsys):
    for arguments in (
        ["audit"],
        ["audit", "good.safetensors", "--nope"],
        ["audits"],
        ["audit", "good.safetensors", "--delta", "x"],
    ):
        status, _, err = kd2m(monkeypatch, capsys, *arguments)
        assert status == 2
        assert "Traceback" not in err


def test_the_installed_command_and_the_module_run(folder):
    for command in ([os.path.join(os.path.dirname(sys.executable), "kd2m")], [sys.executable, "-m", "kd2m_theory"]):
        done = subprocess.run([*command, "audit", "absent.npz"], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (2, "kd2m: there is no file absent.npz\n")
    assert "audit" in subprocess.run([*command, "--help"], capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(("module", "distribution"), [("sklearn", "scikit-learn"), ("lightning", "lightning")])
def test_a_missing_library_of_the_demonstration_is_one_line(folder, monkeypatch, capsys, module, distribution):
    monkeypatch.setitem(sys.modules, module, None)
    status, out, err = kd2m(monkeypatch, capsys, "demo", "--out", "made")
    assert (status, out) == (2, "")
    assert err == f"kd2m: the demonstration needs {distribution}; run: pip install {distribution}\n"
    assert not os.path.exists("made")
