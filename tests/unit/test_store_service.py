"""The store as a whole: opened, made, updated; and what is said, and left as it is, when it cannot be used."""

import gc
import hashlib
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from dashboard.config import ROOT, Settings
from dashboard.engine import snapshot
from dashboard.engine.lock import InstanceLock
from dashboard.errors import DingshiError, SchedulerRunning, StoreBusy, StoreDamaged, StoreReadOnly
from dashboard.i18n import speaking
from dashboard.models import MODELS, Task, store_files
from dashboard.models import store as store_module
from dashboard.models.store import Store
from dashboard.models.store_files import copy_files, file_uri, place
from dashboard.services import where
from dashboard.services.backup import backup
from dashboard.services.backup_file import refuse_bad
from dashboard.services.store_service import is_running, looking, migrate, open_for_reading, open_store, remedy
from dashboard.services.task_service import TaskService
from dashboard.services.where import mounted_kind, network_of, refuse_network
from tests.factories import SCHEDULED_AT, HandClock, a_task, make_settings, make_store
from tests.modes import locked


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return make_settings(tmp_path / "data")


@pytest.fixture(autouse=True)
def _temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))


@pytest.fixture
def filled(settings: Settings) -> Iterator[Store]:
    """A store of 40 tasks: more than a page of them."""
    store = make_store(settings.data_dir)
    TaskService(store, settings, HandClock()).create_all([a_task(id=f"任务{n}") for n in range(40)])
    yield store
    store.close()


def files(folder: Path) -> dict[str, str]:
    """Every file by its content, but for those of the lock and of SQLite's shared memory."""
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(folder.rglob("*")) if path.is_file() and not path.name.endswith((".lock", "-shm"))}


def write_snapshot(store: Store, path: Path) -> None:
    with store.reading():
        snapshot.write(path, snapshot.content(Task.select(), store.meta("store_id"), SCHEDULED_AT))


def count(store: Store) -> int:
    with store.reading():
        return int(Task.select().count())


def crash(settings: Settings, folder: Path) -> Settings:
    """What a killed process leaves in ``folder``: commits that stand in the write-ahead log alone."""
    folder.mkdir()
    for part in ("", "-wal"):
        shutil.copyfile(f"{settings.database}{part}", folder / f"task.db{part}")
    return make_settings(folder)


# --- opened and made --------------------------------------------------------------------------------------------


def test_there_is_none_yet(settings: Settings) -> None:
    for opening in (open_store, open_for_reading):
        with pytest.raises(DingshiError, match=r"no store yet.*python run.py init") as told:
            opening(settings)
        assert (told.value.exit_code, str(settings.database) in str(told.value)) == (1, True)
    assert not settings.data_dir.exists()


def test_it_is_made_when_asked_for_and_found_from_then_on(settings: Settings) -> None:
    store = open_store(settings, create=True)
    store_id = store.meta("store_id")
    store.close()
    again = open_store(settings)
    assert again.meta("store_id") == store_id
    again.probe()
    again.close()
    assert sorted(files(settings.data_dir)) == ["task.db"]


def test_two_that_make_it_at_once_make_one(settings: Settings) -> None:
    environ = {**os.environ, "DINGSHI_DATA_DIR": str(settings.data_dir), "DINGSHI_LANGUAGE": "en"}
    makers = [subprocess.Popen([sys.executable, str(ROOT / "run.py"), "init"], env=environ, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT) for _ in range(3)]
    said = [maker.communicate(timeout=60)[0] for maker in makers]
    assert [maker.returncode for maker in makers] == [0, 0, 0], said
    assert (settings.data_dir / "scheduler.log").read_text("utf-8").count("store created") == 1
    store = open_store(settings)
    assert store.meta("store_id")
    store.close()


def test_a_scheduler_is_seen_while_it_runs(settings: Settings) -> None:
    lock = InstanceLock(settings.database)
    assert not is_running(settings)
    lock.acquire()
    assert is_running(settings)
    lock.release()
    assert not is_running(settings)


