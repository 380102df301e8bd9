"""What the benchmarks share: a job in a fresh process, so that its peak memory is its own, and a table in a file."""

import multiprocessing
import platform
import resource
from collections.abc import Callable, Sequence
from importlib.metadata import version
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from kd2m_theory import __version__


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
