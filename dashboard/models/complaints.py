"""What SQLite says, as errors for people."""

import sqlite3
from pathlib import Path

from peewee import DatabaseError

from dashboard.errors import DingshiError, StoreBusy, StoreDamaged, StoreReadOnly
from dashboard.i18n import gettext


def explain(error: BaseException, path: Path) -> DingshiError | None:
    """SQLite's complaint as an error for people; None for a mistake of ours."""
    if isinstance(error, DingshiError):
        return error
    words = str(error)
    if "no transaction is active" in words:  # SQLite rolled back by itself (the disk is full), so Peewee could not
        return explain(error.__context__, path) if error.__context__ else None
    if "locked" in words or "busy" in words:
        return busy(path)
    if any(said in words for said in ("readonly", "unable to open", "disk I/O", "disk is full")):
        return read_only(path, words)
    broken = "malformed" in words or "not a database" in words
    if broken and isinstance(error, DatabaseError | sqlite3.DatabaseError):
        return damaged(path, words)
    return None


def busy(path: Path) -> StoreBusy:
    """Somebody else has been writing for too long."""
    return StoreBusy(gettext("The store %(path)s is locked by another program. Nothing was changed; try again.",
                             path=path))


def read_only(path: Path, words: str) -> StoreReadOnly:
    """The store, or its folder, cannot be written."""
    return StoreReadOnly(
        gettext("The store %(path)s cannot be written (%(words)s). Nothing was changed. Give the user who runs "
                "Dingshi write permission on the file and its folder, or free some space.", path=path, words=words),
        str(path))


def damaged(path: Path, words: str) -> StoreDamaged:
    """The file is not, or no longer, a store."""
    return StoreDamaged(
        gettext("The store %(path)s cannot be used: %(words)s. It was left as it is. Bring the tasks back with "
                "`python run.py db restore FILE` (a file from backups/, or tasks.pkl).", path=path, words=words))
