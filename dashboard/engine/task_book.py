"""The tasks as the engine has them in memory, kept equal to the table, and APScheduler's jobs kept equal to them.

The ledger's thread alone; the idle monitor reads ``idle``, which is replaced and never changed.
"""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from dashboard.engine.definition import Definition, definition, unscheduled
from dashboard.engine.scheduler import GuardedScheduler
from dashboard.models import Task, TaskLog
from dashboard.models.bulk import cancelled_of
from dashboard.models.store import Store

log = logging.getLogger("dingshi.scheduler")
OVERDUE = timedelta(seconds=2)


@dataclass(slots=True)
class Changes:
    """What the table told. ``due``: keys whose due time has passed already. ``requests``: queued rows that others
    made. ``stops``: log ids of running rows that somebody wants stopped. ``cancelled``: of rows that were queued and
    are cancelled."""

    due: set[int] = field(default_factory=set)
    paused: set[int] = field(default_factory=set)
    resumed: set[int] = field(default_factory=set)
    gone: set[int] = field(default_factory=set)
    requests: list[TaskLog] = field(default_factory=list)
    stops: list[int] = field(default_factory=list)
    cancelled: list[int] = field(default_factory=list)
    definitions: bool = False


class TaskBook:
    """``by_key`` holds every task, also those that are not scheduled. ``broken``: why tasks, by key, have no due
    times though their definition asks for some."""

    def __init__(self, store: Store, zone: ZoneInfo, scheduler: GuardedScheduler) -> None:
        self.store = store
        self.zone = zone
        self.scheduler = scheduler
        self.by_key: dict[int, Definition] = {}
        self.idle: Mapping[int, int] = {}
        self.broken: dict[int, str] = {}
        self._seen = -1
        self._deletions = -1

    def poll(self, now: datetime, queued: Iterable[int] = ()) -> Changes | None:
        """What has changed since the last time; None if nothing has (5 microseconds). ``queued``: log ids of rows
        that the engine takes for queued; those that somebody cancelled are told."""
        with self.store.reading():
            value, deletions = self.store.database.execute_sql(
                "SELECT value, deletions FROM revision WHERE id = 1").fetchone()
            if value == self._seen:
                return None
            changes = Changes()
            rows = list(Task.select().where(Task.revision > self._seen))
            keys = None if deletions == self._deletions else {row.key for row in Task.select(Task.key)}
            changes.requests = list(TaskLog.select().where(
                TaskLog.result == "queued", TaskLog.cause.in_(("manual", "chain"))).order_by(TaskLog.id))
            changes.stops = [row.id for row in TaskLog.select(TaskLog.id).where(
                TaskLog.result == "running", TaskLog.stop_requested_at.is_null(False))]
            changes.cancelled = cancelled_of(self.store, list(queued))
        for row in rows:
            self._apply(row, now, changes)
        if keys is not None:
            self._forget(set(self.by_key) - keys, changes)
        if rows or changes.gone:
            changes.definitions = True
            self.idle = {key: task.idle_duration for key, task in self.by_key.items() if task.idle_duration}
        self._seen, self._deletions = value, deletions
        return changes

    def end(self, key: int, error: Exception) -> None:
        """A task's timetable fails: it has no further due times."""
        self.scheduler.drop(key)
        self.broken[key] = f"{type(error).__name__}: {error}"

    def overdue(self, now: datetime) -> set[int]:
        """Keys whose due time has passed unnoticed: the net under APScheduler."""
        limit = now - OVERDUE
        return {key for key, task in self.by_key.items()
                if task.next_run_at is not None and task.next_run_at < limit and not task.paused}

    def _apply(self, row: Task, now: datetime, changes: Changes) -> None:
        before = self.by_key.get(row.key)
        if before is not None and before.revision == row.revision:
            return
        self.broken.pop(row.key, None)
        try:
            task = definition(row, self.zone)
        except Exception as error:
            log.exception("task cannot be scheduled id=%s", row.id)
            self.broken[row.key] = f"{type(error).__name__}: {error}"
            task = unscheduled(row)
        self.by_key[task.key] = task
        if before is not None and before.paused != task.paused:
            (changes.paused if task.paused else changes.resumed).add(task.key)
        self._schedule(task, now, changes)

    def _schedule(self, task: Definition, now: datetime, changes: Changes) -> None:
        upcoming = None if task.paused else task.next_run_at
        if upcoming is not None and upcoming <= now:  # APScheduler would enumerate every due time that passed
            changes.due.add(task.key)
            upcoming = self._after(task, now)
        if upcoming is None or task.timetable is None:
            self.scheduler.drop(task.key)
        else:
            self.scheduler.put(task.key, task.id, task.timetable, upcoming)

    def _after(self, task: Definition, now: datetime) -> datetime | None:
        try:
            return None if task.timetable is None else task.timetable.after(now)
        except Exception as error:  # noqa: BLE001  the planner meets it, too: it tells, and runs what is due already
            self.end(task.key, error)
            return None

    def _forget(self, keys: set[int], changes: Changes) -> None:
        for key in keys:
            if self.by_key.pop(key, None) is not None:
                self.broken.pop(key, None)
                self.scheduler.drop(key)
                changes.gone.add(key)
