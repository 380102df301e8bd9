"""Guards on the house itself: one import root, one direction, a light front door."""

import ast
import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest

import kd2m_theory

ROOT = Path(__file__).parent.parent
ROOMS = {
    "kd2m_theory": "kd2m_theory",
    "kd2m_theory/theory": "kd2m_theory.theory",
    "validation/campaigns": "kd2m_theory.validation.campaigns",
    "validation/evidence": "kd2m_theory.validation.evidence",
    "validation/objectives": "kd2m_theory.validation.objectives",
    "validation/populations": "kd2m_theory.validation.populations",
} | {room: f"kd2m_theory.{room}" for room in ("estimators", "bounds", "validation", "paper_figures")}
# Which rooms a room may import; "base" is what stands under every room, "pair" the data that bounds are about.
BASE = {"kd2m_theory.__version__", "kd2m_theory.deprecation", "kd2m_theory.errors", "kd2m_theory.files"}
ALLOWED = {
    "theory": {"theory", "base"},
    "estimators": {"estimators", "base"},
    "pair": {"estimators", "base", "extraction"},
    "bounds": {"bounds", "estimators", "pair", "base"},
    "validation": {"validation", "theory", "bounds", "estimators", "front", "pair", "base", "extraction"},
    "paper_figures": {"paper_figures", "validation", "theory", "bounds", "estimators", "front", "pair", "base"},
}


def room_of(module):
    if module in BASE:
        return "base"
    parts = module.split(".")
    if len(parts) > 1 and parts[1] in ALLOWED:
        return parts[1]
    return {"kd2m_theory.pair": "pair", "kd2m_theory.extraction": "extraction"}.get(module, "front")


def modules():
    for folder, package in ROOMS.items():
        for path in sorted((ROOT / folder).glob("*.py")):
            yield pytest.param(
                path, package if path.stem == "__init__" else f"{package}.{path.stem}", id=f"{folder}/{path.stem}"
            )


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} imports relatively"
            if node.module == "kd2m_theory":
                yield from (f"kd2m_theory.{alias.name}" for alias in node.names)
            else:
                yield node.module


@pytest.mark.parametrize(("path", "module"), list(modules()))
def test_imports_point_one_way(path, module):
    here = room_of(module)
    if here not in ALLOWED:
        return  # the front door may call any room
    for name in imported(path):
        if name.split(".")[0] == "kd2m_theory":
            assert room_of(name) in ALLOWED[here], f"{module} imports {name}"


def test_no_module_is_too_long_to_read():
    for folder in ROOMS:
        for path in (ROOT / folder).glob("*.py"):
            assert len(path.read_text().splitlines()) <= 400, path


def installed_files():
    files = importlib.metadata.files("kd2m-theory")
    assert files is not None
    return [file.as_posix() for file in files]


@pytest.mark.usefixtures("wheel_installed")
def test_the_wheel_has_one_import_root_and_every_module():
    files = [file for file in installed_files() if not file.endswith(".pyc")]
    roots = {file.split("/")[0] for file in files if not file.startswith("..")}
    assert roots == {"kd2m_theory", f"kd2m_theory-{importlib.metadata.version('kd2m-theory')}.dist-info"}
    for folder, package in ROOMS.items():
        for path in (ROOT / folder).glob("*.py"):
            assert f"{package.replace('.', '/')}/{path.name}" in files
    assert {"kd2m_theory/py.typed", "kd2m_theory/report.css"} <= set(files)
    assert not any(
        "test" in file or ("benchmark" in file and not file.endswith((".json", ".md", ".parquet")))
        for file in files
        if file.startswith("kd2m_theory/")
    )
    assert Path(kd2m_theory.__file__).is_relative_to(sys.prefix)


@pytest.mark.usefixtures("wheel_installed")
@pytest.mark.parametrize("room", [room for room in ROOMS if "/" not in room and room != "kd2m_theory"])
def test_rooms_cannot_be_imported_by_their_bare_name(room, tmp_path):
    done = subprocess.run([sys.executable, "-c", f"import {room}"], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert "ModuleNotFoundError" in done.stderr


def loaded_by(code):
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules)"], capture_output=True, text=True, check=True
    )
    return set(done.stdout.splitlines()[-1].split())


def test_the_front_door_is_light():
    assert not {"numpy", "scipy", "torch", "matplotlib", "ot"} & loaded_by("import kd2m_theory")
    help_page = "import sys\nfrom kd2m_theory.cli import app\nsys.argv = ['kd2m', '--help']\ntry:\n    app()\nexcept SystemExit:\n    pass"
    assert not {"numpy", "scipy", "torch", "matplotlib", "ot"} & loaded_by(help_page)


def test_an_audit_of_arrays_needs_no_torch():
    code = (
        "import numpy as np, kd2m_theory as k\n"
        "z = np.random.default_rng(0).normal(size=(20, 3))\n"
        "k.audit(k.Pair(z, z + 0.1, labels=np.arange(20) % 2, head_weight=np.eye(2, 3)))"
    )
    assert not {"torch", "matplotlib", "ot"} & loaded_by(code)


def test_public_names_are_there_and_documented():
    from kd2m_theory import bounds, estimators

    for module in (kd2m_theory, bounds, estimators):
        for name in module.__all__:
            assert getattr(module, name).__doc__ or name == "ROWS", name
    assert set(kd2m_theory.__all__) <= set(dir(kd2m_theory))
    with pytest.raises(AttributeError, match="no attribute 'Pare'"):
        kd2m_theory.Pare  # noqa: B018
