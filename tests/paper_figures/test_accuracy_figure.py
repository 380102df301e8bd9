"""The figure of accuracies: measured and reported ones apart, each as it was measured or written."""

import json
import statistics

import numpy as np
import pyarrow.parquet
import pytest
from learned_rows import accuracy, run, table
from matplotlib.text import Text
from scipy import stats

from kd2m_theory.paper_figures.accuracy import FIGURE
from kd2m_theory.paper_figures.figure import LacksNumbersError
from kd2m_theory.paper_figures.reported import KD2M_ACCURACY, TTM_ACCURACY
from kd2m_theory.reporting.style import STUDENT
from kd2m_theory.validation.campaigns.trainings import trainings

# The slides' last column, of which some numbers are rounded and some are cut.
REPORTED_MEANS = {
    "W₂ (empirical)": 80.51,
    "CW₂ (empirical)": 80.69,
    "JW₂ (empirical)": 80.55,
    "W₂ (Gaussian)": 80.41,
    "CW₂ (Gaussian)": 80.54,
    "KL (Gaussian)": 80.38,
}
SEEDS = (0, 1, 2)
RUNS = [
    run(name, weight, seed, population=population)
    for population in ("digits", "svhn")
    for name, weight in (
        ("none", None),
        ("kd", 0.5),
        ("kd", 0.9),
        ("cw2", 1e-3),
        ("gaussian-kl", 1e-4),
        ("unikd", 0.1),
    )
    for seed in SEEDS
]


def made(*runs):
    return FIGURE.table(trainings(table(*(runs or RUNS))))


def test_reported_accuracies_have_the_means_that_are_reported():
    assert np.mean(KD2M_ACCURACY.alone) == pytest.approx(78.29, abs=0.0099)
    assert np.mean(KD2M_ACCURACY.teacher) == pytest.approx(81.20, abs=0.0099)
    assert KD2M_ACCURACY.students.keys() == REPORTED_MEANS.keys()
    for name, values in KD2M_ACCURACY.students.items():
        assert np.mean(values) == pytest.approx(REPORTED_MEANS[name], abs=0.0099), name


def test_measured_numbers_are_means_over_seeds_with_students_interval_and_gains_are_paired():
    found = made()
    assert [one["name"] for one in found["measured"]] == ["digits", "svhn"]
    for one in found["measured"]:
        assert one["teacher"] == pytest.approx(90)
        assert [student["name"] for student in one["students"]] == ["kd", "cw2", "gaussian-kl", "unikd"]
        for student in one["students"]:
            values = [100 * accuracy(student["name"], student["weight"], seed) for seed in SEEDS]
            gains = [value - 100 * accuracy("none", None, seed) for value, seed in zip(values, SEEDS, strict=True)]
            for here, expected in ((student, values), (student["gain"], gains)):
                low, high = stats.t.interval(0.95, 2, statistics.fmean(expected), statistics.stdev(expected) / 3**0.5 or 1e-300)
                assert here["mean"] == pytest.approx(statistics.fmean(expected))
                assert here["half"] == pytest.approx((high - low) / 2, abs=1e-9)
                assert here["seeds"] == 3
    kd = found["measured"][0]["students"][0]
    assert (kd["weight"], kd["at_an_end"]) == (0.9, True)


def test_gains_are_of_the_seeds_that_both_have_and_one_seed_has_no_interval():
    (one,) = made(run("none", seed=1), run("kd", 0.5, 0), run("kd", 0.5, 1), run("cw2", 1e-3, 2))["measured"]
    kd, cw2 = one["students"]
    assert (kd["seeds"], kd["gain"]["seeds"], kd["gain"]["half"]) == (2, 1, None)
    assert kd["gain"]["mean"] == pytest.approx(100 * (accuracy("kd", 0.5, 1) - accuracy("none", None, 1)))
    assert (cw2["half"], cw2["gain"]) == (None, None)


def test_one_seed_and_no_student_alone_are_drawn_and_said():
    found = made(run("kd", 0.5), run("cw2", 1e-3))
    picture = FIGURE.picture(found)
    assert any("one seed, no intervals" in text.get_text() for text in picture.findobj(Text))
    assert "nothing to compare with" in FIGURE.caption(found)
    assert found["measured"][0]["alone"] is None


def test_variants_are_told_apart_and_parts_of_unikd_have_another_figure():
    runs = [run("jw2", 1.0, options={"beta": beta}) for beta in (1.0, 2.0)]
    runs += [run("unikd", weight, options=options) for weight, options in ((0.1, {}), (0.0, {}), (0.1, {"fusion": False}))]
    names = [student["name"] for student in made(*runs)["measured"][0]["students"]]
    assert names == ["jw2 (beta = 1.0)", "jw2 (beta = 2.0)", "unikd"]


