"""Runs what is missing of a campaign: tasks wherever they run, their outcomes into the store, one at a time."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Future, wait
from dataclasses import dataclass, field

from kd2m_theory.errors import InputError
from kd2m_theory.validation.campaigns.executors import Executor
from kd2m_theory.validation.campaigns.store import Store
from kd2m_theory.validation.campaigns.task import Outcome, Task, Work

# A worker's death has many suspects: each is done again alone, and held guilty if its workers die this often.
_DEATHS = 2

# Errors of distributed, which need not be installed, that are not faults of the task itself.
_LOSSES = ("KilledWorker", "FutureCancelledError", "CommClosedError")

Watch = Callable[["Progress"], None]


class CampaignError(InputError):
    """Tasks of a campaign failed; those that did not are in the store."""


@dataclass
class Progress:
    """How far a campaign is.

    Attributes:
        total: tasks of the campaign.
        done: of these, in the store.
        failed: tasks that raised, with their error in words.
    """

    total: int
    done: int
    failed: list[tuple[Task, str]] = field(default_factory=list)


def run(tasks: Sequence[Task], store: Store, executor: Executor, work: Work, watch: Watch = lambda _progress: None) -> Progress:
    """Compute every task that the store does not hold.

    A task that raises does not stop the others. A task whose worker died is done again.

    Args:
        tasks: of the campaign, those that should begin first in front.
        store: holds what is finished.
        executor: where tasks run; left open.
        work: what is done with each.
        watch: called whenever a task ends.

    Raises:
        CampaignError: tasks failed, or killed their workers, or waited for a file that such a task should have made.
        InputError: the executor is gone.
        StoreError: the store refused to take an outcome; nothing that was in it is lost.
    """
    state = _State(tasks, store)
    watch(state.progress)
    try:
        while state.submit(executor, work):
            finished, _ = wait(state.running, return_when=FIRST_COMPLETED)
            if lost := state.settle(finished):
                executor.renew()
                # What else was on a pool that broke has ended by now.
                state.suspect(lost + state.settle([future for future in state.running if future.done()]))
            watch(state.progress)
    except BaseException:
        for future in state.running:
            future.cancel()
        raise
    state.complain()
    return state.progress


class _State:
    """What is waiting, under way and suspected."""

    def __init__(self, tasks: Sequence[Task], store: Store) -> None:
        self.store = store
        done = store.finished()
        needed = {name for task in tasks if task.digest not in done for name in task.needs if not store.has(name)}
        # A finished task is done again if somebody needs a file that it made and that is gone.
        self.waiting = {task.digest: task for task in tasks if task.digest not in done or not needed.isdisjoint(task.makes)}
        self.running: dict[Future[Outcome], Task] = {}
        self.deaths: dict[str, int] = {}
        self.progress = Progress(len(tasks), len(tasks) - len(self.waiting))

    def submit(self, executor: Executor, work: Work) -> bool:
        """Begin what can begin; whether anything is under way then."""
        while len(self.running) < executor.slots() and (task := self._next()) is not None:
            files = {name: self.store.read(name) for name in (*task.needs, *task.shares) if self.store.has(name)}
            try:
                self.running[executor.submit(work, task, files)] = task
            except BrokenExecutor:  # a worker died between two tasks
                if self.running:
                    break
                executor.renew()
            else:
                del self.waiting[task.digest]
        return bool(self.running)

    def settle(self, finished: Iterable["Future[Outcome]"]) -> list[Task]:
        """Keep outcomes and errors; the tasks whose worker was lost."""
        lost = []
        for future in finished:
            task = self.running.pop(future)
            try:
                outcome = future.result()
            except (BrokenExecutor, CancelledError):
                lost.append(task)
            except Exception as error:
                if type(error).__name__ in _LOSSES:
                    lost.append(task)
                else:
                    kind = "" if isinstance(error, InputError) else f"{type(error).__name__}: "
                    self._fail(task, kind + " ".join(str(error).split()))
            else:
                self.store.keep(task.digest, outcome)
                self.progress.done += 1
        return lost

    def suspect(self, lost: Iterable[Task]) -> None:
        """Put tasks whose worker died back."""
        lost = list(lost)
        for task in lost:
            # In company it may have been another's fault.
            self.deaths[task.digest] = self.deaths.get(task.digest, 0) + (len(lost) == 1)
            if self.deaths[task.digest] < _DEATHS:
                self.waiting[task.digest] = task
            else:
                self._fail(task, f"its worker died {_DEATHS} times; is there enough memory?")

    def complain(self) -> None:
        """Say what was not done.

        Raises:
            CampaignError: something was not.
        """
        failed, waiting = self.progress.failed, self.waiting
        if failed or waiting:
            first = f"; the first is {failed[0][0].words}: {failed[0][1]}" if failed else ""
            others = f", {len(waiting)} wait for a file that was not made" if waiting else ""
            raise CampaignError(f"{len(failed)} of {self.progress.total} tasks failed{others}{first}")

    def _next(self) -> Task | None:
        """The first waiting task that has all it needs, whose shared files nobody is making, and that is not to run alone."""
        if any(task.digest in self.deaths for task in self.running.values()):
            return None
        claimed = {name for task in self.running.values() for name in task.shares if not self.store.has(name)}
        for task in self.waiting.values():
            if self.running and task.digest in self.deaths:
                continue
            if claimed.isdisjoint(task.shares) and all(self.store.has(name) for name in task.needs):
                return task
        return None

    def _fail(self, task: Task, words: str) -> None:
        self.progress.failed.append((task, words))
