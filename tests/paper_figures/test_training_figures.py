"""The figures of training: what they draw is what a campaign's table holds; what they cannot draw they say."""

import json

import numpy as np
import pyarrow.parquet
import pytest
from learned_rows import CLASSES, EPOCHS, curve, run, table
from matplotlib.patches import StepPatch

from kd2m_theory import InputError
from kd2m_theory.paper_figures.figure import LacksNumbersError
from kd2m_theory.paper_figures.registry import chosen
from kd2m_theory.paper_figures.training_curves import STORED, power
from kd2m_theory.validation.campaigns.stored_campaigns import STANDARD
from kd2m_theory.validation.campaigns.trainings import trainings

NAMES = ("lambda-sweep", "embedding", "entropy", "unikd")
SEEDS = (0, 1, 2)
WEIGHTS = (0.0, 1e-3, 1e-2)
UNIKD = "unikd"


def everything(seeds=SEEDS, **more):
    """Runs of a setting that has every figure."""
    points = [("cw2", weight, {}) for weight in WEIGHTS] + [("kd", 0.9, {}), ("ttm", 4.0, {}), ("wttm", 2.0, {})]
    points += [(UNIKD, 0.1, {}), (UNIKD, 0.0, {}), (UNIKD, 0.1, {"fusion": False}), (UNIKD, 0.1, {"heads": 3})]
    return [run(name, weight, seed, options=options, **more) for name, weight, options in points for seed in seeds]


def figure_of(name):
    return chosen([name])[0]


def tables_of(name, *runs):
    figure = figure_of(name)
    return {each.name: figure.table(each) for each in trainings(table(*runs)).settings}


def table_of(name, *runs):
    (made,) = tables_of(name, *(runs or everything())).values()
    return made


def rows(kind, name, target=None, **columns):
    wanted = {"kind": kind, "name": name, "target": target, **columns}
    found = [row for each in everything() for row in each if wanted.items() <= row.items()]
    assert found
    return found


def values(kind, name, target=None, **columns):
    return np.array([row["values"] for row in rows(kind, name, target, **columns)])


class TestLambdaSweep:
    @pytest.mark.parametrize(
        ("column", "name", "target"), [(0, "cross_entropy", "test"), (1, "cw2", "train"), (2, "accuracy", "test")]
    )
    def test_lines_are_the_means_and_bands_the_extremes(self, column, name, target):
        axes = figure_of("lambda-sweep").picture(table_of("lambda-sweep")).axes[column]
        factor = 100 if name == "accuracy" else 1
        for weight, line, band in zip(WEIGHTS, axes.lines, axes.collections, strict=True):
            expected = factor * values("curve", name, target, objective="cw2", weight=weight)
            assert expected.shape == (len(SEEDS), EPOCHS)
            np.testing.assert_allclose(line.get_ydata(), expected.mean(axis=0), rtol=1e-12)
            np.testing.assert_array_equal(line.get_xdata(), range(1, EPOCHS + 1))
            corners = band.get_paths()[0].vertices[:, 1]
            assert (corners.min(), corners.max()) == pytest.approx((expected.min(), expected.max()))
            assert line.get_linestyle() == ("--" if weight == 0 else "-")

    def test_without_a_weight_of_zero_the_student_of_no_objective_stands_for_it(self):
        made = table_of("lambda-sweep", run("none"), run("w2", 1e-3), run("w2", 1e-2))
        assert [student["weight"] for student in made["students"]] == [0.0, 1e-3, 1e-2]
        assert [student["distance"] is None for student in made["students"]] == [True, False, False]
        assert len(figure_of("lambda-sweep").picture(made).axes[1].lines) == 2
        assert "was not measured" in figure_of("lambda-sweep").caption(made)

    def test_any_grid_is_drawn_and_a_long_one_is_thinned(self):
        grid = [run("mmd", float(k), part="mmd") for k in range(13)]
        made = table_of("lambda-sweep", *grid)
        weights = [student["weight"] for student in made["students"]]
        assert (made["objective"], len(weights), weights[0], weights[1], weights[-1]) == ("mmd", 9, 0.0, 1.0, 12.0)

    @pytest.mark.parametrize(("weight", "words"), [(0.0, "0"), (1e-5, "$10^{-5}$"), (0.1, "0.1"), (3e-4, "0.0003"), (2.0, "2")])
    def test_weights_are_written_as_people_write_them(self, weight, words):
        assert power(weight) == words

    def test_one_seed_has_no_band_and_says_so(self):
        made = table_of("lambda-sweep", *everything(seeds=(0,)))
        picture = figure_of("lambda-sweep").picture(made)
        assert not picture.axes[0].collections
        assert "one seed, so no band" in picture.legends[0].get_title().get_text().replace("\n", " ")
        assert "With one seed it cannot be said whether it helps" in figure_of("lambda-sweep").caption(made)


