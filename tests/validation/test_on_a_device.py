"""Everything that works on a device, tried on the simulated one: in a process of its own, which knows the device from its start."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import simulated_device
from sampled import sampled

HERE = Path(__file__).parent
ROOT = HERE.parent.parent


# What runs there, and how many tests that is at least: objectives and their training in every run, whatever else takes a device
# where long tests run.
FILES = {"test_simulated_device.py": 25, "test_devices.py": 84}


@pytest.mark.parametrize("file", sampled(FILES, always=["test_simulated_device.py"]))
@pytest.mark.skipif(not simulated_device.AVAILABLE, reason="this torch knows no devices written in Python")
def test_everything_works_on_a_simulated_device(file):
    command = [sys.executable, "-P", "-m", "pytest", "-c", str(ROOT / "pyproject.toml"), "--rootdir", str(ROOT), "-q"]
    outside = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(
        [*command, "-p", "no:cacheprovider", str(HERE / file)],
        env=outside | {"KD2M_DEVICE": "simulated"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None
    assert int(passed[1]) >= FILES[file]
