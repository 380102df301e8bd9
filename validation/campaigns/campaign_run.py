"""A campaign from its file to its table."""

import secrets
import shutil
from pathlib import Path

from kd2m_theory.errors import InputError
from kd2m_theory.validation.campaigns import engine
from kd2m_theory.validation.campaigns.campaign import Campaign
from kd2m_theory.validation.campaigns.executors import DaskCluster, Executor, LocalProcesses
from kd2m_theory.validation.campaigns.plan import check, tasks
from kd2m_theory.validation.campaigns.store import Store
from kd2m_theory.validation.campaigns.task import Work
from kd2m_theory.validation.campaigns.work import SameNumbers
from kd2m_theory.validation.campaigns.work import work as real_work


def run_campaign(
    campaign: Campaign,
    folder: str | Path,
    *,
    resume: bool = False,
    workers: int | None = None,
    scheduler: str | None = None,
    timeout: float = 30.0,
    watch: engine.Watch = lambda _progress: None,
    work: Work = real_work,
) -> Store:
    """Compute what is missing and write the table.

    Args:
        campaign: what to compute.
        folder: of the store.
        resume: whether the store may be there already.
        workers: local processes; as many as cores if None.
        scheduler: address of a Dask scheduler to use instead.
        timeout: seconds to wait for it.
        watch: told about every task that ends.
        work: what is done with a task.

    Raises:
        InputError: what cannot be trained, a store that cannot be used, a scheduler that does not answer, or tasks that
            failed.
    """
    if scheduler is not None and workers is not None:
        raise InputError(f"workers is {workers} and scheduler {scheduler}: a cluster has its own workers; leave one out")
    inputs = check(campaign, here=scheduler is None)
    store = Store(Path(folder))
    scratch = store.path / f".scratch-{secrets.token_hex(4)}"  # not of another command that works on this store
    executor: Executor = LocalProcesses(workers, scratch) if scheduler is None else DaskCluster(scheduler, timeout)
    try:
        store.create(campaign.table, campaign.digest, resume, {what: d for each in inputs.values() for what, d in each.items()})
        if scheduler is not None:  # local processes are of this very installation
            work = SameNumbers(work, store.numbers())
        engine.run(tasks(campaign, inputs), store, executor, work, watch)
    finally:
        executor.close()
        shutil.rmtree(scratch, ignore_errors=True)
    store.write_table()
    return store
