"""A task as the doors show it: the row, put into words, with what is running now."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from dashboard import handlers, triggers
from dashboard.models import Task, TaskLog
from dashboard.models.task_log import ACTIVE
from dashboard.schemas.options import effective


@dataclass(frozen=True)
class TaskView:
    """What ``TaskSchema`` dumps. Instants are aware UTC. ``options`` are the effective ones."""

    key: int
    id: str
    type: str
    trigger: dict[str, Any]
    trigger_text: str
    trigger_fields: str
    params: dict[str, Any]
    options: dict[str, Any]
    paused: bool
    state: str
    executed: bool
    running: bool
    run_count: int
    failure_count: int
    last_run_at: datetime | None
    last_result: str | None
    next_run_at: datetime | None
    created_at: datetime
    updated_at: datetime


def view(task: Task, zone: ZoneInfo, active: set[str]) -> TaskView:
    """``active``: which of queued and running the task's log rows are in. In the language in force."""
    return TaskView(
        key=task.key, id=task.id, type=task.type, trigger=task.trigger,
        trigger_text=triggers.describe(task.trigger, zone), trigger_fields=triggers.fields_text(task.trigger),
        params=task.params, options=effective(task.options, handlers.find(task.type)), paused=task.paused,
        state=state(task, active), executed=task.last_run_at is not None, running="running" in active,
        run_count=task.run_count, failure_count=task.failure_count, last_run_at=task.last_run_at,
        last_result=task.last_result, next_run_at=None if task.paused else task.next_run_at,
        created_at=task.created_at, updated_at=task.updated_at)


def state(task: Task, active: set[str]) -> str:
    """The first of ``STATES`` that fits."""
    for name in ("running", "queued"):
        if name in active:
            return name
    if task.paused:
        return "paused"
    if task.trigger["type"] == "idle":
        return "idle"
    return "scheduled" if task.next_run_at else "finished"


def active_results(keys: list[int]) -> dict[int, set[str]]:
    """For each task key with such rows: which of queued and running they are in."""
    rows: Any = (TaskLog.select(TaskLog.task_key, TaskLog.result).distinct()
            .where(TaskLog.result.in_(ACTIVE), TaskLog.task_key.in_(keys)))
    found: dict[int, set[str]] = {}
    for key, result in rows.tuples():
        found.setdefault(key, set()).add(result)
    return found


def views(tasks: list[Task], zone: ZoneInfo) -> list[TaskView]:
    """Several at once, with one query for what is running."""
    active = active_results([task.key for task in tasks])
    return [view(task, zone, active.get(task.key, set())) for task in tasks]
