"""The doctor: what it finds in which state, in both languages, and that it leaves everything as it is."""

import hashlib
import os
import re
import shutil
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from dashboard.config import Settings, load
from dashboard.engine import snapshot
from dashboard.engine.lock import InstanceLock
from dashboard.i18n import LANGUAGES, speaking
from dashboard.models import Task
from dashboard.models import store as store_module
from dashboard.models.store import Store
from dashboard.servers import smtp_server
from dashboard.services import doctor, where
from dashboard.services.backup import backup
from dashboard.services.doctor import Finding, diagnose, has_reset_fault
from dashboard.services.task_service import TaskService
from tests.factories import SCHEDULED_AT, HandClock, a_task, make_settings, make_store
from tests.modes import locked

ALWAYS = ["versions", "settings", "zone", "folder", "log", "space", "store", "snapshot", "scheduler", "mail"]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return make_settings(tmp_path / "data", min_free_mb=1)


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    opened = make_store(settings.data_dir)
    yield opened
    opened.close()


def content(folder: Path) -> dict[str, tuple[str, int]]:
    return {str(path.relative_to(folder)): (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
            for path in sorted(folder.rglob("*")) if path.is_file()}


def found(settings: Settings, code: str) -> list[Finding]:
    """What is said under this code; checked in every language, and that nothing was changed by looking."""
    before = content(settings.data_dir.parent)
    told: dict[str, list[Finding]] = {}
    for language in LANGUAGES:
        with speaking(language):
            told[language] = diagnose(settings)
    assert content(settings.data_dir.parent) == before
    english, chinese = told["en"], told["zh"]
    assert [(one.code, one.level) for one in english] == [(one.code, one.level) for one in chinese]
    for one, other in zip(english, chinese, strict=True):
        if one.code != "versions":
            assert re.search("[\u4e00-\u9fff]", other.text), other
        commands = re.sub(r"python\s+run\.py[^\n]*|chmod[^\n]*", "", one.remedy)
        assert bool(commands) == bool(re.search("[\u4e00-\u9fff]", other.remedy)), other
        advised = one.remedy or re.search("Update this one|Set data_dir|Give the user", one.text)
        assert bool(advised) == (one.level != "ok"), one  # what to do, wherever something is wrong
    assert [one.code for one in english if one.code in ALWAYS] and set(ALWAYS) <= {one.code for one in english}
    return [one for one in english if one.code == code]


def the(settings: Settings, code: str) -> Finding:
    (one,) = found(settings, code)
    return one


def write_snapshot(store: Store, path: Path) -> None:
    with store.reading():
        snapshot.write(path, snapshot.content(Task.select(), store.meta("store_id"), SCHEDULED_AT))


# --- all is well ------------------------------------------------------------------------------------------------


def test_nothing_is_wrong_with_a_good_installation(store: Store, settings: Settings,
                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    TaskService(store, settings, HandClock()).create_all([a_task(id=f"t{n}") for n in range(3)])
    write_snapshot(store, settings.snapshot)
    backup(settings, settings.backup_dir)
    server = smtp_server("work", {"preset": "163", "user": "a@163.com", "password": "x"})
    good = replace(settings, smtp={"work": server})
    store.close()
    lock = InstanceLock(settings.database)
    lock.acquire()
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 51, 3))
    findings = {one.code: one for one in diagnose(good)}
    lock.release()
    assert {one.level for one in findings.values()} == {"ok"}
    assert {one.remedy for one in findings.values()} == {""}
    assert list(findings) == [*ALWAYS[:-2], "backup", *ALWAYS[-2:]]
    assert "tasks: 3, log rows: 0, 1 MB" in findings["store"].text
    assert "2026-11-23 18:00 holds 3 tasks" in findings["snapshot"].text
    assert findings["mail"].text == "Mail servers: work (smtp.163.com:465, ssl)"
    assert sqlite3.sqlite_version in findings["versions"].text


# --- the store --------------------------------------------------------------------------------------------------


def test_no_store_yet(settings: Settings) -> None:
    one = the(settings, "store")
    assert (one.level, one.remedy) == ("warning", "python run.py init")
    assert str(settings.database) in one.text
    assert found(settings, "backup") == []
    assert not settings.data_dir.exists()


def test_a_lost_store(store: Store, settings: Settings) -> None:
    TaskService(store, settings, HandClock()).create(a_task())
    write_snapshot(store, settings.snapshot)
    store.close()
    settings.database.unlink()
    one = the(settings, "store")
    assert (one.level, one.code) == ("problem", "store")
    assert f'python run.py db restore "{settings.snapshot}"' in one.remedy


