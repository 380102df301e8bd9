"""Tables from TOML: variants, and changes from the command line."""

import pytest

from kd2m_theory.errors import InputError
from kd2m_theory.validation.training.toml_tables import names, read_table

TOML = """
delta = 0.05
[objective]
name = "none"
weight = 3
[student]
network = "mlp-8"
training = { epochs = 2, batch = 8 }
[[sweep]]
seeds = [0, 1]
[[sweep]]
seeds = [2]
[variants.kd]
objective = { name = "kd" }
student = { training = { epochs = 9 } }
[variants.other]
delta = 0.1
"""


@pytest.fixture
def shipped(tmp_path):
    folder = tmp_path / "shipped"
    folder.mkdir()
    (folder / "one.toml").write_text(TOML)
    (folder / "two.toml").write_text("x = 1")
    return folder


@pytest.fixture
def read(shipped):
    return lambda source, *changes: read_table(source, "thing", shipped, changes)


def test_a_file_and_its_variants_have_names(shipped, read):
    assert names(shipped) == ("one", "one-kd", "one-other", "two")
    assert read("two") == {"x": 1}
    assert "variants" not in read("one")


def test_a_variant_changes_what_it_names_and_an_objective_as_a_whole(read, shipped):
    plain, varied = read("one"), read("one-kd")
    assert varied["objective"] == {"name": "kd"}
    assert varied["student"] == {"network": "mlp-8", "training": {"epochs": 9, "batch": 8}}
    assert varied == plain | {"objective": varied["objective"], "student": varied["student"]}
    assert read(shipped / "one.toml", "variant=kd") == read("one", 'variant="kd"') == varied
    assert read("one-kd", "variant=other") == plain | {"delta": 0.1}


@pytest.mark.parametrize("order", [1, -1])
def test_another_name_brings_its_own_defaults(read, order):
    """The weight of an objective means nothing to another."""
    changes = ["objective.name=cw2", "objective.projector=linear"][::order]
    assert read("one", *changes)["objective"] == {"name": "cw2", "projector": "linear"}
    assert read("one", "objective.name=none", "delta=0.5")["objective"] == {"name": "none", "weight": 3}
    assert read("one-kd", "objective.name=kd", "objective.weight=2")["objective"] == {"name": "kd", "weight": 2}
    assert read("two", "population.name=digits", "population.augment=false") == {
        "x": 1,
        "population": {"name": "digits", "augment": False},
    }


def test_changes_come_after_the_variant(read):
    assert read("one", "student.training.epochs=4", "variant=kd")["student"]["training"] == {"epochs": 4, "batch": 8}


def test_changes_go_into_lists_by_number_and_words_need_no_quotes(read):
    table = read("one", "sweep.2.seeds=[7, 8]", "sweep.1.seeds.2=5", "population.root=data/cifar10", "a.b.c=true", "d= 1e-3 ")
    assert table["sweep"] == [{"seeds": [0, 5]}, {"seeds": [7, 8]}]
    assert (table["population"], table["a"], table["d"]) == ({"root": "data/cifar10"}, {"b": {"c": True}}, 1e-3)
    assert read("two", "x=1.2.3", "y=2e", "z=it's") == {"x": "1.2.3", "y": "2e", "z": "it's"}


def test_a_star_is_every_entry_of_a_list(read):
    table = read("one", "sweep.*.training.epochs=2", "sweep.*.options={a = [1]}", "sweep.2.options.a=3")
    assert [entry["training"] for entry in table["sweep"]] == [{"epochs": 2}] * 2
    assert [entry["options"] for entry in table["sweep"]] == [{"a": [1]}, {"a": 3}]
    assert read("one", "sweep.1.seeds.*=9")["sweep"][0]["seeds"] == [9, 9]
    with pytest.raises(InputError, match=r"names entry '\*' of a list of 0"):
        read("one", "sweep=[]", "sweep.*.seeds=[1]")


@pytest.mark.parametrize(
    ("source", "change", "message"),
    [
        ("tow", "x=1", "there is no file tow, nor a thing of that name; did you mean 'two'"),
        ("one-kdd", "x=1", "did you mean 'one-kd'"),
        ("one", "variant=dk", "one has no variant 'dk'; did you mean 'kd'"),
        ("one", "variant=[1]", r"one has no variant \[1\]"),
        ("two", "variant=kd", "two has no variant 'kd'$"),
        ("one", "delta", "'delta' is not key=value"),
        ("one", "=1", "'=1' is not key=value"),
        ("one", "delta=", "'delta=' is not key=value"),
        ("one", "a..b=1", "is not key=value"),
        ("one", "delta=[1", r"the value of 'delta=\[1' is not TOML"),
        ("one", "delta='x", "is not TOML"),
        ("one", "delta.x=1", "'delta.x=1' goes into 'delta', which is not a table"),
        ("one", "delta.x.y=1", "goes through 'x' of what is not a table"),
        ("one", "sweep.3.seeds=[1]", "names entry '3' of a list of 2; count from 1, or write \\* for every entry"),
        ("one", "sweep.0.seeds=[1]", "names entry '0' of a list of 2"),
        ("one", "sweep.seeds=[1]", "names entry 'seeds' of a list of 2"),
    ],
)
def test_what_does_not_fit_is_one_line(read, source, change, message):
    with pytest.raises(InputError, match=message) as caught:
        read(source, change)
    assert "\n" not in str(caught.value)


def test_files_that_are_no_toml(read, tmp_path):
    for data, message in ((b"x = [", "is not TOML"), ("# M\u00fcnster".encode("latin-1"), "is not UTF-8")):
        (tmp_path / "mine.toml").write_bytes(data)
        with pytest.raises(InputError, match=message):
            read(tmp_path / "mine.toml")
