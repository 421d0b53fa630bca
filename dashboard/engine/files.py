"""Files written whole or not at all."""

import contextlib
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

RETRY_SECONDS: Sequence[float] = (0.05, 0.1, 0.2, 0.4, 0.8)
"""Waits between tries to replace a file that another program (virus scanner, indexer) has open on Windows."""


def write_atomically(path: Path, data: bytes, *, sleep: Callable[[float], None] = time.sleep) -> None:
    """Puts ``data`` in the place of ``path``, mode 0600, on the disk when this returns. Raises OSError; the old
    content is then still there. Processes may do so at the same time: each has its own temporary name."""
    effective = os.access in os.supports_effective_ids
    if path.exists() and not os.access(path, os.W_OK, effective_ids=effective):  # else its folder would let it go
        raise PermissionError(13, os.strerror(13), str(path))
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with contextlib.suppress(FileNotFoundError):  # of a killed process with this pid: its mode is not ours
            temporary.chmod(0o600)  # Windows removes no read-only file
            temporary.unlink()
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        replace(temporary, path, sleep=sleep)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    _sync_folder(path.parent)


def remove_leftovers(path: Path) -> None:
    """Removes the temporary files of writers of ``path`` that were killed. For when nobody else writes it."""
    with contextlib.suppress(OSError):
        for found in path.parent.iterdir():
            if found.name.startswith(f".{path.name}.") and found.name.endswith(".tmp"):
                found.unlink()


def replace(source: Path, target: Path, *, sleep: Callable[[float], None] = time.sleep) -> None:
    """``os.replace`` that waits for other programs to close the file, up to 1.6 s on Windows. Raises OSError."""
    for wait in RETRY_SECONDS if sys.platform == "win32" else ():
        try:
            source.replace(target)
        except PermissionError:  # WinError 5, 32, 33
            sleep(wait)
        else:
            return
    source.replace(target)


def _sync_folder(folder: Path) -> None:
    if sys.platform != "win32":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