def empty(path: Path) -> None:
    path.write_bytes(b"")


def text(path: Path) -> None:
    path.write_text("this is no database, " * 400, encoding="utf-8")


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def garbage_page(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-4096] + b"\xa5" * 4096)


@pytest.mark.parametrize("spoil", [empty, text, cut_off, garbage_page])
def test_a_damaged_store(store: Store, settings: Settings, spoil: Callable[[Path], None]) -> None:
    TaskService(store, settings, HandClock()).create(a_task())
    copy = backup(settings, settings.backup_dir)
    store.close()
    spoil(settings.database)
    one = the(settings, "store")
    assert one.level == "problem"
    assert str(settings.database) in one.text
    assert f'python run.py db restore "{copy}"' in one.remedy


def test_a_damaged_store_of_which_there_is_no_copy(settings: Settings) -> None:
    settings.data_dir.mkdir()
    text(settings.database)
    assert "python run.py init" in the(settings, "store").remedy


def test_what_a_killed_scheduler_left_is_looked_at_without_touching_it(store: Store, settings: Settings,
                                                                       tmp_path: Path) -> None:
    TaskService(store, settings, HandClock()).create(a_task())
    crashed = make_settings(tmp_path / "home" / "crashed", min_free_mb=1)
    crashed.data_dir.mkdir(parents=True)
    for name in ("task.db", "task.db-wal"):
        shutil.copyfile(settings.data_dir / name, crashed.data_dir / name)
    store.close()
    assert "tasks: 1," in the(crashed, "store").text


