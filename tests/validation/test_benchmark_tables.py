"""Tables of benchmarks: what is stored is what is read, and nothing damaged is; Markdown shows it; scripts write it."""

import json
import math
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kd2m_theory import InputError
from kd2m_theory.validation import benchmark_tables, stored_parts
from kd2m_theory.validation.benchmark_tables import (
    Benchmark,
    BenchmarkTable,
    Column,
    Source,
    line,
    markdown,
    parse_benchmark,
    read_benchmark,
    to_json,
)

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "validation" / "benchmarks"
COLUMNS = (Column("loss"), Column("time", "s", ".2f"), Column("share", format=".1%"), Column("gain", "points", "+.1f"))
RECORD = {"loss": "W2", "time": 1.25, "share": 0.4567, "gain": {"mean": 1.0, "half": 0.5}}


def benchmark(*records, **changes):
    whole = {
        "title": "A title",
        "command": "python a.py",
        "date": "2026-01-31",
        "environment": {"cores": 2, "machine": "x86_64", "python": "3.11.7", "numpy": "2.4.6"},
        "setting": {"d": 512, "grids": {"kd": [0.1, 1.0], "ttm": [4.0]}},
        "note": "times are medians",
        "tables": [BenchmarkTable("losses", COLUMNS, records or [RECORD], {"n": 5})],
    }
    return Benchmark(**whole | changes)


def read(tmp_path, data):
    path = tmp_path / "table.json"
    path.write_bytes(data if isinstance(data, bytes) else json.dumps(data).encode())
    return read_benchmark(path, "python a.py")


NUMBERS = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**53), 2**53)
MEANS = st.fixed_dictionaries({"mean": NUMBERS, "half": st.none() | NUMBERS})
CELLS = {
    "loss": st.text(st.characters(exclude_categories=["Cs"])),
    "time": st.none() | NUMBERS,
    "share": NUMBERS,
    "gain": MEANS,
}


@given(st.lists(st.fixed_dictionaries(CELLS), max_size=4))
def test_what_is_stored_is_read_without_a_change(records):
    made = benchmark(tables=[BenchmarkTable("losses", COLUMNS, records, {"n": 5})])
    found = parse_benchmark(to_json(made), Source("table.json", "python a.py"))
    (table,) = found.titled("losses")
    assert table.words("loss") == [record["loss"] for record in records]
    assert table.numbers("time") == [record["time"] for record in records]
    assert table.measured("share") == [record["share"] for record in records]
    assert [mean._asdict() for mean in table.means("gain")] == [record["gain"] for record in records]
    assert to_json(found) == to_json(made)


def test_what_is_not_a_number_is_not_stored():
    with pytest.raises(ValueError, match="JSON"):
        to_json(benchmark({**RECORD, "time": float("nan")}))


def test_markdown_shows_machine_setting_units_and_rounded_numbers():
    assert list(
        markdown(benchmark(RECORD, {"loss": "MMD", "time": None, "share": 0, "gain": {"mean": -0.25, "half": None}}))
    ) == [
        "## A title",
        "",
        "`python a.py`, 2026-01-31",
        "",
        "2 cores, x86_64, Python 3.11.7, numpy 2.4.6; d = 512, grids = kd: 0.1, 1; ttm: 4; times are medians.",
        "",
        "Table: losses; n = 5.",
        "",
        "| loss | time (s) | share | gain (points) |",
        "|---|--:|--:|--:|",
        "| W2 | 1.25 | 45.7% | +1.0 ± 0.5 |",
        "| MMD |  | 0.0% | -0.2 |",
        "",
    ]


def test_half_of_an_interval_has_no_sign():
    assert line((Column("gain", format="+.2f"),), {"gain": {"mean": 0.5, "half": 0.25}}) == "| +0.50 ± 0.25 |"


def damaged(**changes):
    return json.loads(to_json(benchmark())) | changes


def in_table(**changes):
    content = damaged()
    content["tables"][0] |= changes
    return content


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\xff\xff\xff", "is not a table of a benchmark; write it again with `python a.py` (UnicodeDecodeError"),
        (b"| a |", "is not a table of a benchmark; write it again with `python a.py` (JSONDecodeError"),
        (b"[" * 10**5, "is not a table of a benchmark; write it again with `python a.py` (RecursionError"),
        (b"[]", "is not a table of a benchmark; write it again with `python a.py` (it is not a table)"),
        (
            in_table(records=[{**RECORD, "time": math.nan}]),
            "is not a table of a benchmark; write it again with `python a.py` (",
        ),
        (in_table(records=[{**RECORD, "time": 10**400}]), "is not a table of a benchmark; write it again with `python a.py` ("),
        ({}, "is not a table of a benchmark: its schema is not 'kd2m-benchmark/1'; write it again"),
        ({key: value for key, value in damaged().items() if key != "date"}, "is not a table of a benchmark: its 'date'"),
        (damaged(title="\ud800"), "is not a table of a benchmark: it holds an unpaired surrogate"),
        (damaged(date=3), "is not a table of a benchmark: its 'date' is not what a benchmark writes"),
        (damaged(environment=[]), "is not a table of a benchmark: its 'environment' is not what a benchmark writes"),
        (damaged(tables=[[]]), "is not a table of a benchmark: a table lacks its title, setting, columns or records"),
        (in_table(records={}), "is not a table of a benchmark: a table lacks its title, setting, columns or records"),
        (in_table(columns=["loss"]), "is not a table of a benchmark: a column lacks its name, unit or format"),
        (
            in_table(columns=[{"name": "a", "unit": "", "format": ".999999999f"}]),
            "is not a table of a benchmark: a column lacks its name, unit or format",
        ),
        (in_table(records=[{"loss": "W2"}]), "has a record in table 'losses' whose keys are not the columns"),
        (in_table(records=[3]), "has a record in table 'losses' whose keys are not the columns"),
    ],
)
def test_what_is_no_table_is_refused_in_one_line(tmp_path, data, message):
    with pytest.raises(InputError, match=re.escape(f"table.json {message}")) as error:
        read(tmp_path, data)
    assert "write it again with `python a.py`" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("cell", "shown"),
    [("x", '"x"'), (True, "true"), ([[3]], "a list or a table"), (None, "null")],
)
def test_a_cell_that_is_no_number_is_named(tmp_path, cell, shown):
    (table,) = read(tmp_path, in_table(records=[{**RECORD, "time": cell}])).tables
    with pytest.raises(
        InputError, match=rf"has {re.escape(shown)}.* in column 'time' of table 'losses', which is not a number"
    ):
        table.measured("time")


