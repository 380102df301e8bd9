"""Configurations: every key checked before anything is trained, shipped ones included."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from runs import tiny
from sampled import sampled

from kd2m_theory.errors import InputError
from kd2m_theory.validation.objectives.registry import NAMES, objective
from kd2m_theory.validation.populations.hub import SOURCES
from kd2m_theory.validation.populations.registry import population
from kd2m_theory.validation.training.configuration import Recipe, configuration, digest, read_configuration, shipped_names
from kd2m_theory.validation.training.networks import network

TABLE = tiny().to_table()


def changed(**changes):
    return tiny(**changes)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"student__lerning_rate": 1}, r"\[student\] has no 'lerning_rate'"),
        ({"student__training__lerning_rate": 1}, r"\[student.training\] has no 'lerning_rate'; did you mean 'learning_rate'"),
        ({"sed": 1}, "the configuration has no 'sed'; did you mean 'seed'"),
        ({"student__training__epochs": 0}, r"\[student.training\]: epochs is 0; give a whole number ≥ 1"),
        ({"student__training__epochs": 2.0}, "epochs is 2.0"),
        ({"student__training__batch": True}, "batch is True"),
        ({"student__training__learning_rate": -1}, "learning_rate is -1; choose a finite number > 0"),
        ({"student__training__learning_rate": float("nan")}, "learning_rate is nan"),
        ({"student__training__weight_decay": -0.1}, "weight_decay is -0.1"),
        ({"student__training__optimiser": "adam"}, "optimiser is 'adam'; did you mean 'adamw'"),
        ({"student__training__schedule": "cosin"}, "did you mean 'cosine'"),
        ({"student__training__schedule": "step"}, "they belong together"),
        ({"student__training__milestones": [1]}, "they belong together"),
        ({"student__training__schedule": "step", "student__training__milestones": [2, 1]}, "ascending"),
        ({"student__training__schedule": "step", "student__training__milestones": [3]}, "milestones is 3"),
        ({"student__training__precision": "fp16"}, "choose one of float32, bf16"),
        ({"student__training__nesterov": 1}, "choose true or false"),
        ({"student__head": "mine"}, "choose one of own, teacher"),
        ({"student__training": 3}, r"\[student.training\] is 3; make it a table"),
        ({"teacher__weights": "a.safetensors"}, "and not both"),
        ({"teacher": {"network": "mlp-8"}}, r"needs either \[teacher.training\] or weights"),
        ({"teacher": {"training": TABLE["teacher"]["training"]}}, r"\[teacher\] lacks 'network'"),
        ({"pairs__at": [1, 4]}, "names epoch 4 of 3"),
        ({"pairs__at": 1}, "give a list of epochs"),
        ({"pairs__at": [-1]}, "at is -1"),
        ({"pairs__delta": 1.0}, "delta is 1.0"),
        ({"pairs__images": 1}, "images is 1"),
        ({"objective": {"weight": 1}}, r"\[objective\] needs a name"),
        ({"population": "digits"}, r"\[population\] needs a name"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_refused_with_one_clear_line(changes, words):
    with pytest.raises(InputError, match=words) as caught:
        changed(**changes)
    assert "\n" not in str(caught.value)


def test_a_table_is_what_it_was_made_of():
    table = tiny(seed=3, pairs__at=[0, 2]).to_table()
    assert configuration(table) == tiny(seed=3, pairs__at=[0, 2])
    assert json.loads(json.dumps(table)) == table
    assert table["student"]["training"]["momentum"] == 0.9


@given(st.permutations(sorted(TABLE)))
def test_digests_depend_on_content_and_not_on_order(order):
    assert digest({key: TABLE[key] for key in order}) == digest(TABLE) == tiny().digest


def test_every_key_of_a_run_changes_its_digest_and_only_those_of_the_teacher_change_the_teachers():
    base = tiny()
    others = {
        "seed": tiny(seed=1),
        "student": tiny(student__training__epochs=4),
        "objective": tiny({"name": "cw2", "weight": 0.2}),
        "population": tiny(population__separation=2.0),
        "teacher": tiny(teacher__seed=1),
        "cache": tiny(teacher__cache=True),
    }
    assert len({each.digest for each in [base, *others.values()]}) == 1 + len(others)
    moved = {name for name, each in others.items() if each.teacher_digest != base.teacher_digest}
    assert moved == {"population", "teacher"}


def test_a_file_and_changes_to_it(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(
        '[population]\nname = "digits"\n[teacher]\nnetwork = "mlp-8"\nweights = "t.safetensors"\n'
        '[student]\nnetwork = "mlp-8"\n[student.training]\nepochs = 2\nbatch = 8\nlearning_rate = 1\n[objective]\nname = "kd"\n'
    )
    read = read_configuration(
        path, ["student.training.epochs=5", "objective.weight = 0.5", "population.scale=[0.9, 1.1]", "seed=7"]
    )
    assert read.student.training == Recipe(epochs=5, batch=8, learning_rate=1)
    assert read.objective == {"name": "kd", "weight": 0.5}
    assert read.population["scale"] == [0.9, 1.1]
    assert read.seed == 7
    assert read.pairs_at == (5,)
    for change, words in (
        ("seed", "is not key=value"),
        ("seed=abc", "seed is 'abc'; give a whole number"),
        ("student.network.deep=1", "which is not a table"),
        ("variant=kd", "has no variant 'kd'"),
        ("student.epochs=1", r"\[student\] has no 'epochs'"),
    ):
        with pytest.raises(InputError, match=words):
            read_configuration(path, [change])
    path.write_text("seed = [")
    with pytest.raises(InputError, match="is not TOML"):
        read_configuration(path)
    with pytest.raises(InputError, match="did you mean 'digits-cw2'"):
        read_configuration("digits-cw22")


def test_every_objective_has_a_configuration_on_digits():
    assert {f"digits-{name}" for name in NAMES} <= set(shipped_names())


@pytest.mark.parametrize("name", sampled(shipped_names(), later=["glyphs62-resnet-cw2", "glyphs-cw2"]))
def test_shipped_configurations_are_made_of_what_there_is(name):
    read = read_configuration(name)
    kind = read.population["name"]
    if kind in SOURCES:
        classes, shape = SOURCES[kind].classes, SOURCES[kind].image_shape
    else:
        source = population(**dict(read.population))
        classes, shape = source.classes, source.image_shape
        for recipe in (read.student.training, read.teacher.training):
            assert recipe is None or (recipe.steps is None) == (source.size("train") is not None)
    teacher, student = (network(plan.network, classes, shape, 0) for plan in (read.teacher, read.student))
    options = {key: value for key, value in read.objective.items() if key != "name"}
    objective(read.objective["name"], student, teacher, init_seed=0, **options)
