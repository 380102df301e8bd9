"""Runs of distillation: what they keep, that they repeat and continue bit for bit, and where they stop."""

import dataclasses
import json
import math
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pyarrow.parquet
import pytest
import torch
from runs import tiny
from safetensors.torch import load_file, save_file
from sampled import sampled
from torch.nn import functional

from kd2m_theory import Pair
from kd2m_theory.errors import InputError
from kd2m_theory.validation.objectives.registry import NAMES, SINGLE
from kd2m_theory.validation.populations.registry import population
from kd2m_theory.validation.training import distillation
from kd2m_theory.validation.training.distillation import train
from kd2m_theory.validation.training.evaluation import evaluate
from kd2m_theory.validation.training.networks import network
from kd2m_theory.validation.training.run_folder import RunFolder, read_weights


def equal(state, other):
    return state.keys() == other.keys() and all(torch.equal(state[name], other[name]) for name in state)


@pytest.fixture(scope="module")
def once(tmp_path_factory):
    """One whole run, audited, with pairs of the untrained and the trained student."""
    folder = tmp_path_factory.mktemp("once")
    return train(tiny(pairs__at=[0, 3], pairs__audit=True), folder / "run")


def test_a_run_keeps_what_it_says(once):
    files = {path.relative_to(once.folder).as_posix() for path in once.folder.rglob("*") if path.is_file()}
    assert {
        *("configuration.json", "environment.json", "history.parquet", "history.csv", "last.ckpt", "student.safetensors"),
        *("numbers.json", "weights.json", "results.json", "pairs/epoch-0000.safetensors", "pairs/epoch-0003.safetensors"),
        *("audits/epoch-0000.json", "audits/epoch-0003.json"),
    } <= files
    assert not [name for name in files if name.endswith(".part")]
    assert sum("tfevents" in name for name in files) == 2  # of student and teacher
    history = pyarrow.parquet.read_table(once.folder / "history.parquet").to_pylist()
    assert [row["epoch"] for row in history] == [1, 2, 3]
    assert {"learning_rate", "seconds", "train_total", "train_cross_entropy", "train_cw2"} <= history[0].keys()
    for row in history:
        assert row["train_total"] == pytest.approx(row["train_cross_entropy"] + 0.1 * row["train_cw2"], rel=1e-6)
    assert (once.folder / "history.csv").read_text().startswith('"epoch","learning_rate"')
    assert once.violations == {0: (), 3: ()}
    assert json.loads((once.folder / "audits/epoch-0003.json").read_text())["schema"].startswith("kd2m-audit/")


def test_the_kept_pair_is_the_student_on_test_images(once):
    images, labels = population("gaussian-mixture").sample("test", 100, 0)
    pair = Pair.load(once.pairs[3])
    student, teacher = once.student(images), once.teacher(images)
    torch.testing.assert_close(torch.tensor(pair.features_student).float(), student.features)
    torch.testing.assert_close(torch.tensor(pair.logits_student).float(), student.logits)
    torch.testing.assert_close(torch.tensor(pair.features_teacher).float(), teacher.features)
    assert pair.labels.tolist() == labels.tolist()
    found = once.results["student", "test"]
    assert found.accuracy == (student.logits.argmax(1) == labels).double().mean().item()
    assert found.cross_entropy == pytest.approx(functional.cross_entropy(student.logits.double(), labels).item())
    untrained = network("mlp-8", 10, (1, 1, 16), 0)
    torch.testing.assert_close(torch.tensor(Pair.load(once.pairs[0]).features_student).float(), untrained(images).features)