def test_a_store_of_an_older_and_of_a_newer_version(store: Store, settings: Settings, tmp_path: Path,
                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = store_module.MIGRATIONS, tmp_path / "migrations"
    shutil.copytree(old, new, ignore=shutil.ignore_patterns("__pycache__"))
    (new / "0002_next.py").write_text('"""Nothing."""\n\n\ndef up(migrator, db):\n    pass\n', encoding="utf-8")
    monkeypatch.setattr(store_module, "MIGRATIONS", new)
    store.close()
    one = the(settings, "store")
    assert (one.level, one.remedy) == ("warning", "python run.py db migrate")
    store.open()
    store.migrate()
    store.close()
    monkeypatch.setattr(store_module, "MIGRATIONS", old)
    one = the(settings, "store")
    assert one.level == "problem"
    assert "newer Dingshi" in one.text


def test_a_network_drive(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(where, "network_of", lambda path: "cifs")
    one = the(settings, "store")
    assert one.level == "problem"
    assert "network drive (cifs)" in one.text


# --- tasks ------------------------------------------------------------------------------------------------------


def test_tasks_that_cannot_run_and_tasks_that_failed(store: Store, settings: Settings) -> None:
    service = TaskService(store, settings, HandClock())
    mail = {"to": "a@b.cn", "title": "x", "body": "y"}
    service.create_all([*(a_task(id=f"t{n}") for n in range(9)), a_task(id="邮件", type="send_email", params=mail),
                        a_task(id="mail2", type="send_email", params={**mail, "server": "gone"})])
    with store.writing():
        Task.update(type="gone").where(Task.id == "t1").execute()
        Task.update(params={"command": 5}).where(Task.id == "t2").execute()
        Task.update(trigger={"type": "cron", "expression": "25:60"}).where(Task.id == "t3").execute()
        Task.update(last_result="failure").where(Task.id.startswith("t")).execute()
        Task.update(last_result="success").where(Task.id.in_(["t0", "t8"])).execute()
    store.close()
    one = the(settings, "tasks")
    assert one.level == "problem"
    assert one.text.startswith("3 tasks cannot run: t1 (type: There is no task type gone.")
    assert "t2 (params.command: " in one.text
    assert "t3 (trigger.expression: " in one.text
    one = the(settings, "runs")
    assert (one.level, one.text) == (
        "warning", "7 tasks did not succeed at their last run: t1, t2, t3, t4, t5 (+2)")
    assert "mail2, 邮件" in the(settings, "servers").text
    server = smtp_server("work", {"preset": "163", "user": "a@163.com", "password": "x"})
    one = the(replace(settings, smtp={"work": server}), "servers")
    assert one.text == "1 task names a server that nobody has set up: mail2"


def test_a_task_whose_time_has_gone_by_is_not_wrong(store: Store, settings: Settings) -> None:
    service = TaskService(store, settings, HandClock(SCHEDULED_AT - timedelta(days=999)))
    service.create(a_task(trigger={"type": "date", "run_date": "2024-05-01"}))
    store.close()
    assert found(settings, "tasks") == []


# --- snapshot and backups ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("raw", [b"", b"not a snapshot", b"\x80\x04N."])
def test_a_bad_snapshot(store: Store, settings: Settings, raw: bytes) -> None:
    store.close()
    settings.snapshot.write_bytes(raw)
    one = the(settings, "snapshot")
    assert one.level == "warning"
    assert str(settings.snapshot) in one.text


def test_backups_none_bad_old_and_good(store: Store, settings: Settings) -> None:
    store.close()
    folder = settings.backup_dir
    one = the(settings, "backup")
    assert (one.level, one.remedy) == ("warning", f'python run.py db backup "{folder}"')
    old = backup(settings, folder / "old.db")
    assert the(settings, "backup").level == "ok"
    assert str(old) in the(settings, "backup").text
    new = backup(settings, folder / "new.db")
    text(new)
    os.utime(old, (time.time() - 3600, time.time() - 3600))
    one = the(settings, "backup")
    assert one.level == "warning"
    assert str(old) in one.text
    assert "new.db, is damaged" in one.text
    new.unlink()
    os.utime(old, (1, 1))
    one = the(settings, "backup")
    assert (one.level, "1970-01-01 08:00" in one.text) == ("warning", True)
    text(old)
    assert the(settings, "backup").level == "problem"


# --- the machine ------------------------------------------------------------------------------------------------


def test_a_scheduler_is_named_by_its_process(store: Store, settings: Settings) -> None:
    store.close()
    one = the(settings, "scheduler")
    assert (one.level, one.remedy) == ("warning", "python run.py")
    lock = InstanceLock(settings.database)
    lock.acquire()
    one = the(settings, "scheduler")
    lock.release()
    assert one.level == "ok"
    assert f"process {os.getpid()}, since 20" in one.text


def test_a_nearly_full_disk(settings: Settings) -> None:
    one = the(replace(settings, min_free_mb=10**9), "space")
    assert one.level == "problem"
    assert f"{10**9} MB (min_free_mb)" in one.remedy
    assert str(settings.data_dir.parent) in one.text  # the data folder is not there yet


@pytest.mark.parametrize(("version", "faulty"), [
    ((3, 6, 23), False), ((3, 7, 0), True), ((3, 40, 1), True), ((3, 44, 5), True), ((3, 44, 6), False),
    ((3, 45, 1), True), ((3, 50, 6), True), ((3, 50, 7), False), ((3, 51, 2), True), ((3, 51, 3), False),
    ((4, 0, 0), False),
])
def test_an_sqlite_that_can_damage_a_store_is_told(settings: Settings, monkeypatch: pytest.MonkeyPatch,
                                                   version: tuple[int, int, int], faulty: bool) -> None:
    assert has_reset_fault(version) is faulty
    monkeypatch.setattr(sqlite3, "sqlite_version_info", version)
    monkeypatch.setattr(sqlite3, "sqlite_version", ".".join(map(str, version)))
    told = found(settings, "sqlite")
    assert len(told) == faulty
    for one in told:
        assert one.level == "warning"
        assert one.text.startswith(f"SQLite {'.'.join(map(str, version))} can damage")
        assert "3.51.3" in one.remedy


def test_files_and_folders_that_may_not_be_written(store: Store, settings: Settings) -> None:
    write_snapshot(store, settings.snapshot)
    settings.log_file.write_bytes(b"")
    store.close()
    with locked(settings.database, settings.snapshot, settings.log_file):
        told = found(settings, "folder")
        assert [str(settings.database) in told[0].text, str(settings.snapshot) in told[1].text] == [True, True]
        assert {one.level for one in [*told, the(settings, "log")]} == {"problem"}
        assert str(settings.log_file) in the(settings, "log").text
        assert the(settings, "store").level == "ok"  # it can be read
    with locked(settings.data_dir):
        assert str(settings.data_dir) in the(settings, "folder").text
        assert the(settings, "folder").level == "problem"
        assert the(settings, "log").level == "problem"
    assert the(settings, "folder").level == the(settings, "log").level == "ok"


def test_a_folder_that_would_have_to_be_made(settings: Settings, tmp_path: Path) -> None:
    there = replace(settings, database=tmp_path / "a" / "b" / "task.db")
    with locked(tmp_path):
        assert the(there, "folder").text.startswith(f"{tmp_path} may not be written")
    assert the(there, "folder").level == "ok"


def moved(settings: Settings, folder: Path) -> Settings:
    return replace(settings, database=folder / "task.db", snapshot=folder / "tasks.pkl", log_file=folder / "x.log")


def test_a_file_in_the_place_of_a_folder(settings: Settings, tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.write_text("mine", encoding="utf-8")
    for folder in (place, place / "inner"):
        there = moved(settings, folder)
        for code in ("folder", "log", "store"):
            assert f"{place} is a file" in the(there, code).text
            assert the(there, code).level == "problem"
        assert "init" not in the(there, "store").text + the(there, "store").remedy


def test_a_folder_in_the_place_of_the_log(settings: Settings) -> None:
    settings.log_file.mkdir(parents=True)
    assert "is a folder" in the(settings, "log").text


@pytest.mark.skipif(sys.platform != "linux", reason="Linux only: /proc")
def test_a_folder_that_nobody_can_make(settings: Settings) -> None:
    there = moved(settings, Path("/proc/nope"))
    for code in ("folder", "log"):
        assert (the(there, code).level, "/proc" in the(there, code).text) == ("problem", True)


def test_what_cannot_be_looked_at_is_told_and_the_rest_goes_on(store: Store, settings: Settings) -> None:
    store.close()
    with locked(settings.data_dir, mode=0):
        findings = {one.code: one.level for one in diagnose(settings)}
    assert findings["store"] == findings["snapshot"] == "problem"
    assert findings["mail"] == "warning"


def test_the_zone_and_what_the_clock_of_the_machine_shows(settings: Settings) -> None:
    here = time.localtime().tm_gmtoff // 3600
    same, other = (ZoneInfo(f"Etc/GMT{-(here + more):+d}") for more in (0, 5 if here < 5 else -5))
    one = the(replace(settings, timezone=same), "zone")
    assert f"those of {same.key}, where it is 20" in one.text
    assert "clock of this machine" not in one.text
    assert "The clock of this machine shows" in the(replace(settings, timezone=other), "zone").text


def with_file(settings: Settings, text: str, mode: int = 0o600) -> Settings:
    home = settings.data_dir.parent / "home"
    home.mkdir(exist_ok=True)
    (home / "dingshi.toml").write_text(text, encoding="utf-8")
    (home / "dingshi.toml").chmod(mode)
    read = load({}, root=home)
    return replace(settings, source=read.source, smtp=read.smtp, handler_dir=read.handler_dir)


MAIL = "[smtp.work]\npreset = '163'\nuser = 'a@163.com'\npassword = 'x'\n"


def test_the_settings_and_where_they_come_from(settings: Settings) -> None:
    assert the(settings, "settings").text == "Settings: no file, defaults"
    there = with_file(settings, MAIL)
    assert the(there, "settings").text == f"Settings: {there.source}"
    _, one = found(with_file(settings, "handler_dir = 'mine'"), "settings")
    assert one.level == "warning"
    assert "mine (handler_dir)" in one.text


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX only: modes of files")
def test_a_password_that_others_can_read(settings: Settings) -> None:
    there = with_file(settings, MAIL, 0o644)
    _, one = found(there, "settings")
    assert (one.level, one.remedy) == ("warning", f'chmod 600 "{there.source}"')
    assert len(found(with_file(settings, "port = 1", 0o644), "settings")) == 1  # no password in it


def test_mail_servers(settings: Settings) -> None:
    one = the(settings, "mail")
    assert one.level == "warning"
    assert "send_email" in one.text
    assert "[smtp.NAME]" in one.remedy
    two = MAIL + "[smtp.other]\nhost = 'mail.lan'\nsecurity = 'none'\nsender = 'a@b.cn'\n"
    one = the(with_file(settings, two), "mail")
    assert one.level == "warning"
    assert "other (mail.lan:25, none), work (smtp.163.com:465, ssl)" in one.text
    assert the(with_file(settings, two + "default = true\n"), "mail").level == "ok"


def test_a_check_that_fails_itself_is_told(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: Any) -> None:
        raise OSError("no such device")

    monkeypatch.setattr(shutil, "disk_usage", fail)
    one = the(settings, "space")
    assert (one.level, "no such device" in one.text) == ("problem", True)


def test_a_store_that_others_write_is_looked_at_all_the_same(store: Store, settings: Settings) -> None:
    lock = InstanceLock(settings.database)
    lock.acquire()
    with closing(sqlite3.connect(settings.database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        findings = {one.code: one for one in doctor.diagnose(settings)}
    lock.release()
    assert findings["store"].level == "ok"