# --- lost -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("create", [False, True])
def test_gone_while_the_snapshot_holds_tasks(filled: Store, settings: Settings, create: bool) -> None:
    write_snapshot(filled, settings.snapshot)
    filled.close()
    settings.database.unlink()
    before = files(settings.data_dir)
    for code in ("zh", "en"):
        with speaking(code), pytest.raises(StoreDamaged) as told:
            open_store(settings, create=create)
        assert f'python run.py db restore "{settings.snapshot}"' in str(told.value)
        assert "40" in str(told.value)
    assert told.value.exit_code == 4
    assert files(settings.data_dir) == before


def test_gone_while_only_a_backup_holds_tasks(filled: Store, settings: Settings) -> None:
    copy = backup(settings, settings.backup_dir)
    filled.close()
    settings.database.unlink()
    settings.snapshot.write_bytes(b"spoilt")
    before = files(settings.data_dir)
    with pytest.raises(StoreDamaged, match="backup with 40 tasks") as told:
        open_store(settings, create=True)
    assert f'python run.py db restore "{copy}"' in str(told.value)
    assert files(settings.data_dir) == before


def test_neither_an_empty_snapshot_nor_an_empty_backup_stands_in_the_way(settings: Settings) -> None:
    store = make_store(settings.data_dir)
    write_snapshot(store, settings.snapshot)
    backup(settings, settings.backup_dir)
    store.close()
    settings.database.unlink()
    open_store(settings, create=True).close()


def test_a_snapshot_that_cannot_be_read_may_hold_tasks(settings: Settings) -> None:
    settings.data_dir.mkdir()
    settings.snapshot.write_bytes(b"?")
    with locked(settings.snapshot, mode=0), pytest.raises(StoreReadOnly, match=r"tasks\.pkl cannot be read") as told:
        open_store(settings, create=True)
    assert told.value.path == str(settings.snapshot)
    assert not settings.database.exists()


# --- spoilt -----------------------------------------------------------------------------------------------------


def zero_header(path: Path) -> None:
    path.write_bytes(bytes(100) + path.read_bytes()[100:])


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


def garbage_page(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-4096:] = b"\xa5" * 4096
    path.write_bytes(content)


SPOILT: list[Callable[[Path], None]] = [zero_header, cut_off, empty, text, other_program, garbage_page]


@pytest.mark.parametrize("spoil", SPOILT)
def test_a_spoilt_store_is_refused_left_as_it_is_and_the_way_back_is_named(filled: Store, settings: Settings,
                                                                          spoil: Callable[[Path], None]) -> None:
    copy = backup(settings, settings.backup_dir)
    write_snapshot(filled, settings.snapshot)
    filled.close()
    spoil(settings.database)
    before = files(settings.data_dir)
    with pytest.raises(StoreDamaged) as told:
        open_store(settings, create=True)
    said = str(told.value)
    assert told.value.exit_code == 4
    for words in (str(settings.database), "left as it is", f'restore "{copy}"', f'restore "{settings.snapshot}"'):
        assert words in said
    assert said.count("db restore") == 3
    if spoil is not garbage_page:  # found only where every page is looked at: at the start of a scheduler
        for opening in (open_store, open_for_reading):
            with pytest.raises(StoreDamaged):
                opening(settings)
    assert {name: text for name, text in files(settings.data_dir).items() if not name.endswith("-wal")} == before


def test_the_remedy_names_what_there_is(filled: Store, settings: Settings) -> None:
    assert remedy(settings) == ""
    settings.snapshot.write_bytes(b"spoilt")
    assert remedy(settings) == ""
    write_snapshot(filled, settings.snapshot)
    assert remedy(settings) == (f"The snapshot of {when(settings.snapshot)} holds 40 tasks, without their logs: "
                                f'python run.py db restore "{settings.snapshot}".')
    copy = backup(settings, settings.backup_dir)
    said = remedy(settings)
    assert said.startswith(f'The newest good backup is of {when(copy)}: python run.py db restore "{copy}". The snap')
    with locked(settings.snapshot, mode=0):
        assert remedy(settings).endswith(f'"{copy}".')


def when(path: Path) -> str:
    return datetime.fromtimestamp(path.stat().st_mtime, ZoneInfo("Asia/Shanghai")).strftime("%Y-%m-%d %H:%M")


