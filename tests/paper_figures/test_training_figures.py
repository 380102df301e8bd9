"""The figures of training: what they draw is what the benchmark stored, and what it stored fits together."""

import json

import numpy as np
import pytest
from drawn_tables import table_of
from matplotlib.patches import StepPatch

from kd2m_theory import InputError
from kd2m_theory.paper_figures.registry import chosen
from kd2m_theory.paper_figures.training_curves import STORED, power

NAMES = ("lambda-sweep", "embedding", "entropy", "unikd")
FILE = json.loads(STORED.path(None).read_text())
SEEDS = FILE["setting"]["seeds"]
IMAGES = FILE["setting"]["test_images"]


def figure_of(name):
    return chosen([name])[0]


def runs(name, **options):
    return [run for run in FILE["runs"] if run["objective"]["name"] == name and options.items() <= run["objective"].items()]


def matrix(found, *keys):
    for key in keys:
        found = [run[key] for run in found]
    return np.array(found)


class TestWhatIsStored:
    def test_it_is_small_and_says_where_it_was_measured(self):
        assert STORED.path(None).stat().st_size < 300_000
        assert {"torch", "scikit-learn", "machine", "python"} <= FILE["environment"].keys()

    def test_every_objective_has_every_seed(self):
        objectives = [json.dumps(run["objective"]) for run in FILE["runs"]]
        for objective in set(objectives):
            found = [run["seed"] for run in FILE["runs"] if json.dumps(run["objective"]) == objective]
            assert found == SEEDS, objective

    def test_curves_end_at_what_was_measured_after_training(self):
        compared = 0
        for run in FILE["runs"]:
            for column in run["curves"].keys() & {"cross_entropy", "accuracy"}:
                assert len(run["curves"][column]) == FILE["setting"]["training"]["epochs"] + 1
                assert run["curves"][column][-1] == pytest.approx(run["test"][column], rel=1e-5)
                compared += 1
        assert compared == 2 * 8 * len(SEEDS)

    def test_the_untrained_student_is_the_same_whatever_it_will_be_taught(self):
        for seed in SEEDS:
            firsts = {run["curves"]["entropy"][0] for run in FILE["runs"] if run["seed"] == seed and run["curves"]}
            assert len(firsts) == 1

    def test_a_histogram_counts_every_image_of_every_seed_and_has_the_mean_of_the_curves(self):
        assert len(FILE["histograms"]) == 4
        for entry in FILE["histograms"]:
            name = entry["student"]
            counts, edges = np.array(entry["counts"]), np.linspace(*entry["range"], len(entry["counts"]) + 1)
            assert counts.sum() == IMAGES * len(SEEDS)
            ends = matrix(runs("cw2", weight=0.0) if name == "alone" else runs(name), "curves", "entropy")[:, -1]
            low, high = counts @ edges[:-1] / counts.sum(), counts @ edges[1:] / counts.sum()
            assert low <= ends.mean() <= high

    def test_differences_of_correlations_are_symmetric_and_their_mean_is_what_the_title_says(self):
        for entry in FILE["correlations"]:
            difference = np.array(entry["difference"])
            np.testing.assert_array_equal(difference, difference.T)
            np.testing.assert_allclose(np.diag(difference), 0, atol=1e-12)
            mean = np.abs(difference).sum() / (len(difference) * (len(difference) - 1))
            assert entry["means"][0] == pytest.approx(mean, rel=1e-4)
            assert len(entry["means"]) == len(SEEDS)

    def test_an_embedding_has_as_many_images_of_each_class_and_a_point_of_each_network(self):
        for entry in FILE["embeddings"]:
            assert set(np.bincount(entry["labels"])) == {30}
            assert len(entry["labels"]) <= 400
            for name in ("teacher_points", "student_points"):
                assert np.shape(entry[name]) == (len(entry["labels"]), 2)


class TestLambdaSweep:
    @pytest.mark.parametrize("column", ["cross_entropy", "distance", "accuracy"])
    def test_lines_are_the_means_and_bands_the_extremes(self, column):
        table = table_of("lambda-sweep")
        axes = figure_of("lambda-sweep").picture(table).axes[["cross_entropy", "distance", "accuracy"].index(column)]
        assert [student["weight"] for student in table["students"]] == sorted(
            {run["objective"]["weight"] for run in runs("cw2")}
        )
        for student, line, band in zip(table["students"], axes.lines, axes.collections, strict=True):
            values = matrix(runs("cw2", weight=student["weight"]), "curves", column) * (100 if column == "accuracy" else 1)
            np.testing.assert_allclose(line.get_ydata(), values.mean(axis=0), rtol=1e-12)
            assert line.get_xdata()[-1] == FILE["setting"]["training"]["epochs"]
            corners = band.get_paths()[0].vertices[:, 1]
            assert (corners.min(), corners.max()) == pytest.approx((values.min(), values.max()))
            assert line.get_linestyle() == ("--" if student["weight"] == 0 else "-")

    def test_a_larger_weight_leaves_a_smaller_distance(self):
        ends = [student["distance"]["mean"][-1] for student in table_of("lambda-sweep")["students"]]
        assert ends == sorted(ends, reverse=True)

    @pytest.mark.parametrize(("weight", "words"), [(0.0, "0"), (1e-5, "$10^{-5}$"), (0.1, "0.1"), (3e-4, "0.0003"), (2.0, "2")])
    def test_weights_are_written_as_people_write_them(self, weight, words):
        assert power(weight) == words