def test_evaluation_is_what_torchs_distributions_say():
    generator = torch.Generator().manual_seed(0)
    logits, taught = (3 * torch.randn(50, 4, generator=generator, dtype=torch.float64) for _ in range(2))
    labels = torch.arange(50) % 4
    found = evaluate(logits, labels, taught)
    student, teacher = (torch.distributions.Categorical(logits=each) for each in (logits, taught))
    assert found.entropy == pytest.approx(student.entropy().mean().item())
    assert found.divergence == pytest.approx(torch.distributions.kl_divergence(teacher, student).mean().item())
    assert found.cross_entropy == pytest.approx(-student.log_prob(labels).mean().item())
    assert found.agreement == sum(a.argmax() == b.argmax() for a, b in zip(logits, taught, strict=True)) / 50
    assert math.isnan(evaluate(logits, labels).agreement)
    assert math.isnan(evaluate(logits, labels, taught[:, :3]).divergence)
    certain = evaluate(torch.tensor([[1e4, 0.0]]), torch.tensor([1]))
    assert (certain.entropy, certain.cross_entropy) == (0.0, 1e4)


def test_the_same_run_twice_is_the_same_and_another_seed_is_not(once, tmp_path):
    again = train(tiny(), tmp_path / "again")
    assert equal(again.student.state_dict(), once.student.state_dict())
    assert equal(again.teacher.state_dict(), once.teacher.state_dict())
    other = train(tiny(seed=1), tmp_path / "other", teachers=tmp_path / "again" / "teacher")
    assert not equal(other.student.state_dict(), once.student.state_dict())
    assert equal(other.teacher.state_dict(), once.teacher.state_dict())
    assert not (tmp_path / "other" / "teacher").exists()


def test_a_finished_run_is_read_and_not_trained(once):
    weights = once.folder / "student.safetensors"
    before = weights.stat().st_mtime_ns
    again = train(tiny(pairs__at=[0, 3], pairs__audit=True), once.folder, resume=True)
    assert weights.stat().st_mtime_ns == before
    assert again.results["student", "test"] == once.results["student", "test"]
    assert equal(again.student.state_dict(), once.student.state_dict())
    assert again.history == once.history


