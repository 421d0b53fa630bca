"""Copies of the store: made while others write, brought back row for row, and what is no copy is refused."""

import hashlib
import os
import pickle
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from dashboard.config import Settings
from dashboard.engine import snapshot
from dashboard.engine.lock import InstanceLock
from dashboard.errors import Conflict, DingshiError, SchedulerRunning, StoreDamaged
from dashboard.i18n import speaking
from dashboard.models import Task, TaskLog
from dashboard.models import store as store_module
from dashboard.models.store import Store
from dashboard.services.backup import backup, backup_before_update, restore
from dashboard.services.backup_file import newest_good, refuse_bad
from dashboard.services.task_service import TaskService
from tests.factories import SCHEDULED_AT, HandClock, a_task, make_settings, make_store
from tests.modes import locked

ROOT = Path(__file__).resolve().parents[2]
WRITER = """
import sys, threading
from pathlib import Path
from dashboard.models import Meta, TaskLog
from dashboard.models.store import Store
store = Store(Path(sys.argv[1]))
store.open()
enough = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), enough.set()), daemon=True).start()
at, number = 1795428000000, 0
while not enough.is_set():
    number += 1
    with store.writing():
        for part in range(2):
            TaskLog.create(task_key=7, task_id="w", task_type="t", trigger={}, params={"text": "x" * 500}, options={},
                           result="success", cause="manual", scheduled_at=at, occurrence_at=at, at=at)
        Meta.insert(name="number", value=str(number)).on_conflict_replace().execute()
    print(number, flush=True)
store.close()
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return make_settings(tmp_path / "data", snapshot=tmp_path / "data" / "tasks.pkl")


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    opened = make_store(settings.data_dir)
    yield opened
    opened.close()


def fill(store: Store, settings: Settings) -> None:
    """Tasks of every kind, with counters, pauses and rows."""
    clock = HandClock()
    service = TaskService(store, settings, clock)
    service.create_all([
        a_task(id="备份", options={"retries": 2, "overlap": "queue"}), a_task(id="paused", paused=True),
        a_task(id="cron", trigger={"type": "cron", "expression": "30 8 * * 1-5"}, params={"command": "echo 你好"}),
        a_task(id="once", trigger={"type": "date", "run_date": "2026-11-23 18:00:30"}),
        a_task(id="idle", trigger={"type": "idle", "idle_duration": 60})])
    service.delete("cron")
    clock.advance(1.5)
    service.create(a_task(id="cron", trigger={"type": "cron", "expression": "@daily"}))
    service.run("idle")
    with store.writing():
        Task.update(run_count=7, failure_count=2, last_run_at=SCHEDULED_AT + timedelta(milliseconds=7),
                    last_result="failure").where(Task.id == "备份").execute()
        for n in range(50):
            at = SCHEDULED_AT + timedelta(seconds=n)
            TaskLog.create(task_key=1, task_id="备份", task_type="send_cmd", trigger={}, params={"n": n}, options={},
                           result="success", cause="schedule", scheduled_at=at, occurrence_at=at, at=at,
                           output="好" * n)


@pytest.fixture
def full(store: Store, settings: Settings) -> Store:
    fill(store, settings)
    return store


def rows(path: Path) -> dict[str, list[Any]]:
    """Everything in the tables, by table."""
    with closing(sqlite3.connect(path)) as raw:
        names = [row[0] for row in raw.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: raw.execute(f"SELECT * FROM {name} ORDER BY 1").fetchall() for name in names}


def files(folder: Path) -> dict[str, str]:
    """Every file by its content, but for those of the lock, and for what SQLite keeps of open files."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.rglob("*"))
            if path.is_file() and path.suffix not in (".lock", ".owner") and not path.name.endswith("-shm")}


def write_snapshot(store: Store, path: Path) -> None:
    with store.reading():
        snapshot.write(path, snapshot.content(Task.select(), store.meta("store_id"), SCHEDULED_AT))


# --- made -------------------------------------------------------------------------------------------------------


