"""What the engine of a campaign costs: tasks that do nothing, and two local workers against one.

python validation/benchmarks/engine.py [--save NAME.json]
"""

import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median

from harness import command_line, environment, save, shown

from kd2m_theory.validation.benchmark_tables import BenchmarkTable, Column, Record
from kd2m_theory.validation.campaigns.engine import run
from kd2m_theory.validation.campaigns.executors import LocalProcesses
from kd2m_theory.validation.campaigns.store import Store
from kd2m_theory.validation.campaigns.table import part
from kd2m_theory.validation.campaigns.task import Outcome, Task, Work

_ROUNDS = 5
_COLUMNS = {unit: (Column("what"), *(Column(name, unit, ".2f") for name in ("median", "least", "most"))) for unit in ("ms", "")}


def nothing(task: Task, files: Mapping[str, bytes], scratch: Path) -> Outcome:
    return Outcome(part({"task": task.digest}, [{}], {}))


def arithmetic(task: Task, files: Mapping[str, bytes], scratch: Path) -> Outcome:
    total = 0
    for k in range(8_000_000):
        total += k * k
    return Outcome(part({"task": task.digest}, [{}], {"total": total}))


def seconds(work: Work, count: int, workers: int) -> float:
    """Duration of a campaign of `count` tasks on workers that have already begun."""
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


def spread(words: str, values: Sequence[float]) -> Record:
    return {"what": words, "median": median(values), "least": min(values), "most": max(values)}


def overheads() -> Iterator[Record]:
    for workers in (1, 2):
        times = [1000 * seconds(nothing, 300, workers) / 300 for _ in range(_ROUNDS)]
        yield spread(f"a task that does nothing, store included, {workers} worker(s)", times)


def speeds() -> Iterator[Record]:
    # One and two in turn, so that both see the machine in the same state.
    pairs = [(seconds(arithmetic, 24, 1), seconds(arithmetic, 24, 2)) for _ in range(_ROUNDS)]
    yield spread("speed of two workers over one, tasks of pure Python", [one / two for one, two in pairs])


def main(arguments: Sequence[str] | None = None) -> None:
    chosen = command_line(__doc__).parse_args(arguments)
    save(
        chosen.save,
        title="Engine of campaigns",
        environment=environment("pyarrow"),
        setting={"rounds": _ROUNDS},
        tables=[
            BenchmarkTable("time per task", _COLUMNS["ms"], shown(_COLUMNS["ms"], overheads())),
            BenchmarkTable("two workers", _COLUMNS[""], shown(_COLUMNS[""], speeds())),
        ],
    )


if __name__ == "__main__":
    main()
