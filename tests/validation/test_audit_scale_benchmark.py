"""The benchmark of audits: what its file holds, what it takes up again, and one measurement in small."""

import importlib
import json
import sys
from argparse import Namespace
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from kd2m_theory import audit
from kd2m_theory.validation.benchmark_tables import read_benchmark
from kd2m_theory.validation.evidence.sizes import GOALS, Size, make_pair

FOLDER = Path(__file__).parents[2] / "validation" / "benchmarks"


@pytest.fixture(scope="module")
def script():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOLDER))
        yield importlib.import_module("audit_scale")


def record(script, case, factor):
    """A measurement whose rows take `factor` times 1 s, 2 s, … in an order of their own."""
    names = (*script.COMPARED, "T5", "T8.ramp") if case.method == script.OURS else script.COMPARED
    seconds = {name: factor * (1.0 + place) for place, name in enumerate(names)}
    if case.audit not in script.BESIDE_POT:
        seconds = dict(list(seconds.items())[-5:])
    nothing = {column.name: None if column.format else "" for column in script.AUDITS}
    return nothing | asdict(case) | {"d": 7, "K": 3, "time": 2.5, "peak memory": 9.0, "seconds": seconds}


def test_a_file_holds_what_was_measured_and_gives_it_back(script, tmp_path):
    made = [record(script, case, 3.0 if case.method == script.POT else 1.0) for case in script.cases(script.SIZES, 50)]
    audits, dearest, *beside = script.tables(made)
    assert len(audits.records) == len(script.SIZES) + len(script.BESIDE_POT)
    assert dearest.where("audit", "CIFAR-10").words("row")[:3] == ["T8.ramp", "T5", "T2.logits.cw2"]
    assert dearest.where("audit", "ImageNet").measured("time") == [12.0, 11.0, 10.0, 9.0, 8.0]
    assert [table.chosen("audit") for table in beside] == ["CIFAR-100", "CIFAR-10"]
    assert all(table.measured("POT / ours") == pytest.approx([3.0] * len(script.COMPARED)) for table in beside)
    harness = importlib.import_module("harness")
    harness.save(tmp_path / "a.json", title="", environment={}, tables=[audits, dearest, *beside])
    found = script.records(read_benchmark(tmp_path / "a.json", ""))
    key = lambda each: (each["audit"], each["method"])  # noqa: E731
    assert sorted(found, key=key) == sorted(made, key=key)


def test_what_was_measured_is_taken_up_again(script, tmp_path, monkeypatch, capsys):
    run = []
    monkeypatch.setattr(sys, "argv", ["audit_scale.py"])
    monkeypatch.setattr(script, "measured", lambda case, _: run.append(case) or record(script, case, 1.0))
    chosen = Namespace(save=tmp_path / "a.json", again=False, only=["CIFAR-10"], at_most=50, minutes=9e9, memory=1.0, seconds=9)
    script._run(chosen)
    assert [(case.method, case.n) for case in run] == [(script.OURS, 50), (script.POT, 50)]
    script._run(Namespace(**vars(chosen) | {"only": ["CIFAR-10", "ImageNet"]}))
    assert [(case.audit, case.method) for case in run[2:]] == [("ImageNet", script.OURS)]
    script._run(Namespace(**vars(chosen) | {"at_most": 60, "minutes": -1.0}))
    assert len(run) == 3
    assert "2 measurements are left; the same command continues" in capsys.readouterr().out
    script._run(Namespace(**vars(chosen) | {"again": True}))
    assert len(run) == 5
    assert len(json.loads((tmp_path / "a.json").read_text())["tables"][0]["records"]) == 2


def test_the_sizes_that_were_promised_are_there_and_goals_stand_beside_full_sizes_alone(script, monkeypatch):
    found = {(case.audit, case.n) for case in script.cases(script.SIZES) if case.method == script.OURS}
    assert {n for _, n in found} == {2000, 10_000, 50_000, 1_000_000}
    assert {SIZE.classes for SIZE in script.SIZES.values()} == {10, 100, 1000, 32_000, 128_000}
    monkeypatch.setattr(script, "measured_within", lambda *_: {})
    full = script.measured(script.Case("ImageNet", script.OURS, 50_000), None)
    assert (full["goal of time"], full["goal of memory"]) == (480, pytest.approx(6e9 / 2**20))
    assert (full["n"], full["d"], full["K"]) == (50_000, 512, 1000)
    assert script.measured(script.Case("ImageNet", script.OURS, 500), None)["goal of time"] is None


@pytest.mark.parametrize(
    "size", [Size(n=2000, d=64, classes=10), Size(n=2000, d=0, classes=10), GOALS["1,000 classes"]], ids=str
)
def test_networks_of_the_pairs_err_as_good_ones_do(size):
    pair = make_pair(Size(n=2000, d=size.d, classes=size.classes), np.random.default_rng(0))
    report = audit(pair, only=["T0"])
    assert 0.9 < report.measured["accuracy_teacher"].value < 1
    assert 0.8 < report.measured["accuracy_student"].value < report.measured["accuracy_teacher"].value


def test_labels_of_a_vocabulary_are_frequent_and_rare():
    pair = make_pair(Size(n=3000, d=4, classes=5000, zipf=True), np.random.default_rng(0))
    counts = np.bincount(pair.labels, minlength=5000)
    assert counts[0] > 5 * counts[20] > 0
    assert (counts == 0).sum() > 3000


def test_a_measurement_counts_rows_and_keeps_the_dearest_and_those_beside_pot(script):
    case = script.Case("CIFAR-10", script.OURS, 30)
    found = script.ours(case, case.pair)
    assert found["rows violated"] == 0 < found["rows with a number"]
    assert found["remark"] == ""
    assert set(script.COMPARED) < set(found["seconds"])
    assert {*script.pot(case.pair)["seconds"]} == set(script.COMPARED)


@pytest.mark.long
def test_a_measurement_is_a_process_with_limits(script, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", ":".join(sys.path))
    case = script.Case("a million rows", script.OURS, 200)
    found = script.measured(case, script.Limits(2**31, 300))
    assert found["time"] > 0 < found["peak memory"]
    assert (found["rows violated"], found["remark"], found["d"]) == (0, "", None)
    little = script.measured(script.Case("a million rows", script.OURS, 300_000), script.Limits(2**24, 300))
    assert "memory" in little["remark"] or "GiB" in little["remark"]
