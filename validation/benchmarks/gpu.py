"""Everything that waits for an accelerator, on this machine's GPU, within a budget of minutes, smallest first.

    python validation/benchmarks/gpu.py [--minutes 8] [--device auto] [--only NAME ...] [--again] [--out FILE]

Works in a checkout, installed or not, with any Python that has the libraries; points whose libraries are missing say so. Every
result is written as soon as it is there. Run again, it does what has not passed yet with these versions on this device.
Without a GPU the same points run in small on the CPU. Exit status: 1 if a point failed, 2 if the input is at fault.
"""

import argparse
import contextlib
import datetime
import json
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from gpu_points import POINTS, Point
from gpu_process import ROOT, Outcome, Size, run

from kd2m_theory.errors import InputError, MissingDependencyError, require
from kd2m_theory.files import check_writable, read_json, write_atomically
from kd2m_theory.validation.numbers import NUMBERS
from kd2m_theory.version import __version__

FORM = "kd2m-gpu 1"
SIZES: tuple[Size, ...] = ("full", "small", "tiny")
_LIBRARIES = ("torch", "numpy", "scipy", "POT", "lightning", "torchmetrics", "pyarrow", "scikit-learn", "pytest")
# A point that takes this many times its guess, and some seconds to load libraries, hangs.
_PATIENCE, _LOADING = 2, 30


class Results:
    """The table in its file, written after every point.

    Args:
        path: of the file; what is there stays if it is of the same environment and size, and is replaced if not.
        environment: device, versions of everything, and of the numbers.
        size: of the work.

    Raises:
        InputError: the file holds something else, or cannot be written.
    """

    def __init__(self, path: Path, environment: Mapping[str, Any], size: Size) -> None:
        self.path, self.environment, self.size = check_writable(path), dict(environment), size
        self.points: dict[str, dict[str, Any]] = {}
        self.another = False
        if not path.exists():
            return
        complaint = f"{path} holds no results in the form {FORM}; name another file with --out"
        found = read_json(path, complaint)
        form, where, what, points = (found.get(name) for name in ("form", "environment", "size", "points"))
        fields = {"status", "seconds", "date"}
        if form != FORM or not isinstance(points, dict) or not all(fields <= set(each) for each in points.values()):
            raise InputError(complaint)
        if (where, what) == (self.environment, size):
            self.points = points
        else:
            self.another = True

    def passed(self, name: str) -> bool:
        """Whether a point needs no other run."""
        return name in self.points and self.points[name]["status"] == "passed"

    def keep(self, name: str, outcome: Outcome) -> None:
        """Write an outcome; one for which there was no time does not replace another."""
        if outcome.status != "not enough time left" or name not in self.points:
            when = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
            self.points[name] = {**asdict(outcome), "date": when, "commit": _commit()}
        if self.another and not any(each["status"] == "passed" for each in self.points.values()):
            return  # results of another environment are worth more than none of this one
        found = {"form": FORM, "environment": self.environment, "size": self.size, "points": self.points}
        write_atomically(self.path, (json.dumps(found, indent=1, ensure_ascii=False) + "\n").encode())


def run_points(
    points: Iterable[Point], results: Results, device: str, minutes: float, logs: Path
) -> list[tuple[Point, Outcome]]:
    """Run points in the order of their guesses while there is time; nothing that one does stops the others.

    Args:
        points: to run.
        results: where each outcome goes at once.
        device: torch's name of it.
        minutes: for all of them.
        logs: folder for what they print.
    """
    done = []
    end = time.monotonic() + 60 * minutes
    for point in sorted(points, key=lambda each: each.seconds[results.size]):
        print(f"{point.name}: {point.words} …", flush=True)
        outcome = _outcome(point, results.size, device, end - time.monotonic(), logs)
        results.keep(point.name, outcome)
        done.append((point, outcome))
        print(f"{point.name}: {_words(outcome)}", flush=True)
    return done


def _outcome(point: Point, size: Size, device: str, left: float, logs: Path) -> Outcome:
    guess = point.seconds[size]
    try:
        require(f"the point {point.name}", *point.needs)
    except MissingDependencyError as error:
        return Outcome("cannot run here", str(error))
    if guess > left:
        return Outcome("not enough time left", f"takes about {guess:.0f} s, {max(left, 0):.0f} s are left")
    hangs = _PATIENCE * guess + _LOADING
    log = logs / f"{point.name}.log"
    outcome = run(point.module, point.function, device, size, min(left, hangs), log)
    if outcome.reason.startswith("killed") and left < hangs:
        return Outcome("not enough time left", f"the {left:.0f} s that were left did not suffice", seconds=outcome.seconds)
    if outcome.status == "failed":
        sys.stdout.write(_tail(log))
    return outcome


def look(log: Path, device: str) -> dict[str, Any]:
    """Device and versions, seen by another process: this one holds no part of the GPU.

    Raises:
        InputError: torch is missing, or there is no such device.
    """
    require("the script", "torch", "numpy", "scipy")
    found = run("gpu", "point_environment", device, "full", 300, log)
    if found.status != "passed":
        raise InputError(found.reason.removeprefix("InputError: "))
    return found.numbers


