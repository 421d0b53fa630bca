"""The store: its file, its locks, its triggers, and what it says when something is wrong."""

import hashlib
import sqlite3
import sys
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from peewee import IntegrityError, OperationalError

from dashboard.errors import StoreBusy, StoreDamaged, StoreReadOnly
from dashboard.models import Meta, Revision, Task, TaskLog
from dashboard.models.complaints import explain
from dashboard.models.store import TRIGGERS, Store
from tests.factories import SCHEDULED_AT, make_store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = make_store(tmp_path)
    yield opened
    opened.close()


def created(folder: Path) -> Store:
    store = Store(folder / "task.db")
    store.create()
    store.open()
    return store


def insert_task(key: int = 1, task_id: str = "a") -> Task:
    return Task.create(key=key, id=task_id, type="send_cmd", trigger={"type": "interval", "minutes": 1}, params={},
                       options={}, anchor_at=SCHEDULED_AT, created_at=SCHEDULED_AT, updated_at=SCHEDULED_AT)


def insert_log(result: str = "queued", cause: str = "manual", key: int = 1) -> TaskLog:
    return TaskLog.create(task_key=key, task_id="a", task_type="send_cmd", trigger={}, params={}, options={},
                          result=result, cause=cause, scheduled_at=SCHEDULED_AT, occurrence_at=SCHEDULED_AT,
                          at=SCHEDULED_AT)


def revision(store: Store) -> tuple[int, int]:
    with store.reading():
        row = Revision.get_by_id(1)
    return row.value, row.deletions


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


# --- the file ---------------------------------------------------------------------------------------------------


def test_a_new_store_has_every_migration_and_trigger_and_nothing_beside_it(tmp_path: Path) -> None:
    store = created(tmp_path)
    assert store.pending() == []
    with store.reading():
        found = {row[0] for row in store.database.execute_sql("SELECT name FROM sqlite_master WHERE type='trigger'")}
        assert Task.select().count() == 0
    assert found == set(TRIGGERS)
    assert len(store.meta("store_id")) == 32
    assert store.meta("nothing of that name") == ""
    store.close()
    assert [path.name for path in tmp_path.iterdir()] == ["task.db"]


def test_two_stores_have_different_ids(tmp_path: Path) -> None:
    ids = set()
    for name in ("a", "b"):
        store = created(tmp_path / name)
        ids.add(store.meta("store_id"))
        store.close()
    assert len(ids) == 2


def test_create_leaves_a_store_of_that_name_alone(store: Store, tmp_path: Path) -> None:
    with store.writing():
        insert_task()
    before = store.meta("store_id")
    Store(store.path).create()
    with store.reading():
        assert Task.select().count() == 1
    assert store.meta("store_id") == before
    assert not [path for path in tmp_path.iterdir() if ".new-" in path.name]


def test_create_does_not_replay_the_log_of_a_store_that_is_gone(tmp_path: Path) -> None:
    """A killed server leaves task.db-wal; somebody deletes task.db alone; the new store must be a new store."""
    old = make_store(tmp_path)
    with old.writing():
        insert_task(task_id="ghost")
    wal = (tmp_path / "task.db-wal").read_bytes()
    assert wal
    old.close()
    old.path.unlink()
    (tmp_path / "task.db-wal").write_bytes(wal)
    new = created(tmp_path)
    new.check()
    with new.reading():
        assert Task.select().count() == 0
    new.close()
    kept = [path for path in tmp_path.iterdir() if ".orphan-" in path.name]
    assert [path.read_bytes() for path in kept] == [wal]


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(StoreReadOnly, match=r"file.task\.db cannot be written") as told:
        Store(tmp_path / "file" / "task.db").create()
    assert told.value.exit_code == 5
    assert told.value.path.endswith("task.db")


