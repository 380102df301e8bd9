"""What the benchmarks share: time on a device, a job in a fresh process with a peak memory of its own, tables in a file."""

import argparse
import datetime
import multiprocessing
import os
import platform
import resource
import shlex
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import version
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kd2m_theory.errors import InputError
from kd2m_theory.files import check_writable, write_atomically
from kd2m_theory.validation.benchmark_tables import Benchmark, BenchmarkTable, Column, Record, heading, line, to_json
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


def _child(job: Callable[..., Any], arguments: tuple[Any, ...], pipe: Connection) -> None:
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
