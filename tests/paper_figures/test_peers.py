"""The figure of time and memory beside other libraries."""

import json

import pytest

from kd2m_theory import InputError
from kd2m_theory.paper_figures.peers import FIGURE
from kd2m_theory.validation.benchmark_tables import stored

# Table and column in which each benchmark wrote its own quotient, from numbers before they were rounded.
QUOTIENTS = {
    "exact W₂ with certificate, POT": ("transport", 0, "POT / ours"),
    "Gaussian W₂, sqrtm": ("gaussian", 0, "sqrtm / ours"),
    "MMD, three matrix products": ("mmd", 0, "MMD / products"),
    "audit's rows T2, K = 10, POT": ("audit_scale", 3, "POT / ours"),
    "audit's rows T2, K = 100, POT": ("audit_scale", 2, "POT / ours"),
}


def shipped(name):
    return json.loads(stored(name).path(None).read_bytes())


@pytest.mark.parametrize("name", QUOTIENTS)
def test_quotients_are_those_that_the_benchmark_wrote(name):
    file, which, column = QUOTIENTS[name]
    written = [record[column] for record in shipped(file)["tables"][which]["records"] if record[column] is not None]
    if column.endswith("products"):
        written = [1 / value for value in written]
    (drawn,) = [one["time"] for one in FIGURE.numbers()["comparisons"] if one["name"] == name]
    assert len(drawn) == len(written) > 1
    # Seconds have two decimals: a quotient of hundredths of a second is known to a quarter.
    assert drawn == pytest.approx(written, rel=0.25)


def test_every_loss_is_compared_at_every_size():
    comparisons = {one["name"]: one for one in FIGURE.numbers()["comparisons"]}
    losses = [name for name in comparisons if name.startswith("loss ")]
    assert len(losses) == 4
    assert all(len(comparisons[name]["time"]) == 3 for name in losses)


def test_the_machine_is_named():
    assert "cores" in FIGURE.numbers()["machine"]
    assert "POT" in FIGURE.numbers()["machine"]


def copied(folder, **changed):
    for each in FIGURE.reads:
        content = changed.get(each.file.removesuffix(".json")) or json.loads(each.path(None).read_bytes())
        (folder / each.file).write_text(json.dumps(content))
    return folder


def test_tables_of_another_folder_are_drawn_instead(tmp_path):
    transport = shipped("transport")
    transport["tables"][0]["records"][0]["time"] = 99.5
    table = FIGURE.numbers(copied(tmp_path, transport=transport))
    assert table["exact"]["seconds"][0] == 99.5
    assert table["comparisons"][0]["time"][0] < 0.1


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("time", None, "has null in column 'time' of table 'exact W₂', which is not a number"),
        ("time", "0.33", "has \"0.33\" in column 'time' of table 'exact W₂', which is not a number"),
        ("time", 1e-320, "has a quotient of 'POT time' and 'time' beyond every number in table 'exact W₂'"),
    ],
)
def test_a_number_that_is_none_is_named(tmp_path, name, value, message):
    transport = shipped("transport")
    transport["tables"][0]["records"][0][name] = value
    with pytest.raises(InputError) as error:
        FIGURE.numbers(copied(tmp_path, transport=transport))
    again = "; write it again with `python validation/benchmarks/transport.py --save transport.json`"
    assert str(error.value) == f"{tmp_path / 'transport.json'} {message}{again}"