def other_program(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE other (x)")
    database.close()


def garbage(path: Path) -> None:
    path.write_bytes(b"this is no database, " * 400)


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("make", [other_program, garbage, empty])
def test_a_file_that_is_not_ours_is_refused_and_left_as_it_is(tmp_path: Path, make: object) -> None:
    path = tmp_path / "task.db"
    assert callable(make)
    make(path)
    before = digest(path)
    with pytest.raises(StoreDamaged, match="db restore") as told:
        Store(path).open()
    assert told.value.exit_code == 4
    assert str(path) in str(told.value)
    assert digest(path) == before
    assert [found.name for found in tmp_path.iterdir()] == ["task.db"]


def test_a_missing_store_is_not_made_by_opening_the_folder(tmp_path: Path) -> None:
    with pytest.raises(StoreReadOnly):
        Store(tmp_path / "nowhere" / "task.db").open()
    assert not (tmp_path / "nowhere").exists()


def test_damaged_pages_are_found_when_asked_for(tmp_path: Path) -> None:
    store = make_store(tmp_path)
    with store.writing():
        for key in range(1, 200):
            insert_task(key, f"task-{key}")
    store.close()
    content = bytearray(store.path.read_bytes())
    content[3 * 4096:] = b"\xa5" * (len(content) - 3 * 4096)
    store.path.write_bytes(content)
    again = Store(store.path)
    with pytest.raises(StoreDamaged, match="db restore"):
        again.open(check=True)
    again.close()


def test_a_copy_in_another_journal_mode_is_put_right(tmp_path: Path) -> None:
    make_store(tmp_path).close()
    raw = sqlite3.connect(tmp_path / "task.db")
    raw.execute("VACUUM INTO ?", (str(tmp_path / "copy.db"),))
    raw.close()
    copy = Store(tmp_path / "copy.db")
    with copy.reading():
        assert copy.database.pragma("journal_mode") == "delete"
    copy.open()
    assert copy.database.pragma("journal_mode") == "wal"
    copy.close()


# --- reading and writing ----------------------------------------------------------------------------------------


def test_writing_is_refused_outside_writing(store: Store) -> None:
    with pytest.raises(StoreReadOnly), store.reading():
        insert_task()
    with store.reading():
        assert Task.select().count() == 0


def test_an_error_inside_a_transaction_undoes_it(store: Store) -> None:
    with pytest.raises(IntegrityError), store.writing():
        insert_task(1, "a")
        insert_task(2, "a")
    with store.reading():
        assert Task.select().count() == 0
    with pytest.raises(OperationalError), store.reading():
        store.database.execute_sql("SELECT nothing FROM nowhere")


def test_writing_inside_writing_is_one_transaction(store: Store) -> None:
    with pytest.raises(ValueError, match="outer"), store.writing():
        with store.writing():
            insert_task()
        raise ValueError("outer")
    with store.reading():
        assert Task.select().count() == 0


def test_threads_writing_at_once_lose_nothing(store: Store) -> None:
    failures: list[Exception] = []

    def write(first: int) -> None:
        try:
            for key in range(first, first + 20):
                with store.writing():
                    Revision.update(last_key=Revision.last_key + 1).execute()
                    insert_task(key, f"task-{key}")
        except Exception as error:  # noqa: BLE001 (shown below)
            failures.append(error)

    threads = [threading.Thread(target=write, args=(1 + 100 * n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    with store.reading():
        assert Task.select().count() == 160
        assert Revision.get_by_id(1).last_key == 160
    store.check()


def test_a_foreign_lock_is_told_after_the_busy_timeout_and_changes_nothing(tmp_path: Path) -> None:
    make_store(tmp_path).close()
    store = Store(tmp_path / "task.db", busy_seconds=0.15)
    store.open()
    foreign = sqlite3.connect(store.path, isolation_level=None)
    foreign.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreBusy, match="locked by another program") as told, store.writing():
        insert_task()
    assert told.value.code == "busy"
    with store.reading():
        assert Task.select().count() == 0
    foreign.execute("ROLLBACK")
    foreign.close()
    with store.writing():
        insert_task()
    with store.reading():
        assert Task.select().count() == 1
    store.close()


def test_many_threads_behind_a_foreign_lock_wait_together_not_one_after_the_other(tmp_path: Path) -> None:
    make_store(tmp_path).close()
    store = Store(tmp_path / "task.db", busy_seconds=0.3)
    store.open()
    foreign = sqlite3.connect(store.path, isolation_level=None)
    foreign.execute("BEGIN IMMEDIATE")
    told: list[str] = []

    def write(key: int) -> None:
        try:
            with store.writing():
                insert_task(key, f"task-{key}")
        except StoreBusy as error:
            told.append(error.code)

    threads = [threading.Thread(target=write, args=(n,)) for n in range(1, 7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=1.5)
    assert not any(thread.is_alive() for thread in threads)  # one after the other would take 1.8 s
    assert told == ["busy"] * 6
    foreign.execute("ROLLBACK")
    foreign.close()
    with store.reading():
        assert Task.select().count() == 0
    store.close()


def test_another_thread_that_writes_for_long_is_told_like_another_program(tmp_path: Path) -> None:
    make_store(tmp_path).close()
    store = Store(tmp_path / "task.db", busy_seconds=0.05)
    store.open()
    begun, enough = threading.Event(), threading.Event()

    def hold() -> None:
        with store.writing():
            begun.set()
            enough.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    assert begun.wait(10)
    with pytest.raises(StoreBusy), store.writing():
        insert_task()
    enough.set()
    thread.join()
    with store.writing():
        insert_task()
    store.close()


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX only: a mode that not even root may write past")
def test_a_read_only_store_is_told_by_the_probe_with_its_path(tmp_path: Path) -> None:
    make_store(tmp_path).close()
    store = Store(tmp_path / "task.db")
    store.database.init(f"{store.path.as_uri()}?mode=ro", uri=True)
    store.open()
    with pytest.raises(StoreReadOnly, match=r"task\.db cannot be written.*write permission") as told:
        store.probe()
    assert told.value.path == str(store.path)
    assert store.meta("probe") == ""
    store.close()


@pytest.mark.parametrize(("words", "kind"), [
    ("database is locked", StoreBusy),
    ("database table is locked", StoreBusy),
    ("attempt to write a readonly database", StoreReadOnly),
    ("unable to open database file", StoreReadOnly),
    ("disk I/O error", StoreReadOnly),
    ("database or disk is full", StoreReadOnly),
    ("database disk image is malformed", StoreDamaged),
    ("file is not a database", StoreDamaged),
])
def test_what_sqlite_says_becomes_an_error_for_people(tmp_path: Path, words: str, kind: type[Exception]) -> None:
    told = explain(OperationalError(words), tmp_path / "task.db")
    assert type(told) is kind
    assert str(tmp_path / "task.db") in str(told)


def test_our_own_mistakes_are_not_dressed_up(tmp_path: Path) -> None:
    assert explain(OperationalError("no such column: fullname"), tmp_path) is None
    assert explain(IntegrityError("UNIQUE constraint failed: task.id"), tmp_path) is None


def test_a_checkpoint_empties_the_log_into_the_file(store: Store) -> None:
    for key in range(1, 30):
        with store.writing():
            insert_task(key, f"task-{key}")
    before = store.path.stat().st_mtime_ns
    store.checkpoint()
    wal = store.path.with_name("task.db-wal").stat().st_size
    assert store.path.stat().st_mtime_ns != before
    for key in range(30, 40):
        with store.writing():
            insert_task(key, f"task-{key}")
    assert store.path.with_name("task.db-wal").stat().st_size == wal  # the log starts over
    store.check()


# --- migrations -------------------------------------------------------------------------------------------------


def test_migrating_twice_changes_nothing_and_renews_the_triggers(store: Store) -> None:
    with store.writing():
        insert_task()
        store.database.execute_sql("DROP TRIGGER task_changed")
    assert store.migrate() == []
    before = revision(store)
    with store.writing():
        Task.update(paused=True).execute()
    assert revision(store) == (before[0] + 1, 0)
    with pytest.raises(StoreReadOnly), store.reading():
        insert_task(2, "b")


# --- the revision -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("changes", [
    {"trigger": {"type": "idle", "idle_duration": 60}}, {"params": {"a": 1}}, {"options": {"retries": 1}},
    {"paused": True}, {"anchor_at": SCHEDULED_AT + timedelta(1)},
])
def test_a_changed_definition_moves_the_revision(store: Store, changes: dict[str, object]) -> None:
    with store.writing():
        insert_task(1, "a")
        insert_task(2, "b")
    before = revision(store)
    with store.writing():
        Task.update(**changes).where(Task.key == 1).execute()
    assert revision(store) == (before[0] + 1, 0)
    with store.reading():
        assert Task.get_by_id(1).revision == before[0] + 1
        assert Task.get_by_id(2).revision < before[0] + 1


@pytest.mark.parametrize("changes", [
    {"next_run_at": SCHEDULED_AT}, {"run_count": 7}, {"failure_count": 1}, {"last_run_at": SCHEDULED_AT},
    {"last_result": "success"}, {"paused_at": SCHEDULED_AT}, {"updated_at": SCHEDULED_AT + timedelta(1)},
])
def test_counters_and_due_times_do_not_move_it(store: Store, changes: dict[str, object]) -> None:
    with store.writing():
        insert_task()
    before = revision(store)
    with store.writing():
        Task.update(**changes).execute()
    assert revision(store) == before


def test_new_and_deleted_tasks_move_it(store: Store) -> None:
    start = revision(store)
    with store.writing():
        row = insert_task()
    assert revision(store) == (start[0] + 1, 0)
    with store.reading():
        assert Task.get_by_id(1).revision == start[0] + 1
    with store.writing():
        row.delete_instance()
    assert revision(store) == (start[0] + 2, 1)


@pytest.mark.parametrize(("result", "cause", "moved"), [
    ("queued", "manual", 1), ("queued", "chain", 1), ("queued", "retry", 0), ("running", "schedule", 0),
    ("skipped", "schedule", 0), ("running", "manual", 0),
])
def test_requests_for_runs_move_it_and_the_engines_own_rows_do_not(store: Store, result: str, cause: str,
                                                                   moved: int) -> None:
    before = revision(store)
    with store.writing():
        insert_log(result, cause)
    assert revision(store) == (before[0] + moved, 0)


def test_a_request_to_stop_moves_it_and_the_end_of_a_run_does_not(store: Store) -> None:
    with store.writing():
        insert_log("running", "schedule")
    before = revision(store)
    with store.writing():
        TaskLog.update(result="success", finished_at=SCHEDULED_AT).execute()
    assert revision(store) == before
    with store.writing():
        TaskLog.update(stop_requested_at=SCHEDULED_AT).execute()
    assert revision(store) == (before[0] + 1, 0)


def test_one_row_for_one_due_time(store: Store) -> None:
    with store.writing():
        insert_log("running", "schedule")
    with pytest.raises(IntegrityError), store.writing():
        insert_log("running", "catchup")
    with store.writing():
        insert_log("queued", "manual")
        insert_log("queued", "manual")
        insert_log("running", "schedule", key=2)
    with store.reading():
        assert TaskLog.select().count() == 4


def test_instants_and_json_come_back_as_they_went(store: Store) -> None:
    with store.writing():
        row = insert_task()
        Task.update(params={"标题": ["a", 1, None, True, {"b": 1.5}]},
                    last_run_at=SCHEDULED_AT + timedelta(milliseconds=7)).execute()
        Meta.create(name="n", value="v")
    with store.reading():
        row = Task.get_by_id(1)
        raw = store.database.execute_sql("SELECT params, last_run_at FROM task").fetchone()
    assert row.params == {"标题": ["a", 1, None, True, {"b": 1.5}]}
    assert row.last_run_at == SCHEDULED_AT + timedelta(milliseconds=7)
    assert raw == ('{"标题":["a",1,null,true,{"b":1.5}]}', 1795428000007)
    assert row.next_run_at is None
