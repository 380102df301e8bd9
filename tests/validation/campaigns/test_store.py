import errno
import json
import os

import pyarrow.parquet
import pytest
from campaign_work import task, work

from kd2m_theory.errors import InputError
from kd2m_theory.validation.campaigns import table
from kd2m_theory.validation.campaigns.store import Store, StoreError
from kd2m_theory.validation.campaigns.task import Outcome


def outcome(name, files=None, folder=None):
    return Outcome(work(task(name), {}, folder).part, files or {})


@pytest.fixture
def store(tmp_path):
    made = Store(tmp_path / "store")
    made.create({"delta": 0.05}, "c1", resume=False)
    return made


@pytest.fixture
def scratch(tmp_path):
    """A new empty folder each time."""
    count = iter(range(100))

    def make():
        folder = tmp_path / f"scratch-{next(count)}"
        folder.mkdir()
        return folder

    return make


def test_a_part_is_done_and_its_files_are_there(store, scratch):
    store.keep("b", outcome("b", {"teachers/t.safetensors": b"weights"}, scratch()))
    store.keep("a", outcome("a", folder=scratch()))
    assert store.finished() == {"a", "b"}
    assert store.read("teachers/t.safetensors") == b"weights"
    assert store.table()["task"].to_pylist() == ["a", "b"]
    assert pyarrow.parquet.read_table(store.write_table()).equals(store.table())


def test_the_table_does_not_depend_on_the_order_in_which_tasks_ended(store, scratch, tmp_path):
    other = Store(tmp_path / "other")
    other.create({"delta": 0.05}, "c1", resume=False)
    for name in "abc":
        store.keep(name, outcome(name, folder=scratch()))
    for name in "cab":
        other.keep(name, outcome(name, folder=scratch()))
    assert store.write_table().read_bytes() == other.write_table().read_bytes()


def test_it_is_continued_only_if_asked(store):
    with pytest.raises(StoreError, match="--resume"):
        store.create({"delta": 0.05}, "c1", resume=False)
    store.create({"delta": 0.05}, "c1", resume=True)


def test_another_campaign_is_refused(store):
    with pytest.raises(StoreError, match=r"another campaign \(c1, not c2\)"):
        store.create({}, "c2", resume=True)


