import subprocess
import sys
import time

import pytest
from campaign_work import Inline, nothing, task, work

from kd2m_theory.validation.campaigns.engine import CampaignError, run
from kd2m_theory.validation.campaigns.executors import LocalProcesses
from kd2m_theory.validation.campaigns.store import Store


@pytest.fixture
def store(tmp_path):
    made = Store(tmp_path / "store")
    made.create({}, "c1", resume=False)
    return made


@pytest.fixture
def here(tmp_path):
    return Inline(tmp_path / "scratch")


@pytest.fixture
def two(tmp_path):
    pool = LocalProcesses(2, tmp_path / "scratch")
    yield pool
    pool.close()


def names(store, digest):
    return store.table([digest])["name"].to_pylist()[:-1]


def test_every_task_is_done_once_and_only_what_is_missing(store, here):
    tasks = [task("a"), task("b"), task("c")]
    assert run(tasks[:2], store, here, work).done == 2
    progress = run(tasks, store, here, work)
    assert (progress.done, progress.total, progress.failed) == (3, 3, [])
    assert here.begun == ["a", "b", "c"]


def test_files_travel_from_the_task_that_makes_them(store, here):
    run([task("b", needs=("truths/x.json",)), task("a", makes=("truths/x.json",))], store, here, work)
    assert here.begun == ["a", "b"]
    assert names(store, "b") == ["truths/x.json of a"]


def test_a_shared_file_is_made_once(store, two):
    tasks = [task(name, "wait:0.2", shares=("teachers/t",)) for name in "abc"]
    run(tasks, store, two, work)
    assert store.read("teachers/t") == b"a"
    assert [names(store, name) for name in "abc"] == [[], ["teachers/t of a"], ["teachers/t of a"]]


def test_a_file_that_is_gone_is_made_again(store, here):
    tasks = [task("a", makes=("truths/x.json",)), task("b", needs=("truths/x.json",))]
    run(tasks[:1], store, here, work)
    (store.path / "truths/x.json").unlink()
    assert run(tasks, store, here, work).done == 2
    assert here.begun == ["a", "a", "b"]


def test_an_error_stops_no_other_task_and_is_told_in_one_line(store, here):
    tasks = [task("a", "raise", makes=("truths/x.json",)), task("b", needs=("truths/x.json",)), task("c")]
    with pytest.raises(CampaignError) as caught:
        run(tasks, store, here, work)
    assert str(caught.value) == (
        "1 of 3 tasks failed, 1 wait for a file that was not made; the first is task a: ValueError: no such thing as this"
    )
    assert store.finished() == {"c"}


def test_who_shares_with_a_task_that_failed_makes_the_file_itself(store, here):
    tasks = [task("a", "raise", shares=("teachers/t",)), task("b", shares=("teachers/t",)), task("c", shares=("teachers/t",))]
    with pytest.raises(CampaignError, match="1 of 3 tasks failed"):
        run(tasks, store, here, work)
    assert store.read("teachers/t") == b"b"


@pytest.mark.long
def test_a_worker_that_dies_costs_nothing_but_its_task(store, two, tmp_path):
    tasks = [task(name, f"kill once:{tmp_path / 'marker'}" if name == "c" else "rows") for name in "abcdefgh"]
    progress = run(tasks, store, two, work)
    assert (tmp_path / "marker").exists()
    assert (progress.done, progress.failed) == (8, [])
    assert store.table()["task"].to_pylist() == list("abcdefgh")


@pytest.mark.long
def test_a_task_that_kills_its_workers_is_named_and_the_innocent_are_done(store, two):
    tasks = [task(name, "kill" if name == "c" else "rows") for name in "abcdef"]
    with pytest.raises(CampaignError, match="1 of 6 tasks failed; the first is task c: its worker died 2 times"):
        run(tasks, store, two, work)
    assert store.finished() == set("abdef")


def test_a_worker_has_one_thread_and_leaves_its_folder_empty(store, two, tmp_path, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    run([task("a")], store, two, work)
    assert store.table()["value"].to_pylist() == [1.0]
    assert not list((tmp_path / "scratch").iterdir())


def test_a_full_disk_ends_the_campaign_with_what_was_finished(store, here, monkeypatch):
    run([task("a")], store, here, work)
    monkeypatch.setattr("kd2m_theory.validation.campaigns.store.write_atomically", _full)
    with pytest.raises(Exception, match=r"cannot be written \(No space left on device\)"):
        run([task("a"), task("b")], store, here, work)
    assert store.finished() == {"a"}


def _full(_path, _data):
    raise OSError(28, "No space left on device")


@pytest.mark.long
def test_hundreds_of_tasks_that_do_nothing_all_end(store, here):
    seen = []
    run([task(f"{k:04}") for k in range(300)], store, here, nothing, lambda progress: seen.append(progress.done))
    assert seen[0] == 0
    assert seen[-1] == 300
    assert seen == sorted(seen)


_CAMPAIGN = """
import sys
from pathlib import Path
sys.path[:0] = {path!r}
from campaign_work import task, work
from kd2m_theory.validation.campaigns.engine import run
from kd2m_theory.validation.campaigns.executors import LocalProcesses
from kd2m_theory.validation.campaigns.store import Store

if __name__ == "__main__":
    tasks = [task("a"), task("b"), task("c", "wait:600"), task("d", "wait:600")]
    run(tasks, Store(Path({store!r})), LocalProcesses(2, Path({scratch!r})), work)
"""


@pytest.mark.long
def test_a_campaign_that_is_killed_leaves_no_workers_and_loses_only_what_was_under_way(store, here, tmp_path):
    script = tmp_path / "campaign.py"
    script.write_text(_CAMPAIGN.format(path=sys.path, store=str(store.path), scratch=str(tmp_path / "scratch")))
    with subprocess.Popen([sys.executable, "-P", str(script)], stdout=subprocess.PIPE) as process:
        for _ in range(600):
            if store.finished() == {"a", "b"} and len(list((tmp_path / "scratch").glob("*/own"))) == 2:
                break
            assert process.poll() is None
            time.sleep(0.1)
        process.kill()
        process.communicate(timeout=60)  # ends when the last process that inherited the pipe has
    assert store.finished() == {"a", "b"}
    tasks = [task("a"), task("b"), task("c"), task("d")]
    assert run(tasks, store, here, work).done == 4
    assert here.begun == ["c", "d"]


@pytest.mark.parametrize("workers", [0, -1, 1.5])
def test_workers_are_counted(workers, tmp_path):
    with pytest.raises(ValueError, match="workers is"):
        LocalProcesses(workers, tmp_path)