class TestEntropy:
    def test_curves_and_histograms_are_those_of_the_table(self):
        made = table_of("entropy")
        entropy, divergence, histogram = figure_of("entropy").picture(made).axes
        steps = [patch for patch in histogram.patches if isinstance(patch, StepPatch)]
        of = {"alone": ("cw2", 0.0), "kd": ("kd", 0.9), "ttm": ("ttm", 4.0), "wttm": ("wttm", 2.0)}
        for k, (name, (objective, weight)) in enumerate(of.items()):
            assert made["students"][k]["name"] == name
            where = {"objective": objective, "weight": weight}
            for axes, column in ((entropy, "entropy"), (divergence, "transformed")):
                np.testing.assert_allclose(axes.lines[k].get_ydata(), values("curve", column, "test", **where).mean(axis=0))
            counts = values("histogram", "entropy", "student test", **where).sum(axis=0)
            np.testing.assert_allclose(steps[k].get_data().values, 100 * counts / counts.sum(), rtol=1e-12)
        assert made["teacher_entropy"] == pytest.approx(0.2)

    def test_those_that_a_campaign_has_are_drawn(self):
        made = table_of("entropy", run("ttm", 1.0), run("ttm", 4.0))
        assert [(student["name"], student["weight"]) for student in made["students"]] == [("ttm", 4.0)]
        assert "The order is" not in figure_of("entropy").caption(made)


class TestEmbedding:
    def test_points_and_distances_are_those_of_the_table(self):
        made = table_of("embedding")
        panels = figure_of("embedding").picture(made).axes
        assert [panel["weight"] for panel in made["panels"]] == [0.0, 1e-2]  # the best is the largest here
        for axes, weight in zip(panels, (0.0, 1e-2), strict=True):
            where = {"objective": "cw2", "weight": weight, "seed": 0}
            teacher, student = axes.lines[:2]
            for line, name in ((teacher, "teacher"), (student, "student")):
                np.testing.assert_array_equal(line.get_xydata().ravel(), values("embedding", name, "test", **where)[0])
            assert axes.get_title(loc="left").endswith(f"= {curve(10 / (1 + weight), 0)[-1]:.3g}")

    def test_the_best_on_validation_images_stands_before_the_largest(self):
        def worse(found):
            return [row | {"value": 0.1} if row["target"] == "student validation" else row for row in found]

        made = table_of("embedding", run("none"), run("cw2", 1e-3), worse(run("cw2", 1e-2)))
        assert [panel["weight"] for panel in made["panels"]] == [0.0, 1e-3, 1e-2]
        assert made["panels"][0]["distance"] is None


class TestUniKD:
    def test_matrices_and_marks_are_those_of_the_table(self):
        made = table_of("unikd")
        picture = figure_of("unikd").picture(made)
        panels = {axes.get_title(loc="left").partition("$  ")[0][-2]: axes for axes in picture.axes if axes.axison}
        assert sorted(panels) == list("abcdef")
        whole = {"objective": UNIKD, "weight": 0.1, "options": "{}"}
        of = {"no teacher": {"objective": "cw2", "weight": 0.0}, "KD": {"objective": "kd"}, "UniKD": whole}
        for letter, where in zip("abc", of.values(), strict=True):
            matrix = values("correlation", "logits", seed=0, **where)[0].reshape(CLASSES, CLASSES)
            np.testing.assert_array_equal(panels[letter].images[0].get_array(), matrix)
            size = np.mean([row["value"] for row in rows("correlation", "logits", **where)])
            assert f"({size:.3f})" in panels[letter].get_title(loc="left")
        of |= {
            "without its divergence": {"objective": UNIKD, "weight": 0.0},
            "without fusion of stages": {"options": json.dumps({"fusion": False})},
            "heads = 3": {"options": json.dumps({"heads": 3})},
        }
        assert sorted(text.get_text() for text in panels["d"].get_yticklabels()) == sorted(of)
        names = [text.get_text() for text in panels["d"].get_yticklabels()]
        for letter, column, factor in (("d", "accuracy", 100), ("e", "cross_entropy", 1), ("f", "divergence", 1)):
            marks = [tuple(line.get_xydata()[0]) for line in panels[letter].lines if line.get_marker() in ("o", "s", "^")]
            expected = [
                (factor * row["value"], y)
                for y, name in enumerate(names)
                for row in rows("result", column, "student test", **of[name])
            ]
            np.testing.assert_allclose(sorted(marks), sorted(expected), rtol=1e-12)

    def test_seeds_that_a_student_lacks_are_left_out(self):
        made = table_of("unikd", run("none"), run("none", seed=1), run(UNIKD, 0.1, 1))
        assert [row["seeds"] for row in made["ablation"]] == [[0, 1], [1]]
        assert [one["student"] for one in made["correlations"]] == ["no teacher"]
        figure_of("unikd").picture(made)

    def test_many_seeds_and_classes_are_drawn(self):
        big = [
            row | {"values": [0.1] * 400} if row["kind"] == "correlation" and row.get("values") else row
            for k in range(9)
            for row in run(UNIKD, 0.1, k)
        ]
        figure_of("unikd").picture(table_of("unikd", big))


