"""The store as a whole: opened, made, brought up to date, backed up, restored."""

import logging
import shutil
import tempfile
from pathlib import Path

from dashboard.config import Settings
from dashboard.engine import snapshot
from dashboard.engine.lock import InstanceLock, holder
from dashboard.engine.reconcile import lost
from dashboard.errors import DingshiError, StoreDamaged, StoreReadOnly
from dashboard.i18n import gettext
from dashboard.models.store import Store
from dashboard.services.backup import newest_good

log = logging.getLogger("dingshi.store")


def open_store(settings: Settings, *, create: bool = False) -> Store:
    """The store, open and up to date. ``create``: made if there is none.

    Raises StoreDamaged (gone while the snapshot holds tasks; damaged, empty or foreign, with the command that
    restores), NotFound's kin if there is none yet, StoreReadOnly, StoreBusy.
    """
    path = settings.database
    if not path.exists():
        refuse_if_lost(settings)
        if not create:
            raise DingshiError(gettext("There is no store yet at %(path)s. Make it with: python run.py init",
                                       path=path))
        _make(settings)
    store = Store(path)
    try:
        store.open()
    except StoreDamaged as error:
        raise StoreDamaged(f"{error} {remedy(settings)}".rstrip()) from error
    if store.pending():
        migrate(settings, store)
    return store


def open_for_reading(settings: Settings) -> Store:
    """As ``open_store``; where the file or its folder cannot be written, a copy is read that was made before any
    connection (even SELECT fails in a read-only folder). Its folder goes with the process's temporary files."""
    try:
        store = open_store(settings)
        store.pending()
        return store
    except StoreReadOnly:
        folder = Path(tempfile.mkdtemp(prefix="dingshi-"))
        for suffix in ("", "-wal"):
            source = Path(f"{settings.database}{suffix}")
            if source.exists():
                shutil.copyfile(source, folder / f"task.db{suffix}")
        copy = Store(folder / "task.db")
        copy.open()
        log.warning("the store %s cannot be written: a copy is read", settings.database)
        return copy


def refuse_if_lost(settings: Settings) -> None:
    """Raises StoreDamaged if there is no store while the snapshot holds tasks: that is no new installation."""
    if not settings.snapshot.exists():
        return
    try:
        tasks = snapshot.read(settings.snapshot)["tasks"]
    except (snapshot.SnapshotBad, OSError):
        return
    if tasks:
        raise lost(settings.database, settings.snapshot, len(tasks))


def migrate(settings: Settings, store: Store) -> list[str]:
    """Applies pending migrations under the instance lock, after a backup; returns their names. Raises
    SchedulerRunning, StoreReadOnly."""
    lock = InstanceLock(settings.database)
    lock.acquire()
    try:
        return store.migrate()
    finally:
        lock.release()


def is_running(settings: Settings) -> bool:
    """Whether a scheduler has this store at the moment."""
    return holder(settings.database) is not None


def remedy(settings: Settings) -> str:
    """Which command brings the tasks back, with the newest good backup or the snapshot; '' if there is neither."""
    source = newest_good(settings.backup_dir)
    if source is None and settings.snapshot.exists():
        source = settings.snapshot
    if source is None:
        return ""
    return gettext('The newest good copy: python run.py db restore "%(path)s"', path=source)


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
