"""`kd2m train`: what it prints, and one clear line for what is wrong."""

import signal
import subprocess
import sys
import time
from functools import partial

import pytest
from typer.testing import CliRunner

from kd2m_theory.commands import main as cli

SHORT = [
    *("--set", "student.training.epochs=2", "--set", "student.training.steps=3"),
    *("--set", "teacher.training.epochs=1", "--set", "teacher.training.steps=3", "--set", "pairs.images=60"),
]


@pytest.mark.long
def test_a_shipped_configuration_by_name(command, tmp_path):
    code, out, err = command("train", "mixture-cw2", *SHORT)
    assert (code, err) == (0, "")
    assert "student, test" in out
    assert "no guaranteed bound is violated" in out
    assert (tmp_path / "runs/mixture-cw2/pairs/epoch-0002.safetensors").exists()
    code, out, _ = command("train", "mixture-cw2", *SHORT)
    assert code == 2
    code, again, _ = command("train", "mixture-cw2", *SHORT, "--resume")
    assert code == 0
    assert "student, test" in again


@pytest.mark.long
def test_a_violated_bound_is_exit_status_one(command, monkeypatch):
    from kd2m_theory.validation.training import run

    monkeypatch.setattr(run, "_violations", lambda path: ("T1.l2",))
    code, out, _ = command("train", "mixture-cw2", *SHORT)
    assert code == 1
    assert "VIOLATED: T1.l2" in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["mixture-cw22"], "did you mean 'mixture-cw2'"),
        (["mixture-cw2", "--set", "objective.name='cw3'"], "did you mean 'cw2'"),
        (["mixture-cw2", "--set", "objective.name='nothing'"], "there is no objective 'nothing'"),
        (["mixture-cw2", "--set", "student.network='resnet9'"], "did you mean 'resnet8'"),
        (["mixture-cw2", "--set", "objective.weight=-1"], "weight is -1"),
        (["mixture-cw2", "--set", "objective.weight"], "is not key=value"),
        (["mixture-cw2", "--set", "student.network='mlp-12'"], 'add projector = "linear"'),
        (["mixture-cw2", "--device", "cuda:7"], "cannot be used here"),
        (["cifar10-kd2m", "--set", "population.root='nowhere'"], "hf download"),
    ],
)
def test_what_is_wrong_is_one_line_and_exit_status_two(command, arguments, words, tmp_path):
    code, out, err = command("train", *arguments)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert err.startswith("kd2m: ")
    assert words in err
    assert not (tmp_path / "runs").exists() or not list((tmp_path / "runs").iterdir())


@pytest.mark.long
def test_a_loss_that_is_not_finite(command):
    code, _, err = command("train", "mixture-cw2", *SHORT, "--set", "student.training.learning_rate=1e30")
    assert code == 2
    assert "step" in err
    assert err.count("\n") == 1


@pytest.mark.long
def test_an_interrupt_is_no_violation_and_says_how_to_go_on(tmp_path):
    command = [sys.executable, "-m", "kd2m_theory", "train", "mixture-cw2", "--set", "student.training.epochs=2000"]
    heeded = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # a shell has its jobs in the background ignore it
    process = subprocess.Popen([*command, "--out", "run"], cwd=tmp_path, stderr=subprocess.PIPE, text=True, preexec_fn=heeded)
    checkpoint = tmp_path / "run" / "last.ckpt"
    while not checkpoint.exists() and process.poll() is None:
        time.sleep(0.01)
    for last in (False, True):  # Python drops what is raised while it destroys an object: then one presses again
        process.send_signal(signal.SIGINT)
        try:
            _, err = process.communicate(timeout=60)
            break
        except subprocess.TimeoutExpired:
            if last:
                process.kill()
                raise
    assert process.returncode == 130, err
    assert "with --resume continues" in err
    assert "Traceback" not in err
    assert checkpoint.exists()


def test_a_missing_library_is_named_with_the_command_that_installs_it(command, monkeypatch):
    import importlib.util

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    code, _, err = command("train", "mixture-cw2")
    assert code == 2
    assert "run: pip install lightning pyarrow tensorboard\n" in err


def test_help_needs_no_training_library():
    shown = CliRunner().invoke(cli.app, ["train", "--help"])
    assert shown.exit_code == 0
    assert "--resume" in shown.stdout
