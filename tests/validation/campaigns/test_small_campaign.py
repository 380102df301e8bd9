"""A whole campaign with real training, real audits and everything after them."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pyarrow.parquet
import pytest
from campaign_work import Inline
from small_campaign import reduced
from typer.testing import CliRunner

from kd2m_theory import Pair, audit
from kd2m_theory.bounds import Ladder, ladder
from kd2m_theory.bounds.rows.row import Sides
from kd2m_theory.commands.main import app
from kd2m_theory.errors import InputError
from kd2m_theory.reporting.markdown_view import markdown
from kd2m_theory.validation.campaigns import engine
from kd2m_theory.validation.campaigns.claims import BROKEN, TOGETHER
from kd2m_theory.validation.campaigns.findings import findings
from kd2m_theory.validation.campaigns.network_task import read_networks
from kd2m_theory.validation.campaigns.page import sections
from kd2m_theory.validation.campaigns.plan import tasks
from kd2m_theory.validation.campaigns.store import Store
from kd2m_theory.validation.campaigns.table import rows_of
from kd2m_theory.validation.campaigns.work import work

pytestmark = pytest.mark.long


@pytest.fixture
def store(campaign_store):
    return campaign_store


@pytest.fixture(scope="module")
def found(campaign_store):
    return findings(campaign_store)


def test_the_reduced_campaign_passes(found):
    assert found.judgement.passed
    assert (found.runs, found.points) == (4, 3)  # runs of the second seed are trained, and not audited
    assert found.judgement.checked > 3 * 40


def test_every_row_of_the_ladder_is_in_the_table(store):
    rows = rows_of(store.table(), "bound")
    assert len(rows) == 3 * len(ladder.ROWS)
    assert {row["name"] for row in rows} == {row.name for row in ladder.ROWS}
    assert all(row["environment"] and row["configuration"] for row in rows)
    assert json.loads(rows[0]["environment"])["threads"] == 1
    assert set() < {row["dominant"] for row in rows if row["name"] == "F2.T0"} <= {"R̂_T", "D̂", "r(δ)"}


def test_every_distance_is_measured_and_finite(store):
    rows = rows_of(store.table(), "distance")
    assert len(rows) == 3 * 14
    assert all(np.isfinite(row["value"]) and row["value"] >= 0 for row in rows)


def test_the_broken_interval_is_caught_and_all_claims_were_tried(found):
    cells = found.judgement.cells
    assert {cell.delta for cell in cells} == {0.05, 0.2}
    assert all(cell.trials == 120 for cell in cells)
    assert {cell.verdict for cell in cells if cell.name == BROKEN} == {"invalid"}
    # Of 60 audits; of n = 200 a mean without its radius is wrong in all.
    power = {(cell.name, cell.delta): cell.power for cell in cells if cell.name != BROKEN}
    assert "not tried" not in power.values()
    assert power["F1.error", 0.05] != "nothing"
    assert power["F4.brier", 0.05] == "nothing"
    names = {cell.name for cell in cells}
    assert {"F1.gap", "F1.error", "F2.T0", "F3.T0", "F4.brier", "gap", "accuracy_student", "disagreement", TOGETHER} <= names


def test_the_truth_is_what_many_audits_measure_on_average(store):
    (truth,) = (store.path / "truths").glob("*.json")
    known = json.loads(truth.read_text())
    networks = read_networks(next((store.path / "networks").glob("*.safetensors")).read_bytes(), reduced().coverages[0].run)
    reports = [Ladder(networks.audited(2**40 + k, 400, 0), 0.05, ["F1.gap"]).measure() for k in range(40)]
    for name in ("accuracy_teacher", "accuracy_student", "error_gap", "disagreement", "risk_teacher", "risk_student", "gap"):
        values = np.array([report[name].value for report in reports])
        spread = values.std(ddof=1) / np.sqrt(len(values))
        assert known[name][0] - 4 * spread < values.mean() < known[name][1] + 4 * spread
    assert known["population_error"] == pytest.approx([1 - end for end in reversed(known["accuracy_student"])])


def test_a_guaranteed_claim_that_is_too_narrow_fails_the_campaign(tmp_path, monkeypatch):
    row = next(row for row in ladder.ROWS if row.name == "F1.error")

    def narrowed(view):
        sides = row.compute(view)
        middle = (sides.lower + sides.upper) / 2
        return replace(sides, lower=(sides.lower + 3 * middle) / 4, upper=(sides.upper + 3 * middle) / 4)

    broken = tuple(each if each is not row else replace(row, compute=narrowed) for each in ladder.ROWS)
    monkeypatch.setattr(ladder, "ROWS", broken)
    chosen = reduced()
    made = Store(tmp_path / "store")
    made.create(chosen.table, chosen.digest, resume=False)
    studied = [task for task in tasks(chosen) if task.table["kind"] != "pair"]
    engine.run(studied, made, Inline(tmp_path / "scratch"), work)
    invalid = findings(made).judgement.invalid
    assert {cell.name for cell in invalid} == {"F1.error", TOGETHER}
    done = CliRunner().invoke(app, ["validate", "report", str(made.path)])
    assert done.exit_code == 1
    assert "THE CAMPAIGN FAILED" in done.output


def test_what_is_missing_is_said_and_is_no_success(store, tmp_path):
    copy = Store(tmp_path / "copy")
    shutil.copytree(store.path, copy.path)
    lost = [task for task in tasks(reduced()) if task.table["kind"] == "pair"]
    for task in lost:
        (copy.path / "parts" / f"{task.digest}.parquet").unlink()
    assert findings(copy).missing == len(lost)
    with pytest.raises(InputError, match=f"{len(lost)} tasks of the campaign are missing; continue it with --resume"):
        CliRunner().invoke(app, ["validate", "report", str(copy.path)], catch_exceptions=False)
    assert "so far" in (copy.path / "report" / "report.md").read_text()


def test_the_page_has_every_part(found, store):
    page = markdown(sections(found, store.path), "Campaign")
    for words in (
        "## no guaranteed bound is violated",
        "## accuracy in per cent, gain in points: digits",
        "## coverage: gaussian-mixture",
        "## bound / gap, by row",
        "by objective",
        "it needs at least three audited seeds of digits (has 1).",
    ):
        assert words in page
    assert "| T5.curved | 3 |" in page


def test_a_finished_campaign_is_not_computed_again(store, tmp_path):
    executor = Inline(tmp_path)
    engine.run(tasks(reduced()), store, executor, work)
    assert executor.begun == []


def test_a_part_that_is_lost_comes_back_bit_for_bit(store, tmp_path):
    copy = Store(tmp_path / "copy")
    shutil.copytree(store.path, copy.path)
    before = (copy.path / "table.parquet").read_bytes()
    chosen = tasks(reduced())
    lost = [chosen[0], next(task for task in chosen if "w2" in task.words)]
    for task in lost:
        (copy.path / "parts" / f"{task.digest}.parquet").unlink()
    executor = Inline(tmp_path / "scratch")
    engine.run(chosen, copy, executor, work)
    assert executor.begun == [task.digest for task in lost]
    copy.write_table()
    assert (copy.path / "table.parquet").read_bytes() == before


def test_report_prints_writes_and_draws(store, tmp_path):
    done = CliRunner().invoke(app, ["validate", "report", str(store.path), "--out", str(tmp_path / "report")])
    assert done.exit_code == 0
    assert "no guaranteed bound is violated" in done.output
    figures = ("tightness", "tightness-over-training", "coverage")
    assert {path.name for path in (tmp_path / "report").iterdir()} == {
        "report.md",
        *(f"{name}.{kind}" for name in figures for kind in ("png", "json", "txt")),
    }
    assert pyarrow.parquet.read_table(store.path / "table.parquet").num_rows == store.table().num_rows


def test_a_row_that_does_not_hold_fails_the_campaign_and_its_pair_is_kept(tmp_path, monkeypatch, campaign_store):
    wrong = next(row for row in ladder.ROWS if row.name == "T0.error")

    broken = tuple(row if row is not wrong else replace(row, compute=lambda _view: Sides(0.0, 0.0)) for row in ladder.ROWS)
    monkeypatch.setattr(ladder, "ROWS", broken)
    chosen = reduced()
    made = Store(tmp_path / "store")
    made.create(chosen.table, chosen.digest, resume=False)
    shutil.copytree(campaign_store.path / "teachers", made.path / "teachers")
    engine.run([task for task in tasks(chosen) if "w2" in task.words], made, Inline(tmp_path / "scratch"), work)
    judged = findings(made).judgement
    assert {each.name for each in judged.violations} == {"T0.error"}
    assert not judged.passed
    file = made.path / judged.violations[0].file
    assert [row.name for row in audit(Pair.load(file)).violations] == ["T0.error"]
    done = CliRunner().invoke(app, ["validate", "report", str(made.path)])
    assert done.exit_code == 1
    assert f"kd2m audit {file}" in done.output.splitlines()
