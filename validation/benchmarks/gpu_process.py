"""One point of `gpu.py` in a process of its own: what it returns, and its end with all of its children when its time is up.

    python validation/benchmarks/gpu_process.py MODULE FUNCTION DEVICE SIZE RESULT

calls FUNCTION(device, size) of a module and writes to RESULT, as JSON, what came of it.
"""

import contextlib
import importlib
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:  # a checkout that is not installed
    sys.path.insert(0, str(ROOT))

from kd2m_theory.errors import MissingDependencyError  # noqa: E402 (found on the path above)
from kd2m_theory.files import write_atomically  # noqa: E402

Status = Literal["passed", "failed", "cannot run here", "not enough time left"]
Size = Literal["full", "small", "tiny"]
_GRACE = 5.0  # seconds between the request to end and the end


@dataclass(frozen=True)
class Outcome:
    """What came of a point.

    Attributes:
        status: in a word.
        reason: why it did not pass; empty if it did.
        numbers: what it measured, anything that JSON holds.
        seconds: that it took.
    """

    status: Status
    reason: str = ""
    numbers: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0


class Failed(Exception):  # noqa: N818 (raised by a point to say how it ended)
    """A point's own check did not hold: the reason in one line, and what was measured until then."""

    def __init__(self, reason: str, numbers: dict[str, Any]) -> None:
        super().__init__(reason)
        self.numbers = numbers


def run(module: str, function: str, device: str, size: Size, limit: float, log: Path) -> Outcome:
    """Call a point in a fresh process.

    Args:
        module: importable by its name from this folder or from PYTHONPATH.
        function: of the module; takes the device's name and the size, returns numbers.
        device: torch's name of it.
        size: of the work.
        limit: seconds after which the process is killed with all of its children.
        log: file for what it prints.
    """
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.json"
        command = [sys.executable, str(Path(__file__)), module, function, device, size, str(result)]
        began = time.monotonic()
        with open(log, "wb") as printed:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=printed, stderr=printed, env=environment(), start_new_session=True
            )
            try:
                process.wait(limit)
            except subprocess.TimeoutExpired:
                return Outcome("failed", f"killed after {limit:.0f} s", seconds=time.monotonic() - began)
            finally:
                kill(process)
        taken = time.monotonic() - began
        try:
            found = json.loads(result.read_text())
        except (FileNotFoundError, ValueError):
            return Outcome("failed", f"ended with status {process.returncode}: {_last_line(log)}", seconds=taken)
    return Outcome(**found, seconds=taken)


def environment() -> dict[str, str]:
    """For processes that import this checkout, installed or not."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))}


def kill(process: "subprocess.Popen[Any]") -> None:
    """End a process and everything that it started, first politely: torchrun then ends its workers itself."""
    if process.poll() is None:
        family = {process.pid} | descendants(process.pid)
        _signal(family, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE)
        family |= {young for old in family for young in descendants(old)}
        # A process that was waited for has given its number back.
        _signal(family - ({process.pid} if process.returncode is not None else set()), signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)  # orphans in the same session
    process.wait()


def descendants(pid: int) -> set[int]:
    """Children of a process, their children, and so on, where /proc tells; some begin sessions of their own."""
    parents: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
    found: set[int] = set()
    near = {pid}
    while near:
        near = {child for child, parent in parents.items() if parent in near} - found
        found |= near
    return found


def _signal(pids: set[int], number: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def _last_line(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1][:500] if lines else "it printed nothing"


def _called(module: str, function: str, device: str, size: str) -> Outcome:
    try:
        return Outcome("passed", "", getattr(importlib.import_module(module), function)(device, size))
    except Failed as failure:
        return Outcome("failed", str(failure), failure.numbers)
    except MissingDependencyError as error:
        return Outcome("cannot run here", str(error))
    except ModuleNotFoundError as error:
        traceback.print_exc()
        own = (error.name or "").partition(".")[0] in ("", "kd2m_theory", module)
        return Outcome("failed" if own else "cannot run here", str(error))
    except Exception as error:  # whatever a point raises is its result
        traceback.print_exc()
        return Outcome("failed", f"{type(error).__name__}: {' '.join(str(error).split())[:500]}")


def main() -> None:
    module, function, device, size, result = sys.argv[1:]
    outcome = _called(module, function, device, size)
    found = {"status": outcome.status, "reason": outcome.reason, "numbers": outcome.numbers}
    write_atomically(result, json.dumps(_finite(found), allow_nan=False).encode())


def _finite(value: Any) -> Any:
    """Plain data that JSON can hold: None for NaN and infinite numbers."""
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


if __name__ == "__main__":
    import gpu_process  # `Failed` is raised by modules that import it: this one under its own name

    gpu_process.main()
