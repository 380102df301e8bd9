"""What happens in a worker around a task: one thread, a folder of its own, one task at a time."""

import multiprocessing
import os
import shutil
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path

from kd2m_theory.validation.campaigns.task import Outcome, Task, Work

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "NUMEXPR_NUM_THREADS")
# Training seeds torch's one random state, so threads of one process take turns.
_TURN = threading.Lock()


def start() -> None:
    """Make a fresh process a worker: one thread for every library that is not loaded yet, and no life without the parent."""
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_die_with, args=(parent,), daemon=True).start()


def perform(work: Work, task: Task, files: Mapping[str, bytes], scratch: Path | None) -> Outcome:
    """The task's outcome.

    Args:
        work: what to do.
        task: on what.
        files: what it was given.
        scratch: a folder for folders of tasks; None: the machine's own for temporary files.
    """
    with _TURN:
        if scratch is None:
            with tempfile.TemporaryDirectory(prefix="kd2m-") as folder:
                return work(task, files, Path(folder))
        folder_here = scratch / task.digest
        shutil.rmtree(folder_here, ignore_errors=True)  # of a worker that was killed
        folder_here.mkdir(parents=True)
        try:
            return work(task, files, folder_here)
        finally:
            shutil.rmtree(folder_here, ignore_errors=True)


def _die_with(parent: "multiprocessing.process.BaseProcess") -> None:
    parent.join()
    os._exit(1)