# --- read-only --------------------------------------------------------------------------------------------------


def lock_file(settings: Settings) -> list[Path]:
    return [settings.database]


def lock_folder(settings: Settings) -> list[Path]:
    return [settings.data_dir]


def lock_both(settings: Settings) -> list[Path]:
    return [settings.database, settings.data_dir]


READ_ONLY = [lock_file, lock_folder, lock_both]


def refuse_changes(settings: Settings) -> None:
    with pytest.raises(StoreReadOnly, match=r"task\.db cannot be written.*write permission") as told:
        store = open_store(settings)
        try:
            TaskService(store, settings, HandClock()).create(a_task(id="new"))
        finally:
            store.close()
    assert (told.value.exit_code, told.value.path) == (5, str(settings.database))


@pytest.mark.parametrize("what", READ_ONLY)
@pytest.mark.parametrize("crashed", [False, True])
def test_a_store_that_cannot_be_written_is_read_and_refuses_changes(filled: Store, settings: Settings, tmp_path: Path,
                                                                    crashed: bool,
                                                                    what: Callable[[Settings], list[Path]]) -> None:
    there = crash(settings, tmp_path / "crashed") if crashed else settings
    filled.close()
    before = files(there.data_dir)
    with locked(*what(there)):
        store = open_for_reading(there)
        assert count(store) == 40  # the commits in the log, too
        assert TaskService(store, there).get("任务7").id == "任务7"
        store.close()
        refuse_changes(there)
        assert files(there.data_dir) == before
    assert list((tmp_path / "temporary").iterdir()) == []  # the copy is gone
    again = open_store(there)
    assert count(again) == 40
    again.probe()
    again.close()


def test_a_store_is_written_as_soon_as_its_mode_is_right(filled: Store, settings: Settings, tmp_path: Path) -> None:
    filled.close()
    (tmp_path / "other").mkdir()
    with locked(tmp_path / "other"):  # root or not: from here on modes count
        settings.database.chmod(0o444)
        refuse_changes(settings)
        open_for_reading(settings).close()
        settings.database.chmod(0o644)
        store = open_store(settings)
        store.probe()
        store.close()


def test_a_read_only_folder_without_a_store(settings: Settings) -> None:
    settings.data_dir.mkdir()
    with locked(settings.data_dir), pytest.raises(StoreReadOnly, match="write permission") as told:
        open_store(settings, create=True)
    assert told.value.exit_code == 5
    assert list(settings.data_dir.iterdir()) == []


@pytest.mark.parametrize("what", [lock_file, lock_folder])
def test_a_store_that_cannot_even_be_read(filled: Store, settings: Settings, tmp_path: Path,
                                          what: Callable[[Settings], list[Path]]) -> None:
    filled.close()
    before = files(settings.data_dir)
    with locked(*what(settings), mode=0):
        for opening in (open_store, open_for_reading):
            with pytest.raises(StoreReadOnly) as told:
                opening(settings)
            assert str(settings.database) in str(told.value)
    assert files(settings.data_dir) == before
    assert list((tmp_path / "temporary").iterdir()) == []


def test_an_abandoned_copy_goes_with_its_object(filled: Store, settings: Settings, tmp_path: Path) -> None:
    filled.close()
    with locked(settings.data_dir):
        copy = open_for_reading(settings)
        assert copy.path.parent.parent == tmp_path / "temporary"
        copy.database.close()
        del copy
    gc.collect()
    assert list((tmp_path / "temporary").iterdir()) == []


# --- looked at --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("crashed", [False, True])
def test_looking_changes_nothing_at_all(filled: Store, settings: Settings, tmp_path: Path, crashed: bool) -> None:
    there = crash(settings, tmp_path / "crashed") if crashed else settings
    filled.close()
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in there.data_dir.iterdir()}
    with looking(there) as store:
        store.check()
        assert count(store) == 40
        if not crashed:  # else it is a copy
            with pytest.raises(StoreReadOnly), store.writing():
                Task.delete().execute()
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in there.data_dir.iterdir()} == before


