"""The demonstration: two shipped configurations, the loop of `kd2m train`, and the table of README."""

import copy
import importlib.util
import json
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from kd2m_theory import Pair, StudentComparison, audit
from kd2m_theory.bounds import ROWS
from kd2m_theory.bounds.targets import SUBJECTS
from kd2m_theory.errors import InputError, MissingDependencyError
from kd2m_theory.reporting.report import AuditReport
from kd2m_theory.validation.training import demo, demo_table
from kd2m_theory.validation.training.configuration import read_configuration
from kd2m_theory.validation.training.distillation import train

# One or two epochs train enough for all that is not about what was learned.
# Rows that need to be told something.
NOT_TOLD = ("T9.ttm", *(row.name for row in ROWS if row.told))
SHORT = ("teacher.training.epochs=1", "student.training.epochs=2")


@cache
def short():
    before = torch.get_rng_state()
    made = demo.run(seed=3, device="cpu", changes=SHORT)
    assert torch.equal(torch.get_rng_state(), before), "it moved torch's generator"
    return made


def test_it_is_two_configurations_with_one_teacher_and_one_split_of_the_images():
    alone, cw2 = (demo.configurations(5)[name] for name in ("alone", "cw2"))
    assert alone.teacher_digest == cw2.teacher_digest
    assert alone.student.training == cw2.student.training
    assert (alone.student.head, alone.objective["name"]) == ("own", "none")
    assert (cw2.student.head, cw2.objective["name"]) == ("teacher", "cw2")
    for each in (alone, cw2):
        assert (each.seed, each.teacher.seed, each.population["split_seed"]) == (5, 5, 5)
    shipped = read_configuration("demo-cw2", ["pairs.audit=false", "population.split_seed=0"])
    assert demo.configurations(0)["cw2"] == shipped


@pytest.mark.long
def test_the_pair_is_that_of_a_run_of_its_configuration(tmp_path):
    run = train(demo.configurations(3, SHORT)["cw2"], tmp_path / "run", device="cpu")
    kept, made = Pair.load(run.pairs[2]), short().pairs["cw2"]
    for name in ("features_teacher", "features_student", "logits_student", "labels", "head_weight"):
        np.testing.assert_array_equal(getattr(kept, name), getattr(made, name))


@pytest.mark.long
def test_both_students_meet_one_teacher_on_the_same_test_images():
    alone, cw2 = short().pairs["alone"], short().pairs["cw2"]
    np.testing.assert_array_equal(alone.features_teacher, cw2.features_teacher)
    np.testing.assert_array_equal(alone.labels, cw2.labels)
    assert alone.n == 539
    heads = {name: abs(report.measured["head_mismatch"].value) for name, report in short().reports.items()}
    assert heads["cw2"] < 1e-6 < heads["alone"]


@pytest.mark.long
def test_no_row_is_violated_and_the_enclosures_are_tight():
    for report in short().reports.values():
        assert report.violations == ()
        for row in report.rows:
            measurable = SUBJECTS[row.target].about == "sample" and row.name not in NOT_TOLD
            assert (row.holds is True) == measurable
            if "risk" not in row.name:  # T10.risk rests on moments, not on transport
                for distance in row.distances.values():
                    assert distance.relative_gap <= 1e-9


@pytest.mark.long
def test_files_are_written_and_audit_to_the_same_numbers(tmp_path):
    paths = short().write(tmp_path)
    assert sorted(path.relative_to(tmp_path).as_posix() for path in paths) == [
        "alone/ladder.png", "alone/pair.safetensors", "alone/report.json", "ladder.png", "pair.safetensors", "report.json",
        "students.html", "students.json", "students.png",
    ]  # fmt: skip
    again = audit(Pair.load(tmp_path / "pair.safetensors"), only=["T5", "T2.cw2", "T0"])
    for row in again.rows:
        assert row.upper == short().reports["cw2"][row.name].upper
    assert StudentComparison.from_json(tmp_path / "students.json") == short().comparison
    block = demo_table.block(tmp_path)
    assert block.splitlines()[3] == demo_table.heading()
    assert f"{short().reports['alone']['T5'].upper:.4g}" in block


