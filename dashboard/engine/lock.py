"""One scheduler for each store: a lock of the operating system on ``task.db.lock``, gone with its process.

Who holds it stands in ``task.db.owner``, a file of its own: on Windows a locked file cannot be read.
"""

import contextlib
import json
import os
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
from filelock import FileLock, Timeout

from dashboard.clock import iso
from dashboard.engine.files import write_atomically
from dashboard.errors import SchedulerRunning, StoreReadOnly
from dashboard.i18n import gettext

ACQUIRE_SECONDS = 0.3  # a look by ``holder`` has the lock for some microseconds: one try could meet it
LOOK_SECONDS = 0.1
_POLL = 0.02


@dataclass(frozen=True)
class Holder:
    """The scheduler that has a store. All None: there is one, and it has not said (or cannot say) who it is."""

    pid: int | None = None
    port: int | None = None
    started: datetime | None = None


class InstanceLock:
    """Held from ``acquire`` to ``release`` or to the end of the process, however it ends; child processes do not
    inherit it. Keep the object: without it the lock is free. Threads may share it."""

    def __init__(self, database: Path) -> None:
        self.database = database.resolve()  # a link and its target are one store
        self._lock = _file_lock(self.database)

    @property
    def held(self) -> bool:
        """Whether this object has the lock."""
        return self._lock.is_locked

    def acquire(self, port: int | None = None) -> None:
        """Takes the store, and tells others our pid and ``port``. Called again by the holder it tells the new port.

        Raises SchedulerRunning, within a second, with the other's pid and port; StoreReadOnly if the folder
        cannot be written, or there is a file in its place.
        """
        try:
            if not self.held:
                self.database.parent.mkdir(parents=True, exist_ok=True)
                self._lock.acquire(timeout=ACQUIRE_SECONDS, poll_interval=_POLL)
            self._tell(port)
        except Timeout:
            raise _running(self.database, _owner(self.database)) from None
        except (OSError, NotImplementedError) as error:  # the latter: a file system without locks
            self.release()
            refuse_file(self.database.parent)
            words = getattr(error, "strerror", None) or str(error)
            raise StoreReadOnly(gettext(
                "The lock %(path)s cannot be taken (%(words)s). Nothing was started. Give the user who runs Dingshi "
                "write permission on the folder, or choose another data folder.",
                path=lock_path(self.database), words=words), str(lock_path(self.database))) from error

    def release(self) -> None:
        """Gives the store back; does nothing if it is not ours."""
        if self.held:
            with contextlib.suppress(OSError):
                owner_path(self.database).unlink()
            self._lock.release(force=True)

    def _tell(self, port: int | None) -> None:
        text = json.dumps({"pid": os.getpid(), "port": port, "started": iso(datetime.now(UTC))})
        write_atomically(owner_path(self.database), text.encode("ascii"))


def in_the_way(folder: Path) -> Path | None:
    """The file that is where ``folder``, or one around it, should be; None if there is none."""
    there = next((path for path in (folder, *folder.parents) if os.path.lexists(path)), None)
    return there if there is not None and there.is_file() else None


def refuse_file(folder: Path) -> None:
    """Raises StoreReadOnly if a file is in the way of ``folder``."""
    file = in_the_way(folder)
    if file is not None:
        raise StoreReadOnly(gettext("%(path)s is a file; a folder is needed. Set data_dir to another folder, or "
                                    "move the file away.", path=file), str(file))


def lock_path(database: Path) -> Path:
    """The file that is locked."""
    return database.with_name(database.name + ".lock")


def owner_path(database: Path) -> Path:
    """The file that says who locked it."""
    return database.with_name(database.name + ".owner")


def holder(database: Path) -> Holder | None:
    """Who has the store; None: nobody. Looks by taking the lock for a moment, so it may be wrong a moment later:
    whoever must be sure takes the lock. Makes no file. At most half a second."""
    database = database.resolve()
    if not lock_path(database).exists():
        return None
    lock = _file_lock(database)
    try:
        lock.acquire(timeout=LOOK_SECONDS, poll_interval=_POLL)
    except Timeout:
        return _owner(database)
    except (OSError, NotImplementedError):  # not ours to open: what the owner said is all there is
        found = _read_owner(database)
        return found if _alive(found) else None
    lock.release(force=True)
    return None


def _file_lock(database: Path) -> FileLock:
    # Not per thread: the engine may be stopped from another thread than the one that started it. Never the soft
    # lock, which outlives a killed process. The file stays, so that all always lock the same one.
    return FileLock(lock_path(database), thread_local=False, fallback_to_soft=False, preserve_lock_file=True)


def _owner(database: Path) -> Holder:
    """What the holder says of itself. It may be about to: what a dead one left is waited out."""
    for _ in range(4):
        found = _read_owner(database)
        if _alive(found):
            return found
        time.sleep(0.05)
    return Holder()


def _read_owner(database: Path) -> Holder:
    try:
        found: Any = json.loads(owner_path(database).read_text("utf-8"))
        return Holder(_whole(found["pid"]), _whole(found["port"]), datetime.fromisoformat(found["started"]))
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return Holder()


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and 0 < value < 2**31 else None


def _alive(found: Holder) -> bool:
    return found.pid is not None and psutil.pid_exists(found.pid)


def _running(database: Path, found: Holder) -> SchedulerRunning:
    if found.pid is None:
        text = gettext("Another scheduler runs on the store %(path)s. Stop it first.", path=database)
    elif found.port is None:
        text = gettext("Another scheduler (process %(pid)s) runs on the store %(path)s. Stop it first.",
                       pid=found.pid, path=database)
    else:
        text = gettext("Another scheduler (process %(pid)s, port %(port)s) runs on the store %(path)s. Use its page, "
                       "or stop it first.", pid=found.pid, port=found.port, path=database)
    return SchedulerRunning(text, found.pid, found.port)