def test_a_backup_while_another_process_commits_is_of_one_instant(store: Store, settings: Settings) -> None:
    with subprocess.Popen([sys.executable, "-c", WRITER, str(store.path)], cwd=ROOT, stdin=subprocess.PIPE, text=True,
                          stdout=subprocess.PIPE, encoding="utf-8") as writer:
        assert writer.stdin
        assert writer.stdout
        for n in range(3):
            acknowledged = int(writer.stdout.readline())
            found = rows(backup(settings, settings.backup_dir / f"{n}.db"))
            number = int(dict(found["meta"])["number"])
            assert len(found["task_log"]) == 2 * number
            assert number >= acknowledged
            while (last := int(writer.stdout.readline())) < number + 5:  # it was not stopped by it
                pass
        writer.stdin.close()
        last = int((writer.stdout.read().split() or [str(last)])[-1])
    assert writer.returncode == 0
    store.check()
    assert len(rows(store.path)["task_log"]) == 2 * last
    refuse_bad(settings.backup_dir / "2.db")


def test_a_backup_is_one_file_with_its_list_and_reads_in_a_read_only_folder(full: Store, settings: Settings) -> None:
    path = backup(settings, settings.data_dir / "new" / "copy.db")
    assert path == settings.data_dir / "new" / "copy.db"
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert path.with_name("copy.db.sha256").read_text("ascii") == f"{digest}  copy.db\n"
    assert sorted(found.name for found in path.parent.iterdir()) == ["copy.db", "copy.db.sha256"]
    assert path.read_bytes()[18:20] == b"\1\1"  # no write-ahead log to be made for reading
    before = files(path.parent)
    with locked(path.parent, path):
        refuse_bad(path)
        assert newest_good(path.parent) == path
    assert rows(path) == rows(full.path)
    assert files(path.parent) == before


def test_a_folder_gets_a_name_for_each_backup(store: Store, settings: Settings) -> None:
    (settings.data_dir / "there.d").mkdir()
    made = [backup(settings, settings.data_dir / name) for name in ("there.d", "there.d", "not-there", "there.d")]
    assert len(set(made)) == 4
    assert [path.parent.name for path in made] == ["there.d", "there.d", "not-there", "there.d"]
    assert all(re.fullmatch(r"task-\d{8}-\d{6}(-\d)?\.db", path.name) for path in made)
    for path in made:
        refuse_bad(path)


def test_nothing_is_overwritten(store: Store, settings: Settings) -> None:
    taken = settings.data_dir / "taken.db"
    taken.write_bytes(b"mine")
    before = files(settings.data_dir)
    for target in (taken, settings.database):
        with pytest.raises(Conflict, match="overwrites nothing"):
            backup(settings, target)
    assert files(settings.data_dir) == before


def test_where_nothing_can_be_written_that_is_told_with_the_path(store: Store, settings: Settings) -> None:
    folder = settings.data_dir / "locked"
    folder.mkdir()
    (settings.data_dir / "file").write_bytes(b"")
    before = files(settings.data_dir)
    with locked(folder):
        for target in (folder, folder / "a.db"):
            with pytest.raises(DingshiError, match=r"locked.*could not be written") as told:
                backup(settings, target)
            assert told.value.exit_code == 1
    with pytest.raises(DingshiError, match=r"b\.db could not be written"):
        backup(settings, settings.data_dir / "file" / "b.db")
    assert files(settings.data_dir) == before


def spoil_header(path: Path) -> None:
    path.write_bytes(bytes(100) + path.read_bytes()[100:])


