"""The page on foreign files: what it says loads code does, and what it says is data runs nothing."""

import ast
import io
import pickle
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from pages import ROOT

from kd2m_theory import AuditReport, InputError, Pair
from kd2m_theory.bounds.own_rows import named_rows
from kd2m_theory.estimators.axioms import load_callable
from kd2m_theory.validation.campaigns.campaign import read_campaign
from kd2m_theory.validation.campaigns.store import Store
from kd2m_theory.validation.objectives.registry import NAMES as OBJECTIVES
from kd2m_theory.validation.objectives.registry import objective
from kd2m_theory.validation.populations.registry import population
from kd2m_theory.validation.training.configuration import read_configuration
from kd2m_theory.validation.training.epoch_recorder import AtomicCheckpoints
from kd2m_theory.validation.training.networks import network
from kd2m_theory.validation.training.run_folder import read_weights

ROOMS = ("kd2m_theory", "estimators", "bounds", "validation", "paper_figures")


@pytest.fixture
def foreign(tmp_path, monkeypatch):
    """A module that says so when it is imported."""
    (tmp_path / "somebody_elses.py").write_text(
        "from torch import nn\n"
        "def model(classes, shape):\n"
        "    return nn.Sequential(__import__('collections').OrderedDict(flat=nn.Flatten(), fc=nn.Linear(4, classes)))\n"
        "def distance(x, y):\n    return 0.0\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield "somebody_elses"
    sys.modules.pop("somebody_elses", None)


def test_networks_and_metrics_are_imported_and_reading_a_configuration_imports_nothing(foreign):
    asked = read_configuration("digits-cw2", [f"student.network={foreign}:model", f"teacher.network={foreign}:model"])
    read_campaign("quick", [f'sweep.1.students=["{foreign}:model"]'])
    assert foreign not in sys.modules
    network(asked.student.network, 3, (1, 2, 2))
    assert sys.modules.pop(foreign)
    load_callable(f"{foreign}:distance")
    assert sys.modules.pop(foreign)
    with pytest.raises(InputError, match=r"name a kd2m_theory\.bounds\.Row"):
        named_rows([f"{foreign}:distance"])
    assert foreign in sys.modules


def test_nothing_else_in_a_configuration_names_code(foreign):
    nets = network("mlp-4", 3, (1, 2, 2)), network("mlp-4", 3, (1, 2, 2))
    with pytest.raises(InputError, match="there is no population"):
        population(f"{foreign}:model")
    with pytest.raises(InputError, match="there is no objective"):
        objective(f"{foreign}:model", *nets)
    with pytest.raises(InputError, match="there is no objective"):
        objective("sum", *nets, terms={f"{foreign}:model": 1.0})
    assert not any(":" in name for name in OBJECTIVES)
    assert foreign not in sys.modules


class Payload:
    """Unpickled, it writes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def npz(payload):
    buffer = io.BytesIO()
    np.savez(buffer, features_teacher=np.array([payload], dtype=object), features_student=np.zeros((1, 2)))
    return buffer.getvalue()


def checkpoint(payload):
    """As torch.save makes it, whose pickle is the payload's."""
    import torch

    buffer = io.BytesIO()
    torch.save({"state_dict": payload}, buffer)
    assert any(name.endswith("data.pkl") for name in zipfile.ZipFile(buffer).namelist())
    return buffer.getvalue()


READERS = {
    "pair.safetensors": (pickle.dumps, Pair.load),
    "pair.npz": (npz, Pair.load),
    "a pickle called pair.npz": (pickle.dumps, Pair.load),
    "report.json": (pickle.dumps, AuditReport.from_json),
    "run.toml": (pickle.dumps, read_configuration),
    "campaign.toml": (pickle.dumps, read_campaign),
    "last.ckpt": (checkpoint, AtomicCheckpoints().load_checkpoint),
    "an old last.ckpt": (pickle.dumps, AtomicCheckpoints().load_checkpoint),
    "weights.safetensors": (pickle.dumps, lambda path: read_weights(path, network("mlp-4", 3, (1, 2, 2)), "teacher")),
    "store.json": (pickle.dumps, lambda path: Store(path.parent).campaigns()),
}


@pytest.mark.parametrize("name", READERS)
def test_files_that_are_data_run_nothing(name, tmp_path):
    write, read = READERS[name]
    path, trace = tmp_path / name.split()[-1], tmp_path / "it-ran"
    path.write_bytes(write(Payload(trace)))
    with pytest.raises(InputError):
        read(path)
    assert not trace.exists()
    pickle.loads(pickle.dumps(Payload(trace)))
    assert trace.exists(), "the payload would have noticed"


def test_the_package_unpickles_nothing():
    """No reader of pickles is imported, and the two functions that can read them are told not to."""
    told = {"torch.load": ("weights_only", True), "npy.read_array": ("allow_pickle", False)}
    seen = set()
    for path in (path for room in ROOMS for path in (ROOT / room).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = {alias.name for alias in node.names} | {getattr(node, "module", None)}
                assert not names & {"pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal", "yaml"}, path
            if isinstance(node, ast.Call) and (called := ast.unparse(node.func)) in {
                *told,
                "np.load",
                "numpy.load",
                "pd.read_pickle",
            }:
                option, value = told[called]
                assert [each.value.value for each in node.keywords if each.arg == option] == [value], f"{path}: {called}"
                seen.add(called)
    assert seen == set(told)
