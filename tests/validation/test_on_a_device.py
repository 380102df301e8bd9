"""Everything that works on a device, tried on the simulated one: in a process of its own, which knows the device from its start."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import simulated_device

HERE = Path(__file__).parent
ROOT = HERE.parent.parent


@pytest.mark.skipif(not simulated_device.AVAILABLE, reason="this torch knows no devices written in Python")
def test_everything_works_on_a_simulated_device():
    command = [sys.executable, "-P", "-m", "pytest", "-c", str(ROOT / "pyproject.toml"), "--rootdir", str(ROOT), "-q"]
    files = [str(HERE / name) for name in ("test_devices.py", "test_simulated_device.py")]
    outside = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(
        [*command, "-p", "no:cacheprovider", *files],
        env=outside | {"KD2M_DEVICE": "simulated"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None
    assert int(passed[1]) > 100
