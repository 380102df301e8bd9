"""The version of the numbers: a change of a number is noticed by the tests, by a store and by a run that is continued."""

import importlib
import importlib.metadata
import json
import math
import re
from pathlib import Path

import pytest
from runs import tiny
from sampled import sampled

from kd2m_theory.bounds import ROWS
from kd2m_theory.errors import InputError
from kd2m_theory.validation import numbers
from kd2m_theory.validation.campaigns.store import Store
from kd2m_theory.validation.objectives.registry import SINGLE
from kd2m_theory.validation.panel import panel

pytestmark = pytest.mark.usefixtures("one_thread")

GOLDEN = Path(__file__).parent.parent / "golden" / "numbers.json"


@pytest.fixture(scope="module")
def held():
    """The record of the code as it is."""
    panel.cache_clear()  # another test may have been the first, and have patched something
    return numbers.record()


@pytest.fixture
def patched():
    """For panels of patched code, which are not kept."""
    yield panel.cache_clear
    panel.cache_clear()


def test_the_committed_panel_is_what_the_code_computes(held, capsys):
    status = numbers.main([str(GOLDEN)])
    said = capsys.readouterr().err
    tested = re.search(r"^matplotlib==(.+)$", (GOLDEN.parents[2] / "constraints.txt").read_text(), re.MULTILINE)[1]
    if importlib.metadata.version("matplotlib") != tested:  # which draws glyphs: other pictures, rightly refused
        assert [line.partition(" was ")[0] for line in said.splitlines() if " was " in line] == ["population glyphs, images"]
    else:
        assert status == 0, said


def test_the_panel_has_every_row_and_every_objective():
    names = [name for group in panel().values() for name in group]
    for row in ROWS:
        assert any(name.partition(": ")[2].startswith(f"{row.name}, ") for name in names), row.name
    for objective in SINGLE:
        assert f"objective {objective}, step 1" in names


def test_the_panel_leaves_torchs_random_state_and_threads_alone():
    import torch

    before, threads = torch.get_rng_state(), torch.get_num_threads()
    panel()
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_num_threads() == threads


def test_what_counts_as_moved():
    def said(group, old, new, **how):
        return numbers.moved({group: {"x": old}}, {group: {"x": new}}, **{"same_environment": False} | how)

    assert said("double", 1.0, 1.0 + 1e-12) == []
    assert said("double", 1.0, 1.0 + 2.0**-52, same_environment=True) == ["x was 1 and is 1.0000000000000002"]
    assert said("double", 1.0, 1.0 + 1e-9)
    assert said("single", 1.0, 1.0 + 1e-5) == []
    assert said("single", 1.0, 1.01)
    assert said("width", 1e-9, 1.5e-9) == []
    assert said("width", 1e-9, 1e-3)
    assert said("width", 0.0, 1e-9)
    for value in (math.nan, math.inf, -math.inf, 0.0):
        assert said("double", value, value, same_environment=True) == []
    assert said("log", -530.0, -530.5) == []
    assert said("log", -530.0, -532.0)
    assert said("double", math.inf, -math.inf)
    assert said("double", math.nan, 1.0)
    assert numbers.moved({"double": {"x": 1.0}}, {"double": {}}, same_environment=False) == ["x is no longer computed"]
    assert numbers.moved({"double": {}}, {"double": {"x": 1.0}}, same_environment=True) == []


@pytest.mark.long
def test_a_panel_that_moved_is_not_written_until_the_version_does(tmp_path, monkeypatch, capsys):
    file = tmp_path / "numbers.json"
    assert numbers.main([str(file)]) == 2
    assert "No such file" in capsys.readouterr().err
    assert numbers.main([str(file), "--write"]) == 0
    assert numbers.main([str(file)]) == 0
    table = json.loads(file.read_text())
    table["panel"]["double"]["clopper_pearson, lower"] += 0.01
    write_again(file, table)
    before = file.read_bytes()
    for arguments in ([str(file)], [str(file), "--write"]):
        assert numbers.main(arguments) == 1
        assert "clopper_pearson, lower was" in capsys.readouterr().err
    assert file.read_bytes() == before
    monkeypatch.setattr(numbers, "NUMBERS", numbers.NUMBERS + 1)
    assert numbers.main([str(file)]) == 1
    assert "run this with --write" in capsys.readouterr().err
    assert numbers.main([str(file), "--write"]) == 0
    assert numbers.main([str(file)]) == 0


@pytest.mark.parametrize(
    "data", [b"", b"\xff\xfe", b"[]", b"{}", b'{"numbers": 1, "version": "", "environment": "", "panel": 3}']
)
def test_a_record_that_is_none_is_one_line(data):
    with pytest.raises(InputError, match="it has no readable record of its numbers") as caught:
        numbers.check(data, "it")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("change", [{"panel": {}}, {"numbers": "1"}, {"numbers": True}, {"numbers": 1.0}, {"environment": {}}])
