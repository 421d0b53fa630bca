"""At the start: the snapshot against the store, which wins unless it plainly is another one (P3)."""

import logging
import os
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from dashboard.engine import snapshot
from dashboard.engine.reconcile import reconcile
from dashboard.errors import StoreDamaged
from dashboard.models import Meta, Task
from dashboard.models.store import Store
from dashboard.services.task_service import TaskService
from tests.factories import SCHEDULED_AT as NOW
from tests.factories import HandClock, a_task, make_settings, make_store
from tests.hostile_pickles import odd, running
from tests.modes import locked
from tests.unit.test_snapshot_hostile import signed


class House:
    """A store and a place for its snapshot."""

    def __init__(self, folder: Path) -> None:
        self.store = make_store(folder)
        self.path = folder / "tasks.pkl"
        self.tasks = TaskService(self.store, make_settings(folder), HandClock())

    def rows(self) -> list[dict[str, Any]]:
        with self.store.reading():
            rows: Any = Task.select().order_by(Task.key).dicts()
            return list(rows)

    def write(self, store_id: str | None = None) -> bytes:
        """The snapshot of the tasks that there are."""
        with self.store.reading():
            found = snapshot.content(Task.select(), store_id or self.store.meta("store_id"), NOW)
        snapshot.write(self.path, found)
        return self.path.read_bytes()

    def reconcile(self) -> None:
        reconcile(self.store, self.path)


@pytest.fixture
def house(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Iterator[House]:
    made = House(tmp_path)
    caplog.set_level(logging.INFO, "dingshi.snapshot")
    yield made
    made.store.close()


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "dingshi.snapshot"]


def test_without_a_snapshot_there_is_nothing_to_say(house: House, caplog: pytest.LogCaptureFixture) -> None:
    house.tasks.create(a_task())
    house.reconcile()
    assert said(caplog) == [] and not house.path.exists()


def test_a_snapshot_that_tells_the_same_is_no_news(house: House, caplog: pytest.LogCaptureFixture) -> None:
    house.tasks.create_all([a_task(id="a"), a_task(id="b")])
    house.write()
    house.reconcile()
    assert said(caplog) == []


def test_differences_are_told_and_the_store_wins(house: House, caplog: pytest.LogCaptureFixture) -> None:
    house.tasks.create_all([a_task(id="edited"), a_task(id="deleted"), a_task(id="ran")])
    old = house.write()
    house.tasks.update("edited", {"params": {"command": ["false"]}})
    house.tasks.delete("deleted")
    house.tasks.create(a_task(id="new"))
    with house.store.writing():
        Task.update(run_count=5, next_run_at=NOW + timedelta(days=1)).where(Task.id == "ran").execute()
    rows = house.rows()
    house.reconcile()
    assert said(caplog) == [f"snapshot differs from the store, which wins: task {what}" for what in (
        "'edited' changed: params, updated_at", "'deleted' extra", "'new' missing",
        "'ran' counters: next_run_at, run_count")]
    assert house.rows() == rows and house.path.read_bytes() == old


def test_many_differences_are_told_in_few_lines(house: House, caplog: pytest.LogCaptureFixture) -> None:
    house.tasks.create_all([a_task(id=f"t{number}") for number in range(70)])
    house.write()
    with house.store.writing():
        Task.update(run_count=5).execute()
    house.reconcile()
    assert len(said(caplog)) == 51 and said(caplog)[-1] == "snapshot: 20 further differences"


def test_an_empty_store_that_is_not_the_one_of_the_snapshot_is_refused(house: House) -> None:
    house.tasks.create_all([a_task(id="a"), a_task(id="b")])
    before = house.write("another store")
    for task_id in ("a", "b"):
        house.tasks.delete(task_id)
    with pytest.raises(StoreDamaged) as refused:
        house.reconcile()
    for words in ("2 tasks", f'python run.py db restore "{house.path}"', str(house.store.path)):
        assert words in str(refused.value)
    assert refused.value.exit_code == 4
    assert house.path.read_bytes() == before and house.rows() == []
    assert [path.name for path in house.path.parent.iterdir() if "bad" in path.name] == []