class TestEntropy:
    def test_curves_and_histograms_are_those_that_are_stored(self):
        table = table_of("entropy")
        entropy, divergence, histogram = figure_of("entropy").picture(table).axes
        steps = [patch for patch in histogram.patches if isinstance(patch, StepPatch)]
        for k, (student, found) in enumerate(zip(("alone", "kd", "ttm", "wttm"), table["students"], strict=True)):
            assert found["name"] == student
            kept = runs("cw2", weight=0.0) if student == "alone" else runs(student)
            for axes, column in ((entropy, "entropy"), (divergence, "divergence")):
                np.testing.assert_allclose(axes.lines[k].get_ydata(), matrix(kept, "curves", column).mean(axis=0), rtol=1e-12)
            (counts,) = (entry["counts"] for entry in FILE["histograms"] if entry["student"] == student)
            np.testing.assert_allclose(steps[k].get_data().values, 100 * np.array(counts) / sum(counts), rtol=1e-12)

    def test_transformed_matching_keeps_the_student_less_sure_and_nearer_to_its_target_than_kd(self):
        ends = {student["name"]: student for student in table_of("entropy")["students"]}
        for name in ("ttm", "wttm"):
            assert ends["kd"]["entropy"]["high"][-1] < ends[name]["entropy"]["low"][-1]
            assert ends[name]["divergence"]["high"][-1] < ends["kd"]["divergence"]["low"][-1]


class TestEmbedding:
    def test_points_and_distances_are_those_that_are_stored(self):
        panels = figure_of("embedding").picture(table_of("embedding")).axes
        for axes, entry in zip(panels, FILE["embeddings"], strict=True):
            teacher, student = axes.lines[:2]
            np.testing.assert_array_equal(teacher.get_xydata(), entry["teacher_points"])
            np.testing.assert_array_equal(student.get_xydata(), entry["student_points"])
            distance = runs("cw2", weight=entry["weight"])[0]["curves"]["distance"][-1]
            assert axes.get_title(loc="left").endswith(f"= {distance:.0f}")


class TestUniKD:
    def test_matrices_and_marks_are_those_that_are_stored(self):
        picture = figure_of("unikd").picture(table_of("unikd"))
        panels = {axes.get_title(loc="left").partition("$  ")[0][-2]: axes for axes in picture.axes if axes.axison}
        assert sorted(panels) == list("abcdef")
        for letter, student in zip("abc", ("alone", "kd", "unikd-reconstruction"), strict=True):
            (entry,) = (entry for entry in FILE["correlations"] if entry["student"] == student)
            np.testing.assert_array_equal(panels[letter].images[0].get_array(), entry["difference"])
            assert f"({np.mean(entry['means']):.3f})" in panels[letter].get_title(loc="left")
        rows = {
            "no teacher": runs("cw2", weight=0.0),
            "KD": runs("kd"),
            "UniKD": [run for run in runs("unikd-reconstruction", weight=0.1) if len(run["objective"]) == 2],
            "without fusion of stages": runs("unikd-reconstruction", fusion=False),
            "without predicted variances": runs("unikd-reconstruction", predict_variance=False),
            "without anchors": runs("unikd-reconstruction", anchor=False),
            "without its divergence": runs("unikd-reconstruction", weight=0.0),
        }
        assert [text.get_text() for text in panels["d"].get_yticklabels()] == list(rows)
        for letter, column, factor in (("d", "accuracy", 100), ("e", "cross_entropy", 1), ("f", "divergence", 1)):
            marks = [line.get_xydata()[0] for line in panels[letter].lines if line.get_marker() in ("o", "s", "^")]
            expected = [(factor * v, y) for y, kept in enumerate(rows.values()) for v in matrix(kept, "test", column)]
            np.testing.assert_allclose(marks, expected, rtol=1e-12)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not the table of training curves"),
        ("[]", "is not the table of training curves"),
        ('{"runs": [{}], "embeddings": [{}]}', "has no '(objective|weight)'"),
        ('{"runs": [], "embeddings": []}', "has no (student of (cw2|unikd-reconstruction)|'setting.population')"),
        (json.dumps({**FILE, "setting": {}}), "has no 'setting.(population|gamma)'"),
    ],
)
def test_a_damaged_table_is_refused_and_says_how_to_make_it(name, text, message, tmp_path):
    (tmp_path / STORED.file).write_text(text)
    with pytest.raises(InputError, match=f"training_curves.json {message}; write it again with `python validation") as caught:
        figure_of(name).numbers(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", NAMES)
def test_a_table_that_is_missing_names_the_command_that_writes_it(name, tmp_path):
    with pytest.raises(InputError, match=r"training_curves\.json; write it with `python validation/benchmarks/train"):
        figure_of(name).numbers(tmp_path)
