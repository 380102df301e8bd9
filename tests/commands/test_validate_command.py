"""`kd2m validate`: bad input is one line and status 2, and whatever is in the store stays."""

import errno
import importlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow.compute
import pyarrow.parquet
import pytest
from campaign_work import Inline

from kd2m_theory.errors import InputError
from kd2m_theory.validation.campaigns import campaign_run, findings
from kd2m_theory.validation.campaigns.campaign import read_campaign
from kd2m_theory.validation.campaigns.engine import CampaignError
from kd2m_theory.validation.campaigns.store import Store
from kd2m_theory.validation.campaigns.table import rows_digest
from kd2m_theory.validation.campaigns.verdict import Judgement, Violation

TOML = """
[[sweep]]
seeds = [0]
epochs = [1]
students = ["mlp-4-8"]
images = 50
[sweep.population]
name = "gaussian-mixture"
classes = 3
[sweep.teacher]
network = "mlp-16-8"
training = { epochs = 1, steps = 2, batch = 8, learning_rate = 1e-3 }
[sweep.training]
epochs = 1
steps = 2
batch = 8
learning_rate = 1e-3
[sweep.objectives]
none = {}
"""


@pytest.fixture
def refused(command):
    """Run a command that has to be refused in one line; what the line says."""

    def call(*arguments):
        status, _, err = command("validate", *arguments)
        assert (status, err.count("\n")) == (2, 1), err
        assert err.startswith("kd2m: ")
        return err

    return call


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(TOML)
    return path


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("images = 50", "imagse = 50", "imagse"),
        ("seeds = [0]", "seeds = []", "seeds"),
        ("epochs = [1]", "epochs = [7]", "7"),
        ('name = "gaussian-mixture"', 'name = "gaussian-mixtrue"', "did you mean 'gaussian-mixture'"),
        ("none = {}", "cw3 = { weight = [0.1] }", "did you mean 'cw2'"),
        ("none = {}", "cw2 = { weight = [] }", "weight"),
        ("[[sweep]]", "[[sweep]", "is not TOML"),
    ],
)
def test_a_campaign_that_cannot_be(refused, file, old, new, message):
    file.write_text(TOML.replace(old, new))
    assert message in refused(file)
    assert os.listdir() == ["mine.toml"]


def test_a_file_of_another_encoding(refused, file):
    file.write_bytes("# Münster".encode("latin-1"))
    assert "mine.toml is not TOML: it is not UTF-8" in refused(file)


def test_a_name_that_is_none(refused):
    assert "did you mean 'standard'" in refused("standrad")


def test_a_scheduler_that_does_not_answer(refused, file):
    pytest.importorskip("distributed")
    said = refused(file, "--scheduler", "tcp://127.0.0.1:9", "--timeout", "0.5")
    assert "the scheduler tcp://127.0.0.1:9 does not answer within 0.5 s" in said
    assert os.listdir() == ["mine.toml"]


def test_a_folder_of_other_things_is_refused_and_keeps_all_of_them(refused, file):
    for path in (Path("thesis/scratch/data.txt"), Path("thesis/thesis.tex")):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("years of work")
    assert "thesis holds scratch and no campaign" in refused(file, "--out", "thesis")
    assert Path("thesis/scratch/data.txt").read_text() == Path("thesis/thesis.tex").read_text() == "years of work"


def test_a_store_of_another_version(refused, file):
    Path("old").mkdir()
    record = {"schema": "kd2m-campaign/0", "version": "kd2m-theory 0.0.1", "campaigns": {}}
    Path("old/store.json").write_text(json.dumps(record))
    for arguments in ((file, "--out", "old", "--resume"), ("report", "old"), ("merge", "new", "old")):
        assert "numbers of two versions do not mix" in refused(*arguments)
    assert json.loads(Path("old/store.json").read_text()) == record
    assert os.listdir("old") == ["store.json"]