def test_torchs_random_state_is_left_alone(tmp_path):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    train(tiny({"name": "none"}), tmp_path / "run")
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.long
def test_threads_are_those_asked_for_and_then_as_they_were(tmp_path, monkeypatch):
    before = torch.get_num_threads()
    seen = []
    source = population("gaussian-mixture")
    draw = type(source).batch

    def batch(self, *arguments):
        seen.append(torch.get_num_threads())
        return draw(self, *arguments)

    monkeypatch.setattr(type(source), "batch", batch)
    train(tiny({"name": "none"}), tmp_path / "one")
    train(tiny({"name": "none"}), tmp_path / "two", threads=2)
    assert (set(seen[: len(seen) // 2]), set(seen[len(seen) // 2 :])) == ({1}, {2})
    assert torch.get_num_threads() == before
    with pytest.raises(InputError, match="threads is 0"):
        train(tiny(), tmp_path / "none", threads=0)


class InterruptedRunError(Exception):
    pass


@pytest.mark.parametrize("name", sampled(["none", "sliced-w2", "unikd", "sum"], later=["none", "sliced-w2", "sum"]))
@pytest.mark.parametrize("network_name", [pytest.param("mlp-8", marks=pytest.mark.long), "factories:with_dropout"])
def test_an_interrupted_run_continues_bit_for_bit(name, network_name, tmp_path, monkeypatch):
    objective = {
        "none": {"name": "none"},
        "sliced-w2": {"name": "sliced-w2", "projector": "linear"},
        "unikd": {"name": "unikd", "warm_up": 3},
        "sum": {"name": "sum", "terms": {"kd": 0.5, "w2": {"weight": 0.1, "projector": "linear"}}},
    }[name]
    run = tiny(objective, student__network=network_name, student__training__optimiser="sgd")
    whole = train(run, tmp_path / "whole")

    source = population("gaussian-mixture")
    draw = type(source).batch
    for stop in (5, 8, 11):  # in the second epoch, at the first batch of the third, at its last

        def batch(self, split, index, *rest, stop=stop):
            if index == stop:
                raise InterruptedRunError
            return draw(self, split, index, *rest)

        folder = tmp_path / f"stopped-{stop}"
        monkeypatch.setattr(type(source), "batch", batch)
        with pytest.raises(InterruptedRunError):
            train(run, folder, teachers=tmp_path / "whole" / "teacher")
        assert not (folder / "student.safetensors").exists()
        monkeypatch.setattr(type(source), "batch", draw)
        resumed = train(run, folder, resume=True, teachers=tmp_path / "whole" / "teacher")
        assert equal(resumed.student.state_dict(), whole.student.state_dict())
        timeless = [[{k: v for k, v in row.items() if k != "seconds"} for row in each.history] for each in (resumed, whole)]
        assert timeless[0] == timeless[1]


@pytest.mark.long
def test_a_killed_run_leaves_whole_files_and_continues_bit_for_bit(tmp_path):
    slow = tiny(student__training__epochs=14, pairs__at=list(range(1, 15)))
    whole = train(slow, tmp_path / "whole")
    code = (
        "from runs import tiny\nfrom kd2m_theory.validation.training.distillation import train\nimport sys\n"
        "train(tiny(student__training__epochs=14, pairs__at=list(range(1, 15))), sys.argv[1], resume=True)"
    )
    folder = tmp_path / "killed"
    helpers = Path(__file__).parents[2] / "helpers"
    for epochs in (2, 8):
        process = subprocess.Popen([sys.executable, "-W", "ignore", "-c", code, folder], cwd=helpers)
        wanted = folder / f"pairs/epoch-{epochs:04}.safetensors"
        while not wanted.exists() and process.poll() is None:
            time.sleep(0.002)
        process.kill()
        process.wait()
        assert not (folder / "student.safetensors").exists(), "it ended before it could be killed"
        torch.load(folder / "last.ckpt", weights_only=True) if epochs > 2 else None
        for path in folder.rglob("*"):
            if path.suffix == ".safetensors":
                load_file(path)
            elif path.suffix == ".parquet":
                rows = pyarrow.parquet.read_table(path).num_rows
                assert path.parent != folder or rows >= epochs - 1
            elif path.suffix == ".json":
                json.loads(path.read_text())
    resumed = train(slow, folder, resume=True)
    assert equal(resumed.student.state_dict(), whole.student.state_dict())
    for epoch in (1, 2, 8, 9, 14):
        assert equal(load_file(whole.pairs[epoch]), load_file(resumed.pairs[epoch]))


@pytest.mark.long
def test_kept_teacher_outputs_change_nothing(tmp_path):
    run = tiny({"name": "sum", "terms": {"kd": 0.5, "cw2": 0.1}}, teacher__cache=True)
    first = train(run, tmp_path / "first", teachers=tmp_path / "teachers")
    kept = sorted((tmp_path / "teachers").rglob("outputs/*/epoch-*.safetensors"))
    assert [path.name for path in kept] == [f"epoch-000{k}.safetensors" for k in (1, 2, 3)]
    second = train(run, tmp_path / "second", teachers=tmp_path / "teachers")
    without = train(dataclasses.replace(run, teacher=dataclasses.replace(run.teacher, cache=False)), tmp_path / "without")
    for other in (second, without):
        assert equal(first.student.state_dict(), other.student.state_dict())
    # They are what is used: other numbers in the file make another student.
    tensors = load_file(kept[0])
    save_file({name: 2 * values for name, values in tensors.items()}, kept[0])
    third = train(run, tmp_path / "third", teachers=tmp_path / "teachers")
    assert not equal(first.student.state_dict(), third.student.state_dict())


def test_lambda_zero_is_cross_entropy_and_anneals_alike(tmp_path):
    nothing, zero, some = (
        train(tiny(objective), tmp_path / str(k), teachers=tmp_path / "teachers")
        for k, objective in enumerate(({"name": "none"}, {"name": "cw2", "weight": 0.0}, {"name": "cw2", "weight": 1.0}))
    )
    assert equal(nothing.student.state_dict(), zero.student.state_dict())
    assert not equal(nothing.student.state_dict(), some.student.state_dict())
    rates = [[row["learning_rate"] for row in each.history] for each in (nothing, zero, some)]
    assert rates[0] == rates[1] == rates[2]
    steps = 12
    assert rates[0] == pytest.approx([1e-2 * (1 + math.cos(math.pi * (4 * k - 1) / steps)) / 2 for k in (1, 2, 3)])


def test_the_teachers_frozen_head_makes_the_students_logits(tmp_path):
    done = train(tiny(student__head="teacher", pairs__audit=True), tmp_path / "run")
    assert equal(done.student.fc.state_dict(), done.teacher.fc.state_dict())
    report = json.loads((done.folder / "audits/epoch-0003.json").read_text())
    assert report["measured"]["head_mismatch"]["value"] == pytest.approx(0, abs=1e-6)
    with pytest.raises(InputError, match="the student has 9 features and the teacher 8"):
        train(tiny(student__head="teacher", student__network="mlp-9"), tmp_path / "other")


def test_a_student_of_another_dimension_is_audited_through_a_map_of_validation_features(tmp_path):
    with pytest.raises(InputError, match="projector"):
        train(tiny(student__network="mlp-6"), tmp_path / "refused")
    assert not (tmp_path / "refused").exists()
    done = train(
        tiny({"name": "cw2", "weight": 0.1, "projector": "linear"}, student__network="mlp-6", pairs__audit=True),
        tmp_path / "run",
    )
    assert done.violations == {3: ()}
    assert Pair.load(done.folder / "pairs/epoch-0003.validation.safetensors").features_student.shape == (100, 6)
    rows = {row["name"]: row for row in json.loads((done.folder / "audits/epoch-0003.json").read_text())["rows"]}
    assert rows["T2.head_aware"]["holds"] is True


@pytest.mark.long
def test_a_projector_is_trained_and_kept_in_the_checkpoint(tmp_path):
    done = train(tiny({"name": "cw2", "weight": 0.1, "projector": "linear"}, student__network="mlp-6"), tmp_path / "run")
    kept = torch.load(done.folder / "last.ckpt", weights_only=True)["state_dict"]
    names = [name for name in kept if name.startswith("objective.projector")]
    assert names
    untrained = train(tiny({"name": "cw2", "weight": 0.0, "projector": "linear"}, student__network="mlp-6"), tmp_path / "zero")
    before = torch.load(untrained.folder / "last.ckpt", weights_only=True)["state_dict"]
    assert any(not torch.equal(kept[name], before[name]) for name in names)
    assert not any(name.startswith("teacher") for name in kept)


@pytest.mark.long
def test_weights_of_ones_own_teacher(once, tmp_path):
    path = tmp_path / "teacher.safetensors"
    save_file(once.teacher.state_dict(), path)
    own = tiny(teacher={"network": "mlp-16-8", "weights": str(path)})
    assert equal(train(own, tmp_path / "run").student.state_dict(), once.student.state_dict())
    with pytest.raises(InputError, match="does not fit the teacher"):
        train(tiny(teacher={"network": "mlp-8", "weights": str(path)}), tmp_path / "other")
    with pytest.raises(InputError, match="there is no file"):
        train(tiny(teacher={"network": "mlp-16-8", "weights": "none.safetensors"}), tmp_path / "other")
    path.write_bytes(b"no weights")
    with pytest.raises(InputError, match=r"is not a \.safetensors file"):
        train(own, tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_a_run_is_not_continued_with_another_teacher(once, tmp_path):
    path = tmp_path / "teacher.safetensors"
    save_file(once.teacher.state_dict(), path)
    own = tiny(teacher={"network": "mlp-16-8", "weights": str(path)})
    train(own, tmp_path / "run")
    assert train(own, tmp_path / "run", resume=True).folder == tmp_path / "run"
    before = {file: file.read_bytes() for file in (tmp_path / "run").rglob("*") if file.is_file()}
    save_file({name: 2 * values for name, values in once.teacher.state_dict().items()}, path)
    with pytest.raises(InputError, match="computed from another file of the teacher's weights"):
        train(own, tmp_path / "run", resume=True)
    assert {file: file.read_bytes() for file in (tmp_path / "run").rglob("*") if file.is_file()} == before


def scaled(path):
    save_file({name: 1.5 * values for name, values in load_file(path).items()}, path)


def test_trained_weights_are_not_exchanged(tmp_path):
    run = tiny({"name": "kd"})
    done = train(run, tmp_path / "run", teachers=tmp_path / "teachers")
    (kept,) = (tmp_path / "teachers").iterdir()
    weights = (kept / "teacher.safetensors").read_bytes()
    scaled(kept / "teacher.safetensors")
    for folder, resume in ((tmp_path / "run", True), (tmp_path / "new", False)):
        with pytest.raises(InputError, match=r"the teacher's weights are not those that .* was made with"):
            train(run, folder, resume=resume, teachers=tmp_path / "teachers")
    (kept / "teacher.safetensors").write_bytes(weights)
    # A run knows its own teacher, also where it is given another as trained elsewhere.
    save_file({name: 1.5 * values for name, values in done.teacher.state_dict().items()}, tmp_path / "other.safetensors")
    with pytest.raises(InputError, match=r"the teacher's weights are not those that .*run was made with"):
        train(run, tmp_path / "run", resume=True, teacher=tmp_path / "other.safetensors")
    scaled(tmp_path / "run" / "student.safetensors")
    with pytest.raises(InputError, match=r"the student's weights are not those that .*run was made with"):
        train(run, tmp_path / "run", resume=True, teachers=tmp_path / "teachers")


def test_what_a_killed_write_left_is_not_foreign(tmp_path):
    run = tiny({"name": "none"})
    (tmp_path / "run").mkdir()
    for name in (".numbers.json.346bb5e3.part", ".configuration.json.346bb5e3.part"):
        (tmp_path / "run" / name).write_bytes(b"{")
    train(run, tmp_path / "run")
    with pytest.raises(InputError, match="continue it with --resume"):
        train(run, tmp_path / "run")


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b"\xff", b"[" * 200_000, b'{"violations": 3}'])
def test_records_that_are_damaged_are_named(once, data, tmp_path):
    import shutil

    for name, words in (
        ("configuration.json", "is not the configuration of a run"),
        ("weights.json", "is not a record of weights"),
        ("audits/epoch-0003.json", "is not an audit"),
        ("history.parquet", "is not the history of a run"),
    ):
        if name == "weights.json" and data.startswith(b"{"):
            continue  # a table without an entry: the student is not trained
        folder = tmp_path / name.replace("/", "-")
        shutil.copytree(once.folder, folder)
        (folder / name).write_bytes(data)
        with pytest.raises(InputError, match=words) as caught:
            train(tiny(pairs__at=[0, 3], pairs__audit=True), folder, resume=True)
        assert "\n" not in str(caught.value)


def test_a_run_is_not_continued_with_other_images(tmp_path, monkeypatch):
    from kd2m_theory.validation.populations import digits

    run = tiny({"name": "none"}, population={"name": "digits"})
    train(run, tmp_path / "run")
    load = digits._load
    images, labels = load()
    monkeypatch.setattr(digits, "_load", lambda: (images.flip(0), labels))
    with pytest.raises(InputError, match="computed from another set of images of digits"):
        train(run, tmp_path / "run", resume=True)
    # Nor does a kept teacher count as that of other images.
    other = train(run, tmp_path / "other", teachers=tmp_path / "run" / "teacher")
    assert len(list((tmp_path / "run" / "teacher").iterdir())) == 2
    monkeypatch.setattr(digits, "_load", load)
    same = train(run, tmp_path / "same", teachers=tmp_path / "run" / "teacher")
    assert len(list((tmp_path / "run" / "teacher").iterdir())) == 2
    assert not equal(same.teacher.state_dict(), other.teacher.state_dict())


@pytest.mark.long
def test_a_run_is_not_continued_with_another_network_of_ones_own(tmp_path, monkeypatch):
    import importlib

    module = tmp_path / "own_networks.py"
    code = (Path(__file__).parents[2] / "helpers" / "factories.py").read_text()
    module.write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    run = tiny({"name": "none"}, student__network="own_networks:with_dropout")
    train(run, tmp_path / "run")
    module.write_text(code.replace("0.3", "0.4"))
    with pytest.raises(InputError, match="computed from another module for network own_networks:with_dropout"):
        train(run, tmp_path / "run", resume=True)


def test_a_run_is_not_continued_with_other_threads_or_processes(tmp_path):
    train(tiny({"name": "none"}), tmp_path / "run")
    with pytest.raises(InputError, match=r"made with threads = 1, this is 2.*continue with --threads 1"):
        train(tiny({"name": "none"}), tmp_path / "run", resume=True, threads=2)
    record = tmp_path / "run" / "configuration.json"
    table = json.loads(record.read_text())
    for name, value in (("processes", 2), ("device", "cuda")):
        record.write_text(json.dumps(table | {"origin": table["origin"] | {name: value}}))
        with pytest.raises(InputError, match=f"made with {name} = {value}"):
            train(tiny({"name": "none"}), tmp_path / "run", resume=True)
    record.write_text(json.dumps(table | {"origin": table["origin"] | {"threads": True}}))
    with pytest.raises(InputError, match="made with threads = True"):
        train(tiny({"name": "none"}), tmp_path / "run", resume=True)
    record.write_text(json.dumps(table | {"configuration": {}}))
    with pytest.raises(InputError, match="it was changed after it was written"):
        train(tiny({"name": "none"}), tmp_path / "run", resume=True)
    record.write_text(json.dumps({key: value for key, value in table.items() if key != "origin"}))
    with pytest.raises(InputError, match="does not say what it was made from"):
        train(tiny({"name": "none"}), tmp_path / "run", resume=True)


@pytest.mark.long
def test_a_teacher_of_other_threads_is_another_teacher(tmp_path):
    for threads in (1, 2, 1):
        train(tiny({"name": "none"}), tmp_path / f"run-{threads}", resume=True, teachers=tmp_path / "teachers", threads=threads)
    assert len(list((tmp_path / "teachers").iterdir())) == 2


def test_a_teacher_that_was_trained_elsewhere_is_taken(once, tmp_path):
    path = tmp_path / "teacher.safetensors"
    save_file(once.teacher.state_dict(), path)
    again = train(tiny(), tmp_path / "run", teacher=path)
    assert equal(again.student.state_dict(), once.student.state_dict())
    assert not (tmp_path / "run" / "teacher").exists()


@pytest.mark.parametrize("device", ["abacus", "meta", "xpu"])
def test_devices_that_cannot_train_are_refused_by_name(device, tmp_path, monkeypatch):
    if device == "xpu":  # as if there were one: Lightning has no trainer for it
        monkeypatch.setattr(distillation, "choose_device", torch.device)
    with pytest.raises(InputError, match=f"device ('{device}' cannot be used here; this machine has 'cpu'|is 'xpu'; training)"):
        train(tiny(), tmp_path / "run", device=device)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "objective", [{"name": "kd"}, *(pytest.param({"name": name}, marks=pytest.mark.long) for name in ("none", "cw2"))]
)
def test_outputs_that_are_not_finite_stop_with_step_and_network_and_keep_the_last_good_checkpoint(
    objective, tmp_path, monkeypatch
):
    source = population("gaussian-mixture")
    draw = type(source).batch
    run = tiny(objective)

    def batch(self, split, index, *rest):
        images, labels = draw(self, split, index, *rest)
        return (images * torch.nan if index == 9 else images), labels

    train(tiny(), tmp_path / "teacher-only", teachers=tmp_path / "teachers")
    monkeypatch.setattr(type(source), "batch", batch)
    with pytest.raises(InputError, match=r"step 10: the student's logits of 32 of 32 images"):
        train(run, tmp_path / "run", teachers=tmp_path / "teachers")
    kept = torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)
    assert kept["global_step"] == 8
    assert all(values.isfinite().all() for values in kept["state_dict"].values())


