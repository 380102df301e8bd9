"""Tasks without training, for tests of what is around tasks: workers import this module."""

import os
import signal
import time
from pathlib import Path

from kd2m_theory.validation.campaigns.table import part
from kd2m_theory.validation.campaigns.task import Outcome, Task


def task(name, do="rows", **links):
    return Task(name, {"do": do}, f"task {name}", **links)


def work(task, files, scratch):
    """Rows that are a function of the task; `do` says what goes wrong, with a marker file for what goes wrong once."""
    do, _, marker = task.table["do"].partition(":")
    assert not list(scratch.iterdir())
    (scratch / "own").write_text(task.digest)
    if do == "raise":
        raise ValueError("no such thing\nas this")
    if do == "kill" or (do == "kill once" and not Path(marker).exists()):
        if marker:
            Path(marker).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if do == "wait":
        time.sleep(float(marker))
    made = {name: task.digest.encode() for name in (*task.makes, *task.shares) if name not in files}
    rows = [{"kind": "bound", "name": f"{name} of {data.decode()}"} for name, data in sorted(files.items())]
    rows.append({"kind": "bound", "name": "threads", "value": float(os.environ.get("OMP_NUM_THREADS", "nan"))})
    rows[-1]["status"] = os.environ.get("PLACE_OF_WORK")
    return Outcome(part({"task": task.digest}, rows, {"seconds": 0.0, "task": dict(task.table)}), made)


def nothing(task, files, scratch):
    """A task that costs nothing."""
    return Outcome(part({"task": task.digest}, [{}], {"seconds": 0.0, "task": {}}))


class Inline:
    """An executor that runs every task at once in this process."""

    words = "this process"

    def __init__(self, scratch):
        self.scratch = scratch
        self.begun = []

    def slots(self):
        return 2

    def submit(self, work, task, files):
        from concurrent.futures import Future

        from kd2m_theory.validation.campaigns.worker import perform

        self.begun.append(task.digest)
        future = Future()
        try:
            future.set_result(perform(work, task, files, self.scratch))
        except Exception as error:
            future.set_exception(error)
        return future

    def renew(self):
        raise AssertionError("nothing here can break")

    def close(self):
        pass
