"""``tasks.pkl``: every task as plain data, for the day ``task.db`` is lost. Reading it runs no code (P2, P3).

    {"version": 1, "store_id": text, "written_at": instant, "tasks": [{"key": 7, "id": "…", "type": "…",
     "trigger": {…}, "params": {…}, "options": {…}, "paused": false, "next_run_at": instant or None, …}]}

An instant is ISO text, UTC (``clock.iso``). Secrets in params are what the store holds: encrypted.
"""

import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dashboard.clock import iso
from dashboard.engine import _pickle
from dashboard.engine.files import replace, write_atomically
from dashboard.errors import DingshiError
from dashboard.i18n import gettext
from dashboard.models.task import Task

VERSION = 1
_WHEN = ("paused_at", "anchor_at", "next_run_at", "last_run_at", "created_at", "updated_at")
_NEVER_NONE = frozenset({"anchor_at", "created_at", "updated_at"})
_DEFINITION = ("id", "type", "trigger", "params", "options", "paused", "paused_at", "anchor_at", "created_at",
               "updated_at")
_COUNTERS = ("next_run_at", "run_count", "failure_count", "last_run_at", "last_result")
_KINDS: Mapping[str, tuple[type, ...]] = {
    "key": (int,), "id": (str,), "type": (str,), "trigger": (dict,), "params": (dict,), "options": (dict,),
    "paused": (bool,), "run_count": (int,), "failure_count": (int,), "last_result": (str, type(None)),
    **{name: (str,) if name in _NEVER_NONE else (str, type(None)) for name in _WHEN},
}
_PLACE_LIMIT = 2**63


class SnapshotBad(Exception):
    """The file is not a snapshot of ours, or a damaged one. ``reason``, also ``str()``: English, for the log."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class SnapshotUnwritable(DingshiError):
    """``tasks.pkl`` cannot be written now; ``path`` names it. The one written before is still there."""

    code = "snapshot"

    def __init__(self, message: str, path: Path) -> None:
        self.path = path
        super().__init__(message)


@dataclass(frozen=True)
class Difference:
    """A task that the snapshot and the store hold differently. ``what``: ``missing`` (the store has it, the snapshot
    not), ``extra`` (the reverse), ``changed`` (``fields`` of the definition), ``counters`` (``fields`` that may be a
    minute old: nothing to worry about)."""

    key: int
    id: str
    what: str
    fields: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"task {self.id!r} {self.what}" + (f": {', '.join(self.fields)}" if self.fields else "")


def content(rows: Iterable[Task], store_id: str, written_at: datetime) -> dict[str, Any]:
    """What ``write`` takes, from rows of the store."""
    return {"version": VERSION, "store_id": store_id, "written_at": iso(written_at),
            "tasks": [plain(row) for row in rows]}


def plain(row: Task) -> dict[str, Any]:
    """One task as the snapshot holds it."""
    values = {name: getattr(row, name) for name in _KINDS}
    return {name: iso(value) if isinstance(value, datetime) else value for name, value in values.items()}


def values(task: Mapping[str, Any]) -> dict[str, Any]:
    """A task of a checked snapshot as its row's values: the reverse of ``plain``."""
    return {name: datetime.fromisoformat(value) if name in _WHEN and value is not None else value
            for name, value in task.items()}


def write(path: Path, found: dict[str, Any]) -> None:
    """Replaces the snapshot, all or nothing, and on the disk when this returns. Raises SnapshotUnwritable, and
    ValueError for what is no plain data or nested deeper than ``_pickle.MAX_DEPTH``."""
    data = _pickle.dumps(found)
    try:
        if len(data) > _pickle.MAX_BYTES:
            raise OSError(27, os.strerror(27), str(path))
        write_atomically(path, data)
    except OSError as error:
        raise SnapshotUnwritable(gettext(
            "The snapshot %(path)s cannot be written (%(words)s). The tasks themselves are safe in the store. Check "
            "the permissions of the file and its folder, and the free space.",
            path=path, words=error.strerror or str(error)), path) from error


