"""Copies of the store, made while it is in use, and brought back (P6)."""

import logging
import os
import sqlite3
import uuid
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from dashboard.config import Settings
from dashboard.engine import snapshot
from dashboard.engine.lock import InstanceLock
from dashboard.errors import Conflict, DingshiError
from dashboard.i18n import gettext
from dashboard.models import Revision, Task
from dashboard.models.store import APPLICATION_ID, Store

log = logging.getLogger("dingshi.store")


def backup(settings: Settings, target: Path) -> Path:
    """A copy of the store in one step, from a connection of its own, whatever runs; checked before it gets its name.

    ``target`` may be a folder. Raises Conflict if the file is there already, DingshiError if it cannot be written.
    """
    if target.is_dir():
        target = target / f"task-{_stamp()}.db"
    if target.exists():
        raise Conflict(gettext("%(path)s is there already; a backup overwrites nothing.", path=target))
    fresh = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(settings.database, timeout=10)) as source, \
                closing(sqlite3.connect(fresh)) as copy:
            source.backup(copy, pages=-1)  # in steps it would start anew at every commit of others
        _refuse_bad(fresh)
        fresh.replace(target)
    except (OSError, sqlite3.Error) as error:
        raise DingshiError(gettext("The backup %(path)s could not be written: %(error)s", path=target,
                                   error=error)) from error
    finally:
        fresh.unlink(missing_ok=True)
    log.info("backup written %s", target)
    return target


def restore(settings: Settings, source: Path, told: Callable[[str], None] = lambda path: None) -> int:
    """Puts a backup, or the tasks of a ``tasks.pkl``, in the place of the store; what was there is set aside beside
    it. Returns the number of tasks. Raises SchedulerRunning, DingshiError if ``source`` is not good; nothing is
    changed then."""
    if not source.exists():
        raise DingshiError(gettext("There is no file %(path)s.", path=source))
    lock = InstanceLock(settings.database)
    lock.acquire()
    fresh = settings.database.with_name(f"{settings.database.name}.restore-{uuid.uuid4().hex}")
    try:
        is_database = source.read_bytes()[:16] == b"SQLite format 3\0"
        count = _from_backup(source, fresh) if is_database else _from_snapshot(source, fresh)
        for path in _set_aside(settings, source):
            told(str(path))
        fresh.replace(settings.database)
    finally:
        for suffix in ("", "-wal", "-shm"):
            Path(f"{fresh}{suffix}").unlink(missing_ok=True)
        lock.release()
    log.warning("store restored from %s: %d tasks", source, count)
    return count


def newest_good(folder: Path) -> Path | None:
    """The newest backup in ``folder`` that passes every check."""
    for path in sorted(folder.glob("*.db"), key=lambda found: found.stat().st_mtime, reverse=True):
        try:
            _refuse_bad(path)
        except (DingshiError, OSError, sqlite3.Error):
            continue
        return path
    return None


def _refuse_bad(path: Path) -> None:
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as copy:
        if copy.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
            raise DingshiError(gettext("%(path)s is no backup of Dingshi.", path=path))
        said = copy.execute("PRAGMA quick_check").fetchall()
    if said != [("ok",)]:
        raise DingshiError(gettext("%(path)s is damaged: %(words)s", path=path, words=said[0][0]))


def _from_backup(source: Path, fresh: Path) -> int:
    try:
        _refuse_bad(source)
        with closing(sqlite3.connect(f"{source.resolve().as_uri()}?mode=ro", uri=True)) as given, \
                closing(sqlite3.connect(fresh)) as copy:
            given.backup(copy, pages=-1)
    except sqlite3.Error as error:
        raise DingshiError(gettext("%(path)s is damaged: %(words)s", path=source, words=error)) from error
    store = Store(fresh)
    store.open()
    store.migrate()
    with store.reading():
        count = int(Task.select().count())
    store.checkpoint()
    store.close()
    return count


def _from_snapshot(source: Path, fresh: Path) -> int:
    try:
        tasks = snapshot.read(source)["tasks"]
    except snapshot.SnapshotBad as error:
        raise DingshiError(gettext("%(path)s is neither a backup nor a good snapshot: %(words)s", path=source,
                                   words=error)) from error
    store = Store(fresh)
    store.create()
    store.open()
    with store.writing():
        for task in tasks:
            Task(**snapshot.values(task)).save(force_insert=True)
        Revision.update(last_key=max((task["key"] for task in tasks), default=0)).execute()
    store.checkpoint()
    store.close()
    return len(tasks)


def _set_aside(settings: Settings, source: Path) -> list[Path]:
    """The present store, under a name that tells when."""
    stamp, moved = _stamp(), []
    for suffix in ("", "-wal", "-shm"):
        path = Path(f"{settings.database}{suffix}")
        if path.exists() and path.resolve() != source.resolve():
            aside = path.with_name(f"{settings.database.name}.before-restore-{stamp}{suffix}")
            path.replace(aside)
            moved.append(aside)
    return moved


def _stamp() -> str:
    return datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
