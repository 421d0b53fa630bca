"""The store as a whole: opened, made, brought up to date; what is said when it cannot be used."""

import errno
import logging
import os
import shutil
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime, tzinfo
from pathlib import Path

from dashboard.config import Settings
from dashboard.engine import snapshot
from dashboard.engine.lock import InstanceLock, holder, refuse_file
from dashboard.engine.reconcile import lost
from dashboard.errors import DingshiError, StoreDamaged, StoreReadOnly
from dashboard.i18n import gettext, ngettext
from dashboard.models.complaints import read_only
from dashboard.models.store import Store
from dashboard.models.store_files import can_write, copy_files, has_log
from dashboard.services.backup import backup_before_update, newest_good
from dashboard.services.backup_file import tasks_in
from dashboard.services.where import refuse_network

log = logging.getLogger("dingshi.store")


class ReadingCopy(Store):
    """A copy of a store that cannot be written, for reading; gone when it is closed."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / "task.db")
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)

    def close(self) -> None:
        super().close()
        shutil.rmtree(self.path.parent, ignore_errors=True)


def open_store(settings: Settings, *, create: bool = False) -> Store:
    """The store, open and up to date. ``create``: made if there is none, and every page is looked at.

    Raises StoreDamaged (gone while a snapshot or a backup holds tasks; damaged, empty or foreign, with the command
    that restores), StoreReadOnly (also: a file is in the place of its folder), StoreBusy,
    SchedulerRunning (it is to be updated while one runs), DingshiError if there is none yet, a newer Dingshi made it,
    or it lies on a network drive.
    """
    path = settings.database
    refuse_network(path)
    if not is_there(path):
        refuse_file(path.parent)
        refuse_if_lost(settings)
        if not create:
            raise DingshiError(gettext("There is no store yet at %(path)s. Make it with: python run.py init",
                                       path=path))
        _make(settings)
    _refuse_unwritable(path)
    store = Store(path)
    try:
        store.open(check=create)
        refuse_newer(store)
        if store.pending():
            migrate(settings, store)
    except BaseException as error:
        store.close()
        if isinstance(error, StoreDamaged):
            raise StoreDamaged(f"{error} {remedy(settings)}".rstrip()) from error
        raise
    return store


def open_for_reading(settings: Settings) -> Store:
    """As ``open_store``; where the file or its folder cannot be written, a copy is read that was made before any
    connection (even SELECT fails in a read-only folder)."""
    try:
        return open_store(settings)
    except StoreReadOnly as error:
        try:
            copy = _copied(settings.database)
        except OSError as failed:  # it cannot even be read
            raise error from failed
    if copy.pending():
        copy.migrate()
    log.warning("the store %s cannot be written: a copy is read", settings.database)
    return copy


@contextmanager
def looking(settings: Settings) -> Iterator[Store]:
    """The store as it is, to look at: neither the file nor anything beside it changes. Raises StoreDamaged,
    StoreReadOnly, StoreBusy, OSError."""
    path = settings.database
    left_behind = has_log(path) and not is_running(settings)  # its log would have to be replayed, which is a change
    store = _copied(path) if left_behind else Store(path, looking=True)
    if not left_behind:
        store.open()
    with closing(store):
        yield store


def refuse_if_lost(settings: Settings) -> None:
    """Raises StoreDamaged if there is no store while the snapshot, or else a backup, holds tasks: that is no new
    installation. StoreReadOnly if the snapshot cannot be read."""
    tasks = _tasks_in_snapshot(settings)
    if tasks:
        raise lost(settings.database, settings.snapshot, tasks)
    copy = newest_good(settings.backup_dir)
    if copy is not None and tasks_in(copy):
        count = tasks_in(copy)
        raise StoreDamaged(ngettext(
            "The store %(store)s is gone, but there is a backup with %(n)s task. Nothing was changed. Bring it back "
            'with: python run.py db restore "%(path)s"  (or move the backups away to begin anew).',
            "The store %(store)s is gone, but there is a backup with %(n)s tasks. Nothing was changed. Bring them "
            'back with: python run.py db restore "%(path)s"  (or move the backups away to begin anew).',
            count, store=settings.database, path=copy))


def refuse_newer(store: Store) -> None:
    """Raises DingshiError if a newer Dingshi made this store."""
    if store.newer():
        raise DingshiError(gettext("The store %(path)s was made by a newer Dingshi. Update this one, or restore an "
                                   "older backup.", path=store.path))


def migrate(settings: Settings, store: Store) -> list[str]:
    """Applies pending migrations under the instance lock, after a backup; returns their names. Raises
    SchedulerRunning, StoreReadOnly, and what ``backup`` raises."""
    lock = InstanceLock(settings.database)
    lock.acquire()
    try:
        if not store.pending():  # another process was quicker
            return []
        backup_before_update(settings)
        done = store.migrate()
        log.info("store brought up to date: %s", ", ".join(done))
        return done
    finally:
        lock.release()


def is_running(settings: Settings) -> bool:
    """Whether a scheduler has this store at the moment."""
    return holder(settings.database) is not None


def remedy(settings: Settings) -> str:
    """Which commands bring the tasks back, with the newest good backup and with the snapshot; '' if there is
    neither."""
    told = []
    copy = newest_good(settings.backup_dir)
    if copy is not None:
        told.append(gettext('The newest good backup is of %(when)s: python run.py db restore "%(path)s".',
                            when=_when(copy, settings.timezone), path=copy))
    try:
        tasks = _tasks_in_snapshot(settings)
    except StoreReadOnly:
        tasks = 0
    if tasks:
        told.append(ngettext(
            'The snapshot of %(when)s holds %(n)s task, without its log: python run.py db restore "%(path)s".',
            'The snapshot of %(when)s holds %(n)s tasks, without their logs: python run.py db restore "%(path)s".',
            tasks, when=_when(settings.snapshot, settings.timezone), path=settings.snapshot))
    return " ".join(told)


def _refuse_unwritable(path: Path) -> None:
    """Before any connection: one that may only read leaves files beside the store that may only be read, and they
    would be in the way when the mode has been put right."""
    if not (can_write(path) and can_write(path.parent)):
        raise read_only(path, os.strerror(errno.EACCES))


def is_there(path: Path) -> bool:
    """As ``exists``, which raises PermissionError for a folder that may not be entered."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise read_only(path, error.strerror or str(error)) from error
    return True


