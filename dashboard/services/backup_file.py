"""A backup as a file: its list with the SHA-256 beside it, and whether it is whole."""

import hashlib
import re
import sqlite3
from contextlib import closing
from pathlib import Path

from dashboard.engine.files import write_atomically
from dashboard.errors import DingshiError
from dashboard.i18n import gettext
from dashboard.models.store import APPLICATION_ID
from dashboard.models.store_files import file_uri

_LISTED = re.compile(rb"[0-9a-fA-F]{64}\b")


def list_of(path: Path) -> Path:
    """The file that lists a backup's SHA-256, in the form that ``sha256sum -c`` takes."""
    return path.with_name(f"{path.name}.sha256")


def write_list(path: Path) -> str:
    """Lists the file as it is now; returns the SHA-256. Raises OSError."""
    digest = _digest(path)
    write_atomically(list_of(path), f"{digest}  {path.name}\n".encode())
    return digest


def refuse_bad(path: Path) -> None:
    """Raises DingshiError if the backup is not as it was listed, damaged, or none. Leaves nothing beside it."""
    refuse_changed(path)
    examine(path, "closed", path)


def refuse_changed(path: Path) -> None:
    """Raises DingshiError if a list beside the backup says that it was another one when it was made."""
    try:
        listed = _LISTED.match(list_of(path).read_bytes()) if list_of(path).exists() else None
        same = listed is None or listed[0].decode().lower() == _digest(path)
    except OSError as error:
        raise DingshiError(gettext("%(path)s cannot be read: %(words)s", path=path,
                                   words=error.strerror or error)) from error
    if not same:
        raise DingshiError(gettext(
            "%(path)s is not as it was when it was made: its SHA-256 is not the one in %(list)s.", path=path,
            list=list_of(path).name))


def examine(path: Path, mode: str, shown: Path) -> None:
    """Looks at every page of ``path``; what is said names ``shown``. Raises DingshiError if it is no whole store."""
    try:
        with closing(sqlite3.connect(file_uri(path, mode), uri=True)) as copy:
            if copy.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
                raise DingshiError(gettext("%(path)s is no backup of Dingshi.", path=shown))
            said = copy.execute("PRAGMA quick_check").fetchall()
    except sqlite3.Error as error:
        raise DingshiError(gettext("%(path)s is damaged: %(words)s", path=shown, words=error)) from error
    if said != [("ok",)]:
        raise DingshiError(gettext("%(path)s is damaged: %(words)s", path=shown, words=said[0][0]))


def newest_good(folder: Path) -> Path | None:
    """The newest backup in ``folder`` that passes every check."""
    try:
        found = sorted(folder.glob("*.db"), key=lambda path: path.stat().st_mtime, reverse=True)
    except OSError:
        return None
    for path in found:
        try:
            refuse_bad(path)
        except DingshiError:
            continue
        return path
    return None


def tasks_in(path: Path) -> int:
    """How many tasks a good backup holds."""
    with closing(sqlite3.connect(file_uri(path, "closed"), uri=True)) as copy:
        return int(copy.execute("SELECT count(*) FROM task").fetchone()[0])


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
