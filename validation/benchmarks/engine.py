"""What the engine of a campaign costs: tasks that do nothing, and two local workers against one.

python validation/benchmarks/engine.py --save validation/benchmarks/engine.md
"""

import argparse
import platform
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

from harness import save

from kd2m_theory.validation.campaigns.engine import run
from kd2m_theory.validation.campaigns.executors import LocalProcesses
from kd2m_theory.validation.campaigns.store import Store
from kd2m_theory.validation.campaigns.table import part
from kd2m_theory.validation.campaigns.task import Outcome, Task, Work

_ROUNDS = 5


def nothing(task: Task, files: Mapping[str, bytes], scratch: Path) -> Outcome:
    return Outcome(part({"task": task.digest}, [{}], {}))


def arithmetic(task: Task, files: Mapping[str, bytes], scratch: Path) -> Outcome:
    total = 0
    for k in range(8_000_000):
        total += k * k
    return Outcome(part({"task": task.digest}, [{}], {"total": total}))


def seconds(work: Work, count: int, workers: int) -> float:
    """Of a campaign of `count` tasks on workers that have already begun."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "store")
        store.create({}, "benchmark", resume=False)
        executor = LocalProcesses(workers, Path(folder) / "scratch")
        try:
            run([Task(f"start-{k}", {}, "") for k in range(4 * workers)], store, executor, work)
            tasks = [Task(f"{k:05}", {}, "") for k in range(count)]
            began = time.perf_counter()
            run(tasks, store, executor, work)
            return time.perf_counter() - began
        finally:
            executor.close()


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--save", type=Path)
    chosen = parser.parse_args(arguments)
    overhead = {workers: [1000 * seconds(nothing, 300, workers) / 300 for _ in range(_ROUNDS)] for workers in (1, 2)}
    # One and two in turn, so that both see the machine in the same state.
    pairs = [(seconds(arithmetic, 24, 1), seconds(arithmetic, 24, 2)) for _ in range(_ROUNDS)]
    lines = [
        "# Engine of campaigns",
        "",
        f"`python validation/benchmarks/engine.py`, {_ROUNDS} rounds, {platform.machine()}.",
        "",
        "| | median | least | most |",
        "|---|--:|--:|--:|",
    ]
    rows = {
        "ms for a task that does nothing, store included, 1 worker": overhead[1],
        "the same, 2 workers": overhead[2],
        "speed of two workers over one, tasks of pure Python": [one / two for one, two in pairs],
    }
    for words, values in rows.items():
        cells = " | ".join(f"{each:.2f}" for each in (median(values), min(values), max(values)))
        lines.append(f"| {words} | {cells} |")
    print("\n".join(lines))
    save(chosen.save, lines)


if __name__ == "__main__":
    main()