NEEDS = {
    "lambda-sweep": [
        ([run("none"), run("kd", 0.9)], "needs an objective with at least two weights above zero"),
        ([run("cw2", 1e-3), run("cw2", 1e-2)], "needs a student without a teacher: objectives.cw2 with λ = 0"),
    ],
    "embedding": [
        ([run("none"), run("kd", 0.9)], "needs students without a teacher and of a distance of features"),
        ([run("none", seed=4), run("cw2", 1e-3, 4)], "of seed 0 and kept after the last epoch"),
        ([run("none", last=False), run("cw2", 1e-3, last=False)], "of seed 0 and kept after the last epoch"),
    ],
    "entropy": [
        ([run("none"), run("cw2", 1e-3)], "needs a student of kd, ttm or wttm"),
        ([run("kd", 0.9, last=False)], "audited after its last epoch; on digits the campaign has kd"),
    ],
    "unikd": [([run("none"), run("kd", 0.9)], r"needs a student of unikd .*; on digits the campaign has none, kd")],
}


@pytest.mark.parametrize(("name", "runs", "message"), [(name, *case) for name, cases in NEEDS.items() for case in cases])
def test_what_a_campaign_lacks_is_said(name, runs, message):
    with pytest.raises(LacksNumbersError, match=f"the figure {name} .*{message}"):
        table_of(name, *runs)


@pytest.mark.parametrize("name", [*NAMES, "accuracy"])
def test_what_is_no_table_of_a_campaign_is_refused(name, tmp_path):
    (stored,) = figure_of(name).reads
    (tmp_path / stored.file).write_text("{")
    with pytest.raises(InputError, match=r"\.parquet is not a table of a campaign in the form kd2m-campaign/4") as caught:
        figure_of(name).numbers(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", NAMES)
def test_a_table_without_training_is_said_to_lack_it(name, tmp_path):
    pyarrow.parquet.write_table(table(), tmp_path / STORED.file)
    with pytest.raises(LacksNumbersError, match=f"the figure {name} needs students, which the campaign has not"):
        figure_of(name).numbers(tmp_path)
    (tmp_path / STORED.file).unlink()
    with pytest.raises(InputError, match=r"table\.parquet; write it with `kd2m validate papers; cp"):
        figure_of(name).numbers(tmp_path)


def test_the_table_of_an_earlier_form_is_read_and_lacks_what_it_has_not(tmp_path):
    older = table([{"kind": "bound", "name": "T0", "population": "digits"}]).drop_columns(["training", "values"])
    pyarrow.parquet.write_table(older, tmp_path / "standard.parquet")
    (row,) = STANDARD.read(tmp_path / "standard.parquet").table.to_pylist()
    assert (row["name"], row["training"], row["values"]) == ("T0", None, None)
    pyarrow.parquet.write_table(older, tmp_path / STORED.file)
    with pytest.raises(LacksNumbersError, match="needs students, which the campaign has not"):
        figure_of("entropy").numbers(tmp_path)
    pyarrow.parquet.write_table(older.drop_columns(["ratio"]), tmp_path / STORED.file)
    with pytest.raises(InputError, match="its columns are others"):
        figure_of("entropy").numbers(tmp_path)


def test_a_small_file_that_declares_many_values_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("kd2m_theory.parquet_files.CELLS", 2_000)
    pyarrow.parquet.write_table(table([{"kind": "curve", "values": [0.0] * 3_000}]), tmp_path / STORED.file)
    with pytest.raises(InputError, match=r"it declares 3,03\d values"):
        figure_of("entropy").numbers(tmp_path)


def test_each_setting_of_a_campaign_has_a_picture_of_its_own(tmp_path):
    figure = figure_of("lambda-sweep")
    law = json.dumps({"classes": 62})
    runs = [
        *everything(),
        *everything(population="glyphs"),
        *everything(population="glyphs", law=law),
        run("kd", 0.9, population="svhn"),
    ]
    pyarrow.parquet.write_table(table(*runs), tmp_path / "table.parquet")
    found = figure.tables(tmp_path)
    assert list(found) == [
        "lambda-sweep-digits",
        "lambda-sweep-glyphs-classes-62-big-to-small-own-head",
        "lambda-sweep-glyphs-big-to-small-own-head",
    ]
    assert (
        "measured: glyphs (classes 62), big to small"
        in found["lambda-sweep-glyphs-classes-62-big-to-small-own-head"]["setting"]
    )
    pyarrow.parquet.write_table(table(*everything()), tmp_path / "table.parquet")
    assert list(figure.tables(tmp_path)) == ["lambda-sweep"]


def test_the_shipped_table_has_every_run_that_its_campaign_names():
    from kd2m_theory.validation.campaigns.campaign import read_campaign

    (setting,) = STORED.read(STORED.path(None)).settings
    found = sorted(
        (each.objective, each.weight, json.dumps(each.options, sort_keys=True), seed)
        for each in setting.students
        for seed in each.seeds
    )
    named = []
    for each in read_campaign("papers").runs:
        options = {key: value for key, value in each.objective.items() if key not in ("name", "weight")}
        named.append((each.objective["name"], each.objective["weight"], json.dumps(options, sort_keys=True), each.seed))
    assert found == sorted(named)
    assert STORED.path(None).stat().st_size < 400_000
