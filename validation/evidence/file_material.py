"""Whole files that the suite `files` damages, made once in a process."""

import io
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
from functools import cache
from importlib.resources import files
from pathlib import Path

import numpy as np

from kd2m_theory.pair import Pair
from kd2m_theory.reporting.report import audit

# A run and a campaign that take a second.
_RUN = """
[population]
name = "gaussian-mixture"
separation = 0.8
[teacher]
network = "mlp-64-32"
training = { epochs = 1, steps = 10, batch = 64, learning_rate = 2e-3 }
[student]
network = "mlp-8-32"
training = { epochs = 1, steps = 5, batch = 64, learning_rate = 5e-3 }
[objective]
name = "none"
[pairs]
at = [1]
images = 100
"""
_CAMPAIGN = """
delta = 0.05
[[sweep]]
seeds = [0]
epochs = [1]
images = 100
students = ["mlp-8-32"]
population = { name = "gaussian-mixture", separation = 0.8 }
teacher = { network = "mlp-64-32", training = { epochs = 1, steps = 10, batch = 64, learning_rate = 2e-3 } }
training = { epochs = 1, steps = 5, batch = 64, learning_rate = 5e-3 }
objectives = { none = {} }
"""
# Their files are damaged, but not what TensorBoard wrote, which nothing reads.
_FOREIGN = "tensorboard"


@cache
def folder() -> Path:
    """A folder of this process for material and for damaged files, which goes with it."""
    owned = tempfile.TemporaryDirectory(prefix="kd2m-evidence-")
    _KEPT.append(owned)
    return Path(owned.name)


_KEPT: list["tempfile.TemporaryDirectory[str]"] = []


def pair() -> Pair:
    """A small pair with everything that one can have."""
    rng = np.random.default_rng(7)
    features, weight = rng.normal(size=(8, 3)), rng.normal(size=(3, 3))
    student = features + 0.1 * rng.normal(size=(8, 3))
    return Pair(
        features,
        student,
        rng.integers(0, 3, 8),
        logits_student=student @ weight.T + 0.1 * rng.normal(size=(8, 3)),
        head_weight=weight,
        head_bias=rng.normal(size=3),
    )


def arrays() -> dict[str, np.ndarray]:
    """The arrays of the pair by name."""
    made = pair()
    names = ("features_teacher", "features_student", "labels", "logits_student", "head_weight", "head_bias")
    return {name: np.array(getattr(made, name)) for name in names}


@cache
def safetensors() -> bytes:
    """The pair as it is saved."""
    path = folder() / "whole.safetensors"
    pair().save(path)
    return path.read_bytes()


@cache
def npz() -> bytes:
    """The pair as NumPy saves it."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays())  # type: ignore[arg-type]
    return buffer.getvalue()


@cache
def configuration(name: str) -> bytes:
    """A shipped configuration."""
    return (files("kd2m_theory.validation.training") / "configurations" / name).read_bytes()


@cache
def campaign(name: str) -> bytes:
    """A shipped campaign."""
    return (files("kd2m_theory.validation.campaigns") / "shipped" / name).read_bytes()


@cache
def stored(name: str) -> bytes:
    """A table that a figure is drawn from; "report.json" is an audit of the pair."""
    if name == "report.json":
        path = folder() / "whole.json"
        audit(pair()).to_json(path)
        return path.read_bytes()
    return (files("kd2m_theory.validation") / "benchmarks" / name).read_bytes()


@cache
def run() -> tuple[Path, Path]:
    """A configuration, and the folder of its finished run."""
    return _made("run", _RUN, ("train", "{}", "--out"), ())


@cache
def store() -> tuple[Path, Path]:
    """A campaign, and its finished store."""
    return _made("store", _CAMPAIGN, ("validate", "{}", "--out"), ("--workers", "1"))


def owned_files(root: Path) -> list[Path]:
    """The files of a run or store that the project reads, as paths from its folder."""
    found = (path.relative_to(root) for path in sorted(root.rglob("*")) if path.is_file())
    return [path for path in found if _FOREIGN not in path.parts and "report" not in path.parts]


def copied(root: Path, name: str) -> Path:
    """A fresh copy of a folder."""
    copy = folder() / name
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(root, copy)
    return copy


def header_of(data: bytes) -> tuple[dict[str, object], bytes]:
    """Header and tensors of a safetensors file."""
    (size,) = struct.unpack("<Q", data[:8])
    return json.loads(data[8 : 8 + size]), data[8 + size :]


def with_header(header: bytes, tensors: bytes) -> bytes:
    """A safetensors file of a header and tensors."""
    return struct.pack("<Q", len(header)) + header + tensors


def _made(name: str, text: str, command: tuple[str, ...], more: tuple[str, ...]) -> tuple[Path, Path]:
    source, out = folder() / f"{name}.toml", folder() / f"whole-{name}"
    source.write_text(text, encoding="utf-8")
    words = [word.format(source) for word in command]
    done = subprocess.run(
        [sys.executable, "-m", "kd2m_theory", *words, str(out), *more],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    if done.returncode:
        raise RuntimeError(f"the {name} that files are taken from was not made: {done.stderr.strip()[-300:]}")
    return source, out
