"""Copies of the store, made while it is in use, and brought back (P6)."""

import logging
import os
import sqlite3
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import datetime, tzinfo
from pathlib import Path

from peewee import PeeweeException

from dashboard.config import Settings
from dashboard.engine import files, snapshot
from dashboard.engine.lock import InstanceLock
from dashboard.errors import Conflict, DingshiError
from dashboard.i18n import gettext
from dashboard.models import Revision, Task
from dashboard.models.complaints import damaged
from dashboard.models.store import APPLICATION_ID, Store
from dashboard.models.store_files import PARTS, copy_files, file_uri, place
from dashboard.services.backup_file import examine, list_of, newest_good, refuse_changed, write_list
from dashboard.services.where import refuse_network

__all__ = ["backup", "backup_before_update", "list_of", "newest_good", "restore"]
log = logging.getLogger("dingshi.store")
WAIT_SECONDS = 10.0
UPDATE = "before-update-"


def backup(settings: Settings, target: Path) -> Path:
    """A copy of the store in one step, from a connection of its own, whatever runs; checked before it gets its name,
    its SHA-256 listed beside it.

    ``target``: a file, or a folder; a name without a suffix is a folder's. Raises Conflict if the file is there
    already, StoreDamaged if the store is not whole, DingshiError if the copy cannot be written.
    """
    part = None
    try:
        if not settings.database.exists():
            raise DingshiError(gettext("There is no store yet at %(path)s. Make it with: python run.py init",
                                       path=settings.database))
        if target.is_dir() or not (target.suffix or target.exists()):
            target = _free(target / f"task-{_stamp(settings.timezone)}.db")
        part = target.with_name(f".{target.name}.{os.getpid()}.part")
        target.parent.mkdir(parents=True, exist_ok=True)
        part.unlink(missing_ok=True)
        if not target.exists():
            _copy(settings.database, part)
        if target.exists() or not place(part, target):
            raise Conflict(gettext("%(path)s is there already; a backup overwrites nothing.", path=target))
        digest = write_list(target)
    except (OSError, sqlite3.Error) as error:
        raise DingshiError(gettext("The backup %(path)s could not be written: %(error)s", path=target,
                                   error=error)) from error
    finally:
        _remove(part)
    log.info("backup written %s sha256=%s", target, digest)
    return target


def backup_before_update(settings: Settings) -> Path:
    """One in the folder for backups, before migrations change the store; of those made so, the newest
    ``backup_keep`` stay. Raises as ``backup``."""
    written = backup(settings, _free(settings.backup_dir / f"{UPDATE}{_stamp(settings.timezone)}.db"))
    made = sorted(settings.backup_dir.glob(f"{UPDATE}*.db"), key=lambda path: path.stat().st_mtime_ns, reverse=True)
    for old in made[settings.backup_keep:]:
        with suppress(OSError):
            old.unlink()
            list_of(old).unlink(missing_ok=True)
    return written


def restore(settings: Settings, source: Path, told: Callable[[str], None] = lambda path: None) -> int:
    """Puts a backup, or the tasks of a ``tasks.pkl``, in the place of the store; what was there is set aside beside
    it, with a backup the snapshot too. Returns the number of tasks. Raises SchedulerRunning, StoreReadOnly,
    DingshiError if ``source`` is not good; nothing is changed then."""
    refuse_network(settings.database)
    is_backup = _is_backup(settings, source)
    lock = InstanceLock(settings.database)
    lock.acquire()
    fresh = settings.database.with_name(f"{settings.database.name}.restore-{uuid.uuid4().hex}")
    try:
        count = _from_backup(source, fresh) if is_backup else _from_snapshot(source, fresh)
        for path in _exchange(settings, fresh, with_snapshot=is_backup):
            told(str(path))
    finally:
        _remove(fresh)
        lock.release()
    log.warning("store restored from %s: %d tasks", source, count)
    return count


def _copy(source: Path, part: Path) -> None:
    with closing(sqlite3.connect(file_uri(source, "rw"), uri=True, timeout=WAIT_SECONDS)) as given, \
            closing(sqlite3.connect(file_uri(part, "rwc"), uri=True)) as copy:
        try:
            if given.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
                raise damaged(source, gettext("it is empty or belongs to another program"))
            given.backup(copy, pages=-1)  # in steps it would start anew at every commit of others
            copy.execute("PRAGMA journal_mode = DELETE")  # one file, which can be read in any folder
            said = copy.execute("PRAGMA quick_check").fetchall()
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise
            raise damaged(source, str(error)) from error
    if said != [("ok",)]:
        raise damaged(source, str(said[0][0]))


