"""What a campaign does with a task: by its kind."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from kd2m_theory.shared_state import one_thread
from kd2m_theory.validation.campaigns.task import Outcome, Task, Work


def work(task: Task, files: Mapping[str, bytes], scratch: Path) -> Outcome:
    """The task's rows and files, computed by one thread: sums then have one order on every machine.

    Raises:
        InputError: what the training or the audit refuses.
    """
    # Libraries have to be loaded before their threads can be limited.
    from kd2m_theory.validation.campaigns.audits_task import audits

    if task.table["kind"] == "audits":
        with one_thread():
            return audits(task, files)
    from kd2m_theory.validation.campaigns.network_task import network
    from kd2m_theory.validation.campaigns.pair_task import pair

    kinds = {"pair": pair, "network": network}
    with one_thread():
        return kinds[task.table["kind"]](task, files, scratch)


@dataclass(frozen=True)
class SameNumbers:
    """Work by workers that compute the numbers of the store, and by no others: an installation elsewhere may be another one.

    Attributes:
        work: what is done with a task.
        numbers: the store's record of its numbers.
    """

    work: Work
    numbers: bytes

    def __call__(self, task: Task, files: Mapping[str, bytes], scratch: Path) -> Outcome:
        """The outcome of the work.

        Raises:
            InputError: this worker computes other numbers.
        """
        _compare(self.numbers)
        return self.work(task, files, scratch)


@cache
def _compare(held: bytes) -> None:
    from kd2m_theory.validation import numbers

    numbers.check(held, "the store that this worker works for")