def _tasks_in_snapshot(settings: Settings) -> int:
    """0 too where there is none, or a bad one."""
    path = settings.snapshot
    try:
        return len(snapshot.read(path)["tasks"]) if is_there(path) else 0
    except snapshot.SnapshotBad:
        return 0
    except OSError as error:
        raise StoreReadOnly(gettext("The snapshot %(path)s cannot be read (%(words)s), so nobody can tell whether "
                                    "tasks are lost. Give the user who runs Dingshi permission to read it.",
                                    path=path, words=error.strerror or error), str(path)) from error


def _make(settings: Settings) -> None:
    """Two at once make one: under the instance lock, so the second finds it there."""
    lock = InstanceLock(settings.database)
    lock.acquire()
    try:
        if not settings.database.exists():
            Store(settings.database).create()
            log.info("store created %s", settings.database)
    finally:
        lock.release()


def _copied(database: Path) -> ReadingCopy:
    """Raises OSError, StoreBusy, StoreDamaged."""
    copy = ReadingCopy(Path(tempfile.mkdtemp(prefix="dingshi-")))
    try:
        copy_files(database, copy.path)
        copy.open()
    except BaseException:
        copy.close()
        raise
    return copy


def _when(path: Path, zone: tzinfo) -> str:
    return datetime.fromtimestamp(path.stat().st_mtime, zone).strftime("%Y-%m-%d %H:%M")