def test_looking_while_a_scheduler_writes_sees_what_is_committed(filled: Store, settings: Settings) -> None:
    lock = InstanceLock(settings.database)
    lock.acquire()
    TaskService(filled, settings, HandClock()).create(a_task(id="just-now"))
    with looking(settings) as store:
        assert store.path == settings.database  # itself, not a copy
        assert count(store) == 41
    filled.database.bind(MODELS)  # to the one opened last
    TaskService(filled, settings, HandClock()).create(a_task(id="later"))
    assert count(filled) == 42
    lock.release()


def test_a_copy_waits_for_a_checkpoint_to_end(filled: Store, settings: Settings, tmp_path: Path,
                                              monkeypatch: pytest.MonkeyPatch) -> None:
    crashed = crash(settings, tmp_path / "crashed").database
    filled.close()
    waits: list[float] = []
    copied = shutil.copyfile

    def copy(source: Path, target: Path) -> None:
        copied(source, target)
        if len(waits) < 2:  # each time a checkpoint passes while we copy
            with closing(sqlite3.connect(crashed)) as other:
                other.execute("CREATE TABLE IF NOT EXISTS passing (x)")
                other.execute("INSERT INTO passing VALUES (1)")
                other.commit()

    monkeypatch.setattr(store_files, "COPY_WAIT_SECONDS", 0)
    monkeypatch.setattr("time.sleep", waits.append)
    monkeypatch.setattr(shutil, "copyfile", copy)
    copy_files(crashed, tmp_path / "copy.db")
    assert len(waits) == 2
    store = Store(tmp_path / "copy.db")
    store.open(check=True)
    assert count(store) == 40
    store.close()
    waits.clear()
    monkeypatch.setattr(store_files, "COPY_TRIES", 1)
    with pytest.raises(StoreBusy):
        copy_files(crashed, tmp_path / "copy.db")


# --- updated ----------------------------------------------------------------------------------------------------


