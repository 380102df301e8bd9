"""One version, said the same everywhere."""

import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from kd2m_theory import Pair, __version__, audit

ROOT = Path(__file__).parents[2]
PAIR = {"logits_teacher": [[0.0, 2.0], [3.0, 0.0]], "logits_student": [[0.0, 2.0], [2.0, 0.0]]}


def test_the_command_says_its_version(command):
    assert command("--version") == (0, f"kd2m-theory {__version__}\n", "")


def test_every_record_says_the_version(tmp_path):
    Pair(**PAIR).save(tmp_path / "pair.safetensors")
    assert Pair.load(tmp_path / "pair.safetensors").provenance["kd2m_theory"] == __version__
    assert audit(Pair(**PAIR)).environment["kd2m-theory"] == __version__
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == __version__


@pytest.mark.usefixtures("wheel_installed")
def test_the_wheel_has_the_version():
    assert importlib.metadata.version("kd2m-theory") == __version__


@pytest.mark.long
def test_a_checkout_needs_no_installation(tmp_path):
    """Nothing asks for the metadata of an installed kd2m-theory, as a checkout on the path has none."""
    code = (
        "import importlib.metadata as metadata, sys\n"
        f"sys.path.insert(0, {str(ROOT)!r})\n"
        "read = metadata.Distribution.from_name\n"
        "def without_ours(name):\n"
        "    if name.replace('_', '-').lower() == 'kd2m-theory':\n"
        "        raise metadata.PackageNotFoundError(name)\n"
        "    return read(name)\n"
        "metadata.Distribution.from_name = without_ours\n"
        "import kd2m_theory as kd2m\n"
        "from kd2m_theory.commands.main import main\n"
        f"pair = kd2m.Pair(**{PAIR!r})\n"
        "pair.save('pair.safetensors')\n"
        "sys.argv = ['kd2m', 'audit', 'pair.safetensors', '--report', 'page.html']\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    assert __version__ in (tmp_path / "page.html").read_text(encoding="utf-8")
