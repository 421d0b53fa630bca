"""The files of a store by name: what is done to them before SQLite opens them, or after it has closed them."""

import os
import shutil
import sys
import time
import uuid
from pathlib import Path

from dashboard.models.complaints import busy

PARTS = ("", "-wal", "-shm")
"""What a store's files end in: pages, write-ahead log, shared memory."""
COPY_TRIES = 20
COPY_WAIT_SECONDS = 0.1


def file_uri(path: Path, mode: str) -> str:
    """How SQLite is to open ``path``: ``rwc`` makes a file that is not there, ``rw`` does not, ``ro`` reads alone;
    ``closed`` is for a file that nobody has open: it reads without a trace, in a read-only folder too."""
    text = path.absolute().as_uri()
    if not text.startswith("file:///"):  # \\server\share: SQLite wants the server in the path
        text = "file:////" + text.removeprefix("file://")
    return f"{text}?{'mode=ro&immutable=1' if mode == 'closed' else f'mode={mode}'}"


def can_write(path: Path) -> bool:
    """Whether this user may write what is there: a mode, an attribute, a read-only disk may forbid it."""
    return os.access(path, os.W_OK, effective_ids=os.access in os.supports_effective_ids)


def has_log(path: Path) -> bool:
    """Whether commits of this store stand in its write-ahead log alone, or may."""
    log = path.with_name(f"{path.name}-wal")
    return log.exists() and log.stat().st_size > 0


def set_aside_orphans(path: Path) -> None:
    """A write-ahead log whose store is gone would be replayed into the new file of that name."""
    if path.exists():
        return
    for rest in PARTS[1:]:
        orphan = path.with_name(path.name + rest)
        if orphan.exists():
            orphan.replace(path.with_name(f"{path.name}.orphan-{uuid.uuid4().hex}{rest}"))


def place(fresh: Path, path: Path) -> bool:
    """Gives ``fresh`` the name ``path``, in one step; whether it did: never where the name is taken."""
    try:
        if sys.platform == "win32":
            fresh.rename(path)
        else:
            os.link(fresh, path)
            fresh.unlink()
    except FileExistsError:
        return False
    except OSError:  # a file system without hard links
        if path.exists():
            return False
        fresh.rename(path)
    return True


def copy_files(source: Path, target: Path) -> None:
    """Copies pages and write-ahead log, without SQLite: for a store that nobody has open in this process, in a folder
    that may be read-only. What others append to the log meanwhile does no harm; a checkpoint would, and is waited
    out. Raises OSError, StoreBusy."""
    for _ in range(COPY_TRIES):
        before = _mark(source)
        for part in PARTS[:2]:
            found = source.with_name(source.name + part)
            if found.exists():
                shutil.copyfile(found, target.with_name(target.name + part))
        if _mark(source) == before:
            return
        time.sleep(COPY_WAIT_SECONDS)
    raise busy(source)


def _mark(path: Path) -> tuple[int, int, bytes]:
    """What a checkpoint changes: the file, or the log's head."""
    state = path.stat()
    try:
        with path.with_name(f"{path.name}-wal").open("rb") as log:
            return state.st_mtime_ns, state.st_size, log.read(32)
    except FileNotFoundError:
        return state.st_mtime_ns, state.st_size, b""