@pytest.fixture
def updated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Makes this program the next version."""
    folder = tmp_path / "migrations"
    shutil.copytree(store_module.MIGRATIONS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "0002_note.py").write_text('''"""A note for each task."""

from typing import Any

from peewee import TextField


def up(migrator: Any, db: Any) -> None:
    migrator.migrate(migrator.add_column("task", "note", TextField(default="")))
''', encoding="utf-8")
    return lambda: monkeypatch.setattr(store_module, "MIGRATIONS", folder)


def test_an_older_store_is_brought_up_to_date_after_a_backup(filled: Store, settings: Settings,
                                                             updated: Callable[[], None]) -> None:
    filled.close()
    updated()
    store = open_store(settings)
    assert store.pending() == []
    assert count(store) == 40
    assert migrate(settings, store) == []
    store.close()
    (copy,) = settings.backup_dir.glob("*.db")
    assert copy.name.startswith("before-update-")
    refuse_bad(copy)
    with closing(sqlite3.connect(copy)) as raw:
        assert "note" not in [row[1] for row in raw.execute("PRAGMA table_info(task)")]
    open_store(settings).close()
    assert len(list(settings.backup_dir.glob("*.db"))) == 1  # once


def test_an_older_store_is_not_touched_while_a_scheduler_runs(filled: Store, settings: Settings,
                                                              updated: Callable[[], None]) -> None:
    filled.close()
    lock = InstanceLock(settings.database)
    lock.acquire()
    updated()
    before = files(settings.data_dir)
    with pytest.raises(SchedulerRunning):
        open_store(settings)
    assert files(settings.data_dir) == before
    lock.release()


def test_an_older_store_that_cannot_be_written_is_read_all_the_same(filled: Store, settings: Settings,
                                                                    updated: Callable[[], None]) -> None:
    filled.close()
    updated()
    with locked(settings.data_dir):
        store = open_for_reading(settings)
        assert store.pending() == []
        assert count(store) == 40
        store.close()
    assert not settings.backup_dir.exists()


def test_no_update_without_its_backup(filled: Store, settings: Settings, updated: Callable[[], None]) -> None:
    filled.close()
    settings.backup_dir.write_text("in the way", encoding="utf-8")
    updated()
    with pytest.raises(DingshiError, match="could not be written"):
        open_store(settings)
    with closing(sqlite3.connect(settings.database)) as raw:
        assert "note" not in [row[1] for row in raw.execute("PRAGMA table_info(task)")]


def test_a_store_of_a_newer_version_is_refused(filled: Store, settings: Settings, updated: Callable[[], None],
                                               monkeypatch: pytest.MonkeyPatch) -> None:
    old = store_module.MIGRATIONS
    updated()
    filled.migrate()
    filled.close()
    monkeypatch.setattr(store_module, "MIGRATIONS", old)
    before = files(settings.data_dir)
    for opening in (open_store, open_for_reading):
        with pytest.raises(DingshiError, match=r"newer Dingshi.*Update this one") as told:
            opening(settings)
        assert told.value.exit_code == 1
    assert files(settings.data_dir) == before


# --- where it lies ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("path", "kind"), [
    ("/data/task.db", None), ("/mnt/nas/data/task.db", "nfs4"), ("/mnt/nas", "nfs4"), ("/mnt/nas2/task.db", None),
    ("/mnt/nas/local/task.db", None), ("/srv/share/x", "fuse.sshfs"), ("/twice/x", "CIFS"), ("/", None),
])
def test_the_innermost_mount_decides(path: str, kind: str | None) -> None:
    mounts = [("/", "ext4"), ("/mnt/nas", "nfs4"), ("/mnt/nas/local", "xfs"), ("/srv/share/", "fuse.sshfs"),
              ("/twice", "ext4"), ("/twice", "CIFS")]
    assert mounted_kind(path, mounts) == kind


def test_a_network_drive_is_refused_before_anything_is_made(settings: Settings,
                                                            monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(where, "network_of", lambda path: "nfs4" if path == settings.database else None)
    for code, words in (("en", "network drive (nfs4)"), ("zh", "网络驱动器")):
        with speaking(code):
            with pytest.raises(DingshiError, match="data_dir") as told:
                open_store(settings, create=True)
            assert words in str(told.value)
            with pytest.raises(DingshiError, match="data_dir"):
                open_for_reading(settings)
    assert not settings.data_dir.exists()


def test_folders_of_this_machine_are_fine(tmp_path: Path) -> None:
    assert network_of(tmp_path / "not" / "there") is None
    refuse_network(tmp_path)


@pytest.mark.skipif(sys.platform != "win32", reason="Windows only: servers in paths")
def test_a_path_of_a_server_is_a_network_drive() -> None:
    assert network_of(Path(r"\\nas\tasks\task.db")) == r"\\nas\tasks"


# --- files by name ----------------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX only: Windows allows no such names")
def test_names_that_mean_something_in_a_uri_are_opened_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "a?mode=memory#b%41 中.db"
    with closing(sqlite3.connect(file_uri(path, "rwc"), uri=True)) as raw:
        raw.execute("CREATE TABLE t (x)")
    assert [found.name for found in tmp_path.iterdir() if found.is_file()] == [path.name]
    with pytest.raises(sqlite3.OperationalError), closing(sqlite3.connect(file_uri(tmp_path / "no", "rw"), uri=True)):
        pass
    assert not (tmp_path / "no").exists()


def test_a_name_that_is_taken_is_not_given_again(tmp_path: Path) -> None:
    fresh, taken = tmp_path / "fresh", tmp_path / "taken"
    fresh.write_text("new", encoding="utf-8")
    taken.write_text("old", encoding="utf-8")
    assert not place(fresh, taken)
    assert (fresh.read_text("utf-8"), taken.read_text("utf-8")) == ("new", "old")
    assert place(fresh, tmp_path / "free")
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["free", "taken"]


def test_a_store_is_never_made_by_opening_it(tmp_path: Path) -> None:
    with pytest.raises(StoreReadOnly):
        Store(tmp_path / "task.db").open()
    assert not (tmp_path / "task.db").exists()


def test_times_of_files_are_told_in_the_configured_zone(filled: Store, settings: Settings) -> None:
    copy = backup(settings, settings.backup_dir)
    stamp = datetime.strptime(copy.stem[5:20], "%Y%m%d-%H%M%S").replace(tzinfo=ZoneInfo("Asia/Shanghai"))
    assert abs((datetime.now(UTC) - stamp).total_seconds()) < 60
