"""`kd2m figures`: what it writes, and what it refuses before it writes anything."""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from functools import partial

import pytest
from learned_rows import run
from trained_campaign import TABLE, trained_store

from kd2m_theory import files
from kd2m_theory.paper_figures import registry
from kd2m_theory.validation.benchmark_tables import stored
from kd2m_theory.validation.campaigns.campaign import campaign
from kd2m_theory.validation.campaigns.plan import tasks
from kd2m_theory.validation.campaigns.store import Store
from kd2m_theory.validation.campaigns.stored_campaigns import STANDARD
from kd2m_theory.validation.campaigns.table import part
from kd2m_theory.validation.stored_tables import StoredTable

POPULATIONS = ("digits", "gaussian-mixture", "glyphs")


@pytest.fixture
def kd2m(command):
    return partial(command, "figures")


def test_the_list_names_every_figure_and_draws_nothing(kd2m):
    status, out, err = kd2m("--list")
    assert (status, err) == (0, "")
    assert [line.split()[0] for line in out.splitlines() if line[0] != " "] == ["name", *(f.name for f in registry.figures())]
    assert os.listdir() == []


def test_one_figure_in_the_formats_asked_for(kd2m):
    status, out, err = kd2m("--out", "made/here", "--only", "couplings", "--format", "svg", "--format", "json")
    assert (status, err) == (0, "")
    assert out == "written: made/here/couplings.svg, made/here/couplings.json, made/here/couplings.txt\n"
    assert sorted(os.listdir("made/here")) == ["couplings.json", "couplings.svg", "couplings.txt"]
    with open("made/here/couplings.json") as file:
        assert json.load(file)["crossing"] > 0


@pytest.mark.long
def test_a_second_run_writes_the_same_bytes(kd2m):
    for folder in ("a", "b"):
        assert kd2m("--out", folder, "--only", "gaussian-approximation")[0] == 0
    assert sorted(os.listdir("a")) == [f"gaussian-approximation.{kind}" for kind in ("pdf", "png", "svg", "txt")]
    for name in os.listdir("a"):
        with open(f"a/{name}", "rb") as first, open(f"b/{name}", "rb") as second:
            assert first.read() == second.read()


@pytest.mark.parametrize(("width", "inches"), [pytest.param("lncs", 122 / 25.4, marks=pytest.mark.long), ("5", 5.0)])
def test_a_figure_has_the_width_that_was_asked_for(kd2m, tmp_path, width, inches):
    assert kd2m("--out", "made", "--only", "gaussian-approximation", "--format", "svg", "--width", width)[0] == 0
    found = re.search(r'<svg [^>]*width="([0-9.]+)pt"', (tmp_path / "made" / "gaussian-approximation.svg").read_text())
    assert float(found[1]) == pytest.approx(72 * inches, abs=1e-3)


@pytest.fixture
def with_a_sweep(monkeypatch):
    """Two figures, of which one needs a table that nobody has made."""
    (couplings,) = registry.chosen(["couplings"])
    sweep = replace(couplings, name="sweep", reads=(StoredTable("sweep.parquet", "kd2m validate sweep"),))
    monkeypatch.setattr(registry, "figures", lambda: (sweep, couplings))


