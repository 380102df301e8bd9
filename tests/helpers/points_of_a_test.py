"""Points for tests of `gpu.py`, of which the slow parts are left out."""

import importlib
import os
import subprocess
import sys
import time
from pathlib import Path


def point_good(device, size):
    print("this goes to the log")
    return {"device": device, "size": size, "loss": float("nan")}


def point_wrong(device, size):
    from gpu_process import Failed

    raise Failed("it is 2, not 3", {"value": 2})


def point_raises(device, size):
    raise ZeroDivisionError("no such\nthing")


def point_lacks(device, size):
    importlib.import_module("no_such_library")


def point_dies(device, size):
    print("Segmentation fault", flush=True)
    os._exit(139)


def point_sleeps(device, size):
    time.sleep(60)


def point_hangs(device, size):
    """With a child in a session of its own, that would write a file in a while."""
    late = "import sys, time; time.sleep(4); open(sys.argv[1], 'w')"
    subprocess.Popen([sys.executable, "-c", late, str(Path(size))], start_new_session=True)
    time.sleep(60)
