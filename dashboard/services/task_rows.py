"""Task rows: made from a loaded document, and changed with what that means for their due times."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from dashboard import triggers
from dashboard.clock import MILLISECOND, iso
from dashboard.models import Task, TaskLog

EDITABLE = ("trigger", "params", "options", "paused")
DEFINITION = ("trigger", "params", "options")
"""What moves ``updated_at``."""


def new_task(data: Mapping[str, Any], zone: ZoneInfo, now: datetime) -> Task:
    """The row of a loaded document, without a key. Its grid of due times is anchored at ``now``."""
    paused = data["paused"]
    return Task(
        id=data["id"], type=data["type"], trigger=data["trigger"], params=data["params"], options=data["options"],
        paused=paused, paused_at=now + MILLISECOND if paused else None, anchor_at=now, created_at=now, updated_at=now,
        next_run_at=None if paused else triggers.first_due(data["trigger"], zone, now, now))


def change(task: Task, data: Mapping[str, Any], zone: ZoneInfo, now: datetime) -> list[str]:
    """Gives the row the fields of a loaded document and saves it; returns the names of what changed. Due times that
    have no row yet and never will, because of this change, get one row that counts them."""
    changed = [name for name in EDITABLE if data[name] != getattr(task, name)]
    if not changed:
        return []
    if "trigger" in changed or (task.paused and not data["paused"]):
        _tell_passed(task, zone, now)
        held_from = now + MILLISECOND
    else:
        held_from = task.paused_at or _first_without_row(task, now)
    for name in EDITABLE:
        setattr(task, name, data[name])
    if "trigger" in changed:  # an edit of anything else leaves the grid of due times where it is
        task.anchor_at = now
    if "trigger" in changed or "paused" in changed:
        task.next_run_at = None if task.paused else triggers.first_due(task.trigger, zone, task.anchor_at, now)
        task.paused_at = held_from if task.paused else None
    if set(changed) & set(DEFINITION):
        task.updated_at = max(now, task.updated_at + MILLISECOND)  # never twice the same: it tells versions apart
    saved = (*EDITABLE, "anchor_at", "next_run_at", "paused_at", "updated_at")
    task.save(only=[getattr(Task, name) for name in saved])
    return changed


def _first_without_row(task: Task, now: datetime) -> datetime:
    """A due time that has passed a moment ago may not have been claimed yet."""
    upcoming: datetime | None = task.next_run_at
    return upcoming if upcoming is not None and upcoming <= now else now + MILLISECOND


def _tell_passed(task: Task, zone: ZoneInfo, now: datetime) -> None:
    start = task.paused_at if task.paused else _first_without_row(task, now)
    timetable = triggers.build(task.trigger, zone, task.anchor_at)
    passed = timetable.passed(start, now) if timetable is not None and start <= now else None
    if passed is None:
        return
    covers: dict[str, Any] = {"count": passed.count, "first": iso(passed.first), "last": iso(passed.last)}
    (TaskLog.insert(
        task_key=task.key, task_id=task.id, task_type=task.type, trigger=task.trigger, params=task.params,
        options=task.options, result="skipped", reason={"code": "paused" if task.paused else "changed"},
        covers=covers, cause="schedule", scheduled_at=passed.last, occurrence_at=passed.last, at=passed.last,
        finished_at=now).on_conflict_ignore().execute())
