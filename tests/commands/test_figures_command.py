"""`kd2m figures`: what it writes, and what it refuses before it writes anything."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from functools import partial

import pytest

from kd2m_theory import files
from kd2m_theory.paper_figures import registry
from kd2m_theory.validation.stored_tables import StoredTable


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
    assert out == "written: made/here/couplings.svg, made/here/couplings.json\n"
    assert sorted(os.listdir("made/here")) == ["couplings.json", "couplings.svg"]
    with open("made/here/couplings.json") as file:
        assert json.load(file)["crossing"] > 0


def test_a_second_run_writes_the_same_bytes(kd2m):
    for folder in ("a", "b"):
        assert kd2m("--out", folder, "--only", "gaussian-approximation")[0] == 0
    assert sorted(os.listdir("a")) == [f"gaussian-approximation.{kind}" for kind in ("pdf", "png", "svg")]
    for name in os.listdir("a"):
        with open(f"a/{name}", "rb") as first, open(f"b/{name}", "rb") as second:
            assert first.read() == second.read()


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
        (["--only", "couplings"], "name the folder for the figures with --out"),
        (["--out", "taken", "--only", "couplings"], "the folder taken cannot be made"),
        (["--out", "taken/below", "--only", "couplings"], "the folder taken/below cannot be made"),
        (["--out", "made", "--only", "peers", "--tables", "absent"], "there is no absent/transport.md; write it with `make"),
        (
            ["--out", "made", "--only", "coverage", "--tables", "."],
            "there is no standard.parquet; write it with `kd2m validate",
        ),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(kd2m, tmp_path, arguments, message):
    (tmp_path / "taken").write_text("a file")
    status, out, err = kd2m(*arguments)
    assert (status, out) == (2, "")
    assert err.startswith("kd2m: " + message)
    assert err.count("\n") == 1
    assert os.listdir() == ["taken"]


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
