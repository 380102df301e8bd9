"""Guards on the house itself: one import root, one direction, a light front door."""

import ast
import importlib.metadata
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest

import kd2m_theory

ROOT = Path(__file__).parent.parent
PACKAGE = Path(kd2m_theory.__file__).parent
BUILD = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
FOLDERS = {folder: package for package, folder in BUILD["package-dir"].items()}
ROOMS = ("kd2m_theory", "estimators", "bounds", "validation", "paper_figures")
# Lower floors may not import higher ones, nor one of a pair on a floor the other, however late. All else is ground floor.
FLOORS = {"theory": 1, "estimators": 1, "bounds": 2, "reporting": 3, "validation": 4, "paper_figures": 5, "commands": 6}
FRONT = ("kd2m_theory", "kd2m_theory.__main__")  # hands out what others made


def installed_modules():
    """Modules as they are installed, with their files; in a checkout the rooms lie beside the package."""
    for folder, package in FOLDERS.items():
        parts = package.split(".")[1:]
        home = PACKAGE.joinpath(*parts) if PACKAGE.joinpath(*parts).is_dir() else ROOT / folder
        for path in sorted(home.glob("*.py")):
            yield (package if path.stem == "__init__" else f"{package}.{path.stem}"), path


@cache
def modules():
    return dict(installed_modules())


def imported(source):
    """What a module imports at any time: statements anywhere in it, and names of modules in its strings."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "a relative import"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if whole in modules() else node.module
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            name = node.value.partition(":")[0]
            if name.count(".") > 1:  # packages are named to find files in them
                yield name


@cache
def graph_of_the_house():
    return {
        module: {name for name in imported(path.read_text(encoding="utf-8")) if name in modules() and name != module}
        for module, path in modules().items()
    }


def floor(module):
    parts = module.split(".")
    return FLOORS.get(parts[1] if len(parts) > 1 else "", 0)


def upward(graph):
    """Imports of a higher floor, or of the other room on the same one."""
    for module, names in graph.items():
        for name in names:
            across = floor(name) == floor(module) > 0 and name.split(".")[1] != module.split(".")[1]
            if module not in FRONT and (floor(name) > floor(module) or across or name in FRONT):
                yield f"{module} imports {name}"


def circles(graph):
    """Modules that import one another, by whatever way round."""

    def reached(start):
        seen, todo = set(), [start]
        while todo:
            new = graph.get(todo.pop(), set()) - seen
            seen |= new
            todo += new
        return seen

    reach = {module: reached(module) for module in graph}
    return sorted(module for module in graph if module in reach[module])


def test_no_import_goes_up():
    assert not list(upward(graph_of_the_house()))


def test_no_modules_import_one_another():
    assert not circles(graph_of_the_house())


def test_an_upward_import_and_a_circle_would_be_seen():
    up = {"kd2m_theory.bounds.view": {"kd2m_theory.validation.numbers"}, "kd2m_theory.theory.laws": {"kd2m_theory.estimators"}}
    assert len(list(upward(up))) == 2
    assert list(upward({"kd2m_theory.files": {"kd2m_theory"}})) == ["kd2m_theory.files imports kd2m_theory"]
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == ["a", "b", "c"]
    lazy = "def f():\n    from kd2m_theory.validation import numbers\n    return 'kd2m_theory.bounds.view:View'\n"
    assert {"kd2m_theory.validation.numbers", "kd2m_theory.bounds.view"} <= set(imported(lazy))


def test_every_folder_is_installed():
    folders = {path.parent.relative_to(ROOT).as_posix() for room in ROOMS for path in (ROOT / room).rglob("__init__.py")}
    assert folders == set(FOLDERS)
    assert set(BUILD["packages"]) == set(BUILD["package-dir"])


def installed_files():
    files = importlib.metadata.files("kd2m-theory")
    assert files is not None
    return [file.as_posix() for file in files]


@pytest.mark.usefixtures("wheel_installed")
def test_the_wheel_has_one_import_root_and_every_module():
    files = [file for file in installed_files() if not file.endswith(".pyc")]
    roots = {file.split("/")[0] for file in files if not file.startswith("..")}
    assert roots == {"kd2m_theory", f"kd2m_theory-{importlib.metadata.version('kd2m-theory')}.dist-info"}
    for folder, package in FOLDERS.items():
        for path in (ROOT / folder).glob("*.py"):
            assert f"{package.replace('.', '/')}/{path.name}" in files
    assert {"kd2m_theory/py.typed", "kd2m_theory/reporting/report.css", "kd2m_theory/reporting/audit.schema.json"} <= set(files)
    assert not any(
        "test" in file or ("/benchmarks/" in file and not file.endswith((".json", ".parquet")))
        for file in files
        if file.startswith("kd2m_theory/")
    )
    assert Path(kd2m_theory.__file__).is_relative_to(sys.prefix)


@pytest.mark.usefixtures("wheel_installed")
@pytest.mark.parametrize("room", ROOMS[1:])
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
    help_page = "import sys\nfrom kd2m_theory.commands.main import app\nsys.argv = ['kd2m', '--help']\ntry:\n    app()\nexcept SystemExit:\n    pass"
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
