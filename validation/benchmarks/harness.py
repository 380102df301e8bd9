"""What the benchmarks share: time on a device, a job in a fresh process with a peak memory of its own, tables in a file.

Benchmarks of many measurements share more: each runs in its process under limits on memory and time, is written to the file as
soon as it is there, and is not repeated by the same command.
"""

import argparse
import datetime
import math
import multiprocessing
import os
import platform
import resource
import shlex
import signal
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kd2m_theory.errors import InputError
from kd2m_theory.files import check_writable, write_atomically
from kd2m_theory.validation.benchmark_tables import (
    Benchmark,
    BenchmarkTable,
    Column,
    Record,
    heading,
    line,
    read_benchmark,
    to_json,
)
from kd2m_theory.validation.evidence.workers import limit_memory
from kd2m_theory.version import __version__

if TYPE_CHECKING:
    import torch


def timed(call: Callable[[], object], device: "torch.device") -> float:
    """Seconds of one call. On a GPU, calls queue work: nothing is queued before, everything is done after."""
    _wait(device)
    start = time.perf_counter()
    call()
    _wait(device)
    return time.perf_counter() - start


def seconds(call: Callable[[], object], device: "torch.device", repeat: int, least: float = 0.0) -> float:
    """Median time of a call, after two that do not count.

    Args:
        call: what is timed.
        device: where it works.
        repeat: calls, at least.
        least: seconds that all of them together take, at least.
    """
    for _ in range(2):
        call()
    times: list[float] = []
    while len(times) < repeat or sum(times) < least:
        times.append(timed(call, device))
    return statistics.median(times)


def _wait(device: "torch.device") -> None:
    if device.type != "cpu":
        import torch

        getattr(torch, device.type).synchronize()


