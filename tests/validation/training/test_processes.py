"""Two processes with half a batch each are one process with all of it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet
import pytest
import torch
from runs import tiny
from safetensors.torch import load_file

from kd2m_theory.errors import InputError
from kd2m_theory.validation.training.distillation import train
from kd2m_theory.validation.training.processes import Processes, started_by_torchrun

HELPER = Path(__file__).parents[2] / "helpers" / "two_trainers.py"
# A distance of the whole batch, one with a learnable part and random directions, and one of weight zero that trains nothing.
OBJECTIVES = {
    "cw2": {"name": "cw2", "weight": 0.1},
    "sum": {
        "name": "sum",
        "terms": {
            "kd": 0.5,
            "sliced-w2": {"weight": 0.1, "projector": "linear"},
            "mmd": {"weight": 0.0, "projector": "linear"},
        },
    },
}


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [*command, str(HELPER), json.dumps(OBJECTIVES), str(folder)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.mark.long
@pytest.mark.parametrize("name", list(OBJECTIVES))
def test_two_processes_give_the_losses_and_the_student_of_one(name, shared, tmp_path):
    one = train(tiny(OBJECTIVES[name]), tmp_path / "one")
    rows = pyarrow.parquet.read_table(shared / name / "history.parquet").to_pylist()
    for here, there in zip(rows, one.history, strict=True):
        for key in there:
            if key != "seconds":
                assert here[key] == pytest.approx(there[key], rel=1e-6, abs=1e-6), key
    two = load_file(shared / name / "student.safetensors")
    for key, values in one.student.state_dict().items():
        torch.testing.assert_close(two[key], values, rtol=1e-4, atol=1e-5)
    half = train(tiny(OBJECTIVES[name], student__training__batch=16), tmp_path / "half")
    assert abs(half.history[0]["train_total"] - one.history[0]["train_total"]) > 1e-3  # the whole batch is not its half


def test_processes_that_cannot_share_are_refused(monkeypatch, tmp_path):
    assert started_by_torchrun() == Processes()
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "one")
    with pytest.raises(InputError, match="torchrun has to set"):
        started_by_torchrun()
    for name, value in (("WORLD_SIZE", 3), ("LOCAL_WORLD_SIZE", 3), ("RANK", 1), ("LOCAL_RANK", 1)):
        monkeypatch.setenv(name, str(value))
    assert started_by_torchrun() == Processes(3, 3, 1, 1)
    with pytest.raises(InputError, match="a batch of 32 images cannot be shared by 3 processes"):
        train(tiny(), tmp_path / "run")