def test_folders_that_are_not_this_runs(once, tmp_path):
    with pytest.raises(InputError, match="continue it with --resume"):
        train(tiny(pairs__at=[0, 3], pairs__audit=True), once.folder)
    with pytest.raises(InputError, match="holds a run; continue it with --resume"):
        train(tiny(seed=9), once.folder)
    with pytest.raises(InputError, match="run of another configuration"):
        train(tiny(seed=9), once.folder, resume=True)
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match=r"holds mine\.txt and no run"):
        train(tiny(), tmp_path)
    with pytest.raises(InputError, match="cannot be made"):
        train(tiny(), tmp_path / "mine.txt" / "run")
    broken = tmp_path / "broken"
    train(tiny(), broken, teachers=tmp_path / "teachers")
    (broken / "student.safetensors").unlink()
    (broken / "last.ckpt").write_bytes(b"half")
    with pytest.raises(InputError, match="is not a checkpoint of a run"):
        train(tiny(), broken, resume=True, teachers=tmp_path / "teachers")


def test_what_cannot_be_trained_is_refused_before_a_folder_is_made(tmp_path):
    for run, words in (
        (tiny({"name": "cw3"}), "did you mean 'cw2'"),
        (tiny({"name": "cw2", "weight": -1.0}), "weight is -1.0"),
        (tiny(student__network="mpl-8"), "there is no network 'mpl-8'"),
        (tiny(population__name="gausian-mixture"), "did you mean 'gaussian-mixture'"),
        (tiny(student__training__steps=None), "say steps ="),
        (tiny({"name": "unikd"}, teacher__network="factories:with_dropout"), "first stage before the activation"),
        (tiny(population={"name": "cifar10", "root": str(tmp_path)}), "hf download uoft-cs/cifar10"),
    ):
        with pytest.raises(InputError, match=words):
            train(run, tmp_path / "run")
        assert not (tmp_path / "run").exists()
    with pytest.raises(InputError, match="device"):
        train(tiny(), tmp_path / "run", device="cuda:9")