def _end_with_parent() -> None:
    """Wait for the end of the process that measures, and end with it: nobody would read the result."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _child(job: Callable[..., Any], arguments: tuple[Any, ...], pipe: Connection) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    result = job(*arguments)
    pipe.send((result, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))


class DiedError(SystemExit):
    """A process ended without a result. Where nobody expects it, it ends the benchmark, with its words.

    Args:
        words: which job.
        signal: that ended it; 0 if none did.
    """

    def __init__(self, words: str, signal: int) -> None:
        super().__init__(words)
        self.signal = signal


def measure(job: Callable[..., Any], *arguments: Any) -> tuple[Any, float]:
    """The job's result and the peak memory of its process in MiB.

    Raises:
        DiedError: it has none.
    """
    context = multiprocessing.get_context("spawn")
    receive, send = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(job, arguments, send))
    process.start()
    send.close()
    try:
        result, peak = receive.recv()
    except EOFError:
        process.join()
        raise DiedError(f"{job.__name__}{arguments} died", max(0, -(process.exitcode or 0))) from None
    finally:
        process.join()
    return result, peak


Answer = dict[str, Any]


@dataclass(frozen=True)
class Limits:
    """What one measurement may take.

    Attributes:
        memory: bytes, beyond those of the libraries and of its data.
        seconds: of the clock.
    """

    memory: int
    seconds: int

    @property
    def too_much(self) -> str:
        """That the memory does not suffice, in words."""
        return f"more than {self.memory / 2**30:g} GiB"


def within(limits: Limits, call: Callable[[], Answer]) -> Answer:
    """What a call finds in this process, with its "time" and "CPU time" in seconds; a "remark" if memory does not suffice.

    A process that needs more time is ended by SIGALRM.
    """
    limit_memory(limits.memory)
    signal.alarm(limits.seconds)
    start, cpu = time.perf_counter(), time.process_time()
    try:
        found = call()
    except MemoryError:
        return {"remark": limits.too_much}
    except RuntimeError as error:
        if "allocate memory" not in str(error):
            raise
        return {"remark": limits.too_much}
    return {"time": time.perf_counter() - start, "CPU time": time.process_time() - cpu, **found}


def measured_within(limits: Limits, job: Callable[..., Answer], *arguments: Any) -> Answer:
    """What a job finds by `within` in a process of its own, with its "peak memory" in MiB; a "remark" if the process ended.

    Args:
        limits: the last argument of the job.
        job: what is run.
        arguments: of the job, before the limits.
    """
    try:
        found, peak = measure(job, *arguments, limits)
    except DiedError as died:
        stopped = died.signal == signal.SIGALRM
        return {"remark": f"more than {limits.seconds} s" if stopped else f"ended, probably {limits.too_much}"}
    return {"peak memory": peak, **found} if "time" in found else found


class Kept:
    """The measurements of a benchmark in their file.

    Args:
        path: of the file; None keeps nothing.
        again: whether to forget what is there.
        name: of the script.
        title: what is measured.
        environment: of `environment`; measurements of another one are not used.
        tables: what the file holds of the records.
        records: the records that such a file holds.
        note: how to read the numbers.
    """

    def __init__(
        self,
        path: Path | None,
        again: bool,
        *,
        name: str,
        title: str,
        environment: Mapping[str, Any],
        tables: Callable[[Sequence[Record]], Sequence[BenchmarkTable]],
        records: Callable[[Benchmark], list[Record]],
        note: str,
    ) -> None:
        self.path, self.title, self.environment, self.tables, self.note = path, title, environment, tables, note
        self.records: list[Record] = []
        if path is None or again or not path.exists():
            return
        before = read_benchmark(path, f"python validation/benchmarks/{name}.py --save {path.name}")
        if dict(before.environment) == dict(environment):
            self.records = records(before)
        else:
            print(f"{path} is of another machine or other versions: everything is measured again", flush=True)

    def has(self, case: Any) -> bool:
        """Whether a case, a dataclass whose fields are in its record, was measured."""
        wanted = asdict(case)
        return any(all(record[name] == value for name, value in wanted.items()) for record in self.records)

    def keep(self, record: Record) -> None:
        """Add one and write the file."""
        self.records.append(record)
        save(self.path, title=self.title, environment=self.environment, tables=self.tables(self.records), note=self.note)


def keep_measuring(
    kept: Kept,
    cases: Iterable[Any],
    minutes: float,
    columns: Sequence[Column],
    measured: Callable[[Any], Record],
    last: Callable[[], Record],
) -> None:
    """Measure what is not kept, one by one, and print it.

    Args:
        kept: what is there.
        cases: in their order.
        minutes: begin no measurement later.
        columns: what is printed.
        measured: the record of a case.
        last: the last record, as it is printed.
    """
    end = time.monotonic() + 60 * minutes
    todo = [case for case in cases if not kept.has(case)]
    print(*heading(columns), sep="\n", flush=True)
    for done, case in enumerate(todo):
        if time.monotonic() > end:
            print(f"{len(todo) - done} measurements are left; the same command continues", flush=True)
            return
        kept.keep(measured(case))
        print(line(columns, last()), flush=True)


def resumable(about: str | None) -> argparse.ArgumentParser:
    """The options of a benchmark of many measurements: those of `command_line`, its limits, and when to stop.

    Args:
        about: the docstring of the script.
    """
    made = command_line(about)
    made.add_argument("--minutes", type=float, default=math.inf, help="begin no measurement later; no limit if not given")
    made.add_argument("--memory", type=float, default=12.0, help="GiB of one measurement; 12 if not given")
    made.add_argument("--seconds", type=int, default=3600, help="of one measurement; 3,600 if not given")
    made.add_argument("--again", action="store_true", help="forget what the file has")
    return made


def chosen_limits(chosen: argparse.Namespace) -> Limits:
    """The limits that the options of `resumable` give."""
    return Limits(memory=int(chosen.memory * 2**30), seconds=chosen.seconds)


def threads() -> str | int | None:
    """How many threads a measurement uses, for its environment."""
    return os.environ.get("OMP_NUM_THREADS") or os.cpu_count()


def environment(*libraries: str, **where: Any) -> dict[str, Any]:
    """Cores, machine and versions of what computed the numbers.

    Args:
        libraries: distributions whose versions matter, beside Python and this package.
        where: more about the machine: threads, device.
    """
    here = {"cores": os.cpu_count(), **where, "machine": platform.machine(), "python": platform.python_version()}
    return here | {"kd2m-theory": __version__} | {name: version(name) for name in libraries}


def command_line(about: str | None) -> argparse.ArgumentParser:
    """The options of a benchmark: its own, and `--save`, whose file is refused before anything is measured.

    Args:
        about: the docstring of the script.
    """
    made = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--save", type=_json_file, metavar="NAME.json", help="file for the numbers; only printed if not given")
    return made


def _json_file(name: str) -> Path:
    if not name.endswith(".json"):
        raise argparse.ArgumentTypeError(f"{name!r} does not end with .json: Markdown is made from what is stored")
    try:
        return check_writable(name)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def shown(columns: Sequence[Column], records: Iterable[Record]) -> list[Record]:
    """All records, each printed as soon as it is measured."""
    print(*heading(columns), sep="\n", flush=True)
    kept = []
    for record in records:
        kept.append(record)
        print(line(columns, record), flush=True)
    return kept


def save(
    path: Path | None,
    *,
    title: str,
    environment: Mapping[str, Any],
    tables: Sequence[BenchmarkTable],
    setting: Mapping[str, Any] | None = None,
    note: str = "",
) -> None:
    """Store what was measured, with the command that was typed and the day.

    Args:
        path: of the JSON; None stores nothing.
        title: what was measured.
        environment: of `environment`.
        tables: what was measured.
        setting: what was chosen for all tables, by name.
        note: how to read the numbers.
    """
    if path is None:
        return
    benchmark = Benchmark(
        title=title,
        command=shlex.join(["python", f"validation/benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]]),
        date=datetime.datetime.now(datetime.UTC).date().isoformat(),
        environment=environment,
        setting=setting or {},
        note=note,
        tables=tables,
    )
    write_atomically(path, to_json(benchmark))