@pytest.mark.parametrize("only", [[], ["--only", "sweep"], ["--only", "couplings", "--only", "sweep"]])
def test_a_figure_without_its_measurements_is_refused_before_any_is_drawn(kd2m, with_a_sweep, only):
    status, out, err = kd2m("--out", "made", *only)
    assert (status, out) == (2, "")
    assert err.startswith("kd2m: no sweep.parquet ships; write it with `kd2m validate sweep`")
    assert os.listdir() == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--out", "made", "--only", "laddr"], "there is no figure 'laddr'; did you mean 'ladder'? figures are framework,"),
        (["--out", "made", "--only", "couplings", "--only", "Mona Lisa"], "there is no figure 'Mona Lisa'; "),
        (
            ["--out", "made", "--only", "couplings", "--format", "sgv"],
            "there is no format 'sgv'; did you mean 'svg'? formats are",
        ),
        (
            ["--out", "made", "--only", "couplings", "--width", "colum"],
            "there is no width 'colum'; did you mean 'column'? widths are",
        ),
        (
            ["--out", "made", "--only", "couplings", "--width", "2"],
            "there is no width '2'; widths are column, lncs, page, or a nu",
        ),
        (["--out", "made", "--only", "couplings", "--width", "nan"], "there is no width 'nan'; "),
        (["--only", "couplings"], "name the folder for the figures with --out"),
        (["--out", "taken", "--only", "couplings"], "the folder taken cannot be made"),
        (["--out", "taken/below", "--only", "couplings"], "the folder taken/below cannot be made"),
        (["--out", "made", "--only", "peers", "--from", "absent"], "there is no absent/transport.json; write it with `python"),
        (
            ["--out", "made", "--only", "coverage", "--from", "."],
            "there is no standard.parquet or store.json or table.parquet; write it with `kd2m validate",
        ),
        (["--out", "made", "--from", "."], "no figure's stored tables are in .; `kd2m figures --list` says"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(kd2m, tmp_path, arguments, message):
    (tmp_path / "taken").write_text("a file")
    status, out, err = kd2m(*arguments)
    assert (status, out) == (2, "")
    assert err.startswith("kd2m: " + message)
    assert err.count("\n") == 1
    assert os.listdir() == ["taken"]


def test_a_folder_of_tables_is_drawn_without_naming_its_figures(kd2m, tmp_path):
    shutil.copy(stored("transport").path(None), tmp_path)
    status, out, err = kd2m("--out", "made", "--format", "json", "--from", ".")
    assert (status, err, out) == (0, "", "written: made/transport-sizes.json\n")


def begun_store(folder, finished):
    """A store whose first tasks are finished, as if the campaign was stopped then: it has no table."""
    made, chosen = Store(folder), campaign(TABLE)
    made.create(chosen.table, chosen.digest, resume=False)
    (folder / "parts").mkdir()
    for task in tasks(chosen)[:finished]:
        objective = task.table["run"]["objective"]
        rows = run(objective["name"], objective.get("weight"), task.table["run"]["seed"], population="glyphs", task=task.digest)
        rows = [row | {"task": task.digest} for row in rows] + [{"kind": "bound", "name": "T0"}]
        data = part({"task": task.digest}, rows, {"seconds": 0.0, "task": dict(task.table)})
        (folder / "parts" / f"{task.digest}.parquet").write_bytes(data)
    return made


def test_a_store_that_is_not_finished_is_drawn_as_far_as_it_is_and_says_so(kd2m, tmp_path):
    count = len(tasks(campaign(TABLE)))
    begun_store(tmp_path / "store", finished=6)  # two seeds of cw2 with three weights
    status, _, err = kd2m("--out", "made", "--format", "svg", "--only", "lambda-sweep", "--from", "store")
    assert (status, err) == (0, "")
    assert f"{count - 6} tasks of the campaign are missing" in " ".join(
        (tmp_path / "made/lambda-sweep.txt").read_text().split()
    )
    first = {path.name: path.read_bytes() for path in (tmp_path / "made").iterdir()}
    assert kd2m("--out", "again", "--format", "svg", "--only", "lambda-sweep", "--from", "store")[0] == 0
    assert {path.name: path.read_bytes() for path in (tmp_path / "again").iterdir()} == first


def test_what_a_store_cannot_give_is_left_out_and_asked_for_by_name_refused(kd2m, tmp_path):
    begun_store(tmp_path / "store", finished=6)
    lacks = (
        "the figure entropy needs a student of kd, ttm or wttm, audited after its last epoch; on glyphs the campaign has cw2"
    )
    status, out, _ = kd2m("--list", "--from", "store")
    assert (status, lacks in " ".join(out.split())) == (0, False)  # folded in a column of its own
    assert "lambda-sweep" in out
    assert "framework" not in out
    status, out, err = kd2m("--out", "made", "--format", "json", "--from", "store")
    assert status == 0
    assert f"kd2m: left out: entropy; {lacks}\n" in err
    assert "kd2m: left out: coverage; the figure coverage needs a [[coverage]] study" in err
    assert {path.stem for path in (tmp_path / "made").iterdir()} == {"accuracy", "lambda-sweep", "embedding"}
    status, out, err = kd2m("--out", "no", "--format", "json", "--only", "entropy", "--from", "store")
    assert (status, out, err) == (2, "", f"kd2m: {lacks}\n")


def test_a_store_without_a_finished_task_has_no_figure(kd2m, tmp_path):
    begun_store(tmp_path / "store", finished=0)
    status, out, err = kd2m("--out", "made", "--from", "store")
    assert (status, out) == (2, "")
    assert err.splitlines()[-1].startswith("kd2m: store has no numbers for any figure; `kd2m figures --list --from store` says")


def test_a_damaged_part_of_a_store_is_refused(kd2m, tmp_path):
    begun_store(tmp_path / "store", finished=1)
    (damaged,) = (tmp_path / "store" / "parts").iterdir()
    damaged.write_bytes(b"PAR1")
    status, _, err = kd2m("--out", "made", "--from", "store")
    assert (status, "is not a part of a campaign" in err, err.count("\n")) == (2, True, 1)


@pytest.mark.long
def test_a_campaign_gives_every_figure_of_training_and_the_same_bytes_again(kd2m, tmp_path):
    trained_store(tmp_path)
    for folder in ("a", "b"):
        assert kd2m("--out", folder, "--format", "png", "--from", "store")[0] == 0
    files = {path.name: path.read_bytes() for path in (tmp_path / "a").iterdir()}
    stems = {"accuracy", "lambda-sweep", "embedding", "entropy", "unikd", "tightness"}  # audited once, it has no course
    assert files.keys() == {f"{stem}.{kind}" for stem in stems for kind in ("png", "txt")}
    assert {path.name: path.read_bytes() for path in (tmp_path / "b").iterdir()} == files


@pytest.mark.long
def test_the_store_of_a_campaign_is_a_folder_of_tables(kd2m, tmp_path):
    (tmp_path / "store").mkdir()
    shutil.copy(STANDARD.path(None), tmp_path / "store" / "table.parquet")
    for folder, source in (("shipped", []), ("made", ["--from", "store"])):
        names = [] if source else ["--only", "coverage", "--only", "tightness"]
        assert kd2m("--out", folder, "--format", "json", *source, *names)[0] == 0
    by_population = [f"{name}-{population}" for name in ("embedding", "entropy", "unikd") for population in POPULATIONS]
    of_all = ["accuracy", "lambda-sweep", "tightness", "tightness-over-training", "coverage", "correlation"]
    assert sorted(os.listdir("made")) == sorted(f"{name}.json" for name in (*by_population, *of_all))
    for name in os.listdir("shipped"):
        assert (tmp_path / "made" / name).read_bytes() == (tmp_path / "shipped" / name).read_bytes()


def test_the_list_names_the_stored_tables(kd2m):
    assert "papers.parquet" in " ".join(kd2m("--list")[1].split())


def test_the_old_name_of_from_still_works_and_says_so(kd2m, tmp_path):
    shutil.copy(stored("transport").path(None), tmp_path)
    status, out, err = kd2m("--out", "made", "--format", "json", "--only", "transport-sizes", "--tables", ".")
    assert (status, out) == (0, "written: made/transport-sizes.json\n")
    assert err == "kd2m: --tables is deprecated and goes in 0.3; use --from\n"
    status, _, err = kd2m("--out", "made", "--tables", "a", "--from", "b")
    assert (status, "--from is b and --tables a; give --from alone" in err) == (2, True)


def test_a_folder_without_permission_is_refused_before_anything_is_drawn(kd2m, tmp_path, monkeypatch):
    def denied(dir):  # noqa: A002
        raise PermissionError(13, "Permission denied")

    # Not by the folder's mode, which the superuser may write past.
    monkeypatch.setattr(files, "TemporaryFile", denied)
    (tmp_path / "locked").mkdir()
    status, out, err = kd2m("--out", "locked", "--only", "couplings")
    assert (status, out) == (2, "")
    assert err == "kd2m: nothing can be written in locked (Permission denied); name another folder with --out\n"
    assert os.listdir("locked") == []


def test_help_loads_nothing_heavy():
    code = "import sys\nfrom kd2m_theory.commands.main import app\nsys.argv = ['kd2m', 'figures', '--help']\ntry:\n    app()\nexcept SystemExit:\n    print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"numpy", "scipy", "torch", "matplotlib"} & set(done.stdout.splitlines()[-1].split())
