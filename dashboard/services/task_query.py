"""Finding tasks: filters, order, pages."""

from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Any

from dashboard.models import Task, TaskLog
from dashboard.models.expressions import json_text, mentions
from dashboard.models.task_log import FAILING
from dashboard.services.task_view import TaskView


@dataclass(frozen=True)
class TaskPage:
    """One page of a list; ``page`` counts from 1."""

    items: list[TaskView]
    total: int
    page: int
    page_size: int


def matching(query: dict[str, Any]) -> Any:
    """The tasks that a loaded ``TaskQuery`` asks for, unordered."""
    tasks = Task.select()
    if query["search"]:
        tasks = tasks.where(mentions(query["search"], Task.id))
    if query["type"]:
        tasks = tasks.where(Task.type == query["type"])
    if query["trigger"]:
        tasks = tasks.where(json_text(Task.trigger, "type").in_(query["trigger"]))
    if query["state"]:
        tasks = tasks.where(reduce(or_, [_state(name) for name in query["state"]]))
    return tasks


def _has(result: str) -> Any:
    return Task.key.in_(TaskLog.select(TaskLog.task_key).where(TaskLog.result == result))


def _state(name: str) -> Any:
    """The same distinction as ``task_view.state``, in SQL."""
    running, queued = _has("running"), _has("queued")
    idle = json_text(Task.trigger, "type") == "idle"
    calm = ~running & ~queued
    due = calm & ~Task.paused & ~idle
    conditions: dict[str, Any] = {
        "running": running,
        "queued": ~running & queued,
        "paused": calm & Task.paused,
        "idle": calm & ~Task.paused & idle,
        "scheduled": due & Task.next_run_at.is_null(False),
        "finished": due & Task.next_run_at.is_null(),
        "failing": Task.last_result.in_(FAILING),
        "never_run": Task.last_run_at.is_null(),
    }
    return conditions[name]


def ordered(tasks: Any, sort: str) -> Any:
    """By a column of ``SORTS``, ``-`` before it for descending; what has no value comes last either way."""
    column: Any = getattr(Task, sort.removeprefix("-"))
    order = column.desc(nulls="last") if sort.startswith("-") else column.asc(nulls="last")
    return tasks.order_by(order, Task.id)