def _is_backup(settings: Settings, source: Path) -> bool:
    """Whether it is an SQLite file; else it should be a snapshot. Raises DingshiError."""
    try:
        if source.samefile(settings.database):
            raise DingshiError(gettext("%(path)s is the store itself.", path=source))
    except OSError:  # one of them is not there
        pass
    try:
        with source.open("rb") as file:
            return file.read(16) == b"SQLite format 3\0"
    except FileNotFoundError:
        raise DingshiError(gettext("There is no file %(path)s.", path=source)) from None
    except OSError as error:
        raise DingshiError(gettext("%(path)s cannot be read: %(words)s", path=source,
                                   words=error.strerror or error)) from error


def _from_backup(source: Path, fresh: Path) -> int:
    refuse_changed(source)
    try:
        copy_files(source, fresh)
        examine(fresh, "rw", source)
        with _opened(fresh) as store:
            if store.newer():
                raise DingshiError(gettext("%(path)s was made by a newer Dingshi. Update this one first.",
                                           path=source))
            store.migrate()
            with store.reading():
                return int(Task.select().count())
    except OSError as error:
        raise DingshiError(gettext("%(path)s could not be copied to %(folder)s: %(words)s", path=source,
                                   folder=fresh.parent, words=error.strerror or error)) from error
    except PeeweeException as error:
        raise DingshiError(gettext("%(path)s is damaged: %(words)s", path=source, words=error)) from error


def _from_snapshot(source: Path, fresh: Path) -> int:
    try:
        tasks = snapshot.read(source)["tasks"]
        Store(fresh).create()
        with _opened(fresh) as store, store.writing():
            for task in tasks:
                Task(**snapshot.values(task)).save(force_insert=True)
            Revision.update(last_key=max((task["key"] for task in tasks), default=0)).execute()
    except (snapshot.SnapshotBad, ValueError, PeeweeException) as error:  # ValueError: a text that is none
        raise DingshiError(gettext("%(path)s is neither a backup nor a good snapshot: %(words)s", path=source,
                                   words=error)) from error
    return len(tasks)


@contextmanager
def _opened(fresh: Path) -> Iterator[Store]:
    """A store that is one file when it is closed."""
    store = Store(fresh)
    store.open()
    try:
        yield store
        store.checkpoint()
    finally:
        store.close()


def _exchange(settings: Settings, fresh: Path, *, with_snapshot: bool) -> list[Path]:
    """Gives ``fresh`` the store's name; returns where what was there is now. All or nothing. Raises DingshiError."""
    stamp = _stamp(settings.timezone)
    name = _free(settings.database.with_name(f"{settings.database.name}.before-restore-{stamp}"))
    moves = [(settings.database.with_name(settings.database.name + part), name.with_name(name.name + part))
             for part in PARTS]
    if with_snapshot:
        kept = settings.snapshot.with_name(f"{settings.snapshot.name}.before-restore-{stamp}")
        moves.append((settings.snapshot, _free(kept)))
    done: list[tuple[Path, Path]] = []
    try:
        for path, aside in moves:
            if path.exists():
                files.replace(path, aside)
                done.append((path, aside))
        files.replace(fresh, settings.database)
    except OSError as error:
        for path, aside in reversed(done):
            files.replace(aside, path)
        raise DingshiError(gettext(
            "The store %(path)s could not be replaced (%(words)s); nothing was changed. Close whatever has it open, "
            "other consoles too.", path=settings.database, words=error.strerror or error)) from error
    return [aside for _, aside in done]


def _free(path: Path) -> Path:
    """``path``, or the first name like it that no file has."""
    found, count = path, 1
    while found.exists():
        count += 1
        found = path.with_name(f"{path.stem}-{count}{path.suffix}")
    return found


def _remove(path: Path | None) -> None:
    for part in (*PARTS, "-journal"):
        with suppress(OSError):
            if path is not None:
                path.with_name(path.name + part).unlink(missing_ok=True)


def _stamp(zone: tzinfo) -> str:
    return datetime.now(zone).strftime("%Y%m%d-%H%M%S")