def test_weights_that_do_not_fit_name_the_first_difference(tmp_path):
    model = network("mlp-8", 10, (1, 1, 16), 0)
    path = RunFolder(tmp_path).weights("student")
    save_file(network("mlp-8", 10, (1, 1, 16), 0).state_dict() | {"fc.bias": torch.zeros(9)}, path)
    with pytest.raises(InputError, match=r"fc\.bias is \(9,\) in the file and \(10,\) in the network"):
        read_weights(path, model, "student")
    save_file({name: values for name, values in model.state_dict().items() if name != "encoder.1.weight"}, path)
    with pytest.raises(InputError, match=r"encoder\.1\.weight is missing in the file and \(8, 16\) in the network"):
        read_weights(path, model, "student")


@pytest.mark.long
def test_every_objective_trains_a_student_of_digits(tmp_path):
    # The one full set of smoke runs: shipped configurations, two steps each.
    from kd2m_theory.validation.training.configuration import read_configuration

    short = [f"{who}.training.{key}" for who in ("student", "teacher") for key in ("epochs=1", "steps=2")]
    for name in NAMES:
        run = read_configuration(f"digits-{name}", [*short, "pairs.audit=false"])
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            done = train(run, tmp_path / name, teachers=tmp_path / "teachers")
        assert len(done.history) == 1
        assert done.history[0]["train_total"] > 0
        assert Pair.load(done.pairs[1]).n == 539
        terms = {key for key in done.history[0] if key.startswith("train_")} - {"train_total", "train_cross_entropy"}
        assert bool(terms) == (name != "none")
    assert set(SINGLE) < set(NAMES)
