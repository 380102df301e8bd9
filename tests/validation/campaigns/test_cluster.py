"""A real Dask scheduler and real workers on the loopback interface."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from campaign_work import task, work
from small_campaign import reduced

from kd2m_theory.errors import InputError
from kd2m_theory.validation.campaigns import engine
from kd2m_theory.validation.campaigns.campaign_run import run_campaign
from kd2m_theory.validation.campaigns.executors import DaskCluster
from kd2m_theory.validation.campaigns.store import Store

distributed = pytest.importorskip("distributed", reason="the extra `distributed` is not installed")
HELPERS = Path(__file__).parents[2] / "helpers"


class Cluster:
    """A scheduler and the workers that it is given."""

    def __init__(self, folder):
        self.folder, self.processes = folder, []
        self.file = folder / "scheduler.json"
        self._start("dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard")
        self._wait(self.file.exists)
        self.client = None
        self._wait(self._connected)
        self.address = self.client.scheduler.address

    def worker(self, *options, **environment):
        count = len(self.pids())
        self._start(
            "dask_worker", "--nthreads", "1", "--no-nanny", "--no-dashboard", "--host", "127.0.0.1", *options, **environment
        )
        self._wait(lambda: len(self.pids()) == count + 1)

    def pids(self):
        return self.client.run(os.getpid)

    def kill_a_busy_worker(self):
        busy = [address for address, keys in self.client.processing().items() if keys]
        pid = self.pids()[busy[0]]
        os.kill(pid, signal.SIGKILL)
        return pid

    def close(self):
        self.client.close()
        for process in reversed(self.processes):
            process.kill()
            process.wait()

    def _connected(self):
        try:
            self.client = distributed.Client(scheduler_file=str(self.file), set_as_default=False, timeout=5)
        except (OSError, ValueError):
            return False
        return True

    def _start(self, module, *options, **environment):
        path = os.pathsep.join([str(HELPERS), *filter(None, [os.environ.get("PYTHONPATH")])])
        with open(self.folder / f"log-{len(self.processes)}", "wb") as log:
            self.processes.append(
                subprocess.Popen(
                    [sys.executable, "-P", "-m", f"distributed.cli.{module}", "--scheduler-file", str(self.file), *options],
                    cwd=self.folder,
                    env={**os.environ, "PYTHONPATH": path, **environment},
                    stdout=log,
                    stderr=log,
                )
            )

    def _wait(self, ready):
        for _ in range(600):
            if ready():
                return
            assert all(process.poll() is None for process in self.processes), self.folder
            time.sleep(0.2)
        raise AssertionError(f"the cluster in {self.folder} did not start")


@pytest.fixture
def cluster(tmp_path):
    made = Cluster(tmp_path)
    yield made
    made.close()


@pytest.fixture
def store(tmp_path):
    made = Store(tmp_path / "store")
    made.create({}, "c1", resume=False)
    return made


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")  # of distributed, about a worker that went away
def test_a_campaign_survives_its_worker_and_has_the_same_table(cluster, tmp_path, campaign_store):
    cluster.worker()
    cluster.worker()
    killed = []

    def watch(progress):
        if progress.done == 1 and not killed:
            killed.append(cluster.kill_a_busy_worker())

    there = run_campaign(reduced(), tmp_path / "there", scheduler=cluster.address, watch=watch)
    assert killed
    assert killed[0] not in cluster.pids().values()
    assert (there.path / "table.parquet").read_bytes() == (campaign_store.path / "table.parquet").read_bytes()


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")
def test_tasks_for_a_gpu_go_to_workers_that_have_one(cluster, store):
    cluster.worker(PLACE_OF_WORK="no GPU")
    cluster.worker("--resources", "GPU=1", PLACE_OF_WORK="GPU")
    executor = DaskCluster(cluster.address, 30)
    try:
        engine.run([task(f"g{k}", device="cuda") for k in range(4)] + [task("c", "wait:0.1")], store, executor, work)
    finally:
        executor.close()
    assert store.table([f"g{k}" for k in range(4)])["status"].to_pylist() == ["GPU"] * 4


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")
def test_a_scheduler_that_goes_away_is_named_and_what_is_finished_stays(cluster, store):
    cluster.worker()
    executor = DaskCluster(cluster.address, 30)

    def watch(progress):
        if progress.done == 1:
            cluster.processes[0].kill()

    try:
        with pytest.raises(InputError, match=f"scheduler {cluster.address} went away.*--resume"):
            engine.run([task(f"{k}", f"wait:{0.3 * k}") for k in range(6)], store, executor, work, watch)
    finally:
        executor.close()
    assert len(store.finished()) >= 1


def test_a_scheduler_that_does_not_answer_is_named():
    with pytest.raises(InputError, match=r"the scheduler tcp://127.0.0.1:9 does not answer within 0.5 s"):
        DaskCluster("tcp://127.0.0.1:9", 0.5)