def test_what_a_paper_reports_for_the_population_stands_beside_what_was_measured():
    digits, svhn = made()["measured"]
    assert {student["reported"] for student in digits["students"]} == {None}
    assert {student["name"]: student["reported"] for student in svhn["students"]} == {
        "kd": None,
        "cw2": 94.06,
        "gaussian-kl": 94.05,
        "unikd": None,
    }
    pair = {"population": "cifar100", "teacher": "resnet56", "student": "resnet20"}
    (cifar,) = made(run("ttm", 7.0, **pair), run("cw2", 1e-3, **pair))["measured"]
    assert [student["reported"] for student in cifar["students"]] == [71.83, 61.47]
    axes = FIGURE.picture(made()).axes[1]
    hollow = [line.get_xdata()[0] for line in axes.lines if line.get_marker() == "s"]
    assert hollow == [94.06, 94.05]


def test_marks_stand_at_the_numbers_and_measured_ones_are_not_mixed_with_reported_ones():
    found = made()
    axes = FIGURE.picture(found).axes
    for one, measured in zip(axes[:2], found["measured"], strict=True):
        marks = [line for line in one.lines if line.get_marker() == "o"]
        assert {line.get_color() for line in marks} == {STUDENT}
        assert [line.get_xdata()[0] for line in marks] == [student["mean"] for student in measured["students"]]
    for k, one in enumerate(axes[2:5]):
        marks = [line for line in one.lines if line.get_marker() == "s"]
        assert [line.get_xdata()[0] for line in marks] == [values[k] for values in KD2M_ACCURACY.students.values()]
        assert one.get_title(loc="left") == KD2M_ACCURACY.data[k]
    words = [text.get_text() for text in axes[0].figure.figure.findobj(Text)]
    assert any("measured: mean of 3 seeds" in text for text in words)
    assert any("as reported by KD²M" in text for text in words)


# The paper's table as it is printed, in the order of its pairs: typed a second time.
TTM_TABLE = """
KD 74.92 73.54 70.66 70.67 73.08 73.33 72.98
TTM 76.23±.15 74.32±.31 71.83±.16 71.46±.16 73.97±.23 76.17±.28 74.33±.07
WTTM 76.37±.10 74.58±.26 71.92±.40 71.67±.28 74.13±.37 76.06±.27 74.44±.19
"""


def test_ttms_table_is_the_one_that_is_reported_and_drawn():
    pairs = made()["reported_pairs"]
    assert len(pairs["pairs"]) == len(set(TTM_ACCURACY.pairs)) == 7
    panel = FIGURE.picture(made()).axes[-1]
    for method, row in zip(pairs["methods"], TTM_TABLE.split("\n")[1:-1], strict=True):
        name, *cells = row.split()
        assert method["name"] == name
        assert method["accuracy"] == [float(cell.partition("±")[0]) for cell in cells]
        assert method["deviation"] == [float(cell.partition("±")[2]) for cell in cells if "±" in cell]
    drawn = [float(line.get_xdata()[0]) for line in panel.lines if line.get_marker() in ("s", "^", "D")]
    assert drawn == [value for method in pairs["methods"] for value in method["accuracy"]]


def test_the_caption_has_both_tables_and_every_gain():
    caption = " ".join(FIGURE.explained(made()).split())
    for name, values in KD2M_ACCURACY.students.items():
        assert f"{name} {' / '.join(f'{value:.2f}' for value in values)}" in caption
    assert "vgg13 → vgg8: KD 72.98, TTM 74.33 ± 0.07, WTTM 74.44 ± 0.19" in caption
    assert "kd (λ = 0.9, an end of its grid) " in caption


def test_the_caption_of_one_seed_speaks_of_no_interval_but_that_there_is_none():
    caption = " ".join(FIGURE.caption(made(run("none", seed=0), run("kd", 0.5, 0))).split())
    assert "One seed has no intervals, so nothing is decided." in caption
    assert "Each interval" not in caption
    assert "Each interval holds by itself" in FIGURE.caption(made())


def test_a_campaign_without_training_is_said_to_lack_it(tmp_path):
    pyarrow.parquet.write_table(table(), tmp_path / "table.parquet")
    with pytest.raises(LacksNumbersError, match="the figure accuracy needs students of an objective"):
        FIGURE.numbers(tmp_path)
    with pytest.raises(LacksNumbersError, match="the figure accuracy needs students of an objective"):
        made(run("none", seed=0), run("none", seed=1))


def test_the_numbers_can_be_stored():
    assert json.loads(json.dumps(made())) == made()
