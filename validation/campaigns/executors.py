"""Where tasks run: processes of this machine, or the workers of a Dask cluster. Both look like concurrent.futures."""

import multiprocessing
from collections.abc import Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path
from typing import Any, Protocol

from kd2m_theory.checks import whole
from kd2m_theory.errors import InputError, require
from kd2m_theory.side_by_side import every_core
from kd2m_theory.validation.campaigns.task import Outcome, Task, Work
from kd2m_theory.validation.campaigns.worker import perform, start


class Executor(Protocol):
    """What the engine asks of a place where tasks run."""

    words: str

    def slots(self) -> int:
        """Tasks that can be under way or queued there at once."""

    def submit(self, work: Work, task: Task, files: Mapping[str, bytes]) -> "Future[Outcome]":
        """Begin a task soon."""

    def renew(self) -> None:
        """Replace what broke; called after a submitted task lost its worker, before it is submitted again."""

    def close(self) -> None:
        """Begin nothing more and let go of the workers."""


class LocalProcesses:
    """Processes of this machine, of one thread each.

    Args:
        workers: how many; None: as many as this process may use cores.
        scratch: folder in which tasks have their own.

    Raises:
        InputError: no whole number ≥ 1.
    """

    def __init__(self, workers: int | None, scratch: Path) -> None:
        self.workers = every_core() if workers is None else whole(workers, "workers", 1)
        self.scratch = scratch
        self.words = f"{self.workers} local {'process' if self.workers == 1 else 'processes'}"
        self._pool = self._fresh()

    def slots(self) -> int:
        """One more than the workers, so that none waits for this process."""
        return self.workers + 1

    def submit(self, work: Work, task: Task, files: Mapping[str, bytes]) -> "Future[Outcome]":
        """See `Executor`."""
        return self._pool.submit(perform, work, task, files, self.scratch)

    def renew(self) -> None:
        """A new pool: one lost process makes the old one useless."""
        self._pool.shutdown()
        self._pool = self._fresh()

    def close(self) -> None:
        """Wait for the tasks under way, begin none."""
        self._pool.shutdown(cancel_futures=True)

    def _fresh(self) -> ProcessPoolExecutor:
        # Not fork: torch's threads do not survive it.
        return ProcessPoolExecutor(self.workers, multiprocessing.get_context("spawn"), start)


class DaskCluster:
    """The workers of a running Dask scheduler. Tasks with a CUDA device ask for `GPU = 1` of a worker's resources.

    Args:
        address: of the scheduler, "tcp://HOST:PORT".
        timeout: seconds to wait for it; for its workers there is no limit, a queue may be long.

    Raises:
        InputError: it does not answer.
        MissingDependencyError: distributed is not installed.
    """

    def __init__(self, address: str, timeout: float) -> None:
        require("a cluster", "distributed")
        from distributed import Client

        try:
            self._client: Any = Client(address, timeout=timeout, set_as_default=False)
        except (OSError, ValueError) as error:
            raise InputError(
                f"the scheduler {address} does not answer within {timeout:g} s ({type(error).__name__}); start it with "
                "dask scheduler, or name another with --scheduler"
            ) from None
        self.address, self.words = address, f"the cluster at {address}"
        self._executors = {
            name: self._client.get_executor(pure=False, retries=0, resources=resources)
            for name, resources in (("cpu", None), ("cuda", {"GPU": 1}))
        }

    def slots(self) -> int:
        """Two for every thread of every worker there is now; one while none has come yet.

        Raises:
            InputError: the scheduler went away.
        """
        try:
            return 2 * sum(self._client.ncores().values()) or 1
        except OSError:
            raise self._gone() from None

    def submit(self, work: Work, task: Task, files: Mapping[str, bytes]) -> "Future[Outcome]":
        """See `Executor`.

        Raises:
            InputError: the scheduler went away.
        """
        if self._client.status != "running":
            raise self._gone()
        future: Future[Outcome] = self._executors[task.device.split(":")[0]].submit(perform, work, task, files, None)
        return future

    def renew(self) -> None:
        """The scheduler replaces workers by itself."""

    def close(self) -> None:
        """Forget the tasks and leave the cluster as it was."""
        for each in self._executors.values():
            each.shutdown(wait=False)
        self._client.close(timeout=2)

    def _gone(self) -> InputError:
        return InputError(f"the scheduler {self.address} went away; start it again and continue with --resume")
