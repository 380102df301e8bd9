"""The figure of accuracies: measured and reported ones apart, each as it was written."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from matplotlib.text import Text

from kd2m_theory import InputError
from kd2m_theory.paper_figures.accuracy import FIGURE, STORED
from kd2m_theory.paper_figures.reported import KD2M_ACCURACY, TTM_ACCURACY
from kd2m_theory.reporting.style import STUDENT

SMALL = Path(__file__).parent / "stored"
TEXT = (SMALL / STORED.file).read_text()
# The slides' last column, of which some numbers are rounded and some are cut.
REPORTED_MEANS = {
    "W₂ (empirical)": 80.51,
    "CW₂ (empirical)": 80.69,
    "JW₂ (empirical)": 80.55,
    "W₂ (Gaussian)": 80.41,
    "CW₂ (Gaussian)": 80.54,
    "KL (Gaussian)": 80.38,
}


def numbers(tmp_path, text):
    (tmp_path / STORED.file).write_text(text)
    return FIGURE.numbers(tmp_path)


def panels():
    return FIGURE.picture(FIGURE.numbers(SMALL)).axes


def test_reported_accuracies_have_the_means_that_are_reported():
    assert np.mean(KD2M_ACCURACY.alone) == pytest.approx(78.29, abs=0.0099)
    assert np.mean(KD2M_ACCURACY.teacher) == pytest.approx(81.20, abs=0.0099)
    assert KD2M_ACCURACY.students.keys() == REPORTED_MEANS.keys()
    for name, values in KD2M_ACCURACY.students.items():
        assert np.mean(values) == pytest.approx(REPORTED_MEANS[name], abs=0.0099), name


def test_measured_numbers_are_those_of_the_file():
    table = FIGURE.numbers(SMALL)
    digits, glyphs = table["measured"]
    assert (digits["name"], glyphs["name"]) == ("digits", "glyphs")
    number = r"([-+]?[\d.]+)"
    pattern = rf'"objective": "(\S+)", .*"accuracy": {{"mean": {number}, "half": {number}}}, "gain": {{"mean": {number}, "half": {number}}}'
    rows = re.findall(pattern, TEXT)
    found = [
        (student["name"], student["mean"], student["half"], student["gain"]["mean"], student["gain"]["half"])
        for one in (digits, glyphs)
        for student in one["students"]
    ]
    assert found == [(name, *map(float, values)) for name, *values in rows]
    assert len(digits["students"]) == len(glyphs["students"]) == 17
    assert digits["alone"] == {"mean": 95.21, "half": 0.84}
    assert glyphs["teacher"] == {"mean": 93.7, "half": None}


def test_marks_stand_at_the_numbers_and_measured_ones_are_not_mixed_with_reported_ones():
    table = FIGURE.numbers(SMALL)
    axes = panels()
    for one, measured in zip(axes[:2], table["measured"], strict=True):
        marks = [line for line in one.lines if line.get_marker() == "o"]
        assert {line.get_color() for line in marks} == {STUDENT}
        assert [line.get_xdata()[0] for line in marks] == [student["mean"] for student in measured["students"]]
        bars = [
            np.ptp(line.get_xdata()) / 2 for line in one.lines if line.get_color() == STUDENT and len(line.get_xdata()) == 2
        ]
        assert bars == pytest.approx([student["half"] for student in measured["students"]])
    for k, one in enumerate(axes[2:5]):
        marks = [line for line in one.lines if line.get_marker() == "s"]
        assert {line.get_color() for line in marks} == {STUDENT}
        assert [line.get_xdata()[0] for line in marks] == [values[k] for values in KD2M_ACCURACY.students.values()]
        assert one.get_title(loc="left") == KD2M_ACCURACY.data[k]
    words = [text.get_text() for text in axes[0].figure.figure.findobj(Text)]
    assert any("this project" in text for text in words)
    assert any("as reported by KD²M" in text for text in words)


# The paper's table as it is printed, in the order of its pairs: typed a second time.
TTM_TABLE = """
KD 74.92 73.54 70.66 70.67 73.08 73.33 72.98
TTM 76.23±.15 74.32±.31 71.83±.16 71.46±.16 73.97±.23 76.17±.28 74.33±.07
WTTM 76.37±.10 74.58±.26 71.92±.40 71.67±.28 74.13±.37 76.06±.27 74.44±.19
"""


def test_ttms_table_is_the_one_that_is_reported_and_drawn():
    pairs = FIGURE.numbers(SMALL)["reported_pairs"]
    assert len(pairs["pairs"]) == len(set(TTM_ACCURACY.pairs)) == 7
    panel = panels()[-1]
    for method, row in zip(pairs["methods"], TTM_TABLE.split("\n")[1:-1], strict=True):
        name, *cells = row.split()
        assert method["name"] == name
        assert method["accuracy"] == [float(cell.partition("±")[0]) for cell in cells]
        assert method["deviation"] == [float(cell.partition("±")[2]) for cell in cells if "±" in cell]
    drawn = [float(line.get_xdata()[0]) for line in panel.lines if line.get_marker() in ("s", "^", "D")]
    assert drawn == [value for method in pairs["methods"] for value in method["accuracy"]]


def test_the_caption_has_both_tables():
    caption = " ".join(FIGURE.explained(FIGURE.numbers(SMALL)).split())
    for name, values in KD2M_ACCURACY.students.items():
        assert f"{name} {' / '.join(f'{value:.2f}' for value in values)}" in caption
    assert "vgg13 → vgg8: KD 72.98, TTM 74.33 ± 0.07, WTTM 74.44 ± 0.19" in caption


def test_one_population_is_drawn_alone(tmp_path):
    content = json.loads(TEXT)
    del content["tables"][1]
    table = numbers(tmp_path, json.dumps(content))
    assert [one["name"] for one in table["measured"]] == ["digits"]
    assert len(FIGURE.picture(table).axes) == 1 + len(KD2M_ACCURACY.data) + 1


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"teacher", "λ"', '"master", "λ"', "has no 'teacher' in column 'objective' of table 'digits'"),
        ('"none (λ = 0)"', '"none"', r"has no 'none \(λ = 0\)' in column 'objective' of table 'digits'"),
        ('{"mean": 95.21, "half": 0.84}', "95.21", "has 95.21 in column 'accuracy' of table 'digits', which is not a mean"),
        ('"mean": 95.21', '"mean": "95.21"', "has \"95.21\" in column 'accuracy' of table 'digits', which is not a number"),
        ('"gain"', '"difference"', "has no column 'gain' in table 'digits', only objective, λ"),
        ('"tables"', '"sheets"', "is not a table of a benchmark: its 'tables' is not what a benchmark writes"),
    ],
)
def test_a_file_that_is_not_the_benchmarks_is_refused(tmp_path, old, new, message):
    assert old in TEXT
    with pytest.raises(InputError, match=rf"accuracy\.json {message}.*; write it again with `python validation/benchmarks/acc"):
        numbers(tmp_path, TEXT.replace(old, new))


def test_a_file_without_a_population_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"accuracy\.json has no table of a population; write it again with `python"):
        numbers(tmp_path, json.dumps(json.loads(TEXT) | {"tables": []}))


def test_a_missing_file_names_the_command_that_writes_it(tmp_path):
    with pytest.raises(InputError, match=r"accuracy\.json; write it with `python validation/benchmarks/accuracy\.py --save"):
        FIGURE.numbers(tmp_path)