def spoil_page(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[3 * 4096:] = b"\xa5" * (len(content) - 3 * 4096)
    path.write_bytes(content)


def spoil_count(path: Path) -> None:
    """A wrong number of free pages: everything can be read, only a check of the whole notices."""
    content = bytearray(path.read_bytes())
    content[39] += 1
    path.write_bytes(content)


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def text(path: Path) -> None:
    path.write_text("this is no database, " * 400, encoding="utf-8")


def other_program(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as raw:
        raw.execute("CREATE TABLE task (key, id)")
        raw.commit()


SPOILT: list[Callable[[Path], None]] = [spoil_header, spoil_page, spoil_count, cut_off, empty, text, other_program]


@pytest.mark.parametrize("spoil", SPOILT)
def test_no_backup_is_made_of_a_store_that_is_not_whole(full: Store, settings: Settings,
                                                        spoil: Callable[[Path], None]) -> None:
    full.close()
    spoil(settings.database)
    before = files(settings.data_dir)
    with pytest.raises(StoreDamaged, match=r"task\.db cannot be used") as told:
        backup(settings, settings.backup_dir)
    assert told.value.exit_code == 4
    assert {name: text for name, text in files(settings.data_dir).items() if not name.endswith("-wal")} == before


def test_no_store_no_backup_and_none_is_made(settings: Settings) -> None:
    with pytest.raises(DingshiError, match="no store yet"):
        backup(settings, settings.backup_dir)
    assert not settings.data_dir.exists()


def test_of_the_automatic_ones_the_newest_stay(store: Store, settings: Settings) -> None:
    few = make_settings(settings.data_dir, backup_keep=2)
    own = backup(few, few.backup_dir / "own.db")
    made = []
    for n in range(4):
        made.append(backup_before_update(few))
        os.utime(made[-1], (n, n))
    left = {path.name for path in few.backup_dir.iterdir()}
    assert left == {name for path in (own, *made[2:]) for name in (path.name, f"{path.name}.sha256")}


# --- found again ------------------------------------------------------------------------------------------------


def test_the_newest_good_one_is_found_past_bad_ones(full: Store, settings: Settings) -> None:
    made = [backup(settings, settings.backup_dir / f"{n}.db") for n in range(5)]
    for n, path in enumerate(made):
        os.utime(path, (n, n))
    assert newest_good(settings.backup_dir) == made[4]
    content = bytearray(made[4].read_bytes())
    content[-1] ^= 1  # quick_check has nothing against it, the list has
    made[4].write_bytes(content)
    spoil_page(made[3])
    made[3].with_name("3.db.sha256").unlink()
    other_program(made[2])
    made[2].with_name("2.db.sha256").write_text("not a list", encoding="utf-8")
    for n, path in enumerate(made):
        os.utime(path, (n, n))
    assert newest_good(settings.backup_dir) == made[1]
    assert newest_good(settings.data_dir / "absent") is None
    empty(made[0])
    made[1].unlink()
    assert newest_good(settings.backup_dir) is None


# --- brought back -----------------------------------------------------------------------------------------------


def test_a_restored_store_is_equal_row_for_row(full: Store, settings: Settings) -> None:
    copy = backup(settings, settings.backup_dir / "copy.db")
    wanted, store_id = rows(copy), full.meta("store_id")
    with full.writing():
        Task.delete().execute()
        TaskLog.update(result="failure").execute()
    full.close()
    assert restore(settings, copy) == 5
    assert rows(settings.database) == wanted
    again = Store(settings.database)
    again.open(check=True)
    assert again.meta("store_id") == store_id
    assert again.pending() == []
    service = TaskService(again, settings, HandClock())
    service.delete("备份")  # the triggers are there, and keys are never given twice
    service.create(a_task(id="new"))
    with again.reading():
        assert Task.get(Task.id == "new").key == 7
        assert Task.get(Task.id == "new").revision > max(row[-1] for row in wanted["task"])
    again.close()
    assert rows(copy) == wanted


def test_what_was_there_is_set_aside_and_can_be_restored(full: Store, settings: Settings) -> None:
    copy = backup(settings, settings.backup_dir / "copy.db")
    with full.writing():
        Task.delete().where(Task.id == "idle").execute()
    write_snapshot(full, settings.snapshot)
    crashed = settings.data_dir / "crashed"
    crashed.mkdir()
    for name in ("task.db", "task.db-wal", "tasks.pkl"):  # what a killed process leaves: commits in the log alone
        shutil.copyfile(settings.data_dir / name, crashed / name)
    there = make_settings(crashed)
    told: list[str] = []
    assert restore(there, copy, told.append) == 5
    assert restore(there, copy, told.append) == 5  # in the same second: nothing that was set aside is lost
    asides = [Path(name) for name in told]
    assert [re.sub(r"\d{8}-\d{6}", "", path.name).replace("-2", "") for path in asides] == [
        "task.db.before-restore-", "task.db.before-restore--wal", "tasks.pkl.before-restore-",
        "task.db.before-restore-"]
    assert len({path for path in asides if path.exists()}) == 4
    assert not there.snapshot.exists()
    assert restore(there, asides[0]) == 4
    assert sorted(row[1] for row in rows(there.database)["task"]) == ["cron", "once", "paused", "备份"]
    assert restore(there, asides[2]) == 4


def test_from_a_snapshot_every_task_comes_back_as_it_was(full: Store, settings: Settings) -> None:
    write_snapshot(full, settings.snapshot)
    before = rows(full.path)["task"]
    full.close()
    settings.database.unlink()
    assert restore(settings, settings.snapshot) == 5
    revision = -1
    after = rows(settings.database)
    assert [row[:revision] for row in after["task"]] == [row[:revision] for row in before]
    assert after["task_log"] == []
    assert settings.snapshot.exists()
    again = Store(settings.database)
    again.open()
    with again.reading():
        task = Task.get(Task.id == "备份")
    assert (task.run_count, task.failure_count, task.last_result) == (7, 2, "failure")
    assert (task.anchor_at, task.next_run_at) == (SCHEDULED_AT, SCHEDULED_AT + timedelta(minutes=15))
    TaskService(again, settings, HandClock()).create(a_task(id="new"))
    with again.reading():
        assert Task.get(Task.id == "new").key == 7
    again.close()


def test_a_snapshot_without_tasks_gives_an_empty_store(store: Store, settings: Settings) -> None:
    write_snapshot(store, settings.snapshot)
    store.close()
    assert restore(settings, settings.snapshot) == 0
    assert rows(settings.database)["task"] == []


def test_a_restore_makes_the_folder_of_a_new_store(full: Store, settings: Settings, tmp_path: Path) -> None:
    copy = backup(settings, settings.backup_dir / "copy.db")
    there = make_settings(tmp_path / "elsewhere" / "data")
    assert restore(there, copy) == 5
    assert rows(there.database) == rows(copy)


def test_a_restore_is_refused_while_a_scheduler_runs(full: Store, settings: Settings) -> None:
    copy = backup(settings, settings.backup_dir / "copy.db")
    write_snapshot(full, settings.snapshot)
    lock = InstanceLock(settings.database)
    lock.acquire()
    before = files(settings.data_dir)
    for source in (copy, settings.snapshot):
        with pytest.raises(SchedulerRunning, match=str(os.getpid())) as told:
            restore(settings, source)
        assert told.value.exit_code == 3
    assert files(settings.data_dir) == before
    lock.release()
    full.close()
    assert restore(settings, copy) == 5


@pytest.mark.parametrize("listed", [True, False])
@pytest.mark.parametrize("spoil", SPOILT)
def test_a_spoilt_backup_is_refused_and_nothing_is_changed(full: Store, settings: Settings, listed: bool,
                                                           spoil: Callable[[Path], None]) -> None:
    copy = backup(settings, settings.backup_dir / "copy.db")
    full.close()
    spoil(copy)
    if not listed:
        copy.with_name("copy.db.sha256").unlink()
    refused(settings, copy)


def refused(settings: Settings, source: Path) -> DingshiError:
    before = files(settings.data_dir)
    for code in ("zh", "en"):
        with speaking(code), pytest.raises(DingshiError) as told:
            restore(settings, source)
        assert bool(re.search("[\u4e00-\u9fff]", str(told.value).replace(str(source), ""))) == (code == "zh")
    assert str(source) in str(told.value)
    assert ".restore-" not in str(told.value)
    assert told.value.exit_code == 1
    assert files(settings.data_dir) == before
    return told.value


def test_one_flipped_bit_is_noticed_by_the_list(full: Store, settings: Settings) -> None:
    copy = backup(settings, settings.backup_dir / "copy.db")
    full.close()
    content = bytearray(copy.read_bytes())
    at = content.index("备份".encode())
    content[at + 2] ^= 1
    copy.write_bytes(content)
    assert "SHA-256" in str(refused(settings, copy))
    digest = hashlib.sha256(content).hexdigest().upper()
    copy.with_name("copy.db.sha256").write_text(f"{digest} *copy.db\r\n", "ascii")  # as another program lists it
    assert restore(settings, copy) == 5


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def hostile(path: Path) -> None:
    path.write_bytes(pickle.dumps({"tasks": [os.getcwd]}))


@pytest.mark.parametrize("spoil", [flip, cut_off, empty, text, hostile])
def test_a_spoilt_snapshot_is_refused_and_nothing_is_changed(full: Store, settings: Settings,
                                                             spoil: Callable[[Path], None]) -> None:
    write_snapshot(full, settings.snapshot)
    full.close()
    spoil(settings.snapshot)
    refused(settings, settings.snapshot)


def test_a_folder_nothing_and_the_store_itself_are_refused(full: Store, settings: Settings) -> None:
    full.close()
    assert "There is no file" in str(refused(settings, settings.data_dir / "absent.db"))
    assert "cannot be read" in str(refused(settings, settings.data_dir))
    assert "the store itself" in str(refused(settings, settings.database))
    copy = settings.data_dir / "secret.db"
    copy.write_bytes(settings.database.read_bytes())
    with locked(copy, mode=0), pytest.raises(DingshiError, match=r"secret\.db cannot be read"):
        restore(settings, copy)
    assert restore(settings, copy) == 5


def test_a_restore_that_fails_half_way_puts_everything_back(full: Store, settings: Settings, tmp_path: Path) -> None:
    copy = backup(settings, settings.backup_dir / "copy.db")
    full.close()
    folder = tmp_path / "snapshots"
    folder.mkdir()
    there = make_settings(settings.data_dir, snapshot=folder / "tasks.pkl")
    there.snapshot.write_bytes(b"kept")
    before = files(settings.data_dir)
    with locked(folder), pytest.raises(DingshiError, match=r"could not be replaced.*nothing was changed"):
        restore(there, copy)
    assert files(settings.data_dir) == before
    assert files(folder) == {"tasks.pkl": hashlib.sha256(b"kept").hexdigest()}
    assert restore(there, copy) == 5


def test_a_folder_that_cannot_be_written_is_told_before_anything_is_done(full: Store, settings: Settings,
                                                                        tmp_path: Path) -> None:
    copy = backup(settings, tmp_path / "copy.db")
    full.close()
    before = files(settings.data_dir)
    with locked(settings.data_dir), pytest.raises(DingshiError, match="write permission") as told:
        restore(settings, copy)
    assert told.value.exit_code == 5
    assert files(settings.data_dir) == before


def add_migration(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """The program as it will be after an update."""
    shutil.copytree(store_module.MIGRATIONS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "0002_note.py").write_text('''"""A note for each task."""

from typing import Any

from peewee import TextField


def up(migrator: Any, db: Any) -> None:
    migrator.migrate(migrator.add_column("task", "note", TextField(default="")))
''', encoding="utf-8")
    monkeypatch.setattr(store_module, "MIGRATIONS", folder)


def test_a_backup_of_an_older_version_is_brought_up_to_date(full: Store, settings: Settings, tmp_path: Path,
                                                            monkeypatch: pytest.MonkeyPatch) -> None:
    copy = backup(settings, settings.backup_dir / "copy.db")
    full.close()
    wanted = rows(copy)
    add_migration(monkeypatch, tmp_path / "migrations")
    assert restore(settings, copy) == 5
    assert rows(copy) == wanted
    found = rows(settings.database)
    assert found["task"] == [(*row, "") for row in wanted["task"]]
    assert found["task_log"] == wanted["task_log"]


def test_a_backup_of_a_newer_version_is_refused(full: Store, settings: Settings, tmp_path: Path,
                                                monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as newer:
        add_migration(newer, tmp_path / "migrations")
        full.migrate()
        copy = backup(settings, settings.backup_dir / "copy.db")
    full.close()
    assert "newer Dingshi" in str(refused(settings, copy))
