"""What a campaign does with a task: by its kind."""

from collections.abc import Mapping
from pathlib import Path

from kd2m_theory.validation.campaigns.task import Outcome, Task


def work(task: Task, files: Mapping[str, bytes], scratch: Path) -> Outcome:
    """The task's rows and files, computed by one thread: sums then have one order on every machine.

    Raises:
        InputError: what the training or the audit refuses.
    """
    from threadpoolctl import threadpool_limits

    # Libraries have to be loaded before their threads can be limited.
    from kd2m_theory.validation.campaigns.audits_task import audits

    if task.table["kind"] == "audits":
        with threadpool_limits(1):
            return audits(task, files)
    from kd2m_theory.validation.campaigns.network_task import network
    from kd2m_theory.validation.campaigns.pair_task import pair

    kinds = {"pair": pair, "network": network}
    with threadpool_limits(1):
        return kinds[task.table["kind"]](task, files, scratch)
