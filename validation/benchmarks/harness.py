"""What the benchmarks share: time on a device, a job in a fresh process with a peak memory of its own, a table in a file."""

import multiprocessing
import platform
import resource
import statistics
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

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


def measure(job: Callable[..., Any], *arguments: Any) -> tuple[Any, float]:
    """The job's result and the peak memory of its process in MiB."""
    context = multiprocessing.get_context("spawn")
    receive, send = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(job, arguments, send))
    process.start()
    send.close()
    try:
        result, peak = receive.recv()
    except EOFError:
        raise SystemExit(f"{job.__name__}{arguments} died") from None
    finally:
        process.join()
    return result, peak


def versions(*libraries: str) -> str:
    """What computed the numbers, for the line under a table's title."""
    used = ", ".join(f"{name} {version(name)}" for name in libraries)
    return f"Python {platform.python_version()}, kd2m-theory {__version__}, {used}"


def save(path: Path | None, lines: Sequence[str]) -> None:
    """Write the table where it was asked for."""
    if path is not None:
        path.write_text("\n".join(lines) + "\n")