def test_a_folder_of_other_things_is_refused(tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(StoreError, match=r"thesis\.tex"):
        Store(tmp_path).create({}, "c1", resume=False)


def test_a_store_of_another_form_is_refused_and_left_alone(store):
    record = store.path / "store.json"
    changed = json.dumps(json.loads(record.read_text()) | {"schema": "kd2m-campaign/0"})
    record.write_text(changed)
    for act in (lambda: store.create({}, "c1", resume=True), store.campaigns, lambda: Store(store.path / "new").merge([store])):
        with pytest.raises(StoreError, match="two versions do not mix"):
            act()
    assert record.read_text() == changed


@pytest.mark.parametrize("campaigns", [3, [], None, "c1", {}])
def test_a_record_that_is_none_is_named(store, campaigns):
    record = store.path / "store.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"campaigns": campaigns}))
    with pytest.raises(StoreError, match=r"store\.json is not the record of a campaign"):
        store.campaigns()
    for data in (b"", b"\xff", b"[" * 200_000, b"[]", b"{}"):
        record.write_bytes(data)
        with pytest.raises(InputError, match=r"store\.json is not the record of a campaign") as caught:
            store.campaigns()
        assert "\n" not in str(caught.value)


def test_a_campaign_is_not_continued_with_other_data(tmp_path):
    made = Store(tmp_path / "store")
    made.create({}, "c1", resume=False, inputs={"set of images of x": "aa", "module for network m:f": "bb"})
    made.create({}, "c1", resume=True, inputs={"set of images of x": "aa", "module for network m:f": "bb"})
    with pytest.raises(InputError, match=r"computed from another set of images of x \(content aa, not cc\)"):
        made.create({}, "c1", resume=True, inputs={"set of images of x": "cc", "module for network m:f": "bb"})
    other = Store(tmp_path / "other")
    other.create({}, "c2", resume=False, inputs={"set of images of x": "cc"})
    with pytest.raises(InputError, match=r"other was computed from another set of images of x \(content cc, not aa\)"):
        Store(tmp_path / "union").merge([made, other])
    assert not (tmp_path / "union").exists()


def test_a_part_of_another_form_is_named(store):
    (store.path / "parts").mkdir()
    pyarrow.parquet.write_table(pyarrow.table({"x": [1]}), store.path / "parts" / "x.parquet")
    for look in (store.table, store.finished, store.about):
        with pytest.raises(StoreError, match=r"x\.parquet is a part of another form"):
            look()
    (store.path / "parts" / "x.parquet").write_bytes(b"PAR1")
    for look in (store.table, store.finished, store.about):
        with pytest.raises(StoreError, match=r"x\.parquet is not a part"):
            look()


def test_a_part_is_that_of_its_task_only_if_it_says_so(store, scratch):
    for name in "abc":
        store.keep(name, outcome(name, folder=scratch()))
    parts = store.path / "parts"
    for name in "bc":
        (parts / f"{name}.parquet").write_bytes((parts / "a.parquet").read_bytes())
    for look in (
        store.table,
        store.finished,
        store.about,
        lambda: store.create({"delta": 0.05}, "c1", True) or store.finished(),
    ):
        with pytest.raises(StoreError, match=r"b\.parquet says that it is the part of a; delete it and continue with --resume"):
            look()
    # Renaming what it says inside is not enough, nor is leaving rows out.
    for fake, why in ((table_of(parts / "a.parquet"), "b"), (table_of(parts / "a.parquet").slice(1), "a")):
        pyarrow.parquet.write_table(
            fake.replace_schema_metadata({**fake.schema.metadata, b"task": why.encode()}), parts / f"{why}.parquet"
        )
    changed = table_of(parts / "c.parquet").set_column(0, "task", [["b"]])
    pyarrow.parquet.write_table(
        changed.replace_schema_metadata({**table_of(parts / "a.parquet").schema.metadata, b"task": b"b"}), parts / "b.parquet"
    )
    with pytest.raises(StoreError, match=r"b\.parquet has other rows than its task returned"):
        store.table(["b"])


def table_of(path):
    return pyarrow.parquet.read_table(path)


def test_a_part_without_rows_is_no_evidence(store, scratch):
    store.keep("a", Outcome(table.part({"task": "a"}, [], {"seconds": 0.0, "task": {}})))
    for look in (store.table, store.finished, store.about):
        with pytest.raises(StoreError, match=r"a\.parquet has no rows, which is not evidence"):
            look()


def test_a_full_disk_is_one_line_and_what_was_there_stays(store, scratch, monkeypatch):
    store.keep("a", outcome("a", folder=scratch()))
    before = {path: path.read_bytes() for path in store.path.rglob("*") if path.is_file()}

    def full(_descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match=r"parts/b\.parquet cannot be written \(No space left on device\).*--resume") as caught:
        store.keep("b", outcome("b", folder=scratch()))
    assert "\n" not in str(caught.value)
    assert {path: path.read_bytes() for path in store.path.rglob("*") if path.is_file()} == before
    monkeypatch.undo()
    store.keep("b", outcome("b", folder=scratch()))
    assert store.finished() == {"a", "b"}


def test_a_task_whose_files_were_written_but_not_its_part_is_not_done(store, scratch, monkeypatch):
    write, calls = os.replace, []

    def dies_at_the_second(source, target):
        calls.append(target)
        if len(calls) == 2:
            raise KeyboardInterrupt
        write(source, target)

    monkeypatch.setattr(os, "replace", dies_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        store.keep("a", outcome("a", {"teachers/t.safetensors": b"weights"}, scratch()))
    assert store.finished() == frozenset()


def test_two_campaigns_merge(store, scratch, tmp_path):
    other = Store(tmp_path / "other")
    other.create({"delta": 0.1}, "c2", resume=False)
    store.keep("a", outcome("a", {"teachers/t.safetensors": b"weights"}, scratch()))
    for each in (store, other):
        each.keep("b", outcome("b", folder=scratch()))
    other.keep("c", outcome("c", folder=scratch()))
    union = Store(tmp_path / "union")
    union.merge([store, other])
    assert union.finished() == {"a", "b", "c"}
    assert set(union.campaigns()) == {"c1", "c2"}
    assert union.table()["task"].to_pylist() == ["a", "b", "c"]
    assert union.read("teachers/t.safetensors") == b"weights"
    union.create({"delta": 0.1}, "c2", resume=True)
    with pytest.raises(StoreError, match="not empty"):
        union.merge([store])


def test_a_file_that_a_task_made_is_not_exchanged(store, scratch, tmp_path):
    store.keep("a", outcome("a", {"teachers/t.safetensors": b"weights"}, scratch()))
    other = Store(tmp_path / "other")
    other.create({}, "c2", resume=False)
    other.keep("b", outcome("b", {"teachers/t.safetensors": b"others"}, scratch()))
    with pytest.raises(StoreError, match=r"hold different teachers/t\.safetensors"):
        Store(tmp_path / "union").merge([store, other])
    (store.path / "teachers/t.safetensors").write_bytes(b"others")
    for act in (lambda: store.read("teachers/t.safetensors"), lambda: Store(tmp_path / "union").merge([store])):
        with pytest.raises(StoreError, match=r"t\.safetensors is not what a task made"):
            act()
    assert not (tmp_path / "union").exists()
    (store.path / "teachers/t.safetensors.sha256").unlink()
    assert not store.has("teachers/t.safetensors")


def test_two_stores_that_contradict_each_other_do_not_merge(store, tmp_path, scratch):
    other = Store(tmp_path / "other")
    other.create({"delta": 0.1}, "c2", resume=False)
    store.keep("a", outcome("a", folder=scratch()))
    made = work(task("a"), {"truths/x": b"other"}, scratch())
    other.keep("a", made)
    with pytest.raises(StoreError, match="different rows for task a"):
        Store(tmp_path / "union").merge([store, other])
    assert not (tmp_path / "union").exists()


def test_a_column_that_the_schema_lacks_is_refused():
    with pytest.raises(KeyError, match="wieght"):
        table.part({"task": "a"}, [{"wieght": 1.0}], {})
