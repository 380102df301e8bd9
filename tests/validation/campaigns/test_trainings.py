"""What students learned, read from a campaign's table: settings, students, seeds."""

import json

import pytest
from learned_rows import accuracy, run, table

from kd2m_theory.validation.campaigns.trainings import chosen, trainings


def read(*runs):
    return trainings(table(*runs))


def test_runs_that_differ_in_their_seed_alone_are_one_student():
    (setting,) = read(*(run("cw2", weight, seed) for seed in (2, 0, 1) for weight in (1e-2, 0.0)), run("none", seed=0)).settings
    assert [(each.objective, each.weight, each.seeds) for each in setting.students] == [
        ("none", None, (0,)),
        ("cw2", 0.0, (0, 1, 2)),
        ("cw2", 1e-2, (0, 1, 2)),
    ]
    expected = {seed: accuracy("cw2", 1e-2, seed) for seed in (0, 1, 2)}
    assert setting.students[-1].results("accuracy", "student test") == expected
    assert setting.students[-1].parts == ("cw2",)
    assert setting.images() == 24


def test_students_of_other_options_are_others():
    (setting,) = read(run("jw2", 1.0, options={"beta": 2.0}), run("jw2", 1.0)).settings
    assert [dict(each.options) for each in setting.students] == [{}, {"beta": 2.0}]


def test_the_student_alone_is_one_with_weight_zero_or_without_an_objective():
    kept = read(run("none"), run("cw2", 0.0), run("cw2", 1.0)).settings[0].alone
    assert (kept.objective, kept.weight) == ("cw2", 0.0)
    assert read(run("none"), run("cw2", 1.0)).settings[0].alone.objective == "none"
    # Without its weighted term UniKD still learns from logits, and a sum from its other terms.
    assert read(run("unikd", 0.0), run("sum", 0.0), run("kd", 0.5)).settings[0].alone is None


def test_what_is_trained_otherwise_is_another_setting_and_is_named_by_what_differs():
    short = json.dumps({"student": {"epochs": 3}, "teacher": {"network": "big"}})
    names = [
        each.name for each in read(run("kd", 0.5), run("kd", 0.5, training=short), run("kd", 0.5, population="svhn")).settings
    ]
    assert names == [
        "digits, big to small, own head, student.epochs 3",
        "digits, big to small, own head, student.epochs 6",
        "svhn",
    ]
    laws = [run("kd", 0.5, law=json.dumps({"classes": k})) for k in (10, 62)]
    assert [each.name for each in read(*laws).settings] == [f"digits (classes {k}), big to small, own head" for k in (10, 62)]


def test_the_weight_is_chosen_on_validation_images_and_the_smaller_one_on_a_tie():
    students = read(*(run("kd", weight, seed) for weight in (0.1, 0.9, 0.5) for seed in (0, 1))).settings[0].students
    assert chosen(students).weight == 0.9

    def level(rows):
        return [
            row | {"value": 0.5} if (row["kind"], row["target"]) == ("result", "student validation") else row for row in rows
        ]

    same = read(*(level(run("kd", weight)) for weight in (0.9, 0.1, 0.5))).settings[0].students
    assert chosen(same).weight == 0.1


def test_a_choice_without_validation_is_no_choice():
    def without(rows):
        return [row for row in rows if row["target"] != "student validation"]

    students = read(without(run("kd", 0.1)), without(run("kd", 0.9))).settings[0].students
    assert chosen(students[:1]).weight == 0.1
    with pytest.raises(ValueError, match="mean requires at least one"):
        chosen(students)


def test_a_table_without_training_has_no_settings():
    assert read().settings == ()
    assert read([{"kind": "bound", "name": "T0"}]).settings == ()