def read(path: Path) -> dict[str, Any]:
    """A checked snapshot. Raises SnapshotBad for whatever is not one, OSError if the file cannot be read."""
    # not to wait for whoever would write into a pipe of that name
    flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
    with os.fdopen(os.open(path, flags), "rb") as file:
        about = os.fstat(file.fileno())
        if not stat.S_ISREG(about.st_mode):
            raise SnapshotBad("not a regular file")
        data = file.read(min(about.st_size, _pickle.MAX_BYTES) + 1)  # asked for more, it takes memory for more
    try:
        found = _pickle.loads(data)
    except _pickle.Refused as error:
        raise SnapshotBad(str(error)) from error
    _check(found)
    checked: dict[str, Any] = found
    return checked


def set_aside(path: Path, now: datetime | None = None) -> Path:
    """Renames the file to ``tasks.pkl.bad-<time>``, never over another; returns where it is. Raises OSError."""
    moment = (now or datetime.now(UTC)).strftime("%Y%m%dT%H%M%S")
    aside, count = path.with_name(f"{path.name}.bad-{moment}"), 1
    while aside.exists():
        count += 1
        aside = path.with_name(f"{path.name}.bad-{moment}-{count}")
    replace(path, aside)
    return aside


def compare(tasks: Iterable[Mapping[str, Any]], rows: Iterable[Task]) -> list[Difference]:
    """How a snapshot's ``tasks`` differ from the store's, by key: real differences first, counters last."""
    before = {task["key"]: task for task in tasks}
    present = {row.key: plain(row) for row in rows}
    real: list[Difference] = []
    counters: list[Difference] = []
    for key, task in before.items():
        if key not in present:
            real.append(Difference(key, task["id"], "extra"))
            continue
        if changed := _differing(task, present[key], _DEFINITION):
            real.append(Difference(key, present[key]["id"], "changed", changed))
        if changed := _differing(task, present[key], _COUNTERS):
            counters.append(Difference(key, present[key]["id"], "counters", changed))
    real += [Difference(key, task["id"], "missing") for key, task in present.items() if key not in before]
    return real + counters


def _differing(one: Mapping[str, Any], other: Mapping[str, Any], names: Iterable[str]) -> tuple[str, ...]:
    return tuple(name for name in names if one[name] != other[name])


def _check(found: Any) -> None:
    if not isinstance(found, dict) or found.get("version") != VERSION or type(found["version"]) is not int:
        raise SnapshotBad("not a snapshot, or one of another version of Dingshi")
    if not isinstance(found.get("store_id"), str) or not _is_instant(found.get("written_at")):
        raise SnapshotBad("its head is not as Dingshi writes it")
    tasks = found.get("tasks")
    if not isinstance(tasks, list) or set(found) != {"version", "store_id", "written_at", "tasks"}:
        raise SnapshotBad("its head is not as Dingshi writes it")
    keys: set[int] = set()
    ids: set[str] = set()
    for place, task in enumerate(tasks):
        _check_task(task, place)
        if task["key"] in keys or task["id"] in ids:
            raise SnapshotBad(f"task {place}: held twice")
        keys.add(task["key"])
        ids.add(task["id"])


def _check_task(task: Any, place: int) -> None:
    if not isinstance(task, dict) or set(task) != set(_KINDS):
        raise SnapshotBad(f"task {place}: its fields are not those of a task")
    for name, kinds in _KINDS.items():
        value = task[name]
        if type(value) not in kinds or (name in _WHEN and value is not None and not _is_instant(value)):
            raise SnapshotBad(f"task {place}: {name} is not as Dingshi writes it")
        if type(value) is int and not 0 <= value < _PLACE_LIMIT:
            raise SnapshotBad(f"task {place}: {name} is out of range")


def _is_instant(value: Any) -> bool:
    if not isinstance(value, str) or not value.endswith("Z"):
        return False
    try:
        return datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        return False