def test_a_store_whose_last_task_was_deleted_is_no_lost_one(house: House, caplog: pytest.LogCaptureFixture) -> None:
    """The snapshot may be older than the last deletion."""
    house.tasks.create(a_task())
    house.write()
    house.tasks.delete("tidy")
    house.reconcile()
    assert said(caplog) == ["snapshot differs from the store, which wins: task 'tidy' extra"]


def test_an_empty_snapshot_of_another_store_hinders_nobody(house: House, caplog: pytest.LogCaptureFixture) -> None:
    house.write("another store")
    house.reconcile()
    assert said(caplog) == []


def test_a_store_with_tasks_wins_over_the_snapshot_of_another(house: House, caplog: pytest.LogCaptureFixture) -> None:
    house.tasks.create(a_task(id="theirs"))
    house.write("another store")
    house.tasks.delete("theirs")
    house.tasks.create(a_task(id="ours"))
    house.reconcile()
    assert [line.split(": ", 1)[1] for line in said(caplog)] == ["task 'theirs' extra", "task 'ours' missing"]


@pytest.mark.parametrize("empty", [True, False])
def test_a_damaged_snapshot_is_kept_beside_whatever_the_store_holds(
        house: House, empty: bool, caplog: pytest.LogCaptureFixture) -> None:
    if not empty:
        house.tasks.create(a_task())
    rows = house.rows()
    bodies = list({**running(), **odd()}.values())
    for body in bodies:
        house.path.write_bytes(signed(body))
        house.reconcile()
        assert not house.path.exists()
    house.path.write_bytes(b"")
    house.reconcile()
    kept = [path for path in house.path.parent.iterdir() if path.name.startswith("tasks.pkl.bad-")]
    assert sorted(path.read_bytes() for path in kept) == sorted([*map(signed, bodies), b""])
    assert house.rows() == rows
    assert len(said(caplog)) == len(bodies) + 1
    assert all("cannot be read (" in line and "kept as tasks.pkl.bad-" in line for line in said(caplog))


def test_a_damaged_snapshot_that_cannot_be_moved_stops_no_start(
        house: House, caplog: pytest.LogCaptureFixture) -> None:
    folder = house.path.parent / "snapshots"
    folder.mkdir()
    house.path = folder / "tasks.pkl"
    house.path.write_bytes(b"nonsense")
    with locked(folder):
        house.reconcile()
    assert "nor moved away" in said(caplog)[0]
    assert house.path.read_bytes() == b"nonsense"


def test_a_snapshot_that_may_not_be_read_stops_no_start(house: House, caplog: pytest.LogCaptureFixture) -> None:
    house.tasks.create(a_task())
    before = house.write()
    with locked(house.path, mode=0o000):
        house.reconcile()
    assert "cannot be read" in said(caplog)[0] and len(said(caplog)) == 1
    assert house.path.read_bytes() == before


def test_a_folder_of_that_name_stops_no_start(house: House, caplog: pytest.LogCaptureFixture) -> None:
    house.path.mkdir()
    house.reconcile()
    assert len(said(caplog)) == 1 and "cannot be read" in said(caplog)[0]


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX only: pipes with names")
def test_a_pipe_of_that_name_is_set_aside(house: House) -> None:
    if sys.platform != "win32":
        os.mkfifo(house.path)
    house.reconcile()
    assert not house.path.exists()


def test_the_probe_is_no_part_of_what_identifies_a_store(house: House) -> None:
    first = house.store.meta("store_id")
    house.store.probe()
    assert house.store.meta("store_id") == first != ""
    with house.store.reading():
        assert Meta.select().count() == 2


def test_two_new_stores_are_told_apart(tmp_path: Path) -> None:
    """What the refusal rests on."""
    ids = set()
    for name in ("a", "b"):
        store = Store(tmp_path / name / "task.db")
        store.create()
        store.open()
        ids.add(store.meta("store_id"))
        store.close()
    assert len(ids) == 2
