"""`validation/benchmarks/gpu.py`: what it does with points that pass, fail, hang or cannot run, and its own points in tiny."""

import importlib
import json
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
import torch

from kd2m_theory.errors import InputError
from kd2m_theory.validation.campaigns.campaign import read_campaign
from kd2m_theory.validation.campaigns.plan import check

HERE = Path(__file__).parents[2] / "validation" / "benchmarks"
NAMES = ["losses", "glyphs", "steps", "transport", "transport_large", "nccl", "tensors", "bf16", "unikd", "kd2m", "mnist"]
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module", autouse=True)
def scripts():
    """The folder's modules import one another by their bare names, as scripts do."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(HERE))
        yield


@pytest.fixture
def gpu(monkeypatch):
    helpers = Path(__file__).parents[1] / "helpers"
    monkeypatch.setenv("PYTHONPATH", str(helpers))
    return importlib.import_module("gpu")


def point(name, seconds=1.0, needs=()):
    from gpu_points import Point

    return Point(
        name=name,
        words=f"the point {name}",
        seconds=dict.fromkeys(("full", "small", "tiny"), seconds),
        needs=needs,
        module="points_of_a_test",
    )


def run(gpu, tmp_path, points, minutes=1.0, environment=None):
    results = gpu.Results(tmp_path / "out.json", environment or {"device": "here"}, "tiny")
    done = gpu.run_points([each for each in points if not results.passed(each.name)], results, "cpu", minutes, tmp_path)
    return {each.name: outcome for each, outcome in done}, json.loads((tmp_path / "out.json").read_text())


def test_each_point_has_its_outcome_and_stops_no_other(gpu, tmp_path, capsys):
    points = [
        point("good"),
        point("wrong"),
        point("raises"),
        point("lacks"),
        point("dies"),
        point("needs", needs=("no_such_one",)),
    ]
    done, table = run(gpu, tmp_path, points)
    assert {name: outcome.status for name, outcome in done.items()} == {
        "good": "passed",
        "wrong": "failed",
        "raises": "failed",
        "lacks": "cannot run here",
        "dies": "failed",
        "needs": "cannot run here",
    }
    kept = table["points"]
    assert kept["good"]["numbers"] == {"device": "cpu", "size": "tiny", "loss": None}
    assert kept["good"]["seconds"] > 0
    assert (kept["wrong"]["reason"], kept["wrong"]["numbers"]) == ("it is 2, not 3", {"value": 2})
    assert kept["raises"]["reason"] == "ZeroDivisionError: no such thing"
    assert kept["lacks"]["reason"] == "No module named 'no_such_library'"
    assert kept["dies"]["reason"] == "ended with status 139: Segmentation fault"
    assert kept["needs"]["reason"] == "the point needs needs no_such_one; run: pip install no_such_one"
    assert "ZeroDivisionError" in capsys.readouterr().out, "the end of a log is shown"


def test_it_continues_where_it_stopped(gpu, tmp_path):
    run(gpu, tmp_path, [point("good"), point("wrong")])
    done, table = run(gpu, tmp_path, [point("good"), point("wrong"), point("raises")])
    assert set(done) == {"wrong", "raises"}
    assert set(table["points"]) == {"good", "wrong", "raises"}
    done, table = run(gpu, tmp_path, [point("good")], environment={"device": "another"})
    assert set(done) == set(table["points"]) == {"good"}


def test_smallest_first_and_none_beyond_the_time_that_is_left(gpu, tmp_path):
    done, table = run(gpu, tmp_path, [point("wrong", 200.0), point("good", 2.0)], minutes=0.5)
    assert list(done) == ["good", "wrong"]
    assert done["wrong"].status == "not enough time left"
    assert table["points"]["wrong"]["reason"].startswith("takes about 200 s, ")
    run(gpu, tmp_path, [point("wrong", 1.0)])
    _, table = run(gpu, tmp_path, [point("wrong", 200.0)], minutes=0.5)
    assert table["points"]["wrong"]["status"] == "failed", "what is known of it is not forgotten"


def test_a_point_that_is_cut_off_by_the_end_of_the_time_has_not_failed(gpu, tmp_path):
    done, _ = run(gpu, tmp_path, [point("sleeps", 0.5)], minutes=0.02)
    assert (done["sleeps"].status, done["sleeps"].reason[-32:]) == ("not enough time left", "s that were left did not suffice")


@pytest.mark.long
def test_a_point_that_hangs_is_killed_with_its_children(tmp_path, monkeypatch):
    process = importlib.import_module("gpu_process")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1] / "helpers"))
    late = tmp_path / "late"
    outcome = process.run("points_of_a_test", "point_hangs", "cpu", str(late), 2.0, tmp_path / "log")
    assert (outcome.status, outcome.reason) == ("failed", "killed after 2 s")
    time.sleep(4)
    assert not late.exists()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"form": "kd2m-gpu 0", "environment": {}, "size": "tiny", "points": {}}'])
def test_a_file_of_something_else_is_not_overwritten(gpu, tmp_path, text):
    (tmp_path / "out.json").write_text(text)
    with pytest.raises(InputError, match=r"out\.json holds no results in the form kd2m-gpu 1; name another file"):
        gpu.Results(tmp_path / "out.json", {}, "tiny")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--only", "loses"], "there is no point 'loses'; points are losses, glyphs"),
        (["--minutes", "0"], "minutes is 0; give a number above 0"),
        (["--device", "tpu"], "device is 'tpu'; choose auto, cpu or cuda"),
        (["--out", "nowhere/out.json"], "the folder nowhere does not exist"),
    ],
)
def test_bad_input_has_status_2(gpu, capsys, arguments, message):
    assert gpu.main(arguments) == 2
    assert message in capsys.readouterr().err


@pytest.mark.long
def test_the_script_runs_outside_of_its_folder(tmp_path):
    command = [
        sys.executable,
        str(HERE / "gpu.py"),
        "--device",
        "cpu",
        "--size",
        "tiny",
        "--only",
        "losses",
        "--out",
        "out.json",
    ]
    first = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert first.returncode == 0, first.stdout + first.stderr
    table = json.loads((tmp_path / "out.json").read_text())
    assert table["environment"]["libraries"]["torch"] == torch.__version__
    assert table["environment"]["numbers"] >= 1
    assert {row["loss"] for row in table["points"]["losses"]["numbers"]["rows"]} == {"W2", "CW2", "MMD (RBF)", "W2 (Gaussian)"}


def test_every_point_says_how_long_it_takes_and_together_they_fit():
    from gpu_points import POINTS

    assert [each.name for each in POINTS] == NAMES
    assert all(hasattr(importlib.import_module(each.module), each.function) for each in POINTS)
    seconds = sorted(each.seconds["full"] for each in POINTS)
    assert sum(seconds[:-2]) <= 8 * 60 - 30  # the last two want a second run
    assert sum(seconds) <= 14 * 60 - 30


@pytest.mark.parametrize("name", ["transport", "transport_large"])
def test_transport_in_tiny(name, monkeypatch):
    monkeypatch.setattr("kd2m_theory.estimators.between_clouds.STORED", 0)  # the point sets it, in a process of its own
    numbers = getattr(importlib.import_module("gpu_points"), f"point_{name}")("cpu", "tiny")
    json.dumps(numbers, allow_nan=False)
    assert [(row["status"], row["method"]) for row in numbers["rows"]] == [("optimal", "network simplex on tiles")]


@pytest.mark.parametrize("name", ["glyphs", "steps", pytest.param("bf16", marks=pytest.mark.long)])
def test_a_point_in_tiny(name):
    numbers = getattr(importlib.import_module("gpu_points"), f"point_{name}")("cpu", "tiny")
    json.dumps(numbers, allow_nan=False)
    if name == "glyphs":
        assert numbers["glyphs_a_second"] > 0
    elif name == "steps":
        assert "cw2" in numbers["adds_ms"]
    else:
        assert numbers["apart"] == 0, "bf16 is float32 on the CPU"


def test_a_group_of_one_process_trains_as_the_process_alone(monkeypatch):
    group = importlib.import_module("gpu_group")
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    gathered = []
    original = torch.distributed.all_gather
    monkeypatch.setattr(
        torch.distributed, "all_gather", lambda *given, **named: gathered.append(1) or original(*given, **named)
    )
    try:
        alone, together = (group.trained(torch.device("cpu"), "mlp-16-8", group=each) for each in (False, True))
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
    assert (alone.pop("backend"), together.pop("backend")) == ("none", "gloo")
    assert alone == together
    assert gathered, "a group of one gathers"


@pytest.mark.parametrize("size", ["full", "small", "tiny"])
def test_the_campaigns_of_each_size_can_begin(size, tmp_path):
    points = importlib.import_module("gpu_campaigns")
    for name in ("svhn", "cifar10", "cifar100"):
        points.write(tmp_path, name, 200, 100)
    changes, _ = points.kd2m_of("cpu", size, str(tmp_path))
    chosen = read_campaign("kd2m", changes)
    assert {run.population["name"] for run in chosen.runs} == {"svhn", "cifar10", "cifar100"}
    if size == "full":
        assert {run.objective["name"] for run in chosen.runs} == {"none", "kd", *points.DISTANCES}
        assert {run.student.network for run in chosen.runs} == {"resnet18"}
    else:
        check(chosen, here=False)
    mnist = read_campaign("mnist", points.mnist_of("cpu", size)[0])
    check(mnist, here=False)
    objectives = {run.objective["name"] for run in read_campaign("mnist").runs}
    named = {"full": objectives, "small": {"none", "kd", "cw2"}, "tiny": {"none"}}[size]
    assert Counter(run.objective["name"] for run in mnist.runs) == dict.fromkeys(named, 1)


@pytest.mark.long
@pytest.mark.parametrize("name", ["kd2m", "mnist", "unikd"])
def test_an_experiment_in_tiny(name):
    points = {each.name: each for each in importlib.import_module("gpu_points").POINTS}
    point = getattr(importlib.import_module(points[name].module), points[name].function)
    numbers = point("cpu", "tiny")
    json.dumps(numbers, allow_nan=False)
    if name == "unikd":
        assert {"AFF", "DKD", "supplement"} < numbers["milliseconds"].keys()
    else:
        assert numbers["checked"] > 40
        assert numbers["violations"] == []
        assert len(numbers["accuracies"]) == (3 if name == "kd2m" else 1)