def copied_with(file, old, new, folder):
    """A copy of the package in which one line differs; the environment to run it in."""
    for name in ("kd2m_theory", *(f"kd2m_theory.{room}" for room in ("estimators", "bounds", "validation", "paper_figures"))):
        home = Path(importlib.import_module(name).__file__).parent
        shutil.copytree(home, folder / name.replace(".", "/"), dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    changed = folder / "kd2m_theory" / file
    text = changed.read_text()
    assert text.count(old) == 1
    changed.write_text(text.replace(old, new))
    return os.environ | {"PYTHONPATH": str(folder)}


@pytest.mark.long
def test_code_with_another_constant_does_not_continue_a_store(command, file, tmp_path):
    chosen = read_campaign(file)
    Store(Path("made")).create(chosen.table, chosen.digest, False, {})
    eps = "EPS = float(np.finfo(np.float64).eps)"
    changed = copied_with("estimators/ground.py", eps, f"{eps} * 1e6", tmp_path / "elsewhere")
    kept = {path: path.read_bytes() for path in Path("made").rglob("*") if path.is_file()}
    code = "from kd2m_theory.commands.main import main; main()"
    arguments = ["validate", str(file), "--out", "made", "--workers", "1", "--resume"]
    done = subprocess.run([sys.executable, "-c", code, *arguments], env=changed, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert "made has numbers that this code does not compute" in done.stderr
    assert {path: path.read_bytes() for path in Path("made").rglob("*") if path.is_file()} == kept


def test_a_campaign_is_changed_on_the_command_line(command, file, monkeypatch):
    seen = []

    def stopped(campaign, folder, **_):
        seen.append((campaign.table["sweep"][0]["seeds"], folder))
        raise InputError("that is enough")

    monkeypatch.setattr(campaign_run, "run_campaign", stopped)
    assert command("validate", file, "--out", "made", "--set", "sweep.1.seeds=[3]")[0] == 2
    assert seen == [([3], Path("made"))]


def test_the_old_name_of_out_still_works_and_says_so(command, refused, file):
    Path("full").mkdir()
    Path("full/thesis.tex").touch()
    status, _, err = command("validate", file, "--store", "full")
    assert status == 2
    assert err.splitlines()[0] == "kd2m: --store is deprecated and goes in 0.3; use --out"
    assert "full holds thesis.tex and no campaign" in err.splitlines()[1]
    status, _, err = command("validate", file, "--store", "a", "--out", "b")
    assert (status, "--out is b and --store a" in err) == (2, True)


def test_a_store_that_is_none(refused):
    assert "absent holds no campaign; start one with kd2m validate" in refused("report", "absent")


def test_a_full_disk(refused, file, monkeypatch):
    replace = os.replace

    def full(source, target):
        if Path("made").resolve() in Path(target).parents:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        replace(source, target)

    monkeypatch.setattr("kd2m_theory.files.os.replace", full)
    assert "numbers.json cannot be written (No space left on device)" in refused(file, "--out", "made", "--workers", "1")
    assert os.listdir("made") == []


@pytest.mark.long
def test_a_whole_campaign_and_what_may_not_be_done_to_it(command, refused, file, monkeypatch):
    status, out, _ = command("validate", file, "--out", "made", "--workers", "1")
    assert status == 0
    assert "no guaranteed bound is violated" in out
    assert sorted(os.listdir("made")) == ["numbers.json", "parts", "report", "store.json", "table.parquet", "teachers"]
    table = Path("made/table.parquet").read_bytes()
    assert "made holds this campaign; continue it with --resume" in refused(file, "--out", "made")
    next(Path("made/parts").iterdir()).unlink()
    assert "1 tasks of the campaign are missing; continue it with --resume" in refused("report", "made")
    with monkeypatch.context() as patch:  # in this process, which has no libraries to load
        patch.setattr(campaign_run, "LocalProcesses", lambda _workers, scratch: Inline(scratch))
        assert command("validate", file, "--out", "made", "--workers", "1", "--resume")[0] == 0
    assert Path("made/table.parquet").read_bytes() == table

    # No evidence is no success: a part of fewer rows, of none, or of another task.
    (done,) = Path("made/parts").iterdir()
    whole, rows = done.read_bytes(), pyarrow.parquet.read_table(done)
    only_measured = rows.filter(pyarrow.compute.equal(rows["kind"], "measured"))
    sealed = only_measured.replace_schema_metadata({**rows.schema.metadata, b"rows": rows_digest(only_measured).encode()})
    for fake, why in (
        (only_measured, "has other rows than its task returned"),
        (sealed, "has no row of kind bound, which is not evidence"),
        (rows.slice(0, 0), "has no rows, which is not evidence"),
    ):
        pyarrow.parquet.write_table(fake, done)
        assert why in refused("report", "made")
    done.write_bytes(whole)
    done.with_stem("0123456789abcdef").write_bytes(whole)
    assert f"0123456789abcdef.parquet says that it is the part of {done.stem}" in refused("report", "made")
    done.with_stem("0123456789abcdef").unlink()

    def failing(*_arguments, **_options):
        raise CampaignError("1 of 1 tasks failed")

    again = file, "--out", "made", "--resume"
    monkeypatch.setattr(campaign_run, "run_campaign", failing)
    assert "1 of 1 tasks failed" in refused(*again)
    # A violation that another task found is not hidden by it.
    violated = Violation(name="T1.l2", run="a run", epoch=1, value=0.5, lower=-1.0, upper=0.4, file="violations/x.safetensors")
    monkeypatch.setattr(findings, "judge", lambda *_: Judgement(1, (violated,), ()))
    status, out, err = command("validate", *again)
    assert status == 1
    assert "VIOLATED: T1.l2" in out
    assert "kd2m audit made/violations/x.safetensors" in out
    assert err == "kd2m: 1 of 1 tasks failed\n"