def test_a_record_that_was_changed_afterwards_is_refused(change):
    held = json.dumps(json.loads(numbers.record()) | change).encode()
    with pytest.raises(InputError, match="it has no readable record of its numbers"):
        numbers.check(held, "it")


def write_again(file, table):
    """A record with its digest, as another version would have written it."""
    from kd2m_theory.validation.training.configuration import digest

    table.pop("digest", None)
    file.write_text(json.dumps(table | {"digest": digest(table)}))


def another_version(file, **changes):
    write_again(file, json.loads(file.read_text()) | changes)


def moved_by_a_digit(file):
    table = json.loads(file.read_text())
    table["panel"]["width"]["with features: T1.l2, rounding"] *= 1e6
    write_again(file, table)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda file: another_version(file, numbers=numbers.NUMBERS + 1), r"numbers of version \d+, by kd2m-theory"),
        (moved_by_a_digit, "T1.l2, rounding was"),
        (lambda file: file.unlink(), r"there is no file .*numbers\.json"),
        (lambda file: file.write_text("{}"), "no readable record of its numbers"),
    ],
)
def test_stores_and_runs_of_other_numbers_are_refused_and_left_alone(change, message, tmp_path):
    store = Store(tmp_path / "store")
    store.create({}, "c1", resume=False)
    change(store.path / "numbers.json")
    from kd2m_theory.validation.training.distillation import train

    run = train(tiny({"name": "none"}), tmp_path / "run")
    change(run.folder / "numbers.json")
    (kept,) = (run.folder / "teacher").iterdir()
    change(kept / "numbers.json")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    for act in (
        lambda: store.create({}, "c1", resume=True),
        lambda: Store(tmp_path / "union").merge([store]),
        lambda: train(tiny({"name": "none"}), tmp_path / "run", resume=True),
        lambda: train(tiny({"name": "none"}), tmp_path / "other", teachers=run.folder / "teacher"),
    ):
        with pytest.raises(InputError, match=message) as caught:
            act()
        assert "\n" not in str(caught.value)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_worker_of_other_code_refuses_to_work(held, tmp_path):
    from kd2m_theory.validation.campaigns.work import SameNumbers

    def work(*_):
        return "outcome"

    assert SameNumbers(work, held)(None, {}, tmp_path) == "outcome"
    other = tmp_path / "numbers.json"
    other.write_bytes(held)
    moved_by_a_digit(other)
    with pytest.raises(InputError, match="the store that this worker works for has numbers that this code does not compute"):
        SameNumbers(work, other.read_bytes())(None, {}, tmp_path)


# Constants of every room, each changed where it is used.
MUTANTS = {
    "rounding of ground costs": ("estimators.ground", "EPS", 1e6),
    "rounding of transport": ("estimators.transport", "EPS", 1e6),
    "bandwidth of intervals": ("estimators.betting", "_STEPS", 0.5),
    "shrinkage of measured distances": ("validation.campaigns.measured_distances", "_SHRINKAGE", 2),
    "magnification of glyphs": ("validation.populations.glyphs", "_SCALE", 2),
    "rounding of constants of losses": ("bounds.constants.heads", "EPS", 1e6),
    "images drawn at a time": ("validation.populations.population", "_CHUNK", 0.5),
    "black pixels around an image": ("validation.populations.hub", "_PADDING", 0.5),
    "level of measured truths": ("validation.campaigns.truth", "DELTA", 1e3),
    "size of whole clouds": ("bounds.settings", "WHOLE_CLOUD", 0.5),
}


# Last in this file: the panel is computed again for each, and whoever needs that of the code as it is after it, computes it
# a third time.
ALWAYS = ("rounding of ground costs",)


@pytest.mark.parametrize("mutant", sampled(MUTANTS, always=ALWAYS))
def test_a_changed_constant_is_noticed(mutant, held, patched, monkeypatch):
    module, name, factor = MUTANTS[mutant]
    home = importlib.import_module(f"kd2m_theory.{module}")
    value = getattr(home, name)
    kind = type(value)
    monkeypatch.setattr(home, name, kind(v * factor for v in value) if kind is tuple else kind(value * factor))
    patched()
    with pytest.raises(InputError, match="numbers that this code does not compute"):
        numbers.check(held, "it")
    # On another machine the last digits may differ, and that is still noticed.
    elsewhere = numbers.from_json(json.loads(held)["panel"])
    assert numbers.moved(elsewhere, panel(), same_environment=False)


@pytest.mark.long
def test_a_changed_line_of_training_is_noticed(held, patched, monkeypatch):
    from kd2m_theory.validation.training import optimisers, training_module

    slower = lambda recipe, trained, steps: optimisers.LambdaLR(trained, lambda step: 0.5)  # noqa: E731
    monkeypatch.setattr(training_module, "schedule", slower)
    patched()
    with pytest.raises(InputError, match="run, epoch"):
        numbers.check(held, "it")
