"""What the engine knows of a task, and of a run on its way: plain values, made from rows."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from dashboard import handlers, triggers
from dashboard.models import Task, TaskLog
from dashboard.schemas.options import effective
from dashboard.triggers.contract import Timetable


@dataclass(slots=True)
class Definition:
    """A task at one revision. ``next_run_at`` is the first due time that has no row yet; it alone changes, and only
    in the ledger's thread, after a commit."""

    key: int
    id: str
    type: str
    trigger: dict[str, Any]
    params: dict[str, Any]
    options: dict[str, Any]
    paused: bool
    revision: int
    timetable: Timetable | None
    next_run_at: datetime | None

    @property
    def idle_duration(self) -> int | None:
        """Seconds of idleness that this task waits for; None if it does not, or not now."""
        return None if self.paused or self.trigger["type"] != "idle" else int(self.trigger["idle_duration"])


@dataclass(slots=True, eq=False)
class Run:
    """One occurrence from its claim to its end. What it runs is the copy in its row."""

    log_id: int
    key: int
    task_id: str
    type: str
    params: dict[str, Any]
    options: dict[str, Any]
    cause: str
    attempt: int
    scheduled_at: datetime
    occurrence_at: datetime
    carried: dict[str, Any] = field(default_factory=dict)


def definition(row: Task, zone: ZoneInfo) -> Definition:
    """Raises whatever a trigger raises that no door would have let in."""
    return Definition(
        key=row.key, id=row.id, type=row.type, trigger=row.trigger, params=row.params,
        options=effective(row.options, handlers.find(row.type)), paused=row.paused, revision=row.revision,
        timetable=triggers.build(row.trigger, zone, row.anchor_at), next_run_at=row.next_run_at)


def unscheduled(row: Task) -> Definition:
    """A task whose definition cannot be read: it runs when somebody asks, and never by itself."""
    return Definition(
        key=row.key, id=row.id, type=row.type, trigger={"type": ""}, params=row.params,
        options=effective({}, handlers.find(row.type)), paused=row.paused, revision=row.revision,
        timetable=None, next_run_at=None)


def run_of(row: TaskLog) -> Run:
    """A run as its row tells it."""
    return Run(
        log_id=row.id, key=row.task_key, task_id=row.task_id, type=row.task_type, params=row.params,
        options=effective(row.options, handlers.find(row.task_type)), cause=row.cause, attempt=row.attempt,
        scheduled_at=row.scheduled_at, occurrence_at=row.occurrence_at, carried=row.carried or {})


def first_run(task: Definition, log_id: int, cause: str, scheduled_at: datetime) -> Run:
    """The first attempt at a due time."""
    return Run(log_id=log_id, key=task.key, task_id=task.id, type=task.type, params=task.params,
               options=task.options, cause=cause, attempt=1, scheduled_at=scheduled_at, occurrence_at=scheduled_at)