def point_environment(device: str, size: str) -> dict[str, Any]:
    """The environment as the processes of points see it."""
    import torch

    from kd2m_theory.extraction import choose_device

    kind = choose_device(device).type
    versions = {}
    for name in _LIBRARIES:
        with contextlib.suppress(PackageNotFoundError):
            versions[name] = version(name)
    versions["torch"] = str(torch.__version__)  # with its build, +cu130 or +cpu
    about: dict[str, Any] = {"kind": kind, "device": platform.processor() or platform.machine()}
    if kind == "cuda":
        properties = torch.cuda.get_device_properties(0)
        about = {
            "kind": kind,
            "device": properties.name,
            "memory_gib": round(properties.total_memory / 2**30, 1),
            "capability": f"{properties.major}.{properties.minor}",
            "driver": _driver(),
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
            "nccl": ".".join(map(str, torch.cuda.nccl.version())) if torch.distributed.is_nccl_available() else None,
        }
    return about | {"python": platform.python_version(), "machine": platform.machine(), "libraries": versions}


def _driver() -> str | None:
    return _printed("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader").partition("\n")[0] or None


def _commit() -> str | None:
    """The commit of the checkout, with a note if files differ from it; None where git has none."""
    top, head = (_printed("git", "-C", str(ROOT), "rev-parse", *what) for what in (("--show-toplevel",), ("HEAD",)))
    if not head or Path(top).resolve() != ROOT:
        return None
    return head + (" and changes" if _printed("git", "-C", str(ROOT), "status", "--porcelain", "--untracked-files=no") else "")


def _printed(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _words(outcome: Outcome) -> str:
    return f"{outcome.status}, {outcome.seconds:.0f} s" + (f": {outcome.reason}" if outcome.reason else "")


def _tail(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()[-25:] if log.exists() else []
    return "".join(f"    {line}\n" for line in lines)


def _summary(points: Sequence[Point], results: Results, done: Mapping[str, Outcome]) -> str:
    lines = [f"{'point':10} {'status':22} {'seconds':>7}  what it is"]
    for point in points:
        kept = results.points.get(point.name)
        status, taken = ("not run", 0.0) if kept is None else (kept["status"], kept["seconds"])
        if point.name in done:
            status = done[point.name].status
        elif status == "passed":
            status = "passed before"
        lines.append(f"{point.name:10} {status:22} {taken:7.0f}  {point.words}")
    return "\n".join(lines)


def _chosen(names: Sequence[str] | None) -> tuple[Point, ...]:
    known = {point.name: point for point in POINTS}
    for name in names or ():
        if name not in known:
            raise InputError(f"there is no point {name!r}; points are {', '.join(known)}")
    return tuple(known[name] for name in names) if names else POINTS


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=8.0, help="for all points together; default 8")
    parser.add_argument("--device", default="auto", help="auto (CUDA where there is one), cuda or cpu")
    parser.add_argument("--size", choices=SIZES, help="of the work; full on CUDA and small elsewhere if not given")
    parser.add_argument("--only", nargs="+", metavar="NAME", help=f"points: {', '.join(point.name for point in POINTS)}")
    parser.add_argument("--again", action="store_true", help="also points that have passed")
    parser.add_argument("--out", type=Path, help="table; validation/benchmarks/gpu.json on CUDA, else build/gpu-cpu.json")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status."""
    options = _options(arguments)
    try:
        if not 0 < options.minutes < 24 * 60:
            raise InputError(f"minutes is {options.minutes:g}; give a number above 0 and below a day")
        if options.device not in ("auto", "cpu", "cuda"):
            raise InputError(f"device is {options.device!r}; choose auto, cpu or cuda")
        points = _chosen(options.only)
        if options.out is not None:
            check_writable(options.out)
        with tempfile.TemporaryDirectory() as folder:
            return _all(options, points, Path(folder))
    except InputError as error:
        print(f"gpu.py: {error}", file=sys.stderr)
        return 2


def _all(options: argparse.Namespace, points: Sequence[Point], logs: Path) -> int:
    seen = look(logs / "environment.log", options.device)
    environment = {**seen, "kd2m-theory": __version__, "numbers": NUMBERS}
    device, default = (
        ("cuda", ROOT / "validation" / "benchmarks" / "gpu.json")
        if seen["kind"] == "cuda"
        else ("cpu", ROOT / "build" / "gpu-cpu.json")
    )
    if options.out is None:
        default.parent.mkdir(exist_ok=True)
    results = Results(options.out or default, environment, options.size or ("full" if device == "cuda" else "small"))
    about = ", ".join(f"{name} {number}" for name, number in seen["libraries"].items())
    print(f"{seen['device']} ({device}), Python {seen['python']}, kd2m-theory {__version__}, {about}", flush=True)
    if results.another:
        print(f"{results.path} is of another environment, version or size: everything is done again", flush=True)
    todo = [point for point in points if options.again or not results.passed(point.name)]
    done = run_points(todo, results, device, options.minutes, logs)
    print(f"\n{_summary(points, results, {point.name: outcome for point, outcome in done})}\n{results.path}")
    if any(outcome.status == "failed" for _, outcome in done):
        return 1
    if not any(results.passed(point.name) for point in points):
        raise InputError("no point has passed: nothing was tried; give it more minutes, or what the points say they lack")
    return 0


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _interrupt)  # what runs is ended with this process
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
