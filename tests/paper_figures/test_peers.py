"""The figure of time and memory, and the reader of the benchmarks' tables."""

import re

import pytest

from kd2m_theory import InputError
from kd2m_theory.paper_figures.markdown_tables import markdown_tables
from kd2m_theory.paper_figures.peers import FIGURE
from kd2m_theory.validation.stored_tables import StoredTable

TEXT = """# A title

`a command`

2 cores

n = 5, K = 10

| loss | ours | POT / ours |
|---|---:|---:|
| W2 | 1.5 | 2.0 |
| ratio | | |

| x |
|:-:|
| -1e3 |
"""


@pytest.fixture
def file(tmp_path):
    def write(text):
        path = tmp_path / "table.md"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def test_tables_are_read_with_what_stands_above_them(file):
    first, second = markdown_tables(file(TEXT))
    assert first.above == second.above == "n = 5, K = 10"
    assert first.columns == ("loss", "ours", "POT / ours")
    assert first.words("loss") == ["W2", "ratio"]
    assert first.numbers("POT / ours") == [2.0, None]
    assert second.numbers("x") == [-1000.0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("only words\n", "table.md holds no table; write it anew"),
        ("| a | b |\n|---|---|\n| 1 |\n", "table.md has a row of 1 cells under 2 headings"),
        ("| a | b |\n| 1 | 2 |\n", "a table of table.md has no line of dashes under its headings"),
        ("| a |\n", "a table of table.md has no line of dashes under its headings"),
        (b"\xff\xfe\x00", "table.md is not text; write it anew"),
    ],
)
def test_what_is_no_table_is_refused(file, text, message):
    with pytest.raises(InputError, match=re.escape(message)):
        markdown_tables(file(text))


def test_columns_and_cells_are_named_when_they_are_wrong(file):
    first, _ = markdown_tables(file(TEXT))
    with pytest.raises(
        InputError, match=re.escape("table.md has no column 'theirs', only loss, ours, POT / ours; write it anew")
    ):
        first.numbers("theirs")
    with pytest.raises(InputError, match=r"table\.md has 'W2' in column 'loss', which is no number"):
        first.numbers("loss")


# Column in which each benchmark wrote its own quotient, from numbers before they were rounded.
QUOTIENTS = {
    "exact W₂ with certificate, POT": ("transport.md", 0, "POT / ours"),
    "Gaussian W₂, sqrtm": ("gaussian.md", 0, "sqrtm / ours"),
    "audit's rows T2, K = 10, POT": ("audit_scale.md", 1, "POT / ours"),
    "audit's rows T2, K = 100, POT": ("audit_scale.md", 3, "POT / ours"),
}


@pytest.mark.parametrize("name", QUOTIENTS)
def test_quotients_are_those_that_the_benchmark_wrote(name):
    file, which, column = QUOTIENTS[name]
    written = [v for v in markdown_tables(StoredTable(file, "").path(None))[which].numbers(column) if v is not None]
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


def test_tables_of_another_folder_are_drawn_instead(tmp_path):
    for stored in FIGURE.reads:
        text = stored.path(None).read_text()
        (tmp_path / stored.file).write_text(re.sub(r"\| 2000 \| 64 \| [0-9.]+", "| 2000 | 64 | 99.5", text))
    assert FIGURE.numbers(tmp_path)["exact"]["seconds"][0] == 99.5
    assert FIGURE.numbers(tmp_path)["comparisons"][0]["time"][0] < 0.1