def test_what_a_table_lacks_is_named(tmp_path):
    found = read(tmp_path, damaged())
    with pytest.raises(InputError, match=r"table\.json has no table 'rows'"):
        found.titled("rows")
    (table,) = found.tables
    with pytest.raises(InputError, match="has no column 'loss or so' in table 'losses', only loss, time, share, gain"):
        table.words("loss or so")
    with pytest.raises(InputError, match="does not say 'K' of its table 'losses'"):
        table.chosen("K")
    with pytest.raises(InputError, match=r"has 1\.25 in column 'time' of table 'losses', which is not words"):
        table.words("time")
    with pytest.raises(InputError, match="which is not a mean with half of its interval"):
        table.means("time")


def test_the_page_says_what_the_shipped_tables_say(capsys):
    assert stored_parts.main([str(ROOT / "docs" / "benchmarks.md")]) == 0, capsys.readouterr().err


def test_a_number_on_the_page_that_is_not_the_tables_is_found(tmp_path, capsys):
    page, text = tmp_path / "page.md", (ROOT / "docs" / "benchmarks.md").read_text()
    time = re.search(r"\| 10000 \| 512 \| (\d+\.\d\d) \|", text)[1]
    other = f"{float(time) + 0.01:.2f}"
    page.write_text(text.replace(time, other))
    assert stored_parts.main([str(page)]) == 1
    assert other in capsys.readouterr().err


def test_every_script_is_on_the_page_and_has_its_table():
    folder = ROOT / "validation" / "benchmarks"
    scripts = {path.stem for path in folder.glob("*.py") if re.search(r"\b(save|Kept)\(\n", path.read_text())} - {
        "harness",
    }
    assert scripts == set(benchmark_tables.NAMES)
    assert {path.name for path in folder.glob("*.md")} == {"standard.md"}


def shipped(name):
    stored = benchmark_tables.stored(name)
    return stored.read(stored.path(None))


def test_shipped_tables_have_the_columns_that_their_scripts_write(monkeypatch):
    """A script whose columns changed needs another run, or its figure reads columns that are no longer measured."""
    constants = {
        "transport": ["EXACT", "GROWTH", "MEASURED"],
        "losses": ["COLUMNS", "BY_CLASS"],
        "mmd": ["COLUMNS", "SUMMARY"],
        "gaussian": ["COLUMNS"],
        "audit_scale": ["AUDITS", "DEAREST", "ROWS", "ROWS"],
        "steps": ["WITHOUT", "ADDED"],
        "unikd": ["PARTS", "BESIDE"],
        "glyphs": ["COLUMNS", "ATLAS"],
    }
    monkeypatch.syspath_prepend(SCRIPTS)
    for name, columns in constants.items():
        script = runpy.run_path(str(SCRIPTS / f"{name}.py"), run_name=name)
        stored = [[column.name for column in table.columns] for table in shipped(name).tables]
        assert [[column.name for column in script[each]] for each in columns] == stored, name


@pytest.mark.long
def test_a_script_stores_what_it_prints(tmp_path):
    path = tmp_path / "gaussian.json"
    script = ROOT / "validation" / "benchmarks" / "gaussian.py"
    words = [sys.executable, str(script), "--n", "40", "--d", "8", "--save", str(path)]
    done = subprocess.run(words, capture_output=True, text=True, check=True, env={"PYTHONPATH": ":".join(sys.path)})
    found = read_benchmark(path, "")
    assert done.stdout.strip() in "\n".join(markdown(found))
    assert found.command == f"python validation/benchmarks/gaussian.py --n 40 --d 8 --save {path}"
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", found.date)
    assert found.environment.keys() == {"cores", "machine", "python", "kd2m-theory", "numpy", "scipy"}
    (table,) = found.tables
    values = zip(table.measured("value"), table.measured("sqrtm value"), strict=True)
    assert all(ours == pytest.approx(theirs, rel=1e-6) for ours, theirs in values)


@pytest.mark.parametrize(("file", "words"), [("made.md", "does not end with .json"), ("absent/made.json", "does not exist")])
def test_a_script_refuses_a_file_before_it_measures(tmp_path, monkeypatch, capsys, file, words):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(SCRIPTS)
    monkeypatch.setattr(sys, "argv", ["gaussian.py", "--save", file])
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(str(SCRIPTS / "gaussian.py"), run_name="__main__")
    out, err = capsys.readouterr()
    assert (stop.value.code, out) == (2, "")
    assert words in err
