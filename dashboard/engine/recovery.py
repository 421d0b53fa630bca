"""What a scheduler that died has left, put in order before the next one begins. Under the instance lock."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from dashboard.engine.definition import Run, run_of
from dashboard.models import Task, TaskLog
from dashboard.models.bulk import EndedRun, end_runs
from dashboard.models.store import Store

log = logging.getLogger("dingshi.runs")
OLDEST_REQUEST = timedelta(hours=1)
"""A request for a run, or a retry, that waited longer than this is told as missed: nobody expects it any more."""
BY_ITSELF = ("success", "failure", "unknown")
_AGING = ("manual", "chain", "retry")


@dataclass(slots=True)
class Left:
    """``runs``: queued rows that still shall run, oldest first. ``processes``: (pid, create time) of what interrupted
    runs had started."""

    runs: list[Run] = field(default_factory=list)
    processes: list[tuple[int, float]] = field(default_factory=list)


def recover(store: Store, now: datetime, grace: timedelta) -> Left:
    """Rows that run nowhere become ``interrupted``: they are told, not repeated (R3). Of due times that waited in a
    queue for longer than ``grace`` the latest goes on, as the task's ``missed`` option says."""
    left = Left()
    with store.writing():
        running = list(TaskLog.select().where(TaskLog.result == "running"))
        end_runs(store, [_interrupted(row, now) for row in running])
        for row in running:
            left.processes += [(int(pid), float(create_time)) for pid, create_time in row.processes or ()]
        tasks = {row.key for row in Task.select(Task.key)}
        queued = list(TaskLog.select().where(TaskLog.result == "queued").order_by(TaskLog.at, TaskLog.id))
        gone = [row for row in queued if row.task_key not in tasks]
        old = [row for row in queued if row.task_key in tasks and row.cause in _AGING
               and row.scheduled_at < now - OLDEST_REQUEST]
        late = _late([row for row in queued if row not in gone and row.cause not in _AGING], now - grace)
        _close(gone, "cancelled", "deleted", now)
        _close(old, "missed", "request_old", now)
        _close(late, "missed", "down", now)
    closed = {row.id for row in (*gone, *old, *late)}
    left.runs = [run_of(row) for row in queued if row.id not in closed]
    for row in running:
        log.warning("run interrupted id=%s run=%d: the scheduler ended while it ran", row.task_id, row.id)
    if left.runs:
        log.info("%d queued runs go on", len(left.runs))
    return left


def _late(rows: list[TaskLog], limit: datetime) -> list[TaskLog]:
    """Those due before ``limit``, without the latest of each task that runs once what it missed."""
    found: dict[int, list[TaskLog]] = {}
    for row in rows:
        if row.scheduled_at < limit:
            found.setdefault(row.task_key, []).append(row)
    late: list[TaskLog] = []
    for of_task in found.values():
        newest = max(of_task, key=lambda row: (row.scheduled_at, row.id))
        keeps = newest.cause != "idle" and run_of(newest).options["missed"] == "run_once"
        late += [row for row in of_task if row is not newest or not keeps]
    return late


def was_cut_short(store: Store, log_id: str) -> bool:
    """Whether the run of this id (the last part of a marker) is known and did not end by itself."""
    if not (log_id.isascii() and log_id.isdecimal()):
        return False
    with store.reading():
        row = TaskLog.get_or_none(TaskLog.id == int(log_id))
    return row is not None and row.result not in BY_ITSELF


def last_idle_runs(store: Store, task_ids: Iterable[str]) -> dict[int, datetime]:
    """When each of these tasks last ran because the machine was idle, by task key."""
    found: dict[int, datetime] = {}
    with store.reading():
        for task_id in task_ids:
            row = (TaskLog.select(TaskLog.task_key, TaskLog.at)
                   .where(TaskLog.task_id == task_id, TaskLog.cause == "idle").order_by(TaskLog.at.desc()).first())
            if row is not None:
                found[row.task_key] = row.at
    return found


def _interrupted(row: TaskLog, now: datetime) -> EndedRun:
    return EndedRun(log_id=row.id, key=row.task_key, result="interrupted", failed=True, started_at=None,
                    finished_at=now, duration_ms=None, output=row.output or "", reason={"code": "crash"},
                    carried=row.carried)


def _close(rows: Iterable[TaskLog], result: str, code: str, now: datetime) -> None:
    for row in rows:
        (TaskLog.update(result=result, reason={"code": code}, finished_at=now)
         .where(TaskLog.id == row.id).execute())
