"""What users may rely on: the list of public names, and how a name goes."""

import importlib
import subprocess
import sys
import warnings
from types import ModuleType

import public_surface
import pytest

from kd2m_theory import __version__, deprecation
from kd2m_theory.deprecation import Going, going

RULE = (
    "a public name goes in two releases: first it is entered in kd2m_theory/deprecation.py and in CHANGELOG.md under "
    '"Deprecated", and warns; one release later it is deleted there and from tests/public_names.txt'
)
TABLE = {"made_up.Pare": Going("fractions.Fraction", "9.0.0")}


def test_every_public_name_can_be_imported():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        gone = [name for name in public_surface.committed() if public_surface.missing(name)]
    assert not gone, f"{', '.join(gone)} cannot be imported: {RULE}"


def test_the_list_has_every_public_name():
    new = sorted(public_surface.public_today().difference(public_surface.committed()))
    assert not new, f"run `python tests/helpers/public_surface.py`, which adds {', '.join(new)} to tests/public_names.txt"
    assert public_surface.committed() == sorted(set(public_surface.committed()))


@pytest.mark.parametrize("name", ["kd2m_theory.Pare", "kd2m_theory.pare", "kd2m_theory.pare.Pair", "kd2m_theory.bounds.f9.x"])
def test_a_name_that_is_gone_would_be_noticed(name):
    assert public_surface.missing(name)


@pytest.fixture
def made_up(monkeypatch):
    """A module with a name that goes."""
    module = ModuleType("made_up")
    module.__getattr__ = lambda name: going("made_up", name, TABLE)
    monkeypatch.setitem(sys.modules, "made_up", module)
    return module


def test_a_name_that_goes_works_and_warns_once_where_it_is_used(made_up):
    from fractions import Fraction

    with pytest.warns(DeprecationWarning, match="made_up") as caught:
        assert made_up.Pare is Fraction
    (warning,) = caught
    assert warning.filename == __file__
    said = "made_up.Pare is deprecated and will be removed in kd2m-theory 9.0.0; use fractions.Fraction"
    assert str(warning.message) == said
    assert made_up.Pare is Fraction  # a second warning would be an error
    with pytest.raises(AttributeError, match="module 'made_up' has no attribute 'Pair'"):
        made_up.Pair  # noqa: B018


@pytest.mark.parametrize("package", public_surface.PACKAGES)
@pytest.mark.parametrize("use", ["from {package} import Pare", "import {package} as package; package.Pare"])
def test_every_public_package_asks_the_table(package, use, monkeypatch):
    name = f"{package}.Pare"
    monkeypatch.setitem(deprecation.GOING, name, TABLE["made_up.Pare"])
    with pytest.warns(DeprecationWarning, match=f"{name} is deprecated"):
        exec(use.format(package=package))
    delattr(importlib.import_module(package), "Pare")


def test_who_uses_the_name_in_a_script_is_told_once_and_where():
    code = (
        "from kd2m_theory import deprecation\n"
        "deprecation.GOING['kd2m_theory.Pare'] = deprecation.Going('fractions.Fraction', '9.0.0')\n"
        "from kd2m_theory import Pare\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.count("DeprecationWarning") == 1
    assert "<string>:3: DeprecationWarning: kd2m_theory.Pare is deprecated" in done.stderr


def _release(version):
    return tuple(int(part) for part in version.split(".dev")[0].split("."))


def _overdue(table, version):
    return [name for name, entry in table.items() if _release(entry.until) <= _release(version)]


def test_names_that_go_are_gone_in_the_release_that_was_named():
    late = _overdue(deprecation.GOING, __version__)
    assert not late, f"{', '.join(late)} should be gone in {__version__}: {RULE}"
    assert [_overdue(TABLE, version) for version in ("8.10.1", "9.0.0.dev0")] == [[], ["made_up.Pare"]]


@pytest.mark.long
def test_a_module_that_moved_still_hands_out_all_its_names():
    code = "from kd2m_theory.estimators.transport_losses import *\nprint(squared_w2.__module__)\nimport kd2m_theory.bounds.layers as m\nprint(m.__doc__ is not None, 'network_lipschitz' in dir(m))"
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["kd2m_theory.estimators.losses.transport", "True", "True"]