@pytest.fixture(scope="module")
def stored():
    """The shipped reports of a whole run, which README and the ladder show."""
    return {name: each.read(each.path(None)) for name, each in demo_table.REPORTS.items()}


def test_the_networks_of_the_stored_run_learned(stored):
    for report in stored.values():
        assert report["measured"]["accuracy_teacher"]["value"] > 0.97
        assert report["measured"]["accuracy_student"]["value"] > 0.9
        assert report["n"] == 539
        assert all(row["holds"] for row in report["rows"] if row["guaranteed"])


def test_the_stored_run_shows_what_distillation_and_convexity_gain(stored):
    uppers = {name: {row["name"]: row["upper"] for row in report["rows"]} for name, report in stored.items()}
    assert uppers["cw2"]["T5"] <= uppers["cw2"]["T2.spectral"] / 5
    assert uppers["cw2"]["T2.cw2"] < uppers["alone"]["T2.cw2"]


def test_a_stored_report_that_is_none_is_refused(tmp_path):
    stored = demo_table.REPORTS["cw2"]
    with pytest.raises(InputError, match=r"there is no .*report\.json; write it with `kd2m demo`"):
        stored.path(tmp_path)
    for content in ("[]", "{}", json.dumps({"rows": 1, "measured": {}})):
        (tmp_path / "report.json").write_text(content)
        with pytest.raises(InputError, match=r"report\.json is not the report of an audit; write it again with `kd2m demo`"):
            stored.read(stored.path(tmp_path))


def test_what_is_missing_is_said_at_once_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "lightning", None)
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(MissingDependencyError, match=r"the demonstration needs .*; run: pip install lightning scikit-learn$"):
        demo.run(seed=0, device="cpu")


def test_the_sizes_are_those_of_the_networks():
    assert demo_table.heading().startswith("teacher 73,002 parameters, students 4,850; ")
    page = (Path(__file__).parents[3] / "docs/quick-start.md").read_text(encoding="utf-8")
    assert f"\n{demo_table.heading()}\n" in page


@pytest.fixture
def script(monkeypatch):
    """The script that stores a run, for the short one."""
    path = Path(__file__).parents[3] / "validation" / "benchmarks" / "demonstration.py"
    spec = importlib.util.spec_from_file_location("stored_demonstration", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "SEED", 3)
    done = short()
    monkeypatch.setattr(demo, "run", lambda _seed, _device: done)
    for drawn in (AuditReport, StudentComparison):
        monkeypatch.setattr(drawn, "plot", lambda _report, _path: None)
    made = module.tables()
    monkeypatch.setattr(module, "tables", lambda: made)
    return module


@pytest.mark.long
def test_the_script_stores_what_a_run_says_and_sees_that_another_says_otherwise(script, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(sys, "argv", ["demonstration.py", "--save", str(tmp_path)])
    assert script.main() == 0
    made = script.tables()
    assert (
        sorted(path.name for path in tmp_path.iterdir())
        == ["demo-alone.json", "demo-cw2.json", "demo-students.json", "framework.json"]
        == sorted(made)
    )
    held = json.loads((tmp_path / "demo-cw2.json").read_text(encoding="utf-8"))
    assert {row["name"]: row["upper"] for row in held["rows"]}["T5"] == short().reports["cw2"]["T5"].upper
    assert not any(script._differs(tmp_path / file, table) for file, table in made.items())
    changed = copy.deepcopy(made["demo-cw2.json"])
    changed["rows"][0]["upper"] *= 1 + 1e-15
    assert script._differs(tmp_path / "demo-cw2.json", changed)
    monkeypatch.setattr(sys, "argv", ["demonstration.py"])
    assert script.main() == 1  # what ships is of the whole run
    assert capsys.readouterr().out.count("has other numbers than this run") == 4
