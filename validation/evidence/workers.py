"""Processes that compute blocks, each with one thread and a limit on memory. One that dies or hangs loses its block alone."""

import multiprocessing
import os
import resource
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import connection
from multiprocessing.connection import Connection
from typing import Any

from kd2m_theory.validation.campaigns.worker import start
from kd2m_theory.validation.evidence.blocks import Block
from kd2m_theory.validation.evidence.suite import Suite, Tally


@dataclass
class _Worker:
    process: Any
    end: Connection
    suite: Suite | None = None
    block: int = -1
    deadline: float = 0.0
    serves: str = ""


class Workers:
    """A few processes and the blocks they are computing.

    Args:
        count: how many.
        scratch: folder for temporary files, so that those of a process that is killed go too.
    """

    def __init__(self, count: int, scratch: str) -> None:
        self._context: Any = multiprocessing.get_context("spawn")  # fork does not suit threaded libraries
        self._workers: list[_Worker] = []
        self.count, self.scratch = count, scratch

    @property
    def idle(self) -> bool:
        """Whether one more block could begin."""
        return sum(worker.suite is not None for worker in self._workers) < self.count

    @property
    def warm(self) -> set[str]:
        """Names of suites that an idle process has loaded."""
        return {worker.serves for worker in self._workers if worker.suite is None}

    @property
    def busy(self) -> bool:
        """Whether a block is under way."""
        return any(worker.suite is not None for worker in self._workers)

    def begin(self, suite: Suite, block: int) -> None:
        """Compute a block in a process that is idle."""
        worker = self._free(suite)
        worker.suite, worker.block, worker.deadline = suite, block, time.monotonic() + suite.seconds
        worker.end.send((suite, block))

    def finished(self, patience: float) -> Iterator[tuple[Suite, Block]]:
        """Blocks that ended or were lost, after at most so many seconds of waiting."""
        busy = [worker for worker in self._workers if worker.suite is not None]
        due = min((worker.deadline for worker in busy), default=0.0) - time.monotonic()
        connection.wait(
            [each for worker in busy for each in (worker.end, worker.process.sentinel)], max(0.0, min(patience, due))
        )
        for worker in busy:
            suite = worker.suite
            assert suite is not None
            block = self._outcome(worker)
            if block is not None:
                worker.suite = None
                yield suite, block

    def close(self) -> None:
        """End all processes; what they compute is lost."""
        for worker in self._workers:
            _end(worker)
        self._workers.clear()

    def _free(self, suite: Suite) -> _Worker:
        # Libraries of one suite would count against the memory of another, so a process serves one.
        for worker in self._workers:
            if worker.suite is None and worker.serves == suite.name:
                return worker
        for worker in [worker for worker in self._workers if worker.suite is None][: len(self._workers) - self.count + 1]:
            _end(worker)
            self._workers.remove(worker)
        here, there = self._context.Pipe()
        process = self._context.Process(target=_serve, args=(there, self.scratch))
        process.start()
        there.close()
        worker = _Worker(process, here, serves=suite.name)
        self._workers.append(worker)
        return worker

    def _outcome(self, worker: _Worker) -> Block | None:
        """The worker's block if it ended, one that is lost if the worker did, None if it goes on."""
        lost = ""
        try:
            if worker.end.poll():
                kind, *rest = worker.end.recv()
                if kind == "done":
                    table, seconds = rest
                    return Block(worker.block, Tally.from_dict(table), seconds)
                return Block(worker.block, None, 0.0, rest[0])
        except (EOFError, OSError):
            lost = "its process ended without an answer"
        if not worker.process.is_alive():
            worker.process.join()
            code = worker.process.exitcode
            lost = f"its process was ended by signal {-code}" if code < 0 else f"its process exited with status {code}"
        elif time.monotonic() > worker.deadline:
            assert worker.suite is not None
            lost = f"no answer after {worker.suite.seconds:g} s"
        if not lost:
            return None
        _end(worker)
        self._workers.remove(worker)
        return Block(worker.block, None, 0.0, lost)


@contextmanager
def workers(count: int) -> Iterator[Workers]:
    """Processes that are gone when the block of code ends, however it ends."""
    with tempfile.TemporaryDirectory(prefix="kd2m-evidence-") as scratch:
        pool = Workers(count, scratch)
        try:
            yield pool
        finally:
            pool.close()


def _end(worker: _Worker) -> None:
    worker.process.kill()
    worker.process.join()
    worker.end.close()


def _serve(end: Connection, scratch: str) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends this process
    start()
    tempfile.tempdir = scratch
    limited = False
    while True:
        try:
            suite, block = end.recv()
        except EOFError:
            return
        try:
            if not limited:
                suite.warm_up()
                limit_memory(suite.memory)
                limited = True
            tally, seconds = suite.block(block)
            end.send(("done", tally.to_dict(), seconds))
        except MemoryError:
            end.send(("lost", f"it needs more than {suite.memory / 2**30:g} GiB"))
        except Exception as error:  # an oracle that fails is a block that is lost, with its reason
            end.send(("lost", f"{type(error).__name__}: {error}"))


@contextmanager
def within_memory(total: int) -> Iterator[None]:
    """Within it this process is refused more memory than so many bytes in all, those that it holds already included (Linux)."""
    before = limit_memory(max(0, total - _resident()))
    try:
        yield
    finally:
        if before is not None:
            resource.setrlimit(resource.RLIMIT_AS, before)


def _resident() -> int:
    """Bytes of this process in memory; 0 where the system does not say."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * resource.getpagesize()
    except OSError:
        return 0


def limit_memory(more: int) -> tuple[int, int] | None:
    """Refuse this process more memory than it has now plus so many bytes, where the system can (Linux).

    Returns:
        The limits before, soft and hard, for `resource.setrlimit`; None where there is no limit.
    """
    if not os.path.exists("/proc/self/statm"):
        return None
    with open("/proc/self/statm", encoding="ascii") as file:
        now = int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    before = resource.getrlimit(resource.RLIMIT_AS)
    ends = [each for each in (now + more, before[1]) if each != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_AS, (min(ends), before[1]))  # the hard limit stays: it could not be raised again
    return before
